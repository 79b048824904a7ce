"""Samples of noise alone, of the scan's own file or of another one, brought to the variance that the image's have."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _check
from pisolve.io.grid import NOISE, SKIP, Readouts


def samples_of(r: Readouts, *, alone: bool = False) -> list:
    """[((coil, samples) complex64, dwell time in us)] of the noise readouts, without what they discard.

    Args:
        alone: the measurement is one of noise: where no readout is flagged so, all count that are no navigators.
    """
    index = np.flatnonzero(r.role == NOISE)
    if alone and not len(index):
        index = np.flatnonzero(r.role != SKIP)
    return [(data[:, r.pre[i] : data.shape[1] - r.post[i]], float(r.dwell[i]))
            for at, block in r.blocks(index) for i, data in zip(index[at], block)]


def scaled(found: list, coils: int, dwell: float, bandwidth: float | None, averaged: float):
    """Noise (coil, samples) with the covariance of the averaged data, or None where there is none of these coils.

    It is multiplied by sqrt(t_noise / (t_image b) / averages), t the dwell times: noise power goes with the bandwidth
    1 / t, and b is the part of the nominal bandwidth that the receiver's filter lets through, which noise over the full
    band sees and the object in the middle of the readout does not (Kellman & McVeigh, Magn Reson Med 54:1439, 2005).

    Args:
        found: as `samples_of` gives it; readouts of another number of channels are left out, with a warning.
        coils, dwell: of the image; a dwell time of 0 is not known, and counts as that of the noise.
        bandwidth: b; None is 1.
        averaged: the mean of 1 / averages.
    """
    fit = [(samples, t) for samples, t in found if len(samples) == coils and samples.shape[1]]
    if other := sum(len(samples) != coils for samples, _ in found):
        channels = sorted({len(samples) for samples, _ in found} - {coils})
        warnings.warn(f"{other} noise readouts of other coils are left out: {', '.join(map(str, channels))} channels, "
                      f"the image has {coils}", stacklevel=_check.outside())
    if not fit:
        return None
    times = [(t / dwell if t > 0 and dwell > 0 else 1) / (bandwidth or 1) * averaged for _, t in fit]
    return np.concatenate([samples * np.float32(np.sqrt(t)) for (samples, _), t in zip(fit, times)], axis=1)
