"""Maps from undersampled k-space: images first against one step, on a numerical brain with known T1, T2 and field.

    python benchmarks/quantitative.py [--only t2] [--accel 4] [--way "one step, joint TV"] [--strengths 2e-3 4e-3]
                                      [--coarse] [--partial] [--picture a.png] [--quick]

maps/brain_properties.h5 (PISOLVE_DATA; T1, T2 at 1.5 T) on 2 mm pixels (108 x 90, --quick 4 mm), 8 coils, noise for an
SNR of 50 in white matter at the first time, fully sampled; random lines, others in every frame, with 8 in the centre at
4x and 4 at 8x. t2: 10 echoes 20 ms apart; t1_ir: 8 inversion times, 0.05 to 4 s; b0: 4 echoes, 3 to 12 ms, T2* as
there, a field of +- 60 Hz drawn over it. Two steps: images by LLR, by a wavelet of every frame or by a joint TV of
all, and a fit of each pixel; one step: `signals.one_step` with wavelets, TV or a quadratic prior of the maps. Each has
its strength from a grid, chosen by the error on the sampling and noise of seed 0, and is measured with those of seed 1:
the median over grey and white matter and CSF of |error| / truth, of b0 in Hz, bias and precision by tissue, and
seconds. `floor` is the error of a fit to fully sampled images with the same noise, and what it becomes where a share of
the samples is left: times the root of the acceleration. The object has hard edges and flat tissue, which suits TV.
Writes benchmarks/results/quantitative.json.
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
TISSUE, WHITE, SNR = {23: "CSF", 46: "grey", 70: "white"}, 70, 50.0  # labels
TIMES = {"t2": 0.02 * np.arange(1, 11), "t1_ir": np.array([0.05, 0.15, 0.35, 0.6, 1.0, 1.6, 2.5, 4.0]),
         "b0": np.array([0.003, 0.0052, 0.0082, 0.012])}
MAP = {"t2": "t2", "t1_ir": "t1", "b0": "frequency"}
STRENGTHS = np.geomspace(3e-4, 3e-2, 5)


def object_of(name, step, partial=False):
    """(frames, truth, labels); `partial`: pixels are means over step x step, labelled where these are of one tissue."""
    if partial:
        images, truth, label = object_of(name, 1)
        ny, nx = (n // step * step for n in label.shape)
        images, truth, label = (v[..., :ny, :nx].reshape(*v.shape[:-2], ny // step, step, nx // step, step)
                                for v in (images, truth, label))
        pure = label.max((1, 3)) == label.min((1, 3))
        return images.mean((-3, -1)), truth.mean((1, 3)), np.where(pure, label.max((1, 3)), 0)
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
    return (a * np.moveaxis(signal, -1, 0)).astype(np.complex64), truth, label


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


def joint_tv(shape):
    """Edges of all images or maps in one place."""
    return pi.L21(axis=(0, 1)) @ pi.linops.gradient(shape, axes=(-2, -1), boundary="neumann")


def smooth(shape):
    return pi.Quadratic(pi.linops.gradient(shape, axes=(-2, -1)))


def ways(name, frames, shape):
    parameters = {"t2": 2, "t1_ir": 3, "b0": 3}[name]
    inner = (parameters, *shape)
    return {
        "two steps, SENSE": (None, lambda lam: pi.Zero(), {"max_iter": 12}),
        "two steps, wavelet": (False, lambda lam: lam * pi.Wavelet(shifts=16), {"each": ("slice", "echo")}),
        "two steps, LLR": (False, lambda lam: 20 * lam * pi.LLR(shifts=16), {}),
        "two steps, joint TV": (False, lambda lam: lam * joint_tv((frames, *shape)), {"max_iter": 60}),
        "one step, wavelet": (True, lambda lam: lam * pi.Wavelet(axes=("y", "x")), {}),
        "one step, joint wavelet": (True, lambda lam: lam * pi.L21(axis=0) @ pi.linops.wavelet(inner, axes=(-2, -1)),
                                    {}),
        "one step, joint TV": (True, lambda lam: lam * joint_tv(inner), {}),
        "one step, smooth": (True, lambda lam: lam * smooth(inner), {})}


def error(name, found, truth, label):
    where = np.isin(label, list(TISSUE))
    off = abs(np.nan_to_num(found[MAP[name]], nan=0.0) - truth)[where]
    return float(np.median(off if name == "b0" else off / truth[where]))


def by_tissue(name, found, truth, label):
    """{tissue: [bias, precision, share determined]}, relative but of b0 in Hz."""
    known = np.where(np.isin(label, list(TISSUE)), label, 0)
    done = pi.evaluate.compare_maps([{MAP[name]: found[MAP[name]]}], {MAP[name]: truth}, regions=known, names=TISSUE)
    out = {}
    for r in done.records():
        size = 1 if name == "b0" else r["reference"]
        out[r["region"]] = [round(r["bias"] / size, 4), round(r["precision"] / size, 4), round(r["determined"], 3)]
    return out


def floor(name, images, truth, label):
    """The error of a fit to fully sampled images."""
    rng = np.random.default_rng(0)
    noise = abs(images[0][label == WHITE]).mean() / SNR
    noise = noise * (rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape))
    return error(name, pi.signals.named(name).fit(images + noise, TIMES[name], 0, None), truth, label)


def picture(path, name, maps, truth):
    """The map of each way above its difference to the truth."""
    from matplotlib import pyplot

    unit = "Hz" if name == "b0" else "s"
    low, high = (-100, 100) if name == "b0" else (0, np.percentile(truth[truth > 0], 95))
    top = 5 if name == "b0" else 0.15 * high
    _, panels = pyplot.subplots(2, len(maps) + 1, figsize=(2.6 * len(maps) + 2.6, 5.6), layout="constrained")
    for column, (way, found) in zip(panels.T, {"truth": truth, **maps}.items()):
        colours = pyplot.get_cmap("coolwarm" if name == "b0" else "viridis").with_extremes(bad="black")
        shown = column[0].imshow(np.where(truth != 0, found, np.nan), cmap=colours, vmin=low, vmax=high)
        off = column[1].imshow(np.where(truth != 0, found - truth, np.nan), cmap="coolwarm", vmin=-top, vmax=top)
        column[0].set_title(way, fontsize=8)
        for panel in column:
            panel.set(xticks=[], yticks=[])
    pyplot.colorbar(shown, ax=panels[0], shrink=0.8, label=f"{MAP[name]} [{unit}]")
    pyplot.colorbar(off, ax=panels[1], shrink=0.8, label=f"difference [{unit}]")
    pyplot.savefig(path, dpi=110)
    pyplot.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 mm pixels, two strengths; nothing is written")
    parser.add_argument("--only", choices=tuple(TIMES))
    parser.add_argument("--accel", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--way", help='one row, such as "one step, joint TV"')
    parser.add_argument("--strengths", type=float, nargs="*", default=STRENGTHS, help="the grid")
    parser.add_argument("--coarse", action="store_true", help="4 mm pixels")
    parser.add_argument("--partial", action="store_true", help="pixels with several tissues; judged in those of one")
    parser.add_argument("--picture")
    args = parser.parse_args()
    report = {"command": "python benchmarks/quantitative.py", "rows": []}
    if OUT.exists() and not args.quick:
        report = json.loads(OUT.read_text())
    strengths = STRENGTHS[1::2] if args.quick else args.strengths
    for name in TIMES if args.only is None else (args.only,):
        images, truth, label = object_of(name, 8 if args.quick or args.coarse else 4, args.partial)
        report.setdefault("floor", {})[name + " partial" * args.partial] = round(floor(name, images, truth, label), 4)
        for accel in args.accel:
            scans = [scan_of(images, label == WHITE, accel, seed) for seed in (0, 1)]
            new, drawn = [], {}
            for way, (one, prior, options) in ways(name, len(images), images.shape[1:]).items():
                if args.way not in (None, way):
                    continue
                how = {"times": TIMES[name], "one_step": bool(one), **options}
                grid = (1.0,) if one is None else strengths
                tuning = [error(name, pi.quantify(scans[0], name, prior(lam), **how), truth, label)
                          for lam in (grid if len(grid) > 1 else ())]
                lam = float(grid[int(np.argmin(tuning))] if tuning else grid[0])
                start = time.perf_counter()
                found = pi.quantify(scans[1], name, prior(lam), **how)
                seconds = time.perf_counter() - start
                new.append({"signal": name, "accel": accel, "pixels_mm": 2 * (1 + (args.quick or args.coarse)),
                            "partial_volume": args.partial, "way": way, "seconds": round(seconds, 1), "strength": lam,
                            "grid": [float(f"{v:.2g}") for v in grid],
                            "error": round(error(name, found, truth, label), 4),
                            "by_tissue": by_tissue(name, found, truth, label),
                            "tuning": [round(e, 4) for e in tuning]})
                print(json.dumps(new[-1]), flush=True)
                drawn[way] = found[MAP[name]]
            report["rows"] = [r for r in report["rows"] if (r["signal"], r["accel"], r.get("partial_volume", False))
                              != (name, accel, args.partial) or r["way"] not in drawn] + new
            report["rows"].sort(key=lambda r: (r["signal"], r["accel"]))
            if args.picture:
                picture(args.picture, name, drawn, truth)
            if not args.quick:
                keep(OUT, report)


if __name__ == "__main__":
    main()
