"""Unrolled networks: with classical parts they are the classical solvers, and their gradients are right everywhere."""

import json
import math

import numpy as np
import pytest
import torch
from cases import maps, points, toy

import pisolve as pi
from pisolve import backend, linops, nets

pytestmark = pytest.mark.usefixtures("one_thread")
K = 4


@pytest.fixture
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Soft(torch.nn.Module):
    """Soft thresholding of magnitudes on (B, 2, H, W), written down once more."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        size = x.square().sum(1, keepdim=True).sqrt()
        return x * torch.where(size > self.threshold, 1 - self.threshold / size.clamp_min(1e-300), 0)


class Gain(torch.nn.Module):
    """x -> factor x, or with a noise map x -> x / (1 + sigma^2)."""

    def __init__(self, factor=None):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x[:, :2] / (1 + x[:, 2:] ** 2) if self.factor is None else self.factor * x


PLAIN = {"channels": "complex", "noise_input": None}


def torch_toy(dtype="complex128", seed=0):
    A, y = toy(seed)
    return A, y.astype(dtype), torch.from_numpy(y.astype(dtype))


def error(a, b):
    a, b = (backend.to_numpy(v) for v in (a, b))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


# what is put in, and the solver and prior that it has to be equal to
TV, ANISOTROPIC = 0.02 * pi.TV(), 0.02 * pi.TV(isotropic=False)
WAVELET = 0.02 * pi.Wavelet("db2")
CLASSICAL = {
    "admm-tv": (pi.ADMM(rho=0.1, relaxation=1.0), TV),
    "admm-relaxed-wavelet": (pi.ADMM(rho=0.3, inner=4), WAVELET),
    "admm-sum": (pi.ADMM(rho=0.2), TV + WAVELET),
    "admm-tgv": (pi.ADMM(rho=0.2, inner=6), 0.02 * pi.TGV()),
    "hqs-tv": (pi.HQS(rho=2.0, ratio=50.0, iterations=3), TV),
    "hqs-wavelet": (pi.HQS(rho=1.0), WAVELET),
    "pdhg-tv": (pi.PDHG(sigma=0.1, tau=0.7), ANISOTROPIC),
    "fista": (pi.FISTA(step_size=0.8, restart=False), WAVELET),
    "ista": (pi.FISTA(step_size=0.9, momentum=False), WAVELET),
    "gradient": (pi.GradientDescent(step_size=0.7), 0.05 * pi.Tikhonov() @ linops.gradient((16, 16))),
    "data-prox": (pi.DataProx(rho=0.4, momentum=False, inner=7), 0.3 * pi.Tikhonov()),
    "data-prox-momentum": (pi.DataProx(rho=0.4, restart=False), 0.3 * pi.Tikhonov()),
}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", CLASSICAL)
def test_with_a_classical_prior_it_is_the_solver(name):
    solver, prior = CLASSICAL[name]
    A, y, data = torch_toy()
    x0 = A.H(y)
    net = nets.Unrolled(solver, prior, K, tol=0.1, sigma=0.1)
    expected = pi.solve(A, y, prior, solver, x0=x0, max_iter=K, tol=0).x
    with torch.no_grad():
        found = net(A, data, torch.from_numpy(x0))
    assert error(found, expected) < 1e-11
    assert error(expected, x0) > 1e-3


# a module or filters, against a prior: the thresholds are those that the solver's step gives the prior
MODULES = {
    "admm": (pi.ADMM(rho=0.2, relaxation=1.0), Soft(0.1), 0.02 * pi.L1()),
    "hqs": (pi.HQS(rho=0.2, ratio=1.0), Soft(0.1), 0.02 * pi.L1()),
    "pdhg": (pi.PDHG(sigma=0.2, tau=0.9), Soft(0.1), 0.02 * pi.L1()),
    "ista": (pi.FISTA(step_size=0.5, momentum=False), Soft(0.02), 0.04 * pi.L1()),
    "fista": (pi.FISTA(step_size=0.5, restart=False), Soft(0.02), 0.04 * pi.L1()),
    "gradient": (pi.GradientDescent(step_size=0.5), Gain(0.8), 0.4 * pi.Tikhonov()),
    "data-prox": (pi.DataProx(rho=0.5, momentum=False), Gain(0.8), 0.1 * pi.Tikhonov()),
    "admm-filters": (pi.ADMM(rho=0.2, relaxation=1.0, inner=8),
                     lambda: nets.FilterBank("differences", 3, 4, 0.05, 0.1), ANISOTROPIC),
    "admm-large-filters": (pi.ADMM(rho=0.2, relaxation=1.0, inner=8),
                           lambda: nets.FilterBank("differences", 5, 1, 0.1, 0.1), ANISOTROPIC),
    "pdhg-filters": (pi.PDHG(sigma=0.2, tau=0.4), lambda: nets.FilterBank("differences", threshold=0.1), ANISOTROPIC),
}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_with_modules_that_are_classical_it_is_the_solver(name, shared):
    solver, module, prior = MODULES[name]
    A, y, data = torch_toy()
    x0 = A.H(y)
    options = PLAIN if isinstance(module, torch.nn.Module) else {}
    net = nets.Unrolled(solver, module if options else module(), K, tol=0.1, shared_weights=shared, **options)
    expected = pi.solve(A, y, prior, solver, x0=x0, max_iter=K, tol=0).x
    with torch.no_grad():
        assert error(net(A, data, torch.from_numpy(x0)), expected) < 1e-9


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("solver", [pi.HQS(rho=0.5, ratio=100.0, iterations=3), pi.ADMM(rho=0.4)])
def test_noise_levels_start_as_plug_and_play_has_them(solver):
    A, y, data = torch_toy()
    x0 = A.H(y)
    prior = pi.PnP(lambda x, sigma: x / (1 + sigma**2), sigma=0.3)
    expected = pi.solve(A, y, prior, solver, x0=x0, max_iter=K, tol=0).x
    net = nets.Unrolled(solver, Gain(), K, tol=0.1, sigma=0.3, channels="complex", noise_input="map")
    assert error(net(A, data, torch.from_numpy(x0)).detach(), expected) < 1e-9


def chain(width=6, depth=3, channels=2, seed=0):
    torch.manual_seed(seed)
    return nets.DnCNN(channels, depth, width)


def unet(seed=0):
    torch.manual_seed(seed)
    return nets.UNet(widths=(4, 6), blocks=(1, 1))


@pytest.mark.usefixtures("_double")
def test_modl_is_its_formula():
    """By dense matrices, and as RED's fixed-point iteration."""
    A, y, data = torch_toy()
    D, rho = chain(), 0.3
    net = nets.modl(D, 3, rho=rho, inner=200)
    M = linops.dense(A, "complex128")
    x = x0 = A.H(y)
    for _ in range(3):
        with torch.no_grad():
            planes = torch.from_numpy(np.stack([x.real, x.imag]))[None]
            re, im = D(planes)[0].numpy()
        b = M.conj().T @ y.ravel() + rho * (re + 1j * im).ravel()
        x = np.linalg.solve(M.conj().T @ M + rho * np.eye(M.shape[1]), b).reshape(x.shape)
    assert error(net(A, data, torch.from_numpy(x0)).detach(), x) < 1e-11
    red = pi.solve(A, y, rho * pi.RED(pi.Denoiser(D, noise_input=None), 1.0), x0=x0, max_iter=3, tol=0,
                   solver=pi.DataProx(rho=rho, momentum=False))
    net.tol = 0.1
    assert error(net(A, data, torch.from_numpy(x0)).detach(), red.x) < 1e-9


