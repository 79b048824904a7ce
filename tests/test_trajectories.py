"""Trajectories: their geometry, what a scanner needs for them, and the density of their samples."""

import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, linops, testing, trajectories


def radius(coord, shape):
    return np.linalg.norm(coord / (np.array(shape) / 2), axis=-1)


@pytest.mark.parametrize("angles", trajectories.ANGLES)
def test_spokes_are_straight_lines_through_the_centre(angles):
    k = trajectories.radial((32, 40), 7, angles=angles)
    assert k.shape == (7, 80, 2)
    assert not k[:, 40].any()
    np.testing.assert_allclose(radius(k, (32, 40)), np.tile(abs(np.arange(80) - 40) / 40, (7, 1)), atol=1e-12)
    np.testing.assert_allclose(np.diff(k, 2, axis=1), 0, atol=1e-12)
    later = trajectories.radial((32, 40), 4, angles=angles, first=3) if "uniform" not in angles else k[3:]
    np.testing.assert_allclose(k[3:], later, atol=1e-10)


@pytest.mark.parametrize(("angles", "degrees"), [("golden", 111.246), ("tiny golden", 23.628), ("uniform", 20),
                                                  ("uniform full", 40)])
def test_angles_are_those_of_the_papers(angles, degrees):
    k = trajectories.radial((32, 32), 9, angles=angles)
    steps = np.diff(np.unwrap(np.arctan2(k[:, -1, 0], k[:, -1, 1])))
    assert np.rad2deg(steps) == pytest.approx(np.full(8, degrees), abs=1e-3)


def test_spokes_in_3d_cover_the_sphere_evenly():
    k = trajectories.radial_3d((16, 16, 16), 500)
    ends = k[:, 0] / np.linalg.norm(k[:, 0], axis=-1, keepdims=True)
    np.testing.assert_allclose(ends.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(ends.T @ ends / 500, np.eye(3) / 3, atol=0.02)


@pytest.mark.parametrize("inside", ["out", "in", "in-out"])
def test_spirals_reach_the_edge_and_wind_evenly(inside):
    n, arms = 64, 8
    k = trajectories.spiral((n, n), arms, 3000, inside=inside)
    assert k.shape == (arms, 3000, 2)
    assert radius(k, (n, n)).max() == pytest.approx(1, abs=1e-6)
    assert radius(k, (n, n)).min() < 1e-3
    outward = k[:, k.shape[1] // 2:] if inside == "in-out" else k if inside == "out" else k[:, ::-1]
    along = np.concatenate([arm[np.nonzero(np.diff(np.sign(arm[:, 0])) > 0)[0], 1] for arm in outward])
    np.testing.assert_allclose(np.diff(np.sort(along[along > 3])), 1, atol=0.05)  # cells of 1 / field of view


def test_a_stack_repeats_the_plane():
    plane = trajectories.radial((16, 16), 3)
    k = trajectories.stack(plane, 5)
    assert k.shape == (5, 3, 32, 3)
    np.testing.assert_array_equal(k[2, ..., 1:], plane)
    np.testing.assert_array_equal(k[:, 0, 0, 0], np.arange(5) - 2)


def test_check_says_what_a_scanner_needs():
    k = np.zeros((2, 50, 2))
    k[1, :, 1] = np.linspace(0, 24.5, 50)  # half a cell a sample
    found = trajectories.check(k, 0.25, 10e-6)
    assert found["gradient"] == pytest.approx(0.5 / 0.25 / (42.577478518e6 * 10e-6))
    assert found["slew"] == pytest.approx(0, abs=1e-6)
    assert found["playable"]
    found = trajectories.check(k, 0.25, 1e-6)
    assert not found["playable"]
    assert "gradient reaches 0.04697 T/m at sample" in found["told"][0]
    assert "shot 1" in found["told"][0]
    again = trajectories.check(k, 0.25, 1e-6 * float(found["told"][0].split("dwell time ")[1].split()[0]) * 1.001)
    assert again["playable"]


@pytest.mark.parametrize("d", [2, 3])
def test_density_is_the_area_of_spokes(d):
    n, spokes = (64, 120) if d == 2 else (24, 800)
    shape = (n,) * d
    k = trajectories.radial(shape, spokes, angles="uniform") if d == 2 else trajectories.radial_3d(shape, spokes)
    w, r = calib.density(k, shape), radius(k, shape) * n / 2
    step = n / k.shape[1]
    ideal = np.pi * r * step / spokes if d == 2 else 2 * np.pi * r**2 * step / spokes
    there = (r > 3) & (r < 0.85 * n / 2)
    assert w[there].mean() == pytest.approx(ideal[there].mean(), rel=0.02 if d == 2 else 0.05)
    assert np.median(abs(w[there] / ideal[there] - 1)) < (0.02 if d == 2 else 0.2)
    assert w.sum() == pytest.approx((np.pi / 4 if d == 2 else np.pi / 6) * n**d, rel=0.05)


@pytest.mark.parametrize("make", [lambda n: trajectories.radial((n, n), 110), lambda n: trajectories.spiral((n, n), 24),
                                  lambda n: trajectories.spiral((n, n), 24, density=1.5)])
def test_gridding_gives_the_object_in_its_own_units(make):
    n = 64
    x = pi.phantom.brain((n, n), 1).image.astype("c8")
    k = make(n)
    A = linops.nufft((n, n), k)
    gridded = A.H(calib.density(k, (n, n)).astype("f4") * A(x))
    far = np.hypot(*np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2)) > n // 2
    F = linops.fft((n, n))
    round_ = F.H(F(x) * ~far)  # the corners of k-space were not measured, those of the image fold in
    assert testing.distance(np.where(far, 0, gridded), np.where(far, 0, round_)) < 0.05
    assert abs(np.vdot(round_, gridded) / np.vdot(round_, round_)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("call", "error"), [
    (lambda: trajectories.radial((8, 8, 8), 3), "the image's"), (lambda: trajectories.radial((8, 8), 0), "spokes"),
    (lambda: trajectories.radial((8, 8), 3, angles="silver"), "golden"),
    (lambda: trajectories.spiral((8, 8), 3, density=0.5), "density"),
    (lambda: trajectories.stack(np.zeros((3, 3)), 4), "2-D trajectory"),
    (lambda: trajectories.check(np.zeros((2, 2)), 0.2, 1e-6), "three samples"),
    (lambda: calib.density(np.zeros((4, 3)), (8, 8)), "one coordinate for")])
def test_bad_arguments_are_refused(call, error):
    with pytest.raises(ValueError, match=error):
        call()
