"""How much a file may ask for."""

from __future__ import annotations

import os

from pisolve import _check


def limit(max_bytes: int | None) -> int:
    """`max_bytes` checked, or half of this machine's memory (8 GiB where it cannot be asked) for None."""
    if max_bytes is not None:
        return _check.integer("max_bytes", max_bytes, low=1)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 8 << 30


def too_large(path, name: str, size: int, max_bytes: int) -> ValueError:
    """The error for an array that would need more than `max_bytes`."""
    return ValueError(f"{path}: {name} declares {size:,} bytes, more than max_bytes = {max_bytes:,}: raise max_bytes "
                      "if the file is to be trusted")
