"""Maps from undersampled k-space: images first against one step, on a numerical brain with known T1, T2 and field.

    python benchmarks/quantitative.py [--quick] [--only t2]

maps/brain_properties.h5 (PISOLVE_DATA; T1, T2 at 1.5 T) on 2 mm pixels (108 x 90, --quick 4 mm), 8 coils, noise for an
SNR of 50 in white matter at the first time, fully sampled; random lines, others in every frame, with 8 in the centre at
4x and 4 at 8x. t2: 10 echoes 20 ms apart; t1_ir: 8 inversion times, 0.05 to 4 s; b0: 4 echoes, 3 to 12 ms, T2* as
there, a field of +- 60 Hz drawn over it. Two steps: images by LLR or by a wavelet of every frame, and a fit of each
pixel; one step: `signals.one_step` with wavelets, or a quadratic prior, of the maps. Each has its strength from a grid,
chosen by the error on the sampling and noise of seed 0, and is measured with those of seed 1: the median over grey and
white matter and CSF of |error| / truth, of b0 in Hz, and seconds. Writes benchmarks/results/quantitative.json.
"""

import argparse
import json
import time

import cine
import h5py
import numpy as np
from keep import keep

import pisolve as pi

OUT = cine.ROOT / "benchmarks" / "results" / "quantitative.json"
TISSUE, WHITE, SNR = (23, 46, 70), 70, 50.0  # labels
TIMES = {"t2": 0.02 * np.arange(1, 11), "t1_ir": np.array([0.05, 0.15, 0.35, 0.6, 1.0, 1.6, 2.5, 4.0]),
         "b0": np.array([0.003, 0.0052, 0.0082, 0.012])}
MAP = {"t2": "t2", "t1_ir": "t1", "b0": "frequency"}
STRENGTHS = np.geomspace(3e-4, 3e-2, 5)


def object_of(name, step):
    """(frames, truth, where tissue is)."""
    with h5py.File(cine.DATA / "maps" / "brain_properties.h5") as file:
        names = ("pd", "t1", "t2", "t2s", "label")
        pd, t1, t2, t2s, label = (file[n][step // 2::step, step // 2::step] for n in names)
    y, x = np.mgrid[-1:1:pd.shape[0] * 1j, -1:1:pd.shape[1] * 1j]
    a = pd / pd[label == WHITE].mean() * np.exp(1j * (0.6 * x + 0.4 * y**2))
    field = 60 * (x * y + 0.5 * np.exp(-((x - 0.1) ** 2 + (y + 0.5) ** 2) / 0.08))
    safe = [np.where(v > 0, v, 1) for v in (t1, t2, t2s)]
    signal = {"t2": lambda t: pi.signals.decay(safe[1], t),
              "t1_ir": lambda t: pi.signals.inversion_recovery(safe[0], t),
              "b0": lambda t: pi.signals.decay(safe[2], t, frequency=field)}[name](TIMES[name])
    truth = {"t2": t2, "t1_ir": t1, "b0": field}[name]
    return (a * np.moveaxis(signal, -1, 0)).astype(np.complex64), truth, np.isin(label, TISSUE), label == WHITE


def scan_of(images, white, accel, seed):
    frames, ny, nx = images.shape
    y, x = np.mgrid[-1:1:ny * 1j, -1:1:nx * 1j]
    turn = 2 * np.pi * np.arange(8) / 8
    mps = np.stack([np.exp(-((x - np.cos(t)) ** 2 + (y - np.sin(t)) ** 2) / 1.2 + 1j * (t + x * np.cos(t)))
                    for t in turn])
    mps = (mps / np.linalg.norm(mps, axis=0)).astype(np.complex64)
    rng = np.random.default_rng(seed)
    half = 16 // accel
    keep_ = rng.random((frames, ny, 1)) < (ny / accel - 2 * half) / (ny - 2 * half)
    keep_[:, ny // 2 - half: ny // 2 + half] = True
    A = pi.linops.sense(mps, keep_, shape=(frames, 8, ny, nx), axes=("echo", "coil", "ky", "kx"))
    k = A(images)
    noise = abs(images[0][white]).mean() / SNR
    k = k + noise * (k != 0) * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape)).astype(np.complex64)
    return pi.io.Scan(k.astype(np.complex64), np.broadcast_to(keep_, images.shape), mps, axes=A.oaxes)


def smooth(shape):
    return pi.Quadratic(pi.linops.gradient(shape, axes=(-2, -1)))


def ways(name, shape):
    parameters = {"t2": 2, "t1_ir": 3, "b0": 3}[name]
    inner = (parameters, *shape)
    return {
        "two steps, SENSE": (None, lambda lam: pi.Zero(), {"max_iter": 12}),
        "two steps, wavelet": (False, lambda lam: lam * pi.Wavelet(shifts=16), {"each": ("slice", "echo")}),
        "two steps, LLR": (False, lambda lam: 20 * lam * pi.LLR(shifts=16), {}),
        "one step, wavelet": (True, lambda lam: lam * pi.Wavelet(axes=("y", "x")), {}),
        "one step, joint wavelet": (True, lambda lam: lam * pi.L21(axis=0) @ pi.linops.wavelet(inner, axes=(-2, -1)),
                                    {}),
        "one step, smooth": (True, lambda lam: lam * smooth(inner), {})}


def error(name, found, truth, where):
    off = abs(np.nan_to_num(found.maps[MAP[name]], nan=0.0) - truth)[where]
    return float(np.median(off if name == "b0" else off / truth[where]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 mm pixels, two strengths; nothing is written")
    parser.add_argument("--only", choices=tuple(TIMES))
    parser.add_argument("--accel", type=int, nargs="*", default=[4, 8])
    args = parser.parse_args()
    report = {"command": "python benchmarks/quantitative.py", "rows": []}
    if OUT.exists() and not args.quick:
        report = json.loads(OUT.read_text())
    strengths = STRENGTHS[1::2] if args.quick else STRENGTHS
    for name in TIMES if args.only is None else (args.only,):
        images, truth, tissue, white = object_of(name, 8 if args.quick else 4)
        for accel in args.accel:
            scans = [scan_of(images, white, accel, seed) for seed in (0, 1)]
            new = []
            for way, (one, prior, options) in ways(name, images.shape[1:]).items():
                how = {"times": TIMES[name], "one_step": bool(one), **options}
                grid = (1.0,) if one is None else strengths
                tuning = [error(name, pi.quantify(scans[0], name, prior(lam), **how), truth, tissue)
                          for lam in (grid if len(grid) > 1 else ())]
                lam = float(grid[int(np.argmin(tuning))] if tuning else 1)
                start = time.perf_counter()
                found = pi.quantify(scans[1], name, prior(lam), **how)
                seconds = time.perf_counter() - start
                new.append({"signal": name, "accel": accel, "way": way, "seconds": round(seconds, 1), "strength": lam,
                            "error": round(error(name, found, truth, tissue), 4),
                            "tuning": [round(e, 4) for e in tuning]})
                print(json.dumps(new[-1]), flush=True)
            report["rows"] = [r for r in report["rows"] if (r["signal"], r["accel"]) != (name, accel)] + new
            if not args.quick:
                keep(OUT, report)


if __name__ == "__main__":
    main()
