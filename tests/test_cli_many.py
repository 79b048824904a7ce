"""`pisolve recon` of a folder: its codes, its words, and a command that is killed and goes on."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pisolve as pi
from pisolve.cli import main
from pisolve.cli.many import _code

OPTIONS = ["--prior", "tv", "--max-iter", "4", "--accel", "2", "--seed", "1"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for seed, name in enumerate(("a.npz", "b.h5", "c.npy", "d.npz")):
        kspace = pi.phantom.brain((48, 40), 3, noise=0.02, seed=seed).kspace
        pi.io.save_scan(folder / name, pi.io.Scan(kspace))
    return folder


def started(command):
    """A command in a process group of its own, which hears Ctrl-C even where the tests run in the background."""
    return subprocess.Popen([sys.executable, "-m", "pisolve", *command], start_new_session=True, stderr=subprocess.PIPE,
                            env=os.environ | {"PYTHONPATH": str(Path(pi.__file__).parents[1])},
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def gone(group: int) -> bool:
    """Whether all processes of a group end within some seconds."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_command_that_is_killed_goes_on_and_does_nothing_twice(scans, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["recon", str(scans), "-o", str(out), *OPTIONS, "--workers", "1", "--suffix", ".npy", "--no-progress"]
    run = started(command)
    end = time.monotonic() + 60
    while not (kept := list(out.glob("records/?.npy.json"))) and time.monotonic() < end:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert gone(run.pid)  # its worker ended with it
    before = {p: p.stat().st_mtime_ns for p in kept}
    assert before

    assert main(command) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 done" in said
    assert "of them by an earlier run" in said
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    recipe = pi.Recipe(1.5e-3 * pi.TV(), max_iter=4, sampling=pi.Sampling(accel=2, seed=1))
    for path in scans.iterdir():
        recipe(path).save(tmp_path / "one.npy")
        assert (out / f"{path.stem}.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    with open(out / "summary.csv", newline="") as file:
        assert [r["status"] for r in csv.DictReader(file)] == ["done"] * 4
    assert not list(out.rglob(".pisolve-*"))


def test_ctrl_c_ends_the_workers_and_leaves_the_table(scans, tmp_path):
    out = tmp_path / "out"
    command = ["recon", str(scans / "a.npz"), str(scans / "b.h5"), "-o", str(out), "--max-iter", "100000", "--tol", "0",
               "--no-progress"]
    run = started(command)
    while not (out / "records" / "recipe.json").exists():
        time.sleep(0.01)
    time.sleep(1)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    assert run.wait(120) == 130
    assert b"interrupted" in run.stderr.read()
    assert gone(run.pid)
    assert sorted(p.name for p in out.iterdir()) == ["records", "summary.csv"]
    assert (out / "summary.csv").read_text().count("not begun") == 2


def test_codes():
    for kinds, code in ((["done"], 0), (["done", "error"], 3), (["partly", "failed"], 3), (["lost", "error"], 1),
                        (["error"], 2), (["failed"], 1)):
        assert _code(kinds) == code


@pytest.mark.parametrize(("options", "said"), [
    (["--mps", "m.npy"], "--mps is for one scan"), (["--png", "a.png"], "--png is for one scan"),
    (["--prior", "pnp", "--denoiser", "none"], "none"), (["--suffix", ".txt"], "--suffix"),
    (["--workers", "0"], "workers"), (["--cluster", "here"], "no cluster")])
def test_what_is_refused(scans, tmp_path, capsys, options, said):
    assert main(["recon", str(scans), "-o", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--resume"], ["--workers", "2"], ["--cluster", "local:2"], ["--retries", "1"],
                                    ["--suffix", ".npy"]])
def test_one_scan_takes_no_options_of_many(scans, tmp_path, capsys, option):
    assert main(["recon", str(scans / "a.npz"), "-o", str(tmp_path / "a.h5"), *option]) == 2
    assert f"{option[0]} is for a folder" in capsys.readouterr().err
