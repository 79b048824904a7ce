"""The fastest way along a given curve that a scanner can play."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pisolve._check import choice
from pisolve._types import ArrayLike
from pisolve.trajectories.limits import check, scanner, shots

_FINE, _LEAST = 20, 4000  # points of the curve on which speeds are found: a sample's, and at least


def fastest(coord: ArrayLike, fov: float | Sequence[float], dwell: float, *, gmax: float = 40e-3, smax: float = 180.0,
            rest: str = "start") -> np.ndarray:
    """The same curves in the least time: (..., sample, axis), sampled every `dwell` seconds.

    At every point s of the curve, of curvature c(s), the speed v = |k'| keeps

        v <= gamma gmax,    v^2 c <= gamma smax,    (v dv/ds)^2 + (v^2 c)^2 <= (gamma smax)^2

    The largest v(s) is found by integrating forwards, as fast as it can speed up, and backwards, as fast as it can slow
    down. The number of samples is what comes out, the same for all shots: those that could be sooner take as long as
    the slowest one. Any curves become ones for a scanner: `fastest(rosette((128, 128), 8), 0.25, 4e-6)`.

    Args:
        coord: (..., sample, axis), in units of 1 / field of view: smooth curves, through which a spline is laid.
        fov, dwell, gmax, smax: as for `check`.
        rest: where the gradient is 0: at the "start", at "both" ends or at neither, "none".

    Raises:
        TypeError, ValueError: as `check`; a curve that stands still.

    Reference:
        Lustig, Kim and Pauly, IEEE Trans Med Imaging 27 (2008) 866.
    """
    coord = shots(coord)
    limits = scanner(fov, coord.shape[-1], dwell, gmax, smax)
    choice("rest", rest, ("start", "both", "none"))
    flat = (coord / limits.fov).reshape(-1, *coord.shape[-2:])
    curves = [_Curve(k, limits, rest) for k in flat]
    samples = max(3, math.ceil(max(c.seconds for c in curves) / limits.dwell) + 1)
    for _ in range(50):
        out = np.stack([c(samples) for c in curves]) * limits.fov
        found = check(out, limits.fov, limits.dwell, gmax=limits.gmax, smax=limits.smax)
        if found["playable"]:
            break
        ratio = max(found["gradient"] / limits.gmax, (found["slew"] / limits.smax) ** 0.5)
        samples = max(samples + 1, math.ceil((samples - 1) * ratio) + 1)  # what the spline and the steps add
    else:
        raise ValueError("coord is too rough a curve for a spline: give more samples")
    return out.reshape(*coord.shape[:-2], samples, coord.shape[-1])


class _Curve:
    """A curve k(u) and the time at which each of its points is passed."""

    def __init__(self, k, limits, rest):
        from scipy.interpolate import CubicSpline

        steps = np.linalg.norm(np.diff(k, axis=0), axis=-1)
        if not steps.any():
            raise ValueError("coord has a shot that stands still: leave it out")
        moves = np.concatenate([[True], steps > 1e-9 * steps.max()])
        k, steps = k[moves], steps[moves[1:]]
        self.spline = CubicSpline(np.concatenate([[0], np.cumsum(steps)]), k) if len(k) > 2 else CubicSpline(
            [0, steps[0] / 2, steps[0]], [k[0], (k[0] + k[1]) / 2, k[1]])
        self.u = np.linspace(0, self.spline.x[-1], max(_FINE * len(k), _LEAST))
        first, second = self.spline(self.u, 1), self.spline(self.u, 2)
        speed = np.linalg.norm(first, axis=-1)
        along = (first * second).sum(-1)
        bent = np.sqrt(np.maximum(speed**2 * (second**2).sum(-1) - along**2, 0)) / speed**3
        s = np.diff(self.u) * (speed[1:] + speed[:-1]) / 2
        self.length = np.concatenate([[0], np.cumsum(s)])
        self.v = self._speeds(bent, s, limits.first / limits.dwell, limits.second / limits.dwell**2, rest)
        self.pull = np.diff(self.v**2) / (2 * s)
        self.times = np.concatenate([[0], np.cumsum(2 * s / (self.v[1:] + self.v[:-1]))])
        self.seconds = self.times[-1]

    @staticmethod
    def _speeds(bent, s, fast, strong, rest):
        """The largest speeds at the points, of which `s` are the distances."""
        most = np.minimum(fast, np.sqrt(strong / np.maximum(bent, 1e-12)))
        if rest != "none":
            most[0] = 0
        if rest == "both":
            most[-1] = 0
        for way in (slice(None), slice(None, None, -1)):
            v, c = most[way].tolist(), bent[way].tolist()
            for i, step in enumerate(s[way].tolist()):
                left = max(strong**2 - (c[i] * v[i] ** 2) ** 2, 0.0) ** 0.5
                v[i + 1] = min(v[i + 1], (v[i] ** 2 + 2 * step * left) ** 0.5)
            most = np.array(v)[way]
        return most

    def __call__(self, samples: int):
        """Its points at `samples` times from the start to the end."""
        from scipy.interpolate import PchipInterpolator

        t = np.linspace(0, self.seconds, samples)
        i = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.pull) - 1)
        t = t - self.times[i]
        s = self.length[i] + self.v[i] * t + self.pull[i] * t**2 / 2
        return self.spline(PchipInterpolator(self.length, self.u)(np.clip(s, 0, self.length[-1])))
