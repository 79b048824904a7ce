"""The denoiser adapter: what every network sees, what comes back, and what is refused."""

import cases
import numpy as np
import pytest
import torch
from torch import nn

import pisolve as pi
from pisolve import nets
from pisolve.priors._module import pad_to_multiple
from pisolve.priors.adapter import Denoiser, as_denoiser


def images(*shape, dtype=np.complex64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


class Spy(nn.Module):
    """Returns gain * image + shift, and remembers what it was given."""

    def __init__(self, channels, *, extra=0, gain=1.0, shift=0.0):
        super().__init__()
        self.conv = nn.Conv2d(channels + extra, channels, 1, bias=False)
        self.channels, self.gain, self.shift, self.seen = channels, gain, shift, []

    def forward(self, x):
        return self.look(x)

    def look(self, *given):
        self.seen.append((given[0].detach().clone(), *given[1:]))
        return self.gain * given[0][:, : self.channels] + self.shift


class Told(Spy):
    """Called with sigma as a second argument."""

    def forward(self, x, sigma):
        return self.look(x, sigma)


class Drunet(nn.Module):
    """Like a third party's: the noise level as one more channel, sizes that must be multiples of 4."""

    def __init__(self):
        super().__init__()
        self.head, self.down = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 4, 4)
        self.up, self.tail = nn.ConvTranspose2d(4, 4, 4, 4), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        y = self.head(x)
        return self.tail(y + self.up(self.down(y)))


@pytest.mark.parametrize("channels", ["complex", "parts", "magnitude"])
@pytest.mark.parametrize("options", [{}, {"scale": 0.5, "offset": 0.5}, {"multiple": 8}])
def test_identity_is_the_identity(channels, options):
    x = images(3, 10, 13)
    y = Denoiser(nn.Identity(), channels=channels, noise_input=None, **options)(x, 0.1)
    np.testing.assert_allclose(y, x, atol=2e-6)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(("spy", "channels", "noise_input"), [
    ((2, 0), "complex", None), ((2, 1), "complex", "map"), ((1, 0), "parts", None), ((1, 1), "parts", "map")])
def test_auto_reads_the_first_and_last_convolution(spy, channels, noise_input):
    net = Spy(spy[0], extra=spy[1])
    denoiser = as_denoiser(net)
    told = denoiser.describe()
    assert (told["channels"], told["noise_input"], told["auto"]) == (channels, noise_input, ["channels", "noise_input"])
    x = images(4, 5)
    np.testing.assert_array_equal(denoiser(x, 0.25), x)
    seen = net.seen[0][0].numpy()
    planes = [x.real, x.imag]
    if noise_input:
        assert np.all(seen[:, -1] == 0.25)
    got = seen[0, :2] if channels == "complex" else seen[:, 0]
    np.testing.assert_array_equal(got, planes)


def test_linear_network_acts_on_each_channel_as_it_should():
    net = nn.Conv2d(2, 2, 1, bias=False)
    matrix = np.array([[0.5, -2.0], [3.0, 0.25]], np.float32)
    net.weight.data = torch.from_numpy(matrix)[..., None, None]
    x = images(2, 6, 7)
    y = Denoiser(net)(x)
    np.testing.assert_allclose(y.real, 0.5 * x.real - 2 * x.imag, atol=1e-6)
    np.testing.assert_allclose(y.imag, 3 * x.real + 0.25 * x.imag, atol=1e-6)


def test_magnitude_keeps_the_phase_and_survives_zeros():
    net = Spy(1, gain=0.5, shift=0.1)
    x = images(6, 6)
    x[0, 0] = 0
    y = Denoiser(net, channels="magnitude")(x)
    expected = (0.5 * abs(x) + 0.1) * np.where(x == 0, 1, x / np.where(x == 0, 1, abs(x)))
    np.testing.assert_allclose(y, expected, atol=1e-6)
    np.testing.assert_allclose(net.seen[0][0][0, 0], abs(x), atol=1e-6)


@pytest.mark.parametrize("channels", ["complex", "parts"])
@pytest.mark.parametrize("residual", [False, True])
def test_scale_offset_and_residual_algebra(channels, residual):
    net = Spy(2 if channels == "complex" else 1, gain=0.3, shift=0.2)
    x = images(5, 6)
    y = Denoiser(net, channels=channels, scale=2.0, offset=0.5, residual=residual)(x)

    def expected(part):
        v = 2.0 * part + 0.5
        out = v - (0.3 * v + 0.2) if residual else 0.3 * v + 0.2
        return (out - 0.5) / 2.0

    np.testing.assert_allclose(y, expected(x.real) + 1j * expected(x.imag), atol=1e-6)


