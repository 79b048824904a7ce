"""All networks in one list: what each is, its paper, its parameters there, what it needs, and what of it ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from pisolve import _check
from pisolve._words import NETWORKS
from pisolve.nets.adversarial import dagan, pic_gan, refine_gan
from pisolve.nets.automap import AUTOMAP
from pisolve.nets.blocks import DnCNN
from pisolve.nets.decoders import DIP, ConvDecoder, DeepDecoder
from pisolve.nets.deepsense import DeepSENSE
from pisolve.nets.dimension import DIMENSION
from pisolve.nets.domains import residual_cnn
from pisolve.nets.e2e_varnet import VNU, E2EVarNet, SensitivityModel
from pisolve.nets.fastmri_unet import ZeroFilledUNet
from pisolve.nets.gradient_step import GradientStep
from pisolve.nets.grappanet import GrappaNet
from pisolve.nets.informed import Informed
from pisolve.nets.lipschitz import AveragedDnCNN
from pisolve.nets.nafnet import NAFNet
from pisolve.nets.postprocess import Postprocessor
from pisolve.nets.published import IRCNN, DRUNet, FFDNet
from pisolve.nets.rim import RIM
from pisolve.nets.swin import SwinMR
from pisolve.nets.t2net import T2Net
from pisolve.nets.unet import UNet
from pisolve.nets.variants import admm_net, cascade, humus, kiki, modl, primal_dual, varnet
from pisolve.nets.vit import ViT
from pisolve.nets.xpdnet import XPDNet

MAPS, PLAIN, IMAGE, LINES = "coil maps", "k-space, mask", "images", "k-space, mask of lines"


@dataclass(frozen=True)
class Entry:
    """A network of the list.

    Attributes:
        name: what it is called.
        call: how it is made, in the settings of its paper or the nearest ones.
        kind: one of `pisolve._words.NETWORKS`.
        needs: what it is called with: images, coil maps, k-space and mask; a fixed size.
        paper: first author and year.
        make: makes it.
        ships: names of `nets.available()` that are of it.
    """

    name: str
    call: str
    kind: str
    needs: str
    paper: str
    make: Callable[..., Any]
    ships: tuple[str, ...] = ()

    @cached_property
    def parameters(self) -> int:
        """The number of parameters of `call`, counted on a network without memory."""
        with torch.random.fork_rng(devices=[]):
            try:
                with torch.device("meta"):
                    network = self.make()
            except (RuntimeError, ValueError):  # its constructor looks at its numbers: such ones are small
                network = self.make()
        return sum(p.numel() for p in network.parameters())

    def row(self) -> dict[str, Any]:
        """The columns of a table, as text."""
        return {"network": self.name, "kind": self.kind, "call": self.call, "parameters": f"{self.parameters:,}",
                "needs": self.needs, "ships": ", ".join(self.ships), "paper": self.paper}


def _unrolled(name, make, paper, ships=()):
    return Entry(name, f"{make.__name__}()", "unrolled", MAPS, paper, make, ships)


_ENTRIES = (
    Entry("UNet", "UNet()", "denoiser", IMAGE, "Zhang 2022 (DRUNet), smaller", UNet,
          ("denoiser-brain", "denoiser-fast")),
    Entry("DnCNN", "DnCNN()", "denoiser", IMAGE, "Zhang 2017", DnCNN),
    Entry("IRCNN", "IRCNN()", "denoiser", IMAGE, "Zhang 2017", IRCNN),
    Entry("FFDNet", "FFDNet()", "denoiser", IMAGE, "Zhang 2018", FFDNet),
    Entry("DRUNet", "DRUNet()", "denoiser", IMAGE, "Zhang 2022", DRUNet),
    Entry("NAFNet", "NAFNet()", "denoiser", IMAGE, "Chen 2022, smaller", NAFNet),
    Entry("Gradient step", "GradientStep(UNet(activation='elu'))", "denoiser", IMAGE, "Hurault 2022",
          lambda: GradientStep(UNet(activation="elu")), ("denoiser-gradient",)),
    Entry("Averaged DnCNN", "AveragedDnCNN()", "denoiser", IMAGE, "Ryu 2019", AveragedDnCNN),
    _unrolled("MoDL", modl, "Aggarwal 2019", ("modl-brain",)),
    _unrolled("VarNet", varnet, "Hammernik 2018", ("varnet-brain",)),
    Entry("Informed", "Informed(UNet())", "unrolled", "coil maps, the noise", "Zhang 2022 (DPIR), told the noise",
          lambda: Informed(UNet()), ("informed-brain",)),
    _unrolled("Deep cascade", cascade, "Schlemper 2018"),
    _unrolled("ADMM-Net", admm_net, "Yang 2020"),
    _unrolled("Primal-dual", primal_dual, "Adler 2018"),
    _unrolled("KIKI-net", kiki, "Eo 2018"),
    _unrolled("RIM", RIM, "Lonning 2019"),
    Entry("CIRIM", "RIM(cascades=5, cell='indrnn')", "unrolled", MAPS, "Karkalousos 2022",
          lambda: RIM(cascades=5, cell="indrnn")),
    _unrolled("HUMUS-Net", humus, "Fabian 2022, smaller"),
    _unrolled("DIMENSION", DIMENSION, "Wang 2022, sizes ours"),
    Entry("XPDNet", "XPDNet(25)", "unrolled", MAPS, "Ramzi 2020, smaller CNN", lambda: XPDNet(25)),
    _unrolled("VNU", VNU, "Sriram 2020"),
    Entry("E2E-VarNet", "E2EVarNet()", "unrolled", PLAIN, "Sriram 2020", E2EVarNet),
    Entry("U-Net", "ZeroFilledUNet()", "image", PLAIN, "Zbontar 2018", ZeroFilledUNet),
    Entry("Hyun's U-Net", "ZeroFilledUNet(correction=True)", "image", PLAIN, "Hyun 2018",
          lambda: ZeroFilledUNet(correction=True)),
    *(Entry(f"Residual CNN, {domain}", f"Postprocessor(residual_cnn({domain!r}))", "image", MAPS, paper,
            lambda domain=domain: Postprocessor(residual_cnn(domain)))
      for domain, paper in (("image", "Wang 2016"), ("magnitude-phase", "Lee 2018"), ("kspace", "Han 2020"),
                            ("xt", "Kofler 2020"))),
    Entry("SwinMR", "Postprocessor(SwinMR())", "image", MAPS, "Huang 2022", lambda: Postprocessor(SwinMR())),
    Entry("ViT", "Postprocessor(ViT())", "image", MAPS, "Lin 2022", lambda: Postprocessor(ViT())),
    Entry("T2Net", "Postprocessor(T2Net())", "image", MAPS, "Feng 2021", lambda: Postprocessor(T2Net())),
    Entry("GrappaNet", "GrappaNet(coils=15)", "k-space", LINES, "Sriram 2020", lambda: GrappaNet(coils=15)),
    Entry("GrappaNet, RAKI", "GrappaNet(coils=15, fill='raki')", "k-space", LINES, "Akcakaya 2019 as a layer",
          lambda: GrappaNet(coils=15, fill="raki")),
    Entry("AUTOMAP", "AUTOMAP((128, 128))", "k-space", f"{PLAIN}; one size", "Zhu 2018", lambda: AUTOMAP((128, 128))),
    Entry("DAGAN", "dagan()", "adversarial", PLAIN, "Yang 2018", dagan),
    Entry("RefineGAN", "refine_gan()", "adversarial", MAPS, "Quan 2018", refine_gan),
    Entry("PIC-GAN, GANCS", "pic_gan()", "adversarial", MAPS, "Lv 2021, Mardani 2019", pic_gan),
    Entry("ConvDecoder", "ConvDecoder()", "untrained", "one scan", "Darestani 2021", ConvDecoder),
    Entry("Deep Decoder", "DeepDecoder()", "untrained", "one scan", "Heckel 2019", DeepDecoder),
    Entry("DIP", "DIP()", "untrained", "one scan", "Ulyanov 2018", DIP),
    Entry("DeepSENSE", "DeepSENSE()", "calibration", PLAIN, "Peng 2022, smaller", DeepSENSE),
    Entry("SME", "SensitivityModel()", "calibration", PLAIN, "Sriram 2020", SensitivityModel),
)


def networks(kind: str | None = None) -> list[Entry]:
    """The networks, of one kind or all of them, see `Entry`; `print(pi.nets.networks()[0].row())`.

    Raises:
        ValueError: no such kind.
    """
    _check.choice("kind", kind, (None, *NETWORKS))
    return [entry for entry in _ENTRIES if kind in (None, entry.kind)]


def listed(kind: str | None = None) -> str:
    """The list as text in columns, what `pisolve networks` prints."""
    rows = [entry.row() for entry in networks(kind)]
    wide = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    right = {"parameters"}
    lines = [{name: name for name in wide}, *rows]
    return "\n".join("  ".join(line[n].rjust(w) if n in right else line[n].ljust(w) for n, w in wide.items()).rstrip()
                     for line in lines)
