"""What each kind of uncertainty is made of, and what it does not contain: the words of its section."""

DONE = {
    "replicas": "Noise of the scanner's own covariance was added to the measured samples {n} times, and each was "
                "reconstructed: std is what the image varies by.",
    "sure": "Stein's unbiased estimate of the squared error (generalised SURE), place by place, over a window of "
            "{window} pixels, with {n} probes for the derivative of the recipe: std is the root of it. It is an "
            "estimate of the whole error, noise and smoothing alike, of what the samples determine.",
    "masks": "{n} images were made {how}: std is what they differ by.",
    "seeds": "The images of {n} recipes were compared: std is what they differ by.",
    "dropout": "The network ran {n} times with its dropout layers active: std is what its images differ by.",
    "posterior": "{n} images were drawn from the posterior, the images that both the samples with their noise and the "
                 "denoiser, as what is known of images, allow for: std is what they differ by.",
}
LACKS = {
    "replicas": "Not contained: artefacts of undersampling, wrong coil maps, motion, and whatever the prior always "
                "adds or removes. A prior that gives the same picture whatever the data say has a std of zero, and is "
                "wrong.",
    "sure": "Not contained: what the samples do not determine (it is filtered out, see `visibility`), so artefacts of "
            "undersampling and inventions in the null space do not show; wrong coil maps. It stands or falls with the "
            "noise level. A prior that always gives the same picture is found out where the data contradict it.",
    "masks": "Not contained: noise (the measured samples are the same), and whatever the prior does with every "
             "pattern. The images share many of their samples, so this is no standard error in the sense of "
             "statistics: it says how much the picture hangs on which lines were taken. A prior that always gives the "
             "same picture has none.",
    "seeds": "Not contained: noise, undersampling, and every error that all members share, from the same training "
             "images or the same maps. Members that agree may be wrong together.",
    "dropout": "Not contained: noise of the scan, and every error that all passes of the network share. The "
               "size of std follows the dropout rate, so it is an order of places rather than a number. A network that "
               "always gives the same picture has none.",
    "posterior": "Not contained: wrong coil maps and a wrong noise level, and what the denoiser does not know of "
                 "images: where the anatomy is unlike its training images, all draws may be wrong together.",
}