@pytest.mark.parametrize("noise_input", ["map", "scalar"])
def test_noise_level_reaches_the_network_in_its_own_units(noise_input):
    net = Spy(1, extra=1) if noise_input == "map" else Told(1)
    Denoiser(net, channels="parts", noise_input=noise_input, scale=0.5)(images(2, 4, 4), 0.2)
    if noise_input == "map":
        assert torch.all(net.seen[0][0][:, 1] == 0.1)
    else:
        torch.testing.assert_close(net.seen[0][1], torch.full((4, 1, 1, 1), 0.1))


def test_a_single_level_is_kept_or_rescaled_as_told():
    x = images(4, 4)
    fixed = Denoiser(Spy(2, shift=1.0), level=0.1)
    np.testing.assert_array_equal(fixed(x), fixed(x, 0.1))
    np.testing.assert_array_equal(fixed(x), fixed(x, 0.10005))
    with pytest.raises(ValueError, match=r"0\.2.*0\.1 only"):
        fixed(x, 0.2)
    moving = Denoiser(Spy(2, shift=1.0), level=0.1, rescale=True)
    np.testing.assert_allclose(moving(x, 0.2), x + 2 * (1 + 1j), atol=1e-6)  # (x / 2 + shift) * 2
    np.testing.assert_allclose(moving.network.seen[-1][0][0], [x.real / 2, x.imag / 2], atol=1e-6)
    assert "level only" in fixed.describe()["noise"]
    assert "rescales" in moving.describe()["noise"]
    assert "blind" in Denoiser(Spy(2)).describe()["noise"]


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (2, 3, 9, 6), (1, 4, 4)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_shapes_strides_and_dtypes(shape, dtype, monkeypatch):
    denoiser = Denoiser(Spy(1, gain=0.5))
    x = images(*shape, dtype=dtype)
    whole = denoiser(x)
    assert whole.dtype == dtype
    assert type(whole) is np.ndarray
    np.testing.assert_allclose(whole, 0.5 * x, rtol=1e-6)
    monkeypatch.setattr("pisolve.priors._module._PIXELS", 1)  # one image at a time
    np.testing.assert_array_equal(denoiser(x), whole)
    odd = images(*shape[:-1], 2 * shape[-1], dtype=dtype)[..., ::-2]
    np.testing.assert_allclose(denoiser(odd), 0.5 * odd, rtol=1e-6)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(denoiser(frozen), whole)
    np.testing.assert_array_equal(denoiser(x.astype(x.dtype.newbyteorder())), whole)
    tensor = denoiser(torch.from_numpy(x).conj())
    assert tensor.dtype == torch.from_numpy(x).dtype
    np.testing.assert_allclose(tensor.numpy(), 0.5 * x.conj(), rtol=1e-6)


@pytest.mark.parametrize("channels", ["complex", "parts", "magnitude"])
def test_torch_input_is_differentiable(channels):
    torch.manual_seed(0)
    count = 2 if channels == "complex" else 1
    net = nn.Sequential(nn.Conv2d(count + 1, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, count, 3, padding=1)).double()
    denoiser = Denoiser(net, channels=channels, scale=0.7, multiple=2)
    x = torch.from_numpy(images(2, 3, 4, dtype=np.complex128)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: denoiser(v, 0.1), x)
    denoiser(x, 0.1).abs().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    level = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    denoiser(x, level).abs().sum().backward()
    assert float(level.grad) != 0


