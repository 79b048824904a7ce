"""Any denoiser, a trained network or a plain function, as D(x, sigma) on complex images."""

from __future__ import annotations

from collections.abc import Callable

from pisolve import _check, backend

_PIXELS = 2**19  # per call of a network: 64 float32 feature channels of them take 128 MiB


class Denoiser:
    """D(x, sigma) = (N(scale x + offset, scale sigma) - offset) / scale, N being a network or a function.

    `sigma` is the standard deviation of the noise in the real and in the imaginary part each, in the units of x. The
    result has the kind (numpy, cupy, torch), device, shape and dtype of x, which is never changed; torch input is
    differentiable. A module runs in eval mode (its mode is restored) and, for input that is not torch, without
    gradients. Nothing is rescaled unless `scale`, `offset` or `rescale` say so; `describe()` tells what is done.

    A plain function is called as f(x, sigma) with a copy of x, whatever its shape. With `channels` "parts" or
    "magnitude" it is called with one real (y, x) image at a time; with `noise_input` None as f(x).

    Use:
        where a network needs settings; PnP and RED call it by themselves for a module or a function that needs none.

    Args:
        network: a `torch.nn.Module` on (B, C, y, x) floats, or a function on arrays.
        channels: how complex becomes real. "complex": two channels, real and imaginary part. "parts": one channel,
            both parts as two images. "magnitude": one channel, |x|, and the phase of x is put back. "auto": from the
            first and last convolution of a module; a function takes the complex array.
        level: the only sigma that the network was trained for, in the units of x: the network's own sigma divided by
            `scale`. `sigma` None then means this level, and another sigma (by more than 0.1 %) is an error.
        noise_input: how the network is told sigma. "map": one more channel that holds scale * sigma. "scalar": a second
            argument, for a module of shape (B, 1, 1, 1), for a function a float. None: not at all, so that without a
            `level` sigma has no effect. "auto": a map where a module's first convolution has one channel more than its
            last, else None; for a function the second argument.
        residual: the network returns the noise, not the image.
        scale, offset: the range that the network was trained in: it sees scale * x + offset. For one trained on [0, 1],
            with parts between -1 and 1, that is scale=0.5, offset=0.5.
        multiple: y and x are padded (reflected) to a multiple of this and cropped afterwards.
        rescale: for another sigma than `level`, D(x, sigma) = sigma / level * D(level / sigma * x, level). A network
            is worse outside of its own intensity range: this may cost several dB.
        note: free text for `describe()`, such as where the weights come from.

    Attributes:
        source: the arguments of `pisolve.nets.load` that made it, by which a recipe writes it down; else None.

    Raises:
        TypeError: the network cannot be called, or returns something that is no array of the right kind.
        ValueError: the channels cannot be told from the module, options that contradict each other, a wrong sigma, or
            an output of the wrong shape.

    Reference:
        Venkatakrishnan et al., "Plug-and-play priors for model based reconstruction", GlobalSIP 2013.

    Example:
        D = pi.Denoiser(pi.nets.DnCNN(channels=1, depth=3, width=8), channels="parts", noise_input=None)
    """

    source: dict | None = None

    def __init__(self, network: Callable, *, channels: str = "auto", level: float | None = None,
                 noise_input: str | None = "auto", residual: bool = False, scale: float = 1.0, offset: float = 0.0,
                 multiple: int = 1, rescale: bool = False, note: str = ""):
        if not callable(network) or isinstance(network, type):
            raise TypeError(f"a denoiser must be a torch module or a function D(x, sigma), got {network!r}")
        self.network = network
        self.name = getattr(network, "__name__", type(network).__name__)
        self.is_module = is_module(network)
        _check.choice("channels", channels, ("auto", "complex", "parts", "magnitude"))
        _check.choice("noise_input", noise_input, ("auto", None, "map", "scalar"))
        self.level = _check.number("level", level, low=0, strict=True, allow_none=True)
        self.scale = _check.number("scale", scale, low=0, strict=True)
        self.offset = _check.number("offset", offset)
        self.multiple = _check.integer("multiple", multiple, low=1)
        self.residual, self.rescale, self.note = bool(residual), bool(rescale), str(note)
        self.auto = [k for k, v in (("channels", channels), ("noise_input", noise_input)) if v == "auto"]
        if self.is_module:
            self.channels, self.noise_input = _choose(network, channels, noise_input)
        else:
            self.channels = "complex" if channels == "auto" else channels
            self.noise_input = "scalar" if noise_input == "auto" else noise_input
            if noise_input == "map" or self.multiple > 1:
                raise ValueError("a noise map and `multiple` are for torch modules; this denoiser is a plain function")
        if self.rescale and self.level is None:
            raise ValueError("rescale=True needs `level`, the sigma that the network was trained for")

    def __call__(self, x, sigma: float | None = None):
        """Denoise the complex images x (..., y, x); real input is converted to complex."""
        x = _check.array("x", x, finite=False)
        if x.ndim < 2:
            raise ValueError(f"x must be images (..., y, x), got shape {tuple(x.shape)}")
        sigma, gain = self._sigma(sigma)
        given = x if gain == 1 else x * gain
        result = self._module(given, sigma) if self.is_module else self._function(given, sigma)
        return result if gain == 1 else result / gain

    def describe(self) -> dict:
        """What this denoiser does with an image, as a plain dict: every setting, and which were chosen by itself."""
        keys = ("name", "channels", "noise_input", "level", "residual", "scale", "offset", "multiple", "rescale",
                "note")
        noise = ("rescales the image to its level" if self.rescale else "works at its level only" if self.level else
                 "takes any sigma" if self.noise_input else "blind: sigma has no effect")
        kind = "torch module" if self.is_module else "function"
        return {"kind": kind, **{k: getattr(self, k) for k in keys}, "noise": noise, "auto": list(self.auto)}

    def __repr__(self):
        level = "" if self.level is None else f", level={self.level:g}"
        return f"Denoiser({self.name}, channels={self.channels!r}, noise_input={self.noise_input!r}{level})"

    def _sigma(self, sigma):
        """The sigma to work at, and the factor that the image is multiplied by to get there."""
        if sigma is None:
            if self.level is None and self.noise_input:
                raise ValueError(f"sigma is needed: {self.name} takes any noise level and has none of its own")
            return self.level, 1
        if not (_check.is_torch(sigma) and sigma.numel() == 1):  # a learned level stays a tensor
            sigma = _check.number("sigma", sigma, low=0, strict=self.rescale)
        if self.level is None or abs(float(sigma) - self.level) <= 1e-3 * self.level:
            return sigma, 1
        if self.rescale:
            return self.level, self.level / float(sigma)
        raise ValueError(f"sigma is {float(sigma):g}, but {self.name} was trained for {self.level:g} only: call it at "
                         f"that level (sigma=None), or rescale=True to multiply the image so that the noise fits")

    def _module(self, x, sigma):
        """Fold leading axes into the batch, in chunks, and run the module on x's values as torch tensors."""
        import torch

        tensor = backend.to_torch(x)
        shape = tuple(tensor.shape)
        weight = next(self.network.parameters(), None)
        images = tensor.reshape(-1, *shape[-2:])
        modes = [(m, m.training) for m in self.network.modules() if m.training]
        self.network.eval()
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled() and _check.is_torch(x)):
                chunk = max(1, _PIXELS // (shape[-2] * shape[-1]))
                parts = [self._forward(part, sigma, weight) for part in images.split(chunk)]
                result = torch.cat(parts).to(tensor.device, tensor.dtype).reshape(shape)
        finally:
            for module, mode in modes:
                module.training = mode
        return result if _check.is_torch(x) else backend.from_torch(result)

    def _forward(self, x, sigma, weight):
        """One chunk (n, y, x) of complex torch images through the module, all in new memory."""
        import torch

        height, width = x.shape[-2:]
        if self.channels == "complex":
            planes = torch.stack([x.real, x.imag], 1)
        elif self.channels == "parts":
            planes = torch.cat([x.real, x.imag])[:, None]
        else:
            planes = x.abs()[:, None]
        planes = planes * self.scale + self.offset
        if weight is not None:
            planes = planes.to(weight.device, weight.dtype)
        given = pad_to_multiple(planes, self.multiple)
        count = len(given)
        if self.noise_input:
            level = torch.as_tensor(sigma, dtype=given.dtype, device=given.device).reshape(1, 1, 1, 1) * self.scale
        if self.noise_input == "map":
            out = self.network(torch.cat([given, level.expand(count, 1, *given.shape[-2:])], 1))
        elif self.noise_input == "scalar":
            out = self.network(given.clone(), level.expand(count, 1, 1, 1))
        else:
            out = self.network(given.clone())
        if not torch.is_tensor(out) or not out.is_floating_point():
            got = out.dtype if torch.is_tensor(out) else type(out).__name__
            raise TypeError(f"{self.name} must return a float tensor (B, C, y, x), got {got}: wrap it so that it does")
        if out.shape != given.shape:
            raise ValueError(f"{self.name} returned shape {tuple(out.shape)} for {tuple(given.shape)}: set channels, "
                             f"noise_input or multiple to what the network was trained with")
        out = out[..., :height, :width]
        out = ((planes - out if self.residual else out) - self.offset) / self.scale
        if out.dtype not in (torch.float32, torch.float64):
            out = out.float()  # complex needs it
        if self.channels == "complex":
            return torch.complex(out[:, 0], out[:, 1])
        if self.channels == "parts":
            return torch.complex(out[: count // 2, 0], out[count // 2:, 0])
        phase = torch.where(x == 0, torch.ones_like(x), torch.sgn(x)).to(out.device)
        return out[:, 0] * phase

    def _function(self, x, sigma):
        """A plain function on x as a whole, or on one real image at a time."""
        if self.channels == "complex":
            return self._call(x, sigma, 1 + 1j)
        xp = backend.namespace(x)
        out = []
        for image in x.reshape(-1, *x.shape[-2:]):
            if self.channels == "parts":
                out.append(self._call(image.real, sigma, 1) + 1j * self._call(image.imag, sigma, 1))
            else:
                size = abs(image)
                phase = xp.where(size > 0, image / xp.where(size > 0, size, xp.ones_like(size)), xp.ones_like(image))
                out.append(self._call(size, sigma, 1) * phase)
        return xp.stack(out).reshape(x.shape)

    def _call(self, x, sigma, unit):
        """f on one array: it gets a copy and gives a copy, since it may keep both; kind, shape, device are checked."""
        plain = self.scale == 1 and self.offset == 0
        given = x if plain else x * self.scale + self.offset * unit
        arguments = () if self.noise_input is None or sigma is None else (sigma * self.scale,)
        out = self.network(backend.copy(given), *arguments)
        kinds = [(_check.is_torch(a), _check.is_cupy(a), _number_kind(a)) for a in (given, out)]
        if kinds[0] != kinds[1]:
            got = f"{type(out).__name__} of {out.dtype}" if hasattr(out, "dtype") else type(out).__name__
            raise TypeError(f"{self.name} must return what it was given, {type(x).__name__} of {x.dtype}, got {got}")
        if out.shape != x.shape or getattr(out, "device", None) != getattr(x, "device", None):
            where = f" on {out.device}" if _check.is_torch(x) else ""
            raise ValueError(f"{self.name} returned shape {tuple(out.shape)}{where} for {tuple(x.shape)}: a denoiser "
                             f"keeps shape and device")
        if self.residual:
            out = (given - out) if plain else (given - out - self.offset * unit) / self.scale
        elif not plain:
            out = (out - self.offset * unit) / self.scale
        else:
            out = backend.copy(out)
        return out.to(x.dtype) if _check.is_torch(x) else out.astype(x.dtype, copy=False)


def as_denoiser(obj) -> Denoiser:
    """`obj` as a `Denoiser`: itself if it is one, else `Denoiser(obj)` with automatic settings."""
    return obj if isinstance(obj, Denoiser) else Denoiser(obj)


def is_module(obj) -> bool:
    """True for a `torch.nn.Module`, without importing torch."""
    return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module" for c in type(obj).__mro__)


def pad_to_multiple(x, multiple: int):
    """Pad a tensor (B, C, y, x) below and on the right to multiples of `multiple`: reflected, repeated if too small."""
    import torch

    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not (bottom or right):
        return x
    mode = "reflect" if bottom < height and right < width else "replicate"
    return torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)


def _number_kind(x) -> str | None:
    """'complex' or 'float' for arrays of these, else None."""
    name = _check.dtype_name(x) if _check.is_array(x) else ""
    return next((kind for kind in ("complex", "float") if kind in name), None)


def _choose(network, channels: str, noise_input: str | None) -> tuple[str, str | None]:
    """The automatic settings of a module, from the channels of its first and last convolution."""
    if "auto" not in (channels, noise_input):
        return channels, noise_input
    import torch

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    first, last = (layers[0].in_channels, layers[-1].out_channels) if layers else (0, 0)
    images = {"complex": 2, "parts": 1, "magnitude": 1, "auto": last}[channels]
    noise = {0: None, 1: "map"}.get(first - images) if noise_input == "auto" else noise_input
    fits = images == last in (1, 2) and first == images + (noise == "map")
    if not fits:
        seen = f"{first} to {last} channels" if layers else "no Conv2d"
        raise ValueError(f"the input of {type(network).__name__} cannot be told from its layers ({seen}): give "
                         "channels='complex', 'parts' or 'magnitude', and noise_input='map', 'scalar' or None")
    return ({1: "parts", 2: "complex"}[last] if channels == "auto" else channels), noise
