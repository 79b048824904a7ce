"""Rich but wrong: the right texture in the wrong place looks real and is false, a smooth image the other way round."""

import numpy as np
import pytest
import torch
from helpers import refused
from scipy.ndimage import gaussian_filter

import pisolve as pi
from pisolve import evaluate, metrics, nets, phantom
from pisolve.evaluate.realism import TITLE
from pisolve.nets.adversarial import INVENTS

pytestmark = pytest.mark.usefixtures("one_thread")


class Edges(torch.nn.Module):
    """A scale of its own size and one of half of it."""

    def forward(self, planes):
        x = planes[:, :1]
        fine = torch.cat([x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1], x[..., :-1, :-1]], 1)
        return [torch.nn.functional.pad(fine, (0, 1, 0, 1)), fine[..., ::2, ::2]]


def textured(seed, size=64):
    """A disc with a fine texture drawn from `seed`."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 1, mode="wrap")
    return (np.hypot(y, x) < 0.8) * (1 + 0.4 * texture / texture.std())


@pytest.mark.parametrize("features", [None, Edges()])
def test_the_distance_prefers_the_rich_image_and_psnr_the_smooth_one(features):
    truth, rich = abs(textured(0)), abs(textured(1))
    smooth = (textured(0) != 0) * np.mean(truth[textured(0) != 0])
    body = metrics.body(truth)
    assert metrics.psnr(truth, smooth, region=body) > metrics.psnr(truth, rich, region=body) + 2
    assert evaluate.realism(truth, rich, features) < 0.2 * evaluate.realism(truth, smooth, features)
    assert evaluate.realism(truth, truth, features) == pytest.approx(0, abs=1e-6)
    assert evaluate.realism(5 * truth, 5j * rich, features) == pytest.approx(
        evaluate.realism(truth, rich, features), rel=1e-3)


def test_the_distance_is_that_of_its_formula():
    truth, image = np.ones((2, 9, 8)), np.ones((2, 9, 8))
    rng = np.random.default_rng(0)
    truth[:], image[:] = 1 + rng.random(truth.shape) / 2, 1 + rng.random(truth.shape) / 3

    class Same(torch.nn.Module):
        def forward(self, planes):
            return planes[:, :1]

    inside = metrics.body(truth)
    scale = np.percentile(truth[inside], 99)
    a, b = (x[inside][:, None] / scale for x in (truth, image))
    hand = ((a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2) / a.var(ddof=1)
    assert evaluate.realism(truth, image, Same()) == pytest.approx(hand, rel=1e-4)
    refused(lambda: evaluate.realism(truth, image[:1], Same()), ValueError, "image has shape")
    refused(lambda: evaluate.realism(np.ones((3, 3)), np.ones((3, 3)), Edges()), ValueError, "larger image")


class Painter(torch.nn.Module):
    """The zero-filled magnitude, smoothed or with a texture that was not measured."""

    needs_maps = False

    def __init__(self, seed):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seed = seed

    def forward(self, kspace, mask):
        image = torch.from_numpy(textured(self.seed)) if self.seed else gaussian_filter(textured(0), 3)
        return torch.as_tensor(abs(image), dtype=torch.float32)[None] + self.weight


def test_the_report_of_an_adversarial_network_says_that_it_is_rich_but_wrong(tmp_path):
    image = textured(0)
    mps = phantom.brain((64, 64), 2).mps
    mps = mps / np.linalg.norm(mps, axis=0)
    scan = pi.io.Scan(pi.backend.fft(mps * image, (-2, -1)).astype(np.complex64), reference=abs(image))
    gan = nets.adversarial(nets.ZeroFilledUNet(2, 2)).eval()
    gan.generator = Painter(1)
    methods = {"gan": pi.Recipe(network=gan), "smooth": pi.Recipe(network=Painter(0))}
    with pytest.warns(UserWarning, match="may invent detail"):
        done = pi.compare(scan, methods, accel=2, tune=None, report=tmp_path / "r.html")
    assert f"gan: {INVENTS}" in done.warnings
    section = next(s for s in done.sections if s.title == TITLE)
    assert [r["method"] for r in section.rows] == ["gan", "smooth"]
    assert section.rows[0]["PSNR / dB"] < section.rows[1]["PSNR / dB"]
    assert [r["adversarial"] for r in section.rows] == ["may invent detail", ""]
    assert section.warnings[0].startswith("gan is rich but wrong: it looks more real than smooth")
    text = (tmp_path / "r.html").read_text()
    assert "is rich but wrong" in text
    assert "may invent detail" in text
    plain = pi.compare(scan, {"smooth": pi.Recipe(network=Painter(0))}, accel=2, tune=None)
    assert TITLE not in [s.title for s in plain.sections]
    assert "warned" not in plain.about
    asked = pi.compare(scan, {"smooth": pi.Recipe(network=Painter(0))}, accel=2, tune=None, analyses=["realism"])
    assert asked.sections[-1].title == TITLE
    assert asked.sections[-1].warnings == []
