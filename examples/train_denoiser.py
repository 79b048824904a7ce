"""Train the complex denoiser that ships with pisolve, on public magnitude volumes with random smooth phase.

    PISOLVE_DATA=folder python examples/train_denoiser.py --out run [--resume] [--steps 3800]

Reads volumes/colin27_t1.nii.gz, volumes/mni152_t1.nii.gz and volumes/cardiac_cine.npy from the data folder; needs
nibabel and scikit-image. An axial slab of colin27 is cut out of every training image and kept for validation. K-space
scans are not touched. Stopped runs go on with --resume and end with the same weights. The weights, with their card and
its figures, are written to denoiser-brain.safetensors and denoiser-brain.md.
"""

import argparse
import os
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F
from skimage.restoration import denoise_tv_chambolle

from pisolve import nets, phantom
from pisolve.nets import train as training

SLAB = (97, 112)  # axial slices of colin27 that no training image contains
VALIDATION = (100, 103, 106, 109)
SIGMAS = (0.01, 0.02, 0.05, 0.1, 0.2)
DATA = ("colin27 T1 (MNI, one head averaged over 27 scans, without its axial slices 97 to 111), MNI152 T1 (nilearn), "
        "30 cardiac cine frames; three orientations, random crops, turns, zooms, contrasts, shading and smooth phase")


def volume(path: Path) -> np.ndarray:
    """A NIfTI volume (x, y, z) as float32."""
    return np.asarray(nibabel.load(path).dataobj, np.float32)


def shrunk(image: np.ndarray, factor: float) -> np.ndarray:
    """The image at a lower resolution, antialiased."""
    if factor == 1:
        return np.ascontiguousarray(image)
    size = [round(n * factor) for n in image.shape]
    small = F.interpolate(torch.from_numpy(np.ascontiguousarray(image))[None, None], size=size, mode="bilinear",
                          antialias=True, align_corners=False)
    return small[0, 0].numpy()


def slices(parts: list[np.ndarray], factors: tuple[float, ...]) -> list[np.ndarray]:
    """All slices of three orientations that hold something, at several resolutions, scaled to a percentile of 1."""
    top = np.percentile(np.concatenate([p[p > 0] for p in parts]), 99)
    out = []
    for part in parts:
        for axis in range(3):
            for image in np.moveaxis(part, axis, 0):
                if min(image.shape) >= 60 and (image > 0.1 * top).mean() > 0.2:
                    out += [shrunk(image / top, factor) for factor in factors]
    return out


def bank(data: Path) -> list[np.ndarray]:
    """The training images; volumes averaged over many heads are blurred, so they enter at lower resolution only."""
    colin = volume(data / "volumes/colin27_t1.nii.gz")
    images = slices([colin[:, :, : SLAB[0]], colin[:, :, SLAB[1]:]], (1.0, 0.7, 0.5)) * 2
    images += slices([volume(data / "volumes/mni152_t1.nii.gz")], (0.7, 0.5))
    cine = np.load(data / "volumes/cardiac_cine.npy").astype(np.float32)
    return images + [shrunk(frame / np.percentile(cine, 99), f) for frame in cine for f in (1.0, 0.7)] * 3


def held_out(data: Path) -> list[np.ndarray]:
    """Axial slices of the slab with a smooth phase, complex64, at full and at half resolution."""
    colin = volume(data / "volumes/colin27_t1.nii.gz")
    out = []
    for n, factor in zip(VALIDATION, (1.0, 0.5, 1.0, 0.5)):
        image = shrunk(colin[:, :, n] / np.percentile(colin[:, :, n], 99), factor)
        y, x = np.meshgrid(*[np.linspace(-1, 1, k) for k in image.shape], indexing="ij")
        out.append((image * np.exp(1j * (1.5 * x * y + y - 0.7 * x**2 + n))).astype(np.complex64))
    return out


def total_variation(weight: float):
    """TV denoising of the real and of the imaginary part, in the form of a network."""
    def denoise(x: torch.Tensor) -> torch.Tensor:
        sigma = float(x[0, 2, 0, 0])
        return torch.from_numpy(denoise_tv_chambolle(x[0, :2].numpy(), weight=weight * sigma, channel_axis=0))[None]

    return denoise


def figures(net: torch.nn.Module, groups: dict[str, list[np.ndarray]]) -> list[dict]:
    """Rows of the card: mean PSNR of the noisy images, of TV at its best of 10 weights, and of the network."""
    rows = []
    for name, images in groups.items():
        noisy, own = (training.psnr(f, images, SIGMAS) for f in (lambda x: x[:, :2], net))
        tv = np.max([training.psnr(total_variation(w), images, SIGMAS) for w in np.geomspace(0.2, 3, 10)], axis=0)
        rows += [{"images": name, "sigma": s, "noisy": f"{n:.2f}", "TV": f"{t:.2f}", "network": f"{p:.2f}"}
                 for s, n, t, p in zip(SIGMAS, noisy, tv, own)]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("PISOLVE_DATA"), help="folder of the volumes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights")
    parser.add_argument("--steps", type=int, default=training.Training.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--remark", default="", help="a sentence for the card")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args()
    if args.data is None:
        parser.error("no data: give --data, or set PISOLVE_DATA to the folder that holds volumes/")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    settings = training.Training(steps=args.steps, seed=args.seed)
    validation = held_out(Path(args.data))
    net = training.train(nets.UNet(), bank(Path(args.data)), settings, folder=args.out, held_out=validation,
                         sigmas=SIGMAS, resume=args.resume)
    groups = {"held-out colin27": validation, "analytic phantom": [phantom.brain((192, 192), 1).image]}
    about = (f"{settings.steps} steps of {settings.batch} images of {settings.size}x{settings.size}, Adam at "
             f"{settings.lr:g} with a cosine, the first {settings.bf16:.0%} in bfloat16, average of the weights "
             f"({settings.ema:g}), loss log(MSE / sigma^2 + 0.003); examples/train_denoiser.py. {args.remark}").strip()
    nets.save(net, args.out / "denoiser-brain.safetensors", {
        "title": "denoiser-brain: complex denoiser for MR images of the head",
        "data": DATA,
        "licence": "BSD-3-Clause (colin27 from mricron-data, MNI152 from nilearn, cine from ima2019_python_tutorial)",
        "noise_range": list(settings.sigma),
        "intensity_range": f"99th percentile of |x| between {settings.scale[0]:g} and {settings.scale[1]:g}; the "
                           "network is homogeneous, D(a x, a sigma) = a D(x, sigma): only their ratio matters",
        "seed": settings.seed,
        "training": about,
        "limits": "the data are clean averages of heads and one heart, T1 and synthetic contrasts: fine texture of "
                  "other anatomy is smoothed, and an image's own noise is removed along with what was added",
        "note": "bias-free U-Net with a noise-level map; sigma 0.003 to 0.25 where the 99th percentile of |x| is 1",
        "figures": figures(net, groups),
        "caption": "Mean PSNR in dB, peak max|x|, error mean |e|^2. Held out: four axial slices of a slab cut out of "
                   "the training data. TV: real and imaginary part, its weight the best of 10 on these very images."})


if __name__ == "__main__":
    main()
