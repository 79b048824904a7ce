"""E2E-VarNet against the fastMRI package, the laws of its maps and of its batches, and its forerunners."""

import math

import numpy as np
import pytest
import torch
from helpers import fastmri_models, refused, relative

from pisolve import backend, linops, masks, metrics, nets, phantom
from pisolve.nets._fastmri import centre
from pisolve.nets.e2e_varnet import VNU, E2EVarNet, NormUnet

pytestmark = pytest.mark.usefixtures("one_thread")


def small(seed=0, dtype=torch.float64, kind=E2EVarNet, **options):
    torch.manual_seed(seed)
    return kind(2, 4, 2, **({"sens_chans": 3, "sens_pools": 2} if kind is E2EVarNet else {}), **options).to(dtype)


def scan(shape=(40, 37), coils=4, batch=2, dtype=torch.complex128):
    """Fully sampled k-space (batch, coil, ky, kx) of phantoms."""
    data = [phantom.brain(shape, coils, seed=n, anatomy=n, noise=0.01).kspace for n in range(batch)]
    return torch.from_numpy(np.stack(data)).to(dtype)


def lines(shape, axis=-1, accel=3, seed=1):
    return torch.from_numpy(masks.random(shape, accel, 0.2, axis=axis, seed=seed))


def fastmri_masks(shape, batch):
    """Masks (batch or 1, 1, 1, kx) of several kinds, and the number of centre lines to give or None."""
    random = lines(shape)[None, None, :1]
    different = torch.stack([lines(shape, seed=n)[None, :1] for n in range(batch)])
    different[0, ..., shape[1] // 2 - 3 : shape[1] // 2 + 5] = True
    equispaced = torch.from_numpy(masks.equispaced(shape, 4, 0.16, axis=-1, offset=2))[None, None, :1]
    return {"random": (random, None), "per slice": (different, None), "equispaced": (equispaced, None),
            "lines given": (random, 3), "one line given": (random, 1), "full, lines given": (random | True, 5)}


@pytest.mark.parametrize("kind", ["random", "per slice", "equispaced", "lines given", "one line given",
                                  "full, lines given"])
@pytest.mark.parametrize(("shape", "coils", "batch"), [((32, 32), 3, 1), ((37, 45), 2, 2), ((50, 24), 4, 2)])
def test_equals_fastmri(kind, shape, coils, batch):
    fastmri = fastmri_models()
    torch.manual_seed(0)
    reference = fastmri.VarNet(2, 3, 2, 4, 3).double()
    net = E2EVarNet.from_fastmri(reference.state_dict()).double()
    assert set(net.state_dict()) == set(reference.state_dict())
    mask, low = fastmri_masks(shape, batch)[kind]
    kspace = scan(shape, coils, batch) * mask
    kept = kspace.clone()
    theirs = torch.view_as_real(kspace).clone().requires_grad_()
    mask_theirs = mask.expand(batch, -1, -1, -1)[..., None]  # fastMRI wants one for each slice
    mine = kspace.clone().requires_grad_()
    image, expected = net(mine, mask, low), reference(theirs, mask_theirs, low)
    assert image.shape == (batch, *shape)
    assert relative(image, expected) < 1e-12
    assert torch.equal(mine.detach(), kept)
    image.square().sum().backward()
    expected.square().sum().backward()
    given = mask.expand_as(kspace)  # samples outside of the mask are not looked at here
    assert relative(mine.grad[given], torch.view_as_complex(theirs.grad)[given]) < 1e-8
    grads = dict(reference.named_parameters())
    for name, p in net.named_parameters():
        assert float((p.grad - grads[name].grad).norm()) <= 1e-8 * float(grads[name].grad.norm()) + 1e-12, name
    single = net.float()(kspace.to(torch.complex64), mask, low)
    theirs = reference.float()(torch.view_as_real(kspace.to(torch.complex64)), mask_theirs, low)
    assert relative(single, theirs) < 1e-5


def test_the_defaults_have_fastmris_number_of_parameters():
    net = E2EVarNet()
    count, sens = (sum(p.numel() for p in m.parameters()) for m in (net, net.sens_net))
    assert f"{count:,} parameters" in " ".join(E2EVarNet.__doc__.split())
    assert f"{sens:,} of them" in " ".join(E2EVarNet.__doc__.split())
    fastmri = fastmri_models()
    assert count == sum(p.numel() for p in fastmri.VarNet().parameters())


def test_lightning_names_and_config():
    net, kspace, mask = small(mask_center=False), scan(), lines((40, 37))
    lightning = {f"varnet.{k}": v for k, v in net.state_dict().items()} | {"loss.w": torch.ones(1)}
    again = E2EVarNet.from_fastmri(lightning, mask_center=False).double()
    assert not again.training
    assert again.config == net.config == E2EVarNet(**net.config).config
    assert torch.equal(again(kspace, mask), net(kspace, mask))
    assert (E2EVarNet.needs_maps, VNU.needs_maps) == (False, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_maps_are_normalised_and_equivariant(dtype):
    net = small(dtype=dtype).sens_net
    kspace, mask = scan(dtype=torch.complex64 if dtype == torch.float32 else torch.complex128), lines((40, 37))
    mask = mask[None, None]
    maps = net(kspace, mask)
    assert maps.shape == kspace.shape
    np.testing.assert_allclose((maps.abs() ** 2).sum(1).detach(), 1, atol=1e-6)
    order = [2, 0, 3, 1]
    tol = 1e-5 if dtype == torch.float32 else 1e-12
    assert relative(net(kspace[:, order], mask), maps[:, order]) < tol
    assert relative(net(1e4 * kspace, mask), maps) < tol
    low = torch.where(centre(mask, 2), kspace, 0)
    assert relative(net(low, mask), maps) < tol, "the maps depend on more than the centre"


@pytest.mark.parametrize("intermediates", ["kspace", "image"])
def test_slices_coils_units_and_mask(intermediates):
    net, kspace, mask = small(intermediates=intermediates), scan(), lines((40, 37))
    image = net(kspace, mask)
    assert image.shape == (2, 40, 37)
    assert image.dtype == torch.float64
    assert relative(net(kspace[1:], mask)[0], image[1]) < 1e-10
    assert relative(net(kspace[:, [3, 1, 0, 2]], mask), image) < 1e-10
    assert relative(net(1e-6 * kspace, mask), 1e-6 * image) < 1e-10
    assert torch.equal(net(kspace * mask, mask), image), "samples outside of the mask were looked at"
    for same in (mask[:1], mask[0], mask[None, None].float(), mask.expand(2, 1, 40, 37)):
        assert torch.equal(net(kspace, same), image)
    assert torch.equal(net(kspace, mask, torch.tensor([6, 6])), net(kspace, mask, 6))
    assert torch.equal(net(kspace, mask, 0), image)


def test_the_phase_encoding_may_run_along_ky():
    net, kspace, mask = small(), scan((36, 36)), lines((36, 36))
    for block in [net.sens_net.norm_unet, *[c.model for c in net.cascades]]:  # kernels that do not know the axes apart
        for p in block.parameters():
            if p.ndim == 4:
                p.data += p.data.mT.clone()
    assert relative(net(kspace.mT, mask.mT), net(kspace, mask).mT) < 1e-10


@pytest.mark.parametrize("intermediates", ["kspace", "image"])
def test_checkpointing_gives_the_same_gradients(intermediates):
    kspace, mask, grads = scan((24, 22)), lines((24, 22)), []
    for checkpoint in (False, True):
        net = small(intermediates=intermediates, checkpoint=checkpoint)
        image = net(kspace, mask)
        image.square().sum().backward()
        grads.append([image.detach(), *[p.grad for p in net.parameters()]])
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@pytest.mark.parametrize("intermediates", ["kspace", "image"])
def test_nothing_is_copied_to_the_host_after_the_checks(intermediates, monkeypatch):
    monkeypatch.setattr("pisolve.nets.e2e_varnet.check_kspace", lambda kspace, mask, weight: (kspace, mask))
    net = small(intermediates=intermediates, mask_center=False, dtype=torch.float32).to("meta")
    kspace, mask = torch.empty(2, 3, 20, 24, dtype=torch.complex64), torch.empty(2, 1, 1, 24, dtype=torch.bool)
    image = net(kspace.to("meta"), mask.to("meta"))  # tensors without values: whoever asks for one fails
    assert image.shape == (2, 20, 24)
    image.sum().backward()


def test_bfloat16_is_for_the_convolutions_only():
    net, kspace, mask = small(dtype=torch.float32), scan(dtype=torch.complex64), lines((40, 37))
    with torch.autocast("cpu", torch.bfloat16):
        image = net(kspace, mask)
    assert image.dtype == torch.float32
    assert 0 < relative(image, net(kspace, mask)) < 0.03


def test_files_keep_them(tmp_path):
    card = {"data": "none", "licence": "CC0", "noise_range": [0, 0], "intensity_range": "1", "seed": 0, "figures": []}
    mask = lines((24, 21))
    A, y, _ = sense()
    for net, given in ((small(intermediates="image"), (scan((24, 21)), mask)),
                       (small(kind=VNU, intermediates="kspace"), (A, y)),
                       (nets.ZeroFilledUNet(2, 2, residual=True).double(), (scan((24, 21)), mask))):
        nets.save(net, tmp_path / "net.safetensors", card)
        again = nets.load(tmp_path / "net.safetensors")
        assert type(again) is type(net)
        assert again.config == net.config
        assert relative(again.double()(*given), net(*given)) < 1e-6  # files hold the weights in single precision


def test_an_empty_slice_and_an_empty_coil_stay_finite():
    net, kspace, mask = small(), scan(), lines((40, 37))
    kspace[1] = 0
    kspace[0, 2] = 0
    image = net(kspace, mask)
    assert not image[1].any()
    assert relative(image[:1], net(kspace[:1], mask)) < 1e-10
    assert relative(image[:1], net(scan()[:1], mask)) > 1e-3
    image.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_normunet_normalises_each_image_and_needs_no_size():
    torch.manual_seed(0)
    net = NormUnet(3, 2).double()
    for size in ((16, 16), (17, 31), (5, 48), (1, 1 << 5)):
        x = torch.randn(3, *size, dtype=torch.complex128)
        y = net(x)
        assert y.shape == x.shape
        assert relative(net(x[1:2])[0], y[1]) < 1e-12
        real, imag = 3.0 * y.real + 2, 0.5 * y.imag - 1  # each part has its own scale and offset
        assert relative(net(torch.complex(3.0 * x.real + 2, 0.5 * x.imag - 1)), torch.complex(real, imag)) < 1e-12


def band(n, low):
    first = (n - low + 1) // 2
    return (np.arange(n) >= first) & (np.arange(n) < first + low)


CENTRES = {
    # (mask (ky, kx), lines given) -> the band of fastMRI along kx, its mirror image along ky, a square of both
    "kx": (np.tile([0, 1, 0, 1, 1, 1, 1, 0, 1, 0], (6, 1)), None, np.tile(band(10, 4), (6, 1))),
    "kx, lopsided": (np.tile([0, 0, 0, 0, 1, 1, 1, 1, 0, 0], (6, 1)), None, np.tile(band(10, 2), (6, 1))),
    "kx, odd": (np.tile([0, 1, 1, 1, 1, 0, 0], (3, 1)), None, np.tile(band(7, 4), (3, 1))),
    "ky": (np.tile([[0], [1], [1], [1], [1], [0]], 8), None, np.tile(band(6, 4)[:, None], 8)),
    "full": (np.ones((6, 7)), None, np.ones((6, 7))),
    "given": (np.tile([0, 1, 0, 1, 1, 1, 1, 0, 1, 0], (6, 1)), 3, np.tile(band(10, 3), (6, 1))),
    "both": (np.outer([0, 1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 1, 1, 0]), None, np.outer(band(6, 2), band(8, 2))),
    "both, given": (np.outer([0, 1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 1, 1, 0]), 4, np.outer(band(6, 4), band(8, 4))),
}


@pytest.mark.parametrize("name", CENTRES)
def test_the_centre_is_found(name):
    mask, given, expected = CENTRES[name]
    found = centre(torch.from_numpy(mask != 0)[None, None], 3, given)
    assert found.shape == (3, 1, *mask.shape)
    np.testing.assert_array_equal(found[1, 0], expected != 0)


def sense(shape=(24, 21), coils=3, batch=None, mask=None):
    """A, the data y, and the truth, of one slice or of several."""
    data = [phantom.brain(shape, coils, seed=n, anatomy=n) for n in range(batch or 1)]
    mps, truth = (np.stack([getattr(d, name) for d in data]).astype(complex) for name in ("mps", "image"))
    A = linops.sense(mps if batch else mps[0], lines(shape).numpy() if mask is None else mask)
    return A, backend.to_torch(A(truth if batch else truth[0])), torch.from_numpy(truth if batch else truth[0])


@pytest.mark.parametrize("intermediates", ["kspace", "image"])
def test_vnu_of_several_slices_is_that_of_each(intermediates):
    net = small(kind=VNU, intermediates=intermediates)
    A, y, _ = sense(batch=2)
    kept = y.clone()
    x = net(A, y)
    assert x.shape == (2, 24, 21)
    assert x.dtype == torch.complex128
    assert torch.equal(y, kept)
    assert relative(net(linops.sense(A.mps[1], lines((24, 21)).numpy()), y[1]), x[1]) < 1e-10
    x.abs().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for n, p in net.named_parameters()
               if p.ndim == 4 or n == "cascades.1.dc_weight")
    assert VNU(**net.config).config == net.config


def silent(net):
    """The network with refinements that return 0."""
    for cascade in net.cascades:
        cascade.model.register_forward_hook(lambda module, args, out: 0 * out)
    return net


def test_without_refinement_they_are_gradient_descent():
    A, y, _ = sense()
    y = y + 0.1 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
    net = silent(small(kind=VNU))
    torch.nn.init.constant_(net.cascades[1].dc_weight, 0.3)
    x = A.H(y.numpy())
    for eta in (1.0, 0.3):
        x = x - eta * A.H(A(x) - y.numpy())
    assert relative(net(A, y), torch.from_numpy(x)) < 1e-12
    start = torch.randn(A.ishape, dtype=y.dtype)
    net.cascades = net.cascades[:1]
    assert relative(net(A, y, start), start - torch.from_numpy(A.H(A(start.numpy()) - y.numpy()))) < 1e-12
    net = silent(small(kind=VNU, intermediates="kspace"))
    assert relative(net(A, y), torch.from_numpy(A.H(y.numpy()))) < 1e-12, "measured samples stay what they are"
    full = linops.sense(A.mps)
    mask = lines((24, 21)).numpy()
    filled = np.where(mask, y.numpy(), full(start.numpy()))
    assert relative(net(A, y, start), torch.from_numpy(full.H(filled))) < 1e-12


@pytest.mark.parametrize("intermediates", ["kspace", "image"])
def test_vnu_is_e2e_without_its_sensitivity_model(intermediates):
    e2e, vnu = small(intermediates=intermediates), small(kind=VNU, intermediates=intermediates)
    vnu.cascades.load_state_dict(e2e.cascades.state_dict())
    kspace, mask = scan((24, 21), 3), lines((24, 21))
    maps = e2e.sens_net(kspace * mask, mask[None, None]).detach()
    x = vnu(linops.sense(maps.numpy(), mask.numpy()), kspace * mask)
    if intermediates == "image":
        assert relative(x.abs(), e2e(kspace, mask)) < 1e-10
        return
    k = []
    e2e.cascades[-1].register_forward_hook(lambda module, args, out: k.append(out))
    e2e(kspace, mask)
    combined = (backend.fft(k[0], (-2, -1), inverse=True) * maps.conj()).sum(1)
    assert relative(x, combined) < 1e-10


def test_vnu_takes_any_operator():
    A, y, _ = sense((24, 24), mask=masks.poisson((24, 24), 3, 6, seed=0))
    net, F = small(kind=VNU), linops.fft((24, 24))
    drawn = np.random.default_rng(0).standard_normal((2, 24, 24))
    data = backend.to_torch(F(drawn[0] + 1j * drawn[1]))
    one = linops.sense(np.ones((1, 24, 24), complex))  # the same, with an axis of coils
    assert relative(net(F * linops.identity((24, 24)), data), net(one, data[None])) < 1e-10
    x, silenced = A.H(y.numpy()), silent(small(kind=VNU))
    for _ in range(2):
        x = x - A.H(A(x) - y.numpy())
    assert relative(silenced(A, y), torch.from_numpy(x)) < 1e-10
    assert relative(net(A, y), torch.from_numpy(x)) > 1e-3


@pytest.mark.parametrize("kind", ["e2e", "vnu", "vnu-k"])
def test_it_learns_its_training_images(kind):
    shape = (24, 24)
    if kind == "e2e":
        kspace, mask = scan(shape, 3), lines(shape)
        target, start = (torch.linalg.vector_norm(backend.fft(k, (-2, -1), inverse=True), dim=1)
                         for k in (kspace, kspace * mask))
        net, given = small(), (kspace, mask)
    else:
        A, y, target = sense(shape, batch=2)
        net = small(kind=VNU, intermediates="image" if kind == "vnu" else "kspace")
        given, start = (A, y), A.H(y.numpy())
    loss, values = 0.84 * nets.losses.SSIM() + 0.16 * nets.losses.L1(), []
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(60):
        value = loss(net(*given), target)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]
    assert values[-1] < 0.7 * float(loss(torch.as_tensor(start), target)), "it is no better than its input"
    assert metrics.ssim(target, net(*given)) > metrics.ssim(target, start)


