"""Methods by the words that the field calls them: what `compare` and the command line take as names."""

from __future__ import annotations

from dataclasses import replace

from pisolve import _check
from pisolve._words import ANALYSES, DEFAULTS, DENOISER, FITTED, SERIES, SHORT, TESTS, WORDS, ZERO_FILLED
from pisolve.prepare import Grappa, Raki, Spirit
from pisolve.priors import (
    L1,
    LLR,
    RED,
    TGV,
    TV,
    InfimalConvolution,
    Nuclear,
    PnP,
    Prior,
    TemporalFFT,
    Tikhonov,
    Wavelet,
    Zero,
)
from pisolve.recipe import Recipe
from pisolve.solvers import HQS

__all__ = ["ANALYSES", "DEFAULTS", "DENOISER", "FITTED", "PLAIN", "SERIES", "SHORT", "TESTS", "WORDS", "ZERO_FILLED",
           "named", "prior", "words"]

PLAIN = {"zero": Zero, "tikhonov": Tikhonov, "l1": L1, "wavelet": lambda: Wavelet(shifts=16), "tv": TV, "tgv": TGV,
         "llr": lambda: LLR(shifts=16), "nuclear": Nuclear, "temporal-fft": TemporalFFT,
         "temporal-tv": lambda: TV(axes=("frame",)),
         "l+s": lambda: InfimalConvolution(Nuclear(), 0.01 * TemporalFFT())}  # Otazo's low rank plus sparse
_FALLING = HQS(rho=0.2, ratio=625, iterations=60, coupling=0)  # a level that falls at a constant penalty
_OTHERS = {
    "sense": lambda: Recipe(Zero(), max_iter=12),  # stopped before the noise grows: that is its regulariser
    "grappa": lambda: Recipe(method=Grappa()),
    "raki": lambda: Recipe(method=Raki()),
    "spirit": lambda: Recipe(Zero(), method=Spirit()),
    "convdecoder": lambda: _fitted("Untrained", 100),
    "zs-ssl": lambda: _fitted("ZeroShot", 30),
    "pnp-hqs": lambda: Recipe(PnP(_denoiser(), 0.01), _FALLING, max_iter=60),
}


def words() -> tuple[str, ...]:
    """All the names that `compare` takes: "zero-filled", and those of `named`."""
    from pisolve import nets

    shipped = [n for n in nets.available() if "denoiser" not in n]
    short = [s for s, n in SHORT.items() if n in shipped]
    return (*WORDS, *short, *shipped)


def named(word: str) -> Recipe:
    """The recipe of a name, with the strengths of `DEFAULTS`: "sense", "wavelet", "tv", "pnp", "grappa", "modl", ...

    Raises:
        ValueError: no such name, with all there are.
    """
    if word in _OTHERS:
        recipe = _OTHERS[word]()
    elif word in DEFAULTS and word != "zero":
        values = dict(DEFAULTS[word])
        run = {"max_iter": values.pop("max_iter")} if "max_iter" in values else {}
        recipe = Recipe(prior(word, _denoiser() if word in ("pnp", "red") else None, **values), **run)
    else:
        from pisolve import nets

        name = SHORT.get(word, word)
        if name not in nets.available() or "denoiser" in name:
            _check.choice("method", word, words()[1:])
        recipe = Recipe(network=nets.load(name))
    return replace(recipe, name=word)


def prior(word: str, denoiser=None, *, lam: float | None = None, sigma: float | None = None) -> Prior:
    """The prior of a name in `DEFAULTS` at a strength; `denoiser` for "pnp" and "red"."""
    if word == "pnp":
        return PnP(denoiser, sigma)
    if word == "red":
        return lam * RED(denoiser, sigma)
    return PLAIN[word]() if word == "zero" else lam * PLAIN[word]()


def _fitted(name: str, max_iter: int) -> Recipe:
    from pisolve import scan_specific

    return Recipe(getattr(scan_specific, name)(), max_iter=max_iter)


def _denoiser():
    from pisolve import nets

    return nets.load(DENOISER)
