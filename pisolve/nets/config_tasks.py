"""The tasks that a configuration file names, on the images, files and simulations that it names."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.nets import data
from pisolve.nets.adversarial import AdversarialTask
from pisolve.nets.datasets import FastMRI, Simulated, lines
from pisolve.nets.deepsense import MapsTask
from pisolve.nets.denoising import Denoising
from pisolve.nets.reconstruction import SSDU, ReconstructionTask, needs_maps
from pisolve.nets.series import Movies
from pisolve.nets.simulate import Simulation
from pisolve.nets.tiled import Tiled, Tiling
from pisolve.nets.unsupervised import DualDomainCycle, EquivariantImaging, Noise2Recon

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


def _reconstruction(kind, values, given, loss, network):
    make = {"volumes": _simulated, "fastmri": _files, "tiled": _tiled, "movies": _movies}
    source = _check.choice("[data] kind", given.pop("kind", "volumes"), make)
    maps = "espirit" if needs_maps(network) else None
    examples, validation = make[source](given, values.get("batch_size", 1), maps)
    return made("task", kind, values, examples=examples, validation=validation, loss_function=loss)


def _maps(values, given, loss, network):
    if loss is not None:
        raise ValueError("[loss] has no effect on kind = 'maps', which has a loss of its own: leave it out")
    if given.pop("kind", "volumes") != "volumes":
        raise ValueError("[data] kind must be 'volumes' for kind = 'maps': only simulated scans have true maps")
    examples, validation = _simulated(given, values.get("batch_size", 1), "true")
    return made("task", MapsTask, values, examples=examples, validation=validation)


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
    pattern = None if pattern == "own" else lines(pattern, accel, center, axis=axis)  # as they were measured
    return FastMRI(folder, pattern, maps=maps), FastMRI(other, pattern, maps=maps) if other else ()


def _tiled(given, group, maps):
    """Cuts of the reflections of training images, or of the slices of fastMRI's files where there are no volumes."""
    drawn = {f.name: given.pop(f.name) for f in dataclasses.fields(Tiling) if f.name in given}
    folder, number, seed = _taken(given, folder=os.environ.get("PISOLVE_DATA"), validation=8, seed=0)
    settings = made("data", Tiling, drawn | {"maps": None if maps is None else "true"})
    if (Path(folder) / "volumes").is_dir():
        images = data.training_images(folder, natural=0.0, whole=True)
        held = [abs(x) for found in data.held_out_images(folder, step=1).values() for x in found[::2]]
    else:
        images = held = _Magnitudes(FastMRI(folder, maps=None))
    return (Tiled(images, settings, length=10000, seed=seed),
            Tiled(held, dataclasses.replace(settings, augment=False), length=number, seed=seed + 1))


def _movies(given, group, maps):
    """Series of the frames of a movie."""
    drawn = {f.name: given.pop(f.name) for f in dataclasses.fields(Simulation) if f.name in given}
    folder, frames, number, seed = _taken(given, folder=os.environ.get("PISOLVE_DATA"), frames=8, validation=2, seed=0)
    settings, (own, held) = made("data", Simulation, {"maps": maps} | drawn), data.movies(folder)
    return (Movies(own, settings, frames=frames, seed=seed),
            Movies(held, settings, frames=frames, length=number, seed=seed + 1))


class _Magnitudes:
    """The true magnitudes of a data set's slices, read one at a time."""

    def __init__(self, slices):
        self.slices = slices

    def __len__(self):
        return len(self.slices)

    def __getitem__(self, item):
        return self.slices[item].rss[0].numpy()


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


KINDS = {"reconstruction": ReconstructionTask, "adversarial": AdversarialTask, "ssdu": SSDU,
         "equivariant": EquivariantImaging, "noise2recon": Noise2Recon, "cycle": DualDomainCycle}
TASKS = {"denoising": _denoising, "maps": _maps} | {
    name: partial(_reconstruction, kind) for name, kind in KINDS.items()}
