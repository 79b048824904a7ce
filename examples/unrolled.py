"""An unrolled network: three steps of ADMM on torch tensors with a learned denoiser and learned penalties, trained.

    python examples/unrolled.py

The solver is the very one that reconstructs numpy arrays; gradients flow through it and through A (the idea of
ADMM-Net, Yang et al., IEEE TPAMI 42 (2020) 521, and of MoDL, Aggarwal et al., IEEE Trans Med Imaging 38 (2019) 394).
`pi.nets.modl`, `varnet`, `cascade`, `admm_net` and `primal_dual` are such networks with the numbers of their papers.
"""

import numpy as np
import torch

import pisolve as pi
from pisolve.backend import to_torch

torch.manual_seed(0)
shape, mask = (64, 64), pi.masks.random((64, 64), 3, seed=1)


def examples(numbers):
    """Several heads as one batch: their operator, their data and the truth; maps normalised, as calibration does."""
    brains = [pi.phantom.brain(shape, 4, noise=0.02, anatomy=n, seed=n) for n in numbers]
    size = [np.sqrt((abs(b.mps) ** 2).sum(0)) for b in brains]
    A = pi.linops.sense(np.stack([b.mps / s for b, s in zip(brains, size)]), mask)
    return (A, to_torch(np.stack([b.kspace * mask for b in brains])),
            to_torch(np.stack([b.image * s for b, s in zip(brains, size)])))


def error(network, A, y, truth):
    """Normalised squared error of a batch."""
    return (network(A, y) - truth).abs().square().sum() / truth.abs().square().sum()


training, validation = examples(range(2)), examples([9])
network = pi.nets.Unrolled(pi.ADMM(rho=0.05, inner=5), pi.nets.DnCNN(2, 3, 16), iterations=3)
steps = [p for name, p in network.named_parameters() if name.startswith("log_")]
optimiser = torch.optim.Adam([{"params": network.parts.parameters(), "lr": 4e-3}, {"params": steps, "lr": 0.1}])
for epoch in range(21):
    loss = error(network, *training)
    if epoch % 10 == 0:
        with torch.no_grad():
            print(f"epoch {epoch:2} training {float(loss):.4f} validation {float(error(network, *validation)):.4f}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
