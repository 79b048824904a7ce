"""Every kind of scan through recon: five kinds of prior, a network, run again from a file; and what went wrong once."""

import json
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
from cases import AXES, HEAD, HEAD_MPS, SCANS, SHOTS, SIDE, lines_of, object_of, quadratic_denoiser, scan_of

import pisolve as pi
from pisolve import linops, masks
from pisolve.backend import fft
from pisolve.prepare import sense_of

SERIES = [kind for kind, axes in AXES.items() if {"frame", "echo"} & set(axes)]
PRIORS = {"quadratic": 0.02 * pi.Tikhonov(), "wavelet": 2e-3 * pi.Wavelet("haar"), "tv": 1e-3 * pi.TV(),
          "low rank": 0.02 * pi.LLR(block=4), "denoiser": pi.PnP(quadratic_denoiser, sigma=1.0)}
kinds = pytest.mark.parametrize("kind", AXES)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_refused(call, kinds, message):
    with pytest.raises(kinds, match=message):
        call()


def error(x, truth):
    return float(np.linalg.norm(x - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("name", PRIORS)
@kinds
def test_priors(kind, name):
    scan, prior = SCANS[kind], PRIORS[name]
    if name == "low rank" and kind not in SERIES:
        check_refused(lambda: pi.recon(scan, prior), ValueError, "LLR.* is for a series of images")
        return
    done = pi.recon(scan, prior, max_iter=25)
    truth = object_of(AXES[kind])
    assert done.ok
    images = {"ky": "y", "kx": "x", "kz": "z", "shot": "y", "sample": "x"}
    assert done.axes == tuple(images.get(a, a) for a in AXES[kind] if a != "coil")
    assert done.x.shape == truth.shape
    inner = len(scan.encoding.encoded)
    coils = scan.encoding.gridded(scan.kspace) if kind in SHOTS else (
        fft(scan.kspace, tuple(range(-inner, 0)), inverse=True))
    zero_filled = error((coils * np.conj(scan.mps)).sum(-1 - inner), truth)
    if name == "denoiser":  # which blurs 32 pixels much: the object, blurred, whatever the kind
        smooth = quadratic_denoiser(truth, 1.0)
        assert error(done.x, truth) < 1.1 * error(smooth, truth)
    else:  # one coil knows little
        assert error(done.x, truth) < (1.1 if kind == "one coil" else 0.9) * zero_filled


@kinds
def test_a_network(kind):
    """Every (y, x) plane goes through the network, and data consistency is that of the whole unknown."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = pi.nets.modl(iterations=2, inner=10)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim > 1:
                p.zero_()  # a network that changes nothing leaves data consistency alone: MoDL is CG-SENSE then
    done = pi.recon(SCANS[kind], network=network)
    assert done.ok
    assert done.x.shape == object_of(AXES[kind]).shape
    scan = SCANS[kind]
    assert error(sense_of(scan)(done.x), scan.kspace) < 0.35


@kinds
def test_saved_and_run_again(kind, tmp_path):
    recipe = pi.Recipe(1e-3 * pi.TV(), max_iter=5, each=("slice", "x") if kind == "3-D" else ("slice",))
    done = recipe(SCANS[kind])
    done.save(tmp_path / "a.h5")
    assert pi.io.image_axes(tmp_path / "a.h5")[-done.x.ndim:] == done.axes
    kept = pi.io.load_image(tmp_path / "a.h5")
    np.testing.assert_array_equal(np.squeeze(kept), np.squeeze(done.x))
    with h5py.File(tmp_path / "a.h5") as file:
        again = pi.Recipe.from_dict(json.loads(file.attrs["recipe"]))
    assert again.each == recipe.each
    np.testing.assert_array_equal(again(SCANS[kind]).x, done.x)


# --- what is one problem, and what are several


def test_frames_apart_are_the_frames_alone():
    """A quadratic problem does not depend on the scale, so each frame is what it would be as a scan of its own."""
    done = pi.recon(SCANS["series"], 0.02 * pi.Tikhonov(), each=("slice", "frame"), tol=1e-6)
    assert len(done.results) == 4
    for k in range(4):
        part = SCANS["series"].select(frame=k)
        alone = pi.recon(pi.io.Scan(part.kspace[0], part.mask, part.mps), 0.02 * pi.Tikhonov(), tol=1e-6)
        scale = done.scale / alone.scale
        assert error(done.x[k], alone.x) < 1e-4, scale


def test_a_framewise_prior_does_not_need_to_be_taken_apart():
    joint, apart = (pi.recon(SCANS["series"], 0.02 * pi.Tikhonov(), each=each, tol=1e-7, max_iter=200).x
                    for each in (("slice",), ("slice", "frame")))
    assert error(joint, apart) < 1e-4


def test_planes_of_a_volume_are_its_problem_where_the_prior_allows_it():
    whole, planes = (pi.recon(SCANS["3-D"], 0.02 * pi.Tikhonov(), each=each, tol=1e-7, max_iter=200)
                     for each in (("slice",), ("slice", "x")))
    assert len(planes.results) == SIDE
    assert error(planes.x, whole.x) < 1e-4


def test_three_axes_beat_planes():
    truth = np.stack([HEAD.image] * 8)
    rng, mps = np.random.default_rng(0), np.stack([HEAD_MPS] * 8, 1)
    mask = np.random.default_rng(2).random((8, SIDE, 1)) < 0.5
    kspace = linops.sense(mps, mask, axes=AXES["3-D"])(truth.astype(complex))
    kspace = kspace + 0.1 * mask * rng.standard_normal((*kspace.shape, 2)).view(complex)[..., 0]
    scan = pi.io.Scan(kspace.astype(np.complex64), mask, mps.astype(np.complex64), axes=AXES["3-D"])
    whole, planes = (min(error(pi.recon(scan, lam * pi.TV(), each=each, max_iter=40).x, truth)
                         for lam in (3e-3, 1e-2, 3e-2)) for each in (("slice",), ("slice", "x")))
    assert whole < 0.97 * planes


@pytest.mark.parametrize(("kind", "each", "message"), [
    ("slice", ("frame",), "each='frame': the scan has the axes y, x"), ("3-D", ("y",), "ky was undersampled"),
    ("slice", ("x",), "this one is 2-D"), ("series", "frames", "each='frames': the scan has the axes frame"),
    ("series", 3, "each must be names")])
def test_what_cannot_be_taken_apart(kind, each, message):
    check_refused(lambda: pi.recon(SCANS[kind], pi.Zero(), each=each), (TypeError, ValueError), message)


@pytest.mark.parametrize("method", [pi.Grappa(), pi.Spirit(), pi.Raki()])
@pytest.mark.parametrize("kind", ["series", "3-D", "series of slices"])
def test_methods_of_planes_say_how(kind, method):
    check_refused(lambda: pi.recon(SCANS[kind], method=method), ValueError, r"give each=\('slice', '(frame|x)'\)")


def test_side_by_side_gives_the_same_bits(monkeypatch):
    recipe = pi.Recipe(1e-3 * pi.TV(), max_iter=5, each=("slice", "frame"))
    several = recipe(SCANS["series of slices"])
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    np.testing.assert_array_equal(recipe(SCANS["series of slices"]).x, several.x)


def test_an_error_in_one_part_comes_out():
    class Bad(pi.Prior):
        def value(self, x):
            return 0.0

        def prox(self, x, step):
            raise ZeroDivisionError("of the user's own")

    with pytest.raises(ZeroDivisionError, match="of the user's own"):
        pi.recon(SCANS["slices"], Bad())


# --- what once went wrong in silence


def test_rows_are_never_taken_for_time():
    for prior in (pi.TemporalFFT(), pi.Nuclear(), pi.LLR(), pi.TV(axes=(0,)), pi.TV(axes=(0, -2, -1)), pi.L21(),
                  pi.DCT(axes=(0,)), pi.TV(axes=("frame",)), pi.TemporalFFT(axis=0), 0.1 * pi.TV() + 0.1 * pi.Nuclear(),
                  pi.InfimalConvolution(pi.Nuclear(), pi.TemporalFFT())):
        for kind in ("slice", "slices", "3-D"):
            check_refused(lambda p=prior, k=kind: pi.recon(SCANS[k], 1e-2 * p), ValueError,
                    "the unknown|which has the axes|the scan has")


def test_axes_by_number_and_by_name_are_the_same():
    for by_name, by_number in ((pi.TV(axes=("frame",)), pi.TV(axes=(0,))), (pi.TV(axes=("y",)), pi.TV(axes=(-2,))),
                               (pi.TemporalFFT(), pi.TemporalFFT(axis=-3)), (pi.Nuclear(), pi.Nuclear(axis=0))):
        first, second = (pi.recon(SCANS["series"], 1e-2 * p, max_iter=5).x for p in (by_name, by_number))
        np.testing.assert_array_equal(first, second)


def test_a_series_without_a_mask_has_the_frames_own():
    scan = scan_of("series")
    bare = pi.io.Scan(scan.kspace, mps=scan.mps, axes=scan.axes)
    options = {"max_iter": 60}
    done = pi.recon(bare, 5e-3 * pi.TemporalFFT(), **options)
    np.testing.assert_array_equal(done.scan.mask[..., 0], scan.mask[..., 0])
    np.testing.assert_array_equal(done.x, pi.recon(scan, 5e-3 * pi.TemporalFFT(), **options).x)
    union = replace(bare, mask=masks.estimate(scan.kspace))
    truth = object_of(AXES["series"])
    assert error(done.x, truth) < 0.8 * error(pi.recon(union, 5e-3 * pi.TemporalFFT(), **options).x, truth)
    (told,) = [w for w in bare.warnings() if "there is no mask" in w]
    assert "for each frame by itself" in told


def test_a_lattice_that_moves_from_frame_to_frame_is_told_as_it_is():
    """Sixteen frames at 5x whose union is nearly everything."""
    keep = np.zeros((16, SIDE, 1), bool)
    for k in range(16):
        keep[k, k % 5::5] = True
    kspace = np.stack([HEAD.kspace] * 16) * keep[:, None]
    scan = pi.io.Scan(kspace, axes=("frame", "coil", "ky", "kx"))
    done = pi.recon(scan, 0.01 * pi.TV(axes=("frame",)), mps=HEAD_MPS, max_iter=30)
    assert abs(done.scan.encoding.fraction - 0.2) < 0.01
    assert done.scan.encoding.own == ("frame",)
    truth = np.stack([HEAD.image] * 16)
    alone = pi.recon(scan, 1e-3 * pi.TV(), mps=HEAD_MPS, each=("slice", "frame"), max_iter=30)
    assert error(done.x, truth) < 0.8 * error(alone.x, truth)


def test_slices_with_lines_of_their_own():
    keep = lines_of(3)
    kspace = np.stack([HEAD.kspace] * 3) * keep[:, None]
    own = pi.io.Scan(kspace, keep, HEAD_MPS)
    done = pi.recon(own, 1e-3 * pi.TV(), max_iter=10)
    for z in range(3):
        alone = pi.recon(pi.io.Scan(kspace[z], keep[z], HEAD_MPS), 0.02 * pi.Tikhonov(), tol=1e-6)
        assert error(pi.recon(own, 0.02 * pi.Tikhonov(), tol=1e-6).x[z], alone.x) < 1e-4
    assert done.scan.mask.shape == (3, SIDE, SIDE)


def test_empty_slices_are_zero_and_the_others_whole():
    scan = scan_of("slices")
    kspace = np.concatenate([scan.kspace, 0 * scan.kspace[:1]])
    for mask in (scan.mask, None):
        whole = pi.io.Scan(kspace, mask)
        done = pi.recon(whole, 1e-3 * pi.TV(), max_iter=10)
        assert [r.status for r in done.results][2] == "empty"
        assert not done.x[2].any()
        assert done.ok
        assert not done.failed
        assert done.x[:2].any()
    mps = np.stack([HEAD_MPS, HEAD_MPS, 0 * HEAD_MPS])
    done = pi.recon(pi.io.Scan(np.concatenate([scan.kspace, scan.kspace[:1]]), scan.mask, mps), pi.Zero())
    assert [r.status for r in done.results][2] == "empty"
    none = np.where(np.arange(SIDE) < 0, HEAD_MPS, 0) + 1e-30
    check_refused(lambda: pi.recon(pi.io.Scan(scan.kspace, scan.mask, none)), ValueError, "mps")


def test_one_slice_that_diverges_does_not_end_the_others():
    calls = []

    def denoiser(x, sigma):
        calls.append(1)
        return x * np.nan if len(calls) > 30 else x / (1 + sigma)

    scan = scan_of("slices")
    done = pi.recon(scan, pi.PnP(denoiser, sigma=0.1), max_iter=25)
    assert not done.ok
    assert done.failed == {"slice 1": "nonfinite"}
    assert np.isfinite(done.x).all()
    truth = object_of(AXES["slices"])
    assert error(done.x[1], truth[1]) < 0.5  # its SENSE image


def test_an_array_in_another_order_is_noticed():
    volume = scan_of("3-D", full=True)
    found = pi.io.Scan(np.ascontiguousarray(volume.kspace.transpose(0, 2, 1, 3)[:, :, :, :])).warnings()
    assert any("the axes look permuted" in w for w in found)
    assert sum("dead" in w for w in found) <= 1
    scan = pi.io.Scan(volume.kspace.transpose(1, 3, 2, 0), axes=("kz", "kx", "ky", "coil"))
    np.testing.assert_array_equal(scan.kspace, volume.kspace)
    assert not any("permuted" in w for w in scan.warnings())


@pytest.mark.parametrize(("axes", "shape", "message"), [
    (("frames", "coil", "ky", "kx"), (2, 3, 8, 8), "write 'frame'"), (("coil", "ky", "kx"), (2, 3, 8, 8), "one name"),
    (("frame", "coil", "ky"), (2, 3, 8), "two or three of"), (("frame", "frame", "ky", "kx"), (2, 3, 8, 8), "twice"),
    (("Frame", "coil", "ky", "kx"), (2, 3, 8, 8), "lower-case"), (("maps", "coil", "ky", "kx"), (2, 3, 8, 8), "sets"),
    (None, (2, 2, 3, 8, 8), "name them"), (("frame", "coil", "y", "x"), (2, 3, 8, 8), "write 'ky'")])
def test_names_at_the_door(axes, shape, message):
    check_refused(lambda: pi.io.Scan(np.ones(shape, complex), axes=axes), ValueError, message)


def test_wavelets_of_a_single_row_have_levels():
    x = np.repeat(np.random.default_rng(0).standard_normal(32), 8)[None] + 0j
    assert pi.linops.wavelet(x.shape, "haar").levels == 5
    assert pi.Wavelet("haar").value(x) < 0.5 * abs(x).sum()
    np.testing.assert_allclose(pi.Wavelet("haar").value(x), pi.Wavelet("haar").value(x.T), rtol=1e-12)


def test_the_progress_bar_counts_parts(capsys):
    pi.recon(SCANS["slices"], 0.02 * pi.Tikhonov(), progress=True)
    assert "parts" in capsys.readouterr().err


def test_maps_of_a_series_need_no_centre_in_any_frame():
    """A lattice that moves: no frame has a centre, all together have."""
    keep = np.zeros((4, SIDE, 1), bool)
    for k in range(4):
        keep[k, k::4] = True
    kspace = np.stack([HEAD.kspace] * 4) * keep[:, None]
    done = pi.recon(pi.io.Scan(kspace, keep, axes=("frame", "coil", "ky", "kx")), 0.01 * pi.Nuclear(), max_iter=30)
    full = pi.recon(pi.io.Scan(HEAD.kspace), pi.Zero(), max_iter=10)
    assert error(done.scan.mps, full.scan.mps) < 1e-3
    assert error(done.x[0], full.x) < 0.15
