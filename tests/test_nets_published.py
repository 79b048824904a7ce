"""Public weights of others: told apart by their tensors, and their networks computed here by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import data_path
from torch import nn

import pisolve as pi
from pisolve import nets

X = np.random.default_rng(0).standard_normal((2, 11, 14, 2)).view(complex)[..., 0].astype(np.complex64)
PLANES = torch.from_numpy(np.concatenate([X.real, X.imag]))[:, None]


def as_complex(planes):
    planes = planes.detach().numpy()[:, 0]
    return planes[:2] + 1j * planes[2:]


def chain(sizes, *, norm=False, bias=True, seed=0, name="model"):
    """The state dict of 3x3 convolutions, ReLUs between them and, of all but the ends, batch norm behind them."""
    torch.manual_seed(seed)
    layers, last = [], len(sizes) - 2
    for k, (a, b) in enumerate(pairwise(sizes)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=bias)]
        if norm and 0 < k < last:
            layers += [nn.BatchNorm2d(b)]
            nn.init.uniform_(layers[-1].weight, 0.5, 2)
            nn.init.normal_(layers[-1].bias)
            layers[-1].running_mean.normal_()
            layers[-1].running_var.uniform_(1e-4, 2)  # where eps counts, too
        layers += [nn.ReLU()] if k < last else []
    return {f"{name}.{k}": v for k, v in nn.Sequential(*layers).state_dict().items()}


def convolved(x, weights, dilations):
    for k, d in enumerate(dilations):
        x = F.conv2d(x, weights[f"model.{2 * k}.weight"], weights.get(f"model.{2 * k}.bias"), padding=d, dilation=d)
        x = x if k == len(dilations) - 1 else x.relu()
    return x


def written(folder, content, name="net.pth"):
    torch.save(content, folder / name)
    return folder / name


SEVEN = chain([1, *[5] * 6, 1])
DILATED = (1, 2, 3, 4, 3, 2, 1)


@pytest.mark.parametrize(("name", "architecture", "dilations"), [
    ("ircnn_gray_25.pth", None, DILATED), ("dncnn_25.pth", None, (1,) * 7), ("net.pth", "IRCNN", DILATED),
    ("net.pth", "DnCNN", (1,) * 7), ("my_IRCNN.pth", None, DILATED)])
def test_an_ircnn_is_no_undilated_dncnn(name, architecture, dilations, tmp_path):
    D = nets.load(written(tmp_path, SEVEN, name), level=0.1, architecture=architecture)
    assert type(D.network).__name__ == ("IRCNN" if dilations == DILATED else "DnCNN")
    np.testing.assert_allclose(D(X), as_complex(PLANES - convolved(PLANES, SEVEN, dilations)), atol=1e-5)
    assert ("architecture" in D.source) == (architecture is not None)


def test_what_the_tensors_do_not_tell_is_asked_for(tmp_path):
    path = written(tmp_path, SEVEN)
    with pytest.raises(ValueError, match=r"net.pth may be a DnCNN of seven .* architecture='IRCNN'"):
        nets.load(path, level=0.1)
    with pytest.raises(ValueError, match="architecture must be one of None, DnCNN, IRCNN"):
        nets.load(path, level=0.1, architecture="ircnn")
    six = written(tmp_path, chain([1, *[5] * 5, 1]), "six.pth")
    with pytest.raises(ValueError, match=r"architecture is 'IRCNN', but the tensors of six.pth are those of a DnCNN"):
        nets.load(six, level=0.1, architecture="IRCNN")
    with pytest.raises(ValueError, match="architecture has no effect"):
        nets.load("denoiser-fast", architecture="IRCNN")
    assert type(nets.load(six, level=0.1).network).__name__ == "DnCNN"


def test_the_file_of_25_ircnns_gives_the_one_for_a_level(tmp_path):
    all_ = {str(k): chain([1, *[3] * 6, 1], seed=k) for k in range(25)}
    path = written(tmp_path, all_, "ircnn_gray.pth")
    for level, scale, k in ((25 / 255, 1.0, 12), (2 / 255, 1.0, 0), (0.1 / 255, 1.0, 0), (1.0, 1.0, 24),
                            (50 / 255, 0.5, 12), (26 / 255, 1.0, 12), (26.1 / 255, 1.0, 13)):
        D = nets.load(path, level=level, scale=scale)
        assert D.level == level
        expected = PLANES * scale - convolved(PLANES * scale, all_[str(k)], DILATED)
        np.testing.assert_allclose(D(X), as_complex(expected / scale), atol=1e-5)
    for level in (None, "blind"):
        with pytest.raises(ValueError, match=r"holds 25 networks, for sigma 2/255, .* give level="):
            nets.load(path, level=level)


@pytest.mark.parametrize(("name", "eps", "bias"), [("model", 1e-4, True), ("dncnn", 1e-5, False)])
@pytest.mark.parametrize("channels", [1, 2])
def test_batch_norm_is_folded_into_a_dncnn(name, eps, bias, channels, tmp_path):
    weights = chain([channels, 6, 6, 6, 6, channels], norm=True, bias=bias, name=name)
    D = nets.load(written(tmp_path, weights), level=0.1)
    assert (type(D.network).__name__, D.network.config["depth"]) == ("DnCNN", 5)
    x = PLANES if channels == 1 else torch.from_numpy(np.stack([X.real, X.imag], 1))
    y, last = x, max(int(k.split(".")[1]) for k in weights)
    for k in range(last + 1):
        w = {n.split(".")[2]: v for n, v in weights.items() if n.startswith(f"{name}.{k}.")}
        if not w:
            y = y.relu()
        elif w["weight"].ndim == 4:
            y = F.conv2d(y, w["weight"], w.get("bias"), padding=1)
        else:
            y = F.batch_norm(y, w["running_mean"], w["running_var"], w["weight"], w["bias"], eps=eps)
    expected = (x - y).numpy()
    expected = as_complex(x - y) if channels == 1 else expected[:, 0] + 1j * expected[:, 1]
    np.testing.assert_allclose(D(X), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_ffdnet_is_told_its_level_and_that_of_each_pixel(channels, tmp_path):
    weights = chain([4 * channels + 1, 6, 6, 4 * channels])
    D = nets.load(written(tmp_path, weights))
    assert (type(D.network).__name__, D.level) == ("FFDNet", None)

    def by_hand(sigma):
        x = PLANES if channels == 1 else torch.from_numpy(np.stack([X.real, X.imag], 1))
        x = F.pad(x, (0, 0, 0, 1), mode="replicate")  # 11 rows
        parities = [x[:, c, i::2, j::2] for c in range(channels) for i in (0, 1) for j in (0, 1)]
        level = torch.full((len(x), 6, 7), sigma) if isinstance(sigma, float) else sigma
        y = convolved(torch.stack([*parities, level], 1), weights, (1, 1, 1))
        out = torch.zeros_like(x)
        for n in range(4 * channels):
            out[:, n // 4, n % 4 // 2::2, n % 2::2] = y[:, n]
        out = out[:, :, :11].detach().numpy()
        return as_complex(torch.from_numpy(out)) if channels == 1 else out[:, 0] + 1j * out[:, 1]

    for sigma in (0.1, 0.4):
        np.testing.assert_allclose(D(X, sigma), by_hand(sigma), atol=1e-5)
    levels = np.kron(np.linspace(0.1, 1, 42).reshape(6, 7), np.ones((2, 2)))[:11]
    half = torch.from_numpy(levels[::2, ::2].astype(np.float32)).expand(len(X) * (2 // channels), 6, 7)
    np.testing.assert_allclose(D(X, levels), by_hand(half), atol=1e-5)
    assert pi.PnP(D, sigma=levels).prox(X, 1.0).shape == X.shape


def drunet(channels, widths, blocks, bias):
    """A state dict under DRUNet's names, and its forward pass."""
    torch.manual_seed(0)
    weights = {}

    def add(name, *shape):
        weights[f"{name}.weight"] = 0.2 * torch.randn(shape)
        if bias:
            weights[f"{name}.bias"] = torch.randn(shape[1] if name.startswith("m_up") and name.endswith(".0") and
                                                  ".res" not in name else shape[0])

    add("m_head", widths[0], channels + 1, 3, 3)
    for k in (1, 2, 3):
        a, b = widths[k - 1], widths[k]
        for n in range(blocks):
            for part in ("res.0", "res.2"):
                add(f"m_down{k}.{n}.{part}", a, a, 3, 3)
                add(f"m_up{k}.{n + 1}.{part}", a, a, 3, 3)
        add(f"m_down{k}.{blocks}", b, a, 2, 2)
        add(f"m_up{k}.0", b, a, 2, 2)
    for n in range(blocks):
        for part in ("res.0", "res.2"):
            add(f"m_body.{n}.{part}" if blocks > 1 else f"m_body.{part}", widths[3], widths[3], 3, 3)
    add("m_tail", channels, widths[0], 3, 3)

    def conv(x, name, f=F.conv2d, **options):
        return f(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)

    def blocks_of(x, names):
        for name in names:
            x = x + conv(conv(x, f"{name}.res.0", padding=1).relu(), f"{name}.res.2", padding=1)
        return x

    def forward(x):
        kept = [conv(x, "m_head", padding=1)]
        for k in (1, 2, 3):
            y = blocks_of(kept[-1], [f"m_down{k}.{n}" for n in range(blocks)])
            kept.append(conv(y, f"m_down{k}.{blocks}", stride=2))
        y = blocks_of(kept[3], [f"m_body.{n}" for n in range(blocks)] if blocks > 1 else ["m_body"])
        for k in (3, 2, 1):
            y = conv(y + kept[k], f"m_up{k}.0", F.conv_transpose2d, stride=2)
            y = blocks_of(y, [f"m_up{k}.{n + 1}" for n in range(blocks)])
        return conv(y + kept[0], "m_tail", padding=1)

    return weights, forward


