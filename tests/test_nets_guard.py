"""Training that goes wrong says so, and what is not finite never gets into a checkpoint."""

import numpy as np
import pytest
import torch
from training import SHAPES, equal, small

import pisolve as pi
from pisolve import nets

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = nets.Training(steps=8, every=4, warmup=2, seed=5)


class Task:
    """Denoising, whose loss is changed by `change(loss, network, step)`."""

    config = None

    def __init__(self, change):
        self.inner, self.change = nets.Denoising(SHAPES, batch_size=2, size=24, sigmas=(0.1,), seed=5), change

    def batch(self, step, rank, world):
        return self.inner.batch(step, rank, world), torch.tensor(step)

    def loss(self, network, batch):
        return self.change(self.inner.loss(network, batch[0]), network, int(batch[1]))

    def validate(self, network):
        return {}


def bad_gradient(at):
    """A finite loss whose gradient is NaN at one step: the square root at 0."""
    def change(loss, network, step):
        return loss + torch.sqrt((next(network.parameters()) * 0).sum()) if step == at else loss
    return change


def same(loss, network, step):
    return loss


def train(folder, change=same, **options):
    return nets.train(options.pop("network", None) or small(), Task(change), SETTINGS, folder=folder, **options)


@pytest.mark.parametrize("at", [0, 3, 4, 6, 7])
def test_a_gradient_that_is_not_finite_is_an_error_and_never_in_a_checkpoint(at, tmp_path):
    kept = "is from before" if at >= 4 else "there is no checkpoint yet"
    with pytest.raises(ValueError, match=rf"the gradient is not finite at step {at + 1}, though the loss is.*{kept}"):
        train(tmp_path, bad_gradient(at))
    path = tmp_path / "checkpoint.pt"
    assert path.exists() == (at >= 4)
    if path.exists():
        state = torch.load(path, weights_only=True)
        assert state["step"] == 4
        assert all(torch.isfinite(w).all() for name in ("net", "average") for w in state[name].values())
    mended = train(tmp_path, resume=True)
    assert equal(mended, train(tmp_path / "plain"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [2, 7])
def test_a_loss_that_is_not_finite_still_says_that(value, at, tmp_path):
    with pytest.raises(ValueError, match="the loss is not finite at step"):
        train(tmp_path, lambda loss, network, step: loss * value if step == at else loss)
    assert equal(train(tmp_path, resume=True), train(tmp_path / "plain"))


def test_weights_that_are_not_finite_are_an_error_though_loss_and_gradient_are(tmp_path):
    def ruin(loss, network, step):
        if step == 7:
            network.spare.data[:] = np.nan
        return loss

    net = small()
    net.register_parameter("spare", torch.nn.Parameter(torch.ones(2), requires_grad=False))
    with pytest.raises(ValueError, match=r"the weights spare are not finite at step 8: .*is from before"):
        train(tmp_path, ruin, network=net)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_a_buffer_that_is_infinite_on_purpose_is_none_of_ours(tmp_path):
    net = small()
    net.register_buffer("barred", torch.tensor([-np.inf]))
    assert train(tmp_path, network=net).barred == -np.inf


@pytest.mark.parametrize(("change", "word"), [
    (lambda loss, n, k: loss.expand(3), r"Task\.loss must return one real number, got shape \(3,\) of torch.float32"),
    (lambda loss, n, k: loss * (1 + 1j), "one real number, got shape .* of torch.complex64"),
    (lambda loss, n, k: loss.item(), r"must return a tensor of one number, got float: without float\(\)"),
    (lambda loss, n, k: None, "got NoneType"),
    (lambda loss, n, k: loss.detach(), r"does not depend on any weight that is trained")])
def test_a_loss_that_is_none_is_named(change, word, tmp_path):
    with pytest.raises(TypeError, match=word):
        train(tmp_path, change)


def test_one_number_of_any_shape_is_a_loss(tmp_path):
    got = train(tmp_path / "one", lambda loss, n, k: loss.reshape(1, 1))
    assert equal(got, train(tmp_path / "plain"))


def test_frozen_weights_are_told_and_the_hint_helps(tmp_path):
    net = nets.load("denoiser-fast").network
    with pytest.raises(ValueError, match=r"UNet has no weights to train, all are frozen: .*requires_grad_\(True\)"):
        train(tmp_path, network=net)
    before = {k: w.clone() for k, w in net.state_dict().items()}
    net.head.requires_grad_(True)
    done = train(tmp_path, network=net)
    moved = {k for k, w in done.state_dict().items() if not torch.equal(w, before[k])}
    assert moved == {"head.weight"}


def test_what_is_no_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"network must be a torch module, got Denoiser: give its \.network"):
        train(tmp_path, network=nets.load("denoiser-fast"))
    with pytest.raises(TypeError, match="network must be a torch module, got function"):
        train(tmp_path, network=pi.recon)
