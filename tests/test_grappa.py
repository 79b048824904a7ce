"""GRAPPA against pygrappa, its formulas and real scans."""

import warnings

import h5py
import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from conftest import data_path

import pisolve as pi
from pisolve import calib, linops
from pisolve.backend import fft
from pisolve.calib import GrappaWeights, grappa
from pisolve.calib._geometry import geometries, lattice_of
from pisolve.calib.region import gram, neighbourhoods
from pisolve.testing import distance

SHAPE = (48, 41)  # one even, one odd


def simulate(coils=6, shape=SHAPE, noise=1e-3, seed=0):
    """K-space of a phantom seen by birdcage coils of unequal gain."""
    rng = np.random.default_rng(seed)
    gain = rng.uniform(0.8, 1.2, coils) * np.exp(2j * np.pi * rng.random(coils))
    kspace = sp.fft(mr.birdcage_maps((coils, *shape)) * gain[:, None, None] * sp.shepp_logan(shape), axes=(-2, -1))
    kspace += noise * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
    return kspace.astype(np.complex64)


def lattice(shape, ry=1, rx=1, shift=0, offset=0):
    """Every ry-th line from `offset`, every rx-th column, moved by `shift` from line to line."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    step, rest = np.divmod(y - offset, ry)
    return (rest == 0) & ((x - shift * step) % rx == 0)


def centre(shape, height=None, width=None):
    """Slices of a centred block."""
    return tuple(slice(n // 2 - (s or n) // 2, n // 2 - (s or n) // 2 + (s or n)) if s else slice(None)
                 for n, s in zip(shape, (height, width)))


def with_lines(mask, height=None, width=None):
    mask = mask.copy()
    mask[centre(mask.shape, height, width)] = True
    return mask


MASKS = {  # name: (mask, its calibration block)
    "r2": (with_lines(lattice(SHAPE, 2), 16), (16, None)),
    "r3": (with_lines(lattice(SHAPE, 3, offset=1), 16), (16, None)),
    "r4": (with_lines(lattice(SHAPE, 4, offset=2), 16), (16, None)),
    "kx": (with_lines(lattice(SHAPE, 1, 3), None, 15), (None, 15)),
    "2x2": (with_lines(lattice(SHAPE, 2, 2), 16, 15), (16, 15)),
    "3x2": (with_lines(lattice(SHAPE, 3, 2), 16, 15), (16, 15)),
    "caipi": (with_lines(lattice(SHAPE, 2, 2, 1), 16, 15), (16, 15)),
    "random-lines": (with_lines(np.random.default_rng(0).random((48, 1)) < np.full(SHAPE, 0.4), 16), (16, None)),
    "random-points": (with_lines(np.random.default_rng(1).random(SHAPE) < 0.5, 16, 15), (16, 15)),
}
ALL = pytest.mark.parametrize("name", MASKS)


def case(name, coils=6):
    kspace, (mask, block) = simulate(coils), MASKS[name]
    return kspace, mask, kspace[(slice(None), *centre(SHAPE, *block))].copy()


def silent(*args, **options):
    """Weights without the warnings about R and the window's reach, which other tests are for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "acceleration|.* stay 0")
        return grappa(*args, **options)


def rss(kspace):
    return np.linalg.norm(fft(kspace, (-2, -1), inverse=True), axis=-3)


# ---- against other programs and formulas


@ALL
@pytest.mark.parametrize("kernel", [(5, 5), (7, 3)])
def test_equals_pygrappa(name, kernel):
    pygrappa = pytest.importorskip("pygrappa")
    if name == "random-points" and kernel != (5, 5):
        pytest.skip("pygrappa takes seconds")
    kspace, mask, block = case(name)
    theirs = pygrappa.mdgrappa(kspace * mask, calib=block, kernel_size=kernel, coil_axis=0, lamda=0.01)
    ours = silent(kspace * mask, mask, block, kernel, padded=True)(kspace * mask)
    assert distance(ours, theirs) < 1e-5


