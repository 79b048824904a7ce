"""Many scans by one recipe: files in, images and a table out, on the cores of this machine or on a cluster."""

from pisolve.many.recon import Many, recon_many

__all__ = ["Many", "recon_many"]
