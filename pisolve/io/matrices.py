"""The encodings of an ISMRMRD header: sizes, limits, and where the centre of k-space is."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from pisolve import _check
from pisolve.io.grid import STEPS, Matrix
from pisolve.io.header import Header

CARTESIAN = ("cartesian", "epi")
USER = (5, 6)  # of idx.user, where siemens_to_ismrmrd keeps the scanner's own line and partition at the centre


def matrices(header: Header) -> list[Matrix | ValueError]:
    """One `Matrix` an encoding; the error for one whose size is not there, which may never be needed."""
    found = []
    for encoding in header.encodings() or [header]:
        try:
            found.append(_matrix(encoding))
        except ValueError as error:
            found.append(error)
    return found


def centred(found: list, counters: dict, user, image, header: Header) -> list:
    """The matrices with the centre that the lines themselves have, where the header's cannot be right.

    The readouts of a Siemens scanner give it: the header's is a guess of the converter, and wrong with partial Fourier
    in 3-D. A centre that no line is near, of a protocol that is not the scan's, is taken as their middle.

    Args:
        counters: by name, as for `Readouts`.
        user: (readout, 8), idx.user.
        image: which readouts are for imaging.
    """
    if (header.text("encoding/trajectory") or "cartesian").lower() not in CARTESIAN:
        return found  # their counters are no lines
    siemens = "siemens" in (header.text("acquisitionSystemInformation/systemVendor") or "").lower()
    found = list(found)
    for k, m in enumerate(found):
        mine = image & (counters["encoding"] == k)
        if not isinstance(m, Matrix) or not mine.any():
            continue
        centre = list(m.centre)
        for i, (at, step, n) in enumerate(zip(USER, STEPS, m.size[1:])):
            told, counter = np.unique(user[mine, at]) if siemens else np.zeros(1), counters[step][mine]
            least, most = int(counter.min()), int(counter.max())
            if n == 1 or least == most:
                continue
            own, why = int(told[0]), f"the readouts (idx.user[{at}] of Siemens' converter) at {told[0]}"
            if len(told) != 1 or own == 0:
                own, why = (most + least + 1) // 2, f"no line is near, they are {least} to {most}: it is their middle"
                if least <= centre[i] <= most + 1:
                    continue
            if own != centre[i] and least <= own <= most and n // 2 - own + least >= 0 and n // 2 - own + most < n:
                warnings.warn(f"the header puts the centre of {step} at {centre[i]}, {why}: the lines are believed",
                              stacklevel=_check.outside())
                centre[i] = own
        found[k] = replace(m, centre=tuple(centre))
    return found


def _matrix(header: Header) -> Matrix:
    """The matrix of one encoding of the header; without a z it is a 2-D one."""
    size = [header.whole(f"encodedSpace/matrixSize/{axis}") for axis in "xyz"]
    size[2] = 1 if size[2] is None and None not in size[:2] else size[2]
    if any(not isinstance(n, int) or not 1 <= n < 1 << 16 for n in size):
        raise ValueError(f"the ISMRMRD header gives the encodedSpace a matrixSize of {size}: three whole numbers of 1 "
                         "to 65535 are needed")
    fov, recon = ([header.number(f"{space}/fieldOfView_mm/{axis}") for axis in "xyz"]
                  for space in ("encodedSpace", "reconSpace"))
    out = header.whole("reconSpace/matrixSize/x")
    if fov[0] and recon[0] and fov[0] > 0:  # what the field of view leaves; a smaller matrix alone is a coarser image
        left = size[0] * min(recon[0] / fov[0], 1)
        out = out if isinstance(out, int) and abs(out - left) <= 1 else round(left)
    out = out if isinstance(out, int) and 1 <= out <= size[0] else size[0]
    centre, limits = [], []
    for step, n in zip(STEPS, size[1:]):
        given = [header.number(f"encodingLimits/{step}/{name}") for name in ("center", "minimum", "maximum")]
        c, low, high = (d if v is None else v for v, d in zip(given, (n // 2, 0, n - 1)))
        centre.append(c)
        limits.append((low, high))
    most = 2 if fov[2] is None and size[2] == 1 else 3
    known = None not in fov[:most] and all(np.isfinite(fov[:most])) and min(fov[:most]) > 0
    found = Matrix(tuple(size), out, tuple(centre), tuple(limits), tuple(map(float, (*fov[:most], 0)[:3])) if known
                   else None)
    slices = header.whole("reconSpace/matrixSize/z")
    across = (recon[2], slices or 1) if recon[2] else (fov[2], size[2])
    fine = across[0] is not None and np.isfinite(across[0]) and across[0] > 0 and across[1] > 0
    return replace(found, thickness=float(across[0] / across[1]) if fine else None)
