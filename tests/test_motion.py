"""Rigid motion: where an object goes, and what moved between shots, found together with the image."""

import numpy as np
import pytest
from conftest import data_path

import pisolve as pi
from pisolve import linops, signals

SHIFTS, ANGLES = np.array([[0, 0], [1.5, -0.7], [-1, 0.8], [0.6, 2]]), np.array([0, 3.0, -4, 2])
SIDE = 32


def blobs(y, x):
    return np.exp(-((x - 7) ** 2 + (y + 2) ** 2) / 20) + 0.7 * np.exp(-((x + 5) ** 2 + (y - 6) ** 2) / 12)


@pytest.mark.parametrize(("shift", "angle"), [((1.3, -2.6), 0), ((0, 0), 20), ((-2.2, 0.4), -12)])
def test_an_image_goes_where_it_is_sent(shift, angle):
    y, x = np.mgrid[:48, :47] - np.array([24, 23])[:, None, None]
    a, (dy, dx) = np.deg2rad(angle), shift
    v, u = y - dy, x - dx
    wanted = blobs(np.cos(a) * v - np.sin(a) * u, np.sin(a) * v + np.cos(a) * u)
    moved = linops.rigid((48, 47), [shift], [angle])(blobs(y, x) + 0j)[0]
    assert abs(moved - wanted).max() < 1e-5


def shots(side=SIDE, coils=4):
    """Four shots of every fourth line each."""
    head = pi.phantom.brain((side, side), coils)
    mps = head.mps / np.linalg.norm(head.mps, axis=0)
    mask = (np.arange(side) % 4 == np.arange(4)[:, None])[:, :, None]
    return linops.sense(mps, mask, shape=(4, coils, side, side), axes=("state", "coil", "ky", "kx")), head.image + 0j


def test_motion_between_shots_is_found_with_the_image():
    A, image = shots()
    y = (A * linops.rigid(image.shape, SHIFTS, ANGLES))(image)
    rng = np.random.default_rng(0)
    y = y + 0.005 * (y != 0) * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    found = signals.motion(A, y, turns=3, max_iter=8)
    assert found.found
    assert found.misfit < 0.2 * found.still
    assert abs(found.shifts - SHIFTS).max() < 0.1
    assert abs(found.angles - ANGLES).max() < 0.3
    blurred = pi.solve(A * linops.rigid(image.shape, 0 * SHIFTS), y, None, pi.CG(), max_iter=20).x
    error = [np.linalg.norm(abs(x) - abs(image)) for x in (found.x, blurred)]
    assert error[0] < 0.4 * error[1]


def test_a_still_body_is_left_still():
    A, image = shots(16)
    y = A(np.stack([image] * 4))
    rng = np.random.default_rng(0)
    y = y + 0.02 * (y != 0) * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    found = signals.motion(A, y, turns=1, max_iter=5, rotation=False)
    assert abs(found.shifts).max() < 0.1
    assert not found.angles.any()


def test_coordinates_have_windows_too():
    side, rng = 16, np.random.default_rng(0)
    coord = (rng.random((3, 6, 24, 2)) - 0.5) * side
    head = pi.phantom.brain((side, side), 4)
    A = linops.sense(head.mps / np.linalg.norm(head.mps, axis=0), coord=coord, shape=(3, 4, 6, 24),
                     axes=("state", "coil", "shot", "sample"))
    shifts = np.array([[0, 0], [0.8, -0.5], [-0.4, 0.6]])
    y = (A * linops.rigid((side, side), shifts))(head.image + 0j)
    found = signals.motion(A, y, turns=2, max_iter=10, rotation=False)
    assert abs(found.shifts - shifts).max() < 0.05


