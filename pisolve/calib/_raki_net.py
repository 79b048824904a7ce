"""RAKI's network on a sampling lattice: which samples each layer sees, and the convolutions as products of matrices.

Each point of a lattice of measured samples, an anchor, has one cell of holes. All layers live on lattice points, so a
convolution is dilated by the acceleration and, for CAIPI, sheared by construction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pisolve.calib._lattice import Lattice


class Net(NamedTuple):
    """The form of a network, all that its flat weights do not say.

    Attributes:
        coils: number of coils.
        groups: networks side by side: one for each target coil, or 1.
        channels: of the two hidden layers; (0, 0): no network, the linear convolution alone.
        complex: complex-valued weights; then a channel is a complex number, whose parts are rectified one by one.
        first, last, linear: displacements (n, 2) that these convolutions see, `linear` without any: none.
        holes: displacements (n, 2) of the holes of a cell.
    """

    coils: int
    groups: int
    channels: tuple[int, int]
    complex: bool
    first: np.ndarray
    last: np.ndarray
    linear: np.ndarray
    holes: np.ndarray

    def seen(self) -> np.ndarray:
        """Every displacement of input or output from an anchor, (n, 2)."""
        deep = (self.first[:, None] + self.last).reshape(-1, 2) if self.channels[0] else self.holes
        return np.concatenate([deep, self.linear, self.holes])

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the weights, in the order in which they are flattened; the linear convolution's is the last."""
        out = []
        if self.channels[0]:
            parts, pair = (1, (2,)) if self.complex else (2, ())  # real channels, or pairs of them
            width = parts * len(self.holes) * self.coils // self.groups
            a, b = self.channels
            out = [(len(self.first), parts * self.coils, self.groups * a, *pair), (self.groups, 1, a, b, *pair),
                   (self.groups, len(self.last), b, width, *pair)]
        if len(self.linear):
            out.append((len(self.linear), self.coils, self.coils * len(self.holes), 2))
        return out

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(int(np.prod(s)) for s in self.shapes())


def cell(lattice: Lattice) -> np.ndarray:
    """Displacements (n, 2) of the holes from their anchor."""
    return np.array([h for h in np.ndindex(lattice.ry, lattice.rx) if any(h)], int).reshape(-1, 2)


