"""Trained networks on disk: safetensors with their model card inside, and public DnCNN files as they are."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from pisolve import _check
from pisolve._types import PathLike
from pisolve.io import atomic
from pisolve.io.door import reading
from pisolve.io.tensors import Foreign, check_tensors, read_plain
from pisolve.nets.architectures import ARCHITECTURES
from pisolve.nets.blocks import BUILDERS, describe
from pisolve.nets.cards import CARD, markdown
from pisolve.nets.published import DRUNet, FFDNet
from pisolve.nets.recognise import CHAINS, one_of_many, recognise, unpacked
from pisolve.nets.unet import UNet
from pisolve.nets.unrolled import Unrolled
from pisolve.nets.weights import building
from pisolve.priors.adapter import Denoiser

_SHIPPED = Path(__file__).parent / "weights"


def available() -> list[str]:
    """The names of the networks that ship with pisolve, for `load`; those of denoisers hold the word denoiser."""
    return sorted(path.stem for path in _SHIPPED.glob("*.safetensors"))


def card(name: str) -> str:
    """The model card of a shipped network: data, licence, training and figures, as Markdown."""
    _check.choice("name", name, available())
    return (_SHIPPED / f"{name}.md").read_text(encoding="utf-8")


def load(name_or_path: Any, *, channels: str = "auto", level: float | str | None = None, scale: float = 1.0,
         offset: float = 0.0, rescale: bool = False, phases: int = 1,
         architecture: str | None = None, noise: float | None = None) -> Denoiser | torch.nn.Module:
    """A trained network, in eval mode, from a shipped name or a weights file.

    Of a denoiser it is the `Denoiser` D(x, sigma) on complex images; a reconstruction network (with an attribute
    `needs_maps`) comes as it is, for `pi.recon(scan, network=...)`.

    Files are `.safetensors` written by `save`, or state dicts as `.safetensors`, `.pth` or `.pt`, such as those of the
    KAIR model zoo, of a DnCNN (with batch norm, too, which is folded), an IRCNN, FFDNet, DRUNet or fastMRI's U-Net,
    grey or complex; all sizes are read from them. They may lie in a checkpoint (`params_ema`, `state_dict`, ...) and
    their names begin with `module.` or the like. Pickled code is never run. The file's own training level and range
    stand in a denoiser's `note`, and the arguments in the result's `source`, so that a recipe can load it again (a
    relative path from the same folder).

    Args:
        name_or_path: one of `available()`, or the path of a file.
        channels, scale, offset, rescale, phases: as for `Denoiser`; not for reconstruction networks.
        level: the one sigma that a network was trained for that is not told sigma (DnCNN, IRCNN, U-Net), in the units
            of the image (the network's own divided by `scale`); "blind" for one trained on a range of sigmas. None:
            from the file, else from a name such as dncnn_gray_25, which is 25/255. Of IRCNN's file of 25 networks
            that for this level is taken.
        noise: of a reconstruction network that is told the noise (`needs_noise`): this one, the standard deviation of
            the real and of the imaginary part of a sample in a recipe's units; None: that of each scan.
        architecture: "DnCNN" or "IRCNN" for a file of seven convolutions whose name does not tell, since its tensors
            do not.

    Raises:
        ValueError: no such name or file, a corrupt or pickled file, weights that fit no known network or two of them, a
            network whose level is not known, or options of a denoiser for another network.

    Reference:
        Zhang et al., "Beyond a Gaussian denoiser", IEEE TIP 26 (2017); github.com/cszn/KAIR.
    """
    path = Path(name_or_path)
    if str(name_or_path) in available():
        path = _SHIPPED / f"{name_or_path}.safetensors"
    if not path.is_file():
        raise ValueError(f"no network {str(name_or_path)!r}: give the path of a file, or one of "
                         f"{', '.join(available())}")
    if isinstance(level, str):
        _check.choice("level", level, ("blind",))
    _check.choice("architecture", architecture, (None, *CHAINS))
    given = _options(channels, level, scale, offset, rescale, phases)
    given |= {} if architecture is None else {"architecture": architecture}
    with reading(path, "weights"):
        network = _made(path, given, architecture=architecture, channels=channels, level=level, scale=scale,
                        offset=offset, rescale=rescale, phases=phases)
    network.source = {"name_or_path": str(name_or_path), **given}
    if noise is not None and not getattr(network, "needs_noise", False):
        raise ValueError(f"noise has no effect on {path.name}, which is not told it: leave it out")
    return network if noise is None else network.told(noise)


def _made(path: Path, given: dict, *, architecture, level, scale, **options) -> Denoiser | torch.nn.Module:
    """The network of a file; see `load`."""
    weights, about = _read(path, level if level is None or level == "blind" else level * scale)
    if "architecture" in about:
        if architecture is not None:
            raise ValueError(f"architecture has no effect on {path.name}, which says itself what it is: leave it out")
        network, note = _rebuild(about, weights, path), about.get("note", "")
        if level is None and about.get("level") is not None:
            level = about["level"] / scale
    else:
        network, weights = recognise(weights, path, architecture)
        note = f"{type(network).__name__} of {path.name}"
        if level is None and not isinstance(network, DRUNet | FFDNet):
            level, note = _level_and_note(path, scale, note)
    try:
        network.load_state_dict(weights, strict=True)  # half-precision weights become float32 in it
    except RuntimeError as error:
        raise ValueError(f"{path.name} does not fit {type(network).__name__}: {str(error).splitlines()[-1]}") from error
    network.eval().requires_grad_(False)
    if not hasattr(network, "needs_maps") and not hasattr(network, "makes_maps"):
        network = Denoiser(network, level=None if level == "blind" else level, scale=scale, note=str(note), **options)
    elif given:
        raise ValueError(f"{path.name} is a reconstruction network: {', '.join(given)} has no effect on it")
    return network


def build(architecture: str, config: dict[str, Any]) -> torch.nn.Module:
    """The network of this name in `ARCHITECTURES` and this configuration, with fresh weights.

    A value {"architecture": ..., "config": ...} inside the configuration is a network within the network, and
    {"weights": name or path} one that starts from what `load` finds there, to be trained further; of an unrolled
    network it is the (first) denoiser. Other keys beside "weights" change its configuration, such as the activation.

    Raises:
        ValueError: a name that is not known here, or no such weights.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no network {_check.brief(architecture)}: known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture](**{name: _inner(value) for name, value in config.items()})


