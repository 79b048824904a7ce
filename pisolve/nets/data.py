"""Training images: slices of public volumes without the held-out parts, and random complex images drawn from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pisolve import _check
from pisolve.nets import folders

HELD_OUT = {"colin27": range(97, 112), "mni152": range(90, 105), "cine": range(20, 30)}  # axial slices, frames
MARGIN = 3  # slices beside them that no training image contains either
LICENCE = ("BSD-3-Clause (colin27 from mricron-data, MNI152 from nilearn, cine from ima2019_python_tutorial); CC0 and "
           "public domain (scikit-image's pictures)")
_NATURAL = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "rocket")  # in scikit-image's wheel
_VIEWS = {"colin27": (1.0, 0.7, 0.5), "mni152": (0.7, 0.5), "cine": (1.0, 0.7)}  # resolutions; MNI152 is an average
_OWN, _MOST = 0.7, 10  # second resolution of other images; how many of them are held out
_TIMES = {"colin27": 2, "mni152": 1, "cine": 3}  # how often each enters the list


def is_ours(folder) -> bool:
    """Whether a folder is that which the shipped networks were trained on, as far as its files go."""
    return bool(_paths(folder))


def describe(natural: float = 0.05, folder=None) -> str:
    """What `training_images` reads, for a model card; of another folder than ours how many files."""
    if folder is not None and not _paths(folder):
        return (f"{len(folders.files(folder))} files of the folder {Path(folder).resolve().name}; of long stacks the "
                f"middle tenth and {folders.GAP} slices beside it held out, of short ones every fifth; {natural:.0%} "
                "pictures of scikit-image; random crops, turns, zooms, contrasts, shading and smooth phase")
    held = {name: f"{r.start} to {r.stop - 1}" for name, r in HELD_OUT.items()}
    return (f"colin27 T1 (MNI, one head averaged over 27 scans, without its axial slices {held['colin27']}), MNI152 T1 "
            f"(nilearn, without {held['mni152']}), cardiac cine frames (without {held['cine']}); {MARGIN} slices of "
            f"margin, three orientations; {natural:.0%} pictures of scikit-image; random crops, turns, zooms, "
            "contrasts, shading and smooth phase")


def training_images(folder, *, natural: float = 0.05, whole: bool = False) -> list[np.ndarray]:
    """Magnitude images (y, x) float32, 99th percentile of their volume 1, for `draw` and `draw_whole`.

    Of a folder of your own: the slices of all volumes, pictures and fully sampled scans below it, at two resolutions,
    but for what is held out (`folders.parted`). Of the data folder that the shipped networks were trained on: all
    slices of three orientations that hold something, of `volumes/colin27_t1.nii.gz` and `mni152_t1.nii.gz`, and the
    frames of `volumes/cardiac_cine.npy`, without `HELD_OUT` and `MARGIN` slices beside it. Smaller copies are
    antialiased. Images that weigh more stand in the list several times (the same array, no copy).

    Args:
        folder: the data folder, which holds `volumes/` with some of the files above, or any other folder.
        natural: share of the list that are grey pictures out of scikit-image's own files (nothing is downloaded).
        whole: only axial slices and frames at full resolution, for `draw_whole`.

    Raises:
        ValueError: nothing in the folder that can be trained on.
        ImportError: nibabel or, with `natural`, scikit-image is missing.
    """
    natural = _check.number("natural", natural, low=0, high=0.9)
    out = []
    if not _paths(folder):
        images = folders.parted(folders.stacks(folder))[0]
        small = [] if whole else [shrunk(i, _OWN) for i in images if min(i.shape) >= 90]
        out = images + small
    for name, volume in _volumes(folder).items():
        gap = HELD_OUT[name]
        if name == "cine":
            images = list(volume[: gap.start])
        else:
            parts = [volume[:, :, : gap.start - MARGIN], volume[:, :, gap.stop + MARGIN:]]
            images = _slices(parts, (2,) if whole else (0, 1, 2))  # the other views are cut through by the gap
        factors = (1.0,) if whole else _VIEWS[name]
        out += [shrunk(image, factor) for image in images for factor in factors] * _TIMES[name]
    if natural:
        pictures = natural_images()
        out += pictures * max(1, round(len(out) * natural / (1 - natural) / len(pictures)))
    return out


def held_out_images(folder, *, step: int = 3) -> dict[str, list[np.ndarray]]:
    """Every `step`-th image of the `HELD_OUT` parts, complex64 (y, x) with a fixed smooth phase, by the file's name.

    Every second one is at half resolution. The 99th percentile of |x| is 1. Of a folder of your own at most ten of what
    `folders.parted` holds out, as they are.

    Raises:
        ValueError: nothing in the folder that can be trained on.
    """
    if not _paths(folder):
        held = folders.parted(folders.stacks(folder))[1]
        every = max(1, math.ceil(sum(map(len, held.values())) / _MOST))
        return {name: [_phased(i, n) for n, i in enumerate(images[::every])] for name, images in held.items()}
    out = {}
    for name, volume in _volumes(folder).items():
        numbers = HELD_OUT[name][step // 2:: step] if name == "cine" else HELD_OUT[name][step:: step]
        out[name] = [_phased(shrunk(volume[n] if name == "cine" else volume[:, :, n], (1.0, 0.5)[place % 2]), n)
                     for place, n in enumerate(numbers)]
    return out


def _phased(image, n) -> np.ndarray:
    """A magnitude with the n-th fixed smooth phase, its 99th percentile 1."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, k) for k in image.shape], indexing="ij")
    phase = np.exp(1j * (1.5 * x * y + y - 0.7 * x**2 + n))
    return (image / np.percentile(image, 99) * phase).astype(np.complex64)


