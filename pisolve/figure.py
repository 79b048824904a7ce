"""Images side by side, with errors on one scale and a zoom: the picture that a comparison is judged by."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pisolve import _check, metrics
from pisolve.backend import to_numpy
from pisolve.io.atomic import atomic
from pisolve.io.words import caption
from pisolve.scan.size import tall_of

SUFFIXES = (".png", ".pdf", ".svg")
_DARK, _TEXT, _DIM, _MARK = "#0d0f12", "#e8eaed", "#9aa0a6", "#ffb454"
_CELL, _GAP = 2.3, 0.05  # inches
_COLUMNS = 7  # more images go on in another band below


def figure(images, reference=None, *, path=None, slice: int | dict | None = None,
           zoom: tuple[int, int, int] | None = None, title: str = "", dpi: int = 150, axes=None,
           pixel: tuple[float, float] = (1.0, 1.0)):
    """Draw magnitudes next to each other, and with a reference a zoom, errors on one scale, PSNR and SSIM.

    All panels share one window, 0 to the 99.8th percentile of the reference (without one: of all the images), which is
    stated below, as is the scale of the errors. PSNR and SSIM are those of the whole volume.

    Args:
        images: dict from title to image, real or complex (y, x), (slice, y, x) or with more axes in front, all of one
            shape; or one image.
        reference: image of that shape; complex is compared by magnitude.
        path: .png, .pdf or .svg; written whole or not at all. None: nothing is written, and pyplot's figure comes back,
            which a notebook shows, and `matplotlib.pyplot.show()` elsewhere.
        slice: which slice of a volume (frame of a series, ...) to show; of more axes {"slice": 2, "frame": 5}. What is
            not named, and None: the middle slice and partition, the brightest frame, echo, ...
        zoom: top row, left column and height in pixels of the part that is enlarged (its width in the proportion of
            the image); None: where the reference has most edges inside the object.
        title: a line above.
        dpi: pixels per inch.
        axes: the names of the images' axes, such as ("frame", "y", "x"); None: the one in front is of slices.
        pixel: how large a pixel is along y and x, in mm or any other unit: images are drawn in this proportion.

    Raises:
        ImportError: matplotlib is not installed (the extra `plot`).
        TypeError, ValueError: no images, other shapes, NaN or Inf, a zoom outside of the image, an unknown suffix.
        FileNotFoundError: the folder of `path` does not exist.
    """
    if path is not None:
        _check.choice("the suffix of path", Path(path).suffix, SUFFIXES)
    dpi = _check.integer("dpi", dpi, low=20, high=1200)
    images = images if isinstance(images, dict) else {"": images}
    if not images:
        raise ValueError("images is empty: at least one image is needed")
    volumes = {str(name): _magnitude(f"image {name!r}", image) for name, image in images.items()}
    truth = None if reference is None else _magnitude("reference", reference)
    first = truth if truth is not None else next(iter(volumes.values()))
    for name, volume in volumes.items():
        if volume.shape != first.shape:
            raise ValueError(f"image {name!r} has shape {volume.shape}, expected {first.shape}: crop all to one shape")
    index, where = _plane(first, axes, slice)
    tall = tall_of(pixel)

    def shown(volume):
        return volume[index]

    top = np.percentile(shown(first) if truth is not None else [shown(v) for v in volumes.values()], 99.8)
    top = float(top) or float(max(shown(v).max() for v in volumes.values())) or 1.0
    notes = [f"window 0 to {top:.3g}" + (" (99.8th percentile of the reference)" if truth is not None else "")]
    panels, errors, box, limit = {n: shown(v) for n, v in volumes.items()}, {}, None, 0.0
    labels = dict.fromkeys(panels, "")
    if truth is not None:
        errors = {name: abs(panel - shown(truth)) for name, panel in panels.items()}
        limit = error_limit(errors.values(), top)
        notes.append(f"errors 0 to {100 * limit:g} % of the window")
        box = _box(shown(truth), zoom)
        labels = {name: _label(truth, volume) for name, volume in volumes.items()}
        panels, labels = {"reference": shown(truth), **panels}, {"reference": "", **labels}
    elif zoom is not None:
        raise ValueError("zoom needs a reference")
    if where:
        notes.append(where + ("; PSNR and SSIM over the volume" if errors else ""))
    if path is None:
        _check.extra("matplotlib", "plot")
        from matplotlib import pyplot

        return _draw(panels, errors, labels, box, top, limit, title, notes, tall=tall, make=pyplot.figure)
    drawn = _draw(panels, errors, labels, box, top, limit, title, notes, tall=tall)
    with atomic(path) as temporary:
        drawn.savefig(temporary, dpi=dpi, facecolor=_DARK)


def mosaic(tiles, *, path=None, title: str = "", note: str = "", columns: int | None = None, dpi: int = 150,
           pixel: tuple[float, float] = (1.0, 1.0)):
    """Draw tiles side by side, each with its name above, in rows.

    Args:
        tiles: list of (name, plane (y, x), kind): of the kind "each" one has a window of its own, 0 to the 99.8th
            percentile of its magnitude; "log" is shown from its least finite value to 0, what is not finite black;
            "mask" is of k-space, too; "phase" in radians in colours. Any other word is a kind whose tiles share one
            window, such as "coil".
        path: .png, .pdf or .svg, written whole or not at all. None: pyplot's figure comes back.
        title, note: lines above and below.
        columns: tiles in a row; None: about as many as rows.
        dpi: pixels per inch.
        pixel: how large a pixel is along y and x; those of "log" and "mask" are square.

    Raises:
        ImportError: matplotlib is not installed (the extra `plot`).
        ValueError: no tiles, an unknown suffix.
    """
    if path is not None:
        _check.choice("the suffix of path", Path(path).suffix, SUFFIXES)
    if not tiles:
        raise ValueError("tiles is empty: at least one is needed")
    _check.extra("matplotlib", "plot")
    columns = columns or min(len(tiles), _COLUMNS, math.ceil(math.sqrt(len(tiles))) + 1)
    rows = math.ceil(len(tiles) / columns)
    tops = {}
    for of in {kind for _, _, kind in tiles} - {"each", "log", "phase"}:
        all_of = np.concatenate([abs(p).ravel() for _, p, kind in tiles if kind == of])
        tops[of] = float(np.percentile(all_of, 99.8)) or 1.0
    tall = {kind: 1.0 if kind in ("log", "mask") else tall_of(pixel) for _, _, kind in tiles}
    ratio = np.median([p.shape[0] * tall[kind] / p.shape[1] for _, p, kind in tiles])
    width, height = _CELL, min(max(_CELL * ratio, 0.5 * _CELL), 2 * _CELL)
    above, below, head = 0.34 if title else 0.06, 0.26 if note else 0.06, 0.24
    size = (columns * (width + _GAP) + 0.1, above + below + rows * (height + head))
    if path is None:
        from matplotlib import pyplot

        drawn = pyplot.figure(figsize=size, facecolor=_DARK)
    else:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=size, facecolor=_DARK)
    for number, (name, plane, kind) in enumerate(tiles):
        row, column = divmod(number, columns)
        left, y = 0.075 + column * (width + _GAP), size[1] - above - (row + 1) * (height + head)
        here = drawn.add_axes((left / size[0], y / size[1], width / size[0], height / size[1]))
        here.set_axis_off()
        shown, options = _shown(plane, kind, tops.get(kind))
        long = max(plane.shape) > 4 * min(plane.shape)  # spokes and the like fill their tile
        here.imshow(shown, interpolation="nearest", aspect="auto" if long else tall[kind], **options)
        drawn.text((left + width / 2) / size[0], (y + height + head / 2) / size[1], caption(name), color=_TEXT,
                   ha="center", va="center", fontsize=9)
    for words, y, colour in ((title, size[1] - 0.18, _TEXT), (note, 0.12, _DIM)):
        drawn.text(0.1 / size[0], y / size[1], caption(words), color=colour, fontsize=9, va="center")
    if path is None:
        return drawn
    with atomic(path) as temporary:
        drawn.savefig(temporary, dpi=_check.integer("dpi", dpi, low=20, high=1200), facecolor=_DARK)


def _shown(plane, kind: str, top: float | None):
    """(what is drawn of a tile, how)."""
    if kind == "phase":
        angles = np.angle(plane) if np.iscomplexobj(plane) else plane
        return angles, {"cmap": "twilight", "vmin": -np.pi, "vmax": np.pi}
    if kind == "log":
        finite = plane[np.isfinite(plane)]
        low = float(finite.min(initial=-1))
        return np.where(np.isfinite(plane), plane, low), {"cmap": "gray", "vmin": low, "vmax": max(float(finite.max(
            initial=0)), low + 1)}
    plane = abs(plane)
    return plane, {"cmap": "gray", "vmin": 0, "vmax": top or float(np.percentile(plane, 99.8)) or 1.0}


def _plane(image, axes, slice) -> tuple[tuple, str]:
    """The index of the plane that is shown, and which of how many it is, in words."""
    shape, given = image.shape, axes is not None
    lead = shape[:-2]
    if axes is None:
        axes = ("slice", "y", "x")[-len(shape):] if len(shape) < 4 else (*(f"axis {k}" for k in range(len(lead))), "y",
                                                                         "x")
    if len(axes) != len(shape):
        raise ValueError(f"axes names {len(axes)} axes, {', '.join(axes)}, and images have {len(shape)}, shape {shape}")
    counts = dict(zip(axes, lead))
    several = [a for a, n in counts.items() if n > 1]
    if not lead and slice is not None:
        _check.integer("slice", slice, low=0, high=0)
    if not isinstance(slice, dict):
        name = axes[0] if len(lead) < 2 or "slice" not in several else "slice"
        name = several[0] if len(several) == 1 else name
        slice = {} if slice is None or not lead else {name: slice}
    for name in slice:
        _check.choice("slice", name, tuple(counts))
    chosen = {a: _check.integer("slice", k, low=0, high=counts[a] - 1) for a, k in slice.items()}
    for at, (a, n) in enumerate(counts.items()):  # a tracer is not there all the time, an echo fades
        others = tuple(i for i in range(image.ndim) if i != at)
        bright = given and a not in ("slice", "z")
        chosen.setdefault(a, int((image**2).sum(axis=others).argmax()) if bright else n // 2)
    index = tuple(chosen[a] for a in counts)
    return index, ", ".join(f"{a} {k} of 0..{n - 1}" for (a, n), k in zip(counts.items(), index) if n > 1)


def _magnitude(name, x) -> np.ndarray:
    ndim = None if getattr(x, "ndim", 0) > 3 else (2, 3)
    x = to_numpy(_check.array(name, x, ndim=ndim, complex_=False))
    return (abs(x) if x.dtype.kind == "c" else x).astype(np.float64)


def _label(truth, volume) -> str:
    label = f"{metrics.psnr(truth, volume):.2f} dB"
    large = min(truth.shape[-2:]) >= metrics.WINDOW
    return f"{label}  ·  SSIM {metrics.ssim(truth, volume):.3f}" if large else label


def error_limit(errors, top: float) -> float:
    """Where error maps saturate, one limit for all: a round share of the window, above the middling image's errors.

    The next of 1, 2, 3, 5, 10, 15, 20, 30, 50, 100 percent at or above 1.4 times the lower median of the images' 99th
    percentiles over `top`: the worst image saturates, not the scale.

    Args:
        errors: absolute errors, real arrays, one an image.
        top: what is white in the images.
    """
    large = sorted(float(np.percentile(e, 99)) for e in errors)
    share = 1.4 * large[(len(large) - 1) // 2] / top
    return next((s for s in (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5) if s >= share), 1.0)


def _box(image, zoom) -> tuple[int, int, int, int]:
    """Top, left, height and width of the enlarged part."""
    from scipy import ndimage

    ny, nx = image.shape
    if zoom is not None:
        if not isinstance(zoom, tuple | list) or len(zoom) != 3:
            raise ValueError(f"zoom must be (top, left, height), got {zoom!r}")
        height = _check.integer("zoom height", zoom[2], low=2, high=ny)
        width = min(nx, max(2, round(height * nx / ny)))
        return (_check.integer("zoom top", zoom[0], low=0, high=ny - height),
                _check.integer("zoom left", zoom[1], low=0, high=nx - width), height, width)
    height, width = max(2, round(ny / 3.5)), max(2, round(nx / 3.5))
    size = (height, width)
    edges = ndimage.uniform_filter(np.hypot(ndimage.sobel(image, 0), ndimage.sobel(image, 1)), size)
    inside = ndimage.uniform_filter((image > 0.1 * image.max()).astype(float), size)
    top, left = np.array(size) // 2
    score = (edges * inside**4)[top: top + ny - height + 1, left: left + nx - width + 1]
    top, left = np.unravel_index(np.argmax(score), score.shape)
    return int(top), int(left), height, width


def _draw(panels, errors, labels, box, top, limit, title, notes, *, tall=1.0, make=None):
    """Bands of images, and where there are errors a row of zooms and one of errors below each, with a bar for these."""
    _check.extra("matplotlib", "plot")
    from matplotlib.figure import Figure  # without pyplot: no global state, and Agg for every file
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    ny, nx = next(iter(panels.values())).shape
    width, height = _CELL, min(max(_CELL * tall * ny / nx, 0.4 * _CELL), 2.5 * _CELL)
    aspect = "auto" if math.isclose(height / width, tall * ny / nx) else tall  # a very long image fills no cell
    bands, rows = math.ceil(len(panels) / _COLUMNS), 3 if errors else 1
    columns = math.ceil(len(panels) / bands)
    left, right, bottom = 0.32 if errors else 0.1, 0.66 if errors else 0.1, 0.3
    head, above = 0.5 if any(labels.values()) else 0.3 if any(panels) else 0.06, 0.34 if title else 0.04
    band = head + rows * (height + _GAP) - _GAP
    size = (left + columns * (width + _GAP) - _GAP + right, bottom + bands * (band + _GAP) - _GAP + above)
    drawn = (make or Figure)(figsize=size, facecolor=_DARK)

    def start(index):
        """Where the images of a band begin: inches from the bottom."""
        return size[1] - above - head - (band + _GAP) * index

    def axes(row, index):
        place, column = divmod(index, columns)
        x, y = left + column * (width + _GAP), start(place) - height - row * (height + _GAP)
        new = drawn.add_axes((x / size[0], y / size[1], width / size[0], height / size[1]))
        new.set(xticks=[], yticks=[], facecolor=_DARK)
        for spine in new.spines.values():
            spine.set_visible(False)
        return new

    def text(x, y, words, **options):
        drawn.text(x / size[0], y / size[1], caption(words),
                   **{"color": _TEXT, "fontsize": 9, "va": "center", **options})

    for index, (name, panel) in enumerate(panels.items()):
        here = axes(0, index)
        here.imshow(panel, cmap="gray", vmin=0, vmax=top, interpolation="nearest", aspect=aspect)
        middle, edge = left + index % columns * (width + _GAP) + width / 2, start(index // columns)
        text(middle, edge + (0.34 if any(labels.values()) else 0.16), name, ha="center", weight="bold",
             fontsize=min(11, max(4, 250 / max(1, len(name)))))  # a long name stays above its own image
        text(middle, edge + 0.13, labels[name], ha="center", color=_DIM)
        if not errors:
            continue
        y, x, h, w = box
        if index == 0:
            here.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor=_MARK, linewidth=0.8))
        axes(1, index).imshow(panel[y: y + h, x: x + w], cmap="gray", vmin=0, vmax=top, interpolation="nearest",
                              aspect=aspect)
        last = axes(2, index)
        if name in errors:
            picture = last.imshow(errors[name] / top, cmap="magma", vmin=0, vmax=limit, interpolation="nearest",
                                  aspect=aspect)
        else:
            last.text(0.5, 0.5, "magnitude against the reference's,\none scale for all", color=_DIM, fontsize=8.5,
                      ha="center", va="center", transform=last.transAxes)
    if errors:
        for k in range(bands):
            for row, words in enumerate(("image", "zoom", "error")):
                y = start(k) - row * (height + _GAP) - height / 2
                text(left / 2, y, words, rotation=90, ha="center", color=_MARK if row == 1 else _DIM)
        place = ((size[0] - right + 0.1) / size[0], bottom / size[1], 0.1 / size[0], height / size[1])
        bar = drawn.colorbar(picture, cax=drawn.add_axes(place), ticks=MaxNLocator(5, steps=[1, 2, 5, 10]),
                             format=lambda v, _: f"{100 * v:.3g} %")
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=_DIM, labelsize=7.5, length=2)
    if title:
        text(left, size[1] - 0.2, title, ha="left", fontsize=12)
    text(left, bottom / 2, "   |   ".join(notes), ha="left", color=_DIM, fontsize=8)
    return drawn
