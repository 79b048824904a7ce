"""Scan: selection, undersampling, conversion, and what it reports as odd."""

import re

import numpy as np
import pytest
import torch
from test_io import K3, K4, h5

from pisolve import calib, io, masks


def test_select():
    reference = abs(K4[:, 0])
    scan = io.Scan(K4, masks.random((16, 12), 2), K4 + 1, reference, {"a": 1})
    for slices, index in ((1, [1]), (-1, [1]), ([1, 0], [1, 0]), (slice(1), [0]), (np.array([0]), [0]),
                          (range(2), [0, 1])):
        part = scan.select(slices)
        assert (part.kspace == K4[index]).all()
        assert (part.mps == K4[index] + 1).all()
        assert (part.reference == reference[index]).all()
        assert (part.mask == scan.mask).all()
        assert part.meta == {"a": 1}
    assert io.Scan(K4, mps=K3).select(0).mps.shape == K3.shape
    for slices, error in ((2, ValueError), ([0, -3], ValueError), (slice(5, 9), ValueError), ([], ValueError),
                          (1.0, TypeError)):
        with pytest.raises(error, match="slices"):
            scan.select(slices)
    with pytest.raises(ValueError, match="no slice axis"):
        io.Scan(K3).select(0)


def test_select_takes_the_slices_of_sets_of_maps():
    kspace = np.concatenate([K4, 2 * K4[:1]])
    mps = np.stack([kspace, kspace + 1j], 1)  # (slice, set, coil, y, x)
    scan = io.Scan(kspace, mps=mps)
    for slices, index in ((1, [1]), ([2, 1, 0], [2, 1, 0]), (slice(2), [0, 1])):
        part = scan.select(slices)
        assert (part.mps == mps[index]).all()
        assert (part.kspace == kspace[index]).all()
        assert part.sets == 2


def test_sets():
    for mps, count in ((None, 0), (K3, 1), (np.stack([K3, K3]), 2)):
        scan = io.Scan(K3, mps=mps)
        assert scan.sets == count
        assert ("2 sets (soft SENSE)" in repr(scan)) == (count == 2)
    assert io.Scan(K4, mps=K4).sets == 1


@pytest.mark.parametrize(("coils", "kept"), [(1, [0, 2]), (-1, [0, 1]), ([0, 2], [1]), (np.array([0, 0]), [1, 2]),
                                             ((), [0, 1, 2])])
def test_drop_coils(coils, kept):
    scan = io.Scan(K4, LINES, np.stack([K4, K4], 1), abs(K4[:, 0]), {"a": 1}, NOISE, CALIB[0])
    less = scan.drop_coils(coils)
    assert (less.kspace == K4[:, kept]).all()
    assert (less.mps == scan.mps[:, :, kept]).all()
    assert (less.noise == NOISE[kept]).all()
    assert (less.calib == CALIB[0][kept]).all()
    assert (less.mask == LINES).all()
    assert (less.reference == scan.reference).all()
    assert less.meta == {"a": 1}
    assert scan.kspace is K4
    assert io.Scan(K3).drop_coils(coils).kspace.shape == (len(kept), 16, 12)


@pytest.mark.parametrize(("coils", "error", "message"), [
    (3, ValueError, "coils must be"), (-4, ValueError, "coils must be"), (range(3), ValueError, "at least one"),
    (1.0, TypeError, "coils must be"), ("1", TypeError, "coils must be")])
def test_bad_coils_to_drop(coils, error, message):
    with pytest.raises(error, match=message):
        io.Scan(K3).drop_coils(coils)


def test_the_remedy_for_a_dead_coil_works():
    dead = io.Scan(changed(0, np.s_[:, 1]), noise=NOISE * [[1], [0], [1]])
    (text,) = [w for w in dead.warnings() if "dead" in w]
    assert "scan.drop_coils(1)" in text
    with pytest.raises(ValueError, match=r"scan\.drop_coils\(\[1\]\)"):
        calib.whitening_matrix(calib.noise_covariance(dead.noise))
    alive = dead.drop_coils(1)
    assert not [w for w in alive.warnings() if "dead" in w]


