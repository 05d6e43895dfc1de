"""DICOM SEG on the CT's grid: written with highdicom, bent into what early writers made, refused where it must be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save, seg, segment
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import generate_uid

from radiogenesis.cohort.dicom.folder import ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError


def tumor(ct: Ct) -> NDArray[np.bool_]:
    """A mask without any symmetry, so that a flip cannot hide."""
    mask = np.zeros(ct.hu.shape, bool)
    mask[1:4, 3:8, 5:9] = True
    mask[3, 10, 12] = True
    return mask


def read(folder: Path, ct: Ct, data: Dataset, **settings: object) -> Scan:
    ct.write(folder)
    save(data, folder / "seg.dcm")
    chosen = ReadSettings(**settings)  # type: ignore[arg-type]
    (source,) = find_dicom(folder, chosen).sources
    return read_dicom(source, chosen)


def refusal(folder: Path, ct: Ct, data: Dataset, **settings: object) -> str:
    with pytest.raises(ScanError) as caught:
        read(folder, ct, data, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (1, 0, 0, 0, np.cos(0.2), np.sin(0.2))]
)
def test_binary(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    ct = example_ct(orientation=orientation)
    scan = read(tmp_path, ct, seg(ct, tumor(ct)))
    np.testing.assert_array_equal(scan.tumor_mask, tumor(ct))
    assert scan.tumor == "Nodule"
    assert scan.acquisition.chosen_because == (
        "segment 'Nodule' coded as Neoplasm (SCT 108369006), Morphologically Abnormal Structure (SCT 49755003)"
    )


def test_one_frame(tmp_path: Path) -> None:
    ct = example_ct()
    mask = tumor(ct)
    mask[2:] = False
    np.testing.assert_array_equal(read(tmp_path, ct, seg(ct, mask)).tumor_mask, mask)


def test_two_tumors_far_apart(tmp_path: Path) -> None:
    """Frames without tumor may be left out: the gap between frames is not the slice spacing."""
    ct = example_ct(12)
    mask = np.zeros(ct.hu.shape, bool)
    mask[[1, 2, 8], 3:8, 5:9] = True
    np.testing.assert_array_equal(read(tmp_path, ct, seg(ct, mask)).tumor_mask, mask)


@pytest.mark.parametrize(("fraction", "voxels"), [(0.5, 2), (0.2, 3), (1.0, 1)])
def test_fractional(tmp_path: Path, fraction: float, voxels: int) -> None:
    ct = example_ct()
    weights = np.zeros(ct.hu.shape, np.float32)
    weights[2, 5, 5:9] = [0.1, 0.3, 0.6, 1.0]
    scan = read(tmp_path, ct, seg(ct, weights, kind="FRACTIONAL"), fraction=fraction)
    assert scan.tumor_mask.sum() == voxels


def test_label_map(tmp_path: Path) -> None:
    ct = example_ct()
    labels = tumor(ct).astype(np.uint8) * 2
    labels[0] = 1
    data = seg(ct, labels, [segment(1, "Lung", tumor=False), segment(2, "Nodule")], kind="LABELMAP")
    np.testing.assert_array_equal(read(tmp_path, ct, data, segment="nod*").tumor_mask, tumor(ct))


def several(ct: Ct, **kinds: bool) -> Dataset:
    """One segment per name, of one plane each; whether it is coded as abnormal structure."""
    array = np.zeros((*ct.hu.shape, len(kinds)), np.uint8)
    for number in range(len(kinds)):
        array[number + 1, 4:9, 4:9, number] = 1
    return seg(ct, array, [segment(n, name, tumor=kind) for n, (name, kind) in enumerate(kinds.items(), start=1)])


def test_abnormal_structures_are_united(tmp_path: Path) -> None:
    ct = example_ct()
    scan = read(tmp_path, ct, several(ct, Lung=False, Nodule1=True, Nodule2=True))
    assert scan.tumor == "Nodule1+Nodule2"
    assert set(np.nonzero(scan.tumor_mask)[0]) == {2, 3}
    assert scan.acquisition.chosen_because.startswith("united 'Nodule1', 'Nodule2'; segment 'Nodule1' coded as Neo")


def test_segment_by_name(tmp_path: Path) -> None:
    ct = example_ct()
    scan = read(tmp_path, ct, several(ct, Lung=False, Nodule1=True, Nodule2=True), segment="nodule2")
    assert set(np.nonzero(scan.tumor_mask)[0]) == {3}


def test_segments_that_cannot_be_told(tmp_path: Path) -> None:
    ct = example_ct()
    line = refusal(tmp_path / "several", ct, several(ct, Left=False, Right=False))
    assert "several segments match, none coded as abnormal structure '*'; the SEG has 'Left', 'Right'" in line
    line = refusal(tmp_path / "none", ct, several(ct, Left=False, Right=False), segment="Tumor")
    assert line.endswith("no segment matches 'Tumor'; the SEG has 'Left', 'Right'; set --segment")


def coded(data: Dataset, category: tuple[str, str, str], kind: tuple[str, str, str]) -> None:
    """Give the only segment other codes: (value, scheme, meaning)."""
    for keyword, code in (("Category", category), ("Type", kind)):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
        setattr(data.SegmentSequence[0], f"SegmentedProperty{keyword}CodeSequence", [item])


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        (("91723000", "SCT", "Anatomical Structure"), ("39607008", "SCT", "Lung")),
        (("T-D000A", "SRT", "Anatomical Structure"), ("T-32000", "SRT", "Heart")),
        (("85756007", "SCT", "Tissue"), ("3341006", "SCT", "Right lung")),
    ],
)
def test_a_single_segment_of_anatomy_is_not_the_tumor(
    tmp_path: Path, category: tuple[str, str, str], kind: tuple[str, str, str]
) -> None:
    ct = example_ct()
    data = bent(seg(ct, tumor(ct)), lambda one: coded(one, category, kind), tmp_path)
    line = refusal(tmp_path / "all", ct, data)
    assert f"its only segment is coded as anatomy, not as a lesion: segment 'Nodule' coded as {kind[2]} (" in line
    assert line.endswith("; set --segment")
    by_name = read(tmp_path / "named", ct, data, segment="nodule")
    np.testing.assert_array_equal(by_name.tumor_mask, tumor(ct))


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        (("T-D0050", "SRT", "Tissue"), ("T-D0050", "SRT", "Tissue")),  # what 3D Slicer wrote where nobody chose
        (("M-01000", "SRT", "Morphologically Altered Structure"), ("M-80003", "SRT", "Neoplasm, Primary")),
        (("123037004", "SCT", "Anatomical Structure"), ("4147007", "SCT", "Mass")),
        (("49755003", "SCT", "Morphologically Abnormal Structure"), ("39607008", "SCT", "Lung")),
    ],
)
def test_a_single_segment_that_may_be_a_lesion_is(
    tmp_path: Path, category: tuple[str, str, str], kind: tuple[str, str, str]
) -> None:
    ct = example_ct()
    data = bent(seg(ct, tumor(ct)), lambda one: coded(one, category, kind), tmp_path)
    scan = read(tmp_path / "all", ct, data)
    np.testing.assert_array_equal(scan.tumor_mask, tumor(ct))
    assert f"segment 'Nodule' coded as {kind[2]} ({kind[1]} {kind[0]})" in scan.acquisition.chosen_because


def test_a_lung_never_wins_over_a_tumor(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    everywhere = np.ones(ct.hu.shape, bool)
    save(seg(ct, everywhere, [segment(1, "Lung", tumor=False)], date="20300101"), tmp_path / "lung.dcm")
    save(rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]}), tmp_path / "rt.dcm")
    (source,) = find_dicom(tmp_path, ReadSettings()).sources
    assert read_dicom(source, ReadSettings()).tumor == "GTV-1"
    save(seg(ct, tumor(ct), [segment(by="AUTOMATIC")]), tmp_path / "rt.dcm")
    (source,) = find_dicom(tmp_path, ReadSettings()).sources
    assert read_dicom(source, ReadSettings()).tumor == "Nodule"


def double_references(data: Dataset) -> None:
    """The same images referred to under two series (highdicom issue 370)."""
    again = Dataset()
    again.SeriesInstanceUID = generate_uid()
    again.ReferencedInstanceSequence = data.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    data.ReferencedSeriesSequence.append(again)


def no_dimensions(data: Dataset) -> None:
    del data.DimensionIndexSequence
    del data.DimensionOrganizationSequence
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.FrameContentSequence


def no_positions(data: Dataset) -> None:
    """Frames say only which image they were drawn on."""
    double_references(data)
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    shared = data.SharedFunctionalGroupsSequence[0]
    del shared.PlaneOrientationSequence
    del shared.PixelMeasuresSequence


def no_segment_numbers(data: Dataset) -> None:
    double_references(data)
    for group in (*data.SharedFunctionalGroupsSequence, *data.PerFrameFunctionalGroupsSequence):
        if "SegmentIdentificationSequence" in group:
            del group.SegmentIdentificationSequence


def no_segment_codes(data: Dataset) -> None:
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentAlgorithmType", "SegmentLabel"):
        delattr(data.SegmentSequence[0], keyword)


@pytest.mark.parametrize(
    "bend",
    [double_references, no_dimensions, no_positions, no_segment_numbers, no_segment_codes],
    ids=lambda f: f.__name__,
)
def test_early_slicer(tmp_path: Path, bend: Callable[[Dataset], None], caplog: pytest.LogCaptureFixture) -> None:
    """What highdicom refuses is read with pydicom, and said so."""
    ct = example_ct()
    data = bent(seg(ct, tumor(ct)), bend, tmp_path)
    with pytest.raises(Exception, match=r".+"):
        highdicom.seg.Segmentation.from_dataset(data).get_volume()
    with caplog.at_level(logging.WARNING, logger="radiogenesis"):
        scan = read(tmp_path / "all", ct, data)
    np.testing.assert_array_equal(scan.tumor_mask, tumor(ct))
    assert "read with pydicom, because highdicom refused it" in scan.acquisition.chosen_because
    assert "read with pydicom" in caplog.text


def bent(data: Dataset, bend: Callable[[Dataset], None], folder: Path) -> Dataset:
    plain = dcmread(save(data, folder / "plain" / "seg.dcm"))
    bend(plain)
    return plain


def test_early_slicer_fractional(tmp_path: Path) -> None:
    ct = example_ct()
    weights = np.zeros(ct.hu.shape, np.float32)
    weights[2, 5, 5:9] = [0.1, 0.3, 0.6, 1.0]
    data = bent(seg(ct, weights, kind="FRACTIONAL"), double_references, tmp_path)
    assert read(tmp_path / "all", ct, data).tumor_mask.sum() == 2


def test_early_slicer_several_segments(tmp_path: Path) -> None:
    ct = example_ct()
    both = several(ct, Lung=False, Nodule=True)
    scan = read(tmp_path / "told", ct, bent(both, double_references, tmp_path))
    assert set(np.nonzero(scan.tumor_mask)[0]) == {2}
    line = refusal(tmp_path / "untold", ct, bent(both, no_segment_numbers, tmp_path))
    assert "frame 1 of the SEG does not say to which segment it belongs" in line


def test_early_slicer_without_any_position(tmp_path: Path) -> None:
    def bend(data: Dataset) -> None:
        no_positions(data)
        for group in data.PerFrameFunctionalGroupsSequence:
            del group.DerivationImageSequence

    ct = example_ct()
    line = refusal(tmp_path / "all", ct, bent(seg(ct, tumor(ct)), bend, tmp_path))
    assert "has neither a position nor a source image in the CT series" in line


def test_off_plane(tmp_path: Path) -> None:
    """The frames lie between the CT's slices."""
    ct = example_ct()
    shifted = example_ct(
        origin=(-10, -20, 31),
        frame_of_reference=ct.frame_of_reference,
        series_uid=ct.series_uid,
        study_uid=ct.study_uid,
    )
    line = refusal(tmp_path, ct, seg(shifted, tumor(ct)))
    assert "seg.dcm: the SEG does not fall on the CT's planes: a frame at (-10.00, -20.00, " in line
    assert "lies 0.50 voxels off the CT's 2.000 x 0.750 x 0.750 mm" in line