def test_a_real_head_with_simulated_motion():
    scan = pi.io.load(data_path("kspace/brain_moco_7ch.h5"))
    k = scan.kspace.reshape(scan.kspace.shape[-3:])
    ny, nx = k.shape[-2:]
    k = k[:, ny // 2 - 20: ny // 2 + 20, nx // 2 - 20: nx // 2 + 20]  # its centre: a small image
    k = k / abs(k).max() * 10
    mps = pi.calib.espirit(k)
    mask = (np.arange(40) % 4 == np.arange(4)[:, None])[:, :, None]
    A = linops.sense(mps, mask, shape=(4, *mps.shape), axes=("state", "coil", "ky", "kx"))
    image = linops.sense(mps).H(k)
    y = (A * linops.rigid((40, 40), SHIFTS, ANGLES))(image).astype(np.complex64)
    found = signals.motion(A, y, turns=2, max_iter=6)
    assert found.misfit < 0.2 * found.still
    assert abs(found.shifts - SHIFTS).max() < 0.15


SAID = "do not fit those beside them"


def moved_scan(k, size, order):
    """k-space (coil, ky, kx) of a head that moved between shots: `order` is the shot of each line."""
    images = pi.backend.fft(k, (-2, -1), inverse=True)
    mps = pi.calib.espirit(k, crop=0)
    shown = (mps.conj() * images).sum(0)
    rng, count = np.random.default_rng(0), order.max() + 1
    shifts, angles = size * rng.standard_normal((count, 2)), size * rng.standard_normal(count)
    states = pi.backend.fft(mps * linops.rigid(shown.shape, shifts, angles)(shown)[:, None], (-2, -1))
    return pi.io.Scan(states[order, :, np.arange(len(order))].swapaxes(0, 1).astype(np.complex64))


@pytest.mark.parametrize("name", ["brain_moco_7ch", "invivo_brain_cimax_16ch"])
def test_a_scan_says_that_its_shots_moved(name):
    """Interleaved shots; not the same scan as it was, nor with its readout along ky."""
    k = pi.io.load(data_path(f"kspace/{name}.h5")).kspace
    k = k.reshape(k.shape[-3:])
    order = np.arange(k.shape[1]) % 4
    told = moved_scan(k, 2 * k.shape[1] / 256, order).warnings()
    assert [SAID in w and "along ky" in w for w in told] == [True]
    turned = moved_scan(k, 2 * k.shape[1] / 256, order).kspace.swapaxes(-1, -2)
    assert any(SAID in w and "along kx" in w for w in pi.io.Scan(np.ascontiguousarray(turned)).warnings())
    assert not [w for w in moved_scan(k, 0, order).warnings() if SAID in w]


@pytest.mark.parametrize(("tight", "wide", "noise"), [(False, True, 0), (True, True, 0), (True, False, 0),
                                                      (False, False, 2e-3)])
@pytest.mark.parametrize("name", ["brain_moco_7ch", "invivo_brain_cimax_16ch", "phantom_cimax_16ch"])
def test_fields_of_view_and_noise_are_no_motion(name, tight, wide, noise):
    """A field that the object fills along y, and that is twice as wide along x, makes lines less alike, too."""
    k = pi.io.load(data_path(f"kspace/{name}.h5")).kspace
    images = pi.backend.fft(k.reshape(k.shape[-3:]), (-2, -1), inverse=True)
    seen = (abs(images) ** 2).sum((0, 2))
    rows = np.flatnonzero(seen > 0.01 * seen.max())
    images = images[:, rows[0]:rows[-1] + 1] if tight else images
    images = np.pad(images, [(0, 0), (0, 0), (images.shape[-1] // 2,) * 2]) if wide else images
    k = pi.backend.fft(np.ascontiguousarray(images), (-2, -1))
    rng = np.random.default_rng(0)
    k = k + noise * abs(k).max() * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))
    assert not [w for w in pi.io.Scan(k.astype(np.complex64)).warnings() if SAID in w]


def test_no_shared_scan_is_said_to_have_moved():
    for path in sorted(data_path("kspace").glob("*.h5")):
        assert not [w for w in pi.io.load(path).warnings() if SAID in w], path


@pytest.mark.parametrize(("call", "message"), [
    (lambda A, y: linops.rigid((4, 5, 6), [[0, 0]]), "is needed"),
    (lambda A, y: linops.rigid((4, 5), [[0, 0, 1]]), "shifts has shape"),
    (lambda A, y: linops.rigid((4, 5), [[0, 0]], [1, 2]), "angles has shape"),
    (lambda A, y: linops.rigid((4, 5), [[0, 0]], [60]), "angles reach 60 degrees"),
    (lambda A, y: linops.rigid((4, 5), [[0, np.nan]]), "NaN"),
    (lambda A, y: signals.motion(linops.sense(A.mps[0]), y[0]), "two states or more"),
    (lambda A, y: signals.motion(A, y[:2]), "y has shape"),
    (lambda A, y: signals.motion(A, y, turns=0), "turns"),
])
def test_what_does_not_fit_is_named(call, message):
    A, image = shots(16)
    with pytest.raises(ValueError, match=message):
        call(A, A(np.stack([image] * 4)))
