"""What a plug-and-play iteration costs beyond the network's own forward pass and A^H A.

    python benchmarks/pnp_overhead.py [--size 320] [--coils 12] [--steps 8]

The shipped denoiser in FISTA, ADMM, HQS and RED by DataProx, on the analytic phantom at random 4x. Each step is timed
as a whole and, inside of it, the network's forward pass and every A^H A; the rest is solver, adapter (complex to planes
and back, eval mode, noise map) and the run's watch over divergence. The smallest of the steps' times counts. Also the
adapter alone, on a network that does nothing. Writes benchmarks/results/pnp_overhead.json.
"""

import argparse
import time
from pathlib import Path

import torch
from keep import keep

import pisolve as pi
from pisolve import backend
from pisolve.solvers.health import Health

OUT = Path(__file__).resolve().parent / "results" / "pnp_overhead.json"


class Clock:
    """Adds up the seconds that the functions it wraps take."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self, function):
        def wrapped(*arguments):
            start = time.perf_counter()
            out = function(*arguments)
            self.seconds += time.perf_counter() - start
            return out
        return wrapped


class Timed(torch.nn.Module):
    """The network, its forward pass on the clock."""

    def __init__(self, network, clock):
        super().__init__()
        self.network = network
        self.timed = clock(network.forward)

    def forward(self, x):
        return self.timed(x)


class Nothing(torch.nn.Module):
    """Reads a noise map, returns the image."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return x[:, :2]


def steps(problem, solver, clock, count):
    """Per step in ms: everything, and what was on no clock."""
    states = pi.iterate(solver, problem)
    state = next(states)
    health, whole, rest = Health(problem, state), [], []
    for _ in range(count + 1):
        clock.seconds, start = 0.0, time.perf_counter()
        health.check(next(states))
        whole.append(1e3 * (time.perf_counter() - start))
        rest.append(whole[-1] - 1e3 * clock.seconds)
    return min(whole[1:]), min(rest[1:])  # without the first, which computes what the problem keeps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 320), ("coils", 12), ("steps", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(backend.threads())
    brain = pi.phantom.brain((a.size, a.size), a.coils, noise=0.01)
    mask = pi.masks.random((a.size, a.size), 4, seed=1)
    A, y = pi.linops.sense(brain.mps, mask), brain.kspace * mask
    clock = Clock()
    D = pi.Denoiser(Timed(pi.nets.load("denoiser-brain").network, clock))
    pnp, red = pi.PnP(D, sigma=0.05), 0.1 * pi.RED(D, sigma=0.05)
    rows = []
    for solver, prior in ((pi.FISTA(), pnp), (pi.ADMM(), pnp), (pi.HQS(), pnp), (pi.DataProx(), red)):
        problem = pi.Problem(A, y, prior)
        problem.normal = clock(problem.normal)
        problem.data_grad = lambda x, p=problem: p.normal(x) - p.AHy
        whole, rest = steps(problem, solver, clock, a.steps)
        rows.append({"solver": type(solver).__name__, "step_ms": round(whole, 2), "beyond_ms": round(rest, 2),
                     "beyond_percent": round(100 * rest / whole, 2)})
        print(rows[-1])
    alone, taken = pi.Denoiser(Nothing()), []
    for _ in range(30):
        start = time.perf_counter()
        alone(brain.image, 0.05)
        taken.append(1e3 * (time.perf_counter() - start))
    keep(OUT, {"size": a.size, "coils": a.coils, "threads": backend.threads(), "steps": a.steps, "rows": rows,
               "adapter_ms": round(min(taken), 3)})


if __name__ == "__main__":
    main()
