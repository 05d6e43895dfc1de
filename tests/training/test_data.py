"""Batches: who is in them, whose genes are wrong, and that chance comes from the generator alone.

The cohort's images say whose they are: a lesion's HU is 10 times its patient's number plus its slice's, its mask has an
area that only this patient has, a background's HU is -900 minus its patient's number.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.errors import CohortError
from radiogenesis.methods.images import soften, to_hu, turned
from radiogenesis.testing import toy_patient, write_cohort
from radiogenesis.training.data import (
    Epochs,
    TrainingData,
    derangement,
    seed_of,
    training_backgrounds,
    untrained_backgrounds,
)

PIXELS = 16
SLICES = (1, 5, 2, 3, 4, 2)  # of P0 to P5; P6 is a scan without a lesion
TRAINING = ("P3", "P0", "P4", "P1")  # in an order of their own; P2 is validated on, P5 held out


def lesion(patient: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask."""
    mask = np.zeros((count, PIXELS, PIXELS), bool)
    mask[:, 3 : 6 + patient, 4] = mask[:, 3, 4:8] = True  # an L upside down, unlike its mirror image
    image = np.where(mask, 10 * patient + np.arange(count)[:, None, None], -1000)
    return image, mask


def cohort_of(path: Path, patients: list[PatientData], genes: np.ndarray) -> Cohort:
    """With expression of as many patients as there are rows of genes."""
    names, sampling = [one.patient for one in patients[: len(genes)]], SamplingSettings(pixels=PIXELS)
    return write_cohort(path, patients, pd.DataFrame(genes, names).add_prefix("G"), sampling=sampling)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    patients = [
        toy_patient(f"P{i}", *(lesion(i, count) if count else (None, None)), np.full((3, PIXELS, PIXELS), -900 - i))
        for i, count in enumerate((*SLICES, 0))
    ]
    return cohort_of(tmp_path_factory.mktemp("coded") / "cohort", patients, np.repeat(np.arange(6), 2).reshape(6, 2))


def genes_of(names: tuple[str, ...]) -> np.ndarray:
    """The number of each patient, as genes."""
    return np.array([[float(name[1])] * 2 for name in names], np.float32)


@pytest.fixture(scope="module")
def data(coded: Cohort) -> TrainingData:
    return TrainingData.from_cohort(coded, TRAINING, genes_of(TRAINING))


def code_of(x: Tensor) -> Tensor:
    """The highest HU in each image: 10 times the patient's number plus the slice's."""
    return to_hu(x).amax((1, 2, 3)).round().long()


def owner_by_mask(m: Tensor) -> Tensor:
    """Whose mask it is, by its area, which softening keeps: 3 + patient down, 3 more across."""
    return (m.sum((1, 2, 3)) - 6).round().long()


many_batches = settings(max_examples=40, deadline=None)
batches = given(
    seed=st.integers(0, 10**9), half=st.integers(1, 9), by_patient=st.booleans(), augment=st.booleans(),
    views=st.sampled_from([1, 2]),
)  # fmt: skip


