"""Partial Fourier: one side of k-space from the other, because images are nearly real up to a smooth phase."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pisolve import _check, backend, masks
from pisolve._types import Array, ArrayLike
from pisolve.linops.conjugate import reflect


class _Part(NamedTuple):
    """What is sampled along the axis that is cut short: indices start..stop - 1 of n, `half` on its shorter side."""

    axis: int
    n: int
    start: int
    stop: int

    @property
    def half(self) -> int:
        """Samples on the shorter side of the centre: -half..half is symmetric."""
        return min(self.n // 2 - self.start, self.stop - 1 - self.n // 2)

    @property
    def k(self) -> np.ndarray:
        """Frequencies counted from the centre, positive towards the side that is sampled further out."""
        k = np.arange(self.n) - self.n // 2
        return k if self.stop - 1 - self.n // 2 >= self.n // 2 - self.start else -k

    def along(self, values, like):
        """Real values along the axis as an array that broadcasts to `like` (..., ky, kx), of its kind and precision."""
        values = values.astype(_check.real_name(like))
        return backend.like(values[:, None] if self.axis == -2 else values[None, :], like)


def _part(kspace, mask) -> _Part | None:
    """The axis and the run of samples; None where all of k-space is sampled."""
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    rows, columns = mask.any(1), mask.any(0)
    if mask.all():
        return None
    runs = [np.flatnonzero(v) for v in (rows, columns)]
    if not (mask == np.outer(rows, columns)).all() or any(r[-1] - r[0] + 1 != len(r) for r in runs):
        raise ValueError("mask has holes: partial Fourier fills in one end of one axis; undersampled lines first need "
                         "grappa or unfold, or solve with linops.virtual_coils")
    if not (rows.all() or columns.all()):
        raise ValueError("mask is cut short along both axes: partial Fourier works along one; fill the other first")
    axis, run = (-1, runs[1]) if rows.all() else (-2, runs[0])
    part = _Part(axis, mask.shape[axis], int(run[0]), int(run[-1]) + 1)
    if part.half < 2:
        raise ValueError(f"mask samples {len(run)} of {part.n} lines, {max(part.half, 0)} of them on the shorter side "
                         "of the centre: at least 2 are needed for the phase, better n/8")
    return part


def _window(k, half, flat: int = 0):
    """1 for |k| <= flat, falling as a cosine to 0 beyond `half`; flat = 0 is Hann's window."""
    return np.where(k <= half, 0.5 + 0.5 * np.cos(np.pi * np.maximum(k - flat, 0) / (half - flat + 1)), 0)


