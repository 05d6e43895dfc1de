"""The smallest whole inputs of every reader: what `mutations.py` damages. Each function fills a new folder."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import DSfloat

from radiogenesis.api.runs import train  # noqa: F401  imported once, not in every fork
from radiogenesis.cli.main import main as command
from radiogenesis.cohort.build import Silent, build_cohort
from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Acquisition, Scan
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.workers import BuildSettings
from radiogenesis.errors import RadiogenesisError
from radiogenesis.testing import toy_cohort, train_toy
from radiogenesis.training.run import Run

PATIENTS = ("R01-001", "R01-002")
SMALL = SamplingSettings(pixels=16, background_centers=0, slices_per_center=2)


class Refused(RadiogenesisError):
    """A command ended with an exit code and its line on standard error."""


def run_command(*words: str | Path) -> None:
    """The command as a user gives it. Raises Refused where it ends in a line."""
    code = command(list(map(str, words)))
    if code:
        raise Refused(f"exit code {code}")


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


def write_toy(folder: Path) -> None:
    """A toy cohort with tables."""
    toy_cohort(folder / "toy.zarr", patients=8, genes=12, slices=2, pixels=16)


def write_stopped(folder: Path) -> None:
    """A run that has its checkpoints and no weights yet."""
    cohort = toy_cohort(folder / "toy.zarr", patients=12, genes=8, slices=2, pixels=32)
    train_toy("inpainting-gan", cohort, folder / "run", steps=2, checkpoint_every=1)
    (folder / "run" / "weights.safetensors").unlink()


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
    record = {"runs": [{"name": "gan", "provenance": json.loads((folder / "gan" / "provenance.json").read_text())}]}
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps(record))
    numbers = {"near": 0.01, "low": 0.0, "high": 0.1, "p": 0.6, "seen_5": 0.2, "seen_10": 0.4, "seen_25": 0.9}
    numbers |= {"seen_100": 1.0, "false_alarms": 0.05}
    near = pd.DataFrame([{"run": "gan", "of": of, **numbers} for of in ("drawn", "copies", "real")])
    near.to_csv(folder / "evaluation" / "tables" / "memorization.csv", index=False)
    words = ["--rated", "4", "--pairs", "2", "--property_pairs", "2", "--properties", "size", "--controls", "2"]
    words += ["--network_steps", "0", "--real_patients", "true", "--anyway", "true"]
    run_command("readers", "make", folder / "gan", folder / "study.html", *words)
    run_command("readers", "simulate", folder / "study.key.json", folder / "rehearsal", "--readers", "2")
    for number, path in enumerate(sorted((folder / "rehearsal" / "guesses").glob("*.csv"))):
        shutil.copy(path, folder / f"reader-{number}.csv")


def write_settings(folder: Path) -> None:
    """Settings of `cohort build` as a file."""
    (folder / "settings.yaml").write_text(
        "roi: GTV*\nfraction: 0.4\nspacing_tolerance_mm: 0.2\npixels: 48\nfield_of_view_mm: 60.0\nlog: true\n"
        "orientation: genes-in-rows\nduplicates: mean\nworkers: 2\nwindow: null\nautomatic_outlines: false\n"
        "not_genes: [a, b]\n"
    )
