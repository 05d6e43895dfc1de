"""Retrieval: perfect, random, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from radiogenesis.evaluation.measures.retrieval import ranks, retrieval_scores, retrieval_table
from radiogenesis.evaluation.settings import EvaluationSettings

SETTINGS = EvaluationSettings(bootstrap=500, permutations=999)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_ranks_by_hand_with_ties() -> None:
    assert ranks(np.array([[0.1, 0.9, 0.5], [0.2, 0.2, 0.1]])).tolist() == [[3, 1, 2], [1.5, 1.5, 3]]


def test_perfect_alignment() -> None:
    rng = np.random.default_rng(0)
    genes = unit(rng.normal(size=(20, 16)))
    owner = np.repeat(np.arange(20), 4)
    table = retrieval_table(genes, unit(genes[owner] + 0.05 * rng.normal(size=(80, 16))), owner, SETTINGS)
    by_patient = table[table["level"] == "patient"].set_index("measure")
    assert by_patient.loc["mean rank", "value"] == 1
    assert by_patient.loc["top-1", "value"] == 1
    assert by_patient.loc["mean rank", "chance"] == 10.5
    assert by_patient.loc["mean rank", "null_mean"] == pytest.approx(10.5, abs=0.3)  # chance, as it must be
    assert (table["p"] < 0.01).all()
    assert set(table["patients"]) == {20}
    assert set(table["slices"]) == {80}


def test_random_embeddings_are_at_chance() -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(40), 3)
    table = retrieval_table(unit(rng.normal(size=(40, 8))), unit(rng.normal(size=(120, 8))), owner, SETTINGS)
    for line in table.to_dict("records"):
        assert line["p"] > 0.01
    rank = table[table["measure"] == "mean rank"]
    assert ((rank["low"] < 20.5) & (rank["high"] > 20.5)).all()


def test_slices_are_averaged_within_patients() -> None:
    genes = np.eye(3)
    lesions = np.array([[1.0, 0, 0], [0, 1.0, 0.5], [0, 1, 0], [0, 0, 1]])
    scores = retrieval_scores(genes, lesions, np.array([0, 0, 1, 2]))
    assert scores["slice"]["mean rank"][0, 0] == pytest.approx((1 + 3) / 2)
    assert scores["slice"]["top-1"][0, 0] == 0.5
    assert scores["patient"]["mean rank"][1, 1] == 1
