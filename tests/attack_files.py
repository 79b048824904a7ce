"""Small valid files of every kind that is read, and seeded damage to them: `KINDS` by name.

A kind is a function of (the folder of valid files, a scratch folder, a random generator, the number of the case) that
writes a damaged file and returns (the files, a call that reads it).
"""

import copy
import gzip
import io as streams
import json
import shutil
import struct
import tomllib
import warnings
import zipfile
from functools import cache, partial

import h5py
import numpy as np
import pytest
import torch
import training as sources
from scipy.io import savemat

import pisolve as pi
from pisolve import io, nets
from pisolve.cli.recipe import read_recipe
from pisolve.evaluate.compare import planned
from pisolve.io import cfl
from pisolve.nets import config

MOST = 1 << 28  # bytes that a damaged file may ask for
NUMBERS = [0, 1, 0xFF, 0x7F, 0xFFFF, 0x7FFF, 0x8000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 1 << 40, (1 << 63) - 1,
           (1 << 64) - 1, 1 << 31, 1 << 62]
VALUES = [None, True, 0, -1, 1e308, -1e308, float("nan"), float("inf"), 10**30, 1 << 63, "", "x" * 5000, "/etc/passwd",
          [], {}, [[]], {"type": "TV"}, {"type": "os.system"}, {"type": "Recipe"}, "nan", 1e-320,
          {"type": "Denoiser", "name_or_path": "/etc/passwd"}, {"type": "Network", "name_or_path": 3},
          {"type": "Sum", "priors": []}, {"architecture": "UNet"}, {"architecture": 3, "config": {}},
          {"architecture": "DnCNN", "config": {"channels": 2, "depth": 10**7, "width": 1}},
          {"weights": "/etc/passwd"}, "\ud800", "\0", "\x1b[2J\n", {"from": [0, 0, 0]}, [1, 2, 3], 3, 2.5, "tv", 10**7]
XML = ("<ismrmrdHeader><encoding><encodedSpace><matrixSize><x>24</x><y>20</y><z>1</z></matrixSize><fieldOfView_mm>"
       "<x>240</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace></encoding></ismrmrdHeader>")
@cache
def scan():
    """Two slices of three coils, undersampled, with maps."""
    kspace = pi.phantom.brain((24, 20), 3, noise=0.01).kspace.astype(np.complex64)
    mask = pi.masks.random(kspace.shape, 2, seed=0)
    both = np.stack([kspace, kspace * np.complex64(1 + 0.1j)]) * mask
    return pi.Recipe().prepare(io.Scan(both, mask))


def recon(folder):
    """What the checkpoint is of."""
    return pi.recon(scan(), 1e-3 * pi.TV(), pi.ADMM(), max_iter=4, checkpoint=folder)


def old_zarr(path, kspace, compressor="blosc"):
    """Format 2, as older programs write it."""
    numcodecs = pytest.importorskip("numcodecs")
    codec = numcodecs.get_codec({"id": compressor})
    said = {"zarr_format": 2, "shape": kspace.shape, "chunks": kspace.shape, "dtype": kspace.dtype.str, "order": "C",
            "compressor": codec.get_config(), "fill_value": [0.0, 0.0], "filters": None}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in {".zgroup": {"zarr_format": 2}, "kspace/.zarray": said}.items():
            file.writestr(name, json.dumps(value))
        file.writestr("kspace/" + ".".join("0" * kspace.ndim), bytes(codec.encode(kspace)))


class Task:
    """The smallest training there is."""

    config = "task"

    def batch(self, step, rank, world):
        return torch.full((1, 2, 8, 8), 0.1 * step)

    def loss(self, network, batch):
        return network(batch, torch.ones(1)).square().mean() if network.noise_map else network(batch).square().mean()

    def validate(self, network):
        return {"loss": 0.0}


