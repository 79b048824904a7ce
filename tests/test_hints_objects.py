"""What is given in the place of something else: each message says what to type, and that works."""

import importlib
import re

import numpy as np
import pytest

import pisolve as pi

P = pi.phantom.brain((32, 28), 4)
SCAN = pi.io.Scan(P.kspace, mps=P.mps)
A = pi.linops.sense(P.mps)
D = pi.nets.load("denoiser-brain")
SHORT = {"max_iter": 2}
pytestmark = pytest.mark.filterwarnings("ignore:the image leaves")


@pytest.mark.parametrize(("room", "wrong", "right"), [
    ("io", "Load", "load"), ("linops", "SENSE", "sense"), ("masks", "poisson_disc", "poisson"),
    ("nets", "Load", "load"),
    ("calib", "ESPIRiT", "espirit"), ("metrics", "PSNR", "psnr"), ("solvers", "Adam", "ADMM"), ("priors", "tv", "TV"),
    ("trajectories", "Radial", "radial"), ("evaluate", "noisemap", "noise_map"), ("signals", "T2", "t2")])
def test_names_of_the_rooms(room, wrong, right):
    module = importlib.import_module(f"pisolve.{room}")
    with pytest.raises(AttributeError, match=f"module 'pisolve.{room}' has no attribute '{wrong}': did you mean "
                                             f"'{right}'"):
        getattr(module, wrong)
    assert getattr(module, right) is not None
    assert not hasattr(module, "qqqqqqqq")


@pytest.mark.parametrize(("wrong", "right"), [
    ("load", "pi.io.load"), ("Scan", "pi.io.Scan"), ("psnr", "pi.metrics.psnr"),
    ("sense", "Sense' or 'pi.linops.sense"), ("TotalVariation", "TV"), ("ConjugateGradient", "CG"),
    ("reconstruct", "recon")])
def test_names_that_are_in_another_room_or_called_otherwise(wrong, right):
    with pytest.raises(AttributeError, match=f"has no attribute '{wrong}': did you mean '{right}'"):
        getattr(pi, wrong)
    for found in right.split("' or '"):
        assert eval(found if found.startswith("pi.") else f"pi.{found}") is not None


@pytest.mark.parametrize("wrong", [
    lambda: pi.TV(0.1), lambda: pi.L1(0.1), lambda: pi.Tikhonov(0.1), lambda: pi.Wavelet(0.01), lambda: pi.LLR(0.1),
    lambda: pi.recon(SCAN, 0.01), lambda: pi.recon(SCAN, "tv"), lambda: pi.recon(SCAN, pi.TV),
    lambda: pi.Recipe("Wavelet"), lambda: pi.solve(A, P.kspace, pi.TV), lambda: pi.recon(SCAN, None, pi.ADMM),
    lambda: pi.recon(SCAN, None, "admm"), lambda: pi.solve(A, P.kspace, None, "pdhg"),
    lambda: pi.recon(SCAN, method="grappa"), lambda: pi.recon(SCAN, method=pi.Spirit),
    lambda: pi.recon(SCAN, maps="Walsh"), lambda: pi.recon(SCAN, pi.ADMM(rho=0.5)), lambda: pi.recon(SCAN, sampling=4),
    lambda: pi.recon(SCAN, compress=3), lambda: pi.recon(SCAN, accel=4), lambda: pi.PnP("denoiser-brain", 0.1)])
def test_the_hint_is_what_makes_it_run(wrong):
    with pytest.raises((TypeError, ValueError), match="write ") as error:
        wrong()
    text = str(error.value).partition("write ")[2].partition(";")[0]
    given = text.partition("=") if re.match(r"[a-z]+=", text) else ("", "", text)
    made = eval(given[2])
    if given[0]:
        pi.recon(SCAN, **{given[0]: made}, **SHORT)
    elif isinstance(made, pi.Prior):
        if "LLR" not in text:
            pi.recon(SCAN, made, **SHORT)
    elif isinstance(made, pi.solvers.Solver):
        pi.recon(SCAN, 1e-3 * pi.TV(), made, **SHORT)


@pytest.mark.parametrize(("wrong", "told"), [
    (lambda: pi.solve(P.kspace, A, pi.TV()), "A is an array and y an operator"),
    (lambda: pi.solve(A, pi.TV(), P.kspace), "y is a prior"),
    (lambda: pi.solve(A, P.kspace, pi.CG()), "the third argument is a solver, CG"),
    (lambda: pi.solve(A, P.kspace, pi.ADMM(), pi.TV()), "the third argument is a solver, ADMM")])
def test_arguments_of_solve_in_another_order(wrong, told):
    with pytest.raises(TypeError, match=f"^{told}: write solve\\(A, y, prior, solver\\), or name them"):
        wrong()
    assert pi.solve(A, P.kspace, solver=pi.CG(), **SHORT).ok


def test_what_is_no_prior_says_where_it_goes():
    with pytest.raises(TypeError, match=r"a denoiser goes in as pi.PnP\(D, sigma=0.05\)"):
        pi.recon(SCAN, D)
    with pytest.raises(TypeError, match="that is a reconstruction network, write network="):
        pi.recon(SCAN, pi.nets.load("varnet-brain"))
    with pytest.raises(TypeError, match=r"that is a scan, write pi.Recipe\(prior\)\(scan\)"):
        pi.Recipe(SCAN)
    with pytest.raises(TypeError, match=r"coil maps are mps="):
        pi.recon(SCAN, maps=P.mps)
    with pytest.raises(TypeError, match=r"no argument 'mask': write recon\(pi.io.Scan\(kspace, mask\), prior\)"):
        pi.recon(P.kspace, mask=np.ones((32, 28), bool))


@pytest.mark.parametrize("solver", [pi.CG, pi.FISTA, pi.ADMM, pi.PDHG])
@pytest.mark.parametrize("word", ["max_iter", "tol"])
def test_arguments_of_a_run_are_no_solvers(solver, word):
    with pytest.raises(TypeError, match=f"{word}.*belongs to the run: write solve\\(A, y, prior, "):
        solver(**{word: 1})


def test_words_of_other_libraries():
    with pytest.raises(TypeError, match="'linesearch': did you mean 'backtracking'"):
        pi.PDHG(linesearch=True)
    for wrong, right in (("n_iter", "max_iter"), ("iterations", "max_iter"), ("verbose", "progress")):
        with pytest.raises(TypeError, match=f"'{wrong}': did you mean '{right}'"):
            pi.recon(SCAN, **{wrong: 3})


def test_a_denoiser_of_one_argument_is_told_at_once():
    with pytest.raises(TypeError, match=r"called as D\(x, sigma\).*write lambda x, sigma: D\(x\)"):
        pi.PnP(lambda x: x, sigma=0.1)
    pi.recon(SCAN, pi.PnP(lambda x, sigma: x, sigma=0.1), **SHORT)
    pi.recon(SCAN, pi.PnP(pi.Denoiser(lambda x: x, noise_input=None), sigma=0.1), **SHORT)
