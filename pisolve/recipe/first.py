"""What a recipe is given beside its words: the first image, and weights of the samples; arrays, or files of them."""

from __future__ import annotations

import os

import numpy as np

from pisolve import io
from pisolve._check import array, brief, dtype_name, is_array
from pisolve.backend import like, to_numpy
from pisolve.scan.size import filled, wanted

MOST = 4096  # numbers that are written into a recipe


def check(name: str, value) -> None:
    """Refuse what is no array, no path and no result.

    Raises:
        TypeError: with what to give.
    """
    value = getattr(value, "x", value) if name == "x0" else value
    if value is not None and not is_array(value) and not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be an array{', a result' * (name == 'x0')} or the path of one, got "
                        f"{brief(value)}")


def loaded(value):
    """The array that was given, or that of a file (.npy, .cfl, .h5, .nii), or of a result."""
    value = getattr(value, "x", value)
    if not isinstance(value, str | os.PathLike):
        return value
    return np.load(value) if str(value).endswith(".npy") else io.load_image(value)


def written(name: str, value):
    """Plain values for `json`: a path as it is, of an array its numbers, up to 4096 of them.

    Raises:
        ValueError: a larger array, with what to do.
    """
    value = getattr(value, "x", value)
    if value is None or isinstance(value, str | os.PathLike):
        return None if value is None else os.fspath(value)
    value = to_numpy(value)
    if value.size > MOST:
        raise ValueError(f"{name} of shape {value.shape} is too large to be written into a recipe: save it by "
                         f"numpy.save('{name}.npy', {name}) and give {name}='{name}.npy', or save the image as .npy")
    if value.dtype.kind == "c":
        return {"dtype": str(value.dtype), "real": value.real.tolist(), "imag": value.imag.tolist()}
    return {"dtype": str(value.dtype), "real": value.tolist()}


def read(name: str, value):
    """What `written` wrote.

    Raises:
        ValueError: no such description.
    """
    if not isinstance(value, dict):
        return value
    try:
        found = np.array(value["real"], float) + (1j * np.array(value["imag"], float) if "imag" in value else 0)
        return found.astype(value["dtype"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a recipe's {name} is no array: {error!r}") from error


def starts(recipe, scan) -> list | None:
    """The first image of each part, in the scan's units; None where none is given.

    Raises:
        TypeError, ValueError: no image, one of another shape than those of the scan, a method whose unknown is none.
    """
    if recipe.x0 is None:
        return None
    if not recipe.method.needs_maps or scan.sets > 1:
        what = "several sets of maps" if scan.sets > 1 else f"{type(recipe.method).__name__}()"
        raise ValueError(f"x0 is for one image, and {what} solve{'s' * (scan.sets < 2)} for others: leave it out")
    x0, shape = to_numpy(array("x0", loaded(recipe.x0))), scan.image_shape
    x0 = filled(x0, shape) if x0.shape[-2:] == wanted(scan, "recon")[-2:] else x0  # as it was written
    if tuple(n for n in x0.shape if n > 1) != tuple(n for n in shape if n > 1):
        raise ValueError(f"x0 has shape {x0.shape}, the scan's images have {shape} ({', '.join(scan.image_axes)})")
    whole = scan._with(reference=x0.reshape(shape), mps=None, calib=None, weights=None)
    return [p.reference for p in whole.parts(recipe.each)]


def scaled(x0, model, scale: float):
    """The first image in the units, and the kind of array, that are solved."""
    return like((x0 * (scale * model.size)).astype(dtype_name(model.y)), model.y)
