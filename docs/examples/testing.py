rng = np.random.default_rng(0)

# ## check_gradient
pi.testing.check_gradient(pi.Tikhonov(), pi.testing.random((8, 8), rng, "complex128"), rng)

# ## check_linop
pi.testing.check_linop(pi.linops.wavelet((9, 8)))

# ## check_opnorm
pi.testing.check_opnorm(pi.linops.gradient((8, 8)))

# ## check_prior
pi.testing.check_prior(pi.L1(), (8, 8))

# ## check_resume
pi.testing.check_resume(pi.FISTA(), pi.Problem(A, y, 0.01 * pi.L1()))

# ## check_signal
model = pi.signals.Model(lambda t, t2: torch.exp(-t / t2), [pi.signals.Parameter("t2", "s", 1e-2, 1.0)])
pi.testing.check_signal(model, [0.02, 0.04, 0.06])

# ## check_solver
I = pi.linops.identity((8, 8))
data = pi.testing.random((8, 8), rng, "complex128")
pi.testing.check_solver(pi.FISTA(), I, data, pi.Tikhonov(), data / 2)  # the minimiser in closed form

# ## check_torch
pi.testing.check_torch(pi.linops.fft((8, 8)))

# ## denoiser_report
told = pi.testing.denoiser_report(lambda x, sigma: 0.5 * x, brain.image[None], 0.05)
assert np.isclose(told["gain_D"], 0.5)

# ## distance
assert np.isclose(pi.testing.distance(np.array([2.0]), np.array([1.0])), 1)

# ## random
assert pi.testing.random((3, 4), rng).shape == (3, 4)
