"""A module with cupy's manners on numpy's arithmetic: the paths for a GPU run, and are counted, where there is none.

What is strict about it: no implicit conversion in either direction (a numpy array beside one of these is a TypeError,
as in cupy), reductions give 0-d arrays and no scalars, numpy's functions are dispatched as cupy does it, only to
functions that cupy has, and every copy between the two memories is counted. It says nothing of cupy's kernels, nor of
their speed.
"""

from __future__ import annotations

import types
from contextlib import contextmanager

import numpy as np

NAMES = {  # what is passed on to numpy, all of it in cupy
    "ufuncs": """add subtract multiply divide true_divide negative absolute conjugate exp sqrt square maximum minimum
        greater greater_equal less less_equal equal not_equal logical_and logical_or logical_not isfinite isnan isinf
        power sin cos floor_divide remainder invert bitwise_and bitwise_or sign hypot arctan2 matmul floor ceil log""",
    "functions": """where concatenate stack moveaxis swapaxes expand_dims broadcast_to roll flip zeros_like ones_like
        empty_like full_like vdot dot tensordot einsum take ascontiguousarray sum clip percentile pad real imag angle
        isclose allclose diff repeat tile max min mean outer argmax argmin nonzero any all reshape ravel transpose
        squeeze shape ndim size linspace cumsum sort searchsorted triu tril diag diagonal trace""",
    "makers": "zeros ones empty full arange eye identity meshgrid hanning",
    "linalg": "norm eigh eigvalsh svd solve inv pinv qr cholesky",
    "fft": "fftn ifftn fft ifft fft2 ifft2 fftshift ifftshift fftfreq",
    "plain": "float32 float64 complex64 complex128 int32 int64 intp bool_ finfo iinfo newaxis pi inf nan",
}
NAMES = {kind: text.split() for kind, text in NAMES.items()}


