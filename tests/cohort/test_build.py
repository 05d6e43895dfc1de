from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from tiny_cohorts import write_chest, write_table

from radiogenesis.cohort import build as building
from radiogenesis.cohort import workers
from radiogenesis.cohort.audit import audit_table
from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort
from radiogenesis.cohort.patient_parts import Outcome, patient_rng, read_outcome
from radiogenesis.cohort.processes import Died
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import Findings, Source
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import ExpressionError, InputError, OutputError, SettingError

SAMPLING = SamplingSettings(pixels=16, slices_per_center=4)
ONE, TWO = BuildSettings(workers=1), BuildSettings(workers=2)


class Recorder:
    """A progress that remembers, and stops after so many patients."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.stop_after, self.started, self.outcomes = stop_after, [], []

    def say(self, text: str) -> None: ...

    def start(self, total: int, done: int) -> None:
        self.started.append((total, done))

    def advance(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome.patient)
        if len(self.outcomes) == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four chests: three outlined, one not; an image that is no NIfTI, and one full of air."""
    folder = tmp_path_factory.mktemp("raw")
    for patient in ("P1", "P2", "P3"):
        write_chest(folder, patient)
    write_chest(folder, "P4", outlined=False)
    (folder / "P5_image.nii.gz").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session")
