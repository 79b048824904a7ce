"""A training from a TOML file: network, data, task, loss and settings by name; weights with their card at the end."""

from __future__ import annotations

import copy
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch

from pisolve import _check
from pisolve.io.door import reading
from pisolve.io.held import refuse_busy
from pisolve.nets import data, losses, minutes, parallel, store
from pisolve.nets.config_tasks import TASKS, made
from pisolve.nets.run import Training
from pisolve.nets.train import train
from pisolve.nets.weights import building

SECTIONS = ("network", "data", "task", "loss", "training", "card")
_MOST = 1 << 20  # bytes of a configuration
OWN = {  # of a folder alone: the smaller shipped denoiser, trained further
    "network": {"weights": "denoiser-fast"},
    "data": {"natural": 0.0},
    "task": {"kind": "denoising"},
    "training": {"lr": 2e-4, "warmup": 50},
    "card": {"dtype": "float16", "note": "denoiser-fast, trained further on a user's own images"},
}
MINUTES = 30  # of it
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
        if key not in config.get(name, {}) and "weights" not in config.get(name, {}):
            or_weights = ", or weights = those of a network to begin with" * (name == "network")
            raise ValueError(f"{path} lacks {key} in [{name}]: one of {', '.join(known)}{or_weights}")
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
                network = (store.begun(**values) if "architecture" not in values else
                           store.build(values.pop("architecture"), values))
        except (TypeError, ValueError) as error:
            raise ValueError(f"[network]: {error}") from error
    values = dict(config["task"])
    kind = _check.choice("[task] kind", values.pop("kind"), TASKS)
    loss = losses.from_config(config["loss"]) if "loss" in config else None
    return network, TASKS[kind](values, dict(config.get("data", {})), loss, network), settings


def run(path, *, out=None, resume: bool = False, progress: bool = False, folder=None,
        time_limit: float | None = None) -> Path | None:
    """Train what the file at `path` says; in the folder `out` NAME.safetensors and its card NAME.md are written.

    Args:
        path: the configuration; NAME is its stem. Or a folder of volumes, pictures or fully sampled scans, on which
            denoiser-fast is trained further for half an hour (`OWN`).
        out: folder of the checkpoint, the log and the weights; None: a folder NAME here.
        resume: go on from the checkpoint in `out`. Of a training that is finished nothing is measured again.
        progress: show a bar, and say when the figures of the card are measured.
        folder: of the training data, in place of [data] folder.
        time_limit: minutes that the training may take, see `minutes.settled`, in place of [training] steps.

    Returns:
        the path of the weights, in the process that wrote them; None in others of the same training.
    """
    path, name = Path(path), Path(path).stem
    if path.is_dir():
        name, config = f"denoiser-{path.resolve().name}", copy.deepcopy(OWN)
        folder, time_limit = folder or path, time_limit or MINUTES
    else:
        config = read(path)
    if folder is not None:
        config["data"] = {**config.get("data", {}), "folder": os.fspath(folder)}
    folder = Path(out) if out is not None else Path(name)
    weights = folder / f"{name}.safetensors"
    _refuse_overwriting(weights, config)
    refuse_busy(folder)
    with reading(path, "a training"):
        device = Training(device=config.get("training", {}).get("device", "cpu")).resolved_device()
    with parallel.processes(device) as group:
        network, task, settings = _built(path, config)
        settings = minutes.settled(network, task, settings, time_limit, folder, resume=resume)
        with reading(path, "a training"):
            about = card(config, task, settings)
        network = train(network, task, settings, folder=folder, resume=resume, progress=progress)
        if not group.first:
            return None
        dtype = about.pop("dtype", None)
        before = store.figures_of(network, weights, dtype) if resume else None
        if before is None and progress:
            print("trained; now the figures of the card are measured on what was held out", file=sys.stderr, flush=True)
        about["figures"] = task.figures(network if dtype is None else store.rounded(network, dtype)) if (
            before is None) else before
        store.save(network, weights, about, dtype=dtype)
        return weights


def ready(path, config: dict):
    """(network, task, settings, card without figures) of the configuration that was read at `path`.

    Raises:
        As `build`; the message names the file.
    """
    network, task, settings = _built(path, config)
    with reading(path, "a training"):
        return network, task, settings, card(config, task, settings)


def _built(path, config: dict):
    """`build`; the message names the file."""
    with reading(path, "a training"):
        return build(config)


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
    if settings.steps:
        card["training"] = (f"{settings.steps} steps, {card['training']}Adam at {settings.lr:g} with a cosine{low}, "
                            f"average of the weights ({settings.ema:g}). {remark}").strip()
    else:
        card["training"] = f"no step of its own. {remark}".strip()
    source = config.get("data", {})
    if source.get("kind", "volumes") == "volumes":
        folder = source.get("folder", os.environ.get("PISOLVE_DATA"))
        licence = data.LICENCE if data.is_ours(folder) else "that of the images in the folder, which nobody stated"
        card = {"data": data.describe(source.get("natural", 0.05), folder), "licence": licence} | card
    for key in ("data", "licence"):
        if key not in card:
            raise ValueError(f"[card] lacks {key}: say what the training data are, and under which licence")
    return card
