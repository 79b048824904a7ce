small = pi.nets.ConvDecoder(channels=8, layers=3)

# ## Fit
done = pi.recon(scan, pi.Untrained(small, runs=1), pi.Fit(steps=2), max_iter=2)
assert done.x.shape == (64, 64)

# ## Fitted
assert isinstance(pi.Untrained(small), pi.scan_specific.Fitted)
print(pi.Untrained(small).solver())

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
