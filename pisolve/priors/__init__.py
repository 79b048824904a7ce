"""Priors: anything with `value`, `prox`, `grad` as far as it has them; a trained network is one of them."""

from pisolve._hints import hint, rooms
from pisolve.priors.adapter import Denoiser, as_denoiser
from pisolve.priors.base import Prior
from pisolve.priors.constraints import Box, RealNonNegative
from pisolve.priors.denoiser import RED, PnP
from pisolve.priors.foreign import as_deepinv, as_prior, as_sigpy
from pisolve.priors.lifted import TGV, InfimalConvolution
from pisolve.priors.lowrank import LLR, Nuclear
from pisolve.priors.quadratic import Quadratic, Tikhonov, Zero
from pisolve.priors.score import Score
from pisolve.priors.sparse import L1, L21, TV, L1MinusL2
from pisolve.priors.structured import StructuredLowRank
from pisolve.priors.transforms import DCT, TemporalFFT, Wavelet

__all__ = [
    "DCT", "L1", "L21", "LLR", "RED", "TGV", "TV", "Box", "Denoiser", "InfimalConvolution",
    "L1MinusL2", "Nuclear", "PnP", "Prior", "Quadratic",
    "RealNonNegative", "Score", "StructuredLowRank", "TemporalFFT", "Tikhonov", "Wavelet", "Zero", "as_deepinv",
    "as_denoiser", "as_prior", "as_sigpy",
]

hint(globals(), __all__)
rooms(globals(), __all__)
