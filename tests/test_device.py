"""The paths for a GPU on the CPU: `fake_cupy` in cupy's place, values compared with numpy's, every copy counted."""

import contextlib
import dataclasses
import gc
import sys
import types

import cases
import fake_cupy
import numpy as np
import pytest
import sigpy
import torch
from cases import GPU_LINOPS, OBJECTIVES, PRIORS, toy
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
    on_gpu,
    pairs,
)
from helpers import Own, refused

import pisolve as pi
from pisolve import backend, cli, linops, testing
from pisolve.backend import _cuda
from pisolve.io.files import load_image

MOST_SCALARS = 100  # numbers that a step reads to decide how it goes on: restarts, inner solvers, line searches


@pytest.fixture
def cupy(monkeypatch):
    """A machine with one GPU, as far as Python can tell; SigPy's own operators see it, too."""
    fake = fake_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(sigpy.config, "cupy_enabled", True)
    monkeypatch.setattr(sigpy.backend, "cp", fake, raising=False)
    yield fake
    backend.Constant.forget()


@pytest.fixture
def watch(cupy):
    """A context in which no array may be copied from one memory to the other."""
    @contextlib.contextmanager
    def looking():
        before = dict(cupy.counts)
        yield
        assert {n: cupy.counts[n] - before[n] for n in ("down", "up")} == {"down": 0, "up": 0}, "a round trip"

    return looking


@pytest.mark.parametrize("name", GPU_LINOPS)
def test_linops(name, cupy, monkeypatch, rng, watch):
    check_linop(cupy, monkeypatch, name, rng, watch)


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name, cupy, monkeypatch, rng, watch):
    check_prior(cupy, monkeypatch, name, rng, watch)


@pytest.mark.parametrize(("solver", "objective"), pairs())
def test_solvers(solver, objective, cupy):
    copies = []
    check_solver(cupy, solver, objective, [lambda *_: copies.append(dict(cupy.counts))])
    for name in ("down", "up"):
        assert len({c[name] for c in copies[1:]}) == 1, "an array is copied in a step"  # the first makes the constants
    if not (OBJECTIVES[objective].slow_prox and solver == "fista"):  # which iterates inside
        assert copies[-1]["scalars"] - copies[-2]["scalars"] <= MOST_SCALARS


def test_a_low_rank_prior_of_coil_images_stays_on_the_gpu(cupy):
    A = linops.sampled_fft((3, 16, 14), cases.points(16, 14))
    B = linops.sampled_fft((3, 16, 14), cases.points(16, 14), like=cupy.zeros(1, "complex64"))
    y = A(testing.random(A.ishape, np.random.default_rng(0)))
    copies, run = [], {"prior": pi.StructuredLowRank(12, kernel=(3, 3)), "solver": pi.FISTA(momentum=False),
                       "max_iter": 4, "tol": 0}
    ours = pi.solve(B, cupy.asarray(y), **run, callbacks=[lambda *_: copies.append(dict(cupy.counts))])
    assert testing.distance(ours.x, pi.solve(A, y, **run).x) < 1e-4
    assert copies[1]["down"] == copies[3]["down"]
    assert copies[1]["up"] == copies[3]["up"]


