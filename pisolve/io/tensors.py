"""Tensors out of files of others: plain ones, of what the file itself holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pisolve.io.door import mapping, reading
from pisolve.io.limits import limit, too_large

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "uint8", "int8", "int16", "int32",
          "int64", "bool")


class Foreign(ValueError):
    """A file that holds no plain weights."""


def read_plain(path, device="cpu"):
    """What `torch.save` wrote, plain values and tensors; no code is run.

    Raises:
        Foreign: anything else.
        ValueError: unpacked it needs more than half of the machine's memory.
    """
    import torch

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
    import torch

    with reading(path, "weights"):
        for name, tensor in weights.items():
            if not isinstance(name, str):
                raise ValueError(f"{path} has a tensor of the name {name!r}: names are text")
            if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
                raise ValueError(f"{path}: {name} is a sparse, quantised or empty tensor: plain ones are needed")
            if str(tensor.dtype).removeprefix("torch.") not in DTYPES:
                raise ValueError(f"{path}: {name} has the dtype {tensor.dtype}: plain numbers are needed")
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise ValueError(f"{path}: {name} declares the shape {tuple(tensor.shape)}, more than the file holds")
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{path} holds NaN or Inf among its weights: the training failed or the file is "
                                 "corrupt")


def tensors_of(path) -> dict:
    """{name: tensor} of a state dict that `torch.save` wrote, on the CPU, checked.

    Raises:
        Foreign, ValueError: as `read_plain` and `check_tensors`; anything but tensors by name.
    """
    import torch

    with reading(path, "weights"):
        found = mapping(path, read_plain(path), "what it holds")
        for name, value in found.items():
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{path}: {name!r} is {type(value).__name__}: a tensor is needed")
    check_tensors(path, found)
    return found
