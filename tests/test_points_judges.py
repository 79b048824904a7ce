"""Whether an image explains samples anywhere, and where something could hide from them; several sets of maps."""

import numpy as np
import pytest
from test_points import HEAD, MPS, NOISE, N, noisy, psnr, radial, volume
from test_points import cine as frames

import pisolve as pi
from pisolve import cli, evaluate, io, linops, trajectories

TRUTH = HEAD.image.astype("c8")
INSIDE = abs(TRUTH) > 0.2
DISC = (np.hypot(*(np.mgrid[:N[0], :N[1]] - np.array([22, 15])[:, None, None])) < 2.5).astype("f4")


@pytest.mark.parametrize("shots", [17, 60])
def test_the_truth_leaves_the_noise(shots):
    scan = radial(shots, mps=MPS)
    found = evaluate.consistency(TRUTH, scan, noise=NOISE)
    samples = scan.kspace.size
    assert found.samples == samples
    assert abs(found.chi**2 - 1) < 5 / np.sqrt(samples)
    assert found.peak < found.limit
    assert np.mean(found.image[abs(TRUTH) > 0] ** 2) / 2 == pytest.approx(1, abs=0.35)  # two parts; blobs overlap
    assert found.unit == "shot"
    assert len(found.lines) == shots
    assert found.kspace.shape == scan.kspace.shape[1:]
    assert found.image.shape == N
    np.testing.assert_allclose(np.mean(np.square(found.lines)), found.chi**2, rtol=1e-5)
    assert sum(r["samples"] for r in found.rings) == samples
    total = sum(r["chi"] ** 2 * r["samples"] for r in found.rings)
    np.testing.assert_allclose(total / samples, found.chi**2, rtol=1e-5)
    assert max(r["high"] for r in found.rings) <= 0.75  # a disc does not reach the corners
    text = str(found.section())
    assert "by shot and sample" in text
    assert "explains the data to the noise" in text


def test_shots_that_were_left_out_do_not_count():
    scan = radial(20, mps=MPS)
    less = scan.undersample((np.arange(20) % 2 == 0)[:, None])
    found = evaluate.consistency(TRUTH, less, noise=NOISE)
    assert found.samples == scan.kspace.size // 2
    assert [v is None for v in found.lines] == [False, True] * 10
    assert not found.kspace[1::2].any()
    assert found.chi == pytest.approx(1, abs=0.05)


def test_a_lesion_that_was_added_is_found_and_one_in_the_object_is_not_missed():
    lesion = 0.15 * DISC * np.exp(1j * np.angle(TRUTH))
    found = evaluate.consistency(TRUTH + lesion.astype("c8"), radial(25, mps=MPS), noise=NOISE,
                                 structures={"lesion": lesion})
    row = found.structures[0]
    assert np.hypot(found.place[0] - 22, found.place[1] - 15) < 3
    assert found.peak > 3 * found.limit
    assert row["verdict"] == "contradicts the data"
    assert row["unsupported"] == pytest.approx(1, abs=0.2)
    assert row["seen"] == pytest.approx(1, abs=0.1)


def test_recipes_frames_volumes_probes_and_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scan = radial(33, mps=MPS)
    done = pi.recon(scan, 1e-4 * pi.Tikhonov(), max_iter=40, tol=1e-6)
    found = evaluate.consistency(done, noise=NOISE, probe=True)
    assert found.chi == pytest.approx(found.expected, rel=0.1)
    assert evaluate.consistency(pi.recon(frames(), 1e-3 * pi.TV(), max_iter=20)).image.shape == (4, *N)
    assert evaluate.consistency(pi.recon(volume(), 1e-3 * pi.TV(), max_iter=5)).image.shape == (10, 12, 14)
    assert evaluate.seen(DISC, scan)["determined"] > 0.5
    np.savez("s.npz", kspace=scan.kspace, coord=scan.coord, size=N, axes=scan.axes, mps=MPS)
    assert cli.main(["consistency", "s.npz", "--prior", "tikhonov"]) in (0, None)
    assert "chi" in capsys.readouterr().out
    assert cli.main(["visibility", "s.npz", "--grid", "4"]) in (0, None)
    assert "determined" in capsys.readouterr().out


