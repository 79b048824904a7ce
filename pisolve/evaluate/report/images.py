"""The report's images: grey PNG data of up to 12 bits, planned to fit a size before anything is written."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pisolve.evaluate.planes import planes
from pisolve.figure import error_limit

BUDGET = 24e6  # bytes of image data in a report, as text
HEADROOM = {12: 2.0, 8: 1.25}  # bits -> the largest value that is kept, in units of the window's white
LEAST = 64  # pixels: no image is made smaller than this on its shorter side
QUANTITIES = {"relaxation": "viridis", "share": "cividis", "field": "coolwarm"}  # in which black is not determined
MAPS = ("gray", "heat", "signed", *QUANTITIES)  # of a `Picture`


def png(pixels, *, palette=None) -> bytes:
    """A PNG of uint8 or uint16 (y, x): grey, or indices into a palette.

    Written here, so that the same pixels are the same bytes whatever is installed. Each row has the filter whose sum of
    absolute differences is least, as the specification recommends.

    Args:
        pixels: uint8 or uint16 (y, x).
        palette: uint8 (up to 256, 3) or None.

    Returns:
        The file as bytes.

    Reference:
        W3C, Portable Network Graphics Specification (2003), chapters 9 and 10.
    """
    big = np.ascontiguousarray(pixels, f">u{pixels.dtype.itemsize}")
    rows = big.view(np.uint8).reshape(len(big), -1).astype(np.int16)
    step = pixels.dtype.itemsize
    left, up, corner = (np.zeros_like(rows) for _ in range(3))
    left[:, step:], up[1:], corner[1:, step:] = rows[:, :-step], rows[:-1], rows[:-1, :-step]
    guess = left + up - corner
    near = [abs(guess - v) for v in (left, up, corner)]
    paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner))
    lines = np.stack([(rows - p).astype(np.uint8) for p in (np.zeros_like(rows), left, up, (left + up) // 2, paeth)])
    kinds = abs(lines.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64).argmin(0)
    best = np.concatenate([kinds[:, None].astype(np.uint8), lines[kinds, np.arange(len(rows))]], 1)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8 * step, 0 if palette is None else 3, 0, 0, 0)
    parts = [(b"IHDR", head), *([] if palette is None else [(b"PLTE", np.asarray(palette, np.uint8).tobytes())]),
             (b"IDAT", zlib.compress(best.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)


def text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def address(data: bytes) -> str:
    """A PNG as a data URL."""
    return "data:image/png;base64," + text(data)


def colours(name: str) -> np.ndarray:
    """A colour map of `Picture.map` as uint8 (256, 3)."""
    if name == "gray":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    if name == "signed":  # blue, black, orange: zero is dark, as a reading room is
        share = np.linspace(-1, 1, 256)[:, None]
        return (np.where(share < 0, (90, 170, 255), (255, 160, 60)) * abs(share) + 0.5).astype(np.uint8)
    import matplotlib

    found = (matplotlib.colormaps[QUANTITIES.get(name, "magma")](np.arange(256))[:, :3] * 255 + 0.5).astype(np.uint8)
    if name in QUANTITIES:
        found[0] = 0
    return found


def bar(name: str) -> str:
    """The colours of a map from low to high as a data URL."""
    return address(png(np.arange(name in QUANTITIES, 256, dtype=np.uint8)[None], palette=colours(name)))


def picture(shown) -> str:
    """A `Picture` as a data URL; what is not finite is black in a map of a quantity, else drawn as its lowest value."""
    span = shown.high - shown.low
    values = np.asarray(shown.image, float)
    share = (np.nan_to_num(values, nan=shown.low, posinf=shown.high, neginf=shown.low)
             - shown.low) / (span if span > 0 else 1.0)
    index = (255 * np.clip(share, 0, 1) + 0.5).astype(np.uint8)
    if shown.map in QUANTITIES:
        index = np.where(np.isfinite(values), np.maximum(index, 1), 0).astype(np.uint8)
    return address(png(index, palette=None if shown.map == "gray" else colours(shown.map)))


@dataclass(frozen=True)
class Plan:
    """What of the images is kept.

    Attributes:
        bits: 12 or 8.
        slices: of each setting, which planes: slices, frames, partitions, in the order of `Setting.planes`.
        step: every image is the mean of blocks of step x step pixels.
        total: planes of each setting that there are.
        what: what the planes of each setting are, in words.
    """

    bits: int
    slices: tuple[Any, ...]
    step: int
    total: tuple[Any, ...]
    what: tuple[Any, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What the reader must know, one sentence each."""
        out = []
        if any(len(kept) < n for kept, n in zip(self.slices, self.total)):
            most, kept = max(zip(self.total, map(len, self.slices)))
            where = " of a setting" if len(self.total) > 1 else ""
            what = self.what[0] if len(set(self.what)) == 1 else "planes" if self.what else "slices"
            out.append(f"To keep this file small the viewer holds {kept} of {most} {what}{where}, evenly spaced; all "
                       f"numbers are of all {what}.")
        if self.step > 1:
            out.append(f"To keep this file small the viewer's images are means of {self.step} x {self.step} pixels; "
                       "all numbers are of the images as they were reconstructed.")
        return out


def absent(outcome, z: int) -> str:
    """Words instead of a plane that a method has no image of; "" where it has one."""
    if outcome.status == "failed":
        return "failed: no image"
    stand_in = outcome.status == "nonfinite" and outcome.solver == "network"  # A^H y, which is not the network's
    return "not finite: no image" if stand_in or not np.isfinite(planes(outcome.images)[z]).any() else ""


