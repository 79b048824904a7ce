"""Files as public converters and data sets write them: old texts, GE's and Philips' headers, masks apart."""

import re

import h5py
import numpy as np
import pytest
from test_io_points import SHOTS, K, N, Y, shot
from test_layouts import COILS, NX, NY, mat5, mat73, same, smooth
from test_mrd import header, readout, write
from test_orientation import DIRECTIONS, POSITION, vendor
from test_twix import TRUTH as TWIX
from test_twix import block
from test_twix import write as write_twix

import pisolve as pi
from pisolve import cli, io
from pisolve.backend import fft
from pisolve.io import cfl
from pisolve.io.words import decoded

NAME = "Universitätsklinikum Köln"


@pytest.mark.parametrize("code", ["latin-1", "utf-8"])
@pytest.mark.parametrize("told", ["", "<?xml version='1.0' encoding='ISO-8859-1'?>"])
def test_names_in_raw_data(tmp_path, code, told, capsys):
    """Before, a header in Latin-1 was refused as "not UTF-8 text"."""
    kspace = fft(smooth(1, COILS, NY, NX), (-2, -1))
    path = write(tmp_path / "a.h5", header(NX, NY), [readout(kspace[0, :, y], y=y) for y in range(NY)])
    with h5py.File(path, "a") as file:
        xml = file["dataset/xml"][0].decode().replace('<?xml version="1.0"?>', told)
        xml = xml.replace("<relativeRec", f"<systemVendor>SIEMENS {NAME}</systemVendor><relativeRec", 1)
        del file["dataset/xml"]
        kind = h5py.special_dtype(vlen=bytes)
        file.create_dataset("dataset/xml", (1,), kind)[0] = xml.encode(code)
    scan = io.load(path)
    assert scan.meta["vendor"] == f"SIEMENS {NAME}"
    same(scan.kspace[0], kspace[0])
    assert cli.main(["info", str(path)]) == 0
    capsys.readouterr()
    pi.recon(scan, pi.Zero(), max_iter=1).save(tmp_path / "b.h5")
    assert io.load_image(tmp_path / "b.h5").shape[-2:] == (NY, NX)
    io.save_mrd(tmp_path / "c.h5", scan)
    assert io.load(tmp_path / "c.h5").meta["vendor"] == f"SIEMENS {NAME}"


