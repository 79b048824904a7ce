"""What the stability of a recipe has to say."""

from __future__ import annotations

import numpy as np

from pisolve.evaluate.planes import middle
from pisolve.evaluate.section import Curves, Picture, Section

_ABOUT_DETAILS = (
    "Dots of 2 pixels, lines, a smooth disc (lesion) and text were added to the object, one kind and contrast at a "
    "time, up to three copies of each at random places in the body, the same for every recipe, and simulated into the "
    "data through the scan's coil maps and sampling; contrasts are in units of the object's 99th percentile (of the "
    "reference, else of the zero-filled image). recovered = <x' - x, d> / <d, d> for the image x' with and x without "
    "the structure d, mean over the copies: 1 as it is, 0 lost; worst copy is the least of them: kept from 0.5, faded "
    "from 0.2, lost below. CNR = recovered contrast over the standard deviation of the image in a ring around it. "
    "elsewhere is the share of the change's energy that is not the structures: aliasing, blurring, invention. "
    "Undersampling alone loses fine structures; compare with a classical prior.")
_ABOUT_SAMPLES = (
    "The full scan was undersampled with masks of one kind and seed, more and less than the recipe is meant "
    "for, maps made anew from each. NMSE and PSNR are those of magnitudes inside the body against the full data's root "
    "sum of squares, noise included. worse: the error is more than 2 % larger than with fewer samples, as in networks "
    "that know one sampling only.")


def sections(s) -> list[Section]:
    """The tests of a `Stability`, each with its own table; the first has the warnings and what was left out."""
    out, p, d = [], s.perturbation, s.details
    if p:
        rows = [{"size": percent(r["size"]), **{k: v for k, v in r.items() if k != "size"}} for r in p.rows]
        out.append(Section("Perturbed data", _about_perturbation(p), rows, _perturbed_pictures(p), _gain_curves(p)))
    if d:
        lines = {n: _line([r for r in d.rows if r["structure"] == n], "contrast", "recovered") for n in d.names}
        curves = [Curves("Inserted structures", "contrast / 99th percentile of the object", "recovered", lines)]
        out.append(Section("Inserted structures", _ABOUT_DETAILS, d.rows, _detail_pictures(d), curves if lines else []))
    if s.samples:
        curve = Curves("More and fewer samples", "share of k-space that was sampled", "NMSE inside the body",
                       {s.name: _line(s.samples, "samples", "NMSE")}, "xy")
        out.append(Section("More and fewer samples", _ABOUT_SAMPLES, s.samples, curves=[curve]))
    head = (f"Tests of {s.name}: perturbed data, inserted structures, more and fewer samples (Antun et al., 2020), by "
            f"{s.runs} reconstructions with maps, scale and iterations of the scan itself.")
    return [Section(f"Stability: {s.name}", "\n\n".join([head, *s.notes]), warnings=s.warnings), *out]


def merged(s) -> Section:
    """`sections` as one."""
    parts = sections(s)
    told = ("size", "structure", "contrast", "acceleration", "home")  # by the case
    rows = [{"test": part.title, "case": _case(row), **{k: v for k, v in row.items() if k not in told}}
            for part in parts for row in part.rows]
    text = "\n\n".join(part.text if not k else f"{part.title}. {part.text}" for k, part in enumerate(parts))
    return Section(parts[0].title, text, rows, {n: q for part in parts for n, q in part.pictures.items()},
                   [c for part in parts for c in part.curves], parts[0].warnings)


def percent(share) -> str:
    """A share in percent."""
    return f"{100 * share:.3g} %"


def _case(row) -> str:
    if "structure" in row:
        return f"{row['structure']}, contrast {row['contrast']:g}"
    return row["size"] if "size" in row else f"{row['acceleration']:g}x" + (" (home)" if row["home"] else "")


def _line(rows, x, y) -> tuple:
    return [r[x] for r in rows], [r[y] for r in rows]


def _about_perturbation(p) -> str:
    how = {"search": "by a search that calls the reconstruction only (a power iteration by finite "
                     "differences" + (f"; {p.reason}" if p.reason else "") + ")",
           "gradient": "by projected gradient ascent through the reconstruction"}
    how["search, then gradient"] = "by a search, then by projected gradient ascent through the reconstruction"
    bound = ("" if p.bound is None else f" For this prior it is at most {p.bound:g} at the minimum, for any "
             "perturbation; above that the iteration is not there yet.")
    return (
        "Among all changes e of the sampled data of a given size ||e|| / ||y|| the worst was looked for "
        f"{how[p.by]}. gain = (||f(y + e) - f(y)|| / ||f(y)||) / (||e|| / ||y||): with a gain of 5 a change of the "
        "data by 1 % changes the image by 5 %. noise gain is the same for white noise, ratio the one over the other: "
        "how much worse than bad luck the worst is. data gain = ||A (f(y + e) - f(y))|| / ||e||: what the change of "
        f"the image means in the data.{bound} largest change is that of one pixel's magnitude, over the image's 99th "
        "percentile. Every undersampled reconstruction has a gain above 1 somewhere, where coils hardly tell pixels "
        "apart; compare with a classical prior on this scan. What was found is a lower bound.")


def _gain_curves(p):
    x = [100 * r["size"] for r in p.rows]
    lines = {"worst found": (x, [r["gain"] for r in p.rows]), "white noise": (x, [r["noise gain"] for r in p.rows])}
    if p.rows[0]["data gain"] is not None:
        lines["worst, in the data"] = (x, [r["data gain"] for r in p.rows])
    return [Curves("Gain of perturbations", "size of the perturbation / % of the data", "gain", lines, "xy")]


def _perturbed_pictures(p):
    image, worst, noisy = (abs(middle(x)) for x in (p.image, p.images[-1], p.noisy))
    level = float(np.percentile(image, 99.8))
    size = percent(p.rows[-1]["size"])
    return {"image": Picture(image, 0.0, level), f"worst {size}": Picture(worst, 0.0, level),
            "its change": Picture(abs(worst - image), 0.0, level / 5),
            f"change by noise of {size}": Picture(abs(noisy - image), 0.0, level / 5)}


def _detail_pictures(d):
    if not d.names:
        return {}
    truth, found = d.truth.sum(0), d.found.sum(0)
    top = float(truth.max())
    return {"inserted": Picture(truth, 0.0, top), "recovered": Picture(found, 0.0, top)}
