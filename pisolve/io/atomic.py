"""Files that are either complete or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; renamed to `path` at the end, removed on any exception.

        with atomic("image.npy") as temporary:
            np.save(temporary, image)

    Whatever stood at `path` stays until the new file is complete and on the disk. A link is followed. The temporary
    name starts with a dot and keeps the suffixes.

    Args:
        path: str or os.PathLike of the file to write.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: `path` is a folder.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first")
    temporary = path.with_name(f".{secrets.token_hex(6)}{''.join(path.suffixes[-2:])}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
