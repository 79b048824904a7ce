"""PILOT: limits are kept, the projection is the nearest point, gradients are right, and what is learned helps."""

import numpy as np
import pytest
import torch
from cases import coord, maps

import pisolve as pi
from pisolve import linops, nets, testing, trajectories
from pisolve.nets.consistency import SliceProblem
from pisolve.trajectories._playable import Playable, splines
from pisolve.trajectories.limits import scanner

N, FOV, DWELL = 24, 0.2, 20e-6
LIMITS = {"gmax": 10e-3, "smax": 100.0}  # so weak that they bind
START = trajectories.radial((N, N), 8, 48)
IMAGES = np.stack([pi.phantom.brain((N, N), 1, anatomy=n).image for n in range(4)])


def learned(start=START, images=IMAGES, **options):
    return trajectories.learn(start, images, FOV, DWELL, **{"steps": 12, "knots": 10, **LIMITS, **options})


def excess(k, shape=(N, N), fov=FOV):
    """By how much the shots pass their limits, relatively: gradient, slew rate, box."""
    found = trajectories.check(k, fov, DWELL, **LIMITS)
    return np.array([found["gradient"] / LIMITS["gmax"], found["slew"] / LIMITS["smax"],
                     (2 * abs(k) / shape).max()]) - 1


def test_splines_are_smooth_and_add_up_to_one():
    B = splines(50, 9)
    assert B.shape == (50, 9)
    np.testing.assert_allclose(B.sum(1), 1, atol=1e-12)
    t = np.linspace(0, 1, 50)
    for power in range(4):  # cubics are among them
        assert np.linalg.lstsq(B, t**power, rcond=None)[1] < 1e-20


@pytest.mark.parametrize("fov", [FOV, (0.2, 0.3)])
def test_the_projection_is_the_nearest_playable_shot(fov, rng):
    shape = (N, N)
    start = trajectories.radial(shape, 3, 48)
    P = Playable(start, shape, scanner(fov, 2, DWELL, **LIMITS), 10)
    given = 4 * rng.standard_normal((3, 10, 2))
    c = P.project(given)
    assert excess(start + P.basis @ given, fov=fov).max() > 0.5  # far outside
    assert excess(start + P.basis @ c, fov=fov).max() < 1e-3
    assert excess(P.shots(c), fov=fov).max() < 1e-12
    np.testing.assert_allclose(P.shots(c), start + P.basis @ c, atol=2e-2)
    scale = 1 / np.broadcast_to(fov, 2)  # nearest in 1/m: <given - c, other - c> <= 0 for all others inside
    for seed in range(20):
        other = np.random.default_rng(seed).standard_normal(c.shape) * 10.0 ** -(seed % 4)
        other = P.project(c + other)
        for s in range(3):
            a, b = (given - c)[s] * scale, (other - c)[s] * scale
            assert (a * b).sum() <= 2e-2 * np.linalg.norm(a) * np.linalg.norm(b) + 1e-6
    np.testing.assert_allclose(P.project(0 * given), 0, atol=1e-9)  # what is inside stays


@pytest.mark.parametrize("network", [False, True])
def test_shots_keep_their_limits_and_images_come_out_better(network):
    torch.manual_seed(0)
    net = nets.modl(nets.DnCNN(2, 2, 4), 2, inner=4) if network else None
    done = learned(network=net, noise=0.01, batch_size=2, steps=20, move=0.5)
    assert excess(done.coord).max() < 1e-9
    assert done.check["playable"]
    assert done.coord.shape == START.shape
    assert np.linalg.norm(done.coord - START, axis=-1).max() > 1
    other = pi.phantom.brain((N, N), 1, anatomy=9).image.astype("c8")

    def error(k):
        A = linops.nufft((N, N), k)
        return testing.distance(pi.solve(A, A(other), 1e-3 * pi.TV(), max_iter=60).x, other)

    assert error(done.coord) < 0.9 * error(START)
    assert np.mean(done.losses[-4:]) < 0.8 * np.mean(done.losses[:4])


