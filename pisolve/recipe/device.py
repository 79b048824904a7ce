"""A reconstruction on a GPU: what it will need, how many slices fit, and all of it back on the CPU afterwards."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from types import SimpleNamespace
from typing import Any

from pisolve import _axes, _check, backend, io
from pisolve.backend import OutOfMemory
from pisolve.linops import Blocks
from pisolve.linops.metric import Metric
from pisolve.prepare import EACH, SENSE
from pisolve.priors import Denoiser, Wavelet
from pisolve.priors._module import is_module
from pisolve.problem import Problem, Split
from pisolve.solvers import Result, State, choose
from pisolve.solvers.base import walk

__all__ = ["OutOfMemory", "Plan", "home", "networks", "plan", "session"]

_IMAGES, _COEFFICIENTS = 14, 9  # of the size of the unknown, and of G x, that a step of a solver holds at most
_LAYERS = 5  # tensors of a network's first width that are alive at a time: in, out, normalised, joined
_KEPT, _SLACK = 6, 1.2  # of a fit: copies of its weights in a run; what the way back needs beside what was kept for it
_SHARE = 0.9  # of the free memory: CUDA and cuFFT keep some for themselves


@dataclass(frozen=True)
class Plan:
    """What a reconstruction will need on a GPU.

    Attributes:
        slices: how many slices' (parts') k-space and maps are there at a time; they are solved one after another.
        count: how many there are.
        parts: bytes by what they are for: "k-space" and "maps" of one slice, "coil images", "solver", "prior",
            "network" of the one that is being solved.
        free: bytes that are free.
    """

    slices: int
    count: int
    parts: dict[str, int]
    free: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.slices * self.per_slice + self.working

    @property
    def per_slice(self) -> int:
        """Bytes of each slice that is there."""
        return self.parts["k-space"] + self.parts["maps"]

    @property
    def working(self) -> int:
        """Bytes of the slice that is being solved."""
        return sum(self.parts.values()) - self.per_slice

    def __str__(self):
        told = ", ".join(f"{name} {_size(n)}" for name, n in self.parts.items() if n)
        return f"{self.slices} of {self.count} slices at a time: {_size(self.total)} of {_size(self.free)} ({told})"


def plan(scan: Any, recipe: Any = None, *, free: int | None = None, gpu: Any = None) -> Plan:
    """What `recon(scan, device="cuda")` will need on the GPU, before anything is put there.

        bytes = slices (k-space + maps) + coil images + solver + prior + network

    An estimate from above, from shapes alone: it is compared with the bytes that were allocated in the tests, where it
    is up to three times as much. Slices are solved one by one, as on the CPU, so their images are the same; what is
    sized to the memory is how many slices' data wait there.

    Args:
        scan: a `Scan`, the path of one, or the shape of k-space, (coil, ky, kx) or (slice, coil, ky, kx), complex64.
            Of a series or a volume a part is as large as the recipe's `each` leaves it.
        recipe: the `Recipe`; None: wavelets.
        free: bytes to plan for; None: what is free on the GPU.
        gpu: its index or `torch.device`, None: the current one.

    Returns:
        `Plan`, which prints as one line.

    Raises:
        TypeError, ValueError: no scan and no shape, or free not > 0.
        OutOfMemory: one slice does not fit; the message says what it would need and what helps.

    Example:
        print(pi.device.plan((32, 16, 320, 320), free=8 << 30))
    """
    recipe = recipe or SimpleNamespace(prior=None, solver=None, network=None, method=SENSE, maps=None, each=EACH)
    count, lead, (coils, *size), itemsize = _shape(scan, recipe.each)
    free = backend.free_memory(gpu) if free is None else _check.integer("free", free, low=1)
    frames, image, sets = prod(lead), prod(size) * itemsize, getattr(recipe.maps, "sets", 1)
    pixels = frames * image
    maps = sets * coils * image if recipe.method.needs_maps else 0
    whole = 3 * coils * pixels  # of a group of coils: times the map, its FFT, times the weight
    group = min(whole, max(free // 8, 1 << 24, 3 * pixels))  # see backend.workspace
    parts = {"k-space": coils * pixels, "maps": maps, "coil images": group + coils * pixels}  # and scaled k-space
    unknown = (*lead, *((coils,) if maps == 0 else (sets,) if sets > 1 else ()), *size)
    parts["solver"], parts["prior"] = _solving(recipe, unknown, itemsize, coils * pixels)
    parts["coil images"] += recipe.method.workspace((coils, *size), itemsize)
    parts["network"] = sum(_network(n, frames * prod(size), coils) for n in networks(recipe)) + _fit(
        recipe.prior, tuple(size))
    found = Plan(1, count, parts, free)
    room = int(_SHARE * free) - found.working
    if room < found.per_slice:
        one = " x ".join(map(str, (*lead, coils, *size)))
        what = "part" if lead or len(size) > 2 else "slice"
        raise OutOfMemory(f"a {what} of {one} needs {_size(found.total)} on the GPU, and {_size(free)} are free "
                          f"({str(found).partition('(')[2][:-1]}): fewer coils, such as compress=Compress(8), another "
                          "solver, or device='cpu'")
    return replace(found, slices=min(count, room // found.per_slice))


def _shape(scan, each):
    """(how many parts, the shape of a part's further axes, that of its coils and encoded axes, bytes of a sample)."""
    if isinstance(scan, tuple | list):
        shape = _check.shape("scan", scan)
        if len(shape) not in (3, 4):
            raise ValueError(f"scan must be (coil, ky, kx) or (slice, coil, ky, kx), got {shape}")
        return (shape[0] if len(shape) == 4 else 1), (), shape[-3:], 8
    if not isinstance(scan, io.Scan):
        if not isinstance(scan, str) and not hasattr(scan, "__fspath__"):
            raise TypeError(f"scan must be a Scan, its path, or the shape of its k-space, got {_check.brief(scan)}")
        scan = io.load(scan)
    labels = scan.labels(each)
    gone = {_axes.ENCODED.get(a, a) for label in labels[:1] for a in label}
    left = [(a, n) for a, n in zip(scan.axes, scan.kspace.shape) if a not in gone]
    at = [a for a, _ in left].index(_axes.COIL)
    sizes = [n for _, n in left]
    return len(labels), tuple(sizes[:at]), tuple(sizes[at:]), scan.kspace.dtype.itemsize


def _solving(recipe, shape, itemsize, data) -> tuple[int, int]:
    """Bytes of the solver's iterates and of the prior's workspace."""
    size = prod(shape) * itemsize
    if recipe.network is not None:
        return _IMAGES * size, 0
    prior = Wavelet() if recipe.prior is None else recipe.prior
    try:
        split = Split(prior, shape)
    except ValueError:  # nothing to split off, as with a gradient alone
        split = None
    solver = recipe.solver or choose(
        SimpleNamespace(prior=prior, splitting=split, forms=None, metric=Metric(None, shape)))
    images = _IMAGES + solver.keeps_images
    G = getattr(split, "linop", None)
    coefficients = 0 if G is None else prod(G.oshape) * itemsize * _COEFFICIENTS
    if isinstance(G, Blocks):
        images = images * max(1, -(-prod(G.ishape) // prod(shape)))
    return images * size + coefficients + solver.keeps_data * data, _transforms(prior) * size


def _transforms(prior) -> int:
    """Images that a wavelet transform holds: the windows of its filters."""
    return max((2 + p.W((64, 64)).filters.dec_len // 2 for p in walk(prior) if isinstance(p, Wavelet)), default=2)


def _network(network, pixels, coils) -> int:
    """Bytes of a network's weights and of its widest activations, in float32."""
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    widths = [m.out_channels for m in network.modules() if hasattr(m, "out_channels") and hasattr(m, "kernel_size")]
    images = 2 if getattr(network, "needs_maps", True) else max(2, coils)
    return weights + _LAYERS * images * (widths[0] if widths else 2) * pixels * 4


def _fit(prior, shape) -> int:
    """Bytes of a network that is fitted to an image (y, x): its weights, Adam's, and what the gradient keeps.

    The last is counted in a run on torch's device "meta", which has shapes and no memory. Of modules that cannot run
    there, and of those in `ZeroShot` that are no `Unrolled`, it is not known, and left out.
    """
    found = prior.rehearsal(shape) if hasattr(prior, "rehearsal") else None  # of fitted priors
    if found is None:
        return 0
    import torch

    module, given, call, times = found
    saved, alive = {}, []  # alive, so that no storage gets the number of another

    def keep(tensor):
        alive.append(tensor)
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    with suppress(RuntimeError, NotImplementedError), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        given, module = given.to("meta").requires_grad_(), module.to("meta")
        if times:
            call(given)
    return int(_SLACK * times * sum(saved.values())) + _KEPT * prior.runs * weights


def networks(recipe: Any) -> list[Any]:
    """The torch modules that a recipe runs: its network, or the denoisers in its prior and its fit's start."""
    found = [] if recipe.network is None else [recipe.network]
    for part in (*walk(recipe.prior), *walk(getattr(recipe.prior, "start", None))):
        D = getattr(part, "denoiser", None)
        if isinstance(D, Denoiser) and is_module(D.network):
            found.append(D.network)
    return found


@contextmanager
def session(gpu: Any, scan: io.Scan, recipe: Any):
    """Run a recipe on a GPU: its networks are there meanwhile, and at the end its memory is given back.

    Args:
        gpu: of `backend.find_gpu`; None: the CPU, where nothing is done.
        scan, recipe: as for `plan`.

    Returns:
        A context whose value is the number of slices that fit, None on the CPU.

    Raises:
        OutOfMemory: what is needed does not fit.
    """
    if gpu is None:
        yield None
        return
    need = plan(scan, recipe, gpu=gpu)
    moved = [(n, p.device) for n in networks(recipe) if (p := next(n.parameters(), None)) is not None]
    with backend.working_on(gpu, f"What was expected: {need}. Other programs may use this GPU: try device='cpu'"):
        try:
            for network, _ in moved:
                network.to(gpu)
            yield need.slices
        finally:
            for network, before in moved:
                network.to(before)


class _Later(Problem):
    """A problem that is made when something of it is asked for: that of a slice, on the CPU."""

    def __init__(self, make):
        self._make = make

    def __getattr__(self, name):
        make = self.__dict__.pop("_make", None)
        if make is None:
            raise AttributeError(name)
        super().__init__(*make())
        return getattr(self, name)


def home(result: Any, make: Any) -> Any:
    """A slice's result with its arrays on the CPU; `make()` gives (A, y, prior) there, should `report` ask for them."""
    if not isinstance(result, Result):
        return replace(result, x=backend.to_numpy(result.x))
    aux = {name: _host(value) for name, value in result.state.aux.items()}
    state = State(_host(result.state.x), result.state.k, _host(result.state.residual), aux)
    return replace(result, x=_host(result.x), state=state, problem=_Later(make))


def _host(value):
    """An array on the CPU, a 0-d one as numpy's scalar; anything else as it is."""
    return backend.to_numpy(value)[()] if _check.is_array(value) else value


def _size(n: int) -> str:
    return f"{n / 2**30:.2f} GB" if n >= 2**30 else f"{n / 2**20:.0f} MB"