@ALL
def test_one_hole_is_the_ridge_of_its_own_windows(name):
    kspace, mask, block = case(name, 3)
    kspace, block = kspace.astype(complex), block.astype(complex)
    kernel, lam = (5, 3), 0.02
    filled = silent(kspace, mask, block, kernel, lam)(kspace)
    rng = np.random.default_rng(0)
    holes = np.argwhere(~mask)
    for y, x in holes[rng.choice(len(holes), 12)]:
        seen = [(dy, dx) for dy in range(-2, 3) for dx in range(-1, 2)
                if 0 <= y + dy < SHAPE[0] and 0 <= x + dx < SHAPE[1] and mask[y + dy, x + dx]]
        if not seen:
            assert not filled[:, y, x].any()
            continue
        rows, columns = block.shape[1] - 4, block.shape[2] - 2
        A = np.stack([block[:, 2 + dy:2 + dy + rows, 1 + dx:1 + dx + columns] for dy, dx in seen])
        A = A.reshape(-1, rows * columns).T
        t = block[:, 2:2 + rows, 1:1 + columns].reshape(3, -1).T
        B = A.conj().T @ A
        w = np.linalg.solve(B + lam * np.linalg.norm(B) / len(B) * np.eye(len(B)), A.conj().T @ t)
        near = np.stack([kspace[:, y + dy, x + dx] for dy, dx in seen]).reshape(-1)
        np.testing.assert_allclose(filled[:, y, x], near @ w, rtol=1e-8)


@pytest.mark.parametrize("kernel", [(5, 5), (4, 3), (1, 3), (9, 2), (9, 1)])
def test_gram(kernel, rng):
    block = rng.standard_normal((3, 9, 11)) + 1j * rng.standard_normal((3, 9, 11))
    A = neighbourhoods(block, kernel)
    np.testing.assert_allclose(gram(block, kernel), A.conj().T @ A, atol=1e-12)


