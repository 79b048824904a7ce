"""MATLAB's .mat: version 5, see `mat5`, and version 7.3, which is HDF5; numbers only. Written through SciPy, version 5.

Axes are in MATLAB's order, as `size(kspace)` shows it, in both versions. CMRxRecon's variables are known:

    kspace_full, kspace_sub04, kus ...    (kx, ky, coil, slice, frame)
    kspace_single_full ...                (kx, ky, slice, frame)
    kdata_full ... of CMRx4DFlow          (kx, ky, kz, coil, frame, set)
    mask, mask04, usmask_ktGaussian ...   (kx, ky), (kx, ky, frame), or k-space's axes, mostly in a file of their own
    coilmap                               (kx, ky, kz, coil), in a file of its own

Reference:
    Wang et al., CMRxRecon: a publicly available k-space dataset and benchmark, Sci Data 11:687, 2024.
"""

from __future__ import annotations

import math
import re

import numpy as np

from pisolve import _axes
from pisolve.io import mat5
from pisolve.io.hdf5 import array_at, kind_of, number_kind, open_hdf5
from pisolve.io.limits import limit
from pisolve.io.named import PLAIN, of_kspace, spread, words
from pisolve.scan import Scan

SUFFIX = ".mat"
KSPACE = (  # names of variables, and what their axes are; by the name `kspace` alone they are not known beyond three
    (r"kspace_single.*", ("kx", "ky", "slice", "frame")),
    (r"kdata_.+", ("kx", "ky", "kz", "coil", "frame", "set")),
    (r"kspace_.+|kus.*", ("kx", "ky", "coil", "slice", "frame")),
    (r"kspace|ksp|kdata|k_space|raw|data", ("ky", "kx", "coil")))
IMAGES = ("image", "reconstruction", "img4ranking", "img", "im", "x")
OTHERS = ("mask", "mps", "reference", "noise", "calib")
CALLED = {"mps": "coil_?maps?|maps?|csm|smaps?|sens.*", "mask": "(us|k)?mask.*|pattern|samp.*"}  # by others
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LARGEST = (1 << 31) - 1024  # bytes of a variable in version 5


def read(path, most: int, axes=None, beside: dict | None = None) -> Scan:
    """A scan of a variable with k-space, known by its name or the only complex one, and of those in `OTHERS`.

    Args:
        axes: the names of the axes of k-space in MATLAB's order, instead of what `KSPACE` or a text `axes` says.
        beside: `mask` and `mps` of other files, as `read_array` gives them.

    Raises:
        ValueError: no such variable, more axes than are known without names, damaged files, more than `most` bytes.
    """
    with _File(path, most) as file:
        name, known = _kspace_of(file)
        kspace = file.numbers(name)
        own = {n: file.numbers(n) for n in OTHERS if n in file.shapes}
        said = words(file.text("axes"))
        own_mask = words(file.text("mask_axes"))
    own |= {n: a.T for n, a in (beside or {}).items()}
    while kspace.ndim > 3 and kspace.shape[-1] == 1 and axes is None and said is None:
        kspace = kspace[..., 0]
    meta = {"variable": name}
    if axes is None and said is None:
        if kspace.ndim > len(known):
            more = KSPACE[2][1][: kspace.ndim] if kspace.ndim < 6 else KSPACE[1][1]
            raise ValueError(f"{path}: {name} has {kspace.ndim} axes, {kspace.shape} in MATLAB's order: name them, "
                             f"such as axes={more}, CMRxRecon's order")
        axes, coils = known[: kspace.ndim], len(known) > 3
        if not coils:
            meta["assumed"] = (f"{name} is {kspace.shape} in MATLAB's order, read as ({', '.join(axes)}): for another "
                               "order name the axes")
    axes = of_kspace(said if axes is None else axes, kspace.shape, "in MATLAB's order, or say them otherwise, "
                     "load(path, axes=...)")
    kspace, axes = kspace.T, axes[::-1]
    if "mask" in own:
        mask = own["mask"].T
        names = own_mask if own_mask is None else own_mask[::-1]
        if names is None:
            mask, names = _mask_axes(mask, dict(zip(axes, kspace.shape)))
        own["mask"] = spread(mask, names, axes, kspace.shape)
    for n in own.keys() - {"mask"}:
        own[n] = np.ascontiguousarray(own[n].T)
    return Scan(kspace, axes=axes, meta=meta, **own)


