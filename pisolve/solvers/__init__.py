"""Solvers: `init` and `step` under one loop."""

from pisolve._hints import hint, rooms
from pisolve.solvers.base import Solver, State, iterate
from pisolve.solvers.cg import CG
from pisolve.solvers.checkpoint import load_state, save_state
from pisolve.solvers.dataprox import DataProx
from pisolve.solvers.dps import DPS
from pisolve.solvers.gradient import FISTA, POGM, GradientDescent
from pisolve.solvers.krylov import GMRES, LSMR, LSQR
from pisolve.solvers.posterior import ImplicitLangevin, Langevin, SplitGibbs, draws
from pisolve.solvers.primal_dual import PDHG
from pisolve.solvers.relaxed import Relaxed
from pisolve.solvers.solve import Result, choose, solve
from pisolve.solvers.splitting import ADMM, HQS

__all__ = ["ADMM", "CG", "DPS", "FISTA", "GMRES", "HQS", "LSMR", "LSQR", "PDHG", "POGM", "DataProx",
           "GradientDescent", "ImplicitLangevin", "Langevin", "Relaxed", "Result", "Solver", "SplitGibbs", "State",
           "choose", "draws", "iterate", "load_state", "save_state", "solve"]

hint(globals(), __all__)
rooms(globals(), __all__)
