"""What several words do with a scan: read it, say its size and sampling, and refuse a file that cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from pisolve import io, masks
from pisolve._check import choice
from pisolve.cli.say import warn


def load(a) -> io.Scan:
    """The scan with its maps and slices; what is odd about it goes to stderr."""
    scan = io.load(a.scan, mps=getattr(a, "mps", None), part=a.part)
    scan = scan if a.slices is None else scan.select(a.slices)
    warn(scan.warnings())
    return scan


def check_output(path: str, suffixes, source: str) -> None:
    """Refuse a file that could not be written, before the work is done."""
    suffix = ".nii.gz" if path.endswith(".nii.gz") else Path(path).suffix
    choice("the suffix of the output", suffix, suffixes)
    check_folder(path)
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if os.path.realpath(path) == os.path.realpath(source):
        raise ValueError(f"{path} is the scan itself: give the output another name")


def check_folder(path: str) -> None:
    """Refuse a file whose folder is not there."""
    if not Path(path).resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of {path} does not exist: make it first")


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
