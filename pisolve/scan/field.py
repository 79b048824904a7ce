"""The field map and the sampling times of a scan: checked, told, and doubted where their units look wrong."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.backend.phases import checked_field, checked_times
from pisolve.scan.checks import ordered

_FAST = 1500.0  # Hz: what fields of heads and bodies stay below, up to 7 T, where rad/s do not
_TURNS, _PPM = 0.1, 10.0  # over the readout, below which little is seen; what ppm stay below


def field_map(field, axes, sizes, given) -> np.ndarray:
    """A field map with all axes of the image, of size 1 where it does not change.

    Args:
        field: of the image's encoded axes, of slices and these, or of all its axes.
        axes, sizes: of the image, as the scan keeps them.
        given: the image's axes in the order in which the scan was given.
    """
    field = ordered(field, given, axes)
    inner = sum(a in _axes.ENCODED for a in axes)
    slices = len(axes) > inner + 1 and axes[0] == _axes.SLICE
    if slices and getattr(field, "ndim", 0) == inner + 1 and field.shape[0] == sizes[0]:
        field = field.reshape(field.shape[0], *(1,) * (len(axes) - inner - 1), *field.shape[1:])
    return _with_all(checked_field(field, sizes), len(axes)).astype(np.float32)


def times(t, axes, sizes, given) -> np.ndarray:
    """Sampling times with all axes of k-space but coils, of size 1 where they do not change."""
    points = axes[-1] in _axes.POINTS
    return _with_all(checked_times(ordered(t, given, axes), sizes, increasing=points), len(axes))


def _with_all(array, ndim):
    return array.reshape(*(1,) * (ndim - array.ndim), *array.shape)


def corrected(scan) -> bool:
    """Whether a scan has what a correction of off-resonance needs."""
    return scan.field_map is not None and scan.times is not None


def told(scan) -> str | None:
    """What there is of it, in words; None where there is nothing."""
    if scan.field_map is None and scan.times is None:
        return None
    held = [] if scan.field_map is None else [f"a field of {_range(scan.field_map, 1)} Hz"]
    held += [] if scan.times is None else [f"samples at {_range(scan.times, 1e3)} ms"]
    if len(held) == 2:
        return f"{' and '.join(held)}: recon corrects it"
    lacks = "times of the samples" if scan.times is None else "field map"
    return f"{held[0]}, and no {lacks}: it is not corrected"


def _range(a, factor):
    return f"{a.min() * factor:.4g} to {a.max() * factor:.4g}"


def doubts(scan) -> list[str]:
    """A sentence where the map's range is not that of Hz."""
    if scan.field_map is None or not scan.field_map.any():
        return []
    low, high = (float(p) for p in np.percentile(scan.field_map[scan.field_map != 0], (1, 99)))
    if max(-low, high) > _FAST:
        return [f"field_map reaches {low:.4g} to {high:.4g} Hz, more than fields in a body do: if it is in rad/s "
                "divide it by 2 pi"]
    if scan.times is None:
        return []
    turns = float(np.ptp(scan.field_map)) * float(np.ptp(scan.times))
    if turns < _TURNS and max(-low, high) < _PPM:
        return [f"field_map reaches {low:.3g} to {high:.3g} Hz, {turns:.2g} turns over the readout, which hardly "
                "shows: if it is in ppm multiply it by the scanner's frequency in MHz (63.9 at 1.5 T, 127.7 at 3 T)"]
    return []
