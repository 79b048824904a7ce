"""Do coil maps belong to the data? They are held against small images of the centre of k-space."""

from __future__ import annotations

from itertools import product

import numpy as np

from pisolve.backend import fft, to_numpy
from pisolve.scan.look import Look

# Measured on maps of ESPIRiT, Walsh, Inati and JSENSE, on true and on measured ones: up to 0.012 is left unexplained.
_LEFT = {True: 0.03, False: 0.1}  # of maps that were given, and of maps that were made of the scan
_MOST = 0.3  # what images instead of maps leave (up to 0.22, by their sharp edges)
_MENDED = 0.2  # of what was left, beside the noise: a change of the maps that leaves less is what happened to them
_UNEVEN, _ALIKE = 0.45, 0.85  # deviation of the maps' size (good: 0.39), its correlation with the object's (good: 0.2)
_NOISE = 2.0  # times the energy that noise alone leaves


def unexplained(images, maps) -> float:
    """The share of the energy of coil images that is no combination of the coils' maps, pixel by pixel.

        u = 1 - sum_r |P_r c(r)|^2 / sum_r |c(r)|^2

    with P_r the projection onto the sets of maps at r; pixels without maps do not count.

    Args:
        images: (coil, ...).
        maps: (coil, ...) or (sets, coil, ...).
    """
    c = images.reshape(len(images), -1).T
    S = maps.reshape(-1, len(c[0]), len(c)).transpose(2, 1, 0)
    size = np.linalg.norm(S, axis=(1, 2))
    seen = size > 1e-2 * (size.max() or 1)
    if not seen.any():
        return 0.0
    c, S = c[seen], S[seen]
    if S.shape[2] == 1:
        part = (S[:, :, 0].conj() * c).sum(1) / np.linalg.norm(S[:, :, 0], axis=1)
    else:
        part = np.matmul(np.linalg.qr(S)[0].conj().transpose(0, 2, 1), c[:, :, None])
    total = np.linalg.norm(c) ** 2
    return max(float(1 - np.linalg.norm(part) ** 2 / total), 0.0) if total else 0.0


def maps_against_data(scan, look: Look, given: bool) -> list[str]:
    """A sentence where the coil maps of a scan do not explain the centre of its k-space, with the likely cause.

    Args:
        scan: prepared, with maps.
        look: of it.
        given: whether the maps were given, not made of the scan.
    """
    small = look.small
    if small is None or scan.mps is None or scan.coils == 1:
        return []
    maps = to_numpy(scan.mps)
    maps = maps[small.number] if small.number is not None and maps.ndim > 1 + look.inner else maps
    at = small.of(maps)
    peak = abs(at).max()
    if not peak:
        return []
    at = at / peak
    left = unexplained(small.images, at)
    variance = 2 * (look.noise / small.peak) ** 2 * small.spread
    noise = variance * (scan.coils - scan.sets) * np.prod([len(p) for p in small.pixels])
    noise = float(noise / np.linalg.norm(small.images) ** 2)
    if given and scan.sets == 1 and left < _MOST and _images_as_maps(small, at):
        return ["the coil maps look like images of the object, whose root sum of squares is theirs, and then the image "
                "is flat: divide them by it, or take maps of pisolve.calib.espirit"]
    if left < _LEFT[given] + _NOISE * noise:
        return []
    told = f"coil maps and data disagree: the maps leave {left:.0%} of the energy in the centre of k-space unexplained"
    if not given:
        return [f"{told}, though they were made of it: it is too small or too noisy for them (give mps, --mps, or a "
                "larger centre), or the object is larger than the field of view (Espirit(sets=2), --sets 2)"]
    cause = _cause(small, maps / peak, _MENDED * left + (1 - _MENDED) * noise) if scan.sets == 1 else None
    return [f"{told}{f'; {cause}' if cause else ', as maps of another scan, slice or order of coils do'}"]


