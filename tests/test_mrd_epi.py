"""ISMRMRD's files of EPI: ramps from the header, navigators of each slice, and what is left as it is."""

import ismrmrd
import numpy as np
import pytest
from cases import epi_lines
from test_mrd import header, oversampled, readout, write

import pisolve as pi
from pisolve.backend import fft

KY, KX = 48, 40
BRAIN = pi.phantom.brain((KY, KX), 3)
UP, FLAT, DWELL, DELAY = 120.0, 200.0, 2.0, 0.6
N = 2 * KX  # with the readout's oversampling
SAMPLES = 200
PHASES = (0.3, -0.5)


def kx_of(samples=SAMPLES):
    """The trapezoid's own: by sums over fine steps, forward."""
    t = (np.arange(0, 2 * UP + FLAT, 0.01) + 0.005)
    g = np.clip(np.minimum(t, 2 * UP + FLAT - t) / UP, 0, 1)
    k = np.cumsum(g)
    first = (2 * UP + FLAT - samples * DWELL) / 2
    at = lambda x: np.interp(x, t, k)  # noqa: E731
    inside = at(first + samples * DWELL) - at(first)
    return N * (at(first + (np.arange(samples) + 0.5) * DWELL) - k[-1] / 2) / inside


def description(**times):
    known = [*(("Long", *item) for item in times.items()), ("Double", "dwellTime", DWELL)]
    rows = "".join(f"<userParameter{kind}><name>{name}</name><value>{value}</value></userParameter{kind}>"
                   for kind, name, value in known)
    return f"<trajectoryDescription><identifier>ConventionalEPI</identifier>{rows}</trajectoryDescription>"


TRAPEZOID = description(rampUpTime=int(UP), rampDownTime=int(UP), flatTopTime=int(FLAT))