@pytest.mark.usefixtures("_double")
def test_modl_between_its_limits():
    A, y, data = torch_toy()
    D, x0 = chain(), torch.from_numpy(A.H(y))
    network = pi.Denoiser(D, noise_input=None)(x0)
    assert error(nets.modl(D, 1, rho=1e9)(A, data, x0).detach(), network.detach()) < 1e-7
    least = np.linalg.lstsq(linops.dense(A, "complex128"), y.ravel(), rcond=None)[0].reshape(A.ishape)
    assert error(nets.modl(D, 1, rho=1e-9, inner=300)(A, data, x0).detach(), least) < 1e-6


def test_varnet_is_its_formula():
    A, y, data = torch_toy("complex64")
    A = linops.sense(A.mps.astype("complex64"), A.weight != 0)
    net = nets.varnet(chain(), 3, step_size=0.7)
    assert len(net.parts) == 3
    x = x0 = torch.from_numpy(A.H(y).astype("complex64"))
    with torch.no_grad():
        for part, log in zip(net.parts, net.log_step):
            planes = torch.stack([x.real, x.imag])[None]
            cnn = (part(planes) - planes)[0]
            grad = torch.from_numpy(A.H(A(x.numpy()) - y).astype("complex64"))
            x = (x - log.exp() * grad + torch.complex(cnn[0], cnn[1])).to(torch.complex64)
        torch.testing.assert_close(net(A, data, x0), x, rtol=1e-5, atol=1e-5)


