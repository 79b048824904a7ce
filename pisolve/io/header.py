"""The XML header of ISMRMRD, which fastMRI's files carry, too: read leniently, since few of them are complete."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

# below which a header of GE's converter has seconds: it divides ms by 1000
_SECONDS = {"te_ms": 0.5, "ti_ms": 10, "tr_ms": 20}
PLACES = (("encoded_size", "encodedSpace/matrixSize"), ("recon_size", "reconSpace/matrixSize"),
          ("encoded_fov_mm", "encodedSpace/fieldOfView_mm"), ("recon_fov_mm", "reconSpace/fieldOfView_mm"))


class Header:
    """A parsed header: `number` and `text` of a place such as "encoding/encodedSpace/matrixSize/x".

    The library's own parser refuses a header where one required element is missing, as it is in fastMRI's and many
    others; this one asks only for what is needed.

    Args:
        xml: the header; a document type or an entity is refused.
        name: what to call it in messages.

    Raises:
        ValueError: not well-formed, not plain XML, or longer than 1 MB.
    """

    def __init__(self, xml: str, name: str = "ismrmrd_header"):
        if len(xml) > 1 << 20 or "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
            raise ValueError(f"{name} declares a document type, or is longer than 1 MB: no header needs that")
        try:
            self.root, self.name = ElementTree.fromstring(xml), name
        except (ElementTree.ParseError, ValueError) as error:
            raise ValueError(f"{name} is not well-formed XML: {error}") from error

    def encodings(self) -> list[Header]:
        """One header for each encoding space, whose places begin below `encoding`."""
        found = []
        for root in self.root.findall("{*}encoding"):
            part = object.__new__(Header)
            part.root, part.name = root, self.name
            found.append(part)
        return found

    def text(self, place: str) -> str | None:
        """The text at a place, without blanks around it; None where there is none."""
        found = self.root.findtext(_path(place))
        return found if found is None else found.strip()

    def number(self, place: str):
        """The number at a place, an int where it is whole; None where there is none, or nothing in its element."""
        text = self.text(place)
        try:
            value = float(text) if text else None
            return int(value) if value is not None and value.is_integer() else value
        except ValueError:
            raise ValueError(f"{self.name}: {place} is {text!r}, a number is needed") from None

    def whole(self, place: str):
        """As `number`, rounded: Philips' converter writes the product of a matrix and its oversampling, 287.997."""
        value = self.number(place)
        return round(value) if isinstance(value, float) and abs(value) < 1 << 31 else value

    @staticmethod
    def positive(text: str | None) -> float | None:
        """A text as a positive, finite number; None where it is none."""
        try:
            value = float(text or "")
        except ValueError:
            return None
        return value if 0 < value < float("inf") else None

    def describe(self) -> dict:
        """What reconstruction needs.

        Returns:
            dict with those of `encoded_size`, `recon_size` (x, y, z), `encoded_fov_mm`, `recon_fov_mm`, `trajectory`
            and `field_strength_t` that the header gives, of its first encoding; `te_ms` and `ti_ms` (lists of
            several), `tr_ms` and `flip_deg`. An echo time of 0 is one that was never filled in.
        """
        found = {}
        for name, place in PLACES:
            read = self.whole if name.endswith("size") else self.number
            values = [read(f"encoding/{place}/{axis}") for axis in "xyz"]
            if None not in values:
                found[name] = values
        field = self.number("acquisitionSystemInformation/systemFieldStrength_T")
        trajectory = self.text("encoding/trajectory")
        for name, place in (("te_ms", "TE"), ("ti_ms", "TI"), ("tr_ms", "TR"), ("flip_deg", "flipAngle_deg")):
            values = [self.positive(text) for e in self.root.findall(_path(f"sequenceParameters/{place}"))[:64]
                      for text in [e.text] if (text or "").strip() not in ("", "0")]
            if values and None not in values:
                found[name] = values if name in ("te_ms", "ti_ms") and len(values) > 1 else values[0]
        found |= self._seconds(found)
        return found | {k: v for k, v in (("field_strength_t", field), ("trajectory", trajectory)) if v is not None}

    def _seconds(self, found: dict) -> dict:
        """Echo, inversion and repetition times in ms, where GE's converter wrote them in s."""
        vendor = (self.text("acquisitionSystemInformation/systemVendor") or "").lower()
        times = {n: np.ravel(found[n]) for n in _SECONDS if n in found}
        if not vendor.startswith("ge") or not times or any(t.max() >= _SECONDS[n] for n, t in times.items()):
            return {}
        return {n: (1000 * t).tolist() if t.size > 1 else 1000 * float(t[0]) for n, t in times.items()}


def _path(place: str) -> str:
    return "/".join(f"{{*}}{tag}" for tag in place.split("/"))
