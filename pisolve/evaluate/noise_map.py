"""How much of the scanner's noise ends up where in the image, for any recipe: pseudo-replicas."""

from __future__ import annotations

import itertools
import numbers
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pisolve import _check, backend, calib
from pisolve._types import ArrayLike
from pisolve.evaluate.planes import middle, mixed
from pisolve.evaluate.section import Picture, Section, Told
from pisolve.prepare import Channels, models_of
from pisolve.prepare.simulated import samples_at
from pisolve.recipe import Recipe, in_order
from pisolve.scan import Scan, estimate
from pisolve.tuning import noise_level
from pisolve.workers.spread import spread

_PIECES = 16  # into which replicas are divided on a cluster; each prepares the scan anew


@dataclass(frozen=True, repr=False)
class NoiseMap(Told):
    """What `noise_map` returns.

    Attributes:
        std: standard deviation of the complex image at every pixel, sqrt(E |x - E x|^2), real, of the axes of
            the image, in the units of the reconstruction; 0 where a slice holds nothing.
        image: the reconstruction of the scan as it is, complex.
        bias: mean of the replicas minus `image`, complex: 0 to within std / sqrt(replicas) for linear recipes.
        replicas: how many.
        covariance: of the noise that was added, complex variances, (coil, coil).
        failed: how many replicas diverged or became non-finite; they are left out.
    """

    std: np.ndarray
    image: np.ndarray
    bias: np.ndarray
    replicas: int
    covariance: np.ndarray
    failed: int = 0

    def section(self) -> Section:
        """For the report and the terminal."""
        level = float(np.percentile(abs(self.image), 99)) or 1.0
        inside = 100 * self.std[self.std > 0] / level if self.std.any() else np.zeros(1)
        bias = 100 * float(np.median(abs(self.bias[self.std > 0]))) / level if self.std.any() else 0.0
        rows = [{"replicas": self.replicas, "std, median [%]": float(np.median(inside)),
                 "std, largest [%]": float(inside.max()), "|bias|, median [%]": bias,
                 "noise of a sample": float(np.sqrt(np.trace(self.covariance).real / len(self.covariance)))}]
        text = ("Noise of the scan's covariance was added to its samples again and again, and each time the recipe "
                "made an image. std is the standard deviation of the complex image, in % of its level (the 99th "
                f"percentile, {level:.4g}); where it is 0 there is nothing. {self.replicas} replicas leave an error of "
                f"{50 / np.sqrt(self.replicas):.2g} % of std itself.")
        picture = Picture(middle(100 * self.std / level), 0.0, max(float(np.percentile(inside, 99.5)), 1e-9), "%",
                          "heat")
        lost = [f"{self.failed} replicas diverged or became non-finite and are left out"] if self.failed else []
        return Section("Noise in the image", text, rows, {"std": picture}, warnings=lost)

    def gfactor(self, full: NoiseMap, accel: float) -> np.ndarray:
        """g = std / (std of the fully sampled scan * sqrt(accel)), 0 where that is 0.

        Args:
            full: the noise map of the same recipe on the fully sampled scan.
            accel: samples of the full scan over samples of this one, >= 1.

        Raises:
            TypeError, ValueError: no noise map, one of another size, an acceleration below 1.
        """
        if not isinstance(full, NoiseMap):
            raise TypeError(f"full must be a NoiseMap, that of the fully sampled scan, got {type(full).__name__}")
        if full.std.shape != self.std.shape:
            raise ValueError(f"full has shape {full.std.shape}, this noise map {self.std.shape}: they must be of one "
                             "scan")
        accel = _check.number("accel", accel, low=1)
        below = full.std * np.sqrt(accel)
        return np.divide(self.std, below, out=np.zeros_like(self.std), where=below > 0)