@pytest.mark.parametrize("kernel", [(5, 5), (3, 7), (15, 5), (4, 2), (1, 9)])
def test_geometries_are_the_distinct_windows(kernel, rng):
    mask = rng.random((23, 19)) < 0.2
    patterns, holes, blind = geometries(mask, kernel)
    padded = np.pad(mask, [(k // 2, k - 1 - k // 2) for k in kernel])
    found = np.full(mask.size, -1)
    for g, (pattern, at) in enumerate(zip(patterns, holes)):
        for y, x in np.stack(np.unravel_index(at, mask.shape), 1):
            np.testing.assert_array_equal(padded[y:y + kernel[0], x:x + kernel[1]].ravel(), pattern)
        found[at] = g
    assert len(np.unique(patterns, axis=0)) == len(patterns)
    found[blind] = 0
    np.testing.assert_array_equal(found == -1, mask.ravel())


# ---- its own laws


@ALL
def test_measured_samples_stay_and_the_rest_is_not_read(name, rng):
    kspace, mask, block = case(name)
    kept = kspace.copy()
    weights = silent(kspace, mask, block)
    full = weights(kspace)
    np.testing.assert_array_equal(kspace, kept)
    np.testing.assert_array_equal(full[:, mask], kspace[:, mask])
    np.testing.assert_array_equal(weights(kspace * mask), full)
    assert distance(full, kspace) < 0.6 * distance(kspace * mask, kspace)  # some holes of the random lines stay 0


def test_a_full_mask_changes_nothing_and_needs_no_fit():
    kspace = simulate()
    weights = grappa(kspace)
    assert weights.matrices == ()
    np.testing.assert_array_equal(weights(kspace), kspace)


def test_no_mask_is_where_kspace_is_not_zero():
    kspace, mask, _ = case("r2")
    np.testing.assert_array_equal(grappa(kspace * mask)(kspace * mask), grappa(kspace, mask)(kspace))


def test_coil_permutation():
    kspace, mask, _ = case("r3")
    order = np.random.default_rng(0).permutation(6)
    assert distance(grappa(kspace[order], mask)(kspace[order]), grappa(kspace, mask)(kspace)[order]) < 1e-5


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_any_scale(scale):
    kspace, mask, _ = case("r3")
    tiny = (kspace * scale).astype(np.complex64)
    assert distance(grappa(tiny, mask)(tiny) / np.float32(scale), grappa(kspace, mask)(kspace)) < 1e-4


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_torch_and_frames(dtype):
    torch = pytest.importorskip("torch")
    kspace, mask, _ = case("2x2")
    kspace = kspace.astype(dtype)
    weights = silent(torch.from_numpy(kspace), torch.from_numpy(mask))
    assert all(W.dtype == dtype for W in weights.matrices)
    frames = np.stack([kspace, 2j * kspace])
    full = weights(torch.from_numpy(frames))
    assert full.dtype == getattr(torch, dtype)
    assert distance(full, weights(frames)) < 1e-6
    assert distance(weights(frames)[1], 2j * weights(kspace)) < 1e-6
    x = torch.from_numpy(frames.copy()).requires_grad_(True)
    y = torch.from_numpy(np.roll(frames, 1, -1))
    torch.vdot(y.ravel(), weights(x).ravel()).real.backward()
    assert distance(x.grad, linops.grappa(weights, frames.shape).H(y)) < 1e-6


def test_any_memory_order():
    kspace, mask, _ = case("r2")
    weights = grappa(kspace, mask)
    for order in ((2, 1, 0), (1, 2, 0), (0, 2, 1)):
        other = np.ascontiguousarray(kspace.transpose(order)).transpose(np.argsort(order))
        A = linops.grappa(weights, kspace.shape)
        np.testing.assert_array_equal(weights(other), weights(kspace))
        np.testing.assert_array_equal(A.H(other), A.H(kspace))


def test_the_operator_is_the_call_and_has_an_adjoint_at_real_sizes(rng):
    kspace, mask, _ = case("caipi", 12)
    weights = grappa(kspace, mask)
    A = linops.grappa(weights, kspace.shape)  # large enough for the threads, which the contract tables are not
    np.testing.assert_array_equal(A(kspace), weights(kspace))
    pi.testing.check_linop(A, dtype="complex64", dense=False)


def test_does_not_depend_on_the_number_of_threads(monkeypatch):

    kspace, mask, _ = case("random-points", 12)

    def run():
        A = linops.grappa(grappa(kspace, mask), kspace.shape)
        return A(kspace), A.H(kspace)

    many = run()
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    for a, b in zip(run(), many):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["r2", "random-points"])
def test_saved_weights_are_the_same(name, tmp_path):
    kspace, mask, _ = case(name)
    weights = grappa(kspace, mask)
    weights.save(tmp_path / "w.npz")
    again = GrappaWeights.load(tmp_path / "w.npz")
    assert (again.kernel, again.lam, again.coils) == (weights.kernel, weights.lam, weights.coils)
    np.testing.assert_array_equal(again(kspace), weights(kspace))


def test_files_that_hold_no_weights(tmp_path):
    kspace, mask, _ = case("r2")
    grappa(kspace, mask).save(tmp_path / "w.npz")
    good = dict(np.load(tmp_path / "w.npz"))
    bad = {"mask": ~good["mask"], "coils": np.array(5), "values": good["values"][:-1], "kernel": np.array([5, 3])}
    for name, value in bad.items():
        np.savez(tmp_path / "bad.npz", **{**good, name: value})
        with pytest.raises(ValueError, match="holds no GRAPPA weights"):
            GrappaWeights.load(tmp_path / "bad.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read as"):
        GrappaWeights.load(tmp_path / "bad.npz")


# ---- in image space

LATTICES = {"r2": (2, 1, 0), "r3": (3, 1, 0), "kx": (1, 2, 0), "2x2": (2, 2, 0), "caipi": (2, 2, 1),
            "caipi-3": (3, 3, 2)}  # Ry, Rx, shift


@pytest.mark.parametrize("name", LATTICES)
def test_unaliasing_equals_filling_kspace_up_to_its_edges(name):
    ry, rx, shift = LATTICES[name]
    kspace = simulate(8, (72, 72))
    mask = lattice((72, 72), ry, rx, shift)
    assert lattice_of(with_lines(mask, 20, 20))[:3] == (ry, rx, shift)
    weights = silent(kspace, mask, kspace[:, 24:48, 24:48].copy(), lam=0.001)
    U = weights.unaliasing()
    aliased = fft(kspace * mask, (-2, -1), inverse=True)
    image = np.einsum("cdyx,dyx->cyx", U, aliased)
    inner = (slice(None), *centre((72, 72), 66, 66))
    assert distance(fft(image, (-2, -1))[inner], weights(kspace)[inner]) < 1e-5  # exact but for 3 samples at the edges
    mps = mr.birdcage_maps((8, 72, 72)).astype(np.complex64)
    combined = (weights.unaliasing(mps=mps) * aliased).sum(0)
    assert distance(combined, (mps.conj() * image).sum(0)) < 1e-5


@pytest.mark.parametrize(("name", "correlated"), [("r2", False), ("r3", True), ("2x2", True)])
def test_gfactor_equals_noise_replicas(name, correlated):
    ry, rx, shift = LATTICES[name]
    shape, rng, replicas = (96, 96), np.random.default_rng(0), 200
    kspace, mps = simulate(8, shape), mr.birdcage_maps((8, *shape)).astype(np.complex64)
    mask = lattice(shape, ry, rx, shift)
    weights = silent(kspace, mask, kspace[:, 36:60, 36:60].copy())
    M = np.eye(8) + 0.2 * correlated * (rng.standard_normal((8, 8)) + 1j * rng.standard_normal((8, 8)))
    g, U = weights.gfactor(mps=mps, covariance=M @ M.conj().T), weights.unaliasing(mps=mps)
    energy = np.zeros((3, *shape))
    for _ in range(replicas // 20):
        noise = rng.standard_normal((20, 8, *shape)) + 1j * rng.standard_normal((20, 8, *shape))
        noise = np.einsum("cd,fdyx->fcyx", M, noise, optimize=True).astype(np.complex64)
        full, filled, aliased = (fft(k, (-2, -1), inverse=True) for k in (noise, weights(noise), noise * mask))
        for i, image in enumerate([(mps.conj() * full).sum(1), (mps.conj() * filled).sum(1), (U * aliased).sum(1)]):
            energy[i] += (abs(image) ** 2).sum(0)
    body = sp.shepp_logan(shape) != 0
    in_kspace, in_image = np.sqrt(energy[1:, body] / energy[0, body] / (ry * rx)) / g[body] - 1
    assert abs(in_image.mean()) < 0.005
    assert np.sqrt((in_image**2).mean()) < 1.2 / np.sqrt(2 * replicas)  # a quotient of two standard deviations
    # filling k-space, the last lines have neighbours on one side only: a part ~ 1 / N of the noise is larger
    assert abs(in_kspace.mean()) < 0.05


def test_what_has_no_image_space_form():
    for name in ("random-lines", "random-points"):
        kspace, mask, block = case(name)
        with pytest.raises(ValueError, match="regular"):
            silent(kspace, mask, block).unaliasing()
    kspace, mask, block = case("r2")
    weights = grappa(kspace, mask, block)
    with pytest.raises(ValueError, match="covariance"):
        weights.gfactor(covariance=-np.eye(6))
    with pytest.raises(ValueError, match="mps"):
        weights.unaliasing(mps=np.ones((5, *SHAPE), complex))
    np.testing.assert_allclose(grappa(kspace).gfactor(), 1)


# ---- real scans


@pytest.mark.parametrize("scan", ["invivo_brain_cimax_16ch", "phantom_cimax_16ch"])
@pytest.mark.parametrize(("accel", "fraction"), [(2, 0.4), (3, 0.5), (4, 0.7)])
def test_real_scans_beat_zero_filling(scan, accel, fraction):
    with h5py.File(data_path(f"kspace/{scan}.h5")) as file:
        kspace = file["kspace"][0]
    shape = kspace.shape[1:]
    mask = with_lines(lattice(shape, accel), 24)
    full, reference = grappa(kspace * mask, mask)(kspace * mask), rss(kspace)
    assert distance(rss(full), reference) < fraction * distance(rss(kspace * mask), reference)


# ---- bad input


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"mask": np.ones((7, 7), bool)}, ValueError, "mask has shape"),
    ({"mask": np.zeros(SHAPE, bool)}, ValueError, "mask is False everywhere"),
    ({"mask": lattice(SHAPE, 2)}, ValueError, "fully sampled"),
    ({"mask": with_lines(lattice(SHAPE, 4), 3)}, ValueError, "fully sampled"),
    ({"calib": simulate(5)}, ValueError, "calib has 5 coils"),
    ({"calib": simulate(6, (4, 41))}, ValueError, "calib has 4 x 41 samples, fewer"),
    ({"calib": np.full((6, 20, 20), np.nan + 0j)}, ValueError, "calib holds NaN"),
    ({"calib": np.zeros((6, 20, 20), complex)}, ValueError, "calib is zero"),
    ({"kernel": (5,)}, ValueError, "kernel must be two sizes"),
    ({"kernel": 5}, TypeError, "kernel must be a tuple"),
    ({"kernel": (1, 1)}, ValueError, "kernel must be two sizes"),
    ({"kernel": (33, 5)}, ValueError, "kernel must be two sizes"),
    ({"kernel": (0, 5)}, ValueError, "kernel must be"),
    ({"kernel": (1, 5)}, ValueError, "sees no measured sample"),
    ({"lam": -1}, ValueError, "lam must be"),
    ({"lam": np.nan}, ValueError, "lam must be finite"),
    ({"kspace": np.full((6, *SHAPE), np.nan + 0j)}, ValueError, "kspace holds NaN"),
    ({"kspace": np.zeros((6, *SHAPE), complex)}, ValueError, "kspace is zero"),
    ({"kspace": simulate()[None]}, ValueError, "kspace has 4 dimensions"),
    ({"kspace": [1, 2]}, TypeError, "kspace must be a numpy"),
])
def test_bad_input(change, error, message):
    good = {"kspace": simulate(), "mask": with_lines(lattice(SHAPE, 2), 16)}
    with pytest.raises(error, match=message):
        grappa(**{**good, **change})