def test_paper_sizes():
    size = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    five = 2 * 64 * 9 + 64 + 3 * (64 * 64 * 9 + 64) + 64 * 2 * 9 + 2
    assert size(nets.modl()) == five + 1
    assert nets.modl().iterations == 10
    assert size(nets.cascade()) == 5 * (five + 1)
    assert size(nets.varnet()) < 150_000
    assert size(nets.admm_net()) == 10 * (8 * 9 + 8 * 50 + 2)
    assert float(nets.primal_dual(sigma=0.1).steps(0)["tau"].detach()) == pytest.approx(1 / (0.5 + 0.1 * 8))


VARIANTS = {
    "modl": lambda: nets.modl(chain(), 3, rho=0.2),
    "modl-unrolled": lambda: nets.modl(chain(), 3, rho=0.2, implicit=False),
    "modl-noise-map": lambda: nets.modl(unet(), 2),
    "varnet": lambda: nets.varnet(chain(), 3),
    "cascade-hard": lambda: nets.cascade(chain(), 3, inner=4),
    "cascade-soft": lambda: nets.cascade(chain(), 3, nu=5.0),
    "cascade-parts": lambda: nets.cascade(chain(channels=1), 2, nu=5.0),
    "admm-net": lambda: nets.admm_net(iterations=3),
    "primal-dual": lambda: nets.primal_dual(iterations=3),
    "admm": lambda: nets.Unrolled(pi.ADMM(rho=0.2, inner=4), unet(), 3),
    "hqs": lambda: nets.Unrolled(pi.HQS(rho=0.2, inner=4), unet(), 3),
    "pdhg": lambda: nets.Unrolled(pi.PDHG(), chain(), 3),
    "fista": lambda: nets.Unrolled(pi.FISTA(restart=False), chain(), 3),
    "solver-rule": lambda: nets.Unrolled(pi.ADMM(rho=0.2), unet(), 3, tol=0.1),
}


def slices(dtype="complex64", shape=(9, 8), coils=3):
    """Two slices with maps, masks and scales of their own, together and each alone: (A, y, [(A, y), ...])."""
    rng = np.random.default_rng(1)
    mps, masks = maps(2, coils, *shape, dtype=dtype), points(2, *shape)
    y = (rng.standard_normal(mps.shape) + 1j * rng.standard_normal(mps.shape)).astype(dtype) * masks[:, None]
    y[1] *= 30
    single = [(linops.sense(m, k), torch.from_numpy(v)) for m, k, v in zip(mps, masks, y)]
    return linops.sense(mps, masks), torch.from_numpy(y), single


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_slice_does_not_depend_on_its_neighbours(name, coils):
    A, y, single = slices(coils=coils)
    net = VARIANTS[name]()
    kept = y.clone()
    both = net(A, y)
    assert torch.equal(y, kept)
    assert both.dtype == y.dtype
    for x, (B, v) in zip(both.detach(), single):
        assert error(x, net(B, v).detach()) < 1e-5
    both[0].abs().sum().backward()  # and its gradient
    found = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    net(*single[0]).abs().sum().backward()
    for n, p in net.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[n], p.grad, rtol=1e-3, atol=1e-4 * float(p.grad.abs().max()) + 1e-6)


