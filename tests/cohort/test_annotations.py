from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.tables.annotations import read_aim, read_clinical
from radiogenesis.errors import AnnotationError

NAMESPACE = 'xmlns="gme://caCORE.caCORE/4.4/edu.northwestern.radiology.AIM" xmlns:iso="uri:iso.org:21090"'


def _answer(question: str, *codes: tuple[str, str], old: bool = False) -> str:
    """One answer; older exports keep the words in `codeSystem`, newer ones in a displayName."""
    types = "".join(
        f'<typeCode code="{code}" codeSystem="{words}" codeSystemName="RadLex"/>'
        if old
        else f'<typeCode code="{code}" codeSystemName="RadLex"><iso:displayName value=" {words}"/></typeCode>'
        for code, words in codes
    )
    kind = "ImagingObservationCharacteristic"
    return f'<{kind}>{types}<label value="{question}"/></{kind}>'


def _aim(patient: str, answers: str, *, points: str = "", stated: str = "") -> str:
    length = (
        '<CalculationEntity><description value="LineLength"/><unitOfMeasure value="linear"/>'
        f'<CalculationData><value value="{stated}"/></CalculationData></CalculationEntity>'
        if stated
        else ""
    )
    coordinates = "".join(
        f'<TwoDimensionSpatialCoordinate><x value="{x}"/><y value="{y}"/></TwoDimensionSpatialCoordinate>'
        for x, y in (point.split(",") for point in points.split())
    )
    return (
        f'<ImageAnnotationCollection {NAMESPACE}><dateTime value="2014"/><person><id value="{patient}"/></person>'
        f"<imageAnnotations><ImageAnnotation>{length}{answers}<MarkupEntity>{coordinates}</MarkupEntity>"
        '<imageSeries><instanceUid root="1.2.3"/></imageSeries></ImageAnnotation></imageAnnotations>'
        "</ImageAnnotationCollection>"
    )


def test_answers_codes_and_the_patient_inside_the_file(tmp_path: Path) -> None:
    several = _answer("Findings", ("RID2", "pleura")) + _answer("Findings", ("RID1", "vessel"))
    compound = _answer("Attenuation", ("RID46011", "partially solid"), ("LT3", "solid > 5mm"))
    (tmp_path / "R01-023v1.xml").write_text(_aim("R01-023", several + compound.replace(">", ">")))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.xml").write_text(_aim("AMC-1", _answer("Attenuation", ("RID5741", "solid"), old=True)))
    read = read_aim(tmp_path)
    assert list(read.features.index) == ["AMC-1", "R01-023"]
    assert read.features.loc["R01-023", "Findings"] == "pleura; vessel"
    assert read.features.loc["R01-023", "Attenuation"] == "partially solid + solid > 5mm"
    assert read.features.loc["AMC-1", "Attenuation"] == "solid"
    assert pd.isna(read.features.loc["AMC-1", "Findings"])
    assert read.features.loc["R01-023", "file"] == "R01-023v1.xml"
    codes = read.codes.set_index("label")
    assert codes.loc["partially solid + solid > 5mm", "code"] == "RID46011 + LT3"
    assert codes.loc["solid", ["feature", "code", "scheme"]].tolist() == ["Attenuation", "RID5741", "RadLex"]


