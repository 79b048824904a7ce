"""Training data: what is held out, what is drawn, simulated measurements against formulas, datasets."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from conftest import data_path
from training import MARK, SHAPES, volumes

import pisolve as pi
from pisolve import backend, calib, io, linops, masks, nets
from pisolve.nets import data, reconstruction
from pisolve.nets.simulate import measured_coils, smooth_coils

pytest.importorskip("nibabel")
PLAIN = nets.Simulation(size=32, coils=(4, 4), accel=(3,), center_fraction=0.3, noise=(0.01, 0.01))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return volumes(tmp_path_factory.mktemp("data"))


def phantom_scan(coils=4, size=32, seed=0, noise=0.0):
    brain = pi.phantom.brain((size, size), coils, noise=noise, anatomy=seed, seed=seed)
    return io.Scan(brain.kspace)


# --- images


@pytest.mark.parametrize("whole", [False, True])
def test_training_images_are_none_of_the_held_out_ones(folder, whole):
    images = data.training_images(folder, natural=0, whole=whole)
    assert len(images) > 50
    assert all(i.dtype == np.float32 and i.flags.c_contiguous for i in images)
    brightest = max(float(i.max()) for i in images)
    held = data.held_out_images(folder)
    assert set(held) == {"colin27", "mni152", "cine"}
    for group in held.values():
        for image in group:
            assert image.dtype == np.complex64
            assert np.percentile(abs(image), 99) == pytest.approx(1, rel=0.02)
    volume = data._volumes(folder)
    for name, v in volume.items():
        marked = v[20:] if name == "cine" else v[:, :, data.HELD_OUT[name]]
        assert brightest < 0.7 * marked.min(), name  # MARK against the rest
    assert MARK > 1


def test_real_volumes_hold_the_slices_that_are_held_out():
    root = data_path("volumes/colin27_t1.nii.gz").parents[1]
    held = data.held_out_images(root)
    assert {k: len(v) for k, v in held.items()} == {"colin27": 4, "mni152": 4, "cine": 3}
    assert held["colin27"][0].shape == (181, 217)


def test_natural_images_have_their_share_and_are_not_asked_for_without(folder):
    pytest.importorskip("skimage")
    plain, mixed = (data.training_images(folder, natural=n) for n in (0, 0.05))
    pictures = {p.tobytes() for p in data.natural_images()}
    share = np.mean([i.tobytes() in pictures for i in mixed[len(plain):]])
    assert share == 1
    assert (len(mixed) - len(plain)) / len(mixed) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(("call", "word"), [
    (lambda f: data.training_images(f / "nowhere"), "volumes/"),
    (lambda f: data.training_images(f, natural=2), "natural"),
    (lambda f: nets.Simulated([]), "images is empty"), (lambda f: nets.Simulation(coils=(8, 4)), "coils"),
    (lambda f: nets.Simulation(masks=("spiral",)), "masks"), (lambda f: nets.Simulation(noise=(0, 0.1)), "noise"),
    (lambda f: nets.Simulation(accel=()), "accel"),
    (lambda f: nets.Simulation(shots=(8, 4)), "shots"),
    (lambda f: nets.Simulation(encoding="spiral"), "encoding"),
    (lambda f: nets.Simulation(encoding="radial", maps=None), "network with maps"),
    (lambda f: nets.simulate(np.ones((16, 16)), np.ones((2, 16, 16))), "give mask, or coord"),
    (lambda f: nets.FastMRI(f / "volumes"), "no .h5"),
    (lambda f: nets.simulate(np.ones((31, 32)), np.ones((2, 31, 32)), np.ones((15, 16), bool)), "even"),
    (lambda f: nets.collate([]), "items is empty"), (lambda f: nets.lines("spiral"), "kind")])
def test_bad_data_is_refused(folder, call, word):
    with pytest.raises(ValueError, match=word):
        call(folder)


def test_drawn_images_are_scaled_smooth_in_phase_and_repeatable():
    for n in range(12):
        x = data.draw(SHAPES, np.random.default_rng(n), size=24, scale=(0.3, 1.5))
        assert x.shape == (2, 24, 24)
        assert x.dtype == torch.float32
        top = np.percentile(x.norm(dim=0), 99)
        assert 0.29 <= top <= 1.55
        assert torch.equal(x, data.draw(SHAPES, np.random.default_rng(n), size=24, scale=(0.3, 1.5)))
    given = [s.copy() for s in SHAPES]
    data.draw_whole(SHAPES, np.random.default_rng(0), size=24)
    assert all(np.array_equal(a, b) for a, b in zip(given, SHAPES))


def test_whole_views_have_air_about_the_object():
    image = np.zeros((40, 30), np.float32)
    image[3:-3, 3:-3] = 1
    for n in range(8):
        x = data.draw_whole([image], np.random.default_rng(n), size=64, fill=(0.5, 0.7)).norm(dim=0)
        border = torch.cat([x[0], x[-1], x[:, 0], x[:, -1]])
        assert float(border.max()) < 1e-3
        assert float((x > 0.1).float().mean()) > 0.1


# --- simulation


def test_kspace_is_the_fourier_sum_of_the_fine_object(rng):
    fine = rng.standard_normal((16, 12, 2)) @ [1, 1j]
    coils = rng.standard_normal((2, 16, 12, 2)) @ [1, 1j]
    shape = (8, 6)
    got = nets.simulate(fine, coils, np.ones(shape, bool), maps=None)
    y, x = ((np.arange(2 * n) - n) / 2 for n in shape)  # in coarse pixels, from the centre
    for ky, kx in ((-4, -3), (0, 0), (2, -1), (3, 2)):
        wave = np.exp(-2j * np.pi * (ky * y[:, None] / shape[0] + kx * x / shape[1]))
        expected = (coils * fine * wave).sum((-2, -1)) / 4 / np.sqrt(np.prod(shape))
        np.testing.assert_allclose(got.kspace[0, :, ky + 4, kx + 3] / float(got.scale), expected, rtol=2e-5)


@pytest.mark.parametrize("size", [16, 18, 17])
def test_a_band_limited_object_is_measured_as_its_samples(size):
    p = np.arange(2 * size) - size
    wave = np.exp(2j * np.pi * p / (2 * size))
    fine = 1 + 0.5 * wave[:, None] * wave**2 + 0.2 * wave[:, None] ** -3
    got = nets.simulate(fine, np.ones((1, 2 * size, 2 * size)), np.ones((size, size), bool), maps="true")
    samples = fine[size % 2::2, size % 2::2]
    np.testing.assert_allclose(got.target[0] / float(got.scale), samples, atol=2e-5)
    np.testing.assert_allclose(backend.fft(got.kspace[0, 0].numpy(), (-2, -1), inverse=True), got.target[0], atol=2e-5)


def test_an_object_on_the_grid_of_the_image_is_measured_as_it_is(rng):
    image, coils = (rng.standard_normal((*s, 2)) @ [1, 1j] for s in ((16, 20), (3, 16, 20)))
    got = nets.simulate(image, coils, np.ones((16, 20), bool), maps=None)
    expected = backend.fft(coils * image, (-2, -1))
    np.testing.assert_allclose(got.kspace[0] / float(got.scale), expected, rtol=2e-4, atol=2e-5)
    example = nets.Simulated(SHAPES, replace(PLAIN, fine=1))[0]
    assert example.kspace.shape == nets.Simulated(SHAPES, PLAIN)[0].kspace.shape


def test_examples_are_scaled_as_a_recipe_scales_them():
    example = nets.Simulated(SHAPES, PLAIN)[3]
    mask = example.mask[0, 0].numpy()
    zero = abs(example.A.H(example.kspace.numpy()))
    assert np.percentile(zero, 99) == pytest.approx(1, rel=1e-4)
    done = pi.recon(io.Scan(example.kspace[0].numpy(), mask, example.mps[0].numpy()), pi.Tikhonov(), max_iter=2)
    assert done.scale == pytest.approx(1, rel=1e-4)
    assert not example.kspace[0, :, ~mask].any()


@pytest.mark.parametrize("maps", ["espirit", "true"])
def test_the_target_is_what_full_noiseless_data_show(maps, rng):
    coils = smooth_coils(rng, 5, 64)
    image = data.draw_whole(SHAPES, rng, size=64)
    image = (image[0] + 1j * image[1]).numpy()
    full = nets.simulate(image, coils, np.ones((32, 32), bool), maps=maps)
    np.testing.assert_allclose(full.A.H(full.kspace.numpy()), full.target, atol=1e-5)
    assert full.rss.shape == (1, 32, 32)
    np.testing.assert_allclose(full.rss**2, (abs(backend.fft(full.kspace.numpy(), (-2, -1), inverse=True)) ** 2).sum(1),
                               rtol=1e-3, atol=1e-5)
    noisy = nets.simulate(image, coils, np.ones((32, 32), bool), maps=maps, noise=0.05, seed=3)
    error = noisy.kspace / float(noisy.scale) - full.kspace / float(full.scale)
    assert float(error.real.std()) == pytest.approx(0.05, rel=0.05)
    assert float(error.imag.std()) == pytest.approx(0.05, rel=0.05)


def test_espirits_maps_of_simulated_coils_are_the_true_ones(rng):
    coils = smooth_coils(rng, 8, 96)
    image = pi.phantom.brain((96, 96), 1).image
    got, true = (nets.simulate(image, coils, np.ones((48, 48), bool), maps=m, noise=1e-3) for m in ("espirit", "true"))
    inside = true.rss[0] > 0.3 * true.rss.max()
    overlap = abs((got.mps.conj() * true.mps).sum(1))[0][inside]
    assert float(np.quantile(overlap, 0.05)) > 0.99
    assert calib.coverage(got.mps[0].numpy(), got.kspace[0].numpy()) > 0.97


@pytest.mark.parametrize("number", [1, 4, 16])
def test_coils_have_unit_sensitivity_and_are_smooth_and_their_own(number, rng):
    profiles = smooth_coils(rng, 16, 32)
    for coils in (smooth_coils(rng, number, 48), measured_coils(rng, number, 48, profiles)):
        assert coils.shape == (number, 48, 48)
        assert coils.dtype == np.complex64
        assert np.sqrt((abs(coils) ** 2).sum(0)).mean() == pytest.approx(1, rel=1e-4)
        step = abs(np.diff(coils, axis=-1)).max() / abs(coils).max()
        assert step < 0.25
    flat = smooth_coils(rng, 8, 24).reshape(8, -1)
    assert np.linalg.svd(flat, compute_uv=False)[-1] > 1e-3 * np.linalg.norm(flat)


RADIAL = replace(PLAIN, encoding="radial", shots=(20, 24), maps="true")


def test_spokes_are_the_fourier_sum_of_the_fine_object(rng):
    fine = rng.standard_normal((32, 36, 2)) @ [1, 1j]
    coils = rng.standard_normal((2, 32, 36, 2)) @ [1, 1j]
    k = pi.trajectories.radial((16, 18), 5)
    got = nets.simulate(fine, coils, coord=k, size=(16, 18), maps="true")
    y, x = ((np.arange(2 * n) - n) / 2 for n in (16, 18))
    for shot, sample in ((0, 0), (2, 18), (4, 31)):
        wave = np.exp(-2j * np.pi * (k[shot, sample, 0] * y[:, None] / 16 + k[shot, sample, 1] * x / 18))
        expected = (coils * fine * wave).sum((-2, -1)) / 4 / np.sqrt(16 * 18)
        np.testing.assert_allclose(got.kspace[0, :, shot, sample] / float(got.scale), expected, rtol=1e-4)
    clean = nets.simulate(fine, coils, np.ones((16, 18), bool), maps="true")
    np.testing.assert_allclose(got.target / float(got.scale), clean.target / float(clean.scale), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("maps", ["true", "espirit"])
def test_radial_examples_are_scaled_as_a_recipe_scales_them(maps):
    example = nets.Simulated(SHAPES, replace(RADIAL, maps=maps))[3]
    shots = example.kspace.shape[2]
    assert 20 <= shots <= 24
    assert example.kspace.shape == (1, 4, shots, 64)
    assert example.coord.shape == (1, shots, 64, 2)
    assert np.percentile(example.zero_filled(), 99) == pytest.approx(1, rel=1e-3)
    scan = io.Scan(example.kspace[0].numpy(), mps=example.mps[0].numpy(), coord=example.coord[0].numpy(),
                   size=(32, 32), axes=("coil", "shot", "sample"))
    done = pi.recon(scan, pi.Tikhonov(), max_iter=2)
    assert done.scale == pytest.approx(1, rel=1e-3)
    x = pi.recon(scan, 1e-3 * pi.TV()).x
    assert pi.testing.distance(x, example.target[0].numpy()) < 0.3


def test_radial_examples_fit_into_batches_whose_slices_have_their_own_spokes():
    several = nets.Simulated(SHAPES, RADIAL, group=2)
    items = [several.drawn(n) for n in (4, 5)]
    both = nets.collate(items)
    assert not torch.equal(items[0].coord, items[1].coord)
    for n, item in enumerate(items):
        np.testing.assert_allclose(both.A.H(both.kspace.numpy())[n], item.A.H(item.kspace.numpy())[0], atol=1e-5)
    seen = both.sampled(torch.arange(both.mask.shape[2])[:, None] % 2 == 0)
    whole, some = both.A(both.target.numpy()), seen.A(both.target.numpy())
    assert not some[:, :, 1::2].any()
    np.testing.assert_allclose(some[:, :, ::2], whole[:, :, ::2], atol=1e-5)


def test_ssdu_holds_out_whole_spokes():
    task = nets.SSDU(nets.Simulated(SHAPES, RADIAL, group=2), batch_size=2, rho=0.3)
    slices, held = task.batch(0)
    assert held.shape == slices.mask.shape
    assert torch.equal(held.all(-1), held.any(-1))
    assert set(held.any(-1).sum(-1).ravel().tolist()) == {round(0.3 * slices.mask.shape[2])}
    assert not torch.equal(held[0], held[1])


# --- datasets


def test_simulated_examples_are_repeatable_and_fit_into_batches():
    settings = nets.Simulation(size=32, coils=(2, 6), accel=(3, 4), center_fraction=0.25, maps=None)
    several = nets.Simulated(SHAPES, settings, group=3, length=9)
    loader = torch.utils.data.DataLoader(several, batch_size=3, collate_fn=nets.collate)
    batches = list(loader)
    assert [len(b) for b in batches] == [3, 3, 3]
    assert len({b.kspace.shape[1] for b in batches}) > 1
    assert torch.equal(batches[1].kspace[1:2], several[4].kspace)
    assert not torch.equal(several[0].kspace[..., 16], several[1].kspace[..., 16])
    with pytest.raises(ValueError, match="several shapes"):
        nets.collate([several[0], several[3], several[6]])
    with pytest.raises(ValueError, match="no maps"):
        several[0].A  # noqa: B018
    with pytest.raises(IndexError):
        several[9]


def test_slices_of_a_batch_do_not_touch_each_other():
    items = [nets.Simulated(SHAPES, PLAIN)[n] for n in (0, 1)]
    both = nets.collate(items)
    for n, item in enumerate(items):
        np.testing.assert_allclose(both.A.H(both.kspace.numpy())[n], item.A.H(item.kspace.numpy())[0], atol=1e-6)


def test_fastmri_folder_gives_fastmris_masks_crops_and_padding(tmp_path):
    pytest.importorskip("h5py")
    scans = {name: phantom_scan(2, 32, seed) for seed, name in enumerate(("file1000.h5", "file1001.h5"))}
    header = ('<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace><matrixSize><x>32</x><y>32</y>'
              '<z>1</z></matrixSize></encodedSpace><encodingLimits><kspace_encoding_step_1><minimum>0</minimum>'
              '<maximum>27</maximum><center>14</center></kspace_encoding_step_1></encodingLimits></encoding>'
              '</ismrmrdHeader>')
    for name, scan in scans.items():
        with h5py.File(tmp_path / name, "w") as file:
            file["kspace"] = np.stack([scan.kspace] * 2)
            file["reconstruction_rss"] = np.stack([scan.rss()[4:-4, 4:-4]] * 2)
            if name == "file1001.h5":
                file["ismrmrd_header"] = header
    folder = nets.FastMRI(tmp_path, nets.lines("random", 4, 0.15), maps=None)
    assert len(folder) == 4
    for number, name in ((1, "file1000.h5"), (2, "file1001.h5")):
        item = folder[number]
        rng = np.random.RandomState(seed=tuple(map(ord, name)))  # RandomMaskFunc, line for line
        rng.randint(0, 1)
        low = round(32 * 0.15)
        expected = rng.uniform(size=32) < (32 / 4 - low) / (32 - low)
        pad = (32 - low + 1) // 2
        expected[pad: pad + low] = True
        if name == "file1001.h5":
            expected[30:] = expected[:2] = False
        assert np.array_equal(item.mask[0, 0].numpy(), np.broadcast_to(expected, (32, 32)))
        assert item.rss.shape == (1, 24, 24)
        full = scans[name].kspace * float(item.scale)
        np.testing.assert_allclose(item.kspace[0], full * expected, atol=1e-5)
        np.testing.assert_allclose(item.rss[0], scans[name].rss()[4:-4, 4:-4] * float(item.scale), rtol=1e-4)
    assert nets.FastMRI(tmp_path, nets.lines("random", 2, 0.3))[0].mps is not None
    whole = nets.Scans([io.load(tmp_path / "file1000.h5")])  # read as a whole, the same slices
    single = nets.FastMRI(tmp_path)
    for number in range(2):
        assert torch.equal(single[number].kspace, whole[number].kspace)
        assert torch.equal(single[number].rss, whole[number].rss)
    with h5py.File(tmp_path / "file1002.h5", "w") as file:  # one coil, without an axis for it
        file["kspace"] = scans["file1000.h5"].kspace[:1]
    assert nets.FastMRI(tmp_path, maps=None)[4].kspace.shape == (1, 1, 32, 32)


def test_scans_are_undersampled_afresh_or_taken_as_they_are():
    scan = phantom_scan()
    both = nets.Scans([scan, io.Scan(np.stack([scan.kspace] * 2))], nets.lines("random", 3, 0.3, axis=-2))
    assert len(both) == 3
    assert not torch.equal(both[1].mask, both[2].mask)
    assert torch.equal(both[1].mask, both[1].mask)
    np.testing.assert_allclose(both[0].rss[0] / float(both[0].scale), scan.rss(), rtol=1e-4)
    measured = scan.undersample(masks.random((32, 32), 2, 0.3, seed=1))
    alone = nets.Scans([io.Scan(measured.kspace, measured.mask)])
    assert alone[0].target is None
    with pytest.raises(ValueError, match="undersampled already"):
        nets.Scans([measured], nets.lines())[0]
    with pytest.raises(TypeError, match="Scan"):
        nets.Scans([scan.kspace])


# --- splitting k-space


@pytest.mark.parametrize("selection", ["gaussian", "uniform"])
@pytest.mark.parametrize("rho", [0.2, 0.4])
def test_the_split_takes_its_share_off_the_centre(selection, rho):
    mask = masks.random((48, 40), 3, seed=2)
    held = reconstruction.held_out_samples(mask, rho, 5, selection=selection)
    assert held.sum() == round(rho * mask.sum())
    assert not (held & ~mask).any()
    assert not held[22:26, 18:22].any()
    assert np.array_equal(held, reconstruction.held_out_samples(mask, rho, 5, selection=selection))
    assert not np.array_equal(held, reconstruction.held_out_samples(mask, rho, 6, selection=selection))


def test_the_gaussian_split_prefers_the_centre():
    mask = np.ones((64, 64), bool)
    y, x = np.meshgrid(*[np.arange(64) - 32] * 2, indexing="ij")
    radius = [np.hypot(y, x)[reconstruction.held_out_samples(mask, 0.2, 0, selection=s)].mean()
              for s in ("gaussian", "uniform")]
    assert radius[0] < 0.8 * radius[1]
    with pytest.raises(ValueError, match="held out"):
        reconstruction.held_out_samples(np.pad(np.ones((4, 4), bool), 6), 0.4)


def test_the_normalised_loss_is_its_formula(rng):
    u, v = (rng.standard_normal((2, 3, 4, 2)) @ [1, 1j] for _ in range(2))
    expected = np.mean([np.linalg.norm(a - b) / np.linalg.norm(a) + abs(a - b).sum() / abs(a).sum()
                        for a, b in zip(u, v)])
    assert float(reconstruction.normalised(torch.tensor(v), torch.tensor(u))) == pytest.approx(expected, rel=1e-9)


def test_ssdu_compares_on_samples_that_the_network_has_not_seen():
    examples = nets.Simulated(SHAPES, PLAIN, group=2)
    task = nets.SSDU(examples, batch_size=2, rho=0.3)
    slices, held = task.batch(0)
    seen = {}

    class Spy(torch.nn.Module):
        needs_maps = True

        def forward(self, A, y):
            seen["y"], seen["A"] = y, A
            return linops.as_torch(A).H(y)

    assert torch.isfinite(task.loss(Spy(), (slices, held)))
    assert not (seen["y"] * held).any()
    assert torch.equal(slices.kspace * ~held, seen["y"])
    assert not linops.as_torch(seen["A"])(slices.target)[held.expand_as(seen["y"])].any()
    with pytest.raises(ValueError, match="rho"):
        nets.SSDU(examples, rho=1)
    with pytest.raises(ValueError, match="selection"):
        nets.SSDU(examples, selection="all")
