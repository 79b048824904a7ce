"""The training loop: its steps by hand, exact resume after anything, the tasks, configurations and the command line."""

import dataclasses
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training import SHAPES, TINY, equal, small, volumes

import pisolve as pi
from pisolve import backend, cli, linops, nets
from pisolve.nets import config
from pisolve.nets.denoising import psnr
from pisolve.nets.log import read

pytestmark = pytest.mark.usefixtures("one_thread")
HELD = [np.ones((16, 16), np.complex64)]
SETTINGS = nets.Training(steps=6, every=3, warmup=2, low_share=0.5, precision="bfloat16", seed=5)


def task(**options):
    return nets.Denoising(SHAPES, HELD, **{"batch_size": 2, "size": 24, "sigmas": (0.1,), "seed": 5} | options)


def run(folder, network=None, settings=SETTINGS, given=None, **options):
    return nets.train(network or small(), given or task(), settings, folder=folder, **options)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


# --- the loop


def test_steps_are_those_of_plain_adam(tmp_path):
    plain = settings(precision="float32", ema=0.0, warmup=2, clip=0.3, lr=1e-2, final_lr=1e-4)
    got, mine = run(tmp_path, settings=plain), small()
    optimiser = torch.optim.Adam(mine.parameters())
    for step in range(6):
        rate = 1e-2 * (0.5 if step == 0 else 1) * (1 + np.cos(np.pi * step / 6)) / 2 + 1e-4
        optimiser.param_groups[0]["lr"] = rate
        clean, noisy, sigma = task().batch(step)
        error = (mine(noisy) - clean).square().mean((1, 2, 3))
        loss = (error / sigma.flatten() ** 2 + 0.003).log().mean()
        optimiser.zero_grad()
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in mine.parameters()]).norm()
        for p in mine.parameters():
            p.grad *= min(1.0, 0.3 / float(norm))
        optimiser.step()
    for a, b in zip(got.parameters(), mine.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert not got.training


def test_the_result_is_the_average_of_the_weights(tmp_path):
    last, mean = (run(tmp_path / str(e), settings=settings(steps=1, ema=e, lr=1e-2, warmup=0)) for e in (0.0, 0.999))
    for a, b, c in zip(mean.parameters(), last.parameters(), small().parameters()):
        torch.testing.assert_close(a, b + 0.1 * (c - b), rtol=1e-4, atol=1e-6)  # the first step keeps 1 / 10


def test_batches_are_what_the_task_says():
    clean, given, sigma = task(batch_size=64).batch(0)
    assert clean.shape == (64, 2, 24, 24)
    assert given.shape == (64, 3, 24, 24)
    assert torch.equal(given, task(batch_size=64).batch(0)[1])
    assert not torch.equal(given, task(batch_size=64).batch(1)[1])
    assert torch.all(given[:, 2] == sigma[:, 0])
    assert sigma.min() >= 0.003
    assert sigma.max() <= 0.25
    spread = ((given[:, :2] - clean) / sigma).flatten(1).std(1)
    assert torch.all((spread - 1).abs() < 0.12)  # of the real and of the imaginary part each
    parts = [task(batch_size=64).batch(0, rank, 4)[1] for rank in range(4)]
    assert torch.equal(torch.cat(parts), given)
    with pytest.raises(ValueError, match="multiple of 3"):
        task(batch_size=64).batch(0, 0, 3)


class Cut(nets.Denoising):
    """Sends a signal to its own process in one step."""

    def batch(self, step, rank=0, world=1):
        if step == 4:
            os.kill(os.getpid(), self.signal)
        return super().batch(step, rank, world)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_resumes_bit_for_bit(tmp_path, kind):
    whole = run(tmp_path / "a")
    Cut.signal = kind
    before = signal.getsignal(kind)
    with pytest.raises(KeyboardInterrupt, match="step 5"):
        run(tmp_path / "b", given=Cut(SHAPES, HELD, batch_size=2, size=24, sigmas=(0.1,), seed=5))
    assert signal.getsignal(kind) is before
    resumed = run(tmp_path / "b", small(1), resume=True)
    assert equal(whole, resumed)
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in read(tmp_path / n / "log.csv")] for n in "ab"]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == ["3", "6"]
    assert set(rows[0][0]) == {"step", "loss", "psnr_0.1"}


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from training import SHAPES, small
from test_nets_train import LONG, task, nets
nets.train(small(), task(), LONG, folder={folder!r}, resume=True)
"""
LONG = settings(steps=200, every=150, save_seconds=1e-3)


def test_a_training_killed_at_a_random_time_resumes_bit_for_bit(tmp_path):
    code = SCRIPT.format(tests=os.path.dirname(__file__), folder=str(tmp_path / "b"))
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while not (tmp_path / "b" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the training ended before it was killed"
        time.sleep(0.005)
    time.sleep(np.random.default_rng().uniform(0, 0.2))  # any time will do: the outcome must not depend on it
    process.kill()
    assert process.wait() == -signal.SIGKILL
    reached = torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < reached < 200
    assert equal(run(tmp_path / "b", small(1), LONG, resume=True), run(tmp_path / "a", settings=LONG))


@pytest.mark.parametrize("changes", [{"prefetch": 2}, {"save_seconds": 1e-3}])
def test_prefetching_and_saving_change_nothing(tmp_path, changes):
    assert equal(run(tmp_path / "a"), run(tmp_path / "b", settings=settings(**changes)))


def test_tensorboard_gets_what_the_table_gets(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    run(tmp_path, settings=settings(tensorboard=True))
    found = events.EventAccumulator(str(next(tmp_path.glob("events.*"))))
    found.Reload()
    table = read(tmp_path / "log.csv")
    assert [row["step"] for row in table] == ["3", "6"]
    for name in ("loss", "psnr_0.1"):
        scalars = found.Scalars(name)
        assert [s.step for s in scalars] == [3, 6]
        np.testing.assert_allclose([s.value for s in scalars], [float(row[name]) for row in table], rtol=1e-5)


def test_dropout_is_drawn_from_the_step_and_leaves_the_users_generator_alone(tmp_path):
    class Dropping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net, self.drop = small(), torch.nn.Dropout(0.3)

        def forward(self, x):
            return self.net(self.drop(x))

    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = run(tmp_path / "a", Dropping().cpu())
    torch.manual_seed(7)
    assert torch.equal(before, torch.get_rng_state())
    network = Dropping()
    torch.manual_seed(8)
    state = torch.get_rng_state()
    second = run(tmp_path / "b", network)
    assert equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


class Broken(nets.Denoising):
    """Its loss is no number from step 4 on."""

    def loss(self, network, batch):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return super().loss(network, batch) * (float("nan") if self.__dict__["calls"] > 4 else 1)


def test_what_cannot_be_trained_is_refused(tmp_path):
    run(tmp_path / "a")
    with pytest.raises(FileExistsError, match="resume"):
        run(tmp_path / "a")
    with pytest.raises(ValueError, match="another settings"):
        run(tmp_path / "a", settings=settings(seed=6), resume=True)
    with pytest.raises(ValueError, match="another task"):
        run(tmp_path / "a", given=task(size=32), resume=True)
    with pytest.raises(ValueError, match="another network"):
        run(tmp_path / "a", nets.UNet(widths=(4, 8), blocks=(1, 0)), resume=True)
    with pytest.raises(ValueError, match="images is empty"):
        nets.Denoising([])
    with pytest.raises(ValueError, match="not finite at step 6"):
        run(tmp_path / "b", given=Broken(SHAPES, HELD, batch_size=2, size=24, sigmas=(0.1,)))
    assert torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["step"] == 3
    with pytest.raises(TypeError, match="Training"):
        nets.train(small(), task(), {"steps": 3}, folder=tmp_path)
    with pytest.raises(TypeError, match="batch"):
        nets.train(small(), SHAPES, SETTINGS, folder=tmp_path)


@pytest.mark.parametrize(("name", "value"), [
    ("steps", -1), ("lr", -1.0), ("ema", 2.0), ("precision", "int8"), ("precision", "float16"), ("device", "tpu"),
    ("clip", float("nan")), ("low_share", 1.5), ("prefetch", -1)])
def test_bad_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        nets.Training(**{name: value})


def test_training_improves_the_network(tmp_path):
    held = [SHAPES[0].astype(np.complex64)]
    net = small()
    before = psnr(net, held, [0.1])[0]
    given = nets.Denoising(SHAPES, held, batch_size=4, size=24, sigma=(0.1, 0.1), sigmas=(0.1,))
    after = psnr(run(tmp_path, net, settings(steps=120, lr=1e-2, ema=0.9, precision="float32"), given), held, [0.1])[0]
    noisy = psnr(lambda x: x[:, :2], held, [0.1])[0]
    assert after > before + 2
    assert after > noisy + 2
    rows = given.figures(net)
    assert {r["images"] for r in rows} == {"validation"}
    assert float(rows[0]["network"]) == pytest.approx(after, abs=0.01)
    assert float(rows[0]["noisy"]) == pytest.approx(noisy, abs=0.01)
    pytest.importorskip("matplotlib")
    assert (tmp_path / "validation.png").stat().st_size > 100


# --- reconstruction


class Refined(torch.nn.Module):
    """x + N(x) about a CG-SENSE image x."""

    needs_maps = True

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nets.DnCNN(2, 3, 12)

    def start(self, A, y):
        """A few steps of conjugate gradients, for each slice."""
        one = [linops.sense(m, w) for m, w in zip(A.mps, np.broadcast_to(A.weight, y.shape[:1] + A.weight.shape[-2:]))]
        x = [pi.solve(a, v, 1e-3 * pi.Tikhonov(), pi.CG(), max_iter=20, tol=1e-6).x for a, v in zip(one, y.numpy())]
        return torch.from_numpy(np.stack(x))

    def forward(self, A, y):
        x = self.start(A, y)
        parts = self.net(torch.stack([x.real, x.imag], 1))
        return torch.complex(parts[:, 0], parts[:, 1])


class Magnitude(torch.nn.Module):
    """A network without maps: RSS times a weight, and a crop."""

    needs_maps = False

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, kspace, mask):
        assert mask.dtype == torch.bool
        return self.weight * backend.fft(kspace, (-2, -1), inverse=True).norm(dim=1)


class Consistent(nets.SSDU):
    """The loss of what is known to fail: the network's output on the very samples it was given."""

    def batch(self, step, rank=0, world=1):
        slices, _ = super().batch(step, rank, world)
        return slices, slices.mask

    def loss(self, network, batch):
        slices, _ = batch
        x = network(slices.A, slices.kspace)
        return nets.reconstruction.normalised(linops.as_torch(slices.A)(x), slices.kspace)


