truth = abs(brain.image)
near = 1.01 * truth

# ## DEFINITIONS
print(pi.metrics.DEFINITIONS)

# ## WINDOW
print(pi.metrics.WINDOW)

# ## all
assert set(pi.metrics.all(truth, near)) == {"nmse", "psnr", "ssim"}

# ## body
assert truth[pi.metrics.body(truth)].mean() > truth.mean()

# ## frechet
features = np.random.default_rng(0).standard_normal((200, 4))
assert np.isclose(pi.metrics.frechet(features, features + 1), 4)  # means that are 1 apart in each of four

# ## hfen
assert np.isclose(pi.metrics.hfen(truth, near), 0.01)

# ## lpips
D = pi.nets.load("denoiser-fast")


def features(images):
    """The layers of a network, (image, channel, y, x) each; images of three channels between -1 and 1 go in."""
    return [images, images**2]


assert pi.metrics.lpips(truth, truth, features, [np.ones(3), np.ones(3)]) == 0

# ## lpips_features
import warnings

sizes = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
state = {f"features.{n}.weight": 0.01 * torch.randn(a, b, k, k) for n, a, b, k in sizes}
state |= {f"features.{n}.bias": torch.zeros(a) for n, a, *_ in sizes}
torch.save(state, "alexnet.pth")  # stands for torchvision's file
alexnet = pi.metrics.lpips_features("alexnet.pth")
assert [x.shape[1] for x in alexnet(torch.zeros(1, 3, 64, 64))] == [64, 192, 384, 256, 256]

# ## lpips_weights
torch.save({f"lin{n}.model.1.weight": torch.ones(1, 4, 1, 1) for n in range(3)}, "alex.pth")
assert [len(w) for w in pi.metrics.lpips_weights("alex.pth")] == [4, 4, 4]

# ## ms_ssim
large = abs(pi.phantom.brain((192, 192), 1).image)
assert np.isclose(pi.metrics.ms_ssim(large, large), 1)

# ## nmse
assert np.isclose(pi.metrics.nmse(truth, near), 0.01**2)

# ## psnr
assert np.isclose(pi.metrics.psnr(np.array([[0.0, 1.0]]), np.array([[0.1, 1.0]])), 10 * np.log10(1 / 0.005))

# ## ssim
assert np.isclose(pi.metrics.ssim(truth, truth), 1)

# ## vif
assert np.isclose(pi.metrics.vif(truth, truth), 1)
