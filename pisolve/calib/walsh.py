"""Coil sensitivities from images: the adaptive combination of Walsh, and Inati's fast iteration."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import parallel
from pisolve.calib import _coils
from pisolve.calib._eig import dominant

_PATCH = 1 << 18  # entries of the patches that one thread holds


def walsh(kspace: ArrayLike, *, calib_width: int | None = 24, window: int = 5, thresh: float = 0.02,
          mask: ArrayLike | None = None, calib: ArrayLike | None = None) -> Array:
    """Coil maps by adaptive combination: the dominant eigenvector of the local covariance of the coils' images.

        R(r) = sum over |s - r| in the window of I(s) I(s)^H,        mps(r) = v_1(R(r)),        sum_c |mps_c|^2 = 1

    I are images of the fully sampled centre of k-space under a Hann window. The phase is that of `espirit`: the
    dominant virtual coil u has a real and positive map. Simple, but blurred by the centre's resolution: on two
    simulated scans and one in vivo `espirit` and `jsense` explained the coils' images better.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex; each slice by itself. Any scale. Coils that measured
            nothing get a map of 0. Numpy, cupy or torch; the work is done on the CPU.
        calib_width: largest size of the calibration region in samples along ky and kx; None: all of the full centre.
        window: side of the window in pixels.
        thresh: maps are 0 where the low-resolution root sum of squares is at most this times its 99th percentile,
            0 <= thresh < 1; 0 keeps maps of the background, which are noise.
        mask: sampling mask that broadcasts to (ky, kx); default: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx), or (slice, coil, cy, cx), in place of the centre of `kspace`.

    Returns:
        mps: shape, precision and kind of `kspace`.

    Raises:
        ValueError: bad sizes or values, zero or non-finite data, no fully sampled centre.

    Reference:
        D. O. Walsh, A. F. Gmitro, M. W. Marcellin, Magn. Reson. Med. 43:682-690 (2000).
    """
    window = _check.integer("window", window, low=1)
    return _from_images(kspace, calib_width, thresh, mask, calib, lambda images: _eigenvectors(images, window))


def inati(kspace: ArrayLike, *, calib_width: int | None = 24, window: int = 5, iterations: int = 5,
          thresh: float = 0.02, mask: ArrayLike | None = None, calib: ArrayLike | None = None) -> Array:
    """Coil maps by Inati's iteration: Walsh's eigenvectors by a power iteration that smooths maps, not covariances.

        S <- normalise(box * (I conj(m))),    m <- S^H I,    both turned so that a fixed combination of S has phase 0

    The alignment in every step keeps phases smooth, so that neighbouring maps may be averaged. No covariance of
    coils^2 entries a pixel is formed: with many coils this is much faster than `walsh`, for nearly the same maps.

    Args:
        kspace, calib_width, window, thresh, mask, calib: as for `walsh`.
        iterations: number of steps.

    Returns:
        mps: shape, precision and kind of `kspace`; phase as in `walsh`.

    Raises:
        ValueError: as `walsh`.

    Reference:
        S. J. Inati, M. S. Hansen, P. Kellman, A fast optimal method for coil sensitivity estimation and adaptive coil
        combination for complex images, Proc. ISMRM 22:4407 (2014).
    """
    window = _check.integer("window", window, low=1)
    iterations = _check.integer("iterations", iterations, low=1)
    return _from_images(kspace, calib_width, thresh, mask, calib, lambda images: _iterated(images, window, iterations))


def _from_images(kspace, calib_width, thresh, mask, calib, maps_of):
    calib_width = _check.integer("calib_width", calib_width, low=1, allow_none=True)
    thresh = _coils.fraction("thresh", thresh)

    def fit(name, samples, measured, shape, dtype):
        block = _coils.full_centre(name, samples, measured, calib_width)
        images = _coils.images(block, shape, dtype)
        keep = _coils.support(np.linalg.norm(images, axis=0), thresh)
        return _coils.finish(maps_of(images), _coils.virtual(block), keep, block.any((1, 2)))

    return _coils.by_slice(kspace, mask, calib, fit)


def _eigenvectors(images, window):
    """(coil, y, x): the dominant eigenvector of the covariance in a window about each pixel, zeros outside."""
    c, ny, nx = images.shape
    before, after = window // 2, window - 1 - window // 2
    padded = np.pad(np.moveaxis(images, 0, -1), ((before, after), (before, after), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(0, 1))  # (y, x, c, dy, dx)
    out = np.empty((ny, nx, c), images.dtype)
    step = max(1, _PATCH // (nx * c * window**2))
    tol = 1e-5 if images.dtype == np.complex64 else 1e-10

    def rows(y):
        X = patches[y:y + step].reshape(-1, c, window**2)
        out[y:y + step] = dominant(X @ X.conj().swapaxes(1, 2), tol=tol)[1].reshape(-1, nx, c)

    parallel(rows, range(0, ny, step))
    return np.moveaxis(out, -1, 0)


def _iterated(images, window, iterations):
    """(coil, y, x): maps after Inati's iteration, as in the ismrmrd-python-tools."""
    from scipy.ndimage import uniform_filter

    eps = np.finfo(images.dtype).eps * float(abs(images).mean())
    def smooth(one):
        return uniform_filter(one, window)

    image = np.einsum("c,cyx->yx", _direction(images.sum((1, 2))).conj(), images)
    for _ in range(iterations):
        weighted = images * image.conj()
        mps = np.stack(parallel(smooth, weighted))
        mps /= np.sqrt((mps.real**2 + mps.imag**2).sum(0)) + eps
        image = np.einsum("cyx,cyx->yx", mps.conj(), images)
        u = _direction(np.einsum("cyx,yx->c", mps, image))
        turn = np.einsum("c,cyx->yx", u.conj(), mps)
        turn /= abs(turn) + eps
        image *= turn
        mps *= turn.conj()
    return mps


def _direction(v):
    size = np.linalg.norm(v)
    return v / size if size > 0 else v
