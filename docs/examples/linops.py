x = np.arange(20.0).reshape(4, 5) + 1j

# ## Blocks
I = pi.linops.identity((4, 5))
B = pi.linops.Blocks([[I, 2 * I], [None, I]])
u, v = B.range.parts(B(B.domain.join([x, 3 * x])))
assert np.allclose(u, 7 * x)
assert np.allclose(v, 3 * x)

# ## Linop
class Half(pi.linops.Linop):
    """x / 2, an operator of one's own."""

    def __init__(self, shape):
        super().__init__(shape, shape)  # (oshape, ishape)

    def _apply(self, x):
        return 0.5 * x

    def _adjoint_linop(self):
        return self


pi.testing.check_linop(Half((4, 5)))
assert np.allclose((Half((4, 5)) * Half((4, 5)))(x), x / 4)

# ## SelfAdjoint
three = pi.linops.SelfAdjoint((4, 5), lambda x: 3 * x, "Three")
assert np.allclose(three.H(x), 3 * x)

# ## apply
t = torch.from_numpy(x)
assert torch.allclose(pi.linops.apply(pi.linops.identity((4, 5)), t), t)

# ## as_linop
M = pi.linops.as_linop(np.diag([1.0, 2.0, 3.0]))
assert np.allclose(M(np.ones(3)), [1, 2, 3])

# ## as_torch
t = torch.ones((64, 64), dtype=torch.complex64, requires_grad=True)
pi.linops.as_torch(A)(t).abs().square().sum().backward()  # the gradient is 2 A^H A x
assert torch.allclose(t.grad, 2 * torch.from_numpy(A.N(np.ones((64, 64), np.complex64))), atol=1e-4)

# ## circulant
R = pi.linops.sense(brain.mps, coord=pi.trajectories.radial((64, 64), spokes=40))
P = pi.linops.circulant(R, lam=0.01)
quick = pi.solve(R, R(brain.image), 0.01 * pi.Tikhonov(), pi.CG(), preconditioner=P, tol=1e-5)
plain = pi.solve(R, R(brain.image), 0.01 * pi.Tikhonov(), pi.CG(), tol=1e-5)
assert pi.testing.distance(quick.x, plain.x) < 0.01

# ## coil_filter
kernel = np.zeros((6, 6, 3, 3), complex)
kernel[range(6), range(6), 1, 1] = 1  # each coil's own sample: nothing is changed
G = pi.linops.coil_filter(kernel, (6, 64, 64))
images = pi.linops.fft((6, 64, 64)).H(brain.kspace)
assert np.allclose(G(images), images, atol=1e-5)

# ## combine_sets
both = np.stack([3 * np.ones((4, 5), complex), 4j * np.ones((4, 5))])
assert np.allclose(pi.linops.combine_sets(both), 5)

# ## dct
C = pi.linops.dct((4, 5))
assert np.allclose(C.H(C(x)), x)
assert np.isclose(C(np.ones((4, 5)))[0, 0], np.sqrt(20))

# ## dense
assert np.allclose(pi.linops.dense(2 * pi.linops.identity((2, 2))), 2 * np.eye(4))

# ## fft
F = pi.linops.fft((4, 5))
assert np.isclose(np.linalg.norm(F(x)), np.linalg.norm(x))

# ## from_matrix
M = pi.linops.from_matrix(np.array([[1.0, 2], [3, 4]]))
assert np.allclose(M.H(np.array([1.0, 0])), [1, 2])

# ## gradient
D = pi.linops.gradient((4, 5), axes=(-1,), boundary="neumann")
assert np.allclose(D(x)[0, :, :-1], 1)

# ## grappa
lines = pi.masks.equispaced((64, 64), 2, 0.375, offset=0)
weights = pi.calib.grappa(brain.kspace * lines)
W = pi.linops.grappa(weights, (6, 64, 64))
assert pi.testing.distance(W(brain.kspace * lines), weights(brain.kspace * lines)) < 1e-5

# ## identity
assert pi.linops.identity((4, 5))(x) is not x
assert np.array_equal(pi.linops.identity((4, 5))(x), x)

# ## nufft
coord = pi.trajectories.radial((64, 64), spokes=40)
N = pi.linops.nufft((64, 64), coord)
assert N(brain.image).shape == coord.shape[:-1]

# ## off_resonance
times = 0.005 + 1e-5 * np.arange(64)  # s, of the samples of each readout
still = pi.linops.off_resonance(A, np.zeros((64, 64)), times)
assert pi.testing.distance(still(brain.image), A(brain.image)) < 1e-4

# ## opnorm
assert 2 <= pi.linops.opnorm(2 * pi.linops.identity((4, 5))) < 2.1  # a bound from above

# ## rigid
R = pi.linops.rigid((64, 64), [(0, 0), (3, 0)])  # two states; in the second one three pixels down
assert np.allclose(R(brain.image)[1], np.roll(brain.image, 3, axis=0), atol=1e-4)

# ## sampled_fft
S = pi.linops.sampled_fft((6, 64, 64), mask)
assert pi.testing.distance(S(images), y) < 1e-6

# ## sense
noiseless = pi.phantom.brain((64, 64), 6)
assert A(brain.image).shape == (6, 64, 64)
assert A.H(y).shape == (64, 64)
assert pi.testing.distance(pi.linops.sense(noiseless.mps)(noiseless.image), noiseless.kspace) < 0.15  # edges ring

# ## sms
bands = np.stack([brain.mps, brain.mps[:, ::-1]])
B = pi.linops.sms(bands, mask, caipi_shift=(0, 0.5))
assert B.H(y).shape == (2, 64, 64)

# ## soft_sense
sets = pi.calib.espirit(brain.kspace, sets=2)
soft = pi.linops.soft_sense(sets, mask)
assert soft.H(y).shape == (2, 64, 64)

# ## spirit
kernel = pi.calib.spirit_kernel(brain.kspace)
wrong = pi.linops.spirit(kernel, (6, 64, 64), "kspace")(brain.kspace)
assert np.linalg.norm(wrong) < 0.1 * np.linalg.norm(brain.kspace)  # k-space obeys the kernel

# ## spirit_encoding
E = pi.linops.spirit_encoding(kernel, mask, (6, 64, 64))
assert tuple(E.ishape) == (6, 64, 64)

# ## spirit_missing
missing = pi.linops.spirit_missing(kernel, mask, (6, 64, 64))
assert tuple(missing.oshape) == (6, 64, 64)

# ## stack
both = pi.linops.stack([pi.linops.identity((4, 5)), 2 * pi.linops.identity((4, 5))])
assert np.allclose(both.N(x), 5 * x)

# ## symmetric_gradient
E = pi.linops.symmetric_gradient((4, 5))
assert np.allclose(E(np.ones((2, 4, 5))), 0)

# ## virtual_coils
phase = np.exp(1j * np.angle(brain.image))
V = pi.linops.virtual_coils(brain.mps, phase, mask)
assert V.oshape[0] == 12

# ## wavelet
W = pi.linops.wavelet((4, 5))
assert np.allclose(W.H(W(x)), x)
assert np.isclose(np.linalg.norm(W(x)), np.linalg.norm(x))