def natural_images() -> list[np.ndarray]:
    """Grey pictures (y, x) float32 in [0, 1] that come with scikit-image and may be used freely."""
    data = _check.extra("skimage.data", "train")
    pictures = [np.asarray(getattr(data, name)(), np.float32) / 255 for name in _NATURAL]
    return [np.ascontiguousarray(p if p.ndim == 2 else p[..., :3] @ np.float32([0.299, 0.587, 0.114]))
            for p in pictures]


def shrunk(image: np.ndarray, factor: float) -> np.ndarray:
    """The image at a lower resolution, antialiased."""
    image = np.ascontiguousarray(image)
    return image if factor == 1 else _resized(torch.from_numpy(image), [round(n * factor) for n in image.shape]).numpy()


def draw(images: Sequence[np.ndarray], rng: np.random.Generator, *, size: int = 96,
         scale: tuple[float, float] = (0.3, 1.5)) -> torch.Tensor:
    """One clean random training image, (2, size, size) float32: real and imaginary part.

    A magnitude image is cut out under a random shift, flip, rotation and zoom, given another contrast, a smooth
    intensity bias and a smooth phase, and scaled. Pixels are kept as they are in 40 % of the images.

    Args:
        images: magnitude images (y, x) float32, each with a 99th percentile of about 1.
        rng: the generator that everything is drawn from.
        size: pixels of a side.
        scale: range of the 99th percentile of |x|.
    """
    for _ in range(20):
        image = torch.from_numpy(images[int(rng.integers(len(images)))])
        plain = rng.random() < 0.4  # whole pixels and quarter turns: nothing is interpolated, all detail stays
        angle = rng.integers(4) * math.pi / 2 if plain else rng.uniform(0, 2 * math.pi)
        zoom = 1.0 if plain else rng.uniform(0.85, 1.25)
        centre = [rng.uniform(min(size, n) / 2 - 0.5, n - min(size, n) / 2 - 0.5) for n in image.shape]
        if plain:
            centre = [round(c - (size - 1) / 2) + (size - 1) / 2 for c in centre]
        cut = _turned(image, size, centre, angle, zoom, rng.random() < 0.5, "reflection")
        if np.count_nonzero(cut.numpy() > 0.1) > 0.15 * size**2:
            break
    return _dressed(cut, rng, rng.uniform(*scale))