def noise_map(recipe: Any, scan: Any = None, *, replicas: int = 100, covariance: ArrayLike | None = None, seed: int = 0,
              client: Any = None, progress: bool = False) -> NoiseMap:
    """Standard deviation of the image's noise by pseudo-replicas, for any recipe, priors and networks included.

    The scan is reconstructed again and again with noise of its own covariance added to what it sampled:

        std^2 = 1/(R - 1) sum_r |x_r - mean x|^2,    x_r = recipe(y + n_r),    E n_r n_r^H = covariance

    Undersampling, whitening, coil compression, maps, GRAPPA's and SPIRiT's kernels and the scale are those of the scan
    itself in every replica, so linear recipes give the analytic map and others their linearisation, smoothed over the
    size of the noise. A map from R replicas is itself uncertain by 1 / sqrt(4 R) or so: 5 % at 100. A small std is no
    sign of a true image: a prior that always gives the same picture has none.

    Args:
        recipe: a `Recipe` with a fixed strength (`tune=None`), a prior, or a result, whose recipe and scan are used.
        scan: a `Scan`, the path of one, or k-space. The two may be changed for each other.
        replicas: R >= 2.
        covariance: (coil, coil) E n n^H of a k-space sample, or one number (variance, the same for all coils); None:
            from the scan's noise samples, else estimated from outer k-space (`tuning.noise_level`), which tends to be
            too large.
        seed: of the noise; the same call gives the same bits.
        client: a cluster or an executor over which replicas are made, as for `recon_many`; the same bits.
        progress: show a bar.

    Raises:
        TypeError, ValueError: no recipe, a recipe that tunes, a covariance that is none, fewer than two good replicas.
        RuntimeError: the work on a cluster raised, or its worker was lost again and again.

    Reference:
        P. M. Robson et al., Comprehensive quantification of signal-to-noise ratio and g-factor for image-based and
        k-space-based parallel imaging reconstructions, Magn. Reson. Med. 60:895-907 (2008).
    """
    recipe, raw = in_order("noise_map", recipe, scan)
    replicas = _check.integer("replicas", replicas, low=2)
    seed = _check.integer("seed", seed, low=0)
    psi = covariance_of(raw, covariance)
    made = _Replicas(recipe, raw, psi, seed)
    image = made.image()
    if image is None:
        raise ValueError("recipe diverges on this scan: there is no image whose noise could be measured")
    mean, square, count = np.zeros(image.shape, complex), np.zeros(image.shape), 0
    from tqdm import tqdm

    found = made.draw(0, replicas) if client is None else _spread(recipe, raw, psi, seed, replicas, client)
    for x in tqdm(found, desc="noise map", total=replicas, disable=not progress, leave=False):
        if x is None:
            continue
        count += 1
        step = x - mean  # Welford's update
        mean += step / count
        square += (step.conj() * (x - mean)).real
    if count < 2:
        raise ValueError(f"only {count} of {replicas} replicas gave an image: the recipe diverges with this noise")
    return NoiseMap(np.sqrt(square / (count - 1)), image, mean - image, count, psi, replicas - count)


