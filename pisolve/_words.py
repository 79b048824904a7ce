"""What methods, patterns and choices are called, and what they are given where nothing is said: plain values.

The command line lists them, and asks for no more than this file to do so; the rooms that do what they say import them
from here, too.
"""

POINTS = ("poisson", "variable_density")  # patterns of single points, with a full centre of their own
TRAJECTORIES = ("radial", "spiral", "stack-of-stars", "stack-of-spirals")  # simulated from a full scan
SAMPLINGS = ("random", "equispaced", "equispaced_fraction", *POINTS, "vista", *TRAJECTORIES)  # patterns of `masks`
MAPS = ("espirit", "walsh", "inati", "jsense")  # how coil maps are made
CROP = 0.8  # ESPIRiT's maps are 0 where the eigenvalue is below
VARIANTS = ("raki", "residual", "linear")  # of RAKI
SOLVERS = ("cg", "dataprox", "fista", "pogm", "gradientdescent", "gmres", "lsmr", "lsqr", "relaxed", "admm", "hqs",
           "pdhg")
CRITERIA = ("holdout", "sure", "discrepancy", "reference")  # of tuning
TRIALS = 12  # strengths to try, where several priors get the same number of them
EPI = ("auto", "navigator", "entropy", "none")  # how the ghost of echo-planar imaging is found
COUNTERS = ("encoding", "contrast", "phase", "repetition", "set")  # of raw data: all but encodings become axes
PARTS = (*COUNTERS, "slice", "average", "channels", "measurement")  # what a part of raw data is chosen by

# What a prior is given where nothing else is said, for images with a 99th percentile of 1. A network is the price of
# an iteration, and plug-and-play by ADMM is near its fixed point after 30 of them.
DEFAULTS = {
    "zero": {},
    "tikhonov": {"lam": 1e-2},
    "l1": {"lam": 2e-3},
    "wavelet": {"lam": 2e-3},
    "tv": {"lam": 1.5e-3},
    "tgv": {"lam": 1.5e-3},
    "pnp": {"sigma": 0.1, "max_iter": 30},
    "red": {"lam": 0.05, "sigma": 0.06},
    "llr": {"lam": 0.1},
    "nuclear": {"lam": 1.0},
    "l+s": {"lam": 2.0},
    "temporal-fft": {"lam": 0.03},
    "temporal-tv": {"lam": 0.03},
}
SERIES = ("llr", "nuclear", "l+s", "temporal-fft", "temporal-tv")  # of those: for a series of images
SIGNALS = ("t2", "t2star", "t1_ir", "molli", "b0", "water_fat")  # what `signals` makes maps of
DENOISER = "denoiser-brain"
ZERO_FILLED = "zero-filled"
FITTED = ("convdecoder", "zs-ssl")  # networks fitted to the scan: minutes a slice
RECONSTRUCTIONS = ("sense", "grappa", "raki", "spirit")
WORDS = (ZERO_FILLED, *(w for w in DEFAULTS if w != "zero"), *RECONSTRUCTIONS, *FITTED, "pnp-hqs")
FALLBACKS = ("pnp", "tv", "tgv", "wavelet")  # what may stand in for a network
SHORT = {"informed": "informed-brain", "modl": "modl-brain", "varnet": "varnet-brain"}
NETWORKS = ("denoiser", "unrolled", "image", "k-space", "adversarial", "untrained", "calibration")  # kinds of them
ANALYSES = ("stability", "uncertainty", "visibility", "gfactor", "posterior", "realism")  # sections of a comparison
TESTS = ("perturbation", "details", "samples")  # of stability
