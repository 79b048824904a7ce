"""What the tests of training share: a folder of tiny volumes, tiny networks, and the head of a configuration."""

import numpy as np
import torch

from pisolve import nets

SHAPES = [np.pad(np.ones((24, 20), np.float32), 8) * np.linspace(0.4, 1, 36, dtype=np.float32),
          np.ones((20, 40), np.float32)]
TINY = """
[network]
architecture = "UNet"
widths = [4, 6]
blocks = [1, 0]
[data]
folder = "FOLDER"
natural = 0
[task]
kind = "denoising"
size = 24
sigmas = [0.1]
batch_size = BATCH
[training]
every = 2
"""  # a configuration file of a small denoiser; further keys of [training] may follow
MARK = 4.0  # the brightness of what no training may see


def volumes(folder):
    """A data folder whose held-out slices, with their margin, and frames are bright stripes."""
    import nibabel

    (folder / "volumes").mkdir(parents=True)
    y, x, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (62, 64, 180)], indexing="ij")
    head = ((y**2 + x**2 + z**2 / 4 < 0.8) * (0.5 + 0.4 * np.cos(9 * x) * np.sin(7 * y + z))).astype(np.float32)
    for name, held in (("colin27", range(94, 115)), ("mni152", range(87, 108))):
        volume = head.copy()
        volume[:, :, held] = MARK
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "volumes" / f"{name}_t1.nii.gz")
    cine = np.stack([head[:, :, 90]] * 20 + [np.full_like(head[:, :, 0], MARK)] * 10)
    np.save(folder / "volumes" / "cardiac_cine.npy", cine)
    return folder


def small(seed=0):
    """A U-Net of a few hundred weights."""
    torch.manual_seed(seed)
    return nets.UNet(widths=(4, 6), blocks=(1, 0))


def equal(a, b):
    """Whether two networks have the same weights, bit for bit."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
