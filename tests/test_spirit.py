"""SPIRiT's kernel, its operators and encodings, and structured low rank, against formulas, pygrappa and BART."""


import h5py
import numpy as np
import pytest
from cases import LINOPS
from conftest import data_path
from helpers import bart

import pisolve as pi
from pisolve import backend, calib, linops, testing
from pisolve.calib.region import neighbourhoods
from pisolve.io import cfl

CENTRE = slice(54, 74)  # 24 lines of 128 without the edges that a 5 x 5 kernel needs


def rss(x):
    return np.sqrt((abs(x) ** 2).sum(0))


def error(reference, image):
    """NRMSE inside the object."""
    inside = pi.metrics.body(reference)
    return np.linalg.norm((image - reference)[inside]) / np.linalg.norm(reference[inside])


def real_scan(name, *, seed=0):
    """(y, mask, RSS of all samples) at 4x random, y scaled so that the zero-filled RSS has a 99th percentile of 1."""
    with h5py.File(data_path(f"kspace/{name}.h5")) as f:
        kspace = f["kspace"][0]
    return undersampled(kspace, pi.masks.random(kspace.shape, 4, seed=seed))


def undersampled(kspace, mask):
    y = np.where(mask, kspace, 0)
    scale = np.float32(1 / np.percentile(rss(backend.fft(y, (-2, -1), inverse=True)), 99))
    return y * scale, mask, rss(backend.fft(kspace * scale, (-2, -1), inverse=True))


@pytest.fixture(scope="module")
def head():
    return pi.phantom.brain((48, 40), 6, noise=0.005).kspace


@pytest.fixture(scope="module")
def invivo():
    with h5py.File(data_path("kspace/invivo_brain_cimax_16ch.h5")) as f:
        return f["kspace"][0]


