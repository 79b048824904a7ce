"""From what a scanner delivered to what solving needs: whitening, coil compression, undersampling, maps, models."""

from pisolve.prepare.channels import Channels, Compress
from pisolve.prepare.maps import Espirit, Inati, JSense, Maps, Walsh
from pisolve.prepare.methods import Grappa, Method, Model, Sense, Spirit
from pisolve.prepare.sampling import SAMPLINGS, Sampling
from pisolve.prepare.scan import as_scan, models_of, prepare, zero_filled_scale

__all__ = ["SAMPLINGS", "Channels", "Compress", "Espirit", "Grappa", "Inati", "JSense", "Maps", "Method", "Model",
           "Sampling", "Sense", "Spirit", "Walsh", "as_scan", "models_of", "prepare", "zero_filled_scale"]
