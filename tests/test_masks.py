"""Masks: fastMRI's to the index, densities, geometry, and impossible parameters."""

import warnings

import numpy as np
import pytest
import sigpy.mri
from conftest import data_path
from scipy.spatial import cKDTree

from pisolve import io, masks

# Lines that fastmri 0.3.0's RandomMaskFunc, EquiSpacedMaskFunc and EquispacedMaskFractionFunc sample:
# pattern, number of lines, accelerations, center fractions, seed.
FASTMRI = [
    ("random", 64, 4, 0.08, 0, [14, 15, 16, 24, 26, 30, 31, 32, 33, 34, 43, 47, 53, 55, 60, 61, 63]),
    ("random", 37, 4, 0.08, 7, [0, 7, 13, 17, 18, 19, 25]),
    ("random", 96, 8, 0.04, 42, [6, 10, 29, 32, 42, 46, 47, 48, 49, 58, 68, 72, 77, 83]),
    ("random", 45, 6, 0.06, (102, 105, 108, 101), [7, 14, 15, 19, 21, 22, 23, 42]),
    ("random", 50, (4, 8), (0.08, 0.04), 0, [7, 18, 23, 24, 25, 26, 28, 33, 35, 42, 45]),
    ("random", 50, (4, 8), (0.08, 0.04), 1, [24, 25, 28, 38, 44]),
    ("equispaced", 64, 4, 0.08, 0, [0, 4, 8, 12, 16, 20, 24, 28, 30, 31, 32, 33, 34, 36, 40, 44, 48, 52, 56, 60]),
    ("equispaced", 37, 4, 0.08, 7, [3, 7, 11, 15, 17, 18, 19, 23, 27, 31, 35]),
    ("equispaced", 96, 8, 0.04, 42, [6, 14, 22, 30, 38, 46, 47, 48, 49, 54, 62, 70, 78, 86, 94]),
    ("equispaced", 45, 6, 0.06, (102, 105, 108, 101), [3, 9, 15, 21, 22, 23, 27, 33, 39]),
    ("equispaced", 50, (4, 8), (0.08, 0.04), 0, [3, 7, 11, 15, 19, 23, 24, 25, 26, 27, 31, 35, 39, 43, 47]),
    ("equispaced", 50, (4, 8), (0.08, 0.04), 1, [3, 11, 19, 24, 25, 27, 35, 43]),
    ("equispaced_fraction", 64, 4, 0.08, 0, [4, 9, 15, 20, 25, 30, 31, 32, 33, 34, 36, 42, 47, 52, 58]),
    ("equispaced_fraction", 37, 4, 0.08, 7, [4, 9, 15, 17, 18, 19, 20, 26, 31]),
    ("equispaced_fraction", 96, 8, 0.04, 42, [6, 18, 29, 40, 46, 47, 48, 49, 52, 64, 75, 86]),
    ("equispaced_fraction", 45, 6, 0.06, (102, 105, 108, 101), [3, 12, 21, 22, 23, 31, 40]),
    ("equispaced_fraction", 50, (4, 8), (0.08, 0.04), 0, [0, 5, 11, 16, 22, 23, 24, 25, 26, 27, 32, 38, 43, 49]),
    ("equispaced_fraction", 50, (4, 8), (0.08, 0.04), 1, [8, 19, 24, 25, 31, 42]),
]


@pytest.mark.parametrize(("name", "n", "accel", "fraction", "seed", "lines"), FASTMRI)
def test_lines_are_fastmris(name, n, accel, fraction, seed, lines):
    make = getattr(masks, name)
    rows = make((n, 9), accel, fraction, seed=seed)
    columns = make((2, 5, 9, n), accel, fraction, axis=-1, seed=seed)
    assert rows.shape == (n, 9)
    assert rows.dtype == columns.dtype == bool
    assert np.flatnonzero(rows[:, 0]).tolist() == np.flatnonzero(columns[0]).tolist() == lines
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()
    if accel in (4, 8):  # fastMRI's pairing is the default
        assert (make((n, 9), accel, seed=seed) == rows).all()


