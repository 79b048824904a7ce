"""Federated averaging: one local step is central gradient descent, and no k-space ever leaves a site."""

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers import refused

import pisolve as pi
from pisolve import masks, nets, phantom
from pisolve.nets import federated, losses

pytestmark = pytest.mark.usefixtures("one_thread")
SCANS = [pi.io.Scan(phantom.brain((24, 24), 3, seed=n, anatomy=n, noise=0.01).kspace) for n in range(3)]


def pattern(shape, seed):
    return masks.random(shape, 2, 0.3, seed=seed)


def slices():
    examples = nets.Scans(SCANS, pattern)
    return [examples[n] for n in range(3)]


def task(examples):
    return nets.ReconstructionTask(examples, batch_size=len(examples), loss_function=losses.L2())


def made():
    torch.manual_seed(0)
    return nets.varnet(nets.DnCNN(2, 2, 4), 2)


@pytest.mark.parametrize("split", [(1, 2), (2, 1)])
def test_one_local_step_with_one_batch_a_site_is_central_gradient_descent(split):
    found, central = slices(), made()
    sites = {"A": task(found[: split[0]]), "B": task(found[split[0]:])}
    told = []
    both = nets.federate(made(), sites, nets.Federation(rounds=3, local_steps=1, lr=0.05), callback=told.append)
    optimiser, values = torch.optim.SGD(central.parameters(), lr=0.05), []
    for step in range(3):
        value = task(found).loss(central, task(found).batch(step))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    start = made()
    for (name, a), b, c in zip(both.named_parameters(), central.parameters(), start.parameters()):
        assert float((a - b).detach().norm()) <= 1e-6 * float(b.detach().norm()), name
        assert not b.requires_grad or not torch.equal(b, c)
    assert [t["loss"] for t in told] == pytest.approx(values, rel=1e-5)
    assert [t["round"] for t in told] == [1, 2, 3]
    assert not both.training


def test_several_local_steps_are_not_central_but_learn():
    found, told = slices(), []
    sites = {"A": task(found[:1]), "B": task(found[1:])}
    nets.federate(made(), sites, nets.Federation(rounds=4, local_steps=3, lr=3e-3, optimiser="adam"),
                  callback=told.append)
    assert told[-1]["loss"] < told[0]["loss"]
    assert set(told[0]["losses"]) == {"A", "B"}


