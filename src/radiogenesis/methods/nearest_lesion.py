"""A baseline without a network: a lesion of another patient whose properties are what the genes predict, pasted in.

Ridge regressions predict the six named properties of a lesion from the patient's genes. Predictions are stretched until
those for patients left out vary as lesions do: else all would be given the few lesions that are near the mean. The
training lesions nearest to the prediction are looked up, a property counting by the cross-validated correlation that it
is predicted with; one of them is drawn by lot, turned, and laid over the background through the same softened mask as
the fusion GAN's drawings. What a generative model does not do better than this, it need not have been trained for.

The training lesions are part of the weights: a run holds images of patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radiogenesis.errors import SettingError
from radiogenesis.methods.canonical_fit import GeneSide, correlations, patient_means
from radiogenesis.methods.checks import require
from radiogenesis.methods.drawing import require_pairs
from radiogenesis.methods.images import HOLLOW_FROM, images_from_hu, outside_lung, to_hu, to_unit
from radiogenesis.methods.laying import pasted
from radiogenesis.methods.protocols import Batch, Player, Synthesis
from radiogenesis.networks.lesion_statistics import core
from radiogenesis.phenotypes.lesion import FEATURES, lesion_features

LEAST_WEIGHT = 0.05
"""Of a property in the distance, however little genes predict of it."""


@dataclass(frozen=True, kw_only=True)
class NearestLesionSettings:
    """Settings of the nearest lesions."""

    neighbours: int = 10
    """So many slices nearest to the prediction are drawn from by lot: fewer follow the genes more closely, more look
    more varied."""
    gene_ridge: float = 3.2
    """Ridge of the regressions, above 0, as the canonical alignment's."""
    stay_in_lung: bool = False
    """Leave chest wall, mediastinum and diaphragm as the background has them, as the fusion GAN does. Lesions are then
    cut along the wall, and the baseline is the weaker for it."""
    keep_denser: bool = False
    """Keep what is denser in the background than what is pasted over it, save inside the lesion: chest wall, pleura and
    vessels then go on beneath a lesion, as they do beneath the fusion GAN's. The baseline is the weaker for it."""
    composition_dilation: int = 7
    """Side of the square, in pixels and odd, by which the mask is dilated before composing, as the fusion GAN's."""
    composition_smoothing: int = 5
    """Side of the square, in pixels and odd, over which the dilated mask is smoothed, as the fusion GAN's."""

    def __post_init__(self) -> None:
        require(self, ("neighbours",), "at least 1", lambda v: v >= 1)
        require(self, ("gene_ridge",), "above 0", lambda v: v > 0)
        odd = ("composition_dilation", "composition_smoothing")
        require(self, odd, "odd and at least 1", lambda v: v >= 1 and v % 2 == 1)


