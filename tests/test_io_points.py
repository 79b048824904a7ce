"""Files of samples anywhere: ISMRMRD with trajectories, BART's pair of k-space and trajectory, coordinates beside."""

import h5py
import ismrmrd
import numpy as np
import pytest
from test_mrd import header, readout, write

import pisolve as pi
from pisolve import cli, io, linops, trajectories
from pisolve.io import cfl

N, SHOTS, SAMPLES = 32, 21, 64
HEAD = pi.phantom.brain((N, N), 3)
K = trajectories.radial((N, N), SHOTS, SAMPLES)
TRUTH = HEAD.image * np.linalg.norm(HEAD.mps, axis=0)
Y = linops.sense(HEAD.mps.astype("c8"), coord=K)(HEAD.image.astype("c8"))


def shot(samples, k, **options):
    """A readout of the library with its trajectory, (x, y) as ISMRMRD has them."""
    made = readout(samples, **options)
    made.resize(samples.shape[1], len(samples), k.shape[-1])
    made.data[:] = samples
    made.traj[:] = k[:, ::-1]
    return made


def raw(path, *, scale=1 / N, y=Y, k=K, trajectory="radial", z=1, **options):
    xml = header(N, N, z, fov=(2 * N, 2 * N, 5 * z), trajectory=trajectory)
    return write(path, xml, [shot(y[:, s], scale * k[s], y=s, **options) for s in range(y.shape[1])])


@pytest.mark.parametrize(("scale", "said"), [(1 / N, ""), (2 * np.pi / N, "radians"), (1, "1 / field of view")])
def test_ismrmrd_with_trajectories(scale, said, tmp_path):
    scan = io.load(raw(tmp_path / "a.h5", scale=scale))
    assert scan.axes == ("slice", "coil", "shot", "sample")
    assert scan.size == (N, N)
    np.testing.assert_array_equal(scan.kspace[0], Y)
    np.testing.assert_allclose(scan.coord, K, atol=1e-5)
    assert scan.meta["trajectory"] == "radial"
    assert said in " ".join(scan.warnings())
    assert bool(said) == bool(scan.warnings())
    done = pi.recon(scan, 1e-3 * pi.TV(), max_iter=25)
    assert pi.metrics.psnr(TRUTH, abs(done.x[0])) > 22


