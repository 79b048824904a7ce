"""Texts and lists of HDF5 whose lengths lie: refused before libhdf5 takes the memory that they declare."""

import itertools
import re

import h5py
import numpy as np
import pytest
from attack_files import make
from bounds import bounded

from pisolve import io
from pisolve.io import hdf5, lengths

WAYS = list(itertools.product(("earliest", "latest"), (0, 1024), (False, True), (1, 30)))


def write(path, libver="earliest", userblock=0, track=False, number=1):
    """A file with attributes and texts of all layouts."""
    texts = h5py.special_dtype(vlen=str)
    with h5py.File(path, "w", libver=libver, userblock_size=userblock, track_order=track) as file:
        for i in range(number):
            file.attrs[f"a{i}"] = "hello" * i
        file.attrs["bytes"], file.attrs["number"] = b"abc", 3.5
        file["t"] = "world"
        file["t"].attrs["x"] = "y,x"
        file.create_dataset("u", (1,), texts, chunks=(1,))[0] = "chunk"
        file.create_dataset("w", (2, 3), texts, chunks=(2, 2), compression="gzip", shuffle=True)[:] = "abc"


def read(path):
    with hdf5.open_hdf5(path) as file:
        lengths.of_dataset(file["w"], path, {None: 1}, 100)
        return (hdf5.attributes(file), hdf5.names(file, "x", path, of="t"), hdf5.text(file, "t", path),
                hdf5.text(file, "u", path))


def places(data: bytes, userblock: int) -> list[int]:
    """Where a file says the lengths of its texts."""
    heaps = [(m.start() - userblock).to_bytes(8, "little") for m in re.finditer(b"GCOL\x01", data)]
    found = [m.start() - 4 for heap in heaps for m in re.finditer(re.escape(heap), data)]
    return [at for at in found if int.from_bytes(data[at: at + 4], "little") < 200
            and 0 < int.from_bytes(data[at + 12: at + 16], "little") < 100]


@pytest.mark.parametrize(("libver", "userblock", "track", "number"), WAYS)
def test_attributes_and_texts_of_all_layouts_are_read(libver, userblock, track, number, tmp_path):
    write(tmp_path / "a.h5", libver, userblock, track, number)
    attributes, names, text, chunked = read(tmp_path / "a.h5")
    told = {f"a{i}": "hello" * i for i in range(number)} | {"bytes": "abc", "number": 3.5}
    assert (attributes, names, text, chunked) == (told, "y,x", "world", "chunk")


@pytest.mark.parametrize(("libver", "userblock", "track", "number"), WAYS)
def test_a_length_that_lies_is_refused(libver, userblock, track, number, tmp_path):
    write(tmp_path / "a.h5", libver, userblock, track, number)
    data, path = (tmp_path / "a.h5").read_bytes(), tmp_path / "b.h5"
    found = places(data, userblock)
    refused, good = 0, read(tmp_path / "a.h5")

    def same():
        assert read(path) == good  # bytes that nothing leads to

    for at in found[:: max(1, len(found) // 6)]:
        path.write_bytes(data[:at] + (3 << 30).to_bytes(4, "little") + data[at + 4:])
        kind, told = bounded(same, seconds=5, megabytes=64)
        assert kind in ("", "ValueError")
        if kind:
            assert re.search("b.h5.*(declares 3,221,225,472 bytes of text|checksum)", told)
            refused += 1
    assert refused >= len(found[:: max(1, len(found) // 6)]) - 1


def test_a_text_of_a_named_type_is_left_out(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kind"] = np.dtype(h5py.special_dtype(vlen=str))
        file.attrs.create("a", "hello", dtype=file["kind"])
        file.attrs["b"] = "there"
    with hdf5.open_hdf5(tmp_path / "a.h5") as file:
        assert hdf5.attributes(file) == {"b": "there"}


@pytest.mark.parametrize("name", ["raw.mrd", "spokes.mrd"])
def test_readouts_whose_lengths_lie_are_refused(name, tmp_path):
    make(tmp_path / "base")
    data, path = (tmp_path / "base" / name).read_bytes(), tmp_path / "b.mrd"
    with h5py.File(tmp_path / "base" / name) as file:
        item = file["dataset/data"]
        kind, at = item.id.get_type(), item.id.get_offset()
        at = item.id.get_chunk_info(0).byte_offset if at is None else at
        fields = [i for i, n in enumerate(item.dtype.names) if h5py.check_vlen_dtype(item.dtype[n])]
        assert len(fields) == 2
        where = [at + kind.get_member_offset(i) for i in fields]
    for at in where:
        path.write_bytes(data[:at] + (1 << 29).to_bytes(4, "little") + data[at + 4:])
        kind, told = bounded(lambda: io.load(path), seconds=5, megabytes=128)
        assert (kind, "b.mrd" in told) == ("ValueError", True)
        assert "declares 2,147,483,648 bytes of text" in told


def test_packed_and_compact_texts(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", (1,), h5py.special_dtype(vlen=str), chunks=(1,), compression="lzf")[0] = "a"
    with pytest.raises(ValueError, match=r"packed by filter .*h5repack -f NONE"), hdf5.open_hdf5(
            tmp_path / "a.h5") as file:
        hdf5.text(file, "t", tmp_path / "a.h5")
