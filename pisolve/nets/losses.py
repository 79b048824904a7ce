"""Losses for training, and their weighted sums: `0.84 * SSIM() + 0.16 * L1()`.

Every loss is called `loss(output, target)` with tensors (..., y, x) of one shape, real or complex, and returns a scalar
that gradients flow through. Complex numbers are coupled: |.| is the magnitude of the complex difference. Half-precision
input is compared in single precision, outside of autocast. A NaN stays a NaN, for the training loop to see.

Reference:
    Zhao et al., "Loss functions for image restoration with neural networks", IEEE TCI 3 (2017) 47: sums of SSIM and L1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check, backend


class Loss(nn.Module):
    """What a loss is: `value(output, target, data_range)`; `lam * loss` and `loss + loss` are losses.

    `forward` checks the arguments once for all of them.
    """

    __array_ufunc__ = None  # lets numpy scalars leave `lam * loss` to us

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        """The loss of checked tensors in single or double precision, a scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    @property
    def terms(self) -> list[tuple[float, Loss]]:
        """The weighted parts of this loss."""
        return [(1.0, self)]

    def forward(self, output: torch.Tensor, target: torch.Tensor, data_range: Any = None) -> torch.Tensor:
        """The loss.

        Args:
            output: tensor (..., y, x), real or complex.
            target: tensor of the same shape and kind.
            data_range: the peak value that `SSIM` refers to, > 0: a number, or a tensor with one for each item of the
                first axis, such as fastMRI's maximum of the volume that a slice is from. None: see `SSIM`.

        Raises:
            TypeError: not tensors, or one real and the other complex.
            ValueError: shapes that differ, or fewer than two axes.
        """
        for name, x in (("output", output), ("target", target)):
            if not torch.is_tensor(x) or not (x.is_floating_point() or x.is_complex()):
                raise TypeError(f"{name} must be a float or complex tensor, got {_check.brief(getattr(x, 'dtype', x))}")
        if output.shape != target.shape or output.ndim < 2 or not output.numel():
            raise ValueError(f"output has shape {tuple(output.shape)}, target {tuple(target.shape)}: both must be the "
                             "same (..., y, x)")
        if output.is_complex() != target.is_complex():
            raise TypeError(f"output is {output.dtype}, target {target.dtype}: compare complex with complex, or take "
                            "abs() of both")
        with torch.autocast(output.device.type, enabled=False):
            return self.value(_single(output), _single(target), data_range)

    def parts(self, output: torch.Tensor, target: torch.Tensor, data_range: Any = None) -> dict[str, float]:
        """The value of every term without its weight, by its name, for a log."""
        with torch.no_grad():
            return {repr(loss): float(loss(output, target, data_range)) for _, loss in self.terms}

    def __mul__(self, weight: Any) -> Any:
        weight = _check.number("weight", weight, low=0)
        return Sum([(weight * w, loss) for w, loss in self.terms])

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Any:
        return Sum(self.terms + other.terms) if isinstance(other, Loss) else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sum(Loss):
    """sum_i w_i loss_i(output, target), what the grammar makes: L = lam_1 L_1 + lam_2 L_2 + ...

    Args:
        terms: pairs (weight >= 0, loss).
    """

    def __init__(self, terms: Any):
        super().__init__()
        self.weights = [w for w, _ in terms]
        self.losses = nn.ModuleList([loss for _, loss in terms])

    @property
    def terms(self) -> Any:
        return list(zip(self.weights, self.losses))

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        return sum(w * loss.value(output, target, data_range) for w, loss in self.terms)

    def __repr__(self):
        return " + ".join(f"{w:g} * {loss!r}" for w, loss in self.terms)


class L1(Loss):
    """mean |output - target|; for complex images mean sqrt(re^2 + im^2) of the difference."""

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        return backend.magnitude(output - target).mean()


class L2(Loss):
    """mean |output - target|^2, the mean squared error."""

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        return _square(output - target).mean()


