"""Denoisers with a guarantee: gradient steps on a potential, averaged networks, and how they turn with the phase."""

from itertools import pairwise

import cases
import numpy as np
import pytest
import torch
from torch import nn

import pisolve as pi
from pisolve import nets
from pisolve.testing import check_gradient, check_prior, distance, random

SHAPE = (9, 10)
X = random((2, *SHAPE), np.random.default_rng(3), "complex128")


def smooth(seed=0, activation="elu", channels=2):
    """A small double-precision network for complex images with a noise map, and sizes that are padded inside."""
    torch.manual_seed(seed)
    return nets.UNet(channels, widths=(4, 6), blocks=(1, 1), activation=activation).double()


class Linear(nn.Module):
    """x - 0.5 (x - blurred x): a symmetric linear network, whose potential is a quadratic form."""

    config = {"channels": 1}

    def forward(self, x):
        around = sum(x.roll(shift, axis) for shift in (1, -1) for axis in (-2, -1)) / 4
        return 0.5 * (x + around)


OPTIONS = [{}, {"scale": 0.5, "offset": 0.3}, {"level": 0.1, "rescale": True}, {"phases": 3}]


@pytest.mark.parametrize("activation", ["elu", "softplus", "silu"])
@pytest.mark.parametrize(("channels", "options"), [(2, o) for o in OPTIONS] + [(1, {}), (1, {"channels": "magnitude"})])
def test_x_minus_d_is_the_gradient_of_the_potential(activation, channels, options):
    D = pi.Denoiser(nets.GradientStep(smooth(activation=activation, channels=channels)), **options)
    prior = pi.RED(D, 0.2, lipschitz=1e9)
    for scale in (0.1, 1.0):
        check_gradient(prior, scale * X, np.random.default_rng(1))
    np.testing.assert_allclose(prior.grad(X), X - D(X, 0.2), rtol=1e-12)


def test_padding_belongs_to_the_potential():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(2, 4, 4, 4), nn.ConvTranspose2d(4, 2, 4, 4)

        def forward(self, x):
            return self.up(torch.tanh(self.down(x)))

    torch.manual_seed(0)
    net = Picky().double()
    check_gradient(pi.RED(nets.GradientStep(net, 2, multiple=4), 0.1, lipschitz=1e9), X, np.random.default_rng(1))
    with pytest.raises(ValueError, match="multiple to what sizes it takes"):
        pi.Denoiser(nets.GradientStep(net, 2))(X)
    with pytest.raises(ValueError, match="give it to the GradientStep"):
        pi.Denoiser(nets.GradientStep(net, 2), multiple=4)


def test_a_linear_network_has_the_quadratic_potential():
    """N x = (x + B x)/2: g = 1/8 ||x - B x||^2, so RED is a quadratic prior whose minimum conjugate gradients find."""
    D = pi.Denoiser(nets.GradientStep(Linear()), channels="parts", noise_input=None)
    x = X[0]
    rest = x - sum(np.roll(x, s, a) for s in (1, -1) for a in (-2, -1)) / 4
    assert pi.RED(D, 0.1).value(x) == pytest.approx(np.linalg.norm(rest) ** 2 / 8, rel=1e-12)
    prior = pi.RED(D, 0.1, lipschitz=1.0)  # the largest eigenvalue of (I - B)^2 / 4
    check_prior(prior, (8, 10))
    assert nets.curvature(D, x[:8], steps=60) == pytest.approx(1.0, rel=1e-3)
    A, y = cases.toy()
    results = [pi.solve(A, y, 0.3 * prior, s, max_iter=3000, tol=1e-12).x for s in (pi.FISTA(), pi.DataProx())]
    assert distance(*results) < 1e-8
    gradient = A.H(A(results[0]) - y) + 0.3 * prior.grad(results[0])
    assert np.linalg.norm(gradient) < 1e-7 * np.linalg.norm(A.H(y))


@pytest.mark.parametrize("solver", [pi.DataProx(momentum=False, inner=50), pi.FISTA(momentum=False),
                                    pi.GradientDescent()])
