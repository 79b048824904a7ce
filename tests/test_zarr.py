"""Zarr: what others write is read, never more than is declared, never code, and one slice at a time."""

import json
import os
import sys
import zipfile
import zlib

import numpy as np
import pytest
from bounds import bounded
from helpers import refused
from test_sliced import KSPACE, UNDER

import pisolve as pi
from pisolve import cli, io
from pisolve.io.sliced import shape_of, slices
from pisolve.recipe.sliced import reconstruct

zarr = pytest.importorskip("zarr")
SMALL = KSPACE[:2, :, :16, :12]


def folder(path, *, axes=None, version=3, **arrays):
    """A group as the package itself makes it."""
    group = zarr.create_group(path, zarr_format=version, attributes={} if axes is None else {"axes": axes})
    for name, array in arrays.items():
        group.create_array(name, data=array, chunks=(1, *array.shape[1:]))
    return path


def metadata(path, **changes):
    """An array's description, changed."""
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | changes))


FOREIGN = {
    "of today": {"zarr_format": 3},
    "of before": {"zarr_format": 2, "chunks": (1, 2, 16, 12)},
    "by gzip": {"zarr_format": 3, "compressors": zarr.codecs.GzipCodec(), "chunks": (2, 4, 7, 5)},
    "by blosc, turned": {"zarr_format": 3, "compressors": zarr.codecs.BloscCodec(), "filters": [
        zarr.codecs.TransposeCodec(order=(3, 2, 1, 0))]},
    "plain, with sums": {"zarr_format": 3, "compressors": zarr.codecs.Crc32cCodec()},
    "other names of chunks": {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}


@pytest.mark.parametrize("how", FOREIGN)
def test_what_others_write(tmp_path, how):
    path = tmp_path / "a.zarr"
    group = zarr.create_group(path, zarr_format=FOREIGN[how]["zarr_format"])
    group.create_array("kspace", shape=SMALL.shape, dtype=np.complex64, **{
        k: v for k, v in {"chunks": SMALL.shape, **FOREIGN[how]}.items() if k != "zarr_format"})[:] = SMALL
    assert np.array_equal(io.load(path).kspace, SMALL)
    assert np.array_equal(slices(path)[1:2].kspace, SMALL[1:])
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for one in (p for p in path.rglob("*") if p.is_file()):
            file.write(one, f"a.zarr/{one.relative_to(path)}")
    assert np.array_equal(io.load(tmp_path / "b.zarr.zip").kspace, SMALL)


def test_axes_by_attribute_by_dimensions_and_alone(tmp_path):
    folder(tmp_path / "a.zarr", kspace=SMALL, axes="frame,coil,ky,kx")
    names = ["echo", "coil", "ky", "kx"]
    zarr.create_array(tmp_path / "b.zarr", data=SMALL, dimension_names=names)
    assert io.load(tmp_path / "a.zarr").axes == ("frame", "coil", "ky", "kx")
    assert io.load(tmp_path / "b.zarr").axes == tuple(names)
    assert np.array_equal(io.load(tmp_path / "b.zarr").kspace, SMALL)
    assert slices(tmp_path / "a.zarr") is None
    zarr.create_array(tmp_path / "i.zarr", data=abs(SMALL[0, 0]))
    assert np.array_equal(io.load_image(tmp_path / "i.zarr"), abs(SMALL[0, 0]))
    maps = folder(tmp_path / "m.zarr", mps=SMALL, mask=np.eye(16, 12) > 0, noise=SMALL[0, :, 0])
    scan = io.load(folder(tmp_path / "k.zarr", kspace=SMALL), mps=maps, mask=maps, noise=maps)
    assert np.array_equal(scan.mps, SMALL)
    assert np.array_equal(scan.mask, np.eye(16, 12))
    assert np.array_equal(scan.noise, SMALL[0, :, 0])


def test_slices_one_by_one_to_the_same_bits(tmp_path):
    recipe = UNDER.replace(max_iter=2)
    for path in (tmp_path / "a.zarr", tmp_path / "a.zarr.zip"):
        io.save_scan(path, io.Scan(KSPACE[:3]))
        assert shape_of(path) == (3, *KSPACE.shape[1:])
        with pytest.raises(ValueError, match="more than max_bytes"):
            io.load(path, max_bytes=2 * KSPACE[0].nbytes)
        found = reconstruct(recipe, slices(path, 2 * KSPACE[0].nbytes))
        assert np.array_equal(found.x, recipe(io.Scan(KSPACE[:3])).x)
    found.save(tmp_path / "image.zarr")
    assert np.array_equal(io.load_image(tmp_path / "image.zarr"), found.x)
    assert "recipe" in zarr.open_group(tmp_path / "image.zarr", mode="r").attrs


def pickled(path):
    metadata(path / "kspace/.zarray", dtype="|O", filters=[{"id": "pickle"}])


def by_pickle(path):
    metadata(path / "kspace/.zarray", compressor={"id": "pickle"})


def huge(path):
    metadata(path / "kspace/.zarray", shape=[1 << 40, 4, 16, 12])


def many(path):
    metadata(path / "kspace/.zarray", shape=[1 << 21, 1, 1, 1], chunks=[1, 1, 1, 1])


def fat(path):
    metadata(path / "kspace/.zarray", chunks=[1 << 40, 4, 16, 12])


def bomb(path):
    metadata(path / "kspace/.zarray", compressor={"id": "zlib", "level": 9})
    (path / "kspace/0.0.0.0").write_bytes(zlib.compress(bytes(1 << 26), 9))


def says_more(path):
    chunk = path / "kspace/0.0.0.0"
    metadata(path / "kspace/.zarray", compressor={"id": "lz4", "acceleration": 1})
    chunk.write_bytes(b"\xff\xff\xff\x7f" + bytes(64))


def long(path):
    metadata(path / "kspace/.zarray", compressor=None)
    with open(path / "kspace/0.0.0.0", "r+b") as file:
        file.truncate(1 << 40)


def linked(path):
    (path / "kspace/0.0.0.0").unlink()
    (path / "kspace/0.0.0.0").symlink_to("/dev/zero")


def stalls(path):
    (path / "kspace/0.0.0.0").unlink()
    os.mkfifo(path / "kspace/0.0.0.0")


def cut(path):
    chunk = path / "kspace/0.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-9])


def nested(path):
    (path / "kspace/.zarray").write_text("[" * 100_000)


def nothing(path):
    (path / ".zgroup").unlink()


BAD = {pickled: "dtype '|O', which is not read here", by_pickle: "packed by", huge: "more than max_bytes",
       many: "chunks, more than", fat: "more than max_bytes", bomb: "unpacks to", says_more: "unpacks to",
       long: "unpacks to", linked: "a link out of the folder", stalls: "no regular file", cut: "is cut off or damaged",
       nested: "cannot be read", nothing: "it is no Zarr"}


@pytest.mark.parametrize("harm", BAD, ids=lambda h: h.__name__)
def test_folders_that_would_harm(tmp_path, harm):
    path = folder(tmp_path / "a.zarr", kspace=SMALL, version=2)
    harm(path)
    kind, told = bounded(lambda: io.load(path, max_bytes=1 << 26), seconds=3, megabytes=256)
    assert (kind, "a.zarr" in told, BAD[harm] in told) == ("ValueError", True, True), told


def test_shards_and_texts_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=SMALL, chunks=(1, 1, 16, 12), shards=(1, 4, 16, 12))
    zarr.create_array(tmp_path / "b.zarr", data=np.array(["a", "b"]), zarr_format=2)
    for name in "ab":
        refused(lambda name=name: io.load(tmp_path / f"{name}.zarr"), ValueError, "not read here: write it anew")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/zarr.json").write_text("{}")
    refused(lambda: io.load(tmp_path / "c"), IsADirectoryError, "call it scan.zarr")


