"""The contract tables: one line puts a linop, a prior or a solver under every law of `pisolve.testing`."""

import numpy as np

import pisolve as pi
from pisolve import calib, linops, signals
from pisolve.backend import fft


def maps(*shape, seed=0, dtype="complex128"):
    """Random coil maps, normalised to sum |S|^2 = 1."""
    rng = np.random.default_rng(seed)
    mps = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return (mps / np.sqrt((abs(mps) ** 2).sum(-3, keepdims=True))).astype(dtype)


def lines(n, seed=0):
    """A random half of n lines."""
    keep = np.random.default_rng(seed).permutation(n) < (n + 1) // 2
    return keep


def points(*shape, seed=0):
    """A random half of all points."""
    return np.random.default_rng(seed).random(shape) < 0.5


def coord(*shape, size, seed=0):
    """Random points of k-space (*shape, axis) for an image of this size."""
    size = np.array(size)
    return (np.random.default_rng(seed).random((*shape, len(size))) - 0.5) * size


def off_resonance(A, *shape):
    """A with a random field of the last two axes of its image, and times of this shape."""
    field = 200 * np.random.default_rng(3).random(A.ishape[-2:]) - 80
    return linops.off_resonance(A, field, 1e-3 + 3e-5 * np.arange(np.prod(shape)).reshape(shape), accuracy=1e-12)


def grappa_weights(mask, dtype):
    """Weights of random calibration data of 3 coils, for k-space of the size of `mask`."""
    return calib.grappa(maps(3, *mask.shape, dtype=dtype), mask, calib=maps(3, 9, 9, seed=1), kernel=(3, 5), lam=0.1)


