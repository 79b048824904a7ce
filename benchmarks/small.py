"""Scans small enough for fits to one scan on a CPU: the held-out ones of `heldout.py` at a lower resolution."""

import heldout
import numpy as np

import pisolve as pi

SHAPE = (144, 120)
REAL = "brain in vivo, 16 coils, real"


def small(settings, seed) -> pi.io.Scan:
    """A simulated scan's centre of k-space, `SHAPE`, with its noise; the reference is the noise-free RSS of it."""
    volume, index, which, noise = settings
    clean = _centre(heldout.simulate(volume, index, which, 0.0, seed).kspace)
    rng = np.random.default_rng([seed, index, 1])
    white = rng.standard_normal((*clean.shape, 2)).view(complex)[..., 0]
    reference = np.linalg.norm(pi.backend.fft(clean, (-2, -1), inverse=True), axis=1)
    return pi.io.Scan((clean + noise * white).astype(np.complex64), reference=reference)


def _centre(kspace):
    """The samples about the centre, at most `SHAPE`, with the intensity of the image kept."""
    shape = [min(n, m) for n, m in zip(SHAPE, kspace.shape[-2:])]
    part = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(kspace.shape[-2:], shape))
    return kspace[(..., *part)] * np.sqrt(np.prod(shape) / np.prod(kspace.shape[-2:])).astype(np.float32)


def held_out():
    """(name, fully sampled scan) of what results are reported on: five simulated ones and the brain in vivo."""
    for n, (name, *settings) in enumerate(heldout.HELD_OUT[:5]):
        yield name, small(settings, n)
    yield REAL, pi.io.load(heldout.DATA / "kspace" / "invivo_brain_cimax_16ch.h5")


def tuning():
    """(name, fully sampled scan) of what settings may be chosen on."""
    for n, (name, *settings) in enumerate(heldout.TUNING):
        yield name, small(settings, 100 + n)


def pattern(shape, seed=7):
    """The mask of these results: 4x random lines with a fully sampled centre."""
    return pi.masks.random(shape, 4, seed=seed)
