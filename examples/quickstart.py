"""From k-space to image with three priors, four times undersampled.

    python examples/quickstart.py [scan.h5]

The scan must be fully sampled, so that there is something to compare with; without one the built-in phantom is taken.
"""

import sys

import pisolve as pi

scan = pi.io.load(sys.argv[1]) if len(sys.argv) > 1 else pi.io.Scan(pi.phantom.brain(noise=0.01).kspace)
denoiser = pi.nets.load("denoiser-brain")
priors = {
    "SENSE": 1e-2 * pi.Tikhonov(),
    "wavelet": 2e-3 * pi.Wavelet(shifts=16),
    "PnP": pi.PnP(denoiser, sigma=0.1),
}
for name, prior in priors.items():
    result = pi.recon(scan, prior, sampling=pi.Sampling("random", accel=4, seed=1), max_iter=15)
    quality = pi.metrics.all(result.scan.reference, result.scan.crop(result.x))
    print(f"{name:10} {result.status:10} PSNR {quality['psnr']:.2f} dB, SSIM {quality['ssim']:.3f}")
pi.io.save("quickstart.h5", result.x, scale=result.scale)
