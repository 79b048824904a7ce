"""One client: its messages in, and images out while it still measures."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from pisolve.io import mrd_wire as wire
from pisolve.io.mrd_live import Live
from pisolve.io.words import printable
from pisolve.server.images import Style, messages
from pisolve.server.recipes import Recipes, of_part, streams
from pisolve.workers.run import words

_LINGER = 1.0  # seconds that a client has to read why it was refused


@dataclass(frozen=True)
class Setup:
    """What all connections of a server share.

    Args:
        recipes: by name.
        limits: of one connection.
        max_bytes: of the arrays that a part of a measurement makes, as `io.load` has it.
        whole: wait until all was measured.
        style: of images, each connection has a copy.
        tell: a function of a line for the log.
    """

    recipes: Recipes
    limits: wire.Limits
    max_bytes: int | None
    whole: bool
    style: Style
    tell: Callable[[str], None]


class _Cut(Exception):
    """The client is gone: nobody waits for the image."""


class Connection:
    """A client that is connected: `run` serves it to its end, whatever it sends.

    Args:
        sock: its socket, which is closed in the end.
        name: of the client, for the log.
        setup: of the server.
    """

    def __init__(self, sock: socket.socket, name: str, setup: Setup):
        self._sock, self._name, self._setup = sock, name, setup
        self._out = _Out(sock, setup.limits.seconds)
        self._gone, self._style = threading.Event(), replace(setup.style)
        self._asked, self._xml, self._recipe, self._live, self._axes = None, "", None, None, ()
        self._parts, self._late, self._jobs, self._told = {}, set(), [], set()

    def cut(self) -> None:
        """End it as soon as its thread looks up."""
        self._gone.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Serve the client; no error of its making leaves this."""
        start, why = time.monotonic(), "done"
        with self._sock, self._out, ThreadPoolExecutor(1) as self._worker:
            try:
                for message in wire.Reader(self._sock, self._setup.limits):
                    self._take(message)
                self._finish()
            except Exception as error:  # whatever a client sends, the others are served on
                why = words(error)
                self._gone.set()
                self._refuse(why)
            finally:
                for job in self._jobs:
                    job.cancel()
        count = 0 if self._live is None else len(self._live)
        self._setup.tell(f"{self._name}: {why}; {count} readouts, {self._style.count} images, "
                         f"{time.monotonic() - start:.1f} s")

    def _take(self, message: wire.Message) -> None:
        if message.kind == wire.READOUT:
            self._add(message)
        elif message.kind == wire.HEADER:
            if self._live is not None:
                raise ValueError("a second header came: one measurement is one connection")
            self._xml, self._live = message.text, Live(message.text)
        elif message.kind in (wire.CONFIG_FILE, wire.CONFIG_TEXT, wire.TEXT):
            name = self._setup.recipes.named(message.text)
            if name is not None and self._recipe is None:  # the last one before the first readout counts
                self._asked = name
        elif message.kind == wire.IMAGE:
            self._warn("images are not taken, readouts are: they are left out")

    def _settle(self) -> None:
        """At the first readout: recipe and parts are what they are from now on."""
        self._recipe = self._setup.recipes.get(self._asked)
        self._axes = () if self._setup.whole else streams(self._recipe)
        self._live = Live(self._xml, self._axes)
        self._setup.tell(f"{self._name}: measures, recipe {printable(self._asked or 'of the server')}")

    def _add(self, message: wire.Message) -> None:
        if self._live is None:
            raise ValueError("a readout came before the header")
        if self._recipe is None:
            self._settle()
        key, last = self._live.add(message)
        if key is None or not self._axes:
            return
        if self._parts.get(key):
            self._late.add(key)
        self._parts.setdefault(key, False)
        if last and key not in self._late:
            self._begin_part(key)

    def _begin_part(self, key: tuple | None) -> None:
        self._parts[key] = True
        self._jobs.append(self._worker.submit(self._reconstruct, key, self._live.of(key)))

    def _finish(self) -> None:
        """All was sent: what is not begun is, and the client is told when the last image has gone."""
        if self._live is not None and len(self._live):
            for key in [k for k, begun in self._parts.items() if not begun or k in self._late]:
                if key in self._late:
                    self._warn(f"{self._live.label(key)}: readouts came after its last one, its image is made again of "
                               "all of them")
                self._begin_part(key)
            if not self._jobs:
                self._begin_part(None)
        for job in self._jobs:
            job.result()
        self._out.send(wire.close())

    def _reconstruct(self, key: tuple | None, index) -> None:
        """One part on the connection's worker: its images are sent, or why there is none."""
        if self._gone.is_set():
            return
        label = self._live.label(key)
        try:
            images = self._images(key, index, label)
        except _Cut:
            return
        except Exception as error:  # of this part alone
            self._warn(f"{label}: no image, {words(error)}")
            return
        try:
            for data in images:
                self._out.send(data)
        except OSError:
            self.cut()

    def _images(self, key, index, label: str) -> list[bytes]:
        """The messages of a part's images; [] and a warning where it failed."""
        scan = self._live.scan(index, self._setup.max_bytes)
        done = of_part(self._recipe, scan)(scan, callbacks=() if key is None else (self._look,))
        for text in done.agreement.doubts if done.agreement else ():
            self._warn(text)
        bad = done.failed
        if bad and len(bad) == sum(r.status != "empty" for r in done.results):
            self._warn(f"{label}: no image, {done.status}")
            return []
        for part in bad:
            self._warn(f"{part} failed: its SENSE image stands there")
        return list(messages(done, self._live, self._style, **self._live.counters(key)))

    def _look(self, problem, state) -> None:
        if self._gone.is_set():
            raise _Cut

    def _warn(self, text: str) -> None:
        """Say it to the client and the log, once."""
        if text not in self._told:
            self._told.add(text)
            self._setup.tell(f"{self._name}: {text}")
            with suppress(OSError):
                self._out.send(wire.text(f"pisolve: {text}"))

    def _refuse(self, why: str) -> None:
        """Say why and close; what is still on its way is read over for a moment, so that the client can read it."""
        with suppress(OSError):
            self._out.send(wire.text(f"pisolve: {why}") + wire.close())
            self._sock.shutdown(socket.SHUT_WR)
            end = time.monotonic() + _LINGER
            while (left := end - time.monotonic()) > 0:
                self._sock.settimeout(left)
                if not self._sock.recv(1 << 16):
                    break


class _Out:
    """What is sent, a whole message at a time, by whichever thread has one."""

    def __init__(self, sock: socket.socket, seconds: float):
        self._sock, self._lock = sock.dup(), threading.Lock()
        self._sock.settimeout(seconds)  # of its own: the reader sets another one all the time

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: the client is gone, or does not read.
        """
        with self._lock:
            self._sock.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._sock.close()