@pytest.fixture(scope="module")
def examples():
    plain = nets.Simulation(size=32, coils=(4, 4), accel=(2.5,), center_fraction=0.2, noise=(0.05, 0.05), maps="true")
    images = [pi.phantom.brain((64, 64), 1, anatomy=n).image for n in range(6)]
    images = [abs(i).astype(np.float32) / np.percentile(abs(i), 99) for i in images]
    made = nets.Simulated(images[:4], plain, length=16)
    return [made[n] for n in range(16)], [nets.Simulated(images[4:], plain, seed=9, length=4)[n] for n in range(4)]


RECONSTRUCTION = nets.Training(steps=100, every=100, warmup=10, lr=5e-3, ema=0.9)


def gain(kind, examples, folder):
    """PSNR after training above that of the first image."""
    network, given = Refined(), kind(examples[0], examples[1], batch_size=2)

    class Start(Refined):
        def forward(self, A, y):
            return self.start(A, y)

    before = given.validate(Start())["psnr"]
    return given.validate(nets.train(network, given, RECONSTRUCTION, folder=folder))["psnr"] - before


def test_supervision_and_held_out_samples_teach_and_consistency_alone_does_not(examples, tmp_path):
    gains = {kind: gain(kind, examples, tmp_path / kind.__name__)
             for kind in (nets.ReconstructionTask, nets.SSDU, Consistent)}
    assert gains[nets.ReconstructionTask] > 2
    assert gains[nets.SSDU] > 1
    assert gains[Consistent] < 0.2


