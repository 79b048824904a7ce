"""What is solved for one slice: SENSE, SPIRiT, or SENSE on k-space that GRAPPA or RAKI has filled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import cycle
from pathlib import Path

import numpy as np

from pisolve import backend, calib, linops
from pisolve._check import choice, number, outside, shape
from pisolve.calib.grappa import LARGEST
from pisolve.calib.raki import check_options
from pisolve.calib.spirit import odd_kernel


def _same(x):
    return x


@dataclass(frozen=True)
class Model:
    """A part of a scan: minimise 1/2 ||A x - y||^2 + g(x).

    Attributes:
        A, y: operator and data of the equation.
        image: x -> the picture, homogeneous, of the image axes of the part.
        data: k-space of the part -> y, linear: the same calibration on other data of it.
        size: x is the picture times this: the typical root of sum_c |S_c|^2 of maps that are not normalised.
        energy: sum_c |S_c|^2 of A's maps, of x's shape: A^H y / energy is the zero-filled x. None: 1 where there are
            maps.
        bare: the model without the weights of the samples, whose A^H y scales the scan; None where there are none.
        status: "diverged" where the method's own fit was, and x cannot be better; None: nothing is said.
    """

    A: linops.Linop
    y: np.ndarray
    image: Callable = _same
    data: Callable = _same
    size: float = 1.0
    energy: np.ndarray | None = None
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
        planar: whether it takes single planes only, of one slice and one frame.
        networks: the kind of reconstruction networks that can take its model, by their `needs_maps`; None: no network.
    """

    needs_maps = True
    fits = False
    fills = False
    predicts = True
    magnitude = False
    tunable = False
    planar = True
    networks: bool | None = None

    def __call__(self, part) -> Model:
        raise NotImplementedError

    def takes(self, scan, each) -> None:
        """Refuse a scan whose parts it cannot take.

        Raises:
            ValueError: with what to do.
        """
        if scan.weights is not None and not self.tunable:
            raise ValueError(f"weights are for Sense(), and {type(self).__name__}() has no data term of the samples as "
                             "they were measured: leave them out")
        left = [a for a in scan.image_axes if a not in each]
        more = [a for a in left if a not in "xyz"]
        volume = len(left) - len(more) > 2
        if self.planar and (more or volume):
            apart = (*each, *more, *(scan.separable[-1:] if volume else ()))
            raise ValueError(f"{type(self).__name__}() takes planes of k-space one by one, and this scan has the axes "
                             f"{', '.join(scan.axes)}: " + (f"give each={apart!r}, or take Sense()" if not volume or
                             scan.separable else "take Sense()"))

    def watched(self, slices: int, *, progress: bool = False, folder: Path | None = None) -> Callable:
        """The same calls with a bar, and with fits that are kept; itself where there is nothing that takes long.

        Args:
            slices: how many there are; they are asked for in their order, again and again where they are not kept.
            progress: show a bar.
            folder: where fits are kept while they run and afterwards, or None; it belongs to these slices.
        """
        return self

    def workspace(self, shape, itemsize: int) -> int:
        """Bytes that A^H A takes beside the coils' images, for k-space of this shape (coil, ky, kx)."""
        return 0


@dataclass(frozen=True)
class Sense(Method):
    """A = `linops.sense(mps, mask)`; soft SENSE with several sets of maps, whose image is the root sum of squares.

    Maps that are not normalised are divided by their typical root sum of squares, one number, so that the strength of a
    prior means the same with them; the picture, divided by it, is that of the maps as they were given.
    """

    tunable = networks = True
    planar = False

    def __call__(self, part) -> Model:
        if part.weights is not None:
            return self._weighted(part)
        make, image = (linops.soft_sense, linops.combine_sets) if part.sets > 1 else (linops.sense, _same)
        place = {"axes": part.axes, "shape": part.kspace.shape}
        A = make(part.mps, part.mask, **place)
        size, energy = _normalisation(A, part.kspace)
        if energy is None:
            return Model(A, part.kspace, image)
        return Model(make(part.mps / size, part.mask, **place), part.kspace,
                     lambda x: image(x) / x.real.dtype.type(size), size=size, energy=energy)


    def _weighted(self, part) -> Model:
        """With W^(1/2) in A and y: A x = W^(1/2) M F S x."""
        bare = self(part._with(weights=None))
        make = linops.soft_sense if part.sets > 1 else linops.sense
        A = make(bare.A.mps, part.mask, part.weights, axes=part.axes, shape=part.kspace.shape)
        root = np.sqrt(part.weights).astype(part.kspace.real.dtype)
        root = backend.like(np.expand_dims(root, -1 - A.ndim), part.kspace)
        return replace(bare, A=A, y=part.kspace * root, data=lambda kspace: kspace * root, bare=bare)