def test_length_of_the_mark(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(_aim("a", "", points="0,0 3,4"))
    (tmp_path / "b.xml").write_text(_aim("b", "", points="0,0 3,4", stated="0.35"))
    (tmp_path / "c.xml").write_text(_aim("c", ""))
    unknown = read_aim(tmp_path).features
    assert unknown["mark_length_px"].tolist()[:2] == [5, 5]
    np.testing.assert_allclose(unknown["mark_length_mm"], [np.nan, 3.5, np.nan])
    assert unknown["mark_length_from"].tolist() == [
        "unknown: the annotation has pixels only, and its scan is not at hand",
        "length stated in the annotation",
        "no mark of two points",
    ]
    known = read_aim(tmp_path, pixel_mm={"1.2.3": 0.8}).features
    np.testing.assert_allclose(known["mark_length_mm"], [4, 4, np.nan])


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>'


def test_unusable_files_are_skipped_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(_aim("a", ""))
    (tmp_path / "bomb.xml").write_text(BOMB)
    (tmp_path / "cut.xml").write_text(_aim("b", "")[:200])
    (tmp_path / "other.xml").write_text("<html/>")
    (tmp_path / "nobody.xml").write_text(_aim("", ""))
    read = read_aim(tmp_path)
    assert list(read.features.index) == ["a"]
    reasons = {path.name: reason for path, reason in read.skipped}
    assert "document type" in reasons["bomb.xml"]
    assert "not well-formed" in reasons["cut.xml"]
    assert "not an AIM v4" in reasons["other.xml"]
    assert "names no patient" in reasons["nobody.xml"]
    assert read.remarks == {"b": "annotation cut.xml not used: is not well-formed XML"}


def test_the_patient_of_an_unusable_file_is_known_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(_aim("a", ""))
    twice = _aim("c&amp;d", "").replace("</imageAnnotations>", "<ImageAnnotation/></imageAnnotations>")
    (tmp_path / "lesions.xml").write_text(twice)
    (tmp_path / "early.xml").write_text(_aim("e", "")[:130])
    assert read_aim(tmp_path).remarks == {
        "c&d": "annotation lesions.xml not used: annotates 2 lesions, where one is expected"
    }


def test_a_patient_twice_and_a_folder_without_any(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no AIM v4 annotation"):
        read_aim(tmp_path)
    with pytest.raises(AnnotationError, match="no such folder"):
        read_aim(tmp_path / "nowhere")
    (tmp_path / "one.xml").write_text(_aim("R01-001", ""))
    (tmp_path / "two.xml").write_text(_aim("R01-001", _answer("Attenuation", ("RID5741", "solid"))))
    with pytest.raises(
        AnnotationError, match=r"that can be used \(one\.xml: one of several annotations of its patient"
    ):
        read_aim(tmp_path)
    (tmp_path / "three.xml").write_text(_aim("R01-003", ""))
    (tmp_path / "four.xml").write_text(_aim("R01-003", ""))  # a copy
    read = read_aim(tmp_path)
    assert list(read.features.index) == ["R01-003"]
    assert read.codes.empty
    assert {path.name: reason for path, reason in read.skipped} == {
        "one.xml": "one of several annotations of its patient",
        "two.xml": "one of several annotations of its patient",
        "three.xml": "a copy of another file",
    }
    assert read.remarks == {
        "R01-001": "annotation one.xml not used: one of several annotations of its patient; "
        "annotation two.xml not used: one of several annotations of its patient"
    }


def test_clinical_tables(tmp_path: Path) -> None:
    path = tmp_path / "clinical.csv"
    path.write_bytes("n;Patient;Größe;note\r\n1;R01-001;1,5;a\x85\r\n2;R01-002;;\r\n".encode("latin-1"))
    read = read_clinical(path, patients=["R01-002"])
    assert list(read.index) == ["R01-001", "R01-002"]
    assert read["n"].tolist() == [1, 2]
    assert read["Größe"].tolist()[0] == 1.5
    assert pd.isna(read.loc["R01-002", "note"])
    assert list(read_clinical(path, id_column="n").index) == ["1", "2"]
    with pytest.raises(AnnotationError, match="no column holds the id of a known patient; name the column"):
        read_clinical(path, patients=["x"])
    with pytest.raises(AnnotationError, match="no column 'ID'; choose from n, Patient"):
        read_clinical(path, id_column="ID")
    path.write_text("id,a\nx,1\nx,2\n")
    with pytest.raises(AnnotationError, match="patient 'x' appears twice in column 'id'"):
        read_clinical(path, patients=["x"])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,5", "60", "0,25"], [1.5, 60, 0.25]),
        (["1,5", "2.5", "3"], ["1,5", "2.5", "3"]),  # which sign is the decimal one is not known
        (["1,234", "2,345", "3"], ["1,234", "2,345", "3"]),  # thousands, or decimals: not known either
        (["1,5", "<0,5", "3"], ["1,5", "<0,5", "3"]),
        (["1", "inf", "3"], ["1", "inf", "3"]),  # no number of a patient is infinite
    ],
)
def test_numbers_of_a_clinical_table(tmp_path: Path, cells: list[str], expected: list[object]) -> None:
    path = tmp_path / "clinical.csv"
    path.write_text("ID;Marker\n" + "".join(f"P{row};{cell}\n" for row, cell in enumerate(cells)))
    assert read_clinical(path, patients=["P0"])["Marker"].tolist() == expected


