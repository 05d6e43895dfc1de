"""Links of a cohort in others whose answer is known: the same map, the opposite one, one without the genes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from linked_cohort import write
from scipy import stats

from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, SettingError
from radiogenesis.mapping.conventional.features import CLINICAL, LESION, FeatureTable
from radiogenesis.mapping.conventional.plan import plan_of, sentence
from radiogenesis.mapping.conventional.three_step import ConventionalMap, MapInputs, conventional_map, inputs_of
from radiogenesis.mapping.replication.differences import differences, harmonised, scanner_labels
from radiogenesis.mapping.replication.prepared import prepare
from radiogenesis.mapping.replication.replication import (
    NOT_MEASURED,
    OPPOSITE,
    REPLICATED,
    Replication,
    asked_links,
    replicate,
)
from radiogenesis.mapping.replication.sample import _level, other_inputs, with_levels
from radiogenesis.mapping.replication.settings import ReplicationSettings
from radiogenesis.mapping.replication.tested import Pair, one_sided_p, orders
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.pages.mapping.replication import conclusions
from radiogenesis.stats.association import FREE
from radiogenesis.stats.power import findable

SETTINGS = MapSettings(clusters=6, permutations=100, shuffles=1)
HOW = ReplicationSettings(replication_permutations=1000)
SIZE = "size (mm)"


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cohort]:
    place = tmp_path_factory.mktemp("others")
    return {
        "same": write(place / "same.zarr", seed=1, prefix="Q"),
        "opposite": write(place / "opposite.zarr", seed=2, prefix="R", sign=-1.0),
    }


@pytest.fixture(scope="module")
def made(cohort: Cohort) -> ConventionalMap:
    return conventional_map(inputs_of(cohort, SETTINGS), SETTINGS)


@pytest.fixture(scope="module")
def found(cohort: Cohort, made: ConventionalMap, others: dict[str, Cohort]) -> Replication:
    apart = [others["same"], others["opposite"]]
    return replicate(made, cohort, prepare(cohort, made.material, apart, SETTINGS, HOW), HOW)


def of_size(found: Replication, made: ConventionalMap, cohort: str) -> pd.Series:
    """The test of the planted link in a cohort."""
    metagene = made.metagenes.ids[made.metagenes.label[made.metagenes.names.index("G00")]]
    return found.tests.set_index(["cohort", "metagene", "feature"]).loc[(cohort, metagene, SIZE)]


def test_the_planted_link_replicates_and_its_opposite_does_not(found: Replication, made: ConventionalMap) -> None:
    same, opposite = (of_size(found, made, name) for name in ("same.zarr", "opposite.zarr"))
    assert found.found
    assert (same["verdict"], opposite["verdict"]) == (REPLICATED, OPPOSITE)
    assert same["p"] == pytest.approx(1 / 1001)
    assert opposite["p"] == 1.0
    assert same["low"] < same["rho"] < same["high"]
    assert 0.9 < same["power"] <= 1


def test_the_correlation_is_spearmans_of_the_first_cohorts_metagene(
    found: Replication, made: ConventionalMap, others: dict[str, Cohort]
) -> None:
    metagene = made.metagenes.label[made.metagenes.names.index("G00")]
    members = [
        (name, made.metagenes.sign[made.metagenes.names.index(name)]) for name in made.metagenes.members(metagene)
    ]
    theirs = others["same"].expression.to_df()
    z = sum(sign * stats.zscore(theirs[name].to_numpy(float)) for name, sign in members)
    size = inputs_of(others["same"], SETTINGS).features.values[SIZE]
    assert of_size(found, made, "same.zarr")["rho"] == pytest.approx(stats.spearmanr(z, size).statistic, abs=1e-5)


def test_both_cohorts_are_pooled_and_their_disagreement_is_seen(found: Replication, made: ConventionalMap) -> None:
    same = of_size(found, made, "same.zarr")
    pool = found.pooled.set_index(["metagene", "feature"]).loc[
        (same["metagene"] if "metagene" in same else same.name[1], SIZE)
    ]
    assert pool["cohorts"] == 2
    assert pool["i2"] > 0.9
    assert pool["low"] < 0 < pool["high"]
    assert pool["all_cohorts"] == 3


def test_power_is_settled_by_the_patients_and_the_first_cohort_alone(
    cohort: Cohort, made: ConventionalMap, others: dict[str, Cohort], found: Replication
) -> None:
    prepared = prepare(cohort, made.material, [others["same"]], SETTINGS, HOW)
    (other,) = prepared.others
    shuffled = replace(other.material, genes=np.random.default_rng(0).permuted(other.material.genes, axis=0))
    again = replicate(made, cohort, replace(prepared, others=(replace(other, material=shuffled),)), HOW)
    mine = found.plan[found.plan["cohort"] == "same.zarr"].reset_index(drop=True)
    columns = ["metagene", "feature", "n", "expected"]
    pd.testing.assert_frame_equal(again.plan[columns], mine[columns])
    assert of_size(again, made, "same.zarr")["verdict"] != REPLICATED
    assert (found.links["expected"].abs() <= found.links["rho"].abs() + 1e-9).all()


def test_who_is_in_both_and_what_is_not_measured_is_said(
    cohort: Cohort, made: ConventionalMap, others: dict[str, Cohort]
) -> None:
    twin = SimpleNamespace(
        digest="", patients=others["same"].patients, pixel_mm=cohort.pixel_mm, imaging=cohort.imaging
    )
    with pytest.raises(CohortError, match="only 0 patients"):  # they all have the mapped cohort's names
        other_inputs(others["same"], twin, SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(CohortError, match="is the cohort that is mapped"):
        prepare(cohort, made.material, [cohort], SETTINGS, HOW)
    with pytest.raises(CohortError, match="is given twice"):
        prepare(cohort, made.material, [others["same"], others["same"]], SETTINGS, HOW)
    with pytest.raises(SettingError, match="give --replicate"):
        prepare(cohort, made.material, [], SETTINGS, replace(HOW, harmonize="combat"))
    with pytest.raises(SettingError, match=r"same.zarr: covariates 'Age'"):
        other_inputs(others["same"], cohort, replace(SETTINGS, covariates="Age"))
    prepared = prepare(cohort, made.material, [others["same"]], SETTINGS, HOW)
    (other,) = prepared.others
    kept = np.arange(6, 40)
    names = tuple(other.material.names[k] for k in kept)
    fewer = replace(other, material=replace(other.material, genes=other.material.genes[:, kept], names=names))
    found = replicate(made, cohort, replace(prepared, others=(fewer,)), HOW)
    test = of_size(found, made, "same.zarr")
    assert test["verdict"] == NOT_MEASURED
    assert test["why"].endswith("% of the metagene's genes are measured")
    assert any("6 of 40 genes are not measured here" in sentence for sentence in found.samples[1].said)


def test_where_nothing_is_found_the_strongest_are_candidates(
    cohort: Cohort, made: ConventionalMap, others: dict[str, Cohort]
) -> None:
    nothing = replace(made, links=made.links.assign(verdict="not found", q=1.0))
    chosen, found = asked_links(nothing, 3)
    assert not found
    assert len(chosen) == 3
    assert (chosen["p"] <= chosen["selected"]).all()  # the p of the strongest that is not asked
    none = replace(HOW, candidates=0)
    found_none = replicate(nothing, cohort, prepare(cohort, made.material, [others["same"]], SETTINGS, none), none)
    assert len(found_none.tests) == len(found_none.links) == 0
    assert conclusions(found_none, nothing)[0].startswith("No link was found and no candidate was asked about")


def test_p_is_that_of_spearmans_test_and_uniform_without_a_link() -> None:
    rng = np.random.default_rng(3)
    found = []
    for number in range(200):
        x, y = rng.standard_normal((2, 25))
        pair = Pair(x, y, FREE, 23)
        found.append(one_sided_p(pair, 1.0, 400, number))
        if number < 10:
            exact = stats.spearmanr(x, y, alternative="greater").pvalue
            assert found[-1] == pytest.approx(exact, abs=0.08)
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_patients_change_places_within_batches_only() -> None:
    blocks = np.repeat(["a", "b", "c"], [4, 5, 6])
    order = orders(15, blocks, 50, 0)
    assert (blocks[order] == blocks).all()
    assert (np.sort(order, axis=1) == np.arange(15)).all()
    assert len(np.unique(order, axis=0)) > 40


def test_a_level_that_the_other_cohort_names_otherwise_is_looked_up(others: dict[str, Cohort]) -> None:
    material = inputs_of(others["same"], SETTINGS)
    (mine,) = (name for name in material.features.values if name.startswith("Grade"))
    asked = "Grade = G1" if mine == "Grade = G2" else "Grade = G2"
    values = with_levels(material, others["same"], [asked, "Stage = 3"], 8).features
    assert (values.values[asked] == 1 - values.values[mine]).all()
    assert values.family[asked] == CLINICAL
    assert "Stage = 3" not in values.values
    assert _level(pd.DataFrame({"Grade": ["G1; G2", "G2", None]}), "Grade = G1").tolist() == [1.0, 0.0]  # type: ignore[union-attr]


def test_features_that_lie_elsewhere_are_named_and_combat_takes_it_away() -> None:
    rng = np.random.default_rng(4)
    kernel = np.repeat(["smooth", "sharp"], 20)
    texture = rng.standard_normal(40) + 3.0 * (kernel == "sharp")

    def inputs(shift: float, name: str) -> MapInputs:
        index = pd.Index([f"{name}{k}" for k in range(40)], name="patient")
        values = pd.DataFrame({"texture": texture + shift, "size": rng.standard_normal(40)}, index)
        values["other"] = rng.standard_normal(40)
        features = FeatureTable(values, dict.fromkeys(values, LESION))
        batches = pd.DataFrame({"kernel": kernel}, index)
        return MapInputs(np.zeros((40, 1), np.float32), ("G",), features, batches, "size", name)

    first, other = inputs(0.0, "a"), inputs(5.0, "b")
    table = differences(first.features, [("b", other.features)], 0.05).set_index("feature")
    assert table.loc["texture", "verdict"] == "higher there"
    assert table.loc["texture", "p"] == pytest.approx(stats.mannwhitneyu(texture + 5, texture).pvalue)
    assert table.loc["size", "verdict"] == "no sign of a difference"
    assert set(scanner_labels("b", other, "kernel")) == {"b, smooth", "b, sharp"}
    assert set(scanner_labels("b", other, "site")) == {"b"}
    (one, two), said = harmonised([("a", first), ("b", other)], "kernel")
    levels = [part.features.values["texture"][kernel == k].mean() for part in (one, two) for k in ("smooth", "sharp")]
    assert np.ptp(levels) < 0.5
    assert "ComBat brought 3 features of 4 scanners (a, smooth (20)" in said


def test_what_could_be_found_is_said_before(made: ConventionalMap, cohort: Cohort) -> None:
    plan = plan_of(made.material.features, 6, FREE, 0.05)
    tests = 6 * int(made.plan.features["findable"].notna().sum())
    assert plan.tests == made.by_metagene.tests == tests
    assert plan.findable == pytest.approx(findable(38, 0.05 / tests))
    two = plan.features[plan.features["rarer"].notna()].iloc[0]
    share = two["rarer"]
    assert two["findable"] == pytest.approx(plan.findable / np.sqrt(3 * share * (1 - share)))
    assert sentence(plan).startswith(
        f"Before any test: among {tests} tests of 40 patients a single link is found at 80%"
    )
    heard = []
    conventional_map(made.material, SETTINGS, None, heard.append)
    assert heard[0].tests == tests


def test_the_verb_writes_it_all(
    cohort: Cohort, others: dict[str, Cohort], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map"
    words = ["--clusters", "6", "--permutations", "100", "--shuffles", "1", "--prediction_folds", "0"]
    words += ["--replication_permutations", "1000", "--harmonize", "combat"]
    replicated = ["--replicate", str(others["same"].path), str(others["opposite"].path)]
    assert main(["map", str(cohort.path), str(out), *words, *replicated]) == 0
    captured = capsys.readouterr()
    assert "Before any test" in captured.err
    record = json.loads((out / "map.json").read_text(encoding="utf-8"))
    assert record["replication"]["cohorts"] == 2
    assert record["replication"]["replicated"] >= 1
    page = json.loads((out / "page.json").read_text(encoding="utf-8"))
    assert {others["same"].digest, others["opposite"].digest, cohort.digest} <= {
        value.removeprefix("digest ") for _, value in page["provenance"]
    }
    assert {"In other cohorts", "How the cohorts differ", "What could be found"} <= {
        s["title"] for s in page["sections"]
    }
    assert any(said.startswith("Said before looking") for said in record["conclusions"])
    for name in ("replication", "replication_plan", "replication_pooled", "cohort_differences", "plan"):
        assert (out / "tables" / f"{name}.csv").is_file()
