"""Every reconstruction network under one contract: sizes, coils, gradients, files, recipes, refusals; and the list."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import NETWORKS, ONE_SIZE
from helpers import refused, relative

import pisolve as pi
from pisolve import _words, linops, masks, nets, phantom
from pisolve.nets.architectures import ARCHITECTURES
from pisolve.nets.catalogue import listed

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*it may invent detail")]
CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}
OLD = {"modl", "varnet", "cascade", "admm-net", "primal-dual", "vnu", "vnu-k", "e2e-varnet", "u-net"}  # checked there


def made(name, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    network = NETWORKS[name](nets).to(dtype)
    with torch.no_grad():
        for weight in network.parameters():  # also those that begin at 0
            weight += 0.02 * torch.randn_like(weight)
    return network


@cache
def scan(shape, coils, batch=2, dtype=torch.complex128):
    """(k-space (batch, coil, ky, kx), maps, mask (ky, kx)) of phantoms, undersampled along ky, about 1 in size."""
    found = [phantom.brain(shape, coils, seed=n, anatomy=n) for n in range(batch)]
    mask = masks.random(shape, 3, 0.25, seed=1)
    mps = np.stack([f.mps / np.linalg.norm(f.mps, axis=0) for f in found])
    kspace = np.stack([f.kspace for f in found]) * mask
    return torch.from_numpy(kspace).to(dtype), torch.from_numpy(mps).to(dtype), torch.from_numpy(mask)


def call(network, kspace, mps, mask):
    if network.needs_maps:
        return network(linops.sense(mps, mask.numpy()), kspace)
    return network(kspace, mask)


def shapes():
    for name in NETWORKS:
        for shape, coils in (((37, 45), 1), ((32, 32), 16), ((48, 33), 3))[: 1 if name in OLD else 3]:
            if shape == ONE_SIZE.get(name, shape):
                yield pytest.param(name, shape, coils, id=f"{name}-{shape[0]}x{shape[1]}-{coils}")


@pytest.mark.parametrize(("name", "shape", "coils"), shapes())
def test_any_size_and_number_of_coils(name, shape, coils):
    network, (kspace, mps, mask) = made(name), scan(shape, coils)
    kept = kspace.clone()
    image = call(network, kspace, mps, mask)
    assert image.shape == (2, *shape)
    assert image.dtype == (torch.complex128 if network.needs_maps else torch.float64)
    assert torch.isfinite(image).all()
    assert torch.equal(kspace, kept)
    image.abs().square().sum().backward()
    critic = {id(p) for p in getattr(network, "critic", torch.nn.Module()).parameters()}
    for key, weight in network.named_parameters():
        if id(weight) not in critic and weight.requires_grad:
            assert weight.grad is not None or name in OLD, key  # what the last step would do for a next one
            assert weight.grad is None or torch.isfinite(weight.grad).all(), key
    assert any(weight.grad.abs().sum() > 0 for weight in network.parameters() if weight.grad is not None)
    second = call(network, kspace[1:], mps[1:], mask)
    assert relative(second[0], image[1]) < 1e-6, "slices of a batch see each other"


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ONE_SIZE and n not in OLD])
def test_the_size_of_a_scan(name):
    network, (kspace, mps, mask) = made(name, torch.float32), scan((320, 300), 1, 1, torch.complex64)
    with torch.no_grad():
        image = call(network, kspace, mps, mask)
    assert image.shape == (1, 320, 300)
    assert torch.isfinite(image).all()


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in OLD])
def test_gradients_are_those_of_finite_differences(name):
    network = made(name)
    kspace, mps, mask = scan((32, 32), 1 if network.needs_maps else 3, 1)
    mps = torch.ones_like(mps) if network.needs_maps else mps  # data consistency in closed form

    def value():
        return call(network, kspace, mps, mask).abs().square().sum()

    weights = [p for p in network.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(value(), weights, allow_unused=True)
    ways = [torch.randn(w.shape, generator=torch.Generator().manual_seed(3), dtype=w.dtype) for w in weights]
    wanted = sum((s * d).sum() for s, d in zip(slopes, ways) if s is not None)
    step, found = 1e-7, []  # larger ones cross kinks of ReLUs
    with torch.no_grad():
        for sign in (1, -2):
            for weight, way in zip(weights, ways):
                weight += sign * step * way
            found.append(value())
    assert float((found[0] - found[1]) / (2 * step)) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_and_recipes_give_the_same_bits(name, tmp_path):
    network = made(name, torch.float32).eval()
    nets.save(network, tmp_path / "net.safetensors", CARD)
    loaded = nets.load(tmp_path / "net.safetensors")
    assert loaded.config == network.config
    kspace, mps, mask = (x.numpy() for x in scan((32, 32), 2, 1, torch.complex64))
    one = pi.io.Scan(kspace[0], mask=mask, mps=mps[0])
    image = pi.recon(one, network=network).x
    recipe = pi.Recipe(network=loaded)
    recipe.save(tmp_path / "recipe.json")
    done = pi.Recipe.load(tmp_path / "recipe.json")(one)
    assert done.ok
    np.testing.assert_array_equal(done.x, image)


@pytest.mark.parametrize("name", NETWORKS)
def test_bad_data_are_refused(name):
    network, (kspace, mps, mask) = made(name), scan((32, 32), 2, 1)
    holed = kspace.clone()
    holed[0, 0, 16, 16] = torch.nan
    with pytest.raises(ValueError, match=r"NaN|finite"):
        call(network, holed, mps, mask)
    with pytest.raises((ValueError, TypeError)):
        call(network, kspace[..., :30], mps, mask)
    with pytest.raises(TypeError):
        call(network, kspace.real, mps, mask) if not network.needs_maps else call(network, kspace.numpy(), mps, mask)


def test_what_does_not_fit_says_why():
    kspace, mps, mask = scan((37, 45), 3, 1)
    refused(lambda: call(made("automap"), kspace, mps, mask), ValueError, "kspace has 37x45 samples, this AUTOMAP is")
    points = torch.from_numpy(masks.poisson((37, 45), 2, calib=(8, 8), seed=1))
    refused(lambda: call(made("grappanet"), kspace, mps, points), ValueError, "GRAPPA of a GrappaNet fills lines")
    narrow = torch.from_numpy(masks.random((37, 45), 3, 0.08, seed=1))
    refused(lambda: call(made("grappanet"), kspace, mps, narrow), ValueError, "a GrappaNet fits its weights to a fully")
    net = nets.GrappaNet(2, 2, coils=4).double()
    refused(lambda: net(kspace, mask), ValueError, "kspace has 3 coils, this GrappaNet is for 4")
    refused(lambda: nets.SwinMR(width=10, heads=4), ValueError, "width must be a multiple of heads")
    refused(lambda: nets.ViT(width=6, heads=2), ValueError, "width must be a multiple of 4")
    refused(lambda: nets.InDomain(nets.DnCNN(2, 2, 4), "wavelet"), ValueError, "domain must be one of image")
    refused(lambda: nets.InDomain(nets.DnCNN(2, 2, 4), "k-space"), ValueError, "domain must be one of")
    refused(lambda: nets.GrappaNet(fill="spirit"), ValueError, "fill must be one of grappa, raki")
    refused(lambda: nets.T2Net(width=6, heads=4), ValueError, "width must be a multiple of heads")
    refused(lambda: nets.HUMUSBlock(depths=()), ValueError, "depths is empty")
    refused(lambda: nets.NAFNet(down=(1,), up=(1, 1)), ValueError, "down and up must name the same scales")
    refused(lambda: nets.DIMENSION(0, 0), ValueError, "kspace_blocks and image_blocks are both 0")
    refused(lambda: nets.residual_cnn("xt")(torch.zeros(1, 2, 4, 4)), ValueError, "a network in domain 'xt' is for")
    refused(lambda: nets.AUTOMAP((32, 32, 32)), ValueError, "size must be (y, x)")
    refused(lambda: nets.RIM(cell="lstm"), ValueError, "cell must be one of gru, indrnn")
    refused(lambda: nets.Postprocessor("swin"), TypeError, "network must be a torch module")
    refused(lambda: nets.Postprocessor(nets.FastMRIUNet(2, 1, 4, 2)).double()(linops.sense(mps, mask.numpy()), kspace),
            ValueError, "it must keep the shape")


# --- the list


def test_the_list_has_all_networks_and_what_ships():
    entries = nets.networks()
    assert {e.kind for e in entries} == set(_words.NETWORKS)
    ships = [name for e in entries for name in e.ships]
    assert sorted(ships) == nets.available()
    large = {"AUTOMAP": "AUTOMAP", "E2E-VarNet": "E2EVarNet", "GrappaNet": "GrappaNet", "VNU": "VNU",
             "GrappaNet, RAKI": "GrappaNet",
             "RefineGAN": "Adversarial", "PIC-GAN, GANCS": "Adversarial", "DRUNet": "DRUNet", "DIP": "DIP"}
    of = {e.name: large.get(e.name) or type(e.make()).__name__ for e in entries}
    parts = {"InDomain", "SwinMR", "ViT", "T2Net", "HUMUSBlock", "MWCNN", "Critic", "FilterBank",
             "FastMRIUNet"}  # inside of others
    assert set(of.values()) == set(ARCHITECTURES) - parts
    tested = {type(NETWORKS[name](nets)).__name__ for name in NETWORKS}
    whole = {n for n, c in ARCHITECTURES.items() if hasattr(c, "needs_maps")} | {"Adversarial"}
    assert tested == whole, "a reconstruction network without a case: a line in cases.py puts it under the contract"


def test_the_page_has_a_row_of_each():
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    for entry in nets.networks():
        row = entry.row()
        assert f"| {row['network']} | {row['kind']} | `{row['call']}` | {row['parameters']} |" in page, \
            "run python benchmarks/tables.py"


def test_parameters_are_those_of_the_papers():
    count = {e.name: e.parameters for e in nets.networks() if e.name not in ("DRUNet", "DIP")}
    assert count["AUTOMAP"] == nets.AUTOMAP.count((128, 128)) == 805_446_401
    assert nets.AUTOMAP.count((128, 128), 4096) == 201_454_337  # the class paper's 201 M
    assert (count["RIM"], count["CIRIM"]) == (94_080, 264_960)
    assert count["E2E-VarNet"] == 29_936_966
    with torch.device("meta"):
        assert sum(p.numel() for p in nets.SwinMR(channels=1).parameters()) == 11_497_681
        for width, number in ((32, 29_159_715), (64, 115_982_915)):  # told as 29.16 and 115.98 M
            net = nets.NAFNet(3, width, (2, 2, 4, 8), 12, (2, 2, 2, 2), level=False)
            assert sum(p.numel() for p in net.parameters()) == number
    small = nets.AUTOMAP((8, 6), 5, 3)
    assert sum(p.numel() for p in small.parameters()) == nets.AUTOMAP.count((8, 6), 5, 3)


def test_the_command_line_prints_the_list(run):
    code, out, _ = run("networks", "--kind", "k-space")
    assert code == 0
    assert out.strip() == listed("k-space").strip()
    assert "805,446,401" in out
    assert "GrappaNet" in out
    assert run("networks", "--kind", "gans")[0] == 2
