"""Tensors out of files of others: plain ones, of what the file itself holds, in networks no larger than that."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch.nn.modules import module as hooks

PARTS = 40_000  # modules and arrays of weights of a network: a hundred times those of the largest one here
NUMBERS = 1 << 27  # weights of one that a configuration describes, 0.5 GB; VarNet's 30 million are the most here


@contextlib.contextmanager
def building(most: int | None = None) -> Iterator[None]:
    """While a network is made that a file describes: it may have `PARTS` parts and `most` numbers, None: `NUMBERS`.

    Raises:
        ValueError: it has more; before they are filled.
    """
    most, here, count = NUMBERS if most is None else most, threading.get_ident(), {"parts": 0, "numbers": 0}

    def add(kind, n, allowed):
        if threading.get_ident() == here:
            count[kind] += n
            if count[kind] > allowed:
                raise ValueError(f"a network of more than {allowed:,} {kind} is described: not so large a one is meant")

    def part(module, name, child):
        add("parts", 1, PARTS)

    def parameter(module, name, value):
        add("parts", 1, PARTS)
        add("numbers", 0 if value is None else value.numel(), most)

    handles = [hooks.register_module_module_registration_hook(part),
               hooks.register_module_parameter_registration_hook(parameter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
