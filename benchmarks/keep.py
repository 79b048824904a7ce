"""Results as JSON files that stay readable: lists of numbers on one line, written whole or not at all."""

import json
import re
from pathlib import Path

from pisolve.io import atomic


def keep(path, report) -> None:
    """Write a report of plain values to `path`."""
    text = json.dumps(report, indent=1)
    text = re.sub(r"\[([^\[\]{}]*)\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    Path(path).parent.mkdir(exist_ok=True)
    with atomic(path) as part:
        Path(part).write_text(text + "\n")