def test_holds_the_training_patients_only(data: TrainingData, coded: Cohort) -> None:
    assert len(data.image) == 1 + 5 + 3 + 4
    assert data.patients == TRAINING
    for i, name in enumerate(TRAINING):
        theirs = data.slices_of[i]
        assert len(theirs) == SLICES[int(name[1])]
        assert (data.patient[theirs] == i).all()
        assert set((data.image[theirs].amax((1, 2, 3)) // 10).tolist()) == {int(name[1])}
        assert data.genes[i].tolist() == [float(name[1])] * 2


def test_backgrounds_are_of_training_patients_and_scans_without_lesion(data: TrainingData, coded: Cohort) -> None:
    owners = set((-900 - data.background[:, 0, 0, 0].long()).tolist())
    assert owners == {0, 1, 3, 4, 6}  # neither 2 (validation) nor 5 (held out)
    rows = training_backgrounds(coded, TRAINING)
    assert set(coded.background_patient[rows]) == {"P0", "P1", "P3", "P4", "P6"}


@pytest.mark.parametrize(
    ("validation", "test", "owners", "words"),
    [
        (("P2",), ("P5",), {"P5"}, "held-out patients"),
        (("P2",), ("gone",), {"P2", "P5"}, "patients outside training"),  # never P6, whose lungs are trained on
        (("P2", "P5"), ("gone",), {"P2", "P5"}, "patients outside training"),
    ],
)
def test_what_is_drawn_on_was_not_trained_on(
    validation: tuple[str, ...], test: tuple[str, ...], owners: set[str], words: str, coded: Cohort
) -> None:
    rows, whose = untrained_backgrounds(coded, Split(TRAINING, validation, test))
    assert set(coded.background_patient[rows]) == owners
    assert whose == words
    assert not set(rows) & set(training_backgrounds(coded, TRAINING))


def test_backgrounds_that_were_all_trained_on_are_called_so(coded: Cohort) -> None:
    rows, whose = untrained_backgrounds(coded, Split((*TRAINING, "P2", "P5"), (), ("gone",)))
    assert len(rows) == len(coded.background_patient)
    assert whose == "scans that were trained on: no others have any"


@many_batches
@batches
def test_every_part_of_a_batch_belongs_together_and_wrong_parts_to_another_patient(
    data: TrainingData, seed: int, half: int, by_patient: bool, augment: bool, views: int
) -> None:
    size = 2 * half
    batch = data.batch(size, torch.Generator().manual_seed(seed), by_patient=by_patient, augment=augment, views=views)
    numbers = torch.tensor([int(name[1]) for name in data.patients])
    owner = numbers[batch.patient]
    for part in (batch.x, batch.m, batch.wrong_m, batch.background):
        assert part.shape == (size, 1, PIXELS, PIXELS)
        assert part.dtype == torch.float32
    assert torch.equal(code_of(batch.x) // 10, owner)
    assert torch.equal(owner_by_mask(batch.m), owner)
    assert torch.equal(batch.g[:, 0].long(), owner)
    assert (batch.wrong_g[:, 0].long() != owner).all()
    assert (owner_by_mask(batch.wrong_m) != owner).all()
    assert torch.equal(batch.all_genes, data.genes)
    assert torch.equal(batch.all_genes[batch.patient], batch.g)
    assert 0 <= batch.m.min() <= batch.m.max() <= 1
    if views == 2:
        assert torch.equal(batch.patient[half:], batch.patient[:half])


@many_batches
@batches
def test_a_batch_is_a_function_of_the_generator_alone(
    data: TrainingData, seed: int, half: int, by_patient: bool, augment: bool, views: int
) -> None:
    def draw(number: int, elsewhere: int) -> dict[str, Tensor]:
        torch.manual_seed(elsewhere)
        generator = torch.Generator().manual_seed(number)
        made = data.batch(2 * half, generator, by_patient=by_patient, augment=augment, views=views)
        return {field.name: getattr(made, field.name) for field in fields(made)}

    first, again = draw(seed, 1), draw(seed, 2)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_other_seeds_draw_other_batches(data: TrainingData) -> None:
    drawn = [
        code_of(data.batch(12, torch.Generator().manual_seed(seed), by_patient=True, augment=False).x).tolist()
        for seed in range(5)
    ]
    assert all(a != b for a, b in pairwise(drawn))


@many_batches
@given(seed=st.integers(0, 10**9))
def test_image_and_mask_turn_together(data: TrainingData, seed: int) -> None:
    batch = data.batch(8, torch.Generator().manual_seed(seed), by_patient=True, augment=True)
    lesion_pixels = to_hu(batch.x) > -500
    torch.testing.assert_close(batch.m, soften(lesion_pixels.float()))
    assert torch.equal(lesion_pixels.sum((1, 2, 3)), 6 + batch.g[:, 0].long())


def test_all_eight_turns_come_and_none_without_augmenting(data: TrainingData) -> None:
    def appearances(augment: bool) -> set[bytes]:
        first = (
            data.batch(2, torch.Generator().manual_seed(seed), by_patient=True, augment=augment) for seed in range(150)
        )
        own = [(b.x[0] > -0.9).numpy().tobytes() for b in first if b.patient[0] == 0]
        return set(own)

    assert len(appearances(True)) == 8
    assert len(appearances(False)) == 1


def test_the_eight_turns_are_the_symmetries_of_the_square() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    made = [turned(image, turn) for turn in range(8)]
    assert torch.equal(made[0], image)
    assert len({tuple(each.flatten().tolist()) for each in made}) == 8
    for each in made:  # neighbours stay neighbours: the middle stays, corners stay corners
        assert each[0, 0, 1, 1] == 4
        assert {each[0, 0, i, j].item() for i in (0, 2) for j in (0, 2)} == {0, 2, 6, 8}


def test_by_patient_is_even_over_patients(data: TrainingData) -> None:
    batch = data.batch(8, torch.Generator().manual_seed(3), by_patient=True, augment=False)
    assert torch.bincount(batch.patient, minlength=4).tolist() == [2, 2, 2, 2]


def test_by_slice_is_even_over_slices(data: TrainingData) -> None:
    batch = data.batch(2600, torch.Generator().manual_seed(3), by_patient=False, augment=False)
    share = torch.bincount(batch.patient, minlength=4) / 2600
    expected = torch.tensor([SLICES[int(name[1])] for name in TRAINING]) / 13
    assert (share - expected).abs().max() < 0.04  # four standard deviations


@settings(deadline=None)
@given(total=st.integers(1, 40), size=st.integers(1, 60), seed=st.integers(0, 2**40))
def test_a_pass_shows_every_row_once_in_an_order_of_its_own(total: int, size: int, seed: int) -> None:
    batches = -(-3 * total // size)
    walk = torch.cat([Epochs(seed, batch).rows(size, total) for batch in range(batches)]).tolist()
    passes = [walk[at : at + total] for at in range(0, 3 * total, total)]
    assert all(sorted(one) == list(range(total)) for one in passes)
    if total > 12:  # two equal orders of 13 come once in six billion
        assert passes[0] != passes[1] != passes[2]


def test_an_epoch_of_batches_shows_every_slice_once(data: TrainingData) -> None:
    """13 slices in batches of 4: four batches hold a pass and three slices of the next."""

    def codes(first: int, count: int, seed: int = 7) -> list[int]:
        made = (
            data.batch(4, torch.Generator().manual_seed(0), by_patient=False, augment=True, epochs=Epochs(seed, number))
            for number in range(first, first + count)
        )
        return [code for batch in made for code in code_of(batch.x).tolist()]

    every = sorted(data.image.amax((1, 2, 3)).tolist())
    seen = codes(0, 13)
    for one_pass in range(4):
        assert sorted(seen[13 * one_pass : 13 * (one_pass + 1)]) == every
    assert seen == codes(0, 5) + codes(5, 8)  # a resumed run goes on where it was
    assert seen != codes(0, 13, seed=8)


def test_hard_masks_are_shown_as_they_are_outlined(data: TrainingData) -> None:
    hard, soft = (
        data.batch(8, torch.Generator().manual_seed(1), by_patient=True, augment=True, soft_masks=soft)
        for soft in (False, True)
    )
    for mask in (hard.m, hard.wrong_m):
        assert set(mask.unique().tolist()) == {0, 1}
    assert torch.equal(hard.m, (to_hu(hard.x) > -500).float())
    torch.testing.assert_close(soften(hard.m), soft.m)
    torch.testing.assert_close(soften(hard.wrong_m), soft.wrong_m)
    assert torch.equal(hard.x, soft.x)


def test_without_quarter_turns_mirror_images_are_left(data: TrainingData) -> None:
    made = (
        data.batch(2, torch.Generator().manual_seed(seed), by_patient=True, augment=True, quarter_turns=False)
        for seed in range(60)
    )
    own = {tuple((b.x[0, 0] > -0.9).flatten().tolist()) for b in made if b.patient[0] == 0}
    plain = data.image[data.slices_of[0][0], 0] > -900
    assert own == {tuple(plain.flatten().tolist()), tuple(plain.flip(1).flatten().tolist())}


def test_every_other_patient_serves_as_the_wrong_one(data: TrainingData) -> None:
    batch = data.batch(400, torch.Generator().manual_seed(3), by_patient=True, augment=False)
    pairs = set(zip(batch.g[:, 0].int().tolist(), batch.wrong_g[:, 0].int().tolist(), strict=True))
    numbers = [int(name[1]) for name in TRAINING]
    assert pairs == {(a, b) for a in numbers for b in numbers if a != b}


def test_two_patients_are_enough(coded: Cohort) -> None:
    two = TrainingData.from_cohort(coded, ("P1", "P4"), genes_of(("P1", "P4")))
    batch = two.batch(6, torch.Generator().manual_seed(0), by_patient=True, augment=True, views=2)
    assert torch.equal(batch.wrong_g[:, 0] + batch.g[:, 0], torch.full((6,), 5.0))


def test_small_slices_of_a_patient_are_left_out(tmp_path: Path) -> None:
    patients = []
    for i in range(2):
        image, mask = lesion(i, 4)
        mask[:] = False
        for at, rows in enumerate((1, 2, 4, 3)):  # areas as 1 : 2 : 4 : 3 in both patients, one twice as large
            mask[at, :rows, : 1 + i] = True
        patients.append(toy_patient(f"P{i}", image, mask, image))
    cohort = cohort_of(tmp_path / "poles", patients, np.eye(2))

    def areas(least_area: float) -> list[int]:
        data = TrainingData.from_cohort(cohort, ["P0", "P1"], genes_of(("P0", "P1")), least_area=least_area)
        assert [len(slices) for slices in data.slices_of] == [len(data.image) // 2] * 2
        return data.mask.sum((1, 2, 3)).tolist()

    assert areas(0.0) == [1, 2, 4, 3, 2, 4, 8, 6]
    assert areas(0.5) == [2, 4, 3, 4, 8, 6]
    assert areas(1.0) == [4, 8]


def test_one_patient_is_refused(coded: Cohort) -> None:
    with pytest.raises(CohortError, match=r"1 training patient\(s\): at least 2"):
        TrainingData.from_cohort(coded, ("P1",), genes_of(("P1",)))


def test_a_cohort_without_backgrounds_is_refused(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "bare", [toy_patient(f"P{i}", *lesion(i, 2)) for i in range(2)], np.eye(2))
    with pytest.raises(CohortError, match="no background slices of training patients"):
        TrainingData.from_cohort(cohort, ("P0", "P1"), genes_of(("P0", "P1")))


def test_shuffling_gives_everybody_anothers_genes_and_keeps_the_rest(coded: Cohort, data: TrainingData) -> None:
    shuffled = TrainingData.from_cohort(coded, TRAINING, genes_of(TRAINING), shuffle_seed=4)
    assert (shuffled.genes[:, 0] != data.genes[:, 0]).all()
    assert sorted(shuffled.genes[:, 0].tolist()) == sorted(data.genes[:, 0].tolist())
    assert torch.equal(shuffled.image, data.image)
    assert torch.equal(shuffled.patient, data.patient)


def test_moving_to_a_device_keeps_everything(data: TrainingData) -> None:
    moved = data.to(torch.device("cpu"))
    assert moved.patients == data.patients
    assert torch.equal(moved.image, data.image)
    assert all(torch.equal(a, b) for a, b in zip(moved.slices_of, data.slices_of, strict=True))


@settings(deadline=None)
@given(n=st.integers(2, 60), seed=st.integers(0, 2**63 - 1))
def test_a_derangement_leaves_nobody_in_place(n: int, seed: int) -> None:
    order = derangement(n, seed)
    assert sorted(order) == list(range(n))
    assert (order != np.arange(n)).all()
    np.testing.assert_array_equal(order, derangement(n, seed))


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4))
def test_seeds_fit_torch_and_repeat(numbers: list[int]) -> None:
    seed = seed_of(*numbers)
    assert 0 <= seed < 2**63
    assert seed == seed_of(*numbers)
    assert seed != seed_of(*numbers, 1)
    torch.Generator().manual_seed(seed)


def test_steps_and_ranks_have_seeds_of_their_own() -> None:
    seeds = {seed_of(seed, step, rank) for seed in range(3) for step in range(200) for rank in range(4)}
    assert len(seeds) == 3 * 200 * 4
