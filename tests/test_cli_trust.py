"""The words of the command line that compare methods and ask what to trust: they do what the functions do."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import pisolve as pi
from pisolve import phantom
from pisolve.cli.uncertainty import KINDS
from pisolve.evaluate import analyses
from pisolve.evaluate.sources import load
from pisolve.evaluate.stability import stability
from pisolve.evaluate.uncertainty import uncertainty
from pisolve.recipe import named

QUICK = ("--no-progress",)


@pytest.fixture
def scan(tmp_path):
    """The path of a small full scan of two slices."""
    slices = [phantom.brain((64, 48), 4, noise=0.03, seed=s).kspace for s in (1, 2)]
    np.savez(tmp_path / "head.npz", kspace=np.stack(slices))
    return "head.npz"


def test_compare_and_again(run, scan):
    words = ("--accel", "2,3", "--methods", "zero-filled,sense,tikhonov", "--trials", 9, "--slices", "0:1", *QUICK)
    code, out, _ = run("compare", scan, "-o", "report", *words)
    assert code == 0
    assert sorted(os.listdir("report")) == ["comparison.json", "parts", "records.csv", "report.html", "slices.csv",
                                            "summary.md"]
    expected = pi.compare(scan, ["zero-filled", "sense", "tikhonov"], accel=[2, 3], trials=9, slices=slice(0, 1))
    with open("report/comparison.json") as file:
        kept = json.load(file)
    costs = ("seconds", "tuning_seconds", "memory_mb")
    for a, b in zip(kept["records"], expected.records(costs=False), strict=True):
        assert {k: v for k, v in a.items() if k not in costs} == b
    assert re.search(r"^\| tikhonov +\|", out, re.M)
    assert Path("report/report.html").read_text().lower().startswith("<!doctype html>")
    code, _, _ = run("compare", "--recipe", "report/comparison.json", "-o", "again", *QUICK)
    assert code == 0
    with open("again/comparison.json") as file:
        again = json.load(file)
    assert again["about"]["plan"] == kept["about"]["plan"]
    for a, b in zip(kept["slices"], again["slices"], strict=True):
        assert a["psnr"] == b["psnr"]
    assert load(scan, {"from": [0, 1, None]}).kspace.shape[0] == 1


@pytest.mark.parametrize(("words", "message"), [
    (("compare", "-o", "r"), "scan is needed"),
    (("compare", "head.npz", "-o", "head.npz"), "is a file"),
    (("compare", "head.npz", "-o", "r", "--recipe", "x.json"), "beside --recipe"),
    (("compare", "head.npz", "-o", "r", "--methods", "magic"), "'magic'"),
    (("compare", "head.npz", "-o", "r", "--analyses", "luck", "--accel", "2"), "'luck'"),
    (("compare", "head.npz", "-o", "r", "--tune", "none", "--trials", "40"), "--trials has no effect with --tune none"),
    (("compare", "head.npz", "-o", "r", "--seeds", "2"), "no effect without accel"),
    (("compare", "head.npz", "-o", "r", "--accel", "2", "--mask", "poisson", "--center-fraction", "0.9"), "poisson"),
    (("consistency", "head.npz", "--mask", "random"), "--mask needs --accel"),
    (("consistency", "head.npz", "--method", "sense", "--tune", "sure"), "--tune has no effect on sense"),
    (("consistency", "head.npz", "--seed", "3"), "--seed has no effect without --accel or --probe"),
    (("consistency", "head.npz", "--seed", "3", "--recipe", "x.json"), "--seed has no effect"),
    (("visibility", "head.npz", "--seed", "3"), "--seed has no effect without --accel:"),
    (("visibility", "head.npz", "--tune", "holdout"), "unrecognized arguments: --tune"),
    (("visibility", "head.npz", "--prior", "tv"), "unrecognized arguments: --prior"),
    (("stability", "head.npz", "--noise", "0.1"), "unrecognized arguments: --noise"),
    (("consistency", "head.npz", "--prior", "zero-filled"), "no recipe"),
    (("consistency", "head.npz", "--method", "zero-filled"), "no recipe"),
    (("consistency", "head.npz", "--method", "sense", "--prior", "tv"), "--prior: not allowed with argument --method"),
    (("consistency", "head.npz", "--method", "sense", "--recipe", "x.json"), "--method beside --recipe"),
    (("shift", "head.npz"), "one of the arguments --methods is required"),
    (("visibility", "head.npz", "--png", "x.doc"), "--png must end in"),
    (("visibility", "head.npz", "--png", "no/x.png"), "folder of no/x.png"),
    (("stability", "head.npz", "--recipe", "x.json", "--tune", "sure"), "--tune beside --recipe"),
    (("shift", "head.npz", "--methods", "tv", "--masks", "star"), "star"),
    (("shift", "head.npz", "--methods", "tv,zero-filled"), "zero-filled is no recipe"),
    (("shift", "head.npz", "--methods", "sense,spirit", "--tune", "sure"), "--tune has no effect on sense, spirit"),
    (("blinded", "a/out.npy", "b/out.npy", "-o", "study"), "a/out.npy and b/out.npy would both be the method 'out'"),
    (("unblind", "nowhere"), "key"),
])
def test_bad_words(run, scan, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_crimes(run, scan):
    """Nothing found is 0; a planted one is named, with exit code 1."""
    assert run("crimes", scan)[0] == 0
    kspace = np.load(scan)["kspace"]
    kspace[:, :, :14] = kspace[:, :, -14:] = 0
    np.savez("padded.npz", kspace=kspace)
    code, out, _ = run("crimes", "padded.npz")
    assert code == 1
    assert "zero-padded k-space" in out


@pytest.mark.parametrize("words", [
    ("consistency", "--prior", "tikhonov", "--probe"), ("visibility", "--grid", 3),
    ("uncertainty", "--prior", "tikhonov", "-n", 3),
    ("stability", "--prior", "tikhonov", "--sizes", 2, "--steps", 1, "--tests", "perturbation,details")])
def test_trust(run, scan, words):
    name, *more = words
    code, out, err = run(name, scan, *more, "--slices", 0, "--accel", 2, "--png", "x.png", *QUICK)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("====")
    assert os.path.getsize("x.png") > 5000


def test_a_prior_is_the_same_word_everywhere(run, scan, capsys):
    """What --prior took beside priors is --method, and --priors is --methods: both are read, and said to be old."""
    words, found = ("--slices", 0, "--accel", 2, *QUICK), {}
    for more in (("--prior", "zero"), ("--method", "sense"), ("--prior", "sense")):
        code, found[more], err = run("consistency", scan, *more, *words)
        told = "pisolve: note: --prior sense is called --method sense now\n" if more == ("--prior", "sense") else ""
        assert (code, err) == (0, told)
    assert found["--method", "sense"] == found["--prior", "sense"] != found["--prior", "zero"]
    words = (*words[2:], "--slices", "0:1", "--tune", "none")
    first = run("compare", scan, "-o", "a", "--methods", "zero-filled,sense", *words)
    old = run("compare", scan, "-o", "b", "--priors", "zero-filled,sense", *words)
    assert (first[0], old[0]) == (0, 0)
    assert old[2] == "pisolve: note: --priors is called --methods now\n" + first[2]
    for word in ("compare", "shift"):
        with pytest.raises(SystemExit):
            run(word, "--help")
        assert "--priors" not in capsys.readouterr().out


def test_a_recipe_that_tunes(run, scan, monkeypatch):
    """Its strength is chosen, as `recipe(scan)` does, and the scan is read once; --seed is that of the noise."""
    recipe = pi.Recipe(pi.Tikhonov(), tune="reference", sampling=pi.Sampling("random", 2, seed=4))
    Path("r.json").write_text(json.dumps(recipe.to_dict()))
    one = pi.io.load(scan).select(0)
    done = recipe(one)
    assert done.recipe.prior.lam != 1
    load, seen = pi.io.load, []
    monkeypatch.setattr(pi.io, "load", lambda path, **options: seen.append(path) or load(path, **options))
    words = (scan, "--recipe", "r.json", "--slices", 0, *QUICK)
    explained = {seed: str(pi.evaluate.consistency(done, probe=True, seed=seed).section()) for seed in (0, 3)}
    assert explained[0] != explained[3]
    for seed, expected in explained.items():
        assert run("consistency", *words, "--probe", "--seed", seed) == (0, expected + "\n", "")
    expected = pi.evaluate.uncertainty(done.recipe, one, n=3, seed=1).section()
    assert run("uncertainty", *words, "-n", 3, "--seed", 1) == (0, f"{expected}\n", "")
    expected = pi.evaluate.stability(done.recipe, one, sizes=[0.02], tests=["perturbation"], steps=1, seed=2).sections()
    out = run("stability", *words, "--sizes", 2, "--tests", "perturbation", "--steps", 1, "--seed", 2)
    assert out == (0, "".join(f"{section}\n\n" for section in expected), "")
    assert seen == [scan] * 4


def test_shift(run, scan):
    """Two scans of one name are two."""
    os.mkdir("other")
    np.savez("other/head.npz", kspace=phantom.brain((48, 48), 4, noise=0.01, seed=9).kspace)
    code, out, _ = run("shift", scan, "other/head.npz", "--methods", "tikhonov", "--accels", "2,3", "--noises", "0",
                       *QUICK)
    assert code == 0
    assert "tikhonov" in out
    assert "| head, 2x" in out
    assert "| head (2), 2x" in out


def test_words_are_those_of_the_functions():
    """The command line's lists are the functions' own."""
    assert analyses.ANALYSES == named.ANALYSES
    assert stability.TESTS is named.TESTS
    assert set(KINDS) == set(uncertainty.KINDS) - {"seeds"}


def test_blinded_and_back(run, scan):
    """Two methods, graded by their true order: the table says so."""
    for name, lam in (("soft", 1e-1), ("sharp", 1e-3)):
        run("recon", scan, "-o", f"{name}.h5", "--prior", "tikhonov", "--lam", lam, *QUICK)
    code, out, _ = run("blinded", "soft.h5", "sharp.h5", "-o", "study", "--readers", 1)
    assert code == 0
    assert os.path.exists("study_key.json")
    with open("study_key.json") as file:
        shown = json.load(file)["images"]
    sheet = os.path.join("study", "reader1", "sheet.csv")
    with open(sheet) as file:
        head, *rows = file.read().splitlines()
    first = head.count(",")
    graded = [f"{r.split(',')[0]}{',5' if shown[r.split(',')[0]]['method'] == 'sharp' else ',2'}" + "," * (first - 1)
              for r in rows]
    with open(sheet, "w") as file:
        file.write("\n".join([head, *graded]) + "\n")
    code, out, _ = run("unblind", "study")
    assert code == 0
    assert re.search(r"sharp.*5", out)


def test_analyses_of_a_comparison(run, scan):
    """The sections are in the report, and their numbers are those of the functions."""
    done = pi.compare(scan, ["zero-filled", "tikhonov"], accel=2, trials=9, slices=0,
                      analyses=["stability", "uncertainty", "visibility"])
    titles = [s.title for s in done.sections]
    assert titles == ["Data crimes: head", "Does the image explain the data?", "Stability: perturbed data",
                      "Stability: small structures", "Stability: more and fewer samples",
                      "Uncertainty: noise in the image", "Where could something hide?"]
    explained = done.sections[1]
    assert explained.rows[0]["chi"] == done.outcomes[0, "tikhonov"].values["chi"]
    assert "tikhonov" in explained.pictures
    prior = done.outcomes[0, "tikhonov"].tuning["strength"] * pi.Tikhonov()
    one = pi.io.load(scan).select(0)
    alone = pi.evaluate.stability(pi.Recipe(prior, sampling=pi.Sampling("random", 2)), one, sizes=[0.05], steps=3,
                                  tests=["perturbation"])
    found = done.sections[2].rows[0]["gain at 5 %"]
    assert found == pytest.approx(alone.perturbation.rows[0]["gain"], rel=0.1)
    done.to_html("x.html")
    assert "Where could something hide?" in Path("x.html").read_text()
