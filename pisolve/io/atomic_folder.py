"""A folder that is one thing, such as .zarr: either complete or not there, as `atomic` has it for files."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pisolve.io import owner
from pisolve.io.atomic import place, sweep
from pisolve.io.failure import telling

_HERE, _EXCHANGE = -100, 2  # Linux' numbers: the working folder, and the exchange of two names


def place_folder(path, ours: Callable) -> Path:
    """Where a folder goes.

    Args:
        ours: says of a folder whether it may be replaced; an empty one always may.

    Raises:
        ValueError: a file, or a folder of something else, stands there.
        FileNotFoundError, PermissionError: as `atomic`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise ValueError(f"{path} is a file, and a folder of this name would be written: give another name")
    if not target.is_dir():
        return place(path)[1]
    if not ours(target) and any(target.iterdir()):
        raise ValueError(f"{path} is a folder of something else: give another name, or remove it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: its folder is write-protected; write elsewhere")
    return target


@contextmanager
def atomic_folder(path, ours: Callable) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it takes its name at the end, and is removed on any exception.

    What stood there stays until the new one is complete and on the disk. Where the system cannot exchange two names at
    once, a kill between two renames leaves the old one beside it, its name ending in `.before`.

    Raises:
        As `place_folder`, and OSError: the disk is full, ...
    """
    with telling(path):
        target = place_folder(path, ours)
        sweep(target.parent)
        temporary = target.parent / owner.temporary_name(secrets.token_hex(6), target.suffix)
        temporary.mkdir()
        try:
            yield temporary
            for at, _, names in os.walk(temporary):
                for name in names:
                    with open(os.path.join(at, name), "rb+") as file:
                        os.fsync(file.fileno())
            _take_place(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temporary, target)
    elif not _exchanged(temporary, target):
        before = target.with_name(f"{target.name}.before")
        os.rename(target, before)
        os.rename(temporary, target)
        shutil.rmtree(before, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two names were exchanged, which not every system can do."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
