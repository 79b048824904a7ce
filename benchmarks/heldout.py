"""Scans to judge learned priors on: real data, and slices of volumes behind measured coils, untouched by training.

`held_out()` yields the scans that results are reported on, `tuning()` those that settings are chosen on: other slices
of the volumes, which the training has seen, behind other coils. Images are (y, x) slices of the shared volumes with a
smooth phase; the coils are half of 32 measured neonatal ones, or 16 that were fitted to a bottle phantom's scan.
"""

import os
from pathlib import Path

import h5py
import nibabel
import numpy as np
from scipy.ndimage import zoom

import pisolve as pi

DATA = Path(os.environ.get("PISOLVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
HELD_OUT = [  # name, volume, slice, coils, noise (standard deviation of each part where the image's percentile is 1)
    ("colin27 z=100, neonatal coils 0-7", "colin27_t1.nii.gz", 100, slice(0, 8), 0.010),
    ("colin27 z=104, neonatal coils 8-15", "colin27_t1.nii.gz", 104, slice(8, 16), 0.020),
    ("colin27 z=108, bottle coils", "colin27_t1.nii.gz", 108, None, 0.010),
    ("MNI152 z=94, neonatal coils 0-15", "mni152_t1.nii.gz", 94, slice(0, 16, 2), 0.015),
    ("MNI152 z=100, bottle coils", "mni152_t1.nii.gz", 100, None, 0.010),
    ("heart, frame 25, neonatal coils 1-15", "cardiac_cine.npy", 25, slice(1, 16, 2), 0.010),
]
REAL = [("head, sagittal, 1 coil, real", "head_sag_1ch.h5")]
TUNING = [
    ("colin27 z=80, neonatal coils 16-23", "colin27_t1.nii.gz", 80, slice(16, 24), 0.010),
    ("MNI152 z=70, neonatal coils 24-31", "mni152_t1.nii.gz", 70, slice(24, 32), 0.020),
]


def picture(volume: str, index: int) -> np.ndarray:
    """A magnitude slice (y, x) of even sides, which BART needs, its 99th percentile over the object 1."""
    if volume.endswith(".npy"):
        image = np.load(DATA / "volumes" / volume)[index]
    else:
        image = np.rot90(nibabel.load(DATA / "volumes" / volume).dataobj[..., index])
    image = np.ascontiguousarray(image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2], np.float32)
    return image / np.percentile(image[image > 0], 99)


def coils(which, shape) -> np.ndarray:
    """Measured maps resampled to a shape, their root sum of squares 1 on average over the object's place."""
    if which is None:
        mps = pi.calib.jsense(pi.io.load(DATA / "kspace" / "phantom_cimax_16ch.h5").kspace[0])
        known = (mps != 0).any(0)
        mps = mps[:, known.any(1)][:, :, known.any(0)]
        inside = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, n) for n in mps.shape[1:]], indexing="ij")) < 0.9
        mps = np.stack([_continued(m, inside) for m in mps])
    else:
        with h5py.File(DATA / "maps" / "neonatal_32ch.h5") as file:
            mps = file["mps"][which]
    scale = [1, *(n / m for n, m in zip(shape, mps.shape[1:]))]
    mps = zoom(mps.real, scale, order=3, mode="nearest") + 1j * zoom(mps.imag, scale, order=3, mode="nearest")
    return (mps / np.sqrt((abs(mps) ** 2).sum(0)).mean()).astype(np.complex64)


def _continued(field, inside):
    """A smooth field outside of where it is known: a polynomial of degree 6 fitted inside."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in field.shape], indexing="ij")
    terms = np.stack([y**a * x**b for a in range(7) for b in range(7 - a)], -1)
    fit = terms @ np.linalg.lstsq(terms[inside], field[inside], rcond=None)[0]
    return np.where(inside, field, fit)


def smooth_phase(shape, seed) -> np.ndarray:
    """A random quadratic, (y, x) in radians."""
    a = np.random.default_rng([seed, 5]).normal(0, 1, 5)
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return a[0] + a[1] * y + a[2] * x + a[3] * x * y + a[4] * y * y


def simulate(volume, index, which, noise, seed, added=0.0) -> pi.io.Scan:
    """Fully sampled k-space (1, coil, ky, kx) of a slice with a smooth phase; the reference is its noise-free RSS.

    `added` is a picture (y, x) that is added to the slice.
    """
    rng = np.random.default_rng([seed, index])
    image = picture(volume, index) + added
    clean = coils(which, image.shape) * (image * np.exp(1j * smooth_phase(image.shape, seed)))
    white = rng.standard_normal((*clean.shape, 2)).view(complex)[..., 0]
    kspace = pi.backend.fft(clean, (-2, -1)) + noise * white
    return pi.io.Scan(kspace[None].astype(np.complex64), reference=np.linalg.norm(clean, axis=0)[None])


def held_out():
    """(name, fully sampled `Scan`) of everything that results are reported on."""
    for n, (name, *settings) in enumerate(HELD_OUT):
        yield name, simulate(*settings, seed=n)
    for name, file in REAL:
        yield name, pi.io.load(DATA / "kspace" / file)


def tuning():
    """(name, fully sampled `Scan`) of what settings may be chosen on."""
    for n, (name, *settings) in enumerate(TUNING):
        yield name, simulate(*settings, seed=100 + n)
