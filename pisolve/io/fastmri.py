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
from pisolve.io.hdf5 import File, attributes, dataset, names, open_hdf5
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
        return scan_of(File(file, path, max_bytes), kspace_of(file, "kspace", max_bytes, path), max_bytes, axes, epi)


def scan_of(file, kspace, max_bytes: int, axes=None, epi: str = "auto") -> Scan:
    """The scan of an open file by the names that fastMRI and pisolve give to arrays.

    Args:
        file: with `path`, `array(name)`, `names(name)`, `text(name)`, `attributes()` and `contents()`, as `hdf5.File`.
        kspace: its k-space, or None.
        max_bytes, axes, epi: as for `read`.
    """
    path = file.path
    if kspace is None:
        raise ValueError(f"{path} has no dataset kspace; it holds: {file.contents()}")
    coord = file.array("coord")
    complex_samples(f"{path}: kspace", kspace)
    mask, mps, noise, calib = (file.array(n) for n in ("mask", "mps", "noise", "calib"))
    reference = next((r for r in map(file.array, IMAGES[1:3]) if r is not None), None)
    more, fields = field.taken(file.array)
    fields["weights"] = file.array("weights")
    meta = file.attributes() | more
    xml = file.text("ismrmrd_header")
    said, said_mask = (file.names(name) for name in ("axes", "mask_axes"))
    own = lines.lines_of(file.array, words(said) if axes is None else axes)
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
        return first(File(file, path, max_bytes), wanted)


def read_image(path, max_bytes: int):
    """(the image of a file, the names of its axes or None where it does not say them, what it says of its place)."""
    with open_hdf5(path) as file:
        return (*image_of(File(file, path, max_bytes)), placed(attributes(file)))


def image_of(file):
    """(the image of an open file, the names of its axes or None), see `scan_of`."""
    image, said = first(file, IMAGES), file.names("axes", of=IMAGES[0])
    axes = words(said)
    axes = None if axes is None else tuple(_axes.SPATIAL.get(a, a) for a in axes if a != _axes.COIL)
    return image, axes if axes is not None and len(axes) == image.ndim else None


def placed(said: dict) -> dict:
    """`voxel_mm`, `affine` and `frame_s` among the attributes of a file, as `write_image` keeps them."""
    found = {}
    for name, shape in (("voxel_mm", (3,)), ("affine", (4, 4)), ("affine_code", ()), ("frame_s", ())):
        value = said.get(name)
        with suppress(ValueError, TypeError, RecursionError):
            value = json.loads(value) if isinstance(value, str) else value
            array = None if value is None else np.array(value, float)
            if array is not None and array.shape == shape and np.isfinite(array).all():
                found[name] = array.tolist()
    return found


def first(file, wanted) -> np.ndarray:
    """The first of the arrays `wanted` of an open file, see `scan_of`."""
    found = next((a for a in map(file.array, wanted) if a is not None), None)
    if found is None:
        raise ValueError(f"{file.path} has no dataset {' or '.join(wanted)}; it holds: {file.contents()}")
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

    entries = image_entries(recipe=recipe, scale=scale, meta=meta, axes=axes)
    for name, value in entries.items():
        if isinstance(value, str) and len(value.encode()) > 60000:
            raise ValueError(f"{name} is longer than the 64 kB that an HDF5 attribute may have: shorten it")
    with h5py.File(path, "w") as file:
        file.create_dataset(IMAGES[0], data=image[None] if image.ndim == 2 else image)
        file.attrs.update(entries)


def image_entries(*, recipe=None, scale=None, meta=None, axes=None) -> dict:
    """The attributes of an image: plain values, and JSON."""
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
    return entries


def named_arrays(arrays: dict) -> dict:
    """The arrays of a scan by their names in files, without truth values."""
    return {{"reference": "reconstruction_rss"}.get(n, n): a.astype(np.uint8) if a.dtype == bool else a
            for n, a in arrays.items()}


def scan_entries(meta: dict) -> dict:
    """The attributes of a scan: what of `meta` is plain, as it is, or as JSON."""
    found = {}
    for name, value in (meta | {"pisolve_version": __version__}).items():
        plain = isinstance(value, str | bool | int | float | np.number | np.ndarray)
        with suppress(TypeError, ValueError):  # what is no plain value stays behind
            found[str(name)] = value if plain else _listed(value) if isinstance(value, list | tuple) else _json(
                name, value)
    return found


def write_scan(path, arrays: dict, beside: dict, meta: dict) -> None:
    """Write the arrays of a scan by their names, and as attributes `beside` and what of `meta` is plain."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in named_arrays(arrays).items():
            file[name] = array
        for name, value in scan_entries(meta | beside).items():
            with suppress(TypeError, ValueError):
                if not isinstance(value, str) or len(value.encode()) <= 60000:
                    file.attrs[name] = value


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
