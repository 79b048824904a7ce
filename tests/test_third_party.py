"""Networks of others as priors, in one line: the KAIR zoo's DnCNN from its file, denoisers called model(x, sigma)."""

import numpy as np
import pytest
import torch
from conftest import data_path
from torch import nn

import pisolve as pi
from pisolve.testing import distance

PHANTOM = pi.phantom.brain((48, 40), 4, noise=0.03)
MASK = pi.masks.random((48, 40), 2, center_fraction=0.15, seed=2)
A, Y = pi.linops.sense(PHANTOM.mps, MASK), PHANTOM.kspace * MASK
SOLVERS = [pi.FISTA(), pi.ADMM(), pi.HQS()]


class Shrink(nn.Module):
    """Called as deepinv's denoisers are: model(x, sigma), sigma a number or a tensor of one or B values.

    It moves every pixel towards the mean of its neighbours, the more so the larger sigma is.
    """

    def __init__(self, channels, *, multiple=1):
        super().__init__()
        self.head = nn.Conv2d(channels + 1, 4, 1)  # as DRUNet's, for the map it makes itself
        self.tail = nn.Conv2d(4, channels, 1)
        self.multiple, self.seen = multiple, []

    def forward(self, x, sigma):
        sigma = torch.as_tensor(sigma, dtype=x.dtype).squeeze()
        if sigma.ndim:
            assert len(sigma) in (1, len(x))
            sigma = sigma.view(-1, 1, 1, 1)
        self.seen.append(sigma)
        if x.shape[-1] % self.multiple or x.shape[-2] % self.multiple:
            raise RuntimeError("The size of tensor a must match the size of tensor b")
        around = sum(x.roll(shift, axis) for shift in (1, -1) for axis in (-2, -1)) / 4
        return x + 4 * sigma / (1 + 4 * sigma) * (around - x)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("multiple", [1, 32])
def test_a_denoiser_called_with_sigma_is_a_prior_in_one_line(solver, channels, multiple):
    net = Shrink(channels, multiple=multiple)
    result = pi.solve(A, Y, pi.PnP(net, sigma=0.05), solver, max_iter=20)
    assert result.ok
    told = pi.Denoiser(net).describe()
    assert (told["channels"], told["noise_input"]) == ({1: "parts", 2: "complex"}[channels], "scalar")
    assert torch.all(net.seen[-1] == 0.05)
    plain = pi.solve(A, Y, pi.PnP(lambda x, s: x + 0.2 / 1.2 * (sum(
        np.roll(x, n, a) for n in (1, -1) for a in (-2, -1)) / 4 - x), sigma=0.05), solver, max_iter=20)
    if multiple == 1 and not isinstance(solver, pi.HQS):  # the function has one level only
        assert distance(result.x, plain.x) < 1e-5


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_the_public_grey_dncnn_is_a_prior_in_one_line(solver):
    prior = pi.PnP(pi.nets.load(data_path("weights/dncnn_gray_25.pth")))
    scale = 1 / np.percentile(abs(A.H(Y)), 99)
    result = pi.solve(A, scale * Y, prior, solver, max_iter=8)
    sense = pi.solve(A, Y, pi.Zero(), max_iter=30).x
    assert result.ok
    assert prior.sigma == pytest.approx(25 / 255)
    gains = distance(result.x / scale, PHANTOM.image) < 0.8 * distance(sense, PHANTOM.image)
    assert gains != isinstance(solver, pi.FISTA)  # whose step 1/L makes its one level far too strong for these data
