times = np.array([0.02, 0.04, 0.06, 0.08])
density = abs(brain.image)
echoes = density * np.exp(-times / 0.08)[:, None, None]  # T2 is 80 ms everywhere

# ## Basis
d = pi.signals.dictionary(lambda t2: pi.signals.decay(t2, times), t2=np.geomspace(0.02, 0.5, 50))
b = pi.signals.basis(d, 2)
assert b.vectors.shape == (4, 2)
print(b.lost, b.worst)

# ## Dictionary
assert d.atoms.shape == (50, 4)
assert d.values["t2"].shape == (50,)

# ## Maps
maps = pi.signals.t2(echoes, times)
assert np.allclose(maps["t2"][body], 0.08, rtol=1e-3)
print(maps.units["t2"], maps.std["t2"].shape)

# ## Match
found = pi.signals.match(d, echoes)
print(found.values["t2"].shape, found.correlation.shape)

# ## Model
model = pi.signals.Model(lambda t, t2: torch.exp(-t / t2), [pi.signals.Parameter("t2", "s", 1e-3, 3.0)])
images = echoes

# ## Motion
frames = pi.linops.rigid((64, 64), [(0, 0), (2, 0)])
whole = np.ones((2, 1, 64, 64), bool)
E = pi.linops.sense(brain.mps, whole, axes=("state", "coil", "ky", "kx"), shape=(2, 6, 64, 64))
found = pi.signals.motion(E, E(frames(brain.image)), turns=2, max_iter=3, rotation=False)
print(found.shifts, found.misfit, found.still)

# ## NAMES
print(pi.signals.NAMES)

# ## Parameter
p = pi.signals.Parameter("t2", "s", low=1e-3, high=3.0)
assert p.name == "t2"

# ## TimesWarning
import warnings

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    pi.signals.t2(density * np.exp(-np.array([1e-5, 2e-5]) / 0.08)[:, None, None], [1e-5, 2e-5])
print([str(w.message) for w in told])

# ## b0
turning = density * np.exp(2j * np.pi * 15 * times / 10)[:, None, None]  # 15 Hz
field = pi.signals.b0(turning, times / 10)["frequency"]
assert abs(np.median(field[body]) - 15) < 0.5

# ## basis
assert pi.signals.basis(d, 3).lost < pi.signals.basis(d, 2).lost

# ## decay
assert np.allclose(pi.signals.decay(0.08, times), np.exp(-times / 0.08))

# ## dictionary
d = pi.signals.dictionary(lambda t2: pi.signals.decay(t2, times), t2=np.geomspace(0.02, 2, 100))

# ## encoding
echo_scan = pi.linops.sense(brain.mps, mask, axes=("echo", "coil", "ky", "kx"), shape=(4, 6, 64, 64))
C = pi.signals.encoding(echo_scan, b)
assert tuple(C.ishape) == (2, 64, 64)

# ## fit
maps = pi.signals.fit(model, echoes, times)
assert np.allclose(maps["t2"][body], 0.08, rtol=1e-3)

# ## fse
train = pi.signals.fse(0.08, 1.0, spacing=0.01, echoes=8)
assert np.allclose(train, np.exp(-0.01 * np.arange(1, 9) / 0.08))  # refocused by 180 degrees

# ## inversion_recovery
assert np.isclose(pi.signals.inversion_recovery(1.0, [np.log(2)])[0], 0)  # the signal's zero

# ## match
assert abs(pi.signals.match(d, echoes).values["t2"][body] - 0.08).max() < 0.005

# ## molli
inversion = np.array([0.1, 0.3, 0.6, 1.0, 2.0, 4.0])
recovering = density * (1 - 2 * np.exp(-inversion / 1.2))[:, None, None]
assert np.allclose(pi.signals.molli(recovering, inversion)["t1"][body], 1.2, rtol=1e-2)

# ## motion
found = pi.signals.motion(E, E(frames(brain.image)), turns=2, max_iter=3, rotation=False)
assert np.allclose(found.shifts[0], 0)

# ## named
assert pi.signals.named("t2").least >= 2

# ## one_step
data = echo_scan(echoes)
maps = pi.signals.one_step(echo_scan, data, "t2", times, iterations=4, max_iter=8)
print(np.median(maps["t2"][body]))

# ## subspace
P = pi.signals.subspace(b, (4, 64, 64), axis=0)
assert (tuple(P.ishape), tuple(P.oshape)) == ((2, 64, 64), (4, 64, 64))

# ## t1_ir
assert np.allclose(pi.signals.t1_ir(recovering, inversion)["t1"][body], 1.2, rtol=1e-2)

# ## t2
pi.signals.t2(images, [0.02, 0.04, 0.06, 0.08])["t2"]

# ## t2star
assert np.allclose(pi.signals.t2star(echoes, times)["t2star"][body], 0.08, rtol=1e-3)

# ## t2star_kspace
maps = pi.signals.t2star_kspace(echo_scan, echo_scan(echoes + 0j), times, iterations=3, max_iter=10)
assert abs(np.median(maps["t2star"][body]) - 0.08) < 0.02

# ## water_fat
near = np.array([0.0012, 0.0023, 0.0034, 0.0045, 0.0056, 0.0067])
water = density * np.exp(-near / 0.03)[:, None, None] + 0j  # no fat, T2* of 30 ms
maps = pi.signals.water_fat(water, near, field_strength=3.0)
assert abs(maps["fat_fraction"][body]).max() < 0.01
print(maps.units["frequency"])
