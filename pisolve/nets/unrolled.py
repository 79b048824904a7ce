"""Unrolled networks: the steps of any splitting or gradient solver, with learned regularisers and learned steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as recompute

from pisolve import _check, solvers
from pisolve.nets.blocks import as_network, denoised, describe
from pisolve.nets.consistency import SliceProblem
from pisolve.nets.filters import FilterBank
from pisolve.priors import Denoiser, Prior
from pisolve.problem import Split
from pisolve.solvers import Solver

_FIELD = {"step": "step_size"}  # of a solver, where it is called otherwise than in its state


class _Learned(Prior):
    """The regulariser of the current iteration as a prior: D as the prox, weight (x - D(x)) as the gradient."""

    convex, implicit, has_grad, lipschitz = False, True, True, 1.0

    def __init__(self, owner: Unrolled):
        self.owner, self.k, self.weight = owner, 0, 1.0

    def prox(self, x, step):
        return self.owner.regularise(x, self.k)

    def grad(self, x):
        return self.weight * (x - self.owner.regularise(x, self.k))


class _FilterSplit(Split):
    """f(G x) with the filters and the shrinkage of the current iteration."""

    domain, linop = None, "learned"

    def __init__(self, prior: _Learned):
        self.f, self.prior = prior, prior

    @property
    def bank(self) -> FilterBank:
        """The filters of the current iteration."""
        return self.prior.owner.part(self.prior.k)

    def G(self, w):
        return self.bank(w)

    def GH(self, z):
        return self.bank.adjoint(z)

    def GN(self, w):
        return self.bank.adjoint(self.bank(w))

    def norm2(self, w, metric=None):
        return self.bank.norm2()


class Unrolled(nn.Module):
    """`iterations` steps of a solver, x <- step_k(x), with a learned regulariser and learned steps: net(A, y) -> x.

    The regulariser D takes the place that the solver has for it: the prox in ADMM, HQS, FISTA and PDHG; for solvers
    that take a gradient, GradientDescent is x <- D(x) - eta A^H (A x - y), and DataProx without momentum
    x <- argmin 1/2 ||A x - y||^2 + rho/2 ||x - D(x)||^2. Penalties and step sizes, exp of the parameters `log_rho`,
    `log_step`, ..., start at the solver's own and have one value an iteration; ADMM learns its multiplier's step
    u <- u + eta (G x - z), too. Images should have a 99th percentile of |x| of 1, as `Recipe` makes them.

    The slices of a batch, A with maps (slice, coil, y, x), are solved each by itself. On the CPU A shares the memory of
    the tensors and A^H A is the compiled one.

    Args:
        solver: one of ADMM, HQS, PDHG, DataProx, FISTA, GradientDescent, without what looks at all slices at once
            (restart, line search, balance); or its description {"name": ..., field: value, ...}.
        denoiser: a module (B, 2 [+ 1 noise map], y, x) -> (B, 2, y, x) on real and imaginary part, or on one channel
            that sees both parts as two images; a `FilterBank` (for ADMM and PDHG); a list of one of these an
            iteration; their description (`config`); or a prior of pisolve, where only the steps are learned.
        iterations: number of steps.
        shared_weights: the same regulariser in every iteration, else a copy for each.
        shared_steps: the same penalty or step size in every iteration.
        learn_steps: whether they are trained.
        sigma: for a denoiser that takes a noise level: its first value, in the units of x, trained with the steps; a
            pair (s, t) for one that falls from s in the first iteration to t in the last, geometrically. One number
            falls for HQS alone, with the solver's schedule.
        channels, noise_input: as for `pisolve.Denoiser`, for modules that do not tell by their convolutions.
        tol: None: inner problems are solved by `inner` conjugate gradient steps, or in closed form (see
            `consistency.SliceProblem`). A number: as `pi.solve` does, which uses 0.1.
        implicit: derivatives of the inner problems by solving once more, else through all their iterations.
        checkpoint: keep one image a step and compute the step again for its derivative: less memory, one more forward.

    Raises:
        TypeError: no solver, no module, or y no torch tensor.
        ValueError: a solver that cannot be unrolled, a wrong number of modules, data that do not fit A.
        FloatingPointError: NaN or Inf comes out of a step; the message names it.

    Reference:
        Monga, Li and Eldar, IEEE Signal Process Mag 38 (2021) 18; Aggarwal et al., IEEE Trans Med Imaging 38 (2019)
        394; Yang et al., IEEE TPAMI 42 (2020) 521.

    Example:
        net = pi.nets.Unrolled(pi.ADMM(inner=5), pi.nets.DnCNN(2, 5, 32), 6)
    """

    implicit: bool
    checkpoint: bool
    channels: None
    noise_input: None

    needs_maps = True

    def __init__(self, solver: Solver | dict[str, Any], denoiser: Any, iterations: int = 10, *,
                 shared_weights: bool = True, shared_steps: bool = False, learn_steps: bool = True,
                 sigma: float | Sequence[float] = 0.05, channels: str = "auto", noise_input: str | None = "auto",
                 tol: float | None = None, implicit: bool = True, checkpoint: bool = False):
        super().__init__()
        self.solver: Any = _solver(solver)
        self.kind: str = type(self.solver).__name__
        self.iterations: int | None = _check.integer("iterations", iterations, low=1)
        sigma = _levels(sigma)
        self.tol: float | None = _check.number("tol", tol, low=0, strict=True, allow_none=True)
        self.implicit, self.checkpoint = bool(implicit), bool(checkpoint)
        self.prior: Any = denoiser if isinstance(denoiser, Prior) else None
        several = isinstance(denoiser, Sequence) and not isinstance(denoiser, str)
        parts = [] if self.prior else [as_network("denoiser", d) for d in (denoiser if several else [denoiser])]
        if several and len(parts) != self.iterations:
            raise ValueError(f"denoiser lists {len(parts)} modules for {self.iterations} iterations: one for each, or "
                             "one alone")
        if parts and not several and not shared_weights:
            parts += [copy.deepcopy(parts[0]) for _ in range(self.iterations - 1)]
        self.parts: Any = nn.ModuleList(parts)
        self.filters: bool = bool(parts) and isinstance(parts[0], FilterBank)
        self._choose(channels, noise_input)
        self._several = several
        self._options = {"iterations": self.iterations, "shared_weights": bool(shared_weights),
                         "shared_steps": bool(shared_steps), "learn_steps": bool(learn_steps), "sigma": sigma,
                         "channels": self.channels, "noise_input": self.noise_input, "tol": self.tol,
                         "implicit": self.implicit, "checkpoint": self.checkpoint}
        self._parameters_of_steps(sigma, 1 if shared_steps else self.iterations, bool(learn_steps))

    def _choose(self, channels, noise_input):
        self.channels, self.noise_input = None, None
        if self.filters:
            if self.kind not in ("ADMM", "PDHG"):
                raise ValueError(f"a FilterBank needs a solver that splits, ADMM() or PDHG(), got {self.solver!r}")
        elif self.parts:
            about = Denoiser(self.parts[0], channels="auto" if channels is None else channels, noise_input=noise_input)
            self.channels, self.noise_input = about.channels, about.noise_input
            if self.channels == "magnitude":
                raise ValueError("channels='magnitude' loses the phase, which an unrolled network has to see: give "
                                 "'complex' or 'parts'")
            if about.ndim == 3 or self.channels == "native" or self.noise_input not in (None, "map", "scalar"):
                raise ValueError(f"{about.name} takes volumes, complex numbers, or sigma in another form than "
                                 "(B, 1, 1, 1), which an unrolled network does not give: wrap it in a module that does")

    def _parameters_of_steps(self, sigma, count, learn):
        first = {n: getattr(self.solver, _FIELD.get(n, n), None) or v for n, v in self.solver.learnable.items()}
        if self.kind == "PDHG" and first["tau"] is None:
            if self.prior:
                raise ValueError("tau is needed: with a prior of pisolve it is not known before the image; give "
                                 "PDHG(sigma=..., tau=...), tau <= 1 / (1/2 + sigma ||G||^2)")
            first["tau"] = 1 / (0.5 + first["sigma"] * (self.parts[0].norm2() if self.filters else 1))
        levels = [sigma] * count
        if isinstance(sigma, list):
            levels = [sigma[0] * (sigma[1] / sigma[0]) ** (k / max(count - 1, 1)) for k in range(count)]
        elif self.kind == "HQS" and count > 1:  # sigma_k = sigma sqrt(rho / rho_k)
            last = max(self.solver.iterations - 1, 1)
            levels = [sigma * self.solver.ratio ** (max(1 - k / last, 0) / 2) for k in range(count)]
        values = {n: [v] * count for n, v in first.items()} | ({"level": levels} if self.noise_input else {})
        self._steps = list(first)
        for name, numbers in values.items():
            logs = torch.tensor([math.log(v) for v in numbers], dtype=torch.get_default_dtype())
            setattr(self, f"log_{name}", nn.Parameter(logs, requires_grad=learn))
        # init is given numbers where it would look at the whole batch to choose them; the steps replace them
        known = {_FIELD.get(n, n): v for n, v in first.items() if n in ("rho", "sigma") and self.kind != "DataProx"}
        self._start = replace(self.solver, **{f.name: known.get(f.name) for f in fields(self.solver)
                                              if f.name in ("rho", "sigma", "tau", "step_size")})

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network but for its weights, as plain values."""
        if self.prior is not None:
            raise TypeError(f"a network around {self.prior!r} cannot be written down: its denoiser must be a module")
        parts = [describe(part) for part in self.parts]
        return {"solver": {"name": self.kind, **asdict(self.solver)},
                "denoiser": parts if self._several else parts[0], **self._options}

    def steps(self, k: int) -> dict[str, torch.Tensor]:
        """The penalties and step sizes of iteration k, by name."""
        return {name: self._at(name, k) for name in self._steps}

    def part(self, k: int) -> nn.Module:
        """The regulariser of iteration k."""
        return self.parts[k if len(self.parts) > 1 else 0]

    def _at(self, name, k):
        logs = getattr(self, f"log_{name}")
        return logs[k if len(logs) > 1 else 0].exp()

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """The image: A a linop image -> data, y native complex of A's output shape, x0 the first image, else A^H y / c.

        c is the curvature of the data term, ||A b||^2 / ||b||^2 at b = A^H y of each slice: 1 for full data.
        """
        prior = self.prior or _Learned(self)
        problem = SliceProblem(A, y, prior, tol=self.tol, implicit=self.implicit)
        weight = next(self.parameters())
        if weight.device != y.device:
            raise ValueError(f"y is on {y.device}, the network on {weight.device}: move one with .to(...)")
        if self.filters:
            problem.splitting = _FilterSplit(prior)
        state = self._start.init(problem, problem.start(x0))
        finite = []
        for k in range(self.iterations):
            if self.checkpoint and torch.is_grad_enabled():
                state = recompute(self._step, problem, prior, state, k, use_reentrant=False)
            else:
                state = self._step(problem, prior, state, k)
            finite.append(torch.isfinite(torch.view_as_real(state.x.detach().resolve_conj())).all())
        finite = torch.stack(finite)
        if not bool(finite.all()):
            k = int((~finite).int().argmax())
            raise FloatingPointError(f"step {k + 1} of {self.iterations} of the unrolled {self.kind} gave NaN or Inf: "
                                     "look at the weights of its network, its steps, and the scale of y")
        return state.x

    def _step(self, problem, prior, state, k):
        values = self.steps(k)
        if self.prior is None:
            prior.k, prior.weight = k, self.solver.gradient_weight(values)
        eta, u = values.pop("eta", None), state.aux.get("u")
        state = self.solver.step(problem, replace(state, aux={**state.aux, **values}))
        if eta is not None:
            state = replace(state, aux={**state.aux, "u": u + eta * (state.aux["u"] - u)})
        return state

    def regularise(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """D_k(x) on complex images (..., y, x), or the shrinkage of filtered images (..., filter, y, x)."""
        part = self.part(k)
        if self.filters:
            return part.shrink(x)
        return denoised(part, x, self._at("level", k) if self.noise_input else None, channels=self.channels,
                        noise_input=self.noise_input, name=f"the network of step {k + 1}")

    def extra_repr(self) -> str:
        """The solver and the number of iterations, for `print`."""
        return f"{self.solver!r}, iterations={self.iterations}"


def _levels(sigma):
    """A noise level, or a list of the first and the last one."""
    if not isinstance(sigma, tuple | list):
        return _check.number("sigma", sigma, low=0, strict=True)
    if len(sigma) != 2:
        raise ValueError(f"sigma must be one level or the first and the last one, got {len(sigma)} of them")
    return [_check.number("sigma", s, low=0, strict=True) for s in sigma]


def _unrollable() -> tuple[str, ...]:
    """The names of the solvers whose steps have something to learn."""
    return tuple(n for n in solvers.__all__ if getattr(getattr(solvers, n), "learnable", None))


def _solver(given) -> Solver:
    """A solver that can be unrolled, from itself or its description."""
    if isinstance(given, dict):
        given = dict(given)
        name = _check.choice("solver['name']", given.pop("name", None), _unrollable())
        try:
            given = getattr(solvers, name)(**given)
        except TypeError as error:
            raise ValueError(f"solver {name} has no option of this name: {error}") from error
    if not isinstance(given, Solver) or not given.learnable:
        raise TypeError(f"solver must be one of {', '.join(_unrollable())}, got {_check.brief(given)}")
    looks = [n for n in ("backtracking", "balance") if getattr(given, n, False)]
    looks += ["restart"] if getattr(given, "restart", False) and getattr(given, "momentum", False) else []
    if looks:
        raise ValueError(f"{type(given).__name__}({looks[0]}=True) decides by all slices at once, which a network "
                         f"must not: give {looks[0]}=False")
    return given