class LogL2(Loss):
    """mean over images of 10 log10(1 + m / eps), m = mean |output - target|^2 of one: a PSNR in decibels, upside down.

    Easy images count as much as hard ones: a tenth less error is worth 0.9 dB wherever m is well above eps, where L1
    and L2 are all about the few images with large errors.

    Args:
        eps: > 0, in the image's units squared: errors below its root hardly count.
    """

    def __init__(self, *, eps: float = 1e-6):
        super().__init__()
        self.eps = _check.number("eps", eps, low=0, strict=True)

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        return (10 / math.log(10) * torch.log1p(_square(output - target).mean((-2, -1)) / self.eps)).mean()

    def __repr__(self):
        return f"LogL2(eps={self.eps:g})"


class Charbonnier(Loss):
    """mean sqrt(|output - target|^2 + eps^2): L1 with a smooth bottom of width eps.

    Args:
        eps: > 0, in the image's units.

    Reference:
        Charbonnier et al., ICIP 1994; Lai et al., "Deep Laplacian pyramid networks", CVPR 2017 (eps = 1e-3).
    """

    def __init__(self, *, eps: float = 1e-3):
        super().__init__()
        self.eps = _check.number("eps", eps, low=0, strict=True)

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        return (_square(output - target) + self.eps**2).sqrt().mean()

    def __repr__(self):
        return f"Charbonnier(eps={self.eps:g})"


class SSIM(Loss):
    """1 - mean SSIM, with (2 m n + c1)(2 s_mn + c2) / ((m^2 + n^2 + c1)(s_m^2 + s_n^2 + c2)) in uniform windows.

    fastMRI's: sample (N - 1) variances in `window` x `window` pixels that lie inside the image, c1 = (k1 L)^2,
    c2 = (k2 L)^2 with the data range L. Both images are divided by L first, so their scale has no effect. Complex
    images are compared by magnitude. One minus `metrics.ssim` for a volume.

    Args:
        window: side of the window, odd.
        k1, k2: the constants.
        data_range: what L is where the call does not give it: "volume", the maximum of the whole target (slice, y, x);
            "image", each image's own, so that in a batch of unrelated slices the loss of one does not depend on others.

    Raises:
        ValueError: images smaller than the window, or (on calling) a range that is not > 0.

    Reference:
        Wang et al., IEEE Trans Image Process 13 (2004) 600; Zbontar et al., arXiv:1811.08839; E2E-VarNet's loss.
    """

    def __init__(self, *, window: int = 7, k1: float = 0.01, k2: float = 0.03, data_range: str = "volume"):
        super().__init__()
        self.window = _check.integer("window", window, low=3)
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, got {window}")
        self.k1 = _check.number("k1", k1, low=0, strict=True)
        self.k2 = _check.number("k2", k2, low=0, strict=True)
        self.data_range = _check.choice("data_range", data_range, ("volume", "image"))

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        if min(output.shape[-2:]) < self.window:
            raise ValueError(f"output has shape {tuple(output.shape)}: SSIM needs {self.window}x{self.window} pixels")
        if output.is_complex():
            output, target = backend.magnitude(output), target.abs()
        peak = self._peak(target, data_range)
        a, b = ((x / peak).flatten(0, -3) if x.ndim > 2 else (x / peak)[None] for x in (output, target))
        means = F.avg_pool2d(torch.stack([a, b, a * a, b * b, a * b], 1), self.window, 1)
        m, n, mm, nn_, mn = means.unbind(1)
        sample = self.window**2 / (self.window**2 - 1)
        c1, c2 = self.k1**2, self.k2**2
        above = (2 * m * n + c1) * (2 * sample * (mn - m * n) + c2)
        below = (m * m + n * n + c1) * (sample * (mm - m * m + nn_ - n * n) + c2)
        return 1 - (above / below).mean()

    def _peak(self, target, given):
        """L as a tensor that broadcasts to `target`, detached."""
        if given is None:
            target = target.detach()
            given = target.amax((-2, -1), keepdim=True) if self.data_range == "image" else target.amax()
        elif not torch.is_tensor(given):
            given = torch.as_tensor(_check.number("data_range", given, low=0, strict=True))
        elif given.ndim and given.shape != target.shape[:-2][:1]:
            raise ValueError(f"data_range has shape {tuple(given.shape)}: a number, or one for each item along the "
                             f"first axis of {tuple(target.shape)} is needed")
        else:
            given = given.detach().reshape(-1, *[1] * (target.ndim - 1)) if given.ndim else given.detach()
        if bool((given <= 0).any()):  # NaN passes, into the loss
            raise ValueError("data_range of a target without a positive value is unknown: give data_range")
        return given.to(target)

    def __repr__(self):
        default = SSIM.__init__.__kwdefaults__
        return f"SSIM({', '.join(f'{k}={getattr(self, k)!r}' for k in default if getattr(self, k) != default[k])})"


