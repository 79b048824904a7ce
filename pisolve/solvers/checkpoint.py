"""A solver's state in an HDF5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import is_array
from pisolve._types import PathLike
from pisolve.solvers.base import State


def save_state(path: PathLike, state: State, of: str = "") -> None:
    """Write a state to HDF5, under a temporary name first; numbers keep all their bits, and a digest is added.

    Args:
        path: the file, replaced where it exists.
        state: of any solver.
        of: what the state belongs to, such as the digest of a problem, for `load_state` to ask for.
    """
    import h5py

    from pisolve.io import atomic
    from pisolve.io.failure import room
    from pisolve.io.seal import seal

    arrays = [v for v in (state.x, *state.aux.values()) if is_array(v)]
    with atomic(path) as temporary:
        room(path, sum(v.nbytes for v in arrays))
        with h5py.File(temporary, "w") as file:
            file.attrs["k"] = state.k
            aux = {f"aux/{name}": value for name, value in state.aux.items()}
            for name, value in {"x": state.x, "residual": state.residual, **aux}.items():
                file[name] = backend.to_numpy(value) if is_array(value) else value
                file[name].attrs["python"] = isinstance(value, float) and not isinstance(value, np.generic)
        seal(temporary, of)


def load_state(path: PathLike, like: Any = None, *, of: str | None = None, sealed: bool = False) -> State:
    """Read a state that `save_state` wrote.

    Args:
        path: the file.
        like: an array whose kind (numpy, cupy or torch) and device the arrays take; numpy by default.
        of: what the state must belong to, as `save_state` was told; None: anything.
        sealed: refuse a state without a digest, as older versions wrote them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no state, or its content does not fit its digest.
    """
    import h5py

    from pisolve.io.seal import check

    if not Path(path).is_file():
        raise FileNotFoundError(f"no state at {path}")
    check(path, of, needed=sealed)
    try:
        with h5py.File(path, "r") as file:
            x, residual = _read(file["x"]), _read(file["residual"])
            aux = {name: _read(file["aux"][name]) for name in file.get("aux", ())}
            k = int(file.attrs["k"])
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:  # of h5py, of no state
        raise ValueError(f"{path} holds no solver state: {error}") from error

    def place(value):
        return value if like is None or not isinstance(value, np.ndarray) else backend.like(value, like)

    return State(place(x), k, residual, {name: place(value) for name, value in aux.items()})


def _read(dataset):
    """The value as it was: a python float stays one, since numpy's own scalars would widen complex64 arrays."""
    value = dataset[()]
    return float(value) if dataset.attrs.get("python") else value
