"""The word `convert`: a scan or an image into another format."""

from pisolve.cli.options import add_axes, add_part
from pisolve.cli.parser import add_word
from pisolve.cli.say import table, warn


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "write a scan or an image in another format", _options)


def _options(new) -> None:
    from pisolve.io.component import PARTS
    from pisolve.io.saving import IMAGES, SCANS

    new.add_argument("scan", help="what is read: a scan or an image of any format")
    new.add_argument("output", help=f"what is written: an image {', '.join(IMAGES)}; a scan {', '.join(SCANS)}")
    new.add_argument("--as", dest="kind", choices=("scan", "image"), help="which of both, where file and suffix "
                     "leave it open: a .npy, a .cfl")
    new.add_argument("--component", choices=PARTS, help="of an image; default: magnitude in .nii and .dcm, "
                     "else all of it")
    new.add_argument("--mps", metavar="FILE", help="coil maps to go with a scan")
    add_axes(new)
    add_part(new)


def run(a) -> None:
    """Read one file and write the other."""
    from pisolve.cli.scans import check_component, check_output
    from pisolve.io.saving import IMAGES, SCANS

    check_output(a.output, (*dict.fromkeys((*IMAGES, *SCANS)),), a.scan)
    kind = kind_of(a)
    if kind == "scan":
        if a.component is not None:
            raise ValueError("--component is of an image, and this is a scan: leave it out")
        _scan(a)
    else:
        given = [n for n in ("--mps", "--part") if getattr(a, n[2:]) is not None]
        if given:
            raise ValueError(f"{given[0]} is for a scan, and this is an image: leave it out")
        check_component(a.output, a.component)
        _image(a)


def kind_of(a) -> str:
    """"scan" or "image": what was asked for, what the suffixes or what the file says.

    Raises:
        ValueError: none of these does, or the output holds nothing of that kind.
    """
    from pisolve.io.files import PICTURES, path_of, suffix_of
    from pisolve.io.saving import IMAGES, SCANS

    read, written = (suffix_of(path_of(p)) for p in (a.scan, a.output))
    says = {"scan": written in SCANS, "image": written in IMAGES}
    kind = a.kind or ("image" if read in PICTURES else "scan" if read in (".dat", ".npz") else None)
    if kind is None and sum(says.values()) == 1:
        kind = next(k for k, can in says.items() if can)
    kind = kind or _found(a.scan)
    if not says[kind]:
        what, can, more = ("a scan", SCANS, "; pisolve recon makes an image of it") if kind == "scan" else (
            "an image", IMAGES, "")
        raise ValueError(f"{a.scan} is {what}, which a {written} does not hold: one of {', '.join(can)}{more}")
    return kind


def _found(path: str) -> str:
    """What a file is by the names of its arrays, by their kind, or by its coils."""
    import numpy as np

    from pisolve.io import cfl, matlab, zarr
    from pisolve.io.door import reading
    from pisolve.io.fastmri import IMAGES
    from pisolve.io.files import path_of
    from pisolve.io.hdf5 import link, open_hdf5
    from pisolve.io.raw import is_raw

    if path.endswith((".h5", ".hdf5", ".mrd")):
        with open_hdf5(path) as file:
            if link(file, "kspace") is not None:
                return "scan"
            if any(link(file, name) is not None for name in IMAGES):
                return "image"
        return "scan" if is_raw(path_of(path)) else "image"
    with reading(path):
        if zarr.is_zarr(path):
            return "image" if zarr.kind_of(path_of(path)) is None else "scan"
        if path.endswith(".npy") and np.load(path, mmap_mode="r", allow_pickle=False).dtype.kind != "c":
            return "image"
        if path.endswith(".mat") and (kind := matlab.kind_of_file(path)) is not None:
            return kind
        if path.endswith((".cfl", ".hdr")) and cfl.coils_of(path) > 1:
            return "scan"
    raise ValueError(f"{path} may be a scan or an image, and its numbers do not say which: --as scan, or --as image")


def _scan(a) -> None:
    from pisolve import io
    from pisolve.cli.scans import read, shape_of

    scan = read(a)
    warn(scan.warnings())
    lost = io.save_scan(a.output, scan)
    rows = [("scan", f"{a.scan}, {shape_of(scan)}"), ("written", a.output)]
    table([*rows, *([("left out", f"{', '.join(lost)}: this format has no place for it")] if lost else [])])


def _image(a) -> None:
    from pisolve import io
    from pisolve.io.component import known_place
    from pisolve.io.files import path_of, read_image, suffix_of
    from pisolve.io.named import PLAIN

    image, names, meta = read_image(a.scan)
    names = names if a.axes is None else tuple(a.axes)
    if names is None and image.ndim not in PLAIN:
        raise ValueError(f"{a.scan} holds an image of shape {image.shape}, whose axes it does not name: --axes, such "
                         "as --axes frame,slice,y,x")
    plain = suffix_of(path_of(a.output)) in (".npy", ".cfl", ".mat")
    io.save(a.output, image, axes=names, component=a.component, meta=None if plain else meta)
    table([("image", f"{a.scan}, {' x '.join(map(str, image.shape))}, {image.dtype}"),
           ("place", "not known" if known_place(meta) is None else "known"), ("written", a.output)])
