"""What `find-tumor` does: a trained U-Net looks for tumors in scans that nobody has outlined, and writes them down.

OUT/
  tumors.csv        every tumor: volume, center and bounding box in millimeters (LPS) and in the scan's own voxels
  slices.csv         the box on every slice
  scans.csv          every scan that was found, what came of it, what was assumed, and why not more
  finding.json       run, settings, versions
  PATIENT/           mask.nii.gz on the scan's own voxels, seg.dcm that belongs to the CT where it is DICOM and its
                     headers name what a SEG must refer to, overlay.png

`cohort build` reads each seg.dcm as the outline of its CT where OUT lies under the same folder as the DICOM.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.dicom.folder import read_dicom
from radiogenesis.cohort.dicom.writer import write_segmentation
from radiogenesis.cohort.nifti import read_nifti, write_nifti
from radiogenesis.cohort.patient_parts import file_name
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sampling.upright import turned_back, upright
from radiogenesis.cohort.sampling.whole_slices import Frame, blind_lungs
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.workers import unexpected
from radiogenesis.csv_files import write_csv
from radiogenesis.errors import OutputError, RadiogenesisError, RunError, ScanError, may_pass
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, separate
from radiogenesis.output import check_place, json_text, whole_folder
from radiogenesis.progress import Progress, silent
from radiogenesis.reporting.overlays import overlay_grid
from radiogenesis.training.run import Run
from radiogenesis.version import __version__

TUMOR = "tumor"
_LPS = ("x", "y", "z")
_VOXEL = ("plane", "row", "column")


@dataclass(frozen=True)
class FoundTumors:
    """What was found in one scan.

    Attributes:
        scan: the scan, its tumor mask the union of all that was found.
        tumors: one row per tumor, the most likely first.
        slices: one row per tumor and slice.
    """

    scan: Scan
    tumors: pd.DataFrame
    slices: pd.DataFrame


def tumor_unet(run: Run) -> TumorUNet:
    """The trained U-Net of a run. Raises RunError for a run of another method."""
    if not isinstance(run.method, TumorUNet):
        raise RunError(
            f"the method {run.method_name} does not find tumors", path=run.path, remedy="give a run of tumor-unet"
        )
    return run.method


def least_lung_mm2(run: Run, settings: FindSettings) -> float:
    """Lung that a slice must show to be looked at, in mm2: as asked for, else as in the cohort trained on.

    Where neither the run says it nor its cohort can be opened any more, it is what cohorts have by default.
    """
    if settings.whole_lung_mm2:
        return settings.whole_lung_mm2
    recorded = run.config.get("whole_lung_mm2")
    if recorded is None:
        try:
            recorded = run.open_cohort().settings["sampling"].get("whole_lung_mm2")
        except RadiogenesisError:  # it has moved, or is no longer the one trained on
            recorded = None
    return SamplingSettings().whole_lung_mm2 if recorded is None else float(recorded)


def find_tumors(run: Run, scan: Scan, settings: FindSettings) -> FoundTumors:
    """Look for tumors in every slice that contains lung (Li, Sui et al. 2021, section III.B).

    Args:
        run: a run of tumor-unet.
        scan: the scan; outlines on it are not looked at.
        settings: threshold, smallest size, distance from the lungs, least lung on a slice.

    Raises:
        ScanError: no lung is found.
        RunError: the run is of another method.
    """
    pixels, pixel_mm = int(run.config["pixels"]), float(run.config["pixel_mm"])
    sampling = SamplingSettings(
        whole_pixels=pixels,
        whole_field_mm=pixels * pixel_mm,
        whole_every_mm=0,
        whole_lung_mm2=least_lung_mm2(run, settings),
    )
    scan = replace(scan, masks={}, tumor=None)
    lungs = blind_lungs(scan)
    frame = Frame.around(lungs, scan, sampling)
    probability = frame.back(tumor_unet(run).probability(frame.images(scan)), scan.hu.shape)
    labels = separate(probability, lungs, scan.spacing_mm, settings)
    tumors, slices = tables(labels, probability, scan)
    return FoundTumors(scan.with_mask(TUMOR, labels > 0, tumor=True), tumors, slices)


def tables(
    labels: NDArray[np.int32], probability: NDArray[np.float32], scan: Scan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every tumor, and every tumor's box on every slice, in voxels and in millimeters of the patient.

    Boxes run from the outer edge of the first voxel to that of the last; in millimeters they are the smallest boxes
    along x, y, z (LPS) that hold the voxels' boxes, the same where the scan is not oblique.
    """
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    tumors, slices = [], []
    for rank, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == rank
        corner = np.array([edge.start for edge in box])
        center = scan.to_patient(np.argwhere(inside).mean(axis=0) + corner)
        tumors.append(
            {
                "patient": scan.patient,
                "tumor": rank,
                "volume_ml": float(inside.sum() * voxel_ml),
                "probability": float(probability[box][inside].mean()),
                **{f"center_{axis}_mm": float(value) for axis, value in zip(_LPS, center, strict=True)},
                **_box(corner, inside.shape, scan),
            }
        )
        for plane, mask in enumerate(inside):
            if mask.any():
                (low_y, low_x), (high_y, high_x) = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0)
                first = corner + np.array([plane, low_y, low_x])
                size = (1, int(high_y - low_y) + 1, int(high_x - low_x) + 1)
                slices.append({"patient": scan.patient, "tumor": rank, **_box(first, size, scan)})
    columns = ["patient", "tumor", *_box(np.zeros(3, int), (1, 1, 1), scan)]
    lead = ["patient", "tumor", "volume_ml", "probability", *(f"center_{axis}_mm" for axis in _LPS)]
    return pd.DataFrame(tumors, columns=[*lead, *columns[2:]]), pd.DataFrame(slices, columns=columns)


