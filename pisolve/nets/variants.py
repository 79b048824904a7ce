"""The unrolled networks of the literature, each a choice of solver and regulariser with its paper's numbers."""

from __future__ import annotations

import copy
import math
from typing import Any

from pisolve import _check
from pisolve.nets.blocks import DnCNN
from pisolve.nets.domains import InDomain
from pisolve.nets.filters import FilterBank
from pisolve.nets.humus import HUMUSBlock
from pisolve.nets.unrolled import Unrolled
from pisolve.solvers import ADMM, PDHG, DataProx, GradientDescent

HARD = 1e-20  # the penalty that stands for nu = inf: 0 to the precision of any image, but no division by 0


def modl(denoiser: Any = None, iterations: int = 10, *, rho: float = 0.05, inner: int = 10, implicit: bool = True,
         checkpoint: bool = False) -> Unrolled:
    """MoDL: x <- (A^H A + rho)^-1 (A^H y + rho D(x)), one D and one learned rho for all iterations.

    It is half-quadratic splitting with the network's turn first, or the fixed-point iteration of RED, `DataProx` with
    rho * RED(D). For rho -> inf a step returns D(x), for rho -> 0 CG-SENSE started at D(x). The paper's network has
    batch normalisation, the default here, `DnCNN(2, 5, 64)`, has none.

    Args:
        denoiser: see `Unrolled`; None: 5 layers of 64 channels.
        iterations: K.
        rho: first penalty, the paper's lambda.
        inner: conjugate gradient steps of the data consistency.
        implicit: derivatives by solving (A^H A + rho) once more, as in the paper; else through the iterations.
        checkpoint: see `Unrolled`.

    Reference:
        Aggarwal, Mani and Jacob, IEEE Trans Med Imaging 38 (2019) 394.

    Example:
        net = pi.nets.modl(iterations=6)
    """
    return Unrolled(DataProx(rho=rho, momentum=False, inner=inner), DnCNN(2, 5, 64) if denoiser is None else denoiser,
                    iterations, shared_steps=True, implicit=implicit, checkpoint=checkpoint)


def varnet(denoiser: Any = None, iterations: int = 10, *, step_size: float = 1.0, checkpoint: bool = False) -> Unrolled:
    """Variational network: x <- x - eta_k A^H (A x - y) + CNN_k(x), with the CNN and eta of each iteration learned.

    The paper's CNN is one layer of filters, radial basis functions and the filters transposed; the default here,
    `DnCNN(2, 3, 24)` with x + CNN(x) = D(x), has three layers, and 0.06 million parameters in ten iterations.

    Args:
        denoiser: D(x) = x + CNN(x), see `Unrolled`; copied for each iteration.
        iterations: number of steps.
        step_size: first eta.
        checkpoint: see `Unrolled`.

    Reference:
        Hammernik et al., Magn Reson Med 79 (2018) 3055.

    Example:
        net = pi.nets.varnet(iterations=8)
    """
    return Unrolled(GradientDescent(step_size=step_size), DnCNN(2, 3, 24) if denoiser is None else denoiser, iterations,
                    shared_weights=False, checkpoint=checkpoint)


def humus(denoiser: Any = None, iterations: int = 8, *, checkpoint: bool = False) -> Unrolled:
    """HUMUS-Net: a `varnet` whose CNN is a `HUMUSBlock`, convolutions around a U-Net of Swin transformers.

    The paper's steps are those of E2E-VarNet in k-space with learned maps; here the maps are given.

    Args:
        denoiser: None: `HUMUSBlock()`, smaller than the paper's, whose network has 109 million parameters.
        iterations: number of steps.
        checkpoint: see `Unrolled`.

    Reference:
        Fabian, Tinaz and Soltanolkotabi, NeurIPS 2022.

    Example:
        net = pi.nets.humus(pi.nets.HUMUSBlock(width=12, depths=(2, 2), heads=2, window=4), 4)
    """
    return varnet(HUMUSBlock() if denoiser is None else denoiser, iterations, checkpoint=checkpoint)


def cascade(denoiser: Any = None, cascades: int = 5, *, nu: float = math.inf, inner: int = 10,
            checkpoint: bool = False) -> Unrolled:
    """Deep cascade: networks D_k and data consistency in turn, x <- argmin nu/2 ||A x - y||^2 + 1/2 ||x - D_k(x)||^2.

    One coil of constant magnitude: k = (k_D + nu y) / (1 + nu) at the measured samples, exactly. Several coils: by
    `inner` conjugate gradient steps from D_k(x), see `DataConsistency`; the paper is about one.

    Args:
        denoiser: D, see `Unrolled`; copied for each cascade. None: 5 convolutions of 64 channels.
        cascades: number of them.
        nu: trust in the data, for noisy data a first value that is trained; inf: hard, the data stay as they are.
        inner: conjugate gradient steps with several coils.
        checkpoint: see `Unrolled`.

    Reference:
        Schlemper, Caballero, Hajnal, Price and Rueckert, IEEE Trans Med Imaging 37 (2018) 491.

    Example:
        net = pi.nets.cascade(nu=10.0)
    """
    return _cascade(DnCNN(2, 5, 64) if denoiser is None else denoiser, cascades, nu, inner, checkpoint)


