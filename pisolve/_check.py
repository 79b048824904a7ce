"""Errors at the door: every public entry point checks its arguments with these.

Each check raises a `TypeError` (wrong kind of thing) or a `ValueError` (wrong value) whose one-line message names the
argument, says what it was and what to do. None of them changes or copies an array, except `array`, which returns a
native-endian array of the precision the library computes in.
"""

from __future__ import annotations

import dataclasses
import math
import numbers

import numpy as np

from pisolve._former import brief, outside, renamed  # noqa: F401 - `_check` is where others look for them
from pisolve._hints import meant

COMPLEX = ("complex64", "complex128")
_WIDEN = {"float16": "complex64", "bfloat16": "complex64", "float32": "complex64", "float64": "complex128",
          "clongdouble": "complex128", "complex256": "complex128", "longdouble": "complex128", "float128": "complex128"}


def is_torch(x) -> bool:
    """True for a torch tensor, without importing torch."""
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach")


def is_cupy(x) -> bool:
    """True for a cupy array, without importing cupy."""
    return type(x).__module__.partition(".")[0] == "cupy" and hasattr(x, "ndim")


def is_array(x) -> bool:
    """True for a numpy or cupy array or a torch tensor."""
    return isinstance(x, np.ndarray) or is_torch(x) or is_cupy(x)


def dtype_name(x) -> str:
    """The dtype's plain name ('complex64') for numpy, cupy and torch alike."""
    return str(x.dtype).rpartition(".")[2]


def real_name(x) -> str:
    """'float32' or 'float64': the precision of a complex array's parts."""
    return "float32" if dtype_name(x) == "complex64" else "float64"


def same_kind(name: str, x, other: str, y) -> None:
    """Check that two arrays are both numpy's, both cupy's or both torch's."""
    if (is_torch(x), is_cupy(x)) != (is_torch(y), is_cupy(y)):
        raise TypeError(f"{name} is a {type(x).__name__}, {other} a {type(y).__name__}: give both of one kind")


def array(name: str, x, *, ndim=None, shape=None, finite: bool = True, complex_: bool = True, nonzero: bool = False):
    """Check an array argument and return it as native complex64/complex128 (or as it is with `complex_=False`).

    Real, integer, half and extended precision input is converted (a copy); complex64 and complex128 of native byte
    order pass through unchanged, whatever their strides. Torch tensors and cupy arrays stay where they are.

    Args:
        name: the argument's name, for the message.
        x: anything; lists are refused, so that an accidental object array is not built.
        ndim: an int, or a tuple of allowed numbers of dimensions.
        shape: the exact shape required.
        finite: refuse NaN and Inf.
        complex_: convert to complex.
        nonzero: refuse an array of zeros.
    """
    if not is_array(x):
        raise TypeError(f"{name} must be a numpy, cupy or torch array, got {type(x).__name__}: convert it first")
    kind = dtype_name(x)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: fill it first, for example .filled(0)")
    if isinstance(x, np.ndarray) and x.dtype.kind not in "biufc":
        raise TypeError(f"{name} has dtype {x.dtype}: numbers are needed, for example complex64")
    if ndim is not None and x.ndim not in (ndim if isinstance(ndim, tuple) else (ndim,)):
        raise ValueError(f"{name} has {x.ndim} dimensions, shape {tuple(x.shape)}: {_one_of(ndim)} needed")
    if 0 in tuple(x.shape):
        raise ValueError(f"{name} is empty, shape {tuple(x.shape)}: nothing to reconstruct")
    if shape is not None and tuple(x.shape) != tuple(shape):
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {tuple(shape)}")
    if complex_ and (kind not in COMPLEX or (isinstance(x, np.ndarray) and not x.dtype.isnative)):
        if is_torch(x):
            import torch

            x = x.to(torch.complex128 if kind == "float64" else torch.complex64)
        else:
            plain = x.dtype.newbyteorder("=").name
            x = x.astype(plain if plain in COMPLEX else _WIDEN.get(plain, "complex64"))
    total = _sum(x) if finite or nonzero else None
    if finite and not (math.isfinite(total) or _each_finite(x)):
        raise ValueError(f"{name} holds NaN or Inf: repair or drop these samples first (numpy.isfinite finds them)")
    if nonzero and total == 0 and not bool((x != 0).any()):
        raise ValueError(f"{name} is zero everywhere: nothing was measured, or the wrong data set was read")
    return x


