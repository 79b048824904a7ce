"""HFEN, MS-SSIM, VIF, LPIPS and the Frechet distance against independent definitions and closed forms."""

import numpy as np
import pytest
import torch
from conftest import data_path
from helpers import refused
from scipy import linalg, signal
from skimage.metrics import structural_similarity

from pisolve import io, metrics

DETAIL = ("hfen", "ms_ssim", "vif")


def volume(rng, shape=(2, 96, 80)):
    reference = abs(np.cumsum(np.cumsum(rng.standard_normal(shape), -1), -2))
    return reference, abs(reference + 0.05 * reference.max() * rng.standard_normal(shape))


def matlab_log(size=15, sigma=1.5):
    """fspecial("log", 15, 1.5), written from Matlab's source."""
    n = (size - 1) // 2
    x, y = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    h = np.exp(-(x * x + y * y) / (2 * sigma**2))
    h[h < np.finfo(float).eps * h.max()] = 0
    h = h / h.sum()
    h1 = h * (x * x + y * y - 2 * sigma**2) / sigma**4
    return h1 - h1.sum() / size**2


def test_hfen_is_the_papers(rng):
    reference, image = volume(rng)
    edges = [np.stack([signal.convolve2d(s, matlab_log(), mode="same") for s in v]) for v in (reference, image)]
    expected = np.linalg.norm(edges[0] - edges[1]) / np.linalg.norm(edges[0])
    assert metrics.hfen(reference, image) == pytest.approx(expected, rel=1e-9)
    region = np.zeros(reference.shape[1:], bool)
    region[20:50, 30:60] = True
    expected = np.linalg.norm((edges[0] - edges[1])[:, region]) / np.linalg.norm(edges[0][:, region])
    assert metrics.hfen(reference, image, region=region) == pytest.approx(expected, rel=1e-9)


def test_hfen_sees_edges_only():
    y, x = np.mgrid[:64, :64]
    disc = (np.hypot(y - 32, x - 32) < 20).astype(float)
    inside = np.hypot(y - 32, x - 32) < 10
    assert metrics.hfen(disc, 0.9 * disc) == pytest.approx(0.1)
    assert metrics.nmse(disc, disc + 0.2) > 0.03
    assert metrics.hfen(disc + 1, disc + 1.2, region=np.pad(np.ones((40, 40), bool), 12)) < 1e-9  # an offset is no edge
    refused(lambda: metrics.hfen(disc, disc, region=np.roll(inside, 0) & (np.hypot(y - 32, x - 32) < 5)), ValueError,
            "reference has no edge inside region")


def gaussian_ssim(a, b, peak):
    """(mean of SSIM, mean of its contrast-structure part) in Wang's Gaussian window, windows inside the image only."""
    axis = np.arange(11) - 5
    w = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2))
    w /= w.sum()
    ma, mb, aa, bb, ab = (signal.convolve2d(v, w, mode="valid") for v in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    cs = (2 * (ab - ma * mb) + c2) / (aa - ma**2 + bb - mb**2 + c2)
    return np.mean(cs * (2 * ma * mb + c1) / (ma**2 + mb**2 + c1)), np.mean(cs)


@pytest.mark.parametrize(("shape", "scales"), [
    ((1, 180, 200), 5), ((2, 96, 80), 3), ((1, 11, 30), 1), ((1, 128, 90), 4)])
def test_ms_ssim_is_wangs(rng, shape, scales):
    reference, image = volume(rng, shape)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    weights /= weights.sum()
    values = []
    for a, b in zip(reference, image):
        value = 1.0
        for j, w in enumerate(weights):
            full, contrast = gaussian_ssim(a, b, reference.max())
            value *= (full if j == scales - 1 else contrast) ** w
            a, b = (np.pad(v, ((1, 0), (1, 0)), mode="symmetric") for v in (a, b))
            a, b = ((v[:-1, :-1] + v[1:, :-1] + v[:-1, 1:] + v[1:, 1:])[::2, ::2] / 4 for v in (a, b))
        values.append(value)
    assert metrics.ms_ssim(reference, image) == pytest.approx(np.mean(values), rel=1e-6)


def test_ms_ssim_of_one_scale_is_skimages(rng):
    reference, image = (v[0, :21, :21] for v in volume(rng))
    full = structural_similarity(reference, image, data_range=reference.max(), gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False, full=True)[1]
    assert metrics.ms_ssim(reference, image) == pytest.approx(full[5:-5, 5:-5].mean(), rel=1e-5)


def vifp(a, b, noise=2.0):
    """VIF-P from the paper's equations: sums over four scales of the information with and without the distortion."""
    above = below = 0.0
    for scale in range(4):
        n = 2 ** (4 - scale) + 1
        axis = np.arange(n) - n // 2
        w = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (n / 5) ** 2))
        w /= w.sum()
        if scale:
            a, b = (signal.convolve2d(v, w, mode="valid")[::2, ::2] for v in (a, b))
        ma, mb, aa, bb, ab = (signal.convolve2d(v, w, mode="valid") for v in (a, b, a * a, b * b, a * b))
        va, vb, cov = aa - ma**2, bb - mb**2, ab - ma * mb
        gain = np.maximum(cov / (va + 1e-10), 0)
        rest = np.where(cov > 0, vb - gain * cov, vb)
        above += np.log(1 + gain**2 * va / (np.maximum(rest, 1e-10) + noise)).sum()
        below += np.log(1 + va / noise).sum()
    return above / below


