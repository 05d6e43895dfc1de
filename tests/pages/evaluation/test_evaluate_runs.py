"""The whole evaluation on a cohort whose map is known, with methods of which we know how good they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from known_cohort import Copier, Deaf, Perfect, Restless, subject, write

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import OutputError, RunError
from radiogenesis.evaluation.comparison import BESIDE
from radiogenesis.evaluation.drawing import draw
from radiogenesis.evaluation.measures.control import OWN, TRUTH
from radiogenesis.evaluation.measures.fidelity import PASTED
from radiogenesis.evaluation.measures.memorization import COPIES, UNSEEN
from radiogenesis.evaluation.measures.realism import ON_SAME
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.nearest_lesion import NearestLesion, NearestLesionSettings
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.pages.evaluation.evaluate import evaluate
from radiogenesis.reporting.page import write_report

pytestmark = pytest.mark.slow

SETTINGS = EvaluationSettings(backgrounds_per_patient=4, bootstrap=200, permutations=199, gene_shuffles=9)


@pytest.fixture(scope="module")
def evaluated(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    subjects = [
        subject(cohort, "perfect"),
        subject(cohort, "deaf", Deaf(), "deaf"),
        subject(cohort, "restless", Restless(first=1), "restless"),
    ]
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
    assert found["rho"] >= found["regression"]
    assert found["p"] == pytest.approx(1 / 200)
    assert found["patients"] == 14
    assert found["images"] == 56


def test_the_measure_recovers_what_was_planted(evaluated: Path) -> None:
    assert control(evaluated, "perfect", "size", TRUTH)["measure"] > 0.97


def test_who_ignores_the_genes_comes_out_at_the_null(evaluated: Path) -> None:
    assert control(evaluated, "deaf", "size", TRUTH)["rho"] == 0  # the same for everybody
    for feature in ("size", "attenuation"):
        for reference in (TRUTH, OWN):
            found = control(evaluated, "restless", feature, reference)
            assert found["null_low"] <= found["rho"] <= found["null_high"]
            assert found["p"] > 0.05


def test_outside_the_lesion_the_background_survives(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "tables" / "fidelity.csv").set_index(["run", "region"])
    assert table.loc[("perfect", "outside the lesion"), "psnr"] > 60
    assert table.loc[("perfect", "null: another background"), "psnr"] < table.loc[("perfect", "whole image"), "psnr"]


def test_pasted_lesions_say_how_much_of_the_image_must_differ(evaluated: Path) -> None:
    """The perfect method's whole images differ as much as the patients' own lesions would; see `known_cohort`."""
    table = pd.read_csv(evaluated / "tables" / "fidelity.csv").set_index(["run", "region"])
    pasted = table.loc[("perfect", PASTED), "mse"]
    assert table.loc[("perfect", "whole image"), "mse"] == pytest.approx(pasted, rel=0.3)
    assert table.loc[("deaf", PASTED), "mse"] == pasted
    lines = pd.read_csv(evaluated / "tables" / "comparison_tidy.csv")
    assert lines[lines["measure"] == "mse"]["reference"].to_numpy() == pytest.approx(pasted)


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


def test_the_noise_of_a_drawing_depends_on_the_seed_and_its_place_alone(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever draws is asked once for all backgrounds of a patient, and seeds each by its place among them."""
    one = subject(cohort, "perfect")
    asked: list[tuple[int, int]] = []
    drawing = one.method.synthesize  # type: ignore[attr-defined]

    def watched(backgrounds: np.ndarray, expression: np.ndarray, *, seed: int) -> Synthesis:
        asked.append((len(backgrounds), seed))
        return drawing(backgrounds, expression, seed=seed)

    monkeypatch.setattr(one.method, "synthesize", watched)
    settings = EvaluationSettings(backgrounds_per_patient=20, noise_draws=2, seed=3)
    draw(one.method, cohort, one.split, one.genes(cohort.expression, one.split.test), settings)  # type: ignore[arg-type]
    assert asked == [(20, 3), (2, 3)] * len(one.split.test)


def test_the_same_seed_gives_the_same_numbers(cohort: Cohort, evaluated: Path, tmp_path: Path) -> None:
    evaluate([subject(cohort, "perfect")], cohort, tmp_path / "again", SETTINGS)
    again = pd.read_csv(tmp_path / "again" / "tables" / "control.csv")
    before = pd.read_csv(evaluated / "tables" / "control.csv")
    pd.testing.assert_frame_equal(again, before[before["run"] == "perfect"].reset_index(drop=True))


