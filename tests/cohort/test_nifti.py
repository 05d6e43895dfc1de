"""NIfTI pairs: names, axes, grids, and what is refused. nibabel writes, SimpleITK judges."""

from __future__ import annotations

import gzip
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.nifti import read_nifti, write_nifti
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.errors import OutputError, ScanError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def source(image: Path, *masks: Path) -> Source:
    return Source(patient="P1", kind="nifti", image_files=(image,), outline_files=masks)


def example(shape: tuple[int, int, int] = (5, 7, 6)) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1024, 1500, shape).astype(np.int16)


def affine(spacing: tuple[float, float, float] = (2.5, 0.7, 0.7), angle: float = 0.0) -> NDArray[np.float64]:
    """Index (z, y, x) -> LPS; turned round the x axis by `angle`."""
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    made = np.eye(4)
    made[:3, :3] = (turn @ np.eye(3))[:, [2, 1, 0]] * spacing
    made[:3, 3] = [-100.5, 20.25, -300]
    return made


def save(path: Path, array: NDArray[np.generic], ras: NDArray[np.float64], code: int = 1) -> Path:
    """Array in its own (i, j, k) order with its own RAS affine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, ras)
    image.set_sform(ras, code)
    image.set_qform(ras, code)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_round_trip(tmp_path: Path, suffix: str, angle: float) -> None:
    hu, mask = example(), np.zeros((5, 7, 6), bool)
    mask[1:3, 2:5, 3] = True
    write_nifti(tmp_path / f"a{suffix}", hu, affine(angle=angle))
    write_nifti(tmp_path / f"b{suffix}", mask, affine(angle=angle))
    scan = read_nifti(source(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"), ReadSettings())
    np.testing.assert_array_equal(scan.hu, hu)
    np.testing.assert_array_equal(scan.tumor_mask, mask)
    np.testing.assert_allclose(scan.affine, affine(angle=angle), atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_every_storage_order_gives_the_same_scan(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """The same body, stored with its axes exchanged and flipped in all 48 ways."""
    hu = example()
    expected = affine()
    ijk, ras = hu.transpose(2, 1, 0), LPS @ expected[:, [2, 1, 0, 3]]
    for axis, sign in enumerate(signs):
        if sign < 0:
            flip = np.eye(4)
            flip[axis, axis], flip[axis, 3] = -1, ijk.shape[axis] - 1
            ijk, ras = np.flip(ijk, axis), ras @ flip
    ijk, ras = ijk.transpose(order), ras[:, [*order, 3]]
    scan = read_nifti(source(save(tmp_path / "image.nii", ijk, ras)), ReadSettings())
    np.testing.assert_array_equal(scan.hu, hu)
    np.testing.assert_allclose(scan.affine, expected, atol=1e-4)


def test_written_grid_agrees_with_simpleitk(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    hu, grid = example(), affine(angle=0.3)
    write_nifti(tmp_path / "a.nii.gz", hu, grid)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    point = image.TransformIndexToPhysicalPoint((3, 2, 1))  # SimpleITK: x, y, z and LPS
    np.testing.assert_allclose(point, (grid @ [1, 2, 3, 1])[:3], atol=1e-3)


angles = st.floats(-0.7, 0.7)
sizes = st.floats(0.3, 5.0)


@settings(max_examples=50, deadline=None)
@given(angles, st.tuples(sizes, sizes, sizes), st.tuples(*[st.floats(-500, 500)] * 3))
def test_affine_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    angle: float,
    spacing: tuple[float, float, float],
    corner: tuple[float, float, float],
) -> None:
    folder = tmp_path_factory.mktemp("nifti")
    grid = affine(spacing, angle)
    grid[:3, 3] = corner
    write_nifti(folder / "a.nii", example(), grid)
    scan = read_nifti(source(folder / "a.nii"), ReadSettings())
    np.testing.assert_array_equal(scan.hu, example())
    np.testing.assert_allclose(scan.affine, grid, atol=1e-3)  # NIfTI stores single precision


def test_find(tmp_path: Path) -> None:
    for name in (
        "P1_image.nii.gz", "P1_mask.nii.gz", "P2/image.nii", "P2/mask.nii.gz", "deep/er/P3_image.nii", "P4_mask.nii",
        "P5_image.nii", "x/P5_image.nii", "atlas.nii.gz", "notes.txt",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    findings = find_volumes(tmp_path, ReadSettings())
    assert [one.patient for one in findings.sources] == ["P1", "P2", "P3"]
    assert [len(one.outline_files) for one in findings.sources] == [1, 1, 0]
    assert all(one.kind == "nifti" for one in findings.sources)
    assert [patient for patient, _ in findings.refused] == ["P4", "P5"]
    assert "a mask without an image" in findings.refused[0][1]
    assert "keep one" in findings.refused[1][1]
    assert [path.name for path, _ in findings.skipped] == ["atlas.nii.gz"]
    assert findings.modalities == {"NIfTI image": 5, "NIfTI mask": 3}
    with pytest.raises(ScanError, match=r"no such folder"):
        find_volumes(tmp_path / "none", ReadSettings())


def test_hu_are_rounded_and_clipped(tmp_path: Path) -> None:
    values = np.full((4, 4, 4), -3024.0, np.float32)
    values[0, 0, 0], values[1, 1, 1] = 40.6, -1000.2
    scan = read_nifti(source(save(tmp_path / "a.nii", values, np.eye(4))), ReadSettings())
    assert sorted(np.unique(scan.hu)) == [AIR_HU, -1000, 41]


def refusal(image: Path, *masks: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_nifti(source(image, *masks), ReadSettings())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refused_images(tmp_path: Path) -> None:
    air = np.full((4, 5, 6), -1000, np.int16)
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    assert "not HU of a chest CT" in refusal(save(tmp_path / "unit.nii", air / -1000, np.eye(4)))
    assert "is not one volume" in refusal(save(tmp_path / "4d.nii", np.stack([air, air], -1), np.eye(4)))
    assert "no orientation" in refusal(save(tmp_path / "lost.nii", air, np.eye(4), code=0))
    assert "sheared" in refusal(_sform_only(tmp_path / "sheared.nii", air, sheared))
    assert "not finite" in refusal(save(tmp_path / "nan.nii", np.where(air < 0, np.nan, 0), np.eye(4)))
    (tmp_path / "text.nii").write_text("no image")
    assert "cannot be read as NIfTI" in refusal(tmp_path / "text.nii")
    cut = save(tmp_path / "cut.nii.gz", example((20, 20, 20)), np.eye(4))
    cut.write_bytes(cut.read_bytes()[:2000])
    assert "cannot be read as NIfTI" in refusal(cut)
    assert "cannot be read as NIfTI" in refusal(tmp_path / "gone.nii")


def _sform_only(path: Path, array: NDArray[np.generic], ras: NDArray[np.float64]) -> Path:
    image = nib.Nifti1Image(array, ras)
    image.set_sform(ras, 1)
    nib.save(image, path)
    return path


def test_refused_masks(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii", np.full((4, 5, 6), -1000, np.int16), np.eye(4))
    mask = np.zeros((4, 5, 6), np.uint8)
    assert "the outline is empty" in refusal(image, save(tmp_path / "empty.nii", mask, np.eye(4)))
    mask[1:3, 2:4, 2:4] = 1
    moved = np.eye(4)
    moved[:3, 3] = 1
    assert "is not that of image.nii" in refusal(image, save(tmp_path / "moved.nii", mask, moved))
    assert "is not that of image.nii" in refusal(image, save(tmp_path / "crop.nii", mask[1:], np.eye(4)))
    mask[2] *= 2
    assert "several labels (1, 2)" in refusal(image, save(tmp_path / "labels.nii", mask, np.eye(4)))


def test_mask_of_one_label_and_of_probabilities(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii", np.full((4, 5, 6), -1000, np.int16), np.eye(4))
    mask = np.zeros((4, 5, 6), np.float32)
    mask[1, 2, 2:5] = [0.2, 0.5, 1.0]

    def voxels(path: Path) -> int:
        scan: Scan = read_nifti(source(image, path), ReadSettings())
        return int(scan.tumor_mask.sum())

    assert voxels(save(tmp_path / "probability.nii", mask, np.eye(4))) == 2
    assert voxels(save(tmp_path / "label7.nii", (mask > 0).astype(np.uint8) * 7, np.eye(4))) == 3


def test_writing_refuses(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", example(), affine())
    with pytest.raises(OutputError, match=r"already exists; choose another name"):
        write_nifti(tmp_path / "a.nii", example(), affine())
    with pytest.raises(ScanError, match=r"not a NIfTI name; end it in .nii"):
        write_nifti(tmp_path / "a.mha", example(), affine())


@pytest.mark.parametrize("noise", [1e-6, 5e-3])
def test_a_mask_with_noise_has_one_label(tmp_path: Path, noise: float) -> None:
    """As resampling leaves it; as exact as SimpleITK's rounding."""
    image = save(tmp_path / "image.nii", np.full((4, 5, 6), -1000, np.int16), np.eye(4))
    label = np.zeros((4, 5, 6))
    label[1:3, 1:4, 2:4] = 3
    noisy = (label + np.random.default_rng(0).normal(0, noise / 4, label.shape)).astype(np.float32)
    path = save(tmp_path / "mask.nii", noisy, np.eye(4))
    rounded = sitk.GetArrayFromImage(sitk.Round(sitk.ReadImage(str(path))))
    scan = read_nifti(source(image, path), ReadSettings())
    np.testing.assert_array_equal(scan.tumor_mask[:, ::-1, ::-1], rounded == 3)
    two = save(tmp_path / "two.nii", np.where(np.arange(6) > 2, 2, 1) * np.sign(label).astype(np.float32), np.eye(4))
    assert "several labels (1, 2)" in refusal(image, two)


