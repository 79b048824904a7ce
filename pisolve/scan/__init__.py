"""What a scanner delivered: k-space, what belongs to it, and how it was encoded."""

from pisolve.scan.scan import Scan

__all__ = ["Scan"]
