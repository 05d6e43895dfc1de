"""The metagene GAN: noise and a patient's metagenes to a tumor region (Li, Sui et al., section III.D).

METHODS.md section 3, stage 3. What it draws is the loose tumor region: the tumor in the middle of its surroundings,
both drawn. It is given no background and keeps none, so fidelity to a background is not a measure of it.

The paper's network draws an image and no mask. Where a mask is needed, `mask="threshold"` finds the lesion in the
image (`lesion_in_the_middle`); with `mask="drawn"` (the default, beyond the paper) generator and discriminator have
the mask as a second channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.methods.checks import require
from radiogenesis.methods.drawing import genes_to, in_chunks, require_pairs
from radiogenesis.methods.images import to_hu
from radiogenesis.methods.noise import Noise
from radiogenesis.methods.protocols import Batch, LossRecord, Player, Synthesis
from radiogenesis.methods.regions import loose_regions
from radiogenesis.networks.discriminator import Norm
from radiogenesis.networks.metagene_gan import MetageneLayer, Region, RegionDiscriminator, RegionGenerator
from radiogenesis.phenotypes.morphology import blur, distance, fill_holes, flood, quantile

AIR_HU = -1000.0  # beyond the region's border


@dataclass(frozen=True, kw_only=True)
class MetageneGANSettings:
    """Settings of the metagene GAN; the defaults are the preset `default`."""

    steps: int = 1500
    """Training steps; the paper preset counts epochs instead (20,000, see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (20,000 in Li, Sui et al.)."""
    batch: int = 32
    """Slices per step (open in the paper)."""
    region_pixels: int = 64
    """Side of the drawn region, a power of two (the paper preset: 128, its loose tumor region)."""
    metagenes: int = 100
    """Clusters of genes, fitted on the training patients (100 in Li, Sui et al., section IV)."""
    clustering: Literal["kmeans", "hierarchical"] = "kmeans"
    """How genes are clustered (open in the paper)."""
    noise: int = 100
    """Length of the noise vector z (100 in Li, Sui et al., figure 4)."""
    spatial_noise: bool = True
    """Add one noise map per block, with a learned strength (beyond the paper; false in the paper preset)."""
    mask: Literal["drawn", "threshold"] = "drawn"
    """Where the lesion's mask comes from: a second channel of generator and discriminator (beyond the paper), or a
    threshold in the drawn image (the paper draws no mask)."""
    width: int = 16
    """Generator's channels at full resolution (open in the paper)."""
    discriminator_width: int = 32
    """Discriminator's channels after its first convolution (open in the paper)."""
    discriminator_norm: Norm = "batch"
    """Normalization in the discriminator: batch (as published networks of that time), or spectral (beyond them)."""
    mismatch: float = 1.0
    """Weight of a third term of D: a real region with another patient's metagenes is not a pair (beyond the paper; 0 in
    the paper preset). Without it nothing but the pairing itself makes D look at the metagenes."""
    generator_objective: Literal["non_saturating", "minimax"] = "non_saturating"
    """What the generator minimizes: -E log D (Goodfellow et al. 2014, beyond the paper), or E log(1 - D), whose
    gradient vanishes where D is sure (equation 2 of the paper, and its preset)."""
    metagene_dropout: float = 0.2
    """Share of the metagenes set to zero while training, 0 to 1: else the few training patients are overfitted
    (beyond the paper; 0 in the paper preset)."""
    learning_rate: float = 1e-3
    """Of the generator's Adam (Li, Sui et al., section III.D)."""
    discriminator_learning_rate: float = 1e-3
    """Of the discriminator's Adam (Li, Sui et al., section III.D)."""
    beta1: float = 0.5
    """First beta of Adam (Adam's own 0.9 in the paper preset); the second is 0.999."""
    average: float = 0.998
    """Decay of the generator's moving average per step, whose regions are the ones drawn; 0 for none (the paper)."""

    def __post_init__(self) -> None:
        least_1 = ("steps", "metagenes", "noise", "width", "discriminator_width")
        require(self, least_1, "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        require(self, ("region_pixels",), "a power of two of at least 16", lambda v: v >= 16 and not v & (v - 1))
        require(self, ("mismatch",), "at least 0", lambda v: v >= 0)
        require(self, ("metagene_dropout", "beta1", "average"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("learning_rate", "discriminator_learning_rate"), "above 0", lambda v: v > 0)


PAPER: dict[str, Any] = {
    "epochs": 20000,
    "region_pixels": 128,
    "spatial_noise": False,
    "mask": "threshold",
    "width": 32,
    "discriminator_width": 64,
    "mismatch": 0.0,
    "generator_objective": "minimax",
    "metagene_dropout": 0.0,
    "beta1": 0.9,
    "average": 0.0,
}
"""The preset `paper`: METHODS.md section 3, stage 3, as it is written, on the LTR of 128 x 128 pixels (section III.B of
the paper). The registry adds the split of 8 : 2 and slices as they are, in epochs. The region is the whole slice: for
one as wide as the paper's build the cohort as for the preset `paper` of `gene_autoencoder`."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER}


def loss_real(logit: Tensor) -> Tensor:
    """-E log D: binary cross-entropy of what should be called real."""
    return F.binary_cross_entropy_with_logits(logit, torch.ones_like(logit))


def loss_not_real(logit: Tensor) -> Tensor:
    """-E log(1 - D): binary cross-entropy of what should not be called real."""
    return F.binary_cross_entropy_with_logits(logit, torch.zeros_like(logit))


def loss_d(real: Tensor, drawn: Tensor) -> Tensor:
    """-E log D(X | Y) - E log(1 - D(G(z | Y) | Y))   (Li, Sui et al., equation 2)."""
    return loss_real(real) + loss_not_real(drawn)


def loss_g(drawn: Tensor) -> Tensor:
    """-E log D(G(z | Y) | Y): the form of equation 2's second term whose gradient does not vanish where D is sure
    (Goodfellow et al. 2014)."""
    return loss_real(drawn)


def loss_g_minimax(drawn: Tensor) -> Tensor:
    """E log(1 - D(G(z | Y) | Y))   (Li, Sui et al., equation 2)."""
    return -loss_not_real(drawn)


@dataclass(frozen=True)
class Step:
    """What both players share: real and drawn regions (B, C, R, R), Y and another patient's Y' (B, K)."""

    real: Tensor
    drawn: Tensor
    y: Tensor
    wrong_y: Tensor


class MetageneGAN(nn.Module):
    """The conditional GAN with its losses (Li, Sui et al.). Implements Trainable, Synthesizer and GeneEncoder.

    Args:
        settings: see MetageneGANSettings.
        genes: number of genes.
        pixels: side of the cohort's slices, which is the side of what `synthesize` returns.
    """

    views = 1
    keeps_background = False
    """It draws the lesion's surroundings too: what is drawn is not to be compared with the background it was given."""

    def __init__(self, settings: MetageneGANSettings, *, genes: int, pixels: int) -> None:
        super().__init__()
        if settings.metagenes > genes:
            raise ValueError(f"metagenes must be at most the number of genes, {genes}, not {settings.metagenes}")
        s = self.settings = settings
        self.pixels = pixels
        self.metagenes = MetageneLayer(genes, s.metagenes)
        drawn = s.mask == "drawn"
        self.generator = RegionGenerator(
            pixels=s.region_pixels, noise=s.noise, metagenes=s.metagenes, width=s.width, mask=drawn,
            spatial_noise=s.spatial_noise,
        )  # fmt: skip
        self.discriminator = RegionDiscriminator(
            channels=2 if drawn else 1, pixels=s.region_pixels, metagenes=s.metagenes, width=s.discriminator_width,
            norm=s.discriminator_norm,
        )  # fmt: skip

    # Training

    def players(self) -> Sequence[Player]:
        s = self.settings
        betas, d = (s.beta1, 0.999), list(self.discriminator.parameters())
        return (
            Player("discriminator", d, self.discriminator_loss, s.discriminator_learning_rate, betas),
            Player("generator", list(self.generator.parameters()), self.generator_loss, s.learning_rate, betas),
        )

    def averaged(self) -> nn.Module:
        return self.generator

    @property
    def noise_sides(self) -> Sequence[int]:
        """Sides of the spatial noise maps, none where there are none."""
        return self.generator.sides if self.settings.spatial_noise else ()

    def prepare(self, batch: Batch) -> Step:
        """Cut the real regions and draw as many for the same patients."""
        s = self.settings
        image, mask = loose_regions(batch.x, batch.m, s.region_pixels)
        y, wrong_y = (F.dropout(self.metagenes(g), s.metagene_dropout) for g in (batch.g, batch.wrong_g))
        noise = Noise.drawn(len(y), s.noise, self.noise_sides, y.device)
        drawn = self.generator(noise.vector, y, noise.maps)
        real = Region(image, mask if s.mask == "drawn" else None)
        return Step(channels(real), channels(drawn), y, wrong_y)

    def discriminator_loss(self, step: Step) -> LossRecord:
        """Equation 2, and what the settings add."""
        d = self.discriminator
        terms = {"L_D": loss_d(d(step.real, step.y), d(step.drawn.detach(), step.y))}
        total = terms["L_D"]
        if self.settings.mismatch:
            terms["L_mismatch"] = loss_not_real(d(step.real, step.wrong_y))
            total = total + self.settings.mismatch * terms["L_mismatch"]
        return LossRecord(total, {name: term.detach() for name, term in terms.items()})

    def generator_loss(self, step: Step) -> LossRecord:
        """Equation 2, or its form that does not saturate."""
        objective = loss_g_minimax if self.settings.generator_objective == "minimax" else loss_g
        total = objective(self.discriminator(step.drawn, step.y))
        return LossRecord(total, {"L_G": total.detach()})

    # Use

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Scaled genes (B, G) -> B drawn regions of the slices' size. The same seed draws the same.

        The backgrounds (B, P, P) in HU only say how many and how large; the weight map is 1 everywhere, since nothing
        of them is kept.
        """
        require_pairs(backgrounds, expression)
        image, mask = self.regions(expression, seed=seed)
        return Synthesis(image, mask, np.ones_like(mask), np.asarray(backgrounds, np.float32), seed)

    def regions(
        self, expression: NDArray[np.floating[Any]], *, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scaled genes (B, G) -> images (B, P, P) in HU and masks (B, P, P) in [0, 1]."""
        device = self.metagenes.mean.device

        def draw(rows: slice) -> tuple[Tensor, Tensor]:
            return self.region(genes_to(device, expression[rows]), rows.start, seed)

        image, mask = in_chunks(self, len(expression), draw)
        return image, mask

    def region(self, g: Tensor, first: int, seed: int) -> tuple[Tensor, Tensor]:
        """Scaled genes (B, G) of the drawings from `first` on -> image in HU, mask in [0, 1], (B, 1, P, P) each.

        Differentiable in the genes, but for a mask by threshold.
        """
        n = self.settings.noise
        noise = Noise.seeded(n, self.noise_sides, first=first, count=len(g), seed=seed, device=g.device)
        drawn = self.generator(noise.vector, self.metagenes(g), noise.maps)
        hu = resized(to_hu(drawn.image), self.pixels)
        if drawn.mask is None:
            return hu, lesion_in_the_middle(hu[:, 0])[:, None]
        return hu, resized(drawn.mask, self.pixels)

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> standardized metagenes (B, K)."""
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(self.metagenes.mean.device)
        return self.metagenes(g).cpu().numpy()


def channels(region: Region) -> Tensor:
    """Image, and mask if there is one, as the discriminator reads them: (B, 1 or 2, R, R) in [-1, 1]."""
    return region.image if region.mask is None else torch.cat([region.image, 2 * region.mask - 1], dim=1)


def resized(x: Tensor, pixels: int) -> Tensor:
    """(B, 1, R, R) -> (B, 1, pixels, pixels)."""
    if x.shape[-1] == pixels:
        return x
    return F.interpolate(x, size=(pixels, pixels), mode="bilinear", antialias=x.shape[-1] > pixels)


def lesion_in_the_middle(hu: Tensor) -> Tensor:
    """The lesion in a region that has it in its middle: (B, P, P) HU -> (B, P, P) in 0 and 1.

    What lies above half-way between lung (the 20th percentile of the region) and the lesion's wall (the 80th within an
    eighth of the side around the middle: a cavity is darker), smoothed over one pixel, opened by a disc of a 32nd of
    the side so that vessels and the touching chest wall come off, connected to the middle, holes filled. Against the
    outlines of the largest slices of 60 phantom patients: median Dice 0.90, a quarter below 0.78, 13 % below 0.5, most
    of these at the chest wall.
    """
    side = hu.shape[-1]
    line = torch.arange(side, device=hu.device) - (side - 1) / 2
    middle = (torch.hypot(line[:, None], line[None, :]) <= side / 8).expand_as(hu)
    lung, wall = quantile(hu, torch.ones_like(middle), 0.2), quantile(hu, middle, 0.8)
    above = blur(hu - AIR_HU, 0.7) + AIR_HU > ((lung + wall) / 2)[:, None, None]
    radius = side / 32
    reach = math.ceil(radius) + 3
    core = distance(~above, reach) > radius
    core = flood(middle & core, core, diagonal=False)
    return fill_holes((distance(core, reach) <= radius + 1) & above).float()  # one more: a disc of pixels has corners
