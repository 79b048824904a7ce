"""Dictionaries of signals: the subspace near which they lie, and which of them an image's pixels look like."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike
from pisolve.signals.subspace import checked_basis

_ENTRIES = 1 << 24  # of the products of pixels and signals that are held at once


@dataclass(frozen=True)
class Dictionary:
    """Signals and what they were made of.

    Attributes:
        atoms: (atom, frame), real or complex.
        values: name: (atom,), of each parameter, in its unit (s, Hz, ...).
    """

    atoms: np.ndarray
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        atoms = backend.to_numpy(_check.array("atoms", self.atoms, ndim=2, complex_=False, nonzero=True))
        values = {name: np.asarray(v, float) for name, v in self.values.items()}
        for name, v in values.items():
            if v.shape != (len(atoms),):
                raise ValueError(f"values[{name!r}] has shape {v.shape}: one for each of {len(atoms)} atoms")
        object.__setattr__(self, "atoms", atoms)
        object.__setattr__(self, "values", values)

    def compress(self, basis: Any) -> Dictionary:
        """The dictionary of coefficients Phi^+ d, to be matched with coefficient images."""
        vectors = checked_basis(basis)
        if len(vectors) != self.atoms.shape[1]:
            raise ValueError(f"basis has {len(vectors)} frames, the dictionary {self.atoms.shape[1]}: they must agree")
        return replace(self, atoms=self.atoms @ np.linalg.pinv(vectors).T)


def dictionary(simulate: Any, **values: Any) -> Dictionary:
    """The signals of all combinations of some values.

    Args:
        simulate: a function of these values, each an array (atom,), that returns (atom, frame); such as
            `lambda t1, t2: signals.fse(t2, t1, spacing=0.01, echoes=16)`.
        values: name=array (or a number) of each parameter.

    Raises:
        TypeError, ValueError: no values, or signals of another shape, not finite, or all zero.

    Example:
        d = pi.signals.dictionary(lambda t2: pi.signals.decay(t2, times), t2=np.geomspace(0.02, 2, 100))
    """
    if not values:
        raise ValueError("dictionary needs the values of a parameter, such as t2=numpy.geomspace(0.02, 2, 100)")
    grids = [np.atleast_1d(np.asarray(v, float)).ravel() for v in values.values()]
    table = np.array(list(product(*grids))).T
    named = dict(zip(values, table))
    return Dictionary(np.asarray(simulate(**named)), named)


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of signals.

    Attributes:
        vectors: phi, (frame, coefficient), what `subspace` and `encoding` take.
        lost: the share of the signals' energy that lies outside, of all together.
        worst: the largest such share of a single signal.
        singular_values: of all frames, of signals of length 1.
    """

    vectors: np.ndarray
    lost: float
    worst: float
    singular_values: np.ndarray


def basis(dictionary: Any, k: int) -> Basis:
    """The k vectors that explain most of the energy of a dictionary's signals, each of length 1 (by SVD).

    Args:
        dictionary: a `Dictionary`, or an array (atom, frame).
        k: how many coefficients.

    Returns:
        `Basis`, which says the energy that is lost: sum over i > k of s_i^2 over sum of s_i^2.

    Raises:
        TypeError, ValueError: signals that are not finite or zero, k over the number of frames or signals.

    Reference:
        McGivney et al., IEEE Trans Med Imaging 33 (2014) 2311; Tamir et al., Magn Reson Med 77 (2017) 180.
    """
    atoms = getattr(dictionary, "atoms", dictionary)
    atoms = backend.to_numpy(_check.array("dictionary", atoms, ndim=2, complex_=False, nonzero=True))
    k = _check.integer("k", k, low=1, high=min(atoms.shape))
    atoms = atoms.astype("complex128" if atoms.dtype.kind == "c" else "float64")
    length = np.linalg.norm(atoms, axis=1, keepdims=True)
    unit = (atoms / np.where(length > 0, length, 1))[length[:, 0] > 0]
    left, s, _ = np.linalg.svd(unit.T, full_matrices=False)
    vectors = left[:, :k]
    total = vectors.sum(0)
    turn = np.where(abs(total) > 1e-12, total.conj() / np.maximum(abs(total), 1e-300), 1)  # the sign is a convention
    rest = unit.T - vectors @ (vectors.conj().T @ unit.T)
    return Basis(vectors * turn, float((s[k:] ** 2).sum() / (s**2).sum()), float((abs(rest) ** 2).sum(0).max()), s)


@dataclass(frozen=True)
class Match:
    """What `match` found, each of the shape of the images without their frames.

    Attributes:
        values: name: the value of the best signal; NaN where an image is zero in all frames.
        amplitude: complex, what the signal has to be multiplied by: the proton density, with its phase.
        correlation: |<d, x>| / (||d|| ||x||), 1 where the signal fits exactly.
        index: which signal, -1 where an image is zero.
    """

    values: dict[str, Any]
    amplitude: object
    correlation: object
    index: object


def match(dictionary: Dictionary, images: ArrayLike, *, axis: int = 0) -> Match:
    """The signal of a dictionary that each pixel looks like, up to a complex factor: argmax_i |<d_i, x>| / ||d_i||.

    Args:
        dictionary: `dictionary(...)`; of coefficients for coefficient images, `dictionary(...).compress(basis)`.
        images: (frame, ...), real or complex; numpy, cupy or torch, and that is where the search runs, in batches.
        axis: which axis of the images the frames are on.

    Returns:
        `Match`, with arrays of the kind of `images`.

    Raises:
        TypeError, ValueError: images that are not finite, or of another number of frames than the signals.

    Reference:
        Ma et al., Nature 495 (2013) 187 (magnetic resonance fingerprinting).
    """
    images = _check.array("images", images)
    if not -images.ndim <= axis < images.ndim:
        raise ValueError(f"axis {axis} does not fit images of {images.ndim} axes")
    xp = backend.namespace(images)
    x = xp.moveaxis(images, axis, 0)
    shape, frames = tuple(x.shape[1:]), dictionary.atoms.shape[1]
    if len(x) != frames:
        raise ValueError(f"images have {len(x)} frames on axis {axis}, the dictionary {frames}: one for each")
    x = x.reshape(frames, -1)
    length = np.linalg.norm(dictionary.atoms, axis=1)
    kept = np.flatnonzero(length > 0)
    unit = dictionary.atoms[kept] / length[kept, None]
    unit = backend.like(unit.conj().astype(_check.dtype_name(x)), x)
    step = max(1, _ENTRIES // len(kept))
    place = {"device": x.device} if _check.is_torch(x) else {}
    best, inner = [], []
    for start in range(0, x.shape[1], step):
        products = unit @ x[:, start:start + step]
        found = abs(products).argmax(0)
        best.append(found)
        inner.append(products[found, xp.arange(len(found), **place)])
    found, inner = backend.to_numpy(xp.concatenate(best)), xp.concatenate(inner)
    size = xp.sqrt((abs(x) ** 2).sum(0))
    empty = backend.to_numpy(size) == 0
    index = np.where(empty, -1, kept[found])
    out = {name: np.where(empty, np.nan, v[index]).reshape(shape) for name, v in dictionary.values.items()}
    amplitude = inner / backend.like(length[kept[found]].astype(_check.real_name(x)), x)
    correlation = abs(inner) / (size + backend.like(empty.astype(_check.real_name(x)), x))
    put = lambda v: backend.like(v.astype(_check.real_name(x)), x)  # noqa: E731
    return Match({n: put(v) for n, v in out.items()}, amplitude.reshape(shape), correlation.reshape(shape),
                 backend.like(index.reshape(shape), x))