def test_the_objective_falls_in_every_step(solver):
    A, y = cases.toy()
    D = pi.Denoiser(nets.GradientStep(smooth(1)))
    near = 1.5 * nets.curvature(D, pi.solve(A, y).x, 0.1)
    problem = pi.Problem(A, y, 0.2 * pi.RED(D, 0.1, lipschitz=near))
    assert not problem.prior.implicit
    values = []
    for state in pi.iterate(solver, problem):
        values.append(problem.value(state.x))
        if state.k == 25:
            break
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_solvers_agree_on_the_objective_and_the_report_says_it():
    A, y = cases.toy()
    D = pi.Denoiser(nets.GradientStep(smooth(1)))
    near = 1.5 * nets.curvature(D, pi.solve(A, y).x, 0.1)
    prior = 0.2 * pi.RED(D, 0.1, lipschitz=near)
    runs = [pi.solve(A, y, prior, s, max_iter=400, tol=1e-9) for s in
            (pi.DataProx(momentum=False, inner=30), pi.FISTA(), pi.FISTA(backtracking=True), None)]
    reports = [r.report(show=False) for r in runs]
    assert [r["status"] for r in reports] == ["converged"] * 4
    totals = [r["objective"]["total"] for r in reports]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-6)
    assert reports[1]["provable"] is False
    assert "not convex" in reports[1]["why"]
    with pytest.raises(ValueError, match="no prox to split off"):
        pi.solve(A, y, prior, pi.ADMM())


def test_a_plain_denoiser_stays_implicit():
    prior = pi.RED(pi.Denoiser(smooth()), 0.1)
    assert prior.implicit
    assert prior.value(X) is None
    with pytest.raises(TypeError, match="no potential: take a nets"):
        prior.denoiser.potential(X, 0.1)
    assert not pi.Denoiser(nets.GradientStep(smooth()), residual=True).has_potential


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_caller_gets_the_same_image(context):
    net = nets.GradientStep(smooth()).requires_grad_(False).eval()
    x = torch.from_numpy(np.stack([X.real[0], X.imag[0], 0 * X.real[0] + 0.1])[None])
    expected = net(x)
    with context():
        np.testing.assert_array_equal(net(x.clone()).numpy(), expected.numpy())


def test_it_trains():
    net = nets.GradientStep(smooth())
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    (net(x) ** 2).sum().backward()
    weight = net.network.head.weight
    step, old, i = 1e-5, weight[0, 0, 1, 1].item(), (0, 0, 1, 1)
    values = []
    for h in (step, -step):
        weight.data[i] = old + h
        values.append((net(x) ** 2).sum().item())
    assert weight.grad[i].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    x.requires_grad_()
    assert torch.autograd.gradcheck(net, x[:1, :, :3, :3].detach().requires_grad_())


@pytest.mark.parametrize(("make", "error", "word"), [
    (lambda: nets.GradientStep(5), TypeError, "network must be a torch module"),
    (lambda: nets.GradientStep({"architecture": "Next", "config": {}}), ValueError, "no network 'Next'"),
    (lambda: nets.GradientStep(nn.Conv2d(2, 2, 1)), ValueError, "channels is needed"),
    (lambda: nets.GradientStep(smooth(), multiple=0), ValueError, "multiple must be"),
    (lambda: nets.UNet(activation="tanh"), ValueError, "activation must be one of relu"),
    (lambda: pi.RED(smooth(), 0.1, lipschitz=0), ValueError, "lipschitz must be"),
    (lambda: nets.curvature(smooth(), 0 * X, 0.1), ValueError, "image is zero")])
def test_bad_arguments(make, error, word):
    with pytest.raises(error, match=word):
        make()


def test_relu_is_the_default_and_keeps_its_bits():
    assert "activation" not in nets.UNet(widths=(4,), blocks=(1,)).config
    net, x = smooth(activation="relu"), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    block = net.middle[0]
    y = torch.randn(1, 6, 4, 4, dtype=torch.float64)
    np.testing.assert_array_equal(block(y).detach(), (y + block.second(torch.relu(block.first(y)))).detach())
    assert net(x).shape == (1, 2, 8, 8)


