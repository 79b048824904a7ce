"""RAKI: lattices and holes by hand, the linear variant as GRAPPA, fits that resume, stop and diverge."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from conftest import data_path
from helpers import refused
from helpers import simulate as phantom

import pisolve as pi
from pisolve import calib, cli
from pisolve.backend import adam
from pisolve.calib import RakiWeights, _raki_fit, _raki_net, raki
from pisolve.calib._geometry import lattice_of
from pisolve.recipe import named
from pisolve.testing import distance

SHAPE = (40, 37)
pytestmark = pytest.mark.usefixtures("one_thread")


def lattice(ry=1, rx=1, shift=0, offset=0, shape=SHAPE):
    """Every ry-th line from `offset`, every rx-th column, moved by `shift` from line to line."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    step, rest = np.divmod(y - offset, ry)
    return (rest == 0) & ((x - shift * step) % rx == 0)


CASES = {  # name: (lattice, shape of the calibration block, window in which GRAPPA sees the same samples)
    "r2": (lattice(2), (16, 37), (3, 5)),
    "r3": (lattice(3, offset=1), (16, 37), (5, 5)),
    "r4-four-lines": (lattice(4, offset=2), (24, 37), (15, 3)),
    "r5": (lattice(5, offset=3), (20, 37), (9, 3)),
    "kx": (lattice(1, 3), (40, 16), (5, 5)),
    "2x2": (lattice(2, 2), (16, 16), (3, 5)),
    "3x2": (lattice(3, 2), (18, 16), (5, 5)),
    "caipi": (lattice(2, 2, 1), (16, 16), (5, 5)),
    "caipi-3": (lattice(2, 3, 2), (18, 18), (5, 7)),
}
ALL = pytest.mark.parametrize("name", CASES)
FORMS = {  # name: options
    "per-coil": {}, "joint": {"per_coil": False, "channels": (12, 6)}, "complex": {"complex_valued": True},
    "complex-joint": {"complex_valued": True, "per_coil": False}, "residual": {"variant": "residual"},
    "residual-joint-complex": {"variant": "residual", "per_coil": False, "complex_valued": True},
}


def data(coils=3, noise=1e-3):
    return phantom(coils, SHAPE, noise)


