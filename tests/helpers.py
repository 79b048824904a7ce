"""What several files of tests share: BART, a simulated scan for coil maps, measures and laws of coil maps."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
import torch

from pisolve.backend import fft
from pisolve.io import cfl


def bart(folder, *command, **arrays) -> str:
    """What a BART command prints, run in `folder` with `arrays` (BART's first dimension last); skips without BART."""
    if shutil.which("bart") is None:
        pytest.skip("no program bart on the path")
    for name, x in arrays.items():
        (folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, x.shape[::-1])) + "\n")
        np.ascontiguousarray(x, np.complex64).tofile(folder / f"{name}.cfl")
    return subprocess.run(["bart", *command], cwd=folder, check=True, capture_output=True, text=True).stdout


def ecalib(kspace, folder, *options, maps=1, kernel=6, width=24):
    """Maps by BART's `ecalib`, whose threshold -t is on squared singular values."""
    bart(folder, "ecalib", f"-m{maps}", f"-k{kernel}", f"-r{width}", f"-t{0.02**2}", *options, "k", "s",
         k=kspace[:, None] if kspace.ndim == 3 else kspace)
    return cfl.read(folder / "s").reshape(*(() if maps == 1 else (maps,)), *kspace.shape)


def simulate(coils=6, shape=(96, 81), noise=1e-3, seed=0):
    """K-space of a phantom with phase, seen by birdcage coils of unequal gain (equal ones would be symmetric)."""
    rng = np.random.default_rng(seed)
    image = sp.shepp_logan(shape) * np.exp(1j * np.linspace(0, 2, shape[-2]))[:, None]
    gain = rng.uniform(0.8, 1.2, coils) * np.exp(2j * np.pi * rng.random(coils))
    mps = mr.birdcage_maps((coils, *shape)) * gain.reshape(-1, *(1,) * len(shape))
    kspace = sp.fft(mps * image, axes=tuple(range(1, mps.ndim)))
    kspace += noise * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
    return kspace.astype(np.complex64)


def support(mps):
    return (mps != 0).any(0)


def difference(a, b, where=True):
    """Relative difference over the common support after the phases of each pixel are aligned."""
    common = support(a) & support(b) & where
    a, b = a[:, common], b[:, common]
    inner = (a.conj() * b).sum(0)
    return np.linalg.norm(a * (inner / abs(inner)) - b) / np.linalg.norm(b)


def residual(mps, kspace, where=None):
    """What of the coil images inside the support is not mps * (one image), relative."""
    images = fft(kspace, (-2, -1), inverse=True)
    rest = images - mps * (mps.conj() * images).sum(0)
    where = support(mps) if where is None else where
    return np.linalg.norm(rest[:, where]) / np.linalg.norm(images[:, where])


def shuffled(x):
    """The coils of (..., coil, y, x) in another order."""
    return np.concatenate([x[..., [3, 0, 5, 1, 4, 2], :, :], x[..., :5:-1, :, :]], -3)


LAWS = {  # of six coils and more: what is done to k-space, what it does to the maps (..., coil, y, x)
    "permuted coils": (shuffled, shuffled),
    "scale 1e-20": (lambda k: k * np.float32(1e-20), lambda s: s),
    "scale 1e20": (lambda k: k * np.float32(1e20), lambda s: s),
    "global phase": (lambda k: k * np.complex64(np.exp(1j)), lambda s: s),
    "dead coil": (lambda k: np.insert(k, 2, 0, axis=-3), lambda s: np.insert(s, 2, 0, axis=-3)),
    "strided": (lambda k: np.asfortranarray(k)[:, :, ::-1][:, :, ::-1], lambda s: s),
}


def refused(call, kind, message: str) -> None:
    """Check that `call()` raises `kind` with these words in one line."""
    with pytest.raises(kind, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value)


class Own(torch.nn.Module):
    """What a test says, in the place of a reconstruction network."""

    def __init__(self, call, needs_maps=True):
        super().__init__()
        self.call, self.needs_maps = call, needs_maps

    def forward(self, *arguments):
        return self.call(*arguments)


def relative(a, b) -> float:
    """||a - b|| / ||b|| of torch tensors."""
    return float(torch.linalg.vector_norm((a - b).detach()) / torch.linalg.vector_norm(b.detach()))


def fastmri_models():
    """fastMRI's own networks; skips without them."""
    return pytest.importorskip("fastmri.models", reason="needs fastmri (--no-deps), pandas, PyYAML and requests")
