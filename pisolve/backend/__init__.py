"""Arrays of numpy, torch and cupy under one set of names; with `_cuda` in this room, what knows a GPU and DLPack.

Solvers and priors use `+ - *` and the few functions here, so that one line of mathematics runs on all three. The
functions ask the array's type and import nothing that is not loaded already.
"""

from __future__ import annotations

import mmap
from typing import Any
from weakref import WeakSet

import numpy as np

from pisolve._check import dtype_name, is_cupy, is_torch
from pisolve.backend._blas import one_blas_thread
from pisolve.backend._cuda import (
    CACHES,
    OutOfMemory,
    check_device,
    cupys_memory,
    find_gpu,
    free_memory,
    from_torch,
    joined,
    native,
    release,
    to_torch,
    torch_kernels,
    working_on,
)
from pisolve.backend._jit import jit
from pisolve.backend._magnitude import compiles, magnitude, namespace, shrink, shrink_factor, sqrt, unit
from pisolve.backend._threads import borrowed, parallel, pieces, shares, side_by_side, threads

__all__ = ["Constant", "OutOfMemory", "borrowed", "cast", "check_device", "compiles", "copy", "dot", "empty", "fft",
           "find_gpu", "free_memory", "from_torch", "jit", "joined", "like", "magnitude", "namespace", "native", "norm",
           "number", "one_blas_thread", "parallel", "pieces", "real", "release", "scratch", "shares", "shift", "shrink",
           "shrink_factor", "side_by_side", "sqrt", "threads", "to_numpy", "to_torch", "together", "torch_kernels",
           "unit", "vdot", "working_on", "workspace", "zeros", "zeros_like"]


def vdot(a, b):
    """The inner product sum(conj(a) * b) over all entries: a 0-d scalar of the array's own kind."""
    if is_torch(a):
        import torch

        return torch.vdot(a.reshape(-1), b.reshape(-1))
    return namespace(a).vdot(a, b)


def norm(x):
    """The Euclidean norm over all entries: a real 0-d scalar of the array's own kind."""
    if is_torch(x):
        import torch

        x = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x  # complex norms took 70 times as long
        return torch.linalg.vector_norm(x)
    return namespace(x).sqrt(vdot(x, x).real)


def dot(a, b):
    """The real inner product Re sum(conj(a) * b): what optimisation over complex images uses."""
    return vdot(a, b).real


def real(scalar) -> float:
    """A python float of a real 0-d value of any array kind, detached."""
    return float(scalar.detach() if is_torch(scalar) else scalar)


def zeros(shape, like, dtype: str | None = None):
    """An array of zeros of this shape and of the dtype, kind and device of `like`, or of another dtype by its name."""
    return namespace(like).zeros(tuple(shape), **_as(like, dtype))


def empty(shape, like, dtype: str | None = None):
    """The same without values."""
    return namespace(like).empty(tuple(shape), **_as(like, dtype))


def _as(like, dtype):
    if is_torch(like):
        return {"device": like.device, "dtype": like.dtype if dtype is None else getattr(namespace(like), dtype)}
    return {"dtype": like.dtype if dtype is None else dtype}


def together(x, y) -> str:
    """The name of the dtype that x * y has."""
    return np.result_type(dtype_name(x), dtype_name(y)).name


def cast(x, dtype):
    """x in another precision, by its name or that of an array; itself where it has it."""
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    return x.to(getattr(namespace(x), name)) if is_torch(x) else x.astype(name, copy=False)


def number(value: float, like):
    """A real number that keeps the precision of the array `like`, which is multiplied by it."""
    return float(value) if is_torch(like) else like.real.dtype.type(value)


def shift(x, axes, *, inverse: bool = False):
    """`fftshift` over axes, or `ifftshift`."""
    fft = namespace(x).fft
    return (fft.ifftshift if inverse else fft.fftshift)(x, **{"dim" if is_torch(x) else "axes": tuple(axes)})


def like(array, x):
    """A numpy array as one of the kind and on the device of `x`; its dtype is kept."""
    if is_cupy(x):
        with x.device:
            return namespace(x).asarray(array)
    return to_torch(array).to(x.device) if is_torch(x) else np.asarray(array)


