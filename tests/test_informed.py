"""The network that is told noise and acceleration: its steps by formula, what it is told, and by whom."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import refused, relative

import pisolve as pi
from pisolve import linops, masks, nets, phantom
from pisolve.nets.informed import acceleration
from pisolve.prepare.noise import noise_level

pytestmark = pytest.mark.usefixtures("one_thread")
CARD = {"data": "none", "licence": "CC0", "noise_range": [0.0, 0.1], "intensity_range": "1", "seed": 0, "figures": []}
MASK = masks.random((32, 28), 3, 0.25, seed=1)


class Shrink(torch.nn.Module):
    """D(x, sigma) = x / (1 + sigma^2), from the level in the third channel."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, planes):
        return self.one * planes[:, :2] / (1 + planes[:, 2:] ** 2)


def shrinking(iterations, **options):
    return nets.Informed(Shrink(), iterations, channels="complex", noise_input="map", **options).double()


def small(seed=0):
    torch.manual_seed(seed)
    return nets.Informed(nets.UNet(2, (4, 6), (1, 1)), 2)


def data(noise, seed=0, coils=3, batch=()):
    found = phantom.brain((32, 28), coils, noise=noise, seed=seed)
    mps = found.mps / np.linalg.norm(found.mps, axis=0)
    return linops.sense(mps.astype(complex), MASK), torch.from_numpy((found.kspace * MASK).astype(complex))


def test_steps_are_those_of_the_formula():
    """K = 2 by dense algebra: D, the data by their normal equations, and the momentum between them."""
    net, (A, y) = shrinking(2, sigma=(0.5, 0.2), rho=0.3, inner=400), data(0.02)
    noise, R = 0.04, 1 / MASK.mean()
    with torch.no_grad():
        for number, table in enumerate((net.level, net.penalty, net.momentum)):
            table += 0.003 * torch.randn(table.shape, generator=torch.Generator().manual_seed(number)).double()
    t = np.log(np.hypot(noise, 0.003) / 0.01)
    given = np.array([1, t, t * t, np.log(R / 4)])
    level, rho, beta = (f(30 * p.detach().numpy() @ given) for p, f in (
        (net.level, np.exp), (net.penalty, np.exp), (net.momentum, np.asarray)))
    dense = linops.dense(A)
    b = dense.conj().T @ y.numpy().ravel()
    N = dense.conj().T @ dense
    x = b * np.vdot(b, b).real / np.vdot(b, N @ b).real
    z = x
    for k in range(2):
        new = np.linalg.solve(N + rho[k] * np.eye(len(b)), b + rho[k] * z / (1 + level[k] ** 2))
        x, z = new, new + beta[k] * (new - x)
    assert np.linalg.norm(net(A, y, noise=noise).detach().numpy().ravel() - x) < 1e-9 * np.linalg.norm(x)


def test_levels_fall_and_rise_with_the_noise():
    net = shrinking(6, sigma=(0.2, 0.008), powers=(1.0, 0.5))
    values = net.steps(torch.tensor([0.0, 0.01, 0.1]).double(), 4.0)
    level, rho = values["level"].detach(), values["penalty"].detach()
    assert torch.allclose(level[0], torch.tensor(0.2).double())
    assert (level[1:] < level[:-1]).all()
    assert level[-1, 1] == pytest.approx(0.008 * np.hypot(1, 0.3), rel=1e-6)
    assert level[-1, 2] == pytest.approx(0.008 * np.hypot(10, 0.3), rel=1e-6)
    assert (rho[:, 2] > rho[:, 0]).all()
    assert values["momentum"][0].abs().max() == 0
    assert (values["momentum"][1:] > 0).all()


def test_slices_have_their_own_noise():
    pairs = [data(0.02, seed) for seed in (0, 1)]
    mps = np.stack([A.mps for A, _ in pairs])
    y, net = torch.stack([y for _, y in pairs]), small().double()
    both = net(linops.sense(mps, MASK), y, noise=torch.tensor([0.01, 0.2]).double())
    for n, ((A, one), noise) in enumerate(zip(pairs, (0.01, 0.2))):
        assert relative(net(A, one, noise=noise), both[n]) < 1e-9
    assert relative(net(*pairs[0], noise=0.2), both[0]) > 1e-3
    told = net(linops.sense(mps, MASK), y)
    for n, (A, one) in enumerate(pairs):  # by their outer samples, each by itself
        assert relative(net(A, one, noise=noise_level(one.numpy())), told[n]) < 1e-6


