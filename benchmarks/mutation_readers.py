"""Every reader, with the smallest input that it reads: what `mutations.py` damages, and what is read of it.

A reader is a name, what makes its input in a folder, which files of it are damaged, and what it reads: a mapping from
names to texts (digests, ids, counts) that are the same whenever the input is. What is said beside the values goes to
standard output, to standard error, or under the key "said".
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import DSfloat

from radiogenesis.api.runs import train  # noqa: F401  imported once, not in every fork
from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.cli.main import main as command
from radiogenesis.cohort import build, patient_parts
from radiogenesis.cohort.build import Silent, build_cohort
from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.expression import TableSettings
from radiogenesis.cohort.loading import Loaded, Tables
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Acquisition, Scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.cohort.workers import BuildSettings
from radiogenesis.errors import RadiogenesisError
from radiogenesis.mapping.conventional.enrichment import read_gmt
from radiogenesis.testing import toy_cohort, train_toy
from radiogenesis.training.run import Run

PATIENTS = ("R01-001", "R01-002")
patient_parts.write_preview = lambda path, *_: _blank(path)  # pictures are not read, and take most of the time
SMALL = SamplingSettings(pixels=16, background_centers=0, slices_per_center=2)
BUILD = ["--pixels", "16", "--background_centers", "0", "--slices_per_center", "2", "--workers", "1"]
Values = dict[str, str]


def _blank(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        make: writes the input into a new folder.
        files: patterns of the files that are damaged.
        read: what is read of the input; the second folder is for what is written.
        checked: patterns of the files of which digests that lie beside them tell any change.
        free: whether a cell of the tables may hold anything, and lines be of any length.
        of_one: whether a file belongs to one patient: then it must not end the command for the others.
        goes_on: whether the command goes on in the input's folder, and may write there.
    """

    make: Callable[[Path], None]
    files: tuple[str, ...]
    read: Callable[[Path, Path], Values]
    checked: tuple[str, ...] = ()
    free: bool = False
    of_one: bool = False
    goes_on: bool = False


class Refused(RadiogenesisError):
    """A command ended with an exit code and its line on standard error."""


def run_command(*words: str | Path) -> None:
    """The command as a user gives it. Raises Refused where it ends in a line."""
    code = command(list(map(str, words)))
    if code:
        raise Refused(f"exit code {code}")


def digest(*values: Any) -> str:
    """Of arrays, frames and texts."""
    hashed = hashlib.sha256()
    for value in values:
        if isinstance(value, pd.DataFrame):
            value = value.to_csv()
        hashed.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode("utf-8", "replace"))
    return hashed.hexdigest()[:16]


def every_file(out: Path, *patterns: str) -> Values:
    """Digests of files, that of the date left out."""
    files = [path for pattern in patterns or ("*",) for path in sorted(out.rglob(pattern))]
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in files
        if path.is_file() and path.name != "made.json"
    }


# ---- scans ----


def balls() -> dict[str, Scan]:
    """A ball of tissue in air as tumor, of two patients; 3 mm voxels."""
    scans = {}
    z, y, x = np.mgrid[:10, :20, :24] * 3.0
    for number, patient in enumerate(PATIENTS):
        tumor = (z - 13) ** 2 + (y - 30) ** 2 + (x - 36) ** 2 < (8 + 2 * number) ** 2
        hu = np.random.default_rng(number).normal(-860, 15, z.shape) + 890 * tumor
        affine = np.array([[0, 0, 3, -50], [0, 3, 0, -40], [3, 0, 0, 10], [0, 0, 0, 1]], float)
        about = Acquisition(kernel="B30f", slice_thickness_mm=3.0, kvp=120, manufacturer="none", study_date="20200101")
        scans[patient] = Scan(
            patient=patient, hu=hu.round().astype(np.int16), affine=affine, masks={"GTV-1": tumor}, tumor="GTV-1",
            acquisition=about,
        )  # fmt: skip
    return scans