def test_where_something_could_hide_is_what_it_is_on_the_grid():
    """Points that are the lines of a grid: the same operator, asked both ways."""
    lines = np.abs(np.arange(N[0]) - N[0] // 2) < 6
    lines |= np.arange(N[0]) % 3 == 0
    y = noisy(linops.sense(MPS)(TRUTH)) * lines[:, None]
    grid = evaluate.visibility(io.Scan(y, np.broadcast_to(lines[:, None], N), MPS), grid=5, noise=NOISE)
    k = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in N), indexing="ij"), -1)[lines]
    points = evaluate.visibility(io.Scan(y[:, lines], coord=k, size=N, mps=MPS), grid=5, noise=NOISE)
    assert abs(grid.determined - points.determined)[INSIDE].max() < 0.08
    np.testing.assert_allclose(points.contrast[INSIDE], grid.contrast[INSIDE], rtol=0.25)
    assert points.level == pytest.approx(grid.level, rel=0.1)


def test_more_spokes_determine_more():
    found = [evaluate.visibility(radial(n, mps=MPS), grid=4, noise=NOISE).to_dict()["median"] for n in (2, 5, 17)]
    assert found == sorted(found)
    assert found[0] < found[-1] - 0.1
    assert found[-1] > 0.9


# --- several sets of maps

def test_an_object_larger_than_the_field_of_view():
    """Its ends fold over, as on a grid: one set of maps contradicts the data there, ESPIRiT's two do not."""
    head = pi.phantom.brain((60, N[1]), 6)
    mps = (head.mps / np.linalg.norm(head.mps, axis=0)).astype("c8")
    k = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in N), indexing="ij"), -1)
    y = noisy(linops.sense(mps, coord=k * [60 / N[0], 1])(head.image.astype("c8")))
    scan = io.Scan(y, coord=k, size=N, axes=("coil", "shot", "sample"))
    one, two = (pi.recon(scan, 1e-3 * pi.Tikhonov(), maps=pi.Espirit(sets=s, crop=0.7), max_iter=30) for s in (1, 2))
    assert two.scan.sets == 2
    assert two.x.shape == N
    assert two.agreement.residual < 0.8 * one.agreement.residual


def test_a_second_set_does_no_harm(tmp_path, monkeypatch):
    scan = radial(33)
    one, two = (pi.recon(scan, 1e-3 * pi.TV(), maps=pi.Espirit(sets=s), max_iter=20) for s in (1, 2))
    assert psnr(two.x) > psnr(one.x) - 1.5
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", kspace=scan.kspace, coord=scan.coord, size=N, axes=scan.axes)
    assert cli.main(["recon", "s.npz", "-o", "x.h5", "--sets", "2", "--max-iter", "3"]) == 0
    assert pi.recon(frames(), 1e-3 * pi.TV(), maps=pi.Espirit(sets=2), max_iter=2).ok
    assert evaluate.consistency(two).image.shape == N


def test_sets_at_points_are_the_sum_of_sense(rng):
    mps, k = pi.testing.random((2, 3, 9, 8), rng), trajectories.radial((9, 8), 5, 12)
    x = pi.testing.random((2, 9, 8), rng)
    A = linops.soft_sense(mps, coord=k)
    parts = [linops.sense(s, coord=k) for s in mps]
    assert pi.testing.distance(A(x), sum(B(one) for B, one in zip(parts, x))) < 1e-6
    y = A(x)
    assert pi.testing.distance(A.H(y), np.stack([B.H(y) for B in parts])) < 1e-6
    assert pi.testing.distance(A.N(x), A.H(y)) < 1e-5
    with pytest.raises(ValueError, match="mask beside coord"):
        linops.soft_sense(mps, np.ones((9, 8), bool), coord=k)
    with pytest.raises(ValueError, match="one set"):
        linops.soft_sense(pi.testing.random((2, 3, 4, 9, 8), rng), coord=trajectories.radial_3d((4, 9, 8), 5, 12))
