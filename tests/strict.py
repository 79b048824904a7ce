"""Tensors in the CPU's memory as strict as those on a GPU, their copies and bytes counted. The arithmetic is torch's.

torch's own kernels run, see `backend.torch_kernels`: a GPU differs by its kernels alone. What a GPU would refuse is
refused here: numpy's functions on tensors, `numpy()` before `cpu()`, and a tensor that is made without a device, which
lies on "meta" and fits no other.
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pisolve import backend

SCALARS = ("item", "__float__", "__bool__", "__int__", "__complex__")


@contextmanager
def strict(monkeypatch):
    """`with strict(monkeypatch) as counts`: "down" and "up" are arrays moved, "scalars" numbers that were read."""
    counts = Counter()
    from_numpy, numpy = torch.from_numpy, torch.Tensor.numpy

    def cpu(self):
        counts["down" if self.numel() > 1 else "scalars"] += 1
        copied = self.detach().clone()
        copied.of_the_host = True
        return copied

    def as_numpy(self):
        if not hasattr(self, "of_the_host"):
            raise TypeError("can't convert cuda tensor to numpy: use Tensor.cpu()")
        return numpy(self).copy()  # whose base is no tensor

    def refuse(self, *args, **options):
        raise TypeError("can't convert cuda tensor to numpy")

    def up(array):
        counts["up"] += array.size > 1
        return from_numpy(array)

    def counted(name):
        read = getattr(torch.Tensor, name)

        def reading(self):
            counts["scalars"] += 1
            with torch._C.DisableTorchFunction():  # which would call this a second time
                return read(self)

        return reading

    with monkeypatch.context() as patch, backend.torch_kernels(), torch.device("meta"):
        for name, replaced in {"cpu": cpu, "numpy": as_numpy, "__array__": refuse, **{
                name: counted(name) for name in SCALARS}}.items():
            patch.setattr(torch.Tensor, name, replaced)
        patch.setattr(torch, "from_numpy", up)
        yield counts
    backend.Constant.forget()


class Memory(TorchDispatchMode):
    """The bytes of all tensors that operations see: `live` now, `peak` at most."""

    def __init__(self):
        super().__init__()
        self.seen, self.peak = {}, 0

    @property
    def live(self):
        """Bytes of tensors that are still there."""
        self.seen = {key: one for key, one in self.seen.items() if not one[0].expired()}
        return sum(size for _, size in self.seen.values())

    def __torch_dispatch__(self, function, types, args=(), options=None):
        out = function(*args, **(options or {}))
        for tensor in tree_leaves((args, options, out)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                self.seen.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.peak = max(self.peak, self.live)
        return out
