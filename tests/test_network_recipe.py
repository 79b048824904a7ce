"""Reconstruction networks in recipes: scale, maps or none, data consistency, saving, the command line, bad input."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import pisolve as pi
from pisolve import backend, cli, linops, nets
from pisolve.prepare import CoilImages
from pisolve.recipe.network import consistent
from pisolve.testing import distance

PHANTOM = pi.phantom.brain((48, 40), 4, noise=0.01)
MASK = pi.masks.random((48, 40), 3, center_fraction=0.15, seed=2)
MPS = PHANTOM.mps / np.linalg.norm(PHANTOM.mps, axis=0)  # as calibration makes them
SCAN = pi.io.Scan(PHANTOM.kspace * MASK, mask=MASK, mps=MPS)
CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}


class Own(nn.Module):
    """What a test says, in the place of a network."""

    def __init__(self, call, needs_maps=True):
        super().__init__()
        self.call, self.needs_maps, self.seen = call, needs_maps, []

    def forward(self, *arguments):
        self.seen.append(arguments)
        return self.call(*arguments)


def adjoint(A, y):
    """The zero-filled image, scaled by two."""
    return 2 * linops.as_torch(A).H(y)


def magnitude(kspace, mask):
    coils = linops.as_torch(linops.fft(tuple(kspace.shape[-3:]))).H(kspace[0])
    return (coils.abs() ** 2).sum(0, keepdim=True).sqrt()


def unrolled(seed=0):
    torch.manual_seed(seed)
    return nets.modl(nets.DnCNN(2, 3, 4), 2).eval()


@pytest.fixture(params=["maps", "no maps"])
def network(request):
    return Own(adjoint) if request.param == "maps" else Own(magnitude, False)


def test_a_network_sees_scaled_data_and_its_image_is_scaled_back(network):
    done = pi.recon(SCAN, network=network)
    assert (done.status, done.ok, done.x.shape, done.x.dtype) == ("done", True, (48, 40), np.complex64)
    data = network.seen[0][1] if network.needs_maps else network.seen[0][0][0]
    np.testing.assert_allclose(data, SCAN.kspace * done.scale, rtol=1e-6)
    zero_filled = linops.sense(SCAN.mps, MASK).H(SCAN.kspace) if network.needs_maps else SCAN.rss()
    assert np.percentile(abs(zero_filled), 99) * done.scale == pytest.approx(1, rel=1e-5)
    expected = (2 if network.needs_maps else 1) * zero_filled
    assert distance(abs(done.x), abs(expected)) < 1e-5
    for factor in (1e-3, 50.0):
        again = pi.recon(pi.io.Scan(factor * SCAN.kspace, mask=MASK, mps=SCAN.mps), network=network)
        np.testing.assert_allclose(again.x, factor * done.x, rtol=1e-4, atol=1e-5 * factor * abs(done.x).max())
    result = done.results[0]
    assert result.report(show=False)["network"] == "Own"
    assert (result.data_residual is None) != network.needs_maps


def test_maps_are_made_only_where_the_network_wants_them(network):
    done = pi.recon(pi.io.Scan(SCAN.kspace, mask=MASK), network=network)
    assert (done.scan.mps is None) != network.needs_maps
    assert done.recipe.network is network
    if not network.needs_maps:
        mask = network.seen[0][1]
        assert isinstance(done.recipe.method, CoilImages)
        assert (mask.dtype, tuple(mask.shape)) == (torch.bool, (1, 1, 48, 40))
        np.testing.assert_array_equal(mask[0, 0], MASK)


def test_slices_come_one_by_one_and_stay_in_order(network):
    two = np.stack([SCAN.kspace, 0.5 * SCAN.kspace[:, ::-1]])
    done = pi.recon(pi.io.Scan(two, mask=np.ones((48, 40), bool), mps=SCAN.mps), network=network)
    assert done.x.shape == (2, 48, 40)
    assert len(done.results) == len(network.seen) == 2


@pytest.mark.parametrize("make", [lambda: Own(lambda A, y: 0 * adjoint(A, y)), lambda: Own(adjoint)])
def test_consistency_solves_what_it_says(make):
    net, A = make(), linops.sense(SCAN.mps, MASK)
    done = pi.recon(SCAN, network=net, consistency=True)
    plain = pi.recon(SCAN, network=net).x
    wanted = pi.solve(A, SCAN.kspace, 0.01 * pi.Tikhonov(plain), pi.CG(), tol=1e-7, max_iter=500).x
    assert distance(done.x, wanted) < 1e-3
    assert done.results[0].data_residual < 0.5 * pi.recon(SCAN, network=net).results[0].data_residual


def test_one_coil_gets_its_samples_back(network):
    y = (backend.fft(PHANTOM.image, (-2, -1)) * MASK)[None]
    done = pi.recon(pi.io.Scan(y, mask=MASK), network=network, consistency=True)
    if network.needs_maps:
        k = backend.fft(done.x, (-2, -1))
        np.testing.assert_allclose(k[MASK], y[0][MASK], atol=1e-5 * abs(y).max())
        return
    zero_filled = backend.fft(y[0], (-2, -1), inverse=True)  # already consistent: it comes back
    assert distance(done.x, abs(zero_filled)) < 1e-5
    damped = Own(lambda k, m: 0.7 * magnitude(k, m), False)
    errors = [distance(pi.recon(pi.io.Scan(y, mask=MASK), network=damped, consistency=c).x, abs(zero_filled))
              for c in (False, True)]
    assert errors[1] < 1e-4 < errors[0]


def test_consistent_needs_no_solver_where_the_data_can_be_met():
    A = linops.sense(np.ones((1, 48, 40), "complex64"), MASK)
    y = A(PHANTOM.image)
    x = np.zeros((48, 40), "complex64")
    np.testing.assert_allclose(consistent(A, y, x), A.H(y), atol=1e-6)


def test_it_is_one_of_the_librarys_own_networks_and_saved_by_its_path(tmp_path):
    net = unrolled()
    with pytest.raises(ValueError, match="made in Python and cannot be written"):
        pi.Recipe(network=net).to_dict()
    nets.save(net, tmp_path / "net.safetensors", CARD)
    loaded = nets.load(tmp_path / "net.safetensors")
    recipe = pi.Recipe(network=loaded, consistency=True, sampling=pi.Sampling("random", 2), compress=pi.Compress(3))
    full = pi.io.Scan(PHANTOM.kspace)
    done = recipe(full)
    assert done.ok
    again = pi.Recipe.from_dict(json.loads(json.dumps(done.recipe.to_dict())))
    assert again.consistency
    np.testing.assert_array_equal(again(full).x, done.x)
    done.save(tmp_path / "image.h5")
    replicas = pi.noise_map(recipe, full, replicas=2)
    assert replicas.std.shape == (48, 40)


def test_eval_mode_is_forced_and_restored():
    class Norm(nn.Module):
        needs_maps = False

        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm2d(1), nn.Dropout(0.5)

        def forward(self, kspace, mask):
            return self.drop(self.norm(magnitude(kspace, mask)[None]))[0]

    net = Norm()
    first, second = (pi.recon(SCAN, network=net).x for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert net.training
    assert net.norm.training
    assert net.norm.running_mean.item() == 0


def test_a_network_may_ruin_what_it_is_given():
    def vandal(A, y):
        return linops.as_torch(A).H(y.zero_())

    kept = SCAN.kspace.copy()
    done = pi.recon(SCAN, network=Own(vandal), consistency=True)
    np.testing.assert_array_equal(SCAN.kspace, kept)
    assert abs(done.x).max() > 0  # from the data, which were not lost


def raising(A, y):
    raise FloatingPointError("step 3")


@pytest.mark.parametrize("call", [lambda A, y: adjoint(A, y) * np.nan, lambda A, y: adjoint(A, y) / 0, raising])
@pytest.mark.parametrize("consistency", [False, True])
def test_nan_is_a_status(call, consistency):
    done = pi.recon(SCAN, network=Own(call), consistency=consistency)
    assert (done.status, done.ok) == ("nonfinite", False)
    assert np.isfinite(done.x).all()
    assert distance(done.x, linops.sense(SCAN.mps, MASK).H(SCAN.kspace)) < 1e-5


D = pi.Denoiser(nets.DnCNN(2, 2, 2))


@pytest.mark.parametrize(("options", "error", "word"), [
    ({"network": D}, TypeError, "got a denoiser"), ({"network": nets.DnCNN(2, 2, 2)}, TypeError, "got a denoiser"),
    ({"network": "modl"}, TypeError, "network must be a torch module"),
    ({"network": adjoint}, TypeError, "network must be a torch module"),
    ({"network": Own(adjoint), "prior": pi.TV()}, ValueError, "prior has no effect on a network"),
    ({"network": Own(adjoint), "solver": pi.CG()}, ValueError, "solver has no effect"),
    ({"network": Own(adjoint), "tune": "sure"}, ValueError, "tune has no effect"),
    ({"network": Own(adjoint), "max_iter": 5}, ValueError, "max_iter has no effect"),
    ({"network": Own(adjoint), "method": pi.Grappa()}, ValueError, r"network goes with Sense\(\)"),
    ({"network": Own(adjoint), "maps": pi.Espirit(sets=2)}, ValueError, "one set of maps"),
    ({"network": Own(magnitude, False), "method": pi.Spirit()}, ValueError, "network goes with"),
    ({"consistency": True}, ValueError, "consistency is for a network"),
    ({"network": Own(adjoint), "consistency": 1}, TypeError, "consistency must be True or False"),
    ({"network": Own(magnitude, False), "consistency": True}, ValueError, "is for one coil"),
    ({"network": Own(lambda A, y: adjoint(A, y).abs())}, TypeError, "must return a complex tensor, got torch.float32"),
    ({"network": Own(lambda A, y: y.numpy())}, TypeError, "must return a complex tensor, got ndarray"),
    ({"network": Own(lambda A, y: y)}, ValueError, r"returned shape \(4, 48, 40\), expected \(48, 40\)"),
    ({"network": Own(lambda k, m: k, False)}, TypeError, "must return a real tensor"),
    ({"network": Own(lambda k, m: k.abs(), False)}, ValueError, r"expected \(1, 48, 40\)")])
def test_bad_input(options, error, word):
    with pytest.raises(error, match=word):
        pi.recon(SCAN, **options)


def test_a_network_elsewhere_is_not_moved_in_silence():
    net = Own(adjoint)
    net.weight = nn.Parameter(torch.zeros(1, device="meta"))
    with pytest.raises(ValueError, match=r"network is on meta.*network.to\('cpu'\)"):
        pi.recon(SCAN, network=net)


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "scan.npz", kspace=SCAN.kspace, mask=MASK, mps=SCAN.mps)
    nets.save(unrolled(), tmp_path / "net.safetensors", CARD)
    nets.save(nets.DnCNN(2, 2, 2), tmp_path / "denoiser.safetensors", {**CARD, "level": 0.1})
    return tmp_path


def test_the_command_line_runs_a_network(folder, capsys):
    words = ["recon", str(folder / "scan.npz"), "-o", str(folder / "out.h5")]
    assert cli.main([*words, "--network", str(folder / "net.safetensors"), "--consistency"]) == 0
    out = capsys.readouterr().out
    assert "net.safetensors with data consistency" in out
    assert "done, data residual" in out
    first = pi.io.load_image(folder / "out.h5")
    again = [words[0], words[1], "-o", str(folder / "again.h5"), "--recipe", str(folder / "out.h5")]
    assert cli.main(again) == 0
    np.testing.assert_array_equal(pi.io.load_image(folder / "again.h5"), first)


@pytest.mark.parametrize(("words", "message"), [
    (["--network", "net.safetensors", "--prior", "tv"], "--prior has no effect on --network"),
    (["--network", "net.safetensors", "--max-iter", "5"], "--max-iter has no effect"),
    (["--network", "net.safetensors", "--method", "grappa"], "--method has no effect"),
    (["--network", "denoiser.safetensors"], "got a denoiser"), (["--network", "absent"], "no network 'absent'"),
    (["--consistency"], "--consistency is for --network"),
    (["--prior", "pnp", "--denoiser", "net.safetensors"], "reconstruction network")])
def test_the_command_line_refuses(words, message, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(["recon", "scan.npz", "-o", "out.h5", *words]) == 2
    assert message in capsys.readouterr().err
