"""What methods of a comparison are judged by: which way is better, what each number means, and how it is written."""

from __future__ import annotations

import math

import numpy as np

from pisolve import metrics

HIGHER = {"psnr": True, "psnr_body": True, "ssim": True, "vif": True, "ms_ssim": True, "nmse": False, "hfen": False,
          "lpips": False, "holdout": False, "holdout_image": False, "chi": False, "seconds": False, "memory_mb": False}
NEAR_ONE = ("chi",)  # neither high nor low is good: nothing is ranked by it
DEFINITIONS = metrics.DEFINITIONS | {
    "psnr_body": "PSNR with the mean squared error taken inside the body of the reference (metrics.body)",
    "holdout": "||P (F S x_P - y)|| / ||P y||: a quarter of the samples outside the full centre is withheld and "
               "predicted by the image of the rest, three folds; its noise floor is not 0",
    "holdout_image": "the same errors brought into the image, A^H, in phase with the object and inside the body",
    "chi": "sqrt(mean |M (F S x - y)|^2 / (2 sigma^2)) over the measured samples: 1 is noise alone; well above 1 the "
           "image contradicts the data, below 1 it follows their noise; no measure of quality",
}


def plain(value):
    """Values that strict JSON can hold: NaN and infinity become None, arrays lists, numpy's numbers Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
