"""Field maps, sampling times and echo times, as files call them."""

from __future__ import annotations

import numpy as np

FIELD = ("field_map", "field_map_hz", "fieldmap_hz", "fieldmap", "b0_hz")  # in Hz
TIMES = ("times", "time")  # in s; "time" counts beside a field map only: alone it may be anything's
ECHOES = "echo_times"
NAMES = (*FIELD, *TIMES, ECHOES)


def taken(get) -> tuple[dict, dict]:
    """(what goes to `meta`, arrays by the names that `Scan` takes), by `get(name)`, an array of the file or None."""
    found = {"field_map": next((a for n in FIELD if (a := get(n)) is not None), None)}
    words = TIMES if found["field_map"] is not None else TIMES[:1]
    found["times"] = next((a for n in words if (a := get(n)) is not None), None)
    echoes = get(ECHOES)
    plain = echoes is not None and echoes.ndim == 1 and echoes.size <= 64 and echoes.dtype.kind in "iuf"
    return ({ECHOES: np.asarray(echoes, float).tolist()} if plain else {}), found
