"""A public cohort from archives on loopback: fetched through every fault, then built without a further setting."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from loopback import Archive, add_series, noise, series_matrix, series_row, star_counts, write_index
from test_annotations import NAMESPACE
from tiny_cohorts import write_chest

from radiogenesis.cli.main import main
from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.fetch.catalog import COHORTS, FetchSettings, GeoTable, Services
from radiogenesis.cohort.fetch.fetch import fetch_cohort, plan_fetch
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import FetchError, OutputError, SettingError

RADIOGENOMICS = COHORTS["nsclc-radiogenomics"]
QUICK = FetchSettings(tries=2, timeout_s=5, connections=3)


class World(NamedTuple):
    """Archives with one cohort, and the options that lead to them."""

    archive: Archive
    services: Services

    def fetch(self, name: str, raw: Path, settings: FetchSettings = QUICK, **how: object) -> object:
        plan = plan_fetch(name, settings, self.services)
        return fetch_cohort(plan, raw, self.services, **{"accept_license": True, "pause_s": 0, **how})  # type: ignore[arg-type]

    def options(self) -> list[str]:
        return [f"--{name}={value}" for name, value in vars(self.services).items()]


PATIENTS = ("R01-001", "R01-002")
FILES = 8  # of images and outlines: three slices and an outline for each of them


@pytest.fixture
def radiogenomics(tmp_path: Path) -> Iterator[World]:
    """What NSCLC Radiogenomics has, in small and without pictures."""
    archive = Archive()
    with archive.running():
        content = {patient: ([noise(3000 + n, n) for n in range(3)], noise(2000)) for patient in PATIENTS}
        yield small_radiogenomics(archive, content, tmp_path / "index")


def small_radiogenomics(archive: Archive, content: dict[str, tuple[list[bytes], bytes]], index: Path) -> World:
    """Two outlined patients (CT and SEG), with outlines by a network and PET beside them, and one without outline."""
    rows = []
    for patient, (ct, seg) in content.items():
        rows.append(add_series(archive, series_row(patient, "CT"), ct))
        rows.append(add_series(archive, series_row(patient, "SEG"), [seg]))
        rows.append(add_series(archive, series_row(patient, "SEG", analysis="net"), [noise(900)]))
        rows.append(add_series(archive, series_row(patient, "PT"), [noise(500)]))
    rows.append(add_series(archive, series_row("AMC-001", "CT"), [noise(700)]))
    series = RADIOGENOMICS.expression
    assert isinstance(series, GeoTable)
    table = "\t".join(["", *content]) + "\nTP53\t1.5\tNA\nEGFR\t2\t30\n"
    archive.files[f"geo/series/GSE103nnn/{series.series}/suppl/{series.file}"] = gzip.compress(table.encode(), mtime=0)
    archive.files[f"tcia/{RADIOGENOMICS.clinical}"] = b"Case ID,Gender\nR01-001,F\nR01-002,M\n"
    archive.files[f"tcia/{RADIOGENOMICS.annotations}"] = aim_archive("R01-001")
    folder = write_index(index, RADIOGENOMICS.collection, rows)
    return World(archive, Services(**archive.services(), index=str(folder)))


def dicom_of_chests(folder: Path) -> dict[str, tuple[list[bytes], bytes]]:
    """Patient -> the CT slices and the SEG of a small chest."""
    for patient in PATIENTS:
        write_chest(folder / "nifti", patient)
    made = {}
    for source in find_volumes(folder / "nifti", ReadSettings()).sources:
        out = folder / source.patient
        write_scan(read_scan(source, ReadSettings()), out, synthetic=False, description="CT", uid_seed="0")
        made[source.patient] = (
            [path.read_bytes() for path in sorted(out.glob("ct-*"))],
            (out / "seg.dcm").read_bytes(),
        )
    return made


def aim_archive(patient: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        aim = (
            f'<ImageAnnotationCollection {NAMESPACE}><dateTime value="2014"/><person><id value="{patient}"/></person>'
            "<imageAnnotations><ImageAnnotation/></imageAnnotations></ImageAnnotationCollection>"
        )
        zipped.writestr("AIM/../../R01-001.xml", aim)  # a path that leads out of its folder
        zipped.writestr("__MACOSX/._R01-001.xml", b"x")
    return made.getvalue()


def images(raw: Path) -> list[Path]:
    return sorted(path.relative_to(raw) for path in (raw / "images").rglob("*.dcm"))


def test_it_is_said_before_anything_is_done(
    radiogenomics: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fetch = ["cohort", "fetch", "nsclc-radiogenomics", "raw", *radiogenomics.options()]
    assert main([*fetch, "--dry_run"]) == 0
    planned = capsys.readouterr().out
    assert f"nsclc-radiogenomics: 2 patients, 4 series, {FILES} files" in planned
    assert "not fetched: CT: 1 series of 1 patient, 0.0 MB of studies in which nobody outlined a tumor" in planned
    assert "not fetched: SEG: 2 series of 2 patients, 0.0 MB made later (--analysis_results net)" in planned
    assert "license: Creative Commons Attribution 3.0" in planned
    assert not Path("raw").exists()
    assert not radiogenomics.archive.asked

    assert main(fetch) == 2  # nobody to ask for the license
    assert "not accepted; read them above, and say --accept_license" in capsys.readouterr().err
    assert not Path("raw").exists()


def test_fetched_and_built_without_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Archive().running() as archive:
        world = small_radiogenomics(archive, dicom_of_chests(tmp_path / "scans"), tmp_path / "index")
        assert main(["cohort", "fetch", "nsclc-radiogenomics", "raw", *world.options(), "--accept_license"]) == 0
    printed = capsys.readouterr().out
    assert "82 files of images and outlines" in printed
    assert "2 genes, where 22,126 were published" in printed
    assert len(images(Path("raw"))) == 82
    assert {path.parts[2].partition("-")[0] for path in images(Path("raw"))} == {"CT", "SEG"}
    assert not Path("raw/.partial").exists()
    assert [path.name for path in Path("raw/annotations").iterdir()] == ["R01-001.xml"]
    assert "(CC BY 3.0)" in Path("raw/LICENSE.txt").read_text()
    assert "Doe, J. & Roe, R. The scans." in Path("raw/CITATION.txt").read_text()
    record = json.loads(Path("raw/fetch.json").read_text())
    assert (record["complete"], record["series"], record["settings"]["studies"]) == (True, 4, "outlined")

    shutil.move("raw", "elsewhere")  # its paths are its own
    assert main(["cohort", "build", "elsewhere", "cohort", "--workers", "1", "--pixels", "32"]) == 0
    assert "elsewhere/cohort.yaml: annotations elsewhere/annotations, clinical" in capsys.readouterr().out
    cohort = Cohort.open("cohort")
    assert list(cohort.patients.index) == ["R01-001", "R01-002"]
    assert bool(cohort.expression.uns["log"]) is True
    assert set(cohort.expression.var_names) == {"TP53", "EGFR"}
    assert cohort.clinical is not None
    assert cohort.annotations is not None
    assert cohort.provenance["skipped_files"] == 0


def test_what_fails_is_listed_retried_and_never_passes_for_whole(
    radiogenomics: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, raw = radiogenomics.archive, tmp_path / "raw"
    paths = [path for path in archive.files if path.startswith("open/uuid-R01-00") and "PT" not in path]
    kinds = ["drop", "short", "wrong", "503"]
    for number, path in enumerate(path for path in paths if "-CT-" in path):
        archive.faults[path] = [kinds[number % 4]]
    seg = next(path for path in paths if "R01-002-SEG-original" in path)
    archive.always[seg] = "wrong"
    archive.always[f"tcia/{RADIOGENOMICS.clinical}"] = "404"
    options = [*radiogenomics.options(), "--accept_license", "--tries", "2", "--timeout_s", "5"]
    assert main(["cohort", "fetch", "nsclc-radiogenomics", str(raw), *options]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "2 items could not be fetched" in line
    assert "the server answers 404" in line
    assert "does not have the checksum" in line
    with (raw / "failures.csv").open() as file:
        assert [row["path"].partition("/")[0] for row in csv.DictReader(file)] == ["source", "images"]
    assert len(images(raw)) == FILES - 1
    assert len([path for path, _ in archive.asked if path == seg]) == 2 * 2  # two tries, once more at the end
    assert not (raw / "cohort.yaml").exists()
    assert main(["cohort", "build", str(raw), str(tmp_path / "cohort")]) == 2
    assert "nsclc-radiogenomics is not fetched completely; `radiogenesis cohort fetch" in capsys.readouterr().err

    archive.always.clear()
    archive.asked.clear()
    radiogenomics.fetch("nsclc-radiogenomics", raw)
    assert {path for path, _ in archive.asked} == {seg, f"tcia/{RADIOGENOMICS.clinical}"}
    assert len(images(raw)) == FILES
    assert (raw / "cohort.yaml").exists()
    assert not (raw / "failures.csv").exists()


def test_what_comes_at_the_second_pass_is_counted_once(radiogenomics: World, tmp_path: Path) -> None:
    archive = radiogenomics.archive
    late = next(path for path in archive.files if "R01-001-CT" in path)
    archive.faults[late] = ["wrong", "drop", "short"]  # more than both tries of the first pass
    told: list[tuple[int, int]] = []
    radiogenomics.fetch(
        "nsclc-radiogenomics", tmp_path / "raw", progress=lambda _, done, total: told.append((done, total))
    )
    assert {total for _, total in told} == {told[-1][0]}


def test_interrupted_anywhere_it_goes_on(radiogenomics: World, tmp_path: Path) -> None:
    archive, raw = radiogenomics.archive, tmp_path / "raw"

    def stop_at(most: int) -> object:
        def progress(_: str, done: int, total: int) -> None:
            if done > most:
                raise KeyboardInterrupt

        return progress

    whole = plan_fetch("nsclc-radiogenomics", QUICK, radiogenomics.services).size
    for share in (0.3, 0.6):
        with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
            radiogenomics.fetch("nsclc-radiogenomics", raw, progress=stop_at(int(share * whole)))
        assert not (raw / "cohort.yaml").exists()
    there, asked = set(images(raw)), len(archive.asked)
    assert there
    told: list[tuple[int, int]] = []
    radiogenomics.fetch("nsclc-radiogenomics", raw, progress=lambda _, done, total: told.append((done, total)))
    assert len(images(raw)) == FILES
    assert len(archive.asked) - asked <= FILES - len(there)
    assert told[-1][0] == told[-1][1] >= whole
    for path in images(raw):
        name = f"open/uuid-{path.parts[1]}-{path.parts[2].partition('-')[0]}-original/{path.name}"
        assert (raw / path).read_bytes() == archive.files[name]


def test_a_changed_file_is_found_by_recheck(radiogenomics: World, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    radiogenomics.fetch("nsclc-radiogenomics", raw)
    path = raw / images(raw)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    fetched = radiogenomics.fetch("nsclc-radiogenomics", raw, FetchSettings(tries=2, connections=3, recheck=True))
    assert path.read_bytes() == content
    assert any("1 file had changed" in remark for remark in fetched.remarks)  # type: ignore[attr-defined]


def test_a_list_that_is_not_the_index(radiogenomics: World, tmp_path: Path) -> None:
    archive = radiogenomics.archive
    lost = next(path for path in archive.files if "R01-001-CT" in path)
    del archive.files[lost]
    with pytest.raises(FetchError, match=r"the bucket lists 2 files of .* and the index 3"):
        radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "raw")
    assert len(images(tmp_path / "raw")) == FILES - 3  # the other series came


def test_no_room(radiogenomics: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=10**6)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(OutputError, match=r"needs 0\.2 GB, and its disk has 1\.0 MB free; make room"):
            radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "raw")
    assert not images(tmp_path / "raw")
    partial = tmp_path / "raw" / ".partial"
    partial.mkdir()
    for patient in ("R01-001", "R01-002"):  # a disk that fills up on the way
        uid = series_row(patient, "SEG")["SeriesInstanceUID"]
        (partial / f"images+{patient}+SEG-{uid}+000.dcm").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"No space left.*what is there is kept, and the same command goes on"):
        radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "raw")
    shutil.rmtree(partial)
    radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "raw")
    assert len(images(tmp_path / "raw")) == FILES


def test_another_folder_is_left_alone(radiogenomics: World, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="no `cohort fetch` put there"):
        radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "mine")
    (tmp_path / "mine" / "fetch.json").write_text('{"cohort": "lung3"}')
    with pytest.raises(OutputError, match="is the folder of lung3"):
        radiogenomics.fetch("nsclc-radiogenomics", tmp_path / "mine")


def test_what_is_asked_for(radiogenomics: World) -> None:
    def series(**settings: object) -> list[tuple[str, str, str]]:
        plan = plan_fetch("nsclc-radiogenomics", FetchSettings(**settings), radiogenomics.services)  # type: ignore[arg-type]
        return [(one.patient, one.modality, one.analysis) for one in plan.series]

    assert series(patients=("R01-002",)) == [("R01-002", "CT", ""), ("R01-002", "SEG", "")]
    assert ("AMC-001", "CT", "") in series(studies="all")
    assert ("R01-001", "SEG", "net") in series(analysis_results=("net",))
    assert ("R01-001", "PT", "") in series(modalities=("PT", "CT", "SEG"))
    for settings, said in (
        ({"patients": ("R01-9",)}, "patients: nsclc-radiogenomics has no R01-9; it has AMC-001, R01-001, R01-002"),
        ({"patients": ("AMC-001",)}, "nothing of AMC-001 to fetch; fetch --studies all"),
        ({"modalities": ("US",)}, "modalities: .* has no US; it has CT, PT, SEG"),
        ({"analysis_results": ("bamf",)}, "analysis_results: .* has no bamf; it has net"),
    ):
        with pytest.raises(SettingError, match=said):
            series(**settings)
    with pytest.raises(SettingError, match="no public cohort 'lung4' to fetch; choose from: nsclc-radiogenomics"):
        plan_fetch("lung4")


def test_the_bundled_index_has_the_144_original_outlines() -> None:
    plan = plan_fetch("nsclc-radiogenomics")
    outlines = [one for one in plan.series if one.modality == "SEG"]
    assert len(outlines) == len({one.patient for one in outlines}) == 144
    assert not any(one.analysis for one in plan.series)
    assert {one.license for one in plan.series} == {"CC BY 3.0"}
    assert "Bakr, S., Gevaert, O." in next(iter(plan.data_sets.values())).citation


@pytest.fixture
def lung3(tmp_path: Path) -> Iterator[World]:
    archive = Archive()
    rows = [add_series(archive, series_row(f"LUNG3-0{n}", "CT", bucket="cr"), [noise(300, n)]) for n in (1, 2)]
    values = {
        "low_at": [1.0, 2.0], "high_at": [5.0, 4.0], "two_at": [9.0, 9.0], "none_at": [7.0, 7.0], "b_at": [3.5, 1.25],
    }  # fmt: skip
    archive.files["geo/series/GSE58nnn/GSE58661/matrix/GSE58661_series_matrix.txt.gz"] = series_matrix(
        ["LUNG3-02", "LUNG3-01"], values, "GPL15048"
    )
    genes = {"low_at": "TP53", "high_at": "TP53", "two_at": "A /// B", "none_at": "", "b_at": "EGFR", "c_at": "ALK"}
    platform = ["^PLATFORM = GPL15048", "#ID = ", "!platform_table_begin", "ID\tSPOT_ID\tGeneSymbol"]
    platform += [*(f"{probe}\tx\t{gene}" for probe, gene in genes.items()), "!platform_table_end"]
    archive.files["acc.cgi?GPL15048"] = "\n".join(platform).encode()
    index = write_index(tmp_path / "index", "nsclc_radiomics_genomics", rows)
    with archive.running():
        yield World(archive, Services(**archive.services(), index=str(index)))


def test_probes_become_genes_or_stay(lung3: World, tmp_path: Path) -> None:
    fetched = lung3.fetch("lung3", tmp_path / "raw")
    table = pd.read_csv(tmp_path / "raw" / "expression.csv.gz", index_col=0)
    expected = pd.DataFrame(
        {"LUNG3-02": [3.5, 5.0], "LUNG3-01": [1.25, 4.0]}, index=pd.Index(["EGFR", "TP53"], name="gene")
    )
    pd.testing.assert_frame_equal(table, expected)
    said = "5 probes: 2 genes; left out 1 probes without a gene, 1 of several genes, 1 with a lower mean"
    assert any(said in remark for remark in fetched.remarks)  # type: ignore[attr-defined]
    clinical = pd.read_csv(tmp_path / "raw" / "clinical.csv")
    assert list(clinical["patient"]) == ["LUNG3-02", "LUNG3-01"]
    assert list(clinical["gender"]) == ["F", "F"]
    assert "no commercial use" in (tmp_path / "raw" / "LICENSE.txt").read_text()
    settings = FetchSettings(probes=True)
    lung3.fetch("lung3", tmp_path / "probes", settings)
    assert len(pd.read_csv(tmp_path / "probes" / "expression.csv.gz")) == 5
    assert not (tmp_path / "probes" / "source" / "GPL15048.txt").exists()


def test_a_table_that_is_none_is_fetched_again(lung3: World, tmp_path: Path) -> None:
    good = lung3.archive.files["acc.cgi?GPL15048"]
    lung3.archive.files["acc.cgi?GPL15048"] = b"<html>Too many requests</html>"
    with pytest.raises(FetchError, match=r"source/GPL15048.txt: is no table of a platform with gene symbols"):
        lung3.fetch("lung3", tmp_path / "raw")
    lung3.archive.files["acc.cgi?GPL15048"] = good
    lung3.fetch("lung3", tmp_path / "raw")


def hit(
    patient: str, number: int, *, kind: str = "Tumor", primary: bool = True, aliquot: str = "01A"
) -> dict[str, object]:
    sample = {
        "tissue_type": kind,
        "tumor_descriptor": "Primary" if primary else "Recurrence",
        "portions": [{"analytes": [{"aliquots": [{"submitter_id": f"{patient}-{aliquot}"}]}]}],
    }
    return {"file_id": f"f{number}", "cases": [{"submitter_id": patient, "samples": [sample]}]}


@pytest.fixture
def tcga(tmp_path: Path) -> Iterator[World]:
    archive = Archive()
    rows = [add_series(archive, series_row(f"TCGA-{n}", "CT"), [noise(200, n)]) for n in (1, 2, 3)]
    hits = [
        hit("TCGA-2", 0), hit("TCGA-1", 1, primary=False, aliquot="00A"), hit("TCGA-1", 2, aliquot="01B"),
        hit("TCGA-1", 3), hit("TCGA-1", 4, kind="Normal", aliquot="00A"),
    ]  # fmt: skip
    for number, one in enumerate(hits):
        content = star_counts({"TP53": number + 0.5, "EGFR": 10.0 * number})
        archive.files[f"gdc/data/f{number}"] = content
        one |= {"file_size": len(content), "md5sum": archive.etag(f"gdc/data/f{number}")}
    archive.gdc["files"] = hits
    archive.gdc["cases"] = [
        {"submitter_id": "TCGA-2", "demographic": {"gender": "female", "vital_status": "Dead"}, "diagnoses": []},
        {
            "submitter_id": "TCGA-1",
            "demographic": {"gender": "male"},
            "diagnoses": [
                {"ajcc_pathologic_stage": "Stage IV"},
                {"ajcc_pathologic_stage": "Stage IA", "diagnosis_is_primary_disease": "true"},
            ],
        },
    ]
    index = write_index(tmp_path / "index", "tcga_luad", rows)
    with archive.running():
        yield World(archive, Services(**archive.services(), index=str(index)))


def test_gdc_gives_one_primary_tumor_each(tcga: World, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    fetched = tcga.fetch("tcga-luad", raw)
    table = pd.read_csv(raw / "expression.csv.gz", index_col=0)
    assert table.to_dict() == {"TCGA-1": {"TP53": 3.5, "EGFR": 30.0}, "TCGA-2": {"TP53": 0.5, "EGFR": 0.0}}
    assert any("no RNA of the tumor at GDC: TCGA-3" in remark for remark in fetched.remarks)  # type: ignore[attr-defined]
    samples = pd.read_csv(raw / "samples.csv", index_col="patient")
    assert list(samples.loc["TCGA-1", ["aliquot", "other_files"]]) == ["TCGA-1-01A", 2]
    clinical = pd.read_csv(raw / "clinical.csv", index_col="patient")
    assert clinical.loc["TCGA-1", "ajcc_pathologic_stage"] == "Stage IA"
    assert list(clinical["gender"]) == ["male", "female"]
    terms = {one["content"]["field"]: one["content"]["value"] for one in tcga.archive.queries[0]["filters"]["content"]}  # type: ignore[index]
    assert terms["cases.submitter_id"] == ["TCGA-1", "TCGA-2", "TCGA-3"]
    assert terms["analysis.workflow_type"] == ["STAR - Counts"]
    tcga.fetch("tcga-luad", tmp_path / "all", FetchSettings(all_genes=True))
    assert "LINC1" in pd.read_csv(tmp_path / "all" / "expression.csv.gz", index_col=0).index


def test_settings_in_a_folder_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chest(tmp_path / "raw", "P1")
    for text, said in (
        ("expression: nowhere.csv", "cohort.yaml: expression: there is no"),
        ("logg: true", "cohort.yaml: unrecognized arguments: --logg=true"),
        ("log: perhaps", "cohort.yaml: "),
        ("- a", "has no settings in it"),
        ("a: [", "is not YAML"),
    ):
        (tmp_path / "raw" / "cohort.yaml").write_text(text)
        assert main(["cohort", "build", str(tmp_path / "raw"), str(tmp_path / "c")]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "raw" / "cohort.yaml").write_text("pixels: 32")
    assert main(["cohort", "build", str(tmp_path / "raw"), str(tmp_path / "c"), "--pixels", "2"]) == 2
    assert "pixels 2: at least 8" in capsys.readouterr().err  # what is given wins
