"""What calibration may use, `calibration_region`, and what of the object its maps see, `coverage`."""

import h5py
import numpy as np
import pytest
import sigpy as sp
from conftest import data_path

from pisolve import masks, phantom
from pisolve.calib import calibration_region, coverage, espirit


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
    full = phantom.brain((128, 128), 12, noise=0.005, seed=1).kspace
    start = (128 - lines + 1) // 2
    mask = np.zeros((128, 128), bool)
    mask[start:start + lines] = True
    truth = np.abs(espirit(full))
    error = {k: np.linalg.norm((np.abs(espirit(full * mask, kernel_width=k)) - truth) * (truth > 0)) /
             np.linalg.norm(truth) for k in (None, 6)}
    assert error[None] < 0.2
    assert error[None] <= error[6] + 0.01


FULL = phantom.brain((48, 40), 4, noise=0.01, seed=1).kspace
HALF = np.ones(FULL.shape, np.complex64)
HALF[:, :, 20:] = 0


@pytest.mark.parametrize("scale", [1, 1e-20, 1e20])
@pytest.mark.parametrize("lines", [48, 12])
def test_coverage_is_the_share_of_the_centres_energy(lines, scale):
    """Against SigPy's FFT of the cropped and zero-padded centre."""
    kspace = FULL * np.float32(scale)
    mask = masks.random((48, 40), 2, lines / 48, seed=1) if lines < 48 else np.ones((48, 40), bool)
    centre = sp.resize(sp.resize(FULL, (4, masks.centre(mask)[0], 40)), FULL.shape)
    energy = abs(sp.ifft(centre, axes=(-2, -1))) ** 2
    expected = energy[:, :, :20].sum() / energy.sum()
    assert coverage(HALF, kspace * mask, mask) == pytest.approx(expected, rel=1e-4)
    assert coverage(HALF, kspace * mask) == pytest.approx(expected, rel=1e-4)
    assert coverage(np.ones_like(HALF), kspace * mask, mask) == 1
    assert coverage(0 * HALF, kspace * mask, mask) == 0


def test_coverage_of_volumes_and_of_scans_without_a_centre():
    volume = np.stack([FULL, 3 * FULL[::-1]])
    one = coverage(HALF, FULL)
    assert coverage(HALF, volume) == pytest.approx((one + 9 * coverage(HALF, FULL[::-1])) / 10, rel=1e-6)
    assert coverage(np.stack([HALF, 1 + 0 * HALF]), volume) == pytest.approx((one + 9) / 10, rel=1e-6)
    odd = np.arange(48)[:, None] % 2 > 0
    assert coverage(HALF, FULL * odd, odd) is None
    for mps in (HALF[:3], HALF[..., :20], np.stack([HALF] * 3)):
        with pytest.raises(ValueError, match="mps has shape"):
            coverage(mps, volume)


def test_coverage_tells_a_crop_that_is_too_high():
    assert coverage(espirit(FULL), FULL) > 0.97 > coverage(espirit(FULL, crop=0.9999), FULL) > 0
