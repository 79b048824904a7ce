"""Malformed files: a typed error that names the file and what is wrong with it."""

import contextlib
import io as streams
import zipfile

import h5py
import numpy as np
import pytest
from test_io import HEADER, K3, K4, h5

from pisolve import io

# Below: a maker of the file, the error, and what its message names

def npy(shape, dtype="<c8", data=b"", version=1):
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(head).to_bytes(2 if version == 1 else 4, "little") + head + data


def pickled():
    stream = streams.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def cut(path, keep=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def truncated(p):
    cut(h5(p, kspace=np.ones((2, 4, 64, 64), np.complex64)))


def damaged(p):
    with h5py.File(p, "w") as file:
        file.create_dataset("kspace", data=np.tile(K4, (1, 1, 8, 8)), compression="gzip", chunks=(1, 1, 64, 48))
    raw = bytearray(p.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4000] = bytes(4000)
    p.write_bytes(raw)


def linked(p, link):
    with h5py.File(h5(p), "a") as file:
        file["kspace"] = link


def outside(p):
    h5(p.with_name("secret.h5"), kspace=K4)
    linked(p, h5py.ExternalLink("secret.h5", "/kspace"))


def soft_outside(p):
    outside(p)
    with h5py.File(p, "a") as file:
        file.move("kspace", "there")
        file["kspace"] = h5py.SoftLink("/there")


def virtual(p):
    h5(p.with_name("secret.h5"), kspace=K4)
    layout = h5py.VirtualLayout(K4.shape, K4.dtype)
    layout[...] = h5py.VirtualSource(p.with_name("secret.h5"), "kspace", K4.shape)
    with h5py.File(p, "w") as file:
        file.create_virtual_dataset("kspace", layout)


def stored_elsewhere(p):
    with h5py.File(p, "w") as file:
        file.create_dataset("kspace", K4.shape, K4.dtype, external=[(str(p.with_name("raw")), 0, K4.nbytes)])


def declared(p, shape, **options):
    with h5py.File(p, "w") as file:
        file.create_dataset("kspace", shape, np.complex64, **options)


def pair(p, header, size=8 * K3.size):
    p.with_suffix(".hdr").write_text(header)
    p.write_bytes(bytes(range(1, 65)) * (size // 64) + bytes(size % 64))


BAD = [
    ("truncated.h5", truncated, ValueError, "truncated.h5 cannot be read as HDF5"),
    ("damaged.h5", damaged, ValueError, "damaged.h5 cannot be read as HDF5"),
    ("text.h5", lambda p: p.write_text("hello"), ValueError, "text.h5 cannot be read as HDF5"),
    ("empty.h5", lambda p: p.touch(), ValueError, "empty.h5 is empty"),
    ("folder.h5", lambda p: p.mkdir(), IsADirectoryError, "is a folder"),
    ("missing.h5", lambda p: None, FileNotFoundError, "does not exist"),
    ("missing.cfl", lambda p: p.with_suffix(".hdr").touch(), FileNotFoundError, "missing.cfl does not exist"),
    ("scan.tif", lambda p: p.touch(), ValueError, r"unknown suffix '.tif': one of .h5"),
    ("links.h5", outside, ValueError, "link to another file, 'secret.h5'"),
    ("soft.h5", soft_outside, ValueError, "link to another file"),
    ("circle.h5", lambda p: linked(p, h5py.SoftLink("/kspace")), ValueError, "circle of links"),
    ("dangling.h5", lambda p: linked(p, h5py.SoftLink("/nowhere")), ValueError, "no dataset kspace; it holds: kspace"),
    ("virtual.h5", virtual, ValueError, "in other files, which is refused"),
    ("external.h5", stored_elsewhere, ValueError, "in other files, which is refused"),
    ("huge.h5", lambda p: declared(p, (1 << 20, 64, 1 << 20, 1 << 10), chunks=(1, 1, 64, 64)), ValueError, "max_bytes"),
    ("chunk.h5", lambda p: declared(p, (1, 1, 4, 4), maxshape=(None,) * 4, chunks=(2, 16, 1024, 4096)), ValueError,
     "max_bytes"),
    ("group.h5", lambda p: h5(p, **{"kspace/a": K4}), ValueError, "kspace is a group"),
    ("image.h5", lambda p: h5(p, picture=np.ones((4, 4)), x=1), ValueError, r"it holds: picture \(4, 4\), x \(\)"),
    ("raw.h5", lambda p: h5(p, **{"dataset/data": 1}), ValueError, "dataset has no header xml"),
    ("int.h5", lambda p: h5(p, kspace=np.ones((1, 2, 8, 8), np.int16)), TypeError, "dtype int16, complex is needed"),
    ("string.h5", lambda p: h5(p, kspace="abc"), ValueError, "kspace has dtype object"),
    ("null.h5", lambda p: h5(p, kspace=h5py.Empty("c8")), ValueError, "numbers are needed"),
    ("nan.h5", lambda p: h5(p, kspace=K4 * np.nan), ValueError, "nan.h5: kspace holds NaN"),
    ("inf.h5", lambda p: h5(p, kspace=K4 + np.float32(np.inf)), ValueError, "kspace holds NaN or Inf"),
    ("zero.h5", lambda p: h5(p, kspace=0 * K4), ValueError, "kspace is zero everywhere"),
    ("ndim.h5", lambda p: h5(p, kspace=K4[0, 0]), ValueError, r"kspace has shape \(16, 12\)"),
    ("five.h5", lambda p: h5(p, kspace=K4[None]), ValueError, "kspace has shape"),
    ("nothing.h5", lambda p: h5(p, kspace=K4[:0]), ValueError, "kspace is empty"),
    ("mask.h5", lambda p: h5(p, kspace=K4, mask=np.ones(13)), ValueError, r"mask has shape \(13,\)"),
    ("values.h5", lambda p: h5(p, kspace=K4, mask=np.full(12, 0.3)), ValueError, "other values than 0 and 1"),
    ("nomask.h5", lambda p: h5(p, kspace=K4, mask=np.zeros(12)), ValueError, "False everywhere"),
    ("maps.h5", lambda p: h5(p, kspace=K4, mps=K4[0, :2]), ValueError, "coils and size must agree"),
    ("ref.h5", lambda p: h5(p, kspace=K4, reconstruction_rss=np.ones((2, 17, 12))), ValueError, "centre crop"),
    ("slices.h5", lambda p: h5(p, kspace=K4, reconstruction_rss=np.ones((3, 16, 12))), ValueError, "slices must agree"),
    ("dtd.h5", lambda p: h5(p, kspace=K4, ismrmrd_header='<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), ValueError,
     "document type"),
    ("xml.h5", lambda p: h5(p, kspace=K4, ismrmrd_header="<a><b></a>"), ValueError, "not well-formed"),
    ("utf.h5", lambda p: h5(p, kspace=K4, ismrmrd_header=np.bytes_(b"\xff\xfe<a/>")), ValueError, "not well-formed"),
    ("number.h5", lambda p: h5(p, kspace=K4, ismrmrd_header=HEADER.replace("440", "wide")), ValueError,
     "'wide', a number"),
    ("size.cfl", lambda p: pair(p, "# Dimensions\n12 16 1 4\n"), ValueError, "4,608 bytes, but size.hdr says 6,144"),
    ("long.cfl", lambda p: pair(p, "# Dimensions\n12 16 1 2\n"), ValueError, "not a pair"),
    ("over.cfl", lambda p: pair(p, "# Dimensions\n" + "4294967296 " * 4 + "\n", 0), ValueError, "is empty"),
    ("flow.cfl", lambda p: pair(p, "# Dimensions\n" + "4294967296 " * 4 + "\n"), ValueError, "cut off, or not a pair"),
    ("digits.cfl", lambda p: pair(p, "# Dimensions\n" + "9" * 5000 + "\n"), ValueError, "no usable dimensions"),
    ("minus.cfl", lambda p: pair(p, "# Dimensions\n-12 -48\n"), ValueError, "no usable dimensions"),
    ("words.cfl", lambda p: pair(p, "# Dimensions\ntwelve\n"), ValueError, "no usable dimensions"),
    ("many.cfl", lambda p: pair(p, "# Dimensions\n12 48" + " 1" * 15), ValueError, "no usable dimensions"),
    ("none.cfl", lambda p: pair(p, "12 48\n"), ValueError, "no usable dimensions"),
    ("maps.cfl", lambda p: pair(p, "# Dimensions\n12 16 1 1 3\n"), ValueError, r"4 \(maps\) = 3"),
    ("nohdr.cfl", lambda p: p.write_bytes(bytes(8)), FileNotFoundError, "nohdr.hdr does not exist"),
    ("bomb.npy", lambda p: p.write_bytes(npy((1 << 40, 4, 4), data=bytes(64))), ValueError, "declares shape"),
    ("wrap.npy", lambda p: p.write_bytes(npy((1 << 62, 8, 4), data=bytes(64))), ValueError, "declares shape"),
    ("minus.npy", lambda p: p.write_bytes(npy((-1, -2, 4), data=bytes(64))), ValueError, "declares shape"),
    ("short.npy", lambda p: p.write_bytes(npy((3, 4, 4), data=bytes(300))), ValueError, "384 bytes, but has 300"),
    ("code.npy", lambda p: p.write_bytes(npy("__import__('os')", data=bytes(64))), ValueError, "not a readable .npy"),
    ("token.npy", lambda p: p.write_bytes(npy("(3, (4, 4)", data=bytes(64))), ValueError, "not a readable .npy"),
    ("three.npy", lambda p: p.write_bytes(npy((1, 2, 4), data=bytes(64), version=3)), ValueError, "format version"),
    ("object.npy", lambda p: p.write_bytes(pickled()), ValueError, "pickled Python objects"),
    ("text.npy", lambda p: p.write_text("hello there"), ValueError, "not a readable .npy"),
    ("real.npy", lambda p: np.save(p, K3.real), TypeError, "complex is needed"),
    ("two.npy", lambda p: np.save(p, K3[0]), ValueError, "two.npy: kspace has 2 dimensions"),
    ("pickle.npz", lambda p: npz(p, kspace=pickled()), ValueError, "pickled Python objects"),
    ("bomb.npz", lambda p: npz(p, kspace=npy((1 << 40, 4, 4), data=bytes(64))), ValueError, "declares shape"),
    ("zip.npz", lambda p: npz(p, kspace=npy((4, 1024, 2048), data=bytes(1 << 26))), ValueError, "max_bytes"),
    ("empty.npz", lambda p: npz(p, image=npy((1,), data=bytes(8))), ValueError, "no array kspace; it holds: image"),
    ("cut.npz", lambda p: (np.savez(p, kspace=K3), cut(p)), ValueError, "cannot be read as .npz"),
    ("text.npz", lambda p: p.write_text("hello there"), ValueError, "cannot be read as .npz"),
    ("mask.npz", lambda p: np.savez(p, kspace=K3, mask=np.ones((3, 16, 11))), ValueError, "mask has shape"),
    ("coord.npz", lambda p: np.savez(p, kspace=K3, coord=np.ones((16, 12, 2))), ValueError, "store an entry size"),
    ("field.npz", lambda p: np.savez(p, kspace=K3, field_map=np.ones((3, 4))), ValueError, "field_map has shape"),
    ("times.npz", lambda p: np.savez(p, kspace=K3, times=np.full((16, 1), -1.0)), ValueError, "goes down to -1"),
    ("nan.npz", lambda p: np.savez(p, kspace=K3, coord=np.full((16, 12, 2), np.nan), size=[8, 8]), ValueError, "NaN"),
]


@pytest.mark.parametrize(("name", "make", "error", "message"), BAD, ids=[b[0] for b in BAD])
def test_malformed_files(tmp_path, name, make, error, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(error, match=message) as caught:
        io.load(path, max_bytes=1 << 24)
    assert str(tmp_path) in str(caught.value)  # whichever file of a batch it was
    assert "\n" not in str(caught.value) or "HDF5" in str(caught.value)


def test_every_prefix_of_a_file_is_an_error_or_the_scan(tmp_path):
    whole = {".npy": tmp_path / "w.npy", ".npz": tmp_path / "w.npz", ".h5": h5(tmp_path / "w.h5", kspace=K4)}
    np.save(whole[".npy"], K4)
    np.savez(whole[".npz"], kspace=K4)
    for suffix, source in whole.items():
        content = source.read_bytes()
        for size in range(0, len(content), 197):
            part = tmp_path / f"part{suffix}"
            part.write_bytes(content[:size])
            with contextlib.suppress(ValueError):  # anything but a ValueError, or other numbers, fails
                assert (io.load(part).kspace == K4).all()


def test_attributes_that_are_lists_of_any_length_are_not_read(tmp_path):
    """Of a file in which the kind of such a list was damaged libhdf5 crashed (status 11) as its attribute was read."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.ones((2, 3, 8, 8), "complex64")
        kind = h5py.vlen_dtype(np.int32)
        listed = np.empty(1, object)
        listed[0] = np.arange(4, dtype="int32")
        file.attrs.create("axes", listed, dtype=kind)
        file.attrs["field_strength_t"] = 3.0
        file.create_dataset("ismrmrd_header", (1,), kind)
    with pytest.raises(ValueError, match="attribute axes must be names of axes"):
        io.load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs.create("listed", listed, dtype=kind)
        del file.attrs["axes"]
    with pytest.raises(ValueError, match="ismrmrd_header is not a string"):
        io.load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["ismrmrd_header"]
    scan = io.load(tmp_path / "a.h5")
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert scan.meta["field_strength_t"] == 3
    assert not {"axes", "listed"} & scan.meta.keys()
