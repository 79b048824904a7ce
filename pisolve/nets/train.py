"""Training of the complex denoiser: random complex images from magnitude slices, and a loop that resumes exactly."""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pisolve import _check
from pisolve.io import atomic


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of one training run; the same settings and data give the same weights.

    Every step draws `batch` images of `size` x `size` pixels and a noise level of `sigma` (standard deviation of the
    real and of the imaginary part each, for images with a 99th percentile of |x| of `scale`). The learning rate `lr`
    falls along a cosine. The first `bf16` part of the steps runs in bfloat16, the rest in float32.
    """

    steps: int = 3800
    batch: int = 8
    size: int = 96
    lr: float = 1e-3
    sigma: tuple[float, float] = (0.003, 0.25)
    scale: tuple[float, float] = (0.3, 1.5)
    ema: float = 0.999
    clip: float = 1.0
    bf16: float = 0.9
    seed: int = 0


def _smooth(rng: np.random.Generator, size: int, coarsest: int, finest: int) -> torch.Tensor:
    """A smooth random field of unit standard deviation at its grid points: bicubic through a coarse random grid."""
    n = int(rng.integers(coarsest, finest + 1))
    grid = torch.from_numpy(rng.standard_normal((1, 1, n, n)).astype(np.float32))
    return F.interpolate(grid, size=(size, size), mode="bicubic", align_corners=True)[0, 0]


def _contrast(rng: np.random.Generator, x: torch.Tensor) -> torch.Tensor:
    """Another tissue contrast: a random piecewise-linear curve through 0, monotone half of the time."""
    knots = rng.uniform(0.05, 1.0, 6)
    knots = np.sort(knots) if rng.random() < 0.5 else knots
    curve = np.concatenate([[0.0], knots, knots[-1:]])
    return torch.from_numpy(np.interp(x.numpy(), [0, 0.15, 0.3, 0.5, 0.7, 0.9, 1.1, 9], curve).astype(np.float32))


def draw(images: Sequence[np.ndarray], rng: np.random.Generator, settings: Training) -> torch.Tensor:
    """One clean random training image, (2, size, size) float32: real and imaginary part.

    A magnitude image is cut out under a random shift, flip, rotation and zoom, given another contrast, a smooth
    intensity bias and a smooth phase, and scaled.

    Args:
        images: magnitude images, each with a 99th percentile of about 1.
        rng: the generator that everything is drawn from.
        settings: `size` and `scale` are used.
    """
    size = settings.size
    for _ in range(20):
        image = torch.from_numpy(images[int(rng.integers(len(images)))])
        height, width = image.shape
        plain = rng.random() < 0.4  # whole pixels and quarter turns: nothing is interpolated, all detail stays
        angle = rng.integers(4) * math.pi / 2 if plain else rng.uniform(0, 2 * math.pi)
        zoom = 1.0 if plain else rng.uniform(0.85, 1.25)
        rows, cols = torch.meshgrid(*[torch.arange(size) - (size - 1) / 2] * 2, indexing="ij")
        rows, cols = rows * (-1 if rng.random() < 0.5 else 1), cols
        centre = [rng.uniform(min(size, n) / 2 - 0.5, n - min(size, n) / 2 - 0.5) for n in (height, width)]
        if plain:
            centre = [round(c - (size - 1) / 2) + (size - 1) / 2 for c in centre]
        cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
        r = centre[0] + cosine * rows - sine * cols
        c = centre[1] + sine * rows + cosine * cols
        grid = torch.stack([(2 * c + 1) / width - 1, (2 * r + 1) / height - 1], -1)[None]
        cut = F.grid_sample(image[None, None], grid, mode="bicubic", padding_mode="reflection",
                            align_corners=False)[0, 0].clamp(min=0)
        if float((cut > 0.1).float().mean()) > 0.15:
            break
    if rng.random() < 0.4:
        cut = _contrast(rng, cut)
    if rng.random() < 0.7:
        cut = cut * torch.exp(rng.uniform(0.1, 0.5) * _smooth(rng, size, 2, 4))
    top = float(torch.quantile(cut, 0.99))
    cut = cut * (rng.uniform(*settings.scale) / max(top, 1e-3))
    phase = rng.uniform(0, 2 * math.pi) + rng.choice([0.0, 0.5, 1.5, 3.0]) * _smooth(rng, size, 2, 5)
    if rng.random() < 0.25:
        phase = phase + rng.uniform(0.1, 0.6) * _smooth(rng, size, 6, 12)
    return torch.stack([cut * torch.cos(phase), cut * torch.sin(phase)])


def batch(images: Sequence[np.ndarray], step: int, settings: Training) -> tuple[torch.Tensor, ...]:
    """The batch of one step: clean (B, 2, S, S), noisy with the noise-level map (B, 3, S, S), sigma (B, 1, 1, 1).

    Everything is drawn from `(seed, step)`, so that a resumed run sees the batches of an uninterrupted one.
    """
    rng = np.random.default_rng([settings.seed, step])
    clean = torch.stack([draw(images, rng, settings) for _ in range(settings.batch)])
    low, high = settings.sigma
    sigma = np.exp(rng.uniform(math.log(low), math.log(high), settings.batch))
    linear = rng.random(settings.batch) < 0.25
    sigma = np.where(linear, rng.uniform(low, high, settings.batch), sigma).astype(np.float32)
    sigma = torch.from_numpy(sigma)[:, None, None, None]
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    level = sigma.expand(-1, 1, *clean.shape[-2:])
    return clean, torch.cat([clean + sigma * noise, level], 1), sigma


def loss(output: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """mean over images of log(MSE / sigma^2 + 0.003): the mean PSNR, so that every noise level counts alike."""
    error = (output - clean).square().mean((1, 2, 3))
    return torch.log(error / sigma.flatten().square() + 0.003).mean()


def psnr(net: Callable, images: Sequence[np.ndarray], sigmas: Sequence[float], *, seed: int = 0) -> list[float]:
    """Mean PSNR in dB on complex images (y, x) at each noise level; peak max|x|, error mean |e|^2.

    `net` is a network or any function from (1, 3, y, x), noisy parts and noise level, to (1, 2, y, x).
    """
    if isinstance(net, torch.nn.Module):
        net.eval()
    out = []
    with torch.no_grad():
        for sigma in sigmas:
            rng, values = np.random.default_rng(seed), []
            for image in images:
                clean = torch.view_as_real(torch.from_numpy(image.astype(np.complex64))).permute(2, 0, 1)[None]
                noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
                level = torch.full_like(clean[:, :1], sigma)
                error = 2 * (net(torch.cat([clean + sigma * noise, level], 1)) - clean).square().mean()
                values.append(10 * math.log10(float(np.abs(image).max()) ** 2 / float(error)))
            out.append(float(np.mean(values)))
    return out


def _save(path: Path, state: dict) -> None:
    with atomic(path) as part:
        torch.save(state, part)


def train(net: torch.nn.Module, images: Sequence[np.ndarray], settings: Training, *, folder, held_out=(),
          sigmas=(0.01, 0.02, 0.05, 0.1, 0.2), every: int = 250, resume: bool = False) -> torch.nn.Module:
    """Train `net` in place and return it, in eval mode, with the running average of its weights.

    Adam with a cosine learning rate, gradient clipping and an exponential moving average. `folder` receives
    `checkpoint.pt` (written whole or not at all) and `log.csv` with the loss and the PSNR on `held_out`.

    Args:
        net: maps (B, 3, H, W), noisy image and noise level, to (B, 2, H, W).
        images: magnitude images (y, x) float32 that the training images are drawn from.
        settings: the run's settings.
        folder: where the checkpoint and the log are written.
        held_out: complex images (y, x) for validation.
        sigmas: the noise levels of the validation.
        every: steps between validations and checkpoints.
        resume: go on from the checkpoint in `folder`; the result is that of an uninterrupted run.

    Raises:
        ValueError: no images, or `resume` with a checkpoint of other settings.
    """
    if not len(images):
        raise ValueError("images is empty: give at least one magnitude image to train on")
    _check.integer("every", every, low=1)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "log.csv"
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.lr)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    first = 0
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["settings"] != dataclasses.asdict(settings):
            raise ValueError(f"the checkpoint in {folder} has other settings: use another folder, or resume=False")
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        average, first = state["average"], state["step"]
    elif not resume or not log.exists():
        log.write_text(",".join(["step", "seconds", "loss", *[f"psnr_{s}" for s in sigmas]]) + "\n")
    started, total = time.perf_counter(), 0.0
    for step in range(first, settings.steps):
        net.train()
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = settings.lr * warm * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps)) + 1e-6
        clean, noisy, sigma = batch(images, step, settings)
        with torch.autocast("cpu", torch.bfloat16, enabled=step < settings.bf16 * settings.steps):
            output = net(noisy)
        value = loss(output.float(), clean, sigma)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
        keep = min(settings.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, weight in net.state_dict().items():
                average[name].lerp_(weight, 1 - keep)
        total += float(value.detach())
        if (step + 1) % every == 0 or step + 1 == settings.steps:
            _save(checkpoint, {"net": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(),
                               "step": step + 1, "settings": dataclasses.asdict(settings)})
            current = {k: v.clone() for k, v in net.state_dict().items()}
            net.load_state_dict(average)
            row = [step + 1, round(time.perf_counter() - started, 1), round(total / ((step - first) % every + 1), 4)]
            row += [round(v, 3) for v in psnr(net, held_out, sigmas)] if len(held_out) else []
            net.load_state_dict(current)
            with log.open("a", newline="") as file:
                csv.writer(file).writerow(row)
            total = 0.0
    net.load_state_dict(average)
    return net.eval()
