"""Simulated motion between the shots of a real head: what joint estimation finds, and what it gives back.

    python benchmarks/motion.py [--side 128] [--shots 4] [--picture motion.png]

kspace/brain_moco_7ch.h5 (PISOLVE_DATA; in vivo, 7 coils), its centre of --side x --side samples, scaled to a largest
value of 1, with maps by ESPIRiT. Interleaved shots (every n-th line), each with a shift and a turn of its own, drawn
with standard deviations of --pixels and --degrees; noise of 1 % of the largest pixel. `signals.motion` finds both, and
is certified by the misfit beside that of an image without motion. Tells the errors of shifts and angles against the
first shot, PSNR of magnitudes to the still image inside the body, of an image without motion and of the joint one, and
the same for data that did not move. Writes benchmarks/results/motion.json.
"""

import argparse
import json
import time

import cine
import numpy as np
from keep import keep

import pisolve as pi

OUT = cine.ROOT / "benchmarks" / "results" / "motion.json"


def scene(side, shots, noise, seed):
    """(the encoding of all shots, the still image, noise for the data)."""
    k = pi.io.load(cine.DATA / "kspace" / "brain_moco_7ch.h5").kspace
    k = k.reshape(k.shape[-3:])
    ny, nx = k.shape[-2:]
    k = k[:, ny // 2 - side // 2: ny // 2 + side // 2, nx // 2 - side // 2: nx // 2 + side // 2]
    mps = pi.calib.espirit(k)
    image = pi.linops.sense(mps).H(k)
    image = image / abs(image).max()
    mask = (np.arange(side) % shots == np.arange(shots)[:, None])[:, :, None]
    A = pi.linops.sense(mps, mask, shape=(shots, *mps.shape), axes=("state", "coil", "ky", "kx"))
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(A.oshape) + 1j * rng.standard_normal(A.oshape)
    return A, image.astype(np.complex64), (noise * drawn).astype(np.complex64)


def row(A, image, y, shifts, angles):
    start = time.perf_counter()
    found = pi.signals.motion(A, y)
    seconds = time.perf_counter() - start
    still = pi.solve(A * pi.linops.rigid(image.shape, 0 * shifts), y, None, pi.CG(), max_iter=90, tol=1e-6).x
    body = pi.metrics.body(abs(image))  # what turned out of the field of all coil maps is seen by none
    told = {n: round(float(pi.metrics.psnr(abs(image), abs(x), region=body)), 2)
            for n, x in (("without", still), ("with", found.x))}
    return {"found": bool(found.found), "still": round(found.still, 4), "misfit": round(found.misfit, 4),
            "shift_error_pixels": round(float(abs(found.shifts - shifts).max()), 3),
            "angle_error_degrees": round(float(abs(found.angles - angles).max()), 3), "psnr": told,
            "seconds": round(seconds, 1)}, still, found.x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--pixels", type=float, default=1.5)
    parser.add_argument("--degrees", type=float, default=2.0)
    parser.add_argument("--picture")
    args = parser.parse_args()
    A, image, noise = scene(args.side, args.shots, 0.01, 0)
    rng = np.random.default_rng(1)
    shifts = args.pixels * rng.standard_normal((args.shots, 2))
    angles = args.degrees * rng.standard_normal(args.shots)
    shifts[0] = angles[0] = 0
    report, shown = {"command": "python benchmarks/motion.py", "side": args.side, "shots": args.shots,
                     "shifts": shifts.round(2).tolist(), "angles": angles.round(2).tolist()}, []
    for name, d, a in (("moved", shifts, angles), ("still", 0 * shifts, 0 * angles)):
        y = (A * pi.linops.rigid(image.shape, d, a))(image).astype(np.complex64)
        report[name], *images = row(A, image, y + noise * (y != 0), d, a)
        shown = shown or images
        print(name, json.dumps(report[name]), flush=True)
    if args.picture:
        from matplotlib import pyplot

        _, panels = pyplot.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
        for panel, x, title in zip(panels, (image, *shown), ("still", "moved, not corrected", "moved, joint estimate")):
            panel.imshow(abs(x), cmap="gray", vmin=0, vmax=0.9)
            panel.set(xticks=[], yticks=[], title=title)
        pyplot.savefig(args.picture, dpi=110)
        pyplot.close()
    keep(OUT, report)


if __name__ == "__main__":
    main()
