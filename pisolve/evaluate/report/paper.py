"""The images as paper shows them: small, without a program, of the plane that the viewer shows first."""

from __future__ import annotations

import numpy as np

from pisolve.evaluate.report import images as pictures
from pisolve.evaluate.report.stepping import stepping
from pisolve.evaluate.section import Picture
from pisolve.figure import error_limit

MOST = 256  # pixels along the longer side of an image


def sheets(comparison, images: list[dict], scales, plan, caption) -> list[dict]:
    """Of each setting its images and errors, as the template draws them when the page is printed.

    Args:
        comparison: `Comparison`.
        images: of `images.sources`.
        scales, plan: of `images.encode`.
        caption: (setting, method, plane) -> the line of metrics.
    """
    out = []
    for k, (setting, found, scale) in enumerate(zip(comparison.settings, images, scales)):
        kept = plan.slices[k]
        if not kept:
            continue
        start = stepping(setting, kept)["start"]
        at, truth = kept[start], found.get(None)
        figures = []
        for name, image in found.items():
            judged = name is not None and truth is not None and np.isfinite(image[at]).any()
            error = abs(np.nan_to_num(image[at]) - truth[at]) if judged else None
            figures.append({"name": "reference" if name is None else name,
                            "caption": "" if name is None else caption(comparison, k, name, at),
                            "image": _address(image[at], scale.top, "gray"),
                            "error": error is not None and _address(error, scale.limit * scale.top, "heat")})
        gap = _gap(found, at, scale)
        lit = " and ".join(w for w, there in (("errors", truth is not None), ("difference", gap is not None)) if there)
        named = setting.names[at] if len(setting.names) > 1 else ""
        ny, nx = next(iter(found.values())).shape[-2:]
        ratio = nx * setting.pixel[1] / (ny * setting.pixel[0])
        out.append({"setting": k, "ratio": ratio, "label": setting.label, "plane": named, "figures": figures,
                    "gap": gap, "lit": lit.capitalize(), "errors": truth is not None,
                    "limit": f"{100 * scale.limit:g} %"})
    return out


def _gap(found: dict, at: int, scale) -> dict | None:
    """The first method's magnitude minus the second's, in colours with a sign; None where there are no two images."""
    names = [name for name, image in found.items() if name is not None and np.isfinite(image[at]).any()][:2]
    if len(names) < 2:
        return None
    gap = np.nan_to_num(found[names[0]][at]) - np.nan_to_num(found[names[1]][at])
    limit = scale.limit or error_limit([abs(gap)], scale.top)
    return {"name": " \N{MINUS SIGN} ".join(names), "limit": f"{100 * limit:g} %",
            "image": _address(gap, limit * scale.top, "signed", -limit * scale.top)}


def _address(image, top: float, colours: str, low: float = 0.0) -> str:
    """An image of at most MOST pixels along a side as a data URL."""
    step = -(-max(image.shape) // MOST)
    ny, nx = (n // step * step for n in image.shape)
    small = np.nan_to_num(image[:ny, :nx]).reshape(ny // step, step, nx // step, step).mean((1, 3))
    return pictures.picture(Picture(small, low, top or 1.0, map=colours))