def test_weights_refuse_other_kspace():
    kspace, mask, _ = case("r2")
    weights = grappa(kspace, mask)
    for wrong in (kspace[:5], kspace[:, :-1], kspace[0]):
        with pytest.raises(ValueError, match="kspace has shape"):
            weights(wrong)
    with pytest.raises(ValueError, match="NaN"):
        weights(kspace * np.nan)
    with pytest.raises(ValueError, match="shape has shape"):
        linops.grappa(weights, (5, *SHAPE))


def test_holes_out_of_reach_warn_where_they_lie_inside():
    kspace = simulate()
    with pytest.warns(UserWarning, match="stay 0: give a larger kernel"):
        grappa(kspace, with_lines(lattice(SHAPE, 5), 16), kernel=(3, 3))
    half = with_lines(lattice(SHAPE, 2), 16)
    half[36:] = False  # partial Fourier: nothing to interpolate, and no fault
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        full = grappa(kspace, half)(kspace)
    assert not full[:, 38:].any()


def test_coils_that_cannot_resolve_the_acceleration_warn():
    kspace, mask, _ = case("r3", 6)
    for few in (kspace[:2], np.repeat(kspace[:2], 3, 0), kspace * (np.arange(6) < 2)[:, None, None]):
        with pytest.warns(UserWarning, match="not resolved by 2 independent coils"):
            full = grappa(few, mask)(few)
        assert np.isfinite(full).all()


@pytest.mark.parametrize("lam", [0.01, 0])
def test_dead_and_duplicate_coils_change_nothing_for_the_others(lam):
    kspace, mask, _ = case("r2")
    dead = np.concatenate([kspace, np.zeros_like(kspace[:1])])
    assert distance(grappa(dead, mask, lam=lam * 7 / 6)(dead)[:6], grappa(kspace, mask, lam=lam)(kspace)) < 1e-5
    twice = np.concatenate([kspace, kspace[:1]])
    full = grappa(twice, mask, lam=lam)(twice)
    assert distance(full[6], full[0]) < 1e-4
    assert distance(full[:6], kspace) < 1.1 * distance(grappa(kspace, mask, lam=lam)(kspace), kspace)


def test_calib_of_the_library_is_found():
    assert {"grappa", "GrappaWeights"} <= set(calib.__all__)
