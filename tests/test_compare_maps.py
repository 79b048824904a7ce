"""Maps of quantities compared: bias and precision that were put in, files, the report, and what is refused."""

import h5py
import numpy as np
import pytest
from reports import Page

import pisolve as pi
from pisolve import io, signals
from pisolve.evaluate import MapsOf, compare_maps
from pisolve.evaluate.draw import draw
from pisolve.evaluate.report.images import colours, picture
from pisolve.evaluate.section import Picture

SIDE = 40
LABELS = np.where(np.arange(SIDE)[:, None] < SIDE // 2, 1, 2) + np.zeros((SIDE, SIDE), int)
LABELS[:, :4] = 0
T2 = np.where(LABELS == 1, 0.05, 0.1)
TIMES = [0.02, 0.04, 0.07, 0.11]


def off(bias, spread, seed=0):
    """T2 with a bias in region 2 alone, noise and some pixels that failed."""
    found = T2 + bias * (LABELS == 2) + spread * np.random.default_rng(seed).standard_normal(T2.shape)
    found[5, 5:9] = np.nan
    found[30, 10] = 4.0  # a fit that went elsewhere
    return io.Quantity(found, "s", np.full(T2.shape, spread))


def rows(done, **wanted):
    return [r for r in done.records() if all(r[k] == v for k, v in wanted.items())]


def test_bias_and_precision_are_those_that_were_put_in():
    done = compare_maps({"good": {"t2": off(0, 0.002)}, "off": {"t2": off(0.01, 0.001, 1)}}, {"t2": T2}, regions=LABELS,
                        names={1: "above", 2: "below"})
    assert list(done.regions) == ["above", "below", "everywhere"]
    above, below = (rows(done, region=r, method="off")[0] for r in ("above", "below"))
    assert above["bias"] == pytest.approx(0, abs=2e-4)
    assert below["bias"] == pytest.approx(0.01, abs=2e-4)
    assert below["reference"] == 0.1
    assert [above["precision"], below["precision"]] == pytest.approx([0.001, 0.001], rel=0.15)
    assert below["relative_error"] == pytest.approx(0.1, abs=5e-3)
    assert above["error_over_std"] == pytest.approx(1, abs=0.15)
    assert above["determined"] == 1 - 4 / (LABELS == 1).sum()
    good = rows(done, region="everywhere", method="good")[0]
    assert good["pixels"] == (LABELS > 0).sum()
    assert good["precision"] == pytest.approx(0.002, rel=0.15)


def test_the_table_is_in_readable_units():
    text = str(compare_maps({"a": {"t2": off(0.01, 0.001)}}, {"t2": T2}, regions=LABELS))
    assert "bias [ms]" in text
    long = compare_maps({"a": {"t1": 20 * T2, "frequency": 100 * T2}}, {"t1": 20 * T2, "frequency": 100 * T2 - 3})
    titles = [s.title for s in long.sections()]
    assert titles == ["t1, in s", "frequency, in Hz"]
    assert long.sections()[1].rows[0]["bias [Hz]"] == pytest.approx(3)
    assert "error [%]" not in long.sections()[1].rows[0]  # of a field percents mean nothing


def test_without_a_reference_values_and_their_spread_are_told():
    done = compare_maps([{"t2": T2 + 0.001 * np.random.default_rng(0).standard_normal(T2.shape)}], regions=LABELS)
    one = rows(done, region="label 1")[0]
    assert one["value"] == pytest.approx(0.05, abs=2e-4)
    assert one["precision"] == pytest.approx(0.001, rel=0.15)
    assert np.isnan(one["bias"])
    assert list(done.sections()[0].pictures) == ["maps 1"]
    assert "bias" not in done.sections()[0].rows[0]


def test_colours_say_what_is_not_determined():
    """Black is no colour of a time, a share or a field, whose 0 is in the middle of its bar."""
    for name in ("relaxation", "share", "field"):
        found = colours(name)
        assert (found[0] == 0).all()
        assert (found[1:].sum(1) > 0).all()
    middle = colours("field")[127:129].astype(int)
    assert np.ptp(middle, axis=1).max() < 40  # grey: neither side's
    shown = Picture(np.array([[np.nan, -1.0, 1.0]]), -1, 1, "Hz", "field")
    assert picture(shown) != picture(Picture(np.array([[-1.0, -1.0, 1.0]]), -1, 1, "Hz", "field"))


def test_the_report_has_pictures_with_bars(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    done = compare_maps({"a <b>": {"t2": off(0.01, 0.001)}}, {"t2": T2}, regions=LABELS, title="Maps & more")
    files = done.save(tmp_path / "out")
    assert [f.name for f in files] == ["maps.csv", "report.html"]
    page = Page(files[1].read_text(encoding="utf-8"))
    assert page.all("h1")[0]["text"] == "Maps & more"
    shown = [e["text"] for e in page.all("figcaption")]
    assert [t.split("4")[0][:4] for t in shown] == ["refe", "a <b", "a <b"]
    assert all(t.endswith("ms") for t in shown)
    assert not [e for e in page.elements if e["attrs"].get("src", "data:").split(":")[0] != "data"]
    assert files[0].read_text().splitlines()[0].startswith("map,region,method,unit")
    draw(done.section(), tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 5000


def series():
    """Echoes of a head, fully sampled, with noise."""
    head = pi.phantom.brain((SIDE, SIDE), 4)
    mps = (head.mps / np.linalg.norm(head.mps, axis=0)).astype(np.complex64)
    images = head.image * np.moveaxis(signals.decay(T2, TIMES), -1, 0)
    A = pi.linops.sense(mps, shape=(4, 4, SIDE, SIDE), axes=("echo", "coil", "ky", "kx"))
    k = A(images)
    rng = np.random.default_rng(0)
    k = k + 0.003 * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))
    return io.Scan(k.astype(np.complex64), mps=mps, axes=A.oaxes,
                   meta={"echo_times": TIMES, "voxel_mm": [4.0, 1.0, 2.0]}), abs(head.image) > 0.2


def test_a_comparison_of_images_compares_their_maps_too(tmp_path):
    pytest.importorskip("jinja2")
    scan, seen = series()
    wanted = MapsOf("t2", regions=LABELS * seen, truth={"t2": T2})
    done = pi.compare(scan, {"sense": "sense", "llr": pi.Recipe(1e-2 * pi.LLR(), max_iter=5)}, accel=2, tune=None,
                      signal=wanted, report=tmp_path / "r.html")
    found = next(s for s in done.sections if s.title.startswith("Maps"))
    assert found.title == "Maps: t2, in ms"
    assert {r["method"] for r in found.rows} == {"sense", "llr"}
    assert {r["region"] for r in found.rows} == {"label 1", "label 2", "everywhere"}
    assert all(abs(r["bias [%]"]) < 10 for r in found.rows)
    assert set(found.pictures) == {"reference", "sense", "llr", "sense - reference", "llr - reference"}
    assert {p.pixel for p in found.pictures.values()} == {(1.0, 2.0)}  # drawn as large as they are
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Maps: t2, in ms" in text
    Page(text)
    plain = pi.compare(scan, ["sense"], accel=2, tune=None, signal="t2")  # against the maps of the reference images
    first = next(s for s in plain.sections if s.title.startswith("Maps")).rows[0]
    assert first["reference [ms]"] == pytest.approx(75, abs=30)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: compare_maps({}), ValueError, "maps is empty"),
    (lambda: compare_maps({"a": 3}), TypeError, "a must be the maps of pi.quantify"),
    (lambda: compare_maps({"a": {"t2": 1j * T2}}), TypeError, r"a\['t2'\] must be a real map"),
    (lambda: compare_maps({"a": {"t2": T2}, "b": {"t1": T2}}), ValueError, "no map that all have: a: t2; b: t1"),
    (lambda: compare_maps({"a": {"t2": T2}}, {"t2": T2[1:]}), ValueError, r"t2 has shape \(39, 40\) in reference"),
    (lambda: compare_maps({"a": {"t2": io.Quantity(T2, "ms")}}, {"t2": T2}), ValueError, "t2 is in 's' in reference"),
    (lambda: compare_maps({"a": {"t2": T2}}, regions=LABELS[1:]), ValueError, r"regions has shape \(39, 40\)"),
    (lambda: compare_maps({"a": {"t2": T2}}, regions=T2 * np.arange(SIDE)), ValueError, "whole numbers"),
    (lambda: compare_maps({"a": {"t2": T2}}, regions=0 * LABELS), ValueError, "no region in it"),
    (lambda: compare_maps({"a": {"t2": T2}}, regions={"x": T2 < 0}), ValueError, "x has no pixel"),
    (lambda: compare_maps({"a": {"t2": T2}}, names={1: "x"}), ValueError, "names are those of the labels"),
    (lambda: compare_maps({"a": {"t2": T2}}, regions=np.nan * T2), ValueError, "regions holds NaN"),
    (lambda: pi.compare(series()[0], ["sense"], signal="t3"), ValueError, "signal"),
    (lambda: pi.compare(series()[0], ["sense"], signal=MapsOf("t2", [1, 2])), ValueError, "echo_times has 2 entries"),
])
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_command_compares_files_of_maps(run, tmp_path):
    pytest.importorskip("jinja2")
    for name, bias in (("one", 0.0), ("two", 0.01)):
        io.save_maps(f"{name}.h5", {"t2": off(bias, 0.001)})
    io.save_maps("truth.h5", {"t2": io.Quantity(T2, "s")})
    np.save("labels.npy", LABELS)
    words = ("--true-maps", "truth.h5", "--regions", "labels.npy", "-o", "out")
    code, out, err = run("compare", "one.h5", "two.h5", *words)
    assert (code, err) == (0, "")
    assert "bias [ms]" in out
    assert "label 2" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["maps.csv", "report.html"]
    assert "--accel is for scans" in run("compare", "one.h5", "-o", "out", "--accel", "4")[2]
    with h5py.File("scan.h5", "w") as file:
        file["kspace"] = pi.phantom.brain((32, 32), 4).kspace[None]
    assert "one.h5 holds maps, and scan.h5 does not" in run("compare", "one.h5", "scan.h5", "-o", "out")[2]
    assert "--regions is for maps" in run("compare", "scan.h5", "-o", "out2", "--regions", "labels.npy")[2]
    assert "--echo-times is for --signal" in run("compare", "scan.h5", "-o", "out2", "--echo-times", "0.1")[2]


def test_the_command_makes_maps_of_each_method(run):
    pytest.importorskip("jinja2")
    scan, _ = series()
    np.savez("s.npz", kspace=scan.kspace, mps=scan.mps, axes="echo,coil,ky,kx", echo_times=TIMES)
    np.save("labels.npy", LABELS)
    code, _, err = run("compare", "s.npz", "--methods", "sense", "--accel", "2", "--tune", "none", "--signal", "t2",
                       "--regions", "labels.npy", "-o", "out")
    assert code == 0, err
    with open("out/report.html", encoding="utf-8") as file:
        assert "Maps: t2, in ms" in file.read()