@pytest.mark.parametrize(("channels", "blocks", "bias"), [(1, 2, False), (2, 1, False), (1, 4, True)])
def test_drunet_is_told_its_level_by_a_map(channels, blocks, bias, tmp_path):
    weights, forward = drunet(channels, [4, 5, 6, 7], blocks, bias)
    D = nets.load(written(tmp_path, weights, "drunet_gray.pth"))
    assert (type(D.network).__name__, D.noise_input, D.level) == ("DRUNet", "map", None)
    x = PLANES if channels == 1 else torch.from_numpy(np.stack([X.real, X.imag], 1))
    given = F.pad(torch.cat([x, torch.full_like(x[:, :1], 0.2)], 1), (0, 2, 0, 5), mode="reflect")
    out = forward(given)[..., :11, :14]
    expected = as_complex(out) if channels == 1 else out[:, 0].numpy() + 1j * out[:, 1].numpy()
    np.testing.assert_allclose(D(X, 0.2), expected, rtol=1e-4, atol=1e-3 * abs(expected).max())
    levels = np.linspace(0.1, 1, X[0].size).reshape(X[0].shape)
    assert abs(D(X, levels) - D(X, 0.2)).max() > 1e-3


def test_fastmris_unet_as_a_denoiser(tmp_path):
    torch.manual_seed(0)
    for channels, word in ((2, "complex"), (1, "parts")):
        net = nets.FastMRIUNet(channels, channels, 4, 2).eval()
        path = written(tmp_path, net.state_dict())
        with pytest.raises(ValueError, match=r"the noise level of net.pth is not known: give level="):
            nets.load(path)
        D = nets.load(path, level="blind")
        assert D.channels == word
        np.testing.assert_array_equal(D(X), pi.Denoiser(net)(X))
    with pytest.raises(ValueError, match="from 1 to 2 channels"):
        nets.load(written(tmp_path, nets.FastMRIUNet(1, 2, 4, 2).state_dict()), level=0.1)


