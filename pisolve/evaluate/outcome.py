"""One method on one k-space: what `compare` knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _axes
from pisolve.evaluate.planes import labels, told

FAILED = ("failed", "nonfinite", "diverged")  # statuses of outcomes without numbers, worst first


@dataclass(frozen=True)
class Setting:
    """One k-space, the same for all methods: a scan under one sampling pattern.

    Attributes:
        scan: the scan's name.
        accel, mask, seed: of the retrospective undersampling; None where the scan is taken as it was measured.
        pattern: bool (ky, kx), True where sampled; with the other axes of k-space, as of a `Scan`'s mask, where frames
            or slices have their own.
        reference: real, with `image_axes`, or None.
        reference_kind: what the reference is, in words; "" without one.
        shape: (slice, coil, ky, kx), or of the axes `axes`.
        scale: what k-space was multiplied by before solving.
        warnings: what is odd about the data, one sentence each.
        size: of the image, where it is not that of k-space: samples lie anywhere.
        pixel: mm along y and x of a pixel, (1, 1) where the scan does not say it.
        noise, noise_from: standard deviation of the real and of the imaginary part of a sample, and where it is from.
    """

    scan: str
    accel: float | None
    mask: str | None
    seed: int | None
    pattern: np.ndarray
    reference: np.ndarray | None
    reference_kind: str
    shape: tuple[Any, ...]
    scale: float
    warnings: tuple[Any, ...] = ()
    noise: float | None = None
    noise_from: str = ""
    axes: tuple[Any, ...] = ("slice", "coil", "ky", "kx")
    size: tuple[Any, ...] | None = None
    pixel: tuple[float, float] = (1.0, 1.0)

    @property
    def image_axes(self) -> tuple[str, ...]:
        """The names of the axes of images, "slice" first, of one where the scan has none."""
        return _axes.of_image(self.axes)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The sizes of `image_axes`, before anything is cropped; as of a `Scan` that has slices."""
        return _axes.image_shape(self.axes, self.shape, self.size)

    @property
    def planes(self) -> list[dict[str, Any]]:
        """{name: number} of each plane (y, x) of an image, without a slice where there is one only, of more axes."""
        found = labels(self.image_axes, self.image_shape)
        return [{a: k for a, k in label.items() if a != _axes.SLICE or len(label) == 1 or self.shape[0] > 1}
                for label in found]

    @property
    def names(self) -> list[str]:
        """The planes in words: "slice 3", "slice 2, frame 5"."""
        return [told(label) for label in self.planes]

    def group(self, z: int) -> int:
        """The number of the witness that plane z belongs to: frames and echoes of one slice are one."""
        within = [n for a, n in zip(self.image_axes[:-2], self.image_shape) if a not in (_axes.SLICE, *_axes.ENCODED)]
        if not within:
            return z
        index = np.unravel_index(z, self.image_shape[:-2])
        apart = [(k, n) for a, k, n in zip(self.image_axes, index, self.image_shape)
                 if a in (_axes.SLICE, *_axes.ENCODED)]
        return int(np.ravel_multi_index(*zip(*apart))) if apart else 0

    @property
    def label(self) -> str:
        """Scan and sampling in a few words."""
        return f"{self.scan}, {self.sampling}"

    @property
    def sampling(self) -> str:
        """The sampling in a few words."""
        return self.kind + (f", mask {self.seed}" if self.accel is not None and self.seed else "")

    @property
    def kind(self) -> str:
        """The sampling, of which there may be several masks."""
        if self.accel is None:
            return "as measured"
        accel = f"{self.accel:g}x" if np.ndim(self.accel) == 0 else "x".join(f"{a:g}" for a in self.accel)
        return f"{accel} {self.mask}"


@dataclass(frozen=True)
class Outcome:
    """One method on one setting.

    Attributes:
        setting: index of the setting.
        method: its name.
        images: complex, with the setting's `image_axes`, in the scan's units, as the root sum of squares of the coils
            sees them.
        status: the worst of the slices', see `Result`; "done" for a network or a method without iterations, "failed"
            for a method that raised. With one of `FAILED` all values are NaN, and there may be no image.
        iterations: of each plane (slice, frame, ...).
        seconds: of each plane, fits and solving, without maps and tuning; planes that are solved together share theirs.
        memory_mb: peak growth of the process's memory in MiB while solving, None where it cannot be measured, as where
            the method fits into memory that the process had already (a growth below 1 MiB).
        values: metric -> value over the volume.
        slices: metric -> one value a plane.
        strength: what was used, in words: "lam = 2e-3", "" for methods without one.
        tuning: how it was chosen, `Tuning.to_dict()`, or None.
        history: of the middle slice (part), one dict an iteration: k, residual, seconds, value (the objective) where
            known.
        solver: in words.
        residual: of the middle plane in k-space (ky, kx), root mean square over coils in units of the noise, or None.
    """

    setting: int
    method: str
    images: np.ndarray
    status: str
    iterations: tuple[Any, ...]
    seconds: tuple[Any, ...]
    memory_mb: float | None
    values: dict[str, Any]
    slices: dict[str, Any]
    strength: str = ""
    tuning: dict[str, Any] | None = None
    history: list[Any] = field(default_factory=list)
    solver: str = ""
    residual: np.ndarray | None = None