def _box(first: NDArray[np.integer[Any]], shape: tuple[int, ...], scan: Scan) -> dict[str, float]:
    """First and last voxel along each axis, and the box's ends in mm."""
    last = first + np.array(shape) - 1
    corners = np.stack(np.meshgrid(*zip(first - 0.5, last + 0.5, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    places = scan.to_patient(corners)
    voxels = {f"{end}_{axis}": int(value) for axis, pair in zip(_VOXEL, zip(first, last, strict=True), strict=True)
              for end, value in zip(("first", "last"), pair, strict=True)}  # fmt: skip
    ends = zip(_LPS, places.min(axis=0), places.max(axis=0), strict=True)
    return voxels | {
        f"{end}_{axis}_mm": float(value) for axis, low, high in ends for end, value in (("low", low), ("high", high))
    }


def find_in_folder(
    run: Run,
    ct_folder: str | Path,
    out: str | Path,
    settings: FindSettings,
    *,
    read: ReadSettings | None = None,
    tell: Progress = silent,
) -> pd.DataFrame:
    """Look for tumors in every CT under a folder and write OUT, whole or not at all; see the module.

    Returns:
        the table scans.csv: patient, tumors, volume_ml, note.

    Raises:
        OutputError: OUT exists.
        RunError: the run is of another method.
        ScanError: no scan in the folder can be used.
    """
    tumor_unet(run)
    out, read = Path(out), read or ReadSettings()
    read.require_hu("find-tumor")
    check_place(out)
    settings = replace(settings, whole_lung_mm2=least_lung_mm2(run, settings))  # looked up once, and written down
    findings = find_scans(Path(ct_folder), read)
    if not findings.sources:
        raise ScanError("holds no CT that can be used", path=ct_folder, remedy="give a folder of DICOM or NIfTI")
    with whole_folder(out) as partial:
        scans = [{"patient": patient, "tumors": 0, "note": note} for patient, note in findings.refused]
        tumors, slices = [], []
        for done, source in enumerate(findings.sources):
            tell(source.patient, done, len(findings.sources))
            try:
                scan = _read(source, read)
                in_scan = find_tumors(run, upright(scan), settings)
                note = _write_scan(in_scan, scan, source, partial / file_name(source.patient), run)
            except Exception as error:
                if isinstance(error, OutputError) or may_pass(error):  # it would meet the other scans too
                    raise
                why = str(error) if isinstance(error, ScanError) else _reason(source, error)
                shutil.rmtree(partial / file_name(source.patient), ignore_errors=True)
                scans.append({"patient": source.patient, "tumors": 0, "note": why})
                continue
            volume = float(in_scan.tumors["volume_ml"].sum())
            scans.append({"patient": source.patient, "tumors": len(in_scan.tumors), "volume_ml": volume, "note": note})
            tumors.append(in_scan.tumors)
            slices.append(in_scan.slices)
        if not tumors:
            raise ScanError("no scan shows lung", path=ct_folder, remedy=str(scans[0]["note"]))
        table = pd.DataFrame(scans, columns=["patient", "tumors", "volume_ml", "note"]).sort_values("patient")
        for name, frame in (("scans", table), ("tumors", pd.concat(tumors)), ("slices", pd.concat(slices))):
            write_csv(frame, partial / f"{name}.csv")
        record = {
            "run": str(run.path),
            "run_config": run.config,
            "settings": asdict(settings),
            "radiogenesis": __version__,
            "remark": "Research use only: found by a network, seen by nobody.",
        }
        (partial / "finding.json").write_text(json_text(record), encoding="utf-8")
    return table


def _reason(source: Source, error: Exception) -> str:
    """Why one scan failed that provoked an error in a library: this scan's, and nobody else's.

    An error of the system, such as a full disk, would meet the others too, and is raised again.
    """
    outcome = unexpected(source, error)
    if outcome.passing:
        raise error
    return outcome.reason


def _read(source: Source, read: ReadSettings) -> Scan:
    """The scan without the outlines that may lie beside it: an outline that cannot be read stops nothing here."""
    bare = replace(source, outline_files=(), other_outlines=())
    return read_dicom(bare, read) if source.kind == "dicom" else read_nifti(bare, read)


def _write_scan(tumors: FoundTumors, as_read: Scan, source: Source, folder: Path, run: Run) -> str:
    """Write one scan's folder; returns what is to be noted: what was assumed, and why there is no SEG."""
    folder.mkdir()
    scan, notes = tumors.scan, list(tumors.scan.remarks)
    write_nifti(folder / "mask.nii.gz", scan.tumor_mask, scan.affine)
    if source.kind == "dicom" and scan.tumor_mask.any():
        seed = f"{run.provenance['cohort_digest']}/{json.dumps(run.config, sort_keys=True)}"
        own = as_read.with_mask(TUMOR, turned_back(scan.tumor_mask, as_read), tumor=True)
        try:
            write_segmentation(
                own, source.image_files, folder / "seg.dcm", description="tumor found by U-Net", uid_seed=seed
            )
        except ScanError as error:
            notes.append(f"no seg.dcm: {error}")
    planes = _planes(scan)
    overlay_grid([(scan.patient, scan.hu[planes], None, scan.tumor_mask[planes])], folder / "overlay.png")
    return "; ".join(notes)


def _planes(scan: Scan) -> NDArray[np.intp]:
    """Planes to show: those with tumor, else every tenth."""
    shown = np.flatnonzero(scan.tumor_mask.any(axis=(1, 2)))
    return shown if len(shown) else np.arange(0, len(scan.hu), 10)
