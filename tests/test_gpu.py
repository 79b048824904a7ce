"""CPU = GPU for every entry of the tables, recipes, networks and calibrations; memory, streams, DLPack. Needs a GPU."""

import contextlib
import gc

import numpy as np
import pytest
import torch
from cases import GPU_LINOPS, PRIORS, toy
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

cupy = pytest.importorskip("cupy", reason="cupy is not installed: pip install 'pisolve[gpu]' on a machine with a GPU")
if not cupy.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)
needs_torch = pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch was built without CUDA")


@pytest.mark.parametrize("name", GPU_LINOPS)
def test_linops(name, monkeypatch, rng):
    check_linop(cupy, monkeypatch, name, rng, contextlib.nullcontext)


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name, monkeypatch, rng):
    check_prior(cupy, monkeypatch, name, rng, contextlib.nullcontext)


@pytest.mark.parametrize(("solver", "objective"), pairs())
def test_solvers(solver, objective):
    check_solver(cupy, solver, objective)


@pytest.mark.parametrize("name", RECIPES)
def test_recon(name):
    check_recipe(RECIPES[name])


@needs_torch
@pytest.mark.parametrize("name", LEARNED)
def test_networks(name):
    check_recipe(LEARNED[name]())


@needs_torch
@pytest.mark.parametrize("name", FITS)
def test_fits(name):
    """Adam's first steps are signs of gradients, which rounding may turn: 1e-4 is not to be had."""
    check_recipe(FITS[name](), tol=1e-2)


@pytest.mark.parametrize("name", CALIBRATION)
def test_calibration(name):
    check_calibration(cupy, name)


@needs_torch
def test_dlpack_shares_memory_in_both_directions(rng):
    X = cupy.asarray(testing.random((5, 4), rng))
    t = backend.to_torch(X)
    assert t.data_ptr() == X.data.ptr
    back = backend.from_torch(t)
    assert back.data.ptr == X.data.ptr
    assert testing.distance(back, X) == 0
    flipped = backend.to_torch(X[::-1, ::-2])  # negative strides are copied
    assert testing.distance(flipped, X[::-1, ::-2]) == 0
    assert testing.distance(backend.from_torch(t.conj()), X.conj()) == 0


@needs_torch
def test_streams_wait_for_each_other():
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
                seen = (backend.from_torch(t) + 0).get()
            assert (seen == rounds).all()


@needs_torch
def test_one_stream_while_joined():
    with cupy.cuda.Stream(non_blocking=True) as stream, backend.joined(cupy.zeros(2)):
        assert torch.cuda.current_stream().cuda_stream == stream.ptr
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), backend.joined(torch.zeros(2, device="cuda")):
        assert cupy.cuda.get_current_stream().ptr == stream.cuda_stream


@needs_torch
def test_derivatives_go_through_operators_on_the_gpu(rng):
    A, y = toy()
    B, _ = on_gpu(cupy, A, y)
    x = testing.random(A.ishape, rng, "complex128")
    found = []
    for operator, place in ((A, "cpu"), (B, "cuda")):
        t = torch.from_numpy(x).to(place).requires_grad_()
        (linops.as_torch(operator)(t).abs() ** 2).sum().backward()
        found.append(t.grad.cpu())
    assert testing.distance(found[1], found[0]) < 1e-10


def test_memory_does_not_grow_over_50_runs():
    """Neither what cupy and torch hold nor what the driver says is used, after the first runs have loaded kernels."""
    prior = pi.PnP(Net(), 0.1) if torch.cuda.is_available() else 1e-2 * pi.TV()
    used = []
    for _ in range(50):
        pi.recon(SCAN, prior, **RUN, device="cuda")
        gc.collect()
        free, whole = cupy.cuda.Device().mem_info
        used.append((cupy.get_default_memory_pool().total_bytes(), whole - free))
    assert used[-1][0] <= used[4][0]
    assert used[-1][1] <= used[4][1] + (8 << 20)  # others may use this GPU, too


def test_memory_is_given_back_where_a_run_fails():
    def stop(problem, state):
        raise RuntimeError("a callback failed")

    with pytest.raises(RuntimeError, match="a callback failed"):
        pi.recon(SCAN, pi.Zero(), **RUN, device="cuda", callbacks=[stop])
    gc.collect()
    backend.release()
    assert cupy.get_default_memory_pool().total_bytes() == 0


@needs_torch
def test_a_network_is_where_it_was_after_a_run():
    net = Net()
    pi.recon(SCAN, pi.PnP(net, 0.1), **RUN, device="cuda")
    assert net.weight.device.type == "cpu"
    assert np.isfinite(net.weight.detach().numpy()).all()
