"""Metrics of a `Reconstruction`: its magnitude, cropped to the reference."""

import numpy as np
import pytest

import pisolve as pi

P = pi.phantom.brain((64, 56), 4, noise=0.02)
FULL = pi.io.Scan(P.kspace[None], mps=3 * P.mps)
DONE = pi.recon(FULL, sampling=pi.Sampling("random", 2), max_iter=20)
CENTRE = DONE.scan.reference[:, 6:-6, 5:-5]
NUMBERS = {n: getattr(pi.metrics, n) for n in ("nmse", "psnr", "ssim", "all", "hfen", "ms_ssim", "vif")}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_result_is_its_image(name):
    measure, reference = NUMBERS[name], DONE.scan.reference
    assert DONE.x.shape == reference.shape == (1, 64, 56)
    assert measure(reference.copy(), DONE) == measure(reference, DONE.x) == measure(reference[0], DONE)
    assert measure(CENTRE, DONE) == measure(CENTRE, DONE.x[:, 6:-6, 5:-5]) == measure(CENTRE[0], DONE)
    other = pi.recon(FULL, max_iter=20)
    assert measure(other, DONE) == measure(other.x, DONE.x)
    assert measure(DONE, CENTRE) == measure(DONE.x[:, 6:-6, 5:-5], CENTRE)


def test_regions_bodies_and_odd_sizes():
    body = pi.metrics.body(DONE)
    np.testing.assert_array_equal(body, pi.metrics.body(DONE.x))
    assert pi.metrics.nmse(CENTRE, DONE, region=body[:, 6:-6, 5:-5]) == pi.metrics.nmse(
        CENTRE, DONE.x[:, 6:-6, 5:-5], region=body[:, 6:-6, 5:-5])
    for shape in ((61, 53), (57, 46)):  # as `Scan.crop` counts the centre
        scan = FULL._with(reference=np.ones((1, *shape)))
        reference = abs(scan.crop(DONE.x)) + 0.1
        assert pi.metrics.nmse(reference, DONE) == pi.metrics.nmse(reference, scan.crop(DONE.x))


def test_maps_that_are_not_normalised_beside_the_scans_own_reference():
    """The image came out three times too small: the reference has the maps' root sum of squares in it."""
    expected = pi.metrics.psnr(DONE.scan.reference, DONE.x * np.linalg.norm(DONE.scan.mps, axis=-3))
    assert pi.metrics.psnr(DONE.scan.reference, DONE) == pytest.approx(expected, abs=1e-3)
    assert expected > pi.metrics.psnr(DONE.scan.reference, DONE.x) + 5


def test_a_larger_reference_and_arrays_are_not_cropped():
    with pytest.raises(ValueError, match="image has shape"):
        pi.metrics.psnr(np.ones((1, 60, 60)), DONE)
    with pytest.raises(ValueError, match="image has shape"):
        pi.metrics.psnr(CENTRE, DONE.x)
