"""What tuning returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pisolve import _check
from pisolve._types import PathLike
from pisolve.io.atomic import atomic
from pisolve.priors import Prior

SUFFIXES = (".png", ".pdf", ".svg")


@_check.renamed(method="criterion")
@dataclass(frozen=True)
class Tuning:
    """A strength, and how it was chosen.

    Attributes:
        prior: the prior at the chosen strength.
        strength: lam or sigma, in the units of the scaled image for a scan and of the problem for a `Problem`.
        curve: ((strength, score), ...), ascending; a score is inf where the run failed.
        criterion: how: holdout, sure, discrepancy or reference.
        label: what the score is.
        kind: what the strength is: "lam", "sigma", or "strength" of a function.
        status: "ok"; "edge": the best is the first or last strength tried; "unreachable": no strength reaches the
            discrepancy; "failed": no run ended well, and the weakest strength stands in.
        warnings: what is odd, one sentence each.
        noise: the sigma that was used, given or estimated, in the units of the data that were solved; else None.
        seconds: wall time.
    """

    prior: Prior
    strength: float
    curve: tuple[Any, ...]
    criterion: str
    label: str
    kind: str
    status: str = "ok"
    warnings: tuple[Any, ...] = ()
    noise: float | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the strength is where the criterion wants it."""
        return self.status == "ok"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`: all but the prior, which is there as text; a failed run's score is None."""
        curve = [[s, v if math.isfinite(v) else None] for s, v in self.curve]
        return {"criterion": self.criterion, "kind": self.kind, "strength": self.strength, "prior": repr(self.prior),
                "status": self.status, "warnings": list(self.warnings), "noise": self.noise,
                "label": self.label, "curve": curve, "seconds": self.seconds}

    def plot(self, path: PathLike) -> None:
        """Draw the curve to .png, .pdf or .svg, with the chosen strength marked.

        Raises:
            ImportError: matplotlib is not installed (the extra `plot`).
            ValueError: another suffix.
            FileNotFoundError: the folder of `path` does not exist.
        """
        _check.choice("the suffix of path", Path(path).suffix, SUFFIXES)
        _check.extra("matplotlib", "plot")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.4), layout="constrained")
        axes = figure.subplots()
        points = [p for p in self.curve if math.isfinite(p[1])]
        if points:
            axes.plot(*zip(*points), "o-", color="#1f6feb", markersize=4, linewidth=1)
        axes.axvline(self.strength, color="#d1570c", linewidth=1, label=f"{self.kind} = {self.strength:.3g}")
        axes.set(xscale="log", xlabel=self.kind, ylabel=self.label, title=f"{self.criterion}: {self.prior!r}")
        axes.title.set_fontsize(9)
        axes.yaxis.label.set_fontsize(8)
        axes.legend(frameon=False, fontsize=9)
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=150)

    def __repr__(self) -> str:
        return (f"Tuning({self.kind}={self.strength:.3g} by {self.criterion}, {self.status}, {len(self.curve)} "
                f"strengths from {self.curve[0][0]:.3g} to {self.curve[-1][0]:.3g})")
