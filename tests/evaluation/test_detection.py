"""Detection scored by hand on masks of a few pixels, with intervals, a rival and a null."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.sampling import SamplingSettings
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort, CohortWriter, PatientData
from radiogenesis.cohort.whole import WholeSlices
from radiogenesis.errors import CohortError
from radiogenesis.evaluation.detection import (
    MEASURES,
    NULL,
    PAIRED,
    RIVAL,
    UNET,
    Stack,
    box_iou,
    densest_piece,
    detection_table,
    differences,
    found_in,
    scores,
    side_by_side,
    stack_of,
    summarised,
)
from radiogenesis.evaluation.evaluate import evaluate_runs
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, TumorUNetSettings
from radiogenesis.reporting.model import Page
from radiogenesis.reporting.page import write_report
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
    tumour = mask(np.s_[1:3, 2:6, 2:6])  # 32 voxels
    labels = np.zeros((4, 10, 10), np.int32)
    labels[1, 2:6, 2:6] = 1  # half of it
    labels[0, 8:9, 8:9] = 2  # nothing there
    found = scores(labels, tumour)
    assert found == {
        "dice": pytest.approx(2 * 16 / (17 + 32)),
        "slice_dice": pytest.approx((1 + 0) / 2),
        "box_iou": pytest.approx(16 / 32),
        "slice_box_iou": pytest.approx((1 + 0) / 2),
        "hit": 1.0,
        "false_positives": 1.0,
    }
    nothing = scores(np.zeros_like(labels), tumour)
    assert nothing == dict.fromkeys(MEASURES, 0.0)


def test_means_and_intervals_are_over_patients() -> None:
    each = pd.DataFrame({"finder": UNET, "patient": list("abcd"), **{key: [0.0, 0.0, 1.0, 1.0] for key in MEASURES}})
    table = summarised(each, QUICK)
    assert table["measure"].tolist() == list(MEASURES)
    assert (table["value"] == 0.5).all()
    assert (table["low"] < 0.5).all()
    assert (table["high"] > 0.5).all()
    assert set(table["patients"]) == {4}
    pd.testing.assert_frame_equal(table, summarised(each, QUICK))
    alike = summarised(each.assign(**dict.fromkeys(MEASURES, 1.0)), QUICK)
    assert (alike["low"] == 1).all()


def test_the_difference_is_taken_patient_by_patient_and_seeds_are_averaged_first() -> None:
    dice = {UNET: [0.9, 0.5, 0.1], RIVAL: [0.8, 0.4, 0.0]}  # far apart between patients, 0.1 apart in each
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


def test_the_rival_takes_the_largest_compact_piece_and_no_vessel() -> None:
    blob, small, vessel = np.s_[1:4, 10:16, 10:16], np.s_[2:3, 25:29, 25:29], np.s_[0:6, 30:32, 6:34]
    found = densest_piece(lung_with(blob, small), FindSettings())
    assert found[blob].mean() > 0.8
    assert found.sum() == found[blob].sum()
    assert densest_piece(lung_with(), FindSettings()).sum() == 0
    thin = lung_with(np.s_[0:6, 20:21, 6:34])  # one pixel thin: opened away
    assert densest_piece(thin, FindSettings()).sum() == 0
    assert densest_piece(lung_with(blob, vessel), FindSettings()).any()


def test_evaluate_writes_tables_picture_and_page(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    config = {"method": "tumor-unet", "cohort": str(cohort.path), "pixels": 32, "pixel_mm": 6.0}

    def run_of(digest: str) -> Run:
        run = Run(tmp_path / "unet", config, {"cohort_digest": digest})
        vars(run).update(method=method, split=Split(("a",), (), ("b", "c")))
        return run

    summary = evaluate_runs([run_of(cohort.digest)], tmp_path / "out", QUICK)
    assert summary["headline"][0]["value"] == 1.0
    assert "held-out patients (n = 2): Dice 1.00" in summary["conclusions"][0]
    table = pd.read_csv(tmp_path / "out" / "tables" / "detection.csv")
    assert set(table["finder"]) == {UNET, RIVAL, NULL, PAIRED}
    assert "the rival's 1.00 (paired difference 0.00, 0.00 to 0.00)" in summary["conclusions"][0]
    assert (tmp_path / "out" / "pictures" / "unet_found.png").is_file()
    page = Page.load(tmp_path / "out")
    assert page.sections[0].title == "Finding the tumour"
    assert "densest piece in the lung" in write_report(tmp_path / "out").read_text(encoding="utf-8")
    other = evaluate_runs([run_of("another")], tmp_path / "other", QUICK, cohort=cohort.path)
    assert "another cohort (n = 3)" in other["conclusions"][0]


class Bright(TumorUNet):
    """Finds what is denser than -100 HU inside the middle of the slice."""

    def probability(self, images: NDArray[np.number]) -> NDArray[np.float32]:
        inside = np.zeros(images.shape, np.float32)
        inside[:, 6:26, 6:26] = images[:, 6:26, 6:26] > -100
        return inside


def cohort_of_stacks(path: Path, *, outlined: bool = True) -> Cohort:
    """Three patients with a box of tumour each, at different places, 6 mm pixels, slices 5 mm apart."""
    sampling = SamplingSettings(pixels=16, whole_pixels=32, whole_field_mm=192.0)
    names = ["a", "b", "c"]
    with CohortWriter(path, settings={"sampling": asdict(sampling)}) as writer:
        for at, name in enumerate(names):
            tumour = np.zeros((5, 32, 32), bool)
            tumour[1:4, 8 + 4 * at : 12 + 4 * at, 10:14] = True
            image = np.where(tumour, 30, -850).astype(np.int16)
            to_patient = np.zeros((5, 3, 3))
            to_patient[:, 0, 1] = to_patient[:, 1, 0] = 6.0
            to_patient[:, 2, 2] = 5.0 * np.arange(5)
            lungs = np.ones_like(tumour)
            whole = WholeSlices(image, tumour & outlined, lungs, np.arange(5, dtype=np.int32), to_patient)
            writer.add(PatientData(name, None, None, Acquisition(), (5.0, 1.0, 1.0), 1.0, whole))
        audit = pd.DataFrame({"patient": names, "status": "in", "reason": ""})
        return writer.finish(expression=AnnData(obs=pd.DataFrame(index=[])), audit=audit)


def test_the_table_holds_finder_rival_and_null(tmp_path: Path) -> None:
    cohort = cohort_of_stacks(tmp_path / "c")
    assert cohort.whole is not None
    assert stack_of(cohort.whole, "b").spacing_mm == (5.0, 6.0, 6.0)
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    table, each = detection_table(method, 6.0, cohort, ["a", "b", "c"], find=FindSettings(), settings=QUICK)
    value = table.set_index(["finder", "measure"])["value"]
    assert value[UNET, "dice"] == value[UNET, "box_iou"] == value[UNET, "hit"] == 1.0
    assert value[UNET, "false_positives"] == 0.0
    assert value[RIVAL, "hit"] == 1.0
    assert value[NULL, "dice"] == 0.0  # the boxes lie side by side
    assert value[NULL, "false_positives"] == 1.0
    assert len(each) == 9
    alone, _ = detection_table(method, 6.0, cohort, ["b"], find=FindSettings(), settings=QUICK)
    assert set(alone["finder"]) == {UNET, RIVAL, PAIRED}


def test_cohorts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    method = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    cohort = cohort_of_stacks(tmp_path / "c", outlined=False)
    with pytest.raises(CohortError, match="shows no outlined tumour"):
        detection_table(method, 6.0, cohort, ["a"], find=FindSettings(), settings=QUICK)
    with pytest.raises(CohortError, match="--whole_pixels 32 --whole_field_mm 96"):
        detection_table(method, 3.0, cohort, ["a"], find=FindSettings(), settings=QUICK)