PLAIN = chain([1, 4, 4, 1])
PACKED = {
    "module": {f"module.{k}": v for k, v in PLAIN.items()}, "params": {"params": PLAIN},
    "params_ema": {"params": chain([1, 4, 4, 1], seed=1), "params_ema": PLAIN},
    "lightning": {"state_dict": {f"net.{k}": v for k, v in PLAIN.items()}, "epoch": 3},
    "compiled": {f"_orig_mod.module.{k}": v for k, v in PLAIN.items()},
    "optimiser": {"epoch": 3, "model_state_dict": PLAIN, "optimizer_state_dict": {}},
    "averaged": {f"module.{k}": v for k, v in PLAIN.items()} | {"n_averaged": torch.tensor(3)},
    "twice": {"model": {"params_ema": {f"module.{k}": v for k, v in PLAIN.items()}}},
    "same word": {f"model.{k}": v for k, v in PLAIN.items()},
    "half": {k: v.half() for k, v in PLAIN.items()}}


@pytest.mark.parametrize("name", PACKED)
def test_weights_are_found_within_checkpoints_and_behind_prefixes(name, tmp_path):
    got = nets.load(written(tmp_path, PACKED[name]), level=0.1)(X)
    expected = as_complex(PLANES - convolved(PLANES, PLAIN, (1, 1, 1)))
    np.testing.assert_allclose(got, expected, atol=5e-3 if name == "half" else 1e-5)


