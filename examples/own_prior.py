"""A prior of your own in six lines, and a linear operator of your own behind a prior that is there.

    python examples/own_prior.py
"""

import numpy as np

import pisolve as pi
from pisolve.testing import check_linop, check_prior


class MCP(pi.Prior):
    """Minimax concave penalty of the magnitudes: like L1 near 0, constant for large ones, so that these keep theirs.

    g(x) = sum_i |x_i| - |x_i|^2 / (2 b) where |x_i| < b, else b / 2   (Zhang, Annals of Statistics 38 (2010) 894)
    """

    convex = False

    def __init__(self, b=1.0):
        self.b = b

    def value(self, x):
        size = np.minimum(abs(x), self.b)
        return float((size - size**2 / (2 * self.b)).sum())

    def prox(self, x, step):  # firm thresholding, exact where step < b
        size = np.maximum(abs(x), 1e-30)
        return x * np.where(size > self.b, 1, np.maximum(1 - step / size, 0) / (1 - step / self.b))


class SecondDifference(pi.linops.Linop):
    """(G x)_r = x_{r-1} - 2 x_r + x_{r+1} along ky, periodic: it equals its own adjoint."""

    def __init__(self, shape):
        super().__init__(shape, shape)

    def _apply(self, x):
        return np.roll(x, 1, -2) - 2 * x + np.roll(x, -1, -2)

    def _adjoint_linop(self):
        return self


shape = (96, 96)
check_linop(SecondDifference((8, 8)))  # linearity, adjoint, shapes, no aliasing: raises where a law is broken
check_prior(pi.L1() @ SecondDifference((8, 8)), (8, 8))

brain = pi.phantom.brain(shape, 6, noise=0.03)
mask = pi.masks.random(shape, 3, seed=1)
A, y = pi.linops.sense(brain.mps, mask), brain.kspace * mask
W, G = pi.linops.wavelet(shape), SecondDifference(shape)
priors = {
    "l2": 0.02 * pi.Tikhonov(),
    "L1 @ W": 0.02 * pi.L1() @ W,
    "MCP @ W": 0.02 * MCP(b=0.5) @ W,
    "L1 @ G": 0.01 * pi.L1() @ G,
    "both": 0.01 * MCP(b=0.5) @ W + 0.005 * pi.L1() @ G,
}
for name, prior in priors.items():
    result = pi.solve(A, y, prior, max_iter=60)
    print(f"{name:8} {result.status:10} by {type(result.solver).__name__:6} "
          f"PSNR {pi.metrics.psnr(brain.image, result.x):.2f} dB")
