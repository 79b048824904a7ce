"""Any denoiser, a trained network or a plain function, as D(x, sigma) on complex images."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

from pisolve import _check, backend
from pisolve._types import Array, ArrayLike
from pisolve.priors import _inspect, _module
from pisolve.priors._module import is_module


class Denoiser:
    """D(x, sigma) = (N(scale x + offset, scale sigma) - offset) / scale, N being a network or a function.

    `sigma` is the standard deviation of the noise in the real and in the imaginary part each, in the units of x. The
    result has the kind (numpy, cupy, torch), device, shape and dtype of x, which is never changed; torch input is
    differentiable. A module runs in eval mode (its mode is restored) and, for input that is not torch, without
    gradients. Nothing is rescaled unless `scale`, `offset` or `rescale` say so; `describe()` tells what is done.

    A plain function is called as f(x, sigma) with a copy of x, whatever its shape. With `channels` "parts" or
    "magnitude" it is called with one real (y, x) image at a time; with `noise_input` None as f(x).

    `sigma` may be an array that broadcasts to x, a level for each pixel, where the network takes it: with `noise_input`
    "map" or "field". One for each image, of shape (n, 1, 1), is told to a network with a second argument, too.

    Use:
        where a network needs settings; PnP and RED call it by themselves for a module or a function that needs none.

    Args:
        network: a `torch.nn.Module` on (B, C, y, x) or (B, C, z, y, x) floats, or a function on arrays. Of wrappers as
            those of `torch.compile` and `nn.DataParallel` the module inside is asked what it takes.
        channels: how complex becomes real. "complex": two channels, real and imaginary part. "parts": one channel,
            both parts as two images. "magnitude": one channel, |x|, and the phase of x is put back. "native": one
            channel of complex numbers, for networks that compute with them. "auto": from the first and last
            convolution of a module, or by trying a small image; a function takes the complex array.
        level: the only sigma that the network was trained for, in the units of x: the network's own sigma divided by
            `scale`. `sigma` None then means this level, and another sigma (by more than 0.1 %) is an error.
        noise_input: how the network is told sigma. "map": one more channel that holds scale * sigma (a function gets an
            array of x's shape). "scalar": a second argument, for a function a float, for a module of shape
            (B, 1, 1, 1) or, where it refuses that, a float or of shape (B,); "float", "vector": these at once.
            "field": a second argument (B, 1, y, x). None: not at all, so that without a `level` sigma has no effect.
            "auto": the second argument of a function, and of a module whose `forward` takes a sigma; else a map where
            a module's first convolution has one channel more than its last, else None.
        residual: the network returns the noise, not the image.
        scale, offset: the range that the network was trained in: it sees scale * x + offset. For one trained on [0, 1],
            with parts between -1 and 1, that is scale=0.5, offset=0.5.
        multiple: y and x are padded (reflected) to a multiple of this and cropped afterwards. None: found where the
            network refuses a size, out of 1, 2, 4, ... 64.
        rescale: for another sigma than `level`, D(x, sigma) = sigma / level * D(level / sigma * x, level). A network
            is worse outside of its own intensity range: this may cost several dB.
        phases: D is averaged over this many global phases of x, e^-it D(e^it x): nearer to a denoiser that no phase
            matters to, for as many calls of the network. On the shipped `denoiser-brain` 3 gave 0.1 to 0.2 dB.
        ndim: 2 or 3, the last axes of x that the network sees together. None: as a module's convolutions are, else 2.
        note: free text for `describe()`, such as where the weights come from.

    Attributes:
        source: the arguments of `pisolve.nets.load` that made it, by which a recipe writes it down; else None.

    Raises:
        TypeError: the network cannot be called, or returns something that is no array of the right kind.
        ValueError: channels or the noise level cannot be told from the module, options that contradict each other, a
            wrong sigma, one for each pixel for a network that takes one number, or an output of the wrong shape.

    Reference:
        Venkatakrishnan et al., "Plug-and-play priors for model based reconstruction", GlobalSIP 2013.

    Example:
        D = pi.Denoiser(pi.nets.DnCNN(channels=1, depth=3, width=8), channels="parts", noise_input=None)
    """

    is_module: bool
    level: float | None
    scale: float | None
    offset: float | None
    fixed: bool
    multiple: int | None
    phases: int | None
    residual: bool
    rescale: bool
    note: str
    auto: Any
    form: None
    channels: str
    keyword: str | bool | None
    frozen: Any
    tells_potential: bool

    source: dict[str, Any] | None = None

    def __init__(self, network: Callable[..., Any], *, channels: str = "auto", level: float | None = None,
                 noise_input: str | None = "auto", residual: bool = False, scale: float = 1.0, offset: float = 0.0,
                 multiple: int | None = None, rescale: bool = False, phases: int = 1, ndim: int | None = None,
                 note: str = ""):
        if not callable(network) or isinstance(network, type):
            load = f": write pi.nets.load({network!r})" if isinstance(network, str) else ""
            raise TypeError(f"a denoiser must be a torch module or a function D(x, sigma), got {_check.brief(network)}"
                            f"{load}")
        if noise_input is not None and not _inspect.takes_two(network):
            raise TypeError(f"a denoiser is called as D(x, sigma), and {_check.brief(network)} takes one argument: "
                            "write lambda x, sigma: D(x), or pi.Denoiser(D, noise_input=None)")
        if hasattr(network, "needs_maps"):
            raise TypeError(f"{type(network).__name__} is a reconstruction network, no denoiser: give it to "
                            "pi.recon(scan, network=...)")
        self.network = network
        self.name = getattr(network, "__name__", type(network).__name__)
        self.is_module: bool = is_module(network)
        _check.choice("channels", channels, ("auto", "complex", "parts", "magnitude", "native"))
        _check.choice("noise_input", noise_input, ("auto", None, "map", *_inspect.SECOND))
        self.level: float | None = _check.number("level", level, low=0, strict=True, allow_none=True)
        self.scale: float | None = _check.number("scale", scale, low=0, strict=True)
        self.offset: float | None = _check.number("offset", offset)
        self.fixed: bool = multiple is not None
        self.multiple: int | None = _check.integer("multiple", multiple, low=1) if self.fixed else 1
        self.phases: int | None = _check.integer("phases", phases, low=1)
        self.residual, self.rescale, self.note = bool(residual), bool(rescale), str(note)
        self.auto: Any = [k for k, v in (("channels", channels), ("noise_input", noise_input)) if v == "auto"]
        self.ndim: int = _check.integer("ndim", ndim, low=2, high=3, allow_none=True) or 2
        self.form: None = None  # of a second argument, once the network has taken one
        if self.is_module:
            if any(p.is_meta for p in network.parameters()):
                raise ValueError(f"{self.name} is on the device meta, without numbers: load its weights first")
            self.name = type(_inspect.inside(network)).__name__
            self.ndim: int = _inspect.spatial_axes(network, ndim)
            self.channels, self.noise_input = _inspect.choose(network, channels, noise_input, self.ndim)
            self.keyword: Any = _inspect.level_argument(network) if self.noise_input in _inspect.SECOND else None
            self.frozen: Any = next(iter(_inspect.constants(network)), None)
            if self.has_potential and self.multiple > 1:
                raise ValueError("multiple would break the gradient of the potential: give it to the GradientStep")
            self.fixed |= self.has_potential
            self.tells_potential: bool = self.has_potential and _inspect.potential_takes_level(network)
        else:
            self.channels: str = "complex" if channels == "auto" else channels
            self.noise_input = "scalar" if noise_input == "auto" else noise_input
            if self.noise_input not in (None, "map", "scalar") or channels == "native" or self.multiple > 1:
                raise ValueError("`multiple`, channels='native' and other noise_input than 'map', 'scalar' or None are "
                                 "for torch modules; this denoiser is a plain function")
        if self.rescale and self.level is None:
            raise ValueError("rescale=True needs `level`, the sigma that the network was trained for")

    def __call__(self, x: ArrayLike, sigma: float | None = None) -> Array:
        """Denoise the complex images x (..., y, x); real input is converted to complex."""
        x = _check.array("x", x, finite=False)
        if x.ndim < self.ndim:
            needed = "volumes (..., z, y, x) for a network over three axes" if self.ndim == 3 else "images (..., y, x)"
            raise ValueError(f"x must be {needed}, got shape {tuple(x.shape)}")
        sigma, gain = self._sigma(sigma, tuple(x.shape))
        if self.phases == 1 and gain == 1:
            return self._once(x, sigma)
        turned = (self._once(x * (gain * turn), sigma) / (gain * turn) for turn in self._turns())
        return sum(turned) / self.phases

    def _once(self, x, sigma):
        return _module.run(self, x, sigma) if self.is_module else self._function(x, sigma)

    def _turns(self):
        """The phase factors to average over; python numbers keep an array's precision."""
        return [cmath.exp(2j * cmath.pi * k / self.phases) if k else 1 for k in range(self.phases)]

    def describe(self) -> dict[str, Any]:
        """What this denoiser does with an image, as a plain dict: every setting, and which were chosen by itself."""
        keys = ("name", "channels", "noise_input", "level", "residual", "scale", "offset", "multiple", "rescale",
                "phases", "ndim", "note")
        noise = ("rescales the image to its level" if self.rescale else "works at its level only" if self.level else
                 "takes any sigma" if self.noise_input else "blind: sigma has no effect")
        kind = "torch module" if self.is_module else "function"
        return {"kind": kind, **{k: getattr(self, k) for k in keys}, "noise": noise, "auto": list(self.auto)}

    def __repr__(self) -> str:
        level = "" if self.level is None else f", level={self.level:g}"
        return f"Denoiser({self.name}, channels={self.channels!r}, noise_input={self.noise_input!r}{level})"

    def _sigma(self, sigma, shape):
        """The sigma to work at on an image of this shape, and the factor that it is multiplied by to get there."""
        if sigma is None:
            if self.level is None and self.noise_input:
                raise ValueError(f"sigma is needed: {self.name} takes any noise level and has none of its own")
            return self.level, 1
        if _check.is_array(sigma) and math.prod(sigma.shape) > 1:
            return self._levels(sigma, shape), 1
        if _check.is_torch(sigma):  # a learned level stays a tensor
            sigma = sigma.reshape(())
        else:
            sigma = _check.number("sigma", sigma, low=0, strict=self.rescale)
        if self.level is None or abs(float(sigma) - self.level) <= 1e-3 * self.level:
            return sigma, 1
        if self.rescale:
            return self.level, self.level / float(sigma)
        raise ValueError(f"sigma is {float(sigma):g}, but {self.name} was trained for {self.level:g} only: call it at "
                         f"that level (sigma=None), or rescale=True to multiply the image so that the noise fits")

    def _levels(self, sigma, shape):
        """Checked levels of each pixel or image, an array that broadcasts to `shape`."""
        return self.check_map(_check.levels("sigma", sigma, shape))

    def check_map(self, sigma: Any) -> Array:
        """Refuse an array of levels where the denoiser takes none; returns it.

        Raises:
            ValueError: it knows one level only, is told none, or takes one number for an image.
        """
        if self.level is not None or self.noise_input is None:
            why = f"was trained for {self.level:g} only" if self.level is not None else "is told no noise level"
            raise ValueError(f"sigma is an array of shape {tuple(sigma.shape)}, but {self.name} {why}: give one number")
        one = set(sigma.shape[-self.ndim:]) == {1} and self.is_module and self.noise_input != "float"
        if self.noise_input not in ("map", "field") and not one:
            raise ValueError(f"sigma is an array of shape {tuple(sigma.shape)}, but {self.name} is called with one "
                             "number for an image: give Denoiser(..., noise_input='field') where its second argument, "
                             "'map' where a further channel may hold a level for each pixel")
        return sigma

    @property
    def has_potential(self) -> bool:
        """True where D(x) = x - grad g(x) with a g that `potential` evaluates, as `nets.GradientStep` has it."""
        return (self.is_module and not self.residual
                and callable(getattr(_inspect.inside(self.network), "potential", None)))

    def potential(self, x: ArrayLike, sigma: float | None = None) -> float:
        """g(x), summed over the images (..., y, x), with x - D(x, sigma) = grad g(x).

        Raises:
            TypeError: a denoiser without a potential.
        """
        if not self.has_potential:
            raise TypeError(f"{self.name} has no potential: take a nets.GradientStep")
        x = _check.array("x", x, finite=False)
        sigma, gain = self._sigma(sigma, tuple(x.shape))
        turned = (_module.energy(self, x * (gain * turn), sigma) for turn in self._turns())
        return sum(turned) / (self.phases * (self.scale * gain) ** 2)

    def _function(self, x, sigma):
        """A plain function on x as a whole, or on one real image at a time."""
        if self.noise_input == "map":
            sigma = _everywhere(sigma, x)
        if self.channels == "complex":
            return self._call(x, sigma, 1 + 1j)
        xp, whole = backend.namespace(x), sigma
        out = []
        for k, image in enumerate(x.reshape(-1, *x.shape[-self.ndim:])):
            if self.noise_input == "map":
                sigma = whole.reshape(-1, *image.shape)[k]
            if self.channels == "parts":
                out.append(self._call(image.real, sigma, 1) + 1j * self._call(image.imag, sigma, 1))
            else:
                out.append(self._call(backend.magnitude(image), sigma, 1) * backend.unit(image))
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
        return backend.cast(out, x)


def _everywhere(sigma, x):
    """sigma at each entry of x, a real array of its kind."""
    if not getattr(sigma, "ndim", 0):
        return backend.zeros_like(x.real) + sigma
    sigma = sigma if _check.is_torch(sigma) else backend.like(backend.to_numpy(sigma), x)
    return backend.zeros_like(x.real) + backend.cast(sigma, x.real)


def as_denoiser(obj: Any) -> Denoiser:
    """`obj` as a `Denoiser`: itself if it is one, else `Denoiser(obj)` with automatic settings."""
    return obj if isinstance(obj, Denoiser) else Denoiser(obj)


def _number_kind(x) -> str | None:
    """'complex' or 'float' for arrays of these, else None."""
    name = _check.dtype_name(x) if _check.is_array(x) else ""
    return next((kind for kind in ("complex", "float") if kind in name), None)
