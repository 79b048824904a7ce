"""What moved between shots or frames: translation and rotation of each, found together with the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import ArrayLike
from pisolve.linops import Linop, rigid
from pisolve.linops.base import Adjoint
from pisolve.priors import Prior
from pisolve.solvers import CG, solve

_STEP = 1e-2  # pixels, and degrees, of the differences that are the derivatives
_HALVINGS = 5  # of a step that does not go down
_DAMPING = 1e-3  # of the normal equations, beside their diagonal
_STEEPEST = 45.0  # degrees
_PARTS = (0.3, 0.6, None)  # of k-space, whose edge is 1: the widths of the windows through which motion is looked for
_SETTLED = 1e-3  # pixels and degrees: a smaller step ends a window
_DONE = 1e-6  # relative residual: CG in single precision, led on beyond it, runs away
_LESS = 0.99  # of the misfit: what motion has to get below to count as found


@dataclass(frozen=True)
class Motion:
    """What `motion` returns.

    Attributes:
        shifts: (state, 2), pixels along y and x; that of the first state is 0.
        angles: (state,), degrees.
        x: the image, as it lay in the first state.
        still: ||A x - y|| / ||y|| of the image without motion, by as many iterations.
        misfit: the same with motion.
        found: whether that is below 0.99 of `still`: else the data do not ask for motion, and all states are 0.
    """

    shifts: np.ndarray
    angles: np.ndarray
    x: np.ndarray = field(repr=False)
    still: float
    misfit: float
    found: bool


def motion(A: Any, y: ArrayLike, prior: Prior | None = None, *, turns: int = 8, max_iter: int = 10,
           rotation: bool = True) -> Motion:
    """The rigid motion between the states of a scan, together with the image.

        minimise over x, d, a    1/2 sum_s ||A_s T(d_s, a_s) x - y_s||^2 + g(x)

    The image for fixed motion is a problem for `pi.solve`. The motion of all states is a Gauss-Newton step of what is
    left when the image follows (variable projection), halved until that falls; first of the centre of k-space, through
    two Gaussian windows, then of all of it. The first state stays where it is. Coils tell states apart: each needs
    lines all over k-space, as interleaved shots have. A step costs three solves a state.

    Args:
        A: the encoding of the states, (state, y, x) -> k-space with the states in front: `linops.sense(mps, masks,
            shape=(state, coil, ky, kx), axes=("state", "coil", "ky", "kx"))`.
        y: k-space.
        prior: g of the image; None: none.
        turns: how often the motion takes a step in each window, at most.
        max_iter: iterations of the image in each turn, and of how it follows.
        rotation: False: translation alone.

    Returns:
        `Motion`; `found` says whether the data got better by it.

    Raises:
        TypeError, ValueError: data that do not fit A; fewer than two states; images that are no planes.

    Reference:
        Cordero-Grande et al., IEEE Trans Comput Imaging 2 (2016) 266.

    Example:
        found = pi.signals.motion(A, y, 1e-3 * pi.Wavelet())
        print(found.found, found.shifts)
    """
    _check.linop("A", A)
    y = _check.array("y", y, shape=tuple(A.oshape), nonzero=True)
    y = backend.from_torch(y) if _check.is_torch(y) else y
    if len(A.ishape) != 3 or A.ishape[0] < 2:
        raise ValueError(f"A takes images of shape {tuple(A.ishape)}: (state, y, x) with two states or more is needed")
    turns, max_iter = _check.integer("turns", turns, low=1), _check.integer("max_iter", max_iter, low=1)
    states, *shape = A.ishape
    axis = _axes.of_linop(A)[0] or "state"
    size = float(backend.norm(y))
    solver = CG() if prior is None else None

    def moved(p):
        return rigid(shape, p[:, :2], p[:, 2], axis=axis)

    def image(A, y, p, x0, count):
        return solve(A * moved(p), y, prior, solver, x0=x0, max_iter=count, tol=_DONE).x

    def misfit(A, y, p, x):
        return float(backend.norm(A(moved(p)(x)) - y)) / size

    p, x, radius = np.zeros((states, 3)), None, _radius(A)
    plain = image(A, y, p, None, (turns + 1) * max_iter)
    still = misfit(A, y, p, plain)
    for part in _PARTS:
        B = A if part is None else Windowed(A, np.exp(-((radius / part) ** 2)))
        data = y if part is None else B.window(y)
        x = image(B, data, p, x, max_iter)
        for _ in range(turns):
            step = _step(B, data, x, p, moved, rotation, max_iter)
            new, x = _halved(p, step, x, lambda q, x, B=B, data=data: image(B, data, q, x, max_iter),
                             lambda q, x, B=B, data=data: misfit(B, data, q, x))
            settled, p = abs(new - p).max() < _SETTLED, new
            if settled:
                break
    last = misfit(A, y, p, x)
    good = last < _LESS * still
    p, x = (p, x) if good else (0 * p, plain)
    return Motion(p[:, :2], p[:, 2], backend.to_numpy(x), still, last if good else still, good)


def _halved(p, step, x, image, misfit):
    """(p + step, its image), the step halved until the misfit falls; (p, x) where it never does."""
    before = misfit(p, x)
    for k in range(_HALVINGS):
        tried = p + 0.5**k * step
        tried[:, 2] = np.clip(tried[:, 2], -_STEEPEST, _STEEPEST)
        new = image(tried, x)
        if misfit(tried, new) < before:
            return tried, new
    return p, x


class Windowed(Linop):
    """W A, W real over the samples of each coil: y -> w y."""

    def __init__(self, A: Any, w: Any):
        self.A, self._w = A, backend.Constant(w)
        super().__init__(A.oshape, A.ishape, repr_str="Windowed")
        self.iaxes, self.oaxes = A.iaxes, A.oaxes

    def window(self, y: ArrayLike):
        """w y."""
        return self._w.like(y, _check.real_name(y)) * y

    def _apply(self, input):
        return self.window(self.A(input))

    def _apply_adjoint(self, input):
        return self.A.H(self.window(input))

    def _adjoint_linop(self):
        return Adjoint(self)


def _radius(A):
    """|k| of each sample over that of the edge, broadcasting to the data: of coordinates, or of the last two axes."""
    coord = getattr(A, "coord", None)
    if coord is not None:
        r = np.linalg.norm(coord / (0.5 * np.array(A.ishape[-2:])), axis=-1)
        return np.expand_dims(r, 1) if r.ndim == len(A.oshape) - 1 else r
    y, x = (2 * np.fft.fftshift(np.fft.fftfreq(n)) for n in A.oshape[-2:])
    return np.hypot(y[:, None], x)


def _step(A, y, x, p, moved, rotation: bool, max_iter: int):
    """The Gauss-Newton step of all states, of what is left when the image follows the motion (variable projection)."""
    B = A * moved(p)
    left = backend.to_numpy(y - B(x)).ravel()
    columns, places = [], [(s, k) for s in range(1, len(p)) for k in range(2 + rotation)]
    for k in range(2 + rotation):
        h = np.zeros_like(p)
        h[1:, k] = _STEP
        slope = A((moved(p + h)(x) - moved(p - h)(x)) * (0.5 / _STEP))
        for s in range(1, len(p)):
            one = backend.zeros(slope.shape, slope)
            one[s] = slope[s]
            follows = solve(B, one, None, CG(), max_iter=max_iter, tol=_DONE).x
            columns.append(((s, k), backend.to_numpy(one - B(follows)).ravel()))
    columns = dict(columns)
    J = np.stack([columns[place] for place in places])
    H = (J.conj() @ J.T).real
    H = H + _DAMPING * np.diag(np.diag(H)) + 1e-30 * np.eye(len(H))
    step = np.zeros_like(p)
    step[1:, :2 + rotation] = np.linalg.solve(H, (J.conj() @ left).real).reshape(len(p) - 1, -1)
    return step
