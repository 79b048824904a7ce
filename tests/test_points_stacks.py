"""Stacks of stars and spirals: kz stays Cartesian, and everything else is as for points in three dimensions."""

import numpy as np
import pytest
from cases import coord, maps

import pisolve as pi
from pisolve import calib, cli, io, linops, trajectories
from pisolve.backend import fft

SIZE, COILS, SHOTS, SAMPLES = (6, 24, 20), 3, 15, 48
NAMES = ("coil", "kz", "shot", "sample")


def ball():
    """A ball and its coils' maps."""
    z, y, x = (np.linspace(-1, 1, n)[(slice(None), *(None,) * (2 - i))] for i, n in enumerate(SIZE))
    image = (1.0 * (z**2 + y**2 + x**2 < 0.7) + 0.5 * (abs(x) + abs(y) < 0.4)).astype("c8")
    mps = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2 + 0 * z) * np.exp(1j * (a * x + b * y))
                    for a, b in ((-1, 0), (1, 0), (0, 1))])
    return image, (mps / np.linalg.norm(mps, axis=0)).astype("c8")


IMAGE, MPS = ball()
STAR = trajectories.radial(SIZE[1:], SHOTS, SAMPLES)


def star(noise=0.005, **more):
    y = linops.sense(MPS, coord=STAR, axes=NAMES)(IMAGE)
    rng = np.random.default_rng(0)
    y = y + noise * rng.standard_normal((*y.shape, 2)).view(complex)[..., 0]
    return io.Scan(y.astype("c8"), coord=STAR, size=SIZE, axes=NAMES, **more)


def error(x, truth):
    return float(np.linalg.norm(x - truth) / np.linalg.norm(truth))


# --- the operator

@pytest.mark.parametrize("own", [False, True])
def test_it_is_the_transform_of_points_in_three_dimensions(own):
    """Against the 3-D transform at the same points, A, A^H and A^H A, with weights that change along kz and without."""
    mps, rng = maps(2, *(4, 6, 5)), np.random.default_rng(0)
    k = np.stack([coord(3, 4, size=(6, 5), seed=z) for z in range(4)]) if own else coord(3, 4, size=(6, 5))
    whole = np.concatenate([trajectories.stack(k[z] if own else k, 4)[z][None] for z in range(4)])
    for w in (None, 0.1 + rng.random((3, 4)), rng.random((4, 3, 4)) * (np.arange(4) != 1)[:, None, None]):
        A = linops.sense(mps, weights=w, coord=k, axes=NAMES, eps=1e-12)
        full = None if w is None else np.broadcast_to(w, (4, 3, 4))
        B = linops.sense(mps, weights=full, coord=whole, eps=1e-12)
        x = rng.standard_normal((4, 6, 5)) + 1j * rng.standard_normal((4, 6, 5))
        assert error(A(x), B(x)) < 1e-10
        assert error(A.H(A(x)), B.H(B(x))) < 1e-10
        assert error(A.N(x), B.N(x)) < 1e-10
        assert A.iaxes == ("z", "y", "x")


@pytest.mark.parametrize("own", [False, True])
def test_off_resonance_of_stacks(own):
    """Against the 3-D transform; A^H A has convolutions of planes or partitions for its segments, and no pair."""
    mps, rng = maps(2, *(4, 6, 5)), np.random.default_rng(0)
    k = np.stack([coord(3, 4, size=(6, 5), seed=z) for z in range(4)]) if own else coord(3, 4, size=(6, 5))
    whole = np.concatenate([trajectories.stack(k[z] if own else k, 4)[z][None] for z in range(4)])
    field = 100 * rng.random((4, 6, 5))
    times = 1e-3 + 1e-4 * np.arange(12).reshape(3, 4) + (5e-3 * np.arange(4)[:, None, None] if own else 0)
    A, B = (linops.off_resonance(E, field, times, accuracy=1e-10) for E in (
        linops.sense(mps, coord=k, axes=NAMES, eps=1e-12), linops.sense(mps, coord=whole, eps=1e-12)))
    x = rng.standard_normal((4, 6, 5)) + 1j * rng.standard_normal((4, 6, 5))
    y = A(x)
    assert A.coil_axis == -4
    assert error(y, B(x)) < 1e-9
    assert error(A.H(y), B.H(y)) < 1e-9
    assert error(A.N(x), A.H(y)) < 1e-8
    part = A.A.weighted_normal(np.ones((1, 3, 4))).parts[0]
    assert type(part).__name__ == ("Toeplitz" if own else "_Planes")
    assert type(A.N).__name__ == "PointsNormal"


