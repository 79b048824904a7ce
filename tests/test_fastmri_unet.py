"""fastMRI's U-Net against the package it is from, the reconstruction with it, and the re-insertion of samples."""

import math

import numpy as np
import pytest
import torch
from helpers import fastmri_models, refused, relative

from pisolve import backend, masks, nets, phantom
from pisolve.nets.fastmri_unet import FastMRIUNet, ZeroFilledUNet, kspace_correction, residual

pytestmark = pytest.mark.usefixtures("one_thread")


def small(seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    return ZeroFilledUNet(4, 2, **options).to(dtype)


def scan(shape=(40, 37), coils=3, batch=2, dtype=torch.complex128):
    """Fully sampled k-space of phantoms (batch, coil, ky, kx), and a mask of lines along kx."""
    data = [phantom.brain(shape, coils, seed=n, anatomy=n).kspace for n in range(batch)]
    mask = masks.random(shape, 3, 0.2, axis=-1, seed=1)
    return torch.from_numpy(np.stack(data)).to(dtype), torch.from_numpy(mask)


@pytest.mark.parametrize(("sizes", "shape"), [
    ((1, 1, 4, 2), (2, 1, 16, 20)), ((2, 3, 3, 3), (1, 2, 37, 45)), ((1, 1, 2, 4), (1, 1, 16, 63)),
    ((3, 1, 5, 1), (2, 3, 9, 7))])
def test_equals_fastmri(sizes, shape):
    fastmri = fastmri_models()
    torch.manual_seed(0)
    reference = fastmri.Unet(*sizes).double()
    net = FastMRIUNet.from_fastmri(reference.state_dict()).double()
    assert tuple(net.config.values())[:4] == sizes
    assert set(net.state_dict()) == set(reference.state_dict())
    x = torch.randn(shape, dtype=torch.float64)
    given, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert relative(net(given), reference(theirs)) < 1e-12
    net(given).square().sum().backward()
    reference(theirs).square().sum().backward()
    assert relative(given.grad, theirs.grad) < 1e-10
    others = dict(reference.named_parameters())
    assert all(relative(mine.grad, others[name].grad) < 1e-9 for name, mine in net.named_parameters())
    assert relative(net.float()(x.float()), reference.float()(x.float())) < 1e-5


def test_the_defaults_have_fastmris_number_of_parameters():
    net = FastMRIUNet()
    count = sum(p.numel() for p in net.parameters())
    assert f"{count:,} parameters" in " ".join(FastMRIUNet.__doc__.split())
    fastmri = fastmri_models()
    assert count == sum(p.numel() for p in fastmri.Unet(1, 1).parameters())


def test_dropout_acts_in_training_only_and_lightning_names_are_read():
    torch.manual_seed(0)
    net, x = FastMRIUNet(1, 1, 4, 2, drop_prob=0.5), torch.randn(1, 1, 16, 16)
    assert not torch.equal(net(x), net(x))
    again = FastMRIUNet.from_fastmri({f"unet.{k}": v for k, v in net.state_dict().items()} | {"step": torch.ones(1)})
    assert not again.training
    assert torch.equal(again(x), net.eval()(x))


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"correction": True}], ids=str)
def test_the_reconstruction_has_no_units_and_keeps_slices_apart(options):
    net = small(**options)
    kspace, mask = scan()
    kept = kspace.clone()
    image = net(kspace, mask)
    assert image.shape == (2, 40, 37)
    assert image.dtype == torch.float64
    assert torch.equal(kept, kspace)
    assert relative(net(1e-6 * kspace, mask), 1e-6 * image) < 1e-10
    assert relative(net(kspace[1:], mask)[0], image[1]) < 1e-10
    assert relative(net(kspace[:, [2, 0, 1]], mask), image) < 1e-10
    assert torch.equal(net(kspace * mask, mask), image), "samples outside the mask were looked at"
    assert torch.equal(net(kspace, mask[None, None].int()), image)
    assert nets.ZeroFilledUNet(**net.config).config == net.config
    image.sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in net.parameters() if p.ndim > 3)


def test_the_residual_form():
    net, (kspace, mask) = small(residual=True), scan()
    last = net.unet.up_conv[-1][1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    start = torch.linalg.vector_norm(backend.fft(kspace * mask, (-2, -1), inverse=True), dim=1)
    assert relative(net(kspace, mask), start) < 1e-12
    x = torch.ones(2)
    assert torch.equal(residual(lambda v: 3 * v, x), 4 * x)


def test_an_empty_slice_of_a_batch_stays_finite():
    kspace, mask = scan()
    kspace[1] = 0
    for options in ({}, {"correction": True}):
        net = small(**options)
        image = net(kspace, mask)
        assert not image[1].any()
        image.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_correction_with_full_sampling_gives_the_truth():
    net, (kspace, mask) = small(correction=True), scan()
    truth = torch.linalg.vector_norm(backend.fft(kspace, (-2, -1), inverse=True), dim=1)
    assert relative(net(kspace, torch.ones_like(mask)), truth) < 1e-12


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["lines", "points", "batch", "real image"])
def test_putting_samples_back_never_increases_the_error(kind, seed):
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randn(2, 3, 17, 14, generator=rng, dtype=torch.complex128)
    truth = truth.real.abs() if kind == "real image" else truth
    image = truth + 10 ** (seed - 3) * torch.randn(truth.shape, generator=rng, dtype=truth.dtype)
    shape = {"lines": (14,), "points": (17, 14), "batch": (2, 1, 17, 1), "real image": (1, 14)}[kind]
    mask = torch.rand(shape, generator=rng) < 0.4
    kspace = backend.fft(truth.to(torch.complex128), (-2, -1)) * mask
    better = kspace_correction(image, kspace, mask)
    for b, i, t in zip(better.flatten(0, 1), image.flatten(0, 1), truth.flatten(0, 1)):
        assert relative(b, t) <= relative(i, t) * (1 + 1e-12)
        assert relative(b.abs(), t.abs()) <= relative(i, t) * (1 + 1e-12)
    assert relative(backend.fft(better, (-2, -1)) * mask, kspace) < 1e-12
    assert relative(kspace_correction(better, kspace, mask), better) < 1e-12, "it is no projection"


