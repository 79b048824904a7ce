"""Harmonisation: another scanner's images, or a network's features of them, brought to the training's statistics.

Statistics are mean and deviation of each channel, at the network's input and at chosen layers inside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from pisolve import _check
from pisolve.priors._module import ready

INPUT = ""  # the name of the network itself: its input


class Moments(NamedTuple):
    """Mean and standard deviation of each channel, (channel,)."""

    mean: torch.Tensor
    std: torch.Tensor


def statistics(network: nn.Module, samples: Iterable[Any], layers: Sequence[str] = ()) -> dict[str, Moments]:
    """Mean and deviation of each channel over all samples and pixels, of the input and of the output of some layers.

    Args:
        network: called network(x) on planes (B, channels, y, x), such as `UNet`, `SwinMR`, the `network` of a
            `Postprocessor`.
        samples: tensors (B, channels, y, x) of one site.
        layers: names out of `network.named_modules()` whose outputs are (B, channels, y, x).

    Returns:
        {"": of the input, name: of a layer}; plain tensors, which may be saved and sent: no image is in them.

    Raises:
        ValueError: no samples, no such layer, or one of another kind of output.

    Example:
        own = pi.nets.statistics(network, ours, ["head", "middle"])
    """
    sums: dict[str, list] = {}

    def add(name, x):
        _planes(name, x)
        x = x.detach().double().movedim(1, 0).flatten(1)
        new = torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(1), x.square().sum(1)])
        sums[name] = sums[name] + new if name in sums else new

    found = {name: _layer(network, name) for name in layers}
    hooks = [part.register_forward_hook(lambda m, given, out, name=name: add(name, out))
             for name, part in found.items()]
    try:
        with ready(network, False):
            for x in samples:
                add(INPUT, x)
                network(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not sums:
        raise ValueError("samples is empty: give at least one tensor (B, channels, y, x)")
    moments = {name: (total / n, square / n) for name, (n, total, square) in sums.items()}
    return {name: Moments(m.float(), (s - m.square()).clamp_min(0).sqrt().float()) for name, (m, s) in moments.items()}


@contextlib.contextmanager
def harmonise(network: nn.Module, to: dict[str, Moments], of: dict[str, Moments] | None = None) -> Iterator[nn.Module]:
    """Within the block, the network's input and layers have the statistics `to` of the site that it was trained at.

        f <- (f - m) / s * s_to + m_to,   each channel by itself

    Feature-wise, with `of`: m and s are those of the other site (`statistics` of its samples). Sample-wise, without it:
    they are those of each sample itself. Statistics of the input (the name "") are undone at the output, so that
    images come back in their own units; leave that name out to adapt layers alone. It assumes that sites differ in
    these statistics and not in what they see: where one scans heads and the other knees, it harms.

    Args:
        network: as for `statistics`, whose output has the channels of its input in front where "" is in `to`.
        to: of `statistics`, of the training's site.
        of: of the other site, for the same names; None: of each sample.

    Raises:
        ValueError: names that `of` lacks, no such layer, or another number of channels.

    Reference:
        Li et al., "Adaptive batch normalization", Pattern Recognit 80 (2018) 109 (feature-wise); Huang and Belongie,
        "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017 (sample-wise).

    Example:
        with pi.nets.harmonise(network, own, theirs):
            out = network(x)
    """
    for name in to:
        if of is not None and name not in of:
            raise ValueError(f"of lacks the statistics of {name!r}: make them with statistics(network, samples, "
                             "layers) of the same layers")
    undo, hooks = [], []

    def on_input(module, given):
        x = given[0]
        m, s = _of(INPUT, x, of)
        undo.append((m, s))
        return (_moved(INPUT, x, m, s, to), *given[1:])

    def on_output(module, given, out):
        m, s = undo.pop()
        channels = min(out.shape[1], m.shape[1])
        mean, std = _columns(to[INPUT], out)
        part = (out[:, :channels] - mean[:, :channels]) / _some(std)[:, :channels] * s[:, :channels] + m[:, :channels]
        return torch.cat([part, out[:, channels:]], 1)

    try:
        for name in to:
            part = _layer(network, name)
            if name == INPUT:
                hooks += [part.register_forward_pre_hook(on_input), part.register_forward_hook(on_output)]
            else:
                hooks.append(part.register_forward_hook(
                    lambda module, given, out, name=name: _moved(name, out, *_of(name, out, of), to)))
        yield network
    finally:
        for hook in hooks:
            hook.remove()


def _of(name, x, of):
    """Mean and deviation (B or 1, channel, 1, 1) that x is thought to have."""
    _planes(name, x)
    if of is not None:
        return _columns(of[name], x)
    return x.mean((-2, -1), keepdim=True), x.std((-2, -1), correction=0, keepdim=True)


def _moved(name, x, m, s, to):
    mean, std = _columns(to[name], x)
    if mean.shape[1] != x.shape[1] or m.shape[1] != x.shape[1]:
        raise ValueError(f"the statistics of {name!r} are of {mean.shape[1]} channels, there are {x.shape[1]}: make "
                         "them with this network")
    return (x - m) / _some(s) * std + mean


def _columns(moments, like):
    return tuple(v.to(like.device, like.dtype)[None, :, None, None] for v in moments)


def _some(std):
    """A deviation to divide by: 1 for a channel that does not vary."""
    return torch.where(std > 0, std, 1)


def _planes(name, x):
    if not torch.is_tensor(x) or x.ndim != 4:
        what = f"what layer {name!r} returns" if name else "a sample"
        raise ValueError(f"{what} must be a tensor (B, channels, y, x), got {_check.brief(getattr(x, 'shape', x))}")


def _layer(network, name):
    """A module by its name; "" is the network."""
    known = dict(network.named_modules())
    if name not in known:
        raise ValueError(f"there is no layer {name!r}: take one of {', '.join(list(known)[1:9])} ... out of "
                         "network.named_modules()")
    return known[name]
