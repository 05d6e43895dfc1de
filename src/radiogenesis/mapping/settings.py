"""Settings of `radiogenesis map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiogenesis.backends.names import Backend


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """How genes are grouped, tested against features, and controlled."""

    clusters: int = 0
    """Number of metagenes (100 in Li, Sui et al.); 0 lets the stability between halves of the patients choose."""
    method: Literal["kmeans", "hierarchical"] = "kmeans"
    """Clustering of genes by their correlation: k-means, or average linkage of 1 - |r| (up to 12,000 genes)."""
    missing: Literal["drop", "median"] = "median"
    """Missing values become the gene's median, and genes that lack more than a fifth of theirs are left out; or every
    gene with a missing value is left out (drop; Xu et al. 2020)."""
    permutations: int = 1000
    """Permutations of patients for the family-wise p values (largest statistic of the whole table)."""
    alpha: float = 0.05
    """False discovery rate at which an association is reported, and at which a batch counts as shared, 0 to 1."""
    smallest_group: int = 8
    """Patients that a level of a categorical feature must have, and must lack, to be tested."""
    within: str = ""
    """A batch variable (such as kernel): patients are permuted within its levels only, whose means are taken out.
    The map by synthesis exchanges patients within them, too."""
    covariates: str = ""
    """Clinical columns that every test is adjusted for, separated by commas (such as Age,Gender): numbers, dates, or
    text whose answers at least 5 patients share. The tests are then those of a linear model, of the patients whose
    values are all known. Predictions on patients left out are not adjusted."""
    radiomics: str = ""
    """Radiomic features beside those of the lesion: "ibsi" measures those of the Image Biomarker Standardisation
    Initiative on the cohort's slices; anything else is a table that PyRadiomics wrote (CSV, one lesion per patient)."""
    shuffles: int = 20
    """Times that genes are given to other patients, as the control that every count of hits stands beside."""
    seed: int = 0
    """Of clustering, permutations and shuffles."""

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """The clinical columns to hold fixed."""
        return tuple(name.strip() for name in self.covariates.split(",") if name.strip())

    def __post_init__(self) -> None:
        if self.clusters < 0:
            raise ValueError(f"clusters {self.clusters}: at least 1, or 0 to have the number chosen")
        if self.permutations < 100:
            raise ValueError(f"permutations {self.permutations}: at least 100")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha {self.alpha}: above 0, below 1")
        if self.smallest_group < 2 or self.shuffles < 1:
            raise ValueError(f"smallest_group {self.smallest_group}, shuffles {self.shuffles}: at least 2 and 1")


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """How genes are moved in a trained run, and what the moves are compared with."""

    step: float = 1.0
    """Gene sets are moved so far up and down, in standard deviations of their value over the training patients."""
    code_step: float = 0.5
    """For single genes and random sets: the code's axes are moved so far up and down, in standard deviations, where the
    gene code is linear."""
    backgrounds: int = 2
    """Backgrounds that each held-out patient is drawn on, the same for everybody, each with noise of its own."""
    random_sets: int = 1000
    """Random gene sets, as large and as coherent, behind each set's p value; and exchanges of patients."""
    bootstrap: int = 1000
    """Resamples of patients behind the intervals."""
    gradient: bool = True
    """Also take the effects from the gradient through generator and features, and report how far the two agree."""
    backend: Backend = "torch"
    """What draws. ONNX Runtime (onnx) and OpenVINO draw the fusion GAN faster than torch does on a CPU, and are
    compared with torch before they draw; they need radiogenesis[fast]. Gradients are torch's in every case."""

    def __post_init__(self) -> None:
        if not (self.step > 0 and self.code_step > 0):
            raise ValueError(f"step {self.step} and code_step {self.code_step} must be above 0")
        if self.backgrounds < 1:
            raise ValueError(f"backgrounds {self.backgrounds} must be at least 1")
        if self.random_sets < 100 or self.bootstrap < 100:
            raise ValueError(f"random_sets {self.random_sets} and bootstrap {self.bootstrap} must be at least 100")
