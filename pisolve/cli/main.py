"""The command line `pisolve <word>`: the table of words, and what an error becomes."""

import sys
import warnings

from pisolve.cli import (
    blinded,
    calib,
    compare,
    completion,
    consistency,
    convert,
    crimes,
    demo,
    doctor,
    info,
    networks,
    recon,
    serve,
    shift,
    show,
    stability,
    train,
    unblind,
    uncertainty,
    visibility,
)
from pisolve.cli.parser import parser
from pisolve.cli.say import forget, in_words, say, warn

WORDS = (recon, compare, calib, info, show, convert, demo, train, networks, serve,
         crimes, consistency, visibility, uncertainty, stability, shift, blinded, unblind,
         doctor, completion)  # in the order of --help


def main(argv: list[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return its exit code, see `pisolve --help`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    forget()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: warn([message])
        try:
            return _run(parser(WORDS).parse_args(argv))
        except KeyboardInterrupt as cut:
            say(getattr(cut, "word", "interrupted"), "nothing more is written")
            return getattr(cut, "code", 130)
        except (ValueError, TypeError, OSError, ImportError, MemoryError, RuntimeError) as error:
            text = in_words(error)
            if "--traceback" in argv or text is None:
                raise
            say("error", text)
            return 2


def _run(arguments) -> int:
    """Do what a word says; SIGTERM ends it as Ctrl-C does."""
    from pisolve.cli.paths import refuse_overwriting
    from pisolve.io.held import terminable

    refuse_overwriting(arguments)
    with terminable():
        return arguments.run(arguments) or 0
