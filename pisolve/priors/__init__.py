"""Priors: anything with `value`, `prox`, `grad` as far as it has them; a trained network is one of them."""

from pisolve.priors.adapter import Denoiser, as_denoiser
from pisolve.priors.base import Prior
from pisolve.priors.denoiser import RED, PnP
from pisolve.priors.quadratic import Tikhonov, Zero
from pisolve.priors.sparse import L1, L21, TV, Wavelet

__all__ = ["L1", "L21", "RED", "TV", "Denoiser", "PnP", "Prior", "Tikhonov", "Wavelet", "Zero", "as_denoiser"]
