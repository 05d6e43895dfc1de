"""Masks of the organ by another tool, in the place of the built-in lung segmentation."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny_cohorts import write_chest

from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.folders.organ_masks import with_organ_masks
from radiogenesis.cohort.patient_parts import make_part, read_part
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.errors import InputError

SAMPLING = SamplingSettings(pixels=16, slices_per_center=4)
READ = ReadSettings()


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chest")
    write_chest(folder / "raw", "P1")
    image = nib.load(folder / "raw" / "P1_image.nii.gz")
    values = np.asarray(image.dataobj) < -500
    right = values.copy()
    right[:, : values.shape[1], :] &= (np.arange(values.shape[0]) >= values.shape[0] // 2)[:, None, None]
    for name, mask in (("right", right), ("empty", np.zeros_like(right))):
        nib.save(nib.Nifti1Image(mask.astype(np.uint8) * 3, image.affine), folder / f"{name}.nii.gz")
    return folder


def with_masks(chest: Path, folder: Path, files: dict[str, str], read: ReadSettings = READ) -> Source:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((chest / f"{source}.nii.gz").read_bytes())
    findings = find_scans(chest / "raw", read)
    (source,) = with_organ_masks(findings, folder, read).sources
    return source


@pytest.mark.parametrize("name", ["P1.nii.gz", "P1/lungs.nii.gz", "P1/segmentations/lung_upper_lobe_left.nii.gz"])
def test_backgrounds_lie_in_the_given_mask(chest: Path, name: str, tmp_path: Path) -> None:
    """The half with the tumor is left out: none of the built-in lung's choice would be so one-sided in every draw."""
    source = with_masks(chest, tmp_path / "organs", {name: "right", "P1/segmentations/liver.nii.gz": "empty"})
    outcome = make_part(source, READ, SAMPLING, tmp_path / "p.npz")
    assert outcome.reason == ""
    backgrounds = read_part(tmp_path / "p.npz").backgrounds
    assert backgrounds is not None
    half = np.asarray(nib.load(chest / "right.nii.gz").dataobj) > 0
    image = nib.load(chest / "right.nii.gz")
    x, y, z = np.rint(
        nib.affines.apply_affine(np.linalg.inv(image.affine), backgrounds.center_mm[0] * [-1, -1, 1])
    ).astype(int)
    assert half[x, y, z]


def test_a_patient_without_a_mask_gets_no_backgrounds(chest: Path, tmp_path: Path) -> None:
    """Not those of the built-in segmentation: two kinds would be mixed in a cohort."""
    source = with_masks(chest, tmp_path / "organs", {"P1/lungs.nii.gz": "right"})
    other = Source(**{**vars(source), "organ_files": ()})
    outcome = make_part(other, READ, SAMPLING, tmp_path / "p.npz")
    assert (outcome.status, outcome.reason) == (
        "in",
        "no backgrounds: no mask of the organ is given for this patient (--organ_mask)",
    )
    empty = with_masks(chest, tmp_path / "empty", {"P1.nii.gz": "empty"})
    outcome = make_part(empty, READ, SAMPLING, tmp_path / "q.npz")
    assert "no backgrounds: the mask of the organ cannot be used" in outcome.reason
    assert outcome.reason.endswith("P1.nii.gz: it is empty; check the segmentation")


def test_which_structures_are_the_organ(chest: Path, tmp_path: Path) -> None:
    files = {f"P1/{name}.nii.gz": "right" for name in ("liver", "body", "lung_upper_lobe_left", "lung_vessels")}
    named = with_masks(chest, tmp_path / "o", files).organ_files or ()
    assert [path.name for path in named] == ["lung_upper_lobe_left.nii.gz"]
    named = with_masks(chest, tmp_path / "o", files, ReadSettings(organ_label="liver")).organ_files or ()
    assert [path.name for path in named] == ["liver.nii.gz"]
    with pytest.raises(InputError, match=r"no organ mask of any of the 1 patients \(such as P1\): found P7\.nii"):
        with_masks(chest, tmp_path / "other", {"P7.nii.gz": "right"})
