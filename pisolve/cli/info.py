"""The word `info`: what is in a file, and what is odd about it."""

from pisolve.cli.options import add_axes, add_coord, add_part
from pisolve.cli.parser import add_word
from pisolve.cli.say import table

# attributes told in words
WORDED = ("readouts", "skipped", "oversampling_removed", "partial_fourier", "assumed", "epi")


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "say what is in a file", _options)


def _options(new) -> None:
    new.add_argument("scan", help="scan or image: .h5, .mrd, .dat, .npy, .npz, .cfl, .mat, .nii, .dcm, .zarr; or a "
                     "folder: a line a file")
    add_axes(new)
    add_coord(new)
    add_part(new)


def run(a) -> int | None:
    """Say what is in a file: a scan, else an image; in a folder, what is in each of its files."""
    from pathlib import Path

    from pisolve.cli.scans import read
    from pisolve.io.files import is_picture, is_scan_folder

    if Path(a.scan).is_dir() and not is_scan_folder(a.scan):
        from pisolve.cli.folder import tell

        if a.part or a.axes or a.average != "mean":
            raise ValueError(f"{a.scan} is a folder: --part, --axes and --average are for one file")
        return tell(a.scan)
    try:
        scan = read(a)
    except (ValueError, TypeError) as error:
        if a.part or a.axes or a.coord or Path(a.scan).suffix == ".npz" or not Path(a.scan).exists():
            raise
        try:
            rows = _image(a.scan)
        except (ValueError, TypeError) as other:
            raise (other if is_picture(a.scan) else error) from None  # neither: why it is no scan says more
        table(rows)
    else:
        table(_scan(a.scan, scan))
    return None


def _scan(path: str, scan) -> list:
    """Rows on a scan."""
    import numpy as np

    from pisolve import masks
    from pisolve.cli.report import what_was_done
    from pisolve.cli.scans import maps_of, sampled, shape_of

    rss, pattern = scan.rss(), scan.encoding
    grid = scan.coord is None
    if scan.mask is None and grid:
        pattern = pattern.keep(masks.estimate(scan.kspace, scan.axes))
    guess = " (no mask in the file: where k-space is not zero)" if scan.mask is None and grid else ""
    return [("file", path), ("k-space", f"{shape_of(scan)}, {scan.kspace.dtype}"),
            ("sampling", sampled(pattern) + guess), ("maps", maps_of(scan)),
            *_shots(scan), ("reference", "none" if scan.reference is None else str(scan.reference.shape)),
            *_measured(scan),
            ("scale", f"k-space peaks at {abs(scan.kspace).max():.4g}; the root sum of squares has a maximum of "
             f"{rss.max():.4g}, a 99th percentile of {np.percentile(rss, 99):.4g}"),
            *what_was_done(scan), *_attributes(scan.meta), *(("warning", w) for w in scan.warnings() or ["none"])]


def _shots(scan) -> list:
    """Rows on the shots of a radial scan: their delays and factors."""
    from pisolve.prepare.shots import look, told_delays, told_factors

    rows, found = [], look(scan)
    if found.delays is not None:
        rows.append(("delays", told_delays(found.delays) + ("" if found.delayed else ", too small to matter")))
    if found.factors is not None:
        rows.append(("shots", told_factors(found.factors, found.uneven)))
    return rows


def _measured(scan) -> list:
    """Rows on what was measured beside the image."""
    from pisolve.scan.field import told

    rows = []
    if scan.noise is not None:
        rows.append(("noise", f"{scan.noise.shape[1]} samples of noise alone"))
    if scan.calib is not None:
        rows.append(("calibration", f"{scan.calib.shape}, measured apart"))
    if told(scan) is not None:
        rows.append(("off-resonance", told(scan)))
    return rows


def _attributes(meta: dict) -> list:
    """Rows of a scan's `meta`; what raw data was sorted into gets rows of its own, in words."""
    from pisolve.prepare import TOLD

    rows = [(name, ", ".join(f"{k} {n}" for k, n in meta[name].items())) for name in ("readouts", "skipped")
            if name in meta]
    if "oversampling_removed" in meta:
        rows.append(("oversampling", "removed, {} to {} samples a readout".format(*meta["oversampling_removed"])))
    if "partial_fourier" in meta:
        rows.append(("partial Fourier", ", ".join(f"{k} {a} to {b}" for k, (a, b) in meta["partial_fourier"].items())))
    return rows + [("attribute", f"{k}: {v}") for k, v in meta.items() if k not in WORDED and k not in TOLD]


def _image(path: str) -> list:
    """Rows on a file that holds an image, with the recipe that made it."""
    from pisolve.io.component import known_place
    from pisolve.io.files import read_image
    from pisolve.io.hdf5 import attributes, open_hdf5

    image, names, meta = read_image(path)
    rows = [("file", path), ("image", f"{image.shape}, {image.dtype}, magnitude up to {abs(image).max():.4g}")]
    rows += [] if names is None else [("axes", ", ".join(names))]
    if "voxel_mm" in meta:
        place = "not known" if known_place(meta) is None else "known"
        size = " x ".join(f"{v:.4g}" for v in meta["voxel_mm"])
        rows.append(("voxel", f"{size} mm, its place in the scanner {place}"))
    if path.endswith((".h5", ".hdf5")):
        with open_hdf5(path) as file:
            rows += [("attribute", f"{name}: {value}") for name, value in attributes(file).items()]
    return rows
