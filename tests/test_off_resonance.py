"""Off-resonance: the operator against the direct sum, field maps of echoes, and scans that carry their field."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import coord, maps

import pisolve as pi
from pisolve import calib, cli, io, linops, testing, trajectories
from pisolve.backend.phases import Segments
from pisolve.backend.points import PointTransform

DATA = Path(os.environ.get("PISOLVE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SHARED = pytest.mark.skipif(not DATA.exists(), reason="the shared scans are not here (PISOLVE_DATA)")
N = (32, 28)
Y, X = (np.linspace(-1, 1, n) for n in N)
FIELD = 90 * np.exp(-3 * ((Y[:, None] - 0.2) ** 2 + (X - 0.3) ** 2)) - 40 * X + 10


def direct(A, field, times, x, base):
    """sum_r A[j, r] exp(2 pi i f(r) t_j) x(r), by the columns of the plain encoding."""
    M = linops.dense(base).reshape(*base.oshape, -1)
    t = np.broadcast_to(A.with_coils(times[None])[0], base.oshape)
    return (M * np.exp(2j * np.pi * t[..., None] * field.ravel()) * x.ravel()).sum(-1)


def spiral():
    return trajectories.spiral(N, 4, 300)


TIMES = 1e-3 + 3e-5 * np.arange(300)
BASES = {"nufft": (lambda: linops.nufft(N, spiral(), eps=1e-9), TIMES),
         "sense": (lambda: linops.sense(maps(2, *N), coord=spiral(), eps=1e-9), TIMES),
         "epi": (lambda: linops.sense(maps(2, *N), np.arange(32)[:, None] % 2 == 0),
                 5e-3 + 4e-4 * np.arange(32)[:, None] + 5e-6 * np.arange(28) * (-1) ** np.arange(32)[:, None])}


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("kind", BASES)
def test_it_equals_the_direct_sum_as_far_as_it_says(kind, accuracy, rng):
    make, times = BASES[kind]
    base = make()
    A = linops.off_resonance(base, FIELD, times, accuracy=accuracy)
    assert A.error <= accuracy
    assert A.normal_error <= accuracy
    assert f"{A.segments} segments, error" in repr(A)
    values = A._chosen.interpolators(np.unique(times)) @ A._chosen.factors(FIELD.ravel())
    worst = abs(values - np.exp(2j * np.pi * np.multiply.outer(np.unique(times), FIELD.ravel()))).max()
    assert worst <= 1.02 * A.error  # of every sample and pixel
    x = testing.random(N, rng, "complex128")
    exact = direct(A, FIELD, times, x, base)
    assert testing.distance(A(x), exact) <= A.error + 1e-8
    assert testing.distance(A.N(x), base.H(base(x))) > 0.1  # there is something to correct
    E = linops.off_resonance(base, FIELD, times, accuracy=1e-11)
    assert testing.distance(A.N(x), E.H(E(x))) <= 3 * A.normal_error + 1e-8


FRAMES = np.stack([spiral(), spiral()[:, ::-1]])
NORMALS = {**BASES, "frames": (lambda: linops.sense(maps(2, *N), coord=FRAMES, shape=(2, 2, 4, 300), eps=1e-9,
                                                    axes=("frame", "coil", "shot", "sample")), TIMES),
           "stack": (lambda: linops.sense(maps(2, 3, *N), coord=spiral(), axes=("coil", "kz", "shot", "sample"),
                                          eps=1e-9), TIMES)}


@pytest.mark.parametrize("kind", ["nufft", "sense", "frames", "stack"])
def test_its_normal_operator_is_toeplitz_segment_by_segment(kind, rng, monkeypatch):
    """One kernel for each segment and trajectory; no transform to the points, and none back."""
    make, times = NORMALS[kind]
    A = linops.off_resonance(make(), FIELD, times, accuracy=1e-8)
    x = testing.random(A.ishape, rng, "complex128")
    pair, made, kernel = A.H(A(x)), [], PointTransform.kernel

    def counted(self, weights=None, dtype=complex):
        made.append(weights)
        return kernel(self, weights, dtype)

    def refused(self, *arrays):
        raise AssertionError("A.N went to the points")

    monkeypatch.setattr(PointTransform, "kernel", counted)
    monkeypatch.setattr(PointTransform, "forward", refused)
    monkeypatch.setattr(PointTransform, "backward", refused)
    assert testing.distance(A.N(x), pair) < 3e-7
    assert len(made) == A.normal_segments * (2 if kind == "frames" else 1)
    assert A.normal_segments > 3
    A.N(x)
    assert len(made) == A.normal_segments * (2 if kind == "frames" else 1)  # they are made once


def test_segments_are_no_more_than_it_takes():
    """About the turns between the slowest and the fastest pixel, and a few more; one more turn, one more segment."""
    rng = np.random.default_rng(0)
    count = [len(Segments(rng.uniform(-f, f, 2000), 0, 0.02, accuracy=1e-4)) for f in (0.0, 50, 200, 400)]
    assert count[0] == 1
    assert count[1] <= 8
    assert count[2] - count[1] == pytest.approx(6, abs=3)
    assert count[3] - count[2] == pytest.approx(8, abs=3)
    few = Segments(rng.uniform(-200, 200, 2000), 0, 0.02, count=8)
    assert len(few) == 8
    assert few.error > 1e-3
    two = np.r_[np.zeros(2000), np.full(50, 300.0)]  # water and fat: two frequencies, two segments
    assert len(Segments(two, 0, 0.02, accuracy=1e-3)) <= 6


def test_pixels_that_no_coil_sees_do_not_count():
    mps = maps(2, *N)
    mps[:, :10] = 0
    field = FIELD.copy()
    field[:10] = 5000
    A = linops.off_resonance(linops.sense(mps, coord=spiral()), field, TIMES)
    assert A.segments <= linops.off_resonance(linops.sense(maps(2, *N), coord=spiral()), FIELD, TIMES).segments


def test_a_constant_added_to_the_times_turns_the_image_only(rng):
    base, x = linops.nufft(N, spiral()), testing.random(N, rng, "complex128")
    early, late = (linops.off_resonance(base, FIELD, TIMES + t, accuracy=1e-8) for t in (0, 0.01))
    assert testing.distance(late(x), early(x * np.exp(2j * np.pi * FIELD * 0.01))) < 1e-6


def test_coordinates_keep_their_gradient():
    k = torch.tensor(coord(2, 6, size=(5, 4)), requires_grad=True)
    base = linops.nufft((5, 4), k, eps=1e-12)
    x = torch.from_numpy(testing.random((5, 4), np.random.default_rng(0), "complex128"))
    A = linops.off_resonance(base, FIELD[:5, :4], TIMES[:6] * 10, accuracy=1e-10)
    y = pi.as_torch(A)(x)
    assert testing.distance(y.detach().numpy(), A(x.numpy())) < 1e-10
    (g,) = torch.autograd.grad((y.abs() ** 2).sum(), k)
    h, moved = 1e-6, k.detach().numpy().copy()
    moved[1, 3, 0] += h
    B = linops.off_resonance(linops.nufft((5, 4), moved, eps=1e-12), FIELD[:5, :4], TIMES[:6] * 10, accuracy=1e-10)
    slope = (np.linalg.norm(B(x.numpy())) ** 2 - np.linalg.norm(A(x.numpy())) ** 2) / h
    assert float(g[1, 3, 0]) == pytest.approx(slope, rel=1e-3)
    (same,) = torch.autograd.grad((pi.as_torch(A.N)(x) * x.conj()).real.sum(), k)  # ||A x||^2 by A^H A
    np.testing.assert_allclose(same, g, atol=1e-6 * float(abs(g).max()))


# --- bad input

BAD = [({"times": TIMES[::-1]}, "do not increase"), ({"times": TIMES - 2e-3}, "goes down to -0.001"),
       ({"times": TIMES[:-1]}, r"times has shape \(299,\), the samples \(4, 300\)"),
       ({"times": np.where(TIMES > 5e-3, np.nan, TIMES)}, "times holds NaN"), ({"times": 1e3 * TIMES}, "milliseconds"),
       ({"times": 1e6 * TIMES}, "microseconds"), ({"times": 1e-3}, "must be an array of seconds"),
       ({"field_map": FIELD.T}, r"field_map has shape \(28, 32\), the image \(32, 28\)"),
       ({"field_map": np.where(FIELD > 60, np.nan, FIELD)}, "field_map holds NaN"),
       ({"field_map": FIELD + 0j}, "field_map has dtype complex128"),
       ({"field_map": [1.0]}, "must be an array of the field in Hz")]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_fields_and_times_are_refused(change, words):
    given = {"field_map": FIELD, "times": TIMES} | change
    with pytest.raises((ValueError, TypeError), match=words):
        linops.off_resonance(linops.sense(maps(2, *N), coord=spiral()), **given)
    with pytest.raises((ValueError, TypeError), match=words):
        io.Scan(np.ones((2, 4, 300), "c8"), coord=spiral(), size=N, **given)


def test_lines_read_backwards_are_in_order():
    times = 1e-3 + 1e-5 * np.arange(28)[::-1]
    linops.off_resonance(linops.sense(maps(2, *N)), FIELD, times)
    with pytest.raises(ValueError, match="neither rise nor fall"):
        linops.off_resonance(linops.sense(maps(2, *N)), FIELD, np.roll(times, 3))
    with pytest.raises(ValueError, match="accuracy must be"):
        linops.off_resonance(linops.sense(maps(2, *N)), FIELD, times, accuracy=0)


@pytest.mark.parametrize(("factor", "words"), [(1, None), (2 * np.pi * 4, "rad/s"), (1 / 63.9, "ppm multiply")])
def test_a_field_in_other_units_is_doubted(factor, words):
    scan = _scan()
    told = pi.io.Scan(scan.kspace, coord=scan.coord, size=N, times=scan.times[0], field_map=factor * FIELD).warnings()
    assert told == [] if words is None else any(words in t for t in told)


# --- scans

HEAD = pi.phantom.brain(N, 3)
MPS = (HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)).astype("c8")
SLOW = 1e-3 + 8e-5 * np.arange(300)  # so that the blurring is gross


def _scan(slices=0, **more):
    base = linops.sense(MPS, coord=spiral(), eps=1e-9)
    A = linops.off_resonance(base, FIELD, SLOW, accuracy=1e-9)
    y = A(HEAD.image.astype("c16"))
    y = (y + 1e-3 * testing.random(y.shape, np.random.default_rng(0))).astype("c8")
    if not slices:
        return io.Scan(y, coord=spiral(), size=N, mps=MPS, field_map=FIELD, times=SLOW, **more)
    plain = base(HEAD.image.astype("c16")).astype("c8")
    return io.Scan(np.stack([y, plain]), coord=spiral(), size=N, mps=MPS, times=SLOW,
                   field_map=np.stack([FIELD, 0 * FIELD]), axes=("slice", "coil", "shot", "sample"))


def nrmse(image):
    return testing.distance(abs(image), abs(HEAD.image))


def test_recon_corrects_by_itself_and_a_recipe_switches_it_off():
    scan, prior = _scan(), 1e-4 * pi.Tikhonov()
    done, off = (pi.recon(scan, prior, max_iter=30, off_resonance=o) for o in (True, False))
    assert nrmse(done.x) < 0.6 * nrmse(off.x)
    assert done.agreement.residual < 0.02 < off.agreement.residual
    assert pi.Recipe.from_dict(off.recipe.to_dict()).off_resonance is False
    assert "off_resonance" not in done.recipe.to_dict()
    np.testing.assert_array_equal(pi.recon(scan._with(field_map=None), prior, max_iter=30).x, off.x)
    for prior in (1e-3 * pi.TV(), pi.PnP(lambda x, sigma: x / (1 + sigma), sigma=0.01)):
        assert pi.recon(scan, prior, max_iter=4).ok
    with pytest.raises(ValueError, match="off_resonance=False"):
        grid = _epi()
        pi.recon(grid, method=pi.Spirit())
    assert pi.recon(grid, method=pi.Spirit(), off_resonance=False, max_iter=3).ok


def _epi():
    """Echo-planar lines: the field shifts pixels along ky."""
    times = 2e-3 + 7e-4 * np.arange(32)[:, None]
    A = linops.off_resonance(linops.sense(MPS), FIELD, times)
    return io.Scan(A(HEAD.image.astype("c8")), mps=MPS, field_map=FIELD, times=times)


def test_on_a_grid_distortion_is_undone():
    scan = _epi()
    done, off = (pi.recon(scan, 1e-4 * pi.Tikhonov(), max_iter=60, off_resonance=o) for o in (True, False))
    assert nrmse(off.x) > 0.25
    assert nrmse(done.x) < 0.1
    less = pi.recon(scan, 1e-3 * pi.TV(), sampling=pi.Sampling("equispaced", accel=2), max_iter=60)
    assert nrmse(less.x) < 0.2
    sight = pi.evaluate.visibility(scan.undersample(np.arange(32)[:, None] % 3 > 0)).determined
    assert sight[abs(HEAD.image) > 0].mean() > 0.5
    tuned = pi.recon(scan, pi.TV(), sampling=pi.Sampling("random", accel=2), tune="holdout", max_iter=1)
    assert tuned.ok


def test_parts_and_selections_keep_their_field_and_times():
    scan = _scan(slices=2)
    assert scan.field_map.shape == (2, *N)
    assert scan.times.shape == (1, 1, 300)
    assert scan.select(1).field_map.max() == 0
    parts = scan.parts()
    np.testing.assert_array_equal(parts[0].field_map, FIELD.astype("f4"))
    assert parts[0].times.shape == (1, 300)
    less = scan.undersample((np.arange(4) % 2 == 0)[:, None])
    np.testing.assert_array_equal(less.times, scan.times)
    done = pi.recon(scan, 1e-4 * pi.Tikhonov(), max_iter=30)
    assert nrmse(done.x[0]) < 1.3 * nrmse(done.x[1])
    frames = io.Scan(np.stack([parts[0].kspace] * 3), coord=spiral(), size=N, mps=MPS, times=SLOW, field_map=FIELD,
                     axes=("frame", "coil", "shot", "sample"))
    assert frames.field_map.shape == (1, *N)
    assert frames.select(frame=slice(1, 3)).field_map.shape == (1, *N)
    assert frames.time_average().times is None
    assert nrmse(pi.recon(frames, 1e-4 * pi.Tikhonov(), max_iter=30).x[1]) == pytest.approx(nrmse(done.x[0]), rel=0.1)
    assert pi.noise_map(pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=3), parts[0]._with(mps=MPS), replicas=2).std.any()


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_files_and_the_command_line(suffix, tmp_path, monkeypatch, capsys):
    import h5py

    monkeypatch.chdir(tmp_path)
    scan = _scan()
    arrays = {"kspace": scan.kspace, "coord": scan.coord, "mps": MPS, "size": N, "axes": ["coil", "spoke", "sample"]}
    more = {"fieldmap_hz" if suffix == ".h5" else "field_map": FIELD, "time" if suffix == ".h5" else "times": SLOW}
    if suffix == ".npz":
        np.savez("s.npz", **arrays, **more)
    else:
        with h5py.File("s.h5", "w") as file:
            for name in ("kspace", "coord", "mps"):
                file[name] = arrays[name]
            file.attrs["size"], file.attrs["axes"] = N, "coil,spoke,sample"
            for name, value in more.items():
                file[name] = value
    read = io.load(f"s{suffix}")
    np.testing.assert_array_equal(read.field_map, scan.field_map)
    np.testing.assert_array_equal(read.times, scan.times)
    assert cli.main(["info", f"s{suffix}"]) in (0, None)
    assert "ms: recon corrects it" in capsys.readouterr().out
    line = ["recon", f"s{suffix}", "--prior", "tikhonov", "--lam", "1e-4", "--max-iter", "20", "-o"]
    assert cli.main([*line, "on.h5"]) == 0
    told = capsys.readouterr().out
    assert "off-resonance" in told
    assert "segments, error" in told
    assert cli.main([*line, "off.h5", "--no-off-resonance"]) == 0
    assert "segments" not in capsys.readouterr().out
    assert nrmse(io.load_image("on.h5")[0]) < 0.7 * nrmse(io.load_image("off.h5")[0])
    np.save("b0.npy", 0.0 * FIELD)
    assert cli.main([*line, "none.h5", "--field-map", "b0.npy"]) == 0
    assert testing.distance(io.load_image("none.h5"), io.load_image("off.h5")) < 1e-3
    io.save("b0.h5", FIELD)
    assert cli.main([*line, "own.h5", "--field-map", "b0.h5"]) == 0
    assert testing.distance(io.load_image("own.h5"), io.load_image("on.h5")) < 1e-5
    assert cli.main(["recon", f"s{suffix}", "-o", "again.h5", "--recipe", "off.h5"]) == 0
    np.testing.assert_array_equal(io.load_image("again.h5"), io.load_image("off.h5"))


def test_times_alone_are_told_and_time_alone_is_not_taken(tmp_path):
    scan = _scan()
    np.savez(tmp_path / "s.npz", kspace=scan.kspace, coord=scan.coord, size=N, time=np.arange(7))
    assert io.load(tmp_path / "s.npz").times is None
    from pisolve.scan.field import told

    assert "no times of the samples" in told(scan._with(times=None))
    assert "no field map" in told(scan._with(field_map=None))


def test_mrd_keeps_them(tmp_path):
    pytest.importorskip("ismrmrd")
    one = _epi()
    scan = io.Scan(np.stack([one.kspace] * 2), field_map=np.stack([FIELD, 2 * FIELD]), times=one.times)
    io.save_mrd(tmp_path / "s.h5", scan)
    read = io.load(tmp_path / "s.h5")
    np.testing.assert_array_equal(read.field_map, scan.field_map)
    np.testing.assert_array_equal(read.times, scan.times)
    part = io.load(tmp_path / "s.h5", part={"slice": 1})
    np.testing.assert_array_equal(np.squeeze(part.field_map), scan.field_map[1])


# --- field maps

def test_from_echoes_to_a_corrected_image():
    images = np.stack([HEAD.image * np.exp(2j * np.pi * FIELD * t) for t in (0.002, 0.0045)])
    images += 0.02 * testing.random(images.shape, np.random.default_rng(3), "complex128")
    scan = _scan()
    found = calib.field_map(images, [0.002, 0.0045])
    known, own = (pi.recon(pi.io.Scan(scan.kspace, mps=MPS, coord=scan.coord, size=N, times=SLOW, field_map=f),
                           1e-4 * pi.Tikhonov(), max_iter=30) for f in (FIELD, found))
    assert nrmse(own.x) < nrmse(known.x) + 0.05
    assert nrmse(own.x) < 0.6 * nrmse(pi.recon(scan, 1e-4 * pi.Tikhonov(), max_iter=30, off_resonance=False).x)


def echoes(field, times, noise=0.02, seed=0, phase=None):
    size = np.hypot(Y[:, None], X) < 0.9
    offset = np.exp(1j * (2 * X + Y[:, None]))
    images = np.stack([size * offset * np.exp(2j * np.pi * field * t) for t in times])
    if phase is not None:
        images[1::2] *= phase
    return images + noise * testing.random(images.shape, np.random.default_rng(seed), "complex128"), size


@pytest.mark.parametrize("times", [[0.002, 0.0045], [0.004, 0.009, 0.015], [0.003, 0.006, 0.009, 0.012]])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_field_maps_of_echoes(times, scale):
    images, inside = echoes(scale * FIELD, times)
    found = calib.field_map(images, times)
    assert np.sqrt(np.mean((found - scale * FIELD)[inside] ** 2)) < 2.5 * scale
    assert np.isfinite(found).all()


def test_echoes_that_were_read_backwards():
    ramp = np.exp(1j * (0.9 + 1.5 * X))
    images, inside = echoes(FIELD, [0.004, 0.009, 0.015], phase=ramp)
    found = calib.field_map(images, [0.004, 0.009, 0.015])
    assert np.sqrt(np.mean((found - FIELD)[inside] ** 2)) < 2


def test_field_maps_of_scans_coils_slices_and_volumes():
    times = [0.002, 0.004]
    images, inside = echoes(FIELD, times, 0)
    coils = images[:, None] * MPS
    from pisolve.backend import fft

    scan = io.Scan(fft(np.stack([coils, coils]), (-2, -1)).astype("c8"), axes=("slice", "echo", "coil", "ky", "kx"),
                   meta={"echo_times": times})
    found = calib.field_map(scan)
    assert found.shape == (2, *N)
    assert abs((found[0] - FIELD)[inside & (abs(HEAD.image) > 0)]).mean() < 2
    np.testing.assert_allclose(found[0], calib.field_map(coils, times, axes=("echo", "coil", "y", "x")), atol=0.05)
    volume = calib.field_map(np.repeat(images[:, None], 3, 1), times, axes=("echo", "z", "y", "x"))
    assert volume.shape == (3, *N)
    assert abs((volume[1] - FIELD)[inside]).mean() < 1.5


@pytest.mark.parametrize(("images", "times", "words"), [
    (np.ones((2, 8, 8)), [1e-3, 2e-3], "are real"), (np.ones((2, 8, 8), complex), [1, 8], "milliseconds"),
    (np.ones((2, 8, 8), complex), [2e-3, 1e-3], "increase"), (np.ones((2, 8, 8), complex), [1e-3], "1 entries"),
    (np.ones((2, 8, 8), complex), None, "echo_times are needed"),
    (np.ones((2, 3, 8, 8), complex), [1e-3, 2e-3], "name them"), (io.Scan(np.ones((2, 8, 8), "c8")), None, "'echo'")])
def test_bad_echoes(images, times, words):
    with pytest.raises((ValueError, TypeError), match=words):
        calib.field_map(images, times)


def test_unwrapping_goes_around_what_is_noisy():
    true = 12 * np.exp(-2 * (Y[:, None] ** 2 + X**2))
    phase, weights = np.angle(np.exp(1j * true)), np.ones(N)
    rng = np.random.default_rng(1)
    bad = rng.random(N) < 0.15
    phase[bad], weights[bad] = rng.uniform(-3, 3, bad.sum()), 1e-3
    found = calib.unwrap(phase, weights)
    off = (found - true)[~bad]
    assert abs(off - 2 * np.pi * np.rint(np.median(off) / 2 / np.pi)).max() < 1e-9
    apart = weights * (abs(X) > 0.2)
    assert np.isfinite(calib.unwrap(phase, apart)).all()
    with pytest.raises(TypeError, match="angle"):
        calib.unwrap(np.exp(1j * phase))
    with pytest.raises(ValueError, match="weights has shape"):
        calib.unwrap(phase, weights[:3])


# --- shared scans

@SHARED
def test_the_echoes_of_a_phantom_read_one_way_and_both_ways():
    found = [calib.field_map(scan := io.load(DATA / "kspace" / f"gre_3echoes_{n}.h5")) for n in ("unipolar", "bipolar")]
    size = np.linalg.norm(scan.rss(), axis=0)
    inside = size > 0.3 * np.percentile(size, 99)
    levels = np.array([np.percentile(f[inside], (5, 50, 95)) for f in found])
    np.testing.assert_allclose(levels[:, ::2], [[-45, 14]] * 2, atol=1.5)
    assert abs(levels[0] - levels[1]).max() < 1
    off = abs(found[0] - found[1])[inside]
    assert np.median(off) < 1.2
    assert np.percentile(off, 98) < 5  # no part of the object is whole turns off


@SHARED
def test_the_field_of_a_head_is_its_own_source_s():
    import h5py
    import scipy.ndimage

    with h5py.File(DATA / "maps" / "b0_phase_64.h5") as file:
        images, own, size = file["image"][0], file["fieldmap128_hz"][()], file["mag128"][()]
    found = calib.field_map(images, [0, 0.002])
    large = scipy.ndimage.zoom(found.T, 2, order=1)
    inside = size > 0.2 * size.max()
    assert np.corrcoef(large[inside], own[inside])[0, 1] > 0.9965


@SHARED
def test_the_spiral_with_a_field(tmp_path, monkeypatch):
    import h5py

    path = DATA / "noncartesian" / "spiral_b0_sim.h5"
    with h5py.File(path) as file:
        truth, inside = file["image_clean"][1], file["mask"][1]
    line = ["recon", str(path), "--slices", "1", "--prior", "tikhonov", "--max-iter", "20", "-o"]
    monkeypatch.chdir(tmp_path)
    error = {}
    for name, more in (("on", []), ("off", ["--no-off-resonance"])):
        assert cli.main([*line, f"{name}.h5", *more]) == 0
        image = abs(np.squeeze(io.load_image(f"{name}.h5")))[inside]
        image *= (image @ truth[inside]) / (image @ image)
        error[name] = testing.distance(image, truth[inside])
    assert error["off"] > 0.15
    assert error["on"] < 0.055
