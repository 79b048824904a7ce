"""The paths for a GPU on tensors in the CPU's memory: torch's own kernels, values as numpy's, every copy counted."""

import contextlib
import dataclasses
import gc
import sys

import cases
import numpy as np
import pytest
import torch
from cases import GPU_LINOPS, LINOPS, OBJECTIVES, PRIORS, toy
from gpu_cases import (
    BRAIN,
    CALIBRATION,
    FITS,
    LARGE,
    LEARNED,
    PLANNED,
    RECIPES,
    RUN,
    SCAN,
    Net,
    check_calibration,
    check_linop,
    check_prior,
    check_recipe,
    check_solver,
    made_on,
    on_gpu,
    pairs,
)
from helpers import Own, refused
from strict import Memory, strict

import pisolve as pi
from pisolve import backend, cli, linops, testing
from pisolve.io.files import load_image

MOST_SCALARS = 100  # numbers that a step reads to decide how it goes on: restarts, inner solvers, line searches


@pytest.fixture
def counts(monkeypatch):
    """Tensors as strict as those on a GPU, and what was copied."""
    with strict(monkeypatch) as counted:
        yield counted


@pytest.fixture
def kernels():
    """torch's own kernels on plain tensors, for networks, which make tensors as they like."""
    with backend.torch_kernels():
        yield


def put(array):
    """A tensor of its own memory."""
    return torch.from_numpy(np.array(array))


@contextlib.contextmanager
def still(counts):
    """A context in which no array may be copied from one memory to the other."""
    before = counts["down"], counts["up"]
    yield
    assert (counts["down"], counts["up"]) == before, "a round trip"


@pytest.mark.parametrize("name", LINOPS)
def test_linops(name, counts, monkeypatch, rng):
    watched = name in GPU_LINOPS
    check_linop(put, monkeypatch, name, rng, (lambda: still(counts)) if watched else contextlib.nullcontext)


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name, counts, monkeypatch, rng):
    check_prior(put, monkeypatch, name, rng, lambda: still(counts))


@pytest.mark.parametrize(("solver", "objective"), pairs())
def test_solvers(solver, objective, counts):
    copies = []
    check_solver(put, solver, objective, [lambda *_: copies.append(dict(counts))])
    for name in ("down", "up"):
        assert len({c.get(name) for c in copies[1:]}) == 1, "an array is copied in a step"  # the first makes constants
    if not (OBJECTIVES[objective].slow_prox and solver == "fista"):  # which iterates inside
        assert copies[-1]["scalars"] - copies[-2]["scalars"] <= MOST_SCALARS


def test_a_low_rank_prior_of_coil_images_stays_on_the_gpu(counts):
    A = linops.sampled_fft((3, 16, 14), cases.points(16, 14))
    B = linops.sampled_fft((3, 16, 14), cases.points(16, 14), like=put(np.zeros(1, "complex64")))
    y = A(testing.random(A.ishape, np.random.default_rng(0)))
    copies, run = [], {"prior": pi.StructuredLowRank(12, kernel=(3, 3)), "solver": pi.FISTA(momentum=False),
                       "max_iter": 4, "tol": 0}
    ours = pi.solve(B, put(y), **run, callbacks=[lambda *_: copies.append(dict(counts))])
    assert testing.distance(ours.x, pi.solve(A, y, **run).x) < 1e-4
    for name in ("down", "up"):
        assert copies[1].get(name) == copies[3].get(name)


