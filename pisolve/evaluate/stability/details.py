"""Small structures put into the object: which of them does a reconstruction show, and how strong?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import metrics
from pisolve.evaluate.stability.replay import Replay

COPIES = 3
# letters on 5 x 7 dots, a row a number
_FONT = {"M": (17, 27, 21, 21, 17, 17, 17), "R": (30, 17, 17, 30, 20, 18, 17), "I": (14, 4, 4, 4, 4, 4, 14)}


@dataclass(frozen=True)
class Details:
    """What became of the structures that were inserted, d in each place, x without and x' with them.

    Attributes:
        rows: a dict for each structure and contrast: "structure"; "contrast" of the truth, in units of the 99th
            percentile of the object; "copies" that were inserted, at different places; "recovered", the mean over the
            copies of Re<d, x' - x> / <d, d>, 1 where the structure is shown as it is and 0 where it is lost; "worst
            copy", the least of them; "CNR", recovered contrast over the standard deviation of |x| in a ring around the
            structure, mean over the copies; "elsewhere", the share of the energy of x' - x that is not the structures;
            "verdict": "kept" from 0.5 on, "faded" from 0.2 on, "lost" below, by the worst copy; "status" of the run.
        truth: what was inserted at the highest contrast, real (structure, y, x), in the scan's units.
        found: |x' - x| there, real (structure, y, x).
        image: x, complex (y, x).
        names: of the structures, in the order of `truth`.
        left_out: structures for which the object had no place.
    """

    rows: list[dict[str, Any]]
    truth: np.ndarray
    found: np.ndarray
    image: np.ndarray
    names: list[str]
    left_out: list[str]


def insert(replay: Replay, structures, contrasts, *, seed: int, tick: Callable) -> Details:
    """Add structures to the data, y + A d with the scan's maps and sampling, and look for them in the image.

    Args:
        replay: f, y and f(y).
        structures: names out of `STRUCTURES`.
        contrasts: ascending, in units of the 99th percentile of the object: of the scan's reference, else of the
            zero-filled image, which also say where the body is. Nothing of it depends on the recipe.
        seed: of the places.
        tick: called after every reconstruction.

    Reference:
        Antun et al., PNAS 117 (2020) 30088 (structural changes).
    """
    made, missing = plan(replay, structures, contrasts, seed)
    return shown(replay, made, missing, map(replay, (one.kspace(replay) for one in made)), tick)


@dataclass(frozen=True)
class Inserted:
    """A structure at one contrast.

    Attributes:
        shapes: its copies, real (y, x); turned: with the phase that the object has at the middle of each.
        height: its contrast in the scan's units.
    """

    name: str
    contrast: float
    height: float
    shapes: list[np.ndarray]
    turned: list[np.ndarray]

    def kspace(self, replay: Replay) -> np.ndarray:
        """y + A d."""
        return replay.kspace + replay.coils(sum(self.turned).astype(replay.image.dtype))


def plan(replay: Replay, structures, contrasts, seed: int) -> tuple[list[Inserted], list[str]]:
    """(what `insert` inserts, the structures for which there is no place)."""
    rng, made, missing, seen = np.random.default_rng(seed), [], [], _object(replay)
    level, body = float(np.percentile(seen, 99)), metrics.body(seen)
    for name in structures:
        copies = _place([STRUCTURES[name](min(replay.image.shape), rng) for _ in range(COPIES)], body, rng)
        if not copies:
            missing.append(name)
        for contrast in contrasts if copies else ():
            shapes = [contrast * level * c for c in copies]
            turned = [s * _phase(replay.phase, s) for s in shapes]
            made.append(Inserted(name, contrast, contrast * level, shapes, turned))
    return made, missing


def shown(replay: Replay, made: list[Inserted], missing: list[str], images: Iterable, tick: Callable) -> Details:
    """What `insert` says of the images, and the statuses, of what was inserted."""
    image, rows, truth, found = replay.image, [], {}, {}
    size = abs(image)
    for one, (other, status) in zip(made, images):
        tick()
        rows.append({"structure": one.name, "contrast": one.contrast, "copies": len(one.shapes),
                     **_recovery(other - image, one.shapes if replay.magnitude else one.turned, size, one.height),
                     "status": status})
        truth[one.name], found[one.name] = sum(one.shapes), abs(other - image)  # of the highest contrast
    there, seen = (np.array(list(a.values())).reshape(-1, *image.shape) for a in (truth, found))
    return Details(rows, there, seen, image, list(truth), missing)


def _object(replay) -> np.ndarray:
    """The object's magnitude as far as it is known without the recipe, so that all recipes get the same structures."""
    reference = replay.scan.reference
    known = reference is not None and reference.shape == replay.image.shape and reference.any()
    return abs(reference if known else replay.coils.H(replay.kspace))