TINY = {
    "modl": lambda D, **o: nets.modl(D, 2, rho=0.4, inner=60, **o),
    "varnet": lambda D, **o: nets.varnet(D, 2, **o),
    "cascade": lambda D, **o: nets.cascade(D, 2, nu=3.0, inner=60, **o),
    "cascade-hard": lambda D, **o: nets.cascade(D, 2, inner=60, **o),
    "admm-net": lambda D, **o: nets.admm_net(nets.FilterBank("dct", 3, 3, 0.3, 0.3), 2, inner=60, **o),
    "primal-dual": lambda D, **o: nets.primal_dual(nets.FilterBank("differences", 3, 3, 0.3, 0.3), 2, **o),
    "admm": lambda D, **o: nets.Unrolled(pi.ADMM(rho=0.3, inner=60), D, 2, **o),
    "hqs": lambda D, **o: nets.Unrolled(pi.HQS(rho=0.3, ratio=4.0, iterations=2, inner=60), D, 2, **o),
    "pdhg": lambda D, **o: nets.Unrolled(pi.PDHG(), D, 2, **o),
    "fista": lambda D, **o: nets.Unrolled(pi.FISTA(restart=False), D, 3, **o),
}


def gradient_case(name, **options):
    """A network with smooth activations and noise map in double precision, its tensors and a function of them."""
    torch.manual_seed(0)
    D = nets.UNet(widths=(2,), blocks=(1,), activation="softplus")
    net = TINY[name](D, **options)
    single = "hard" in name  # with one coil it is exact; with several gradients are those of an inverse that is not
    rng = np.random.default_rng(2)
    A = linops.sense(maps(1 if single else 3, 4, 3), points(4, 3))
    y = torch.from_numpy(A(rng.standard_normal(A.ishape) + 1j * rng.standard_normal(A.ishape))).requires_grad_()
    names = [n for n, p in net.named_parameters() if p.requires_grad]
    values = [p.detach().clone().requires_grad_() for p in net.parameters() if p.requires_grad]

    def run(y, *values):
        return torch.func.functional_call(net, dict(zip(names, values)), (A, y))

    return net, run, y, names, values


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", TINY)
def test_gradients_are_those_of_finite_differences(name):
    _, run, y, names, values = gradient_case(name)
    assert torch.autograd.gradcheck(run, (y, *values), fast_mode=True, atol=1e-6, rtol=1e-4)
    learned = [n for n in names if n.startswith("log_")]
    assert bool(learned) == ("hard" not in name) or "log_level" in learned
    run(y, *values).abs().square().sum().backward()
    for n, v in zip(names, values):
        if n.startswith("log_"):
            assert v.grad.reshape(-1)[0] != 0, n


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", ["modl", "cascade", "admm-net", "admm", "hqs"])
def test_implicit_gradients_are_the_unrolled_ones(name):
    grads = []
    for implicit in (True, False):
        net, run, y, _, values = gradient_case(name)
        net.implicit = implicit
        run(y, *values).abs().square().sum().backward()
        grads.append(torch.cat([torch.view_as_real(y.grad).reshape(-1)]
                               + [v.grad.reshape(-1) for v in values if v.grad is not None]))
    assert error(*grads) < 1e-8


def test_implicit_gradients_in_single_precision():
    A, y, _ = slices(coils=4)
    grads = []
    for implicit in (True, False):
        net = nets.modl(chain(), 3, rho=0.2, inner=25, implicit=implicit)
        net(A, y).abs().sum().backward()
        grads.append(torch.cat([p.grad.reshape(-1) for p in net.parameters()]))
    assert error(*grads) < 1e-4


@pytest.mark.parametrize(("normalised", "inner", "least", "inexact"), [
    (True, 10, 0.9999, 0.02), (False, 5, 0.9, math.inf)])
def test_few_steps_of_an_inverse_give_a_gradient_that_points_downhill(normalised, inner, least, inexact):
    """Conjugate gradients cut short at ||A||^2 / rho = 20, and at 730, where the inverse is far off."""
    mask, brain = pi.masks.random((32, 32), 3, seed=1), pi.phantom.brain((32, 32), 4, noise=0.02)
    size = np.sqrt((abs(brain.mps) ** 2).sum(0)) if normalised else 1
    A, y = linops.sense(brain.mps / size, mask), torch.from_numpy(brain.kspace * mask)
    truth, grads = torch.from_numpy(brain.image * size), []
    for steps, implicit in ((inner, True), (inner, False), (300, False)):
        net = nets.modl(chain(8), 2, inner=steps, implicit=implicit)
        (net(A, y) - truth).abs().square().sum().backward()
        grads.append(torch.cat([p.grad.reshape(-1) for p in net.parts.parameters()]))
    for other in grads[1:]:
        assert torch.nn.functional.cosine_similarity(grads[0], other, dim=0) > least
        assert error(grads[0], other) < inexact


