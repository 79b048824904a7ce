"""The attack with a fixed seed, and crafted files: each ends soon, in an error of ours that names the file."""

import csv
import io as streams
import json
import os
import re
import struct
import zipfile
from pathlib import Path

import attack_children
import attack_files
import h5py
import numpy as np
import pytest
import torch
from bounds import bounded

import pisolve as pi
from pisolve import evaluate, io, nets
from pisolve.cli.main import main
from pisolve.evaluate.section import Section
from pisolve.evaluate.tables import csv_text, markdown
from pisolve.io import cfl, heaps, limits, words
from pisolve.nets import config

NUMBER, SEED = 300, 20260


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)  # children that are forked have no other threads
    folder = tmp_path_factory.mktemp("attack") / "base"
    attack_files.make(folder)
    return folder


@pytest.mark.parametrize("kind", attack_files.KINDS)
def test_damaged_files_are_read_or_refused(kind, base, tmp_path):
    if kind == "nifti":
        pytest.importorskip("nibabel")
    counts, notes = attack_children.attack(kind, NUMBER, SEED, base, tmp_path)
    assert notes == []
    assert set(counts) <= {"loaded", "refused"}
    assert sum(counts.values()) == NUMBER
    assert min(counts.get("loaded", 0), counts.get("refused", 0)) > NUMBER // 50  # both happen


def link_bomb(path):
    with h5py.File(path, "w") as file:
        for d in range(1, 7):
            file[f"a{d}"] = h5py.SoftLink(f"/a{d + 1}" * 40)
        file["a7"], file["kspace"] = h5py.SoftLink("/"), h5py.SoftLink("/a1" * 40 + "/real")
        file["real"] = np.ones((1, 2, 8, 8), np.complex64)


def long_string(path):
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ones((1, 2, 8, 8), np.complex64)
        file.create_dataset("ismrmrd_header", (), dtype=h5py.string_dtype(length=1500 << 20))


def many_arrays(path):
    with h5py.File(path, "w") as file:
        for name in ("kspace", "mps"):
            file.create_dataset(name, (1, 8, 1024, 512), np.complex64, chunks=(1, 1, 1024, 512), compression="gzip")


def npz_bomb(path):
    array = streams.BytesIO()
    np.save(array, np.zeros((4, 512, 1024), np.complex64))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("kspace", "mps", "calib", "reference", "noise"):
            archive.writestr(f"{name}.npy", array.getvalue())


def spinning(path):
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ones((1, 2, 8, 8), np.complex64)
        file.attrs["acquisition"] = "AXT1"
    data = bytearray(path.read_bytes())
    at = data.find(b"GCOL")
    data[at + 16 + 16 + 8: at + 16 + 16 + 24] = bytes(16)  # the free space after the one text
    path.write_bytes(data)