def _recovery(change, shapes, background, height):
    from scipy import ndimage

    energy = [np.vdot(s, s).real for s in shapes]
    recovered = [float(np.vdot(s, change).real / e) for s, e in zip(shapes, energy)]
    rest = change - sum(np.vdot(s, change) / e * s for s, e in zip(shapes, energy))
    total, ratios = float(np.linalg.norm(change) ** 2), []
    for share, shape in zip(recovered, shapes):
        inside = abs(shape) > 0
        ring = ndimage.binary_dilation(inside, iterations=5) & ~ndimage.binary_dilation(inside, iterations=1)
        ratios.append(share * height / max(float(background[ring].std()), 1e-6 * height))
    low = min(recovered)
    return {"recovered": float(np.mean(recovered)), "worst copy": low, "CNR": float(np.mean(ratios)),
            "elsewhere": float(np.linalg.norm(rest) ** 2) / total if total > 0 else 0.0,
            "verdict": "kept" if low >= 0.5 else "faded" if low >= 0.2 else "lost"}


def _phase(phase, shape):
    return phase[np.unravel_index(int(np.argmax(shape)), shape.shape)]


def _place(patches, body, rng) -> list[np.ndarray]:
    """Patches as images (y, x), at random places inside the body and apart from each other, as many as find one."""
    free, out = body.copy(), []
    for patch in patches:
        h, w = (n + 2 * 2 for n in patch.shape)
        if h > body.shape[0] or w > body.shape[1]:
            continue
        fits = np.lib.stride_tricks.sliding_window_view(free, (h, w)).all((-2, -1))
        places = np.argwhere(fits)
        if not len(places):
            continue
        y, x = places[rng.integers(len(places))]
        free[y: y + h, x: x + w] = False
        image = np.zeros(body.shape)
        image[y + 2: y + h - 2, x + 2: x + w - 2] = patch
        out.append(image)
    return out


def _grid(n):
    r = np.arange(n) - n // 2
    return r[:, None], r[None]


def _dot(n, rng):
    """A Gaussian of 2 pixels full width at half maximum."""
    y, x = _grid(5)
    return np.exp(-4 * np.log(2) * (y**2 + x**2) / 2**2)


def _line(n, rng):
    """A line of 1.5 pixels full width at half maximum and a tenth of the matrix long, in a random direction."""
    angle, length = rng.uniform(0, np.pi), max(6, n // 10)
    y, x = _grid(length + 3 - length % 2)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = np.exp(-4 * np.log(2) * (across / 1.5) ** 2) * np.clip(length / 2 + 0.5 - abs(along), 0, 1)
    return np.where(line > 0.02, line, 0)


def _lesion(n, rng):
    """A disc of a fifteenth of the matrix across, with an edge that falls off over two pixels."""
    radius = max(2.0, n / 30)
    y, x = _grid(2 * int(np.ceil(radius + 1)) + 1)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((np.hypot(y, x) - radius + 1) / 2, 0, 1))


def _text(n, rng):
    """The letters MRI, 7 pixels high for matrices up to 255, then 14, 21, ..."""
    letters = [np.array([[row >> k & 1 for k in (4, 3, 2, 1, 0)] for row in _FONT[c]], float) for c in "MRI"]
    gap = np.zeros((7, 1))
    word = np.concatenate([letters[0], gap, letters[1], gap, letters[2]], 1)
    return np.kron(word, np.ones((max(1, n // 128),) * 2))


STRUCTURES = {"dot": _dot, "line": _line, "lesion": _lesion, "text": _text}
