"""Scans from files and images into files; one module a format, chosen by the suffix."""

from pisolve._hints import rooms
from pisolve.io.atomic import atomic
from pisolve.io.files import image_axes, image_meta, load, load_image
from pisolve.io.mrd_write import save_mrd
from pisolve.io.quantity import Quantity, load_maps, save_maps
from pisolve.io.saving import save, save_scan
from pisolve.scan import Scan

__all__ = ["Quantity", "Scan", "atomic", "image_axes", "image_meta", "load", "load_image", "load_maps", "save",
           "save_maps", "save_mrd", "save_scan"]

rooms(globals(), __all__)
