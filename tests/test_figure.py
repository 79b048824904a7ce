"""Pictures: what is drawn, on which scale, and what is refused."""

import os
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from skimage.metrics import peak_signal_noise_ratio

from pisolve import figure as module
from pisolve.figure import figure

RNG = np.random.default_rng(0)
TRUTH = np.pad(RNG.uniform(0.3, 1, (24, 20)), 4).astype(np.float32)
NOISY = (TRUTH + 0.05 * RNG.standard_normal(TRUTH.shape)).astype(np.complex64) * np.exp(1j)


@pytest.fixture
def drawn(monkeypatch):
    """What `_draw` is given: panels, errors, labels, box, top, limit, title, notes."""
    calls, draw = [], module._draw
    monkeypatch.setattr(module, "_draw", lambda *a, **k: calls.append(a) or draw(*a, **k))
    return calls


def test_pixels_are_in_the_window(tmp_path):
    """A flat image of half the window is drawn as the middle grey, a dark half as black."""
    image = np.zeros((20, 20))
    image[:, 10:], image[0, 0] = 0.5, 0.5
    image[-2:, -2:] = 1.0  # more than 0.2 % of the pixels: the top of the window
    figure(image, path=tmp_path / "x.png", dpi=100)
    picture = np.round(255 * imread(tmp_path / "x.png")[..., :3]).astype(int)
    for grey, share in ((0, 0.48), (127, 0.48), (255, 0.01)):
        panel = (abs(picture - grey) <= 1).all(-1).sum() / (2.3 * 100) ** 2
        assert panel == pytest.approx(share, abs=0.03)


def test_labels_errors_and_scales(tmp_path, drawn):
    """PSNR is scikit-image's, errors are of magnitudes, and the scales are stated as they are drawn."""
    figure({"a": NOISY, "b": TRUTH + 0.1}, TRUTH, path=tmp_path / "x.png", zoom=(4, 6, 8), title="t")
    panels, errors, labels, box, top, limit, _, notes = drawn[0]
    assert list(panels) == ["reference", "a", "b"]
    np.testing.assert_allclose(errors["a"], abs(abs(NOISY) - TRUTH), atol=1e-6)
    assert labels["a"].startswith(f"{peak_signal_noise_ratio(TRUTH, abs(NOISY), data_range=TRUTH.max()):.2f} dB")
    assert top == pytest.approx(np.percentile(TRUTH, 99.8))
    assert f"window 0 to {top:.3g}" in notes[0]
    assert notes[1] == f"errors 0 to {100 * limit:g} % of the window"
    assert box == (4, 6, 8, 7)


def test_volumes(tmp_path, drawn):
    """The middle slice, or the one that is asked for; torch is taken too."""
    volume = torch.from_numpy(np.stack([0.1 * TRUTH, TRUTH, 0.5 * TRUTH]))
    figure({"v": volume}, path=tmp_path / "x.png")
    figure({"v": volume}, volume, path=tmp_path / "x.png", slice=2)
    np.testing.assert_allclose(drawn[0][0]["v"], TRUTH, rtol=1e-6)
    np.testing.assert_allclose(drawn[1][0]["v"], 0.5 * TRUTH, rtol=1e-6)
    assert "slice 2 of 0..2" in drawn[1][-1][-1]


@pytest.mark.parametrize("shape", [(32, 28), (28, 32), (8, 40), (5, 5)])
def test_the_zoom_lies_inside(tmp_path, drawn, shape):
    image = RNG.uniform(size=shape)
    figure({"a": image}, image, path=tmp_path / "x.png")
    y, x, height, width = drawn[0][3]
    assert 0 <= y <= y + height <= shape[0]
    assert 0 <= x <= x + width <= shape[1]


@pytest.mark.parametrize("reference", [None, TRUTH])
@pytest.mark.parametrize("count", [1, 4, 6, 7, 12])
def test_many_images_go_on_below(tmp_path, monkeypatch, count, reference):
    """At most seven beside each other, in bands of one width; nothing lies on anything else or outside of the page."""
    pages, draw = [], module._draw
    monkeypatch.setattr(module, "_draw", lambda *a, **k: pages.append(draw(*a, **k)) or pages[-1])
    figure({f"method {k}": NOISY for k in range(count)}, reference, path=tmp_path / "x.pdf", title="t")
    assert (tmp_path / "x.pdf").stat().st_size > 1000
    boxes = [a.get_position() for a in pages[0].axes]
    panels = count if reference is None else 3 * (count + 1)
    assert len(boxes) == panels + (reference is not None)
    assert len({round(b.x0, 4) for b in boxes}) <= 7 + (reference is not None)
    for k, a in enumerate(boxes):
        assert 0 <= a.x0 < a.x1 <= 1
        assert 0 <= a.y0 < a.y1 <= 1
        for b in boxes[:k]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_written_whole_and_alike(tmp_path, suffix):
    """One file, inputs as they were, and for .png the same bytes again."""
    before = NOISY.copy()
    paths = [tmp_path / f"{n}{suffix}" for n in "ab"]
    for path in paths:
        figure({"a": NOISY}, TRUTH, path=path)
    np.testing.assert_array_equal(NOISY, before)
    assert sorted(os.listdir(tmp_path)) == [p.name for p in paths]
    if suffix == ".png":
        assert paths[0].read_bytes() == paths[1].read_bytes()