def train(folder, *, resume=True):
    """What checkpoint.pt is of."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(2, 2, 3, padding=1)
    network.noise_map = False
    return nets.train(network, Task(), nets.Training(steps=4, every=2, warmup=1), folder=folder, resume=resume)


def make(base):
    """The valid files, in a new folder."""
    base.mkdir()
    data = scan()
    kspace = data.kspace[0]
    with h5py.File(base / "fastmri.h5", "w") as file:
        file["kspace"], file["mask"] = data.kspace, data.mask.astype(np.uint8)
        file["reconstruction_rss"], file["ismrmrd_header"] = data.rss().astype(np.float32), XML
        file.attrs.update({"max": 1.0, "patient_id": "x", "acquisition": "AXT1"})
    with h5py.File(base / "packed.h5", "w") as file:
        file.create_dataset("kspace", data=data.kspace, chunks=(1, 3, 24, 20), compression="gzip", shuffle=True)
        file["mask"] = np.ones(20, np.uint8)
    ky, k = np.arange(24) - 12, np.arange(20) - 9.5
    with h5py.File(base / "epi.h5", "w") as file:
        file["kspace"], file["ky"], file["nav"] = kspace, ky, kspace[:, 11:14]
        file["kx"] = np.where(ky[:, None] % 2, -k, k)
        file.attrs.update({"axes": "coil,line,sample", "size": (24, 20), "dwell_s": 4e-6})
    np.save(base / "k.npy", kspace)
    np.savez(base / "k.npz", kspace=kspace, mask=data.mask)
    np.savez_compressed(base / "kz.npz", kspace=kspace, mask=data.mask)
    io.save_scan(base / "k.zarr.zip", io.Scan(kspace, data.mask))
    old_zarr(base / "old.zarr.zip", kspace)
    cfl.write(base / "k.cfl", kspace, coils=True)
    image = data.rss()
    for name in ("i.nii", "i.nii.gz", "i.dcm", "i.mrd"):
        io.save(base / name, image)
    one = io.Quantity(image.astype(np.float32), "s", 0.1 * image.astype(np.float32))
    io.save_maps(base / "maps.h5", {"t2": one, "frequency": io.Quantity(one.values, "Hz")}, amplitude=image)
    packed(base)
    parts = np.ascontiguousarray(np.broadcast_to(np.moveaxis(kspace, 0, -1), (4, 24, 20, 3)))
    savemat(base / "k.mat", {"kspace_full": parts[0]})
    savemat(base / "p.mat", {"kspace_full": parts[0]}, do_compression=True)
    with h5py.File(base / "n.mat", "w", userblock_size=512) as file:
        file["kspace_full"] = kspace.view([("real", "f4"), ("imag", "f4")])
    with h5py.File(base / "calgary.h5", "w") as file:
        file["kspace"] = parts.view(np.float32)
    with h5py.File(base / "knee.h5", "w") as file:
        file["kspace"], file["maps"] = parts[:, :, :, None], parts[..., None]
    torch.manual_seed(0)
    torch.save(nets.DnCNN(1, 3, 8, bias=True).state_dict(), base / "dncnn_gray_25.pth")
    card = {"data": "d", "licence": "l", "noise_range": [0, 1], "intensity_range": [0, 1], "seed": 0, "figures": []}
    nets.save(nets.store.build("UNet", {"widths": [4, 6], "blocks": [1, 0]}), base / "net.safetensors", card)
    done = pi.Recipe(1e-3 * pi.TV() + 5e-4 * pi.Wavelet("haar"), max_iter=5)(data)
    done.save(base / "recipe.h5")
    (base / "recipe.json").write_text(json.dumps(done.recipe.to_dict()))
    np.save(base / "checkpoint.npy", recon(base / "checkpoint").x)
    full = pi.phantom.brain((32, 24), 3, noise=0.01).kspace.astype(np.complex64)
    np.savez(base / "full.npz", kspace=full)
    pi.compare(str(base / "full.npz"), ["zero-filled", "sense"], accel=2, tune=None, folder=base / "compared")
    sources.volumes(base / "data")
    (base / "train.toml").write_text(sources.TINY.replace("FOLDER", str(base / "data")).replace("BATCH", "2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = train(base / "training", resume=False).state_dict()
    torch.save(weights, base / "training.pt")
    io.save_mrd(base / "raw.mrd", data)
    spokes(base)


def packed(base):
    """The image as DICOM whose pixels are packed, in RLE, and in JPEG of 8 bits."""
    import pydicom
    from PIL import Image
    from pydicom.encaps import encapsulate

    ds = pydicom.dcmread(base / "i.dcm")
    pixels, out = (ds.pixel_array >> 8).astype(np.uint8), streams.BytesIO()
    ds.compress("1.2.840.10008.1.2.5")
    ds.save_as(base / "r.dcm")
    Image.fromarray(pixels[0] if pixels.ndim > 2 else pixels).save(out, "JPEG")
    ds.file_meta.TransferSyntaxUID, ds.PixelData = "1.2.840.10008.1.2.4.50", encapsulate([out.getvalue()])
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.NumberOfFrames = 8, 8, 7, 1
    ds.save_as(base / "j.dcm")


def spokes(base):
    """Raw data with trajectories, and BART's pair of k-space and trajectory."""
    import ismrmrd

    k = pi.trajectories.radial((16, 16), 5, 20)
    xml = ("<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><encoding>"
           + "".join(f"<{s}><matrixSize><x>16</x><y>16</y><z>1</z></matrixSize></{s}>"
                     for s in ("encodedSpace", "reconSpace"))
           + "<trajectory>radial</trajectory></encoding></ismrmrdHeader>")
    with ismrmrd.Dataset(str(base / "spokes.mrd"), "dataset") as file:
        file.write_xml_header(xml.encode())
        for line in k:
            one = ismrmrd.Acquisition.from_array(np.ones((2, 20), np.complex64))
            one.resize(20, 2, 2)
            one.data[:], one.traj[:] = 1 + np.arange(20), line[:, ::-1] / 16
            file.append_acquisition(one)
    both = np.concatenate([k[..., ::-1], np.zeros((5, 20, 1))], -1).astype(np.complex64)
    cfl.write(base / "traj.cfl", both, axes=("z", "y", "x"))
    cfl.write(base / "ksp.cfl", np.ones((2, 5, 20, 1), np.complex64), axes=("coil", "z", "y", "x"))


