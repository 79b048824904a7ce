"""Mutation testing of the core: how many small faults, planted one at a time, do the tests find?

    python benchmarks/mutation.py [--mutants 200] [--seed 0] [--file priors/sparse.py] [--again] [--out FILE]

A mutant is one change in the body of a function: < becomes <=, + becomes -, a number another one, a conjugate is
dropped, a condition turned. Not changed are messages, defaults of arguments, numbers below 1e-4 (guards against 0) and
compiled kernels. The tests first run once and record which of them reach which line; a mutant then meets those that
reach its line, until one fails. Each runs in a process of its own, forked where the packages are loaded and pisolve is
not; no file is changed. --again runs the survivors of the results once more. A note that was written beside a survivor
is kept. The tests are the rooms' own formulas, one file each: those of solvers, priors and operators that are left out
here, such as the laws of solvers and priors, would find more, and take ten times as long.
"""

import argparse
import ast
import contextlib
import importlib.machinery
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from mutants import Change, changes, label

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
SOLVERS, PRIORS, LINOPS = ["test_solvers_gradient.py"], ["test_priors_classical.py"], ["test_contract_linops.py"]
CORE = {  # room: (its files, the tests that are theirs)
    "solvers": (["base", "cg", "dataprox", "distance", "gradient", "guard", "krylov", "primal_dual", "relaxed", "solve",
                 "splitting"], SOLVERS),
    "priors": (["_dual", "_weights", "base", "constraints", "lifted", "lowrank", "quadratic", "sparse", "transforms"],
               PRIORS),
    "linops": (["_encode", "base", "blocks", "circulant", "cosine", "difference", "fourier", "sense", "symmetric",
                "util", "wavelet"], LINOPS)}
TESTS = [*SOLVERS, *PRIORS, *LINOPS]
LEFT_OUT = "not peers"


def forked(work, seconds: float) -> int | None:
    """The exit code of `work()` in a process of its own; None where it took longer."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        code = 70
        try:
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class Reached:
    """A plugin of pytest: which lines of the core each test reaches, and how long it takes."""

    def __init__(self, files, out):
        self.files, self.out, self.now = files, out, ""
        self.lines, self.seconds, self.failed = {}, {}, []

    def trace(self, frame, event, arg):
        name = frame.f_code.co_filename
        if name not in self.files:
            return None
        self.seen.add((name, frame.f_lineno))
        return self.trace

    def pytest_runtest_protocol(self, item, nextitem):
        self.seen, self.now, self.start = set(), item.nodeid, time.perf_counter()
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def pytest_runtest_logreport(self, report):
        self.failed += [report.nodeid] * report.failed
        if report.when == "teardown":
            sys.settrace(None)
            threading.settrace(None)
            self.seconds[self.now] = time.perf_counter() - self.start
            for name, line in self.seen:
                self.lines.setdefault(f"{name}:{line}", []).append(self.now)

    def pytest_sessionfinish(self):
        Path(self.out).write_text(json.dumps([self.lines, self.seconds, self.failed]))


class Chosen:
    """A plugin of pytest: these tests only, of each file the quick ones first."""

    def __init__(self, seconds):
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items):
        files = list(dict.fromkeys(i.path for i in items))
        items[:] = sorted((i for i in items if i.nodeid in self.seconds),
                          key=lambda i: (files.index(i.path), self.seconds[i.nodeid]))


def pytest_run(plugin, files) -> int:
    """pytest's exit code on test files."""
    import pytest

    os.chdir(ROOT)
    return int(pytest.main(["-x", "-q", "-p", "no:xdist", "-k", LEFT_OUT, *(f"tests/{f}" for f in files)],
                           plugins=[plugin]))


def mutated(path: Path, change: Change):
    """From here on the file is imported with the change in it."""
    tree = change.apply(ast.parse(path.read_text(encoding="utf-8")))
    code, loader = compile(tree, str(path), "exec"), importlib.machinery.SourceFileLoader
    plain = loader.get_code
    loader.get_code = lambda self, name: code if self.path == str(path) else plain(self, name)


