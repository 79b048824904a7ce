"""What each number means, in one line of plain text: printed in reports."""

DEFINITIONS = {
    "nmse": "normalised mean squared error over the volume, ||reference - image||^2 / ||reference||^2; 0 is equal "
            "(fastMRI)",
    "psnr": "peak signal-to-noise ratio in dB, 10 log10(max(reference)^2 / mean (reference - image)^2), mean and "
            "maximum over the volume; higher is better (fastMRI)",
    "ssim": "structural similarity, mean over slices in a uniform 7x7 window, range = the volume's maximum, K = 0.01 "
            "and 0.03, N - 1 normalisation; 1 is equal (fastMRI)",
    "hfen": "high-frequency error norm, ||LoG(reference - image)|| / ||LoG(reference)||, Laplacian of Gaussian 15x15, "
            "sigma 1.5 pixels; 0 is equal (Ravishankar and Bresler 2011, normalised)",
    "ms_ssim": "multi-scale structural similarity, mean over slices in a Gaussian 11x11 window at up to five scales "
               "(fewer under 176 pixels, exponents summing to 1); 1 is equal (Wang 2003)",
    "vif": "visual information fidelity in the pixel domain, mean over slices, four scales, the volume's maximum as "
           "255, visual noise variance 2; 1 is equal (Sheikh and Bovik 2006)",
    "lpips": "learned perceptual similarity, sum over layers of the mean weighted squared difference of a network's "
             "normalised features; 0 is equal (Zhang 2018)",
    "frechet": "squared Frechet distance of two sets of features, ||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)); "
               "0 is equal (FID: Heusel 2017)",
}
