"""Batch variables are read, tested as scipy tests them, and what both sides share with one is flagged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radiogenesis.mapping.conventional.confounding import (
    batch_columns,
    shared_batches,
    test_batches,
    usable_batches,
    within_batches,
)

RNG = np.random.default_rng(0)
IDS = pd.Index([f"R01-{i:03d}" for i in range(1, 41)], name="patient")


def raw() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kernel": ["sharp"] * 18 + ["smooth"] * 18 + ["odd"] * 2 + [""] * 2,
            "study_date": ["20100131"] * 20 + ["20120131"] * 10 + ["20110131"] * 10,
            "CT Date": ["1/2/1994"] * 5 + [f"3/{d}/1995" for d in range(1, 31)] + ["Not Collected"] * 5,
            "manufacturer": ["GE"] * 40,
            "slice_thickness_mm": np.r_[RNG.choice([1.0, 1.25, 3.0], 37), [np.nan] * 3],
            "kvp": [120.0] * 38 + [100.0] * 2,
            "Gender": ["Male", "Female"] * 20,
        },
        index=IDS,
    )


def test_variables_that_vary_are_kept_as_numbers_days_or_text() -> None:
    found = usable_batches(raw())
    assert list(found) == [
        "kernel", "study_date", "CT Date", "slice_thickness_mm", "Gender", "enrollment order (from the patient id)"
    ]  # fmt: skip
    assert found["kernel"].value_counts().to_dict() == {"sharp": 18, "smooth": 18, "other": 2}
    assert found["study_date"].iloc[20] - found["study_date"].iloc[0] == 730
    assert found["CT Date"].isna().sum() == 5
    assert found["CT Date"].iloc[6] - found["CT Date"].iloc[5] == 1
    assert found["enrollment order (from the patient id)"].tolist() == list(range(1, 41))


def test_few_numbers_are_codes_whose_order_means_nothing() -> None:
    """Both sides stand out at site 2 alone: no correlation with the site's number shows it."""
    rng = np.random.default_rng(0)
    site = np.repeat([1, 2, 3], 40)
    table = pd.DataFrame({"Site": site}, index=pd.Index([f"P{i}" for i in rng.permutation(120)]))
    batches = usable_batches(table)[["Site"]]
    assert batches["Site"].tolist() == ["1"] * 40 + ["2"] * 40 + ["3"] * 40
    values = rng.standard_normal((120, 2)) + 2.0 * (site == 2)[:, None]
    found = test_batches(values, ["gene", "feature"], batches)
    assert (found["q"] < 1e-6).all()
    _, p = within_batches(values[:, 0], values[:, 1], batches, permutations=200, seed=0)
    assert p > 0.05


def test_few_numbers_of_few_patients_are_measured_not_counted() -> None:
    table = pd.DataFrame({"spacing": [0.6, 0.7, 0.8, 0.9] * 4}, index=pd.Index([f"P{i}" for i in range(16)]))
    assert usable_batches(table)["spacing"].dtype.kind == "f"  # four patients of each: too few to be batches


def test_dates_are_read_however_the_table_writes_them() -> None:
    days = [f"200801{d:02d}" for d in range(1, 21)] * 2
    table = pd.DataFrame({"CT date": [None, *map(float, days[1:])], "scan date": [3.0 * i for i in range(40)]}, IDS)
    found = usable_batches(table)
    assert found["CT date"].isna().tolist() == [True] + [False] * 39
    assert found["CT date"].iloc[5] - found["CT date"].iloc[1] == 4
    assert found["scan date"].tolist() == table["scan date"].tolist()  # days since something


def test_clinical_columns_that_are_batches_go_by_their_names() -> None:
    names = ["Gender", "Patient affiliation", "CT Date", "Date of Death", "Histology", "Sex", "Site", "Days to surgery"]
    table = pd.DataFrame(columns=names)
    assert batch_columns(table) == ["Gender", "Patient affiliation", "CT Date", "Sex", "Site"]
    assert batch_columns(None) == []


def test_the_tests_are_kruskal_wallis_and_spearman() -> None:
    batches = usable_batches(raw())
    values = np.round(RNG.standard_normal((40, 2)), 1)
    values[3, 1] = np.nan
    found = test_batches(values, ["a", "b"], batches).set_index(["name", "batch"])
    for column, name in enumerate("ab"):
        known = np.isfinite(values[:, column])
        groups = batches["kernel"].where(known)
        h, p = stats.kruskal(*(values[groups == level, column] for level in ("sharp", "smooth", "other")))
        assert found.loc[(name, "kernel"), "p"] == pytest.approx(p, rel=1e-9)
        n = int((known & batches["kernel"].notna()).sum())
        assert found.loc[(name, "kernel"), "effect"] == pytest.approx(h / (n - 1), rel=1e-9)
        order = batches["enrollment order (from the patient id)"]
        rho, p = stats.spearmanr(order[known], values[known, column])
        assert found.loc[(name, "enrollment order (from the patient id)"), "p"] == pytest.approx(p, rel=1e-9)
        assert found.loc[(name, "enrollment order (from the patient id)"), "effect"] == pytest.approx(rho, abs=1e-9)
    assert found["q"].to_numpy() == pytest.approx(stats.false_discovery_control(found["p"]))


def test_a_column_that_nobody_knows_is_tested_against_nothing() -> None:
    found = test_batches(np.full((40, 1), np.nan), ["a"], usable_batches(raw()))
    assert found["p"].isna().all()
    assert (found["n"] == 0).all()


def test_no_batch_variable_gives_an_empty_table() -> None:
    found = test_batches(np.zeros((40, 1)), ["a"], pd.DataFrame(index=IDS))
    assert len(found) == 0
    assert "q" in found


def test_only_what_both_sides_share_is_flagged() -> None:
    links = pd.DataFrame({"metagene": ["M1", "M1", "M2"], "feature": ["f", "g", "f"]})
    of_genes = pd.DataFrame({"name": ["M1", "M2"], "batch": ["kernel", "kernel"], "q": [0.01, 0.2]})
    of_features = pd.DataFrame({"name": ["f", "g"], "batch": ["kernel", "site"], "q": [0.01, 0.01]})
    assert shared_batches(links, "metagene", of_genes, of_features, 0.05) == [("kernel",), (), ()]


def test_inside_batches_a_shared_batch_is_gone_and_a_link_stays() -> None:
    rng = np.random.default_rng(3)
    site = np.repeat(["a", "b"], 40)
    date = rng.uniform(0, 1, 80)
    both = 2.0 * (site == "b") + 3 * date
    gene = both + rng.standard_normal(80)
    batches = pd.DataFrame({"site": site, "date": date})
    trapped = within_batches(gene, both + rng.standard_normal(80), batches, permutations=199, seed=0)
    linked = within_batches(gene, gene + rng.standard_normal(80), batches, permutations=199, seed=0)
    assert abs(trapped[0]) < 0.25
    assert trapped[1] > 0.05
    assert linked[0] > 0.5
    assert linked[1] == pytest.approx(1 / 200)