def draw_whole(images: Sequence[np.ndarray], rng: np.random.Generator, *, size: int = 128,
               fill: tuple[float, float] = (0.7, 1.05)) -> torch.Tensor:
    """One clean random image of a whole field of view, (2, size, size) float32, with a 99th percentile of |x| of 1.

    The image is resampled (antialiased) to `fill` so much of the field of view, or all of it where it goes on beyond
    its own edges, stretched by up to 10 %, flipped, and turned; contrast, bias and phase as in `draw`.
    """
    image = torch.from_numpy(images[int(rng.integers(len(images)))])
    edge = torch.cat([image[0], image[-1], image[:, 0], image[:, -1]])
    inside = float(edge.mean()) < 0.05
    stretch, part = rng.uniform(0.95, 1.05), rng.uniform(*fill)
    zoom = size * (part / max(image.shape) if inside else max(part, rng.uniform(1.1, 1.3)) / min(image.shape))
    image = _resized(image, [max(8, round(n * z)) for n, z in zip(image.shape, (zoom * stretch, zoom / stretch))])
    angle = rng.integers(4) * math.pi / 2 + (rng.uniform(-0.3, 0.3) if inside and rng.random() < 0.6 else 0.0)
    centre = [(n - 1) / 2 + rng.uniform(-0.04, 0.04) * size for n in image.shape]
    cut = _turned(image, size, centre, angle, 1.0, rng.random() < 0.5, "zeros")
    return _dressed(cut, rng, 1.0)


def draw_native(images: Sequence[np.ndarray], rng: np.random.Generator, *, size: int = 192) -> torch.Tensor:
    """As `draw_whole`, but of the image's own pixels: only whole shifts, quarter turns and flips, so all detail stays.

    Air is added where the image is smaller than the field of view; where it is larger, it is cut.
    """
    image = images[int(rng.integers(len(images)))]
    image = np.rot90(image[::-1] if rng.random() < 0.5 else image, int(rng.integers(4)))
    out = np.zeros((size, size), np.float32)
    taken, placed = [], []
    for n in image.shape:
        slack = abs(size - n)
        near = slack // 2 + int(rng.integers(-min(slack // 2, size // 16), min(slack // 2, size // 16) + 1))
        taken.append(slice(near, near + size) if n > size else slice(None))
        placed.append(slice(near, near + n) if n < size else slice(None))
    out[tuple(placed)] = image[tuple(taken)]
    return _dressed(torch.from_numpy(out), rng, 1.0)


def _volumes(folder) -> dict[str, np.ndarray]:
    """The volumes (x, y, z) and the cine (frame, y, x) of a data folder, float32, scaled to a percentile of 1."""
    out = {}
    for name, path in _paths(folder).items():
        if name == "cine":
            volume = np.load(path).astype(np.float32)
        else:
            volume = np.asarray(_check.extra("nibabel", "train").load(path).dataobj, np.float32)
        out[name] = volume / np.percentile(volume[volume > 0], 99)
    return out


def _paths(folder) -> dict[str, Path]:
    """The files of `HELD_OUT` that a data folder has; none of another folder."""
    paths = {name: Path(folder) / "volumes" / ("cardiac_cine.npy" if name == "cine" else f"{name}_t1.nii.gz")
             for name in HELD_OUT}
    return {name: path for name, path in paths.items() if path.exists()}


def _slices(parts, axes) -> list[np.ndarray]:
    """All slices across some axes that hold something."""
    return [image for part in parts for axis in axes for image in np.moveaxis(part, axis, 0)
            if min(image.shape) >= 60 and (image > 0.1).mean() > 0.2]


