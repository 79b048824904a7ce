"""The word `recon`: from a scan to an image."""

from pisolve.cli.options import (
    acceleration,
    add_each,
    add_mask,
    add_no_sampling,
    add_png,
    add_progress,
    add_scan,
    delays,
    number_or,
)
from pisolve.cli.parser import add_word
from pisolve.cli.say import say, table, warn

FILES = (".h5", ".hdf5", ".npy", ".cfl", ".mat", ".nii", ".nii.gz", ".dcm", ".mrd", ".zarr", ".zarr.zip")


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "reconstruct a scan", _options)


def _options(new) -> None:
    from pisolve._words import FALLBACKS
    from pisolve.cli.many import add_many
    from pisolve.cli.signal import add_signal

    add_scan(new, f"image: .h5 (with the recipe), {', '.join(FILES[2:])}, or drawn: .png, .pdf, .svg; of many scans a "
             "folder")
    add_many(new)
    _image(new.add_argument_group("image"))
    add_signal(new.add_argument_group("maps", "of a series, in the place of images"))
    _prior(new.add_argument_group("prior", "units: the zero-filled image has a 99th percentile of 1"))
    add = new.add_argument_group("network", "instead of prior and solver").add_argument
    add("--network", metavar="NAME|FILE", help="a reconstruction network: a shipped one or weights")
    add("--consistency", action="store_const", const=True, help="bring the measured data back into its image")
    add("--fallback", choices=FALLBACKS, help="what stands in for its image where that is doubtful")
    _solver(new.add_argument_group("solver"))
    _scan(new.add_argument_group("scan"))


def _image(group) -> None:
    from pisolve.cli.options import Crop, crop
    from pisolve.io.component import PARTS

    add = group.add_argument
    add("--crop", type=crop, action=Crop, metavar="N|NxM|recon|none", help="the size that is written, of its centre; "
        "default: recon, the header's reconstruction matrix, where it has one")
    add("--component", choices=PARTS, help="what of the complex image is written; default: magnitude in .nii and .dcm, "
        "else all of it")


def _prior(group) -> None:
    from pisolve.cli.recipe import AUTO, NOISE
    from pisolve.recipe.named import DEFAULTS, DENOISER
    from pisolve.tuning import CRITERIA

    strengths = "; ".join(f"{word} {', '.join(f'{k} {v:g}' for k, v in values.items()) or '(SENSE)'}"
                          for word, values in DEFAULTS.items())
    add, strength = group.add_argument, number_or(AUTO)
    add("--prior", choices=DEFAULTS, help="default: wavelet")
    add("--lam", type=strength, help=f"strength, or auto: chosen by --tune; defaults of lam and sigma: {strengths}")
    add("--sigma", type=number_or(AUTO, NOISE), help="noise level of a denoiser, or auto, or noise: of pnp, by the "
        "scan's own; one with a level of its own works at that")
    add("--tune", choices=CRITERIA, help="how auto chooses; default: holdout (reference: an oracle, with --accel)")
    add("--minutes", type=float, metavar="N", help="the time that auto may take; default: as long as it wants")
    add("--denoiser", metavar="NAME|FILE", help=f"for pnp and red: a shipped one or weights; default: {DENOISER}")
    add("--level", type=number_or("blind"), help="sigma that the weights were trained for, or blind, where they do not "
        "say it")
    add("--scale", type=float, help="the network sees scale * image + offset; default: 1, 0.5 for a grey dncnn_*.pth")
    add("--offset", type=float, help="default: 0, 0.5 for a grey dncnn_*.pth")
    add("--rescale", action="store_const", const=True, help="reach another sigma by multiplying the image")


def _solver(group) -> None:
    from pisolve.cli.recipe import SOLVERS

    add = group.add_argument
    add("--solver", choices=SOLVERS, help="default: one that fits the prior")
    add("--max-iter", type=int, metavar="N", help="most iterations; default: 100, 30 for pnp")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, or auto, a GPU where there is one; default: cpu")
    add("--tol", type=float, help="relative residual to stop at; default: 1e-4")
    add("--recipe", metavar="FILE", help="do what this .json or this .h5 written by recon says (--slices, --select, "
        "--axes and --mps are given anew, --accel and its pattern may be)")
    add("--checkpoint", metavar="FOLDER", help="keep the states of the slices there: the same command goes on from "
        "them, to the same bits")
    add_progress(group, "bars, on a terminal")


