"""What `pisolve doctor` tests: each a number beside what it must be, known in closed form or from a good run."""


def judge(name: str) -> tuple[bool, str]:
    """(whether a test passed, what it found) of a test by its name; an error is a failed test."""
    import time

    start = time.perf_counter()
    try:
        value, wanted, margin, unit = TESTS[name]()
    except Exception as error:  # whatever is broken, the other tests still run
        return False, f"failed: {type(error).__name__}: {' '.join(str(error).split())}"
    seconds = time.perf_counter() - start
    ok = abs(value - wanted) <= margin
    must = f"at most {margin:g}" if wanted == 0 else f"{wanted:.5g} to within {margin:g}"
    return ok, f"{'ok' if ok else 'WRONG':6}{value:.5g}{unit}, must be {must}{unit} ({seconds:.2f} s)"


def _brain():
    """A phantom whose coil maps have a root sum of squares of 1, and a mask."""
    import numpy as np

    import pisolve as pi

    brain = pi.phantom.brain((64, 60), 4, noise=0.01)
    return brain, brain.mps / np.linalg.norm(brain.mps, axis=0), pi.masks.random((64, 60), 3, seed=1)


def _random(shape, seed: int):
    import numpy as np

    parts = np.random.default_rng(seed).standard_normal((*shape, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0]


def _apart(a, b) -> float:
    """||a - b|| / ||b||."""
    import numpy as np

    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def adjoint():
    """<A x, y> = <x, A^H y>."""
    import numpy as np

    import pisolve as pi

    _, mps, mask = _brain()
    A = pi.linops.sense(mps, mask)
    x, y = _random(A.ishape, 0), _random(A.oshape, 1)
    forward, back = np.vdot(y, A(x)), np.vdot(A.H(y), x)
    return abs(forward - back) / abs(forward), 0, 1e-5, ""


def normal():
    """The compiled A^H A is A^H after A."""
    import pisolve as pi

    _, mps, mask = _brain()
    A = pi.linops.sense(mps, mask)
    x = _random(A.ishape, 2)
    return _apart(A.N(x), A.H(A(x))), 0, 1e-5, ""


def ridge():
    """Of fully sampled data and maps of size 1 the Tikhonov image is A^H y / (1 + lam)."""
    import pisolve as pi

    brain, mps, _ = _brain()
    A = pi.linops.sense(mps)
    return _apart(pi.solve(A, brain.kspace, 0.5 * pi.Tikhonov()).x, A.H(brain.kspace) / 1.5), 0, 1e-4, ""


def points():
    """Samples off the grid are the sum over all pixels."""
    import numpy as np

    import pisolve as pi

    n = 24
    coord = pi.trajectories.radial((n, n), spokes=5)
    x, at = _random((n, n), 3), np.arange(n) - n // 2
    y, rows, columns = coord.reshape(-1, 2)[:, 0], at[:, None, None], at[None, :, None]
    phase = np.exp(-2j * np.pi * (rows * y + columns * coord.reshape(-1, 2)[:, 1]) / n)
    direct = (x[..., None] * phase).sum((0, 1)) / n
    return _apart(pi.linops.nufft((n, n), coord)(x).reshape(-1), direct), 0, 1e-5, ""


def _quality(prior, **options):
    """The PSNR of a reconstruction of the phantom."""
    import pisolve as pi

    brain, _, mask = _brain()
    scan = pi.io.Scan(brain.kspace).undersample(mask)
    return pi.metrics.psnr(scan.reference, pi.recon(scan, prior, **options))


def variation():
    """Maps, scale, solver and total variation in one call."""
    import pisolve as pi

    return _quality(1.5e-3 * pi.TV(), max_iter=30), 28.913, 0.02, " dB"


def network():
    """A network that ships, as a prior."""
    import pisolve as pi

    return _quality(pi.PnP(pi.nets.load("denoiser-fast"), sigma=0.05), max_iter=8), 29.565, 0.05, " dB"


def file():
    """An image comes back from a file as it was."""
    import tempfile
    from pathlib import Path

    import pisolve as pi

    image = _random((1, 20, 16), 4)
    with tempfile.TemporaryDirectory() as folder:
        pi.io.save(Path(folder) / "image.h5", image)
        back = pi.io.load_image(Path(folder) / "image.h5")
    return float(abs(back - image).max()), 0, 0, ""


TESTS = {"operator and adjoint": adjoint, "compiled kernels": normal, "Tikhonov, closed form": ridge,
         "non-uniform samples": points, "total variation": variation, "network as prior": network,
         "file, written and read": file}
