"""What is in the files of a folder: a line for each, whatever they are."""

from __future__ import annotations

import warnings
from pathlib import Path

from pisolve import io
from pisolve.cli.say import in_words, show
from pisolve.cli.scans import sampled, shape_of
from pisolve.io import foreign
from pisolve.io.files import SUFFIXES, below, is_picture
from pisolve.io.words import printable


def tell(folder: str) -> int:
    """Print a line for each file of a folder and of those in it; hidden ones are left out.

    Returns:
        0, 3 where a file with a suffix of ours could not be read, 2 where none of them could.

    Raises:
        ValueError: there is no file.
    """
    root, files = Path(folder), below(folder)
    if not files:
        raise ValueError(f"{folder} holds no files")
    width, read, failed = max(len(printable(p.relative_to(root))) for p in files), 0, 0
    for path in files:
        text, good = _line(path)
        read, failed = read + bool(good), failed + (good is False)
        show(f"{printable(path.relative_to(root)):{width}}  {printable(' '.join(text.split()))}")
    return 0 if not failed else 3 if read else 2


def _line(path: Path) -> tuple[str, bool | None]:
    """(what a file is, in words; whether it was read, None where it has none of our suffixes)."""
    try:
        foreign.refuse(path)
    except ValueError as error:
        return f"not looked at: {str(error).removeprefix(f'{path} is ')}", None
    if not path.name.endswith(SUFFIXES):
        called = path.suffix or "a name without a suffix"
        return f"not looked at: {called} is none of {', '.join(SUFFIXES)}{foreign.hint(path)}", None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            return _said(path, told), True
        except (ValueError, TypeError, OSError, ImportError, MemoryError, RuntimeError) as error:
            text = in_words(error)
            if text is None:
                raise
            return f"error: {text.removeprefix(str(path)).lstrip(': ')}", False


def _counted(warnings: int) -> list[str]:
    return [f"{warnings} warning{'s' * (warnings > 1)}"] if warnings else []


def _said(path: Path, told: list) -> str:
    """What a scan, or else an image, is."""
    try:
        scan = io.load(path)
    except (ValueError, TypeError) as error:
        try:
            image = io.load_image(path)
        except (ValueError, TypeError) as other:
            raise (other if is_picture(path) else error) from None
        return ", ".join([f"image {' x '.join(map(str, image.shape))}", str(image.dtype), *_counted(len(told))])
    more = [f"{name} {getattr(scan, name).shape}" for name in ("mps", "noise", "calib", "reference")
            if getattr(scan, name) is not None]
    more += _counted(len(told) + len(scan.warnings()))
    form = f"{scan.meta['format']}: " if "format" in scan.meta else ""
    return f"{form}{', '.join([shape_of(scan), sampled(scan.encoding), *more])}"
