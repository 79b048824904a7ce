"""The coil maps under one contract, each against its formulas or another program, and what they are worth."""

from functools import partial

import h5py
import numpy as np
import pytest
import sigpy.mri as mr
from conftest import data_path
from helpers import LAWS, bart, difference, residual, support
from scipy.ndimage import binary_dilation, binary_erosion, map_coordinates, uniform_filter

from pisolve import calib, linops, metrics, phantom
from pisolve.backend import fft, to_numpy
from pisolve.calib import _smooth, body_coil, espirit, inati, jsense, walsh
from pisolve.calib.region import middle
from pisolve.linops.solve import cg_solve

COILS, SHAPE = 6, (64, 54)
BRAIN = phantom.brain(SHAPE, COILS, noise=0.005, seed=1)
K = BRAIN.kspace
BODY = np.stack([phantom.brain(SHAPE, 1, noise=0.005, seed=s).kspace[0] * g for s, g in ((2, 1.0), (3, 0.4j))])


def measured(kspace, **options):
    """`body_coil` with the signature of the others: the body coil saw every slice alike, at any scale."""
    body = np.broadcast_to(BODY, (*kspace.shape[:-3], *BODY.shape))
    if isinstance(kspace, np.ndarray):
        return body_coil(kspace, body, **options)
    return body_coil(kspace, kspace.new_tensor(body.copy()), **options)


MAPS = {"espirit": espirit, "walsh": walsh, "inati": inati, "jsense": jsense, "body_coil": measured}
OWN = ["walsh", "inati", "jsense"]  # kspace, mask, calib, calib_width, thresh
every = pytest.mark.parametrize("name", MAPS)


@pytest.fixture(scope="module")
def found():
    return {name: f(K) for name, f in MAPS.items()}


# ---- the contract

@every
def test_known_maps_are_found(name, found):
    """The phantom's k-space is in closed form, its maps are known up to one factor at each pixel."""
    mps = found[name]
    assert (mps.shape, mps.dtype) == (K.shape, np.complex64)
    true = BRAIN.mps / np.linalg.norm(BRAIN.mps, axis=0)
    body = metrics.body(BRAIN.image)
    assert support(mps)[body].mean() > 0.99
    seen = support(mps) & body
    inner = abs((true.conj() * mps).sum(0))[seen]
    assert np.sqrt(1 - inner**2).mean() < 0.06  # the sine of the angle between them
    np.testing.assert_allclose(np.linalg.norm(mps, axis=0)[support(mps)], 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["walsh", "inati", "jsense"])
def test_phase_is_that_of_the_virtual_coil(name, found):
    u = np.linalg.svd(K[:, 20:44, 15:39].reshape(COILS, -1))[0][:, 0]
    u *= abs(u).max() / u[abs(u).argmax()]
    virtual = (u.conj()[:, None, None] * found[name]).sum(0)[support(found[name])]
    assert virtual.real.min() > 0
    assert abs(np.angle(virtual)).max() < 1e-3


LAWS = LAWS | {"double": (lambda k: k.astype(np.complex128), lambda s: s), "again": (lambda k: k, lambda s: s)}


@every
@pytest.mark.parametrize("law", LAWS)
def test_law(name, law, found):
    change, expected = LAWS[law]
    changed = change(K)
    before = changed.copy()
    ours, expected = MAPS[name](changed), expected(found[name])
    np.testing.assert_array_equal(changed, before)
    assert ours.dtype == changed.dtype
    if law == "again":
        np.testing.assert_array_equal(ours, expected)
    if law == "dead coil":
        assert not ours[2].any()
    if name == "body_coil" and law == "global phase":
        expected = expected * np.exp(1j)  # its phase is relative to the body coil
    assert (support(ours) != support(expected)).sum() <= 4  # rounding at the threshold
    common = support(ours) & support(expected)
    np.testing.assert_allclose(ours[:, common], expected[:, common], atol=3e-4)


@every
def test_duplicate_coils_are_seen_alike(name, found):
    mps = MAPS[name](np.concatenate([K, K[2:3]]))
    assert np.isfinite(mps).all()
    np.testing.assert_allclose(mps[2], mps[-1], atol=1e-4)
    assert difference(mps[:-1] / np.maximum(np.linalg.norm(mps[:-1], axis=0), 1e-9), found[name]) < 0.05


