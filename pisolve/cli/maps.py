"""Coil maps on the command line: their kinds by name, from arguments to `Maps`, and the files that `recon` reads."""

from __future__ import annotations

import numpy as np

from pisolve import io
from pisolve.cli.options import flag, given
from pisolve.io import cfl
from pisolve.io.failure import room
from pisolve.prepare import Espirit, Inati, JSense, Maps, Walsh, prepare

MAPS = {"espirit": Espirit, "walsh": Walsh, "inati": Inati, "jsense": JSense}


def maps_of_recipe(asked: dict, mps) -> Maps:
    """Recipe's `maps`; takes --maps, --map-crop and --sets out of `asked`."""
    word = asked.pop("maps", None)
    options = {field: asked.pop(name) for name, field in (("map_crop", "crop"), ("sets", "sets")) if name in asked}
    if (word or options) and mps:
        word = "map-crop" if "crop" in options else "sets" if options else "maps"
        raise ValueError(f"--{word} is for maps that are estimated: with --mps there is nothing to estimate")
    if options and word not in (None, "espirit"):
        raise ValueError(f"--map-crop and --sets are for ESPIRiT's maps, not for --maps {word}")
    return MAPS[word or "espirit"](**options)


def make_maps(a) -> Maps:
    """How `calib` makes maps; an option that these do not have is an error."""
    cls = MAPS[a.maps]
    asked = given(a, {n for kind in MAPS.values() for n in kind.__dataclass_fields__})
    unfit = sorted(asked.keys() - cls.__dataclass_fields__.keys())
    if unfit:
        raise ValueError(f"{flag(unfit[0])} has no effect on --maps {a.maps}")
    return cls(**asked)


def estimated(maps: Maps, scan: io.Scan) -> np.ndarray:
    """Coil maps of a scan: of a series from its mean over time, of a 3-D scan in 3-D."""
    plain = scan.coord is None and not scan.further and len(scan.encoding.encoded) == 2
    plain &= scan.mask is None or scan.mask.ndim == 2
    return maps(scan.kspace, scan.mask, scan.calib) if plain else prepare(scan._with(mps=None), maps).mps


def save_maps(path: str, mps, axes) -> None:
    """Write coil maps with these axes, so that `io.load(scan, mps=path)` reads them."""
    if path.endswith(".cfl"):
        cfl.write(path, mps, axes=axes)
        return
    with io.atomic(path) as temporary:
        if path.endswith(".npy"):
            np.save(temporary, mps)
        elif path.endswith(".npz"):
            np.savez(temporary, mps=mps)
        else:
            import h5py

            room(path, mps.nbytes)
            with h5py.File(temporary, "w") as file:
                file["mps"] = mps
