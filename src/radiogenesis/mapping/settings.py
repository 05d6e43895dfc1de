"""Settings of `radiogenesis map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """How genes are grouped, tested against features, and controlled."""

    clusters: int = 0
    """Number of metagenes (100 in Li, Sui et al.); 0 lets the stability between halves of the patients choose."""
    method: Literal["kmeans", "hierarchical"] = "kmeans"
    """Clustering of genes by their correlation: k-means, or average linkage of 1 - |r| (up to 12,000 genes)."""
    missing: Literal["drop", "median"] = "drop"
    """Genes with missing values are left out (Xu et al. 2020), or missing values become the gene's median."""
    permutations: int = 1000
    """Permutations of patients for the family-wise p values (largest statistic of the whole table)."""
    alpha: float = 0.05
    """False discovery rate at which an association is reported, and at which a batch counts as shared, 0 to 1."""
    smallest_group: int = 8
    """Patients that a level of a categorical feature must have, and must lack, to be tested."""
    within: str = ""
    """A batch variable (such as kernel): patients are permuted within its levels only, whose means are taken out."""
    shuffles: int = 20
    """Times that genes are given to other patients, as the control that every count of hits stands beside."""
    seed: int = 0
    """Of clustering, permutations and shuffles."""

    def __post_init__(self) -> None:
        if self.clusters < 0:
            raise ValueError(f"clusters {self.clusters}: at least 1, or 0 to have the number chosen")
        if self.permutations < 100:
            raise ValueError(f"permutations {self.permutations}: at least 100")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha {self.alpha}: above 0, below 1")
        if self.smallest_group < 2 or self.shuffles < 1:
            raise ValueError(f"smallest_group {self.smallest_group}, shuffles {self.shuffles}: at least 2 and 1")
