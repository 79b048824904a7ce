"""Every kind of scan through the doors that tune, compare and judge: each takes it, or says what to do."""

import json
import warnings

import numpy as np
import pytest
from cases import AXES, HEAD, HEAD_MPS, SCAN_NOISE, SCANS, SHOTS, SIDE, SIZES, lines_of, object_of, scan_of

import pisolve as pi
from pisolve import evaluate, linops, metrics, tuning
from pisolve.backend import fft
from pisolve.evaluate.job import prepared
from pisolve.evaluate.plan import Plan, make
from pisolve.evaluate.planes import filled, flat
from pisolve.prepare import Grappa, Spirit, fully_sampled, like_rss, models_of, prepare, sense_of, zero_filled
from pisolve.tuning.data import Data, centre

RUN = {"max_iter": 6}
N, COILS, NOISE, MPS, BRAIN = SIDE, len(HEAD_MPS), SCAN_NOISE, HEAD_MPS, HEAD
FULL = {kind: scan_of(kind, full=True) for kind in ("slice", "slices", "series", "series of slices", "3-D")}
TIKHONOV = pi.Recipe(0.05 * pi.Tikhonov(), **RUN)
kinds = pytest.mark.parametrize("kind", AXES)


def data_of(scan):
    return Data(pi.Problem(sense_of(scan), scan.kspace))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- what is withheld


@kinds
def test_what_is_withheld_are_units_of_the_sampling(kind):
    part = prepare(SCANS[kind], pi.Espirit()).parts()[0]
    data = data_of(part)
    units, sets = part.encoding.units(), data.split(folds=3, share=0.25, seed=0)
    assert len(sets) == 3
    mask = np.broadcast_to(part.mask, data.sampled.shape)
    for out in sets:
        assert out.any()
        assert not (out & ~mask).any()
        number = np.broadcast_to(units, out.shape)
        for unit in np.unique(number[out]):
            assert out[number == unit].all(), "a line or point was torn apart"
        if kind in SHOTS:  # shots go through the centre
            continue
        for own in (mask & ~out).reshape(-1, *out.shape[-len(part.encoding.encoded):]):
            assert min(centre(own)) >= 4, "the centre stays"
    assert not sum(s.astype(int) for s in sets).max() > 1


def test_frames_lose_lines_of_their_own():
    data = data_of(SCANS["series"])
    out = data.split(folds=1, share=0.25, seed=0)[0]
    lost = out[..., 0]
    assert out.shape == (SIZES["frame"], N, N)
    assert (out == out[..., :1]).all()
    assert any((lost[0] != lost[k]).any() for k in range(1, len(lost)))
    count = int(SCANS["series"].mask[..., 0].sum() - 4 * 8 - _grown(SCANS["series"].mask))
    assert abs(int(lost.sum()) - round(0.25 * count)) <= 1, "a quarter of the lines of all frames outside the centre"
    shared = pi.io.Scan(FULL["series"].kspace * lines_of(), mask=lines_of(), mps=SCANS["series"].mps,
                        axes=AXES["series"])
    assert data_of(shared).split(folds=1, share=0.25, seed=0)[0].shape == (N, N), "one mask: lines of all frames"


def _grown(mask):
    """How many lines more than eight the full centre of each frame has."""
    return sum(centre(m & np.ones(N, bool))[0] - 8 for m in mask)


