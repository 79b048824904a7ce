"""A signal model behind an encoding: linearised, and as maps that a solver may change."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, _check, backend
from pisolve.linops import Linop, SelfAdjoint
from pisolve.linops.base import Adjoint


class Linearised(Linop):
    """A J: changes of the maps to changes of k-space, J x = sum_p J_p x_p with J_p = d signal / d map (p, echo, ...).

    Its `iaxes` begin with "parameter".

    Args:
        A: the encoding of the frames.
        slopes: J_p.
        real: the maps from this one on are real: of what is given to them the real part counts, and J^H gives real
            ones. The operator is linear over real numbers then, adjoint under Re <x, y>, as solvers take it.
    """

    def __init__(self, A, slopes, real: int | None = None):
        self.A, self.slopes, self.real = A, slopes, len(slopes) if real is None else real
        self.coil_axis, self.oaxes = getattr(A, "coil_axis", None), getattr(A, "oaxes", None)
        super().__init__(A.oshape, (len(slopes), *A.ishape[1:]), repr_str="Linearised")
        names = _axes.of_linop(A)
        self.iaxes = None if None in names else ("parameter", *names[1:])

    def _apply(self, input):
        return self.A.apply(self.frames(input))

    def _really(self, x):
        """x with real maps where they are."""
        if self.real == len(self.slopes):
            return x
        return backend.namespace(x).concatenate([x[:self.real], x[self.real:].real.astype(x.dtype)])

    def frames(self, x):
        """J x."""
        return (self.slopes * self._really(x)[:, None]).sum(0)

    def maps(self, x):
        """J^H x."""
        return self._really((self.slopes.conj() * x).sum(1))

    def _apply_adjoint(self, input):
        return self.maps(self.A.H(input))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._normal, "Linearised.N")

    def _normal(self, x):
        return self.maps(self.A.N(self.frames(x)))


class Pixelwise:
    """x = (a, u_1, ...) to frames a signal(t, p(u)), for any `signals.Model`: a complex, u real.

    u is about 1 where a parameter changes much: (log p - middle) of a positive one, (p - middle) / `Parameter.size` of
    another. x is one complex array, for solvers and priors; of u the real part counts.

    Args:
        model: `signals.Model`.
        times: s.
        like: an array of the frames, (time, ...).
        middle: a value of each parameter, which u = 0 stands for.
    """

    real = 1

    def __init__(self, model, times, like, middle):
        self.model, self.times, self.shape = model, times, tuple(like.shape[1:])
        self.dtype = _check.dtype_name(like)
        parameters = model.parameters
        self.log = np.array([p.logarithmic for p in parameters])[:, None]
        self.size = np.array([p.size for p in parameters])[:, None]
        self.middle = self._bent(np.asarray(middle, float)[:, None])
        low, high = (np.array([[getattr(p, end)] for p in parameters], float) for end in ("low", "high"))
        self.low, self.high = self.inner(low), self.inner(high)

    def _bent(self, p):
        return np.where(self.log, np.log(np.where(self.log, p, 1)), p)

    def inner(self, p):
        """u of parameters (parameter, pixel)."""
        return (self._bent(p) - self.middle) / self.size

    def outer(self, u):
        """The parameters of u."""
        v = self.middle + self.size * u
        return np.where(self.log, np.exp(np.where(self.log, v, 0)), v)

    def slope_of(self, p):
        """d p / d u."""
        return np.where(self.log, p, 1) * self.size

    def parameters(self, x):
        """p (parameter, pixel) of x, on the CPU."""
        u = backend.to_numpy(x[1:].real).reshape(len(self.log), -1).astype(np.float64)
        return self.outer(np.clip(u, self.low, self.high))

    def start(self, amplitude, p, like):
        """x of an amplitude and parameters (parameter, ...), as an array of the kind of `like`."""
        u = np.clip(self.inner(p.reshape(len(p), -1)), self.low, self.high).reshape(len(p), *self.shape)
        return backend.like(np.concatenate([amplitude[None], u]).astype(self.dtype), like)

    def clipped(self, x):
        """x with u inside its range."""
        u = np.clip(backend.to_numpy(x[1:].real).reshape(len(self.log), -1), self.low, self.high)
        return backend.namespace(x).concatenate(
            [x[:1], backend.like(u.reshape(-1, *self.shape).astype(self.dtype), x)])

    def value(self, x):
        """The frames."""
        s = self.model.value(self.times, self.parameters(x))
        return x[0] * self._as(s.reshape(-1, *self.shape), x)

    def slopes(self, x):
        """(d / d a, d / d u_1, ...), each (time, ...)."""
        p = self.parameters(x)
        s, d = self.model.both(self.times, p)
        d = (d * self.slope_of(p)[:, None]).reshape(len(p), -1, *self.shape)
        xp = backend.namespace(x)
        first = self._as(s.reshape(1, -1, *self.shape), x)
        return xp.concatenate([first, x[0] * self._as(d, x)])

    def _as(self, array, x):
        return backend.like(np.ascontiguousarray(array).astype(self.dtype), x)
