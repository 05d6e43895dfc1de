"""Gene-lesion alignment: genes and lesions in one space, nearest where they belong to one patient.

METHODS.md section 1b. On held-out patients it answers "which patient's genes belong to this lesion?"; trained, its
lesion encoder is the critic that the fusion GAN's generator must satisfy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radiogenesis.methods.checks import require
from radiogenesis.methods.images import images_from_hu, soften, with_scanner_noise
from radiogenesis.methods.losses import loss_contrastive
from radiogenesis.methods.protocols import Batch, LossRecord, Player
from radiogenesis.networks.lesion_encoder import LesionEncoder
from radiogenesis.networks.mapping import GeneEncoder


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """Settings of the alignment."""

    steps: int = 1200
    """Training steps."""
    batch: int = 64
    """Slices per step (METHODS.md section 1)."""
    learning_rate: float = 1e-3
    """Of Adam, decayed to zero along a cosine (METHODS.md section 1; the decay is ours)."""
    weight_decay: float = 1e-4
    """Decoupled weight decay (METHODS.md section 1)."""
    widths: tuple[int, int, int, int] = (16, 32, 64, 64)
    """Channels of the lesion encoder at 1/1, 1/2, 1/4 and 1/8 of the resolution (METHODS.md section 1)."""
    hidden: int = 512
    """Units of the gene encoder's hidden layer (METHODS.md section 1b)."""
    embedding: int = 64
    """Length of the shared embedding (METHODS.md section 1b)."""
    gene_dropout: float = 0.5
    """Share of genes set to zero while training, 0 to 1 (METHODS.md section 1b)."""
    lesion_dropout: float = 0.3
    """Share of the lesion's pooled statistics set to zero while training, 0 to 1: else the encoder overfits the
    training patients (open)."""
    scanner_noise_hu: float = 40.0
    """Noise of up to this standard deviation, in HU, is added to the slices while training: the scanner's noise would
    else tell the training patients apart (open)."""
    temperature: float = 0.1
    """Where the learned temperature starts (open)."""

    def __post_init__(self) -> None:
        require(self, ("steps", "hidden", "embedding"), "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("widths",), "four numbers of at least 1", lambda v: len(v) == 4 and min(v) >= 1)
        require(self, ("gene_dropout", "lesion_dropout"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("learning_rate", "temperature"), "above 0", lambda v: v > 0)
        require(self, ("weight_decay", "scanner_noise_hu"), "at least 0", lambda v: v >= 0)


class Alignment(nn.Module):
    """A lesion encoder and a gene encoder with a shared embedding (METHODS.md section 1b).

    Implements Trainable, GeneEncoder and LesionEncoder.

    Args:
        settings: see AlignmentSettings.
        genes: number of genes.
    """

    def __init__(self, settings: AlignmentSettings, *, genes: int) -> None:
        super().__init__()
        self.settings = settings
        self.lesions = LesionEncoder(
            widths=settings.widths, embedding=settings.embedding, dropout=settings.lesion_dropout
        )
        self.genes = GeneEncoder(
            genes, hidden=settings.hidden, embedding=settings.embedding, dropout=settings.gene_dropout
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.temperature)))

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, not below 0.01."""
        return (-self.log_scale.clamp(max=math.log(100.0))).exp()

    def players(self) -> Sequence[Player]:
        s = self.settings
        parameters = list(self.parameters())
        return (
            Player("alignment", parameters, self.loss, s.learning_rate, weight_decay=s.weight_decay, schedule="cosine"),
        )

    views = 1

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def averaged(self) -> nn.Module | None:
        return None

    def loss(self, batch: Batch) -> LossRecord:
        """The symmetric contrastive loss on real lesions and their patients' genes."""
        lesions = self.lesions(with_scanner_noise(batch.x, self.settings.scanner_noise_hu), batch.m)
        genes = self.genes(batch.g)
        total = loss_contrastive(lesions, genes, batch.patient, self.temperature)
        with torch.no_grad():
            found = (lesions @ genes.T).argmax(1)
            hit = (batch.patient[found] == batch.patient).float().mean()
        return LossRecord(total, {"contrastive": total.detach(), "found_own_genes": hit})

    # Critic

    @property
    def code_length(self) -> int:
        return self.settings.embedding

    def code(self, g: Tensor) -> Tensor:
        """The gene embedding, scaled from unit length to unit variance per number, (B, D)."""
        embedded: Tensor = self.genes(g).float() * self.settings.embedding**0.5
        return embedded

    def standardized(self, x: Tensor, m: Tensor) -> Tensor:
        """The pooled statistics of the lesions, standardized, (B, S)."""
        return self.lesions.standardized(x, m)

    def kinds(self, standardized: Tensor) -> Sequence[Tensor]:
        """Statistics (B, S) by kind: shape, level, texture, learned features."""
        return self.lesions.grouped(standardized)

    def log_likelihood(self, standardized: Tensor, genes: Tensor) -> Tensor:
        """(B, N) cosines of lesions and genes over the temperature."""
        return self.lesions.embed(standardized) @ self.genes(genes).T / self.temperature

    # Use

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> unit vectors (B, D)."""
        self.eval()
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(self.log_scale.device)
        return self.genes(g).float().cpu().numpy()

    @torch.no_grad()
    def encode_lesions(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks (B, P, P), which are softened here -> unit vectors (B, D)."""
        self.eval()
        device, parts = self.log_scale.device, []
        for start in range(0, len(images), 256):
            x = images_from_hu(images[start : start + 256]).to(device)
            m = soften(torch.from_numpy(np.asarray(masks[start : start + 256], np.float32)).unsqueeze(1).to(device))
            parts.append(self.lesions(x, m).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.settings.embedding), np.float32)