@pytest.mark.parametrize("activation", ["relu", "elu", "softplus", "silu"])
def test_the_units_of_an_image_do_not_matter_whatever_the_activation(activation):
    D, x = nets.GradientStep(smooth(activation=activation), multiple=2), torch.randn(2, 3, 9, 8, dtype=torch.float64)
    x[:, 2:] = torch.tensor([0.05, 0.3])[:, None, None, None]
    for net in (D, D.network):
        for a in (3.7, 1e-9, 1e12):
            np.testing.assert_allclose(net(a * x).detach() / a, net(x).detach(), rtol=1e-10, atol=1e-12)
    assert torch.isfinite(D(x * torch.tensor([1.0, 1.0, 0.0])[:, None, None])).all()  # no noise at all
    assert not D(0 * x).any()  # nor an image


def averaged(seed=0, gain=3.0):
    torch.manual_seed(seed)
    net = nets.AveragedDnCNN(2, 3, 6).double()
    for p in net.parameters():
        p.data *= gain  # so that the bound is at work
    return net.eval()


@pytest.mark.parametrize("size", [(3, 3), (4, 7)])
def test_the_spectral_bound_is_above_the_operators_norm_and_near_it(size):
    torch.manual_seed(0)
    for inputs, outputs in ((1, 3), (2, 2), (3, 1)):
        conv = nets.lipschitz.LipschitzConv2d(inputs, outputs).double().eval()
        conv.weight.data *= 5
        basis = torch.eye(inputs * size[0] * size[1], dtype=torch.float64).reshape(-1, inputs, *size)
        dense = torch.nn.functional.conv2d(basis, conv.weight, padding=1).flatten(1)
        exact = torch.linalg.matrix_norm(dense, 2)
        bound = conv.bound()
        assert exact <= bound
        big = torch.linalg.matrix_norm(torch.fft.fft2(conv.weight, s=(97, 97)).permute(2, 3, 0, 1), 2).max()
        assert big <= bound <= 1.011 * big
        conv.train()
        estimate = [conv.bound().item() for _ in range(200)][-1]
        assert estimate == pytest.approx(float(bound), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_averaged_network_is_firmly_non_expansive(seed):
    D, rng = pi.Denoiser(averaged(seed)), np.random.default_rng(seed)
    a = random(SHAPE, rng, "complex128")
    for step in (1e-3, 0.1, 10.0):
        d = step * random(SHAPE, rng, "complex128")
        for _ in range(20):  # along what D amplifies
            moved = D(a + d) - D(a)
            assert np.vdot(moved, moved).real <= np.vdot(moved, d).real * (1 + 1e-12)
            d = moved * (np.linalg.norm(d) / np.linalg.norm(moved))


def test_plug_and_play_with_it_converges_to_one_image(recwarn):
    A, y = cases.toy()
    prior = pi.PnP(pi.Denoiser(averaged()), sigma=0.1)
    runs = [pi.solve(A, y, prior, s, max_iter=3000, tol=1e-9) for s in
            (pi.FISTA(momentum=False), pi.ADMM(rho=1.0, inner=50))]
    assert [r.status for r in runs] == ["converged"] * 2
    assert runs[0].problem.lipschitz == pytest.approx(1, rel=1e-3)  # so that FISTA's step is 1 / rho
    assert distance(runs[0].x, runs[1].x) < 1e-4


def test_equivariance_measures_what_depends_on_the_phase():
    images = [random((16, 16), np.random.default_rng(1))]
    assert nets.equivariance(lambda x, s: 0.5 * x, images, 0.1) < 1e-6
    assert nets.equivariance(lambda x, s: x.conj(), images, 0.1) > 0.5
    net = smooth(activation="relu").float()
    plain, three, eight = (nets.equivariance(pi.Denoiser(net, phases=k), images, 0.1) for k in (1, 3, 8))
    assert eight < 1e-5  # all the phases that are tried
    assert three < 0.5 * plain


def test_averaging_phases_gains_on_the_shipped_denoiser():
    clean = pi.phantom.brain((64, 64), 1).image
    noisy = clean + 0.1 * random(clean.shape, np.random.default_rng(0), clean.dtype)
    errors = [distance(nets.load("denoiser-brain", phases=k)(noisy, 0.1), clean) for k in (1, 3)]
    assert errors[1] < errors[0]


def test_the_shipped_gradient_step_has_an_objective_that_falls_to_a_better_image():
    brain = pi.phantom.brain((64, 64), 4, noise=0.02)
    size = np.percentile(abs(brain.image), 99)
    mask, truth = pi.masks.random((64, 64), 3, seed=1), brain.image / size
    A, D = pi.linops.sense(brain.mps, mask), nets.load("denoiser-gradient")
    y, prior, found = brain.kspace * mask / size, pi.RED(D, 0.05), []
    result = pi.solve(A, y, 0.2 * prior, pi.DataProx(momentum=False), max_iter=30,
                      callbacks=[lambda problem, state: found.append(problem.value(state.x))])
    assert all(b <= a for a, b in pairwise(found))
    assert nets.curvature(D, truth, 0.05) < prior.lipschitz  # on which the descent rests
    assert distance(result.x, truth) < 0.9 * distance(pi.solve(A, y, 3e-3 * pi.TV()).x, truth)


class Potential(torch.nn.Module):
    """Called as deepinv's GSDRUNet: forward(x, sigma, gamma) and potential(x, sigma, *args, **kwargs)."""

    def __init__(self, channels=1):
        super().__init__()
        self.head = torch.nn.Conv2d(channels + 1, 4, 3, padding=1)
        self.tail = torch.nn.Conv2d(4, channels, 3, padding=1)

    def student(self, x, sigma):
        level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        return self.tail(torch.tanh(self.head(torch.cat([x, level], 1))))

    def potential(self, x, sigma, *args, **kwargs):
        return 0.5 * (x - self.student(x, sigma)).square().sum((1, 2, 3))

    def forward(self, x, sigma, gamma=1):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.potential(x, sigma).sum(), x)
        return x.detach() - gamma * slope


