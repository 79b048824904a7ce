"""Which network a state dict of another package belongs to, told by the names and shapes of its tensors."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch

from pisolve.nets._fastmri import unet_sizes
from pisolve.nets.blocks import DnCNN
from pisolve.nets.fastmri_unet import FastMRIUNet
from pisolve.nets.published import IRCNN, DRUNet, FFDNet

INSIDE = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net", "network")  # of a checkpoint
CHAINS = ("DnCNN", "IRCNN")  # whose tensors are called and shaped alike
_EPS = {"model": 1e-4, "dncnn": 1e-5}  # of batch norm: KAIR's, and torch's own as in DnCNN-PyTorch; no file tells it
_LEVELS = 25  # networks in a file of IRCNN, for sigma 2/255, 4/255 .. 50/255


def unpacked(content):
    """The state dict in what a file held: from inside a checkpoint, the averaged weights first."""
    while isinstance(content, dict):
        found = next((content[key] for key in INSIDE if isinstance(content.get(key), dict)), None)
        if found is None:
            return {k: v for k, v in content.items() if k != "n_averaged"}
        content = found
    return content


def one_of_many(content, path: Path, level: float | None):
    """The network for a level, in the file's units, of a file that holds one for each of several levels."""
    if not isinstance(content, dict) or set(content) != {str(k) for k in range(_LEVELS)}:
        return content
    if not isinstance(level, float):
        raise ValueError(f"{path.name} holds {_LEVELS} networks, for sigma 2/255, 4/255 .. {2 * _LEVELS}/255: give "
                         "level=, the sigma of the one to take divided by scale, such as 25/255")
    return content[str(min(max(math.ceil(level * 255 / 2 - 1e-6) - 1, 0), _LEVELS - 1))]


def recognise(weights: dict, path: Path, architecture: str | None = None) -> tuple[torch.nn.Module, dict]:
    """(network with fresh weights, the weights under its names): batch norm is folded into the convolutions.

    Names may have prefixes that all of them share, such as "module." of `nn.DataParallel`.

    Args:
        weights: a state dict.
        path: of the file, whose name may tell what the tensors do not.
        architecture: one of `CHAINS`, where a file's name does not tell.

    Raises:
        ValueError: no network known here, or two that it may be.
    """
    given = weights
    while True:
        for reader in (_drunet, _unet, _chain):
            found = reader(weights, path, architecture)
            if found is not None:
                kind = type(found[0]).__name__
                if architecture not in (None, kind):
                    raise ValueError(f"architecture is {architecture!r}, but the tensors of {path.name} are those of a "
                                     f"{kind}: leave architecture out")
                return found
        first = {name.partition(".")[0] for name in weights}
        if len(first) > 1 or not all("." in name for name in weights):
            raise ValueError(f"{path.name} is no DnCNN (model.0.weight, model.2.weight, ...), IRCNN, FFDNet, DRUNet or "
                             f"U-Net of fastMRI, it has {next(iter(given))}: build your network, load its state dict "
                             "and give it to pisolve.Denoiser")
        weights = {name.partition(".")[2]: tensor for name, tensor in weights.items()}


def _drunet(weights, path, architecture):
    if not {"m_head.weight", "m_tail.weight", "m_down3.1.weight", "m_body.res.0.weight"} <= set(weights) and \
            not {"m_head.weight", "m_tail.weight", "m_body.0.res.0.weight"} <= set(weights):
        return None
    blocks = len({n.split(".")[1] for n in weights if n.startswith("m_up1.") and ".res." in n})
    widths = [weights[f"m_up{k}.0.weight"].shape[1] for k in (1, 2, 3)] + [weights["m_up3.0.weight"].shape[0]]
    head, tail = weights["m_head.weight"], weights["m_tail.weight"]
    _images(path, head.shape[1] - 1, tail.shape[0])
    return DRUNet(tail.shape[0], widths, blocks, "m_head.bias" in weights), weights


def _unet(weights, path, architecture):
    if "down_sample_layers.0.layers.0.weight" not in weights:
        return None
    sizes = unet_sizes("", weights)
    _images(path, sizes["in_chans"], sizes["out_chans"])
    return FastMRIUNet(**sizes), weights


def _chain(weights, path, architecture):
    """A chain of 3x3 convolutions `model.0.weight`, ...: DnCNN, with batch norm or without, IRCNN or FFDNet."""
    name = next((n for n in _EPS if f"{n}.0.weight" in weights), None)
    if name is None or not all(re.fullmatch(rf"{name}\.\d+\.\w+", key) for key in weights):
        return None
    places = sorted({int(key.split(".")[1]) for key in weights})
    part = {k: {key.split(".")[2]: v for key, v in weights.items() if key.split(".")[1] == str(k)} for k in places}
    convs = [k for k in places if part[k].get("weight", torch.zeros(())).ndim == 4]
    norms = [k for k in places if "running_var" in part[k]]
    first, last = part[convs[0]]["weight"], part[convs[-1]]["weight"]
    expected = [0, *range(2, 3 * len(convs) - 3, 3)] if norms else list(range(0, 2 * len(convs), 2))
    if len(convs) < 2 or convs != expected or sorted(convs + norms) != places or first.shape[2:] != (3, 3):
        return None
    chain, depth, width = _folded(part, convs, norms, _EPS[name]), len(convs), first.shape[0]
    if first.shape[1] == last.shape[0] + 1 and last.shape[0] % 4 == 0:
        _images(path, last.shape[0] // 4, last.shape[0] // 4)
        return FFDNet(last.shape[0] // 4, depth, width), chain
    _images(path, first.shape[1], last.shape[0])
    if depth == 7 and not norms and _kind(path, architecture) == "IRCNN":
        return IRCNN(last.shape[0], width), chain
    return DnCNN(last.shape[0], depth, width, bias="model.0.bias" in chain), chain


def _folded(part, convs, norms, eps) -> dict:
    """The convolutions' tensors under DnCNN's names, each with the batch norm behind it folded in."""
    out, bias = {}, bool(norms) or "bias" in part[convs[0]]
    for k, place in enumerate(convs):
        weight = part[place]["weight"]
        shift = part[place].get("bias", torch.zeros(len(weight)))
        if place + 1 in norms:
            norm = {n: v.double() for n, v in part[place + 1].items()}
            factor = norm.get("weight", 1) / (norm["running_var"] + eps).sqrt()
            shift = ((shift.double() - norm["running_mean"]) * factor + norm.get("bias", 0)).to(weight.dtype)
            weight = (weight.double() * factor[:, None, None, None]).to(weight.dtype)
        out[f"model.{2 * k}.weight"] = weight
        if bias:
            out[f"model.{2 * k}.bias"] = shift
    return out


def _kind(path, architecture) -> str:
    """DnCNN or IRCNN, which seven convolutions of the same shapes do not tell."""
    named = [kind for kind in CHAINS if kind.lower() in path.stem.lower()]
    if architecture is None and len(named) != 1:
        raise ValueError(f"{path.name} may be a DnCNN of seven convolutions or an IRCNN, whose dilations no file "
                         "tells: give architecture='DnCNN' or architecture='IRCNN'")
    return architecture or named[0]


def _images(path, first, last) -> None:
    """Refuse a network for other images than grey or complex ones."""
    if first != last or first not in (1, 2):
        raise ValueError(f"{path.name} is a network from {first} to {last} channels: one (grey) or two (complex), the "
                         "same in and out, are needed")