@pytest.mark.parametrize(
    ("spacing", "slices", "line"),
    [((2.0, 1.5, 1.5), 6, "does not fall on the CT's planes"), ((4.0, 0.75, 0.75), 3, "every second plane")],
)
def test_coarser_grid(tmp_path: Path, spacing: tuple[float, float, float], slices: int, line: str) -> None:
    ct = example_ct()
    coarse = Ct(
        hu=ct.hu[:slices, :12, :10],
        spacing=spacing,
        frame_of_reference=ct.frame_of_reference,
        series_uid=ct.series_uid,
        study_uid=ct.study_uid,
    )
    mask = np.zeros(coarse.hu.shape, bool)
    mask[:, 3:6, 3:6] = True
    assert line in refusal(tmp_path, ct, seg(coarse, mask))


def test_cropped_and_turned_grid(tmp_path: Path) -> None:
    """A SEG may hold a part of the CT's grid, in coronal frames: every pixel is a voxel of the CT."""
    ct = example_ct()
    part = highdicom.Volume.from_components(
        array=np.ones((2, 3, 4), np.uint8),
        spacing=[0.75, 2.0, 0.75],
        position=ct.points(np.array([4.0, 5.0, 6.0])),
        direction=np.column_stack([[0, 1, 0], [0, 0, -1], [1, 0, 0]]),  # planes to the back, rows down, columns to left
        coordinate_system="PATIENT",
        frame_of_reference_uid=ct.frame_of_reference,
    )
    expected = np.zeros(ct.hu.shape, bool)
    expected[2:5, 5:7, 6:10] = True
    np.testing.assert_array_equal(read(tmp_path, ct, seg(ct, part)).tumor_mask, expected)


