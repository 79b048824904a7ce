"""GPU against CPU and against SigPy on cupy: operators, solvers, plug-and-play, fits; 16 coils of 320 x 320, 32 slices.

    python benchmarks/gpu.py [--slices 32] [--coils 16] [--size 320] [--repeats 5] [--out FILE.json]

Times are the least of the repeats, after a first run that loads kernels, with the GPU synchronised before each look at
the clock. One batch holds all slices; of fits to the scan one iteration of one slice is timed: a ConvDecoder's fit has
about 75, ZS-SSL's 20. The CPU runs the same with its threads. SigPy has the same operator (its
`mri.linop.Sense`, slice by slice in one loop, since it takes one) and, for wavelets, its own transform, where cupy is
installed. Without a GPU it says so and stops.
"""

import argparse
import json
import sys
import time
from importlib.util import find_spec

import numpy as np
import torch

import pisolve as pi
from pisolve import backend, linops


def gpu_or_exit():
    """The `torch.device` of the GPU."""
    try:
        return backend.find_gpu("cuda")
    except (ImportError, ValueError) as error:
        sys.exit(f"no GPU to measure on: {error}")


def problem(slices, coils, size, seed=0):
    """(maps, mask, k-space, image): a phantom's image in every slice, scaled differently, 4x undersampled in lines."""
    brain = pi.phantom.brain((size, size), coils, noise=0.0)
    scale = np.linspace(0.8, 1.2, slices, dtype=np.float32)[:, None, None]
    mask = pi.masks.random((size, size), 4, seed=seed)
    mps = np.broadcast_to(brain.mps / np.linalg.norm(brain.mps, axis=0), (slices, coils, size, size)).copy()
    image = (scale * brain.image).astype(np.complex64)
    A, rng = linops.sense(mps, mask), np.random.default_rng(seed)
    noise = rng.standard_normal((2, slices, coils, size, size), np.float32)
    return mps, mask, A(image) + 0.01 * mask * (noise[0] + 1j * noise[1]), image


def clock(call, repeats, synchronise):
    """The least wall time of `repeats` calls, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        synchronise()
        start = time.perf_counter()
        call()
        synchronise()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def ours(mps, mask, y, image, denoiser):
    """name -> function of no arguments, on the arrays' own device."""
    A = linops.sense(mps, mask)
    shape = tuple(image.shape)
    W, tv = linops.wavelet(shape), pi.TV()
    G = linops.gradient(shape)
    coefficients = W(image)
    run = {"max_iter": 20, "tol": 0}
    one = linops.sense(mps[0], mask), y[0]
    return {
        "sense A": lambda: A(image), "sense A^H": lambda: A.H(y), "sense A^H A": lambda: A.N(image),
        "wavelet W": lambda: W(image), "wavelet W^H": lambda: W.H(coefficients),
        "TV: shrink the gradient": lambda: tv.f.prox(G(image), 0.01),
        "CG, 20 steps": lambda: pi.solve(A, y, pi.Zero(), pi.CG(), **run),
        "POGM wavelet, 20 steps": lambda: pi.solve(A, y, 2e-3 * pi.Wavelet(), pi.POGM(), **run),
        "ADMM TV, 20 steps": lambda: pi.solve(A, y, 2e-3 * pi.TV(), pi.ADMM(), **run),
        "PnP by ADMM, 5 steps": lambda: pi.solve(A, y, pi.PnP(denoiser, 0.05), pi.ADMM(), max_iter=5, tol=0),
        "ConvDecoder, 1 of 75": lambda: pi.solve(*one, pi.Untrained(), max_iter=1),
        "ZS-SSL, 1 of 20": lambda: pi.solve(*one, pi.ZeroShot(), max_iter=1),
    }


def sigpys(mps, mask, y, image):
    """The same by SigPy on cupy, one slice after another; what it has no counterpart of is left out."""
    if find_spec("cupy") is None:
        return {}
    import cupy
    import sigpy

    mps, y, image = map(cupy.asarray, (mps, y, image))
    weights = cupy.asarray(np.broadcast_to(mask, mps.shape[-2:]).astype(np.float32))
    As = [sigpy.mri.linop.Sense(s, weights=weights) for s in mps]
    W = sigpy.linop.Wavelet(tuple(image.shape[-2:]), wave_name="db4")

    def cg():
        for A, data in zip(As, y):
            sigpy.app.LinearLeastSquares(A, data, max_iter=20, tol=0, show_pbar=False).run()

    return {
        "sense A": lambda: [A(x) for A, x in zip(As, image)],
        "sense A^H": lambda: [A.H(d) for A, d in zip(As, y)],
        "sense A^H A": lambda: [A.N(x) for A, x in zip(As, image)],
        "wavelet W": lambda: [W(x) for x in image],
        "CG, 20 steps": cg,
    }


def main():
    """Measure, print the table, and write it."""
    add = (parser := argparse.ArgumentParser(description=__doc__.splitlines()[0])).add_argument
    for name, value in (("slices", 32), ("coils", 16), ("size", 320), ("repeats", 5)):
        add(f"--{name}", type=int, default=value)
    add("--out", metavar="FILE")
    a = parser.parse_args()
    gpu = gpu_or_exit()
    arrays = problem(a.slices, a.coils, a.size)
    denoiser = pi.nets.load("denoiser-brain")
    on_gpu = [backend.to_torch(x).to(gpu) if x.dtype != bool else x for x in arrays]
    networks = pi.device.networks(pi.Recipe(pi.PnP(denoiser, 0.05)))
    nothing, measured = (lambda: None), {}
    for network in networks:
        network.to(gpu)
    with torch.no_grad():
        measured["GPU"] = {n: clock(f, a.repeats, torch.cuda.synchronize) for n, f in ours(*on_gpu, denoiser).items()}
    measured["SigPy"] = {n: clock(f, a.repeats, torch.cuda.synchronize) for n, f in sigpys(*arrays).items()}
    for network in networks:
        network.to("cpu")
    measured["CPU"] = {n: clock(f, 1, nothing) for n, f in ours(*arrays, denoiser).items()}
    print(f"{a.slices} slices of {a.coils} x {a.size} x {a.size}, {backend.threads()} threads, ms")
    print(f"{'':28}{'GPU':>10}{'CPU':>12}{'CPU/GPU':>9}{'SigPy':>10}{'SigPy/GPU':>11}")
    for name, t in measured["GPU"].items():
        cpu, sigpy = measured["CPU"][name], measured["SigPy"].get(name)
        print(f"{name:28}{1e3 * t:10.2f}{1e3 * cpu:12.1f}{cpu / t:9.1f}"
              + (f"{1e3 * sigpy:10.2f}{sigpy / t:11.1f}" if sigpy else f"{'-':>10}{'-':>11}"))
    if a.out:
        card = torch.cuda.get_device_name(gpu)
        with open(a.out, "w", encoding="utf-8") as file:
            json.dump({"gpu": card, "threads": backend.threads(), **vars(a), "seconds": measured}, file, indent=1)


if __name__ == "__main__":
    main()