def sources(comparison) -> list[dict]:
    """Of each setting the images by name, real (plane, y, x), magnitudes; the reference's name is None.

    An absent image is NaN: black, and without a say in the scales.
    """
    out = []
    for k, setting in enumerate(comparison.settings):
        own = {n: comparison.outcomes[k, n] for n in comparison.ranking() if (k, n) in comparison.outcomes}
        found = {} if setting.reference is None else {None: abs(planes(setting.reference))}
        known = [*found.values(), *(planes(o.images) for o in own.values() if o.status != "failed")]
        shape = known[0].shape if known else None
        for n, o in own.items():
            gone = np.array([bool(absent(o, z)) for z in range(len(planes(o.images)))])
            image = np.where(gone[:, None, None], np.float32(np.nan), abs(planes(o.images)))
            # what failed has k-space's size where nobody knew the image's
            found[n] = np.full(shape, np.nan, np.float32) if o.status == "failed" and shape else image
        out.append(found)
    return out


@dataclass(frozen=True)
class Scale:
    """How a setting's images become grey.

    Attributes:
        top: what is white at first, the 99.8th percentile of the reference, without one of all images.
        peak: the largest value that is kept.
        limit: white of the error maps, as a share of `top`.
        clipped: share of the pixels above `peak`.
    """

    top: float
    peak: float
    limit: float
    clipped: float


def _window(images, bits):
    """What is white at first, and the largest value that is kept."""
    first = [images[None]] if None in images else list(images.values())
    sizes = np.concatenate([v[np.isfinite(v)].ravel() for v in first])  # of what failed nothing is left
    top = float(np.percentile(sizes, 99.8)) if sizes.size else 0.0
    top = top or float(sizes.max(initial=0)) or 1.0
    largest = max(float(v.max(initial=0, where=np.isfinite(v))) for v in images.values())
    return top, min(max(largest, top), HEADROOM[bits] * top)


def scale_of(images: dict, bits: int) -> Scale:
    """The grey scale of a setting's images, one for all of them."""
    if not images:
        return Scale(1.0, 1.0, 0.0, 0.0)
    top, peak = _window(images, bits)
    above = sum(int((v > peak).sum()) for v in images.values()) / max(1, sum(v.size for v in images.values()))
    errors = [abs(np.nan_to_num(v) - images[None]) for n, v in images.items() if n is not None and None in images
              and np.isfinite(v).any()]
    return Scale(top, peak, error_limit(errors, top) if errors else 0.0, above)


def _grey(image, peak, bits, step):
    """Pixels as uint8, or 12 bits at the upper end of uint16."""
    image = np.nan_to_num(image, nan=0.0, posinf=peak, neginf=0.0)
    ny, nx = (n // step * step for n in image.shape)
    image = image[:ny, :nx].reshape(ny // step, step, nx // step, step).mean((1, 3)) if step > 1 else image
    levels = np.rint(np.clip(image / peak, 0, 1) * (2**bits - 1))
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16) << 4


def _spread(count, kept):
    """`kept` of `count` slices, evenly spaced, each in the middle of its share."""
    return tuple(int((k + 0.5) * count / kept) for k in range(kept))


def plan(images: list[dict], budget: float = BUDGET) -> Plan:
    """What to keep so that all images take at most `budget` bytes as base64.

    12 bits where they fit, else 8; then fewer slices, to a third; then blocks of pixels; then fewer slices still. The
    size of an image is estimated by encoding the middle slice of each method of each setting.
    """
    total = tuple(max((len(v) for v in found.values()), default=0) for found in images)
    least = min((min(v.shape[-2:]) for found in images for v in found.values()), default=LEAST)
    last = None
    for bits, step in ((12, 1), (8, 1), (8, 2), (8, 3), (8, 4)):
        if step > 1 and least // step < LEAST:
            break
        each = []  # of each setting, bytes of one slice of all its methods
        for found in images:
            peak = _window(found, bits)[1] if found else 1.0
            each.append(sum(4 / 3 * len(png(_grey(v[len(v) // 2], peak, bits, step))) + 60 for v in found.values()))
        full = 1.05 * sum(n * size for n, size in zip(total, each))
        share = min(1.0, budget / full) if full else 1.0
        kept = tuple(_spread(n, max(1, int(n * share))) if n else () for n in total)
        last = Plan(bits, kept, step, total)
        fits = 1.05 * sum(len(k) * size for k, size in zip(kept, each)) <= budget
        if fits and (share == 1 or (bits == 8 and all(len(k) >= n / 3 for k, n in zip(kept, total)))):
            return last
    return last


def encode(images: list[dict], chosen: Plan, budget: float = BUDGET) -> tuple[dict, list[Scale], Plan]:
    """All images of a plan: {(setting, panel, slice): base64}, the scale of each setting, and the plan as it came out.

    Panels are numbered in the order of `sources`. Where the estimate was too low, slices are left out until it fits.
    """
    scales = [scale_of(found, chosen.bits) for found in images]
    out = {}
    for k, found in enumerate(images):
        for p, image in enumerate(found.values()):
            for s in chosen.slices[k]:
                out[k, p, s] = text(png(_grey(image[s], scales[k].peak, chosen.bits, chosen.step)))
    while sum(len(v) + 60 for v in out.values()) > budget and max(map(len, chosen.slices)) > 1:
        slices = tuple(tuple(kept[i] for i in _spread(len(kept), max(1, int(0.9 * len(kept)))))
                       for kept in chosen.slices)
        chosen = replace(chosen, slices=slices)
        out = {key: v for key, v in out.items() if key[2] in slices[key[0]]}
    return out, scales, chosen
