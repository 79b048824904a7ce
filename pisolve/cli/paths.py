"""What a command reads and writes: nothing is written over what the same command reads."""

from __future__ import annotations

import os
from pathlib import Path

READ = ("scan", "scans", "mps", "recipe", "network", "denoiser", "methods", "method", "config", "images", "reference",
        "sheets", "noise_file")
WRITTEN = ("output", "png", "out")
INSIDE = {  # what the words that write into a folder write there
    "compare": ("report.html", "comparison.json", "summary.md", "records.csv", "slices.csv", "parts"),
    "demo": ("demo.png", "demo.json", "report.html"),
    "train": ("checkpoint.pt", "log.csv", "validation.png"),
}


def refuse_overwriting(a) -> None:
    """Refuse an output that is a file which the command reads, by whatever name: a link to it, the other of a pair.

    Raises:
        ValueError: it is; the message names both.
    """
    read = [(name, path) for name in READ for path in _files(getattr(a, name, None))]
    for name in WRITTEN:
        for target in _targets(a, getattr(a, name, None)):
            for source, path in read:
                if _same(target, path):
                    what = "the scan" if source in ("scan", "scans") else "the config" if source == "config" else (
                        f"the file of --{source.removesuffix('_file')}")
                    alias = "" if str(target) == str(path) else f" ({path})"
                    raise ValueError(f"{target} is {what} itself{alias}, which would be lost: give the output another "
                                     "name")
                if target.is_dir() and target.name == "parts" and target.resolve() in path.resolve().parents:
                    raise ValueError(f"{path}, which is read ({source}), lies in {target}, which is written: give "
                                     "another folder")


def _files(value) -> list[Path]:
    """The existing files that an argument names, both of a pair; words that name none are left out."""
    values = value if isinstance(value, list | tuple) else [value]
    paths = [p for v in values if isinstance(v, str) and v and "\0" not in v for p in _pair(Path(v))]
    paths += [p / "comparison.json" for p in paths]
    return [p for p in paths if os.path.isfile(p)]


def _targets(a, value) -> list[Path]:
    """The files that would be written for an argument."""
    if not isinstance(value, str) or not value or "\0" in value:
        return []
    path = Path(value)
    word = getattr(a, "word", None)
    return [path / name for name in INSIDE[word]] if word in INSIDE else _pair(path)


def _pair(path: Path) -> list[Path]:
    """A path, and of BART's files both."""
    return [path.with_suffix(s) for s in (".cfl", ".hdr")] if path.suffix in (".cfl", ".hdr") else [path]


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
