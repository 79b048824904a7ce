"""How a denoiser runs a torch module: complex images become float planes, any size is padded to what it takes."""

from __future__ import annotations

import math

from pisolve import _check, backend
from pisolve.priors._inspect import REFUSALS, inside, ready, seconds

_PIXELS = 2**19  # per call of a network: 64 float32 feature channels of them take 128 MiB
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # that are tried where a network refuses a size
__all__ = ["energy", "is_module", "pad_to_multiple", "ready", "run"]


def chunks(d, tensor, sigma):
    """(images (n, *space), their levels, one of the network's weights or None) for one call after another."""
    space = tensor.shape[-d.ndim:]
    weight = next(d.network.parameters(), d.frozen)
    count = max(1, _PIXELS // math.prod(space))
    parts = tensor.reshape(-1, *space).split(count)
    if getattr(sigma, "ndim", 0):  # of each image or pixel its own
        levels = sigma.reshape(-1, *sigma.shape[-d.ndim:]).split(count)
    else:
        levels = [sigma] * len(parts)
    return zip(parts, levels, [weight] * len(parts))


def run(d, x, sigma):
    """Fold leading axes into the batch, in chunks, and run the module on x's values as torch tensors."""
    import torch

    with backend.joined(x), ready(d.network, _check.is_torch(x)):
        tensor = backend.to_torch(x)
        follow(d.network, x, tensor)
        parts = [_forward(d, *part) for part in chunks(d, tensor, _spread(d, sigma, tensor))]
        result = parts[0] if len(parts) == 1 else torch.cat(parts)
        result = result.to(tensor.device, tensor.dtype).reshape(tensor.shape)
        return result if _check.is_torch(x) else backend.from_torch(result, x)


def _spread(d, sigma, tensor):
    """An array of levels as a tensor (..., *space) or, where each image has one, (..., 1, ...); numbers as they are."""
    if not getattr(sigma, "ndim", 0):
        return sigma
    sigma = (sigma if _check.is_torch(sigma) else backend.to_torch(sigma)).to(tensor.device, tensor.real.dtype)
    whole = (1,) * d.ndim if set(sigma.shape[-d.ndim:]) == {1} else tensor.shape[-d.ndim:]
    return sigma.expand(*tensor.shape[:-d.ndim], *whole)


def follow(network, x, tensor) -> None:
    """A network goes where a cupy array is, whose `tensor` shares its memory: no image is copied to the network."""
    weight = next(network.parameters(), None)
    if _check.is_cupy(x) and weight is not None and weight.device != tensor.device:
        network.to(tensor.device)


def energy(d, x, sigma) -> float:
    """The network's potential of all images, each part in the units that the network sees."""
    with backend.joined(x), ready(d.network, _check.is_torch(x)):
        total, tensor = 0.0, backend.to_torch(x)
        follow(d.network, x, tensor)
        for part, level, weight in chunks(d, tensor, _spread(d, sigma, tensor)):
            planes, level = planes_of(d, part, level, weight)
            given = with_map(planes, level) if d.noise_input == "map" else planes
            told = d.noise_input if d.tells_potential else None
            _, values, named = seconds(d.keyword, told, level, d.form)[0]
            total += float(inside(d.network).potential(given, *values, **named).detach().double().sum())
    return total


def planes_of(d, x, sigma, weight):
    """The planes (B, C, *space) of complex images (n, *space), in new memory, and the level (B, 1, ...) or None."""
    import torch

    if d.channels == "complex":
        planes = torch.stack([x.real, x.imag], 1)
    elif d.channels == "parts":
        planes = torch.cat([x.real, x.imag])[:, None]
    elif d.channels == "native":
        planes = x[:, None].clone().resolve_conj()
    else:
        planes = backend.magnitude(x)[:, None]
    if (d.scale, d.offset) != (1, 0):
        planes = planes * d.scale + d.offset * (1 + 1j if d.channels == "native" else 1)
    if weight is not None:
        dtype = weight.dtype if weight.is_complex() or d.channels != "native" else weight.dtype.to_complex()
        planes = planes.to(weight.device, dtype)
    if d.noise_input is None:
        return planes, None
    ones = (1,) * d.ndim
    level = torch.as_tensor(sigma, dtype=planes.real.dtype, device=planes.device)
    level = level.reshape(-1, 1, *(level.shape[-d.ndim:] if level.ndim > d.ndim else ones)) * d.scale
    if d.channels == "parts" and len(level) > 1:
        level = torch.cat([level, level])
    space = planes.shape[2:] if d.noise_input == "field" else level.shape[2:]
    return planes, level.expand(len(planes), 1, *space)


def with_map(planes, level):
    """What a network gets whose noise level is a further channel."""
    import torch

    return torch.cat([planes, level.expand(-1, 1, *planes.shape[2:]).to(planes.dtype)], 1)


def _answer(d, planes, level):
    """The network's answer, (B, C, *space): padded to sizes that it takes and cropped; it gets memory of its own."""
    import torch

    failure, tried, space = None, set(), planes.shape[2:]
    expected = REFUSALS if d.noise_input == "scalar" else RuntimeError  # a wrong size, channels, form of sigma
    for multiple in [d.multiple] if d.fixed else [m for m in _MULTIPLES if m >= d.multiple]:
        given = pad_to_multiple(planes, multiple)
        if given.shape in tried:
            continue
        tried.add(given.shape)
        noise = level if level is None or level.shape[2:] != space else pad_to_multiple(level, multiple)
        for form, values, named in seconds(d.keyword, d.noise_input, noise, d.form):
            image = with_map(given, noise) if d.noise_input == "map" else given.clone()
            try:
                out = d.network(image, *values, **named)
            except torch.OutOfMemoryError:
                raise
            except expected as error:
                said = (str(error).splitlines() or [type(error).__name__])[0][:120]
                failure = failure or (f"failed on {tuple(image.shape)}: {said}", error)
                continue
            _check_numbers(d, out)
            if out.shape == given.shape:
                d.multiple, d.form = multiple, form
                return out[(..., *map(slice, space))]
            failure = failure or (f"returned shape {tuple(out.shape)} for {tuple(given.shape)}", None)
    raise ValueError(f"{d.name} {failure[0]}: set channels, noise_input, ndim or multiple to what the network was "
                     "trained with") from failure[1]


def _check_numbers(d, out) -> None:
    import torch

    native = d.channels == "native"
    if not torch.is_tensor(out) or not (out.is_complex() if native else out.is_floating_point()):
        got = out.dtype if torch.is_tensor(out) else type(out).__name__
        space = "z, y, x" if d.ndim == 3 else "y, x"
        other = "; give channels='native' to one that takes complex ones" if torch.is_tensor(out) and not native else ""
        raise TypeError(f"{d.name} must return a {'complex' if native else 'float'} tensor (B, C, {space}), got {got}: "
                        f"wrap it so that it does{other}")


def _forward(d, x, sigma, weight):
    """One chunk (n, *space) of complex torch images through the module, all in new memory."""
    import torch

    planes, level = planes_of(d, x, sigma, weight)
    out = _answer(d, planes, level)
    out = planes - out if d.residual else out
    if (d.scale, d.offset) != (1, 0):
        out = (out - d.offset * (1 + 1j if d.channels == "native" else 1)) / d.scale
    if d.channels == "native":
        return out[:, 0]
    if out.dtype not in (torch.float32, torch.float64):
        out = out.float()  # complex needs it
    if d.channels == "complex":
        return torch.complex(out[:, 0], out[:, 1])
    if d.channels == "parts":
        n = len(x)
        return torch.complex(out[:n, 0], out[n:, 0])
    return out[:, 0] * backend.unit(x).to(out.device)


def is_module(obj) -> bool:
    """True for a `torch.nn.Module`, without importing torch."""
    return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module" for c in type(obj).__mro__)


def pad_to_multiple(x, multiple: int):
    """Pad a tensor (B, C, *space) at its ends to multiples of `multiple`: reflected, repeated where it is too small."""
    import torch

    space = x.shape[2:]
    more = [-n % multiple for n in space]
    if not any(more):
        return x
    mode = "reflect" if all(m < n for m, n in zip(more, space)) else "replicate"
    return torch.nn.functional.pad(x, [n for m in reversed(more) for n in (0, m)], mode=mode)
