"""Priors that act along axes which they know by their names."""

from __future__ import annotations

from copy import copy
from typing import Any

from pisolve import _axes
from pisolve.priors.base import Composed


class ByName:
    """What a prior gains that acts along certain axes: `Problem` tells it the names of the unknown's.

    Attributes:
        names: of the axes of the unknown, None for each that has none; None before they are known.
    """

    names: tuple[Any, ...] | None = None

    def bind(self, names: Any) -> Any:
        """The prior for an unknown whose axes have these names."""
        other = copy(self)
        other.names = tuple(names)
        return other

    def named(self, ndim: int) -> tuple[Any, ...]:
        """The names of the axes of an unknown of this many; of another than it was bound for they are not known."""
        return (None,) * ndim if self.names is None or len(self.names) != ndim else self.names

    def places(self, name: str, axes: Any, ndim: int) -> tuple[int, ...]:
        """Where axes, words or numbers, are in an unknown of `ndim` axes, counted from the end; None: the spatial ones.

        Raises:
            ValueError: the unknown has no such axis, or one is named twice.
        """
        names = self.named(ndim)
        if axes is None:
            return _axes.spatial(names)
        found = tuple(_axes.place(name, a, names) for a in (axes if isinstance(axes, tuple) else (axes,)))
        if len(set(found)) < len(found):
            raise ValueError(f"{name} {axes} name one axis twice: give each once")
        return found


def check_axes(prior, names, shape) -> None:
    """Refuse a prior that names axes which an unknown with these `names` has not.

    Raises:
        ValueError: no such axis, with those there are.
    """
    if isinstance(prior, ByName):
        prior.bind(names).split(shape)
    elif not isinstance(prior, Composed):  # behind an operator axes are those of what it makes
        for part in prior.parts():
            check_axes(part, names, shape)