def test_vif_is_the_papers(rng):
    reference, image = volume(rng)
    expected = np.mean([vifp(255 / reference.max() * a, 255 / reference.max() * b) for a, b in zip(reference, image)])
    assert metrics.vif(reference, image) == pytest.approx(expected, rel=1e-4)
    expected = vifp(255 / 50 * reference[0], 255 / 50 * image[0])
    assert metrics.vif(reference[0], image[0], data_range=50) == pytest.approx(expected, rel=1e-4)
    mean = reference[0].mean()
    assert metrics.vif(reference[0], mean + 1.3 * (reference[0] - mean)) > 1  # more contrast than the reference


@pytest.mark.parametrize("name", DETAIL)
def test_conventions_are_those_of_the_others(rng, name):
    metric = getattr(metrics, name)
    reference, image = volume(rng)
    value = metric(reference, image)
    assert type(value) is float
    assert metric(reference, reference) == pytest.approx(0 if name == "hfen" else 1, abs=1e-6)
    phase = np.exp(1j * np.linspace(0, 6, reference.size)).reshape(reference.shape)
    for convert in (lambda x: torch.from_numpy(x), lambda x: x * phase, lambda x: 1e-30 * x, lambda x: 1e30 * x):
        assert metric(convert(reference), convert(image)) == pytest.approx(value, rel=1e-6)
    if name != "hfen":
        per_slice = [metric(a, b, data_range=float(reference.max())) for a, b in zip(reference, image)]
        assert np.mean(per_slice) == pytest.approx(value)
    before = reference.copy()
    metric(reference, image)
    assert (before == reference).all()
    refused(lambda: metric(reference, image[:, 1:]), ValueError, "crop them to one shape")
    refused(lambda: metric(reference, np.full_like(image, np.nan)), ValueError, "image holds NaN")
    refused(lambda: metric(0 * reference, image), ValueError, "reference is zero everywhere")


@pytest.mark.parametrize("name", DETAIL)
def test_they_order_blur_and_noise_on_a_real_head(name):
    reference = io.load(data_path("kspace/invivo_brain_cimax_16ch.h5")).reference
    noise = np.random.default_rng(0).standard_normal(reference.shape)
    values = [getattr(metrics, name)(reference, reference + s * noise) for s in (0, 0.01, 0.03, 0.1)]
    assert values == sorted(values, reverse=name != "hfen")
    assert len(set(values)) == 4


def test_too_small_or_without_structure():
    refused(lambda: metrics.ms_ssim(np.ones((10, 40)), np.ones((10, 40))), ValueError, "needs 11x11")
    refused(lambda: metrics.vif(np.ones((40, 50)), np.ones((40, 50))), ValueError, "VIF needs 41x41")
    refused(lambda: metrics.vif(np.ones((50, 50)), np.eye(50)), ValueError, "slice without structure")
    rng = np.random.default_rng(0)
    assert np.isfinite(metrics.vif(rng.random((41, 41)), rng.random((41, 41))))


