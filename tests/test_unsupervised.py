"""Training without a truth: formulas of the losses, what no loss may look at, and what each of them can teach."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import refused, relative

import pisolve as pi
from pisolve import linops, masks, nets, phantom
from pisolve.nets import reconstruction, unsupervised

pytestmark = pytest.mark.usefixtures("one_thread")
FULL = [pi.io.Scan(phantom.brain((24, 24), 3, seed=n, anatomy=n, noise=0.01).kspace) for n in range(2)]
TASKS = {"ei": nets.EquivariantImaging, "turns": lambda *a, **o: nets.EquivariantImaging(*a, **o, group="turns"),
         "robust": lambda *a, **o: nets.EquivariantImaging(*a, **o, noise=0.05),
         "noise2recon": nets.Noise2Recon, "cycle": nets.DualDomainCycle, "ssdu": nets.SSDU}


def pattern(shape, seed):
    return masks.random(shape, 2, 0.3, seed=seed)


def task(kind, **options):
    return TASKS[kind](nets.Scans(FULL, pattern), **{"batch_size": 2, "seed": 3} | options)


def made():
    torch.manual_seed(0)
    return nets.modl(nets.DnCNN(2, 2, 4), 2)


def blinded(batch):
    """A batch whose truth is NaN."""
    slices, *more = batch if isinstance(batch, tuple) else (batch,)
    slices = replace(slices, target=slices.target * torch.nan, rss=slices.rss * torch.nan)
    return (slices, *more) if more else slices


@pytest.mark.parametrize("kind", TASKS)
def test_no_task_looks_at_a_truth_and_all_train_every_weight(kind):
    network, job = made(), task(kind)
    losses = []
    for batch in (job.batch(0), blinded(job.batch(0))):
        torch.manual_seed(1)
        losses.append(job.loss(network, batch))
    assert torch.equal(*losses)
    losses[1].backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in network.parameters() if p.requires_grad)
    refused(lambda: job.loss(nets.ZeroFilledUNet(2, 2), job.batch(0)), ValueError, "through the coil maps")
    assert job.config["kind"] == type(job).__name__


@pytest.mark.parametrize(("kind", "second"), [("ei", lambda n, level: 0 * n), ("robust", lambda n, level: 0 * n + 0.05),
                                              ("noise2recon", lambda n, level: (n**2 + level**2).sqrt()),
                                              ("cycle", lambda n, level: 0 * n), ("ssdu", None)])
def test_a_network_that_wants_to_know_the_noise_is_told_it_each_time(kind, second):
    """That of the samples for the samples, and for what is measured again what was added there."""
    class Asked(nets.Informed):
        def forward(self, A, y, x0=None, *, noise=None):
            told.append(noise)
            return super().forward(A, y, x0, noise=noise)

    told, level = [], 0.07
    noise = torch.tensor([0.02, 0.03], dtype=torch.float64)
    job = task(kind, **({"levels": (level, level)} if kind == "noise2recon" else {}))
    slices, *more = (batch if isinstance(batch := job.batch(0), tuple) else (batch,))
    slices = replace(slices, noise=noise)
    loss = job.loss(Asked(nets.UNet(2, (4, 4), (1, 1)), 2), (slices, *more) if more else slices)
    assert torch.isfinite(loss)
    assert len(told) == {"noise2recon": 3, "ssdu": 1}.get(kind, 2)
    assert all(torch.equal(n, noise) for n in told[:-1] or told)
    if second is not None:
        torch.testing.assert_close(told[-1], second(noise, level))
    told.clear()
    job.loss(Asked(nets.UNet(2, (4, 4), (1, 1)), 2), job.batch(0))  # of scans that do not say it
    assert told == [None] * (3 if kind == "noise2recon" else 1 if kind == "ssdu" else 2)


@pytest.mark.parametrize("kind", ["ei", "noise2recon", "cycle"])
def test_a_training_resumes_to_the_same_bits(tmp_path, kind):
    whole = nets.train(made(), task(kind), nets.Training(steps=4, every=2), folder=tmp_path / "whole")

    class Cut:
        def __getattr__(self, name):
            return getattr(task(kind), name)

        def batch(self, step, *a):
            if step == 3:
                raise RuntimeError("cut")
            return task(kind).batch(step, *a)

    with pytest.raises(RuntimeError, match="cut"):
        nets.train(made(), Cut(), nets.Training(steps=4, every=2), folder=tmp_path / "cut")
    again = nets.train(made(), task(kind), nets.Training(steps=4, every=2), folder=tmp_path / "cut", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters()))


# --- turning images


def random_image(*shape):
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(8, 8), (9, 9)])
def test_quarter_turns_are_exact(size):
    x = random_image(2, *size)
    for k in range(4):
        assert relative(unsupervised.rotated(x, k * np.pi / 2), torch.rot90(x, k, (-2, -1))) < 1e-12


def test_a_smooth_object_turns_as_its_formula_does():
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (48, 40))
    y, angle = y[:, None], 0.7

    def blob(y, x):
        return torch.exp(-((y - 4) ** 2 + (x + 3) ** 2) / 2 / 5**2)[None] * (1 + 1j)

    c, s = np.cos(angle), np.sin(angle)
    turned = blob(c * y + s * x, c * x - s * y)
    assert relative(turned, blob(y, x)) > 0.3
    assert relative(unsupervised.rotated(blob(y, x), angle), turned) < 0.01


def test_turns_are_of_the_square_and_never_the_identity():
    torch.manual_seed(0)
    x = random_image(1, 5, 5)
    group = [torch.rot90(x if k < 4 else x.flip(-1), k % 4, (-2, -1)) for k in range(8)]
    seen = set()
    for _ in range(60):
        moved = unsupervised.moved(x, "turns")
        seen |= {k for k, g in enumerate(group) if torch.equal(moved, g)}
    assert seen == set(range(1, 8))
    refused(lambda: unsupervised.moved(random_image(1, 4, 6), "turns"), ValueError, "square images, got 4x6")


# --- the losses


def test_equivariant_imaging_is_its_formula(monkeypatch):
    network, job = made(), task("ei", weight=0.7)
    monkeypatch.setattr(unsupervised, "moved", lambda x, group: torch.rot90(x, 1, (-2, -1)))
    slices = job.batch(0)
    A, y = linops.as_torch(slices.A), slices.kspace
    x1 = network(slices.A, y)
    x2 = torch.rot90(x1, 1, (-2, -1)) * (slices.mps.abs().amax(1) > 0)
    x3 = network(slices.A, A(x2))
    where = slices.mask.expand_as(y)
    hand = (A(x1) - y)[where].abs().square().mean() + 0.7 * (x3 - x2).abs().square().mean()
    assert float(job.loss(network, slices).detach()) == pytest.approx(float(hand.detach()), rel=1e-5)


class Painted(torch.nn.Module):
    """Least squares, plus what was painted into the null space of A: exact data whatever the weights are."""

    needs_maps = True

    def __init__(self, size):
        super().__init__()
        self.paint = torch.nn.Parameter(torch.zeros(*size, 2))

    def forward(self, A, y):
        A, free = linops.as_torch(A), torch.view_as_complex(self.paint)[None].to(y.dtype)
        x = A.H(y)
        return x + free - A.H(A(free.expand_as(x)))


def test_agreement_alone_teaches_nothing_about_what_was_not_measured():
    mask = pattern((24, 24), 1)
    one = nets.simulate(phantom.brain((24, 24), 1).image, np.ones((1, 24, 24), complex), mask, maps="true")
    network, gradients = Painted((24, 24)), {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        job = nets.EquivariantImaging([one], weight=weight, group="turns")
        network.zero_grad()
        job.loss(network, job.batch(0)).backward()
        gradients[weight] = float(network.paint.grad.norm())
    assert gradients[0.0] < 1e-5 * gradients[1.0]


def test_noise2recon_is_its_formula(monkeypatch):
    network, job = made(), task("noise2recon", weight=0.3, levels=(0.02, 0.02))
    slices, held = job.batch(0)
    torch.manual_seed(5)
    value = float(job.loss(network, (slices, held)).detach())
    torch.manual_seed(5)
    torch.rand(())
    noisy = unsupervised.with_noise(slices.kspace, slices.mask, 0.02)
    with torch.no_grad():
        steady = (network(slices.A, noisy) - network(slices.A, slices.kspace)).abs().mean()
        plain = nets.SSDU.loss(job, network, (slices, held))
    assert value == pytest.approx(float(plain + 0.3 * steady), rel=1e-5)
    extra = (noisy - slices.kspace)[slices.mask.expand_as(noisy)]
    assert float(extra.real.std()) == pytest.approx(0.02, rel=0.1)
    assert not (noisy - slices.kspace)[~slices.mask.expand_as(noisy)].any()
    refused(lambda: task("noise2recon", levels=(0.2, 0.1)), ValueError, "levels must be")


def test_the_cycle_is_its_formula():
    network, job = made(), task("cycle", kspace=0.6, image=0.2)
    slices, held, other = job.batch(0)
    seen = slices.sampled(~held)
    with torch.no_grad():
        x = network(seen.A, seen.kspace)
        there = replace(slices, mask=other)
        back = network(there.A, linops.as_torch(there.A)(x))
        hand = nets.SSDU.loss(job, network, (slices, held))
        hand = hand + 0.6 * reconstruction.normalised(linops.as_torch(slices.A)(back), slices.kspace)
        hand = hand + 0.2 * (back - x).abs().mean()
    assert float(job.loss(network, (slices, held, other)).detach()) == pytest.approx(float(hand), rel=1e-5)
    assert not torch.equal(other, slices.mask)
    assert torch.equal(job.batch(0)[2], other)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [40, 41])
def test_another_pattern_of_lines_has_the_same_centre_and_number(axis, n):
    shape = (n, 24) if axis == 0 else (24, n)
    mask = masks.random(shape, 4, 0.2, axis=axis - 2, seed=1)
    others = [unsupervised.other_pattern(mask, np.random.default_rng(k)) for k in range(5)]
    middle = slice(n // 2 - 3, n // 2 + 3)
    for other in others:
        lines = other.any(1 - axis)
        assert np.array_equal(other, np.broadcast_to(np.expand_dims(lines, 1 - axis), shape))
        assert other.sum() == mask.sum()
        assert lines[middle].all()
        assert not np.array_equal(other, mask)
    assert len({other.tobytes() for other in others}) > 1


@pytest.mark.parametrize("shape", [(24, 21), (21, 24)])
def test_another_pattern_of_points_is_the_mirrored_one(shape):
    mask = masks.poisson(shape, 3, 6, seed=1)
    other = unsupervised.other_pattern(mask, np.random.default_rng(0))
    for y, x in np.argwhere(mask):
        assert other[(2 * (shape[0] // 2) - y) % shape[0], (2 * (shape[1] // 2) - x) % shape[1]]
    assert other.sum() == mask.sum()


def test_samples_anywhere():
    settings = nets.Simulation(size=24, coils=(3, 3), encoding="radial", shots=(12, 12), noise=(0.01, 0.01))
    examples = nets.Simulated([np.ones((40, 40), np.float32)], settings)
    for kind in ("ei", "noise2recon"):
        job = TASKS[kind](examples)
        assert torch.isfinite(job.loss(made(), job.batch(0)))
    refused(lambda: nets.DualDomainCycle(examples).batch(0), ValueError, "samples of a grid")
