"""The space of gene codes (Xu et al. 2020, figure 4): are there clusters, and do near codes mean alike lesions?

The paper shows a t-SNE of three clusters, and t-SNE shows clusters in anything. Two tests, for training and for
held-out patients apart:

- Clusters: k-means on the training patients' codes; held-out patients join the nearest center. Silhouette
  (Rousseeuw 1987), beside two nulls, both of which must reject. Shuffled: each gene shuffled between patients by
  itself, which keeps the encoder and every gene's distribution, and destroys the patients. That also destroys what
  genes have in common: a mere gradient that many genes share is tighter, too, without any groups. So Gaussian: draws
  from a normal distribution of the codes' own mean and covariance, which has the gradients and no groups.
- Appearance: Mantel's (1967) correlation between distance in code and distance in the appearance of the patients' own
  lesions (standardized radiomic features: shape, intensity and texture), of ranks; null: patients permuted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from radiogenesis.evaluation.descriptions.lesions import Axes, Lesions, complete
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.mantel import mantel
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import (
    Floats,
    interval,
    nanmean,
    permutation_p,
)

TRAINING, HELD_OUT = "training", "held out"
RAW = "raw genes"
Encode = Callable[[NDArray[Any]], NDArray[Any]]
"""Scaled genes (B, G) -> codes (B, D)."""


@dataclass(frozen=True)
class Codes:
    """The codes of one encoder.

    Attributes:
        name: of the encoder, or "raw genes".
        training, held_out: (t, D) and (h, D) codes.
        clusters: k-means of the training codes; centers are kept, so that held-out patients can join.
    """

    name: str
    training: Floats
    held_out: Floats
    clusters: KMeans

    @classmethod
    def of(
        cls, name: str, encode: Encode, training: NDArray[Any], held_out: NDArray[Any], count: int, seed: int
    ) -> Codes:
        """Encode genes (t, G) and (h, G), and cluster."""
        codes, others = (np.asarray(encode(genes), float) for genes in (training, held_out))
        return cls(name, codes, others, _cluster(codes, count, seed))

    def part(self, name: str) -> Floats:
        """The codes of the training or of the held-out patients."""
        return self.training if name == TRAINING else self.held_out

    def labels(self, name: str) -> NDArray[np.int32]:
        """(n,) cluster of each patient of a part."""
        return np.asarray(self.clusters.predict(self.part(name)))


def _cluster(codes: Floats, count: int, seed: int) -> KMeans:
    """At most `count` clusters: codes of a single direction know two places only."""
    places = len(np.unique(codes.round(6), axis=0))
    return KMeans(min(count, places), n_init=4, random_state=seed).fit(codes)


def silhouette(codes: Floats, labels: NDArray[Any]) -> float:
    """Mean silhouette; nan where there is only one cluster, or every patient is one."""
    clusters = len(set(labels.tolist()))
    return float(silhouette_score(codes, labels)) if 2 <= clusters < len(codes) else float("nan")


SHUFFLED, GAUSSIAN = "null", "gaussian"  # how the columns of the two nulls begin


def cluster_table(
    codes: Sequence[Codes],
    encoders: Sequence[Encode],
    training: Sequence[NDArray[Any]],
    held_out: NDArray[Any],
    reference: Codes,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Silhouettes of every space beside their nulls.

    Args:
        encoders: what made each of `codes`.
        training: (t, G) scaled genes for each of them, as its method was given them.
        held_out: (h, G) scaled genes.
        reference: the codes whose clusters color figure 4.

    Returns:
        columns space, part, silhouette (clusters found in the space itself), null_mean, null_low, null_high (genes
        shuffled), gaussian_mean, gaussian_low, gaussian_high (Gaussian codes), p (the larger of the two nulls'),
        of_reference (of the reference's clusters, seen in this space), clusters, patients, q (over the table).
    """
    null = _cluster_nulls(codes, encoders, training, held_out, settings)
    rows = []
    for space in codes:
        for part in (TRAINING, HELD_OUT):
            value = silhouette(space.part(part), space.labels(part))
            row: dict[str, Any] = {"space": space.name, "part": part, "silhouette": value}
            p = []
            for kind in (SHUFFLED, GAUSSIAN):
                known = np.array(null[kind, space.name, part])
                low, high = interval(known, settings.confidence)
                row |= {f"{kind}_mean": float(nanmean(known, 0)), f"{kind}_low": low, f"{kind}_high": high}
                p.append(permutation_p(value, known[np.isfinite(known)]))
            row |= {"p": max(p), "of_reference": silhouette(space.part(part), reference.labels(part))}
            rows.append({**row, "clusters": settings.clusters, "patients": len(space.part(part))})
    table = pd.DataFrame(rows)
    return table.assign(q=false_discovery_rate(table["p"].to_numpy()))