def table(path: Path, patients: Sequence[str] = PATIENTS, genes: int = 6) -> Path:
    """Expression, patients in rows."""
    values = np.random.default_rng(2).random((len(patients), genes)).round(4)
    frame = pd.DataFrame(values, pd.Index(patients, name="patient"), [f"G{gene}" for gene in range(genes)])
    frame.to_csv(path)
    return path


def write_pairs(folder: Path) -> None:
    """One patient's as NIfTI, the other's compressed."""
    for (patient, scan), ending in zip(balls().items(), ("nii", "nii.gz"), strict=True):
        write_nifti(folder / f"{patient}_image.{ending}", scan.hu, scan.affine)
        write_nifti(folder / f"{patient}_mask.{ending}", scan.tumor_mask, scan.affine)


def write_itk(folder: Path) -> None:
    """NRRD and MetaImage."""
    import SimpleITK

    for (patient, scan), ending in zip(balls().items(), ("nrrd", "mha"), strict=True):
        for what, values in (("image", scan.hu), ("mask", scan.tumor_mask.astype(np.uint8))):
            image = SimpleITK.GetImageFromArray(values)
            image.SetSpacing((3.0, 3.0, 3.0))
            image.SetOrigin((-50.0, -40.0, 10.0))
            if ending == "nrrd":
                image.SetMetaData("NRRD_space", "left-posterior-superior")
            SimpleITK.WriteImage(image, str(folder / f"{patient}_{what}.{ending}"))


def write_series(folder: Path) -> None:
    """DICOM CT with SEG."""
    for patient, scan in balls().items():
        write_scan(scan, folder / patient, synthetic=False, description="ball", uid_seed=patient)


def write_rtstructs(folder: Path) -> None:
    """DICOM CT with RTSTRUCT."""
    from pydicom import dcmread

    write_series(folder)
    for patient, scan in balls().items():
        (folder / patient / "seg.dcm").unlink()
        slices = [dcmread(path, stop_before_pixels=True) for path in sorted((folder / patient).glob("*.dcm"))]
        rtstruct(slices, scan).save_as(folder / patient / "rtstruct.dcm", enforce_file_format=True)


def rtstruct(slices: Sequence[Dataset], scan: Scan) -> Dataset:
    """A circle on each plane that has tumor."""
    data, roi, drawn, frame, study, series = (Dataset() for _ in range(6))
    first = slices[0]
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = (
        RTStructureSetStorage,
        f"{first.SeriesInstanceUID}9",
        "RTSTRUCT",
    )
    data.PatientID, data.PatientName = first.PatientID, first.PatientName
    data.StudyInstanceUID, data.SeriesInstanceUID = first.StudyInstanceUID, f"{first.SeriesInstanceUID}8"
    series.SeriesInstanceUID = first.SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "GTV-1", first.FrameOfReferenceUID
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, []
    for z in np.flatnonzero(scan.tumor_mask.any(axis=(1, 2))):
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        zyx = np.column_stack([np.full(40, z), 10 + 2.6 * np.sin(angle), 12 + 2.6 * np.cos(angle), np.ones(40)])
        contour, points = Dataset(), (zyx @ scan.affine.T)[:, :3]
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 40
        contour.ContourData = [DSfloat(float(value), auto_format=True) for value in points.ravel()]
        drawn.ContourSequence.append(contour)
    data.StructureSetROISequence, data.ROIContourSequence = [roi], [drawn]
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def write_layouts(folder: Path) -> None:
    """An nnU-Net folder that says of itself where its table is."""
    for kind in ("imagesTr", "labelsTr"):
        (folder / "images" / kind).mkdir(parents=True)
    for patient, scan in balls().items():
        write_nifti(folder / "images" / "imagesTr" / f"{patient}_0000.nii.gz", scan.hu, scan.affine)
        write_nifti(folder / "images" / "labelsTr" / f"{patient}.nii.gz", scan.tumor_mask, scan.affine)
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumor": 1}, "file_ending": ".nii.gz"}
    (folder / "images" / "dataset.json").write_text(json.dumps(about))
    table(folder / "genes.csv")
    (folder / "cohort.yaml").write_text("scans: images\nexpression: genes.csv\nlog: true\nduplicates: mean\n")
    (folder / "fetch.json").write_text(json.dumps({"cohort": "lung3", "complete": True, "files": 4}))


