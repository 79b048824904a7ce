"""Linear operators: `sigpy.linop.Linop`s, made by lower-case functions."""

from pisolve._hints import rooms
from pisolve.linops.autograd import apply, as_torch
from pisolve.linops.base import Linop, SelfAdjoint, identity
from pisolve.linops.blocks import Blocks, stack
from pisolve.linops.circulant import circulant
from pisolve.linops.coil_filter import coil_filter
from pisolve.linops.conjugate import virtual_coils
from pisolve.linops.cosine import dct
from pisolve.linops.difference import gradient
from pisolve.linops.foreign import as_linop, from_matrix
from pisolve.linops.fourier import fft
from pisolve.linops.grappa import grappa
from pisolve.linops.nufft import nufft
from pisolve.linops.off_resonance import off_resonance
from pisolve.linops.rigid import rigid
from pisolve.linops.sense import sense
from pisolve.linops.sms import sms
from pisolve.linops.soft_sense import combine_sets, soft_sense
from pisolve.linops.spirit import sampled_fft, spirit, spirit_encoding, spirit_missing
from pisolve.linops.symmetric import symmetric_gradient
from pisolve.linops.util import dense, opnorm
from pisolve.linops.wavelet import wavelet

__all__ = ["Blocks", "Linop", "SelfAdjoint", "apply", "as_linop", "as_torch", "circulant", "coil_filter",
           "combine_sets", "dct", "dense", "fft", "from_matrix", "gradient", "grappa", "identity", "nufft",
           "off_resonance", "opnorm", "rigid",
           "sampled_fft", "sense", "sms", "soft_sense", "spirit", "spirit_encoding", "spirit_missing", "stack",
           "symmetric_gradient", "virtual_coils", "wavelet"]

rooms(globals(), __all__)
