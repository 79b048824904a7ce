"""Adversarial training: whose turn it is, losses by hand, the same bits after a resume, warnings, perceptual loss."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import refused
from training import equal, volumes

import pisolve as pi
from pisolve import linops, masks, nets, phantom
from pisolve.nets import config, losses
from pisolve.nets.adversarial import INVENTS
from pisolve.nets.log import read

pytestmark = pytest.mark.usefixtures("one_thread")
FULL = [pi.io.Scan(phantom.brain((24, 24), 2, seed=n, anatomy=n, noise=0.01).kspace) for n in range(3)]


def pattern(shape, seed):
    return masks.random(shape, 2, 0.4, seed=seed)


def task(maps=True, **options):
    scans = nets.Scans(FULL, pattern, maps="espirit" if maps else None)
    return nets.AdversarialTask(scans, [scans[0]], **{"batch_size": 2, "seed": 3} | options)


@pytest.fixture(scope="module")
def tasks():
    return {maps: [task(maps).batch(step)[0] for step in range(2)] for maps in (True, False)}


def made(maps=True):
    torch.manual_seed(0)
    inner = nets.varnet(nets.DnCNN(2, 2, 4), 2) if maps else nets.ZeroFilledUNet(2, 2, residual=True)
    return nets.adversarial(inner, nets.Critic(2 if maps else 1, 4, 2))


def parts(network):
    return {"critic": list(network.critic.parameters()),
            "generator": [p for p in network.generator.parameters() if p.requires_grad]}


@pytest.mark.parametrize("game", ["nonsaturating", "wasserstein"])
@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize("turn", ["critic", "generator"])
def test_each_turn_trains_its_own_weights_alone(tasks, game, maps, turn):
    network, job = made(maps), task(maps, game=game, matching=0.1, cyclic=0.5 if maps else 0.0)
    loss = job.loss(network, (tasks[maps][0], turn))
    loss.backward()
    for name, weights in parts(network).items():
        assert all(w.requires_grad for w in weights)
        assert all((w.grad is not None) == (name == turn) for w in weights), name
    assert all(torch.isfinite(w.grad).all() for w in parts(network)[turn])


def test_the_turns_follow_the_steps():
    job = task(critic_steps=2)
    assert [job.batch(step)[1] for step in range(6)] == ["critic", "critic", "generator"] * 2


def test_losses_are_those_of_their_formulas(tasks):
    network, slices = made(), tasks[True][0]
    x, true = network(slices.A, slices.kspace), slices.target
    (bad, seen), (good, wanted) = network.judged(x), network.judged(true)
    plain = task(loss_function=losses.L2(), weight=0.5, matching=0.25, cyclic=2.0)
    A = linops.as_torch(slices.A)
    share = slices.mask.float().mean()
    cyclic = (A(x) - slices.kspace).abs().mean() / share + A.H(A(x) - slices.kspace).abs().mean()
    hand = (x - true).abs().square().mean() + 0.5 * F.softplus(-bad).mean() + 2 * cyclic
    hand = hand + 0.25 * sum((a - b).abs().mean() for a, b in zip(seen, wanted))
    assert float(plain.generator(network, slices)) == pytest.approx(float(hand), rel=1e-5)
    hand = (F.softplus(-good) + F.softplus(bad)).mean()
    assert float(plain.critic(network, slices)) == pytest.approx(float(hand), rel=1e-5)
    steep = task(game="wasserstein", penalty=0.0)
    assert float(steep.critic(network, slices)) == pytest.approx(float((bad - good).mean()), rel=1e-4)
    assert float(task(game="wasserstein", weight=1.0, loss_function=1e-9 * losses.L1()).generator(
        network, slices)) == pytest.approx(float(-bad.mean()), rel=1e-4)


def test_the_penalty_is_of_slopes_other_than_one(tasks):
    class Linear(torch.nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.slope = slope
            self.last = torch.nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.slope * x[:, 0, 0, 0], [x]

    slices = tasks[True][0]
    for slope in (1.0, 3.0):
        network = nets.adversarial(nets.varnet(nets.DnCNN(2, 2, 4), 2), Linear(slope))
        job = task(game="wasserstein", penalty=10.0)
        flat = task(game="wasserstein", penalty=0.0)
        extra = float(job.critic(network, slices)) - float(flat.critic(network, slices))
        assert extra == pytest.approx(10 * (slope - 1) ** 2, abs=1e-4)


SETTINGS = nets.Training(steps=6, every=3, warmup=1, lr=1e-3, ema=0.5)


@pytest.mark.parametrize("game", ["nonsaturating", "wasserstein"])
def test_training_alternates_resumes_to_the_same_bits_and_reports_both(tmp_path, game):
    job = task(game=game, loss_function=losses.L1())
    whole = nets.train(made(), job, SETTINGS, folder=tmp_path / "whole")

    class Cut:
        def __getattr__(self, name):
            return getattr(job, name)

        def batch(self, step, *a):
            if step == 4:
                raise RuntimeError("cut")
            return job.batch(step, *a)

    with pytest.raises(RuntimeError, match="cut"):
        nets.train(made(), Cut(), SETTINGS, folder=tmp_path / "cut")
    again = nets.train(made(), job, SETTINGS, folder=tmp_path / "cut", resume=True)
    assert equal(whole, again)
    assert not equal(whole.critic, made().critic)
    assert not equal(whole.generator, made().generator)
    rows, others = read(tmp_path / "whole" / "log.csv"), read(tmp_path / "cut" / "log.csv")
    assert {"critic", "generator", "psnr", "loss"} <= set(rows[-1])
    assert [r["critic"] for r in rows] == [r["critic"] for r in others]
    assert all(np.isfinite(float(r[n])) for r in rows for n in ("critic", "generator"))


CONFIG = """
[network]
architecture = "Adversarial"
generator = {architecture = "ZeroFilledUNet", config = {chans = 2, pools = 2, residual = true}}
critic = {architecture = "Critic", config = {channels = 1, width = 2, depth = 2}}
[data]
folder = "FOLDER"
natural = 0
size = 24
coils = [2, 2]
accel = [2]
center_fraction = 0.3
validation = 1
[task]
kind = "adversarial"
game = "wasserstein"
[loss]
L2 = 1.0
Perceptual = 0.1
[training]
every = 2
"""


def test_a_configuration_trains_and_its_card_warns(tmp_path):
    pytest.importorskip("nibabel")
    folder = volumes(tmp_path / "data")
    path = tmp_path / "gan.toml"
    path.write_text(CONFIG.replace("FOLDER", str(folder)) + "steps = 4\n")
    trained = nets.load(config.run(path, out=tmp_path / "out"))
    again = nets.load(config.run(path, out=tmp_path / "out", resume=True))
    assert equal(trained, again)
    assert trained.warning == INVENTS
    assert INVENTS in (tmp_path / "out" / "gan.md").read_text()
    assert not equal(trained, config.build(config.read(path))[0])


def test_several_processes_leave_the_other_one_alone(tasks, monkeypatch):
    network, job, group = made(), task(), nets.parallel.Group()
    job.loss(network, (tasks[True][0], "critic")).backward()
    kept = [w.grad.clone() for w in network.critic.parameters()]
    monkeypatch.setattr(group, "world", 2)
    monkeypatch.setattr(nets.parallel.dist, "all_reduce", lambda flat: flat.mul_(2))  # two of the same
    assert not group.average_gradients(network)
    assert all(w.grad is None for w in network.generator.parameters())
    assert all(torch.equal(w.grad, g) for w, g in zip(network.critic.parameters(), kept, strict=True))


def test_both_losses_are_reported_without_validation():
    job = nets.AdversarialTask(nets.Scans(FULL, pattern, maps=None), loss_function=losses.L1())
    assert set(job.validate(made(False))) == {"critic", "generator"}
    assert job.card()["limits"] == INVENTS


def test_every_image_comes_with_a_warning():
    scan = FULL[0].undersample(pattern((24, 24), 1))
    with pytest.warns(UserWarning, match="Adversarial: .*it may invent detail that was not measured"):
        done = pi.recon(scan, network=made().eval())
    assert "may invent detail" in done.results[0].report(show=False)["warning"]
    assert np.array_equal(done.x, pi.recon(scan, network=made().eval().generator).x)
    assert "warning" not in pi.recon(scan, network=made().eval().generator).results[0].report(show=False)


@pytest.mark.parametrize(("make", "kind"), [(nets.dagan, "ZeroFilledUNet"), (nets.refine_gan, "VNU"),
                                            (nets.pic_gan, "Unrolled")])
def test_the_ones_of_the_literature(make, kind):
    network = make(2, 2)
    assert type(network.generator).__name__ == kind
    again = nets.build("Adversarial", json.loads(json.dumps(network.config)))
    assert again.state_dict().keys() == network.state_dict().keys()


def test_what_does_not_fit_is_refused(tasks):
    slices = tasks[False][0]
    refused(lambda: task(False).loss(nets.ZeroFilledUNet(2, 2), (slices, "critic")), TypeError, "has no critic")
    refused(lambda: task(False, cyclic=1.0).loss(made(False), (slices, "generator")), ValueError,
            "the cyclic loss compares k-space")
    refused(lambda: task(game="minimax"), ValueError, "game must be one of nonsaturating, wasserstein")
    refused(lambda: task(weight=-1.0), ValueError, "weight must be >= 0")
    refused(lambda: nets.adversarial(nets.DnCNN()), TypeError, "is no reconstruction network")
    network = nets.adversarial(nets.ZeroFilledUNet(2, 2), nets.Critic(1, 2, 5))
    refused(lambda: task(False).loss(network, (slices, "critic")), ValueError, "needs images of 32 pixels")


# --- the perceptual loss


@pytest.mark.parametrize("kind", [torch.complex64, torch.float32])
def test_perceptual_loss_of_a_shipped_denoiser(kind):
    loss = nets.Perceptual()
    x, z = (torch.randn(2, 17, 20, dtype=kind, generator=torch.Generator().manual_seed(n)) for n in range(2))
    x.requires_grad_()
    assert float(loss(z, z)) == 0
    value = loss(x, z)
    value.backward()
    assert float(value) > 0
    assert float(x.grad.abs().sum()) > 0
    assert float(loss(x[:1], z[:1]) + loss(x[1:], z[1:])) / 2 == pytest.approx(float(value.detach()), rel=1e-4)
    if kind == torch.float32:
        assert float(loss(x + 0j, z + 0j)) == pytest.approx(float(value.detach()), rel=1e-6)


def test_perceptual_loss_of_a_module_of_ones_own_and_in_a_sum():
    class Edges(torch.nn.Module):
        def forward(self, planes):
            return [planes.diff(dim=-1), planes.diff(dim=-2)]

    x, z = (torch.randn(1, 9, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(n)) for n in range(2))
    loss = nets.Perceptual(features=Edges())
    d = torch.view_as_real(x - z)
    hand = (d.diff(dim=-2).square().mean() + d.diff(dim=-3).square().mean()) / 2
    assert float(loss(x, z)) == pytest.approx(float(hand), rel=1e-5)
    total = losses.from_config({"L2": 15, "Frequency": {"weight": 0.1, "norm": "l2"}, "Perceptual": 0.0025})
    assert "0.0025 * Perceptual(features='denoiser-fast', level=0.05)" in repr(total)
    assert set(total.parts(x, z)) == {repr(one) for _, one in total.terms}
    refused(lambda: nets.Perceptual(features="modl-brain"), ValueError, "has no features to compare by")
    assert not any(p.requires_grad for p in nets.Perceptual().parameters())
