"""The command line `pisolve <word>`: the table of words, and what an error becomes."""

import sys
import warnings

from pisolve.cli import (
    blinded,
    calib,
    compare,
    consistency,
    crimes,
    demo,
    info,
    recon,
    shift,
    stability,
    train,
    unblind,
    uncertainty,
    visibility,
)
from pisolve.cli.parser import parser
from pisolve.cli.say import forget, say, warn

WORDS = (recon, compare, calib, info, demo, train,
         crimes, consistency, visibility, uncertainty, stability, shift, blinded, unblind)  # in the order of --help


def main(argv: list[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return its exit code, see `pisolve --help`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    forget()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: warn([message])
        try:
            arguments = parser(WORDS).parse_args(argv)
            return arguments.run(arguments) or 0
        except KeyboardInterrupt:
            say("interrupted", "nothing more is written")
            return 130
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            if "--traceback" in argv:
                raise
            say("error", error or type(error).__name__)
            return 2
