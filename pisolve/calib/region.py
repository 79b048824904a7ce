"""The fully sampled centre of k-space: where it is, its neighbourhoods, and the least squares fitted on them."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from pisolve import _check
from pisolve.backend import to_numpy

REMEDY = "give calib=... from another scan, or maps from elsewhere"


def calibration_region(kspace_or_mask, *, calib_width: int = 24, kernel_width: int = 6) -> tuple[int, int]:
    """Size (height, width) of the fully sampled block around the centre of k-space that calibration can use.

    The block is centred as `N // 2 - size // 2`, at most `calib_width` in each direction, and of all such blocks the
    one that holds most kernel positions, (height - k + 1) (width - k + 1).

    Args:
        kspace_or_mask: mask (ky, kx), not 0 where measured, or k-space (coil, ky, kx) or (slice, coil, ky, kx), where
            a sample counts as measured if any coil is not 0 (in every slice).
        calib_width: largest height and width in samples.
        kernel_width: smallest height and width in samples.

    Raises:
        ValueError: the fully sampled centre is smaller than the kernel.
    """
    x = to_numpy(_check.array("kspace_or_mask", kspace_or_mask, ndim=(2, 3, 4), complex_=False)) != 0
    x = x if x.ndim == 2 else x.any(-3)
    calib_width = _check.integer("calib_width", calib_width, low=1)
    kernel_width = _check.integer("kernel_width", kernel_width, low=1)
    return region("kspace_or_mask", x if x.ndim == 2 else x.all(0), calib_width, (kernel_width, kernel_width))


def region(name: str, measured, largest: int | None, kernel) -> tuple[int, int]:
    """Size of the centred full block of the bool array `measured` that holds most positions of a `kernel` (ky, kx).

    Args:
        name: of the array that `measured` comes from, for the message.
        largest: height and width of the block are at most this; None: no limit.
    """
    if largest is not None and largest < max(kernel):
        raise ValueError(f"calib_width must be at least kernel_width = {max(kernel)}, got {largest}")
    holes = np.zeros(np.add(measured.shape, 1), int)  # integral image: any block's number of holes in four look-ups
    holes[1:, 1:] = (~measured).cumsum(0).cumsum(1)
    sizes = [np.arange(k, min(largest or n, n) + 1) for k, n in zip(kernel, measured.shape)]
    (top, left) = (n // 2 - size // 2 for n, size in zip(measured.shape, sizes))
    y, x = np.stack([top, top + sizes[0]])[:, :, None], np.stack([left, left + sizes[1]])[:, None, :]
    full = holes[y[1], x[1]] - holes[y[0], x[1]] - holes[y[1], x[0]] + holes[y[0], x[0]] == 0
    if not full.any():
        raise ValueError(f"{name} needs at least {kernel[0]} x {kernel[1]} (kernel_width) fully sampled samples "
                         f"around the centre: {REMEDY}")
    positions = full * np.outer(*(size - k + 1 for size, k in zip(sizes, kernel)))
    i, j = np.unravel_index(positions.argmax(), positions.shape)
    return int(sizes[0][i]), int(sizes[1][j])


def middle(n: int, size: int) -> slice:
    """The centred `size` of `n` samples, centre N // 2 on centre size // 2."""
    return slice(n // 2 - size // 2, n // 2 - size // 2 + size)


def calibration_data(kspace, mask=None, calib=None, *, kernel=(5, 5), calib_width: int | None = None):
    """The calibration samples (coil, cy, cx), complex128 on the CPU, that kernels of a size can be fitted on.

    Args:
        kspace: (coil, ky, kx) complex.
        mask: sampling mask that broadcasts to (ky, kx); None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx) to be used in place of the centre of `kspace`, all of it.
        kernel: (ky, kx) sizes of the kernel.
        calib_width: largest height and width of the region; None: all of the full centre.

    Raises:
        ValueError: shapes that do not fit, zero data, a full centre smaller than the kernel.
    """
    if calib is not None:
        block = to_numpy(_check.array("calib", calib, ndim=3, nonzero=True))
        if len(block) != kspace.shape[-3]:
            raise ValueError(f"calib has {len(block)} coils, kspace {kspace.shape[-3]}: they must be the same coils")
        if any(n < k for n, k in zip(block.shape[1:], kernel)):
            raise ValueError(f"calib has {block.shape[1]} x {block.shape[2]} samples, fewer than the kernel "
                             f"{kernel[0]} x {kernel[1]}: give more calibration lines or a smaller kernel")
        return block.astype(np.complex128)
    kspace = to_numpy(_check.array("kspace", kspace, ndim=3, nonzero=True))
    measured = (kspace != 0).any(0) if mask is None else sampled(mask, kspace.shape[-2:])
    sizes = region("kspace", measured, calib_width, kernel)
    block = kspace[:, middle(kspace.shape[1], sizes[0]), middle(kspace.shape[2], sizes[1])].astype(np.complex128)
    if not block.any():
        raise ValueError("kspace is zero in the whole calibration region: mask marks samples that are not there")
    return block


def sampled(mask, shape):
    """A mask as a bool array of shape (ky, kx)."""
    mask = to_numpy(_check.array("mask", mask, complex_=False))
    try:
        if mask.ndim < 2:
            raise ValueError
        return np.broadcast_to(mask.reshape(mask.shape[-2:]) != 0, shape)
    except ValueError:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: one that broadcasts to (ky, kx) = {tuple(shape)} is "
                         f"needed, with both axes") from None


def neighbourhoods(block, kernel):
    """Calibration matrix: every kernel position of a block (coil, cy, cx) is a row of coil * ky * kx samples."""
    axes = tuple(range(1, block.ndim))
    A = np.lib.stride_tricks.sliding_window_view(block, tuple(kernel), axis=axes)
    return np.moveaxis(A, 0, len(axes)).reshape(-1, len(block) * int(np.prod(kernel)))


def ridge(gram, target, lam: float):
    """W = (B + lam ||B||_F / n I)^-1 target for a Gram matrix B (n, n): Tikhonov in the units of the data.

    This scaling is that of Lustig's SPIRiT code and of pygrappa, so that one `lam` carries from scan to scan.

    Args:
        gram: B = A^H A, (n, n) Hermitian.
        target: A^H b, (n, m).
        lam: >= 0; 0 solves by the pseudo-inverse where B is singular.
    """
    n = len(gram)
    if lam == 0:
        return scipy.linalg.lstsq(gram, target, check_finite=False)[0]
    B = gram + lam * np.linalg.norm(gram) / n * np.eye(n)
    return scipy.linalg.solve(B, target, assume_a="pos", check_finite=False)