def spirit_kernel(coils, size, dtype, seed=1):
    """A random kernel with 0 where a sample would predict itself."""
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((coils, coils, *size)) + 1j * rng.standard_normal((coils, coils, *size))
    g[np.arange(coils), np.arange(coils), size[0] // 2, size[1] // 2] = 0
    return (0.3 * g).astype(dtype)


def phi(frames, coefficients, seed=5):
    """A random basis (frame, coefficient), not orthogonal."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((frames, coefficients)) + 1j * rng.standard_normal((frames, coefficients))


def frames(mps, mask, count):
    """SENSE of a series of echoes that share their maps."""
    return linops.sense(mps, mask, shape=(count, *mps.shape), axes=("echo", "coil", "ky", "kx"))


# name: dtype -> linop; tiny, so that the dense matrix can be compared
LINOPS = {
    "identity": lambda d: linops.identity((5, 4)),
    "matrix": lambda d: linops.from_matrix(maps(2, 6, 20, dtype=d)[0], (5, 4), (2, 3)),
    "fft": lambda d: linops.fft((6, 5)),
    "fft-one-axis": lambda d: linops.fft((3, 6, 5), axes=(-2,)),
    "fft-three-axes": lambda d: linops.fft((3, 4, 5), axes=(0, 1, 2)),
    "sense": lambda d: linops.sense(maps(3, 6, 5, dtype=d)),
    "sense-ky": lambda d: linops.sense(maps(3, 6, 5, dtype=d), lines(6)[:, None]),
    "sense-kx": lambda d: linops.sense(maps(3, 6, 7, dtype=d), lines(7)[None, :]),
    "sense-full-shape-mask": lambda d: linops.sense(maps(3, 7, 4, dtype=d), np.repeat(lines(7)[:, None], 4, 1)),
    "sense-points": lambda d: linops.sense(maps(6, 7, 5, dtype=d), points(7, 5)),
    "sense-weights": lambda d: linops.sense(maps(2, 4, 6, dtype=d), weights=np.arange(24.0).reshape(4, 6)),
    "sense-mask-weights": lambda d: linops.sense(maps(2, 4, 6, dtype=d), points(4, 6), np.full((4, 6), 2.0)),
    "sense-one-coil": lambda d: linops.sense(maps(1, 5, 5, dtype=d), points(5, 5)),
    "sense-slices": lambda d: linops.sense(maps(2, 5, 4, 6, dtype=d), lines(4)[:, None]),
    "sense-slices-own-masks": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), points(2, 4, 5)),
    "sense-volume": lambda d: linops.sense(maps(3, 3, 4, 5, dtype=d), axes=("coil", "kz", "ky", "kx")),
    "sense-volume-two-axes": lambda d: linops.sense(maps(2, 4, 6, 5, dtype=d), points(4, 6, 1)),
    "sense-volume-points": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), points(3, 4, 5)),
    "sense-volume-kz": lambda d: linops.sense(maps(3, 4, 5, 3, dtype=d), lines(4)[:, None, None],
                                              axes=("coil", "kz", "ky", "kx")),
    "sense-frames": lambda d: linops.sense(maps(3, 6, 5, dtype=d), points(4, 6, 1), shape=(4, 3, 6, 5),
                                           axes=("frame", "coil", "ky", "kx")),
    "sense-frames-echoes": lambda d: linops.sense(maps(2, 5, 4, dtype=d), points(2, 1, 5, 4), shape=(2, 3, 2, 5, 4),
                                                  axes=("echo", "frame", "coil", "ky", "kx")),
    "sense-frames-of-slices": lambda d: linops.sense(maps(2, 2, 5, 4, dtype=d), points(2, 3, 5, 1),
                                                     axes=("slice", "frame", "coil", "ky", "kx"),
                                                     shape=(2, 3, 2, 5, 4)),
    "sense-frames-of-volumes": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), points(2, 3, 4, 1),
                                                      axes=("frame", "coil", "kz", "ky", "kx"), shape=(2, 2, 3, 4, 5)),
    "soft-sense-frames": lambda d: linops.soft_sense(maps(2, 3, 4, 5, dtype=d), points(3, 4, 1), shape=(3, 3, 4, 5),
                                                     axes=("frame", "coil", "ky", "kx")),
    "nufft": lambda d: linops.nufft((6, 5), coord(3, 8, size=(6, 5)), eps=1e-13),
    "nufft-1d": lambda d: linops.nufft((7,), coord(9, size=(7,)), eps=1e-13),
    "nufft-3d": lambda d: linops.nufft((3, 4, 5), coord(20, size=(3, 4, 5)), eps=1e-13),
    "nufft-slices": lambda d: linops.nufft((2, 5, 4), coord(11, size=(5, 4)), eps=1e-13),
    "nufft-single-precision": lambda d: linops.nufft((6, 5), coord(9, size=(6, 5)), eps=1e-4 if d == "complex64" else
                                                     1e-13),
    "sense-coord": lambda d: linops.sense(maps(3, 6, 5, dtype=d), coord=coord(4, 5, size=(6, 5)), eps=1e-13),
    "sense-coord-weights": lambda d: linops.sense(maps(2, 5, 6, dtype=d), None, np.arange(14.0).reshape(2, 7),
                                                  coord=coord(2, 7, size=(5, 6)), eps=1e-13),
    "sense-coord-3d": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), coord=coord(15, size=(3, 4, 5)), eps=1e-13),
    "sense-coord-slices": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), coord=coord(9, size=(4, 5)), eps=1e-13),
    "sense-coord-frames": lambda d: linops.sense(
        maps(2, 6, 5, dtype=d), None, 0.1 + np.arange(24.0).reshape(3, 2, 4), coord=coord(3, 2, 4, size=(6, 5)),
        axes=("frame", "coil", "spoke", "sample"), shape=(3, 2, 2, 4), eps=1e-13),
    "sense-coord-frames-alike": lambda d: linops.sense(
        maps(2, 6, 5, dtype=d), coord=coord(2, 4, size=(6, 5)), axes=("frame", "coil", "spoke", "sample"),
        shape=(3, 2, 2, 4), eps=1e-13),
    "circulant": lambda d: linops.circulant(linops.sense(maps(2, 5, 6, dtype=d), None, np.arange(14.0).reshape(2, 7),
                                                         coord=coord(2, 7, size=(5, 6)), eps=1e-13), 0.1),
    "off-resonance-nufft-slices": lambda d: off_resonance(linops.nufft((2, 3, 4), coord(2, 5, size=(3, 4)), eps=1e-13),
                                                          5),
    "off-resonance-sense": lambda d: linops.off_resonance(
        linops.sense(maps(2, 4, 3, dtype=d), points(4, 3)), 90 * np.sin(np.arange(12.0)).reshape(4, 3),
        3e-5 * np.arange(12.0).reshape(4, 3), accuracy=1e-12),
    "off-resonance-sense-frames": lambda d: off_resonance(linops.sense(
        maps(2, 4, 3, dtype=d), points(2, 4, 1), shape=(2, 2, 4, 3), axes=("frame", "coil", "ky", "kx")), 2, 4, 1),
    "off-resonance-coord": lambda d: off_resonance(linops.sense(
        maps(2, 4, 3, dtype=d), None, 1 + np.arange(10.0).reshape(2, 5), coord=coord(2, 5, size=(4, 3)), eps=1e-13), 5),
    "off-resonance-coord-3d": lambda d: off_resonance(linops.sense(
        maps(2, 2, 3, 3, dtype=d), coord=coord(8, size=(2, 3, 3)), eps=1e-13), 8),
    "off-resonance-coord-frames": lambda d: off_resonance(linops.sense(
        maps(2, 4, 3, dtype=d), coord=coord(2, 2, 3, size=(4, 3)), axes=("frame", "coil", "spoke", "sample"),
        shape=(2, 2, 2, 3), eps=1e-13), 2, 3),
    "off-resonance-times-of-frames": lambda d: off_resonance(linops.sense(
        maps(2, 4, 3, dtype=d), coord=coord(2, 3, size=(4, 3)), axes=("frame", "coil", "spoke", "sample"),
        shape=(2, 2, 2, 3), eps=1e-13), 2, 1, 3),
    "off-resonance-soft-sense": lambda d: off_resonance(linops.soft_sense(maps(2, 2, 4, 3, dtype=d)), 4, 1),
    "sense-coord-stack": lambda d: linops.sense(maps(2, 3, 4, 5, dtype=d), coord=coord(3, 4, size=(4, 5)),
                                                axes=("coil", "kz", "shot", "sample"), eps=1e-13),
    "sense-coord-stack-own": lambda d: linops.sense(
        maps(2, 3, 4, 5, dtype=d), None, 0.1 + np.arange(36.0).reshape(3, 3, 4), coord=coord(3, 3, 4, size=(4, 5)),
        axes=("coil", "kz", "shot", "sample"), eps=1e-13),
    "sense-coord-stack-frames": lambda d: linops.sense(
        maps(2, 3, 4, 5, dtype=d), coord=coord(2, 1, 3, 4, size=(4, 5)), shape=(2, 2, 3, 3, 4),
        axes=("frame", "coil", "kz", "shot", "sample"), eps=1e-13),
    "off-resonance-coord-stack": lambda d: off_resonance(linops.sense(
        maps(2, 2, 4, 3, dtype=d), coord=coord(2, 5, size=(4, 3)), axes=("coil", "kz", "shot", "sample"),
        eps=1e-13), 5),
    "off-resonance-coord-stack-own": lambda d: off_resonance(linops.sense(
        maps(2, 2, 4, 3, dtype=d), None, 0.1 + np.arange(16.0).reshape(2, 2, 4), coord=coord(2, 2, 4, size=(4, 3)),
        axes=("coil", "kz", "shot", "sample"), eps=1e-13), 2, 1, 4),
    "circulant-stack": lambda d: linops.circulant(linops.sense(
        maps(2, 3, 4, 5, dtype=d), coord=coord(3, 3, 4, size=(4, 5)), axes=("coil", "kz", "shot", "sample"),
        eps=1e-13), 0.1),
    "wavelet-one-row": lambda d: linops.wavelet((1, 16), "haar"),
    "wavelet-volume-of-few-planes": lambda d: linops.wavelet((3, 16, 12), "haar", axes=(0, 1, 2)),
    "wavelet-haar": lambda d: linops.wavelet((8, 8), "haar"),
    "wavelet-db4": lambda d: linops.wavelet((16, 24)),
    "wavelet-odd": lambda d: linops.wavelet((15, 22), "db2", 3),
    "wavelet-prime": lambda d: linops.wavelet((7, 13), "db4", 2),
    "wavelet-slices": lambda d: linops.wavelet((2, 9, 12), "sym4"),
    "wavelet-3d": lambda d: linops.wavelet((6, 5, 8), "db2", 1, axes=(0, 1, 2)),
    "wavelet-size-1": lambda d: linops.wavelet((1, 8), "haar"),
    "gradient": lambda d: linops.gradient((5, 7)),
    "gradient-neumann": lambda d: linops.gradient((5, 7), boundary="neumann"),
    "gradient-3d": lambda d: linops.gradient((3, 4, 5), axes=(0, 1, 2)),
    "gradient-slices": lambda d: linops.gradient((2, 4, 5)),
    "gradient-size-1": lambda d: linops.gradient((1, 5)),
    "dct": lambda d: linops.dct((5, 6)),
    "dct-one-axis": lambda d: linops.dct((3, 4, 5), axes=(0,)),
    "stack": lambda d: linops.stack([linops.gradient((4, 5)), linops.wavelet((4, 5), "haar"),
                                     linops.identity((4, 5))]),
    "blocks": lambda d: linops.Blocks([[linops.gradient((4, 5)), -1 * linops.identity((2, 4, 5))],
                                       [None, linops.symmetric_gradient((4, 5))]]),
    "symmetric-gradient": lambda d: linops.symmetric_gradient((4, 5)),
    "symmetric-gradient-neumann-3d": lambda d: linops.symmetric_gradient((3, 4, 5), (0, 1, 2), boundary="neumann"),
    "composed": lambda d: linops.sense(maps(2, 6, 4, dtype=d), lines(6)[:, None]) * linops.wavelet((6, 4), "haar").H,
    "scaled": lambda d: 3 * linops.gradient((4, 4)),
    "grappa": lambda d: linops.grappa(grappa_weights(np.indices((5, 4)).sum(0) % 2 == 0, d), (3, 5, 4)),
    "grappa-frames": lambda d: linops.grappa(grappa_weights(np.indices((4, 3))[0] % 2 == 0, d), (2, 3, 4, 3)),
    "sms": lambda d: linops.sms(maps(2, 3, 6, 5, dtype=d)),
    "sms-caipi-mask": lambda d: linops.sms(maps(3, 2, 6, 4, dtype=d), lines(6)[:, None], caipi_shift=1 / 3),
    "sms-caipi-points": lambda d: linops.sms(maps(2, 3, 6, 5, dtype=d), points(6, 5), caipi_shift=1 / 2),
    "sms-part-of-a-pixel": lambda d: linops.sms(maps(2, 3, 5, 4, dtype=d), points(5, 4), caipi_shift=[0.1, -1 / 3]),
    "subspace": lambda d: signals.subspace(phi(5, 2), (5, 4, 3)),
    "subspace-real-slices": lambda d: signals.subspace(phi(5, 3).real, (2, 5, 3, 4), axes=("slice", "echo", "y", "x")),
    "subspace-square": lambda d: signals.subspace(np.linalg.qr(phi(4, 4))[0], (4, 3, 2)),
    "subspace-sense": lambda d: signals.encoding(frames(maps(3, 6, 5, dtype=d), None, 4), phi(4, 2)),
    "subspace-sense-alike": lambda d: signals.encoding(frames(maps(3, 6, 5, dtype=d), lines(6)[:, None], 4), phi(4, 2)),
    "subspace-sense-lines": lambda d: signals.encoding(frames(maps(3, 6, 5, dtype=d), points(4, 6, 1), 4),
                                                       phi(4, 2).real),
    "subspace-sense-points": lambda d: signals.encoding(frames(maps(2, 5, 6, dtype=d), points(5, 5, 6), 5), phi(5, 3)),
    "subspace-sense-slices": lambda d: signals.encoding(linops.sense(
        maps(2, 2, 5, 4, dtype=d), points(2, 3, 5, 4), axes=("slice", "echo", "coil", "ky", "kx"),
        shape=(2, 3, 2, 5, 4)), phi(3, 2)),
    "subspace-sense-volumes": lambda d: signals.encoding(linops.sense(
        maps(2, 3, 4, 5, dtype=d), points(3, 3, 4, 1), axes=("echo", "coil", "kz", "ky", "kx"), shape=(3, 2, 3, 4, 5)),
        phi(3, 2)),
    "subspace-sense-own-maps": lambda d: signals.encoding(linops.sense(
        maps(3, 2, 4, 5, dtype=d), points(3, 4, 5), axes=("echo", "coil", "ky", "kx")), phi(3, 2)),
    "subspace-sense-coord": lambda d: signals.encoding(linops.sense(
        maps(2, 6, 5, dtype=d), coord=coord(3, 2, 4, size=(6, 5)), axes=("frame", "coil", "spoke", "sample"),
        shape=(3, 2, 2, 4), eps=1e-13), phi(3, 2), axis="frame"),
    "subspace-sense-coord-slices": lambda d: signals.encoding(linops.sense(
        maps(2, 1, 3, 4, dtype=d), None, 0.1 + np.arange(9.0).reshape(3, 1, 3)[None] * np.ones((2, 1, 1, 1)),
        coord=np.stack([coord(3, 1, 3, size=(3, 4), seed=k) for k in range(2)]), eps=1e-13,
        axes=("slice", "frame", "coil", "spoke", "sample"), shape=(2, 3, 1, 1, 3)), phi(3, 2).real, axis="frame"),
    "subspace-sense-coord-3d": lambda d: signals.encoding(linops.sense(
        maps(1, 2, 3, 3, dtype=d), coord=coord(3, 4, size=(2, 3, 3)), axes=("echo", "coil", "sample"),
        shape=(3, 1, 4), eps=1e-13), phi(3, 2)),
    "rigid": lambda d: linops.rigid((6, 5), [[0, 0], [1.3, -0.4]], [0, 12]),
    "rigid-shifts": lambda d: linops.rigid((5, 4), [[0.5, 2], [-1, 0.25], [3, 3]]),
    "rigid-sense": lambda d: linops.sense(maps(2, 4, 5, dtype=d), points(3, 4, 1), shape=(3, 2, 4, 5), axes=(
        "state", "coil", "ky", "kx")) * linops.rigid((4, 5), [[0, 0], [1, 0.5], [-0.3, 2]], [0, -7, 20]),
    "virtual-coils": lambda d: linops.virtual_coils(maps(2, 6, 5, dtype=d), maps(1, 6, 5)[0], lines(6)[:, None]),
    "virtual-coils-odd": lambda d: linops.virtual_coils(maps(2, 5, 4, dtype=d), np.ones((5, 4), d), points(5, 4)),
    "soft-sense": lambda d: linops.soft_sense(maps(2, 3, 6, 5, dtype=d)),
    "soft-sense-ky": lambda d: linops.soft_sense(maps(2, 3, 6, 5, dtype=d), lines(6)[:, None]),
    "soft-sense-kx-three-sets": lambda d: linops.soft_sense(maps(3, 2, 4, 7, dtype=d), lines(7)[None, :]),
    "soft-sense-points-one-set": lambda d: linops.soft_sense(maps(1, 4, 7, 5, dtype=d), points(7, 5)),
    "soft-sense-slices": lambda d: linops.soft_sense(maps(2, 2, 3, 4, 5, dtype=d), points(2, 4, 5),
                                                     np.full((4, 5), 2.0)),
    "soft-sense-coord": lambda d: linops.soft_sense(
        maps(2, 3, 6, 5, dtype=d), None, 0.1 + np.arange(20.0).reshape(4, 5), coord=coord(4, 5, size=(6, 5)),
        eps=1e-13),
    "soft-sense-coord-frames": lambda d: linops.soft_sense(
        maps(2, 2, 4, 5, dtype=d), coord=coord(3, 2, 4, size=(4, 5)), axes=("frame", "coil", "shot", "sample"),
        shape=(3, 2, 2, 4), eps=1e-13),
    "off-resonance-soft-sense-coord": lambda d: off_resonance(linops.soft_sense(
        maps(2, 2, 4, 3, dtype=d), coord=coord(2, 5, size=(4, 3)), eps=1e-13), 5),
    "coil-filter": lambda d: linops.coil_filter(spirit_kernel(3, (3, 5), d) + 0.1, (3, 6, 5)),
    "coil-filter-kspace": lambda d: linops.coil_filter(spirit_kernel(2, (5, 3), d), (2, 7, 6), "kspace"),
    "sampled-fft": lambda d: linops.sampled_fft((3, 6, 5), lines(6)[:, None]),
    "spirit": lambda d: linops.spirit(spirit_kernel(3, (3, 3), d), (3, 6, 5)),
    "spirit-kspace": lambda d: linops.spirit(spirit_kernel(2, (3, 5), d), (2, 4, 7), "kspace"),
    "spirit-encoding-ky": lambda d: linops.spirit_encoding(spirit_kernel(3, (3, 3), d), lines(6)[:, None], (3, 6, 5)),
    "spirit-encoding-points": lambda d: linops.spirit_encoding(spirit_kernel(2, (3, 5), d), points(6, 5), (2, 6, 5),
                                                               weight=3.0),
    "spirit-missing-ky": lambda d: linops.spirit_missing(spirit_kernel(3, (3, 3), d), lines(6)[:, None], (3, 6, 5)),
    "spirit-missing-kx": lambda d: linops.spirit_missing(spirit_kernel(3, (3, 3), d), lines(5)[None, :], (3, 6, 5)),
    "spirit-missing-points": lambda d: linops.spirit_missing(spirit_kernel(2, (3, 3), d), points(6, 5), (2, 6, 5)),
}


POINTS = ("circulant", "nufft", "sense-coord", "off-resonance-nufft", "off-resonance-coord", "off-resonance-times",
          "off-resonance-soft-sense-coord", "soft-sense-coord", "subspace-sense-coord")
GPU_LINOPS = [name for name in LINOPS if not name.startswith(POINTS)]  # what a GPU computes; of those the CPU


def quadratic_denoiser(x, sigma):
    """A symmetric linear denoiser, prox of sigma^2/2 |grad x|^2: PnP with it is convex, RED has a closed form."""
    ny, nx = x.shape[-2:]
    eig = 4 * np.sin(np.pi * np.arange(ny) / ny)[:, None] ** 2 + 4 * np.sin(np.pi * np.arange(nx) / nx) ** 2
    return np.fft.ifft2(np.fft.fft2(x) / (1 + sigma**2 * eig)).astype(x.dtype)


REFERENCE = (np.arange(12 * 10).reshape(12, 10) * (1 + 0.5j) / 100).astype("complex128")

# name: explicit prior; all live on images of shape SHAPE, those called series-... on series of frames, volume-... on
# volumes, dynamic-... on series of volumes, tgv... and infimal-... , which iterate, on small ones
SHAPE, SERIES, VOLUME, DYNAMIC, SMALL = (12, 10), (3, 9, 7), (4, 6, 5), (3, 4, 5, 6), (6, 5)
ZYX, FZYX = ("z", "y", "x"), ("frame", "z", "y", "x")  # names that `Problem` tells a prior
WEIGHTS = np.linspace(0, 2, 12 * 10).reshape(12, 10)  # of single places, 0 among them
PRIORS = {
    "zero": pi.Zero(),
    "tikhonov": pi.Tikhonov(),
    "tikhonov-reference": 0.3 * pi.Tikhonov(REFERENCE),
    "tikhonov-gradient": 0.2 * pi.Tikhonov() @ linops.gradient(SHAPE),
    "tikhonov-sum": 0.2 * pi.Tikhonov() @ linops.gradient(SHAPE) + 0.1 * pi.Tikhonov(),
    "l1": pi.L1(),
    "l1-fft": 0.5 * pi.L1() @ linops.fft(SHAPE),
    "l1-gradient": 0.1 * pi.L1() @ linops.gradient(SHAPE),
    "wavelet": pi.Wavelet(levels=1),
    "wavelet-haar": 0.2 * pi.Wavelet("haar", levels=2),
    "wavelet-shifted": pi.Wavelet("db2", shifts=8).at(3),
    "tv": pi.TV(),
    "tv-anisotropic": 0.3 * pi.TV(isotropic=False),
    "tv-neumann": 0.3 * pi.TV(boundary="neumann"),
    "l1-huber": 0.5 * pi.L1(delta=0.3),
    "l1-huber-gradient": 0.2 * pi.L1(delta=0.3) @ linops.gradient(SHAPE),
    "l21": pi.L21(),
    "l21-axis": 2 * pi.L21(1),
    "l21-huber": pi.L21(axis=-1, delta=0.5),
    "l1-minus-l2": pi.L1MinusL2(),
    "l1-minus-half-l2": 0.3 * pi.L1MinusL2(alpha=0.5),
    "tv-huber": 0.3 * pi.TV(delta=0.1),
    "tv-huber-anisotropic": 0.3 * pi.TV(isotropic=False, delta=0.1, boundary="neumann"),
    "tv-one-axis": 0.2 * pi.TV(axes=(-2,)),
    "dct": pi.DCT(),
    "dct-one-axis": 0.2 * pi.DCT(axes=(0,)),
    "nuclear": pi.Nuclear(axis=0),
    "nuclear-axis": 0.5 * pi.Nuclear(axis=1),
    "box": pi.Box(),
    "box-small": 2 * pi.Box(high=0.1),
    "real-non-negative": pi.RealNonNegative(),
    "quadratic": 0.3 * pi.Quadratic(linops.gradient(SHAPE)),
    "quadratic-reference": pi.Quadratic(linops.gradient(SHAPE, boundary="neumann"), REFERENCE),
    "l1-weights": 0.5 * pi.L1(weights=WEIGHTS),
    "l1-weights-fft": WEIGHTS * pi.L1() @ linops.fft(SHAPE),
    "l1-weights-gradient": 0.1 * pi.L1(weights=WEIGHTS) @ linops.gradient(SHAPE),
    "l1-weights-huber": WEIGHTS * pi.L1(delta=0.3),
    "l21-weights": pi.L21(weights=WEIGHTS[:1]),
    "wavelet-weights": WEIGHTS * pi.Wavelet("haar", levels=1),
    "wavelet-bands": 0.5 * pi.Wavelet("haar", levels=2, weights=(0, 1, 0.5)),
    "wavelet-bands-shifted": pi.Wavelet("db2", levels=1, weights=(0.2, 1), shifts=8).at(3),
    "dct-weights": WEIGHTS[:, :1] * pi.DCT(),
    "tv-weights": 0.3 * pi.TV(weights=WEIGHTS),
    "tv-weights-anisotropic": WEIGHTS * pi.TV(isotropic=False, boundary="neumann"),
    "tv-weights-huber": WEIGHTS * pi.TV(delta=0.1),
    "sum-weights": WEIGHTS * (0.1 * pi.TV() + 0.05 * pi.Wavelet("haar")),
    "series-temporal-fft-weights": pi.TemporalFFT(weights=np.array([1.0, 0, 1])[:, None, None]),
    "series-tv-weights": 0.1 * pi.TV(axes=(0, -2, -1), weights=np.linspace(0, 1, 63).reshape(9, 7)),
    "volume-tv-weights": (np.linspace(0, 1, 120).reshape(4, 6, 5) * pi.TV()).bind(ZYX),
    "series-l21": pi.L21(axis=(0, 2)),
    "series-l21-wavelet": 0.5 * pi.L21() @ linops.wavelet(SERIES, "haar"),
    "series-temporal-fft": 0.3 * pi.TemporalFFT(),
    "series-temporal-tv": 0.3 * pi.TV(axes=(0,), boundary="neumann"),
    "series-tv": 0.1 * pi.TV(axes=(0, -2, -1)),
    "series-nuclear": 0.5 * pi.Nuclear(),
    "series-llr": pi.LLR(block=4),
    "series-llr-shifted": 0.5 * pi.LLR(block=2, shifts=4).at(3),
    "series-tv-named": 0.1 * pi.TV(axes=("frame", "y", "x")).bind(("frame", "y", "x")),
    "series-two-axes-nuclear": 0.5 * pi.Nuclear().bind(("echo", "frame", "x")),
    "volume-tv": 0.3 * pi.TV().bind(ZYX),
    "volume-tv-anisotropic": 0.3 * pi.TV(isotropic=False, boundary="neumann").bind(ZYX),
    "volume-wavelet": 0.2 * pi.Wavelet("haar").bind(ZYX),
    "volume-wavelet-shifted": pi.Wavelet("db2", shifts=8).bind(ZYX).at(3),
    "volume-planes": 0.2 * pi.Wavelet("haar", axes=("y", "x")).bind(ZYX),
    "volume-tgv": 0.3 * pi.TGV().bind(ZYX),
    "volume-dct": pi.DCT().bind(ZYX),
    "dynamic-llr": 0.5 * pi.LLR(block=2).bind(FZYX),
    "dynamic-temporal-fft": pi.TemporalFFT().bind(FZYX),
    "tgv": 0.3 * pi.TGV(),
    "tgv-neumann": pi.TGV(0.5, 0.2, boundary="neumann"),
    "tgv-behind-fft": 0.2 * pi.TGV() @ linops.fft(SMALL),
    "infimal-convolution": pi.InfimalConvolution(0.3 * pi.TV(), 0.2 * pi.Wavelet("haar", 1)),
    "series-low-rank-plus-sparse": pi.InfimalConvolution(2 * pi.Nuclear(), 0.5 * pi.TemporalFFT()),
    "sum": 0.1 * pi.TV() + 0.05 * pi.Wavelet("haar"),
    "tgv+wavelet": 0.1 * pi.TGV() + 0.05 * pi.Wavelet("haar"),
    "three": 0.1 * pi.TV() + 0.05 * pi.Wavelet("haar") + 0.2 * pi.Tikhonov(),
}



def prior_shape(name):
    """The shape of the images that a prior of the table is for."""
    kinds = {"series": SERIES, "volume": VOLUME, "dynamic": DYNAMIC, **dict.fromkeys(("tgv", "tgv+wavelet", "infimal"),
                                                                                     SMALL)}
    return kinds.get(name.partition("-")[0], SHAPE)


# name: `pisolve.nets` -> a tiny reconstruction network; those in ONE_SIZE are for one size of image alone
NETWORKS = {
    "modl": lambda n: n.modl(n.DnCNN(2, 2, 4), 2),
    "varnet": lambda n: n.varnet(n.DnCNN(2, 2, 4), 2),
    "informed": lambda n: n.Informed(n.UNet(2, (4, 6), (1, 1)), 2),
    "cascade": lambda n: n.cascade(n.DnCNN(2, 2, 4), 2, nu=10.0),
    "admm-net": lambda n: n.admm_net(n.FilterBank(knots=6), 2),
    "primal-dual": lambda n: n.primal_dual(n.FilterBank("differences", knots=6), 2),
    "kiki": lambda n: n.kiki(n.DnCNN(2, 2, 4), n.DnCNN(2, 2, 4), 1),
    "rim": lambda n: n.RIM(2, 4),
    "cirim": lambda n: n.RIM(2, 4, 2, "indrnn"),
    "xpdnet": lambda n: n.XPDNet(2, 2, (4, 6), 2),
    "humus": lambda n: n.humus(n.HUMUSBlock(2, 4, (1, 1), 2, 4), 2),
    "dimension": lambda n: n.DIMENSION(1, 1, 2, 4),
    "vnu": lambda n: n.VNU(1, 2, 2),
    "vnu-k": lambda n: n.VNU(1, 2, 2, intermediates="kspace"),
    "e2e-varnet": lambda n: n.E2EVarNet(1, 2, 2, 2, 2),
    "u-net": lambda n: n.ZeroFilledUNet(2, 2),
    "hyun": lambda n: n.ZeroFilledUNet(2, 2, correction=True),
    "residual-image": lambda n: n.Postprocessor(n.residual_cnn("image", 2, 4)),
    "residual-phase": lambda n: n.Postprocessor(n.residual_cnn("magnitude-phase", 2, 4)),
    "residual-kspace": lambda n: n.Postprocessor(n.residual_cnn("kspace", 2, 4), consistency=True),
    "residual-xt": lambda n: n.Postprocessor(n.residual_cnn("xt", 2, 4)),
    "t2net": lambda n: n.Postprocessor(n.T2Net(2, 4, 1, 1, 2, 2)),
    "swinmr": lambda n: n.Postprocessor(n.SwinMR(2, 4, (2,), 2, 8)),
    "vit": lambda n: n.Postprocessor(n.ViT(2, 8, 8, 1, 2)),
    "grappanet": lambda n: n.GrappaNet(2, 2),
    "grappanet-raki": lambda n: n.GrappaNet(2, 2, fill="raki", iterations=3),
    "automap": lambda n: n.AUTOMAP((32, 32), 16, 4),
    "automap-maps": lambda n: n.AUTOMAP((32, 32), 16, 4, maps=True),
    "adversarial": lambda n: n.adversarial(n.modl(n.DnCNN(2, 2, 4), 2), n.Critic(2, 4, 2)),
    "adversarial-magnitude": lambda n: n.adversarial(n.ZeroFilledUNet(2, 2, residual=True), n.Critic(1, 4, 2)),
}
ONE_SIZE = {"automap": (32, 32), "automap-maps": (32, 32)}

SAMPLERS = {  # with settings at which a Gaussian prior has the moments of the closed form, see test_posterior.py
    "implicit-langevin": pi.ImplicitLangevin(levels=120, first=2.0, last=0.03, heat=1.0),
    "split-gibbs": pi.SplitGibbs(levels=120, first=2.0, last=0.03, steps=6, spread=1.0, inner=30),
    "langevin": pi.Langevin(levels=100, first=2.0, last=0.05, steps=20, step=0.2),
    "dps": pi.DPS(levels=150, first=4.0, last=0.03, inner=16),
}

SOLVERS = {
    "cg": pi.CG(),
    "gradient-descent": pi.GradientDescent(),
    "fista": pi.FISTA(),
    "fista-no-restart": pi.FISTA(restart=False),
    "ista": pi.FISTA(momentum=False),
    "fista-backtracking": pi.FISTA(backtracking=True),
    "pogm": pi.POGM(),
    "pogm-no-restart": pi.POGM(restart=False),
    "data-prox": pi.DataProx(),
    "data-prox-no-momentum": pi.DataProx(momentum=False, inner=20),
    "lsqr": pi.LSQR(),
    "lsmr": pi.LSMR(),
    "gmres": pi.GMRES(),
    "gmres-5": pi.GMRES(restart=5),
    "admm": pi.ADMM(),
    "admm-rho": pi.ADMM(rho=0.05, inner=20, relaxation=1.0),
    "pdhg": pi.PDHG(),
    "pdhg-sigma": pi.PDHG(sigma=0.1),
    "pdhg-plain": pi.PDHG(accelerate=False),
    "pdhg-no-restart": pi.PDHG(restart=False),
    "pdhg-backtracking": pi.PDHG(backtracking=True),
    "admm-relaxed-balanced": pi.ADMM(relaxation=1.8, balance=True),
    "hqs": pi.HQS(),
    "relaxed": pi.Relaxed(pi.FISTA(), 0.8),
}
PENALISED = {"hqs"}  # minimise data + Moreau envelope of g, near the true minimum as far as rho is large

# the priors that solvers are compared on: small weights, so that the minimum is no trivial image
OBJECTIVES = {
    "zero": pi.Zero(),
    "tikhonov": 0.05 * pi.Tikhonov(),
    "tikhonov-gradient": 0.05 * pi.Tikhonov() @ linops.gradient((16, 16)),
    "wavelet": 0.02 * pi.Wavelet("db2"),
    "tv": 0.02 * pi.TV(),
    "tv-anisotropic": 0.02 * pi.TV(isotropic=False),
    "tv+wavelet": 0.01 * pi.TV() + 0.01 * pi.Wavelet("db2"),
    "tgv": 0.02 * pi.TGV(),
    "tgv+wavelet": 0.01 * pi.TGV() + 0.01 * pi.Wavelet("db2"),
    "infimal-convolution": pi.InfimalConvolution(0.02 * pi.TV(), 0.02 * pi.Wavelet("db2")),
    "tikhonov+wavelet": 0.05 * pi.Tikhonov() + 0.02 * pi.Wavelet("db2"),
    "l1-of-fft": 0.02 * pi.L1() @ linops.fft((16, 16)),
    "tv-huber": 0.02 * pi.TV(delta=0.05),
    "dct": 0.02 * pi.DCT(),
    "nuclear": 0.05 * pi.Nuclear(axis="y"),
    "quadratic": 0.05 * pi.Quadratic(linops.gradient((16, 16)), np.full((16, 16), 0.5 + 0j)),
    "tv-weights": 0.02 * (np.linspace(0, 2, 256).reshape(16, 16) * pi.TV()),
    "wavelet-bands": 0.02 * pi.Wavelet("db2", 2, weights=(0, 1, 0.5)),
    "box": pi.Box(high=1.1),
    "box+tv": pi.Box(high=1.1) + 0.02 * pi.TV(),
}


def toy(seed=0):
    """A well-posed 4-coil SENSE problem of 16x16 with a piecewise smooth image: (A, y)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    image = ((x**2 + y**2 < 0.6) * (1 + 0.3 * (x > 0))) * np.exp(0.5j * x)
    mps = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2)) * np.exp(1j * (a * x + b * y))
                    for a in (-1, 1) for b in (-1, 1)])
    mps /= np.sqrt((abs(mps) ** 2).sum(0))
    mask = np.zeros((16, 1), bool)
    mask[[0, 2, 4, 5, 6, 7, 8, 9, 11, 13, 14]] = True
    A = linops.sense(mps, mask)
    noise = 0.02 * (rng.standard_normal(A.oshape) + 1j * rng.standard_normal(A.oshape))
    return A, A(image) + noise * mask


