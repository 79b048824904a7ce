"""The command line: `pisolve <word>`."""

from pisolve.cli.main import main

__all__ = ["main"]
