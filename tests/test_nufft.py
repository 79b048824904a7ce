"""Points anywhere in k-space: against the direct sum, SigPy and BART; the Toeplitz operator; coordinates in torch."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sigpy
import torch
from cases import coord, maps

import pisolve as pi
from pisolve import linops, testing
from pisolve.io import cfl


def direct(x, k):
    """The sum itself, in double precision: images (..., *shape), points (..., axis)."""
    d = k.shape[-1]
    shape = x.shape[-d:]
    r = np.stack([g.ravel() - n // 2 for g, n in zip(np.indices(shape), shape)])
    E = np.exp(-2j * np.pi * (k.reshape(-1, d) / shape) @ r) / np.sqrt(r.shape[1])
    return (x.reshape(*x.shape[:-d], -1) @ E.T).reshape(*x.shape[:-d], *k.shape[:-1])


def radial(spokes, n):
    angles, r = np.arange(spokes) * np.pi * (1 - 5**0.5) / 2, (np.arange(2 * n) - n) / 2
    return np.stack([np.outer(np.sin(angles), r), np.outer(np.cos(angles), r)], -1)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("shape", [(17,), (16, 16), (15, 22), (2, 9, 12), (6, 7, 8)])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_nufft_equals_the_direct_sum(shape, eps, dtype, rng):
    size = shape if shape != (2, 9, 12) else shape[1:]
    k = coord(3, 40, size=size)
    A = linops.nufft(shape, k, eps=eps)
    x = testing.random(shape, rng, dtype)
    y = A(x)
    assert y.dtype == dtype
    assert y.shape == (*shape[:len(shape) - len(size)], 3, 40)
    limit = max(eps, 1e-7 if dtype == "complex64" else 0)
    assert testing.distance(y, direct(x.astype(complex), k)) < limit
    assert testing.distance(A.N(x), A.H(A(x.astype(complex)))) < 3 * limit


def test_the_default_is_good_to_1e_6_at_320_pixels(rng):
    k = radial(80, 320)
    A = linops.nufft((320, 320), k)
    x = testing.random((320, 320), rng)
    some = rng.integers(0, 640, 20)
    ref = direct(x.astype(complex), k[:, some[:1]].reshape(-1, 2))
    assert testing.distance(A(x)[:, some[0]], ref) < 1e-6


def test_at_the_points_of_the_grid_it_is_the_fft(rng):
    k = np.stack(np.meshgrid(np.arange(8) - 4, np.arange(9) - 4, indexing="ij"), -1)
    x = testing.random((8, 9), rng, "complex128")
    assert testing.distance(linops.nufft((8, 9), k, eps=1e-12)(x), linops.fft((8, 9))(x)) < 1e-11


@pytest.mark.parametrize("shape", [(24, 30), (10, 12, 14)])
def test_nufft_equals_sigpy_at_its_best(shape, rng):
    k = coord(300, size=shape)
    x = testing.random(shape, rng, "complex128")
    theirs = sigpy.nufft(x, k, oversamp=2, width=8)
    assert testing.distance(linops.nufft(shape, k)(x), theirs) < 1e-4


@pytest.mark.skipif(not shutil.which("bart"), reason="bart is not installed")
def test_nufft_equals_bart(tmp_path, rng):
    n = 32  # BART's transform is for images that end before the field of view does, and points that do not reach N / 2
    k = radial(20, n) * (1 - 2 / n)
    x = np.zeros((n, n), "c8")
    x[8:24, 8:24] = testing.random((16, 16), rng)
    _write(tmp_path / "x", x)
    traj = np.zeros((*k.shape[:-1], 3), complex)  # BART: (x, y, z) first
    traj[..., 0], traj[..., 1] = k[..., 1], k[..., 0]
    _write(tmp_path / "t", traj)
    subprocess.run(["bart", "nufft", "t", "x", "y"], cwd=tmp_path, check=True, capture_output=True)
    theirs = np.squeeze(cfl.read(tmp_path / "y"))
    ours = linops.nufft((n, n), k)(x)
    scale = np.vdot(theirs, ours) / np.vdot(theirs, theirs)
    assert abs(scale - 1) < 2e-3  # its kernel's
    assert testing.distance(scale * theirs, ours) < 1e-3


def _write(path, array):
    """BART's files; its first dimension is our last."""
    array.astype("<c8").tofile(f"{path}.cfl")
    sizes = [*array.shape[::-1], *[1] * (cfl.DIMS - array.ndim)]
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")


