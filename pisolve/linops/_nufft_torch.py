"""`nufft` of torch tensors that is differentiable in the image and in the coordinates, any number of times."""

from __future__ import annotations

import math
from functools import cache

from pisolve.backend.points import PointTransform, checked_coord


@cache
def _function():
    """The autograd Function, defined on first use so that importing pisolve does not need torch."""
    import torch

    class Transform(torch.autograd.Function):
        """E x, or E^H y, with E[j, n] = prod(N)^(-1/2) exp(-2 pi i sum_a k_ja r_na / N_a), r = n - N // 2.

        With D_a = -2 pi i r_a / N_a: d(E x)_j / dk_ja = (E D_a x)_j, and d<g, E^H y> / dk_ja = conj((E D_a g)_j) y_j.
        """

        @staticmethod
        def forward(ctx, x, coord, shape, eps, adjoint):
            ctx.save_for_backward(x, coord)
            ctx.rest = shape, eps, adjoint
            points = PointTransform(checked_coord(coord, shape).reshape(-1, len(shape)), shape, eps)
            size = shape if adjoint else coord.shape[:-1]
            lead = x.shape[:x.ndim - (coord.ndim - 1 if adjoint else len(shape))]
            flat = x.detach().resolve_conj().reshape(math.prod(lead), -1).numpy()
            out = torch.empty((len(flat), math.prod(size)), dtype=x.dtype)
            if adjoint:
                points.backward(flat, out.numpy().reshape(-1, *shape))
            else:
                points.forward(flat.reshape(-1, *shape), out.numpy())
            return out.reshape(*lead, *size)

        @staticmethod
        def backward(ctx, g):
            x, coord = ctx.saved_tensors
            shape, eps, adjoint = ctx.rest
            to_x = Transform.apply(g, coord, shape, eps, not adjoint) if ctx.needs_input_grad[0] else None
            if not ctx.needs_input_grad[1]:
                return to_x, None, None, None, None
            image, data = (g, x) if adjoint else (x, g)
            slopes = []
            for a, n in enumerate(shape):
                r = (torch.arange(n, dtype=coord.dtype) - n // 2).reshape(-1, *[1] * (len(shape) - 1 - a))
                moved = Transform.apply(-2j * math.pi / n * r * image, coord, shape, eps, False)
                slope = (moved.conj() * data).real
                slopes.append(slope.reshape(-1, *coord.shape[:-1]).sum(0).to(coord.dtype))
            return to_x, torch.stack(slopes, -1), None, None, None

    return Transform


def transform(x, coord, shape, eps: float, adjoint: bool):
    """E x for the images x (..., *shape), or E^H y of data (..., points), with the coordinates as they are now."""
    return _function().apply(x, coord, shape, eps, adjoint)