def _cascade(parts, number, nu, inner, checkpoint):
    hard = nu == math.inf
    rho = HARD if hard else 1 / _check.number("nu", nu, low=0, strict=True)
    return Unrolled(DataProx(rho=rho, momentum=False, inner=inner), parts, number, shared_weights=False,
                    learn_steps=not hard, checkpoint=checkpoint)


def kiki(kspace: Any = None, image: Any = None, iterations: int = 2, *, nu: float = math.inf,
         inner: int = 10, checkpoint: bool = False) -> Unrolled:
    """KIKI-net: a network in k-space, data, a network on the image, data, and all of it again.

        x <- data(F^-1 K_i(F x)),   x <- data(I_i(x)),   data(z) = argmin_x nu/2 ||A x - y||^2 + 1/2 ||x - z||^2

    A `cascade` whose networks take turns in two domains. The paper is about one coil; with several, K sees the k-space
    of the image that the coils make together.

    Args:
        kspace, image: K and I, (B, 2, y, x) -> (B, 2, y, x), copied for each iteration; None: chains of 25 and of 16
            convolutions of 48 channels.
        iterations: pairs of K and I; 2 in the paper.
        nu, inner, checkpoint: as for `cascade`.

    Reference:
        Eo et al., "KIKI-net: cross-domain convolutional neural networks for reconstructing undersampled magnetic
        resonance images", Magn Reson Med 80 (2018) 2188.

    Example:
        net = pi.nets.kiki(pi.nets.DnCNN(2, 5, 16), pi.nets.DnCNN(2, 5, 16))
    """
    iterations = _check.integer("iterations", iterations, low=1)
    kspace = InDomain(DnCNN(2, 25, 48) if kspace is None else kspace, "kspace")
    image = DnCNN(2, 16, 48) if image is None else image
    parts = [copy.deepcopy(part) for _ in range(iterations) for part in (kspace, image)]
    return _cascade(parts, 2 * iterations, nu, inner, checkpoint)


def admm_net(filters: Any = None, iterations: int = 10, *, rho: float = 0.2, inner: int = 5,
             checkpoint: bool = False) -> Unrolled:
    """ADMM-Net: ADMM on 1/2 ||A x - y||^2 + sum_l f_l(g_l * x), with learned filters, shrinkages and multipliers.

    x <- argmin 1/2 ||A x - y||^2 + rho_k/2 ||G_k x - z + u||^2,  z <- h_k(G_k x + u),  u <- u + eta_k (G_k x - z).

    Args:
        filters: a `FilterBank`, copied for each iteration; None: 8 filters of 3 x 3 and 50 knots.
        iterations: number of steps.
        rho: first penalty.
        inner: conjugate gradient steps of the x-update (the paper's one coil needs none).
        checkpoint: see `Unrolled`.

    Reference:
        Yang, Sun, Li and Xu, "ADMM-CSNet", IEEE TPAMI 42 (2020) 521, its Basic-ADMM-CSNet.

    Example:
        net = pi.nets.admm_net(iterations=8)
    """
    return Unrolled(ADMM(rho=rho, inner=inner), FilterBank() if filters is None else filters, iterations,
                    shared_weights=False, checkpoint=checkpoint)


def primal_dual(filters: Any = None, iterations: int = 10, *, sigma: float = 0.1, checkpoint: bool = False) -> Unrolled:
    """The primal-dual method of total variation, unrolled: learned differences, shrinkages and both step sizes.

    x <- x - tau_k (A^H (A x - y) + G_k^H p),  p <- v - sigma_k h_k(v / sigma_k), v = p + sigma_k G_k (2 x - x_old).
    Starts as TV with the threshold of h times sigma as its strength.

    Args:
        filters: a `FilterBank`, copied for each iteration; None: the two differences, to be learned.
        iterations: number of steps.
        sigma: first dual step; the first primal step is 1 / (1/2 + sigma ||G||^2).
        checkpoint: see `Unrolled`.

    Reference:
        Adler and Oktem, "Learned primal-dual reconstruction", IEEE Trans Med Imaging 37 (2018) 1322, whose networks
        are larger; Condat, J Optim Theory Appl 158 (2013) 460, for the steps.

    Example:
        net = pi.nets.primal_dual(iterations=8)
    """
    return Unrolled(PDHG(sigma=sigma), FilterBank("differences") if filters is None else filters, iterations,
                    shared_weights=False, checkpoint=checkpoint)
