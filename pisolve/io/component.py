"""Which part of a complex image is written, and what is said of an image beside its numbers."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from pisolve import _check
from pisolve._version import __version__

PARTS = {"magnitude": abs, "phase": np.angle, "real": np.real, "imaginary": np.imag, "complex": lambda x: x}
LETTERS = {"magnitude": "M", "phase": "P", "real": "REAL", "imaginary": "IMAGINARY", "complex": "COMPLEX"}  # in files
NAME = "ConversionSoftware"
_SAID = (("MagneticFieldStrength", "field_strength_t", 1), ("EchoTime", "echo_times", 1), ("EchoTime", "te_ms", 1e-3),
         ("InversionTime", "inversion_times", 1), ("InversionTime", "ti_ms", 1e-3),
         ("RepetitionTime", "tr_ms", 1e-3), ("FlipAngle", "flip_deg", 1))


def known_place(meta: dict):
    """The matrix `meta["affine"]`; None where there is none, or where `affine_code` is 0: nobody vouches for it."""
    if meta.get("affine") is None or meta.get("affine_code") == 0:
        return None
    return np.array(meta["affine"], float)


def component(image, wanted: str | None, magnitude: bool | None, default: str):
    """(magnitude, phase, real or imaginary part of an image, or all of it; which it is).

    Args:
        wanted: one of `PARTS`, or None.
        magnitude: the older word, True for "magnitude" and False for "complex".
        default: where neither is given.

    Raises:
        ValueError: another word, or both.
    """
    if wanted is not None and magnitude is not None:
        raise ValueError(f"magnitude={magnitude} beside component={wanted!r}: give one of them")
    if magnitude is not None:
        wanted = "magnitude" if magnitude else "complex"
    wanted = default if wanted is None else _check.choice("component", wanted, tuple(PARTS))
    return PARTS[wanted](image), wanted


def described(meta: dict, part: str, axes) -> dict:
    """What is known of an image, by the names that BIDS has for it: seconds, tesla, degrees, mm.

    Args:
        meta: of the scan; `recipe`, `scale`, `status` and `done` where a recipe made it.
        part: one of `PARTS`.
        axes: the names of the image's axes.
    """
    found = {"Modality": "MR", "ImageType": ["DERIVED", "SECONDARY", "RECON", LETTERS[part]],
             "Units": "rad" if part == "phase" else "arbitrary", NAME: "pisolve",
             f"{NAME}Version": __version__, "DimensionNames": list(axes)}
    for name, key, factor in _SAID:
        value = meta.get(key)
        with suppress(TypeError):
            values = [round(v * factor, 9) for v in (value if isinstance(value, list) else [value])]
            found[name] = values if len(values) > 1 else values[0]
    found |= {"Manufacturer": str(meta["vendor"])} if meta.get("vendor") else {}
    if meta.get("voxel_mm"):
        found["VoxelSize"] = [float(v) for v in meta["voxel_mm"]][::-1]
        found["SliceThickness"] = float(meta["voxel_mm"][0])
    found |= {name.capitalize(): meta[name] for name in ("done", "status", "scale", "recipe") if name in meta}
    if "Done" in found:
        found["DerivationDescription"] = found.pop("Done")
    return found
