"""The command line's words for coil maps and raw data: what they do equals Python, and none does nothing."""

import json
import os

import h5py
import numpy as np
import pytest
from helpers import bart
from test_mrd import TRUTH, header, lines, write

import pisolve as pi
from pisolve import io, phantom
from pisolve.cli.maps import MAPS
from pisolve.io import cfl

K = np.stack([phantom.brain((48, 48), 4, noise=0.01, anatomy=n, seed=n).kspace for n in range(2)])
VOLUME, SLICE = K, K[0]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Files by name: two slices (.h5), one slice (.npy), one slice that brings maps (.npz)."""
    folder = tmp_path_factory.mktemp("scans")
    with h5py.File(folder / "VOLUME.h5", "w") as file:
        file["kspace"] = VOLUME
    with h5py.File(folder / "ONE.h5", "w") as file:
        file["kspace"] = VOLUME[:1]
    np.save(folder / "SLICE.npy", SLICE)
    np.savez(folder / "OWN.npz", kspace=SLICE, mps=pi.calib.espirit(SLICE))
    return {path.stem: str(path) for path in folder.iterdir()}


@pytest.mark.parametrize("method", [
    ("espirit", {"calib_width": 20, "kernel_width": 5, "thresh": 0.03, "crop": 0.7, "soft_crop": True}),
    ("walsh", {"calib_width": 20, "window": 7, "thresh": 0.1}),
    ("inati", {"window": 3, "iterations": 4, "thresh": 0.1}),
    ("jsense", {"kernel_width": 8, "lam": 0.01, "iterations": 3, "inner": 4, "thresh": 0.1})], ids=lambda m: m[0])
def test_calib_has_every_option_of_the_function(run, scans, method):
    """And a recipe's class has them, too: the same maps by all three."""
    name, options = method
    words = [w for n, v in options.items() for w in ([f"--{n.replace('_', '-')}"] + ([] if v is True else [v]))]
    code, _, err = run("calib", scans["SLICE"], "-o", "m.npy", "--maps", name, *words)
    assert (code, err) == (0, "")
    expected = getattr(pi.calib, name)(SLICE, **options)
    np.testing.assert_array_equal(np.load("m.npy"), expected)
    np.testing.assert_array_equal(pi.recon(SLICE, pi.Zero(), maps=MAPS[name](**options)).scan.mps, expected)


@pytest.mark.parametrize("source", ["VOLUME", "ONE", "SLICE"])
@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "cfl"])
def test_several_sets_come_out_and_go_in(run, scans, source, suffix):
    assert run("calib", scans[source], "-o", f"m.{suffix}", "--sets", 2)[0] == 0
    scan = io.load(scans[source], mps=f"m.{suffix}")
    np.testing.assert_array_equal(scan.mps, pi.calib.espirit(scan.kspace, sets=2))
    assert run("recon", scans[source], "-o", "x.npy", "--mps", f"m.{suffix}", "--max-iter", 2)[0] == 0
    expected = pi.recon(io.load(scans[source]), maps=pi.Espirit(sets=2), max_iter=2).x
    np.testing.assert_array_equal(np.load("x.npy"), expected)


def test_what_calib_called_method_is_read(run, scans, capsys):
    code, _, err = run("calib", scans["SLICE"], "-o", "m.npy", "--method", "walsh")
    assert (code, err) == (0, "pisolve: note: --method is called --maps now\n")
    np.testing.assert_array_equal(np.load("m.npy"), pi.calib.walsh(SLICE))
    with pytest.raises(SystemExit):
        run("calib", "--help")
    assert "--method" not in capsys.readouterr().out


def test_sets_lie_where_bart_has_them(run, scans, tmp_path):
    """Dimension 4, both ways; BART's own two sets are read, with and without an axis of slices in the scan."""
    assert run("calib", scans["VOLUME"], "-o", "m.cfl", "--sets", 2)[0] == 0
    assert cfl.read("m.cfl").T.shape == (48, 48, 1, 4, 2, *[1] * 8, 2, 1, 1)
    bart(tmp_path, "ecalib", "-m2", "k", "theirs", k=SLICE[:, None])
    theirs = cfl.read("theirs").reshape(2, *SLICE.shape)
    np.testing.assert_array_equal(io.load(scans["SLICE"], mps="theirs.cfl").mps, theirs)
    np.testing.assert_array_equal(io.load(scans["ONE"], mps="theirs.hdr").mps, theirs[None])
    assert run("recon", scans["SLICE"], "-o", "x.npy", "--mps", "theirs.cfl", "--max-iter", 2)[0] == 0
    with pytest.raises(ValueError, match="mps has shape"):
        io.load(scans["VOLUME"], mps="theirs.cfl")  # two sets are not two slices
    with pytest.raises(ValueError, match=r"4 \(maps\) = 2"):
        io.load("theirs.cfl")  # nor is k-space of sets


