"""How coil maps are made where a scan brings none: one class for each of `pisolve.calib`'s functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np

from pisolve import calib
from pisolve._check import choice, integer, number, renamed
from pisolve._types import Array, ArrayLike
from pisolve._words import CROP
from pisolve.calib._coils import fraction

_COUNT = partial(integer, low=1)
_ANY_COUNT = partial(integer, low=1, allow_none=True)


def _threshold(name, value):
    return choice(name, value, ("auto",)) if isinstance(value, str) else fraction(name, value)


class Maps:
    """Base of the configurations: the fields are the arguments of the function in `pisolve.calib`."""

    _checks: ClassVar[dict[str, Any]] = {}  # of the fields, by name

    def __post_init__(self) -> None:
        for name, check in self._checks.items():
            check(name, getattr(self, name))

    volumes = False  # whether it makes maps of 3-D k-space
    anywhere = False  # whether it takes samples anywhere as they are; others take their gridded k-space

    def __call__(self, kspace: ArrayLike, mask: ArrayLike | None = None, separate: Any = None, *,
                 ndim: int = 2) -> Array:
        """Coil maps of (..., coil, ky, kx), in 3-D of (..., coil, kz, ky, kx); one coil gets a map of ones.

        Args:
            kspace: k-space to calibrate from.
            mask: what of it is sampled.
            separate: separately measured calibration lines, used in place of the centre of `kspace`.
            ndim: 2 or 3.

        Raises:
            ValueError: 3-D k-space, for which there are no such maps.
        """
        if kspace.shape[-1 - ndim] == 1:
            return np.ones_like(kspace)
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        if ndim == 3:
            if not self.volumes:
                raise ValueError(f"{type(self).__name__}() makes maps of 2-D k-space, and this is 3-D: take "
                                 "maps=pi.Espirit(), or give mps")
            options["ndim"] = 3
            if kspace.ndim > 4:  # slabs
                own = separate is not None and separate.ndim > 4
                mask = None if mask is None else np.broadcast_to(mask, kspace.shape[-3:])
                return np.stack([self(k, mask, separate[z] if own else separate, ndim=3)
                                 for z, k in enumerate(kspace)])
        return getattr(calib, type(self).__name__.lower())(kspace, mask=mask, calib=separate, **options)


    def of_points(self, kspace: ArrayLike, coord: ArrayLike, size: Sequence[int]) -> Array:
        """Coil maps of samples (coil, *points) at coordinates, where it is `anywhere`; one coil gets a map of ones."""
        if len(kspace) == 1:
            return np.ones((1, *size), kspace.dtype)
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        return getattr(calib, type(self).__name__.lower())(kspace, coord=coord, shape=size, **options)


@renamed(maps="sets")
@dataclass(frozen=True)
class Espirit(Maps):
    """The arguments of `calib.espirit`; with `sets` > 1 the model is soft SENSE."""

    calib_width: int = 24
    kernel_width: int | None = None
    thresh: float | str = 0.02
    crop: float = CROP
    soft_crop: bool = False
    sets: int = 1
    volumes = True
    _checks = {"calib_width": _COUNT, "kernel_width": _ANY_COUNT, "thresh": _threshold, "crop": fraction,
               "sets": _COUNT}


@dataclass(frozen=True)
class Walsh(Maps):
    """The arguments of `calib.walsh`."""

    calib_width: int | None = 24
    window: int = 5
    thresh: float = 0.02
    _checks = {"calib_width": _ANY_COUNT, "window": _COUNT, "thresh": fraction}


@dataclass(frozen=True)
class Inati(Maps):
    """The arguments of `calib.inati`."""

    calib_width: int | None = 24
    window: int = 5
    iterations: int = 5
    thresh: float = 0.02
    _checks = {**Walsh._checks, "iterations": _COUNT}


@dataclass(frozen=True)
class JSense(Maps):
    """The arguments of `calib.jsense`."""

    calib_width: int = 24
    kernel_width: int = 12
    lam: float = 3e-3
    iterations: int = 20
    inner: int = 10
    thresh: float = 0.02
    anywhere = True
    _checks = {"calib_width": partial(integer, low=3), "kernel_width": _COUNT, "lam": partial(number, low=0),
              "iterations": _COUNT, "inner": _COUNT, "thresh": fraction}
