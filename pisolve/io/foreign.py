"""Files that other programs turn into ISMRMRD or NIfTI: which file is whose, and what converts it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_BEGIN = ((128, b"DICM", ".dcm"), (0, b"\x89HDF\r\n\x1a\n", ".h5"), (0, b"\x93NUMPY", ".npy"), (344, b"n+1\0", ".nii"),
          (0, b"MATLAB 5.0", ".mat"))  # where what stands in a file, whatever it is called
_ANALYZE = tuple(n.to_bytes(4, order) for n in (348, 540) for order in ("little", "big"))  # a .hdr that is not BART's
_GE = ("GE's raw data", "ge_to_ismrmrd (github.com/ismrmrd/ge_to_ismrmrd, with GE's Orchestra SDK)",
       "ge_to_ismrmrd {file} -o scan.h5")
_PHILIPS = ("Philips' raw data", "philips_to_ismrmrd (github.com/ismrmrd/philips_to_ismrmrd)",
            "philips_to_ismrmrd -f {stem} -o scan.h5")
_BRUKER = ("Bruker's raw data", "bruker_to_ismrmrd (github.com/ismrmrd/bruker_to_ismrmrd)",
           "bruker_to_ismrmrd -i {folder} -o scan.h5")
_SUFFIXES = {".7": _GE, ".raw": _PHILIPS, ".lab": _PHILIPS, ".sin": _PHILIPS, ".list": _PHILIPS, ".data": _PHILIPS,
             ".job0": _BRUKER}
_IMAGES = {".mgz": "FreeSurfer's", ".mgh": "FreeSurfer's", ".par": "Philips' PAR/REC", ".rec": "Philips' PAR/REC",
           ".mnc": "MINC's", ".img": "Analyze's or NIfTI's pair", ".head": "AFNI's", ".brik": "AFNI's"}
_NAMES = {"fid": _BRUKER, "ser": _BRUKER}


def refuse(path) -> None:
    """Raise a ValueError for raw data and images that are not read here, with the program that converts them."""
    path = Path(path)
    kind = _IMAGES.get(".img" if path.suffix == ".hdr" and _begin(path)[:4] in _ANALYZE else path.suffix.lower())
    if path.name == "2dseq":
        raise ValueError(f"{path} is an image, Bruker's, which is not read here: brkraw or Bru2Nii makes NIfTI of it")
    if kind is not None:
        pair = {".rec": ".PAR", ".brik": ".HEAD"}.get(path.suffix.lower(), path.suffix)
        raise ValueError(f"{path} is an image, {kind}, which is not read here: nib-convert of "
                         f"nibabel makes NIfTI of it, nib-convert {path.stem}{pair} {path.stem}.nii.gz")
    found = _SUFFIXES.get(path.suffix.lower()) or _NAMES.get(path.name)
    if path.name.startswith("ScanArchive_") and path.suffix == ".h5":
        found = _GE
    if found is not None:
        what, program, command = found
        command = command.format(file=path.name, stem=path.stem, folder=path.parent)
        raise ValueError(f"{path} is {what}, which is not read here: {program} makes ISMRMRD of it, {command}; "
                         "load('scan.h5') reads that")


def hint(path) -> str:
    """What to call a file that begins like one of a format here, as the end of a message; "" for others."""
    head = _begin(path)
    found = next((suffix for at, magic, suffix in _BEGIN if head[at : at + len(magic)] == magic), None)
    return "" if found is None else f"; it begins like a {found}: give it that suffix"


def _begin(path) -> bytes:
    """The first bytes of a regular file, as far as it can be read."""
    if Path(path).is_file():
        with suppress(OSError), open(path, "rb") as file:
            return file.read(352)
    return b""