@pytest.mark.parametrize("make", [masks.random, masks.equispaced, masks.equispaced_fraction])
def test_lines_do_not_touch_numpys_stream(make):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make((64, 8), 4, seed=9)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(("n", "accel"), [(368, 4), (320, 6), (372, 8), (181, 4)])
def test_random_reaches_its_acceleration_on_average(n, accel):
    lines = [masks.random((n, 1), accel, seed=s).mean() for s in range(1000)]
    assert 1 / np.mean(lines) == pytest.approx(accel, rel=0.02)


@pytest.mark.parametrize(("n", "accel"), [(368, 4), (320, 6), (372, 8), (181, 4)])
def test_equispaced_fraction_reaches_its_acceleration(n, accel):
    lines = [masks.equispaced_fraction((n, 1), accel, seed=s).mean() for s in range(50)]
    assert 1 / np.mean(lines) == pytest.approx(accel, rel=0.03)


def test_offset_is_the_first_line():
    mask = masks.equispaced((40, 4), 4, 0, offset=2)
    assert np.flatnonzero(mask[:, 0]).tolist() == list(range(2, 40, 4))
    assert masks.equispaced_fraction((40, 4), 4, 0, offset=3)[3, 0]


@pytest.mark.parametrize(("shape", "accel", "calib"), [((64, 64), 4, 16), ((48, 80), 3, (8, 12)), ((70, 45), 6, 8)])
def test_poisson_is_sigpys(shape, accel, calib):
    mask = masks.poisson(shape, accel, calib, seed=3)
    pair = calib if isinstance(calib, tuple) else (calib, calib)
    assert (mask == sigpy.mri.poisson(shape, accel, pair, dtype=bool, seed=3)).all()
    assert mask.size / mask.sum() == pytest.approx(accel, abs=0.1)
    assert all(c >= p for c, p in zip(masks.centre(mask), pair))

def test_poisson_keeps_its_distance():
    points = np.argwhere(masks.poisson((128, 128), 8, 24, seed=3))
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    r = np.hypot(*((points / 128 - 0.5) * 2).T)
    assert nearest[r > 0.8].min() >= 2  # random points of that density have neighbours at distance 1
    assert np.mean(nearest[r > 0.8]) > np.mean(nearest[(r > 0.4) & (r < 0.6)]) > 1
    assert r.max() < 1.1  # the corners, at 1.41, are cut


@pytest.mark.parametrize(("shape", "accel", "calib", "seed"), [
    ((66, 26), 28.824976587745212, 0, 9), ((63, 56), 37.57951337396001, 7, 15), ((69, 24), 33.197790839543266, 3, 216)])
def test_poisson_ends_where_sigpys_search_does_not(shape, accel, calib, seed):
    mask = masks.poisson(shape, accel, calib, seed=seed)
    assert mask.size / mask.sum() == pytest.approx(accel, rel=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (45, 80)])
@pytest.mark.parametrize("kwargs", [{}, {"power": 0}, {"sigma": 0.2}, {"power": 8.0}])
def test_variable_density_counts_and_falls_off(shape, kwargs):
    mask = masks.variable_density(shape, 5, 10, **kwargs)
    assert mask.sum() == round(mask.size / 5)
    assert min(masks.centre(mask)) >= 10
    assert (mask == masks.variable_density(shape, 5, 10, **kwargs)).all()
    assert (mask != masks.variable_density(shape, 5, 10, seed=1, **kwargs)).any()
    y, x = (np.linspace(-1, 1, n) for n in shape)
    r = np.hypot(y[:, None], x) / np.sqrt(2)
    inner, outer = mask[(r > 0.25) & (r < 0.45)].mean(), mask[(r > 0.6) & (r < 0.9)].mean()
    assert inner / outer < 1.3 if kwargs == {"power": 0} else inner > 2 * outer


