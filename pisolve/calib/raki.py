"""RAKI: missing samples of k-space from measured ones by a small network that is fitted to the scan's own centre."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import _check, masks
from pisolve._types import Array, ArrayLike, PathLike
from pisolve._words import VARIANTS
from pisolve.backend import is_torch, like, to_numpy
from pisolve.calib import _raki_fit
from pisolve.calib import _raki_net as nn
from pisolve.calib._geometry import lattice_of
from pisolve.calib.grappa import LARGEST
from pisolve.calib.region import calibration_data
from pisolve.io import atomic
from pisolve.io.numpy import read_npz

_REMEDY = "give more calibration lines, calib=... from another scan, or a smaller "


@dataclass(frozen=True, eq=False)
class RakiWeights:
    """A network for one sampling pattern, made by `raki`; call it on k-space to fill the missing samples.

    It has no biases, so f(a y) = a f(y) for a > 0: the weights are for data of any scale.

    Attributes:
        net: the form of the network.
        mask: the sampling pattern (ky, kx), bool.
        theta: its weights, flat, real.
        history: the loss ||f(y) - t||^2 / ||t||^2 on the calibration samples: before the first step, the mean of 50
            steps each, after the last step; empty for "linear".
        status: "done"; "stopped" by the user, with the best weights so far; "diverged": the loss was not finite, or
            after the last step above that before the first (about 1, that of predicting nothing); the best weights
            there were.
    """

    net: nn.Net
    mask: np.ndarray
    theta: np.ndarray
    history: np.ndarray
    status: str

    def __call__(self, kspace: ArrayLike) -> Array:
        """K-space (..., coil, ky, kx) with the missing samples filled; what is measured by the mask stays as it is.

        Numpy, cupy or torch; kind and precision are kept, the result is a new array. Only samples of the lattice are
        read, calibration lines are not. Computed on the device of a torch tensor on CUDA, else on the CPU. Gradients of
        a torch tensor flow through, the weights are constants.

        Raises:
            ValueError: another matrix size or number of coils than the weights are for, NaN or Inf.
        """
        import torch

        kspace = _check.array("kspace", kspace)
        self.check("kspace", kspace.shape)
        y = kspace if is_torch(kspace) else torch.from_numpy(np.ascontiguousarray(to_numpy(kspace)))
        mask = torch.from_numpy(self.mask).to(y.device)
        out = torch.where(mask, y, torch.zeros_like(y)).contiguous()  # whose views are filled
        if len(self.net.holes):
            with torch.set_grad_enabled(y.requires_grad and torch.is_grad_enabled()):
                sources, targets = (a.reshape(-1, *y.shape[-3:]) for a in (y, out))
                for n in range(len(sources)):
                    self._fill(sources[n], targets[n], torch)
        return out if is_torch(kspace) else like(out.numpy(), kspace)

    def __repr__(self) -> str:
        kind = f"{self.theta.size} weights, {self.net.groups} network{'s' * (self.net.groups > 1)}"
        return f"RakiWeights({self.net.coils} coils, {self.mask.shape}, {kind}, {self.status})"

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raise a ValueError where the weights are not for k-space of `shape`."""
        if tuple(shape[-3:]) != (self.net.coils, *self.mask.shape):
            raise ValueError(f"{name} has shape {tuple(shape)}: these weights are for (..., coil, ky, kx) with "
                             f"{(self.net.coils, *self.mask.shape)}; fit others with calib.raki")

    def _fill(self, source, target, torch):
        """Put the predictions for one frame (coil, ky, kx) into the holes of `target`."""
        shape, lattice = self.mask.shape, lattice_of(self.mask)
        on = torch.from_numpy(lattice.mask(shape).ravel()).to(source.device)
        samples = torch.zeros(on.numel() + 1, len(source), dtype=source.dtype, device=source.device)
        samples[:-1][on] = source.reshape(len(source), -1)[:, on].T
        size = float(abs(samples.detach()).max()) or 1.0  # squares of large or small data do not occur, products may
        samples /= size
        at = nn.anchors(lattice, shape)
        weights = nn.parameters(self.net, self.theta.astype(_check.real_name(source)), source.device)
        found = nn.as_complex(self.net, nn.forward(self.net, weights, nn.inputs(self.net, samples, at, shape))) * size
        where = nn.index(at, self.net.holes, shape)  # (anchor, hole)
        flat = np.append(self.mask.ravel(), True)
        for n, hole in enumerate(where.T):
            missing = ~flat[hole]
            put, take = (torch.from_numpy(i).to(source.device) for i in (hole[missing], np.flatnonzero(missing)))
            target.reshape(len(target), -1)[:, put] = found[:, n, take]

    def save(self, path: PathLike) -> None:
        """Write the weights to a .npz, whole or not at all."""
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, mask=self.mask, theta=self.theta, history=self.history, status=np.array(self.status),
                     **{n: np.array(v) for n, v in self.net._asdict().items()})

    @staticmethod
    def load(path: PathLike) -> RakiWeights:
        """Read weights that `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged file, or one that holds no RAKI weights.
        """
        found = read_npz(path, ("mask", "theta", "history", "status", *nn.Net._fields), 1 << 30)
        try:
            coils, groups, complex_ = int(found["coils"]), int(found["groups"]), bool(found["complex"])
            channels = tuple(int(n) for n in found["channels"].ravel())
            maps = [np.asarray(found[n].reshape(-1, 2), int) for n in ("first", "last", "linear", "holes")]
            net = nn.Net(coils, groups, channels, complex_, *maps)
            mask, theta, lattice = found["mask"], found["theta"], lattice_of(found["mask"])
            fits = mask.ndim == 2 and mask.dtype == bool and lattice is not None and groups in (1, coils)
            fits = fits and (nn.cell(lattice) == net.holes).all() and len(channels) == 2 and min(channels) >= 0
            if not fits or theta.shape != (net.size,) or theta.dtype.kind != "f" or not _check.all_finite(theta):
                raise ValueError
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise ValueError(f"{path} holds no RAKI weights: write them with RakiWeights.save") from None
        return RakiWeights(net, mask, theta, found["history"].ravel(), str(found["status"]))


