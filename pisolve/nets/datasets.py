"""Slices as datasets for PyTorch: fastMRI's folders, scans in memory, and the simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pisolve import _check, io, masks
from pisolve._types import PathLike
from pisolve.io.fastmri import header
from pisolve.io.hdf5 import array_at, open_hdf5, text
from pisolve.io.limits import limit
from pisolve.nets.data import draw_native, draw_whole
from pisolve.nets.simulate import Simulation, measured_coils, simulate, smooth_coils
from pisolve.nets.slices import Drawn, Slices, measured
from pisolve.prepare.noise import noise_level

_FOUND = 0.1  # relative error of the noise that is found by several coils


class Simulated(Drawn):
    """Simulated slices without end: item i is drawn from (seed, i), its number of coils from (seed, i // group).

    Args:
        images: magnitude images (y, x) float32 of whole fields of view, such as `training_images(folder, whole=True)`.
        settings: what is drawn.
        profiles: measured maps (coil, y, x) complex for a share of the examples; None: random loops only.
        group: items in a row that have one number of coils and of shots, so that they fit into one batch.
        length: what `len` says, for loaders.
        seed: of everything.
    """

    images: Any
    settings: Any
    group: int | None
    length: int | None
    seed: int | None

    def __init__(self, images: Sequence[np.ndarray], settings: Simulation | None = None, *,
                 profiles: np.ndarray | None = None, group: int = 1, length: int = 10000, seed: int = 0):
        if not len(images):
            raise ValueError("images is empty: give at least one magnitude image to simulate scans of")
        self.images, self.settings = images, settings or Simulation()
        if profiles is not None and len(_check.array("profiles", profiles, ndim=3)) < self.settings.coils[0]:
            raise ValueError(f"profiles holds {len(profiles)} coils, at least {self.settings.coils[0]} are needed")
        self.profiles = profiles
        self.group: int | None = _check.integer("group", group, low=1)
        self.length: int | None = _check.integer("length", length, low=1)
        self.seed: int | None = _check.integer("seed", seed, low=0)

    def drawn(self, item: int) -> Slices:
        """Item `item`, however large it is."""
        s = self.settings
        own = np.random.default_rng([self.seed, item // self.group, 1])
        number = int(own.integers(s.coils[0], s.coils[1] + 1))
        shots = int(own.integers(s.shots[0], s.shots[1] + 1))
        for attempt in range(5):  # a centre that no maps can be made of is rare: then another example is drawn
            rng = np.random.default_rng([self.seed, item, 2, attempt])
            native = s.native > 0 and rng.random() < s.native
            size = s.size if native else s.fine * s.size
            if self.profiles is not None and number <= len(self.profiles) and rng.random() < s.measured:
                coils = measured_coils(rng, number, size, self.profiles)
            else:
                coils = smooth_coils(rng, number, size)
            if native:
                image = draw_native(self.images, rng, size=size)
            else:  # a head in air, or a part that fills the view
                image = draw_whole(self.images, rng, size=size, fill=(0.7, 1.05) if rng.random() < 0.75 else (1.3, 2.0))
            image = (image[0] + 1j * image[1]).numpy()
            coord = s.trajectory(rng, shots)
            where = {"mask": s.pattern(rng)} if coord is None else {"coord": coord, "size": (s.size, s.size)}
            try:
                return _told(simulate(image, coils, **where, noise=s.level(rng), seed=rng, maps=s.maps), rng)
            except ValueError as error:
                problem = error
        raise problem


class Scans(Dataset[Any]):
    """All slices of scans in memory, undersampled afresh.

    Args:
        scans: `Scan`s, fully sampled where `pattern` is given.
        pattern: a function of (shape, seed) to a mask (ky, kx), such as `lambda shape, seed: masks.random(shape, 4,
            seed=seed)`; None: the scans' own masks, and no truth.
        maps: "espirit" from the undersampled centre where a scan has no maps, or None for networks without.
        seed: of the patterns; item i has the seed (seed, i).
    """

    scans: Any
    pattern: Any
    maps: Any
    seed: int | None
    where: Any

    def __init__(self, scans: Sequence[io.Scan], pattern: Callable[..., Any] | None = None, *,
                 maps: str | None = "espirit", seed: int = 0):
        self.scans: Any = [s if isinstance(s, io.Scan) else _not_a_scan(s) for s in scans]
        self.pattern, self.maps = pattern, _check.choice("maps", maps, ("espirit", None))
        self.seed: int | None = _check.integer("seed", seed, low=0)
        counts = [len(s.kspace) if s.kspace.ndim == 4 else 1 for s in self.scans]
        self.where: Any = [(n, z) for n, count in enumerate(counts) for z in range(count)]

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, item: int) -> Slices:
        """`Slices` of one slice."""
        number, z = self.where[item]
        scan = self.scans[number]
        if scan.kspace.ndim == 4:
            scan = scan.select(z)
        else:
            scan = replace(scan, kspace=scan.kspace[None], axes=("slice", *scan.axes), reference=(
                None if scan.reference is None else scan.reference[None]))
        seed = (self.seed, item)
        return _sliced(scan, None if self.pattern is None else self.pattern(scan.kspace.shape, seed), self.maps)


class FastMRI(Dataset[Any]):
    """The slices of a folder of files in fastMRI's layout (.h5), read one at a time.

    With a `pattern` the masks are fastMRI's to the index: the seed of a file's mask is tuple(map(ord, its name)), and
    lines outside of the measured ones (zero padding) are left out. The truth is the file's `reconstruction_rss` (or
    `reconstruction_esc`) where there is one.

    Args:
        folder: it and its subfolders are searched, in order of their names.
        pattern: a function of (shape, seed) to a mask, as for `Scans`; None: the files' own masks (fastMRI's test
            sets).
        maps: "espirit", or None for networks without maps.

    Raises:
        ValueError: no .h5 file in the folder.

    Reference:
        Zbontar et al., fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839.
    """

    files: Any
    pattern: Any
    maps: Any
    where: Any

    def __init__(self, folder: PathLike, pattern: Callable[..., Any] | None = None, *, maps: str | None = "espirit"):
        self.files: Any = sorted(Path(folder).rglob("*.h5"))
        if not self.files:
            raise ValueError(f"{folder} holds no .h5 file: give the folder of fastMRI's files")
        self.pattern, self.maps = pattern, _check.choice("maps", maps, ("espirit", None))
        self.where: Any = []
        for number, path in enumerate(self.files):
            with open_hdf5(path, texts=False) as file:
                kspace = array_at(file, "kspace", limit(None), path)
                if kspace is None:
                    raise ValueError(f"{path} has no dataset kspace: it is no file of fastMRI's layout")
                self.where += [(number, z) for z in range(kspace.shape[0])]

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, item: int) -> Slices:
        """`Slices` of one slice."""
        number, z = self.where[item]
        path = self.files[number]
        scan = _read(path, z)
        mask = None
        if self.pattern is not None:
            mask = np.array(_check.mask("mask", self.pattern(scan.kspace.shape, tuple(map(ord, path.name))),
                                        scan.kspace.shape))
            first, last = scan.meta.get("padding", (None, None))
            if last is not None and last > 0:
                mask[:, :max(first, 0)] = mask[:, last:] = False
        return _sliced(scan, mask, self.maps)


def _told(made: Slices, rng) -> Slices:
    """With the noise as a recipe finds it: within 10 % by several coils, by outer k-space where there is one."""
    if made.kspace.shape[1] > 1:
        return replace(made, noise=made.noise * float(np.exp(_FOUND * rng.standard_normal())))
    far = None if made.coord is None else np.square(made.coord[0].numpy()).sum(-1)
    return replace(made, noise=torch.full_like(made.noise, noise_level(made.kspace[0], far=far)))


def lines(kind: str = "random", accel: float | Sequence[float] = 4, center_fraction: float | None = None, *,
          axis: int = -1) -> Callable[..., Any]:
    """A `pattern` for `Scans` and `FastMRI`: one of `pisolve.masks`' line patterns; fastMRI's lines vary along kx."""
    make = getattr(masks, _check.choice("kind", kind, ("random", "equispaced", "equispaced_fraction")))

    def pattern(shape, seed):
        return make(shape, accel, center_fraction, axis=axis, seed=seed)

    return pattern


def _read(path, z: int) -> io.Scan:
    """Slice z of a file in fastMRI's layout as a scan of one slice; the others are not read."""
    names = ("kspace", "mask", "mps", "reconstruction_rss", "reconstruction_esc")
    with open_hdf5(path, texts=False) as file:  # the whole file is not read for one slice
        stored = {name: array_at(file, name, limit(None), path) for name in names}
        per_slice = {"kspace", names[3], names[4]} | ({"mps"} if getattr(stored["mps"], "ndim", 0) == 4 else set())
        part = {n: a if a is None else a[z: z + 1] if n in per_slice else a[()] for n, a in stored.items()}
        xml = text(file, "ismrmrd_header", path)
    kspace = part["kspace"] if part["kspace"].ndim == 4 else part["kspace"][:, None]  # fastMRI's single coil
    truth = part[names[4]] if part[names[3]] is None else part[names[3]]
    return io.Scan(kspace, part["mask"], part["mps"], truth, {} if xml is None else header(xml, kspace.shape))


def _sliced(scan: io.Scan, mask, maps) -> Slices:
    """`Slices` of a scan of one slice, undersampled by `mask` where one is given."""
    full = scan.mask is None or bool(scan.mask.all())
    if mask is not None and not full:
        raise ValueError("this scan is undersampled already: leave out pattern, or give a fully sampled one")
    clean = scan.kspace[0] if full else None
    now = scan if mask is None else scan.undersample(mask)
    pattern = np.ones(scan.kspace.shape[-2:], bool) if now.mask is None else now.mask
    mps = None if maps is None or scan.mps is None else scan.mps.reshape(scan.kspace.shape[-3:])
    rss = None if scan.reference is None else np.abs(scan.reference[0])
    return measured(now.kspace[0], pattern, clean=clean, mps=mps, rss=rss, maps=maps)


def _not_a_scan(x):
    raise TypeError(f"scans must hold Scan objects, got {type(x).__name__}: pisolve.io.load makes one of a file")
