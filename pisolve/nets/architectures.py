"""The table of networks that a file can describe, by the name of their class."""

from __future__ import annotations

from pisolve.nets.adversarial import Adversarial, Critic
from pisolve.nets.automap import AUTOMAP
from pisolve.nets.blocks import DnCNN
from pisolve.nets.decoders import DIP, ConvDecoder, DeepDecoder
from pisolve.nets.deepsense import DeepSENSE
from pisolve.nets.dimension import DIMENSION
from pisolve.nets.domains import InDomain
from pisolve.nets.e2e_varnet import VNU, E2EVarNet, SensitivityModel
from pisolve.nets.fastmri_unet import FastMRIUNet, ZeroFilledUNet
from pisolve.nets.filters import FilterBank
from pisolve.nets.gradient_step import GradientStep
from pisolve.nets.grappanet import GrappaNet
from pisolve.nets.humus import HUMUSBlock
from pisolve.nets.informed import Informed
from pisolve.nets.lipschitz import AveragedDnCNN
from pisolve.nets.nafnet import NAFNet
from pisolve.nets.postprocess import Postprocessor
from pisolve.nets.published import IRCNN, DRUNet, FFDNet
from pisolve.nets.rim import RIM
from pisolve.nets.swin import SwinMR
from pisolve.nets.t2net import T2Net
from pisolve.nets.unet import UNet
from pisolve.nets.unrolled import Unrolled
from pisolve.nets.vit import ViT
from pisolve.nets.xpdnet import MWCNN, XPDNet

ARCHITECTURES = {
    "UNet": UNet,
    "DnCNN": DnCNN,
    "IRCNN": IRCNN,
    "FFDNet": FFDNet,
    "DRUNet": DRUNet,
    "GradientStep": GradientStep,
    "AveragedDnCNN": AveragedDnCNN,
    "FilterBank": FilterBank,
    "Unrolled": Unrolled,
    "Informed": Informed,
    "FastMRIUNet": FastMRIUNet,
    "ZeroFilledUNet": ZeroFilledUNet,
    "E2EVarNet": E2EVarNet,
    "VNU": VNU,
    "ConvDecoder": ConvDecoder,
    "DeepDecoder": DeepDecoder,
    "DIP": DIP,
    "InDomain": InDomain,
    "Postprocessor": Postprocessor,
    "SwinMR": SwinMR,
    "ViT": ViT,
    "AUTOMAP": AUTOMAP,
    "GrappaNet": GrappaNet,
    "RIM": RIM,
    "XPDNet": XPDNet,
    "MWCNN": MWCNN,
    "Adversarial": Adversarial,
    "Critic": Critic,
    "SensitivityModel": SensitivityModel,
    "DeepSENSE": DeepSENSE,
    "DIMENSION": DIMENSION,
    "NAFNet": NAFNet,
    "T2Net": T2Net,
    "HUMUSBlock": HUMUSBlock,
}
