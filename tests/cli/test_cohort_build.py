from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cohorts import write_ball, write_chest

from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort


def test_build_and_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chest(tmp_path / "raw", "P1")
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


def test_a_manifest_in_place_of_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ball(tmp_path, "P1")
    manifest = tmp_path / "scans.csv"
    manifest.write_text("patient,image,mask,site\nmine,P1_image.nii.gz,P1_mask.nii.gz,A\n")
    out, settings = str(tmp_path / "c"), ["--pixels", "16", "--background_centers", "0", "--lesions", "all"]
    assert main(["cohort", "build", "--manifest", str(manifest), out, "--workers", "1", *settings]) == 0
    assert "layout       manifest scans.csv (1)" in capsys.readouterr().out
    assert Cohort.open(out).clinical.loc["mine", "site"] == "A"
    assert main(["cohort", "build", out]) == 2
    assert main(["cohort", "build", str(tmp_path), out, "--manifest", str(manifest)]) == 2
    assert main(["cohort", "build", out, "--manifest", "gone.csv"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(": ", 1)[1] for line in lines[-3:]] == [
        "neither RAW nor --manifest is given; give one of them",
        "RAW and --manifest exclude each other; give one of them",
        "gone.csv: there is no such file",
    ]


def test_nobody_left_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_chest(tmp_path / "raw", "P1")
    (tmp_path / "raw" / "P1_mask.nii.gz").write_bytes(b"cut off")
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
