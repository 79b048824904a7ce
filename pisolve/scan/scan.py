"""What a scanner delivered: k-space with named axes, and what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import fft
from pisolve.scan import odd, parts
from pisolve.scan.checks import axes_of_maps
from pisolve.scan.fields import checked
from pisolve.scan.grid import Grid, shortened
from pisolve.scan.html import of_scan
from pisolve.scan.points import Points

_SINGLE = ("mask", "weights", "field_map", "times")  # of size 1 along axes on which they do not change


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """K-space with what belongs to it; checked when it is made, never changed afterwards.

    Args:
        kspace: a complex array with the axes that `axes` names, complex64 or complex128; centred, zero where not
            sampled. Torch and cupy arrays become numpy arrays, complex numpy arrays are kept as they are (no copy).
        mask: bool or 0/1 array, True where sampled, that broadcasts to k-space without coils from the end: (ky, kx), or
            (kx,) as in fastMRI's files, (kz, ky, 1), (frame, ky, 1) where each frame has its own. None: what is not
            zero counts as sampled.
        mps: coil sensitivities (coil, ky, kx), in 3-D (coil, kz, ky, kx); those of each slice have an axis of slices in
            front, several sets of maps an axis more, before the coils.
        reference: the image to compare with, of the axes of the image; may be a smaller centre crop along y and x, as
            in fastMRI.
        meta: anything else that the file says, plain values by name.
        noise: samples (coil, samples) of noise alone, with the covariance that the noise of one sample of `kspace` has:
            scaled for another dwell time, receiver bandwidth or number of averages, as `load` does for raw data.
        calib: k-space (coil, cy, cx), or with more of the axes of `mps`, measured beside `kspace` to calibrate from, on
            its grid: index (cy // 2, cx // 2) is the centre, the steps are those of `kspace`.
        axes: the names of the axes of `kspace`, such as ("frame", "coil", "ky", "kx"): "ky" and "kx", in 3-D "kz";
            "coil", without which there is one; "slice", whose slices are problems of their own; and further ones that
            belong to the unknown, "frame", "echo", "repetition", "set" or any other word. None: (coil, ky, kx) or
            (slice, coil, ky, kx). Arrays in another order are kept in the order (slice, further ones, coil, kz, ky,
            kx), the other arrays with them.
        coord: where the samples lie, (shot, sample, axis) in -N/2..N/2 as for `linops.nufft`, in place of a grid: the
            axes of k-space are then "shot" (a spoke, an interleave) and "sample" in place of "ky" and "kx", in 3-D with
            "segment" before them; without shots or segments there is one. With the axes of k-space before them, but
            coils, where each frame has its own. A stack of stars or spirals has the axis "kz" of its partitions beside
            coordinates for (y, x), the same for all or (kz, shot, sample, 2). `mask` says which shots or samples were
            kept.
        size: the shape of the image, (y, x) or (z, y, x), beside `coord`; `mps` and `reference` have it.
        weights: of the samples, real, >= 0, shaped like a mask: the data term is 1/2 sum w |(A x - y)|^2, as in SigPy.
            Complex-typed weights that are real count; files do not keep them.
        field_map: the field in Hz, (y, x), (slice, y, x) or of all axes of the image, and
        times: when each sample was measured, s since the excitation, (sample,), (shot, sample), (ky, 1), (ky, kx) or of
            more axes of k-space: with both, `recon` corrects off-resonance, see `linops.off_resonance`.

    Attributes:
        encoding: the `Grid` that was sampled, or the `Points`.

    Raises:
        TypeError, ValueError: shapes or names disagree, NaN or Inf, nothing but zeros, or k-space that is real.
    """

    kspace: np.ndarray
    mask: np.ndarray | None = None
    mps: np.ndarray | None = None
    reference: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    noise: np.ndarray | None = None
    calib: np.ndarray | None = None
    axes: tuple[str, ...] | None = None
    coord: np.ndarray | None = None
    size: tuple[int, ...] | None = None
    weights: np.ndarray | None = None
    field_map: np.ndarray | None = None
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, value in checked(self).items():
            object.__setattr__(self, name, value)

    @classmethod
    def _unchecked(cls, **fields) -> Scan:
        """A part of a scan, of arrays that were checked with it; it may be all zeros, and of another kind of array."""
        one = object.__new__(cls)
        for name in cls.__dataclass_fields__:
            object.__setattr__(one, name, fields.get(name, {} if name == "meta" else None))
        return one

    def _with(self, **fields) -> Scan:
        """The same scan with other arrays, which are not checked again."""
        return Scan._unchecked(**{n: getattr(self, n) for n in self.__dataclass_fields__} | fields)

    def __repr__(self) -> str:
        named = "" if self.axes in ((_axes.COIL, "ky", "kx"), (_axes.SLICE, _axes.COIL, "ky", "kx")) else (
            f" ({', '.join(self.axes)})")
        told = [f"kspace {self.kspace.shape}{named} {self.kspace.dtype}"]
        told += [f"{n} {getattr(self, n).shape}"
                 for n in ("coord", "mask", "mps", "reference", "noise", "calib", "weights", "field_map", "times")
                 if getattr(self, n) is not None]
        return f"Scan({', '.join(told)}{f', maps: {self.sets} sets (soft SENSE)' if self.sets > 1 else ''})"

    def _without_coils(self, shape):
        """(names, sizes) of k-space without coils."""
        return tuple(zip(*((a, n) for a, n in zip(self.axes, shape) if a != _axes.COIL)))

    @cached_property
    def encoding(self) -> Grid:
        """How k-space was sampled."""
        if self.coord is not None:
            return Points(*self._without_coils(self.kspace.shape), self.mask, self.coord, self.size)
        return Grid(*self._without_coils(self.kspace.shape), self.mask)

    @property
    def image_axes(self) -> tuple[str, ...]:
        """The names of the axes of the image."""
        return _axes.of_image(self.axes)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The sizes of `image_axes`, before anything is cropped."""
        return _axes.image_shape(self.axes, self.kspace.shape, self.size)

    @property
    def further(self) -> tuple[str, ...]:
        """The axes that are neither encoded, nor of coils or slices: frames, echoes, ..."""
        return tuple(a for a in _axes.further(self.axes) if a != _axes.SLICE)

    @property
    def separable(self) -> tuple[str, ...]:
        """The image axes of a 3-D scan along which its planes are problems of their own: those sampled fully."""
        return parts.separable(self)

    @property
    def coils(self) -> int:
        """The number of coils."""
        return self.kspace.shape[self.axes.index(_axes.COIL)]

    @property
    def sets(self) -> int:
        """How many sets of coil maps there are: 0 without maps, 1 for SENSE, more for soft SENSE."""
        if self.mps is None:
            return 0
        names = axes_of_maps(self.axes, self.mps.ndim)
        return self.mps.shape[names.index(_axes.MAPS)] if _axes.MAPS in names else 1

    @property
    def inside(self) -> np.ndarray | None:
        """The mask as an array that broadcasts to `kspace`, or None."""
        return self.encoding.inside

    def named(self) -> dict[str, Any]:
        """The arrays that have axes of the scan, with the names of these: what is None included."""
        grid, beside = self.encoding, lambda a: () if a is None else axes_of_maps(self.axes, a.ndim)
        of_mask = () if self.mask is None else grid.axes if self.mask.ndim == len(grid.axes) else grid.encoded
        of_coord = () if self.coord is None else (*grid.coord_axes, "axis")
        of_maps = tuple(_axes.SPATIAL.get(a, a) for a in beside(self.mps))
        return {"kspace": (self.kspace, self.axes), "mask": (self.mask, of_mask), "mps": (self.mps, of_maps),
                "calib": (self.calib, beside(self.calib)), "reference": (self.reference, self.image_axes),
                "coord": (self.coord, of_coord), "weights": (self.weights, grid.axes),
                "field_map": (self.field_map, self.image_axes[-np.ndim(self.field_map):]),
                "times": (self.times, grid.axes[-np.ndim(self.times):])}

    @property
    def readout(self) -> str:
        """The encoded axis that is read out: what the header says, else what the mask shows, else kx."""
        encoded = self.encoding.encoded
        if len(encoded) == 2:
            if self.meta.get("phase_axis") in (-2, -1):
                return encoded[0] if self.meta["phase_axis"] == -1 else encoded[1]
            return encoded[0] if self.encoding.varying == encoded[1:] else encoded[1]
        still = [a for a in encoded if a not in self.encoding.varying]
        return encoded[-1] if encoded[-1] in still or not still else still[-1]

    @property
    def phase_axis(self) -> int:
        """The phase-encoding axis of a 2-D scan: -2 (ky), or -1 (kx) where ky is the readout."""
        return -1 if self.readout == self.encoding.encoded[0] else -2

    def select(self, slices: slice | int | list[Any] | None = None, **named: Any) -> Scan:
        """A new scan of some slices, frames, ...; the axes stay.

        Args:
            slices: numbers of slices.
            named: numbers by the name of any other axis that is neither encoded nor of coils: `frame=slice(0, 8)`.

        Raises:
            ValueError: the scan has no such axis, or none or others than there are were asked for.
        """
        named = named if slices is None else {_axes.SLICE: slices, **named}
        index = {}
        for name, wanted in named.items():
            what = "slices" if name == _axes.SLICE else name
            if name not in _axes.further(self.axes):
                raise ValueError(f"this scan has no {name} axis, kspace is ({', '.join(self.axes)}): nothing to select")
            count = self.kspace.shape[self.axes.index(name)]
            if not isinstance(wanted, slice):
                wanted = list(wanted) if isinstance(wanted, list | tuple | range | np.ndarray) else [wanted]
                wanted = [_check.integer(what, s, low=-count, high=count - 1) for s in wanted]
            index[name] = np.arange(count)[wanted]
            if not len(index[name]):
                raise ValueError(f"{what} selects none of {count}: {wanted}")
        fields = {}
        for field_name, (array, axes) in self.named().items():
            for axis, name in enumerate(axes):
                if name in index and array is not None and not (field_name in _SINGLE and array.shape[axis] == 1):
                    array = array[(slice(None),) * axis + (_as_slice(index[name]),)]
            fields[field_name] = array
        if fields["mask"] is not None:
            fields["mask"] = shortened(fields["mask"], self.encoding.axes) if self.encoding.own else fields["mask"]
        return replace(self, **fields)

    def drop_coils(self, coils: int | list[Any]) -> Scan:
        """A new scan without some coils: they leave `kspace`, `mps`, `noise` and `calib`; the reference stays.

        Args:
            coils: their indices, from 0; negative ones count from the end.

        Raises:
            ValueError: no such coil, or none would be left.
        """
        given = list(coils) if isinstance(coils, list | tuple | range | np.ndarray) else [coils]
        given = [_check.integer("coils", c, low=-self.coils, high=self.coils - 1) for c in given]
        keep = np.delete(np.arange(self.coils), given)
        if not len(keep):
            raise ValueError(f"coils names all {self.coils} coils: keep at least one")
        at = (..., keep, *(slice(None),) * len(self.encoding.encoded))
        channels = {n: a[at] for n in ("kspace", "mps", "calib") if (a := getattr(self, n)) is not None}
        return replace(self, **channels, noise=None if self.noise is None else self.noise[keep])

    def undersample(self, mask: ArrayLike) -> Scan:
        """A new scan with zeros outside `mask`; where this one is fully sampled, its RSS becomes the reference.

        A scan that has a mask already keeps only what both sample, and gets no reference it did not have: the RSS of
        undersampled data is no truth. `calib` and `noise` were measured on their own and stay.

        Args:
            mask: bool or 0/1 array as for `Scan`.
        """
        less = self.encoding.keep(mask)
        reference = self.reference
        if reference is None and (self.mask is None or self.mask.all()):
            reference = self.rss()
        return replace(self, kspace=np.where(less.inside, self.kspace, 0), mask=less.mask, reference=reference)

    def time_average(self) -> Scan:
        """The mean over frames, echoes and whatever else is no slice: each sample over those that measured it.

        Coils do not change in time, so their maps are made of it: it is less noisy than any frame, and frames that left
        out different lines together have a full centre.
        """
        return parts.time_average(self)

    def parts(self, each: Sequence[str] = (_axes.SLICE,)) -> list[Scan]:
        """The scan taken apart along some axes: each part has the others, and is a problem of its own.

        Args:
            each: names of axes; "slice" counts where there are slices. Of a 3-D scan "x", "y" or "z" too, the planes
                along an axis that was sampled fully: k-space is transformed along it.

        Raises:
            ValueError: no such axis, or an encoded one that was undersampled.
        """
        return [self._with(**dict.fromkeys(n for n in self.named() if n != "kspace") | fields)
                for fields in parts.split(self, each)]

    def labels(self, each: Sequence[str] = (_axes.SLICE,)) -> list[dict[str, Any]]:
        """{name: number} of each part along the axes of `each`, in the order of `parts`."""
        names = parts.apart(self, each)
        sizes = [self.kspace.shape[self.axes.index(_axes.ENCODED.get(n, n))] for n in names]
        return [dict(zip(names, index)) for index in np.ndindex(*sizes)]

    def assemble(self, images: ArrayLike, each: Sequence[str] = (_axes.SLICE,)) -> np.ndarray:
        """The image of the scan, with its `image_axes`, of the images of its parts."""
        return parts.join(self, images, each)

    def filled(self, fill: Any) -> Scan:
        """The same scan with fully sampled k-space, fill(kspace)."""
        return self._with(kspace=fill(self.kspace), mask=None)

    def rss(self) -> np.ndarray:
        """Root of the sum of squares of the coils' images, gridded ones with `coord`; real, of the image's axes."""
        inner = len(self.encoding.encoded)
        if self.coord is not None:
            return np.linalg.norm(self.encoding.gridded(self.kspace), axis=-1 - inner)
        volume = self.kspace.reshape((-1,) + self.kspace.shape[-1 - inner:])
        images = [np.linalg.norm(fft(coils, tuple(range(-inner, 0)), inverse=True), axis=0) for coils in volume]
        return np.stack(images).reshape(self.kspace.shape[:-1 - inner] + self.kspace.shape[-inner:])

    def crop(self, image: ArrayLike) -> Array:
        """The centre of `image` (..., y, x) in the size of the reference, as fastMRI crops; all of it without one."""
        if self.reference is None:
            return image
        y, x = self.reference.shape[-2:]
        if image.ndim < 2 or image.shape[-2] < y or image.shape[-1] < x:
            raise ValueError(f"image has shape {tuple(image.shape)}, smaller than the reference {(y, x)}")
        top, left = (image.shape[-2] - y) // 2, (image.shape[-1] - x) // 2
        return image[..., top : top + y, left : left + x]

    def warnings(self) -> list[str]:
        """What is odd about this data, one sentence each; empty where nothing is."""
        return odd.warnings(self)

    _repr_html_ = of_scan


def _as_slice(index):
    """Equal steps as a slice, which makes a view."""
    steps = np.diff(index)
    if len(index) and (steps == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
