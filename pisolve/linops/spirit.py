"""SPIRiT: the self-consistency of k-space under a kernel, and the encodings that reconstruct coil images with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import Array, ArrayLike
from pisolve.linops.autograd import apply
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint
from pisolve.linops.blocks import Blocks
from pisolve.linops.coil_filter import CoilFilter
from pisolve.linops.sense import Sense


def spirit(kernel: Sequence[int], shape: Sequence[int], domain: str = "image") -> CoilFilter:
    """G - I, what is inconsistent: (G - I) k = 0 for k-space that obeys SPIRiT's kernel.

    On coil images G is a coil x coil matrix at every pixel, on k-space a periodic convolution; both are the same but
    for the centred FFT. See `coil_filter` for the convention, `calib.spirit_kernel` for the kernel.

    Args:
        kernel: (coil, coil, ky, kx) complex, odd sizes, 0 at (c, c, centre).
        shape: (coil, y, x).
        domain: "image" or "kspace", what the operator takes and gives.

    Raises:
        TypeError, ValueError: shapes that do not fit, a kernel that predicts a sample from itself, NaN.

    Reference:
        Lustig and Pauly, Magn Reson Med 64 (2010) 457.
    """
    return CoilFilter(_minus_identity(kernel, 1.0), shape, domain)


def _minus_identity(kernel, factor):
    """factor * (kernel - delta): the identity is one more tap of the kernel."""
    kernel = _check.array("kernel", kernel, ndim=4, nonzero=True)
    like = kernel if backend.native(kernel) else None
    kernel = backend.copy(backend.from_torch(kernel, like) if _check.is_torch(kernel) else kernel)
    coils = backend.like(np.arange(len(kernel)), kernel)
    centre = (coils, coils, kernel.shape[2] // 2, kernel.shape[3] // 2)
    if kernel.shape[0] != kernel.shape[1] or bool((kernel[centre] != 0).any()):
        raise ValueError(f"kernel must be (coil, coil, ky, kx) with 0 at (c, c, centre), got shape "
                         f"{tuple(kernel.shape)}: calib.spirit_kernel makes one")
    kernel[centre] = -1
    return kernel * backend.number(factor, kernel)


class SampledFFT(Linop):
    """The class behind `sampled_fft`: SENSE of one coil with a map of 1, for each coil image as a slice."""

    host = False

    sense: Sense

    def __init__(self, shape: Sequence[int], mask: ArrayLike, like: Any = None):
        shape = _check.shape("shape", shape)
        if len(shape) != 3:
            raise ValueError(f"shape must be (coil, y, x), got {shape}")
        mask = _check.mask("mask", mask, shape)
        ones = np.ones((shape[0], 1, *shape[1:]), "complex64") if like is None else backend.zeros(
            (shape[0], 1, *shape[1:]), like) + 1
        self.sense = Sense(ones, mask)
        super().__init__(shape, shape)

    def norm_bound(self) -> float | None:
        return 1.0

    def _apply(self, input):
        return self.sense(input).reshape(tuple(self.oshape))

    def _apply_adjoint(self, input):
        return self.sense.H(input.reshape(tuple(self.sense.oshape)))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return self.sense.N


def sampled_fft(shape: Sequence[int], mask: ArrayLike, *, like: Any = None) -> SampledFFT:
    """M F, coil images -> their sampled k-space: what was measured, without a model of the coils.

    F is the centred orthonormal 2-D FFT, M the mask; `A.N` transforms only the axes along which the mask varies. For
    unknowns that are coil images, as in SPIRiT and in calibrationless methods. ||A|| <= 1.

    Args:
        shape: (coil, y, x).
        mask: sampling, boolean or 0/1, (ky, kx), (ky, 1) or (1, kx).
        like: an array whose kind (numpy, cupy) and dtype the operator is made for; None: numpy complex64.

    Raises:
        TypeError, ValueError: shapes that do not fit, a mask that samples nothing.
    """
    return SampledFFT(shape, mask, like)


class SpiritEncoding(Blocks):
    """The class behind `spirit_encoding`."""

    def __init__(self, kernel: Any, mask: ArrayLike, shape: Sequence[int], weight: float = 1.0):
        weight = _check.number("weight", weight, low=0, strict=True)
        consistency = CoilFilter(_minus_identity(kernel, weight**0.5), shape)
        super().__init__([[SampledFFT(shape, mask, consistency.kernel)], [consistency]])

    def data(self, kspace: ArrayLike) -> Array:
        """[y, 0]: what `solve` takes as data, from k-space (coil, ky, kx); what is outside of the mask is ignored."""
        kspace = _check.array("kspace", kspace, shape=self.ishape, nonzero=True)
        sampled = self.rows[0][0].sense.weight
        if sampled is not None:
            kspace = kspace * backend.like(sampled, kspace)
        return self.range.lift(kspace)


def spirit_encoding(kernel: Sequence[int], mask: ArrayLike, shape: Sequence[int], *,
                    weight: float = 1.0) -> SpiritEncoding:
    """SPIRiT with a data term, A = [M F; sqrt(weight) (G - I)]: coil images -> sampled k-space and inconsistency.

        minimise over x    1/2 ||M F x - y||^2 + weight/2 ||(G - I) x||^2 + g(x),     x (coil, y, x)

    Any mask, and any prior on coil images: `lam * pi.Wavelet()` is l1-SPIRiT, `lam * pi.L21() @ linops.wavelet(shape)`
    its joint form, `pi.PnP(D, sigma)` denoises every coil image. A is badly conditioned: 20 steps of ADMM, which solves
    for x inside, get further than 150 of FISTA or POGM, which `solve` would choose.

        A = linops.spirit_encoding(kernel, mask, y.shape)
        x = pi.solve(A, A.data(y), 5e-4 * pi.L21() @ linops.wavelet(y.shape), pi.ADMM(), max_iter=20).x
        image = numpy.linalg.norm(x, axis=0)

    Args:
        kernel: (coil, coil, ky, kx), from `calib.spirit_kernel`.
        mask: sampling, boolean or 0/1, (ky, kx), (ky, 1) or (1, kx).
        shape: (coil, y, x), the shape of k-space.
        weight: of the consistency against the data, both being sums of squares of the same size; large where the noise
            is small against what the kernel mispredicts.

    Returns:
        A linop to one flat vector, whose `data(kspace)` makes the right-hand side. `A.N` is the sum of the FFTs along
        the axes that the mask varies along and one product of matrices a pixel.

    Raises:
        TypeError, ValueError: shapes that do not fit, a mask that samples nothing, a weight that is not > 0.

    Reference:
        Lustig and Pauly, Magn Reson Med 64 (2010) 457; Murphy et al., IEEE Trans Med Imaging 31 (2012) 1250.
    """
    return SpiritEncoding(kernel, mask, shape, weight)


class SpiritMissing(Linop):
    """The class behind `spirit_missing`."""

    host = False

    consistency: CoilFilter
    mask: Any
    axes: tuple[int, ...]
    missing: tuple[Any, ...]

    def __init__(self, kernel: Any, mask: ArrayLike, shape: Sequence[int]):
        self.consistency = CoilFilter(_minus_identity(kernel, 1.0), shape)
        coils, ny, nx = shape = tuple(self.consistency.ishape)
        self.mask = _check.mask("mask", mask, shape)
        if self.mask.all():
            raise ValueError("mask is True everywhere: no sample is missing, there is nothing to reconstruct")
        along_y, along_x = ((self.mask != m).any() for m in (self.mask[:1], self.mask[:, :1]))
        self.axes = tuple(a for a, varies in ((-2, along_y), (-1, along_x)) if varies)
        # whole lines are missing: they stay images along the other axis, where F^H F = I
        self.missing = np.nonzero(~self.mask) if len(self.axes) == 2 else (
            (np.flatnonzero(~self.mask[:, 0]),) if along_y else (slice(None), np.flatnonzero(~self.mask[0])))
        self._at = [i if isinstance(i, slice) else backend.Constant(i) for i in self.missing]
        super().__init__(shape, (coils, *np.empty((ny, nx), bool)[self.missing].shape))

    def _index(self, x):
        """The missing samples of every coil, as indices that are where x is."""
        return (slice(None), *(i if isinstance(i, slice) else i.like(x) for i in self._at))

    def _place(self, z):
        """The images of the missing samples: F^H D^H z."""
        k = backend.zeros(self.oshape, z)
        k[self._index(z)] = z
        return backend.fft(k, self.axes, inverse=True)

    def _pick(self, x):
        """The missing samples of images: D F x."""
        return backend.fft(x, self.axes)[self._index(x)]

    def norm_bound(self) -> float | None:
        return self.consistency.norm_bound()

    def _apply(self, input):
        return self.consistency(self._place(input))

    def _apply_adjoint(self, input):
        return self._pick(self.consistency.H(input))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._normal, "SpiritMissing.N")

    def _normal(self, z):
        return self._pick(self.consistency.N(self._place(z)))

    def _measured(self, kspace):
        kspace = _check.array("kspace", kspace, shape=self.oshape, nonzero=True)
        return kspace * backend.like(self.mask, kspace)

    def data(self, kspace: ArrayLike) -> Array:
        """-(G - I) F^H y, as coil images: the inconsistency of the measured samples that the others have to repair."""
        images = backend.fft(self._measured(kspace), (-2, -1), inverse=True)
        return -apply(self.consistency, images)

    def images(self, kspace: ArrayLike, z: ArrayLike) -> Array:
        """Coil images (coil, y, x) of the measured samples of `kspace` and the missing ones z that `solve` found."""
        z = _check.array("z", z, shape=self.ishape)
        return backend.fft(self._measured(kspace), (-2, -1), inverse=True) + self._place(z)


def spirit_missing(kernel: Sequence[int], mask: ArrayLike, shape: Sequence[int]) -> SpiritMissing:
    """SPIRiT with hard data consistency, A = (G - I) F^H D^H: missing samples -> inconsistency of the coil images.

        minimise over z    1/2 ||(G - I) F^H (D^H z + y)||^2

    The measured samples are kept as they are and only the missing ones z are unknown. No prior on images fits this
    form: take `spirit_encoding` for that. Stopping after 30 iterations regularises.

        A = linops.spirit_missing(kernel, mask, y.shape)
        x = A.images(y, pi.solve(A, A.data(y), max_iter=30).x)
        image = numpy.linalg.norm(x, axis=0)

    Args:
        kernel: (coil, coil, ky, kx), from `calib.spirit_kernel`.
        mask: sampling, boolean or 0/1, (ky, kx), (ky, 1) or (1, kx).
        shape: (coil, y, x), the shape of k-space.

    Returns:
        A linop from z to (coil, y, x), with `data(kspace)` and `images(kspace, z)`. z is (coil, points), or, where
        whole lines are missing, (coil, lines, x) or (coil, y, lines), images along the line.

    Raises:
        TypeError, ValueError: shapes that do not fit, a mask that samples nothing or everything.

    Reference:
        Lustig and Pauly, Magn Reson Med 64 (2010) 457, equation 11.
    """
    return SpiritMissing(kernel, mask, shape)