class _Replicas:
    """The images of a scan with noise of its own added: the n-th replica of a seed is always the same."""

    def __init__(self, recipe, raw, psi, seed: int):
        self._recipe, self._raw, self._seed = recipe, raw, seed
        self._ndim = len(raw.encoding.encoded)
        self._root = np.linalg.cholesky(psi + 1e-12 * np.trace(psi).real / len(psi) * np.eye(len(psi)))  # dead coils
        self._prepared = prepared = recipe.prepare(raw)
        self._white = Channels(raw, recipe.whiten)  # in the order of `prepare`
        self._fewer = Channels(_undersampled(recipe, self._white.whitened(raw)), compress=recipe.compress)
        self._models, self._scale = models_of(prepared, recipe.method, each=recipe.each)
        self._parts = prepared.parts(recipe.each)
        self._empty = [np.zeros(p.image_shape, complex) for p in self._parts]
        self._inside = 1 if prepared.mask is None else prepared.inside
        simulated = prepared.coord is not None and raw.coord is None
        self._at = recipe.sampling.coord(raw) if simulated else None  # noise of the grid, as the data have it

    def image(self):
        """Without noise; None where it diverges."""
        return self._all_of([m and m.y for m in self._models])

    def draw(self, first: int, last: int):
        """Replicas first to last - 1; None in the place of one that failed."""
        rng = np.random.default_rng(self._seed)
        bare, ndim = self._prepared._with(mps=None, reference=None, calib=None), self._ndim
        for n in range(last):
            noise = _draw(rng, self._root, self._raw.kspace.shape, ndim)
            if n < first:
                continue
            if self._at is not None:
                shape = (*noise.shape[:-ndim], *self._prepared.kspace.shape[-ndim:])
                noise = samples_at(noise, self._at, noise.ndim - ndim - 1).reshape(shape)
            noise = self._fewer(self._white(noise, ndim), ndim).astype(self._prepared.kspace.dtype) * self._inside
            more = [p.kspace for p in bare._with(kspace=noise).parts(self._recipe.each)]
            yield self._all_of([m and m.data(p.kspace + n) for m, p, n in zip(self._models, self._parts, more)])

    def _all_of(self, ys):
        """The image of the whole scan of the data of its parts, None where a run failed."""
        xs = [x if m is None else self._run(m, y) for m, y, x in zip(self._models, ys, self._empty)]
        return None if any(x is None for x in xs) else self._prepared.assemble(xs, self._recipe.each)

    def _run(self, model, y):
        result = self._recipe.solve(replace(model, y=y), self._scale)
        x = model.image(backend.to_numpy(result.x)) / self._scale
        return x if result.ok else None


def _spread(recipe, raw, psi, seed: int, replicas: int, client):
    """The replicas in their order, some at a time on a cluster."""
    fields = {n: getattr(raw, n) for n in raw.__dataclass_fields__ if n != "reference"}
    items = [(recipe.to_dict(), fields, psi, seed, *edge) for edge in backend.shares(replicas, min(_PIECES, replicas))]
    found = dict(spread(_some, items, client))
    return itertools.chain.from_iterable(found[k] for k in range(len(items)))


def _some(item) -> list:
    """Some replicas, in another process."""
    recipe, fields, psi, seed, first, last = item
    return list(_Replicas(Recipe.from_dict(recipe), Scan(**fields), psi, seed).draw(first, last))


def _undersampled(recipe, scan):
    """What `prepare` compresses."""
    return scan if recipe.sampling is None or recipe.compress is None else recipe.sampling(replace(scan, mps=None))


def covariance_of(scan, covariance=None) -> np.ndarray:
    """(coil, coil) E n n^H of a sample: as given, else of the scan's noise samples, else estimated."""
    coils = scan.coils
    if covariance is None:
        if scan.noise is not None:
            return calib.noise_covariance(scan.noise)
        own = scan.mask is None and scan.further  # frames may have been sampled apart
        mask = estimate(scan.kspace, scan.axes) if own else scan.mask
        far = None if scan.coord is None else scan.encoding.far()
        covariance = 2 * noise_level(scan.kspace, mask, ndim=len(scan.encoding.encoded), far=far) ** 2
    if isinstance(covariance, numbers.Real):
        return np.eye(coils) * _check.number("covariance", covariance, low=0, strict=True)
    psi = backend.to_numpy(_check.array("covariance", covariance, shape=(coils, coils)))
    if not np.allclose(psi, psi.conj().T, rtol=1e-4, atol=1e-6 * abs(psi).max()) or np.linalg.eigvalsh(psi)[0] < 0:
        raise ValueError("covariance must be Hermitian and positive definite, see calib.noise_covariance")
    if not psi.any():
        raise ValueError("covariance is zero everywhere: without noise there is nothing to map")
    return psi


def _draw(rng, root, shape, ndim):
    """Complex Gaussian noise (..., coil, ky, kx) with covariance root root^H."""
    white = rng.standard_normal((*shape, 2)).view(complex)[..., 0] * np.sqrt(0.5)
    return mixed(root, white, ndim)
