"""What is odd about a scan: sentences for its user."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.scan import field, moved, spoilt
from pisolve.scan.look import Look

CALIB = 8  # lines: what ESPIRiT's and GRAPPA's usual kernels need at the very least
_CLEAR = 0.3  # how much of the energy is no noise, where its place means something
_REACH = 0.7  # of N/2, that coordinates reach at least; delays and asymmetric echoes leave more
_INNER = 0.8  # of the energy along an axis in its middle third: so much has an encoded axis, and no coils have


def warnings(scan) -> list[str]:
    """One sentence for each thing that is odd about a scan; empty where nothing is."""
    look = Look(scan)
    found = [scan.meta["assumed"]] if "assumed" in scan.meta else []
    if scan.coord is not None:
        return found + _scale(look.peak) + _short(scan) + faults(look)
    return found + _scale(look.peak) + faults(look) + _unmasked(scan, look) + _uncalibrated(scan)


def faults(look: Look, maps: bool = False) -> list[str]:
    """Those of them that spoil an image of `recon`; `maps`: those that spoil coil maps made of the scan, too."""
    scan = look.scan
    if scan.coord is not None:  # the others look at a grid
        return [*_coils(look), *field.doubts(scan)]
    found = _permuted(look) or _coils(look)  # lines are no coils that are dead or loud
    found = [*found, *_sampling(scan, look), *_origin(look)]
    found += [*spoilt.sentences(look), *moved.sentences(look)]
    return [*found, *field.doubts(scan), *(_uncalibrated(scan) if maps else [])]


def _scale(peak: float) -> list[str]:
    if 1e-12 <= peak <= 1e12:
        return []
    return [f"k-space peaks at {peak:.3g}, where squares leave single precision: multiply it to a peak near 1"]


def _short(scan) -> list[str]:
    """Coordinates that reach a part of the grid only: of another matrix size, or of an image that is too fine."""
    points = scan.coord.shape[-1]
    half = np.array(scan.size[-points:]) / 2
    share = float((abs(scan.coord).reshape(-1, points).max(0) / half).max())
    if not 0 < share < _REACH:
        return []
    size, matrix = (" x ".join(map(str, n)) for n in (scan.size, [round(2 * share * h) for h in half]))
    return [f"coord reaches {share:.2g} of N/2, and the image is {size}: if the coordinates are those of a matrix of "
            f"{matrix}, multiply them by {1 / share:.3g}; else the image is finer than what was measured"]


def _permuted(look) -> list[str]:
    """Coils whose energy lies in the middle of their axis, as no coils' does but an encoded axis': a wrong order."""
    scan, energy = look.scan, look.coils**2
    n = len(energy)
    if n < 12 or _middle(energy) < _INNER:
        return []
    names = _likely(look)
    return [f"the axes look permuted: the {n} coils have their energy in the middle, as an encoded axis does; kspace "
            f"of shape {scan.kspace.shape} is read as ({', '.join(scan.axes)}): name its axes, for example "
            f"axes={names}, --axes {','.join(names)}"]


def _middle(energy) -> float:
    """The share of the energy along an axis that its middle third has."""
    n, total = len(energy), energy.sum()
    return float(energy[n // 3 : n - n // 3].sum() / total) if total > 0 else 0.0


def _likely(look) -> tuple[str, ...]:
    """What the axes may be: an axis without a centre, shorter than the coils', is that of the coils."""
    scan, inner = look.scan, look.inner
    flat = {name: _middle(look.power.sum(axis=tuple(i for i in range(look.power.ndim) if i != axis % look.power.ndim)))
            for axis, name in zip(range(-inner, 0), scan.encoding.encoded)
            if look.power.shape[axis] < len(look.coils)}
    coil = min(flat, key=flat.get, default=None)
    if coil is None or flat[coil] >= _INNER:
        return ("coil", "kz", "ky", "kx")
    encoded = iter(scan.encoding.encoded)
    return tuple(a if a not in (_axes.COIL, *scan.encoding.encoded) else _axes.COIL if a == coil else next(encoded)
                 for a in scan.axes)