class NearestLesion(nn.Module):
    """Looks lesions up. Implements Trainable (nothing moves: `fit` does all) and Synthesizer.

    Args:
        settings: see NearestLesionSettings.
        genes: number of genes.
        pixels: side of the images.

    Attributes:
        image, mask: (N, P, P) training slices in HU, and their masks.
        properties: (N, 6) of each slice, in standard deviations over the training patients.
        gene_weights, intercept: (G, 6) and (6,): what genes predict of them, of variance 1 in patients left out.
        weight: (6,) of each property in the distance: the cross-validated correlation.
    """

    views = 1

    def __init__(self, settings: NearestLesionSettings, *, genes: int, pixels: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("image", torch.zeros(0, pixels, pixels, dtype=torch.int16))
        self.register_buffer("mask", torch.zeros(0, pixels, pixels, dtype=torch.bool))
        self.register_buffer("properties", torch.zeros(0, len(FEATURES)))
        self.register_buffer("gene_weights", torch.zeros(genes, len(FEATURES)))
        self.register_buffer("intercept", torch.zeros(len(FEATURES)))
        self.register_buffer("weight", torch.ones(len(FEATURES)))
        self.image: Tensor
        self.mask: Tensor
        self.properties: Tensor
        self.gene_weights: Tensor
        self.intercept: Tensor
        self.weight: Tensor

    def players(self) -> Sequence[Player]:
        return ()

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def averaged(self) -> nn.Module | None:
        return None

    def fit(
        self, image: Tensor, mask: Tensor, patient: NDArray[np.int64], genes: NDArray[Any], seed: int, *,
        pixel_mm: float, darker: bool = False,
    ) -> None:  # fmt: skip
        """Keep the lesions that can be measured, and find what genes predict of their patients' means.

        Args:
            image, mask: (N, 1, P, P) HU and bool.
            patient: (N,) whose slice it is, a row of `genes`.
            genes: (n, G) scaled.
            seed: of the folds.
            pixel_mm: side of a pixel.
            darker: whether lesions may be darker than what is around them.

        Raises:
            SettingError: no lesion has all six properties.
        """
        found = lesion_features(image.float(), mask.float(), pixel_mm, darker=darker)
        measured = torch.stack(list(found.values()), dim=1).double()
        if not torch.isfinite(measured).all(dim=1).any():
            raise SettingError("no training lesion is large enough for all six properties", remedy="use more patients")
        known = torch.isfinite(measured).all(dim=1)
        values, owner = measured[known].numpy(), np.asarray(patient)[known.numpy()]
        own, owner = np.unique(owner, return_inverse=True)
        means = patient_means(values, owner, len(own))
        middle, deviation = means.mean(axis=0), np.maximum(means.std(axis=0), 1e-9)
        scores, given = (means - middle) / deviation, np.asarray(genes, np.float64)[own]
        side = GeneSide.of(given, self.settings.gene_ridge, seed)
        left_out = side.predicting @ scores
        weights = side.weights(scores) / np.maximum(left_out.std(axis=0), 1e-9)
        self.image, self.mask = image[known, 0].to(torch.int16), mask[known, 0].bool()
        self.properties = torch.from_numpy((values - middle) / deviation).float()
        self.gene_weights.copy_(torch.from_numpy(weights))
        self.intercept.copy_(torch.from_numpy(-given.mean(axis=0) @ weights))
        self.weight.copy_(torch.from_numpy(np.maximum(correlations(scores, left_out), LEAST_WEIGHT)))

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B pasted lesions. The same seed draws the same, and of
        two patients with the same genes each has a lot of its own."""
        require_pairs(backgrounds, expression)
        rows, turns = self.chosen(torch.from_numpy(np.asarray(expression, np.float32)), seed)
        s, under = self.settings, images_from_hu(backgrounds)
        image, soft, through = pasted(
            to_unit(self.image[rows, None]), self.mask[rows, None], turns, under, dilation=s.composition_dilation,
            smoothing=s.composition_smoothing, barred=outside_lung(under) if s.stay_in_lung else None,
        )  # fmt: skip
        if s.keep_denser:
            inside = core(soft, round(under.shape[-1] * HOLLOW_FROM))
            image = torch.where(inside >= 0.5, image, torch.maximum(image, under))
        drawn, found, weight = (part[:, 0].float().numpy() for part in (to_hu(image), soft, through))
        return Synthesis(drawn, found, weight, np.asarray(backgrounds, np.float32), seed)

    def chosen(self, genes: Tensor, seed: int) -> tuple[list[int], list[int]]:
        """Which training slice is pasted for each row of scaled genes (B, G), and how it is turned (0 to 7)."""
        predicted = genes @ self.gene_weights + self.intercept
        apart = torch.cdist(predicted * self.weight, self.properties * self.weight)
        near = apart.argsort(dim=1, stable=True)[:, : self.settings.neighbours]
        rng = [np.random.default_rng([seed, number]) for number in range(len(genes))]
        places = [int(one.integers(near.shape[1])) for one in rng]
        return [int(near[b, k]) for b, k in enumerate(places)], [int(one.integers(8)) for one in rng]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """How many lesions there are is known when they are loaded."""
        for name in ("image", "mask", "properties"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)
