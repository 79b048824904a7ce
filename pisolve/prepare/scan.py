"""From a scan as it was delivered to one that can be solved."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from pisolve import _axes, calib, io, masks, scan
from pisolve._check import dtype_name
from pisolve.backend import cast, fft, parallel, side_by_side, to_numpy, to_torch
from pisolve.prepare.channels import Channels, Compress
from pisolve.prepare.maps import Maps
from pisolve.prepare.model import Method, Model
from pisolve.prepare.sampling import Sampling
from pisolve.prepare.sense import SENSE
from pisolve.prepare.shots import corrected
from pisolve.scan import Scan

EACH = ("slice",)  # what is solved by itself


def prepare(data: Any, maps: Maps, sampling: Sampling | None = None, *, whiten: bool = False,
            compress: Compress | None = None, method: Method = SENSE, each: Sequence[str] = EACH, delays: Any = None,
            shot_factors: Any = False, stacklevel: int = 2) -> Scan:
    """The scan after whitening, undersampling and coil compression, with a mask and maps: all that solving needs.

    A scan that went through this stays as it is the second time.

    Args:
        data: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        maps: how maps are made where the scan has none: for each slice, of the mean over its frames, echoes, ...
        sampling: retrospective undersampling, or None.
        whiten: make the noise white by the scan's noise samples; maps of the scan are whitened and normalised again.
        compress: coil compression, or None.
        method: what is to be solved; SPIRiT needs no maps.
        each: the axes along which parts are solved by themselves.
        delays, shot_factors: of samples anywhere, see `shots.corrected`.
        stacklevel: of the warning about maps, 2 being the caller's line.
    """
    one = as_scan(data)
    method.takes(one, each)
    one = corrected(one, delays, shot_factors)
    if whiten:
        one = Channels(one, whiten=True).whitened(one)
    if sampling is not None:
        one = sampling(one)
    if one.mask is None:
        inner = one.kspace.shape[-len(one.encoding.encoded):]
        one = one._with(mask=scan.estimate(one.kspace, one.axes) if one.coord is None else np.ones(inner, bool))
    if sampling is not None and one.coord is None and len(one.encoding.encoded) == 2:  # what was measured was feasible
        masks.check(one.encoding.anywhere, one.kspace.shape)
    if compress is not None:
        one = Channels(one, compress=compress).compressed(one)
    if method.needs_maps and _parallel_sets(one):
        warnings.warn(f"mps is taken as {one.sets} sets of maps (soft SENSE), but they see the same pixels and are "
                      "not orthogonal: for maps of several slices give those of this slice, (coil, ky, kx)",
                      stacklevel=stacklevel)
    if one.mps is None and method.needs_maps:
        still = one.time_average()
        one = one._with(mps=_calibrated(maps, still))
        seen = None if one.coord is not None else _coverage(one.mps, still)
        if seen is not None and seen < 0.97:  # good maps lose 2 % at most
            warnings.warn(f"the coil maps are zero where {1 - seen:.0%} of the object's energy is, and so will be "
                          "the image: lower crop (--map-crop), or give mps (--mps)", stacklevel=stacklevel)
    return one


def _calibrated(maps, still: Scan):
    """Coil maps of a scan without further axes; those of slices that hold nothing are 0."""
    if still.coord is not None:
        if maps.anywhere and len(still.size) == 2 and still.calib is None:
            return _of_shots(maps, still)
        return _calibrated(maps, _on_a_grid(still))
    volume = {"ndim": 3} if len(still.encoding.encoded) == 3 else {}
    filled = _filled_slices(still)
    if filled is None and still.mask.ndim == len(still.encoding.encoded):
        return maps(still.kspace, still.mask, still.calib, **volume)
    parts = still.parts()
    found = [maps(p.kspace, p.mask, p.calib, **volume) if p.kspace.any() else None for p in parts]
    like = next(m for m in found if m is not None)
    return np.ascontiguousarray(np.stack([np.zeros_like(like) if m is None else m for m in found]))


def _of_shots(maps, still: Scan):
    """Maps of samples anywhere, slice by slice; those that were not kept are 0 and do not count."""
    found = []
    for part in still.parts():
        y = part.kspace if part.mask is None else part.kspace * part.mask
        found.append(maps.of_points(y, part.coord, part.size) if y.any() else None)
    like = next(m for m in found if m is not None)
    found = [np.zeros_like(like) if m is None else m for m in found]
    return np.stack(found) if _axes.SLICE in still.axes else found[0]


def _on_a_grid(one: Scan) -> Scan:
    """The Cartesian scan of gridded samples: right where they cover k-space, as they do in its centre."""
    d = len(one.size)
    kspace = fft(one.encoding.gridded(one.kspace), tuple(range(-d, 0)))
    axes = (*one.axes[:-d], *tuple(_axes.GRID)[-d:])
    return one._with(kspace=kspace, axes=axes, coord=None, size=None, reference=None, weights=None, times=None,
                     field_map=None, mask=np.ones(one.size, bool))


def _filled_slices(one: Scan):
    """Which slices hold anything; None where all do."""
    if "slice" not in one.axes:
        return None
    filled = one.kspace.reshape(len(one.kspace), -1).any(axis=1)
    return None if filled.all() else filled


def _coverage(mps, still: Scan):
    """`calib.coverage` over the slices that hold anything; None where it says nothing."""
    if len(still.encoding.encoded) == 3:
        return None
    if still.mask.ndim == 2 and _filled_slices(still) is None:
        return calib.coverage(mps, still.kspace, still.mask, still.calib)
    parts = [p for p in still._with(mps=mps).parts() if p.kspace.any() and p.mps.any()]
    seen = [calib.coverage(p.mps, p.kspace, p.mask, p.calib) for p in parts]
    return float(np.mean(seen)) if seen and None not in seen else None


def _parallel_sets(one: Scan) -> bool:
    """Whether several sets of maps see the same pixels alike: then they are no sets, and soft SENSE cannot tell them.

    Those of ESPIRiT are orthogonal at every pixel, and all but the first are small in extent.
    """
    if one.sets < 2:
        return False
    mps = one.mps.reshape(-1, *one.mps.shape[-4:])
    for maps in (m / (abs(m).max() or 1) for m in mps):
        for first, second in combinations(maps, 2):
            sizes = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=0)
            both = (sizes[0] > 0.01) & (sizes[1] > 0.01)
            if both.sum() <= 0.5 * (sizes[0] > 0.01).sum():
                continue
            cosine = abs((first.conj() * second).sum(0))[both] / (sizes[0] * sizes[1])[both]
            if cosine.mean() > 0.1:
                return True
    return False


def models_of(one: Scan, method: Method = SENSE, *, each: Sequence[str] = EACH, parts: list[Scan] | None = None,
              gpu: Any = None, keep: int | None = None,
              scaled: bool = True) -> tuple[Sequence[Model | None], float | None]:
    """(one `Model` a part, scale) of a prepared scan: scale * model.y is solved; None for a part that holds nothing.

    Args:
        one: of `prepare`.
        method: what makes a model of a part.
        each: the axes along which the scan is taken apart.
        parts: `one.parts(each)`, where they are there already: planes of a 3-D scan cost a Fourier transform.
        gpu: the `torch.device` on which the models are made, None for the CPU.
        keep: how many of a GPU's models are kept at most; the others are made again. None: all of them.
        scaled: False: the scale is known, None is returned for it.
    """
    parts = one.parts(each) if parts is None else parts
    if gpu is not None:
        models = _OnGpu(parts, method, gpu, keep)
    else:
        # fits, of which `watched` makes a function, are long and keep their states one after another
        run = map if getattr(method, "fits", True) else _apart([p.kspace for p in parts])
        models = list(run(partial(model_of, method=method), parts))
    return models, zero_filled_scale(models) if scaled else None


def holds(part: Scan) -> bool:
    """Whether a part has anything to solve: a sample that is not zero, and maps that are not."""
    return bool(part.kspace.any()) and (part.mps is None or bool(part.mps.any()))


def model_of(part: Scan, method: Method, *, gpu: Any = None) -> Model | None:
    """The `Model` of a part of a prepared scan, its k-space and maps moved to a GPU, a `torch.device`, first if given.

    None where there is nothing to solve: no sample that is not zero, or maps that are zero everywhere.
    """
    if not holds(part):
        return None
    if gpu is not None:
        part = part._with(**{n: None if a is None else to_torch(a).to(gpu) for n, a in (
            ("kspace", part.kspace), ("mps", part.mps))})
    return method(part)


class _OnGpu(Sequence):
    """The models of all parts, made when they are asked for; at most `keep` are in the GPU's memory at a time."""

    def __init__(self, parts, method, gpu, keep=None):
        self.parts, self.method, self.gpu = parts, method, gpu
        self.keep, self._kept = keep or len(parts), {}

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, z):
        if not 0 <= z < len(self):
            raise IndexError(z)
        if z not in self._kept:
            while len(self._kept) >= self.keep:
                del self._kept[next(iter(self._kept))]
            self._kept[z] = model_of(self.parts[z], self.method, gpu=self.gpu)
        return self._kept[z]

    def drop(self, z):
        """Part z is done."""
        self._kept.pop(z, None)


