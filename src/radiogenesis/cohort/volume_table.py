"""3-D radiomic features of every outlined tumor in a folder of scans: the table that `map --radiomics` reads.

OUT            CSV as PyRadiomics writes it: `Image` (here the patient's id), then one column per feature
OUT.json       settings, versions, and who is left out and why
OUT.parts/     what was measured so far, one file per patient; the same command goes on from there, and it is
               removed when the table is whole
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.audit import refuse_unfinished, without_root
from radiogenesis.cohort.build import Progress, Silent, beside, find_scans, process
from radiogenesis.cohort.patient_parts import NOT_OUTLINED, Outcome, file_name, read_scan, source_key
from radiogenesis.cohort.sampling.pieces import main_lesion
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.workers import BuildSettings, unexpected
from radiogenesis.csv_files import write_csv
from radiogenesis.errors import InputError, ScanError, may_pass
from radiogenesis.output import check_place, json_text, whole_file, write_text
from radiogenesis.phenotypes.volumes import VolumeSettings, feature_extractor, volume_features
from radiogenesis.version import __version__
from radiogenesis.work_folder import parts_folder, refuse_foreign, remove_parts

_PART_VERSION = 2  # raise it when a part is written in another way


@dataclass(frozen=True)
class VolumeTable:
    """What was measured.

    Attributes:
        features: patients x features, as PyRadiomics names them.
        left_out: patient -> why.
    """

    features: pd.DataFrame
    left_out: dict[str, str]


def volume_table(
    raw: str | Path,
    out: str | Path,
    volume: VolumeSettings | None = None,
    *,
    read: ReadSettings | None = None,
    build: BuildSettings | None = None,
    progress: Progress | None = None,
) -> VolumeTable:
    """Measure every outlined tumor under `raw`; what is outlined on one scan is one tumor.

    Args:
        raw: folder with DICOM or NIfTI, as for `cohort build`.
        out: the table; must not exist yet.
        volume, read, build: settings.
        progress: is told what happens.

    Raises:
        SettingError: PyRadiomics is not installed, or does not know a filter.
        OutputError: something is at `out`.
        ScanError: `raw` is no folder.
        InputError: no tumor could be measured, or some failed by an error of the system, which may pass.
    """
    raw, out = (Path(os.path.abspath(path)) for path in (raw, out))  # workers may have another working directory
    volume, read, build = volume or VolumeSettings(), read or ReadSettings(), build or BuildSettings()
    progress = progress or Silent()
    read.require_hu("cohort radiomics")
    feature_extractor(volume)  # its errors come before the long work
    check_place(out)
    refuse_foreign(beside(out, "parts"))
    if not beside(out, "parts").is_dir():  # where it is, OUT.json may be this call's own
        check_place(out.with_name(f"{out.name}.json"))
    progress.say(f"looking through {raw}")
    findings = find_scans(raw, read)
    work = beside(out, "parts")
    jobs = _jobs(findings.sources, work, volume, read)
    if not jobs:
        scans = f"{len(findings.sources)} scans, none of them outlined" if findings.sources else "no scan"
        raise InputError(f"holds {scans}", path=raw, remedy="give scans with RTSTRUCT, SEG or a NIfTI mask")
    with parts_folder(work):
        check_place(out)  # another command may have been first
        outcomes = process(jobs, _there, partial(_measure, volume=volume, read=read), build, progress)
        refuse_unfinished(outcomes.values(), raw, work)
        left_out = dict(findings.refused) | {
            source.patient: NOT_OUTLINED for source in findings.sources if not source.outline_files
        }
        left_out |= {one.patient: one.reason for one in outcomes.values() if one.status == "out"}
        left_out = dict(zip(left_out, without_root(pd.Series(left_out, dtype=object), raw), strict=True))
        measured = {s.patient: _features(path) for s, path in jobs if outcomes[s.patient].status == "in"}
        table = pd.DataFrame.from_dict(measured, orient="index")
        remarks = {one.patient: one.reason for one in outcomes.values() if one.status == "in" and one.reason}
        _write(table, out, left_out, remarks, {"volume": asdict(volume), "reading": asdict(read)})
        if left := remove_parts(work):
            progress.say(f"{work} stays: what was in it beside the parts ({', '.join(left)})")
    return VolumeTable(table, left_out)


def _jobs(
    sources: Sequence[Source], folder: Path, volume: VolumeSettings, read: ReadSettings
) -> list[tuple[Source, Path]]:
    """Every outlined scan, and where its features are kept until all are there."""
    settings = {"version": __version__, "parts": _PART_VERSION, "volume": asdict(volume), "read": asdict(read)}
    return [
        (source, folder / f"{file_name(source.patient)}-{source_key(source, **settings)}.json")
        for source in sources
        if source.outline_files
    ]


def _there(source: Source, path: Path) -> Outcome | None:
    """Features in a file that is whole; whoever was left out is tried again."""
    try:
        part = _part(path)
        part["features"].items()
        return Outcome(source.patient, "in", str(part["remark"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _measure(job: tuple[Source, Path], *, volume: VolumeSettings, read: ReadSettings) -> Outcome:
    """One scan's features in a file. Whatever goes wrong is this patient's outcome, and nobody else's."""
    source, path = job
    try:
        scan = read_scan(source, read)
        shown, several = main_lesion(scan)
        features = volume_features(scan.hu, shown.tumor_mask, scan.spacing_mm, volume)
        remark = "; ".join(filter(None, [*scan.remarks, several]))
        write_text(path, json_text({"features": features, "remark": remark}))
    except ScanError as error:
        return Outcome(source.patient, "out", str(error), passing=may_pass(error))
    except Exception as error:
        return unexpected(source, error)
    return Outcome(source.patient, "in", remark)


def _features(path: Path) -> dict[str, float]:
    """The features in a file; null is what PyRadiomics could not measure."""
    features: dict[str, float | None] = _part(path)["features"]
    return {name: float("nan") if value is None else value for name, value in features.items()}


def _part(path: Path) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return part


def _write(
    table: pd.DataFrame, out: Path, left_out: dict[str, str], remarks: dict[str, str], settings: dict[str, Any]
) -> None:
    import radiomics

    versions = {"radiogenesis": __version__, "pyradiomics": radiomics.__version__}
    about = {"settings": settings, "versions": versions, "patients": len(table)}
    about |= {"left_out": left_out, "remarks": remarks}
    write_text(out.with_name(f"{out.name}.json"), json_text(about))
    with whole_file(out) as partial_file:
        write_csv(table, partial_file, index_label="Image")