def test_small_groups_of_coils_give_the_same(cupy, monkeypatch, rng):
    mps, mask = cases.maps(3, 5, 8, 6, dtype="complex64"), cases.points(3, 8, 6)
    A = linops.sense(mps, mask)
    x = testing.random(A.ishape, rng)
    for room in (1, 3 * 8 * 48 * 2, 3 * 8 * 48 * 12, 1 << 30):
        monkeypatch.setattr(backend, "workspace", lambda x, room=room: room)
        B = linops.sense(cupy.asarray(mps), cupy.asarray(mask))
        assert B.group == min(max(1, room // (3 * 8 * 48)), 15)
        X = cupy.asarray(x)
        for ours, theirs in ((B(X), A(x)), (B.N(X), A.N(x)), (B.H(B(X)), A.H(A(x)))):
            assert testing.distance(ours, theirs) < 1e-6


def test_an_operator_says_where_its_maps_are(cupy):
    A, y = toy()
    B, Y = on_gpu(cupy, A, y)
    for operator, data in ((A, Y), (B, y)):
        for call, given in ((operator, data[0]), (operator.H, data)):
            with pytest.raises(TypeError, match="made of maps on the"):
                call(given)


@pytest.mark.parametrize("name", RECIPES)
def test_recon(name, cupy):
    ours, theirs = check_recipe(RECIPES[name])
    gc.collect()
    assert cupy.live == 0, "memory of the GPU is held after the run"
    assert cupy.released
    for a, b in zip(ours.results, theirs.results, strict=True):
        assert type(a.x) is np.ndarray
        assert not any(isinstance(v, cupy.ndarray) for v in a.state.aux.values())
        assert a.report(show=False)["data_residual"] == pytest.approx(b.report(show=False)["data_residual"], rel=1e-3)


def test_kspace_and_maps_go_up_once(cupy):
    prepared = pi.recon(SCAN, pi.Zero(), **RUN | {"max_iter": 0}).scan
    up = []
    for n in (2, 9):
        cupy.counts.update(up=0)
        pi.recon(prepared, pi.Zero(), max_iter=n, tol=0, device="cuda:0")
        up.append(cupy.counts["up"])
    assert up == [6, 6]  # k-space, maps and mask of two slices, whatever the number of steps


def test_slices_that_do_not_fit_are_made_again(cupy, monkeypatch):
    whole = pi.recon(SCAN, pi.Zero(), **RUN, device="cuda")
    plan = pi.device.plan
    monkeypatch.setattr(pi.device, "plan", lambda *a, **k: dataclasses.replace(plan(*a, **k), slices=1))
    one = pi.recon(SCAN, pi.Zero(), **RUN, device="cuda")
    assert (one.x == whole.x).all()
    assert one.scale == whole.scale


@pytest.fixture
def bridge(monkeypatch):
    """torch's memory of the CPU stands for that of the GPU: what comes from torch becomes cupy's."""
    monkeypatch.setattr(_cuda, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(backend, "torch_device", lambda index: torch.device("cpu"))


@pytest.mark.parametrize("name", [*LEARNED, *FITS])
def test_networks(name, cupy, monkeypatch):
    monkeypatch.setattr(_cuda, "on_gpu", lambda tensor: cupy.counts["up"] > 0)  # the run on the CPU comes first
    monkeypatch.setattr(backend, "torch_device", lambda index: torch.device("cpu"))
    check_recipe((LEARNED | FITS)[name]())
    gc.collect()
    assert cupy.live == 0


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


def test_a_denoisers_step_copies_nothing(cupy, bridge):
    A, y = toy()
    B, Y = on_gpu(cupy, A, y)
    copies = []
    pi.solve(B, Y, pi.PnP(Net(), 0.1), pi.ADMM(), max_iter=4, tol=0,
             callbacks=[lambda *_: copies.append(dict(cupy.counts))])
    for name in ("down", "up"):
        assert copies[0][name] == copies[3][name]


def test_derivatives_go_through_operators_on_the_gpu(cupy, monkeypatch):
    A, y = toy()
    B, _ = on_gpu(cupy, A, y)
    x = testing.random(A.ishape, np.random.default_rng(0), "complex128")
    found = []
    for operator in (A, B):
        monkeypatch.setattr(_cuda, "on_gpu", lambda tensor, operator=operator: operator is B)
        t = torch.from_numpy(x).requires_grad_()
        (linops.as_torch(operator)(t).abs() ** 2).sum().backward()
        found.append(t.grad)
    assert testing.distance(found[1], found[0]) < 1e-12


def test_a_network_without_maps(cupy, monkeypatch):
    def magnitude(kspace, mask):
        coils = torch.fft.ifft2(torch.fft.ifftshift(kspace * mask, (-2, -1)), norm="ortho")
        return (coils.abs() ** 2).sum(1).sqrt()

    run = {n: v for n, v in RUN.items() if n != "max_iter"} | {"network": Own(magnitude, needs_maps=False)}
    theirs = pi.recon(SCAN, **run)
    monkeypatch.setattr(_cuda, "on_gpu", lambda tensor: True)
    assert testing.distance(pi.recon(SCAN, **run, device="cuda").x, theirs.x) < 1e-4


def test_devices_that_are_not_there(monkeypatch):
    scan = BRAIN.kspace
    monkeypatch.setitem(sys.modules, "cupy", None)
    refused(lambda: pi.recon(scan, device="cuda"), ImportError, "device is 'cuda', but cupy is missing: pip install "
            "'pisolve[gpu]', or take 'cpu' or 'auto'")
    assert backend.find_gpu("auto") is None
    for device, error in (("gpu", ValueError), ("cuda:x", ValueError), ("cuda:", ValueError), (0, TypeError)):
        refused(lambda device=device: pi.Recipe(device=device), error, "device must be 'cpu', 'cuda', 'cuda:1' or")
    fake = fake_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    assert backend.find_gpu("auto") == backend.find_gpu("cuda") == 0
    refused(lambda: pi.recon(scan, device="cuda:3"), ValueError, "there are 1 GPUs, 'cuda:0' to 'cuda:0'")
    fake.cuda.is_available = lambda: False
    assert backend.find_gpu("auto") is None
    refused(lambda: pi.recon(scan, device="cuda"), ValueError, "no GPU that CUDA can use: take 'cpu' or 'auto'")
    assert pi.recon(scan, device="auto", max_iter=1, maps=RUN["maps"]).ok
    refused(lambda: backend.torch_device(0), ImportError, "install torch with CUDA") if not (
        torch.cuda.is_available()) else None


def test_a_tensor_on_a_gpu_needs_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(_cuda, "on_gpu", lambda tensor: True)
    refused(lambda: backend.from_torch(torch.zeros(2)), ImportError, "pip install 'pisolve[gpu]'")


def test_the_device_is_part_of_a_recipe():
    recipe = pi.Recipe(1e-3 * pi.TV(), device="cuda:1")
    assert recipe.to_dict()["device"] == "cuda:1"
    assert pi.Recipe.from_dict(recipe.to_dict()).device == "cuda:1"
    assert "device" not in pi.Recipe(1e-3 * pi.TV()).to_dict()  # recipes read as before


def test_the_command_line(cupy, tmp_path):
    np.savez(tmp_path / "scan.npz", kspace=BRAIN.kspace)
    words = ["recon", str(tmp_path / "scan.npz"), "--no-progress", "-o"]
    first, again = str(tmp_path / "a.h5"), str(tmp_path / "b.h5")
    assert cli.main([*words, first, "--max-iter", "3", "--map-crop", "0.5", "--device", "cuda"]) == 0
    assert cupy.counts["up"]
    cupy.counts["up"] = 0
    assert cli.main([*words, again, "--recipe", first, "--device", "cpu"]) == 0
    assert cupy.counts["up"] == 0
    assert testing.distance(load_image(first), load_image(again)) < 1e-4


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_what_is_allocated(name, cupy):
    """An estimate from above, at most three times the bytes that cupy's arrays took."""
    recipe = pi.Recipe(**{"maps": pi.Espirit(), "max_iter": 4, "tol": 0, **PLANNED[name]}, device="cuda")
    scan = recipe.prepare(LARGE.kspace)
    said = pi.device.plan(scan, recipe)
    cupy.peak = 0
    recipe(scan)
    assert cupy.peak <= said.total <= 3 * cupy.peak


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


def test_memory_is_given_back_where_a_run_fails(cupy, monkeypatch):
    def stop(problem, state):
        raise RuntimeError("a callback failed")

    with pytest.raises(RuntimeError, match="a callback failed") as error:
        pi.Recipe(pi.Zero(), **RUN, device="cuda")(SCAN, callbacks=[stop])
    gc.collect()
    assert cupy.live == 0, "the error's frames hold arrays"
    assert cupy.released
    del error
    refused(lambda: _tight(cupy, monkeypatch), pi.device.OutOfMemory, "the GPU's memory does not suffice")
    gc.collect()
    assert cupy.live == 0


def _tight(cupy, monkeypatch):
    plan = pi.device.plan
    monkeypatch.setattr(pi.device, "plan", lambda *a, **k: plan(*a, **{**k, "free": 1 << 30}))
    cupy.device_memory = 100_000
    pi.recon(SCAN, pi.Zero(), **RUN, device="cuda")


def test_networks_come_back(cupy, bridge):
    """Where they were before the run: torch's `meta` stands for the GPU in what is asked of the module."""
    net, moves = Net(), []
    net.to = lambda place: moves.append(place)
    pi.recon(SCAN, pi.PnP(net, 0.1), **RUN, device="cuda")
    assert moves == [torch.device("cpu"), torch.device("cpu")]


def test_cupys_stream_is_torchs_while_they_share_an_array(cupy, monkeypatch):
    entered = []

    @contextlib.contextmanager
    def enter(what):
        entered.append(what)
        yield

    fake = types.SimpleNamespace(
        is_available=lambda: True, device=lambda d: enter(("device", str(d))), stream=enter,
        ExternalStream=lambda ptr: ("stream", ptr), default_stream=lambda: ("stream", "default"),
        current_stream=lambda d: types.SimpleNamespace(cuda_stream=4096))
    monkeypatch.setattr(torch, "cuda", fake)
    X = cupy.zeros((2, 2))
    with backend.joined(X):
        assert entered == [("device", "0"), ("stream", "default")]
    with cupy.cuda.ExternalStream(77), backend.joined(X):
        assert entered[2:] == [("device", "0"), ("stream", 77)]
    tensor = type("Tensor", (), {"detach": None, "device": types.SimpleNamespace(type="cuda", index=0)})
    tensor.__module__ = "torch"
    with backend.joined(tensor()):
        assert cupy.cuda.get_current_stream().ptr == 4096
    assert cupy.cuda.get_current_stream().ptr == 0
    with backend.joined(np.zeros(2)):
        pass


@pytest.mark.parametrize("name", CALIBRATION)
def test_calibration(name, cupy):
    check_calibration(cupy, name)
