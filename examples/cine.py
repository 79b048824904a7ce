"""A beating heart at 6x: priors over time against a wavelet for every frame alone.

    python examples/cine.py [series.npy]

series.npy: (frame, y, x), real or complex, a square image: a fully sampled series of your own, from which coils and
noise are simulated. Without it a drawn heart beats. A scan of your own begins at `pi.io.Scan(kspace, axes=...)`.
"""

import sys

import numpy as np

import pisolve as pi

image = np.load(sys.argv[1]) if len(sys.argv) > 1 else pi.phantom.heart()
image = image / np.percentile(abs(image), 99)
frames, n, _ = image.shape
y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
image = (image * np.exp(1j * (0.8 * x + 0.6 * y * y))).astype(np.complex64)

mps = pi.phantom.brain((n, n), 6).mps
mps = mps / np.sqrt((abs(mps) ** 2).sum(0))
kspace = pi.linops.sense(np.broadcast_to(mps, (frames, *mps.shape)))(image)
rng = np.random.default_rng(0)
kspace = kspace + 0.02 * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))

scan = pi.io.Scan(kspace.astype(np.complex64), axes=("frame", "coil", "ky", "kx"))
sampling = pi.Sampling("vista", accel=6, vary="frame")      # other lines in every frame, spread in time
alone = ("slice", "frame")                                  # every frame a problem of its own
for name, prior, each in (("wavelet", 4e-3 * pi.Wavelet(shifts=16), alone), ("x-f", 0.03 * pi.TemporalFFT(), ()),
                          ("LLR", 0.1 * pi.LLR(shifts=16), ())):
    done = pi.recon(scan, prior, sampling=sampling, each=each, max_iter=40)
    print(f"{name:8}  {done.status:9}  PSNR {pi.metrics.psnr(image, done.x):.2f} dB")
