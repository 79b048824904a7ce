"""The multi-coil encoding at any points of k-space."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import _axes, _check
from pisolve._check import array
from pisolve.backend.points import PointTransform, checked_coord
from pisolve.linops._maps import checked_maps, spread
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.base import Adjoint, Linop
from pisolve.linops.nufft import PointsNormal, accuracy, wanted


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

    def __init__(self, mps, coord, weights, eps, own: bool, tensor=None):
        d = self.ndim = coord.shape[-1]
        self.tensor = tensor
        self.mps, self.coord, self.eps, self.lead = mps, coord, accuracy(eps), tuple(mps.shape[:-1 - d])
        self.own = len(self.lead) if own else 0
        where = coord.shape[self.own:-1]
        self.root = None if weights is None else np.sqrt(weights)
        shape = mps.shape[-d:]
        self.points = {i: PointTransform(coord[i].reshape(-1, d), shape, self.eps)
                       for i in np.ndindex(coord.shape[:self.own])}
        super().__init__((*self.lead, mps.shape[-1 - d], *where), (*self.lead, *shape))

    @property
    def coil_axis(self):
        return self.own - self.coord.ndim

    @property
    def row_energy(self):
        """The mean of sum_c |S_c|^2 where it is not 0, times that of the weights."""
        energy = (abs(self.mps[(0,) * len(self.lead)]) ** 2).sum(0)
        weight = 1.0 if self.root is None else float((self.root[self.root > 0] ** 2).mean())
        return float(energy[energy > 0].mean()) * weight

    def _parts(self):
        """(index of a frame, its points, the roots of its weights (point,) or None)."""
        for i in np.ndindex(self.lead):
            own = i if self.own else ()
            yield i, self.points[own], None if self.root is None else self.root[own].reshape(-1)

    def _apply(self, input):
        out = np.empty(self.oshape, np.result_type(input, self.mps))
        for i, points, root in self._parts():
            data = out[i].reshape(out[i].shape[0], -1)
            points.forward(self.mps[i] * input[i], data)
            if root is not None:
                data *= root
        return out

    def _apply_adjoint(self, input):
        out = np.empty(self.ishape, np.result_type(input, self.mps))
        for i, points, root in self._parts():
            data = input[i].reshape(input[i].shape[0], -1)
            images = np.empty(self.mps[i].shape, out.dtype)
            points.backward(data if root is None else data * root, images)
            images *= self.mps[i].conj()
            images.sum(0, out=out[i])
        return out

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
        from pisolve.linops._nufft_torch import transform

        shape = self.mps.shape[-self.ndim:]
        if not self.own:
            return transform(x, self.tensor, shape, self.eps, adjoint)
        import torch

        parts = [transform(x[i], self.tensor[i], shape, self.eps, adjoint) for i in np.ndindex(self.lead)]
        return torch.stack(parts).reshape(*self.lead, *parts[0].shape)

    def _adjoint_linop(self):
        return Adjoint(self)

    def convolutions(self):
        """(P, maps (coil, *shape)) of each frame, as `NUFFT.convolutions`."""
        for i, points, root in self._parts():
            yield points.kernel(None if root is None else root**2), self.mps[i]

    def _normal_linop(self):
        return PointsNormal(self, _Normal(self))

    def weighted_normal(self, weights):
        """x -> A^H w A x for real w that broadcast to the points; None where only they change from frame to frame."""
        if weights.ndim >= self.coord.ndim:
            return None
        return _Normal(self, np.broadcast_to(weights, self.coord.shape[:-1]))


class _Normal:
    """A^H A, or A^H w A, frame by frame; frames that share maps and points share what is made of them."""

    def __init__(self, A: SensePoints, further=None):
        self.parts, made = [], {}
        shared = not any(A.mps.strides[:len(A.lead)])
        for i, points, root in A._parts():
            own = i if A.own else ()
            kernel = made.setdefault(own, None)
            if kernel is None:
                weights = None if root is None else root**2
                if further is not None:
                    weights = further[own].reshape(-1) * (1 if weights is None else weights)
                kernel = made[own] = points.kernel(weights)
            key = own, () if shared else i
            if key not in made:
                made[key] = Toeplitz(A.mps[i], kernel)
            self.parts.append(made[key])

    def __call__(self, x):
        images = x.reshape(len(self.parts), *x.shape[x.ndim - self.parts[0].ndim:])
        return np.stack([part(image) for part, image in zip(self.parts, images)]).reshape(x.shape)


def sense_points(mps, coord, weights=None, *, axes=None, shape=None, eps: float = 1e-6) -> SensePoints:
    """`sense` at points of k-space; see there."""
    mps = checked_maps(mps, None)
    if _check.is_cupy(mps):
        raise TypeError("mps is a cupy array: points anywhere in k-space are transformed on the CPU so far")
    if not _check.is_array(coord) or not coord.ndim or coord.shape[-1] not in (2, 3):
        turned = ": turn it, coord.T" if getattr(coord, "ndim", 0) == 2 and coord.shape[0] in (2, 3) else ""
        raise ValueError(f"coord {_check.brief(coord)} must be (..., 2) or (..., 3), the image's axes last{turned}")
    d = coord.shape[-1]
    if mps.ndim < d + 1:
        raise ValueError(f"mps has shape {tuple(mps.shape)}: {d} coordinates take (coil, {'z, ' * (d == 3)}y, x)")
    tensor, coord = wanted(coord), checked_coord(coord, mps.shape[-d:])
    names = None if axes is None else _axes.words("axes", axes)
    if names is not None and _axes.COIL not in names:
        raise ValueError(f"axes are {', '.join(names)}: one of them must be 'coil'")
    lead = mps.ndim - 1 - d if names is None else names.index(_axes.COIL)
    full = mps.shape[:-1 - d] if shape is None else tuple(_check.shape("shape", shape))[:lead]
    if len(full) != lead:
        raise ValueError(f"mps has shape {tuple(mps.shape)}, axes are {', '.join(names or ())}: give shape=..., that "
                         "of k-space, whose axes before the coils the maps have not")
    mps = spread(mps, (*full, *mps.shape[-1 - d:]), d)
    own = bool(full) and names is not None and coord.ndim == len(names)
    if names is not None and not own and coord.ndim != len(names) - lead:
        before = f", or with {', '.join(names[:lead])} before them" if lead else ""
        raise ValueError(f"coord has shape {coord.shape}, axes are {', '.join(names)}: give coordinates "
                         f"({', '.join((*names[lead + 1:], str(d)))}){before}")
    if own and coord.shape[:lead] != full:
        raise ValueError(f"coord has shape {coord.shape}, k-space {', '.join(names[:lead])} of {full}: they must agree")
    A = SensePoints(mps, coord, _weights(weights, coord.shape[:-1]), eps, own, tensor)
    if names is not None:
        A.oaxes = names
        A.iaxes = (*names[:lead], *tuple(_axes.ENCODED)[-d:])
    elif not lead:
        A.iaxes = tuple(_axes.ENCODED)[-d:]
    return A


def _weights(weights, shape):
    """Real weights >= 0 of the shape of the points, or None."""
    if weights is None:
        return None
    w = np.asarray(array("weights", weights, complex_=False))
    if w.dtype.kind == "c":
        raise TypeError("weights are complex: give real ones, >= 0")
    try:
        w = np.broadcast_to(w.astype(np.float64), shape)
    except ValueError:
        raise ValueError(f"weights have shape {w.shape}, the points {shape}: give one for each") from None
    if not (w >= 0).all() or not w.any():
        raise ValueError("weights must be >= 0, and not all zero")
    return w
