"""Lines of echo-planar imaging: read to and fro, their samples anywhere along kx, and how these come onto a grid."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve.backend import fft
from pisolve.backend.points import checked_coord

_KEPT = 1e-4  # of the samples' mean density: what is measured less keeps its noise and fades
_MOST = 4  # pixels a sample: more cannot come of them
_APART = 1.05  # cells between two samples: further apart they do not cover the field of view


def checked_kx(kx, shape, n: int, name: str = "kx") -> np.ndarray:
    """(line, sample) float64 of where samples lie along kx, for an image of n pixels.

    Raises:
        TypeError, ValueError: no real numbers, another shape, other units, lines that do not run from one side to the
            other, samples further apart than the field of view allows (a warning).
    """
    kx = np.asarray(kx)
    if kx.ndim != 2 or kx.shape != tuple(shape) or kx.shape[1] < 3:
        raise ValueError(f"{name} has shape {kx.shape}, the lines {tuple(shape)}: one number for each sample is "
                         "needed, (line, sample), where it lies along kx, in units of 1 / field of view")
    if n > _MOST * kx.shape[1]:
        raise ValueError(f"the image has {n} pixels along x, and lines have {kx.shape[1]} samples: its size and {name} "
                         "do not belong together")
    kx = checked_coord(kx[..., None], (n,), name)[..., 0]
    steps = np.diff(kx, axis=1) * direction(kx)[:, None]
    if (steps <= 0).any():
        raise ValueError(f"{name} turns back within line {int((steps <= 0).any(1).argmax())}: each line runs from one "
                         "side to the other; cut the samples off that lie before and after")
    if steps.max() > _APART:
        warnings.warn(f"{name}: samples lie up to {steps.max():.3g} cells of 1 / field of view apart, and 1 is the "
                      "most that the field of view allows: what lies at its edges folds", stacklevel=4)
    return kx


def checked_ky(ky, shape, n: int) -> np.ndarray:
    """The row of each line, of whole numbers ky that are 0 at the centre; +N/2 of an even N is -N/2.

    Raises:
        TypeError, ValueError: numbers that are not whole, another shape, or outside of -N/2..N/2.
    """
    ky = np.asarray(ky)
    if ky.dtype.kind not in "iuf" or (ky.dtype.kind == "f" and not (ky == np.round(ky)).all()):
        raise ValueError("ky must be whole numbers, the lines of a grid, 0 at its centre: for lines between them give "
                         "Scan the coordinates of all samples, coord=")
    if ky.shape not in (tuple(shape), tuple(shape[-1:])):
        raise ValueError(f"ky has shape {ky.shape}, expected {tuple(shape)} or {tuple(shape[-1:])}: one number a line; "
                         "for samples that leave their line give Scan coord=, (shot, sample, axis)")
    ky = ky.astype(np.int64)
    if abs(ky).max() > n // 2:
        raise ValueError(f"ky reaches {ky.min()}..{ky.max()}, and an image of {n} has {-(n // 2)}..{(n - 1) // 2}: ky "
                         "is 0 at the centre of k-space" + (f", subtract {n // 2}" if ky.min() >= 0 else ""))
    return (ky + n // 2) % n


def direction(kx) -> np.ndarray:
    """+1 for each line (..., sample) that is read towards positive kx, -1 for others."""
    return np.where(kx[..., -1] > kx[..., 0], 1, -1)


def late(kx, delay: float):
    """Where samples lie when the gradients come `delay` samples late: kx(j - delay) of each line (..., sample)."""
    if delay == 0:
        return kx
    m, more = kx.shape[-1], int(np.ceil(abs(delay))) + 1
    steps = np.arange(1, more + 1)
    before = kx[..., :1] - (kx[..., 1:2] - kx[..., :1]) * steps[::-1]
    after = kx[..., -1:] + (kx[..., -1:] - kx[..., -2:-1]) * steps
    whole = np.concatenate([before, kx, after], -1)
    at = np.arange(m) - delay + more
    low = np.floor(at).astype(int)
    return whole[..., low] * (low + 1 - at) + whole[..., low + 1] * (at - low)


def matrix(k, n: int) -> np.ndarray:
    """(n, samples): the image along x of the samples at k, by least squares, (E^H E + eps)^-1 E^H y.

        E[j, x] = exp(-2 pi i k_j x / n) / sqrt(n),    x = -n // 2 ..

    Exact for an object inside of the field of view, wherever the samples lie densely enough.
    """
    E = np.exp(-2j * np.pi / n * np.outer(k, np.arange(n) - n // 2)) / np.sqrt(n)
    N = E.conj().T @ E
    N[np.diag_indices(n)] += _KEPT * len(k) / n
    return np.linalg.solve(N, E.conj().T)


def profiles(lines, kx, n: int, delay: float = 0.0) -> np.ndarray:
    """The image along x of each line: (..., line, x) of (..., line, sample), samples at kx(j - delay), both ways alike.

    Args:
        lines: (..., line, sample), complex.
        kx: (line, sample), of `checked_kx`.
        n: pixels along x.
        delay: of the gradients, in samples.
    """
    kinds, which = np.unique(np.round(kx, 5), axis=0, return_inverse=True)
    which = which.reshape(-1)
    out = np.empty((*lines.shape[:-1], n), lines.dtype)
    for kind in range(len(kinds)):
        at = np.flatnonzero(which == kind)
        M = matrix(late(kx[at[0]], delay), n).astype(lines.dtype)
        out[..., at, :] = lines[..., at, :] @ M.T
    return out


def placed(lines, rows, n: int):
    """(k-space (coil, ky, x), how often each ky was measured) of lines (coil, line, x) at `rows`, their mean each."""
    out = np.zeros((len(lines), n, lines.shape[-1]), lines.dtype)
    np.add.at(out, (slice(None), rows), lines)
    count = np.bincount(rows, minlength=n)
    return out / np.maximum(count, 1).astype(out.real.dtype)[:, None], count


def along_y(kspace):
    """The image of (..., ky, x)."""
    return fft(kspace, (-2,), inverse=True)

