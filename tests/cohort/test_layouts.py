"""The same two scans in every layout give the same images; and what is said where none is recognized."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from tiny_cohorts import write_ball

from radiogenesis.cohort.build import build_cohort, find_scans
from radiogenesis.cohort.digest import array_digest
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.patient_parts import make_part, read_part, read_scan
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.errors import InputError, ScanError

PATIENTS = ("R01001", "R01002")
# Names of image and mask; what the build says of the layout.
LAYOUTS = {
    "pairs": ("{0}_image.nii.gz", "{0}_mask.nii.gz", "pairs (2)"),
    "folders": ("{0}/image.nii.gz", "{0}/mask.mha", "pairs (2)"),
    "nnU-Net": ("imagesTr/{0}_0000.nii.gz", "labelsTr/{0}.nii.gz", "nnU-Net (2)"),
    "Decathlon": ("imagesTr/{0}.nii.gz", "labelsTr/{0}.nii.gz", "Medical Segmentation Decathlon (2)"),
    "BIDS": ("sub-{0}/ct/sub-{0}_ct.nii.gz", "derivatives/m/sub-{0}/ct/sub-{0}_label-tumor_mask.nii.gz", "BIDS (2)"),
    "TotalSegmentator": ("{0}/ct.nii.gz", "{0}/segmentations/lung_nodules.nii.gz", "TotalSegmentator (2)"),
    "NRRD": ("a/{0}_image.nrrd", "b/{0}_mask.nrrd", "pairs (2)"),
}


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chests")
    for patient in PATIENTS:
        write_ball(folder, patient)
    return folder


def put(source: Path, target: Path) -> None:
    """Copied, or written by SimpleITK where the ending is another one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name.endswith(".nii.gz"):
        shutil.copy(source, target)
        return
    found = sitk.ReadImage(str(source))
    plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(found))  # without the keys that only NIfTI has
    plain.CopyInformation(found)
    sitk.WriteImage(plain, str(target))


def laid_out(chests: Path, folder: Path, layout: str) -> Path:
    image, mask, _ = LAYOUTS[layout]
    for patient in PATIENTS:
        put(chests / f"{patient}_image.nii.gz", folder / image.format(patient))
        put(chests / f"{patient}_mask.nii.gz", folder / mask.format(patient))
    return folder


def images_of(raw: Path, parts: Path) -> tuple[list[str], str]:
    """Digests of what a build keeps of each patient, and how the layout is called."""
    findings, sampling = find_scans(raw, ReadSettings()), SamplingSettings(pixels=16, background_centers=0)
    digests = []
    for number, source in enumerate(findings.sources):
        assert make_part(source, ReadSettings(), sampling, parts / f"{number}.npz").status == "in"
        slices = read_part(parts / f"{number}.npz").slices
        assert slices is not None
        digests += [array_digest(values) for values in (slices.image, slices.mask, slices.offset_mm)]
    return digests, findings.layout


