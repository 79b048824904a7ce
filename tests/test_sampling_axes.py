"""Retrospective sampling of series and volumes: patterns for each frame, slice or echo, and over two phase encodes."""

import json

import numpy as np
import pytest

import pisolve as pi
from pisolve import io, masks
from pisolve._words import TRAJECTORIES
from pisolve.prepare import SAMPLINGS
from pisolve.prepare.sampling import centre_of
from pisolve.recipe.format import decode, encode

N = (40, 36)
LINES = ("random", "equispaced", "equispaced_fraction")


def series(axes=("frame", "coil", "ky", "kx"), sizes=None):
    """Noise with these axes."""
    sizes = {"frame": 6, "slice": 2, "echo": 3, "coil": 2, "kz": 32, "ky": N[0], "kx": N[1]} | (sizes or {})
    rng = np.random.default_rng(0)
    shape = [sizes[a] for a in axes]
    return io.Scan((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype("c8"), axes=axes)


# ---- a pattern for each frame ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [k for k in SAMPLINGS if k not in TRAJECTORIES])  # else elsewhere
def test_every_frame_has_its_own(kind):
    scan = series(sizes={"ky": 64, "kx": 64})
    accel = 4 if kind == "poisson" else 2
    done = pi.Sampling(kind, accel, vary="frame", seed=1)(scan)
    assert done.encoding.own == ("frame",)
    assert done.mask.shape == (6, 64, 64)
    frames = [done.select(frame=k) for k in range(6)]
    first = getattr(masks, kind)((64, 64), accel, **({"frames": 6} if kind == "vista" else {}), seed=1)
    np.testing.assert_array_equal(done.mask[0], first[0] if kind == "vista" else first)
    assert not (done.mask[0] == done.mask[1]).all()
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.mask, done.mask[k])
        np.testing.assert_array_equal(frame.kspace[0] != 0, np.broadcast_to(done.mask[k], (2, 64, 64)))
    np.testing.assert_array_equal(done.reference, scan.rss())


def test_seeds_and_shifts():
    scan = series()
    drawn = pi.Sampling("random", 3, vary="frame", seed=4).pattern(scan)
    np.testing.assert_array_equal(drawn, [masks.random(N, 3, seed=4 + k) for k in range(6)])
    even = pi.Sampling("equispaced", 3, 0, vary="frame", seed=4).pattern(scan)
    first = [int(np.argmax(m[:, 0])) for m in even]
    assert first == [(first[0] + k) % 3 for k in range(6)]
    spread = pi.Sampling("vista", 4, 0.1, seed=2).pattern(scan)  # of the frames, where nothing is said
    np.testing.assert_array_equal(spread, masks.vista(N, 4, 6, calib=4, seed=2))


@pytest.mark.parametrize("vary", ["slice", ("frame", "slice"), ("echo",), ["slice", "echo", "frame"]])
def test_any_axes_vary(vary):
    scan = series(("slice", "frame", "echo", "coil", "ky", "kx"), {"frame": 3})
    names = [vary] if isinstance(vary, str) else list(vary)
    done = pi.Sampling("random", 2, vary=vary)(scan)
    assert set(done.encoding.own) == set(names)
    sizes = {"slice": 2, "frame": 3, "echo": 3}
    assert done.mask.shape == (*(n if a in names else 1 for a, n in sizes.items()), *N)
    patterns = done.mask.reshape(-1, *N)
    for k, m in enumerate(patterns):
        np.testing.assert_array_equal(m, masks.random(N, 2, seed=k))


def test_what_does_not_vary_is_as_it_was():
    for kind in (*LINES, "variable_density"):
        scan = series(sizes={"ky": 64, "kx": 64})
        mask = pi.Sampling(kind, 2, seed=3)(scan).mask
        np.testing.assert_array_equal(mask, getattr(masks, kind)((64, 64), 2, seed=3))
    one = series(("coil", "ky", "kx"))
    np.testing.assert_array_equal(pi.Sampling("random", 2, vary="slice")(one).mask, masks.random(N, 2))


# ---- two phase encodes -----------------------------------------------------------------------------------------------

VOLUME = {"kz": 32, "ky": 40, "kx": 24}


