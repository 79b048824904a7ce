"""The tasks that a configuration file names, on the images, files and simulations that it names."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.nets import data
from pisolve.nets.adversarial import AdversarialTask
from pisolve.nets.datasets import FastMRI, Simulated, lines
from pisolve.nets.denoising import Denoising
from pisolve.nets.reconstruction import SSDU, ReconstructionTask, needs_maps
from pisolve.nets.simulate import Simulation

PROFILES = slice(16, 32)  # coils of maps/neonatal_32ch.h5 that trainings may use; the others are held out


def made(section: str, make, values: dict, **more):
    """make(**values, **more) of a dataclass; keys that it does not know are errors that name the section.

    Raises:
        ValueError: an unknown key.
    """
    usual = {f.name: f.default for f in dataclasses.fields(make) if f.name not in more}
    _known(section, values, {n: None if v is dataclasses.MISSING else v for n, v in usual.items()})
    return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}, **more)


def _denoising(values, given, loss, network):
    _, folder, natural = _taken(given, kind="volumes", folder=os.environ.get("PISOLVE_DATA"), natural=0.05)
    return made("task", Denoising, values, images=data.training_images(folder, natural=natural),
                held_out=data.held_out_images(folder), loss_function=loss)


def _reconstruction(values, given, loss, network, kind=ReconstructionTask):
    make = {"volumes": _simulated, "fastmri": _files}
    source = _check.choice("[data] kind", given.pop("kind", "volumes"), make)
    maps = "espirit" if needs_maps(network) else None
    examples, validation = make[source](given, values.get("batch_size", 1), maps)
    return made("task", kind, values, examples=examples, validation=validation, loss_function=loss)


def _ssdu(values, given, loss, network):
    return _reconstruction(values, given, loss, network, SSDU)


def _adversarial(values, given, loss, network):
    return _reconstruction(values, given, loss, network, AdversarialTask)


def _simulated(given, group, maps):
    """Simulated scans of the training images, and some of the held-out images for validation."""
    drawn = {f.name: given.pop(f.name) for f in dataclasses.fields(Simulation) if f.name in given}
    folder, natural, number, seed = _taken(given, folder=os.environ.get("PISOLVE_DATA"), natural=0.05, validation=8,
                                           seed=0)
    settings = made("data", Simulation, {"maps": maps} | drawn)
    held = [abs(x) for images in data.held_out_images(folder, step=1).values() for x in images[::2]]
    return (Simulated(data.training_images(folder, natural=natural, whole=True), settings, group=group, seed=seed,
                      profiles=_profiles(folder)),
            Simulated(held, settings, length=number, seed=seed + 1))


def _files(given, group, maps):
    """fastMRI's folders."""
    folder, other, pattern, accel, center, axis = _taken(
        given, folder=None, validation="", pattern="random", accel=4, center_fraction=None, axis=-1)
    accel, center = (tuple(x) if isinstance(x, list) else x for x in (accel, center))
    pattern = lines(pattern, accel, center, axis=axis)
    return FastMRI(folder, pattern, maps=maps), FastMRI(other, pattern, maps=maps) if other else ()


def _profiles(folder) -> np.ndarray | None:
    """The measured coil maps of the data folder that a training may use, None where it has none."""
    path = Path(folder) / "maps" / "neonatal_32ch.h5"
    if not path.exists():
        return None
    import h5py

    with h5py.File(path, "r") as file:
        return file["mps"][PROFILES]


def _taken(given, **defaults) -> list:
    """The values of [data] by name, with defaults; any other key is an error, and so is no folder."""
    _known("data", given, defaults)
    values = defaults | given
    if values["folder"] is None:
        raise ValueError("[data] lacks folder: give it, here or as --data, or set PISOLVE_DATA to the folder of the "
                         f"training data; {_told(defaults)}")
    return list(values.values())


def _known(section, values, defaults) -> None:
    """Refuse a key that a section does not know, with those that it does and what they are where they are left out."""
    for key in values:
        try:
            _check.choice(f"a key of [{section}]", key, defaults)
        except ValueError as error:
            raise ValueError(f"{error}; {_told(defaults)}") from None


def _told(defaults) -> str:
    """Defaults in words, those of plain values."""
    plain = [f"{name} = {list(value) if isinstance(value, tuple) else value!r}" for name, value in defaults.items()
             if isinstance(value, bool | int | float | str | tuple)]
    return f"left out they are {', '.join(plain)}"


TASKS = {"denoising": _denoising, "reconstruction": _reconstruction, "ssdu": _ssdu, "adversarial": _adversarial}
