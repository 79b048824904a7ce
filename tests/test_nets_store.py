"""What is stored of a network: nested ones, reconstruction networks, half precision, files that are no such thing."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

import pisolve as pi
from pisolve import nets
from pisolve.nets.blocks import describe
from pisolve.nets.store import ARCHITECTURES

CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}


def unet(activation="relu"):
    torch.manual_seed(0)
    return nets.UNet(widths=(4, 6), blocks=(1, 1), activation=activation)


def step():
    return nets.GradientStep(unet("elu"), multiple=2)


def modl():
    return nets.modl(nets.DnCNN(2, 2, 3), 2)


def image(seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((9, 12)) + 1j * rng.standard_normal((9, 12))).astype("complex64")


@pytest.mark.parametrize("make", [lambda: unet("elu"), step, lambda: nets.AveragedDnCNN(2, 3, 4),
                                  lambda: nets.GradientStep(nets.GradientStep(unet("silu")), 2)])
def test_denoisers_within_denoisers_come_back(make, tmp_path):
    net = make().eval()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    D = nets.load(tmp_path / "net.safetensors")
    assert describe(D.network) == describe(net)
    np.testing.assert_array_equal(D(image(), 0.1), pi.Denoiser(net)(image(), 0.1))
    assert D.has_potential == isinstance(net, nets.GradientStep)


def test_a_reconstruction_network_comes_as_it_is(tmp_path):
    net = modl()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    got = nets.load(tmp_path / "net.safetensors")
    assert type(got) is type(net)
    assert got.needs_maps
    assert not got.training
    assert got.source == {"name_or_path": str(tmp_path / "net.safetensors")}
    assert describe(got) == describe(net)
    for a, b in zip(net.state_dict().values(), got.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="reconstruction network: scale has no effect"):
        nets.load(tmp_path / "net.safetensors", scale=0.5)
    with pytest.raises(TypeError, match="no denoiser: give it to"):
        pi.PnP(got, 0.1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_halves_the_file_and_is_what_rounded_makes(dtype, tmp_path):
    torch.manual_seed(0)
    net = nets.UNet(widths=(16, 24), blocks=(1, 1)).eval()
    nets.save(net, tmp_path / "whole.safetensors", CARD)
    nets.save(net, tmp_path / "half.safetensors", CARD, dtype=dtype)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < 0.55 * sizes[1]
    got = nets.load(tmp_path / "half.safetensors")
    assert all(w.dtype == torch.float32 for w in got.network.parameters())
    expected = nets.rounded(net, dtype)
    np.testing.assert_array_equal(got(image(), 0.1), pi.Denoiser(expected)(image(), 0.1))
    assert not torch.equal(expected.head.weight, net.head.weight)  # and the original is as it was
    torch.testing.assert_close(expected.head.weight, net.head.weight, rtol=1e-2, atol=1e-6)


def test_weights_that_do_not_fit_into_half_are_refused(tmp_path):
    net = unet()
    net.head.weight.data[0] = 1e6
    with pytest.raises(ValueError, match=r"head.weight holds NaN or Inf in float16"):
        nets.save(net, tmp_path / "net.safetensors", CARD, dtype="float16")
    with pytest.raises(ValueError, match="dtype must be one of"):
        nets.save(net, tmp_path / "net.safetensors", CARD, dtype="int8")
    net.head.weight.data[0] = np.nan
    with pytest.raises(ValueError, match="training failed"):
        nets.save(net, tmp_path / "net.safetensors", CARD)
    assert not list(tmp_path.iterdir())


def test_saving_costs_no_random_number(tmp_path):
    torch.manual_seed(0)
    net, kept = modl(), torch.get_rng_state()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    assert torch.equal(torch.get_rng_state(), kept)


class Stranger(torch.nn.Module):
    config = {"channels": 2}

    def forward(self, x):
        return x[:, :2]


class Plain(torch.nn.Module):
    forward = Stranger.forward


@pytest.mark.parametrize(("make", "error", "word"), [
    (Stranger, TypeError, "which load can rebuild, got Stranger"),
    (lambda: nets.GradientStep(Stranger()), ValueError, "no network 'Stranger'"),
    (lambda: nets.GradientStep(Plain(), 2), TypeError, "Plain has no config")])
def test_networks_that_no_file_rebuilds_are_refused_when_saved(make, error, word, tmp_path):
    with pytest.raises(error, match=word):
        nets.save(make(), tmp_path / "net.safetensors", CARD)
    assert not list(tmp_path.iterdir())


def test_a_network_starts_from_weights_in_another_configuration():
    start = nets.load("denoiser-fast").network
    begun = {"weights": "denoiser-fast", "activation": "elu"}
    net = nets.store.build("GradientStep", {"network": begun, "multiple": 4})
    assert net.network.config == {**start.config, "activation": "elu"}
    assert all(p.requires_grad for p in net.parameters())
    for name, weight in start.state_dict().items():
        assert torch.equal(net.network.state_dict()[name], weight), name
    with pytest.raises(ValueError, match="must be one of activation, blocks, channels, widths, got 'activaton'"):
        nets.store.build("GradientStep", {"network": {"weights": "denoiser-fast", "activaton": "elu"}})
    with pytest.raises(ValueError, match="must be one of channels, multiple, network, got 'activation'"):
        nets.store.build("GradientStep", {"network": {"weights": "denoiser-gradient", "activation": "elu"}})
    with pytest.raises(ValueError, match=r"do not fit a network with \{'widths': \[8\]"):
        nets.store.build("GradientStep", {"network": {"weights": "denoiser-fast", "widths": [8], "blocks": [1]}})


BAD = {
    "no dict": [1], "unknown inside": {"architecture": "GradientStep", "config": {
        "network": {"architecture": "os", "config": {}}, "channels": 2}},
    "nested too deep": {"architecture": "GradientStep", "config": {}},
    "config no dict": {"architecture": "UNet", "config": 5}, "no config": {"architecture": "UNet"},
    "name no string": {"architecture": ["UNet"], "config": {}},
    "too large": {"architecture": "DnCNN", "config": {"channels": 1, "depth": 2, "width": 10**12}},
}
inner = BAD["nested too deep"]
for _ in range(300):
    inner["config"]["network"] = {"architecture": "GradientStep", "config": {}}
    inner = inner["config"]["network"]


@pytest.mark.parametrize("case", BAD)
def test_foreign_descriptions_are_one_line_errors(case, tmp_path):
    path = tmp_path / "net.safetensors"
    weights = {k: v.contiguous() for k, v in unet().state_dict().items()}
    safetensors.torch.save_file(weights, path, metadata={"pisolve": json.dumps(BAD[case])})
    with pytest.raises(ValueError, match=r"another version of pisolve|not written by nets\.save") as error:
        nets.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [step, modl, lambda: nets.AveragedDnCNN(2, 2, 2)])
@pytest.mark.parametrize("length", [0, 7, 100, -50, -1])
def test_truncated_files_are_refused_whatever_they_hold(make, length, tmp_path):
    path = tmp_path / "net.safetensors"
    nets.save(make(), path, CARD)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="plain weights"):
        nets.load(path)


def test_code_in_a_pickle_never_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"model.0.weight": Bomb()}, tmp_path / "dncnn_25.pth")
    torch.save(nets.DnCNN(1, 2, 2), tmp_path / "module_25.pth")  # a whole module is code, too
    for name in ("dncnn_25.pth", "module_25.pth"):
        with pytest.raises(ValueError, match="pickled code"):
            nets.load(tmp_path / name, level="blind")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", nets.available())
def test_everything_that_ships_loads_and_has_its_card(name):
    got, text = nets.load(name), nets.card(name)
    assert text.startswith(f"# {name}")
    for word in ("Licence", "Seed", "Training data", "Noise: sigma"):
        assert word in text
    if "denoiser" in name:
        assert isinstance(got, pi.Denoiser)
        assert np.isfinite(got(image(), got.level or 0.1)).all()
    else:
        assert hasattr(got, "needs_maps")


def test_every_architecture_says_what_rebuilds_it():
    for cls in ARCHITECTURES.values():
        assert issubclass(cls, torch.nn.Module)
        assert cls.__doc__


def test_a_network_within_a_network_starts_from_weights(tmp_path):
    net = unet()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    got = nets.build("Unrolled", {"solver": {"name": "HQS"}, "iterations": 2,
                                  "denoiser": {"weights": str(tmp_path / "net.safetensors")}})
    assert describe(got)["config"]["denoiser"] == describe(net)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), got.parts[0].parameters(), strict=True))
    assert all(p.requires_grad for p in got.parameters())
