"""A beating heart at 6x: locally low rank over time against a wavelet for every frame alone, each at its best strength.

    python examples/cine.py [series.npy]

series.npy: (frame, y, x), real or complex, a square image: a fully sampled series of your own, from which coils, noise
and other random lines in every frame are simulated. Without it a drawn heart beats.
"""

import sys

import numpy as np

import pisolve as pi


def heart(frames=16, n=64):
    """A disc that contracts and shines, in a body at rest."""
    y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
    body = abs(pi.phantom.brain((n, n), 1).image)
    beat = np.cos(2 * np.pi * np.arange(frames) / frames)[:, None, None]
    edge = (0.3 + 0.08 * beat - np.hypot(x - 0.1, y)) * n / 4
    return body + (0.7 + 0.3 * beat - body) / (1 + np.exp(-4 * edge))


image = np.load(sys.argv[1]) if len(sys.argv) > 1 else heart()
image = image / np.percentile(abs(image), 99)
frames, n, _ = image.shape
y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
image = (image * np.exp(1j * (0.8 * x + 0.6 * y * y))).astype(np.complex64)

mps = pi.phantom.brain((n, n), 6).mps
mps = np.broadcast_to(mps / np.sqrt((abs(mps) ** 2).sum(0)), (frames, *mps.shape))  # the coils do not move
mask = np.stack([pi.masks.random((n, n), 6, seed=k)[:, :1] for k in range(frames)])
A = pi.linops.sense(mps, mask)
rng = np.random.default_rng(0)
data = A(image) + 0.02 * mask[:, None] * (rng.standard_normal(A.oshape) + 1j * rng.standard_normal(A.oshape))

for name, prior in {"wavelet": pi.Wavelet(), "x-f": pi.TemporalFFT(), "LLR": pi.LLR(shifts=16)}.items():
    runs = [(pi.metrics.psnr(image, pi.solve(A, data.astype(np.complex64), lam * prior, max_iter=30).x), lam)
            for lam in np.geomspace(1e-3, 0.3, 8)]
    print(f"{name:8}  lam {max(runs)[1]:.3f}  PSNR {max(runs)[0]:.2f} dB")
