"""How much a file may ask for, in all that is read of it."""

from __future__ import annotations

import os

from pisolve import _check


class Budget(int):
    """A number of bytes for a whole file, of which every array that is read takes its part."""

    def __init__(self, _):
        self.spent = 0


def limit(max_bytes: int | None) -> Budget:
    """`max_bytes` checked, or half of this machine's memory (8 GiB where it cannot be asked) for None."""
    if isinstance(max_bytes, Budget):
        return max_bytes
    if max_bytes is not None:
        return Budget(_check.integer("max_bytes", max_bytes, low=1))
    try:
        return Budget(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (AttributeError, OSError, ValueError):
        return Budget(8 << 30)


def spend(path, name: str, size: int, max_bytes: int) -> None:
    """Take the bytes of an array from a budget (of a plain number there is the whole for each array).

    Raises:
        ValueError: there is not so much left.
    """
    spent = getattr(max_bytes, "spent", 0)
    if spent + size > max_bytes:
        raise too_large(path, name, size, max_bytes)
    if isinstance(max_bytes, Budget):
        max_bytes.spent += size


def too_large(path, name: str, size: int, max_bytes: int) -> ValueError:
    """The error for an array that would need more than `max_bytes`, with those before it in the file."""
    spent = getattr(max_bytes, "spent", 0)
    more = f" beside {spent:,} of what was read before" if spent else ""
    return ValueError(f"{path}: {name} declares {size:,} bytes{more}, more than max_bytes = {max_bytes:,}: raise "
                      "max_bytes if the file is to be trusted")