def scratch(shape, dtype) -> np.ndarray:
    """An array of work space, in memory of its own, which goes back whole when the array is let go.

    Among images that come and go, arrays of another size leave holes which no image fits: the process grows.
    """
    count = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(1, count) * np.dtype(dtype).itemsize), dtype, count).reshape(shape)


def workspace(x) -> int:
    """Bytes that the temporaries of one operator may take beside `x`: on a GPU an eighth of what is free, as 2^n.

    Rounded down, so that groups of coils, and with them the last bits of their sums, are the same from run to run
    unless the free memory is another by a factor of two. In the CPU's memory: 256 MB.
    """
    if not is_cupy(x) and not (is_torch(x) and x.device.type == "cuda"):
        return 1 << 28
    free = cupys_memory(x) if is_cupy(x) else free_memory(x.device)
    return 1 << max(24, (free // 8).bit_length() - 1)


class Constant:
    """An array that an operator or a prior keeps, and its copies of other kinds: each is made once, when asked for.

    Args:
        array: of any kind; never changed.
    """

    _alive: WeakSet[Any] = WeakSet()

    def __init__(self, array: Any) -> None:
        self.array: Any = array
        self._copies: dict[Any, Any] = {}
        Constant._alive.add(self)

    def like(self, x: Any, dtype: str | None = None) -> Any:
        """The array as one of the kind and on the device of `x`, in its own dtype or another (by its name)."""
        if isinstance(x, np.ndarray) and isinstance(self.array, np.ndarray):
            return self.array if dtype is None else self.array.astype(dtype, copy=False)
        place = str(x.device) if is_torch(x) else x.device.id if is_cupy(x) else None
        key = (namespace(x), place, dtype)
        if key not in self._copies:
            array = to_numpy(self.array)
            self._copies[key] = like(array if dtype is None else array.astype(dtype, copy=False), x)
        return self._copies[key]

    def __reduce__(self) -> Any:
        return Constant, (self.array,)

    @classmethod
    def forget(cls) -> None:
        """Drop all copies: they are made again where they are asked for."""
        for one in list(cls._alive):
            one._copies.clear()


CACHES.append(Constant.forget)


def zeros_like(x):
    """An array of zeros of the same shape, dtype, kind and device."""
    return namespace(x).zeros_like(x)


def copy(x):
    """A copy that shares no memory with `x` (differentiable for torch)."""
    return x.clone() if is_torch(x) else x.copy()


def fft(x, axes, *, inverse: bool = False, centred: bool = True):
    """Orthonormal FFT over `axes` of a numpy, cupy or torch array; `centred` puts the origin at index N // 2.

    X[k] = 1/sqrt(N) sum_n x[n] exp(-2 pi i (k - N//2)(n - N//2) / N) for `centred`, both origins at 0 without.
    A new array is returned; complex64 stays complex64.
    """
    axes = tuple(a % x.ndim for a in axes)
    xp = namespace(x)
    if not axes:
        return copy(x)
    if xp is np:
        import scipy.fft

        if centred:
            x = scipy.fft.ifftshift(x, axes=axes)
        x = (scipy.fft.ifftn if inverse else scipy.fft.fftn)(
            x, axes=axes, norm="ortho", workers=threads(), overwrite_x=centred)
        return scipy.fft.fftshift(x, axes=axes) if centred else x
    if centred:
        x = shift(x, axes, inverse=True)
    x = (xp.fft.ifftn if inverse else xp.fft.fftn)(x, norm="ortho", **{"dim" if is_torch(x) else "axes": axes})
    return shift(x, axes) if centred else x


def to_numpy(x) -> np.ndarray:
    """A numpy array with the values of `x`, from wherever it lives."""
    if is_torch(x):
        x = x.detach().resolve_conj().resolve_neg()
        return (x.float() if x.dtype.itemsize == 2 and "bfloat16" in str(x.dtype) else x).cpu().numpy()
    return x.get() if is_cupy(x) else np.asarray(x)