def test_a_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    path, scan = tmp_path / "a.zarr", io.Scan(SMALL)
    io.save_scan(path, scan)
    io.save_scan(path, io.Scan(2 * SMALL))  # in its place
    assert np.array_equal(io.load(path).kspace, 2 * SMALL)
    assert os.listdir(tmp_path) == ["a.zarr"]
    monkeypatch.setattr("pisolve.io.atomic_folder._exchanged", lambda *a: False)  # another system
    io.save_scan(path, scan)
    monkeypatch.setattr("pisolve.io.zarr._chunks", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        io.save_scan(path, io.Scan(3 * SMALL))
    assert np.array_equal(io.load(path).kspace, SMALL)
    assert os.listdir(tmp_path) == ["a.zarr"]
    for other in (tmp_path / "b.zarr", tmp_path / "c.zarr"):
        other.mkdir() if other.name[0] == "b" else other.write_text("mine")
        if other.is_dir():
            (other / "mine.txt").write_text("mine")
        refused(lambda other=other: io.save_scan(other, scan), ValueError, "give another name")
        assert cli.main(["convert", str(path), str(other)]) == 2


def test_without_the_package(tmp_path, monkeypatch):
    path = folder(tmp_path / "a.zarr", kspace=SMALL)
    monkeypatch.setitem(sys.modules, "zarr", None)
    for call in (lambda: io.load(path), lambda: io.save_scan(tmp_path / "b.zarr", io.Scan(SMALL))):
        refused(call, ImportError, "pip install 'pisolve[zarr]'")
    assert slices(path) is None


def test_many_and_the_command_line(tmp_path, capsys):
    path, recipe = tmp_path / "in" / "a.zarr", pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=1)
    path.parent.mkdir()
    io.save_scan(path, io.Scan(KSPACE[:2]))
    assert cli.main(["info", str(path)]) == 0
    assert "2 slices" in capsys.readouterr().out
    assert cli.main(["info", str(path.parent)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1  # a folder is one scan
    done = pi.recon_many(path.parent, recipe, out=tmp_path / "out", workers=1)
    assert [row["status"] for row in done.rows] == ["done"]
    assert np.array_equal(io.load_image(tmp_path / "out" / "a.h5"), recipe(path).x)
    again = pi.recon_many(path.parent, recipe, out=tmp_path / "out", workers=1, resume=True)
    assert [row["status"] for row in again.rows] == ["done"]
    assert cli.main(["recon", str(path), "-o", str(tmp_path / "o.zarr.zip"), "--prior", "tikhonov"]) == 0
    assert io.load_image(tmp_path / "o.zarr.zip").shape == KSPACE[:2, 0].shape
