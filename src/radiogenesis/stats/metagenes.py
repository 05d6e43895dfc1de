"""Metagenes: co-expressed genes as one value, fitted on training patients only.

Genes that rise and fall together over patients, whichever way, go into one metagene; a gene that falls where the
others rise belongs to it with the sign -1. Clustering thus maximizes the sum over genes of |r|, r the correlation of a
gene with its cluster's profile: k-means on unit profiles up to their sign (diametrical clustering, Dhillon et al. 2003,
with the sum of |r| in place of r squared). 60,607 genes take seconds, since a step is one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from radiogenesis.errors import SettingError

Method = Literal["kmeans", "hierarchical"]
Floats = NDArray[np.float64]
_Single = NDArray[np.float32]

MOST_FOR_HIERARCHY = 12_000
"""Genes above which the matrix of distances of "hierarchical" outgrows a laptop's memory (0.6 GB here)."""
_STARTS, _STEPS = 4, 100
CANDIDATES = (10, 15, 20, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True, eq=False)
class Stability:
    """How well a clustering returns on other patients.

    Attributes:
        rand: (R,) adjusted Rand index between the clustering and that of each resample; 1 the same, 0 chance.
        jaccard: (K,) of each metagene: overlap with its best match, averaged over resamples; below 0.6 a cluster is
            not to be trusted (Hennig 2007).
    """

    rand: Floats
    jaccard: Floats


