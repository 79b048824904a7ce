"""Images out of the range of a generator: found where they are in it, and said to be far where they are not."""

import numpy as np
import pytest
import torch

import pisolve as pi

SHAPE = (16, 14)


class Tiny(torch.nn.Module):
    """z (1, 6) -> smooth complex images, by a random network of two layers."""

    def __init__(self, planes=2):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.planes = planes
            self.layers = torch.nn.Sequential(torch.nn.Linear(6, 24), torch.nn.ELU(), torch.nn.Linear(24, planes * 16))

    def forward(self, z):
        return torch.nn.functional.interpolate(self.layers(z).view(1, self.planes, 4, 4), SHAPE, mode="bicubic")


def problem(image, noise=0.0):
    brain = pi.phantom.brain(SHAPE, 4)
    mask = pi.masks.random(SHAPE, 2, seed=1)
    A = pi.linops.sense((brain.mps / np.linalg.norm(brain.mps, axis=0)).astype(np.complex64), mask)
    white = np.random.default_rng(0).standard_normal((2, *A.oshape))
    return A, (A(image.astype(np.complex64)) + noise * mask * (white[0] + 1j * white[1])).astype(np.complex64)


def made(G, seed):
    z = np.random.default_rng(seed).standard_normal((1, 6))
    with torch.no_grad():
        planes = G(torch.from_numpy(z.astype(np.float32)))[0].numpy()
    return planes[0] + 1j * planes[1] if len(planes) == 2 else planes[0] + 0j


@pytest.mark.parametrize("planes", [1, 2])
def test_an_image_in_the_range_is_found_in_any_unit_and_phase(planes):
    G = Tiny(planes)
    before = {k: v.clone() for k, v in G.state_dict().items()}
    image = 30j * made(G, 5)
    A, y = problem(image)
    done = pi.solve(A, y, pi.Generator(G, latent=6, restarts=2), max_iter=16)
    assert pi.metrics.psnr(abs(image), abs(done.x)) > 40
    assert np.linalg.norm(done.x - image) < 0.02 * np.linalg.norm(image)
    assert done.state.aux["best"].min() < 0.01
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in G.parameters())


def test_the_image_is_that_of_the_best_restart_and_one_out_of_range_says_so():
    G = Tiny()
    A, y = problem(pi.phantom.brain(SHAPE, 4).image)
    done = pi.solve(A, y, pi.Generator(G, latent=6, restarts=3), max_iter=1)
    best = done.state.aux["best"]
    assert np.ptp(best) > 0
    assert np.array_equal(done.x, done.state.aux["images"][int(best.argmin())])
    off = np.linalg.norm(A(done.x) - y) / np.linalg.norm(y)
    assert off == pytest.approx(best.min(), rel=1e-3)
    assert off > 0.1  # told, where an image in the range has less than 0.01
    assert done.history[-1]["best"] > 0.1


def test_a_penalty_keeps_z_small_and_the_same_call_gives_the_same_bits():
    G = Tiny()
    A, y = problem(made(G, 5), noise=0.1)
    free, again, held = (pi.solve(A, y, pi.Generator(G, latent=(6,), restarts=1, penalty=p), max_iter=3)
                         for p in (0.0, 0.0, 1.0))
    assert np.array_equal(free.x, again.x)
    size = [float(np.linalg.norm(r.state.aux["theta"])) for r in (free, held)]
    assert size[1] < 0.8 * size[0]


def test_a_scan_by_recon():
    brain = pi.phantom.brain(SHAPE, 4, noise=0.01)
    done = pi.recon(pi.io.Scan(brain.kspace), pi.Generator(Tiny(), latent=6, restarts=2), max_iter=2)
    assert done.x.shape[-2:] == SHAPE
    with pytest.raises(ValueError, match="made in Python"):
        pi.Recipe(pi.Generator(Tiny(), latent=6)).save("unused.json")


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: pi.Generator(lambda z: z, latent=6), TypeError, "network must be a torch module"),
    (lambda: pi.Generator(Tiny(), latent=0), ValueError, "latent must be"),
    (lambda: pi.Generator(Tiny(), latent=6, restarts=0), ValueError, "restarts must be"),
    (lambda: pi.solve(*problem(np.ones(SHAPE)), pi.Generator(torch.nn.Linear(6, 3), latent=6)), ValueError,
     "the network made"),
    (lambda: 2 * pi.Generator(Tiny(), latent=6), TypeError, "stands alone")])
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
