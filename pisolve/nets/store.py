"""Trained denoisers on disk: safetensors with their model card inside, and public DnCNN files as they are."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from pisolve import _check
from pisolve.io import atomic
from pisolve.nets.blocks import DnCNN
from pisolve.nets.unet import UNet
from pisolve.priors.adapter import Denoiser

ARCHITECTURES = {"UNet": UNet, "DnCNN": DnCNN}
CARD = ("data", "licence", "noise_range", "intensity_range", "seed", "figures")
_SHIPPED = Path(__file__).parent / "weights"


def available() -> list[str]:
    """The names of the denoisers that ship with pisolve, for `load`."""
    return sorted(path.stem for path in _SHIPPED.glob("*.safetensors"))


def card(name: str) -> str:
    """The model card of a shipped denoiser: data, licence, training and figures, as Markdown."""
    _check.choice("name", name, available())
    return (_SHIPPED / f"{name}.md").read_text(encoding="utf-8")


def load(name_or_path, *, channels: str = "auto", level: float | str | None = None, scale: float = 1.0,
         offset: float = 0.0, rescale: bool = False) -> Denoiser:
    """A denoiser D(x, sigma) on complex images, in eval mode, from a shipped name or a weights file.

    Files are `.safetensors` written by `save`, or DnCNN state dicts (`model.0.weight`, `model.2.weight`, ...; depth,
    width, channels and biases are read from them) as `.safetensors`, `.pth` or `.pt`, such as those of the KAIR model
    zoo. Pickled code is never run. The file's own training level and range stand in the result's `note`, and the
    arguments in its `source`, so that a recipe can load it again (a relative path from the same folder).

    Args:
        name_or_path: one of `available()`, or the path of a file.
        channels, scale, offset, rescale: as for `Denoiser`.
        level: the one sigma that a DnCNN was trained for, in the units of the image (the network's own divided by
            `scale`); "blind" for one trained on a range of sigmas. None: from the file, else from a name such as
            dncnn_gray_25, which is 25/255.

    Raises:
        ValueError: no such name or file, a corrupt or pickled file, weights that fit no known network, or a DnCNN whose
            level is not known.

    Reference:
        Zhang et al., "Beyond a Gaussian denoiser", IEEE TIP 26 (2017); github.com/cszn/KAIR.
    """
    path = Path(name_or_path)
    if str(name_or_path) in available():
        path = _SHIPPED / f"{name_or_path}.safetensors"
    if not path.is_file():
        raise ValueError(f"no denoiser {str(name_or_path)!r}: give the path of a file, or one of "
                         f"{', '.join(available())}")
    if isinstance(level, str):
        _check.choice("level", level, ("blind",))
    given = _options(channels, level, scale, offset, rescale)
    weights, about = _read(path)
    if "architecture" in about:
        network, note = _rebuild(about, path), about.get("note", "")
        if level is None and about.get("level") is not None:
            level = about["level"] / scale
    else:
        network = _infer(weights, path)
        note = f"DnCNN of {path.name}"
        if level is None:
            level, note = _level_and_note(path, scale, note)
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path.name} does not fit {type(network).__name__}: {str(error).splitlines()[-1]}") from error
    network.eval().requires_grad_(False)
    denoiser = Denoiser(network, channels=channels, level=None if level == "blind" else level, scale=scale,
                        offset=offset, rescale=rescale, note=note)
    denoiser.source = {"name_or_path": str(name_or_path), **given}
    return denoiser


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


def save(module: torch.nn.Module, path, card: dict) -> None:
    """Write a network's weights and its model card: `path` (.safetensors) and a readable .md beside it.

    Args:
        module: a network of this package; its `config` rebuilds it.
        path: the file to write, ending in .safetensors; written whole or not at all.
        card: what a user must know. Needed: "data" and "licence" (of the training data), "noise_range" (smallest and
            largest sigma), "intensity_range", "seed", "figures" (a list of dicts: the rows of a table). Optional:
            "title", "note" (one line, shown by `Denoiser.describe`), "level" (the only sigma, in the network's units),
            "training" and "limits" (text), "caption" (of the table).

    Raises:
        TypeError: a module of another package, which `load` could not rebuild.
        ValueError: a card without one of the needed entries, or a path with another ending.
    """
    architecture = type(module).__name__
    if ARCHITECTURES.get(architecture) is not type(module):
        raise TypeError(f"module must be one of {', '.join(ARCHITECTURES)}, which load can rebuild, got {architecture}")
    missing = [key for key in CARD if key not in card]
    if missing:
        raise ValueError(f"card lacks {', '.join(missing)}: a user must know these before relying on the network")
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name}")
    about = {"architecture": architecture, "config": module.config, **card}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    blob = safetensors.torch.save(weights, metadata={"pisolve": json.dumps(about)})
    size = sum(tensor.numel() for tensor in weights.values())
    _write(path, blob)
    _write(path.with_suffix(".md"), _markdown(path.stem, about, size).encode())


def _write(path: Path, blob: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(blob)


def _read(path: Path) -> tuple[dict, dict]:
    """The tensors of a file and what it says about itself ({} for files that are not of this package)."""
    broken = (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError,
              UnicodeDecodeError, AttributeError, TypeError, ValueError)
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("pisolve", "{}"))
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is no dict
        else:
            weights, about = torch.load(path, map_location="cpu", weights_only=True), {}
    except broken as error:
        raise ValueError(f"{path.name} is no file of plain weights ({type(error).__name__}): it is corrupt or holds "
                         "pickled code; save the state dict alone, best as .safetensors") from error
    for key in ("state_dict", "params", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(v) for v in weights.values()):
        raise ValueError(f"{path.name} holds no state dict (names and tensors): save module.state_dict()")
    if not all(torch.isfinite(v).all() for v in weights.values()):
        raise ValueError(f"{path.name} holds NaN or Inf among its weights: the training failed or the file is corrupt")
    return weights, about


def _rebuild(about: dict, path: Path) -> torch.nn.Module:
    try:
        return ARCHITECTURES[about["architecture"]](**about["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} names the network {about['architecture']!r} with a configuration unknown here: "
                         "it was written by another version of pisolve") from error


def _infer(weights: dict, path: Path) -> DnCNN:
    """The DnCNN that a state dict belongs to."""
    kernels = [v for v in weights.values() if v.ndim == 4]
    keys = {f"model.{2 * n}.{part}" for n in range(len(kernels)) for part in ("weight", "bias")}
    if len(kernels) < 2 or "model.0.weight" not in weights or not set(weights) <= keys:
        raise ValueError(f"{path.name} is no DnCNN (model.0.weight, model.2.weight, ... without batch norm): build "
                         "your network, load its state dict and give it to pisolve.Denoiser")
    channels = weights["model.0.weight"].shape[1]
    if channels not in (1, 2):
        raise ValueError(f"{path.name} is a network for {channels} channels: one (grey) or two (complex) are needed")
    return DnCNN(channels, len(kernels), weights["model.0.weight"].shape[0], bias="model.0.bias" in weights)


def _options(channels, level, scale, offset, rescale) -> dict:
    """The checked options of `load` that are not its defaults, as plain values."""
    level = level if isinstance(level, str) else _check.number("level", level, low=0, strict=True, allow_none=True)
    given = {"channels": channels, "level": level, "scale": _check.number("scale", scale, low=0, strict=True),
             "offset": _check.number("offset", offset), "rescale": bool(rescale)}
    default = {"channels": "auto", "level": None, "scale": 1.0, "offset": 0.0, "rescale": False}
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


def _markdown(name: str, about: dict, size: int) -> str:
    """The model card as Markdown."""
    config = ", ".join(f"{k}={v}" for k, v in about["config"].items())
    noise, intensity = about["noise_range"], about["intensity_range"]
    lines = [f"# {about.get('title', name)}", "", f"`pisolve.nets.load({name!r})`", "",
             f"* Network: {about['architecture']}({config}), {size:,} parameters",
             f"* Training data: {about['data']}", f"* Licence of the data: {about['licence']}",
             f"* Noise: sigma {noise[0]:g} to {noise[1]:g}, the standard deviation of the real and of the imaginary "
             "part each", f"* Intensity: {intensity}", f"* Seed: {about['seed']}"]
    lines += [f"* Training: {about['training']}"] if "training" in about else []
    lines += [f"* Limits: {about['limits']}"] if "limits" in about else []
    lines += [f"* Note: {about['note']}"] if about.get("note") else []
    rows = about["figures"]
    if rows:
        head = list(rows[0])
        lines += ["", about["caption"]] if about.get("caption") else []
        lines += ["", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(str(row.get(key, "")) for key in head) + " |" for row in rows]
    return "\n".join(lines) + "\n"
