"""Tables that PyRadiomics has written."""

from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.errors import AnnotationError

HEADER = ",Image,Mask,diagnostics_Versions_PyRadiomics,original_shape_Sphericity,wavelet-LLH_glcm_Id"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "radiomics.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_patients_by_features(tmp_path):
    path = write(
        tmp_path, "0,/a/R01-012.nii.gz,m,3.0,0.5,2", "1,C:\\b\\R01-003.nii,m,3.0,0.25,", "2,/c/x.nrrd,m,3.0,1,4"
    )
    table = read_radiomics(path)
    assert list(table.index) == ["R01-012", "R01-003", "x"]
    assert list(table.columns) == ["original_shape_Sphericity", "wavelet-LLH_glcm_Id"]
    np.testing.assert_array_equal(table.to_numpy(), [[0.5, 2], [0.25, np.nan], [1, 4]])


def test_only_some_image_types(tmp_path):
    path = write(tmp_path, "0,/a/R01-012.nii.gz,m,3.0,0.5,2")
    assert list(read_radiomics(path, image_types=["original"]).columns) == ["original_shape_Sphericity"]
    with pytest.raises(AnnotationError, match=r"no features of 'log'; it has original, wavelet-LLH"):
        read_radiomics(path, image_types=["log"])


def test_known_patients_anywhere_in_the_path(tmp_path):
    path = write(tmp_path, "0,/data/R01-012/ct.nii,m,3.0,0.5,2", "1,/data/R01-01_ct.nii,m,3.0,0.25,1")
    table = read_radiomics(path, patients=["R01-01", "R01-012", "R01-099"])
    assert list(table.index) == ["R01-012", "R01-01"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,/data/R01-500.nii,m,3.0,1,1", "names no known patient"),
        ("1,/data/R01-012/R01-01.nii,m,3.0,1,1", "names 2 known patients"),
        ("1,/data/R01-012.nii,m,3.0,1,1", "'R01-012' appears twice"),
        ("1,/data/R01-01.nii,m,3.0,abc,1", "patient 'R01-01', column 'original_shape_Sphericity' is 'abc'"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, row, says):
    path = write(tmp_path, "0,/a/R01-012.nii.gz,m,3.0,0.5,2", row)
    with pytest.raises(AnnotationError, match=says):
        read_radiomics(path, patients=["R01-01", "R01-012"])


def test_an_id_that_begins_another(tmp_path):
    path = write(tmp_path, "0,/d/P1_2/ct.nii,m,3.0,0.5,2", "1,/d/P1/ct.nii,m,3.0,0.25,1")
    assert list(read_radiomics(path, patients=["P1", "P1_2"]).index) == ["P1_2", "P1"]


def test_images_that_are_ids(tmp_path):
    """As `cohort radiomics` writes them; P1_2 was left out of the cohort, and its row is not P1's."""
    path = write(tmp_path, "0,P1_2,m,3.0,0.5,2", "1,P1,m,3.0,0.25,1", "2,p_03,m,3.0,1,1")
    table = read_radiomics(path, patients=["P1", "P3"])
    assert table["original_shape_Sphericity"].to_dict() == {"P1": 0.25, "P3": 1}


def test_infinite_and_comma(tmp_path):
    path = write(tmp_path, "0,P1,m,3.0,inf,2")
    with pytest.raises(AnnotationError, match="column 'original_shape_Sphericity' is 'inf', not a finite number"):
        read_radiomics(path, patients=["P1"])
    path.write_text(f"{HEADER}\n0,P1,m,3.0,0.5,2\n".replace(",", ";").replace("0.5", "0,5"))
    assert read_radiomics(path, patients=["P1"])["original_shape_Sphericity"].tolist() == [0.5]


def test_files_that_are_no_such_table(tmp_path):
    with pytest.raises(AnnotationError, match="no such file"):
        read_radiomics(tmp_path / "none.csv")
    with pytest.raises(AnnotationError, match="no column 'Image'"):
        read_radiomics(write(tmp_path, "0,1", header="a,b"))
    with pytest.raises(AnnotationError, match="has no features"):
        read_radiomics(write(tmp_path, "0,1", header="a,Image"))


@pytest.mark.real_data
def test_the_real_table(real_data: Path) -> None:
    table = read_radiomics(next((real_data / "radiomics").glob("*.csv")))
    assert table.shape == (60, 1764)  # 1,804 columns less a number, 2 paths and 37 diagnostics
    assert table.index.str.fullmatch(r"R01-\d{3}").all()
    assert np.isfinite(table["original_shape_MeshVolume"]).all()
    volume = table["original_shape_MeshVolume"], table["original_shape_VoxelVolume"]
    assert volume[0].corr(volume[1]) > 0.999
    assert len(read_radiomics(next((real_data / "radiomics").glob("*.csv")), image_types=["original"]).columns) == 108
