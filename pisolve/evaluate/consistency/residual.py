"""The residual of an image in k-space and in the image, in units of the noise: what `consistency` is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pisolve import _check, backend, linops
from pisolve.evaluate.consistency.forward import Noise, one_set, predicted
from pisolve.evaluate.consistency.visibility import CLEAR, LOW, gaussian, sight_of
from pisolve.evaluate.planes import split
from pisolve.prepare import SENSE, models_of
from pisolve.problem import Problem
from pisolve.recipe import repeated

_WIDTH, _STEP, _PHASES = 3.0, 0.1, 30


def is_magnitude(picture) -> bool:
    """Real and nowhere negative."""
    real = picture.dtype.kind != "c" or not picture.imag.any()
    return bool(real and (picture.real >= 0).all())


def unknowns(done, recipe, scan, picture, magnitude, each):
    """(models, their unknowns in the scan's units) of every part, None for those that hold nothing."""
    if recipe is not None and not magnitude:
        models, _ = models_of(scan, recipe.method, each=each)
        kind = scan.kspace.real.dtype.type
        return models, [m and backend.to_numpy(r.x) / kind(done.scale) for m, r in zip(models, done.results)]
    if scan.mps is None:
        size = scan.image_shape[-len(scan.encoding.encoded):]
        scan = scan._with(mps=np.ones((scan.coils, *size), scan.kspace.dtype))
    if not one_set(scan):
        raise ValueError(f"scan has {scan.sets} sets of coil maps, of which an image says nothing: give the "
                         "Reconstruction, or a scan with one set")
    models, _ = models_of(scan, SENSE, each=each)
    xs = [m and (x * m.size).astype(m.y.dtype) for x, m in zip(split(scan, picture, each), models)]
    return models, [m and _with_phase(m, x, m.y) for m, x in zip(models, xs)] if magnitude else xs


def _with_phase(model, x, y):
    """A magnitude with the phase that explains the data best, by projected gradients from that of A^H y."""
    size, bound = abs(x), model.A.norm_bound()
    L = Problem(model.A, model.y, None).lipschitz if bound is None else bound**2
    x = size * backend.unit(model.A.H(y))
    for _ in range(_PHASES):
        x = size * backend.unit(x + model.A.H(y - model.A(x)) / x.real.dtype.type(L))
    return x


def noise_alone(done, models, xs, parts, noise: Noise, seed: int) -> float:
    """chi of b - J b: what noise alone leaves behind the recipe, by one more run with a tenth of it."""
    rng, total, count = np.random.default_rng(seed), 0.0, 0
    for m, x, part, result in zip(models, xs, parts, done.results):
        if m is None:
            continue
        y, inside = part.kspace, part.inside
        b = noise.draw(rng, y) * inside
        moved = repeated(done.recipe, result).solve(replace(m, y=m.data(y + y.real.dtype.type(_STEP) * b)), done.scale)
        if not moved.ok:
            raise ValueError("the recipe diverges with a little more noise: probe cannot say what noise leaves behind "
                             "it")
        change = predicted(m, backend.to_numpy(moved.x) / x.real.dtype.type(done.scale)) - predicted(m, x)
        r = noise.units(b - change * inside / y.real.dtype.type(_STEP))
        total, count = total + float(np.linalg.norm(r)) ** 2, count + int(np.broadcast_to(inside, y.shape).sum())
    return float(np.sqrt(total / (2 * count)))


def in_image(r, maps, part) -> tuple[np.ndarray, int]:
    """(|<A g, r>| / ||A g|| for a blob g at every pixel, number of pixels inside the maps), in units of the noise.

    Args:
        r: residual of a part, (..., coil, ky, kx) or in 3-D (..., coil, kz, ky, kx), or of samples anywhere; each frame
            is looked at by itself.
        maps: how the coils see each pixel, of the axes of r, those of the image in the place of the encoded ones.
        part: of the scan, which says what was sampled.
    """
    inner = len(part.encoding.encoded)
    lead, shape = r.shape[:-1 - inner], part.image_shape[-inner:]
    g = gaussian(shape, [n // 2 for n in shape], _WIDTH)
    maps = np.broadcast_to(maps, (*lead, *maps.shape[-1 - inner:]))
    frames = (_on_grid if part.coord is None else _anywhere)(r, maps, part, g)
    energies = ((abs(s) ** 2).sum(0) for s in maps.reshape(-1, *maps.shape[-1 - inner:]))
    found = [_blobs(w, energy, kept, g) for (w, kept), energy in zip(frames, energies)]
    return np.stack([f[0] for f in found]).reshape(*lead, *shape), sum(f[1] for f in found)


def _on_grid(r, maps, part, g):
    """(A^H r, ||M F g||^2) of each frame."""
    inner = g.ndim
    axes, masks = tuple(range(-inner, 0)), np.broadcast_to(part.mask, (*r.shape[:-1 - inner], *g.shape))
    spectrum = abs(backend.fft(g.astype(complex), axes)) ** 2
    r, maps = (a.reshape(-1, *a.shape[-1 - inner:]) for a in (r, maps))
    for one, s, mask in zip(r, maps, masks.reshape(-1, *g.shape)):
        yield (s.conj() * backend.fft(one, axes, inverse=True)).sum(0), (mask * spectrum).sum()


def _anywhere(r, maps, part, g):
    """The same of samples anywhere."""
    place, lead = {"axes": part.axes, "coord": part.coord}, r.shape[:-1 - g.ndim]
    w = linops.sense(maps, shape=r.shape, **place).H(r)
    shape = (*lead, 1, *r.shape[-g.ndim:])
    F = linops.sense(np.ones((1, *g.shape), r.dtype), weights=part.mask, shape=shape, **place)
    data = F(np.broadcast_to(g, (*lead, *g.shape)).astype(r.dtype))
    kept = (abs(data) ** 2).reshape(int(np.prod(lead)), -1).sum(-1)
    return zip(w.reshape(-1, *g.shape), kept)


def _blobs(w, energy, kept, g):
    axes = tuple(range(-g.ndim, 0))

    def smooth(image, kernel):
        blurred = backend.fft(image.astype(complex), axes) * backend.fft(kernel.astype(complex), axes)
        return backend.fft(blurred, axes, inverse=True) * np.sqrt(g.size)

    size = np.maximum(smooth(energy, g**2).real / (g**2).sum(), 0) * kept
    inside = energy > 0.01 * energy.max()
    return abs(smooth(w, g)) * inside / np.sqrt(np.where(inside, size, 1)), int(inside.sum())


def structure_rows(structures, scan, picture, noise: Noise, whites, each) -> tuple:
    """A row for each structure; `whites` are the residuals of the parts, None of those that hold nothing."""
    if not isinstance(structures, dict):
        raise TypeError(f"structures must be a dict of arrays by name, got {type(structures).__name__}")
    if structures and not one_set(scan):
        raise ValueError("structures needs a scan with one set of coil maps: they go through A")
    rows = []
    for name, d in structures.items():
        d = _check.array(f"structures[{name!r}]", d, shape=picture.shape, complex_=False, nonzero=True)
        d = backend.to_numpy(d)
        d = d * backend.unit(picture) if d.dtype.kind != "c" else d  # a change of the magnitude
        there = [k for k, r in enumerate(whites) if r is not None]
        scans, images = scan.parts(each), split(scan, d, each)
        sights, parts = [sight_of(scans[k], noise) for k in there], [images[k] for k in there]
        energy = [float(np.linalg.norm(p)) ** 2 for p in parts]
        if not any(energy):
            raise ValueError(f"structures[{name!r}] lies where the scan holds nothing: there is nothing to look for")
        traces, lengths = [s.trace(p) for s, p in zip(sights, parts)], [s.lengths(p) for s, p in zip(sights, parts)]
        reach = float(np.sqrt(sum(np.linalg.norm(t) ** 2 for t in traces)))
        agree = float(sum(backend.dot(t, whites[k]) for t, k in zip(traces, there)))
        excess = agree / max(reach, 1e-300)
        fixed = float(np.average([s.determined(p) for s, p in zip(sights, parts)], weights=energy))
        if reach < CLEAR:
            verdict = "cannot be judged: too little of it reaches the samples"
        elif excess > CLEAR:
            verdict = "contradicts the data"
        else:
            verdict = "the data do not contradict it" + (", nor do they determine it" if fixed < LOW else "")
        part, full = (np.sqrt(sum(n[i] ** 2 for n in lengths)) for i in (0, 1))
        rows.append({"structure": str(name), "seen": float(part / full) if full else 0.0, "determined": fixed,
                     "reach": reach, "excess": excess, "unsupported": excess / reach if reach >= CLEAR else None,
                     "verdict": verdict})
    return tuple(rows)