BOMBS = {
    "links.h5": (link_bomb, "circle of links, or a path of more than"), "string.h5": (long_string, "bytes of text"),
    "arrays.h5": (many_arrays, r"mps declares .* beside .* of what was read before, more than max_bytes"),
    "bomb.npz": (npz_bomb, "more than max_bytes"), "spin.h5": (spinning, "does not come to its end"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_soon(name, tmp_path):
    make, message = BOMBS[name]
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 1 << 20
    kind, told = bounded(lambda: io.load(tmp_path / name, max_bytes=48 << 20), seconds=3, megabytes=256)
    assert (kind, name in told) == ("ValueError", True)
    assert re.search(message, told)


def test_sixteen_zero_bytes_anywhere_in_raw_data(base, tmp_path):
    """libhdf5 alone walks for ever in 9 of these."""
    data, path = (base / "raw.mrd").read_bytes(), tmp_path / "zero.mrd"
    marks = [m.start() for m in re.finditer(b"GCOL", data)]
    for at in (place + step for place in marks for step in range(16, 4000, 280)):
        path.write_bytes(data[:at] + bytes(16) + data[at + 16:])
        kind, told = bounded(lambda: io.load(path), seconds=3)
        assert kind in ("", "ValueError")
        assert not kind or "zero.mrd" in told


def test_heaps_are_walked_wherever_they_begin(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(50):
            file[f"t{i}"] = "x" * (500 * i)
    heaps.check(tmp_path / "a.h5")
    data = (tmp_path / "a.h5").read_bytes()
    places = [m.start() for m in re.finditer(b"GCOL", data)]
    with open(tmp_path / "a.h5", "rb") as file:
        for block in (9, 64, 4097):
            monkeypatch.setattr(heaps, "_BLOCK", block)
            assert list(heaps._marks(file)) == places
    (tmp_path / "b.h5").write_bytes(data[:places[-1] + 20])
    with pytest.raises(ValueError, match=r"b\.h5 is damaged"):
        heaps.check(tmp_path / "b.h5")


def test_a_budget_is_of_the_whole_file():
    most = limits.limit(100)
    limits.spend("f", "a", 60, most)
    with pytest.raises(ValueError, match="b declares 41 bytes beside 60 of what was read before"):
        limits.spend("f", "b", 41, most)
    limits.spend("f", "b", 40, most)
    assert limits.limit(most) is most


def described(base, path, **about):
    """The safetensors of a network that says something else of itself."""
    raw = (base / "net.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8: 8 + size])
    head["__metadata__"]["pisolve"] = about.get("text") or json.dumps(about)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size:])


@pytest.mark.parametrize("about", [
    {"architecture": "DnCNN", "config": {"channels": 2, "depth": 10**7, "width": 1}},
    {"architecture": "DnCNN", "config": {"channels": 2, "depth": 3, "width": 10**5}},
    {"architecture": "UNet", "config": {"widths": [4] * 10**4, "blocks": [1] * 10**4}}, {"text": "[" * 60_000}],
    ids=["deep", "wide", "many", "nested"])
def test_networks_are_no_larger_than_their_file(about, base, tmp_path):
    described(base, tmp_path / "d.safetensors", **about)
    kind, told = bounded(lambda: nets.load(tmp_path / "d.safetensors"))
    assert (kind, "d.safetensors" in told) == ("ValueError", True)


def test_weights_that_are_none(tmp_path, base):
    (tmp_path / "tiny.pth").write_bytes(b"q\x01.")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"model.0.weight": torch.zeros(1).expand(1 << 20, 1 << 12, 3, 3)}, tmp_path / "huge.pth")
    for path in (tmp_path / "tiny.pth", tmp_path / "empty.pth", tmp_path / "huge.pth", Path("/etc/passwd")):
        kind, told = bounded(lambda p=path: nets.load(p))
        assert (kind, path.name in told) == ("ValueError", True)


@pytest.mark.parametrize("text", ["[" * 60_000, '{"about": {"plan": [1]}}', '{"about": {"plan": {"scans": [1]}}}', "[]",
                                  '{"about": {"plan": {"scans": {"a": 3}, "methods": {"a": 1}}}}'])
def test_comparisons_that_are_none(text, tmp_path):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=r"c\.json"):
        evaluate.rerun(tmp_path / "c.json")


def test_recipes_that_are_none(tmp_path):
    for text in ("[" * 60_000, '{"type": "Recipe", "network": {"type": "Network", "name_or_path": "/etc/passwd"}}',
                 '{"type": ["Recipe"]}', "3"):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(ValueError, match=r"r\.json"):
            attack_files.read_recipe(str(tmp_path / "r.json"))


@pytest.mark.parametrize("text", ["a = " + "[" * 60_000, "[network]\narchitecture = 3\n[task]\nkind = 'denoising'",
                                  "[training]\nsteps = 'x'", "x" * (2 << 20)])
def test_configurations_that_are_none(text, tmp_path):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises((ValueError, TypeError), match=r"t\.toml"):
        config.run(tmp_path / "t.toml", out=tmp_path / "out")


def test_a_batch_of_ten_million(base, tmp_path):
    text = (base / "train.toml").read_text().replace("batch_size = 2", "batch_size = 10000000")
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ValueError, match=r"t\.toml: batch_size must be in 1\.\.16384"):
        config.run(tmp_path / "t.toml", out=tmp_path / "out")


# outputs over inputs ----------------------------------------------------------------------------------------------


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kspace = pi.phantom.brain((32, 24), 3, noise=0.01).kspace.astype(np.complex64)
    cfl.write("scan.cfl", kspace, coils=True)
    np.save("scan.npy", kspace)
    np.save("maps.npy", np.ones_like(kspace))
    pi.Recipe(1e-3 * pi.TV(), max_iter=2)(io.Scan(kspace)).save("old.h5")
    os.link("scan.npy", "hard.npy")
    Path("soft.npy").symlink_to("scan.npy")
    Path("pic.png").write_bytes(Path("scan.npy").read_bytes())
    return tmp_path


