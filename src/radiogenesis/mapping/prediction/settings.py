"""Settings of prediction on patients left out; light to import, since every help reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """How prediction on patients left out is tried."""

    prediction_folds: int = 5
    """Parts that the patients are divided into, each left out in turn; 0 leaves prediction out, else at least 2."""
    prediction_repeats: int = 3
    """Divisions into parts, over which scores are averaged."""
    prediction_permutations: int = 500
    """Times that everything is fitted again to permuted targets; at least 19. The smallest p is 1 / (this + 1), and the
    smallest q that times the questions asked over those answered: ask for more where many are asked."""
    prediction_screen: int = 0
    """Columns kept: those that go most with the target among the training patients of the fold; 0 keeps all."""
    prediction_bootstrap: int = 2000
    """Resamples of patients behind each interval."""
    prediction_genes: str = ""
    """Single genes that images are asked for beside metagenes, separated by commas (such as EGFR,NAPSA)."""

    @property
    def asked_genes(self) -> tuple[str, ...]:
        """The single genes to ask for."""
        return tuple(name.strip() for name in self.prediction_genes.split(",") if name.strip())

    def __post_init__(self) -> None:
        least = {"prediction_repeats": 1, "prediction_permutations": 19, "prediction_screen": 0,
                 "prediction_bootstrap": 1}  # fmt: skip
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} {getattr(self, name)}: at least {lowest}")
        if self.prediction_folds < 0 or self.prediction_folds == 1:
            raise ValueError(f"prediction_folds {self.prediction_folds}: at least 2, or 0 for none")
