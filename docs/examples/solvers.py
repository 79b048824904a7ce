problem = pi.Problem(A, y, 0.01 * pi.Tikhonov())

# ## Result
done = pi.solve(A, y, 0.01 * pi.Tikhonov())
assert done.ok
assert done.status == "converged"
print(done.solver, len(done.history), done.report()["objective"])

# ## Solver
assert isinstance(pi.ADMM(), pi.Solver)
first = pi.CG().init(problem)
second = pi.CG().step(problem, first)
assert (first.k, second.k) == (0, 1)

# ## State
state = pi.solve(A, y, 0.01 * pi.Tikhonov(), max_iter=3).state
assert (state.k, state.x.shape) == (3, (64, 64))
again = pi.solve(A, y, 0.01 * pi.Tikhonov(), state=state, max_iter=100)  # goes on from there

# ## choose
assert type(pi.choose(problem)) is pi.CG

# ## draws
level = pi.Score(pi.nets.load("denoiser-fast"))
unit = pi.Problem(A, y / np.percentile(abs(brain.image), 99), None)
images = pi.draws(unit, level, pi.SplitGibbs(steps=1, inner=3), noise=0.05, n=1)
assert images[0].shape == (64, 64)

# ## iterate
for state in pi.iterate(pi.CG(), problem):
    if state.k == 5:
        break
assert np.array_equal(state.x, pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.CG(), max_iter=5, tol=0).x)

# ## load_state
pi.save_state("state.h5", state)
assert np.array_equal(pi.load_state("state.h5").x, state.x)

# ## save_state
pi.save_state("state.h5", pi.State(np.ones((2, 2)), k=7))
assert pi.load_state("state.h5").k == 7

# ## solve
done = pi.solve(A, y, 1e-3 * pi.TV(), max_iter=30)
assert done.x.shape == tuple(A.ishape)
