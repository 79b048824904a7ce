"""EPI in raw data: readouts turned, regridded and freed of what sets both directions apart, before they are placed."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from pisolve import _check
from pisolve._words import EPI
from pisolve.backend import fft, one_blas_thread
from pisolve.io.epi import afford, refuse, told
from pisolve.io.grid import AXES, BOTH, CALIB, IMAGE, STEPS, Matrix, Readouts
from pisolve.scan.epi import Epi, epi
from pisolve.scan.ghost import EpiErrors, by_navigator
from pisolve.scan.lines import late, matrix

TRAPEZOID = ("rampUpTime", "rampDownTime", "flatTopTime", "dwellTime")  # us, of a header's trajectoryDescription
_FEW = 16  # lines of which no entropy tells a ghost
_TRAPEZOID = 2  # Siemens' number of these gradients; 1: flat, 4: sinusoidal
_KINDS = 64  # of readouts in one scan; there are two
_NOTHING = 0.02  # samples and rad: an image's entropy tells no less


def spaces(header) -> list:
    """(whether it is EPI, the times of its readout or None) of each encoding of an ISMRMRD header.

    Raises:
        ValueError: times that are none.
    """
    found = header.encodings()
    words = [e.text("trajectory") for e in found] or [header.text("encoding/trajectory")]
    return [((word or "").lower() == "epi", _description(e)) for word, e in zip(words, found or [header])]


def siemens(value, samples: int) -> list:
    """The same of a twix protocol, by value(name), the number there or None; its readouts have so many samples."""
    up, down, flat, read = (value(name) for name in ("alRegridRampupTime", "alRegridRampdownTime",
                                                     "alRegridFlattopTime", "aflRegridADCDuration"))
    times = None
    if value("alRegridMode") == _TRAPEZOID and read and samples and min(up or 0, down or 0, flat or 0) >= 0:
        times = dict(zip(TRAPEZOID, (float(up or 0), float(down or 0), float(flat or 0), read / samples)))
    return [(False, times)]


def corrected(r: Readouts, spaces: list, navigators, by: str, max_bytes: int) -> tuple[Readouts, dict]:
    """(the readouts with EPI's lines on the grid, {"epi": what was corrected}); as they are where none are EPI's.

    Lines of EPI are those of an encoding whose trajectory is "epi", or where there are phase-correction readouts, read
    to and fro. Lines that are all read forward were turned, and corrected, by whoever wrote the file.

    Where samples lie along kx is told by the header's trajectoryDescription ("ConventionalEPI": the times of the ramps
    and of the flat top, and the dwell time, in us; its samples are symmetric about the middle), else they are one step
    apart.

    Args:
        spaces: (whether it is EPI, the times of its readout or None) of each encoding.
        navigators: bool, which readouts are phase-correction lines.
        by: as for `calib.epi`.
        max_bytes: for the matrices of lines.

    Raises:
        ValueError: by="navigator" or "entropy" where no lines are EPI's; navigators asked for, and none.
    """
    _check.choice("epi", by, EPI)
    lines = np.isin(r.role, (IMAGE, BOTH, CALIB)) & (r.samples > r.pre + r.post)
    done, facts = r, {}
    for e, ((named, description), m) in enumerate(zip(spaces, r.matrices)):
        mine = lines & (r.counters["encoding"] == e)
        image = mine & (r.role != CALIB)
        nav = navigators & (r.counters["encoding"] == e)
        if not (named or nav.any()) or not isinstance(m, Matrix) or not image.any():
            continue
        if len(np.unique(r.reverse[image])) < 2:
            facts = facts or {"epi": {"by": "none", "text": "all lines are read the same way: left as they are"}}
            continue
        samples = int(r.samples[mine].max())
        if m.size[0] > 4 * samples:
            raise ValueError(f"readouts of EPI have {samples} samples, the encoding {m.size[0]}: the header belongs to "
                             "other data")
        afford("the header", m.size[:2][::-1], 1, samples, max_bytes)
        with one_blas_thread():
            done, facts = _space(done, mine, image, nav, m, description, by)
    if not facts:
        refuse(by)
    return done, facts


def _space(r: Readouts, mine, image, nav, m: Matrix, description, by):
    """The readouts with those of one encoding on the grid."""
    keep = (r.samples - r.pre - r.post).astype(int)
    n = m.size[0]
    if description is None and (keep[mine] > n).any():
        return r, {}  # which is refused where they are placed
    places = {}

    def kx(i):
        key = (int(keep[i]), bool(r.reverse[i]), int(r.centre[i]) - int(r.pre[i]))
        if key not in places:
            places[key] = _positions(*key, n, description)
        return places[key]

    parts = _parts(r)
    errors, phases, words = EpiErrors(), {}, ""
    if by in ("auto", "navigator") and nav.any():
        errors, phases, words = _navigated(r, np.flatnonzero(nav), kx, keep, n, parts)
    if by == "navigator" and errors.by == "none":
        raise ValueError(f"epi='navigator' needs phase-correction lines: {words or 'there are none'}; take 'entropy'")
    if words and by == "auto":
        warnings.warn(f"EPI's phase-correction lines are left out: {words}", stacklevel=6)
    sample = _lines_of(r, image, parts, m, keep)
    if errors.by == "none" and by in ("auto", "entropy") and sample is not None:
        errors = _entropy(r, sample, kx, n, m, force=by == "entropy")
    if errors.by == "none" and description is None:  # nothing to be done that placing readouts does not
        return r, {"epi": {"by": "none", "text": "lines turned, ghosts left" if by == "none" else
                           "lines turned; nothing found that sets both directions apart"}}
    kinds, first, width = {}, np.zeros(len(mine), int), np.zeros(len(mine), int)
    for i in np.flatnonzero(mine):
        k = kx(i)
        if id(k) not in kinds:
            if len(kinds) == _KINDS:
                raise ValueError(f"lines of EPI were read out in more than {_KINDS} ways: the file is damaged")
            kinds[id(k)] = _onto(k, errors.delay, n)
        first[i], width[i] = kinds[id(k)][0], len(kinds[id(k)][1])

    def gridded(i, samples):
        samples = samples[:, r.pre[i] : samples.shape[1] - r.post[i]] @ kinds[id(kx(i))][1].T
        return samples * np.complex64(np.exp(-1j * _phase(errors, phases, parts[i]))) if r.reverse[i] else samples

    def read(index):
        with one_blas_thread():
            return [gridded(i, samples) if mine[i] else samples for i, samples in zip(index, r.read(index))]

    dense = r.dwell * (1 if description is None else keep / n)  # noise goes with the samples that a place has
    fresh = replace(r, samples=np.where(mine, width, r.samples), centre=np.where(mine, n // 2 - first, r.centre),
                    pre=np.where(mine, 0, r.pre), post=np.where(mine, 0, r.post), reverse=r.reverse & ~mine, read=read,
                    dwell=np.where(mine, dense, r.dwell))
    return fresh, told({}, _judged(r, sample, kx, n, m, errors, phases, parts), _dwell(r, image, description))


def _onto(k, delay, n):
    """(the first place of the grid that a line reaches, the matrix (places, samples) from its samples onto these)."""
    M = fft(matrix(late(k[None], delay)[0], n), (0,)).astype(np.complex64)
    if k.max() - k.min() >= n - 2:
        return 0, M
    first, last = int(np.ceil(k.min())) + n // 2, int(np.floor(k.max())) + n // 2
    return first, M[first : last + 1]


def _parts(r: Readouts):
    """(readout, counter) of slices, frames, ...: lines of one row belong together."""
    return np.stack([r.counters[name] for name in AXES if name != "average"], 1)


def _phase(errors, phases, part):
    """The phase of a part: of its own navigators, else of those of its slice, else of all."""
    return phases.get(tuple(part), phases.get(int(part[0]), np.ravel(errors.phase)[0]))


def _positions(keep, reverse, centre, n, description):
    """Where the samples of a readout lie along kx, in steps of the encoding."""
    if description is None:
        middle = keep - 1 - centre if reverse else centre
        if keep == n or not 0 < middle < keep:
            middle = keep // 2
        k = np.arange(keep) - middle
        return (k[::-1] if reverse else k).astype(float)
    up, down, flat, dwell = (description[name] for name in TRAPEZOID)
    total, read = up + flat + down, dwell * keep
    first = (total - read) / 2
    t = first + (np.arange(keep) + 0.5) * dwell
    area = _area(t, up, flat, down)
    inside = _area(first + read, up, flat, down) - _area(first, up, flat, down)
    k = n * (area - _area(total, up, flat, down) / 2) / inside
    return -k if reverse else k


def _area(t, up, flat, down):
    """The area under a trapezoid of height 1 up to the times t."""
    up_, down_ = max(up, 1e-9), max(down, 1e-9)
    a, b = np.clip(t, 0, up_), np.clip(t - up - flat, 0, down_)
    return a**2 / (2 * up_) + np.clip(t - up, 0, flat) + b - b**2 / (2 * down_)


def _description(space):
    """The times of the readout's trapezoid in us, None where the header does not say them."""
    found = {}
    for kind in ("userParameterLong", "userParameterDouble"):
        for pair in space.root.findall(f"{{*}}trajectoryDescription/{{*}}{kind}"):
            name, value = (pair.findtext(f"{{*}}{tag}") for tag in ("name", "value"))
            if name in TRAPEZOID:
                found[name] = _microseconds(name, value)
    if not found.get("dwellTime") or not found.get("flatTopTime", 0) + found.get("rampUpTime", 0) > 0:
        return None
    return {name: found.get(name, 0.0) for name in TRAPEZOID}


