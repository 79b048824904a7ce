"""Whether lines of k-space fit their neighbours: those of shots between which an object moved do not."""

from __future__ import annotations

import numpy as np

from pisolve.backend import fft, to_numpy

_WIDTH, _LEAST = 64, 24  # samples of the centre along an axis, at most and at least
_COILS, _FEW = 8, 4  # that are looked at, of the loudest combinations; fewer cannot tell
_DAMPING = 1e-4  # of the kernels, of the mean of the normal equations' diagonal
_HELD = 0.95  # of the energy: what an object's share of the field of view holds
# Measured on the shared scans, with other fields of view, coils and noise, and with shots that moved by 1/256 and more.
_RATIO = 1.7  # of both misfits (good: up to 1.3, EPI 1.6; moved: from 1.8, from 1.3 where the object fills y)
_OFF, _TELLS = 0.1, 0.2  # misfit of lines that is worth a word, and of samples within them up to which they tell


def sentences(look) -> list[str]:
    """One sentence where lines do not fit their neighbours, of a `Look`.

    Interleaved shots that moved by more than about 1/256 of the field of view, or a degree, are found; less than that,
    and blocks of lines one after another, leave neighbours as they were. One coil to three tell nothing.
    """
    names = look.scan.encoding.encoded
    return [f"lines of k-space do not fit those beside them along {name}, which predict them up to {lines:.0%}, where "
            f"samples within a line are predicted up to {within:.0%}: the object moved between shots, or each shot has "
            f"a phase of its own; the image has ghosts along {name[1:]}, and pi.signals.motion looks for rigid motion"
            for name, (lines, within) in zip(names, misfits(look))
            if lines > _OFF and within < _TELLS and lines > _RATIO * within]


def misfits(look) -> list[tuple]:
    """(misfit of lines along an axis, that of the samples within them) for both axes of a plane; none where unknown."""
    block = _centre(look)
    if block is None:
        return []
    found = []
    for y in (block, block.swapaxes(-1, -2)):
        y = _as_tight(y)
        y = y[:, *(slice(max(n // 2 - _WIDTH // 2, 0), n // 2 + _WIDTH // 2) for n in y.shape[1:])]
        found.append((misfit(y), misfit(y.swapaxes(-1, -2))))
    return found


def _centre(look):
    """The full centre of the part with the most energy, (coil, ky, kx), of few coils; None where there is none."""
    scan = look.scan
    if scan.coord is not None or look.inner != 2 or scan.coils < _FEW:
        return None
    part = int(look.power.reshape(len(look.power), -1).sum(1).argmax())
    there = look.measured[part]
    rows, columns = (_run(there.any(axis=1 - a)) for a in (0, 1))
    if rows is None or columns is None or not there[rows, columns].all():
        return None
    block = to_numpy(scan.kspace).reshape(look.magnitude.shape)[part][:, rows, columns]
    block = block.astype(np.complex128) / look.peak
    flat = block.reshape(len(block), -1)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    return (vectors[:, ::-1][:, :_COILS].conj().T @ flat).reshape(-1, *block.shape[1:])


def _run(there):
    """The samples around the middle without a gap, as many on both sides; None where they are too few."""
    middle = len(there) // 2
    gaps = np.flatnonzero(~there)
    half = min(middle, *(abs(gaps - middle) - 1)) if len(gaps) else middle
    return slice(middle - half, middle + half) if 2 * half >= _LEAST else None


def _as_tight(y):
    """The lines y (coil, ky, kx) of an object that fills as much of x as of y: cut along x, in the image."""
    images = fft(y, (-1,), inverse=True)
    n = images.shape[-1]
    energy = (abs(images) ** 2).sum((0, 1))
    width = int(np.ceil(n * _share(energy) / _share((abs(fft(y, (-2,), inverse=True)) ** 2).sum((0, 2)))))
    width += width % 2
    if width >= n:
        return y
    turn = 2j * np.pi * (np.arange(n) - n // 2) / n
    middle = round(float(np.angle(np.sum(energy * np.exp(turn)))) * n / (2 * np.pi))
    images = np.roll(images, -middle, -1)[..., n // 2 - width // 2:n // 2 + width // 2]
    return fft(np.ascontiguousarray(images), (-1,))


def _share(energy) -> float:
    """The share of an axis that holds 95 percent of the energy."""
    held = np.cumsum(np.sort(energy)[::-1])
    return float((np.searchsorted(held, _HELD * held[-1]) + 1) / len(energy))


def misfit(y) -> float:
    """||y - p|| / ||y|| of lines y (coil, line, sample), p what the two neighbours of each predict by one kernel.

    The kernel takes three samples of each coil in the line before and in the one behind.
    """
    coils, lines, samples = y.shape
    near = [y[:, 1 + d:lines - 1 + d, 1 + e:samples - 1 + e] for d in (-1, 1) for e in (-1, 0, 1)]
    X = np.concatenate(near).reshape(len(near) * coils, -1).T
    Y = y[:, 1:-1, 1:-1].reshape(coils, -1).T
    G = X.conj().T @ X
    G += _DAMPING * np.trace(G).real / len(G) * np.eye(len(G))
    left = Y - X @ np.linalg.solve(G, X.conj().T @ Y)
    return float(np.linalg.norm(left) / np.linalg.norm(Y))