def _cluster_nulls(
    codes: Sequence[Codes],
    encoders: Sequence[Encode],
    training: Sequence[NDArray[Any]],
    held_out: NDArray[Any],
    settings: EvaluationSettings,
) -> dict[tuple[str, str, str], list[float]]:
    """(null, space, part) -> silhouettes under the null; arguments as for `cluster_table`."""
    null: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for number in range(settings.gene_shuffles):
        for space, encode, given in zip(codes, encoders, training, strict=True):
            rng = np.random.default_rng([settings.seed, 13, number])  # the same shuffle for all spaces
            shuffled, shuffled_held_out = (rng.permuted(genes, axis=0) for genes in (given, held_out))
            encoded = {
                SHUFFLED: (encode(shuffled), encode(shuffled_held_out)),
                GAUSSIAN: (gaussian(space.training, rng), gaussian(space.held_out, rng)),
            }
            for kind, parts in encoded.items():
                drawn = Codes.of("", np.asarray, *parts, settings.clusters, settings.seed)
                for part in (TRAINING, HELD_OUT):
                    null[kind, space.name, part].append(silhouette(drawn.part(part), drawn.labels(part)))
    return null


def gaussian(codes: Floats, rng: np.random.Generator) -> Floats:
    """(n, D) draws from the normal distribution of (n, D) codes' own mean and covariance, which may be singular."""
    mean, n = codes.mean(0), len(codes)
    return np.asarray(mean + rng.normal(size=(n, n)) @ (codes - mean) / np.sqrt(max(n - 1, 1)))


def appearance(real: Lesions, axes: Axes, patients: Sequence[str]) -> Floats:
    """(n, d) mean of the radiomic features over each patient's own lesions; nan for who has none."""
    real = real[complete(real.features)]
    x = axes(real.features)
    each = [x[real.patient == p] for p in patients]
    return np.stack([one.mean(0) if len(one) else np.full(x.shape[1], np.nan) for one in each])


def mantel_table(
    codes: Sequence[Codes], training: Floats, held_out: Floats, settings: EvaluationSettings
) -> pd.DataFrame:
    """Distance in code against distance in appearance, for every space.

    Args:
        training, held_out: (t, d), (h, d) appearance of the patients' own lesions.

    Returns:
        columns space, part, rho, low, high, null_low, null_high, p, patients, q (over the table).
    """
    rows = []
    for space in codes:
        for part, looks in ((TRAINING, training), (HELD_OUT, held_out)):
            known = np.isfinite(looks).all(1)
            code_distances, look_distances = (squareform(pdist(values[known])) for values in (space.part(part), looks))
            draws = max(1, settings.bootstrap // 10)  # each resample weighs all pairs; the tail needs no more
            test = mantel(
                code_distances,
                look_distances,
                draws=draws,
                permutations=settings.permutations,
                seed=[settings.seed, 14],
            )
            low, high = interval(test.draws, settings.confidence)
            null_low, null_high = interval(test.null, settings.confidence)
            rows.append(
                {
                    "space": space.name, "part": part, "rho": test.rho, "low": low, "high": high,
                    "null_low": null_low, "null_high": null_high, "p": test.p, "patients": int(known.sum()),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(q=false_discovery_rate(table["p"].to_numpy()))


def tsne(values: Floats, seed: int) -> Floats:
    """(n, D) -> (n, 2). Perplexity 30, or less where there are few patients.

    Codes that know one place or two need no map, on which t-SNE would crash: they are put at 0 and 1.
    """
    places, which = np.unique(values.round(6), axis=0, return_inverse=True)
    if len(places) < 3:
        return np.stack([which, np.zeros(len(values))], axis=1)
    perplexity = max(2.0, min(30.0, (len(values) - 1) / 3))
    init = "pca" if values.shape[1] > 1 else "random"  # a single direction has no two components
    return np.asarray(TSNE(2, perplexity=perplexity, init=init, random_state=seed).fit_transform(values), float)