def damaged(data, r, head=2048):
    """The bytes with damage of one kind: cut off, flipped, other numbers, copied, taken out or put in."""
    b = bytearray(data)
    n, what = len(b), r.randrange(9)
    if not n or what == 0:
        return bytes(b[: r.randrange(n)]) if n else b""
    if what == 1:
        for _ in range(r.choice((1, 1, 2, 8, 64))):
            b[r.randrange(n)] ^= 1 << r.randrange(8)
    elif what == 2:
        for _ in range(r.choice((1, 4, 32))):
            b[r.randrange(min(n, head))] = r.randrange(256)
    elif what < 6:
        for _ in range(r.choice((1, 1, 2, 4))):
            size = r.choice((1, 2, 4, 8))
            at = r.randrange(min(n, head if what < 5 else n))
            at -= at % r.choice((1, size))
            b[at: at + size] = (r.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, r.choice(("little", "big")))
    elif what == 6:
        source, length, target = r.randrange(n), r.randrange(1, 1 + min(n, 512)), r.randrange(n)
        b[target: target + length] = b[source: source + length]
    elif what == 7:
        at = r.randrange(n)
        del b[at: at + r.randrange(1, 64)]
    else:
        at = r.randrange(n)
        b[at:at] = bytes(r.choice((0, r.randrange(256))) for _ in range(r.randrange(1, 64)))
    return bytes(b)