def test_mode_is_restored_and_statistics_stay():
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x = images(3, 6, 6)
    denoiser = Denoiser(net)
    np.testing.assert_array_equal(denoiser(x), denoiser(x))  # no dropout
    assert [m.training for m in net] == [True, False, True]
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_third_party_network_with_a_noise_map_and_awkward_sizes():
    torch.manual_seed(0)
    net = Drunet()
    denoiser = Denoiser(net, multiple=4)
    assert (denoiser.channels, denoiser.noise_input) == ("parts", "map")
    x = images(9, 14)
    planes = torch.from_numpy(np.stack([x.real, x.imag]))[:, None]
    given = torch.cat([pad_to_multiple(planes, 4), torch.full((2, 1, 12, 16), 0.3)], 1)
    expected = net(given)[..., :9, :14].detach().numpy()
    np.testing.assert_allclose(denoiser(x, 0.3), expected[0, 0] + 1j * expected[1, 0], atol=1e-6)
    by_itself = Denoiser(net)
    np.testing.assert_array_equal(by_itself(x, 0.3), denoiser(x, 0.3))
    assert by_itself.describe()["multiple"] == 4


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (1, 9), (7, 2)])
def test_padding_reflects_and_keeps_the_image(size):
    x = torch.arange(float(np.prod(size))).reshape(1, 1, *size)
    padded = pad_to_multiple(x, 4)
    assert padded.shape[-2] % 4 == padded.shape[-1] % 4 == 0
    assert torch.equal(padded[..., : size[0], : size[1]], x)
    pads = [(0, -n % 4) for n in size]
    mode = "reflect" if all(p[1] < n for p, n in zip(pads, size)) else "edge"
    np.testing.assert_array_equal(padded[0, 0], np.pad(x[0, 0], pads, mode=mode))


class Pair(nn.Conv2d):
    def __init__(self):
        super().__init__(2, 2, 1)

    def forward(self, x):
        return x, x


class Vandal(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return x.zero_()


def vandal(x, sigma):
    x *= 0
    return x


@pytest.mark.parametrize("network", [Vandal(), vandal])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("residual", [False, True])
def test_input_is_never_changed(network, kind, residual):
    x = images(4, 5)
    given = x.copy() if kind == "numpy" else torch.from_numpy(x.copy())
    y = Denoiser(network, residual=residual)(given, 0.1)
    np.testing.assert_array_equal(np.asarray(given), x)
    np.testing.assert_array_equal(np.asarray(y), x if residual else 0 * x)


@pytest.mark.parametrize("channels", ["auto", "parts", "magnitude"])
def test_plain_functions(channels):
    seen = []

    def halve(x, sigma):
        seen.append((x.shape, str(x.dtype), sigma))
        return 0.5 * x

    x = images(2, 4, 5)
    denoiser = Denoiser(halve, channels=channels)
    np.testing.assert_allclose(denoiser(x, 0.3), 0.5 * x, atol=1e-6)
    assert seen[0] == (((2, 4, 5), "complex64", 0.3) if channels == "auto" else ((4, 5), "float32", 0.3))
    assert denoiser(x, 0.3).dtype == np.complex64
    assert denoiser.name == "halve"
    got = denoiser(torch.from_numpy(x).requires_grad_(), 0.3)
    assert got.requires_grad
    scaled = Denoiser(lambda v: v + 1, noise_input=None, channels="parts", scale=4.0, offset=9.0)
    np.testing.assert_allclose(scaled(x), x + 0.25 * (1 + 1j), atol=1e-5)
    doubled = Denoiser(lambda v, sigma: v.astype(np.complex128))
    assert doubled(x, 0.1).dtype == np.complex64
    assert as_denoiser(denoiser) is denoiser


class Buffer(nn.Module):
    """A network that answers in the same memory each time."""

    def __init__(self, channels):
        super().__init__()
        self.conv, self.memory = nn.Conv2d(channels, channels, 1), None

    def forward(self, x):
        same = self.memory is not None and self.memory.shape == x.shape
        self.memory = self.memory.copy_(x) if same else x.clone()
        return self.memory.mul_(2)


def reuse(memory={}):  # noqa: B006
    def D(x, sigma):
        kept = memory.setdefault((type(x), x.dtype, tuple(x.shape)), 0 * x)
        kept[...] = 2 * x
        return kept
    return D


@pytest.mark.parametrize("network", [Buffer(1), Buffer(2), reuse()])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("channels", ["parts", "complex", "magnitude"])
def test_memory_that_a_denoiser_keeps_is_copied(network, kind, channels):
    if isinstance(network, Buffer) and network.conv.in_channels != 1 + (channels == "complex"):
        return
    one, two = images(2, 4, 5), images(2, 4, 5, seed=1)
    D = Denoiser(network, channels=channels)
    first, second = (D(x if kind == "numpy" else torch.from_numpy(x), 0.1) for x in (one, two))
    np.testing.assert_allclose(first, 2 * one, atol=1e-5)
    np.testing.assert_allclose(second, 2 * two, atol=1e-5)


def test_nan_passes_for_the_solver_to_see():
    x = images(4, 4)
    x[1, 1] = np.nan
    for network in (nn.Conv2d(2, 2, 1), lambda v, sigma: v):
        assert np.isnan(Denoiser(network)(x, 0.1)).any()


@pytest.mark.parametrize(("network", "options", "error", "word"), [
    (5, {}, TypeError, "module"), (nn.Conv2d, {}, TypeError, "module"),
    (nn.Identity(), {}, ValueError, "channels="), (nn.Conv2d(3, 3, 1), {}, ValueError, "3 to 3 channels"),
    (nn.Conv2d(2, 2, 1), {"channels": "grey"}, ValueError, "channels"),
    (nn.Conv2d(2, 2, 1), {"noise_input": "both"}, ValueError, "noise_input"),
    (nn.Conv2d(2, 2, 1), {"level": -0.1}, ValueError, "level"), (nn.Conv2d(2, 2, 1), {"scale": 0}, ValueError, "scale"),
    (nn.Conv2d(2, 2, 1), {"multiple": 0}, ValueError, "multiple"),
    (nn.Conv2d(2, 2, 1), {"rescale": True}, ValueError, "level"), (vandal, {"multiple": 2}, ValueError, "function"),
    (nn.Conv2d(2, 2, 1), {"channels": "parts"}, ValueError, "channels"),
])
def test_bad_settings(network, options, error, word):
    with pytest.raises(error, match=word):
        Denoiser(network, **options)


@pytest.mark.parametrize(("network", "options", "error", "word"), [
    (nn.Conv2d(2, 2, 3), {}, ValueError, "Conv2d returned shape"),
    (nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten()), {}, ValueError, "Sequential returned"),
    (Pair(), {}, TypeError, "Pair must return a float tensor.*tuple"),
    (lambda x, s: x[..., 1:], {}, ValueError, "<lambda> returned shape"),
    (lambda x, s: None, {}, TypeError, "NoneType"), (lambda x, s: abs(x), {}, TypeError, "float32"),
    (lambda x, s: torch.from_numpy(x), {}, TypeError, "Tensor"),
    (lambda x, s: x.astype(object), {}, TypeError, "object"),
])
def test_bad_outputs_name_the_denoiser(network, options, error, word):
    with pytest.raises(error, match=word):
        Denoiser(network, **options)(images(4, 4), 0.1)


