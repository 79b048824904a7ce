"""Folders that are gone on with: one run at a time, sealed states, nothing lost at a kill, nothing left behind."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import attack_files
import h5py
import numpy as np
import pytest
import torch

import pisolve as pi
from pisolve import io
from pisolve.cli.main import main
from pisolve.io import cfl, failure, owner, seal
from pisolve.io.held import LOCK, held

SCAN = attack_files.scan()
DEAD = 4_000_000  # the number of no process: above what Linux gives
HOLD = """
import sys, time
from pisolve.io.held import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def recon(folder, **more):
    return pi.recon(SCAN, 1e-3 * pi.TV(), pi.ADMM(), max_iter=4, tol=0, checkpoint=folder, **more)


@pytest.fixture(scope="module")
def whole():
    return pi.recon(SCAN, 1e-3 * pi.TV(), pi.ADMM(), max_iter=4, tol=0).x


@pytest.fixture
def holder(tmp_path):
    """A folder that another process holds, and the process."""
    folder = tmp_path / "held"
    folder.mkdir()
    child = python(HOLD, folder)
    assert child.stdout.readline() == "held\n"
    yield folder, child
    child.kill()
    child.wait()


def python(code, *words):
    """A Python process that runs `code`."""
    path = os.pathsep.join([str(Path(pi.__file__).parents[1]), str(Path(__file__).parent)])
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})


# one run at a time ------------------------------------------------------------------------------------------------


def test_the_second_comer_is_told_who_holds_the_folder(holder, tmp_path, capsys):
    folder, child = holder
    told = f"held is in use by process {child.pid}"
    with pytest.raises(BlockingIOError, match=told):
        recon(folder)
    np.savez(tmp_path / "s.npz", kspace=SCAN.kspace[0])
    words = [["recon", tmp_path / "s.npz", "-o", tmp_path / "o.npy", "--checkpoint", folder],
             ["compare", tmp_path / "s.npz", "--accel", "2", "--methods", "sense", "-o", folder]]
    for one in words:
        assert main(list(map(str, one))) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(BlockingIOError, match=told):
        attack_files.train(folder, resume=False)
    assert not (tmp_path / "o.npy").exists()
    assert not [p for p in folder.rglob("*") if p.is_file() and p.name != LOCK]


def test_a_killed_holder_holds_nothing(holder, whole):
    folder, child = holder
    child.kill()
    child.wait()
    assert np.array_equal(recon(folder).x, whole)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.json", "slice_0.h5", "slice_0.json", "slice_1.h5",
                                                        "slice_1.json"]


