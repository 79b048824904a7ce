"""The time that a comparison may take, and Ctrl-C in the middle of one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pisolve as pi
from pisolve.cli.main import main
from pisolve.evaluate import budget as time_of
from pisolve.tuning import budget, scores

METHODS = {"zero-filled": "zero-filled", "tikhonov": pi.Tikhonov(), "tv": pi.Recipe(pi.TV(), max_iter=8)}


@pytest.fixture(scope="module")
def scan():
    return pi.io.Scan(pi.phantom.brain((48, 40), 3, noise=0.03).kspace.astype(np.complex64))


def same(a, b):
    assert a.records(costs=False) == b.records(costs=False)
    for key, outcome in a.outcomes.items():
        np.testing.assert_array_equal(outcome.images, b.outcomes[key].images)
    return True


@pytest.mark.parametrize(("criterion", "seconds", "wanted"), [
    ("holdout", 36, (12, 3)), ("holdout", 35.9, (12, 2)), ("holdout", 20, (9, 2)), ("holdout", 12, (12, 1)),
    ("holdout", 7.5, (7, 1)), ("holdout", 0, (5, 1)), ("holdout", -3, (5, 1)), ("sure", 24, (12, 3)),
    ("discrepancy", 9, (9, 2)), ("reference", 5, (5, 1))])
def test_what_a_time_buys(criterion, seconds, wanted):
    """Runs of a second each: trials times folds, two of SURE, one of the others."""
    trials, folds = budget.affordable(seconds, criterion, 1.0)
    assert trials == wanted[0]
    assert criterion != "holdout" or folds == wanted[1]
    assert budget.runs(criterion, trials, folds) <= max(seconds, 5)


def test_a_run_is_reckoned_from_its_beginning():
    """Of 100 steps of 20 ms those within 0.1 s are run; a run that ends by itself is timed as it is."""
    done = []

    def steps(count):
        def run(callbacks):
            for _ in range(count):
                time.sleep(0.02)
                done.append(1)
                if not callbacks[0](None, None):
                    break
        return run

    assert budget.seconds_of(steps(100), 100, 0.1) == pytest.approx(2, rel=0.5)
    assert len(done) < 10
    assert budget.seconds_of(steps(2), 100, 10) == pytest.approx(0.04, rel=0.9)
    assert budget.seconds_of(lambda callbacks: None, 100, 1) < 0.1


@pytest.mark.parametrize(("minutes", "trials", "folds"), [(30, 12, 3), (1e-6, 5, 1)])
def test_tune(scan, monkeypatch, minutes, trials, folds):
    seen = []
    first = scores.Holdout.__init__
    monkeypatch.setattr(scores.Holdout, "__init__",
                        lambda self, *a, **k: (seen.append(k["folds"]), first(self, *a, **k))[1])
    thin = scan.undersample(pi.masks.random(scan.kspace.shape, 2, seed=0))
    tuning = pi.tune(thin, pi.TV(), max_iter=5, minutes=minutes)
    assert seen == [folds]
    assert len(tuning.curve) == trials if tuning.ok else len(tuning.curve) <= trials
    strengths = [s for s, _ in tuning.curve]
    assert strengths[-1] / strengths[0] >= 999  # three decades, however few
    done = pi.recon(thin, pi.TV(), max_iter=5, tune="holdout", minutes=minutes)
    assert done.tuning.strength == tuning.strength
    assert "minutes" not in done.recipe.to_dict()
    assert pi.recon(thin, done.recipe).x.tobytes() == done.x.tobytes()


def test_compare(scan, tmp_path, monkeypatch):
    """Decided once: the same folder goes on with it and does nothing twice, the file repeats it without a clock."""
    with pytest.warns(UserWarning, match="too few"):
        made = pi.compare({"head": scan}, METHODS, accel=2, minutes=1e-6, folder=tmp_path / "a")
    assert [len(made.outcomes[0, n].tuning["curve"]) for n in ("tikhonov", "tv")] == [5, 5]
    assert made.about["folds"] == 1
    plan = json.loads((tmp_path / "a" / "comparison.json").read_text())["about"]["plan"]
    assert (plan["trials"], plan["folds"], plan["minutes"]) == (5, 1, 1e-6)
    monkeypatch.setattr(time_of, "_measured", None)  # not asked again
    assert same(made, pi.compare({"head": scan}, METHODS, accel=2, minutes=1e-6, folder=tmp_path / "a"))
    for folder in ("a", "b"):
        assert same(made, pi.evaluate.rerun(tmp_path / "a", scans={"head": scan}, folder=tmp_path / folder))
    with pytest.raises(ValueError, match="another comparison"):
        pi.compare({"head": scan}, METHODS, accel=2, minutes=2, folder=tmp_path / "a")


def test_much_time_buys_what_is_usual(scan):
    methods = {"tikhonov": pi.Recipe(pi.Tikhonov(), max_iter=4)}
    made = pi.compare({"head": scan}, methods, accel=2, minutes=30)
    assert same(made, pi.compare({"head": scan}, methods, accel=2))


@pytest.mark.parametrize(("options", "words"), [
    ({"minutes": 2, "trials": 9}, "trials=9, which it decides"), ({"minutes": 2, "tune": None}, "without tune"),
    ({"minutes": 0}, "minutes"), ({"minutes": "2"}, "minutes")])
def test_refused(scan, options, words):
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        pi.compare(scan, ["sense"], accel=2, **options)


def test_refused_elsewhere(scan, tmp_path, capsys):
    pi.io.save_scan(tmp_path / "s.npz", scan)
    out = ["-o", str(tmp_path / "o"), "--minutes", "1"]
    assert main(["compare", str(tmp_path / "s.npz"), *out, "--tune", "none"]) == 2
    assert "--minutes has no effect with --tune none" in capsys.readouterr().err
    assert main(["recon", str(tmp_path / "s.npz"), "-o", str(tmp_path / "o.h5"), "--minutes", "1"]) == 2
    assert "--lam auto" in capsys.readouterr().err
    with pytest.raises(ValueError, match="minutes beside strengths"):
        pi.tune(scan, pi.TV(), strengths=[1, 2, 3], minutes=1)
    with pytest.raises(ValueError, match="without tune"):
        pi.Recipe(pi.TV(), minutes=1)


def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(scan, tmp_path):
    """Two processes are interrupted as a terminal does it; nothing is left running, what was done is not done again."""
    pi.io.save_scan(tmp_path / "s.npz", scan)
    out = tmp_path / "out"
    command = ["compare", str(tmp_path / "s.npz"), "-o", str(out), "--accel", "2,3", "--methods", "sense,tikhonov",
               "--trials", "5", "--workers", "2", "--no-progress"]
    run = subprocess.Popen([sys.executable, "-m", "pisolve", *command], start_new_session=True, stderr=subprocess.PIPE,
                           env=os.environ | {"PYTHONPATH": str(Path(pi.__file__).parents[1])},
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    end = time.monotonic() + 100
    while not list(out.glob("parts/*/*-000.npz")):
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGINT)
    said = run.stderr.read().decode()
    assert run.wait(60) == 130, said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        for _ in range(1000):
            os.killpg(run.pid, 0)
            time.sleep(0.01)
    kept = {p: p.stat().st_mtime_ns for p in out.glob("parts/*/*.npz")}
    assert not (out / "comparison.json").exists()
    assert main([*command[:-3], "--no-progress"]) == 0
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items())
    whole = pi.compare(tmp_path / "s.npz", ["sense", "tikhonov"], accel=[2, 3], trials=5)
    found = json.loads((out / "comparison.json").read_text())["records"]
    assert [r["psnr"] for r in found] == pytest.approx([r["psnr"] for r in whole.records()], abs=1e-3)


def test_ctrl_c_in_one_process(scan, tmp_path, monkeypatch):
    """Raised while an image is kept: the comparison ends with it, and goes on to the same bits."""
    from pisolve.evaluate import run

    kept, keep = [], run._keep

    def cut(*a, **k):
        kept.append(1)
        if len(kept) == 2:
            raise KeyboardInterrupt
        return keep(*a, **k)

    monkeypatch.setattr(run, "_keep", cut)
    with pytest.raises(KeyboardInterrupt):
        pi.compare({"head": scan}, METHODS, accel=2, trials=5, folder=tmp_path)
    assert len(list(tmp_path.glob("parts/*/*-000.npz"))) == 1
    monkeypatch.undo()
    assert same(pi.compare({"head": scan}, METHODS, accel=2, trials=5, folder=tmp_path),
                pi.compare({"head": scan}, METHODS, accel=2, trials=5))
