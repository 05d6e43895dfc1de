"""Settings of `map --replicate`; light to import, since every help reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ReplicationSettings:
    """How links are looked for in other cohorts."""

    candidates: int = 10
    """Where no link is found, so many of the strongest are looked for in the other cohorts all the same; 0 for none."""
    replication_permutations: int = 10_000
    """Permutations of each other cohort's patients behind each one-sided p; at least 100."""
    harmonize: Literal["none", "combat"] = "none"
    """Whether measured and radiomic features of all cohorts are brought to one level and spread over scanners, before
    anything is tested (ComBat; Johnson et al. 2007). No gene is looked at."""
    harmonize_by: str = "kernel"
    """With --harmonize: the batch variable that tells the scanners of a cohort apart. A cohort in which it does not
    vary is one scanner: since tests are made within cohorts, it then changes nothing."""

    def __post_init__(self) -> None:
        if self.candidates < 0:
            raise ValueError(f"candidates {self.candidates}: at least 0")
        if self.replication_permutations < 100:
            raise ValueError(f"replication_permutations {self.replication_permutations}: at least 100")
