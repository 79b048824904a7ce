"""What single networks promise: domains, windows, the fixed GRAPPA layer, exact data, wavelets, memories."""

import numpy as np
import pytest
import torch
from helpers import relative
from torch import nn

import pisolve as pi
from pisolve import backend, linops, masks, nets, phantom
from pisolve.nets import consistency, domains, nafnet, swin, t2net, tiled, vit, xpdnet
from pisolve.nets.grappanet import GrappaLayer, RakiLayer
from pisolve.priors._module import pad_to_multiple

pytestmark = pytest.mark.usefixtures("one_thread")


def image(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.complex128, generator=generator)


def zeroed(network):
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    return network


# --- domains


@pytest.mark.parametrize("domain", domains.DOMAINS)
@pytest.mark.parametrize("shape", [(2, 8, 6), (1, 7, 9)])
def test_domains_go_there_and_back(domain, shape):
    x = image(*shape)
    x[0, 0, :2] = 0
    assert relative(domains.inverse(domains.transform(x, domain), domain), x) < 1e-14
    network = nets.InDomain(zeroed(nets.DnCNN(2, 2, 3)), domain).double()
    planes = torch.stack([x.real, x.imag])[None] if network.series else torch.stack([x.real, x.imag], 1)
    assert relative(network(planes), planes) < 1e-14


@pytest.mark.parametrize("domain", domains.DOMAINS)
def test_domains_have_gradients_where_the_image_is_zero(domain):
    x = image(1, 6, 6)
    x[0, 2:4] = 0
    x.requires_grad_()
    (domains.transform(x, domain).sin()).sum().backward()
    assert torch.isfinite(torch.view_as_real(x.grad)).all()


def series(frames=6, shape=(18, 16), coils=2):
    """(operator of a series, its images, their data)."""
    mps = image(coils, *shape).numpy()
    mask = np.stack([masks.random(shape, 2, 0.3, seed=n) for n in range(frames)])
    A = linops.sense(mps / np.linalg.norm(mps, axis=0), mask, axes=("frame", "coil", "ky", "kx"),
                     shape=(frames, coils, *shape))
    x = image(frames, *shape, seed=3)
    return A, x, torch.from_numpy(A(x.numpy()))


def test_a_network_on_lines_sees_time():
    seen = []

    class Watch(nn.Module):
        def forward(self, planes):
            seen.append(planes)
            return planes

    A, _, y = series()
    network = nets.Postprocessor(nets.InDomain(Watch(), "xt"))
    x = network(A, y)
    start = consistency.SliceProblem(A, y).start()
    assert relative(x, start) < 1e-14  # there and back
    assert seen[0].shape == (18, 2, 6, 16)
    assert relative(torch.complex(*seen[0][7]), start[:, 7]) < 1e-14
    alone = nets.Postprocessor(nets.InDomain(Watch(), "xt"))
    alone(linops.sense(np.ones((3, 1, 6, 4), complex)), image(3, 1, 6, 4))  # slices, not frames
    assert seen[1].shape == (18, 2, 1, 4)


@pytest.mark.parametrize("make", [lambda: nets.DIMENSION(1, 1, 2, 4),
                                  lambda: nets.Postprocessor(nets.residual_cnn("xt", 2, 4))], ids=["dimension", "xt"])
def test_networks_of_series_see_neighbouring_frames(make):
    torch.manual_seed(0)
    network, (A, x, y) = make().double(), series()
    before = network(A, y)
    assert before.shape == x.shape
    scan = pi.io.Scan(y.numpy(), mask=A.weight > 0, mps=A.mps[0], axes=("frame", "coil", "ky", "kx"))
    assert relative(torch.from_numpy(pi.recon(scan, network=network).x), before) < 0.2  # another scale, a bias
    other = x.clone()
    other[2, :, 8] += 1
    change = abs(network(A, torch.from_numpy(A(other.numpy()))) - before).detach().amax((1, 2))
    assert change[3] > 1e-6
    assert (change[5] < 1e-9) == hasattr(network, "network")  # two convolutions reach two frames, four reach four


