from torch import nn

images = torch.from_numpy(brain.image)
kspace, lines = torch.from_numpy(y)[None], torch.from_numpy(np.broadcast_to(mask, (1, 1, 64, 64)).copy())
data = torch.from_numpy(y)
planes = torch.stack([images.real, images.imag])[None].float()  # (B, 2, y, x)
item = pi.nets.simulate(brain.image, brain.mps, np.broadcast_to(mask, (64, 64)), maps="true")
card = {"data": "phantoms", "licence": "CC0-1.0", "noise_range": [0.01, 0.1], "intensity_range": "1", "seed": 0,
        "figures": []}

# ## Adversarial
net = pi.nets.Adversarial(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), pi.nets.Critic(width=4))
assert net(A, data).shape == (64, 64)

# ## AdversarialTask
task = pi.nets.AdversarialTask([item], game="wasserstein")
task.loss(net, task.batch(0)).backward()

# ## ConvDecoder
done = pi.recon(scan, pi.Untrained(pi.nets.ConvDecoder(channels=8, layers=3), runs=1), max_iter=1)

# ## Critic
score, features = pi.nets.Critic(width=4)(planes)
assert score.shape[0] == 1

# ## DIP
small = pi.nets.DIP(inputs=4, chans=4, pools=2)
done = pi.recon(scan, pi.Untrained(small, runs=1), max_iter=1)

# ## DRUNet
D = pi.Denoiser(pi.nets.DRUNet(2, widths=(4, 8, 8, 8), blocks=1))
assert D(brain.image, 0.05).shape == (64, 64)

# ## DataConsistency
network = pi.nets.DataConsistency()
x = network(A, data, torch.zeros((64, 64), dtype=torch.complex64))
assert pi.testing.distance(A(x.detach().numpy()), y) < 0.5

# ## DeepDecoder
done = pi.recon(scan, pi.Untrained(pi.nets.DeepDecoder(channels=8, layers=3), runs=1), max_iter=1)

# ## Denoising
task = pi.nets.Denoising([abs(brain.image).astype("float32")] * 4, batch_size=2, size=32)
loss = task.loss(pi.nets.UNet(widths=(4, 8), blocks=(1, 1)), task.batch(0))
loss.backward()

# ## DisplayOnly
shown = pi.nets.dither(abs(brain.image))
assert isinstance(shown, pi.nets.DisplayOnly)

# ## DnCNN
assert pi.nets.DnCNN(channels=2, depth=3, width=8)(planes).shape == planes.shape

# ## DualDomainCycle
task = pi.nets.DualDomainCycle([item], rho=0.4)  # no truth is looked at
task.loss(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), task.batch(0)).backward()

# ## E2EVarNet
net = pi.nets.E2EVarNet(num_cascades=1, chans=4, pools=2, sens_chans=2, sens_pools=2)
assert net(kspace, lines).shape == (1, 64, 64)

# ## EquivariantImaging
task = pi.nets.EquivariantImaging([item], group="turns")
task.loss(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), task.batch(0)).backward()

# ## FFDNet
D = pi.Denoiser(pi.nets.FFDNet(channels=2, depth=3, width=8))
assert D(brain.image, 0.05).shape == (64, 64)

# ## FastMRI
pi.io.save_scan("folder.h5", full)
slices = pi.nets.FastMRI(".", pi.nets.lines("random", 2), maps=None)
assert len(slices) >= 1

# ## FastMRIUNet
assert pi.nets.FastMRIUNet(chans=4, pools=2)(planes[:, :1]).shape == (1, 1, 64, 64)

# ## Federation
settings = pi.nets.Federation(rounds=1, local_steps=2, optimiser="adam", clip=1.0)
assert settings.noise == 0

# ## FilterBank
bank = pi.nets.FilterBank("differences", size=3)
net = pi.nets.admm_net(bank, iterations=1)
assert net(A, data).shape == (64, 64)

# ## IRCNN
assert pi.nets.IRCNN(channels=1, width=8)(planes[:, :1]).shape == (1, 1, 64, 64)

# ## Informed
net = pi.nets.Informed(pi.nets.UNet(widths=(4, 8), blocks=(1, 1)), iterations=2, inner=2)
assert net(A, data).shape == (64, 64)