def _mask_axes(mask, sizes: dict):
    """(a mask without an axis of coils, the names of its axes or None) of one beside k-space with axes of these sizes.

    It has (kx, ky), (kx, ky, frame) or as many axes as k-space, those of size 1 at MATLAB's end left out.
    """
    n = mask.ndim
    plain = [a for a in sizes if a in ("frame", *_axes.encoded(tuple(sizes)))][-n:]
    for names in (plain, list(sizes)[-n:]):
        if len(names) == n and all(m == 1 or (m == sizes[a] and a != _axes.COIL) for m, a in zip(mask.shape, names)):
            keep = [a for a in names if a != _axes.COIL]
            return mask.reshape([m for m, a in zip(mask.shape, names) if a != _axes.COIL]), tuple(keep)
    return mask, None


def read_image(path, most: int):
    """(an image, the names of its axes or None): the variable `image` or the like, or the only one there is."""
    with _File(path, most) as file:
        plausible = [n for n, s in file.shapes.items() if len(s) > 1 and min(s) > 1]
        name = next((n for n in IMAGES if n in plausible), plausible[0] if len(plausible) == 1 else None)
        if name is None:
            raise ValueError(f"{path} has no variable {' or '.join(IMAGES)}; it holds: {file.contents()}")
        image, said = file.numbers(name), words(file.text("axes"))
    order = None
    if said is not None and len(said) == image.ndim and {"y", "x"} <= set(said) and len(set(said)) == len(said):
        names = said[::-1]
        last = [a for a in ("z", "y", "x") if a in names]
        order = [*(a for a in names if a not in last), *last]
        return np.ascontiguousarray(image.transpose([said.index(a) for a in order])), tuple(order)
    front = range(image.ndim - 1, 1, -1)
    return np.ascontiguousarray(image.transpose(*front, 0, 1)), None


def read_array(path, name: str, most: int) -> np.ndarray:
    """One variable, its axes in the reverse of MATLAB's order; maps and masks by other names, too, or as the only one.
    """
    with _File(path, most) as file:
        other = CALLED.get(name)
        found = [n for n in file.shapes if n == name] or [
            n for n in file.shapes if other and re.fullmatch(other, n, re.IGNORECASE)] or [*file.shapes] * bool(other)
        if len(found) != 1:
            raise ValueError(f"{path} has {'no' if not found else 'more than one'} variable {name}; it holds: "
                             f"{file.contents()}")
        return np.ascontiguousarray(file.numbers(found[0]).T)


def write_image(path, image: np.ndarray, axes=None) -> None:
    """Write `image` (y, x, slice), or with its `axes` (y, x, z, the others), and their names as `axes`, version 5."""
    names = PLAIN[image.ndim] if axes is None else tuple(axes)
    inner = [a for a in ("y", "x", "z") if a in names]
    order = [*inner, *(a for a in reversed(names) if a not in inner)]
    _save(path, {"image": image.transpose([names.index(a) for a in order]), "axes": ",".join(order)})


def write_scan(path, scan: Scan) -> None:
    """Write `kspace` (ky, kx, coil, ...) with the names of its axes as `axes`, and mask, maps and the like."""
    found = {"kspace": scan.kspace.T, "axes": ",".join(scan.axes[::-1])}
    if scan.mask is not None:
        own = scan.named()["mask"][1]
        found |= {"mask": scan.mask.astype(np.uint8).T, "mask_axes": ",".join(own[::-1])}
    found |= {n: a.T for n in OTHERS[1:] if (a := getattr(scan, n)) is not None}
    _save(path, found)


