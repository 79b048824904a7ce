"""A training from a TOML file: network, data, task, loss and settings by name; weights with their card at the end."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import torch

from pisolve import _check
from pisolve.io.door import reading
from pisolve.io.held import refuse_busy
from pisolve.nets import data, losses, parallel, store
from pisolve.nets.config_tasks import TASKS, made
from pisolve.nets.run import Training
from pisolve.nets.train import train
from pisolve.nets.weights import building

SECTIONS = ("network", "data", "task", "loss", "training", "card")
_MOST = 1 << 20  # bytes of a configuration
_CARD = ("title", "data", "licence", "limits", "note", "remark", "dtype")


def read(path) -> dict:
    """A configuration file as a dict of its sections.

    Raises:
        ValueError: no such file, no valid TOML, an unknown section, or no [network] architecture or [task] kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give a configuration such as examples/configs/denoiser-fast.toml")
    if path.stat().st_size > _MOST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {_MOST:,}: this is no configuration")
    with reading(path, "TOML"):
        return _sections(path)


def _sections(path: Path) -> dict:
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid TOML: {error}") from error
    for name, section in config.items():
        _check.choice("a section", name, SECTIONS)
        if not isinstance(section, dict):
            raise ValueError(f"{name} must be a section [{name}] with keys, got {_check.brief(section)}")
    for name, key, known in (("network", "architecture", store.ARCHITECTURES), ("task", "kind", TASKS)):
        if key not in config.get(name, {}):
            raise ValueError(f"{path} lacks {key} in [{name}]: one of {', '.join(known)}")
    return config


def build(config: dict[str, Any]):
    """(network, task, settings) of a configuration; the weights start from the seed of [training].

    Raises:
        ValueError: an unknown kind or key, or a value out of range; it names the section.
        TypeError: a value of the wrong kind.
    """
    settings = made("training", Training, config.get("training", {}))
    values = dict(config["network"])
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        try:
            with building():
                network = store.build(values.pop("architecture"), values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"[network]: {error}") from error
    values = dict(config["task"])
    kind = _check.choice("[task] kind", values.pop("kind"), TASKS)
    loss = losses.from_config(config["loss"]) if "loss" in config else None
    return network, TASKS[kind](values, dict(config.get("data", {})), loss, network), settings


def run(path, *, out=None, resume: bool = False, progress: bool = False) -> Path | None:
    """Train what the file at `path` says; in the folder `out` NAME.safetensors and its card NAME.md are written.

    Args:
        path: the configuration; NAME is its stem.
        out: folder of the checkpoint, the log and the weights; None: a folder NAME here.
        resume: go on from the checkpoint in `out`.
        progress: show a bar.

    Returns:
        the path of the weights, in the process that wrote them; None in others of the same training.
    """
    path, config = Path(path), read(path)
    folder = Path(out) if out is not None else Path(path.stem)
    weights = folder / f"{path.stem}.safetensors"
    _refuse_overwriting(weights, config)
    refuse_busy(folder)
    with reading(path, "a training"):
        device = Training(device=config.get("training", {}).get("device", "cpu")).resolved_device()
    with parallel.processes(device) as group:
        network, task, settings, about = ready(path, config)
        network = train(network, task, settings, folder=folder, resume=resume, progress=progress)
        if not group.first:
            return None
        dtype = about.pop("dtype", None)
        about["figures"] = task.figures(network if dtype is None else store.rounded(network, dtype))
        store.save(network, weights, about, dtype=dtype)
        return weights


def ready(path, config: dict):
    """(network, task, settings, card without figures) of the configuration that was read at `path`.

    Raises:
        As `build`; the message names the file.
    """
    with reading(path, "a training"):
        network, task, settings = build(config)
        return network, task, settings, card(config, task, settings)


def _refuse_overwriting(weights: Path, value) -> None:
    """Refuse weights that would be written over those which the configuration begins with."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _refuse_overwriting(weights, part)
    elif isinstance(value, str) and "\0" not in value and weights.exists() and os.path.isfile(value) and (
            os.path.samefile(value, weights)):
        raise ValueError(f"{weights} is read by this configuration, and would be written over: give another folder, or "
                         "the configuration another name")


def card(config, task, settings) -> dict[str, Any]:
    """The model card but for its figures; what cannot be known here has to be in [card]."""
    given = dict(config.get("card", {}))
    for key in given:
        _check.choice("a key of [card]", key, _CARD)
    remark = given.pop("remark", "")
    card = {"seed": settings.seed, **task.card(), **given}
    low = "" if settings.precision == "float32" else f", the first {settings.low_share:.0%} in {settings.precision}"
    card["training"] = (f"{settings.steps} steps, {card['training']}Adam at {settings.lr:g} with a cosine{low}, "
                        f"average of the weights ({settings.ema:g}). {remark}").strip()
    source = config.get("data", {})
    if source.get("kind", "volumes") == "volumes":
        card = {"data": data.describe(source.get("natural", 0.05)), "licence": data.LICENCE} | card
    for key in ("data", "licence"):
        if key not in card:
            raise ValueError(f"[card] lacks {key}: say what the training data are, and under which licence")
    return card