@every
def test_slices_one_by_one(name, found):
    volume = MAPS[name](np.stack([K, 2 * K[::-1]]))
    np.testing.assert_array_equal(volume[0], found[name])
    np.testing.assert_array_equal(volume[1], MAPS[name](2 * K[::-1]))


@every
def test_torch(name, found):
    torch = pytest.importorskip("torch")
    mps = MAPS[name](torch.from_numpy(K))
    assert isinstance(mps, torch.Tensor)
    np.testing.assert_array_equal(to_numpy(mps), found[name])


@every
def test_one_coil(name):
    """Its map is 1: it is its own virtual coil. The body coil's is the phase between both."""
    one = MAPS[name](K[:1])
    np.testing.assert_allclose(abs(one)[support(one)[None]], 1, atol=1e-5)
    expected = 1 if name != "body_coil" else MAPS[name](K)[:1] / np.maximum(abs(MAPS[name](K)[:1]), 1e-9)
    np.testing.assert_allclose(*np.broadcast_arrays(one[support(one)[None]], (expected * np.ones_like(one))[
        support(one)[None]]), atol=1e-3)


@every
def test_only_the_sampled_centre_counts(name):
    mask = np.zeros((SHAPE[0], 1), bool)
    mask[::2] = mask[20:44] = True
    under = MAPS[name](K * mask)
    np.testing.assert_array_equal(under, MAPS[name](K, mask=mask))
    np.testing.assert_array_equal(under, MAPS[name](K * mask, mask=mask))


# what takes a mask, as a function of (k-space, mask)
MASKED = MAPS | {
    "centre_phase": lambda k, mask: calib.centre_phase(k, K, mask), "compress": calib.compress,
    "coverage": lambda k, mask: calib.coverage(K, k, mask), "grappa": lambda k, mask: calib.grappa(k, mask)(k),
    "spirit_kernel": lambda k, mask: calib.spirit_kernel(k, mask, kernel=(3, 3))}
COLUMNS = (np.arange(SHAPE[1]) % 2 == 0) | (abs(np.arange(SHAPE[1]) - 27) < 12)


@pytest.mark.parametrize("name", MASKED)
def test_masks_mean_the_same_everywhere(name):
    """All forms of one pattern, and no weights: as `masks.check` takes them."""
    f = {"mask": np.broadcast_to(COLUMNS, SHAPE)}
    expected = MASKED[name](K * COLUMNS, **f)
    for form in (COLUMNS, COLUMNS[None], COLUMNS.astype(float), np.broadcast_to(COLUMNS, K.shape),
                 np.broadcast_to(COLUMNS, (1, *SHAPE)).astype(np.int8)):
        np.testing.assert_array_equal(MASKED[name](K * COLUMNS, mask=form), expected)
    for weights in (2 * COLUMNS, -1.0 * COLUMNS, COLUMNS + 0j, COLUMNS[:-1], np.zeros(SHAPE, bool),
                    np.ones(K.shape) * (np.arange(len(K)) > 0)[:, None, None]):
        with pytest.raises((ValueError, TypeError), match=r"^mask"):
            MASKED[name](K * COLUMNS, mask=weights)


@pytest.mark.parametrize("name", OWN)
def test_calib_in_place_of_the_centre(name, found):
    under = K.copy()
    under[:, ::2] = 0
    part = K[:, 20:44, 15:39]
    np.testing.assert_array_equal(MAPS[name](under, calib=part), found[name])


@pytest.mark.parametrize("name", OWN)
def test_thresh_0_keeps_the_background(name):
    area = [support(MAPS[name](K, thresh=thresh)) for thresh in (0, 0.02, 0.1, 0.3, 0.6)]
    assert area[0].mean() > 0.99
    assert (np.diff([a.mean() for a in area]) < 0).all()
    if name != "jsense":  # whose image is its own
        size = np.linalg.norm(low_images(K), axis=0)
        for found, thresh in zip(area, (0, 0.02, 0.1, 0.3, 0.6)):
            assert (found != (size > thresh * np.percentile(size, 99))).sum() <= 2  # rounding at the threshold


