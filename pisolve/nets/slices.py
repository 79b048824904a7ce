"""Slices for training: k-space, mask, maps and truth of one or several slices, scaled as a recipe scales them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from pisolve import _check, backend, io, linops, prepare

MAPS = ("espirit", "true", None)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Slices:
    """A batch of slices of one shape.

    Attributes:
        kspace: (slice, coil, ky, kx) complex, zero where not sampled.
        mask: (slice, 1, ky, kx) bool.
        mps: coil maps (slice, coil, ky, kx), or None.
        target: the image sum_c conj(S_c) F^H y_c of full k-space (slice, y, x) complex, or None without maps.
        rss: the root of the sum of squares of the coils' images (slice, y, x) real, maybe a centre crop; None without
            a truth.
        scale: (slice,), what the file's k-space was multiplied by; the zero-filled image has a 99th percentile of 1.
    """

    kspace: torch.Tensor
    mask: torch.Tensor
    mps: torch.Tensor | None = None
    target: torch.Tensor | None = None
    rss: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.kspace)

    def __repr__(self) -> str:
        return f"Slices({', '.join(f'{n} {tuple(v.shape)}' for n, v in self._parts().items())})"

    @cached_property
    def A(self) -> linops.Linop:
        """SENSE of all the slices, (slice, y, x) -> (slice, coil, ky, kx)."""
        if self.mps is None:
            raise ValueError("these slices have no maps: make them with maps='espirit'")
        return linops.sense(self.mps, self.mask[:, 0])

    def to(self, device) -> Slices:
        """The same on another device."""
        if self.kspace.device == torch.device(device):
            return self
        return Slices(**{name: value.to(device) for name, value in self._parts().items()})

    def sampled(self, mask: torch.Tensor) -> Slices:
        """The same slices with only the samples in `mask` (slice, 1, ky, kx) kept."""
        return dataclasses.replace(self, kspace=self.kspace * mask, mask=self.mask & mask)

    def _parts(self) -> dict:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if value is not None}


def collate(items: Sequence[Slices]) -> Slices:
    """One batch of several items, for `torch.utils.data.DataLoader(..., collate_fn=collate)`.

    Raises:
        ValueError: slices of several shapes, which do not fit into one batch.
    """
    if not len(items):
        raise ValueError("items is empty: there is nothing to put together")
    for name, value in items[0]._parts().items():
        shapes = {tuple(getattr(item, name).shape[1:]) if getattr(item, name) is not None else None for item in items}
        if len(shapes) > 1:
            raise ValueError(f"slices of several shapes in one batch, {name} {sorted(map(str, shapes))}: take a batch "
                             f"of 1, or slices of one shape (now {len(value)} of the first)")
    return Slices(**{name: torch.cat([getattr(item, name) for item in items]) for name in items[0]._parts()})


def measured(kspace, mask, *, clean=None, mps=None, rss=None, maps: str | None = "espirit") -> Slices:
    """`Slices` of one measured slice, scaled as `Recipe` scales it: a 99th percentile of |A^H y| of 1.

    Args:
        kspace: (coil, ky, kx), undersampled.
        mask: bool (ky, kx).
        clean: full k-space, for the truth; None: there is none.
        mps: coil maps (coil, ky, kx); None: made as `maps` says.
        rss: the reference (y, x), maybe a centre crop; None: of `clean`.
        maps: "espirit", from `kspace`; None for networks without maps, scaled by the zero-filled root sum of squares.

    Raises:
        ValueError: k-space that no maps can be made of.
    """
    if mps is None and maps is not None:
        _check.choice("maps", maps, ("espirit", None))
        mps = prepare.Espirit()(kspace, mask)
    method = prepare.CoilImages() if mps is None else prepare.Sense()
    (model,), scale = prepare.models_of(io.Scan(kspace, mask, mps), method)
    mps = None if mps is None else model.A.mps  # of a typical root sum of squares of 1
    out = {"kspace": kspace * np.float32(scale), "mask": mask[None], "mps": mps, "scale": np.float32(scale)}
    if clean is not None:
        images = backend.fft(clean, (-2, -1), inverse=True) * np.float32(scale)
        out["target"] = None if mps is None else (mps.conj() * images).sum(0)
        out["rss"] = np.linalg.norm(images, axis=0) if rss is None else None
    if rss is not None:
        out["rss"] = np.asarray(rss, np.float32) * np.float32(scale)
    return Slices(**{n: torch.from_numpy(np.array(v)[None]) for n, v in out.items() if v is not None})
