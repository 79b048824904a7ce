"""What may be wrong with a scan, planted one by one, and good scans of all kinds on which nothing may be said.

Each line of PLANTED is a mistake that people make: (where, what is done, what its message must say). Each line of GOOD
is a scan as it should be. `SEEN` is what the thresholds were set by, `UNSEEN` another patient, other coils, noise and
lines, on which they are checked.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from conftest import data_path

import pisolve as pi
from pisolve import masks
from pisolve.backend import fft
from pisolve.recipe.recipe import Compress, Grappa, Spirit, Walsh

TV = 1e-3 * pi.TV()


@dataclass(frozen=True)
class Simulation:
    """A simulated scan, with the maps that are its own: 3x by random lines."""

    shape: tuple = (128, 112)
    coils: int = 6
    noise: float = 0.02
    anatomy: int = 0
    seed: int = 0

    @property
    def full(self):
        return _full(self)

    @property
    def mask(self):
        return masks.random(self.shape, 3, 0.12, seed=self.seed)

    @property
    def maps(self):
        return self.full.mps

    @property
    def y(self):
        return self.full.kspace * self.mask

    @property
    def scan(self):
        return pi.io.Scan(self.y, self.mask, self.maps)

    @property
    def square(self):
        return replace(self, shape=(112, 112))

    def rng(self):
        return np.random.default_rng(self.seed)


@cache
def _full(s):
    return pi.phantom.brain(s.shape, s.coils, noise=s.noise, anatomy=s.anatomy, seed=s.seed)


SEEN, UNSEEN = Simulation(), Simulation((120, 136), 8, 0.03, anatomy=7, seed=5)


def recon(s, y=None, mask=None, mps=None, prior=TV, **options):
    """TV of the simulation, with other k-space, mask or maps."""
    options = {"max_iter": 30} | options
    scan = pi.io.Scan(s.y if y is None else y, s.mask if mask is None else mask, s.maps if mps is None else mps)
    return pi.recon(scan, prior, **options)


def _gains(s, gains):
    return np.asarray(gains, np.complex64).reshape(-1, 1, 1) * s.maps


def _sign(shape, axes=(0, 1)):
    return (-1.0) ** sum(np.arange(n).reshape([-1 if a == i else 1 for a in (0, 1)]) for i, n in enumerate(shape)
                         if i in axes).astype(np.float32)


def _spiked(s, count, size):
    y, rng = s.y.copy(), s.rng()
    at = rng.choice(np.flatnonzero(np.broadcast_to(s.mask, s.shape)), count, replace=False)
    y.reshape(s.coils, -1)[:, at] += size * abs(y).max()
    return y


def _clipped(s):
    limit = abs(s.y).max() / 20
    return (np.clip(s.y.real, -limit, limit) + 1j * np.clip(s.y.imag, -limit, limit)).astype(np.complex64)


def _coil_images(s):
    return fft(s.full.kspace, (-2, -1), inverse=True)


def _other_slice(s):
    """Maps of another array of coils, which are all on one side."""
    return replace(s, coils=3 * s.coils).full.mps[:s.coils]


def _noisy(s, size):
    rng = s.rng()
    return size * (rng.standard_normal((s.coils, 400)) + 1j * rng.standard_normal((s.coils, 400)))


# name: (what is done, words of its message, in lower case)
PLANTED = {
    "maps conjugated": (lambda s: recon(s, mps=s.maps.conj()), "conjugated"),
    "maps without phase": (lambda s: recon(s, mps=abs(s.maps).astype("c8")), "no phase"),
    "maps' coils shuffled": (lambda s: recon(s, mps=s.maps[s.rng().permutation(s.coils)]), "order of the coils"),
    "two coils swapped": (lambda s: recon(s, mps=s.maps[[1, 0, *range(2, s.coils)]]), "order of the coils"),
    "data's coils turned round": (lambda s: recon(s, y=np.roll(s.y, 1, 0)), "order of the coils"),
    "maps shifted by 30 pixels": (lambda s: recon(s, mps=np.roll(s.maps, 30, -1)), "shifted by -30 pixels along x"),
    "maps shifted by 12 pixels": (lambda s: recon(s, mps=np.roll(s.maps, 12, -2)), "shifted by -12 pixels along y"),
    "maps fftshifted": (lambda s: recon(s, mps=np.fft.fftshift(s.maps, (-2, -1))), "half a field of view"),
    "maps upside down": (lambda s: recon(s, mps=s.maps[:, ::-1]), "flipped along y"),
    "maps left for right": (lambda s: recon(s, mps=s.maps[:, :, ::-1]), "flipped along x"),
    "maps transposed": (lambda s: recon(s.square, mps=s.square.maps.swapaxes(1, 2)), "transposed"),
    "maps in k-space": (lambda s: recon(s, mps=fft(s.maps, (-2, -1))), "maps and data disagree"),
    "maps of other coils": (lambda s: recon(s, mps=_other_slice(s)), "maps of another scan"),
    "coil images for maps": (lambda s: recon(s, mps=_coil_images(s)), "images of the object"),
    "a coil's sign": (lambda s: recon(s, mps=_gains(s, [-1] + [1] * (s.coils - 1))), "factor of its own"),
    "coils of other gains": (lambda s: recon(s, mps=_gains(s, s.rng().uniform(0.2, 3, s.coils))), "factor of its own"),
    "maps of ones": (lambda s: recon(s, mps=np.ones_like(s.maps)), "no phase"),
    "a checkerboard of signs": (lambda s: recon(s, y=s.y * _sign(s.shape)), "(-1)^(ky + kx)"),
    "signs of every second line": (lambda s: recon(s, y=s.y * _sign(s.shape, (0,))), "(-1)^(ky)"),
    "k-space not shifted": (lambda s: recon(s, y=np.fft.ifftshift(s.y, (-2, -1)), mask=np.fft.ifftshift(s.mask)),
                            "fftshift"),
    "k-space conjugated": (lambda s: recon(s, y=s.y.conj()), "conjugated"),
    "k-space upside down": (lambda s: recon(s, y=s.y[:, ::-1], mask=s.mask[::-1]), "flipped along y"),
    "many spikes": (lambda s: recon(s, y=_spiked(s, 40, 0.3)), "spikes"),
    "one spike": (lambda s: recon(s, y=_spiked(s, 1, 2)), "spikes"),
    "a receiver that clips": (lambda s: recon(s, y=_clipped(s)), "clipped"),
    "the real part alone": (lambda s: recon(s, y=s.y.real.astype("c8")), "no imaginary part"),
    "coil images for k-space": (lambda s: pi.recon(pi.io.Scan(_coil_images(s), mps=s.maps), TV, max_iter=30),
                                "as in an image"),
    "the readout transformed already": (lambda s: recon(s, y=fft(s.y, (-1,), inverse=True)), "kx was transformed"),
    "lines in another order": (lambda s: pi.recon(pi.io.Scan(s.full.kspace[:, s.rng().permutation(s.shape[0])],
                                                            mps=s.maps), TV, max_iter=30), "in another order"),
    "every second line turned": (lambda s: recon(s, y=s.y * np.exp(1.2j * (np.arange(s.shape[0]) % 2))[:, None].astype(
        "c8")), "disagree|do not belong together"),
    "mask shifted by a line": (lambda s: recon(s, mask=np.roll(s.mask, 1, 0)), "outside the mask"),
    "mask of another seed": (lambda s: recon(s, mask=replace(s, seed=s.seed + 9).mask), "outside the mask"),
    "mask of ones": (lambda s: recon(s, mask=np.ones(s.shape, bool)), "says sampled at"),
    "mask transposed": (lambda s: recon(s.square, mask=s.square.mask.T), "outside the mask"),
    "mask inverted": (lambda s: recon(s, mask=~s.mask), "outside the mask"),
    "lines lost in the mask": (lambda s: recon(s, y=s.y * replace(s, seed=s.seed + 3).mask), "says sampled at"),
    "undersampled twice": (lambda s: recon(s, sampling=pi.Sampling(accel=4)), "undersample this scan again"),
    "lam 100 times too large": (lambda s: recon(s, prior=0.1 * pi.TV(), max_iter=100), "too large"),
    "lam 10000 times too large": (lambda s: recon(s, prior=10 * pi.TV(), max_iter=100), "too large"),
    "lam 1e5 times too small": (lambda s: recon(s, prior=1e-8 * pi.TV(), solver=pi.ADMM(), max_iter=100), "all data"),
    "magnitudes": (lambda s: recon(s, y=abs(s.y)), "magnitude"),
    "int16": (lambda s: recon(s, y=(1000 * s.y).real.astype(np.int16)), "int16"),
    "a dead coil": (lambda s: recon(s, y=s.y * (np.arange(s.coils) != 2)[:, None, None]), "dead"),
    "a coil 1000 times as loud": (lambda s: recon(s, y=s.y * np.where(np.arange(s.coils) == 2, 1e3, 1).astype(
        np.float32)[:, None, None]), "louder"),
    "noise of another scale": (lambda s: pi.recon(replace(s.scan, noise=_noisy(s, 100 * s.noise)), TV, max_iter=30),
                               "noise samples"),
}


def _real(name, sampling=None):
    scan = pi.io.load(data_path(f"kspace/{name}.h5"))
    return scan if sampling is None else sampling(scan)


def _mapped(name="invivo_brain_cimax_16ch"):
    """A real scan, 3x, with the maps of its full data."""
    full = pi.Recipe().prepare(_real(name))
    return pi.Sampling(accel=3)(full)


def _other(change, **options):
    scan = _mapped()
    given = change(scan) if change else {}
    return pi.recon(replace(scan, **given), options.pop("prior", TV), max_iter=30, **options)


PLANTED_REAL = {
    "maps conjugated": (lambda: _other(lambda s: {"mps": s.mps.conj()}), "conjugated"),
    "coils shuffled": (lambda: _other(lambda s: {"mps": s.mps[:, ::-1]}), "order of the coils"),
    "maps shifted": (lambda: _other(lambda s: {"mps": np.roll(s.mps, 30, -1)}), "shifted by -30 pixels"),
    "maps fftshifted": (lambda: _other(lambda s: {"mps": np.fft.fftshift(s.mps, (-2, -1))}), "half a field of view"),
    "maps without phase": (lambda: _other(lambda s: {"mps": abs(s.mps).astype("c8")}), "no phase"),
    "maps transposed": (lambda: _other(lambda s: {"mps": s.mps.swapaxes(-1, -2)}), "transposed"),
    "coil images for maps": (lambda: _other(lambda s: {"mps": fft(_real("invivo_brain_cimax_16ch").kspace, (-2, -1),
                                                                  inverse=True)}), "images of the object"),
    "checkerboard": (lambda: _other(lambda s: {"kspace": s.kspace * _sign(s.kspace.shape[-2:])}), "(-1)^(ky + kx)"),
    "mask shifted": (lambda: _other(lambda s: {"mask": np.roll(s.mask, 1, 0)}), "outside the mask"),
    "mask transposed": (lambda: _other(lambda s: {"mask": s.mask.T}), "outside the mask"),
    "undersampled again": (lambda: pi.recon(_real("brain_sigpytut_8ch_undersampled"), sampling=pi.Sampling(accel=4)),
                           "which was measured 8.04x"),
    "lam too large": (lambda: _other(None, prior=0.3 * pi.TV()), "too large"),
}


def _series(frames=4):
    s, motion = Simulation((64, 64), 4), np.linspace(1, 1.2, frames).astype(np.float32)
    mask = np.stack([masks.random(s.shape, 3, 0.12, seed=k) for k in range(frames)])
    kspace = motion[:, None, None, None] * s.full.kspace * mask[:, None]
    return pi.io.Scan(kspace, mask, axes=("frame", "coil", "ky", "kx"))


def _volume(planes=16):
    s = Simulation((48, 40), 4)
    slab = np.sin(np.pi * (np.arange(planes) + 0.5) / planes).astype(np.float32)
    volume = fft(slab[:, None, None] * np.stack([s.maps * s.full.image] * planes, 1), (-3, -2, -1))
    mask = masks.poisson((planes, 48), 2, calib=(8, 12), seed=1)[:, :, None]
    maps = np.ascontiguousarray(np.broadcast_to(s.maps[:, None], volume.shape))
    noise = s.rng().standard_normal((2, *volume.shape)) * 0.01
    return pi.io.Scan(((volume + noise[0] + 1j * noise[1]) * mask).astype("c8"), mask, maps,
                      axes=("coil", "kz", "ky", "kx"))


def _odd_phase(s):
    """An object whose phase winds six times and has noise of its own, and maps of any phase."""
    y, x = np.mgrid[:1:s.shape[0] * 1j, :1:s.shape[1] * 1j]
    phase = np.exp(2j * np.pi * (3 * y + 3 * x**2) + 0.3j * s.rng().standard_normal(s.shape))
    turn = np.exp(2j * np.pi * s.rng().random(s.coils))[:, None, None]
    maps = (s.maps * turn).astype("c8")
    noise = s.noise * s.rng().standard_normal((2, *maps.shape))
    return pi.io.Scan(((fft(maps * s.full.image * phase, (-2, -1)) + noise[0] + 1j * noise[1]) * s.mask).astype("c8"),
                      s.mask, maps)


def _one_coil(s):
    return pi.io.Scan(replace(s, coils=1).y, s.mask)


def _partial(s):
    half = (np.arange(s.shape[0]) > 3 * s.shape[0] // 8)[:, None] & np.ones(s.shape, bool)
    return pi.io.Scan(s.full.kspace * half, half, s.maps)


def _with_noise(s):
    return replace(s.scan, noise=_noisy(s, s.noise))


SHARED = ("brain_moco_7ch", "brain_sigpytut_8ch_undersampled", "gre_3echoes_bipolar", "gre_3echoes_unipolar",
          "head_sag_1ch", "invivo_brain_cimax_16ch", "invivo_brain_cimax_bodycoil_2ch", "phantom_cimax_16ch",
          "phantom_cimax_bodycoil_2ch", "phantom_gre_prisma_1ch")
SERIES = ("hp_rat_lactate", "hp_rat_pyruvate", "hp_rat_urea_full")
SHORT = {"prior": TV, "max_iter": 20}

GOOD_REAL = {
    **{name: lambda name=name: pi.recon(_real(name), **SHORT) for name in SHARED},
    **{name: lambda name=name: pi.recon(_real(name).select(frame=slice(0, 3)), 1e-2 * pi.TV(), max_iter=5)
       for name in SERIES},
    "invivo 3x, default prior": lambda: pi.recon(_real("invivo_brain_cimax_16ch"), sampling=pi.Sampling(accel=3)),
    "invivo 2x, GRAPPA": lambda: pi.recon(_real("invivo_brain_cimax_16ch"), method=Grappa(),
                                          sampling=pi.Sampling("equispaced", 2, 0.2)),
    "invivo 3x, full maps": lambda: pi.recon(_mapped(), **SHORT),
    "moco 4x, compressed": lambda: pi.recon(_real("brain_moco_7ch"), compress=Compress(4), **SHORT,
                                            sampling=pi.Sampling(accel=4)),
}
GOOD = {
    "as it should be": lambda s: pi.recon(s.scan, **SHORT),
    "maps made of it": lambda s: pi.recon(replace(s.scan, mps=None), **SHORT),
    "Walsh's maps": lambda s: pi.recon(replace(s.scan, mps=None), maps=Walsh(), **SHORT),
    "normalised maps": lambda s: pi.recon(s.y, mps=s.maps / np.linalg.norm(s.maps, axis=0), **SHORT),
    "no noise": lambda s: pi.recon(replace(s, noise=0.0).scan, **SHORT),
    "low SNR": lambda s: pi.recon(replace(s, noise=0.3).scan, 0.03 * pi.TV(), max_iter=20),
    "next to no signal": lambda s: pi.recon(replace(s, noise=2.0).scan, 0.1 * pi.TV(), max_iter=20),
    "an odd phase": lambda s: pi.recon(_odd_phase(s), **SHORT),
    "one coil": lambda s: pi.recon(_one_coil(s), **SHORT),
    "two coils": lambda s: pi.recon(replace(s, coils=2).scan, **SHORT),
    "whitened": lambda s: pi.recon(_with_noise(s), whiten=True, **SHORT),
    "its own noise": lambda s: pi.recon(_with_noise(s), **SHORT),
    "partial Fourier": lambda s: pi.recon(_partial(s), **SHORT),
    "partial Fourier, low SNR": lambda s: pi.recon(_partial(replace(s, noise=0.3)), 0.03 * pi.TV(), max_iter=20),
    "fully sampled": lambda s: pi.recon(s.full.kspace, **SHORT),
    "undersampled here": lambda s: pi.recon(s.full.kspace, sampling=pi.Sampling(accel=5), **SHORT),
    "SENSE alone": lambda s: pi.recon(s.scan, pi.Zero(), pi.CG(), max_iter=10),
    "Tikhonov": lambda s: pi.recon(s.scan, 1e-2 * pi.Tikhonov()),
    "GRAPPA": lambda s: pi.recon(s.full.kspace, method=Grappa(), sampling=pi.Sampling("equispaced", 2, 0.2)),
    "SPIRiT": lambda s: pi.recon(s.y, method=Spirit(), max_iter=20),
    "soft SENSE": lambda s: pi.recon(s.y, maps=pi.Espirit(sets=2), **SHORT),
    "a series": lambda s: pi.recon(_series(), 1e-2 * pi.TV(axes=("frame",)), max_iter=20),
    "a series, frame by frame": lambda s: pi.recon(_series(), each=("slice", "frame"), **SHORT),
    "a volume": lambda s: pi.recon(_volume(), **SHORT),
    "a volume, plane by plane": lambda s: pi.recon(_volume(), each=("slice", "x"), **SHORT),
}
