"""Bad arguments: a typed one-line error that names the argument, or a finite result with a true status.

Every case runs twice: same outcome, same bits; no input changed by a bit; no RuntimeWarning; nothing non-finite.
"""

import re
import warnings

import numpy as np
import pytest
import sigpy.mri
import torch

import pisolve as pi
from pisolve import calib, linops, masks

nan, inf, N = np.nan, np.inf, (32, 28)
P = pi.phantom.brain(N, 4, noise=0.02)
K, M = P.kspace, masks.random(N, 2, 0.3, seed=1)
Y, S = K * M, calib.espirit(P.kspace, calib_width=16)
A, X, T = linops.sense(S, M), P.image, torch.from_numpy
W, Q = 1e-2 * pi.Wavelet(), 0.1 * pi.Tikhonov()
E = pi.recipe.Espirit(calib_width=16)
LOUD, DEAD = (np.array(c, "f4")[:, None, None] for c in ([1, 1e6, 1, 1], [1, 1, 0, 1]))
ROWS = np.arange(N[0])[:, None]
BASE = [K, M, Y, S, X, A.mps, A.weight]


def f32(x):
    return np.float32(x)


def put(a, value):
    """`a` with one entry replaced."""
    a = a.copy()
    a.flat[5] = value
    return a


def masked(a):
    return np.ma.masked_array(a, np.zeros(a.shape, bool))


# ---- the entry points, with good arguments to start from -------------------------------------------------------------

def solve(y=Y, prior=W, solver=None, A=A, max_iter=8, **options):
    return pi.solve(A, y, prior, solver, max_iter=max_iter, **options)


def recon(scan=Y, prior=W, max_iter=8, **options):
    return pi.recon(scan, prior, max_iter=max_iter, **{"maps": E, **options})


def sense(mps=S, mask=M, weights=None):
    A = linops.sense(mps, mask, weights)
    return A.N(X) + A.H(A(X))


def with_mask(mask):
    return pi.recon(pi.io.Scan(Y, mask=mask), W, mps=S, max_iter=8)


def scan(kspace=K, **fields):
    return pi.io.Scan(kspace, **fields)


def espirit(kspace=K, calib_width=16, **options):
    return calib.espirit(kspace, calib_width=calib_width, **options)


def apply(A=A, x=X):
    return A(x)


def smooth(x, s):
    """A healthy denoiser."""
    return x / 2 + (np.roll(x, 1, -1) + np.roll(x, -1, -1) + np.roll(x, 1, -2) + np.roll(x, -1, -2)) / 8


V, F = ValueError, TypeError
AT = r"at least \d x \d .* fully sampled samples .* give calib=.*or maps"
FINITE = "holds NaN or Inf: repair or drop these samples"
RANGE = "squares leave the range of complex64: "

def c(what, *expected, **arguments):
    """A case: what is wrong, an error type and its message, or the status (None: an array); the arguments."""
    return what, expected, arguments