@pytest.mark.parametrize("code", ["latin-1", "utf-8"])
def test_names_in_attributes_and_twix(tmp_path, code):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = fft(smooth(1, COILS, NY, NX), (-2, -1))
        file.attrs.create("site", NAME.encode(code), dtype=h5py.string_dtype())
        file.attrs["place"] = np.bytes_(NAME.encode(code))
    meta = io.load(tmp_path / "a.h5").meta
    assert (meta["site"], meta["place"]) == (NAME, NAME)
    assert decoded(NAME.encode(code)) == NAME
    made = [block(TWIX[0, :, y], line=y) for y in range(TWIX.shape[2])]
    path = write_twix(tmp_path / "a.dat", (made, (("sKSpace.lBaseResolution", TWIX.shape[-1] // 2),)))
    data = path.read_bytes()
    name = NAME.encode(code)
    assert b'"syngo MR E11"' in data
    path.write_bytes(data.replace(b'"syngo MR E11"', b'"' + name[:12] + b'"' + b" " * (12 - len(name[:12]))))
    assert io.load(path).coils == TWIX.shape[1]


def test_what_ges_converter_writes(tmp_path):
    """ge_to_ismrmrd divides times by 1000, and writes a second echo time of 0 where there is none."""
    times = "<sequenceParameters><TR>0.5</TR><TE>{}</TE><TE>{}</TE></sequenceParameters></ismrmrdHeader>"
    kspace = fft(smooth(1, COILS, NY, NX), (-2, -1))
    for maker, first, second, tr, te in (("GE MEDICAL SYSTEMS", 0.0042, 0, 500, 4.2), ("GE", 0.002, 0.004, 500, [2, 4]),
                                         ("SIEMENS", 0.07, 0, 0.5, 0.07), ("GE", 4.2, 0, 0.5, 4.2)):
        xml = vendor(header(NX, NY), maker).replace("</ismrmrdHeader>", times.format(first, second))
        path = write(tmp_path / "a.h5", xml, [readout(kspace[0, :, y], y=y) for y in range(NY)])
        meta = io.load(path).meta
        assert meta["te_ms"] == pytest.approx(te)
        assert meta["tr_ms"] == pytest.approx(tr)


def test_what_philips_converter_writes(tmp_path):
    """philips_to_ismrmrd multiplies the matrix by its oversampling, writes "ETH" as TR, and no directions at all."""
    xml = header(2 * NX, NY, out=NX, fov=(2 * NX * 2, 2 * NY, 5)).replace(
        f"<y>{NY}</y>", f"<y>{NY - 0.004}</y>").replace(f"<x>{2 * NX}</x><y>", f"<x>{2 * NX + 0.003}</x><y>")
    xml = re.sub("</ismrmrdHeader>", "<sequenceParameters><TR>ETH</TR><TE>30</TE></sequenceParameters></ismrmrdHeader>",
                 vendor(xml, "PHILIPS"))
    image = smooth(1, COILS, NY, NX)
    wide = fft(np.pad(image, ((0, 0), (0, 0), (0, 0), (NX // 2, NX // 2))), (-2, -1))
    path = write(tmp_path / "a.h5", xml, [readout(wide[0, :, y], y=y) for y in range(NY)])
    scan = io.load(path)
    same(scan.kspace, fft(image, (-2, -1)))
    assert scan.meta["te_ms"] == 30
    assert scan.meta["encoded_size"] == [2 * NX, NY, 1]
    assert "tr_ms" not in scan.meta
    assert "affine" not in scan.meta


@pytest.mark.parametrize("plane", DIRECTIONS)
@pytest.mark.parametrize(("maker", "sign"), [("SIEMENS", -1), ("Philips", None)])
def test_spokes_have_a_place(tmp_path, maker, sign, plane):
    """Before, raw data with trajectories had none. Three slices, of which the first one measured lies in the middle."""
    directions, order = DIRECTIONS[plane], (1, 0, 2)
    xml = vendor(header(N, N, trajectory="radial", fov=(2 * N, 2 * N, 5)), maker)
    made = []
    for number, place in enumerate(order):
        where = POSITION + 7.5 * place * directions[0]
        head = dict(zip(("slice_dir", "phase_dir", "read_dir"), map(tuple, directions))) | {"position": tuple(where)}
        made += [shot((1 + place) * Y[:, s], K[s] / N, y=s, slice=number, head=head) for s in range(SHOTS)]
    scan = io.load(write(tmp_path / "a.h5", xml, made))
    assert scan.meta["slices"] == [1, 0, 2]
    assert scan.coord.shape == K.shape
    for place in range(3):
        np.testing.assert_array_equal(scan.kspace[place], (1 + place) * Y)
    assert scan.meta["voxel_mm"] == [5, 2, 2]
    assert scan.meta.get("affine_code", 1) == (0 if sign is None else 1)
    lps = np.diag([-1, -1, 1, 1]) @ np.array(scan.meta["affine"])
    for (x, y, z) in ((0, 0, 0), (3, 0, 0), (0, 5, 2), (-2, 4, 1)):
        found = lps @ [N // 2 + x, N // 2 + y, z, 1]
        along = np.array([7.5 * z, 2 * (sign or 1) * y, 2 * (sign or 1) * x])
        assert np.allclose(found[:3], POSITION + along @ directions, atol=1e-3)
    io.save(tmp_path / "b.nii", np.ones((3, N, N)), meta=scan.meta)
    found = io.image_meta(tmp_path / "b.nii")
    assert ("affine" in found) == (sign is not None)
    assert np.allclose(found.get("affine", scan.meta["affine"]), scan.meta["affine"], atol=1e-3)


def test_a_volume_of_spokes_has_a_place(tmp_path):
    directions = DIRECTIONS["oblique"]
    head = dict(zip(("slice_dir", "phase_dir", "read_dir"), map(tuple, directions))) | {"position": tuple(POSITION)}
    lines = [shot(Y[:, s], K[s] / N, y=s, z=z, head=head) for z in range(4) for s in range(SHOTS)]
    xml = vendor(header(N, N, 4, fov=(2 * N, 2 * N, 20), trajectory="radial"), "SIEMENS")
    scan = io.load(write(tmp_path / "a.h5", xml, lines))
    assert scan.meta["voxel_mm"] == [5, 2, 2]
    found = np.diag([-1, -1, 1, 1]) @ np.array(scan.meta["affine"]) @ [N // 2 + 1, N // 2, 2 + 1, 1]
    assert np.allclose(found[:3], POSITION + (-5, 0, -2) @ directions, atol=1e-3)


@pytest.mark.parametrize("write", [mat5, mat73])
def test_cmrxrecons_masks_lie_in_other_files(tmp_path, write, capsys):
    """2023: cine_sax_mask.mat with mask04 (kx, ky); 2024, 2025: mask (kx, ky, frame); CMRx4DFlow: usmask_ktGaussian."""
    stored = fft(smooth(4, 2, COILS, NY, NX), (-2, -1)).transpose(4, 3, 2, 1, 0)  # kx, ky, coil, slice, frame
    lines = np.zeros((NX, NY), np.uint8)
    lines[:, 1::3] = 1
    frames = np.stack([np.roll(lines, t, 1) for t in range(4)], -1)
    for name, mask, kname in (("mask04", lines, "kspace_sub04"), ("mask", frames, "kus"), ("mask", lines, "kus")):
        wide = mask.reshape(NX, NY, 1, 1, -1)
        noisy = np.where(wide == 0, 1e-9, stored).astype(np.complex64)  # not exactly zero: only the mask tells
        write(tmp_path / "cine_sax.mat", **{kname: noisy})
        write(tmp_path / "cine_sax_mask.mat", **{name: mask})
        scan = io.load(tmp_path / "cine_sax.mat", mask=tmp_path / "cine_sax_mask.mat")
        expected = np.broadcast_to(wide, (NX, NY, 1, 2, 4)).transpose(3, 4, 2, 1, 0)
        np.testing.assert_array_equal(np.broadcast_to(scan.inside, expected.shape), expected != 0)
    assert cli.main(["info", str(tmp_path / "cine_sax.mat"), "--mask-file", str(tmp_path / "cine_sax_mask.mat")]) == 0
    assert "no mask in the file" not in capsys.readouterr().out
    flow = stored.transpose(0, 1, 3, 2, 4)[..., None] * np.ones(2, np.complex64)  # kx, ky, kz, coil, frame, set
    usmask = np.zeros((1, NY, 2, 1, 4, 1), np.uint8)
    usmask[:, ::2, 0], usmask[:, 1::2, 1, :, 1:] = 1, 1
    maps = smooth(COILS, 2, NY, NX).transpose(3, 2, 1, 0)
    write(tmp_path / "kdata.mat", kdata_ktGaussian=flow)
    write(tmp_path / "usmask.mat", usmask_ktGaussian=usmask)
    write(tmp_path / "coilmap.mat", coilmap=maps)
    scan = io.load(tmp_path / "kdata.mat", mask=tmp_path / "usmask.mat", mps=tmp_path / "coilmap.mat")
    assert scan.axes == ("set", "frame", "coil", "kz", "ky", "kx")
    expected = np.broadcast_to(usmask.transpose(5, 4, 3, 2, 1, 0), (2, 4, 1, 2, NY, NX))
    np.testing.assert_array_equal(np.broadcast_to(scan.inside, expected.shape), expected != 0)
    same(scan.mps, maps.T)


def test_maps_of_matlab_beside_its_kspace(tmp_path):
    """Before, maps (y, x, coil) of another file came out with y and x exchanged, of square images in silence."""
    kspace, maps = fft(smooth(COILS, NY, NY), (-2, -1)), smooth(COILS, NY, NY)
    mat5(tmp_path / "k.mat", kspace=kspace.transpose(1, 2, 0))
    mat5(tmp_path / "sens.mat", sens=maps.transpose(1, 2, 0))
    scan = io.load(tmp_path / "k.mat", mps=tmp_path / "sens.mat")
    same(scan.kspace, kspace)
    same(scan.mps, maps)


def test_masks_of_other_files(tmp_path, capsys):
    kspace = fft(smooth(COILS, NY, NX), (-2, -1))
    mask = np.zeros((NY, NX), bool)
    mask[::2] = mask[NY // 2 - 2 : NY // 2 + 2] = True
    np.save(tmp_path / "k.npy", kspace)
    np.save(tmp_path / "m.npy", mask)
    np.savez(tmp_path / "m.npz", mask=mask)
    mat5(tmp_path / "m.mat", mask=mask.T)
    cfl.write(tmp_path / "m.cfl", mask.astype(np.complex64))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["mask"] = mask.astype(np.uint8)
    for other in ("m.npy", "m.npz", "m.mat", "m.cfl", "m.h5"):
        np.testing.assert_array_equal(io.load(tmp_path / "k.npy", mask=tmp_path / other).mask, mask)
    np.testing.assert_array_equal(io.load(tmp_path / "k.npy", mask=mask).mask, mask)
    out = str(tmp_path / "x.npy")
    assert cli.main(["recon", str(tmp_path / "k.npy"), "-o", out, "--mask-file", str(tmp_path / "m.npy"), "--prior",
                     "tikhonov", "--max-iter", "3"]) == 0
    capsys.readouterr()
    np.savez(tmp_path / "m.npz", other=mask)
    for bad, said in ((tmp_path / "m.npz", "no array mask"), (mask[:, :3], "mask"), (tmp_path / "no.npy", "not exist")):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            io.load(tmp_path / "k.npy", mask=bad)
    path = write(tmp_path / "a.h5", header(NX, NY), [readout(kspace[:, y], y=y) for y in range(NY)])
    with pytest.raises(ValueError, match=r"raw data, which says what it measured.*scan.undersample"):
        io.load(path, mask=mask)


def test_complex_numbers_as_pairs(tmp_path):
    """Fields real and imag were refused in .h5; (slice, coil, ky, kx, 2) was taken for spokes, without a word."""
    kspace = fft(smooth(3, COILS, NY, NX), (-2, -1))
    path = tmp_path / "a.h5"
    for kind in ("real", "imag"), ("r", "i"):
        with h5py.File(path, "w") as file:
            file["kspace"] = kspace.view([(name, "f4") for name in kind])
        same(io.load(path).kspace, kspace)
    with h5py.File(path, "w") as file:
        file["kspace"] = np.stack([kspace.real, kspace.imag], -1)
    scan = io.load(path)
    assert scan.axes == ("slice", "coil", "ky", "kx")
    np.testing.assert_array_equal(scan.kspace, kspace)
    assert "real and imaginary part" in " ".join(scan.warnings())
    with h5py.File(path, "w") as file:
        file["kspace"] = np.stack([kspace[0].real, kspace[0].imag], -1)
    assert "Calgary-Campinas' single coil" in " ".join(io.load(path).warnings())


def test_barts_spokes_without_their_trajectory(tmp_path, capsys):
    """Before, they were read as lines in silence, and the trajectory as a scan of one coil."""
    cfl.write(tmp_path / "ksp.cfl", Y[..., None], axes=("coil", "z", "y", "x"))
    k = np.concatenate([K[..., ::-1], np.zeros((*K.shape[:-1], 1))], -1)
    cfl.write(tmp_path / "traj.cfl", k, axes=("z", "y", "x"))
    assert "give their trajectory" in " ".join(io.load(tmp_path / "ksp.cfl").warnings())
    assert not io.load(tmp_path / "ksp.cfl", coord=tmp_path / "traj.cfl", size=(N, N)).warnings()
    for load in (io.load, io.load_image):
        with pytest.raises(ValueError, match="is a trajectory, 3 real coordinates"):
            load(tmp_path / "traj.cfl")
    assert cli.main(["info", str(tmp_path)]) == 3
    assert "is a trajectory" in capsys.readouterr().out


def test_a_folder_says_what_is_wrong_with_a_picture(tmp_path, capsys):
    """Before: "DICOM holds images: load_image reads them" of every broken one."""
    (tmp_path / "a.dcm").write_bytes(b"hello" * 100)
    (tmp_path / "b.nii").write_bytes(b"hello" * 100)
    assert cli.main(["info", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert "does not begin as a DICOM file" in said
    assert "cannot be read as NIfTI" in said
    assert cli.main(["info", str(tmp_path / "a.dcm")]) == 2
    assert "does not begin as a DICOM file" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "data", "said"), [
    ("IM000001", b"\0" * 128 + b"DICM", "begins like a .dcm"), ("MR.1.2.IMA", b"\0" * 128 + b"DICM", "like a .dcm"),
    ("SCAN.H5", b"\x89HDF\r\n\x1a\n", "begins like a .h5"), ("a.nifti", b"\0" * 344 + b"n+1\0", "begins like a .nii"),
    ("brain.mgz", b"\x1f\x8b", "nib-convert brain.mgz brain.nii.gz"), ("e.REC", b"x", "nib-convert e.PAR e.nii.gz"),
    ("t1.mnc", b"CDF", "MINC's"), ("2dseq", b"x", "brkraw or Bru2Nii"),
    ("t1.hdr", (348).to_bytes(4, "big"), "nib-convert t1.hdr t1.nii.gz"),
    ("a+orig.BRIK", b"x", r"nib-convert a\+orig.HEAD"), ("notes.txt", b"x", "suffix")])
def test_files_by_other_names(tmp_path, name, data, said, capsys):
    """Before, they had an "unknown suffix"."""
    (tmp_path / name).write_bytes(data)
    for load in (io.load, io.load_image):
        with pytest.raises(ValueError, match=said):
            load(tmp_path / name)
    assert cli.main(["info", str(tmp_path)]) == 0
    assert re.search(said if said != "suffix" else "not looked at", capsys.readouterr().out)
