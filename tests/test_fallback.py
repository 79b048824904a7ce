"""A network that does not know: withheld samples, the doubt about its image, and what stands in for it."""

import numpy as np
import pytest
import torch

import pisolve as pi
from pisolve import cli, nets
from pisolve.prepare import models_of
from pisolve.recipe.doubt import MOST, Trial

FULL = pi.phantom.brain((48, 40), 4)
MPS = FULL.mps / np.linalg.norm(FULL.mps, axis=0)
IMAGE = np.linalg.norm(FULL.mps, axis=0) * FULL.image
KSPACE = pi.backend.fft(MPS * IMAGE, (-2, -1)).astype(np.complex64)
SCAN = pi.io.Scan(KSPACE, mps=MPS).undersample(pi.masks.random((48, 40), 2, 0.15, seed=2))
TV = 5e-4 * pi.TV()
CARD = {"data": "none", "licence": "CC0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0, "figures": []}


class Says(torch.nn.Module):
    """A network that answers with `image(A, y)`."""

    needs_maps = True

    def __init__(self, image):
        super().__init__()
        self.image = image

    def forward(self, A, y):
        return self.image(A, y)


def knowing(A, y):
    """The truth, in a recipe's units."""
    scale = models_of(pi.Recipe().prepare(SCAN), pi.prepare.Sense())[1]
    return torch.from_numpy((IMAGE * scale).astype(np.complex64))


def wrong(A, y):
    """An image of something else."""
    return torch.roll(A.H(y), 7, -1).conj()


def recon(image, fallback=TV):
    return pi.recon(SCAN, network=Says(image), fallback=fallback)


def test_withheld_samples_by_their_formula():
    (model,), scale = models_of(pi.Recipe().prepare(SCAN), pi.prepare.Sense())
    trial = Trial(model, scale, 0.0)
    truth = (IMAGE * scale).astype(np.complex64)
    assert trial.missed(truth) < 1e-3
    assert trial.missed(np.zeros_like(truth)) == pytest.approx(1)
    assert trial.missed(truth / 2) == pytest.approx(0.5, abs=1e-3)
    kept, before = (np.count_nonzero(m.y[0].any(-1)) for m in (trial.model, model))
    assert kept < before
    full = np.count_nonzero(SCAN.mask.all(-1)[48 // 2 - 3: 48 // 2 + 3])
    assert np.count_nonzero(trial.model.y[0].any(-1)[21:27]) == full  # the centre stays
    noisy = Trial(model, scale, 1e3)
    assert noisy.missed(np.zeros_like(truth)) <= 1


def test_who_knows_is_left_alone():
    done = recon(knowing)
    assert not done.doubtful
    assert done.results[0].missed < 0.01
    assert done.results[0].fallback is None
    np.testing.assert_array_equal(done.x, pi.recon(SCAN, network=Says(knowing)).x)
    assert pi.recon(SCAN, network=Says(wrong)).results[0].missed is None  # nothing is withheld where no one asks


@pytest.mark.filterwarnings("ignore:the image leaves")
def test_the_fallback_stands_in_for_who_does_not():
    with pytest.warns(UserWarning, match=r"doubtful: the network's image misses .*TV.* stands in its place"):
        done = recon(wrong)
    assert done.doubtful
    assert done.ok
    assert done.results[0].missed > MOST
    np.testing.assert_array_equal(done.x, pi.recon(SCAN, TV).x)
    assert done.results[0].report(show=False)["fallback"] == repr(TV)
    assert any("doubtful" in told for told in done.agreement.doubts)


@pytest.mark.filterwarnings("ignore:the image leaves", "ignore:doubtful")
def test_a_fallback_that_is_no_better_is_not_taken():
    def dim(A, y):
        return knowing(A, y) * 0.4

    done = recon(dim, 1e9 * pi.Tikhonov())
    assert not done.doubtful
    assert done.results[0].missed == pytest.approx(0.6, abs=0.02)
    assert done.results[0].fallback is None
    np.testing.assert_array_equal(done.x, pi.recon(SCAN, network=Says(dim)).x)


@pytest.mark.filterwarnings("ignore:doubtful")
def test_a_network_that_breaks_is_replaced():
    done = recon(lambda A, y: A.H(y) * torch.nan)
    assert done.status == "done"
    np.testing.assert_array_equal(done.x, pi.recon(SCAN, TV).x)


def test_recipes_hold_it_and_refuse_what_has_no_effect(tmp_path, capsys):
    nets.save(nets.modl(nets.DnCNN(2, 2, 4), 2), tmp_path / "net.safetensors", CARD)
    recipe = pi.Recipe(network=nets.load(tmp_path / "net.safetensors"), fallback=TV)
    recipe.save(tmp_path / "recipe.json")
    assert repr(pi.Recipe.load(tmp_path / "recipe.json").fallback) == repr(TV)
    assert "fallback" not in pi.Recipe(TV).to_dict()
    with pytest.raises(ValueError, match="fallback is for a network"):
        pi.recon(SCAN, TV, fallback=TV)
    with pytest.raises(TypeError, match="fallback must be a prior"):
        pi.recon(SCAN, network=Says(wrong), fallback="tv")
    pi.io.save_scan(tmp_path / "scan.h5", SCAN)
    words = ["recon", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "x.npy")]
    assert cli.main([*words, "--network", str(tmp_path / "net.safetensors"), "--fallback", "tv"]) == 0
    assert cli.main([*words, "--fallback", "tv"]) == 2
    assert "--fallback is for --network" in capsys.readouterr().err
