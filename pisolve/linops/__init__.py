"""Linear operators: `sigpy.linop.Linop`s, made by lower-case functions."""

from pisolve.linops.autograd import apply, as_torch
from pisolve.linops.base import Linop, SelfAdjoint, identity
from pisolve.linops.blocks import Blocks, stack
from pisolve.linops.cosine import dct
from pisolve.linops.difference import gradient
from pisolve.linops.fourier import fft
from pisolve.linops.sense import sense
from pisolve.linops.symmetric import symmetric_gradient
from pisolve.linops.util import dense, opnorm
from pisolve.linops.wavelet import wavelet

__all__ = ["Blocks", "Linop", "SelfAdjoint", "apply", "as_torch", "dct", "dense", "fft", "gradient", "identity",
           "opnorm", "sense", "stack", "symmetric_gradient", "wavelet"]
