"""Whole slices of the training patients in memory, and batches of them: what a detector of tumors is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError
from radiogenesis.methods.images import to_unit
from radiogenesis.methods.protocols import SliceBatch
from radiogenesis.training.data import Epochs


@dataclass(frozen=True)
class SliceData:
    """The training patients' whole slices.

    Attributes:
        image: (N, 1, S, S) int16 HU.
        tumor: (N, 1, S, S) bool.
        with_tumor: the slices of each patient that show tumor.
        without: the slices of each patient that do not; a patient may have none.
        empty_share: share of a batch that shows no tumor.
    """

    image: Tensor
    tumor: Tensor
    with_tumor: tuple[Tensor, ...]
    without: tuple[Tensor, ...]
    empty_share: float

    @classmethod
    def from_cohort(cls, cohort: Cohort, patients: Sequence[str], *, empty_share: float) -> SliceData:
        """Take the whole slices of `patients`.

        Raises:
            CohortError: the cohort keeps none, or they show no tumor; or no slice without tumor where some are asked
                for.
        """
        if cohort.whole is None:
            raise CohortError("keeps no whole slices", path=cohort.path, remedy="build it with --whole_pixels 128")
        rows = np.flatnonzero(np.isin(cohort.whole.patient, list(patients)))
        tumor = cohort.whole.slices.tumor[rows]
        owner, shown = cohort.whole.patient[rows], np.asarray(tumor.any(axis=(1, 2)))
        groups: list[tuple[Tensor, ...]] = []
        for kind in (shown, ~shown):
            by_patient = (torch.from_numpy(np.flatnonzero(kind & (owner == name))) for name in patients)
            groups.append(tuple(one for one in by_patient if len(one)))
        if not groups[0] or (empty_share and not groups[1]):
            what = "without" if groups[0] else "with"
            raise CohortError(f"the training patients have no whole slice {what} tumor", path=cohort.path)
        image = torch.from_numpy(cohort.whole.slices.image[rows]).unsqueeze(1)
        return cls(image, torch.from_numpy(tumor).unsqueeze(1), groups[0], groups[1], empty_share)

    in_store = False
    """Whole slices are in memory."""

    @property
    def epoch(self) -> int:
        """Slices in one pass over the training data: those that show tumor, and as many empty ones as go with them."""
        return round(sum(map(len, self.with_tumor)) / (1 - self.empty_share))

    def to(self, device: torch.device) -> SliceData:
        """The same data on another device."""
        return replace(self, image=self.image.to(device), tumor=self.tumor.to(device))

    def batch(
        self,
        size: int,
        generator: torch.Generator,
        *,
        by_patient: bool,
        augment: bool,
        quarter_turns: bool = True,
        soft_masks: bool = True,
        epochs: Epochs | None = None,
        views: int = 1,
    ) -> SliceBatch:
        """Draw one batch. Everything random comes from `generator` (on the CPU), and the order of `epochs`.

        Args:
            size: slices.
            generator: where chance comes from.
            by_patient: evenly over patients rather than over slices.
            augment: mirror every other slice from left to right, by chance.
            quarter_turns, soft_masks: no effect: a chest has an upright, and its outlines are what is to be found.
            epochs: take the slices whose turn it is, those with tumor and those without for themselves.
            views: 1; whole slices are not paired.
        """
        if views != 1:
            raise ValueError(f"{views} views: whole slices are not paired")
        empty = round(size * self.empty_share)
        shown = [(self.with_tumor, size - empty), (self.without, empty)]
        if epochs is None:
            drawn = [_draw(groups, count, generator, by_patient=by_patient) for groups, count in shown if count]
        else:
            drawn = [_in_turn(groups, count, epochs) for groups, count in shown if count]
        rows = torch.cat(drawn).to(self.image.device)
        image, tumor = to_unit(self.image[rows]), self.tumor[rows].float()
        if augment:
            mirrored = (torch.rand(size, generator=generator) < 0.5).to(image.device)[:, None, None, None]
            image, tumor = (torch.where(mirrored, values.flip(3), values) for values in (image, tumor))
        return SliceBatch(
            image.contiguous(memory_format=torch.channels_last), tumor.contiguous(memory_format=torch.channels_last)
        )


def _in_turn(groups: Sequence[Tensor], count: int, epochs: Epochs) -> Tensor:
    """Rows whose turn it is, of all slices alike."""
    rows = torch.cat(list(groups))
    return rows[epochs.rows(count, len(rows))]


def _draw(groups: Sequence[Tensor], count: int, generator: torch.Generator, *, by_patient: bool) -> Tensor:
    """Rows: of every patient in turn one, in random order, or of all slices alike."""
    if not by_patient:
        rows = torch.cat(list(groups))
        return rows[torch.randint(len(rows), (count,), generator=generator)]
    rounds = [torch.randperm(len(groups), generator=generator) for _ in range(-(-count // len(groups)))]
    chosen = [groups[int(patient)] for patient in torch.cat(rounds)[:count]]
    return torch.stack([rows[torch.randint(len(rows), (), generator=generator)] for rows in chosen])
