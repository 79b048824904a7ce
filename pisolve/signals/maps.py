"""Maps of a signal model with units and error bars: what fits return, and how they are written and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import figure
from pisolve._types import PathLike
from pisolve.io.quantity import Quantity, save_maps
from pisolve.scan.html import page


@dataclass(frozen=True, repr=False)
class Maps:
    """Maps of a signal model, float32 of the shape of one image.

    Attributes:
        values: name: map, in `units`; NaN where its mask is False.
        std: name: the standard deviation of each map, in the same unit, from the Hessian; NaN where it is not known.
        units: name: "s", "Hz", or "" for a number without one.
        mask: name: True where the map is determined: inside its range, and precise enough (`Parameter.tells`).
        amplitude: a, complex or real as the images are.
        noise: the standard deviation of the images' noise (of real and imaginary part each); None: not known, since
            the model has as many unknowns as there are data.
        misfit: sum over the times of |x - a signal|^2.
        axes: the names of the maps' axes, such as ("slice", "y", "x"); None: not known.
    """

    values: dict[str, Any]
    std: dict[str, Any]
    units: dict[str, Any]
    mask: dict[str, Any]
    amplitude: np.ndarray
    noise: float | None
    misfit: np.ndarray
    axes: tuple[str, ...] | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def quantities(self) -> dict[str, Quantity]:
        """name: `io.Quantity`, without a standard deviation where none is known."""
        std = {n: s for n, s in self.std.items() if np.isfinite(s).any()}
        return {n: Quantity(v, self.units[n], std.get(n)) for n, v in self.values.items()}

    def save(self, path: PathLike, *, meta: dict[str, Any] | None = None, recipe: Any = None,
             told: dict[str, Any] | None = None) -> list[Path]:
        """Write the maps, see `io.save_maps`, or draw them.

        Args:
            path: .h5 for all of them; .nii or .nii.gz for one each, with BIDS' suffix (T1map, T2map, T2starmap,
                fieldmap, ...) and a .json beside it; .png, .pdf or .svg for a picture.
            meta, recipe, told: as for `io.save_maps`.

        Returns:
            The files. The amplitude in them is 0 where no map is determined.

        Raises:
            ValueError: another suffix; maps of more than three axes whose names are not known.
        """
        if Path(path).suffix in figure.SUFFIXES:
            self.plot(path=path)
            return [Path(path)]
        known = np.any(list(self.mask.values()), axis=0)  # elsewhere it is noise, drawn out to time 0
        return save_maps(path, self.quantities(), amplitude=self.amplitude * known, axes=self.axes, meta=meta,
                         recipe=recipe, told=told)

    def plot(self, *, path: PathLike | None = None, slice: int | None = None, title: str = "") -> Any:
        """Draw each map above its standard deviation, with a bar in its unit; what is not determined is black.

        Args:
            path, slice, title: as for `figure.figure`.

        Returns:
            A figure of `matplotlib.pyplot`, None with a `path`.

        Raises:
            ImportError: matplotlib is not installed (the extra `plot`).
        """
        from pisolve.signals._drawing import draw

        return draw(self, path=path, slice=slice, title=title)

    def rows(self) -> list[tuple[str, str]]:
        """(name, the median over what is determined, how much that is, and the median standard deviation)."""
        return [(name, self._told(name)) for name in self.values]

    def _told(self, name) -> str:
        known = self.mask[name]
        if not known.any():
            return "determined nowhere"
        unit = f" {self.units[name]}" if self.units[name] else ""
        spread = self.std[name][known]
        spread = spread[np.isfinite(spread)]
        error = f" +- {np.median(spread):.2g}" if spread.size else ""
        value = f"{np.median(self.values[name][known]):.4g}"
        return f"median {value}{error}{unit}, determined in {known.mean():.0%} of pixels"

    def _repr_html_(self) -> str:
        """What a notebook shows: a grey picture of each map and what `rows` says."""
        from pisolve.signals._drawing import planes

        return page(repr(self), self.rows(), planes(self))

    def __repr__(self) -> str:
        return f"Maps({', '.join(self.values)}; shape {self.amplitude.shape})"