@pytest.mark.parametrize("shape", [(40, 36), (33, 61), (64, 64), (16, 18, 20), (15, 17, 19)])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_compiled_toeplitz_operator_equals_the_pair(shape, dtype, rng):
    A = linops.sense(maps(24, *shape, dtype=dtype), None, rng.random((30, 50)), coord=coord(30, 50, size=shape),
                     eps=1e-9)
    x = testing.random(shape, rng, dtype)
    tol = 1e-6 if dtype == "complex64" else 1e-8
    assert A.N.function.parts[0].compiled is not None
    assert testing.distance(A.N(x), A.H(A(x))) < tol
    wide = A.N(x.astype(complex))
    assert wide.dtype == complex
    assert testing.distance(wide, A.N(x)) < tol
    plain = linops.sense(maps(24, *shape), None, A.root**2, coord=A.coord, eps=1e-9)
    assert testing.distance(A.N(x), plain.H(plain(x.astype(complex)))) < tol


def test_frames_have_trajectories_of_their_own(rng):
    mps, k = maps(3, 12, 10), coord(4, 5, 6, size=(12, 10))
    A = linops.sense(mps, coord=k, axes=("frame", "coil", "spoke", "sample"), shape=(4, 3, 5, 6))
    assert A.iaxes == ("frame", "y", "x")
    x = testing.random(A.ishape, rng, "complex128")
    for t in range(4):
        one = linops.sense(mps, coord=k[t])
        np.testing.assert_allclose(A(x)[t], one(x[t]), atol=1e-12)
        np.testing.assert_allclose(A.N(x)[t], one.N(x[t]), atol=1e-12)
    pi.solve(A, A(x), 1e-3 * pi.TV(axes=("frame",)), max_iter=2)  # priors find their axis


def test_cg_finds_the_image_and_any_prior_takes_the_operator(rng):
    n = 48
    head = pi.phantom.brain((n, n), 6)
    mps = head.mps / np.sqrt((abs(head.mps) ** 2).sum(0))
    A = linops.sense(mps.astype("c8"), coord=radial(60, n))
    image = (head.image * (abs(mps).sum(0) > 0)).astype("c8")
    done = pi.solve(A, A(image), 1e-6 * pi.Tikhonov(), max_iter=60, tol=1e-6)
    r = np.hypot(*np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2)) <= n // 2
    inside = linops.fft((n, n))
    assert testing.distance(inside(done.x) * r, inside(image) * r) < 2e-2  # the corners of k-space were not measured
    for prior in (1e-3 * pi.TV(), 1e-3 * pi.Wavelet(), pi.PnP(lambda x, sigma: x, sigma=0.1)):
        assert np.isfinite(pi.solve(A, A(image), prior, max_iter=3).x).all()


PROGRAM = """
import hashlib, numpy as np
from pisolve import linops, testing
rng = np.random.default_rng(0)
k = (rng.random((40, 50, 2)) - 0.5) * 48
A = linops.sense(testing.random((9, 48, 48), rng), coord=k)
x = testing.random((48, 48), rng)
total = hashlib.sha256()
for _ in range(3):
    for array in (A(x), A.H(A(x)), A.N(x)):
        total.update(array)
print(total.hexdigest())
"""