def test_frames_of_unequal_numbers_of_shots_noise_and_discarded_samples(tmp_path):
    lines = [shot(Y[:, s], K[s] / N, y=s, phase=int(s >= 11), head={"discard_pre": 2}) for s in range(SHOTS)]
    noise = readout(np.ones((3, 50), "c8"), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    scan = io.load(write(tmp_path / "a.h5", header(N, N, fov=(2 * N, 2 * N, 5), trajectory="goldenangle"),
                         [noise, *lines]))
    assert scan.axes == ("slice", "frame", "coil", "shot", "sample")
    assert scan.kspace.shape == (1, 2, 3, 11, SAMPLES - 2)
    np.testing.assert_array_equal(scan.kspace[0, 1, :, :10], Y[:, 11:, 2:])
    np.testing.assert_allclose(scan.coord[0, 1, :10], K[11:, 2:], atol=1e-5)
    assert scan.noise.shape == (3, 50)
    assert scan.mask[0, 0].all()
    assert not scan.mask[0, 1, 10].any()
    assert pi.recon(scan, 1e-2 * pi.LLR(), max_iter=3).ok


def test_a_stack_in_ismrmrd(tmp_path):
    lines = [shot(Y[:, s] * (1 + z), K[s] / N, y=s, z=z) for z in range(4) for s in range(SHOTS)]
    scan = io.load(write(tmp_path / "a.h5", header(N, N, 4, fov=(2 * N, 2 * N, 20), trajectory="radial"), lines))
    assert scan.axes == ("coil", "kz", "shot", "sample")
    assert scan.size == (4, N, N)
    assert scan.coord.shape == K.shape
    np.testing.assert_array_equal(scan.kspace[:, 2], 3 * Y)


def test_averages_noise_of_another_file_and_a_body_coil(tmp_path):
    xml = header(N, N, fov=(2 * N, 2 * N, 5), trajectory="radial")
    lines = [shot(Y[:, s] * (1 + a), K[s] / N, y=s, average=a) for a in range(2) for s in range(SHOTS)]
    body = [shot(Y[:1, s], K[s] / N, y=s) for s in range(3)]
    path = write(tmp_path / "a.h5", xml, [*lines, *body])
    noise = write(tmp_path / "n.h5", xml, [readout(np.ones((3, 50), "c8"), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)])
    with pytest.warns(UserWarning, match="3 of 1 channels"):
        scan = io.load(path, noise=noise, average="keep")
    assert scan.axes == ("slice", "average", "coil", "shot", "sample")
    np.testing.assert_array_equal(scan.kspace[0, 1], 2 * Y)
    assert scan.coord.shape == K.shape
    assert scan.noise.shape == (3, 50)
    assert io.load(path, part={"channels": 3}).kspace.shape == (1, 3, 2 * SHOTS, SAMPLES)  # shots of one image
    assert io.load(path, part={"channels": 1}).kspace.shape == (1, 1, 3, SAMPLES)
    with pytest.raises(ValueError, match="epi='entropy'"):
        io.load(path, epi="entropy", part={"channels": 3})


@pytest.mark.parametrize(("change", "words"), [
    ({"scale": np.nan}, "NaN"), ({"scale": 3.0}, "reaches"),
    ({"trajectory": "other", "k": K[..., :1]}, "1] coordinates")])
def test_damaged_raw_data(change, words, tmp_path):
    path = raw(tmp_path / "a.h5", **change)
    with pytest.raises(ValueError, match=words) as error:
        io.load(path)
    assert "a.h5" in str(error.value)


def test_ismrmrd_at_given_coordinates(tmp_path):
    """Readouts without a trajectory, or with a wrong one; slices come in the order of their places."""
    xml = header(N, N, fov=(2 * N, 2 * N, 5), trajectory="radial")
    bare = [readout(Y[:, s] * (1 + z), y=s, slice=z, head={"position": (0, 0, at), "slice_dir": (0, 0, 1)})
            for z, at in enumerate((7, 0, 14)) for s in range(SHOTS)]
    path = write(tmp_path / "bare.h5", xml, bare)
    with pytest.raises(ValueError, match="--coord"):
        io.load(path)
    scan = io.load(path, coord=K)
    assert scan.axes == ("slice", "coil", "shot", "sample")
    assert scan.size == (N, N)
    np.testing.assert_array_equal(scan.kspace[1], Y)
    assert scan.meta["slices"] == [1, 0, 2]
    np.testing.assert_array_equal(io.load(path, coord=np.stack([K, -K, K])).coord[0], -K)
    np.testing.assert_array_equal(io.load(raw(tmp_path / "a.h5"), coord=-K).coord, -K)


@pytest.mark.parametrize("size", [None, (N, N), (2 * N, 2 * N)])
def test_readouts_at_given_coordinates_lie_where_their_own_do(tmp_path, size):
    """The matrix and the size of a pixel of the same readouts with a trajectory; of twice the size half the pixel."""
    head = {"position": (3, -4, 5), "read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1)}
    path = raw(tmp_path / "a.h5", head=head)
    own, given = io.load(path).meta, io.load(path, coord=K, size=size).meta
    finer = 1 if size in (None, (N, N)) else 2
    np.testing.assert_allclose(given["voxel_mm"], np.array(own["voxel_mm"]) / [1, finer, finer])
    a, b = (np.array(m["affine"]) for m in (own, given))
    np.testing.assert_allclose(b @ [finer * (N // 2), finer * (N // 2), 0, 1], a @ [N // 2, N // 2, 0, 1])
    np.testing.assert_allclose(b[:3, :3], a[:3, :3] / [finer, finer, 1])


def test_raw_data_larger_than_the_memory(tmp_path):
    with pytest.raises(ValueError, match=r"a\.h5"):
        io.load(raw(tmp_path / "a.h5"), max_bytes=50_000)


def bart(folder, frames=None):
    """BART's files of these spokes: ksp (1, sample, spoke, coil[, frame]) and traj (3, sample, spoke[, frame])."""
    k = np.concatenate([K[..., ::-1], np.zeros((*K.shape[:-1], 1))], -1)  # x, y, z
    y = Y
    names = ("coil", "z", "y", "x")
    if frames:
        k, y = np.stack([k, -k]), np.stack([y, y[..., ::-1]])
        cfl.write(folder / "traj.cfl", k.astype("c8"), axes=("frame", "z", "y", "x"))
        cfl.write(folder / "ksp.cfl", y[..., None], axes=("frame", *names))
    else:
        cfl.write(folder / "traj.cfl", k.astype("c8"), axes=("z", "y", "x"))
        cfl.write(folder / "ksp.cfl", y[..., None], axes=names)


def test_barts_pair(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bart(tmp_path)
    scan = io.load("ksp.cfl", coord="traj.cfl", size=(N, N))
    assert scan.axes == ("coil", "shot", "sample")
    np.testing.assert_array_equal(scan.kspace, Y)
    np.testing.assert_allclose(scan.coord, K, atol=1e-5)
    assert io.load("ksp.cfl", coord="traj.cfl").size == (N, N)  # as far as they reach
    assert cli.main(["info", "ksp.cfl", "--coord", "traj.cfl", "--size", "32,32"]) in (0, None)
    assert "21 shots of 64 samples for an image of 32 x 32" in capsys.readouterr().out
    words = ["recon", "ksp.cfl", "--coord", "traj.cfl", "-o", "x.npy", "--prior", "tv", "--max-iter", "25"]
    assert cli.main(words) == 0
    assert pi.metrics.psnr(TRUTH, abs(np.load("x.npy"))) > 22


def test_barts_frames(tmp_path):
    bart(tmp_path, frames=2)
    scan = io.load(tmp_path / "ksp.cfl", coord=tmp_path / "traj.cfl", size=(N, N))
    assert scan.axes == ("frame", "coil", "shot", "sample")
    np.testing.assert_allclose(scan.coord, np.stack([K, -K]), atol=1e-5)


def test_coordinates_beside_arrays(tmp_path):
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "k.npy", K)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["kspace"] = Y
    np.savez(tmp_path / "k.npz", coord=K)
    for y, k in (("y.npy", "k.npy"), ("y.h5", "k.npz")):
        scan = io.load(tmp_path / y, coord=tmp_path / k, size=(N, N))
        np.testing.assert_array_equal(scan.kspace.reshape(Y.shape), Y)
    np.testing.assert_array_equal(io.load(tmp_path / "y.npy", coord=K, size=(N, N)).coord, K)


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: io.load(f / "ksp.cfl", coord=f / "ksp.cfl"), "no trajectory"),
    (lambda f: io.load(f / "traj.cfl", coord=f / "traj.cfl"), "dimension 0"),
    (lambda f: io.load(f / "ksp.cfl", size=(N, N)), "size is the image's"),
    (lambda f: io.load(f / "ksp.cfl", coord=f / "traj.cfl", axes=("coil", "shot", "sample")), "leave axes out"),
    (lambda f: io.load(f / "ksp.cfl", coord=K[:, :9]), "coord has shape"),
    (lambda f: io.load(f / "ksp.cfl", coord=f / "no.cfl"), "does not exist"),
    (lambda f: io.load(raw(f / "a.h5"), coord=K[:, :9]), "a.h5.*coord has shape")])
def test_what_does_not_fit_is_refused(call, words, tmp_path):
    bart(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        call(tmp_path)


def test_it_is_not_written_as_a_grid(tmp_path):
    with pytest.raises(ValueError, match="on a grid"):
        io.save_mrd(tmp_path / "a.h5", io.Scan(Y, coord=K, size=(N, N)))