BUILDERS.append(build)


def _inner(value):
    if isinstance(value, list | tuple):
        return [_inner(v) for v in value]
    if isinstance(value, dict) and "weights" in value:
        return begun(**value)
    return build(**value) if isinstance(value, dict) and set(value) == {"architecture", "config"} else value


def begun(weights: str, **changes: Any) -> torch.nn.Module:
    """The denoiser with these weights, to be trained further, in a configuration with these changes.

    Raises:
        ValueError: no such weights, or changes that they do not fit.
    """
    network = load(weights)
    network = network.parts[0] if isinstance(network, Unrolled) else getattr(network, "network", network)
    if changes:
        known = set(network.config) | ({"activation"} if isinstance(network, UNet) else set())
        for name in changes:
            _check.choice(f"what is changed of the network of {weights!r}", name, sorted(known))
        new = build(type(network).__name__, {**network.config, **changes})
        try:
            new.load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise ValueError(f"the weights of {weights!r} do not fit a network with {changes}: change what leaves "
                             "their shapes alone, such as activation") from error
        network = new
    return network.requires_grad_(True)


def rounded(module: torch.nn.Module, dtype: str = "float16") -> torch.nn.Module:
    """A copy whose weights are rounded as `save(..., dtype=...)` stores them: what a card's figures are measured on.

    Raises:
        ValueError: a weight that leaves the range of the dtype.
    """
    new = copy.deepcopy(module)
    new.load_state_dict(_stored(module, dtype))
    return new


def figures_of(module: torch.nn.Module, path: Path, dtype: str | None) -> list[dict] | None:
    """The figures of the card in the file at `path`, where it holds this module's weights as `save` stores them."""
    if not path.is_file():
        return None
    weights, about = _read(path)
    now = _stored(module, dtype)
    same = weights.keys() == now.keys() and all(torch.equal(weights[n], now[n]) for n in now)
    return about.get("figures") if same else None


def _stored(module, dtype: str | None) -> dict:
    """The tensors of a module as a file holds them."""
    _check.choice("dtype", dtype, (None, "float32", "float16", "bfloat16"))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    if dtype is not None:
        weights = {n: w.to(getattr(torch, dtype)) if w.is_floating_point() else w for n, w in weights.items()}
    bad = [name for name, w in weights.items() if not torch.isfinite(w).all()]
    if bad:
        raise ValueError(f"{bad[0]} holds NaN or Inf in {dtype or 'its dtype'}: the training failed, or dtype is too "
                         "small for it")
    return weights


def named_level(path) -> float | str | None:
    """The sigma, for images in [0, 1], that a name in the KAIR model zoo's manner tells: dncnn_gray_25 is 25/255.

    Returns:
        the level, "blind" for a name that says so, None for any other name.
    """
    stem = Path(path).stem
    match = re.fullmatch(r"dncnn(?:_gray)?_(\d+)", stem)
    if match and int(match[1]):
        return int(match[1]) / 255
    return "blind" if "blind" in stem else None


