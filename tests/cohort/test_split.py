from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cohorts import SETTINGS, audit, expression, patient_data, write_cohort

from radiogenesis.cohort.split import Split, split_patients
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.writer import CohortWriter
from radiogenesis.errors import CohortError, RunError, SettingError

PATIENTS = [f"P{number:02d}" for number in range(20)]


def test_fractions_of_patients_disjoint_and_complete(tmp_path: Path) -> None:
    split = split_patients(write_cohort(tmp_path / "c", PATIENTS), seed=3)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [14, 1, 5]
    assert sorted([*split.train, *split.validation, *split.test]) == PATIENTS


def test_the_order_of_patients_does_not_matter_but_the_seed_does(tmp_path: Path) -> None:
    shuffled = list(np.random.default_rng(0).permutation(PATIENTS))
    first, second = write_cohort(tmp_path / "a", PATIENTS), write_cohort(tmp_path / "b", shuffled)
    assert split_patients(first, seed=1) == split_patients(second, seed=1)
    assert split_patients(first, seed=1) != split_patients(first, seed=2)


def test_only_patients_with_slices_and_expression(tmp_path: Path) -> None:
    with CohortWriter(tmp_path / "c", settings=SETTINGS) as writer:
        for number, patient in enumerate(PATIENTS):
            writer.add(patient_data(patient, slices=number % 2))
        cohort = writer.finish(expression=expression(PATIENTS[:12]), audit=audit(PATIENTS))
    split = split_patients(cohort, fractions=(0.5, 0.0, 0.5))
    assert sorted([*split.train, *split.test]) == PATIENTS[1:12:2]
    assert split.validation == ()


def test_every_patient_is_held_out_in_one_fold(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", PATIENTS[:19])
    splits = [split_patients(cohort, seed=2, fractions=(0.75, 0.05, 0.2), fold=(k, 5)) for k in range(5)]
    assert [len(split.test) for split in splits] == [4, 4, 4, 4, 3]
    assert sorted(name for split in splits for name in split.test) == PATIENTS[:19]
    for split in splits:
        assert len(split.validation) == 1
        assert sorted([*split.train, *split.validation, *split.test]) == PATIENTS[:19]
    with pytest.raises(CohortError, match="only 19 patients have both"):
        split_patients(cohort, fractions=(0.9, 0.05, 0.05), fold=(0, 20))


def of_scans(path: Path, scans: dict[str, str]) -> Cohort:
    """Patients, each with a lesion in one of a few scans."""
    with CohortWriter(path, settings=SETTINGS) as writer:
        for patient, scan in scans.items():
            made = patient_data(patient)
            writer.add(replace(made, acquisition=replace(made.acquisition, series_uid=scan)))
        return writer.finish(expression=expression(list(scans)), audit=audit(list(scans)))


def test_no_held_out_patient_shares_a_scan_with_a_training_patient(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scans = {patient: f"1.2.{number}" for patient, number in zip(PATIENTS, rng.integers(3, size=20), strict=True)}
    cohort = of_scans(tmp_path / "c", scans)
    for seed in range(3):
        splits = [
            split_patients(cohort, seed=seed, fractions=(0.6, 0.1, 0.3), fold=(k, 3), by="series_uid") for k in range(3)
        ]
        assert sorted(name for split in splits for name in split.test) == PATIENTS
        for split in splits:
            held_out = {scans[name] for name in split.test}
            assert len(held_out) == 1
            assert not held_out & {scans[name] for name in [*split.train, *split.validation]}
            assert len(split.validation) == 2
            assert sorted([*split.train, *split.validation, *split.test]) == PATIENTS
    two = [split_patients(cohort, fold=(k, 2), by="series_uid") for k in range(2)]
    assert sorted(len({scans[name] for name in split.test}) for split in two) == [1, 2]


def test_values_that_cannot_be_split_by(tmp_path: Path) -> None:
    cohort = of_scans(tmp_path / "c", dict.fromkeys(PATIENTS[:19], "1.2") | {PATIENTS[19]: "1.3"})
    with pytest.raises(SettingError, match=r"no column 'scan'.*choose from: .*series_uid"):
        split_patients(cohort, fold=(0, 2), by="scan")
    with pytest.raises(CohortError, match="series_uid has 2 values, too few for 3 folds"):
        split_patients(cohort, fold=(0, 3), by="series_uid")
    nobody_chooses = (0.5, 0.0, 0.5)
    folds = [split_patients(cohort, fractions=nobody_chooses, fold=(k, 2), by="series_uid") for k in range(2)]
    large = next(k for k, split in enumerate(folds) if len(split.test) == 19)
    with pytest.raises(CohortError, match=f"fold {large} of 2 by series_uid leaves 1 patients to train on"):
        split_patients(cohort, fractions=(0.5, 0.05, 0.45), fold=(large, 2), by="series_uid")
    unknown = of_scans(tmp_path / "d", dict.fromkeys(PATIENTS, "1.2") | {PATIENTS[3]: ""})
    with pytest.raises(CohortError, match="1 patients have no series_uid, P03 among them"):
        split_patients(unknown, fold=(0, 2), by="series_uid")


def test_too_few_patients_and_wrong_fractions(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", PATIENTS[:2])
    with pytest.raises(CohortError, match="only 2 patients have both"):
        split_patients(cohort)
    with pytest.raises(SettingError, match="add up to 1"):
        split_patients(cohort, fractions=(0.7, 0.7, 0.1))


def test_saved_and_loaded(tmp_path: Path) -> None:
    split = Split(("a", "b"), (), ("c",))
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]
    with pytest.raises(RunError, match="no split here"):
        Split.load(tmp_path / "other.json")
    (tmp_path / "split.json").write_text('{"train": []}')
    with pytest.raises(RunError, match="is not a split"):
        Split.load(tmp_path / "split.json")


def test_a_patient_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"more than one part.*: b"):
        Split(("a", "b"), ("b",), ())
