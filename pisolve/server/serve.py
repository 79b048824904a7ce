"""The server: a port, a thread for each client, and no more of them than it was told."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from pisolve import _check
from pisolve.io import mrd_wire as wire
from pisolve.io.limits import limit
from pisolve.server.connection import Connection, Setup
from pisolve.server.images import Style
from pisolve.server.recipes import Recipes

PORT = 9002  # as Gadgetron and the FIRE servers have it
_LOOK = 0.2  # seconds after which the server looks up whether it is to end
_END = 10.0  # seconds that connections have to end in


class Server:
    """A server that is bound to its port: `run` serves until `close`; as a context manager it does in a thread.

    Args:
        recipe, host, port, connections, whole, tell: as for `serve`.
        limits: of a connection; None: the defaults.
        style: of images.

    Attributes:
        address: (host, port) that it is bound to.
    """

    def __init__(self, recipe: Any, *, host: str = "localhost", port: int = PORT, connections: int = 4,
                 limits: wire.Limits | None = None, whole: bool = False, style: Style | None = None,
                 tell: Callable[[str], None] = lambda text: None):
        _check.extra("ismrmrd", "mrd")
        _check.integer("port", port, low=0, high=65535)
        self._most = _check.integer("connections", connections, low=1)
        self._setup = Setup(Recipes(recipe), limits or wire.Limits(), max(limit(None) // self._most, 1), whole,
                            style or Style(), tell)
        self._closed, self._clients = threading.Event(), {}
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            place = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        except socket.gaierror as error:
            raise ValueError(f"host is {host!r}, which is no address of this machine: {error}") from error
        self._sock = socket.create_server(place[:2], family=family, backlog=8)
        self._sock.settimeout(_LOOK)
        self.address = self._sock.getsockname()[:2]

    @property
    def names(self) -> list[str]:
        """The recipes that clients may ask for; [] where there is one for all."""
        return self._setup.recipes.names

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the server."""
        return ipaddress.ip_address(self.address[0]).is_loopback

    def run(self) -> None:
        """Serve clients until `close` is called, or Ctrl-C; connections are cut then."""
        try:
            while not self._closed.is_set():
                self._clients = {t: c for t, c in self._clients.items() if t.is_alive()}
                try:
                    sock, peer = self._sock.accept()
                except TimeoutError:
                    continue
                except OSError as error:  # such as of too many open files: others may end
                    if self._closed.is_set():
                        break
                    self._setup.tell(f"no connection: {error}")
                    time.sleep(_LOOK)
                    continue
                self._welcome(sock, f"{peer[0]}:{peer[1]}")
        finally:
            self._end()

    def close(self) -> None:
        """End `run` in whichever thread it is."""
        self._closed.set()

    def _welcome(self, sock: socket.socket, name: str) -> None:
        if len(self._clients) >= self._most:
            self._setup.tell(f"{name}: refused, {self._most} others are connected")
            with sock:
                try:
                    sock.settimeout(_LOOK)
                    sock.sendall(wire.text(f"pisolve: {self._most} clients are connected, no more are taken: try again "
                                           "later") + wire.close())
                except OSError:
                    pass
            return
        client = Connection(sock, name, self._setup)
        thread = threading.Thread(target=client.run, name=name, daemon=True)
        self._clients[thread] = client
        thread.start()

    def _end(self) -> None:
        self._closed.set()
        self._sock.close()
        for client in self._clients.values():
            client.cut()
        end = time.monotonic() + _END
        for thread in self._clients:
            thread.join(max(end - time.monotonic(), 0))

    def __enter__(self):
        """Serve in a thread beside this one."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()
        self._thread.join(_END + 1)


def serve(recipe: Any = None, *, host: str = "localhost", port: int = PORT, connections: int = 4, seconds: float = 60.0,
          total: float = 3600.0, size: int | None = None, readouts: int = 1 << 22, whole: bool = False,
          component: str = "magnitude", pixels: str = "float", tell: Callable[[str], None] = print) -> None:
    """Serve reconstructions beside a scanner, by ISMRMRD's messages, until Ctrl-C: readouts in, images out.

    As Gadgetron, FIRE and OpenRecon speak them: a config file's name or a config text, the header, readouts, close;
    back come an image for each slice, frame, ... and a close, and texts with what was odd. A slice is reconstructed as
    soon as its last readout has come, as `pi.recon` of it alone does it, with a scale of its own; with `whole` all are
    together when the measurement ends, and the images have the bits of `pi.recon` of its file. A recipe that tunes, or
    has x0 or weights, waits, too, and so does a volume. See docs/scanner.md.

    The protocol has no passwords and no encryption: whoever reaches the port is served. Stay on localhost, or on a
    network of the scanner's own.

    Args:
        recipe: a `Recipe`, a prior or the path of a recipe, for all clients whatever they ask for; or a folder of
            recipes, of which clients name one. None: wavelets.
        host: which address is listened at; "0.0.0.0": all that this machine has.
        port: 0 takes any that is free.
        connections: how many clients at a time; one more is refused.
        seconds: within which a message must come, and be taken.
        total: within which a measurement must be over.
        size: bytes of a connection's readouts; None: an eighth of this machine's memory over `connections`.
        readouts: the most messages of a connection.
        whole: wait for the end of the measurement.
        component: "magnitude", "phase", "real", "imaginary" or "complex".
        pixels: "float", or "ushort", whole numbers with one factor for all images of a connection.
        tell: a function of a line for the log.

    Raises:
        TypeError, ValueError: arguments that are none; a recipe that undersamples.
        OSError: the port is taken.
        ImportError: without the package `ismrmrd` (the extra `mrd`).
    """
    from pisolve.io.held import terminable
    from pisolve.recipe import Recipe

    size = limit(None) // 4 // _check.integer("connections", connections, low=1) if size is None else size
    server = Server(Recipe() if recipe is None else recipe, host=host, port=port, connections=connections, whole=whole,
                    limits=wire.Limits(seconds, total, size, readouts), style=Style(component, pixels), tell=tell)
    tell("listens at {}:{}, recipes: {}".format(*server.address, ", ".join(server.names) or "one for all"))
    if not server.local:
        tell("other machines reach this port, which asks for no password: see that only the scanner does")
    with terminable():
        server.run()
