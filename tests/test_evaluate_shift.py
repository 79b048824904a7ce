"""Shift: the same conditions for all recipes, their differences, and a planted network that knows its home only."""

import json

import numpy as np
import pytest
import torch
from conftest import data_path
from helpers import refused
from torch import nn

import pisolve as pi
from pisolve import linops, metrics
from pisolve.evaluate.shift import Shift, shift

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (48, 40)


def scan(anatomy):
    made = pi.phantom.brain(SHAPE, 4, noise=0.005, anatomy=anatomy)
    return pi.io.Scan(made.kspace, mps=made.mps / np.linalg.norm(made.mps, axis=0))


ONE, TWO = scan(0), scan(3)
TIKHONOV, WAVELET = pi.Recipe(0.02 * pi.Tikhonov()), pi.Recipe(0.005 * pi.Wavelet(), max_iter=20)
SAMPLING = pi.Sampling("random", 2, seed=0)  # home of the planted networks


class Own(nn.Module):
    """What a test says, in the place of a network that takes maps."""

    needs_maps = True

    def __init__(self, call):
        super().__init__()
        self.call, self.seen = call, []

    def forward(self, A, y):
        self.seen.append((A.weight, y.clone()))
        return self.call(A, y)


def learned():
    """A network that knows one image by heart and shows it for every scan, in the brightness that the data ask for."""
    done = TIKHONOV(ONE)
    known = torch.from_numpy(done.x).to(torch.complex64)

    def call(A, y):
        predicted = linops.as_torch(A)(known)
        return known * (torch.vdot(predicted.ravel(), y.ravel()) / torch.linalg.vector_norm(predicted) ** 2)

    return pi.Recipe(network=Own(call), name="learned")


def plain(A, y):
    return linops.as_torch(A).H(y)


@pytest.fixture(scope="module")
def done():
    return shift({"tikhonov": TIKHONOV, "wavelet": WAVELET}, {"one": ONE, "two": TWO}, accels=(2, 3),
                 masks=("random", "poisson"), noises=(0, 0.05), baseline="tikhonov")


def test_one_thing_changes_at_a_time(done):
    assert isinstance(done, Shift)
    values = [tuple(c[k] for k in ("scan", "acceleration", "mask", "noise")) for c in done.conditions]
    home = ("one", 2, "random", 0)
    assert values == [home, ("two", *home[1:]), ("one", 3, "random", 0), ("one", 2, "poisson", 0),
                      ("one", 2, "random", 0.05)]
    assert done.conditions[0]["label"] == "one, 2x, random, noise 0"
    assert done.recipes == ["tikhonov", "wavelet"]


def test_a_cell_is_the_recipe_on_that_condition(done):
    rows = {(row["condition"], row["recipe"]): row for row in done.rows}
    reference = TWO.rss()
    part = pi.Sampling("random", 2)(pi.io.Scan(TWO.kspace, mps=TWO.mps))
    image = WAVELET(part).x
    body = metrics.body(reference)
    row = rows["two, 2x, random, noise 0", "wavelet"]
    assert row["PSNR"] == pytest.approx(metrics.psnr(reference, image, region=body), abs=1e-4)
    assert row["NMSE"] == pytest.approx(metrics.nmse(reference, image, region=body), rel=1e-4)
    assert rows["one, 2x, random, noise 0.05", "wavelet"]["PSNR"] < rows["one, 2x, random, noise 0", "wavelet"]["PSNR"]


def test_differences_are_those_of_the_cells(done):
    psnr, tikhonov = done.matrix(), done.recipes.index("tikhonov")
    np.testing.assert_allclose(done.matrix("from home"), psnr - psnr[0])
    over = psnr - psnr[:, [tikhonov]]
    np.testing.assert_allclose(done.matrix("over baseline"), over)
    np.testing.assert_allclose(done.matrix("shift"), over - over[0])
    assert not done.matrix("over baseline")[:, tikhonov].any()


def test_the_section_is_the_matrix(done):
    section = done.section()
    assert [row["condition"] for row in section.rows] == [c["label"] for c in done.conditions]
    np.testing.assert_array_equal([[row[f"{n} / dB"] for n in done.recipes] for row in section.rows], done.matrix())
    assert list(section.rows[0]) == ["condition", "tikhonov / dB", "wavelet / dB", "wavelet - tikhonov"]
    assert all(p.map == "signed" and p.low == -p.high and np.isfinite(p.image).all()
               for p in section.pictures.values())
    assert json.loads(json.dumps(done.to_dict(), allow_nan=False))["baseline"] == "tikhonov"
    assert "home" in str(section)


def test_conditions_are_the_same_for_all_recipes():
    first, second = Own(plain), Own(plain)
    before = ONE.kspace.copy()
    made = shift({"a": pi.Recipe(network=first), "b": pi.Recipe(network=second, sampling=SAMPLING), "c": TIKHONOV}, ONE,
                 accels=(2, 4), noises=(0, 0.03), baseline="c", seed=4)
    assert len(first.seen) == len(made.conditions) == 3
    for (mask, y), (other, z) in zip(first.seen, second.seen):
        np.testing.assert_array_equal(mask, other)
        assert torch.equal(y, z)
    np.testing.assert_array_equal(made.matrix()[:, 0], made.matrix()[:, 1])
    np.testing.assert_array_equal(ONE.kspace, before)
    again = shift({"a": pi.Recipe(network=first), "b": pi.Recipe(network=second), "c": TIKHONOV}, ONE, accels=(2, 4),
                  noises=(0, 0.03), baseline="c", seed=4)
    assert again.to_dict() == made.to_dict()