def _microseconds(name, text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"the header's trajectoryDescription gives {name} as {text!r}: microseconds are needed")
    return value


def _dwell(r: Readouts, image, description):
    """Seconds from sample to sample."""
    us = float(r.dwell[image][0]) if description is None else description["dwellTime"]
    return us * 1e-6 if us > 0 else None


def _navigated(r: Readouts, index, kx, keep, n, parts):
    """(`EpiErrors`, {part, and slice: its phase}, what is wrong) by navigators (readout) of all parts together."""
    groups = {}
    for i in index:
        groups.setdefault(tuple(parts[i]), []).append(i)
    sizes = [(tuple(keep[g]), tuple(r.reverse[g])) for g in groups.values()]
    usual = max(set(sizes), key=sizes.count)
    groups = {part: g for part, g, size in zip(groups, groups.values(), sizes) if size == usual}
    try:
        lines = np.stack([np.stack([s[:, r.pre[i] : s.shape[1] - r.post[i]] for i, s in zip(g, r.read(np.array(g)))], 1)
                          for g in groups.values()])
        first = next(iter(groups.values()))
        errors = by_navigator(lines, np.stack([kx(i) for i in first]), n)
    except ValueError as error:
        return EpiErrors(), {}, str(error)
    own = np.ravel(errors.phase)
    phases = dict(zip(groups, own.tolist()))
    for part, phase in reversed(phases.copy().items()):
        phases[int(part[0])] = phase
    return errors, phases, ""