# kinds of scans: one line puts a kind through every door (test_axes_recipe.py, test_axes_evaluate.py)
SIDE, SCAN_NOISE = 32, 0.01
HEAD = pi.phantom.brain((SIDE, SIDE), 8)
HEAD_MPS = HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)
AXES = {"one coil": ("coil", "ky", "kx"), "slice": ("coil", "ky", "kx"), "slices": ("slice", "coil", "ky", "kx"),
        "series": ("frame", "coil", "ky", "kx"), "series of slices": ("slice", "frame", "coil", "ky", "kx"),
        "3-D": ("coil", "kz", "ky", "kx"), "3-D series": ("frame", "coil", "kz", "ky", "kx"),
        "echoes": ("echo", "coil", "ky", "kx"), "EPI": ("coil", "ky", "kx")}
SIZES = {"slice": 2, "frame": 4, "echo": 3, "kz": 8}


def object_of(axes):
    """An image (..., y, x): brighter and dimmer from frame to frame and plane to plane."""
    image = HEAD.image
    for name in reversed([a for a in axes if a in SIZES]):
        n = SIZES[name]
        factor = 1 + 0.3 * np.sin(2 * np.pi * np.arange(n) / n)
        image = np.stack([f * np.roll(image, k if name == "frame" else 0, -1) for k, f in enumerate(factor)])
    return image