@pytest.fixture(scope="module")
def expected(chests: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return images_of(chests, tmp_path_factory.mktemp("expected"))[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images(chests: Path, expected: list[str], layout: str, tmp_path: Path) -> None:
    raw = laid_out(chests, tmp_path / "raw", layout)
    (raw / "dataset.json").write_text('{"labels": {"background": 0, "tumour": 1}, "channel_names": {"0": "CT"}}')
    assert images_of(raw, tmp_path) == (expected, LAYOUTS[layout][2])


def found(folder: Path, *names: str, **settings: str) -> dict[str, tuple[str, list[str]]]:
    """Patient -> names of the image and of the masks, for empty files of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    sources = find_volumes(folder, ReadSettings(**settings)).sources
    return {one.patient: (one.image_files[0].name, [path.name for path in one.outline_files]) for one in sources}


def test_four_digits_are_a_channel_only_where_the_labels_lack_them(tmp_path: Path) -> None:
    names = ("imagesTr/case_0001.nii.gz", "imagesTs/case_0002.nii.gz")
    assert found(tmp_path / "msd", *names, "labelsTr/case_0001.nii.gz") == {
        "case_0001": ("case_0001.nii.gz", ["case_0001.nii.gz"]),
        "case_0002": ("case_0002.nii.gz", []),
    }
    assert found(tmp_path / "nnunet", "imagesTr/a_0000.nrrd", "labelsTr/a.nrrd", "imagesTs/b_0000.nrrd") == {
        "a": ("a_0000.nrrd", ["a.nrrd"]),
        "b": ("b_0000.nrrd", []),
    }


def test_of_several_channels_one_must_be_named(tmp_path: Path) -> None:
    names = ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"]
    assert found(tmp_path, *names) == {}
    ((_, reason),) = find_volumes(tmp_path, ReadSettings()).refused
    assert "one of 2 images of the patient (0000, 0001); choose with --channel" in reason
    assert found(tmp_path, channel="1")["a"][0] == "a_0001.nii.gz"
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "FLAIR"}}')
    assert found(tmp_path, channel="flair")["a"][0] == "a_0001.nii.gz"
    assert found(tmp_path, channel="T2") == {}  # nor the only image of another patient, which is something else
    ((_, reason),) = find_volumes(tmp_path, ReadSettings(channel="T2")).refused
    assert reason.endswith("no image 'T2' (--channel), only 0000_T1, 0001_FLAIR")


def test_structures_are_the_tumor_by_their_name(tmp_path: Path) -> None:
    names = [f"P1/segmentations/{name}.nii.gz" for name in ("heart", "lung_nodules", "peritumoral")]
    assert found(tmp_path, "P1/ct.nii.gz", *names) == {"P1": ("ct.nii.gz", ["lung_nodules.nii.gz"])}
    assert found(tmp_path, label="hea*")["P1"][1] == ["heart.nii.gz"]
    skipped = {path.name: reason for path, reason in find_volumes(tmp_path, ReadSettings()).skipped}
    assert skipped["heart.nii.gz"] == "a structure that is not the tumor; --label names another"


def test_the_five_lobes_are_the_lungs(tmp_path: Path) -> None:
    lobes = ["upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "middle_lobe_right", "lower_lobe_right"]
    found(tmp_path, "P1/ct.nii.gz", *(f"P1/segmentations/lung_{lobe}.nii.gz" for lobe in lobes))
    findings = find_volumes(tmp_path, ReadSettings())
    assert len(findings.sources[0].organ_files or ()) == 5
    assert findings.layout == "TotalSegmentator (1, lungs of 1 by their lobes)"


@pytest.mark.parametrize(
    ("label", "voxels"), [("2", 1), ("cancer", 1), ("*", 3), ("1,2", 3), ("", 1)], ids=lambda value: str(value)
)
def test_labels_by_number_and_by_name(tmp_path: Path, label: str, voxels: int) -> None:
    """dataset.json names 2 a cancer; 1, the liver, has two voxels."""
    values = np.zeros((6, 6, 6), np.uint8)
    values[2, 2, 2:4], values[3, 3, 3] = 1, 2
    for folder, array in (("imagesTr", np.full((6, 6, 6), -1000, np.int16)), ("labelsTr", values)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1, 1, 1])), tmp_path / folder / "P1.nii.gz")
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "1": "liver", "2": "cancer"}}')
    settings = ReadSettings(label=label)
    (source,) = find_scans(tmp_path, settings).sources
    assert read_scan(source, settings).tumor_mask.sum() == voxels
    with pytest.raises(ScanError, match=r"has no label 'spleen'; it holds 1 liver, 2 cancer; name the tumor's with"):
        read_scan(source, ReadSettings(label="spleen"))


def test_a_segmentation_of_3d_slicer_is_a_box_with_names(tmp_path: Path) -> None:
    """Cropped to what is drawn, and the segments' names in its header."""
    hu = sitk.GetImageFromArray(np.full((8, 9, 10), -1000, np.int16))
    hu.SetSpacing((0.7, 0.8, 2.5))
    hu.SetOrigin((-20.0, 5.0, 7.0))
    values = np.zeros((8, 9, 10), np.uint8)
    values[3:5, 4:6, 5:8], values[5, 4, 4] = 2, 1
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(hu)
    sitk.WriteImage(hu, str(tmp_path / "P1_image.nrrd"))
    cropped = mask[3:9, 3:7, 2:7]
    for number, (name, label) in enumerate({"vessel": 1, "Tumor": 2}.items()):
        cropped.SetMetaData(f"Segment{number}_Name", name)
        cropped.SetMetaData(f"Segment{number}_LabelValue", str(label))
    sitk.WriteImage(cropped, str(tmp_path / "P1_mask.seg.nrrd"))
    (source,) = find_scans(tmp_path, ReadSettings()).sources
    scan = read_scan(source, ReadSettings())
    np.testing.assert_array_equal(scan.tumor_mask, values == 2)
    np.testing.assert_allclose(scan.spacing_mm, (2.5, 0.8, 0.7))
    np.testing.assert_allclose(scan.affine[:3, 3], (-20, 5, 7))


def test_what_is_not_recognized_is_shown_beside_what_would_be(tmp_path: Path) -> None:
    for name in ("scan 1.nii.gz", "scan 1 outline.nii.gz", "x/scan 2.nii.gz", "x/y.txt"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).touch()
    with pytest.raises(InputError) as caught:
        build_cohort(tmp_path / "raw", tmp_path / "c")
    line = str(caught.value)
    assert "holds no scan that can be used; found scan 1 outline.nii.gz, scan 1.nii.gz, x/scan 2.nii.gz" in line
    for name in ("PATIENT_image.nii.gz", "imagesTr/CASE_0000.nii.gz", "PATIENT/ct.nii.gz", "sub-ID_ct.nii.gz"):
        assert name in line
    assert line.endswith(
        "--manifest scans.csv, with the lines patient,image,mask / P1,scans/one.nii.gz,masks/one.nii.gz"
    )
    assert "\n" not in line
    (tmp_path / "raw" / "P1_mask.nii.gz").touch()
    with pytest.raises(InputError, match=r"P1_mask\.nii\.gz: a mask without an image; the image is expected as in PAT"):
        build_cohort(tmp_path / "raw", tmp_path / "c")
