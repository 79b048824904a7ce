"""CPU = GPU for every entry of the tables, recipes, networks and calibrations; memory, DLPack. Needs a GPU.

Arrays are torch's, and cupy's own where it is installed.
"""

import gc

import numpy as np
import pytest
import torch
from cases import GPU_LINOPS, LINOPS, PRIORS, toy
from gpu_cases import (
    CALIBRATION,
    FITS,
    LEARNED,
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

import pisolve as pi
from pisolve import backend, linops, testing

if not torch.cuda.is_available():
    pytest.skip("there is no GPU, or this torch was built without CUDA", allow_module_level=True)


def to_gpu(array):
    """A tensor on the GPU."""
    return torch.from_numpy(np.array(array)).cuda()


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy", reason="cupy is not installed: pip install 'pisolve[gpu]'")


@pytest.fixture(params=["torch", "cupy"])
def put(request):
    """What moves an array to the GPU."""
    return to_gpu if request.param == "torch" else request.getfixturevalue("cupy").asarray


@pytest.mark.parametrize("name", LINOPS)
def test_linops(name, put, monkeypatch, rng):
    if name not in GPU_LINOPS and put is not to_gpu:
        pytest.skip("points are transformed on the CPU, which cupy's arrays do not go to")
    check_linop(put, monkeypatch, name, rng)


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name, put, monkeypatch, rng):
    check_prior(put, monkeypatch, name, rng)


@pytest.mark.parametrize(("solver", "objective"), pairs())
def test_solvers(solver, objective, put):
    check_solver(put, solver, objective)


@pytest.mark.parametrize("name", RECIPES)
def test_recon(name):
    check_recipe(RECIPES[name])


@pytest.mark.parametrize("name", LEARNED)
def test_networks(name):
    check_recipe(LEARNED[name]())


@pytest.mark.parametrize("name", FITS)
def test_fits(name):
    """Adam's first steps are signs of gradients, which rounding may turn: 1e-4 is not to be had."""
    check_recipe(FITS[name](), tol=1e-2)


@pytest.mark.parametrize("name", CALIBRATION)
def test_calibration(name, put):
    check_calibration(put, name)


def test_dlpack_shares_memory_in_both_directions(cupy, rng):
    X = cupy.asarray(testing.random((5, 4), rng))
    t = backend.to_torch(X)
    assert t.data_ptr() == X.data.ptr
    back = backend.from_torch(t, X)
    assert back.data.ptr == X.data.ptr
    assert testing.distance(back, X) == 0
    flipped = backend.to_torch(X[::-1, ::-2])  # negative strides are copied
    assert testing.distance(flipped, X[::-1, ::-2]) == 0
    assert testing.distance(backend.from_torch(t.conj(), X), X.conj()) == 0


def test_streams_wait_for_each_other(cupy):
    """A consumer on another stream reads what the producer's long work has written, in both directions."""
    n, rounds = 1 << 22, 200
    for _ in range(3):
        with cupy.cuda.Stream(non_blocking=True):
            x = cupy.zeros(n, "float32")
            for _ in range(rounds):
                x += 1
            with torch.cuda.stream(torch.cuda.Stream()):
                seen = (backend.to_torch(x) + 0).cpu()
            assert bool((seen == rounds).all())
        with torch.cuda.stream(torch.cuda.Stream()):
            t = torch.zeros(n, device="cuda")
            for _ in range(rounds):
                t += 1
            with cupy.cuda.Stream(non_blocking=True):
                seen = (backend.from_torch(t, x) + 0).get()
            assert (seen == rounds).all()


def test_one_stream_while_joined(cupy):
    with cupy.cuda.Stream(non_blocking=True) as stream, backend.joined(cupy.zeros(2)):
        assert torch.cuda.current_stream().cuda_stream == stream.ptr


def test_derivatives_go_through_operators_on_the_gpu(rng):
    A, y = toy()
    B, _ = on_gpu(to_gpu, A, y)
    x = testing.random(A.ishape, rng, "complex128")
    found = []
    for operator, place in ((A, "cpu"), (B, "cuda")):
        t = torch.from_numpy(x).to(place).requires_grad_()
        (linops.as_torch(operator)(t).abs() ** 2).sum().backward()
        found.append(t.grad.cpu())
    assert testing.distance(found[1], found[0]) < 1e-10


def test_memory_does_not_grow_over_50_runs():
    """Neither what torch holds nor what the driver says is used, after the first runs have loaded kernels."""
    used = []
    for _ in range(50):
        pi.recon(SCAN, pi.PnP(Net(), 0.1), **RUN, device="cuda")
        gc.collect()
        free, whole = torch.cuda.mem_get_info()
        used.append((torch.cuda.memory_reserved(), whole - free))
    assert used[-1][0] <= used[4][0]
    assert used[-1][1] <= used[4][1] + (8 << 20)  # others may use this GPU, too


def test_memory_is_given_back_where_a_run_fails():
    def stop(problem, state):
        raise RuntimeError("a callback failed")

    with pytest.raises(RuntimeError, match="a callback failed"):
        pi.recon(SCAN, pi.Zero(), **RUN, device="cuda", callbacks=[stop])
    gc.collect()
    backend.release()
    assert torch.cuda.memory_allocated() == 0


def test_a_network_is_where_it_was_after_a_run():
    net = Net()
    pi.recon(SCAN, pi.PnP(net, 0.1), **RUN, device="cuda")
    assert net.weight.device.type == "cpu"
    assert np.isfinite(net.weight.detach().numpy()).all()
