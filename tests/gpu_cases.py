"""What runs on a GPU in the tests: the tables of `cases` on its arrays, recipes, networks, calibrations.

`test_device` runs them on tensors in the CPU's memory, by the way of a GPU; `test_gpu` on a GPU. `put` moves an array.
"""

from contextlib import nullcontext

import cases
import numpy as np
import torch
from cases import LINOPS, OBJECTIVES, PRIORS, SOLVERS, prior_shape, toy

import pisolve as pi
from pisolve import backend, linops, testing
from pisolve.priors import lifted


def made_on(put, monkeypatch, name, dtype):
    """The operator of the table, of arrays on the GPU: all that the table gives to makers is moved there first."""
    with monkeypatch.context() as patch:
        for maker in ("maps", "spirit_kernel"):
            on_cpu = getattr(cases, maker)
            patch.setattr(cases, maker, lambda *a, on_cpu=on_cpu, **k: put(on_cpu(*a, **k)))
        real = linops.sampled_fft
        patch.setattr(linops, "sampled_fft", lambda *a: real(*a, like=put(np.zeros(1, dtype))))
        return LINOPS[name](dtype)


def check_linop(put, monkeypatch, name, rng, watch=nullcontext):
    """An operator of the table, its adjoint and its normal operator as on the CPU; `watch()` looks at copies."""
    A = LINOPS[name]("complex64")
    B = made_on(put, monkeypatch, name, "complex64")
    like = put(np.zeros(1))
    bound = linops.opnorm(B, like=put(np.zeros(1, "complex64")))
    B = linops.as_torch(B) if torch.is_tensor(like) else B  # what SigPy composes takes no tensors itself
    testing.check_linop(B, like=like)
    x, y = testing.random(A.ishape, rng), testing.random(A.oshape, rng)
    X, Y = put(x), put(y)
    B(X), B.H(Y), B.N(X)  # constants are made
    with watch():
        got = B(X), B.H(Y), B.N(X)
    for ours, theirs in zip(got, (A(x), A.H(y), A.N(x)), strict=True):
        assert testing.distance(ours, theirs) < 1e-5
    assert abs(bound / linops.opnorm(A, like=x) - 1) < 1e-3


def check_prior(put, monkeypatch, name, rng, watch=nullcontext):
    """Value, prox and gradient of a prior of the table as on the CPU."""
    minimise = lifted._minimise  # of TGV and its like: the same after the same few iterations
    monkeypatch.setattr(lifted, "_minimise", lambda *a, **k: minimise(*a, **k, max_iter=10))
    prior, x = PRIORS[name], testing.random(prior_shape(name), rng)
    X = put(x)
    calls = [prior.value]
    calls += [lambda v: prior.prox(v, 0.3)] if prior.has_prox or prior.slow_prox else []
    calls += [prior.grad] if prior.has_grad else []
    for call in calls:
        call(X)
        with watch():
            ours = call(X)
        theirs = call(x)
        if isinstance(theirs, float):
            assert ours == theirs or abs(ours - theirs) <= 1e-4 * abs(theirs)
        else:
            assert type(ours) is type(X)
            assert testing.distance(ours, theirs) < 1e-4


def pairs():
    """Every solver with every prior that it takes; priors whose prox iterates with two solvers only."""
    A, y = toy()
    for solver in SOLVERS:
        for objective, prior in OBJECTIVES.items():
            if prior.slow_prox and not prior.quadratic and solver not in ("fista", "admm", "pdhg", "hqs"):
                continue
            try:
                SOLVERS[solver].init(pi.problem.Problem(A, y, prior))
            except ValueError:
                continue
            yield solver, objective


def on_gpu(put, A, y):
    return linops.sense(put(A.mps), put(A.weight > 0)), put(y)