SENSE = Sense()


def _normalisation(A, kspace) -> tuple[float, np.ndarray | None]:
    """The typical root sum of squares s of A's maps, and sum_c |S_c|^2 / s^2; (1, None) for maps that are normalised.

        s^2 = sum_r |z|^2 / sum_r |z|^2 / e,    z = A^H y,   e = sum_c |S_c|^2

    is the mean of e weighted by the signal as the coils see it, |z|^2 / e. Normalised are maps with e = 1 wherever they
    are not 0, and maps faded from 1 (ESPIRiT's with `soft_crop`). What is below 0.1 s^2 counts as that: dividing by it
    would make the scale one of noise.
    """
    xp = backend.namespace(A.mps)
    e = sum(xp.square(abs(m), dtype=np.float64) for m in xp.moveaxis(A.mps, -1 - A.ndim, 0))
    if abs(e[e > 0] - 1).max() < 1e-3:
        return 1.0, None
    z = xp.square(abs(A.H(kspace / (abs(kspace).max() or 1))), dtype=np.float64)
    seen = (z / xp.where(e > 0, e, 1) * (e > 0)).sum()
    if seen == 0 or (e.max() < 1.001 and z.sum() > 0.99 * seen):
        return 1.0, None
    square = z.sum() / seen
    return float(square**0.5), xp.maximum(e / square, 0.1).astype(kspace.real.dtype)


@dataclass(frozen=True)
class Grappa(Method):
    """GRAPPA fills k-space, then SENSE with a full mask combines the coils; a prior acts on that image.

    Args: as for `calib.grappa`.
    """

    kernel: tuple = (5, 5)
    lam: float = 0.01
    padded: bool = False
    fits = fills = True

    def __post_init__(self):
        kernel = shape("kernel", self.kernel)
        if len(kernel) != 2 or kernel == (1, 1) or max(kernel) > LARGEST:
            raise ValueError(f"kernel must be two sizes (ky, kx) up to {LARGEST}, such as (5, 5), got {kernel}")
        object.__setattr__(self, "kernel", kernel)
        number("lam", self.lam, low=0)
        choice("padded", self.padded, (False, True))

    def __call__(self, part) -> Model:
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
    kernel: tuple | None = None
    last: tuple | None = None
    channels: tuple = (32, 8)
    window: tuple | None = None
    lam: float = 0.01
    iterations: int = 1000
    lr: float = 3e-3
    seed: int = 0
    fits = fills = True
    predicts = False

    def __post_init__(self):
        check_options(**self._options())
        for name in ("kernel", "last", "channels", "window"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def _options(self):
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def watched(self, slices, *, progress=False, folder=None):
        order = cycle(range(slices))

        def fitted(part):
            z = next(order)
            title = f"RAKI, slice {z + 1} of {slices}" if slices > 1 else "RAKI"
            return self(part, progress=title if progress else False, checkpoint=folder and folder / f"fit_{z}.npz")

        return fitted

    def __call__(self, part, *, checkpoint=None, progress=False) -> Model:
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

    kernel: tuple = (5, 5)
    lam: float = 0.01
    weight: float = 1.0
    needs_maps = False
    fits = magnitude = True

    def __post_init__(self):
        object.__setattr__(self, "kernel", odd_kernel("kernel", self.kernel))
        number("lam", self.lam, low=0)
        number("weight", self.weight, low=0)

    def __call__(self, part) -> Model:
        G = calib.spirit_kernel(part.kspace, part.mask, calib=part.calib, kernel=self.kernel, lam=self.lam)
        A = linops.spirit_encoding(G, part.mask, part.kspace.shape, weight=self.weight)
        return Model(A, A.data(part.kspace), root_sum_of_squares, A.data)

    def workspace(self, shape, itemsize):
        """The rows of the coil filter, and the shifted coil images."""
        coils, ny, nx = shape
        taps = 2 * self.kernel[1] - 1
        return taps * coils * ny * nx * itemsize + ny * coils**2 * taps * itemsize


@dataclass(frozen=True)
class CoilImages(Method):
    """The coils' own images, without maps, and their root sum of squares: for networks that calibrate themselves."""

    needs_maps = predicts = networks = False
    magnitude = True

    def __call__(self, part) -> Model:
        A = linops.sampled_fft(part.kspace.shape, part.mask, like=part.kspace)
        return Model(A, part.kspace, root_sum_of_squares)


def root_sum_of_squares(x):
    """Coil images (coil, y, x) -> (y, x), complex with phase 0."""
    return np.linalg.norm(x, axis=-3).astype(x.dtype)
