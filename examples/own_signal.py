"""A signal model of your own in six lines: maps from images, and in one step from k-space, with units and error bars.

    python examples/own_signal.py [picture.png]

Two compartments share a pixel: one decays with the T2 that is looked for, the other, water, with 2 s. The function says
what an image is at each time, `Parameter` what its maps are called, in which unit, and in which range they are.
"""

import sys

import numpy as np
import torch

import pisolve as pi
from pisolve.testing import check_signal

model = pi.signals.Model(
    lambda t, t2, free: (1 - free) * torch.exp(-t / t2) + free * torch.exp(-t / 2.0),
    [pi.signals.Parameter("t2", "s", 0.02, 0.3), pi.signals.Parameter("free", "", -0.5, 1.5)],
    clock="echo_times")

times = np.array([0.01, 0.02, 0.04, 0.07, 0.11, 0.17, 0.26, 0.4])
check_signal(model, times)  # the derivative that torch found, against differences

side = 32
head = pi.phantom.brain((side, side), 6)
mps = (head.mps / np.linalg.norm(head.mps, axis=0)).astype(np.complex64)
y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
t2, free = 0.06 + 0.03 * (x > 0), 0.1 + 0.3 * (y > 0)
seen = abs(head.image) > 0.2
signal = model.value(times, np.stack([t2.ravel(), free.ravel()])).reshape(-1, side, side)
mask = np.random.default_rng(0).random((len(times), side, 1)) < 0.5  # other lines in every echo
A = pi.linops.sense(mps, mask, shape=(len(times), *mps.shape), axes=("echo", "coil", "ky", "kx"))
rng = np.random.default_rng(1)
k = A((head.image * signal).astype(np.complex64))
k = k + 0.003 * (k != 0) * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape)).astype(np.complex64)
scan = pi.io.Scan(k, np.broadcast_to(mask, (len(times), side, side)), mps, axes=A.oaxes)

prior = 3e-3 * pi.Quadratic(pi.linops.gradient((3, side, side), axes=(-2, -1)))  # of amplitude, t2 and free
for name, found in (("images first", pi.quantify(scan, model, 2e-3 * pi.LLR(), times=times)),
                    ("one step", pi.quantify(scan, model, prior, times=times, one_step=True, replicas=8))):
    for word, truth in (("t2", t2), ("free", free)):
        known = seen & found.maps.mask[word]
        error = np.median(abs(found[word] - truth)[known])
        print(f"{name + ', ' + word:20}  error {error:.4f} {found.maps.units[word]:2} told "
              f"{np.nanmedian(found.maps.std[word][known]):.4f}")
if len(sys.argv) > 1:
    found.save(sys.argv[1])
