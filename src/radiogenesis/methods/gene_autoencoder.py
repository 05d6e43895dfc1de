"""The gene autoencoder: a tumor's image to the patient's genes and back (Li, Sui et al., sections III.C and IV).

METHODS.md section 3, stage 2. The encoder h reads the tight and the loose tumor region (TTR, LTR) and predicts the
gene vector; the decoder t draws the LTR from it. The preset `paper` trains what the paper describes; the preset
`default` is made for a CPU and, each as a setting, shares one code among all genes, starts from the training
patients' mean, regularizes, and shows the decoder true genes too.

The error figures that the paper prints, MAE 4.112e-6 and MSE 4.318e-6, are not imitated: see
`evaluation/genes/prediction.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.methods.checks import require
from radiogenesis.methods.images import images_from_hu, soften, to_hu, with_scanner_noise
from radiogenesis.methods.protocols import Batch, LossRecord, Player
from radiogenesis.methods.regions import tumor_regions
from radiogenesis.networks.gene_autoencoder import DOWN, Components, Head, RegionDecoder, RegionEncoder
from radiogenesis.networks.vgg import Perceptual, VGG16Features, perceptual_features

CHUNK = 128  # slices at a time outside training: bounds memory


@dataclass(frozen=True, kw_only=True)
class GeneAutoencoderSettings:
    """Settings of the gene autoencoder; the defaults are the preset `default`."""

    steps: int = 400
    """Training steps; the paper preset counts epochs instead (4,000, see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (4,000 in Li, Sui et al.)."""
    batch: int = 32
    """Slices per step (open in the paper)."""
    ltr_pixels: int = 64
    """Side of the loose tumor region; the tight one's is half of it (128 and 64 in Li, Sui et al., section III.B)."""
    ltr_share: float = 1.0
    """Side of the loose tumor region in sides of the cohort's slices, which are 60 mm unless it was built with another
    --field_of_view_mm: 1 takes the whole slice, the tumor moved to its middle."""
    widths: tuple[int, int, int] = (32, 64, 128)
    """Channels of the three blocks of each region's branch; the first two blocks of both give the 192 features."""
    head: Head = "components"
    """grid: the genes are read off the encoder's map and padded to its size (the paper); dense: off one code that all
    genes share, without padding; components: only the scores of principal components of the training patients' genes
    are learned (both beyond the paper)."""
    code: int = 64
    """Length of the dense head's code."""
    components: int = 8
    """Principal components of the components head."""
    gene_scale: Literal["per_gene", "together"] = "per_gene"
    """What becomes 0 and 1: each gene's least and greatest value in the training patients (beyond the paper), or those
    of all genes together (the paper scales the vector; its values are logarithms, here with --zscore false)."""
    centered_decoder: bool = True
    """The decoder is given genes minus the training patients' mean (beyond the paper; off in its preset)."""
    hidden: int = 256
    """Units between genes and the decoder's first map, of all heads but the grid."""
    dropout: float = 0.5
    """Share of the dense head's code, or of what the components are read off, set to zero while training, 0 to 1
    (beyond the paper)."""
    turns: int = 4
    """Quarter turns of each slice, 1 to 4, whose predictions are averaged: a tumor has no upright (beyond the paper; 1
    in the paper preset)."""
    shrink: float = 0.5
    """What is left in a prediction of its distance from the training patients' mean, 0 to 1: learned by few patients,
    predictions for others lie too far from it (beyond the paper; 1 in the paper preset)."""
    scanner_noise_hu: float = 40.0
    """Noise of up to this standard deviation, in HU, is added to the encoder's slices while training: the scanner's
    noise would else tell the training patients apart (beyond the paper; 0 in the paper preset)."""
    start_from_mean: bool = True
    """Start from the training patients' mean of every gene rather than from one half (beyond the paper)."""
    true_genes: float = 0.25
    """Weight of l_12 between the LTR and what the decoder draws from the TRUE genes: else it meets them for the first
    time in figure 7b (beyond the paper; 0 in the paper preset)."""
    perceptual: Perceptual = "none"
    """Features of the perceptual loss, equation 6: vgg16 (the paper: ImageNet weights, a file of torchvision's), random
    (the same layers, untrained), or none (the term is left out). What is asked for is used or refused."""
    vgg16_weights: str = ""
    """Path of torchvision's vgg16-397923af.pth; empty looks in the torch hub cache. Nothing is downloaded."""
    learning_rate: float = 1e-3
    """Of Adam (Li, Sui et al., section III.C)."""
    weight_decay: float = 1e-3
    """Decoupled weight decay (beyond the paper; 0 in the paper preset)."""

    def __post_init__(self) -> None:
        require(self, ("steps", "code", "hidden", "components"), "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        require(self, ("ltr_pixels",), f"a multiple of {DOWN}, at least 16", lambda v: v >= 16 and v % DOWN == 0)
        require(self, ("widths",), "three numbers of at least 1", lambda v: len(v) == 3 and min(v) >= 1)
        require(self, ("turns",), "from 1 to 4", lambda v: 1 <= v <= 4)
        require(self, ("shrink",), "in [0, 1]", lambda v: 0 <= v <= 1)
        require(self, ("ltr_share",), "above 0", lambda v: v > 0)
        require(self, ("dropout",), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("true_genes", "weight_decay", "scanner_noise_hu"), "at least 0", lambda v: v >= 0)
        require(self, ("learning_rate",), "above 0", lambda v: v > 0)


PAPER: dict[str, Any] = {
    "epochs": 4000,
    "batch": 16,
    "ltr_pixels": 128,
    "head": "grid",
    "dropout": 0.0,
    "turns": 1,
    "shrink": 1.0,
    "scanner_noise_hu": 0.0,
    "start_from_mean": False,
    "gene_scale": "together",
    "centered_decoder": False,
    "true_genes": 0.0,
    "perceptual": "vgg16",
    "weight_decay": 0.0,
}
"""The preset `paper`: METHODS.md section 3, stage 2, as it is written. The registry adds the split of 8 : 2 and slices
as they are, in epochs. Masks stay softened: only the tumor's box is read from them. The paper crops its LTR out of the
CT, 128 of the scan's pixels or about 90 mm: build the cohort with --field_of_view_mm 90 --pixels 128, and the whole
slice is that crop."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER}


def loss_feat(drawn: Tensor, real: Tensor, phi: nn.Module) -> Tensor:
    """l_feat = || phi_j(X~) - phi_j(X) ||_2^2 / (C_j H_j W_j), mean over the batch (Li, Sui et al., equation 6)."""
    with torch.no_grad():
        wanted = phi(real)
    return F.mse_loss(phi(drawn).float(), wanted.float())


def loss_12(found: Tensor, true: Tensor) -> Tensor:
    """l_12 = 0.5 l_1 + 0.5 l_2, mean absolute and mean squared difference (Li, Sui et al., equations 7 and 8)."""
    return 0.5 * F.l1_loss(found, true) + 0.5 * F.mse_loss(found, true)


def loss_h(feat: Tensor, ltr: Tensor, genes: Tensor) -> Tensor:
    """l_H = 0.25 l_feat + 0.25 l_12(X~, X) + 0.5 l_12(Y~, Y)   (Li, Sui et al., equation 9)."""
    return 0.25 * feat + 0.25 * ltr + 0.5 * genes


@dataclass(frozen=True)
class Regions:
    """What a step looks at: X^t (B, 1, L / 2, L / 2), X^l (B, 1, L, L), both in [0, 1]; the true X^l without added
    noise; Y (B, length), genes in [0, 1], padded with zeros."""

    ttr: Tensor
    ltr: Tensor
    true_ltr: Tensor
    genes: Tensor


class GeneAutoencoder(nn.Module):
    """H with its loss (Li, Sui et al.). Implements Trainable and GenePredictor.

    Args:
        settings: see GeneAutoencoderSettings.
        genes: number of genes.
    """

    views = 1

    def __init__(self, settings: GeneAutoencoderSettings, *, genes: int) -> None:
        super().__init__()
        s = self.settings = settings
        self.encoder = RegionEncoder(
            genes, ltr_pixels=s.ltr_pixels, widths=s.widths, head=s.head, code=s.code, components=s.components,
            dropout=s.dropout,
        )  # fmt: skip
        self.decoder = RegionDecoder(genes, ltr_pixels=s.ltr_pixels, widths=s.widths, head=s.head, hidden=s.hidden)
        self.padding = self.encoder.length - genes
        for name, value in (("gene_low", 0.0), ("gene_span", 1.0), ("gene_mean", 0.5)):
            self.register_buffer(name, torch.full((genes,), value))
        self.gene_low: Tensor
        self.gene_span: Tensor
        self.gene_mean: Tensor
        self._phi: list[VGG16Features | None] = []  # in a list: its weights are not the method's to save

    # Training

    def begin(self, genes: NDArray[np.floating[Any]]) -> None:
        """Fit every gene's scale and the genes' components to the training patients; load the perceptual features.

        Args:
            genes: (N, G) of the training patients, as every batch will have them.

        Raises:
            SettingError: the perceptual loss's weights cannot be had.
        """
        g = torch.from_numpy(np.asarray(genes, np.float32))
        low, high = g.amin(0), g.amax(0)
        if self.settings.gene_scale == "together":
            low, high = low.min().expand_as(low), high.max().expand_as(high)
        self.gene_low.copy_(low)
        self.gene_span.copy_(high - low)
        self.gene_mean.copy_(self.unit_tensor(g).mean(0))
        if self.settings.start_from_mean:
            with torch.no_grad():
                self.encoder.bias[: len(self.gene_mean)] = torch.logit(self.gene_mean, eps=1e-3)
        if self.settings.head == "components":
            cast(Components, cast(nn.Sequential, self.encoder.head)[-1]).fit(self.unit_tensor(g))
        self.phi()

    def phi(self) -> VGG16Features | None:
        """The features of equation 6, None where the term is left out."""
        if not self._phi:
            self._phi.append(perceptual_features(self.settings.perceptual, self.settings.vgg16_weights))
        return self._phi[0]

    def players(self) -> Sequence[Player]:
        s = self.settings
        return (
            Player("autoencoder", list(self.parameters()), self.loss, s.learning_rate, weight_decay=s.weight_decay),
        )

    def averaged(self) -> nn.Module | None:
        return None

    def prepare(self, batch: Batch) -> Regions:
        """Cut the regions, with the scanner's noise for the encoder, and pad the genes."""
        ttr, true_ltr = self.cut(batch.x, batch.m)
        ltr = true_ltr
        if self.settings.scanner_noise_hu:
            ttr, ltr = self.cut(with_scanner_noise(batch.x, self.settings.scanner_noise_hu), batch.m)
        return Regions(ttr, ltr, true_ltr, F.pad(self.unit_tensor(batch.g), (0, self.padding)))

    def loss(self, regions: Regions) -> LossRecord:
        """l_H (equation 9), and l_12 of what the decoder draws from the true genes."""
        predicted = torch.sigmoid(self.encoder(regions.ttr, regions.ltr))
        drawn = self.draw(predicted)
        terms = {"l_12_ltr": loss_12(drawn, regions.true_ltr), "l_12_genes": loss_12(predicted, regions.genes)}
        phi = self.phi()
        if phi is None:
            terms["l_feat"] = torch.zeros_like(terms["l_12_ltr"])
        else:
            terms["l_feat"] = loss_feat(drawn, regions.true_ltr, phi.to(drawn.device))
        total = loss_h(terms["l_feat"], terms["l_12_ltr"], terms["l_12_genes"])
        if self.settings.true_genes:
            terms["l_12_true_genes"] = loss_12(self.draw(regions.genes), regions.true_ltr)
            total = total + self.settings.true_genes * terms["l_12_true_genes"]
        return LossRecord(total, {name: term.detach() for name, term in terms.items()})

    def cut(self, x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Slices in [-1, 1] and masks (B, 1, P, P) -> TTR and LTR in [0, 1]."""
        side = self.settings.ltr_pixels
        loose = self.settings.ltr_share * x.shape[-1]
        ltr, ttr = tumor_regions(x, m, ltr_pixels=side, ttr_pixels=side // 2, loose_side=loose)
        return (ttr + 1) / 2, (ltr + 1) / 2

    def unit_tensor(self, g: Tensor) -> Tensor:
        """Genes (B, G) -> [0, 1] by the training patients' least and greatest values; beyond them 0 or 1."""
        return ((g.float() - self.gene_low) / self.gene_span.clamp_min(1e-6)).clamp(0, 1)

    def draw(self, genes: Tensor) -> Tensor:
        """Genes (B, length) in [0, 1], padded -> LTR (B, 1, L, L) in [0, 1]."""
        if self.settings.centered_decoder:
            genes = genes - F.pad(self.gene_mean, (0, self.padding))
        drawn: Tensor = self.decoder(genes)
        return drawn

    # Use

    @torch.no_grad()
    def unit_genes(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> the same in [0, 1], as the method is shown them."""
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(self.gene_low.device)
        return self.unit_tensor(g).cpu().numpy()

    def predict_genes(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks -> genes (B, G) in [0, 1], without the padding."""
        turns = self.settings.turns
        turned = ((np.rot90(images, turn, (1, 2)), np.rot90(masks, turn, (1, 2))) for turn in range(turns))
        found = np.mean([self._encoded(x, m, self._predicted) for x, m in turned], axis=0)
        mean = self.gene_mean.cpu().numpy()
        return np.asarray(mean + self.settings.shrink * (found - mean), np.float32)

    def image_features(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks -> the encoder's first two blocks (B, 192), see `feature_names`."""
        return self._encoded(images, masks, lambda ttr, ltr: self.encoder.features(ttr, ltr))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of `image_features`: region, block, channel, such as ltr_1_07."""
        first, second, _ = self.settings.widths
        return tuple(
            f"{region}_{block}_{channel:02d}"
            for region in ("ltr", "ttr")
            for block, channels in ((1, first), (2, second))
            for channel in range(channels)
        )

    def loose_regions(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks -> their LTR (B, L, L) in HU: the truth of figure 7."""
        return self._encoded(images, masks, lambda _, ltr: to_hu(2 * ltr[:, 0] - 1))

    def regions_from_images(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks -> LTR (B, L, L) in HU that t draws from the predicted genes: 7a."""
        return self._drawn(self.predict_genes(images, masks))

    def regions_from_genes(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> LTR (B, L, L) in HU that t draws from the true genes: figure 7b."""
        return self._drawn(self.unit_genes(expression))

    @torch.no_grad()
    def _drawn(self, genes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Genes (B, G) in [0, 1], without the padding -> LTR (B, L, L) in HU."""
        self.eval()
        padded = F.pad(torch.from_numpy(genes).to(self.gene_low.device), (0, self.padding))
        return to_hu(2 * self.draw(padded)[:, 0] - 1).cpu().numpy()

    def _predicted(self, ttr: Tensor, ltr: Tensor) -> Tensor:
        return torch.sigmoid(self.encoder(ttr, ltr))[:, : len(self.gene_low)]

    @torch.no_grad()
    def _encoded(self, images: NDArray[Any], masks: NDArray[Any], what: Any) -> NDArray[np.float32]:
        """`what` of the regions of every slice, some slices at a time."""
        self.eval()
        device, parts = self.gene_low.device, []
        for start in range(0, len(images), CHUNK):
            x = images_from_hu(images[start : start + CHUNK]).to(device)
            m = torch.from_numpy(np.ascontiguousarray(masks[start : start + CHUNK], np.float32)).unsqueeze(1).to(device)
            parts.append(what(*self.cut(x, soften(m))).float().cpu().numpy())
        return np.concatenate(parts)