@pytest.mark.parametrize("name", ["modl", "modl-unrolled", "varnet", "admm-net", "hqs"])
def test_checkpoints_take_less_memory_and_change_nothing(name):
    A, y, _ = slices()
    seen = []
    for flag in (False, True):
        net = VARIANTS[name]()
        net.checkpoint = flag
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            x = net(A, y)
        kept = sum(event.self_cpu_memory_usage for event in profile.key_averages())  # taken and not given back
        x.abs().sum().backward()
        seen.append((x.detach(), [p.grad for p in net.parameters() if p.grad is not None], kept))
    (x, grads, much), (again, others, little) = seen
    assert torch.equal(x, again)
    assert all(torch.equal(a, b) for a, b in zip(grads, others, strict=True))
    assert 0 < little < 0.7 * much


def consistency_cases():
    one = maps(1, 7, 6)  # one coil, |S| = 1
    return {"points": linops.sense(one, points(7, 6)), "lines": linops.sense(one, points(7, 1)),
            "columns": linops.sense(one, points(1, 6)), "full": linops.sense(maps(3, 7, 6)),
            "slices": linops.sense(maps(2, 1, 7, 6), points(2, 7, 6)),
            "coils": linops.sense(maps(3, 7, 6), points(7, 6)),
            "weights": linops.sense(one, weights=np.arange(42.0).reshape(7, 6)),
            "scaled": linops.sense(3 * one, points(7, 6)),
            "uneven": linops.sense(one * (1 + points(7, 6)), points(7, 6)),
            "sms": linops.sms(maps(2, 2, 7, 6), points(7, 1))}


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("nu", [0.3, 20.0, math.inf])
@pytest.mark.parametrize("name", consistency_cases())
def test_data_consistency_is_the_closest_image(name, nu):
    A, rng = consistency_cases()[name], np.random.default_rng(0)
    z, y = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in (A.ishape, A.oshape))
    M = linops.dense(A, "complex128")
    x = nets.DataConsistency(nu, inner=400)(A, torch.from_numpy(y), torch.from_numpy(z)).detach().numpy()
    r = M.conj().T @ (y.ravel() - M @ z.ravel())
    inverse = np.linalg.pinv(M.conj().T @ M, rcond=1e-10, hermitian=True) if nu == math.inf else \
        np.linalg.inv(M.conj().T @ M + np.eye(M.shape[1]) / nu)
    assert error(x, z + (inverse @ r).reshape(z.shape)) < 1e-8


@pytest.mark.parametrize("nu", [4.0, math.inf])
def test_one_coil_is_schlempers_layer(nu):
    rng = np.random.default_rng(0)
    z, k = (rng.standard_normal((8, 6)) + 1j * rng.standard_normal((8, 6)) for _ in range(2))
    mask = points(8, 6)
    A = linops.sense(np.ones((1, 8, 6), "complex64"), mask)
    x = nets.DataConsistency(nu)(A, torch.from_numpy((k * mask)[None].astype("complex64")), torch.from_numpy(z))
    seen, given = backend.fft(x.detach().numpy(), (-2, -1)), backend.fft(z, (-2, -1))
    mixed = k if nu == math.inf else (given + nu * k) / (1 + nu)
    assert error(seen, np.where(mask, mixed, given)) < 1e-6
    net = nets.cascade(chain(), 2, nu=nu)  # and the cascade ends with it
    x = net(A, torch.from_numpy((k * mask)[None].astype("complex64"))).detach().numpy()
    if nu == math.inf:
        assert error(backend.fft(x, (-2, -1))[mask], k[mask]) < 1e-6


def test_a_learned_trust_in_the_data_has_its_gradient():
    A, y, _ = slices("complex128")
    layer, z = nets.DataConsistency(2.0, learn=True, inner=200).double(), torch.ones(A.ishape, dtype=torch.complex128)
    layer(A, y, z).abs().sum().backward()
    grad = float(layer.log_nu.grad)
    with torch.no_grad():
        start, values = layer.log_nu.clone(), []
        for h in (1e-4, -1e-4):
            layer.log_nu.copy_(start + h)
            values.append(float(layer(A, y, z).abs().sum()))
    assert grad == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_stored_networks_come_back(name, tmp_path):
    A, y, _ = slices()
    net = VARIANTS[name]()
    assert net.needs_maps
    assert json.loads(json.dumps(net.config)) == net.config
    again = nets.Unrolled(**net.config)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(A, y), net(A, y))
    card = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0,
            "figures": []}
    nets.save(net, tmp_path / "own.safetensors", card)
    loaded = nets.load(tmp_path / "own.safetensors")
    assert loaded.config == net.config
    assert torch.equal(loaded(A, y), net(A, y).detach())


