from __future__ import annotations

import json
import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from tiny_cohorts import PIXELS, SETTINGS, audit, expression, patient_data, write_cohort

from radiogenesis.cohort import digest as content
from radiogenesis.cohort import layout, zarr_tables
from radiogenesis.cohort.lesion_slices import among_largest
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.writer import CohortWriter
from radiogenesis.errors import CohortError, OutputError

PATIENTS = ["R01-001", "R01-002", "R01-003"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("written") / "c", PATIENTS, with_truth=True)


@pytest.fixture
def copied(written: Cohort, tmp_path: Path) -> Path:
    """A copy of a written cohort, which may be damaged."""
    return Path(shutil.copytree(written.path, tmp_path / "c"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_cohort(tmp_path / "c", PATIENTS, with_truth=True)
    cohort = Cohort.open(tmp_path / "c", verify=True)
    data = [patient_data(patient) for patient in PATIENTS]
    np.testing.assert_array_equal(cohort.slice_image, np.concatenate([one.slices.image for one in data]))
    np.testing.assert_array_equal(cohort.slice_mask, np.concatenate([one.slices.mask for one in data]))
    np.testing.assert_array_equal(cohort.background_image, np.concatenate([one.backgrounds.image for one in data]))
    assert cohort.slice_image.dtype == np.int16
    assert cohort.slice_mask.dtype == np.bool_
    assert list(cohort.slice_patient) == list(np.repeat(PATIENTS, 3))
    assert list(cohort.background_patient) == list(np.repeat(PATIENTS, 2))
    assert cohort.slice_offset_mm.tolist() == [0, 1, 2] * 3
    assert cohort.background_center_mm.shape == (6, 3)
    assert cohort.background_boundary_mm.tolist() == [7.0] * 6
    assert (cohort.pixels, cohort.field_of_view_mm, cohort.pixel_mm) == (PIXELS, 60.0, 60 / PIXELS)
    np.testing.assert_array_equal(cohort.expression.X, expression(PATIENTS).X)
    row = cohort.patients.loc["R01-002"]
    assert (row["n_slices"], row["n_backgrounds"], row["has_expression"]) == (3, 2, True)
    assert (row["kernel"], row["spacing_z_mm"], row["tumour_z_mm"]) == ("B30f", 1.25, 3.0)
    assert cohort.truth is not None
    assert cohort.truth.settings == {"strength": 0.8}
    assert cohort.truth.modules["module"].tolist() == [0, -1]


def test_lesions_are_the_patients_slices_large_ones_alone_if_asked(copied: Path) -> None:
    cohort = Cohort.open(copied)
    every, two = cohort.lesions(), cohort.lesions(["R01-003", "R01-001"])
    assert len(every) == len(cohort.slice_patient)
    assert two.row.tolist() == [0, 1, 2, 6, 7, 8]
    np.testing.assert_array_equal(two.image, cohort.slice_image[two.row])
    np.testing.assert_array_equal(two.mask, cohort.slice_mask[two.row])
    assert two.place_among(["R01-003", "R01-001"]).tolist() == [1, 1, 1, 0, 0, 0]
    area = cohort.slice_mask.sum((1, 2))
    assert (
        cohort.lesions(least_area=0.9).row.tolist()
        == np.flatnonzero(among_largest(area, cohort.slice_patient, 0.9)).tolist()
    )
    with pytest.raises(CohortError, match=r"c: knows no patient nobody$"):
        cohort.lesions(["R01-001", "nobody"])


def test_slices_among_the_largest_of_their_patient() -> None:
    area, patient = np.array([10, 5, 4.9, 2, 1, 0.9]), np.array(["b", "b", "b", "a", "a", "a"])
    assert among_largest(area, patient, 0.5).tolist() == [True, True, False, True, True, False]
    assert among_largest(area, patient, 0.0).all()
    assert among_largest(area[:0], patient[:0], 0.5).tolist() == []


def test_tables_keep_missing_values_slashes_and_types(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", PATIENTS)
    assert cohort.annotations is not None
    assert cohort.clinical is not None
    assert list(cohort.annotations.columns) == ["Margins", "a/b"]
    assert cohort.annotations["Margins"].tolist()[0] == "smooth"
    assert pd.isna(cohort.annotations["Margins"].iloc[1])
    assert cohort.clinical["age"].dtype == np.float64
    assert list(cohort.audit.columns) == ["patient", "status", "reason"]
    assert cohort.truth is None


def test_anndata_and_zarr_open_it_without_this_package(copied: Path) -> None:
    group = zarr.open_group(copied, mode="r")
    assert group.metadata.zarr_format == 3
    read = anndata.io.read_elem(group["expression"])
    assert list(read.obs_names) == PATIENTS
    assert read.X.dtype == np.float32


def test_digest_follows_content_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_cohort(tmp_path / "a", PATIENTS)
    monkeypatch.setattr(layout, "_CHUNK", 2)
    assert write_cohort(tmp_path / "b", PATIENTS).digest == first.digest
    assert write_cohort(tmp_path / "c", PATIENTS, seed=1).digest != first.digest
    assert write_cohort(tmp_path / "d", PATIENTS[:2]).digest != first.digest
    assert write_cohort(tmp_path / "e", PATIENTS, with_truth=True).digest != first.digest
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    assert Cohort.open(tmp_path / "copy", verify=True).digest == first.digest


def test_the_digest_covers_the_scale_of_the_expression(tmp_path: Path) -> None:
    """It decides what models see: the same values as they are, or as logarithms."""

    def written(name: str, **uns: object) -> Cohort:
        values = expression(PATIENTS)
        values.uns.update(uns)
        with CohortWriter(tmp_path / name, settings=SETTINGS) as writer:
            return writer.finish(expression=values, audit=audit(PATIENTS))

    plain, logs = written("plain", log=False), written("logs", log=True, source="somewhere.csv")
    assert plain.digest == written("unsaid").digest != logs.digest
    shutil.rmtree(tmp_path / "logs" / "expression" / "uns")
    shutil.copytree(tmp_path / "plain" / "expression" / "uns", tmp_path / "logs" / "expression" / "uns")
    with pytest.raises(CohortError, match="'expression' is not what was written"):
        _ = Cohort.open(tmp_path / "logs").expression


@pytest.mark.parametrize("version", [1, 2])
def test_a_cohort_of_an_older_schema_keeps_its_digest(copied: Path, version: int) -> None:
    """Written before the scale was in the digest: it opens, its expression is handed out, and damage is still seen."""

    def made_older(attributes: dict) -> None:  # type: ignore[type-arg]
        values = expression(PATIENTS)
        frames = [zarr_tables.storable(frame) for frame in (values.obs, values.var)]
        parts = [content.array_digest(values.X), *map(content.frame_digest, frames)]
        attributes["parts"]["expression"] = content.json_digest(parts)
        attributes["schema_version"] = version
        attributes["digest"] = content.cohort_digest(layout.facts(attributes), attributes["parts"])

    assert layout.SCHEMA_VERSION == 3
    _edit_attributes(copied, made_older)
    older = Cohort.open(copied, verify=True)
    np.testing.assert_array_equal(older.expression.X, expression(PATIENTS).X)
    shutil.rmtree(copied / "expression" / "X")
    with pytest.raises(CohortError, match="'expression'"):
        _ = Cohort.open(copied).expression


def test_nobody_with_slices_or_expression_is_a_cohort_too(tmp_path: Path) -> None:
    with CohortWriter(tmp_path / "c", settings=SETTINGS) as writer:
        writer.add(patient_data("AMC-001", slices=0))
        cohort = writer.finish(expression=anndata.AnnData(obs=pd.DataFrame(index=[])), audit=audit(["AMC-001"]))
    assert cohort.slice_image.shape == (0, PIXELS, PIXELS)
    assert cohort.patients["has_expression"].tolist() == [False]
    assert np.isnan(cohort.patients.loc["AMC-001", "tumour_volume_ml"])
    assert "Expression: none" in cohort.describe()


def test_nothing_is_left_after_a_failure_and_nothing_is_overwritten(tmp_path: Path) -> None:
    def fail_in_the_middle() -> None:
        with CohortWriter(tmp_path / "c", settings=SETTINGS) as writer:
            writer.add(patient_data("a"))
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert list(tmp_path.iterdir()) == []
    write_cohort(tmp_path / "c", PATIENTS)
    with pytest.raises(OutputError, match="already exists; choose another name"):
        CohortWriter(tmp_path / "c", settings=SETTINGS)


def test_a_writer_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pixels"):
        CohortWriter(tmp_path / "c", settings={})
    other_size = {"sampling": {"pixels": 8, "field_of_view_mm": 60.0}}
    with CohortWriter(tmp_path / "c", settings=other_size) as writer, pytest.raises(ValueError, match="slices/image"):
        writer.add(patient_data("a"))
    with CohortWriter(tmp_path / "c", settings=SETTINGS) as writer:
        writer.add(patient_data("a"))
        with pytest.raises(ValueError, match="already added"):
            writer.add(patient_data("a"))


def test_opening_what_is_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="does not exist"):
        Cohort.open(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CohortError, match="is a file"):
        Cohort.open(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CohortError, match=r"no zarr\.json"):
        Cohort.open(tmp_path / "folder")
    zarr.open_group(tmp_path / "foreign", mode="w", zarr_format=3).attrs["encoding-type"] = "anndata"
    with pytest.raises(CohortError, match="something else"):
        Cohort.open(tmp_path / "foreign")


@pytest.mark.parametrize(("version", "remedy"), [(99, "upgrade radiogenesis"), (0, "build the cohort again")])
def test_other_schema_versions(copied: Path, version: int, remedy: str) -> None:
    _edit_attributes(copied, lambda attributes: attributes.update(schema_version=version))
    with pytest.raises(CohortError, match=f"schema version {version}.*{remedy}"):
        Cohort.open(copied)


def test_damaged_attributes(copied: Path) -> None:
    _edit_attributes(copied, lambda attributes: attributes.update(field_of_view_mm=30.0))
    with pytest.raises(CohortError, match="attributes are not those"):
        Cohort.open(copied)
    _edit_attributes(copied, lambda attributes: attributes.pop("parts"))
    with pytest.raises(CohortError, match="lack parts"):
        Cohort.open(copied)
    (copied / "zarr.json").write_text("{")
    with pytest.raises(CohortError, match=r"zarr\.json.*cannot be read"):
        Cohort.open(copied)


@pytest.mark.parametrize("harm", ["truncate", "remove", "replace"])
def test_a_damaged_image_chunk_is_never_handed_out(copied: Path, harm: str) -> None:
    chunk = copied / "slices" / "image" / "c" / "0" / "0" / "0"
    if harm == "truncate":
        chunk.write_bytes(chunk.read_bytes()[:100])
    elif harm == "remove":
        chunk.unlink()  # zarr itself would read zeros
    else:
        shutil.copy(copied / "backgrounds" / "image" / "c" / "0" / "0" / "0", chunk)
    cohort = Cohort.open(copied)
    with pytest.raises(CohortError, match=r"slices/image.*damaged"):
        _ = cohort.slice_image
    assert len(cohort.background_image) == 6
    with pytest.raises(CohortError, match="slices/image"):
        Cohort.open(copied, verify=True)


def test_damaged_tables(copied: Path) -> None:
    shutil.rmtree(copied / "clinical" / "age")
    shutil.rmtree(copied / "expression" / "X")
    cohort = Cohort.open(copied)
    with pytest.raises(CohortError, match="'clinical' cannot be read"):
        _ = cohort.clinical
    with pytest.raises(CohortError, match="'expression' is not what was written"):
        _ = cohort.expression


def test_describe_names_reasons_and_groups_patients(tmp_path: Path) -> None:
    everybody = pd.DataFrame(
        {
            "patient": ["a", "b", "c", "d"],
            "status": ["in", "background only", "out", "out"],
            "reason": ["", "nothing is outlined", "no scan", "no scan"],
        }
    )
    with CohortWriter(tmp_path / "c", settings=SETTINGS) as writer:
        writer.add(patient_data("a"))
        writer.add(patient_data("b", slices=0))
        text = writer.finish(expression=expression(["a", "c"]), audit=everybody).describe()
    assert "1 have nodule slices and expression" in text
    assert "2  no scan: c, d" in text
    assert "1  nothing is outlined: b" in text
    assert "1  images and expression: a" in text


def _edit_attributes(path: Path, edit: object) -> None:
    document = json.loads((path / "zarr.json").read_text())
    edit(document["attributes"])  # type: ignore[operator]
    (path / "zarr.json").write_text(json.dumps(document))
