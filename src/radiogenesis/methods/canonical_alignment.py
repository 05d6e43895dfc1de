"""Canonical alignment: the few directions of what lesions look like that their patients' genes foretell.

The same object as `alignment` (METHODS.md section 1b), in closed form. Both sides are linear: a ridge regression from
genes to the appearance of each training patient's lesions, judged on the patient that was left out, and the
directions of appearance in which that judgement is best (canonical correlation with a ridge on either side; Hotelling
1936, Vinod 1976). With a hundred patients and thousands of genes this generalises where a contrastive network learns
the training patients by heart. How many directions there are is decided against shuffled genes, by two tests: a
property that shows little may be well foretold, one that shows much may be foretold poorly and yet beyond chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.methods.checks import require
from radiogenesis.methods.images import images_from_hu, soften
from radiogenesis.methods.protocols import Batch, Player
from radiogenesis.networks.lesion_statistics import SIZES, appearance

Floats = NDArray[np.float64]
GENE_RIDGES = np.logspace(-1.5, 1.5, 7)  # in units of a patient's mean squared expression
NO_SPREAD = 1e-9  # of the largest spread over patients: less is a rounding error
HIGHEST_READABILITY = 0.9  # no direction is taken to be known better from genes than this
LEVEL = 0.05  # of a test against shuffled genes


@dataclass(frozen=True, kw_only=True)
class CanonicalAlignmentSettings:
    """Settings of the canonical alignment."""

    directions: int = 12
    """At most so many directions; kept are the first that genes foretell better than shuffled genes foretell theirs."""
    lesion_ridge: float = 0.3
    """Added to the variance of every (standardised) statistic, above 0: what varies less than this is not trusted."""
    permutations: int = 100
    """Shuffles of the genes between patients behind the number of directions, at least 20."""

    def __post_init__(self) -> None:
        require(self, ("directions",), "at least 1", lambda v: v >= 1)
        require(self, ("permutations",), "at least 20", lambda v: v >= 20)
        require(self, ("lesion_ridge",), "above 0", lambda v: v > 0)


class CanonicalAlignment(nn.Module):
    """Lesions and genes on the same few axes.

    Implements Trainable (nothing moves: `fit` does all), Critic, GeneEncoder and LesionEncoder.

    Args:
        settings: see CanonicalAlignmentSettings.
        genes: number of genes.

    Attributes:
        readability: (K,) correlation of each direction with what the genes of a left-out patient foretell; 0 where a
            direction is not used.
        chance: (K,) 95th percentile of the readability of the first, second, ... direction of shuffled genes.
        p: (K,) of each direction against shuffled genes, by the better of two tests and doubled for there being two; 1
            after the first that is not kept. Directions are kept one after the other while either test is at 5 %.
        gene_weights: (G, K): a direction's coordinate is this weighted sum of a patient's genes.
        ridge: (1,) of the regression from genes that they come from.
        seen: (K,) deviation of the code of the patients that the regression has seen; that of others is 1.
        whitening: (S, S): statistics times this are uncorrelated, but for the ridge, and of variance at most 1.
    """

    def __init__(self, settings: CanonicalAlignmentSettings, *, genes: int) -> None:
        super().__init__()
        self.settings = settings
        k, s = settings.directions, sum(SIZES)
        shapes = {
            "mean": (s,), "deviation": (s,), "lesion_weights": (s, k), "gene_mean": (genes,),
            "gene_weights": (genes, k), "ridge": (1,), "seen": (k,), "readability": (k,), "chance": (k,), "p": (k,),
            "whitening": (s, s),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.mean: Tensor
        self.deviation: Tensor
        self.lesion_weights: Tensor
        self.gene_mean: Tensor
        self.gene_weights: Tensor
        self.ridge: Tensor
        self.seen: Tensor
        self.readability: Tensor
        self.chance: Tensor
        self.p: Tensor
        self.whitening: Tensor

    # Trainable, with nothing to do step by step

    views = 1

    def players(self) -> Sequence[Player]:
        return ()

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def averaged(self) -> nn.Module | None:
        return None

    def fit(self, image: Tensor, mask: Tensor, patient: NDArray[np.int64], genes: NDArray[Any], seed: int) -> None:
        """Find the directions.

        Args:
            image: (N, 1, P, P) slices of the training patients in [-1, 1].
            mask: (N, 1, P, P) their masks, softened.
            patient: (N,) row of each slice's patient in `genes`; every patient has slices.
            genes: (n, G) scaled.
            seed: of the shuffles.
        """
        statistics = torch.cat(
            [appearance(image[i : i + 256], mask[i : i + 256]) for i in range(0, len(image), 256)]
        ).numpy()  # fmt: skip
        found = canonical_directions(statistics, patient, np.asarray(genes, float), self.settings, seed)
        for name, value in found.items():
            buffer = self.get_buffer(name)
            buffer.copy_(torch.from_numpy(np.asarray(value)).to(buffer.dtype))

    # Critic

    @property
    def code_length(self) -> int:
        return self.settings.directions

    @property
    def unread(self) -> bool:
        """Whether no direction is foretold better than shuffled genes foretell theirs, both tests counted."""
        return bool(self.p[0] > LEVEL)

    def said(self) -> str:
        """In plain words, how much of what lesions look like the genes foretell."""
        if self.unread:
            return (
                f"genes foretell nothing of what lesions look like that shuffled genes do not (p {self.p[0]:.2g}): "
                "what is drawn from this alignment follows chance; more patients may help"
            )
        kept = self.readability[self.readability > 0]
        read = " ".join(f"{r:.2f}" for r in kept)
        return f"genes foretell {len(kept)} directions of what lesions look like (p {self.p[0]:.2g}); r {read}"

    def code(self, g: Tensor) -> Tensor:
        """Scaled genes (B, G) -> coordinates (B, K), of variance 1 over patients that the regression has not seen.

        Those it has seen it knows by heart: with more genes than patients their code is where their own lesions lie,
        up to half as far out again as what genes foretell of others. See `seen_genes` and `unseen_genes`.
        """
        with torch.autocast(g.device.type, enabled=False):
            return (g.float() - self.gene_mean) @ self.gene_weights

    @torch.no_grad()
    def seen_genes(self, genes: Tensor) -> Tensor:
        """Genes whose code is the training patients' own, with variance 1: as far out as that of others.

        Moved by as little as that takes, in the few directions that the code reads.

        Args:
            genes: (n, G) scaled, of patients that this was fitted to.
        """
        code, seen = (values.double().cpu().numpy() for values in (self.code(genes), self.seen))
        return self._moved(genes, code / np.where(seen > 0, seen, 1.0))

    @torch.no_grad()
    def unseen_genes(self, genes: Tensor, lesions: Tensor) -> Tensor:
        """Genes whose code is what the other patients foretell: as if each had not been seen.

        Cross-fitting, as in stacked regression (Wolpert 1992).

        Args:
            genes: (n, G) scaled, of the patients that this was fitted to.
            lesions: (n, K) means of their lesions' coordinates.
        """
        z = lesions.double().cpu().numpy()
        _, kernel, _ = centred_kernel(genes.double().cpu().numpy())
        foretold = left_out(z - z.mean(0), kernel, float(self.ridge))
        return self._moved(genes, foretold / np.where(self.seen.cpu() > 0, foretold.std(0), 1.0))

    def _moved(self, genes: Tensor, code: Floats) -> Tensor:
        """The nearest genes (n, G) with this code (n, K)."""
        shift = np.where(self.seen.cpu() > 0, code - self.code(genes).double().cpu().numpy(), 0.0)
        return genes + torch.from_numpy(shift @ np.linalg.pinv(self.gene_weights.double().cpu().numpy())).to(genes)

    def standardised(self, x: Tensor, m: Tensor) -> Tensor:
        """Image and soft mask (B, 1, P, P) -> statistics (B, S), of mean 0 and variance 1 over training patients."""
        return (appearance(x, m) - self.mean) / self.deviation

    def kinds(self, standardised: Tensor) -> Sequence[Tensor]:
        """Statistics (B, S) by kind: shape, level, texture, grain, profile, and all of them whitened.

        Whitened, a rare difference (fine grain in a solid lesion) counts as much as the common ones, which most of the
        statistics share.
        """
        with torch.autocast(standardised.device.type, enabled=False):
            return *standardised.split(SIZES, dim=1), standardised.float() @ self.whitening

    def coordinates(self, standardised: Tensor) -> Tensor:
        """Statistics (B, S) -> coordinates (B, K), of variance 1 over the training patients' means."""
        with torch.autocast(standardised.device.type, enabled=False):
            return standardised.float() @ self.lesion_weights

    def log_likelihood(self, standardised: Tensor, genes: Tensor) -> Tensor:
        """(B, N): how likely each lesion is of each patient, up to a constant.

        -1/2 sum_j (z_j - r_j c_j)^2 / (1 - r_j^2), for z the lesion's coordinates, c the patient's, r the readability:
        the Gaussian density of a patient's mean lesion given the patient's genes.

        Args:
            standardised: (B, S).
            genes: (N, G) scaled.
        """
        r = self.readability.clamp(max=HIGHEST_READABILITY)
        z, expected = self.coordinates(standardised), r * self.code(genes)
        precision = (1 - r.square()).rsqrt()
        return (
            -torch.cdist(z * precision, expected * precision, compute_mode="donot_use_mm_for_euclid_dist").square() / 2
        )

    # Use

    @torch.no_grad()
    def encode(self, expression: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scaled genes (B, G) -> unit vectors (B, K); a direction counts as much as it is readable."""
        g = torch.from_numpy(np.asarray(expression, np.float32)).to(self.mean.device)
        return F.normalize(self.readability * self.code(g), dim=1).cpu().numpy()

    @torch.no_grad()
    def encode_lesions(self, images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Slices (B, P, P) in HU with hard masks (B, P, P), which are softened here -> unit vectors (B, K)."""
        parts = [np.zeros((0, self.settings.directions), np.float32)]
        for start in range(0, len(images), 256):
            x = images_from_hu(images[start : start + 256]).to(self.mean.device)
            m = soften(torch.from_numpy(np.asarray(masks[start : start + 256], np.float32)).unsqueeze(1).to(x.device))
            z = self.coordinates(self.standardised(x, m))
            parts.append(F.normalize(self.readability * z, dim=1).cpu().numpy())
        return np.concatenate(parts)


def canonical_directions(
    statistics: NDArray[Any],
    patient: NDArray[np.int64],
    genes: Floats,
    settings: CanonicalAlignmentSettings,
    seed: int = 0,
) -> dict[str, Any]:
    """The directions of appearance that genes foretell, and the genes' weights in them.

    With M the patients' mean statistics, M' what ridge regression foretells for each patient from the others, and C_t
    the covariance of the statistics over slices, the directions are those w that make most of

        w' (M' M'^T) w / w' (C_t + lambda I) w        (M' M'^T: the symmetric part of M^T M' / n).

    Patients count alike, however many slices they have.

    Args:
        statistics: (N, S) of the slices.
        patient: (N,) rows of `genes`.
        genes: (n, G) scaled.
        seed: of the shuffles.

    Returns:
        the buffers of CanonicalAlignment by name.
    """
    n, k = len(genes), settings.directions
    count = np.bincount(patient, minlength=n)
    weight = 1 / (n * count[patient])  # (N,)
    mean = weight @ statistics
    deviation = np.sqrt(weight @ (statistics - mean) ** 2) + 1e-6
    h = (statistics - mean) / deviation
    spread = (h * weight[:, None]).T @ h  # C_t (S, S)
    means = np.stack([h[patient == p].mean(0) for p in range(n)])  # M (n, S)
    whiten = np.linalg.inv(np.linalg.cholesky(spread + settings.lesion_ridge * np.eye(len(spread))))  # L^-1
    centred, kernel, scale = centred_kernel(genes)
    found = best_directions(means, kernel, whiten, k)
    rng = np.random.default_rng(seed)
    shuffled = [best_directions(means, _permuted(kernel, rng), whiten, k) for _ in range(settings.permutations)]
    readable = np.stack([one.readability for one in shuffled])
    p = 2 * by_two_tests(found, shuffled, means, kernel, whiten, rng)
    used = p <= 2 * LEVEL
    used[0] = True  # one in any case, so that a model of shuffled genes has something to follow
    z = means @ found.weights
    dual = np.linalg.solve(kernel + found.ridge * np.eye(n), z)
    gene_weights = centred.T @ dual / scale
    gene_weights = gene_weights / np.maximum(left_out(z, kernel, found.ridge).std(0), 1e-12)

    def padded(columns: Floats) -> Floats:
        """Zero where a direction is not used, so that the shape does not depend on the data."""
        out = np.zeros((*columns.shape[:-1], k))
        out[..., : columns.shape[-1]] = np.where(used, columns, 0.0)
        return out

    return {
        "mean": mean, "deviation": deviation, "gene_mean": genes.mean(0), "chance": np.quantile(readable, 0.95, axis=0),
        "p": np.minimum(np.pad(p, (0, k - len(p)), constant_values=1.0), 1.0),
        "lesion_weights": padded(found.weights), "gene_weights": padded(gene_weights),
        "ridge": [found.ridge], "seen": padded((centred @ gene_weights).std(0)),
        "readability": padded(np.maximum(found.readability, 0.0)), "whitening": whiten.T,
    }  # fmt: skip


@dataclass(frozen=True)
class Directions:
    """Directions of appearance, the most covariance with the genes first.

    Attributes:
        ridge: of the regression from genes.
        weights: (S, K); a patient's mean statistics times these have variance 1 over the patients.
        readability: (K,) correlation of a patient's coordinates with what the other patients foretell of them.
        explained: (K,) share of the coordinates' variance that is foretold, below 0 where the mean is a better guess.
        covariance: (K,) what the directions make most of: the quotient that `canonical_directions` describes.
    """

    ridge: float
    weights: Floats
    readability: Floats
    explained: Floats
    covariance: Floats


def by_two_tests(
    found: Directions, shuffled: Sequence[Directions], means: Floats, kernel: Floats, whiten: Floats,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """(K,) the smaller p of two permutation tests of each direction; 1 after the first at which neither is at 5 %.

    One asks whether a direction's readability is above that of the direction of its rank of shuffled genes (parallel
    analysis; Horn 1965), the other whether its covariance is above the largest of shuffled genes, once the directions
    before it are taken out of the lesions (after Winkler et al. 2020).

    Args:
        shuffled: the directions of as many shuffles as the tests have.
        rng: of the shuffles behind the second test of all but the first direction.
    """
    out = np.ones(len(found.readability))
    z = means @ found.weights
    for j, readability in enumerate(found.readability):
        by_readability = _p(readability, [one.readability[j] for one in shuffled])
        if j:
            q = np.linalg.qr(z[:, :j])[0]
            left = means - q @ (q.T @ means)
            null = [directions(left, _permuted(kernel, rng), whiten, found.ridge, 1) for _ in shuffled]
            own = directions(left, kernel, whiten, found.ridge, 1)
        else:
            null, own = list(shuffled), found
        out[j] = min(by_readability, _p(own.covariance[0], [one.covariance[0] for one in null]))
        if out[j] > LEVEL:
            break
    return out


def _permuted(kernel: Floats, rng: np.random.Generator) -> Floats:
    """The kernel of the genes when they are given to other patients."""
    order = rng.permutation(len(kernel))
    return kernel[np.ix_(order, order)]


def _p(observed: float, null: Sequence[float]) -> float:
    """Of a permutation test (Phipson and Smyth 2010): never 0."""
    return (1 + sum(value >= observed for value in null)) / (1 + len(null))


def centred_kernel(genes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Genes (n, G) about their mean, their kernel (n, n) in units of a patient's mean squared expression, and the unit:
    what every regression from genes here is made with."""
    centred = genes - genes.mean(0)
    scale = float((centred**2).sum() / len(genes)) or 1.0
    return centred, centred @ centred.T / scale, scale


def best_directions(means: Floats, kernel: Floats, whiten: Floats, k: int) -> Directions:
    """`directions` at the ridge at which most of the coordinates is foretold."""
    return max(
        (directions(means, kernel, whiten, ridge, k) for ridge in GENE_RIDGES),
        key=lambda candidate: np.maximum(candidate.explained, 0).sum(),
    )


def directions(means: Floats, kernel: Floats, whiten: Floats, ridge: float, k: int) -> Directions:
    """The first k directions at one ridge; where fewer patients than directions differ, the rest are zero.

    Args:
        means: M (n, S), of mean 0.
        kernel: (n, n) of the genes, centred.
        whiten: (S, S), L^-1 of C_t + lambda I = L L^T.
    """
    foretold = left_out(means, kernel, ridge)
    covariance = means.T @ foretold / len(means)
    value, vectors = np.linalg.eigh(whiten @ ((covariance + covariance.T) / 2) @ whiten.T)
    weights = whiten.T @ vectors
    spread = (means @ weights).std(0)
    apart = spread > NO_SPREAD * spread.max()  # n patients differ in n - 1 directions: more would be rounding errors
    first = np.lexsort((-value, ~apart))[:k]
    weights = np.where(apart, weights / np.where(apart, spread, 1.0), 0.0)[:, first]
    z, expected = means @ weights, foretold @ weights
    scale = expected.std(0)  # that of z is 1 and its mean 0, or all of it is 0
    readability = np.divide((z * expected).mean(0), scale, out=np.zeros_like(scale), where=scale > 0)
    explained = np.where(apart[first], 1 - ((z - expected) ** 2).mean(0), 0.0)
    return Directions(ridge, weights, readability, explained, np.where(apart, value, 0.0)[first])


def left_out(values: Floats, kernel: Floats, ridge: float) -> Floats:
    """What kernel ridge regression foretells for each row from the other rows, in closed form (Allen 1974).

    y_i - (y_i - yhat_i) / (1 - H_ii),   H = 1/n + K (K + ridge I)^-1 for a centred kernel K.

    Args:
        values: (n, S) centred.
        kernel: (n, n) centred.
    """
    n = len(kernel)
    hat = np.linalg.solve(kernel + ridge * np.eye(n), kernel).T + 1 / n
    residual = values - hat @ values
    return values - residual / (1 - np.diag(hat))[:, None]
