"""Simulated multi-coil measurements: random smooth coils, an object finer than the pixels, masks and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pisolve import _check, backend, linops, masks, trajectories
from pisolve._types import ArrayLike, Seed
from pisolve.nets.data import smooth_basis
from pisolve.nets.slices import MAPS, Slices, measured

_GRID = 24  # points of a side on which a smooth coil is evaluated before it is interpolated
ENCODINGS = ("cartesian", "radial")
_MASKS = ("random", "equispaced", "equispaced_fraction", "variable_density", "poisson")


@dataclass(frozen=True)
class Simulation:
    """What a simulated scan is drawn from.

    Args:
        size: pixels of a side; k-space is (coil, size, size).
        fine: the object's grid in units of the image's: 2, as a scanner sees more than it resolves, or 1, where volumes
            are too coarse for that: magnified ones have no detail, and networks learn to smooth.
        native: share of examples of the volumes' own pixels, as sharp as a slice of them is, whatever `fine` says; the
            others are resampled.
        coils: smallest and largest number of coils.
        masks: names of patterns in `pisolve.masks`, one of which is drawn; lines vary along ky.
        accel: accelerations, one of which is drawn.
        center_fraction: share of lines in the full centre; None: fastMRI's.
        noise: smallest and largest noise level, the standard deviation of the real and of the imaginary part each in
            k-space, where the object has a 99th percentile of 1; drawn evenly in its logarithm.
        maps: "espirit" from the undersampled centre, "true", or None for networks without maps.
        encoding: "cartesian", or "radial": spokes at golden angles, the first one anywhere, with twice as many samples
            as the size; masks, accel and center_fraction then say nothing.
        shots: smallest and largest number of spokes; examples of one batch have one number.
        measured: share of examples whose coils are out of `profiles` in place of random loops.
    """

    size: int = 128
    fine: int = 2
    native: float = 0.0
    coils: tuple[int, int] = (4, 16)
    masks: tuple[str, ...] = ("random", "equispaced_fraction")
    accel: tuple[float, ...] = (4, 5, 6, 8)
    center_fraction: float | None = None
    noise: tuple[float, float] = (0.003, 0.04)
    maps: str | None = "espirit"
    measured: float = 0.2
    encoding: str = "cartesian"
    shots: tuple[int, int] = (24, 64)

    def __post_init__(self) -> None:
        _check.integer("size", self.size, low=16)
        _check.choice("fine", self.fine, (1, 2))
        _check.number("native", self.native, low=0, high=1)
        low, high = (_check.integer("coils", n, low=1) for n in self.coils)
        if low > high:
            raise ValueError(f"coils must be (smallest, largest), got {self.coils}")
        for name in self.masks:
            _check.choice("masks", name, _MASKS)
        for accel in self.accel:
            _check.number("accel", accel, low=1)
        if not self.masks or not self.accel:
            raise ValueError("masks and accel must each name at least one")
        _check.number("center_fraction", self.center_fraction, low=0, high=1, allow_none=True)
        low, high = (_check.number("noise", v, low=0) for v in self.noise)
        if low > high or (low == 0) != (high == 0):
            raise ValueError(f"noise must be (smallest, largest), both > 0 or both 0, got {self.noise}")
        _check.choice("maps", self.maps, MAPS)
        _check.number("measured", self.measured, low=0, high=1)
        low, high = (_check.integer("shots", n, low=1) for n in self.shots)
        if low > high:
            raise ValueError(f"shots must be (smallest, largest), got {self.shots}")
        if _check.choice("encoding", self.encoding, ENCODINGS) != "cartesian" and self.maps is None:
            raise ValueError(f"encoding {self.encoding!r} takes a network with maps: those without need a grid")

    def trajectory(self, rng: np.random.Generator, shots: int) -> np.ndarray | None:
        """Random coordinates (shot, sample, 2) of so many shots; None on a grid."""
        if self.encoding == "cartesian":
            return None
        return trajectories.radial((self.size, self.size), shots, first=int(rng.integers(1000)))

    def pattern(self, rng: np.random.Generator) -> np.ndarray:
        """A random sampling pattern, bool (size, size)."""
        name, accel = self.masks[int(rng.integers(len(self.masks)))], self.accel[int(rng.integers(len(self.accel)))]
        shape, seed = (self.size, self.size), int(rng.integers(2**31))
        if name in ("poisson", "variable_density"):
            return getattr(masks, name)(shape, accel, seed=seed)
        return getattr(masks, name)(shape, accel, self.center_fraction, seed=seed)

    def level(self, rng: np.random.Generator) -> float:
        """A random noise level."""
        low, high = self.noise
        return math.exp(rng.uniform(math.log(low), math.log(high))) if low else 0.0


def simulate(image: ArrayLike, coils: Any, mask: ArrayLike | None = None, *, coord: ArrayLike | None = None,
             size: Sequence[int] | None = None, noise: float = 0.0, seed: Seed = 0,
             maps: str | None = "espirit") -> Slices:
    """One measured slice: k-space y_c = M (F S_c m + n), of an object m that may be finer than the pixels.

    The object and the coils are given on a grid of twice the size; k-space is the centre of the fine grid's. So pixels
    average over what is in them and edges ring, as in a scan, and no network can learn the grid of the simulation. An
    object of the mask's own size is simulated as it is.

    Args:
        image: (2 ky, 2 kx) or (ky, kx) complex, the object.
        coils: (coil, ...) complex, the true maps on the object's grid.
        mask: bool (ky, kx).
        coord: (shot, sample, 2) in -N/2..N/2 in place of the mask: y_c = E S_c m + n, E by `linops.nufft`.
        size: (ky, kx), beside `coord`.
        noise: standard deviation of the real and of the imaginary part each, in the units of the image: the orthonormal
            FFT gives every pixel of a coil's image the same.
        seed: of the noise, or a generator.
        maps: as in `slices.measured`; "true": the given ones, made to a root sum of squares of 1.

    Returns:
        `Slices` of one slice, with the noiseless image as target and the noise as it is.

    Raises:
        ValueError: shapes that do not fit, or k-space that no maps can be made of.
    """
    image = np.asarray(_check.array("image", image, ndim=2))
    coils = np.asarray(_check.array("coils", coils, ndim=3))
    if (mask is None) != (size is not None) or (coord is None) != (size is None):
        raise ValueError("give mask, or coord with the size of the image")
    fine = 1 if (size or np.shape(mask)[-2:]) == image.shape else 2
    if coils.shape[-2:] != image.shape or any(n % fine for n in image.shape):
        raise ValueError(f"image {image.shape} and coils {coils.shape} must have one size, even in both directions")
    shape = tuple(n // fine for n in image.shape)
    mask = _check.mask("mask", mask, shape) if coord is None else np.ones(np.shape(coord)[:-1], bool)
    rng = np.random.default_rng(seed)
    seen = coils * image
    clean = backend.fft(seen, (-2, -1)) / fine  # of 4 times as many pixels: half as large
    if fine == 2:
        clean = np.ascontiguousarray(clean[(..., *(slice(n - n // 2, n - n // 2 + n) for n in shape))])
    y = clean if coord is None else linops.nufft(seen.shape, np.asarray(coord))(seen) / fine
    y = y + noise * rng.standard_normal((*y.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    own = None
    if maps == "true":
        own = coils[(..., *(slice(n % fine, None, fine) for n in shape))]
        own = own / np.maximum(np.sqrt((abs(own) ** 2).sum(0)), 1e-6)
    made = measured(y * mask, mask, coord=coord, size=size, clean=clean, mps=own, maps=None if maps == "true" else maps)
    return replace(made, noise=noise * made.scale)


def smooth_coils(rng: np.random.Generator, number: int, size: int) -> np.ndarray:
    """Maps (number, size, size) complex64 of random current loops about the field of view, mean root sum of squares 1.

    The loops stand on an ellipse, each a bit off its place, with radii, gains and phases of their own, softened dipole
    fields as in `phantom.brain`. One coil is uniform.
    """
    if number == 1:
        return np.ones((1, size, size), np.complex64)
    y, x = np.meshgrid(*[np.linspace(-0.5, 0.5 - 1 / size, _GRID)] * 2, indexing="ij")
    angle = 2 * np.pi * (np.arange(number) + rng.uniform(-0.3, 0.3, number)) / number + rng.uniform(0, 2 * np.pi)
    normal = np.stack([np.cos(angle), np.sin(angle)])[..., None, None]
    place = normal * rng.uniform(0.6, 0.85, (2, 1, 1, 1)) * rng.uniform(0.9, 1.1, (number, 1, 1))
    dy, dx = y - place[0], x - place[1]
    square = dy**2 + dx**2 + rng.uniform(0.15, 0.35, (number, 1, 1)) ** 2
    along = (normal[0] * dy + normal[1] * dx) / square
    field = (3 * along * dx - normal[1] - 1j * (3 * along * dy - normal[0])) / square**1.5
    return _tuned(rng, field, size)


def measured_coils(rng: np.random.Generator, number: int, size: int, profiles: np.ndarray) -> np.ndarray:
    """Maps (number, size, size) of some of the measured `profiles` (coil, y, x), turned and flipped at random."""
    field = profiles[rng.permutation(len(profiles))[:number]]
    field = np.rot90(field, int(rng.integers(4)), (-2, -1))
    return _tuned(rng, field[..., ::-1] if rng.random() < 0.5 else field, size)


def _tuned(rng, field, size):
    """Smooth maps interpolated to a size, with random gains and phases, their mean root sum of squares 1."""
    gain = np.exp(0.3 * rng.standard_normal(len(field)) + 2j * np.pi * rng.random(len(field)))
    rows, columns = (smooth_basis(size, n).numpy() for n in field.shape[-2:])
    field = rows @ (gain[:, None, None] * field).astype(np.complex64) @ columns.T
    return field / np.sqrt((abs(field) ** 2).sum(0)).mean()