@pytest.mark.parametrize("kz", [5, 12])
def test_a_stack_is_compiled(kz):
    """Partitions of their own: A^H A pads in the plane alone, and holds where the origin of kz is, even and odd."""
    shape, rng = (kz, 20, 18), np.random.default_rng(0)
    k = np.stack([coord(9, 10, size=shape[1:], seed=z) for z in range(kz)])
    A = linops.sense(maps(24, *shape), coord=k, axes=NAMES, eps=1e-9)
    assert A.N.function.parts[0].compiled is not None
    x = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    assert error(A.N(x), A.H(A(x))) < 1e-8


@pytest.mark.parametrize(("change", "words"), [
    ({"coord": np.zeros((5, 3, 4, 2))}, "partitions"), ({"weights": np.ones((3, 3, 4))}, "weights have shape"),
    ({"mps": maps(2, 6, 5)}, "coil, z, y, x")])
def test_what_does_not_fit_is_refused(change, words):
    fields = {"mps": maps(2, *(4, 6, 5)), "coord": coord(3, 4, size=(6, 5)), "weights": None} | change
    with pytest.raises(ValueError, match=words):
        linops.sense(fields["mps"], weights=fields["weights"], coord=fields["coord"], axes=NAMES)


# --- the scan

def test_a_stack_is_a_scan():
    scan = star()
    assert scan.encoding.stacked
    assert scan.image_axes == ("z", "y", "x")
    assert scan.image_shape == SIZE
    assert scan.encoding.density.shape == (1, SHOTS, SAMPLES)
    flat = io.Scan(scan.kspace[:, 0], coord=STAR, size=SIZE[1:], axes=("coil", "shot", "sample"))
    np.testing.assert_array_equal(scan.encoding.density[0], flat.encoding.density)
    assert scan.encoding.acceleration == pytest.approx(flat.encoding.acceleration)
    assert scan.warnings() == []


@pytest.mark.parametrize(("change", "words"), [
    ({"size": (5, 24, 20)}, "6 partitions"), ({"size": (24, 20)}, "kz"), ({"coord": STAR[None][[0] * 5]}, "coord has"),
    ({"axes": ("coil", "kz", "sample", "shot")}, "last ones")])
def test_a_stack_that_does_not_fit_is_refused(change, words):
    fields = {"kspace": star().kspace, "coord": STAR, "size": SIZE, "axes": NAMES} | change
    with pytest.raises(ValueError, match=words):
        io.Scan(**fields)


def test_gridding_is_that_of_its_points():
    scan = star(0)
    k = trajectories.stack(STAR, 6).reshape(-1, SAMPLES, 3)
    weights = np.broadcast_to(scan.encoding.density, (6, SHOTS, SAMPLES)).reshape(-1, SAMPLES)
    theirs = fft(calib.gridded(scan.kspace.reshape(COILS, -1, SAMPLES), k, SIZE, weights), (-3, -2, -1), inverse=True)
    assert error(scan.encoding.gridded(scan.kspace), theirs) < 1e-4


@pytest.mark.parametrize("own", [False, True])
def test_recon_finds_the_ball(own):
    scan = star()
    if own:  # partitions turned against each other
        k = np.stack([trajectories.radial(SIZE[1:], SHOTS, SAMPLES, first=z * SHOTS) for z in range(6)])
        scan = io.Scan(linops.sense(MPS, coord=k, axes=NAMES)(IMAGE), coord=k, size=SIZE, axes=NAMES)
    done = pi.recon(scan, 1e-3 * pi.TV(), max_iter=40)
    gridded = scan.rss()
    assert error(abs(done.x), abs(IMAGE)) < min(0.15, 0.6 * error(gridded, abs(IMAGE)))