def test_a_single_mask_is_split_as_ever():
    """The same bits as before there were axes: permuted lines outside the centre."""
    scan = SCANS["slice"]
    size = centre(scan.mask)[0]
    outside = scan.mask[:, 0].copy()
    outside[N // 2 - size // 2: N // 2 - size // 2 + size] = False
    order = np.random.default_rng(5).permutation(np.flatnonzero(outside))
    count = max(1, round(0.25 * len(order)))
    for k, out in enumerate(data_of(scan).split(folds=3, share=0.25, seed=5)):
        assert sorted(np.flatnonzero(out[:, 0])) == sorted(np.take(order, range(k * count, (k + 1) * count),
                                                                    mode="wrap"))


def test_restricted_operators_keep_their_names():
    data = data_of(SCANS["series"])
    out = data.split(folds=1, share=0.25, seed=0)[0]
    A, y = data.restricted(data.sampled & ~out)
    assert A.oaxes == AXES["series"]
    assert tuple(A.oshape) == SCANS["series"].kspace.shape
    x = object_of(AXES["series"]).astype(np.complex64)
    expected = data.A(x) * ~out[:, None]
    np.testing.assert_allclose(A(x), expected, atol=1e-5)
    assert not (y * out[:, None]).any()
    assert pi.solve(A, y, 0.01 * pi.TemporalFFT(), max_iter=2).x.shape == x.shape


# --- tune


@kinds
def test_tune(kind):
    found = pi.tune(SCANS[kind], pi.Tikhonov(), strengths=[1e-3, 3e-2, 10.0], refine=0, max_iter=6)
    curve = dict(found.curve)
    if kind == "one coil":  # what a squared norm predicts of samples that no coil sees twice is 0, at any strength
        np.testing.assert_allclose(list(curve.values()), 1, atol=1e-6)
        return
    assert found.strength < 10
    assert 0 < curve[found.strength] < curve[10.0] < 1.1


def test_tune_of_a_series_takes_temporal_priors():
    found = pi.Recipe(pi.TemporalFFT(), tune="holdout", max_iter=5)(SCANS["series"])
    assert found.x.shape == (4, N, N)
    assert "TemporalFFT" in repr(found.recipe.prior)
    assert found.tuning.ok or found.tuning.status == "edge"


@pytest.mark.parametrize("criterion", ["sure", "discrepancy", "reference"])
def test_other_criteria_on_a_series(criterion):
    scan = SCANS["series"]._with(reference=abs(object_of(AXES["series"])))
    found = pi.tune(scan, pi.Tikhonov(), criterion=criterion, strengths=[1e-3, 3e-2, 10.0], refine=0, max_iter=6)
    assert found.strength < 10


def test_an_empty_middle_slice_gives_way_to_the_nearest():
    kspace = np.stack([SCANS["slice"].kspace, np.zeros_like(SCANS["slice"].kspace), SCANS["slice"].kspace.conj()])
    volume = pi.io.Scan(kspace, mask=SCANS["slice"].mask, mps=np.stack([MPS] * 3).astype(np.complex64))
    options = {"strengths": [1e-3, 3e-2, 1.0], "refine": 0, "max_iter": 4}
    found = pi.tune(volume, pi.Tikhonov(), **options)
    assert found.curve == pi.tune(volume, pi.Tikhonov(), slice=0, **options).curve
    assert found.curve != pi.tune(volume, pi.Tikhonov(), slice=2, **options).curve


def test_tune_by_planes_of_a_volume():
    options = {"strengths": [1e-3, 3e-2, 10.0], "refine": 0, "max_iter": 4}
    whole = pi.tune(SCANS["3-D"], pi.Tikhonov(), **options)
    plane = pi.tune(SCANS["3-D"], pi.Tikhonov(), each=("slice", "x"), **options)
    assert plane.curve != whole.curve
    assert plane.strength < 10
    with pytest.raises(ValueError, match="was undersampled"):
        pi.tune(SCANS["3-D"], pi.Tikhonov(), each=("slice", "z"), **options)


# --- noise


def test_noise_level_of_frames_with_their_own_lines_of():
    for kind in ("series", "3-D", "3-D series"):
        scan = SCANS[kind]
        ndim = len(scan.encoding.encoded)
        rng = np.random.default_rng(0)
        noise = 0.5 * rng.standard_normal((*scan.kspace.shape, 2)).view(complex)[..., 0]
        alone = noise * np.broadcast_to(scan.inside, scan.kspace.shape)
        assert tuning.noise_level(alone, scan.mask, ndim=ndim) == pytest.approx(0.5, rel=0.05)


@kinds
def test_noise_map(kind):
    scan = SCANS[kind]
    found = evaluate.noise_map(TIKHONOV, scan, replicas=4, covariance=2 * NOISE**2)
    image = TIKHONOV(scan).x
    assert found.std.shape == image.shape
    np.testing.assert_allclose(found.image, image, atol=1e-4 * abs(image).max())
    inside = abs(found.image) > 0.1 * abs(found.image).max()
    assert 0.1 * NOISE < np.median(found.std[inside]) < 5 * NOISE


def test_noise_map_of_a_series_is_that_of_its_frames():
    """A quadratic prior does not couple frames: each frame alone has the same noise."""
    scan, frame = SCANS["series"], 2
    recipe = pi.Recipe(0.05 * pi.Tikhonov(), max_iter=50, tol=1e-6)
    series = evaluate.noise_map(recipe, scan, replicas=150, covariance=2 * NOISE**2)
    alone = scan.select(frame=frame).parts(("frame",))[0]
    scale = recipe(alone).scale / recipe(scan).scale  # the strength is in units of the scaled image
    assert scale == pytest.approx(1, rel=0.5)
    one = evaluate.noise_map(recipe, alone, replicas=150, covariance=2 * NOISE**2)
    inside = abs(one.image) > 0.2 * abs(one.image).max()
    assert np.mean(series.std[frame][inside] / one.std[inside]) == pytest.approx(1, abs=0.03)


# --- one analysis after another


@kinds
def test_holdout_error(kind):
    found = evaluate.holdout_error(TIKHONOV, SCANS[kind], noise=NOISE)
    assert 0 < found.floor < found.error < 1
    assert len(found.slices) == (2 if "slice" in AXES[kind] else 1)
    nothing = evaluate.holdout_error(pi.Recipe(1e4 * pi.Tikhonov(), **RUN), SCANS[kind], noise=NOISE)
    assert nothing.error == pytest.approx(1, abs=0.01), "an image of nothing predicts nothing"


def test_holdout_refuses_what_predicts_nothing_and_planes_of_planar_methods():
    with pytest.raises(ValueError, match="RAKI"):
        evaluate.holdout_error(pi.Recipe(method=pi.prepare.Raki()), SCANS["slice"])
    with pytest.raises(ValueError, match="each="):
        evaluate.holdout_error(pi.Recipe(method=Spirit()), SCANS["series"])
    frames = evaluate.holdout_error(pi.Recipe(pi.Zero(), method=Spirit(), each=("slice", "frame"), **RUN),
                                    SCANS["series"], noise=NOISE)
    assert len(frames.slices) == SIZES["frame"]


@kinds
def test_consistency(kind):
    done = pi.Recipe(1e-3 * pi.Tikhonov(), max_iter=30)(SCANS[kind])
    found = evaluate.consistency(done, noise=NOISE)
    assert found.image.shape == done.x.shape
    assert (0.01 if kind == "one coil" else 0.3) < found.chi < 1.1
    assert found.samples == done.scan.coils * int(np.broadcast_to(done.scan.mask, done.scan.encoding.shape).sum())
    A = linops.sense(done.scan.mps, axes=done.scan.axes, shape=done.scan.kspace.shape, coord=done.scan.coord)
    r = A(done.x) - done.scan.kspace
    r = r * done.scan.inside / NOISE
    assert found.chi == pytest.approx(np.sqrt((abs(r) ** 2).sum() / (2 * found.samples)), rel=1e-3)
    assert "chi" in str(found.section())


def test_consistency_finds_what_was_invented_in_one_frame_or_plane():
    for kind in ("series", "series of slices", "3-D"):
        done = pi.Recipe(1e-3 * pi.Tikhonov(), max_iter=30)(SCANS[kind])
        x = done.x.copy()
        place = (*(1,) * (x.ndim - 2), 15, 17)
        x[(*place[:-2], slice(14, 17), slice(16, 19))] += 0.5 * abs(x).max()
        found = evaluate.consistency(x, SCANS[kind], noise=NOISE)
        assert found.place[:-2] == place[:-2]
        assert np.abs(np.subtract(found.place, place))[-2:].max() <= 1
        names = [a for a in done.scan.image_axes if a not in ("y", "x")]
        assert all(f"{name} 1" in found.verdict for name in names)


def test_consistency_looks_for_structures_in_a_series():
    done = pi.Recipe(1e-3 * pi.Tikhonov(), max_iter=30)(SCANS["series"])
    d = np.zeros(done.x.shape)
    d[1, 14:17, 16:19] = 0.5 * abs(done.x).max()
    row, = evaluate.consistency(done.x + d * np.exp(1j * np.angle(done.x)), SCANS["series"], noise=NOISE,
                                structures={"spot": d}).structures
    assert row["verdict"] == "contradicts the data"
    probe = evaluate.consistency(done, noise=NOISE, probe=True)
    assert probe.expected == pytest.approx(probe.chi, rel=0.1)


def test_visibility_looks_at_planes():
    middle = evaluate.visibility(SCANS["series"], grid=5, noise=NOISE)
    alone = SCANS["series"].select(frame=2).parts(("frame",))[0]
    np.testing.assert_array_equal(middle.determined, evaluate.visibility(alone, grid=5, noise=NOISE).determined)
    with pytest.raises(ValueError, match=r"3-D: scan.parts\(each=\('slice', 'x'\)\)"):
        evaluate.visibility(SCANS["3-D"], grid=5)
    plane = SCANS["3-D"].parts(("slice", "x"))[16]
    assert evaluate.visibility(plane, grid=5, noise=NOISE).determined.shape == (SIZES["kz"], N)
    d = np.zeros((SIZES["kz"], N, N))
    d[3:5, 14:17, 16:19] = 1
    assert 0 < evaluate.seen(d, SCANS["3-D"], noise=NOISE)["determined"] <= 1


@pytest.mark.parametrize(("kind", "by"), [
    *((kind, by) for kind in ("slices", "series", "3-D") for by in ("replicas", "sure", "masks")),
    ("radial cine", "masks"), ("stack of stars", "replicas")])
def test_uncertainty(kind, by):
    found = evaluate.uncertainty(TIKHONOV, SCANS[kind], by=by, n=3)
    assert found.std.shape == found.image.shape == found.region.shape
    assert found.std[found.region].mean() > 0
    assert not np.isnan(found.std).any()
    assert found.section().pictures["std"].image.shape == (N, N)


@pytest.mark.parametrize("kind", ["series", "3-D", "radial cine"])
def test_stability(kind):
    found = evaluate.stability(TIKHONOV, SCANS[kind], sizes=(0.01,), steps=2, by="search",
                               tests=("perturbation", "details"))
    row, = found.perturbation.rows
    assert found.perturbation.images.shape[1:] == object_of(AXES[kind]).shape
    assert row["gain"] > row["noise gain"] > 0
    assert found.details is None
    assert "single planes" in found.notes[0]
    assert len(found.section().pictures) == 4
    if kind == "series":  # frame by frame there is a plane
        apart = evaluate.stability(pi.Recipe(0.05 * pi.Tikhonov(), each=("slice", "frame"), **RUN), SCANS[kind],
                                   tests=("details",), structures=("dot",), contrasts=(0.3,))
        assert apart.details.rows[0]["recovered"] > 0.2


def test_crimes_of_all_kinds():
    for kind in AXES:
        if kind in SHOTS:
            with pytest.raises(ValueError, match="none of it would show"):
                evaluate.crimes(SCANS[kind])
            continue
        found = evaluate.crimes(SCANS[kind])
        assert "combined coils" not in found.names
        assert len(found.checks) == 15
    padded = FULL["series"].kspace.copy()
    padded[..., :4] = padded[..., -4:] = 0
    assert "zero-padded k-space" in evaluate.crimes(pi.io.Scan(padded, axes=AXES["series"])).names
    volume = FULL["3-D"].kspace.copy()
    volume[..., :4, :] = volume[..., -4:, :] = 0
    assert "zero-padded k-space" in evaluate.crimes(pi.io.Scan(volume, axes=AXES["3-D"])).names


def test_blinded_names_frames(tmp_path):
    images = {m: abs(object_of(AXES["series"])) + k for k, m in enumerate(("a", "b"))}
    study = evaluate.blinded(images, tmp_path / "study", axes=("frame", "y", "x"), repeats=0)
    assert study.cases == tuple(f"frame {k}" for k in range(4))
    with pytest.raises(ValueError, match="axes names 2"):
        evaluate.blinded(images, tmp_path / "other", axes=("y", "x"))


# --- pictures and metrics


@kinds
def test_pictures(kind):
    scan = prepare(SCANS[kind], pi.Espirit())
    image = zero_filled(scan)
    assert image.shape == scan.image_shape
    inner = len(scan.encoding.encoded)
    back = scan.encoding.gridded(scan.kspace) if kind in SHOTS else (
        fft(scan.kspace * scan.inside, tuple(range(-inner, 0)), inverse=True))
    coil = -1 - inner
    energy = np.maximum((abs(scan.mps) ** 2).sum(coil), 1e-9)
    np.testing.assert_allclose(image, (scan.mps.conj() * back).sum(coil) / energy, atol=1e-5)
    assert not fully_sampled(scan)
    twice = scan._with(mps=2 * scan.mps)
    np.testing.assert_allclose(like_rss(twice, image), 2 * image, rtol=1e-5)


def test_frames_that_were_sampled_apart_are_no_full_scan():
    scan = SCANS["series"]._with(mask=None)
    assert (scan.kspace != 0).any((0, 1)).mean() > 0.8, "together they have most lines"
    assert not fully_sampled(scan)
    assert fully_sampled(FULL["series"])


def test_metrics_take_a_series_as_a_volume():
    truth = abs(object_of(AXES["series of slices"])).astype(float)
    image = truth + 0.05 * np.random.default_rng(0).standard_normal(truth.shape)
    flat_truth, flat_image = (x.reshape(-1, N, N) for x in (truth, image))
    assert truth.ndim == 4
    assert metrics.all(truth, image) == metrics.all(flat_truth, flat_image)
    assert metrics.hfen(truth, image) == metrics.hfen(flat_truth, flat_image)
    mse = np.mean((truth - image) ** 2)
    assert metrics.psnr(truth, image) == pytest.approx(10 * np.log10(truth.max() ** 2 / mse), rel=1e-9)
    assert metrics.body(truth).shape == truth.shape
    with pytest.raises(ValueError, match="1 dimensions"):
        metrics.psnr(truth[0, 0, 0], image[0, 0, 0])


# --- compare


METHODS = {"zero-filled": None, "tikhonov": pi.Recipe(0.05 * pi.Tikhonov(), **RUN),
           "tv": pi.Recipe(2e-3 * pi.TV(), **RUN)}


@pytest.mark.parametrize("kind", FULL)
def test_compare(kind, tmp_path):
    mask = SCANS[kind].mask
    found = evaluate.compare({"scan": FULL[kind]}, METHODS, mask=mask, tune=None, folder=tmp_path / "kept",
                             report=tmp_path / "report.html")
    setting, outcome = found.settings[0], found.outcomes[0, "tikhonov"]
    assert not [o.status for o in found.outcomes.values() if o.status == "failed"]
    image = METHODS["tikhonov"](FULL[kind].undersample(mask)).x.reshape(outcome.images.shape)
    np.testing.assert_allclose(outcome.images, image, atol=1e-4 * abs(image).max())
    truth = FULL[kind].rss().reshape(image.shape)
    np.testing.assert_array_equal(setting.reference, truth)
    assert outcome.values["psnr"] == pytest.approx(metrics.psnr(truth, image), abs=1e-3)
    mse = np.mean((abs(image) - truth) ** 2)
    assert outcome.values["psnr"] == pytest.approx(10 * np.log10(truth.max() ** 2 / mse), abs=1e-2)
    planes = [(t, x) for t, x in zip(truth.reshape(-1, N, N), image.reshape(-1, N, N))]
    np.testing.assert_allclose(outcome.slices["ssim"], [metrics.ssim(t, x, data_range=truth.max()) for t, x in planes],
                               atol=1e-3)
    assert found.mean("tikhonov", "psnr") > found.mean("zero-filled", "psnr")
    assert len(found.records(slices=True)) == 3 * len(planes)
    assert len(outcome.iterations) == len(outcome.seconds) == len(planes)
    again = evaluate.rerun(tmp_path / "kept", scans={"scan": FULL[kind]})
    np.testing.assert_array_equal(again.outcomes[0, "tv"].images, found.outcomes[0, "tv"].images)
    found.figure(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
    page = (tmp_path / "report.html").read_text()
    told = json.loads(page.split('id="data">')[1].split("</script>")[0])["settings"][0]
    assert told["total"] == len(planes)
    assert page.count("data:image/png") >= 1
    assert page.count('type="image/png;base64"') == 4 * len(planes)
    first, movie = {"slice": ("only", None), "slices": ("0 of 0..1", None), "series": ("frame 0", [1, 2, 3, 0]),
                    "series of slices": ("slice 0, frame 0", [1, 2, 3, 0, 5, 6, 7, 4]),
                    "3-D": ("z 0", None)}[kind]
    assert told["names"][0] == first or kind == "slice"
    assert told["next"] == movie


def test_compare_tunes_and_holds_out_on_a_series(tmp_path):
    found = evaluate.compare(SCANS["series"], {"tikhonov": pi.Recipe(pi.Tikhonov(), **RUN)}, trials=9,
                             folder=tmp_path / "kept")
    outcome = found.outcomes[0, "tikhonov"]
    assert outcome.tuning["criterion"] == "holdout"
    assert 0 < outcome.values["holdout"] < 1
    assert len(outcome.slices["holdout"]) == SIZES["frame"]
    assert 0.2 < outcome.values["chi"] < 3
    assert outcome.residual.shape == (N, N)
    scan = prepared(tmp_path / "kept" / "parts", 0)
    assert scan.axes == AXES["series"]
    np.testing.assert_array_equal(scan.kspace, SCANS["series"].kspace)


def test_compare_takes_methods_apart_as_their_recipes_say():
    methods = {"whole": pi.Recipe(0.05 * pi.Tikhonov(), max_iter=30),
               "planes": pi.Recipe(0.05 * pi.Tikhonov(), max_iter=30, each=("slice", "x")),
               "grappa": pi.Recipe(method=Grappa())}
    found = evaluate.compare(FULL["3-D"], methods, mask=SCANS["3-D"].mask, tune=None)
    whole, planes = (found.outcomes[0, n] for n in ("whole", "planes"))
    assert np.linalg.norm(whole.images - planes.images) < 0.02 * np.linalg.norm(whole.images)
    assert len(planes.iterations) == SIZES["kz"]
    assert found.outcomes[0, "grappa"].status == "failed"
    assert "takes planes of k-space one by one" in found.outcomes[0, "grappa"].solver
    frames = evaluate.compare(FULL["series"], {"spirit": pi.Recipe(pi.Zero(), method=Spirit(), max_iter=5,
                                                                    each=("slice", "frame"))},
                              mask=SCANS["series"].mask, tune=None)
    assert frames.outcomes[0, "spirit"].images.shape == (1, SIZES["frame"], N, N)
    assert frames.outcomes[0, "spirit"].values["psnr"] > 15


def test_compare_takes_all_methods_apart_alike():
    """As recipes of their own do; the zero-filled image, whose planes are alike either way, beside them."""
    each = ("slice", "x")
    found = evaluate.compare(FULL["3-D"], ["zero-filled", 0.05 * pi.Tikhonov()], mask=SCANS["3-D"].mask, tune=None,
                             each=each)
    zero, planes = found.outcomes.values()
    assert zero.images.shape == planes.images.shape == (1, *FULL["3-D"].image_shape) == (1, SIZES["kz"], N, N)
    expected = pi.Recipe(0.05 * pi.Tikhonov(), each=each)(FULL["3-D"].undersample(SCANS["3-D"].mask)).x
    np.testing.assert_allclose(planes.images[0], expected, atol=1e-5 * abs(expected).max())
    again = Plan.from_dict(make(FULL["3-D"], {"a": pi.Tikhonov()}, each=each).to_dict(), {"scan": FULL["3-D"]})
    assert again.methods["a"].each == each
    for bad, message in (({"each": "frame"}, "each='frame': the scan has the axes"),
                         ({"each": each, "methods": {"a": pi.Recipe(each=("slice", "y"))}}, "method 'a' is a recipe")):
        with pytest.raises(ValueError, match=message):
            evaluate.compare(FULL["3-D"], **({"methods": ["tv"]} | bad), accel=2)


def test_an_image_has_one_shape_wherever_it_is_asked_for():
    """Of the scan, of a comparison and of its images; also of samples anywhere, whose k-space does not say it."""
    for kind, scan in SCANS.items():
        done = evaluate.compare(scan, ["zero-filled"], tune=None)
        front = () if "slice" in scan.axes else (1,)
        assert done.settings[0].image_shape == (*front, *scan.image_shape), kind
        assert done.settings[0].image_axes == (*("slice" for _ in front), *scan.image_axes)
        assert len(scan.image_shape) == len(scan.image_axes)
        assert zero_filled(scan).shape == scan.image_shape


def test_frames_of_one_slice_are_one_witness():
    found = evaluate.compare(FULL["series"], METHODS, mask=SCANS["series"].mask, tune=None)
    row = next(r for r in found.differences("psnr") if r["method"] == "zero-filled")
    assert row["pairs"] == SIZES["frame"]
    assert row["slices"] == 1
    assert np.isnan(row["low"]), "four frames of one slice say nothing of other slices"
    assert {r["frame"] for r in found.records(slices=True)} == set(range(SIZES["frame"]))


def test_an_empty_slice_is_zero_and_the_others_are_judged():
    kspace = np.stack([FULL["slice"].kspace, np.zeros_like(FULL["slice"].kspace)])
    scan = pi.io.Scan(kspace, mps=np.stack([MPS] * 2).astype(np.complex64))
    for done in (evaluate.noise_map(TIKHONOV, scan, replicas=2, covariance=2 * NOISE**2).std,
                 evaluate.consistency(TIKHONOV(scan), noise=NOISE).image):
        assert done[0].any()
        assert not done[1].any()
    found = evaluate.compare(scan, METHODS, mask=SCANS["slice"].mask, tune=None)
    images = found.outcomes[0, "tikhonov"].images
    assert images[0].any()
    assert not images[1].any()
    assert found.outcomes[0, "tikhonov"].values["psnr"] > 15


def test_shift_of_a_series():
    found = evaluate.shift({"tikhonov": TIKHONOV}, {"a": FULL["series"]}, accels=(1,), noises=(0.0, 0.05),
                           baseline=pi.Recipe(5 * pi.Tikhonov(), **RUN))
    psnr = found.matrix()
    assert (psnr[:, 0] > psnr[:, 1]).all(), "Tikhonov is above no image at all"
    assert psnr[1, 0] < psnr[0, 0]


# --- helpers


def test_planes():
    scan = prepare(SCANS["series of slices"], pi.Espirit())
    plane = flat(scan, 1, "this")
    assert plane.axes == ("coil", "ky", "kx")
    np.testing.assert_array_equal(plane.kspace, scan.kspace[1, 2])
    assert filled(plane)
    models, _ = models_of(scan)
    assert len(models) == 2
