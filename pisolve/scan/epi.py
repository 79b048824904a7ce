"""Echo-planar imaging from its lines as they were measured: turned, regridded, and without the N/2 ghost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike, Numbers
from pisolve._words import EPI
from pisolve.backend import fft, one_blas_thread, to_numpy
from pisolve.scan.ghost import EpiErrors, by_entropy, by_navigator, ghost_level
from pisolve.scan.lines import along_y, checked_kx, checked_ky, direction, late, placed, profiles


@dataclass(frozen=True, eq=False)
class Epi:
    """What `epi` returns.

    Attributes:
        kspace: (..., coil, ky, kx), Cartesian, 0 where no line was measured.
        mask: bool, True where measured: (ky, kx), or (..., ky, kx) where parts have lines of their own.
        errors: the `EpiErrors` that were taken out.
        ghost: (before, after) levels of the N/2 ghost by `ghost_level`, of the part with most energy; None where the
            image cannot tell: nothing taken out, undersampled, or an object that leaves no room.
        time: s, when each sample of the grid was measured, of the shape of `mask`, for off-resonance, or would have
            been; None without `time`.
    """

    kspace: np.ndarray
    mask: np.ndarray
    errors: EpiErrors
    ghost: tuple[float, float] | None = None
    time: np.ndarray | None = None

    def describe(self, dwell: float | None = None) -> str:
        """What was corrected, and by how much, in a sentence; with the dwell time in s, delays in us."""
        e = self.errors
        if e.by == "none":
            return "lines turned and regridded, nothing else"
        us = "" if dwell is None else f" ({1e6 * e.delay * dwell:.3g} us)"
        phases = np.ravel(e.phase)
        turn = (f"{phases[0]:.3g}" if len(phases) == 1 else f"{phases.min():.3g} to {phases.max():.3g}")
        way = {"navigator": "navigators", "given": "errors that were given"}.get(e.by, e.by)
        text = (f"by {way}: gradients {abs(e.delay):.3g} samples{us} {'late' if e.delay >= 0 else 'early'}, backward "
                f"lines {turn} rad ahead")
        return text + (f"; N/2 ghost {100 * self.ghost[0]:.3g} % to {100 * self.ghost[1]:.3g} % of the object"
                       if self.ghost else "")


def epi(kspace: ArrayLike, kx: ArrayLike, ky: Numbers, shape: Sequence[int], *, nav: ArrayLike | None = None,
        nav_kx: ArrayLike | None = None, by: str = "auto", errors: EpiErrors | None = None,
        time: ArrayLike | None = None) -> Epi:
    """Cartesian k-space from the lines of an EPI scan: ramp sampling, gradient delay and N/2 ghost are taken out.

    1. `epi_ghost` finds by how much gradients come late, and the phase between both directions.
    2. Every line becomes an image along x by least squares from where its samples truly lie, kx(j - delay). This is
       exact for samples on the gradients' ramps too, turns backward lines, and leaves a Cartesian scan: every prior,
       GRAPPA, every network works as ever.
    3. The phase of backward lines is taken off; lines go to their ky, several of one ky as their mean.

    Args:
        kspace: (..., coil, line, sample), complex, as measured, backward lines not turned.
        kx: (line, sample) nominal, in -N/2..N/2, units of 1 / field of view.
        ky: (line,) or (..., line) whole numbers, 0 at the centre of k-space.
        shape: of the image, (y, x).
        nav: navigators, lines without phase encoding, at least three in turn: (coil, line, sample), or with the axes
            of `kspace` in front where parts have their own.
        nav_kx: (line, sample) of the navigators; None: the first of `kx`.
        by: "auto" ("navigator" where there are any, else "entropy"), "navigator", "entropy", or "none": lines are
            turned and regridded, nothing else.
        errors: those of another scan, instead of finding any.
        time: s, (line, sample), when samples were measured.

    Returns:
        `Epi`.

    Raises:
        TypeError, ValueError: arrays that do not fit each other, kx in other units, ky that are no lines of the grid,
            by="navigator" without navigators.

    Reference:
        Bruder et al., Magn Reson Med 23 (1992) 311 (ramps, navigators); Reeder et al., Magn Reson Med 41 (1999) 87.
    """
    kspace, kx, rows, shape = _checked(kspace, kx, ky, shape)
    with one_blas_thread():
        found = _errors(kspace, kx, rows, shape, nav, nav_kx, by) if errors is None else _given(errors, kspace)
        return _without(kspace, kx, rows, shape, found, time)


def epi_ghost(kspace: ArrayLike, kx: ArrayLike, ky: Numbers, shape: Sequence[int], *, nav: ArrayLike | None = None,
              nav_kx: ArrayLike | None = None, by: str = "auto") -> EpiErrors:
    """What sets backward lines of an EPI scan apart from forward ones: the gradients' delay, and a phase.

    By navigators, lines without phase encoding: the delay with which the images of neighbouring lines agree, where the
    phase of off-resonance cancels. By entropy: those of which the image has the least. `epi` takes them out.

    Args, raises:
        As `epi`.

    Reference:
        Bruder et al., Magn Reson Med 23 (1992) 311; Clare, Proc ISMRM 16 (2008) 3010 (entropy).
    """
    kspace, kx, rows, shape = _checked(kspace, kx, ky, shape)
    with one_blas_thread():
        return _errors(kspace, kx, rows, shape, nav, nav_kx, by)


def _without(kspace, kx, rows, shape, found: EpiErrors, time) -> Epi:
    """The `Epi` of lines whose errors were found."""
    lead, coils = kspace.shape[:-3], kspace.shape[-3]
    rows = rows.reshape(-1, rows.shape[-1])
    lines = kspace.reshape(-1, *kspace.shape[-3:])
    out = np.empty((len(lines), coils, *shape), kspace.dtype)
    measured = np.zeros((len(rows), *shape), bool)
    reached = _reached(late(kx, found.delay), shape[1])
    for i, own in enumerate(rows):
        for row, inside in zip(own, reached):
            measured[i, row] |= inside
    for i, one in enumerate(_corrected(lines, kx, shape[1], found)):
        out[i] = placed(one, rows[i % len(rows)], shape[0])[0]
    out = fft(out, (-1,))
    out *= measured[:, None]
    mask = measured[0] if len(rows) == 1 else measured.reshape(*lead, *shape)
    times = None if time is None else _times(time, late(kx, found.delay), rows, measured).reshape(mask.shape)
    first = int(np.argmax([np.linalg.norm(one / abs(lines).max()) for one in lines]))
    ghost = None if found.by == "none" else _ghost(lines[first], out[first], kx, rows[first % len(rows)], shape)
    return Epi(out.reshape(*lead, coils, *shape), mask, found, ghost, times)


def _checked(kspace, kx, ky, shape):
    kspace = to_numpy(_check.array("kspace", kspace, nonzero=True))
    if kspace.ndim < 3:
        raise ValueError(f"kspace has shape {kspace.shape}: (..., coil, line, sample) is needed")
    shape = _check.shape("shape", shape)
    if len(shape) != 2:
        raise ValueError(f"shape must be that of the image, (y, x), got {shape}")
    kx = checked_kx(to_numpy(kx), kspace.shape[-2:], shape[1])
    rows = checked_ky(to_numpy(ky), (*kspace.shape[:-3], kspace.shape[-2]), shape[0])
    return kspace, kx, rows, shape


def _errors(kspace, kx, rows, shape, nav, nav_kx, by):
    _check.choice("by", by, EPI)
    if by == "none":
        return EpiErrors()
    if by == "navigator" and nav is None:
        raise ValueError("by='navigator' needs navigators, nav=(coil, line, sample): the scan has none, take "
                         "by='entropy'")
    if nav is None or by == "entropy":
        lines = kspace.reshape(-1, *kspace.shape[-3:])
        return by_entropy(lines, kx, np.broadcast_to(rows.reshape(-1, rows.shape[-1]), (len(lines), rows.shape[-1])),
                          shape)
    nav = to_numpy(_check.array("nav", nav, nonzero=True))
    lead = kspace.shape[:-3]
    if nav.ndim < 3 or nav.shape[:-3] not in ((), lead) or nav.shape[-3] != kspace.shape[-3]:
        raise ValueError(f"nav has shape {nav.shape}, kspace {kspace.shape}: (coil, line, sample) of its coils is "
                         "needed, or with its axes in front")
    if nav_kx is None and nav.shape[-2] > len(kx):
        raise ValueError(f"nav has {nav.shape[-2]} lines, kspace {len(kx)}: say where theirs lie, nav_kx=")
    nav_kx = kx[:nav.shape[-2]] if nav_kx is None else to_numpy(nav_kx)
    return by_navigator(nav.reshape(-1, *nav.shape[-3:]), checked_kx(nav_kx, nav.shape[-2:], shape[1], "nav_kx"),
                        shape[1])


def _given(errors, kspace):
    if not isinstance(errors, EpiErrors):
        raise TypeError(f"errors must be EpiErrors, as epi_ghost returns them, got {_check.brief(errors)}")
    if np.size(errors.phase) not in (1, int(np.prod(kspace.shape[:-3]))):
        raise ValueError(f"errors hold {np.size(errors.phase)} phases, kspace {kspace.shape}: one for all, or one for "
                         "each of its parts")
    return EpiErrors(_check.number("errors.delay", errors.delay), errors.phase, "given")


def _corrected(lines, kx, n, errors):
    """The images along x (part, coil, line, x) of lines, without what sets both directions apart."""
    turn = np.exp(-1j * np.ravel(errors.phase)).reshape(-1, 1, 1, 1)
    turn = np.where(direction(kx)[:, None] < 0, turn, 1).astype(lines.dtype)
    return profiles(lines, kx, n, errors.delay) * turn


def _reached(k, n):
    """(line, kx) bool: whether samples at k (line, sample) reach a place of the grid, which goes on after n."""
    grid, low, high = np.arange(n) - n // 2, k.min(1, keepdims=True) - 1, k.max(1, keepdims=True) + 1
    return (grid >= low) & (grid <= high) | (grid + n <= high) | (grid - n >= low)


def _times(time, k, rows, measured):
    """When each sample of the grid was measured, or would have been; of lines that were not, about the mean.

    Seconds before the first sample of all, by a gradient delay, move all times: that turns the image's phase only.
    """
    time = np.asarray(to_numpy(time), np.float64)
    if time.shape != k.shape or not np.isfinite(time).all() or (np.diff(time, axis=1) <= 0).any():
        raise ValueError(f"time has shape {time.shape}, the lines {k.shape}: seconds of each sample, increasing along "
                         "a line, are needed")
    grid = np.arange(measured.shape[-1]) - measured.shape[-1] // 2
    step = np.ptp(time, axis=1).mean() / max(1, np.ptp(k, axis=1).mean())  # s for one place of the grid
    out = np.broadcast_to(time.mean() + step * grid, measured.shape).copy()
    for i, own in enumerate(rows):
        for row, where, t in zip(own, k, time):
            sign = int(np.sign(where[-1] - where[0]))
            where, t = where[::sign], t[::sign]
            beyond = np.minimum(grid - where[0], 0) + np.maximum(grid - where[-1], 0)
            out[i, row] = np.interp(grid, where, t) + sign * step * beyond
    return out - min(0, out.min())


def _ghost(lines, kspace, kx, rows, shape):
    """Levels of the ghost before and after; None where lines were left out between others."""
    filled = np.unique(rows)
    if len(filled) < 8 or (np.diff(filled) > 1).any():
        return None
    before = placed(_corrected(lines[None], kx, shape[1], EpiErrors())[0], rows, shape[0])[0]
    images = [np.linalg.norm(i, axis=0) for i in (along_y(before), fft(kspace, (-2, -1), inverse=True))]
    levels = [ghost_level(i, images[1]) for i in images]
    return None if None in levels else tuple(levels)
