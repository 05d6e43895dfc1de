"""A manifest: any names, everything wrong with it said at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import circle, example_ct, rtstruct, save
from test_layouts import put
from tiny_cohorts import write_ball

from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort, find_scans
from radiogenesis.cohort.dicom import series
from radiogenesis.cohort.manifest import read_manifest
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sampling.slices import SamplingSettings, nodule_slices
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.errors import InputError

FAST = SamplingSettings(pixels=16, background_centers=0)


def manifest(folder: Path, text: str) -> Path:
    path = folder / "scans.csv"
    path.write_text(text)
    return path


def test_any_names_and_further_columns(tmp_path: Path) -> None:
    write_ball(tmp_path / "theirs", "P1")
    put(tmp_path / "theirs/P1_image.nii.gz", tmp_path / "a scan.mha")
    put(tmp_path / "theirs/P1_mask.nii.gz", tmp_path / "its outline.nrrd")
    path = manifest(tmp_path, "Patient;IMAGE;mask;site;age\n P1 ;a scan.mha;its outline.nrrd;A;61,5\n")
    cohort = build_cohort(path, tmp_path / "c", sampling=FAST, build=BuildSettings(workers=1))
    (source,) = find_scans(tmp_path / "theirs", ReadSettings()).sources
    theirs = nodule_slices(read_scan(source, ReadSettings()), FAST)
    np.testing.assert_array_equal(cohort.slice_image, theirs.image)
    assert cohort.clinical is not None
    assert cohort.clinical.to_dict("index") == {"P1": {"site": "A", "age": 61.5}}
    assert cohort.provenance["layout"] == "manifest scans.csv (1)"
    assert "manifest" in cohort.provenance["tables"]
    assert "columns site, age stand in the clinical table" in cohort.describe()


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    for name in ("one.nii.gz", "two.nii.gz", "mask.nii.gz", "note.txt"):
        (tmp_path / name).touch()
    path = manifest(
        tmp_path,
        "# made by hand\n"
        "patient,image,mask,site\n"
        "P1,one.nii.gz,mask.nii.gz,A\n"
        "\n"
        "P2,onee.nii.gz,,A\n"
        ",two.nii.gz,,A\n"
        "P1,one.nii.gz,mask.nii.gz,B\n"
        "P3,one.nii.gz,gone/mask.nii.gz,A\n"
        "P4,note.txt,mask.nii.gz,A\n"
        "P1,two.nii.gz,,A\n",
    )
    with pytest.raises(InputError) as caught:
        read_manifest(path, ReadSettings())
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path}: 9 problems, nothing was read"
    assert [line.split(";")[0].strip() for line in lines] == [
        "line 5: image 'onee.nii.gz' is not there",
        "line 6: no patient",
        "line 7: patient 'P1' is the same as in line 3",
        "line 7: site 'B' of patient 'P1' is 'A' in line 3",
        "line 8: image 'one.nii.gz' is that of patient 'P1' in line 3",
        "line 8: mask 'gone/mask.nii.gz' is not there",
        "line 9: image 'note.txt' is no NIfTI, NRRD or MetaImage",
        "line 9: mask 'mask.nii.gz' is that of patient 'P1' in line 3",
        "line 10: patient 'P1' has another image in line 3",
    ]
    assert "nearest there: 'one.nii.gz'" in lines[0]
    assert all(";" in line for line in lines)  # each with what to do


def test_columns_that_are_nearly_known(tmp_path: Path) -> None:
    path = manifest(tmp_path, "patient_id,image,maks,age\nP1,a.nii,b.nii,60\n")
    with pytest.raises(InputError) as caught:
        read_manifest(path, ReadSettings())
    assert str(caught.value).splitlines()[1:] == [
        "  line 1: column 'maks' is unknown; rename it to mask if it is that, else otherwise",
        "  line 1: column 'patient_id' is unknown; rename it to patient if it is that, else otherwise",
    ]


def test_an_rtstruct_elsewhere_and_its_label(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path / "ct")
    outline = {"nodule": [circle(ct, z, (10, 9), 4) for z in (2, 3)], "GTV-1": [circle(ct, 1, (5, 5), 2)]}
    (tmp_path / "rt").mkdir()
    save(rtstruct(ct, outline), tmp_path / "rt" / "any.dcm")
    path = manifest(tmp_path, "patient,image,mask,label\nmine,ct,rt/any.dcm,nodule\n")
    (source,) = find_scans(path, ReadSettings()).sources
    scan = read_scan(source, ReadSettings())
    assert (scan.patient, scan.tumor, scan.tumor_mask.any(axis=(1, 2)).nonzero()[0].tolist()) == (
        "mine",
        "nodule",
        [2, 3],
    )


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0)])
def test_a_nifti_mask_on_dicom_whatever_the_order_of_its_axes(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    """Of a sagittal series the planes of mask and image follow each other along other axes."""
    ct = example_ct(orientation=orientation)
    ct.write(tmp_path / "ct")
    mask = np.zeros(ct.hu.shape, bool)
    mask[2:4, 5:9, 5:8] = True
    write_nifti(tmp_path / "m.nii.gz", mask, ct.affine)
    (source,) = find_scans(manifest(tmp_path, "patient,image,mask\nmine,ct,m.nii.gz\n"), ReadSettings()).sources
    scan = read_scan(source, ReadSettings())
    np.testing.assert_array_equal(np.sort(scan.hu[scan.tumor_mask]), np.sort(ct.hu[mask]))


def test_a_folder_of_two_patients_needs_the_series(tmp_path: Path) -> None:
    first, second = example_ct(patient="A"), example_ct(patient="B")
    first.write(tmp_path / "ct" / "a")
    second.write(tmp_path / "ct" / "b")
    path = manifest(tmp_path, "patient,image\nP1,ct\n")
    with pytest.raises(InputError, match=r"image 'ct': holds scans of 2 patients \(A, B\); name one in the column"):
        read_manifest(path, ReadSettings())
    uid = read_scan(find_scans(tmp_path / "ct" / "b", ReadSettings()).sources[0], ReadSettings()).acquisition.series_uid
    path = manifest(tmp_path, f"patient,image,series\nP1,ct,{uid}\n")
    (source,) = find_scans(path, ReadSettings()).sources
    assert {file.parent.name for file in source.image_files} == {"b"}


def test_the_clinical_table_and_the_manifest_may_not_contradict(tmp_path: Path) -> None:
    write_ball(tmp_path, "P1")
    path = manifest(tmp_path, "patient,image,mask,age\nP1,P1_image.nii.gz,P1_mask.nii.gz,60\n")
    (tmp_path / "clinical.csv").write_text("id,age\nP1,61\n")
    with pytest.raises(InputError, match=r"clinical\.csv: its column 'age' is in the manifest too; rename"):
        build_cohort(path, tmp_path / "c", Tables(clinical=tmp_path / "clinical.csv"), sampling=FAST)


@pytest.mark.real_data
@pytest.mark.parametrize(("size", "voxels"), [("23x38x3", 322), ("24x38x3", 315)])
def test_an_nrrd_lies_on_dicom_where_its_seg_does(
    shared_data: Path, size: str, voxels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dcmqi's own pairs of a label map as NRRD and as SEG; their CT has the values 0 and 1, so HU are not checked."""
    monkeypatch.setattr(series, "checked_hu", lambda values, path: (values, ()))
    folder, masks = shared_data / "dicom-oddities" / "dcmqi" / size, []
    for mask in ("nrrd/label.nrrd", "seg/label.seg"):
        path = manifest(tmp_path, f"patient,image,mask\nP1,{folder / 'image'},{folder / mask}\n")
        (source,) = find_scans(path, ReadSettings()).sources
        masks.append(read_scan(source, ReadSettings()).tumor_mask)
    np.testing.assert_array_equal(*masks)
    assert masks[0].sum() == voxels
