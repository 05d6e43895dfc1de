"""The fusion GAN: a patient's genes draw the patient's nodule into a background (Xu et al. 2020).

METHODS.md section 1. The preset `paper` trains what the paper describes; the preset `default` adds, each as a
setting, composing through the softened mask, gene dropout, spatial noise, a guided weight map and the contrastive
matching of drawn lesions with genes (section 1b).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
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
from radiogenesis.methods.fusion_gan_settings import PAPER, PRESETS, FusionGANSettings
from radiogenesis.methods.images import GrownMask, difference_mask, disc, images_from_hu, shifted, to_hu
from radiogenesis.methods.laying import bars, changed, laid
from radiogenesis.methods.noise import Noise
from radiogenesis.methods.protocols import Batch, DrawingEngine, LossRecord, Player, Synthesis
from radiogenesis.networks.discriminator import ThreeHeadDiscriminator
from radiogenesis.networks.fusion import Drawing, FusionGenerator
from radiogenesis.networks.mapping import GeneMapping

__all__ = ["PAPER", "PRESETS", "FusionDrawing", "FusionGAN", "FusionGANSettings", "GeneratorPart", "Noise", "Step"]


@dataclass(frozen=True)
class FusionDrawing(Drawing):
    """A drawing, and the dilations of its mask, which composing and the generator's losses share; of the central disc
    where the generator has no mask output."""

    grown: GrownMask


class GeneratorPart(nn.Module):
    """Gene mapping and generator: what is averaged over the steps, and all that drawing needs.

    Args:
        settings: see FusionGANSettings.
        genes: number of genes.
        pixels: side of the images.
        embedding: length of the alignment's gene embedding, 0 where it is not part of the style.
    """

    def __init__(self, settings: FusionGANSettings, *, genes: int, pixels: int, embedding: int) -> None:
        super().__init__()
        self.settings = settings
        code = 0
        self.phi: GeneMapping | None = None
        if settings.gene_code != "aligned":
            self.phi = GeneMapping(genes, hidden=settings.hidden, code=settings.code, dropout=settings.gene_dropout)
            code += settings.code
        self.embedding = embedding
        self.generator = FusionGenerator(
            pixels=pixels,
            style=code + embedding + settings.noise,
            width=settings.width,
            outer_weight=settings.outer_weight,
            spatial_noise=settings.spatial_noise,
            upsampling=settings.upsampling,
            central_mask=settings.central_mask,
            adain=settings.adain,
            weight_map=settings.weight_map,
            decided_weight_map=settings.decided_weight_map,
            mask_output=settings.mask_output,
        )
        self.register_buffer("middle", disc(pixels, settings.lesion_radius * pixels), persistent=False)
        self.middle: Tensor

    def code(self, g: Tensor, aligned: Tensor | None) -> Tensor:
        """The gene code that styles the lesion: phi(g), the aligned embedding, or both, (B, K)."""
        parts = []
        if self.phi is not None:
            parts.append(self.phi(g))
        if aligned is not None and self.embedding:
            parts.append(aligned)
        return torch.cat([p.float() for p in parts], dim=1)

    def forward(self, background: Tensor, code: Tensor, noise: Noise) -> FusionDrawing:
        """Background (B, 1, P, P), gene code (B, K), noise -> the drawing, composed where the settings say so."""
        s = self.settings
        drawn: Drawing = self.generator(background, torch.cat([code, noise.vector], dim=1), noise.maps)
        if s.mask_output:
            image, grown = laid(background, drawn.image, drawn.mask, s)
            return FusionDrawing(image, grown.mask, drawn.weight, grown)
        barred = bars(background, s)
        image = changed(background, drawn.image, self.middle, barred, s)
        mask = difference_mask(image, background, self.middle * (1 - barred), contrast_hu=s.lesion_contrast_hu)
        return FusionDrawing(image, mask, drawn.weight, GrownMask(self.middle))


@dataclass(frozen=True)
class Step:
    """What discriminator and generator share in one training step."""

    batch: Batch
    code: Tensor
    drawn: FusionDrawing


class FusionGAN(nn.Module):
    """The fusion GAN with its losses (Xu et al. 2020). Implements Trainable, Synthesizer and GeneEncoder.

    Args:
        settings: see FusionGANSettings.
        genes: number of genes.
        pixels: side of the images, a power of two of at least 32.
        alignment: a trained alignment, where `settings.needs_alignment`.
    """

    def __init__(
        self,
        settings: FusionGANSettings,
        *,
        genes: int,
        pixels: int,
        alignment: Alignment | CanonicalAlignment | None = None,
    ) -> None:
        super().__init__()
        if settings.needs_alignment and alignment is None:
            raise ValueError(
                "matching, energy and gene_code need a trained alignment; give one, or use the preset paper"
            )
        self.settings, self.pixels = settings, pixels
        self.engine: DrawingEngine | None = None
        self.alignment = alignment if settings.needs_alignment else None
        if settings.train_critic and not isinstance(self.alignment, Alignment):
            raise ValueError("train_critic needs a contrastive alignment: a canonical one does not train on")
        if self.alignment is not None:
            self.alignment.requires_grad_(settings.train_critic)
        embedding = alignment.code_length if alignment is not None and settings.gene_code != "mapping" else 0
        self.part = GeneratorPart(settings, genes=genes, pixels=pixels, embedding=embedding)
        self.phi_d: GeneMapping | None = None
        if settings.own_mapping or settings.gene_code != "mapping":
            self.phi_d = GeneMapping(
                embedding if settings.gene_code == "aligned" else genes,
                hidden=settings.hidden,
                code=settings.code,
                dropout=0.0 if settings.gene_code == "aligned" else settings.gene_dropout,
            )
        self.discriminator = ThreeHeadDiscriminator(
            pixels=pixels, code=settings.code, width=settings.discriminator_width, norm=settings.discriminator_norm
        )

    # Training

    @property
    def views(self) -> int:
        return 2 if self.settings.energy else 1

    def averaged(self) -> nn.Module:
        return self.part

    def players(self) -> Sequence[Player]:
        s = self.settings
        betas, schedule = (s.beta1, 0.999), s.learning_rate_schedule
        d_parameters = [*self.discriminator.parameters(), *(self.phi_d.parameters() if self.phi_d else ())]
        players = [
            Player(
                "discriminator",
                d_parameters,
                self.discriminator_loss,
                s.discriminator_learning_rate,
                betas,
                schedule=schedule,
            ),
            Player(
                "generator",
                list(self.part.parameters()),
                self.generator_loss,
                s.learning_rate,
                betas,
                schedule=schedule,
            ),
        ]
        if isinstance(self.alignment, Alignment) and s.train_critic:
            a = self.alignment.settings
            players.append(
                Player("critic", list(self.alignment.parameters()), self.critic_loss, a.learning_rate / 10,
                       weight_decay=a.weight_decay)
            )  # fmt: skip
        return players

    def train(self, mode: bool = True) -> FusionGAN:
        """Training mode for all but the critic: it judges as it was trained, also where it is trained on."""
        super().train(mode)
        if self.alignment is not None:
            self.alignment.eval()
        return self

    def prepare(self, batch: Batch) -> Step:
        """Draw once for both players."""
        batch = replace(batch, g=self.shown(batch.g), wrong_g=self.shown(batch.wrong_g))
        code = self.part.code(batch.g, self.aligned(batch.g))
        return Step(batch, code, self.part(batch.background, code, self.draw_noise(len(batch.g), batch.x.device)))

    def shown(self, g: Tensor) -> Tensor:
        """The genes as the networks see them: a constant for everybody where `use_genes` is off."""
        return g if self.settings.use_genes else torch.zeros_like(g)

    def aligned(self, g: Tensor) -> Tensor | None:
        """The alignment's gene code, held still; None where it is not part of the style."""
        if self.alignment is None or not self.part.embedding:
            return None
        with torch.no_grad():
            return self.alignment.code(g)

    def judged(self, m: Tensor) -> Tensor:
        """A mask as the discriminator sees it: zeros where the generator has none to be judged."""
        return m if self.settings.mask_output else torch.zeros_like(m)

    def moved(self, x: Tensor, m: Tensor) -> Sequence[Tensor]:
        """Image and mask as the discriminator sees them: moved alike where the settings say so."""
        reach = round(self.settings.discriminator_shift * self.pixels)
        return shifted((x, m), reach) if reach else (x, m)

    def d_code(self, g: Tensor) -> Tensor:
        """The gene code that the discriminator reads.

        With `own_mapping` a mapping of its own: of the aligned code where the generator is styled by that, else of the
        genes. Without, the generator's code, through which no gradient flows.
        """
        if self.phi_d is not None:
            aligned = self.aligned(g) if self.settings.gene_code == "aligned" else None
            return self.phi_d(g if aligned is None else aligned)
        return self.part.code(g, None).detach()

    def discriminator_loss(self, step: Step) -> LossRecord:
        """L_DI + L_DIS + L_DISG, each head's terms weighted alike."""
        s, b, d = self.settings, step.batch, self.discriminator
        x, m = [b.x, step.drawn.image.detach()], [self.judged(b.m), self.judged(step.drawn.mask).detach()]
        if s.mismatched and s.mask_output:
            x, m = [*x, b.x], [*m, b.wrong_m]
        x, m = map(list, zip(*map(self.moved, x, m), strict=True))
        pairs = list(d.each(d.pair, x, m))  # real, drawn, and the real image with m'
        l_di = losses.loss_d(*d.each(d.d_i, x[:2]))
        l_dis = losses.loss_d(*d.each(d.d_is, pairs))
        codes = [self.d_code(b.g)] * len(pairs)
        if s.mismatched:
            pairs, codes = [*pairs, pairs[0]], [*codes, self.d_code(b.wrong_g)]
        l_disg = losses.loss_d(*d.each(d.d_isg, pairs, codes))
        total = s.weight_i * l_di + s.weight_is * l_dis + s.weight_isg * l_disg
        return LossRecord(total, {"L_DI": l_di.detach(), "L_DIS": l_dis.detach(), "L_DISG": l_disg.detach()})

    def generator_loss(self, step: Step) -> LossRecord:
        """L_G (Xu et al. 2020, section 2.3), and the terms beyond the paper that the settings ask for."""
        s, b, d, drawn = self.settings, step.batch, self.discriminator, step.drawn
        image, mask = self.moved(drawn.image, self.judged(drawn.mask))
        pair = d.pair(image, mask)
        terms = {
            "D_I": losses.to_one(d.d_i(image)) * s.weight_i,
            "D_IS": losses.to_one(d.d_is(pair)) * s.weight_is,
            "D_ISG": losses.to_one(d.d_isg(pair, self.d_code(b.g).detach())) * s.weight_isg,
        }
        outlined = drawn.grown.binary() if s.background_mask == "binary" else drawn.grown
        region = outlined.background_region(s.erosion)
        terms["background"] = losses.loss_background(drawn.image, b.background, region) * s.lambda_background
        if self.alignment is not None:
            weights = {"matching": s.matching, "energy": s.energy, "covariance": s.covariance, "pull": s.pull}
            terms |= critic_terms(self.alignment, drawn.image, drawn.mask, b, **weights)
        if s.lambda_weight_map:
            target = drawn.grown.composition(s.composition_dilation, s.composition_smoothing).detach()
            terms["weight_map"] = losses.loss_weight_map(drawn.weight, target) * s.lambda_weight_map
        return LossRecord(
            torch.stack(list(terms.values())).sum(), {name: term.detach() for name, term in terms.items()}
        )

    def critic_loss(self, step: Step) -> LossRecord:
        """The alignment's own loss on the real pairs."""
        assert isinstance(self.alignment, Alignment)
        self.alignment.train()
        record = self.alignment.loss(step.batch)
        self.alignment.eval()
        return record

    def draw_noise(self, count: int, device: torch.device) -> Noise:
        """Noise for `count` drawings while training."""
        return Noise.drawn(count, self.settings.noise, self.noise_sides, device)

    def seeded_noise(self, first: int, count: int, seed: int, device: torch.device) -> Noise:
        """Noise for drawings `first` to `first + count`."""
        n = self.settings.noise
        return Noise.seeded(n, self.noise_sides, first=first, count=count, seed=seed, device=device)

    @property
    def noise_sides(self) -> Sequence[int]:
        """Sides of the spatial noise maps, none where there are none."""
        return self.part.generator.sides if self.settings.spatial_noise else ()

    # Use

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B drawn lesions. The same seed draws the same."""
        require_pairs(backgrounds, expression)
        device = next(self.parameters()).device

        def draw(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            g = self.shown(genes_to(device, expression[rows]))
            noise = self.seeded_noise(rows.start, len(g), seed, device)
            background, code = images_from_hu(backgrounds[rows]).to(device), self.part.code(g, self.aligned(g))
            image, mask, weight = self._drawn(background, code, noise)
            return to_hu(image), mask, weight

        image, mask, weight = in_chunks(self, len(backgrounds), draw)
        return Synthesis(image, mask, weight, np.asarray(backgrounds, np.float32), seed)

    def _drawn(self, background: Tensor, code: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Image, mask and weight map, by torch or by what draws in its place."""
        if self.engine is not None:
            return self.engine(background, code, noise.vector, *noise.maps)
        drawn = self.part(background, code, noise)
        return drawn.image, drawn.mask, drawn.weight

    def drawing_with(self, engine: DrawingEngine | None) -> FusionGAN:
        """The same method, weights included, whose `synthesize` draws with an engine; None for torch."""
        other = copy(self)
        other.engine = engine
        return other

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> the gene code that styles the lesion (B, K)."""
        self.eval()
        g = self.shown(torch.from_numpy(np.asarray(expression, np.float32)).to(next(self.parameters()).device))
        return self.part.code(g, self.aligned(g)).cpu().numpy()