CASES = {solve: [
    c("y NaN", V, f"^y {FINITE}", y=put(Y, nan)), c("y Inf", V, f"^y {FINITE}", y=put(Y, inf)),
    c("y -Inf imaginary", V, f"^y {FINITE}", y=put(Y, -1j * inf)),
    c("y wrong ndim", V, r"y has shape \(32, 28\), but A makes data of shape \(4, 32, 28\)", y=Y[0]),
    c("y coils", V, r"y has shape \(3, ", y=Y[:3]), c("y slice axis", V, r"y has shape \(1, 4, ", y=Y[None]),
    c("y lucky broadcast", V, r"y has shape \(1, ", y=Y[:1]), c("y size 1", V, "y has shape", y=Y[:, :1]),
    c("y no coil", V, "y is empty", y=Y[:0]), c("y list", F, "y must be .* array.*convert", y=Y.tolist()),
    c("y None", F, "y must be .* array, got NoneType", y=None), c("y string", F, "y must be", y="scan.h5"),
    c("y object", F, "y has dtype object", y=Y.astype(object)), c("y masked", F, "y is a mask.*fill", y=masked(Y)),
    c("y 1e-20", V, f"y .*{RANGE}multiply y, or let pi.recon scale it", y=Y * f32(1e-20)),
    c("y 1e20", V, f"y .*{RANGE}multiply y", y=Y * f32(1e20)), c("y 3e38", V, RANGE, y=put(Y, 3e38)),
    c("y denormal", V, RANGE, y=Y * f32(1e-40)), c("y 1e150", V, "range of complex128", y=Y.astype("c16") * 1e150),
    c("y 1e20 in double", "max_iter", y=Y.astype("c16") * 1e20), c("y 1e-6", "max_iter", y=Y * f32(1e-6), prior=Q),
    c("y 1e8", "max_iter", y=Y * f32(1e8), prior=1e3 * pi.TV()), c("y zero", "converged", y=0 * Y),
    c("y zero, TV", "converged", y=0 * Y, prior=pi.TV()), c("y zero, CG", "converged", y=0 * Y, prior=None),
    c("y real", "max_iter", y=Y.real), c("y int16", "max_iter", y=(100 * Y).real.astype("i2")),
    c("y bool", "max_iter", y=abs(Y) > 1), c("y float16", "max_iter", y=Y.real.astype("f2")),
    c("y complex256", "max_iter", y=Y.astype("G")), c("y big-endian", "max_iter", y=Y.astype(">c8")),
    c("y Fortran", "max_iter", y=np.asfortranarray(Y)),
    c("y negative strides", "max_iter", y=np.flip(np.flip(Y).copy())), c("y torch", "max_iter", y=T(Y.copy())),
    c("y lazy conj", "max_iter", y=T(Y.conj().copy()).conj()),
    c("y requires grad", "max_iter", y=T(Y.copy()).requires_grad_()),
    c("y bfloat16", "max_iter", y=T(Y.real.copy()).bfloat16()), c("A None", F, "A must be a linear operator", A=None),
    c("A array", F, "A must be a linear operator", A=S), c("A function", F, "A must be a linear operator", A=abs),
    c("A torch", "max_iter", A=linops.as_torch(A)), c("A SigPy's", "max_iter", A=sigpy.mri.linop.Sense(S)),
    c("prior name", F, "prior must be a pisolve prior, got str", prior="tv"),
    c("prior class", F, "prior must be", prior=pi.TV), c("prior number", F, "prior must be", prior=1e-3),
    c("prior function", F, r"prior must be .* goes in as pi.PnP\(D, sigma\)", prior=smooth),
    c("prior network", F, r"prior must be .* pi.PnP", prior=torch.nn.Conv2d(2, 2, 3)),
    c("prior @ other shape", V, r"takes shape \(5, 5\), the image is", prior=pi.L1() @ linops.gradient((5, 5))),
    c("levels", V, "levels must be in 0..4", prior=pi.Wavelet(levels=99)),
    c("solver name", F, r"solver must be a solver such as pi.FISTA\(\)", solver="fista"),
    c("solver class", F, "solver must be", solver=pi.FISTA), c("lam 0", "max_iter", prior=0 * pi.TV()),
    c("CG for L1", V, r"CG needs a quadratic prior.*take FISTA\(\)", solver=pi.CG()),
    c("GD for L1", V, r"needs a prior with a gradient.*take FISTA\(\)", solver=pi.GradientDescent()),
    c("step_size > 2/L", V, "step_size 2.1 is above 2/L = 2.*leave it out", solver=pi.FISTA(step_size=2.1)),
    c("GD step_size > 2/L", V, "step_size 2.1 is above 2/L", prior=Q, solver=pi.GradientDescent(2.1)),
    c("step_size 2/L", "diverged", solver=pi.FISTA(step_size=1.999), max_iter=60),
    *[c(f"step_size {s!r}", e, "step_size must be", solver=pi.FISTA(step_size=s))
      for s, e in ((0, V), (-1, V), (nan, V), (inf, V), ("1", F), (1j, F), (True, F))],
    *[c(f"{type(s(1)).__name__} rho {r!r}", e, "rho must be", solver=s(r))
      for s in (lambda r: pi.ADMM(rho=r), lambda r: pi.HQS(rho=r)) for r, e in ((0, V), (-1, V), (nan, V), ("1", F))],
    c("rho 1e-30", "max_iter", solver=pi.ADMM(rho=1e-30)), c("rho 1e30", "nonfinite", solver=pi.ADMM(rho=1e30)),
    c("inner 0", V, "inner must be in 1", solver=pi.ADMM(inner=0)), c("ratio", V, "ratio", solver=pi.HQS(ratio=0.5)),
    c("inner 1.5", F, "inner", solver=pi.ADMM(inner=1.5)),
    c("HQS steps", V, "iterations", solver=pi.HQS(iterations=0)),
    c("HQS coupling", V, "coupling must be", solver=pi.HQS(coupling=1.5)),
    c("HQS coupling, TV", V, "coupling=0 is for denoisers", solver=pi.HQS(coupling=0), prior=0.01 * pi.TV()),
    c("tau", V, r"tau 1000 is above 1 / \(L/2", solver=pi.PDHG(tau=1e3)),
    c("tau NaN", V, "tau", solver=pi.PDHG(tau=nan)), c("sigma 0", V, "sigma must be > 0", solver=pi.PDHG(sigma=0)),
    *[c(f"max_iter {m!r}", e, "max_iter must be", max_iter=m)
      for m, e in ((-1, V), (1.5, F), (None, F), ("9", F), (nan, F), (True, F))],
    *[c(f"tol {t!r}", e, "tol must be", tol=t) for t, e in ((-1, V), (nan, V), (inf, V), (None, F), ("0", F))],
    c("max_iter 0", "max_iter", max_iter=0), c("tol 0", "max_iter", tol=0), c("tol 10", "converged", tol=10),
    c("x0 NaN", V, f"x0 {FINITE}", x0=put(X, nan)), c("x0 list", F, "x0 must be .* array", x0=[0]),
    c("x0 coils", V, r"x0 has shape \(4, 32, 28\), expected \(32, 28\)", x0=S), c("x0 1", V, "x0 has shape", x0=X[:1]),
    c("x0 transposed", V, r"x0 has shape \(28, 32\)", x0=X.T), c("x0 torch", F, "x0 is a Tensor.*one kind", x0=T(X)),
    c("x0 object", F, "x0 has dtype", x0=X.astype(object)), c("x0 1e300", V, "x0 h", x0=put(X.astype("c16"), 1e300)),
    c("x0 double", "max_iter", x0=X.astype("c16")), c("x0 int", "max_iter", x0=ROWS * 0 + np.zeros(N, int)),
    c("callback stops", "stopped", callbacks=[lambda problem, state: False]),
], recon: [
    c("k-space NaN", V, f"kspace {FINITE}", scan=put(Y, nan)), c("Inf", V, f"kspace {FINITE}", scan=put(Y, inf)),
    c("k-space zero", V, "kspace is zero everywhere", scan=0 * Y),
    c("2-D", V, "kspace has 2 dim.*name them", scan=Y[0]),
    c("5-D", V, "kspace has 5 dimensions", scan=Y[None, None]), c("no coil", V, "kspace is empty", scan=Y[:0]),
    c("empty", V, "kspace is empty", scan=Y[..., :0]), c("list", F, "kspace must be", scan=[1]),
    c("object", F, "kspace has dtype", scan=Y.astype(object)), c("no file", FileNotFoundError, "no.h5", scan="no.h5"),
    c("size 1", V, AT, scan=K[..., :1]), c("too small", V, AT, scan=K[:, :2, :2]),
    c("no ACS", V, AT, scan=np.where(ROWS % 2, K, 0)),
    c("ACS < kernel", V, AT, scan=np.where(abs(ROWS - 15.5) < 1, K, 0)),
    c("denormal", V, "kspace peaks at .* loses digits: multiply it", scan=Y * f32(1e-40)),
    c("3e38", V, "kspace peaks at 3e", scan=put(Y, 3e38)), c("1e-20", "max_iter", scan=Y * f32(1e-20)),
    c("1e20", "max_iter", scan=Y * f32(1e20)), c("1e200", "max_iter", scan=Y.astype("c16") * 1e200),
    c("one coil", "max_iter", scan=Y[:1]), c("one coil, size 1", "max_iter", scan=K[:1, :, :1]),
    c("prime sizes", "max_iter", scan=K[:, :23, :19]), c("dead coil", "max_iter", scan=K * DEAD),
    c("loud coil", "max_iter", scan=K * LOUD), c("fftshifted", "max_iter", scan=np.fft.fftshift(K, (-2, -1))),
    c("real", F, "kspace has dtype float32, complex is needed", scan=Y.real),
    c("int16", F, "kspace has dtype int16, complex is needed", scan=(100 * Y).real.astype("i2")),
    c("complex256", "max_iter", scan=Y.astype("G")), c("big-endian", "max_iter", scan=Y.astype(">c8")),
    c("float16", F, "dtype float16, complex", scan=Y.real.astype("f2")),
    c("strides", "max_iter", scan=np.flip(np.flip(Y).copy())),
    c("requires grad", "max_iter", scan=T(Y.copy()).requires_grad_()), c("constant", "max_iter", scan=0 * K + 1),
    c("mps NaN", V, f"mps {FINITE}", mps=put(S, nan)), c("mps zero", V, "mps is zero everywhere", mps=0 * S),
    c("mps coils", V, "mps has shape .*coils and size must agree", mps=S[:3]), c("mps list", F, "mps must", mps=[1]),
    c("mps size", V, "mps has shape .*must agree", mps=S[:, :30]), c("mps lucky", V, "mps has shape", mps=S[..., 9:10]),
    c("mps of slices", V, "mps has shape .*coils and size must agree", mps=np.stack([S, S])[None]),
    c("mps 1e20", V, "mps .*divide", mps=S * f32(1e20)),
    c("mps at one pixel", "max_iter", scan=put(0 * Y, 1), mps=put(0 * S, 1)),
    c("mps with a dead coil", "max_iter", mps=S * DEAD), c("mps torch", "max_iter", mps=T(S.copy())),
    c("solver", F, "solver must be a solver", solver="cg"),
    c("maps", F, r"maps must be an Espirit\(", maps={}),
    c("sampling", F, "sampling must be a pi.Sampling", sampling=4), c("max_iter", V, "max_iter must be", max_iter=-1),
    c("tol", V, "tol must be finite", tol=nan),
    c("accel", V, "accel must be >= 1", sampling=pi.Sampling(accel=0)),
    c("prior", F, "prior must be a prior", prior="tv"),
], sense: [
    c("mask width", V, r"mask has shape \(32, 20\)", mask=M[:, :20]),
    c("mask 1-D", V, r"mask .*\(32, 1\)", mask=M[:, 0]), c("mask transposed", V, "mask has shape", mask=M.T),
    c("mask all False", V, "mask is zero", mask=M & False),
    c("mask per coil", V, "mask differs between coils", mask=np.stack([M, M, M, ~M])),
    c("mask 2", V, "mask h", mask=2 * M), c("mask NaN", V, "mask holds other values", mask=put(M * 1.0, nan)),
    c("mask list", F, "mask must be", mask=[1]), c("mask complex", F, "mask has dtype complex", mask=M + 0j),
    c("mask object", F, "mask has d", mask=M.astype(object)), c("mask all", None, mask=M | True),
    c("mask uint8", None, mask=M.astype("u1")), c("mask torch", None, mask=T(M)),
    c("weights < 0", V, "weights must be finite and >= 0", weights=-1.0 * M), c("mask none", None, mask=None),
    c("weights NaN", V, "weights must be finite", weights=put(M * 1.0, nan)), c("maps torch", None, mps=T(S.copy())),
    c("maps with gradient", F, r"mps requires a gradient.*detach\(\)", mps=T(S.copy()).requires_grad_()),
    c("maps 2-D", V, "mps has 2 dimensions.*3 or 4 needed", mps=S[0]),
    c("maps 1e-20", V, "mps .*divide", mps=S * f32(1e-20)), c("maps zero", V, "mps is zero everywhere", mps=0 * S),
    c("maps of another size", V, "mask has shape", mps=S[:, :30]),
], with_mask: [
    c("width", V, r"mask has shape \(32, 20\)", mask=M[:, :20]),
    c("(ky,)", V, r"write it as mask\[:, None\]", mask=M[:, 0]),
    c("per coil", V, "mask .* differs between coils", mask=np.stack([M, ~M])),
    c("0.3", V, "mask holds other", mask=0.3 * M), c("all zero", V, "mask is False everywhere", mask=M & False),
    c("all one", "max_iter", mask=M | True), c("list", F, "mask must be .*convert", mask=M.tolist()),
    c("string", F, "mask must be", mask="random"), c("per coil alike", "max_iter", mask=np.stack([M] * 4)),
    c("torch", "max_iter", mask=T(M)),
], scan: [
    c("reference NaN", V, f"reference {FINITE}", reference=X.real * nan), c("None", F, "kspace must be", kspace=None),
    c("reference size", V, "reference has shape .*centre crop", reference=np.ones((40, 28))),
], espirit: [
    c("zero", V, "kspace is zero", kspace=0 * K), c("NaN", V, f"kspace {FINITE}", kspace=put(K, nan)),
    c("2-D", V, "kspace has 2 dim", kspace=K[0]), c("width 0", V, "calib_width must be", calib_width=0),
    c("width < kernel", V, "calib_width must be at least kernel_width = 6", calib_width=4, kernel_width=6),
    c("sets", V, "sets must be in 1", sets=0),
    c("sets > coils", V, "more than the", sets=99), c("thresh", V, "thresh .* < 1", thresh=1.0),
    c("crop NaN", V, "crop must be finite", crop=nan), c("no ACS", V, AT, mask=M & (ROWS % 2 > 0)),
    c("no sample", V, "mask is False everywhere", mask=M & False),
    c("mask", V, "mask has shape", mask=M[:3]), c("calib coils", V, "calib has shape .*coils", calib=K[:3]),
    c("calib NaN", V, f"calib {FINITE}", calib=K * nan), c("1e-40", None, kspace=K * f32(1e-40)),
    c("dead", None, kspace=K * DEAD), c("1e36", None, kspace=K * f32(1e36)), c("loud", None, kspace=K * LOUD),
    c("one coil", None, kspace=K[:1]),
], apply: [
    c("shape", V, r"takes shape \(32, 28\), got \(5, 28\)", x=X[:5]), c("ndim", V, "takes shape", x=X[None]),
    c("list", F, "takes an array", x=[1]), c("object", F, "x has dtype object", x=X.astype(object)),
    *[c(f"{name} of {d}", None, A=B, x=(9 * X.real).astype(d)) for d in ("i2", "u1", "f2", "?", ">c8", "G")
      for name, B in (("wavelet", linops.wavelet(N)), ("gradient", linops.gradient(N)), ("sense", A))],
    c("torch shape", V, "takes shape", A=linops.as_torch(A), x=T(X.T)),
    c("numpy", F, "takes torch", A=linops.as_torch(A)),
]}


