"""Recipes as files: JSON that a person can read and change, or what an image of `result.save` holds."""

from __future__ import annotations

import json
from pathlib import Path

from pisolve._check import choice
from pisolve.io.atomic import atomic
from pisolve.io.door import json_of, reading, toml_of
from pisolve.io.hdf5 import attributes, open_hdf5

SUFFIXES = (".json", ".toml", ".h5", ".hdf5")


def write(path, values: dict) -> None:
    """Plain values as an indented .json, whole or not at all.

    Raises:
        ValueError: another suffix.
        FileNotFoundError: the folder does not exist.
    """
    choice("the suffix of path", Path(path).suffix, (".json",))
    text = json.dumps(values, indent=2, ensure_ascii=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path) -> dict:
    """The plain values of a recipe in a .json or a .toml, or in an .h5 that `result.save` wrote.

    Raises:
        ValueError: another suffix, or nothing that can be read.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    choice("the suffix of a recipe", path.suffix, SUFFIXES)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return _read(path)
    except ValueError as error:
        raise ValueError(f"{path} holds no recipe: {error}") from error


def _read(path):
    with reading(path, "a recipe"):
        if path.suffix == ".json":
            return json_of(path)
        if path.suffix == ".toml":
            return toml_of(path)
        with open_hdf5(path) as file:
            text = attributes(file).get("recipe", "")
        if not isinstance(text, str) or not text:
            raise ValueError("it has no attribute recipe of text")
        return json.loads(text)
