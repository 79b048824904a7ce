"""Training in two processes on the CPU: the gradients, the weights and the files are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from training import SHAPES, TINY, small, volumes

from pisolve import cli, nets
from pisolve.nets import parallel
from pisolve.nets.log import read

pytestmark = pytest.mark.usefixtures("one_thread")

GRADIENTS = """
import sys, torch
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
from test_ddp import gradients
from pisolve.nets import parallel
with parallel.processes() as group:
    network = gradients(group)
    if group.first:
        torch.save([p.grad for p in network.parameters()], sys.argv[2])
    assert group.average_gradients(network, stop=group.rank == 1)  # one asks to stop, and all do
    assert not group.average_gradients(network)
    assert group.mean(torch.tensor(float(group.rank))) == 0.5
"""
CONFIG = TINY.replace("BATCH", "4") + """steps = 3
lr = 1e-3
ema = 0.5
"""


class Branched(torch.nn.Module):
    """A network with weights that only one process uses, and complex ones."""

    def __init__(self):
        super().__init__()
        self.net = small()
        self.first = torch.nn.Parameter(torch.tensor(0.5))
        self.turn = torch.nn.Parameter(torch.tensor(1 + 0.5j))

    def forward(self, x, place):
        x = self.net(x) * (self.first if place == 0 else 1)
        z = torch.complex(x[:, 0], x[:, 1]) * self.turn
        return torch.stack([z.real, z.imag], 1)


def gradients(group):
    """The gradients of one step: of this process's share, averaged; or, alone, of the whole batch of four."""
    task, network = nets.Denoising(SHAPES, batch_size=4, size=24, seed=3), Branched()
    total = 0
    for rank in [group.rank] if group.world > 1 else [0, 1]:
        clean, noisy, _ = task.batch(0, rank, 2)
        total = total + (network(noisy, rank) - clean).square().mean() / (1 if group.world > 1 else 2)
    total.backward()
    group.average_gradients(network)
    return network


def torchrun(*arguments):
    """Run `torchrun --nproc-per-node 2` of this environment and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(nets.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                           *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment,
                          check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_gradients_of_two_processes_are_those_of_the_joined_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(GRADIENTS)
    torchrun(script, Path(__file__).parent, tmp_path / "grads.pt")
    both, alone = torch.load(tmp_path / "grads.pt", weights_only=True), gradients(parallel.Group())
    assert len(both) == len(list(alone.parameters()))
    for a, p in zip(both, alone.parameters()):
        assert float((a - p.grad).norm()) <= 1e-6 * float(p.grad.norm())


def test_the_command_line_trains_in_two_processes_as_in_one(tmp_path):
    pytest.importorskip("nibabel")
    path = tmp_path / "net.toml"
    path.write_text(CONFIG.replace("FOLDER", str(volumes(tmp_path / "data"))))
    out = torchrun("-m", "pisolve", "train", path, "--out", tmp_path / "two")
    assert out.count("net.safetensors") == 1  # one process writes and says so
    assert sorted(p.name for p in (tmp_path / "two").iterdir() if p.suffix != ".png") == [
        "checkpoint.pt", "log.csv", "net.md", "net.safetensors"]
    assert cli.main(["train", str(path), "--out", str(tmp_path / "one")]) == 0
    two, one = (safetensors.torch.load_file(tmp_path / n / "net.safetensors") for n in ("two", "one"))
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, rtol=0, atol=1e-5)
    rows = [read(tmp_path / n / "log.csv") for n in ("two", "one")]
    for a, b in zip(*rows):
        for name in ("step", "loss", "colin27_psnr_0.1"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4)
    with pytest.raises(ValueError, match="another world"):  # the shares of a batch would be others
        nets.config.run(path, out=tmp_path / "two", resume=True)


def test_shares_cover_a_batch_and_refuse_what_cannot_be_shared():
    assert [list(parallel.share(6, r, 3)) for r in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="multiple of 2"):
        parallel.share(5, 0, 2)
