"""Maps and regions as they are given, from files or memory, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pisolve import _check, backend
from pisolve.io import Quantity, load_image, load_maps

UNITS = {"t1": "s", "t2": "s", "t2star": "s", "frequency": "Hz"}  # of arrays without a unit; others are numbers
_LABELS = 64  # more are no labels
EVERYWHERE = "everywhere"


def is_path(given) -> bool:
    """Whether it is the path of something."""
    return isinstance(given, str) or hasattr(given, "__fspath__")


def by_name(maps) -> dict:
    """{name: maps as they are given} of a dict, a list or one of them."""
    if isinstance(maps, Mapping) and not any(hasattr(v, "unit") or _check.is_array(v) for v in maps.values()):
        return {str(name): one for name, one in maps.items()}
    several, found = maps if isinstance(maps, list | tuple) else [maps], {}
    for k, one in enumerate(several):
        name = Path(one).stem if is_path(one) else f"maps {k + 1}"
        found[name if name not in found else f"{name} ({k + 1})"] = one
    return found


def quantities(name: str, given) -> dict[str, Quantity]:
    """The maps of one method, {map: `Quantity`}, without leading axes of size 1.

    Args:
        name: the argument's, or the method's.
        given: `Maps`, what `quantify` returns, a dict of arrays or of `Quantity`, or the path of an .h5.

    Raises:
        TypeError, ValueError: none of these, no maps, or maps of different shapes.
    """
    if is_path(given):
        found = load_maps(given)
    else:
        inner = getattr(given, "maps", given)
        found = inner.quantities() if hasattr(inner, "quantities") else inner
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} must be the maps of pi.quantify, a dict of arrays such as {{'t2': array}}, or the "
                        f"path of an .h5 with maps, got {_check.brief(given)}")
    out = {str(n): _flat(f"{name}[{n!r}]", str(n), q) for n, q in found.items()}
    if not out:
        raise ValueError(f"{name} has no maps")
    shapes = {q.values.shape for q in out.values()}
    if len(shapes) > 1:
        raise ValueError(f"{name} has maps of the shapes {', '.join(map(str, sorted(shapes)))}: they must agree")
    return out


def _flat(label, name, q) -> Quantity:
    values, unit, std = (q.values, q.unit, q.std) if hasattr(q, "unit") else (q, UNITS.get(name, ""), None)
    values = np.asarray(backend.to_numpy(values) if _check.is_array(values) else values)
    if values.dtype.kind not in "fiu" or values.ndim < 2:
        raise TypeError(f"{label} must be a real map (y, x) or with axes in front, got {values.dtype} of shape "
                        f"{values.shape}")
    return Quantity(_less(values.astype(np.float64)), unit, None if std is None else _less(np.asarray(std, float)))


def _less(array):
    """Without leading axes of size 1, down to a plane."""
    while array.ndim > 2 and len(array) == 1:
        array = array[0]
    return array


def regions_of(regions, shape, names=None) -> dict[str, np.ndarray]:
    """{name: bool array} of regions.

    Args:
        regions: a dict of masks, or labels: whole numbers of the maps' shape, 0 is left out; or the path of an image of
            labels. None: none.
        shape: of the maps.
        names: {label: what it is called}.

    Raises:
        TypeError, ValueError: another shape, no whole numbers, more than 64 labels, an empty region.
    """
    if regions is None:
        if names is not None:
            raise ValueError("names are those of the labels in regions: give these, too")
        return {}
    if isinstance(regions, Mapping):
        found = {str(n): _fitting(f"regions[{n!r}]", mask, shape) != 0 for n, mask in regions.items()}
    else:
        labels = _fitting("regions", load_image(regions) if is_path(regions) else regions, shape)
        values = np.unique(labels)
        if (values != np.round(values)).any() or len(values) > _LABELS:
            raise ValueError(f"regions has {len(values)} different values: whole numbers are needed, at most {_LABELS} "
                             "of them, one for each region and 0 for what belongs to none")
        names = {} if names is None else {int(k): str(v) for k, v in names.items()}
        found = {names.get(int(v), f"label {int(v)}"): labels == v for v in values if v}
    empty = [n for n, mask in found.items() if not mask.any()]
    if empty or not found:
        raise ValueError(f"regions: {empty[0] + ' has no pixel' if empty else 'there is no region in it'}")
    return found


def _fitting(label, given, shape):
    array = _less(np.asarray(backend.to_numpy(given) if _check.is_array(given) else given))
    if array.dtype.kind == "c" and not array.imag.any():  # as .h5 keeps all images
        array = array.real
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{label} must be bool, or whole numbers, got {array.dtype}")
    if array.shape != tuple(shape):
        raise ValueError(f"{label} has shape {array.shape}, and the maps {tuple(shape)}: they must agree")
    if not np.isfinite(array).all():
        raise ValueError(f"{label} holds NaN or infinite values")
    return array
