"""What a torch module takes: images or volumes, how many channels, and how it is told the noise level.

It is read from the module's convolutions and the arguments of its `forward`, in wrappers that of the module inside;
where the layers do not tell, a small image that is tried does. What cannot be known is refused, never guessed.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager

LEVELS = ("sigma", "sigmas", "noise", "noise_level", "noise_std", "noise_sigma", "noise_map", "sigma_map", "level",
          "std", "stddev")  # what an argument is called that is a noise level
FORMS = ("scalar", "float", "vector")  # of a second argument, in the order in which they are tried
SECOND = (*FORMS, "field")
_CONVOLUTIONS = {"Conv2d": 2, "ConvTranspose2d": 2, "Conv3d": 3, "ConvTranspose3d": 3}
_SIDE = {2: 64, 3: 32}  # of an image that is tried: a multiple of what most networks need
_EMPTY = inspect.Parameter.empty


@contextmanager
def ready(network, gradients: bool):
    """The network in eval mode, its own mode restored afterwards; without `gradients` none are recorded."""
    import torch

    modes = [m for m in network.modules() if getattr(m, "training", False)]  # a frozen one has no mode
    if modes:
        network.eval()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled() and gradients):
            yield
    finally:
        for module in modes:
            module.training = True


def inside(network):
    """The module in wrappers that pass everything on: of `torch.compile`, `nn.DataParallel` and their like."""
    while True:
        inner = getattr(network, "_orig_mod", None)
        if inner is None and any(p.kind is p.VAR_POSITIONAL for p in _parameters(network)):
            inner = getattr(network, "module", None)
        if not hasattr(inner, "forward"):
            return network
        network = inner


def _parameters(network) -> list:
    """The parameters of a module's `forward`, without self; of a TorchScript module those of its schema."""
    if hasattr(network, "_c"):
        return [inspect.Parameter(a.name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                                  default=a.default_value if a.has_default_value() else _EMPTY)
                for a in network._c._get_method("forward").schema.arguments[1:]]
    return list(inspect.signature(network.forward).parameters.values())


