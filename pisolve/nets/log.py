"""What a training leaves beside its checkpoint: a table, a picture, and events for TensorBoard where asked for."""

from __future__ import annotations

import csv
from pathlib import Path

from pisolve import _check
from pisolve.io import atomic
from pisolve.io.words import cell


class Log:
    """`log.csv` in a folder, cut back to the rows up to `step` when a run is resumed there.

    Args:
        folder: an existing folder.
        step: the step that the run goes on from; 0 begins the table anew.
        tensorboard: also write TensorBoard events.
    """

    def __init__(self, folder, step: int = 0, tensorboard: bool = False):
        self.path = Path(folder) / "log.csv"
        self.rows = [row for row in read(self.path) if int(row["step"]) <= step] if step and self.path.exists() else []
        self._write()
        self.writer = None
        if tensorboard:
            _check.extra("tensorboard", "tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder))

    def row(self, values: dict) -> None:
        """Add a row; its "step" is the abscissa."""
        self.rows.append({k: _short(v) for k, v in values.items()})
        self._write()
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, values["step"])
            self.writer.flush()

    def picture(self, image) -> None:
        """`validation.png` from a 2-D array in [0, 1]; nothing without matplotlib."""
        try:
            from matplotlib.image import imsave
        except ImportError:
            return
        with atomic(self.path.with_name("validation.png")) as part:
            imsave(part, image, cmap="gray", vmin=0, vmax=1)

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row)) or ["step", "seconds", "loss"]
        with atomic(self.path) as part, part.open("w", newline="") as file:
            table = csv.DictWriter(file, names)
            table.writerow({name: cell(name) for name in names})
            table.writerows({name: cell(value) for name, value in row.items()} for row in self.rows)


def read(path) -> list[dict]:
    """The rows of a log, values as text."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value
