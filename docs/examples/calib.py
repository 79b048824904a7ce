k = brain.kspace
noise = 0.1 * pi.testing.random((6, 1000), np.random.default_rng(0))
every_second = np.zeros((64, 1), bool)
every_second[::2] = True
spokes = pi.trajectories.radial((64, 64), 100)
radial = pi.linops.sense(brain.mps, coord=spokes)(brain.image)

# ## Compression
found = pi.calib.compression(k, coils=4)
assert found(k).shape == (4, 64, 64)
print(found.energy)

# ## Epi
coord, times = pi.trajectories.epi((64, 64), 0.22, 4e-6)
lines = pi.linops.sense(brain.mps, coord=coord)(brain.image)
made = pi.calib.epi(lines, coord[..., 1], coord[:, 0, 0], (64, 64), by="none")
assert made.kspace.shape == (6, 64, 64)

# ## EpiErrors
late = pi.calib.EpiErrors(delay=0.3, phase=0.1, by="given")
made = pi.calib.epi(lines, coord[..., 1], coord[:, 0, 0], (64, 64), errors=late)
assert made.errors.delay == 0.3

# ## FoldWarning
import warnings

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    pi.calib.gfactor(np.ones((1, 64, 64), complex), 2)  # one coil cannot tell two pixels apart
assert told[0].category is pi.calib.FoldWarning

# ## GrappaWeights
lattice = pi.masks.equispaced((64, 64), 2, 0.375, offset=0)
weights = pi.calib.grappa(k * lattice)
weights.save("weights.h5")
assert np.array_equal(pi.calib.GrappaWeights.load("weights.h5")(k * lattice), weights(k * lattice))

# ## RakiWeights
net = pi.calib.raki(k * lattice, variant="linear")
print(net.status, net(k * lattice).shape)

# ## SliceGrappa
bands = np.stack([k, k[:, ::-1]])
kernels = pi.calib.slice_grappa(bands[:, :, 20:44, 20:44])
apart = kernels(pi.calib.sms_collapse(bands))
assert apart.shape == bands.shape

# ## body_coil
reference = pi.phantom.brain((64, 64), 1, noise=0.01, seed=7).kspace
maps = pi.calib.body_coil(k, reference)
assert maps.shape == k.shape

# ## calibration_region
centre = np.zeros((64, 64), bool)
centre[20:44, 20:44] = True
assert pi.calib.calibration_region(centre) == (24, 24)

# ## centre_phase
phase = pi.calib.centre_phase(k, brain.mps)
assert np.allclose(abs(phase), 1, atol=1e-5)

# ## compress
assert pi.calib.compress(k, coils=3).shape == (3, 64, 64)

# ## compression
assert pi.calib.compression(k, energy=0.99).energy >= 0.99

# ## coverage
assert pi.calib.coverage(pi.calib.espirit(k), k) > 0.9

# ## delayed
S = np.diag([0.3, 0.3])
late = pi.calib.delayed(spokes, S)
assert np.allclose(late - spokes, 0.3 * np.gradient(spokes, axis=1))

# ## delays
measured = pi.linops.sense(brain.mps, coord=late)(brain.image)
assert np.allclose(pi.calib.delays(measured, spokes, (64, 64)), S, atol=0.05)

# ## density
w = pi.calib.density(spokes, (64, 64))
assert w[0, 0] > w[0, 64]  # samples at the edge stand for more than those in the centre

# ## epi
made = pi.calib.epi(lines, coord[..., 1], coord[:, 0, 0], (64, 64))
assert abs(made.errors.delay) < 0.1  # the simulated gradients are on time

# ## epi_ghost
print(pi.calib.epi_ghost(lines, coord[..., 1], coord[:, 0, 0], (64, 64)))

# ## espirit
maps = pi.calib.espirit(k)
assert np.allclose((abs(maps[:, body]) ** 2).sum(0), 1, atol=1e-4)

# ## field_map
echo_times = np.array([0.004, 0.006])
turns = np.exp(2j * np.pi * 20 * echo_times)[:, None, None]  # 20 Hz everywhere
assert np.allclose(pi.calib.field_map(turns * brain.image, echo_times)[body], 20, atol=0.5)

# ## gfactor
assert pi.calib.gfactor(brain.mps, 2)[body].min() >= 0.999

# ## ghost_level
print(pi.calib.ghost_level(brain.image))

# ## grappa
filled = pi.calib.grappa(k * lattice)(k * lattice)
assert np.array_equal(filled[:, ::2], k[:, ::2])  # measured samples stay

# ## gridded
assert pi.calib.gridded(radial, spokes, (64, 64)).shape == (6, 64, 64)

# ## homodyne
partial = k * (np.arange(64) < 40)[:, None]
assert pi.calib.homodyne(partial).shape == k.shape

# ## inati
assert pi.calib.inati(k).shape == k.shape

# ## jsense
assert pi.calib.jsense(k, iterations=3).shape == k.shape

# ## mix
assert np.allclose(pi.calib.mix(np.eye(6), k), k)

# ## noise_covariance
covariance = pi.calib.noise_covariance(noise)
assert covariance.shape == (6, 6)

# ## pocs
filled = pi.calib.pocs(partial)
assert pi.testing.distance(filled, k) < pi.testing.distance(partial, k)

# ## prewhiten
white = pi.calib.prewhiten(noise[:, None], noise)
assert np.allclose(pi.calib.noise_covariance(white[:, 0]), np.eye(6), atol=1e-4)

# ## raki
net = pi.calib.raki(k * lattice, iterations=5)
assert net(k * lattice).shape == k.shape

# ## shot_factors
assert np.allclose(abs(pi.calib.shot_factors(radial, spokes)), 1, atol=0.05)

# ## slice_grappa
kernels = pi.calib.slice_grappa(bands[:, :, 20:44, 20:44], caipi_shift=(0, 0.5))
assert kernels.caipi_shift == (0, 0.5)

# ## smash
filled = pi.calib.smash(k * every_second, brain.mps)  # a head's coils make the harmonics only roughly
image = pi.backend.fft(filled, (-2, -1), inverse=True)
print(image.shape, pi.testing.distance(image[body], brain.image[body]))

# ## sms_collapse
assert np.allclose(pi.calib.sms_collapse(bands), bands.sum(0))

# ## sms_shift
assert np.allclose(pi.calib.sms_shift(bands, (0, 0)), bands)

# ## spirit_kernel
assert pi.calib.spirit_kernel(k, kernel=(3, 3)).shape == (6, 6, 3, 3)

# ## unfold
clean = pi.linops.sense(brain.mps, every_second)(brain.image)
image = pi.calib.unfold(clean, brain.mps)
assert pi.testing.distance(image, brain.image) < 1e-3

# ## unwrap
ramp = np.linspace(0, 30, 64) * np.ones((64, 1))
smooth = pi.calib.unwrap(np.angle(np.exp(1j * ramp)))
assert np.allclose(smooth - smooth[0, 0], ramp - ramp[0, 0])

# ## virtual_coils
doubled, twice = pi.calib.virtual_coils(k * lattice, lattice)
assert doubled.shape[0] == 12

# ## walsh
assert pi.calib.walsh(k).shape == k.shape

# ## whitening_matrix
W = pi.calib.whitening_matrix(covariance)
assert np.allclose(W @ covariance @ W.conj().T, np.eye(6))