def as_scan(data: Any) -> Scan:
    """A `Scan` from a scan, a path or a k-space array, or of a result, which has its own."""
    data = getattr(data, "scan", data)
    if isinstance(data, Scan):
        return data
    return io.load(data) if isinstance(data, str) or hasattr(data, "__fspath__") else Scan(data)


def zero_filled_scale(models: Any) -> float:
    """What the data have to be multiplied by for the zero-filled x of the whole scan to have a 99th percentile of 1.

    It is |A^H y| with normalised maps (sum_c |S_c|^2 = 1), else |A^H y| / sum_c |S_c|^2, by `Model.energy`. A first
    scaling to a peak of 1 keeps 1e-20 and 1e20 from under- and overflowing. Parts that hold nothing do not count.
    """
    peak, dtype = peak_of(models)
    _check_peak(peak, dtype)
    return scale_of(zero_filled_of(models, peak), peak, dtype)


def peak_of(models) -> tuple[float, np.dtype | None]:
    """(the largest |y| of any of these models, its type; None where no part holds anything)."""
    def of(m):
        m = m.bare or m  # weights have no effect on the scale
        with np.errstate(over="ignore"):
            return float(abs(m.y).max()), np.dtype(dtype_name(m.y))

    there = (m for m in models if m is not None)
    made = isinstance(models, list) and all(m is None or isinstance(m.y, np.ndarray) for m in models)
    return max(parallel(of, there) if made else map(of, there), key=lambda pair: pair[0], default=(0.0, None))


