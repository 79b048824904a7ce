"""A multi-coil brain whose k-space is computed in closed form, so that no test commits the inverse crime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pisolve import _check, backend

_COIL_ORDER, _PHASE_ORDER = 5, 2  # orders of the trigonometric polynomials, of a period of two fields of view
_FAT, _SKULL, _CSF, _GREY, _WHITE = 0.95, 0.08, 0.22, 0.52, 0.78  # a T1-weighted contrast


@dataclass(frozen=True)
class Phantom:
    """A simulated scan and its truth.

    Attributes:
        kspace: (coil, ky, kx) complex64, fully sampled, centred orthonormal convention.
        mps: (coil, y, x) complex64, the true coil maps; not normalised: the root sum of squares has a mean of 1 over
            the head and is larger towards the coils.
        image: (y, x) complex64, what one uniform coil would show without noise: the inverse FFT of the object's own
            transform, with the truncation (Gibbs) ringing that every scan of this matrix has. Tissue is 0.2 to 1.
        noise: standard deviation of the noise in the real and in the imaginary part each, in the image's units.
    """

    kspace: np.ndarray
    mps: np.ndarray
    image: np.ndarray
    noise: float


def brain(shape: tuple[int, int] = (256, 256), coils: int = 8, *, noise: float = 0.0, phase: bool = True,
          anatomy: int = 0, seed: int = 0) -> Phantom:
    """A brain-like slice, measured by a ring of surface coils: k-space in closed form.

    y_c(k) = sqrt(Ny Nx) * integral of S_c(r) exp(i phi(r)) m(r) exp(-2 pi i k r) dr + noise, over a field of view of 1.
    m is a sum of ellipses, whose transforms are Bessel functions J1; the coil maps S_c (fitted to loops of current) and
    exp(i phi) are trigonometric polynomials, so the product is a sum of shifted transforms. Pixels are square.

    Args:
        shape: matrix size (ky, kx), at least 8 each.
        coils: number of receive coils; 1 is a uniform coil.
        noise: standard deviation of the real and of the imaginary part each, per k-space sample, in the units of the
            image (white matter is 0.78); the orthonormal FFT gives every pixel of a coil image the same.
        phase: a smooth phase of the object, about -1.5 to 1.5 rad; else the object is real.
        anatomy: seed of the folds and of the lesion's place: another number is another patient.
        seed: seed of the noise.

    Raises:
        TypeError: shape, coils or seeds that are not whole numbers.
        ValueError: a number out of range.

    Reference:
        Guerquin-Kern et al., "Realistic analytical phantoms for parallel magnetic resonance imaging", IEEE Trans. Med.
        Imaging 31 (2012).
    """
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape must be (ky, kx), got {shape!r}")
    shape = tuple(_check.integer("shape", n, low=8) for n in shape)
    coils = _check.integer("coils", coils, low=1)
    noise = _check.number("noise", noise, low=0)
    rng = np.random.default_rng(_check.integer("seed", seed, low=0))
    pixel = max(1 / shape[0], 0.8 / shape[1])  # the head is 0.93 high and 0.76 wide
    fov = tuple(n * pixel for n in shape)
    parts = ellipses(anatomy)
    reach = [2 * (n // 2) + _COIL_ORDER + _PHASE_ORDER for n in shape]  # all frequencies lie on a grid of half steps
    axes = [np.arange(-n, n + 1) / (2 * f) for n, f in zip(reach, fov)]
    spectrum = (_transform(parts, *axes) / (pixel**2 * np.sqrt(np.prod(shape)))).astype(np.complex64)
    grid = [(np.arange(n) - n // 2) * pixel for n in shape]
    own = _phase(fov) if phase else np.ones((1, 1))
    profiles = _profiles(coils, fov)
    maps = np.stack([_polynomial(c, fov, *grid) for c in profiles])
    head = _inside(parts[0], *np.meshgrid(*grid, indexing="ij"))
    size = np.sqrt((np.abs(maps) ** 2).sum(0))[head].mean()
    profiles, maps = profiles / size, maps / size
    kspace = np.stack(backend.parallel(lambda c: _modulate(spectrum, _product(c, own), shape), profiles))
    image = backend.fft(_modulate(spectrum, own, shape), (-2, -1), inverse=True)
    if noise:
        kspace += noise * (rng.standard_normal((*kspace.shape, 2), dtype=np.float32).view(np.complex64)[..., 0])
    return Phantom(kspace, maps.astype(np.complex64), image, noise)


def heart(frames: int = 16, n: int = 64) -> np.ndarray:
    """A beating heart, (frame, y, x), real: a disc that contracts and shines, in a body at rest.

    Args:
        frames: of one beat.
        n: pixels along each side.
    """
    y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
    body = abs(brain((n, n), 1).image)
    beat = np.cos(2 * np.pi * np.arange(frames) / frames)[:, None, None]
    edge = (0.3 + 0.08 * beat - np.hypot(x - 0.1, y)) * n / 4
    return body + (0.7 + 0.3 * beat - body) / (1 + np.exp(-4 * edge))


def ellipses(anatomy: int = 0) -> np.ndarray:
    """The ellipses (n, 6) that `brain` adds up: amplitude, centre y, centre x, semi-axis y, semi-axis x, angle in rad.

    Lengths are in units of the field of view of a square matrix, y points down; an ellipse is turned by its angle from
    y towards x.
    """
    rng = np.random.default_rng(_check.integer("anatomy", anatomy, low=0))
    half = (0.395, 0.315)  # semi-axes of the brain
    out = [(_FAT, 0, 0, 0.465, 0.38, 0), (_SKULL - _FAT, 0, 0, 0.447, 0.362, 0),
           (0.35, 0, 0, 0.432, 0.349, 0), (-0.35, 0, 0, 0.421, 0.339, 0),  # marrow inside of the skull
           (_CSF - _SKULL, 0, 0, 0.413, 0.331, 0), (_GREY - _CSF, 0, 0, *half, 0),
           (_WHITE - _GREY, 0.005, 0, 0.33, 0.255, 0)]
    out += [(_GREY - _WHITE, -0.205, 0, 0.12, 0.016, 0), (_CSF - _GREY, -0.24, 0, 0.145, 0.005, 0),
            (_GREY - _WHITE, 0.23, 0, 0.1, 0.016, 0), (_CSF - _GREY, 0.265, 0, 0.125, 0.005, 0)]  # between hemispheres
    for angle in np.linspace(0, 2 * np.pi, 44, endpoint=False) + rng.uniform(-0.025, 0.025, 44):
        if abs(np.sin(angle)) < 0.12:
            continue  # the fissure is there
        edge = np.array([np.cos(angle) * half[0], np.sin(angle) * half[1]])
        tilt = np.arctan2(edge[1], edge[0]) + rng.uniform(-0.2, 0.2)
        depth, width = rng.uniform(0.83, 0.91), rng.uniform(0.003, 0.0055)
        length = (0.98 - depth) * np.hypot(*edge)
        out.append((-0.2, *(2 * depth - 0.98) * edge, 0.024, width + 0.008, tilt))  # grey matter about its end
        out.append((_CSF - _GREY, *depth * edge, length, width, tilt))  # a sulcus
        if rng.random() < 0.8:  # a finger of white matter beside it
            beside = np.array([np.cos(angle + 0.07) * half[0], np.sin(angle + 0.07) * half[1]]) * 0.91
            out.append((0.2, *beside, rng.uniform(0.015, 0.022), rng.uniform(0.005, 0.008), tilt))
    for side in (-1, 1):  # ventricles, caudate, putamen, pallidum, thalamus, insula
        out += [(_CSF - _WHITE, -0.075, side * 0.045, 0.062, 0.016, side * 0.35),
                (_CSF - _WHITE, 0.115, side * 0.062, 0.065, 0.017, side * -0.4),
                (-0.2, -0.075, side * 0.082, 0.045, 0.014, side * 0.3),
                (-0.18, -0.005, side * 0.135, 0.06, 0.02, side * 0.2),
                (0.08, 0.0, side * 0.128, 0.03, 0.008, side * 0.2),
                (-0.16, 0.045, side * 0.05, 0.042, 0.024, side * -0.3),
                (-0.22, -0.01, side * 0.19, 0.085, 0.008, side * 0.08),
                (-0.25, -0.01, side * 0.19, 0.07, 0.003, side * 0.08)]
    out += [(-0.3, 0.03, 0, 0.05, 0.005, 0), (0.1, 0.2, 0.0, 0.012, 0.009, 0)]  # third ventricle, pineal gland
    y, x = rng.uniform(0.1, 0.2), rng.choice([-1, 1]) * rng.uniform(0.14, 0.17)
    out += [(0.18, y, x, 0.022, 0.016, rng.uniform(0, 3)), (-0.28, y, x, 0.009, 0.006, 0)]  # a lesion with a dark core
    for n, radius in enumerate((0.5, 0.75, 1.0, 1.5, 2.0)):  # dots and lines of a few 256ths
        out.append((-0.3, -0.235 + 0.02 * n, -0.13, radius / 256, radius / 256, 0))
        out.append((-0.3, -0.19, 0.10 + 0.004 * n + 0.0016 * n**2, 0.035, (0.4 + 0.2 * n) / 256, 0))
    vessels = 2 * np.pi * (np.arange(10) + rng.uniform(0.1, 0.9, 10)) / 10
    out += [(0.6, 0.404 * np.cos(a), 0.323 * np.sin(a), 0.004, 0.004, 0) for a in vessels]
    return np.array(out)


def _inside(part, y, x) -> np.ndarray:
    """Whether the points (y, x) lie within an ellipse."""
    _, cy, cx, ay, ax, angle = part
    along = (y - cy) * np.cos(angle) + (x - cx) * np.sin(angle)
    across = (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
    return (along / ay) ** 2 + (across / ax) ** 2 <= 1


def _transform(parts, ky, kx) -> np.ndarray:
    """sum_e a_e A B J1(2 pi q) / q exp(-2 pi i k c_e), q = |(A k_u, B k_v)|, on a grid of axes symmetric about 0."""
    from scipy.special import j1

    def rows(ky):
        total = np.zeros((len(ky), len(kx)), np.complex128)
        for amplitude, cy, cx, ay, ax, angle in parts:
            along = np.cos(angle) * ky[:, None] + np.sin(angle) * kx
            across = np.cos(angle) * kx - np.sin(angle) * ky[:, None]
            q = np.maximum(np.hypot(ay * along, ax * across), 1e-9)  # there J1(2 pi q) / q is pi to 1e-16
            shift = np.exp(-2j * np.pi * cy * ky)[:, None] * np.exp(-2j * np.pi * cx * kx)
            total += (amplitude * ay * ax) * (j1(2 * np.pi * q) / q) * shift
        return total

    half = np.concatenate(backend.parallel(rows, np.array_split(ky[len(ky) // 2:], 16)))
    return np.concatenate([half[:0:-1, ::-1].conj(), half])  # the object is real


def _polynomial(coefficients, fov, y, x) -> np.ndarray:
    """sum_pq c_pq exp(2 pi i (p y / 2 fov_y + q x / 2 fov_x)) on the grid of two axes."""
    p = np.arange(len(coefficients)) - len(coefficients) // 2
    rows, columns = (np.exp(1j * np.pi * np.outer(r, p) / f) for r, f in zip((y, x), fov))
    return rows @ coefficients @ columns.T


def _product(a, b) -> np.ndarray:
    """The coefficients of the product of two polynomials: their convolution."""
    out = np.zeros([n + m - 1 for n, m in zip(a.shape, b.shape)], np.complex128)
    for (i, j), value in np.ndenumerate(b):
        out[i: i + a.shape[0], j: j + a.shape[1]] += value * a
    return out


def _modulate(spectrum, coefficients, shape) -> np.ndarray:
    """The transform of polynomial * object on the k-space grid: multiplying by exp(i pi p r / fov) shifts by p / 2."""
    half = len(coefficients) // 2
    start = [s // 2 - 2 * (n // 2) + half for s, n in zip(spectrum.shape, shape)]
    out = np.zeros(shape, np.complex64)
    for (i, j), value in np.ndenumerate(coefficients.astype(np.complex64)):
        y, x = start[0] - i, start[1] - j
        out += value * spectrum[y: y + 2 * shape[0] - 1: 2, x: x + 2 * shape[1] - 1: 2]
    return out


def _fit(order, fov, function) -> np.ndarray:
    """Coefficients of the polynomial closest to `function(y, x)` in the field of view (ridge least squares)."""
    y, x = (np.linspace(-f / 2, f / 2, 40) for f in fov)
    p = np.arange(-order, order + 1)
    inverses = []
    for r, f in ((y, fov[0]), (x, fov[1])):
        basis = np.exp(1j * np.pi * np.outer(r, p) / f)
        inverses.append(np.linalg.solve(basis.conj().T @ basis + 1e-3 * np.eye(len(p)), basis.conj().T))
    return inverses[0] @ function(y[:, None], x) @ inverses[1].T


def _phase(fov) -> np.ndarray:
    """Coefficients of exp(i phi): a shim-like saddle with a slope."""
    def function(y, x):
        return np.exp(1j * (0.9 * y - 1.2 * x + 4.0 * x * y + 2.5 * (x**2 - y**2) + 0.3))

    return _fit(_PHASE_ORDER, fov, function)


def _profiles(coils, fov) -> np.ndarray:
    """Coefficients (coil, p, q) of the maps: small current loops on a ring about the head, facing its centre."""
    if coils == 1:
        return np.ones((1, 1, 1))

    def loop(n):
        angle = 2 * np.pi * (n + 0.5) / coils
        normal = np.array([np.cos(angle), np.sin(angle)])
        place = normal * (0.74, 0.68)

        def field(y, x):
            dy, dx = y - place[0], x - place[1]
            square = dy**2 + dx**2 + 0.25**2  # the loop's radius softens the dipole
            along = (normal[0] * dy + normal[1] * dx) / square
            by, bx = (3 * along * d - n for d, n in zip((dy, dx), normal))
            return (bx - 1j * by) / square**1.5

        return _fit(_COIL_ORDER, fov, field)

    return np.stack([loop(n) for n in range(coils)])
