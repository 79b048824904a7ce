"""How a denoiser runs a torch module: complex images become float planes, any size is padded to what it takes."""

from __future__ import annotations

import inspect
from contextlib import contextmanager

from pisolve import _check, backend

_PIXELS = 2**19  # per call of a network: 64 float32 feature channels of them take 128 MiB
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # that are tried where a network refuses a size


@contextmanager
def ready(network, gradients: bool):
    """The network in eval mode, its own mode restored afterwards; without `gradients` none are recorded."""
    import torch

    modes = [m for m in network.modules() if m.training]
    if modes:
        network.eval()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled() and gradients):
            yield
    finally:
        for module in modes:
            module.training = True


def chunks(d, tensor):
    """(images (n, y, x), one of the network's weights or None) for one call of the network after another."""
    height, width = tensor.shape[-2:]
    weight = next(d.network.parameters(), None)
    images = tensor.reshape(-1, height, width)
    return ((part, weight) for part in images.split(max(1, _PIXELS // (height * width))))


def run(d, x, sigma):
    """Fold leading axes into the batch, in chunks, and run the module on x's values as torch tensors."""
    import torch

    with backend.joined(x), ready(d.network, _check.is_torch(x)):
        tensor = backend.to_torch(x)
        follow(d.network, x, tensor)
        parts = [_forward(d, part, sigma, weight) for part, weight in chunks(d, tensor)]
        result = parts[0] if len(parts) == 1 else torch.cat(parts)
        result = result.to(tensor.device, tensor.dtype).reshape(tensor.shape)
        return result if _check.is_torch(x) else backend.from_torch(result, x)


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
        for part, weight in chunks(d, tensor):
            total += float(d.network.potential(with_map(d, *planes_of(d, part, sigma, weight))).double().sum())
    return total


def planes_of(d, x, sigma, weight):
    """The planes (B, C, y, x) of complex images (n, y, x), in new memory, and the level (B, 1, 1, 1) or None."""
    import torch

    if d.channels == "complex":
        planes = torch.stack([x.real, x.imag], 1)
    elif d.channels == "parts":
        planes = torch.cat([x.real, x.imag])[:, None]
    else:
        planes = backend.magnitude(x)[:, None]
    if (d.scale, d.offset) != (1, 0):
        planes = planes * d.scale + d.offset
    if weight is not None:
        planes = planes.to(weight.device, weight.dtype)
    if d.noise_input is None:
        return planes, None
    level = torch.as_tensor(sigma, dtype=planes.dtype, device=planes.device).reshape(1, 1, 1, 1) * d.scale
    return planes, level.expand(len(planes), 1, 1, 1)


def with_map(d, planes, level):
    """What a network gets whose noise level, if any, is a further channel."""
    import torch

    if level is None:
        return planes
    return torch.cat([planes, level.expand(-1, 1, *planes.shape[-2:])], 1)


def _answer(d, planes, level):
    """The network's answer, (B, C, y, x): padded to sizes that it takes and cropped; it gets memory of its own."""
    import torch

    failure, tried = None, set()
    for multiple in [d.multiple] if d.fixed else [m for m in _MULTIPLES if m >= d.multiple]:
        given = pad_to_multiple(planes, multiple)
        if given.shape in tried:
            continue
        tried.add(given.shape)
        arguments = (given.clone() if given is planes else given,)
        if d.noise_input == "map":
            arguments = (with_map(d, given, level),)
        elif d.noise_input == "scalar":
            arguments += (level,)
        try:
            out = d.network(*arguments)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # a size or a number of channels that it cannot take
            failure = failure or (f"failed on {tuple(arguments[0].shape)}: {str(error).splitlines()[0][:120]}", error)
            continue
        if not torch.is_tensor(out) or not out.is_floating_point():
            got = out.dtype if torch.is_tensor(out) else type(out).__name__
            raise TypeError(f"{d.name} must return a float tensor (B, C, y, x), got {got}: wrap it so that it "
                            "does")
        if out.shape == given.shape:
            d.multiple = multiple
            return out[..., : planes.shape[-2], : planes.shape[-1]]
        failure = failure or (f"returned shape {tuple(out.shape)} for {tuple(given.shape)}", None)
    raise ValueError(f"{d.name} {failure[0]}: set channels, noise_input or multiple to what the network was "
                     "trained with") from failure[1]


def _forward(d, x, sigma, weight):
    """One chunk (n, y, x) of complex torch images through the module, all in new memory."""
    import torch

    planes, level = planes_of(d, x, sigma, weight)
    out = _answer(d, planes, level)
    out = planes - out if d.residual else out
    if (d.scale, d.offset) != (1, 0):
        out = (out - d.offset) / d.scale
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
    """Pad a tensor (B, C, y, x) below and on the right to multiples of `multiple`: reflected, repeated if too small."""
    import torch

    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not (bottom or right):
        return x
    mode = "reflect" if bottom < height and right < width else "replicate"
    return torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)


def choose(network, channels: str, noise_input: str | None) -> tuple[str, str | None]:
    """The automatic settings of a module, from the channels of its first and last convolution."""
    if "auto" not in (channels, noise_input):
        return channels, noise_input
    import torch

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    first, last = (layers[0].in_channels, layers[-1].out_channels) if layers else (0, 0)
    images = {"complex": 2, "parts": 1, "magnitude": 1, "auto": last}[channels]
    if noise_input == "auto":
        noise_input = "scalar" if _takes_sigma(network) else {0: None, 1: "map"}.get(first - images)
    more = {None: (0,), "map": (1,), "scalar": (0, 1)}[noise_input]  # those who take sigma may make the map themselves
    fits = images == last in (1, 2) and first - images in more
    if not fits:
        seen = f"{first} to {last} channels" if layers else "no Conv2d"
        raise ValueError(f"the input of {type(network).__name__} cannot be told from its layers ({seen}): give "
                         "channels='complex', 'parts' or 'magnitude', and noise_input='map', 'scalar' or None")
    return ({1: "parts", 2: "complex"}[last] if channels == "auto" else channels), noise_input


def _takes_sigma(network) -> bool:
    """Whether a module's forward has a second argument that it needs, or that is called a noise level."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [p for p in inspect.signature(network.forward).parameters.values() if p.kind in positional]
    return len(arguments) > 1 and (arguments[1].default is inspect.Parameter.empty
                                   or arguments[1].name in ("sigma", "noise", "noise_level", "level"))