def test_two_runs_of_one_process_do_not_share_a_folder(tmp_path):
    with held(tmp_path), pytest.raises(BlockingIOError, match=rf"another run of this process \({os.getpid()}\)"):
        recon(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_one_of_many_that_begin_at_once_has_the_folder(tmp_path):
    inside, most, refused, start = [], [], [], threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(50):
            try:
                with held(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except BlockingIOError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 400
    assert not list(tmp_path.iterdir())


# sealed states ----------------------------------------------------------------------------------------------------


def louder(folder):
    with h5py.File(folder / "slice_0.h5", "r+") as file:
        file["x"][10, 10] *= 4


@pytest.mark.parametrize("change", [
    louder, lambda f: (f / "slice_0.h5").write_bytes((f / "slice_1.h5").read_bytes()),
    lambda f: (f / "slice_0.h5").write_bytes((f / "slice_0.h5").read_bytes()[:-100]),
    lambda f: (f / "slice_0.h5").write_bytes(b""), lambda f: (f / "slice_0.json").write_text("["),
    lambda f: (f / "slice_0.json").write_text((f / "slice_1.json").read_text())],
    ids=["louder", "another slice's", "cut off", "empty", "no JSON", "another's JSON"])
def test_a_broken_state_is_said_and_made_again(change, tmp_path, whole):
    recon(tmp_path)
    change(tmp_path)
    with pytest.warns(UserWarning, match=r"slice_0\.(h5|json).*; slice 0 is solved again"):
        again = recon(tmp_path)
    assert np.array_equal(again.x, whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(recon(tmp_path).x, whole)


def test_a_folder_of_a_version_without_seals_is_read(tmp_path, whole):
    recon(tmp_path)
    about = json.loads((tmp_path / "checkpoint.json").read_text())
    del about["id"]
    (tmp_path / "checkpoint.json").write_text(json.dumps(about))
    for path in tmp_path.glob("slice_*.h5"):
        path.write_bytes(path.read_bytes()[:-seal._SIZE])
    for path in tmp_path.glob("slice_*.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps({n: found[n] for n in ("status", "history")}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = recon(tmp_path)
    assert np.array_equal(again.x, whole)
    assert [r.state.k for r in again.results] == [4, 4]


def test_a_late_state_is_not_taken_for_a_finished_one(tmp_path, whole):
    """As where a file system has no locks: what is known is of another step than the state that lies there."""
    kept = []
    recon(tmp_path, callbacks=[lambda problem, state: kept.append(state)])
    of = f"{json.loads((tmp_path / 'checkpoint.json').read_text())['id']} 0"
    pi.save_state(tmp_path / "slice_0.h5", kept[1], of)
    again = recon(tmp_path)
    assert np.array_equal(again.x, whole)
    assert again.results[0].status == "max_iter"


def test_a_seal_knows_content_and_what_it_belongs_to(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3))
    assert not seal.check(path)
    with pytest.raises(seal.Broken, match="its seal is not there"):
        seal.check(path, needed=True)
    seal.seal(path, "mine")
    assert seal.check(path, "mine")
    assert np.load(path)["x"].tolist() == [0, 1, 2]
    with pytest.raises(seal.Broken, match="belongs to something else"):
        seal.check(path, "yours")
    data = path.read_bytes()
    for at in range(0, len(data) - 80, 7):  # the mark itself is not covered: without it there is no seal
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        try:
            assert not seal.check(path, "mine")
            assert data[at: at + 1] in seal._MARK
        except seal.Broken:
            pass
    seal.write_json(path, {"a": [1.5, float("nan")]}, "mine")
    assert str(seal.read_json(path, "mine")) == "{'a': [1.5, nan]}"
    path.write_text(path.read_text().replace("1.5", "1.6"))
    with pytest.raises(seal.Broken, match="damaged"):
        seal.read_json(path, "mine")
    line = seal.line(["a", 1.5])
    assert seal.read_line(line, 2) == seal.read_line('["a", 1.5]', 2) == ["a", 1.5]
    assert seal.read_line(line.replace("1.5", "1.6"), 2) is None


def test_a_damaged_part_of_a_comparison_is_made_again(tmp_path):
    scan = io.Scan(pi.phantom.brain((32, 24), 3, noise=0.01).kspace.astype(np.complex64))
    words = {"methods": ["sense", "tikhonov"], "accel": 2, "trials": 9, "folder": tmp_path}
    first = pi.compare(scan, **words)
    parts = tmp_path / "parts" / "000"
    for path in parts.iterdir():
        data = path.read_bytes()
        path.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    (parts / "00-000.npz").write_bytes((parts / "01-000.npz").read_bytes())
    with pytest.warns(UserWarning, match="is made again") as told:
        again = pi.compare(scan, **words)
    assert len([w for w in told if "made again" in str(w.message)]) == len(list(parts.glob("*.npz"))) + len(
        list(parts.glob("*.json")))
    assert again.records(costs=False) == first.records(costs=False)


def test_a_damaged_checkpoint_of_a_training(tmp_path):
    weights = attack_files.train(tmp_path / "a", resume=False).state_dict()
    path = tmp_path / "a" / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged: .*; the training begins anew|begins anew"):
        again = attack_files.train(tmp_path / "a").state_dict()
    assert all(torch.equal(again[n], w) for n, w in weights.items())
    for content in (b"", b"nothing"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint\.pt is no file of plain weights"):
            attack_files.train(tmp_path / "a")
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"checkpoint\.pt holds no checkpoint of train"):
        attack_files.train(tmp_path / "a")


# outputs ----------------------------------------------------------------------------------------------------------


def test_what_killed_runs_left_is_removed_by_the_next(tmp_path):
    made = f".pisolve-{owner.host()}-{DEAD}-5-{'a' * 12}.npy"
    other = f".pisolve-{'0' * 8}-{DEAD}-5-{'a' * 12}.npy"  # of another machine on the same disk
    alive = owner.temporary_name("b" * 12, ".npy")
    for name in (made, other, alive, ".mine.npy"):
        (tmp_path / name).touch()
    io.save(tmp_path / "o.npy", np.ones((3, 3)))
    assert sorted(os.listdir(tmp_path)) == sorted([other, alive, ".mine.npy", "o.npy"])
    (tmp_path / made).touch()
    with held(tmp_path):  # a folder that is gone on with is looked through each time
        assert not (tmp_path / made).exists()


def test_a_number_of_a_process_that_is_used_again():
    assert owner.gone(DEAD, 5)
    assert not owner.gone(os.getpid(), owner.began(os.getpid()))
    if owner.began(os.getpid()):
        assert owner.gone(os.getpid(), owner.began(os.getpid()) - 1)


PAIR = """
import os, sys, numpy as np
from pisolve.io import cfl
real, count = os.replace, [int(sys.argv[2])]
def replace(a, b):
    if count[0] == 0: os.kill(os.getpid(), 9)
    count[0] -= 1
    real(a, b)
os.replace = replace
cfl.write(sys.argv[1], np.full((3, 4), 2, np.complex64))
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_pair_survives_a_kill_between_its_renames(renames, tmp_path):
    path = tmp_path / "i.cfl"
    cfl.write(path, np.ones((5, 7), np.complex64))
    python(PAIR, path, renames).wait()
    expected = (3, 4) if renames else (5, 7)
    assert io.load_image(path).shape == expected
    assert len(list(tmp_path.glob(".pisolve-*"))) == 2 - renames
    with held(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == ["i.cfl", "i.hdr"]
    assert io.load_image(path).shape == expected


def test_permissions_stay(tmp_path):
    path = tmp_path / "a.npy"
    io.save(path, np.ones((2, 2)))
    path.chmod(0o600)
    with io.atomic(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600  # while it is written, too
        np.save(temporary, np.zeros((2, 2)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_fifo_is_written_into(tmp_path):
    path, found = tmp_path / "a.npy", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    io.save(path, np.eye(3))
    reader.join(10)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert found[0].startswith(b"\x93NUMPY")
    assert len(found[0]) == 128 + 72
    with pytest.raises(ValueError, match="no regular file"):
        io.load(path)


def test_the_standard_output_is_a_stream(tmp_path):
    (tmp_path / "a.npy").symlink_to("/dev/stdout")
    code = "import sys, numpy as np; from pisolve import io; io.save(sys.argv[1], np.eye(3)); print('end')"
    with open(tmp_path / "all", "wb") as sink:
        subprocess.run([sys.executable, "-c", code, tmp_path / "a.npy"], stdout=sink, check=True,
                       env={**os.environ, "PYTHONPATH": str(Path(pi.__file__).parents[1])})
    assert (tmp_path / "all").read_bytes().endswith(b"end\n")
    assert (tmp_path / "all").read_bytes().startswith(b"\x93NUMPY")


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a.npy").symlink_to(tmp_path / "b.npy")
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    with pytest.raises(OSError, match=r"a\.npy cannot be written: links lead in a circle"):
        io.save(tmp_path / "a.npy", np.ones((2, 2)))
    assert (tmp_path / "a.npy").is_symlink()


LIMITED = """
import resource, signal, sys
from pisolve.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".cfl", ".nii.gz", ".mat", ".dcm", ".mrd"])
def test_a_limit_of_file_sizes_is_told_in_words_and_the_old_file_stays(suffix, tmp_path, rng):
    if suffix == ".nii.gz":
        pytest.importorskip("nibabel")
    noise = rng.standard_normal((4, 1, 128, 96)) + 1j * rng.standard_normal((4, 1, 128, 96))
    np.save(tmp_path / "s.npy", noise.astype(np.complex64))
    path = tmp_path / f"o{suffix}"
    io.save(path, np.ones((4, 4), np.complex64))
    old = path.read_bytes()
    child = python(LIMITED, 100_000, "recon", tmp_path / "s.npy", "-o", path, "--prior", "zero", "--max-iter", "1")
    err = child.communicate()[1]
    assert child.returncode == 2
    assert f"o{suffix} cannot be written: it would be larger than this process may write" in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert path.read_bytes() == old
    assert not list(tmp_path.glob(".pisolve-*"))


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"),
                                             (errno.EDQUOT, "quota of the disk is used up")])
