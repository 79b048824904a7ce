"""Files that are either complete or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pisolve._types import PathLike
from pisolve.io import owner
from pisolve.io.failure import telling, told

_swept = set()  # (process, folder): where this process has looked for what killed runs left


@contextmanager
def atomic(path: PathLike) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; renamed to `path` at the end, removed on any exception.

        with atomic("image.npy") as temporary:
            np.save(temporary, image)

    Whatever stood at `path` stays until the new file is complete and on the disk, and the new one has its permissions.
    A link is followed. A FIFO or a device stays what it is: the complete file is written into it. The temporary name
    starts with `.pisolve-`, tells the process and keeps the suffixes; what a killed run left is removed by the next one
    that writes into the folder.

    Args:
        path: str or os.PathLike of the file to write.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: `path` is a folder.
        PermissionError: the folder cannot be written, or `path` is write-protected.
        OSError: the disk is full, a limit or a quota is reached, the file system is read-only, links make a circle.
    """
    with together(path) as (temporary,):
        yield temporary


@contextmanager
def together(*paths) -> Iterator[tuple[Path, ...]]:
    """`atomic` for files that belong together: all are complete before the first is renamed, in the order given.

    A kill between two renames leaves the later files under their temporary names: `unfinished` finds them for a reader,
    and the next run that writes there renames them.
    """
    token = f"{family(paths[0]) if len(paths) > 1 else ''}{secrets.token_hex(6)}"
    with ExitStack() as stack:
        parts = [stack.enter_context(_part(Path(path), token)) for path in paths]
        with ExitStack() as watched:
            for _, target in parts:
                watched.enter_context(telling(target))
            yield tuple(temporary for temporary, _ in parts)
            for temporary, _ in parts:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            for temporary, target in parts:
                _place(temporary, target)


@contextmanager
def _part(path: Path, token: str) -> Iterator[tuple[Path, Path]]:
    """(a temporary file that exists, empty and ours alone; where it is to go), removed at the end."""
    with telling(path):
        special, target, mode = place(path)
        folder = Path(tempfile.gettempdir()) if special else target.parent
        _sweep_once(folder)
        suffix = "".join(s for s in target.suffixes[-2:] if len(s) < 12)
        temporary = folder / owner.temporary_name(token, suffix)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666 if mode is None else mode | 0o600))
    try:
        if mode is not None:
            temporary.chmod(mode | 0o600)
        yield temporary, target
    finally:
        temporary.unlink(missing_ok=True)


def place(path) -> tuple[bool, Path, int | None]:
    """(whether a path is special, the file that it leads to, the permissions of what stands there or None).

    Raises:
        As `atomic`, before anything is written.
    """
    path = Path(path)
    with telling(path):
        special = _special(path)
        target = path if special else Path(os.path.realpath(path))
        if special:
            return True, target, None
        if target.is_symlink():
            raise told(path, errno.ELOOP)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a folder: give the name of a file in it")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"the folder {target.parent} does not exist: make it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(f"{path} cannot be written: its folder is write-protected; write elsewhere")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(f"{target} is write-protected: give another name, or make it writable first")
        return False, target, stat.S_IMODE(target.stat().st_mode) & 0o777 if target.exists() else None


def _descriptor(path: Path) -> int | None:
    """The number of the stream of this process that a path is, such as 1 for /dev/stdout; else None."""
    place = os.readlink(path) if path.is_symlink() and not str(path).startswith("/dev/") else os.path.abspath(path)
    found = re.fullmatch(r"/dev/std(in|out|err)|/(?:dev|proc/self)/fd/(\d+)", place)
    return found and (int(found[2]) if found[2] else ("in", "out", "err").index(found[1]))


def _special(path: Path) -> bool:
    """Whether a path leads to something that is no file of a folder: a FIFO, a device, a stream of this process."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _place(temporary: Path, target: Path) -> None:
    """Bring a complete file to its place: by its name, or through what stands there."""
    if _special(target):
        stream = _descriptor(target)
        with open(temporary, "rb") as source, open(target if stream is None else os.dup(stream), "wb") as sink:
            shutil.copyfileobj(source, sink)
        return
    if target.exists():
        temporary.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
    os.replace(temporary, target)


def family(path) -> str:
    """Twelve letters for the common name of files that belong together."""
    return hashlib.sha256(Path(os.path.realpath(path)).stem.encode(errors="surrogateescape")).hexdigest()[:12]


def unfinished(path, suffix: str) -> list[Path]:
    """The files of this suffix that belong to `path`, complete, whose run was killed before it could rename them."""
    path = Path(os.path.realpath(path))
    found = {}
    for name in os.listdir(path.parent):
        parts = owner.NAME.fullmatch(name)
        if parts is not None and parts[4].startswith(family(path)) and len(parts[4]) == 24:
            found.setdefault(parts[4], {})[Path(name).suffix] = path.parent / name
    return [files[suffix] for files in found.values() if suffix in files and path.suffix not in files]


def _sweep_once(folder: Path) -> None:
    """`sweep`, the first time that this process writes into a folder."""
    key = (os.getpid(), os.path.realpath(folder))
    if key not in _swept:
        _swept.add(key)
        sweep(folder)


def sweep(folder) -> None:
    """Remove the temporary files of runs on this machine that have ended, and finish what only lacked a rename."""
    folder = Path(folder)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    dead = [(name, found) for name in names if (found := owner.left_behind(name))]
    for name, found in dead:
        with suppress(OSError):
            if len(found[4]) == 24:
                _finish(folder / name, found, names)
            if (folder / name).is_dir() and not (folder / name).is_symlink():
                shutil.rmtree(folder / name)
            (folder / name).unlink(missing_ok=True)


def _finish(temporary: Path, found, names) -> None:
    """Rename a file whose partner has its name already: a .hdr, complete, to its .cfl."""
    partner = any(n.startswith(temporary.name[: found.end(4)]) and n.endswith(".cfl") for n in names)
    if temporary.suffix != ".hdr" or partner:
        return
    for name in names:
        if name.endswith(".cfl") and found[4].startswith(family(temporary.parent / name)):
            os.replace(temporary, temporary.parent / f"{name.removesuffix('.cfl')}.hdr")
