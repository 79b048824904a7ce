"""A blinded reader study: images that do not tell how they were made, sheets to fill in, and a key kept apart."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import Axes, PathLike
from pisolve._version import __version__
from pisolve.backend import to_numpy
from pisolve.evaluate.planes import labels, planes, told
from pisolve.evaluate.section import Section, Told
from pisolve.io.atomic import atomic

CRITERIA = {"sharpness": "edges and small structures are clear", "noise": "noise does not disturb",
            "artefacts": "no aliasing, ringing, streaks or smearing", "confidence": "I would report from this image"}
SCALE = {1: "not diagnostic", 2: "poor", 3: "acceptable", 4: "good", 5: "excellent"}
REFERENCE = "reference"


@dataclass(frozen=True, repr=False)
class Blinded(Told):
    """What was written for a reader study.

    Attributes:
        folder: what the readers get: reader1/, reader2/ ... with images and sheet.csv, and instructions.txt.
        key: the file that says which image is what; not for the readers.
        images: how many images a reader sees, with repeats.
        repeats: how many of them are shown twice.
        cases, methods: their names.
        readers: how many.
    """

    folder: Path
    key: Path
    images: int
    repeats: int
    cases: tuple[str, ...]
    methods: tuple[str, ...]
    readers: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"folder": str(self.folder), "key": str(self.key), "cases": list(self.cases),
                             "methods": list(self.methods)}

    def section(self) -> Section:
        """For the report and the terminal."""
        text = (f"{len(self.cases)} case(s) by {len(self.methods)} method(s), {self.readers} reader(s), "
                f"{self.images} images each, of which {self.repeats} repeat one. Each reader has his own random order. "
                "All methods of a case share one window. Give the folder to the readers and keep the key away from "
                "them; then unblind the filled sheets.")
        rows = [{"what": "folder for the readers", "where": str(self.folder)}, {"what": "key", "where": str(self.key)}]
        return Section("Blinded reader study", text, rows)


def blinded(images: Any, folder: PathLike, *, reference: Any = None, readers: int = 1, seed: int = 0,
            repeats: float = 0.1, criteria: Any = CRITERIA, scale: float = SCALE, enlarge: int = 1, key: Any = None,
            axes: Axes | None = None) -> Blinded:
    """Export images of several methods for readers who must not know which is which.

    Every reader gets a folder with all images in a random order of his own, named by reader and number alone, and a
    sheet (CSV) with one row an image and one column a criterion. The PNGs hold pixels only (8 bits, no text, no date)
    and are stored without compression, so that no file's size tells how noisy its image is. All methods of a case
    have one window: 0 to the 99.8th percentile of the reference, without one of all methods' images together.

    Args:
        images: dict method -> image, real or complex (y, x), (slice, y, x) or with more axes in front, where each plane
            is a case; or dict case -> dict method -> image (y, x). Shown is the magnitude; within a case all have one
            shape and one scale.
        folder: for the readers; made, must be empty where it exists.
        reference: image as one of `images` (dict case -> image for the second form). It sets the window, and is judged
            as one more method, "reference".
        readers: how many.
        seed: of the orders and of the choice of repeats: the same call writes the same bits.
        repeats: the share of images that each reader sees a second time, never twice in a row where that can be
            avoided, for the agreement of a reader with himself.
        criteria: dict criterion -> what full marks mean, the columns of the sheet.
        scale: dict grade -> words, whole numbers ascending by one.
        enlarge: every pixel becomes a square of this side.
        key: where the key (JSON) is written; None: beside the folder, its name with `_key.json`.
        axes: the names of the images' axes, such as ("frame", "y", "x"), for the names of cases; None: slices.

    Returns:
        `Blinded`.

    Raises:
        TypeError, ValueError: no images, other shapes within a case, a criterion or a scale that is none.
        FileExistsError: the folder holds something, or the key exists.

    Example:
        study = evaluate.blinded({"TV": tv.x, "MoDL": modl.x}, "study", reference=scan.reference, readers=2)
        # ... the readers fill in study/reader1/sheet.csv and study/reader2/sheet.csv ...
        print(evaluate.unblind("study").section())
    """
    cases = _cases(images, reference, axes)
    readers = _check.integer("readers", readers, low=1)
    seed = _check.integer("seed", seed, low=0)
    repeats = _check.number("repeats", repeats, low=0, high=1)
    enlarge = _check.integer("enlarge", enlarge, low=1, high=16)
    criteria, scale = _criteria(criteria), _scale(scale)
    folder = Path(folder)
    key = folder.with_name(folder.name + "_key.json") if key is None else Path(key)
    if folder.resolve() in key.resolve().parents:
        raise ValueError(f"key {key} lies in the readers' folder: keep it apart")
    if key.exists() or (folder.exists() and any(folder.iterdir())):
        raise FileExistsError(f"{key if key.exists() else folder} is there already: a study is not overwritten, "
                              "give another folder")
    pixels = {(c, m): image for c, methods in cases.items() for m, image in _windowed(methods, enlarge).items()}
    shown, again = {}, math.ceil(repeats * len(pixels))
    for reader in range(1, readers + 1):
        place = folder / f"reader{reader}"
        place.mkdir(parents=True, exist_ok=True)
        order = _order(list(pixels), again, np.random.default_rng([seed, reader]))
        names, seen = [], set()
        for number, which in enumerate(order, 1):
            names.append(f"r{reader}_{number:03d}")
            shown[names[-1]] = {"case": which[0], "method": which[1], "repeat": which in seen}
            seen.add(which)
            _write(place / f"{names[-1]}.png", _png(pixels[which]))
        _write(place / "sheet.csv", _sheet(names, criteria))
    _write(folder / "instructions.txt", _instructions(criteria, scale).encode())
    methods = tuple(dict.fromkeys(m for _, m in pixels))
    described = {"pisolve": __version__, "seed": seed, "readers": readers, "criteria": criteria,
                 "scale": {str(k): v for k, v in scale.items()}, "images": shown}
    _write(key, (json.dumps(described, indent=1) + "\n").encode())
    return Blinded(folder, key, len(pixels) + again, again, tuple(cases), methods, readers)


def _cases(images, reference, axes) -> dict:
    """case -> method -> magnitude (y, x), the reference among the methods."""
    if not isinstance(images, dict) or not images:
        raise TypeError(f"images must be a dict method -> image or case -> dict of them, got {_check.brief(images)}")
    if isinstance(next(iter(images.values())), dict):
        if not all(isinstance(methods, dict) and methods for methods in images.values()):
            raise TypeError("images must be dicts of methods for all cases, or images for all methods: one has none")
        if reference is not None and (not isinstance(reference, dict) or set(reference) != set(images)):
            raise ValueError("reference must be a dict with the cases of images: one picture for each")
        cases = {str(c): dict(methods) for c, methods in images.items()}
        own = {} if reference is None else {str(c): image for c, image in reference.items()}
    else:
        volumes = {str(m): _magnitude(f"image {m!r}", x) for m, x in images.items()}
        split = {m: planes(v) for m, v in volumes.items()}
        count = {len(v) for v in split.values()}
        if len(count) > 1:
            raise ValueError(f"images have {sorted(count)} slices: all methods need the same")
        names = _names(next(iter(volumes.values())).shape, axes)
        cases = {name: {m: v[k] for m, v in split.items()} for k, name in enumerate(names)}
        whole = None if reference is None else _magnitude("reference", reference)
        if whole is not None and len(planes(whole)) != len(cases):
            raise ValueError(f"reference has shape {whole.shape}: {len(cases)} slices are needed")
        own = {} if whole is None else dict(zip(cases, planes(whole)))
    for case, methods in cases.items():
        if case in own:
            if REFERENCE in methods:
                raise ValueError(f"images hold a method {REFERENCE!r} beside reference: rename it")
            methods[REFERENCE] = own[case]
        cases[case] = methods = {str(m): _magnitude(f"image {m!r} of {case}", x, (2,)) for m, x in methods.items()}
        shapes = {x.shape for x in methods.values()}
        if len(shapes) > 1:
            raise ValueError(f"images of {case} have shapes {sorted(shapes)}, which would tell them apart: crop them")
    return cases


def _names(shape, axes) -> list[str]:
    """What the planes of an image are called: "slice 3", "slice 2, frame 5"."""
    if axes is None:
        axes = (*(f"axis {k}" for k in range(len(shape) - 3)), "slice", "y", "x")[-max(len(shape), 3):]
    axes = tuple(axes)
    if len(shape) == 2:
        shape, axes = (1, *shape), axes if len(axes) == 3 else ("slice", *axes)
    if len(axes) != len(shape):
        raise ValueError(f"axes names {len(axes)} axes, {', '.join(axes)}, and images have {len(shape)}, shape {shape}")
    return [told(label) for label in labels(axes, shape)]


def _magnitude(name, x, ndim=None) -> np.ndarray:
    if ndim is None:
        ndim = None if getattr(x, "ndim", 0) > 3 else (2, 3)
    return abs(to_numpy(_check.array(name, x, ndim=ndim, complex_=False)).astype(np.complex128))


def _criteria(criteria) -> dict:
    if not isinstance(criteria, dict) or not criteria or not all(isinstance(c, str) and c for c in criteria):
        raise TypeError(f"criteria must be a dict criterion -> explanation, got {_check.brief(criteria)}")
    if {"image", "comment"} & set(criteria):
        raise ValueError("criteria use a name of the sheet's own columns, image or comment: rename it")
    return {c: str(words) for c, words in criteria.items()}


def _scale(scale) -> dict:
    if not isinstance(scale, dict) or len(scale) < 2:
        raise TypeError(f"scale must be a dict grade -> words with two grades at least, got {_check.brief(scale)}")
    grades = [_check.integer("scale", g) for g in scale]
    if grades != list(range(grades[0], grades[0] + len(grades))):
        raise ValueError(f"scale has the grades {grades}: whole numbers ascending by one are needed")
    return {g: str(words) for g, words in scale.items()}


def _windowed(methods, enlarge) -> dict:
    """Every image of a case as uint8, all in one window."""
    base = [methods[REFERENCE]] if REFERENCE in methods else list(methods.values())
    white = float(np.percentile(base, 99.8)) or float(max(x.max() for x in methods.values())) or 1.0
    grey = {m: np.round(255 * np.clip(x / white, 0, 1)).astype(np.uint8) for m, x in methods.items()}
    return {m: x.repeat(enlarge, 0).repeat(enlarge, 1) for m, x in grey.items()}


def _order(items, again: int, rng) -> list:
    """All items and `again` of them a second time, shuffled; of up to 100 orders the first without a direct repeat."""
    chosen = [items[i] for i in sorted(rng.choice(len(items), again, replace=False))]
    both = items + chosen
    for _ in range(100):
        order = [both[i] for i in rng.permutation(len(both))]
        if all(a != b for a, b in itertools.pairwise(order)):
            break
    return order


def _png(pixels) -> bytes:
    """A grey PNG of uint8 (y, x) whose size depends on the shape alone: neither filtered nor compressed."""
    rows = np.concatenate([np.zeros((len(pixels), 1), np.uint8), pixels], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", *pixels.shape[::-1], 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data
                                           + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


def _sheet(names, criteria) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([["image", *criteria, "comment"], *([n] + [""] * (len(criteria) + 1) for n in names)])
    return text.getvalue().encode()


def _instructions(criteria, scale) -> str:
    low, high = min(scale), max(scale)
    lines = ["Please judge the images one by one, in the order of their numbers, on the same display.",
             f"Write a grade from {low} to {high} for each criterion into sheet.csv of your folder.", "", "Grades:",
             *(f"  {g}  {words}" for g, words in scale.items()), "", f"Criteria ({high} means):",
             *(f"  {c}: {words}" for c, words in criteria.items()), "",
             "Some images come twice. Do not go back to images that you have judged already."]
    return "\n".join(lines) + "\n"


def _write(path, data: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(data)
