"""Filling missing samples of k-space from measured neighbours, as a linear operator with its adjoint."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.backend import is_torch, like, namespace, one_blas_thread, parallel
from pisolve.linops.base import Adjoint, Linop

CHUNK = 1 << 17  # samples that a thread gathers at a time: 1 MB in single precision, what a core's cache takes
SMALL = 1 << 14  # samples of k-space that are filled sooner than BLAS is told to keep to one thread


class Grappa(Linop):
    """The class behind `grappa`."""

    def __init__(self, weights, shape):
        shape = _check.shape("shape", shape)
        weights.check("shape", shape)
        self.weights = weights
        super().__init__(shape, shape)

    def _apply(self, input):
        return fill(input, self.weights.mask, self.weights.terms)

    def _apply_adjoint(self, input):
        return fill_adjoint(input, self.weights.mask, self.weights.terms)

    def _adjoint_linop(self):
        return Adjoint(self)


def grappa(weights, shape) -> Grappa:
    """W: undersampled k-space -> k-space filled by GRAPPA; measured samples pass, what is not measured is not read.

    Args:
        weights: from `calib.grappa`.
        shape: shape (..., coil, ky, kx) of the k-space.

    Raises:
        ValueError: a shape that the weights are not for.
    """
    return Grappa(weights, shape)


def fill(x, mask, terms):
    """M x, and at the holes of each term (W, holes, displacements) W times the samples around them.

    Args:
        x: (..., coil, ky, kx) numpy, cupy or torch.
        mask: numpy bool (ky, kx).
        terms: W (coil, coil * n), flat indices of the holes, flat displacements (n,) of the samples.
    """
    x, out, frames = _frames(x, mask)
    if not isinstance(x, np.ndarray):
        for source, target in frames:
            for W, holes, at in terms:
                samples = source[:, like((holes + at[:, None]).ravel(), x)].reshape(W.shape[1], -1)
                target[:, like(holes, x)] = like(W.astype(_check.dtype_name(x)), x) @ samples
        return out

    def work(item):
        (source, target), W, holes, at = item
        samples = np.take(source, (holes + at[:, None]).ravel(), axis=1, mode="clip")  # "clip": no copy for checking
        target[:, holes] = W @ samples.reshape(W.shape[1], -1)

    terms = [(W.astype(x.dtype, copy=False), holes[i:i + step], at) for W, holes, at in terms
             for step in [max(1, CHUNK // W.shape[1])] for i in range(0, len(holes), step)]
    _each(work, [(frame, *term) for frame in frames for term in terms], x)
    return out


def fill_adjoint(y, mask, terms):
    """The adjoint of `fill`: M y, and W^H of the holes added to the samples that they were filled from."""
    y, out, frames = _frames(y, mask)
    name = _check.dtype_name(y)
    for source, target in frames:
        parts = [(W.astype(name).conj().T.reshape(len(W), -1, len(W)), source[:, like(holes, y)], holes, at)
                 for W, holes, at in terms]

        def work(coil, parts=parts, target=target):
            for W, values, holes, at in parts:
                for back, shift in zip(like(W[coil], y) @ values, at):  # the samples of one displacement are distinct
                    target[coil, like(holes + shift, y)] += back

        _each(work, range(len(target)), y)
    return out


def _each(work, items, x):
    """`work` for each item, on the library's threads where `x` is a numpy array that is worth them."""
    if isinstance(x, np.ndarray) and x.size >= SMALL:
        with one_blas_thread():
            parallel(work, items)
    else:
        for item in items:
            work(item)


def _frames(x, mask):
    """`x` in C order, M x, and the (coil, sample) views of both for each frame."""
    x = x.contiguous() if is_torch(x) else namespace(x).ascontiguousarray(x)  # else reshape copies, and so does x * M
    out = x * like(mask, x)
    flat = [a.reshape(-1, x.shape[-3], x.shape[-2] * x.shape[-1]) for a in (x, out)]
    return x, out, [(flat[0][i], flat[1][i]) for i in range(len(flat[0]))]
