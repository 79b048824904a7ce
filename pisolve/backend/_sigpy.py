"""SigPy without what it loads and we do not use: `from pisolve.backend._sigpy import sigpy`.

`import sigpy` takes torch, where it is installed, to see whether it can be imported, and scipy.signal for its
convolutions: 1.5 of 1.8 seconds. Here SigPy is imported whole and as ever, but these two names stand, for as long as
that takes, for modules that load what they are called at the first attribute that is asked of them. Afterwards
`sys.modules` is as it would be, without the two: `import torch` loads torch, whoever says it, and `sigpy.conv` loads
scipy.signal when it convolves. Whoever imported SigPy, torch or scipy.signal before gets those, untouched.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

LATER = ("torch", "scipy.signal")  # of both SigPy's own import only asks whether they are there


class _Later(ModuleType):
    """A module that is imported when one of its attributes is asked for."""

    def __init__(self, spec):
        super().__init__(spec.name)
        self.__spec__ = spec  # `find_spec` answers with it

    def __getattr__(self, name):
        if sys.modules.get(self.__name__) is self:  # somebody else's import while SigPy's runs
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _load():
    """The module sigpy."""
    if "sigpy" in sys.modules:
        return importlib.import_module("sigpy")  # which waits for an import that is running in another thread
    absent = [name for name in LATER if name not in sys.modules]
    standing = {name: _Later(spec) for name in absent if (spec := importlib.util.find_spec(name)) is not None}
    sys.modules.update(standing)
    try:
        return importlib.import_module("sigpy")
    finally:
        for name, one in standing.items():
            if sys.modules.get(name) is one:
                del sys.modules[name]


def part(name: str):
    """The module sigpy.`name`."""
    return importlib.import_module(f"{sigpy.__name__}.{name}")


sigpy: Any = _load()
