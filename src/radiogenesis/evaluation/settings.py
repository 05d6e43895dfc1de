"""Settings of `radiogenesis evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiogenesis.backends.names import Backend


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How much is drawn and resampled."""

    backgrounds_per_patient: int = 16
    """Images drawn for each held-out patient, all on the same backgrounds with the same noise; fewer than 16 are for a
    first look."""
    bootstrap: int = 2000
    """Resamples of patients behind each confidence interval."""
    permutations: int = 2000
    """Exchanges of genes between patients behind each null; the smallest p value is 1 / (permutations + 1)."""
    confidence: float = 0.95
    """Coverage of the intervals, between 0 and 1."""
    outside_mm: float = 3.0
    """"Outside the lesion" begins this far, in mm, from the drawn mask."""
    band_mm: float = 3.0
    """Half the width, in mm, of the band across the lesion's boundary, where in-painting shows its seam."""
    frechet_axes: int = 6
    """Most principal axes of the radiomic features that the Frechet distance is taken on: a covariance needs several
    times as many patients (open)."""
    inception_weights: str = ""
    """File with torchvision's inception_v3 weights as safetensors, for a Frechet distance of Inception features (FID)
    beside the others; empty leaves it out. One image takes about 0.1 s on one core."""
    noise_draws: int = 4
    """Images drawn for each held-out patient on one background: what noise alone makes differ; at least 2."""
    clusters: int = 3
    """Clusters of gene codes (Xu et al. 2020, figure 4: 3)."""
    gene_shuffles: int = 99
    """Shuffles of genes, and draws of Gaussian codes, behind the nulls of the clustering; the smallest p value is
    1 / (gene_shuffles + 1)."""
    segmentation_steps: int = 0
    """Training steps of the small segmentation network that says whether drawn lesions are useful; 0 leaves it out. On
    one core 300 steps take about 10 s at 64 pixels, times `segmentation_repeats`, times runs plus 1 (open)."""
    segmentation_repeats: int = 3
    """Segmentation networks with different first weights; their Dice is averaged."""
    other_scaler: Literal["own", "training"] = "own"
    """On another cohort than the runs' own: each gene is a z-score over that cohort's own patients (own), or scaled by
    the training patients' mean and deviation (training), which asks for both to be measured alike."""
    backend: Backend = "torch"
    """What draws. ONNX Runtime (onnx) and OpenVINO draw the fusion GAN faster than torch does on a CPU, and are
    compared with torch before they draw; they need radiogenesis[fast]."""
    seed: int = 0
    """Seed of backgrounds, noise, resamples and permutations."""

    def __post_init__(self) -> None:
        least = dict.fromkeys(("backgrounds_per_patient", "bootstrap", "permutations"), 1)
        least |= {"frechet_axes": 1, "noise_draws": 2, "clusters": 2, "gene_shuffles": 1}
        least |= {"segmentation_steps": 0, "segmentation_repeats": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least {lowest}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}, must lie between 0 and 1")
        for name in ("outside_mm", "band_mm"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must not be negative")
