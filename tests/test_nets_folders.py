"""Training on any folder: what is found in it, what is held out, in how many minutes, and what is not done twice."""

import json

import numpy as np
import pytest
from training import TINY

import pisolve as pi
from pisolve import cli, io, nets
from pisolve.nets import config, data, folders

MARK = 2.0  # of the middle of a volume
Y, X = np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 44)], indexing="ij")
BODY = (X**2 + Y**2 < 0.8) * (0.6 + 0.3 * np.cos(6 * X))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder of somebody's own: a volume, a complex scan, an undersampled one, and what is neither."""
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path_factory.mktemp("own")
    (folder / "patients" / "a").mkdir(parents=True)
    volume = np.repeat(BODY[..., None], 40, axis=2).astype(np.float32)
    volume[:, :, 15:25] *= MARK
    nibabel.save(nibabel.Nifti1Image(volume.transpose(1, 0, 2), np.eye(4)), folder / "patients" / "head.nii.gz")
    brain = pi.phantom.brain((40, 44), 3)
    io.save_scan(folder / "patients" / "a" / "scan.h5", pi.io.Scan(brain.kspace[None]))
    io.save_scan(folder / "few.h5", pi.io.Scan(brain.kspace[None]).undersample(pi.masks.random((40, 44), 3, seed=0)))
    np.save(folder / "cine.npy", np.stack([BODY] * 5).astype(np.float32))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.npy").write_bytes(b"no image either")
    return folder


def test_a_folder_is_searched_and_what_shows_no_truth_is_named(own):
    with pytest.warns(UserWarning, match=r"1 of its files are left out, few.h5: .*undersampled"):
        found = folders.stacks(own)
    assert {name: len(images) for name, images in found.items()} == {
        "cine.npy": 5, "patients/a": 1, "patients/head.nii.gz": 40}
    for images in found.values():
        assert all(i.dtype == np.float32 and i.shape in ((40, 44), (44, 40)) for i in images)
        values = np.concatenate([i[i > 0] for i in images])
        assert np.percentile(values, 99) == pytest.approx(1, rel=0.02)
    brain = pi.phantom.brain((40, 44), 3)
    rss = np.linalg.norm(pi.backend.fft(brain.kspace, (-2, -1), inverse=True), axis=0)
    image = found["patients/a"][0]
    assert np.corrcoef(image.ravel(), rss.ravel())[0, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_nothing_that_is_held_out_is_trained_on(own):
    images, held = data.training_images(own, natural=0), data.held_out_images(own)
    assert set(held) == {"patients/head.nii.gz"}  # the tenth in its middle; there are fewer than five short stacks
    marked = [abs(i).max() for i in held["patients/head.nii.gz"]]
    assert len(marked) == 4
    volume = folders.stacks(own)["patients/head.nii.gz"]
    bright, plain = float(volume[20].max()), float(volume[0].max())
    assert bright > 1.5 * plain
    assert sum(float(i.max()) > 1.2 * plain for i in images if i.shape == volume[0].shape) <= 6  # the others'
    assert len(images) == 5 + 1 + 40 - 4 - 2 * folders.GAP
    short = {f"{n}.npy": [BODY] * n for n in range(1, 12)}
    train, whole = folders.parted(short)
    assert set(whole) == {"5.npy", "10.npy"}
    assert len(train) == sum(range(1, 12)) - 15
    assert all(i.dtype == np.complex64 and np.percentile(abs(i), 99) == pytest.approx(1, rel=0.02)
               for group in held.values() for i in group)


def test_folders_of_nothing_say_what_would_do(tmp_path):
    with pytest.raises(ValueError, match=r"holds nothing to train on: .*\.nii\.gz"):
        data.training_images(tmp_path)
    np.save(tmp_path / "one.npy", BODY)
    with pytest.raises(ValueError, match="too few to hold some out"):
        data.training_images(tmp_path)
    (tmp_path / "one.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(ValueError, match=r"no image of at least 32 x 32 .*one\.npy"):
        data.held_out_images(tmp_path)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_minutes_fit_and_a_finished_training_is_not_measured_again(own, tmp_path, capsys, monkeypatch):
    text = TINY.replace("BATCH", "1").replace('folder = "FOLDER"', "")
    (tmp_path / "tiny.toml").write_text(text)
    words = ["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out"), "--data", str(own),
             "--minutes", "0.02", "--progress"]
    assert cli.main(words) == 0
    said = capsys.readouterr().err
    assert "figures of the card are measured" in said
    kept = json.loads((tmp_path / "out" / "minutes.json").read_text())
    card = (tmp_path / "out" / "tiny.md").read_text()
    assert f"{kept['steps']} steps" in card
    assert f"files of the folder {own.name}" in card
    assert "nobody stated" in card
    blob = (tmp_path / "out" / "tiny.safetensors").read_bytes()
    monkeypatch.setattr(nets.Denoising, "figures", lambda *a: pytest.fail("measured again"))
    assert cli.main([*words, "--resume"]) == 0
    assert "measured" not in capsys.readouterr().err
    assert cli.main([*words[:6], "--progress", "--resume"]) == 0  # the number of steps is that of the folder
    assert (tmp_path / "out" / "tiny.safetensors").read_bytes() == blob
    assert cli.main(words) == 2  # without --resume nothing is timed or written
    assert "resume" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_folder_alone_trains_the_shipped_denoiser_further(own, tmp_path, monkeypatch):
    monkeypatch.setitem(config.OWN, "task", {"kind": "denoising", "size": 24, "batch_size": 1, "sigmas": [0.1]})
    monkeypatch.chdir(tmp_path)
    weights = config.run(own, time_limit=0.005)
    assert weights.as_posix() == f"denoiser-{own.name}/denoiser-{own.name}.safetensors"
    new, old = nets.load(weights), nets.load("denoiser-fast")
    assert new.network.config == old.network.config
    moved = [float((a - b).abs().max()) for a, b in zip(new.network.parameters(), old.network.parameters())]
    assert 0 < max(moved) < 0.05


def test_refusals_say_the_defaults(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("PISOLVE_DATA", raising=False)
    text = TINY.replace("BATCH", "1").replace('folder = "FOLDER"', "")
    (tmp_path / "tiny.toml").write_text(text)
    assert cli.main(["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "natural = 0.05" in capsys.readouterr().err
    (tmp_path / "tiny.toml").write_text(text.replace("every", "evry"))
    assert cli.main(["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "steps = 4000" in capsys.readouterr().err
    assert cli.main(["train", str(tmp_path), "--minutes", "-1", "--out", str(tmp_path / "out")]) == 2
