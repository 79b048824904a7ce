"""Fitting a torch module in parts: Adam whose whole state is flat arrays and a count.

So a fit can be saved after any step, and goes on to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def begin(module) -> dict:
    """The state before the first step, all flat: weights "theta", their running "average", moments "m" and "v".

    "t" is the number of steps done.
    """
    import torch

    theta = _flat(module.parameters())
    zero = torch.zeros_like(theta)
    return {"theta": theta, "average": theta.clone(), "m": zero, "v": zero.clone(), "t": 0}


def put(module, theta) -> None:
    """Put flat weights (torch or numpy) into a module, as copies."""
    import torch

    weights = list(module.parameters())
    parts = torch.as_tensor(theta).split([w.numel() for w in weights])
    with torch.no_grad():
        for w, part in zip(weights, parts, strict=True):
            w.copy_(part.view(w.shape))


def _flat(tensors):
    """One vector of several tensors, a copy, whatever order their memory has."""
    import torch

    return torch.cat([t.detach().reshape(-1) for t in tensors])


def advance(module, loss: Callable, state: dict, steps: int, lr: float, *, clip: float | None = None,
            keep: float = 0.0):
    """`steps` steps of Adam on loss(t) -> scalar tensor, t counted over all parts: (state, mean loss).

    The loss is NaN or Inf where any of them was; the weights then are what they were before that step.

    Args:
        module: whose parameters are fitted; its weights are set to the state's first, and to the new state's at the
            end.
        loss: of the module as it is, at step t; what it draws at random must depend on t only.
        state: of `begin` or of the last `advance`; not changed.
        steps: how many.
        lr: learning rate.
        clip: largest norm of the gradient, None: any.
        keep: weight of the past in the running average of the weights, less in the first steps.
    """
    import torch

    put(module, state["theta"])
    weights, t, total = list(module.parameters()), int(state["t"]), 0.0
    optimiser = torch.optim.Adam(weights, lr=lr)
    sizes = [w.numel() for w in weights]
    moments = [torch.as_tensor(state[n]).to(weights[0].device, copy=True).split(sizes) for n in ("m", "v")]
    average = torch.as_tensor(state["average"]).to(weights[0].device, copy=True)
    for w, m, v in zip(weights, *moments, strict=True):
        optimiser.state[w] = {"step": torch.tensor(float(t)), "exp_avg": m.view_as(w), "exp_avg_sq": v.view_as(w)}
    for _ in range(steps):
        optimiser.zero_grad()
        with torch.enable_grad():  # a run on a GPU is without
            value = loss(t)
        value.backward()
        total += float(value.detach()) / steps
        if not math.isfinite(total):
            break
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, clip)
        optimiser.step()
        t += 1
        average.lerp_(_flat(weights), 1 - min(keep, t / (t + 10)))
    moments = {n: _flat(optimiser.state[w][key] for w in weights) for n, key in (("m", "exp_avg"), ("v", "exp_avg_sq"))}
    return {"theta": _flat(weights), "average": average, **moments, "t": t}, total