def arrays(value):
    """All tensors and arrays in a message."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [a for part in value for a in arrays(part)]
    return [np.asarray(value)] if torch.is_tensor(value) or isinstance(value, np.ndarray) else []


class Wire:
    """A Dask client whose workers are elsewhere: all that goes and comes is pickled, and kept."""

    def __init__(self):
        self.sent, self.received, self.where = [], [], []

    def get_executor(self):
        raise AssertionError("not asked for")

    def submit(self, work, *given, pure, workers=None):
        self.where.append((pure, workers))
        self.sent.append(pickle.dumps(given))
        work, given = pickle.loads(pickle.dumps((work, given)))
        self.received.append(pickle.dumps(work(*given)))
        answer = pickle.loads(self.received[-1])
        return type("Future", (), {"result": lambda self: answer})()


@pytest.fixture
def folders(tmp_path):
    """A folder of one file for each of two sites, and the bytes of their k-space."""
    import h5py

    raw = []
    for name, scan in zip(("a", "b"), SCANS):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "scan.h5", "w") as file:
            file["kspace"] = scan.kspace[None]
        raw.append(scan.kspace)
    return tmp_path, raw


def test_no_kspace_leaves_a_site(folders):
    folder, raw = folders
    data = {"kind": "fastmri", "accel": 2, "center_fraction": 0.3}
    sites = {name: nets.Site(folder / name, data, worker=f"tcp://{name}") for name in "ab"}
    wire, network = Wire(), made()
    shapes = {k: tuple(p.shape) for k, p in network.named_parameters() if p.requires_grad}
    size = len(pickle.dumps(network))
    there = nets.federate(network, sites, nets.Federation(rounds=2, local_steps=2), client=wire)
    assert wire.where == [(False, ["tcp://a"]), (False, ["tcp://b"])] * 2
    for answer in map(pickle.loads, wire.received):
        assert set(answer) == {"update", "examples", "loss"}
        assert {k: tuple(v.shape) for k, v in answer["update"].items()} == shapes
        assert (type(answer["examples"]), type(answer["loss"])) == (int, float)
        assert len(arrays(answer)) == len(shapes)
    for message in wire.sent + wire.received:
        assert len(message) < size + 20000
        assert all(k.tobytes()[place: place + 64] not in message for k in raw for place in range(0, k.nbytes, 4096))
    here = nets.federate(made(), sites, nets.Federation(rounds=2, local_steps=2))
    assert all(torch.equal(a, b) for a, b in zip(there.parameters(), here.parameters()))
    assert federated._sites({"a": str(folder / "a")}) == {"a": nets.Site(str(folder / "a"))}


@pytest.mark.parametrize("answer", [
    {"update": {}, "examples": 1, "loss": 0.0}, {"kspace": 1, "update": {}, "examples": 1, "loss": 0.0}, [1], None])
def test_an_answer_of_anything_else_is_refused(monkeypatch, answer):
    if isinstance(answer, dict) and "kspace" in answer:
        answer["update"] = dict(made().named_parameters())
    monkeypatch.setattr(federated, "visit", lambda *a: answer)
    refused(lambda: nets.federate(made(), {"A": task(slices())}), ValueError, "site 'A' sent something else")


def test_updates_are_clipped_and_noisy():
    job, network = task(slices()), made()
    plain, clipped, noisy, again, other = (
        federated.visit(job, network, nets.Federation(local_steps=2, lr=0.05, **more), 0, k)["update"]
        for k, more in ((0, {}), (0, {"clip": 1e-3}), (0, {"clip": 1e-3, "noise": 2.0, "seed": 1}),
                        (0, {"clip": 1e-3, "noise": 2.0, "seed": 1}), (1, {"clip": 1e-3, "noise": 2.0, "seed": 1})))

    def flat(update):
        return torch.cat([u.flatten() for u in update.values()])

    assert float(flat(plain).norm()) > 1e-3
    assert float(flat(clipped).norm()) == pytest.approx(1e-3, rel=1e-5)
    assert torch.nn.functional.cosine_similarity(flat(plain), flat(clipped), dim=0) > 0.99999
    noise = flat(noisy) - flat(clipped)
    assert float(noise.std()) == pytest.approx(2e-3, rel=0.15)
    assert torch.equal(flat(noisy), flat(again))
    assert not torch.equal(flat(noisy), flat(other))
    secret = [federated.visit(job, network, nets.Federation(local_steps=1, clip=1e-3, noise=1.0), 0, 0)["update"]
              for _ in range(2)]
    assert not torch.equal(flat(secret[0]), flat(secret[1]))
    small = federated._private({"w": torch.ones(3) * 1e-6}, nets.Federation(clip=1.0), 0, 0)["w"]
    assert torch.equal(small, torch.ones(3) * 1e-6), "what is short stays as it is"


def test_complex_weights_are_clipped_and_noisy_too():
    update = {"w": torch.full((2000,), 1 + 1j)}
    found = federated._private(update, nets.Federation(clip=1.0, noise=0.5, seed=0), 0, 0)["w"]
    rest = found - update["w"] / float(torch.linalg.vector_norm(update["w"]))
    assert float(rest.real.std()) == pytest.approx(0.5, rel=0.1)
    assert float(rest.imag.std()) == pytest.approx(0.5, rel=0.1)


def test_a_visit_leaves_the_network_as_it_is():
    network = made()
    before = copy.deepcopy(network.state_dict())
    federated.visit(task(slices()), network, nets.Federation(local_steps=1), 0, 0)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_what_does_not_fit_is_refused():
    class Running(torch.nn.Module):
        needs_maps = True

        def __init__(self):
            super().__init__()
            self.inner, self.norm = made(), torch.nn.BatchNorm2d(2)

        def forward(self, A, y):
            x = self.inner(A, y)
            planes = self.norm(torch.stack([x.real, x.imag], 1))
            return torch.complex(planes[:, 0], planes[:, 1])

    job = task(slices())
    refused(lambda: nets.federate(Running(), {"A": job}), ValueError, "running statistics")
    refused(lambda: nets.federate(made().requires_grad_(False), {"A": job}), ValueError, "all are frozen")
    refused(lambda: nets.federate(made(), {}), ValueError, "sites is empty")
    refused(lambda: nets.federate(made(), [job]), TypeError, "sites must be a dict")
    refused(lambda: nets.federate(made(), {"A": 3}), TypeError, "must be a Site, a folder or a task")
    refused(lambda: nets.federate("net", {"A": job}), TypeError, "torch module")
    refused(lambda: nets.Federation(noise=1.0), ValueError, "give clip")
    refused(lambda: nets.Federation(optimiser="lbfgs"), ValueError, "optimiser must be one of sgd, adam")
    wild = {"update": {k: p * torch.nan for k, p in made().named_parameters() if p.requires_grad}}
    refused(lambda: federated._checked("A", {**wild, "examples": 1, "loss": 0.0}, made()), ValueError,
            "the update of site 'A' is not finite")
    unknown = nets.Site("nowhere", task={"kind": "painting"})
    refused(lambda: unknown.open(made()), ValueError, "task kind must be one of")
