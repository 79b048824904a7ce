"""The multi-coil encoding of stacks: points of k-space in planes, and an FFT from plane to plane."""

from __future__ import annotations

import numpy as np

from pisolve import backend
from pisolve.linops._nufft_torch import transform
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.sense_points import SensePoints


class SenseStack(SensePoints):
    """The class behind `sense` with `coord` for (y, x) and an axis "kz": F = P F_z, P the transforms of each partition.

    F_z^H F_z = I, so that where all partitions were sampled alike A^H A takes every plane z by itself, a convolution
    in (y, x); else it goes to kz and back, one coil at a time. A 3-D Toeplitz kernel has four times the points.

    Attributes:
        ndim: 3.
        mps: the maps, (..., coil, z, y, x).
        coord: (..., kz, point axes, 2), of size 1 along kz where partitions are alike.
        root: square root of the weights, (..., kz, point axes), of size 1 where they are alike along kz; or None.
        alike: whether all partitions were sampled alike, weights included.
    """

    stacked = True

    def __init__(self, mps, coord, weights, eps, own: bool, tensor=None):
        self._keep(mps, coord, weights, eps, own, 3, tensor)
        self.partitions = mps.shape[-3]
        at = self.own
        self.alike = coord.shape[at] == 1 and (self.root is None or self.root.shape[at] == 1)
        self._points(mps.shape[-2:], at + 1)
        self._sized((self.partitions, *coord.shape[at + 1:-1]))

    def _planes(self, own):
        """(partitions, the transform of their points): all of them at once where they are alike."""
        if self.coord.shape[self.own] == 1:
            return [(slice(None), self.points[(*own, 0)])]
        return [(z, self.points[(*own, z)]) for z in range(self.partitions)]

    def _apply(self, input):
        out = np.empty(self.oshape, np.result_type(input, self.mps))
        for i, own, root in self._frames():
            images = backend.fft(self.mps[i] * input[i], (-3,))
            data = out[i].reshape(*out[i].shape[:2], -1)
            for z, points in self._planes(own):
                planes, samples = images[:, z], data[:, z]
                points.forward(planes.reshape(-1, *planes.shape[-2:]), samples.reshape(-1, samples.shape[-1]))
            if root is not None:
                data *= root.reshape(len(root), -1)
        return out

    def _apply_adjoint(self, input):
        out = np.empty(self.ishape, np.result_type(input, self.mps))
        for i, own, root in self._frames():
            data = input[i].reshape(*input[i].shape[:2], -1)
            data = data if root is None else data * root.reshape(len(root), -1)
            images = np.empty(self.mps[i].shape, out.dtype)
            for z, points in self._planes(own):
                planes, samples = images[:, z], data[:, z]
                points.backward(samples.reshape(-1, samples.shape[-1]), planes.reshape(-1, *planes.shape[-2:]))
            images = backend.fft(images, (-3,), inverse=True)
            images *= self.mps[i].conj()
            images.sum(0, out=out[i])
        return out

    def _at(self, coord, x, adjoint):
        import torch

        images, data, shape = -3, 1 - coord.ndim, self.mps.shape[-2:]  # where z is, and kz
        x = x if adjoint else backend.fft(x, (images,))
        if len(coord) == 1:
            out = transform(x, coord[0], shape, self.eps, adjoint)
        else:
            there, then = (data, images) if adjoint else (images, data)
            planes = zip(x.unbind(there), coord)
            out = torch.stack([transform(plane, k, shape, self.eps, adjoint) for plane, k in planes], then)
        return backend.fft(out, (images,), inverse=True) if adjoint else out

    def convolutions(self):
        """(P, maps (coil, *shape)) of each frame, as `NUFFT.convolutions`; along z on the grid itself."""
        for i, own, root in self._frames():
            kernels = _kernels(self, own, root, None, self.partitions)
            yield _origin_first(kernels), self.mps[i]

    def _weighed(self, further=None):
        return _Normal(self, further)


class _Normal:
    """A^H A, or A^H w A, frame by frame; frames that share maps and points share what is made of them."""

    def __init__(self, A: SenseStack, further):
        self.parts, made = [], {}
        shared = not any(A.mps.strides[:len(A.lead)])
        alike = A.alike and (further is None or further.shape[A.own] == 1)
        for i, own, root in A._frames():
            if own not in made:
                made[own] = _kernels(A, own, root, further, 1 if alike else A.partitions)
            key = own, () if shared else i
            if key not in made:
                made[key] = (_Planes if alike else _partitions)(A.mps[i], made[own])
            self.parts.append(made[key])

    def __call__(self, x):
        volumes = x.reshape(len(self.parts), *x.shape[-3:])
        return np.stack([part(volume) for part, volume in zip(self.parts, volumes)]).reshape(x.shape)


def _kernels(A, own, root, further, count):
    """The kernels of the first `count` partitions; None where the weights, those of A and further ones, are all 0."""
    factors = [w for w in (None if root is None else root**2, None if further is None else further[own])
               if w is not None]
    made = []
    for z in range(count):
        here = [w[min(z, len(w) - 1)].reshape(-1) for w in factors]
        weights = np.prod(here, axis=0) if here else None
        points = A.points[(*own, z if A.coord.shape[A.own] > 1 else 0)]
        made.append(points.kernel(weights) if weights is None or weights.any() else None)
    return made


class _Planes:
    """Every plane z by itself."""

    def __init__(self, mps, kernels):
        self.planes = [Toeplitz(np.ascontiguousarray(mps[:, z]), kernels[0]) for z in range(mps.shape[1])]

    def __call__(self, x):
        return np.stack([plane(image) for plane, image in zip(self.planes, x)])


def _partitions(mps, kernels):
    """To kz, where every partition has a kernel of its own, and back."""
    return Toeplitz(mps, _origin_first(kernels).astype(mps.real.dtype))


def _origin_first(kernels):
    """Kernels (kz, y, x) of partitions in their order, 0 for None, with the origin first along kz, too."""
    some = next(k for k in kernels if k is not None)
    return np.fft.ifftshift(np.stack([np.zeros_like(some) if k is None else k for k in kernels]), axes=0)
