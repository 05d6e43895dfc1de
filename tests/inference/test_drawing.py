"""Drawings on disk: whole in every format, the same when read back, marked as synthetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.image import imread
from numpy.typing import NDArray
from pydicom import dcmread

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import ExpressionError, OutputError, RunError, ScanError, SettingError
from radiogenesis.inference import drawing
from radiogenesis.inference.drawing import DrawSettings
from radiogenesis.methods.fusion_gan import PRESETS
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.testing import train_toy
from radiogenesis.training import preparation
from radiogenesis.training.run import Run

PAPER = PRESETS["paper"] | {
    "epochs": 0, "steps": 2, "batch": 4, "width": 2, "discriminator_width": 2, "code": 4, "hidden": 4
}  # fmt: skip
ALL_FORMATS = DrawSettings(per_patient=2, seed=3, formats=("png", "npz", "nifti", "dicom"))


@pytest.fixture(scope="module")
def run(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("fusion-gan", discs, tmp_path_factory.mktemp("runs") / "gan", **PAPER)


@pytest.fixture(scope="module")
def drawn(run: Run, discs: Cohort) -> Synthesis:
    """Two lesions for each held-out patient; their masks a disc each, whatever two steps of training draw."""
    made = drawing.draw(run, discs, discs.expression, run.split.test, ALL_FORMATS)
    y, x = np.mgrid[:32, :32] - np.array([12, 18])[:, None, None]
    mask = np.where(np.hypot(y, x) < 5, 0.5, 0.4).astype(np.float32)
    return replace(made, mask=np.broadcast_to(mask, made.mask.shape).copy())


def test_draws_as_many_as_asked_on_backgrounds_of_held_out_patients(run: Run, discs: Cohort, drawn: Synthesis) -> None:
    assert drawn.patient == tuple(name for name in run.split.test for _ in range(2))
    assert drawn.image.shape == (2 * len(run.split.test), 32, 32)
    assert set(discs.background_patient[list(drawn.background_index)]) <= set(run.split.test)
    np.testing.assert_array_equal(drawn.background, discs.background_image[list(drawn.background_index)])
    assert drawn.seed == 3
    pairs = list(zip(drawn.background_index[::2], drawn.background_index[1::2], strict=True))
    assert all(a != b for a, b in pairs)  # each on a background of its own


def test_patients_who_were_trained_on_are_drawn_as_the_method_was_given_them(
    run: Run, discs: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[NDArray[Any]] = []
    synthesizer = run.synthesizer()

    class Watched:
        def synthesize(self, backgrounds: NDArray[Any], expression: NDArray[Any], *, seed: int) -> Synthesis:
            given.append(expression)
            return synthesizer.synthesize(backgrounds, expression, seed=seed)

    monkeypatch.setattr(Run, "synthesizer", lambda self: Watched())
    monkeypatch.setattr(preparation, "genes_of_trained", lambda method, genes: genes + 7)
    patients = [run.split.test[0], run.split.train[0]]
    drawing.draw(run, discs, discs.expression, patients, DrawSettings(per_patient=1))
    plain = run.scaler.transform(discs.expression, patients)
    np.testing.assert_allclose(given[0], plain + np.array([[0], [7]]))


def test_the_same_seed_draws_the_same(run: Run, discs: Cohort) -> None:
    first, again, other = (
        drawing.draw(run, discs, discs.expression, ["P-00"], DrawSettings(per_patient=3, seed=seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert first.background_index == again.background_index
    assert not np.array_equal(first.image, other.image)


def test_more_drawings_than_backgrounds_use_them_again(run: Run, discs: Cohort) -> None:
    made = drawing.draw(run, discs, discs.expression, ["P-00"], DrawSettings(per_patient=5), backgrounds=[7])
    assert made.background_index == (7,) * 5
    assert not np.array_equal(made.image[0], made.image[1])  # other noise


def test_genes_in_another_order_draw_the_same(run: Run, discs: Cohort) -> None:
    order = np.random.default_rng(0).permutation(discs.expression.n_vars)
    mixed: AnnData = discs.expression[::-1, order].copy()
    settings = DrawSettings(per_patient=1)
    expected = drawing.draw(run, discs, discs.expression, ["P-01", "P-02"], settings)
    got = drawing.draw(run, discs, mixed, ["P-01", "P-02"], settings)
    np.testing.assert_array_equal(got.image, expected.image)


@pytest.mark.pictures
def test_png_and_npz(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    settings = DrawSettings(per_patient=2, seed=3, rows=4)
    drawing.write(drawn, out, run, discs, settings)
    assert {p.name for p in out.iterdir()} == {"grid.png", "synthesis.npz", "synthesis.json"}
    # 4 x 4 pictures of 1.2 inches with their gap, labels above (0.3) and beside (0.92), 128 dots per inch
    expected = [(0.3 + 4 * 1.2 + 0.05) * 128, (0.92 + 4 * 1.2 + 0.05) * 128]
    assert imread(out / "grid.png").shape[:2] == pytest.approx(expected, abs=1)
    with np.load(out / "synthesis.npz", allow_pickle=False) as arrays:
        for name in ("image", "mask", "weight", "background"):
            np.testing.assert_array_equal(arrays[name], getattr(drawn, name))
        assert tuple(arrays["patient"]) == drawn.patient
        assert tuple(arrays["background_index"]) == drawn.background_index
        assert arrays["pixel_mm"] == pytest.approx(60 / 32)
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_the_record_tells_where_each_drawing_comes_from(
    run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path
) -> None:
    drawing.write(drawn, tmp_path / "out", run, discs, DrawSettings(per_patient=2, seed=3))
    record = json.loads((tmp_path / "out" / "synthesis.json").read_text())
    assert record["method"] == "fusion-gan"
    assert record["cohort_digest"] == discs.digest
    assert record["settings"]["seed"] == 3
    assert [each["patient"] for each in record["drawings"]] == list(drawn.patient)
    assert [each["background"] for each in record["drawings"]] == list(drawn.background_index)
    names = [each["name"] for each in record["drawings"]]
    assert len(set(names)) == len(names)


def test_nifti_lies_where_it_should(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    drawing.write(drawn, tmp_path / "out", run, discs, DrawSettings(formats=("nifti",)))
    names = drawing.names_of(drawn)
    assert len(list((tmp_path / "out" / "nifti").iterdir())) == 2 * len(names)
    for i, name in enumerate(names):
        image = nib.load(tmp_path / "out" / "nifti" / f"{name}_image.nii.gz")
        mask = nib.load(tmp_path / "out" / "nifti" / f"{name}_mask.nii.gz")
        np.testing.assert_allclose(image.header.get_zooms(), (60 / 32, 60 / 32, 1.0))  # the background's scan: 1 mm
        np.testing.assert_allclose(image.affine, mask.affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0].T, np.round(drawn.image[i]))
        np.testing.assert_array_equal(np.asarray(mask.dataobj)[:, :, 0].T, drawn.mask[i] >= 0.5)
        middle = image.affine @ [15.5, 15.5, 0, 1]  # centered at the origin
        np.testing.assert_allclose(middle[:3], 0, atol=1e-5)
        # NIfTI is RAS: columns run to the left, rows to the back, as a radiologist sees an axial slice.
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_dicom_comes_back_and_says_that_it_is_synthetic(
    run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path
) -> None:
    drawing.write(drawn, tmp_path / "out", run, discs, ALL_FORMATS)
    for i, name in enumerate(drawing.names_of(drawn)):
        folder = tmp_path / "out" / "dicom" / name
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == ["ct-0001.dcm", "seg.dcm"]
        for path in files:
            header = dcmread(path)
            assert header.SyntheticData == "YES"
            assert "SYNTHETIC" in header.SeriesDescription
            assert header.PatientID == f"SYNTHETIC-{drawn.patient[i]}"
            assert "Research use only" in header.ImageComments
        # Read with pydicom and highdicom: the cohort's own reader wants whole scans, with lungs.
        ct, seg = dcmread(files[0]), highdicom.seg.segread(files[1])
        np.testing.assert_array_equal(ct.pixel_array * ct.RescaleSlope + ct.RescaleIntercept, np.round(drawn.image[i]))
        np.testing.assert_array_equal(seg.pixel_array.squeeze(), drawn.mask[i] >= 0.5)
        assert ct.SOPInstanceUID in str(seg.ReferencedSeriesSequence)
        np.testing.assert_allclose([ct.SliceThickness, *ct.PixelSpacing], [1, 60 / 32, 60 / 32])
        np.testing.assert_allclose(ct.ImagePositionPatient, [-30 + 15 / 16, -30 + 15 / 16, 0])
        np.testing.assert_array_equal(ct.ImageOrientationPatient, [1, 0, 0, 0, 1, 0])


@pytest.mark.parametrize("changed", ["genes", "mask", "seed", "run"])
def test_other_drawings_have_other_uids(
    changed: str, run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path
) -> None:
    """A UID stands for one image only: not for what other genes, another seed, or another training draw there."""
    one = replace(
        drawn, **{name: getattr(drawn, name)[:1] for name in ("image", "mask", "weight", "background")},
        patient=drawn.patient[:1], background_index=drawn.background_index[:1],
    )  # fmt: skip
    again, other = run, ALL_FORMATS
    if changed == "seed":
        other = replace(ALL_FORMATS, seed=4)
    elif changed == "run":  # of the same name, elsewhere
        again = train_toy("fusion-gan", discs, tmp_path / run.path.name, seed=1, **PAPER)
    drawing.write(one, tmp_path / "a", run, discs, ALL_FORMATS)
    image = one.image + (changed == "genes")
    mask = np.roll(one.mask, 1, axis=1) if changed == "mask" else one.mask
    drawing.write(replace(one, image=image, mask=mask, seed=other.seed), tmp_path / "b", again, discs, other)
    for file in ("ct-0001.dcm", "seg.dcm"):
        first, second = (dcmread(next((tmp_path / name / "dicom").rglob(file))) for name in "ab")
        assert first.SOPInstanceUID != second.SOPInstanceUID
        assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_the_same_drawing_has_the_same_uids(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    written = []
    for name in "ab":
        drawing.write(drawn, tmp_path / name, run, discs, ALL_FORMATS)
        written.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.dcm"))])
    assert written[0] == written[1]


def test_a_long_patient_id_can_be_written(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    long = replace(drawn, patient=("AMC-0123456789/" * 2 + "x",) * len(drawn.patient))
    drawing.write(long, tmp_path / "out", run, discs, ALL_FORMATS)
    assert len(list((tmp_path / "out" / "dicom").iterdir())) == len(long.patient)


def test_a_drawing_without_a_lesion_has_an_empty_mask_and_no_seg(
    run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path
) -> None:
    drawing.write(replace(drawn, mask=np.zeros_like(drawn.mask)), tmp_path / "out", run, discs, ALL_FORMATS)
    assert not list((tmp_path / "out").rglob("seg.dcm"))
    assert len(list((tmp_path / "out").rglob("ct-0001.dcm"))) == len(drawn.patient)


def test_nothing_is_left_behind_when_writing_fails(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    broken = replace(drawn, image=drawn.image - 3000)  # below air: no DICOM can hold it
    with pytest.raises(ScanError, match="below air"):
        drawing.write(broken, tmp_path / "out", run, discs, replace(ALL_FORMATS, formats=("npz", "dicom")))
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(run: Run, discs: Cohort, drawn: Synthesis, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="already exists; choose another name"):
        drawing.write(drawn, tmp_path / "out", run, discs, ALL_FORMATS)
    assert not list((tmp_path / "out").iterdir())


def test_unknown_patients_are_named(run: Run, discs: Cohort) -> None:
    with pytest.raises(SettingError, match="no expression for patient P-99, X"):
        drawing.draw(run, discs, discs.expression, ["P-00", "P-99", "X"], DrawSettings())


@pytest.mark.parametrize("rows", [[], [-1], [0, 48]])
def test_unknown_backgrounds_are_refused(rows: list[int], run: Run, discs: Cohort) -> None:
    with pytest.raises(SettingError, match="backgrounds must be between 0 and 47"):
        drawing.draw(run, discs, discs.expression, ["P-00"], DrawSettings(), backgrounds=rows)


def test_missing_genes_are_named(run: Run, discs: Cohort) -> None:
    with pytest.raises(ExpressionError, match="2 of the model's 20 genes are not in the table: G0, G1"):
        drawing.draw(run, discs, discs.expression[:, 2:].copy(), ["P-00"], DrawSettings())


def test_a_method_that_does_not_draw_is_refused(discs: Cohort, alignment: Run) -> None:
    with pytest.raises(RunError, match="the method alignment does not draw; give a run of fusion-gan"):
        drawing.draw(alignment, discs, discs.expression, ["P-00"], DrawSettings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"per_patient": 0}, "per_patient 0"), ({"rows": 0}, "rows 0"), ({"formats": ()}, "formats must name")],
)
def test_refused_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawSettings(**changes)  # type: ignore[arg-type]