def test_outside_the_ct(tmp_path: Path) -> None:
    ct = example_ct()
    whole = example_ct(9, frame_of_reference=ct.frame_of_reference, series_uid=ct.series_uid, study_uid=ct.study_uid)
    mask = np.zeros(whole.hu.shape, bool)
    mask[4:9, 5:9, 5:9] = True
    assert "reaches outside the CT" in refusal(tmp_path, ct, seg(whole, mask))


def test_another_frame_of_reference(tmp_path: Path) -> None:
    ct = example_ct()
    data = bent(seg(ct, tumor(ct)), lambda one: setattr(one, "FrameOfReferenceUID", generate_uid()), tmp_path)
    assert "the outline refers to another frame of reference" in refusal(tmp_path / "all", ct, data)


def test_empty(tmp_path: Path) -> None:
    ct = example_ct()

    def erase(data: Dataset) -> None:
        data.PixelData = pack_bits(np.zeros(int(data.NumberOfFrames) * data.Rows * data.Columns, np.uint8))

    data = bent(seg(ct, tumor(ct)), erase, tmp_path)
    assert "segment 'Nodule' is empty" in refusal(tmp_path / "all", ct, data)


def test_truncated(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    path = save(seg(ct, tumor(ct)), tmp_path / "seg.dcm")
    path.write_bytes(path.read_bytes()[:-60])
    (source,) = find_dicom(tmp_path, ReadSettings()).sources
    with pytest.raises(ScanError, match=r"an outline could not be read: .*seg\.dcm; copy it again"):
        read_dicom(source, ReadSettings())