def _coils(look) -> list[str]:
    """Coils without signal, or far above or below the median of the others."""
    level = look.coils
    alive, dead = np.flatnonzero(level), np.flatnonzero(level == 0).tolist()
    found = [f"coil {c} is dead (all zero): drop it, scan.drop_coils({c})" for c in dead[:1] if len(dead) == 1]
    if len(dead) > 1:
        found = [f"{len(dead)} of {len(level)} coils are dead (all zero): drop them, scan.drop_coils({dead})"]
    for c in alive if len(alive) > 1 else []:
        ratio = level[c] / np.median(level[alive[alive != c]])
        if ratio > 100 and len(alive) > 2:
            found.append(f"coil {c} is {ratio:.3g} times louder than the others: check its gain, or whiten the coils")
        elif ratio < 1e-4:
            found.append(f"coil {c} is nearly dead, {ratio:.3g} of the others: drop it, scan.drop_coils({c}), or check "
                         "its gain")
    return found


def _unmasked(scan, look) -> list[str]:
    """Zeros without a mask, which are taken for what was not sampled."""
    holes, parts = 1 - float(look.measured.mean()), " and ".join(_axes.further(scan.axes))
    if scan.mask is not None or holes < 0.01:
        return []
    return [f"{holes:.0%} of k-space is zero in all coils and there is no mask: recon counts as sampled what is not "
            f"zero{f', for each {parts} by itself' if parts else ''}; for an operator of your own take the mask of "
            "pisolve.masks.estimate(kspace, axes)"]


def _sampling(scan, look) -> list[str]:
    """Where data and mask disagree."""
    grid, inner = scan.encoding, look.inner
    if scan.mask is None:
        return []
    measured = look.measured.reshape(grid.shape)
    mask = np.broadcast_to(grid.mask, measured.shape)
    found = []
    outside, empty = (measured & ~mask), (mask & ~measured)
    if grid.mask.ndim == inner:  # positions, not positions in each part
        lead = tuple(range(measured.ndim - inner))
        outside, empty = outside.any(lead), empty.all(lead)
    if outside.any():
        found.append(f"k-space is not zero at {outside.sum()} positions outside the mask: the mask belongs to other "
                     "data, or use undersample(mask)")
    if empty.sum() > 0.01 * (grid.mask.sum() if grid.mask.ndim == inner else mask.sum()):
        found.append(f"the mask says sampled at {empty.sum()} positions where k-space is zero in all coils")
    return found


def _uncalibrated(scan) -> list[str]:
    """Whether there is a centre to calibrate from, or lines apart."""
    grid, inner = scan.encoding, len(scan.encoding.encoded)
    if scan.mask is None or scan.coils == 1 or scan.calib is not None:
        return []
    together = grid.anywhere if set(grid.own) - {_axes.SLICE} else grid.everywhere  # maps of a series are of its mean
    middle = [slice(max(n // 2 - CALIB // 2, 0), n // 2 + CALIB // 2) for n in together.shape]
    if together[tuple(middle)].all():
        return []
    return [f"no calibration region: the central {'x'.join([str(CALIB)] * inner)} samples are not all there, so coil "
            "maps need another scan"]


def _origin(look) -> list[str]:
    """Where the energy sits: the circular mean along each axis must be near index N // 2."""
    found, spread = [], spoilt.spread(look)
    for axis, name in zip(range(-look.inner, 0), look.scan.encoding.encoded):
        above, floor = look.profile(axis)
        n = len(above)
        shift = spoilt.off_centre(above) * n
        clear = above.mean() > _CLEAR * (above.mean() + floor)
        if clear and name not in spread and n >= 8 and abs(shift) > n / 8:
            how = "apply numpy.fft.fftshift" if abs(shift) > n * 3 / 8 else "roll it there"
            found.append(f"the energy of k-space is {shift:+.0f} samples off the centre along {name}: {how}")
    return found
