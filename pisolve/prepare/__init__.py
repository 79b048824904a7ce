"""From what a scanner delivered to what solving needs: whitening, coil compression, undersampling, maps, models."""

from pisolve._hints import hint
from pisolve.prepare.channels import Channels, Compress
from pisolve.prepare.maps import Espirit, Inati, JSense, Maps, Walsh
from pisolve.prepare.methods import CoilImages, Grappa, Raki, Spirit
from pisolve.prepare.model import Method, Model
from pisolve.prepare.pictures import fully_sampled, like_rss, spread_maps, zero_filled
from pisolve.prepare.sampling import SAMPLINGS, Sampling
from pisolve.prepare.scan import EACH, as_scan, holds, model_of, models_of, prepare, zero_filled_scale
from pisolve.prepare.sense import SENSE, Sense, sense_of
from pisolve.prepare.shots import TOLD

__all__ = ["EACH", "SAMPLINGS", "SENSE", "TOLD", "Channels", "CoilImages", "Compress", "Espirit", "Grappa", "Inati",
           "JSense", "Maps", "Method", "Model", "Raki", "Sampling", "Sense", "Spirit", "Walsh", "as_scan",
           "fully_sampled", "holds", "like_rss", "model_of", "models_of", "prepare", "sense_of",
           "spread_maps", "zero_filled", "zero_filled_scale"]

hint(globals(), __all__)
