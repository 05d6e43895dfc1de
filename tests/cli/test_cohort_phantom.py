"""`radiogenesis cohort phantom`, and its DICOM read back by the reading code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cli.main import main
from radiogenesis.cohort.dicom.folder import find_dicom, read_dicom
from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.phantom.patient import TUMOR, make_scans
from radiogenesis.phantom.phantom import plan_cohort
from radiogenesis.phantom.settings import PhantomSettings

SMALL = ["--patients", "2", "--genes", "200", "--modules", "8", "--pixels", "32", "--workers", "1"]


@pytest.mark.slow
def test_a_cohort_and_its_dicom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "cohort", tmp_path / "dicom"
    assert main(["cohort", "phantom", str(out), *SMALL, "--dicom", str(folder), "--dicom_patients", "1"]) == 0
    assert "2 with images" in capsys.readouterr().out
    cohort = Cohort.open(out, verify=True)
    assert cohort.pixels == 32

    findings = find_dicom(folder, ReadSettings())
    assert [source.patient for source in findings.sources] == ["PH0001"]
    scan = read_dicom(findings.sources[0], ReadSettings())
    drawn, _ = make_scans(plan_cohort(PhantomSettings(patients=2, genes=200, modules=8)).patients[0])
    np.testing.assert_array_equal(scan.hu, drawn.hu)
    np.testing.assert_array_equal(scan.tumor_mask, drawn.tumor_mask)
    np.testing.assert_allclose(scan.affine, drawn.affine, atol=1e-6)
    assert scan.acquisition.kernel == drawn.acquisition.kernel
    assert drawn.volume_ml(TUMOR) == pytest.approx(cohort.patients.loc["PH0001", "tumour_volume_ml"])

    table = read_expression(folder / "expression.csv", patients=["PH0001", "PH0002"])
    np.testing.assert_allclose(table.to_df()[cohort.expression.var_names], cohort.expression.to_df(), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--strength", "2"], "strength"),
        (["--patients", "3", "--dicom_patients", "9"], "dicom_patients"),
        (["--workers", "0"], "workers"),
        (["--pixels", "many"], "pixels"),
    ],
)
def test_a_wrong_setting_is_one_line(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cohort", "phantom", str(tmp_path / "cohort"), *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "cohort").exists()


def test_what_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dicom").mkdir()
    assert (
        main(
            [
                "cohort",
                "phantom",
                str(tmp_path / "cohort"),
                *SMALL,
                "--dicom",
                str(tmp_path / "dicom"),
                "--dicom_patients",
                "1",
            ]
        )
        == 2
    )
    assert "already exists" in capsys.readouterr().err
    assert not (tmp_path / "cohort").exists()
