"""Which files, and what becomes of each: the tasks of a run."""

from __future__ import annotations

import os
from pathlib import Path

from pisolve import _check
from pisolve.io.files import PICTURES, SUFFIXES, below, is_scan_folder, suffix_of
from pisolve.many import record
from pisolve.workers import sizes

SCANS = tuple(s for s in SUFFIXES if s not in PICTURES)  # what a folder is searched for


def found(paths, out: Path) -> list[tuple[str, Path]]:
    """(name, path) of each file: of a folder all scans in it and below, hidden files and those in `out` left out.

    Args:
        paths: a folder, a file, or a list of them.
        out: the folder that images are written to.

    Raises:
        TypeError: no paths.
        ValueError: there is no file with a scan's suffix, or `out` is where the scans are.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, list | tuple) or not all(isinstance(p, str | os.PathLike) for p in given):
        raise TypeError(f"paths must be a folder, a file, or a list of them, got {_check.brief(paths)}")
    files = {}
    for path in map(Path, given):
        inside = _inside(path, out) if path.is_dir() and not is_scan_folder(path) else [(path.name, path)]
        for name, file in inside:
            files.setdefault(os.path.realpath(file), (name, file))
    if not files:
        raise ValueError(f"{', '.join(map(str, given)) or 'paths'} holds no scans: files with one of "
                         f"{', '.join(SCANS)} are looked for")
    return list(files.values())


def _inside(root: Path, out: Path) -> list[tuple[str, Path]]:
    here, there = root.resolve(), out.resolve()
    if here == there:
        raise ValueError(f"{out} is the folder of the scans: give another one for the images")
    mine = there if here in there.parents else None  # images of an earlier run are no scans
    return [(path.relative_to(root).as_posix(), path) for path in below(root)
            if suffix_of(path) in SCANS and mine not in path.resolve().parents]


def tasks_of(files, out: Path, suffix: str, common: dict, at_a_time: int | None = None) -> list[dict]:
    """A task for each file: plain values, `common` and where it is read and written.

    An image has the name of its scan and the suffix; where several scans would meet in one, each keeps its own suffix
    before it: scan.h5 and scan.npz become scan.h5.h5 and scan.npz.h5.

    Args:
        files: as `found` gives them.
        out: the folder of the images.
        suffix: of the images.
        common: what all tasks say.
        at_a_time: as for `sizes.estimate`.

    Raises:
        ValueError: two files of one name, or an image instead of a scan.
    """
    short = [_without_suffix(name) for name, _ in files]
    names = [name if short.count(stem) > 1 else stem for (name, _), stem in zip(files, short)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two files are called {twice}: give the folder that they lie in, or run them apart")
    sources = {os.path.realpath(p) for _, path in files for p in _pair(path)}
    tasks = []
    for (name, path), stem in zip(files, names):
        target = out / f"{stem}{suffix}"
        for one in record.written(target):
            if os.path.realpath(one) in sources:
                raise ValueError(f"{one} is a scan itself, which would be lost: give another folder for the images")
        tasks.append({**common, "file": name, "path": os.path.abspath(path), "target": os.path.abspath(target),
                      "output": f"{stem}{suffix}", "bytes": sizes.estimate(path, at_a_time),
                      "record": os.path.abspath(out / record.FOLDER / f"{stem}{suffix}.json")})
    return tasks


def _without_suffix(name: str) -> str:
    suffix = suffix_of(Path(name))
    return name.removesuffix(suffix) if suffix in SUFFIXES else name


def _pair(path: Path) -> list[Path]:
    return [path.with_suffix(s) for s in (".cfl", ".hdr")] if path.suffix in (".cfl", ".hdr") else [path]
