"""A scan taken apart into problems of their own, and their images put together again."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.backend import fft
from pisolve.scan.grid import shortened, squeezed


def check_each(each) -> tuple[str, ...]:
    """The names of `each` as a tuple: () for none."""
    return () if each is None or each in ((), []) else _axes.words("each", each)


def apart(scan, each) -> tuple[str, ...]:
    """The axes of the scan that `each` names, in the order of its own axes; an image axis stands for its own.

    Raises:
        ValueError: an axis that the scan has not, or an encoded one that cannot be taken apart.
    """
    each = check_each(each)
    has = (*_axes.further(scan.axes), *(_axes.SPATIAL[a] for a in scan.encoding.encoded))
    for name in each:
        if name not in has and name != _axes.SLICE:
            raise ValueError(f"each={name!r}: the scan has the axes {', '.join(has)}")
    inside = [a for a in each if a in _axes.ENCODED]
    if inside:
        name = inside[0]
        if name in ("y", "x") and scan.coord is not None:
            raise ValueError(f"each={name!r}: {name} is no axis of k-space with coord; "
                             f"{' or '.join(separable(scan)) or 'none'} can be taken apart")
        if len(scan.encoding.encoded) - len(inside) < 2:
            raise ValueError(f"each={name!r} takes planes of a 3-D scan apart, and this one is 2-D: leave it out")
        if name not in separable(scan):
            raise ValueError(f"each={name!r}: {_axes.ENCODED[name]} was undersampled, so the planes along {name} hang "
                             f"together; {' or '.join(separable(scan)) or 'no axis'} can be taken apart")
    return tuple(a for a in has if a in each)


def separable(scan) -> tuple[str, ...]:
    """The image axes of a 3-D scan along which its planes are problems of their own: those sampled fully."""
    grid = scan.encoding
    if len(grid.encoded) < 3:
        return ()
    if scan.coord is not None:
        alike = grid.stacked and scan.coord.ndim == 1 + grid.points and (
            scan.mask is None or (scan.mask == scan.mask[..., :1, :, :]).all())
        return ("z",) if alike else ()
    return tuple(_axes.SPATIAL[a] for a in grid.encoded if a not in grid.varying)


def split(scan, each) -> list[dict]:
    """The fields of each part of a scan.

    Along an encoded axis k-space is transformed first, F^H F = I: the planes then are 2-D problems (the hybrid way).
    """
    names = apart(scan, each)
    arrays = {n: (a, axes) for n, (a, axes) in scan.named().items() if a is not None}
    for name in names:
        if name in _axes.ENCODED:
            arrays = {n: _hybrid(n, a, axes, name, scan) for n, (a, axes) in arrays.items()}
    kspace, axes = arrays["kspace"]
    sizes = [kspace.shape[axes.index(n)] for n in names]
    left = tuple(a for a in axes if a not in names)
    inner = len(_axes.encoded(left))
    parts = []
    for index in np.ndindex(*sizes):
        at = dict(zip(names, index))
        fields = {n: _taken(a, own, at) for n, (a, own) in arrays.items()}
        fields |= {n: squeezed(fields[n], inner) for n in ("mask", "weights", "times", "field_map") if n in fields}
        if scan.size is not None and "z" in names:  # planes of a stack
            fields["size"] = scan.size[1:]
        parts.append({"axes": left, **fields})
    return parts


def _hybrid(what, array, axes, name, scan):
    """An array with the encoded or image axis of this name in front, in the image along it."""
    encoded = _axes.ENCODED[name]
    if encoded in axes:
        at = axes.index(encoded)
        n = scan.kspace.shape[scan.axes.index(encoded)]
        if what in ("weights", "times") and not (array == np.take(array, [0], axis=at)).all():
            raise ValueError(f"{what} change along {encoded}, so the planes along {name} hang together: leave "
                             f"each={name!r} out")
        if what in ("mask", "weights", "times"):  # the same everywhere along it
            return np.take(array, 0, axis=at), tuple(a for a in axes if a != encoded)
        if array.shape[at] < n:  # calibration lines, of the centre alone
            before = n // 2 - array.shape[at] // 2
            pad = [(before, n - before - array.shape[at]) if a == at else (0, 0) for a in range(array.ndim)]
            array = np.pad(array, pad)
        array = fft(array, (at,), inverse=True)
        axes = tuple(name if a == encoded else a for a in axes)
    if name not in axes:
        return array, axes
    at = axes.index(name)
    return np.ascontiguousarray(np.moveaxis(array, at, 0)), (name, *(a for a in axes if a != name))


def _taken(array, axes, at):
    """The array at these indices of the named axes it has; of an axis of size 1 the one there is."""
    if not set(at) & set(axes):
        return array
    return array[tuple((at[a] if n > 1 else 0) if a in at else slice(None) for a, n in zip(axes, array.shape))]


def time_average(scan):
    """`Scan.time_average`."""
    if not scan.further:
        return scan
    if scan.coord is not None:
        return together(scan)
    mask = np.ones((1,) * scan.kspace.ndim, bool) if scan.mask is None else scan.inside
    mask = np.broadcast_to(mask, [1 if a == _axes.COIL else n for a, n in zip(scan.axes, scan.kspace.shape)])
    over = tuple(scan.axes.index(a) for a in scan.further)
    count = mask.sum(axis=over).astype(scan.kspace.real.dtype)
    left = tuple(a for a in scan.axes if a not in scan.further)
    seen = np.take(count > 0, 0, axis=left.index(_axes.COIL))
    mask = shortened(seen, tuple(a for a in left if a != _axes.COIL))
    return scan._with(kspace=scan.kspace.sum(axis=over) / np.maximum(count, 1), axes=left, mask=mask,
                      reference=None, weights=None, times=None, field_map=None)


def together(scan):
    """A scan of samples anywhere without its frames, echoes, ...: the shots of all of them as those of one."""
    def moved(array, names):
        over = [names.index(a) for a in scan.further]
        at = names.index("shot")
        order = [i for i in range(array.ndim) if i not in over]
        order[order.index(at):order.index(at)] = over
        array = array.transpose(order)
        start = order.index(over[0])
        shape = (*array.shape[:start], -1, *array.shape[start + len(over) + 1:])
        return np.ascontiguousarray(array.reshape(shape))

    whole = tuple(n for n, a in zip(scan.kspace.shape, scan.axes) if a != _axes.COIL)
    names = tuple(a for a in scan.axes if a != _axes.COIL)
    coord = scan.coord
    coord = np.broadcast_to(coord, (*whole[:len(whole) + 1 - coord.ndim], *coord.shape))
    coord = moved(coord, (*names, "axis"))
    if scan.encoding.stacked and (coord == coord[..., :1, :, :, :]).all():  # partitions alike
        coord = coord[..., 0, :, :, :]
    mask = None if scan.mask is None else moved(np.broadcast_to(scan.mask, whole), names)
    left = tuple(a for a in scan.axes if a not in scan.further)
    return scan._with(kspace=moved(scan.kspace, scan.axes), coord=coord, mask=mask, axes=left, reference=None,
                      weights=None, times=None, field_map=None)


def join(scan, images, each) -> np.ndarray:
    """The image of the scan, of those of its parts in their order."""
    names = apart(scan, each)
    if not names:
        return images[0]
    whole, sizes = scan.image_axes, dict(zip(scan.image_axes, scan.image_shape))
    stack = np.stack(images).reshape(*(sizes[n] for n in names), *images[0].shape)
    order = [*names, *(a for a in whole if a not in names)]
    return np.ascontiguousarray(stack.transpose([order.index(a) for a in whole]))