def _phase(kspace, part, half):
    """e^(i phi) of the image of |k| <= half, whose outer half is tapered; 1 where that is 0."""
    return backend.unit(backend.fft(kspace * part.along(_window(abs(part.k), half, half // 2), kspace), (-2, -1),
                                    inverse=True))


def _start(kspace, mask, phase):
    """Checked k-space, its part, and the phase of its images."""
    kspace = _check.array("kspace", kspace, ndim=(2, 3, 4), nonzero=True)
    part = _part(kspace, mask)
    if part is None:
        return kspace, None, None
    inside = np.zeros(part.n)
    inside[part.start:part.stop] = 1
    kspace = kspace * part.along(inside, kspace)
    if phase is None:
        return kspace, part, _phase(kspace, part, part.half)
    phase = _check.array("phase", phase)
    _check.same_kind("phase", phase, "kspace", kspace)
    if tuple(phase.shape) not in (tuple(kspace.shape), tuple(kspace.shape[-2:])):
        raise ValueError(f"phase has shape {tuple(phase.shape)}, expected {tuple(kspace.shape)} or "
                         f"{tuple(kspace.shape[-2:])}: that of the images")
    return kspace, part, _unit(phase, kspace)


def _unit(x, kspace):
    """e^(i phase) of x in the precision of k-space."""
    x = backend.unit(x)
    return x.to(kspace.dtype) if _check.is_torch(x) else x.astype(kspace.dtype, copy=False)


def homodyne(kspace: ArrayLike, mask: ArrayLike | None = None, *, filter: str = "ramp",
             phase: ArrayLike | None = None) -> Array:
    """Full k-space of a partial Fourier scan by homodyne detection, for each coil image by itself.

        x = e^(i phi) Re( e^(-i phi) F^H W y ),    W(k) + W(-k) = 2 where k or -k was sampled

    phi is the phase of the symmetric centre, its outer half tapered. W is 2 on samples without a partner; across the
    symmetric centre it falls from 2 to 0 ("ramp", BART's `homodyne -r0 -C`) or is 1 ("step"), which rings more. One
    pass, exact for images whose phase is that of the centre. Zero-filling was nearer to the truth on our real scans.

    Args:
        kspace: (ky, kx), (coil, ky, kx) or (slice, coil, ky, kx) complex; numpy, cupy or torch.
        mask: sampling, bool or 0/1: all of one axis, one contiguous run over the centre of the other. None: where
            `kspace` is not 0.
        filter: "ramp" or "step".
        phase: complex images (ky, kx) or of the shape of `kspace`, whose phase is phi, of its kind and any precision;
            None: from the centre.

    Returns:
        Full k-space, of the shape, precision and kind of `kspace`, also where it was sampled not the data themselves.

    Raises:
        ValueError: a mask with holes, cut short along both axes, or with fewer than 2 lines beyond the centre.
        TypeError: `phase` of another kind than `kspace`.

    Reference:
        Noll, Nishimura, Macovski, IEEE Trans Med Imaging 10 (1991) 154.
    """
    _check.choice("filter", filter, ("ramp", "step"))
    kspace, part, phase = _start(kspace, mask, phase)
    if part is None:
        return backend.copy(kspace)
    k = part.k
    weight = np.clip(1 + k / (part.half + 0.5), 0, 2) if filter == "ramp" else \
        np.where(abs(k) <= part.half, 1.0, np.where(k > 0, 2.0, 0.0))
    if part.n % 2 == 0:
        weight[0] = min(weight[0], 1)  # -N/2 is its own partner
    image = backend.fft(kspace * part.along(weight, kspace), (-2, -1), inverse=True)
    return backend.fft(phase * (image * phase.conj()).real, (-2, -1))


def pocs(kspace: ArrayLike, mask: ArrayLike | None = None, *, iterations: int = 10, transition: int = 0,
         trust: float | None = None, phase: ArrayLike | None = None) -> Array:
    """Full k-space of a partial Fourier scan by projections onto convex sets, for each coil image by itself.

        x <- e^(i phi) |F^H y|,     y <- data where measured, trust * F x elsewhere,     in turn

    phi is the phase of the symmetric centre, as in `homodyne`. With trust = 1 these are Haacke's projections. They lose
    to zero-filling where k-space and its conjugate mirror share less than half of their energy, as beyond the centre of
    most gradient echo scans: phases vary faster than the centre shows, and there is noise. So `trust` is measured: the
    outer half of the symmetric centre is filled in from the inner half, and trust = Re <x, y> / <x, x> of what came out
    and what was measured there, between 0 and 1: 1 for images of smooth phase without noise. One number for all coils.

    Args:
        kspace: (ky, kx), (coil, ky, kx) or (slice, coil, ky, kx) complex; numpy, cupy or torch.
        mask: as in `homodyne`.
        iterations: number of rounds; for a real object the error halves in each.
        transition: samples at the open end over which data and estimate are blended; 0: the data stay as they are.
        trust: 0 (zero-filling) to 1; None: measured, for every slice.
        phase: as in `homodyne`.

    Returns:
        Full k-space, of the shape, precision and kind of `kspace`.

    Raises:
        ValueError, TypeError: as `homodyne`.

    Reference:
        Haacke, Lindskog, Lin, J Magn Reson 92 (1991) 126; trust is ours.
    """
    iterations = _check.integer("iterations", iterations, low=1)
    transition = _check.integer("transition", transition, low=0)
    trust = _check.number("trust", trust, low=0, high=1, allow_none=True)
    given = phase
    kspace, part, phase = _start(kspace, mask, phase)
    if part is None:
        return backend.copy(kspace)
    if trust is None:
        trust = _trust(kspace, part, iterations, None if given is None else phase)
    rise = (part.k + part.half + 1) / (min(transition, part.half - 1) + 1)
    keep = part.along(np.sin(np.pi / 2 * np.clip(rise, 0, 1)) ** 2, kspace)
    return _project(kspace, keep, trust * (1 - keep), phase, iterations)[0]


def _project(kspace, keep, fill, phase, iterations):
    """POCS: k-space, and the last estimate of all of it."""
    data, full = kspace * keep, kspace
    for _ in range(iterations):
        estimate = backend.fft(phase * abs(backend.fft(full, (-2, -1), inverse=True)), (-2, -1))
        full = data + fill * estimate
    return full, estimate


def _trust(kspace, part, iterations, phase):
    """What of the symmetric centre's outer half comes out of POCS on its inner half: (), or (slice, 1, 1, 1)."""
    inner = part.half // 2
    keep = part.along(1.0 * (part.k >= -inner), kspace)
    phase = _phase(kspace, part, inner) if phase is None else phase
    ring = part.along(1.0 * ((part.k < -inner) & (part.k >= -part.half)), kspace)
    estimate = ring * _project(kspace * keep, keep, 1 - keep, phase, iterations)[1]
    axes = tuple(range(-min(kspace.ndim, 3), 0))
    energy = (abs(estimate) ** 2).sum(axes)
    share = (estimate.conj() * kspace).real.sum(axes) / (energy + (energy == 0))
    return share.clip(0, 1)[(...,) + (None,) * len(axes)]


def centre_phase(kspace: ArrayLike, mps: ArrayLike, mask: ArrayLike | None = None, *,
                 width: int | None = None) -> Array:
    """e^(i phi) of the image at low resolution: what `linops.virtual_coils` takes as phase.

    The combination sum_c conj(S_c) x_c of the coil images of the fully sampled symmetric centre behind a Hann window.

    Args:
        kspace: (coil, ky, kx) complex; numpy, cupy or torch.
        mps: coil maps of the same shape and kind, any precision.
        mask: what was sampled, bool or 0/1; None: where `kspace` is not 0.
        width: samples of the centre along either axis; None: the whole full centre (`masks.centre`).

    Returns:
        (ky, kx) of magnitude 1, of the kind and precision of `kspace`.

    Raises:
        ValueError: shapes that do not fit, or a centre that is not sampled.
        TypeError: maps of another kind than `kspace`.
    """
    kspace = _check.array("kspace", kspace, ndim=3, nonzero=True)
    mps = _check.array("mps", mps, shape=kspace.shape)
    _check.same_kind("mps", mps, "kspace", kspace)
    width = _check.integer("width", width, low=3, allow_none=True)
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    window = np.ones(())
    for axis, (n, size) in enumerate(zip(mask.shape, masks.centre(mask))):
        half = (min(size, width or size) - 1) // 2
        if half < 1:
            raise ValueError("mask does not sample the centre of k-space, from which the phase is taken: give the "
                             "phase from elsewhere")
        one = _window(abs(np.arange(n) - n // 2), half)
        window = window * (one[:, None] if axis == 0 else one[None, :])
    images = backend.fft(kspace * backend.like(window.astype(_check.dtype_name(kspace)), kspace),
                         (-2, -1), inverse=True)
    return _unit((mps.conj() * images).sum(0), kspace)


def virtual_coils(kspace: ArrayLike, mask: ArrayLike | None = None) -> Any:
    """The coils and their virtual conjugates, [y(k), conj(y(-k))]: twice as many coils.

    k counts from N // 2 and -k is taken modulo N, so that the sample -N/2 of an even axis is its own partner. Without
    `mask` these are the data of `linops.virtual_coils`, which knows that the conjugates were sampled at -k. GRAPPA and
    SPIRiT take one mask for all coils: give `mask`, and both halves keep the samples whose partner is there.

        both, shared = calib.virtual_coils(y, mask)
        full = calib.grappa(both, shared)(both)[:coils]

    GRAPPA gained 0.5 to 4 dB by it on simulated scans of smooth phase (3 to 8 coils, R = 2 to 4, little noise), but not
    on the scan of a bottle phantom (4 to 16 coils): 0.2 dB at the best, and up to 0.9 dB lost (R = 5: 1.8 dB).

    Args:
        kspace: (..., coil, ky, kx) complex; numpy, cupy or torch.
        mask: what was sampled, bool or 0/1, (ky, kx), (ky, 1) or (1, kx), for a scan that one mask describes.

    Returns:
        (..., 2 coil, ky, kx), of the kind and precision of `kspace`; with `mask` the tuple of it, 0 outside of the
        shared samples, and the bool mask (ky, kx) of these, mask(k) and mask(-k).

    Raises:
        TypeError, ValueError: fewer than three dimensions, NaN or Inf; a mask that loses over a tenth of its samples.

    Reference:
        Blaimer et al., Magn Reson Med 61 (2009) 93.
    """
    kspace = _check.array("kspace", kspace)
    if kspace.ndim < 3:
        raise ValueError(f"kspace has {kspace.ndim} dimensions: (..., coil, ky, kx) needed")
    both = backend.namespace(kspace).concatenate([kspace, reflect(kspace).conj()], -3)
    if mask is None:
        return both
    mask = _check.mask("mask", mask, kspace.shape)
    shared = mask & reflect(mask)
    if shared.sum() < 0.9 * mask.sum():
        raise ValueError(f"mask shares {shared.sum() / mask.sum():.0%} of its samples with its mirror about the "
                         "centre, 90 % needed: take every R-th line through line N // 2 (masks.equispaced, "
                         "offset=N // 2 % R), or solve with linops.virtual_coils")
    return both * backend.like(shared.astype(_check.real_name(kspace)), both), shared
