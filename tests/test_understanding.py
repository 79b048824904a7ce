"""Understanding: influence of samples on a region, attention rollout, harmonisation of two scanners."""

import numpy as np
import pytest
import torch
from helpers import refused, relative
from torch import nn

import pisolve as pi
from pisolve import linops, masks, nets, phantom
from pisolve.evaluate import influence
from pisolve.evaluate.stability.replay import Replay
from pisolve.testing import distance

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (20, 18)
BRAIN = phantom.brain(SHAPE, 3, noise=0.01)
MASK = masks.random(SHAPE, 2, 0.3, seed=1)
SCAN = pi.io.Scan(BRAIN.kspace.astype(complex) * MASK, mask=MASK,
                  mps=(BRAIN.mps / np.linalg.norm(BRAIN.mps, axis=0)).astype(complex))
REGION = np.zeros(SHAPE, bool)
REGION[8:11, 7:10] = True
LINEAR = {"tikhonov": 0.05 * pi.Tikhonov(), "smooth": 0.1 * pi.Tikhonov() @ linops.gradient(SHAPE)}


def slope(recipe, e, t=1e-4):
    """ds / dt of y + t e by central differences, the phase of the region held."""
    replay = Replay(recipe, SCAN)
    u = np.exp(-1j * np.angle(replay.image))
    above, below = (replay(replay.kspace + sign * t * e)[0] for sign in (1, -1))
    return float((u * (above - below)).real[REGION].mean() / (2 * t))


def directions():
    rng = np.random.default_rng(0)
    white = rng.standard_normal((3, *SHAPE, 2)).view(complex)[..., 0] * MASK
    one = np.zeros_like(white)
    one[1, 10, 9] = 1j
    return white, one * MASK


def network(seed=0):
    torch.manual_seed(seed)
    return nets.modl(nets.DnCNN(2, 3, 4), 2, implicit=False).double().eval()


@pytest.mark.parametrize("name", LINEAR)
def test_influence_of_linear_methods_is_analytic(name):
    recipe = pi.Recipe(LINEAR[name], pi.CG(), tol=1e-11, max_iter=300)
    found = influence(recipe, SCAN, REGION)
    assert found.by == "analytic"
    assert not found.map[:, ~MASK].any()
    for e in directions():
        assert float((found.map.conj() * e).real.sum()) == pytest.approx(slope(recipe, e), rel=1e-5, abs=1e-9)
    assert abs(found.missing) < 1e-6  # linear: the samples' parts add up to the signal
    assert 0 < found.spread < 0.5
    by_torch = influence(recipe, SCAN, REGION, by="gradient")
    assert distance(by_torch.map, found.map) < 1e-5


def test_influence_in_closed_form_of_a_full_scan():
    full = pi.io.Scan(BRAIN.kspace.astype(complex), mps=SCAN.mps)
    found = influence(pi.Recipe(0.5 * pi.Tikhonov(), tol=1e-11), full, REGION, noise=0.01)
    replay = Replay(pi.Recipe(0.5 * pi.Tikhonov(), tol=1e-11), full)
    weights = np.exp(1j * np.angle(replay.image)) * REGION / REGION.sum()
    A = replay.model.A
    gain = np.linalg.norm(A.mps, axis=0)[REGION].mean() ** 2
    assert distance(found.map, A(weights) / (gain + 0.5) / replay.model.size) < 1e-3  # A^H A is a number here
    assert distance(found.image * REGION, found.image) < 1e-6, "nothing of elsewhere"
    assert found.noise == pytest.approx(0.01 * np.linalg.norm(found.map))


@pytest.mark.parametrize("recipe", [pi.Recipe(0.02 * pi.TV(), pi.ADMM(rho=0.1, inner=4), max_iter=10),
                                    pi.Recipe(network=network())], ids=["tv", "network"])