@pytest.mark.parametrize(("x", "sigma", "error", "word"), [
    ([[1j]], 0.1, TypeError, "x must be"), (images(4), 0.1, ValueError, "images"),
    (images(0, 4), 0.1, ValueError, "empty"),
    (images(4, 4), -0.1, ValueError, "sigma"), (images(4, 4), np.nan, ValueError, "sigma"),
    (images(4, 4), "a", TypeError, "sigma"), (images(4, 4), None, ValueError, "sigma is needed")])
def test_bad_calls(x, sigma, error, word):
    with pytest.raises(error, match=word):
        Denoiser(nn.Conv2d(3, 2, 1))(x, sigma)


def test_real_input_becomes_complex():
    np.testing.assert_array_equal(Denoiser(Spy(2))(np.ones((3, 3))), np.ones((3, 3), complex))


def test_homogeneous_network_does_not_mind_the_units():
    torch.manual_seed(0)
    denoiser = Denoiser(nets.UNet(widths=(4, 6), blocks=(1, 1)))
    x = images(9, 11)
    np.testing.assert_allclose(denoiser(40 * x, 40 * 0.3), 40 * denoiser(x, 0.3), rtol=1e-4, atol=1e-4)


class Sized(nn.Module):
    """Takes multiples of `multiple` only, as networks with several scales do."""

    def __init__(self, multiple, crops=False):
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 3, multiple, multiple), nn.ConvTranspose2d(3, 2, multiple, multiple)
        self.crops, self.sizes = crops, []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[-2:]))
        out = self.up(self.down(x))  # a wrong size comes out smaller
        return out if self.crops else x + out


@pytest.mark.parametrize("multiple", [1, 4, 16, 64])
@pytest.mark.parametrize("crops", [False, True])
def test_the_multiple_that_a_network_needs_is_found(multiple, crops):
    torch.manual_seed(0)
    net = Sized(multiple, crops)
    told, found = Denoiser(net, multiple=multiple), Denoiser(net)
    for shape in ((9, 14), (33, 64), (5, 70), (9, 14)):  # what was before does not matter
        x = images(*shape)
        np.testing.assert_array_equal(found(x), told(x))
    net.sizes.clear()
    found(images(9, 14))
    assert len(net.sizes) == 1  # it is remembered