def save(module: torch.nn.Module, path: PathLike, card: dict[str, Any], *, dtype: str | None = None) -> None:
    """Write a network's weights and its model card: `path` (.safetensors) and a readable .md beside it.

    Args:
        module: a network of this package; its `config` rebuilds it.
        path: the file to write, ending in .safetensors; written whole or not at all.
        card: what a user must know. Needed: "data" and "licence" (of the training data), "noise_range" (smallest and
            largest sigma), "intensity_range", "seed", "figures" (a list of dicts: the rows of a table). Optional:
            "title", "note" (one line, shown by `Denoiser.describe`), "level" (the only sigma, in the network's units),
            "training" and "limits" (text), "caption" (of the table).
        dtype: None: weights as they are; "float16" or "bfloat16" halves the file, `load` makes float32 of it. Measure
            the card's figures on `rounded(module, dtype)`.

    Raises:
        TypeError: a module of another package, or one inside it, which `load` could not rebuild.
        ValueError: a card without one of the needed entries, a path with another ending, weights that are not finite.
    """
    architecture = type(module).__name__
    if ARCHITECTURES.get(architecture) is not type(module):
        raise TypeError(f"module must be one of {', '.join(ARCHITECTURES)}, which load can rebuild, got {architecture}")
    about = json.loads(json.dumps(describe(module)))  # TypeError where it holds more than plain values
    with torch.random.fork_rng(devices=[]):  # the fresh weights cost no random number of a training
        again = build(**about)
    if again.state_dict().keys() != module.state_dict().keys():
        raise TypeError(f"the config of this {architecture} does not rebuild it: its weights have other names")
    missing = [key for key in CARD if key not in card]
    if missing:
        raise ValueError(f"card lacks {', '.join(missing)}: a user must know these before relying on the network")
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name}")
    about, weights = {**card, **about}, _stored(module, dtype)
    blob = safetensors.torch.save(weights, metadata={"pisolve": json.dumps(about)})
    size = sum(tensor.numel() for tensor in weights.values())
    _write(path, blob)
    _write(path.with_suffix(".md"), markdown(path.stem, about, size).encode())


def _write(path: Path, blob: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(blob)


def _read(path: Path, level=None) -> tuple[dict, dict]:
    """The tensors of a file and what it says about itself ({} for files that are not of this package)."""
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("pisolve", "{}"))
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is no dict
        except (ImportError, Warning, MemoryError, PermissionError):
            raise
        except Exception as error:  # of the parsers of a header that somebody else wrote
            raise Foreign(f"{path.name} is no file of plain weights ({type(error).__name__}): it is corrupt or of "
                          "something else; write it by nets.save") from error
    else:
        weights, about = read_plain(path), {}
    weights = one_of_many(unpacked(weights), path, level)
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError(f"{path.name} holds no state dict (names and tensors): save module.state_dict()")
    check_tensors(path, weights)
    if not isinstance(about, dict):
        raise ValueError(f"{path.name} says of itself {_check.brief(about)}: it was not written by nets.save")
    return weights, about


def _rebuild(about: dict, weights: dict, path: Path) -> torch.nn.Module:
    most = 2 * sum(tensor.numel() for tensor in weights.values()) + 10_000
    try:
        with building(most):
            return build(about["architecture"], about["config"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, RecursionError, IndexError,
            ArithmeticError) as error:
        raise ValueError(f"{path.name} names the network {_check.brief(about['architecture'])} with a configuration "
                         "unknown here: it was written by another version of pisolve") from error


def _options(channels, level, scale, offset, rescale, phases) -> dict:
    """The checked options of `load` that are not its defaults, as plain values."""
    level = level if isinstance(level, str) else _check.number("level", level, low=0, strict=True, allow_none=True)
    given = {"channels": channels, "level": level, "scale": _check.number("scale", scale, low=0, strict=True),
             "offset": _check.number("offset", offset), "rescale": bool(rescale),
             "phases": _check.integer("phases", phases, low=1)}
    default = {"channels": "auto", "level": None, "scale": 1.0, "offset": 0.0, "rescale": False, "phases": 1}
    return {name: value for name, value in given.items() if value != default[name]}


def _level_and_note(path: Path, scale: float, note: str) -> tuple[float | str, str]:
    """The level that a file's name tells, in the units of the image, and the note that says so."""
    own = named_level(path)
    if own is None:
        raise ValueError(f"the noise level of {path.name} is not known: give level=, the sigma it was trained for on "
                         "images in [0, 1] (25/255, say) divided by scale, or level='blind'")
    if own == "blind":
        return own, f"{note}, blind by its name"
    return own / scale, f"{note}, sigma {own * 255:.0f}/255 in the network's units, by its file name"
