"""Diversity and memorisation on lesions of which we know where they came from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from radiogenesis.evaluation.conclusions import copies, memorisation_conclusion
from radiogenesis.evaluation.diversity import BACKGROUND, DISTANCE, NOISE, PATIENTS, diversity_table, spreads
from radiogenesis.evaluation.lesions import Lesions, Space
from radiogenesis.evaluation.memorisation import Memorisation, memorisation
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.phenotypes.lesion import FEATURES

SETTINGS = EvaluationSettings(bootstrap=200, permutations=499)
TRAIN, TEST = [f"t{k:02d}" for k in range(30)], [f"h{k:02d}" for k in range(15)]


class Plain(Space):
    """The embedding itself."""

    def __init__(self) -> None:
        pass

    def __call__(self, lesions: Lesions) -> np.ndarray:
        return lesions.embedding


def of(values: np.ndarray, patients: list[str]) -> Lesions:
    """(n, K, d) values of K lesions of each patient."""
    flat = values.reshape(-1, values.shape[-1])
    return Lesions(flat, flat, np.repeat(patients, values.shape[1]))


def real(rng: np.random.Generator) -> tuple[Lesions, Lesions]:
    """Patients differ, their slices differ less."""
    parts = []
    for names in (TRAIN, TEST):
        parts.append(of(rng.normal(size=(len(names), 1, 6)) + 0.5 * rng.normal(size=(len(names), 4, 6)), names))
    return parts[0], parts[1]


def judged(found: Memorisation) -> pd.DataFrame:
    row = {"p_distance": found.p_distance, "p_preference": found.p_preference, "ratio": found.ratio[0]}
    return pd.DataFrame([row | {"preference": found.preference.mean(), "expected": found.expected}])


def test_a_synthesizer_that_copies_training_lesions_is_caught() -> None:
    rng = np.random.default_rng(0)
    training, held_out = real(rng)
    copied = training.embedding[rng.integers(0, len(training), (len(TEST), 8))]
    found = memorisation(
        of(copied + 1e-3 * rng.normal(size=copied.shape), TEST), training, held_out, Plain(), Plain(), SETTINGS
    )
    assert found.ratio[0] < 0.01
    assert found.p_distance < 0.001
    assert found.p_preference == pytest.approx(1 / 500)
    assert (found.preference == 1).all()
    assert copies(judged(found))
    assert "copy training lesions" in memorisation_conclusion("copier", judged(found))


def test_one_that_draws_new_lesions_is_not() -> None:
    caught = 0
    for trial in range(20):
        rng = np.random.default_rng([1, trial])
        training, held_out = real(rng)
        drawn = of(rng.normal(size=(len(TEST), 1, 6)) + 0.5 * rng.normal(size=(len(TEST), 8, 6)), TEST)
        caught += copies(judged(memorisation(drawn, training, held_out, Plain(), Plain(), SETTINGS)))
    assert caught <= 2


def test_bland_lesions_are_near_but_no_copies() -> None:
    rng = np.random.default_rng(2)
    training, held_out = real(rng)
    found = memorisation(
        of(0.3 * rng.normal(size=(len(TEST), 8, 6)), TEST), training, held_out, Plain(), Plain(), SETTINGS
    )
    assert found.p_distance < 0.01
    assert found.p_preference > 0.05
    assert "bland rather than copied" in memorisation_conclusion("bland", judged(found))


def test_the_preference_of_chance_is_what_it_says() -> None:
    """t training patients among all but the own: the null's mean is that share, and so is its closed form."""
    rng = np.random.default_rng(3)
    training, held_out = real(rng)
    found = memorisation(of(rng.normal(size=(len(TEST), 8, 6)), TEST), training, held_out, Plain(), Plain(), SETTINGS)
    assert found.expected == pytest.approx(30 / 44)
    assert found.null.mean() == pytest.approx(found.expected, abs=4 * found.null.std() / np.sqrt(len(found.null)))


def test_the_own_lesions_are_not_the_nearest() -> None:
    rng = np.random.default_rng(4)
    training, held_out = real(rng)
    own = held_out.embedding.reshape(len(TEST), 4, 6)
    found = memorisation(of(own, TEST), training, held_out, Plain(), Plain(), SETTINGS)
    assert found.p_distance == 1.0  # the very same distances
    assert found.ratio[0] == pytest.approx(1)
    by_hand = []
    for k, patient in enumerate(TEST):
        others = np.concatenate([training.embedding, held_out.embedding[held_out.patient != patient]])
        nearest = np.linalg.norm(own[k][:, None] - others[None], axis=2).argmin(1)
        by_hand.append((nearest < len(training)).mean())
    assert found.preference == pytest.approx(by_hand)


