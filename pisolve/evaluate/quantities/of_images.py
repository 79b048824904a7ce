"""Maps of a signal model from the images of a comparison: one more thing that methods are judged by."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.quantities.compare_maps import compare_maps
from pisolve.evaluate.quantities.given import quantities
from pisolve.evaluate.section import Section
from pisolve.recipe.quantify import FIELD, axis_of, times_of
from pisolve.signals import TimesWarning, named


@dataclass(frozen=True)
class MapsOf:
    """Which maps `compare` makes of the images of all methods.

    Args:
        signal: "t2", "t1_ir", ..., or a `signals.Model`.
        times: s of each image; None: as the scan says.
        axis: the name of the axis that they are along; None: the only one there is, or "echo".
        regions, names: as for `compare_maps`.
        truth: maps that are known, as for `compare_maps`; None: those of the reference images, where there are any.
        field_strength: T, for "water_fat"; None: as the scan says.
    """

    signal: Any
    times: Any = None
    axis: str | None = None
    regions: Any = None
    names: dict[Any, Any] | None = None
    truth: Any = None
    field_strength: float | None = None

    def on(self, scan: Any) -> tuple[Any, str, Any]:
        """(the signal, its axis, its times) of a scan.

        Raises:
            TypeError, ValueError: as `quantify`.
        """
        said = scan.meta.get(FIELD)
        field = float(said) if self.field_strength is None and isinstance(said, int | float) else self.field_strength
        signal = named(self.signal, field_strength=field)
        axis = axis_of(scan, self.axis)
        return signal, axis, times_of(scan, signal, axis, self.times)


def check(signal, plan) -> MapsOf | None:
    """What was asked for, before the work: refused where it fits a scan not."""
    if signal is None:
        return None
    wanted = signal if hasattr(signal, "on") else MapsOf(signal)
    for scan in plan.scans.values():
        wanted.on(scan)
    if wanted.truth is not None:
        quantities("truth", wanted.truth)
    return wanted


def mapped(wanted: MapsOf | None, plan, comparison) -> list[Section]:
    """The sections of the maps of all methods, setting by setting."""
    out = []
    for k, setting in enumerate(comparison.settings if wanted is not None else ()):
        try:
            found = _of_setting(wanted, plan.scans[setting.scan], comparison, k).sections()
        except (ArithmeticError, MemoryError, TypeError, ValueError) as error:  # the other settings are worth it
            found = [Section("Maps", warnings=[f"no maps could be made: {error}"])]
        where = f": {setting.label}" if len(comparison.settings) > 1 else ""
        out += [replace(s, title=f"Maps: {s.title}{where}").on(setting.pixel) for s in found]
    return out


def _of_setting(wanted, scan, comparison, k):
    signal, axis, times = wanted.on(scan)
    setting, notes = comparison.settings[k], []
    at = setting.image_axes.index(axis)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TimesWarning)
        maps = {n: signal.fit(o.images, times, at, None) for (j, n), o in comparison.outcomes.items()
                if j == k and o.status not in FAILED}
        truth = wanted.truth
        if truth is None and setting.reference is not None:
            try:
                truth = signal.fit(setting.reference, times, at, None)
            except TypeError as error:  # the phase is in no reference of magnitudes
                notes.append(f"the reference is a magnitude, and gives no maps: {error}")
    notes += [str(w.message) for w in caught if issubclass(w.category, TimesWarning)]
    if truth is not None:  # magnitudes have no frequency
        wanted_maps = quantities("truth", truth)
        maps = {n: {m: q for m, q in one.quantities().items() if m in wanted_maps} for n, one in maps.items()}
    done = compare_maps(maps, truth, regions=wanted.regions, names=wanted.names)
    return replace(done, warnings=(*dict.fromkeys(notes), *done.warnings))
