"""What is particular to a GPU: which one, tensors there and back, memory that is left and given back.

On a GPU torch is the array. By torch's own kernels the same code runs in the CPU's memory, too, within
`torch_kernels()`: the tests do so. cupy's arrays are taken where a user brings them; DLPack hands their memory to a
network and back, and `joined` keeps both libraries on one stream. Nothing here imports either before it is used.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import numpy as np

from pisolve._check import brief, is_cupy, is_torch

CACHES: list = []  # functions that forget copies on a GPU, see `backend.Constant`
DEVICES = "'cpu', 'cuda', 'cuda:1' or 'auto'"
TORCH = "torch"  # the device of `torch_kernels`
_kernels: ContextVar[bool] = ContextVar("torch_kernels", default=False)


class OutOfMemory(MemoryError):
    """The memory of the GPU does not suffice; the message says what would be needed and what helps."""


def check_device(device) -> str:
    """`device` where it is one of "cpu", "cuda", "cuda:N", "auto", "torch", whatever this machine has; else an error.

    "torch" is for tests: what a GPU runs, in the CPU's memory.
    """
    if not isinstance(device, str):
        raise TypeError(f"device must be {DEVICES}, got {brief(device)}")
    word, _, number = device.partition(":")
    if device not in ("cpu", "auto", "cuda", TORCH) and not (word == "cuda" and number.isdecimal()):
        raise ValueError(f"device must be {DEVICES}, got {brief(device)}")
    return device


def find_gpu(device: str):
    """The `torch.device` that `device` names, None for the CPU: "auto" takes the current GPU where there is one.

    Raises:
        TypeError, ValueError: no such device, on this machine or at all.
        ImportError: a GPU is asked for, and torch is missing, or one without CUDA.
    """
    check_device(device)
    if device == "cpu":
        return None
    try:
        import torch
    except ImportError as error:
        if device == "auto":
            return None
        raise ImportError(f"device is {device!r}, but torch is missing: pip install torch, or take 'cpu' "
                          "or 'auto'") from error
    if device == TORCH:
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0 and device == "auto":
        return None
    if count == 0 and torch.version.cuda is None and torch.version.hip is None:
        raise ImportError(f"device is {device!r}, but this torch was built without CUDA: install one with it, see "
                          "pytorch.org, or take 'cpu' or 'auto'")
    index = int(device.partition(":")[2]) if ":" in device else None
    if count == 0:
        raise ValueError(f"device is {device!r}, but this machine has no GPU that CUDA can use: take 'cpu' or 'auto'")
    if index is not None and index >= count:
        raise ValueError(f"device is {device!r}, but there are {count} GPUs, 'cuda:0' to 'cuda:{count - 1}'")
    return torch.device("cuda", torch.cuda.current_device() if index is None else index)


@contextmanager
def torch_kernels():
    """Within it tensors in the CPU's memory go the way of those on a GPU, see `native`."""
    token = _kernels.set(True)
    try:
        yield
    finally:
        _kernels.reset(token)


def native(x) -> bool:
    """Whether torch's own kernels compute on `x`: it is a tensor, on a GPU or within `torch_kernels`.

    Other tensors in the CPU's memory share it with numpy, whose compiled kernels are faster there.
    """
    return is_torch(x) and (x.device.type != "cpu" or _kernels.get())


def to_torch(x):
    """A torch tensor that shares memory with the numpy or cupy array `x` where it can (native complex kept).

    Negative strides (fatal in DLPack), foreign byte order and read-only memory (exported writable) are copied first.
    torch passes its current stream to cupy, which makes that wait for what is still to be written.
    """
    import torch

    if is_torch(x):
        return x
    if isinstance(x, np.ndarray):
        x = np.require(x, requirements=["C", "W"]) if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
        if min(x.strides, default=0) < 0:  # axes of length 1 pass for contiguous
            x = x.copy()
        return torch.from_numpy(x)
    import cupy

    if not torch.cuda.is_available():
        raise ImportError("a network is to run on a cupy array, and this torch cannot: install torch with CUDA")
    return torch.from_dlpack(cupy.ascontiguousarray(x))


def from_torch(tensor, like=None):
    """The detached tensor as an array of the kind of `like`: itself, cupy's, or numpy's, as by default.

    Memory is shared, but a GPU's is copied for numpy; lazy bits are resolved. cupy passes its current stream to torch,
    which makes that wait; torch exports tensors of its current device only, so that is the tensor's meanwhile.
    """
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if is_torch(like):
        return tensor
    if is_cupy(like):
        import cupy
        import torch

        with torch.cuda.device_of(tensor):
            return cupy.from_dlpack(tensor)
    return tensor.cpu().numpy()


@contextmanager
def joined(x):
    """cupy and torch on the device of the cupy array `x` and on one stream, cupy's own; of other arrays: nothing.

    One stream keeps the order of all work on the array, and with it memory that one library frees is not written anew
    while the other still reads it, which DLPack alone does not promise.
    """
    torch = sys.modules.get("torch")
    if not is_cupy(x) or torch is None or not torch.cuda.is_available():
        yield
        return
    import cupy

    with x.device, torch.cuda.device(x.device.id):
        address = cupy.cuda.get_current_stream().ptr
        stream = torch.cuda.ExternalStream(address) if address > 1 else torch.cuda.default_stream()
        with torch.cuda.stream(stream):
            yield


def free_memory(place=None) -> int:
    """Bytes of a GPU (None: torch's current one) that can be had: those free, and those that torch keeps cached."""
    import torch

    if getattr(place, "type", None) == "cpu":
        return 1 << 34
    if place is None and not torch.cuda.is_available():
        raise ValueError("this machine has no GPU that CUDA can use: give the free bytes, free=8 << 30")
    cached = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    return int(torch.cuda.mem_get_info(place)[0] + cached)


def cupys_memory(x) -> int:
    """The same of the GPU of a cupy array, and what cupy keeps cached."""
    import cupy

    with x.device as device:
        return int(device.mem_info[0] + cupy.get_default_memory_pool().free_bytes())


def release() -> None:
    """Give cached memory back: copies of constants, plans of FFTs of the current GPU, torch's cache."""
    for forget in CACHES:
        forget()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.backends.cuda.cufft_plan_cache.clear()
        torch.cuda.empty_cache()


@contextmanager
def working_on(place, need: str = ""):
    """Work on this `torch.device`, without gradients, and give its memory back, also where the work fails.

    An error's frames are emptied on its way out, since the arrays in them would stay on the GPU with it. None: the CPU,
    nothing is done.

    Raises:
        OutOfMemory: torch found no memory; `need` says what was expected.
    """
    if place is None:
        yield
        return
    import torch

    here = torch.cuda.device(place) if place.type == "cuda" else torch_kernels()
    try:
        with here, torch.no_grad():
            yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        if type(error).__name__ == "OutOfMemoryError":
            error.__traceback__ = None
            raise OutOfMemory(f"the GPU's memory does not suffice ({str(error).splitlines()[0]}). {need}") from None
        raise
    finally:
        with torch.cuda.device(place) if place.type == "cuda" else nullcontext():
            release()
