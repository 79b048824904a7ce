"""Any denoiser as a prior: a plain function, a torch module, and the network that ships with pisolve.

    python examples/own_denoiser.py
"""

import numpy as np
import torch

import pisolve as pi

shape = (128, 128)
W = pi.linops.wavelet(shape, "haar", 2)


def spinning(x, sigma):
    """Haar shrinkage averaged over 16 shifts: a function on complex arrays is a denoiser as it is."""
    total = np.zeros_like(x)
    for shift in np.ndindex(4, 4):
        coefficients = W(np.roll(x, shift, (0, 1)))
        kept = coefficients * (abs(coefficients) > 3 * sigma)
        total += np.roll(W.H(kept), [-s for s in shift], (0, 1))
    return total / 16


class Diffusion(torch.nn.Module):
    """Perona-Malik diffusion of (B, 2, y, x), real and imaginary part: stands for a network of your own."""

    def forward(self, x, sigma):
        for _ in range(8):
            for axis in (2, 3):
                step = torch.roll(x, -1, axis) - x
                edge = step.square().sum(1, keepdim=True) / (2 * sigma) ** 2
                flow = step * torch.exp(-edge)
                x = x + 0.15 * (flow - torch.roll(flow, 1, axis))
        return x


brain = pi.phantom.brain(shape, 6, noise=0.03)
size = np.linalg.norm(brain.mps, axis=0)  # normalised maps, as ESPIRiT makes them: noise is then alike everywhere
mask = pi.masks.random(shape, 3, seed=1)
A, y, truth = pi.linops.sense(brain.mps / size, mask), brain.kspace * mask, brain.image * size
module = pi.Denoiser(Diffusion(), channels="complex", noise_input="scalar")  # says how it takes complex images
priors = {
    "l2": 1e-2 * pi.Tikhonov(),
    "function": pi.PnP(spinning, sigma=0.02),
    "module": pi.PnP(module, sigma=0.02),
    "module, RED": 0.5 * pi.RED(module, sigma=0.04),
    "shipped": pi.PnP(pi.nets.load("denoiser-brain"), sigma=0.02),
}
for name, prior in priors.items():
    result = pi.solve(A, y, prior, max_iter=20)
    print(f"{name:12} {result.status:10} by {type(result.solver).__name__:6} "
          f"PSNR {pi.metrics.psnr(truth, result.x):.2f} dB")
