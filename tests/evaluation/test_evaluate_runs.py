"""The whole evaluation on a cohort whose map is known, with methods of which we know how good they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_cohort import Deaf, Perfect, Restless, subject, write

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.control import OWN, TRUTH
from radiogenesis.evaluation.drawing import draw
from radiogenesis.evaluation.evaluate import evaluate
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.reporting.page import write_report

SETTINGS = EvaluationSettings(backgrounds_per_patient=4, bootstrap=200, permutations=199)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write(tmp_path_factory.mktemp("known") / "cohort")


@pytest.fixture(scope="module")
def evaluated(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    subjects = [subject(cohort, "perfect"), subject(cohort, "deaf", Deaf()), subject(cohort, "restless", Restless())]
    evaluate(subjects, cohort, out, SETTINGS)
    return out


def control(out: Path, run: str, feature: str, reference: str) -> pd.Series:
    table = pd.read_csv(out / "tables" / "control.csv").set_index(["run", "feature", "reference"])
    return table.loc[(run, feature, reference)]


@pytest.mark.parametrize("reference", [TRUTH, OWN])
@pytest.mark.parametrize("feature", ["size", "attenuation"])
def test_the_perfect_controller_follows_what_was_planted(evaluated: Path, feature: str, reference: str) -> None:
    found = control(evaluated, "perfect", feature, reference)
    assert found["rho"] > 0.97
    assert found["rho"] >= found["ceiling"]
    assert found["p"] == pytest.approx(1 / 200)
    assert found["patients"] == 14
    assert found["images"] == 56


def test_the_measure_recovers_what_was_planted(evaluated: Path) -> None:
    assert control(evaluated, "perfect", "size", TRUTH)["measure"] > 0.97


def test_who_ignores_the_genes_comes_out_at_the_null(evaluated: Path) -> None:
    assert control(evaluated, "deaf", "size", TRUTH)["rho"] == 0  # the same for everybody
    found = control(evaluated, "restless", "size", TRUTH)
    assert found["null_low"] <= found["rho"] <= found["null_high"]
    assert found["p"] > 0.05


def test_outside_the_lesion_the_background_survives(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "tables" / "fidelity.csv").set_index(["run", "region"])
    assert table.loc[("perfect", "outside the lesion"), "psnr"] > 60
    assert table.loc[("perfect", "null: another background"), "psnr"] < table.loc[("perfect", "whole image"), "psnr"]


def test_the_perfect_alignment_retrieves(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "tables" / "retrieval.csv")
    assert set(table["run"]) == {"perfect"}
    rank = table[(table["level"] == "patient") & (table["measure"] == "mean rank")].iloc[0]
    assert rank["value"] < 4
    assert rank["p"] < 0.01


def test_everybody_is_drawn_on_the_same_backgrounds(cohort: Cohort) -> None:
    one = subject(cohort, "perfect")
    genes = one.scaler.transform(cohort.expression, one.split.test)
    drawn = draw(one.method, cohort, one.split, genes, SETTINGS, show=one.split.test)  # type: ignore[arg-type]
    backgrounds = [examples.background for examples in drawn.examples.values()]
    assert all((other == backgrounds[0]).all() for other in backgrounds)
    assert set(cohort.background_patient[drawn.background_index]) <= set(one.split.test)


def test_images_come_in_batches_without_changing_the_result(cohort: Cohort) -> None:
    one = subject(cohort, "perfect")
    genes = one.scaler.transform(cohort.expression, one.split.test)
    few = EvaluationSettings(backgrounds_per_patient=5, batch=2)
    many = EvaluationSettings(backgrounds_per_patient=5, batch=64)
    first, second = (draw(one.method, cohort, one.split, genes, s).features for s in (few, many))  # type: ignore[arg-type]
    assert np.allclose(first, second, equal_nan=True)


def test_the_same_seed_gives_the_same_numbers(cohort: Cohort, evaluated: Path, tmp_path: Path) -> None:
    evaluate([subject(cohort, "perfect")], cohort, tmp_path / "again", SETTINGS)
    again = pd.read_csv(tmp_path / "again" / "tables" / "control.csv")
    before = pd.read_csv(evaluated / "tables" / "control.csv")
    pd.testing.assert_frame_equal(again, before[before["run"] == "perfect"].reset_index(drop=True))


def test_the_summary_claims_what_was_shown_and_no_more(evaluated: Path) -> None:
    summary = json.loads((evaluated / "evaluation.json").read_text())
    perfect, retrieval, deaf, restless, scope = summary["conclusions"]
    assert "size and attenuation of drawn lesions follow" in perfect
    assert "points to its own" in retrieval
    assert "no property" in deaf
    assert "no property" in restless
    assert "says nothing about real tumours" in scope
    assert [(n["run"], n["name"]) for n in summary["headline"]][:3] == [
        ("perfect", "control"), ("perfect", "fidelity"), ("perfect", "retrieval"),
    ]  # fmt: skip
    assert summary["cohort"]["digest"]
    assert summary["settings"]["permutations"] == 199


def test_the_report_stands_alone(evaluated: Path) -> None:
    page = write_report(evaluated).read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert "<link" not in page
    assert "<script" not in page
    for words in ("What may be concluded", "The cohort", "Training", "Do the genes control it?", "Provenance", "no CT"):
        assert words in page
    assert page.count("data:image/png;base64,") >= 10
    assert len(page) < 8_000_000


def test_real_patients_have_no_truth_to_compare_with(tmp_path: Path) -> None:
    cohort = write(tmp_path / "real", patients=14, planted=False)
    out = tmp_path / "out"
    summary = evaluate([subject(cohort, "perfect")], cohort, out, SETTINGS)
    assert set(pd.read_csv(out / "tables" / "control.csv")["reference"]) == {OWN}
    assert "not causes" in summary["conclusions"][-1]
    assert "own slices" in write_report(out).read_text(encoding="utf-8")


def test_what_is_refused(cohort: Cohort, evaluated: Path, tmp_path: Path) -> None:
    one = subject(cohort, "perfect")
    with pytest.raises(RunError, match=r"already exists; choose another name"):
        evaluate([one], cohort, evaluated, SETTINGS)
    with pytest.raises(RunError, match="different names"):
        evaluate([one, one], cohort, tmp_path / "out", SETTINGS)
    with pytest.raises(RunError, match="neither draws nor aligns"):
        evaluate([subject(cohort, "nothing", object())], cohort, tmp_path / "out", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(cohort: Cohort, tmp_path: Path) -> None:
    class Broken(Perfect):
        def synthesize(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise OSError("no more memory")

    with pytest.raises(OSError, match="no more memory"):
        evaluate([subject(cohort, "broken", Broken(subject(cohort, "x").scaler))], cohort, tmp_path / "out", SETTINGS)
    assert not list(tmp_path.iterdir())
