pi.io.save_scan("scan.h5", full)
recipe = pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=5)
done = recipe(scan)
truth = abs(brain.image)
made = pi.phantom.brain((64, 64), 6, noise=0.02)
whole = pi.io.Scan(made.kspace, mps=made.mps / np.linalg.norm(made.mps, axis=0))

# ## Blinded
study = pi.evaluate.blinded({"a": truth, "b": done.x}, "study", reference=truth, repeats=0)
assert (study.images, study.readers) == (3, 1)

# ## Calibration
told = pi.evaluate.calibration(np.random.default_rng(0).standard_normal((64, 64)), np.ones((64, 64)))
print(told.coverage, told.ratio)

# ## Comparison
report = pi.evaluate.compare(full, ["zero-filled", "sense"], accel=2, tune=None, folder="report")
assert set(report.methods) == {"zero-filled", "sense"}
print(report.mean("sense", "psnr"))

# ## Consistency
found = pi.evaluate.consistency(done)
print(found.verdict, found.chi)

# ## Crime
for crime in pi.evaluate.crimes(scan):
    print(crime.name, crime.remedy)

# ## Crimes
assert isinstance(pi.evaluate.crimes(scan).names, tuple | list)

# ## Curves
line = pi.evaluate.Curves("objective", "iteration", "value", {"CG": ([0, 1, 2], [3.0, 1.0, 0.5])}, log="y")
assert list(line.lines) == ["CG"]

# ## Details
tested = pi.evaluate.stability(recipe, whole, tests=("details",), contrasts=(0.3,))
print(tested.details.names)

# ## HoldoutError
error = pi.evaluate.holdout_error(recipe, scan, folds=1)
print(error.error, error.floor)

# ## Influence
around = np.zeros((64, 64), bool)
around[28:36, 28:36] = True
told = pi.evaluate.influence(1e-2 * pi.Tikhonov(), scan, around)
assert told.map.shape == (6, 64, 64)
print(told.signal, told.noise, told.by)

# ## MapComparison
known = np.where(body, 0.08, np.nan)
result = pi.evaluate.compare_maps({"one": {"t2": known + 0.002}}, {"t2": known})
print(result.records())

# ## MapsOf
times = [0.02, 0.04, 0.06]
tiny = pi.phantom.brain((32, 32), 4, noise=0.01)
echoes = pi.io.Scan(np.stack([tiny.kspace * np.exp(-t / 0.08) for t in times]), axes=("echo", "coil", "ky", "kx"))
wanted = pi.evaluate.MapsOf("t2", times=times, truth={"t2": np.full((32, 32), 0.08)})
made = pi.evaluate.compare(echoes, ["zero-filled"], accel=2, center_fraction=0.4, tune=None, signal=wanted)
print(made.markdown())

# ## NoiseMap
noisy = pi.evaluate.noise_map(recipe, scan, replicas=3)
assert noisy.std.shape == noisy.image.shape

# ## Outcome
outcome = report.outcomes[0, "sense"]
print(outcome.status, outcome.values["psnr"])

# ## Perturbation
tested = pi.evaluate.stability(recipe, whole, tests=("perturbation",), sizes=(0.01,), steps=2)
print(tested.perturbation.by)

# ## Picture
panel = pi.evaluate.Picture(truth, 0.0, float(truth.max()))
assert panel.map == "gray"

# ## ReaderStudy
import csv

sheet = study.folder / "reader1" / "sheet.csv"
with open(sheet, newline="") as file:
    head, *rows = csv.reader(file)
with open(sheet, "w", newline="") as file:
    csv.writer(file).writerows([head, *([row[0], *["4"] * (len(head) - 1)] for row in rows)])
print(pi.evaluate.unblind("study").rows)

# ## Section
part = pi.evaluate.Section("Noise", "How much the image could have come out otherwise.", rows=[{"std": 0.1}])
print(part)

# ## Setting
setting = report.settings[0]
print(setting.accel, setting.pattern.mean())

# ## Shift
moved = pi.evaluate.shift({"tikhonov": recipe}, whole, accels=(2, 3), baseline="tikhonov")
assert moved.matrix().shape == (2, 1)

# ## Stability
print(tested.runs, tested.notes)

# ## Uncertainty
unsure = pi.evaluate.uncertainty(recipe, scan, n=3)
assert unsure.std.shape[-2:] == (64, 64)

# ## Visibility
seen = pi.evaluate.visibility(scan, grid=4)
assert seen.determined.ndim == 2

# ## blinded
study = pi.evaluate.blinded({"a": truth, "b": truth[::-1]}, "second", readers=2, repeats=0)
assert study.readers == 2

# ## calibration
right = pi.evaluate.calibration(np.random.default_rng(1).standard_normal((128, 128)), np.ones((128, 128)))
assert abs(right.ratio - 1) < 0.02

# ## compare
report = pi.evaluate.compare("scan.h5", ["zero-filled", "sense"], accel=2, tune=None)

# ## compare_maps
result = pi.evaluate.compare_maps({"a": {"t2": known + 0.002}, "b": {"t2": known}}, {"t2": known})
assert abs(result.records()[0]["bias"] - 0.002) < 1e-6
print(result)

# ## consistency
print(pi.evaluate.consistency(done, noise=0.01).section())

# ## crimes
print(pi.evaluate.crimes(scan).section())

# ## holdout_error
assert pi.evaluate.holdout_error(recipe, scan, folds=1).folds

# ## influence
told = pi.evaluate.influence(1e-2 * pi.Tikhonov(), scan, around)
assert np.isclose(told.given.sum(), told.signal, rtol=1e-3)  # the method is linear
print(told.section())

# ## noise_map
assert pi.evaluate.noise_map(recipe, scan, replicas=3).replicas == 3

# ## realism
assert pi.evaluate.realism(truth, truth) < 1e-3
assert pi.evaluate.realism(truth, done.x) > 0

# ## rerun
again = pi.evaluate.rerun("report", scans={"scan": full})
assert again.mean("sense", "psnr") == pi.evaluate.rerun("report", scans={"scan": full}).mean("sense", "psnr")

# ## seen
lesion = np.zeros((64, 64))
lesion[30:33, 30:33] = 1
assert 0 <= pi.evaluate.seen(lesion, scan)["seen"] <= 1

# ## shift
moved = pi.evaluate.shift({"tikhonov": recipe}, whole, accels=(2,), noises=(0, 0.05), baseline="tikhonov")
assert moved.matrix()[0, 0] > moved.matrix()[1, 0]

# ## stability
tested = pi.evaluate.stability(recipe, whole, tests=("details",), contrasts=(0.3,))

# ## unblind
print(pi.evaluate.unblind("study").agreement)

# ## uncertainty
assert pi.evaluate.uncertainty(recipe, scan, n=3).n == 3

# ## visibility
print(pi.evaluate.visibility(scan, grid=4).width)

# ## weighted_kappa
assert pi.evaluate.weighted_kappa([1, 2, 3, 3], [1, 2, 3, 3], [1, 2, 3]) == 1