def kind_of_file(path) -> str | None:
    """"scan" or "image", by the names of a file's variables; None where they do not say it."""
    with _File(path, limit(None)) as file:
        named = [n for n in file.shapes if re.fullmatch("kspace.*|ksp|kus.*|kdata.*|k_space", n, re.IGNORECASE)]
        return "scan" if named else "image" if set(IMAGES) & set(file.shapes) else None


def _save(path, found: dict) -> None:
    from scipy.io import savemat

    large = [n for n, a in found.items() if getattr(a, "nbytes", 0) > _LARGEST]
    if large:
        raise ValueError(f"{large[0]} has {found[large[0]].nbytes:,} bytes, more than MATLAB's version 5 holds, 2 GB: "
                         "write .h5, which MATLAB's h5read opens")
    with open(path, "wb") as file:
        savemat(file, found, do_compression=False, oned_as="column")


def _kspace_of(file):
    """(the name of the variable with k-space, the names of its axes as far as they are known)."""
    for pattern, axes in KSPACE:
        for name in file.shapes:
            if re.fullmatch(pattern, name, re.IGNORECASE):
                return name, axes
    found = [n for n in file.shapes if file.is_complex(n) and len(file.shapes[n]) > 1]
    if len(found) != 1:
        raise ValueError(f"{file.path} has no variable with k-space, such as kspace or kspace_full; it holds: "
                         f"{file.contents()}")
    return found[0], KSPACE[-1][1]


class _File:
    """An open .mat of either version: `shapes` of its variables, in MATLAB's order."""

    def __new__(cls, path, most):
        with open(path, "rb") as file:
            head = file.read(1024 + 8)
        if any(head[at : at + 8] == _HDF5 for at in (0, 512, 1024)):
            return object.__new__(_New)
        if mat5.begins(head):
            return object.__new__(_Old)
        raise ValueError(f"{path} is no .mat of version 5 or 7.3, or is damaged: save it in MATLAB with '-v7'")

    def __init__(self, path, most):
        self.path, self.most, self.shapes = path, most, {}

    def contents(self) -> str:
        """The variables, for messages."""
        return ", ".join(f"{n} {s}" for n, s in list(self.shapes.items())[:20]) or "no numbers"


class _New(_File):
    """Version 7.3, HDF5 whose axes are in the reverse order."""

    def __enter__(self):
        self._open = open_hdf5(self.path)
        self._file = self._open.__enter__()
        for name in list(self._file)[:100]:
            found = kind_of(self._file, name, self.path)
            if found is not None and number_kind(found[1]) is not None:
                self.shapes[name] = found[0][::-1]
        return self

    def __exit__(self, *error):
        return self._open.__exit__(*error)

    def is_complex(self, name: str) -> bool:
        """Whether a variable is complex."""
        return number_kind(kind_of(self._file, name, self.path)[1]).kind == "c"

    def numbers(self, name: str) -> np.ndarray:
        """A variable, in MATLAB's order of axes."""
        item = array_at(self._file, name, self.most, self.path)
        found = np.ascontiguousarray(item[()])
        kind = number_kind(item.dtype)
        return (found if found.dtype == kind else found.view(kind)).T

    def text(self, name: str) -> str | None:
        """A variable of characters; None where there is none."""
        found = kind_of(self._file, name, self.path)
        if found is None or found[1] != np.uint16 or math.prod(found[0]) > 4096:
            return None
        return "".join(map(chr, array_at(self._file, name, self.most, self.path)[()].ravel()))


class _Old(_File):
    """Version 5."""

    def __enter__(self):
        self._elements = mat5.elements(self.path, self.most)
        self.shapes = {n: e.shape for n, e in self._elements.items() if e.kind is not None}
        return self

    def __exit__(self, *error):
        return None

    def is_complex(self, name: str) -> bool:
        """Whether a variable is complex."""
        return self._elements[name].complex

    def numbers(self, name: str) -> np.ndarray:
        """A variable, in MATLAB's order of axes."""
        return mat5.numbers(self.path, self._elements[name], self.most)

    def text(self, name: str) -> str | None:
        """A variable of characters; None where there is none."""
        found = self._elements.get(name)
        return mat5.text(self.path, found, self.most) if found is not None and found.text else None