def check_solver(put, solver, objective, callbacks=()):
    """Three steps of a solver as on the CPU."""
    A, y = toy()
    A, y = linops.sense(A.mps.astype("complex64"), A.weight > 0), y.astype("complex64")
    B, Y = on_gpu(put, A, y)
    run = {"prior": OBJECTIVES[objective], "solver": SOLVERS[solver], "max_iter": 3, "tol": 0}
    ours = pi.solve(B, Y, **run, callbacks=callbacks)
    assert type(ours.x) is type(Y)
    assert testing.distance(ours.x, pi.solve(A, y, **run).x) < 1e-4


BRAIN = pi.phantom.brain((40, 36), 4, noise=0.02)
SCAN = pi.io.Scan(np.stack([BRAIN.kspace, 0.5 * BRAIN.kspace[:, ::-1]]))
RUN = {"maps": pi.Espirit(calib_width=16), "sampling": pi.Sampling("equispaced", 2, 0.4), "max_iter": 6}
RECIPES = {
    "default": {},
    "cg": {"prior": pi.Zero()},
    "tv": {"prior": 1e-2 * pi.TV(), "solver": pi.ADMM()},
    "maps of another size": {"prior": 1e-2 * pi.Tikhonov(), "scan": pi.io.Scan(BRAIN.kspace, mps=3 * BRAIN.mps)},
    "two sets of maps": {"prior": 1e-2 * pi.TV(), "maps": pi.Espirit(calib_width=16, sets=2)},
    "grappa": {"method": pi.Grappa()},
    "spirit": {"method": pi.Spirit(), "prior": 1e-3 * pi.Wavelet()},
    "tuned": {"prior": pi.Tikhonov(), "tune": "holdout", "scan": pi.io.Scan(BRAIN.kspace)},
    "compressed": {"prior": pi.Zero(), "compress": pi.Compress(3)},
    "tgv": {"prior": 1e-2 * pi.TGV(), "solver": pi.PDHG(), "scan": pi.io.Scan(BRAIN.kspace)},
    "series": {"prior": 1e-2 * pi.LLR(shifts=4), "scan": cases.SCANS["series"], "sampling": None},
    "volume": {"prior": 1e-3 * pi.Wavelet(), "scan": cases.SCANS["3-D"], "sampling": None},
    "radial": {"prior": 1e-2 * pi.TV(), "scan": cases.SCANS["radial"], "sampling": None},
}


def check_recipe(options, tol=1e-4, device="cuda", context=nullcontext):
    """A recipe on the GPU gives numpy arrays, and those of the CPU. Returns both reconstructions."""
    options = {**RUN, **options}
    scan = options.pop("scan", SCAN)
    if "network" in options:
        del options["max_iter"]
    theirs = pi.recon(scan, **options)
    with context():
        ours = pi.recon(scan, **options, device=device)
    assert type(ours.x) is np.ndarray
    assert ours.status == theirs.status
    assert testing.distance(ours.x, theirs.x) < tol
    return ours, theirs


