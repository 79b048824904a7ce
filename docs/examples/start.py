import numpy as np
import torch

import pisolve as pi

brain = pi.phantom.brain((64, 64), 6, noise=0.01)  # k-space, true maps and true image
mask = pi.masks.random((64, 64), accel=2, center_fraction=0.375, seed=1)
full = pi.io.Scan(brain.kspace)
scan = full.undersample(mask)
A = pi.linops.sense(brain.mps, mask)
y = brain.kspace * mask
body = pi.metrics.body(brain.image)