@pytest.mark.parametrize("network", [False, True])
def test_a_run_goes_on_to_the_same_bits(network, tmp_path):
    def run(state=None, stop=None):
        torch.manual_seed(0)
        net = nets.modl(nets.DnCNN(2, 2, 4), 2, inner=3) if network else None
        return learned(network=net, noise=0.02, steps=5, state=state, callback=lambda step, loss: step == stop)

    whole = run()
    half = run(stop=2)
    assert len(half.losses) == 2
    torch.save(half.state, tmp_path / "state.pt")
    rest = run(torch.load(tmp_path / "state.pt", weights_only=True))
    np.testing.assert_array_equal(rest.coord, whole.coord)
    assert rest.losses == whole.losses
    if network:
        for a, b in zip(rest.network.parameters(), whole.network.parameters(), strict=True):
            assert torch.equal(a, b)
    assert learned(noise=0.02, steps=5, seed=1).losses != whole.losses


def test_without_moves_only_the_network_learns():
    net = nets.modl(nets.DnCNN(2, 2, 4), 2, inner=3)
    before = [w.clone() for w in net.parameters()]
    done = learned(network=net, move=0, steps=3)
    np.testing.assert_array_equal(done.coord, START)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_volumes_and_coils_are_taken():
    images = np.stack([pi.phantom.brain((8, 8), 1).image] * 8)[None]
    done = trajectories.learn(trajectories.radial_3d((8, 8, 8), 6, 16), images, FOV, DWELL, mps=maps(2, 8, 8, 8),
                              steps=2, knots=6)
    assert done.coord.shape == (6, 16, 3)
    assert done.check["playable"]
    each = learned(mps=maps(4, 3, N, N), batch_size=3, steps=1)
    assert np.isfinite(each.losses).all()


@pytest.mark.parametrize("implicit", [True, False])
def test_unrolled_networks_have_the_gradient_of_the_coordinates(implicit, rng):
    """The derivative of argmin 1/2 ||A_k x - y_k||^2 + rho/2 ||x - v||^2 against differences."""
    mps, k = maps(3, 5, 4), coord(9, size=(5, 4))
    image, v = (torch.from_numpy(testing.random((5, 4), rng, "complex128")) for _ in range(2))
    w = torch.from_numpy(testing.random((5, 4), rng, "complex128"))

    def value(k):
        A = linops.sense(mps, coord=k, eps=1e-13)
        problem = SliceProblem(A, torch.sin(linops.as_torch(A)(image).real) + 0j, implicit=implicit)
        x = problem.data_prox(v, 0.3, v, 60)
        return torch.vdot(w.ravel(), x.ravel()).real

    t = torch.tensor(k, requires_grad=True)
    value(t).backward()
    step = rng.standard_normal(k.shape)
    numeric = (value(torch.tensor(k + 1e-5 * step)) - value(torch.tensor(k - 1e-5 * step))) / 2e-5
    assert float((t.grad * torch.from_numpy(step)).sum()) == pytest.approx(float(numeric), rel=1e-5)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: learned(START[0]), ValueError, "shot, sample, axis"),
    (lambda: learned(gmax=1e-3), ValueError, "coord is no start: the gradient reaches"),
    (lambda: learned(2 * START, gmax=40e-3), ValueError, "must lie in -N/2..N/2"),
    (lambda: learned(images=IMAGES[0]), ValueError, "images has 2 dimensions"),
    (lambda: learned(images=0 * IMAGES), ValueError, "zero"),
    (lambda: learned(mps=np.ones((2, 8, 8))), ValueError, "mps has shape"),
    (lambda: learned(mps=np.ones((3, 2, N, N))), ValueError, "those of each image"),
    (lambda: learned(batch_size=5), ValueError, "batch_size"), (lambda: learned(knots=3), ValueError, "knots"),
    (lambda: learned(network=3), TypeError, "network must be"),
    (lambda: learned(network=lambda A, y: y), ValueError, "must return images"),
    (lambda: learned(state={}), TypeError, "state"),
    (lambda: learned(steps=3, state=learned(steps=2).state), ValueError, "other arguments"),
    (lambda: learned(loss=lambda a, b: (a - b).abs().sum() * np.nan), FloatingPointError, "step 1"),
    (lambda: trajectories.learn(START, IMAGES, 200, DWELL), ValueError, "give m")])
def test_bad_arguments_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
