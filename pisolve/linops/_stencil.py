"""Differences along the last two axes, compiled: one pass over (slice, y, 2 x), the view of complex arrays as reals.

Volumes are taken plane by plane, with the differences across them while a plane is in the cache. In the kernels rows
are cut out first: an index such as j - 2 could count from the end for all that the compiler knows. To be imported where
it is run, since it loads numba.
"""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit, parallel, threads


@jit
def forward(x, along_y, along_x, periodic):
    """x[y + 1] - x[y], and the same along x; at the far edge the first sample follows, or 0 remains."""
    slices, ny, nx = x.shape
    for s in range(slices):
        for y in range(ny):
            row, dy, dx = x[s, y], along_y[s, y], along_x[s, y]
            below = x[s, (y + 1) % ny if periodic else min(y + 1, ny - 1)]
            right = row[2:]
            for j in range(nx):
                dy[j] = below[j] - row[j]
            for j in range(nx - 2):
                dx[j] = right[j] - row[j]
            for j in range(nx - 2, nx):
                dx[j] = row[j - nx + 2] - row[j] if periodic else 0


@jit
def backward(along_y, along_x, out, periodic):
    """The transpose: dy[y - 1] - dy[y] + dx[x - 1] - dx[x]; without `periodic` the last ones are none."""
    slices, ny, nx = out.shape
    for s in range(slices):
        for y in range(ny):
            row, dy, dx, above = out[s, y], along_y[s, y], along_x[s, y], along_y[s, y - 1 if y else ny - 1]
            if periodic or 0 < y < ny - 1:
                for j in range(nx):
                    row[j] = above[j] - dy[j]
            else:
                for j in range(nx):
                    row[j] = (above[j] if y else 0) - (dy[j] if y < ny - 1 else 0)
            right = row[2:]
            for j in range(nx - 2):
                row[j] -= dx[j]
            for j in range(nx - 2):
                right[j] += dx[j]
            if periodic:
                for j in range(2):
                    edge = dx[nx - 2 + j]
                    row[j] += edge
                    row[nx - 2 + j] -= edge


@jit
def laplacian(x, out, periodic):
    """-Laplace(x), the transpose of the differences after them."""
    slices, ny, nx = x.shape
    for s in range(slices):
        for y in range(ny):
            row, new = x[s, y], out[s, y]
            above = x[s, y - 1 if y else (ny - 1 if periodic else 0)]
            below = x[s, y + 1 if y < ny - 1 else (0 if periodic else ny - 1)]
            for j in range(nx):
                new[j] = (row[j] - above[j]) + (row[j] - below[j])
            centre, left, right, middle = row[2:], row, row[4:], new[2:]
            for j in range(nx - 4):
                middle[j] += (centre[j] - left[j]) + (centre[j] - right[j])
            for j in range(2):
                last = nx - 2 + j
                if nx > 2:
                    new[j] += row[j] - row[j + 2]
                    new[last] += row[last] - row[last - 2]
                if periodic:
                    new[j] += row[j] - row[last]
                    new[last] += row[last] - row[j]


def run(kernel, x, out, periodic):
    """`kernel` from x into out; the image is (slice, y, 2 x), or (volume, z, y, 2 x) for differences along z, too."""
    image = out if kernel is backward else x
    if image.ndim == 3:
        return kernel(*(x if kernel is backward else [x]), *(out if kernel is forward else [out]), periodic)
    plane = {forward: _forward, backward: _backward, laplacian: _laplacian}[kernel]
    volumes, n = image.shape[:2]
    each = -(-n // (4 * threads()))

    def some(task):
        v, start = task
        for z in range(start, min(start + each, n)):
            plane(x[..., v, :, :, :], out[..., v, :, :, :], z, n, periodic)

    parallel(some, [(v, start) for v in range(volumes) for start in range(0, n, each)])


def _forward(x, out, z, n, periodic):
    dz, dy, dx = out[:, z:z + 1]
    forward(x[z:z + 1], dy, dx, periodic)
    if periodic or z < n - 1:
        np.subtract(x[(z + 1) % n], x[z], out=dz[0])
    else:
        dz[:] = 0


def _backward(d, out, z, n, periodic):
    dz, dy, dx = d
    backward(dy[z:z + 1], dx[z:z + 1], out[z:z + 1], periodic)
    if periodic or z > 0:
        out[z] += dz[z - 1]
    if periodic or z < n - 1:
        out[z] -= dz[z]


def _laplacian(x, out, z, n, periodic):
    laplacian(x[z:z + 1], out[z:z + 1], periodic)
    for other in (z - 1, z + 1):
        if periodic or 0 <= other < n:
            out[z] += x[z] - x[other % n]
