"""The training task of denoisers: random complex images, Gaussian noise of random levels, and their PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pisolve import _check
from pisolve.nets.data import draw
from pisolve.nets.parallel import share
from pisolve.priors import TV


@dataclass(frozen=True)
class Denoising:
    """Denoise complex images: minimise over the weights the mean over images x, sigma and noise n of
    log(||D(x + sigma n, sigma) - x||^2 / (N sigma^2) + 0.003), the mean PSNR, so that every noise level counts alike.

    Every image of step k is drawn from (seed, k, its number), by `data.draw`.

    Args:
        images: magnitude images (y, x) float32, each with a 99th percentile of about 1, such as `training_images`.
        held_out: complex images (y, x) for validation, in a list or in lists by name.
        batch_size: images a step.
        size: their side in pixels.
        sigma: smallest and largest noise level, the standard deviation of the real and of the imaginary part each;
            three quarters are drawn evenly in log(sigma), the rest evenly in sigma.
        scale: range of the 99th percentile of |x|.
        sigmas: noise levels of the validation.
        loss_function: another loss of (output, target), complex tensors (B, y, x), in place of the one above.
        seed: of everything that is drawn.

    Raises:
        ValueError: no images, or numbers out of range.
    """

    images: Sequence[np.ndarray] = field(repr=False)
    held_out: Sequence[np.ndarray] | dict[str, Any] = field(default=(), repr=False)
    batch_size: int = 8
    size: int = 96
    sigma: tuple[float, float] = (0.003, 0.25)
    scale: tuple[float, float] = (0.3, 1.5)
    sigmas: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    loss_function: Callable[..., Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not len(self.images):
            raise ValueError("images is empty: give at least one magnitude image to train on")
        _check.integer("batch_size", self.batch_size, low=1, high=1 << 14)
        _check.integer("size", self.size, low=4)
        _check.integer("seed", self.seed, low=0)
        for name in ("sigma", "scale"):
            low, high = (_check.number(name, v, low=0, strict=True) for v in getattr(self, name))
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got {getattr(self, name)}")

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        names = ("batch_size", "size", "sigma", "scale", "seed")
        return {n: getattr(self, n) for n in names} | {"images": len(self.images), "loss": repr(self.loss_function)}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[torch.Tensor, ...]:
        """Clean (B, 2, S, S), noisy with the noise-level map (B, 3, S, S), and sigma (B, 1, 1, 1)."""
        clean, noise, sigmas = [], [], []
        for place in share(self.batch_size, rank, world):
            rng = np.random.default_rng([self.seed, step, place])
            clean.append(draw(self.images, rng, size=self.size, scale=self.scale))
            low, high = self.sigma
            sigmas.append(rng.uniform(low, high) if rng.random() < 0.25 else
                          math.exp(rng.uniform(math.log(low), math.log(high))))
            noise.append(torch.from_numpy(rng.standard_normal(clean[-1].shape, dtype=np.float32)))
        clean, sigma = torch.stack(clean), torch.tensor(sigmas)[:, None, None, None]
        level = sigma.expand(-1, 1, *clean.shape[-2:])
        return clean, torch.cat([clean + sigma * torch.stack(noise), level], 1), sigma

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        clean, noisy, sigma = batch
        output = network(noisy).float()
        if self.loss_function is not None:
            return self.loss_function(_complex(output), _complex(clean))
        error = (output - clean).square().mean((1, 2, 3))
        return torch.log(error / sigma.flatten().square() + 0.003).mean()

    def validate(self, network: Any) -> dict[str, float]:
        """The PSNR in dB at every noise level, by "psnr_LEVEL", or "NAME_psnr_LEVEL" where the images have names."""
        return {f"{name}{'_' * bool(name)}psnr_{s:g}": value for name, images in self._groups("").items() if len(images)
                for s, value in zip(self.sigmas, psnr(network, images, self.sigmas))}

    def card(self) -> dict[str, Any]:
        """What a model card says of this task."""
        own = repr(self.loss_function) if self.loss_function is not None else "log(MSE / sigma^2 + 0.003)"
        return {"noise_range": list(self.sigma),
                "intensity_range": f"99th percentile of |x| between {self.scale[0]:g} and {self.scale[1]:g}",
                "training": f"{self.batch_size} images of {self.size}x{self.size} each, loss {own}, ",
                "caption": "Mean PSNR in dB, peak max|x|, error mean |e|^2, on images held out of the training. TV: "
                           "its weight the best of 6 on these very images."}

    def figures(self, network: Any) -> list[dict[str, Any]]:
        """Rows of the card: mean PSNR of the noisy images, of TV at its best of 6 weights, and of the network."""
        rows = []
        for name, images in self._groups("validation").items():
            if not len(images):
                continue
            noisy, own = (psnr(f, images, self.sigmas) for f in (lambda x: x[:, :2], network))
            tv = np.max([psnr(_total_variation(w), images, self.sigmas) for w in np.geomspace(0.4, 1.8, 6)], axis=0)
            rows += [{"images": name, "sigma": s, "noisy": f"{n:.2f}", "TV": f"{t:.2f}", "network": f"{p:.2f}"}
                     for s, n, t, p in zip(self.sigmas, noisy, tv, own)]
        return rows

    def _groups(self, name: str) -> dict[str, Any]:
        """The validation images in lists by name; `name` is that of a list without one."""
        return self.held_out if isinstance(self.held_out, dict) else {name: self.held_out}

    def picture(self, network: Any, sigma: float = 0.1) -> np.ndarray:
        """Noisy, denoised and clean magnitude of the first validation image, side by side."""
        images = [i for group in self._groups("").values() for i in group]
        if not len(images):
            return np.zeros((1, 1))
        clean, noisy = _noisy(images[0], sigma, np.random.default_rng(0))
        with torch.no_grad():
            output = _run(network, noisy)
        sizes = [x[0, :2].norm(dim=0).numpy() for x in (noisy, output, clean)]
        return np.clip(np.hstack(sizes) / sizes[2].max(), 0, 1)


def psnr(network: Callable[..., Any], images: Sequence[np.ndarray], sigmas: Sequence[float], *,
         seed: int = 0) -> list[float]:
    """Mean PSNR in dB on complex images (y, x) at each noise level; peak max|x|, error mean |e|^2.

    `network` is a module or any function from (1, 3, y, x), noisy parts and noise level, to (1, 2, y, x).
    """
    if isinstance(network, torch.nn.Module):
        network.eval()
    out = []
    with torch.no_grad():
        for sigma in sigmas:
            rng, values = np.random.default_rng(seed), []
            for image in images:
                clean, noisy = _noisy(image, sigma, rng)
                error = 2 * (_run(network, noisy) - clean).square().mean()
                values.append(10 * math.log10(float(np.abs(image).max()) ** 2 / float(error)))
            out.append(float(np.mean(values)))
    return out


def _noisy(image, sigma, rng):
    """The clean parts (1, 2, y, x) and the noisy ones with their noise level (1, 3, y, x)."""
    clean = torch.view_as_real(torch.from_numpy(image.astype(np.complex64))).permute(2, 0, 1)[None]
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    return clean, torch.cat([clean + sigma * noise, torch.full_like(clean[:, :1], sigma)], 1)


def _run(network, noisy):
    """The network's output on the CPU, wherever its weights are."""
    first = next(network.parameters(), None) if isinstance(network, torch.nn.Module) else None
    return network(noisy if first is None else noisy.to(first.device)).float().cpu()


def _total_variation(weight):
    """The prox of complex TV, weight times the noise level, in the form of a network."""
    def denoise(x):
        parts = x[0].numpy()
        out = TV().prox(parts[0] + 1j * parts[1], weight * float(parts[2, 0, 0]))
        return torch.from_numpy(np.stack([out.real, out.imag]))[None]

    return denoise


def _complex(parts):
    return torch.complex(parts[:, 0], parts[:, 1])
