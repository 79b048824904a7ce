"""What the adapter reads off a module: wrappers, TorchScript, volumes, complex weights, levels in any form, maps."""

import numpy as np
import pytest
import torch
from torch import nn

import pisolve as pi
from pisolve import nets
from pisolve.priors.adapter import Denoiser


def images(*shape, dtype=np.complex64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


class Smooth(nn.Module):
    """Towards a local mean, the more so the larger sigma is: forward(x, sigma)."""

    def __init__(self, channels=2):
        super().__init__()
        self.mean = nn.Conv2d(channels, channels, 3, padding=1, bias=False, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.constant_(self.mean.weight, 1 / 9)
        nn.init.dirac_(self.mix.weight)

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        a = 10 * sigma / (1 + 10 * sigma)
        return self.mix((1 - a) * x + a * self.mean(x))


class Default(Smooth):
    def forward(self, x, sigma=0.0):
        return super().forward(x, sigma)


class Std(Smooth):
    def forward(self, x, std=0.0):
        return super().forward(x, std)


class Third(Smooth):
    def forward(self, x, flag=False, sigma=0.0):
        return super().forward(x, sigma)


class Keyword(Smooth):
    def forward(self, x, *, noise_level=0.0):
        return super().forward(x, noise_level)


class Ema(nn.Module):
    """A wrapper as those of averaged weights are: its module is called `module`."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def traced(net):
    return torch.jit.trace(net.eval(), (torch.zeros(1, 2, 9, 8), torch.zeros(1, 1, 1, 1)))


X = images(3, 9, 8)
WRAPPED = {
    "plain": Smooth, "default": Default, "std": Std, "third": Third, "keyword": Keyword,
    "parallel": lambda: nn.DataParallel(Smooth()), "parallel-default": lambda: nn.DataParallel(Default()),
    "compiled": lambda: torch.compile(Smooth(), backend="eager"),
    "compiled-default": lambda: torch.compile(Default(), backend="eager"),
    "ema": lambda: Ema(Default()), "compiled-ema-parallel": lambda: torch.compile(
        Ema(nn.DataParallel(Default())), backend="eager"),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(Default()),
    "scripted": lambda: torch.jit.script(Smooth()), "traced": lambda: traced(Smooth()),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(Smooth().eval())),
    "frozen-trace": lambda: torch.jit.freeze(traced(Smooth())),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("channels", ["auto", "complex"])
def test_sigma_reaches_the_network_through_every_wrapper(name, channels):
    expected = Denoiser(Smooth(), channels="complex", noise_input="scalar")(X, 0.2)
    assert abs(expected - X).max() > 0.1
    D = Denoiser(WRAPPED[name](), channels=channels)
    assert (D.channels, D.noise_input, D.ndim) == ("complex", "scalar", 2)
    np.testing.assert_allclose(D(X, 0.2), expected, atol=1e-6)
    np.testing.assert_allclose(D(X.astype(complex), 0.2), expected, atol=1e-6)


def test_a_wrapped_network_of_ours_is_told_its_map():
    net = nets.UNet(widths=(4, 6), blocks=(1, 1))
    for wrapped in (nn.DataParallel(net), torch.compile(net, backend="eager"), Ema(net)):
        D = Denoiser(wrapped)
        assert (D.channels, D.noise_input, D.name) == ("complex", "map", "UNet")
        np.testing.assert_array_equal(D(X, 0.1), Denoiser(net)(X, 0.1))


class Any(nn.Module):
    """A wrapper whose module has no known name, as deepinv's equivariant denoiser."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, *args, **kwargs):
        return self.net(x, *args, **kwargs)


class Numbered(Smooth):
    def forward(self, x, strength=0.0):
        return super().forward(x, strength)


class Flagged(Smooth):
    def forward(self, x, clip=False, mode="plain"):
        return self.mix(x)


@pytest.mark.parametrize("net", [Any(Smooth()), Any(Default()), Numbered(), nn.DataParallel(Any(Default()))])
def test_what_forward_does_not_tell_is_refused_and_the_hint_helps(net):
    with pytest.raises(ValueError, match=r"(Any|Numbered|DataParallel)\.forward do not tell .* noise_input='scalar'"):
        Denoiser(net)
    expected = Denoiser(Smooth())(X, 0.2)
    np.testing.assert_allclose(Denoiser(net, noise_input="scalar")(X, 0.2), expected, atol=1e-6)


def test_flags_are_no_noise_level():
    D = Denoiser(Flagged())
    assert D.noise_input is None
    np.testing.assert_array_equal(D(X, 0.2), X)


# --- sigma as a float, of shape (B,), as a map


class AsFloat(Smooth):
    def forward(self, x, sigma):
        return super().forward(x, float(sigma))


class AsFloatOnly(Smooth):
    def forward(self, x, sigma):
        if not isinstance(sigma, float):
            raise TypeError("sigma must be a float")
        return super().forward(x, sigma)


class AsFill(Smooth):
    def forward(self, x, sigma):
        return super().forward(x, torch.full((len(x), 1, 1, 1), sigma))


class AsVector(Smooth):
    def forward(self, x, t):
        a = (t[:, None] * torch.ones(4)).sum(1).view(-1, 1, 1, 1) / 4
        return super().forward(x, a)


class AsField(Smooth):
    def forward(self, x, sigma):
        assert sigma.shape == (len(x), 1, *x.shape[2:])
        return super().forward(x, sigma)


@pytest.mark.parametrize(("net", "form"), [(AsFloat, "float"), (AsFloatOnly, "float"), (AsFill, "float"),
                                           (AsVector, "vector"), (AsField, "field")])
@pytest.mark.parametrize("count", [1, 3])
def test_every_form_of_sigma_is_found_or_given(net, form, count):
    x = X[:count]
    expected = Denoiser(Smooth())(x, 0.2)
    if form != "field":
        np.testing.assert_allclose(Denoiser(net())(x, 0.2), expected, atol=1e-6)
        np.testing.assert_allclose(Denoiser(net(), noise_input="scalar")(x, 0.2), expected, atol=1e-6)
    given = Denoiser(net(), noise_input=form, scale=0.5)
    np.testing.assert_allclose(given(2 * x, 0.4) / 2, expected, atol=1e-6)


def test_the_form_that_was_found_is_remembered():
    net = AsVector()
    D, calls = Denoiser(net), []
    D(X, 0.2)
    net.register_forward_pre_hook(lambda m, given: calls.append(given[1].shape))
    D(X, 0.3)
    assert calls == [(3,)]


def test_a_network_that_takes_no_form_is_named():
    class Never(Smooth):
        def forward(self, x, sigma):
            raise ValueError("only on Sundays")

    with pytest.raises(ValueError, match=r"Never failed on \(3, 2, 9, 8\): only on Sundays: set channels"):
        Denoiser(Never())(X, 0.1)


class Map(nn.Module):
    """Image plus ten times the map in the last channel, per channel."""

    def __init__(self, channels=2):
        super().__init__()
        self.head, self.tail, self.n = nn.Conv2d(channels + 1, 3, 1), nn.Conv2d(3, channels, 1), channels

    def forward(self, x):
        return x[:, : self.n] + 10 * x[:, self.n:]


LEVELS = np.linspace(0.1, 0.5, 72).reshape(9, 8)


@pytest.mark.parametrize("channels", ["complex", "parts"])
@pytest.mark.parametrize("shape", ["(y, x)", "(n, y, x)", "(n, 1, 1)", "(1, x)"])
@pytest.mark.parametrize("kind", ["numpy", "torch", "sigma in torch"])
def test_a_level_for_each_pixel(channels, shape, kind, monkeypatch):
    sigma = {"(y, x)": LEVELS, "(n, y, x)": LEVELS * np.array([1, 2, 3])[:, None, None],
             "(n, 1, 1)": np.array([0.1, 0.2, 0.3])[:, None, None], "(1, x)": LEVELS[:1]}[shape]
    D = Denoiser(Map(2 if channels == "complex" else 1), multiple=4)
    expected = X + 10 * (1 + 1j) * np.broadcast_to(sigma, X.shape)
    given, x = (torch.from_numpy(sigma) if kind != "numpy" else sigma), torch.from_numpy(X) if kind == "torch" else X
    np.testing.assert_allclose(np.asarray(D(x, given)), expected, rtol=1e-5)
    monkeypatch.setattr("pisolve.priors._module._PIXELS", 1)  # one image at a time
    np.testing.assert_allclose(np.asarray(D(x, given)), expected, rtol=1e-5)


def test_levels_of_a_second_argument():
    sigma = np.broadcast_to(LEVELS, X.shape)
    one = np.array([0.1, 0.2, 0.3])[:, None, None]
    expected = np.stack([Denoiser(Smooth())(x, float(s)) for x, s in zip(X, one[:, 0, 0])])
    for D in (Denoiser(Smooth()), Denoiser(AsVector()), Denoiser(AsField(), noise_input="field"),
              Denoiser(Smooth(1), channels="parts")):
        np.testing.assert_allclose(D(X, one), expected, atol=1e-6)
    a = 10 * sigma / (1 + 10 * sigma)
    mean = Denoiser(Smooth().mean, noise_input=None)(X)
    field = Denoiser(Smooth(), noise_input="field")
    np.testing.assert_allclose(field(X, LEVELS), (1 - a) * X + a * mean, atol=1e-6)
    with pytest.raises(ValueError, match=r"Smooth is called with one number for an image: .*noise_input='field'"):
        Denoiser(Smooth())(X, LEVELS)


@pytest.mark.parametrize("channels", ["complex", "parts", "magnitude"])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_functions_get_a_map_of_the_images_shape(channels, kind):
    D = Denoiser(lambda x, sigma: x * (1 + sigma), noise_input="map", channels=channels, scale=2.0)
    x = X if kind == "numpy" else torch.from_numpy(X)
    np.testing.assert_allclose(np.asarray(D(x, LEVELS)), X * (1 + 2 * LEVELS), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(D(x, 0.25)), X * 1.5, rtol=1e-5)
    assert D(X, LEVELS).dtype == np.complex64


@pytest.mark.parametrize(("D", "sigma", "error", "word"), [
    (Denoiser(Map()), -LEVELS, ValueError, "sigma holds values down to -0.5: all must be > 0"),
    (Denoiser(Map()), LEVELS + 0j, TypeError, "sigma has dtype complex128: real numbers"),
    (Denoiser(Map()), LEVELS[:-1], ValueError, r"sigma has shape \(8, 8\), which does not broadcast to \(3, 9, 8\)"),
    (Denoiser(Map()), LEVELS * np.nan, ValueError, "sigma holds NaN"),
    (Denoiser(nn.Conv2d(2, 2, 1)), LEVELS, ValueError, "told no noise level"),
    (Denoiser(Map(), level=0.1), LEVELS, ValueError, "trained for 0.1 only"),
    (Denoiser(lambda x, s: x), LEVELS, ValueError, "one number for an image")])
def test_bad_maps_of_levels(D, sigma, error, word):
    with pytest.raises(error, match=word):
        D(X, sigma)


# --- volumes


class Net3(nn.Module):
    def __init__(self, channels, extra=0):
        super().__init__()
        self.conv = nn.Conv3d(channels + extra, channels, 3, padding=1)
        self.channels = channels

    def forward(self, x):
        return x[:, : self.channels] - 0.1 * self.conv(x)


def by_hand(net, x, channels, *more):
    """The network on one volume, in float32."""
    with torch.no_grad():
        planes = {"complex": [[x.real, x.imag]], "parts": [[x.real], [x.imag]], "magnitude": [[abs(x)]]}[channels]
        out = [net(torch.from_numpy(np.stack([*p, *more]).astype(np.float32))[None])[0].numpy() for p in planes]
    if channels == "complex":
        return out[0][0] + 1j * out[0][1]
    return out[0][0] + 1j * out[1][0] if channels == "parts" else out[0][0] * x / abs(x)


@pytest.mark.parametrize("channels", ["complex", "parts", "magnitude"])
@pytest.mark.parametrize("slices", [1, 2, 3, 4])
@pytest.mark.parametrize("noise", [False, True])
def test_networks_over_three_axes_see_volumes(channels, slices, noise):
    torch.manual_seed(0)
    net = Net3(2 if channels == "complex" else 1, int(noise))
    D, x = Denoiser(net, channels=channels), images(slices, 7, 6)
    assert D.ndim == 3
    assert D.noise_input == ("map" if noise else None)
    level = np.full(x.shape, 0.2)
    more = [level] if noise else []
    np.testing.assert_allclose(D(x, 0.2), by_hand(net, x, channels, *more), atol=1e-5)
    two = images(2, slices, 7, 6, seed=1)
    np.testing.assert_allclose(D(two, 0.2)[1], by_hand(net, two[1], channels, *more), atol=1e-5)
    if noise:
        level = np.linspace(0.1, 1, x.size).reshape(x.shape)
        np.testing.assert_allclose(D(x, level), by_hand(net, x, channels, level), atol=1e-5)
    padded = Denoiser(net, channels=channels, multiple=4)(images(6, 7, 6), 0.2)
    assert padded.shape == (6, 7, 6)
    with pytest.raises(ValueError, match=r"volumes \(\.\.\., z, y, x\) for a network over three axes, got shape"):
        D(x[0], 0.2)


def test_a_network_with_both_kinds_of_convolutions_has_to_be_told():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv3d(1, 1, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return 2 * x

    with pytest.raises(ValueError, match=r"over two axes and over three: give ndim=2"):
        Denoiser(Mixed(), channels="complex", noise_input=None)
    D = Denoiser(Mixed(), channels="complex", noise_input=None, ndim=3)
    x = images(2, 5, 4)
    np.testing.assert_allclose(D(x), 2 * x)
    with pytest.raises(ValueError, match="volumes"):
        D(x[0])
    with pytest.raises(ValueError, match=r"ndim must be in 2\.\.3"):
        Denoiser(Mixed(), ndim=4)


def test_a_volume_is_denoised_as_a_whole_by_plug_and_play():
    torch.manual_seed(0)
    net, x = Net3(2), images(4, 7, 6)
    prior = pi.PnP(net, sigma=0.1).bind(("z", "y", "x"))
    for k in range(3):  # no turning of planes, which is for networks that see one
        np.testing.assert_array_equal(prior.at(k).prox(x, 1.0), Denoiser(net)(x))
    A = pi.linops.fft((4, 7, 6), axes=(-3, -2, -1))
    done = pi.solve(A, A(x), prior, pi.FISTA(), max_iter=3)
    assert done.x.shape == x.shape


@pytest.mark.parametrize("make", [torch.jit.script, lambda n: torch.jit.freeze(torch.jit.script(n.eval()))])
def test_scripted_networks_over_three_axes(make):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(2, 2, 3, padding=1)

        def forward(self, x):
            return x - self.conv(x)

    net, x = Plain(), images(3, 7, 6)
    D = Denoiser(make(net))
    assert (D.ndim, D.channels) == (3, "complex")
    np.testing.assert_allclose(D(x), Denoiser(net)(x), atol=1e-6)


# --- native complex networks


class Native(nn.Module):
    def __init__(self, extra=0, dtype=torch.complex64):
        super().__init__()
        self.conv = nn.Conv2d(1 + extra, 1, 3, padding=1, dtype=dtype)

    def forward(self, x):
        return self.conv(x)


class NativeTold(Native):
    def forward(self, x, sigma):
        assert not sigma.is_complex()
        return self.conv(x) * sigma


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_networks_of_complex_numbers(dtype):
    torch.manual_seed(0)
    net = Native(dtype=dtype)
    D = Denoiser(net)
    assert (D.channels, D.noise_input) == ("native", None)
    for x in (X, X.astype(complex)):
        expected = net(torch.from_numpy(x)[:, None].to(dtype))[:, 0].detach().numpy()
        got = D(x)
        assert got.dtype == x.dtype
        np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(Denoiser(net, multiple=4)(X)[:, 2:-2, 2:-2], D(X)[:, 2:-2, 2:-2], atol=1e-5)
    turn = np.exp(0.3j).astype(np.complex64)
    linear = Denoiser(lambda x: x, noise_input=None)
    assert linear(turn * X).dtype == np.complex64
    scaled = Denoiser(net, scale=0.5, offset=0.25)
    v = torch.from_numpy(X * 0.5 + 0.25 * (1 + 1j)).to(dtype)[:, None]
    np.testing.assert_allclose(scaled(X), (net(v)[:, 0].detach().numpy() - 0.25 * (1 + 1j)) / 0.5, atol=1e-5)
    residual = Denoiser(net, residual=True)
    np.testing.assert_allclose(residual(X), X - D(X), atol=1e-5)


def test_networks_of_complex_numbers_are_told_sigma():
    torch.manual_seed(0)
    net = Native(1)
    D = Denoiser(net)
    assert (D.channels, D.noise_input) == ("native", "map")
    given = torch.from_numpy(np.stack([X, np.broadcast_to(LEVELS, X.shape)], 1).astype(np.complex64))
    np.testing.assert_allclose(D(X, LEVELS), net(given)[:, 0].detach().numpy(), atol=1e-5)
    net = NativeTold()
    D = Denoiser(net)
    assert (D.channels, D.noise_input) == ("native", "scalar")
    np.testing.assert_allclose(D(X, 0.5), 0.5 * Denoiser(net.conv)(X), atol=1e-5)
    x = torch.from_numpy(X[:, :3, :4].astype(complex)).requires_grad_()
    D = Denoiser(NativeTold(dtype=torch.complex128))
    assert torch.autograd.gradcheck(lambda v: D(v, 0.5), x)


def test_a_complex_network_of_real_weights_is_told_so():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.real, self.imag = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return torch.complex(self.real(x.real), self.imag(x.imag))

    torch.manual_seed(0)
    net = Pair()
    expected = net(torch.from_numpy(X)[:, None])[:, 0].detach().numpy()
    np.testing.assert_allclose(Denoiser(net, channels="native")(X), expected, atol=1e-6)
    with pytest.raises((TypeError, ValueError), match="channels"):
        Denoiser(net)(X)


# --- modules whose last convolution is not the last one they list


class Listed(nn.Module):
    """As fastMRI's U-Net: what is listed last is not what is run last."""

    def __init__(self, channels, extra=0, shuffle=1):
        super().__init__()
        s2 = shuffle**2
        self.tail, self.head = nn.Conv2d(8, channels * s2, 3, padding=1), nn.Conv2d(channels * s2 + extra, 8, 1)
        self.shuffle, self.extra = shuffle, extra

    def forward(self, x):
        x = nn.functional.pixel_unshuffle(x, self.shuffle)
        return nn.functional.pixel_shuffle(self.tail(self.head(x).relu()), self.shuffle)


class ListedTold(Listed):
    def forward(self, x, sigma):
        y = nn.functional.pixel_unshuffle(x, self.shuffle)
        y = torch.cat([y, sigma.repeat(1, 1, *y.shape[2:])], 1)
        return nn.functional.pixel_shuffle(self.tail(self.head(y).relu()), self.shuffle)


@pytest.mark.parametrize(("net", "channels", "noise"), [
    (Listed(2), "complex", None), (Listed(1), "parts", None), (Listed(2, 1), "complex", "map"),
    (ListedTold(1, 1, 2), "parts", "scalar"), (ListedTold(2, 1, 2), "complex", "scalar")])
def test_what_the_list_of_layers_does_not_tell_is_tried(net, channels, noise):
    before = torch.get_rng_state()
    if (channels, noise) == ("complex", "map"):
        net.forward = lambda x: x[:, :2] + net.tail(net.head(x))
    D = Denoiser(net.train())
    assert (D.channels, D.noise_input) == (channels, noise)
    assert net.training
    assert torch.equal(torch.get_rng_state(), before)
    x = images(2, 8, 6)
    assert D(x, 0.1).shape == x.shape


def test_fastmris_unet_is_told():
    models = pytest.importorskip("fastmri.models")
    torch.manual_seed(0)
    for channels, word in ((2, "complex"), (1, "parts")):
        net = models.Unet(channels, channels, chans=4, num_pool_layers=2)
        D = Denoiser(net)
        assert (D.channels, D.noise_input) == (word, None)
        own = Denoiser(net, channels=word, noise_input=None)
        np.testing.assert_array_equal(D(images(16, 12)), own(images(16, 12)))