def tables(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("tables")
    clinical = folder / "clinical.csv"
    clinical.write_text("id,age\nP1,60\nP8,70\n")
    return Tables(expression=write_table(folder / "e.csv", ["P1", "P2", "P9"]), clinical=clinical)


@pytest.fixture(scope="session")
def built(raw: Path, tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    out = tmp_path_factory.mktemp("built") / "cohort"
    return build_cohort(raw, out, tables, sampling=SAMPLING, build=ONE)


def test_everybody_found_anywhere_is_in_the_audit(built: Cohort) -> None:
    audit = built.audit.set_index("patient")
    assert list(audit.index) == ["P1", "P2", "P3", "P4", "P5", "P8", "P9"]
    assert audit["status"].tolist() == ["in", "in", "in", "background only", "out", "out", "out"]
    assert audit.loc["P1", "reason"] == ""
    assert audit.loc["P3", "reason"] == "no expression"
    assert audit.loc["P4", "reason"] == "nothing is outlined on the scan; no expression"
    assert "P5_image.nii.gz" in audit.loc["P5", "reason"]
    assert audit.loc["P8", "reason"] == "no scan (only clinical table)"
    assert audit.loc["P9", "reason"] == "no scan (only expression)"


def test_what_the_cohort_holds(built: Cohort) -> None:
    assert list(built.patients.index) == ["P1", "P2", "P3", "P4"]
    assert built.patients["n_backgrounds"].tolist() == [4, 4, 4, 4]
    assert built.patients["has_expression"].tolist() == [True, True, False, False]
    expected_ml = 4 / 3 * np.pi * 0.9**3
    np.testing.assert_allclose(built.patients["tumour_volume_ml"][:3], expected_ml, rtol=0.1)
    assert built.settings["sampling"]["pixels"] == 16
    assert built.provenance["verb"] == "cohort build"
    assert len(built.provenance["tables"]["expression"]["sha256"]) == 64
    tumor = built.slice_image[built.slice_mask]
    assert abs(np.percentile(tumor, 80) - 30) < 20  # its edge is mixed with lung at 3.75 mm per pixel


def test_previews_beside_and_no_work_folder(built: Cohort) -> None:
    previews = built.path.with_name("cohort.previews")
    assert sorted(path.name for path in previews.iterdir()) == ["P1.png", "P2.png", "P3.png", "P4.png"]
    assert sorted(path.name for path in built.path.parent.iterdir()) == ["cohort", "cohort.previews"]


def test_interrupted_it_goes_on_to_the_same_cohort(raw: Path, tables: Tables, built: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        build_cohort(raw, out, tables, sampling=SAMPLING, build=ONE, progress=Recorder(stop_after=2))
    assert not out.exists()
    second = Recorder()
    resumed = build_cohort(raw, out, tables, sampling=SAMPLING, build=ONE, progress=second)
    assert second.started == [(5, 2)]
    assert second.outcomes == ["P3", "P4", "P5"]
    assert resumed.digest == built.digest


def test_parts_of_other_settings_or_files_are_made_again(raw: Path, tables: Tables, tmp_path: Path) -> None:
    def start(folder: Path, sampling: SamplingSettings) -> tuple[int, int]:
        recorder = Recorder(stop_after=1)
        with pytest.raises(KeyboardInterrupt):
            build_cohort(folder, tmp_path / "c", tables, sampling=sampling, build=ONE, progress=recorder)
        return recorder.started[0]

    own = tmp_path / "raw"
    own.mkdir()
    for file in raw.glob("P[1-3]_*"):
        (own / file.name).write_bytes(file.read_bytes())
    assert start(own, SAMPLING) == (3, 0)
    assert start(own, SAMPLING) == (3, 1)
    assert start(own, SamplingSettings(pixels=16, slices_per_center=5)) == (3, 0)
    os.utime(own / "P1_image.nii.gz", ns=(1, 1))
    assert start(own, SAMPLING) == (3, 1)  # P2 is still there, P1 is stale


@pytest.mark.slow
def test_a_killed_process_goes_on(raw: Path, tables: Tables, built: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "c"
    command = [sys.executable, "-m", "radiogenesis.cli.main", "cohort", "build", str(raw), str(out)]
    command += ["--expression", str(tables.expression), "--clinical", str(tables.clinical)]
    command += ["--pixels", "16", "--slices_per_center", "4", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "c.parts").glob("*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    recorder = Recorder()
    assert build_cohort(raw, out, tables, sampling=SAMPLING, build=ONE, progress=recorder).digest == built.digest
    assert recorder.started[0][1] >= 1


def test_a_damaged_part_is_made_again(raw: Path, tables: Tables, built: Cohort, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_cohort(raw, tmp_path / "c", tables, sampling=SAMPLING, build=ONE, progress=Recorder(stop_after=2))
    part = next((tmp_path / "c.parts").glob("P1-*.npz"))
    content = bytearray(part.read_bytes())
    part.write_bytes(content[:500])
    assert read_outcome(part) is None
    content[len(content) // 2] ^= 1  # one bit of an image: the outcome can still be read
    part.write_bytes(content)
    assert read_outcome(part) is None
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with np.load(part) as arrays:
        members = dict(arrays)
    for wrong in ({"about": "{"}, {"about": "[]"}, {"outcome": '{"patient": "P1", "status": "?", "reason": ""}'}):
        np.savez(part, **{**members, **wrong})  # its checksums are right
        assert read_outcome(part) is None
    cohort = build_cohort(raw, tmp_path / "c", tables, sampling=SAMPLING, build=ONE)
    assert cohort.digest == built.digest


@pytest.mark.slow
def test_side_by_side_gives_the_same(raw: Path, tables: Tables, built: Cohort, tmp_path: Path) -> None:
    cohort = build_cohort(raw, tmp_path / "c", tables, sampling=SAMPLING, build=ONE)
    assert cohort.digest == built.digest
    pd.testing.assert_frame_equal(cohort.audit, built.audit)


def test_an_unexpected_error_costs_one_patient(
    raw: Path, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_part = building.patient_parts.make_part

    def broken_for_p2(source, *rest):  # type: ignore[no-untyped-def]
        if source.patient == "P2":
            raise KeyError("surprise")
        return make_part(source, *rest)

    monkeypatch.setattr(building.patient_parts, "make_part", broken_for_p2)
    audit = build_cohort(raw, tmp_path / "c", tables, sampling=SAMPLING, build=ONE).audit.set_index("patient")
    assert audit.loc["P2"].tolist() == ["out", "unexpected KeyError: 'surprise'"]
    assert audit.loc["P3", "status"] == "in"


def test_a_worker_that_dies_costs_one_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [(Source(patient=f"P{n}", kind="nifti", image_files=()), Path()) for n in range(3)]
    made = [(2, Died(-signal.SIGSEGV)), (0, Outcome("P0", "in", "")), (1, Died(-signal.SIGKILL))]
    monkeypatch.setattr(workers, "in_processes", lambda make, jobs, count: made)
    outcomes = {outcome.patient: outcome for outcome in workers.side_by_side(_nothing, jobs, TWO)}
    assert outcomes["P0"].status == "in"
    assert outcomes["P2"].reason == "its process was ended by SIGSEGV twice (a crash in a library)"
    assert "ended by SIGKILL twice (the system does so where memory runs out; " in outcomes["P1"].reason
    assert [outcomes[name].passing for name in ("P1", "P2")] == [True, False]  # want of memory is tried again


def _nothing(job: tuple[Source, Path]) -> Outcome:
    raise NotImplementedError


def test_a_scheduler_that_runs_elsewhere(raw: Path, built: Cohort, tables: Tables, tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        build = BuildSettings(scheduler=cluster.scheduler_address)
        cohort = build_cohort(raw, tmp_path / "c", tables, sampling=SAMPLING, build=build)
    assert cohort.digest == built.digest


def test_a_scheduler_without_workers_or_with_others(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        build = BuildSettings(scheduler=cluster.scheduler_address)
        with pytest.raises(SettingError, match="has no workers"):
            build_cohort(raw, tmp_path / "c", build=build)
        cluster.scale(1)
        cluster.wait_for_workers(1)
        monkeypatch.setattr(workers, "__version__", "9.9")
        with pytest.raises(SettingError, match=r"has radiogenesis .*; install radiogenesis 9\.9 there"):
            build_cohort(raw, tmp_path / "c", build=build)


def test_no_scheduler_there(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(SettingError, match=r"no Dask scheduler answers at tcp:.*; check --scheduler"):
        build_cohort(raw, tmp_path / "c", build=BuildSettings(scheduler="tcp://127.0.0.1:1"))


def test_what_is_wrong_at_once_is_said_at_once(raw: Path, tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        build_cohort(raw, tmp_path / "there", tables)
    (tmp_path / "c.previews").mkdir()
    with pytest.raises(OutputError, match=r"c\.previews: already exists"):
        build_cohort(raw, tmp_path / "c", tables)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no scan that can be used"):
        build_cohort(tmp_path / "empty", tmp_path / "d", tables)
    foreign = write_table(tmp_path / "foreign.csv", ["X1", "X2"])
    with pytest.raises(ExpressionError, match="--id_map"):
        build_cohort(raw, tmp_path / "d", Tables(expression=foreign))
    assert not (tmp_path / "d.parts").exists()


def test_images_alone_are_a_cohort(raw: Path, tmp_path: Path) -> None:
    cohort = build_cohort(raw, tmp_path / "c", sampling=SAMPLING, build=ONE)
    assert not cohort.patients["has_expression"].any()
    assert cohort.audit["reason"][0] == "no expression"


def test_annotations_join_in_with_their_spacing_and_their_damage(raw: Path, tmp_path: Path) -> None:
    aim = "gme://caCORE.caCORE/4.4/edu.northwestern.radiology.AIM"
    (tmp_path / "aim").mkdir()
    (tmp_path / "aim" / "a.xml").write_text(
        f'<ImageAnnotationCollection xmlns="{aim}"><person><id value="P7"/></person><ImageAnnotation/>'
        "</ImageAnnotationCollection>"
    )
    (tmp_path / "aim" / "b.xml").write_text("<html/>")
    for file, patient, end in (("c.xml", "P2", "</ImageAnnotationCollection>"), ("d.xml", "P6", "<Image")):
        text = f'<ImageAnnotationCollection xmlns="{aim}"><person><id value="{patient}"/></person>{end}'
        (tmp_path / "aim" / file).write_text(text)
    cohort = build_cohort(raw, tmp_path / "c", Tables(annotations=tmp_path / "aim"), sampling=SAMPLING, build=ONE)
    assert cohort.annotations is not None
    assert list(cohort.annotations.index) == ["P7"]
    assert cohort.audit.set_index("patient").loc["P7", "reason"] == "no scan (only annotations)"
    assert cohort.audit.set_index("patient").loc["P2", "reason"] == (
        "no expression; annotation c.xml not used: annotates 0 lesions, where one is expected"
    )
    assert cohort.audit.set_index("patient").loc["P6"].tolist() == [
        "out",
        "no scan; annotation d.xml not used: is not well-formed XML",
    ]
    assert cohort.provenance["skipped"]["is not an AIM v4 annotation"] == 1
    assert cohort.provenance["skipped_files"] == 3
    assert "skipped      1 files: is not an AIM v4 annotation" in cohort.describe()


def test_audit_counts_each_patient_once() -> None:
    findings = Findings(refused=[("A", "first"), ("A", "second"), ("B", "tilted")])
    outcomes = {"B": Outcome("B", "in", "")}
    found_in = {"expression": {"B", "C"}, "annotations": {"C"}, "clinical table": set()}
    audit = audit_table(findings, outcomes, found_in)
    assert audit.to_numpy().tolist() == [
        ["A", "out", "first; second"],
        ["B", "in", ""],
        ["C", "out", "no scan (only expression, annotations)"],
    ]


def test_each_patient_has_a_stream_of_its_own() -> None:
    drawn = [patient_rng(seed, patient).random() for seed in (0, 1) for patient in ("P1", "P2")]
    assert len(set(drawn)) == 4
    assert patient_rng(0, "P1").random() == drawn[0]


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_scans(real_data: Path, tmp_path: Path) -> None:
    text = (real_data / "expression" / "gse103584_zscore_1000genes_130patients.csv").read_text()
    (tmp_path / "e.csv").write_text(text.replace("R01-023", "LUNG1-002", 1))  # these scans are of other patients
    tables = Tables(
        expression=tmp_path / "e.csv",
        annotations=real_data / "annotations",
        clinical=next((real_data / "clinical").glob("NSCLCR01*.csv")),
    )
    cohort = build_cohort(real_data / "ct", tmp_path / "c", tables, build=ONE)
    audit = cohort.audit.set_index("patient")
    assert audit.loc["LUNG1-001", "status"] == "in"
    kept_away = "backgrounds keep away from what is outlined beside the tumor: 'CTV-1', '1,SUV_primair', 'Spinal cord'"
    assert audit.loc["LUNG1-001", "reason"] == f"{kept_away}; no expression"
    assert audit.loc["AMC-001", "status"] == "background only"
    assert len(audit) == 213  # 211 in the clinical table, and the two of another collection
    assert (audit["reason"] == "no scan (only expression, annotations, clinical table)").sum() == 119
    assert cohort.patients["n_slices"].tolist() == [0, 20, 20]
    assert cohort.patients["n_backgrounds"].tolist() == [20, 20, 20]
    assert cohort.annotations is not None
    assert len(cohort.annotations) == 190