def test_rows_without_content_or_without_an_id(tmp_path: Path) -> None:
    path = tmp_path / "clinical.csv"
    path.write_text("ID,Age,,\nP1,60,,\n,,,\nP2,70,,\n,,,\n")
    read = read_clinical(path, patients=["P1"])
    assert read["Age"].to_dict() == {"P1": 60, "P2": 70}
    assert list(read.columns) == ["Age"]
    path.write_text("ID,Age\nP1,60\n,70\n")
    with pytest.raises(AnnotationError, match="a row has no id in column 'ID': 70; fill the id in"):
        read_clinical(path, patients=["P1"])


def test_clinical_ids_of_another_style(tmp_path: Path) -> None:
    path = tmp_path / "clinical.csv"
    path.write_text("age,ID\n60,r01_1\n70,R01_002\n80,mine\n")
    read = read_clinical(path, patients=["R01-001", "R01-002", "R01-003"], id_map={"mine": "R01-003"})
    assert read["age"].to_dict() == {"R01-001": 60, "R01-002": 70, "R01-003": 80}
    assert "2 ids that differ" in read.attrs["remarks"][0]


@pytest.mark.real_data
def test_the_real_annotations(real_data: Path) -> None:
    read = read_aim(real_data / "annotations")
    features = read.features
    assert len(features) == 190
    assert not read.skipped
    assert features.loc["R01-023", "file"] == "R01-023v1.xml"
    assert features["Anatomic Location"].notna().all()
    assert set(features["Nodule Margins-Primary Pattern"]) == {
        "spiculated",
        "lobulated",
        "irregular",
        "smooth",
        "poorly defined",
    }
    spiculated = read.codes[(read.codes["label"] == "spiculated")]
    assert set(spiculated["code"].str[:3]) == {"RID"}
    table = read_expression(
        real_data / "expression" / "gse103584_zscore_1000genes_130patients.csv", patients=features.index
    )
    assert len(set(table.obs_names) & set(features.index)) == 120


@pytest.mark.real_data
def test_the_stated_lengths_agree_with_the_pixel_spacing_of_the_headers(real_data: Path) -> None:
    """ePAD's unit "linear" is the centimeter: with the spacing that PyRadiomics recorded, both ways give the same."""
    features = read_aim(real_data / "annotations").features
    radiomics = pd.read_csv(next((real_data / "radiomics").glob("*.csv")), low_memory=False)
    patients = radiomics["Image"].str.extract(r"(R01-\d{3})")[0]
    spacing = radiomics["diagnostics_Image-original_Spacing"].str.extract(r"\(([\d.]+)")[0].astype(float)
    stated = features[features["mark_length_from"] == "length stated in the annotation"]
    both = stated.join(pd.Series(spacing.to_numpy(), index=patients, name="spacing"), how="inner")
    assert len(both) >= 10
    np.testing.assert_allclose(both["mark_length_px"] * both["spacing"], both["mark_length_mm"], rtol=2e-3)


@pytest.mark.real_data
def test_the_real_clinical_tables(real_data: Path) -> None:
    folder = real_data / "clinical"
    r01 = read_clinical(next(folder.glob("NSCLCR01*.csv")), patients=["R01-001"])
    assert r01.shape == (211, 39)
    assert r01.index.str.startswith("R01").sum() == 162
    lung3 = read_clinical(folder / "Lung3.metadata.csv", patients=["LUNG3-01"])
    assert lung3.shape == (89, 15)
    samples = read_clinical(real_data / "expression" / "GSE103584_series_matrix.txt.gz")
    assert len(samples) == 130
