"""Coil compression against LAPACK, BART and its own laws, and what it costs a reconstruction."""

import h5py
import numpy as np
import pytest
from conftest import data_path
from helpers import bart

from pisolve import calib, linops, phantom
from pisolve.backend import fft, to_numpy
from pisolve.io import cfl
from pisolve.linops.solve import cg_solve

COILS = 10
FULL = phantom.brain((48, 40), COILS, noise=0.01, seed=1).kspace
ROWS = np.zeros((48, 40), bool)
ROWS[::2] = ROWS[16:32] = True
KINDS = ("svd", "gcc")


def scan32(noise=0.05, seed=0):
    """(k-space, maps, image) of a simulated scan with 32 coils. The image peaks at 1 and the maps' root sum of squares
    is about 20, so the combined image has noise / 20."""
    with h5py.File(data_path("maps/neonatal_32ch.h5")) as file:
        mps, image = file["mps"][()], file["image"][()]
    image /= abs(image).max()
    rng = np.random.default_rng(seed)
    kspace = fft(mps * image, (-2, -1))
    kspace = kspace + noise * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
    return kspace.astype(np.complex64), mps, image


def lines(n, accel, centre=24):
    mask = np.zeros((n, 1), bool)
    mask[::accel] = mask[n // 2 - centre // 2:n // 2 + centre // 2] = True
    return mask


def cg_sense(mps, kspace, mask):
    A = linops.sense(mps, mask)
    b = A.H((kspace * mask).astype(np.complex64))
    return cg_solve(A.N, b, np.zeros_like(b), iterations=50, tol=1e-6)


def share(compressed, kspace):
    return (np.linalg.norm(compressed) / np.linalg.norm(kspace)) ** 2


def bart_cc(kspace, folder, *options):
    bart(folder, "cc", *options, "k", "out", k=kspace[:, None])
    return cfl.read_coils(folder / "out")


# ---- against other programs

@pytest.mark.parametrize("width", [24, None])
def test_svd_is_lapacks(width):
    block = FULL if width is None else FULL[:, 12:36, 8:32]
    U, s, _ = np.linalg.svd(block.reshape(COILS, -1).astype(np.complex128))
    C = calib.compression(FULL, coils=4, calib_width=width)
    np.testing.assert_allclose(abs(C.matrix @ U[:, :4]), np.eye(4), atol=1e-6)
    assert C.energy == pytest.approx((s[:4] ** 2).sum() / (s**2).sum(), rel=1e-6)


@pytest.mark.parametrize("virtual", [4, 8])
def test_svd_spans_what_barts_does(virtual, tmp_path):
    kspace, _, _ = scan32()
    kspace *= lines(128, 2)
    theirs = bart_cc(kspace, tmp_path, f"-p{virtual}", "-S", "-r24")
    ours = calib.compress(kspace, coils=virtual)
    a, b = (np.linalg.qr(x.reshape(virtual, -1).T)[0] for x in (ours, theirs))
    cosines = np.linalg.svd(a.conj().T @ b, compute_uv=False)  # of the angles between the two subspaces
    assert cosines.min() > 0.999
    assert share(ours, kspace) == pytest.approx(share(theirs, kspace), rel=1e-4)


@pytest.mark.parametrize(("virtual", "noise"), [(4, 0.005), (8, 0.005), (8, 0.2)])
def test_gcc_holds_as_much_signal_as_barts(virtual, noise, tmp_path):
    """Of the scan without its noise, which is what counts: BART's coils hold more of the noise."""
    kspace, clean = (scan32(level)[0] * lines(128, 2) for level in (noise, 0))
    bart(tmp_path, "cc", "-M", "-G", "-r24", "k", "matrix", k=kspace[:, None])
    bart(tmp_path, "ccapply", f"-p{virtual}", "-G", "clean", "matrix", "out", clean=clean[:, None])
    theirs = cfl.read(tmp_path / "out")
    ours = calib.compression(kspace, coils=virtual, by="gcc")(clean)
    assert share(ours, clean) > share(theirs, clean) - 1e-4


def test_gcc_of_one_position_is_its_svd():
    """Where noise cannot explain anything, each position has the eigenvectors of its own window."""
    clean = phantom.brain((48, 40), COILS).kspace.astype(np.complex128)
    C = calib.compression(clean, coils=3, by="gcc", window=1, calib_width=None)
    hybrid = fft(clean, (-1,), inverse=True)
    for x in (15, 20, 26):
        s = np.linalg.svd(hybrid[:, :, x], compute_uv=False)
        held = np.linalg.norm(C.matrix[x] @ hybrid[:, :, x]) ** 2
        assert held > 0.999 * (s[:3] ** 2).sum()


# ---- laws

@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("virtual", [1, 4, COILS])
def test_rows_are_orthonormal_so_white_noise_stays_white(by, virtual):
    C = calib.compression(FULL, coils=virtual, by=by)
    M = C.matrix.reshape(-1, virtual, COILS)
    np.testing.assert_allclose(M @ M.conj().swapaxes(1, 2), np.broadcast_to(np.eye(virtual), (len(M), *2 * [virtual])),
                               atol=1e-12)
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((8, COILS, 48, 40, 2)) / np.sqrt(2)).view(np.complex128)[..., 0]
    virtual_noise = np.moveaxis(C(noise), 1, 0).reshape(virtual, -1)
    assert abs(calib.noise_covariance(virtual_noise) - np.eye(virtual)).max() < 0.05