def _one_of(ndim) -> str:
    return " or ".join(str(n) for n in ndim) if isinstance(ndim, tuple) else str(ndim)


def all_finite(x) -> bool:
    """True where every entry is finite: one pass without a temporary where the sum is finite."""
    return math.isfinite(_sum(x)) or _each_finite(x)


def _sum(x) -> float:
    """|sum of all entries|: where it is finite and not 0, all entries are finite and not all are 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # a sum of large numbers may overflow: then all are looked at
        return float(abs((x.detach() if is_torch(x) else x).sum()))


def _each_finite(x) -> bool:
    if is_torch(x):
        import torch

        return bool(torch.isfinite(x).all())
    return bool(np.isfinite(x).all())  # cupy answers numpy's call itself


def number(name: str, x, *, low=None, high=None, strict: bool = False, allow_none: bool = False):
    """Check a real scalar: finite, within `low..high` (`strict`: excluding the ends); returns it as a float."""
    if x is None and allow_none:
        return None
    if isinstance(x, bool) or not isinstance(x, numbers.Real | np.number) or isinstance(x, np.complexfloating):
        raise TypeError(f"{name} must be a real number, got {brief(x)}")
    value = float(x)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if low is not None and (value < low or (strict and value == low)):
        raise ValueError(f"{name} must be {'>' if strict else '>='} {low}, got {value}")
    if high is not None and (value > high or (strict and value == high)):
        raise ValueError(f"{name} must be {'<' if strict else '<='} {high}, got {value}")
    return value


def levels(name: str, x, shape=None, *, zero: bool = False):
    """Check an array of strengths, real, finite and > 0 (`zero`: >= 0), that broadcasts to `shape`; returns it."""
    x = array(name, x, complex_=False)
    if dtype_name(x).startswith("complex"):
        raise TypeError(f"{name} has dtype {dtype_name(x)}: real numbers are needed")
    if bool((x < 0).any()) or not (zero or bool((x > 0).all())):
        raise ValueError(f"{name} holds values down to {float(x.min()):g}: all must be {'>= 0' if zero else '> 0'}")
    if shape is not None:
        own, whole = tuple(x.shape), tuple(shape)
        if len(own) > len(whole) or any(a not in (1, b) for a, b in zip(own[::-1], whole[::-1])):
            raise ValueError(f"{name} has shape {own}, which does not broadcast to {whole}: give it an entry for each "
                             "of these, or axes of size 1")
    return x


def integer(name: str, x, *, low=None, high=None, allow_none: bool = False):
    """Check a whole number within `low..high`; returns it as an int."""
    if x is None and allow_none:
        return None
    if isinstance(x, bool) or not isinstance(x, numbers.Integral | np.integer):
        raise TypeError(f"{name} must be a whole number, got {brief(x)}")
    value = int(x)
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be in {low}..{'' if high is None else high}, got {value}")
    return value


def shape(name: str, x) -> tuple[int, ...]:
    """Check the shape of an array to come: a tuple or list of whole numbers >= 1; returns it as a tuple of ints."""
    if not isinstance(x, tuple | list):
        raise TypeError(f"{name} must be a tuple of whole numbers, got {brief(x)}: for an array give its .shape")
    if not x:
        raise ValueError(f"{name} is empty: at least one axis is needed")
    return tuple(integer(name, n, low=1) for n in x)


def axes(name: str, x, ndim: int) -> tuple[int, ...]:
    """Check distinct axes of an array of `ndim` dimensions; returns them counted from the front."""
    if not isinstance(x, tuple | list) or not x:
        raise TypeError(f"{name} must be a tuple of at least one axis such as (-2, -1), got {brief(x)}")
    if not all(-ndim <= integer(name, a) < ndim for a in x):
        raise ValueError(f"{name} {tuple(x)} do not fit an array of {ndim} dimensions")
    found = tuple(int(a) % ndim for a in x)
    if len(set(found)) < len(found):
        raise ValueError(f"{name} {tuple(x)} name one axis twice: give each once")
    return found


def linop(name: str, x):
    """Check that `x` is a linear operator, SigPy's or pisolve's; returns it."""
    made = [hasattr(x, part) for part in ("ishape", "oshape")]
    if not all(made) or not all(hasattr(type(x), part) or part in vars(x) for part in ("H", "N")):  # which make a linop
        raise TypeError(f"{name} must be a linear operator (pisolve.linops or sigpy.linop), got {type(x).__name__}")
    return x


def scale(name: str, size: float, dtype: str, remedy: str) -> None:
    """Check that a norm or peak of data of `dtype` is where its squares keep their digits."""
    high = 1e15 if dtype in ("complex64", "float32") else 1e140
    if not 1e3 / high <= size <= high:
        raise ValueError(f"{name} has a size of {size:.3g}, where squares leave the range of {dtype}: {remedy}")


def mask(name: str, x, shape) -> np.ndarray:
    """Check a sampling mask for k-space of `shape` (..., ky, kx); returns a new boolean numpy array (ky, kx).

    Bool, 0/1 integers or 0.0/1.0 floats of shape (ky, kx), (1, kx), (ky, 1) or (kx,) are taken, leading axes of size 1
    and leading axes along which the mask repeats are dropped: one pattern holds for all coils and slices.
    """
    ky, kx = (int(n) for n in shape[-2:])
    pattern = booleans(name, x)
    while pattern.ndim > 2 and len(pattern):
        if not (pattern == pattern[:1]).all():
            raise ValueError(f"{name} of shape {tuple(x.shape)} differs along axis {x.ndim - pattern.ndim}: one "
                             "pattern (ky, kx) holds for all coils and slices")
        pattern = pattern[0]
    if pattern.shape not in ((ky, kx), (1, kx), (ky, 1), (kx,)):
        hint = f": write it as {name}[:, None]" if x.shape == (ky,) else ""
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {(ky, kx)}, {(1, kx)} or {(ky, 1)}{hint}")
    if not pattern.any():
        raise ValueError(f"{name} is False everywhere: no sample is left")
    return np.broadcast_to(pattern, (ky, kx)).copy()


def booleans(name: str, x) -> np.ndarray:
    """Check a bool, 0/1 or 0.0/1.0 array of any shape; returns it as a numpy array of bool."""
    if is_torch(x):
        x = x.detach().cpu().numpy()
    elif is_cupy(x):
        x = x.get()
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} must be a numpy, cupy or torch array, got {type(x).__name__}: convert it first")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {x.dtype}: booleans are needed, True where k-space was sampled")
    pattern = x != 0
    if x.dtype.kind != "b" and not (pattern == x).all():
        raise ValueError(f"{name} holds other values than 0 and 1: a boolean pattern is needed, as weights > 0")
    return pattern


def weights(name: str, w) -> np.ndarray:
    """Check a numpy array of weights of squared errors; returns it real: complex-typed ones that are real count.

    Raises:
        TypeError, ValueError: complex or no numbers, not finite, below 0, zero everywhere.
    """
    if w.dtype.kind == "c" and not w.imag.any():
        w = w.real
    if w.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {w.dtype}: real ones >= 0 are needed, each that of a sample's squared error")
    if not (w >= 0).all() or not (w < float("inf")).all():
        raise ValueError(f"{name} must be finite and >= 0, the lowest is {w.min():.3g}: each is that of one sample's "
                         "squared error")
    if not w.any():
        raise ValueError(f"{name} is zero everywhere: nothing is sampled")
    return w


def choice(name: str, x, options):
    """Check that `x` is one of `options`; returns it."""
    if not any(x is option or (type(x) is type(option) and x == option) for option in options):
        raise ValueError(f"{name} must be one of {', '.join(map(str, options))}, got {brief(x)}{meant(x, options)}")
    return x


def called(part) -> str:
    """A dataclass as it would be called: `Fit(lr=0.005)`, with what is not at its default."""
    given = ((f.name, getattr(part, f.name)) for f in dataclasses.fields(part) if getattr(part, f.name) != f.default)
    return f"{type(part).__name__}({', '.join(f'{name}={value!r}' for name, value in given)})"


def extra(module: str, name: str):
    """Import an optional package, or raise an ImportError that names the extra to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} is needed here: pip install 'pisolve[{name}]'") from error
