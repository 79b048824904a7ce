"""Data crimes: what makes results on a data set look better, or mean something else, than on a scanner's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pisolve import _check, io
from pisolve.evaluate.crimes import image, kspace, reference
from pisolve.evaluate.crimes.view import Measured, View
from pisolve.evaluate.section import Section, Told
from pisolve.prepare import as_scan


@dataclass(frozen=True)
class Crime:
    """A named warning about data.

    Attributes:
        name: a few words.
        evidence: what was measured in these data, in one sentence.
        value: the number that was held against the limit; None for the warnings that a `Scan` has by itself.
        remedy: what to do.
    """

    name: str
    evidence: str
    value: float | None
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}; {self.remedy}"


@dataclass(frozen=True, repr=False)
class Crimes(Told):
    """What `crimes` found; iterates over its `Crime`s, and is False where there is none.

    Attributes:
        found: the crimes.
        checks: one dict a check: check, value, limit, verdict ("found", "clean" or "not applicable"), definition.
    """

    found: tuple[Crime, ...]
    checks: tuple[dict[str, Any], ...]

    @property
    def names(self) -> list[str]:
        """The names of what was found."""
        return [c.name for c in self.found]

    def __iter__(self) -> Iterator[Crime]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: found and checks."""
        return {"found": [vars(c).copy() for c in self.found], "checks": [dict(c) for c in self.checks]}

    def section(self) -> Section:
        """For the report and the terminal."""
        if self.found:
            text = ("What is listed as a warning says that the data are not what a scanner delivers, or that the "
                    "reference is no independent truth. Numbers measured on such data do not carry over to a scanner: "
                    "published cases flattered methods by a quarter to a half.")
        else:
            text = "None of these checks found a sign that the data or the reference are not what they seem."
        text += ("\n\nEvery check is a number and a limit, which lies between the values of clean scans and those of "
                 "scans that a crime was committed on. What a check cannot see is not proven absent: noise added "
                 "afterwards hides most of them, and a scan simulated at its own resolution looks clean.")
        return Section("Data crimes", text, [dict(c) for c in self.checks], warnings=[str(c) for c in self.found])


@dataclass(frozen=True)
class Check:
    """One check: found where `measure` gives a value beyond `limit` (below it where `below`)."""

    name: str
    measure: Callable[[View], Measured | None]
    limit: float
    below: bool
    remedy: str

    def __call__(self, view: View) -> tuple[dict, Crime | None]:
        measured = None if view.scan is None else self.measure(view)
        row = {"check": self.name, "value": None, "limit": f"{'<' if self.below else '>'} {self.limit:g}",
               "verdict": "not applicable", "definition": " ".join(self.measure.__doc__.split())}
        if measured is None:
            return row, None
        guilty = measured.value < self.limit if self.below else measured.value > self.limit
        row |= {"value": float(measured.value), "verdict": "found" if guilty else "clean"}
        return row, Crime(self.name, measured.evidence, float(measured.value), self.remedy) if guilty else None


# The order matters: a check may rest on what those before it found.
CHECKS = (
    Check("zero-padded k-space", kspace.zero_padded, kspace.EMPTY, False,
          "cut k-space to what was acquired before undersampling: zeros that no mask takes away are free knowledge"),
    Check("magnitude image", kspace.symmetric, 0.01, True,
          "these data never were a scanner's k-space, half of them is a copy of the other half: take raw data"),
    Check("empty background", image.empty, 0.02, False,
          "the image was masked, combined with cut maps or simulated without noise: take raw data, or add noise"),
    Check("filtered k-space", kspace.filtered, 0.5, True,
          "switch the scanner's filter and interpolation off and export again, or divide by the filter where it is "
          "known"),
    Check("filled k-space lines", kspace.filled, 8, False,
          "some lines were computed from others (parallel imaging) or scaled: use the acquired ones, with a mask"),
    Check("combined coils", image.combined, 2.4, False, "take the coils' own k-space: this one holds no phase"),
    Check("JPEG image", image.blocks, 6, False, "take raw data: the compression removed details and noise"),
    Check("8-bit image", image.levels, 0.2, True, "take raw data: rounding to levels removed what is weak"),
    Check("impossible mask", kspace.points, 1, True,
          "sample whole lines (masks.random, masks.equispaced), or say phase_axes=2 for slices of a 3-D scan"),
    Check("coils sampled differently", kspace.coils_sampled, 0.01, False, "use one mask for all coils"),
    Check("duplicated coils", kspace.duplicated, 0.9995, False,
          "drop one of them, scan.drop_coils(...): it counts twice and its noise is taken for signal"),
    Check("reference of undersampled data", reference.undersampled, reference.SAME, True,
          "judge by k-space that was held out (tune='holdout', consistency), not against this reference"),
    Check("reference disagrees", reference.disagreeing, 0.97, True,
          "check slice order, orientation and crop, or make the reference from the full k-space: Scan.rss()"),
    Check("filtered reference", reference.smoothed, 1.5, False,
          "take the unfiltered root sum of squares, Scan.rss(): a smooth reference rewards smooth images"),
    Check("accelerated reference", reference.accelerated, 6, False,
          "take the root sum of squares of the full k-space, Scan.rss(): this reference holds the errors of parallel "
          "imaging"),
)
_OF_SCAN = {"off the centre": "shifted k-space", "nearly dead": "dead coil", "is dead": "dead coil",
            "louder than": "loud coil", "outside the mask": "mask of other data", "no mask": "missing mask",
            "mask says sampled": "mask of other data", "no calibration region": "no calibration region",
            "k-space peaks at": "scale"}


