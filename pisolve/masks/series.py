"""Lines of a series, spread over time as well: variable density, and no two frames alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve.masks._arguments import centre_block, check_axis, check_shape, too_fast

_EXPONENT = 3.0  # of the energy; above 2, the dimension, the density of the minimum follows from the charges alone
_SWEEPS = 60  # at most; it settles after some ten


def vista(shape: Sequence[int], accel: float = 4, frames: int = 16, *, calib: int | None = None, density: float = 4.0,
          width: float = 0.2, axis: int = -2, seed: int = 0) -> np.ndarray:
    """Lines for each frame that keep away from each other in k-space and in time, denser towards the centre.

    The samples are charges at points (ky, t) that repel each other: a pattern of low Riesz energy

        E = sum_(i < j) q_i q_j / |p_i - p_j|^3,   q(ky) = rho(ky)^(-3/4),   rho = 1 + (density - 1) exp(-ky^2 / 2 w^2)

    over patterns with round(N/accel) lines in every frame. A step of time is as long as one of ky, and both wrap
    around. For these charges points of least energy have the density rho (Borodachov, Hardin and Saff, 2008). From a
    seeded draw with the density rho each line moves to the free place of its frame where the energy is lowest, until
    none gains. Lines that no frame samples then get one, and what follows gives no line of k-space up: the mean over
    time is fully sampled, where the frames together have enough lines for it, and coils can be calibrated from it.

    Args:
        shape: image or k-space shape; its last two entries (ky, kx) are used.
        accel: acceleration >= 1, that of every frame.
        frames: how many.
        calib: lines of a full centre in every frame, among the N/accel; None: 0.32 N/accel of them, as fastMRI's masks
            have. Without a centre (0) the frames begin far from their images, and solvers take many more iterations.
        density: how many times as dense the centre is as the edge; 1 is uniform.
        width: w as a share of N.
        axis: the phase-encoding axis, -2 (ky) or -1 (kx).
        seed: an integer.

    Returns:
        bool array (frames, ky, kx).

    Raises:
        ValueError: accel < 1 or above N, or the centre alone holds more lines than N/accel.

    Reference:
        Ahmad et al., Variable density incoherent spatiotemporal acquisition, Magn Reson Med 74 (2015) 1266. There the
        energy has another exponent and falls by gradient steps between the samples of the grid; here by whole moves.
    """
    shape, axis = check_shape(shape), check_axis(axis)
    accel = _check.number("accel", accel, low=1)
    frames = _check.integer("frames", frames, low=1)
    density = _check.number("density", density, low=1)
    width = _check.number("width", width, low=0, strict=True)
    rng = np.random.default_rng(_check.integer("seed", seed, low=0))
    n = shape[axis]
    calib = round(0.32 * n / accel) if calib is None else _check.integer("calib", calib, low=0)
    full = centre_block((n, 1), calib)[1][:, 0]
    wanted = round(n / accel)
    if wanted < full.sum() or wanted == 0:
        raise too_fast(accel, n, int(full.sum()), centre="calib")
    rho = 1 + (density - 1) * np.exp(-(((np.arange(n) - n // 2) / (width * n)) ** 2) / 2)
    lines = _drawn(rho, full, wanted, frames, rng)
    if wanted > full.sum():
        _spread(lines, full, rho ** (-_EXPONENT / 4), rng)
    lines = lines.T[:, :, None] if axis == -2 else lines.T[:, None, :]
    return np.broadcast_to(lines, (frames, *shape)).copy()


def _drawn(rho, full, wanted, frames, rng):
    """(n, frames) bool: in every frame the full centre and lines drawn by the density without replacement."""
    key = np.where(full[:, None], np.inf, np.log(rho)[:, None] + rng.gumbel(size=(len(rho), frames)))
    lines = np.zeros(key.shape, bool)
    np.put_along_axis(lines, np.argsort(key, axis=0)[len(rho) - wanted:], True, axis=0)
    return lines


def _spread(lines, full, charge, rng) -> None:
    """Move lines, in place, to where the energy is lower: first freely, then with every line of k-space sampled."""
    field = _Field(lines, charge)
    points = np.argwhere(lines & ~full[:, None])
    for covered in (False, True):
        if covered:
            _cover(field, points)
        for _ in range(_SWEEPS):
            moved = 0
            for i in rng.permutation(len(points)):
                k, t = points[i]
                if covered and field.counts[k] == 1:
                    continue
                cost = field.costs(k, t)
                best = int(cost.argmin())
                if cost[best] < cost[k] * (1 - 1e-9):
                    field.move(k, best, t)
                    points[i] = best, t
                    moved += 1
            if not moved:
                break


def _cover(field, points) -> None:
    """Bring a line to each place that no frame samples, the cheapest that another frame samples, too."""
    for wanted in np.flatnonzero(field.counts == 0):
        spare = [i for i, (k, _) in enumerate(points) if field.counts[k] > 1]
        if not spare:
            return  # fewer lines in all frames together than k-space has
        gain = [(c := field.costs(*points[i]))[wanted] - c[points[i][0]] for i in spare]
        i = spare[int(np.argmin(gain))]
        k, t = points[i]
        field.move(k, wanted, t)
        points[i] = wanted, t


class _Field:
    """The potential of all charges at every place (ky, t), kept as lines move."""

    def __init__(self, lines, charge):
        self.lines, self.charge, self.counts = lines, charge, lines.sum(1)
        n, frames = lines.shape
        k, t = (np.minimum(np.arange(m), m - np.arange(m)) for m in (n, frames))
        with np.errstate(divide="ignore"):
            kernel = np.hypot(k[:, None], t) ** -_EXPONENT
        kernel[0, 0] = 0  # no charge repels itself
        self.kernel = np.tile(kernel, (2, 2))
        self.field = np.zeros(lines.shape)
        for k, t in np.argwhere(lines):
            self._add(k, t, 1)

    def _add(self, k, t, sign):
        n, frames = self.lines.shape
        self.field += sign * self.charge[k] * self.kernel[n - k : 2 * n - k, frames - t : 2 * frames - t]

    def costs(self, k, t):
        """The energy of line k of frame t at every place of its frame; inf where there is a line already."""
        n = len(self.charge)
        others = self.field[:, t] - self.charge[k] * self.kernel[n - k : 2 * n - k, 0]
        cost = self.charge * others
        taken = self.lines[:, t].copy()
        taken[k] = False
        return np.where(taken, np.inf, cost)

    def move(self, k, other, t):
        """Line k of frame t goes to another place."""
        self._add(k, t, -1)
        self._add(other, t, 1)
        self.lines[k, t], self.lines[other, t] = False, True
        self.counts[k] -= 1
        self.counts[other] += 1
