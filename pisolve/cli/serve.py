"""The word `serve`: images for a scanner while it measures."""

from pisolve.cli.options import given
from pisolve.cli.parser import add_word
from pisolve.cli.say import say


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "reconstruct beside a scanner: ISMRMRD's messages in and out at a port", _options)


def _options(new) -> None:
    from pisolve.io.component import PARTS
    from pisolve.server.images import PIXELS
    from pisolve.server.serve import PORT

    add = new.add_argument
    add("--recipe", metavar="PATH", help="a recipe (.json, .toml, or an .h5 of recon) for all clients, or a folder of "
        "recipes, of which they name one; default: wavelets")
    add("--port", type=int, metavar="N", help=f"default: {PORT}; 0: any that is free")
    add("--host", metavar="ADDRESS", help="where to listen; default: localhost, which other machines do not reach; "
        "0.0.0.0: everywhere, without any password")
    add("--whole", action="store_true", default=None, help="wait until all was measured, instead of slice by slice")
    add("--component", choices=tuple(PARTS), help="of the images; default: magnitude")
    add("--pixels", choices=PIXELS, help="whole numbers (ushort) with one factor for a measurement; default: float")
    add("--connections", type=int, metavar="N", help="clients at a time; default: 4")
    add("--seconds", type=float, metavar="S", help="within which a message must come; default: 60")
    add("--total", type=float, metavar="S", help="within which a measurement must be over; default: 3600")
    add("--size", type=int, metavar="BYTES", help="of a measurement's readouts; default: an eighth of the memory over "
        "--connections")
    add("--readouts", type=int, metavar="N", help="of a measurement; default: 4194304")


def run(a) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from pisolve.server import serve

    names = ("recipe", "port", "host", "whole", "component", "pixels", "connections", "seconds", "total", "size",
             "readouts")
    serve(**given(a, names), tell=lambda text: say("serve", text))
    return 0