class Blind(Potential):
    """forward(x, sigma), but potential(x)."""

    def potential(self, x, sigma=None):
        return super().potential(x, 0.1)

    def forward(self, x, sigma):
        return super().forward(x, sigma)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("wrap", [lambda n: n, torch.nn.DataParallel])
def test_a_potential_that_takes_sigma_is_an_objective(channels, wrap):
    torch.manual_seed(0)
    net, rng = Potential(channels).double(), np.random.default_rng(0)
    x, e = rng.standard_normal((2, 2, 6, 7, 2)).view(complex)[..., 0]
    prior = pi.RED(wrap(net), sigma=0.2)
    assert not prior.implicit
    planes = np.stack([x.real, x.imag], 1) if channels == 2 else np.concatenate([x.real, x.imag])[:, None]
    expected = float(net.potential(torch.from_numpy(planes), 0.2).sum().detach())
    assert prior.value(x) == pytest.approx(expected)
    h = 1e-6
    slope = (prior.value(x + h * e) - prior.value(x - h * e)) / (2 * h)
    assert slope == pytest.approx(np.vdot(prior.grad(x), e).real, rel=1e-6)
    A = pi.linops.identity((2, 6, 7))
    done = pi.solve(A, x, 0.1 * prior, pi.DataProx(momentum=False), max_iter=30)
    told = done.report()
    total = 0.5 * np.linalg.norm(done.x - x) ** 2 + 0.1 * prior.value(done.x)
    assert told["objective"]["total"] == pytest.approx(total)
    many = pi.RED(net, sigma=np.array([0.1, 0.3])[:, None, None])
    assert many.value(x) == pytest.approx(sum(pi.RED(net, sigma=s).value(v) for s, v in zip((0.1, 0.3), x)))


def test_a_potential_of_the_image_alone_is_called_so():
    torch.manual_seed(0)
    net = Blind().double()
    x = np.random.default_rng(0).standard_normal((6, 7, 2)).view(complex)[..., 0]
    planes = torch.from_numpy(np.stack([x.real, x.imag]))[:, None]
    assert pi.RED(net, sigma=0.2).value(x) == pytest.approx(float(net.potential(planes).sum().detach()))
