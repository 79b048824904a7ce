"""The networks, their files, their training, and what the shipped weights and a public network do to real images."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import data_path

from pisolve import backend, nets, phantom
from pisolve.priors import RED, Denoiser, PnP
from pisolve.recipe.format import decode, encode

CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}


def small(seed=0):
    torch.manual_seed(seed)
    return nets.UNet(widths=(4, 6, 8), blocks=(1, 0, 1))


def real_brain():
    """An in-vivo slice (y, x), complex, with a 99th percentile of 1; never used in training."""
    with h5py.File(data_path("kspace/invivo_brain_cimax_16ch.h5")) as file:
        coils = backend.fft(file["kspace"][0], (-2, -1), inverse=True)
    size = np.sqrt((abs(coils) ** 2).sum(0))
    return (size * np.exp(1j * np.angle((coils * coils[:, 64, 64].conj()[:, None, None]).sum(0)))
            / np.percentile(size, 99)).astype(np.complex64)


def noisy(image, sigma, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((*image.shape, 2)) @ [1, 1j]
    return (image + sigma * noise).astype(np.complex64)


def psnr(image, reference):
    return 10 * np.log10(abs(reference).max() ** 2 / np.mean(abs(image - reference) ** 2))


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (3, 2), (1, 1), (16, 6)])
def test_unet_is_homogeneous_and_keeps_sizes(size):
    net = small()
    x = torch.randn(2, 3, *size)
    assert net(x).shape == (2, 2, *size)
    for factor in (1e-3, 50.0):
        torch.testing.assert_close(net(factor * x), factor * net(x), rtol=1e-4, atol=1e-5 * factor)
    assert not any("bias" in name for name, _ in net.named_parameters())
    assert torch.all(net(torch.zeros(1, 3, *size)) == 0)


def test_default_unet_is_small():
    assert 0.3e6 < sum(p.numel() for p in nets.UNet().parameters()) < 0.5e6


@pytest.mark.parametrize("bias", [False, True])
def test_dncnn_is_the_chain_it_says(bias):
    torch.manual_seed(0)
    net = nets.DnCNN(2, 4, 5, bias=bias)
    x = y = torch.randn(1, 2, 6, 7)
    for n in range(4):
        layer = net.model[2 * n]
        y = torch.nn.functional.conv2d(y, layer.weight, layer.bias, padding=1)
        y = y if n == 3 else y.clamp(min=0)
    torch.testing.assert_close(net(x), x - y)
    assert (layer.bias is not None) == bias


@pytest.mark.parametrize("make", [small, lambda: nets.DnCNN(2, 3, 4, bias=False), lambda: nets.DnCNN(1, 2, 3)])
def test_saved_networks_come_back(make, tmp_path):
    net = make()
    path = tmp_path / "own.safetensors"
    nets.save(net, path, {**CARD, "level": 0.1, "note": "a test", "figures": [{"sigma": 0.1, "psnr": 30}]})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.md", "own.safetensors"]
    denoiser = nets.load(path, scale=0.5)
    assert denoiser.level == pytest.approx(0.2)
    assert denoiser.note == "a test"
    assert not denoiser.network.training
    for (key, a), (other, b) in zip(net.state_dict().items(), denoiser.network.state_dict().items()):
        assert key == other
        assert torch.equal(a, b)
    text = (tmp_path / "own.md").read_text()
    assert "CC0" in text
    assert "| 0.1 | 30 |" in text
    x = noisy(np.zeros((8, 8)), 1.0)
    np.testing.assert_array_equal(denoiser(x), Denoiser(net.eval(), scale=0.5)(x, 0.2))


@pytest.mark.parametrize(("key", "name", "level"), [
    ("dncnn_25.pth", None, 25 / 255), ("dncnn_gray_50.pt", None, 50 / 255), ("dncnn_gray_blind.pth", None, None),
    ("mine.pth", 0.3, 0.3), ("mine.pth", "blind", None), ("dncnn_15.safetensors", None, 15 / 255)])
def test_plain_dncnn_files_are_read_from_their_shapes(key, name, level, tmp_path):
    net = nets.DnCNN(1, 3, 4)
    if key.endswith("safetensors"):
        safetensors.torch.save_file(net.state_dict(), tmp_path / key)
    else:
        torch.save({"params": net.state_dict()}, tmp_path / key)
    denoiser = nets.load(tmp_path / key, level=name)
    assert denoiser.level == (None if level is None else pytest.approx(level))
    assert denoiser.network.config == net.config
    assert denoiser.channels == "parts"
    assert name is not None or "by" in denoiser.note


@pytest.mark.parametrize(("name", "options"), [
    ("denoiser-brain", {}), ("denoiser-brain", {"scale": np.float32(0.5)}),
    ("dncnn_gray_25.pth", {}), ("dncnn_gray_25.pth", {"scale": 0.5, "offset": 0.5}),
    ("dncnn_gray_25.pth", {"level": 0.1, "rescale": True}), ("mine.pth", {"level": "blind", "channels": "magnitude"})])
def test_a_loaded_denoiser_can_be_written_down(name, options, tmp_path):
    """Its source goes through JSON as part of a recipe, and makes the same denoiser again."""
    if name.endswith(".pth"):
        torch.manual_seed(0)
        name = tmp_path / name
        torch.save(nets.DnCNN(1, 3, 4).state_dict(), name)
    elif name not in nets.available():
        pytest.skip(f"{name} is not in this installation")
    denoiser = nets.load(name, **options)
    assert denoiser.source == {"name_or_path": str(name), **options}
    sigma = None if denoiser.level else 0.1
    prior = 0.5 * RED(denoiser, sigma) if denoiser.level else PnP(denoiser, sigma)
    again = decode(json.loads(json.dumps(encode(prior))))
    other = (again.prior if denoiser.level else again).denoiser
    assert other.describe() == denoiser.describe()
    assert other.source == denoiser.source
    x = noisy(np.zeros((8, 8)), 1.0)
    np.testing.assert_array_equal(other(x, sigma), denoiser(x, sigma))


def test_a_denoiser_made_in_python_has_no_source():
    assert Denoiser(nets.DnCNN(1, 3, 4), level=0.1).source is None


@pytest.mark.parametrize(("options", "error", "word"), [
    ({"scale": 0}, ValueError, "scale must be > 0"), ({"offset": "a"}, TypeError, "offset must be"),
    ({"level": -1}, ValueError, "level must be"), ({"level": "deaf"}, ValueError, "level must be one of blind"),
    ({"channels": "grey"}, ValueError, "channels must be")])
def test_bad_options(options, error, word, tmp_path):
    torch.save(nets.DnCNN(1, 3, 4).state_dict(), tmp_path / "dncnn_25.pth")
    with pytest.raises(error, match=word):
        nets.load(tmp_path / "dncnn_25.pth", **options)


def _files(folder):
    state = nets.DnCNN(1, 3, 4).state_dict()
    files = {name: folder / name for name in (
        "text.safetensors", "cut.safetensors", "future.safetensors", "misfit.safetensors", "text.pth", "code_25.pth",
        "list.pth", "other.pth", "colour.pth", "unknown.pth", "nan.pth", "empty.pth")}
    files["text.safetensors"].write_text("not weights")
    files["text.pth"].write_text("not weights")
    files["empty.pth"].write_bytes(b"")
    nets.save(small(), files["misfit.safetensors"], CARD)
    files["cut.safetensors"].write_bytes(files["misfit.safetensors"].read_bytes()[:-100])
    about = {"architecture": "UNet", "config": {"widths": [4, 6], "blocks": [0, 0]}}
    weights = small().state_dict()
    safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, files["misfit.safetensors"],
                                metadata={"pisolve": json.dumps(about)})
    safetensors.torch.save_file(state, files["future.safetensors"],
                                metadata={"pisolve": json.dumps({"architecture": "Next", "config": {}})})
    with files["code_25.pth"].open("wb") as file:
        pickle.dump(Path("x"), file)
    torch.save([1, 2], files["list.pth"])
    torch.save({"conv.weight": torch.ones(1, 1, 3, 3)}, files["other.pth"])
    torch.save(nets.DnCNN(3, 3, 4).state_dict(), files["colour.pth"])
    torch.save(state, files["unknown.pth"])
    torch.save({k: v * np.nan for k, v in state.items()}, files["nan.pth"])
    return files


@pytest.mark.parametrize(("name", "word"), [
    ("text.safetensors", "plain weights"), ("cut.safetensors", "plain weights"),
    ("future.safetensors", "another version"), ("misfit.safetensors", "does not fit"),
    ("text.pth", "plain weights"), ("code_25.pth", "plain weights"),
    ("list.pth", "state dict"), ("other.pth", "no DnCNN"), ("colour.pth", "3 channels"), ("unknown.pth", "level="),
    ("nan.pth", "NaN"), ("empty.pth", "plain weights"), ("absent.pth", "no network")])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bad_files_say_what_to_do(name, word, tmp_path):
    files = _files(tmp_path)
    with pytest.raises(ValueError, match=word):
        nets.load(files.get(name, tmp_path / name))


@pytest.mark.parametrize(("module", "card", "error", "word"), [
    (torch.nn.Identity(), CARD, TypeError, "Identity"), (nets.DnCNN(1, 2, 2), {"data": "x"}, ValueError, "licence")])
def test_save_refuses_what_load_could_not_use(module, card, error, word, tmp_path):
    with pytest.raises(error, match=word):
        nets.save(module, tmp_path / "x.safetensors", card)
    with pytest.raises(ValueError, match="end in"):
        nets.save(nets.DnCNN(1, 2, 2), tmp_path / "x.pth", CARD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("make", "word"), [
    (lambda: nets.UNet(widths=(4, 4), blocks=(1,)), "widths"), (lambda: nets.UNet(widths=()), "widths"),
    (lambda: nets.UNet(channels=0), "channels"), (lambda: nets.DnCNN(depth=1), "depth")])
def test_bad_sizes(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def best_total_variation(given, sigma, clean):
    from skimage.restoration import denoise_tv_chambolle

    both = np.stack([given.real, given.imag], -1)
    return max(psnr(denoise_tv_chambolle(both, weight=w * sigma, channel_axis=-1) @ [1, 1j], clean)
               for w in (0.3, 0.5, 0.8, 1.2, 1.8))


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_shipped_denoiser_beats_total_variation_on_a_slice_kept_from_training(sigma):
    nibabel = pytest.importorskip("nibabel")
    size = np.asarray(nibabel.load(data_path("volumes/colin27_t1.nii.gz")).dataobj[:, :, 105], np.float32)
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in size.shape], indexing="ij")
    clean = (size / np.percentile(size, 99) * np.exp(1j * (2 * y - x + x * y))).astype(np.complex64)
    given = noisy(clean, sigma)
    denoised = nets.load("denoiser-brain")(given, sigma)
    assert psnr(denoised, clean) > best_total_variation(given, sigma, clean) + 2


def test_shipped_denoiser_beats_total_variation_on_a_real_brain():
    clean = real_brain()  # has noise of about 0.03 of its own, so that it is no reference for less noise than this
    given = noisy(clean, 0.1)
    assert psnr(nets.load("denoiser-brain")(given, 0.1), clean) > best_total_variation(given, 0.1, clean) + 0.4


def test_shipped_denoiser_has_its_card():
    assert "denoiser-brain" in nets.available()
    denoiser = nets.load("denoiser-brain")
    assert (denoiser.channels, denoiser.noise_input, denoiser.level) == ("complex", "map", None)
    text = nets.card("denoiser-brain").lower()
    for word in ("colin27", "mni152", "cardiac", "licence", "seed", "sigma 0.003 to 0.25"):
        assert word in text
    clean = phantom.brain((96, 96), 1).image
    assert psnr(denoiser(noisy(clean, 0.1), 0.1), clean) > psnr(noisy(clean, 0.1), clean) + 4
    with pytest.raises(ValueError, match="one of"):
        nets.card("another")


def test_public_dncnn_improves_a_real_image_at_its_own_level():
    denoiser = nets.load(data_path("weights/dncnn_gray_25.pth"))
    assert denoiser.network.config == {"channels": 1, "depth": 17, "width": 64, "bias": True}
    assert denoiser.level == pytest.approx(25 / 255)
    assert "25/255" in denoiser.note
    clean = real_brain()
    given = noisy(clean, denoiser.level)
    assert psnr(denoiser(given), clean) > psnr(given, clean) + 3
    with pytest.raises(ValueError, match="only"):
        denoiser(given, 0.02)