def write_manifest(folder: Path) -> None:
    """Files of any name, an organ's mask with them."""
    rows = []
    for number, (patient, scan) in enumerate(balls().items()):
        write_nifti(folder / f"{number}.nii.gz", scan.hu, scan.affine)
        write_nifti(folder / f"{number}m.nii.gz", scan.tumor_mask, scan.affine)
        write_nifti(folder / f"{number}o.nii.gz", np.ones(scan.hu.shape, bool), scan.affine)
        rows.append([patient, f"{number}.nii.gz", f"{number}m.nii.gz", "1", f"{number}o.nii.gz", "A", 60 + number])
    columns = ["patient", "image", "mask", "label", "organ_mask", "site", "age"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "scans.csv", index=False)


class Kept:
    """In the place of the store that a build writes, which takes most of the time: all that would be in it."""

    def __init__(self, out: Path, *, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        self.patients: list[PatientData] = []
        self.skipped = provenance["skipped"]
        self.audit = pd.DataFrame()

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None: ...

    def add(self, patient: PatientData) -> None:
        self.patients.append(patient)

    def finish(self, *, audit: pd.DataFrame, **tables: Any) -> Kept:
        self.audit = audit
        return self


def read_scans(given: Path, out: Path) -> Values:
    """Everything of a build but the writing of the store."""
    build.CohortWriter = Kept
    kept: Any = build_cohort(given, out / "c.zarr", sampling=SMALL, build=BuildSettings(workers=1))
    values = {"said": kept.audit[["patient", "status", "reason"]].astype(str).to_csv(index=False) + str(kept.skipped)}
    for one in kept.patients:
        if one.slices is not None:
            values[one.patient] = digest(one.slices.image, one.slices.mask, one.spacing_mm, one.tumor_volume_ml)
            if not 0.1 < one.tumor_volume_ml < 100:
                values["doubt"] = f"a tumor of {one.tumor_volume_ml} ml"
    return values


def built(raw: str, *more: str) -> Callable[[Path, Path], Values]:
    """`cohort build` of a folder or a manifest in the input."""

    def read(given: Path, out: Path) -> Values:
        words = ["--manifest", given / raw] if raw else [given]
        run_command("cohort", "build", *words, out / "c.zarr", *BUILD, *more)
        return of_cohort(Cohort.open(out / "c.zarr"))

    return read


def of_cohort(cohort: Cohort) -> Values:
    """Everything in a cohort; what its audit and its tables say beside it."""
    patients = cohort.patients
    volume = next((patients[name] for name in patients if "volume" in name), None)
    values = {
        f"slices {one}": digest(cohort.lesions([one]).image, cohort.lesions([one]).mask)
        for one in sorted(set(cohort.slice_patient))
    }
    values |= {"backgrounds": digest(cohort.background_image), "expression": of_expression(cohort.expression)}
    tables = {"clinical": cohort.clinical, "annotations": cohort.annotations, "codes": cohort.annotation_codes}
    values |= {name: digest(frame) for name, frame in tables.items() if frame is not None}
    values["geometry"] = f"{cohort.pixels} {cohort.field_of_view_mm} {cohort.imaging}"
    if volume is not None and not volume.dropna().between(0.1, 100).all():
        values["doubt"] = f"tumors of {volume.tolist()} ml"
    audit = cohort.audit[["patient", "status", "reason"]].astype(str)
    return values | {"said": audit.to_csv(index=False) + str(cohort.provenance.get("skipped"))}


def of_expression(expression: AnnData) -> str:
    """Patients, genes and values."""
    return digest(
        list(expression.obs_names), list(expression.var_names), np.asarray(expression.X), expression.uns.get("log")
    )


# ---- tables ----


def loaded(**files: str) -> Callable[[Path, Path], Values]:
    """The tables as `cohort build` reads them."""

    def read(given: Path, out: Path) -> Values:
        tables = Tables(**{name: given / file for name, file in files.items()})
        found = Loaded.read(tables, set(PATIENTS), None, out / "id_map.csv")
        values = {"expression": of_expression(found.expression)}
        if found.clinical is not None:
            values["clinical"] = digest(found.clinical)
        said = [*found.expression.uns.get("remarks", []), *found.remarks().values()]
        if found.annotations is not None:
            values["annotations"] = digest(found.annotations.features, found.annotations.codes)
            said += [f"{path.name}: {why}" for path, why in found.annotations.skipped]
        if found.expression.X is not None and np.isinf(np.asarray(found.expression.X)).any():
            values["doubt"] = "infinite expression"
        return values | {"said": "\n".join(said)}

    return read


def write_tables(folder: Path) -> None:
    """Expression in every format, beside each other."""
    path = table(folder / "genes.csv")
    frame = pd.read_csv(path, index_col=0)
    text = frame.T.rename_axis("gene").to_csv(sep="\t")
    (folder / "genes.tsv.gz").write_bytes(gzip.compress(text.encode()))
    head = '!Series_title\t"s"\n!Sample_title\t"a"\t"b"\n!Sample_geo_accession\t"GSM1"\t"GSM2"\n'
    head += f'!Sample_characteristics_ch1\t"patient: {PATIENTS[0]}"\t"patient: {PATIENTS[1]}"\n'
    rows = "".join(f'"{gene}"\t{one}\t{two}\n' for gene, (one, two) in zip(frame, frame.to_numpy().T, strict=True))
    series = f'{head}!series_matrix_table_begin\n"ID_REF"\t"GSM1"\t"GSM2"\n{rows}!series_matrix_table_end\n'
    (folder / "GSE1_series_matrix.txt.gz").write_bytes(gzip.compress(series.encode()))
    AnnData(frame.astype(np.float32)).write_h5ad(folder / "dense.h5ad")
    from scipy.sparse import csr_matrix

    sparse = AnnData(csr_matrix(frame.to_numpy(np.float32)), obs=frame[[]], var=pd.DataFrame(index=frame.columns))
    sparse.write_h5ad(folder / "sparse.h5ad")
    frame.to_excel(folder / "genes.xlsx")
    gct = "#1.2\n6\t2\nName\tDescription\t" + "\t".join(frame.index) + "\n"
    gct += "".join(f"{gene}\tna\t{one}\t{two}\n" for gene, (one, two) in zip(frame, frame.to_numpy().T, strict=True))
    (folder / "genes.gct").write_text(gct)


def write_clinical(folder: Path) -> None:
    """A clinical table, expression under other ids, and the map between them."""
    table(folder / "genes.csv", ("X1", "X2"))
    pd.DataFrame({"id": ["X1", "X2"], "scan": PATIENTS}).to_csv(folder / "ids.csv", index=False)
    pd.DataFrame({"case": PATIENTS, "age": [61, 70], "sex": "FM", "stage": ["I", "II"], "months": [12.5, 3]}).to_csv(
        folder / "clinical.csv", index=False
    )


def write_aim(folder: Path) -> None:
    """An annotation for each patient."""
    (folder / "aim").mkdir()
    space = 'xmlns="gme://caCORE.caCORE/4.4/edu.northwestern.radiology.AIM" xmlns:iso="uri:iso.org:21090"'
    kind = "ImagingObservationCharacteristic"
    for patient, (code, words) in zip(PATIENTS, (("RID5741", "solid"), ("RID5800", "smooth")), strict=True):
        points = "".join(
            f'<TwoDimensionSpatialCoordinate><x value="{x}"/><y value="{y}"/></TwoDimensionSpatialCoordinate>'
            for x, y in ((10, 10), (20, 12))
        )
        (folder / "aim" / f"{patient}.xml").write_text(
            f'<ImageAnnotationCollection {space}><dateTime value="2014"/><person><id value="{patient}"/></person>'
            '<imageAnnotations><ImageAnnotation><CalculationEntity><description value="LineLength"/>'
            '<unitOfMeasure value="linear"/><CalculationData><value value="21.5"/></CalculationData>'
            "</CalculationEntity>"
            f'<{kind}><typeCode code="{code}" codeSystemName="RadLex"><iso:displayName value=" {words}"/></typeCode>'
            f'<label value="Attenuation"/></{kind}><MarkupEntity>{points}</MarkupEntity>'
            '<imageSeries><instanceUid root="1.2.3"/></imageSeries></ImageAnnotation></imageAnnotations>'
            "</ImageAnnotationCollection>"
        )


def write_gmt(folder: Path) -> None:
    """Gene sets, and what PyRadiomics writes."""
    (folder / "sets.gmt").write_text("FIRST\tabout\tG0\tG1\tG2\nSECOND\tabout\tG3\tG4\tG5\n")
    pd.DataFrame(
        {
            "Image": [f"raw/{one}/image.nii.gz" for one in PATIENTS],
            "Mask": "m",
            "diagnostics_Versions_Python": "3",
            "original_shape_Sphericity": [0.8, 0.7],
            "wavelet-LLL_glcm_Contrast": [1.5, 2.5],
        }
    ).to_csv(folder / "radiomics.csv", index=False)


def read_sets(given: Path, out: Path) -> Values:
    """GMT."""
    return {"sets": digest(read_gmt(given / "sets.gmt"))}


def read_features(given: Path, out: Path) -> Values:
    """A table of radiomics."""
    return {"features": digest(read_radiomics(given / "radiomics.csv", patients=PATIENTS))}


# ---- our own folders ----


def write_toy(folder: Path) -> None:
    """A toy cohort with tables."""
    toy_cohort(folder / "toy.zarr", patients=8, genes=12, slices=2, pixels=16)


def read_store(given: Path, out: Path) -> Values:
    """A cohort, part by part as commands read it; then `cohort describe --verify`, which must see as much."""
    values = of_cohort(Cohort.open(given / "toy.zarr"))
    run_command("cohort", "describe", given / "toy.zarr", "--verify")
    return values


def read_run(given: Path, out: Path) -> Values:
    """Lesions that a run draws, its losses, its patients."""
    run_command("synthesize", given / "gan", out / "drawn", "--formats", "npz", "--per_patient", "1")
    run = Run.open(given / "gan")
    return every_file(out / "drawn", "*.npz") | {"metrics": digest(run.metrics), "split": digest(run.split)}


def write_stopped(folder: Path) -> None:
    """A run that has its checkpoints and no weights yet."""
    cohort = toy_cohort(folder / "toy.zarr", patients=12, genes=8, slices=2, pixels=32)
    train_toy("inpainting-gan", cohort, folder / "run", steps=2, checkpoint_every=1)
    (folder / "run" / "weights.safetensors").unlink()


def read_stopped(given: Path, out: Path) -> Values:
    """What the training comes to when it goes on."""
    run = train_toy(
        "inpainting-gan", Cohort.open(given / "toy.zarr"), given / "run", steps=2, checkpoint_every=1, resume=True
    )
    return every_file(run.path, "weights.safetensors", "split.json", "genes.json")


class Stopped(Silent):
    """Ends a build after the last patient."""

    def say(self, text: str) -> None:
        if text == "writing the cohort":
            raise KeyboardInterrupt


def write_parts(folder: Path) -> None:
    """A build that was stopped before the cohort was written."""
    (folder / "raw").mkdir()
    write_pairs(folder / "raw")
    with contextlib.suppress(KeyboardInterrupt):
        build_cohort(
            folder / "raw", folder / "c.zarr", sampling=SMALL, build=BuildSettings(workers=1), progress=Stopped()
        )


def read_parts(given: Path, out: Path) -> Values:
    """The same build again."""
    run_command("cohort", "build", given / "raw", given / "c.zarr", *BUILD)
    return of_cohort(Cohort.open(given / "c.zarr"))


def write_results(folder: Path) -> None:
    """A run with its map, what `explore` asks of an evaluation, and a reader study's key with two readers' answers."""
    import radiogenesis as rg

    cohort = toy_cohort(folder / "toy.zarr", patients=12, genes=12, slices=2, pixels=32)
    alignment = train_toy("canonical-alignment", cohort, folder / "alignment")
    train_toy("fusion-gan", cohort, folder / "gan", alignment=alignment, steps=2, checkpoint_every=1)
    (folder / "sets.gmt").write_text("FIRST\tabout\tG0\tG1\tG2\tG3\tG4\nSECOND\tabout\tG5\tG6\tG7\tG8\tG9\n")
    rg.map(Cohort.open(folder / "toy.zarr"), folder / "map", run=Run.open(folder / "gan"), clusters=3, random_sets=100,
           permutations=100, shuffles=1, prediction_folds=0, backgrounds=1, gradient=False, bootstrap=100)  # fmt: skip
    (folder / "evaluation" / "tables").mkdir(parents=True)
    record = {"runs": [{"provenance": json.loads((folder / "gan" / "provenance.json").read_text())}]}
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps(record))
    near = pd.DataFrame({"run": ["gan"], "of": ["drawings"], "near": [0.01], "p": [0.6], "seen_25": [0.9]})
    near.to_csv(folder / "evaluation" / "tables" / "memorization.csv", index=False)
    words = ["--rated", "4", "--pairs", "2", "--property_pairs", "2", "--properties", "size", "--controls", "2"]
    words += ["--network_steps", "0", "--real_patients", "true", "--anyway", "true"]
    run_command("readers", "make", folder / "gan", folder / "study.html", *words)
    run_command("readers", "simulate", folder / "study.key.json", folder / "rehearsal", "--readers", "2")
    for number, path in enumerate(sorted((folder / "rehearsal" / "guesses").glob("*.csv"))):
        shutil.copy(path, folder / f"reader-{number}.csv")