def judge(path: Path, change: Change, seconds: dict) -> str:
    """What became of a mutant: "killed", "survived", "timeout" (killed, too) or "unreached"."""
    if not seconds:
        return "unreached"

    def work():
        mutated(path, change)
        return pytest_run(Chosen(seconds), dict.fromkeys(n.partition("::")[0].removeprefix("tests/") for n in seconds))

    code = forked(work, 60 + 5 * sum(seconds.values()))
    return {0: "survived", None: "timeout"}.get(code, "killed")


def warm():
    """Load what pisolve needs, for all processes at once."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PISOLVE_THREADS": "2",
                   "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import h5py  # noqa: F401
    import numba  # noqa: F401
    import pytest  # noqa: F401
    import pywt  # noqa: F401
    import scipy.fft
    import scipy.linalg
    import scipy.ndimage
    import scipy.signal
    import scipy.sparse.linalg  # noqa: F401
    import sigpy.mri  # noqa: F401
    import torch

    torch.set_num_threads(1)
    if any(name.partition(".")[0] == "pisolve" for name in sys.modules):
        raise SystemExit("pisolve was loaded before its mutants")


def reached(paths) -> tuple[dict, dict]:
    """({file:line: tests}, {test: seconds}) of the library as it is."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "reached.json"
        code = forked(lambda: pytest_run(Reached({str(p) for p in paths}, out), TESTS), 3600)
        if code != 0 or not out.exists():
            failed = json.loads(out.read_text())[2] if out.exists() else ""
            raise SystemExit(f"the tests fail as they are (exit code {code}): {failed}")
        lines, seconds, _ = json.loads(out.read_text())
    return lines, seconds


def report(args, judged: list, before: dict) -> dict:
    """What is written: the score of each room and file, and the survivors with their notes."""
    notes = {(s["file"], s["what"]): s["note"] for s in before.get("survivors", []) if s.get("note")}
    scores, survivors = {}, []
    for path, change, what in judged:
        name = str(path.relative_to(ROOT / "pisolve"))
        for key in (name.partition("/")[0], name, "all"):
            count = scores.setdefault(key, {"mutants": 0, "reached": 0, "killed": 0})
            count["mutants"] += 1
            count["reached"] += what != "unreached"
            count["killed"] += what in ("killed", "timeout")
        if what in ("survived", "unreached"):
            told = label(change)
            survivors.append({"file": name, "line": change.line, "what": told, "became": what,
                              "note": notes.get((name, told), "")})
    for count in scores.values():
        count["score"] = round(count["killed"] / max(count["reached"], 1), 3)
    return {"command": f"python benchmarks/mutation.py --mutants {args.mutants} --seed {args.seed}",
            "scores": dict(sorted(scores.items())), "survivors": survivors}


def main():
    """Sample, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", default="", help="mutants of this file of pisolve/ only")
    parser.add_argument("--again", action="store_true", help="the survivors of the results only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    paths = [ROOT / "pisolve" / room / f"{name}.py" for room, (names, _) in CORE.items() for name in names]
    every = [(p, c) for p in paths for c in changes(p.read_text(encoding="utf-8"))]
    sample = random.Random(args.seed).sample(every, min(args.mutants, len(every)))
    if args.file:
        sample = [(p, c) for p, c in sample if str(p).endswith(args.file)]
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if args.again:
        known = {(s["file"], s["what"]) for s in before["survivors"]}
        sample = [(p, c) for p, c in sample if (str(p.relative_to(ROOT / "pisolve")), label(c)) in known]
    warm()
    start = time.monotonic()
    lines, seconds = reached(paths)
    print(f"{len(every)} mutants, {len(sample)} taken; {len(seconds)} tests, {time.monotonic() - start:.0f} s")
    judged = []
    for n, (path, change) in enumerate(sample, 1):
        own = {f"tests/{f}" for f in CORE[path.parent.name][1]}
        tests = {t: seconds[t] for t in lines.get(f"{path}:{change.line}", []) if t.partition("::")[0] in own}
        judged.append((path, change, judge(path, change, tests)))
        print(f"{n:4} {time.monotonic() - start:5.0f} s  {judged[-1][2]:9} {path.parent.name}/{path.name}:"
              f"{change.line} {label(change)}", flush=True)
    found = report(args, judged, before)
    print(json.dumps(found["scores"].get("all")))
    if not (args.again or args.file):
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
