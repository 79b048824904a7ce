"""One run at a time in a folder that is gone on with: an operating system's lock, which ends with its process."""

from __future__ import annotations

import errno
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pisolve import _check
from pisolve.io import owner
from pisolve.io.atomic import sweep
from pisolve.io.failure import telling

LOCK = ".pisolve-lock"
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NONE = (errno.ENOSYS, errno.ENOLCK, getattr(errno, "ENOTSUP", errno.ENOSYS), errno.EINVAL)


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C: what keeps a state at the one keeps it at the other."""

    word, code = "terminated", 143


@contextmanager
def held(folder) -> Iterator[Path | None]:
    """Hold a folder for this run: nobody else may work in it meanwhile; None is no folder, and nothing happens.

    A lock of the operating system on the file `.pisolve-lock` in it, which is free as soon as the process has ended,
    however it did. What earlier runs left under temporary names is removed. While the main thread holds the folder,
    SIGTERM interrupts as Ctrl-C does, where nobody else has a handler for it.

    Args:
        folder: an existing folder, or None.

    Raises:
        BlockingIOError: another run holds the folder; it names the process.
        OSError: the folder cannot be written.
    """
    if folder is None:
        yield None
        return
    folder = Path(folder)
    file = _take(folder)
    try:
        for place in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
            sweep(place)
        with terminable():
            yield folder
    finally:
        with suppress(OSError):
            os.unlink(folder / LOCK)  # while it is ours: who waited for it sees that it is gone, and makes another
        os.close(file)


def refuse_busy(folder) -> None:
    """Refuse a folder that another run holds, before there is any work; see `held`."""
    if folder is not None and (Path(folder) / LOCK).exists():
        file = _take(Path(folder))
        with suppress(OSError):
            os.unlink(Path(folder) / LOCK)
        os.close(file)


@contextmanager
def terminable() -> Iterator[None]:
    """While open, SIGTERM raises `Terminated` in the main thread, where it would have ended the process."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_):
    raise Terminated("terminated")


def _take(folder: Path) -> int:
    """The lock's file, locked and with our number in it; a new one where the last holder has just removed it."""
    path = folder / LOCK
    while True:
        with telling(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _NONE:
                warnings.warn(f"{folder} is on a file system without locks: start no second run in it",
                              stacklevel=_check.outside())
                return file
            os.close(file)
            if error.errno in _BUSY:
                raise BlockingIOError(f"{folder} is in use by {_holder(path)}: wait for it, end it, or give another "
                                      "folder") from None
            raise
        if _stands(file, path):
            with suppress(OSError):  # a full disk: then nobody is told our number
                os.ftruncate(file, 0)
                os.write(file, f"{os.getpid()} {owner.host()}\n".encode())
            return file
        os.close(file)


def _stands(file: int, path: Path) -> bool:
    """Whether an open file is still that of its name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _lock(file: int) -> None:
    """Lock an open file for this process alone, or raise an OSError at once."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)


def _holder(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        pid, host = path.read_text().split()
    except (OSError, ValueError):
        return "another run"
    if int(pid) == os.getpid() and host == owner.host():
        return f"another run of this process ({pid})"
    return f"process {pid}" + ("" if host == owner.host() else " on another machine")
