"""What the benchmarks share: results as readable JSON, programs timed in turns, BART as a process."""

import argparse
import json
import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np

from pisolve import backend
from pisolve.io import atomic


def keep(path, report) -> None:
    """Write a report of plain values to `path`, lists of numbers on one line, whole or not at all."""
    text = json.dumps(report, indent=1)
    text = re.sub(r"\[([^\[\]{}]*)\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    Path(path).parent.mkdir(exist_ok=True)
    with atomic(path) as part:
        Path(part).write_text(text + "\n")


def asked(about, **words):
    """The words of a command line: --tune, --picture, and `words` that take a text, with their help."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--picture", action="store_true")
    for word, text in words.items():
        parser.add_argument(f"--{word}", default="", help=text)
    return parser.parse_args()


def timed(programs, repeats):
    """name -> median seconds, the programs taking turns after one warm-up each."""
    for run in programs.values():
        run()
    taken = {name: [] for name in programs}
    for _ in range(repeats):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) for name, t in taken.items()}


def bart(folder, *words) -> None:
    """Run BART in a folder, on the threads that pisolve takes."""
    subprocess.run(["bart", *map(str, words)], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": str(backend.threads())})
