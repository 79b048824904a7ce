"""Tensors out of files of others: plain ones, of what the file itself holds, in networks no larger than that."""

from __future__ import annotations

import contextlib
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.modules import module as hooks

from pisolve.io.door import reading
from pisolve.io.limits import limit, too_large

PARTS = 40_000  # modules and arrays of weights of a network: a hundred times those of the largest one here
NUMBERS = 1 << 27  # weights of one that a configuration describes, 0.5 GB; VarNet's 30 million are the most here
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.uint8,
          torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)


class Foreign(ValueError):
    """A file that holds no plain weights."""


def read_plain(path, device="cpu"):
    """What `torch.save` wrote, plain values and tensors; no code is run.

    Raises:
        Foreign: anything else.
        ValueError: unpacked it needs more than half of the machine's memory.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                total, most = sum(member.file_size for member in archive.infolist()), limit(None)
            if total > most:
                raise too_large(path, "the archive", total, most)
        return torch.load(path, map_location=device, weights_only=True)
    except (ImportError, Warning, MemoryError, PermissionError):
        raise
    except Exception as error:  # the unpickler's are of any kind
        if "TorchScript" in str(error):
            raise Foreign(f"{path.name} is a TorchScript module, which is code: load it yourself, if you trust it, "
                          "by torch.jit.load, and give it to pisolve.Denoiser") from error
        raise Foreign(f"{path} is no file of plain weights ({type(error).__name__}): it is corrupt or holds pickled "
                      "code; save the state dict alone, best as .safetensors") from error


def check_tensors(path, weights: dict) -> None:
    """Refuse tensors that are no plain arrays of numbers, that the file does not hold itself, or that are not finite.

    Raises:
        ValueError: sparse, quantised, of another device, of a dtype such as float8, or a small tensor that says of
            itself that it is a huge one.
    """
    with reading(path, "weights"):
        for name, tensor in weights.items():
            if not isinstance(name, str):
                raise ValueError(f"{path} has a tensor of the name {name!r}: names are text")
            if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
                raise ValueError(f"{path}: {name} is a sparse, quantised or empty tensor: plain ones are needed")
            if tensor.dtype not in DTYPES:
                raise ValueError(f"{path}: {name} has the dtype {tensor.dtype}: plain numbers are needed")
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise ValueError(f"{path}: {name} declares the shape {tuple(tensor.shape)}, more than the file holds")
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{path} holds NaN or Inf among its weights: the training failed or the file is "
                                 "corrupt")


@contextlib.contextmanager
def building(most: int | None = None) -> Iterator[None]:
    """While a network is made that a file describes: it may have `PARTS` parts and `most` numbers, None: `NUMBERS`.

    Raises:
        ValueError: it has more; before they are filled.
    """
    most, here, count = NUMBERS if most is None else most, threading.get_ident(), {"parts": 0, "numbers": 0}

    def add(kind, n, allowed):
        if threading.get_ident() == here:
            count[kind] += n
            if count[kind] > allowed:
                raise ValueError(f"a network of more than {allowed:,} {kind} is described: not so large a one is meant")

    def part(module, name, child):
        add("parts", 1, PARTS)

    def parameter(module, name, value):
        add("parts", 1, PARTS)
        add("numbers", 0 if value is None else value.numel(), most)

    handles = [hooks.register_module_module_registration_hook(part),
               hooks.register_module_parameter_registration_hook(parameter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
