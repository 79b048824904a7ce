"""Strengths of single places: arrays instead of one number, for priors that are sums over places."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check, backend


class Weights:
    """Factors >= 0 of the places that a prior sums over, an array that broadcasts to them; never changed.

    Args:
        array: real, of any kind; a torch tensor that requires a gradient stays what it is.
        name: what it is called in messages.
    """

    name: str
    shape: Any

    def __init__(self, array: Any, name: str = "weights") -> None:
        if not _check.is_array(array) or not array.ndim:
            raise TypeError(f"{name} must be an array, got {_check.brief(array)}: one strength for all is lam * prior")
        array = _check.levels(name, array, zero=True)
        self.name, self.shape = name, tuple(array.shape)
        self.learned: Any = array if _check.is_torch(array) and array.requires_grad else None
        self.array: Any = np.array(backend.to_numpy(array), float)
        self._constant = backend.Constant(self.array)

    @classmethod
    def of(cls, array: Any, name: str = "weights") -> Weights | None:
        """Weights of what a user gave: None and weights stay as they are."""
        return array if array is None or isinstance(array, cls) else cls(array, name)

    def like(self, x: Any, shape: Any = None) -> Any:
        """The factors as an array of the kind, device and precision of x that broadcasts to `shape`, else to x's.

        Raises:
            ValueError: they do not broadcast to it.
        """
        whole = tuple(x.shape if shape is None else shape)
        if self.shape != whole:
            _check.levels(self.name, self.array, whole, zero=True)
        if self.learned is not None and _check.is_torch(x):
            return self.learned.to(x.device, x.real.dtype)
        return self._constant.like(x, _check.dtype_name(x.real))

    @property
    def largest(self) -> float:
        """The largest factor."""
        return float(self.array.max())

    def __repr__(self) -> str:
        return f"array of shape {self.shape}"


class Weighable:
    """What a prior gains by `array * prior`: its parts, or it itself, are weighted."""

    weights: Weights | None = None

    def weighted(self, weights: Any) -> Any:
        """The prior whose places have these factors in addition, an array that broadcasts to them.

        Raises:
            TypeError: a prior that is no sum over places, or a part that is none.
        """
        if not self.parts():
            raise TypeError(f"{self!r} takes one number as its strength, no array: arrays are for L1, L21, TV, "
                            "Wavelet, DCT, TemporalFFT and what is made of them; for squares take "
                            "Quadratic(sigpy.linop.Multiply(shape, weights ** 0.5))")
        return self.with_parts([part.weighted(weights) for part in self.parts()])
