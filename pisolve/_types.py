"""What a type checker is told: arrays of numpy, cupy and torch, paths, names of axes. Nothing here runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar


class ArrayLike(Protocol):
    """An array that is given: numpy's, cupy's or a torch tensor; what has a shape and a dtype."""

    @property
    def shape(self) -> Any:
        """The sizes of the axes."""

    @property
    def dtype(self) -> Any:
        """The type of the entries."""


if TYPE_CHECKING:
    import numpy as np

    class Array(np.ndarray[Any, np.dtype[Any]]):
        """An array that comes back, of the kind that was given: numpy's for a checker, with torch's attributes, too."""

        def __getattr__(self, name: str) -> Any: ...

else:
    Array = ArrayLike

PathLike: TypeAlias = "str | os.PathLike[str]"
Axes: TypeAlias = "int | str | Sequence[int] | Sequence[str]"
Seed: TypeAlias = "int | Sequence[int] | None"
Numbers: TypeAlias = "ArrayLike | Sequence[float] | float"
What = TypeVar("What", bound=Callable[..., Any])  # what a decorator gives back as it was
