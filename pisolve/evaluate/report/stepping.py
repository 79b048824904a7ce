"""How the viewer steps through the planes of a setting: their names, the movie, and the picture of the sampling."""

from __future__ import annotations

import numpy as np

from pisolve import _axes

_MOVIES = ("frame",)  # axes that are time
_PLURAL = {"slice": "slices", "frame": "frames", "echo": "echoes"}


def what(setting) -> str:
    """What a setting's planes are, in words: "slices", "frames", or "planes" where several axes lie in front."""
    names = _leading(setting)
    return _PLURAL.get(names[0], "planes") if len(names) == 1 else "planes"


def _leading(setting) -> list[str]:
    """The axes that are stepped through: those of more than one plane, or the first."""
    sizes = dict(zip(setting.image_axes[:-2], setting.image_shape))
    return [a for a, n in sizes.items() if n > 1] or list(sizes)[:1]


def stepping(setting, kept) -> dict:
    """What the viewer knows of the planes it holds.

    Args:
        setting: a `Setting`.
        kept: the numbers of the planes that are in the file.

    Returns:
        A dict: "axis", the word at the slider; "names" of the planes that are kept; "next", for a series, the place
        among them of the plane that follows each in the movie: the next frame of the same slice, after the last the
        first; else None; "start", the place of the plane that is shown first, the middle one.
    """
    names, leading = setting.names, _leading(setting)
    axis = leading[0] if len(leading) == 1 else "plane"
    only = len(leading) == 1 and axis == "slice"  # "3 of 0..5", as the word stands at the slider
    told = [f"{k} of 0..{len(names) - 1}" if only else names[k] for k in kept]
    planes, film = setting.planes, next((a for a in _MOVIES if a in leading), None)
    after = None
    if film is not None:
        groups: dict[tuple, list[int]] = {}
        for place, k in enumerate(kept):
            groups.setdefault(tuple((a, n) for a, n in planes[k].items() if a != film), []).append(place)
        after = [0] * len(kept)
        for group in groups.values():
            for here, there in zip(group, [*group[1:], group[0]]):
                after[here] = there
    sizes = setting.image_shape[:-2]
    middle = int(np.ravel_multi_index([n // 2 for n in sizes], sizes))
    start = min(range(len(kept)), key=lambda place: abs(kept[place] - middle), default=0)
    return {"axis": axis[0].upper() + axis[1:] if len(axis) > 1 else axis, "names": told, "next": after,
            "start": start}


def pattern(setting) -> tuple[np.ndarray, str, str]:
    """(bool picture, what goes down, what goes across) of a sampling; of more than two axes those that change.

    Frames with lines of their own are shown as (frame, line), two phase encodings as (kz, ky).
    """
    mask, names = setting.pattern, [a for a in setting.axes if a != _axes.COIL]
    if mask.ndim == 2:
        return mask, *_axes.encoded(names)[-2:]
    names = names[len(names) - mask.ndim:]
    changing = [i for i, n in enumerate(mask.shape) if n > 1 and (mask != np.take(mask, [0], axis=i)).any()]
    rest = [i for i in range(mask.ndim)[::-1] if i not in changing]
    shown = sorted([*changing, *rest][:2] if len(changing) < 2 else [changing[0], changing[1]])
    if len(changing) > 2 and names[changing[0]] not in _axes.SPATIAL:  # of the middle frame
        shown = sorted(changing[-2:])
    index = tuple(slice(None) if i in shown else n // 2 for i, n in enumerate(mask.shape))
    return mask[index], *(names[i] for i in shown)