def test_networks_without_maps_are_compared_with_the_root_sum_of_squares(examples, tmp_path):
    given = nets.ReconstructionTask(examples[0], examples[1], batch_size=2)
    batch = given.batch(0)
    network = Magnitude()
    output, target = given.output(network, batch)
    assert torch.equal(target, batch.rss)
    assert output.shape == target.shape
    torch.testing.assert_close(given.loss(network, batch), nets.losses.SSIM(data_range="image")(output, target))
    assert set(given.validate(network)) == {"nmse", "psnr", "ssim"}
    rows = given.figures(network)
    assert [r["images"] for r in rows] == ["zero-filled", "network"]
    assert given.picture(network).shape == (32, 96)
    with pytest.raises(TypeError, match="needs_maps"):
        given.loss(small(), batch)
    with pytest.raises(ValueError, match="needs_maps = True"):
        nets.SSDU(examples[0]).loss(network, nets.SSDU(examples[0]).batch(0))
    cropped = dataclasses.replace(batch, rss=batch.rss[:, 4:-4, 6:-6])
    assert given.output(network, cropped)[0].shape == (2, 24, 20)
    with pytest.raises(ValueError, match="truth"):
        given.loss(network, dataclasses.replace(batch, rss=None))


def test_a_finite_set_is_gone_through_in_a_new_order_each_time():
    class Numbered(list):
        def __getitem__(self, n):
            return nets.Slices(torch.full((1, 1, 1, 1), n), torch.ones(1, 1, 1, 1))

    given = nets.ReconstructionTask(Numbered(range(5)))
    rounds = [[int(given.batch(5 * r + n).kspace.real) for n in range(5)] for r in range(3)]
    assert all(sorted(r) == list(range(5)) for r in rounds)
    assert rounds[0] != rounds[1]
    with pytest.raises(ValueError, match="group=2"):
        nets.ReconstructionTask(nets.Simulated(SHAPES), batch_size=2)


