"""What an image predicts of k-space, and the noise of the samples that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pisolve import _check, backend, calib, linops
from pisolve.evaluate.planes import mixed, one_part, which
from pisolve.prepare import Model, sense_of
from pisolve.problem import Problem
from pisolve.scan import estimate
from pisolve.tuning import noise_level, residual_noise
from pisolve.tuning.data import Data


def predicted(model: Model, x) -> np.ndarray:
    """F S x at every position of k-space, sampled or not: (coil, ky, kx), with a part's further axes, of its unknown x.

    Of samples anywhere at these, kept or not.

    SENSE and GRAPPA see x through the maps, soft SENSE through all sets of them; coil images are their own.
    """
    around = getattr(model.A, "around", None)  # off-resonance, which is part of what is predicted
    A = model.A if around is None else model.A.A
    maps = getattr(A, "mps", None)
    if maps is None:
        return backend.fft(x, (-2, -1))
    place = {} if A.oaxes is None else {"axes": A.oaxes, "shape": tuple(A.oshape)}
    if getattr(A, "coord", None) is not None:
        place["coord"] = A.coord
    plain = (linops.sense if _one(A) else linops.soft_sense)(maps, **place)
    return plain(x) if around is None else around(plain)(x)


def _one(A) -> bool:
    """Whether an operator with maps has one set of them."""
    return not getattr(getattr(A, "A", A), "soft", False)


def one_set(scan) -> bool:
    """Whether the scan has one set of coil maps, which SENSE needs."""
    return scan.sets == 1


def directions(model: Model, x) -> np.ndarray:
    """How the coils see each pixel, (..., coil, y, x): the maps, or the direction of the coil images of x."""
    maps = getattr(model.A, "mps", None)
    if maps is not None and _one(model.A):
        return maps
    coils = x if maps is None else (maps * x[..., None, :, :]).sum(-4)
    size = np.linalg.norm(coils, axis=-3, keepdims=True)
    return np.divide(coils, size, out=np.zeros_like(coils), where=size > 0)


@dataclass(frozen=True)
class Noise:
    """The noise of a k-space sample.

    Attributes:
        sigma: standard deviation of the real and of the imaginary part each, root mean square over coils.
        source: where it is from, in words.
        measured: whether it was given or measured, not estimated from the data themselves.
        matrix: W (coil, coil) that makes it white, or None where all coils have sigma: parts of W n have a standard
            deviation of 1.
        root: W^-1.
        ndim: how many encoded axes k-space has.
    """

    sigma: float
    source: str
    measured: bool
    matrix: np.ndarray | None = None
    root: np.ndarray | None = None
    ndim: int = 2

    def units(self, kspace):
        """K-space (..., coil, ky, kx) in units of the noise."""
        if self.matrix is None:
            return kspace / kspace.real.dtype.type(self.sigma)
        return mixed(self.matrix, kspace, self.ndim)

    def spread(self, k) -> float:
        """Standard deviation of Re <k, n> for k-space k (coil, ky, kx) and noise n."""
        return float(self.sigma * np.linalg.norm(k) if self.root is None else np.linalg.norm(
            mixed(self.root.conj().T, k, self.ndim)))

    def draw(self, rng, like):
        """Noise (coil, ky, kx) of this kind."""
        white = rng.standard_normal((*like.shape, 2)).view(complex)[..., 0]
        noise = self.sigma * white if self.root is None else mixed(self.root, white, self.ndim)
        return noise.astype(like.dtype)


def noise_of(scan, given: float | None = None) -> Noise:
    """The noise of a prepared scan: given, else of its noise samples, else estimated from its data.

    The estimate is the lower of `tuning.residual_noise` and `tuning.noise_level`, which signal and wrong maps only make
    larger.

    Args:
        scan: prepared, see `prepare`.
        given: standard deviation of the real and of the imaginary part of a sample, in the units of `scan.kspace`.

    Raises:
        ValueError: an estimate of 0: data without noise.
    """
    ndim = len(scan.encoding.encoded)
    if given is not None:
        return Noise(_check.number("noise", given, low=0, strict=True), "as given", True, ndim=ndim)
    if scan.noise is not None:
        psi = calib.noise_covariance(scan.noise) / 2  # of one part
        W = calib.whitening_matrix(psi)
        sigma = float(np.sqrt(np.trace(psi).real / len(psi)))
        return Noise(sigma, "the scan's noise samples, with their covariance between coils", True, W, np.linalg.inv(W),
                     ndim)
    mask = scan.mask
    if mask is None and scan.further:
        mask = estimate(scan.kspace, scan.axes)
    found = [noise_level(scan.kspace, mask, ndim=ndim, far=None if scan.coord is None else scan.encoding.far())]
    if one_set(scan):
        part = one_part(scan, which(scan, None))
        A = sense_of(part)
        found += [s for s in [residual_noise(Data(Problem(A, part.kspace)))] if s]
    sigma = float(min(found))
    if not sigma > 0:
        raise ValueError("noise cannot be estimated, the outer samples are zero: give noise=..., its standard "
                         "deviation")
    return Noise(sigma, "estimated from the data, which tends to be too large", False, ndim=ndim)