@dataclass(frozen=True, eq=False)
class Metagenes:
    """Which genes make up which metagene.

    Attributes:
        names: (G,) genes, in the order of the columns that `transform` takes.
        label: (G,) metagene of each gene, 0 to K - 1; metagene 0 has most genes.
        sign: (G,) +1 or -1: whether the gene goes with its metagene or against it; most go with it.
        strength: (G,) correlation of the gene, its sign applied, with its metagene over the training patients.
        homogeneity: (K,) mean correlation between two members, signs applied; nan for a metagene of one gene.
        method: how they were clustered, and will be again where their stability is asked for.
    """

    names: tuple[str, ...]
    label: NDArray[np.int64]
    sign: Floats
    strength: Floats
    homogeneity: Floats
    method: Method = "kmeans"

    @classmethod
    def fit(
        cls,
        genes: NDArray[Any],
        names: Sequence[str],
        *,
        clusters: int = 100,
        method: Method = "kmeans",
        seed: int = 0,
    ) -> Metagenes:
        """Cluster the genes by their correlation over the training patients.

        Args:
            genes: (n, G) z-scores of the training patients, as `ExpressionScaler.transform` gives them.
            names: of the G genes.
            clusters: how many metagenes (100 in Li, Sui et al.); `choose_clusters` proposes a number.
            method: "kmeans", for any number of genes, or "hierarchical": average linkage of 1 - |r|.
            seed: of the starting profiles of "kmeans".

        Raises:
            SettingError: more clusters than genes, fewer than one, or too many genes for "hierarchical".
            ValueError: names of another number, missing values, a gene that does not vary, fewer than three patients.
        """
        values = np.asarray(genes, np.float64)
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ValueError(f"genes {values.shape} must be (patients, {len(names)})")
        if len(values) < 3 or not np.isfinite(values).all():
            raise ValueError(f"{len(values)} patients; at least 3, without missing values")
        constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
        if len(constant):
            raise ValueError(f"gene {names[constant[0]]} does not vary over the training patients")
        unit = _unit_profiles(values)
        label = _cluster(unit, clusters, method, seed)
        label, sign = _oriented(unit, label, clusters)
        size = np.bincount(label, minlength=clusters)
        total = _sums(unit, label, sign, clusters).astype(np.float64)
        length = np.linalg.norm(total, axis=1)
        pairs = np.where(size > 1, size * (size - 1.0), np.nan)
        homogeneity = (length**2 - size) / pairs  # the sum over pairs, from the square of the sum over genes
        strength = sign * np.einsum("gn,gn->g", unit, (total / length[:, None])[label])
        return cls(tuple(map(str, names)), label, sign, strength.astype(np.float64), homogeneity, method)

    def __len__(self) -> int:
        return len(self.homogeneity)

    @property
    def ids(self) -> tuple[str, ...]:
        """(K,) names of the metagenes: MG001 has most genes."""
        return tuple(f"MG{k + 1:03d}" for k in range(len(self)))

    @property
    def size(self) -> NDArray[np.int64]:
        """(K,) genes of each metagene."""
        return np.bincount(self.label, minlength=len(self)).astype(np.int64)

    @property
    def weights(self) -> Floats:
        """(G, K): a metagene's value is z-scores @ weights; +-1 / size for members, else 0."""
        weights = np.zeros((len(self.names), len(self)))
        weights[np.arange(len(self.names)), self.label] = self.sign / self.size[self.label]
        return weights

    def transform(self, genes: NDArray[Any]) -> _Single:
        """(n, G) z-scores -> (n, K): the mean of each metagene's members, those that go against it turned round."""
        values = np.asarray(genes)
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise ValueError(f"genes {values.shape} must be (patients, {len(self.names)})")
        sums = _sums(np.ascontiguousarray(values.T), self.label, self.sign, len(self))
        return np.ascontiguousarray((sums / self.size[:, None]).T.astype(np.float32))

    def members(self, k: int) -> tuple[str, ...]:
        """Genes of metagene k, the most typical first."""
        mine = np.flatnonzero(self.label == k)
        return tuple(self.names[i] for i in mine[np.argsort(-self.strength[mine], kind="stable")])

    def stability(self, genes: NDArray[Any], *, resamples: int = 10, fraction: float = 0.8, seed: int = 0) -> Stability:
        """Cluster random parts of the training patients again, by the same method, and compare.

        Args:
            genes: (n, G) what `fit` was given.
            resamples: how many parts.
            fraction: of the patients in each part, drawn without replacement: a patient twice would correlate genes.
            seed: of the parts.
        """
        rng = np.random.default_rng([seed, 0x57AB])
        rand, overlap = [], []
        for part in range(resamples):
            chosen = rng.permutation(len(genes))[: max(3, round(fraction * len(genes)))]
            other = _cluster(_unit_profiles(np.asarray(genes)[chosen]), len(self), self.method, seed + part)
            rand.append(adjusted_rand_score(self.label, other))
            overlap.append(_best_overlap(self.label, other, len(self)))
        return Stability(np.array(rand), np.mean(overlap, axis=0))

    def coherent(self, genes: NDArray[Any], *, seed: int = 0) -> NDArray[np.bool_]:
        """(K,) whether members go together clearly more than independent genes do when they are clustered.

        Clustering finds something in noise too: genes of no module that happen to lie near a strong profile in these
        patients are put together, and their mean follows that profile, here and nowhere else. So every gene is given
        its values in an order of its own, clustered alike, and a metagene counts as coherent when its homogeneity is
        more than twice the median of those clusters. A metagene of one gene is that gene, and counts as coherent.
        """
        alone = np.random.default_rng([seed, 0xA10E]).permuted(np.asarray(genes, np.float64), axis=0)
        chance = Metagenes.fit(alone, self.names, clusters=len(self), method=self.method, seed=seed).homogeneity
        limit = 2 * np.nanmedian(chance) if np.isfinite(chance).any() else 0.0
        good: NDArray[np.bool_] = np.isnan(self.homogeneity) | (self.homogeneity > limit)
        return good

    def table(self) -> pd.DataFrame:
        """Tidy: gene, metagene, sign, strength."""
        return pd.DataFrame(
            {
                "gene": self.names,
                "metagene": np.array(self.ids)[self.label],
                "sign": self.sign.astype(int),
                "strength": self.strength,
            }
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, as safetensors stores them; names as UTF-8 bytes, one per line."""
        return {
            "names": np.frombuffer("\n".join(self.names).encode(), np.uint8).copy(),
            "label": self.label,
            "sign": self.sign,
            "strength": self.strength,
            "homogeneity": self.homogeneity,
            "method": np.frombuffer(self.method.encode(), np.uint8).copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Metagenes:
        """What `to_arrays` made; before it wrote down the method there was k-means only."""
        method: Any = np.asarray(arrays["method"], np.uint8).tobytes().decode() if "method" in arrays else "kmeans"
        names = tuple(np.asarray(arrays["names"], np.uint8).tobytes().decode().split("\n"))
        sign, strength, homogeneity = (np.asarray(arrays[n], np.float64) for n in ("sign", "strength", "homogeneity"))
        return cls(names, np.asarray(arrays["label"], np.int64), sign, strength, homogeneity, method)


def choose_clusters(
    genes: NDArray[Any], *, candidates: Sequence[int] = CANDIDATES, resamples: int = 6, seed: int = 0
) -> tuple[int, pd.DataFrame]:
    """The number of metagenes that returns best on other patients.

    The rule: the patients are halved at random, both halves are clustered, and the two clusterings are compared by the
    adjusted Rand index, which is free of chance at any number. Of the candidates whose mean index is within one
    standard error of the highest, the smallest is taken: every further metagene is one more test. Genes that belong to
    no module need metagenes of their own, so the number exceeds that of the modules a little (phantom with 110
    patients and 5,172 genes, two thirds of them in 40 modules: 50).

    Args:
        genes: (n, G) z-scores of the training patients.
        candidates: numbers to try; those above G / 2 are left out.
        resamples: halvings.
        seed: of the halvings.

    Returns:
        the number, and a table: clusters, rand, error.
    """
    values = np.asarray(genes)
    tried = [k for k in candidates if k <= values.shape[1] / 2]
    if not tried or len(values) < 6:
        raise SettingError(
            f"{values.shape[1]} genes of {len(values)} patients: too few to choose a number of metagenes"
        )
    rng = np.random.default_rng([seed, 0xC1])
    halvings = [np.array_split(rng.permutation(len(values)), 2) for _ in range(resamples)]
    profiles = [[_unit_profiles(values[half]) for half in pair] for pair in halvings]
    rand = np.array(
        [
            [adjusted_rand_score(*(_cluster(unit, k, "kmeans", seed, starts=1) for unit in pair)) for pair in profiles]
            for k in tried
        ]
    )
    mean, error = rand.mean(axis=1), rand.std(axis=1, ddof=1) / np.sqrt(resamples)
    enough = mean >= (mean - error)[np.argmax(mean)]
    chosen = min(k for k, good in zip(tried, enough, strict=True) if good)
    return chosen, pd.DataFrame({"clusters": tried, "rand": mean, "error": error})


def _unit_profiles(genes: NDArray[Any]) -> _Single:
    """(n, G) -> (G, n) centered and of length 1, so that a product is a correlation; 0 where a gene does not vary."""
    centered = np.asarray(genes, np.float64).T
    centered = centered - centered.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.ascontiguousarray(centered / np.where(length > 1e-9, length, np.inf), np.float32)


def _cluster(unit: _Single, clusters: int, method: Method, seed: int, starts: int = _STARTS) -> NDArray[np.int64]:
    """(G,) cluster of each gene, none of them empty."""
    if not 1 <= clusters <= len(unit):
        raise SettingError(f"clusters {clusters}: from 1 to the number of genes, {len(unit)}")
    if method not in get_args(Method):
        raise SettingError(f"method {method!r}: one of {', '.join(get_args(Method))}")
    if method == "hierarchical":
        return _hierarchy(unit, clusters)
    rng = np.random.default_rng([seed, 0x3E7A])
    clusterings = [_k_means(unit, _spread_profiles(unit, clusters, rng)) for _ in range(starts)]
    return max(clusterings, key=lambda one: one[1])[0]


def _hierarchy(unit: _Single, clusters: int) -> NDArray[np.int64]:
    """Average linkage of 1 - |r|, cut into exactly `clusters`."""
    if len(unit) > MOST_FOR_HIERARCHY:
        raise SettingError(
            f"hierarchical clustering of {len(unit)} genes needs {len(unit) ** 2 * 4 / 1e9:.0f} GB",
            remedy='use method="kmeans"',
        )
    distance = 1 - np.abs(unit @ unit.T)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.clip((distance + distance.T) / 2, 0, 1), checks=False), "average")
    label = fcluster(tree, clusters, "maxclust") - 1
    if label.max() + 1 < clusters:
        raise SettingError(
            f"the hierarchy has no cut into {clusters} metagenes (ties), only {label.max() + 1}",
            remedy='use method="kmeans"',
        )
    return np.asarray(label, np.int64)


def _spread_profiles(unit: _Single, clusters: int, rng: np.random.Generator) -> _Single:
    """(K, n) genes to start from, one after the other by greedy k-means++ (Arthur & Vassilvitskii 2007): several are
    drawn with probability 1 - r^2 to the nearest before, and the one that leaves least unexplained is kept."""
    several = 2 + int(np.log(clusters))
    chosen = [int(rng.integers(len(unit)))]
    left = 1 - (unit @ unit[chosen[0]]) ** 2  # (G,)
    for _ in range(clusters - 1):
        weight = np.clip(left, 1e-9, None).astype(np.float64)
        weight[chosen] = 0
        drawn = rng.choice(len(unit), several, p=weight / weight.sum())
        after = np.minimum(left[:, None], 1 - (unit @ unit[drawn].T) ** 2)  # (G, several)
        best = int(after.sum(axis=0).argmin())
        chosen.append(int(drawn[best]))
        left = after[:, best]
    return unit[chosen]


def _k_means(unit: _Single, center: _Single) -> tuple[NDArray[np.int64], float]:
    """Assign to the profile of largest |r|, average with signs, until nothing moves; labels and the sum of |r|."""
    rows, clusters = np.arange(len(unit)), len(center)
    label = np.full(len(unit), -1)
    for _ in range(_STEPS):
        product = unit @ center.T  # (G, K)
        nearest = np.abs(product).argmax(axis=1)
        fit = np.abs(product[rows, nearest])
        for empty in np.setdiff1d(np.arange(clusters), nearest):  # it takes the gene that fits worst elsewhere
            shared = np.bincount(nearest, minlength=clusters)[nearest] > 1
            worst = int(np.where(shared, fit, np.inf).argmin())
            nearest[worst], fit[worst] = empty, 1.0
            product[worst, empty] = 1.0
        if np.array_equal(nearest, label):
            break
        label = nearest
        sums = _sums(unit, label, np.where(product[rows, label] < 0, -1.0, 1.0), clusters)
        center = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return label.astype(np.int64), float(fit.sum())


def _sums(rows: NDArray[Any], label: NDArray[np.int64], sign: Floats, clusters: int) -> NDArray[Any]:
    """(G, n) -> (K, n): signed sums over the genes of each cluster."""
    member = csr_array(
        (sign.astype(rows.dtype), (label, np.arange(len(label)))), shape=(clusters, len(label)), dtype=rows.dtype
    )
    return member @ rows


def _oriented(unit: _Single, label: NDArray[np.int64], clusters: int) -> tuple[NDArray[np.int64], Floats]:
    """Labels by falling size, and the signs of genes to the profile of their cluster, most of them +1."""
    order = np.argsort(-np.bincount(label, minlength=clusters), kind="stable")
    label = np.argsort(order)[label]
    sign = np.ones(len(label))
    for k in range(clusters):
        mine = np.flatnonzero(label == k)
        axis = np.linalg.svd(unit[mine], full_matrices=False)[2][0]
        signs = np.where(unit[mine] @ axis < 0, -1.0, 1.0)
        sign[mine] = signs if signs.sum() > 0 or (signs.sum() == 0 and signs[0] > 0) else -signs
    return label.astype(np.int64), sign


def _best_overlap(label: NDArray[np.int64], other: NDArray[np.int64], clusters: int) -> Floats:
    """(K,) Jaccard of each cluster with its best match in the other clustering."""
    both = np.zeros((clusters, clusters))
    np.add.at(both, (label, other), 1)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    best: Floats = (both / union).max(axis=1)
    return best
