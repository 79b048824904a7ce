"""Arguments that had another name, and what messages about them need."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

from pisolve._types import What
from pisolve._version import __version__


def renamed(since: str = "0.3", **names: str) -> Callable[[What], What]:
    """Decorate a function or a class, some of whose arguments have other names from version `since` on.

    That version takes an old word for the new one, with a FutureWarning. Later ones refuse it, and say the new one.

    Args:
        since: "major.minor".
        names: old="new". They stay with what is decorated, as `former`: files that have the old words are read by it.
    """
    def decorate(what: Any) -> Any:
        call = what.__init__ if isinstance(what, type) else what

        @functools.wraps(call)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                new, value = names[old], kwargs.pop(old)
                if new in kwargs:
                    raise TypeError(f"{old} is called {new} now: give {new} alone")
                old_word(TypeError, old, new, since, f": {new}={brief(value)}")
                kwargs[new] = value
            return call(*args, **kwargs)

        def attribute(self: Any, name: str) -> Any:
            if name not in names:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            old_word(AttributeError, name, names[name], since)
            return getattr(self, names[name])

        if isinstance(what, type):
            what.__init__, what.__getattr__ = checked, attribute
        done = what if isinstance(what, type) else checked
        done.former = names
        return done

    return decorate


def old_word(kind: type[Exception], old: str, new: str, since: str = "0.3", told: str = "") -> None:
    """Warn of an old word in the version `since`, and raise a `kind` in later ones."""
    told = f"{old} is called {new} now{told}"
    if _release(__version__) > _release(since):
        raise kind(told)
    warnings.warn(f"{told}. The next version refuses {old}", FutureWarning, stacklevel=outside())


def _release(version: str) -> list[int]:
    return [int(n) for n in version.split(".")[:2]]


def brief(x: Any) -> str:
    """`repr` in one line of at most 60 characters, for messages."""
    text = " ".join(repr(x).split())
    return text if len(text) <= 60 else text[:57] + "..."


def outside() -> int:
    """The `stacklevel` of a warning of the caller's that is to name the user's line, however it came there."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pisolve":
        frame, level = frame.f_back, level + 1
    return level
