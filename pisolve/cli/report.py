"""What the command line prints: short tables on stdout, one-line messages on stderr."""

from __future__ import annotations

import sys

import numpy as np

from pisolve import io, masks, metrics
from pisolve._check import called
from pisolve.io.hdf5 import attributes, open_hdf5
from pisolve.prepare import Sense


def say(kind: str, message) -> None:
    """One line on stderr, whatever is in the message."""
    print(f"pisolve: {kind}: {' '.join(str(message).split())}", file=sys.stderr)


def table(rows) -> None:
    """Print (name, value) pairs in two columns."""
    for name, value in rows:
        print(f"{name:16}{value}")


def shape_of(kspace) -> str:
    """The shape of k-space in words."""
    *slices, coils, ky, kx = kspace.shape
    count = f"{slices[0]} slice{'s' * (slices[0] != 1)}, " if slices else ""
    return f"{count}{coils} coil{'s' * (coils != 1)}, {ky} x {kx}"


def sampled(mask) -> str:
    """What a mask samples, in words."""
    found = masks.describe(mask)
    ky, kx = found["centre"]
    if not found["axes"]:
        return "full"
    along = " and ".join({-2: "ky", -1: "kx"}[a] for a in found["axes"])
    return (f"{found['acceleration']:.3g}x along {along}, {found['fraction']:.1%} of k-space, "
            f"full centre {ky} x {kx} (ky, kx)")


def maps_of(scan: io.Scan) -> str:
    """The shape of the coil maps in words, and their sets where there are several."""
    if scan.mps is None:
        return "none"
    return f"{scan.mps.shape}" + (f", {scan.sets} sets (soft SENSE)" if scan.sets > 1 else "")


def what_ran(done) -> list:
    """Rows on what made a reconstruction, and how it ended."""
    recipe, residual = done.recipe, max(float(r.state.residual) for r in done.results)
    if recipe.network is not None:
        rest = f", data residual {residual:.1e}" if np.isfinite(residual) else ""
        with_data = " with data consistency" if recipe.consistency else ""
        return [("network", done.results[0].network + with_data), ("status", done.status + rest)]
    rows = [] if isinstance(recipe.method, Sense) else [("method", called(recipe.method))]
    rows += [("prior", repr(recipe.prior)), *([("tuned", tuned(done.tuning))] if done.tuning else [])]
    of = f" (most of {len(done.results)} slices)" if len(done.results) > 1 else ""
    rows += [("maps", maps_of(done.scan))] if done.scan.sets > 1 else []
    return [*rows, ("solver", repr(recipe.solver)),
            ("status", f"{done.status} after {_steps(done)} iterations{of}, residual {residual:.1e}")]


def failure(done) -> str:
    """Why a reconstruction failed, and what to try."""
    if done.recipe.network is not None:
        return f"the network {done.results[0].network} gave NaN or Inf: is it for such scans?"
    return (f"{type(done.recipe.solver).__name__} ended {done.status} after {_steps(done)} iterations: try a smaller "
            "--lam or --sigma, or another --solver")


def _steps(done) -> int:
    return max(r.state.k for r in done.results)


def tuned(tuning) -> str:
    """How a strength was chosen, in words."""
    seen = "; the reference was seen, this is an oracle's choice" if tuning.method == "reference" else ""
    return (f"{tuning.kind} {tuning.strength:.3g} by {tuning.method}, {tuning.status}, {len(tuning.curve)} strengths "
            f"from {tuning.curve[0][0]:.2g} to {tuning.curve[-1][0]:.2g}{seen}")


def metrics_table(reference, images) -> None:
    """Print fastMRI's metrics of the images by name, over the volume, and the PSNR over the body."""
    body = metrics.body(reference)
    print(f"{'':16}{'NMSE':>9}{'PSNR':>9}{'SSIM':>9}{'PSNR body':>11}   (against the full scan)")
    for name, image in images.items():
        m = metrics.all(reference, image)
        print(f"{name:16}{m['nmse']:9.5f}{m['psnr']:9.2f}{m['ssim']:9.4f}"
              f"{metrics.psnr(reference, image, region=body):11.2f}")


def measured(scan: io.Scan) -> list:
    """Rows on what was measured beside the image."""
    rows = []
    if scan.noise is not None:
        rows.append(("noise", f"{scan.noise.shape[1]} samples of noise alone"))
    if scan.calib is not None:
        rows.append(("calibration", f"{scan.calib.shape}, measured apart"))
    return rows


def attribute_rows(meta: dict) -> list:
    """Rows of a scan's `meta`; what raw data was sorted into gets rows of its own, in words."""
    rows = [(name, ", ".join(f"{k} {n}" for k, n in meta[name].items())) for name in ("readouts", "skipped")
            if name in meta]
    if "oversampling_removed" in meta:
        rows.append(("oversampling", "removed, {} to {} samples a readout".format(*meta["oversampling_removed"])))
    if "partial_fourier" in meta:
        rows.append(("partial Fourier", ", ".join(f"{k} {a} to {b}" for k, (a, b) in meta["partial_fourier"].items())))
    shown = ("readouts", "skipped", "oversampling_removed", "partial_fourier", "assumed")
    return rows + [("attribute", f"{k}: {v}") for k, v in meta.items() if k not in shown]


def image_info(path: str) -> None:
    """Print what is in a file that holds an image, with the recipe that made it."""
    image = io.load_image(path)
    rows = [("file", path), ("image", f"{image.shape}, {image.dtype}, magnitude up to {abs(image).max():.4g}")]
    if path.endswith((".h5", ".hdf5")):
        with open_hdf5(path) as file:
            rows += [("attribute", f"{name}: {value}") for name, value in attributes(file).items()]
    table(rows)
