"""Canonical alignment: what lesions look like, on a few axes that can be named, and what their patients' genes predict.

The same object as `alignment` (METHODS.md section 1b), in closed form. The first axes are the six named properties of a
lesion (`phenotypes.lesion`), each predicted from the genes by a ridge regression of its own: a person can steer by what
radiologists say, and read which genes do it. The further axes are directions of what the properties leave of the
lesion's appearance (canonical correlation with a ridge on either side; Hotelling 1936, Vinod 1976), kept while permuted
patients seldom have one as strong. With a hundred patients and thousands of genes this generalizes where a contrastive
network overfits the training patients. How it is fitted and tested: `canonical_fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.methods.canonical_fit import LEVEL, GeneSide, LesionSide, correlations, fit_axes, lesion_side
from radiogenesis.methods.checks import require
from radiogenesis.methods.images import images_from_hu, soften, to_hu, to_unit
from radiogenesis.methods.protocols import Batch, Player
from radiogenesis.networks.lesion_statistics import SIZES, appearance
from radiogenesis.phenotypes.lesion import FEATURES, lesion_features

__all__ = ["LEVEL", "CanonicalAlignment", "CanonicalAlignmentSettings", "Described"]

CLOSEST = 0.9  # no lesion is taken to follow a code more closely than this
LEAST_WEIGHT = 0.05  # of an axis in unit vectors, however little genes predict of it
AT_ONCE = 256  # slices that are described at a time: bounds memory
POWER_80 = 2.487  # deviations between no effect and one that a one-sided test at 5 % finds in 80 % of cohorts


class Slices(Protocol):
    """Images (N, 1, P, P): a tensor, or what gives one for some of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: slice, /) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class CanonicalAlignmentSettings:
    """Settings of the canonical alignment."""

    properties: bool = True
    """The first axes are the named properties of a lesion: size, attenuation, spiculation, margin, heterogeneity,
    cavitation. False leaves directions alone (classical canonical correlation)."""
    directions: int = 4
    """At most so many further directions of what the properties leave; each is kept if it is stronger than the first
    direction of permuted patients (p at most 0.05)."""
    gene_ridge: float = 3.2
    """Ridge of the regression from genes, above 0, in units of a patient's mean squared expression: 1 trusts genes to
    explain half of a property's variance, more trusts them less and comes nearer to plain correlation of single genes
    with the property."""
    lesion_ridge: float = 0.0
    """Added to the variance of every (standardized) statistic before directions are looked for: what varies less is not
    trusted. 0 takes the variance that independent statistics of as many patients reach by chance (Marchenko and Pastur
    1967)."""
    whitening_ridge: float = 0.3
    """The same, above 0, where the fusion GAN's critic sees all statistics whitened."""
    statistics_pixels: int = 64
    """Images of twice as many pixels a side, or more, are averaged down to so many before statistics are taken of them
    (0: never): these count in pixels, and were chosen for pixels of 1 mm."""
    permutations: int = 1000
    """Permutations of the patients behind every p value, at least 20; all that was found is found again in each."""

    def __post_init__(self) -> None:
        require(self, ("directions",), "at least 0", lambda v: v >= 0)
        if not self.properties:
            require(self, ("directions",), "at least 1 where properties is false", lambda v: v >= 1)
        require(self, ("permutations",), "at least 20", lambda v: v >= 20)
        require(self, ("lesion_ridge", "statistics_pixels"), "at least 0", lambda v: v >= 0)
        require(self, ("gene_ridge", "whitening_ridge"), "above 0", lambda v: v > 0)

    @property
    def named(self) -> tuple[str, ...]:
        """The properties that the first axes are."""
        return FEATURES if self.properties else ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of all axes, used or not."""
        return (*self.named, *(f"appearance {k + 1}" for k in range(self.directions)))


@dataclass(frozen=True, eq=False)
class Described:
    """Slices in the numbers that an alignment takes of them: each slice by itself, whoever else is looked at.

    Attributes:
        statistics: (N, S), see `lesion_statistics.appearance`.
        properties: (N, P) nan where one could not be measured; P is 0 where the settings name none.
    """

    statistics: NDArray[np.float64]
    properties: NDArray[np.float64]

    def of(self, rows: NDArray[Any]) -> Described:
        """The same of some of the slices."""
        return Described(self.statistics[rows], self.properties[rows])


class CanonicalAlignment(nn.Module):
    """Lesions and genes on the same few axes.

    Implements Trainable (nothing moves: `fit` does all), Critic, GeneEncoder and LesionEncoder.

    Args:
        settings: see CanonicalAlignmentSettings.
        genes: number of genes.

    Attributes:
        cross_validated: (K,) cross-validated correlation of each axis with what genes predict of it; 0 where that is
            negative, or the axis is not used.
        chance: (K,) 95th percentile of the same for permuted patients.
        p: (K,) of each axis against permuted patients, everything found again; 1 where it is not used.
        p_any: (1,) whether genes predict anything, corrected for there being several axes.
        gene_weights: (G, K): an axis's coordinate is this weighted sum of a patient's genes.
        gene_patterns: (G, K): covariance of each scaled gene with the axis over the training patients. Where genes are
            correlated, a weight says little of a single gene; its pattern does (Haufe et al. 2014).
        in_sample_deviation: (K,) deviation of the in-sample code, that of the training patients; that of others is 1.
        follows: (K,) correlation of training patients' lesions with the code that a generator is trained with, which is
            in-sample and so higher than `cross_validated`.
        whitening: (S, S): statistics times this are uncorrelated, but for the ridge, and of variance at most 1.
        patients: (1,) how many it was fitted to.
    """

    def __init__(self, settings: CanonicalAlignmentSettings, *, genes: int) -> None:
        super().__init__()
        self.settings = settings
        k, s = len(settings.axes), sum(SIZES)
        shapes = {
            "mean": (s,), "deviation": (s,), "lesion_weights": (s, k), "gene_mean": (genes,),
            "gene_weights": (genes, k), "gene_patterns": (genes, k), "in_sample_deviation": (k,),
            "cross_validated": (k,), "follows": (k,), "chance": (k,), "p": (k,), "p_any": (1,), "whitening": (s, s),
            "patients": (1,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.mean: Tensor
        self.deviation: Tensor
        self.lesion_weights: Tensor
        self.gene_mean: Tensor
        self.gene_weights: Tensor
        self.gene_patterns: Tensor
        self.in_sample_deviation: Tensor
        self.cross_validated: Tensor
        self.follows: Tensor
        self.chance: Tensor
        self.p: Tensor
        self.p_any: Tensor
        self.whitening: Tensor
        self.patients: Tensor

    # Trainable, with nothing to do step by step

    views = 1

    def players(self) -> Sequence[Player]:
        return ()

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def averaged(self) -> nn.Module | None:
        return None

    def fit(
        self, image: Slices, mask: Slices, patient: NDArray[np.int64], genes: NDArray[Any], seed: int, *,
        pixel_mm: float, darker: bool = False,
    ) -> None:  # fmt: skip
        """Find the axes.

        Args:
            image: (N, 1, P, P) slices of the training patients in [-1, 1], or int16 HU.
            mask: (N, 1, P, P) their masks, lesion where above 0.5.
            patient: (N,) row of each slice's patient in `genes`; every patient has slices.
            genes: (n, G) scaled.
            seed: of the cross-validation and the permutations.
            pixel_mm: side of a pixel.
            darker: whether lesions may be darker than what is around them.
        """
        self.fit_described(self.described(image, mask, pixel_mm=pixel_mm, darker=darker), patient, genes, seed)

    def fit_described(self, slices: Described, patient: NDArray[np.int64], genes: NDArray[Any], seed: int) -> None:
        """`fit` to slices that were described before; see there."""
        for name, value in fitted(self.side_of(slices, patient), genes, self.settings, seed).items():
            buffer = self.get_buffer(name)
            buffer.copy_(torch.from_numpy(np.asarray(value, np.float64)).to(buffer.dtype))

    def described(self, image: Slices, mask: Slices, *, pixel_mm: float, darker: bool = False) -> Described:
        """Slices in numbers, a part of them at a time; see `fit`."""
        statistics, properties = [np.zeros((0, sum(SIZES)))], [np.zeros((0, len(self.settings.named)))]
        for start in range(0, len(image), AT_ONCE):
            x, m = _shown(image[start : start + AT_ONCE]), mask[start : start + AT_ONCE].float()
            statistics.append(self.statistics(x, soften(m)).double().numpy())
            measured = lesion_features(to_hu(x), m, pixel_mm, darker=darker) if self.settings.named else {}
            columns = [measured[name].double().numpy() for name in self.settings.named]
            properties.append(np.stack(columns, axis=1) if columns else np.zeros((len(x), 0)))
        return Described(np.concatenate(statistics), np.concatenate(properties))

    def side_of(self, slices: Described, patient: NDArray[np.int64]) -> LesionSide:
        """The lesions of slices that were described before, as `fit` takes them."""
        s = self.settings
        sizes = SIZES if s.named else ()  # of the classical directions all statistics are one kind
        return lesion_side(slices.statistics, slices.properties, patient, s.whitening_ridge, s.lesion_ridge, sizes)

    def lesion_side(
        self, image: Slices, mask: Slices, patient: NDArray[np.int64], *, pixel_mm: float, darker: bool = False
    ) -> LesionSide:
        """The lesions as `fit` takes them; see there."""
        return self.side_of(self.described(image, mask, pixel_mm=pixel_mm, darker=darker), patient)

    def gene_side(self, genes: NDArray[Any], seed: int = 0) -> GeneSide:
        """The genes (n, G), scaled, as `fit` takes them."""
        return GeneSide.of(genes, self.settings.gene_ridge, seed)

    @property
    def used(self) -> NDArray[np.bool_]:
        """(K,) which axes the code has: the properties that differ between patients, and the directions kept."""
        return (self.in_sample_deviation > 0).cpu().numpy()

    @property
    def further(self) -> int:
        """How many further directions were kept."""
        return int(self.used[len(self.settings.named) :].sum())

    def targets(self, lesions: LesionSide) -> NDArray[np.float64]:
        """(n, K) the patients' own values on the axes: scores of the properties, coordinates along the directions."""
        along = lesions.means @ self.lesion_weights.double().cpu().numpy()
        return np.concatenate([lesions.scores, along[:, lesions.scores.shape[1] :]], axis=1)

    # Critic

    @property
    def code_length(self) -> int:
        return len(self.settings.axes)

    @property
    def unread(self) -> bool:
        """Whether no axis is predicted from genes better than by chance, all axes counted (p above 0.05)."""
        return bool(self.p_any[0] > LEVEL)

    def said(self, imaging: Imaging = LUNG_CT) -> str:
        """In plain words, how much of what lesions look like the genes predict, beside chance and the power."""
        n, how = int(self.patients[0]), f"cross-validated in {int(self.patients[0])} patients"
        rows = [
            (name, float(r), float(chance), float(p))
            for name, r, chance, p, used in zip(
                map(imaging.name, self.settings.axes), self.cross_validated, self.chance, self.p, self.used, strict=True
            )
            if used
        ]
        shown = [
            f"{name} r {r:.2f} (chance up to {chance:.2f}; p {p:.2g})" for name, r, chance, p in rows if p <= LEVEL
        ]
        others = [name for name, _, _, p in rows if p > LEVEL]
        power = f"a true r of {min(POWER_80 / max(n - 3, 1) ** 0.5, 1.0):.2f} would be seen in 80 % of such cohorts"
        if self.unread:
            return (
                f"no sign that genes predict what lesions look like (p {self.p_any[0]:.2g} for all axes together, "
                f"{how}; {power}): what is drawn from this alignment may follow chance; more patients may help"
            )
        said = f"genes predict what lesions look like (p {self.p_any[0]:.2g} for all axes together), {how}: "
        said += ", ".join(shown) or "no axis by itself"
        return said + (f"; no sign of {', '.join(others)} ({power})" if others else "")

    def code(self, g: Tensor) -> Tensor:
        """Scaled genes (B, G) -> coordinates (B, K), of variance 1 over patients that it was not fitted to.

        In-sample it overfits: with more genes than patients, training patients' codes follow their own lesions and
        spread up to 1.5 times wider. See `in_sample_genes` and `out_of_sample_genes`.
        """
        with torch.autocast(g.device.type, enabled=False):
            return (g.float() - self.gene_mean) @ self.gene_weights

    @torch.no_grad()
    def in_sample_genes(self, genes: Tensor) -> Tensor:
        """Genes whose code is the training patients' own, with variance 1: as far out as that of others.

        Moved by as little as that takes, in the few directions that the code reads.

        Args:
            genes: (n, G) scaled, of patients that this was fitted to.
        """
        code, deviation = (values.double().cpu().numpy() for values in (self.code(genes), self.in_sample_deviation))
        return self._moved(genes, code / np.where(deviation > 0, deviation, 1.0))

    @torch.no_grad()
    def out_of_sample_genes(self, genes: Tensor, lesions: LesionSide, seed: int = 0) -> Tensor:
        """Genes whose code is what the other patients' genes predict: as if each had not been fitted to.

        Cross-fitting, as in stacked regression (Wolpert 1992).

        Args:
            genes: (n, G) scaled, of the patients that this was fitted to.
            lesions: theirs.
            seed: that `fit` was given.
        """
        predicted = self.gene_side(genes.double().cpu().numpy(), seed).predicting @ self.targets(lesions)
        return self._moved(genes, predicted / np.where(self.used, np.maximum(predicted.std(0), 1e-12), 1.0))

    def _moved(self, genes: Tensor, code: NDArray[np.float64]) -> Tensor:
        """The nearest genes (n, G) with this code (n, K)."""
        shift = np.where(self.in_sample_deviation.cpu() > 0, code - self.code(genes).double().cpu().numpy(), 0.0)
        return genes + torch.from_numpy(shift @ np.linalg.pinv(self.gene_weights.double().cpu().numpy())).to(genes)

    def standardized(self, x: Tensor, m: Tensor) -> Tensor:
        """Image and soft mask (B, 1, P, P) -> statistics (B, S), of mean 0 and variance 1 over training patients."""
        return (self.statistics(x, m) - self.mean) / self.deviation

    def statistics(self, x: Tensor, m: Tensor) -> Tensor:
        """Image and soft mask (B, 1, P, P) -> (B, S): `lesion_statistics.appearance`, of large images averaged down."""
        coarse = self.settings.statistics_pixels
        times = x.shape[-1] // coarse if coarse else 1
        return appearance(*((F.avg_pool2d(one, times) for one in (x, m)) if times > 1 else (x, m)))

    def kinds(self, standardized: Tensor) -> Sequence[Tensor]:
        """Statistics (B, S) by kind: shape, level, texture, grain, profile, layout, all of them whitened, and their
        coordinates on the axes that are used.

        Whitened, a rare difference (fine grain in a solid lesion) counts as much as the common ones, which most of the
        statistics share.
        """
        with torch.autocast(standardized.device.type, enabled=False):
            whole = standardized.float() @ self.whitening
            axes = self.coordinates(standardized)[:, self.in_sample_deviation > 0]
            return *standardized.split(SIZES, dim=1), whole, *([axes] if axes.shape[1] else [])

    def coordinates(self, standardized: Tensor) -> Tensor:
        """Statistics (B, S) -> coordinates (B, K), of variance 1 over the training patients' means."""
        with torch.autocast(standardized.device.type, enabled=False):
            return standardized.float() @ self.lesion_weights

    def log_likelihood(self, standardized: Tensor, genes: Tensor) -> Tensor:
        """(B, N): how likely each lesion is of each patient, up to a constant.

        -1/2 sum_j (z_j - r_j c_j)^2 / (1 - r_j^2), for z the lesion's coordinates, c the patient's code, r how closely
        lesions follow it (`follows`): the Gaussian density of a training patient's mean lesion given its genes.

        Args:
            standardized: (B, S).
            genes: (N, G) scaled.
        """
        r = self.follows.clamp(max=CLOSEST)
        z, expected = self.coordinates(standardized), r * self.code(genes)
        precision = (1 - r.square()).rsqrt()
        return (
            -torch.cdist(z * precision, expected * precision, compute_mode="donot_use_mm_for_euclid_dist").square() / 2
        )

    # Use

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> unit vectors (B, K); an axis counts as much as genes predict of it."""
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(self.mean.device)
        return F.normalize(self._weights * self.code(g), dim=1).cpu().numpy()

    @torch.no_grad()
    def encode_lesions(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks (B, P, P), which are softened here -> unit vectors (B, K)."""
        return self.encode_statistics(self.statistics_of(images, masks))

    @torch.no_grad()
    def statistics_of(self, images: NDArray[Any], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks (B, P, P), which are softened here -> statistics (B, S)."""
        parts = [np.zeros((0, sum(SIZES)), np.float32)]
        for start in range(0, len(images), AT_ONCE):
            x = images_from_hu(images[start : start + AT_ONCE]).to(self.mean.device)
            m = torch.from_numpy(np.asarray(masks[start : start + AT_ONCE], np.float32)).unsqueeze(1)
            parts.append(self.statistics(x, soften(m.to(x.device))).cpu().numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def encode_statistics(self, statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        """Statistics (B, S) of slices -> unit vectors (B, K); see `encode_lesions`."""
        z = self.coordinates((torch.from_numpy(statistics).to(self.mean.device) - self.mean) / self.deviation)
        return F.normalize(self._weights * z, dim=1).cpu().numpy()

    @property
    def _weights(self) -> Tensor:
        """(K,) of the axes in unit vectors: never all 0, so that an alignment at chance ranks patients at random."""
        least = self.cross_validated.clamp_min(LEAST_WEIGHT)
        return torch.where(self.in_sample_deviation > 0, least, self.cross_validated)


def _shown(image: Tensor) -> Tensor:
    """Images as the networks see them: in [-1, 1] already, or from int16 HU."""
    return image if image.is_floating_point() else to_unit(image)


def fitted(
    lesions: LesionSide, genes: NDArray[Any], settings: CanonicalAlignmentSettings, seed: int = 0
) -> dict[str, Any]:
    """The buffers of CanonicalAlignment by name.

    Args:
        lesions: of n patients.
        genes: (n, G) scaled.
        seed: of the cross-validation and the permutations.
    """
    side = GeneSide.of(genes, settings.gene_ridge, seed)
    axes = fit_axes(lesions, side, settings, seed)
    spread = (side.predicting @ axes.targets).std(axis=0)  # over patients as if they had not been fitted to
    alive = (spread > 1e-9) & (axes.targets.std(axis=0) > 1e-9)
    gene_weights = np.where(alive, side.weights(axes.targets) / np.where(alive, spread, 1.0), 0.0)
    in_sample = correlations(axes.targets, side.centered @ gene_weights)

    def padded(columns: NDArray[Any], fill: float = 0.0) -> NDArray[Any]:
        """`fill` where an axis is not used, so that the shape does not depend on the data."""
        out = np.full((*columns.shape[:-1], len(settings.axes)), fill)
        out[..., : columns.shape[-1]] = np.where(alive, columns, fill)
        return out

    return {
        "mean": lesions.mean, "deviation": lesions.deviation, "gene_mean": np.mean(genes, axis=0, dtype=np.float64),
        "lesion_weights": padded(axes.lesion_weights), "gene_weights": padded(gene_weights),
        "gene_patterns": padded(side.centered.T @ axes.targets / len(side.centered)),
        "in_sample_deviation": padded((side.centered @ gene_weights).std(axis=0)),
        "cross_validated": padded(np.maximum(axes.r, 0.0)), "follows": padded(np.maximum(in_sample, 0.0)),
        "chance": padded(axes.chance), "p": padded(axes.p, 1.0),
        "p_any": [axes.p_any], "whitening": lesions.whitening, "patients": [len(side.centered)],
    }  # fmt: skip
