"""The fully sampled centre that calibration may use: `calibration_region`."""

import h5py
import numpy as np
import pytest
import sigpy as sp
from conftest import data_path

from pisolve.calib import calibration_region, espirit


def sampled(shape, *blocks):
    mask = np.zeros(shape, bool)
    for rows, columns in blocks:
        mask[rows, columns] = True
    return mask


ALL = slice(None)


@pytest.mark.parametrize(("mask", "expected"), [
    (sampled((64, 64), (ALL, ALL)), (24, 24)),
    (sampled((20, 64), (ALL, ALL)), (20, 24)),
    (sampled((64, 64), (slice(26, 38), ALL)), (12, 24)),
    (sampled((64, 64), (slice(27, 38), ALL)), (11, 24)),       # asymmetric by one: 27..37 around 32
    (sampled((65, 63), (slice(26, 39), slice(20, 50))), (13, 23)),
    (sampled((64, 64), (slice(28, 36), slice(16, 48)), (slice(16, 48), slice(28, 36))), (8, 24)),
])
def test_region(mask, expected):
    assert calibration_region(mask) == expected
    assert calibration_region(mask * np.ones((3, 1, 1), np.complex64)) == expected
    assert calibration_region(mask * np.ones((2, 3, 1, 1), np.complex64)) == expected


def test_region_of_any_pattern_is_full_and_best(rng):
    for _ in range(30):
        mask = rng.random((40, 37)) > 0.002
        best = 0
        for h in range(6, 25):
            for w in range(6, 25):
                best = max(best, (h - 5) * (w - 5) * sp.resize(mask.astype(int), (h, w)).all())
        if best == 0:
            with pytest.raises(ValueError, match="fully sampled"):
                calibration_region(mask)
            continue
        h, w = calibration_region(mask)
        assert sp.resize(mask.astype(int), (h, w)).all()
        assert (h - 5) * (w - 5) == best


def test_prospectively_undersampled_scan():
    with h5py.File(data_path("kspace/brain_sigpytut_8ch_undersampled.h5")) as file:
        kspace, mask = file["kspace"][0], file["mask"][()] != 0
    size = calibration_region(mask)
    assert min(size) >= 6
    assert calibration_region(kspace) == size
    mps = espirit(kspace)
    assert (mps == espirit(kspace, mask=mask)).all()
    assert 0.2 < (mps != 0).any(0).mean() < 0.9


@pytest.mark.parametrize("lines", [8, 10, 12, 16])
def test_few_lines_get_a_smaller_kernel_and_a_longer_readout(lines):
    """A narrow centre (fastMRI's 8 % of 128 lines is 10) must not give useless maps, as a 6 x 6 kernel does."""
    from pisolve import phantom

    full = phantom.brain((128, 128), 12, noise=0.005, seed=1).kspace
    start = (128 - lines + 1) // 2
    mask = np.zeros((128, 128), bool)
    mask[start:start + lines] = True
    truth = np.abs(espirit(full))
    error = {k: np.linalg.norm((np.abs(espirit(full * mask, kernel_width=k)) - truth) * (truth > 0)) /
             np.linalg.norm(truth) for k in (None, 6)}
    assert error[None] < 0.2
    assert error[None] <= error[6] + 0.01