def same_bits(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def run(call, arguments=()):
    """What a call returns or raises, the same twice, with no RuntimeWarning and with every array left as it was."""
    watched = [a for a in [*BASE, *dict(arguments).values()] if isinstance(a, np.ndarray | torch.Tensor)]
    before, outcomes = [a.detach().clone() if isinstance(a, torch.Tensor) else a.copy() for a in watched], []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", masks.PoorMaskWarning)
            warnings.simplefilter("error", RuntimeWarning)
            try:
                outcomes.append(call(**dict(arguments)))
            except Exception as error:
                outcomes.append(error)
    assert all(same_bits(a, b) for a, b in zip(before, watched)), "an input was changed"
    return outcomes


def check_error(outcomes, error, message):
    first, second = outcomes
    assert type(first) is error, f"{error.__name__} expected, got {first!r}"
    assert re.search(message, str(first)), f"{message!r} expected in: {first}"
    assert "\n" not in str(first)
    assert str(first) == str(second)


def check_result(outcomes, status):
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    first, second = (getattr(o, "x", o) for o in outcomes)
    assert same_bits(first, second), "two identical calls differ"
    assert np.isfinite(first.detach().numpy() if isinstance(first, torch.Tensor) else first).all()
    if status is not None:
        assert outcomes[0].status == outcomes[1].status == status


@pytest.mark.parametrize(("entry", "arguments", "expected"), [
    pytest.param(entry, arguments, expected, id=f"{entry.__name__}: {what}")
    for entry, cases in CASES.items() for what, expected, arguments in cases])
def test_bad_argument(entry, arguments, expected):
    outcomes = run(entry, arguments)
    check_error(outcomes, *expected) if len(expected) == 2 else check_result(outcomes, *expected)