def make(free: int = 1 << 34) -> types.ModuleType:
    """A fresh module `cupy` with one GPU of `free` bytes; `counts`, `live` and `peak` (bytes) tell what was done."""
    cupy = types.ModuleType("cupy")
    cupy.counts = {"down": 0, "up": 0, "scalars": 0}
    cupy.live = cupy.peak = 0
    cupy.released, cupy.device_memory = 0, free
    cupy.streams = [Stream(0)]

    def unwrap(x):
        if isinstance(x, ndarray):
            return x._x
        if isinstance(x, np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if isinstance(x, tuple | list):
            return type(x)(unwrap(v) for v in x)
        return x

    def wrap(x):
        if isinstance(x, np.ndarray | np.generic):
            return ndarray(np.asarray(x))
        return type(x)(*map(wrap, x)) if hasattr(x, "_fields") else type(x)(map(wrap, x)) if isinstance(
            x, tuple | list) else x

    def function(f):
        return lambda *a, **k: wrap(f(*unwrap(a), **{n: unwrap(v) for n, v in k.items()}))

    class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
        """cupy.ndarray."""

        __array_priority__ = 100

        def __init__(self, x):
            self._x, self._bytes = x, x.nbytes if x.base is None else 0
            self._base = None
            cupy.live += self._bytes
            cupy.peak = max(cupy.peak, cupy.live)
            if cupy.live > cupy.device_memory:
                raise cupy.cuda.memory.OutOfMemoryError(f"Out of memory allocating {x.nbytes:,} bytes")

        def __del__(self):
            cupy.live -= self._bytes

        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
                            "NumPy array explicitly.")

        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            if method != "__call__" or not hasattr(cupy, ufunc.__name__):
                return NotImplemented
            out = options.pop("out", None)
            options = {n: unwrap(v) for n, v in options.items()} | ({} if out is None else {"out": unwrap(out[0])})
            answer = ufunc(*unwrap(inputs), **options)
            return wrap(answer) if out is None else out[0]

        def __array_function__(self, func, kinds, a, k):
            module = cupy
            for name in func.__module__.split(".")[1:]:
                module = getattr(module, name, None)
            known = getattr(module, func.__name__, None)
            return NotImplemented if known is None or known is func else known(*a, **k)

        def get(self, stream=None, order="C", out=None):
            cupy.counts["down" if self._x.size > 1 else "scalars"] += 1
            return np.array(self._x, order="C")

        def item(self):
            return self.get().item()

        def __float__(self):
            return float(self.get())

        def __int__(self):
            return int(self.get())

        def __complex__(self):
            return complex(self.get())

        def __bool__(self):
            return bool(self.get())

        def __index__(self):
            return self.get().__index__()

        def __len__(self):
            return len(self._x)

        def __iter__(self):
            return (self[i] for i in range(len(self)))

        def __getitem__(self, key):
            return self._view(np.asarray(self._x[unwrap(key)]))

        def __setitem__(self, key, value):
            if isinstance(value, np.ndarray):
                raise TypeError("non-scalar numpy.ndarray cannot be used for fill")
            self._x[unwrap(key)] = unwrap(value)

        def _view(self, x):
            out = ndarray(x)
            out._base = self  # memory lives as long as its views
            return out

        def __repr__(self):
            return repr(self._x)

        def __dlpack__(self, *, stream=None, **options):
            cupy.exchanged = stream
            return self._x.__dlpack__()

        def __dlpack_device__(self):
            return self._x.__dlpack_device__()

        def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
            return self if not copy and np.dtype(dtype) == self.dtype else ndarray(self._x.astype(dtype))

        @property
        def real(self):
            return self._view(self._x.real)

        @property
        def imag(self):
            return self._view(self._x.imag)

        @property
        def device(self):
            return cupy.cuda.Device(0)

    for name in ("shape", "dtype", "ndim", "size", "nbytes", "strides", "flags", "itemsize"):
        setattr(ndarray, name, property(lambda self, name=name: getattr(self._x, name)))
    ndarray.T = property(lambda self: self._view(self._x.T))
    for name in ("reshape", "transpose", "swapaxes", "ravel", "squeeze", "view", "diagonal"):  # views where numpy's are
        setattr(ndarray, name, lambda self, *a, name=name, **k: self._view(getattr(self._x, name)(*a, **k)))
    for name in ("conj", "copy", "sum", "max", "min", "any", "all", "mean", "argmax", "argmin", "clip", "dot", "cumsum",
                 "prod", "take"):
        setattr(ndarray, name, lambda self, *a, name=name, **k: wrap(np.asarray(
            getattr(self._x, name)(*unwrap(a), **{n: unwrap(v) for n, v in k.items()}))))
    ndarray.fill = lambda self, value: self._x.fill(unwrap(value))
    ndarray.__module__ = "cupy"

    def array(x, dtype=None, copy=True, **options):
        if isinstance(x, np.ndarray) and x.size > 1:
            cupy.counts["up"] += 1
        x = unwrap(x) if not isinstance(x, np.ndarray) else x
        return ndarray(np.array(x, dtype=dtype))

    def asarray(x, dtype=None, **options):
        same = isinstance(x, ndarray) and (dtype is None or np.dtype(dtype) == x.dtype)
        return x if same else array(x, dtype)

    for name in NAMES["ufuncs"] + NAMES["functions"] + NAMES["makers"]:
        setattr(cupy, name, function(getattr(np, name)))
    cupy.abs, cupy.conj = cupy.absolute, cupy.conjugate
    for name in NAMES["plain"]:
        setattr(cupy, name, getattr(np, name))
    cupy.linalg, cupy.fft = types.SimpleNamespace(), types.SimpleNamespace(config=types.SimpleNamespace())
    for name in NAMES["linalg"]:
        setattr(cupy.linalg, name, function(getattr(np.linalg, name)))
    for name in NAMES["fft"]:
        setattr(cupy.fft, name, function(getattr(np.fft, name)))
    cupy.fft.config.get_plan_cache = lambda: types.SimpleNamespace(clear=lambda: None)
    cupy.ndarray, cupy.array, cupy.asarray = ndarray, array, asarray
    cupy.result_type = lambda *a: np.result_type(*(v.dtype if isinstance(v, ndarray) else v for v in a))
    cupy.asnumpy = lambda x: x.get() if isinstance(x, ndarray) else np.asarray(x)
    cupy.get_array_module = lambda *a: cupy if any(isinstance(v, ndarray) for v in a) else np
    cupy.from_dlpack = lambda x, **k: ndarray(x.numpy().view())

    def release():
        cupy.released += 1

    pool = types.SimpleNamespace(free_all_blocks=release, used_bytes=lambda: cupy.live, free_bytes=lambda: 0)
    cupy.get_default_memory_pool = cupy.get_default_pinned_memory_pool = lambda: pool

    class Device:
        def __init__(self, id=0):
            self.id = id

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def __eq__(self, other):
            return self.id == other.id

        __hash__ = None

        def __int__(self):
            return self.id

        def use(self):
            return None

        @property
        def mem_info(self):
            return cupy.device_memory - cupy.live, cupy.device_memory

    cupy.cuda = types.SimpleNamespace(
        Device=Device, is_available=lambda: True, runtime=types.SimpleNamespace(getDeviceCount=lambda: 1),
        memory=types.SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (MemoryError,), {})),
        get_current_stream=lambda: cupy.streams[-1], ExternalStream=lambda ptr, *_: _entered(cupy, Stream(ptr)),
        Stream=types.SimpleNamespace(null=_entered(cupy, Stream(0))))
    return cupy


class Stream:
    """A stream by its address."""

    def __init__(self, ptr):
        self.ptr = ptr


def _entered(cupy, stream):
    """The stream as a context that makes it the current one."""
    @contextmanager
    def enter():
        cupy.streams.append(stream)
        try:
            yield stream
        finally:
            cupy.streams.pop()

    class Current(Stream):
        def __enter__(self):
            self._open = enter()
            return self._open.__enter__()

        def __exit__(self, *error):
            return self._open.__exit__(*error)

    return Current(stream.ptr)