@pytest.mark.parametrize("by", KINDS)
def test_all_coils_keep_everything(by):
    C = calib.compression(FULL, coils=COILS, by=by)
    assert C.energy == pytest.approx(1, abs=1e-12)
    hybrid, virtual = (np.linalg.norm(fft(x, (-1,), inverse=True), axis=0) for x in (FULL, C(FULL)))
    np.testing.assert_allclose(virtual, hybrid, rtol=1e-4, atol=1e-5 * hybrid.max())


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.999, 1.0])
def test_as_few_coils_as_the_energy_needs(by, energy):
    C = calib.compression(FULL, energy=energy, by=by, calib_width=None)
    virtual = C.matrix.shape[-2]
    assert C.energy >= energy - 1e-9
    assert share(C(FULL), FULL) == pytest.approx(C.energy, abs=1e-5)
    if virtual > 1:
        assert calib.compression(FULL, coils=virtual - 1, by=by, calib_width=None).energy < energy


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("by", KINDS)
def test_maps_and_kspace_are_compressed_alike(by, axis):
    """F maps(I) = C(F I): what a reconstruction from virtual coils rests on."""
    C = calib.compression(FULL, coils=5, by=by, axis=axis)
    images = fft(FULL, (-2, -1), inverse=True)
    np.testing.assert_allclose(fft(C.maps(images), (-2, -1)), C(FULL), atol=1e-5 * abs(FULL).max())


def test_readout_along_ky_is_the_transpose():
    turned = np.ascontiguousarray(FULL.swapaxes(1, 2))
    np.testing.assert_allclose(calib.compress(turned, coils=4, by="gcc", axis=-2),
                               calib.compress(FULL, coils=4, by="gcc").swapaxes(1, 2), atol=1e-4)


def test_matrices_turn_slowly_along_the_readout():
    M = calib.compression(FULL, coils=5, by="gcc").matrix
    loose = np.linalg.norm(np.diff(M, axis=0), axis=(1, 2))
    overlap = np.linalg.svd(M[1:] @ M[:-1].conj().swapaxes(1, 2), compute_uv=False)
    least = np.sqrt(np.maximum(2 * (5 - overlap.sum(1)), 0))  # min over unitary U of ||U M(x) - M(x - 1)||
    np.testing.assert_allclose(loose, least, atol=1e-6)


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("change", ["scale 1e-20", "scale 1e20", "mask", "mask is data", "strided", "calib", "torch"])
def test_law(by, change):
    kspace, options = FULL * ROWS, {}
    expected = calib.compress(kspace, coils=4, by=by)
    factor = np.float32(change.split()[-1]) if change.startswith("scale") else np.float32(1)
    if change == "mask":
        kspace, options = FULL, {"mask": ROWS}
        expected = calib.compression(FULL * ROWS, coils=4, by=by)(FULL)
    elif change == "mask is data":
        options = {"mask": ROWS}
    elif change == "strided":
        kspace = np.asfortranarray(kspace)[:, :, ::-1][:, :, ::-1]
    elif change == "calib":
        options = {"calib": kspace[:, 12:36] if by == "gcc" else kspace[:, 12:36, 8:32]}
    elif change == "torch":
        kspace = pytest.importorskip("torch").from_numpy(kspace)
    before = to_numpy(kspace).copy()
    given = kspace if factor == 1 else kspace * factor
    found = calib.compress(given, coils=4, by=by, **options)
    assert type(found) is type(kspace)
    assert to_numpy(found).dtype == np.complex64
    np.testing.assert_allclose(to_numpy(found) / factor, expected, atol=2e-5 * abs(expected).max())
    np.testing.assert_array_equal(to_numpy(kspace), before)
    np.testing.assert_array_equal(to_numpy(found), to_numpy(calib.compress(given, coils=4, by=by, **options)))


@pytest.mark.parametrize("by", KINDS)
def test_slices_share_one_matrix(by):
    volume = np.stack([FULL, phantom.brain((48, 40), COILS, anatomy=2, noise=0.01).kspace])
    C = calib.compression(volume, coils=5, by=by)
    out = C(volume)
    assert out.shape == (2, 5, 48, 40)
    np.testing.assert_allclose(out[1], C(volume[1]), atol=1e-6)
    np.testing.assert_allclose(C.maps(volume)[0], C.maps(volume[0]), atol=1e-6)
    if by == "svd":
        flat = np.moveaxis(volume[:, :, 12:36, 8:32], 1, 0).reshape(COILS, -1)
        np.testing.assert_allclose(abs(C.matrix @ np.linalg.svd(flat)[0][:, :5]), np.eye(5), atol=1e-3)


