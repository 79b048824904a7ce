"""Files that other programs turn into ISMRMRD or NIfTI: which file is whose, and what converts it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_BEGIN = ((128, b"DICM", ".dcm"), (0, b"\x89HDF\r\n\x1a\n", ".h5"), (0, b"\x93NUMPY", ".npy"), (344, b"n+1\0", ".nii"),
          (0, b"MATLAB 5.0", ".mat"))  # where what stands in a file, whatever it is called
_GE = ("GE's raw data", "ge_to_ismrmrd (github.com/ismrmrd/ge_to_ismrmrd, with GE's Orchestra SDK)",
       "ge_to_ismrmrd {file} -o scan.h5")
_PHILIPS = ("Philips' raw data", "philips_to_ismrmrd (github.com/ismrmrd/philips_to_ismrmrd)",
            "philips_to_ismrmrd -f {stem} -o scan.h5")
_BRUKER = ("Bruker's raw data", "bruker_to_ismrmrd (github.com/ismrmrd/bruker_to_ismrmrd)",
           "bruker_to_ismrmrd -i {folder} -o scan.h5")
_SUFFIXES = {".7": _GE, ".raw": _PHILIPS, ".lab": _PHILIPS, ".sin": _PHILIPS, ".list": _PHILIPS, ".data": _PHILIPS,
             ".job0": _BRUKER}
_IMAGES = {".mgz": "FreeSurfer's", ".mgh": "FreeSurfer's", ".par": "Philips' PAR/REC", ".rec": "Philips' PAR/REC",
           ".mnc": "MINC's", ".img": "Analyze's", ".head": "AFNI's", ".brik": "AFNI's"}
_NAMES = {"fid": _BRUKER, "ser": _BRUKER, "2dseq": _BRUKER}


def refuse(path) -> None:
    """Raise a ValueError for raw data and images that are not read here, with the program that converts them."""
    path = Path(path)
    if path.suffix.lower() in _IMAGES:
        pair = {".rec": ".PAR", ".brik": ".HEAD"}.get(path.suffix.lower(), path.suffix)
        raise ValueError(f"{path} is an image, {_IMAGES[path.suffix.lower()]}, which is not read here: nib-convert of "
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
    head = b""
    with suppress(OSError), open(path, "rb") as file:
        head = file.read(352)
    found = next((suffix for at, magic, suffix in _BEGIN if head[at : at + len(magic)] == magic), None)
    return "" if found is None else f"; it begins like a {found}: give it that suffix"
