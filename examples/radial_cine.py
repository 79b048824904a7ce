"""A beating heart from a few spokes a frame: priors over time against gridding and a prior for every frame alone.

    python examples/radial_cine.py [series.npy] [spokes] [picture.png]

series.npy: (frame, y, x), real or complex, a square image: a fully sampled series of your own, of which coils, noise
and golden-angle spokes are simulated. Without it a drawn heart beats. A scan of your own begins at `pi.io.Scan(kspace,
coord=coord, size=(n, n), axes=("frame", "coil", "shot", "sample"))`, with coord (frame, shot, sample, 2).
"""

import sys

import numpy as np

import pisolve as pi

image = np.load(sys.argv[1]) if len(sys.argv) > 1 else pi.phantom.heart(10, 40)
spokes = int(sys.argv[2]) if len(sys.argv) > 2 else 13
image = image / np.percentile(abs(image), 99)
frames, n, _ = image.shape
y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
image = (image * np.exp(1j * (0.8 * x + 0.6 * y * y))).astype(np.complex64)

mps = pi.phantom.brain((n, n), 6).mps
mps = (mps / np.sqrt((abs(mps) ** 2).sum(0))).astype(np.complex64)
coord = np.stack([pi.trajectories.radial((n, n), spokes, first=t * spokes) for t in range(frames)])
axes = ("frame", "coil", "shot", "sample")
kspace = pi.linops.sense(mps, coord=coord, axes=axes, shape=(frames, 6, spokes, 2 * n))(image)
rng = np.random.default_rng(0)
kspace = kspace + 0.02 * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))

scan = pi.io.Scan(kspace.astype(np.complex64), coord=coord, size=(n, n), axes=axes)
alone = ("slice", "frame")  # every frame a problem of its own
found = {}
for name, prior, each in (("gridding", None, ()), ("wavelet", 4e-3 * pi.Wavelet(shifts=16), alone),
                          ("temporal TV", 0.02 * pi.TV(axes=("frame",)), ()), ("LLR", 0.05 * pi.LLR(shifts=16), ()),
                          ("L+S", pi.InfimalConvolution(0.5 * pi.Nuclear(), 0.01 * pi.TemporalFFT()), ())):
    if prior is None:
        found[name] = scan.rss()
    else:
        done = pi.recon(scan, prior, each=each, max_iter=40)
        found[name] = abs(done.x)
    print(f"{name:12}  PSNR {pi.metrics.psnr(abs(image), found[name]):.2f} dB")
if len(sys.argv) > 3:
    from pisolve.figure import figure

    figure(found, abs(image), path=sys.argv[3], axes=("frame", "y", "x"),
           title=f"{spokes} spokes a frame of {n} x {n}, {scan.encoding.acceleration:.1f}x")
