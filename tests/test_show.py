"""Pictures of scans and images: on the command line, and in a notebook."""

import base64
import io as memory
import re

import numpy as np
import pytest
from matplotlib.image import imread
from test_layouts import smooth

import pisolve as pi
from pisolve import io
from pisolve.backend import fft
from pisolve.figure import mosaic
from pisolve.scan import views
from pisolve.scan.html import png

KSPACE = fft(smooth(4, 3, 24, 20), (-2, -1))


def pictures(html):
    """The pictures in HTML, as arrays 0..1."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [imread(memory.BytesIO(base64.b64decode(one))) for one in found]


def test_png():
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
    found = imread(memory.BytesIO(png(grey)))
    np.testing.assert_array_equal((found * 255).round(), grey)


def test_a_notebook_shows_a_scan():
    scan = io.Scan(KSPACE)
    html = scan._repr_html_()
    image, kspace = pictures(html)
    assert image.shape == kspace.shape == (24, 20)
    want = scan.select(2).rss()[0]  # the middle slice
    assert np.corrcoef(image.ravel(), want.ravel())[0, 1] > 0.999
    assert np.unravel_index(kspace.argmax(), kspace.shape) == (12, 10)
    assert "(4, 3, 24, 20) (slice, coil, ky, kx)" in html


@pytest.mark.parametrize("scan", [
    io.Scan(KSPACE, axes=("frame", "coil", "ky", "kx")), io.Scan(KSPACE, axes=("coil", "kz", "ky", "kx")),
    io.Scan(KSPACE, np.ones((4, 24, 20), bool), axes=("frame", "coil", "ky", "kx")),
    io.Scan(KSPACE[0], mps=smooth(3, 24, 20) + 1),
    io.Scan(smooth(3, 40, 32), coord=np.random.default_rng(0).uniform(-8, 8, (40, 32, 2)), size=(16, 16))],
    ids=["frames", "volume", "mask", "maps", "points"])
def test_every_kind_of_scan_is_shown(scan):
    assert len(pictures(scan._repr_html_())) == 2


def test_the_brightest_frame_is_shown():
    kspace = KSPACE * np.reshape([0.1, 0.2, 1, 0.3], (4, 1, 1, 1)).astype(np.float32) / abs(KSPACE).max(
        axis=(1, 2, 3), keepdims=True)
    assert views.chosen_of(io.Scan(kspace, axes=("frame", "coil", "ky", "kx"))) == {"frame": 2}


def test_the_middle_of_a_volume_is_the_middle():
    scan = io.Scan(KSPACE, axes=("coil", "kz", "ky", "kx"))
    np.testing.assert_allclose(np.linalg.norm(views.coil_images(views.middle(scan)), axis=0),
                               scan.rss()[KSPACE.shape[1] // 2], rtol=1e-4, atol=1e-6)


def test_a_notebook_shows_results():
    done = pi.recon(io.Scan(KSPACE), pi.Zero(), max_iter=2)
    html = done._repr_html_()
    assert len(pictures(html)) == 4
    assert done.status in html
    image = pictures(html)[1]
    assert np.corrcoef(image.ravel(), abs(done.x[1]).ravel())[0, 1] > 0.999
    result = pi.solve(pi.linops.identity((24, 20)), smooth(1, 24, 20)[0], None, max_iter=2)
    assert len(pictures(result._repr_html_())) == 1
    assert result.status in result._repr_html_()


def test_html_is_escaped():
    from pisolve.scan.html import page

    assert "<script>" not in page("<script>", [("<script>", "<script>")], [("<script>", np.ones((2, 2)))])


@pytest.fixture
def run(run):
    """The command line, in a folder with some files."""
    mask = (np.arange(24)[:, None] % 3 > 0) | (abs(np.arange(24)[:, None] - 12) < 5)
    io.save_scan("scan.npz", io.Scan(KSPACE * mask, mask + np.zeros((24, 20), bool), mps=smooth(4, 3, 24, 20) + 1))
    io.save_scan("cine.npz", io.Scan(KSPACE, axes=("frame", "coil", "ky", "kx")))
    io.save("image.nii", smooth(5, 24, 20))
    return run


@pytest.mark.parametrize("words", [
    ("scan.npz",), ("scan.npz", "--what", "maps", "--phase"), ("scan.npz", "--what", "kspace"),
    ("cine.npz", "--what", "frames"), ("cine.npz", "--what", "coils", "--select", "frame=1"), ("image.nii",),
    ("image.nii", "--most", 2, "--phase")])
def test_show(run, words):
    code, out, err = run("show", *words, "-o", "x.png")
    assert (code, err) == (0, ""), err
    assert "x.png" in out
    assert imread("x.png").std() > 0.05


@pytest.mark.parametrize(("words", "message"), [
    (("cine.npz", "--what", "maps"), "has no maps"), (("image.nii", "--along", "echo"), "no axis 'echo'"),
    (("none.npz",), "does not exist"), (("image.nii", "--select", "frame=1"), "is for scans")])
def test_show_says_what_it_cannot(run, words, message):
    code, _, err = run("show", *words, "-o", "x.png")
    assert code == 2
    assert message in err


def test_mosaic_shares_one_window(tmp_path):
    tiles = [(str(v), np.full((8, 8), v), "magnitude") for v in (1.0, 0.5)]
    mosaic(tiles, path=tmp_path / "m.png")
    picture = imread(tmp_path / "m.png")[..., 0]
    values, counts = np.unique(picture.round(2), return_counts=True)
    largest = set(values[np.argsort(counts)[-3:]].tolist())
    assert {1.0, 0.5} <= {round(v, 1) for v in largest}
    with pytest.raises(ValueError, match="tiles is empty"):
        mosaic([], path=tmp_path / "n.png")
