"""Contours to voxels: against analytic areas and against scikit-image, on grids of any orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from radiogenesis.cohort.dicom.folder import ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.dicom.rtstruct import fill_even_odd
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError

Rois = dict[str, list[NDArray[np.float64]]]


def big_ct(**changes: object) -> Ct:
    return Ct(hu=np.full((6, 80, 70), -800, np.int16), **changes)  # type: ignore[arg-type]


def read(folder: Path, ct: Ct, rois: Rois, **settings: object) -> Scan:
    ct.write(folder)
    save(rtstruct(ct, rois), folder / "rt.dcm")
    chosen = ReadSettings(**settings)  # type: ignore[arg-type]
    (source,) = find_dicom(folder, chosen).sources
    return read_dicom(source, chosen)


def refusal(folder: Path, ct: Ct, rois: Rois, **settings: object) -> str:
    with pytest.raises(ScanError) as caught:
        read(folder, ct, rois, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param((1, 0, 0, 0, 1, 0), id="axial"),
        pytest.param((1, 0, 0, 0, 0, -1), id="coronal"),
        pytest.param((1, 0, 0, 0, np.cos(0.2), np.sin(0.2)), id="oblique"),
    ],
)
def test_circle_has_its_analytic_volume(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    ct = big_ct(orientation=orientation)
    scan = read(tmp_path, ct, {"GTV-1": [circle(ct, z, (40.3, 35.6), 25) for z in (1, 2, 3)]})
    expected_ml = 3 * np.pi * (25 * 0.75) ** 2 * 2.0 / 1000
    assert scan.volume_ml("GTV-1") == pytest.approx(expected_ml, rel=0.005)
    planes, rows, columns = np.nonzero(scan.tumor_mask)
    assert set(planes) == {1, 2, 3}
    assert (rows.mean(), columns.mean()) == pytest.approx((40.3, 35.6), abs=0.05)


def test_ring_and_island(tmp_path: Path) -> None:
    """An inner contour is a hole, and one inside the hole is tumor again."""
    ct = big_ct()
    radii = (30, 20, 10)
    scan = read(tmp_path, ct, {"GTV-1": [circle(ct, 2, (40, 35), radius) for radius in radii]})
    expected = np.pi * (30**2 - 20**2 + 10**2)
    assert scan.tumor_mask.sum() == pytest.approx(expected, rel=0.01)
    assert scan.tumor_mask[2, 40, 35]
    assert not scan.tumor_mask[2, 40, 50]
    assert scan.tumor_mask[2, 40, 60]


def test_keyhole_is_a_ring(tmp_path: Path) -> None:
    """One contour that runs round, through a channel of no width, and back round the hole (DICOM PS3.3 C.8.8.6.3)."""
    ct = big_ct()
    outer, inner = circle(ct, 2, (40, 35), 30), circle(ct, 2, (40, 35), 15)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner[-1:], inner, inner[-1:], outer[:1]])
    scan = read(tmp_path, ct, {"GTV-1": [keyhole]})
    assert scan.tumor_mask.sum() == pytest.approx(np.pi * (30**2 - 15**2), rel=0.01)


@pytest.mark.parametrize("again", ["same", "reversed", "other start", "point twice", "a little off"])
def test_a_contour_written_twice_does_not_erase_itself(tmp_path: Path, again: str) -> None:
    """LUNG1-001 holds ROIs with every contour twice, LUNG1-002 contours with one point more than their twin."""
    ct = big_ct()
    once = circle(ct, 2, (40, 35), 20)
    twin = {
        "same": once,
        "reversed": once[::-1],
        "other start": np.roll(once, 7, axis=0),
        "point twice": np.concatenate([once[:1], once]),
        "a little off": circle(ct, 2, (40.1, 35.1), 20),
    }[again]
    scan = read(tmp_path, ct, {"GTV-1": [once, circle(ct, 2, (40, 35), 8), twin]})
    assert scan.tumor_mask.sum() == pytest.approx(np.pi * (20**2 - 8**2), rel=0.02)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param([19.6], id="a third of a pixel inside"),
        pytest.param([19.5, 19.0, 18.5, 18.0, 17.5], id="many times"),
        pytest.param([18.8], id="a pixel inside"),
    ],
)
@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_redrawn_a_little_inside_is_no_hole(tmp_path: Path, again: list[float], kind: str) -> None:
    ct = big_ct()
    data = rtstruct(ct, {"GTV-1": [circle(ct, 2, (40.3, 35.4), radius) for radius in (20, *again)]})
    for contour in data.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = kind
    ct.write(tmp_path)
    save(data, tmp_path / "rt.dcm")
    scan = read_dicom(find_dicom(tmp_path, ReadSettings()).sources[0], ReadSettings())
    assert scan.tumor_mask.sum() == pytest.approx(np.pi * 20**2, rel=0.01)
    told = sum("taken for another one redrawn: they lie within 1.5 pixels of it" in remark for remark in scan.remarks)
    assert told == (again != [19.6])  # where they share 95 % of their area, as ever


def test_a_contour_redrawn_with_few_points_is_no_hole(tmp_path: Path) -> None:
    """An octagon in its circle shares 90 % of it."""
    ct = big_ct()
    rois = {"GTV-1": [circle(ct, 2, (40.3, 35.4), 18), circle(ct, 2, (40.3, 35.4), 18, points=8)]}
    assert read(tmp_path, ct, rois).tumor_mask.sum() == pytest.approx(np.pi * 18**2, rel=0.01)


@pytest.mark.parametrize(("outer", "inner", "off"), [(10, 8, 0), (20, 17, 2.9), (4, 2, 0)])
def test_a_cavity_with_a_thin_wall_stays_one(tmp_path: Path, outer: float, inner: float, off: float) -> None:
    """Walls of two pixels; and one that is thin on one side and thick on the other."""
    ct = big_ct()
    rois = {"GTV-1": [circle(ct, 2, (40.3, 35.4), outer), circle(ct, 2, (40.3, 35.4 + off), inner)]}
    scan = read(tmp_path, ct, rois)
    assert scan.tumor_mask.sum() == pytest.approx(np.pi * (outer**2 - inner**2), rel=0.06)
    assert scan.remarks == ()


def test_contours_that_are_not_closed_are_told(tmp_path: Path) -> None:
    ct = big_ct()
    data = rtstruct(ct, {"GTV-1": [circle(ct, z, (40, 35), 20) for z in (1, 2, 3, 4)]})
    data.ROIContourSequence[0].ContourSequence[3].ContourGeometricType = "OPEN_PLANAR"
    ct.write(tmp_path)
    save(data, tmp_path / "rt.dcm")
    scan = read_dicom(find_dicom(tmp_path, ReadSettings()).sources[0], ReadSettings())
    assert scan.remarks == ("1 contour left out, not closed (OPEN_PLANAR)",)


def test_a_forgotten_plane_is_interpolated(tmp_path: Path) -> None:
    ct = big_ct()
    scan = read(tmp_path, ct, {"GTV-1": [circle(ct, z, (40.3, 35.4), 20) for z in (0, 1, 3, 4, 5)]})
    assert scan.tumor_mask.sum() == pytest.approx(6 * np.pi * 20**2, rel=0.01)
    assert scan.remarks == ("1 plane without contour inside the lesion interpolated",)


def test_crossing_contours_are_united_unless_they_say_xor(tmp_path: Path) -> None:
    ct = big_ct()
    left, right = circle(ct, 2, (40.3, 25.4), 12), circle(ct, 2, (40.3, 37.4), 12)
    lens = 12**2 * (2 * np.pi / 3 - np.sqrt(3) / 2)  # two circles, each through the other's center
    united = read(tmp_path / "closed", ct, {"GTV-1": [left, right]}).tumor_mask
    assert united.sum() == pytest.approx(2 * np.pi * 12**2 - lens, rel=0.01)

    data = rtstruct(ct, {"GTV-1": [left, right]})
    for contour in data.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
    ct.write(tmp_path / "xor")
    save(data, tmp_path / "xor" / "rt.dcm")
    (source,) = find_dicom(tmp_path / "xor", ReadSettings()).sources
    exclusive = read_dicom(source, ReadSettings()).tumor_mask
    assert exclusive.sum() == pytest.approx(2 * (np.pi * 12**2 - lens), rel=0.01)


def test_pattern_unites_rois_and_is_recorded(tmp_path: Path) -> None:
    ct = big_ct()
    left, right = circle(ct, 2, (40, 20), 10), circle(ct, 2, (40, 30), 10)  # they overlap: united, not even-odd
    scan = read(tmp_path, ct, {"GTV-1": [left], "gtv-2": [right], "Lung": [left]}, roi="GTV*")
    assert scan.tumor == "GTV-1+gtv-2"
    assert scan.tumor_mask[2, 40, 25]
    assert scan.acquisition.chosen_because == "united 'GTV-1', 'gtv-2'"


@pytest.mark.parametrize("roi", ["GTV[1]", "gtv[1]"])
def test_a_name_with_brackets_can_be_given(tmp_path: Path, roi: str) -> None:
    ct = big_ct()
    scan = read(tmp_path, ct, {"GTV[1]": [circle(ct, 2, (40, 35), 20)], "GTV1": [circle(ct, 3, (40, 35), 20)]}, roi=roi)
    assert scan.tumor == "GTV[1]"


def test_touched_edges_add_the_voxels_on_the_contour(tmp_path: Path) -> None:
    """A circle passes through about 8/pi voxels per two pixels of radius: 8 r in all (its taxicab length)."""
    ct = big_ct()
    rois = {"GTV-1": [circle(ct, 2, (40.3, 35.6), 25, points=800)]}
    inside = read(tmp_path / "a", ct, rois).tumor_mask
    touched = read(tmp_path / "b", ct, rois, contour_edge="touched").tumor_mask
    assert not (inside & ~touched).any()
    distance = np.hypot(*(np.mgrid[:80, :70] - np.array([40.3, 35.6])[:, None, None]))
    assert (distance[touched[2] & ~inside[2]] <= 25 + np.sqrt(0.5)).all()
    assert touched.sum() - inside.sum() == pytest.approx(8 * 25 / 2, rel=0.1)


@pytest.mark.filterwarnings("ignore:The value for the data element:UserWarning")  # what this test wants pydicom to do
def test_contours_longer_than_a_ds_may_be(tmp_path: Path) -> None:
    """Above 64 kB, explicit VR files hold contour data as UN."""
    ct = big_ct()
    scan = read(tmp_path, ct, {"GTV-1": [circle(ct, 2, (40.3, 35.6), 25, points=4000)]})
    assert b"UN" in (tmp_path / "rt.dcm").read_bytes()
    assert scan.tumor_mask.sum() == pytest.approx(np.pi * 25**2, rel=0.005)


def test_missing_roi_lists_those_there_are(tmp_path: Path) -> None:
    ct = big_ct()
    contours = [circle(ct, 2, (40, 35), 20)]
    line = refusal(tmp_path, ct, {"Lung L": contours, "Heart": contours})
    assert line.endswith("rt.dcm: no ROI 'GTV-1' in the RTSTRUCT; it has 'Lung L', 'Heart'; set --roi")


def test_empty_outlines(tmp_path: Path) -> None:
    ct = big_ct()
    assert "ROI 'GTV-1' is empty" in refusal(tmp_path / "none", ct, {"GTV-1": []})
    speck = circle(ct, 2, (40.5, 35.5), 0.2)
    assert "ROI 'GTV-1' is empty" in refusal(tmp_path / "speck", ct, {"GTV-1": [speck]})
    outline = rtstruct(ct, {"GTV-1": [circle(ct, 2, (40, 35), 20)]})
    outline.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    ct.write(tmp_path / "point")
    save(outline, tmp_path / "point" / "rt.dcm")
    (source,) = find_dicom(tmp_path / "point", ReadSettings()).sources
    with pytest.raises(ScanError, match=r"ROI 'GTV-1' is empty: no closed contour"):
        read_dicom(source, ReadSettings())


@pytest.mark.parametrize(("z", "refused"), [(2.05, False), (2.3, True), (2.5, True)])
def test_contours_off_every_plane(tmp_path: Path, z: float, refused: bool) -> None:
    ct = big_ct()
    rois = {"GTV-1": [circle(ct, z, (40, 35), 20)]}
    if refused:
        off = abs(z - round(z)) * 2
        assert f"lies {off:.2f} mm off the nearest plane of the CT" in refusal(tmp_path, ct, rois)
    else:
        assert read(tmp_path, ct, rois).tumor_mask[2].any()


def test_a_tilted_contour_is_refused(tmp_path: Path) -> None:
    ct = big_ct()
    contour = circle(ct, 2, (40, 35), 20)
    contour[:, 2] += 0.1 * (contour[:, 0] - contour[:, 0].mean())
    assert "off the nearest plane" in refusal(tmp_path, ct, {"GTV-1": [contour]})


@pytest.mark.parametrize(("z", "center"), [(7, (40, 35)), (-1, (40, 35)), (2, (40, 65)), (2, (5, 35))])
def test_contours_outside_the_ct(tmp_path: Path, z: float, center: tuple[float, float]) -> None:
    ct = big_ct()
    assert "lies outside the CT" in refusal(tmp_path, ct, {"GTV-1": [circle(ct, z, center, 20)]})


def test_contours_on_every_second_plane(tmp_path: Path) -> None:
    ct = big_ct()
    line = refusal(tmp_path, ct, {"GTV-1": [circle(ct, z, (40, 35), 20) for z in (0, 2, 4)]})
    assert "lies on every second plane of the CT only" in line


def test_a_ct_with_other_planes_than_the_outline(tmp_path: Path) -> None:
    """The same frame of reference, another series: its planes lie between the contours."""
    ct = big_ct()
    other = example_ct(6, frame_of_reference=ct.frame_of_reference, origin=(-10, -20, 31))
    other.write(tmp_path)
    save(rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]}), tmp_path / "rt.dcm")
    (source,) = find_dicom(tmp_path, ReadSettings()).sources
    with pytest.raises(ScanError, match=r"lies 1.00 mm off the nearest plane"):
        read_dicom(source, ReadSettings())


coordinate = st.floats(-5, 35, allow_subnormal=False)
polygons = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12).map(np.array)


@settings(max_examples=200, deadline=None)
@given(polygons)
def test_filling_agrees_with_scikit_image(polygon: NDArray[np.float64]) -> None:
    """Any polygon, also self-crossing and leaving the image; pixel centers within 1e-6 of an edge may go either way."""
    mine, theirs = fill_even_odd([polygon], (30, 28)), polygon2mask((30, 28), polygon)
    for y, x in zip(*np.nonzero(mine != theirs), strict=True):
        assert _distance(np.array([y, x]), polygon) < 1e-6


def _distance(point: NDArray[np.float64], polygon: NDArray[np.float64]) -> float:
    start, edges = polygon, np.roll(polygon, -1, axis=0) - polygon
    length = np.maximum((edges**2).sum(axis=1), 1e-300)
    share = (((point - start) * edges).sum(axis=1) / length).clip(0, 1)
    return float(np.linalg.norm(start + share[:, None] * edges - point, axis=1).min())


def test_neighbors_share_no_pixel() -> None:
    """Polygons that share edges through pixel centers tile the plane."""
    left, right = (np.array([[1, x], [1, x + 4], [6, x + 4], [6, x]], float) for x in (2, 6))
    a, b = fill_even_odd([left], (10, 12)), fill_even_odd([right], (10, 12))
    assert not (a & b).any()
    assert (a | b).sum() == 5 * 8
