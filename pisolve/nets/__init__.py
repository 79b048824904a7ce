"""Trained networks and the modules they are made of; the only room that imports torch at the top."""

from pisolve._hints import missing
from pisolve.nets import losses
from pisolve.nets.blocks import DnCNN, ResBlock
from pisolve.nets.consistency import DataConsistency
from pisolve.nets.datasets import FastMRI, Scans, Simulated, lines
from pisolve.nets.decoders import DIP, ConvDecoder, DeepDecoder
from pisolve.nets.denoising import Denoising
from pisolve.nets.dither import DisplayOnly, dither
from pisolve.nets.e2e_varnet import VNU, E2EVarNet
from pisolve.nets.fastmri_unet import FastMRIUNet, ZeroFilledUNet, kspace_correction
from pisolve.nets.filters import FilterBank
from pisolve.nets.gradient_step import GradientStep, curvature
from pisolve.nets.lipschitz import AveragedDnCNN
from pisolve.nets.measure import equivariance
from pisolve.nets.published import IRCNN, DRUNet, FFDNet
from pisolve.nets.reconstruction import SSDU, ReconstructionTask
from pisolve.nets.run import Training
from pisolve.nets.simulate import Simulation, simulate
from pisolve.nets.slices import Slices, collate
from pisolve.nets.store import available, build, card, load, rounded, save
from pisolve.nets.train import train
from pisolve.nets.unet import UNet
from pisolve.nets.unrolled import Unrolled
from pisolve.nets.variants import admm_net, cascade, modl, primal_dual, varnet

__all__ = ["DIP", "IRCNN", "SSDU", "VNU", "AveragedDnCNN", "ConvDecoder", "DRUNet", "DataConsistency", "DeepDecoder",
           "Denoising", "DisplayOnly", "DnCNN", "E2EVarNet", "FFDNet", "FastMRI", "FastMRIUNet", "FilterBank",
           "GradientStep", "ReconstructionTask", "ResBlock", "Scans", "Simulated", "Simulation", "Slices", "Training",
           "UNet", "Unrolled", "ZeroFilledUNet", "admm_net", "available", "build", "card", "cascade", "collate",
           "curvature", "dither", "equivariance", "kspace_correction", "lines", "load", "losses", "modl", "primal_dual",
           "rounded", "save", "simulate", "train", "varnet"]


def __getattr__(name):
    if name == "Reconstruction":
        raise AttributeError("pisolve.nets.Reconstruction is called ReconstructionTask now")
    raise AttributeError(missing("pisolve.nets", name, __all__))
