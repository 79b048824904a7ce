"""Networks of other packages: fastMRI's own, and modules that are called as DIRECT's, ATOMMIC's and DeepInverse's."""

import numpy as np
import pytest
import torch
from helpers import fastmri_models, refused, relative
from torch import nn

import pisolve as pi
from pisolve import backend, linops, masks, nets, phantom

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (36, 40)
BRAIN = phantom.brain(SHAPE, 3, noise=0.01)
MPS = (BRAIN.mps / np.linalg.norm(BRAIN.mps, axis=0)).astype(np.complex64)


def scan(axis):
    mask = masks.random(SHAPE, 3, 0.25, axis=axis, seed=2)
    return pi.io.Scan(BRAIN.kspace * mask, mask=mask, mps=MPS)


def test_fastmris_varnet_is_ours_with_its_weights():
    fastmri = fastmri_models()
    torch.manual_seed(0)
    theirs = fastmri.VarNet(num_cascades=2, sens_chans=2, sens_pools=2, chans=3, pools=2).eval()
    ours = nets.E2EVarNet.from_fastmri(theirs.state_dict())
    one = scan(-1)
    image = pi.recon(one, network=nets.foreign(theirs)).x
    assert relative(torch.from_numpy(image), torch.from_numpy(pi.recon(one, network=ours).x)) < 1e-5
    kspace = torch.from_numpy(np.stack([one.kspace] * 2))
    mask = torch.from_numpy(one.mask)[None, None]
    expected = theirs(torch.view_as_real(kspace), mask[:, :, :1, :, None])
    assert relative(nets.foreign(theirs)(kspace, mask), expected) < 1e-6
    tall = scan(-2)  # lines along ky are turned for it
    image = pi.recon(tall, network=nets.foreign(theirs)).x
    flipped = pi.io.Scan(tall.kspace.swapaxes(-1, -2).copy(), mask=tall.mask.T.copy())
    expected = pi.recon(flipped, network=nets.foreign(theirs)).x.T
    assert relative(torch.from_numpy(image), torch.from_numpy(expected)) < 1e-5


class Direct(nn.Module):
    """The call of DIRECT's networks; the zero-filled image, in the form that `how` says."""

    def __init__(self, how="image", centred=True):
        super().__init__()
        self.how, self.centred, self.gain = how, centred, nn.Parameter(torch.ones(()))

    def combined(self, kspace, mask, mps):
        assert kspace.shape == mps.shape
        assert mask.shape == (*kspace[:, :1].shape[:-1], 1)
        assert mask.dtype == torch.bool
        k, s = torch.view_as_complex(kspace) * mask[..., 0], torch.view_as_complex(mps)
        coils = backend.fft(k, (-2, -1), inverse=True, centred=self.centred)
        return k, (s.conj() * coils).sum(1)

    def forward(self, masked_kspace, sampling_mask, sensitivity_map, scale=None):
        k, x = self.combined(masked_kspace, sampling_mask, sensitivity_map)
        x = x * self.gain
        return {"image": lambda: torch.view_as_real(x), "kspace": lambda: torch.view_as_real(k),
                "lists": lambda: ([torch.zeros(1, 2, 3, 3), torch.stack([x.real, x.imag], 1)], "hidden"),
                "complex": lambda: x, "wrong": lambda: torch.view_as_real(x)[:, 1:]}[self.how]()


class Atommic(Direct):
    """The call of ATOMMIC's networks: a list of cascades of a list of time steps."""

    def forward(self, y, sensitivity_maps, mask, initial_prediction, sigma: float = 1.0):
        _, x = self.combined(y, mask, sensitivity_maps)
        assert relative(torch.view_as_complex(initial_prediction), x) < 1e-5
        return [[torch.zeros(1)], [torch.zeros(1), x]]


class Deepinv(nn.Module):
    """The call of DeepInverse's networks: two gradient steps."""

    def forward(self, y, physics):
        x = physics.A_adjoint(y)
        for _ in range(2):
            x = x - 0.5 * physics.A_adjoint(physics.A(x) - y)
        return x


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("how", ["image", "kspace", "lists", "complex"])
def test_direct(how, slices):
    one = scan(-2)
    mps = np.stack([MPS] * slices) if slices > 1 else MPS
    A = linops.sense(mps, one.mask)
    y = torch.from_numpy(np.stack([one.kspace] * slices) if slices > 1 else one.kspace)
    network = nets.foreign(Direct(how), "direct")
    assert network.needs_maps
    image = network(A, y)
    assert image.shape == tuple(A.ishape)
    assert relative(image, linops.as_torch(A).H(y)) < 1e-5
    if slices == 1:
        assert pi.recon(one, network=network).ok


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("kind", [Direct, Atommic])
def test_ffts_without_a_shift(kind, centred):
    one = scan(-1)
    A, y = linops.sense(MPS, one.mask), torch.from_numpy(one.kspace)
    network = nets.foreign(kind(centred=centred), kind.__name__.lower(), centred=centred)
    assert relative(network(A, y), linops.as_torch(A).H(y)) < 1e-5


def test_deepinv_sees_the_physics():
    one = scan(-2)
    A, y = linops.sense(MPS, one.mask), torch.from_numpy(one.kspace)
    x = linops.as_torch(A).H(y)
    for _ in range(2):
        x = x - 0.5 * linops.as_torch(A).H(linops.as_torch(A)(x) - y)
    network = nets.foreign(Deepinv(), "deepinv")
    assert relative(network(A, y), x) < 1e-5
    assert pi.recon(one, network=network, consistency=True).ok


def test_what_does_not_fit_says_why():
    one = scan(-2)
    A, y = linops.sense(MPS, one.mask), torch.from_numpy(one.kspace)

    class Other(nn.Module):
        def forward(self, y, contrast):
            return y

    refused(lambda: nets.foreign("varnet"), TypeError, "module must be a torch module")
    refused(lambda: nets.foreign(Deepinv(), "bart"), ValueError, "layout must be one of fastmri, direct, atommic")
    refused(lambda: nets.foreign(Deepinv(), "deepinv", centred=False), ValueError, "centred=False has no effect")
    refused(lambda: nets.foreign(Other(), "direct")(A, y), TypeError, "Other.forward wants contrast")
    refused(lambda: nets.foreign(Direct("wrong"), "direct")(A, y), ValueError, "Direct returned (1, 35, 40), expected")
    refused(lambda: nets.foreign(Direct(), "direct")(linops.sense(MPS, weights=0.5 + one.mask), y), ValueError,
            "A has weights")
    refused(lambda: pi.Recipe(network=nets.foreign(Deepinv(), "deepinv")).to_dict(), ValueError, "was made in Python")
