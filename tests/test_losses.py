"""The losses against hand-computed values, scikit-image, fastMRI and finite differences; their grammar and errors."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from pisolve import metrics
from pisolve.nets import losses
from pisolve.nets.losses import L1, L2, SSIM, Charbonnier, Frequency, LogL2

ALL = [L1(), L2(), LogL2(), Charbonnier(), SSIM(), SSIM(data_range="image"), Frequency(),
       Frequency(norm="l2", power=1.0),
       0.84 * SSIM() + 0.16 * L1()]


def volume(shape=(3, 20, 23), seed=0, dtype=torch.float64):
    """A smooth positive volume and a noisy version of it."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    y, x = torch.meshgrid(*[torch.linspace(0, 3, n, dtype=torch.float64) for n in shape[-2:]], indexing="ij")
    target = (torch.sin(x) * torch.cos(y) + 1.2) * torch.linspace(1, 2, shape[0], dtype=torch.float64)[:, None, None]
    return (target + 0.1 * noise[0]).to(dtype), (target + 0.01 * noise[1]).to(dtype)


def complex_pair(shape=(2, 9, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=torch.complex128).unbind()


# two pixels, with the differences 3 + 4i (or 5) and 0
OUTPUT, TARGET = torch.tensor([[4 + 4j, 2]]), torch.tensor([[1, 2 + 0j]])
HAND = {
    "L1": (L1(), 2.5, 2.5),
    "L2": (L2(), 12.5, 12.5),
    "LogL2": (LogL2(eps=0.125), 10 * math.log10(101), 10 * math.log10(101)),
    "Charbonnier": (Charbonnier(eps=12.0), (13 + 12) / 2, (13 + 12) / 2),
    # the transform of [d, 0] is [d, d] / sqrt(2), up to signs
    "Frequency l1": (Frequency(), 5 / math.sqrt(2), 5 / math.sqrt(2)),
    "Frequency l2": (Frequency(norm="l2"), 12.5, 12.5),
    # weights [1, 0] of k = [-1, 0] become [2, 0], of mean 1
    "Frequency power": (Frequency(power=1.0), 5 / math.sqrt(2), 5 / math.sqrt(2)),
    "sum": (2.0 * L1() + L2() + 0.0 * Charbonnier(), 17.5, 17.5),
}


@pytest.mark.parametrize("name", HAND)
def test_values_computed_by_hand(name):
    loss, for_complex, for_real = HAND[name]
    assert float(loss(OUTPUT, TARGET)) == pytest.approx(for_complex, rel=1e-6)
    real = torch.tensor([[6.0, 2.0]]), torch.tensor([[1.0, 2.0]])
    assert float(loss(*real)) == pytest.approx(for_real, rel=1e-6)


def test_the_weight_of_frequencies_is_a_ramp():
    weight = Frequency(power=2.0).weight(torch.zeros(5, 4, dtype=torch.float64))
    k = np.hypot(np.arange(-2, 3)[:, None] / 2, np.arange(-2, 2) / 2) ** 2
    np.testing.assert_allclose(weight, k / k.mean(), rtol=1e-12)
    x, y = complex_pair()
    by_hand = (weight_of := Frequency(power=1.0).weight(x.real)) * torch.fft.fftshift(
        torch.fft.fft2(torch.fft.ifftshift(x - y, (-2, -1)), norm="ortho"), (-2, -1)).abs()
    assert weight_of.mean() == pytest.approx(1)
    assert float(Frequency(power=1.0)(x, y)) == pytest.approx(float(by_hand.mean()), rel=1e-12)


def test_parseval_makes_the_squared_frequency_loss_the_mean_squared_error():
    x, y = complex_pair()
    assert float(Frequency(norm="l2")(x, y)) == pytest.approx(float(L2()(x, y)), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e6])
def test_ssim_equals_scikit_image(dtype, scale):
    output, target = (scale * x for x in volume(dtype=dtype))
    peak = float(target.max())
    slices = [structural_similarity(t.double().numpy(), o.double().numpy(), win_size=7, data_range=peak)
              for o, t in zip(output, target)]
    assert float(SSIM()(output, target)) == pytest.approx(1 - np.mean(slices), abs=1e-6)
    assert float(SSIM()(output, target)) == pytest.approx(1 - metrics.ssim(target, output), abs=1e-6)
    own = [structural_similarity(t.double().numpy(), o.double().numpy(), win_size=7, data_range=float(t.max()))
           for o, t in zip(output, target)]
    assert float(SSIM(data_range="image")(output, target)) == pytest.approx(1 - np.mean(own), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ssim_equals_fastmri(dtype):
    fastmri = pytest.importorskip("fastmri.losses", reason="needs fastmri (--no-deps), pandas, PyYAML and requests")
    output, target = volume(dtype=dtype)
    peaks = torch.tensor([2.0, 3.5, 5.0], dtype=dtype)
    for given in (peaks, peaks[1]):
        theirs = fastmri.SSIMLoss().to(dtype)(output[:, None], target[:, None], given.expand(3))
        assert float(SSIM()(output, target, given)) == pytest.approx(float(theirs), abs=1e-6)


def test_ssim_of_one_image_does_not_depend_on_others_in_the_batch():
    output, target = volume()
    together = SSIM(data_range="image")(output, target)
    alone = [SSIM()(o, t) for o, t in zip(output, target)]
    assert float(together) == pytest.approx(float(torch.stack(alone).mean()), abs=1e-12)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_equal_images_lose_nothing_and_gradients_stay_finite(loss):
    for x in (volume()[0], complex_pair((2, 9, 8))[0]):
        given = x.clone().requires_grad_()
        value = loss(given, x)
        assert float(value.detach()) == pytest.approx(1e-3 if isinstance(loss, Charbonnier) else 0, abs=1e-12)
        value.backward()
        assert torch.isfinite(torch.view_as_real(given.grad) if given.is_complex() else given.grad).all()


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_gradients_against_finite_differences(loss, kind):
    x, y = complex_pair() if kind == "complex" else (v[:2, :9, :8].contiguous() for v in volume())
    assert torch.autograd.gradcheck(lambda v: loss(v, y), x.clone().requires_grad_())


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_a_global_phase_changes_nothing(loss):
    x, y = complex_pair()
    turn = np.exp(0.8j)
    assert float(loss(turn * x, turn * y)) == pytest.approx(float(loss(x, y)), rel=1e-10)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_nan_stays_nan_and_inputs_are_not_changed(loss):
    output, target = volume()
    kept = output.clone(), target.clone()
    loss(output, target)
    assert torch.equal(kept[0], output)
    assert torch.equal(kept[1], target)
    output[1, 9, 9] = math.nan
    assert math.isnan(float(loss(output, target)))
    assert math.isnan(float(loss(target, output)))


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_compared_in_single(loss, dtype):
    output, target = (v.to(dtype) for v in volume())
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(output, target)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(output.float(), target.float())), abs=1e-6)


