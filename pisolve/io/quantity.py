"""Maps of quantities (T1, T2, a field in Hz, ...) as files: one .h5 with all, or one NIfTI each, named by BIDS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import Axes, PathLike
from pisolve.backend import to_numpy
from pisolve.io import fastmri, nifti
from pisolve.io.atomic import atomic, together
from pisolve.io.component import described
from pisolve.io.door import reading
from pisolve.io.failure import room
from pisolve.io.files import path_of, suffix_of
from pisolve.io.hdf5 import attributes, dataset, open_hdf5
from pisolve.io.limits import limit
from pisolve.io.named import PLAIN, of_image
from pisolve.io.saving import refuse_foreign, sidecar

SUFFIXES = (".h5", ".hdf5", *nifti.SUFFIXES)
BIDS = {"t1": "T1map", "t2": "T2map", "t2star": "T2starmap", "frequency": "fieldmap", "amplitude": "S0map",
        "fat_fraction": "PDFFmap"}  # BIDS has no word for the last one
_STD, _SAID = "std", "quantities"  # a group of an .h5 and the description in a name; its attribute with the units


@dataclass(frozen=True)
class Quantity:
    """A map with its unit.

    Attributes:
        values: real, NaN where it is not determined.
        unit: "s", "Hz", or "" for a number without one.
        std: its standard deviation in the same unit, NaN where it is not known; None: nowhere.
    """

    values: np.ndarray
    unit: str = ""
    std: np.ndarray | None = None


def bids(name: str) -> str:
    """The suffix of a map's file: "t2" is T2map; a map of one's own has its name, "my_rate" is myratemap."""
    return BIDS.get(name) or "".join(c for c in name if c.isalnum()) + "map"


def files(path: PathLike, names: Any) -> dict[tuple[str, bool], Path]:
    """Where the NIfTI files of maps go: {(name, whether it is the standard deviation): path}.

    "sub-01.nii.gz" becomes sub-01_T2map.nii.gz and sub-01_desc-std_T2map.nii.gz; a suffix of BIDS that the path has
    already is taken off first.
    """
    path, end = Path(path), suffix_of(Path(path))
    stem = path.name.removesuffix(end)
    for word in (*BIDS.values(), *map(bids, names)):
        stem = stem.removesuffix(f"_{word}")
    return {(n, std): path.with_name(f"{stem}{'_desc-std' if std else ''}_{bids(n)}{end}")
            for n in names for std in (False, True)}


def check(path: PathLike, names: Any) -> None:
    """Refuse a path to which maps of these names could not be written.

    Raises:
        ValueError: another suffix, or a .json of others in the place of a description.
    """
    _check.choice("the suffix of path", suffix_of(path_of(path)), SUFFIXES)
    if suffix_of(path_of(path)) in nifti.SUFFIXES:
        _check.extra("nibabel", "nifti")
        for one in files(path, names).values():
            refuse_foreign(sidecar(one))


def save_maps(path: PathLike, maps: dict[str, Any], *, amplitude: Any = None, axes: Axes | None = None,
              meta: dict[str, Any] | None = None, recipe: Any = None, told: dict[str, Any] | None = None) -> list[Path]:
    """Write maps of quantities, complete or not there.

    An .h5 has the amplitude as `reconstruction`, which every reader of images reads, and `maps/t2`, `std/t2`, ... with
    the attribute `unit`; planes alone get an axis of slices, as images do. NIfTI has one file for each map, its
    standard deviation and the amplitude's magnitude, with BIDS' suffix, and a .json beside it with `Units`. NaN stands
    where a map is not determined.

    Args:
        path: .h5, .nii or .nii.gz.
        maps: name: `Quantity`.
        amplitude: the signal at time 0, complex or real, of the maps' shape; None: none is written.
        axes: the names of the maps' axes, such as ("slice", "y", "x").
        meta: of the scan: `affine`, `voxel_mm`, ... as for `save`.
        recipe: of the images, kept as `save` keeps it; in .h5 alone.
        told: further attributes, plain values: of the .h5, and of each .json.

    Returns:
        The files.

    Raises:
        ValueError: another suffix, maps of other shapes, meta that does not fit; a .json that pisolve has not written.
    """
    path, meta, told = path_of(path), meta or {}, told or {}
    check(path, tuple(maps))
    shape = next(iter(maps.values())).values.shape
    names = of_image(axes, shape)
    for name, q in maps.items():
        if q.values.shape != shape or (q.std is not None and q.std.shape != shape):
            raise ValueError(f"map {name!r} has shape {q.values.shape}, the first one {shape}: they must agree")
    if amplitude is not None:
        amplitude = to_numpy(_check.array("amplitude", amplitude, shape=shape, complex_=False))
    if suffix_of(path) in (".h5", ".hdf5"):
        _hdf5(path, maps, amplitude, names, meta, recipe, told)
        return [path]
    places = files(path, (*maps, "amplitude"))
    shown = PLAIN[len(shape)] if names is None else names
    written = []
    todo = [(places[n, std], n, values, q.unit, std) for n, q in maps.items()
            for std, values in ((False, q.values), (True, q.std)) if values is not None]
    if amplitude is not None:
        todo.append((places["amplitude", False], "amplitude", abs(amplitude), "arbitrary", False))
    for place, name, values, unit, std in todo:
        said = described(meta, "real", shown) | told | {"Units": unit or "1", "Quantity": name}
        said |= {"Statistic": "standard deviation"} if std else {}
        with together(place, sidecar(place)) as (temporary, beside):
            nifti.write(temporary, values.astype(np.float32), meta=meta, axes=names)
            beside.write_text(json.dumps(said, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
        written.append(place)
    return written


def _hdf5(path, maps, amplitude, names, meta, recipe, told) -> None:
    import h5py

    shape = next(iter(maps.values())).values.shape
    image = np.zeros(shape, np.complex64) if amplitude is None else amplitude.astype(np.complex64)
    kept = {n: meta[n] for n in ("voxel_mm", "affine", "affine_code") if n in meta}
    with atomic(path) as temporary:
        room(path, image.nbytes + sum(q.values.nbytes for q in maps.values()) * 2)
        units = json.dumps({n: q.unit for n, q in maps.items()})
        fastmri.write_image(temporary, image, recipe=recipe, meta=told | kept | {_SAID: units}, axes=names)
        with h5py.File(temporary, "r+") as file:
            for name, q in maps.items():
                for group, values in (("maps", q.values), (_STD, q.std)):
                    if values is not None:
                        values = values.astype(np.float32)
                        file[f"{group}/{name}"] = values.reshape(image.shape) if image.ndim > 2 else values[None]
                        file[f"{group}/{name}"].attrs["unit"] = q.unit


def load_maps(path: PathLike, *, max_bytes: int | None = None) -> dict[str, Quantity]:
    """The maps of an .h5 that `save_maps` wrote, by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, damaged, or more than `max_bytes`.
    """
    path, most = path_of(path), limit(max_bytes)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    _check.choice("the suffix of path", suffix_of(path), SUFFIXES[:2])
    with reading(path), open_hdf5(path) as file:
        units = _units(attributes(file).get(_SAID))
        found = {}
        for name, unit in units.items():
            values, std = (dataset(file, f"{group}/{name}", most, path) for group in ("maps", _STD))
            if values is not None:
                found[name] = Quantity(values.real.astype(np.float32), unit,
                                       None if std is None else std.real.astype(np.float32))
    if not found:
        raise ValueError(f"{path} holds no maps of quantities: pisolve recon --signal writes such files")
    return found


def holds_maps(path) -> bool:
    """Whether a file is an .h5 that `save_maps` wrote, so far as its head says; False where there is none."""
    path = path_of(path)
    if suffix_of(path) not in SUFFIXES[:2] or not path.is_file():
        return False
    with reading(path), open_hdf5(path) as file:
        return bool(_units(attributes(file).get(_SAID)))


def _units(said) -> dict[str, str]:
    """{name: unit} of the attribute of an .h5; nothing where it is none."""
    try:
        said = json.loads(said) if isinstance(said, str) else {}
    except (ValueError, RecursionError):
        return {}
    pairs = list(said.items())[:64] if isinstance(said, dict) else []
    return {n: unit for n, unit in pairs if isinstance(unit, str) and n.isidentifier()}