def test_values_that_are_neither_labels_nor_probabilities(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii", np.full((4, 5, 6), -1000, np.int16), np.eye(4))
    mask = np.zeros((4, 5, 6), np.float32)
    mask[1, 2, 1:5] = [-0.08, 0.6, 1.1, 0.4]  # a spline overshoots
    scan = read_nifti(source(image, save(tmp_path / "spline.nii", mask, np.eye(4))), ReadSettings())
    assert scan.tumor_mask.sum() == 2
    mask[1, 2, 1:5] = [30, 200.4, 255, 99.7]
    line = refusal(image, save(tmp_path / "gray.nii", mask, np.eye(4)))
    assert "values up to 255 are neither labels nor probabilities; save it with 1 inside" in line


@pytest.mark.parametrize(("named", "packed"), [("a.nii", True), ("a.nii.gz", False), ("A.NII.GZ", True)])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_the_ending_does_not_decide_whether_it_is_gzip(
    tmp_path: Path, named: str, packed: bool, kind: type[nib.Nifti1Image]
) -> None:
    array = example()
    image = kind(array, np.eye(4))
    content = image.to_bytes()
    (tmp_path / named).write_bytes(gzip.compress(content) if packed else content)
    hu = read_nifti(source(tmp_path / named), ReadSettings()).hu
    np.testing.assert_array_equal(hu[:, ::-1, ::-1], array.transpose(2, 1, 0))


def test_endings_in_capitals_are_found(tmp_path: Path) -> None:
    (tmp_path / "P1_image.NII.GZ").touch()
    assert [one.patient for one in find_volumes(tmp_path, ReadSettings()).sources] == ["P1"]


def test_axes_of_length_one_are_none(tmp_path: Path) -> None:
    array = example()
    path = save(tmp_path / "5d.nii", array[..., None, None], np.eye(4))
    np.testing.assert_array_equal(read_nifti(source(path), ReadSettings()).hu[:, ::-1, ::-1], array.transpose(2, 1, 0))


def test_sform_and_qform_that_contradict_each_other(tmp_path: Path) -> None:
    """Voxel sizes, a mirrored axis, another place, or pixdim where there is no qform."""
    array, own = example(), np.diag([-0.7, -0.7, 2.5, 1])

    def written(name: str, sform: NDArray[np.float64], qform_code: int = 1) -> Path:
        image = nib.Nifti1Image(array, own)
        image.set_qform(own, qform_code)
        image.set_sform(sform, 1)
        nib.save(image, tmp_path / name)
        return tmp_path / name

    moved = own.copy()
    moved[2, 3] = 4
    line = "sform and qform contradict each other: voxels of"
    assert f"{line} 1 x 1 x 1 mm by the sform, of 0.7 x 0.7 x 2.5 mm" in refusal(written("size.nii", np.eye(4)))
    assert line in refusal(written("pixdim.nii", np.eye(4), qform_code=0))
    assert line in refusal(written("mirror.nii", own * [-1, 1, 1, 1]))
    assert "corners up to 4.0 mm apart" in refusal(written("moved.nii", moved))
    moved[2, 3] = 0.1  # less than half a voxel: rounding
    assert read_nifti(source(written("same.nii", moved)), ReadSettings()).spacing_mm == pytest.approx((2.5, 0.7, 0.7))