def _images_as_maps(small, maps) -> bool:
    """Whether the maps' root sum of squares is that of the images, at the resolution of these."""
    size = np.linalg.norm(maps, axis=0)
    seen = size[size > 1e-2 * size.max()]
    if seen.std() < _UNEVEN * seen.mean():
        return False
    axes = tuple(range(size.ndim))
    spectrum = fft(size.astype(np.complex64), axes)
    for axis, (n, w) in enumerate(zip(size.shape, small.width)):  # what the centre of k-space holds of it
        k = np.arange(n) - n // 2
        window = np.where(abs(k) <= w // 2, np.cos(np.pi * k / (w + 2)) ** 2, 0)
        spectrum = spectrum * window.reshape([-1 if a == axis else 1 for a in axes])
    blurred = abs(fft(spectrum, axes, inverse=True)).ravel()
    return np.corrcoef(blurred, np.linalg.norm(small.images, axis=0).ravel())[0, 1] > _ALIKE


def _cause(small, maps, limit: float) -> str | None:
    """What was done to the maps: the change of them that leaves less than `limit`; None where none does."""
    at, images = small.of(maps), small.images
    axes = tuple(range(1, maps.ndim))
    names = ["z", "y", "x"][-len(axes):]
    turned = [("conjugated", at.conj())]
    for which in product((False, True), repeat=len(axes)):
        along = tuple(a for a, w in zip(axes, which) if w)
        if along:
            told = " and ".join(names[a - 1] for a in along)
            turned.append((f"flipped along {told}", small.of(np.flip(maps, along))))
            turned.append((f"shifted by half a field of view along {told}: there is an fftshift too many, or a sign "
                           "(-1)^k was left in k-space", small.of(np.fft.fftshift(maps, along))))
    turned += [(f"conjugated and {told}", x.conj()) for told, x in turned[1:]]
    if maps.shape[-1] == maps.shape[-2]:
        turned.append(("transposed: y and x are swapped", small.of(maps.swapaxes(-1, -2))))
    u, told = min(((unexplained(images, x), told) for told, x in turned), key=lambda f: f[0])
    if u < limit:
        return f"they fit where they are {told}"
    real = not at.imag.any()
    for u, told in (_permuted(images, at), _shifted(small, maps, names), *([] if real else [_gains(images, at)])):
        if u < limit:
            return told
    return "the maps have no phase: the coils' magnitudes alone cannot be combined, take complex maps" if real else None


def _permuted(images, maps):
    """(u, words) of the order of coils that fits best, by how alike the coils' shares of the energy are."""
    from scipy.optimize import linear_sum_assignment

    c, S = (_shares(x) for x in (images, maps))
    weight = (abs(images) ** 2).sum(0).ravel()
    cost = ((c**2 * weight).sum(1)[:, None] + (S**2 * weight).sum(1) - 2 * (c * weight) @ S.T)
    order = linear_sum_assignment(cost)[1]
    return unexplained(images, maps[order]), f"they fit in another order of the coils: mps[{_list(order)}]"


def _list(order):
    return [int(i) for i in order] if len(order) <= 16 else "..."


def _shares(x):
    """Each coil's share of the energy, pixel by pixel, (coil, pixels)."""
    energy = (abs(x) ** 2).reshape(len(x), -1)
    return energy / np.maximum(energy.sum(0), 1e-6 * energy.sum(0).max())


def _shifted(small, maps, names):
    """(u, words) of the shift of the maps that fits best: coarse steps first, then single pixels."""
    size = maps.shape[1:]
    best = (1.0, (0,) * len(size))
    step = [max(n // (16 if len(size) == 2 else 8), 1) for n in size]
    around = [range(-n // 2, n // 2, s) for n, s in zip(size, step)]
    while True:
        for d in product(*around):
            u = unexplained(small.images, maps[(slice(None), *np.ix_(*((p - i) % n for p, i, n in zip(
                small.pixels, d, size))))])
            best = min(best, (u, d))
        if max(step) == 1:
            break
        step = [max(s // 2, 1) for s in step]
        around = [sorted({i - s, i, i + s}) for i, s in zip(best[1], step)]
    told = " and ".join(f"{d:+d} pixels along {a}" for d, a in zip(best[1], names) if d)
    return best[0], f"they fit where they are shifted by {told or 'nothing'}"


def _gains(images, maps):
    """(u, words) of a complex factor for each coil, by alternating least squares."""
    c, S = (x.reshape(len(x), -1) for x in (images, maps))
    gain = np.ones(len(c), complex)
    for _ in range(20):
        T = gain[:, None] * S
        m = (T.conj() * c).sum(0) / np.maximum((abs(T) ** 2).sum(0), 1e-9)
        energy = (abs(S * m) ** 2).sum(1)
        gain = ((S * m).conj() * c).sum(1) / np.where(energy > 0, energy, 1)
        gain /= np.linalg.norm(gain) / len(gain) ** 0.5 or 1
    odd = np.argmax(abs(gain - np.median(gain.real) - 1j * np.median(gain.imag)))
    return (unexplained(images, gain.reshape(-1, *(1,) * (images.ndim - 1)) * maps),
            "they fit where each coil has a factor of its own, coil "
            f"{odd} {gain[odd]:.2g} most of all: were only the data, or only the maps, scaled, whitened or normalised?")
