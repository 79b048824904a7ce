"""The word `show`: a picture of a scan or an image."""

from pisolve.cli.options import add_part, add_select
from pisolve.cli.parser import add_word
from pisolve.cli.say import table, warn

WHAT = ("all", "image", "kspace", "coils", "maps", "frames")


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "draw a scan or an image", _options)


def _options(new) -> None:
    new.add_argument("scan", help="scan or image of any format")
    new.add_argument("-o", "--output", required=True, metavar="FILE", help="picture: .png, .pdf or .svg")
    new.add_argument("--what", choices=WHAT, help="of a scan its image, k-space (log), the coils' images, its maps, or "
                     "its frames; default: all of these, of one slice; of an image all slices or frames")
    new.add_argument("--along", metavar="AXIS", help="which axis of an image is gone along; default: its longest")
    new.add_argument("--most", type=int, default=24, metavar="N", help="tiles at most; default: 24")
    new.add_argument("--phase", action="store_true", help="the phase beside the magnitude")
    add_select(new)
    add_part(new)


def run(a) -> None:
    """Draw what a file holds: a scan, else an image."""
    from pisolve._check import extra, integer
    from pisolve.cli.scans import check_output
    from pisolve.figure import SUFFIXES, mosaic
    from pisolve.scan.size import pixel_of

    integer("--most", a.most, low=1, high=400)
    extra("matplotlib", "plot")
    check_output(a.output, SUFFIXES, a.scan)
    tiles, title, note, meta = drawn(a)
    mosaic(tiles, path=a.output, title=title, note=note, pixel=pixel_of(meta))
    table([("shown", title), ("written", a.output)])


def drawn(a):
    """(tiles for `figure.mosaic`, a line above, a line below, what is known of its place)."""
    from pathlib import Path

    scan, why = _scan(a)
    if scan is not None:
        warn(scan.warnings())
        return *_of_scan(a, scan), scan.meta
    try:
        return _of_image(a)
    except (ValueError, TypeError):
        if why is None or not Path(a.scan).exists():
            raise
        raise why from None


def _scan(a):
    """(the scan of a file, None) or (None, why it is none)."""
    from pisolve.cli.scans import read, selected
    from pisolve.io.files import PICTURES, path_of, suffix_of

    if suffix_of(path_of(a.scan)) in PICTURES:
        return None, None
    try:
        scan = read(a)
    except (ValueError, TypeError) as error:
        if a.part or a.what not in (None, "image"):
            raise
        return None, error
    return selected(a, scan), None


def _of_scan(a, scan):
    """Tiles of a scan."""
    from pathlib import Path

    import numpy as np

    from pisolve.cli.scans import shape_of
    from pisolve.scan import views

    one, what = views.middle(scan), a.what or "all"
    images = views.coil_images(one)
    part = ", ".join(f"{n} {k}" for n, k in views.chosen_of(scan).items() if scan.kspace.shape[scan.axes.index(n)] > 1)
    tiles = []
    if what in ("all", "image"):
        tiles.append(("root sum of squares", np.linalg.norm(images, axis=0), "each"))
    if what in ("all", "kspace"):
        tiles.append(("k-space, log" if one.coord is None else "samples, log", views.log_kspace(one), "log"))
        if one.mask is not None and one.coord is None:
            flat = one.mask.ndim == 2
            mask = np.broadcast_to(one.mask, images.shape[1:]) if flat else one.mask.any(axis=-1)
            tiles.append(("mask" if flat else "mask (kz, ky)", mask.astype(float), "mask"))
    left = max(a.most - len(tiles), 1)
    if what in ("all", "coils"):
        count = min(left if what == "coils" else 6, len(images))
        coils = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
        tiles += [(f"coil {n}", images[n], "coil") for n in coils]
        tiles += [(f"phase of coil {n}", images[n], "phase") for n in coils] if a.phase else []
    if what in ("all", "maps") and one.mps is not None:
        maps = one.mps.reshape(-1, *one.mps.shape[-3:])[:, one.mps.shape[-3] // 2] if one.mps.ndim > 3 and len(
            one.encoding.encoded) == 3 else one.mps.reshape(-1, *one.mps.shape[-2:])
        maps = maps[: left if what == "maps" else 6]
        tiles += [(f"map {n}", plane, "map") for n, plane in enumerate(maps)]
        tiles += [(f"phase of map {n}", plane, "phase") for n, plane in enumerate(maps)] if a.phase else []
    elif what == "maps":
        raise ValueError("this scan has no maps: pisolve calib makes them, show its file")
    if what == "frames" or (what == "all" and len(scan.image_axes) > 2):
        lead = [n for n in scan.image_axes[:-2] if scan.image_shape[scan.image_axes.index(n)] > 1]
        if lead or what == "frames":
            most = left if what == "frames" else 6
            frames = views.planes(scan.rss(), scan.image_axes, most=most, along=a.along)
            tiles += [(name or "frame", plane, "frame") for name, plane in frames]
    note = f"one window for coils, for maps, for frames; k-space over {views.DECADES} decades"
    return tiles[: a.most], f"{Path(a.scan).name}: {shape_of(scan)}", "; ".join(filter(None, (part, note)))


def _of_image(a):
    """Tiles of an image, every n-th plane where there are more than `--most`."""
    from pathlib import Path

    from pisolve.io.files import read_image
    from pisolve.scan import views

    wrong = [n for n, value in (("--slices", a.slices), ("--select", a.select)) if value is not None]
    if wrong:
        raise ValueError(f"{wrong[0]} is for scans, and this is an image: --along and --most choose its planes")
    image, names, meta = read_image(a.scan)
    names = names if a.axes is None else tuple(a.axes)
    planes = views.planes(image, names, most=a.most, along=a.along)
    tiles = [(name, plane, "image") for name, plane in planes]
    tiles += [(f"phase {name}", plane, "phase") for name, plane in planes] if a.phase else []
    title = f"{Path(a.scan).name}: {' x '.join(map(str, image.shape))}"
    return tiles, title, "one window, 0 to the 99.8th percentile", meta
