"""What is solved for a part of a scan, and the base of the methods that make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import linops
from pisolve.scan.field import corrected


def same(x):
    """x itself."""
    return x


@dataclass(frozen=True)
class Model:
    """A part of a scan: minimise 1/2 ||A x - y||^2 + g(x).

    Attributes:
        A, y: operator and data of the equation.
        image: x -> the picture, homogeneous, of the image axes of the part.
        data: k-space of the part -> y, linear: the same calibration on other data of it.
        size: x is the picture times this: the typical root of sum_c |S_c|^2 of maps that are not normalised.
        density: what y is multiplied by for the zero-filled image, the area of k-space that each sample stands for;
            None: 1, as on a grid.
        energy: sum_c |S_c|^2 of A's maps, of x's shape: A^H y / energy is the zero-filled x. None: 1 where there are
            maps.
        bare: the model without the weights of the samples, whose A^H y scales the scan; None where there are none.
        status: "diverged" where the method's own fit was, and x cannot be better; None: nothing is said.
    """

    A: linops.Linop
    y: np.ndarray
    image: Callable[..., Any] = same
    data: Callable[..., Any] = same
    size: float = 1.0
    energy: np.ndarray | None = None
    density: np.ndarray | None = None
    status: str | None = None
    bare: Model | None = None


class Method:
    """Base of the methods: a part of a scan, with its mask, maps and calibration lines, -> `Model`.

    What others ask of a method is said by its attributes:

    Attributes:
        needs_maps: whether coil maps are made for it.
        fits: whether kernels or a network are fitted to the part first: work of its own, as solving is.
        fills: whether it fills k-space: then a prior acts on an image in which noise is not white, and samples cannot
            be withheld one by one.
        predicts: whether its images predict samples that were withheld from it: magnitudes have no k-space, and a
            lattice that is filled may break.
        magnitude: whether the picture is a magnitude, without the phase of the object.
        tunable: whether x is the picture and A x the samples as they were measured: then `tune` can choose a prior's
            strength, the risk can be estimated (SURE), and the minimum has its derivatives.
        anywhere: whether samples may lie anywhere in k-space, off the grid.
        corrects: whether its operator has the off-resonance of a scan with a field map and times.
        planar: whether it takes single planes only, of one slice and one frame.
        networks: the kind of reconstruction networks that can take its model, by their `needs_maps`; None: no network.
    """

    needs_maps = True
    fits = False
    fills = False
    predicts = True
    magnitude = False
    tunable = False
    anywhere = corrects = False
    planar = True
    networks: bool | None = None

    def __call__(self, part: Any) -> Model:
        raise NotImplementedError

    def takes(self, scan: Any, each: Sequence[str]) -> None:
        """Refuse a scan whose parts it cannot take.

        Raises:
            ValueError: with what to do.
        """
        if scan.weights is not None and not self.tunable:
            raise ValueError(f"weights are for Sense(), and {type(self).__name__}() has no data term of the samples as "
                             "they were measured: leave them out")
        if scan.coord is not None and not self.anywhere:
            raise ValueError(f"{type(self).__name__}() takes k-space on a grid, whose neighbours are one step apart, "
                             "and this scan has samples anywhere (coord): take Sense()")
        if corrected(scan) and not self.corrects:
            raise ValueError(f"{type(self).__name__}() has no off-resonance, and this scan has a field map and times: "
                             "take Sense(), or off_resonance=False (--no-off-resonance), which leaves it uncorrected")
        left = [a for a in scan.image_axes if a not in each]
        more = [a for a in left if a not in "xyz"]
        volume = len(left) - len(more) > 2
        if self.planar and (more or volume):
            apart = (*each, *more, *(scan.separable[-1:] if volume else ()))
            raise ValueError(f"{type(self).__name__}() takes planes of k-space one by one, and this scan has the axes "
                             f"{', '.join(scan.axes)}: " + (f"give each={apart!r}, or take Sense()" if not volume or
                             scan.separable else "take Sense()"))

    def watched(self, slices: int, *, progress: bool = False, folder: Path | None = None) -> Callable[..., Any]:
        """The same calls with a bar, and with fits that are kept; itself where there is nothing that takes long.

        Args:
            slices: how many there are; they are asked for in their order, again and again where they are not kept.
            progress: show a bar.
            folder: where fits are kept while they run and afterwards, or None; it belongs to these slices.
        """
        return self

    def workspace(self, shape: Sequence[int], itemsize: int) -> int:
        """Bytes that A^H A takes beside the coils' images, for k-space of this shape (coil, ky, kx)."""
        return 0
