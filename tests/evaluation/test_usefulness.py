"""Usefulness: Dice by hand, and a training that learns and is the same each time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from known_cohort import Perfect, lung, paint, subject

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError
from radiogenesis.evaluation.measures.base import Memory, Work
from radiogenesis.evaluation.measures.usefulness import (
    Slices,
    SmallUNet,
    Usefulness,
    _backgrounds,
    dice,
    dice_by_patient,
    drawn_for_training,
    segmentation_dice,
    soft_dice_loss,
    two_way,
    usefulness,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesizer


def discs(count: int, seed: int) -> Slices:
    rng = np.random.default_rng(seed)
    painted = [paint(b, rng.uniform(12, 24), rng.uniform(-300, 100)) for b in lung(rng, count)]
    image, inside = (np.stack(part) for part in zip(*painted, strict=True))
    return Slices(image[:, ::2, ::2], inside[:, ::2, ::2] >= 0.5)


def test_dice_by_hand() -> None:
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, 0, :3], b[0, 0, 1:] = True, True
    assert dice(a, b)[0] == pytest.approx(2 * 2 / 6)
    assert np.isnan(dice(a, b)[1])


def test_the_loss_by_hand() -> None:
    logits, mask = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    p = 1 / (1 + np.exp(-2.0))
    expected = 1 - 2 * p / (0.5 + p + 1) - (np.log(0.5) + np.log(p)) / 2
    assert float(soft_dice_loss(logits, mask)) == pytest.approx(expected)


def test_the_network_keeps_the_shape_and_is_small() -> None:
    network = SmallUNet()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 1, 32, 32)
    assert sum(p.numel() for p in network.parameters()) < 40_000


def test_it_learns_and_is_the_same_each_time() -> None:
    train, test = discs(24, 0), discs(8, 1)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = segmentation_dice([train], test, steps=25, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.nanmean(first) > 0.8
    assert np.nanmean(segmentation_dice([train], test, steps=1, seed=0)) < 0.6
    assert np.array_equal(segmentation_dice([train], test, steps=25, seed=0), first)


def test_more_of_the_needed_helps_and_nonsense_does_not() -> None:
    """Real slices that teach nothing (no lesion outlined); drawings that teach everything; and the reverse."""
    good, test = discs(24, 0), discs(9, 1)
    blank = Slices(good.image, np.zeros_like(good.mask))
    owner = np.repeat(["a", "b", "c"], 3)
    settings = EvaluationSettings(segmentation_steps=25, segmentation_repeats=1, bootstrap=50)
    helped, harmed = (
        usefulness(dice_by_patient([real], test, owner, settings), real, drawn, test, owner, settings)
        for real, drawn in ((blank, good), (good, blank))
    )
    assert helped.difference[0] > 0.3
    assert harmed.difference[0] < 0
    assert helped.without.shape == (3,)
    assert helped.by_network == pytest.approx(helped.difference[:1])
    assert (helped.images, helped.added) == (9, 24)


def test_drawings_for_training_come_from_training_patients(few: Cohort) -> None:
    one = subject(few, "x")
    genes = one.scaler.transform(few.expression, one.split.train)
    seen: list[np.ndarray] = []

    class Watched(Perfect):
        def synthesize(self, backgrounds, expression, *, seed):  # type: ignore[no-untyped-def]
            seen.append(backgrounds)
            assert all((g == genes).all(1).any() for g in expression)
            return super().synthesize(backgrounds, expression, seed=seed)

    drawn = drawn_for_training(Watched(one.scaler), few, one.split, genes, EvaluationSettings())
    assert len(seen) == 1  # each drawing has noise of its own
    held_out = few.background_image[np.isin(few.background_patient, one.split.test)]
    assert not any((b == other).all() for b in np.concatenate(seen) for other in held_out)
    assert len(drawn.image) == np.isin(few.slice_patient, one.split.train).sum()


def test_the_network_without_drawings_is_trained_once_for_all_runs(
    few: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [subject(few, name) for name in ("one", "two", "three")]
    trained: list[int] = []

    def counted(parts: list[Slices], test: Slices, *, steps: int, seed: int) -> np.ndarray:
        trained.append(len(parts))
        return np.full(len(test.image), 0.1 * len(parts) + 0.01 * seed)

    monkeypatch.setattr("radiogenesis.evaluation.measures.usefulness.segmentation_dice", counted)
    settings = EvaluationSettings(segmentation_steps=9, segmentation_repeats=2, bootstrap=10)
    nothing: Any = None
    memory = Memory()
    for run in runs:
        assert isinstance(run.method, Synthesizer)
        work = Work(run, run.method, *[nothing] * 5, few, settings, nothing, memory)
        result = Usefulness().measure(work)
        assert result.tables["usefulness"].iloc[0]["difference"] == pytest.approx(0.1)
        assert result.scores["usefulness"].value == pytest.approx(0.1)
    assert trained == [1, 1, 2, 2, 2, 2, 2, 2]


def test_networks_that_disagree_widen_the_interval() -> None:
    """Every patient the same, two pairs of networks that contradict each other: of patients alone no spread at all."""
    draws = two_way(np.array([[1.0] * 5, [-1.0] * 5]), 400, 0)
    assert set(draws) == {-1.0, 0.0, 1.0}
    assert np.mean(draws == 0) == pytest.approx(0.5, abs=4 * 0.5 / 20)
    agreed = np.array([[1.0, 2.0, np.nan]] * 3)
    assert np.nanstd(two_way(agreed, 400, 0)) == pytest.approx(np.nanstd(two_way(agreed[:1], 400, 0)))


def test_healthy_scans_serve_where_training_patients_have_no_background() -> None:
    split = Split(train=("a", "b"), validation=(), test=("c",))
    owner = {"theirs": ["c", "b", "scan"], "healthy": ["c", "scan", "scan"], "none": ["c", "c", "c"]}
    of = {name: SimpleNamespace(background_patient=np.array(who), path="x") for name, who in owner.items()}
    assert _backgrounds(of["theirs"], split).tolist() == [1]
    assert _backgrounds(of["healthy"], split).tolist() == [1, 2]
    with pytest.raises(CohortError, match="none to draw on for training"):
        _backgrounds(of["none"], split)
