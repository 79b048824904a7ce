"""Train a denoiser for complex images in Python, as `pisolve train examples/configs/denoiser-fast.toml` does.

    PISOLVE_DATA=folder python examples/train_denoiser.py --out run [--resume] [--steps 10000]

Reads volumes/colin27_t1.nii.gz, mni152_t1.nii.gz and cardiac_cine.npy from the data folder; needs nibabel and
scikit-image. What `pisolve.nets.data` holds out is kept for validation. A stopped run goes on with --resume and ends
with the same weights. A network of your own takes the U-Net's place: it maps (B, 3, H, W), the noisy real and imaginary
part and the noise level, to (B, 2, H, W).
"""

import argparse
import os
from pathlib import Path

import torch

from pisolve import nets

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, default=os.environ.get("PISOLVE_DATA"), help="folder that holds volumes/")
parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights")
parser.add_argument("--steps", type=int, default=10000)
parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
args = parser.parse_args()
if args.data is None:
    parser.error("no data: give --data, or set PISOLVE_DATA to the folder that holds volumes/")

torch.manual_seed(0)
network = nets.UNet(widths=(24, 48, 80))
task = nets.Denoising(nets.data.training_images(args.data), nets.data.held_out_images(args.data))
settings = nets.Training(steps=args.steps, precision="bfloat16", every=500)
nets.train(network, task, settings, folder=args.out, resume=args.resume, progress=True)
nets.save(network, args.out / "denoiser.safetensors", {
    **task.card(), "data": nets.data.describe(), "licence": nets.data.LICENCE, "seed": task.seed,
    "figures": task.figures(network)})
