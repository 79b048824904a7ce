"""What was meant: the nearest of the names there are, and unknown arguments told with those that are known."""

from __future__ import annotations

import functools
import inspect

_STRENGTH = ("lam", "lamda", "lambd", "lambda_", "strength", "weight", "reg")  # what others call the factor of a prior


def nearest(word, options) -> str | None:
    """The option that is most like a word, capitals aside; None where none is."""
    if not isinstance(word, str):
        return None
    import difflib

    names = {str(o).lower(): str(o) for o in options}
    found = difflib.get_close_matches(word.lower().strip(), names, n=1, cutoff=0.65)
    return names[found[0]] if found else None


def meant(word, options) -> str:
    """": did you mean ...?", or nothing."""
    found = nearest(word, options)
    return f": did you mean {found!r}?" if found else ""


def hinted(what):
    """Decorate a function or a class: an unknown keyword argument is told with what was meant, or those there are."""
    call = what.__init__ if isinstance(what, type) else what

    @functools.wraps(call)
    def checked(*args, **kwargs):
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            told = unknown(what, call, args[1:] if isinstance(what, type) else args, kwargs)
            if told is None:
                raise
            raise TypeError(told) from error

    if isinstance(what, type):
        what.__init__ = checked
        return what
    return checked


def hint(names: dict, public) -> None:
    """`hinted` for the classes among the public names of a room."""
    for name in public:
        if isinstance(names[name], type) and "__init__" in vars(names[name]):
            hinted(names[name])


def unknown(what, call, args, kwargs) -> str | None:
    """The message on the first unknown keyword argument; None where all are known."""
    parameters = inspect.signature(call).parameters
    known = [n for n, p in parameters.items() if n != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
        return None
    wrong = next((n for n in kwargs if n not in known), None)
    if wrong is None:
        return None
    if wrong in _STRENGTH and "lam" not in known and hasattr(what, "has_prox"):
        left = ["D" if callable(a) else repr(a) for a in args]
        left += [f"{n}={v!r}" for n, v in kwargs.items() if n in known]
        return f"{what.__name__} takes no {wrong}: write {kwargs[wrong]!r} * pi.{what.__name__}({', '.join(left)})"
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    return f"{what.__name__} has no argument {wrong!r}{meant(wrong, known) or f': {takes}'}"