def test_the_grammar():
    x, y = volume()
    loss = np.float64(0.5) * (0.84 * SSIM() + 0.16 * L1()) + L2()
    assert repr(loss) == "0.42 * SSIM() + 0.08 * L1() + 1 * L2()"
    expected = 0.42 * SSIM()(x, y) + 0.08 * L1()(x, y) + L2()(x, y)
    assert float(loss(x, y)) == pytest.approx(float(expected), rel=1e-12)
    assert loss.parts(x, y) == {repr(part): pytest.approx(float(part(x, y))) for part in (SSIM(), L1(), L2())}
    assert float((0.84 * SSIM())(x, y, 7.0)) == pytest.approx(0.84 * float(SSIM()(x, y, 7.0)))
    with pytest.raises(TypeError, match="unsupported"):
        L1() + 1.0


def test_from_config():
    x, y = volume()
    table = {"SSIM": {"weight": 0.84, "data_range": "image"}, "L1": 0.16, "Frequency": {"norm": "l2"}}
    loss = losses.from_config(table)
    assert repr(loss) == "0.84 * SSIM(data_range='image') + 0.16 * L1() + 1 * Frequency(norm='l2', power=0)"
    expected = 0.84 * SSIM(data_range="image") + 0.16 * L1() + Frequency(norm="l2")
    assert float(loss(x, y)) == float(expected(x, y))
    assert table["SSIM"] == {"weight": 0.84, "data_range": "image"}
    assert set(losses.LOSSES) == {"L1", "L2", "LogL2", "Charbonnier", "SSIM", "Frequency", "Perceptual"}


ONE = torch.ones(8, 8)
BAD = {
    "numpy": (lambda: L1()(ONE.numpy(), ONE), TypeError, "output must be a float or complex tensor"),
    "whole numbers": (lambda: L1()(ONE, ONE.int()), TypeError, "target must be"),
    "shapes": (lambda: L1()(ONE, ONE[None]), ValueError, "output has shape"),
    "a row": (lambda: L1()(ONE[0], ONE[0]), ValueError, "must be the same"),
    "empty": (lambda: L1()(ONE[:0], ONE[:0]), ValueError, "must be the same"),
    "real against complex": (lambda: L1()(ONE, ONE + 0j), TypeError, "take abs"),
    "small image": (lambda: SSIM()(ONE[:6], ONE[:6]), ValueError, "needs 7x7"),
    "no signal": (lambda: SSIM()(ONE, 0 * ONE), ValueError, "give data_range"),
    "range 0": (lambda: SSIM()(ONE, ONE, 0.0), ValueError, "data_range must be > 0"),
    "ranges": (lambda: SSIM()(ONE[None], ONE[None], torch.ones(3)), ValueError, "data_range has shape"),
    "even window": (lambda: SSIM(window=6), ValueError, "window must be odd"),
    "kind of range": (lambda: SSIM(data_range="slice"), ValueError, "volume, image"),
    "eps": (lambda: Charbonnier(eps=0.0), ValueError, "eps must be > 0"),
    "norm": (lambda: Frequency(norm="l3"), ValueError, "norm must be one of"),
    "weight": (lambda: -1.0 * L1(), ValueError, "weight must be >= 0"),
    "weight of text": (lambda: L1() * "2", TypeError, "weight must be a real number"),
    "no table": (lambda: losses.from_config("L1"), TypeError, "must be a table"),
    "empty table": (lambda: losses.from_config({}), ValueError, "at least one of L1"),
    "unknown": (lambda: losses.from_config({"LPIPS": 1.0}), ValueError, "must be one of L1"),
    "unknown argument": (lambda: losses.from_config({"L1": {"eps": 1}}), ValueError, "L1 has no argument 'eps'"),
    "text for weight": (lambda: losses.from_config({"L1": "1"}), TypeError, "weight of L1"),
    "all weights 0": (lambda: losses.from_config({"L1": 0}), ValueError, "nothing would be learned"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as error:
        call()
    assert "\n" not in str(error.value)
