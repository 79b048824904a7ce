"""K-space that is none, or was spoilt on its way: sentences for its user, each with the likely cause."""

from __future__ import annotations

import numpy as np

from pisolve.backend import to_numpy

# Measured on the shared scans and on simulations of all kinds of sampling, then on others: good ones stay well off.
_SPIKE, _SHARE = 30.0, 6e-3  # times the energy of the neighbours; of all energy (good: up to 2.3e-3)
_NARROW, _CLEAR = 0.3, 0.5  # of the energy in the middle eighth (good: from 0.43); how much of it is no noise
_HALF, _SURE = 0.42, 0.15  # of the field of view off the centre (good: up to 0.31); how compact the object is
_CLIPPED = 8  # parts of samples at the very largest value (good: 1 or 2)
_LOUD = 2.0  # samples of noise beside outer k-space, which holds signal as well (good: up to 1.1)


def sentences(look) -> list[str]:
    """One sentence for each thing that spoils an image, of a `Look`."""
    return [*_real(look), *_clipped(look), *_domain(look), *_spikes(look), *_half(look), *_noise(look)]


def _middle(look):
    """The centre of k-space, at most 48 samples an axis."""
    cut = (slice(max(n // 2 - 24, 0), n // 2 + 24) for n in look.scan.kspace.shape[-look.inner:])
    return to_numpy(look.scan.kspace[(..., *cut)])


def _real(look):
    if _middle(look).imag.any() or look.scan.kspace.imag.any():
        return []
    return ["k-space has no imaginary part: the real part alone, or a magnitude, was stored, and the image is that and "
            "its mirror image; read the complex samples again"]


def _clipped(look):
    k = _middle(look)
    largest = max(abs(k.real).max(), abs(k.imag).max())
    count = int((abs(k.real) >= largest * 0.9999).sum() + (abs(k.imag) >= largest * 0.9999).sum())
    if count < _CLIPPED or not k.imag.any():
        return []
    return [f"{count} samples of the centre have the same largest value, {largest:.3g}: k-space was clipped, by a "
            "receiver gain that is too high or a conversion to integers, which no method repairs: read it again"]


def spread(look) -> list[str]:
    """The encoded axes along which the energy is as wide as in an image."""
    found = []
    for axis, name in zip(range(-look.inner, 0), look.scan.encoding.encoded):
        above, floor = look.profile(axis)
        n, w = len(above), max(len(above) // 8, 3)
        middle = np.roll(above, n // 2 - round(off_centre(above) * n) - n // 2)[n // 2 - w // 2 :][:w]
        if n >= 32 and above.mean() > _CLEAR * (above.mean() + floor) and middle.sum() < _NARROW * above.sum():
            found.append(name)
    return found


def _domain(look):
    found = spread(look)
    if not found:
        return []
    return [f"the energy is spread along {' and '.join(found)} as in an image, where k-space has it in the middle: "
            + ("coil images were given instead of k-space: transform them first, pisolve.backend.fft(images, axes)"
               if len(found) == look.inner else f"{found[0]} was transformed already, or its lines are in another "
               "order: transform it back, or sort them")]


def off_centre(energy):
    """The circular mean of an profile along an axis, from its centre, in units of the axis."""
    turn = 2 * np.pi * (np.arange(len(energy)) - len(energy) // 2) / len(energy)
    return float(np.angle(np.sum(energy * np.exp(1j * turn)))) / (2 * np.pi)


def _spikes(look):
    """Samples far above all around them, away from the centre, that hold a share of the energy worth a word."""
    power = look.power
    n = power.shape[-1]
    if n < 16:
        return []
    high = np.concatenate(look.by_parts(lambda c: _above(power[c])))
    high[..., n // 2 - n // 16 - 1 : n // 2 + n // 16 + 2] = False  # edges make a bright line through the centre
    share = float(power[high].sum(dtype=np.float64) / power.sum(dtype=np.float64))
    if share < _SHARE:
        return []
    at = np.unravel_index(int(np.where(high, power, 0).argmax()), power.shape)[1:]
    place = ", ".join(f"{a} {i}" for a, i in zip(look.scan.encoding.encoded, at))
    count = int(high.sum())
    told = "1 sample of k-space stands" if count == 1 else f"{count} samples of k-space stand"
    return [f"{told} far above what is around, with {share:.2g} of all energy (the largest at {place}): spikes, of a "
            "spark in the scanner or of damaged data, which stripe the image; set them to 0 and take them out of the "
            "mask"]


def _above(power):
    """Which samples (part, encoded axes) are far above all around them."""
    n = power.shape[-1]
    ends = np.pad(power, [(0, 0)] * (power.ndim - 1) + [(5, 5)])
    around = np.maximum.reduce([ends[..., 5 + d : 5 + d + n] for d in (-5, -4, -3, 3, 4, 5)])
    rows = np.maximum.reduce([ends[..., 5 + d : 5 + d + n] for d in (-1, 0, 1)])
    for axis in range(1, power.ndim - 1):
        for d in (-1, 1):
            around = np.maximum(around, np.roll(rows, d, axis))
    return (power > _SPIKE * around) & (around > 0)


def _half(look):
    """An image whose middle lies at the edge of the field of view."""
    if look.small is None or any(abs(off_centre(look.profile(a)[0])) > 1 / 8 for a in range(-look.inner, 0)):
        return []
    energy, found = (abs(look.small.images) ** 2).sum(0), []
    for axis, (pixels, name) in enumerate(zip(look.small.pixels, look.scan.encoding.encoded)):
        n = look.magnitude.shape[2 + axis]
        profile = energy.sum(axis=tuple(a for a in range(energy.ndim) if a != axis))
        mean = np.sum(profile * np.exp(2j * np.pi * (pixels - n // 2) / n)) / profile.sum()
        if n >= 8 and abs(np.angle(mean)) > 2 * np.pi * _HALF and abs(mean) > _SURE:
            found.append(name)
    if not found:
        return []
    return [f"the image is half a field of view off along {' and '.join(a[1:] for a in found)}: every second sample "
            f"along {' and '.join(found)} has its sign turned, which an FFT without shifts leaves behind: multiply "
            f"k-space by (-1)^({' + '.join(found)})"]


def _noise(look):
    if look.scan.noise is None:
        return []
    noise = float(np.sqrt((abs(look.scan.noise) ** 2).mean(axis=1).mean() / 2)) / look.peak
    if noise < _LOUD * look.level:
        return []
    return [f"the noise samples are {noise / look.level:.3g} times as loud as outer k-space, which holds their noise "
            "and signal besides: they are in other units, of another dwell time or gain, or hold signal"]