@pytest.mark.parametrize(("options", "steps"), [({}, 120), ({"residual": True}, 60), ({"correction": True}, 60)])
def test_it_learns_its_training_images(options, steps):
    kspace, mask = scan((24, 24), 2)
    target, start = (torch.linalg.vector_norm(backend.fft(k, (-2, -1), inverse=True), dim=1)
                     for k in (kspace, kspace * mask))
    net, loss, values = small(**options), nets.losses.L1(), []
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        value = loss(net(kspace, mask), target)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]
    assert values[-1] < 0.7 * float(loss(start, target)), "it is no better than its input"


NET, K, M = small(dtype=torch.float32), *scan((16, 16), 2, 1, torch.complex64)
STATE = FastMRIUNet(1, 1, 2, 2).state_dict()
BAD = {
    "real k-space": (lambda: NET(K.abs(), M), TypeError, "kspace must be a torch tensor, complex64 or complex128"),
    "two channels": (lambda: NET(torch.view_as_real(K), M), TypeError, "torch.view_as_complex"),
    "numpy": (lambda: NET(K.numpy(), M), TypeError, "got ndarray"),
    "axes": (lambda: NET(K[0], M), ValueError, "kspace[None] for one slice"),
    "precision": (lambda: NET(K.to(torch.complex128), M), TypeError, "bring both to one precision"),
    "NaN": (lambda: NET(K * math.nan, M), ValueError, "NaN or Inf"),
    "no data": (lambda: NET(0 * K, M), ValueError, "kspace is zero everywhere"),
    "outside of the mask": (lambda: NET(K, M & False), ValueError, "kspace is zero everywhere"),
    "mask of numpy": (lambda: NET(K, M.numpy()), TypeError, "mask must be a torch tensor"),
    "mask does not fit": (lambda: NET(K, M[:, :-1]), ValueError, "mask has shape (16, 15), which does not broadcast"),
    "mask is larger": (lambda: NET(K, M[None, None, None]), ValueError, "does not broadcast"),
    "mask of coils": (lambda: NET(K, M.expand(2, 16, 16)), ValueError, "one pattern holds for all coils"),
    "mask of halves": (lambda: NET(K, 0.5 * M), ValueError, "other values than 0 and 1"),
    "small": (lambda: NET(K[..., :4, :4], M[:4, :4]), ValueError, "x has 4x4 pixels, too few for 2 poolings"),
    "channels": (lambda: NET.unet(torch.ones(1, 2, 16, 16)), ValueError, "expected (batch, 1, y, x)"),
    "complex channels": (lambda: NET.unet(K), TypeError, "x must be a float tensor"),
    "pools": (lambda: FastMRIUNet(pools=0), ValueError, "pools must be in 1.."),
    "drop_prob": (lambda: FastMRIUNet(drop_prob=2), ValueError, "drop_prob must be <= 1"),
    "no state": (lambda: FastMRIUNet.from_fastmri([1]), TypeError, "state_dict must map names to tensors"),
    "checkpoint": (lambda: FastMRIUNet.from_fastmri({"state_dict": STATE}), TypeError, "give checkpoint['state_dict']"),
    "other network": (lambda: FastMRIUNet.from_fastmri({"a": torch.ones(1)}), ValueError, "no U-Net of fastMRI"),
    "more": (lambda: FastMRIUNet.from_fastmri(STATE | {"b": torch.ones(1)}), ValueError, "does not fit FastMRIUNet"),
    "NaN weights": (lambda: FastMRIUNet.from_fastmri({k: v * math.nan for k, v in STATE.items()}), ValueError, "NaN"),
    "missing": (lambda: FastMRIUNet.from_fastmri({k: v for k, v in STATE.items() if k != "conv.layers.0.weight"}),
                ValueError, "does not fit FastMRIUNet"),
    "image of numpy": (lambda: kspace_correction(K.numpy(), K, M), TypeError, "image must be a tensor"),
    "image's shape": (lambda: kspace_correction(K[0], K, M), ValueError, "image has shape"),
    "image's NaN": (lambda: kspace_correction(K * math.nan, K, M), ValueError, "image holds NaN"),
    "correction of real": (lambda: kspace_correction(K, K.abs(), M), TypeError, "kspace must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    refused(*BAD[name])
