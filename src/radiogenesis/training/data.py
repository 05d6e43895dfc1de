"""Training data: slices, masks, genes and backgrounds of the training patients, and batches of them.

Images are in memory, or stay in the cohort's store where they are too large for that; batches are the same.
A batch is a function of (seed, step, process) alone. So a resumed run sees what an uninterrupted run would have seen,
and nothing about the loader has to be stored in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort, lesion_rows
from radiogenesis.errors import CohortError
from radiogenesis.methods.images import soften, to_unit, turned
from radiogenesis.methods.protocols import Batch
from radiogenesis.training.stored import Blocks, StoredImages

_MAX_SEED = 2**63 - 1

HELD_OUT = "held-out patients"
SLICES, BACKGROUNDS = ("slices/image", "slices/mask"), "backgrounds/image"

Images = Tensor | StoredImages
"""(N, 1, P, P), indexed by rows or by a slice."""


def seed_of(*numbers: int) -> int:
    """One seed from several numbers, well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) & _MAX_SEED


@dataclass(frozen=True)
class Epochs:
    """Going through rows pass after pass: every row comes once in a pass, each pass in a random order of its own.

    A batch that begins at the end of one pass goes on in the next, so that all batches have one size.

    Attributes:
        seed: of the orders.
        batch: the number of the batch, from 0; with several processes those of all are counted.
    """

    seed: int
    batch: int

    def rows(self, size: int, total: int) -> Tensor:
        """The `size` of `total` rows that are this batch's turn, (size,) long."""
        first = self.batch * size
        passes = range(first // total, (first + size - 1) // total + 1)
        orders = [
            torch.randperm(total, generator=torch.Generator().manual_seed(seed_of(self.seed, 0xE90C, number)))
            for number in passes
        ]
        start = first - passes[0] * total
        return torch.cat(orders)[start : start + size]


@dataclass(frozen=True)
class TrainingData:
    """The training patients' data.

    Attributes:
        image: (N, 1, P, P) int16 HU, in memory or in the store.
        mask: (N, 1, P, P) bool, alike.
        patient: (N,) long, index into the patients.
        genes: (patients, G) float32, scaled.
        background: (M, 1, P, P) int16 HU, alike.
        slices_of: the slices of each patient.
        patients: their identifiers.
        pixel_mm: side of a pixel.
        darker: whether lesions may be darker than what is around them.
    """

    image: Images
    mask: Images
    patient: Tensor
    genes: Tensor
    background: Images
    slices_of: tuple[Tensor, ...]
    patients: tuple[str, ...]
    pixel_mm: float
    darker: bool = False

    @classmethod
    def from_cohort(
        cls,
        cohort: Cohort,
        patients: Sequence[str],
        genes: NDArray[np.float32],
        *,
        shuffle_seed: int | None = None,
        least_area: float = 0.0,
        memory_gib: float | None = None,
    ) -> TrainingData:
        """Take the slices of `patients`, and the backgrounds of every patient that is not held out.

        Args:
            patients: the training patients, in the order of `genes`' rows.
            genes: (patients, G) scaled.
            shuffle_seed: if given, every patient gets another patient's genes (the null).
            least_area: slices with less than this share of their patient's largest are left out.
            memory_gib: images stay in the store where they would take more; what is kept of them takes no more.

        Raises:
            CohortError: the cohort has no slices of these patients, fewer than two patients, or no backgrounds.
        """
        if len(patients) < 2:
            raise CohortError(
                f"{len(patients)} training patient(s): at least 2 with slices and expression are needed",
                path=cohort.path,
            )
        backgrounds = training_backgrounds(cohort, patients)
        if not len(backgrounds):
            raise CohortError(
                "no background slices of training patients or of patients without genes", path=cohort.path
            )
        if shuffle_seed is not None:
            genes = genes[derangement(len(genes), shuffle_seed)]
        if memory_gib is not None and bytes_of(cohort) > memory_gib * 2**30:
            taken = _in_store(cohort, patients, backgrounds, least_area, int(memory_gib * 2**30))
        else:
            taken = _in_memory(cohort, patients, backgrounds, least_area)
        image, mask, background, whose = taken
        place = {name: k for k, name in enumerate(patients)}
        patient = torch.tensor([place[str(name)] for name in whose], dtype=torch.int64)
        return cls(
            image=image,
            mask=mask,
            patient=patient,
            genes=torch.from_numpy(np.ascontiguousarray(genes, np.float32)),
            background=background,
            slices_of=tuple(torch.nonzero(patient == i).flatten() for i in range(len(patients))),
            patients=tuple(patients),
            pixel_mm=cohort.pixel_mm,
            darker=cohort.imaging.may_be_darker,
        )

    @property
    def in_store(self) -> bool:
        """Whether images stay in the cohort's store, so that it pays to read ahead."""
        return isinstance(self.image, StoredImages)

    @property
    def epoch(self) -> int:
        """Slices in one pass over the training data."""
        return len(self.image)

    def to(self, device: torch.device) -> TrainingData:
        """The same data on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("image", "mask", "genes", "background", "patient")}
        return replace(self, **moved)

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
    ) -> Batch:
        """Draw one batch. Everything random comes from `generator` (on the CPU), and the order of `epochs`.

        Args:
            size: slices, a multiple of `views`.
            generator: where chance comes from.
            by_patient: evenly over patients rather than over slices.
            augment: mirror images and quarter turns.
            quarter_turns: False leaves mirror images from left to right.
            soft_masks: soften the masks as drawn ones are.
            epochs: take the slices whose turn it is, instead of drawing them.
            views: slices of each patient drawn.
        """
        if epochs is None:
            rows = self._rows(size // views, generator, by_patient=by_patient)
        else:
            rows = epochs.rows(size // views, len(self.image))
        again = [torch.stack([self._one_slice(int(p), generator) for p in self.patient.cpu()[rows]])] * (views - 1)
        rows = torch.cat([rows, *again])
        patient = self.patient[rows.to(self.patient.device)].cpu()
        n = len(self.patients)
        # Another PATIENT, never merely another slice: an offset of 1 to n - 1 around the circle of patients.
        wrong_patient = (patient + torch.randint(1, n, (size,), generator=generator)) % n
        wrong_rows = torch.stack([self._one_slice(int(p), generator) for p in wrong_patient])
        backgrounds = torch.randint(len(self.background), (size,), generator=generator)
        turns = range(8) if quarter_turns else (0, 4)
        turn = turns[int(torch.randint(len(turns), (1,), generator=generator))] if augment else 0
        device = self.image.device

        def slices(source: Images, at: Tensor) -> Tensor:
            return turned(source[at.to(device)], turn).contiguous(memory_format=torch.channels_last)

        def masks(at: Tensor) -> Tensor:
            outlined = slices(self.mask, at).float()
            return soften(outlined) if soft_masks else outlined

        return Batch(
            x=to_unit(slices(self.image, rows)),
            m=masks(rows),
            g=self.genes[patient.to(device)],
            wrong_m=masks(wrong_rows),
            wrong_g=self.genes[wrong_patient.to(device)],
            background=to_unit(slices(self.background, backgrounds)),
            patient=patient.to(device),
            all_genes=self.genes,
        )

    def _rows(self, size: int, generator: torch.Generator, *, by_patient: bool) -> Tensor:
        if not by_patient:
            return torch.randint(len(self.image), (size,), generator=generator)
        n = len(self.patients)
        rounds = [torch.randperm(n, generator=generator) for _ in range(-(-size // n))]
        return torch.stack([self._one_slice(int(p), generator) for p in torch.cat(rounds)[:size]])

    def _one_slice(self, patient: int, generator: torch.Generator) -> Tensor:
        slices = self.slices_of[patient]
        return slices[torch.randint(len(slices), (), generator=generator)]


def bytes_of(cohort: Cohort) -> int:
    """What a cohort's images take in memory while they are trained on: as the cohort keeps them, and a copy."""
    return 2 * sum(cohort.stored(name).nbytes for name in (*SLICES, BACKGROUNDS))


def _in_memory(
    cohort: Cohort, patients: Sequence[str], backgrounds: NDArray[np.intp], least_area: float
) -> tuple[Images, Images, Images, NDArray[np.str_]]:
    """Slices, masks and backgrounds, and whose each slice is."""
    lesions = cohort.lesions(patients, least_area=least_area)
    images = lesions.image, lesions.mask, cohort.background_image[backgrounds]
    image, mask, background = (torch.from_numpy(of).unsqueeze(1) for of in images)
    return image, mask, background, lesions.patient


def _in_store(
    cohort: Cohort, patients: Sequence[str], backgrounds: NDArray[np.intp], least_area: float, limit: int
) -> tuple[Images, Images, Images, NDArray[np.str_]]:
    """The same, where they lie; all is read once, and compared with its digest."""
    for name in (SLICES[0], BACKGROUNDS):
        for _ in cohort.verified_blocks(name):
            pass
    area = np.concatenate([block.sum((1, 2)) for block in cohort.verified_blocks(SLICES[1])] or [np.zeros(0)])
    rows, kept = lesion_rows(cohort, patients, least_area, lambda rows: area[rows]), Blocks(limit)
    image, mask = (StoredImages(cohort.stored(name), rows, kept) for name in SLICES)
    return image, mask, StoredImages(cohort.stored(BACKGROUNDS), backgrounds, kept), cohort.slice_patient[rows]


def training_backgrounds(cohort: Cohort, training: Sequence[str]) -> NDArray[np.intp]:
    """Rows of the backgrounds that may be trained on: of training patients, and of patients who can never be tested
    because they have no lesion slices (whole scans given for their lungs)."""
    no_lesion = cohort.patients.index[cohort.patients["n_slices"] == 0]
    return np.flatnonzero(np.isin(cohort.background_patient, [*training, *no_lesion]))


def untrained_backgrounds(cohort: Cohort, split: Split) -> tuple[NDArray[np.intp], str]:
    """Rows of the backgrounds to draw held-out patients on, and in words whose they are.

    Those of held-out patients; failing that, all that `training_backgrounds` leaves; failing that, all there are.
    """
    trained = training_backgrounds(cohort, split.train)
    outside = np.setdiff1d(np.arange(len(cohort.background_patient)), trained)
    held_out = outside[np.isin(cohort.background_patient[outside], split.test)]
    if len(held_out):
        return held_out, HELD_OUT
    if len(outside):
        return outside, "patients outside training"
    return trained, "scans that were trained on: no others have any"


def derangement(n: int, seed: int) -> NDArray[np.intp]:
    """A random permutation of n >= 2 that leaves nobody in place."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(n)
        if not (order == np.arange(n)).any():
            return order
