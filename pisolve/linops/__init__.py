"""Linear operators: `sigpy.linop.Linop`s, made by lower-case functions."""

from pisolve.linops.autograd import apply, as_torch
from pisolve.linops.base import Linop, SelfAdjoint, Stack, identity
from pisolve.linops.difference import gradient
from pisolve.linops.fourier import fft
from pisolve.linops.sense import sense
from pisolve.linops.util import dense, opnorm
from pisolve.linops.wavelet import wavelet

__all__ = ["Linop", "SelfAdjoint", "Stack", "apply", "as_torch", "dense", "fft", "gradient", "identity", "opnorm",
           "sense", "wavelet"]
