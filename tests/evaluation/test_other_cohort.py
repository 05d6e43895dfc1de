"""Runs on another cohort: who is held out, how genes are put together, and that measures see both cohorts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import radiogenesis as rg
from radiogenesis.cohort.joined import joined
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, ExpressionError, RunError
from radiogenesis.evaluation.other_cohort import Reference, _whom, placed
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.imaging import Imaging
from radiogenesis.testing import toy_cohort, toy_patient, train_toy, write_cohort
from radiogenesis.training.run import Run

OWN, TRAINING = EvaluationSettings(), EvaluationSettings(other_scaler="training")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("other")


@pytest.fixture(scope="module")
def other(place: Path) -> Cohort:
    return toy_cohort(place / "other.zarr", patients=10, seed=5, prefix="Q")


@pytest.fixture(scope="module")
def run(discs: Cohort, place: Path) -> Run:
    return train_toy("canonical-alignment", discs, place / "aligned")


def elsewhere(
    other: Cohort, path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], *, log: bool = False
) -> Cohort:
    """The other cohort with other genes."""
    genes = change(other.expression.to_df())
    image, mask = other.slice_image, other.slice_mask
    patients = [toy_patient(str(name), image[mine], mask[mine], np.full((2, 32, 32), -850))
                for name in other.patients.index for mine in [other.slice_patient == name]]  # fmt: skip
    return write_cohort(path, patients, genes)


def test_everybody_is_held_out_and_training_patients_stay_themselves(run: Run, discs: Cohort, other: Cohort) -> None:
    where = placed([run], OWN, str(other.path))
    (one,) = where.subjects
    assert one.split.train == run.split.train
    assert one.split.test == tuple(f"Q-{k:02d}" for k in range(10))
    assert where.described.digest == other.digest
    assert where.own is not None
    assert where.own.digest == discs.digest
    trained = one.scaler.transform(where.cohort.expression, list(one.split.train))
    assert trained == pytest.approx(run.scaler.transform(discs.expression, list(run.split.train)), abs=1e-4)
    theirs = one.scaler.transform(where.cohort.expression, list(one.split.test))
    assert theirs.mean(0) == pytest.approx(np.zeros(20), abs=1e-4)
    assert theirs.std(0) == pytest.approx(np.ones(20), abs=1e-4)
    assert set(where.cohort.slice_patient) == {*one.split.train, *one.split.test}
    lesions = where.cohort.lesions([one.split.train[0], "Q-03"])
    assert np.array_equal(lesions.image[lesions.patient == "Q-03"], other.lesions(["Q-03"]).image)
    assert len(where.cohort.slice_lesion) == len(where.cohort.slice_image)
    assert len(where.cohort.background_image) == len(where.cohort.background_patient) > 0


def test_the_training_patients_scale_is_theirs(run: Run, other: Cohort) -> None:
    (one,) = placed([run], TRAINING, str(other.path)).subjects
    where = placed([run], TRAINING, str(other.path))
    theirs = one.scaler.transform(where.cohort.expression, list(one.split.test))
    assert theirs == pytest.approx(run.scaler.transform(other.expression, list(one.split.test)), abs=1e-4)
    assert any("training deviations from the training patients' mean" in sentence for sentence in where.said)


def test_genes_are_matched_by_symbol_and_what_lacks_stands_at_the_median(
    run: Run, discs: Cohort, other: Cohort, tmp_path: Path
) -> None:
    fewer = elsewhere(other, tmp_path / "fewer.zarr", lambda t: t.drop(columns=["G3", "G7"]).rename(columns=str.lower))
    where = placed([run], OWN, str(fewer.path))
    (one,) = where.subjects
    theirs = one.scaler.transform(where.cohort.expression, list(one.split.test))
    median = (run.scaler.median - run.scaler.mean) / run.scaler.scale
    assert theirs[:, [3, 7]] == pytest.approx(np.tile(median[[3, 7]], (10, 1)), abs=1e-4)
    assert theirs[:, 0].std() == pytest.approx(1, abs=1e-4)
    assert "2 of the 20 genes that the runs read (10%) are not measured there" in " ".join(where.said)
    none = elsewhere(other, tmp_path / "none.zarr", lambda t: t.add_prefix("X"))
    with pytest.raises(ExpressionError, match="none of the 20 genes that the run reads is in its table"):
        placed([run], OWN, str(none.path))


def test_who_was_trained_on_is_left_out(run: Run, discs: Cohort, other: Cohort, place: Path) -> None:
    known = {*run.split.train, *run.split.validation}
    asked, left_out = _whom(discs, discs, known)
    assert set(asked) == set(run.split.test)
    assert set(left_out) == known
    scans = discs.patients.assign(series_uid=[f"1.{k}" for k in range(len(discs.patients))])
    mine = other.patients.assign(series_uid=["1.0", *[""] * 9])
    pair = [type("C", (), {"patients": table, "path": place})() for table in (mine, scans)]
    first = str(discs.patients.index[0])
    assert _whom(*pair, {first})[1] == ["Q-00"]
    with pytest.raises(CohortError, match="no patient with slices and expression is left"):
        _whom(discs, discs, set(map(str, discs.patients.index)))


def test_what_does_not_fit_is_refused(run: Run, discs: Cohort, other: Cohort, tmp_path: Path) -> None:
    split = replace(run.split, train=run.split.train[1:])
    another = Run(run.path, run.config, run.provenance)
    vars(another).update(split=split, scaler=run.scaler)
    with pytest.raises(RunError, match="runs of different training patients"):
        placed([run, another], OWN, str(other.path))
    reference = Reference.of(discs, run.split.train, log=False)
    few = list(map(str, other.patients.index[:5]))
    with pytest.raises(CohortError, match="5 patients are too few for z-scores of their own"):
        reference.put(other, few, "own", log=False)
    with pytest.raises(ExpressionError, match="they have no common unit; say --other_scaler own"):
        replace(reference, raw=True).put(other, few, "training", log=True)
    small = toy_cohort(tmp_path / "small.zarr", patients=3, pixels=16)
    with pytest.raises(CohortError, match="build it with --pixels 32 --field_of_view_mm 60"):
        joined(small, discs, [], [], other.expression)
    record = asdict(Imaging.of("brain", "zscore", None))
    brain = replace(other, _attributes={**other._attributes, "imaging": record})
    with pytest.raises(CohortError, match=r"shows brain.*the same --organ, --normalize and --window"):
        joined(brain, discs, [], [], other.expression)


def test_the_page_and_the_record_name_both_cohorts(
    run: Run, discs: Cohort, other: Cohort, tmp_path: Path, blank_pictures: Callable[[], AbstractContextManager[None]]
) -> None:
    quick = {"backgrounds_per_patient": 2, "noise_draws": 2, "bootstrap": 20, "permutations": 19, "gene_shuffles": 2}
    with blank_pictures():
        rg.evaluate(run, tmp_path / "out", cohort=other, **quick)
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert record["cohort"]["digest"] == other.digest
    assert record["trained_on_cohort"]["digest"] == discs.digest
    assert record["runs"][0]["held_out"] == 10
    assert record["conclusions"][0].startswith("Another cohort: trained on discs.zarr")
    page = json.loads((tmp_path / "out" / "page.json").read_text(encoding="utf-8"))
    assert page["subtitle"].startswith("canonical-alignment, trained on discs.zarr, on other.zarr: 10 patients")
    assert {other.digest, discs.digest} <= {value.split()[-1] for _, value in page["provenance"]}
    ranks = pd.read_csv(tmp_path / "out" / "tables" / "retrieval_patients.csv")
    assert set(ranks["patient"]) == {f"Q-{k:02d}" for k in range(10)}
