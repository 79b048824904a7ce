"""The field's map in Hz, of images at several echo times."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, _check
from pisolve._types import ArrayLike, Axes, Numbers
from pisolve.backend import fft, to_numpy
from pisolve.calib.unwrap import unwrap
from pisolve.scan import Scan

_SEEN = 0.1  # of the 99th percentile of the magnitude: where it is less, phases are not unwrapped
_TRIED, _AROUND, _MARGIN = (0, 1, -1, 2, -2, 3, -3), 2.0, 0.05  # turns; pixels; what a turn must gain of 0 to 2
_FITS = 4  # of a plane, that take out what the steps between neighbours leave
_BACKWARDS = 0.4  # rad over the field of view, that gradients' delays make and other things do not
_STEPS, _CLOSE = 2000, 1e-6  # of the smoothing's conjugate gradients
_LONGEST = 1.0  # s of an echo time; longer ones are in ms


def field_map(images: ArrayLike, echo_times: Numbers | None = None, *, axes: Axes | None = None, smooth: float = 0.5,
              mask: ArrayLike | None = None) -> np.ndarray:
    """B0 in Hz: how fast the phase of each pixel turns from echo to echo.

        phase_e(r) = phase_0(r) + 2 pi f(r) t_e

    The phases of the two echoes that are nearest in time are unwrapped over space, those of the others by what these
    predict; a line is then fitted to them, weighted by the squared magnitudes. What is left is smoothed, and spread to
    where there is no signal:

        minimise over f    sum_r w(r) (f(r) - f_line(r))^2 + smooth^2 sum over neighbours (f(r) - f(r'))^2,

    with w the squared magnitude over its median in the object, so that `smooth` is about how many pixels away values
    are mixed. Of three echoes or more, those that were read backwards (every second one) may have a phase of their own
    that is linear in space: it is found and taken out.

    Args:
        images: complex (echo, y, x), or with the axes that `axes` names; or a `Scan` with the axis "echo", whose coil
            images are combined. Slices are mapped one by one, other further axes must not be there.
        echo_times: s, increasing, one for each echo. None: those that a `Scan` has in `meta["echo_times"]`.
        axes: of `images`, such as ("slice", "echo", "y", "x") or ("echo", "coil", "z", "y", "x").
        smooth: pixels; 0: no smoothing, and 0 Hz where there is no signal.
        mask: bool (y, x) or (z, y, x), where to map; None: where there is signal, over 0.1 of the 99th percentile.

    Returns:
        float32 of the images' axes without echoes and coils: `Scan(field_map=...)` and `linops.off_resonance` take it.

    Raises:
        TypeError, ValueError: one echo only, times that do not fit or are not in seconds, images that are real.

    Reference:
        Windischberger et al., J Magn Reson Imaging 20 (2004) 730; Funai, Fessler et al., IEEE Trans Med Imaging 27
        (2008) 1484 (weighted smoothing).
    """
    if isinstance(images, Scan):
        echo_times = images.meta.get("echo_times") if echo_times is None else echo_times
        images, axes = _of_scan(images)
    images = to_numpy(images) if _check.is_array(images) else images
    if getattr(images, "dtype", np.dtype(complex)).kind in "biuf":
        raise TypeError("images are real, and the field is in their phase: give complex images")
    images = _check.array("images", images, nonzero=True)
    names = _names(axes, images.ndim)
    order = [names.index(a) for a in ("slice", "echo", "coil", "z", "y", "x") if a in names]
    images = images.transpose(order)
    times = _times(echo_times, images.shape[1 if "slice" in names else 0])
    if "coil" not in names:
        images = np.expand_dims(images, 2 if "slice" in names else 1)
    smooth = _check.number("smooth", smooth, low=0)
    slices = images if "slice" in names else images[None]
    if mask is not None:
        mask = _check.booleans("mask", mask)
        if mask.shape != slices.shape[3:]:
            raise ValueError(f"mask has shape {mask.shape}, the images {slices.shape[3:]}: they must agree")
    maps = np.stack([_map(one.astype(np.complex128), times, smooth, mask) for one in slices]).astype(np.float32)
    return maps if "slice" in names else maps[0]


def _of_scan(scan):
    """(coil images of a scan with echoes, the names of their axes)."""
    others = [a for a in scan.further if a != "echo"]
    if "echo" not in scan.axes or others:
        what = f"takes no {others[0]!r}: select one" if others else "needs the axis 'echo', with two or more"
        raise ValueError(f"field_map {what}; this scan has the axes {', '.join(scan.axes)}")
    inner = len(scan.encoding.encoded)
    images = (scan.encoding.gridded(scan.kspace) if scan.coord is not None else
              fft(scan.kspace, tuple(range(-inner, 0)), inverse=True))
    return images, tuple(_axes.SPATIAL.get(a, a) for a in scan.axes)


def _names(axes, ndim):
    if axes is None:
        if ndim != 3:
            raise ValueError(f"images have {ndim} axes: name them, such as axes=('echo', 'coil', 'y', 'x') or ('echo', "
                             "'z', 'y', 'x')")
        return "echo", "y", "x"
    names = _axes.words("axes", axes)
    wrong = [a for a in names if a not in ("slice", "echo", "coil", "z", "y", "x")]
    if wrong or len(names) != ndim or not {"echo", "y", "x"} <= {*names}:
        raise ValueError(f"axes are {', '.join(names)}, and images have {ndim}: 'echo', 'y' and 'x' are needed, and "
                         "'slice', 'coil' and 'z' may be there")
    return names


def _times(given, echoes):
    """Echo times in s, checked."""
    if given is None:
        raise ValueError("echo_times are needed: the seconds of each echo, such as echo_times=[0.004, 0.009]")
    times = np.asarray(to_numpy(given) if _check.is_array(given) else given, float).ravel()
    if len(times) != echoes or echoes < 2:
        raise ValueError(f"echo_times has {len(times)} entries, and there are {echoes} echoes: one for each, and at "
                         "least two")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"echo_times {times.tolist()} must be finite and increase")
    if times[-1] - times[0] > _LONGEST:
        raise ValueError(f"echo_times reach {times[-1]:g} s: this looks like milliseconds, multiply them by 1e-3")
    return times


def _map(images, times, smooth, mask):
    """The field of one slice or volume, of images (echo, coil, *space)."""
    power = (abs(images) ** 2).sum(1)
    size = np.sqrt(power.mean(0))
    seen = size > _SEEN * np.percentile(size, 99) if mask is None else mask & (size > 0)
    if not seen.any():
        return np.zeros(size.shape)
    products = (images * images[:1].conj()).sum(1)  # of the phase of each echo less that of the first
    weights = np.where(seen, power.mean(0) / np.median(power.mean(0)[seen]), 0)
    if len(times) > 2:
        products = _alike(products, weights, times)
    k = int(np.argmin(np.diff(times)))
    near = times[k + 1] - times[k]
    first = unwrap(np.angle(products[k + 1] * products[k].conj()), weights) / (2 * np.pi * near)
    phases = np.angle(products)
    if len(times) > 2:
        first = _resolved(first, phases, np.where(seen, power, 0), times, near)
    turns = np.rint(np.multiply.outer(times - times[0], first) - phases / (2 * np.pi))
    phases += 2 * np.pi * turns
    w = power / np.maximum(power.sum(0), 1e-300)
    middle = np.tensordot(times, w, 1)
    off = times.reshape(-1, *(1,) * first.ndim) - middle
    line = (w * off * phases).sum(0) / np.maximum((w * off**2).sum(0), 1e-300) / (2 * np.pi)
    line = np.where(seen, line, 0)
    return line if smooth == 0 else _smoothed(line, weights, smooth)


def _alike(products, weights, times):
    """Products whose every second echo lost the linear phase in which it differs from those before and after it.

    With p the phases of three echoes, 2 p_2 - p_1 - p_3 = 2 q + 2 pi f (a - b), where q is that phase, and a, b are the
    steps in time. f is that of the two echoes that are nearest, which has its share of q: what is left is q (a + b) /
    min(a, b). Where it has no slope worth a word all echoes were read alike, and the products stay: a constant q could
    not be told from a field that is some turns off.
    """
    products, turn = products.copy(), 1.0 + 0j
    for e in range(1, len(times), 2):
        if e < len(times) - 1:  # the last one as those before it
            a, b = times[e] - times[e - 1], times[e + 1] - times[e]
            k = e if b < a else e - 1
            f = unwrap(np.angle(products[k + 1] * products[k].conj()), weights) / min(a, b)
            left = products[e] ** 2 * (products[e - 1] * products[e + 1]).conj() * np.exp(-1j * f * (a - b))
            left = weights * left / np.maximum(abs(left), 1e-300)
            angle, share = _linear(left), min(a, b) / (a + b)
            if share * np.ptp(angle) < _BACKWARDS:  # all were read the same way
                return products
            turn = np.exp(-1j * share * angle)
        products[e] *= turn
    return products


def _linear(z):
    """The phase of complex z that is linear in space.

    The steps between neighbours begin, which no phase is too steep for; edges of the object pull at them. So a plane is
    then fitted to what is left, by least squares, what is far off counting less.
    """
    places = [(np.arange(n) - n // 2).reshape([-1 if i == a else 1 for i in range(z.ndim)]) for a, n in
              enumerate(z.shape)]
    angle = np.zeros(z.shape)
    for axis, n in enumerate(z.shape):
        step = np.angle(np.vdot(np.take(z, range(n - 1), axis), np.take(z, range(1, n), axis)))
        angle += step * places[axis]
    planes = np.stack([np.ones(z.shape), *(np.broadcast_to(p / z.shape[a], z.shape) for a, p in enumerate(places))])
    angle += np.angle((z * np.exp(-1j * angle)).sum())
    seen = z != 0
    inside = planes[:, seen]
    for _ in range(_FITS):
        rest = np.angle(z[seen] * np.exp(-1j * angle[seen]))
        weighted = inside * (abs(z[seen]) * (1 + np.cos(rest)) / 2)
        found = np.linalg.lstsq(weighted @ inside.T, weighted @ rest, rcond=None)[0]
        angle += np.tensordot(found, planes, 1)
    return angle


def _resolved(first, phases, w, times, near):
    """The field plus the whole turns between the two nearest echoes with which all echoes agree best.

    Pieces of the object that hang together by noise may be a turn off. Echoes that are not evenly spaced tell: each
    number of turns is judged by all phases, over a neighbourhood of some pixels; where it makes no difference, 0 stays.
    """
    from scipy.ndimage import gaussian_filter

    since = times - times[0]
    total = np.maximum(gaussian_filter(w.sum(0), _AROUND), 1e-300)

    def cost(turns):
        f = first + turns / near
        off = sum(a * (1 - np.cos(p - 2 * np.pi * f * t)) for a, p, t in zip(w, phases, since))
        return gaussian_filter(off, _AROUND) / total + _MARGIN * abs(turns)

    costs = np.stack([cost(k) for k in _TRIED])
    return first + np.array(_TRIED)[costs.argmin(0)] / near


def _smoothed(line, weights, smooth):
    """The weighted fit that is smooth, by conjugate gradients with the diagonal as a preconditioner."""
    count = sum(np.full(line.shape, 2.0) - _ends(line.shape, a) for a in range(line.ndim) if line.shape[a] > 1)
    diagonal = weights + smooth**2 * count

    def normal(f):
        out = weights * f
        for a in range(f.ndim):
            step = smooth**2 * np.diff(f, axis=a)
            pads = [(0, 0)] * f.ndim
            pads[a] = (1, 1)
            out -= np.diff(np.pad(step, pads), axis=a)
        return out

    b = weights * line
    f = line.copy()
    r = b - normal(f)
    z = r / diagonal
    p, rz = z, float((r * z).sum())
    end = _CLOSE**2 * max(float((b * b / diagonal).sum()), 1e-300)
    for _ in range(_STEPS):
        if rz <= end:
            break
        q = normal(p)
        step = rz / float((p * q).sum())
        f, r = f + step * p, r - step * q
        z = r / diagonal
        rz, before = float((r * z).sum()), rz
        p = z + rz / before * p
    return f


def _ends(shape, axis):
    """1 at the two ends of an axis, 0 else."""
    out = np.zeros(shape)
    for i in (0, -1):
        out[(slice(None),) * axis + (i,)] += 1
    return out
