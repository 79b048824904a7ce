"""What a scanner delivered: k-space with named axes, what belongs to it, and how it was encoded."""

from pisolve.scan.grid import Grid, estimate
from pisolve.scan.scan import Scan

__all__ = ["Grid", "Scan", "estimate"]
