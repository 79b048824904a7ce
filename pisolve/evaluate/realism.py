"""Does it look real, and is it true? The Frechet distance of features beside the PSNR: rich but wrong, measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check, metrics
from pisolve._types import ArrayLike
from pisolve.backend import to_numpy
from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.planes import planes
from pisolve.evaluate.section import Section

_MOST = 4096  # places of a plane, of each scale
_APART = 0.1  # dB that are a difference
TITLE = "Does it look real, and is it true?"


def realism(reference: ArrayLike, image: ArrayLike, features: Any = None) -> float:
    """How far an image looks from the reference, wherever its details are: 0 is alike, 1 as far as the features spread.

        mean over l of  F(f_l(image), f_l(reference)) / tr C_l

    F is the squared Frechet distance (`metrics.frechet`) over the places inside the body of all planes, f_l features of
    scale l, C_l their covariance in the reference. As places are not compared with each other, an image with the
    right kind of detail in the wrong place is near, and a smooth one is far: that is its use, beside the PSNR, and why
    it is no measure of truth. Features at places of few images stand for Inception's of many (single-image FID).

    Args:
        reference: real or complex (y, x) or (..., y, x); compared by magnitude.
        image: of the same shape, in the same units.
        features: torch module, planes (B, 2, y, x) -> feature maps, coarser ones by whole factors; None: those of the
            shipped denoiser-fast, as in `nets.Perceptual`.

    Raises:
        TypeError, ValueError: shapes that differ, or fewer places inside the body than a covariance needs.

    Reference:
        Heusel et al., NeurIPS 2017 (FID); Shaham et al., "SinGAN", ICCV 2019 (of single images).
    """
    reference = abs(to_numpy(_check.array("reference", reference, nonzero=True)))
    image = abs(to_numpy(_check.array("image", image, shape=reference.shape)))
    return _distance(*zip(*_samples(reference, image, _eyes(features))))


def _eyes(features):
    """What sees features, of tensors (plane, y, x)."""
    from pisolve.nets import Perceptual

    return Perceptual() if features is None else Perceptual(features=features)


def _samples(reference, image, eyes):
    """(features of the reference, of the image) of each scale, arrays (place, channel) of places inside the body."""
    import torch

    inside = planes(metrics.body(reference))
    scale = 1 / np.percentile(reference[metrics.body(reference)], 99)
    with torch.no_grad():
        seen = [eyes.seen(torch.from_numpy(np.ascontiguousarray(planes(x * scale), np.float32)))
                for x in (reference, image)]
    return [tuple(_places(to_numpy(x), inside) for x in pair) for pair in zip(*seen)]


def _places(maps, inside):
    """Features (plane, channel, y, x) at some places of a body (plane, y, x) of that size, or a multiple of it."""
    step = [max(1, round(n / m)) for n, m in zip(inside.shape[-2:], maps.shape[-2:])]
    inside = inside[:, :: step[0], :: step[1]]
    maps = np.moveaxis(maps[..., : inside.shape[1], : inside.shape[2]], 1, -1)
    inside = inside[:, : maps.shape[1], : maps.shape[2]]
    found = [m[i] for m, i in zip(maps, inside)]
    return np.concatenate([f[:: max(1, -(-len(f) // _MOST))] for f in found])


def _distance(truth, made) -> float:
    """The mean over scales of the relative Frechet distance."""
    found = []
    for a, b in zip(truth, made):
        if len(a) <= a.shape[1]:
            raise ValueError(f"the body has {len(a)} places for {a.shape[1]} features: give a larger image, or several")
        found.append(metrics.frechet(b, a) / max(float(a.var(0, ddof=1, dtype=np.float64).sum()), 1e-30))
    return float(np.mean(found))


def compared(comparison, features: Any = None) -> list[Section]:
    """The section of a comparison: every method's distance and PSNR, and which look real and are wrong.

    Methods that failed somewhere are left out, and so are settings without a reference; none: no section.
    """
    settings = [k for k, s in enumerate(comparison.settings) if s.reference is not None]
    names = [n for n in comparison.methods if settings and all(
        comparison.outcomes[k, n].status not in FAILED for k in settings)]
    if not names:
        return []
    eyes, rows = _eyes(features), []
    for name in names:
        each = [_samples(comparison.settings[k].reference, abs(comparison.outcomes[k, name].images), eyes)
                for k in settings]
        pooled = [[np.concatenate(parts) for parts in zip(*scale)] for scale in zip(*each)]  # over the settings
        rows.append({"method": name, "Frechet distance": _distance(*zip(*pooled)),
                     "PSNR / dB": comparison.mean(name, "psnr_body"), "adversarial": ""})
    told = comparison.about.get("warned", {})
    rows = [{**r, "adversarial": "may invent detail" if r["method"] in told else ""} for r in rows]
    rows = sorted(rows, key=lambda r: r["Frechet distance"])
    text = ("The Frechet distance compares what images are made of with what the references are made of, features of a "
            "denoising network inside the body, and not where it is: 0 is alike, 1 as far as the features themselves "
            "spread. PSNR compares each place. An image that is rich but wrong has a small distance and a low PSNR, a "
            "smooth one a large distance and maybe the best PSNR. The distance says nothing of the truth.")
    return [Section(TITLE, text, rows, warnings=rich_but_wrong(rows))]


def rich_but_wrong(rows: list[dict]) -> list[str]:
    """One sentence for each method that looks more real than the one with the best PSNR, and is further from the truth.

    Args:
        rows: dicts with "method", "Frechet distance" and "PSNR / dB".
    """
    best = max(rows, key=lambda r: r["PSNR / dB"])
    return [f"{r['method']} is rich but wrong: it looks more real than {best['method']} (Frechet distance "
            f"{r['Frechet distance']:.2g} against {best['Frechet distance']:.2g}) and is "
            f"{best['PSNR / dB'] - r['PSNR / dB']:.1f} dB further from the truth"
            for r in rows if r["Frechet distance"] < best["Frechet distance"]
            and r["PSNR / dB"] < best["PSNR / dB"] - _APART]