def test_gradients_reach_all_steps():
    net, (A, y) = small().double(), data(0.02)
    net(A, y, noise=0.05).abs().square().sum().backward()
    for name in ("level", "penalty"):
        assert (getattr(net, name).grad != 0).all(), name
    saved = shrinking(2, checkpoint=True)
    wanted, found = (torch.autograd.grad(n(A, y, noise=0.05).abs().sum(), n.level)[0]
                     for n in (shrinking(2), saved))
    assert torch.allclose(wanted, found)


@pytest.mark.filterwarnings("ignore:the noise samples are")
@pytest.mark.parametrize("coils", [1, 4])
def test_a_recipe_tells_the_noise_and_keeps_it(tmp_path, coils):
    full = phantom.brain((48, 40), coils, noise=0.03)
    scan = pi.io.Scan(full.kspace).undersample(masks.random((48, 40), 2, seed=1))
    nets.save(small(), tmp_path / "net.safetensors", CARD)
    network = nets.load(tmp_path / "net.safetensors")
    done = pi.recon(scan, network=network)
    assert network.noise is None
    assert done.recipe.network.noise == pi.scan_noise(scan).scaled
    done.recipe.save(tmp_path / "recipe.json")
    again = pi.Recipe.load(tmp_path / "recipe.json")
    assert again.network.noise == done.recipe.network.noise
    assert np.array_equal(again(scan).x, done.x)
    assert np.array_equal(pi.recon(scan, network=nets.load(tmp_path / "net.safetensors",
                                                           noise=done.recipe.network.noise)).x, done.x)
    samples = 0.2 * np.random.default_rng(0).standard_normal((coils, 3000, 2)).view(complex)[..., 0]
    loud = pi.recon(dataclasses.replace(scan, noise=samples.astype(np.complex64)), network=network)
    assert loud.recipe.network.noise > 2 * done.recipe.network.noise
    assert not np.array_equal(loud.x, done.x)


def test_acceleration_counts_cells():
    A, y = data(0.02)
    assert acceleration(A, y) == pytest.approx(1 / MASK.mean())
    shape, mps = (32, 32), np.ones((1, 32, 32), complex)
    few, many = (linops.sense(mps, coord=pi.trajectories.radial(shape, n), axes=("coil", "shot", "sample"))
                 for n in (8, 80))
    assert 3 < acceleration(few, None) < 6
    assert acceleration(many, None) < 1.4


def test_training_tells_what_a_recipe_would():
    image, coils = np.ones((32, 32)) * np.hanning(32)[:, None], nets.simulate
    made = coils(image.astype(np.complex64), np.ones((2, 32, 32), np.complex64), np.ones((32, 32), bool), noise=0.05)
    assert float(made.noise) == pytest.approx(0.05 * float(made.scale))
    settings = nets.Simulation(size=32, coils=(1, 3), accel=(2,), center_fraction=0.3, noise=(0.02, 0.1), maps="true")
    items = [nets.Simulated([image.astype(np.float32)], settings).drawn(n) for n in range(12)]
    for one in items:
        true = noise_level(one.kspace[0].numpy())
        assert 0.5 < float(one.noise) / true < 1.5
    seen = []

    class Spy(torch.nn.Module):
        needs_maps = needs_noise = True

        def forward(self, A, y, noise):
            seen.append(noise)
            return A.H(y)

    batch = nets.collate(items[:1])
    nets.reconstruction.called(Spy(), batch)
    assert torch.equal(seen[0], items[0].noise)


def test_what_does_not_fit_says_why(tmp_path):
    refused(lambda: nets.Informed(nets.DnCNN(2, 2, 4)), ValueError, "takes no noise level")
    refused(lambda: small().told(-0.1), ValueError, "noise must be")
    refused(lambda: small().double()(*data(0.02), noise=-1.0), ValueError, "noise must be a number >= 0")
    refused(lambda: nets.load("modl-brain", noise=0.1), ValueError, "noise has no effect on modl-brain")
