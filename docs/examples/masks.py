# ## PoorMaskWarning
import warnings

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    pi.masks.check(pi.masks.poisson((64, 64), 4), (64, 64))  # points, which a 2-D scan cannot sample
assert told[0].category is pi.masks.PoorMaskWarning

# ## centre
lines = pi.masks.equispaced((64, 64), 4, 0.125, offset=0)
assert pi.masks.centre(lines)[0] >= 8

# ## check
assert pi.masks.check(lines, (64, 64)).shape == (64, 64)

# ## describe
print(pi.masks.describe(lines))

# ## equispaced
lines = pi.masks.equispaced((64, 64), 4, 0, offset=1)
assert lines[1::4].all()
assert lines.mean() == 0.25

# ## equispaced_fraction
lines = pi.masks.equispaced_fraction((64, 64), 4, 0.125, seed=0)
assert abs(1 / lines.mean() - 4) < 0.3

# ## estimate
assert np.array_equal(pi.masks.estimate(y) & np.ones((64, 64), bool), np.broadcast_to(mask, (64, 64)))

# ## poisson
points = pi.masks.poisson((64, 64), accel=6, calib=16)
assert points[24:40, 24:40].all()

# ## random
lines = pi.masks.random((64, 64), 4, 0.125, seed=3)
assert lines[28:36].all()

# ## regular
grid = pi.masks.regular((64, 64), (2, 2), calib=0, offset=(0, 0))
assert grid[::2, ::2].all()
assert grid.mean() == 0.25

# ## variable_density
points = pi.masks.variable_density((64, 64), 4)
assert points.sum() == 64 * 64 / 4

# ## vista
frames = pi.masks.vista((64, 64), accel=4, frames=8)
assert len(frames) == 8
