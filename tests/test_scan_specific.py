"""Networks fitted to one scan: splits, early stopping, resuming to the same bits, divergence, Ctrl-C, recipes."""

import itertools
import json

import numpy as np
import pytest
import torch

import pisolve as pi
from pisolve import nets
from pisolve.backend import adam
from pisolve.nets.reconstruction import held_out_samples
from pisolve.problem import Problem
from pisolve.scan_specific import three_way

SHAPE = (32, 32)
BRAIN = pi.phantom.brain(SHAPE, 4, noise=0.02)
SCAN = pi.io.Scan(BRAIN.kspace).undersample(pi.masks.random(SHAPE, 2, seed=1))
A = pi.linops.sense(BRAIN.mps, SCAN.mask)
Y = (SCAN.kspace[0] if SCAN.kspace.ndim == 4 else SCAN.kspace) / np.percentile(abs(BRAIN.image), 99)
DECODERS = [nets.ConvDecoder(8, 4), nets.DeepDecoder(8, 4), nets.DIP(4, 4, 2)]
SMALL = {"architecture": "Unrolled", "config": {
    "solver": {"name": "HQS", "inner": 4}, "iterations": 2, "sigma": 0.05,
    "denoiser": {"architecture": "UNet", "config": {"channels": 2, "widths": [4, 8], "blocks": [1, 1]}}}}


def close(x, y, tol):
    """||x - y|| <= tol ||y||."""
    return np.linalg.norm(x - y) <= tol * np.linalg.norm(y)


class Wild(pi.scan_specific.Fitted):
    """A fit whose loss grows, or becomes NaN, after some steps."""

    def __init__(self, after):
        self.after = after

    def task(self, problem):
        return _Wild(problem, self.after)


class _Wild(pi.scan_specific.fit.Task):
    steps, lr = 2, 1e-3

    def __init__(self, problem, after):
        self.net, self.problem, self.after = torch.nn.Linear(1, 1), problem, after

    def module(self, run):
        return self.net

    def loss(self, run, t):
        size = 1.0 if t < 4 else self.after
        return size * (1 + 0 * self.net.weight.sum())

    def score(self, run):
        return 1.0

    def image(self, run):
        return self.problem.AHy


def prior(kind="decoder", **more):
    if kind in ("decoder", "start"):
        more = {"runs": 1} | ({"start": 1e-2 * pi.TV()} if kind == "start" else {}) | more
        return pi.Untrained(nets.ConvDecoder(8, 4), **more)
    return pi.ZeroShot(SMALL, splits=3, **more)


@pytest.mark.parametrize("network", DECODERS, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("shape", [(24, 24), (17, 30)])
def test_a_decoder_makes_images_of_any_size_and_learns(network, shape):
    z = network.latent(shape, np.random.default_rng(0))
    assert torch.equal(z, network.latent(shape, np.random.default_rng(0)))
    target = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 2, 6, 6), np.float32))
    target = torch.nn.functional.interpolate(target, shape, mode="bilinear")

    def loss(t):
        return ((network(z, shape) - target) ** 2).mean()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        again = nets.build(type(network).__name__, network.config)
    assert again.state_dict().keys() == network.state_dict().keys()
    network = again
    first = float(loss(0))
    assert network(z, shape).shape == (1, 2, *shape)
    _, _ = adam.advance(network, loss, adam.begin(network), 60, 1e-2)
    assert float(loss(0)) < 0.5 * first


def test_sizes_end_at_the_image_and_nothing_is_learned_between_fits():
    net = nets.ConvDecoder(8, 5)
    assert net.sizes((40, 20))[-1] == net.sizes((40, 20))[-2] == (40, 20)
    assert min(net.sizes((40, 20))[0]) == 8
    assert not list(net.buffers())  # a norm with a memory would make evaluation differ from fitting