class Faulty(torch.nn.Module):
    """The image, until its n-th call."""

    def __init__(self, answer, at=2):
        super().__init__()
        self.answer, self.calls, self.at = answer, 0, at

    def forward(self, x):
        self.calls += 1
        return self.answer(x) if self.calls >= self.at else x


@pytest.mark.parametrize("name", ["DataProx", "ADMM", "FISTA", "GradientDescent", "PDHG"])
def test_nan_names_its_step(name):
    A, y, _ = slices()
    solver = {"name": name} | ({"restart": False} if name in ("DataProx", "FISTA") else {})
    net = nets.Unrolled(solver, Faulty(lambda x: x * math.nan), 4, **PLAIN)
    step = 3 if name == "PDHG" else 2  # whose image sees the network one step later
    with pytest.raises(FloatingPointError, match=f"step {step} of 4 .*{name}"):
        net(A, y)


def test_a_network_that_changes_its_input_changes_nothing_else():
    A, y, _ = slices()
    spoiled, clean = (nets.Unrolled(pi.FISTA(restart=False), Faulty(f, 1), 3, **PLAIN)
                      for f in (lambda x: x.mul_(0.5), lambda x: 0.5 * x))
    with torch.no_grad():
        torch.testing.assert_close(spoiled(A, y), clean(A, y))


