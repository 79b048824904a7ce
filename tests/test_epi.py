"""EPI from its lines: ramps, delays, phases and ghosts that are known, in arrays, files and on the command line."""

import h5py
import numpy as np
import pytest
from cases import epi_lines
from conftest import data_path

import pisolve as pi
import pisolve.cli
from pisolve.backend import fft

SHAPE, DWELL, FOV = (48, 40), 5e-6, 0.2
COORD, TIME = pi.trajectories.epi(SHAPE, FOV, DWELL)
KX, KY = COORD[..., 1], COORD[:, 0, 0].astype(int)
BRAIN = pi.phantom.brain(SHAPE, 4)
DELAY, PHASE = 0.7, 0.3


def near(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def noisy(lines, level, seed=0):
    rng = np.random.default_rng(seed)
    return lines + level * abs(lines).max() * rng.standard_normal((*lines.shape, 2)).view(complex)[..., 0]


def navigators(delay=DELAY, phase=PHASE, lines=7, hertz=400.0):
    """The centre of k-space again and again, off resonance and fading."""
    each = np.exp((2j * np.pi * hertz - 20) * (TIME[1, 0] - TIME[0, 0]) * np.arange(lines))
    return epi_lines(BRAIN.kspace, KX[:lines], np.zeros(lines, int), delay, phase) * each[:, None]


LINES = epi_lines(BRAIN.kspace, KX, KY, DELAY, PHASE)


def ball(n=64):
    """An object of less than half the field of view."""
    y, x = np.mgrid[:n, :n] - n // 2
    return fft((y**2 + x**2 < (n / 5) ** 2).astype(complex), (-2, -1))[None]


# --- arrays


def test_ramp_samples_come_onto_the_grid():
    done = pi.calib.epi(epi_lines(BRAIN.kspace, KX, KY), KX, KY, SHAPE, by="none", time=TIME)
    assert near(done.kspace, BRAIN.kspace) < 1e-3
    assert done.mask.all()
    assert (done.errors.delay, done.errors.phase, done.errors.by) == (0, 0, "none")
    np.testing.assert_allclose(done.time[KY + SHAPE[0] // 2, SHAPE[1] // 2], TIME.mean(1))  # lines are symmetric


@pytest.mark.parametrize("phase", [0.3, -0.5, 2.0, -3.0])
@pytest.mark.parametrize("hertz", [0.0, 400.0, -300.0])
def test_navigators_tell_delay_and_phase(phase, hertz):
    """Beyond a quarter turn too, off resonance by up to a quarter of a turn a line."""
    nav = noisy(navigators(phase=phase, hertz=hertz), 2e-3)
    found = pi.calib.epi_ghost(LINES, KX, KY, SHAPE, nav=nav)
    assert found.by == "navigator"
    assert found.delay == pytest.approx(DELAY, abs=0.02)
    assert found.phase == pytest.approx(phase, abs=0.02)


@pytest.mark.parametrize(("by", "bound"), [("navigator", 0.01), ("entropy", 0.03)])
def test_the_ghost_goes(by, bound):
    done = pi.calib.epi(LINES, KX, KY, SHAPE, nav=navigators(lines=3) if by == "navigator" else None)
    assert done.errors.by == by
    assert near(done.kspace, BRAIN.kspace) < bound
    left = pi.calib.epi(LINES, KX, KY, SHAPE, by="none")
    assert near(left.kspace, BRAIN.kspace) > 0.3
    assert left.ghost is None


def test_entropy_tells_delay_and_phase_in_noise():
    found = pi.calib.epi_ghost(noisy(LINES, 2e-3), KX, KY, SHAPE, by="entropy")
    assert found.delay == pytest.approx(DELAY, abs=0.05)
    assert found.phase == pytest.approx(PHASE, abs=0.05)


@pytest.mark.parametrize("phase", [0.1, 0.5, 1.0])
def test_a_phase_alone_has_a_known_ghost(phase):
    """Half the lines turned by phase: object cos(phase / 2), ghost sin(phase / 2)."""
    kspace = ball()
    ky = np.arange(64) - 32
    kx = np.where(ky[:, None] % 2, 31.5 - np.arange(64), np.arange(64) - 31.5)
    done = pi.calib.epi(epi_lines(kspace, kx, ky, 0, phase), kx, ky, (64, 64))
    assert done.ghost[0] == pytest.approx(np.tan(phase / 2), rel=0.05)
    assert done.ghost[1] < 0.01
    assert pi.calib.ghost_level(fft(kspace[0], (-2, -1), inverse=True)) < 0.01


def test_parts_have_phases_of_their_own():
    both = np.stack([epi_lines(BRAIN.kspace, KX, KY, DELAY, p) for p in (0.2, -0.4)])
    nav = np.stack([navigators(phase=p) for p in (0.2, -0.4)])
    ky = np.stack([KY, KY[::-1]])
    both[1] = epi_lines(BRAIN.kspace, KX, KY[::-1], DELAY, -0.4)
    for more in ({"nav": nav}, {}):
        done = pi.calib.epi(both, KX, ky, SHAPE, **more)
        np.testing.assert_allclose(done.errors.phase, [0.2, -0.4], atol=0.03)
        assert max(near(k, BRAIN.kspace) for k in done.kspace) < 0.03


@pytest.mark.parametrize("by", ["navigator", "entropy"])
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(by, scale):
    lines, nav = (np.complex64(scale) * a.astype(np.complex64) for a in (LINES, navigators()))
    done = pi.calib.epi(lines, KX, KY, SHAPE, nav=nav, by=by)
    assert done.kspace.dtype == np.complex64
    assert done.errors.delay == pytest.approx(DELAY, abs=0.02)
    assert done.errors.phase == pytest.approx(PHASE, abs=0.02)
    assert near(done.kspace / scale, BRAIN.kspace) < 0.03
    assert done.ghost[0] > 0.2 > done.ghost[1]


def test_lines_that_were_left_out():
    keep = np.flatnonzero((KY % 2 == 0) & (KY > -16))
    kx = np.where(np.arange(len(keep))[:, None] % 2, -KX[0], KX[0])
    done = pi.calib.epi(epi_lines(BRAIN.kspace, kx, KY[keep], DELAY, PHASE), kx, KY[keep], SHAPE, nav=navigators())
    rows = np.isin(np.arange(48) - 24, KY[keep])
    assert (done.mask == rows[:, None]).all()
    assert near(done.kspace, BRAIN.kspace * rows[:, None]) < 0.01
    assert done.ghost is None


@pytest.mark.parametrize(("changes", "kind", "message"), [
    ({"kx": KX * 2 * np.pi / 40}, ValueError, "radians"),
    ({"kx": KX / FOV}, ValueError, "multiply them by"),
    ({"kx": KX[:, 1:]}, ValueError, r"\(line, sample\)"),
    ({"kx": abs(KX)}, ValueError, "turns back within line 0"),
    ({"ky": KY + 0.5}, ValueError, "whole numbers"),
    ({"ky": KY + 24}, ValueError, "subtract 24"),
    ({"ky": KY[1:]}, ValueError, "one number a line"),
    ({"ky": COORD[..., 0]}, ValueError, "give Scan coord="),
    ({"kspace": abs(LINES[0])}, ValueError, r"\(..., coil, line, sample\)"),
    ({"shape": (48, 40, 2)}, ValueError, r"\(y, x\)"),
    ({"by": "navigator"}, ValueError, "has none, take by='entropy'"),
    ({"by": "navigators"}, ValueError, "did you mean 'navigator'|one of"),
    ({"nav": navigators(lines=2)}, ValueError, "three lines in turn"),
    ({"nav": navigators()[:2]}, ValueError, "of its coils"),
    ({"nav": navigators(), "nav_kx": KX[:3]}, ValueError, "nav_kx has shape"),
    ({"time": TIME[:, ::-1]}, ValueError, "increasing along a line"),
    ({"errors": (0.7, 0.3)}, TypeError, "EpiErrors"),
    ({"errors": pi.calib.EpiErrors(0.7, np.zeros(3))}, ValueError, "3 phases"),
])
def test_bad_input(changes, kind, message):
    with pytest.raises(kind, match=message):
        pi.calib.epi(**{"kspace": LINES, "kx": KX, "ky": KY, "shape": SHAPE} | changes)


def test_samples_too_far_apart_are_told():
    with pytest.warns(UserWarning, match="cells of 1 / field of view apart"):
        pi.calib.epi(LINES[..., ::2], KX[:, ::2], KY, SHAPE, by="none")


# --- files


def write(path, **changes):
    arrays = {"kspace": LINES.astype(np.complex64), "kx": KX, "ky": KY, "nav": navigators(), "dwell_s": DWELL,
              "axes": "coil,line,sample", "img_shape": SHAPE} | changes
    arrays = {n: a for n, a in arrays.items() if a is not None}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                if name in ("axes", "img_shape", "dwell_s"):
                    file.attrs[name] = value
                else:
                    file[name] = value
    return path


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_file_of_lines(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    scan = pi.io.load(path)
    assert scan.axes == ("coil", "ky", "kx")
    assert near(scan.kspace, BRAIN.kspace) < 0.01
    told = scan.meta["epi"]
    assert told["by"] == "navigator"
    assert told["delay_us"] == pytest.approx(1e6 * DELAY * DWELL, rel=0.02)
    assert told["phase_rad"] == pytest.approx([PHASE], abs=0.01)
    assert told["ghost"][1] < told["ghost"][0]
    assert pi.io.load(path, epi="entropy").meta["epi"]["by"] == "entropy"
    assert near(pi.io.load(path, epi="none").kspace, BRAIN.kspace) > 0.3
    with pytest.raises(ValueError, match=f"b{suffix}: .*has none, take"):
        pi.io.load(write(tmp_path / f"b{suffix}", nav=None), epi="navigator")


def test_slices_with_lines_in_their_own_order_and_back(tmp_path):
    pytest.importorskip("ismrmrd")
    both = np.stack([LINES, epi_lines(BRAIN.kspace, KX, KY[::-1], DELAY, PHASE)]).astype(np.complex64)
    scan = pi.io.load(write(tmp_path / "a.h5", kspace=both, ky=np.stack([KY, KY[::-1]]), axes="slice,coil,line,sample"))
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert scan.mask.shape == SHAPE
    assert near(scan.kspace[1], scan.kspace[0]) < 0.02
    pi.io.save_mrd(tmp_path / "a.mrd", scan)
    again = pi.io.load(tmp_path / "a.mrd")
    assert (again.kspace == scan.kspace).all()
    assert again.meta["epi"] == scan.meta["epi"]


def test_a_file_may_say_polarity(tmp_path):
    """One forward line's kx, and the direction of each; a size from the reach, three navigators of directions."""
    way = np.where(np.arange(48) % 2, -1, 1)
    scan = pi.io.load(write(tmp_path / "a.h5", kx=KX[0], polarity=way, img_shape=None, nav=navigators()[:, 1:4],
                            nav_polarity=way[1:4]))
    assert near(scan.kspace, BRAIN.kspace) < 0.01
    assert "(48, 40)" in scan.meta["assumed"]
    for changes, message in (({"polarity": -way}, "turned already"), ({"kx": KX[0]}, "store polarity"),
                             ({"kx": KX[0], "polarity": way[1:]}, "each of 48 lines"),
                             ({"axes": "coil,ky,sample"}, "'line' and 'sample' last"),
                             ({"ky": KY + 24}, "a.h5: ky reaches 0..47")):
        with pytest.raises(ValueError, match=message):
            pi.io.load(write(tmp_path / "a.h5", **changes))


def test_what_is_no_epi(tmp_path):
    np.savez(tmp_path / "a.npz", kspace=BRAIN.kspace)
    pi.io.load(tmp_path / "a.npz", epi="none")
    with pytest.raises(ValueError, match=r"a.npz: epi='entropy' is for lines of EPI"):
        pi.io.load(tmp_path / "a.npz", epi="entropy")
    np.savez(tmp_path / "b.npz", kspace=BRAIN.kspace, kx=np.arange(40) - 20, ky=np.arange(48) - 24)  # a grid's own
    assert (pi.io.load(tmp_path / "b.npz").kspace == BRAIN.kspace).all()
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.update({"kspace": BRAIN.kspace[None], "kx": np.arange(40), "ky": np.arange(48), "time": "noon"})
    assert (pi.io.load(tmp_path / "b.h5").kspace == BRAIN.kspace).all()
    with pytest.raises(ValueError, match="epi must be one of"):
        pi.io.load(tmp_path / "a.npz", epi="nav")


def test_from_the_command_line(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path, options = str(write(tmp_path / "a.h5")), ["--prior", "tikhonov", "--max-iter", "4"]
    assert pisolve.cli.main(["info", path]) in (0, None)
    assert "EPI             by navigators: gradients 0.7" in capsys.readouterr().out
    for output in ("x.png", "x.h5"):
        assert pisolve.cli.main(["recon", path, "-o", str(tmp_path / output), *options]) in (0, None)
        out = capsys.readouterr().out
        assert "samples (3.5 us) late" in out
        assert "N/2 ghost" in out
        assert (tmp_path / output).stat().st_size > 1000
    with h5py.File(tmp_path / "x.h5") as file:
        assert "navigator" in file.attrs["epi"]
    pisolve.cli.main(["recon", path, "-o", str(tmp_path / "y.npy"), "--epi", "none", *options])
    assert "nothing else" in capsys.readouterr().out
    with h5py.File(tmp_path / "x.h5") as file:
        good = abs(file["reconstruction"][()]).squeeze()
    assert near(good, abs(BRAIN.image)) < 0.2  # of which ESPIRiT's crop has most
    assert near(abs(np.load(tmp_path / "y.npy")).squeeze(), abs(BRAIN.image)) > 0.4


def test_calibration_and_grappa_work_as_on_any_grid(tmp_path):
    scan = pi.Sampling("equispaced", 2)(pi.io.load(write(tmp_path / "a.h5")))
    done = pi.recon(scan, method=pi.Grappa())
    assert near(abs(done.x), abs(BRAIN.image)) < 0.2


@pytest.mark.parametrize(("name", "delay", "phase"), [("ramp_1ch", 2.437, -0.0011), ("flat_1ch", 3.204, -0.0105),
                                                      ("ramp_4ch", 3.112, -0.0229)])
def test_real_scans(name, delay, phase):
    """What the data's source found from the same navigators, and its own corrected image."""
    path = data_path(f"kspace/epi_phantom_{name}.h5")
    scan = pi.io.load(path)
    told = scan.meta["epi"]
    assert told["delay_us"] == pytest.approx(delay, abs=0.02)
    assert told["phase_rad"] == pytest.approx([phase], abs=0.002)
    assert told["ghost"][0] > 0.6
    assert told["ghost"][1] < 0.02
    with h5py.File(path) as file:
        truth = file["reference"][()]
    ours = scan.rss()
    assert near(ours / np.linalg.norm(ours), truth / np.linalg.norm(truth)) < 0.005
    again = pi.io.load(path, epi="entropy").meta["epi"]
    assert again["delay_us"] == pytest.approx(delay, abs=0.05)
    assert again["ghost"][1] < 0.02


# --- the trajectory


@pytest.mark.parametrize("options", [{}, {"shots": 3}, {"accel": 2, "partial": 0.7}, {"gmax": 8e-3}, {"smax": 40.0},
                                     {"down": True, "gmax": 200e-3, "smax": 20.0}])
def test_a_scanner_can_play_it(options):
    coord, time = pi.trajectories.epi((48, 40), (0.24, 0.2), 2e-6, **options)
    limits = {n: options[n] for n in ("gmax", "smax") if n in options}
    found = pi.trajectories.check(coord, (0.24, 0.2), 2e-6, **limits)
    assert found["playable"], found["told"]
    assert found["slew"] == pytest.approx(limits.get("smax", 180.0) / 2**0.5, rel=1e-3), "no slower than it need be"
    kx, shots = coord[..., 1], options.get("shots", 1)
    assert 19 < kx.max() <= 20
    np.testing.assert_allclose(kx.max(1), -kx.min(1))
    assert abs(np.diff(kx, axis=1)).max() < 1.001
    assert len(coord) == len(np.unique(coord[:, 0, 0]))
    assert (np.diff(time.reshape(-1)) > 0).sum() == time.size - shots, "each train begins anew"
    # what lies between two lines is a blip: of its own area, with the gradients' limits
    between = time[1, 0] - time[0, -1] - 2e-6
    area = abs(coord[1, 0, 0] - coord[0, 0, 0]) / (42.577478518e6 * 0.24)
    peak = min((area * limits.get("smax", 180.0) / 2**0.5) ** 0.5, limits.get("gmax", 40e-3) / 2**0.5)
    assert between > area / peak + peak / (limits.get("smax", 180.0) / 2**0.5) - 2e-6
    assert 0 in coord[:, 0, 0]


def test_trains_and_their_lines():
    coord, time = pi.trajectories.epi((16, 16), 0.2, 4e-6, shots=2, start=5e-3)
    assert coord[:, 0, 0].tolist() == [*range(-8, 8, 2), *range(-7, 8, 2)]
    assert (np.sign(coord[:, -1, 1]) == np.tile([1, -1], 8)).all()
    assert time.min() > 5e-3
    np.testing.assert_allclose(time[:8], time[8:])
    down, _ = pi.trajectories.epi((16, 16), 0.2, 4e-6, partial=0.75, accel=2, down=True)
    assert down[:, 0, 0].tolist() == [6, 4, 2, 0, -2, -4]
    for wrong in ({"partial": 0.3}, {"shots": 0}, {"start": "now"}):
        with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
            pi.trajectories.epi((16, 16), 0.2, 4e-6, **wrong)
    with pytest.raises(ValueError, match="fov must be one number"):
        pi.trajectories.epi((16, 16), (0.2, 0.2, 0.2), 4e-6)


def test_points_and_the_grid_give_one_image():
    """The same lines as samples anywhere, which `linops.nufft` takes as they lie."""
    lines = pi.linops.nufft((4, *SHAPE), COORD, eps=1e-9)(fft(BRAIN.kspace, (-2, -1), inverse=True))
    gridded = pi.calib.epi(lines, KX, KY, SHAPE, by="none").kspace
    assert near(gridded, BRAIN.kspace) < 1e-3
    points = pi.io.Scan(lines, coord=COORD, size=SHAPE, axes=("coil", "shot", "sample"), mps=BRAIN.mps)
    grid = pi.io.Scan(gridded, mps=BRAIN.mps)
    one, two = (pi.recon(s, 1e-4 * pi.Tikhonov(), max_iter=20, tol=1e-6).x for s in (points, grid))
    assert near(one, two) < 0.02
