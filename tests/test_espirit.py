"""ESPIRiT against SigPy, BART, LAPACK and its own laws."""

import sys
import tracemalloc

import h5py
import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from conftest import data_path
from helpers import LAWS, difference, ecalib, residual, simulate, support

from pisolve import metrics, phantom
from pisolve.backend import to_numpy
from pisolve.calib import _espirit_kernels, espirit
from pisolve.calib._eig import dominant
from pisolve.calib._espirit_kernels import _noise

MODULE = sys.modules["pisolve.calib.espirit"]


@pytest.fixture(scope="module")
def kspace():
    return simulate()


@pytest.fixture(scope="module")
def mps(kspace):
    return espirit(kspace)


def invivo():
    with h5py.File(data_path("kspace/invivo_brain_cimax_16ch.h5")) as file:
        return file["kspace"][0]


# ---- against other programs

def test_equals_sigpy_in_vivo():
    kspace = invivo()
    ours, theirs = espirit(kspace, crop=0.95), mr.app.EspiritCalib(kspace, show_pbar=False).run()
    assert difference(ours, theirs) < 1e-4
    assert (support(ours) != support(theirs)).sum() <= 2


def test_equals_sigpy_where_sigpy_has_settled():
    kspace = simulate(12, (64, 72))
    half, full = (mr.app.EspiritCalib(kspace, show_pbar=False, max_iter=n).run() for n in (50, 100))
    settled = np.linalg.norm(half - full, axis=0) < 1e-5
    assert settled.mean() > 0.9
    ours = espirit(kspace, crop=0.95)
    assert difference(ours, full, settled) < 1e-4
    assert ((support(ours) != support(full)) & settled).sum() <= 2


@pytest.mark.parametrize("crop", [0.8, 0.95])
def test_near_bart_in_vivo(crop, tmp_path):
    kspace = invivo()
    ours, theirs = espirit(kspace, crop=crop), ecalib(kspace, tmp_path, f"-c{crop}")
    common = support(ours) & support(theirs)
    assert difference(ours, theirs) < 2e-2
    assert common.sum() > 0.98 * support(theirs).sum()
    assert residual(ours, kspace, common) < 1.01 * residual(theirs, kspace, common)


def test_soft_crop_is_barts(tmp_path):
    kspace = simulate(shape=(65, 72))  # no singular value on the threshold, where rounding would choose
    ours, theirs = espirit(kspace, crop=0.8, soft_crop=True), ecalib(kspace, tmp_path, "-S", "-c0.8")
    assert np.abs(np.linalg.norm(ours, axis=0) - np.linalg.norm(theirs, axis=0)).max() < 2e-3