@pytest.mark.parametrize("line", [
    "recon scan.hdr -o scan.cfl", "recon scan.cfl -o ./scan.cfl", "recon scan.npy -o scan.npy",
    "recon scan.npy -o hard.npy", "recon scan.npy -o soft.npy", "recon soft.npy -o scan.npy",
    "recon scan.npy -o maps.npy --mps maps.npy", "recon scan.npy -o old.h5 --recipe old.h5",
    "recon scan.npy -o x.npy --network pic.png --png pic.png", "recon scan.npy -o x.npy --png pic.png --mps pic.png",
    "calib scan.npy -o scan.npy", "calib scan.hdr -o scan.cfl", "consistency scan.npy --png pic.png --recipe pic.png",
    "compare --recipe cmp -o cmp", "compare cmp/parts/a.npz -o cmp"])
def test_nothing_is_written_over_what_is_read(line, inputs, capsys):
    (inputs / "cmp" / "parts").mkdir(parents=True)
    (inputs / "cmp" / "comparison.json").write_text("{}")
    (inputs / "cmp" / "parts" / "a.npz").write_bytes(b"x")
    before = {p: p.read_bytes() for p in inputs.rglob("*") if p.is_file()}
    assert main(line.split()) == 2
    assert re.search("would be lost|another folder", capsys.readouterr().err)
    assert {p: p.read_bytes() for p in inputs.rglob("*") if p.is_file()} == before


def test_weights_are_not_trained_over_themselves(base, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "t.safetensors").write_bytes((base / "net.safetensors").read_bytes())
    text = (base / "train.toml").read_text() + f"\n[loss]\nkind = '{tmp_path}/t/t.safetensors'\n"
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ValueError, match="is read by this configuration, and would be written over"):
        config.run(tmp_path / "t.toml", out=tmp_path / "t")


# terminals, spreadsheets, pictures --------------------------------------------------------------------------------


EVIL = "\x1b[2J\x1b]0;owned\x07 x\npisolve: written\r\x9b31m \u202e\u2028"


def test_text_of_a_file_does_not_steer_the_terminal(tmp_path, capsys):
    kspace = pi.phantom.brain((32, 24), 3).kspace.astype(np.complex64)
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace[None]
        file.attrs["patient"], file.attrs[f"a{EVIL}"] = EVIL, 1
    assert main(["info", str(path)]) == 0
    out, err = capsys.readouterr()
    with h5py.File(path, "a") as file:
        del file["kspace"]
        file[f"b{EVIL}"] = 1
    assert main(["info", str(path)]) == 2
    text = out + err + "".join(capsys.readouterr())
    assert all(c.isprintable() or c == "\n" for c in text)
    assert not [line for line in text.splitlines() if line.startswith(("pisolve: written", "written"))]
    assert r"\x1b[2J" in text


def test_tables_hold_text_and_no_formulas():
    rows = [{"scan": "=cmd|' /C calc'!A0", "=1+1": 1.5, "note": "-2", "x": "@sum", "y": EVIL, "z": -3.25}]
    found = list(csv.reader(streams.StringIO(csv_text(rows))))
    assert found[0] == ["scan", "'=1+1", "note", "x", "y", "z"]
    assert found[1][:4] + found[1][5:] == ["'=cmd|' /C calc'!A0", "1.5", "-2", "'@sum", "-3.25"]
    assert all(c.isprintable() for c in "".join(found[1]))
    for text in (markdown(rows), words.printable(Section(EVIL, EVIL, rows), lines=True)):
        assert all(c.isprintable() or c == "\n" for c in text)


def test_a_report_and_a_picture_of_evil_names(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    scan = io.Scan(pi.phantom.brain((32, 24), 3, noise=0.01).kspace.astype(np.complex64))
    name = f"<script>$\\frac{{{EVIL}$"
    done = pi.compare({name: scan}, {"a": "sense", f"$b{EVIL}": "zero-filled"}, accel=2, tune=None)
    done.to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(c.isprintable() or c == "\n" for c in page)
    assert "<script>$" not in page
    done.figure(tmp_path / "f.png")  # where $ began a formula, this one has no end
    assert (tmp_path / "f.png").stat().st_size > 1000