def spread_of(by_noise: np.ndarray, drawn: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    properties = {NOISE: by_noise, BACKGROUND: drawn}
    found = spreads(of(by_noise, TEST), of(drawn, TEST), of(own, TEST), Plain(), TEST, properties, own.reshape(-1, 6))
    return diversity_table(found, SETTINGS).set_index(["differs", "measure"])


def test_spread_by_hand() -> None:
    rng = np.random.default_rng(5)
    by_noise, drawn, own = (rng.normal(size=(len(TEST), count, 6)) for count in (3, 5, 4))
    table = spread_of(by_noise, drawn, own)
    line = table.loc[(BACKGROUND, DISTANCE)]
    expected = np.mean([pdist(one).mean() for one in drawn]), np.mean([pdist(one).mean() for one in own])
    assert (line["drawn"], line["real"]) == pytest.approx(expected)
    assert line["ratio"] == pytest.approx(expected[0] / expected[1])
    assert line["ratio_low"] < line["ratio"] < line["ratio_high"]
    assert table.loc[(NOISE, FEATURES[2]), "drawn"] == pytest.approx(by_noise[:, :, 2].std(axis=1, ddof=1).mean())
    pairs = [(i, j) for i in range(len(TEST)) for j in range(len(TEST)) if i != j]
    everybody = np.mean([[np.linalg.norm(drawn[i, k] - drawn[j, k]) for k in range(5)] for i, j in pairs])
    assert table.loc[(PATIENTS, DISTANCE), "drawn"] == pytest.approx(everybody)


def test_a_collapsed_generator_has_no_spread() -> None:
    rng = np.random.default_rng(6)
    own = rng.normal(size=(len(TEST), 4, 6))
    one = np.broadcast_to(rng.normal(size=6), (len(TEST), 4, 6))
    table = spread_of(one, one, own)
    assert (table["drawn"] < 1e-12).all()
    assert table.loc[(PATIENTS, DISTANCE), "ratio"] == pytest.approx(0)


def test_what_cannot_be_measured_is_left_out() -> None:
    rng = np.random.default_rng(7)
    drawn, own = rng.normal(size=(len(TEST), 4, 6)), rng.normal(size=(len(TEST), 4, 6))
    drawn[0] = np.nan
    table = spread_of(drawn, drawn, own)
    assert table.loc[(BACKGROUND, DISTANCE), "patients"] == len(TEST) - 1
    assert np.isfinite(table.loc[(BACKGROUND, DISTANCE), "ratio"])


def test_whom_the_space_was_fitted_to_does_not_change_chance() -> None:
    """24 training patients and 32 axes: whoever was not among them lies farther out in a space of theirs alone."""
    quick = EvaluationSettings(bootstrap=1, permutations=1)
    shared, alone = [], []
    for trial in range(30):
        rng = np.random.default_rng([8, trial])
        training, held_out, drawn = (
            of(rng.normal(size=(n, 1, 40)) + 0.5 * rng.normal(size=(n, count, 40)), names)
            for n, count, names in ((24, 3, TRAIN[:24]), (14, 3, TEST[:14]), (14, 6, TEST[:14]))
        )
        own, both = Space.fit(training), Space.fit(Lesions.together([training, held_out]))
        for found, space in ((shared, both), (alone, own)):
            one = memorisation(drawn, training, held_out, own, space, quick)
            found.append(one.preference.mean() - one.expected)
    error = 3 * np.std(shared) / np.sqrt(len(shared))
    assert abs(np.mean(shared)) < error
    assert abs(np.mean(alone)) > error


def test_nothing_drawn_is_nan_without_a_warning() -> None:
    training, held_out = real(np.random.default_rng(9))
    nothing = of(np.full((len(TEST), 2, 6), np.nan), TEST)
    found = memorisation(nothing, training, held_out, Plain(), Plain(), SETTINGS)
    assert np.isnan(found.preference).all()
    assert np.isnan([found.p_distance, found.p_preference, found.ratio[0]]).all()
    assert found.images == 0