@pytest.mark.parametrize(("network", "options", "word"), [
    (nn.Conv2d(2, 2, 1), {"channels": "complex", "noise_input": "map"}, r"Conv2d failed on \(1, 3, 6, 6\)"),
    (nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(3, 2, 1)), {}, r"Sequential failed on .*3.*: set channels"),
    (Sized(128), {}, "Sized failed on|Sized returned"), (Sized(4), {"multiple": 1}, "Sized failed on|Sized returned")])
def test_a_network_that_cannot_take_the_image_is_named(network, options, word):
    with pytest.raises(ValueError, match=word):
        Denoiser(network, **options)(images(6, 6), 0.1)


def test_a_network_that_refuses_may_have_ruined_what_it_was_given():
    class Ruin(Sized):
        def forward(self, x):
            if x.shape[-1] % 4:
                x.zero_()
                raise RuntimeError("size")
            return super().forward(x)

    torch.manual_seed(0)
    net = Ruin(4, True)
    np.testing.assert_array_equal(Denoiser(net)(images(6, 6)), Denoiser(net, multiple=4)(images(6, 6)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_float_type_leave_the_image_its_own(dtype):
    net = nn.Conv2d(2, 2, 1).to(dtype)
    for kind in (np.complex64, np.complex128):
        x = images(5, 6, dtype=kind)
        y = Denoiser(net)(x)
        assert y.dtype == kind
        np.testing.assert_allclose(y, Denoiser(net.double())(x), rtol=0.05, atol=0.05)
        net.to(dtype)


def test_complex_weights_and_weights_without_numbers_are_refused():
    with pytest.raises(ValueError, match="on the device meta, without numbers"):
        Denoiser(nn.Conv2d(2, 2, 1, device="meta"))
    with pytest.raises(TypeError, match="must return a float tensor"):
        Denoiser(nn.Sequential(nn.Conv2d(2, 2, 1), ToComplex()))(images(4, 4))


class ToComplex(nn.Module):
    def forward(self, x):
        return torch.complex(x, x)


class Kept(nn.Module):
    """Batch norm in the middle, as a user leaves it after training."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.conv, self.norm, self.gain = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), gain

    def forward(self, x):
        return x + 0.1 * self.norm(self.conv(x)) * self.gain


def test_batch_norm_left_in_training_mode_does_not_depend_on_the_batch():
    net = Kept().train()
    x = images(3, 6, 6)
    D = Denoiser(net)
    np.testing.assert_allclose(D(x)[0], D(x[0]), atol=1e-6)
    assert net.norm.training
    assert int(net.norm.num_batches_tracked) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("solver", [pi.FISTA(), pi.ADMM(), pi.HQS(), pi.PDHG(), pi.DataProx()],
                         ids=lambda s: type(s).__name__)
def test_nan_out_of_a_network_is_the_status_of_the_run(solver, value):
    A, y = cases.toy()
    net = Kept(value)
    prior = 0.1 * pi.RED(net, 0.1) if isinstance(solver, pi.DataProx) else pi.PnP(net, 0.1)
    result = pi.solve(A, y, prior, solver, max_iter=15)
    assert (result.status, result.ok) == ("nonfinite", False)
    assert np.isfinite(result.x).all()


def test_averaging_phases_is_what_it_says():
    torch.manual_seed(0)
    net, x = nets.UNet(widths=(4, 6), blocks=(1, 1)), images(8, 8)
    one = Denoiser(net)
    turns = np.exp(2j * np.pi * np.arange(3) / 3).astype(np.complex64)
    expected = sum(one(t * x, 0.1) / t for t in turns) / 3
    np.testing.assert_allclose(Denoiser(net, phases=3)(x, 0.1), expected, atol=1e-6)
    np.testing.assert_allclose(Denoiser(net, phases=3)(turns[1] * x, 0.1), turns[1] * expected, atol=1e-6)
    assert Denoiser(net, phases=3)(x, 0.1).dtype == np.complex64
    with pytest.raises(ValueError, match="phases must be"):
        Denoiser(net, phases=0)