def read_explored(given: Path, out: Path) -> Values:
    """The page with sliders; its generator, which comes of the run alone and takes seconds, is left out."""
    from radiogenesis.explorer import content

    content.generator_onnx = lambda method: b""
    run_command(
        "explore", given / "gan", out / "page.html", "--map", given / "map", "--evaluation", given / "evaluation",
        "--gmt", given / "sets.gmt", "--noises", "2",
    )  # fmt: skip
    return every_file(out)


def read_page(given: Path, out: Path) -> Values:
    """`report` on a map, and the map as Python has it. A file from outside of the folder in the page is a leak."""
    import radiogenesis as rg

    (given.parent / "secret.txt").write_text("SECRET-FROM-OUTSIDE")
    shutil.copytree(given / "map", out / "map", symlinks=True, copy_function=_copied)
    run_command("report", out / "map")
    text = (out / "map" / "report.html").read_text(encoding="utf-8", errors="replace")
    found = rg.open_map(out / "map")
    tables = {name: digest(found.table(name)) for name in found.tables}
    leak = {"doubt": "a file from outside in the page"} if "SECRET-FROM-OUTSIDE" in text or "root:x:" in text else {}
    return {"page": digest(text), "conclusions": digest(found.conclusions)} | tables | leak


def _copied(source: str, target: str) -> str:
    """A copy; what is no file stays as it is, under its own name."""
    if Path(source).is_file():
        return shutil.copy2(source, target)
    Path(target).symlink_to(source)
    return target