@pytest.mark.parametrize(("kernel", "width", "coils"), [(6, 24, 6), (5, 16, 3), (3, 24, 4)])
def test_equals_the_definition(kernel, width, coils):
    """G(r) pixel by pixel from the SVD of the calibration matrix, in double precision."""
    kspace = simulate(coils, noise=3e-3).astype(np.complex128)
    ny, nx = kspace.shape[1:]
    centre = sp.resize(kspace, (coils, width, width))
    A = sp.array_to_blocks(centre, [kernel] * 2, [1, 1]).reshape(coils, -1, kernel**2).transpose(1, 0, 2)
    _, s, VH = np.linalg.svd(A.reshape(len(A), -1), full_matrices=False)
    V = VH[s > 0.02 * s[0]].reshape(-1, coils, kernel, kernel)
    tap = np.arange(kernel)
    ours = espirit(kspace, kernel_width=kernel, calib_width=width, crop=0.95)
    for y, x in [(ny // 2, nx // 2), (20, 40), (60, 33), (3, 5), (0, 0), (95, 80)]:
        wave = np.exp(2j * np.pi * ((y - ny // 2) * tap[:, None] / ny + (x - nx // 2) * tap / nx))
        K = (V * wave).sum((2, 3)).T / kernel
        lam, v = np.linalg.eigh(K @ K.conj().T)
        assert lam[-1] < 1 + 1e-9
        expected = v[:, -1] if lam[-1] > 0.95 else np.zeros(coils)
        assert np.linalg.norm(ours[:, y, x]) == pytest.approx(np.linalg.norm(expected), abs=1e-9)
        assert abs(np.vdot(expected, ours[:, y, x])) == pytest.approx(np.linalg.norm(expected) ** 2, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("c", [1, 2, 7, 48])
def test_dominant_is_lapack(c, dtype, rng):
    n = 60
    Q = np.linalg.qr(rng.standard_normal((n, c, c)) + 1j * rng.standard_normal((n, c, c)))[0]
    values = np.sort(rng.random((n, c)), axis=1)
    if c > 1:  # all gaps, easy to hopeless
        values[:, -2] = values[:, -1] * np.repeat([0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-4], n // 6)
        values[:, :-2] = np.minimum(values[:, :-2], values[:, -2:-1])
    G = ((Q * values[:, None]) @ Q.conj().swapaxes(1, 2)).astype(dtype)
    G[0] = 0
    before = G.copy()
    lam, v = dominant(G, tol=1e-5 if dtype == np.complex64 else 1e-10)
    np.testing.assert_array_equal(G, before)
    assert lam[0] == 0
    assert not v[0].any()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(lam[1:], values[1:, -1], rtol=200 * eps)
    gap = 1 - values[1:, -2] / values[1:, -1] if c > 1 else np.ones(n - 1)
    q, v = Q[1:, :, -1], v[1:]
    sine = np.linalg.norm(v - q * (q.conj() * v).sum(1, keepdims=True), axis=1)
    assert (sine < (1e-5 if dtype == np.complex64 else 1e-10) + 20 * eps / gap).all()
    assert dominant(G, floor=1e9)[0].max() == 0


# ---- the threshold of the noise

@pytest.mark.parametrize(("rows", "columns"), [(300, 500), (500, 300), (400, 400)])
@pytest.mark.parametrize("rank", [0, 5, 60])
def test_noise_floor_is_marchenko_and_pasturs(rows, columns, rank, rng):
    """sigma (sqrt(rows) + sqrt(columns)), of a matrix of low rank in noise of sigma = 3 that is not told."""
    A = 100 * rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    A = A + 3 / np.sqrt(2) * (rng.standard_normal(A.shape) + 1j * rng.standard_normal(A.shape))
    s = np.linalg.svd(A, compute_uv=False)
    edge = _noise(s[::-1] ** 2, rows, columns) * s[0]
    assert edge == pytest.approx(min(3 * (np.sqrt(rows) + np.sqrt(columns)), s[0]), rel=0.02)
    assert rank <= (s > edge).sum() <= rank + 1


@pytest.mark.parametrize(("noise", "lines", "better"), [
    (0.005, 24, 1.3), (0.005, 8, 1.5), (0.02, 24, 0.97), (0.02, 8, 1), (0.1, 24, 1.3), (0.1, 8, 2), (0, 8, 1.5)])
def test_automatic_threshold_finds_truer_maps(noise, lines, better):
    """The sine of the angle to the true maps at three levels of noise: 0.02 is good for one of them."""
    brain = phantom.brain((128, 128), 12, noise=noise)
    true = brain.mps / np.linalg.norm(brain.mps, axis=0)
    body = metrics.body(brain.image)

    def error(thresh):
        mps = espirit(brain.kspace * (abs(np.arange(128) - 63.5) < lines / 2)[:, None], thresh=thresh)
        seen = support(mps) & body
        assert seen.sum() > 0.99 * body.sum()
        return np.sqrt(1 - np.minimum(abs((true.conj() * mps).sum(0))[seen], 1) ** 2).mean()

    assert better * error("auto") < error(0.02)


def test_automatic_threshold_of_volumes_and_with_dead_coils(kspace, monkeypatch):
    mps = espirit(kspace, thresh="auto")
    with_dead = espirit(np.insert(kspace, 2, 0, axis=0), thresh="auto")
    assert difference(np.delete(with_dead, 2, 0), mps) < 1e-4
    assert not with_dead[2].any()
    monkeypatch.setattr(_espirit_kernels, "WHOLE", 10)
    assert difference(espirit(kspace, thresh="auto"), mps) < 1e-4


# ---- laws

def test_maps_are_normalised_inside_and_zero_outside(kspace, mps):
    inside = support(mps)
    assert mps.shape == kspace.shape
    assert mps.dtype == np.complex64
    assert 0.1 < inside.mean() < 0.99
    np.testing.assert_allclose((abs(mps) ** 2).sum(0)[inside], 1, rtol=1e-5)
    assert residual(mps, kspace, inside) < 0.05


def test_phase_is_that_of_the_virtual_coil(kspace, mps):
    centre = sp.resize(kspace, (len(kspace), 24, 24)).reshape(len(kspace), -1)
    u = np.linalg.svd(centre)[0][:, 0]
    u *= abs(u).max() / u[abs(u).argmax()]
    virtual = (u.conj()[:, None, None] * mps).sum(0)[support(mps)]
    assert virtual.real.min() > 0
    assert abs(np.angle(virtual)).max() < 1e-4


LAWS = LAWS | {"readout beyond the centre not measured": (
    lambda k: sp.resize(sp.resize(k, (6, 30, 24)), k.shape), lambda s: s)}


@pytest.mark.parametrize("law", LAWS)
def test_law(law, kspace, mps):
    change, expected = LAWS[law]
    changed = change(kspace)
    before = changed.copy()
    ours, expected = espirit(changed), expected(mps)
    assert (changed == before).all()
    assert (support(ours) != support(expected)).sum() <= 2
    common = support(ours) & support(expected)
    np.testing.assert_allclose(ours[:, common], expected[:, common], atol=2e-4)


def test_inputs_of_all_kinds(kspace, mps):
    torch = pytest.importorskip("torch")
    assert (espirit(kspace) == mps).all()
    double = espirit(kspace.astype(np.complex128))
    assert double.dtype == np.complex128
    assert difference(mps, double) < 1e-5
    tensor = espirit(torch.from_numpy(kspace))
    assert isinstance(tensor, torch.Tensor)
    assert (to_numpy(tensor) == mps).all()
    volume = espirit(np.stack([kspace, 2 * kspace[::-1]]))
    assert (volume[0] == mps).all()
    assert (volume[1] == espirit(2 * kspace[::-1])).all()


def test_calib_and_mask(kspace, mps):
    part = sp.resize(kspace, (6, 24, 24))
    under = kspace.copy()
    under[:, ::2] = 0
    assert (espirit(under, calib=part) == mps).all()
    mask = np.zeros((96, 1), bool)
    mask[38:58] = True  # 20 lines
    assert (espirit(kspace, mask=mask) == espirit(kspace * mask)).all()
    assert difference(espirit(kspace, mask=mask), mps) < 0.05


def test_one_coil_and_small_images(kspace):
    one = espirit(kspace[:1])
    assert one.real.max() == pytest.approx(1, abs=1e-5)
    assert abs(one.imag).max() < 1e-5
    small = sp.resize(kspace, (6, 15, 17))
    assert (espirit(small, calib_width=24) == espirit(small, calib_width=100)).all()
    assert np.isfinite(espirit(small, crop=0, thresh=0)).all()
    noise = np.random.default_rng(0).standard_normal((4, 30, 31)).astype(np.float32)
    assert np.isfinite(espirit(noise, crop=0.5)).all()


def test_order_and_number_of_blocks_do_not_matter(kspace, mps, monkeypatch):
    monkeypatch.setattr(MODULE, "parallel", lambda work, items: [work(i) for i in reversed(list(items))])
    assert (espirit(kspace) == mps).all()
    monkeypatch.setattr(MODULE, "BLOCK", 5000)
    assert difference(espirit(kspace), mps) < 1e-5
    monkeypatch.setattr(MODULE, "GEMM", 1000)
    assert difference(espirit(kspace), mps) < 1e-5


def test_memory_stays_far_below_the_matrix_of_every_pixel():
    kspace = simulate(16, (256, 256))
    tracemalloc.start()
    espirit(kspace)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 16 * 16 * 256 * 256 * 8


# ---- errors at the door

K = simulate(3, (40, 40))
HOLE = K.copy()
HOLE[:, 20, 20] = 0
NOISE = np.random.default_rng(0).standard_normal((8, 40, 40)).astype(np.float32)
NAN = K.copy()
NAN[1, 0, 0] = np.nan
BAD = {
    "zero": ((0 * K,), {}, "kspace is zero"),
    "nan": ((NAN,), {}, "NaN"),
    "axes": ((K[0],), {}, "dimensions"),
    "no centre": ((HOLE,), {}, "kspace needs at least 3 x 3 .* calib="),
    "slice without centre": ((np.stack([K, HOLE]),), {}, "slice 1 needs"),
    "mask without centre": ((K,), {"mask": np.arange(40)[:, None] % 2}, "fully sampled"),
    "mask of other size": ((K,), {"mask": np.ones((39, 1))}, "mask has shape"),
    "mask of weights": ((K,), {"mask": np.full((40, 40), 2)}, "other values than 0 and 1"),
    "mask over holes": ((K * (abs(np.arange(40) - 20) > 15),), {"mask": np.ones((40, 40))}, "mask marks samples"),
    "kernel": ((K,), {"kernel_width": 0}, "kernel_width"),
    "narrow": ((K,), {"calib_width": 5, "kernel_width": 6}, "calib_width must be at least kernel_width = 6"),
    "thresh": ((K,), {"thresh": 1.0}, "thresh"),
    "thresh word": ((K,), {"thresh": "automatic"}, "thresh must be one of auto"),
    "noise, automatic thresh": ((NOISE,), {"thresh": "auto"}, "kspace gives maps .* zero"),
    "crop": ((K,), {"crop": 1.5}, "crop"),
    "crop sign": ((K,), {"crop": -0.1}, "crop"),
    "nothing above crop": ((NOISE,), {"calib_width": 8, "kernel_width": 6},
                           r"kspace gives maps .* zero .* crop = 0.8.*\(8 x 8 .* kernel 6"),
    "nothing above crop in slice 1": ((np.stack([simulate(8, (40, 40)), NOISE]),),
                                      {"calib_width": 10, "kernel_width": 6},
                                      "slice 1 gives maps .* lower crop or thresh, or give calib=... or mps"),
    "nothing above crop, soft": ((NOISE,), {"calib_width": 8, "kernel_width": 6, "soft_crop": True, "crop": 0.99},
                                 "zero everywhere"),
    "no sets": ((K,), {"sets": 0}, "sets must be in 1.., got 0"),
    "more maps than coils": ((K,), {"sets": 4}, "sets = 4 .* 3 coils"),
    "ndim": ((K,), {"ndim": 4}, "ndim must be one of 2, 3"),
    "volume of three axes": ((K,), {"ndim": 3}, "kspace has 3 dimensions"),
    "volume with slices": ((np.stack([K[None]] * 9),), {"ndim": 3}, "kspace has 5 dimensions"),
    "flat volume": ((K[:, None],), {"ndim": 3}, "kspace needs at least 3 x 3 x 3"),
    "weights for a volume": ((np.stack([K] * 9, 1),), {"ndim": 3, "mask": -np.ones((9, 40, 40))}, "0 and 1"),
    "mask of a slice for a volume": ((np.stack([K] * 9, 1),), {"ndim": 3, "mask": np.ones((40, 40))},
                                     "mask has shape .* all three axes"),
    "calib coils": ((K,), {"calib": K[:2]}, "calib has shape"),
    "calib small": ((K,), {"calib": K[:, :5], "kernel_width": 6}, "calib needs at least"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    args, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        espirit(*args, **options)


def test_a_list_is_refused():
    with pytest.raises(TypeError, match="kspace must be"):
        espirit([[1, 2]])
