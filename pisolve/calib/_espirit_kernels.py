"""What ESPIRiT keeps of the calibration data: the row space's kernels, and the k-space samples of G(r)."""

from __future__ import annotations

import numpy as np

from pisolve.calib.region import neighbourhoods, region

SLAB = 1 << 22  # entries of the calibration matrix, and of transformed kernels, held at a time
LEAST = 1e-3  # of thresh="auto": data without noise are of full rank at the level of their rounding, and say nothing
WHOLE = 1024  # columns of a Gram matrix of which all eigenvectors are computed; of larger ones those that are kept


def sizes(name, measured, calib_width, kernel_width):
    """Sides of the calibration region and the kernel's size, automatic where `kernel_width` is None."""
    ndim = measured.ndim
    if kernel_width is not None:
        return region(name, measured, calib_width, (kernel_width,) * ndim), kernel_width
    smallest = min(3, calib_width)
    block = region(name, measured, calib_width, (smallest,) * ndim)
    lines = min(block)
    if lines < calib_width and ndim == 2:
        block = region(name, measured, 2 * calib_width, (smallest,) * ndim)
        lines = min(block)
    return block, min(max((lines + 2) // 3, smallest), 6, calib_width)


def correlations(centre, k, thresh):
    """Samples (2k, ..., c, c) of G's k-space, lag 0 first: the cross-correlations of the kept kernels, summed.

    Args:
        centre: calibration samples (c, cy, cx) or (c, cz, cy, cx), complex128.
        k: size of the kernels.
        thresh: singular values above this part of the largest are kept; "auto": above those of the noise.
    """
    import scipy.fft

    c, ndim = len(centre), centre.ndim - 1
    V = _row_space(centre, k, thresh)
    double, axes = (2 * k,) * ndim, tuple(range(-ndim, 0))  # 2k: no wrap-around of lags
    total, step = 0, max(1, SLAB // (c * (2 * k) ** ndim))
    for first in range(0, V.shape[1], step):
        kernels = V[:, first:first + step].conj().T.reshape(-1, c, *(k,) * ndim)
        F = scipy.fft.fftn(kernels, s=double, axes=axes).reshape(-1, c, (2 * k) ** ndim).transpose(2, 1, 0)
        total = total + F @ F.conj().swapaxes(1, 2)
    return scipy.fft.ifftn(total.reshape(*double, c, c), axes=tuple(range(ndim)), overwrite_x=True) / k**ndim


def _row_space(centre, k, thresh):
    """Orthonormal columns: the right singular vectors of the calibration matrix with large singular values."""
    kernel = (k,) * (centre.ndim - 1)
    rows = int(np.prod([n - k + 1 for n in centre.shape[1:]]))
    columns = len(centre) * k ** len(kernel)
    wide = rows < columns  # the smaller Gram has the same singular values; double precision, as they are squared
    if wide or rows * columns <= SLAB:
        A = neighbourhoods(centre, kernel)
        gram = A @ A.conj().T if wide else A.conj().T @ A
    else:
        gram = _gram(centre, kernel)

    def limit(s2):
        alive = columns * np.count_nonzero(centre.reshape(len(centre), -1).any(1)) // len(centre)
        level = _noise(s2, rows, alive) if thresh == "auto" else thresh
        return s2[-1] * max(level**2, len(gram) * np.finfo(float).eps)

    if len(gram) <= WHOLE:
        s2, V = np.linalg.eigh(gram)  # scipy's keeps the interpreter's lock, and other slices wait
        keep = s2 > limit(s2)
    else:  # only what is kept, which is a small part
        import scipy.linalg
        import scipy.sparse.linalg

        start = gram[:, gram.diagonal().real.argmax()]
        spectrum = scipy.linalg.eigvalsh(gram, check_finite=False) if thresh == "auto" else \
            scipy.sparse.linalg.eigsh(_hermitian(gram), 1, v0=start, return_eigenvectors=False)
        bottom = limit(spectrum)
        s2, V = scipy.linalg.eigh(gram, subset_by_value=(bottom, np.inf), overwrite_a=True, check_finite=False)
        keep = s2 > bottom
    return A.conj().T @ (V[:, keep] / np.sqrt(s2[keep])) if wide else V[:, keep]


def _noise(s2, rows, columns):
    """The largest singular value of noise in a matrix, relative to the largest of all, between LEAST and 1.

    The p - r smallest of p squared singular values s2 (ascending) are noise of variance v = sum / ((p - r)(n - r)) as
    soon as the largest of them is below Marchenko and Pastur's edge v (sqrt(p - r) + sqrt(n - r))^2: Veraart et al.,
    NeuroImage 142 (2016) 394. Entries of a calibration matrix repeat; v was right within 6 % all the same.
    """
    p, n = sorted((rows, columns))
    s2, r = np.maximum(s2[:-p - 1:-1], 0), np.arange(p)
    variance = s2[::-1].cumsum()[::-1] / ((p - r) * (n - r))
    first = (s2 <= variance * (np.sqrt(p - r) + np.sqrt(n - r)) ** 2).argmax()
    edge = np.sqrt(variance[first] / s2[0]) * (np.sqrt(p) + np.sqrt(n))
    return min(max(edge, LEAST), 1 - 1e-6)  # the largest itself is always kept


def _gram(centre, kernel):
    """A^H A of the calibration matrix in Fortran order (lower triangle), summed over its slabs along the first axis."""
    import scipy.linalg

    columns = len(centre) * int(np.prod(kernel))
    gram = np.zeros((columns, columns), centre.dtype, order="F")
    for first in range(centre.shape[1] - kernel[0] + 1):
        A = neighbourhoods(centre[:, first:first + kernel[0]], kernel)
        gram = scipy.linalg.blas.zherk(1, A.T.conj(), beta=1, c=gram, lower=True, overwrite_c=True)
    return gram


def _hermitian(lower):
    """The matrix whose lower triangle is given, as an operator."""
    import scipy.linalg
    import scipy.sparse.linalg

    lower = np.asfortranarray(lower)  # else every product makes a copy
    return scipy.sparse.linalg.LinearOperator(
        lower.shape, lambda x: scipy.linalg.blas.zhemv(1, lower, x, lower=True), dtype=lower.dtype)
