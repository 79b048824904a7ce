x = np.array([3.0, 0.5, -2.0]) + 0j

# ## Prior
class Energy(pi.Prior):
    """g(x) = 1/2 ||x||^2, a prior of one's own."""

    has_prox = has_grad = convex = True
    lipschitz = 1.0

    def value(self, x):
        return 0.5 * float((abs(x) ** 2).sum())

    def prox(self, x, step):
        return x / (1 + step)

    def grad(self, x):
        return x


pi.testing.check_prior(Energy(), (8, 8))
assert np.allclose((2 * Energy()).prox(x, 0.5), x / 2)

# ## as_deepinv
theirs = pi.as_deepinv(pi.L1())
batch = torch.tensor([3.0, 0.5, -2.0], dtype=torch.complex64).reshape(1, 1, 1, 3)
assert torch.allclose(theirs.prox(batch, gamma=1.0).real.flatten(), torch.tensor([2.0, 0.0, -1.0]))

# ## as_denoiser
D = pi.as_denoiser(lambda x, sigma: 0.9 * x)
assert np.allclose(D(np.ones((8, 8), np.complex64), 0.1), 0.9)

# ## as_prior
import sigpy

ours = pi.as_prior(sigpy.prox.L1Reg((3,), 1.0))
assert np.allclose(ours.prox(x, 1.0), [2, 0, -1])

# ## as_sigpy
theirs = pi.as_sigpy(pi.L1(), (3,))
assert np.allclose(theirs(1.0, x), [2, 0, -1])