# --- configurations


CONFIG = TINY.replace("BATCH", "2") + """steps = 4
[card]
title = "tiny"
dtype = "float16"
"""
UNROLLED = """
[network]
architecture = "Unrolled"
solver = {name = "ADMM"}
denoiser = {architecture = "DnCNN", config = {channels = 2, depth = 2, width = 4}}
iterations = 2
[data]
folder = "FOLDER"
natural = 0
size = 24
coils = [2, 2]
accel = [2]
center_fraction = 0.4
maps = "true"
validation = 1
[task]
kind = "KIND"
batch_size = 2
[loss]
L1 = 1.0
[training]
steps = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("nibabel")
    return volumes(tmp_path_factory.mktemp("data"))


def write(path, text, folder):
    path.write_text(text.replace("FOLDER", str(folder)))
    return str(path)


def test_the_command_line_trains_resumes_and_writes_weights_with_their_card(folder, tmp_path, capsys):
    path, out = write(tmp_path / "tiny.toml", CONFIG, folder), tmp_path / "out"
    assert cli.main(["train", path, "--out", str(out)]) == 0
    assert "tiny.safetensors" in capsys.readouterr().out
    denoiser = nets.load(out / "tiny.safetensors")
    assert denoiser.network.config["widths"] == [4, 6]
    card = (out / "tiny.md").read_text()
    assert "colin27" in card
    assert "4 steps, 2 images of 24x24" in card
    row = next(line for line in card.splitlines() if line.startswith("| colin27 "))
    images = nets.data.held_out_images(folder)["colin27"]
    assert float(row.split("|")[5]) == pytest.approx(psnr(denoiser.network, images, [0.1])[0], abs=0.006)
    assert cli.main(["train", path, "--out", str(out)]) == 2
    assert "resume" in capsys.readouterr().err
    weights = (out / "tiny.safetensors").read_bytes()
    assert cli.main(["train", path, "--out", str(out), "--resume"]) == 0
    assert (out / "tiny.safetensors").read_bytes() == weights


@pytest.mark.parametrize("encoding", ["cartesian", "radial"])
@pytest.mark.parametrize("kind", ["reconstruction", "ssdu"])
def test_reconstruction_networks_are_trained_from_a_file(folder, tmp_path, kind, encoding):
    text = UNROLLED.replace("KIND", kind).replace("size = 24", f'size = 24\nencoding = "{encoding}"\nshots = [12, 16]')
    path = write(tmp_path / "unrolled.toml", text, folder)
    weights = config.run(path, out=tmp_path / "out")
    assert nets.load(weights).needs_maps
    assert "zero-filled" in weights.with_suffix(".md").read_text()


@pytest.mark.parametrize(("old", "new", "message"), [
    ("steps = 4", "stepps = 4", r"a key of \[training\] must be one of .*stepps"),
    ("size = 24", "sise = 24", r"a key of \[task\] must be one of .*sise"),
    ("natural = 0", "unnatural = 0", r"a key of \[data\] must be one of .*unnatural"),
    ('title = "tiny"', 'tittle = "tiny"', r"a key of \[card\] must be one of .*tittle"),
    ("[training]", "[training.more]\n[trainings]", "a section must be one of .*trainings"),
    ("widths", "widhts", r"\[network\].*widhts"), ('"UNet"', '"VNet"', r"\[network\].*VNet"),
    ('"denoising"', '"painting"', "kind must be one of .*painting"),
    ('architecture = "UNet"', "", r"lacks architecture in \[network\]"),
    ("steps = 4", 'steps = "4"', "steps must be a whole number"), ("size = 24", "size = 2", "size must be in"),
    ('folder = "FOLDER"', 'folder = "nowhere"', "volumes/"), ("[card]", "[loss]\nL3 = 1\n[card]", "L3"),
    ("[network]", "network = 3\n[networks]", "section"), ("[task]", "[task", "no valid TOML")])
def test_bad_configurations_are_one_line(folder, tmp_path, capsys, old, new, message):
    path = write(tmp_path / "bad.toml", CONFIG.replace(old, new), folder)
    assert cli.main(["train", path, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_files_of_fastmri_need_a_card(tmp_path):
    text = UNROLLED.replace("KIND", "reconstruction")
    start, end = text.index("[data]"), text.index("[task]")
    text = text[:start] + f'[data]\nkind = "fastmri"\nfolder = "{tmp_path}"\n' + text[end:]
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = pi.phantom.brain((32, 32), 2).kspace[None]
    path = write(tmp_path / "files.toml", text, tmp_path)
    with pytest.raises(ValueError, match=r"\[card\] lacks data"):
        config.run(path, out=tmp_path / "out")
    path = write(tmp_path / "files.toml", text + '[card]\ndata = "a phantom"\nlicence = "CC0"\n', tmp_path)
    assert config.run(path, out=tmp_path / "out").exists()


def test_the_example_trains(folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("skimage")
    root = Path(__file__).parents[1] / "examples"
    words = ["train_denoiser.py", "--data", str(folder), "--out", str(tmp_path / "out"), "--steps", "2"]
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(root / "train_denoiser.py"), run_name="__main__")
    assert nets.load(tmp_path / "out" / "denoiser.safetensors").noise_input == "map"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "examples" / "configs").glob("*.toml")),
                         ids=lambda p: p.stem)
def test_the_configurations_that_are_shipped_fit(folder, monkeypatch, path, tmp_path):
    monkeypatch.setenv("PISOLVE_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nets.data, "natural_images", lambda: [np.ones((99, 99), np.float32)])
    inner = config.read(path)["network"].get("denoiser")
    begun = Path(inner.get("weights", "") if isinstance(inner, dict) else "")
    if begun.parent.name == "run":  # goes on from what another configuration trains
        begun.parent.mkdir()
        first = config.read(path.with_name(f"{begun.stem}.toml"))
        trained, task, settings = config.build(first)
        nets.save(trained, begun, config.card(first, task, settings) | {"figures": []})
    network, given, _ = config.build(config.read(path))
    assert sum(p.numel() for p in network.parameters()) < (2e7 if path.stem.startswith("automap") else 2e6)
    batch = given.batch(0)
    given.loss(network, batch).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