@pytest.mark.parametrize("by", KINDS)
def test_dead_and_duplicate_coils(by):
    odd = FULL.copy()
    odd[3], odd[5] = 0, odd[4]
    C = calib.compression(odd, coils=COILS, by=by)
    assert np.isfinite(C(odd)).all()
    few = calib.compression(odd, coils=4, by=by)
    assert abs(few.matrix[..., 3]).max() < 1e-12
    assert abs(few.matrix[..., 4] - few.matrix[..., 5]).max() < 1e-6


def test_samples_not_measured_stay_zero():
    out = calib.compress(FULL * ROWS, coils=4, by="gcc")
    assert not out[:, ~ROWS].any()


# ---- what it costs a reconstruction

@pytest.fixture(scope="module")
def costs():
    """(noise, acceleration, kind, coils) -> relative increase of CG-SENSE's error by compression, true maps."""
    out = {}
    for noise in (0.005, 0.05, 0.2):
        kspace, mps, image = scan32(noise, seed=1)
        for accel in (2, 3):
            mask = lines(128, accel)
            error = lambda x: np.linalg.norm(x - image)  # noqa: B023, E731
            base = error(cg_sense(mps, kspace, mask))
            for by, virtual in (("svd", 8), ("gcc", 8), ("gcc", 12)):
                C = calib.compression(kspace * mask, coils=virtual, by=by)
                found = cg_sense(C.maps(mps), C(kspace * mask), mask)
                out[noise, accel, by, virtual] = error(found) / base - 1
    return out


def test_32_coils_to_8_keep_99_percent():
    kspace, _, _ = scan32(0.05)
    for by in KINDS:
        assert calib.compression(kspace * lines(128, 2), coils=8, by=by).energy > 0.99


@pytest.mark.parametrize(("noise", "accel", "coils", "most"), [
    (0.005, 2, 8, 0.013), (0.005, 2, 12, 0.01), (0.05, 2, 12, 0.01), (0.05, 2, 8, 0.02), (0.2, 2, 8, 0.035),
    (0.05, 3, 8, 0.06), (0.2, 3, 8, 0.10), (0.05, 3, 12, 0.025)])
def test_gcc_costs_little_and_less_than_svd(costs, noise, accel, coils, most):
    """The aim of 1 % is met by 12 coils at R = 2 and nearly by 8 without noise; 8 coils cost more than that with noise,
    where the matrices of single positions have to be estimated from few noisy samples, and at R = 3."""
    assert costs[noise, accel, "gcc", coils] < most
    assert costs[noise, accel, "gcc", 8] < costs[noise, accel, "svd", 8]


# ---- errors at the door

NAN = FULL.copy()
NAN[1, 0, 0] = np.nan
HOLES = FULL.copy()
HOLES[:, :, ::3] = 0
BAD = {
    "zero": ((0 * FULL,), {}, "zero everywhere"),
    "nan": ((NAN,), {}, "NaN"),
    "axes": ((FULL[0],), {}, "dimensions"),
    "too many": ((FULL,), {"coils": 11}, "only 10"),
    "none": ((FULL,), {"coils": 0}, "coils must be"),
    "both": ((FULL,), {"coils": 4, "energy": 0.9}, "not both"),
    "no energy": ((FULL,), {"energy": 0}, "energy must be > 0"),
    "too much energy": ((FULL,), {"energy": 1.1}, "energy must be <= 1"),
    "by": ((FULL,), {"by": "rovir"}, "by must be one of"),
    "axis": ((FULL,), {"axis": 0}, "axis must be one of"),
    "readout with holes": ((HOLES,), {"by": "gcc"}, "not fully sampled along the readout"),
    "calib coils": ((FULL,), {"calib": FULL[:3]}, "calib has 3 coils"),
    "calib readout": ((FULL,), {"calib": FULL[..., :20], "by": "gcc"}, "calib has 20 samples along"),
    "no centre": ((FULL * (abs(np.arange(40) - 20) > 15),), {"calib_width": 8}, "zero in its centre"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    args, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        calib.compression(*args, **options)


@pytest.mark.parametrize(("x", "message"), [
    (FULL[:4], "4 coils, the compression is for 10"), (FULL[..., :20], "20 samples along axis -1"),
    (FULL[0], "dimensions"), (NAN, "NaN")])
def test_other_data_has_to_fit(x, message):
    C = calib.compression(FULL, coils=4, by="gcc")
    for apply in (C, C.maps):
        with pytest.raises(ValueError, match=message):
            apply(x)
