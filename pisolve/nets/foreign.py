"""Other packages' reconstruction networks in the place of ours: how each of them is called, and what it returns."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from pisolve import _check, backend
from pisolve.nets.e2e_varnet import mask_of

LAYOUTS = ("fastmri", "direct", "atommic", "deepinv")
_SPATIAL = (-2, -1)


class ForeignNetwork(nn.Module):
    """What `foreign` makes: someone's module, called as it wants to be, in a recipe as `network=`."""

    module: nn.Module
    layout: str
    centred: bool
    needs_maps: bool
    warning: Any

    def __init__(self, module: nn.Module, layout: str, centred: bool):
        super().__init__()
        self.module, self.layout, self.centred = module, layout, centred
        self.needs_maps = layout != "fastmri"
        self.warning = getattr(module, "warning", None)

    def forward(self, *arguments: Any) -> torch.Tensor:
        """net(kspace, mask) -> magnitude (batch, y, x), or net(A, y) -> complex image, by `needs_maps`."""
        return self._fastmri(*arguments) if not self.needs_maps else self._with_maps(*arguments)

    def _fastmri(self, kspace, mask):
        """fastMRI counts lines along kx only: of those along ky the axes are exchanged, there and back."""
        mask = mask.reshape(*[1] * (4 - mask.ndim), *mask.shape).expand(-1, 1, *kspace.shape[-2:])
        turned = bool((mask != mask[..., :1, :]).any()) and not bool((mask != mask[..., :1]).any())
        if turned:
            kspace, mask = kspace.mT, mask.mT
        given = torch.view_as_real(torch.where(mask, kspace, 0).resolve_conj().contiguous())
        out = _one(self.module(given, mask[:, :, :1, :, None].contiguous()))
        return self._named(out.mT if turned else out, (len(kspace), *(kspace.mT if turned else kspace).shape[-2:]))

    def _with_maps(self, A, y):
        mask, mps, coils = mask_of(A, f"layout={self.layout!r}").to(y.device), A.mps, y.shape[-3:]
        mps = (mps if torch.is_tensor(mps) else torch.from_numpy(mps)).to(y.device, y.dtype)
        y, mps = y.reshape(-1, *coils), mps.reshape(-1, *coils)
        mask = mask.reshape(-1, 1, *mask.shape[-2:]).expand(len(y), 1, *y.shape[-2:])
        if self.layout == "deepinv":
            out = self.module(_apart(y), Physics(mps, mask))
        else:
            out = self.module(**self._named_arguments(y, mps, mask))
        result = _complex(_one(out), y.shape)
        result = result if self.centred else torch.fft.fftshift(result, _SPATIAL)
        if result.shape == y.shape:  # k-space
            result = (mps.conj() * _fft(result, inverse=True)).sum(1)
        return self._named(result, tuple(A.ishape))

    def _named(self, out, shape):
        """The image in `shape`, which may have no axis of slices."""
        if out.numel() != torch.Size(shape).numel():
            raise ValueError(f"{type(self.module).__name__} returned {tuple(out.shape)}, expected {tuple(shape)}: its "
                             f"layout may not be {self.layout!r}, one of {', '.join(LAYOUTS)}")
        return out.reshape(shape)

    def _named_arguments(self, y, mps, mask):
        """What a forward of DIRECT or ATOMMIC asks for, by the names of its arguments."""
        start = (mps.conj() * _fft(y, inverse=True)).sum(1)
        if not self.centred:
            y, mps, start = (torch.fft.ifftshift(x, _SPATIAL) for x in (y, mps, start))
            mask = torch.fft.ifftshift(mask, _SPATIAL)
        y, mps, start = (torch.view_as_real(x.resolve_conj().contiguous()) for x in (y, mps, start))
        mask = mask[..., None]
        known = {"masked_kspace": y, "kspace": y, "y": y, "sampling_mask": mask, "mask": mask, "sensitivity_map": mps,
                 "sensitivity_maps": mps, "input_image": start, "init_pred": start, "initial_prediction": start,
                 "init_reconstruction_pred": start, "sigma": 1.0}
        wanted = inspect.signature(self.module.forward).parameters.values()
        missing = [p.name for p in wanted if p.name not in known and p.default is p.empty and p.kind in (
            p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if missing:
            raise TypeError(f"{type(self.module).__name__}.forward wants {missing[0]}, which layout={self.layout!r} "
                            f"does not know: wrap it in a module whose forward takes {', '.join(list(known)[:6])} ...")
        return {p.name: known[p.name] for p in wanted if p.name in known}


class Physics:
    """What a network of DeepInverse sees of the scan: A, A_adjoint on (B, 2, y, x) and (B, 2, coil, ky, kx) tensors."""

    def __init__(self, mps: torch.Tensor, mask: torch.Tensor):
        self.coil_maps, self.mask = mps, mask

    def A(self, x: torch.Tensor, **_) -> torch.Tensor:
        """M F S x."""
        image = _complex(x, self.coil_maps.shape)
        return _apart(torch.where(self.mask, _fft(self.coil_maps * image[:, None]), 0))

    def A_adjoint(self, y: torch.Tensor, **_) -> torch.Tensor:
        """S^H F^-1 M y."""
        data = torch.where(self.mask, _complex(y, self.coil_maps.shape), 0)
        return _apart((self.coil_maps.conj() * _fft(data, inverse=True)).sum(1))

    __call__, A_dagger = A, A_adjoint


def foreign(module: nn.Module, layout: str = "fastmri", *, centred: bool = True) -> ForeignNetwork:
    """Someone's reconstruction network as `network=` of a recipe: `pi.recon(scan, network=pi.nets.foreign(theirs))`.

    * "fastmri": `module(masked_kspace (B, coil, ky, kx, 2), mask (B, 1, 1, kx, 1))` -> magnitude, as fastMRI's VarNet;
      lines along ky are turned to kx for it.
    * "direct", "atommic": by the names of forward's arguments, `masked_kspace`, `sampling_mask`, `sensitivity_map`,
      `input_image`; `y`, `sensitivity_maps`, `mask`, `initial_prediction`. Of lists the last is taken (cascades, time
      steps), of tuples the first; k-space is combined by the maps.
    * "deepinv": `module(y (B, 2, coil, ky, kx), physics)` -> (B, 2, y, x), physics with A and A_adjoint.

    K-space is centred and orthonormal, and in a recipe's scale; a network that normalises by itself is not disturbed.
    Such a network cannot be written into a recipe's file, as it was made in Python.

    Args:
        module: the network with its weights, in their own package's class.
        layout: "fastmri", "direct", "atommic" or "deepinv".
        centred: False: for "direct" and "atommic" networks that were configured with FFTs without a shift.

    Raises:
        TypeError: no module; a forward that wants what is not known.
        ValueError: an unknown layout; an output of another size.

    Example:
        net = pi.nets.foreign(theirs, layout="fastmri")     # theirs = fastmri.models.VarNet(...)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch module, got {_check.brief(module)}")
    _check.choice("layout", layout, LAYOUTS)
    if not centred and layout not in ("direct", "atommic"):
        raise ValueError(f"centred=False has no effect on layout={layout!r}, whose FFTs are centred: leave it out")
    return ForeignNetwork(module, layout, bool(centred))


def _fft(x, inverse=False):
    """The centred orthonormal FFT of coil images."""
    return backend.fft(x, _SPATIAL, inverse=inverse)


def _one(out):
    """The tensor that is the result: the last of lists, the first of tuples."""
    while not torch.is_tensor(out):
        if not isinstance(out, list | tuple) or not len(out):
            raise TypeError(f"the network returned {_check.brief(out)}: a tensor, or a list of them, is needed")
        out = out[-1] if isinstance(out, list) else out[0]
    return out


def _apart(x):
    """Complex (B, ...) as (B, 2, ...)."""
    return torch.stack([x.real, x.imag], 1)


def _complex(x, coils):
    """Complex (B, y, x), or k-space of shape `coils`, of a result with real and imaginary part last or second."""
    if x.is_complex():
        return x
    if x.shape[-1] == 2 and x.ndim in (4, 5):
        return torch.view_as_complex(x.contiguous())
    if x.ndim in (4, 5) and x.shape[1] == 2:
        return torch.complex(x[:, 0], x[:, 1])
    raise ValueError(f"the network returned {tuple(x.shape)}, real: real and imaginary part are expected as the last "
                     f"axis or the second, for slices of {tuple(coils[-2:])}")
