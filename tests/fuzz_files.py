"""Damaged files by the hundred, for a process of its own: prints how many ended in an error and in a scan.

Called with the file, a folder to write to, and a seed. Of HDF5 the description of the type is left whole: libhdf5
itself crashes where a wrong byte there puts a field outside its record, as 1 of 1800 damaged files without this did.
"""

import random
import sys
import warnings
from pathlib import Path

from pisolve import io


def main(source: str, folder: str, seed: int) -> None:
    content, rng, counts = Path(source).read_bytes(), random.Random(seed), {"error": 0, "scan": 0}
    whole = range(max(content.find(b"version\0") - 200, 0), content.rfind(b"data\0\0\0\0") + 64)
    path = Path(folder) / f"fuzz{Path(source).suffix}"
    warnings.simplefilter("ignore")
    for k in range(150):
        part = bytearray(content)
        if k % 3 == 0:
            part = part[: rng.randrange(len(part))]
        else:
            for _ in range(rng.choice((1, 4, 64))):
                at = rng.randrange(len(part) if k % 3 == 1 else min(len(part), 20000))
                if at not in whole:
                    part[at] = rng.randrange(256)
        path.write_bytes(part)
        try:
            io.load(path, max_bytes=1 << 28)
            counts["scan"] += 1
        except (ValueError, TypeError, OSError):
            counts["error"] += 1
    print(counts)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