def test_undersample():
    before, mask = K4.copy(), masks.random((16, 12), 2)
    scan = io.Scan(K4)
    less = scan.undersample(mask[:, :1])
    assert (before == K4).all()
    assert (less.kspace == K4 * mask).all()
    assert less.kspace.dtype == K4.dtype
    assert (less.mask == mask).all()
    coils = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(K4, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    np.testing.assert_allclose(less.reference, np.sqrt((abs(coils) ** 2).sum(axis=1)), rtol=1e-5)
    assert scan.reference is scan.mask is None
    kept = io.Scan(K4, reference=abs(K4[:, 0])).undersample(mask)
    assert (kept.reference == abs(K4[:, 0])).all()
    again = io.Scan(K4 * mask, mask).undersample(masks.random((16, 12), 2, axis=-1))
    assert again.reference is None  # undersampled data holds no truth
    assert (again.mask == mask & masks.random((16, 12), 2, axis=-1)).all()
    with pytest.raises(ValueError, match="mask has shape"):
        scan.undersample(np.ones((12, 16)))
    with pytest.raises(ValueError, match="everywhere"):
        less.undersample(~mask)  # nothing is left


def test_scan_keeps_and_converts():
    assert io.Scan(K3).kspace is K3
    assert io.Scan(torch.from_numpy(K3)).kspace.dtype == np.complex64
    assert io.Scan(K3.astype(">c16")).kspace.dtype == np.dtype("complex128")
    assert repr(io.Scan(K3, np.ones((16, 12)))) == "Scan(kspace (3, 16, 12) complex64, mask (16, 12))"
    with pytest.raises(AttributeError):
        io.Scan(K3).kspace = K3


def changed(factor, index):
    kspace = K4.copy()
    kspace[index] *= factor
    return kspace


LINES = masks.random((16, 12), 2)


@pytest.mark.parametrize(("kspace", "mask", "message"), [
    (K4, None, None), (K4 * LINES, LINES | (abs(np.arange(16) - 7.5) < 4)[:, None], "sampled at"),
    (changed(0, np.s_[:, 1]), None, "coil 1 is dead"), (changed(1e6, np.s_[:, 2]), None, "coil 2 is .* louder"),
    (changed(1e-6, np.s_[:, 0]), None, "coil 0 is nearly dead"),
    (K4, LINES, f"not zero at {(~LINES).sum()} positions outside"),
    (K4 * LINES, None, "there is no mask: recon counts"),
    (np.fft.fftshift(K4, axes=(-2, -1)), None, "off the centre along ky: apply"),
    (np.roll(K4, 3, axis=-1), None, r"\+3 samples off the centre along kx: roll"),
    (K4 * masks.equispaced((16, 12), 4, 0), masks.equispaced((16, 12), 4, 0), "no calibration region"),
    (K4 * np.complex64(1e-20), None, "k-space peaks at"), (K4 * np.complex64(1e20), None, "k-space peaks at"),
])
def test_warnings(kspace, mask, message):
    with np.errstate(all="raise"):
        found = io.Scan(kspace, mask).warnings()
    if message is None:
        assert found == []
    else:
        assert any(re.search(message, w) for w in found), found


NOISE, CALIB = np.arange(15, dtype=np.complex64).reshape(3, 5), K4[..., 4:12, :]


def test_lines_apart_are_a_calibration_region():
    lattice = masks.equispaced((16, 12), 4, 0)
    for lines, alarms in ((None, 1), (CALIB, 0)):
        found = io.Scan(K4 * lattice, lattice, calib=lines).warnings()
        assert sum("no calibration region" in w for w in found) == alarms


def test_noise_and_calibration_go_along(tmp_path):
    scan = io.Scan(K4, noise=torch.from_numpy(NOISE), calib=CALIB)
    assert repr(scan) == "Scan(kspace (2, 3, 16, 12) complex64, noise (3, 5), calib (2, 3, 8, 12))"
    kept = scan.undersample(LINES).select(1)
    assert (kept.noise == NOISE).all()
    assert (kept.calib == CALIB[1:]).all()
    assert (io.Scan(K4, calib=CALIB[0]).select(1).calib == CALIB[0]).all()  # one for all slices
    assert (io.load(h5(tmp_path / "a.h5", kspace=K4, noise=NOISE, calib=CALIB)).calib == CALIB).all()
    np.savez(tmp_path / "a.npz", kspace=K4, noise=NOISE, calib=CALIB)
    for name in ("a.h5", "a.npz"):
        again = io.load(tmp_path / name)
        assert (again.noise == NOISE).all()
        assert (again.calib == CALIB).all()


@pytest.mark.parametrize(("kspace", "fields", "message"), [
    (K4, {"noise": NOISE[:2]}, r"noise has shape \(2, 5\)"), (K3, {"noise": NOISE * 0}, "noise is zero"),
    (K3, {"noise": NOISE[0]}, "noise has 1 dim"), (K3, {"noise": NOISE * np.nan}, "noise holds NaN"),
    (K3, {"calib": CALIB}, r"calib has shape \(2, 3"), (K4, {"calib": CALIB[:1]}, "calib has shape"),
    (K4, {"calib": CALIB[0, :2]}, "calib has shape"), (K4, {"calib": np.repeat(CALIB, 3, 2)}, "or a smaller centre"),
    (K4, {"calib": CALIB * 0}, "calib is zero"), (K4, {"calib": CALIB * np.inf}, "calib holds NaN")])
def test_noise_and_calibration_are_checked(kspace, fields, message):
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        io.Scan(kspace, **fields)
