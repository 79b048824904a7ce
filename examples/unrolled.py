"""An unrolled network: three steps of ADMM on torch tensors with a learned denoiser and learned penalties, trained.

    python examples/unrolled.py

The solver is the very one that reconstructs numpy arrays; gradients flow through it and through A (the idea of
ADMM-Net, Yang et al., IEEE TPAMI 42 (2020) 521, and of MoDL, Aggarwal et al., IEEE Trans Med Imaging 38 (2019) 394).
"""

import torch

import pisolve as pi
from pisolve.backend import to_torch

torch.manual_seed(0)
shape, mask = (64, 64), pi.masks.random((64, 64), 3, seed=1)


def example(number):
    """One patient: the problem's operator, its data and the truth."""
    brain = pi.phantom.brain(shape, 4, noise=0.02, anatomy=number, seed=number)
    return pi.linops.sense(brain.mps, mask), to_torch(brain.kspace * mask), to_torch(brain.image)


class Unrolled(torch.nn.Module):
    """Steps of ADMM with the denoiser D(x) = x - N(x), N a small network, and the penalty exp(log_rho_k) in step k."""

    def __init__(self, steps=3, features=16):
        super().__init__()
        conv = [torch.nn.Conv2d(a, b, 3, padding=1) for a, b in ((2, features), (features, features), (features, 2))]
        self.net = torch.nn.Sequential(conv[0], torch.nn.ReLU(), conv[1], torch.nn.ReLU(), conv[2])
        torch.nn.init.zeros_(conv[2].weight)  # the first denoiser is the identity
        torch.nn.init.zeros_(conv[2].bias)
        self.log_rho = torch.nn.Parameter(torch.full((steps,), -3.0))

    def forward(self, A, y):
        denoiser = pi.Denoiser(self.net, channels="complex", noise_input=None, residual=True)
        problem = pi.Problem(A, y, pi.PnP(denoiser, sigma=1.0))  # a blind network: sigma has no effect
        solver = pi.ADMM(rho=1.0, inner=5)
        state = solver.init(problem)
        for log_rho in self.log_rho:
            state.aux["rho"] = log_rho.exp()
            state = solver.step(problem, state)
        return state.x


def error(network, examples):
    """Mean normalised squared error."""
    errors = [(network(A, y) - x).abs().square().sum() / x.abs().square().sum() for A, y, x in examples]
    return sum(errors) / len(errors)


training, validation = [example(n) for n in range(2)], [example(9)]
network = Unrolled()
optimiser = torch.optim.Adam([{"params": network.net.parameters(), "lr": 4e-3},
                              {"params": [network.log_rho], "lr": 0.2}])
for epoch in range(21):
    loss = error(network, training)
    if epoch % 10 == 0:
        with torch.no_grad():
            print(f"epoch {epoch:2} training {float(loss):.4f} validation {float(error(network, validation)):.4f}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
