"""The door for files of others: whatever a parser raises becomes an error of ours, with the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pisolve import _check
from pisolve.io.words import printable


@contextmanager
def reading(path, what: str = "") -> Iterator[None]:
    """While a file of somebody else is read: an exception leaves as ours, with the file's name in its message.

    A ValueError and a TypeError stay what they are, and so do a missing package, a warning, and a file that is not
    there or not to be read. Everything else, such as a parser's own errors, a missing key or too deep a nesting, is a
    ValueError. What they quote of the file is printable.

    Args:
        path: the file.
        what: what it should be, for the message.
    """
    try:
        yield
    except (ImportError, Warning):
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if named(path, str(error)):
            raise
        raise type(error)(f"{path}: {printable(error)}") from error
    except (ValueError, TypeError) as error:
        text = printable(error)
        if type(error) in (ValueError, TypeError) and text == str(error) and named(path, text):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text if named(path, text) else f"{path}: {text}") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: there is not enough memory to read it, {_brief(error)}") from error
    except Exception as error:
        text = f" as {what}" if what else ""
        raise ValueError(f"{path} cannot be read{text}, it is damaged, cut off or something else ({_brief(error)})"
                         ) from error


def named(path, text: str) -> bool:
    """Whether a message names the file."""
    return str(path) in text or Path(path).name in text


def _brief(error) -> str:
    """An exception in a few words, printable, on one line."""
    text = " ".join(printable(error).split())
    kind = type(error).__name__
    return f"{kind}: {text if len(text) < 120 else text[:117] + '...'}" if text else kind


def json_of(path, *, most: int = 64 << 20):
    """The value of a .json file of somebody else.

    Raises:
        ValueError: more than `most` bytes, no JSON, or nested too deeply.
    """
    import json

    path = Path(path)
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{path} has {size:,} bytes, more than {most:,}: this is no such description")
    with reading(path, "JSON"):
        return json.loads(path.read_text(encoding="utf-8"))


def toml_of(path) -> dict:
    """The values of a .toml file of somebody else.

    Raises:
        ValueError: no TOML, or nested too deeply.
        FileNotFoundError: no such file.
    """
    import tomllib

    with reading(path, "TOML"):
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))


def mapping(path, value, what: str) -> dict:
    """Check that a value in a file is a dict; returns it."""
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {what} is {_check.brief(value)}, a dict is needed")
    return value
