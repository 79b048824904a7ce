"""Delays of gradients and factors of shots: found and taken out by a recipe, and said."""

import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, cli, io, linops, trajectories
from pisolve.prepare.shots import look

N, SHOTS, SAMPLES = (48, 48), 33, 96
HEAD = pi.phantom.brain(N, 4)
MPS = (HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)).astype("c8")
K = trajectories.radial(N, SHOTS, SAMPLES, angles="uniform full")
S = np.array([[0.7, 0.1], [0.1, -0.4]])
QUICK = {"prior": 1e-3 * pi.TV(), "max_iter": 15}


def radial(S=None, factors=None, k=K, noise=0.003):
    at = k if S is None else calib.delayed(k, S)
    y = linops.sense(MPS, coord=at)(HEAD.image.astype("c8"))
    rng = np.random.default_rng(0)
    y = y + noise * rng.standard_normal((*y.shape, 2)).view(complex)[..., 0]
    y = y if factors is None else y * factors[:, None]
    return io.Scan(y.astype("c8"), coord=k, size=N, mps=MPS)


def psnr(image):
    return float(pi.metrics.psnr(HEAD.image, abs(image)))


def test_nothing_is_done_where_there_is_nothing():
    scan = radial()
    done, plain = pi.recon(scan, **QUICK), pi.recon(scan, delays=None, shot_factors=False, **QUICK)
    np.testing.assert_array_equal(done.x, plain.x)
    assert "too small to matter" in done.corrections["delays"]
    assert "too small to matter" in done.corrections["shots"]
    assert plain.corrections == {}
    found = look(scan)
    assert not found.delayed
    assert not found.uneven


def test_delays_are_found_told_and_taken_out():
    scan = radial(S)
    done, plain, given = (pi.recon(scan, delays=d, **QUICK) for d in ("auto", None, S))
    clean = psnr(pi.recon(radial(), **QUICK).x)
    assert psnr(plain.x) < clean - 3
    assert psnr(done.x) > clean - 0.5
    assert psnr(given.x) > clean - 0.5
    assert done.corrections["delays"] == "y 0.70, x -0.40, xy 0.10 samples"
    assert given.corrections["delays"].endswith("as given")
    np.testing.assert_allclose(done.scan.coord, calib.delayed(K, S), atol=0.05)
    again = pi.recon(done, **QUICK)  # a scan that is corrected stays so
    np.testing.assert_array_equal(again.scan.coord, done.scan.coord)


def test_factors_are_found_told_and_taken_out():
    a = (1 + 1.5 * np.exp(-np.arange(SHOTS) / 4)) * np.exp(0.4j * np.sin(np.arange(SHOTS)))
    scan = radial(S, a)
    done = pi.recon(scan, **QUICK)
    assert "times the mean" in done.corrections["shots"]
    np.testing.assert_allclose(look(scan).delays, S, atol=0.05)
    plain = pi.recon(scan, shot_factors=False, delays=None, **QUICK)
    scale = abs(HEAD.image).sum() / abs(done.x).sum()
    assert psnr(done.x * scale) > psnr(plain.x) + 5
    with pytest.raises(ValueError, match="leave it out"):
        pi.recon(io.Scan(HEAD.kspace.astype("c8"), mps=MPS), shot_factors=True)


@pytest.mark.parametrize(("delays", "kind", "words"), [
    ("ring", ValueError, "delays"), ((0.1, 0.2, 0.3), ValueError, "of 3 axes"), ("0.3,0.1", ValueError, "delays"),
    ((1, np.nan), ValueError, "finite"), (3.0, ValueError, "one finite number for each axis"),
    ([[0, 1], [2, 0]], ValueError, "symmetric"), ((2e-6, 100), ValueError, "microseconds"), ({}, TypeError, "delays")])
def test_bad_delays(delays, kind, words):
    with pytest.raises(kind, match=words):
        pi.recon(radial(), delays=delays, **QUICK)


def test_a_scan_on_a_grid_has_none():
    scan = io.Scan(HEAD.kspace.astype("c8"), mps=MPS)
    assert pi.recon(scan, **QUICK).corrections == {}
    with pytest.raises(ValueError, match="on a grid"):
        pi.recon(scan, delays=(0.1, 0.2), **QUICK)


def test_a_recipe_keeps_them(tmp_path):
    assert "delays" not in pi.Recipe().to_dict()
    for delays in (None, (0.5, -0.25), ((0.5, 0.1), (0.1, 0.25))):
        recipe = pi.Recipe(delays=delays, shot_factors=True, **QUICK)
        recipe.save(tmp_path / "r.json")
        again = pi.Recipe.load(tmp_path / "r.json")
        assert again.delays == delays
        assert again.shot_factors is True


def test_series_slices_and_stacks():
    one = radial(S)
    slices = io.Scan(np.stack([one.kspace, 2 * one.kspace]), coord=K, size=N, axes=("slice", "coil", "shot", "sample"))
    k = np.stack([K[:16], K[16:32]])
    frames = io.Scan(np.stack([one.kspace[:, :16], 2 * one.kspace[:, 16:32]]), coord=k, size=N,
                     axes=("frame", "coil", "shot", "sample"))
    stack = io.Scan(np.stack([one.kspace, 3 * one.kspace], 1), coord=K, size=(2, *N),
                    axes=("coil", "kz", "shot", "sample"))
    for scan in (slices, frames, stack):
        found = look(scan)
        np.testing.assert_allclose(found.delays, S, atol=0.05)
        assert (found.factors is None) == (scan is not slices)
    assert look(slices).factors.shape == (2, SHOTS)


def test_other_trajectories_are_left_alone():
    k = trajectories.spiral(N, 8, 600)
    scan = radial(S, k=k)
    assert look(scan) == (None, None)
    assert pi.recon(scan, **QUICK).corrections == {}
    assert psnr(pi.recon(scan, delays=S, **QUICK).x) > psnr(pi.recon(scan, **QUICK).x) + 3


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scan = radial(S)
    np.savez("s.npz", kspace=scan.kspace, coord=K, size=N, mps=MPS)
    assert cli.main(["info", "s.npz"]) in (0, None)
    assert "y 0.70, x -0.40, xy 0.10 samples" in capsys.readouterr().out
    run = ["recon", "s.npz", "-o", "x.h5", "--prior", "tv", "--max-iter", "5"]
    assert cli.main(run) == 0
    assert "y 0.70, x -0.40, xy 0.10 samples" in capsys.readouterr().out
    assert cli.main([*run, "--delays", "0.7,-0.4"]) == 0
    assert "as given" in capsys.readouterr().out
    assert cli.main([*run, "--delays", "none", "--shot-factors", "no"]) == 0
    assert "samples\n" not in capsys.readouterr().out.partition("delays")[2][:40]