def level_argument(network) -> str | bool | None:
    """How `forward` takes a noise level: True as its second argument, a str by this keyword, False not at all.

    None: it cannot be known.
    """
    parameters = _parameters(inside(network))
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) > 1 and (positional[1].default is _EMPTY or positional[1].name in LEVELS):
        return True
    further = [p for p in parameters if p not in positional[:1]]
    named = [p.name for p in further if p.name in LEVELS and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if named:
        return named[0]
    # a flag is no noise level; a number, None or *args may be one
    known = all(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and isinstance(p.default, bool | str) for p in further)
    return False if known else None


def convolutions(network) -> list:
    """(spatial axes, channels in, channels out) of the convolutions, in the order in which the module lists them."""
    import torch

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    return [(m.weight.ndim - 2, m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, kinds)]


def spatial_axes(network, ndim: int | None) -> int:
    """2 or 3: the axes that a network's convolutions run over, or what was given.

    Raises:
        ValueError: convolutions of both kinds.
    """
    if ndim is not None:
        return ndim
    found = {n for n, _, _ in convolutions(network)}
    found |= {_CONVOLUTIONS[name] for name in (getattr(m, "original_name", None) for m in network.modules())
              if name in _CONVOLUTIONS}  # of TorchScript
    if not found:
        found = {t.ndim - 2 for t in constants(network) if t.ndim in (4, 5)}
    if len(found) > 1:
        raise ValueError(f"{type(network).__name__} has convolutions over two axes and over three: give ndim=2 for one "
                         "that takes images (B, C, y, x), ndim=3 for volumes (B, C, z, y, x)")
    return found.pop() if found else 2


def constants(network) -> list:
    """The float tensors in the graph of a frozen TorchScript module, which has no parameters."""
    import torch

    if not hasattr(network, "_c") or next(network.parameters(), None) is not None:
        return []
    values = (node.output().toIValue() for node in network.graph.findAllNodes("prim::Constant"))
    return [v for v in values if torch.is_tensor(v) and v.is_floating_point()]


def choose(network, channels: str, noise_input: str | None, ndim: int) -> tuple[str, str | None]:
    """The automatic settings of a module, from the channels of its first and last convolution, or by trying.

    Raises:
        ValueError: nothing fits, or more than one thing does; a noise level that cannot be told from `forward`.
    """
    if "auto" not in (channels, noise_input):
        return channels, noise_input
    if any(p.is_complex() for p in network.parameters()):
        channels = "native" if channels == "auto" else channels
    if noise_input == "auto":
        takes = level_argument(network)
        if takes is None:
            raise ValueError(f"the arguments of {type(network).__name__}.forward do not tell whether one of them is a "
                             "noise level: give noise_input='scalar' where the second is, else 'map' or None")
        noise_input = getattr(inside(network), "level_input", "scalar") if takes else "auto"
    layers = [(a, b) for n, a, b in convolutions(network) if n == ndim]
    first, last = (layers[0][0], layers[-1][1]) if layers else (0, 0)
    for way in ([_by_layers(first, last, channels, noise_input)] if layers else []) + [None]:
        found = way or _by_trying(network, channels, noise_input, ndim)
        if found is not None:
            return found
    seen = f"{first} to {last} channels" if layers else f"no Conv{ndim}d"
    raise ValueError(f"the input of {type(network).__name__} cannot be told from its layers ({seen}): give "
                     "channels='complex', 'parts', 'magnitude' or 'native', and noise_input='map', 'scalar' or None")


_IMAGES = {"complex": 2, "parts": 1, "magnitude": 1, "native": 1}


def _by_layers(first, last, channels, noise_input) -> tuple | None:
    """(channels, noise_input) that fit the first and last convolution, else None."""
    images = _IMAGES.get(channels, last)
    if noise_input == "auto":
        noise_input = {0: None, 1: "map"}.get(first - images)
    more = {None: (0,), "map": (1,)}.get(noise_input, (0, 1))  # those who take sigma may make the map themselves
    if images != last or last not in (1, 2) or first - images not in more:
        return None
    return ({1: "parts", 2: "complex"}[last] if channels == "auto" else channels), noise_input


def _by_trying(network, channels, noise_input, ndim) -> tuple | None:
    """The one pair (channels, noise_input) with which the network answers an image of its channels, else None."""
    import torch

    weight = next(network.parameters(), torch.zeros(()))
    noise, keyword = torch.Generator().manual_seed(0), level_argument(network)
    fits = []
    for one in ("complex", "parts") if channels == "auto" else (channels,):
        for told in (None, "map") if noise_input == "auto" else (noise_input,):
            size = (1, _IMAGES[one] + (told == "map"), *[_SIDE[ndim]] * ndim)
            given = torch.rand(size, generator=noise).to(weight.device, weight.dtype)
            level = torch.full((1,) * (ndim + 2), 0.1).to(weight.device, weight.real.dtype)
            if any(_answers(network, given, way, _IMAGES[one]) for _, *way in seconds(keyword, told, level)):
                fits.append((one, told))
    return fits[0] if len(fits) == 1 else None


def _answers(network, given, way, images) -> bool:
    """Whether the network returns `images` channels of the size of what it is given."""
    import torch

    try:
        with ready(network, False):
            out = network(given.clone(), *way[0], **way[1])
    except REFUSALS:
        return False
    return torch.is_tensor(out) and out.shape == (1, images, *given.shape[2:])


REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)  # what a module raises at a wrong argument


def seconds(keyword, noise_input, level, first: str | None = None) -> list:
    """What goes behind the image, (form, values, keywords), in every form that `noise_input` leaves open.

    Args:
        keyword: what `level_argument` said.
        noise_input: as of `Denoiser`.
        level: (B, 1, ...) or a map of it, None where there is none.
        first: the form to begin with.
    """
    if noise_input not in SECOND:
        return [(None, (), {})]
    forms = sorted(FORMS, key=lambda form: form != first) if noise_input == "scalar" else [noise_input]
    values = [(form, _formed(form, level)) for form in forms if form != "float" or _one_number(level)]
    return [(form, (), {keyword: v}) if isinstance(keyword, str) else (form, (v,), {}) for form, v in values]


def potential_takes_level(network) -> bool:
    """Whether a module's `potential` is called as potential(x, sigma), not as potential(x)."""
    takes = [p for p in inspect.signature(inside(network).potential).parameters.values()
             if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(takes) > 1 and (takes[1].default is _EMPTY or takes[1].name in LEVELS)


def _formed(form, level):
    """A level (B, 1, ...) as a network wants it: as it is, a float, or (B,)."""
    if form == "float":
        return float(level.flatten()[0])
    return level.reshape(len(level)) if form == "vector" else level


def _one_number(level) -> bool:
    """Whether a float says all of a level: not of several, nor of one whose derivative is asked for."""
    return not level.requires_grad and bool((level == level.flatten()[0]).all())


def takes_two(f) -> bool:
    """Whether a function can be called as f(x, sigma); a module, and what does not say its arguments, is believed."""
    if hasattr(f, "forward"):
        return True
    try:
        arguments = inspect.signature(f)
    except (TypeError, ValueError):
        return True
    try:
        arguments.bind(None, None)
    except TypeError:
        return False
    return True
