"""Raw data that other programs turn into ISMRMRD: which file is whose, and what converts it."""

from __future__ import annotations

from pathlib import Path

_GE = ("GE's raw data", "ge_to_ismrmrd (github.com/ismrmrd/ge_to_ismrmrd, with GE's Orchestra SDK)",
       "ge_to_ismrmrd {file} -o scan.h5")
_PHILIPS = ("Philips' raw data", "philips_to_ismrmrd (github.com/ismrmrd/philips_to_ismrmrd)",
            "philips_to_ismrmrd -f {stem} -o scan.h5")
_BRUKER = ("Bruker's raw data", "bruker_to_ismrmrd (github.com/ismrmrd/bruker_to_ismrmrd)",
           "bruker_to_ismrmrd -i {folder} -o scan.h5")
_SUFFIXES = {".7": _GE, ".raw": _PHILIPS, ".lab": _PHILIPS, ".sin": _PHILIPS, ".list": _PHILIPS, ".data": _PHILIPS,
             ".job0": _BRUKER}
_NAMES = {"fid": _BRUKER, "ser": _BRUKER, "2dseq": _BRUKER}


def refuse(path) -> None:
    """Raise a ValueError for a vendor's raw data that is not read here, with the program that converts it."""
    path = Path(path)
    found = _SUFFIXES.get(path.suffix.lower()) or _NAMES.get(path.name)
    if path.name.startswith("ScanArchive_") and path.suffix == ".h5":
        found = _GE
    if found is not None:
        what, program, command = found
        command = command.format(file=path.name, stem=path.stem, folder=path.parent)
        raise ValueError(f"{path} is {what}, which is not read here: {program} makes ISMRMRD of it, {command}; "
                         "load('scan.h5') reads that")