def _check_peak(peak: float, dtype) -> None:
    if dtype is None:
        raise ValueError("kspace and mps do not overlap: there is nothing to solve in any part of the scan")
    info = np.finfo(dtype)
    if not 1e8 * float(info.tiny) <= peak <= 1e-8 * float(info.max):
        raise ValueError(f"kspace peaks at {peak:.3g}, where {dtype} loses digits: multiply it to a peak "
                         "near 1 before it is stored in this precision")


def zero_filled_of(models, peak: float) -> list[np.ndarray]:
    """The zero-filled pictures of the models that hold anything, of y over the peak of all."""
    full = [m.bare or m for m in models if m is not None]
    return list(_apart([m.y for m in full])(lambda m: _zero_filled(m, peak), full))


def _apart(arrays):
    """`side_by_side` for parts of several arrays in this process's memory, else `map`."""
    return side_by_side if len(arrays) > 1 and all(isinstance(a, np.ndarray) for a in arrays) else map


def scale_of(zero_filled: list, peak: float, dtype) -> float:
    """The scale by the zero-filled pictures of the whole scan, see `zero_filled_scale`."""
    _check_peak(peak, dtype)
    level = float(np.percentile(zero_filled, 99)) or float(np.max(zero_filled))
    if not level > 0:
        raise ValueError("kspace and mps do not overlap: the zero-filled image is zero everywhere")
    return 1 / (level * peak)


def _zero_filled(model, peak):
    """|A^H y / energy| as a picture, in the units of x, of y over `peak`."""
    y = cast(model.y / peak, model.y)
    x = model.A.H(y if model.density is None else y * model.density)
    image = abs(model.image(x)) if model.energy is None else abs(model.image(x / model.energy)) * model.size
    return to_numpy(image)
