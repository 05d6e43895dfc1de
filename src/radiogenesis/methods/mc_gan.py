"""MC-GAN: one image out of a base image and a condition (Park et al. 2018), the "Baseline" of Xu et al. (2020).

METHODS.md section 2. The condition is the patient's genes instead of a sentence; images have one channel instead of
three. The mask is +1 in the lesion and -1 outside for the paper's networks (tanh), in [0, 1] for the rest of the
house: the discriminator is given 2 m - 1, of real (softened) and of drawn masks alike.

The preset `additions` has what the fusion GAN has beyond its paper, each as a setting: what is left between the two is
the generator of Xu et al.
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
from radiogenesis.methods.alignment import Alignment
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.critic_terms import critic_terms
from radiogenesis.methods.drawing import genes_to, in_chunks, require_pairs
from radiogenesis.methods.images import background_region, images_from_hu, to_hu
from radiogenesis.methods.laying import laid
from radiogenesis.methods.mc_gan_settings import ADDITIONS, PAPER, PRESETS, MCGANSettings
from radiogenesis.methods.noise import Noise
from radiogenesis.methods.protocols import Batch, LossRecord, Player, Synthesis
from radiogenesis.networks.discriminator import ThreeHeadDiscriminator
from radiogenesis.networks.fusion import Drawing
from radiogenesis.networks.mapping import GeneMapping
from radiogenesis.networks.mc_gan import ConditioningAugmentation, MCGANGenerator, initialize

__all__ = ["ADDITIONS", "MCGAN", "PAPER", "PRESETS", "MCGANPart", "MCGANSettings", "Step", "loss_kl", "signed"]


def loss_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = -1/2 (1 + log sigma^2 - mu^2 - sigma^2), the mean over batch and code."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def signed(mask: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], as the paper's networks have it."""
    return 2 * mask - 1