def test_frechet_of_gaussians():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (4000, 1)), rng.normal(2, 3, (4000, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2  # in one dimension
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-9)
    mix = rng.standard_normal((2, 5, 5))
    a, b = rng.standard_normal((300, 5)) @ mix[0] + 1, rng.standard_normal((200, 5)) @ mix[1]
    c_a, c_b = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a + c_b - 2 * linalg.sqrtm(c_a @ c_b).real)
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert metrics.frechet(torch.from_numpy(a), b.astype(np.float32)) == pytest.approx(expected, rel=1e-4)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-9)
    few = rng.standard_normal((3, 20))  # fewer samples than features: still finite
    assert np.isfinite(metrics.frechet(few, few + 1))
    refused(lambda: metrics.frechet(a, b[:, :3]), ValueError, "features_b has 3 features, features_a 5")
    refused(lambda: metrics.frechet(a[:1], b), ValueError, "two samples")


class Layers(torch.nn.Module):
    """Two layers of features, without any training."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 6, 3, stride=2)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        a = torch.relu(self.one(x))
        return [a, torch.relu(self.two(self.drop(a)))]


def test_lpips_is_the_papers(rng, one_thread):
    reference, image = volume(rng, (2, 24, 20))
    network, weights = Layers(), [rng.random(4), rng.random(6)]
    found = metrics.lpips(reference, image, network, weights)
    assert network.training  # as it came
    network.eval()
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    layers = []
    for x in (reference, image):
        grey = 2 * torch.from_numpy(np.clip(x / reference.max(), 0, 1)).float() - 1
        colours = (grey[:, None] - shift[:, None, None]) / scale[:, None, None]
        layers.append([f.detach() / (f.detach().norm(dim=1, keepdim=True) + 1e-10) for f in network(colours)])
    expected = sum(((a - b) ** 2 * torch.from_numpy(w).float()[:, None, None]).sum(1).mean((1, 2))
                   for a, b, w in zip(*layers, weights)).mean()
    assert found == pytest.approx(float(expected), rel=1e-4)
    assert metrics.lpips(reference, reference, network, weights) == 0
    assert metrics.lpips(reference, 1j * image, network, weights) == pytest.approx(found, rel=1e-6)
    refused(lambda: metrics.lpips(reference, image, network, weights[:1]), ValueError, "weights have [4] channels")
    refused(lambda: metrics.lpips(reference, image, "alex", weights), TypeError, "network must be a callable")


def test_lpips_weights_come_from_disk(tmp_path):
    torch.save({f"lin{k}.model.1.weight": torch.full((1, c, 1, 1), float(k)) for k, c in enumerate((4, 6))},
               tmp_path / "alex.pth")
    found = metrics.lpips_weights(tmp_path / "alex.pth")
    assert [w.shape for w in found] == [(4,), (6,)]
    assert (found[1] == 1).all()
    refused(lambda: metrics.lpips_weights(tmp_path / "no.pth"), FileNotFoundError, "nothing is downloaded")
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    refused(lambda: metrics.lpips_weights(tmp_path / "bad.pth"), ValueError, "holds no weights")


class Code:
    """What a pickle runs when it is opened."""

    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


@pytest.mark.parametrize(("held", "told"), [
    ({"lin0.weight": torch.full((4,), torch.nan)}, "holds NaN or Inf"),
    ({"lin0.weight": torch.zeros(4).to_sparse()}, "plain ones are needed"),
    ({"lin0.weight": torch.zeros(1).expand(1 << 30)}, "more than the file holds"),
    ({"lin0.weight": [1.0]}, "a tensor is needed"), ([torch.zeros(4)], "a dict is needed"),
    (Code(), "pickled code"), ({"lin0.weight": Code()}, "pickled code")])
def test_weights_of_lpips_come_through_the_door_of_files(tmp_path, held, told):
    torch.save(held, tmp_path / "alex.pth")
    for read in (metrics.lpips_weights, metrics.lpips_features):
        with pytest.raises(ValueError, match=r"alex\.pth holds no weights") as caught:
            read(tmp_path / "alex.pth")
        assert told in str(caught.value.__cause__)


def test_every_metric_is_defined_in_one_line():
    assert set(metrics.DEFINITIONS) == {"nmse", "psnr", "ssim", *DETAIL, "lpips", "frechet"}
    for name, words in metrics.DEFINITIONS.items():
        assert callable(getattr(metrics, name))
        assert "\n" not in words
        assert len(words) > 60
