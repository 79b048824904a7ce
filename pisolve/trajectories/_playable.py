"""The shots that a scanner can play, a convex set, and the projection onto it."""

from __future__ import annotations

import numpy as np

_PENALTY, _RELAX, _STEPS, _ENOUGH = 10.0, 1.6, 600, 1e-5


def splines(samples: int, knots: int) -> np.ndarray:
    """(sample, knot): cubic B-splines over a shot, which add up to 1."""
    from scipy.interpolate import BSpline

    inner = np.linspace(0, 1, knots - 2)
    t = np.concatenate([[0] * 3, inner, [1] * 3])
    return BSpline.design_matrix(np.linspace(0, 1, samples), t, 3).toarray()


class Playable:
    """Shots start + B c with |k'| <= gamma gmax, |k''| <= gamma smax, by differences, and no sample outside of the box.

    The lengths are over the axes, of k in 1/m. The constraints are |K_i c + u_i| <= 1 with matrices that act along the
    samples: convex, and homogeneous in k, so that a shot a little outside is inside once it is a little smaller.

    Args:
        start: (shot, sample, axis), in units of 1 / field of view.
        shape: of the image; the box is -N/2..N/2.
        limits: `limits.Scanner`.
        knots: how many numbers move a shot along each axis.
    """

    def __init__(self, start, shape, limits, knots: int):
        self.start, self.fov = start, limits.fov
        self.edge = np.array(shape) / 2
        self.basis = splines(start.shape[1], knots)
        self.first, self.second = limits.first, limits.second
        k, unit = start / self.fov, (self.edge / self.fov).max()
        self.unit, self.box = unit, self.edge / self.fov / unit
        rows = [np.diff(self.basis, axis=0) / self.first, np.diff(self.basis, n=2, axis=0) / self.second,
                self.basis / unit]
        self.moves = len(rows[0]) + len(rows[1])  # the rows whose length over the axes is limited
        self.K = unit * np.concatenate(rows)
        self.offset = np.concatenate([np.diff(k, axis=1) / self.first, np.diff(k, n=2, axis=1) / self.second,
                                      k / unit], 1)
        # each kind of row has its own penalty: then all of them bear on c alike
        self.rho = np.concatenate([np.full(len(r), _PENALTY / np.linalg.norm(unit * r, 2) ** 2) for r in rows])[:, None]
        self.inverse = np.linalg.inv(np.eye(knots) + self.K.T @ (self.rho * self.K))

    def project(self, c):
        """The c (shot, knot, axis), in units of 1 / field of view, nearest to the given ones whose shots are playable.

        By the alternating direction method of multipliers: min 1/2 ||c - c_0||^2 with z_i = K_i c + u_i, |z_i| <= 1.
        Within 1e-3 of the limits after a step of `learn`, a percent where shots are flung about; `shots` does the rest.
        """
        scale = self.fov * self.unit
        given = c / scale
        c, w = given, 0.0
        z = self._inside(self.K @ c + self.offset)
        for _ in range(_STEPS):
            before, c = c, self.inverse @ (given + self.K.T @ (self.rho * (z - w - self.offset)))
            there = self.K @ c + self.offset
            mixed = _RELAX * there + (1 - _RELAX) * z
            z = self._inside(mixed + w)
            w = w + mixed - z
            if max(abs(there - z).max(), abs(c - before).max()) < _ENOUGH:
                break
        return c * scale

    def _inside(self, z):
        """The rows nearest to z that keep their limit."""
        moves, places = z[:, :self.moves], z[:, self.moves:]
        length = np.linalg.norm(moves, axis=-1, keepdims=True)
        return np.concatenate([moves / np.maximum(length, 1), np.clip(places, -self.box, self.box)], 1)

    def shots(self, c):
        """The shots of c, each made as much smaller as keeps every limit exactly: (shot, sample, axis)."""
        coord = self.start + self.basis @ c
        k = coord / self.fov
        worst = np.stack([(abs(coord) / self.edge).max((1, 2)),
                          np.linalg.norm(np.diff(k, axis=1), axis=-1).max(1) / self.first,
                          np.linalg.norm(np.diff(k, n=2, axis=1), axis=-1).max(1) / self.second]).max(0)
        return coord / np.maximum(worst, 1)[:, None, None]
