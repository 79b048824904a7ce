"""What a scanner delivered, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pisolve import _check
from pisolve.backend import fft, to_numpy

CALIB = 8  # lines: what ESPIRiT's and GRAPPA's usual kernels need at the very least


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """K-space with what belongs to it; checked when it is made, never changed afterwards.

    Args:
        kspace: (slice, coil, ky, kx) or (coil, ky, kx), converted to complex64 or complex128; centred, zero where not
            sampled. Torch and cupy arrays become numpy arrays, complex numpy arrays are kept as they are (no copy).
        mask: bool or 0/1 array (ky, kx), or (kx,) as in fastMRI's files, True where sampled; None: everything is.
        mps: coil sensitivities (coil, ky, kx), or (slice, coil, ky, kx); several sets of maps have an axis more, before
            the coils.
        reference: the image to compare with, (slice, y, x) or (y, x); may be a smaller centre crop, as in fastMRI.
        meta: anything else that the file says, plain values by name.
        noise: samples (coil, samples) of noise alone, with the covariance that the noise of one sample of `kspace` has:
            scaled for another dwell time, receiver bandwidth or number of averages, as `load` does for raw data.
        calib: k-space (coil, cy, cx) or (slice, coil, cy, cx) measured beside `kspace` to calibrate from, on its grid:
            index (cy // 2, cx // 2) is the centre, the steps are those of `kspace`, cy and cx at most ky and kx.

    Raises:
        TypeError, ValueError: shapes disagree, NaN or Inf, or nothing but zeros.
    """

    kspace: np.ndarray
    mask: np.ndarray | None = None
    mps: np.ndarray | None = None
    reference: np.ndarray | None = None
    meta: dict = field(default_factory=dict)
    noise: np.ndarray | None = None
    calib: np.ndarray | None = None

    def __post_init__(self):
        kspace = to_numpy(_check.array("kspace", self.kspace, ndim=(3, 4), nonzero=True))
        fields = {"kspace": kspace, "meta": dict(self.meta)}
        if self.mask is not None:
            fields["mask"] = _check.mask("mask", self.mask, kspace.shape)
        if self.mps is not None:
            mps = to_numpy(_check.array("mps", self.mps, ndim=(3, 4) if kspace.ndim == 3 else (3, 4, 5), nonzero=True))
            sets = mps.ndim > kspace.ndim  # several sets of maps, on the axis before the coils
            if (mps[..., 0, :, :, :] if sets else mps).shape not in (kspace.shape, kspace.shape[-3:]):
                raise ValueError(f"mps has shape {mps.shape}, kspace {kspace.shape}: coils and size must agree")
            fields["mps"] = mps
        if self.reference is not None:
            image = to_numpy(_check.array("reference", self.reference, ndim=kspace.ndim - 1, complex_=False))
            larger = any(i > k for i, k in zip(image.shape[-2:], kspace.shape[-2:]))
            if larger or image.shape[:-2] != kspace.shape[:-3]:
                raise ValueError(f"reference has shape {image.shape}, kspace {kspace.shape}: slices must agree, and "
                                 "its size be that of k-space or a centre crop")
            fields["reference"] = image
        if self.noise is not None:
            fields["noise"] = _noise(self.noise, kspace.shape)
        if self.calib is not None:
            fields["calib"] = _calib(self.calib, kspace.shape)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        parts = [f"kspace {self.kspace.shape} {self.kspace.dtype}"]
        parts += [f"{n} {getattr(self, n).shape}" for n in ("mask", "mps", "reference", "noise", "calib")
                  if getattr(self, n) is not None]
        return f"Scan({', '.join(parts)}{f', maps: {self.sets} sets (soft SENSE)' if self.sets > 1 else ''})"

    @property
    def sets(self) -> int:
        """How many sets of coil maps there are: 0 without maps, 1 for SENSE, more for soft SENSE."""
        if self.mps is None:
            return 0
        return self.mps.shape[-4] if self.mps.ndim > self.kspace.ndim else 1

    @property
    def phase_axis(self) -> int:
        """The phase-encoding axis: what the header says, else what the mask shows, else -2 (ky)."""
        if self.meta.get("phase_axis") in (-2, -1):
            return self.meta["phase_axis"]
        along_kx = self.mask is not None and not self.mask.all() and (self.mask == self.mask[:1]).all()
        return -1 if along_kx else -2

    def select(self, slices: slice | int | list) -> Scan:
        """A new scan of some slices; the slice axis stays.

        Raises:
            ValueError: the scan has no slice axis, or none or other slices than there are were asked for.
        """
        if self.kspace.ndim == 3:
            raise ValueError("this scan has no slice axis, kspace is (coil, ky, kx): nothing to select")
        count = len(self.kspace)
        if not isinstance(slices, slice):
            given = list(slices) if isinstance(slices, list | tuple | range | np.ndarray) else [slices]
            slices = [_check.integer("slices", s, low=-count, high=count - 1) for s in given]
        if not len(np.arange(count)[slices]):
            raise ValueError(f"slices selects none of {count}: {slices}")
        per_slice = {n: getattr(self, n) for n in ("kspace", "reference")}
        per_slice |= {n: a for n in ("mps", "calib") if (a := getattr(self, n)) is not None and a.ndim >= 4}
        return replace(self, **{n: a if a is None else a[slices] for n, a in per_slice.items()})

    def drop_coils(self, coils: int | list) -> Scan:
        """A new scan without some coils: they leave `kspace`, `mps`, `noise` and `calib`; the reference stays.

        Args:
            coils: their indices, from 0; negative ones count from the end.

        Raises:
            ValueError: no such coil, or none would be left.
        """
        count = self.kspace.shape[-3]
        given = list(coils) if isinstance(coils, list | tuple | range | np.ndarray) else [coils]
        given = [_check.integer("coils", c, low=-count, high=count - 1) for c in given]
        keep = np.delete(np.arange(count), given)
        if not len(keep):
            raise ValueError(f"coils names all {count} coils: keep at least one")
        channels = {n: a[..., keep, :, :] for n in ("kspace", "mps", "calib") if (a := getattr(self, n)) is not None}
        return replace(self, **channels, noise=None if self.noise is None else self.noise[keep])

    def undersample(self, mask) -> Scan:
        """A new scan with zeros outside `mask`; where this one is fully sampled, its RSS becomes the reference.

        A scan that has a mask already keeps only what both sample, and gets no reference it did not have: the RSS of
        undersampled data is no truth. `calib` and `noise` were measured on their own and stay.

        Args:
            mask: bool or 0/1 array (ky, kx), (1, kx), (ky, 1) or (kx,).
        """
        mask = _check.mask("mask", mask, self.kspace.shape)
        reference = self.reference
        if self.mask is not None:
            mask = mask & self.mask
        if reference is None and (self.mask is None or self.mask.all()):
            reference = self.rss()
        return replace(self, kspace=np.where(mask, self.kspace, 0), mask=mask, reference=reference)

    def rss(self) -> np.ndarray:
        """Root of the sum of squares of the coils' images, real (slice, y, x) or (y, x)."""
        volume = self.kspace.reshape((-1,) + self.kspace.shape[-3:])
        images = [np.linalg.norm(fft(coils, (-2, -1), inverse=True), axis=0) for coils in volume]
        return np.stack(images).reshape(self.kspace.shape[:-3] + self.kspace.shape[-2:])

    def crop(self, image):
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
        magnitude = abs(self.kspace)
        peak = float(magnitude.max())
        magnitude = (magnitude / peak).reshape((-1,) + magnitude.shape[-3:])  # squares then neither over- nor underflow
        found = [self.meta["assumed"]] if "assumed" in self.meta else []
        found += _scale(peak) + _coils(magnitude) + _sampling(magnitude, self.mask, self.calib is not None)
        return found + _origin(magnitude)


def _noise(noise, shape) -> np.ndarray:
    noise = to_numpy(_check.array("noise", noise, ndim=2, nonzero=True))
    if len(noise) != shape[-3]:
        raise ValueError(f"noise has shape {noise.shape}, kspace {shape}: (coil, samples) with its coils needed")
    return noise


def _calib(calib, shape) -> np.ndarray:
    calib = to_numpy(_check.array("calib", calib, ndim=3 if len(shape) == 3 else (3, 4), nonzero=True))
    if calib.shape[:-2] not in (shape[:-2], shape[-3:-2]) or any(c > k for c, k in zip(calib.shape[-2:], shape[-2:])):
        raise ValueError(f"calib has shape {calib.shape}, kspace {tuple(shape)}: coils and slices must agree, and its "
                         "size be that of k-space or a smaller centre")
    return calib


def _scale(peak: float) -> list[str]:
    if 1e-12 <= peak <= 1e12:
        return []
    return [f"k-space peaks at {peak:.3g}, where squares leave single precision: multiply it to a peak near 1"]


def _coils(magnitude) -> list[str]:
    """A coil without signal, or one far above or below the median of the others."""
    level = np.sqrt(np.sum(np.square(magnitude, dtype=np.float64), axis=(0, 2, 3)))
    found = [f"coil {c} is dead (all zero): drop it, scan.drop_coils({c})" for c in np.flatnonzero(level == 0)]
    alive = np.flatnonzero(level)
    for c in alive if len(alive) > 1 else []:
        ratio = level[c] / np.median(level[alive[alive != c]])
        if ratio > 100 and len(alive) > 2:
            found.append(f"coil {c} is {ratio:.3g} times louder than the others: check its gain, or whiten the coils")
        elif ratio < 1e-4:
            found.append(f"coil {c} is nearly dead, {ratio:.3g} of the others: drop it, scan.drop_coils({c}), or check "
                         "its gain")
    return found


def _sampling(magnitude, mask, calibrated: bool) -> list[str]:
    """Where data and mask disagree, and whether there is a centre to calibrate from, or `calibrated` lines apart."""
    measured = (magnitude != 0).any(axis=(0, 1))
    if mask is None:
        holes = 1 - measured.mean()
        return [] if holes < 0.01 else [f"{holes:.0%} of k-space is zero in all coils and there is no mask: attach "
                                        "pisolve.masks.estimate(kspace), or it counts as measured zeros"]
    found = []
    outside, empty = int((measured & ~mask).sum()), int((mask & ~measured).sum())
    if outside:
        found.append(f"k-space is not zero at {outside} positions outside the mask: the mask belongs to other data, or "
                     "use undersample(mask)")
    if empty > 0.01 * mask.sum():
        found.append(f"the mask says sampled at {empty} positions where k-space is zero in all coils")
    middle = [slice(max(n // 2 - CALIB // 2, 0), n // 2 + CALIB // 2) for n in mask.shape]
    if not calibrated and not mask[tuple(middle)].all():
        found.append(f"no calibration region: the central {CALIB}x{CALIB} samples are not all there, so coil maps need "
                     "another scan")
    return found


def _origin(magnitude) -> list[str]:
    """Where the energy sits: the circular mean along each axis must be near index N // 2."""
    found = []
    for axis, name in ((-2, "ky"), (-1, "kx")):
        n = magnitude.shape[axis]
        others = tuple(a for a in range(4) if a != axis % 4)
        energy = np.sum(np.square(magnitude, dtype=np.float64), axis=others)
        turn = 2 * np.pi * (np.arange(n) - n // 2) / n
        shift = float(np.angle(np.sum(energy * np.exp(1j * turn)))) * n / (2 * np.pi)
        if n >= 8 and abs(shift) > n / 8:
            how = "apply numpy.fft.fftshift" if abs(shift) > n * 3 / 8 else "roll it there"
            found.append(f"the energy of k-space is {shift:+.0f} samples off the centre along {name}: {how}")
    return found
