# ## ANGLES
print(pi.trajectories.ANGLES)

# ## Learned
spokes = pi.trajectories.radial((32, 32), 8, 64)
fov, dwell = 0.2, 1e-5
learned = pi.trajectories.learn(spokes, abs(brain.image[None, ::2, ::2]), fov, dwell, steps=1, smax=400.0)
assert learned.coord.shape == spokes.shape
assert len(learned.losses) == 1

# ## check
told = pi.trajectories.check(spokes, fov, dwell)
print(told)

# ## cones
assert pi.trajectories.cones((16, 16, 16), 8, samples=256).shape[-1] == 3

# ## epi
coord, times = pi.trajectories.epi((64, 64), 0.22, 4e-6)
assert coord.shape[:-1] == times.shape

# ## fastest
quick = pi.trajectories.fastest(spokes[0], fov, dwell)
assert quick.shape[-1] == 2

# ## learn
print(learned.losses, learned.check)

# ## propeller
assert pi.trajectories.propeller((64, 64), blades=6, lines=16).shape[0] == 6 * 16

# ## radial
spokes = pi.trajectories.radial((64, 64), spokes=34, angles="golden")
assert np.allclose(abs(spokes).max(), 32)

# ## radial_3d
assert pi.trajectories.radial_3d((32, 32, 32), spokes=50).shape[::2] == (50, 3)

# ## rosette
assert pi.trajectories.rosette((64, 64), shots=4, samples=512).shape == (4, 512, 2)

# ## spiral
assert pi.trajectories.spiral((64, 64), interleaves=8, samples=512).shape == (8, 512, 2)

# ## stack
volume = pi.trajectories.stack(spokes, partitions=10)
assert volume.shape == (10, *spokes.shape[:-1], 3)
