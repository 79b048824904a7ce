"""Trained networks and the modules they are made of; the only room that imports torch at the top."""

from pisolve.nets.blocks import DnCNN, ResBlock
from pisolve.nets.store import available, card, load, save
from pisolve.nets.unet import UNet

__all__ = ["DnCNN", "ResBlock", "UNet", "available", "card", "load", "save"]
