"""Solvers: `init` and `step` under one loop."""

from pisolve.solvers.base import Result, Solver, State, choose, iterate, solve
from pisolve.solvers.cg import CG
from pisolve.solvers.checkpoint import load_state, save_state
from pisolve.solvers.gradient import FISTA, GradientDescent
from pisolve.solvers.splitting import ADMM, HQS, PDHG

__all__ = ["ADMM", "CG", "FISTA", "HQS", "PDHG", "GradientDescent", "Result", "Solver", "State", "choose", "iterate",
           "load_state", "save_state", "solve"]
