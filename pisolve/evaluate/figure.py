"""Where `pisolve.figure` was: pictures are a room of their own, which reconstructions use, too."""

from pisolve.figure import SUFFIXES, error_limit, figure

__all__ = ["SUFFIXES", "error_limit", "figure"]