def test_influence_by_the_derivative_of_the_run(recipe):
    found = influence(recipe, SCAN, REGION)
    assert found.by == "gradient"
    for e in directions()[:1]:
        assert float((found.map.conj() * e).real.sum()) == pytest.approx(slope(recipe, e, 1e-5), rel=1e-3)
    refused(lambda: influence(recipe, SCAN, REGION, by="analytic"), ValueError, "by='analytic' cannot be")


def test_integrated_gradients_are_complete():
    recipe = pi.Recipe(network=network())
    found = influence(recipe, SCAN, REGION, by="integrated", steps=32)
    assert abs(found.missing) < 5e-3
    assert abs(influence(recipe, SCAN, REGION).missing) > 5 * abs(found.missing)  # one derivative is not
    assert found.given.sum() == pytest.approx(found.signal - found.base, rel=5e-3)
    assert "accounted for" in str(found.section())
    assert found.to_dict()["pixels"] == 9


def test_what_has_no_influence_is_refused():
    recipe = pi.Recipe(0.05 * pi.Tikhonov())
    refused(lambda: influence(recipe, SCAN), ValueError, "region is missing")
    refused(lambda: influence(recipe, SCAN, REGION[1:]), ValueError, "region has shape (19, 18)")
    refused(lambda: influence(recipe, SCAN, REGION & False), ValueError, "region has no pixels")
    refused(lambda: influence(recipe, SCAN, REGION, by="exact"), ValueError, "by must be one of")
    refused(lambda: influence(pi.Recipe(method=pi.Grappa()), SCAN, REGION), ValueError, "by='gradient' cannot be")


# --- attention


@pytest.mark.parametrize("make", [lambda: nets.ViT(2, 4, 8, 3, 2), lambda: nets.SwinMR(2, 8, (2, 2), 2, 4)],
                         ids=["vit", "swin"])
def test_rollout_shares_out_one(make):
    torch.manual_seed(0)
    net, x = make(), torch.randn(2, 2, 18, 21)
    region = np.zeros((18, 21), bool)
    region[:3, :3] = True
    seen = nets.rollout(net, x, region)
    assert seen.shape == (2, 18, 21)
    assert (seen >= 0).all()
    torch.testing.assert_close(seen.sum((1, 2)), torch.ones(2))
    assert not any(m._forward_pre_hooks for m in net.modules())
    assert relative(nets.rollout(net, torch.complex(x[:, 0], x[:, 1]), region), seen) < 1e-6


def test_rollout_is_the_product_of_the_attentions():
    torch.manual_seed(0)
    net, x = nets.ViT(1, 4, 8, 2, 2).double(), torch.randn(1, 1, 8, 12, dtype=torch.float64)
    region = np.zeros((8, 12), bool)
    region[4:8, 4:8] = True  # the fifth patch of six
    found = []
    parts = [layer.attention for layer in net.layers]
    hooks = [m.register_forward_pre_hook(lambda m, given: found.append(m.weights(*given)[0])) for m in parts]
    net(x)
    for hook in hooks:
        hook.remove()
    eye = torch.eye(6, dtype=torch.float64)
    row = ((found[1] + eye) / 2 @ (found[0] + eye) / 2)[4].detach()
    seen = nets.rollout(net, x, region)[0]
    torch.testing.assert_close(seen[::4, ::4].flatten() * 16, row)
    with torch.no_grad():
        for part in parts:
            part.qkv.weight.zero_()
    even = nets.rollout(net, x, region)[0, ::4, ::4].flatten() * 16  # all look everywhere
    assert even.tolist() == pytest.approx([0.75 / 6] * 4 + [0.25 + 0.75 / 6] + [0.75 / 6])