@pytest.mark.parametrize("parts", [(7,), (3, 4), (1, 5, 1)])
def test_adam_in_parts_is_adam(parts):
    def made():
        torch.manual_seed(3)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))

    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    reference, net = made(), made()
    optimiser = torch.optim.Adam(reference.parameters(), lr=0.02)
    for t in range(7):
        optimiser.zero_grad()
        ((reference(x) - t) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        optimiser.step()
    state = adam.begin(net)
    for steps in parts:
        before = {k: np.array(v) for k, v in state.items()}
        old = state
        state, _ = adam.advance(net, lambda t: ((net(x) - t) ** 2).mean(), state, steps, 0.02, clip=1.0, keep=0.5)
        assert all(np.array_equal(before[k], old[k]) for k in before), "the state that was given has changed"
    assert state["t"] == 7
    for a, b in zip(reference.parameters(), net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_running_average_is_of_the_weights():
    net = torch.nn.Linear(1, 1, bias=False)
    seen, state = [], adam.begin(net)
    average = state["theta"].double()
    for t in range(1, 9):
        state, _ = adam.advance(net, lambda t: (net.weight - 3).square().sum(), state, 1, 0.1, keep=0.6)
        seen.append(float(state["theta"]))
        average = average + (1 - min(0.6, t / (t + 10))) * (state["theta"].double() - average)
    assert abs(float(state["average"]) - float(average)) < 1e-6
    assert seen == sorted(seen)


@pytest.mark.parametrize("seed", range(20))
def test_the_three_way_split_is_disjoint_and_covers(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(16, 60, 2))
    accel = 2 + seed % 3
    points = pi.masks.variable_density(shape, accel, 6, seed=seed)
    mask = points if seed % 2 else pi.masks.random(shape, accel, seed=seed)
    rho, validation = rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.4)
    gamma, pairs = three_way(mask, splits=4, rho=rho, validation=validation, seed=seed)
    assert abs(gamma.sum() / mask.sum() - validation) < 1 / mask.sum()
    for theta, held in pairs:
        assert not (gamma & theta).any()
        assert not (gamma & held).any()
        assert not (theta & held).any()
        assert ((gamma | theta | held) == mask).all()
        assert abs(held.sum() / (mask & ~gamma).sum() - rho) < 1 / mask.sum()
    assert any((a[1] != b[1]).any() for a, b in itertools.pairwise(pairs))
    again = three_way(mask, splits=4, rho=rho, validation=validation, seed=seed)
    assert (again[0] == gamma).all()
    assert all((a[0] == b[0]).all() for a, b in zip(again[1], pairs))


@pytest.mark.parametrize("kind", ["decoder", "network", "start"])
def test_same_bits_whole_or_in_parts(kind, tmp_path, one_thread, monkeypatch):
    monkeypatch.setattr("pisolve.scan_specific.fit._WARM", 20)
    solver = pi.Fit(steps=3)
    whole = pi.solve(A, Y, prior(kind), solver, max_iter=4)
    assert (pi.solve(A, Y, prior(kind), solver, max_iter=4).x == whole.x).all()
    half = pi.solve(A, Y, prior(kind), solver, max_iter=2)
    pi.save_state(tmp_path / "state.h5", half.state)
    rest = pi.solve(A, Y, prior(kind), solver, state=pi.load_state(tmp_path / "state.h5"), max_iter=4)
    assert (rest.x == whole.x).all()
    for name, value in whole.state.aux.items():
        assert np.array_equal(np.asarray(value), np.asarray(rest.state.aux[name]), equal_nan=True), name
    assert (pi.solve(A, Y, prior(kind, seed=1), solver, max_iter=4).x != whole.x).any()


def test_the_image_is_the_best_so_far_and_patience_ends_the_run(one_thread):
    seen = []

    def look(problem, state):
        seen.append((state.aux["score"][0], state.aux["best"][0], state.x.copy()))

    solver = pi.Fit(steps=10, lr=0.05, keep=0.0, patience=3, slack=0)
    done = pi.solve(A, Y, prior(), solver, callbacks=[look], max_iter=200)
    assert done.status == "converged"
    assert done.state.k < 200
    scores = [s for s, _, _ in seen]
    assert np.argmin(scores) == len(scores) - 4  # three looks without a better one, and then the end
    assert all(best == min(scores[: k + 1]) for k, (_, best, _) in enumerate(seen))
    assert (done.x == seen[int(np.argmin(scores))][2]).all()
    assert done.history[-1]["heldback"] == scores[-1]


def test_looks_within_the_slack_count_as_the_best(one_thread):
    seen = []

    def look(problem, state):
        seen.append((state.aux["score"][0], state.aux["best"][0], state.x.copy()))

    done = pi.solve(A, Y, prior(), pi.Fit(steps=10, lr=0.05, keep=0.0, patience=3, slack=0.05), callbacks=[look],
                    max_iter=60)
    least, last = np.inf, None
    for k, (score, best, _) in enumerate(seen):
        if score <= 1.05 * least:
            least, last = min(score, least), k
        assert best == least
    assert (done.x == seen[last][2]).all()
    assert last != int(np.argmin([s for s, _, _ in seen]))  # it made a difference here


def test_several_runs_average_and_their_spread_is_known(one_thread):
    done = pi.solve(A, Y, prior(runs=3), pi.Fit(steps=5), max_iter=3)
    alone = [pi.solve(A, Y, prior(runs=1), pi.Fit(steps=5), max_iter=3).x]
    images = done.state.aux["images"]
    assert close(done.x, images.mean(0), 1e-6)
    assert (images[0] == alone[0]).all()
    assert close(done.state.aux["std"], np.std(images, axis=0, ddof=1), 1e-5)


def test_the_adapted_network_is_the_one_whose_image_was_returned(one_thread):
    shot = pi.ZeroShot(SMALL, splits=3)
    done = pi.solve(A, Y, shot, pi.Fit(lr=0.02, keep=0.0, patience=3), max_iter=60)
    assert done.status == "converged"  # so the last weights are others
    with torch.no_grad():
        again = shot.adapted(done.state)(A, torch.from_numpy(Y)).numpy()
        last = shot.fresh().eval()
        adam.put(last, done.state.aux["average"][0])
        assert not close(last(A, torch.from_numpy(Y)).numpy(), done.x, 1e-3)
    assert close(again, done.x, 1e-5)


@pytest.mark.parametrize("kind", ["decoder", "network"])
def test_no_data_give_no_image(kind):
    done = pi.solve(A, 0 * Y, prior(kind), max_iter=5)
    assert done.status == "converged"
    assert not done.x.any()
    volume = pi.io.Scan(np.stack([BRAIN.kspace, 0 * BRAIN.kspace]), SCAN.mask, np.stack([BRAIN.mps] * 2))
    done = pi.recon(volume, prior(kind), pi.Fit(steps=1), max_iter=1)
    assert done.x[0].any()
    assert not done.x[1].any()


def test_a_first_image_is_where_a_decoder_starts(one_thread):
    truth = (BRAIN.image / np.percentile(abs(BRAIN.image), 99)).astype(np.complex64)
    solver = pi.Fit(steps=1, lr=5e-3)
    warm = pi.solve(A, Y, prior(runs=1), solver, x0=truth, max_iter=1)
    cold = pi.solve(A, Y, prior(runs=1), solver, max_iter=1)
    assert warm.history[0]["heldback"] < 0.8 * cold.history[0]["heldback"]
    with pytest.raises(ValueError, match="x0 has no effect"):
        pi.solve(A, Y, prior("network"), x0=truth)


STARTS = ["zero-filled", 1e-2 * pi.TV(), 1e-3 * pi.Wavelet(shifts=2)]


@pytest.mark.parametrize("start", STARTS, ids=repr)
def test_a_start_is_made_without_the_samples_held_back(start, one_thread):
    """As an oracle makes it of the other samples, and to the same bits whatever the ones held back are."""
    held = held_out_samples(SCAN.mask, 0.05, np.random.default_rng([0, 1]), selection="uniform", centre=8)
    one = prior(start=start)
    found = one.task(Problem(A, Y, one)).first()
    other = one.task(Problem(A, Y + (100 * held).astype(np.complex64), one)).first()
    assert (found == other).all()
    assert (found != one.task(Problem(A, Y * (1 + (SCAN.mask & ~held)), one)).first()).any()
    fit = pi.linops.sense(BRAIN.mps, SCAN.mask & ~held)
    y = Y * (SCAN.mask & ~held)
    if start == "zero-filled":
        images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(y, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
        x = (BRAIN.mps.conj() * images).sum(0)
        made = fit(x.astype(np.complex64))
        design = np.concatenate([made.real.ravel(), made.imag.ravel()])[:, None]
        (scale,), *_ = np.linalg.lstsq(design, np.concatenate([y.real.ravel(), y.imag.ravel()]), rcond=None)
        assert abs(scale - 1) > 0.05  # it makes a difference here
        assert close(found, scale * x, 1e-4)
    else:
        assert close(found, pi.solve(fit, y, start).x, 1e-5)


@pytest.mark.parametrize("start", STARTS[:2], ids=repr)
def test_a_start_is_where_a_decoder_starts_and_x0_overrules_it(start, one_thread, monkeypatch):
    solver = pi.Fit(steps=1, lr=5e-3)
    cold = pi.solve(A, Y, prior(), solver, max_iter=1)
    warm = pi.solve(A, Y, prior(start=start), solver, max_iter=1)
    assert warm.history[0]["heldback"] < 0.8 * cold.history[0]["heldback"]
    monkeypatch.setattr("pisolve.scan_specific.fit._WARM", 20)
    x0 = A.H(Y)
    given = pi.solve(A, Y, prior(), solver, x0=x0, max_iter=1)
    begun = pi.solve(A, Y, prior(start=start), solver, max_iter=1).state

    def first(self):
        raise AssertionError("the start is made although it is not needed")

    monkeypatch.setattr("pisolve.scan_specific.untrained._Fitting.first", first)
    assert (pi.solve(A, Y, prior(start=start), solver, x0=x0, max_iter=1).x == given.x).all()
    assert pi.solve(A, Y, prior(start=start), solver, state=begun, max_iter=2).state.k == 2
    assert pi.solve(A, 0 * Y, prior(start=start), max_iter=1).status == "converged"


def test_a_start_whose_own_run_fails_warns_and_is_finite(one_thread, monkeypatch):
    monkeypatch.setattr("pisolve.scan_specific.fit._WARM", 20)

    class Bad(pi.Prior):
        implicit, convex = True, False

        def value(self, x):
            return None

        def prox(self, x, step):
            return x * np.complex64(np.nan)

    with pytest.warns(UserWarning, match="start=Bad.*nonfinite"):
        done = pi.solve(A, Y, prior(start=Bad()), pi.Fit(steps=1), max_iter=1)
    assert done.ok
    assert np.isfinite(done.x).all()


def test_what_a_start_looks_like_in_words():
    assert repr(prior(start=1e-2 * pi.TV())) == "Untrained(ConvDecoder, runs=1, start=0.01 * TV())"
    assert "start" not in repr(prior())


def test_a_score_that_is_no_number_says_so():
    class Blind(Wild):
        def task(self, problem):
            task = _Wild(problem, 1.0)
            task.score = lambda run: float("nan")
            return task

    done = pi.solve(A, Y, Blind(1.0), max_iter=9)
    assert done.status == "nonfinite"


@pytest.mark.parametrize("tune", ["holdout", None])
def test_the_words_enter_a_comparison(tune, tmp_path, monkeypatch):
    made = {"convdecoder": prior(runs=1), "zs-ssl": prior("network")}
    monkeypatch.setattr("pisolve.recipe.named._fitted", lambda name, n: pi.Recipe(
        made["convdecoder" if name == "Untrained" else "zs-ssl"], pi.Fit(steps=1), max_iter=1))
    full = pi.io.Scan(BRAIN.kspace[None])
    found = pi.compare(full, ["zero-filled", "convdecoder", "zs-ssl"], accel=2, tune=tune, folder=tmp_path)
    for name in made:
        outcome = found.outcomes[0, name]
        assert outcome.status == "max_iter", outcome
        assert np.isfinite(outcome.values["psnr"])


def test_a_callback_is_told_and_bfloat16_fits(capsys):
    done = pi.solve(A, Y, prior(runs=1), pi.Fit(steps=10, precision="bfloat16"), max_iter=4, progress=True)
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    assert "heldback" in capsys.readouterr().err


def test_a_state_of_another_seed_is_refused():
    half = pi.solve(A, Y, prior(seed=0), pi.Fit(steps=1), max_iter=1)
    with pytest.raises(ValueError, match="seed=0"):
        pi.solve(A, Y, prior(seed=1), pi.Fit(steps=1), state=half.state, max_iter=2)


def test_making_a_prior_costs_no_random_number():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    pi.Untrained()
    pi.ZeroShot(SMALL)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("after", [100.0, float("nan"), float("inf")])
def test_a_fit_that_diverges_says_so(after):
    done = pi.solve(A, Y, Wild(after), max_iter=9)
    assert done.status == "diverged"
    assert not done.ok
    assert np.isfinite(done.x).all()
    assert done.state.k == 3


@pytest.mark.parametrize("kind", ["decoder", "network"])
def test_ctrl_c_gives_the_best_image_so_far(kind, monkeypatch):
    fitted = pi.solve(A, Y, prior(kind), pi.Fit(steps=3), max_iter=2)
    step = pi.Fit.step

    def interrupted(self, problem, state):
        if state.k == 2:
            raise KeyboardInterrupt
        return step(self, problem, state)

    monkeypatch.setattr(pi.Fit, "step", interrupted)
    done = pi.solve(A, Y, prior(kind), pi.Fit(steps=3), max_iter=9)
    assert done.status == "stopped"
    assert done.ok
    assert done.interrupted
    assert (done.x == fitted.x).all()
    assert done.state.k == 2


@pytest.mark.parametrize("kind", ["decoder", "network"])
def test_ctrl_c_in_a_callback_is_ctrl_c_in_a_step(kind, one_thread):
    fitted = pi.solve(A, Y, prior(kind), pi.Fit(steps=3), max_iter=2)

    def interrupt(problem, state):
        if state.k == 2:
            raise KeyboardInterrupt

    done = pi.solve(A, Y, prior(kind), pi.Fit(steps=3), max_iter=9,
                    callbacks=[lambda problem, state: {"mine": state.k}, interrupt])
    assert (done.status, done.state.k, done.interrupted, done.ok) == ("stopped", 2, True, True)
    assert (done.x == fitted.x).all()
    assert [(h["k"], h["mine"]) for h in done.history] == [(1, 1), (2, 2)]  # one entry a step, as far as it came
    assert done.history[-1]["heldback"] == fitted.history[-1]["heldback"]
    assert not fitted.interrupted


def test_ctrl_c_in_the_making_of_a_start(monkeypatch):
    monkeypatch.setattr("pisolve.scan_specific.untrained._Fitting.first", lambda self: exec("raise KeyboardInterrupt"))
    done = pi.solve(A, Y, prior("start"), max_iter=3)
    assert (done.status, done.state.k, done.interrupted) == ("stopped", 0, True)
    assert np.isfinite(done.x).all()


def test_ctrl_c_while_a_checkpoint_is_written(monkeypatch, tmp_path, one_thread):
    from pisolve.recipe import checkpoint as recipe_checkpoint

    write, count = recipe_checkpoint.save_state, []

    def cut(path, state, of):
        count.append(state.k)
        if len(count) == 2:
            raise KeyboardInterrupt
        write(path, state, of)

    monkeypatch.setattr(recipe_checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(recipe_checkpoint, "save_state", cut)
    done = pi.recon(SCAN, prior(), pi.Fit(steps=2), max_iter=4, checkpoint=tmp_path)
    assert (done.status, done.results[0].state.k, count) == ("stopped", 2, [1, 2, 2])
    rest = pi.recon(SCAN, prior(), pi.Fit(steps=2), max_iter=4, checkpoint=tmp_path)
    assert rest.status == "max_iter"
    assert (rest.x == pi.recon(SCAN, prior(), pi.Fit(steps=2), max_iter=4).x).all()


def test_other_solvers_still_let_ctrl_c_through():
    def interrupt(problem, state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pi.solve(A, Y, 1e-3 * pi.TV(), callbacks=[interrupt])


@pytest.mark.parametrize("made", [
    lambda: prior(runs=2), lambda: prior(start="zero-filled"), lambda: prior("start"), lambda: prior("network"),
    lambda: pi.ZeroShot(splits=2), lambda: pi.ZeroShot(pi.PnP(nets.load("denoiser-fast"), sigma=0.03), splits=2)])
def test_a_recipe_with_a_fit_runs_again_to_the_same_bits(made, one_thread, monkeypatch):
    monkeypatch.setattr("pisolve.scan_specific.fit._WARM", 20)
    done = pi.recon(SCAN, made(), pi.Fit(steps=2), max_iter=2)
    again = pi.Recipe.from_dict(json.loads(json.dumps(done.recipe.to_dict())))(SCAN)
    assert (again.x == done.x).all()
    assert again.status == done.status == "max_iter"


def test_any_operator_and_any_kind_of_array(one_thread):
    plain = pi.linops.as_torch(A).A
    import sigpy

    other = sigpy.linop.Multiply(A.oshape, np.ones((1, 1, 1), np.float32)) * plain
    one = pi.solve(A, Y, prior(), pi.Fit(steps=3), max_iter=2).x
    assert close(pi.solve(other, Y, prior(), pi.Fit(steps=3), max_iter=2).x, one, 1e-3)
    tensor = pi.solve(A, torch.from_numpy(Y), prior(), pi.Fit(steps=3), max_iter=2).x
    assert torch.is_tensor(tensor)
    assert close(tensor.numpy(), one, 1e-6)


def test_a_better_fit_than_the_zero_filled_image(one_thread):
    """On the phantom: a decoder and a denoiser adapted to the scan come nearer to the truth than zero-filling."""
    truth = BRAIN.image / np.percentile(abs(BRAIN.image), 99)
    zero = np.linalg.norm(A.H(Y) - truth)
    decoder = pi.solve(A, Y, pi.Untrained(nets.ConvDecoder(24, 5)), pi.Fit(steps=40), max_iter=10).x
    assert np.linalg.norm(decoder - truth) < 0.8 * zero
    shot = pi.ZeroShot(SMALL, splits=10)
    start = shot.fresh().eval()
    with torch.no_grad():
        before = start(A, torch.from_numpy(Y)).numpy()
    done = pi.solve(A, Y, shot, pi.Fit(lr=3e-3), max_iter=10)
    assert np.linalg.norm(done.x - truth) < min(np.linalg.norm(before - truth), 0.8 * zero)
    with torch.no_grad():
        best = shot.adapted(done.state)(A, torch.from_numpy(Y)).numpy()
    assert close(best, done.x, 1e-5)


@pytest.mark.parametrize(("make", "kind", "words"), [
    (lambda: pi.Untrained(torch.nn.Conv2d(2, 2, 3)), TypeError, "latent"),
    (lambda: pi.Untrained(holdback=0.7), ValueError, "holdback"),
    (lambda: pi.Untrained(runs=0), ValueError, "runs"),
    (lambda: pi.Untrained(start="cs"), ValueError, "start must be 'zero-filled' or a prior .* got 'cs'"),
    (lambda: pi.Untrained(start=3), TypeError, "start must be .* got 3"),
    (lambda: pi.Untrained(start=BRAIN.image), TypeError, "start must be .*x0=image"),
    (lambda: pi.Untrained(start=prior("network")), ValueError, "start=ZeroShot.* is a fit"),
    (lambda: pi.ZeroShot(torch.nn.Conv2d(2, 2, 3)), TypeError, "network"),
    (lambda: pi.ZeroShot(3), TypeError, "network"),
    (lambda: pi.ZeroShot("no-such-network"), ValueError, "no network"),
    (lambda: pi.ZeroShot(pi.PnP(lambda x, s: x, sigma=0.1)), TypeError, "torch module"),
    (lambda: pi.ZeroShot(rho=0), ValueError, "rho"),
    (lambda: pi.Fit(steps=0), ValueError, "steps"),
    (lambda: pi.Fit(precision="int8"), ValueError, "precision"),
    (lambda: pi.Fit(lr=-1), ValueError, "lr"),
    (lambda: pi.solve(A, Y, 1e-3 * pi.TV(), pi.Fit()), ValueError, "leave solver out"),
    (lambda: pi.solve(A, Y, prior(), pi.ADMM()), ValueError, "prox"),
    (lambda: pi.solve(pi.linops.sense(BRAIN.mps[None], SCAN.mask), Y[None], prior()), ValueError, "one slice"),
    (lambda: pi.Untrained(nets.ConvDecoder(1, 1)), ValueError, "layers"),
    (lambda: 0.5 * prior(), TypeError, "stands alone"),
    (lambda: prior() + pi.TV(), TypeError, "stands alone"),
    (lambda: pi.TV() + prior(), TypeError, "stands alone"),
    (lambda: pi.recon(SCAN, prior(), tune="holdout"), ValueError, "no strength"),
    (lambda: pi.recon(SCAN, prior(), method=pi.Spirit(), max_iter=1), ValueError, "one set of maps"),
    (lambda: pi.solve(A, Y, prior(holdback=1e-6)), ValueError, "holdback")])
def test_bad_input_is_refused(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


@pytest.mark.parametrize("make", [lambda: (prior(), pi.Fit(steps=2)), lambda: (1e-2 * pi.Wavelet(), pi.FISTA())])
def test_a_reconstruction_goes_on_from_its_checkpoint(make, tmp_path, monkeypatch, one_thread):
    volume = pi.io.Scan(np.stack([BRAIN.kspace, BRAIN.kspace[:, ::-1]])).undersample(SCAN.mask)
    monkeypatch.setattr("pisolve.recipe.checkpoint.SECONDS", 0.0)
    whole = pi.recon(volume, *make(), max_iter=4, tol=0)
    calls = []

    def kill(problem, state):
        calls.append(state.k)
        if len(calls) == 6:  # in the middle of the second slice
            raise SystemExit

    with pytest.raises(SystemExit):
        pi.recon(volume, *make(), max_iter=4, tol=0, checkpoint=tmp_path / "c", callbacks=[kill])
    calls = []
    again = pi.recon(volume, *make(), max_iter=4, tol=0, checkpoint=tmp_path / "c",
                     callbacks=[lambda problem, state: calls.append(state.k)])
    assert calls == [2, 3, 4]  # the first slice is not done again, the second goes on after its first iteration
    assert (again.x == whole.x).all()
    assert [r.status for r in again.results] == [r.status for r in whole.results]
    with pytest.raises(ValueError, match="another recipe"):
        pi.recon(volume, 1e-2 * pi.TV(), checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="another scan"):
        pi.recon(SCAN, *make(), max_iter=4, tol=0, checkpoint=tmp_path / "c")


def test_ctrl_c_ends_all_slices_of_a_recipe(monkeypatch, tmp_path):
    volume = pi.io.Scan(np.stack([BRAIN.kspace] * 3)).undersample(SCAN.mask)
    step, count = pi.Fit.step, []

    def interrupted(self, problem, state):
        count.append(1)
        if len(count) == 4:
            raise KeyboardInterrupt
        return step(self, problem, state)

    monkeypatch.setattr(pi.Fit, "step", interrupted)
    done = pi.recon(volume, prior(), pi.Fit(steps=2), max_iter=2, checkpoint=tmp_path)
    assert done.status == "stopped"
    assert [r.status for r in done.results] == ["max_iter", "stopped", "stopped"]
    assert np.isfinite(done.x).all()
    assert [r.state.k for r in done.results] == [2, 1, 0]
    rest = pi.recon(volume, prior(), pi.Fit(steps=2), max_iter=2, checkpoint=tmp_path)
    assert rest.status == "max_iter"
    assert (rest.x[1] == rest.x[0]).all() == (volume.kspace[1] == volume.kspace[0]).all()
    assert (rest.x[2] == pi.recon(volume, prior(), pi.Fit(steps=2), max_iter=2).x[2]).all()


@pytest.mark.parametrize(("made", "kind", "words"), [
    (lambda folder: 3, TypeError, "checkpoint must be the path of a folder, or None, got 3"),
    (lambda folder: True, TypeError, "got True"),
    (lambda folder: b"x", TypeError, "got b'x'"),
    (lambda folder: "", ValueError, "checkpoint='' is no path"),
    (lambda folder: "a\0b", ValueError, "is no path"),
    (lambda folder: folder / ("a" * 300), ValueError, "can be no folder .*too long.*: give the name of one that can"),
    (lambda folder: "/proc/nope", ValueError, "checkpoint='/proc/nope' can be no folder .*: give the name of one"),
    (lambda folder: folder / "file", ValueError, "checkpoint=.*file' is a file: give the name of a folder"),
    (lambda folder: str(folder / "file" / "deeper"), ValueError, "deeper' is in a file")])
def test_what_is_no_folder_for_checkpoints_is_refused_before_the_work(made, kind, words, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("pisolve.recipe.recipe.prepare", None)  # not reached
    for call in (lambda c: pi.recon(SCAN, 1e-2 * pi.TV(), checkpoint=c), lambda c: pi.Recipe()(SCAN, checkpoint=c)):
        with pytest.raises(kind, match=words):
            call(made(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("made", [lambda: (prior(), pi.Fit(steps=2)), lambda: (1e-2 * pi.Wavelet(), pi.FISTA())])
def test_a_finished_checkpoint_has_its_history(made, tmp_path, one_thread):
    def tell(problem, state):
        return {"half": np.float32(0.1) * state.k, "array": np.ones(2), "word": "a", "none": None, "nan": np.nan}

    def run(**more):
        return pi.recon(SCAN, *made(), max_iter=4, tol=0, checkpoint=tmp_path, **more)

    done, again = run(callbacks=[tell]), run()
    assert (again.x == done.x).all()
    kept = [{n: v for n, v in h.items() if n != "array"} for h in done.results[0].history]
    assert len(kept) == 4
    assert str(again.results[0].history) == str([h | {"half": h["half"].item()} for h in kept])
    path = tmp_path / "slice_0.json"  # as folders were written before histories were kept, and `start` was known
    path.write_text(json.dumps({"status": "max_iter"}))
    about = json.loads((tmp_path / "checkpoint.json").read_text())
    about["recipe"]["prior"].pop("start", None)
    del about["id"]
    (tmp_path / "checkpoint.json").write_text(json.dumps(about))
    old = run()
    assert (old.x == done.x).all()
    assert (old.status, old.results[0].history) == ("max_iter", [])
    for name in ("slice_0.json", "checkpoint.json"):
        (tmp_path / name).write_text("{")
        with pytest.raises(ValueError, match=f"{name} was not written by pisolve, or is damaged"):
            run()


@pytest.mark.parametrize("wrong", [
    "null", "[]", '{"history": [1]}', '{"history": [{}]}', '{"history": [{"k": 1}]}', '{"history": null}',
    '{"status": "weird"}', '{"status": null}'])
def test_a_history_of_wrong_form_is_refused_by_its_file(wrong, tmp_path):
    recipe = pi.Recipe(1e-2 * pi.TV(), max_iter=1)
    done = recipe(SCAN, checkpoint=tmp_path)
    (tmp_path / "slice_0.json").write_text(wrong)
    with pytest.warns(UserWarning, match=r"slice_0\.json is damaged.*; slice 0 is solved again"):
        assert (recipe(SCAN, checkpoint=tmp_path).x == done.x).all()
    path = tmp_path / "checkpoint.json"
    about = json.loads(path.read_text())
    del about["id"]  # of a version without digests, which would not tell damage from what it did not write
    path.write_text(json.dumps(about))
    (tmp_path / "slice_0.json").write_text(wrong)
    with pytest.raises(ValueError, match=r"slice_0\.json was not written by pisolve, or is damaged"):
        recipe(SCAN, checkpoint=tmp_path)


def test_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pi.recon(SCAN, 1e-2 * pi.TV(), max_iter=1, checkpoint="~/a/b")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "b" / "slice_0.h5").is_file()


@pytest.mark.parametrize("error", [KeyboardInterrupt, pi.device.OutOfMemory, SystemExit])
@pytest.mark.parametrize("where", ["the models", "the first slice"])
def test_a_checkpoint_folder_of_which_nothing_was_kept_is_free(where, error, tmp_path, monkeypatch):
    def fail(*args, **more):
        raise error

    with monkeypatch.context() as patch, pytest.raises(error):
        if where == "the models":
            patch.setattr("pisolve.recipe.run.models_of", fail)
        pi.recon(SCAN, 1e-2 * pi.TV(), checkpoint=tmp_path, callbacks=[fail])
    assert not list(tmp_path.iterdir())
    assert pi.recon(SCAN, 1e-3 * pi.TV(), max_iter=1, checkpoint=tmp_path).ok  # so another recipe may have it


@pytest.mark.parametrize("solver", [None, pi.ADMM()], ids=repr)
def test_ctrl_c_leaves_a_checkpoint_of_solvers_that_pass_it_on(solver, tmp_path):
    def run(**more):
        return pi.recon(SCAN, 1e-2 * pi.TV(), solver, max_iter=6, tol=0, checkpoint=tmp_path, **more)

    def interrupt(problem, state):
        seen.append(state.k)
        if state.k == 4:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[interrupt])
    assert pi.load_state(tmp_path / "slice_0.h5").k == 3  # the last whose callbacks were all through
    seen = []
    rest = run(callbacks=[lambda problem, state: seen.append(state.k)])
    whole = pi.recon(SCAN, 1e-2 * pi.TV(), solver, max_iter=6, tol=0)
    assert seen == [4, 5, 6]
    assert (rest.x == whole.x).all()
    assert [(h["k"], h["residual"]) for h in rest.results[0].history] == [
        (h["k"], h["residual"]) for h in whole.results[0].history]


def test_slices_finished_in_a_checkpoint_are_read_after_ctrl_c(tmp_path, monkeypatch, one_thread):
    volume = pi.io.Scan(np.stack([BRAIN.kspace, BRAIN.kspace[:, ::-1], 2 * BRAIN.kspace])).undersample(SCAN.mask)

    def run(**more):
        return pi.recon(volume, prior(), pi.Fit(steps=2), max_iter=2, checkpoint=tmp_path, **more)

    whole = run()
    for name in ("slice_0.h5", "slice_0.json", "slice_2.h5", "slice_2.json"):
        (tmp_path / name).unlink()

    def interrupt(problem, state):
        raise KeyboardInterrupt

    done = run(callbacks=[interrupt])
    assert [(r.status, r.state.k) for r in done.results] == [("stopped", 1), ("max_iter", 2), ("stopped", 0)]
    assert (done.x[1] == whole.x[1]).all()
    assert [[h["k"] for h in r.history] for r in done.results] == [[1], [1, 2], []]
    assert [r.interrupted for r in done.results] == [True, False, False]
    assert not (tmp_path / "slice_2.h5").exists()
    assert (run().x == whole.x).all()


def test_a_checkpoint_knows_the_weights_of_its_networks(tmp_path):
    def run(network):
        return pi.recon(SCAN, pi.PnP(network, sigma=0.05), max_iter=1, checkpoint=tmp_path / "c")

    def load(seed):
        rng, weights = torch.Generator().manual_seed(seed), {}
        for layer, shape in enumerate([(4, 2, 3, 3), (4, 4, 3, 3), (2, 4, 3, 3)]):
            weights[f"model.{2 * layer}.weight"] = 0.1 * torch.randn(shape, generator=rng)
            weights[f"model.{2 * layer}.bias"] = torch.zeros(shape[0])
        torch.save(weights, tmp_path / "mine.pth")
        return nets.load(tmp_path / "mine.pth", level=0.05)

    first = run(load(0))
    assert (run(load(0)).x == first.x).all()
    with pytest.raises(ValueError, match="is of other weights: give an empty folder"):
        run(load(1))
    about = json.loads((tmp_path / "c" / "checkpoint.json").read_text())
    del about["weights"]  # as folders were written before
    (tmp_path / "c" / "checkpoint.json").write_text(json.dumps(about))
    assert (run(load(1)).x == first.x).all()


@pytest.mark.parametrize("cuts", [(1,), (1, 1, 3, 1), (3, 1, 1)])
def test_the_history_of_steps_cut_at_their_beginning_has_each_once(cuts, tmp_path, monkeypatch, one_thread):
    def run(folder):
        return pi.recon(SCAN, prior(), pi.Fit(steps=2), max_iter=3, checkpoint=tmp_path / folder).results[0]

    step, whole = pi.Fit.step, run("whole")
    for cut in cuts:  # in the step of that number, counted from the beginning of the call
        left = iter([True] * (cut - 1))

        def interrupted(self, problem, state, left=left):
            if not next(left, False):
                raise KeyboardInterrupt
            return step(self, problem, state)

        with monkeypatch.context() as patch:
            patch.setattr(pi.Fit, "step", interrupted)
            done = run("cut")
        assert (done.status, done.interrupted) == ("stopped", True)
        assert [h["k"] for h in done.history] == (list(range(1, done.state.k + 1)) or [0])
    rest = run("cut")
    assert [h["k"] for h in rest.history] == [h["k"] for h in whole.history] == [1, 2, 3]
    assert [h["heldback"] for h in rest.history] == [h["heldback"] for h in whole.history]
    assert not rest.interrupted


def test_the_history_goes_on_after_an_interruption(tmp_path, one_thread):
    def run(folder, **more):
        return pi.recon(SCAN, prior(), pi.Fit(steps=2), max_iter=4, checkpoint=tmp_path / folder, **more)

    def interrupt(problem, state):
        if state.k == cut:
            raise KeyboardInterrupt

    whole = run("whole").results[0]
    for cut in (2, 4):
        first = run(str(cut), callbacks=[interrupt]).results[0]
        assert (first.status, first.interrupted, len(first.history)) == ("stopped", True, cut)
        for _ in range(2):  # gone on with, and read
            rest = run(str(cut)).results[0]
            assert (rest.status, rest.interrupted) == ("max_iter", False)
            assert [h["k"] for h in rest.history] == [1, 2, 3, 4]
            assert [h["heldback"] for h in rest.history] == [h["heldback"] for h in whole.history]
            assert sorted(h["seconds"] for h in rest.history) == [h["seconds"] for h in rest.history]
