"""TGV and sums of two images: against TV where TV is wrong, against BART's functional, and by hand."""


import numpy as np
import pytest
from helpers import bart

import pisolve as pi
from pisolve import linops
from pisolve.io import cfl
from pisolve.linops.base import Adjoint, Linop
from pisolve.priors.base import Separable
from pisolve.priors.lifted import Lifted
from pisolve.testing import distance, random

N = 48
Y, X = np.mgrid[-1:1:N * 1j, -1:1:N * 1j]
RAMPS = {"ramp in a frame": (1 + 0.8 * X + 0.3 * Y) * (abs(X) < 0.7) * (abs(Y) < 0.75),
         "ramp with an edge": 1 + 0.8 * X + 0.3 * Y + 0.7 * (X > 0.1)}


@pytest.mark.parametrize(("name", "most"), [("ramp with an edge", 0.7), ("ramp in a frame", 0.8)])
def test_tgv_has_less_error_than_tv_on_ramps(name, most, rng):
    """Each at its best strength of one grid; the framed one is undersampled, the other only noisy."""
    image = RAMPS[name].astype("complex128")
    A = linops.identity(image.shape)
    if name == "ramp in a frame":
        mps = pi.phantom.brain(image.shape, 6).mps.astype("complex128")
        A = linops.sense(mps, pi.masks.random(image.shape, 2.5, seed=1))
    y = A(image)
    y = y + 0.04 * random(y.shape, rng, "complex128") * (y != 0)
    errors = {}
    for prior in (pi.TV(), pi.TGV()):
        errors[repr(prior)] = min(distance(pi.solve(A, y, lam * prior, max_iter=150, tol=1e-5).x, image)
                                  for lam in np.geomspace(0.01, 0.12, 6))
    assert errors["TGV()"] <= most * errors["TV()"]


class Backward(Linop):
    """Backward differences, periodic: BART's."""

    def __init__(self, shape):
        super().__init__([2, *shape], shape)

    def _apply(self, x):
        return np.stack([x - np.roll(x, 1, axis) for axis in (0, 1)])

    def _apply_adjoint(self, q):
        return sum(q[axis] - np.roll(q[axis], -1, axis) for axis in (0, 1))

    def _adjoint_linop(self):
        return Adjoint(self)


class BartE(Linop):
    """D v + (D v)^T with all four entries, not halved: with weight 1 what alpha0 = 2 is for us."""

    def __init__(self, shape):
        self.D = Backward(shape)
        super().__init__([2, 2, *shape], [2, *shape])

    def _apply(self, v):
        d = np.stack([self.D(c) for c in v])
        return d + d.swapaxes(0, 1)

    def _apply_adjoint(self, q):
        s = q + q.swapaxes(0, 1)
        return np.stack([self.D.H(c) for c in s])

    def _adjoint_linop(self):
        return Adjoint(self)


class BartTGV(Lifted):
    """The functional of BART 0.8's `pics -R G`: the first order by components, the second joint in one index."""

    def split(self, shape):
        G = Backward(shape)
        K = linops.Blocks([[G, linops.identity(G.oshape)], [None, BartE(shape)]])
        return Separable([pi.L1(), pi.L21()], K.range), K


@pytest.mark.parametrize(("letter", "prior"), [("G", BartTGV()), ("T", pi.L21() @ Backward((64, 64)))])
def test_the_minimum_is_barts(letter, prior, tmp_path):
    """BART's image has our minimum's objective within 1 % (TGV) and 0.1 % (TV) by BART's own functional."""
    brain, lam = pi.phantom.brain((64, 64), 6, noise=0.01, seed=0), 1e-2
    mask = pi.masks.random((64, 64), 3, seed=1)
    A = linops.sense(brain.mps.astype("complex128"), mask)
    y = brain.kspace * mask
    y = (y / np.percentile(abs(A.H(y)), 99)).astype("complex64")
    cfl.write(tmp_path / "y", y, coils=True)
    cfl.write(tmp_path / "mps", brain.mps, coils=True)
    bart(tmp_path, "pics", "-S", "-w1", f"-R{letter}:3:0:{lam}", "-i300", "-u0.1", "y", "mps", "x")
    theirs = cfl.read_image(tmp_path / "x").reshape(64, 64).astype("complex128")
    problem = pi.Problem(A, y.astype("complex128"), lam * prior)
    ours = pi.solve(A, problem.y, lam * prior, max_iter=200, tol=1e-5).x
    gap = problem.value(theirs) / problem.value(ours) - 1
    assert -1e-3 < gap < (0.01 if letter == "G" else 1e-3)
    assert distance(theirs, ours) < 0.01


def test_value_of_a_ramp_is_its_border_only():
    """A slope of constant steepness costs nothing inside: of a ramp of 31 steps a row the last sample's is left."""
    ramp = (np.arange(32.0) * np.ones((32, 1))).astype("complex128")
    bounded = pi.TGV(boundary="neumann")
    assert bounded.value(ramp) <= 32 * (1 + 1e-6)
    assert pi.TV(boundary="neumann").value(ramp) == pytest.approx(31 * 32)
    assert bounded.value(np.ones((16, 16), "complex128")) == pytest.approx(0, abs=1e-6)
    assert bounded.value(3 * ramp) == pytest.approx(3 * bounded.value(ramp), rel=1e-4)


def test_tgv_is_below_tv_and_below_any_choice_of_the_field(rng):
    x = random((12, 10), rng, "complex128")
    value = pi.TGV().value(x)
    assert value <= pi.TV().value(x)
    v = random((2, 12, 10), rng, "complex128")
    G, E = linops.gradient((12, 10)), linops.symmetric_gradient((12, 10))
    assert value <= pi.L21().value(G(x) - v) + 2 * pi.L21().value(E(v))
    best = pi.TGV().variables(x)[0]
    assert pi.L21().value(G(x) - best) + 2 * pi.L21().value(E(best)) == pytest.approx(value, rel=1e-6)


def test_infimal_convolution_takes_the_parts_apart():
    """A constant background (low rank) plus one flash: the sparse part holds the flash."""
    series = np.ones((8, 10, 10), "complex128")
    series[3, 4, 5] += 4
    prior = pi.InfimalConvolution(0.5 * pi.Nuclear(), 0.1 * pi.L1())
    sparse = prior.variables(series)[0]
    assert abs(sparse[3, 4, 5]) > 3.5
    sparse[3, 4, 5] = 0
    assert abs(sparse).max() < 0.05
    assert prior.value(series) <= min(0.5 * pi.Nuclear().value(series), 0.1 * pi.L1().value(series))


@pytest.mark.parametrize("make", [
    lambda: pi.TGV(0), lambda: pi.TGV(1, -1), lambda: pi.TGV(boundary="mirror"),
    lambda: pi.InfimalConvolution(pi.L1(), 3), lambda: pi.InfimalConvolution(pi.PnP(lambda x, s: x, 1), pi.L1())])
def test_bad_arguments(make):
    with pytest.raises((ValueError, TypeError)):
        make()


def test_a_proximal_gradient_method_names_the_solver_that_fits():
    A, y = linops.identity((16, 16)), np.ones((16, 16), complex)
    with pytest.raises(ValueError, match="ADMM"):
        pi.solve(A, y, pi.TGV(), pi.FISTA())