def raki(kspace: ArrayLike, mask: ArrayLike | None = None, calib: ArrayLike | None = None, *, variant: str = "raki",
         per_coil: bool = True, complex_valued: bool = False, kernel: Sequence[int] | None = None, last: Any = None,
         channels: Any = (32, 8), window: Any = None, lam: float = 0.01, iterations: int = 1000, lr: float = 3e-3,
         seed: int = 0, checkpoint: PathLike | None = None, progress: bool | str = False) -> RakiWeights:
    """Fit a network to the fully sampled centre that predicts the holes of a regular lattice from its samples.

        raki:      f(y) = W3 * relu(W2 * relu(W1 * y))
        residual:  f(y) = G * y + W3 * relu(W2 * relu(W1 * y))
        linear:    f(y) = G * y
        minimise over the weights   sum ||f(y)(r) - y(r)||^2   over all whole cells r of the calibration samples

    * is a convolution on the lattice, so all layers see measured samples only: every R-th line along ky or kx,
    R_y x R_x lattices, CAIPI shifts. Steps of Adam on all calibration samples at once. G starts at, and for "linear"
    stays, GRAPPA's closed form with `window` and `lam`, and W3 of "residual" starts at 0, so that it starts as GRAPPA
    does; then all of it is fitted. What this gains and what it leaves in the picture: docs/calibration.md.

        weights = calib.raki(y, mask)
        full = weights(y)

    Args:
        kspace: (coil, ky, kx) complex, any scale; numpy, cupy or torch. The fit is done in its precision, on its device
            where it is a torch tensor on CUDA, else on the CPU.
        mask: sampling mask (ky, kx), (ky, 1) or (1, kx), True where measured: a regular lattice, with or without one
            fully sampled rectangle; None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx), all of it, in place of the fully sampled centre of `kspace`.
        variant: "raki", "residual" or "linear".
        per_coil: one network a target coil, all of which see all coils; False: one for all coils, which with
            `channels=(128, 64)` and 400 iterations took less than half of the time, for up to 17 % more error.
        complex_valued: complex weights, relu of real and imaginary part; else both parts are channels.
        kernel: (ky, kx) of the first layer in lattice samples; None: 2 along an accelerated axis, 5 along another.
        last: of the last layer; None: 2 and 3. The middle one sees one sample.
        channels: of the two hidden layers, for each network.
        window: (ky, kx) of G in samples around a hole, as `calib.grappa`'s kernel; None: 2 R - 1 along an accelerated
            axis, which holds 2 lines, and 5 along another.
        lam: ridge of G's closed form.
        iterations: steps of Adam.
        lr: its learning rate.
        seed: of the first weights; the same call on the same machine gives the same bits (on the CPU).
        checkpoint: path of a .npz, written after every 50 steps; a fit that was interrupted goes on from it, to the
            same bits.
        progress: show a bar with the loss; a string is its title.

    Returns:
        RakiWeights, a function of k-space. Ctrl-C returns the best weights so far, with status "stopped".

    Raises:
        TypeError, ValueError: bad shapes or values, an irregular mask, a full centre or `calib` smaller than what the
            network sees (`kernel`, then `last`; `window`), other coils in `calib`, a checkpoint of another fit.
        KeyboardInterrupt: Ctrl-C before the first 50 steps.

    Warns:
        UserWarning: one coil.

    Reference:
        M. Akcakaya et al., Scan-specific robust artificial-neural-networks for k-space interpolation (RAKI),
        Magn. Reson. Med. 81:439-453 (2019). C. Zhang et al., Residual RAKI: a hybrid linear and non-linear approach for
        scan-specific k-space deep learning, NeuroImage 256:119248 (2022).
    """
    kspace = _check.array("kspace", kspace, ndim=3, nonzero=True)
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    check_options(variant, per_coil, complex_valued, kernel, last, channels, window, lam, iterations, lr, seed)
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint must be the path of a .npz, or None, got {_check.brief(checkpoint)}")
    lattice = lattice_of(mask)
    if lattice is None:
        raise ValueError("mask is no regular lattice beside its calibration lines, which RAKI needs, and which samples "
                         "that are held back would break: undersample by the mask equispaced; other masks are for "
                         "SPIRiT (Spirit()) and linops.sense (Sense())")
    coils, accel = len(kspace), (lattice.ry, lattice.rx)
    sizes = [tuple(2 if r > 1 else n for r in accel) if k is None else tuple(k) for k, n in ((kernel, 5), (last, 3))]
    net = nn.Net(coils, coils if per_coil else 1, (0, 0) if variant == "linear" else tuple(channels), complex_valued,
                 *(nn.taps(lattice, s) for s in sizes), np.zeros((0, 2), int), nn.cell(lattice))
    dtype = _check.real_name(kspace)
    if not len(net.holes):
        return RakiWeights(net, mask, np.zeros(0, dtype), np.zeros(0), "done")
    if coils == 1:
        warnings.warn("kspace has one coil: what is missing is not told by others, take a prior, pi.recon(scan, "
                      "pi.Wavelet())", stacklevel=2)
    linear = np.zeros(0)
    if variant != "raki":
        window = tuple(2 * r - 1 if r > 1 else 5 for r in accel) if window is None else tuple(window)
        block = calibration_data(kspace, mask, calib, kernel=window, argument="window", remedy=_REMEDY + "window")
        net, linear = _raki_fit.with_grappa(net, kspace, lattice, block, window, lam)
    theta = nn.drawn(net, seed, silent=variant == "residual", dtype=dtype)
    theta[theta.size - linear.size:] = linear
    if variant == "linear":
        return RakiWeights(net, mask, theta, np.zeros(0), "done")
    sees = tuple(int(n) for n in np.ptp(net.seen(), axis=0) + 1)
    block = calibration_data(kspace, mask, calib, kernel=sees, argument="kernel and last",
                             remedy=_REMEDY + "kernel and last")
    found = _raki_fit.fit(net, block, theta, kspace, iterations=iterations, lr=lr, checkpoint=checkpoint,
                          progress=progress)
    return RakiWeights(net, mask, *found)


def check_options(variant, per_coil, complex_valued, kernel, last, channels, window, lam, iterations, lr, seed):
    """Refuse settings that no fit can be made with, as `raki` takes them."""
    _check.choice("variant", variant, VARIANTS)
    _check.choice("per_coil", per_coil, (False, True))
    _check.choice("complex_valued", complex_valued, (False, True))
    for name, size, most, what in (("kernel", kernel, LARGEST, "(ky, kx) in lattice samples, such as (2, 5)"),
                                   ("last", last, LARGEST, "(ky, kx) in lattice samples, such as (2, 3)"),
                                   ("window", window, LARGEST, "(ky, kx) in samples, such as (7, 5)"),
                                   ("channels", channels, 4096, "of the hidden layers, such as (32, 8)")):
        if size is not None and (len(_check.shape(name, size)) != 2 or max(size) > most):
            raise ValueError(f"{name} must be two sizes {what}, up to {most}, got {_check.brief(size)}")
    _check.number("lam", lam, low=0)
    _check.integer("iterations", iterations, low=1)
    _check.number("lr", lr, low=0, strict=True)
    _check.integer("seed", seed, low=0)