# ## MWCNN
assert pi.nets.MWCNN(widths=(4, 8))(planes).shape == planes.shape

# ## MapsTask
task = pi.nets.MapsTask([item])  # the true maps are in it
task.loss(pi.nets.DeepSENSE(widths=(4, 8), blocks=(1, 1)), task.batch(0)).backward()

# ## Movies
movie = np.stack([np.roll(abs(brain.image), n, 1) for n in range(4)]).astype("float32")
drawn = pi.nets.Movies([movie], pi.nets.Simulation(size=32, coils=(2, 2), accel=(2,)), frames=4)
assert drawn[0].kspace.shape == (4, 2, 32, 32)

# ## Noise2Recon
task = pi.nets.Noise2Recon([item], weight=0.1)
task.loss(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), task.batch(0)).backward()

# ## Perceptual
loss = pi.nets.Perceptual()
assert float(loss(images[None], images[None])) == 0

# ## RakiLayer
layer = pi.nets.RakiLayer(2, iterations=5, channels=(8, 4))
assert layer(kspace, kspace, lines.bool()).shape == kspace.shape

# ## ReconstructionTask
task = pi.nets.ReconstructionTask([item])
task.loss(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), task.batch(0)).backward()

# ## ResBlock
assert pi.nets.ResBlock(4)(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)

# ## SSDU
task = pi.nets.SSDU([item], rho=0.4)  # no truth is looked at
task.loss(pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2), task.batch(0)).backward()

# ## Scans
slices = pi.nets.Scans([full], pi.nets.lines("random", 2), maps=None)
assert slices[0].kspace.shape == (1, 6, 64, 64)

# ## SensitivityModel
maps = pi.nets.SensitivityModel(chans=2, pools=2)(kspace, lines)
assert maps.shape == kspace.shape

# ## Simulated
slices = pi.nets.Simulated([abs(brain.image).astype("float32")], pi.nets.Simulation(size=32, coils=(2, 2), accel=(2,)))
assert slices[0].kspace.shape[-1] == 32

# ## Simulation
print(pi.nets.Simulation(size=64, masks=("random",), accel=(4,)))

# ## Site
place = pi.nets.Site("hospital_a", {"kind": "fastmri", "accel": 4}, {"kind": "reconstruction", "batch_size": 2})
print(place.task)

# ## Slices
print(item.kspace.shape, item.target.shape)

# ## Tiled
drawn = pi.nets.Tiled([abs(brain.image)], pi.nets.Tiling(size=32, crop=64, accel=2))
assert drawn[0].kspace.shape == (1, 1, 32, 32)

# ## Tiling
print(pi.nets.Tiling(size=64, accel=4, noise=(0.0, 0.02)))

# ## Training
settings = pi.nets.Training(steps=2, warmup=1, every=2)
print(settings.rate(0), settings.rate(1))

# ## UNet
D = pi.Denoiser(pi.nets.UNet(widths=(4, 8), blocks=(1, 1)))
assert D(brain.image, 0.05).shape == (64, 64)

# ## VNU
net = pi.nets.VNU(num_cascades=1, chans=4, pools=2)
assert net(A, data).shape == (64, 64)

# ## ZeroFilledUNet
assert pi.nets.ZeroFilledUNet(chans=4, pools=2)(kspace, lines).shape == (1, 64, 64)

# ## available
assert "denoiser-brain" in pi.nets.available()

# ## build
net = pi.nets.build("DnCNN", {"channels": 2, "depth": 3, "width": 8})
assert isinstance(net, pi.nets.DnCNN)

# ## card
print(pi.nets.card("denoiser-fast")[:200])

# ## collate
assert pi.nets.collate([item, item]).kspace.shape[0] == 2

# ## curvature
D = pi.Denoiser(pi.nets.GradientStep(pi.nets.UNet(widths=(4, 8), blocks=(1, 1), activation="elu")))
assert pi.nets.curvature(D, brain.image, 0.05, steps=3) > 0

# ## dagan
net = pi.nets.dagan(chans=4, pools=2)
assert net(kspace, lines).shape == (1, 64, 64)

