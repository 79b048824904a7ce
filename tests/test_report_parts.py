"""What a comparison's report has beside the images: g-factors, objectives, LPIPS, a verdict for each sampling."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from reports import Page, made

import pisolve as pi
from pisolve.evaluate.gfactor import full_noise, gfactors
from pisolve.evaluate.noise_map import covariance_of
from pisolve.evaluate.report import words
from pisolve.evaluate.report.write import _convergence

HEAD = pi.phantom.brain((48, 40), 4, noise=0.02)


@pytest.fixture(scope="module")
def scan():
    return pi.io.Scan(HEAD.kspace.astype(np.complex64))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files as torchvision and LPIPS have them, of random numbers."""
    folder = tmp_path_factory.mktemp("lpips")
    sizes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    torch.manual_seed(0)
    state = {}
    for n, (out, into, side) in sizes.items():
        state |= {f"features.{n}.weight": 0.05 * torch.randn(out, into, side, side),
                  f"features.{n}.bias": torch.randn(out)}
    torch.save(state | {"classifier.1.bias": torch.zeros(3)}, folder / "alexnet.pth")
    torch.save({f"lin{k}.model.1.weight": torch.rand(1, s[0], 1, 1) for k, s in enumerate(sizes.values())},
               folder / "alex.pth")
    return folder / "alexnet.pth", folder / "alex.pth"


def test_gfactor_is_the_analytic_one():
    """Every second line, noise of its own level: pseudo-replicas of SENSE meet Pruessmann's g; Tikhonov is below."""
    mps = (HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)).astype(np.complex64)
    mask = np.zeros((48, 40), bool)
    mask[::2] = True
    rng = np.random.default_rng(1)
    y = pi.linops.sense(mps)(HEAD.image.astype(np.complex64))
    noise = (0.01 * rng.standard_normal((2, 4, 500))).astype(np.float32)
    y = (y + 0.01 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))).astype(np.complex64)
    scan = pi.io.Scan(y * mask, mask, mps=mps, noise=noise[0] + 1j * noise[1])
    one = pi.Recipe(pi.Zero()).prepare(scan)
    section, = gfactors({"sense": pi.Recipe(pi.Zero(), tol=1e-6), "tikhonov": pi.Recipe(0.1 * pi.Tikhonov()),
                         "tv": pi.Recipe(1e-3 * pi.TV())}, one, "")
    exact = pi.calib.gfactor(mps, mask)
    found = section.pictures["sense"].image
    assert set(section.pictures) == {"sense", "tikhonov", "SENSE, analytic"}  # TV is not linear
    ratio = (found / exact)[exact > 0]
    assert np.median(ratio) == pytest.approx(1, abs=0.04)
    assert np.std(ratio) == pytest.approx(1 / np.sqrt(4 * 60), rel=0.2)  # that of the spread of 60 replicas
    rows = {r["method"]: r for r in section.rows}
    assert rows["SENSE, white noise"]["by"] == "analytic"
    assert rows["tikhonov"]["g, 95th percentile"] < rows["sense"]["g, 95th percentile"]
    np.testing.assert_allclose(full_noise(one, covariance_of(one)), np.sqrt(2) * 0.01, rtol=0.1)


def test_gfactor_in_a_report(scan):
    done = pi.compare(scan, {"sense": "sense", "tv": pi.Recipe(1e-3 * pi.TV(), max_iter=5)}, accel=2, tune=None,
                      analyses="gfactor")
    section = done.sections[-1]
    assert section.title == "g-factor of the linear methods"
    assert list(section.pictures) == ["sense"]
    assert 0.9 < section.rows[0]["g, median"] < 3
    assert not [s for s in pi.compare(scan, {"tv": pi.Recipe(1e-3 * pi.TV(), max_iter=5)}, accel=2, tune=None,
                                         analyses="gfactor").sections
                if "g-factor" in s.title]


