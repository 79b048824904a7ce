"""LPIPS as one of a comparison's metrics, with the network and weights that the user has."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np

from pisolve import _check, metrics


def judge(lpips: Any, shapes=()) -> dict[str, Callable]:
    """{"lpips": (reference, image, data_range) -> number}; {} for None.

    Args:
        lpips: None, or (network, weights) as `metrics.lpips` takes them; each may be the path of a file instead, of
            torchvision's AlexNet, see `metrics.lpips_features`, and of LPIPS, see `metrics.lpips_weights`.
        shapes: (y, x) of the images to come: those too small for the network are refused before the work.

    Raises:
        TypeError, ValueError, FileNotFoundError: none of these, or files that are missing or hold something else.
    """
    if lpips is None:
        return {}
    if not isinstance(lpips, tuple | list) or len(lpips) != 2:
        raise TypeError(f"lpips must be (network, weights), or the paths of both, got {_check.brief(lpips)}")
    network, weights = lpips
    network = metrics.lpips_features(network) if isinstance(network, str | PathLike) else network
    weights = metrics.lpips_weights(weights) if isinstance(weights, str | PathLike) else weights

    def measured(reference, image, data_range) -> float:
        return metrics.lpips(reference, image, network, weights, data_range=data_range)

    for shape in sorted(set(shapes)):
        try:
            measured(np.eye(*shape), np.eye(*shape), 1.0)
        except RuntimeError as error:
            raise ValueError(f"images of {' x '.join(map(str, shape))} are too small for the network of lpips: "
                             f"{_check.brief(str(error))}") from error
    return {"lpips": measured}