def taps(lattice: Lattice, size) -> np.ndarray:
    """Displacements (n, 2) of `size` (rows, columns) lattice points: 0, 1 for two, -1, 0, 1 for three."""
    rows, columns = (np.arange(n) - (n - 1) // 2 for n in size)
    start = (rows * lattice.shift + lattice.rx // 2) % lattice.rx - lattice.rx // 2
    y, x = rows[:, None] * lattice.ry + 0 * columns, start[:, None] + columns * lattice.rx
    return np.stack([y, x], -1).reshape(-1, 2)


def anchors(lattice: Lattice, shape) -> np.ndarray:
    """All lattice points (n, 2) whose cells reach into a grid of `shape`, also from outside of it."""
    y, x = np.mgrid[1 - lattice.ry:shape[0], 1 - lattice.rx:shape[1]]
    step, rest = np.divmod(y - lattice.offset[0], lattice.ry)
    on = (rest == 0) & ((x - lattice.offset[1] - step * lattice.shift) % lattice.rx == 0)
    return np.stack([y[on], x[on]], 1)


def inside(net: Net, shape) -> np.ndarray:
    """All points (n, 2) of a grid from which a network reads and predicts nothing outside of it."""
    seen = net.seen()
    y, x = (np.arange(-low, n - high) for low, high, n in zip(seen.min(0), seen.max(0), shape))
    return np.stack([a.ravel() for a in np.meshgrid(y, x, indexing="ij")], 1)


def index(at, displacements, shape) -> np.ndarray:
    """Flat indices (n, k) of at + displacements in a grid; what lies outside gets the index behind the last."""
    y, x = np.moveaxis(at[:, None] + displacements, -1, 0)
    out = (y < 0) | (y >= shape[0]) | (x < 0) | (x >= shape[1])
    return np.where(out, shape[0] * shape[1], y * shape[1] + x)


class Inputs(NamedTuple):
    """What a network sees around its anchors, torch: nothing of it depends on the weights.

    Attributes:
        first: (point, tap * part * coil), at every point where the last layer needs a hidden value.
        last: (anchor, tap) indices into these points.
        linear: (anchor, tap * part * coil).
    """

    first: object
    last: object
    linear: object


def inputs(net: Net, samples, at, shape) -> Inputs:
    """The inputs of a network.

    Args:
        net: its form.
        samples: torch (ky * kx + 1, coil), complex; the last one is 0, for what lies outside.
        at: (n, 2) anchors.
        shape: (ky, kx) of the grid.
    """
    import torch

    def parts(points, displacements):
        found = torch.from_numpy(index(points, displacements, shape)).to(samples.device)
        values = samples[found]  # (point, tap, coil)
        return torch.cat([values.real, values.imag], -1).reshape(len(points), -1)

    first = last = None
    if net.channels[0]:
        points, where = np.unique((at[:, None] + net.last).reshape(-1, 2), axis=0, return_inverse=True)
        first, last = parts(points, net.first), torch.from_numpy(where.reshape(len(at), -1)).to(samples.device)
    return Inputs(first, last, parts(at, net.linear) if len(net.linear) else None)


def forward(net: Net, weights, seen: Inputs):
    """What the network predicts: real torch (group, anchor, part * coil in group * hole)."""
    weights, out = list(weights), 0
    if len(net.linear):
        linear = seen.linear @ _product(weights.pop())
        out = linear.reshape(len(linear), 2, net.groups, -1).permute(2, 0, 1, 3).reshape(net.groups, len(linear), -1)
    if weights:
        first, middle, last = (_product(w, net.complex) for w in weights)
        hidden = (seen.first @ first).relu_()
        hidden = hidden.reshape(len(hidden), 1 + net.complex, net.groups, -1).permute(2, 0, 1, 3)
        hidden = (hidden.reshape(net.groups, len(seen.first), -1) @ middle).relu()
        near = hidden.index_select(1, seen.last.reshape(-1)).reshape(net.groups, len(seen.last), -1)
        out = near @ last + out
    return out


def _product(weight, complex_=True):
    """A convolution's weights (..., tap, in, out[, 2]) as a matrix (..., tap * in, out) for products from the right.

    Complex ones become (re, im) -> (re, im): the rows of real parts are (re, im), those of imaginary parts (-im, re).
    """
    import torch

    if complex_:
        re, im = weight.unbind(-1)
        weight = torch.cat([torch.cat([re, im], -1), torch.cat([-im, re], -1)], -2)
    return weight.reshape(*weight.shape[:-3], -1, weight.shape[-1])


def parameters(net: Net, theta, device=None):
    """Flat weights (numpy) as a torch module that holds one parameter for each convolution."""
    import torch

    ends = np.cumsum([int(np.prod(s)) for s in net.shapes()])[:-1]
    return torch.nn.ParameterList([torch.from_numpy(w.reshape(s).copy()).to(device)
                                   for w, s in zip(np.split(theta, ends), net.shapes())])


def as_complex(net: Net, values):
    """What `forward` returns as complex (coil, hole, anchor)."""
    import torch

    values = values.reshape(net.groups, values.shape[1], 2, -1).permute(2, 0, 3, 1)
    return torch.complex(values[0], values[1]).reshape(net.coils, len(net.holes), -1)


def as_parts(net: Net, values):
    """Complex (anchor, hole, coil) in the order of what `forward` returns."""
    import torch

    values = torch.stack([values.real, values.imag]).permute(0, 1, 3, 2)  # (part, anchor, coil, hole)
    values = values.reshape(2, values.shape[1], net.groups, -1).permute(2, 1, 0, 3)
    return values.reshape(net.groups, values.shape[1], -1)


def drawn(net: Net, seed: int, *, silent: bool, dtype) -> np.ndarray:
    """Random weights (He et al.), flat; the last layer's are a tenth of that, 0 if `silent`, and the linear ones 0."""
    rng, out = np.random.default_rng(seed), []
    shapes = net.shapes()
    for n, shape in enumerate(shapes):
        if n == 3 or not net.channels[0]:
            out.append(np.zeros(shape))
            continue
        fan = int(np.prod(shape[:2] if n == 0 else shape[1:3])) * (1 + net.complex)
        out.append(rng.standard_normal(shape) * (2 / fan) ** 0.5 * (1, 1, 0 if silent else 0.1)[n])
    return np.concatenate([w.ravel() for w in out]).astype(dtype)
