"""What is particular to a GPU: which one, torch and cupy on one stream, memory that is left and given back.

Classical operators run on cupy arrays, networks on torch tensors, and DLPack hands memory from one to the other. The
consumer passes its stream to the producer's `__dlpack__`, as the array API standard says, so that it waits for what is
still being written; `joined` keeps both on one stream, so that memory is not used again while the other still reads it.
Nothing here imports cupy or torch before there is a GPU to be used.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from contextlib import contextmanager

import numpy as np

from pisolve._check import brief, extra, is_cupy, is_torch

CACHES: list = []  # functions that forget copies on a GPU, see `backend.Constant`
DEVICES = "'cpu', 'cuda', 'cuda:1' or 'auto'"


class OutOfMemory(MemoryError):
    """The memory of the GPU does not suffice; the message says what would be needed and what helps."""


def check_device(device) -> str:
    """`device` where it is one of "cpu", "cuda", "cuda:N", "auto", whatever this machine has; else an error."""
    if not isinstance(device, str):
        raise TypeError(f"device must be {DEVICES}, got {brief(device)}")
    word, _, number = device.partition(":")
    if device not in ("cpu", "auto", "cuda") and not (word == "cuda" and number.isdecimal()):
        raise ValueError(f"device must be {DEVICES}, got {brief(device)}")
    return device


def find_gpu(device: str) -> int | None:
    """The index of the GPU that `device` names, None for the CPU: "auto" takes the current GPU where there is one.

    Raises:
        TypeError, ValueError: no such device, on this machine or at all.
        ImportError: a GPU is asked for and cupy is missing.
    """
    check_device(device)
    if device == "cpu":
        return None
    if device == "auto":
        return _first()
    try:
        import cupy
    except ImportError as error:
        raise ImportError(f"device is {device!r}, but cupy is missing: pip install 'pisolve[gpu]', or take 'cpu' or "
                          "'auto'") from error
    count = _count(cupy)
    index = int(device.partition(":")[2] or 0) if ":" in device else None
    if count == 0:
        raise ValueError(f"device is {device!r}, but this machine has no GPU that CUDA can use: take 'cpu' or 'auto'")
    if index is not None and index >= count:
        raise ValueError(f"device is {device!r}, but there are {count} GPUs, 'cuda:0' to 'cuda:{count - 1}'")
    return _current() if index is None else index


def _first() -> int | None:
    try:
        import cupy
    except ImportError:
        torch = sys.modules.get("torch")  # who has not loaded it has no network on a GPU either
        if torch is not None and torch.cuda.is_available():
            warnings.warn("torch sees a GPU, but cupy is missing, without which it is not used: pip install "
                          "'pisolve[gpu]'", stacklevel=5)
        return None
    return _current() if _count(cupy) else None


def _count(cupy) -> int:
    return cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0


def _current() -> int:
    import cupy

    return int(cupy.cuda.Device().id)


def on_gpu(tensor) -> bool:
    """Whether a torch tensor's memory is a GPU's."""
    return tensor.device.type == "cuda"


def torch_device(index: int):
    """torch's name of a GPU; an ImportError where this torch was built without CUDA."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError("a network is to run on the GPU, and this torch cannot: install torch with CUDA, or take "
                          "device='cpu'")
    return torch.device("cuda", index)


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

    if x.__dlpack_device__()[0] != 1:  # memory of the CPU
        torch_device(x.device.id)
    return torch.from_dlpack(cupy.ascontiguousarray(x))


def from_torch(tensor, like=None):
    """A numpy array (CPU) or cupy array (CUDA) that shares memory with the detached tensor; lazy bits are resolved.

    A tensor that came of a cupy array, `like`, becomes one. cupy passes its current stream to torch, which makes that
    wait; torch exports tensors of its current device only, so that is the tensor's meanwhile.
    """
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if on_gpu(tensor) or is_cupy(like):
        import torch

        cupy = extra("cupy", "gpu")
        with torch.cuda.device_of(tensor):
            return cupy.from_dlpack(tensor)
    if tensor.device.type == "cpu":
        return tensor.numpy()
    raise ValueError(f"a tensor on device {tensor.device} cannot be used: move it to 'cpu' or 'cuda'")


@contextmanager
def joined(x):
    """cupy and torch on the device of `x` and on one stream, the one on which the library of `x` works now.

    One stream keeps the order of all work on the array, and with it memory that one library frees is not written anew
    while the other still reads it, which DLPack alone does not promise. On the CPU: nothing.
    """
    if is_torch(x) and x.device.type == "cuda":
        import torch

        cupy = extra("cupy", "gpu")
        stream = torch.cuda.current_stream(x.device).cuda_stream
        with (cupy.cuda.Device(x.device.index), torch.cuda.device(x.device),
              cupy.cuda.ExternalStream(stream) if stream else cupy.cuda.Stream.null):
            yield
    elif is_cupy(x) and "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        import cupy
        import torch

        with x.device, torch.cuda.device(x.device.id):
            address = cupy.cuda.get_current_stream().ptr
            stream = torch.cuda.ExternalStream(address) if address > 1 else torch.cuda.default_stream()
            with torch.cuda.stream(stream):
                yield
    else:
        yield


def free_memory(index: int | None = None) -> int:
    """Bytes of a GPU (None: the current one) that can be had: those free, and those that cupy and torch keep cached."""
    import cupy

    with cupy.cuda.Device(_current() if index is None else index) as device:
        free = device.mem_info[0] + cupy.get_default_memory_pool().free_bytes()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free += torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index)
    return int(free)


def release() -> None:
    """Give cached memory back: plans of FFTs, copies of constants, the pools of cupy and torch."""
    import cupy

    for forget in CACHES:
        forget()
    cupy.fft.config.get_plan_cache().clear()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def working_on(index: int | None, need: str = ""):
    """Work on this GPU, and give its memory back, also where the work fails; None: the CPU, nothing is done.

    An error's frames are emptied on its way out, since the arrays in them would stay on the GPU with it.

    Raises:
        OutOfMemory: cupy or torch found no memory; `need` says what was expected.
    """
    if index is None:
        yield
        return
    import cupy

    try:
        with cupy.cuda.Device(index):
            yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        if type(error).__name__ == "OutOfMemoryError":
            error.__traceback__ = None
            raise OutOfMemory(f"the GPU's memory does not suffice ({str(error).splitlines()[0]}). {need}") from None
        raise
    finally:
        with cupy.cuda.Device(index):
            release()
