"""Why a file could not be written, in words: libraries say "307200 requested and 253936 written" of a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORDS = {
    errno.ENOSPC: "the disk is full: make room, or write elsewhere",
    errno.EFBIG: "it would be larger than this process may write (ulimit -f): raise the limit, or write less",
    errno.EROFS: "the file system is read-only: write elsewhere",
    errno.EACCES: "permission denied: write where you may",
    errno.EPERM: "permission denied: write where you may",
    errno.ELOOP: "links lead in a circle: give another name",
    errno.ENAMETOOLONG: "its name is too long: give a shorter one",
    errno.EIO: "the disk failed (input/output error)",
}
if hasattr(errno, "EDQUOT"):
    WORDS[errno.EDQUOT] = "your quota of the disk is used up: make room, or write elsewhere"
LIMITS = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_PROBE = 1 << 16  # bytes


@contextmanager
def telling(path) -> Iterator[None]:
    """While a file is written: what the system refuses is raised as an OSError that names `path` and the reason."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        code = getattr(error, "errno", None)
        if code not in WORDS:
            code = reached(Path(path)) if code is None else None
        if code is None:
            raise
        raise told(path, code) from error


def told(path, code: int) -> OSError:
    """The error for a file that could not be written, with its number and in words."""
    kind = PermissionError if code in (errno.EACCES, errno.EPERM) else OSError
    error = kind(f"{path} cannot be written: {WORDS[code]}")
    error.errno = code
    return error


def room(path, size: int) -> None:
    """Refuse a file of `size` bytes for which there is no room, before libhdf5 begins it, which fails with much noise.

    Raises:
        OSError: the disk has less, or this process may not write so large a file.
    """
    path = Path(path)
    if size > _largest():
        raise told(path, errno.EFBIG)
    try:
        found = os.statvfs(path.parent)
    except (OSError, AttributeError):  # it cannot be asked
        return
    if found.f_blocks and found.f_bavail * found.f_frsize < size:
        raise told(path, errno.ENOSPC)


def _largest() -> float:
    """How large a file of this process may be."""
    try:
        import resource
    except ImportError:  # there are no such limits
        return float("inf")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def reached(path: Path) -> int | None:
    """The number of the limit that a file beside `path` meets now, for errors that do not tell; None for none.

    A library may hide why it failed. Where a little file can still be written, there was another reason.
    """
    probe = path.parent / f".pisolve-probe-{os.getpid()}"
    try:
        size = max((p.stat().st_size for p in path.parent.glob(f".pisolve-*-{os.getpid()}-*")), default=0)
        with open(probe, "xb", buffering=0) as file:
            file.seek(size)
            left = _PROBE
            while left:  # a disk that is nearly full takes a part
                left -= file.write(b"\1" * left)
    except OSError as error:
        return error.errno if error.errno in LIMITS else None
    finally:
        with suppress(OSError):
            probe.unlink()
    return None
