"""Hints: what was meant, and what to type; each hint is followed, and it works."""

import re

import numpy as np
import pytest

import pisolve as pi
from pisolve import _hints
from pisolve.cli.main import main

P = pi.phantom.brain((32, 28), 4)
SCAN = pi.io.Scan(P.kspace, mps=P.mps)
SCALED = [pi.TV, pi.L1, pi.L21, pi.L1MinusL2, pi.Wavelet, pi.DCT, pi.TGV, pi.Nuclear, pi.LLR, pi.TemporalFFT,
          pi.Tikhonov]


@pytest.mark.parametrize("word", ["lam", "lamda", "strength"])
@pytest.mark.parametrize("prior", SCALED, ids=lambda p: p.__name__)
def test_a_strength_is_a_factor(prior, word):
    with pytest.raises(TypeError, match=f"^{prior.__name__} takes no {word}: write ") as error:
        prior(**{word: 0.1})
    made = eval(str(error.value).partition("write ")[2])
    assert isinstance(made, pi.Prior)
    assert repr(made) == repr(0.1 * prior())


def test_the_other_arguments_stay_in_the_hint():
    with pytest.raises(TypeError) as error:
        pi.TV(False, lam=0.1, axes=("frame",))
    assert str(error.value) == "TV takes no lam: write 0.1 * pi.TV(False, axes=('frame',))"
    D = lambda x, sigma: x  # noqa: E731
    with pytest.raises(TypeError) as error:
        pi.RED(D, 0.05, lam=2.0)
    assert repr(eval(str(error.value).partition("write ")[2], {"pi": pi, "D": D})) == repr(2.0 * pi.RED(D, 0.05))
    with pytest.raises(TypeError, match=r"^PnP has no argument 'lamda': did you mean 'lam'"):
        pi.PnP(D, lamda=2.0)


@pytest.mark.parametrize(("call", "wrong", "right"), [
    (pi.TV, "axs", "axes"), (pi.Wavelet, "shift", "shifts"), (pi.ADMM, "roh", "rho"),
    (pi.Recipe, "max_iters", "max_iter"),
    (lambda **k: pi.recon(SCAN, **k), "max_iters", "max_iter"), (lambda **k: pi.recon(SCAN, **k), "solvr", "solver"),
], ids=["TV", "Wavelet", "ADMM", "Recipe", "recon", "recon-solver"])
def test_unknown_arguments_name_the_nearest(call, wrong, right):
    with pytest.raises(TypeError, match=f"has no argument '{wrong}': did you mean '{right}'\\?$"):
        call(**{wrong: 3})


def test_unknown_arguments_like_none_name_all():
    with pytest.raises(TypeError, match=r"^ADMM has no argument 'qqq': it takes rho, inner, relaxation, balance"):
        pi.ADMM(qqq=3)
    with pytest.raises(TypeError, match="beside its own it takes maps, sampling, max_iter"):
        pi.recon(SCAN, qqq=3)
    with pytest.raises(TypeError, match=r"^recon takes no lam, .*: write recon\(scan, 0.1 \* prior\)$"):
        pi.recon(SCAN, pi.TV(), lam=0.1)
    with pytest.raises(TypeError, match=r"write recon\(scan, 0.1 \* pi.TV\(\)\)$"):
        pi.recon(SCAN, lam=0.1)


def test_errors_inside_of_a_call_are_their_own():
    @_hints.hinted
    class Own(pi.Prior):
        """A prior whose constructor fails."""

        def __init__(self, a, *, b=1):
            self.a = a + b

    with pytest.raises(TypeError, match="can only concatenate"):
        Own("x")
    with pytest.raises(TypeError, match=r"^Own has no argument 'c': it takes a, b$"):
        Own(1, c=2)
    assert Own(1, b=3).a == 4


def test_names_of_the_library():
    for wrong, right in (("Tv", "TV"), ("wavlet", "Wavelet"), ("recn", "recon"), ("linop", "linops"), ("Adam", "ADMM")):
        if _hints.nearest(wrong, pi.__all__) is None:
            continue
        with pytest.raises(AttributeError, match=f"no attribute '{wrong}': did you mean '{right}'"):
            getattr(pi, wrong)
        assert getattr(pi, right) is not None
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqq'$"):
        pi.qqqqqq  # noqa: B018


@pytest.mark.parametrize(("call", "right"), [
    (lambda: pi.Sampling("randm"), "random"), (lambda: pi.Sampling("Random"), "random"),
    (lambda: pi.recon(SCAN, tune="holdot"), "holdout"), (lambda: pi.TV(boundary="periodc"), "periodic"),
    (lambda: pi.compare(SCAN, ["wavelt"]), "wavelet"),
])
def test_choices_name_the_nearest(call, right):
    with pytest.raises(ValueError, match=f"must be one of .*: did you mean '{right}'\\?$"):
        call()


@pytest.mark.parametrize(("line", "told"), [
    ("recn x", "did you mean 'recon'"),
    ("recon x -o y.h5 --lamb 3", "unrecognized arguments: --lamb: did you mean '--lam'"),
    ("recon x -o y.h5 --prior TV", "did you mean 'tv'"), ("recon x -o y.h5 --max-iters=3", "did you mean '--max-iter'"),
    ("recon x -o y.h5 --lam 0.1,0.2", "0.1,0.2 are several numbers, and one is needed: auto chooses among many"),
    ("recon x -o y.h5 --solver fist", "did you mean 'fista'"), ("stability x --metod pnp", "did you mean '--method'"),
])
def test_the_command_line(line, told, capsys):
    assert main(line.split()) == 2
    assert told in capsys.readouterr().err


def test_the_phase_axis_is_told(tmp_path, capsys):
    np.save(tmp_path / "full.npy", P.kspace)
    for axis in ("ky", "kx"):
        out = tmp_path / f"{axis}.h5"
        assert main(["recon", str(tmp_path / "full.npy"), "-o", str(out), "--accel", "2", "--phase-axis", axis,
                     "--max-iter", "2"]) == 0
        assert re.search(f"along {axis}", capsys.readouterr().out)
    lines = np.broadcast_to((np.arange(32) % 2 == 0)[:, None], (32, 28))
    np.savez(tmp_path / "half.npz", kspace=P.kspace * lines, mask=lines)
    assert main(["recon", str(tmp_path / "half.npz"), "-o", str(out), "--phase-axis", "kx"]) == 2
    assert "sampling changes along ky" in capsys.readouterr().err


@pytest.mark.parametrize("prior", [pi.Zero(), 0.1 * pi.Tikhonov(), 0.1 * pi.Tikhonov() + 0.05 * pi.Quadratic(
    pi.linops.gradient((32, 28)))], ids=repr)
def test_the_history_of_cg_has_the_objective(prior):
    y = P.kspace.astype(complex) * (np.arange(32) % 2 == 0)[:, None]
    A = pi.linops.sense(P.mps.astype(complex), (np.arange(32) % 2 == 0)[:, None])
    seen = []
    done = pi.solve(A, y, prior, pi.CG(), max_iter=8, tol=0, callbacks=[
        lambda problem, state: seen.append(problem.value(state.x))])
    np.testing.assert_allclose([h["objective"] for h in done.history], seen, rtol=1e-9)
    reference = pi.solve(A, y, 0.1 * pi.Tikhonov(np.full((32, 28), 0.3 + 0j)), pi.CG(), max_iter=5)
    assert reference.history[-1]["objective"] == pytest.approx(reference.problem.value(reference.x))
