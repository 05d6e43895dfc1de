"""3-D radiomics of a folder: each row is PyRadiomics' own answer, whoever is left out is named, and it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_cohorts import write_chest

from radiogenesis.cli.main import main
from radiogenesis.cohort import volume_table as module
from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.cohort.volume_table import volume_table
from radiogenesis.cohort.workers import BuildSettings
from radiogenesis.errors import InputError, OutputError, SettingError
from radiogenesis.phenotypes.volumes import VolumeSettings, volume_features

ALONE = BuildSettings(workers=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two outlined patients and one who is not."""
    folder = tmp_path_factory.mktemp("raw")
    for patient in ("P1", "P2"):
        write_chest(folder / patient, patient)
    write_chest(folder / "P3", "P3", outlined=False)
    return folder


@pytest.mark.slow
def test_each_row_is_what_pyradiomics_says(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.csv"
    assert main(["cohort", "radiomics", str(raw), str(out), "--workers", "1", "--bin_width_hu", "50"]) == 0
    said = capsys.readouterr().out
    assert "left out: P3: nothing is outlined on the scan" in said
    assert "107 features of 2 patients" in said
    table = read_radiomics(out, patients=["P1", "P2", "P3"])  # as `map --radiomics` reads it
    assert list(table.index) == ["P1", "P2"]
    for source in find_scans(raw, ReadSettings()).sources[:2]:
        scan = read_scan(source, ReadSettings())
        known = volume_features(scan.hu, scan.tumor_mask, scan.spacing_mm, VolumeSettings(bin_width_hu=50.0))
        assert table.loc[source.patient].to_dict() == pytest.approx(known, nan_ok=True)
        volume = scan.tumor_mask.sum() * np.prod(scan.spacing_mm)
        assert table.loc[source.patient, "original_shape_VoxelVolume"] == pytest.approx(volume)
    about = json.loads((tmp_path / "table.csv.json").read_text())
    assert about["settings"]["volume"]["bin_width_hu"] == 50
    assert about["left_out"] == {"P3": "nothing is outlined on the scan"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.csv.json"]


def test_interrupted_it_goes_on(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stopped(source: object, read: object) -> object:
        asked.append(source.patient)  # type: ignore[attr-defined]
        if len(asked) == 2:
            raise KeyboardInterrupt
        return read_scan(source, read)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_scan", stopped)
    with pytest.raises(KeyboardInterrupt):
        volume_table(raw, tmp_path / "table.csv", build=ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv.parts"]
    made = volume_table(raw, tmp_path / "table.csv", build=ALONE)
    assert asked == ["P1", "P2", "P2"]
    assert list(made.features.index) == ["P1", "P2"]
    whole = volume_table(raw, tmp_path / "again.csv", build=ALONE)
    pd.testing.assert_frame_equal(made.features, whole.features)


def test_what_cannot_be_measured_is_left_out_with_its_reason(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(source: object, read: object) -> object:
        if source.patient == "P1":  # type: ignore[attr-defined]
            raise ZeroDivisionError("odd")
        return read_scan(source, read)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_scan", odd)
    made = volume_table(raw, tmp_path / "table.csv", build=ALONE)
    assert list(made.features.index) == ["P2"]
    assert made.left_out["P1"] == "unexpected ZeroDivisionError: odd"


def test_what_is_wrong_is_said_at_once(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="filters has 'Sobel'"):
        volume_table(raw, tmp_path / "table.csv", VolumeSettings(filters=("Sobel",)))
    with pytest.raises(InputError, match="1 scans, none of them outlined"):
        volume_table(raw / "P3", tmp_path / "table.csv")
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(OutputError, match="already"):
        volume_table(raw, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_volumes_of_real_tumors_are_those_of_their_contours(real_data: Path, tmp_path: Path) -> None:
    """Shoelace area of the contours times the slice spacing: 358.7 ml (docs/MEASURED.md)."""
    for patient in ("AMC-001", "LUNG1-002"):
        (tmp_path / "ct").mkdir(exist_ok=True)
        (tmp_path / "ct" / patient).symlink_to(real_data / "ct" / patient)
    made = volume_table(tmp_path / "ct", tmp_path / "table.csv", build=ALONE)
    assert made.left_out == {"AMC-001": "nothing is outlined on the scan"}
    ml = made.features["original_shape_MeshVolume"] / 1000
    assert ml.to_dict() == pytest.approx({"LUNG1-002": 358.7}, rel=0.005)
