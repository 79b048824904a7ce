"""Trained networks and the modules they are made of; the only room that imports torch at the top."""

from pisolve._former import old_word
from pisolve._hints import missing
from pisolve.nets import losses
from pisolve.nets.adversarial import Adversarial, AdversarialTask, Critic, adversarial, dagan, pic_gan, refine_gan
from pisolve.nets.automap import AUTOMAP
from pisolve.nets.blocks import DnCNN, ResBlock
from pisolve.nets.catalogue import networks
from pisolve.nets.consistency import DataConsistency
from pisolve.nets.datasets import FastMRI, Scans, Simulated, lines
from pisolve.nets.decoders import DIP, ConvDecoder, DeepDecoder
from pisolve.nets.deepsense import DeepSENSE, MapsTask
from pisolve.nets.denoising import Denoising
from pisolve.nets.dimension import DIMENSION
from pisolve.nets.dither import DisplayOnly, dither
from pisolve.nets.domains import InDomain, residual_cnn
from pisolve.nets.e2e_varnet import VNU, E2EVarNet, SensitivityModel
from pisolve.nets.fastmri_unet import FastMRIUNet, ZeroFilledUNet, kspace_correction
from pisolve.nets.federated import Federation, Site, federate
from pisolve.nets.filters import FilterBank
from pisolve.nets.foreign import foreign
from pisolve.nets.gradient_step import GradientStep, curvature
from pisolve.nets.grappanet import GrappaNet, RakiLayer
from pisolve.nets.harmonise import harmonise, statistics
from pisolve.nets.humus import HUMUSBlock
from pisolve.nets.informed import Informed
from pisolve.nets.learned_maps import LearnedMaps
from pisolve.nets.lipschitz import AveragedDnCNN
from pisolve.nets.measure import equivariance
from pisolve.nets.nafnet import NAFNet
from pisolve.nets.perceptual import Perceptual
from pisolve.nets.postprocess import Postprocessor
from pisolve.nets.published import IRCNN, DRUNet, FFDNet
from pisolve.nets.reconstruction import SSDU, ReconstructionTask
from pisolve.nets.rim import RIM
from pisolve.nets.rollout import rollout
from pisolve.nets.run import Training
from pisolve.nets.series import Movies, series
from pisolve.nets.simulate import Simulation, simulate
from pisolve.nets.slices import Slices, collate
from pisolve.nets.store import available, build, card, load, rounded, save
from pisolve.nets.swin import SwinMR
from pisolve.nets.t2net import T2Net
from pisolve.nets.tiled import Tiled, Tiling
from pisolve.nets.train import train
from pisolve.nets.unet import UNet
from pisolve.nets.unrolled import Unrolled
from pisolve.nets.unsupervised import DualDomainCycle, EquivariantImaging, Noise2Recon
from pisolve.nets.variants import admm_net, cascade, humus, kiki, modl, primal_dual, varnet
from pisolve.nets.vit import ViT
from pisolve.nets.xpdnet import MWCNN, XPDNet

__all__ = ["AUTOMAP", "DIMENSION", "DIP", "IRCNN", "MWCNN", "RIM", "SSDU", "VNU", "Adversarial", "AdversarialTask",
           "AveragedDnCNN", "ConvDecoder", "Critic", "DRUNet", "DataConsistency", "DeepDecoder", "DeepSENSE",
           "Denoising", "DisplayOnly", "DnCNN", "DualDomainCycle", "E2EVarNet", "EquivariantImaging", "FFDNet",
           "FastMRI", "FastMRIUNet", "Federation", "FilterBank", "GradientStep", "GrappaNet", "HUMUSBlock", "InDomain",
           "Informed", "LearnedMaps", "MapsTask", "Movies", "NAFNet", "Noise2Recon", "Perceptual", "Postprocessor",
           "RakiLayer", "ReconstructionTask", "ResBlock", "Scans", "SensitivityModel", "Simulated", "Simulation",
           "Site", "Slices", "SwinMR", "T2Net", "Tiled", "Tiling", "Training", "UNet", "Unrolled", "ViT", "XPDNet",
           "ZeroFilledUNet", "admm_net", "adversarial", "available", "build", "card", "cascade", "collate", "curvature",
           "dagan", "dither", "equivariance", "federate", "foreign", "harmonise", "humus", "kiki", "kspace_correction",
           "lines", "load", "losses", "modl", "networks", "pic_gan", "primal_dual", "refine_gan", "residual_cnn",
           "rollout", "rounded", "save", "series", "simulate", "statistics", "train", "varnet"]


def __getattr__(name):
    if name == "Reconstruction":
        old_word(AttributeError, "pisolve.nets.Reconstruction", "ReconstructionTask")
        return ReconstructionTask
    raise AttributeError(missing("pisolve.nets", name, __all__))
