"""Virtual conjugate coils: SENSE of images whose phase is known."""

from __future__ import annotations

from typing import Any

from pisolve import _check, backend
from pisolve._check import array
from pisolve._types import ArrayLike
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint
from pisolve.linops.sense import Sense


def reflect(x):
    """x(-k) on the last two axes, k counted from N // 2 and taken modulo N: an even axis' sample -N/2 is its own."""
    xp = backend.namespace(x)
    axes = [a for a in (-2, -1) if x.shape[a] % 2 == 0]
    x = xp.flip(x, (-2, -1))
    return xp.roll(x, (1,) * len(axes), tuple(axes)) if axes else x


class VirtualCoils(Linop):
    """The class behind `virtual_coils`; `real` and `virtual` are its two SENSE operators."""

    host = False
    real: Any
    virtual: Any

    def __init__(self, mps: Any, phase: Any, mask: Any = None) -> None:
        mps = array("mps", mps, ndim=3, nonzero=True)
        phase = array("phase", phase, shape=mps.shape[-2:])
        mps = backend.from_torch(mps, mps if backend.native(mps) else None) if _check.is_torch(mps) else mps
        phase = backend.like(backend.to_numpy(phase), mps)
        turned = mps * backend.cast(backend.unit(phase), mps)
        flipped = None
        if mask is not None:
            mask = _check.mask("mask", mask, mps.shape)
            flipped = reflect(mask)
        self.real, self.virtual = Sense(turned, mask), Sense(turned.conj(), flipped)
        super().__init__((2 * len(mps), *mps.shape[1:]), mps.shape[1:])

    def norm_bound(self) -> Any:
        return (self.real.norm_bound() ** 2 + self.virtual.norm_bound() ** 2) ** 0.5

    def _apply(self, input):
        return backend.namespace(input).concatenate([self.real._apply(input), self.virtual._apply(input)])

    def _apply_adjoint(self, input):
        half = len(input) // 2
        return self.real._apply_adjoint(input[:half]) + self.virtual._apply_adjoint(input[half:])

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._normal, "VirtualCoils.N")

    def _normal(self, x):
        return self.real.N(x) + self.virtual.N(x)


def virtual_coils(mps: ArrayLike, phase: ArrayLike, mask: ArrayLike | None = None) -> VirtualCoils:
    """SENSE of an image with a known phase, x = r e^(i phi): r -> k-space of the coils and of their virtual conjugates.

        A r = [M F (S e^(i phi)) r,  M' F conj(S e^(i phi)) r],     M'(k) = M(-k)

    The data are `calib.virtual_coils(kspace)`: for real r the conjugates conj(y(-k)) are what coils of sensitivity
    conj(S e^(i phi)) would have measured at -k. They add encoding: twice the coils, and with partial Fourier the other
    side of k-space. The least-squares r is real up to rounding, and the image is r e^(i phi). Where phi is wrong, so
    is the image: take it from fully sampled low frequencies, `calib.centre_phase`.

    Args:
        mps: coil maps (coil, ky, kx), complex; numpy, cupy or torch.
        phase: (ky, kx) complex, e^(i phi) of any magnitude (the phase of a low-resolution image); 0 counts as 1.
        mask: sampling of the measured coils, boolean or 0/1, (ky, kx), (ky, 1) or (1, kx); None: all sampled.

    Returns:
        A `sigpy.linop.Linop` from (ky, kx) to (2 coil, ky, kx); ||A||^2 <= 2 for normalised maps.

    Raises:
        TypeError, ValueError: arrays that do not fit, NaN or Inf.

    Reference:
        Blaimer et al., Magn Reson Med 61 (2009) 93; Bydder and Robson, Magn Reson Med 53 (2005) 1393.
    """
    return VirtualCoils(mps, phase, mask)
