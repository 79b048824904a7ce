"""What `compare` returns: images, numbers and intervals of several methods on the same k-space."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pisolve import _check, io, metrics
from pisolve.evaluate.section import Section
from pisolve.evaluate.statistics import bootstrap
from pisolve.evaluate.tables import csv_text, markdown

HIGHER = {"psnr": True, "psnr_body": True, "ssim": True, "vif": True, "ms_ssim": True, "nmse": False, "hfen": False,
          "holdout": False, "holdout_image": False, "chi": False, "seconds": False, "memory_mb": False}
DEFINITIONS = metrics.DEFINITIONS | {
    "psnr_body": "PSNR with the mean squared error taken inside the body of the reference (metrics.body)",
    "holdout": "||P (F S x_P - y)|| / ||P y||: a quarter of the samples outside the full centre is withheld and "
               "predicted by the image of the rest, three folds; its noise floor is not 0",
    "holdout_image": "the same errors brought into the image, A^H, in phase with the object and inside the body",
    "chi": "sqrt(mean |M (F S x - y)|^2 / (2 sigma^2)) over the measured samples: 1 is noise alone; well above 1 the "
           "image contradicts the data, below 1 it follows their noise; no measure of quality",
}


@dataclass(frozen=True)
class Setting:
    """One k-space, the same for all methods: a scan under one sampling pattern.

    Attributes:
        scan: the scan's name.
        accel, mask, seed: of the retrospective undersampling; None where the scan is taken as it was measured.
        pattern: bool (ky, kx), True where sampled.
        reference: real (slice, y, x) or None.
        reference_kind: what the reference is, in words; "" without one.
        shape: (slice, coil, ky, kx).
        scale: what k-space was multiplied by before solving.
        warnings: what is odd about the data, one sentence each.
        noise, noise_from: standard deviation of the real and of the imaginary part of a sample, and where it is from.
    """

    scan: str
    accel: float | None
    mask: str | None
    seed: int | None
    pattern: np.ndarray
    reference: np.ndarray | None
    reference_kind: str
    shape: tuple
    scale: float
    warnings: tuple = ()
    noise: float | None = None
    noise_from: str = ""

    @property
    def label(self) -> str:
        """Scan and sampling in a few words."""
        return f"{self.scan}, {self.sampling}"

    @property
    def sampling(self) -> str:
        """The sampling in a few words."""
        if self.accel is None:
            return "as measured"
        return f"{self.accel:g}x {self.mask}" + (f", mask {self.seed}" if self.seed else "")


@dataclass(frozen=True)
class Outcome:
    """One method on one setting.

    Attributes:
        setting: index of the setting.
        method: its name.
        images: complex (slice, y, x), in the scan's units, as the root sum of squares of the coils sees them.
        status: the worst of the slices', see `Result`; "done" for a network or a method without iterations.
        iterations: of each slice.
        seconds: of each slice, without maps and tuning.
        memory_mb: peak growth of the process's memory in MiB while solving, None where it cannot be measured.
        values: metric -> value over the volume.
        slices: metric -> one value a slice.
        strength: what was used, in words: "lam = 2e-3", "" for methods without one.
        tuning: how it was chosen, `Tuning.to_dict()`, or None.
        history: of the middle slice, one dict an iteration: k, residual, seconds, value (the objective) where known.
        solver: in words.
        residual: of the middle slice in k-space (ky, kx), root mean square over coils in units of the noise, or None.
    """

    setting: int
    method: str
    images: np.ndarray
    status: str
    iterations: tuple
    seconds: tuple
    memory_mb: float | None
    values: dict
    slices: dict
    strength: str = ""
    tuning: dict | None = None
    history: list = field(default_factory=list)
    solver: str = ""
    residual: np.ndarray | None = None


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

    settings: tuple
    methods: dict
    outcomes: dict
    about: dict
    warnings: tuple = ()
    sections: tuple = ()

    @property
    def metrics(self) -> list[str]:
        """The quality metrics that were computed, in their order; the first is what methods are ranked by."""
        return list(dict.fromkeys(name for o in self.outcomes.values() for name in o.values))

    def records(self, *, slices: bool = False, costs: bool = True) -> list[dict]:
        """One dict a method and setting, for `pandas.DataFrame(...)`.

        Args:
            slices: one for each slice instead; its values are of that slice, with the volume's maximum as range.
            costs: with seconds and memory, which differ from run to run.
        """
        out = []
        for (index, name), o in sorted(self.outcomes.items(), key=lambda item: self._order(*item[0])):
            s = self.settings[index]
            head = {"scan": s.scan, "accel": s.accel, "mask": s.mask, "seed": s.seed, "method": name}
            tail = {"strength": o.strength, "solver": o.solver, "status": o.status}
            if slices:
                out += [{**head, "slice": k, **{m: v[k] for m, v in o.slices.items()}, "iterations": o.iterations[k],
                         **({"seconds": o.seconds[k]} if costs else {})} for k in range(len(o.images))]
                continue
            spent = {"seconds": sum(o.seconds), "tuning_seconds": (o.tuning or {}).get("seconds"),
                     "memory_mb": o.memory_mb} if costs else {}
            out.append({**head, **o.values, "iterations": max(o.iterations), "trials": len((o.tuning or {}).get(
                "curve", ())), **tail, **spent})
        return out

    def _order(self, index, name):
        return index, list(self.methods).index(name)

    def differences(self, metric: str | None = None, to: str | None = None, *, level: float = 0.95) -> list[dict]:
        """Paired differences of every method to one: mean, bootstrap interval and wins over slices and settings.

        Pairs are the slices under each sampling; those of one scan are drawn together, see `statistics.bootstrap`.

        Args:
            metric: one of `metrics`; None: the first.
            to: the method to compare with; None: the best one in the mean.
            level: of the interval.

        Returns:
            A dict a method: method, metric, mean, difference, low, high, wins (better on that slice), pairs.

        Raises:
            ValueError: an unknown metric or method.
        """
        metric = _check.choice("metric", self.metrics[0] if metric is None else metric, tuple(self.metrics))
        ranked = self.ranking(metric)
        to = _check.choice("to", ranked[0] if to is None else to, tuple(self.methods))
        rows, sign = [], 1 if HIGHER.get(metric, True) else -1
        for name in ranked:
            pairs = [(self.settings[k].scan, a, b) for k in range(len(self.settings))
                     for a, b in zip(self._slices(k, name, metric), self._slices(k, to, metric))
                     if math.isfinite(a) and math.isfinite(b)]
            gaps = [a - b for _, a, b in pairs]
            low, high = bootstrap(gaps, [scan for scan, *_ in pairs], level=level)
            rows.append({"method": name, "metric": metric, "mean": self.mean(name, metric), "to": to,
                         "difference": float(np.mean(gaps)) if gaps else math.nan, "low": low, "high": high,
                         "wins": sum(sign * g > 0 for g in gaps), "pairs": len(gaps)})
        return rows

    def _slices(self, index, name, metric):
        outcome = self.outcomes.get((index, name))
        return outcome.slices.get(metric, ()) if outcome else ()

    def mean(self, name: str, metric: str) -> float:
        """Mean over settings of a method's value over the volume; NaN where there is none."""
        found = [o.values[metric] for (_, n), o in sorted(self.outcomes.items()) if n == name and metric in o.values]
        return float(np.mean(found)) if found else math.nan

    def ranking(self, metric: str | None = None) -> list[str]:
        """The methods, best first by the mean over settings."""
        metric = self.metrics[0] if metric is None else metric
        sign = -1 if HIGHER.get(metric, True) else 1
        means = {name: sign * self.mean(name, metric) for name in self.methods}
        return sorted(means, key=lambda name: (math.isnan(means[name]), means[name]))

    def summary(self) -> list[dict]:
        """One dict a method, best first: means over settings, the paired difference to the best, wins, costs."""
        if not self.metrics:
            return []
        rows = []
        for row in self.differences():
            own = [o for (_, n), o in sorted(self.outcomes.items()) if n == row["method"]]
            rows.append({"method": row["method"], **{m: self.mean(row["method"], m) for m in self.metrics},
                         "to best": row["difference"], "low": row["low"], "high": row["high"],
                         "best on": f"{self._best_on(row['method'])} of {len(self.settings)}",
                         "iterations": max(max(o.iterations) for o in own),
                         "seconds": float(np.mean([sum(o.seconds) for o in own])),
                         "memory_mb": max((o.memory_mb for o in own if o.memory_mb is not None), default=None)})
        return rows

    def _best_on(self, name):
        """On how many settings a method is the best one."""
        metric = self.metrics[0]
        sign, count = 1 if HIGHER.get(metric, True) else -1, 0
        for k in range(len(self.settings)):
            values = {n: sign * o.values[metric] for (i, n), o in self.outcomes.items() if i == k and metric in o.values
                      and math.isfinite(o.values[metric])}
            count += bool(values) and max(values, key=values.get) == name
        return count

    def markdown(self) -> str:
        """The summary as a Markdown table."""
        return markdown(self.summary())

    def csv(self, *, slices: bool = False) -> str:
        """`records` as CSV, every digit kept."""
        return csv_text(self.records(slices=slices))

    def to_dict(self) -> dict:
        """Plain values for `json`: everything but the images."""
        return {"about": self.about, "methods": self.methods, "warnings": list(self.warnings),
                "settings": [{"scan": s.scan, "accel": s.accel, "mask": s.mask, "seed": s.seed, "shape": list(s.shape),
                              "sampled": int(s.pattern.sum()), "reference": s.reference_kind, "scale": s.scale,
                              "warnings": list(s.warnings)} for s in self.settings],
                "summary": self.summary(), "records": self.records(), "slices": self.records(slices=True)}

    def save(self, folder) -> None:
        """Write comparison.json, summary.md, records.csv and slices.csv to a folder, which is made where needed."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"comparison.json": json.dumps(plain(self.to_dict()), indent=1) + "\n", "summary.md": self.markdown() +
                 "\n", "records.csv": self.csv(), "slices.csv": self.csv(slices=True)}
        for name, text in texts.items():
            with io.atomic(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def to_html(self, path, *, title: str = "") -> None:
        """Write the report, one HTML file that needs nothing else, see `evaluate.report.write`."""
        from pisolve.evaluate.report.write import write

        write(self, path, title=title)

    def figure(self, path, *, setting: int = 0, slice: int | None = None, title: str = "") -> None:
        """Draw the images of one setting with errors and a zoom to .png, .pdf or .svg, see `figure.figure`."""
        from pisolve.figure import figure

        s = self.settings[_check.integer("setting", setting, low=0, high=len(self.settings) - 1)]
        images = {n: self.outcomes[setting, n].images for n in self.methods if (setting, n) in self.outcomes}
        figure(images, s.reference, path=path, slice=slice, title=title or s.label)

    def with_sections(self, *sections: Section) -> Comparison:
        """The same comparison with more sections in its report."""
        from dataclasses import replace

        return replace(self, sections=(*self.sections, *sections))

    def __repr__(self):
        best = f", best: {self.ranking()[0]}" if self.metrics else ""
        return f"Comparison({len(self.methods)} methods on {len(self.settings)} settings{best})"


def plain(value):
    """Values that strict JSON can hold: NaN and infinity become None, arrays lists, numpy's numbers Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
