"""Settings of `radiogenesis cohort phantom`."""

from __future__ import annotations

from dataclasses import dataclass

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.phantom.factors import ATTENUATION_HU, FACTORS, SIZE_MM


@dataclass(frozen=True, kw_only=True)
class PhantomSettings(SamplingSettings):
    """How large a phantom cohort is, how strongly its genes act, and what traps it holds."""

    patients: int = 130
    """Number of patients (Xu et al. 2020: 130 with RNA-seq)."""
    genes: int = 5172
    """Number of genes (Xu et al. 2020: 5,172 without missing values)."""
    modules: int = 40
    """Number of co-expression modules; the first six drive one appearance factor each."""
    genes_seed: int | None = None
    """Seed of the genes, their modules and what they drive; by default `seed`. Phantoms of one genes_seed and of other
    seeds are other patients of one truth: what is found in one can be looked for in another."""
    strength: float = 0.9
    """Share of each factor's variance that genes explain, 0 to 1; the rest is chance. 0 is a null cohort."""
    size_mm: tuple[float, float] = SIZE_MM
    """Diameters of the smallest and the largest tumor in mm, 5 to 70; beyond 36 mm a tumor fills its 60 mm image."""
    attenuation_hu: tuple[float, float] = ATTENUATION_HU
    """Mean tissue of the lightest and the densest tumor in HU, -700 to 100: ground glass is near -600, solid
    tissue near 40."""
    at_the_edge: float = 0.0
    """Share of the tumors that touch the lung's surface, 0 to 1; of whole chests (whole_pixels) at least a half do. In
    62 real patients (NSCLC Radiogenomics) a third of the slices show a tumor at the chest wall."""
    unlisted: bool = False
    """Every tumor has a denser part, and a seventh module drives how far off the middle it lies: an appearance that
    none of the six properties is made to measure."""
    batch_effect: float = 0.0
    """Shift of a group of genes between smooth and sharp scanner kernels, in standard deviations of a gene. These genes
    drive nothing: an association of theirs with noise or sharpness is the trap. 0 is off."""
    batch_share: float = 0.03
    """Share of the genes that follow the scanner where batch_effect is not 0."""
    missing_fraction: float = 0.0
    """Share of expression values that are missing, 0 to 0.2; weakly expressed genes lose them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patients < 2:
            raise ValueError(f"patients {self.patients}: at least 2")
        factors = len(FACTORS) + self.unlisted
        if self.modules < factors:
            raise ValueError(f"modules {self.modules}: at least {factors}, one for each factor")
        if self.genes < 5 * self.modules:
            raise ValueError(f"genes {self.genes}: at least five for each of the {self.modules} modules")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength {self.strength}: a share of variance, 0 to 1")
        if not 0 <= self.at_the_edge <= 1:
            raise ValueError(f"at_the_edge {self.at_the_edge}: a share of the tumors, 0 to 1")
        if not 5 <= self.size_mm[0] < self.size_mm[1] <= 70:
            raise ValueError(f"size_mm {self.size_mm}: two diameters from 5 to 70 mm, the smaller first")
        if not -700 <= self.attenuation_hu[0] < self.attenuation_hu[1] <= 100:
            raise ValueError(f"attenuation_hu {self.attenuation_hu}: two values from -700 to 100, the lower first")
        if not 0 < self.batch_share <= 0.5:
            raise ValueError(f"batch_share {self.batch_share}: above 0, at most 0.5")
        if not 0 <= self.missing_fraction <= 0.2:
            raise ValueError(f"missing_fraction {self.missing_fraction}: 0 to 0.2")
