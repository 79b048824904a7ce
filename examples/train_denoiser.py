"""Train the complex denoiser that ships with pisolve, on public magnitude volumes with random smooth phase.

    PISOLVE_DATA=folder python examples/train_denoiser.py --out run [--resume] [--steps 6000]

Reads volumes/colin27_t1.nii.gz, volumes/mni152_t1.nii.gz and volumes/cardiac_cine.npy from the data folder; needs
nibabel. An axial slab of colin27 is cut out of every training image and kept for validation. K-space scans are not
touched. Stopped runs go on with --resume and end with the same weights.
"""

import argparse
import os
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F

from pisolve import nets
from pisolve.nets import train as training

SLAB = (97, 112)  # axial slices of colin27 that no training image contains
VALIDATION = (100, 103, 106, 109)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("PISOLVE_DATA"), help="folder of the volumes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights")
    parser.add_argument("--steps", type=int, default=training.Training.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args()
    if args.data is None:
        parser.error("no data: give --data, or set PISOLVE_DATA to the folder that holds volumes/")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    settings = training.Training(steps=args.steps, seed=args.seed)
    images = bank(args.data)
    print(f"{len(images)} training images")
    net = training.train(nets.UNet(), images, settings, folder=args.out, held_out=held_out(args.data),
                         resume=args.resume)
    torch.save(net.state_dict(), args.out / "weights.pt.part")
    os.replace(args.out / "weights.pt.part", args.out / "weights.pt")


if __name__ == "__main__":
    main()