def test_the_noise_has_the_level_that_was_asked_for():
    network = Own(plain)
    shift({"a": pi.Recipe(network=network)}, ONE, accels=(1,), noises=(0, 0.1), baseline="a")
    (_, clean), (_, noisy) = network.seen
    level = np.percentile(ONE.rss(), 99)
    ratio = np.linalg.norm(clean) / np.linalg.norm(ONE.kspace)  # the recipe's scale, which noise changes a little
    moved = noisy / (torch.vdot(clean.ravel(), noisy.ravel()) / torch.linalg.vector_norm(clean) ** 2).abs() - clean
    assert float(moved.real.std()) == pytest.approx(0.1 * level * ratio, rel=0.03)
    assert float(moved.imag.std()) == pytest.approx(0.1 * level * ratio, rel=0.03)


def test_a_prior_that_knows_its_home_only_is_seen_to_fall_off():
    kspace, mps = (np.roll(x[:, ::-1], 1, axis=1) for x in (ONE.kspace, ONE.mps))  # the mirrored object
    made = shift({"learned": learned()}, {"known": ONE, "new": pi.io.Scan(kspace, mps=mps)}, accels=(2, 3),
                 baseline=WAVELET)
    assert (made.baseline, made.recipes) == ("baseline", ["learned", "baseline"])
    over = made.matrix("over baseline")[:, 0]
    assert over[0] > 0.1 > -0.1 > over[1]
    assert any("learned is" in w and "new, 2x, random" in w for w in made.section().warnings)


def test_a_grid_has_all_combinations():
    made = shift({"a": TIKHONOV}, [ONE][0], accels=(2, 3), noises=(0, 0.1), grid=True, baseline="a")
    assert [(c["acceleration"], c["noise"]) for c in made.conditions] == [(2, 0), (2, 0.1), (3, 0), (3, 0.1)]
    assert not made.section().pictures
    single = shift({"a": TIKHONOV}, ONE, accels=(2, 3), noises=(0, 0.1), baseline="a")  # one thing at a time
    np.testing.assert_array_equal(made.matrix()[[0, 2, 1]], single.matrix())
    assert made.matrix()[3, 0] < made.matrix()[2, 0]  # noise on top of 3x


def test_a_condition_that_cannot_be_made_is_named():
    made = shift({"a": TIKHONOV}, ONE, accels=(2.5,), masks=("random", "equispaced"), baseline="a")
    assert [c["mask"] for c in made.conditions] == ["random"]
    assert made.left_out[0].startswith("2.5x, equispaced was left out: accel must be a whole number")
    assert made.left_out[0] in made.section().text
    refused(lambda: shift({"a": TIKHONOV}, ONE, accels=(2.5,), masks=("equispaced",), baseline="a"), ValueError,
            "accel must be a whole number")  # home has to be there


def test_real_scans():
    scans = {name: data_path(f"kspace/{name}.h5") for name in ("invivo_brain_cimax_16ch", "head_sag_1ch")}
    made = shift({"TV": pi.Recipe(5e-3 * pi.TV(), max_iter=10)}, scans, baseline=pi.Recipe(
        1e-2 * pi.Tikhonov(), name="tikhonov"))
    assert [c["label"] for c in made.conditions] == [f"{n}, 4x, random" for n in scans]
    for row, path in enumerate(scans.values()):  # a cell is what the recipe makes of the scan, measured in the body
        whole = pi.io.load(path)
        reference = np.squeeze(whole.rss())
        image = np.squeeze(pi.Recipe(1e-2 * pi.Tikhonov())(pi.Sampling("random", 4)(whole)).x)
        expected = metrics.psnr(reference, image, region=metrics.body(reference))
        assert made.matrix()[row, 1] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda: shift([TIKHONOV], ONE), TypeError, "recipes must be a dict"),
    (lambda: shift({}, ONE), ValueError, "recipes must have at least one entry"),
    (lambda: shift({"a": pi.CG()}, ONE), TypeError, "recipes['a'] must be a pi.Recipe"),
    (lambda: shift({"a": pi.Recipe(pi.TV(), tune="sure")}, ONE), ValueError, "recipes['a'] tunes its strength"),
    (lambda: shift({"a": pi.Recipe(whiten=True)}, ONE), ValueError, "recipes['a'] whitens"),
    (lambda: shift({"a": TIKHONOV}, [ONE]), TypeError, "scans must be a dict"),
    (lambda: shift({"a": TIKHONOV}, SAMPLING(ONE)), ValueError, "scans['scan'] is undersampled"),
    (lambda: shift({"a": TIKHONOV}, ONE, accels=4), TypeError, "accels must be a tuple"),
    (lambda: shift({"a": TIKHONOV}, ONE, accels=(0.5,)), ValueError, "accels"),
    (lambda: shift({"a": TIKHONOV}, ONE, masks=("rosette",)), ValueError, "masks must be one of random"),
    (lambda: shift({"a": TIKHONOV}, ONE, noises=(-1,)), ValueError, "noises"),
    (lambda: shift({"a": TIKHONOV}, ONE, baseline="b"), ValueError, "baseline must be one of a or a Recipe"),
    (lambda: shift({"baseline": TIKHONOV}, ONE, baseline=WAVELET), ValueError, "baseline is called 'baseline'"),
    (lambda: shift({"a": TIKHONOV}, ONE, maps="espirit"), TypeError, "maps must be an Espirit"),
    (lambda: shift({"a": TIKHONOV}, ONE, seed=-1), ValueError, "seed"),
    (lambda: shift({"a": TIKHONOV}, ONE, slice=2), ValueError, "slice must be in 0..0"),
])
def test_bad_input_is_refused(call, kind, message):
    refused(call, kind, message)
