"""What sets lines read to and fro apart: the gradients' delay and a phase, from navigators or from the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve._types import ArrayLike
from pisolve.scan.lines import along_y, direction, placed, profiles

_RANGE, _STEP = 2.0, 0.25  # cells of kx that delays are looked for in, and the first step
_COILS = 3  # virtual coils that the entropy is taken of
_OBJECT = 0.2  # of the 99th percentile of the image: what counts as object
_GOLD = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class EpiErrors:
    """What sets backward lines apart from forward ones.

    Attributes:
        delay: by how many samples the gradients come late: sample j lies at kx(j - delay), in both directions.
        phase: rad by which backward lines are ahead of forward ones; an array where parts have their own.
        by: "navigator", "entropy", "given" or "none".
    """

    delay: float = 0.0
    phase: float | np.ndarray = 0.0
    by: str = "none"


def by_navigator(nav: ArrayLike, kx: ArrayLike, n: int) -> EpiErrors:
    """The errors that lines without phase encoding (part, coil, line, sample) show.

    Neighbouring lines l - 1, l, l + 1 go to and fro and to. In their images p(x) along the readout

        T(x) = p_l^2 conj(p_{l-1} p_{l+1}),    arg T = +-4 theta(x)

    the phase that off-resonance adds from line to line cancels, whatever its size, and theta = 2 pi v delay x / n +
    constant remains. The delay is that with which the sum of T is largest. theta is known to a quarter turn then: of
    the two phases that leaves, the one is taken with which the mean frequency is the smaller, below 1 / (4 echo
    spacings); the other one is the same image, half a field of view away.

    Raises:
        ValueError: fewer than three lines in turn.
    """
    sign = direction(kx)
    turns = np.flatnonzero((sign[1:-1] == -sign[:-2]) & (sign[1:-1] == -sign[2:]))
    if not len(turns):
        raise ValueError("nav needs three lines in turn at least, read to and fro and to: leave it out, and the errors "
                         "are found by the entropy of the image (by='entropy')")
    nav = nav.astype(np.complex128) / float(abs(nav).max())  # fourth powers
    middle, speed = turns + 1, float(abs(np.diff(kx, axis=1)[:, kx.shape[1] // 2]).mean())

    def triples(delay):
        p = profiles(nav, kx, n, delay)
        T = p[..., middle, :] ** 2 * np.conj(p[..., turns, :] * p[..., turns + 2, :])
        T /= np.sqrt(abs(T)) + 1e-30
        return p, np.where(sign[middle, None] > 0, T, T.conj()).sum((-3, -2))  # (part, x)

    def coherence(delay):
        return float(abs(triples(delay)[1].sum(-1)).sum())

    delay = 0.0
    for _ in range(4):  # the slope of the phase, as a mean over pixels
        T = triples(delay)[1]
        delay += float(np.angle((T[:, 1:] * T[:, :-1].conj()).sum())) * n / (8 * np.pi * speed)
    for h in (0.1, 0.03, 0.01):  # edges and dropouts bend the slope: the largest coherence does not mind
        low, here, high = (coherence(delay + d) for d in (-h, 0, h))
        if low + high - 2 * here < 0:
            delay += float(np.clip(h * (low - high) / (2 * (low + high - 2 * here)), -3 * h, 3 * h))
    p, T = triples(delay)
    half = np.angle(T.sum(-1)) / 4
    pairs = np.flatnonzero(sign[1:] != sign[:-1])
    turn = np.exp(-1j * half[:, None] * (sign[pairs + 1] - sign[pairs]))
    steps = ((p[..., pairs + 1, :] * p[..., pairs, :].conj()).sum((-1, -3)) * turn).sum(-1)
    half = np.where(steps.real < 0, half + np.pi / 2, half)
    return EpiErrors(delay, _wrapped(-2 * half), "navigator")


def by_entropy(kspace: ArrayLike, kx: ArrayLike, rows: Any, shape: Sequence[int]) -> EpiErrors:
    """The errors with which the image has the least entropy, of lines (part, coil, line, sample).

        H = -sum b ln b,    b = |image| / ||image||,    over delay and phase, |phase| <= pi / 2

    The delay is that of the part with most energy, the phase is each part's own. A phase beyond a quarter turn cannot
    be told from an image half a field of view away.

    Args:
        rows: (part, line), of `checked_ky`.

    Reference:
        Clare, Proc ISMRM 16 (2008) 3010.
    """
    sign, peak = direction(kx), float(abs(kspace).max())
    speed = float(abs(np.diff(kx, axis=1)[:, kx.shape[1] // 2]).mean())
    first = int(np.argmax([np.linalg.norm(part / peak) for part in kspace]))

    def halves(part, delay):
        """(power without, with the turned product): |I+ + e^-i phase I-|^2 = a + 2 Re(e^-i phase c)."""
        p = profiles(_strongest(kspace[part] / peak), kx, shape[1], delay)
        both = [along_y(_once(p, rows[part], sign == s, shape[0])) for s in (1, -1)]
        return sum((abs(i) ** 2).sum(0) for i in both), (both[1] * both[0].conj()).sum(0)

    def best(part, delay):
        """(least entropy, its phase) over the phase."""
        a, c = halves(part, delay)

        def entropy(phase):
            power = np.maximum(a + 2 * (c * np.exp(-1j * phase)).real, 0)
            b = np.sqrt(power / power.sum())
            return -float((b * np.log(b + 1e-30)).sum())

        grid = np.linspace(-np.pi / 2, np.pi / 2, 13)
        near = grid[int(np.argmin([entropy(g) for g in grid]))]
        return _least(entropy, near - grid[1] + grid[0], near + grid[1] - grid[0], 12)

    delays = np.arange(-_RANGE, _RANGE + _STEP / 2, _STEP) / speed
    near = delays[int(np.argmin([best(first, d)[0] for d in delays]))]
    delay = _least(lambda d: best(first, d)[0], near - _STEP / speed, near + _STEP / speed, 12)[1]
    return EpiErrors(float(delay), _wrapped(np.array([best(i, delay)[1] for i in range(len(kspace))])), "entropy")


def _once(p, rows, which, n):
    """k-space (coil, ky, x) of some of the lines; those of both directions at one ky count half each there."""
    out, count = placed(p[:, which], rows[which], n)
    share = count / np.maximum(np.bincount(rows, minlength=n), 1)
    return out * share.astype(out.real.dtype)[:, None]


def _strongest(lines):
    """Lines (coil, line, sample) of at most `_COILS` virtual coils."""
    if len(lines) <= _COILS:
        return lines
    flat = lines.reshape(len(lines), -1)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    return (vectors[:, -_COILS:].conj().T @ flat).reshape(_COILS, *lines.shape[1:]).astype(lines.dtype)


def _least(f, low, high, steps):
    """(least value, where) of a function between two places, by golden sections."""
    a, b = high - _GOLD * (high - low), low + _GOLD * (high - low)
    fa, fb = f(a), f(b)
    for _ in range(steps):
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - _GOLD * (high - low)
            fa = f(a)
        else:
            low, a, fa = a, b, fb
            b = low + _GOLD * (high - low)
            fb = f(b)
    return (fa, a) if fa < fb else (fb, b)


def _wrapped(phase):
    """In (-pi, pi]; a number where there is one."""
    phase = np.angle(np.exp(1j * np.asarray(phase)))
    return float(phase.reshape(-1)[0]) if phase.size == 1 else phase


def ghost_level(image: ArrayLike, like: ArrayLike | None = None, axis: int = -2) -> float | None:
    """The N/2 ghost of an EPI image: the magnitude where only a ghost is, less the background's, over the object's.

    Each is a median. The object is what reaches 0.2 of the 99th percentile of `like`; its ghost lies half a field of
    view further, and counts where there is no object; the background is the rest, where there is any.

    Args:
        image: (y, x), real or complex.
        like: the image that says where the object is, such as the corrected one; None: `image` itself.
        axis: the phase-encoding axis.

    Returns:
        the level, or None where the object leaves no room for its ghost.

    Raises:
        ValueError: an image that is not 2-D, or another shape of `like`.
    """
    image = abs(np.asarray(image))
    like = image if like is None else abs(np.asarray(like))
    if image.ndim != 2 or like.shape != image.shape:
        raise ValueError(f"image has shape {image.shape}, like {like.shape}: one image (y, x), and one of its shape")
    inside = like > _OBJECT * np.percentile(like, 99)
    ghost = np.roll(inside, image.shape[axis] // 2, axis) & ~inside
    if ghost.sum() < 0.05 * inside.sum() or not inside.any():
        return None
    rest = ~inside & ~ghost
    noise = np.median(image[rest]) if rest.sum() > 0.05 * inside.sum() else 0.0
    return float(max(np.median(image[ghost]) - noise, 0) / np.median(image[inside]))