@pytest.mark.parametrize("kind", ["poisson", "variable_density"])
def test_points_are_constant_along_the_readout(kind):
    scan = series(("coil", "kz", "ky", "kx"), VOLUME)
    done = pi.Sampling(kind, 4, seed=2)(scan)
    assert done.mask.shape == (32, 40, 24)
    assert (done.mask == done.mask[:, :, :1]).all()
    np.testing.assert_array_equal(done.mask[:, :, 0], getattr(masks, kind)((32, 40), 4, (8, 10), seed=2))
    assert done.encoding.varying == ("kz", "ky")
    assert 1 / done.encoding.fraction == pytest.approx(4, rel=0.05)


def test_a_regular_grid():
    scan = series(("coil", "kz", "ky", "kx"), VOLUME)
    done = pi.Sampling("equispaced", (2, 2), seed=1)(scan)
    plane = done.mask[:, :, 0]
    np.testing.assert_array_equal(plane, masks.regular((32, 40), (2, 2), (8, 10), seed=1))
    assert masks.centre(plane) >= (8, 10)
    bare = pi.Sampling("equispaced", (2, 2), 0)(scan)
    assert bare.encoding.fraction == 0.25


@pytest.mark.parametrize("kind", LINES)
def test_lines_go_along_ky_alone(kind):
    done = pi.Sampling(kind, 2, seed=1)(series(("coil", "kz", "ky", "kx"), VOLUME))
    assert done.encoding.varying == ("ky",)
    np.testing.assert_array_equal(done.mask[0, :, 0], getattr(masks, kind)((40, 1), 2, seed=1)[:, 0])
    assert done.separable == ("z", "x")


def test_the_readout_is_the_scans_own():
    """Of a scan that was undersampled before, the axis that was left alone."""
    scan = series(("coil", "kz", "ky", "kx"), VOLUME)
    before = np.broadcast_to(masks.variable_density((40, 24), 1.5, 8), (32, 40, 24))
    scan = scan.undersample(before)
    assert scan.readout == "kz"
    done = pi.Sampling("variable_density", 3)(scan)
    assert (done.mask == done.mask[:1]).all()


def test_a_series_of_volumes():
    scan = series(("frame", "coil", "kz", "ky", "kx"), VOLUME | {"frame": 4})
    for sampling in (pi.Sampling("equispaced", (2, 2), 0, vary="frame"), pi.Sampling("vista", 2)):
        done = sampling(scan)
        assert done.mask.shape == (4, 32, 40, 24)
        assert done.encoding.own == ("frame",)
        assert done.mask.any(0).all()  # together everything


def test_the_centre_of_two_phase_encodes():
    assert centre_of((128, 96)) == (24, 24)
    assert centre_of((64, 48)) == (16, 12)
    assert centre_of((20, 6)) == (8, 6)
    assert centre_of((64, 48), 0.25) == (16, 12)


# ---- words -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sampling", [pi.Sampling("equispaced", (2, 2)), pi.Sampling("vista", 6, vary="frame"),
                                      pi.Sampling("random", 4, vary=("slice", "frame"))])
def test_written_down_and_read_again(sampling):
    again = decode(json.loads(json.dumps(encode(sampling))), {"Sampling": pi.Sampling})
    assert again == sampling
    assert hash(again) == hash(sampling)
    assert eval(repr(sampling), {"Sampling": pi.Sampling}) == sampling


def test_the_usual_ones_look_as_before():
    assert repr(pi.Sampling("random", 4)) == "Sampling(mask='random', accel=4, center_fraction=None, seed=0)"


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pi.Sampling("random", 4, vary="frame")(series(("coil", "ky", "kx"))), "vary='frame': .* no 'frame'"),
    (lambda: pi.Sampling("random", 4, vary="frame")(series(("echo", "coil", "ky", "kx"))), "it can vary along echo"),
    (lambda: pi.Sampling("vista", 4)(series(("slice", "coil", "ky", "kx"))), "mask=vista: .* it can vary along slice"),
    (lambda: pi.Sampling("random", (2, 2)), "is for mask='equispaced' in 3-D"),
    (lambda: pi.Sampling("equispaced", (2, 2, 2)), "a pair such as"),
    (lambda: pi.Sampling("equispaced", (2, 2))(series()), "two phase encodes, and this scan has the axes frame"),
    (lambda: pi.Sampling("equispaced", (2, 1.5))(series(("coil", "kz", "ky", "kx"))), "two whole numbers"),
    (lambda: pi.Sampling("random", vary="Frame"), "vary holds 'Frame'"),
    (lambda: pi.Sampling("random", vary=("frame", "frame")), "name one axis twice"),
])
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
