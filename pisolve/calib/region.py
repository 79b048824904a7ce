"""The fully sampled centre of k-space: where it is, its neighbourhoods, and the least squares fitted on them."""

from __future__ import annotations

from functools import reduce

import numpy as np

from pisolve import _check, masks
from pisolve._types import ArrayLike
from pisolve.backend import parallel, to_numpy
from pisolve.linops.conjugate import reflect

REMEDY = "give calib=... from another scan, or maps from elsewhere"


def calibration_region(kspace_or_mask: ArrayLike, *, calib_width: int = 24, kernel_width: int = 6) -> tuple[int, int]:
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


def region(name: str, measured, largest: int | None, kernel, remedy: str = REMEDY,
           argument: str = "kernel_width") -> tuple[int, ...]:
    """Size of the centred full block of the bool array `measured` that holds most positions of a `kernel`.

    Args:
        name: of the array that `measured` comes from, for the message.
        measured: bool, of two or three axes.
        largest: the block's sides are at most this; None: no limit.
        kernel: its sides, one for each axis.
        remedy: the end of the message where there is no such block.
        argument: the caller's argument that sets `kernel`, for that message.
    """
    if largest is not None and largest < max(kernel):
        raise ValueError(f"calib_width must be at least kernel_width = {max(kernel)}, got {largest}")
    holes = np.pad(~measured, [(1, 0)] * measured.ndim).astype(int)
    for axis in range(measured.ndim):  # integral image: any block's number of holes in 2^ndim look-ups
        holes.cumsum(axis, out=holes)
    sizes = [np.arange(k, min(largest or n, n) + 1) for k, n in zip(kernel, measured.shape)]
    starts = [n // 2 - size // 2 for n, size in zip(measured.shape, sizes)]
    inside = 0
    for corner in np.ndindex((2,) * measured.ndim):
        look = np.ix_(*(start + end * size for start, end, size in zip(starts, corner, sizes)))
        inside = inside + (-1) ** (measured.ndim - sum(corner)) * holes[look]
    full = inside == 0
    if not full.any():
        raise ValueError(f"{name} needs at least {' x '.join(map(str, kernel))} ({argument}) fully sampled samples "
                         f"around the centre: {remedy}")
    positions = full * reduce(np.multiply, np.ix_(*(size - k + 1 for size, k in zip(sizes, kernel))))
    best = np.unravel_index(positions.argmax(), positions.shape)
    return tuple(int(size[i]) for size, i in zip(sizes, best))


def middle(n: int, size: int) -> slice:
    """The centred `size` of `n` samples, centre N // 2 on centre size // 2."""
    return slice(n // 2 - size // 2, n // 2 - size // 2 + size)


def calibration_data(kspace, mask=None, calib=None, *, kernel=(5, 5), calib_width: int | None = None,
                     argument: str | None = None, remedy: str = REMEDY):
    """The calibration samples (coil, cy, cx), complex128 on the CPU, that kernels of a size can be fitted on.

    Args:
        kspace: (coil, ky, kx) complex.
        mask: sampling mask (ky, kx), (ky, 1) or (1, kx); None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx) to be used in place of the centre of `kspace`, all of it.
        kernel: (ky, kx) sizes of the kernel.
        calib_width: largest height and width of the region; None: all of the full centre.
        argument, remedy: as for `region`, where other arguments than a kernel's own set its size.

    Raises:
        ValueError: shapes that do not fit, zero data, a full centre smaller than the kernel, virtual coils that were
            not sampled where the coils were.
    """
    _refuse_unpaired(kspace, mask)
    if calib is not None:
        block = to_numpy(_check.array("calib", calib, ndim=3, nonzero=True))
        if len(block) != kspace.shape[-3]:
            raise ValueError(f"calib has {len(block)} coils, kspace {kspace.shape[-3]}: they must be the same coils")
        holds_kernel("calib", block.shape[1:], kernel, argument or "kernel")
        return block.astype(np.complex128)
    kspace = to_numpy(_check.array("kspace", kspace, ndim=3, nonzero=True))
    measured = (kspace != 0).any(0) if mask is None else sampled(mask, kspace.shape[-2:])
    sizes = region("kspace", measured, calib_width, kernel, remedy, argument or "kernel_width")
    block = kspace[:, middle(kspace.shape[1], sizes[0]), middle(kspace.shape[2], sizes[1])].astype(np.complex128)
    if not block.any():
        raise ValueError("kspace is zero in the whole calibration region: mask marks samples that are not there")
    return block


def _refuse_unpaired(kspace, mask):
    """Refuse `virtual_coils` of a scan whose mask is not its own mirror: one half is 0 where the other is not."""
    half, odd = divmod(kspace.shape[0], 2)
    at = tuple(n // 2 for n in kspace.shape[-2:])
    centre = to_numpy(kspace[(slice(None), *at)])
    if odd or (centre[half:] != centre[:half].conj()).any():  # nearly always
        return
    first, second = to_numpy(kspace[:half]), to_numpy(kspace[half:])
    if not first.any() or (second != reflect(first).conj()).any():
        return
    seen = masks.estimate(first)
    seen = [seen] if mask is None else [seen & sampled(mask, seen.shape), sampled(mask, seen.shape)]
    if any((one != reflect(one)).any() for one in seen):
        raise ValueError("kspace holds coils and their virtual conjugates, which were not sampled at the same places: "
                         "make them by virtual_coils(kspace, mask), and use the mask that it returns")


def holds_kernel(name: str, shape, kernel, argument: str = "kernel") -> None:
    """Refuse samples (ky, kx) that hold no whole kernel, whose size the caller's `argument` sets."""
    if any(n < k for n, k in zip(shape, kernel)):
        raise ValueError(f"{name} has {shape[0]} x {shape[1]} samples, fewer than the {argument} "
                         f"{kernel[0]} x {kernel[1]}: give more calibration lines or a smaller {argument}")


def sampled(mask, shape):
    """A mask as a bool array of shape (ky, kx), or (kz, ky, kx)."""
    if len(shape) == 2:
        return _check.mask("mask", mask, shape)
    mask = to_numpy(_check.array("mask", mask, complex_=False))
    mask = _check.mask("mask", mask.reshape(1, -1), (1, mask.size)).reshape(mask.shape)  # booleans, 0 and 1 only
    try:
        if mask.ndim < len(shape):
            raise ValueError
        return np.broadcast_to(mask.reshape(mask.shape[-len(shape):]), shape)
    except ValueError:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: one that broadcasts to (kz, ky, kx) = {tuple(shape)} is "
                         "needed, with all three axes") from None


def neighbourhoods(block, kernel):
    """Calibration matrix: every kernel position of a block (coil, cy, cx) is a row of coil * ky * kx samples."""
    axes = tuple(range(1, block.ndim))
    A = np.lib.stride_tricks.sliding_window_view(block, tuple(kernel), axis=axes)
    return np.moveaxis(A, 0, len(axes)).reshape(-1, len(block) * int(np.prod(kernel)))


def gram(block, kernel):
    """A^H A of A = `neighbourhoods(block, kernel)`, (n, n) complex, without forming A.

    Entries that belong to rows dy, dy' of the kernel differ only in which rows of the block they are summed over, so
    each lag dy' - dy is one matrix product and, from one dy to the next, one row more and one less.
    """
    coils, height, (ky, kx) = len(block), block.shape[1], kernel
    rows = np.lib.stride_tricks.sliding_window_view(block, kx, axis=2).transpose(1, 2, 0, 3)
    rows = rows.reshape(height, -1, coils * kx)  # (y, position, coil * kx)
    count, n = height - ky + 1, coils * kx

    def product(first, second):
        return first.reshape(-1, n).conj().T @ second.reshape(-1, n)

    def lag(k):
        sums = [product(rows[:count], rows[k:k + count])]
        for y in range(ky - 1 - k):
            sums.append(sums[-1] + product(rows[y + count], rows[y + count + k]) - product(rows[y], rows[y + k]))
        return sums

    out = np.empty((coils, ky, kx, coils, ky, kx), block.dtype)
    for k, sums in enumerate(parallel(lag, range(ky))):
        for y, one in enumerate(sums):
            one = one.reshape(coils, kx, coils, kx)
            out[:, y, :, :, y + k] = one
            if k:
                out[:, y + k, :, :, y] = one.conj().transpose(2, 3, 0, 1)
    return out.reshape(n * ky, n * ky)


def ridge(gram, target, lam: float):
    """W = (B + lam ||B||_F / n I)^-1 target for a Gram matrix B (n, n): Tikhonov in the units of the data.

    This scaling is that of Lustig's SPIRiT code and of pygrappa, so that one `lam` carries from scan to scan.

    Args:
        gram: B = A^H A, (n, n) Hermitian.
        target: A^H b, (n, m).
        lam: >= 0; 0 solves by the pseudo-inverse where B is singular.
    """
    import scipy.linalg

    n = len(gram)
    if lam == 0:
        return scipy.linalg.lstsq(gram, target, check_finite=False)[0]
    B = gram + lam * np.linalg.norm(gram) / n * np.eye(n)
    return scipy.linalg.solve(B, target, assume_a="pos", check_finite=False)