def test_what_the_system_refuses_is_told_in_words(code, words, tmp_path):
    with pytest.raises(OSError, match=rf"a\.npy cannot be written: .*{words}") as told, io.atomic(tmp_path / "a.npy"):
        raise OSError(code, os.strerror(code))
    assert told.value.errno == code
    assert not list(tmp_path.iterdir())


def test_a_library_that_does_not_say_that_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(failure, "reached", lambda path: errno.ENOSPC)
    with pytest.raises(OSError, match=r"a\.npy cannot be written: the disk is full"), io.atomic(tmp_path / "a.npy"):
        raise OSError("307200 requested and 253936 written")


# SIGTERM ----------------------------------------------------------------------------------------------------------


TERMINATED = """
import os, signal, sys, attack_files, pisolve as pi
seen = []
def stop(problem, state):
    seen.append(state.k)
    if len(seen) == 3: os.kill(os.getpid(), signal.SIGTERM)
pi.recon(attack_files.scan(), 1e-3 * pi.TV(), pi.ADMM(), max_iter=4, tol=0, checkpoint=sys.argv[1], callbacks=[stop])
"""


def test_sigterm_keeps_a_state_as_ctrl_c_does(tmp_path, whole):
    child = python(TERMINATED, tmp_path)
    assert "Terminated" in child.communicate()[1]
    assert pi.load_state(tmp_path / "slice_0.h5").k in (2, 3)
    assert not (tmp_path / LOCK).exists()
    seen = []
    assert np.array_equal(recon(tmp_path, callbacks=[lambda problem, state: seen.append(state.k)]).x, whole)
    assert len(seen) < 8


def test_sigterm_of_a_command(tmp_path):
    np.save(tmp_path / "s.npy", SCAN.kspace[0])
    code = "import sys; from pisolve.cli.main import main; sys.exit(main(sys.argv[1:]))"
    child = python(code, "recon", tmp_path / "s.npy", "-o", tmp_path / "o.npy", "--max-iter", 1_000_000, "--tol", 0,
                   "--prior", "tv", "--checkpoint", tmp_path / "c")
    while not (tmp_path / "c" / "checkpoint.json").exists():
        assert child.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    child.send_signal(signal.SIGTERM)
    err = child.communicate()[1]
    assert child.returncode == 143
    assert err.endswith("pisolve: terminated: nothing more is written\n")
    assert (tmp_path / "c" / "slice_0.h5").exists()


def test_another_handler_of_sigterm_stays(tmp_path):
    def mine(*_):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with held(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    with held(tmp_path):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
