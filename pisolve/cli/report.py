"""What `recon` says of a reconstruction: what made it, how it ended, and its metrics."""

from __future__ import annotations

import numpy as np

from pisolve import metrics
from pisolve._check import called
from pisolve.cli.scans import maps_of
from pisolve.prepare import SENSE, TOLD


def what_was_done(scan) -> list:
    """Rows on what a scan of lines or shots went through before it was solved."""
    epi = [("EPI", scan.meta["epi"]["text"])] if "epi" in scan.meta else []
    return epi + [(word, scan.meta[name]) for name, word in TOLD.items() if name in scan.meta]


def what_ran(done) -> list:
    """Rows on what made a reconstruction, and how it ended."""
    recipe, residual = done.recipe, max(float(r.state.residual) for r in done.results)
    if recipe.network is not None:
        rest = f", data residual {residual:.1e}" if np.isfinite(residual) else ""
        with_data = " with data consistency" if recipe.consistency else ""
        return [("network", done.results[0].network + with_data), ("status", done.status + rest)]
    rows = [] if recipe.method == SENSE else [("method", called(recipe.method))]
    rows += [("prior", repr(recipe.prior)), *([("tuned", tuned(done.tuning))] if done.tuning else [])]
    labels = done.scan.labels(recipe.each)
    parts = "slices" if set(labels[0]) == {"slice"} else "parts"
    of = f" (most of {len(labels)} {parts})" if len(labels) > 1 else ""
    rows += [("maps", maps_of(done.scan))] if done.scan.sets > 1 else []
    rows += _off_resonance(done)
    return [*rows, ("solver", repr(recipe.solver)),
            ("status", f"{done.status} after {_steps(done)} iterations{of}, residual {residual:.1e}")]


def _off_resonance(done) -> list:
    """A row on its correction, by the operator of the part that needed most segments."""
    operators = [r.problem.linop for r in done.results if getattr(r, "problem", None) is not None]
    found = [A for A in operators if hasattr(A, "normal_segments")]
    if not found:
        return []
    A = max(found, key=lambda A: A.segments)
    return [("off-resonance", f"corrected, {A.field_map.min():.4g} to {A.field_map.max():.4g} Hz over "
             f"{np.ptp(A.times) * 1e3:.4g} ms: {A.segments} segments, error {A.error:.1e}; A^H A {A.normal_segments}")]


def failure(done) -> str:
    """Why a reconstruction failed, and what to try."""
    if done.recipe.network is not None:
        return f"the network {done.results[0].network} gave NaN or Inf: is it for such scans?"
    return (f"{type(done.recipe.solver).__name__} ended {done.status} after {_steps(done)} iterations: try a smaller "
            "--lam or --sigma, or another --solver")


def failures(done, numbers: dict) -> list[str]:
    """A sentence for each part that failed, by its `numbers` in the whole scan, such as {"slice": [3, 4]}."""
    said = {"nonfinite": "is not finite"}
    told = []
    for label, result in zip(done.scan.labels(done.recipe.each), done.results):
        if not result.ok:
            where = ", ".join(f"{n} {numbers[n][i] if n in numbers else i}" for n, i in label.items()) or "the scan"
            told.append(f"{where} {said.get(result.status, result.status)}: its SENSE image stands there")
    return told


def _steps(done) -> int:
    return max(r.state.k for r in done.results)


def tuned(tuning) -> str:
    """How a strength was chosen, in words."""
    seen = "; the reference was seen, this is an oracle's choice" if tuning.criterion == "reference" else ""
    return (f"{tuning.kind} {tuning.strength:.3g} by {tuning.criterion}, {tuning.status}, {len(tuning.curve)} "
            f"strengths from {tuning.curve[0][0]:.2g} to {tuning.curve[-1][0]:.2g}{seen}")


def metrics_table(reference, images) -> None:
    """Print fastMRI's metrics of the images by name, over the volume, and the PSNR over the body."""
    body = metrics.body(reference)
    print(f"{'':16}{'NMSE':>9}{'PSNR':>9}{'SSIM':>9}{'PSNR body':>11}   (against the full scan)")
    for name, image in images.items():
        m = metrics.all(reference, image)
        print(f"{name:16}{m['nmse']:9.5f}{m['psnr']:9.2f}{m['ssim']:9.4f}"
              f"{metrics.psnr(reference, image, region=body):11.2f}")
