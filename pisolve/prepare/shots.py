"""What a scanner does to shots: delays of its gradients, and a factor of each shot; found, told and taken out."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from pisolve import _axes, _check, calib
from pisolve.prepare.simulated import SIMULATED
from pisolve.scan import Scan

AUTO = "auto"
DELAYS, SHOTS = "corrected_delays", "corrected_shots"  # of a scan's `meta`: what was done, in words
TOLD = {SIMULATED: "simulated", DELAYS: "delays", SHOTS: "shots"}  # of a scan's `meta`, and what a row of it is called
_DELAY, _FACTOR = 0.1, 0.1  # samples, and the spread of factors about their mean, from which they are taken out by auto
_LEAST = 5  # shots
_KEPT, _MOST = OrderedDict(), 32  # delays that were found of late, by a digest of their data


class Found(NamedTuple):
    """The matrix of delays in samples, and the factors of shots (..., shot); None where they are not looked for."""

    delays: np.ndarray | None
    factors: np.ndarray | None

    @property
    def delayed(self) -> bool:
        """Whether there are delays to speak of."""
        return self.delays is not None and bool(abs(self.delays).max() >= _DELAY)

    @property
    def uneven(self) -> bool:
        """Whether shots have factors to speak of."""
        return self.factors is not None and bool(np.sqrt(np.mean(abs(self.factors - 1) ** 2)) >= _FACTOR)


def check_delays(delays):
    """None, "auto", or delays in samples: one for each axis, or a symmetric matrix; as a tuple.

    Raises:
        TypeError, ValueError: anything else.
    """
    if delays is None or isinstance(delays, str):
        return _check.choice("delays", delays, (None, AUTO))
    try:
        S = np.array(delays, float)
    except (TypeError, ValueError):
        raise TypeError(f"delays must be None, 'auto' or numbers of samples such as (0.3, -0.2) for (y, x), got "
                        f"{_check.brief(delays)}") from None
    if S.shape not in ((2,), (3,), (2, 2), (3, 3)) or not np.isfinite(S).all() or (S.ndim == 2 and (S != S.T).any()):
        raise ValueError(f"delays {_check.brief(delays)} must be one finite number for each axis, in samples, such as "
                         "(0.3, -0.2) for (y, x), or a symmetric matrix of them")
    if abs(S).max() > 20:
        raise ValueError(f"delays reach {abs(S).max():g}: they are in samples of a shot, not in microseconds; divide "
                         "them by the dwell time")
    return tuple(map(tuple, S.tolist())) if S.ndim == 2 else tuple(S.tolist())


def look(scan: Scan, *, delays: bool = True, factors: bool = True) -> Found:
    """Delays and factors of the shots of a radial scan; those of other trajectories are not looked for."""
    if scan.coord is None or SIMULATED in scan.meta:
        return Found(None, None)
    y, coord, size = _together(scan)
    if len(coord) < _LEAST or not _radial(coord):
        return Found(None, None)
    S = _delays(y, coord, size) if delays else None
    one = scan if S is None else scan._with(coord=calib.delayed(scan.coord, S))
    return Found(S, factors_of(one) if factors and not scan.further and not scan.encoding.stacked else None)


def _delays(y, coord, size) -> np.ndarray:
    """`calib.delays`, after factors of shots where there are any; kept, since one scan is reconstructed many times."""
    key = blake2b(np.ascontiguousarray(y).tobytes() + coord.tobytes() + repr(size).encode()).digest()
    if key not in _KEPT:
        S = calib.delays(y, coord, size)
        own = Found(None, calib.shot_factors(y, calib.delayed(coord, S)))
        if own.uneven:  # which looks like delays, too
            S = calib.delays(y / np.where(abs(own.factors) > 1e-3, own.factors, 1)[:, None], coord, size)
        _KEPT[key] = S
        while len(_KEPT) > _MOST:
            _KEPT.popitem(last=False)
    return _KEPT[key].copy()


def factors_of(scan: Scan) -> np.ndarray:
    """`calib.shot_factors` of every slice, frame, ... by itself, 1 where it holds nothing; (..., shot).

    Raises:
        ValueError: shots that leave out the centre.
    """
    p, inner = scan.encoding.points, len(scan.encoding.encoded)
    lead = scan.kspace.shape[:-1 - inner]
    found = np.ones((*lead, *scan.kspace.shape[-p:-1]), complex)
    for i in np.ndindex(*lead):
        coord = scan.coord[i] if scan.encoding.own_coord else scan.coord
        y = scan.kspace[i].reshape(scan.coils, -1, scan.kspace.shape[-1])
        there = y.any((0, 2))  # shots that were kept
        if there.any():
            one = calib.shot_factors(y[:, there], coord.reshape(-1, *coord.shape[-2:])[there])
            found[i].reshape(-1)[there] = np.where(abs(one) > 1e-3, one, 1)
    return found


def corrected(scan: Scan, delays=AUTO, shot_factors=AUTO) -> Scan:
    """The scan with its samples where they were, and without the factors of its shots; `meta` says what was done.

    Args:
        scan: of samples anywhere; one on a grid stays as it is.
        delays: None, "auto" (found, and applied from 0.1 samples on, for radial scans), or those of `check_delays`.
        shot_factors: False, "auto" (found, and divided out from a spread of 10 % on, for radial scans whose shots all
            belong to one image), or True.

    Raises:
        ValueError: delays or factors of a scan on a grid, of another number of axes, of stacks.
    """
    given = not isinstance(delays, str) and delays is not None
    if scan.coord is None:
        if given or shot_factors is True:
            raise ValueError(f"{'delays' if given else 'shot_factors'} is for scans with coord, and this one is on a "
                             "grid: leave it out")
        return scan
    if shot_factors is True and scan.encoding.stacked:
        raise ValueError("shot_factors is for shots through the centre of k-space, and the partitions of a stack but "
                         "one leave it out: give shot_factors=False")
    automatic = shot_factors == AUTO and SHOTS not in scan.meta
    found = look(scan, delays=delays == AUTO and DELAYS not in scan.meta, factors=automatic)
    meta, kspace, coord = dict(scan.meta), scan.kspace, scan.coord
    S = _matrix(delays, scan.encoding.points) if given else found.delays
    if S is not None and (given or found.delayed):
        words = f"{told_delays(S)}{', as given' * given}"
        if meta.get(DELAYS) != words:
            meta[DELAYS], coord = words, calib.delayed(coord, S)
    elif S is not None:
        meta[DELAYS] = f"{told_delays(S)}, too small to matter"
    a = found.factors
    if shot_factors is True and SHOTS not in meta:
        a = factors_of(scan._with(coord=coord))
    if a is not None:
        meta[SHOTS] = told_factors(a, shot_factors is True or found.uneven)
        if shot_factors is True or found.uneven:
            d = scan.encoding.points
            kspace = (kspace / np.expand_dims(a, (-1, -1 - d))).astype(kspace.dtype)
    return scan._with(kspace=kspace, coord=coord, meta=meta)


def told_delays(S) -> str:
    """A matrix of delays in words."""
    names, S = tuple(_axes.ENCODED)[-len(S):], np.round(S, 2) + 0.0  # no minus before a zero
    own = ", ".join(f"{n} {S[i, i]:.2f}" for i, n in enumerate(names))
    mixed = ", ".join(f"{names[i]}{names[j]} {S[i, j]:.2f}" for i in range(len(S)) for j in range(i)
                      if abs(S[i, j]) >= 0.005)
    return f"{own}{', ' * bool(mixed)}{mixed} samples"


def told_factors(a, taken: bool) -> str:
    """Factors of shots in words."""
    turn = np.degrees(np.angle(a))
    return (f"{abs(a).min():.3g} to {abs(a).max():.3g} times the mean, {turn.min():.0f} to {turn.max():.0f} degrees"
            f"{'' if taken else ', too small to matter'}")


def _matrix(delays, axes: int) -> np.ndarray:
    S = np.array(delays, float)
    if len(S) != axes:
        raise ValueError(f"delays {_check.brief(delays)} are of {len(S)} axes, and the coordinates of {axes}: give "
                         f"{axes} numbers")
    return np.diag(S) if S.ndim == 1 else S


def _together(scan: Scan):
    """(y (coil, shot, sample), coord (shot, sample, axis), the image's shape) of what tells of the centre.

    All frames; all slices, as further coils, where they have one trajectory, else the middle one; the central
    partition of a stack.
    """
    one, p = scan.time_average(), scan.encoding.points
    y, coord = one.kspace, one.coord
    if one.encoding.stacked:
        z = one.size[0] // 2
        y = y[..., z, :, :]
        coord = coord[..., z, :, :, :] if coord.ndim > 3 else coord
    if _axes.SLICE in one.axes and one.encoding.own_coord:
        y, coord = y[len(y) // 2], coord[len(coord) // 2]
    y, coord = y.reshape(-1, int(np.prod(y.shape[-p:-1])), y.shape[-1]), coord.reshape(-1, *coord.shape[-2:])
    there = y.any((0, 2))  # shots that were kept
    return y[:, there], coord[there], one.size[-p:]


def _radial(coord) -> bool:
    """Whether shots are straight lines through the centre, of at least three samples."""
    if coord.shape[1] < 3:
        return False
    along = coord[:, -1] - coord[:, 0]
    length = np.linalg.norm(along, axis=-1)
    if (length < 8).any():
        return False
    along = along / length[:, None]
    r = (coord * along[:, None]).sum(-1)
    off = np.linalg.norm(coord - r[..., None] * along[:, None], axis=-1)
    return bool(off.max() < 0.5 and abs(r).min(1).max() < 1)