def test_part_chooses_from_raw_data(run, tmp_path):
    raw = write(tmp_path / "raw.mrd", header(), [r for n in range(3) for r in lines((n + 1) * TRUTH, repetition=n)])
    assert "2 slices" in run("info", raw, "--part", "repetition=2")[1]
    assert "2 slices, 3 repetitions" in run("info", raw)[1]
    words = ("-o", "x.npy", "--part", "repetition=2,slice=1", "--prior", "zero", "--max-iter", 2, "--map-crop", 0)
    code, _, err = run("recon", raw, *words)
    assert code == 0
    assert "too small or too noisy" in err  # the centre of twelve lines
    scan = io.load(raw, part={"repetition": 2, "slice": 1})
    expected = pi.recon(scan, pi.Zero(), maps=pi.Espirit(crop=0), max_iter=2).x
    np.testing.assert_array_equal(np.load("x.npy"), expected)
    assert run("calib", raw, "-o", "m.npy", "--part", "repetition=1", "--crop", 0)[0] == 0
    expected = pi.calib.espirit(io.load(raw, part={"repetition": 1}).kspace, crop=0)
    np.testing.assert_array_equal(np.load("m.npy"), expected)


BAD = [
    *[(("recon", "SLICE", "-o", "x.h5", "--method", "spirit", *words), f"{words[0]} has no effect on --method spirit")
      for words in (("--maps", "walsh"), ("--sets", "2"), ("--map-crop", "0.1"), ("--mps", "f.npy"))],
    *[(("recon", "OWN", "-o", "x.h5", *words), f"{words[0]} is for maps that are estimated, and this scan brings")
      for words in (("--maps", "jsense"), ("--sets", "2"), ("--map-crop", "0.5"))],
    (("calib", "SLICE", "-o", "m.npy", "--maps", "walsh", "--crop", "0.5"), "--crop has no effect on --maps walsh"),
    (("calib", "SLICE", "-o", "m.npy", "--window", "5"), "--window has no effect on --maps espirit"),
    (("calib", "SLICE", "-o", "m.npy", "--maps", "walsh", "--thresh", "auto"), "thresh must be a real number"),
    (("calib", "SLICE", "-o", "m.npy", "--sets", "0"), "sets must be in 1"),
    (("calib", "SLICE", "-o", "m.npy", "--maps", "2"), "argument --maps: the number of sets is --sets 2 now"),
    (("calib", "SLICE", "-o", "m.npy", "--maps", "best"), "argument --maps: invalid choice: 'best'"),
    (("recon", "SLICE", "-o", "x.h5", "--part", "repetition=1"), "part chooses from raw data"),
    (("info", "SLICE", "--part", "coil=1"), "part must be a dict of"),
    (("info", "SLICE", "--part", "repetition"), "--part"),
    (("recon", "SLICE", "-o", "x.h5", "--coils", "0"), "coils must be in 1"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_words_without_effect_are_refused(run, scans, words, message):
    code, out, err = run(*(scans.get(w, w) for w in words))
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert os.listdir() == []


def test_spirit_of_a_scan_that_brings_maps(run, scans):
    """No word, nothing to refuse; nor are a recipe's own maps, which are for scans that bring none."""
    assert run("recon", scans["OWN"], "-o", "x.h5", "--method", "spirit", "--max-iter", 1)[0] == 0
    assert run("recon", scans["SLICE"], "-o", "y.h5", "--maps", "inati", "--max-iter", 1)[0] == 0
    assert run("recon", scans["OWN"], "-o", "z.h5", "--recipe", "y.h5")[0] == 0


def test_a_recipe_of_an_older_version_is_read(run, scans):
    """Classes of maps and GRAPPA had fewer fields; what such a recipe does not say is as it was."""
    for maps, method in ((pi.Walsh(20), pi.Sense()), (pi.Inati(20), pi.Grappa()), (pi.JSense(20), pi.Sense())):
        old = pi.Recipe(pi.Zero(), maps=maps, method=method, max_iter=3).to_dict()
        old["maps"] = {n: old["maps"][n] for n in ("type", "calib_width")}
        old["method"].pop("padded", None)
        with open("old.json", "w") as file:
            json.dump(old, file)
        assert run("recon", scans["SLICE"], "-o", "x.npy", "--recipe", "old.json")[0] == 0
        expected = pi.recon(SLICE, pi.Zero(), maps=maps, method=method, max_iter=3).x
        np.testing.assert_array_equal(np.load("x.npy"), expected)


def test_a_recipes_grappa_may_pad():
    mask = np.zeros((48, 48), bool)
    mask[::2] = mask[18:30] = True
    scan = io.Scan(SLICE * mask, mask, mps=pi.calib.espirit(SLICE))
    for padded in (False, True):
        filled = pi.calib.grappa(scan.kspace, mask, padded=padded)(scan.kspace)
        found = pi.recon(scan, method=pi.Grappa(padded=padded))
        np.testing.assert_array_equal(found.x, pi.recon(io.Scan(filled, mps=scan.mps), pi.Zero()).x)
