"""How a build ends: never with an empty or a silently smaller cohort, and tidied up whenever it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from dicom_files import circle, example_ct, rtstruct, save
from tiny_cohorts import write_chest, write_table

from radiogenesis.cohort import build as building
from radiogenesis.cohort import volumes
from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort, find_scans
from radiogenesis.cohort.dicom import headers
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.patient_parts import Outcome
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import InputError, OutputError, ScanError
from radiogenesis.work_folder import alone_in

SAMPLING = SamplingSettings(pixels=16, slices_per_center=2)
ONE = BuildSettings(workers=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for patient in ("P1", "P2"):
        write_chest(folder, patient)
    return folder


def outlined_cts(folder: Path, patients: list[str]) -> None:
    """Small CTs with an RTSTRUCT each; there is no lung in them."""
    for patient in patients:
        ct = example_ct(patient=patient)
        ct.write(folder / patient)
        save(rtstruct(ct, {"GTV-1": [circle(ct, z, (10, 9), 4) for z in (2, 3)]}), folder / patient / "rt.dcm")


def build(raw: Path, out: Path, tables: Tables | None = None) -> Cohort:
    return build_cohort(raw, out, tables, sampling=SAMPLING, build=ONE)


def test_when_nobody_is_left_there_is_no_cohort_but_the_reason(tmp_path: Path) -> None:
    outlined_cts(tmp_path / "raw", ["P1", "P2"])
    slices = sorted((tmp_path / "raw" / "P2").glob("00*.dcm"))
    slices[2].unlink()
    for name in ("P3", "P4", "P5"):
        example_ct(1, patient=name).write(tmp_path / "raw" / name)
    with pytest.raises(InputError) as caught:
        build_cohort(tmp_path / "raw", tmp_path / "c", read=ReadSettings(roi="Tumor"), sampling=SAMPLING, build=ONE)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'raw'}: none of its 5 patients can be used: the CT series has one slice")
    assert "; give the whole series (3: P3, P4, P5); " in line
    assert "no ROI 'Tumor' in the RTSTRUCT; it has 'GTV-1'; set --roi (1: P1)" in line
    assert line.endswith("c.parts is kept)")
    assert len(list((tmp_path / "c.parts").glob("*.npz"))) == 5
    assert not (tmp_path / "c").exists()


def test_an_error_of_the_system_is_not_the_end_of_a_patient(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_part = building.patient_parts.make_part

    def full_for_p2(source: Source, *rest: object) -> Outcome:
        if source.patient == "P2":
            raise OSError(28, "No space left on device")
        return make_part(source, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as full:
        full.setattr(building.patient_parts, "make_part", full_for_p2)
        with pytest.raises(
            InputError, match=r"1 of 2 patients failed by an error of the system: unexpected OSError: .*P2"
        ):
            build(raw, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert [path.name[:3] for path in (tmp_path / "c.parts").glob("*.npz")] == ["P1-"]
    assert build(raw, tmp_path / "c").audit["status"].tolist() == ["in", "in"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_a_read_error_that_passes_is_not_the_end_of_a_patient(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A lost mount or want of memory put patients out for good: the cohort without them looked whole."""

    class Failing:
        def __array__(self, *_: object, **__: object) -> object:
            raise error

    opened = volumes._opened

    def fails_for_p2(path: Path) -> object:
        return SimpleNamespace(dataobj=Failing()) if path.name == "P2_image.nii.gz" else opened(path)

    with monkeypatch.context() as failing:
        failing.setattr(volumes, "_opened", fails_for_p2)
        with pytest.raises(InputError, match=r"1 of 2 patients failed by an error of the system: .*P2.*goes on"):
            build(raw, tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c.parts"]
    assert build(raw, tmp_path / "c").audit["status"].tolist() == ["in", "in"]


def test_a_file_that_cannot_be_read_now_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined_cts(tmp_path, ["P1", "P2"])
    lost, read = tmp_path / "P2" / "rt.dcm", headers._read

    def fails(path: Path, *rest: object) -> object:
        if path == lost:
            raise OSError(5, "Input/output error")
        return read(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(headers, "_read", fails)
    with pytest.raises(ScanError, match=r"rt\.dcm: cannot be read \(Input/output error\); mend that, or move it away"):
        find_scans(tmp_path, ReadSettings())


def test_a_folder_of_the_users_own_is_never_taken_for_parts(raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "c.parts"
    own.mkdir()
    (own / "thesis.tex").touch()
    line = r"c\.parts: is there already, and is not what a stopped command left; move it away, or choose another name"
    with pytest.raises(OutputError, match=line):
        build(raw, tmp_path / "c")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d.parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"d\.parts: is there already"):
        build(raw, tmp_path / "d")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c.parts", "d.parts", "elsewhere", "thesis.tex"]


def test_what_somebody_put_beside_the_parts_stays(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr(building, "_tidy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(raw, tmp_path / "c")
    (tmp_path / "c.parts" / "notes.txt").touch()
    with alone_in(tmp_path / "c.parts"), pytest.raises(OutputError, match=r"c\.parts: another command works in it"):
        build(raw, tmp_path / "c")
    build(raw, tmp_path / "c")
    assert {"notes.txt"} <= {path.name for path in (tmp_path / "c.parts").iterdir()}
    assert not list((tmp_path / "c.parts").glob("*.npz"))


def test_a_disk_that_is_full_at_the_end_keeps_the_parts(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(building.CohortWriter, "add", full)
        with pytest.raises(OutputError, match=r"c: cannot be written \(No space left on device\); make room"):
            build(raw, tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c.parts"]
    assert len(build(raw, tmp_path / "c").patients) == 2


def test_a_file_that_vanishes_is_an_outcome(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    found = find_scans(own, ReadSettings())
    (own / "P2_image.nii.gz").unlink()
    monkeypatch.setattr(building, "find_scans", lambda *_: found)
    audit = build(own, tmp_path / "c").audit.set_index("patient")
    assert audit["status"].tolist() == ["in", "out"]
    assert audit.loc["P2", "reason"].startswith("P2_image.nii.gz: cannot be read as NIfTI")  # from the given folder


def test_relative_folders_reach_the_workers_absolute(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker on another machine, or of a scheduler started elsewhere, has another working directory."""
    shutil.copytree(raw, tmp_path / "raw")
    seen: list[Path] = []

    def remember(make: object, jobs: list[tuple[Source, Path]], build: BuildSettings) -> list[Outcome]:
        seen.extend(path for source, part in jobs for path in (*source.image_files, *source.outline_files, part))
        return [make(job) for job in jobs]  # type: ignore[operator]

    monkeypatch.setattr(building, "side_by_side", remember)
    monkeypatch.chdir(tmp_path)
    cohort = build(Path("raw"), Path("deep/../c"))
    assert len(seen) == 6
    assert all(path.is_absolute() and path.is_relative_to(tmp_path) for path in seen)
    assert cohort.path == tmp_path / "c"
    assert cohort.provenance["raw"] == "raw"


def test_what_is_skipped_is_counted_and_listed_without_paths(raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    ct = example_ct(3, patient="P9")
    for folder in ("a", "b", "c"):
        ct.write(own / folder)
    (own / "notes.txt").write_text("x")
    cohort = build(own, tmp_path / "c")
    made = cohort.provenance
    assert made["skipped"] == {"a copy of another file": 6, "not a DICOM file": 1}
    assert made["skipped_files"] == 7
    assert str(tmp_path) not in json.dumps(made)
    assert not cohort.audit["reason"].str.contains(str(tmp_path), regex=False).any()
    table = pd.read_csv(tmp_path / "c.previews" / "skipped.csv")
    assert table.to_numpy().tolist()[0] == ["raw", "b/000.dcm", "a copy of another file"]
    assert len(table) == 7


def test_interrupted_in_its_last_step_it_is_finished(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(expression=write_table(tmp_path / "e.csv", ["P1", "P2"]))
    with monkeypatch.context() as stopped:
        stopped.setattr(building, "_tidy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(raw, tmp_path / "c", tables)
    digest = Cohort.open(tmp_path / "c").digest
    assert (tmp_path / "c.parts").is_dir()
    with pytest.raises(OutputError, match="already exists"):  # another call is not this one
        build_cohort(raw, tmp_path / "c", tables, sampling=SamplingSettings(pixels=8), build=ONE)
    assert build(raw, tmp_path / "c", tables).digest == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c.previews", "e.csv"]
    assert len(list((tmp_path / "c.previews").iterdir())) == 2
    with pytest.raises(OutputError, match="already exists"):  # whole and tidy: nothing is left to be done
        build(raw, tmp_path / "c", tables)
    (tmp_path / "c.parts").mkdir()
    shutil.rmtree(tmp_path / "c")
    (tmp_path / "c").mkdir()
    with pytest.raises(OutputError, match="already exists"):  # no cohort at all
        build(raw, tmp_path / "c", tables)


def test_a_mask_beside_an_unoutlined_dicom_is_not_overlooked(tmp_path: Path) -> None:
    ct = example_ct(patient="P1")
    ct.write(tmp_path / "dicom")
    write_nifti(tmp_path / "P1_image.nii.gz", ct.hu, ct.affine)
    (source,) = find_scans(tmp_path, ReadSettings()).sources
    assert source.kind == "dicom"
    write_nifti(tmp_path / "P1_mask.nii.gz", np.ones(ct.hu.shape, bool), ct.affine)
    findings = find_scans(tmp_path, ReadSettings())
    assert [source.kind for source in findings.sources] == ["nifti"]
    assert ("dicom", "000.dcm") in [(path.parent.name, path.name) for path, _ in findings.skipped]
    outlined_cts(tmp_path, ["P1"])
    (source,) = find_scans(tmp_path, ReadSettings()).sources
    assert source.kind == "dicom"
