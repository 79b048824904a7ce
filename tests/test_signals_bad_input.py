"""Bad times, bounds and images of every signal model, by every door: a typed error that names the argument."""

import numpy as np
import pytest

import pisolve as pi
from pisolve import signals

EVEN = 1e-3 * np.array([1.4, 3.0, 4.5, 6.1, 8.0])
TIMES = {"t2": 10 * EVEN, "t2star": 3 * EVEN, "t1_ir": 300 * EVEN, "molli": 300 * EVEN, "b0": EVEN, "water_fat": EVEN}
CLOCK = {name: "inversion_times" if name in ("t1_ir", "molli") else "echo_times" for name in TIMES}
LEAST = {"t2": 2, "t2star": 2, "t1_ir": 3, "molli": 3, "b0": 2, "water_fat": 3}
MORE = {"water_fat": {"field_strength": 3.0}}
SIDE, AXES = 6, ("echo", "coil", "ky", "kx")


def by_images(name, times, images=None, count=None, **more):
    """The function of images."""
    images = np.ones((5 if count is None else count, SIDE, SIDE), complex) if images is None else images
    return getattr(signals, name)(images, times, **MORE.get(name, {}), **more)


def by_kspace(name, times, images=None, count=None):
    """One step from k-space."""
    count = 5 if count is None else count
    A = pi.linops.sense(np.ones((1, SIDE, SIDE), complex), shape=(count, 1, SIDE, SIDE), axes=AXES)
    y = A(np.ones((count, SIDE, SIDE), complex)) if images is None else images[:, None]
    return signals.one_step(A, y, name, times, iterations=1, max_iter=1, **MORE.get(name, {}))


def by_scan(name, times, images=None, count=None):
    """From a scan."""
    count = 5 if count is None else count
    k = np.ones((count, 2, 32, 32), complex) if images is None else images[:, None].repeat(32, -2).repeat(32, -1)
    scan = pi.io.Scan(k, mps=np.ones((2, 32, 32), complex), axes=AXES)
    return pi.quantify(scan, name, pi.Zero(), times=times, max_iter=1, **MORE.get(name, {}))


def with_nan(times):
    return np.where(np.arange(5) == 2, np.nan, times)


FAULTS = {  # (what becomes of the times, what is said)
    "ms as s": (lambda t: 1e3 * t, "looks like milliseconds, multiply them by 1e-3"),
    "unsorted": (lambda t: t[[0, 2, 1, 3, 4]], "must increase: sort them, and the images with them"),
    "twice the same": (lambda t: t[[0, 1, 1, 3, 4]], "must increase"),
    "NaN": (with_nan, "must be finite and not negative"),
    "infinite": (lambda t: np.where(np.arange(5) == 4, np.inf, t), "must be finite and not negative"),
    "negative": (lambda t: t - 2 * t[0], "must be finite and not negative"),
    "one more than images": (lambda t: [*t, 1.2 * t[-1]], "has 6 entries, and the images have 5"),
    "one less than images": (lambda t: t[:4], "has 4 entries, and the images have 5")}


@pytest.mark.parametrize("door", [by_images, by_kspace, by_scan], ids=lambda d: d.__name__)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", TIMES)
def test_bad_times_are_named_everywhere(name, fault, door):
    change, message = FAULTS[fault]
    with pytest.raises(ValueError, match=f"{CLOCK[name]}.*{message}"):
        door(name, change(TIMES[name]))