def test_the_summary_claims_what_was_shown_and_no_more(evaluated: Path) -> None:
    summary = json.loads((evaluated / "evaluation.json").read_text())
    *_, scope = told = summary["conclusions"]
    assert "says nothing about real tumors" in scope
    of = {
        name: [sentence for sentence in told if sentence.startswith(name + ":")]
        for name in ("perfect", "deaf", "restless")
    }
    assert "size and attenuation of drawn lesions follow" in of["perfect"][0]
    assert "points to its own" in of["perfect"][-1]
    assert "no property" in of["deaf"][0]
    assert "a check of the measure" in of["deaf"][0]
    assert of["deaf"][0].endswith("no control is found where there is none.")
    assert set(pd.read_csv(evaluated / "tables" / "control_check.csv")["run"]) == {"deaf"}
    assert "no property" in of["restless"][0]
    assert "a check of the measure" not in of["restless"][0]
    assert "painter against deaf" in told[0]
    assert "control" in told[0].split(";")[0]
    assert [(n["run"], n["name"]) for n in summary["headline"]][:3] == [
        ("perfect", "control"), ("perfect", "fidelity"), ("perfect", "retrieval"),
    ]  # fmt: skip
    assert summary["cohort"]["digest"]
    assert summary["settings"]["permutations"] == 199


def test_the_comparison_has_a_row_per_method(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "tables" / "comparison.csv").set_index("method")
    assert list(table.index) == ["painter", "deaf", "restless", *BESIDE.values()]
    each = [control(evaluated, "perfect", feature, TRUTH)["rho"] for feature in ("size", "attenuation", "margin")]
    assert each[2] == 0  # planted alike for everybody: nobody can be ranked by it
    assert table.loc["painter", "control"] == pytest.approx(np.mean(each))
    assert table.loc["deaf", "control"] == 0
    assert (table.loc[["painter", "deaf", "restless"], "images_seen"] == 2000).all()
    assert abs(table.loc[BESIDE["reference"], "kid"]) < table.loc[BESIDE["null"], "kid"]
    lone = pd.read_csv(evaluated / "tables" / "control.csv").set_index(["run", "reference", "feature"])
    mean = lone.loc[("restless", TRUTH, "mean")]
    assert table.loc["restless", ["control", "control_low", "control_high"]].tolist() == pytest.approx(
        mean[["rho", "low", "high"]].tolist()
    )


class Lazy(Deaf):
    """Draws no lesion on every other background."""

    def synthesize(self, backgrounds: np.ndarray, expression: np.ndarray, *, seed: int) -> Synthesis:
        made = super().synthesize(backgrounds, expression, seed=seed)
        for array, bare in ((made.image, backgrounds), (made.mask, np.zeros_like(made.mask))):
            array[1::2] = bare[1::2]
        return made


def test_drawings_without_a_lesion_are_counted(cohort: Cohort, tmp_path: Path) -> None:
    evaluate([subject(cohort, "lazy", Lazy(), "lazy")], cohort, tmp_path / "out", SETTINGS)
    line = pd.read_csv(tmp_path / "out" / "tables" / "comparison.csv").iloc[0]
    assert (line["empty"], line["empty_low"], line["empty_high"]) == (0.5, 0.5, 0.5)
    assert (line["mse_images"], line["kid_images"], line["images"]) == (56, 28, 28)


def test_the_deaf_draw_no_two_patients_differently(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "tables" / "diversity.csv").set_index(["run", "differs", "measure"])
    assert table.loc[("deaf", "patients", "distance"), "drawn"] == pytest.approx(0, abs=1e-6)
    assert table.loc[("perfect", "noise alone", "distance"), "drawn"] == pytest.approx(0, abs=1e-6)  # it has no noise
    assert table.loc[("perfect", "patients", "distance"), "ratio"] > 0.5