def scanned(kx=None, *, nav=True, phases=PHASES, delay=DELAY, order=None):
    """Readouts of two slices, the second of them fainter: three navigators, then the lines."""
    forward = kx_of() if kx is None else kx
    wide = oversampled(BRAIN.kspace, N)
    made = []
    for s, phase in enumerate(phases):
        for ky, flag in (([0, 0, 0] if nav else [], ismrmrd.ACQ_IS_PHASECORR_DATA), (np.arange(KY) - KY // 2, None)):
            k = np.where(np.arange(len(ky))[:, None] % 2, -forward, forward)
            lines = epi_lines(wide / (1 + s), k, ky, delay, phase) if len(ky) else np.zeros((3, 0, 1))
            made += [readout(lines[:, i], *([ismrmrd.ACQ_IS_REVERSE] * (i % 2)), *([] if flag is None else [flag]),
                             y=int(y) + KY // 2, slice=s) for i, y in enumerate(ky)]
    return made


def loaded(tmp_path, made, extra=TRAPEZOID, **options):
    return pi.io.load(write(tmp_path / "a.h5", header(N, KY, out=KX, trajectory="epi", extra=extra), made), **options)


def near(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize(("nav", "by", "bound"), [(True, "navigator", 0.015), (False, "entropy", 0.2)])
def test_ramps_and_ghosts(tmp_path, nav, by, bound):
    """Entropy finds one phase, that of the middle slice; navigators find each slice's own."""
    scan = loaded(tmp_path, scanned(nav=nav, phases=PHASES if nav else (0.3, 0.3)))
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert scan.kspace.shape == (2, 3, KY, KX)
    told = scan.meta["epi"]
    assert told["by"] == by
    assert told["delay_samples"] == pytest.approx(DELAY, abs=0.05)
    assert told["delay_us"] == pytest.approx(DELAY * DWELL, abs=0.1)
    if nav:
        np.testing.assert_allclose(told["phase_rad"], PHASES, atol=0.02)
        assert near(scan.kspace[0], BRAIN.kspace) < bound
        assert near(scan.kspace[1], BRAIN.kspace / 2) < bound
    own = pi.calib.ghost_level(np.linalg.norm(fft(oversampled(BRAIN.kspace, N), (-2, -1), inverse=True), axis=0))
    assert told["ghost"][1] == pytest.approx(own, abs=0.01)
    assert told["ghost"][0] > 0.25
    assert scan.mask.all()
    left = loaded(tmp_path, scanned(nav=nav), epi="none")
    assert near(left.kspace[0], BRAIN.kspace) > 0.25
    assert left.meta["epi"]["by"] == "none"


def test_a_repetition_without_navigators_takes_its_slices(tmp_path):
    made = scanned()
    later = [r for r in scanned() if not r.is_flag_set(ismrmrd.ACQ_IS_PHASECORR_DATA)]
    for r in later:
        r.idx.repetition = 1
    scan = loaded(tmp_path, made + later)
    assert scan.axes == ("slice", "repetition", "coil", "ky", "kx")
    np.testing.assert_allclose(scan.kspace[:, 1], scan.kspace[:, 0], atol=1e-5 * abs(scan.kspace).max())


def test_without_ramps(tmp_path):
    """Samples one step apart; what the header does not say counts as that."""
    scan = loaded(tmp_path, scanned(np.arange(N) - N / 2.0 + 0.5), extra="")
    images = [np.linalg.norm(fft(k, (-2, -1), inverse=True), axis=0) for k in (scan.kspace[0], BRAIN.kspace)]
    assert near(*images) < 0.02  # half a sample of both directions is a phase of the image
    assert scan.meta["epi"]["by"] == "navigator"


def test_lines_that_were_turned_stay_as_they_are(tmp_path):
    made = [readout(BRAIN.kspace[:, y], y=y) for y in range(KY)]
    path = write(tmp_path / "a.h5", header(KX, KY, trajectory="epi"), made)
    scan = pi.io.load(path)
    assert (scan.kspace[0] == BRAIN.kspace.astype(np.complex64)).all()
    assert "left as they are" in scan.meta["epi"]["text"]
    turned = [readout(BRAIN.kspace[:, y, :: -1 if y % 2 else 1], *([ismrmrd.ACQ_IS_REVERSE] * (y % 2)), y=y)
              for y in range(KY)]
    scan = pi.io.load(write(tmp_path / "b.h5", header(KX, KY, trajectory="epi"), turned))
    assert (scan.kspace[0] == BRAIN.kspace.astype(np.complex64)).all(), "no ghost, nothing is touched"
    assert "nothing found" in scan.meta["epi"]["text"]


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"a.h5: epi='navigator' needs phase-correction lines: there are none"):
        loaded(tmp_path, scanned(nav=False), epi="navigator")
    with pytest.raises(ValueError, match="rampUpTime as '-120'"):
        loaded(tmp_path, scanned(), extra=description(rampUpTime=-120, flatTopTime=200))
    two = [r for i, r in enumerate(scanned()) if i not in (0, 51)]
    with pytest.warns(UserWarning, match="left out: nav needs three lines"):
        assert loaded(tmp_path, two).meta["epi"]["by"] == "entropy"


def test_twix(tmp_path):
    """Siemens' own file of the same lines: the ramps from its protocol, navigators by their flag."""
    twix = pytest.importorskip("test_twix")
    forward, made = kx_of(), []
    wide = oversampled(BRAIN.kspace, N)
    for ky, flags in ((np.zeros(3, int), ["PHASCOR"]), (np.arange(KY) - KY // 2, [])):
        lines = epi_lines(wide, np.where(np.arange(len(ky))[:, None] % 2, -forward, forward), ky, DELAY, 0.3)
        made += [twix.block(lines[:, i], *flags, *["REFLECT"] * (i % 2), line=int(y) + KY // 2, centre=KY // 2)
                 for i, y in enumerate(ky)]
    regrid = {"alRegridMode": 2, "alRegridRampupTime": int(UP), "alRegridRampdownTime": int(UP),
              "alRegridFlattopTime": int(FLAT)}
    meas = "".join(f'<ParamLong."{name}"> {{ {value} 1 1 }}\n' for name, value in regrid.items())
    meas += f'<ParamDouble."aflRegridADCDuration"> {{ <Precision> 16 {SAMPLES * DWELL} 0.0 }}\n'
    size = {"sKSpace.lBaseResolution": KX, "sKSpace.lPhaseEncodingLines": KY}
    scan = pi.io.load(twix.write(tmp_path / "a.dat", (made, size, {"Meas": meas})))
    assert scan.meta["epi"]["by"] == "navigator"
    assert scan.meta["epi"]["delay_samples"] == pytest.approx(DELAY, abs=0.05)
    assert near(scan.kspace[0], BRAIN.kspace) < 0.015
