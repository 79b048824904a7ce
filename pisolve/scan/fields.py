"""The fields of a `Scan`, checked against each other and brought into the order in which it keeps them."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, _check
from pisolve.backend import to_numpy
from pisolve.scan import checks, field
from pisolve.scan.grid import check_mask
from pisolve.scan.points import as_points


def checked(scan) -> dict:
    """{name: value} of the fields that a scan was made with.

    Raises:
        TypeError, ValueError: as `Scan`.
    """
    checks.complex_samples("kspace", scan.kspace)
    kspace = to_numpy(_check.array("kspace", scan.kspace, nonzero=True))
    given, fields = scan.axes, {}
    if scan.coord is not None:
        kspace, fields["coord"], fields["size"], given = as_points(kspace, scan.coord, scan.size, given)
    elif scan.size is not None:
        raise ValueError("size is for scans with coord: leave it out, k-space on a grid has the size of the image")
    given = _axes.checked(given, kspace.shape)
    inner = len(_axes.encoded(given))
    if scan.coord is None and given[-1] in _axes.POINTS:
        raise ValueError(f"axes are {', '.join(given)}: 'shot' and 'sample' need coord, where the samples lie")
    if _axes.COIL not in given:
        kspace, given = np.expand_dims(kspace, -1 - inner), (*given[:-inner], _axes.COIL, *given[-inner:])
    axes = _axes.canonical(given)
    kspace = checks.ordered(kspace, given, axes)
    without = [tuple(a for a in names if a != _axes.COIL) for names in (given, axes)]
    sizes = tuple(n for a, n in zip(axes, kspace.shape) if a != _axes.COIL)
    grid = kspace.shape
    if scan.coord is not None:
        grid = (*grid[:-inner], *fields["size"])
        if fields["coord"].ndim - 1 > inner:
            fields["coord"] = checks.ordered(fields["coord"], *((*names, "axis") for names in without))
    fields |= {"axes": axes, "kspace": kspace, "meta": dict(scan.meta)}
    if scan.mask is not None:
        fields["mask"] = check_mask("mask", checks.ordered(scan.mask, *without), without[1], sizes)
    if scan.weights is not None:
        fields["weights"] = checks.weights(checks.ordered(scan.weights, *without), without[1], sizes)
    if scan.times is not None:
        fields["times"] = field.times(scan.times, without[1], sizes, without[0])
    if scan.field_map is not None:
        names = tuple(_axes.SPATIAL.get(a, a) for a in without[1])
        image = (*sizes[:-inner], *grid[-inner:])
        fields["field_map"] = field.field_map(scan.field_map, names, image, _axes.of_image(given))
    for name, check in (("mps", checks.maps), ("calib", checks.calib)):
        if getattr(scan, name) is not None:
            fields[name] = check(getattr(scan, name), axes, grid, given)
    if scan.reference is not None:
        image = checks.ordered(scan.reference, _axes.of_image(given), _axes.of_image(axes))
        fields["reference"] = checks.reference(image, axes, grid)
    if scan.noise is not None:
        fields["noise"] = checks.noise(scan.noise, kspace.shape[axes.index(_axes.COIL)])
    return fields
