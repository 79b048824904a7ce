"""`Sampling` of trajectories: what a full Cartesian scan would have measured along them."""

import numpy as np
import pytest
from cases import HEAD, HEAD_MPS, SIDE, object_of, scan_of

import pisolve as pi
from pisolve import cli, evaluate, io, linops
from pisolve.prepare import zero_filled

FULL = pi.io.Scan(HEAD.kspace.astype("c8"), mps=HEAD_MPS.astype("c8"))
RADIAL = pi.Sampling("radial", spokes=13)


def error(x, truth):
    return float(np.linalg.norm(x - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize(("sampling", "kind"), [
    (RADIAL, "slice"), (pi.Sampling("radial", 2), "slice"), (pi.Sampling("spiral", 3), "slice"), (RADIAL, "slices"),
    (pi.Sampling("radial", spokes=9), "series"), (pi.Sampling("radial", spokes=200), "3-D"),
    (pi.Sampling("stack-of-stars", spokes=13), "3-D"), (pi.Sampling("stack-of-spirals", 2, spokes=4), "3-D"),
    (pi.Sampling("stack-of-stars", 4), "3-D series")])
def test_it_is_what_the_operator_says_of_the_images(sampling, kind):
    full = scan_of(kind, full=True, noise=0)
    scan = sampling(full)
    truth = object_of(full.axes)
    A = linops.sense(full.mps, coord=scan.coord, axes=scan.axes, shape=scan.kspace.shape)
    assert error(scan.kspace, A(truth.astype("c8"))) < 1e-4
    assert scan.reference.shape == truth.shape
    assert repr(sampling) in scan.meta["simulated_sampling"]
    assert scan.size == truth.shape[-len(scan.size):]
    if kind == "series":  # each frame has spokes of its own
        assert scan.encoding.own_coord
        assert abs(scan.coord[0] - scan.coord[1]).max() > 1


def test_the_number_of_shots():
    assert RADIAL(FULL).kspace.shape[-2:] == (13, 2 * SIDE)
    nyquist = np.pi / 2 * SIDE
    assert pi.Sampling("radial", 4)(FULL).kspace.shape[-2] == np.ceil(nyquist / 4)
    assert pi.Sampling("radial", 1)(FULL).encoding.acceleration == pytest.approx(1, abs=0.05)
    spirals = [pi.Sampling("spiral", accel)(FULL).encoding.acceleration for accel in (1, 2, 4)]
    np.testing.assert_allclose(spirals, [1, 1.8, 3], rtol=0.15)  # the centre is covered by any number of arms
    assert pi.Sampling("spiral", spokes=5)(FULL).kspace.shape[-2] == 5
    k = [pi.Sampling("radial", spokes=5, seed=s)(FULL).coord for s in (0, 1)]
    np.testing.assert_array_equal(k[1], pi.trajectories.radial((SIDE, SIDE), 5, first=5))
    assert abs(k[0] - k[1]).max() > 1


@pytest.mark.parametrize(("make", "words"), [
    (lambda: pi.Sampling("radial", 4, spokes=13), "beside spokes"),
    (lambda: pi.Sampling("random", spokes=9), "spokes is"),
    (lambda: pi.Sampling("radial", center_fraction=0.1), "center_fraction"),
    (lambda: pi.Sampling("radial", (2, 2)), "one number"), (lambda: pi.Sampling("radial", 0.5), "accel"),
    (lambda: pi.Sampling("radial", spokes=0), "spokes"), (lambda: pi.Sampling("stack-of-stars", 4)(FULL), "3-D scans"),
    (lambda: pi.Sampling("spiral", 4)(scan_of("3-D", full=True)), "2-D scans"),
    (lambda: RADIAL(scan_of("slice")), "undersample this scan again"),
    (lambda: pi.Sampling("radial", spokes=9)(RADIAL(FULL)), "samples anywhere"),
    (lambda: RADIAL(FULL._with(field_map=np.ones((SIDE, SIDE)), times=np.ones((SIDE, 1)))), "off_resonance=False"),
    (lambda: RADIAL.pattern(FULL), r"coord\(scan\)"), (lambda: pi.Sampling().coord(FULL), r"pattern\(scan\)"),
    (lambda: pi.Sampling("radial", vary="frame")(FULL), "no 'frame'"),
    (lambda: RADIAL(pi.io.Scan(FULL.kspace, weights=np.ones((SIDE, SIDE)))), "weights")])
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_recipe_keeps_it(tmp_path):
    recipe = pi.Recipe(1e-3 * pi.TV(), sampling=RADIAL, max_iter=20)
    done = recipe(FULL)
    assert done.corrections["simulated"].startswith("Sampling(mask='radial'")
    assert done.x.shape == (SIDE, SIDE)
    recipe.save(tmp_path / "r.json")
    again = pi.Recipe.load(tmp_path / "r.json")
    assert again.sampling == RADIAL
    np.testing.assert_array_equal(again(FULL).x, done.x)
    np.testing.assert_array_equal(recipe(RADIAL(FULL)).x, done.x)  # the scan that it has made already
    assert "spokes" not in pi.Recipe(sampling=pi.Sampling()).to_dict()["sampling"]
    gridded, image = (pi.metrics.psnr(HEAD.image, abs(x)) for x in (zero_filled(done.scan), done.x))
    assert image > gridded + 2


def test_it_is_tuned_and_compared(tmp_path):
    found = pi.recon(FULL, pi.TV(), sampling=RADIAL, tune="holdout", max_iter=15)
    assert 1e-4 < found.tuning.strength < 1e-1
    done = evaluate.compare({"head": FULL}, ["zero-filled", "tv"], spokes=[9, 25], tune=None, folder=tmp_path / "c",
                            report=tmp_path / "r.html")
    assert [s.mask for s in done.settings] == ["radial", "radial"]
    few, many = (done.outcomes[k, "tv"].values["psnr"] for k in (0, 1))
    assert many > few
    assert done.settings[0].sampling == "5.59x radial"
    assert any("simulated" in w for w in done.settings[0].warnings)
    with pytest.raises(ValueError, match="spokes is for"):
        evaluate.compare({"head": FULL}, ["tv"], mask="random", spokes=9)


def test_judges_take_it():
    recipe = pi.Recipe(1e-3 * pi.TV(), sampling=RADIAL, max_iter=4)
    found = evaluate.stability(recipe, FULL, accels=(1, 2, 6), tests=("samples",))
    assert [row["acceleration"] for row in found.samples] == [1, 2, 6]
    assert evaluate.uncertainty(recipe, FULL, by="masks", n=3).std.shape == (SIDE, SIDE)
    made = RADIAL(FULL)
    maps = [evaluate.noise_map(pi.Recipe(0.05 * pi.Tikhonov(), max_iter=6, sampling=s), scan, replicas=40,
                               covariance=2e-4).std for s, scan in ((RADIAL, FULL), (None, made))]
    inside = abs(HEAD.image) > 0.2
    assert np.median(maps[0][inside]) > 0
    # samples closer than a cell share the noise of the grid, which white noise on them would average away
    assert np.median(maps[0][inside] / maps[1][inside]) > 1.2


@pytest.mark.parametrize("words", [["--spokes", "13"], ["--accel", "3", "--mask", "spiral"]])
def test_from_the_command_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", kspace=FULL.kspace, mps=FULL.mps)
    assert cli.main(["recon", "s.npz", "-o", "x.h5", "--prior", "tv", "--max-iter", "5", *words]) == 0
    out = capsys.readouterr().out
    assert "simulated" in out
    assert "PSNR body" in out
    assert cli.main(["recon", "s.npz", "-o", "y.npy", "--recipe", "x.h5"]) == 0
    np.testing.assert_array_equal(np.squeeze(io.load_image("x.h5")), np.squeeze(np.load("y.npy")))
    capsys.readouterr()
    assert cli.main(["recon", "s.npz", "-o", "z.npy", "--spokes", "13", "--accel", "3"]) == 2
    assert "beside spokes" in capsys.readouterr().err
