"""From a scan as it was delivered to one that can be solved."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from pisolve import calib, io, masks
from pisolve.backend import to_numpy
from pisolve.prepare.channels import Channels, Compress
from pisolve.prepare.maps import Maps
from pisolve.prepare.methods import SENSE, Method, Model
from pisolve.prepare.sampling import Sampling


def prepare(scan, maps: Maps, sampling: Sampling | None = None, *, whiten: bool = False,
            compress: Compress | None = None, method: Method = SENSE, stacklevel: int = 2) -> io.Scan:
    """The scan after whitening, undersampling and coil compression, with a mask and maps: all that solving needs.

    A scan that went through this stays as it is the second time.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        maps: how maps are made where the scan has none.
        sampling: retrospective undersampling, or None.
        whiten: make the noise white by the scan's noise samples; maps of the scan are whitened and normalised again.
        compress: coil compression, or None.
        method: what is to be solved; SPIRiT needs no maps.
        stacklevel: of the warning about maps, 2 being the caller's line.
    """
    scan = as_scan(scan)
    if whiten:
        scan = Channels(scan, whiten=True).whitened(scan)
    if sampling is not None:
        scan = sampling(scan)
    if scan.mask is None:
        scan = replace(scan, mask=masks.estimate(scan.kspace))
    masks.check(scan.mask, scan.kspace.shape)
    if compress is not None:
        scan = Channels(scan, compress=compress).compressed(scan)
    if method.needs_maps and _parallel_sets(scan):
        warnings.warn(f"mps is taken as {scan.sets} sets of maps (soft SENSE), but they see the same pixels and are "
                      "not orthogonal: for maps of several slices give those of this slice, (coil, ky, kx)",
                      stacklevel=stacklevel)
    if scan.mps is None and method.needs_maps:
        scan = replace(scan, mps=maps(scan.kspace, scan.mask, scan.calib))
        seen = calib.coverage(scan.mps, scan.kspace, scan.mask, scan.calib)
        if seen is not None and seen < 0.97:  # good maps lose 2 % at most
            warnings.warn(f"the coil maps are zero where {1 - seen:.0%} of the object's energy is, and so will be "
                          "the image: lower crop (--crop), or give mps (--mps)", stacklevel=stacklevel)
    return scan


def _parallel_sets(scan: io.Scan) -> bool:
    """Whether several sets of maps see the same pixels alike: then they are no sets, and soft SENSE cannot tell them.

    Those of ESPIRiT are orthogonal at every pixel, and all but the first are small in extent.
    """
    if scan.sets < 2:
        return False
    mps = scan.mps.reshape(-1, *scan.mps.shape[-4:])
    for one in (m / (abs(m).max() or 1) for m in mps):
        for first, second in combinations(one, 2):
            sizes = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=0)
            both = (sizes[0] > 0.01) & (sizes[1] > 0.01)
            if both.sum() <= 0.5 * (sizes[0] > 0.01).sum():
                continue
            cosine = abs((first.conj() * second).sum(0))[both] / (sizes[0] * sizes[1])[both]
            if cosine.mean() > 0.1:
                return True
    return False


def models_of(scan: io.Scan, method: Method = SENSE, *, gpu: int | None = None,
              keep: int | None = None) -> tuple[Sequence[Model], float]:
    """(one `Model` a slice, scale) of a prepared scan: scale * model.y is solved.

    Args:
        scan: of `prepare`.
        method: what makes a model of a slice.
        gpu: the GPU on which the models are made, None for the CPU.
        keep: how many of a GPU's models are kept at most; the others are made again. None: all of them.
    """
    if gpu is not None:
        models = _OnGpu(scan, method, keep)
    else:
        models = [model_of(scan, method, z) for z in range(_count(scan))]
    return models, zero_filled_scale(models)


def model_of(scan: io.Scan, method: Method, z: int, *, gpu: bool = False) -> Model:
    """The `Model` of slice z of a prepared scan, its k-space and maps moved to the current GPU first if `gpu`."""
    y, mps = scan.kspace[z] if scan.kspace.ndim == 4 else scan.kspace, _slice(scan.mps, z, scan)
    if gpu:
        import cupy

        y, mps = cupy.asarray(y), None if mps is None else cupy.asarray(mps)
    return method(y, scan.mask, mps, _slice(scan.calib, z, scan))


def _count(scan) -> int:
    return len(scan.kspace) if scan.kspace.ndim == 4 else 1


class _OnGpu(Sequence):
    """The models of all slices, made when they are asked for; at most `keep` are in the GPU's memory at a time."""

    def __init__(self, scan, method, keep=None):
        self.scan, self.method, self.keep, self._kept = scan, method, keep or _count(scan), {}

    def __len__(self):
        return _count(self.scan)

    def __getitem__(self, z):
        if not 0 <= z < len(self):
            raise IndexError(z)
        if z not in self._kept:
            while len(self._kept) >= self.keep:
                del self._kept[next(iter(self._kept))]
            self._kept[z] = model_of(self.scan, self.method, z, gpu=True)
        return self._kept[z]

    def drop(self, z):
        """Slice z is done."""
        self._kept.pop(z, None)


def _slice(x, z, scan):
    """Slice z of maps or calibration lines; those without an axis of slices are the same for all."""
    return x if x is None or scan.kspace.ndim == 3 or x.ndim == 3 else x[z]


def as_scan(scan) -> io.Scan:
    """A `Scan` from a scan, a path or a k-space array."""
    if isinstance(scan, io.Scan):
        return scan
    return io.load(scan) if isinstance(scan, str) or hasattr(scan, "__fspath__") else io.Scan(scan)


def zero_filled_scale(models) -> float:
    """What the data have to be multiplied by for the zero-filled x of the whole scan to have a 99th percentile of 1.

    It is |A^H y| with normalised maps (sum_c |S_c|^2 = 1), else |A^H y| / sum_c |S_c|^2, by `Model.energy`. A first
    scaling to a peak of 1 keeps 1e-20 and 1e20 from under- and overflowing.
    """
    with np.errstate(over="ignore"):
        peak, info = max(float(abs(m.y).max()) for m in models), np.finfo(models[0].y.dtype)
    if not 1e8 * float(info.tiny) <= peak <= 1e-8 * float(info.max):
        raise ValueError(f"kspace peaks at {peak:.3g}, where {models[0].y.dtype} loses digits: multiply it to a peak "
                         "near 1 before it is stored in this precision")
    zero_filled = [_zero_filled(m, (m.y / peak).astype(m.y.dtype)) for m in models]
    level = float(np.percentile(zero_filled, 99)) or float(np.max(zero_filled))
    if not level > 0:
        raise ValueError("kspace and mps do not overlap: the zero-filled image is zero everywhere")
    return 1 / (level * peak)


def _zero_filled(model, y):
    """|A^H y / energy| as a picture, in the units of x."""
    x = model.A.H(y)
    image = abs(model.image(x)) if model.energy is None else abs(model.image(x / model.energy)) * model.size
    return to_numpy(image)
