# ## Phantom
print(brain.kspace.shape, brain.mps.shape, brain.image.shape, brain.noise)

# ## brain
one = pi.phantom.brain((48, 40), coils=4, noise=0.02, anatomy=2, seed=5)
assert one.kspace.shape == (4, 48, 40)

# ## ellipses
assert pi.phantom.ellipses().shape[1] == 6

# ## heart
frames = pi.phantom.heart(frames=8, n=32)
assert frames.shape == (8, 32, 32)
