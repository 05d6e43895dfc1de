from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cli.main import main
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.store import Cohort


def _write_chest(folder: Path, patient: str) -> None:
    """A body with two lungs and a ball of 18 mm; 3 mm voxels."""
    z, y, x = np.mgrid[:40, :80, :100] * 3.0

    def ball(cx: float, *radii: float) -> np.ndarray:
        return ((z - 60) / radii[0]) ** 2 + ((y - 120) / radii[1]) ** 2 + ((x - cx) / radii[2]) ** 2 < 1

    hu = np.full(z.shape, -1000)
    hu[((y - 120) / 105) ** 2 + ((x - 150) / 140) ** 2 < 1] = 40
    hu[ball(85, 55, 75, 45) | ball(215, 55, 75, 45)] = -860
    tumor = ball(85, 9, 9, 9)
    hu[tumor] = 30
    affine = np.array([[0, 0, 3, -150], [0, 3, 0, -120], [3, 0, 0, 0], [0, 0, 0, 1]], float)
    (folder / patient).mkdir(parents=True)
    write_nifti(folder / patient / "image.nii.gz", hu.astype(np.int16), affine)
    write_nifti(folder / patient / "mask.nii.gz", tumor, affine)


def test_build_and_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_chest(tmp_path / "raw", "P1")
    (tmp_path / "raw" / "notes.txt").write_text("x")
    table = tmp_path / "fpkm.tsv"
    table.write_text("id\tstage\tTP53\tEGFR\nP1\tIA\t1.5\tNA\nP2\tIB\t2\t30\n")
    out = tmp_path / "cohort"
    arguments = ["cohort", "build", str(tmp_path / "raw"), str(out), "--expression", str(table), "--workers", "1"]
    settings = ["--pixels", "32", "--slices_per_center", "3", "--log", "true", "--not_genes", "stage"]
    assert main([*arguments, *settings]) == 0
    printed = capsys.readouterr().out
    assert "1 have nodule slices and expression" in printed
    assert "no scan (only expression): P2" in printed
    assert f"{out}.previews" in printed
    assert f"{out}.previews/skipped.csv names the files that were passed over: 1." in printed
    cohort = Cohort.open(out)
    assert cohort.pixels == 32
    assert cohort.settings["expression"]["log"] is True
    assert bool(cohort.expression.uns["log"]) is True
    assert list(cohort.expression.var_names) == ["TP53", "EGFR"]

    assert main(["cohort", "describe", str(out), "--verify"]) == 0
    assert "Intact" in capsys.readouterr().out


def test_nobody_left_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_chest(tmp_path / "raw", "P1")
    (tmp_path / "raw" / "P1" / "mask.nii.gz").write_bytes(b"cut off")
    monkeypatch.chdir(tmp_path)
    assert main(["cohort", "build", "raw", "c", "--workers", "1", "--pixels", "16"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "none of its 1 patients can be used: cannot be read as NIfTI" in line
    assert not (tmp_path / "c").exists()
    assert (tmp_path / "c.parts").is_dir()


def test_errors_are_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "build", str(tmp_path / "nowhere"), str(tmp_path / "c")]) == 2
    assert main(["cohort", "build", str(tmp_path), str(tmp_path / "c"), "--pixels", "2"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "no such folder" in lines[-2]
    assert "pixels 2: at least 8" in lines[-1]


def test_every_setting_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cohort", "build", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option in (
        "--roi",
        "--segment",
        "--pixels",
        "--boundary_mm",
        "--orientation",
        "--log",
        "--scheduler",
        "--config",
    ):
        assert option in text
    assert "MaxMean" in text
