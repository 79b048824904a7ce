"""Slices of whatever a folder holds, volumes, pictures and fully sampled scans, and what of them is held out."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from pisolve import _check, backend, io
from pisolve.io.files import PICTURES, SUFFIXES, below, suffix_of
from pisolve.prepare import fully_sampled

LONG, SHARE, GAP = 20, 0.1, 3  # slices of a stack that holds out a share of its own, and what lies beside on each side
EVERY = 5  # of shorter stacks, the one that is held out whole
_LEAST, _FILLED = 32, 0.1  # pixels of a side, and the share that is no air


def files(folder) -> list[Path]:
    """The files below a folder that may hold images or scans, by name; hidden ones are left out.

    Raises:
        ValueError: there is no such folder, or no such file in it.
    """
    root = Path(folder)
    found = [p for p in below(root) if suffix_of(p) in SUFFIXES] if root.is_dir() else []
    if not found:
        raise ValueError(f"{root} holds nothing to train on: give a folder with volumes/ in it, or one with volumes, "
                         f"pictures or fully sampled scans in files of {', '.join(SUFFIXES)}")
    return found


def stacks(folder) -> dict[str, list[np.ndarray]]:
    """name -> magnitude slices (y, x) float32 of the files below a folder, the 99th percentile of each stack 1.

    A file is a stack; files of one slice each, as DICOM's are, are one stack with the others of their folder. Scans
    that are sampled fully become the root of the sum of squares of their coils' images, or the file's own reference.
    Slices that are all but empty, or smaller than 32 pixels, are left out.

    Raises:
        ValueError: no file that holds an image.

    Warns:
        UserWarning: files that were left out, with the reason of the first.
    """
    out, left = {}, []
    for path in files(folder):
        try:
            images = _magnitudes(path)
        except (ValueError, TypeError, ImportError, OSError) as error:
            left.append((path, error))
            continue
        inside = path.relative_to(folder)
        name = inside.as_posix() if len(images) > 1 else inside.parent.as_posix()
        out.setdefault(name if name != "." else Path(folder).resolve().name, []).extend(images)
    kept = {}
    for name, images in out.items():
        values = np.concatenate([i[i > 0] for i in images])
        if values.size:
            top = np.float32(np.percentile(values, 99))
            images = [i / top for i in images]
            kept[name] = [i for i in images if min(i.shape) >= _LEAST and (i > 0.1).mean() > _FILLED]
    kept = {name: images for name, images in kept.items() if images}
    told = f"{len(left)} of its files are left out, {left[0][0].name}: {left[0][1]}" if left else ""
    if not kept:
        raise ValueError(f"{folder} holds no image of at least {_LEAST} x {_LEAST} to train on"
                         f"{f': {told}' if told else ', in files that can be read: give another one'}")
    if left:
        warnings.warn(f"{folder}: {told}", stacklevel=_check.outside())
    return kept


def parted(found: dict[str, list[np.ndarray]]) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """(slices to train on, name -> slices that are held out) of `stacks`.

    A stack of 20 slices or more holds out the tenth in its middle, and three slices on either side are not used; of
    shorter ones every fifth is held out whole, at least one.

    Raises:
        ValueError: one short stack alone, of which nothing can be held out.
    """
    short = [name for name, images in found.items() if len(images) < LONG]
    whole = short[EVERY - 1:: EVERY]
    if len(short) == len(found) and not whole:
        whole = short[-1:]
    train, held = [], {}
    for name, images in found.items():
        if name in whole:
            held[name] = images
        elif name in short:
            train += images
        else:
            width = max(2, round(SHARE * len(images)))
            first = (len(images) - width) // 2
            held[name] = images[first: first + width]
            train += images[: first - GAP] + images[first + width + GAP:]
    if not train:
        raise ValueError(f"{next(iter(found))} alone has {len(short and found[short[0]])} slices, too few to hold some "
                         f"out for validation: give {LONG} slices, or several files")
    return train, held


def _magnitudes(path: Path) -> list[np.ndarray]:
    """The slices (y, x) of a file, of an image or of a fully sampled scan."""
    if suffix_of(path) in PICTURES:
        return _planes(io.load_image(path))
    try:
        scan = io.load(path)
    except (ValueError, TypeError) as error:
        if path.suffix in (".npz", ".dat"):
            raise
        try:  # an image in a file that may hold either
            return _planes(io.load_image(path))
        except (ValueError, TypeError):
            raise error from None
    if scan.coord is not None or not fully_sampled(scan):
        raise ValueError("undersampled scans show no truth: give fully sampled ones")
    if scan.reference is not None:
        return _planes(scan.reference)
    inner = len(scan.encoding.encoded)
    images = backend.fft(scan.kspace, tuple(range(-inner, 0)), inverse=True)
    return _planes(np.linalg.norm(images, axis=-1 - inner))


def _planes(image) -> list[np.ndarray]:
    image = np.abs(np.asarray(image)).astype(np.float32)
    return [np.ascontiguousarray(plane) for plane in image.reshape(-1, *image.shape[-2:])]