def test_dimension_keeps_the_data_and_shows_its_stages():
    torch.manual_seed(0)
    network = nets.DIMENSION(1, 2, 2, 4).double()
    A = linops.sense(np.ones((1, 12, 10), complex), masks.random((12, 10), 2, 0.3, seed=1),
                     axes=("frame", "coil", "ky", "kx"), shape=(3, 1, 12, 10))
    y = torch.from_numpy(A(image(3, 12, 10).numpy()))
    stages = network.stages(A, y)
    assert len(stages) == 3
    assert torch.equal(stages[-1], network(A, y))
    for x in stages:
        assert relative(torch.from_numpy(A(x.detach().numpy())), y) < 1e-10
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    start = image(3, 12, 10)
    assert relative(network(A, torch.from_numpy(A(start.numpy())), start), start) < 1e-10


# --- gated, hybrid and joint


def test_nafnet_is_homogeneous_and_begins_with_blocks_that_change_nothing():
    torch.manual_seed(0)
    net, x = nets.NAFNet(2, 4, (1, 1), 1, (1, 1)).double(), torch.randn(2, 3, 13, 18, dtype=torch.float64)
    x[:, 2:] = 0.1
    block = net.middle[0]
    features = torch.randn(1, 16, 4, 4, dtype=torch.float64)
    assert torch.equal(block(features), features)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn_like(weight)
    assert net(x).shape == (2, 2, 13, 18)
    assert relative(net(7 * x), 7 * net(x)) < 1e-12
    y = (features - features.mean(1, keepdim=True)) / (features.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
    assert relative(nafnet.LayerNorm(16).double()(features), y) < 1e-12
    D = pi.Denoiser(net, noise_input="auto")
    assert (D.channels, D.noise_input) == ("complex", "map")
    assert D(image(13, 18).numpy(), 0.1).shape == (13, 18)


def test_resizing_cuts_kspace_and_brings_it_back():
    x = torch.randn(2, 2, 12, 8, dtype=torch.float64)
    small = t2net.resized(x, (6, 4))
    assert relative(t2net.resized(t2net.resized(small, (12, 8)), (6, 4)), small) < 1e-12
    assert relative(t2net.resized(torch.ones_like(x), (6, 4)), torch.ones_like(small)) < 1e-12
    k = backend.fft(torch.complex(x[:, 0], x[:, 1]), (-2, -1))[:, 3:9, 2:6]
    assert relative(torch.complex(small[:, 0], small[:, 1]), backend.fft(k, (-2, -1), inverse=True) / 2) < 1e-12


def test_t2net_sees_the_centre_of_kspace_and_one_task_the_other():
    torch.manual_seed(0)
    net, x = nets.T2Net(2, 4, 2, 1, 2, 2).double(), torch.randn(1, 2, 16, 16, dtype=torch.float64)
    fresh, low = net.both(x)
    assert relative(low, t2net.resized(x, (8, 8))) < 1e-12
    assert relative(fresh, t2net.resized(low, (16, 16))) < 1e-12
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn_like(weight)
    inside = t2net.resized(t2net.resized(x, (8, 8)), (16, 16))
    assert relative(net(inside), net(x)) < 1e-10
    with torch.no_grad():
        net.tail.weight.zero_(), net.tail.bias.zero_()
        plain = net(x)  # without the reconstruction's image
        net.low[1][0].second.weight += 0.1
        assert relative(net(x), plain) > 1e-6, "super-resolution takes nothing from reconstruction"
    assert net(torch.randn(1, 2, 13, 18, dtype=torch.float64)).shape == (1, 2, 13, 18)


def test_a_humus_block_begins_as_the_identity_and_crops_exactly():
    torch.manual_seed(0)
    net, x = nets.HUMUSBlock(2, 4, (2, 1), 2, 4), torch.randn(1, 2, 21, 30)
    assert torch.equal(net(x), x)
    nn.init.normal_(net.last.weight)
    assert torch.equal(net(x), net(pad_to_multiple(x, 16))[..., :21, :30])
    assert not torch.equal(net(x), x)


def test_a_network_in_kspace_sees_kspace():
    seen = []

    class Watch(nn.Module):
        def forward(self, planes):
            seen.append(planes)
            return planes[:, :2]

    x, sigma = image(2, 8, 7), torch.full((2, 1, 8, 7), 0.3, dtype=torch.float64)
    network = nets.InDomain(Watch(), "kspace")
    network(torch.cat([x.real[:, None], x.imag[:, None], sigma], 1))
    k = backend.fft(x, (-2, -1))
    assert relative(torch.complex(seen[0][:, 0], seen[0][:, 1]), k) < 1e-14
    assert torch.equal(seen[0][:, 2:], sigma)


# --- transformers


@pytest.mark.parametrize(("size", "window"), [((8, 12), 4), ((6, 9), 3)])
def test_windows_go_there_and_back(size, window):
    x = torch.randn(2, *size, 5)
    windows = swin.to_windows(x, window)
    assert torch.equal(windows[0, 1, 0], x[0, 0, window])
    assert torch.equal(swin.from_windows(windows, window, size), x)


def test_odd_sizes_are_padded_and_cropped_exactly():
    torch.manual_seed(0)
    network, x = nets.SwinMR(2, 8, (2,), 2, 8), torch.randn(1, 2, 21, 30)
    padded = pad_to_multiple(x, 8)
    assert padded.shape == (1, 2, 24, 32)
    assert torch.equal(network(x), x), "a fresh one is the identity"
    nn.init.normal_(network.last.weight)
    assert torch.equal(network(x), network(padded)[..., :21, :30])
    assert not torch.equal(network(x), x)
    flat = nets.ViT(2, 5, 8, 1, 2)
    assert torch.equal(flat(x), x), "a fresh one is the identity"
    nn.init.normal_(flat.last.weight)
    assert torch.equal(flat(x), flat(pad_to_multiple(x, 5))[..., :21, :30])


def test_shifted_windows_do_not_reach_around_the_edge():
    torch.manual_seed(0)
    network, x = nets.SwinMR(1, 8, (2,), 2, 4).double(), torch.randn(1, 1, 16, 16, dtype=torch.float64)
    nn.init.normal_(network.last.weight)
    other = x.clone()
    other[0, 0, 0, 0] += 1
    change = (network(other) - network(x)).detach()[0, 0]
    assert change[:4, :4].abs().max() > 1e-6
    assert change[13:].abs().max() == change[:, 13:].abs().max() == 0
    assert change.ne(0).sum() < 16 * 16 / 2


def test_attention_is_that_of_its_formula():
    torch.manual_seed(0)
    part = swin.WindowAttention(4, 2, 2).double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    q, k, v = part.qkv(x[0, 0]).chunk(3, 1)
    heads = []
    for h in range(2):
        cut = slice(2 * h, 2 * h + 2)
        score = q[:, cut] @ k[:, cut].T / 2**0.5
        for a in range(4):
            for b in range(4):
                apart = (a // 2 - b // 2 + 1) * 3 + a % 2 - b % 2 + 1
                score[a, b] = score[a, b] + part.table[apart, h]
        heads.append(score.softmax(1) @ v[:, cut])
    assert relative(part(x)[0, 0], part.proj(torch.cat(heads, 1))) < 1e-12


def test_places_differ_and_do_not_depend_on_the_size():
    like = torch.zeros((), dtype=torch.float64)
    small, large = vit.places(3, 5, 8, like=like), vit.places(5, 7, 8, like=like)
    assert len(torch.unique(small, dim=0)) == 15
    assert torch.allclose(large.reshape(5, 7, 8)[1:4, 1:6].flatten(0, 1), small)


def test_a_tiny_swin_learns_one_slice():
    torch.manual_seed(0)
    brain = phantom.brain((16, 16), 4, noise=0)
    mask = masks.random((16, 16), 2, 0.3, seed=1)
    mps = brain.mps / np.linalg.norm(brain.mps, axis=0)
    A = linops.sense(mps, mask)
    target = (mps.conj() * backend.fft(brain.kspace, (-2, -1), inverse=True)).sum(0)
    target = torch.from_numpy(target).to(torch.complex64)
    y = torch.from_numpy(A(target.numpy())).to(torch.complex64)
    network = nets.Postprocessor(nets.SwinMR(2, 16, (2,), 2, 8))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    errors = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (network(A, y) - target).abs().square().mean()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.55 * errors[0], "the first one is the zero-filled image's"


# --- k-space


def brain(shape=(40, 36), coils=6):
    found = phantom.brain(shape, coils, noise=0)
    return torch.from_numpy(found.kspace).to(torch.complex128)


@pytest.mark.parametrize("axis", [-2, -1])
def test_the_grappa_layer_is_grappa_and_has_its_adjoint_as_gradient(axis):
    k, layer = brain(), GrappaLayer(2, (5, 5), 1e-3)
    mask = torch.from_numpy(masks.random((40, 36), 3, 0.3, axis=axis, seed=1))
    lattice = layer.lattice(mask.numpy())
    given = torch.where(torch.from_numpy(lattice), k, 0).requires_grad_()
    filled = layer(given[None], (k * mask)[None], mask[None, None])[0]
    assert relative(filled, k) < 0.1 < relative(given, k)
    middle = pi.calib.region.calibration_data((k * mask).numpy(), mask.numpy(), kernel=(5, 5))
    weights = pi.calib.grappa((k * mask).numpy(), lattice, middle, (5, 5), 1e-3)
    G = linops.grappa(weights, tuple(k.shape))
    assert relative(filled, torch.from_numpy(G(given.detach().numpy()))) < 1e-12
    z = image(*k.shape)
    (filled.conj() * z).real.sum().backward()
    assert relative(given.grad, torch.from_numpy(G.H(z.numpy()))) < 1e-12
    one = image(1, 1, 40, 36)
    assert layer(one, one, mask[None, None]) is one


@pytest.mark.parametrize("axis", [-2, -1])
def test_the_raki_layer_is_raki_and_has_gradients(axis):
    k, layer = brain(coils=4), RakiLayer(2, 20, (16, 8))
    mask = torch.from_numpy(masks.random((40, 36), 3, 0.3, axis=axis, seed=1))
    lattice, every = torch.from_numpy(layer.lattice(mask.numpy())), layer.every(mask.numpy())
    given = torch.where(lattice, k, 0).requires_grad_()
    with torch.no_grad():  # fits, though nothing outside is differentiated
        filled = layer(given[None], (k * mask)[None], mask[None, None])[0]
    middle = pi.calib.region.calibration_data((k * mask).numpy(), mask.numpy(), kernel=(2, 2))
    weights = pi.calib.raki((k * mask).numpy(), every, middle, per_coil=False, channels=(16, 8), iterations=20)
    found = torch.from_numpy(weights((given.detach() * torch.from_numpy(every)).numpy()))
    assert relative(filled, torch.where(lattice, given.detach(), found)) < 1e-6
    z = image(*k.shape)

    def value(x):
        return (layer(x[None], (k * mask)[None], mask[None, None])[0].conj() * z).real.sum()

    slope, = torch.autograd.grad(value(given), given)
    way, step = torch.where(lattice, image(*k.shape, seed=5), 0), 1e-6
    with torch.no_grad():
        ends = [float(value(given + sign * step * way)) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float((slope.conj() * way).real.sum()), rel=1e-4)
    one = image(1, 1, 40, 36)
    assert layer(one, one, mask[None, None]) is one


def test_grappanet_keeps_what_was_measured_before_the_sum_of_squares():
    torch.manual_seed(0)
    network, k = nets.GrappaNet(2, 2, coils=6).double(), brain()[None]
    mask = torch.from_numpy(masks.random((40, 36), 3, 0.3, seed=1))[None, None]
    after = network.after(k, k * mask, mask)
    assert relative(after * mask, k * mask) < 1e-12


def test_kiki_leaves_the_data_as_they_are():
    torch.manual_seed(0)
    network = nets.kiki(nets.DnCNN(2, 3, 4), nets.DnCNN(2, 3, 4), 1).double()
    mask = masks.random((24, 21), 3, 0.2, seed=1)
    k = image(1, 24, 21)
    k = torch.where(torch.from_numpy(mask), k, 0)
    A = linops.sense(np.ones((1, 24, 21), complex), mask)
    x = network(A, k)
    assert relative(backend.fft(x, (-2, -1))[mask], k[0][mask]) < 1e-10
    assert [type(p).__name__ for p in network.parts] == ["InDomain", "DnCNN"]
    assert network.parts[0].domain == "kspace"


def test_automap_has_no_units_and_sees_the_samples_alone():
    torch.manual_seed(0)
    network, k = nets.AUTOMAP((20, 18), 12, 3).double(), brain((20, 18), 3)[None]
    mask = torch.from_numpy(masks.random((20, 18), 2, 0.3, seed=1))
    x = network(k, mask)
    assert relative(network(1e-5 * k, mask), 1e-5 * x) < 1e-10
    assert torch.equal(network(k * mask, mask), x)
    assert relative(network(k[:, [2, 0, 1]], mask), x) < 1e-12


def test_automap_with_maps_is_the_complex_image_of_the_same_weights():
    torch.manual_seed(0)
    network, k = nets.AUTOMAP((20, 18), 12, 3).double(), brain((20, 18), 1)[None]
    other = nets.AUTOMAP((20, 18), 12, 3, maps=True).double()
    other.load_state_dict(network.state_dict())
    mask = torch.from_numpy(masks.random((20, 18), 2, 0.3, seed=1))
    maps = np.full((1, 20, 18), 1j)
    x = other(linops.sense(maps[None], mask.numpy()[None]), k * mask)
    assert relative(x.abs(), network(k, mask)) < 1e-12
    assert relative(other(linops.sense(maps, mask.numpy()), (k * mask)[0]), x[0]) < 1e-12
    assert relative(other(linops.sense(1j * maps, mask.numpy()), (k * mask)[0]), -1j * x[0]) < 1e-12
    alike, both = (torch.cat([k, k], 1) * mask)[0], [np.concatenate([maps, n * maps]) for n in (1, 2)]
    one, more = (other(linops.sense(m, mask.numpy()), alike) for m in both)
    assert relative(more, 1.5 * one) < 1e-12
    with pytest.raises(TypeError, match="A must be SENSE"):
        other(linops.fft((20, 18)), k[0])


# --- unrolled


def test_wavelets_are_orthonormal_and_invertible():
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    bands = xpdnet.haar(x)
    assert bands.shape == (2, 12, 4, 3)
    assert relative(xpdnet.haar_inverse(bands), x) < 1e-14
    assert float(bands.square().sum()) == pytest.approx(float(x.square().sum()))
    assert xpdnet.haar(torch.ones_like(x))[:, 3:].abs().max() == 0


@pytest.mark.parametrize("make", [lambda: nets.RIM(3, 4), lambda: nets.RIM(2, 4, 2, "indrnn"),
                                  lambda: nets.XPDNet(3, 2, (4, 6))])
def test_networks_that_change_nothing_return_where_they_began(make):
    mask = masks.random((20, 17), 2, 0.3, seed=1)
    mps = image(3, 20, 17).numpy()
    A, start = linops.sense(mps / np.linalg.norm(mps, axis=0), mask), image(20, 17, seed=4)
    y = torch.from_numpy(A(start.numpy()))
    assert torch.equal(zeroed(make()).double()(A, y, start), start)


def test_an_xpdnet_begins_as_the_start():
    A = linops.sense(np.ones((1, 12, 14), complex))
    x = image(12, 14)
    assert torch.equal(nets.XPDNet(2, 2, (4, 6)).double()(A, image(1, 12, 14), x), x)


def test_a_recurrent_machine_sees_the_gradient_and_remembers():
    torch.manual_seed(0)
    network = nets.RIM(2, 4).double()
    seen = []
    network.machines[0].register_forward_pre_hook(lambda _, given: seen.append(given))
    mask = masks.random((16, 16), 2, 0.3, seed=1)
    A, x = linops.sense(np.ones((1, 16, 16), complex), mask), image(16, 16)
    y = torch.from_numpy(A(image(16, 16, seed=2).numpy()))
    network(A, y, x)
    gradient = linops.as_torch(A).H(linops.as_torch(A)(x) - y)
    assert relative(torch.complex(seen[0][0][0, 2], seen[0][0][0, 3]), gradient) < 1e-12
    assert seen[0][1] is None
    assert all(state.abs().sum() > 0 for state in seen[1][1])


# --- data as a class project made them


def test_tiles_are_cuts_of_reflections():
    big = np.random.default_rng(0).random((70, 50)).astype(np.float32)
    small = tiled.small_magnitude(-1j * big, 16, 64)
    assert small.shape == (16, 16)
    assert small.max() == 1
    assert small.min() == 0
    assert not small[:, :1].any()  # 50 columns padded to 64
    same = tiled.small_magnitude(big[:48, :48], 48, 48)
    np.testing.assert_allclose(same, big[:48, :48] / big[:48, :48].max(), atol=1e-6)
    tiles = tiled.reflections(same)
    np.testing.assert_array_equal(tiles[:48, 48:], same[:, ::-1])
    np.testing.assert_array_equal(tiles[47], tiles[48])
    np.testing.assert_array_equal(tiles[:, 47], tiles[:, 48])
    data = nets.Tiled([big], nets.Tiling(size=32, crop=64), length=5, seed=1)
    one, again = data[3], data[3]
    assert torch.equal(one.kspace, again.kspace)
    assert not torch.equal(one.kspace, data[2].kspace)
    assert one.kspace.shape == (1, 1, 32, 32)
    assert one.mps is None
    assert bool(one.mask.all())
    cut = one.rss[0].numpy() / float(one.scale)
    whole = tiled.reflections(tiled.small_magnitude(big, 32, 64))
    assert any(np.allclose(whole[y:y + 32, x:x + 32], cut, atol=1e-5) for y in range(33) for x in range(33))
    plain = nets.Tiled([big], nets.Tiling(size=32, crop=64, augment=False, accel=2, noise=(0.01, 0.01), maps="true"))
    np.testing.assert_allclose(plain[0].rss[0] / plain[0].scale, tiled.small_magnitude(big, 32, 64), atol=1e-5)
    assert plain[0].mps.shape == (1, 1, 32, 32)
    assert not bool(plain[0].mask.all())
    with pytest.raises(ValueError, match="images is empty"):
        nets.Tiled([])
    with pytest.raises(IndexError):
        data[5]


def moving(frames=6, size=24):
    """A disc that moves, (frame, y, x)."""
    y, x = np.mgrid[:size, :size]
    return np.stack([1.0 * (np.hypot(y - size / 2, x - size / 2 - n) < size / 4) + 0.2 * (abs(y - size / 2) < size / 3)
                     for n in range(frames)]).astype(np.float32)


@pytest.mark.parametrize("make", [lambda: nets.DIMENSION(1, 1, 2, 4),
                                  lambda: nets.Postprocessor(nets.residual_cnn("xt", 2, 4), consistency=True)],
                         ids=["dimension", "xt"])
def test_networks_of_series_are_trained_on_movies(make, tmp_path):
    settings = nets.Simulation(size=24, coils=(3, 3), accel=(2,), center_fraction=0.3, noise=(0.005, 0.005))
    data = nets.Movies([moving()], settings, frames=4, seed=1)
    one = data[0]
    assert one.kspace.shape == (4, 3, 24, 24)
    assert one.A.iaxes == ("frame", "y", "x")
    assert not torch.equal(one.mask[0], one.mask[1])
    assert torch.equal(data[0].kspace, one.kspace)
    shown = np.percentile(abs(one.zero_filled()), 99)
    assert shown == pytest.approx(1, rel=0.02)
    again = nets.series(one.kspace.numpy(), one.mask[:, 0].numpy(), mps=one.mps[0].numpy())
    assert relative(again.kspace, one.kspace) < 0.02
    full = linops.sense(one.mps, axes=("frame", "coil", "ky", "kx"))
    assert relative(full(one.target) * one.mask, one.kspace) < 0.1  # the truth behind the data
    torch.manual_seed(0)
    network, task = make(), nets.ReconstructionTask([one], [one])
    before = task.validate(network)["psnr"]
    trained = nets.train(network, task, nets.Training(steps=12, lr=1e-2, warmup=2, ema=0.5, every=12), folder=tmp_path)
    assert task.validate(trained)["psnr"] > before + 0.3
    assert task.picture(trained).shape == (24, 72)
    with pytest.raises(ValueError, match="a series is a batch by itself"):
        nets.collate([one, one])
    with pytest.raises(ValueError, match="at least one of"):
        nets.Movies([moving(3)], frames=4)
