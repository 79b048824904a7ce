"""Differences along the last two axes, compiled: one pass over (slice, y, 2 x), the view of complex arrays as reals.

Rows are cut out first: an index such as j - 2 could count from the end for all that the compiler knows. To be imported
where it is run, since it loads numba.
"""

from __future__ import annotations

from pisolve.backend import jit


@jit
def forward(x, out, periodic):
    """out[0] = x[y + 1] - x[y], out[1] = the same along x; at the far edge the first sample follows, or 0 remains."""
    slices, ny, nx = x.shape
    for s in range(slices):
        for y in range(ny):
            row, dy, dx = x[s, y], out[0, s, y], out[1, s, y]
            below = x[s, (y + 1) % ny if periodic else min(y + 1, ny - 1)]
            right = row[2:]
            for j in range(nx):
                dy[j] = below[j] - row[j]
            for j in range(nx - 2):
                dx[j] = right[j] - row[j]
            for j in range(nx - 2, nx):
                dx[j] = row[j - nx + 2] - row[j] if periodic else 0


@jit
def backward(d, out, periodic):
    """The transpose: out = d[0][y - 1] - d[0][y] + d[1][x - 1] - d[1][x]; without `periodic` the last ones are none."""
    slices, ny, nx = out.shape
    for s in range(slices):
        for y in range(ny):
            row, dy, dx, above = out[s, y], d[0, s, y], d[1, s, y], d[0, s, y - 1 if y else ny - 1]
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