@every
def test_odd_sizes_and_few_samples(name):
    """The centre of k-space alone gives the true maps on coarser pixels; double precision those of single."""
    if name != "body_coil":
        small = MAPS[name](K[:, 21:44, 16:39])
        at = np.meshgrid(*(n // 2 + (np.arange(23) - 11) * n / 23 for n in SHAPE), indexing="ij")
        true = np.stack([map_coordinates(m.real, at, order=1) + 1j * map_coordinates(m.imag, at, order=1)
                         for m in BRAIN.mps])
        seen = support(small) & (map_coordinates(metrics.body(BRAIN.image).astype(float), at, order=1) > 0.99)
        inner = abs((true.conj() * small).sum(0) / np.linalg.norm(true, axis=0))[seen]
        assert np.sqrt(np.maximum(1 - inner**2, 0)).mean() < 0.1
    real = K.real.astype(np.float64) + 0j
    assert difference(MAPS[name](real), MAPS[name](real.astype(np.complex64))) < 1e-3


NAN = K.copy()
NAN[1, 0, 0] = np.nan
HOLE = K.copy()
HOLE[:, 32, 27] = 0
BAD = {
    "nan": ((NAN,), {}, "NaN"),
    "zero": ((0 * K,), {}, "zero everywhere"),
    "axes": ((K[0],), {}, "dimensions"),
    "no centre": ((HOLE,), {}, "fully sampled samples"),
    "slice without centre": ((np.stack([K, HOLE]),), {}, "slice 1"),
    "mask of other size": ((K,), {"mask": np.ones((39, 1))}, "mask has shape"),
    "mask over holes": ((K * (abs(np.arange(54) - 27) > 20),), {"mask": np.ones(SHAPE), "calib_width": 12},
                        "mask marks samples"),
    "calib width": ((K,), {"calib_width": 0}, "calib_width"),
}
OWN_BAD = {
    "thresh": ({"thresh": 1.0}, "thresh is a fraction"),
    "thresh sign": ({"thresh": -0.1}, "thresh must be"),
    "calib coils": ({"calib": K[:2]}, "calib has shape"),
}


@every
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(name, case):
    args, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        MAPS[name](*args, **options)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("case", OWN_BAD)
def test_bad_options_are_refused(name, case):
    options, message = OWN_BAD[case]
    with pytest.raises(ValueError, match=message):
        MAPS[name](K, **options)


# ---- against formulas and other programs

def low_images(kspace):
    """What Walsh and Inati see: the central 24 x 24 samples under a Hann window, in double precision."""
    n = np.arange(24) - 12
    hann = np.cos(np.pi * n / 25) ** 2
    block = np.zeros(kspace.shape, np.complex128)
    y, x = (slice(m // 2 - 12, m // 2 + 12) for m in kspace.shape[1:])
    block[:, y, x] = kspace[:, y, x] * np.outer(hann, hann)
    return fft(block / abs(kspace).max(), (-2, -1), inverse=True)


@pytest.mark.parametrize("window", [1, 4, 5])
def test_walsh_is_the_definition(window):
    """The covariance in a window about single pixels, its eigenvector by LAPACK."""
    images = low_images(K)
    mps = walsh(K.astype(np.complex128), window=window, thresh=0)
    before = window // 2
    for y, x in [(32, 27), (20, 30), (0, 0), (63, 53), (40, 12)]:
        part = images[:, max(y - before, 0):y - before + window, max(x - before, 0):x - before + window]
        R = np.einsum("cyx,dyx->cd", part, part.conj())
        assert abs(np.vdot(np.linalg.eigh(R)[1][:, -1], mps[:, y, x])) == pytest.approx(1, abs=1e-8)


def reference_inati(im, smoothing, niter):
    """The iteration of ismrmrd-python-tools' `calculate_csm_inati_iter`, 2-D, written again from its formulas."""
    smooth = partial(uniform_filter, size=(0, smoothing, smoothing))
    eps = np.finfo(float).eps * abs(im).mean()
    total = im.sum(axis=(1, 2))
    R = np.tensordot((total / np.linalg.norm(total)).conj(), im, 1)
    for _ in range(niter):
        weighted = im * R.conj()
        coil_map = smooth(weighted.real) + 1j * smooth(weighted.imag)
        coil_map /= np.sqrt((abs(coil_map) ** 2).sum(0)) + eps
        R = (im * coil_map.conj()).sum(0)
        total = (coil_map * R).sum(axis=(1, 2))
        phase = np.tensordot((total / np.linalg.norm(total)).conj(), coil_map, 1)
        phase /= abs(phase) + eps
        R, coil_map = R * phase, coil_map * phase.conj()
    return coil_map


@pytest.mark.parametrize(("window", "iterations"), [(5, 5), (3, 1), (7, 10)])
def test_inati_is_the_python_tools(window, iterations):
    mps = inati(K.astype(np.complex128), window=window, iterations=iterations, thresh=0)
    assert difference(mps, reference_inati(low_images(K), window, iterations)) < 1e-8


def test_inati_nears_walsh(found):
    assert difference(found["inati"], found["walsh"]) < 0.02


def test_walsh_is_near_barts(tmp_path):
    """BART multiplies no window and takes other pixels: near, and neither much worse in what it does not explain."""
    bart(tmp_path, "walsh", "-r24:24:1", "-b5:5:1", "k", "g", k=K[:, None])
    packed = np.fromfile(tmp_path / "g.cfl", np.complex64).reshape(-1, *SHAPE)
    lower = np.zeros((COILS, COILS, *SHAPE), np.complex64)  # the lower triangle of each pixel's covariance, packed
    rows, columns = np.tril_indices(COILS)
    lower[rows, columns], lower[columns, rows] = packed, packed.conj()
    theirs = np.moveaxis(np.linalg.eigh(np.moveaxis(lower, (0, 1), (2, 3)))[1][..., -1], -1, 0)
    ours = walsh(K)
    theirs = theirs if residual(theirs, K, support(ours)) < residual(theirs.conj(), K, support(ours)) else theirs.conj()
    assert residual(ours, K, support(ours)) < 1.2 * residual(theirs, K, support(ours))
    assert difference(ours, theirs) < 0.1


def test_kernels_are_found_exactly(rng):
    """y = F S x with S of a small kernel: without noise the least-squares fit returns the kernel."""
    for shape, sizes, width in (((40, 33), (12, 11), 5), ((31, 30), (9, 10), 4)):
        x = rng.standard_normal((*shape, 2)).view(complex)[..., 0]
        kernels = rng.standard_normal((3, width, width, 2)).view(complex)[..., 0]
        y = fft(_smooth.field(kernels, shape) * x, (-2, -1))
        keep = np.ones(sizes, bool)
        keep[1::4] = False
        data = y[(slice(None), *map(middle, shape, sizes))]
        np.testing.assert_allclose(_smooth.fit(x, data, keep, width, 0), kernels, atol=1e-8)


@pytest.mark.parametrize("scan", ["brain", "measured maps"])
def test_jsense_beats_sigpys(scan):
    """What the maps do not explain of the noiseless scan. SigPy has no penalty, and its maps are periodic."""
    if scan == "brain":
        kspace, clean = (phantom.brain((128, 128), 12, noise=noise).kspace for noise in (0.02, 0))
    else:
        with h5py.File(data_path("maps/neonatal_32ch.h5")) as file:
            clean = fft(file["mps"][::2] * file["image"][()] / abs(file["image"][()]).max(), (-2, -1))
        noise = np.random.default_rng(0).standard_normal((*clean.shape, 2)).view(complex)[..., 0]
        kspace = (clean + 0.2 * noise).astype(np.complex64)
    ours, theirs = jsense(kspace), mr.app.JsenseRecon(kspace.copy(), show_pbar=False).run()
    where = support(ours)
    assert residual(ours, clean, where) < 0.75 * residual(theirs, clean, where)
    body = metrics.body(np.linalg.norm(fft(clean, (-2, -1), inverse=True), axis=0))
    assert difference(ours * body, theirs * body) < 0.1


@pytest.mark.parametrize("lines", [4, 6])
def test_jsense_needs_few_lines(lines):
    """12 coils, every second line and 4 or 6 in the centre: it fits the undersampled samples, too."""
    kspace, clean = (phantom.brain((128, 128), 12, noise=noise).kspace for noise in (0.02, 0))
    mask = np.zeros((128, 1), bool)
    mask[::2] = mask[64 - lines // 2:64 + lines // 2] = True
    ours, other = jsense(kspace * mask), espirit(kspace * mask)
    where = support(ours) & support(other)
    assert residual(ours, clean, where) < 0.5 * residual(other, clean, where)


# ---- the body coil

def load(name):
    with h5py.File(data_path(f"kspace/{name}.h5")) as file:
        return file["kspace"][0]


def test_body_coil_returns_the_ratio(found):
    """Against the true maps themselves, with their phase, since the body coil of the simulation is uniform; without
    the outermost pixel, of which the object fills a part."""
    mps = body_coil(K, BODY, normalise="reference")
    body = binary_erosion(metrics.body(BRAIN.image))
    factor = np.vdot(BRAIN.mps[:, body], mps[:, body]) / np.vdot(BRAIN.mps[:, body], BRAIN.mps[:, body])
    error = np.linalg.norm(mps[:, body] / factor - BRAIN.mps[:, body]) / np.linalg.norm(BRAIN.mps[:, body])
    assert error < 0.05
    np.testing.assert_allclose((abs(mps[:, body]) ** 2).sum(0).mean(), 1, rtol=0.05)


def test_body_coil_of_low_resolution(found):
    low = BODY.copy()
    low[:, :12] = low[:, -12:] = 0
    assert difference(body_coil(K, low), found["body_coil"]) < 0.03


def test_body_coil_reaches_past_the_object():
    area = {m: support(body_coil(K, BODY, margin=m)) for m in (0, 2, 5)}
    assert area[0].any()
    for margin in (2, 5):  # pixels, by steps to the four neighbours
        np.testing.assert_array_equal(area[margin], binary_dilation(area[0], iterations=margin))


@pytest.mark.parametrize("scan", ["phantom_cimax", "invivo_brain_cimax"])
def test_body_coil_images_are_as_good_as_espirits(scan):
    """R = 2 with 24 lines, CG-SENSE against the fully sampled root sum of squares, where both have maps: both kinds
    have sum |S|^2 = 1, so both show its brightness."""
    kspace, body = load(f"{scan}_16ch"), load(f"{scan}_bodycoil_2ch")
    mask = np.zeros((128, 1), bool)
    mask[::2] = mask[52:76] = True
    rss = np.linalg.norm(fft(kspace, (-2, -1), inverse=True), axis=0)
    maps = [espirit(kspace * mask), body_coil(kspace * mask, body)]
    where = support(maps[0]) & support(maps[1]) & metrics.body(rss)
    level = []
    for mps in maps:
        A = linops.sense(mps, mask)
        b = A.H((kspace * mask).astype(np.complex64))
        x = cg_solve(lambda p, A=A: A.N(p) + 1e-3 * p, b, np.zeros_like(b), iterations=30, tol=1e-6)
        level.append(metrics.psnr(rss, x, region=where))
    assert abs(level[0] - level[1]) < 0.5
    assert residual(maps[1], kspace, where) < 1.05 * residual(maps[0], kspace, where)


@pytest.mark.parametrize(("options", "message"), [
    ({"reference": BODY[:, :40]}, "reference has shape"), ({"reference": np.stack([BODY, BODY])}, "dimensions"),
    ({"reference": 0 * BODY}, "reference is zero"), ({"normalise": "max"}, "normalise must be one of"),
    ({"margin": -1}, "margin must be"), ({"lam": -1}, "lam must be"), ({"thresh": 1}, "thresh is a fraction"),
    ({"reference": BODY * (np.arange(54) % 2)}, "reference needs at least.*: give k-space with a full centre, or")])
def test_body_coil_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        body_coil(K, options.pop("reference", BODY), **options)
