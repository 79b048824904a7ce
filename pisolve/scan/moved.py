"""Whether lines of k-space fit their neighbours: those of shots between which an object moved do not."""

from __future__ import annotations

import numpy as np

from pisolve.backend import to_numpy

_WIDTH, _LEAST = 64, 24  # samples of the centre along an axis, at most and at least
_COILS, _FEW = 8, 3  # that are looked at, of the loudest combinations; fewer cannot tell
_DAMPING = 1e-4  # of the kernels, of the mean of the normal equations' diagonal


def sentences(look) -> list[str]:
    """One sentence where lines do not fit their neighbours, of a `Look`."""
    block = _block(look)
    if block is None:
        return []
    off = [misfit(block, axis) for axis in (0, 1)]
    raise NotImplementedError(off)


def _block(look):
    """The fully sampled centre of the part with the most energy, (coil, ky, kx), few coils; None where there is none."""
    scan = look.scan
    if scan.coord is not None or look.inner != 2 or scan.coils < _FEW:
        return None
    part = int(look.power.reshape(len(look.power), -1).sum(1).argmax())
    size = [min(n, _WIDTH) for n in look.magnitude.shape[-2:]]
    cut = tuple(slice(n // 2 - w // 2, n // 2 - w // 2 + w) for n, w in zip(look.magnitude.shape[-2:], size))
    there = look.measured[part][cut]
    rows, columns = (_run(there.any(axis=1 - a)) for a in (0, 1))
    if rows is None or columns is None or not there[rows, columns].all():
        return None
    block = to_numpy(scan.kspace).reshape(look.magnitude.shape)[part][(slice(None), *cut)][:, rows, columns]
    block = block.astype(np.complex128) / look.peak
    flat = block.reshape(len(block), -1)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    return (vectors[:, ::-1][:, :_COILS].conj().T @ flat).reshape(-1, *block.shape[1:])


def _run(there):
    """The samples around the middle without a gap, as a `slice`; None where they are too few."""
    middle = len(there) // 2
    if not there[middle]:
        return None
    gaps = np.flatnonzero(~there)
    first = max(gaps[gaps < middle], default=-1) + 1
    last = min(gaps[gaps > middle], default=len(there))
    return slice(int(first), int(last)) if last - first >= _LEAST else None


def misfit(block, axis: int):
    """||y - p|| / ||y|| of each line along an axis, p what its two neighbours predict by one kernel for all lines.

    The kernel takes three samples of each coil in the line before and in the one behind, and is fitted to all of them.
    """
    y = block if axis == 0 else block.swapaxes(-1, -2)
    coils, lines, samples = y.shape
    near = [y[:, 1 + d:lines - 1 + d, 1 + e:samples - 1 + e] for d in (-1, 1) for e in (-1, 0, 1)]
    X = np.concatenate(near).reshape(len(near) * coils, -1).T
    Y = y[:, 1:-1, 1:-1].reshape(coils, -1).T
    G = X.conj().T @ X
    G += _DAMPING * np.trace(G).real / len(G) * np.eye(len(G))
    left = (Y - X @ np.linalg.solve(G, X.conj().T @ Y)).T.reshape(coils, lines - 2, -1)
    energy = (abs(y[:, 1:-1, 1:-1]) ** 2).sum((0, 2))
    return np.sqrt((abs(left) ** 2).sum((0, 2)) / np.maximum(energy, 1e-300))