def read_answers(given: Path, out: Path) -> Values:
    """`readers analyze`."""
    answers = [given / "reader-0.csv", given / "reader-1.csv"]
    run_command("readers", "analyze", *answers, out / "analysis", "--key", given / "study.key.json")
    return every_file(out / "analysis", "*.csv")


def write_settings(folder: Path) -> None:
    """Settings of `cohort build` as a file."""
    (folder / "settings.yaml").write_text(
        "roi: GTV*\nfraction: 0.4\nspacing_tolerance_mm: 0.2\npixels: 48\nfield_of_view_mm: 60.0\nlog: true\n"
        "orientation: genes-in-rows\nduplicates: mean\nworkers: 2\nwindow: null\nautomatic_outlines: false\n"
        "not_genes: [a, b]\n"
    )


def read_settings(given: Path, out: Path) -> Values:
    """`--config FILE`."""
    kinds = (TableSettings, ReadSettings, SamplingSettings, BuildSettings)
    options = parser("cohort build", "")
    for kind in kinds:
        add_settings(options, kind)
    parsed = options.parse(["--config", str(given / "settings.yaml")])
    return {kind.__name__: str(settings_from(parsed, kind)) for kind in kinds}


SCANS = ("*.nii", "*.nii.gz", "*.nrrd", "*.mha", "*.dcm")
READERS: Mapping[str, Reader] = {
    "nifti": Reader(write_pairs, SCANS, read_scans, of_one=True),
    "nrrd-metaimage": Reader(write_itk, SCANS, read_scans, of_one=True),
    "dicom-ct": Reader(write_series, ("*/ct-*.dcm",), read_scans, of_one=True),
    "dicom-seg": Reader(write_series, ("*/seg.dcm",), read_scans, of_one=True),
    "dicom-rtstruct": Reader(write_rtstructs, ("*/rtstruct.dcm",), read_scans, of_one=True),
    "layouts": Reader(write_layouts, ("images/dataset.json", "cohort.yaml", "fetch.json"), built("")),
    "manifest": Reader(write_manifest, ("scans.csv",), built("scans.csv")),
    "organ-mask": Reader(write_manifest, ("*o.nii.gz",), built("scans.csv"), of_one=True),
    "expression-csv": Reader(write_tables, ("genes.csv",), loaded(expression="genes.csv")),
    "expression-tsv-gz": Reader(write_tables, ("genes.tsv.gz",), loaded(expression="genes.tsv.gz")),
    "expression-gct": Reader(write_tables, ("genes.gct",), loaded(expression="genes.gct")),
    "expression-xlsx": Reader(write_tables, ("genes.xlsx",), loaded(expression="genes.xlsx")),
    "series-matrix": Reader(write_tables, ("GSE1*",), loaded(expression="GSE1_series_matrix.txt.gz")),
    "h5ad": Reader(write_tables, ("dense.h5ad",), loaded(expression="dense.h5ad")),
    "h5ad-sparse": Reader(write_tables, ("sparse.h5ad",), loaded(expression="sparse.h5ad")),
    "aim": Reader(write_aim, ("aim/*.xml",), loaded(annotations="aim"), of_one=True),
    "clinical": Reader(write_clinical, ("clinical.csv",), loaded(clinical="clinical.csv"), free=True),
    "id-map": Reader(write_clinical, ("ids.csv",), loaded(expression="genes.csv", id_map="ids.csv")),
    "gene-sets": Reader(write_gmt, ("sets.gmt",), read_sets, free=True),
    "radiomics": Reader(write_gmt, ("radiomics.csv",), read_features),
    "cohort-store": Reader(write_toy, ("toy.zarr/**/*",), read_store, checked=("*",)),
    "parts": Reader(write_parts, ("c.zarr.parts/*.npz",), read_parts, goes_on=True),
    "run": Reader(write_results, ("gan/*.*",), read_run, checked=("*.yaml", "*.json", "*.safetensors")),
    "checkpoints": Reader(write_stopped, ("run/*.*", "run/checkpoints/*"), read_stopped, goes_on=True),
    "map-page": Reader(write_results, ("map/*", "map/tables/*", "map/pictures/*"), read_page, free=True),
    "explorer": Reader(
        write_results, ("map/page.json", "map/tables/*", "evaluation/*.json", "evaluation/tables/*"), read_explored
    ),
    "reader-study": Reader(write_results, ("reader-*.csv", "study.key.json"), read_answers, checked=("*.json",)),
    "config": Reader(write_settings, ("settings.yaml",), read_settings),
}