def lines_of(*lead, seed=0):
    """Half of the lines, of each frame its own, with a full centre of 8."""
    keep = np.random.default_rng(seed).random((*lead, SIDE)) < 0.4
    keep[..., SIDE // 2 - 4: SIDE // 2 + 4] = True
    return keep[..., None]


def epi_lines(kspace, kx, ky, delay=0.0, phase=0.0):
    """EPI's lines (coil, line, sample) of a Cartesian k-space, gradients `delay` samples late, by the direct sum."""
    n, step = kspace.shape[-1], np.gradient(kx, axis=1)
    image = fft(kspace, (-1,), inverse=True)[:, np.asarray(ky) + kspace.shape[-2] // 2]
    samples = np.arange(kx.shape[1])
    k = np.stack([np.interp(samples - delay, samples, one) for one in kx])
    for j in np.flatnonzero((samples < delay) | (samples - delay > samples[-1])):  # before the first one
        k[:, j] = kx[:, j] - delay * step[:, j]
    E = np.exp(-2j * np.pi / n * k[..., None] * (np.arange(n) - n // 2)) / np.sqrt(n)
    turn = np.where(kx[:, -1] > kx[:, 0], 1, np.exp(1j * phase))
    return np.einsum("clx,lsx->cls", image, E) * turn[:, None]


def scan_of(kind, *, full=False, noise=SCAN_NOISE):
    """A scan of a kind, undersampled: frames and echoes by lines of their own, volumes by points of (kz, ky)."""
    axes = AXES[kind]
    mps = HEAD_MPS if kind != "one coil" else np.ones((1, SIDE, SIDE), np.complex64)
    image = object_of(axes)
    inner = 3 if "kz" in axes else 2
    coils = image[(..., None, *(slice(None),) * inner)] * (mps if inner == 2 else mps[:, None])
    kspace = fft(coils, tuple(range(-inner, 0)))
    rng = np.random.default_rng(1)
    kspace = kspace + noise * rng.standard_normal((*kspace.shape, 2)).view(complex)[..., 0]
    if kind == "EPI":
        ky, k = np.arange(SIDE) - SIDE // 2, np.arange(SIDE) - (SIDE - 1) / 2
        kx = np.where(ky[:, None] % 2, -k, k)
        errors = pi.calib.EpiErrors(0.6, 0.4)
        kspace = pi.calib.epi(epi_lines(kspace, kx, ky, 0.6, 0.4), kx, ky, (SIDE, SIDE), errors=errors).kspace
    maps = np.broadcast_to(mps[:, None], (len(mps), SIZES["kz"], SIDE, SIDE)).copy() if inner == 3 else mps
    if full:
        return pi.io.Scan(kspace.astype(np.complex64), mps=maps.astype(np.complex64), axes=axes)
    own = [SIZES[a] for a in axes if a in ("frame", "echo")]
    if inner == 3:
        mask = np.random.default_rng(2).random((*own, SIZES["kz"], SIDE)) < 0.5
        mask[..., 2:6, SIDE // 2 - 4: SIDE // 2 + 4] = True
        mask = mask[..., None]
    else:
        mask = lines_of(*own)
    whole = np.expand_dims(mask, -1 - inner) if own else mask
    return pi.io.Scan((kspace * whole).astype(np.complex64), mask=mask, mps=maps.astype(np.complex64), axes=axes)


SCANS = {kind: scan_of(kind) for kind in AXES}

# those of samples anywhere, simulated from full ones; frames have trajectories of their own
SHOTS = {"radial": ("slice", pi.Sampling("radial", spokes=17)), "spiral": ("slice", pi.Sampling("spiral", 3, spokes=6)),
         "stack of stars": ("3-D", pi.Sampling("stack-of-stars", spokes=17)),
         "radial cine": ("series", pi.Sampling("radial", spokes=13))}
SCANS |= {kind: sampling(scan_of(base, full=True))._with(reference=None, meta={})
          for kind, (base, sampling) in SHOTS.items()}
AXES |= {kind: SCANS[kind].axes for kind in SHOTS}