def block(kspace, size):
    return kspace[(slice(None), *(slice(n // 2 - s // 2, n // 2 - s // 2 + s) for n, s in zip(SHAPE, size)))].copy()


def scan(coils=3, accel=2, lines=16, noise=1e-3):
    """(full k-space, mask with calibration lines)."""
    mask = lattice(accel, offset=20 % accel)
    mask[20 - lines // 2:20 + lines // 2] = True
    return data(coils, noise), mask


def quick(kspace, mask, block=None, **options):
    return raki(kspace, mask, block, **{"iterations": 60, "channels": (6, 4), **options})


# the lattice -----------------------------------------------------------------------------------------------------


@ALL
def test_every_hole_belongs_to_one_cell_and_layers_stay_on_the_lattice(name):
    mask = CASES[name][0]
    found = lattice_of(mask)
    at, holes = _raki_net.anchors(found, SHAPE), _raki_net.cell(found)
    where = _raki_net.index(at, np.concatenate([[[0, 0]], holes]), SHAPE)
    count = np.bincount(where[where < mask.size], minlength=mask.size)
    assert (count == 1).all()  # every sample once: as an anchor or as a hole
    assert mask.ravel()[where[:, 0][where[:, 0] < mask.size]].all()
    for size in ((2, 3), (3, 4)):
        taps = _raki_net.taps(found, size)
        seen = _raki_net.index(at, taps, SHAPE)
        assert mask.ravel()[seen[seen < mask.size]].all()
        assert len(np.unique(taps, axis=0)) == size[0] * size[1]


@ALL
@pytest.mark.parametrize("form", ["per-coil", "complex-joint", "residual"])
def test_only_the_lattice_is_read(name, form, rng):
    mask, size, _ = CASES[name]
    kspace = data()
    weights = quick(kspace * mask, mask, block(kspace, size), iterations=1, **FORMS[form])
    junk = np.where(mask, kspace, 1e3 * rng.standard_normal(kspace.shape)).astype(np.complex64)
    filled = weights(junk)
    assert np.array_equal(filled[:, mask], kspace[:, mask])
    assert np.array_equal(filled, weights(kspace * mask))
    assert np.isfinite(filled).all()
    assert (filled[:, ~mask] != 0).mean() > 0.9


# the formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_forward_is_the_textbooks_convolutions(form):
    """Against sums over shifted copies of k-space, at every sample in place of the lattice's alone."""
    kspace, mask = scan(4, accel=3, lines=20)
    weights = quick(kspace * mask, mask, **FORMS[form] | {"iterations": 1, "window": (5, 5)})
    net, accel = weights.net, 3
    y = torch.from_numpy(kspace * lattice(3, offset=20 % 3)).to(torch.complex128)
    parts = [torch.from_numpy(w) for w in np.split(weights.theta.astype(float), np.cumsum(
        [np.prod(s) for s in net.shapes()])[:-1])]
    parts = [w.reshape(s) for w, s in zip(parts, net.shapes())]
    linear = torch.view_as_complex(parts.pop()) if len(net.linear) else None

    def conv(x, weight, taps):
        """sum over taps and inputs; x (in, ky, kx), weight (tap, in, out), zeros outside."""
        out = torch.zeros(weight.shape[-1], *x.shape[1:], dtype=x.dtype)
        big = torch.nn.functional.pad(x, (20, 20, 20, 20))
        for w, (dy, dx) in zip(weight, taps.tolist()):
            out += torch.einsum("iyx,io->oyx", big[:, 20 + dy:20 + dy + x.shape[1], 20 + dx:20 + dx + x.shape[2]], w)
        return out

    def relu(x):
        return torch.complex(x.real.relu(), x.imag.relu()) if x.is_complex() else x.relu()

    first, middle, last = (torch.view_as_complex(w.contiguous()) if net.complex else w for w in parts)
    x = y if net.complex else torch.cat([y.real, y.imag])
    big = torch.nn.functional.pad(x, (12, 12, 12, 12))  # hidden values outside of k-space count, too
    hidden = relu(conv(big, first, net.first))
    out = []
    for g in range(net.groups):
        a = middle.shape[2]
        h = relu(torch.einsum("iyx,io->oyx", hidden[g * a:(g + 1) * a], middle[g, 0]))
        one = conv(h, last[g], net.last)
        half = len(one) // 2
        out.append(one if net.complex else torch.complex(one[:half], one[half:]))
    out = torch.cat(out)[:, 12:-12, 12:-12]  # (coil * hole, ky, kx) at the anchors
    if linear is not None:
        out = out + conv(y, linear, net.linear)
    out = out.reshape(4, len(net.holes), *SHAPE)
    expected = kspace * mask
    for y0 in range(20 % accel, SHAPE[0], accel):
        for n, (dy, _) in enumerate(net.holes):
            if y0 + dy < SHAPE[0] and not mask[y0 + dy, 0]:
                expected[:, y0 + dy] = out[:, n, y0]
    filled = weights(kspace * mask)
    inside = slice(20 % accel, None)  # cells that begin above the first line have their anchor outside
    assert distance(filled[:, inside], expected[:, inside]) < 1e-5


@ALL
def test_the_linear_variant_is_grappa(name):
    """Where the window does not leave k-space: GRAPPA fits other weights for cut windows, a convolution has none."""
    mask, size, window = CASES[name]
    kspace = data(4, noise=0.02)
    cal = block(kspace, size)
    weights = raki(kspace * mask, mask, cal, variant="linear", window=window)
    other = calib.grappa(kspace * mask, mask, cal, kernel=window)
    by, bx = (k // 2 for k in window)
    inner = np.s_[:, by:SHAPE[0] - by, bx:SHAPE[1] - bx]
    assert distance(weights(kspace)[inner], other(kspace)[inner]) < 1e-5
    assert (weights.status, weights.history.size) == ("done", 0)


@pytest.mark.parametrize("accel", [4, 5])
@pytest.mark.parametrize("name", ["invivo_brain_cimax_16ch", "phantom_cimax_16ch"])
def test_the_linear_variant_is_grappa_on_real_scans(name, accel):
    """At the edge of k-space it is better than GRAPPA's cut windows, which amplify noise."""
    kspace = real(name)
    mask, cal = lattice(accel, offset=64 % accel, shape=kspace.shape[1:]), kspace[:, 48:80]
    filled = [w(kspace) for w in (raki(kspace * mask, mask, cal, variant="linear"),
                                  calib.grappa(kspace * mask, mask, cal, kernel=(2 * accel - 1, 5)))]
    inner = np.s_[:, accel:-accel, 2:-2]
    assert distance(filled[0][inner], filled[1][inner]) < 1e-4
    error = [distance(f, kspace) for f in filled]
    assert error[0] < error[1]


def real(name):
    with h5py.File(data_path(f"kspace/{name}.h5")) as file:
        return file["kspace"][0]


@pytest.mark.parametrize("form", ["per-coil", "joint", "complex", "complex-joint"])
def test_it_beats_grappa_where_that_is_limited_by_noise(form):
    brain, clean = (pi.phantom.brain(SHAPE, 8, noise=n, seed=3).kspace for n in (0.05, 0))
    mask = scan(accel=3, lines=20)[1]
    weights = raki(brain * mask, mask, iterations=200, **FORMS[form])
    other = calib.grappa(brain * mask, mask)
    assert distance(weights(brain), clean) < 0.95 * distance(other(brain), clean)
    assert weights.history[-1] < weights.history[0]
    assert weights.status == "done"


@pytest.mark.parametrize("form", ["residual", "residual-joint-complex"])
def test_the_residual_variant_starts_as_grappa_and_fits_better(form):
    kspace, mask = scan(3, accel=3, lines=20, noise=0.01)
    linear = raki(kspace * mask, mask, variant="linear")
    first = quick(kspace * mask, mask, iterations=1, lr=1e-12, **FORMS[form])
    assert distance(first(kspace), linear(kspace)) < 1e-5
    assert quick(kspace * mask, mask, iterations=100, **FORMS[form]).history[-1] < 0.9 * first.history[0]


def test_the_fit_minimises_what_grappa_minimises():
    """Adam gains next to nothing over the closed form, which was fitted to a few windows less."""
    kspace, mask = scan(3, accel=2, lines=20, noise=0.05)
    cal = block(kspace, (20, 37))
    weights = raki(kspace * mask, mask, cal, variant="linear", lam=0)
    module, loss = _raki_fit._loss(weights.net, cal.astype(complex), weights.theta.astype(float),
                                   kspace.astype(complex))
    start = float(loss(0).detach())
    adam.advance(module, loss, adam.begin(module), 300, 1e-4)
    assert start < 0.9
    assert 0.99 * start < float(loss(0).detach()) <= start * (1 + 1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_any_scale_any_kind_any_frames(form, scale):
    kspace, mask = scan()
    weights = quick(kspace * mask, mask, **FORMS[form])
    filled = weights(kspace)
    scaled = quick(kspace * mask * np.float32(scale), mask, **FORMS[form])
    assert distance(scaled(kspace), filled) < 1e-3
    assert distance(weights(kspace * np.float32(scale)) / scale, filled) < 1e-5
    double = quick((kspace * mask).astype(np.complex128), mask, **FORMS[form])(kspace.astype(np.complex128))
    assert double.dtype == np.complex128
    assert distance(double, filled) < 1e-2
    tensor = weights(torch.from_numpy(kspace))
    assert torch.is_tensor(tensor)
    assert np.array_equal(tensor.numpy(), filled)
    turned = torch.from_numpy(np.ascontiguousarray(kspace.T)).permute(2, 1, 0)
    assert np.array_equal(weights(turned).numpy(), filled)
    frames = weights(np.stack([kspace, 2 * kspace]))
    assert distance(frames[1], 2 * filled) < 1e-5
    assert not weights(np.zeros_like(kspace)).any()


def test_kx_is_ky_turned():
    kspace, mask = data(), CASES["r3"][0]
    turned = [np.ascontiguousarray(x.swapaxes(-1, -2)) for x in (kspace, mask, block(kspace, (16, 37)))]
    options = {"kernel": (2, 3), "last": (2, 3), "variant": "residual", "iterations": 100}
    one = quick(kspace * mask, mask, block(kspace, (16, 37)), **options)
    other = quick(turned[0] * turned[1], turned[1], turned[2], **options | {"kernel": (3, 2), "last": (3, 2)})
    assert distance(other(turned[0]).swapaxes(-1, -2), one(kspace)) < 0.1  # by other first weights


def test_full_and_lattice_masks():
    kspace = data()
    full = raki(kspace, np.ones(SHAPE, bool))
    assert np.array_equal(full(kspace), kspace)
    mask = lattice(2)
    cal = block(kspace, (16, 37))
    assert quick(kspace * mask, None, cal).status == quick(kspace * mask, mask[:, :1], cal).status == "done"


def test_nothing_is_changed_and_the_same_call_gives_the_same_bits():
    kspace, mask = scan()
    y, m = kspace * mask, mask.copy()
    one, other, third = quick(y, mask), quick(y, mask), quick(y, mask, seed=1)
    assert np.array_equal(one.theta, other.theta)
    assert not np.array_equal(one.theta, third.theta)
    assert np.array_equal(y, kspace * m)
    assert np.array_equal(mask, m)


# fits that are interrupted ----------------------------------------------------------------------------------------


def test_checkpoint_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    kspace, mask = scan()
    whole = quick(kspace * mask, mask, iterations=170)
    path, advance, calls = tmp_path / "c.npz", adam.advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advance(*arguments)

    monkeypatch.setattr(adam, "advance", interrupted)
    part = quick(kspace * mask, mask, iterations=170, checkpoint=path)
    assert part.status == "stopped"
    assert len(part.history) == 4  # first, two parts, last
    assert part.history[-1] < part.history[0]
    monkeypatch.setattr(adam, "advance", advance)
    again = quick(kspace * mask, mask, iterations=170, checkpoint=path)
    assert again.status == "done"
    assert np.array_equal(again.theta, whole.theta)
    assert np.array_equal(again.history, whole.history)
    assert np.array_equal(quick(kspace * mask, mask, iterations=170, checkpoint=path).theta, whole.theta)
    refused(lambda: quick(kspace * mask, mask, iterations=170, seed=1, checkpoint=path), ValueError, "of another fit")
    written = bytearray(path.read_bytes())
    with np.load(path) as found:
        at = written.find(found["best"].tobytes())
    written[at + 2] ^= 1  # one bit of the weights
    path.write_bytes(written)
    refused(lambda: quick(kspace * mask, mask, iterations=170, checkpoint=path), ValueError, "damaged")
    path.write_bytes(b"nothing")
    refused(lambda: quick(kspace * mask, mask, checkpoint=path), ValueError, "cannot be read as .npz")


KILLED = """
import os, sys, numpy as np, torch
torch.set_num_threads(1)
from pisolve.backend import adam
from pisolve.calib import raki
advance, calls = adam.advance, []
def killed(*arguments):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), 9)
    return advance(*arguments)
adam.advance = killed
with np.load(sys.argv[1]) as f: y, mask = f["y"], f["mask"]
raki(y, mask, channels=(6, 4), iterations=300, checkpoint=sys.argv[2])
"""


def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path):
    kspace, mask = scan()
    names = [str(tmp_path / n) for n in ("data.npz", "c.npz")]
    np.savez(names[0], y=kspace * mask, mask=mask)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, *names], env=one_thread, check=False)
    assert done.returncode == -signal.SIGKILL
    with np.load(names[1]) as file:
        assert file["t"] == 150
    weights = quick(kspace * mask, mask, iterations=300, checkpoint=names[1])
    assert np.array_equal(weights.theta, quick(kspace * mask, mask, iterations=300).theta)


def test_ctrl_c_before_anything_is_there(monkeypatch):
    kspace, mask = scan()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(adam, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(kspace * mask, mask)


@pytest.mark.parametrize("lr", [30.0, 1e18])
@pytest.mark.parametrize("variant", ["raki", "residual"])
def test_a_fit_that_diverges_says_so(lr, variant):
    kspace, mask = scan()
    weights = quick(kspace * mask, mask, variant=variant, lr=lr, iterations=120)
    assert weights.status == "diverged"
    assert np.isfinite(weights.theta).all()
    method, one = pi.Raki(variant=variant, lr=lr, channels=(6, 4), iterations=120), pi.io.Scan(kspace * mask, mask)
    for call in (lambda: pi.recon(one, method=method), lambda: pi.Recipe(method=method)(one)):
        with pytest.warns(UserWarning, match="RAKI's fit diverged .* give a smaller lr than") as told:
            done = call()
        assert told[-1].filename == __file__
        assert (done.status, done.results[0].status, done.ok) == ("diverged", "diverged", False)
        assert np.isfinite(done.x).all()


def test_one_slice_that_diverges_is_the_status_of_all(monkeypatch):
    kspace, mask = scan()
    fitted, calls = calib.raki, []

    def second_diverges(*arguments, **options):
        calls.append(1)
        return fitted(*arguments, **options | {"lr": 30.0 if len(calls) == 2 else 3e-3})

    monkeypatch.setattr(calib, "raki", second_diverges)
    with pytest.warns(UserWarning, match="RAKI's fit diverged"):
        done = pi.recon(pi.io.Scan(np.stack([kspace * mask] * 3), mask), method=pi.Raki(channels=(6, 4), iterations=60))
    assert done.status == "diverged"
    assert [r.status for r in done.results] == ["converged", "diverged", "converged"]


@pytest.mark.parametrize("variant", ["raki", "residual"])
def test_the_loss_after_the_last_step_counts(variant):
    """One large step: no part's mean has it, for a loss is taken before its step."""
    kspace, mask = scan()
    bad = quick(kspace * mask, mask, variant=variant, lr=30.0, iterations=1)
    assert bad.history[1] == bad.history[0] < bad.history[2]
    assert bad.status == "diverged"
    good = quick(kspace * mask, mask, variant=variant, iterations=1, lr=1e-12)
    assert distance(bad(kspace), good(kspace)) < 1e-5  # the first weights, the best there were


@pytest.mark.parametrize("form", FORMS)
def test_the_history_ends_with_the_loss_of_the_last_weights(form):
    """Counted over filled k-space: every cell whose samples lie inside of the calibration data, from either lattice."""
    kspace = data(noise=0.02)
    weights = quick(kspace * lattice(2), lattice(2), kspace, iterations=120, **FORMS[form])
    assert len(weights.history) == 5
    assert weights.history[-1] == weights.history[1:].min()  # so these weights are the last
    low, high = (getattr(weights.net.seen(), end)(0) for end in ("min", "max"))
    (hole,), error, energy = weights.net.holes, 0, 0
    for offset in (0, 1):
        missed = replace(weights, mask=lattice(2, offset=offset))(kspace) - kspace
        for y in range(offset, SHAPE[0], 2):
            if y + low[0] >= 0 and y + high[0] < SHAPE[0]:
                at = np.s_[:, y + hole[0], -low[1] + hole[1]:SHAPE[1] - high[1] + hole[1]]
                error, energy = error + np.sum(abs(missed[at])**2), energy + np.sum(abs(kspace[at])**2)
    assert weights.history[-1] == pytest.approx(error / energy, rel=1e-3)


def test_ctrl_c_ends_a_recipe(monkeypatch, tmp_path):
    """`calib.raki` gives what it has; a recipe, and a comparison, must not take half a fit for a whole one."""
    kspace, mask = scan()
    advance, calls = adam.advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return advance(*arguments)

    monkeypatch.setattr(adam, "advance", interrupted)
    assert quick(kspace * mask, mask, iterations=170).status == "stopped"
    grown = quick(kspace * mask, mask, iterations=170, variant="residual", lr=0.06)
    assert grown.history[-1] > grown.history[0]
    assert grown.status == "stopped"  # not "diverged": it was not at its end
    recipe, options = pi.Recipe(method=pi.Raki(channels=(6, 4), iterations=170)), {"accel": 2, "mask": "equispaced"}
    with pytest.raises(KeyboardInterrupt):
        recipe(pi.io.Scan(kspace * mask, mask))
    with pytest.raises(KeyboardInterrupt):
        pi.compare(kspace, {"raki": recipe}, **options, center_fraction=0.4, folder=tmp_path)
    monkeypatch.setattr(adam, "advance", advance)
    result = pi.compare(kspace, {"raki": recipe}, **options, center_fraction=0.4, folder=tmp_path)
    whole = replace(recipe, sampling=pi.Sampling("equispaced", 2, 0.4))(kspace)
    np.testing.assert_array_equal(result.outcomes[0, "raki"].images[0], whole.x)  # of the half nothing is there


QUICK = {"channels": (6, 4), "iterations": 120}


@pytest.fixture
def volume():
    """Two undersampled slices."""
    kspace, mask = scan()
    return pi.io.Scan(np.stack([kspace, kspace[::-1]]) * mask, mask)


class Advance:
    """`adam.advance` that counts its calls, and is cut off in the one of number `last`."""

    run = staticmethod(adam.advance)

    def __init__(self, last=None, error=KeyboardInterrupt):
        self.last, self.error, self.calls = last, error, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == self.last:
            raise self.error
        return self.run(*arguments)


@pytest.mark.parametrize("variant", ["raki", "residual"])
@pytest.mark.parametrize(("last", "kept", "error"), [  # by the user, or as by a kill: nothing is tidied up
    (1, [], KeyboardInterrupt), (3, [100], KeyboardInterrupt), (3, [100], SystemError), (5, [120, 50], SystemError)])
def test_a_recipe_goes_on_from_its_checkpoint(volume, variant, last, kept, error, tmp_path, monkeypatch):
    recipe = pi.Recipe(method=pi.Raki(variant=variant, **QUICK))
    whole, folder = recipe(volume), tmp_path / "c"
    monkeypatch.setattr(adam, "advance", Advance(last, error))
    with pytest.raises(error):
        recipe(volume, checkpoint=folder)
    found = sorted(folder.glob("fit_*.npz"))
    assert [int(np.load(path)["t"]) for path in found] == kept
    monkeypatch.setattr(adam, "advance", counted := Advance())
    again = recipe(volume, checkpoint=folder)
    assert counted.calls == 6 - sum(-(-t // 50) for t in kept)  # three parts a slice
    assert np.array_equal(again.x, whole.x)
    assert again.status == whole.status
    third = recipe(volume, checkpoint=folder)  # a finished one
    assert counted.calls == 6 - sum(-(-t // 50) for t in kept)
    assert np.array_equal(third.x, whole.x)


def test_the_folder_belongs_to_one_scan_and_recipe(volume, tmp_path, monkeypatch):
    recipe = pi.Recipe(method=pi.Raki(**QUICK))
    monkeypatch.setattr(adam, "advance", Advance(2))
    with pytest.raises(KeyboardInterrupt):
        recipe(volume, checkpoint=tmp_path)
    for other, what in ((pi.Recipe(method=pi.Raki(**QUICK, seed=1)), "recipe"), (pi.Recipe(method=pi.Raki(
            variant="residual", **QUICK)), "recipe"), (recipe, "scan")):
        data = volume if what == "recipe" else replace(volume, kspace=2 * volume.kspace)
        refused(lambda o=other, d=data: o(d, checkpoint=tmp_path), ValueError, f"is of another {what}")
    (tmp_path / "fit_0.npz").write_bytes(b"nothing")
    refused(lambda: recipe(volume, checkpoint=tmp_path), ValueError, "fit_0.npz")


def test_what_is_refused_does_not_take_the_folder(volume, tmp_path):
    lines = volume.mask.copy()
    lines[3], lines[6] = True, False
    wrong = replace(volume, kspace=volume.kspace * lines, mask=lines)
    recipe = pi.Recipe(method=pi.Raki(**QUICK))
    refused(lambda: recipe(wrong, checkpoint=tmp_path), ValueError, "no regular lattice")
    assert not list(tmp_path.iterdir())
    assert recipe(volume, checkpoint=tmp_path).ok
    kept = sorted(tmp_path.iterdir())
    refused(lambda: recipe(wrong, checkpoint=tmp_path), ValueError, "of another scan")
    assert sorted(tmp_path.iterdir()) == kept


def test_a_fit_that_diverged_is_so_from_its_checkpoint(tmp_path):
    kspace, mask = scan()
    for _ in range(2):
        with pytest.warns(UserWarning, match="RAKI's fit diverged"):
            done = pi.recon(pi.io.Scan(kspace * mask, mask), method=pi.Raki(lr=30.0, **QUICK), checkpoint=tmp_path)
        assert done.status == "diverged"


def test_the_bar_says_which_slice_and_its_loss(volume, capsys):
    recipe = pi.Recipe(method=pi.Raki(**QUICK))
    recipe(volume)
    assert "RAKI" not in capsys.readouterr().err
    recipe(volume, progress=True)
    told = capsys.readouterr().err
    loss = quick(volume.kspace[1], volume.mask, iterations=120).history[-2]  # of the last part
    for words in ("RAKI, slice 1 of 2:", "RAKI, slice 2 of 2:", "/120", f"loss={loss:.3g}"):
        assert words in told
    recipe(volume.select(0), progress=True)
    assert "RAKI:" in capsys.readouterr().err


def test_slices_that_are_made_again_find_their_own_fit(volume, monkeypatch, tmp_path):
    """On a GPU models wait in turns: their order is that of the slices, again and again."""
    asked = []
    monkeypatch.setattr(pi.Raki, "__call__", lambda self, *a, checkpoint, progress: asked.append(
        (checkpoint.name, progress)))
    fit = pi.Raki().watched(3, progress=True, folder=tmp_path)
    for _ in range(6):
        fit(None)
    assert asked == 2 * [(f"fit_{z}.npz", f"RAKI, slice {z + 1} of 3") for z in range(3)]
    for method in (pi.Sense(), pi.Grappa(), pi.Spirit()):
        assert method.watched(3, progress=True, folder=tmp_path) is method


@pytest.mark.parametrize("method", [pi.Sense(), pi.Grappa(), pi.Raki(variant="linear"), pi.Spirit()])
def test_seconds_count_the_fit(method, volume, clock):
    """By a clock that stands still but for the maps, the fit of each slice and the steps of solving."""
    clock(calib, "espirit", 1000)
    clock(pi.recipe.recipe, "solve", 7)
    for name in ("grappa", "raki", "spirit_kernel"):
        clock(calib, name, 100)
    found = pi.Recipe(pi.Zero(), method=method, max_iter=2)(volume).seconds
    maps, fit = 1000 * method.needs_maps, {"fit": 200} if method.fits else {}
    assert found == {"maps": maps, **fit, "solve": 14}
    assert list(found) == ["maps", *fit, "solve"]


@pytest.mark.parametrize("tune", pi.tuning.CRITERIA)
@pytest.mark.parametrize("name", ["Grappa", "Raki"])
def test_strengths_are_not_tuned_on_filled_data(tune, name):
    refused(lambda: pi.Recipe(pi.TV(), method=getattr(pi, name)(), tune=tune), ValueError,
            f"tune='{tune}' is for SENSE: held-out samples break what {name} fills, and its noise is not "
            "white: give the prior a strength, or take Sense()")


def test_held_back_samples_are_told():
    """Where a recipe is judged by samples that it does not see, the lattice is no longer one."""
    kspace, mask = scan()
    one = pi.io.Scan(kspace * mask, mask)
    refused(lambda: pi.evaluate.holdout_error(pi.Recipe(method=pi.Raki(**QUICK)), one), ValueError,
            "recipe has RAKI, which fills a lattice that withheld samples break")


# files and recipes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [*FORMS, "linear"])
def test_weights_are_saved(form, tmp_path):
    kspace, mask = scan()
    weights = quick(kspace * mask, mask, **FORMS.get(form, {"variant": "linear"}))
    weights.save(tmp_path / "w.npz")
    again = RakiWeights.load(tmp_path / "w.npz")
    assert np.array_equal(again(kspace), weights(kspace))
    assert (again.status, again.history.tolist()) == (weights.status, weights.history.tolist())
    with np.load(tmp_path / "w.npz") as file:
        parts = dict(file)
    for name, value in (("theta", parts["theta"][1:]), ("mask", ~mask), ("channels", np.array([1, 2, 3])),
                        ("first", np.zeros(3)), ("theta", parts["theta"] * np.nan), ("mask", mask.astype(float))):
        np.savez(tmp_path / "bad.npz", **parts | {name: value})
        refused(lambda: RakiWeights.load(tmp_path / "bad.npz"), ValueError, "holds no RAKI weights")
    np.savez(tmp_path / "bad.npz", mask=mask)
    refused(lambda: RakiWeights.load(tmp_path / "bad.npz"), ValueError, "holds no RAKI weights")


def test_in_a_recipe(tmp_path):
    kspace, mask = scan(4, accel=2, lines=20)
    method = pi.Raki(variant="residual", channels=[6, 4], kernel=[2, 3], iterations=50)
    recipe = pi.Recipe(method=method)
    assert isinstance(recipe.prior, pi.Zero)
    again = pi.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again.method == method
    scans = pi.io.Scan(kspace[None] * mask, mask)
    done = recipe(scans)
    assert np.array_equal(again(scans).x, done.x)
    by_hand = calib.raki(kspace * mask, mask, variant="residual", channels=(6, 4), kernel=(2, 3), iterations=50)
    mps = calib.espirit(kspace * mask, mask=mask)
    expected = (mps.conj() * pi.backend.fft(by_hand(kspace * mask), (-2, -1), inverse=True)).sum(0)
    assert distance(done.x[0], expected) < 1e-3
    noise = pi.noise_map(recipe, scans, replicas=2, covariance=1e-6)
    assert np.isfinite(noise.std).all()


def test_by_its_name(tmp_path, monkeypatch):
    assert named.named("raki").method == pi.Raki()
    assert "raki" in named.words()
    kspace, mask = scan(4, accel=2, lines=20)
    pi.io.save_mrd(tmp_path / "scan.mrd", pi.io.Scan(kspace[None] * mask, mask))
    monkeypatch.setattr(pi.Raki, "__init__", lambda self: [object.__setattr__(self, n, v) for n, v in {
        **{f: pi.Raki.__dataclass_fields__[f].default for f in pi.Raki.__dataclass_fields__},
        "iterations": 50, "channels": (4, 4)}.items()] and None)
    out = str(tmp_path / "out.npy")
    assert cli.main(["recon", str(tmp_path / "scan.mrd"), "-o", out, "--method", "raki", "--no-progress"]) == 0
    assert np.isfinite(np.load(out)).all()


def test_a_variant_by_its_word(tmp_path, capsys):
    """`--variant`, through to the recipe that stands in the image's file."""
    kspace, mask = scan(4, accel=2, lines=20)
    source, out = str(tmp_path / "scan.mrd"), str(tmp_path / "out.h5")
    pi.io.save_mrd(source, pi.io.Scan(kspace[None] * mask, mask))
    words = ["recon", source, "-o", out, "--no-progress", "--method", "raki"]
    assert cli.main([*words, "--variant", "linear"]) == 0
    printed = capsys.readouterr().out
    assert "fit " in printed
    assert "Raki(variant='linear')" in printed
    with h5py.File(out) as file:
        recipe = pi.Recipe.from_dict(json.loads(file.attrs["recipe"]))
        image = next(v for v in file.values() if isinstance(v, h5py.Dataset))[()]
    assert recipe.method == pi.Raki(variant="linear")
    assert np.array_equal(image.reshape(SHAPE), pi.Recipe(method=pi.Raki(variant="linear"))(source).x.reshape(SHAPE))
    for given, told in ((["--method", "grappa", "--variant", "linear"], "--variant linear is for --method raki, not"),
                        (["--variant", "raki"], "is for --method raki, not for sense"),
                        (["--method", "zs-ssl", "--variant", "raki"], "no effect on --method zs-ssl"),
                        (["--method", "raki", "--variant", "best"], "invalid choice: 'best'"),
                        (["--method", "raki", "--prior", "tv", "--lam", "auto"], "is for SENSE: held-out samples"),
                        (["--recipe", out, "--variant", "raki"], "--variant beside --recipe")):
        assert cli.main(["recon", source, "-o", f"{out}.npy", *given]) == 2
        assert told in capsys.readouterr().err


# bad input --------------------------------------------------------------------------------------------------------


def bad():
    kspace, mask = scan()
    y = kspace * mask
    rng = np.random.default_rng(0)
    lines = mask | (rng.random((SHAPE[0], 1)) < 0.5)
    hole = y.copy()
    hole[0, 20, 20] = np.nan
    V, T = ValueError, TypeError
    return {
        "random lines": (lambda: raki(kspace * lines, lines), V, "(Spirit())"),
        "random points": (lambda: raki(kspace, rng.random(SHAPE) < 0.4), V, "(Spirit())"),
        "centre alone": (lambda: raki(y, np.pad(np.ones((20, 17), bool), 10)), V, "no regular lattice"),
        "few lines": (lambda: raki(*few(2)), V, "kspace needs at least 5 x 7 (kernel and last) fully sampled samples "
                      "around the centre: give more calibration lines, calib=... from another scan, or a smaller "
                      "kernel and last"),
        "few lines, linear": (lambda: raki(*few(0), variant="linear"), V, "needs at least 3 x 5 (window) fully"),
        "small calib": (lambda: raki(y, mask, y[:, :4, :9]), V, "calib has 4 x 9 samples, fewer than the kernel and "
                        "last 5 x 7: give more calibration lines or a smaller kernel and last"),
        "small calib, linear": (lambda: raki(y, mask, y[:, :2], variant="linear"), V, "fewer than the window 3 x 5"),
        "other coils": (lambda: raki(y, mask, y[:2]), V, "calib has 2 coils"),
        "NaN": (lambda: raki(hole, mask), V, "NaN"),
        "zeros": (lambda: raki(0 * y, mask), V, "zero everywhere"),
        "a list": (lambda: raki(y.tolist()), T, "kspace must be"),
        "slices": (lambda: raki(y[None], mask), V, "4 dimensions"),
        "mask": (lambda: raki(y, mask[:-1]), V, "mask has shape"),
        "variant": (lambda: raki(y, mask, variant="best"), V, "variant must be one of raki, residual, linear"),
        "per_coil": (lambda: raki(y, mask, per_coil=3), V, "per_coil"),
        "complex_valued": (lambda: raki(y, mask, complex_valued="yes"), V, "complex_valued"),
        "kernel": (lambda: raki(y, mask, kernel=5), T, "kernel"),
        "large kernel": (lambda: raki(y, mask, kernel=(2, 99)), V, "kernel must be two sizes"),
        "last": (lambda: raki(y, mask, last=(2,)), V, "last must be two sizes"),
        "window": (lambda: raki(y, mask, window=(1, 2, 3)), V, "window must be two sizes"),
        "blind window": (lambda: raki(y, mask, variant="linear", window=(1, 5)), V, "sees no measured sample"),
        "channels": (lambda: raki(y, mask, channels=(8, 0)), V, "channels"),
        "lam": (lambda: raki(y, mask, lam=-1), V, "lam must be"),
        "iterations": (lambda: raki(y, mask, iterations=0), V, "iterations"),
        "lr": (lambda: raki(y, mask, lr=0), V, "lr must be > 0"),
        "seed": (lambda: raki(y, mask, seed=-1), V, "seed"),
        "recipe's kernel": (lambda: pi.Raki(kernel=(0, 2)), V, "kernel"),
        "recipe's variant": (lambda: pi.Raki(variant=None), V, "variant"),
        "another size": (lambda: quick(y, mask, iterations=1)(y[:, :-1]), V, "fit others with calib.raki"),
        "another NaN": (lambda: quick(y, mask, iterations=1)(hole), V, "NaN"),
        "checkpoint": (lambda: quick(y, mask, checkpoint=3), T, "checkpoint must be the path of a .npz"),
        "no folder": (lambda: quick(y, mask, checkpoint="/nowhere/at/all.npz"), FileNotFoundError, "does not exist"),
    }


def few(lines):
    kspace, mask = scan(lines=lines)
    return kspace * mask, mask


@pytest.mark.parametrize("name", bad())
def test_bad_input_is_refused(name):
    call, kind, words = bad()[name]
    refused(call, kind, words)


def test_one_coil_warns():
    kspace, mask = scan(1)
    with pytest.warns(UserWarning, match="one coil"):
        raki(kspace * mask, mask, iterations=10)


def test_cuda_is_as_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    kspace, mask = scan()
    weights = quick(torch.from_numpy(kspace * mask).cuda(), mask)
    filled = weights(torch.from_numpy(kspace).cuda())
    assert filled.is_cuda
    assert distance(filled.cpu().numpy(), quick(kspace * mask, mask)(kspace)) < 1e-2