def _scan(group) -> None:
    from pisolve.calib.raki import VARIANTS
    from pisolve.cli.maps import MAPS
    from pisolve.cli.recipe import RECONSTRUCTIONS
    from pisolve.recipe.named import FITTED

    add = group.add_argument
    add("--method", choices=(*RECONSTRUCTIONS, *FITTED), help="grappa and raki fill k-space, spirit solves for the "
        "coils' images, convdecoder and zs-ssl fit a network to the scan; default: sense, with coil maps")
    add("--variant", choices=VARIANTS, help="of raki; residual: GRAPPA and the network, linear: GRAPPA alone; default: "
        "raki")
    add("--mps", metavar="FILE", help="coil maps to use; default: those in the scan, else estimated")
    add("--maps", choices=MAPS, help="how they are estimated; default: espirit")
    add("--sets", type=int, metavar="N", help="ESPIRiT's sets of maps, 2 where the object is larger than the field of "
        "view; default: 1")
    add("--coils", type=int, metavar="N", help="compress to N virtual coils")
    add("--gcc", action="store_const", const=True, help="compress for every position along the readout by itself")
    add("--prewhiten", action="store_const", const=True, help="make the noise white by the scan's noise samples")
    add("--noise", dest="noise_file", metavar="FILE", help="noise of a file of its own, raw data or an array; default: "
        "the scan's")
    add("--map-crop", type=float, help=f"ESPIRiT's maps are 0 where its eigenvalue is below; default: "
        f"{MAPS['espirit']().crop:g}")
    add_each(group)
    add("--delays", type=delays, metavar="D,...", help="of the gradients, in samples along (z,) y, x of a scan with "
        "coordinates, or none; default: auto, found in radial scans")
    add("--shot-factors", choices=("auto", "yes", "no"), help="divide shots by what their centre differs by; default: "
        "auto, in radial scans where it is much")
    add("--accel", type=acceleration, metavar="R", help="undersample first, and compare with the full scan; 2x2: along "
        "kz and ky, equispaced; beside --recipe instead of its own, 1: none")
    add_mask(group)
    add_no_sampling(add)
    add("--center-fraction", type=float, metavar="F", help="share of lines in its full centre; default: fastMRI's")
    add("--seed", type=int, help="of the pattern; default: 0")
    field = group.add_mutually_exclusive_group().add_argument
    field("--field-map", metavar="FILE", help="the field in Hz, .npy, .h5, .cfl or .nii, for a scan with times; "
          "default: that in the scan")
    field("--no-off-resonance", action="store_const", const=True, help="do not correct it, though the scan has a field "
          "map and times")
    add_png(group, "the images")


def run(a) -> int:
    """Reconstruct a scan; 1 where that failed, 3 where some of its parts did."""
    from pisolve.cli import many, signal
    from pisolve.cli.recipe import check_maps, make_recipe
    from pisolve.cli.report import failure, failures
    from pisolve.cli.scans import load
    from pisolve.prepare import fully_sampled
    from pisolve.scan.size import wanted

    several = many.asked(a)
    signal.check(a)
    if not several:
        (_check_files if a.signal is None else signal.check_output)(a)
    recipe = make_recipe(a)
    check_maps(a, recipe)
    if several:
        return many.run(a, recipe)
    if a.output.endswith((".h5", ".hdf5")):
        recipe.to_dict()  # a recipe that cannot be kept is refused before the work
    scan = load(a)
    check_maps(a, recipe, scan)
    wanted(scan, a.crop or "recon")  # refused before the work
    if a.signal is not None:
        return signal.run(a, recipe, scan)
    full = recipe.sampling is not None and fully_sampled(scan)
    if recipe.tune == "reference" and not full:
        raise ValueError("--tune reference needs the truth: a fully sampled scan and --accel")
    if recipe.sampling is not None:
        recipe.sampling.check(scan)
        if not full:
            warn(["no metrics: this scan is not fully sampled, so there is nothing to compare with"])
    done = recipe(scan, progress=a.progress, checkpoint=a.checkpoint)
    if done.status == "stopped":
        say("stopped", "what follows is the best image so far")
    lost = failures(done, a.numbers)
    if lost and len(lost) == sum(r.status != "empty" for r in done.results):
        say("failed", f"{failure(done)}; {a.output} is not written")
        return 1
    done.save(a.output, crop=a.crop or "recon", component=a.component)
    _tell(a, scan, done, full)
    for text in lost:
        say("failed", text)
    return 3 if lost else 0


def _check_files(a) -> None:
    """Refuse outputs that could not be written."""
    from pisolve.cli.scans import check_component, check_output
    from pisolve.figure import SUFFIXES

    check_output(a.output, (*FILES, *SUFFIXES), a.scan)
    check_component(a.output, a.component)
    if a.png:
        check_output(a.png, SUFFIXES, a.scan)
    if a.png or a.output.endswith(SUFFIXES):
        from pisolve._check import extra

        extra("matplotlib", "plot")


def _tell(a, scan, done, full: bool) -> None:
    """Print what was done, with metrics where the scan was `full`, and draw it where that is asked for."""
    from pisolve.cli.report import metrics_table, what_ran, what_was_done
    from pisolve.cli.scans import sampled, shape_of
    from pisolve.prepare import like_rss, zero_filled

    rows = what_ran(done)
    table([("scan", f"{a.scan}, {shape_of(scan)}"), ("sampling", sampled(done.scan.encoding)),
           *what_was_done(done.scan), *rows,
           ("seconds", ", ".join(f"{stage} {t:.2f}" for stage, t in done.seconds.items())),
           ("scale", f"{done.scale:.5g} (k-space times this was solved)"), ("residual", done.agreement)])
    images = {name: done.scan.crop(like_rss(done.scan, image)) for name, image in
              (("zero-filled", zero_filled(done.scan)), ("reconstruction", done.x))}
    reference = done.scan.reference if full else None
    if full:
        metrics_table(reference, images)
    written = [a.output]
    try:
        if a.png:
            from pisolve.figure import figure
            from pisolve.scan.size import pixel_of

            figure(images, reference, path=a.png, title=rows[0][1] if full else "", axes=done.axes,
                   pixel=pixel_of(done.scan.meta))
            written.append(a.png)
    finally:  # a picture that fails takes nothing with it
        table([("written", ", ".join(written))])