class Frequency(Loss):
    """mean w(k) |F(output - target)|^p, F the centred orthonormal FFT, p = 1 or 2: errors where k-space has them.

    w(k) = r^power, r the distance from the centre of k-space over the largest along an axis, divided by its mean: fine
    detail, which has little energy, counts more. With p = 2 and power = 0 it is `L2` (Parseval).

    Args:
        norm: "l1" or "l2".
        power: >= 0; 0 weights all frequencies alike.

    Reference:
        Yang et al., "DAGAN", IEEE Trans Med Imaging 37 (2018) 1310 (the frequency-domain term, p = 2, power = 0).
    """

    def __init__(self, *, norm: str = "l1", power: float = 0.0):
        super().__init__()
        self.norm = _check.choice("norm", norm, ("l1", "l2"))
        self.power = _check.number("power", power, low=0)

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        error = backend.fft(output - target, (-2, -1))
        error = backend.magnitude(error) if self.norm == "l1" else _square(error)
        return (error * self.weight(error)).mean() if self.power else error.mean()

    def weight(self, like: torch.Tensor) -> torch.Tensor:
        """w(k), a tensor (y, x) of mean 1 of the real dtype and on the device of `like`."""
        y, x = ((torch.arange(n, device=like.device, dtype=like.dtype) - n // 2) / max(n // 2, 1)
                for n in like.shape[-2:])
        weight = torch.hypot(y[:, None], x) ** self.power
        return weight / weight.mean().clamp_min(torch.finfo(weight.dtype).tiny)  # a single pixel has no detail

    def __repr__(self):
        return f"Frequency(norm={self.norm!r}, power={self.power:g})"


LOSSES = {kind.__name__: kind for kind in (L1, L2, LogL2, Charbonnier, SSIM, Frequency)}


def from_config(table: Mapping) -> Loss:
    """The weighted sum that a table of a configuration file names.

    Args:
        table: name -> weight, as {"SSIM": 0.84, "L1": 0.16}; or name -> the weight with the loss's own arguments, as
            {"SSIM": {"weight": 0.84, "data_range": "image"}}. Names: L1, L2, LogL2, Charbonnier, SSIM,
            Frequency, Perceptual.

    Raises:
        TypeError: not a table, or a weight that is no number.
        ValueError: an empty table, an unknown name or argument, or a value out of range.
    """
    if not isinstance(table, Mapping):
        raise TypeError(f"loss must be a table of names and weights such as {{'L1': 1.0}}, got {_check.brief(table)}")
    if not table:
        raise ValueError(f"loss is an empty table: name at least one of {', '.join(LOSSES)}")
    terms = []
    for name, entry in table.items():
        _check.choice("loss", name, LOSSES)
        options = dict(entry) if isinstance(entry, Mapping) else {"weight": entry}
        weight = _check.number(f"weight of {name}", options.pop("weight", 1.0), low=0)
        known = (LOSSES[name].__init__.__kwdefaults__ or {})
        for option in options:
            if option not in known:
                raise ValueError(f"{name} has no argument {option!r}: it takes {', '.join(['weight', *known])}")
        terms.append((weight, LOSSES[name](**options)))
    if not any(weight for weight, _ in terms):
        raise ValueError("all weights of loss are 0: nothing would be learned")
    return Sum(terms)


def _square(x: torch.Tensor) -> torch.Tensor:
    """|x|^2, with a gradient at 0."""
    return x.real**2 + x.imag**2 if x.is_complex() else x * x


def _single(x: torch.Tensor) -> torch.Tensor:
    """At least single precision."""
    if x.dtype == torch.complex32:
        return x.to(torch.complex64)
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
