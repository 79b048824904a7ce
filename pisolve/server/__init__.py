"""A server beside the scanner: readouts come in as ISMRMRD's messages, images of a recipe go back while it measures."""

from pisolve.server.serve import Server, serve

__all__ = ["Server", "serve"]
