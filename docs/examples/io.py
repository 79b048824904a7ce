# ## Quantity
t2 = pi.io.Quantity(np.full((1, 64, 64), 0.08), "s")
print(t2.unit, t2.values.shape)

# ## Scan
series = pi.io.Scan(np.stack([brain.kspace] * 3), axes=("frame", "coil", "ky", "kx"))
assert series.image_axes == ("frame", "y", "x")
assert series.image_shape == (3, 64, 64)

# ## atomic
with pi.io.atomic("notes.txt") as part:
    part.write_text("complete, or not there")

# ## image_axes
pi.io.save("series.h5", np.zeros((3, 64, 64)), axes=("frame", "y", "x"))
assert pi.io.image_axes("series.h5")[-3:] == ("frame", "y", "x")

# ## image_meta
print(pi.io.image_meta("series.h5"))

# ## load
pi.io.save_scan("scan.h5", scan)
assert np.array_equal(pi.io.load("scan.h5").kspace, scan.kspace)

# ## load_image
pi.io.save("image.npy", brain.image)
assert np.array_equal(pi.io.load_image("image.npy"), brain.image)

# ## load_maps
pi.io.save_maps("maps.h5", {"t2": t2})
assert pi.io.load_maps("maps.h5")["t2"].unit == "s"

# ## save
pi.io.save("image.h5", brain.image)
assert np.allclose(np.squeeze(pi.io.load_image("image.h5")), brain.image)

# ## save_maps
print(pi.io.save_maps("maps.h5", {"t2": t2}, axes=("slice", "y", "x")))

# ## save_mrd
pi.io.save_mrd("scan.mrd", scan)
assert pi.io.load("scan.mrd").kspace.shape == scan.kspace.shape

# ## save_scan
left_out = pi.io.save_scan("scan.npz", scan)
assert left_out == []
