"""Copies of training lesions are seen, whatever lies around them; lesions that are none are not called so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from painted_lesions import lesions, lungs, slices
from scipy.ndimage import gaussian_filter

from radiogenesis.evaluation.descriptions.lesions import Lesions
from radiogenesis.evaluation.measures.memorization import CopyTest, copying, memorization
from radiogenesis.evaluation.measures.pasted import Pasted, paste
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.resampling import sign_flips

SETTINGS = EvaluationSettings(bootstrap=100, permutations=499)
TRAIN, TEST, EACH, PLACES = 24, 12, 3, 6


@dataclass
class World:
    """Real patients, and the backgrounds that everybody is drawn on."""

    training: tuple[NDArray, NDArray]
    held_out: tuple[NDArray, NDArray]
    backgrounds: NDArray[np.float32]
    rng: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> World:
        rng = np.random.default_rng([seed])
        return cls(slices(rng, TRAIN, EACH), slices(rng, TEST, EACH), lungs(rng, PLACES), rng)

    def pasted(self, source: tuple[NDArray, NDArray], rows: NDArray[np.int64], *, turn: bool = True) -> Lesions:
        """Slices (TEST * PLACES,) of a source, laid over the backgrounds."""
        turns = self.rng.integers(0, 8, len(rows)) if turn else np.zeros(len(rows), np.int64)
        image, mask = paste(source[0][rows], source[1][rows], turns, np.tile(self.backgrounds, (TEST, 1, 1)))
        return lesions(image, mask, names("h", TEST, PLACES))

    def own_rows(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(TEST) * EACH, PLACES) + self.rng.integers(0, EACH, TEST * PLACES)

    def judge(self, drawn: Lesions) -> CopyTest:
        copies = self.rng.integers(0, TRAIN * EACH, TEST * PLACES)
        controls = Pasted(
            *[self.pasted(self.training, copies)] * 2,
            self.pasted(self.held_out, self.own_rows()),
        )
        training = lesions(*self.training, names("t", TRAIN, EACH))
        return memorization(drawn, training, lesions(*self.held_out, names("h", TEST, EACH)), controls, SETTINGS)


def names(kind: str, patients: int, each: int) -> NDArray[np.str_]:
    return np.repeat([f"{kind}{number:02d}" for number in range(patients)], each)


@pytest.fixture(scope="module")
def fresh() -> CopyTest:
    """Of drawings that are lesions of patients whom nobody has seen."""
    world = World.of(1)
    strangers = slices(world.rng, TEST, EACH)
    return world.judge(world.pasted(strangers, world.own_rows()))


@pytest.mark.parametrize("turn", [False, True])
def test_copies_are_seen_on_other_backgrounds_turned_or_not(turn: bool) -> None:
    world = World.of(2)
    found = world.judge(world.pasted(world.training, world.rng.integers(0, TRAIN * EACH, TEST * PLACES), turn=turn))
    assert found.p <= 0.01
    assert found.drawn.near.mean() > 0.9
    assert found.drawn.training.mean() > 0.97
    assert found.drawn.unseen.mean() < 0.9


def test_copies_of_one_training_patient_are_seen() -> None:
    """Who is called a training patient, permuted, once was the null: of one patient it could say nothing."""
    world = World.of(3)
    found = world.judge(world.pasted(world.training, np.resize(np.arange(EACH), TEST * PLACES), turn=False))
    assert found.p <= 0.01


def test_blurred_copies_are_seen() -> None:
    world = World.of(4)
    blurred = gaussian_filter(world.training[0], (0, 1, 1)), world.training[1]
    found = world.judge(world.pasted(blurred, world.rng.integers(0, TRAIN * EACH, TEST * PLACES)))
    assert found.p <= 0.01


def test_lesions_never_seen_are_no_copies(fresh: CopyTest) -> None:
    assert fresh.p > 0.05
    assert fresh.drawn.near.mean() < 0.1
    assert fresh.p_copies <= 0.01
    assert fresh.p_real > 0.05


def test_how_surely_copies_would_have_been_seen_stands_beside(fresh: CopyTest) -> None:
    often = list(fresh.power.values())
    assert list(fresh.power) == [0.05, 0.1, 0.25, 1.0]
    assert often == sorted(often)
    assert often[-1] == 1
    assert often[0] < 0.9  # 5 % of 72 drawings are 4
    assert fresh.false_alarms <= 0.1


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    alarms = 0
    for trial in range(12):
        world = World.of(100 + trial)
        alarms += world.judge(world.pasted(slices(world.rng, TEST, EACH), world.own_rows())).p < 0.05
    assert alarms <= 2


def test_bland_lesions_are_no_copies() -> None:
    """The mean of all training lesions agrees with everybody's, and with those never seen as well."""
    world = World.of(5)
    mean = world.training[0].mean(0, keepdims=True), world.training[1].mean(0, keepdims=True) >= 0.5
    found = world.judge(world.pasted(mean, np.zeros(TEST * PLACES, np.int64)))
    assert found.p > 0.05
    assert found.drawn.training.mean() > found.real.training.mean() - 0.05


def test_the_own_lesions_do_not_count_among_those_never_seen() -> None:
    """A drawing that is the patient's own lesion would else be a model of what is no copy."""
    world = World.of(6)
    found = world.judge(world.pasted(world.held_out, world.own_rows()))
    assert (found.drawn.unseen < 0.95).all()
    assert found.p > 0.05


def test_drawings_that_are_empty_say_nothing() -> None:
    world = World.of(7)
    empty = np.zeros((TEST * PLACES, *world.backgrounds.shape[1:]), np.float32)
    found = world.judge(lesions(empty - 850, empty, names("h", TEST, PLACES)))
    assert np.isnan(found.p)
    assert np.isnan(found.drawn.near).all()
    assert found.drawn.images == 0


def test_the_test_in_closed_form() -> None:
    """Of 5 patients who all have more near copies, no other of 2^5 signs gives as much; of one, half of them."""
    flips = sign_flips(5, 100, [0])
    assert len(flips) == 31
    near = np.array([[0.5, 0.25, 0.1, 1, 0.3], [0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert copying(near, np.zeros((3, 5)), flips) == pytest.approx([1 / 32, 16 / 32, 1])


def test_many_signs_are_drawn_by_lot() -> None:
    flips = sign_flips(20, 500, [0])
    assert flips.shape == (500, 20)
    assert abs(flips.mean()) < 0.05
    assert set(np.unique(flips)) == {-1.0, 1.0}
