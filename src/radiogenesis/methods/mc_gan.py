"""MC-GAN: one image out of a base image and a condition (Park et al. 2018), the "Baseline" of Xu et al. (2020).

METHODS.md section 2. The condition is the patient's genes instead of a sentence; images have one channel instead of
three. The mask is +1 in the lesion and -1 outside for the paper's networks (tanh), in [0, 1] for the rest of the
house: the discriminator is given 2 m - 1, of real (softened) and of drawn masks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radiogenesis.methods import losses
from radiogenesis.methods.checks import require
from radiogenesis.methods.drawing import genes_to, in_chunks, require_pairs
from radiogenesis.methods.images import background_region, images_from_hu, to_hu
from radiogenesis.methods.noise import seeded_normals
from radiogenesis.methods.protocols import Batch, LossRecord, Player, Synthesis
from radiogenesis.networks.discriminator import ThreeHeadDiscriminator
from radiogenesis.networks.fusion import Drawing
from radiogenesis.networks.mc_gan import ConditioningAugmentation, MCGANGenerator, initialise


@dataclass(frozen=True, kw_only=True)
class MCGANSettings:
    """Settings of MC-GAN; the defaults are the preset `default`: as published, but narrower and shorter."""

    steps: int = 1000
    """Training steps; the paper preset counts epochs instead (see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (1500 in the authors' code)."""
    batch: int = 32
    """Slices per step (the authors' code)."""
    width: int = 16
    """Generator's channels at full resolution (64 in the paper preset, the authors' code)."""
    discriminator_width: int = 32
    """Discriminator's channels after its first convolution (64 in the paper preset, the authors' code)."""
    code: int = 128
    """Length of the conditioning code (METHODS.md section 2)."""
    noise: int = 100
    """Length of the noise vector z (METHODS.md section 2)."""
    weight_kl: float = 2.0
    """Weight of the divergence of the conditioning code from a standard normal (METHODS.md section 2)."""
    weight_i: float = 2.0
    """Weight of the terms of D_I (the authors' code)."""
    weight_is: float = 1.0
    """Weight of the terms of D_IS (the authors' code)."""
    weight_isg: float = 2.0
    """Weight of the terms of the head that also reads the condition (the authors' code)."""
    lambda_background: float = 15.0
    """Weight of the background's L1 (METHODS.md section 2)."""
    erosion: int = 5
    """Side, in pixels, of the square that the region outside the drawn mask is eroded by, odd (the authors' code)."""
    learning_rate: float = 2e-4
    """Of the generator's Adam (METHODS.md section 2)."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's Adam (METHODS.md section 2)."""
    beta1: float = 0.5
    """First beta of Adam (the authors' code); the second is 0.999."""
    average: float = 0.999
    """Decay of the generator's moving average per step, whose images are the ones drawn (METHODS.md section 2)."""

    def __post_init__(self) -> None:
        sizes = ("steps", "width", "discriminator_width", "code", "noise")
        require(self, sizes, "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        require(self, ("erosion",), "odd and at least 1", lambda v: v >= 1 and v % 2 == 1)
        require(self, ("beta1", "average"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("learning_rate", "discriminator_learning_rate"), "above 0", lambda v: v > 0)
        weights = ("weight_kl", "weight_i", "weight_is", "weight_isg", "lambda_background")
        require(self, weights, "at least 0", lambda v: v >= 0)


PAPER: dict[str, Any] = {"epochs": 1500, "width": 64, "discriminator_width": 64}
"""The preset `paper`: the authors' configuration for 128 x 128 pixels."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER}


def loss_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = -1/2 (1 + log sigma^2 - mu^2 - sigma^2), the mean over batch and code."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def signed(mask: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], as the paper's networks have it."""
    return 2 * mask - 1


class MCGANPart(nn.Module):
    """Conditioning augmentation and generator: what is averaged over the steps, and all that drawing needs."""

    def __init__(self, settings: MCGANSettings, *, genes: int, pixels: int) -> None:
        super().__init__()
        self.condition = ConditioningAugmentation(genes, settings.code)
        self.generator = MCGANGenerator(pixels=pixels, start=settings.code + settings.noise, width=settings.width)

    def forward(self, background: Tensor, mean: Tensor, log_variance: Tensor, normals: Tensor) -> Drawing:
        """Background (B, 1, P, P), moments (B, K), standard normals (B, K + Z) -> the drawing.

        The first K normals draw the code, c = mu + sigma * epsilon; the other Z are the noise.
        """
        epsilon, z = normals.split([mean.shape[1], normals.shape[1] - mean.shape[1]], dim=1)
        c = mean + (0.5 * log_variance).exp() * epsilon
        drawn: Drawing = self.generator(background, torch.cat([c, z], dim=1))
        return drawn


@dataclass(frozen=True)
class Step:
    """What discriminator and generator share in one training step."""

    batch: Batch
    mean: Tensor
    log_variance: Tensor
    drawn: Drawing


class MCGAN(nn.Module):
    """MC-GAN with its losses (Park et al. 2018). Implements Trainable, Synthesizer and GeneEncoder.

    Args:
        settings: see MCGANSettings.
        genes: number of genes.
        pixels: side of the images, a power of two of at least 32.
    """

    def __init__(self, settings: MCGANSettings, *, genes: int, pixels: int) -> None:
        super().__init__()
        self.settings, self.pixels = settings, pixels
        self.part = MCGANPart(settings, genes=genes, pixels=pixels)
        self.discriminator = ThreeHeadDiscriminator(
            pixels=pixels, code=settings.code, width=settings.discriminator_width, growth=8, side=pixels // 16
        )
        initialise(self)

    # Training

    views = 1

    def averaged(self) -> nn.Module:
        return self.part

    def players(self) -> Sequence[Player]:
        s = self.settings
        betas = (s.beta1, 0.999)
        d_parameters = list(self.discriminator.parameters())
        return (
            Player("discriminator", d_parameters, self.discriminator_loss, s.discriminator_learning_rate, betas),
            Player("generator", list(self.part.parameters()), self.generator_loss, s.learning_rate, betas),
        )

    def prepare(self, batch: Batch) -> Step:
        """Draw once for both players."""
        mean, log_variance = self.part.condition(batch.g)
        normals = torch.randn(len(mean), self.settings.code + self.settings.noise, device=mean.device)
        return Step(batch, mean, log_variance, self.part(batch.background, mean, log_variance, normals))

    def discriminator_loss(self, step: Step) -> LossRecord:
        """L_DI + L_DIS + L_DISG, each head's terms weighted alike; the condition is read as its mean mu, detached.

        The authors mismatch the condition by showing another sample's image and mask with it; here another patient's
        genes are shown with this image and mask, which is the same pair the other way round. Each head has one real
        term, as in METHODS.md section 2; the authors' code adds up a loss for each kind of pair with the real terms of
        each, so that there D_I has three real terms per step to one drawn one.
        """
        s, b, d = self.settings, step.batch, self.discriminator
        with torch.no_grad():
            wrong_mean, _ = self.part.condition(b.wrong_g)
        mean, drawn_x = step.mean.detach(), step.drawn.image.detach()
        real, wrong_m = d.pair(b.x, signed(b.m)), d.pair(b.x, signed(b.wrong_m))
        drawn = d.pair(drawn_x, signed(step.drawn.mask.detach()))
        l_di = losses.loss_d_i(d.d_i(b.x), d.d_i(drawn_x))
        l_dis = losses.loss_d_is(d.d_is(real), d.d_is(wrong_m), d.d_is(drawn))
        l_disg = losses.loss_d_isg(
            d.d_isg(real, mean), d.d_isg(wrong_m, mean), d.d_isg(real, wrong_mean), d.d_isg(drawn, mean)
        )
        total = s.weight_i * l_di + s.weight_is * l_dis + s.weight_isg * l_disg
        return LossRecord(total, {"L_DI": l_di.detach(), "L_DIS": l_dis.detach(), "L_DISG": l_disg.detach()})

    def generator_loss(self, step: Step) -> LossRecord:
        """The three heads, the background's L1 and the KL term.

        Here mu is not detached (as in the authors' code): the head that reads it also teaches the condition. The
        background's region is a decision, not a weight: outside the mask cut at 0, eroded, without a gradient.
        """
        s, b, d, drawn = self.settings, step.batch, self.discriminator, step.drawn
        pair = d.pair(drawn.image, signed(drawn.mask))
        region = background_region((drawn.mask.detach() >= 0.5).float(), s.erosion)
        terms = {
            "D_I": losses.to_one(d.d_i(drawn.image)) * s.weight_i,
            "D_IS": losses.to_one(d.d_is(pair)) * s.weight_is,
            "D_ISG": losses.to_one(d.d_isg(pair, step.mean)) * s.weight_isg,
            "background": losses.loss_background(drawn.image, b.background, region) * s.lambda_background,
            "KL": loss_kl(step.mean, step.log_variance) * s.weight_kl,
        }
        total = torch.stack(list(terms.values())).sum()
        return LossRecord(total, {name: term.detach() for name, term in terms.items()})

    # Use

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B drawn lesions. The same seed draws the same.

        The conditioning code is drawn too, as in the authors' code, so the seed decides on it and on the noise.
        """
        require_pairs(backgrounds, expression)
        device = next(self.parameters()).device
        numbers = self.settings.code + self.settings.noise

        def draw(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            g = genes_to(device, expression[rows])
            normals = seeded_normals(numbers, first=rows.start, count=len(g), seed=seed).to(device)
            drawn = self.part(images_from_hu(backgrounds[rows]).to(device), *self.part.condition(g), normals)
            return to_hu(drawn.image), drawn.mask, drawn.weight

        image, mask, weight = in_chunks(self, len(backgrounds), draw)
        return Synthesis(image, mask, weight, np.asarray(backgrounds, np.float32), seed)

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> the mean mu of the conditioning code (B, K), figure 4 of Xu et al. (2020)."""
        self.eval()
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(next(self.parameters()).device)
        mean: Tensor = self.part.condition(g)[0]
        return mean.cpu().numpy()
