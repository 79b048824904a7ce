"""Off-resonance: spins whose frequency is off turn on while k-space is read out."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike
from pisolve.backend.phases import Segments, checked_field, checked_times
from pisolve.linops.autograd import apply
from pisolve.linops.base import Adjoint, Linop
from pisolve.linops.nufft import PointsNormal

_SHARE = 1e-3  # of the largest root sum of squares of the maps: where they are less, no pixel counts


class OffResonance(Linop):
    """The class behind `off_resonance`.

    Attributes:
        A: the encoding without it.
        field_map, times: in Hz and s, broadcasting to the image and to the samples without coils.
        segments, error: how many terms A x has, and the largest error of a phase factor.
        normal_segments, normal_error: the same of A^H A.
        mps, ndim, coord: those of `A`, None where it has none.
    """

    def __init__(self, A, field_map, times, accuracy, segments=None):
        self.A, self.accuracy = A, accuracy
        self.coil_axis, self.iaxes, self.oaxes = (getattr(A, n, None) for n in ("coil_axis", "iaxes", "oaxes"))
        self.mps, self.ndim, self.coord, self.tensor = (getattr(A, n, None) for n in ("mps", "ndim", "coord", "tensor"))
        samples = list(A.oshape)
        if self.coil_axis is not None:
            del samples[self.coil_axis]
        self.field_map = checked_field(field_map, tuple(A.ishape))
        self.times = checked_times(times, tuple(samples), increasing=self.coord is not None)
        self._given, self.host = segments, getattr(A, "host", True)
        self._range = float(self.times.min()), float(self.times.max())
        self._chosen = Segments(self._seen, *self._range, accuracy=None if segments else accuracy, count=segments)
        self.segments, self.error, self._kept = len(self._chosen), self._chosen.error, {}
        text = f"OffResonance({self.segments} segments, error {self.error:.1e})"
        super().__init__(A.oshape, A.ishape, repr_str=text)

    @property
    def row_energy(self):
        """That of A: all phase factors have a modulus of 1."""
        return getattr(self.A, "row_energy", None)

    @cached_property
    def _seen(self):
        """The field of the pixels that the coils see."""
        if self.mps is None:
            return self.field_map.ravel()
        xp, coils = backend.namespace(self.mps), -1 - self.ndim
        energy = backend.to_numpy(xp.sqrt(sum(abs(s) ** 2 for s in xp.moveaxis(self.mps, coils, 0))))
        seen = energy > _SHARE * energy.max()
        spread = np.broadcast_to(self.field_map, tuple(self.A.ishape))
        return spread[np.broadcast_to(seen, spread.shape)] if seen.ndim <= spread.ndim else spread.ravel()

    def _of_samples(self, interpolators):
        """Functions of time (time, segment) as (segment, *times) that broadcast to the data, for unique times."""
        values = interpolators(self._unique[0])[self._unique[1]]
        return np.moveaxis(values.reshape(*self.times.shape, -1), -1, 0)

    @cached_property
    def _unique(self):
        values, number = np.unique(self.times, return_inverse=True)
        return values, number.reshape(-1)

    def with_coils(self, of_samples):
        """Arrays (segment, *times) as ones that broadcast to the data."""
        coils = self.coil_axis
        if coils is None or of_samples.ndim - 1 < -coils:
            return of_samples
        return np.expand_dims(of_samples, coils)

    def _terms(self, x):
        """(b_l, c_l) of each segment, of the kind and precision of x."""
        name = _check.dtype_name(x)
        if name not in self._kept:
            b = self.with_coils(self._of_samples(self._chosen.interpolators)).astype(name)
            self._kept[name] = [tuple(map(backend.Constant, two)) for two in zip(
                b, self._chosen.factors(self.field_map).astype(name))]
        return [(b.like(x), c.like(x)) for b, c in self._kept[name]]

    def __getstate__(self):
        return self.__dict__ | {"_kept": {}}

    def _apply(self, input):
        return self._sum(input, lambda b, c: apply(self.A, c * input) * b)

    def _apply_adjoint(self, input):
        return self._sum(input, lambda b, c: apply(self.A.H, input * b.conj()) * c.conj())

    def _sum(self, x, term):
        out = None
        for b, c in self._terms(x):
            part = term(b, c)
            out = part if out is None else out.__iadd__(part)
        return out

    def of_tensor(self, x, adjoint: bool = False):
        if self.tensor is None:
            return None
        terms = [[backend.to_torch(a) for a in two] for two in self._terms(backend.from_torch(x.detach()))]
        if adjoint:
            return sum(c.conj() * apply(self.A.H, b.conj() * x) for b, c in terms)
        return sum(b * apply(self.A, c * x) for b, c in terms)

    def _adjoint_linop(self):
        return Adjoint(self)

    @cached_property
    def _differences(self):
        return Segments(self._seen, *self._range, accuracy=max(self.error, 1e-13) if self._given else self.accuracy,
                        differences=True)

    @property
    def normal_segments(self) -> int:
        """How many convolutions, or pairs of transforms, A^H A takes."""
        return len(self._differences)

    @property
    def normal_error(self) -> float:
        """The largest error of a phase factor of A^H A."""
        return self._differences.error

    def _normal_linop(self):
        make = getattr(self.A, "weighted_normal", None)
        if make is None:
            return self.H * self
        parts = [make(w) for w in self._of_samples(self._differences.interpolators)]
        if None in parts:
            return self.H * self
        return PointsNormal(self, _Normal(self._differences.factors(self.field_map), parts))

    def around(self, B) -> OffResonance:
        """The same phases around another encoding of the same image at the same samples."""
        return OffResonance(B, self.field_map, self.times, self.accuracy, self._given)


class _Normal:
    """A^H A x = sum_l conj(c_l) A^H b_l A (c_l x), with real b_l(t) for all differences of the field."""

    def __init__(self, factors, parts):
        self.factors, self.parts, self._kept = factors, parts, {}

    def __getstate__(self):
        return self.__dict__ | {"_kept": {}}

    def __call__(self, x):
        name = _check.dtype_name(x)
        if name not in self._kept:
            self._kept[name] = [backend.Constant(c) for c in self.factors.astype(name)]
        out = None
        for constant, part in zip(self._kept[name], self.parts):
            c = constant.like(x)
            y = part(c * x)
            y *= c.conj()
            out = y if out is None else out.__iadd__(y)
        return out


def off_resonance(A: Any, field_map: ArrayLike, times: ArrayLike, *, accuracy: float = 1e-4,
                  segments: int | None = None) -> OffResonance:
    """The encoding A of an object whose spins are off resonance: y_j = sum_r A[j, r] exp(2 pi i f(r) t_j) x(r).

        exp(2 pi i f t) = sum_l b_l(t) exp(2 pi i f t_l),    A x -> sum_l b_l(t) . A (exp(2 pi i f t_l) . x)

    Few time segments t_l do, with interpolators b_l(t) that fit best, in the sense of least squares, over a histogram
    of the field. Their number follows from the accuracy: about the turns between the slowest and the fastest pixel,
    (max f - min f) (max t - min t), and a few more. `error` is the largest error of a phase factor of modulus 1, over
    all times and all frequencies in the image, and stands in `repr`.

    A^H A has phases of differences of the field, so `A.N` takes segments of its own, for twice the range, of the same
    accuracy: `normal_segments` times A^H A of the plain encoding, Toeplitz at points of k-space, and FFTs on a grid. An
    encoding that is not pisolve's `sense` or `nufft` takes A^H after A.

    Args:
        A: an encoding without off-resonance: `linops.nufft`, `sense` on a grid or with `coord`, `soft_sense`, or any
            linop from an image to samples.
        field_map: f in Hz, real, of the image's shape or that of its last axes. A positive f turns the phase forward,
            as `calib.field_map` finds it from echoes; of a map with the other sign take the negative.
        times: t of each sample in s since the excitation, or since any moment: then the phase of x is that of then.
            Shaped as the samples without coils, or as their last axes: (sample,), (shot, sample), (ky, 1), (ky, kx).
        accuracy: of a phase factor; 1e-4 is far below the noise.
        segments: how many, in place of the accuracy.

    Returns:
        A `sigpy.linop.Linop` with the shapes of `A`.

    Raises:
        TypeError, ValueError: a field or times that are not real, not finite, of another shape; times that are
            negative, out of order within a readout, or longer than two seconds.

    Reference:
        Noll et al., IEEE Trans Med Imaging 10 (1991) 629; Sutton, Noll, Fessler, IEEE Trans Med Imaging 22 (2003) 178;
        Fessler et al., IEEE Trans Signal Process 53 (2005) 3393 (A^H A).
    """
    _check.linop("A", A)
    segments = _check.integer("segments", segments, low=1, allow_none=True)
    return OffResonance(A, field_map, times, _check.number("accuracy", accuracy, low=1e-13, high=0.5), segments)
