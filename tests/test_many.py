"""Many scans: the bits of single runs whoever does them, one row a file, lost workers, going on, one run at a time."""

import csv
import os
import signal
import sys
import types
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

import pisolve as pi
from pisolve.io.atomic import atomic
from pisolve.io.held import held
from pisolve.many.files import found, tasks_of
from pisolve.many.task import reconstruct
from pisolve.workers import pools, sizes
from pisolve.workers import run as loop
from pisolve.workers.pools import workers_of

RECIPE = pi.Recipe(2e-3 * pi.TV(), max_iter=4, sampling=pi.Sampling(accel=2, seed=1), maps=pi.Espirit(calib_width=16))
BROKEN = "=bad.h5"  # what a spreadsheet would take for a formula
GOOD = {"a.npz": "a.h5", "b.npy": "b.h5", "c/c.h5": "c/c.h5", "d.cfl": "d.h5"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder of four formats and a broken file, and by file the image that a run of its own gives."""
    folder, single = tmp_path_factory.mktemp("scans"), {}
    (folder / "c").mkdir()
    for seed, name in enumerate(GOOD):
        scan = pi.io.Scan(pi.phantom.brain((32, 28), 3, noise=0.02, seed=seed).kspace)
        pi.io.save_scan(folder / name, scan)
        RECIPE(folder / name).save(folder.parent / "one.h5")
        single[name] = pi.io.load_image(folder.parent / "one.h5")
    (folder / BROKEN).write_bytes(b"no scan")
    (folder / "notes.txt").write_text("not looked at")
    return folder, single


def dies(task):
    """As `reconstruct`, but the first worker on a.npz, and each on d.cfl where there is a file `poison`, is killed."""
    marker, out = Path(task["record"] + ".dead"), Path(task["record"]).parents[1]
    poison = task["file"] == "d.cfl" and (out / "poison").exists()
    if poison or (task["file"] == "a.npz" and not marker.exists()):
        marker.touch()
        with atomic(task["target"]) as half:
            half.write_bytes(b"half an image")
            os.kill(os.getpid(), signal.SIGKILL)
    return reconstruct(task)


def check(done, out, single, missing=()):
    """The bits of single runs, a row each, nothing else in the folder; the rows of summary.csv are those."""
    assert [r["file"] for r in done.rows] == sorted([*GOOD, BROKEN])
    for row in done.rows:
        if row["file"] in single and row["file"] not in missing:
            assert (row["status"], row["ended"]) == ("done", "max_iter")
            assert row["psnr"] > 10
            assert row["output"] == GOOD[row["file"]]
            assert (pi.io.load_image(out / row["output"]) == single[row["file"]]).all()
        else:
            assert row["status"] in ("error", "lost")
            assert row["error"]
            assert "output" not in row
    images = {p.relative_to(out).as_posix() for p in out.rglob("*.h5")}
    assert images == {GOOD[n] for n in single if n not in missing}
    assert not list(out.rglob(".pisolve-*"))
    with open(out / "summary.csv", newline="") as file:
        told = list(csv.DictReader(file))
    assert [r["file"] for r in told] == [f"'{r['file']}" if r["file"] == BROKEN else r["file"] for r in done.rows]
    assert [r["status"] for r in told] == [r["status"] for r in done.rows]
    assert not done.ok
    assert set(done.failed) == {BROKEN, *missing}


def test_processes_one_is_killed_and_the_run_goes_on(scans, tmp_path, monkeypatch):
    folder, single = scans
    out = tmp_path / "out"
    out.mkdir()
    (out / "poison").touch()
    monkeypatch.setattr("pisolve.many.recon.reconstruct", dies)
    done = pi.recon_many(folder, RECIPE, out=out, workers=2, retries=1)
    check(done, out, single, missing={"d.cfl"})
    assert "2 times" in done.failed["d.cfl"]
    with pytest.raises(ValueError, match="resume"):
        pi.recon_many(folder, RECIPE, out=out)

    (out / "poison").unlink()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.h5")}
    (out / "b.h5").write_bytes((out / "b.h5").read_bytes()[:-1])  # cut off: no longer as it was written
    with ThreadPoolExecutor(1) as mine:
        done = pi.recon_many(folder, RECIPE, out=out, client=mine, resume=True)
    check(done, out, single)
    assert done.done_before == 2
    after = {p: p.stat().st_mtime_ns for p in before}
    assert [p.name for p in before if before[p] != after[p]] == ["b.h5"]
    with pytest.raises(ValueError, match="another recipe"):
        pi.recon_many(folder, RECIPE.replace(max_iter=5), out=out, resume=True)


def test_dask_has_the_same_bits_where_a_worker_is_killed(scans, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("pisolve.many.recon.reconstruct", dies)
    done = pi.recon_many(scans[0], RECIPE, out=tmp_path / "out", client="local:2")
    check(done, tmp_path / "out", scans[1])


SBATCH = """#!/bin/sh
cp "$1" "$1.job"  # as SLURM does: the script is removed when sbatch has ended
sh "$1.job" > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""


def test_a_queue_of_jobs_starts_the_workers(scans, tmp_path, monkeypatch):
    """SLURM's commands are ours here, and do what it does: begin the script of a job, and end it."""
    pytest.importorskip("dask_jobqueue")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill "$1"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(pi.__file__).parents[1]))
    (tmp_path / "c.toml").write_text('jobs = 1\ncores = 1\nmemory = "4GB"\n'
                                     '[scheduler_options]\nhost = "127.0.0.1"\ndashboard_address = ":0"\n')
    pool = workers_of(f"slurm:{tmp_path / 'c.toml'}", None, 1)
    try:
        assert pool.memory == 4e9
        task = tasks_of([("b.npy", scans[0] / "b.npy")], tmp_path, ".h5", {"digest": ""})[0]
        assert pool.submit(os.path.basename, task | {"x": 1}).exception(timeout=60) is not None  # a dict is no path
        assert pool.submit(sorted, task).result(timeout=60) == sorted(task)
    finally:
        pool.close(True)