NAN = np.full((8, 8), np.nan)


@pytest.mark.parametrize(("error", "message", "images", "reference", "options"), [
    (ValueError, "suffix", TRUTH, None, {"path": "x.gif"}),
    (ValueError, "empty", {}, None, {}),
    (TypeError, "image 'a'", {"a": [[1.0]]}, None, {}),
    (ValueError, "NaN", {"a": NAN}, None, {}),
    (ValueError, "expected", {"a": TRUTH}, TRUTH[1:], {}),
    (ValueError, "dimensions", {"a": TRUTH[0]}, None, {}),
    (ValueError, "zoom needs a reference", TRUTH, None, {"zoom": (0, 0, 4)}),
    (ValueError, "zoom must be", TRUTH, TRUTH, {"zoom": (0, 4)}),
    (ValueError, "zoom top", TRUTH, TRUTH, {"zoom": (30, 0, 8)}),
    (ValueError, "slice", TRUTH, None, {"slice": 1}),
    (ValueError, "dpi", TRUTH, None, {"dpi": 0}),
    (ValueError, "zero everywhere", TRUTH, 0 * TRUTH, {}),
    (FileNotFoundError, "folder", TRUTH, None, {"path": "nowhere/x.png"}),
])
def test_refused(tmp_path, monkeypatch, error, message, images, reference, options):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        figure(images, reference, **{"path": "x.png", **options})
    assert os.listdir() == []


def test_zero_images_are_drawn(tmp_path):
    """Nothing to see is no error."""
    figure({"a": np.zeros((16, 16))}, path=tmp_path / "x.png")
    assert imread(tmp_path / "x.png").size


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pisolve\[plot\]"):
        figure(TRUTH, path=tmp_path / "x.png")


@pytest.mark.parametrize(("low", "high"), [(0.5, 5.0), (0.7, 23.0), (1e-5, 1e-1), (3.0, 4.0)])
def test_labels_of_a_logarithmic_axis_do_not_meet(low, high):
    """Of one to four decades: a few labels, none over another, none of matplotlib's between them."""
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from pisolve.evaluate.draw import _few_ticks

    drawn = Figure(figsize=(3.4, 3.3))
    axis = drawn.subplots()
    axis.plot([low, high], [low, high])
    axis.set(xscale="log", yscale="log")
    _few_ticks(axis.xaxis)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in axis.get_xticklabels(which="both")
             if label.get_text()]
    assert 2 <= len(boxes) <= 6
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize("pixel", [(2.0, 1.0), (1.0, 2.0), (0.7, 0.7)])
def test_pixels_are_drawn_as_large_as_they_are(tmp_path, monkeypatch, pixel):
    """Every panel of images, errors and zooms, of a picture and of a mosaic; k-space stays square."""
    pages, draw = [], module._draw
    monkeypatch.setattr(module, "_draw", lambda *a, **k: pages.append(draw(*a, **k)) or pages[-1])
    figure({"a": NOISY}, TRUTH, path=tmp_path / "x.png", pixel=pixel)
    bar = pages[0].axes[-1]
    for axes in (a for a in pages[0].axes if a is not bar and a.images):
        ny, nx = axes.images[0].get_array().shape
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(ny * pixel[0] / (nx * pixel[1]), rel=0.03)
    tiles = [("image", TRUTH, "image"), ("k-space", np.log10(TRUTH + 1e-3), "log"), ("mask", TRUTH > 0.5, "mask")]
    tiles = [(name, plane.astype(float), kind) for name, plane, kind in tiles]
    drawn = module.mosaic(tiles, pixel=pixel)
    drawn.canvas.draw()
    shown = {}
    for axes, (name, plane, _) in zip(drawn.axes, tiles):
        box = axes.get_window_extent()
        shown[name] = box.height / box.width * plane.shape[1] / plane.shape[0]
    assert shown == pytest.approx({"image": pixel[0] / pixel[1], "k-space": 1, "mask": 1}, rel=0.02)


@pytest.mark.parametrize(("pixel", "error"), [((1.0, 0.0), ValueError), ((1.0, -2.0), ValueError), (2.0, ValueError),
                                              ((1.0, "2"), TypeError), ((1.0, 1.0, 1.0), ValueError)])
def test_pixels_that_are_none(pixel, error):
    with pytest.raises(error, match="pixel"):
        figure({"a": TRUTH}, pixel=pixel)