def test_planes_along_z_are_problems_of_their_own():
    scan = star(mps=MPS)
    assert scan.separable == ("z",)
    whole, planes = (pi.recon(scan, 0.02 * pi.Tikhonov(), each=each, tol=1e-7, max_iter=200).x
                     for each in (("slice",), ("slice", "z")))
    assert error(planes, whole) < 1e-4
    with pytest.raises(ValueError, match="each='y'"):
        pi.recon(scan, pi.Zero(), each=("slice", "y"))


def test_frames_of_stacks_and_their_mean():
    k = np.stack([trajectories.radial(SIZE[1:], 5, SAMPLES, first=5 * t) for t in range(3)])
    names = ("frame", *NAMES)
    full = np.broadcast_to(k[:, None], (3, 6, *k.shape[1:]))
    y = linops.sense(MPS, coord=full, axes=names, shape=(3, COILS, 6, 5, SAMPLES))(np.stack([IMAGE] * 3))
    scan = io.Scan(y, coord=full, size=SIZE, axes=names)
    still = scan.time_average()
    assert still.coord.shape == (15, SAMPLES, 2)
    assert error(still.kspace, linops.sense(MPS, coord=STAR, axes=NAMES)(IMAGE)) < 1e-5
    done = pi.recon(scan, 0.05 * pi.LLR(), max_iter=20)
    assert done.x.shape == (3, *SIZE)
    assert error(abs(done.x), abs(np.stack([IMAGE] * 3))) < 0.3


def test_spokes_of_partitions_are_withheld():
    scan = star(mps=MPS)
    assert scan.encoding.units().shape == (6, SHOTS, 1)
    less = scan.undersample((np.arange(6)[:, None, None] + np.arange(SHOTS)[:, None]) % 3 > 0)
    assert less.encoding.density.shape == (6, SHOTS, SAMPLES)
    done = pi.recon(less, 1e-3 * pi.TV(), max_iter=40)
    assert error(abs(done.x), abs(IMAGE)) < 0.2
    found = pi.tune(scan, pi.TV(), strengths=[1e-4, 1e-3, 0.3], refine=0, max_iter=6)
    assert found.strength < 0.3


def test_a_field_and_times_of_a_stack(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    field = (np.linspace(-60, 60, 20) * np.linspace(1, 2, 6)[:, None, None] + np.zeros(SIZE)).astype("f4")
    times = 1e-3 + 2e-4 * np.arange(SAMPLES)
    y = linops.off_resonance(linops.sense(MPS, coord=STAR, axes=NAMES), field, times)(IMAGE)
    scan = io.Scan(y, coord=STAR, size=SIZE, axes=NAMES, mps=MPS, field_map=field, times=times)
    on, off = (pi.recon(scan, 0.02 * pi.Tikhonov(), max_iter=30, off_resonance=o).x for o in (True, False))
    assert error(on, IMAGE) < 0.6 * error(off, IMAGE)
    planes = pi.recon(scan, 0.02 * pi.Tikhonov(), max_iter=30, each=("slice", "z")).x
    assert error(planes, on) < 0.03
    np.testing.assert_array_equal(scan.parts(("slice", "z"))[4].field_map, field[4])
    assert pi.tune(scan, pi.Tikhonov(), strengths=[1e-3, 1e-2, 10.0], refine=0, max_iter=6).strength < 1
    io.save_scan("s.npz", scan)
    assert cli.main(["recon", "s.npz", "-o", "x.h5", "--prior", "tikhonov", "--lam", "0.02", "--max-iter", "30"]) == 0
    assert "segments" in capsys.readouterr().out
    assert error(io.load_image("x.h5"), on) < 1e-4


def test_from_a_file_and_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scan = star()
    np.savez("s.npz", kspace=scan.kspace, coord=STAR, size=SIZE, axes=["coil", "kz", "spoke", "sample"])
    assert cli.main(["info", "s.npz"]) in (0, None)
    assert "in each of 6 partitions" in capsys.readouterr().out
    assert cli.main(["recon", "s.npz", "-o", "x.h5", "--prior", "tv", "--max-iter", "4"]) == 0
    assert io.load_image("x.h5").shape[-3:] == SIZE