def test_variable_density_follows_its_formula():
    n, power = 33, 2.0
    counts = sum(masks.variable_density((n, n), 20, 0, power=power, seed=s).astype(int) for s in range(600))
    offset = (np.arange(n) - n // 2) / (n // 2)
    p = (1 - np.hypot(offset[:, None], offset) / np.sqrt(2)) ** power
    rings = (np.hypot(offset[:, None], offset) / np.sqrt(2) * 5).astype(int)
    for ring in range(5):  # drawing 5 % without replacement is still close to p
        assert counts[rings == ring].sum() / counts.sum() == pytest.approx(p[rings == ring].sum() / p.sum(), rel=0.08)


@pytest.mark.parametrize("axis", [-1, -2])
def test_variable_density_lines(axis):
    mask = masks.variable_density((60, 80), 4, 12, sigma=0.3, axis=axis)
    assert masks.describe(mask)["axes"] == (axis,)
    assert masks.describe(mask)["acceleration"] == 4
    assert masks.centre(mask)[axis] >= 12


def block(shape, top, left, size):
    mask = np.zeros(shape, bool)
    mask[top : top + size[0], left : left + size[1]] = True
    return mask


@pytest.mark.parametrize(("mask", "size"), [
    (block((16, 16), 6, 6, (4, 4)), (4, 4)), (block((17, 16), 6, 5, (5, 6)), (5, 6)),
    (block((16, 16), 7, 6, (4, 4)), (3, 4)),  # shifted by one line: 7..9 is what a centred crop gets
    (block((16, 16), 0, 0, (4, 4)), (0, 0)), (np.ones((6, 7), bool), (6, 7)), (np.ones((1, 1), bool), (1, 1)),
    (block((16, 32), 8, 0, (1, 32)) | block((16, 32), 6, 14, (4, 4)), (4, 4)),  # a full line is no calibration region
    (block((16, 16), 5, 0, (6, 16)), (6, 16)), (masks.equispaced((368, 20), 4, offset=0), (29, 20)),
])
def test_centre(mask, size):
    found = masks.centre(mask)
    assert found == size
    top, left = (n // 2 - s // 2 for n, s in zip(mask.shape, found))
    assert mask[top : top + size[0], left : left + size[1]].all()


def test_centre_is_the_largest_by_brute_force(rng):
    for _ in range(20):
        mask = rng.random((9, 12)) < 0.9
        blocks = [(ny, nx) for ny in range(1, 10) for nx in range(1, 13)
                  if mask[4 - ny // 2 : 4 - ny // 2 + ny, 6 - nx // 2 : 6 - nx // 2 + nx].all()]
        best = max(((min(b), b[0] * b[1]) for b in blocks), default=(0, 0))
        found = masks.centre(mask)
        assert (min(found), found[0] * found[1]) == best


def test_describe():
    seen = masks.describe(block((10, 20), 3, 0, (4, 20))[None].astype(np.uint8))
    assert seen == {"shape": (10, 20), "acceleration": 2.5, "fraction": 0.4, "axes": (-2,), "centre": (4, 20)}
    assert masks.describe(np.ones((4, 4)))["axes"] == ()


def test_estimate_does_not_take_measured_zeros_for_holes(rng):
    mask = masks.random((64, 48), 4, seed=2)
    kspace = rng.standard_normal((2, 3, 64, 48)) * mask + 0j
    kspace[:, 0] *= rng.random((64, 48)) > 0.5  # exact zeros in one coil
    before = kspace.copy()
    assert (masks.estimate(kspace) == mask).all()
    kspace[:, :, np.argmax(mask[:, 0]), 5] = 0  # and one sample that is zero in every coil of every slice
    assert (masks.estimate(kspace) == mask).all()
    kspace[...] = before
    points = masks.variable_density((64, 48), 2, 8)
    assert (masks.estimate(before[0] * 0 + points) == points).all()


def test_estimate_on_a_real_undersampled_scan():
    scan = io.load(data_path("kspace/brain_sigpytut_8ch_undersampled.h5"))
    assert (masks.estimate(scan.kspace) == scan.mask).all()
    seen = masks.describe(scan.mask)
    assert seen["fraction"] == pytest.approx(0.124, abs=1e-3)  # what its source says
    assert seen["axes"] == (-2, -1)
    assert min(seen["centre"]) >= 16


@pytest.mark.parametrize(("mask", "phase_axes", "warns"), [
    (masks.random((32, 40), 4), 1, False), (masks.random((32, 40), 4, axis=-1), 1, False),
    (masks.random((32, 40), 4) & block((32, 40), 0, 0, (32, 28)), 1, False),  # asymmetric echo
    (np.ones((32, 40), bool), 1, False), (masks.variable_density((32, 40), 4, 8), 1, True),
    (masks.poisson((32, 40), 4, 8), 1, True), (masks.poisson((32, 40), 4, 8), 2, False),
    (masks.random((32, 40), 4) & masks.random((32, 40), 4, axis=-1), 1, True),
])
def test_check_warns_of_two_phase_encoding_axes(mask, phase_axes, warns):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        checked = masks.check(mask[None].astype(float), (8, 32, 40), phase_axes=phase_axes)
    assert (checked == mask).all()
    assert checked.dtype == bool
    assert bool(seen) == warns
    if warns:
        assert seen[0].category is masks.PoorMaskWarning
        assert "only feasible for 3-D scans" in str(seen[0].message)


@pytest.mark.parametrize(("mask", "message"), [
    (np.ones((40, 32)), "mask has shape"), (np.ones(32), "mask\\[:, None\\]"), (np.zeros((32, 40)), "False everywhere"),
    (np.full((32, 40), 0.5), "other values than 0 and 1"), (np.full((32, 40), np.nan), "other values than 0 and 1"),
    (np.arange(2 * 32 * 40).reshape(2, 32, 40) % 7 == 0, "differs along axis 0"),
    (np.ones((32, 1, 40)) * 2, "other values"), (np.ones((2, 30, 40)), "mask has shape"),
])
def test_check_refuses(mask, message):
    with pytest.raises(ValueError, match=message):
        masks.check(mask, (8, 32, 40))


# ---- series ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("n", "frames", "accel", "calib"), [(144, 30, 6, 0), (96, 12, 4, 6), (45, 9, 5, 0),
                                                             (64, 16, 2.5, 3), (40, 40, 40, 0)])
def test_vista_keeps_its_promises(n, frames, accel, calib):
    """N/accel lines in every frame with its full centre; together all lines; neighbours in time hardly share one."""
    mask = masks.vista((n, 7), accel, frames, calib=calib, seed=2)
    lines = mask[:, :, 0]
    assert mask.shape == (frames, n, 7)
    assert (mask == lines[:, :, None]).all()
    assert (lines.sum(1) == round(n / accel)).all()
    assert lines.any(0).all()
    assert all(masks.centre(m)[0] >= calib for m in mask)
    shared = (lines & np.roll(lines, 1, axis=0)).sum(1)
    assert shared.mean() - calib <= 0.25 * (n / accel) ** 2 / n  # a quarter of what chance would share
    columns = masks.vista((7, n), accel, frames, calib=calib, axis=-1, seed=2)
    assert (columns == mask.transpose(0, 2, 1)).all()


def test_vista_is_drawn_by_its_seed():
    one, same, other = (masks.vista((64, 4), 4, 10, seed=s) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert all(masks.centre(m)[0] >= 5 for m in one)  # a third of 16 lines
    assert not any((a == b).all() for k, a in enumerate(one) for b in one[:k])


@pytest.mark.parametrize("density", [1, 3, 6])
def test_vista_has_its_density(density):
    """Lines along the centre against the edge, over the frames: as rho says, up to the grid's rounding."""
    n, width = 120, 0.2
    share = masks.vista((n, 1), 8, 60, calib=0, density=density, width=width, seed=1)[:, :, 0].mean(0)
    rho = 1 + (density - 1) * np.exp(-(((np.arange(n) - n // 2) / (width * n)) ** 2) / 2)
    share, rho = (a.reshape(12, 10).mean(1) / a.mean() for a in (share, rho))
    np.testing.assert_allclose(share, rho, rtol=0.15)


def energy(lines, density=4, width=0.2):
    """The Riesz energy by its definition."""
    n, frames = lines.shape[1], lines.shape[0]
    t, k = np.nonzero(lines)
    rho = 1 + (density - 1) * np.exp(-(((np.arange(n) - n // 2) / (width * n)) ** 2) / 2)
    q = rho[k] ** -0.75
    dk, dt = (np.minimum(d, m - d) for d, m in ((abs(k[:, None] - k), n), (abs(t[:, None] - t), frames)))
    with np.errstate(divide="ignore"):
        force = np.hypot(dk, dt) ** -3.0
    np.fill_diagonal(force, 0)
    return (q[:, None] * q * force).sum() / 2


def test_vista_has_a_low_energy():
    """Below that of any random pattern of the density by far; no line of a frame gains by moving alone."""
    n, frames = 48, 8
    lines = masks.vista((n, 1), 4, frames, calib=0, seed=3)[:, :, 0]
    least = energy(lines)
    drawn = [np.stack([masks.variable_density((n, 1), 4, 0, power=1, axis=-2, seed=100 * s + k)[:, 0]
                       for k in range(frames)]) for s in range(10)]
    assert least < 0.9 * min(energy(d) for d in drawn)
    counts = lines.sum(0)
    for t, k in np.argwhere(lines)[::5]:
        for other in np.flatnonzero(~lines[t]) if counts[k] > 1 else ():
            moved = lines.copy()
            moved[t, k], moved[t, other] = False, True
            assert energy(moved) > least * (1 - 1e-9)


def test_vista_with_fewer_lines_than_kspace_has():
    lines = masks.vista((60, 1), 12, 4, calib=0)[:, :, 0]
    assert lines.sum() == 20
    assert lines.any(0).sum() == 20  # each line once


@pytest.mark.parametrize("accel", [(2, 2), (3, 2), (1, 4), (2, 1)])
def test_regular_goes_round(accel):
    frames = [masks.regular((24, 20), accel, 6, shift=k, seed=5) for k in range(accel[0] * accel[1])]
    bare = [masks.regular((24, 20), accel, 0, shift=k, seed=5) for k in range(len(frames))]
    assert np.sum(bare, axis=0).tolist() == np.ones((24, 20)).tolist()  # every sample once
    assert all(min(masks.centre(m)) >= 6 for m in frames)
    assert (masks.regular((24, 20), accel, 0, offset=(0, 0)) == bare[0][np.ix_(
        *(np.roll(np.arange(n), -np.argmax(bare[0].any(1 - i))) for i, n in enumerate((24, 20))))]).all()


@pytest.mark.parametrize("make", [masks.equispaced, masks.equispaced_fraction])
def test_evenly_spaced_lines_shift(make):
    first = [int(np.argmax(make((64, 2), 4, 0, shift=k, seed=3)[:, 0])) for k in range(5)]
    assert sorted(first[:4]) == [0, 1, 2, 3]
    assert first[4] == first[0]
    assert (make((64, 2), 4, seed=3, shift=0) == make((64, 2), 4, seed=3)).all()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: masks.random((64, 64), 0.5), ValueError, "accel must be >= 1"),
    (lambda: masks.random((64, 64), 16, 0.08), ValueError, "accel 16 leaves 4 of 64 lines, but the full centre has 5"),
    (lambda: masks.equispaced_fraction((64, 64), 100, 0.04), ValueError, "full centre"),
    (lambda: masks.equispaced((64, 64), 2.5), ValueError, "whole number"),
    (lambda: masks.equispaced((64, 64), 4, offset=4), ValueError, "offset must be in 0..3"),
    (lambda: masks.random((64, 64), 4, axis=1), ValueError, "axis must be -2"),
    (lambda: masks.random((64, 64), 4, 1.5), ValueError, "center_fraction must be <= 1"),
    (lambda: masks.random((64, 64), (4, 8), 0.08), ValueError, "they are pairs"),
    (lambda: masks.random((64, 64), 4, seed=None), TypeError, "seed must be a whole number"),
    (lambda: masks.random((64, 64), float("nan")), ValueError, "accel must be finite"),
    (lambda: masks.random(64, 4), TypeError, "shape must be a tuple"),
    (lambda: masks.random((0, 64), 4), ValueError, "shape must be in 1"),
    (lambda: masks.poisson((64, 64), 1.0), ValueError, "accel must be > 1"),
    (lambda: masks.poisson((64, 64), 1.1), ValueError, "too low"),
    (lambda: masks.poisson((53, 100), 37.99783173755794, 9, seed=220), ValueError, "nearest is 36.05"),
    (lambda: masks.poisson((64, 64), 8, 24), ValueError, "accel 8 leaves 512 of 4096 points"),
    (lambda: masks.poisson((24, 64), 4, 24), ValueError, "smaller than the grid"),
    (lambda: masks.poisson((64, 64), 8, 24), ValueError, "lower accel or calib$"),
    (lambda: masks.random((64, 64), 8, 0.5), ValueError, "lower accel or center_fraction$"),
    (lambda: masks.poisson((1, 64), 4, 0), ValueError, r"shape \(1, 64\) has one line: .* variable_density"),
    (lambda: masks.poisson((2, 64), 2, 0), ValueError, r"on \(2, 64\) starts at 2\.\d+; use variable_density"),
    (lambda: masks.poisson((32, 28), 4, 8), ValueError, r"seed 0 starts .* cannot grow.* take another seed$"),
    (lambda: masks.poisson((3, 3), 30, 0), ValueError, "accel 30 leaves no point of 9: lower accel"),
    (lambda: masks.random(np.ones((8, 8)), 4), TypeError, "^shape must be .*: for an array give its .shape$"),
    (lambda: masks.random((64, 64), 4, axis=np.ones((2, 2))), ValueError, "^axis must be -2 .*phase-encoding axis$"),
    (lambda: masks.poisson((64, 64), 4, np.ones((9, 9))), TypeError, "^calib must be a whole number, got .*$"),
    (lambda: masks.variable_density((64, 64), 8, 32), ValueError, "full centre has 1024"),
    (lambda: masks.variable_density((64, 64), 4, (8, 8, 8)), ValueError, "calib must be"),
    (lambda: masks.variable_density((64, 64), 4, 8, sigma=0), ValueError, "sigma must be > 0"),
    (lambda: masks.vista((64, 64), 4, 0), ValueError, "frames must be in 1"),
    (lambda: masks.vista((64, 64), 8, 10, calib=9), ValueError, "leaves 8 of 64 lines, .* lower accel or calib"),
    (lambda: masks.vista((64, 64), 200), ValueError, "accel 200 leaves"),
    (lambda: masks.vista((64, 64), 4, density=0.5), ValueError, "density must be >= 1"),
    (lambda: masks.vista((64, 64), 4, width=0), ValueError, "width must be > 0"),
    (lambda: masks.regular((64, 64), 2), ValueError, r"accel must be two numbers such as \(2, 2\), got 2"),
    (lambda: masks.regular((64, 64), (2, 1.5)), ValueError, "two whole numbers"),
    (lambda: masks.regular((64, 64), (2, 2), offset=(0, 2)), ValueError, "offset must be in 0..1"),
    (lambda: masks.equispaced((64, 64), 4, shift=-1), ValueError, "shift must be in 0"),
    (lambda: masks.centre(np.ones(5)), ValueError, "mask has"), (lambda: masks.centre([1]), TypeError, "mask must be"),
    (lambda: masks.estimate(np.zeros((4, 4))), ValueError, "zero everywhere"),
    (lambda: masks.estimate(np.full((4, 4), np.nan)), ValueError, "NaN"),
])
def test_impossible_parameters(call, error, message):
    with pytest.raises(error, match=message):
        call()
