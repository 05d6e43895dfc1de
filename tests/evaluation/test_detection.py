"""Detection scored by hand on masks of a few pixels, with intervals, a baseline and a null."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_cohort import box_of_tumor
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, RunError
from radiogenesis.evaluation.detection import (
    BASELINE,
    MEASURES,
    NULL,
    PAIRED,
    UNET,
    Stack,
    box_iou,
    densest_piece,
    detection_table,
    differences,
    findings,
    found_in,
    outlined_stacks,
    scores,
    side_by_side,
    stack_of,
    summarized,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, TumorUNetSettings
from radiogenesis.pages.evaluation.detection import evaluate_detection
from radiogenesis.pages.evaluation.evaluate import evaluate_runs
from radiogenesis.reporting.model import Page
from radiogenesis.reporting.page import write_report
from radiogenesis.testing import toy_patient, write_cohort
from radiogenesis.training.run import Run

QUICK = EvaluationSettings(bootstrap=200, permutations=10)


def mask(*boxes: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
    made = np.zeros((4, 10, 10), bool)
    for box in boxes:
        made[box] = True
    return made


def test_boxes_by_hand() -> None:
    a, b = mask(np.s_[0:2, 0:4, 0:4]), mask(np.s_[1:3, 2:6, 0:4])
    assert box_iou(a, b) == pytest.approx(1 * 2 * 4 / (32 + 32 - 8))
    assert box_iou(a, a) == 1.0
    assert box_iou(a, mask()) == 0.0
    assert box_iou(a, mask(np.s_[3:4, 8:9, 8:9])) == 0.0
    corners = mask(np.s_[0:1, 0:1, 0:1], np.s_[1:2, 3:4, 3:4])  # two voxels, the box of a
    assert box_iou(a, corners) == 1.0


def test_scores_by_hand() -> None:
    tumor = mask(np.s_[1:3, 2:6, 2:6])  # 32 voxels
    labels = np.zeros((4, 10, 10), np.int32)
    labels[1, 2:6, 2:6] = 1  # half of it
    labels[0, 8:9, 8:9] = 2  # nothing there
    found = scores(labels, tumor)
    assert found == {
        "dice": pytest.approx(2 * 16 / (17 + 32)),
        "slice_dice": pytest.approx((1 + 0) / 2),
        "box_iou": pytest.approx(16 / 32),
        "slice_box_iou": pytest.approx((1 + 0) / 2),
        "hit": 1.0,
        "false_positives": 1.0,
    }
    nothing = scores(np.zeros_like(labels), tumor)
    assert nothing == dict.fromkeys(MEASURES, 0.0)


def test_means_and_intervals_are_over_patients() -> None:
    each = pd.DataFrame({"finder": UNET, "patient": list("abcd"), **{key: [0.0, 0.0, 1.0, 1.0] for key in MEASURES}})
    table = summarized(each, QUICK)
    assert table["measure"].tolist() == list(MEASURES)
    assert (table["value"] == 0.5).all()
    assert (table["low"] < 0.5).all()
    assert (table["high"] > 0.5).all()
    assert set(table["patients"]) == {4}
    pd.testing.assert_frame_equal(table, summarized(each, QUICK))
    alike = summarized(each.assign(**dict.fromkeys(MEASURES, 1.0)), QUICK)
    assert (alike["low"] == 1).all()


def test_the_difference_is_taken_patient_by_patient_and_seeds_are_averaged_first() -> None:
    dice = {UNET: [0.9, 0.5, 0.1], BASELINE: [0.8, 0.4, 0.0]}  # far apart between patients, 0.1 apart in each
    parts = [
        pd.DataFrame({"finder": who, "patient": list("abc"), **dict.fromkeys(MEASURES, values)})
        for who, values in dice.items()
    ]
    found = differences(pd.concat(parts), QUICK)
    assert set(found["finder"]) == {PAIRED}
    np.testing.assert_allclose(found[["value", "low", "high"]], 0.1)
    better = pd.concat(parts).assign(
        **{key: lambda t, key=key: t[key] + 0.2 * (t["finder"] == UNET) for key in MEASURES}
    )
    twice = differences(pd.concat([pd.concat(parts).assign(seed=0), better.assign(seed=1)]), QUICK)
    np.testing.assert_allclose(twice[["value", "low", "high"]], 0.2)
    assert (twice["patients"] == 3).all()


def test_the_finders_stand_side_by_side() -> None:
    rows = [
        {"finder": finder, "measure": measure, "value": v, "low": v - 0.1, "high": v + 0.1, "patients": 4}
        for finder, v in ((UNET, 0.5), (NULL, 0.2))
        for measure in MEASURES
    ]
    beside = side_by_side(pd.DataFrame(rows))
    assert list(beside["what"]) == list(MEASURES.values())
    assert beside[[UNET, f"{UNET}, low", f"{NULL}, high", "patients"]].iloc[1].tolist() == [0.5, 0.4, 0.2 + 0.1, 4]


def test_what_lies_far_from_the_lungs_does_not_count() -> None:
    stack = lung_with(np.s_[1:4, 10:16, 10:16])
    lungs = stack.lungs.copy()
    lungs[:, :, 26:] = False  # 30 mm from the piece
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    assert found_in(method, stack, FindSettings()).max() == 1
    lungs[:, :, :26] = False
    assert found_in(method, replace(stack, lungs=lungs), FindSettings()).max() == 0


def lung_with(*bright: tuple[slice, slice, slice]) -> Stack:
    image = np.full((6, 40, 40), 40, np.int16)
    image[:, 4:36, 4:36] = -850
    for box in bright:
        image[box] = 30
    lungs = image < -400
    return Stack("p", image, np.zeros(image.shape, bool), lungs, (5.0, 3.0, 3.0))


def test_the_baseline_takes_the_largest_compact_piece_and_no_vessel() -> None:
    blob, small, vessel = np.s_[1:4, 10:16, 10:16], np.s_[2:3, 25:29, 25:29], np.s_[0:6, 30:32, 6:34]
    found = densest_piece(lung_with(blob, small), FindSettings())
    assert found[blob].mean() > 0.8
    assert found.sum() == found[blob].sum()
    assert densest_piece(lung_with(), FindSettings()).sum() == 0
    thin = lung_with(np.s_[0:6, 20:21, 6:34])  # one pixel thin: opened away
    assert densest_piece(thin, FindSettings()).sum() == 0
    assert densest_piece(lung_with(blob, vessel), FindSettings()).any()


def unet_run(folder: Path, cohort: Cohort, *, name: str = "unet", split: Split | None = None) -> Run:
    """A run of Bright, trained on patient a of the cohort."""
    config = {"method": "tumor-unet", "cohort": str(cohort.path), "pixels": 32, "pixel_mm": 6.0}
    run = Run(folder / name, config, {"cohort_digest": cohort.digest})
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    vars(run).update(method=method, split=split or Split(("a",), (), ("b", "c")))
    return run


@pytest.mark.pictures
def test_evaluate_writes_tables_picture_and_page(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    summary = evaluate_runs([unet_run(tmp_path, cohort)], tmp_path / "out", replace(QUICK, confidence=0.8))
    assert summary["headline"][0]["value"] == 1.0
    assert "held-out patients (n = 2): Dice 1.00" in summary["conclusions"][0]
    assert "Left out" not in summary["conclusions"][0]
    table = pd.read_csv(tmp_path / "out" / "tables" / "detection.csv")
    assert set(table["finder"]) == {UNET, BASELINE, NULL, PAIRED}
    assert "the baseline's 1.00 (paired difference 0.00, 0.00 to 0.00)" in summary["conclusions"][0]
    page = Page.load(tmp_path / "out")
    assert page.sections[0].title == "Finding the tumor"
    for picture in ("unet_found.png", "figure5-unet.png"):
        assert picture in {block.file for block in page.sections[0].blocks}
        assert (tmp_path / "out" / "pictures" / picture).is_file()
    written = write_report(tmp_path / "out").read_text(encoding="utf-8")
    assert "densest piece in the lung" in written
    assert "80 % interval" in written
    assert "95 %" not in written


def test_of_another_cohort_nobody_counts_who_was_trained_on(tmp_path: Path) -> None:
    cohort, grown = cohort_of_stacks(tmp_path / "c"), cohort_of_stacks(tmp_path / "grown", names="abcd")
    run = unet_run(tmp_path, cohort, split=Split(("a",), ("b",), ("c",)))
    summary = evaluate_runs([run], tmp_path / "out", QUICK, cohort=grown.path)
    assert set(pd.read_csv(tmp_path / "out" / "tables" / "detection_patients.csv")["patient"]) == {"c", "d"}
    assert "another cohort (n = 2)" in summary["conclusions"][0]
    assert summary["conclusions"][0].endswith("Left out: 2 (a patient of this name was trained on).")
    assert summary["left_out"] == {"unet": dict.fromkeys("ab", "a patient of this name was trained on")}
    everybody = unet_run(tmp_path, cohort, split=Split(("a", "b"), ("c",), ("x",)))
    moved = Run(everybody.path, everybody.config, {"cohort_digest": "another"})
    vars(moved).update(method=everybody.method, split=everybody.split)
    with pytest.raises(CohortError, match="all of its 3 patients have names that unet was trained on"):
        evaluate_runs([moved], tmp_path / "none", QUICK, cohort=cohort.path)
    with pytest.raises(RunError, match="was trained on another cohort than"):  # its own, changed since
        evaluate_runs([moved], tmp_path / "none", QUICK)
    assert not (tmp_path / "none").exists()


def test_runs_of_different_cohorts_do_not_share_a_page(tmp_path: Path) -> None:
    one, other = cohort_of_stacks(tmp_path / "c"), cohort_of_stacks(tmp_path / "d", names="defg")
    split = Split(("d",), (), ("e", "f"))
    runs = [unet_run(tmp_path, one), unet_run(tmp_path, other, name="second", split=split)]
    with pytest.raises(RunError, match="2 runs of 2 different cohorts cannot stand in one table"):
        evaluate_runs(runs, tmp_path / "out", QUICK)
    summary = evaluate_runs(runs, tmp_path / "out", QUICK, cohort=other.path)
    assert [sentence.split(" (n")[0] for sentence in summary["conclusions"]] == [
        "unet, another cohort", "second, held-out patients",
    ]  # fmt: skip
    assert "another cohort and held-out patients of d" in Page.load(tmp_path / "out").subtitle


def test_of_one_patient_there_is_no_null_and_the_json_is_json(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    run = unet_run(tmp_path, cohort, split=Split(("a", "b"), (), ("c",)))
    evaluate_runs([run], tmp_path / "out", QUICK)
    text = (tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["headline"][0]["null"] is None
    assert "null –" in Page.load(tmp_path / "out").facts[0].beside


def test_what_counts_as_found_is_as_asked_and_written_down(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    strict = FindSettings(smallest_ml=99.0)
    summary = evaluate_detection([unet_run(tmp_path, cohort)], tmp_path / "out", QUICK, find=strict)
    assert summary["headline"][0]["value"] == 0.0
    assert summary["find_settings"] == {"threshold": 0.5, "smallest_ml": 99.0, "lung_mm": 5.0, "most": 5}
    assert "at least 99 ml" in Page.load(tmp_path / "out").sections[0].text


class Bright(TumorUNet):
    """Finds what is denser than -100 HU inside the middle of the slice."""

    def probability(self, images: NDArray[np.number]) -> NDArray[np.float32]:
        inside = np.zeros(images.shape, np.float32)
        inside[:, 6:26, 6:26] = images[:, 6:26, 6:26] > -100
        return inside


def cohort_of_stacks(path: Path, *, outlined: str = "abcdefg", off_the_slices: str = "", names: str = "abc") -> Cohort:
    """Patients with a box of tumor each, at different places, 6 mm pixels, slices 5 mm apart.

    Args:
        outlined: who has an outline.
        off_the_slices: whose outline is on none of the whole slices: they have slices of the lesion only.
        names: of the patients, a letter each.
    """
    lesion = np.zeros((1, 16, 16)), np.ones((1, 16, 16), bool)
    patients = [
        toy_patient(
            name,
            *(lesion if name in off_the_slices else ()),
            whole=box_of_tumor(8 + 4 * at, outlined=name in outlined),
        )
        for at, name in enumerate(names)
    ]
    return write_cohort(path, patients, sampling=SamplingSettings(pixels=16, whole_pixels=32, whole_field_mm=192.0))


def table_of(cohort: Cohort, patients: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    stacks, _ = outlined_stacks(cohort, list(patients), 32, 6.0)
    return detection_table(stacks, findings(method, stacks, FindSettings(), seed=0), QUICK)


def test_the_table_holds_finder_baseline_and_null(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    assert cohort.whole is not None
    assert stack_of(cohort.whole, "b").spacing_mm == (5.0, 6.0, 6.0)
    table, each = table_of(cohort, "abc")
    value = table.set_index(["finder", "measure"])["value"]
    assert value[UNET, "dice"] == value[UNET, "box_iou"] == value[UNET, "hit"] == 1.0
    assert value[UNET, "false_positives"] == 0.0
    assert value[BASELINE, "hit"] == 1.0
    assert value[NULL, "dice"] == 0.0  # the boxes lie side by side
    assert value[NULL, "false_positives"] == 1.0
    assert len(each) == 9
    alone, _ = table_of(cohort, "b")
    assert set(alone["finder"]) == {UNET, BASELINE, PAIRED}


def test_a_tumor_off_the_kept_slices_is_missed_and_who_has_no_outline_is_named(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c", outlined="ac", off_the_slices="b", names="abcd")
    _, left_out = outlined_stacks(cohort, list("abcde"), 32, 6.0)
    assert left_out == {"d": "no outlined tumor", "e": "fewer than two whole slices"}
    _, each = table_of(cohort, "abcd")
    missed = each[(each["finder"] == UNET) & (each["patient"] == "b")].iloc[0]
    assert missed[list(MEASURES)].to_dict() == dict.fromkeys(MEASURES, 0.0) | {"false_positives": 1.0}
    assert set(each["patient"]) == set("abc")


def test_cohorts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c", outlined="")
    with pytest.raises(CohortError, match="shows no outlined tumor"):
        outlined_stacks(cohort, ["a"], 32, 6.0)
    with pytest.raises(CohortError, match="--whole_pixels 32 --whole_field_mm 96"):
        outlined_stacks(cohort, ["a"], 32, 3.0)
