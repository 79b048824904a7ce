"""Retrospective undersampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np

from pisolve import _axes, _check, io, masks
from pisolve._words import POINTS, SAMPLINGS, TRAJECTORIES
from pisolve.masks.points import SeedError
from pisolve.prepare.simulated import SIMULATED, nyquist, simulated, told, trajectory
from pisolve.scan import estimate
from pisolve.scan.field import corrected

_TRIES = 50  # seeds for a Poisson disc
_CENTRE = (24, 8)  # samples of the full centre in two phase encodes at most, and at least; between, a quarter of each


@dataclass(frozen=True)
class Sampling:
    """A retrospective undersampling, one of `pisolve.masks`' patterns, applied to the scan before anything else.

    In 3-D the pattern is one of the two phase encodes, and the same all along the readout: points and regular grids use
    both, lines go along the last of them (ky) alone.

    Args:
        mask: "random", "equispaced", "equispaced_fraction" (lines), "poisson", "variable_density" (points), or "vista"
            (lines of a series, spread over time, see `masks.vista`). Or a trajectory, which is simulated from a full
            Cartesian scan and said to be: "radial" (golden angles, in 3-D a ball of spokes), "spiral",
            "stack-of-stars" and "stack-of-spirals" (3-D, kz stays Cartesian).
        accel: acceleration, None: 4; of "equispaced" in 3-D also a pair (2, 2), for kz and ky.
        center_fraction: share of lines in the full centre, for the patterns of lines; None: fastMRI's.
        seed: of the pattern; of a trajectory the number of the set of shots that goes on turning.
        vary: None, or the axis whose parts have a pattern each, such as "frame", "echo" or "slice", or several of them:
            of another seed each (seed, seed + 1, ...), or shifted by one line each where lines are evenly spaced. For
            "vista" it is "frame" where nothing is said. Frames of a trajectory each have shots of their own.
        spokes: how many, in place of `accel`; of a spiral its interleaves, 8 where nothing is said, out of `accel`
            times as many that would cover k-space.

    Raises:
        ValueError: no such pattern, or one that does not fit the scan.
    """

    mask: str = "random"
    accel: float | tuple[float, float] | None = None
    center_fraction: float | None = None
    seed: int = 0
    vary: str | tuple[str, ...] | None = None
    spokes: int | None = None

    def __post_init__(self) -> None:
        _check.choice("mask", self.mask, SAMPLINGS)
        if self.simulated:
            self._check_trajectory()
        elif self.spokes is not None:
            raise ValueError(f"spokes is for {', '.join(TRAJECTORIES)}, not for mask={self.mask!r}: give accel")
        if self.accel is None and not self._counted:
            object.__setattr__(self, "accel", 4)
        if self.center_fraction is not None and self.mask in POINTS:
            raise ValueError(f"center_fraction is for patterns of lines, {self.mask!r} has its own centre of 24 x 24")
        if isinstance(self.accel, list | tuple):
            if len(self.accel) != 2 or self.mask != "equispaced":
                raise ValueError(f"accel {_check.brief(self.accel)} is for mask='equispaced' in 3-D, a pair such as "
                                 "(2, 2) for kz and ky: give one number")
            object.__setattr__(self, "accel", tuple(_check.number("accel", a, low=1) for a in self.accel))
        if self.vary is not None:
            names = _axes.words("vary", self.vary)
            object.__setattr__(self, "vary", names[0] if len(names) == 1 else names)

    @property
    def simulated(self) -> bool:
        """Whether it is a trajectory, simulated from a full Cartesian scan."""
        return self.mask in TRAJECTORIES

    @property
    def _counted(self) -> bool:
        """Whether the number of spokes says all, and there is no acceleration."""
        return self.spokes is not None and "spiral" not in self.mask

    def _check_trajectory(self):
        if self.center_fraction is not None:
            raise ValueError(f"center_fraction is for patterns of lines, {self.mask!r} has shots through the centre: "
                             "leave it out")
        if isinstance(self.accel, list | tuple):
            raise ValueError(f"accel {_check.brief(self.accel)} is for mask='equispaced' in 3-D: give one number")
        _check.number("accel", self.accel, low=1, allow_none=True)
        _check.integer("spokes", self.spokes, low=1, allow_none=True)
        if self._counted and self.accel is not None:
            raise ValueError(f"accel={self.accel:g} beside spokes={self.spokes}: give one of them")

    def rate(self, size: Sequence[int]) -> float:
        """The acceleration of a trajectory for an image of this size: spokes at Nyquist's rate over those it has."""
        return nyquist(self.mask, size) / self.spokes if self._counted else float(self.accel)

    def at(self, accel: float | Sequence[float]) -> Sampling:
        """The same kind of sampling at another acceleration."""
        return replace(self, accel=accel, spokes=self.spokes if "spiral" in self.mask else None)

    def __repr__(self) -> str:
        return f"Sampling({', '.join(f'{n}={v!r}' for n, v in self._told())})"

    def _told(self):
        later = ("vary", "spokes", "accel")  # told where there are any
        return [(f.name, v) for f in fields(self) if (v := getattr(self, f.name)) is not None or f.name not in later]

    def __call__(self, scan: io.Scan) -> io.Scan:
        """The undersampled scan, with the full data's RSS as reference."""
        if not self.simulated:
            return scan.undersample(self.pattern(scan))
        self.check(scan)
        if self._made(scan):
            return scan
        coord = self.coord(scan)
        return simulated(scan, coord, told(self, coord))

    def _made(self, scan) -> bool:
        """Whether the scan is one that this very sampling has simulated."""
        return str(scan.meta.get(SIMULATED, "")).startswith(f"{self!r}:")

    def coord(self, scan: io.Scan) -> np.ndarray:
        """The coordinates of a trajectory for a scan on a grid: (shot, sample, axis), or of each of its parts.

        Raises:
            ValueError: no trajectory, one for another number of axes, or no such axis to vary along.
        """
        if not self.simulated:
            raise ValueError(f"mask={self.mask!r} is a pattern on a grid, which has no coord: see pattern(scan)")
        inner = len(scan.encoding.encoded)
        size, names = scan.kspace.shape[-inner:], self._names(scan)
        grid = [(n, a in names) for a, n in zip(scan.encoding.axes[:-inner], scan.encoding.shape)]
        lead = [n if own else 1 for n, own in grid]
        seed = reduce(lambda a, b: 31 * a + b, self.seed) if isinstance(self.seed, tuple) else self.seed
        found = np.stack([trajectory(self.mask, size, self.accel or 1, self.spokes, seed + k)
                          for k in range(math.prod(lead))])
        if not names:
            return found[0]
        between = (1,) if found.shape[-1] < inner else ()  # partitions are alike
        found = found.reshape(*lead, *between, *found.shape[1:])
        partitions = tuple(size[:1]) if between else ()
        return np.broadcast_to(found, (*(n for n, _ in grid), *partitions, *found.shape[-3:]))

    def check(self, scan: io.Scan) -> None:
        """Refuse a scan with gaps between its samples, which would be undersampled a second time.

        Partial Fourier, an ellipse of phase encodes and zero-padded borders have no gaps. A scan that this very pattern
        has undersampled stays as it is.

        Raises:
            ValueError: with what to do.
        """
        if scan.coord is not None and self._made(scan):
            return
        if scan.coord is not None:
            raise ValueError(f"sampling={self!r} makes patterns on a grid, and this scan has samples anywhere (coord): "
                             "keep some of its shots by scan.undersample(mask), a mask (shot, 1)")
        grid = scan.encoding if scan.mask is not None else scan.encoding.keep(estimate(scan.kspace, scan.axes))
        if self.simulated and scan.weights is not None:
            raise ValueError(f"sampling={self!r} makes samples in other places, and the weights are those of the grid: "
                             "leave them out")
        if self.simulated and corrected(scan):
            raise ValueError(f"sampling={self!r} takes the images as they are, and what a field map and times say of "
                             "them is not in it: give off_resonance=False, or leave these out")
        if not grid.gaps:
            return
        if not self.simulated and np.array_equal(grid.keep(self.pattern(scan)).mask, grid.mask):
            return
        told = f"{1 / grid.fraction:.3g}x along {' and '.join(grid.varying) or 'nothing'}"
        raise ValueError(f"sampling={self!r} would undersample this scan again, which was measured {told}: leave it "
                         "out, by recipe.replace(sampling=None) or --no-sampling")

    def pattern(self, scan: io.Scan) -> np.ndarray:
        """The mask for a scan: of its encoded axes, or of all but the coils where it varies.

        Raises:
            ValueError: a trajectory, which has none, or a pattern that does not fit the scan.
        """
        if self.simulated:
            raise ValueError(f"mask={self.mask!r} is no pattern on a grid: see coord(scan)")
        grid = scan.encoding
        inner = len(grid.encoded)
        if inner == 2:
            shape, axis, readout = scan.kspace.shape[-2:], scan.phase_axis, ()
        else:
            at = grid.encoded.index(scan.readout)
            shape = tuple(n for i, n in enumerate(scan.kspace.shape[-inner:]) if i != at)
            axis, readout = -1, (at - inner,)
        if isinstance(self.accel, tuple) and inner == 2:
            raise ValueError(f"accel {self.accel} is for two phase encodes, and this scan has the axes "
                             f"{', '.join(scan.axes)}: give one number")
        names = self._names(scan)
        lead = [n if a in names else 1 for a, n in zip(grid.axes, grid.shape)][:len(grid.axes) - inner]
        count = math.prod(lead)
        if self.mask == "vista":
            calib = None if self.center_fraction is None else round(shape[axis] * self.center_fraction)
            found = masks.vista(shape, self.accel, count, calib=calib, axis=axis, seed=self.seed)
        else:
            found = np.stack([self._one(shape, axis, inner, k) for k in range(count)])
        found = np.expand_dims(found, readout)
        if readout:  # the same all along it
            found = np.broadcast_to(found, (count, *scan.kspace.shape[-inner:]))
        return found.reshape(*lead, *found.shape[1:]) if names else found[0]

    def _names(self, scan):
        """The axes along which patterns differ, in the scan's order.

        Raises:
            ValueError: the scan has no such axis.
        """
        has = _axes.further(scan.axes)
        usual = ("frame",) if self.mask == "vista" else ()
        usual = tuple(a for a in has if a != _axes.SLICE) if self.simulated else usual
        wanted = _axes.words("vary", usual if self.vary is None else self.vary)
        for name in wanted:
            if name not in has and name != _axes.SLICE:
                told = f"it can vary along {' or '.join(has)}" if has else "there is nothing to vary along"
                raise ValueError(f"{'mask=vista' if self.vary is None else f'vary={name!r}'}: the scan has the axes "
                                 f"{', '.join(scan.axes)}, and no {name!r}: {told}")
        return tuple(a for a in has if a in wanted)

    def _one(self, shape, axis, inner, k):
        """The pattern of the k-th part, (ky, kx) or the two phase encodes."""
        if self.mask in POINTS:
            calib = {} if inner == 2 else {"calib": centre_of(shape)}
            for further in range(_TRIES if inner == 3 or self.vary else 1):  # seeds beyond those of the other parts
                try:
                    return getattr(masks, self.mask)(shape, self.accel, seed=self._seed(k + 10007 * further), **calib)
                except SeedError as error:
                    refused = error
            raise refused
        if isinstance(self.accel, tuple):
            calib = centre_of(shape, self.center_fraction)
            return masks.regular(shape, self.accel, calib, shift=k, seed=self.seed)
        more = {"seed": self._seed(k)} if self.mask == "random" else {"seed": self.seed, "shift": k}
        return getattr(masks, self.mask)(shape, self.accel, self.center_fraction, axis=axis, **more)

    def _seed(self, k):
        return (*self.seed, k) if isinstance(self.seed, tuple) else self.seed + k if k else self.seed


def centre_of(shape, fraction: float | None = None) -> tuple[int, ...]:
    """The size of the full centre in two phase encodes: a share of each, None: a quarter, from 8 up to 24 samples."""
    if fraction is not None:
        return tuple(round(n * _check.number("center_fraction", fraction, low=0, high=1)) for n in shape)
    most, least = _CENTRE
    return tuple(min(n, max(least, min(most, n // 4))) for n in shape)
