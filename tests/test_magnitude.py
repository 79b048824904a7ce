"""Magnitudes and phases next to zero: their derivatives in torch, and x / |x|, are finite and right at every number."""

import numpy as np
import pytest
import torch
from torch import nn

import pisolve as pi
from pisolve import backend, nets
from pisolve.nets import losses

TINY = [0, 1e-45j, 1e-40, -1e-40 + 1e-40j, 1e-38, 1e-30 + 1e-30j, 1e-23 + 1e-24j, 1e-19, 1e-10, 0.5 - 0.5j]
DTYPES = [torch.complex64, torch.complex128]


def tiny_image(dtype=torch.complex64, shape=(6, 8, 8)):
    """A random image among whose pixels are zeros and subnormal numbers; of complex128 those of its own."""
    rng = np.random.default_rng(0)
    x = 1e-3 * torch.from_numpy(rng.standard_normal((*shape, 2)).view(complex)[..., 0])
    values = torch.tensor(TINY, dtype=torch.complex128) * (1e-280 if dtype == torch.complex128 else 1)
    x.view(-1)[7: 7 + 3 * len(TINY)] = values.repeat(3)
    return x.to(dtype).requires_grad_()


def finite(x):
    return bool(torch.isfinite(torch.view_as_real(x.resolve_conj())).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_slope_of_the_magnitude_is_the_phase(dtype):
    x = tiny_image(dtype)
    size = backend.magnitude(x)
    size.sum().backward()
    assert torch.equal(backend.magnitude(x.detach()), x.detach().abs())
    normal = x.detach().abs() >= torch.finfo(dtype).tiny
    assert torch.equal(size[normal], x.abs()[normal])
    torch.testing.assert_close(x.grad[normal], (x.detach() / x.detach().abs())[normal])
    assert not x.grad[~normal].any()
    assert (~normal).sum() > 5


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_the_phase_of_the_smallest_numbers_is_theirs(kind, dtype):
    least = np.finfo(dtype).smallest_subnormal
    x = np.array([0, least * 1j, -100 * least, least * (1e5 + 1e5j), np.finfo(dtype).tiny, 3 - 4j], dtype)
    got = np.asarray(backend.unit(x if kind == "numpy" else torch.from_numpy(x)))
    np.testing.assert_allclose(got, [1, 1j, -1, np.exp(0.25j * np.pi), 1, 0.6 - 0.8j], rtol=1e-6)


PRIORS = {"l1": pi.L1(), "huber": pi.L1(delta=0.01), "l21": pi.L21(), "wavelet": pi.Wavelet("haar"), "dct": pi.DCT(),
          "temporal-fft": pi.TemporalFFT(0), "l1-minus-l2": pi.L1MinusL2(), "box": pi.Box(high=1e-4), "tv": pi.TV(),
          "llr": pi.LLR(block=4), "nuclear": pi.Nuclear(), "behind": pi.L1() @ pi.linops.fft((6, 8, 8))}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("step", [1e-25, 1e-4])
def test_derivatives_of_proxes_are_finite_at_tiny_numbers(name, step):
    x = tiny_image()
    out = PRIORS[name].prox(x, step)
    torch.view_as_real(out.resolve_conj()).square().sum().backward()
    assert finite(out)
    assert finite(x.grad)


def test_the_derivative_of_soft_thresholding_between_tiny_numbers_is_right():
    x, t = tiny_image(torch.complex128), 1e-4
    pi.L1().prox(x, t).real.sum().backward()
    size = x.detach().abs()
    kept, phase = size > t, x.detach() / size.clamp_min(1e-300)
    expected = torch.where(kept, 1 - t / size + t / size * phase.real * phase, 0)  # d Re soft(x)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("channels", ["magnitude", "parts", "complex"])
def test_derivatives_of_denoisers_are_finite_at_tiny_numbers(channels):
    torch.manual_seed(0)
    D = pi.Denoiser(nets.DnCNN(2 if channels == "complex" else 1, 2, 3), channels=channels)
    f = pi.Denoiser(lambda x, sigma: x + 0.1, channels=channels)
    for denoiser in (D, f):
        x = tiny_image()
        out = denoiser(x, 0.1)
        torch.view_as_real(out.resolve_conj()).square().sum().backward()
        assert finite(out)
        assert finite(x.grad)


def test_a_magnitude_network_gives_a_tiny_pixel_its_phase():
    D = pi.Denoiser(nn.Identity(), channels="magnitude", noise_input=None)
    x = np.array([[1e-40 + 1e-40j, 1e-44j], [0, 1]], np.complex64)
    np.testing.assert_array_equal(D(x), x)


@pytest.mark.parametrize("loss", [losses.L1(), losses.L2(), losses.Charbonnier(), losses.LogL2(), losses.Frequency(),
                                  losses.SSIM(), 0.8 * losses.SSIM() + 0.2 * losses.L1()], ids=repr)
def test_derivatives_of_losses_are_finite_at_tiny_errors(loss):
    x = tiny_image()
    target = torch.zeros_like(x.detach())
    loss(x, target if "SSIM" not in repr(loss) else target + 1).backward()
    assert finite(x.grad)


def test_derivatives_of_a_filter_bank_are_finite_at_tiny_numbers():
    x = tiny_image()
    bank = nets.FilterBank()
    z = x[:1].expand(bank.filters.shape[0], 8, 8)
    torch.view_as_real(bank.shrink(z)).square().sum().backward()
    assert finite(x.grad)
