"""Simultaneous multi-slice (multiband) encoding with blipped CAIPIRINHA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pisolve import _check, backend
from pisolve._check import dtype_name
from pisolve._types import ArrayLike
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint
from pisolve.linops.sense import checked_maps
from pisolve.linops.soft_sense import SoftSense

_COILS = 2  # of one task, fixed: results do not depend on the number of threads


class Sms(Linop):
    """The class behind `sms`.

    A band's shift is a whole number of pixels, by which image and map are rolled, and a rest below half a pixel, which
    is a phase between the FFTs along kx and ky. Without rests the rolled bands are sets of `soft_sense`: all bands of
    a coil are added before its one FFT.
    """

    host = False

    def __init__(self, mps, mask=None, weights=None, *, caipi_shift=0):
        self.mps = mps = checked_maps(mps, 4)
        bands, coils, ny, nx = mps.shape
        super().__init__((coils, ny, nx), (bands, ny, nx))
        self.caipi_shift = shifts(caipi_shift, bands)
        pixels = [d * ny for d in self.caipi_shift]
        self.whole = [round(p) for p in pixels]
        rest = [p - w for p, w in zip(pixels, self.whole)]
        self.phase = None if max(map(abs, rest)) < 1e-9 else phases([r / ny for r in rest], ny, mps)
        self._sets = SoftSense(self._rolled(mps, -1), mask, weights)
        self.weight = self._sets.weight

    def norm_bound(self):
        """That of the sets; with rests ||A||^2 <= the sum of the bands' largest energies."""
        return self._sets.norm_bound() if self.phase is None else self._bound

    @cached_property
    def _bound(self):
        energy = (self.mps.real**2 + self.mps.imag**2).sum(1)
        square = sum(band.max() for band in energy)
        return float(square) ** 0.5 * (1.0 if self.weight is None else float(self.weight.max()))

    def _rolled(self, x, sign):
        """Bands (band, ..., y, x) rolled by their whole pixels; itself where there is nothing to roll."""
        if not any(w % self.ishape[-2] for w in self.whole):
            return x
        xp = backend.namespace(x)
        return xp.stack([xp.roll(band, sign * w, -2) for band, w in zip(x, self.whole)])

    def _each(self, work):
        """`work(slice of coils)` over groups of coils, in order."""
        step = _COILS if isinstance(self.mps, np.ndarray) else max(1, self._sets._one.group // len(self.mps))
        groups = [slice(c, c + step) for c in range(0, self.mps.shape[1], step)]
        return backend.parallel(work, groups) if isinstance(self.mps, np.ndarray) else [work(g) for g in groups]

    def _apply(self, input):
        x = self._rolled(input, -1)
        if self.phase is None:
            return self._sets(x)
        out = backend.empty(self.oshape, x, backend.together(x, self.mps))

        def work(coils):
            t = 0
            for s, band, p in zip(self._sets.mps[:, coils], x, self.phase):
                t = t + p * _fft(s * band, (-2,))
            t = _fft(t, (-1,))
            out[coils] = t if self.weight is None else t * self.weight

        self._each(work)
        return out

    def _apply_adjoint(self, input):
        if self.phase is None:
            return self._rolled(self._sets.H(input), 1)

        def work(coils):
            y = _fft(input[coils] if self.weight is None else input[coils] * self.weight, (-1,), inverse=True)
            maps = self._sets.mps[:, coils]
            return backend.namespace(y).stack([
                (s.conj() * _fft(p.conj() * y, (-2,), inverse=True)).sum(0) for s, p in zip(maps, self.phase)])

        return self._rolled(sum(self._each(work)), 1)

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return self.H * self if self.phase is not None else SelfAdjoint(self.ishape, self._normal, "Sms.N")

    def _normal(self, x):
        return self._rolled(self._sets.N(self._rolled(x, -1)), 1)


def _fft(x, axes, *, inverse=False, centred=True):
    """`backend.fft` on one thread of the pool that it is called from."""
    if not isinstance(x, np.ndarray):
        return backend.fft(x, axes, inverse=inverse, centred=centred)
    import scipy.fft

    x = scipy.fft.ifftshift(x, axes=axes) if centred else x
    x = (scipy.fft.ifftn if inverse else scipy.fft.fftn)(x, axes=axes, norm="ortho", workers=1, overwrite_x=True)
    return scipy.fft.fftshift(x, axes=axes) if centred else x


def shifts(caipi_shift, bands: int) -> list[float]:
    """The shift of every band in fields of view: s * caipi_shift for a number, or the list itself, checked."""
    if isinstance(caipi_shift, tuple | list | np.ndarray):
        found = [_check.number("caipi_shift", d) for d in caipi_shift]
        if len(found) != bands:
            raise ValueError(f"caipi_shift has {len(found)} entries for {bands} bands: give one each, or one number")
        return found
    step = _check.number("caipi_shift", caipi_shift)
    return [s * step for s in range(bands)]


def phases(fractions, ny, like):
    """exp(2 pi i ky Delta_s), (band, ky, 1), of the kind and precision of `like`."""
    phase = np.exp(2j * np.pi * np.outer(fractions, np.arange(ny) - ny // 2))[:, :, None]
    return backend.like(phase.astype(dtype_name(like)), like)


def sms(mps: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None, *,
        caipi_shift: float | Sequence[float] = 0) -> Sms:
    """Simultaneous multi-slice encoding, y = M W^(1/2) sum_s P_s F S_s x_s: slices -> k-space of their sum.

    P_s = exp(2 pi i ky Delta_s), ky counted from the centre, is what gradient blips do to band s (blipped CAIPI): its
    image moves by Delta_s fields of view towards lower y, periodically. Bands that lie on different pixels are easier
    to tell apart by the coils. x has the bands in front as volumes have slices, so any prior takes it. Without `mask`
    the acceleration is the number of bands; with one in-plane acceleration comes on top. ||A||^2 is up to the number
    of bands for normalised maps.

    Args:
        mps: coil maps of every band (band, coil, ky, kx), complex; numpy, cupy or torch.
        mask: sampling, boolean or 0/1, (ky, kx), (ky, 1) or (1, kx), of all bands; None: all sampled.
        weights: real weights >= 0 of the squared residual, as in `sense`.
        caipi_shift: Delta between neighbouring bands as a fraction of the field of view, 1/2 or 1/3 for instance (band
            s moves by s times it; a phase cycle of 1/caipi_shift lines), or a list with one for each band. Need not
            be whole pixels. 0: no CAIPI.

    Returns:
        A `sigpy.linop.Linop` from (band, ky, kx) to (coil, ky, kx).

    Raises:
        TypeError, ValueError: as `sense`, or shifts that do not fit the bands.

    Reference:
        Setsompop et al., Magn Reson Med 67 (2012) 1210; Breuer et al., Magn Reson Med 53 (2005) 684.
    """
    return Sms(mps, mask, weights, caipi_shift=caipi_shift)
