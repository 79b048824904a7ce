"""Field maps, sampling times, echo and inversion times, as files call them."""

from __future__ import annotations

import numpy as np

FIELD = ("field_map", "field_map_hz", "fieldmap_hz", "fieldmap", "b0_hz")  # in Hz
TIMES = ("times", "time")  # in s; "time" counts beside a field map only: alone it may be anything's
CLOCKS = ("echo_times", "inversion_times")  # s of each frame
NAMES = (*FIELD, *TIMES, *CLOCKS)


def taken(get) -> tuple[dict, dict]:
    """(what goes to `meta`, arrays by the names that `Scan` takes), by `get(name)`, an array of the file or None."""
    found = {"field_map": next((a for n in FIELD if (a := get(n)) is not None), None)}
    words = TIMES if found["field_map"] is not None else TIMES[:1]
    found["times"] = next((a for n in words if (a := get(n)) is not None), None)
    clocks = {name: a for name in CLOCKS if (a := get(name)) is not None and a.ndim == 1 and a.size <= 64
              and a.dtype.kind in "iuf"}
    return {name: np.asarray(a, float).tolist() for name, a in clocks.items()}, found
