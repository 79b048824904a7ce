"""A recipe for a file that is not read whole: one slice, its maps and the images are in memory, to the same bits."""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pisolve import _axes, backend
from pisolve.io.sliced import Slices
from pisolve.prepare import EACH, like_rss, models_of
from pisolve.prepare.scan import peak_of, scale_of, zero_filled_of
from pisolve.prepare.sense import Sense
from pisolve.recipe import automatic
from pisolve.recipe.agreement import Watch
from pisolve.recipe.reconstruction import WORST, Reconstruction, empty
from pisolve.recipe.run import run
from pisolve.solvers import Result, State


@dataclass(frozen=True)
class Sliced(Reconstruction):
    """A reconstruction whose scan has no k-space and no maps.

    Attributes:
        shown: its `like_reference`.
        told: what is odd about the data, as `Scan.warnings` has it.
    """

    shown: np.ndarray | None = None
    told: tuple[str, ...] = ()

    @property
    def like_reference(self) -> np.ndarray:
        """x as a root of the sum of squares of the coils' images shows it."""
        return self.shown


@dataclass(frozen=True)
class _WithoutMaps(Sense):
    """What a scan is prepared for whose maps are there already."""

    needs_maps = False


def one_by_one(recipe) -> bool:
    """Whether a recipe needs no more than a slice at a time, and what all of them say together: mask and scale."""
    waits = any(getattr(recipe, name) is not None for name in ("tune", "x0", "weights", "compress"))
    vary = () if recipe.sampling is None or recipe.sampling.vary is None else _axes.words("vary", recipe.sampling.vary)
    fitted = recipe.method.fits or (recipe.prior is not None and recipe.prior.solver() is not None)
    return not (waits or fitted or automatic.is_open(recipe) or _axes.SLICE in vary or recipe.device != "cpu"
                or recipe.each != EACH)


def reconstruct(recipe, source: Slices) -> Sliced:
    """The reconstruction of a file's slices, as many at a time as there are threads: the bits of the whole scan's.

    The file is read three times: for the maps, which are kept on the disk, for the scale, and for the images.

    Args:
        recipe: of which `one_by_one` is true.
        source: the slices.

    Raises:
        ValueError: as the recipe itself.
    """
    start, step = time.perf_counter(), backend.threads()
    if source.scan.mask is None and recipe.sampling is None:
        source.masked()
    blocks = [slice(z, min(z + step, len(source))) for z in range(0, len(source), step)]
    with tempfile.TemporaryDirectory(prefix="pisolve-") as folder:
        work = _Work(recipe, source, Path(folder))
        peaks = [work.peak(block) for block in blocks]
        peak, dtype = max(p for p, _ in peaks), next((kind for _, kind in peaks if kind is not None), None)
        scale = scale_of([image for block in blocks for image in work.zero_filled(block, peak)], peak, dtype)
        middle = time.perf_counter()
        rows = [work.solved(block, scale) for block in blocks]
    images, shown, references = ([a for a in arrays if a is not None] for arrays in zip(*(row[:3] for row in rows)))
    results, misfits, told = ([one for row in rows for one in row[i]] for i in (3, 4, 5))
    scan = source.scan._with(reference=np.concatenate(references) if references else None, mask=None)
    solver = next((r.solver for r in results if r.status != "empty"), None)
    return Sliced(np.concatenate(images), min((r.status for r in results), key=WORST.index), results, scale,
                  replace(recipe, solver=solver), scan, {"maps": middle - start, "solve": time.perf_counter() - middle},
                  agreement=work.agreement(misfits, results), shown=np.concatenate(shown),
                  told=tuple(dict.fromkeys(told)))


class _Work:
    """What is done to some slices, whose maps are made once and kept in files."""

    def __init__(self, recipe, source, folder: Path):
        self._recipe, self._source, self._folder, self._doubts, self._watch = recipe, source, folder, [], None

    def peak(self, block: slice):
        """`peak_of` slices, whose maps are made."""
        part = self._source[block]
        if not part.kspace.any():
            return 0.0, None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when they are solved
            part = self._recipe.prepare(part)
        if part.mps is not None:
            np.save(self._path(block), part.mps)
        return peak_of(self._models(part))

    def zero_filled(self, block: slice, peak: float) -> list:
        """`zero_filled_of` slices."""
        part = self._source[block]
        return zero_filled_of(self._models(self._prepared(part, block)), peak) if part.kspace.any() else []

    def solved(self, block: slice, scale: float):
        """(images, as their reference shows them, reference, light results, misfits, warnings) of slices."""
        raw = self._source[block]
        if not raw.kspace.any():
            results = [empty(part) for part in raw.parts()]
            x = np.stack([r.x for r in results])
            return x, x, raw.reference, results, [None] * len(results), ()
        part, watch = self._prepared(raw, block), Watch(raw, self._recipe)
        watch.prepared(part)
        done = run(self._recipe, part, watch.sigma, scale=scale)
        self._doubts += watch.doubts
        self._watch = watch
        x = part.assemble(done.images, self._recipe.each)
        x = x / x.real.dtype.type(done.scale)
        shown = like_rss(part, x) if self._recipe.method.needs_maps else x
        return x, shown, part.reference, [_light(r) for r in done.results], done.misfits, raw.warnings()

    def agreement(self, misfits, results):
        """What all images leave of the data, and the doubts about any of them, each once."""
        if self._watch is None:
            return None
        self._watch.doubts = list(dict.fromkeys(self._doubts))
        return self._watch.solved(misfits, results)

    def _prepared(self, part, block: slice):
        if not self._recipe.method.needs_maps:
            return self._recipe.prepare(part)
        return self._recipe.replace(method=_WithoutMaps()).prepare(part)._with(mps=np.load(self._path(block)))

    def _models(self, part) -> list:
        return models_of(part, self._recipe.method, scaled=False)[0]

    def _path(self, block: slice) -> Path:
        return self._folder / f"{block.start}.npy"


def _light(result) -> Result:
    """A result without the problem that it solved."""
    state = result.state
    return Result(result.x, result.status, State(result.x, state.k, state.residual), [],
                  getattr(result, "solver", None), None)