def crimes(scan: Any, *, phase_axes: int = 1) -> Crimes:
    """Look for data crimes: signs that data or reference are not what a scanner delivers.

    Each check measures one number and holds it against a limit that lies between clean scans and planted crimes. The
    table has the six fully sampled shared scans (brain and bottle of 16 coils and of the body coil, a head and a
    phantom of one coil), simulated scans with a reference without noise, and crimes planted into the former:

        check                           found at  shared scans    simulated       planted
        zero-padded k-space             > 20      0.54 .. 1.35    0.13 .. 1.46    193 .. 197
        magnitude image                 < 0.01    0.21 .. 0.29    0.10 .. 0.21    0
        empty background                > 0.02    0               0               0.31 .. 0.61
        filtered k-space                < 0.5     0.97 .. 1.18    0.97 .. 9.1     0.02 .. 0.27
        filled k-space lines            > 8       0 .. 3.7        0 .. 3.3        9.6 .. 29
        combined coils                  > 2.4     -               -               2.6 .. 5.7
        JPEG image                      > 6       0.6 .. 2.3      0.8 .. 2.9      7.8 .. 23.6
        8-bit image                     < 0.2     0.96 .. 0.98    0.84 .. 0.98    2e-5 .. 4e-5
        impossible mask                 < 1       -               1               0.25 .. 0.99
        coils sampled differently       > 0.01    0               0               0.25
        duplicated coils                > 0.9995  0.87 .. 0.95    0.46 .. 0.97    1
        reference of undersampled data  < 0.001   -               0.29            7e-8 .. 1.4e-7
        reference disagrees             < 0.97    1               0.977 .. 1      0.0004 .. 0.951
        filtered reference              > 1.5     1               0.54 .. 0.99    2.4 .. 3.4
        accelerated reference           > 6       0               0 .. 3.1        12.8 .. 28.8

    Planted were a border of zeros, Hann and Fermi windows, linear and cubic interpolation, GRAPPA at 2 to 4, JPEG of
    quality 75 and 90, 8 bits, cut maps, flipped, zero-filled, TV (4x), smoothed and GRAPPA references (3 and 4).
    Known to pass: JPEG of quality 95 or with noise of 1 % of the peak where that hides the 8 bits, and some references
    by GRAPPA or SENSE at 2 from 128 lines (accelerated reference at 2.5 to 8.3). The narrowest margin is that of
    "reference disagrees": 0.977 was a simulation with noise of 6 % of its bright tissue, 0.951 a TV image at 4x.

    The warnings of `Scan.warnings()` (dead coils, k-space off its centre, a mask that does not fit ...) come first. Up
    to eight evenly spaced slices are looked at, of a series frames, of a 3-D scan planes along its readout (where it
    was undersampled along all axes only those warnings remain). A k-space or an image that was made clean again, by
    noise added afterwards, is not found out; neither is a simulation at the resolution of its own pixels.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx); any scale.
        phase_axes: 2 says that (ky, kx) are two phase-encoding axes, as in slices of a 3-D scan: masks of points are
            then as they should be.

    Returns:
        `Crimes`: what was found, and the value of every check.

    Raises:
        TypeError, ValueError, FileNotFoundError: not a scan, or one whose samples lie anywhere (coord).

    Reference:
        Shimron et al., Implicit data crimes: machine learning bias arising from misuse of public data, PNAS 119
        (2022).

    Example:
        for crime in evaluate.crimes(pi.io.load("scan.h5")):
            print(crime)
    """
    scan = as_scan(scan)
    if scan.coord is not None:
        raise ValueError("crimes looks for what leaves its trace in k-space on a grid (zero padding, windows, "
                         "interpolation, JPEG, filled lines), and this scan has samples anywhere (coord): there none "
                         "of it would show. scan.warnings() has what is checked of it, and consistency asks whether an "
                         "image explains its samples")
    view = View(scan, _check.choice("phase_axes", phase_axes, (1, 2)))
    rows, found = [], []
    for check in CHECKS:
        row, crime = check(view)
        rows.append(row)
        if crime is not None:
            found.append(crime)
            view.fired.append(check.name)
    return Crimes((*_of_scan(scan, view.fired), *found), tuple(rows))


def _of_scan(scan: io.Scan, fired) -> list[Crime]:
    """The warnings that the scan has by itself, less those that a check explains."""
    found = []
    for sentence in scan.warnings():
        name = next((v for k, v in _OF_SCAN.items() if k in sentence), "data")
        evidence, _, remedy = sentence.rpartition(": ")
        if name == "missing mask" and "zero-padded k-space" in fired:
            continue
        found.append(Crime(name, evidence or sentence, None, remedy if evidence else "see the scan's documentation"))
    return found