@pytest.mark.parametrize("door", [by_images, by_kspace, by_scan], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", TIMES)
def test_one_time_too_few_is_named(name, door):
    few = LEAST[name] - 1
    message = "needs at least" if few > 1 or door is by_images else "needs at least|a signal needs one of echoes|needed"
    with pytest.raises(ValueError, match=message):
        door(name, TIMES[name][:few], count=few)


@pytest.mark.parametrize("door", [by_images, by_kspace, by_scan], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", TIMES)
def test_times_that_are_no_numbers_and_images_that_are_none(name, door):
    with pytest.raises(TypeError, match=f"{CLOCK[name]} must be numbers"):
        door(name, ["a"] * 5)
    bad = np.ones((5, SIDE, SIDE), complex)
    bad[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"(images|y|kspace) holds NaN"):
        door(name, TIMES[name], images=bad)


@pytest.mark.parametrize(("bad", "error", "message"), [
    ((-1, 2), ValueError, "range must be > 0"), ((0, 2), ValueError, "range must be > 0"),
    ((2, 1), ValueError, "range must be > 2"), ((np.nan, 1), ValueError, "range must be finite"),
    ((0.1, np.inf), ValueError, "range must be finite"),
    ((1, 2000), ValueError, "range reaches 2000 s: this looks like"),
    ((0.1,), TypeError, r"range must be \(low, high\) in s"), (0.1, TypeError, r"range must be \(low, high\) in s"),
    (("a", "b"), TypeError, "range must be a real number")])
@pytest.mark.parametrize("name", ["t2", "t2star", "t1_ir", "molli"])
def test_bad_bounds_are_named(name, bad, error, message):
    with pytest.raises(error, match=message):
        by_images(name, TIMES[name], range=bad)


def own(*given, **more):
    return signals.Model(lambda t, *p: t, [signals.Parameter(*given)], lambda t, *p: [t], **more)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: own("rate", "1/s", 5.0, 1.0), ValueError, "rate: low=5.0 must be below high=1.0"),
    (lambda: own("rate", "1/s", np.nan, 1.0), ValueError, "rate: low=nan must be below"),
    (lambda: own("rate", "1/s", "a", 1.0), TypeError, "rate: low, high, tells and scale must be numbers"),
    (lambda: own("rate", "1/s", 0.1, 1.0, (0.5, 2.0)), ValueError, "rate: start=.* must be values within 0.1..1.0"),
    (lambda: own("rate", "1/s", 0.1, 1.0, (np.nan,)), ValueError, "rate: start must be finite"),
    (lambda: own("rate", "1/s", 0.1, 1.0, ()), ValueError, "rate: start"),
    (lambda: own("rate", "1/s", 0.1, 1.0, None, -1.0), ValueError, "rate: tells must be > 0"),
    (lambda: own("rate", "1/s", 0.1, 1.0, None, None, 0.0), ValueError, "rate: scale must be > 0"),
    (lambda: own("rate", "1/s", 0.1, 1.0, least=0), ValueError, "least must be in 1"),
    (lambda: own("rate", "1/s", 0.1, 1.0, longest=-1), ValueError, "longest must be > 0"),
    (lambda: signals.Model(lambda t, a, b: t, [signals.Parameter("a", "", 0, 1)] * 2), ValueError, "called a, a"),
    (lambda: signals.Model(lambda t: t, ()), TypeError, "parameters must be of"),
])
def test_bad_models_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_parameters_that_these_times_do_not_tell_apart_are_said_by_every_door():
    """Which ones, and the condition number; of a field alone T2* may stay unknown."""
    early = [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]
    for door in (by_images, by_kspace, by_scan):
        with pytest.warns(signals.TimesWarning, match=r"do not tell t1.*condition number [1-9]"):
            door("t1_ir", early)


def test_a_field_needs_no_decay(recwarn):
    by_kspace("b0", [0.002, 0.0025, 0.003, 0.0035, 0.004])
    assert not [w for w in recwarn if issubclass(w.category, signals.TimesWarning)]


@pytest.mark.parametrize(("times", "axis", "error", "told"), [
    ("10ms", 0, TypeError, r"in s, such as echo_times=\[0.01"),
    ([0.01, 0.01, 0.02], 0, ValueError, "has a time twice"),
    ([0.01, 0.02, 0.03], "echo", TypeError, "axis must be a number, got 'echo'.*axis=0"),
    ([0.01, 0.02, 0.03], 3, ValueError, "take -3 to 2")])
def test_what_was_wrong_and_what_to_type(times, axis, error, told):
    for make in (signals.t2, signals.b0):
        with pytest.raises(error, match=told):
            make(np.ones((3, 4, 4), complex), times, axis=axis)
