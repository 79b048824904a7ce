"""Training in several processes: shares of a batch, averaged gradients, and one process that writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist


class Group:
    """The processes of one training: `rank` of `world`; one alone where no process group is initialised."""

    def __init__(self):
        active = dist.is_available() and dist.is_initialized()
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if active else (0, 1)
        self.first = self.rank == 0

    def average_gradients(self, network: torch.nn.Module, stop: bool = False) -> bool:
        """Replace every gradient by its mean over the processes, in one message; True where any wants to stop.

        Parameters that got no gradient in one process count as zero there; those that got none in any have none.
        """
        if self.world == 1:
            return stop
        parameters = [p for p in network.parameters() if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        parts = [torch.view_as_real(g.resolve_conj()) if g.is_complex() else g for g in parts]
        flags = parts[0].new_tensor([*(float(p.grad is not None) for p in parameters), float(stop)])
        flat = torch.cat([*(g.reshape(-1) for g in parts), flags])
        dist.all_reduce(flat)
        place, found = 0, flat[-len(flags):-1].tolist()
        for p, g, number in zip(parameters, parts, found):
            new = (flat[place: place + g.numel()] / self.world).view(g.shape)
            new = torch.view_as_complex(new.contiguous()) if p.is_complex() else new
            p.grad = new if number else None  # what is not trained now must not move by its momentum
            place += g.numel()
        return bool(flat[-1] > 0)

    def mean(self, value: torch.Tensor) -> float:
        """The mean of a scalar over the processes."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
        return float(value) / self.world

    def same(self, network: torch.nn.Module) -> None:
        """Give every process the weights of the first one."""
        if self.world > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)


@contextlib.contextmanager
def processes(device: str = "cpu") -> Iterator[Group]:
    """The process group that torchrun asks for by its environment variables; none is made without them.

    gloo on the CPU, nccl on GPUs, of which each process takes the one of its local rank.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield Group()
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Group()
    finally:
        dist.destroy_process_group()


def share(number: int, rank: int, world: int) -> range:
    """The places in a batch of `number` that process `rank` of `world` takes.

    Raises:
        ValueError: the batch cannot be shared evenly, so that the mean of the gradients would not be that of the batch.
    """
    if number % world:
        raise ValueError(f"a batch of {number} cannot be shared by {world} processes: give a multiple of {world}")
    each = number // world
    return range(rank * each, (rank + 1) * each)
