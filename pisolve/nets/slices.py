"""Slices for training: k-space, mask, maps and truth of one or several slices, scaled as a recipe scales them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pisolve import _check, backend, calib, io, linops, prepare

MAPS = ("espirit", "true", None)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Slices:
    """A batch of slices of one shape.

    Attributes:
        kspace: (slice, coil, ky, kx) complex, zero where not sampled; with `coord` (slice, coil, shot, sample).
        mask: (slice, 1, ky, kx) bool; with `coord` (slice, 1, shot, sample).
        mps: coil maps (slice, coil, ky, kx), or None.
        target: the image sum_c conj(S_c) F^H y_c of full k-space (slice, y, x) complex, or None without maps.
        rss: the root of the sum of squares of the coils' images (slice, y, x) real, maybe a centre crop; None without
            a truth.
        scale: (slice,), what the file's k-space was multiplied by; the zero-filled image has a 99th percentile of 1.
        coord: (slice, shot, sample, 2) of samples anywhere in k-space, or None: samples of the grid.
        noise: (slice,), what a network is told of the noise of a sample: the standard deviation of its real and of its
            imaginary part, in the units of `kspace`; None: not known.
    """

    kspace: torch.Tensor
    mask: torch.Tensor
    mps: torch.Tensor | None = None
    target: torch.Tensor | None = None
    rss: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    coord: torch.Tensor | None = None
    noise: torch.Tensor | None = None

    single = False  # whether a batch can hold no more than one item

    def __len__(self) -> int:
        return len(self.kspace)

    def __repr__(self) -> str:
        return f"Slices({', '.join(f'{n} {tuple(v.shape)}' for n, v in self._parts().items())})"

    @cached_property
    def A(self) -> linops.Linop:
        """SENSE of all the slices, (slice, y, x) -> k-space (slice, coil, ...)."""
        if self.mps is None:
            raise ValueError("these slices have no maps: make them with maps='espirit'")
        if self.coord is None:
            return linops.sense(self.mps, self.mask[:, 0])
        kept = None if bool(self.mask.all()) else self.mask[:, 0].double()
        return linops.sense(self.mps, weights=kept, coord=self.coord, axes=("slice", "coil", "shot", "sample"),
                            shape=tuple(self.kspace.shape))

    def zero_filled(self) -> np.ndarray:
        """The zero-filled magnitude (slice, y, x): |A^H w y| with maps, else the root sum of squares.

        w is the area of k-space of each sample, 1 on a grid.
        """
        if self.mps is None:
            return np.linalg.norm(backend.fft(self.kspace.numpy(), (-2, -1), inverse=True), axis=1)
        y = self.kspace.numpy()
        if self.coord is not None:
            density = np.stack([calib.density(k, tuple(self.mps.shape[-2:])) for k in self.coord.numpy()])
            y = y * density[:, None].astype(y.real.dtype)
        return abs(self.A.H(y))

    def to(self, device: Any) -> Slices:
        """The same on another device."""
        if self.kspace.device == torch.device(device):
            return self
        return type(self)(**{name: value.to(device) for name, value in self._parts().items()})

    def sampled(self, mask: torch.Tensor) -> Slices:
        """The same slices with only the samples in `mask` (slice, 1, ky, kx) kept."""
        return dataclasses.replace(self, kspace=self.kspace * mask, mask=self.mask & mask)

    def _parts(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if value is not None}


class Drawn(Dataset[Any]):
    """A dataset without end: item i, up to the `length` that it says, is what `drawn(i)` makes of a seed and i."""

    length: Any

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: int) -> Slices:
        """`Slices` of one slice, or of one series."""
        if not 0 <= item < self.length:
            raise IndexError(f"item {item} of {self.length}")
        return self.drawn(item)

    def drawn(self, item: int) -> Slices:
        """Item `item`, however large it is."""
        raise NotImplementedError


def collate(items: Sequence[Slices]) -> Slices:
    """One batch of several items, for `torch.utils.data.DataLoader(..., collate_fn=collate)`.

    Raises:
        ValueError: slices of several shapes, which do not fit into one batch.
    """
    if not len(items):
        raise ValueError("items is empty: there is nothing to put together")
    if items[0].single and len(items) > 1:
        raise ValueError(f"a series is a batch by itself, got {len(items)} of them: take batch_size = 1")
    for name, value in items[0]._parts().items():
        shapes = {tuple(getattr(item, name).shape[1:]) if getattr(item, name) is not None else None for item in items}
        if len(shapes) > 1:
            raise ValueError(f"slices of several shapes in one batch, {name} {sorted(map(str, shapes))}: take a batch "
                             f"of 1, or slices of one shape (now {len(value)} of the first)")
    return type(items[0])(**{name: torch.cat([getattr(item, name) for item in items]) for name in items[0]._parts()})


def measured(kspace, mask, *, coord=None, size=None, clean=None, mps=None, rss=None,
             maps: str | None = "espirit") -> Slices:
    """`Slices` of one measured slice, scaled as `Recipe` scales it: a 99th percentile of |A^H y| of 1.

    Args:
        kspace: (coil, ky, kx), undersampled; with `coord` (coil, shot, sample).
        mask: bool (ky, kx); with `coord` (shot, sample), which shots were kept.
        coord: (shot, sample, 2) of samples anywhere, for networks with maps; None: samples of the grid.
        size: of the image, beside `coord`.
        clean: full k-space, for the truth; None: there is none.
        mps: coil maps (coil, ky, kx); None: made as `maps` says.
        rss: the reference (y, x), maybe a centre crop; None: of `clean`.
        maps: "espirit", from `kspace`; None for networks without maps, scaled by the zero-filled root sum of squares.

    Raises:
        ValueError: k-space that no maps can be made of.
    """
    if mps is None and maps is not None:
        _check.choice("maps", maps, ("espirit", None))
    if coord is not None:
        one = prepare.prepare(io.Scan(kspace, mask, mps, coord=coord, size=size, axes=("coil", "shot", "sample")),
                              prepare.Espirit())
        mps = one.mps
    else:
        mps = prepare.Espirit()(kspace, mask) if mps is None and maps is not None else mps
        one = io.Scan(kspace, mask, mps)
    method = prepare.CoilImages() if mps is None else prepare.Sense()
    (model,), scale = prepare.models_of(one, method)
    mps = None if mps is None else model.A.mps  # of a typical root sum of squares of 1
    out = {"kspace": kspace * np.float32(scale), "mask": mask[None], "mps": mps, "scale": np.float32(scale),
           "coord": coord}
    if clean is not None:
        images = backend.fft(clean, (-2, -1), inverse=True) * np.float32(scale)
        out["target"] = None if mps is None else (mps.conj() * images).sum(0)
        out["rss"] = np.linalg.norm(images, axis=0) if rss is None else None
    if rss is not None:
        out["rss"] = np.asarray(rss, np.float32) * np.float32(scale)
    return Slices(**{n: torch.from_numpy(np.array(v)[None]) for n, v in out.items() if v is not None})
