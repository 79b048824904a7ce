"""Coil maps, masks and weights as operators keep them."""

from __future__ import annotations

import numpy as np

from pisolve import _check, backend
from pisolve._check import array, dtype_name, is_array, is_torch


def checked_maps(mps, ndim):
    """Coil maps, checked, as an operator keeps them: numpy's, cupy's, or a tensor where torch computes, on a GPU."""
    mps = array("mps", mps, ndim=ndim, nonzero=True)
    if is_torch(mps):
        if mps.requires_grad:
            raise TypeError("mps requires a gradient, which A does not give: mps.detach() where maps are fixed")
        mps = backend.from_torch(mps, mps if backend.native(mps) else None)
    _check.scale("mps", float(abs(mps).max()), dtype_name(mps), "divide them by their root sum of squares")
    return mps


def kspace_weight(mps, mask, weights, ndim):
    """mask * sqrt(weights) as a real array (slice?, ky or 1, kx or 1): size 1 along the axes it does not vary.

    All the axes before the coils are there, in full, or none of them.
    """
    weight = None
    for name, w in (("mask", mask), ("weights", weights)):
        if w is None:
            continue
        w = _fit(name, w, mps, ndim)
        if name == "weights":
            w = np.sqrt(w)
        weight = w if weight is None else weight * w
    if weight is None:
        return None
    for axis in range(-ndim, 0):
        first = weight[(..., slice(1), *(slice(None),) * (-1 - axis))]
        if bool((weight == first).all()):
            weight = first
    if weight.ndim > ndim:
        first = weight[(0,) * (weight.ndim - ndim)]
        same = bool((weight == first).all())
        weight = first if same else np.broadcast_to(weight, (*mps.shape[:-1 - ndim], *first.shape))
    return backend.like(np.ascontiguousarray(weight.astype(_check.real_name(mps))), mps)


def _fit(name, w, mps, ndim):
    """A real weight (ky, kx) or (slice, ky, kx), checked against the maps; size-1 axes are allowed."""
    if not is_array(w):
        raise TypeError(f"{name} must be an array, got {type(w).__name__}")
    w = backend.to_numpy(w)
    if name == "weights":
        w = _check.weights(name, w)
    elif w.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {w.dtype}: give a boolean mask or real weights >= 0")
    shape, full = tuple(w.shape), (*mps.shape[:-1 - ndim], *mps.shape[-ndim:])
    if w.ndim < ndim == 3:
        raise ValueError(f"{name} has shape {shape}: give (kz, ky, kx) = {full[-3:]}, with 1 where it does not change")
    if w.ndim < 2:
        raise ValueError(f"{name} has shape {shape}: give ({full[-2]}, 1) for ky lines or (1, {full[-1]}) for kx lines")
    inner = (slice(None),) * ndim
    if w.ndim == mps.ndim:  # (..., coil, ky, kx): the same for every coil
        if w.shape[-1 - ndim] > 1 and not bool((w == w[(..., slice(1), *inner)]).all()):
            raise ValueError(f"{name} differs between coils, which are sampled together: give ({full[-2]}, {full[-1]})")
        w = w[(..., 0, *inner)]
    if w.ndim > len(full) or any(n not in (1, m) for n, m in zip(w.shape[::-1], full[::-1])):
        raise ValueError(f"{name} has shape {shape}, which does not fit k-space of shape {tuple(mps.shape)}")
    if name == "mask" and not ((w == 0) | (w == 1)).all():
        raise ValueError("mask holds other values than 0 and 1: give weights=... for anything else")
    if name == "mask" and not w.any():
        raise ValueError("mask is zero everywhere: nothing is sampled")
    return np.asarray(w, dtype="float64")


def is_volume(mps, mask, weights) -> bool:
    """Whether maps of four axes are (coil, kz, ky, kx), since a mask of three fits these and no slices."""
    for w in (mask, weights):
        if mps.ndim == 4 and getattr(w, "ndim", 0) == 3:
            fits = [all(n in (1, m) for n, m in zip(w.shape, grid)) for grid in (
                (mps.shape[0], *mps.shape[2:]), mps.shape[1:])]
            if fits == [False, True]:
                return True
    return False


def spread(mps, shape, ndim):
    """Maps as those of every slice, frame, ... of k-space of this shape, without a copy; `ndim` axes and coils last."""
    if tuple(mps.shape) == tuple(shape):
        return mps
    inner = mps.shape[-1 - ndim:]
    lead = mps.shape[:-1 - ndim]
    full = shape[:-1 - ndim]
    lead = lead + (1,) * (len(full) - len(lead))  # those of slices, which come first, are the same in all frames
    if shape[-1 - ndim:] != tuple(inner) or any(n not in (1, m) for n, m in zip(lead, full)):
        raise ValueError(f"mps has shape {tuple(mps.shape)}, k-space {shape}: coils and size must agree")
    return backend.namespace(mps).broadcast_to(mps.reshape(*lead, *inner), shape)