def test_rollout_of_windows_stays_where_attention_reaches():
    torch.manual_seed(0)
    net, x = nets.SwinMR(1, 8, (2,), 2, 4), torch.randn(1, 1, 16, 16)
    region = np.zeros((16, 16), bool)
    region[0, 0] = True
    seen = nets.rollout(net, x, region)[0]
    assert (seen[:4, :4] > 0).all()  # its own window; the shifted ones end at the edge
    assert seen[4:].abs().max() == seen[:, 4:].abs().max() == 0
    region[:] = False
    region[5, 5] = True
    seen = nets.rollout(net, x, region)[0]
    assert seen[0, 0] > 0  # through the shifted window 2..5, to the plain one 0..3
    assert seen[8:].abs().max() == 0
    refused(lambda: nets.rollout(nets.DnCNN(2, 2, 4), x, region), TypeError, "network must be a ViT or a SwinMR")
    refused(lambda: nets.rollout(net, x, region[1:]), ValueError, "region must be bool of the image's shape")


# --- two scanners


def scanner(gain, offset, seed):
    """Noisy and clean slices of a scanner, (B, 1, y, x): another gain and another offset of its magnitudes."""
    clean = torch.stack([torch.from_numpy(abs(phantom.brain((32, 32), 1, anatomy=n + 10 * seed).image)).float()
                         for n in range(4)])[:, None]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return gain * noisy + offset, gain * clean + offset


def trained():
    """A small denoiser of the first scanner's images."""
    torch.manual_seed(0)
    noisy, clean = scanner(1.0, 0.0, 0)
    a, b, c = (nn.Conv2d(*n, 3, padding=1, padding_mode="replicate") for n in ((1, 8), (8, 8), (8, 1)))
    net = nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), c)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        (net(noisy) - clean).square().mean().backward()
        optimiser.step()
    return net


def test_two_scanners_are_harmonised():
    net = trained()
    (own, _), (noisy, clean) = scanner(1.0, 0.0, 0), scanner(5.0, -3.0, 1)
    to, of = (nets.statistics(net, [x], ["0"]) for x in (own, noisy))

    def error(x):
        return float((x - clean).square().mean() ** 0.5) / 5

    with torch.no_grad():
        plain = error(net(noisy))
        errors = {}
        for name, other in (("feature-wise", {"": to[""]}), ("sample-wise", {"": to[""]})):
            with nets.harmonise(net, other, of if name == "feature-wise" else None):
                errors[name] = error(net(noisy))
        mapped = (noisy + 3) / 5  # the same slices as the first site would see them
        with nets.harmonise(net, {"0": nets.statistics(net, [mapped], ["0"])["0"]}, of):  # a layer inside
            inside = net(noisy)
        assert float(net(noisy).sub(clean).square().mean() ** 0.5) / 5 == plain, "the hooks are gone"
    assert max(errors.values()) < 0.075 < error(noisy) < 0.3 < plain  # it denoises again as at home
    with torch.no_grad():
        assert relative(inside, net(mapped)) < 1e-4 < 0.1 < relative(net(noisy), net(mapped))


def test_statistics_are_means_and_deviations():
    net, x = nn.Conv2d(2, 3, 3), torch.randn(4, 2, 8, 9) * 2 + 1
    found = nets.statistics(net, x.split(1))
    torch.testing.assert_close(found[""].mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(found[""].std, x.std((0, 2, 3), correction=0))
    same = nn.Identity()
    with nets.harmonise(same, nets.statistics(same, [x]), nets.statistics(same, [3 * x + 2])):
        torch.testing.assert_close(same(3 * x + 2), 3 * x + 2)  # there and back
    flat = torch.ones(1, 2, 4, 4)
    with nets.harmonise(same, found):
        assert torch.isfinite(same(flat)).all()  # an image that does not vary
    refused(lambda: nets.statistics(net, []), ValueError, "samples is empty")
    refused(lambda: nets.statistics(net, [x], ["head"]), ValueError, "there is no layer 'head'")
    refused(lambda: nets.statistics(net, [x[0]]), ValueError, "a sample must be a tensor (B, channels, y, x)")
    with pytest.raises(ValueError, match="of lacks the statistics of ''"), nets.harmonise(net, found, {}):
        pass
