"""SPIRiT, coil images, and SENSE on k-space that GRAPPA or RAKI has filled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import cycle
from typing import Any

import numpy as np

from pisolve import backend, calib, linops
from pisolve._check import choice, number, outside, shape
from pisolve._types import PathLike
from pisolve.calib.grappa import LARGEST
from pisolve.calib.raki import check_options
from pisolve.calib.spirit import odd_kernel
from pisolve.prepare.model import Method, Model
from pisolve.prepare.sense import SENSE


@dataclass(frozen=True)
class Grappa(Method):
    """GRAPPA fills k-space, then SENSE with a full mask combines the coils; a prior acts on that image.

    Args: as for `calib.grappa`.
    """

    kernel: tuple[Any, ...] = (5, 5)
    lam: float = 0.01
    padded: bool = False
    fits = fills = corrects = True

    def __post_init__(self) -> None:
        kernel = shape("kernel", self.kernel)
        if len(kernel) != 2 or kernel == (1, 1) or max(kernel) > LARGEST:
            raise ValueError(f"kernel must be two sizes (ky, kx) up to {LARGEST}, such as (5, 5), got {kernel}")
        object.__setattr__(self, "kernel", kernel)
        number("lam", self.lam, low=0)
        choice("padded", self.padded, (False, True))

    def __call__(self, part: Any) -> Model:
        weights = calib.grappa(part.kspace, part.mask, calib=part.calib, kernel=self.kernel, lam=self.lam,
                               padded=self.padded)
        return replace(SENSE(part.filled(weights)), data=weights)


@dataclass(frozen=True)
class Raki(Method):
    """RAKI fills k-space, then SENSE with a full mask combines the coils; a prior acts on that image.

    A network is fitted to the scan's own calibration samples, slice by slice: seconds to minutes each. A recipe shows
    the loss with `progress=True`, and with `checkpoint="folder"` keeps the fits there, so that the same call goes on
    from them to the same bits. A fit that diverged warns, and so is the status of its `Model`; Ctrl-C ends the call.

    Args: as for `calib.raki`.
    """

    variant: str = "raki"
    per_coil: bool = True
    complex_valued: bool = False
    kernel: tuple[Any, ...] | None = None
    last: tuple[Any, ...] | None = None
    channels: tuple[Any, ...] = (32, 8)
    window: tuple[Any, ...] | None = None
    lam: float = 0.01
    iterations: int = 1000
    lr: float = 3e-3
    seed: int = 0
    fits = fills = corrects = True
    predicts = False

    def __post_init__(self) -> None:
        check_options(**self._options())
        for name in ("kernel", "last", "channels", "window"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def _options(self):
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def watched(self, slices: Any, *, progress: bool = False, folder: PathLike | None = None) -> Any:
        order = cycle(range(slices))

        def fitted(part):
            z = next(order)
            title = f"RAKI, slice {z + 1} of {slices}" if slices > 1 else "RAKI"
            return self(part, progress=title if progress else False, checkpoint=folder and folder / f"fit_{z}.npz")

        return fitted

    def __call__(self, part: Any, *, checkpoint: Any = None, progress: bool = False) -> Model:
        weights = calib.raki(part.kspace, part.mask, calib=part.calib, **self._options(), checkpoint=checkpoint,
                             progress=progress)
        if weights.status == "stopped":  # by Ctrl-C: half a fit must not pass for a whole one
            raise KeyboardInterrupt
        status = None
        if weights.status == "diverged":
            status, loss = weights.status, f"{weights.history[0]:.3g} to {weights.history.max():.3g}"
            warnings.warn(f"RAKI's fit diverged (loss {loss}), the image is of the best weights before that: give a "
                          f"smaller lr than {self.lr:g}, or take Grappa()", stacklevel=outside())
        return replace(SENSE(part.filled(weights)), data=weights, status=status)


@dataclass(frozen=True)
class Spirit(Method):
    """SPIRiT: the unknowns are the coils' images, the picture is their root sum of squares.

        minimise over x    1/2 ||M F x - y||^2 + weight/2 ||(G - I) x||^2 + g(x)

    Args:
        kernel, lam: as for `calib.spirit_kernel`.
        weight: of self-consistency beside consistency with the data.
    """

    kernel: tuple[Any, ...] = (5, 5)
    lam: float = 0.01
    weight: float = 1.0
    needs_maps = False
    fits = magnitude = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", odd_kernel("kernel", self.kernel))
        number("lam", self.lam, low=0)
        number("weight", self.weight, low=0)

    def __call__(self, part: Any) -> Model:
        G = calib.spirit_kernel(part.kspace, part.mask, calib=part.calib, kernel=self.kernel, lam=self.lam)
        A = linops.spirit_encoding(G, part.mask, part.kspace.shape, weight=self.weight)
        return Model(A, A.data(part.kspace), root_sum_of_squares, A.data)

    def workspace(self, shape: Sequence[int], itemsize: Any) -> int:
        """The rows of the coil filter, the shifted coil images, and what a centred FFT of these holds beside them."""
        coils, ny, nx = shape
        taps = 2 * self.kernel[1] - 1
        return (taps + 3) * coils * ny * nx * itemsize + ny * coils**2 * taps * itemsize


@dataclass(frozen=True)
class CoilImages(Method):
    """The coils' own images, without maps, and their root sum of squares: for networks that calibrate themselves."""

    needs_maps = predicts = networks = False
    magnitude = True

    def __call__(self, part: Any) -> Model:
        A = linops.sampled_fft(part.kspace.shape, part.mask, like=part.kspace)
        return Model(A, part.kspace, root_sum_of_squares)


def root_sum_of_squares(x):
    """Coil images (coil, y, x) -> (y, x), complex with phase 0."""
    if isinstance(x, np.ndarray):
        return np.linalg.norm(x, axis=-3).astype(x.dtype)
    return backend.cast(backend.sqrt((x.real**2 + x.imag**2).sum(-3)), x)
