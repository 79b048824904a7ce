pi.io.save_scan("scan.h5", full)

# ## Compress
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), compress=pi.Compress(4), max_iter=5)
assert done.x.shape == (64, 64)

# ## Espirit
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), maps=pi.Espirit(calib_width=20), max_iter=5)

# ## Fit
print(pi.Fit(lr=0.005))

# ## Generator
ways = np.stack([np.roll(brain.image, n, 1) for n in range(4)])  # the head in four places
G = torch.nn.Sequential(torch.nn.Linear(4, 2 * 64 * 64, bias=False), torch.nn.Unflatten(1, (2, 64, 64)))
G[0].weight.data = torch.from_numpy(np.stack([ways.real, ways.imag], 1).reshape(4, -1).T.copy())  # instead of training
done = pi.recon(scan, pi.Generator(G, latent=4, restarts=1), max_iter=3)
assert done.x.shape == (64, 64)

# ## Grappa
lattice = full.undersample(pi.masks.equispaced((64, 64), 2, 0.375, offset=0))
done = pi.recon(lattice, method=pi.Grappa())
assert done.x.shape == (64, 64)

# ## Inati
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), maps=pi.Inati(), max_iter=5)

# ## JSense
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), maps=pi.JSense(iterations=3), max_iter=5)

# ## NoiseMap
noisy = pi.noise_map(pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=5), scan, replicas=3)
assert noisy.std.shape == noisy.image.shape

# ## Problem
problem = pi.Problem(A, y, 0.1 * pi.Tikhonov())
x = np.zeros((64, 64), np.complex64)
assert np.isclose(problem.value(x), 0.5 * np.linalg.norm(y) ** 2)
assert np.allclose(problem.data_grad(x), -A.H(y), atol=1e-5)

# ## Raki
done = pi.recon(lattice, method=pi.Raki(variant="linear"))

# ## Recipe
recipe = pi.Recipe(2e-3 * pi.TV(), sampling=pi.Sampling("random", 2), max_iter=5)
recipe.save("recipe.json")
assert pi.Recipe.load("recipe.json").to_dict() == recipe.to_dict()
assert np.array_equal(recipe(full).x, recipe(full).x)

# ## Samples
D = pi.nets.load("denoiser-fast")
found = pi.sample(scan, pi.Score(D), pi.SplitGibbs(steps=1, inner=3), n=2)
assert found.samples.shape == (2, 64, 64)
assert found.std.shape == (64, 64)

# ## Sampling
thin = pi.Sampling("equispaced", 4, center_fraction=0.25)(full)
print(thin)

# ## ScanNoise
level = pi.scan_noise(scan)
print(level.sigma, level.by)

# ## Sense
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), method=pi.Sense(), max_iter=5)

# ## Spirit
print(pi.Recipe(method=pi.Spirit(kernel=(3, 3)), max_iter=5))

# ## Tuning
tuning = pi.tune(scan, pi.Tikhonov(), strengths=[1e-3, 1e-2, 1e-1], refine=0, max_iter=5)
print(tuning.strength, tuning.status)
assert len(tuning.curve) == 3

# ## Untrained
print(pi.Untrained())

# ## Walsh
done = pi.recon(scan, 1e-2 * pi.Tikhonov(), maps=pi.Walsh(), max_iter=5)

# ## ZeroShot
print(pi.ZeroShot())

# ## as_torch
assert pi.as_torch is pi.linops.as_torch

# ## compare
report = pi.compare(full, ["zero-filled", "sense"], accel=2, tune=None)
print(report.markdown())

# ## device
print(pi.device.plan((8, 320, 320), free=8 << 30))

# ## noise_map
noisy = pi.noise_map(pi.recon(scan, 1e-2 * pi.Tikhonov(), max_iter=5), replicas=3)
assert noisy.replicas == 3

# ## quantify
times = [0.02, 0.04, 0.06]
series = np.stack([brain.kspace * np.exp(-t / 0.08) for t in times])
echoes = pi.io.Scan(series, axes=("echo", "coil", "ky", "kx"))
maps = pi.quantify(echoes, "t2", 1e-3 * pi.Tikhonov(), times=times, max_iter=10)
assert abs(np.median(maps["t2"][body]) - 0.08) < 0.01

# ## recon
done = pi.recon(scan, 2e-3 * pi.TV(), max_iter=10)
assert done.x.shape == (64, 64)
done.save("image.h5")

# ## recon_many
many = pi.recon_many(["scan.h5"], pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=3), out="images", workers=1)
print(many.failed)

# ## sample
found = pi.sample(scan, pi.Score(D), pi.SplitGibbs(steps=1, inner=3), n=1)
assert found.mean.shape == (64, 64)

# ## scan_noise
sigma = pi.scan_noise(scan).scaled

# ## serve
import inspect

assert inspect.signature(pi.serve).parameters["host"].default == "localhost"  # pi.serve() then runs until Ctrl-C

# ## solve
done = pi.solve(A, y, 1e-3 * pi.TV(), max_iter=10)

# ## tune
tuning = pi.tune(scan, pi.Tikhonov(), strengths=[1e-3, 1e-2, 1e-1], refine=0, max_iter=5)
done = pi.recon(scan, tuning.prior, max_iter=5)