def other(value, r):
    """A plain value with one to three places changed."""
    box = [copy.deepcopy(value)]
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        parent, key = box, 0
        while isinstance(parent[key], dict | list) and parent[key] and r.random() < 0.85:
            parent = parent[key]
            key = r.choice(list(parent)) if isinstance(parent, dict) else r.randrange(len(parent))
        what = r.randrange(5)
        if what < 3:
            parent[key] = copy.deepcopy(r.choice(VALUES))
        elif what == 3 and isinstance(parent, dict):
            parent[r.choice(("extra", "type", "lam", "a" * 300, ""))] = parent.pop(key)
        elif isinstance(parent, dict):
            del parent[key]
        else:
            parent[key] = [parent[key]]
    return box[0]


def repacked(source, target, r, kind):
    """A .zip with damage to its members, whose check sums fit."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", kind) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, damaged(data, r, 128) if r.random() < 0.6 else data)


def plain(names, head, read):
    """A kind whose files are damaged as bytes."""
    def kind(base, scratch, r, i):
        path = scratch / names[i % len(names)]
        path.write_bytes(damaged((base / path.name).read_bytes(), r, head))
        return [path], lambda: read(path)

    return kind


def load(path):
    return io.load(path, max_bytes=MOST)


def image(path):
    return io.load_image(path, max_bytes=MOST)


def maps(path):
    return io.load_maps(path, max_bytes=MOST)


def zarr(base, scratch, r, i):
    """Bytes of the packed folder, or of what is in it."""
    path = scratch / "k.zarr.zip"
    if i % 4 == 0:
        path.write_bytes(damaged((base / "k.zarr.zip").read_bytes(), r))
    else:
        repacked(base / r.choice(("k.zarr.zip", "old.zarr.zip")), path, r, zipfile.ZIP_STORED)
    return [path], lambda: load(path)


def bart(base, scratch, r, i):
    data, head = (base / "k.cfl").read_bytes(), (base / "k.hdr").read_bytes()
    if i % 3 == 0:
        data = damaged(data, r)
    elif i % 3 == 1:
        head = damaged(head, r)
    else:
        any_size = [1, 3, 20, 24, 0, -1, 2**31, 2**62, 10**17, 10**30, "x", "1e3"]
        sizes = [r.choice(any_size) for _ in range(r.randrange(18))]
        head = f"# Dimensions\n{' '.join(map(str, sizes))}\n".encode()
    (scratch / "k.cfl").write_bytes(data)
    (scratch / "k.hdr").write_bytes(head)
    path = scratch / r.choice(("k.cfl", "k.hdr"))
    return [scratch / "k.cfl", scratch / "k.hdr"], lambda: load(path)


def pair(base, scratch, r, i):
    names = [f"{stem}.{suffix}" for stem in ("ksp", "traj") for suffix in ("cfl", "hdr")]
    chosen = names[i % len(names)]
    for name in names:
        data = (base / name).read_bytes()
        (scratch / name).write_bytes(damaged(data, r) if name == chosen else data)
    files = [scratch / name for name in names]
    return files, lambda: io.load(files[0], coord=files[2], max_bytes=MOST)


def nifti(base, scratch, r, i):
    path = scratch / ("i.nii" if i % 3 == 2 else "i.nii.gz")
    raw = (base / "i.nii").read_bytes()
    path.write_bytes(damaged((base / "i.nii.gz").read_bytes(), r, 40) if i % 3 == 0 else
                     gzip.compress(damaged(raw, r, 352), 1) if i % 3 == 1 else damaged(raw, r, 352))
    return [path], lambda: image(path)


def npz(base, scratch, r, i):
    path = scratch / "k.npz"
    if i % 2:
        path.write_bytes(damaged((base / r.choice(("k.npz", "kz.npz"))).read_bytes(), r))
    else:
        repacked(base / "k.npz", path, r, r.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    return [path], lambda: load(path)


def pth(base, scratch, r, i):
    source, path = base / "dncnn_gray_25.pth", scratch / "dncnn_gray_25.pth"
    if i % 3 == 0:
        path.write_bytes(damaged(source.read_bytes(), r))
    elif i % 3 == 1:
        repacked(source, path, r, zipfile.ZIP_STORED)
    else:
        weights = torch.load(source, weights_only=True)
        key = r.choice(list(weights))
        weights[key] = odd_tensor(weights[key], r)
        if r.random() < 0.3:
            weights[r.choice(("model.4.weight", "model.6.weight", "x", 3))] = weights.pop(key)
        torch.save(weights, path)
    return [path], lambda: nets.load(path)


def odd_tensor(t, r):
    """A tensor, or none, that no network has."""
    return r.choice((
        t.to_sparse, lambda: t[..., :0], lambda: t.reshape(-1), t.double, lambda: t.to(torch.int8),
        lambda: t.to(torch.float8_e4m3fn), lambda: torch.zeros(1).expand(1 << 20, 1 << 12, 3, 3),
        lambda: torch.zeros(()), lambda: 3, lambda: None, lambda: t.to(torch.complex64),
        lambda: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
        lambda: torch.empty(8, 1, 3, 3, device="meta"), lambda: t.to(torch.bfloat16), t.bool,
        lambda: torch.zeros(3, 2, 3, 3), lambda: torch.zeros(0, 1, 3, 3), lambda: t * float("nan")))()


def safetensors(base, scratch, r, i):
    raw, path = (base / "net.safetensors").read_bytes(), scratch / "net.safetensors"
    size = struct.unpack("<Q", raw[:8])[0]
    head, body = json.loads(raw[8: 8 + size]), raw[8 + size:]
    if i % 3 == 0:
        path.write_bytes(damaged(raw, r, 1200))
        return [path], lambda: nets.load(path)
    if i % 3 == 1:
        head = other(head, r)
    else:
        head["__metadata__"]["pisolve"] = json.dumps(other(json.loads(head["__metadata__"]["pisolve"]), r))
    text = json.dumps(head).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return [path], lambda: nets.load(path)


def recipe(base, scratch, r, i):
    text = json.dumps(other(json.loads((base / "recipe.json").read_text()), r))
    text = damaged(text.encode(), r).decode("latin1") if i % 4 == 1 else text
    path = scratch / ("recipe.json" if i % 4 == 2 else "recipe.h5")
    path.unlink(missing_ok=True)
    if i % 4 == 2:
        path.write_text(text)
    elif i % 4 == 3:
        path.write_bytes(damaged((base / "recipe.h5").read_bytes(), r, 6000))
    else:
        with h5py.File(path, "w") as file:
            file.attrs["recipe"] = text.replace("\0", "")
    return [path], lambda: read_recipe(str(path))


def comparison(base, scratch, r, i):
    text, path = (base / "compared" / "comparison.json").read_text(), scratch / "comparison.json"
    if i % 4 == 0:
        text = damaged(text.encode(), r, 20000).decode("latin1")
    else:
        found = json.loads(text)
        found["about"]["plan"] = other(found["about"]["plan"], r)
        text = json.dumps(found)
    path.write_text(text)
    return [path], lambda: planned(path)


def checkpoint(base, scratch, r, i):
    folder = scratch / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base / "checkpoint", folder)
    path = folder / r.choice(("slice_0.h5", "slice_1.h5", "slice_0.json", "slice_1.json", "checkpoint.json"))
    data = path.read_bytes()
    if path.suffix == ".json" and i % 2:
        path.write_text(json.dumps(other(json.loads(data), r)))
    else:
        path.write_bytes(damaged(data, r, 4096))

    def call():
        if not np.array_equal(recon(folder).x, np.load(base / "checkpoint.npy")):
            raise AssertionError("a changed state was returned as the result")

    return [path, folder], call


@cache
def prepare_toml(base):
    """The images of the trainings are read once, and the figures of a card are not computed."""
    found, held = nets.data.training_images(base / "data", natural=0), nets.data.held_out_images(base / "data")
    nets.data.training_images = lambda *a, **k: found
    nets.data.held_out_images = lambda *a, **k: held


def toml(base, scratch, r, i):
    prepare_toml(base)
    text, path = (base / "train.toml").read_text(), scratch / "train.toml"
    path.write_bytes(damaged(text.encode(), r, 300) if i % 2 else written(other(tomllib.loads(text), r)))

    def call():
        config.ready(path, config.read(path))

    return [path], call


def written(sections) -> bytes:
    """A TOML of plain values, as far as it has them."""
    def value(v):
        if isinstance(v, bool | str) or v is None:
            return json.dumps(v or "")
        if isinstance(v, list):
            return f"[{', '.join(map(value, v))}]"
        if isinstance(v, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {value(x)}" for k, x in v.items()) + "}"
        return repr(v)

    out = "".join(f"[{json.dumps(name)}]\n" + "".join(f"{json.dumps(k)} = {value(v)}\n" for k, v in part.items())
                  if isinstance(part, dict) else f"{json.dumps(name)} = {value(part)}\n"
                  for name, part in (sections.items() if isinstance(sections, dict) else []))
    return out.encode("utf-8", "replace")


def training(base, scratch, r, i):
    folder = scratch / "training"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path, source = folder / "checkpoint.pt", base / "training" / "checkpoint.pt"
    if i % 3 == 0:
        path.write_bytes(damaged(source.read_bytes(), r))
    elif i % 3 == 1:
        repacked(source, path, r, zipfile.ZIP_STORED)
    else:
        state = torch.load(source, weights_only=True)
        key = r.choice(list(state))
        state[key] = r.choice((None, 3, -1, "x", {}, [], torch.zeros(3), {"x": 1}, 1 << 62, float("nan"), "{}", "[1]"))
        torch.save(state, path)
    return [path, folder], lambda: train(folder)


def raw(base, scratch, r, i, name="raw.mrd"):
    source, path = base / name, scratch / name
    b = bytearray(source.read_bytes())
    if i % 3 == 0:
        first, last = max(b.find(b"version\0") - 200, 0), b.rfind(b"data\0\0\0\0") + 64  # what libhdf5 crashes at
        for _ in range(r.choice((1, 4, 64))):
            at = r.randrange(len(b))
            b[at] = b[at] if first <= at < last else r.choice((0, r.randrange(256)))
        path.write_bytes(b)
        return [path], lambda: load(path)
    path.write_bytes(b)
    with h5py.File(path, "r+") as file:
        rows = file["dataset/data"][:]
        for _ in range(r.choice((1, 2, 5))):
            row, name = r.randrange(len(rows)), r.choice(rows.dtype["head"].names)
            field = rows["head"][name]
            if field.dtype.names:
                field = field[r.choice([n for n in field.dtype.names if field.dtype[n].subdtype is None])]
            if field.dtype.kind == "f":
                field[row] = r.choice((np.nan, np.inf, -1, 0, 1e38))
            else:
                field[row] = r.choice(NUMBERS) & int(np.iinfo(field.dtype).max)
        file["dataset/data"][:] = rows
    return [path], lambda: load(path)


KINDS = {
    "fastmri": plain(["fastmri.h5", "packed.h5", "calgary.h5", "knee.h5"], 6000, load), "raw": raw,
    "raw, spokes": partial(raw, name="spokes.mrd"), "pair": pair, "epi": plain(["epi.h5"], 6000, load),
    "npy": plain(["k.npy"], 128, load), "npz": npz, "zarr": zarr, "bart": bart, "nifti": nifti,
    "safetensors": safetensors,
    "pth": pth, "recipe": recipe,
    "comparison": comparison, "checkpoint": checkpoint, "toml": toml, "training": training,
    "maps": plain(["maps.h5"], 6000, maps),
    "image": plain(["recipe.h5", "i.dcm", "i.mrd", "r.dcm", "j.dcm"], 6000, image),
    "mat": plain(["k.mat", "p.mat", "n.mat"], 6000, load),
}
