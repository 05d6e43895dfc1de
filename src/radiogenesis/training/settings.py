"""How a method is trained, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiogenesis.cohort.lesion_slices import LARGER

SPLIT_SETTINGS = ("split_seed", "validation", "test", "folds", "fold", "split_by")
"""Who is trained on and who is held out: a method that builds on an alignment takes these from the alignment's run."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the training that every method shares."""

    seed: int = 0
    """Seed of the first weights, the batches and the noise; the split has its own. Without a GPU the same seed gives
    the same weights on the same machine; on a GPU they differ in the last digits."""
    split_seed: int = 0
    """Of the split into training, validation and test patients: runs to be compared share it, whatever their seed. With
    --alignment its run's split is taken over: its split_seed, validation and test."""
    validation: float = 0.05
    """Share of the patients kept for validation."""
    test: float = 0.25
    """Share of the patients held out: nothing is fitted on them. No effect where `folds` is given."""
    folds: int = 0
    """Cross-validation: the patients are divided into so many parts, at least 2, one of which is held out in each run;
    0 holds out the share `test`."""
    fold: int = 0
    """Which part is held out, from 0; runs with every fold hold out every patient once."""
    split_by: str = ""
    """A column of the cohort's table of patients: those who share a value are held out together, so that no scan is on
    both sides where lesions were planted into few (series_uid), or no scanner (model). Needs folds, at most as many as
    there are values; empty divides single patients. Validation patients are drawn from the rest one by one."""
    sampling: Literal["patients", "slices", "epochs"] = "patients"
    """patients: draw each batch evenly over patients; slices: evenly over slices, with replacement (both beyond the
    papers); epochs: go through the slices pass after pass, each slice once in a pass, in random order (an epoch as the
    papers count them: Li, Sui et al., section III; the code of Park et al.)."""
    least_area: float = LARGER
    """Least area of a slice to be trained on, as a share of its patient's largest, 0 to 1. Towards its poles a lesion
    is cut obliquely: neither cavity nor texture nor margin show there. 0 takes every slice with tumor (Xu et al. 2020;
    the paper presets). Whole slices are taken as they are."""
    augment: bool = True
    """Mirror images, and quarter turns, of image and mask together (METHODS.md section 1, beyond Xu et al. 2020 and Li,
    Sui et al.; the code of Park et al. mirrors)."""
    quarter_turns: bool = True
    """With augment: quarter turns too; false mirrors from left to right only (the code of Park et al.). Whole slices
    are never turned so."""
    soft_masks: bool = True
    """Soften the edges of real and mismatched masks as drawn masks are soft, so that no critic tells them apart by them
    (METHODS.md section 1, beyond the papers); false shows them to the networks as they are outlined. Alignments and the
    gene autoencoder read softened masks only."""
    shuffle_genes: bool = False
    """Null: train with the genes shuffled between patients (EVIDENCE.md rule 2)."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: bfloat16 where the processor computes it natively, else float32."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train."""
    devices: int = 1
    """Processes or GPUs per machine; more than one trains data-parallel."""
    nodes: int = 1
    """Machines; Lightning reads the rest from SLURM's environment."""
    threads: int = 0
    """Threads of a CPU process; 0 leaves torch's choice (one per core)."""
    memory_gib: float = 8.0
    """Memory that the cohort's images may take, in GiB. Where they take more they stay in the store: batches are read
    ahead, the blocks last read are kept up to this size, and the result is the same. Whole slices are always read."""
    checkpoint_every: int = 200
    """Steps between checkpoints, sample grids and lines of metrics."""

    @property
    def processes(self) -> int:
        """How many train at once, each on batches of its own."""
        return self.devices * self.nodes

    def __post_init__(self) -> None:
        if not (0 <= self.validation < 1 and 0 < self.test < 1 and self.validation + self.test < 1):
            raise ValueError(f"validation {self.validation} and test {self.test} must leave patients to train on")
        if self.folds == 1 or self.folds < 0 or not 0 <= self.fold < max(self.folds, 1):
            raise ValueError(f"fold {self.fold} of folds {self.folds}: at least 2 folds, counted from 0, or folds 0")
        if self.split_by and not self.folds:
            raise ValueError(f"split_by {self.split_by} needs folds: give --folds and --fold")
        if self.folds and self.validation + 1 / self.folds >= 1:
            raise ValueError(
                f"validation {self.validation} and one of {self.folds} folds must leave patients to train on"
            )
        for name in ("seed", "split_seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.memory_gib <= 0:
            raise ValueError(f"memory_gib must be above 0, not {self.memory_gib}")
        if not 0 <= self.least_area <= 1:
            raise ValueError(f"least_area must be between 0 and 1, not {self.least_area}")
        if self.checkpoint_every < 1 or self.devices < 1 or self.nodes < 1 or self.threads < 0:
            raise ValueError("checkpoint_every, devices and nodes must be at least 1, threads at least 0")
