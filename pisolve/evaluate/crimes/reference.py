"""Crimes of the reference: made of undersampled data, filtered, reconstructed from fewer lines, of another image."""

from __future__ import annotations

import numpy as np

from pisolve import metrics
from pisolve.backend import fft
from pisolve.evaluate.crimes.view import Measured, View, distance, periodic

SAME = 1e-3  # relative difference up to which a reference is the k-space's own root sum of squares


def _pair(view: View):
    """The reference scaled to the RSS of k-space and that RSS, (slice, y, x) both; their relative difference."""
    shape = (-1,) + view.scan.reference.shape[-2:]
    own = view.scan.crop(view.rss).reshape(shape)
    peak = abs(view.scan.reference).max() or 1
    reference = abs(view.scan.reference / peak).astype(np.float64).reshape(shape)
    scale = np.sum(own * reference) / max(np.sum(reference**2), np.finfo(float).tiny)
    return reference * scale, own, float(np.linalg.norm(own - reference * scale) / np.linalg.norm(own))


def undersampled(view: View) -> Measured | None:
    """||reference - RSS|| / ||RSS|| of an undersampled scan, after the best scaling."""
    if view.scan.reference is None or view.full:
        return None
    value = _pair(view)[2]
    return Measured(value, f"the reference equals the root sum of squares of the undersampled data to {value:.1e}, "
                           f"and {view.fraction:.0%} of k-space was sampled")


def _bands(view: View):
    """Gain <T, R> / <T, T> from 60 to 80 % and coherence <T, R>^2 / (<T, T> <R, R>) from 20 to 40 % of the way.

    T and R are the transforms of the reference and of the RSS inside the body (smooth edge). The noise's share of
    <R, R>, known from the air, is taken off it (up to a half), so that a reference without noise has a coherence of 1.
    """
    from scipy import ndimage

    if view.scan.reference is None or not view.full:
        return None
    reference, own, same = _pair(view)
    if same < SAME:
        return 1.0, 1.0
    far = np.hypot(distance(own.shape[-2])[:, None], distance(own.shape[-1]))
    weight = ndimage.gaussian_filter(_inside(own).astype(float), (0, 2, 2))
    t, r = (fft((image * weight).astype(complex), (-2, -1)) for image in (reference, own))

    def products(low, high):
        a, b = t[:, (far > low) & (far < high)], r[:, (far > low) & (far < high)]
        return np.vdot(a, b).real, max(np.vdot(a, a).real, 1e-300), max(np.vdot(b, b).real, 1e-300)

    cross, tt, _ = products(0.6, 0.8)
    low, low_t, low_r = products(0.2, 0.4)
    count = np.count_nonzero((far > 0.2) & (far < 0.4))
    low_r = max(low_r - _noise(view) * np.sum(weight**2) * count / far.size, low_r / 2)
    return float(cross / tt), float(low * abs(low) / (low_t * low_r))


def _noise(view: View) -> float:
    """The variance of the RSS image's noise inside the object: half of a coil's complex noise power, from the air."""
    if not view.enough_air:
        return 0.0
    return float(np.mean([np.mean(abs(x[:, a]) ** 2, dtype=np.float64) for x, a in zip(view.images, view.air)
                          if a.any()]) / 2)


def _inside(image) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_erosion(metrics.body(image), np.ones((1, 3, 3)), iterations=2)


def smoothed(view: View) -> Measured | None:
    """By how much the full data exceed the reference at 60 to 80 % of k-space: <T, R> / <T, T>."""
    found = _bands(view)
    return found and Measured(found[0], f"at 60 to 80 % of k-space the data hold {found[0]:.2g} times what the "
                                        "reference holds of the same structures: it was filtered or denoised")


def disagreeing(view: View) -> Measured | None:
    """The coherence of reference and full data at 20 to 40 % of k-space."""
    found = _bands(view)
    return found and Measured(found[1], f"at 20 to 40 % of k-space reference and data have a coherence of "
                                        f"{max(found[1], 0):.3g}, where two images of one object have 1: another "
                                        "image, or one from a part of the data")


def accelerated(view: View) -> Measured | None:
    """Whether what the reference misses of the full data repeats with 2, 3 or 4 lines, in standard errors."""
    if view.scan.reference is None or not view.full or view.scan.reference.shape[-2:] != view.rss.shape[-2:]:
        return None
    reference, own, same = _pair(view)
    if same < SAME:
        return Measured(0.0, "")
    rest = _inside(own) * (reference / np.maximum(own, 1e-9 * own.max()) - 1)
    power = np.mean(abs(fft(view.images * rest[:, None], (-2, -1))) ** 2, axis=(0, 1))
    found = []
    for axis, name in ((-1, "ky"), (-2, "kx")):
        z, contrast, period = periodic(power.mean(axis))
        found.append((z if contrast > 1.02 else 0.0,
                      f"what the reference misses of the data repeats every {period} lines along {name} (a factor of "
                      f"{contrast:.3g}, {z:.0f} standard errors): not all lines were used for it"))
    return Measured(*max(found))
