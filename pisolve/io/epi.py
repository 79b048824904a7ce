"""Lines of echo-planar imaging as they were measured: `kx` and `ky` beside k-space, turned and regridded when read."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, _check
from pisolve._words import EPI
from pisolve.io.limits import spend
from pisolve.scan import Scan
from pisolve.scan.epi import epi
from pisolve.scan.grid import shortened

ARRAYS = ("kx", "ky", "polarity", "nav", "nav_kx", "nav_polarity", "time", "dwell_s")
_FIRST = ARRAYS[:3]
_LINES = ("line", "sample")
_MANY = 64  # phases of single parts that are kept


def lines_of(read, axes) -> dict:
    """`ARRAYS` by name, as far as a file has them; {} where it is no EPI scan's lines.

    It is one where kx and ky stand beside k-space and kx is that of every line, or the lines have a polarity, or its
    axes are lines: kx and ky of one axis each are what a Cartesian file says of its grid.

    Args:
        read: a function of a name that gives the array, or None.
        axes: the names of k-space's axes, or None.
    """
    own = {name: read(name) for name in _FIRST}
    if own["kx"] is None or own["ky"] is None or not (
            np.ndim(own["kx"]) == 2 or own["polarity"] is not None or _LINES[0] in (axes or ())):
        return {}
    own |= {name: read(name) for name in ARRAYS if name not in _FIRST}
    return {name: array for name, array in own.items() if array is not None}


def refuse(by: str) -> None:
    """Refuse a way of finding the ghost of a scan that is no EPI, or cannot be told to be.

    Raises:
        ValueError: any but "auto" and "none".
    """
    if _check.choice("epi", by, EPI) not in ("auto", "none"):
        raise ValueError(f"epi={by!r} is for lines of EPI as they were measured, with kx and ky beside k-space, or raw "
                         "data of an EPI scan, and this is neither: leave epi out")


def scan(path, kspace, arrays: dict, size, axes, by: str, max_bytes: int, meta=None, **more) -> Scan:
    """The Cartesian scan of EPI's lines, see `calib.epi`; what was corrected is in `meta["epi"]`.

    Args:
        path: for messages.
        arrays: `ARRAYS` by name, as far as the file has them: kx (line, sample) or, with `polarity`, (sample,) of a
            forward line; ky (line,) or with the axes of k-space in front; nav (coil, line, sample) or with these axes.
        size: the shape of the image, (y, x); None: the smallest even one that holds kx and ky, which is said.
        axes: the names of k-space's axes, "line" and "sample" last; None: (coil, line, sample), or (slice, coil, line,
            sample).
        by: as for `calib.epi`.
        max_bytes: for what comes of it.
        meta: what else the file says, `dwell_s`, seconds from sample to sample, among it.
        more: further fields of the scan.

    Raises:
        TypeError, ValueError: as `calib.epi` and `Scan`, with the path.
    """
    meta = {k: v for k, v in (meta or {}).items() if k not in ("axes", "mask_axes")}  # those of the lines
    _check.choice("epi", by, EPI)
    try:
        names, kspace = _named(kspace, axes)
        lines, samples = kspace.shape[-2:]
        kx = _both_ways(arrays["kx"], arrays.get("polarity"), lines, samples, "kx")
        nav, nav_kx = arrays.get("nav"), arrays.get("nav_kx")
        if nav_kx is None and arrays.get("nav_polarity") is not None:
            nav_kx = _like(kx, arrays["nav_polarity"])
        ky = np.asarray(arrays["ky"])
        if size is None:
            size = tuple(2 * int(np.ceil(float(abs(np.asarray(a, float)).max(initial=0)) - 0.01)) for a in (ky, kx))
            meta["assumed"] = (f"the file does not say the size of the image: {size}, from the reach of ky and kx; "
                               "store an entry size, such as (96, 96)")
        size = tuple(int(n) for n in np.ravel(size))
        afford(path, size, int(np.prod(kspace.shape[:-2], dtype=object)), samples, max_bytes)
        time = arrays.get("time")
        done = epi(kspace, kx, ky, size, nav=nav, nav_kx=nav_kx, by=by, time=time)
        meta = told(meta, done, _dwell(arrays.get("dwell_s", meta.get("dwell_s")), time))
        meta["phase_axis"] = -2
        mask = shortened(done.mask, tuple(a for a in names if a != _axes.COIL)) if done.mask.ndim > 2 else done.mask
        return Scan(done.kspace, mask, meta=meta, axes=names, **more | {"times": done.time})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def afford(path, size, images: int, samples: int, max_bytes: int) -> None:
    """Take what bringing lines onto a grid needs from a budget: the matrix along a line, and the k-space of all images.

    Raises:
        ValueError: there is not so much left.
    """
    n = int(size[-1])
    spend(path, f"a grid of {' x '.join(map(str, size))}", 16 * n * (n + samples) + 16 * images * int(np.prod(
        size, dtype=object)), max_bytes)


def told(meta: dict, done, dwell: float | None) -> dict:
    """`meta` with `epi`, what was corrected as plain values, and in words."""
    e = done.errors
    phases = np.ravel(e.phase)
    words = {"by": e.by, "delay_samples": float(e.delay)}
    words |= {"phase_rad": phases.tolist()} if len(phases) <= _MANY else {
        "phase_range_rad": [float(phases.min()), float(phases.max())]}
    words |= {} if dwell is None else {"delay_us": 1e6 * float(e.delay) * dwell}
    words |= {} if done.ghost is None or e.by == "none" else {"ghost": [float(g) for g in done.ghost]}
    return meta | {"epi": words | {"text": done.describe(dwell)}}


def _named(kspace, axes):
    """(the names of k-space's axes on the grid, k-space with coils third from the end)."""
    if axes is None and kspace.ndim in (3, 4):
        axes = ("slice", "coil", *_LINES)[-kspace.ndim:]
    if axes is None:
        raise ValueError(f"kspace has shape {kspace.shape}: name its axes in an entry axes, such as 'slice,coil,line,"
                         "sample'")
    names = _axes.words("axes", axes)
    if len(names) != kspace.ndim or names[-2:] not in (_LINES, ("ky", "kx")):
        raise ValueError(f"axes are {', '.join(names)} of kspace {kspace.shape}: beside kx and ky they are EPI's lines "
                         "as they were measured, with 'line' and 'sample' last")
    front = tuple(_axes.meant(a, (_axes.COIL, _axes.SLICE, *_axes.FURTHER)) for a in names[:-2])
    if _axes.COIL not in front:
        return (*front, _axes.COIL, "ky", "kx"), np.expand_dims(kspace, -3)
    at = front.index(_axes.COIL)
    front = (*front[:at], *front[at + 1:])
    return (*front, _axes.COIL, "ky", "kx"), np.moveaxis(kspace, at, -3)


def _both_ways(kx, polarity, lines: int, samples: int, name: str):
    """kx (line, sample) of what a file has: that, or (sample,) of a forward line beside the polarity of each."""
    kx = np.asarray(kx)
    if kx.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {kx.dtype}: real numbers are needed")
    polarity = None if polarity is None else _signs(polarity, "polarity", lines)
    if kx.shape == (samples,):
        if polarity is None:
            raise ValueError(f"{name} has shape {kx.shape}, one line's: store polarity, +1 or -1 for each line, or "
                             f"{name} (line, sample)")
        return kx * polarity[:, None]
    if polarity is not None and kx.shape == (lines, samples):
        wrong = np.flatnonzero(np.sign(kx[:, -1] - kx[:, 0]) != polarity)
        if len(wrong):
            raise ValueError(f"line {wrong[0]} has polarity {polarity[wrong[0]]}, and its kx runs from "
                             f"{kx[wrong[0], 0]:.4g} to {kx[wrong[0], -1]:.4g}: were backward lines turned already? "
                             "They are needed as they were measured, with their kx")
    return kx


def _signs(values, name: str, lines: int):
    values = np.asarray(values)
    if values.shape != (lines,) or not np.isin(values, (-1, 1)).all():
        raise ValueError(f"{name} must be +1 or -1 for each of {lines} lines, got {_check.brief(values)}")
    return values.astype(int)


def _like(kx, polarity):
    """kx of navigators with these polarities, as the lines of the scan have it."""
    polarity = _signs(polarity, "nav_polarity", np.size(polarity))
    way = np.sign(kx[:, -1] - kx[:, 0])
    if not set(polarity) <= set(way):
        raise ValueError("nav_polarity has a direction that no line of kspace has: store nav_kx")
    return np.stack([kx[int(np.argmax(way == p))] for p in polarity])


def _dwell(given, time):
    """Seconds from sample to sample, None where nothing says it."""
    if given is not None and np.size(given) == 1 and 0 < float(np.ravel(given)[0]) < 1:
        return float(np.ravel(given)[0])
    time = None if time is None else np.asarray(time, float)
    return float(np.median(np.diff(time, axis=-1))) if time is not None and time.ndim == 2 and time.size > 2 else None