class Net(torch.nn.Conv2d):
    """A small denoiser, seeded."""

    def __init__(self):
        super().__init__(2, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.weight.copy_(0.1 * torch.randn(self.weight.shape, generator=torch.Generator().manual_seed(0)))
            self.weight[0, 0, 1, 1] = self.weight[1, 1, 1, 1] = 0.5


def unrolled():
    torch.manual_seed(0)
    return pi.nets.modl(pi.nets.DnCNN(2, 3, 4), 2).eval()


LEARNED = {
    "pnp": lambda: {"prior": pi.PnP(Net(), 0.1)},
    "pnp of three phases": lambda: {"prior": pi.PnP(pi.Denoiser(Net(), phases=3), 0.1)},
    "pnp of a function": lambda: {"prior": pi.PnP(lambda x, sigma: 0.9 * x, 0.1)},
    "red": lambda: {"prior": 0.2 * pi.RED(Net(), 0.1)},
    "unrolled": lambda: {"network": unrolled()},
    "unrolled and consistent": lambda: {"network": unrolled(), "consistency": True},
}


def few(prior):
    return {"prior": prior, "solver": pi.Fit(steps=3), "max_iter": 2}


FITS = {  # networks that are fitted to the scan
    "untrained": lambda: few(pi.Untrained(pi.nets.ConvDecoder(channels=8, layers=4), runs=2)),
    "deep decoder": lambda: few(pi.Untrained(pi.nets.DeepDecoder(channels=8, layers=3), runs=1)),
    "zero shot": lambda: few(pi.ZeroShot(unrolled().requires_grad_(True), splits=3)),
    "raki": lambda: {"method": pi.Raki(iterations=50), "maps": pi.Espirit(calib_width=16)},
}

LARGE = pi.phantom.brain((96, 80), 8, noise=0.02)
PLANNED = {
    "cg": {"prior": pi.Zero()},
    "wavelet": {"prior": 1e-3 * pi.Wavelet(), "solver": pi.POGM()},
    "tv": {"prior": 1e-2 * pi.TV(), "solver": pi.ADMM()},
    "tgv": {"prior": 1e-2 * pi.TGV(), "solver": pi.ADMM()},
    "gmres": {"prior": pi.Zero(), "solver": pi.GMRES(restart=10)},
    "lsqr": {"prior": pi.Zero(), "solver": pi.LSQR()},
    "pdhg": {"prior": 1e-2 * pi.TV(), "solver": pi.PDHG()},
    "two sets": {"prior": pi.Zero(), "maps": pi.Espirit(sets=2)},
    "spirit": {"prior": pi.Zero(), "method": pi.Spirit()},
}

KEPT = pi.masks.equispaced((40, 36), 2, 0.4, axis=-1)
REGULAR = np.broadcast_to(np.arange(36) % 2 == 0, (40, 36)).copy()
PARTIAL = np.broadcast_to(np.arange(36) < 24, (40, 36)).copy()

CALIBRATION = {  # functions of k-space whose answer is where k-space is
    "grappa": lambda k: pi.calib.grappa(k, KEPT)(k),
    "spirit kernel": lambda k: pi.calib.spirit_kernel(k, KEPT),
    "espirit": lambda k: pi.calib.espirit(k, mask=KEPT, calib_width=14),
    "walsh": lambda k: pi.calib.walsh(k, mask=KEPT),
    "compression": lambda k: abs(pi.calib.compression(k, coils=3)(k)),
    "gcc": lambda k: abs(pi.calib.compression(k, coils=3, by="gcc", axis=-2)(k)),
    "whitening": lambda k: pi.calib.prewhiten(k, pi.calib.noise_covariance(k.reshape(4, -1))),
    "virtual coils": lambda k: pi.calib.virtual_coils(k),
    "unfolding": lambda k: pi.calib.unfold(k * backend.like(REGULAR, k), backend.like(BRAIN.mps, k), REGULAR),
    "g-factor": lambda k: pi.calib.gfactor(backend.like(BRAIN.mps, k), REGULAR),
    "body coil": lambda k: pi.calib.body_coil(k, k[:1]),
    "homodyne": lambda k: pi.calib.homodyne(k * backend.like(PARTIAL, k), PARTIAL),
    "pocs": lambda k: pi.calib.pocs(k * backend.like(PARTIAL, k), PARTIAL),
}


def check_calibration(put, name):
    """A function of k-space as on the CPU; its answer is on the GPU."""
    mask = KEPT if name in ("grappa", "spirit kernel", "espirit", "walsh") else np.ones((40, 36), bool)
    k = BRAIN.kspace * mask
    ours, theirs = CALIBRATION[name](put(k)), CALIBRATION[name](k)
    ours, theirs = (v[0] if isinstance(v, tuple) else v for v in (ours, theirs))
    assert type(ours) is type(put(k))
    assert testing.distance(ours, theirs) < 1e-4