@pytest.fixture(scope="module")
def others(
    cohort: Cohort, tmp_path_factory: pytest.TempPathFactory, blank_pictures: Callable[[], AbstractContextManager[None]]
) -> Path:
    """Two seeds of one method, and the copier."""
    out = tmp_path_factory.mktemp("others") / "out"
    subjects = [subject(cohort, name, Restless(), "restless") for name in ("one", "two")]
    for seed, one in enumerate(subjects):
        one.config["training"] = {"seed": seed}
    copier = subject(cohort, "copier", Copier(cohort, subjects[0].split.train), "copier")
    settings = EvaluationSettings(
        backgrounds_per_patient=12, bootstrap=100, permutations=99, gene_shuffles=1, segmentation_steps=2,
        segmentation_repeats=1,
    )  # fmt: skip
    with blank_pictures():
        evaluate([*subjects, copier], cohort, out, settings)
    return out


def test_who_pastes_training_lesions_is_caught(others: Path) -> None:
    table = pd.read_csv(others / "tables" / "memorization.csv").set_index(["run", "of"])
    assert table.loc[("copier", "drawn"), "p"] <= 0.01
    assert table.loc[("copier", "drawn"), "near"] > 0.8
    assert table.loc[("copier", COPIES), "near"] > 0.8
    assert table.loc[("copier", UNSEEN), "near"] < 0.1
    assert table.loc[("copier", UNSEEN), "p"] > 0.05
    told = json.loads((others / "evaluation.json").read_text())["conclusions"]
    assert any(s.startswith("copier: drawn lesions are copies of training lesions") for s in told)
    assert table.loc[("one", "drawn"), "p"] > 0.05
    assert not any(s.startswith("one: drawn lesions are copies") for s in told)


def test_nearest_lesions_are_copies_as_they_are_made(cohort: Cohort, tmp_path: Path) -> None:
    one = subject(cohort, "nearest")
    rows = np.isin(cohort.slice_patient, one.split.train)
    method = NearestLesion(NearestLesionSettings(), genes=cohort.expression.n_vars, pixels=cohort.pixels)
    method.fit(
        *(torch.from_numpy(part[rows])[:, None] for part in (cohort.slice_image, cohort.slice_mask)),
        np.unique(cohort.slice_patient[rows], return_inverse=True)[1],
        one.scaler.transform(cohort.expression, sorted(one.split.train)),
        0,
        pixel_mm=cohort.pixel_mm,
    )
    evaluate([subject(cohort, "nearest", method, "nearest-lesion")], cohort, tmp_path / "out", SETTINGS)
    (said,) = [
        s for s in json.loads((tmp_path / "out" / "evaluation.json").read_text())["conclusions"] if "copies" in s
    ]
    assert said.startswith("nearest: drawn lesions are copies of training lesions: ")
    assert said.endswith("This method pastes training lesions by design.")


def test_nothing_that_can_be_passed_is_called_a_ceiling(evaluated: Path) -> None:
    page = write_report(evaluated).read_text(encoding="utf-8")
    assert "ceiling" not in page.lower()
    assert "ceiling" not in (evaluated / "evaluation.json").read_text().lower()
    for words in (
        "Of regression",
        "on the same backgrounds",
        "through a narrow seam",
        "Who is ahead of all others",
        "not decided",
    ):
        assert words in page
    realism = pd.read_csv(evaluated / "tables" / "realism.csv").set_index(["run", "distance", "of"])
    assert (realism.loc[("deaf", "kid", ON_SAME)] == realism.loc[("perfect", "kid", ON_SAME)])[["value", "low"]].all()
    assert realism.loc[("deaf", "kid", ON_SAME), "images"] == 56


def test_seeds_of_one_method_stand_in_one_row(others: Path) -> None:
    summary = json.loads((others / "evaluation.json").read_text())
    assert [row["runs"] for row in summary["methods"]] == [["one", "two"], ["copier"]]
    assert summary["methods"][0]["seeds"] == [0, 1]
    seeds = pd.read_csv(others / "tables" / "comparison_seeds.csv")
    each = pd.read_csv(others / "tables" / "diversity.csv")
    each = each[(each["differs"] == "noise and background") & (each["measure"] == "distance")].set_index("run")["ratio"]
    each = each[["one", "two"]]
    line = seeds.set_index("measure").loc["Diversity"]
    assert line["value"] == pytest.approx(each.mean())
    assert (line["runs_low"], line["runs_high"]) == pytest.approx((each.min(), each.max()))