def convolved(kspace, kernel):
    """The definition, tap by tap."""
    ky, kx = kernel.shape[2:]
    out = 0
    for dy, dx in np.ndindex(ky, kx):
        moved = np.roll(kspace, (ky // 2 - dy, kx // 2 - dx), (1, 2))
        out = out + np.einsum("cd,dyx->cyx", kernel[:, :, dy, dx], moved)
    return out


# --- kernel

@pytest.mark.parametrize("size", [(3, 3), (5, 5), (3, 7)])
@pytest.mark.parametrize("lam", [0, 1e-3, 0.01])
def test_kernel_is_the_ridge_regression_of_each_coil(head, size, lam):
    """One factorisation gives what a regression per coil gives, target column left out."""
    g = calib.spirit_kernel(head.astype("complex128"), kernel=size, lam=lam, calib_width=20)
    block = calib.region.calibration_data(head, kernel=size, calib_width=20)
    A, taps = neighbourhoods(block, size), size[0] * size[1]
    mu = lam * np.linalg.norm(A.conj().T @ A) / A.shape[1]
    for c in range(len(head)):
        j = c * taps + taps // 2
        B = np.delete(A, j, 1)
        tall = np.concatenate([B, np.sqrt(mu) * np.eye(B.shape[1])])
        w = np.linalg.lstsq(tall, np.concatenate([A[:, j], np.zeros(B.shape[1])]), rcond=None)[0]
        theirs = np.insert(w, j, 0).reshape(len(head), *size)
        assert testing.distance(g[c], theirs) < (1e-8 if lam else 1e-4)


def test_kernel_equals_pygrappas_fit(invivo):
    """Lustig's calibration in pygrappa; its ridge takes the norm of the Gram matrix without the coil's own column."""
    theirs = pytest.importorskip("pygrappa.lustig_grappa")
    block = invivo[:, 52:76, 52:76]
    gram = theirs.dat2AtA(np.moveaxis(block, 0, -1).astype(complex), (5, 5))
    ours = calib.spirit_kernel(invivo, calib_width=24)
    for c in (0, 7, 15):
        kept = np.arange(400) != c * 25 + 12  # in their order of columns, coil after coil
        ratio = np.linalg.norm(gram) / 400 / (np.linalg.norm(gram[np.ix_(kept, kept)]) / 399)
        for lam, tol in ((0.01 * ratio, 1e-5), (0.01, 3e-3)):
            w, _ = theirs.calibrate(gram, (5, 5), 16, c, lam, np.ones((5, 5, 16)))
            assert testing.distance(ours[c], w.transpose(2, 0, 1)) < tol


@pytest.mark.parametrize(("size", "limit"), [((5, 5), 0.05), ((7, 7), 0.05)])
def test_kernel_reproduces_the_calibration_region(invivo, size, limit):
    g = calib.spirit_kernel(invivo, calib_width=24, kernel=size)
    left = linops.spirit(g, invivo.shape, "kspace")(invivo)[:, CENTRE, CENTRE]
    assert np.linalg.norm(left) <= limit * np.linalg.norm(invivo[:, CENTRE, CENTRE])


def test_permuted_coils_permute_the_kernel(head):
    order = np.array([3, 1, 5, 0, 4, 2])
    a, b = (calib.spirit_kernel(k, calib_width=16) for k in (head, head[order]))
    assert testing.distance(b, a[order][:, order]) < 1e-5


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_scale_does_not_matter(head, scale):
    mask = pi.masks.random(head.shape, 2, 0.4)
    g = calib.spirit_kernel(head, mask)
    assert testing.distance(calib.spirit_kernel(head * np.float32(scale), mask), g) < 1e-5


def test_dead_and_duplicate_coils(head):
    bad = head.copy()
    bad[2], bad[4] = 0, bad[1]
    for lam in (0, 0.01):
        g = calib.spirit_kernel(bad, lam=lam, calib_width=16)
        assert np.isfinite(g).all()
        assert abs(g[2]).max() < 1e-12
        assert abs(g[:, 2]).max() < 1e-12
    mask = pi.masks.random(bad.shape, 2, 0.3)
    errors = []
    for k in (bad, head[[0, 1, 3, 5]]):  # what the bad coils leave
        y, _, truth = undersampled(k, mask)
        A = linops.spirit_missing(calib.spirit_kernel(y, mask), mask, y.shape)
        errors.append(error(truth, rss(A.images(y, pi.solve(A, A.data(y), max_iter=30, tol=0).x))))
    assert errors[0] < 1.05 * errors[1]


def test_slices_and_calib_and_torch(head):
    import torch

    g = calib.spirit_kernel(head, calib_width=16)
    both = calib.spirit_kernel(np.stack([head, 2 * head]), calib_width=16)
    assert both.shape == (2, *g.shape)
    np.testing.assert_array_equal(both[0], g)
    block = head[:, 16:32, 12:28]
    assert testing.distance(calib.spirit_kernel(np.zeros_like(head), calib=block), g) < 1e-6
    given = calib.spirit_kernel(torch.from_numpy(head), calib_width=16)
    assert torch.is_tensor(given)
    np.testing.assert_array_equal(given.numpy(), g)


@pytest.mark.parametrize(("change", "options", "message"), [
    (None, {"kernel": (4, 5)}, "kernel must be two odd sizes"),
    (None, {"kernel": (5,)}, "kernel must be two odd sizes"),
    (None, {"kernel": 5}, "kernel must be a tuple"),
    (None, {"kernel": (5, 5), "calib_width": 4}, "calib_width"),
    (None, {"lam": -1}, "lam must be >= 0"),
    (None, {"lam": np.nan}, "lam must be finite"),
    (None, {"mask": np.ones((3, 3), bool)}, "mask has shape"),
    (None, {"mask": np.zeros((48, 40), bool)}, "mask is False everywhere"),
    (None, {"calib": np.ones((5, 9, 9), complex)}, "calib has 5 coils"),
    (None, {"calib": np.ones((6, 3, 9), complex)}, "fewer than the kernel"),
    ("nan", {}, "kspace holds NaN"), ("zero", {}, "kspace is zero everywhere"), ("hole", {}, "fully sampled samples"),
    ("flat", {}, "kspace has 2 dimensions")])
def test_bad_input_of_the_kernel(head, change, options, message):
    k = head.copy()
    if change == "nan":
        k[0, 0, 0] = np.nan
    elif change == "zero":
        k[:] = 0
    elif change == "hole":
        k[:, 24] = 0
    elif change == "flat":
        k = k[0]
    with pytest.raises((ValueError, TypeError), match=message):
        calib.spirit_kernel(k, **options)


# --- operators

def random_kernel(coils, size, dtype="complex128", seed=1):
    g = 0.3 * testing.random((coils, coils, *size), np.random.default_rng(seed), dtype)
    g[np.arange(coils), np.arange(coils), size[0] // 2, size[1] // 2] = 0
    return g


@pytest.mark.parametrize("shape", [(3, 9, 8), (2, 5, 6)])
@pytest.mark.parametrize("size", [(3, 5), (5, 3)])
def test_operator_is_the_convolution_in_both_domains(shape, size, rng):
    g, k = random_kernel(shape[0], size), testing.random(shape, rng, "complex128")
    theirs, F = convolved(k, g) - k, linops.fft(shape)
    assert testing.distance(linops.spirit(g, shape, "kspace")(k), theirs) < 1e-13
    assert testing.distance(F(linops.spirit(g, shape)(F.H(k))), theirs) < 1e-13
    assert testing.distance(linops.coil_filter(g, shape, "kspace")(k), convolved(k, g)) < 1e-13


@pytest.mark.parametrize("shape", [(2, 40, 37), (3, 100, 6)])
def test_norm_bound_holds_and_is_close(shape):
    A = linops.spirit(random_kernel(shape[0], (5, 3)), shape)
    y, x = ((np.arange(n) - n // 2) / n for n in shape[1:])
    exact = np.linalg.norm(A.matrices(y, x), 2, axis=(2, 3)).max()
    assert exact <= A.norm_bound() <= 1.05 * exact


def test_threads_do_not_change_bits(rng, monkeypatch):
    A = linops.spirit(random_kernel(8, (5, 5), "complex64"), (8, 96, 80))
    x = testing.random(A.ishape, rng)
    many = A(x), A.H(x), A.N(x)
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    for one, other in zip((A(x), A.H(x), A.N(x)), many):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [n for n in LINOPS if n.startswith("spirit-missing")])
def test_missing_solves_what_it_says(name, rng):
    """images() keeps the measured samples, and data() makes A z - b the inconsistency of the images."""
    A = LINOPS[name]("complex128")
    y, z = testing.random(A.oshape, rng, "complex128"), testing.random(A.ishape, rng, "complex128")
    x = A.images(y, z)
    k = backend.fft(x, (-2, -1))
    assert testing.distance(k * A.mask, y * A.mask) < 1e-13
    assert testing.distance(A(z) - A.data(y), A.consistency(x)) < 1e-12


@pytest.mark.parametrize("kind", ["ky", "kx", "points"])
def test_sampled_fft_is_the_masked_transform(kind, rng):
    mask = {"ky": rng.random((7, 1)) < 0.5, "kx": rng.random((1, 6)) < 0.5, "points": rng.random((7, 6)) < 0.5}[kind]
    x = testing.random((3, 7, 6), rng, "complex64")
    assert testing.distance(linops.sampled_fft(x.shape, mask)(x), mask * backend.fft(x, (-2, -1))) < 1e-6


@pytest.mark.parametrize(("make", "message"), [
    (lambda g, m: linops.spirit(g, (4, 9, 8)), "kernel's 3 coils"),
    (lambda g, m: linops.spirit(g, (3, 9)), "shape must be"),
    (lambda g, m: linops.spirit(g, (3, 2, 8)), "larger than k-space"),
    (lambda g, m: linops.spirit(g[..., :2], (3, 9, 8)), "kernel"),
    (lambda g, m: linops.spirit(g + 1, (3, 9, 8)), "0 at"),
    (lambda g, m: linops.spirit(g * np.nan, (3, 9, 8)), "kernel holds NaN"),
    (lambda g, m: linops.spirit(g, (3, 9, 8), "fourier"), "domain"),
    (lambda g, m: linops.spirit_encoding(g, m, (3, 9, 8), weight=0), "weight"),
    (lambda g, m: linops.spirit_encoding(g, m[:5], (3, 9, 8)), "mask has shape"),
    (lambda g, m: linops.spirit_encoding(g, m, (3, 9, 8)).data(np.ones((3, 9, 9))), "kspace has shape"),
    (lambda g, m: linops.spirit_encoding(g, m, (3, 9, 8)).data(np.full((3, 9, 8), np.nan)), "kspace holds NaN"),
    (lambda g, m: linops.spirit_missing(g, m | True, (3, 9, 8)), "nothing to reconstruct"),
    (lambda g, m: linops.spirit_missing(g, m & False, (3, 9, 8)), "no sample is left"),
    (lambda g, m: linops.spirit_missing(g, m, (3, 9, 8)).data(np.zeros((3, 9, 8))), "kspace is zero everywhere"),
    (lambda g, m: linops.sampled_fft((9, 8), m), "shape must be"),
    (lambda g, m: linops.sampled_fft((3, 9, 8), m & False), "no sample is left")])
def test_bad_input_of_the_operators(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(random_kernel(3, (3, 3)), np.arange(9)[:, None] % 2 == 0)


# --- reconstruction

def test_reconstruction_equals_scipys_lsqr_on_the_definition(head):
    """Least squares over the missing samples with the convolution tap by tap in k-space, by another solver."""
    from scipy.sparse.linalg import LinearOperator, lsqr

    mask = np.broadcast_to(pi.masks.random(head.shape, 3, 0.3), head.shape[1:])
    y = (head * mask).astype("complex128")
    g = calib.spirit_kernel(y, mask)
    back = g.conj().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]

    def place(z):
        k = np.zeros_like(y)
        k[:, ~mask] = z.reshape(len(y), -1)
        return k

    def forward(z):
        return (convolved(place(z), g) - place(z)).ravel()

    def adjoint(r):
        r = r.reshape(y.shape)
        return (convolved(r, back) - r)[:, ~mask].ravel()

    n = len(y) * int((~mask).sum())
    theirs = lsqr(LinearOperator((y.size, n), forward, adjoint, dtype=complex), -(convolved(y, g) - y).ravel(),
                  atol=0, btol=0, conlim=0, iter_lim=30)[0]
    A = linops.spirit_missing(g, mask, y.shape)
    for solver in (pi.LSQR(), pi.CG()):
        z = pi.solve(A, A.data(y), None, solver, max_iter=30, tol=0).x
        assert testing.distance(backend.fft(A.images(y, z), (-2, -1)), y + place(theirs)) < 1e-6


def test_a_small_penalty_is_hard_consistency(rng):
    """Where the kernel is a contraction, so that G - I is well conditioned, the two forms have one limit."""
    g, mask = 0.05 * random_kernel(3, (3, 3)), np.arange(12)[:, None] % 3 > 0
    y = testing.random((3, 12, 10), rng, "complex128") * mask
    hard = linops.spirit_missing(g, mask, y.shape)
    x = hard.images(y, pi.solve(hard, hard.data(y), max_iter=200, tol=1e-12).x)
    soft = linops.spirit_encoding(g, mask, y.shape, weight=1e-6)
    assert testing.distance(pi.solve(soft, soft.data(y), max_iter=2000, tol=1e-13).x, x) < 1e-5


SCANS = pytest.mark.parametrize("name", ["invivo_brain_cimax_16ch", "phantom_cimax_16ch"])


@SCANS
def test_real_scan_at_4x(name):
    """Plain SPIRiT beats CG-SENSE, joint l1-SPIRiT beats plain SPIRiT after Lustig's 30 iterations.

    The strength and the weight were chosen on a simulated scan (Colin27 seen by 16 of the neonatal coils).
    """
    y, mask, truth = real_scan(name)
    g = calib.spirit_kernel(y, mask)
    A = linops.spirit_missing(g, mask, y.shape)
    plain = error(truth, rss(A.images(y, pi.solve(A, A.data(y), max_iter=30, tol=0).x)))
    S = linops.sense(calib.espirit(y, mask=mask), mask)
    assert plain < error(truth, abs(pi.solve(S, y, 1e-3 * pi.Tikhonov(), max_iter=30).x))
    A = linops.spirit_encoding(g, mask, y.shape)
    sparse = pi.solve(A, A.data(y), 5e-4 * pi.L21() @ linops.wavelet(y.shape), pi.ADMM(), max_iter=20, tol=0)
    assert error(truth, rss(sparse.x)) < 0.95 * plain


def test_any_prior_goes_with_the_encoding(head):
    """Transforms with a prox, priors that split, and a denoiser of coil images."""
    mask = pi.masks.random(head.shape, 2, 0.3)
    y, _, truth = undersampled(head, mask)
    A = linops.spirit_encoding(calib.spirit_kernel(y, mask), mask, y.shape)
    b, zero_filled = A.data(y), error(truth, rss(backend.fft(y, (-2, -1), inverse=True)))
    for prior in (1e-3 * pi.Wavelet("haar"), 1e-3 * pi.TV(),
                  pi.PnP(lambda x, sigma: x / (1 + sigma**2), sigma=0.01)):
        assert error(truth, rss(pi.solve(A, b, prior, pi.ADMM(), max_iter=20).x)) < 0.8 * zero_filled


# --- structured low rank

def cadzow(x, rank, kernel):
    """The step with the Hankel matrix itself and its singular value decomposition."""
    k = backend.fft(x, (-2, -1))
    shifts = list(np.ndindex(*kernel))
    H = np.stack([np.roll(k, (-dy, -dx), (1, 2)) for dy, dx in shifts], 1).reshape(len(k) * len(shifts), -1).T
    U, S, V = np.linalg.svd(H, full_matrices=False)
    H = ((U[:, :rank] * S[:rank]) @ V[:rank]).T.reshape(len(k), len(shifts), *k.shape[1:])
    mean = sum(np.roll(H[:, i], shift, (1, 2)) for i, shift in enumerate(shifts)) / len(shifts)
    return backend.fft(mean, (-2, -1), inverse=True)


@pytest.mark.parametrize(("shape", "kernel", "rank"), [((3, 9, 8), (3, 3), 7), ((2, 12, 11), (2, 4), 5),
                                                      ((4, 32, 24), (5, 5), 30), ((1, 9, 9), (5, 5), 4)])
def test_structured_low_rank_is_cadzows_step(shape, kernel, rank, rng):
    import torch

    x = testing.random(shape, rng, "complex128")
    prior = pi.StructuredLowRank(rank, kernel=kernel)
    kept = x.copy()
    assert testing.distance(prior.prox(x, 1.0), cadzow(x, rank, kernel)) < 1e-12
    np.testing.assert_array_equal(x, kept)
    assert testing.distance(prior.prox(torch.from_numpy(x), 1.0).numpy(), prior.prox(x, 1.0)) < 1e-13
    assert prior.prox(x.astype("complex64"), 1.0).dtype == np.complex64
    for scale in (1e-20, 1e18):
        small = (scale * x).astype("complex64")
        assert testing.distance(prior.prox(small, 1.0) / np.float32(scale), prior.prox(x, 1.0)) < 1e-4


def test_few_points_are_a_fixed_point(rng):
    """An image of p points has k-space of p exponentials, whose Hankel matrix has rank p."""
    x = np.zeros((3, 16, 14), complex)
    for y, c in zip(rng.permutation(16)[:6], rng.permutation(14)[:6]):
        x[:, y, c] = testing.random((3,), rng)
    assert testing.distance(pi.StructuredLowRank(6).prox(x, 1.0), x) < 1e-12
    assert testing.distance(pi.StructuredLowRank(5).prox(x, 1.0), x) > 1e-3


def test_calibrationless_recovery():
    """Better than what is possible without calibration otherwise: zeros, or joint sparsity at its best strength."""
    kspace = pi.phantom.brain((64, 64), 8, noise=0.01).kspace
    y, mask, truth = undersampled(kspace, scattered((64, 64), 3))
    A = linops.sampled_fft(y.shape, mask)
    sparse = min(error(truth, rss(pi.solve(A, y, lam * pi.L21() @ linops.wavelet(y.shape), max_iter=50).x))
                 for lam in (1e-3, 3e-3, 1e-2, 3e-2))
    result = pi.solve(A, y, pi.StructuredLowRank(50), pi.FISTA(momentum=False), max_iter=60, tol=0)
    assert result.ok
    assert error(truth, rss(result.x)) < 0.8 * sparse < 0.8 * error(truth, rss(A.H(y)))


def scattered(shape, accel, seed=0):
    """Variable density without a full centre."""
    y, x = np.mgrid[-1:1:shape[0] * 1j, -1:1:shape[1] * 1j]
    density = np.clip(1 - np.hypot(y, x) / 1.5, 0.05, 1) ** 3
    return np.random.default_rng(seed).random(shape) < density / density.mean() / accel


@pytest.mark.parametrize(("make", "message"), [
    (lambda: pi.StructuredLowRank(0), "rank must be in 1"), (lambda: pi.StructuredLowRank(2.5), "rank must be a whole"),
    (lambda: pi.StructuredLowRank(3, kernel=5), "kernel must be a tuple"),
    (lambda: pi.StructuredLowRank(3, kernel=(5, 5, 5)), "kernel must be two sizes"),
    (lambda: pi.StructuredLowRank(3).prox(np.ones((4, 16), complex), 1), "coil images"),
    (lambda: pi.StructuredLowRank(3).prox(np.ones((4, 8, 16), complex), 1), "at least 9 x 9"),
    (lambda: pi.StructuredLowRank(101).prox(np.ones((4, 16, 16), complex), 1), "rank must be at most"),
    (lambda: 0.1 * pi.StructuredLowRank(3), "strength is rank")])
def test_bad_input_of_structured_low_rank(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_not_a_number_stays_visible():
    x = np.ones((2, 12, 12), complex)
    x[0, 0, 0] = np.nan
    assert np.isnan(pi.StructuredLowRank(3).prox(x, 1)).all()


def test_recovery_is_that_of_barts_sake(tmp_path):
    """The same algorithm but for the borders of k-space (BART's Hankel matrix does not wrap around)."""
    kspace = pi.phantom.brain((32, 32), 4, noise=0.01).kspace
    y, mask, truth = undersampled(kspace, scattered((32, 32), 2.5))
    bart(tmp_path, "sake", "-i", "50", "-s", "0.3", "k", "o", k=y[:, None])
    theirs = backend.fft(cfl.read_coils(tmp_path / "o.cfl"), (-2, -1), inverse=True)
    ours = pi.solve(linops.sampled_fft(y.shape, mask), y, pi.StructuredLowRank(43, kernel=(6, 6)),
                    pi.FISTA(momentum=False), max_iter=50, tol=0).x
    zero_filled = error(truth, rss(backend.fft(y, (-2, -1), inverse=True)))
    assert error(truth, rss(theirs)) < 0.8 * zero_filled  # it was called as it wants to be
    assert error(truth, rss(ours)) < 1.05 * error(truth, rss(theirs))