def _resized(image: torch.Tensor, size) -> torch.Tensor:
    return F.interpolate(image[None, None], size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _turned(image, size, centre, angle, zoom, flip, outside) -> torch.Tensor:
    """size x size pixels about `centre`, turned, magnified and flipped, bicubic, not negative."""
    line = torch.arange(size) - (size - 1) / 2
    rows, cols = (-line if flip else line)[:, None], line
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    r, c = centre[0] + cosine * rows - sine * cols, centre[1] + sine * rows + cosine * cols
    height, width = image.shape
    grid = torch.stack([(2 * c + 1) / width - 1, (2 * r + 1) / height - 1], -1)[None]
    return F.grid_sample(image[None, None], grid, mode="bicubic", padding_mode=outside,
                         align_corners=False)[0, 0].clamp_(min=0)


def _dressed(cut: torch.Tensor, rng, top: float) -> torch.Tensor:
    """A magnitude with another contrast, bias and phase, (2, size, size), its 99th percentile `top`."""
    size = len(cut)
    if rng.random() < 0.4:
        cut = _contrast(rng, cut)
    if rng.random() < 0.7:
        cut = cut * torch.exp(rng.uniform(0.1, 0.5) * _smooth(rng, size, 2, 4))
    flat = cut.numpy().ravel()
    now = float(np.partition(flat, int(0.99 * flat.size))[int(0.99 * flat.size)])
    cut = cut * (top / max(now, 1e-3))
    phase = _phase(rng, size)
    return torch.stack([cut * torch.cos(phase), cut * torch.sin(phase)])


def _phase(rng, size):
    """A random smooth phase (size, size) in radians."""
    phase = rng.uniform(0, 2 * math.pi) + rng.choice([0.0, 0.5, 1.5, 3.0]) * _smooth(rng, size, 2, 5)
    if rng.random() < 0.25:
        phase = phase + rng.uniform(0.1, 0.6) * _smooth(rng, size, 6, 12)
    return phase


def phased(rng: np.random.Generator, size: int) -> np.ndarray:
    """e^(i phase) of a random smooth phase, complex64 (size, size)."""
    return torch.polar(torch.ones(size, size), _phase(rng, size).float()).numpy()


def movies(folder) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(for training, held out): the frames (frame, y, x) of `volumes/cardiac_cine.npy` before `HELD_OUT` and of it.

    Raises:
        ValueError: the file is not in the folder.
    """
    found = _volumes(folder).get("cine")
    if found is None:
        raise ValueError(f"{Path(folder) / 'volumes'} holds no cardiac_cine.npy, the movie that series are drawn from")
    held = HELD_OUT["cine"]
    return [found[:held.start]], [found[held.start:held.stop]]


def _contrast(rng, x: torch.Tensor) -> torch.Tensor:
    """Another tissue contrast: a random piecewise-linear curve through 0, monotone half of the time."""
    knots = rng.uniform(0.05, 1.0, 6)
    knots = np.sort(knots) if rng.random() < 0.5 else knots
    curve = np.concatenate([[0.0], knots, knots[-1:]])
    return torch.from_numpy(np.interp(x.numpy(), [0, 0.15, 0.3, 0.5, 0.7, 0.9, 1.1, 9], curve).astype(np.float32))


def _smooth(rng, size: int, coarsest: int, finest: int) -> torch.Tensor:
    """A smooth random field of unit standard deviation at its grid points: bicubic through a coarse random grid."""
    n = int(rng.integers(coarsest, finest + 1))
    basis = smooth_basis(size, n)
    return basis @ torch.from_numpy(rng.standard_normal((n, n)).astype(np.float32)) @ basis.T


@lru_cache(maxsize=64)
def smooth_basis(size: int, n: int) -> torch.Tensor:
    """(size, n): bicubic interpolation of n values at `size` points, ends on ends."""
    eye = torch.eye(n)[None, None]
    return F.interpolate(eye, size=(size, n), mode="bicubic", align_corners=True)[0, 0].contiguous()
