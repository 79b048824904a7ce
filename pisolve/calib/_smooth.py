"""Coil maps as small kernels in k-space: the least-squares fit that JSENSE and the body coil share."""

from __future__ import annotations

import numpy as np

from pisolve.backend import fft
from pisolve.calib.region import neighbourhoods

STEP = 2  # samples of a kernel for one of k-space: maps then have a period of two fields of view, not of one
_ORDER = 4  # of the penalty: smooth as the fields of coils that are far from the object


def fit(image, data, measured, width, lam):
    """Kernels m_c (coil, w, w) with data = F(S image), S their `field`, smooth by a penalty on their outer samples.

        min over m_c   sum over measured k of |(F S_c image)(k) - data_c(k)|^2 + lam s sum_q p(q) |m_c(q)|^2

    F S_c image at k is sum_q m_c(q) b(k - q / 2) with b the transform of the image, between its samples too. s is the
    mean diagonal of the Gram matrix, so lam has no unit. All coils share one matrix, factorised once.

    Args:
        image: (y, x) the object on any grid of the same field of view, no coarser than the block of data.
        data: k-space (coil, h, w') of the coils, centred.
        measured: bool (h, w').
    """
    import scipy.linalg

    sizes = data.shape[1:]
    rows = neighbourhoods(_around(image, sizes, width)[None, ::-1, ::-1], (width, width))  # reversed: a convolution
    positions = [np.arange(STEP * (n - 1), -1, -STEP) for n in sizes]
    A = rows.reshape(*(STEP * (n - 1) + 1 for n in sizes), -1)[np.ix_(*positions)][measured]
    gram = A.conj().T @ A
    q = (np.arange(width) - width // 2) * 2 / width
    penalty = (1 + q[:, None] ** 2 + q**2) ** _ORDER
    gram[np.diag_indices(width**2)] += lam * np.trace(gram).real / width**2 * penalty.ravel()
    target = A.conj().T @ data[:, measured].T
    try:
        found = scipy.linalg.solve(gram, target, assume_a="pos", check_finite=False)
    except np.linalg.LinAlgError:  # lam = 0 and fewer samples than unknowns
        found = scipy.linalg.lstsq(gram, target, check_finite=False)[0]
    return np.ascontiguousarray(found.T.reshape(len(data), width, width))


def field(kernels, shape):
    """The maps (coil, y, x) of kernels: sum over q of m(q) exp(2 pi i q r / 2N), both centred."""
    waves = []
    for n in shape:
        q = np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
        waves.append(np.exp(2j * np.pi / (STEP * n) * np.outer(np.arange(n) - n // 2, q)).astype(kernels.dtype))
    return waves[0] @ kernels @ waves[1].T


def _around(image, sizes, width):
    """The image's transform at all k - q / 2 for k in a centred block and q in a kernel; 0 beyond its grid."""
    padded = np.zeros([STEP * n for n in image.shape], image.dtype)
    inside = []
    for n in image.shape:
        first = STEP * n // 2 - n // 2
        inside.append(slice(first, first + n))
    padded[tuple(inside)] = image
    kspace = fft(padded, (-2, -1)) * STEP  # orthonormal: twice the pixels
    out = np.zeros([STEP * (n - 1) + width for n in sizes], kspace.dtype)
    source, target = [], []
    for n, size in zip(kspace.shape, sizes):
        first = n // 2 - STEP * (size // 2) - (width - 1 - width // 2)
        start, stop = max(first, 0), min(first + STEP * (size - 1) + width, n)
        source.append(slice(start, stop))
        target.append(slice(start - first, stop - first))
    out[tuple(target)] = kspace[tuple(source)]
    return out
