"""The parser of the command line. A word's options are made when the word is used, so that `--help` loads no room."""

import argparse

from pisolve._version import __version__

EXAMPLES = """examples:
  pisolve demo -o demo                                    reconstruct a simulated brain, show table and picture
  pisolve info scan.h5                                    what is in this file, and what is odd about it
  pisolve recon scan.h5 -o out.h5                         wavelets, the default
  pisolve recon scan.h5 -o out.h5 --prior tv --lam 2e-3 --png out.png
  pisolve recon scan.h5 -o out.h5 --accel 4 --seed 1      undersample a full scan, and print the metrics
  pisolve recon scan.h5 -o out.h5 --prior tv --lam auto   choose lam by withheld samples
  pisolve recon scan.h5 -o out.h5 --prior pnp --sigma 0.07
  pisolve recon scan.h5 -o out.h5 --prior pnp --denoiser dncnn_gray_25.pth --scale 0.5 --offset 0.5
  pisolve recon scan.h5 -o out.h5 --network net.safetensors --consistency
  pisolve recon scan.h5 -o again.h5 --recipe out.h5       the same once more, to the same bits
  pisolve recon scan.h5 -o out.h5 --method grappa --coils 8 --prewhiten
  pisolve recon scan.h5 -o out.h5 --method convdecoder    fit an untrained network to this scan: minutes a slice
  pisolve recon scan.h5 -o out.h5 --device auto           on a GPU, where there is one
  pisolve recon raw.mrd -o out.h5 --part repetition=2,set=1
  pisolve recon raw.mrd -o out.h5 --noise noise.mrd --prewhiten
  pisolve info folder                                     a line for each file in it
  pisolve recon folder -o images --resume                 all scans in it, each into an image, with a table
  pisolve recon cine.npz -o out.npy --axes frame,coil,ky,kx --prior llr      a series, all frames at once
  pisolve recon cine.npz -o out.npy --accel 6 --mask vista --prior l+s
  pisolve recon volume.npy -o out.npy --axes coil,kz,ky,kx --accel 2x2 --prior tv     3-D
  pisolve compare scan.h5 --accel 4,8 --methods sense,wavelet,tv,pnp -o report
  pisolve recon scan.h5 -o out.nii.gz --crop 320          an image of 320 x 320, its description beside it (.json)
  pisolve show scan.h5 -o scan.png                        image, k-space, coils, maps, frames
  pisolve convert out.h5 out.dcm                          another format, of images and of scans
  pisolve calib scan.h5 -o maps.npy                       coil maps, for: recon ... --mps maps.npy
  pisolve train examples/configs/denoiser-fast.toml --out run    train a network; goes on with --resume
  pisolve networks                                        all networks, with paper, parameters and what ships
  pisolve doctor                                          what is installed, and a self-test
  eval "$(pisolve completion bash)"                       complete words and options with the tab key

exit codes: 0 done, 1 the run failed (diverged, not finite) and nothing is written, 2 wrong input, 3 written, but some
parts failed, 130 interrupted (Ctrl-C), 143 terminated (SIGTERM).
PISOLVE_THREADS sets the number of threads."""


class Parser(argparse.ArgumentParser):
    """Argument errors are ValueErrors, so that every error of a user comes out on one line."""

    def error(self, message):
        """Raise what is wrong."""
        raise ValueError(f"{message} (see {self.prog} --help)")

    def _check_value(self, action, value):
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            from pisolve._hints import meant

            error.message += meant(value, action.choices)
            raise


class Word(Parser):
    """The parser of one word: `run(arguments)` does it, `options(parser)` adds its options on first use."""

    def __init__(self, *, run, options, **more):
        super().__init__(**more, allow_abbrev=False)
        self.set_defaults(run=run)
        self.add_argument("--traceback", action="store_true", help="show where an error came from")
        self.options = options

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does, with the word's options, which ask the rooms for choices and defaults."""
        add, self.options = self.options, None
        if add is not None:
            add(self)
        found, left = super().parse_known_args(args, namespace)
        for word in (w.partition("=")[0] for w in left if w.startswith("--") and len(w) > 2):
            from pisolve._hints import meant

            known = [o.lstrip("-") for o in self._option_string_actions if o.startswith("--")]
            hint = meant(word.lstrip("-"), known).replace("'", "'--", 1)
            self.error(f"unrecognized arguments: {word}{hint}")
        return found, left


def add_word(words, run, text: str, options) -> None:
    """Add the word that the file of `run` is called to argparse's `words`; `text` says what it does."""
    words.add_parser(run.__module__.rpartition(".")[2], help=text, description=f"{text[0].upper()}{text[1:]}.",
                     run=run, options=options)


def parser(words) -> Parser:
    """The parser of all the words, each a module with `add` and `run`."""
    top = Parser("pisolve", description="MRI reconstruction: minimise over x  1/2 ||A x - y||^2 + g(x)",
                 epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"pisolve {__version__}")
    top.set_defaults(parser=top)
    added = top.add_subparsers(dest="word", metavar="WORD", required=True, parser_class=Word)
    for word in words:
        word.add(added)
    return top
