"""Gradient delays: samples that lie a little before or behind where they were meant."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.backend.points import checked_coord

_RADIUS, _GRID = 9, 22  # of the centre of k-space that is fitted, and pixels of its image along an axis
_COILS, _POINTS = 4, 4000  # virtual coils, and samples, at most
_NOISE = 1e-3  # of the largest eigenvalue, which keeps the fit of an uncovered centre finite


def delays(kspace, coord, shape, *, iterations: int = 8) -> np.ndarray:
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
        TypeError, ValueError: arrays that do not fit each other, shots of fewer than three samples.

    Reference:
        Peters et al., Magn Reson Med 50 (2003) 1; Rosenzweig, Holme and Uecker, Magn Reson Med 81 (2019) 1898 (RING).
    """
    shape = _check.shape("shape", shape)
    kspace = np.asarray(_check.array("kspace", kspace, ndim=3), np.complex128)
    coord = checked_coord(coord, shape)
    if coord.ndim != 3 or kspace.shape[1:] != coord.shape[:-1] or coord.shape[1] < 3:
        raise ValueError(f"kspace has shape {kspace.shape}, coord {coord.shape}: give (coil, shot, sample) and (shot, "
                         "sample, axis) with at least three samples")
    d = len(shape)
    radius = _RADIUS if d == 2 else _RADIUS // 2
    near = np.linalg.norm(coord, axis=-1) <= radius
    k, step, y = coord[near], np.gradient(coord, axis=1)[near], kspace[:, near]
    thin = slice(None, None, -(-len(k) // _POINTS))
    k, step, y = k[thin], step[thin], y[:, thin]
    _, vectors = np.linalg.eigh(y @ y.conj().T)
    y = vectors[:, -_COILS:].conj().T @ y
    y /= np.linalg.norm(y)
    pixels = _GRID if d == 2 else _GRID // 2
    grid = np.stack([g.ravel() for g in np.indices((pixels,) * d)]) - pixels // 2
    places = [(i, j) for i in range(d) for j in range(i, d)]

    def matrix(s):
        S = np.zeros((d, d))
        for value, (i, j) in zip(s, places):
            S[i, j] = S[j, i] = value
        return S

    def residual(s):
        E = np.exp(-2j * np.pi / pixels * ((k + step @ matrix(s)) @ grid))
        N = E.conj().T @ E
        N[np.diag_indices_from(N)] += _NOISE * np.trace(N).real / len(N)
        fit = E @ np.linalg.solve(N, E.conj().T @ y.T)
        r = (y.T - fit).ravel()
        return np.concatenate([r.real, r.imag])

    s = np.zeros(len(places))
    r = residual(s)
    for _ in range(_check.integer("iterations", iterations, low=1)):
        J = np.stack([(residual(s + 0.02 * e) - r) / 0.02 for e in np.eye(len(s))], 1)
        change = -np.linalg.lstsq(J, r, rcond=1e-3)[0]
        change *= min(1.0, 1.0 / max(abs(change).max(), 1e-12))  # a sample at a time
        new = residual(s + change)
        while new @ new > r @ r and abs(change).max() > 1e-3:
            change /= 2
            new = residual(s + change)
        if new @ new >= r @ r:
            break
        s, r = s + change, new
        if abs(change).max() < 1e-3:
            break
    return matrix(s)


def delayed(coord, S) -> np.ndarray:
    """Coordinates (shot, sample, axis) whose samples lie S of `delays` further along: k + k' S."""
    coord = np.asarray(coord, np.float64)
    return coord + np.gradient(coord, axis=-2) @ np.asarray(S, np.float64)


def shot_factors(kspace, coord) -> np.ndarray:
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
