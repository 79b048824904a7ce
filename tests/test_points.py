"""Scans whose samples lie anywhere in k-space, through every door: each takes them, or says what to do."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, cli, evaluate, io, linops, nets, testing, trajectories

N, SHOTS, SAMPLES = (40, 36), 25, 80
HEAD = pi.phantom.brain(N, 4)
MPS = (HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)).astype("c8")
NOISE = 0.005
DATA = Path(os.environ.get("PISOLVE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "noncartesian"


def noisy(y, seed=0):
    rng = np.random.default_rng(seed)
    return (y + NOISE * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))).astype("c8")


def radial(shots=SHOTS, seed=0, **more):
    k = trajectories.radial(N, shots, SAMPLES)
    y = noisy(linops.sense(MPS, coord=k)(HEAD.image.astype("c8")), seed)
    return io.Scan(y, coord=k, size=N, axes=("coil", "shot", "sample"), **more)


def cine(frames=4, shots=13):
    """The head, whose brightness beats, each frame with spokes of its own."""
    k = np.stack([trajectories.radial(N, shots, SAMPLES, first=t * shots) for t in range(frames)])
    names = ("frame", "coil", "shot", "sample")
    A = linops.sense(MPS, coord=k, axes=names, shape=(frames, 4, shots, SAMPLES))
    beat = 1 + 0.3 * np.cos(2 * np.pi * np.arange(frames) / frames)
    return io.Scan(noisy(A((HEAD.image * beat[:, None, None]).astype("c8"))), coord=k, size=N, axes=names)


def volume():
    size = (10, 12, 14)
    z, y, x = (np.linspace(-1, 1, n)[(slice(None), *(None,) * (2 - i))] for i, n in enumerate(size))
    ball = (1.0 * (z**2 + y**2 + x**2 < 0.6)).astype("c8")
    k = trajectories.radial_3d(size, 90, 28)
    mps = np.stack([np.exp(-((y - a) ** 2) / 2 + 0 * (x + z)) for a in (-1, 1)])
    mps = (mps / np.linalg.norm(mps, axis=0)).astype("c8")
    return io.Scan(noisy(linops.sense(mps, coord=k)(ball)), coord=k, size=size, mps=mps)


def slices():
    one = radial()
    return io.Scan(np.stack([one.kspace, 0.7 * one.kspace]), coord=one.coord, size=N,
                   axes=("slice", "coil", "shot", "sample"))


KINDS = {"radial": radial, "slices": slices, "cine": cine, "3-D": volume}
EACH = pytest.mark.parametrize("kind", KINDS)


def psnr(image, truth=HEAD.image):
    return float(pi.metrics.psnr(abs(truth), abs(image)))


# --- the scan

@EACH
def test_the_scan_knows_its_axes(kind):
    scan = KINDS[kind]()
    assert scan.image_axes == {"radial": ("y", "x"), "slices": ("slice", "y", "x"), "cine": ("frame", "y", "x"),
                               "3-D": ("z", "y", "x")}[kind]
    assert scan.encoding.describe()["image"] == scan.size
    assert scan.rss().shape == scan.image_shape
    assert scan.image_shape[-len(scan.size):] == scan.size
    assert scan.warnings() == []
    assert "coord" in repr(scan)


def test_density_and_acceleration_are_those_of_spokes():
    grid = radial(60).encoding
    assert grid.density.sum() == pytest.approx(np.pi / 4 * np.prod(N), rel=0.1)
    assert grid.acceleration == pytest.approx(1, abs=0.1)
    assert radial(15).encoding.acceleration == pytest.approx(np.pi / 4 * 38 / 15, rel=0.15)  # a cell counts once


def test_shots_are_left_out_as_lines_are():
    scan = radial()
    less = scan.undersample((np.arange(SHOTS) % 2 == 0)[:, None])
    assert less.encoding.fraction == pytest.approx(13 / 25)
    assert not less.encoding.density[1::2].any()
    direct = io.Scan(scan.kspace[:, ::2], coord=scan.coord[::2], size=N, axes=scan.axes, mps=MPS)
    a, b = (pi.recon(s, 1e-3 * pi.TV(), max_iter=8) for s in (less._with(mps=MPS), direct))
    assert testing.distance(a.x, b.x) < 1e-4
    assert a.scale == pytest.approx(b.scale, rel=1e-4)


def test_a_series_is_averaged_over_all_its_shots():
    scan = cine()
    still = scan.time_average()
    assert still.axes == ("coil", "shot", "sample")
    assert still.coord.shape == (4 * 13, SAMPLES, 2)
    np.testing.assert_array_equal(still.kspace[:, 13:26], scan.kspace[1])
    np.testing.assert_array_equal(still.coord[13:26], scan.coord[1])
    assert still.encoding.acceleration < 1.3 < scan.encoding.acceleration


@pytest.mark.parametrize(("change", "words"), [
    ({"size": None}, "size is needed"), ({"size": (40, 36, 2)}, "one coordinate for each"),
    ({"coord": None}, "size is for scans with coord"), ({"axes": ("coil", "ky", "kx")}, "shot, sample"),
    ({"axes": ("shot", "coil", "sample")}, "must be shot, sample"), ({"axes": ("coil", "spoke", "sample")}, "shot"),
    ({"kspace": np.ones((SHOTS, SAMPLES, 4), "c8"), "axes": None}, r"coils look last.*moveaxis\(kspace, -1, 0\)"),
    ({"weights": np.full((SHOTS, SAMPLES), -1.0)}, "weights"), ({"weights": np.zeros((SHOTS, SAMPLES))}, "weights"),
    ({"weights": np.full((SHOTS, SAMPLES), np.nan)}, "weights"),
    ({"mps": MPS[:, :-1]}, "mps has shape"), ({"coord": np.zeros((3, 3, 2))}, "coord has shape")])
def test_what_does_not_fit_is_refused(change, words):
    scan = radial()
    fields = {"kspace": scan.kspace, "coord": scan.coord, "size": N, "axes": scan.axes} | change
    with pytest.raises((ValueError, TypeError), match=words):
        io.Scan(**fields)
    with pytest.raises(ValueError, match="need coord"):
        io.Scan(scan.kspace, axes=("coil", "shot", "sample"))


def test_coordinates_of_a_smaller_matrix_are_doubted():
    scan = radial()
    for share, told in ((0.5, True), (0.95, False)):
        found = io.Scan(scan.kspace, coord=share * scan.coord, size=N).warnings()
        assert any("matrix of 20 x 18, multiply them by 2" in w for w in found) == told
        assert bool(found) == told


def test_fewer_samples_than_pixels_want_a_prior():
    k = trajectories.radial(N, 4, 40)
    scan = io.Scan(noisy(linops.sense(MPS, coord=k)(HEAD.image.astype("c8"))), coord=k, size=N, mps=MPS)
    with pytest.warns(UserWarning, match=r"640 samples of 4 coils are fewer than the 1,440 pixels"):
        done = pi.recon(scan, pi.Zero(), max_iter=2)
    assert any("no prior" in d for d in done.agreement.doubts)
    for one, prior in ((scan, 1e-2 * pi.TV()), (radial(12, mps=MPS), pi.Zero())):
        assert not any("no prior" in d for d in pi.recon(one, prior, max_iter=2).agreement.doubts)


# --- recon

@EACH
@pytest.mark.parametrize("prior", [1e-3 * pi.Tikhonov(), 1e-3 * pi.Wavelet(), 1e-3 * pi.TV(), 5e-4 * pi.TGV(),
                                   pi.PnP(lambda x, sigma: x / (1 + sigma), sigma=0.01)])
def test_any_prior(kind, prior):
    scan = KINDS[kind]()
    done = pi.recon(scan, prior, max_iter=6)
    assert done.ok
    assert done.x.shape == scan.image_shape
    assert done.axes == scan.image_axes
    assert done.agreement.residual < 0.5


def test_the_image_is_right_and_priors_help():
    scan = radial(17, mps=MPS)
    gridded, done = psnr(scan.rss()), {n: psnr(pi.recon(scan, p, max_iter=60).x) for n, p in (
        ("cg", pi.Zero()), ("tv", 1e-3 * pi.TV()))}
    assert done["tv"] > done["cg"] + 0.3
    assert done["cg"] > gridded + 5
    assert done["tv"] > 28


def test_frames_help_each_other():
    scan = cine()
    beat = 1 + 0.3 * np.cos(2 * np.pi * np.arange(4) / 4)
    truth = HEAD.image * beat[:, None, None]
    apart = pi.recon(scan, 1e-3 * pi.TV(), each=("slice", "frame"), max_iter=20)
    low = pi.recon(scan, 2e-2 * pi.LLR(), max_iter=40)
    assert psnr(low.x, truth) > psnr(apart.x, truth)
    np.testing.assert_allclose(pi.recon(scan.select(frame=slice(1, 3)), 1e-3 * pi.TV(), max_iter=3).x.shape[0], 2)


def test_a_network_and_methods_of_a_grid():
    scan = radial()
    network = nets.load("modl-brain")
    assert pi.recon(scan, network=network).ok
    for method in (pi.Grappa(), pi.Spirit(), pi.Raki()):
        with pytest.raises(ValueError, match="take Sense"):
            pi.recon(scan, method=method)
    with pytest.raises(ValueError, match=r"scan\.undersample"):
        pi.recon(scan, sampling=pi.Sampling())
    with pytest.raises(ValueError, match="by='svd'"):
        pi.recon(scan, compress=pi.Compress(2, by="gcc"))
    assert pi.recon(scan, 1e-3 * pi.TV(), compress=pi.Compress(3), max_iter=3).ok


def test_joint_maps_need_no_covered_centre():
    """A few spokes: ESPIRiT takes the gridded centre, which they do not cover."""
    k = trajectories.radial(N, 7, SAMPLES)
    y = noisy(linops.sense(MPS, coord=k)(HEAD.image.astype("c8")))
    body = abs(HEAD.image) > 0.2

    def off(mps):
        mps = mps / np.maximum(np.linalg.norm(mps, axis=0), 1e-6)
        overlap = abs((mps.conj() * MPS).sum(0))[body]
        return float(np.sqrt(np.mean(1 - np.minimum(overlap, 1) ** 2)))

    joint = off(calib.jsense(y, coord=k, shape=N, iterations=8))
    gridded = off(calib.espirit(calib.gridded(y, k, N), calib_width=24))
    assert joint < 0.7 * gridded
    done = pi.recon(io.Scan(y, coord=k, size=N), 1e-3 * pi.TV(), maps=pi.JSense(iterations=8), max_iter=5)
    assert off(done.scan.mps) == pytest.approx(joint, rel=1e-3)
    with pytest.raises(ValueError, match="samples lie in the centre"):
        calib.jsense(y[:, :, :6], coord=k[:, :6], shape=N)
    with pytest.raises(ValueError, match="coord needs shape"):
        calib.jsense(y, coord=k)


# --- the doors around it

def test_tuning_withholds_shots():
    scan = radial(17)._with(mps=MPS)
    units = scan.encoding.units()
    assert units.shape[-2:] == (17, 1)
    found = pi.recon(scan, pi.TV(), tune="holdout", max_iter=20)
    best = max(psnr(pi.recon(scan, lam * pi.TV(), max_iter=20).x) for lam in (1e-4, 1e-3, 3e-3, 1e-2, 1e-1))
    assert psnr(found.x) > best - 1.0


def test_the_noise_map_is_the_spread_of_reconstructions():
    recipe = pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=6, tol=0)
    one = radial(seed=1, mps=MPS, noise=noisy(np.zeros((4, 4000), "c8"), 9))
    found = pi.noise_map(recipe, one, replicas=60, seed=3)
    images = np.stack([pi.recon(radial(seed=s, mps=MPS), recipe.prior, max_iter=6, tol=0).x for s in range(60)])
    spread = images.std(0)
    inside = abs(HEAD.image) > 0.2
    assert np.median(found.std[inside] / spread[inside]) == pytest.approx(1, abs=0.15)


def test_judges(tmp_path):
    scan = radial(mps=MPS)
    recipe = pi.Recipe(1e-3 * pi.TV(), max_iter=4)
    assert evaluate.stability(recipe, scan).perturbation.rows
    assert evaluate.uncertainty(recipe, scan).std.shape == N
    found = evaluate.compare({"s": scan}, ["zero-filled", "tikhonov", "tv"], tune=None, reference=abs(HEAD.image),
                             folder=tmp_path / "c", report=tmp_path / "r.html")
    assert found.mean("tv", "psnr") > found.mean("zero-filled", "psnr")
    blind = evaluate.compare({"s": scan}, ["tikhonov", "tv"], tune=None)  # by shots that are withheld
    assert blind.ranked_by.startswith("holdout")
    assert all(o.status != "failed" for o in blind.outcomes.values())
    with pytest.raises(ValueError, match="there none of it would show"):
        evaluate.crimes(scan)


# --- files

@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@EACH
def test_files_and_the_command_line(kind, suffix, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scan = KINDS[kind]()
    kspace, coord, names = scan.kspace, scan.coord, [{"shot": "spoke"}.get(a, a) for a in scan.axes]
    if suffix == ".npz":
        np.savez("s.npz", kspace=kspace, coord=coord, size=scan.size, axes=names)
    else:
        with h5py.File("s.h5", "w") as file:
            file["kspace"], file["coord"] = kspace, coord
            file.attrs["img_shape"], file.attrs["axes"] = scan.size, ",".join(names)
    read = io.load(f"s{suffix}")
    assert read.axes == scan.axes
    assert read.size == scan.size
    np.testing.assert_array_equal(read.kspace, scan.kspace)
    assert cli.main(["info", f"s{suffix}"]) in (0, None)
    told = capsys.readouterr().out
    assert f"{scan.kspace.shape[-2]} shots of {scan.kspace.shape[-1]} samples" in told
    assert cli.main(["recon", f"s{suffix}", "-o", "x.h5", "--prior", "tv", "--max-iter", "4", "--png", "x.png"]) == 0
    assert cli.main(["recon", f"s{suffix}", "-o", "y.npy", "--recipe", "x.h5"]) == 0
    image = io.load_image("x.h5")
    np.testing.assert_array_equal(np.squeeze(image), np.squeeze(np.load("y.npy")))
    assert np.squeeze(image).shape == tuple(n for n in scan.image_shape if n > 1)


def test_a_file_without_a_size_says_what_was_assumed(tmp_path):
    scan = radial()
    np.savez(tmp_path / "s.npz", kspace=scan.kspace, coord=scan.coord)
    read = io.load(tmp_path / "s.npz")
    assert read.size == N
    assert "does not say the size" in read.warnings()[0]


# --- delays and factors of shots

@pytest.mark.parametrize("S", [np.array([[0.6, 0.1], [0.1, -0.3]]), np.zeros((2, 2)), np.diag([-0.4, 0.9])])
def test_delays_are_found(S):
    k = trajectories.radial((64, 64), 33, 128, angles="uniform full")
    head = pi.phantom.brain((64, 64), 4)
    y = noisy(linops.sense(head.mps.astype("c8"), coord=calib.delayed(k, S))(head.image.astype("c8")))
    np.testing.assert_allclose(calib.delays(y, k, (64, 64)), S, atol=0.02)


def test_factors_of_shots_are_found():
    scan = radial()
    a = (1 + 0.5 * np.exp(-np.arange(SHOTS) / 5)) * np.exp(0.3j * np.sin(np.arange(SHOTS)))
    found = calib.shot_factors(scan.kspace * a[:, None], scan.coord)
    np.testing.assert_allclose(found / found[-1], a / a[-1], atol=0.03)


@pytest.mark.skipif(not DATA.exists(), reason="the shared scans are not here (PISOLVE_DATA)")
def test_the_radial_phantom_agrees_with_itself_once_its_transient_is_out():
    scan = io.load(DATA / "phantom_radial33_17ch.h5").select(1)
    kspace = scan.kspace[0]
    factors = calib.shot_factors(kspace, scan.coord)
    assert abs(factors[0]) > 1.5 * abs(factors[-1])  # into the steady state
    before, after = (pi.recon(scan, 3e-3 * pi.TV(), max_iter=20, shot_factors=f) for f in (False, "auto"))
    assert after.agreement.residual < 0.5 * before.agreement.residual
    assert "times the mean" in after.corrections["shots"]
    assert not after.agreement.doubts


@pytest.mark.skipif(not DATA.exists(), reason="the shared scans are not here (PISOLVE_DATA)")
def test_the_radial_phantom_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["recon", str(DATA / "phantom_radial33_17ch.h5"), "-o", "x.h5", "--slices", "1", "--max-iter", "5"]
    assert cli.main(line) == 0
    assert "times the mean" in capsys.readouterr().out
    assert np.squeeze(io.load_image("x.h5")).shape == (128, 128)
