small = pi.nets.ConvDecoder(channels=8, layers=3)

# ## Fit
done = pi.recon(scan, pi.Untrained(small, runs=1), pi.Fit(steps=2), max_iter=2)
assert done.x.shape == (64, 64)

# ## Fitted
assert isinstance(pi.Untrained(small), pi.scan_specific.Fitted)
print(pi.Untrained(small).solver())

# ## Generator
ways = np.stack([np.roll(brain.image, n, 1) for n in range(4)])  # the head in four places
G = torch.nn.Sequential(torch.nn.Linear(4, 2 * 64 * 64, bias=False), torch.nn.Unflatten(1, (2, 64, 64)))
G[0].weight.data = torch.from_numpy(np.stack([ways.real, ways.imag], 1).reshape(4, -1).T.copy())  # instead of training
done = pi.recon(scan, pi.Generator(G, latent=4, restarts=1), max_iter=3)
assert done.x.shape == (64, 64)

# ## Untrained
done = pi.recon(scan, pi.Untrained(small, runs=1), max_iter=2)
assert done.x.shape == (64, 64)

# ## ZeroShot
prior = pi.ZeroShot(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), splits=2)
done = pi.recon(scan, prior, max_iter=1)
assert done.x.shape == (64, 64)

# ## three_way
held, pairs = pi.scan_specific.three_way(np.broadcast_to(mask, (64, 64)), splits=2, rho=0.4, validation=0.2)
theta, lam = pairs[0]
assert np.array_equal(held | theta | lam, np.broadcast_to(mask, (64, 64)))
assert not (theta & lam).any()