def test_usefulness_is_asked_when_it_is_wanted(others: Path, evaluated: Path) -> None:
    table = pd.read_csv(others / "tables" / "usefulness.csv").set_index("run").loc["one"]
    assert table["difference"] == pytest.approx(table["with"] - table["without"])
    assert (table["steps"], table["patients"]) == (2, 14)
    told = json.loads((others / "evaluation.json").read_text())["conclusions"]
    assert any("segmentation network" in sentence for sentence in told)
    assert not (evaluated / "tables" / "usefulness.csv").exists()


def test_the_report_stands_alone(evaluated: Path) -> None:
    page = write_report(evaluated).read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert "<link" not in page
    assert "<script src" not in page
    # Loss curves come last of what was found.
    sections = re.findall(r"<h2>(.+?)</h2>", page)
    assert sections[-3:] == ["Training", "Checklists of journals", "Provenance"]
    assert "Which genes do the drawings follow?" in sections
    for words in (
        "What may be concluded",
        "The cohort",
        "Training",
        "Do the genes control it?",
        "Provenance",
        "no CT",
        "The methods side by side",
        "Do drawn lesions look real?",
        "Do the drawings differ?",
        "Are they copies?",
        "Do patients with similar genes have similar tumors?",
    ):
        assert words in page
    assert page.count("data:image/png;base64,") >= 10
    assert len(page) < 8_000_000


def test_intervals_are_called_what_they_are(cohort: Cohort, tmp_path: Path) -> None:
    settings = EvaluationSettings(
        backgrounds_per_patient=4, bootstrap=50, permutations=49, gene_shuffles=3, segmentation_steps=2,
        segmentation_repeats=1, confidence=0.8,
    )  # fmt: skip
    evaluate([subject(cohort, "perfect"), subject(cohort, "deaf", Deaf(), "deaf")], cohort, tmp_path / "out", settings)
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())["conclusions"]
    page = write_report(tmp_path / "out").read_text(encoding="utf-8")
    for text in ("\n".join(told), page):
        assert "80 % interval" in text
        assert "95 %" not in text
    for words in ("Null, 80 % from", "Gray: 80 % of what", "80 % intervals over patients and networks"):
        assert words in page


def test_real_patients_have_no_truth_to_compare_with(tmp_path: Path) -> None:
    cohort = write(tmp_path / "real", patients=14, planted=False)
    out = tmp_path / "out"
    summary = evaluate([subject(cohort, "perfect")], cohort, out, SETTINGS)
    assert set(pd.read_csv(out / "tables" / "control.csv")["reference"]) == {OWN}
    assert "not causes" in summary["conclusions"][-1]
    assert "own slices" in write_report(out).read_text(encoding="utf-8")


def test_what_is_refused(cohort: Cohort, evaluated: Path, tmp_path: Path) -> None:
    one = subject(cohort, "perfect")
    with pytest.raises(OutputError, match=r"already exists; choose another name"):
        evaluate([one], cohort, evaluated, SETTINGS)
    with pytest.raises(RunError, match="different names"):
        evaluate([one, one], cohort, tmp_path / "out", SETTINGS)
    with pytest.raises(RunError, match="neither draws nor aligns"):
        evaluate([subject(cohort, "nothing", object())], cohort, tmp_path / "out", SETTINGS)
    assert not list(tmp_path.iterdir())


class SameCode(Deaf):
    """Deaf, and its code is one place: as a fusion GAN without genes."""

    def encode(self, expression: np.ndarray) -> np.ndarray:
        return np.full((len(expression), 6), 0.3, np.float32)


def test_a_run_without_genes_is_evaluated_to_the_end(few: Cohort, tmp_path: Path) -> None:
    """t-SNE of its codes, which are all the same, once ended the process."""
    evaluate([subject(few, "no genes", SameCode(), "fusion-gan")], few, tmp_path / "out", SETTINGS)
    clusters = pd.read_csv(tmp_path / "out" / "tables" / "code_clusters.csv").set_index("space")
    assert clusters.loc["fusion-gan", "silhouette"].isna().all()
    assert "figure 4" in write_report(tmp_path / "out").read_text(encoding="utf-8")


def test_a_failure_leaves_nothing_behind(cohort: Cohort, tmp_path: Path) -> None:
    class Broken(Perfect):
        def synthesize(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise OSError("no more memory")

    with pytest.raises(OSError, match="no more memory"):
        evaluate([subject(cohort, "broken", Broken(subject(cohort, "x").scaler))], cohort, tmp_path / "out", SETTINGS)
    assert not list(tmp_path.iterdir())
