"""Images that stay in the store: the same batches and weights as from memory, and no more kept than allowed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError
from radiogenesis.testing import toy_cohort, train_toy
from radiogenesis.training.data import TrainingData, bytes_of
from radiogenesis.training.run import Run
from radiogenesis.training.stored import Blocks, ReadAhead, StoredImages

LITTLE = 1e-5  # GiB: less than any cohort of these tests takes


def both(cohort: Cohort, least_area: float = 0.5) -> tuple[TrainingData, TrainingData]:
    patients = list(cohort.patients.index[:8])
    genes = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    one = TrainingData.from_cohort(cohort, patients, genes, least_area=least_area)
    other = TrainingData.from_cohort(
        Cohort.open(cohort.path), patients, genes, least_area=least_area, memory_gib=LITTLE
    )
    return one, other


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Several blocks of every array."""
    return toy_cohort(tmp_path_factory.mktemp("stored") / "toy.zarr", patients=12, slices=14)


def test_batches_from_the_store_are_those_from_memory(large: Cohort) -> None:
    one, other = both(large)
    assert (one.in_store, other.in_store) == (False, True)
    assert one.epoch == other.epoch
    for seed in range(4):
        drawn = [
            data.batch(12, torch.Generator().manual_seed(seed), by_patient=seed % 2 == 0, augment=True, views=2)
            for data in (one, other)
        ]
        for name, values in vars(drawn[0]).items():
            torch.testing.assert_close(getattr(drawn[1], name), values, rtol=0, atol=0)


def test_a_budget_that_holds_all_keeps_all_in_memory(large: Cohort) -> None:
    patients = list(large.patients.index[:3])
    genes = np.zeros((3, 2), np.float32)
    exact = bytes_of(large) / 2**30
    assert not TrainingData.from_cohort(large, patients, genes, memory_gib=exact).in_store
    assert TrainingData.from_cohort(large, patients, genes, memory_gib=exact * 0.99).in_store


def test_no_more_blocks_are_kept_than_allowed(large: Cohort) -> None:
    array = large.stored("slices/image")
    size = array.block(0).nbytes
    kept = Blocks(2 * size)
    images = StoredImages(array, np.arange(array.shape[0]), kept)
    rows = torch.tensor([0, array.shape[0] - 1, 40, 1, 70])
    np.testing.assert_array_equal(images[rows][:, 0], large.slice_image[rows])
    assert kept._bytes <= 2 * size
    read = kept.read
    np.testing.assert_array_equal(images[torch.tensor([71])][0, 0], large.slice_image[71])
    assert kept.read == read  # the block asked for last is still there
    np.testing.assert_array_equal(images[5:9][:, 0], large.slice_image[5:9])
    assert len(images) == array.shape[0]


def test_what_is_damaged_is_refused_before_the_first_step(tmp_path: Path) -> None:
    cohort = toy_cohort(tmp_path / "toy.zarr")
    chunk = next(path for path in (cohort.path / "slices" / "mask" / "c").rglob("*") if path.is_file())
    chunk.unlink()  # read as zeros
    with pytest.raises(CohortError, match="'slices/mask' is not what was written"):
        TrainingData.from_cohort(
            Cohort.open(cohort.path), list(cohort.patients.index), np.zeros((12, 2), np.float32), memory_gib=LITTLE
        )


def test_the_next_batch_is_made_meanwhile_and_in_the_same_precision() -> None:
    made: list[tuple[int, str, bool]] = []

    def make(step: int) -> int:
        made.append((step, threading.current_thread().name, torch.is_autocast_enabled("cpu")))
        return step * step

    ahead = ReadAhead(make, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert [ahead(step) for step in range(3)] == [0, 1, 4]
    ahead.close()
    assert [step for step, _, _ in made] == [0, 1, 2]
    assert [name.startswith("read ahead") for _, name, _ in made] == [False, True, True]
    assert all(autocast for _, _, autocast in made)
    failing = ReadAhead(lambda step: 1 // (1 - step), 3)
    assert failing(0) == 1
    with pytest.raises(ZeroDivisionError):  # what goes wrong there is said here
        failing(1)


def test_the_same_weights_come_of_it(discs: Cohort, critic: Run, critics_gan: Run, tmp_path: Path) -> None:
    """A critic and a GAN, all of whose images were read from the store."""
    again = train_toy("canonical-alignment", Cohort.open(discs.path), tmp_path / "critic", memory_gib=LITTLE)
    gan = train_toy("fusion-gan", Cohort.open(discs.path), tmp_path / "gan", alignment=critic, memory_gib=LITTLE)
    for one, other in ((critic, again), (critics_gan, gan)):
        before, after = (load_file(run.path / "weights.safetensors") for run in (one, other))
        assert before.keys() == after.keys()
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values, err_msg=name)
