"""The whole attack: damaged files, kills, pairs of runs at the same instant, and limits. Linux, minutes.

    python benchmarks/attack.py --files 20000 --kills 200 --pairs 100 --limits    writes results/attack.json

What is not asked for keeps its numbers of before. `files`: what became of the damaged files of each kind, see
tests/attack_children.py. `kills`: kill -9 at a random time of reconstructions and comparisons with all they keep,
trainings, and images that are written in each format; then the same run again: files under a final name that cannot
be read, differences to a run that was never killed, temporary files left. `pairs`: two runs of other settings that
begin in one new folder at the same instant: wrong images, and runs that were not told. `limits`: a full disk (with the
right to mount one), a limit of file sizes, a folder that cannot be written (as another user, for root), too little
memory, in each word that writes.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "results" / "attack.json"
sys.path.insert(0, str(ROOT / "tests"))

import attack_runs  # noqa: E402, of the folder of this file
import torch  # noqa: E402
from attack_children import attack  # noqa: E402
from attack_files import KINDS, make  # noqa: E402
from keep import keep  # noqa: E402


def files(number: int, seed: int, folder: Path) -> dict:
    """Damaged files over all kinds."""
    scratch, begun, rows = folder / "scratch", time.monotonic(), {}
    scratch.mkdir()
    for kind in KINDS:
        counts, notes = attack(kind, -(-number // len(KINDS)), seed, folder / "base", scratch)
        rows[kind] = counts | ({"notes": notes[:5]} if notes else {})
        print(f"{kind:12} {json.dumps(rows[kind])}", flush=True)
    return {"seed": seed, "seconds": round(time.monotonic() - begun), "kinds": rows}


def main():
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("files", "kills", "pairs"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(1)  # children that are forked have no other threads
    report = json.loads(OUT.read_text()) if OUT.exists() else {}
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    folder.chmod(0o755)
    try:
        make(folder / "base")
        for name, wanted, part in (("files", a.files, lambda: files(a.files, a.seed, folder)),
                                   ("kills", a.kills, lambda: attack_runs.kills(a.kills, a.seed, folder)),
                                   ("pairs", a.pairs, lambda: attack_runs.pairs(a.pairs, folder)),
                                   ("limits", a.limits, lambda: attack_runs.limits(folder))):
            if wanted:
                report[name] = part()
                keep(OUT, report)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