# ## dither
assert np.array_equal(pi.nets.dither(abs(brain.image), seed=1), pi.nets.dither(abs(brain.image), seed=1))

# ## equivariance
assert pi.nets.equivariance(lambda x, sigma: 0.9 * x, [brain.image], 0.05) < 1e-5

# ## federate
net = pi.nets.modl(pi.nets.DnCNN(2, 3, 8), 1, inner=2)
sites = {"A": pi.nets.ReconstructionTask([item]), "B": pi.nets.ReconstructionTask([item, item])}  # or folders, `Site`
net = pi.nets.federate(net, sites, pi.nets.Federation(rounds=1, local_steps=2, optimiser="adam"))

# ## foreign
class Theirs(nn.Module):
    """A network with the call of fastMRI's: the zero-filled magnitude."""

    def forward(self, masked_kspace, mask):
        image = pi.backend.fft(torch.view_as_complex(masked_kspace), (-2, -1), inverse=True)
        return image.abs().square().sum(1).sqrt()


done = pi.recon(scan, network=pi.nets.foreign(Theirs(), layout="fastmri"))
assert done.x.shape == (64, 64)

# ## harmonise
net = pi.nets.DnCNN(2, 3, 8)
here, there = (pi.nets.statistics(net, [x]) for x in (planes, 3 * planes))  # the other site has other units
with torch.no_grad(), pi.nets.harmonise(net, here, there):
    x = net(3 * planes)
assert torch.allclose(x, 3 * net(planes), atol=1e-4)

# ## kspace_correction
both = pi.nets.kspace_correction(torch.zeros_like(kspace), kspace, lines)
back = pi.backend.fft(both, (-2, -1))
assert torch.allclose(back, kspace, atol=1e-5)

# ## lines
pattern = pi.nets.lines("equispaced", 4, 0.125)
assert pattern((64, 64), 0).shape[-1] == 64

# ## load
D = pi.nets.load("denoiser-fast")
assert D(brain.image, 0.05).shape == (64, 64)

# ## losses
loss = pi.nets.losses.L1() + 0.1 * pi.nets.losses.SSIM()
assert float(loss(images.abs()[None], images.abs()[None])) < 1e-5

# ## networks
print(pi.nets.networks()[0].row())

# ## pic_gan
assert pi.nets.pic_gan(chans=4, pools=2, iterations=1)(A, data).shape == (64, 64)

# ## refine_gan
net = pi.nets.refine_gan(chans=4, pools=2)
print(sum(p.numel() for p in net.parameters()))

# ## residual_cnn
assert pi.nets.residual_cnn("image", depth=3, width=8)(planes).shape == planes.shape

# ## rollout
shares = pi.nets.rollout(pi.nets.ViT(patch=8, width=16, depth=2, heads=2), planes, body)
assert abs(float(shares.sum()) - 1) < 1e-4

# ## rounded
net = pi.nets.rounded(pi.nets.DnCNN(2, 3, 8), "float16")
assert all(torch.equal(p, p.half().float()) for p in net.parameters())

# ## save
pi.nets.save(pi.nets.DnCNN(2, 3, 8), "own.safetensors", card)
assert pi.nets.load("own.safetensors", level="blind")(brain.image).shape == (64, 64)

# ## series
frames = pi.nets.series(np.stack([y, y]), np.broadcast_to(mask, (2, 64, 64)), mps=brain.mps)
assert frames.A.iaxes == ("frame", "y", "x")

# ## simulate
item = pi.nets.simulate(brain.image, brain.mps, np.broadcast_to(mask, (64, 64)), noise=0.01, maps="true")
assert item.kspace.shape == (1, 6, 64, 64)

# ## statistics
found = pi.nets.statistics(pi.nets.DnCNN(2, 3, 8), [planes])
assert torch.allclose(found[""].mean, planes.mean((0, 2, 3)), atol=1e-6)

# ## train
task = pi.nets.Denoising([abs(brain.image).astype("float32")] * 2, [brain.image], batch_size=1, size=32)
net = pi.nets.train(pi.nets.UNet(widths=(4,), blocks=(1,)), task, pi.nets.Training(steps=2, every=2), folder="training")
