"""How coil maps are made where a scan brings none: one class for each of `pisolve.calib`'s functions."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pisolve import calib


class Maps:
    """Base of the configurations: the fields are the arguments of the function in `pisolve.calib`."""

    def __call__(self, kspace, mask=None, separate=None):
        """Coil maps of (..., coil, ky, kx); one coil gets a map of ones.

        Args:
            kspace: k-space to calibrate from.
            mask: what of it is sampled.
            separate: separately measured calibration lines, used in place of the centre of `kspace`.
        """
        if kspace.shape[-3] == 1:
            return np.ones_like(kspace)
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        return getattr(calib, type(self).__name__.lower())(kspace, mask=mask, calib=separate, **options)


@dataclass(frozen=True)
class Espirit(Maps):
    """The arguments of `calib.espirit`; with `maps` > 1 the model is soft SENSE."""

    calib_width: int = 24
    kernel_width: int | None = None
    thresh: float | str = 0.02
    crop: float = 0.8
    soft_crop: bool = False
    maps: int = 1


@dataclass(frozen=True)
class Walsh(Maps):
    """The arguments of `calib.walsh`."""

    calib_width: int = 24


@dataclass(frozen=True)
class Inati(Maps):
    """The arguments of `calib.inati`."""

    calib_width: int = 24


@dataclass(frozen=True)
class JSense(Maps):
    """The arguments of `calib.jsense`."""

    calib_width: int = 24