def _lines_of(r: Readouts, image, parts, m: Matrix, keep):
    """(readouts, rows) of the part with most lines, in the middle of those; None where these are too few."""
    index = np.flatnonzero(image)
    _, which, count = np.unique(np.column_stack([parts[index], r.counters[STEPS[1]][index]]), axis=0,
                                  return_inverse=True, return_counts=True)
    full = np.flatnonzero(count == count.max())
    index = index[which.reshape(-1) == full[len(full) // 2]]
    index = index[keep[index] == np.bincount(keep[index]).argmax()]
    rows = m.size[1] // 2 - m.centre[0] + r.counters[STEPS[0]][index]
    good = (rows >= 0) & (rows < m.size[1])
    index, rows = index[good], rows[good]
    return None if len(index) < _FEW or len(np.unique(r.reverse[index])) < 2 else (index, rows)


def _stacked(r: Readouts, index):
    """(coil, line, sample) of some readouts."""
    order = np.argsort(index)
    found = [s[:, r.pre[i] : s.shape[1] - r.post[i]] for i, s in zip(index[order], r.read(index[order]))]
    return np.stack([found[i] for i in np.argsort(order)], 1)


def _entropy(r: Readouts, sample, kx, n, m: Matrix, force: bool) -> EpiErrors:
    """By the entropy of one part; none where that is as good as nothing, and was not asked for."""
    index, rows = sample
    found = epi(_stacked(r, index), np.stack([kx(i) for i in index]), rows - m.size[1] // 2, (m.size[1], n),
                by="entropy").errors
    if not force and max(abs(found.delay), float(np.max(np.abs(found.phase)))) < _NOTHING:
        return EpiErrors()
    return found


def _judged(r: Readouts, sample, kx, n, m: Matrix, errors, phases, parts):
    """The `Epi` of one part, for its levels of the ghost, with the way in which the errors were found."""
    if sample is None:
        return Epi(None, None, errors)
    index, rows = sample
    own = replace(errors, phase=_phase(errors, phases, parts[index[0]]))
    one = epi(_stacked(r, index), np.stack([kx(i) for i in index]), rows - m.size[1] // 2, (m.size[1], n), errors=own)
    return replace(one, errors=errors)
