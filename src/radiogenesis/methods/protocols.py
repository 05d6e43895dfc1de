"""What methods and the rest of the house agree on: the records that pass between them, and the protocols.

Methods are not subclasses of anything. A `Synthesizer` draws, a `GeneEncoder` encodes genes, a `LesionEncoder`
encodes lesions into the same space; a `Trainable` says which players move in a training step, and in which order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """One training batch, on the device that trains.

    Attributes:
        x: (B, 1, P, P) lesion slices in [-1, 1].
        m: (B, 1, P, P) their masks in [0, 1], softened unless the training settings say otherwise.
        g: (B, G) scaled genes of the slice's patient.
        wrong_m: (B, 1, P, P) a mask of another patient, as soft.
        wrong_g: (B, G) genes of another patient.
        background: (B, 1, P, P) x_b in [-1, 1].
        patient: (B,) long, index of the patient among the training patients.
        all_genes: (N, G) scaled genes of every training patient, in the order of `patient`'s indices.
    """

    x: Tensor
    m: Tensor
    g: Tensor
    wrong_m: Tensor
    wrong_g: Tensor
    background: Tensor
    patient: Tensor
    all_genes: Tensor


@dataclass(frozen=True)
class SliceBatch:
    """One training batch of whole slices, on the device that trains.

    Attributes:
        image: (B, 1, S, S) whole slices in [-1, 1].
        tumor: (B, 1, S, S) float, 1 inside the tumor and 0 elsewhere.
    """

    image: Tensor
    tumor: Tensor


@dataclass(frozen=True)
class LossRecord:
    """A loss and the named terms it is the weighted sum of.

    Attributes:
        total: what is minimized, a scalar.
        terms: symbol -> detached value, written to metrics.csv: a discriminator's as the paper's equations give them, a
            generator's weighted as they enter the total.
    """

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """One optimizer's share of a training step.

    Attributes:
        name: "discriminator", "generator", "alignment": prefix of its terms in metrics.csv.
        parameters: what moves; everything else of the method is held still meanwhile.
        loss: what `prepare` returned -> loss.
        learning_rate, betas, weight_decay: of Adam (AdamW where weight_decay is not 0).
        schedule: "cosine" lets the learning rate fall to zero over the run.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Any], LossRecord]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"


class Trainable(Protocol):
    """What the trainer needs of a method. Every Trainable is also a torch module, whose weights are saved."""

    views: int
    """Slices of each patient in a batch; with 2, the second half of a batch shows the patients of the first again."""

    def players(self) -> Sequence[Player]:
        """Who moves in a step, in order."""
        ...

    def prepare(self, batch: Any) -> Any:
        """What the players of one step share: the Batch (of whole slices a SliceBatch, as the registry says), and
        whatever is drawn once for all of them."""
        ...

    def averaged(self) -> nn.Module | None:
        """The part of which a moving average is kept and used after training; None for none."""
        ...


@dataclass(frozen=True)
class Synthesis:
    """Drawn lesions, and which genes, background and seed made each.

    Attributes:
        image: (B, P, P) float32 HU.
        mask: (B, P, P) float32 in [0, 1]; lesion where at least 0.5.
        weight: (B, P, P) float32 in [0, 1], the weight map (figure 2c, 2g of Xu et al. 2020).
        background: (B, P, P) float32 HU, what was given.
        seed: what the noise was drawn from.
        patient: whose genes, where known.
        background_index: which background of the cohort, where known; else empty.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.float32]
    weight: NDArray[np.float32]
    background: NDArray[np.float32]
    seed: int
    patient: tuple[str, ...] = ()
    background_index: tuple[int, ...] = ()


class DrawingEngine(Protocol):
    """Draws in torch's place; see `radiogenesis.backends`."""

    def __call__(self, background: Tensor, code: Tensor, vector: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """Background (B, 1, P, P) in [-1, 1], gene code (B, K), noise vector (B, N) and maps (B, 1, side, side) ->
        image in [-1, 1], mask and weight map in [0, 1], (B, 1, P, P) each."""
        ...


@runtime_checkable
class Synthesizer(Protocol):
    """Draws one lesion per background and gene vector."""

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B drawn lesions. The same seed draws the same."""
        ...


@runtime_checkable
class GeneEncoder(Protocol):
    """Encodes genes."""

    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> codes (B, D)."""
        ...


@runtime_checkable
class LesionEncoder(Protocol):
    """Encodes lesions into the space of a GeneEncoder."""

    def encode_lesions(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with masks (B, P, P) -> unit vectors (B, D)."""
        ...


@runtime_checkable
class Critic(Protocol):
    """What a trained alignment of genes and lesions says of drawings, so that a generator can learn from it."""

    @property
    def code_length(self) -> int:
        """K, the length of `code`."""
        ...

    def code(self, g: Tensor) -> Tensor:
        """Scaled genes (B, G) -> what they say of the lesion (B, K), each number of about unit variance."""
        ...

    def standardized(self, x: Tensor, m: Tensor) -> Tensor:
        """Images in [-1, 1] and soft masks (B, 1, P, P) -> statistics of the lesions (B, S), of mean 0 and variance 1
        over the training data."""
        ...

    def kinds(self, standardized: Tensor) -> Sequence[Tensor]:
        """Statistics (B, S) by what they are of (shape, level, texture, ...): a (B, S_k) for each kind."""
        ...

    def log_likelihood(self, standardized: Tensor, genes: Tensor) -> Tensor:
        """Statistics (B, S) and scaled genes (N, G) -> (B, N): how likely each lesion is of each patient, up to a
        constant."""
        ...


@runtime_checkable
class GenePredictor(Protocol):
    """Predicts a patient's genes from the patient's lesion, in a scale of its own from 0 to 1."""

    def unit_genes(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> the same in [0, 1]: the truth that predictions are compared with."""
        ...

    def predict_genes(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with masks (B, P, P) -> genes (B, G) in [0, 1]."""
        ...
