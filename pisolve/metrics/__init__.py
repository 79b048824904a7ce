"""Image quality: fastMRI's NMSE, PSNR and SSIM, then HFEN, MS-SSIM, VIF, LPIPS and the Frechet distance.

Complex images are compared by magnitude, in double precision. A scale that both images share has no effect, however
large or small: before anything is squared both are divided by a power of two near the reference's peak, exactly.
Images are numpy or cupy arrays or torch tensors, (y, x), (slice, y, x) or with more axes in front, frames or
partitions: all of them are one volume, as fastMRI has it. Dithered ones (`nets.dither`) are refused.
A `Reconstruction` is taken for its image, whose centre is cropped to the other image; beside the reference of its own
scan, a root sum of squares, maps that are not normalised count as they do there.
fastMRI compares `reconstruction_rss` in its own crop: bring both to one shape first. `DEFINITIONS` has each metric's
meaning in one line.
"""

from pisolve._hints import rooms
from pisolve.metrics.definitions import DEFINITIONS
from pisolve.metrics.detail import hfen, ms_ssim, vif
from pisolve.metrics.fastmri import WINDOW, all, body, nmse, psnr, ssim
from pisolve.metrics.perceptual import frechet, lpips, lpips_features, lpips_weights

__all__ = ["DEFINITIONS", "WINDOW", "all", "body", "frechet", "hfen", "lpips", "lpips_features", "lpips_weights",
           "ms_ssim", "nmse", "psnr", "ssim", "vif"]

rooms(globals(), __all__)
