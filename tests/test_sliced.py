"""A file of slices that is never read whole: the bits of the whole scan's, in the memory of a slice."""

import tracemalloc

import h5py
import numpy as np
import pytest

import pisolve as pi
from pisolve import backend, io
from pisolve.io.sliced import slices
from pisolve.many.task import reconstruct as task_of
from pisolve.recipe.sliced import one_by_one, reconstruct

SHAPE, COILS, SLICES = (36, 28), 4, 5
KSPACE = np.stack([(1 + 0.3 * s) * pi.phantom.brain(SHAPE, COILS, noise=0.02, seed=s).kspace for s in range(SLICES)]
                  ).astype(np.complex64)
LINES = np.zeros((SHAPE[0], 1), bool)
LINES[::2] = LINES[SHAPE[0] // 2 - 8 : SHAPE[0] // 2 + 8] = True
TV = pi.Recipe(2e-3 * pi.TV(), max_iter=4, maps=pi.Espirit(calib_width=12))
UNDER = TV.replace(sampling=pi.Sampling(accel=2, seed=1))


def hdf5(path, kspace=KSPACE, **arrays):
    """A file as fastMRI has it."""
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, array in arrays.items():
            file[name] = array
    return path


def empty(*at):
    """K-space in which some slices hold nothing."""
    return np.where(np.isin(np.arange(SLICES), at)[:, None, None, None], 0, KSPACE).astype(np.complex64)


CASES = {
    "a full scan": (TV, {}),
    "undersampled here": (UNDER, {}),
    "a mask": (TV, {"kspace": KSPACE * LINES, "mask": LINES}),
    "no mask": (TV, {"kspace": KSPACE * LINES}),
    "empty slices": (TV, {"kspace": empty(1, 4)}),
    "lines of their own": (TV, {"kspace": np.concatenate([KSPACE[:2], KSPACE[2:] * LINES])}),
    "a reference": (UNDER, {"reconstruction_rss": np.linalg.norm(KSPACE, axis=1).real}),
    "white, maps by Walsh": (UNDER.replace(whiten=True, maps=pi.Walsh(calib_width=12)),
                             {"noise": np.random.default_rng(0).standard_normal((COILS, 99)) * (1 + 1j)}),
    "maps by JSense": (UNDER.replace(maps=pi.JSense(calib_width=12, kernel_width=5, iterations=2)), {}),
    "two sets of maps": (UNDER.replace(maps=pi.Espirit(calib_width=12, sets=2), prior=1e-2 * pi.Tikhonov()), {}),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_the_whole_scan(name, threads, tmp_path, monkeypatch):
    recipe, fields = CASES[name]
    path = hdf5(tmp_path / "scan.h5", **fields)
    monkeypatch.setattr(backend, "threads", lambda: threads)
    whole, found = recipe(path), reconstruct(recipe, slices(path))
    assert one_by_one(recipe)
    assert found.scale == whole.scale
    assert np.array_equal(found.x, whole.x)
    assert np.array_equal(found.like_reference, whole.like_reference)
    assert (found.status, [r.status for r in found.results]) == (whole.status, [r.status for r in whole.results])
    assert (found.recipe, found.axes) == (whole.recipe, whole.axes)
    assert found.agreement.residual == pytest.approx(whole.agreement.residual, rel=1e-6)
    assert (found.scan.reference is None) is (whole.scan.reference is None)
    if whole.scan.reference is not None:
        assert np.array_equal(found.scan.reference, whole.scan.reference)
    for one in (whole, found):
        one.save(tmp_path / f"{type(one).__name__}.h5")
    assert (tmp_path / "Sliced.h5").read_bytes() == (tmp_path / "Reconstruction.h5").read_bytes()


def test_memory_is_that_of_a_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "threads", lambda: 1)
    recipe, peaks = UNDER.replace(prior=1e-2 * pi.Tikhonov(), max_iter=1, maps=pi.Walsh(calib_width=12)), []
    path = hdf5(tmp_path / "scan.h5", np.concatenate([KSPACE] * 4))
    for call in (lambda: recipe(path), lambda: reconstruct(recipe, slices(path))):
        tracemalloc.start()
        call()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.5 * peaks[0]


@pytest.mark.parametrize("recipe", [
    TV.replace(tune="holdout"), TV.replace(compress=pi.Compress(2)), TV.replace(method=pi.Grappa(), prior=None),
    TV.replace(each=("slice", "frame")), UNDER.replace(sampling=pi.Sampling(accel=2, vary="slice"))])
def test_recipes_that_need_all_of_it(recipe):
    assert not one_by_one(recipe)


def test_files_that_have_no_such_slices(tmp_path):
    io.save_scan(tmp_path / "a.npz", io.Scan(KSPACE))
    io.save_mrd(tmp_path / "a.mrd", io.Scan(KSPACE))
    (tmp_path / "broken.h5").write_bytes(b"no scan")
    for path in (tmp_path / "a.npz", tmp_path / "a.mrd", tmp_path / "broken.h5", hdf5(tmp_path / "b.h5", KSPACE[:1]),
                 hdf5(tmp_path / "c.h5", KSPACE[0]), hdf5(tmp_path / "d.h5", KSPACE, mps=KSPACE), tmp_path / "none.h5"):
        assert slices(path) is None


def test_a_task_takes_a_file_that_can_be_read_so(tmp_path, monkeypatch):
    path = hdf5(tmp_path / "scan.h5", np.where(np.arange(SLICES)[:, None, None, None] == 3, np.nan, KSPACE))
    task = {"file": "scan.h5", "path": str(path), "target": str(tmp_path / "o.h5"), "output": "o.h5", "load": {},
            "select": {}, "crop": "recon", "component": None, "recipe": UNDER.to_dict(), "digest": "",
            "record": str(tmp_path / "record.json")}
    row = task_of(task)
    assert row["status"] == "error"
    assert "NaN" in row["error"]
    assert "scan.h5" in row["error"]
    hdf5(path)
    monkeypatch.setattr(io, "load", None)  # it is not asked
    row = task_of(task)
    assert (row["status"], row["psnr"] > 10) == ("done", True)
    monkeypatch.undo()
    assert np.array_equal(io.load_image(tmp_path / "o.h5"), UNDER(path).x)
