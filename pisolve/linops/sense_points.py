"""The multi-coil encoding at any points of k-space."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import _check, backend
from pisolve._check import array
from pisolve.backend.points import PointTransform
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.base import Adjoint, Linop
from pisolve.linops.nufft import PointsNormal, accuracy

GROUP = 1 << 21  # pixels of the coil images that A^H holds at a time


class SensePoints(Linop):
    """The class behind `sense` with `coord`.

    Attributes:
        ndim: 2 or 3, the number of encoded axes.
        mps: the maps, (..., coil, [z,] y, x).
        coord: (..., point axes, axis), with the axes before the coils where each frame has points of its own.
        root: square root of the weights, of the shape of `coord` without its last axis, or None.
        eps: relative accuracy.
        tensor: the coordinates as a torch tensor that gets a gradient, or None.
    """

    stacked = False  # whether kz is an axis of the grid

    def __init__(self, mps, coord, weights, eps, own: bool, tensor=None):
        self._keep(mps, coord, weights, eps, own, coord.shape[-1], tensor)
        self._points(mps.shape[-self.ndim:], self.own)
        self._sized(coord.shape[self.own:-1])

    def _keep(self, mps, coord, weights, eps, own, ndim, tensor):
        self.ndim, self.mps, self.coord, self.eps, self.tensor = ndim, mps, coord, accuracy(eps), tensor
        self.lead = tuple(mps.shape[:-1 - ndim])
        self.own = len(self.lead) if own else 0
        self.root = None if weights is None else np.sqrt(weights)

    def _points(self, shape, axes):
        """A transform for each of the first `axes` axes of `coord`."""
        self.points = {i: PointTransform(self.coord[i].reshape(-1, len(shape)), shape, self.eps)
                       for i in np.ndindex(self.coord.shape[:axes])}

    def _sized(self, where):
        shape = self.mps.shape[-self.ndim:]
        super().__init__((*self.lead, self.mps.shape[-1 - self.ndim], *where), (*self.lead, *shape))

    def reweighted(self, factor):
        """The same operator with its weights times `factor`, an array that broadcasts to data without coils."""
        weights = factor if self.root is None else factor * self.root**2
        A = weighted(type(self), self.mps, self.coord, weights, self.eps, bool(self.own), self.tensor)
        A.iaxes, A.oaxes = self.iaxes, self.oaxes
        return A

    @property
    def coil_axis(self):
        return self.own - self.coord.ndim

    @property
    def row_energy(self):
        """The mean of sum_c |S_c|^2 where it is not 0, times that of the weights."""
        energy = (abs(self.mps[(0,) * len(self.lead)]) ** 2).sum(0)
        weight = 1.0 if self.root is None else float((self.root[self.root > 0] ** 2).mean())
        return float(energy[energy > 0].mean()) * weight

    def _frames(self):
        """(index of a frame, that of its points, the roots of its weights or None)."""
        for i in np.ndindex(self.lead):
            own = i if self.own else ()
            yield i, own, None if self.root is None else self.root[own]

    def _parts(self):
        """(index of a frame, its points, the roots of its weights (point,) or None)."""
        for i, own, root in self._frames():
            yield i, self.points[own], None if root is None else root.reshape(-1)

    def _apply(self, input):
        return self.forward(np.empty(self.oshape, np.result_type(input, self.mps)),
                            lambda i: _Coils(self.mps[i], input[i]))

    def forward(self, out, coil_images):
        """out <- the samples of the images (coil, y, x) that `coil_images(i)` gives of frame i, weighted."""
        for i, points, root in self._parts():
            data = out[i].reshape(out[i].shape[0], -1)
            points.forward(coil_images(i), data)
            if root is not None:
                data *= root
        return out

    def _apply_adjoint(self, input):
        out = np.empty(self.ishape, np.result_type(input, self.mps))
        for i, points, data in self.weighted_samples(input):
            self._gathered(points, data, self.mps[i], out[i])
        return out

    def weighted_samples(self, input):
        """(index of a frame, its points, its samples (coil, point) times the roots of their weights)."""
        for i, points, root in self._parts():
            data = input[i].reshape(input[i].shape[0], -1)
            yield i, points, data if root is None else _Coils(data, root)

    @staticmethod
    def _gathered(points, data, mps, out):
        """out <- sum_c conj(S_c) F^H data[c], a few coils at a time, added in their order."""
        out[...] = 0
        images = np.empty((max(1, min(len(mps), GROUP // out.size)), *out.shape), out.dtype)
        for c in range(0, len(mps), len(images)):
            some = images[:len(mps) - c]
            points.backward(data[c:c + len(some)], some)
            for image, s in zip(some, mps[c:]):
                image *= s.conj()
                out += image

    def of_tensor(self, x, adjoint: bool = False):
        """A x or A^H x of a torch tensor where the coordinates want a gradient, too; None where they do not."""
        if self.tensor is None:
            return None
        s, root = self._tensors
        s = s.to(x.dtype)
        if not adjoint:
            out = self._transformed(s * x.unsqueeze(-1 - self.ndim), False)
            return out if root is None else out * root.to(x.real.dtype)
        images = self._transformed(x if root is None else x * root.to(x.real.dtype), True)
        return (s.conj() * images).sum(-1 - self.ndim)

    @cached_property
    def _tensors(self):
        """The maps, and the roots of the weights with an axis for the coils, as torch tensors."""
        import torch

        root = None if self.root is None else torch.from_numpy(np.expand_dims(self.root, self.own).copy())
        return torch.from_numpy(np.array(self.mps)), root

    def _transformed(self, x, adjoint):
        """F x, or F^H x, of coil images (..., coil, *shape) or data (..., coil, points), frame by frame."""
        if not self.own:
            return self._at(self.tensor, x, adjoint)
        import torch

        parts = [self._at(self.tensor[i], x[i], adjoint) for i in np.ndindex(self.lead)]
        return torch.stack(parts).reshape(*self.lead, *parts[0].shape)

    def _at(self, coord, x, adjoint):
        """`_transformed` of frames with the same coordinates, a tensor."""
        from pisolve.linops._nufft_torch import transform

        return transform(x, coord, self.mps.shape[-self.ndim:], self.eps, adjoint)

    def _adjoint_linop(self):
        return Adjoint(self)

    def convolutions(self):
        """(P, maps (coil, *shape)) of each frame, as `NUFFT.convolutions`."""
        for i, _, kernel in self.kernels(dtype=np.complex128):
            yield kernel, self.mps[i]

    def _normal_linop(self):
        return PointsNormal(self, self._weighed())

    def weighted_normal(self, weights):
        """x -> A^H w A x for real w that broadcast to the points; None where only they change from frame to frame."""
        if weights.ndim >= self.coord.ndim:
            return None
        where = np.broadcast_shapes(weights.shape, self.coord.shape[:-1])  # of a stack, 1 along kz where all are alike
        return self._weighed(np.broadcast_to(weights, where))

    def _weighed(self, further=None):
        """A^H A, or A^H w A of further weights w, as a function."""
        return _Normal(self, further)

    def kernels(self, further=None, dtype=None):
        """(index of a frame, that of its points, the P of `PointTransform.kernel`), P made once for shared points.

        `dtype` of the lags; None: that of the maps.
        """
        made = {}
        for i, points, root in self._parts():
            own = i if self.own else ()
            if own not in made:
                weights = None if root is None else root**2
                if further is not None:
                    weights = further[own].reshape(-1) * (1 if weights is None else weights)
                made[own] = points.kernel(weights, dtype or self.mps.dtype)
            yield i, own, made[own]


class _Coils:
    """arrays[c] * factor, made when it is asked for."""

    def __init__(self, arrays, factor):
        self.arrays, self.factor = arrays, factor

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, c):
        return _Coils(self.arrays[c], self.factor) if isinstance(c, slice) else self.arrays[c] * self.factor


class _Normal:
    """A^H A, or A^H w A, frame by frame; frames that share maps and points share what is made of them."""

    def __init__(self, A: SensePoints, further=None):
        self.parts, made = [], {}
        shared = not any(A.mps.strides[:len(A.lead)])
        for i, own, kernel in A.kernels(further):
            key = own, () if shared else i
            if key not in made:
                made[key] = Toeplitz(A.mps[i], kernel)
            self.parts.append(made[key])

    def __call__(self, x):
        images = x.reshape(len(self.parts), *x.shape[x.ndim - self.parts[0].ndim:])
        return np.stack([part(image) for part, image in zip(self.parts, images)]).reshape(x.shape)


def weighted(kind, mps, coord, weights, eps, own: bool, tensor=None) -> SensePoints:
    """An operator of this kind with weights that are checked, and coordinates for each frame where these differ."""
    d = coord.shape[-1] + kind.stacked
    lead = tuple(mps.shape[:-1 - d])
    where = coord.ndim - 1 - (len(lead) if own else 0)
    weights = _weights(weights, coord, lead, where, own, mps.shape[-3] if kind.stacked else None)
    if weights is not None and weights.ndim > where and not own:
        coord, own = np.broadcast_to(coord, (*lead, *coord.shape)), True
        tensor = None if tensor is None else tensor.expand(coord.shape)
    return kind(mps, coord, weights, eps, own, tensor)


def _weights(weights, coord, lead, where, own, partitions):
    """Real weights >= 0 that broadcast to data without coils: of points, or of frames, too; None: all are 1.

    In a stack they have size 1 along kz where partitions weigh the same.
    """
    if weights is None:
        return None
    w = _check.weights("weights", np.asarray(backend.to_numpy(array("weights", weights, complex_=False))))
    shape = coord.shape[-1 - where:-1]
    shape = shape if partitions is None else (partitions, *shape[1:])
    frames = w.ndim > where and (own or any(n > 1 for n in w.shape[:-where]))
    w = w if frames else w.reshape(w.shape[-where:])
    try:
        w = np.broadcast_to(w.astype(np.float64), (*lead, *shape) if frames or own else shape)
    except ValueError:
        raise ValueError(f"weights have shape {w.shape}, the points {shape}: give one for each") from None
    if (w == 1).all():
        return None
    if partitions is not None:
        first = w[(..., slice(1), *(slice(None),) * (where - 1))]
        w = first if (w == first).all() else w
    return w
