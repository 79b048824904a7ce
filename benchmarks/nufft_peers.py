"""A^H A of mri-nufft and torchkbnufft as functions of no argument, where these packages can be imported.

Neither is needed for anything else: `pip install mri-nufft torchkbnufft` beside finufft and torch.
"""

import importlib.util
import warnings

import numpy as np

from pisolve import backend

warnings.filterwarnings("ignore", "Samples will be rescaled")  # from cycles, which is meant


def found(package):
    return importlib.util.find_spec(package) is not None


def mri_nufft(mps, coord, x, eps):
    """The pair of transforms of its finufft operator, all coils in one plan."""
    from mrinufft import get_operator

    n = np.array(mps.shape[1:])
    op = get_operator("finufft")((coord.reshape(-1, 2) / n).astype("f4"), tuple(n), smaps=mps, n_coils=len(mps),
                                 n_trans=len(mps), eps=eps, nthreads=backend.threads())
    return lambda: np.squeeze(op.adj_op(op.op(x)))


def mri_nufft_stacked(mps, coord, x, eps):
    """Its stacked operator: partitions are the last axis, and all coils of all of them one batch."""
    from mrinufft import get_operator

    maps, image = (np.ascontiguousarray(np.moveaxis(a, -3, -1)) for a in (mps, x))
    n = np.array(maps.shape[1:])
    op = get_operator("stacked")((coord.reshape(-1, 2) / n[:2]).astype("f4"), tuple(n), z_index=np.arange(n[2]),
                                 backend="finufft", smaps=maps, n_coils=len(maps), eps=eps, nthreads=backend.threads())
    return lambda: np.moveaxis(np.squeeze(op.adj_op(op.op(image))), -1, 0)


def torchkbnufft(mps, coord, x, toeplitz):
    """Its Toeplitz module, or the pair by its table of the kernel, six points wide on twice the grid."""
    import torch
    import torchkbnufft as tkbn

    torch.set_num_threads(backend.threads())
    shape = tuple(mps.shape[1:])
    omega = torch.from_numpy((2 * np.pi * coord.reshape(-1, 2) / np.array(shape)).T.astype("f4").copy())
    image, smaps = torch.from_numpy(x)[None, None], torch.from_numpy(mps)[None]
    if toeplitz:
        kernel, module = tkbn.calc_toeplitz_kernel(omega, shape), tkbn.ToepNufft()
        return lambda: module(image, kernel, smaps=smaps)[0, 0].numpy()
    forward, back = tkbn.KbNufft(shape), tkbn.KbNufftAdjoint(shape)
    return lambda: back(forward(image, omega, smaps=smaps), omega, smaps=smaps)[0, 0].numpy()


def planes(mps, coord, x):
    """{name: A^H A x} of 2-D, at the accuracies that each has."""
    made = {}
    if found("mrinufft"):
        made |= {f"mri-nufft, {eps:g}": mri_nufft(mps, coord, x, eps) for eps in (1e-6, 1e-4)}
    if found("torchkbnufft"):
        made |= {f"torchkbnufft, {kind}": torchkbnufft(mps, coord, x, kind == "Toeplitz") for kind in
                 ("Toeplitz", "table")}
    return made


def stacks(mps, coord, x):
    """The same of a stack of stars."""
    return {"mri-nufft, stacked, 1e-06": mri_nufft_stacked(mps, coord, x, 1e-6)} if found("mrinufft") else {}
