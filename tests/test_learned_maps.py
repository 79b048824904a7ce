"""Coil maps by a network as `maps=` of any recipe."""

import numpy as np
import pytest
import torch
from helpers import refused

import pisolve as pi
from pisolve import masks, nets, phantom
from pisolve.nets.deepsense import low_resolution, unexplained

pytestmark = pytest.mark.usefixtures("one_thread")
CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}
K = phantom.brain((40, 36), 4, noise=0.01).kspace
MASK = masks.random((40, 36), 3, 0.25, seed=1)


def model(seed=0):
    torch.manual_seed(seed)
    return nets.SensitivityModel(2, 2).eval()


def test_maps_are_the_models_and_normalised():
    net = model()
    maps = nets.LearnedMaps(net)(K * MASK, MASK)
    assert maps.shape == K.shape
    assert maps.dtype == np.complex64
    with torch.no_grad():
        expected = net(torch.from_numpy(K * MASK)[None], torch.from_numpy(MASK)[None, None])[0].numpy()
    np.testing.assert_array_equal(maps, expected)
    np.testing.assert_allclose((abs(maps) ** 2).sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(nets.LearnedMaps(net)(K * MASK), maps)  # the mask is found in the data
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(nets.LearnedMaps(net)(K[order] * MASK, MASK), maps[order], atol=1e-5)
    np.testing.assert_allclose(nets.LearnedMaps(net)(K * MASK * 1e-6, MASK), maps, atol=1e-4)


def test_slices_lines_and_lines_measured_apart():
    net = model()
    both = np.stack([K, K[:, ::-1]])
    maps = nets.LearnedMaps(net)(both * MASK, MASK)
    np.testing.assert_allclose(maps[0], nets.LearnedMaps(net)(K * MASK, MASK), atol=1e-6)
    few = nets.LearnedMaps(net, lines=4)(K * MASK, MASK)
    assert abs(few - maps[0]).max() > 1e-4
    block = K[:, 20 - 5:20 + 5, 18 - 6:18 + 6]
    apart = nets.LearnedMaps(net)(K * MASK, MASK, block)
    whole = np.zeros_like(K)
    whole[:, 15:25, 12:24] = block
    np.testing.assert_allclose(apart, nets.LearnedMaps(net)(whole, np.ones_like(MASK)), atol=1e-6)
    np.testing.assert_array_equal(nets.LearnedMaps(net)(K[:1]), np.ones_like(K[:1]))


def test_a_recipe_with_them_is_written_and_read(tmp_path):
    nets.save(model(), tmp_path / "maps.safetensors", CARD)
    net = nets.load(tmp_path / "maps.safetensors")
    recipe = pi.Recipe(1e-3 * pi.Tikhonov(), maps=nets.LearnedMaps(net, lines=8), max_iter=5)
    scan = pi.io.Scan(K * MASK, mask=MASK)
    done = recipe(scan)
    np.testing.assert_array_equal(done.scan.mps, nets.LearnedMaps(net, lines=8)(K * MASK, MASK))
    recipe.save(tmp_path / "recipe.json")
    np.testing.assert_array_equal(pi.Recipe.load(tmp_path / "recipe.json")(scan).x, done.x)
    refused(lambda: pi.Recipe(maps=nets.LearnedMaps(model())).to_dict(), ValueError,
            "SensitivityModel was made in Python and cannot be written into a recipe: save its weights and load them "
            "with pi.nets.load(path)")
    assert pi.recon(scan, network=nets.varnet(nets.DnCNN(2, 2, 4), 2), maps=nets.LearnedMaps(net)).ok


def test_those_of_an_end_to_end_network():
    torch.manual_seed(0)
    net = nets.E2EVarNet(1, 2, 2, 2, 2).eval()
    np.testing.assert_array_equal(nets.LearnedMaps(net)(K * MASK, MASK), nets.LearnedMaps(net.sens_net)(K * MASK, MASK))


def slices(seed=0, accel=3):
    """A simulated slice with its true maps, and 8 lines in the centre."""
    settings = nets.Simulation(size=32, coils=(4, 4), accel=(accel,), center_fraction=0.26, maps="true", measured=0.0,
                               noise=(0.01, 0.01))
    images = [abs(phantom.brain((64, 64), 1, anatomy=n).image) for n in range(3)]
    return nets.Simulated(images, settings, seed=seed)


def test_a_deepsense_begins_as_low_resolution_maps():
    torch.manual_seed(0)
    net = nets.DeepSENSE((4, 6), (1, 1), shrink=1).eval()
    maps = nets.LearnedMaps(net, lines=8)(K * MASK, MASK)
    low = np.zeros_like(K)
    band = slice(16, 24)
    low[:, band] = K[:, band] * np.cos(np.pi * np.arange(-4, 4) / 18)[:, None] ** 2
    images = pi.backend.fft(low, (-2, -1), inverse=True)
    expected = images / np.linalg.norm(images, axis=0)
    turn = (maps * expected.conj()).sum(0)
    np.testing.assert_allclose(maps, expected * turn / abs(turn), atol=1e-4)  # a phase that the image takes up
    coarse = nets.LearnedMaps(nets.DeepSENSE((4, 6), (1, 1), shrink=2).eval(), lines=8)(K * MASK, MASK)
    seen = abs(phantom.brain((40, 36), 1).image) > 0.1
    assert abs((coarse * maps.conj()).sum(0))[seen].mean() > 0.95  # the same maps through a coarser grid
    with torch.no_grad():
        net.network.tail.weight.normal_()
    changed = nets.LearnedMaps(net, lines=8)(K * MASK, MASK)
    assert abs(changed - maps).max() > 0.01
    np.testing.assert_allclose((abs(changed) ** 2).sum(0), 1, rtol=1e-5)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(nets.LearnedMaps(net, lines=8)(K[order] * MASK, MASK), changed[order], atol=1e-4)
    np.testing.assert_allclose(nets.LearnedMaps(net, lines=8)(K * MASK * 2.0**-20, MASK), changed, atol=1e-4)


def test_maps_are_trained_against_what_they_cannot_explain(tmp_path):
    one = slices()[0]
    assert float(unexplained(one.mps, one)) < 1e-5  # the true maps
    turned = one.mps * torch.exp(1j * torch.rand(one.target.shape))[:, None]
    assert float(unexplained(turned.to(torch.complex64), one)) < 1e-5  # a phase is the image's
    low = float(unexplained(low_resolution(one.kspace, one.mask)[0], one))
    assert low > 0.02
    torch.manual_seed(0)
    net = nets.DeepSENSE((8, 12), (1, 1))
    task = nets.MapsTask([one], [one])
    before = task.validate(net)["unexplained"]
    trained = nets.train(net, task, nets.Training(steps=25, lr=3e-3, warmup=2, ema=0.0, every=25), folder=tmp_path)
    assert task.validate(trained)["unexplained"] < 0.97 * before
    assert [row["maps"] for row in task.figures(trained)] == ["low resolution", "network"]
    assert task.picture(trained).shape == (32, 96)
    refused(lambda: task.loss(nets.DnCNN(2, 2, 4), one), TypeError, "DnCNN makes no coil maps")
    bare = nets.Slices(one.kspace, one.mask)
    refused(lambda: unexplained(one.mps, bare), ValueError, "maps are trained on examples with a truth")


def test_what_does_not_fit_is_refused():
    refused(lambda: nets.LearnedMaps(nets.DnCNN()), TypeError, "network must be a DeepSENSE, a SensitivityModel or")
    refused(lambda: nets.LearnedMaps("espirit"), TypeError, "network must be a DeepSENSE")
    refused(lambda: nets.LearnedMaps(model(), lines=0), ValueError, "lines must be in 1..")
    holed = MASK.copy()
    holed[20] = False
    refused(lambda: nets.LearnedMaps(model())(K * holed, holed), ValueError, "mask has no fully sampled centre")
    refused(lambda: nets.LearnedMaps(model())(K[:, None] * MASK, ndim=3), ValueError, "LearnedMaps makes maps of 2-D")
    refused(lambda: pi.recon(pi.io.Scan(K), network=model()), TypeError, "maps=pi.nets.LearnedMaps(network)")