NET, K, M = small(dtype=torch.float32), scan((16, 20), 2, 2, torch.complex64), lines((16, 20))
A1, Y1, _ = sense((16, 20), 2)
VNET, VKNET = small(kind=VNU), small(kind=VNU, intermediates="kspace")
STATE = NET.state_dict()
HOLE = M & (torch.arange(20) != 10)
BAD = {
    "real k-space": (lambda: NET(K.abs(), M), TypeError, "kspace must be a torch tensor, complex64 or complex128"),
    "fastMRI's layout": (lambda: NET(torch.view_as_real(K), M), TypeError, "torch.view_as_complex"),
    "numpy": (lambda: NET(K.numpy(), M), TypeError, "got ndarray"),
    "three axes": (lambda: NET(K[0], M), ValueError, "kspace[None] for one slice"),
    "five axes": (lambda: NET(K[None], M), ValueError, "kspace has 5 dimensions"),
    "precision": (lambda: NET(K.to(torch.complex128), M), TypeError, "bring both to one precision"),
    "NaN": (lambda: NET(K * math.nan, M), ValueError, "kspace holds NaN or Inf"),
    "no data": (lambda: NET(0 * K, M), ValueError, "kspace is zero everywhere"),
    "mask of numpy": (lambda: NET(K, M.numpy()), TypeError, "mask must be a torch tensor"),
    "mask does not fit": (lambda: NET(K, M.T), ValueError, "mask has shape (20, 16), which does not broadcast"),
    "mask of coils": (lambda: NET(K, M.expand(2, 16, 20)), ValueError, "one pattern holds for all coils"),
    "mask of halves": (lambda: NET(K, 0.5 * M), ValueError, "other values than 0 and 1"),
    "no centre": (lambda: NET(K, HOLE), ValueError, "no fully sampled centre, from which the maps would come: give"),
    "no centre in one": (lambda: NET(K, torch.stack([M, HOLE])[:, None]), ValueError, "no fully sampled centre"),
    "negative lines": (lambda: NET(K, M, -1), ValueError, "num_low_frequencies must be in 0.."),
    "half a line": (lambda: NET(K, M, 1.5), TypeError, "num_low_frequencies must be a whole number"),
    "tensor of floats": (lambda: NET(K, M, torch.ones(2)), TypeError, "num_low_frequencies must be whole numbers"),
    "three for two": (lambda: NET(K, M, torch.tensor([3, 3, 3])), ValueError, "one for each of 2 slices"),
    "some lines": (lambda: NET(K, M, torch.tensor([3, 0])), ValueError, "one number >= 1"),
    "cascades": (lambda: E2EVarNet(0), ValueError, "num_cascades must be in 1.."),
    "intermediates": (lambda: E2EVarNet(intermediates="wavelet"), ValueError, "must be one of kspace, image"),
    "no state": (lambda: E2EVarNet.from_fastmri(None), TypeError, "state_dict must map names to tensors"),
    "a U-Net": (lambda: E2EVarNet.from_fastmri(nets.FastMRIUNet(1, 1, 2, 1).state_dict()), ValueError,
                "no U-Net of fastMRI under 'cascades.0.model.unet.'"),
    "no maps": (lambda: E2EVarNet.from_fastmri({k: v for k, v in STATE.items() if "sens" not in k}), ValueError,
                "under 'sens_net.norm_unet.unet.'"),
    "more": (lambda: E2EVarNet.from_fastmri(STATE | {"a": torch.ones(1)}), ValueError, "does not fit E2EVarNet"),
    "shape": (lambda: E2EVarNet.from_fastmri(STATE | {"cascades.1.dc_weight": K}), ValueError, "does not fit"),
    "NaN weights": (lambda: E2EVarNet.from_fastmri({k: v * math.nan for k, v in STATE.items()}), ValueError, "NaN"),
    "VNU without operator": (lambda: VNET(K, Y1), TypeError, "A must be a linear operator"),
    "VNU, real": (lambda: VNET(A1, Y1.real), TypeError, "y must be a torch tensor, complex64"),
    "VNU, shape": (lambda: VNET(A1, Y1[1:]), ValueError, "y has shape"),
    "VNU, NaN": (lambda: VNET(A1, Y1 * math.nan), ValueError, "y holds NaN"),
    "VNU, precision": (lambda: VNET(A1, Y1.to(torch.complex64)), TypeError, "bring both to one precision"),
    "VNU, x0": (lambda: VNET(A1, Y1, Y1), ValueError, "x0 has shape"),
    "VNU-K, operator": (lambda: VKNET(linops.fft((16, 20)), Y1[0]), TypeError, "intermediates='image' takes any"),
    "VNU-K, weights": (lambda: VKNET(linops.sense(A1.mps, None, np.full((16, 20), 0.5)), Y1), ValueError, "weights"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    refused(*BAD[name])
