"""Metagenes are called by their genes, and predictions of a property from itself are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogenesis.mapping.prediction.tautology import tautologies, topics
from radiogenesis.pages.mapping.names import in_text, names_of, signed, with_names
from radiogenesis.stats.metagenes import Metagenes


def test_a_metagene_is_called_by_its_most_typical_genes_and_names_keep_their_hyphens() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((30, 2)), 6, axis=1) + 0.3 * rng.standard_normal((30, 12))
    genes = [f"HLA-{letter}" for letter in "ABCDEFGHIJKL"]
    made = Metagenes.fit(x, genes, clusters=2)
    names = names_of(made)
    assert names["MG001"] == "MG001: " + ", ".join(made.members(0)[:3])
    assert in_text(names["MG001"]) == f"MG001 ({', '.join(made.members(0)[:3])})"
    assert in_text("size (mm)") == "size (mm)"
    table = with_names(pd.DataFrame({"target": ["MG002", "size (mm)"]}), names, "target")
    assert table["target"].tolist() == [names["MG002"], "size (mm)"]
    assert (signed(-0.456), signed(-0.001)) == ("−0.46", "0.00")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tumor Location (choice=RUL) = Checked", {"location"}),
        ("shape_pixel_area", {"size"}),
        ("%GG = 0%", {"density"}),
        ("Pathological T stage = T1a", {"size"}),
        ("Histology = Adenocarcinoma", set()),
        ("Age at Histological Diagnosis", set()),
        ("EGFR mutation status", set()),
    ],
)
def test_topics(name: str, expected: set[str]) -> None:
    assert topics(name) == expected


def test_a_property_from_a_source_that_holds_it_is_told_and_genes_never_are() -> None:
    family = {"Nodule Location = central": "semantic", "size (mm)": "lesion", "Tumor Location = RUL": "clinical"}
    rows = [
        ("Tumor Location = RUL", "clinical", "semantic", True),
        ("Tumor Location = RUL", "clinical", "genes", False),
        ("Tumor Location = RUL", "clinical", "lesion", False),
        ("Histology = Squamous", "clinical", "semantic", False),
        ("T stage = T2", "clinical", "lesion", True),
        ("MG001: AREA, SIZE", "metagene", "lesion", False),
    ]
    table = pd.DataFrame(rows, columns=["target", "family", "source", "itself"])
    assert tautologies(table, family) == table["itself"].tolist()
