"""What every word may print: two columns on stdout, one-line messages on stderr."""

import sys


def say(kind: str, message) -> None:
    """One line on stderr, whatever is in the message."""
    print(f"pisolve: {kind}: {' '.join(str(message).split())}", file=sys.stderr)


_told = set()


def forget() -> None:
    """A new run begins: nothing was told yet."""
    _told.clear()


def warn(texts) -> None:
    """A line on stderr for each warning; what was told in this run is not told again."""
    for text in map(str, texts):
        if text not in _told:
            _told.add(text)
            say("warning", text)


def table(rows) -> None:
    """Print (name, value) pairs in two columns."""
    for name, value in rows:
        print(f"{name:16}{value}")
