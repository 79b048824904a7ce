"""Data consistency on torch tensors: slice by slice, in closed form where there is one, with implicit derivatives."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from pisolve import _check, backend
from pisolve.linops.sense import Sense
from pisolve.problem import Problem


def independent_axes(A) -> int:
    """The number of leading axes of the image that A does not mix: those of slices in a batch, or of frames."""
    return len(getattr(A, "lead", ()))


def dot(a: torch.Tensor, b: torch.Tensor, lead: int) -> torch.Tensor:
    """Re <a, b> of each entry of the first `lead` axes, with the other axes kept as ones."""
    value = torch.linalg.vecdot(a.flatten(lead), b.flatten(lead)).real
    return value.reshape(value.shape + (1,) * (a.ndim - lead))


def conjugate_gradients(H, b, x, lead: int, *, iterations: int, tol: float) -> torch.Tensor:
    """H x = b from x (None: from 0), each slice with its own steps: a slice's result does not depend on the others.

    A slice rests once its residual is at most `tol` times the first one. H is Hermitian and mixes none of the first
    `lead` axes. Differentiable; nothing is copied to the host (a CPU run ends when all slices rest).
    """
    r = b if x is None else b - H(x)
    x = torch.zeros_like(b) if x is None else x
    p, rr = r, dot(r, r, lead)
    target = tol**2 * rr.detach()
    for _ in range(iterations):
        moves = ~(rr.detach() <= target)  # also NaN, which must come out
        if b.device.type == "cpu" and not bool(moves.any()):
            break
        Hp = H(p)
        alpha = rr / torch.where(moves, dot(p, Hp, lead), 1) * moves  # no 0/0, whose derivative would be NaN
        x, r = x + alpha * p, r - alpha * Hp
        new = dot(r, r, lead)
        p = r + new / torch.where(moves, rr, 1) * moves * p
        rr = new
    return x


_HARD = 1e-12  # a penalty that counts as none


class _Inverse(torch.autograd.Function):
    """H^-1 r of the residual r = b - H x of a solved problem: 0 forward, H^-1 g backward."""

    @staticmethod
    def forward(ctx, r, solve):
        ctx.solve = solve
        return torch.zeros_like(r)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return ctx.solve(g), None


class _Prox(torch.autograd.Function):
    """x = v + H^-1 (b - N v), b = A^H y, N = A^H A, H = N + rho, with derivatives that bear an inverse cut short.

    dx/dv g = rho H^-1 g is computed as q = g - H^-1 (N g), which is the prox itself at y = 0: what the data do not see
    comes out exactly after any number of iterations, and the error falls with each. (As g - N (H^-1 g) the error may be
    longer than q: after five iterations at ||A||^2 / rho = 700 the gradient of a network pointed uphill.)
    """

    @staticmethod
    def forward(ctx, v, rho, b, normal, solve):
        x = v + solve(b - normal(v), rho)
        ctx.normal, ctx.solve = normal, solve
        ctx.save_for_backward(x - v, rho)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        move, rho = ctx.saved_tensors
        q = g - ctx.solve(ctx.normal(g), rho)
        own = max((a + 1 for a, n in enumerate(rho.shape) if n > 1), default=0)  # a penalty of each slice
        of_rho = -dot(q, move, own).reshape(rho.shape) / rho if ctx.needs_input_grad[1] else None
        of_b = None
        if ctx.needs_input_grad[2]:  # A^H y sees the range of A^H only; without it, conjugate gradients go astray
            of_b = ctx.solve(g - q if float(rho.min()) < _HARD else g, rho)
        return q, of_rho, of_b, None, None


class SliceProblem(Problem):
    """A problem on torch tensors whose inner problems are solved slice by slice, as unrolled networks need it.

    Args:
        A, y, prior: as for `Problem`; y a torch tensor.
        tol: None: conjugate gradients start from the point the prior proposes and run to rounding, and
            `data_prox` is in closed form where A^H A is diagonal in the image or in k-space. A number: they start from
            the solver's last x and stop at this residual: with 0.1 the iterates are those of `pi.solve`.
        implicit: derivatives of an inner problem by solving it once more, (H^-1)^H g, for any number of iterations in
            the memory of one; False: through all its iterations.
    """

    lipschitz = 1.0  # steps are learned: what would be chosen from ||A|| is not asked for

    def __init__(self, A, y, prior=None, *, tol: float | None = None, implicit: bool = True):
        if not torch.is_tensor(y):
            raise TypeError(f"y must be a torch tensor, got {type(y).__name__}: pisolve.backend.to_torch(y) makes one")
        super().__init__(A, y, prior)
        self.tol, self.implicit = tol, implicit
        self.lead = independent_axes(self.linop)

    def start(self, x0=None, *, zero=False):
        """A checked x0, else A^H y / c with the curvature c = <b, A^H A b> / <b, b> at b = A^H y of each slice."""
        if x0 is not None:
            return super().start(x0, zero=zero)
        b = self.AHy
        energy, curved = dot(b, b, self.lead), dot(b, self.normal(b), self.lead)
        fits = (energy > 0) & (curved > 0)
        return b * torch.where(fits, energy, 1) / torch.where(fits, curved, 1)

    def inner(self, H, b, x, iterations):
        if not self.implicit or not torch.is_grad_enabled():
            return self._cg(H, b, x, iterations)
        with torch.no_grad():
            x = self._cg(H, b, x, iterations)
        return x + _Inverse.apply(b - H(x), lambda g: self._cg(H, g, None, iterations))

    def _cg(self, H, b, x, iterations):
        lead = self.lead if b.shape == torch.Size(self.ishape) else 0
        tol = self.tol or (1e-14 if b.dtype == torch.complex128 else 1e-7)
        return conjugate_gradients(H, b, x, lead, iterations=iterations, tol=tol)

    def data_prox(self, v, rho, x, iterations):
        """v + (A^H A + rho)^-1 A^H (y - A v): right for every rho; at 0 the closest image with A^H A x = A^H y.

        rho is a number, or one for each slice, (slice, 1, 1).
        """
        if self.tol is not None:
            return super().data_prox(v, rho, x, iterations)
        if self._inverse is not None:
            return v + self._inverse(self.AHy - self.normal(v), rho)
        rho = torch.as_tensor(rho, dtype=v.real.dtype, device=v.device)

        def solve(r, rho):
            return self._cg(lambda p: self.normal(p) + rho * p, r, None, iterations)

        if self.implicit:
            x = _Prox.apply(v, rho, self.AHy, self.normal, solve)
            if getattr(self.linop, "tensor", None) is None:
                return x
            return x + _Inverse.apply(-self.normal(x.detach()), lambda g: solve(g, rho))  # what A itself depends on
        return v + solve(self.AHy - self.normal(v), rho)

    @cached_property
    def _inverse(self):
        """(r, rho) -> (A^H A + rho)^-1 r for r in the range of A^H, or None where it takes iterations."""
        A = self.linop
        if not isinstance(A, Sense):
            return None
        like = self.AHy
        coils = -1 - A.ndim
        energy = (A.mps.real**2 + A.mps.imag**2).sum(coils)
        weight = None if A.weight is None else A.weight**2
        if not A.varying_axes:  # every pixel by itself
            diagonal = backend.to_torch(energy if weight is None else energy * weight).to(like.device)
            return lambda r, rho: r * _reciprocal(diagonal, rho)
        top, low = float(energy.max()), float(energy.min())
        if A.mps.shape[coils] > 1 or top - low > 1e-5 * top:
            return None
        # one coil of constant magnitude, S = s U with |U| = 1: every sample by itself, F along the mask's axes only
        unit = backend.to_torch(A.mps.squeeze(coils) / top**0.5).to(like.device, like.dtype)
        squares = torch.fft.ifftshift(backend.to_torch(weight).to(like.device), A.varying_axes) * top

        def inverse(r, rho):
            k = backend.fft(unit * r, A.varying_axes, centred=False) * _reciprocal(squares, rho)
            return unit.conj() * backend.fft(k, A.varying_axes, centred=False, inverse=True)

        return inverse


def _reciprocal(squares, rho):
    """1 / (squares + rho), and 0 where nothing was measured."""
    measured = squares > 0
    return measured / torch.where(measured, squares + rho, 1)


class DataConsistency(nn.Module):
    """x = argmin_x nu/2 ||A x - y||^2 + 1/2 ||x - z||^2: the layer between networks of a cascade.

    For one coil of constant magnitude this is Schlemper's layer, k = (k_z + nu y) / (1 + nu) at the measured samples
    and k_z elsewhere, by one FFT and one back over the axes along which the mask varies. With several coils, where no
    sample stands for itself, it is solved by conjugate gradients from z, as in MoDL; nu = inf then is the image closest
    to z with A^H A x = A^H y, as near as `inner` steps come. Slices of a batch are solved each by itself.

    Args:
        nu: trust in the data, > 0; inf: hard, the measured samples are put back as they are.
        learn: whether a finite nu is a parameter, exp(log_nu).
        inner: most conjugate gradient steps.

    Raises:
        TypeError, ValueError: nu that is no positive number, data that do not fit A, no torch tensors.

    Reference:
        Schlemper et al., IEEE Trans Med Imaging 37 (2018) 491, eq. 6; Aggarwal et al., ibid. 38 (2019) 394.

    Example:
        x = pi.nets.DataConsistency()(A, y, network(x))
    """

    inner: int | None
    config: Any
    log_nu: Any

    def __init__(self, nu: float = math.inf, *, learn: bool = False, inner: int = 10):
        super().__init__()
        hard = nu == math.inf
        nu = nu if hard else _check.number("nu", nu, low=0, strict=True)
        self.inner: int | None = _check.integer("inner", inner, low=1)
        if hard and learn:
            raise ValueError("nu = inf cannot be learned: start from a finite one")
        self.config: Any = {"nu": nu, "learn": bool(learn), "inner": self.inner}
        self.log_nu: Any = None if hard else nn.Parameter(torch.tensor(math.log(nu)), requires_grad=bool(learn))

    def forward(self, A: Any, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The image z (..., y, x), made consistent with the data y of A: complex tensors, differentiable."""
        rho = 0.0 if self.log_nu is None else (-self.log_nu).exp()
        problem = SliceProblem(A, y)
        z = _check.array("z", z, shape=problem.ishape).to(problem.AHy.dtype)
        return problem.data_prox(z, rho, z, self.inner)
