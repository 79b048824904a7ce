"""fastMRI's HDF5 layout: `kspace`, `mask`, `reconstruction_rss`, `ismrmrd_header`, and images written beside it."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from pisolve import _axes, _check
from pisolve._version import __version__
from pisolve.io import epi as lines
from pisolve.io import field, layouts, points
from pisolve.io.hdf5 import attributes, contents, dataset, names, open_hdf5, text
from pisolve.io.header import Header
from pisolve.io.named import of_kspace, spread, words
from pisolve.io.numpy import REMEDY
from pisolve.scan import Scan
from pisolve.scan.checks import complex_samples

IMAGES = ("reconstruction", "reconstruction_rss", "reconstruction_esc", "image")


def read(path, max_bytes: int, axes=None, epi: str = "auto", kspace_of=dataset) -> Scan:
    """Read a scan; a k-space (slice, ky, kx) is single-coil, as in fastMRI, and gets a coil axis.

    `mask` may be (kx,), as fastMRI stores it, or (ky, kx); `mps`, `noise` and `calib` are read where the file has
    them, see `Scan`. The attributes and what `header` finds go to `meta`.

    Args:
        axes: the names of the axes of k-space, instead of the attribute or dataset `axes` of the file. Its mask may
            have fewer axes, named by `mask_axes`.
        kspace_of: reads k-space, as `dataset` does.
        epi: of EPI's lines, which have `kx` and `ky` beside them, how the ghost is found, see `calib.epi`.

    Raises:
        ValueError: damaged or foreign files, links to other files, no `kspace`, more than `max_bytes`, unfit shapes.
    """
    with open_hdf5(path) as file:
        known = layouts.recognised(file, path) if axes is None and names(file, "axes", path) is None else None
        if known is not None:
            lines.refuse(epi)
            return Scan(**layouts.read(known, file, max_bytes, path))
        kspace = kspace_of(file, "kspace", max_bytes, path)
        if kspace is None:
            raise ValueError(f"{path} has no dataset kspace; it holds: {contents(file)}")
        coord = dataset(file, "coord", max_bytes, path)
        complex_samples(f"{path}: kspace", kspace)
        mask, mps, noise, calib = (dataset(file, n, max_bytes, path) for n in ("mask", "mps", "noise", "calib"))
        reference = next((r for r in (dataset(file, n, max_bytes, path) for n in IMAGES[1:3]) if r is not None), None)
        more, fields = field.taken(lambda name: dataset(file, name, max_bytes, path))
        fields["weights"] = dataset(file, "weights", max_bytes, path)
        meta = attributes(file) | more
        xml = text(file, "ismrmrd_header", path)
        said, said_mask = (names(file, name, path) for name in ("axes", "mask_axes"))
        own = lines.lines_of(lambda n: dataset(file, n, max_bytes, path), words(said) if axes is None else axes)
    size = next((meta[n] for n in points.SIZES if n in meta), None)
    if own and coord is None:
        return lines.scan(path, kspace, own, size, words(said) if axes is None else axes, epi, max_bytes, meta,
                          mps=mps, reference=reference, noise=noise, **fields)
    lines.refuse(epi)
    if coord is not None:
        return points.scan(path, kspace, coord, size, words(said) if axes is None else axes, mask, meta, mps=mps,
                           reference=reference, noise=noise, **fields)
    if xml is not None:
        meta.update(header(xml, kspace.shape))
    given, axes = axes, of_kspace(words(said) if axes is None else axes, kspace.shape, REMEDY)
    if axes is not None:
        told = words(said, "mask") if given is None else None
        mask = spread(mask, told if said_mask is None else words(said_mask), axes, kspace.shape)
        meta = {k: v for k, v in meta.items() if k not in ("axes", "mask_axes") or "(" in str(v)}  # sentences stay
        if axes[-2:] != ("ky", "kx") or "kz" in axes:
            meta.pop("phase_axis", None)
        if given is not None and reference is not None and reference.ndim != len(_axes.of_image(axes)):
            meta["assumed"] = f"the file's image has shape {reference.shape}, not that of these axes: it is left out"
            reference = None
        return Scan(kspace, mask, mps, reference, meta, noise, calib, axes, **fields)
    if kspace.ndim == 3:
        if xml is None and not (reference is not None and reference.shape[:1] == kspace.shape[:1]):
            meta["assumed"] = "kspace had three axes, read as (slice, ky, kx) of one coil: for coils store four axes"
        kspace = kspace[:, None]
    if kspace.ndim != 4:
        raise ValueError(f"{path}: kspace has shape {kspace.shape}, (slice, coil, ky, kx) or (slice, ky, kx) needed, "
                         "or the names of its axes, load(path, axes=('frame', 'coil', 'ky', 'kx'))")
    return Scan(kspace, mask, mps, reference, meta, noise, calib, **fields)


def read_array(path, wanted, max_bytes: int) -> np.ndarray:
    """The first of the datasets `wanted` that the file has."""
    with open_hdf5(path) as file:
        return _first(file, wanted, max_bytes, path)


def read_image(path, max_bytes: int):
    """(the image of a file, the names of its axes or None where it does not say them)."""
    with open_hdf5(path) as file:
        image, said = _first(file, IMAGES, max_bytes, path), names(file, "axes", path, of=IMAGES[0])
    axes = words(said)
    axes = None if axes is None else tuple(_axes.SPATIAL.get(a, a) for a in axes if a != _axes.COIL)
    return image, axes if axes is not None and len(axes) == image.ndim else None


def place(path) -> dict:
    """`voxel_mm`, `affine` and `frame_s` among the attributes of a file, as `write_image` keeps them."""
    with open_hdf5(path) as file:
        said = attributes(file)
    found = {}
    for name, shape in (("voxel_mm", (3,)), ("affine", (4, 4)), ("affine_code", ()), ("frame_s", ())):
        value = said.get(name)
        with suppress(ValueError, TypeError, RecursionError):
            value = json.loads(value) if isinstance(value, str) else value
            array = None if value is None else np.array(value, float)
            if array is not None and array.shape == shape and np.isfinite(array).all():
                found[name] = array.tolist()
    return found


def _first(file, wanted, max_bytes: int, path) -> np.ndarray:
    found = next((a for a in (dataset(file, n, max_bytes, path) for n in wanted) if a is not None), None)
    if found is None:
        raise ValueError(f"{path} has no dataset {' or '.join(wanted)}; it holds: {contents(file)}")
    return found


def header(xml: str, shape) -> dict:
    """What an ISMRMRD header says that reconstruction of k-space of this shape (..., rows, columns) needs.

    Returns:
        `Header.describe`, and where the header gives them `padding` (zero-padded phase-encoding lines: first measured,
        one past the last) and `phase_axis`.
    """
    head = Header(xml)
    found = head.describe()
    if "encoded_size" in found:
        x, y, _ = found["encoded_size"]
        place = "encoding/encodingLimits/kspace_encoding_step_1/"
        first, last = head.number(place + "center"), head.number(place + "maximum")
        if first is not None and last is not None:
            found["padding"] = [y // 2 - first, y // 2 - first + last + 1]
        if x in shape[-2:]:  # x is the readout; fastMRI keeps it on the rows, also where both axes are that long
            found["phase_axis"] = -1 if shape[-2] == x else -2
    return found


def write_image(path, image: np.ndarray, *, recipe=None, scale=None, meta=None, axes=None) -> None:
    """Write `reconstruction` (slice, y, x), or with the `axes` named, complex64 with its attributes, to a new file."""
    import h5py

    image = image[None] if image.ndim == 2 else image
    entries = {"pisolve_version": __version__} | ({} if axes is None else {"axes": ",".join(axes)})
    entries |= {f"{name}_version": _version(name) for name in ("sigpy", "numpy", "torch")}
    if recipe is not None:
        recipe = recipe.to_dict() if hasattr(recipe, "to_dict") else recipe
        entries["recipe"] = _json("recipe", recipe)
    if scale is not None:
        entries["scale"] = _check.number("scale", scale)
    for name, value in (meta or {}).items():
        if name in entries or name in ("recipe", "scale"):
            raise ValueError(f"meta must not hold {name!r}: this attribute is written by save itself, rename it")
        entries[str(name)] = value if isinstance(value, str | bool | int | float | np.number) else _json(name, value)
    for name, value in entries.items():
        if isinstance(value, str) and len(value.encode()) > 60000:
            raise ValueError(f"{name} is longer than the 64 kB that an HDF5 attribute may have: shorten it")
    with h5py.File(path, "w") as file:
        file.create_dataset("reconstruction", data=image)
        file.attrs.update(entries)


def write_scan(path, arrays: dict, beside: dict, meta: dict) -> None:
    """Write the arrays of a scan by their names, and as attributes `beside` and what of `meta` is plain."""
    import h5py

    names = {"reference": "reconstruction_rss"}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[names.get(name, name)] = array.astype(np.uint8) if array.dtype == bool else array
        for name, value in (meta | beside | {"pisolve_version": __version__}).items():
            plain = isinstance(value, str | bool | int | float | np.number | np.ndarray)
            with suppress(TypeError, ValueError):  # what is no plain value stays behind
                value = value if plain else _listed(value) if isinstance(value, list | tuple) else _json(name, value)
                if not isinstance(value, str) or len(value.encode()) <= 60000:
                    file.attrs[str(name)] = value


def _listed(value):
    """A list of numbers as an array, which `attributes` reads as a list again; another one as JSON."""
    with suppress(TypeError, ValueError):
        array = np.array(value)
        if array.dtype.kind in "biuf":
            return array
    return _json("meta", value)


def _json(name: str, value) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be made of plain values, dict, list, str, numbers: {error}") from None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
