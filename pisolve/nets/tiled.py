"""Single-coil examples as a class project on AUTOMAP made them: magnitudes in [0, 1], tiled by reflections and cut.

    |F^-1 k| of 640 x 384 -> the centre of 320 x 320 -> 128 x 128 -> / max -> a random cut of its four reflections
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from pisolve import _check, masks
from pisolve.nets.simulate import simulate
from pisolve.nets.slices import Drawn, Slices

_PATTERNS = ("random", "equispaced", "equispaced_fraction")


def small_magnitude(image: np.ndarray, size: int = 128, crop: int = 320) -> np.ndarray:
    """|x| (y, x): its centre of `crop` pixels a side, shrunk to `size` (antialiased), in [0, 1], float32.

    A side with fewer pixels is padded by zeros first.
    """
    x = np.abs(image).astype(np.float32)
    for axis, n in enumerate(x.shape):
        more = max(crop - n, 0)
        x = np.pad(x, [(more // 2, more - more // 2) if a == axis else (0, 0) for a in range(2)])
        first = (x.shape[axis] - crop) // 2
        x = x.take(range(first, first + crop), axis)
    x = F.interpolate(torch.from_numpy(x)[None, None], size=(size, size), mode="bilinear", antialias=True,
                      align_corners=False)[0, 0].numpy()
    return np.clip(x / max(float(x.max()), np.finfo(np.float32).tiny), 0, 1)


def reflections(image: np.ndarray) -> np.ndarray:
    """The tiling [[x, x mirrored], [x upside down, both]], twice the size, without seams."""
    return np.block([[image, image[:, ::-1]], [image[::-1], image[::-1, ::-1]]])


@dataclass(frozen=True)
class Tiling:
    """What a `Tiled` slice is drawn from.

    Args:
        size, crop: as for `small_magnitude`.
        pattern: "random", "equispaced" or "equispaced_fraction" lines along ky.
        accel: 1: all of k-space, as in the project.
        center_fraction: share of lines in the full centre; None: fastMRI's.
        noise: smallest and largest standard deviation of the real and of the imaginary part in k-space, the image's
            maximum being 1.
        augment: cut the reflections at random; False: the images as they are, in their order.
        maps: None, or "true" for networks with maps: a map of ones.
    """

    size: int = 128
    crop: int = 320
    pattern: str = "random"
    accel: float = 1
    center_fraction: float | None = None
    noise: tuple[float, float] = (0.0, 0.0)
    augment: bool = True
    maps: str | None = None

    def __post_init__(self) -> None:
        _check.integer("size", self.size, low=16)
        _check.integer("crop", self.crop, low=16)
        _check.choice("pattern", self.pattern, _PATTERNS)
        _check.number("accel", self.accel, low=1)
        _check.number("center_fraction", self.center_fraction, low=0, high=1, allow_none=True)
        low, high = (_check.number("noise", v, low=0) for v in self.noise)
        if low > high:
            raise ValueError(f"noise must be (smallest, largest), got {self.noise}")
        _check.choice("maps", self.maps, (None, "true"))

    def mask(self, rng: np.random.Generator) -> np.ndarray:
        """A random sampling pattern, bool (size, size)."""
        shape, seed = (self.size, self.size), int(rng.integers(2**31))
        if self.accel == 1:
            return np.ones(shape, bool)
        return getattr(masks, self.pattern)(shape, self.accel, self.center_fraction, seed=seed)


class Tiled(Drawn):
    """Single-coil slices without end: item i is a random cut of a random image's reflections, drawn from (seed, i).

    Args:
        images: magnitudes (y, x) of any size, or a sequence that makes them when they are asked for.
        settings: what is drawn.
        length: what `len` says; None: that of `images`.
        seed: of everything.

    Raises:
        ValueError: no images.
    """

    images: Sequence[np.ndarray]
    settings: Tiling
    length: int
    seed: int

    def __init__(self, images: Sequence[np.ndarray], settings: Tiling | None = None, *, length: int | None = None,
                 seed: int = 0):
        if not len(images):
            raise ValueError("images is empty: give at least one magnitude image")
        self.images, self.settings = images, settings or Tiling()
        self.length = _check.integer("length", length, low=1, allow_none=True) or len(images)
        self.seed = _check.integer("seed", seed, low=0)

    def drawn(self, item: int) -> Slices:
        """Item `item`, however large it is."""
        s, rng, count = self.settings, np.random.default_rng([self.seed, item, 4]), len(self.images)
        image = self.images[int(rng.integers(count)) if s.augment else item % count]
        image = small_magnitude(image, s.size, s.crop)
        if s.augment:
            y, x = rng.integers(0, s.size + 1, 2)
            image = reflections(image)[y:y + s.size, x:x + s.size]
        return simulate(image.astype(np.complex64), np.ones((1, s.size, s.size), np.complex64), s.mask(rng),
                        noise=rng.uniform(*s.noise), seed=rng, maps=s.maps)
