"""The residual of an image in k-space and in the image, in units of the noise: what `consistency` is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pisolve import _check, backend
from pisolve.evaluate.consistency.forward import Noise, one_set, predicted
from pisolve.evaluate.consistency.visibility import CLEAR, LOW, Sight, gaussian
from pisolve.prepare import Sense, models_of

_WIDTH, _STEP, _PHASES = 3.0, 0.1, 30


def is_magnitude(picture) -> bool:
    """Real and nowhere negative."""
    real = picture.dtype.kind != "c" or not picture.imag.any()
    return bool(real and (picture.real >= 0).all())


def _slices(x, ndim: int):
    return list(x) if x.ndim > ndim else [x]


def unknowns(done, recipe, scan, picture, magnitude):
    """(models, their unknowns in the scan's units, k-space) of every slice."""
    parts = _slices(scan.kspace, 3)
    if recipe is not None and not magnitude:
        models, _ = models_of(scan, recipe.method)
        return models, [backend.to_numpy(r.x) / parts[0].real.dtype.type(done.scale) for r in done.results], parts
    if scan.mps is None:
        scan = replace(scan, mps=np.ones(scan.kspace.shape[-3:], scan.kspace.dtype))
    if not one_set(scan):
        raise ValueError(f"scan has {scan.sets} sets of coil maps, of which an image says nothing: give the "
                         "Reconstruction, or a scan with one set")
    models, _ = models_of(scan, Sense())
    xs = [(x * m.size).astype(y.dtype) for x, m, y in zip(_slices(picture, 2), models, parts)]
    return models, [_with_phase(m, x, y) for m, x, y in zip(models, xs, parts)] if magnitude else xs, parts


def _with_phase(model, x, y):
    """A magnitude with the phase that explains the data best, by projected gradients from that of A^H y."""
    size, L = abs(x), model.A.norm_bound() ** 2
    x = size * backend.unit(model.A.H(y))
    for _ in range(_PHASES):
        x = size * backend.unit(x + model.A.H(y - model.A(x)) / x.real.dtype.type(L))
    return x


def noise_alone(done, models, xs, parts, noise: Noise, seed: int) -> float:
    """chi of b - J b: what noise alone leaves behind the recipe, by one more run with a tenth of it."""
    rng, total, count = np.random.default_rng(seed), 0.0, 0
    for m, x, y, result in zip(models, xs, parts, done.results):
        recipe = done.recipe
        if recipe.network is None:  # the same number of steps
            recipe = replace(recipe, max_iter=max(result.state.k, 1), tol=0.0)
        b = noise.draw(rng, y) * done.scan.mask
        moved = recipe.solve(replace(m, y=m.data(y + y.real.dtype.type(_STEP) * b)), done.scale)
        if not moved.ok:
            raise ValueError("the recipe diverges with a little more noise: probe cannot say what noise leaves behind "
                             "it")
        change = predicted(m, backend.to_numpy(moved.x) / x.real.dtype.type(done.scale)) - predicted(m, x)
        r = noise.units(b - change * done.scan.mask / y.real.dtype.type(_STEP))
        total, count = total + float(np.linalg.norm(r)) ** 2, count + int(done.scan.mask.sum()) * len(y)
    return float(np.sqrt(total / (2 * count)))


def in_image(r, maps, mask) -> tuple[np.ndarray, int]:
    """(|<A g, r>| / ||A g|| for a blob g at every pixel, number of pixels inside the maps), in units of the noise."""
    energy = (abs(maps) ** 2).sum(0)
    w = (maps.conj() * backend.fft(r, (-2, -1), inverse=True)).sum(0)
    shape = energy.shape
    g = gaussian(shape, (shape[0] // 2, shape[1] // 2), _WIDTH)

    def smooth(image, kernel):
        blurred = backend.fft(image.astype(complex), (-2, -1)) * backend.fft(kernel.astype(complex), (-2, -1))
        return backend.fft(blurred, (-2, -1), inverse=True) * np.sqrt(g.size)

    kept = (mask * abs(backend.fft(g.astype(complex), (-2, -1))) ** 2).sum()  # ||M F g||^2
    size = np.maximum(smooth(energy, g**2).real / (g**2).sum(), 0) * kept
    inside = energy > 0.01 * energy.max()
    return abs(smooth(w, g)) * inside / np.sqrt(np.where(inside, size, 1)), int(inside.sum())


def structure_rows(structures, scan, picture, noise: Noise, whites) -> tuple:
    """A row for each structure."""
    if not isinstance(structures, dict):
        raise TypeError(f"structures must be a dict of arrays by name, got {type(structures).__name__}")
    if structures and not one_set(scan):
        raise ValueError("structures needs a scan with one set of coil maps: they go through A")
    rows = []
    for name, d in structures.items():
        d = _check.array(f"structures[{name!r}]", d, shape=picture.shape, complex_=False, nonzero=True)
        d = backend.to_numpy(d)
        d = d * backend.unit(picture) if d.dtype.kind != "c" else d  # a change of the magnitude
        sights = [Sight(s, scan.mask, noise) for s in np.broadcast_to(scan.mps, scan.kspace.shape).reshape(
            -1, *scan.kspace.shape[-3:])]
        parts = _slices(d, 2)
        energy = [float(np.linalg.norm(p)) ** 2 for p in parts]
        traces = [s.trace(p) for s, p in zip(sights, parts)]
        reach = float(np.sqrt(sum(np.linalg.norm(t) ** 2 for t in traces)))
        agree = float(sum(backend.dot(t, r) for t, r in zip(traces, whites)))
        excess = agree / max(reach, 1e-300)
        fixed = float(np.average([s.determined(p) for s, p in zip(sights, parts)], weights=energy))
        if reach < CLEAR:
            verdict = "cannot be judged: too little of it reaches the samples"
        elif excess > CLEAR:
            verdict = "contradicts the data"
        else:
            verdict = "the data do not contradict it" + (", nor do they determine it" if fixed < LOW else "")
        full = np.sqrt(sum(np.linalg.norm(s.full(p.astype(s.full.mps.dtype))) ** 2 for s, p in zip(sights, parts)))
        part = np.sqrt(sum(np.linalg.norm(s.A(p.astype(s.full.mps.dtype))) ** 2 for s, p in zip(sights, parts)))
        rows.append({"structure": str(name), "seen": float(part / full) if full else 0.0, "determined": fixed,
                     "reach": reach, "excess": excess, "unsupported": excess / reach if reach >= CLEAR else None,
                     "verdict": verdict})
    return tuple(rows)
