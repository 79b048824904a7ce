"""Fitting RAKI's network to the calibration samples, in parts that can be saved."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.backend import adam, is_torch, to_numpy
from pisolve.calib import _raki_net as nn
from pisolve.calib._lattice import Lattice
from pisolve.calib._unalias import _convolution
from pisolve.calib.grappa import grappa
from pisolve.io import atomic
from pisolve.io.numpy import read_npz
from pisolve.io.seal import Broken, check, seal

PART = 50  # steps between two entries of the history, and two writes of a checkpoint


def with_grappa(net: nn.Net, kspace, lattice: Lattice, block, window, lam: float):
    """The network's form with GRAPPA's window as its linear convolution, and GRAPPA's closed form of that, flat."""
    weights = grappa(kspace, lattice.mask(kspace.shape[-2:]), calib=block, kernel=window, lam=lam)
    kernel = _convolution(weights)[0]  # (coil to, coil from, ky, kx), around a hole
    middle = np.floor_divide(window, 2)
    near = (net.holes[:, None] + np.stack(np.indices(window), -1).reshape(-1, 2) - middle).reshape(-1, 2)
    step, rest = np.divmod(near[:, 0], lattice.ry)
    near = np.unique(near[(rest == 0) & ((near[:, 1] - step * lattice.shift) % lattice.rx == 0)], axis=0)
    at = near[:, None] - net.holes + middle  # (tap, hole)
    seen = ((at >= 0) & (at < window)).all(-1)
    at = np.where(seen[..., None], at, 0)
    values = np.where(seen, kernel[:, :, at[..., 0], at[..., 1]], 0).transpose(2, 1, 0, 3)  # (tap, from, to, hole)
    return net._replace(linear=near), np.stack([values.real, values.imag], -1).ravel()


def fit(net: nn.Net, block, theta, kspace, *, iterations: int, lr: float, checkpoint, progress: bool | str):
    """Adam on ||f(y) - t||^2 / ||t||^2 over all whole cells of the calibration samples.

    Args:
        net: the form of the network.
        block: calibration samples (coil, cy, cx).
        theta: its first weights, flat.
        kspace: the array whose precision and device are computed in.
        iterations, lr: steps of Adam and their size.
        checkpoint: path of a .npz to go on from and to write after every part, or None.
        progress: show a bar; a string is its title.

    Returns:
        weights, history, status, as in `RakiWeights`.

    Raises:
        ValueError: the checkpoint is of another fit, or damaged.
        KeyboardInterrupt: before the first part was done, so that there is nothing to return.
    """
    from tqdm import tqdm

    module, loss = _loss(net, block, theta, kspace)
    key = _key(net, block, theta, iterations, lr)
    state, history, best = adam.begin(module), [float(loss(0).detach())], theta
    state, history, best = _read(checkpoint, key, state) or (state, history, best)
    done, status = int(state["t"]), "done"  # `best` is of the parts before the last, which the loss after it judges
    title = progress if isinstance(progress, str) else "RAKI"
    with tqdm(total=iterations, initial=done, desc=title, disable=not progress, leave=False) as bar:
        bar.set_postfix(loss=f"{history[-1]:.3g}")
        try:
            while done < iterations and not _lost(history):
                steps = min(PART, iterations - done)
                after, value = adam.advance(module, loss, state, steps, lr)
                if history[1:] and history[-1] <= min(history[1:]):
                    best = to_numpy(state["theta"])
                state, history, done = after, [*history, value], done + steps
                if checkpoint is not None:
                    _write(checkpoint, key, state, history, best)
                bar.update(steps)
                bar.set_postfix(loss=f"{value:.3g}")
        except KeyboardInterrupt:
            if len(history) == 1:
                raise
            status = "stopped"
    lost = _lost(history)
    adam.put(module, state["theta"])
    history.append(float(loss(0).detach()))
    grown = lost or not history[-1] <= history[0]  # NaN, too
    if not grown and history[-1] <= min(history[1:-2], default=math.inf):
        best = to_numpy(state["theta"])
    return best, np.array(history), "diverged" if grown and status == "done" else status


def _lost(history) -> bool:
    return not math.isfinite(history[-1]) or history[-1] > 100 * history[0]


def _loss(net, block, theta, kspace):
    """The torch module, and its loss as a function of the step."""
    import torch

    device = kspace.device if is_torch(kspace) else "cpu"
    shape, at = block.shape[1:], nn.inside(net, block.shape[1:])
    samples = np.append(block.reshape(len(block), -1), np.zeros((len(block), 1)), 1).T
    samples = samples / np.sqrt((abs(samples) ** 2).mean())
    samples = torch.from_numpy(samples.astype(_check.dtype_name(kspace))).to(device)
    seen = nn.inputs(net, samples, at, shape)
    target = nn.as_parts(net, samples[torch.from_numpy(nn.index(at, net.holes, shape)).to(device)])
    energy = target.square().sum()
    module = nn.parameters(net, theta, device)
    return module, lambda step: (nn.forward(net, module, seen) - target).square().sum() / energy


def _key(net, block, theta, iterations, lr) -> str:
    """What tells one fit from another."""
    form = [*net[:4], *(d.tolist() for d in net[4:]), iterations, lr, theta.dtype.name]
    digest = hashlib.sha256(repr(form).encode())
    for array in (block, theta):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write(path, key, state, history, best):
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, key=np.array(key), history=np.array(history), best=best,
                     **{n: np.array(v) if isinstance(v, int) else to_numpy(v) for n, v in state.items()})
        seal(temporary, key)


def _read(path, key, like):
    """(state, history, best) of a checkpoint, with what the state `like` has; None where there is none yet."""
    if path is None or not Path(path).is_file():
        return None
    names = ("key", "history", "best", *like)
    try:
        check(path)  # one without a seal is of an older version
    except Broken as error:
        raise ValueError(f"checkpoint {error}: delete it") from None
    found = read_npz(path, names, 1 << 32)
    shapes = {n: tuple(getattr(v, "shape", ())) for n, v in like.items()}
    if set(found) != set(names) or str(found["key"]) != key or any(found[n].shape != s for n, s in shapes.items()):
        raise ValueError(f"checkpoint {path} is of another fit, or damaged: give another name, or delete it")
    state = {n: int(found[n]) if isinstance(v, int) else found[n] for n, v in like.items()}
    return state, found["history"].tolist(), found["best"]