def test_a_cluster_without_workers_says_so_and_ends(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(pools, "QUIET", 0.05)
    cluster = distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None)
    client, closed = distributed.Client(cluster), []
    owned = types.SimpleNamespace(close=lambda: closed.append(True))
    with client, cluster, pytest.warns(UserWarning, match="has no worker yet: waiting for one, at most 0.2 s"), \
            pytest.raises(TimeoutError, match=r"no worker came to the cluster at .* within 0\.2 s: start one"):
        pools.Cluster(client, (owned,), wait=0.2)
    assert closed


@pytest.mark.parametrize(("text", "words"), [("jobs = [", "Invalid"), ("jobs = 0\ncores = 1", "jobs"), ("", "cores"),
                                             ('cores = 1\nmemory = "1GB"\nnonsense = 3', "nonsense")])
def test_queues_that_are_none(text, words, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(text)
    if "nonsense" in text:
        pytest.importorskip("dask_jobqueue")
    with pytest.raises((ValueError, TypeError), match=words):
        workers_of(f"slurm:{path}", None, 1)
    with pytest.raises(ValueError, match="its own"):
        workers_of(f"slurm:{path}", 2, 1)


def test_one_run_at_a_time_has_the_folder(scans, tmp_path):
    with held(tmp_path), pytest.raises(BlockingIOError, match=str(os.getpid())):
        pi.recon_many(scans[0], RECIPE, out=tmp_path)


def test_an_executor_that_ends_leaves_rows(scans, tmp_path):
    mine = ThreadPoolExecutor(1)
    mine.shutdown()
    done = pi.recon_many(scans[0] / "b.npy", RECIPE, out=tmp_path, client=mine)
    assert done.rows[0]["status"] == "lost"
    assert "is gone" in done.failed["b.npy"]
    assert (tmp_path / "summary.csv").read_text().count("\n") == 2


def test_an_executor_that_cannot_do_a_task_says_why(scans, tmp_path, monkeypatch):
    def fails(task):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr("pisolve.many.recon.reconstruct", fails)
    with ThreadPoolExecutor(1) as mine:
        done = pi.recon_many([scans[0] / "b.npy", scans[0] / "a.npz"], RECIPE, out=tmp_path, client=mine)
    assert set(done.failed.values()) == {"error: ZeroDivisionError: no such thing"}


def test_a_changed_scan_is_done_again_and_its_old_image_does_not_stay(scans, tmp_path):
    scan, out = tmp_path / "b.npy", tmp_path / "out"
    scan.write_bytes((scans[0] / "b.npy").read_bytes())
    with ThreadPoolExecutor(1) as mine:
        assert pi.recon_many(scan, RECIPE, out=out, client=mine).ok
        scan.write_bytes(b"broken since")
        done = pi.recon_many(scan, RECIPE, out=out, client=mine, resume=True)
    assert done.rows[0]["status"] == "error"
    assert not (out / "b.h5").exists()


class Fake:
    """Workers that end their first task when the loop waits for one, and keep what ran beside each other."""

    lost, width = (), 3

    def __init__(self, budget):
        self.budget, self.running, self.taken, self.ended = budget, [], [], []

    def submit(self, work, task):
        self.running.append((task["bytes"], Future()))
        self.taken.append(sum(n for n, _ in self.running))
        return self.running[-1][1]

    def put(self, future):
        self.ended.append(future)

    def get(self):
        self.running.pop(0)[1].set_result({"status": "done"})
        return self.ended.pop()


def test_tasks_wait_rather_than_overfill_memory(monkeypatch):
    tasks, fake = [{"file": str(n), "bytes": n} for n in (3, 50, 4, 6, 12, 2, 2, 2, 2)], Fake(10)
    monkeypatch.setattr(loop, "SimpleQueue", lambda: fake)
    assert len(list(loop.run(tasks, fake, 0, reconstruct))) == len(tasks)
    assert fake.taken[:2] == [50, 12]  # each of these alone
    assert max(fake.taken[2:]) == 10


def test_the_rule_of_sizes(tmp_path):
    for name, times in {"a.npy": 8, "a.npz": 16, "a.mat": 16}.items():
        (tmp_path / name).write_bytes(bytes(1000))
        assert sizes.estimate(tmp_path / name) == sizes.BASE + times * 1000
    assert sizes.estimate(tmp_path / "none.h5") == sizes.BASE
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["kspace"] = np.zeros((5, 3, 8, 6), np.complex64)
    assert sizes.estimate(tmp_path / "s.h5") == sizes.BASE + 8 * (tmp_path / "s.h5").stat().st_size
    for slices in (1, 2, 5, 9):
        expected = sizes.BASE + 8 * 8 * 3 * 8 * 6 * min(slices, 5) + sizes.IMAGES * 5 * 8 * 6
        assert sizes.estimate(tmp_path / "s.h5", slices) == expected
    assert sizes.estimate(tmp_path / "a.npz", 1) == sizes.BASE + 16 * 1000
    assert 0 < sizes.budget() < sizes.available()


def test_names(tmp_path):
    for name in ("a.h5", "a.npz", "b.cfl", "b.hdr", ".hidden.h5", "out/a.h5", "image.dcm", "c.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = found(tmp_path, tmp_path / "out")
    tasks = tasks_of(files, tmp_path / "out", ".npy", {"digest": ""})
    assert {t["file"]: t["output"] for t in tasks} == {"a.h5": "a.h5.npy", "a.npz": "a.npz.npy", "b.cfl": "b.npy"}
    assert len(found([tmp_path, tmp_path / "a.h5"], tmp_path / "out")) == 3  # none twice
    assert len(found(tmp_path / "out", tmp_path)) == 1  # images may lie above the scans
    with pytest.raises(ValueError, match="another one"):
        found(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="scan itself"):
        tasks_of(found(tmp_path / "a.h5", tmp_path / "out"), tmp_path, ".h5", {"digest": ""})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.h5").touch()
    with pytest.raises(ValueError, match="two files"):
        tasks_of(found([tmp_path / "a.h5", tmp_path / "other" / "a.h5"], tmp_path / "out"), tmp_path / "out", ".h5", {})


@pytest.mark.parametrize(("given", "error", "match"), [
    ({"paths": 3}, TypeError, "paths must be"), ({"paths": []}, ValueError, "no scans"),
    ({"recipe": "TV"}, ValueError, "recipe"), ({"recipe": 3}, TypeError, "recipe must be"),
    ({"client": 3}, TypeError, "client must be"), ({"client": "local:0"}, ValueError, "no cluster"),
    ({"client": "http://x"}, ValueError, "no cluster"), ({"workers": 0}, ValueError, "workers"),
    ({"retries": -1}, ValueError, "retries"), ({"suffix": ".png"}, ValueError, "suffix"),
    ({"load": {"mps": 1}}, ValueError, "load"), ({"component": "size"}, ValueError, "component"),
    ({"client": "local:2", "workers": 2}, ValueError, "beside a cluster")])
def test_what_is_refused(scans, tmp_path, given, error, match):
    with pytest.raises(error, match=match):
        pi.recon_many(**{"paths": scans[0], "recipe": RECIPE, "out": tmp_path / "out"} | given)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pisolve\[cluster\]"):
        workers_of("tcp://127.0.0.1:8786", None, 1)


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(pi.backend, "threads", lambda: 8)
    for workers, count, expected in ((None, 100, (8, 1)), (2, 100, (2, 4)), (3, 100, (3, 2)), (None, 2, (2, 4)),
                                     (16, 100, (16, 1))):
        pool = workers_of(None, workers, count)
        assert (pool.width, pool.threads) == expected
        assert np.isfinite(pool.budget)