class MCGANPart(nn.Module):
    """Conditioning augmentation and generator: what is averaged over the steps, and all that drawing needs.

    Args:
        settings: see MCGANSettings.
        genes: number of genes.
        pixels: side of the images.
        embedding: length of the alignment's code, 0 where the generator starts from the conditioning augmentation's.
    """

    def __init__(self, settings: MCGANSettings, *, genes: int, pixels: int, embedding: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.condition = None if embedding else ConditioningAugmentation(genes, settings.code)
        self.generator = MCGANGenerator(
            pixels=pixels,
            start=(embedding or settings.code) + settings.noise,
            width=settings.width,
            spatial_noise=settings.spatial_noise,
            central_mask=settings.central_mask,
        )

    def forward(self, background: Tensor, mean: Tensor, log_variance: Tensor | None, noise: Noise) -> Drawing:
        """Background (B, 1, P, P), moments (B, K), noise -> the drawing.

        The first K numbers of the noise draw the code, c = mu + sigma * epsilon; the other Z are the noise z. Without a
        variance mu itself is the code, and all numbers are z.
        """
        c, z = mean, noise.vector
        if log_variance is not None:
            epsilon, z = z.split([mean.shape[1], z.shape[1] - mean.shape[1]], dim=1)
            c = mean + (0.5 * log_variance).exp() * epsilon
        return self.laid(self.generator(background, torch.cat([c, z], dim=1), noise.maps), background)

    def laid(self, drawn: Drawing, background: Tensor) -> Drawing:
        """The drawing as the settings lay it into the background (beyond the paper)."""
        image, grown = laid(background, drawn.image, drawn.mask, self.settings)
        return Drawing(image, grown.mask, drawn.weight)

    @property
    def numbers(self) -> int:
        """Standard normal numbers in the noise vector of one drawing."""
        return self.settings.noise + (self.settings.code if self.condition is not None else 0)

    @property
    def noise_sides(self) -> Sequence[int]:
        """Sides of the spatial noise maps, none where there are none."""
        return self.generator.sides if self.settings.spatial_noise else ()


@dataclass(frozen=True)
class Step:
    """What discriminator and generator share in one training step; `log_variance` is None where no code is drawn."""

    batch: Batch
    mean: Tensor
    log_variance: Tensor | None
    drawn: Drawing


class MCGAN(nn.Module):
    """MC-GAN with its losses (Park et al. 2018). Implements Trainable, Synthesizer and GeneEncoder.

    Args:
        settings: see MCGANSettings.
        genes: number of genes.
        pixels: side of the images, a power of two of at least 32.
        alignment: a trained alignment, where `settings.needs_alignment`.
    """

    def __init__(
        self,
        settings: MCGANSettings,
        *,
        genes: int,
        pixels: int,
        alignment: Alignment | CanonicalAlignment | None = None,
    ) -> None:
        super().__init__()
        if settings.needs_alignment and alignment is None:
            raise ValueError(
                "matching, energy and gene_code aligned need a trained alignment; give one with --alignment RUN, "
                "or use the preset default"
            )
        self.settings, self.pixels = settings, pixels
        embedding = alignment.code_length if alignment is not None and settings.gene_code == "aligned" else 0
        self.part = MCGANPart(settings, genes=genes, pixels=pixels, embedding=embedding)
        self.discriminator = ThreeHeadDiscriminator(
            pixels=pixels,
            code=settings.code,
            width=settings.discriminator_width,
            norm=settings.discriminator_norm,
            growth=8,
            side=pixels // 16,
        )
        self.phi_d = GeneMapping(embedding, code=settings.code) if embedding else None
        initialize(self)
        self.alignment = alignment if settings.needs_alignment else None
        if self.alignment is not None:
            self.alignment.requires_grad_(False)

    # Training

    @property
    def views(self) -> int:
        return 2 if self.settings.energy else 1

    def averaged(self) -> nn.Module:
        return self.part

    def players(self) -> Sequence[Player]:
        s = self.settings
        betas, schedule = (s.beta1, 0.999), s.learning_rate_schedule
        mine, judges = list(self.part.parameters()), list(self.discriminator.parameters())
        judges += list(self.phi_d.parameters()) if self.phi_d is not None else []
        rate = s.discriminator_learning_rate
        return (
            Player("discriminator", judges, self.discriminator_loss, rate, betas, schedule=schedule),
            Player("generator", mine, self.generator_loss, s.learning_rate, betas, schedule=schedule),
        )

    def train(self, mode: bool = True) -> MCGAN:
        """Training mode for all but the alignment: it judges as it was trained."""
        super().train(mode)
        if self.alignment is not None:
            self.alignment.eval()
        return self

    def prepare(self, batch: Batch) -> Step:
        """Draw once for both players."""
        mean, log_variance = self.condition(batch.g)
        noise = Noise.drawn(len(mean), self.part.numbers, self.part.noise_sides, mean.device)
        return Step(batch, mean, log_variance, self.part(batch.background, mean, log_variance, noise))

    def condition(self, g: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scaled genes (B, G) -> mu and log sigma^2 of the conditioning code (B, K); or the alignment's code, None."""
        if self.part.condition is not None:
            mean, log_variance = self.part.condition(g)
            return mean, log_variance
        assert self.alignment is not None
        return self.alignment.code(g), None

    def d_code(self, mean: Tensor) -> Tensor:
        """The condition as D_ISG reads it: mu, or the discriminator's own mapping of the alignment's code."""
        return mean if self.phi_d is None else self.phi_d(mean)

    def discriminator_loss(self, step: Step) -> LossRecord:
        """L_DI + L_DIS + L_DISG, each head's terms weighted alike; the condition is read as its mean mu, detached.

        The authors mismatch the condition by showing another sample's image and mask with it; here another patient's
        genes are shown with this image and mask, which is the same pair the other way round. The authors' code adds up
        a loss for each kind of pair: with `real_terms` per_pair D_I has a real term from the real, the mismatched mask
        and the mismatched condition, D_IS from the first and the last, as there.
        """
        s, b, d = self.settings, step.batch, self.discriminator
        with torch.no_grad():
            wrong_mean, _ = self.condition(b.wrong_g)
        code, wrong_code = self.d_code(step.mean.detach()), self.d_code(wrong_mean)
        drawn_x, drawn_m = step.drawn.image.detach(), signed(step.drawn.mask.detach())
        real, wrong_m, drawn = d.each(d.pair, [b.x, b.x, drawn_x], [signed(b.m), signed(b.wrong_m), drawn_m])
        per_pair = s.real_terms == "per_pair"
        l_di = losses.loss_d_i(*d.each(d.d_i, [b.x, drawn_x]), times=3 if per_pair else 1)
        l_dis = losses.loss_d_is(*d.each(d.d_is, [real, wrong_m, drawn]), times=2 if per_pair else 1)
        l_disg = losses.loss_d_isg(*d.each(d.d_isg, [real, wrong_m, real, drawn], [code, code, wrong_code, code]))
        total = s.weight_i * l_di + s.weight_is * l_dis + s.weight_isg * l_disg
        return LossRecord(total, {"L_DI": l_di.detach(), "L_DIS": l_dis.detach(), "L_DISG": l_disg.detach()})

    def generator_loss(self, step: Step) -> LossRecord:
        """The three heads, the background's L1, the KL term, and the terms beyond the paper that the settings ask for.

        Here mu is not detached (as in the authors' code): the head that reads it also teaches the condition. The
        background's region is a decision, not a weight: outside the mask cut at 0, eroded, without a gradient.
        """
        s, b, d, drawn = self.settings, step.batch, self.discriminator, step.drawn
        pair = d.pair(drawn.image, signed(drawn.mask))
        code = step.mean if self.phi_d is None else self.d_code(step.mean).detach()
        region = background_region((drawn.mask.detach() >= 0.5).float(), s.erosion)
        terms = {
            "D_I": losses.to_one(d.d_i(drawn.image)) * s.weight_i,
            "D_IS": losses.to_one(d.d_is(pair)) * s.weight_is,
            "D_ISG": losses.to_one(d.d_isg(pair, code)) * s.weight_isg,
            "background": losses.loss_background(drawn.image, b.background, region) * s.lambda_background,
        }
        if step.log_variance is not None:
            terms["KL"] = loss_kl(step.mean, step.log_variance) * s.weight_kl
        if self.alignment is not None:
            weights = {"matching": s.matching, "energy": s.energy, "covariance": s.covariance, "pull": s.pull}
            terms |= critic_terms(self.alignment, drawn.image, drawn.mask, b, **weights)
        total = torch.stack(list(terms.values())).sum()
        return LossRecord(total, {name: term.detach() for name, term in terms.items()})

    # Use

    def seeded_noise(self, first: int, count: int, seed: int, device: torch.device) -> Noise:
        """Noise for drawings `first` to `first + count`."""
        p = self.part
        return Noise.seeded(p.numbers, p.noise_sides, first=first, count=count, seed=seed, device=device)

    def drawn(self, background: Tensor, g: Tensor, first: int, seed: int) -> Drawing:
        """Background (B, 1, P, P) in [-1, 1] and scaled genes (B, G) -> drawings `first` to `first + B` of a seed."""
        drawing: Drawing = self.part(background, *self.condition(g), self.seeded_noise(first, len(g), seed, g.device))
        return drawing

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B drawn lesions. The same seed draws the same.

        The conditioning code is drawn too, as in the authors' code, so the seed decides on it and on the noise.
        """
        require_pairs(backgrounds, expression)
        device = next(self.parameters()).device

        def draw(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            g = genes_to(device, expression[rows])
            drawn = self.drawn(images_from_hu(backgrounds[rows]).to(device), g, rows.start, seed)
            return to_hu(drawn.image), drawn.mask, drawn.weight

        image, mask, weight = in_chunks(self, len(backgrounds), draw)
        return Synthesis(image, mask, weight, np.asarray(backgrounds, np.float32), seed)

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> the mean mu of the conditioning code (B, K), figure 4 of Xu et al. (2020), or the
        alignment's code in its place."""
        self.eval()
        return self.condition(genes_to(next(self.parameters()).device, expression))[0].cpu().numpy()