BAD = {
    "no solver": (lambda: nets.Unrolled("ADMM", chain()), TypeError, "solver must be one of"),
    "no unrolling": (lambda: nets.Unrolled(pi.CG(), chain()), TypeError, "solver must be one of ADMM"),
    "unknown solver": (lambda: nets.Unrolled({"name": "LSQR"}, chain()), ValueError, "must be one of ADMM"),
    "unknown field": (lambda: nets.Unrolled({"name": "ADMM", "mu": 1}, chain()), ValueError, "no option"),
    "restart": (lambda: nets.Unrolled(pi.FISTA(), chain()), ValueError, "give restart=False"),
    "search": (lambda: nets.Unrolled(pi.FISTA(backtracking=True, restart=False), chain()), ValueError, "backtracking"),
    "balance": (lambda: nets.Unrolled(pi.ADMM(balance=True), chain()), ValueError, "give balance=False"),
    "no module": (lambda: nets.Unrolled(pi.ADMM(), lambda x: x), TypeError, "denoiser must be"),
    "too few modules": (lambda: nets.Unrolled(pi.ADMM(), [chain()] * 2, 3), ValueError, "2 modules for 3"),
    "no iterations": (lambda: nets.Unrolled(pi.ADMM(), chain(), 0), ValueError, "iterations"),
    "sigma": (lambda: nets.Unrolled(pi.ADMM(), unet(), sigma=0), ValueError, "sigma must be > 0"),
    "sigmas": (lambda: nets.Unrolled(pi.ADMM(), unet(), sigma=(0.2, 0.1, 0.05)), ValueError, "the first and the last"),
    "channels": (lambda: nets.Unrolled(pi.ADMM(), chain(channels=3)), ValueError, "3 to 3 channels"),
    "magnitude": (lambda: nets.Unrolled(pi.ADMM(), chain(channels=1), channels="magnitude"), ValueError, "phase"),
    "filters in FISTA": (lambda: nets.Unrolled(pi.FISTA(restart=False), nets.FilterBank()), ValueError, "splits"),
    "tau": (lambda: nets.Unrolled(pi.PDHG(), pi.TV()), ValueError, "tau is needed"),
    "prior's config": (lambda: nets.Unrolled(pi.ADMM(), pi.TV()).config, TypeError, "written down"),
    "nu": (lambda: nets.DataConsistency(0.0), ValueError, "nu must be > 0"),
    "learned inf": (lambda: nets.DataConsistency(learn=True), ValueError, "cannot be learned"),
    "cascade's nu": (lambda: nets.cascade(chain(), nu=-1.0), ValueError, "nu must be > 0"),
    "even filter": (lambda: nets.FilterBank(size=4), ValueError, "odd"),
    "threshold": (lambda: nets.FilterBank(threshold=0.03), ValueError, "multiple of spacing"),
    "initial": (lambda: nets.FilterBank("sobel"), ValueError, "initial must be one of"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings(name):
    make, kind, words = BAD[name]
    with pytest.raises(kind, match=words):
        make()


BAD_DATA = {
    "numpy": (lambda A, y: (A, y.numpy()), TypeError, "torch tensor"),
    "shape": (lambda A, y: (A, y[0]), ValueError, "y has shape"),
    "nan": (lambda A, y: (A, y * math.nan), ValueError, "NaN"),
    "no operator": (lambda A, y: (A.mps, y), TypeError, "A must be a linear operator"),
    "x0": (lambda A, y: (A, y, torch.zeros(3, 3)), ValueError, "x0 has shape"),
    "numpy x0": (lambda A, y: (A, y, np.zeros(A.ishape)), TypeError, "x0 is a ndarray"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name):
    A, y, _ = slices()
    arguments, kind, words = BAD_DATA[name]
    with pytest.raises(kind, match=words):
        nets.modl(chain(), 1)(*arguments(A, y))


@pytest.mark.parametrize("answer", [lambda x: x[:, :1], lambda x: x[..., :-1], lambda x: None])
def test_a_network_of_the_wrong_shape_is_told(answer):
    A, y, _ = slices()
    with pytest.raises(ValueError, match="network of step 1 returned"):
        nets.Unrolled(pi.ADMM(), Faulty(answer, 1), 1, **PLAIN)(A, y)


@pytest.mark.parametrize("name", VARIANTS)
def test_zero_data_are_no_division_by_zero(name):
    A, y, _ = slices()
    net = VARIANTS[name]()
    x = net(A, 0 * y)
    x.abs().sum().backward()
    assert torch.isfinite(torch.view_as_real(x.detach())).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("make", [lambda: nets.modl(chain(12), 2, inner=5), lambda: nets.varnet(chain(12), 3)])
def test_training_halves_the_loss_and_beats_its_start(make):
    mask, brains = pi.masks.random((32, 32), 3, seed=1), [
        pi.phantom.brain((32, 32), 4, noise=0.02, anatomy=n, seed=n) for n in range(5)]
    size = [np.sqrt((abs(b.mps) ** 2).sum(0)) for b in brains]
    mps, y, truth = (np.stack(v) for v in zip(*[(b.mps / s, b.kspace * mask, b.image * s) for b, s in
                                                zip(brains, size)]))
    y, truth = torch.from_numpy(y), torch.from_numpy(truth)
    A, unseen = linops.sense(mps[:4], mask), linops.sense(mps[4], mask)

    def loss(A, y, truth):
        return (net(A, y) - truth).abs().square().sum() / truth.abs().square().sum()

    net = make()
    with torch.no_grad():
        before = [float(loss(A, y[:4], truth[:4])), float(loss(unseen, y[4], truth[4]))]
    optimiser = torch.optim.Adam([{"params": net.parts.parameters(), "lr": 5e-3},
                                  {"params": [p for n, p in net.named_parameters() if "log_" in n], "lr": 0.1}])
    for _ in range(40):
        optimiser.zero_grad()
        loss(A, y[:4], truth[:4]).backward()
        optimiser.step()
    with torch.no_grad():
        after = [float(loss(A, y[:4], truth[:4])), float(loss(unseen, y[4], truth[4]))]
    assert after[0] < 0.5 * before[0]
    assert after[1] < before[1]


@pytest.mark.parametrize("solver", [pi.GradientDescent(step_size=1.0), pi.HQS(iterations=3)])
def test_levels_fall_from_the_first_to_the_last(solver, tmp_path):
    net = nets.Unrolled(solver, unet(), 3, sigma=(0.25, 0.01))
    np.testing.assert_allclose(net.log_level.exp().detach(), [0.25, 0.05, 0.01], rtol=1e-5)
    assert nets.build("Unrolled", net.config).config == net.config
