"""Gradient delays: samples that lie a little before or behind where they were meant."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend.points import checked_coord

_RADIUS, _GRID = 9, 22  # of the centre of k-space that is fitted, and pixels of its image along an axis
_COILS, _POINTS = 4, 4000  # virtual coils, and samples, at most
_NOISE = 1e-3  # of the largest eigenvalue, which keeps the fit of an uncovered centre finite


def delays(kspace: ArrayLike, coord: ArrayLike, shape: Sequence[int], *, iterations: int = 8) -> np.ndarray:
    """The matrix S of the delays with which k-space agrees with itself best: samples lie at k + k' S.

        minimise over S = S^T    sum_c min_m ||y_c - E(k + k' S) m||^2

    k' is the step from one sample of a shot to the next, S a delay in samples for each axis (its diagonal) and what one
    gradient does to another; m is a small image of each coil, so that only the centre of k-space counts, |k| <= 9. For
    radial scans it finds what RING finds from the places where spokes cross, and takes other trajectories as well.

    Args:
        kspace: (coil, shot, sample), complex.
        coord: (shot, sample, axis), as for `linops.nufft`.
        shape: of the image.
        iterations: of Gauss-Newton, at most.

    Returns:
        S, (axis, axis), in samples. `calib.delayed(coord, S)` applies it.

    Raises:
        TypeError, ValueError: arrays that do not fit each other, shots of fewer than three samples, or none in the
            centre.

    Reference:
        Peters et al., Magn Reson Med 50 (2003) 1; Rosenzweig, Holme and Uecker, Magn Reson Med 81 (2019) 1898 (RING);
        Golub and Pereyra, SIAM J Numer Anal 10 (1973) 413, Kaufman, BIT 15 (1975) 49 (m eliminated).
    """
    shape = _check.shape("shape", shape)
    kspace = np.asarray(_check.array("kspace", kspace, ndim=3))
    coord = checked_coord(coord, shape)
    if coord.ndim != 3 or kspace.shape[1:] != coord.shape[:-1] or coord.shape[1] < 3:
        raise ValueError(f"kspace has shape {kspace.shape}, coord {coord.shape}: give (coil, shot, sample) and (shot, "
                         "sample, axis) with at least three samples")
    near = np.linalg.norm(coord, axis=-1) <= (_RADIUS if len(shape) == 2 else _RADIUS // 2)
    if not near.any():
        raise ValueError(f"coord comes no nearer to the centre than {np.linalg.norm(coord, axis=-1).min():.3g} cells: "
                         "delays are found there")
    thin = slice(None, None, -(-int(near.sum()) // _POINTS))
    fit = _Fit(kspace[:, near][:, thin], coord[near][thin], np.gradient(coord, axis=1)[near][thin])
    s = np.zeros(len(fit.places))
    r, J = fit(s)
    for _ in range(_check.integer("iterations", iterations, low=1)):
        change = -np.linalg.lstsq(J, r, rcond=1e-3)[0]
        change *= min(1.0, 1.0 / max(abs(change).max(), 1e-12))  # a sample at a time
        new = fit(s + change)
        while new[0] @ new[0] > r @ r and abs(change).max() > 1e-3:
            change /= 2
            new = fit(s + change)
        if new[0] @ new[0] >= r @ r:
            break
        s, (r, J) = s + change, new
        if abs(change).max() < 1e-3:
            break
    return fit.matrix(s)


class _Fit:
    """The residual of the best small images, and its derivatives, as functions of the delays."""

    def __init__(self, y, k, step):
        self.d = d = k.shape[-1]
        y = y.astype(np.complex128)
        _, vectors = np.linalg.eigh(y @ y.conj().T)
        y = vectors[:, -_COILS:].conj().T @ y
        self.y, self.k, self.step = (y / np.linalg.norm(y)).T, k, step
        self.pixels = _GRID if d == 2 else _GRID // 2
        self.places = [(i, j) for i in range(d) for j in range(i, d)]
        self.grid = np.stack([g.ravel() for g in np.indices((self.pixels,) * d)], 1) - self.pixels // 2
        lags = self.grid[:, None] - self.grid + self.pixels - 1
        self.lags = np.ravel_multi_index(tuple(lags.transpose(2, 0, 1)), (2 * self.pixels - 1,) * d)

    def matrix(self, s):
        """S of the numbers on and above its diagonal."""
        S = np.zeros((self.d, self.d))
        for value, (i, j) in zip(s, self.places):
            S[i, j] = S[j, i] = value
        return S

    def _waves(self, k, places, sign):
        """exp(sign 2 pi i k n / N) at these places of each axis, (point, all places)."""
        one = [np.exp(sign * 2j * np.pi / self.pixels * np.multiply.outer(a, places)) for a in k.T]
        return reduce(lambda a, b: (a[:, :, None] * b[:, None]).reshape(len(a), -1), one)

    def __call__(self, s):
        """(r, dr/ds), real: r = y - E m with the best m, of whose change the part that E explains does not count."""
        import scipy.linalg

        n, k = self.pixels, self.k + self.step @ self.matrix(s)
        E = self._waves(k, np.arange(n) - n // 2, -1)
        lags = np.arange(1 - n, n)
        first = self._waves(k[:, :-1], lags, 1)
        N = (first.T @ self._waves(k[:, -1:], lags, 1)).ravel()[self.lags]  # E^H E, by its lags alone
        N[np.diag_indices_from(N)] += _NOISE * len(k)
        factor = scipy.linalg.cho_factor(N, lower=True, check_finite=False)

        def best(v):
            return scipy.linalg.cho_solve(factor, E.conj().T @ v, check_finite=False)

        m = best(self.y)
        r = self.y - E @ m
        slopes = [-2j * np.pi / n * (E @ (self.grid[:, a:a + 1] * m)) for a in range(self.d)]
        moved = [self.step[:, i:i + 1] * slopes[j] + (i != j) * self.step[:, j:j + 1] * slopes[i]
                 for i, j in self.places]
        moved = np.concatenate(moved, 1)
        J = -(moved - E @ best(moved)).reshape(len(k), len(self.places), -1)
        J = J.transpose(0, 2, 1).reshape(-1, len(self.places))
        return np.concatenate([r.real.ravel(), r.imag.ravel()]), np.concatenate([J.real, J.imag])


def delayed(coord: ArrayLike, S: ArrayLike) -> np.ndarray:
    """Coordinates (shot, sample, axis) whose samples lie S of `delays` further along: k + k' S."""
    coord = np.asarray(coord, np.float64)
    return coord + np.gradient(coord, axis=-2) @ np.asarray(S, np.float64)


def shot_factors(kspace: ArrayLike, coord: ArrayLike) -> np.ndarray:
    """What each shot is multiplied by, as its sample nearest to the centre of k-space says: complex, of mean 1.

        a_s = sum_c conj(m_c) y_cs / sum_c |m_c|^2,    m the mean over shots

    All shots measure the centre, so that there they should agree. They do not while the magnetisation runs into its
    steady state, or where the scanner's phase drifts: `kspace / a[:, None]` puts that right. Not for shots of different
    contrast, such as those of a series.

    Args:
        kspace: (coil, shot, sample), complex.
        coord: (shot, sample, axis); every shot must come within one cell of the centre.

    Raises:
        ValueError: arrays that do not fit each other, or shots that leave out the centre.
    """
    kspace, coord = np.asarray(_check.array("kspace", kspace, ndim=3)), np.asarray(coord, np.float64)
    far = np.linalg.norm(coord, axis=-1)
    if far.shape != kspace.shape[1:]:
        raise ValueError(f"kspace has shape {kspace.shape}, coord {coord.shape}: give (coil, shot, sample) and (shot, "
                         "sample, axis)")
    if far.min(1).max() > 1:
        raise ValueError(f"shot {far.min(1).argmax()} comes no nearer to the centre than {far.min(1).max():.3g} cells: "
                         "all shots must measure it")
    y = np.take_along_axis(kspace, far.argmin(1)[None, :, None], 2)[..., 0]
    mean = y.mean(1, keepdims=True)
    return (mean.conj() * y).sum(0) / (abs(mean) ** 2).sum()
