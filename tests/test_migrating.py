"""The pairs of docs/migrating.md that no other test holds, with BART itself; and what the page says of commands."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import bart

import pisolve as pi
from pisolve.cli.completion import known
from pisolve.cli.main import WORDS
from pisolve.cli.parser import parser
from pisolve.io import cfl

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
BRAIN = pi.phantom.brain((64, 64), 6, noise=0.01)
MPS = BRAIN.mps / np.linalg.norm(BRAIN.mps, axis=0)


def test_wavelets_of_pics(tmp_path):
    """`pics -RW` shifts at random, as our cycle spinning does: images of the same error, near each other."""
    mask = pi.masks.random((64, 64), 3, seed=1)
    y = BRAIN.kspace * mask
    bart(tmp_path, "pics", "-S", "-w1", "-RW:3:0:0.01", "-i100", "y", "s", "x", y=y[:, None], s=MPS[:, None])
    theirs = cfl.read_image(tmp_path / "x")
    ours = pi.solve(pi.linops.sense(MPS, mask), y, 0.01 * pi.Wavelet("db2", shifts=16)).x
    truth = BRAIN.image * np.linalg.norm(BRAIN.mps, axis=0)
    errors = [np.linalg.norm(x - truth) for x in (theirs, ours)]
    assert np.linalg.norm(theirs - ours) < 0.5 * min(errors)
    assert errors[1] < 1.05 * errors[0]


def test_caldir_is_near_walsh(tmp_path):
    """Both are maps of a root sum of squares of 1 from the centre; they differ by a phase of each pixel."""
    bart(tmp_path, "caldir", "24", "k", "s", k=BRAIN.kspace[:, None])
    theirs, ours = cfl.read(tmp_path / "s").reshape(MPS.shape), pi.calib.walsh(BRAIN.kspace)
    inside = abs(BRAIN.image) > 0.2
    size = np.linalg.norm(theirs, axis=0)
    agree = abs((theirs.conj() * ours).sum(0))[inside] / size[inside]
    assert np.median(agree) > 0.99


def test_delays_of_estdelay(tmp_path):
    """Spokes that begin late by known parts of a sample: both programs find the delays, in samples along (y, x)."""
    coord = pi.trajectories.radial((64, 64), 60, 128, angles="uniform")
    late = np.diag([0.3, -0.2])
    y = pi.linops.sense(MPS, coord=pi.calib.delayed(coord, late))(BRAIN.image)
    np.testing.assert_allclose(pi.calib.delays(y, coord, (64, 64)), late, atol=0.02)
    traj = np.zeros((*coord.shape[:2], 3), np.complex64)
    traj[..., 0], traj[..., 1] = coord[..., 1], coord[..., 0]
    words = bart(tmp_path, "estdelay", "-R", "traj", "k", traj=traj, k=y[..., None])
    np.testing.assert_allclose([float(v) for v in words.strip().split(":")[:2]], np.diag(late), atol=0.02)


def test_commands_of_the_page_exist():
    words = {word.__name__.rpartition(".")[2] for word in WORDS}
    told = re.findall(r"`pisolve (\w+)", PAGE)
    assert len(told) > 8
    assert set(told) <= words


def test_options_of_the_page_exist():
    options = {option for _, found in known(parser(WORDS)).values() for option in found}
    assert set(re.findall(r"(--[a-z][\w-]+)", PAGE)) <= options


def test_names_of_the_page_exist():
    for path in set(re.findall(r"\bpi\.([\w.]+\w)", PAGE)):
        value = pi
        for name in path.split("."):
            value = getattr(value, name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+\.py)`", PAGE))))
def test_tests_of_the_page_run_bart(name):
    assert "bart(" in (ROOT / "tests" / name).read_text(encoding="utf-8")
