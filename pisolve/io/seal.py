"""Seals: a digest at the end of a file that is gone on from, over its content and what it belongs to.

HDF5, .npz and torch's files ignore what follows their end, so a sealed file is read by everything that reads an
unsealed one. A seal finds damage and mistaken files; it is no signature, whoever can write the file can seal it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pisolve.io.atomic import atomic

_MARK = b"\npisolve-sealed "
_SIZE = len(_MARK) + 64 + 1 + 64 + 1
KEY = "sealed"  # of a dict in a .json


class Broken(ValueError):
    """A file whose content does not fit its seal, or whose seal is of something else."""


def seal(path, of: str = "") -> None:
    """Append the seal to a complete file.

    Args:
        path: the file, not under its final name yet.
        of: what the file belongs to, such as the digest of a recipe and a scan and the number of a slice.
    """
    mine = _hex(of.encode())
    with open(path, "rb") as file:
        digest = _digest(file, mine)
    with open(path, "ab") as file:
        file.write(_MARK + mine + b" " + digest + b"\n")


def check(path, of: str | None = None, *, needed: bool = False) -> bool:
    """Whether a file is sealed; one without a seal is of an older version, unless a seal is `needed`.

    Args:
        path: the file.
        of: what it must belong to; None: anything.

    Raises:
        Broken: content, or what it belongs to, is another than when it was sealed.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(size - _SIZE, 0))
        end = file.read(_SIZE)
        if not (end.startswith(_MARK) and len(end) == _SIZE):
            if needed:
                raise Broken(f"{path} is damaged: its seal is not there")
            return False
        mine, digest = end[len(_MARK): len(_MARK) + 64], end[-65:-1]
        file.seek(0)
        if _digest(file, mine, size - _SIZE) != digest:
            raise Broken(f"{path} is damaged: its content is not what was written")
    if of is not None and _hex(of.encode()) != mine:
        raise Broken(f"{path} belongs to something else: it was moved or copied here")
    return True


def write_json(path, values: dict, of: str = "") -> None:
    """Write a dict as a sealed .json, whole or not at all."""
    values = json.loads(json.dumps(values))  # as it will be read
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({**values, KEY: _of_dict(values, of)}), encoding="utf-8")


def read_json(path, of: str = "", *, needed: bool = False) -> dict:
    """The dict of a .json, its seal checked and left out; one without a seal is of an older version.

    Raises:
        Broken: as for `check`, and what is no JSON of a dict.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Broken(f"{path} is damaged, it is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise Broken(f"{path} is damaged: it holds no dict")
    digest = values.pop(KEY, None)
    if (digest is None and needed) or (digest is not None and digest != _of_dict(values, of)):
        raise Broken(f"{path} is damaged, or belongs to something else: its seal does not fit")
    return values


def line(values: list) -> str:
    """A list as one line of a .jsonl with its seal."""
    values = json.loads(json.dumps(values))
    return json.dumps([*values, _of_dict(values, "")[:16]]) + "\n"


def read_line(text: str, count: int) -> list | None:
    """The `count` values of a line of a .jsonl, also of an older version's without a seal; None for a broken one."""
    try:
        *values, digest = found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == count:
        return found
    return values if len(values) == count and digest == _of_dict(values, "")[:16] else None


def _of_dict(values, of: str) -> str:
    text = json.dumps([of, values], sort_keys=True)
    return _hex(text.encode("utf-8", "surrogatepass")).decode()


def _hex(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _digest(file, mine: bytes, size: int | None = None) -> bytes:
    """The digest of the first `size` bytes of a file (None: of all) and of what it belongs to."""
    sha, left = hashlib.sha256(mine), size
    while block := file.read(1 << 20 if left is None else min(left, 1 << 20)):
        sha.update(block)
        left = None if left is None else left - len(block)
    return sha.hexdigest().encode()
