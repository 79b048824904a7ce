"""What is solved for one slice: SENSE, SPIRiT, or SENSE on k-space that GRAPPA has filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pisolve import calib, linops
from pisolve._check import number, shape


def _same(x):
    return x


@dataclass(frozen=True)
class Model:
    """One slice: minimise 1/2 ||A x - y||^2 + g(x).

    Attributes:
        A, y: operator and data of the equation.
        image: x -> the picture (y, x), homogeneous.
        data: k-space (coil, ky, kx) -> y, linear: the same calibration on other data of this slice.
    """

    A: linops.Linop
    y: np.ndarray
    image: Callable = _same
    data: Callable = _same


class Method:
    """Base of the methods: k-space, mask, maps and separate calibration lines of one slice -> `Model`."""

    needs_maps = True

    def __call__(self, kspace, mask, mps, separate) -> Model:
        raise NotImplementedError


@dataclass(frozen=True)
class Sense(Method):
    """A = `linops.sense(mps, mask)`; soft SENSE with several sets of maps, whose image is the root sum of squares."""

    def __call__(self, kspace, mask, mps, separate=None) -> Model:
        if mps.ndim == 4:
            return Model(linops.soft_sense(mps, mask), kspace, linops.combine_sets)
        return Model(linops.sense(mps, mask), kspace)


SENSE = Sense()


@dataclass(frozen=True)
class Grappa(Method):
    """GRAPPA fills k-space, then SENSE with a full mask combines the coils; a prior acts on that image.

    Args: as for `calib.grappa`.
    """

    kernel: tuple = (5, 5)
    lam: float = 0.01

    def __post_init__(self):
        _kernel(self)
        number("lam", self.lam, low=0)

    def __call__(self, kspace, mask, mps, separate=None) -> Model:
        weights = calib.grappa(kspace, mask, calib=separate, kernel=self.kernel, lam=self.lam)
        return replace(SENSE(weights(kspace), None, mps), data=weights)


@dataclass(frozen=True)
class Spirit(Method):
    """SPIRiT: the unknowns are the coils' images, the picture is their root sum of squares.

        minimise over x    1/2 ||M F x - y||^2 + weight/2 ||(G - I) x||^2 + g(x)

    Args:
        kernel, lam: as for `calib.spirit_kernel`.
        weight: of self-consistency beside consistency with the data.
    """

    kernel: tuple = (5, 5)
    lam: float = 0.01
    weight: float = 1.0
    needs_maps = False

    def __post_init__(self):
        _kernel(self)
        number("lam", self.lam, low=0)
        number("weight", self.weight, low=0)

    def __call__(self, kspace, mask, mps, separate=None) -> Model:
        G = calib.spirit_kernel(kspace, mask, calib=separate, kernel=self.kernel, lam=self.lam)
        A = linops.spirit_encoding(G, mask, kspace.shape, weight=self.weight)
        return Model(A, A.data(kspace), root_sum_of_squares, A.data)


def root_sum_of_squares(x):
    """Coil images (coil, y, x) -> (y, x), complex with phase 0."""
    return np.linalg.norm(x, axis=-3).astype(x.dtype)


def _kernel(method):
    kernel = shape("kernel", method.kernel)
    if len(kernel) != 2:
        raise ValueError(f"kernel must be two sizes (ky, kx), got {kernel}")
    object.__setattr__(method, "kernel", kernel)
