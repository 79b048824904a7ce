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


@pytest.mark.parametrize("shape", [(64, 64), (48, 64)])
def test_rosettes_pass_the_centre_once_a_petal_and_end_evenly_on_the_edge(shape):
    petals, shots, per = 5, 3, 200
    k = trajectories.rosette(shape, shots, petals * per + 1, petals=petals)
    r = radius(k, shape)
    np.testing.assert_allclose(r[:, ::per], 0, atol=1e-12)
    np.testing.assert_allclose(r[:, per // 2::per], 1, atol=1e-12)
    wave = abs(np.sin(np.pi * np.arange(petals * per + 1) / per))
    np.testing.assert_allclose(r, np.tile(wave, (shots, 1)), atol=1e-12)
    ends = k[:, per // 2::per] / (np.array(shape) / 2)
    angles = np.sort(np.arctan2(ends[..., 0], ends[..., 1]).ravel() % (2 * np.pi))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / (petals * shots), atol=1e-9)


def test_blades_are_parallel_lines_that_cover_the_disc():
    n, lines = 64, 16
    k = trajectories.propeller((n, n), lines=lines)
    assert k.shape == (7 * lines, 2 * n, 2)  # pi / 2 * 64 / 16 = 6.3
    assert radius(k, (n, n)).max() == pytest.approx(1, abs=1e-12)
    blades = k.reshape(7, lines, 2 * n, 2)
    for b, blade in enumerate(blades):
        a = b * np.pi / 7
        np.testing.assert_allclose(blade @ [np.cos(a), -np.sin(a)], np.tile(np.arange(lines)[:, None] - 7.5, 2 * n),
                                   atol=1e-9)
        steps = np.diff(blade @ [np.sin(a), np.cos(a)], axis=1)
        np.testing.assert_allclose(steps, np.sqrt(32**2 - 7.5**2) / n, atol=1e-9)
    y, x = np.meshgrid(*[np.arange(n) - n // 2] * 2, indexing="ij")
    inside = np.stack([y, x], -1)[np.hypot(y, x) < n / 2 - 1].reshape(-1, 1, 2)
    assert max(np.linalg.norm(inside[i] - k.reshape(-1, 2), axis=-1).min() for i in range(0, len(inside), 7)) < 0.75


def test_cones_lie_on_cones_and_wind_one_cell_apart():
    n, count = 32, 6
    k = trajectories.cones((n, n, n), count, 2, 4000)
    assert k.shape == (2 * count, 4000, 3)
    r = radius(k, (n, n, n))
    np.testing.assert_allclose(r[:, [0, -1]], np.tile([0, 1], (2 * count, 1)), atol=1e-9)
    polar = np.arccos(k[:, 1:, 0] / (r[:, 1:] * n / 2))
    np.testing.assert_allclose(polar, np.repeat((np.arange(count) + 0.5) * np.pi / count, 2)[:, None] * np.ones(3999),
                               atol=1e-3)
    for cone in k.reshape(count, 2, 4000, 3):
        across = [radius(arm, (n, n, n))[np.nonzero(np.diff(np.sign(arm[:, 1])) > 0)[0]] * n / 2 for arm in cone]
        np.testing.assert_allclose(np.diff(np.sort(np.concatenate(across))[2:]), 1, atol=0.1)


@pytest.mark.parametrize(("make", "rest"), [
    (lambda: trajectories.spiral((64, 64), 8), "start"), (lambda: trajectories.radial((64, 64), 3), "both"),
    (lambda: trajectories.rosette((64, 64), 2, petals=4), "start"), (lambda: trajectories.spiral(
        (48, 64), 16, density=2, inside="in-out"), "none"), (lambda: trajectories.cones((32,) * 3, 2), "start")])
def test_the_fastest_way_keeps_the_limits_and_the_curve(make, rest):
    k, limits = make(), {"gmax": 0.03, "smax": 120.0}
    quick = trajectories.fastest(k, 0.25, 4e-6, **limits, rest=rest)
    found = trajectories.check(quick, 0.25, 4e-6, **limits)
    assert found["playable"]
    assert max(found["gradient"] / 0.03, found["slew"] / 120) > 0.97
    for a, b in zip(k, quick):
        np.testing.assert_allclose(b[[0, -1]], a[[0, -1]], atol=1e-6)
        far = np.linalg.norm(b[::25, None] - a, axis=-1).min(1)
        assert far.max() < np.linalg.norm(np.diff(a, axis=0), axis=-1).max()


def test_a_line_takes_the_time_of_its_trapezoid():
    """From rest to rest over K: T = K / (gamma G) + G / S where G is reached, else 2 sqrt(K / (gamma S))."""
    line = np.stack([np.zeros(50), np.linspace(-32, 32, 50)], -1)[None]
    gamma, reach = 42.577478518e6, 64 / 0.25
    for gmax, smax in ((0.01, 100.0), (0.08, 50.0)):
        full = reach / (gamma * gmax) > gmax / smax
        expected = reach / (gamma * gmax) + gmax / smax if full else 2 * (reach / (gamma * smax)) ** 0.5
        quick = trajectories.fastest(line, 0.25, 1e-6, gmax=gmax, smax=smax, rest="both")
        assert (quick.shape[1] - 1) * 1e-6 == pytest.approx(expected, rel=5e-3)


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
    assert "0.5 of the samples" in found["told"][0]
    assert found["duration"] == pytest.approx(49e-6)
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
    if d == 2:  # the spokes of a volume are not equally far apart
        assert np.median(abs(w[there] / ideal[there] - 1)) < 0.02
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
    (lambda: trajectories.check(np.zeros((5, 2)), 250, 1e-6), "fov is 250.*give m"),
    (lambda: trajectories.check(np.zeros((5, 2)), (0.2, 0.2, 0.2), 1e-6), "one for each of 2 axes"),
    (lambda: trajectories.check(np.zeros((5, 2)), 0, 1e-6), "fov must be positive"),
    (lambda: trajectories.check(np.zeros((5, 2)), 0.2, 10), "dwell is 10.*give s"),
    (lambda: trajectories.check(np.zeros((5, 2)), 0.2, 1e-6, gmax=40), "gmax is 40.*give T/m"),
    (lambda: trajectories.fastest(np.zeros((5, 2)), 0.2, 1e-6), "stands still"),
    (lambda: trajectories.fastest(np.ones((5, 2)), 0.2, 1e-6, rest="end"), "rest"),
    (lambda: trajectories.rosette((8, 8), 2, petals=0), "petals"),
    (lambda: trajectories.propeller((8, 8), lines=9), "lines"),
    (lambda: trajectories.propeller((16, 16), angles="tiny golden"), "golden"),
    (lambda: trajectories.cones((8, 8), 3), "the image's"), (lambda: trajectories.cones((8,) * 3, 0), "cones"),
    (lambda: calib.density(np.zeros((4, 3)), (8, 8)), "one coordinate for")])
def test_bad_arguments_are_refused(call, error):
    with pytest.raises(ValueError, match=error):
        call()
