"""Which operator the multi-coil encoding at points of k-space is: of points alone, or of a stack."""

from __future__ import annotations

from pisolve import _axes, _check, backend
from pisolve.backend.points import axes_of, checked_coord
from pisolve.linops._maps import checked_maps, spread
from pisolve.linops.nufft import wanted
from pisolve.linops.sense_points import SensePoints, weighted
from pisolve.linops.sense_stack import SenseStack


def sense_points(mps, coord, weights=None, *, axes=None, shape=None, eps: float = 1e-6) -> SensePoints:
    """`sense` at points of k-space; see there."""
    mps = checked_maps(mps, None)
    mps = backend.to_numpy(mps) if _check.is_torch(mps) else mps
    if _check.is_cupy(mps):
        raise TypeError("mps is a cupy array: points anywhere in k-space are transformed on the CPU so far")
    p = axes_of(coord, (2, 3))
    names = None if axes is None else _axes.words("axes", axes)
    if names is not None and _axes.COIL not in names:
        raise ValueError(f"axes are {', '.join(names)}: one of them must be 'coil'")
    stack = names is not None and p == 2 and names[names.index(_axes.COIL) + 1:][:1] == ("kz",)
    d = p + stack
    if mps.ndim < d + 1:
        raise ValueError(f"mps has shape {tuple(mps.shape)}: {p} coordinates{' and kz' * stack} take (coil, "
                         f"{'z, ' * (d == 3)}y, x)")
    tensor, coord = wanted(coord), checked_coord(coord, mps.shape[-p:])
    lead = mps.ndim - 1 - d if names is None else names.index(_axes.COIL)
    full = mps.shape[:-1 - d] if shape is None else tuple(_check.shape("shape", shape))[:lead]
    if len(full) != lead:
        raise ValueError(f"mps has shape {tuple(mps.shape)}, axes are {', '.join(names or ())}: give shape=..., that "
                         "of k-space, whose axes before the coils the maps have not")
    mps = spread(mps, (*full, *mps.shape[-1 - d:]), d)
    where = coord.ndim - 1 if names is None else len(names) - 1 - lead  # axes of the points of a frame, with kz
    if stack and coord.ndim == where:  # the same in all partitions
        coord, tensor = coord[None], None if tensor is None else tensor[None]
    own = bool(full) and names is not None and coord.ndim == len(names)
    if names is not None and not own and coord.ndim != where + 1:
        before = f", or with {', '.join(names[:lead])} before them" if lead else ""
        raise ValueError(f"coord has shape {coord.shape}, axes are {', '.join(names)}: give coordinates "
                         f"({', '.join((*names[lead + 1:], str(p)))}){before}")
    if own and coord.shape[:lead] != full:
        raise ValueError(f"coord has shape {coord.shape}, k-space {', '.join(names[:lead])} of {full}: they must agree")
    if stack and coord.shape[-where - 1] not in (1, mps.shape[-3]):
        raise ValueError(f"coord has shape {coord.shape}, and there are {mps.shape[-3]} partitions (kz): give them "
                         "coordinates of their own, or one (shot, sample, 2) for all")
    A = weighted(SenseStack if stack else SensePoints, mps, coord, weights, eps, own, tensor)
    if names is not None:
        A.oaxes = names
        A.iaxes = (*names[:lead], *tuple(_axes.ENCODED)[-d:])
    elif not lead:
        A.iaxes = tuple(_axes.ENCODED)[-d:]
    return A
