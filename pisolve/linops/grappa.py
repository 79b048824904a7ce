"""Filling missing samples of k-space from measured neighbours, as a linear operator with its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend import Constant, is_torch, like, namespace, one_blas_thread, parallel
from pisolve.linops.base import Adjoint, Linop

CHUNK = 1 << 17  # samples that a thread gathers at a time: 1 MB in single precision, what a core's cache takes
SMALL = 1 << 14  # samples of k-space that are filled sooner than BLAS is told to keep to one thread


class Grappa(Linop):
    """The class behind `grappa`."""

    host = False

    weights: Any

    def __init__(self, weights: Any, shape: Sequence[int]):
        shape = _check.shape("shape", shape)
        weights.check("shape", shape)
        self.weights, self._mask = weights, Constant(weights.mask)
        super().__init__(shape, shape)

    def _apply(self, input):
        return fill(input, self._mask, self.weights.terms)

    def _apply_adjoint(self, input):
        return fill_adjoint(input, self._mask, self.weights.terms)

    def _adjoint_linop(self):
        return Adjoint(self)


def grappa(weights: Any, shape: Sequence[int]) -> Grappa:
    """W: undersampled k-space -> k-space filled by GRAPPA; measured samples pass, what is not measured is not read.

    Args:
        weights: from `calib.grappa`.
        shape: shape (..., coil, ky, kx) of the k-space.

    Raises:
        ValueError: a shape that the weights are not for.
    """
    return Grappa(weights, shape)


class Term:
    """The weights of one geometry: W (coil, coil * n), flat indices of its holes, flat displacements of its samples."""

    def __init__(self, W: Any, holes: Any, at: Any):
        self.parts = W, holes, at
        self._constants = None

    def __iter__(self):
        return iter(self.parts)

    def on(self, x: ArrayLike):
        """W, the holes and the samples' indices (n, hole) as arrays of the kind and on the device of `x`."""
        if self._constants is None:
            W, holes, at = self.parts
            self._constants = [Constant(a) for a in (W, holes, holes + at[:, None])]
        W, holes, at = self._constants
        return W.like(x, _check.dtype_name(x)), holes.like(x), at.like(x)


def fill(x: ArrayLike, mask: Any, terms: Any):
    """M x, and at the holes of each term (W, holes, displacements) W times the samples around them.

    Args:
        x: (..., coil, ky, kx) numpy, cupy or torch.
        mask: bool (ky, kx), numpy or a `Constant`.
        terms: a `Term` of each geometry.
    """
    x, out, frames = _frames(x, mask)
    if not isinstance(x, np.ndarray):
        for source, target in frames:
            for W, holes, at in (term.on(x) for term in terms):
                target[:, holes] = W @ source[:, at.ravel()].reshape(W.shape[1], -1)
        return out

    def work(item):
        (source, target), W, holes, at = item
        samples = np.take(source, (holes + at[:, None]).ravel(), axis=1, mode="clip")  # "clip": no copy for checking
        target[:, holes] = W @ samples.reshape(W.shape[1], -1)

    terms = [(W.astype(x.dtype, copy=False), holes[i:i + step], at) for W, holes, at in terms
             for step in [max(1, CHUNK // W.shape[1])] for i in range(0, len(holes), step)]
    _each(work, [(frame, *term) for frame in frames for term in terms], x)
    return out


def fill_adjoint(y: ArrayLike, mask: Any, terms: Any):
    """The adjoint of `fill`: M y, and W^H of the holes added to the samples that they were filled from."""
    y, out, frames = _frames(y, mask)
    name = _check.dtype_name(y)
    if not isinstance(y, np.ndarray):
        for source, target in frames:
            for W, holes, at in (term.on(y) for term in terms):
                back = (W.conj().T @ source[:, holes]).reshape(len(W), len(at), -1)
                for k, samples in enumerate(at):  # those of one displacement are distinct
                    target[:, samples] += back[:, k]
        return out
    for source, target in frames:
        parts = [(W.astype(name).conj().T.reshape(len(W), -1, len(W)), source[:, holes], holes, at)
                 for W, holes, at in terms]

        def work(coil, parts=parts, target=target):
            for W, values, holes, at in parts:
                for back, shift in zip(W[coil] @ values, at):  # the samples of one displacement are distinct
                    target[coil, holes + shift] += back

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
    out = x * (mask.like(x) if isinstance(mask, Constant) else like(mask, x))
    flat = [a.reshape(-1, x.shape[-3], x.shape[-2] * x.shape[-1]) for a in (x, out)]
    return x, out, [(flat[0][i], flat[1][i]) for i in range(len(flat[0]))]
