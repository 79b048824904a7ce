"""Metrics on a network's features: LPIPS and the Frechet distance (FID). Networks and weights are the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike, PathLike
from pisolve.backend import to_numpy
from pisolve.io.tensors import tensors_of
from pisolve.metrics._images import pair, peak_of, scaled, slices

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of LPIPS: ImageNet's colours in -1..1


def frechet(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Squared Frechet distance of two Gaussians fitted to features: FID, if the features are Inception's.

        ||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    Means m and covariances C (N - 1) over samples. With fewer samples than features it is biased upwards, and a lower
    value speaks for the distribution of images only: sharp images with the wrong anatomy may win.

    Args:
        features_a: real array (samples, features), two samples at least; numpy, cupy or torch.
        features_b: the same with as many features.

    Raises:
        ValueError: other shapes, fewer than two samples, NaN or Inf.

    Reference:
        Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017.
    """
    fits = []
    for name, x in (("features_a", features_a), ("features_b", features_b)):
        x = to_numpy(_check.array(name, x, ndim=2, complex_=False))
        if x.dtype.kind == "c" or len(x) < 2:
            raise ValueError(f"{name} is {x.dtype} of shape {x.shape}: real, with two samples at least, is needed")
        fits.append((x.mean(0, dtype=np.float64), np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False))))
    (m_a, c_a), (m_b, c_b) = fits
    if m_a.shape != m_b.shape:
        raise ValueError(f"features_b has {len(m_b)} features, features_a {len(m_a)}: take both from one network")
    values, vectors = np.linalg.eigh(c_a)
    root = vectors * np.sqrt(np.maximum(values, 0))
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ c_b @ root), 0)).sum()  # tr (C_a C_b)^(1/2)
    return float(max(np.sum((m_a - m_b) ** 2) + np.trace(c_a) + np.trace(c_b) - 2 * cross, 0.0))


def lpips(reference: ArrayLike | None, image: Any, network: Any, weights: Any, *,
          data_range: float | None = None) -> float:
    """Learned perceptual image patch similarity, mean over slices: 0 is equal.

        sum_l mean_yx sum_c w_lc (f_lc(reference) - f_lc(image))^2,  every f_l(y, x) scaled to length 1

    The magnitude, cut off at the range, fills the three colours in -1..1, shifted and scaled as LPIPS does. The
    network decides what the value means: the papers' are AlexNet and VGG, trained on photographs.

    Args:
        reference: real or complex array (y, x) or (slice, y, x); complex is compared by magnitude.
        image: array of the same shape.
        network: callable, float32 torch tensor (slice, 3, y, x) -> sequence of feature maps (slice, c_l, y_l, x_l);
            a torch module is put into its evaluation mode for the call.
        weights: one array (c_l,), not negative, for every feature map; `lpips_weights(path)` reads LPIPS's files.
        data_range: what becomes 1; None: the maximum of the whole reference volume.

    Raises:
        ValueError: as `nmse`, or weights that do not fit the features.

    Reference:
        Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018.
    """
    import torch

    if not callable(network):
        raise TypeError(f"network must be a callable that gives feature maps, got {_check.brief(network)}")
    reference, image = pair(reference, image)
    reference, image, peak = scaled(reference, image, peak_of(reference, data_range))
    weights = [np.ravel(to_numpy(w)).astype(np.float64) if _check.is_array(w) else np.ravel(w) for w in weights]

    def tensor(x):
        grey = 2 * np.clip(slices(x) / peak, 0, 1) - 1
        colours = (grey[:, None] - np.reshape(_SHIFT, (3, 1, 1))) / np.reshape(_SCALE, (3, 1, 1))
        return torch.from_numpy(colours.astype(np.float32))

    training = getattr(network, "training", False)
    try:
        if training:
            network.eval()
        with torch.no_grad():
            features = [[to_numpy(f).astype(np.float64) for f in network(tensor(x))] for x in (reference, image)]
    finally:
        if training:
            network.train()
    maps = [f.shape[1] if f.ndim == 4 else None for f in features[0]]
    if maps != [len(w) for w in weights]:
        raise ValueError(f"weights have {[len(w) for w in weights]} channels, the network's features {maps}: one array "
                         "of weights for every feature map is needed")
    total = 0.0
    for a, b, w in zip(*features, weights):
        a, b = (f / np.sqrt(np.sum(f**2, axis=1, keepdims=True) + 1e-20) for f in (a, b))
        total += float(np.mean(np.tensordot(w, (a - b) ** 2, (0, 1))))
    return total


def lpips_features(path: PathLike) -> Any:
    """The network of LPIPS's `alex.pth`: AlexNet's five layers after their rectifiers, from torchvision's weights.

    Args:
        path: torchvision's file (`alexnet-owt-....pth`), or another `state_dict` with the same names.

    Returns:
        A torch module (slice, 3, y, x) -> five feature maps of 64, 192, 384, 256 and 256 channels; y and x of 31 at
        least. It is the `network` of `lpips`.

    Raises:
        FileNotFoundError: no such file; nothing is downloaded.
        ValueError: not such a file, one that holds code, NaN, or tensors that are larger than itself.

    Example:
        metrics.lpips(truth, image, metrics.lpips_features("alexnet.pth"), metrics.lpips_weights("alex.pth"))

    Reference:
        Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NIPS 2012.
    """
    import torch
    from torch import nn

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there: put torchvision's weights of AlexNet there, nothing is "
                                "downloaded")

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1),
                     (256, 256, 3, 1, 1))
            self.layers = nn.ModuleList(nn.Conv2d(a, b, k, s, p) for a, b, k, s, p in sizes)

        def forward(self, x):
            found = []
            for k, layer in enumerate(self.layers):
                x = torch.relu(layer(nn.functional.max_pool2d(x, 3, 2) if k in (1, 2) else x))
                found.append(x)
            return found

    made = Features()
    try:
        state = tensors_of(path)
        made.load_state_dict({f"layers.{k}.{part}": state[f"features.{n}.{part}"]
                              for k, n in enumerate((0, 3, 6, 8, 10)) for part in ("weight", "bias")})
    except Exception as error:
        raise ValueError(f"{path} holds no weights of AlexNet as torchvision has them: {error}") from error
    return made.eval()


def lpips_weights(path: PathLike) -> list[np.ndarray]:
    """The linear weights of an LPIPS file (`alex.pth`, `vgg.pth`, `squeeze.pth`), one array (c_l,) a layer.

    Raises:
        FileNotFoundError: no such file; nothing is downloaded.
        ValueError: not such a file, one that holds code, NaN, or tensors that are larger than itself.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there: put LPIPS's file of linear weights there, nothing is downloaded")
    try:
        state = tensors_of(path)
        order = sorted(state, key=lambda k: int(k.removeprefix("lin").partition(".")[0]))
        return [to_numpy(state[k]).reshape(-1) for k in order]
    except Exception as error:
        raise ValueError(f"{path} holds no weights lin0 ... of LPIPS: {error}") from error