def test_the_objective_is_that_of_the_run(scan):
    """At iterations 1, 2, 3, 4, 6, 8: the problem's own value; named in the report; a denoiser's has none."""
    seen, prior = {}, 2e-3 * pi.TV()
    methods = {"tv": pi.Recipe(prior, max_iter=8, tol=0),
               "pnp": pi.Recipe(pi.PnP(lambda x, s: 0.9 * x, sigma=0.1), pi.HQS(rho=0.1, ratio=1, coupling=0,
                                                                                iterations=6), max_iter=6)}
    done = pi.compare(scan, methods, accel=2, tune=None)
    thin = scan.undersample(done.settings[0].pattern)
    pi.recon(thin, methods["tv"], callbacks=[lambda problem, state: seen.update({state.k: problem.value(state.x)})])
    history = done.outcomes[0, "tv"].history
    told = {h["k"]: h["value"] for h in history if "value" in h}
    assert list(told) == [1, 2, 3, 4, 6, 8]
    assert told == pytest.approx({k: seen[k] for k in told}, rel=1e-3)
    assert [h["seconds"] for h in history] == sorted(h["seconds"] for h in history)
    alone = pi.recon(thin, prior, max_iter=8, tol=0)
    np.testing.assert_array_equal(alone.x, done.outcomes[0, "tv"].images[0])
    drawn = _convergence(done, 0)
    assert not any("value" in h for h in done.outcomes[0, "pnp"].history)
    assert ["tv</title>" in d for d in drawn] == [True] * 4
    assert ["pnp</title>" in d for d in drawn] == [True, True, False, False]  # of its steps, though it has no residual
    assert "1/2 ||A x" in drawn[2]


def test_lpips_is_one_of_the_metrics(scan, weights):
    done = pi.compare(scan, {"zero-filled": None, "sense": "sense"}, accel=2, lpips=weights)
    network, lin = pi.metrics.lpips_features(weights[0]), pi.metrics.lpips_weights(weights[1])
    for name in ("zero-filled", "sense"):
        o = done.outcomes[0, name]
        assert o.values["lpips"] == pi.metrics.lpips(done.settings[0].reference, o.images, network, lin)
        assert o.slices["lpips"] == [o.values["lpips"]]
    assert "lpips" in done.about["definitions"]
    assert done.ranked_by == "psnr_body"
    assert done.differences("lpips")[0]["method"] == done.ranking("lpips")[0]
    assert words.label("lpips") == "LPIPS"
    assert words.direction("lpips") == "lower is better"


@pytest.mark.parametrize(("lpips", "error", "told"), [
    ("alex.pth", TypeError, "lpips must be (network, weights)"),
    (("none.pth", "alex.pth"), FileNotFoundError, "none.pth"),
    ((0, 1), FileNotFoundError, "nothing is downloaded"), ((1, 1), ValueError, "no weights of AlexNet")])
def test_lpips_that_is_none(scan, weights, lpips, error, told):
    given = lpips if isinstance(lpips, str | list) or isinstance(lpips[0], str) else (
        weights[lpips[0]], weights[lpips[1]].with_name("no.pth") if lpips == (0, 1) else weights[1])
    with pytest.raises(error, match=re.escape(told)):
        pi.compare(scan, ["sense"], accel=2, lpips=given)


def test_lpips_of_images_too_small(weights):
    small = pi.io.Scan(pi.phantom.brain((24, 20), 2).kspace)
    with pytest.raises(ValueError, match="too small for the network"):
        pi.compare(small, ["sense"], accel=2, lpips=weights)


def test_each_sampling_has_its_own_table_and_verdict(tmp_path):
    """No mean of 4x and 8x anywhere: where the order turns, both winners are told."""
    one = made(2, 2, settings=2, names=["a", "b"])
    turned = {key: replace(o, values={"psnr": 5.0 + (key[1] == "b")}, slices={"psnr": [5.0 + (key[1] == "b")] * 2})
              if key[0] else o for key, o in one.outcomes.items()}
    both = replace(one, settings=(one.settings[0], replace(one.settings[1], accel=8.0)), outcomes=turned)
    parts = both.by_sampling()
    assert {kind: part.ranking()[0] for kind, part in parts.items()} == {"4x random": "a", "8x random": "b"}
    assert parts["8x random"].summary()[0]["psnr"] == 6
    assert parts["8x random"].outcomes[0, "a"].setting == 0
    text = both.markdown()
    assert [line for line in text.splitlines() if line.endswith(":")] == ["4x random:", "8x random:"]
    mean = np.mean([both.outcomes[k, "b"].values["psnr"] for k in (0, 1)])
    assert f"{mean:.4g}" not in text
    assert repr(both).endswith("best: a (4x random), b (8x random))")
    assert set(both.to_dict()["by_sampling"]) == set(parts)
    both.to_html(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text())
    told = [e["text"] for e in page.has_class("verdict")]
    assert len(told) == 2
    assert re.match(r"4x random: First.*a", told[0])
    assert re.match(r"8x random: First.*b", told[1])
    assert len(one.by_sampling()) == 1
    assert one.markdown().startswith("| method")
