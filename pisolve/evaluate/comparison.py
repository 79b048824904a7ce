"""What `compare` returns: images, numbers and intervals of several methods on the same k-space."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check, io
from pisolve._types import PathLike
from pisolve.evaluate.measures import HIGHER, NEAR_ONE, plain
from pisolve.evaluate.outcome import FAILED, Outcome, Setting
from pisolve.evaluate.report.write import write
from pisolve.evaluate.section import Section
from pisolve.evaluate.statistics import paired
from pisolve.evaluate.tables import csv_text, markdown
from pisolve.figure import figure


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same data, on equal terms.

    Attributes:
        settings: the k-spaces, `Setting`.
        methods: name -> what it is, in words.
        outcomes: (index of the setting, name of the method) -> `Outcome`.
        about: how it was made, plain values: version, tune, trials, the plan that `rerun` takes, definitions, ...
        warnings: what is odd about the comparison as a whole, one sentence each.
        sections: analyses added to its report, `Section`.
    """

    settings: tuple[Setting, ...]
    methods: dict[str, str]
    outcomes: dict[tuple[int, str], Outcome]
    about: dict[str, Any]
    warnings: tuple[Any, ...] = ()
    sections: tuple[Any, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """The quality metrics that were computed; the first is what methods are ranked by, if by any (`ranked_by`)."""
        found = list(dict.fromkeys(name for o in self.outcomes.values() for name in o.values))
        return sorted(found, key=lambda m: (m in NEAR_ONE, -self.measured(m)))

    @property
    def ranked_by(self) -> str | None:
        """The metric that most settings have, the first of these; never chi, and None where there is no other."""
        return next((m for m in self.metrics if m not in NEAR_ONE), None)

    def measured(self, metric: str) -> int:
        """On how many settings a metric was computed, for one method at least."""
        return len(self._measured(metric))

    def _measured(self, metric):
        return {k for (k, _), o in self.outcomes.items() if not math.isnan(o.values.get(metric, math.nan))}

    def records(self, *, slices: bool = False, costs: bool = True) -> list[dict[str, Any]]:
        """One dict a method and setting, for `pandas.DataFrame(...)`; `status` says which failed, their values are NaN.

        Args:
            slices: one for each plane instead, a slice, a frame, a partition; its values are of that plane, with the
                volume's maximum as range.
            costs: with seconds and memory, which differ from run to run.
        """
        out = []
        for (index, name), o in sorted(self.outcomes.items(), key=lambda item: self._order(*item[0])):
            s = self.settings[index]
            head = {"scan": s.scan, "accel": s.accel, "mask": s.mask, "seed": s.seed, "method": name}
            tail = {"strength": o.strength, "solver": o.solver, "status": o.status}
            if slices:
                out += [{**head, **label, **{m: v[k] for m, v in o.slices.items()}, "iterations": o.iterations[k],
                         "status": o.status, **({"seconds": o.seconds[k]} if costs else {})}
                        for k, label in enumerate(s.planes)]
                continue
            spent = {"seconds": sum(o.seconds), "tuning_seconds": (o.tuning or {}).get("seconds"),
                     "memory_mb": o.memory_mb} if costs else {}
            out.append({**head, **o.values, "iterations": max(o.iterations, default=0),
                        "trials": len((o.tuning or {}).get("curve", ())), **tail, **spent})
        return out

    def _order(self, index, name):
        return index, list(self.methods).index(name)

    def differences(self, metric: str | None = None, to: str | None = None, *,
                    level: float = 0.95) -> list[dict[str, Any]]:
        """Paired differences of every method to one: mean, bootstrap interval and wins over slices and settings.

        Pairs are the planes under each sampling; those of one scan are drawn together, see `statistics.paired`, and of
        one scan the frames of each slice.

        Args:
            metric: one of `metrics`, not chi; None: `ranked_by`.
            to: the method to compare with; None: the best one in the mean.
            level: of the interval.

        Returns:
            A dict a method, best first: method, metric, mean, to, difference, low, high, pairs, scans (independent
            groups), slices, wins (better on that pair). low and high are NaN below five scans, of one scan below five
            slices. Empty where nothing can be ranked.

        Raises:
            ValueError: an unknown metric or method, or chi, by which nothing is better.
        """
        if metric is None and self.ranked_by is None:
            return []
        metric = self._ranking_metric(metric)
        ranked = self.ranking(metric)
        to = _check.choice("to", ranked[0] if to is None else to, tuple(self.methods))
        rows, sign = [], 1 if HIGHER.get(metric, True) else -1
        for name in ranked:
            pairs = [(s.scan, s.group(z), a - b) for k, s in enumerate(self.settings)
                     for z, (a, b) in enumerate(zip(self._slices(k, name, metric), self._slices(k, to, metric)))
                     if math.isfinite(a) and math.isfinite(b)]
            found = paired(*([p[k] for p in pairs] for k in range(3)), level=level)
            rows.append({"method": name, "metric": metric, "mean": self.mean(name, metric), "to": to, **found,
                         "wins": sum(sign * gap > 0 for *_, gap in pairs)})
        return rows

    def _ranking_metric(self, metric):
        return self.ranked_by if metric is None else _check.choice(
            "metric", metric, tuple(m for m in self.metrics if m not in NEAR_ONE))

    def _slices(self, index, name, metric):
        outcome = self.outcomes.get((index, name))
        return outcome.slices.get(metric, ()) if outcome else ()

    def mean(self, name: str, metric: str) -> float:
        """Mean of a method's values over the volume, of the settings where `metric` was computed for any method.

        NaN where the method lacks one of these: a mean over the settings where it did well is none.
        """
        found = [self.outcomes[k, name].values.get(metric, math.nan) if (k, name) in self.outcomes else math.nan
                 for k in sorted(self._measured(metric))]
        return float(np.mean(found)) if found else math.nan

    def ranking(self, metric: str | None = None) -> list[str]:
        """The methods, best first by the mean over settings, those without one last; as given where nothing ranks.

        Raises:
            ValueError: an unknown metric, or chi, by which nothing is better.
        """
        metric = self._ranking_metric(metric)
        if metric is None:
            return list(self.methods)
        sign = -1 if HIGHER.get(metric, True) else 1
        means = {name: sign * self.mean(name, metric) for name in self.methods}
        return sorted(means, key=lambda name: (math.isnan(means[name]), means[name]))

    def status(self, name: str) -> str:
        """The worst of a method's statuses on all settings; "" where it ended well everywhere."""
        found = {o.status for (_, n), o in self.outcomes.items() if n == name}
        return next((s for s in (*FAILED, "stopped") if s in found), "")

    def summary(self) -> list[dict[str, Any]]:
        """One dict a method, best first: means over settings, the paired difference to the best, wins, costs.

        With a column `status` where a method did not end well; without differences and wins where nothing ranks.
        """
        gaps, rows = {row["method"]: row for row in self.differences()}, []
        bad = any(map(self.status, self.methods))
        for name in self.ranking():
            own, row = [o for (_, n), o in sorted(self.outcomes.items()) if n == name], gaps.get(name)
            beside = {} if row is None else {
                "to best": row["difference"], "low": row["low"], "high": row["high"],
                "best on": f"{self._best_on(name)} of {self.measured(self.ranked_by)}"}
            rows.append({"method": name, **({"status": self.status(name)} if bad else {}),
                         **{m: self.mean(name, m) for m in self.metrics}, **beside,
                         "iterations": max((n for o in own for n in o.iterations), default=0),
                         "seconds": float(np.mean([sum(o.seconds) for o in own])) if own else math.nan,
                         "memory_mb": max((o.memory_mb for o in own if o.memory_mb is not None), default=None)})
        return rows

    def _best_on(self, name):
        """On how many settings a method is the best one."""
        metric = self.ranked_by
        sign, count = 1 if HIGHER.get(metric, True) else -1, 0
        for k in range(len(self.settings)):
            values = {n: sign * o.values[metric] for (i, n), o in self.outcomes.items() if i == k and metric in o.values
                      and math.isfinite(o.values[metric])}
            count += bool(values) and max(values, key=values.get) == name
        return count

    def by_setting(self) -> list[dict[str, Any]]:
        """What methods are ranked by, one dict a method with a value a setting: a mean over 4x and 8x hides both.

        Empty where there is one setting, or nothing that ranks.
        """
        metric = self.ranked_by
        if metric is None or len(self.settings) < 2:
            return []
        values = {(k, n): o.values.get(metric, math.nan) for (k, n), o in self.outcomes.items()}
        return [{"method": n, **{s.label: values.get((k, n), math.nan) for k, s in enumerate(self.settings)}}
                for n in self.ranking()]

    def by_sampling(self) -> dict[str, Comparison]:
        """{sampling, such as "4x random": the comparison under it alone}: 4x and a hopeless 8x have no common mean.

        Scans and masks of one sampling stay together. One entry where all settings have the same.
        """
        out = {}
        for kind in dict.fromkeys(s.kind for s in self.settings):
            kept = [k for k, s in enumerate(self.settings) if s.kind == kind]
            found = {(kept.index(k), n): replace(o, setting=kept.index(k)) for (k, n), o in self.outcomes.items()
                     if k in kept}
            out[kind] = replace(self, settings=tuple(self.settings[k] for k in kept), outcomes=found)
        return out

    def markdown(self) -> str:
        """The summary as a Markdown table, one for each sampling; of several scans or masks a column for each, too."""
        parts = self.by_sampling()
        texts = [(f"{kind}:\n\n" if len(parts) > 1 else "") + markdown(part.summary()) for kind, part in parts.items()]
        rows = self.by_setting() if len(self.settings) > len(parts) else []
        return "\n\n".join(texts + ([f"{self.ranked_by} of each setting:\n\n{markdown(rows)}"] if rows else []))

    def csv(self, *, slices: bool = False) -> str:
        """`records` as CSV, every digit kept."""
        return csv_text(self.records(slices=slices))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`: everything but the images."""
        return {"about": self.about, "methods": self.methods, "warnings": list(self.warnings),
                "settings": [{"scan": s.scan, "accel": s.accel, "mask": s.mask, "seed": s.seed, "shape": list(s.shape),
                              "sampled": int(s.pattern.sum()), "reference": s.reference_kind, "scale": s.scale,
                              "warnings": list(s.warnings)} for s in self.settings],
                "summary": self.summary(), "by_sampling": {k: c.summary() for k, c in self.by_sampling().items()},
                "records": self.records(), "slices": self.records(slices=True)}

    def save(self, folder: PathLike) -> None:
        """Write comparison.json, summary.md, records.csv and slices.csv to a folder, which is made where needed."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"comparison.json": json.dumps(plain(self.to_dict()), indent=1) + "\n", "summary.md": self.markdown() +
                 "\n", "records.csv": self.csv(), "slices.csv": self.csv(slices=True)}
        for name, text in texts.items():
            with io.atomic(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def to_html(self, path: PathLike, *, title: str = "") -> None:
        """Write the report, one HTML file that needs nothing else, see `evaluate.report.write`."""
        write(self, path, title=title)

    def figure(self, path: PathLike, *, setting: int = 0, slice: int | dict[str, Any] | None = None,
               title: str = "") -> None:
        """Draw the images of one setting with errors and a zoom to .png, .pdf or .svg, see `figure.figure`.

        Methods that failed are named in the title instead. `slice` may be {"slice": 2, "frame": 5}; None is the middle.

        Raises:
            ValueError: every method failed on this setting.
        """
        s = self.settings[_check.integer("setting", setting, low=0, high=len(self.settings) - 1)]
        own = {n: self.outcomes[setting, n] for n in self.methods if (setting, n) in self.outcomes}
        images = {n: o.images for n, o in own.items() if o.status not in FAILED and np.isfinite(o.images).all()}
        if not images:
            raise ValueError(f"no method has an image of setting {setting} ({s.label}): nothing to draw")
        lost = [f"{n} ({o.status})" for n, o in own.items() if n not in images]
        left = f", without {', '.join(lost)}" if lost else ""
        figure(images, s.reference, path=path, slice=slice, title=(title or s.label) + left, axes=s.image_axes,
               pixel=s.pixel)

    def with_sections(self, *sections: Section) -> Comparison:
        """The same comparison with more sections in its report."""
        return replace(self, sections=(*self.sections, *sections))

    def __repr__(self) -> str:
        found = {kind: c.ranking()[0] for kind, c in self.by_sampling().items() if c.ranked_by}
        best = f", best: {', '.join(n + f' ({kind})' * (len(found) > 1) for kind, n in found.items())}" if found else ""
        return f"Comparison({len(self.methods)} methods on {len(self.settings)} settings{best})"
