"""Series for training: frames of something that moves, behind coils that stay, each frame with lines of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pisolve import _check, backend, io, linops, prepare
from pisolve.nets.data import phased
from pisolve.nets.simulate import Simulation, smooth_coils
from pisolve.nets.slices import Drawn, Slices

AXES = ("frame", "coil", "ky", "kx")


@dataclass(frozen=True, eq=False, repr=False)
class SeriesSlices(Slices):
    """`Slices` whose first axis is the frames of one series: `A` has an axis "frame". A batch is one series."""

    single = True

    @cached_property
    def A(self) -> linops.Linop:
        """SENSE of the series, (frame, y, x) -> k-space (frame, coil, ky, kx)."""
        if self.mps is None:
            raise ValueError("this series has no maps: make it with maps='espirit'")
        return linops.sense(self.mps, self.mask[:, 0], axes=AXES)


class Movies(Drawn):
    """Simulated series without end: item i is drawn from (seed, i), a part of a movie under random coils and lines.

    Whole pixels, quarter turns and flips only, one smooth phase for all frames; frames follow each other in the movie's
    order, from its end on from its start. Each frame has a pattern of its own.

    Args:
        movies: magnitudes (frame, y, x) float32.
        settings: what is drawn, grids alone; `fine`, `native` and `measured` say nothing here.
        frames: of a series.
        length: what `len` says, for loaders.
        seed: of everything.

    Raises:
        ValueError: no movies, or one without as many frames.
    """

    frames: int
    movies: list[np.ndarray]
    settings: Simulation
    length: int
    seed: int

    def __init__(self, movies: Sequence[np.ndarray], settings: Simulation | None = None, *, frames: int = 8,
                 length: int = 10000, seed: int = 0):
        self.frames = _check.integer("frames", frames, low=1)
        self.movies, self.settings = list(movies), settings or Simulation()
        if not self.movies or min(map(len, self.movies)) < self.frames:
            raise ValueError(f"movies holds {[np.shape(m) for m in self.movies]}: at least one of (frame, y, x) with "
                             f"{self.frames} frames or more is needed")
        self.length, self.seed = _check.integer("length", length, low=1), _check.integer("seed", seed, low=0)

    def drawn(self, item: int) -> SeriesSlices:
        """Item `item`, however large it is."""
        s, rng = self.settings, np.random.default_rng([self.seed, item, 5])
        movie = self.movies[int(rng.integers(len(self.movies)))]
        first = int(rng.integers(len(movie)))
        images = np.rot90(movie[(first + np.arange(self.frames)) % len(movie)], int(rng.integers(4)), (1, 2))
        images = _in_view(images[:, ::-1] if rng.random() < 0.5 else images, s.size, rng)
        images = images / max(float(np.percentile(images, 99)), 1e-3) * phased(rng, s.size)
        coils = smooth_coils(rng, int(rng.integers(s.coils[0], s.coils[1] + 1)), s.size)
        clean = backend.fft((coils * images[:, None]).astype(np.complex64), (-2, -1))
        noise = rng.standard_normal((*clean.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        mask = np.stack([s.pattern(rng) for _ in images])
        own = coils / np.maximum(np.linalg.norm(coils, axis=0), 1e-6) if s.maps == "true" else None
        return series((clean + np.float32(s.level(rng)) * noise) * mask[:, None], mask, clean, own, maps=s.maps)


def series(kspace: np.ndarray, mask: np.ndarray, clean: np.ndarray | None = None, mps: np.ndarray | None = None, *,
           maps: str | None = "espirit") -> SeriesSlices:
    """`SeriesSlices` of a measured series, scaled as `Recipe` scales it.

    Args:
        kspace: (frame, coil, ky, kx), undersampled.
        mask: bool (frame, ky, kx).
        clean: full k-space, for the truth; None: there is none.
        mps: coil maps (coil, ky, kx); None: made as `maps` says.
        maps: "espirit", of the mean over the frames; None for networks without maps.

    Raises:
        ValueError: k-space that no maps can be made of.
    """
    scan = io.Scan(kspace, mask, mps, axes=AXES)
    if maps is None:
        scale, mps = 1 / np.percentile(scan.rss(), 99), None
    else:
        (model,), scale = prepare.models_of(prepare.prepare(scan, prepare.Espirit()), prepare.Sense())
        mps = np.broadcast_to(model.A.mps, kspace.shape)
    scale = np.float32(scale)
    out = {"kspace": kspace * scale, "mask": mask[:, None], "mps": mps, "scale": np.full(len(kspace), scale)}
    if clean is not None:
        images = backend.fft(clean, (-2, -1), inverse=True) * scale
        out["target"] = None if mps is None else (mps.conj() * images).sum(1)
        out["rss"] = np.linalg.norm(images, axis=1)
    return SeriesSlices(**{n: torch.from_numpy(np.array(v)) for n, v in out.items() if v is not None})


def _in_view(images, size, rng):
    """`size` pixels a side of images (frame, y, x): cut at a random place, or with air around."""
    for axis in (1, 2):
        n = images.shape[axis]
        place = int(rng.integers(abs(size - n) + 1))
        if n >= size:
            images = images.take(range(place, place + size), axis)
        else:
            images = np.pad(images, [(place, size - n - place) if a == axis else (0, 0) for a in range(3)])
    return images