def test_the_bits_do_not_depend_on_the_number_of_threads():
    found = {subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PISOLVE_THREADS": n}, check=True,
                            capture_output=True, text=True).stdout for n in ("1", "2", "3")}
    assert len(found) == 1


@pytest.mark.parametrize("adjoint", [False, True])
def test_gradients_with_respect_to_coordinates(adjoint, rng):
    k = torch.tensor(coord(5, size=(4, 3)), requires_grad=True)
    A = pi.as_torch(linops.nufft((2, 4, 3), k, eps=1e-14))
    A = A.H if adjoint else A
    x = torch.tensor(testing.random(A.ishape, rng, "complex128"), requires_grad=True)

    def f(x, k):
        B = pi.as_torch(linops.nufft((2, 4, 3), k, eps=1e-14))
        return (B.H if adjoint else B)(x)

    assert torch.autograd.gradcheck(f, (x, k), atol=1e-6)
    assert torch.autograd.gradgradcheck(f, (x, k), atol=1e-5)


@pytest.mark.parametrize("what", ["A", "A.H", "A.N"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("stack", [False, True])
def test_sense_gives_gradients_with_respect_to_coordinates(what, own, stack, rng):
    mps = maps(2, 2, 3, 2)  # (slice or coil, coil or z, y, x)
    k = torch.tensor(coord(2, 3, size=(3, 2)) if own else coord(3, size=(3, 2)), requires_grad=True)
    weights = rng.random(k.shape[:-1])
    names = {"axes": ("coil", "kz", "sample")} if stack else {"axes": ("frame", "coil", "sample")} if own else {}

    def part(k):
        A = linops.sense(mps, None, weights, coord=k, eps=1e-14, **names)
        return {"A": A, "A.H": A.H, "A.N": A.N}[what]

    x = torch.tensor(testing.random(part(k).ishape, rng, "complex128"), requires_grad=True)
    np.testing.assert_allclose(pi.as_torch(part(k))(x).detach(), part(k.detach())(x.detach().numpy()), atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, k: pi.as_torch(part(k))(x), (x, k), atol=1e-6)
    if own and what == "A":  # of the same transforms as `nufft`
        assert torch.autograd.gradgradcheck(lambda x, k: pi.as_torch(part(k))(x), (x, k), atol=1e-5)


@pytest.mark.parametrize(("change", "words"), [
    (lambda k: k / 32, "cycles.*Multiply it by N,"), (lambda k: k * 2 * np.pi / 32, r"radians.*N / \(2 pi\)"),
    (lambda k: k * 1e3, "Multiply them by 0.001"), (lambda k: k * 1.2, "leave out what lies outside"),
    (lambda k: k.reshape(-1, 2).T, r"coord.T"), (lambda k: np.where(k > 15, np.nan, k), "NaN"),
    (lambda k: k[..., [0, 1, 1, 1]], "coord"), (lambda k: k[:0], "coord")])
def test_coordinates_in_other_units_are_refused(change, words):
    k = np.concatenate([radial(9, 32), [[[16, 16]] * 64]])
    for make in (lambda k: linops.nufft((32, 32), k), lambda k: linops.sense(maps(2, 32, 32), coord=k)):
        with pytest.raises(ValueError, match=words):
            make(change(k))


def test_what_does_not_go_with_coordinates_is_refused():
    k = radial(9, 32)
    with pytest.raises(TypeError, match="real coordinates"):
        linops.nufft((32, 32), k.astype(complex))
    with pytest.raises(ValueError, match="mask beside coord"):
        linops.sense(maps(2, 32, 32), np.ones((32, 32), bool), coord=k)
    with pytest.raises(ValueError, match="weights"):
        linops.sense(maps(2, 32, 32), weights=-np.ones(k.shape[:-1]), coord=k)
    with pytest.raises(ValueError, match="give coordinates"):
        linops.sense(maps(2, 32, 32), coord=k, axes=("coil", "sample"))