@pytest.mark.parametrize(("content", "word"), [
    (chain([3, 4, 4, 3]), "from 3 to 3 channels: one"), (chain([2, 4, 4, 1]), "from 2 to 1 channels"),
    (chain([13, 4, 4, 12]), "from 3 to 3 channels"), ({"a.weight": torch.ones(3)}, "is no DnCNN .* it has a.weight"),
    ({f"model.{2 * k}.weight": torch.ones(1, 1, 5, 5) for k in range(3)}, "is no DnCNN"),
    ({k: v for k, v in chain([1, 4, 4, 4, 1]).items() if ".2." not in k}, "is no DnCNN"),
    (PLAIN | {"other.weight": torch.ones(3)}, "is no DnCNN")])
def test_other_networks_are_refused_in_words(content, word, tmp_path):
    with pytest.raises(ValueError, match=word):
        nets.load(written(tmp_path, content), level=0.1)


def test_a_torchscript_file_is_told_from_weights(tmp_path):
    torch.jit.script(nn.Conv2d(2, 2, 1)).save(tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"TorchScript module, which is code: .* torch\.jit\.load"):
        nets.load(tmp_path / "net.pt")
    assert pi.Denoiser(torch.jit.load(tmp_path / "net.pt"))(X).shape == X.shape


CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}


@pytest.mark.parametrize("make", [lambda: nets.IRCNN(2, 4), lambda: nets.FFDNet(1, 4, 6),
                                  lambda: nets.DRUNet(1, [3, 4, 5, 6], 1),
                                  lambda: nets.DRUNet(2, [3, 4, 5, 6], 2, True)])
def test_they_are_saved_and_come_back(make, tmp_path):
    torch.manual_seed(0)
    net = make().eval()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    got = nets.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(got(X, 0.1), pi.Denoiser(net)(X, 0.1))


def test_the_public_dncnn_is_what_it_was():
    D = nets.load(data_path("weights/dncnn_gray_25.pth"))
    assert (type(D.network).__name__, D.network.config["depth"]) == ("DnCNN", 17)
    assert D.level == 25 / 255
    assert D.note == "DnCNN of dncnn_gray_25.pth, sigma 25/255 in the network's units, by its file name"