def test_small_groups_of_coils_give_the_same(kernels, monkeypatch, rng):
    mps, mask = cases.maps(3, 5, 8, 6, dtype="complex64"), cases.points(3, 8, 6)
    A = linops.sense(mps, mask)
    x = testing.random(A.ishape, rng)
    for room in (1, 3 * 8 * 48 * 2, 3 * 8 * 48 * 12, 1 << 30):
        monkeypatch.setattr(backend, "workspace", lambda x, room=room: room)
        B = linops.sense(put(mps), put(mask))
        assert B.group == min(max(1, room // (3 * 8 * 48)), 15)
        X = put(x)
        for ours, theirs in ((B(X), A(x)), (B.N(X), A.N(x)), (B.H(B(X)), A.H(A(x)))):
            assert testing.distance(ours, theirs) < 1e-6


def test_an_operator_says_where_its_maps_are(kernels):
    A, y = toy()
    B, Y = on_gpu(put, A, y)
    for operator, data in ((A, Y), (B, y)):
        for call, given in ((operator, data[0]), (operator.H, data)):
            with pytest.raises(TypeError, match="made of maps on the"):
                call(given)


def test_tensors_of_the_cpu_go_by_numpys_kernels(monkeypatch, rng):
    A, _ = toy()
    x = testing.random(A.ishape, rng, "complex128")
    assert (A(put(x)).numpy() == A(x)).all()
    with backend.torch_kernels():
        assert backend.native(put(x))
    assert not backend.native(put(x))
    assert not backend.native(x)


def tensors():
    """Tensors in what would be the GPU's memory."""
    gc.collect()
    return [t for t in gc.get_objects() if type(t) is torch.Tensor and t.numel() > 100
            and not hasattr(t, "of_the_host")]


@pytest.mark.parametrize("name", RECIPES)
def test_recon(name, monkeypatch):
    before = len(tensors())
    ours, theirs = check_recipe(RECIPES[name], device="torch", context=lambda: strict(monkeypatch))
    assert len(tensors()) == before, "memory of the GPU is held after the run"
    for a, b in zip(ours.results, theirs.results, strict=True):
        assert type(a.x) is np.ndarray
        assert not any(torch.is_tensor(v) for v in a.state.aux.values())
        assert a.report(show=False)["data_residual"] == pytest.approx(b.report(show=False)["data_residual"], rel=1e-3)


def test_kspace_and_maps_go_up_once(counts):
    prepared = pi.recon(SCAN, pi.Zero(), **RUN | {"max_iter": 0}).scan
    up = []
    for n in (2, 9):
        counts.update(up=-counts["up"])
        pi.recon(prepared, pi.Zero(), max_iter=n, tol=0, device="torch")
        up.append(counts["up"])
    assert up == [6, 6]  # k-space, maps and mask of two slices, whatever the number of steps


def test_slices_that_do_not_fit_are_made_again(monkeypatch):
    whole = pi.recon(SCAN, pi.Zero(), **RUN, device="torch")
    plan = pi.device.plan
    monkeypatch.setattr(pi.device, "plan", lambda *a, **k: dataclasses.replace(plan(*a, **k), slices=1))
    one = pi.recon(SCAN, pi.Zero(), **RUN, device="torch")
    assert (one.x == whole.x).all()
    assert one.scale == whole.scale


@pytest.mark.parametrize("name", [*LEARNED, *FITS])
def test_networks(name):
    before = len(tensors())
    check_recipe((LEARNED | FITS)[name](), device="torch")
    assert len(tensors()) <= before + 40  # compiled or cached by torch itself


@pytest.mark.parametrize("prior", [pi.Untrained(pi.nets.ConvDecoder(channels=16), runs=2),
                                   pi.Untrained(pi.nets.DIP(), runs=1), pi.ZeroShot()], ids=str)
def test_a_plan_counts_what_the_gradient_of_a_fit_keeps(prior):
    A = linops.sense(LARGE.mps, np.ones(LARGE.kspace.shape[-2:], bool))
    task, kept, alive = prior.task(pi.problem.Problem(A, LARGE.kspace.astype("complex64"), prior)), {}, []

    def keep(tensor):
        alive.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        task.loss(0, 0)
    weights = sum(p.numel() for p in task.module(0).parameters()) * 4
    need = sum(kept.values()) + 6 * task.runs * weights  # theta, average, two moments, best, gradient
    said = pi.device.plan(LARGE.kspace.shape, pi.Recipe(prior, device="cuda"), free=1 << 34)
    assert need <= said.parts["network"] + said.parts["coil images"] <= 2 * need


def test_a_denoisers_step_copies_nothing(counts, one_thread):
    A, y = toy()
    net = Net.__new__(Net)
    with torch.device("cpu"):
        net.__init__()
    B, Y = on_gpu(put, A, y)
    copies = []
    pi.solve(B, Y, pi.PnP(net, 0.1), pi.ADMM(), max_iter=4, tol=0,
             callbacks=[lambda *_: copies.append(dict(counts))])
    for name in ("down", "up"):
        assert copies[0].get(name) == copies[3].get(name)


@pytest.mark.parametrize("name", ["sense-points", "wavelet-odd", "composed", "blocks", "coil-filter", "subspace-sense"])
def test_derivatives_go_through_operators_on_the_gpu(name, kernels, monkeypatch):
    testing.check_torch(made_on(put, monkeypatch, name, "complex128"), numpys=LINOPS[name]("complex128"))


def test_a_network_without_maps():
    def magnitude(kspace, mask):
        coils = torch.fft.ifft2(torch.fft.ifftshift(kspace * mask, (-2, -1)), norm="ortho")
        return (coils.abs() ** 2).sum(1).sqrt()

    run = {n: v for n, v in RUN.items() if n != "max_iter"} | {"network": Own(magnitude, needs_maps=False)}
    theirs = pi.recon(SCAN, **run)
    assert testing.distance(pi.recon(SCAN, **run, device="torch").x, theirs.x) < 1e-4


def test_devices_that_are_not_there(monkeypatch):
    scan = BRAIN.kspace
    for device, error in (("gpu", ValueError), ("cuda:x", ValueError), ("cuda:", ValueError), (0, TypeError)):
        refused(lambda device=device: pi.Recipe(device=device), error, "device must be 'cpu', 'cuda', 'cuda:1' or")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        refused(lambda: backend.find_gpu("cuda"), ImportError, "device is 'cuda', but torch is missing: pip install "
                "torch, or take 'cpu' or 'auto'")
        assert backend.find_gpu("auto") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert backend.find_gpu("auto") == backend.find_gpu("cuda") == torch.device("cuda", 0)
    refused(lambda: pi.recon(scan, device="cuda:3"), ValueError, "there are 1 GPUs, 'cuda:0' to 'cuda:0'")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert backend.find_gpu("auto") is None
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    refused(lambda: pi.recon(scan, device="cuda"), ValueError, "no GPU that CUDA can use: take 'cpu' or 'auto'")
    monkeypatch.setattr(torch.version, "cuda", None)
    refused(lambda: pi.recon(scan, device="cuda"), ImportError, "this torch was built without CUDA: install one with")
    assert pi.recon(scan, device="auto", max_iter=1, maps=RUN["maps"]).ok


def test_the_device_is_part_of_a_recipe():
    recipe = pi.Recipe(1e-3 * pi.TV(), device="cuda:1")
    assert recipe.to_dict()["device"] == "cuda:1"
    assert pi.Recipe.from_dict(recipe.to_dict()).device == "cuda:1"
    assert "device" not in pi.Recipe(1e-3 * pi.TV()).to_dict()  # recipes read as before


def test_the_command_line(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "scan.npz", kspace=BRAIN.kspace)
    words = ["recon", str(tmp_path / "scan.npz"), "--no-progress", "-o"]
    first, again = str(tmp_path / "a.h5"), str(tmp_path / "b.h5")
    with strict(monkeypatch) as counts:
        assert cli.main([*words, first, "--max-iter", "3", "--map-crop", "0.5", "--device", "torch"]) == 0
        assert counts["up"]
    with strict(monkeypatch) as counts:
        assert cli.main([*words, again, "--recipe", first, "--device", "cpu"]) == 0
        assert not counts["up"]
    assert testing.distance(load_image(first), load_image(again)) < 1e-4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    capsys.readouterr()
    assert cli.main([*words, again, "--device", "cuda"]) == 2
    assert "take 'cpu' or 'auto'" in capsys.readouterr().err


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_what_is_allocated(name):
    """An estimate from above, at most three times the bytes that tensors took."""
    recipe = pi.Recipe(**{"maps": pi.Espirit(), "max_iter": 4, "tol": 0, **PLANNED[name]}, device="torch")
    scan = recipe.prepare(LARGE.kspace)
    said = pi.device.plan(scan, recipe, free=1 << 34)
    with Memory() as memory:
        recipe(scan)
    assert memory.peak <= said.total <= 3 * memory.peak


def test_a_plan_sizes_batches_to_the_memory():
    shape = (32, 16, 320, 320)
    wide = pi.device.plan(shape, free=16 << 30)
    assert (wide.slices, wide.count) == (32, 32)
    assert wide.parts["k-space"] == wide.parts["maps"] == 16 * 320 * 320 * 8
    small = pi.device.plan(shape, free=256 << 20)
    assert 1 <= small.slices < 32
    assert small.total <= small.free
    assert "slices at a time" in str(small)
    with pytest.raises(pi.device.OutOfMemory, match=r"16 x 320 x 320 needs \d+ MB on the GPU, and 32 MB are .*coils"):
        pi.device.plan(shape, free=32 << 20)
    assert issubclass(pi.device.OutOfMemory, MemoryError)
    for bad, error in (((3, 4), ValueError), (7, TypeError), ((2, 0, 4), ValueError)):
        with pytest.raises(error):
            pi.device.plan(bad, free=1 << 30)
    with pytest.raises(ValueError, match="free must be"):
        pi.device.plan(shape, free=0)


def test_memory_is_given_back_where_a_run_fails(monkeypatch):
    def stop(problem, state):
        raise RuntimeError("a callback failed")

    before = len(tensors())
    with pytest.raises(RuntimeError, match="a callback failed") as error:
        pi.Recipe(pi.Zero(), **RUN, device="torch")(SCAN, callbacks=[stop])
    assert len(tensors()) == before, "the error's frames hold arrays"
    del error

    def full(problem, state):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.\nMore lines.")

    refused(lambda: pi.recon(SCAN, pi.Zero(), **RUN, device="torch", callbacks=[full]), pi.device.OutOfMemory,
            "the GPU's memory does not suffice (CUDA out of memory. Tried to allocate 1.00 GiB.). What was expected: 2 "
            "of 2 slices")
    assert len(tensors()) == before


def test_networks_come_back():
    """Where they were before the run."""
    net, moves = Net(), []
    net.to = lambda place: moves.append(place)
    pi.recon(SCAN, pi.PnP(net, 0.1), **RUN, device="torch")
    assert moves == [torch.device("cpu"), torch.device("cpu")]


def test_a_run_keeps_no_gradients():
    """Weights that require one do not make a graph of all iterations."""
    seen = []
    run = RUN | {"callbacks": [lambda problem, state: seen.append(state.x.requires_grad)]}
    pi.recon(SCAN, pi.PnP(Net().requires_grad_(True), 0.1), **run, device="torch")
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("name", CALIBRATION)
def test_calibration(name, counts):
    check_calibration(put, name)
