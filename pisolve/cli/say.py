"""What every word may print: two columns on stdout, one-line messages on stderr; nothing that steers a terminal."""

import sys

_NO_MEMORY = ("can't allocate memory", "bad_alloc", "can't start new thread", "cannot allocate memory",
              "failed to allocate", "out of memory", "unable to allocate")


def say(kind: str, message) -> None:
    """One line on stderr, whatever is in the message."""
    from pisolve.io.words import printable

    print(f"pisolve: {kind}: {printable(' '.join(str(message).split()))}", file=sys.stderr)


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
    from pisolve.io.words import printable

    for name, value in rows:
        print(f"{printable(name):16}{printable(value)}")


def show(text) -> None:
    """Print text of several lines, such as a table."""
    from pisolve.io.words import printable

    print(printable(text, lines=True))


def in_words(error: BaseException) -> str | None:
    """An error in one line; None for a fault of the library's, which wants its traceback."""
    from pisolve.io.failure import WORDS

    text = " ".join(str(error).split())
    if "there is not enough memory" in text:
        return text
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _NO_MEMORY):
        return f"there is not enough memory ({text or 'no more is said'}): take fewer slices at a time, or threads"
    if isinstance(error, RuntimeError):
        return text if type(error).__module__.startswith("pisolve.") else None
    if isinstance(error, OSError) and error.errno in WORDS and error.strerror is not None:
        return f"{error.filename or 'a file'} cannot be read or written: {WORDS[error.errno]}"
    return text or type(error).__name__
