"""The examples run as they are, and show what they say."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from pisolve import io, nets, phantom

FOLDER = Path(__file__).parents[1] / "examples"
shipped = pytest.mark.skipif("denoiser-brain" not in nets.available(), reason="the shipped denoiser is not there")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return call


def numbers(out: str, before: str) -> dict[str, float]:
    """The number behind the word `before` in every line, by the line's first column."""
    found = re.findall(rf"^(.+?)  .*{before} +([\d.]+)", out, re.MULTILINE)
    return {name: float(value) for name, value in found}


@shipped
def test_quickstart(run, tmp_path):
    psnr = numbers(run("quickstart.py"), "PSNR")
    assert list(psnr) == ["SENSE", "wavelet", "PnP"]
    assert psnr["PnP"] > psnr["wavelet"] > psnr["SENSE"]
    assert io.load_image(tmp_path / "quickstart.h5").shape == (1, 256, 256)


@shipped
def test_quickstart_with_a_scan(run, tmp_path):
    """The file that is given is what is reconstructed."""
    np.save(tmp_path / "scan.npy", phantom.brain((80, 64), 4).kspace)
    assert len(numbers(run("quickstart.py", "scan.npy"), "PSNR")) == 3
    assert io.load_image("quickstart.h5").shape == (1, 80, 64)


def test_own_prior(run):
    psnr = numbers(run("own_prior.py"), "PSNR")
    assert min(psnr["L1 @ W"], psnr["MCP @ W"]) > psnr["l2"] + 1
    assert psnr["both"] == max(psnr.values())


def test_own_signal(run, tmp_path):
    error = numbers(run("own_signal.py", "maps.h5"), "error")
    assert list(error) == ["images first, t2", "images first, free", "one step, t2", "one step, free"]
    assert error["one step, t2"] < 0.006
    assert error["one step, free"] < 0.04
    assert list(io.load_maps(tmp_path / "maps.h5")) == ["t2", "free"]


@shipped
def test_own_denoiser(run):
    psnr = numbers(run("own_denoiser.py"), "PSNR")
    assert len(psnr) == 5
    assert min(v for k, v in psnr.items() if k != "l2") > psnr["l2"] + 1
    assert psnr["shipped"] == max(psnr.values())


def test_unrolled(run):
    errors = np.array(re.findall(r"training ([\d.]+) validation ([\d.]+)", run("unrolled.py")), float)
    assert (np.diff(errors, axis=0) < 0).all()
    assert (errors[-1] < 0.9 * errors[0]).all()


def test_cine(run):
    psnr = numbers(run("cine.py"), "PSNR")
    assert list(psnr) == ["wavelet", "x-f", "LLR"]
    assert min(psnr["x-f"], psnr["LLR"]) > psnr["wavelet"] + 1


def test_radial_cine(run):
    psnr = numbers(run("radial_cine.py"), "PSNR")
    assert list(psnr) == ["gridding", "wavelet", "temporal TV", "LLR", "L+S"]
    assert psnr["wavelet"] > psnr["gridding"] + 2
    assert min(psnr["temporal TV"], psnr["LLR"], psnr["L+S"]) > psnr["wavelet"] + 1


def test_resume(run):
    assert "same bits: True" in run("resume.py")
