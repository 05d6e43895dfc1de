"""Settings of `radiogenesis evaluate`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How much is drawn and resampled."""

    backgrounds_per_patient: int = 16
    """Images drawn for each held-out patient, all on the same backgrounds with the same noise; at least 16 to claim."""
    bootstrap: int = 2000
    """Resamples of patients behind each confidence interval."""
    permutations: int = 2000
    """Exchanges of genes between patients behind each null; the smallest p value is 1 / (permutations + 1)."""
    confidence: float = 0.95
    """Coverage of the intervals, between 0 and 1."""
    outside_mm: float = 3.0
    """"Outside the lesion" begins this far, in mm, from the drawn mask."""
    seed: int = 0
    """Seed of backgrounds, noise, resamples and permutations."""
    batch: int = 64
    """Images drawn at a time."""

    def __post_init__(self) -> None:
        for name in ("backgrounds_per_patient", "bootstrap", "permutations", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}, must lie between 0 and 1")
        if self.outside_mm < 0:
            raise ValueError(f"outside_mm is {self.outside_mm}, must not be negative")
