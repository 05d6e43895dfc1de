"""From a folder of scans and a table of expression to a cohort: patients side by side, resumable, everybody audited.

    OUT.parts/      what was computed so far, one file per patient; the same command goes on from there, and it is
                    removed when the cohort is whole
    OUT             the cohort
    OUT.id_map.csv  where ids of scans and tables nearly match: which pairs are likely, for a person to check
    OUT.previews/   one picture per patient: look at them before believing anything; skipped.csv: files passed over

Peak memory is that of one scan per worker: the parts are appended to the cohort one by one.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from radiogenesis.cohort import patient_parts
from radiogenesis.cohort.audit import audit_table, refuse_unfinished, skipped_table, without_root
from radiogenesis.cohort.dicom.folder import find_dicom
from radiogenesis.cohort.digest import json_digest
from radiogenesis.cohort.folders.find import find_volumes, names_expected
from radiogenesis.cohort.folders.organ_masks import with_organ_masks, without_lobes
from radiogenesis.cohort.loading import Loaded, Tables
from radiogenesis.cohort.manifest import read_manifest
from radiogenesis.cohort.patient_parts import Outcome
from radiogenesis.cohort.raw_settings import scans_in
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.volume_files import is_volume_or_data
from radiogenesis.cohort.walk import files_under
from radiogenesis.cohort.workers import BuildSettings, side_by_side, unexpected
from radiogenesis.cohort.writer import CohortWriter, room_of
from radiogenesis.csv_files import write_csv
from radiogenesis.errors import CohortError, InputError, OutputError, SettingError
from radiogenesis.output import ROOM, check_place, whole_file
from radiogenesis.work_folder import parts_folder, refuse_foreign, remove_parts

__all__ = ["BuildSettings", "Progress", "Silent", "Tables", "beside", "build_cohort", "find_scans"]

REASONS_SHOWN = 20  # reasons for which files were passed over that the provenance counts; skipped.csv has them all


class Progress(Protocol):
    """What a build tells while it works; `cli.cohort_build` draws bars from it."""

    def say(self, text: str) -> None:
        """What is being done now."""

    def start(self, total: int, done: int) -> None:
        """So many patients in all, so many of them done in an earlier run."""

    def advance(self, outcome: Outcome) -> None:
        """One more patient is done."""


class Silent:
    """Tells nothing."""

    def say(self, text: str) -> None: ...

    def start(self, total: int, done: int) -> None: ...

    def advance(self, outcome: Outcome) -> None: ...


def build_cohort(
    raw: str | Path,
    out: str | Path,
    tables: Tables | None = None,
    *,
    read: ReadSettings | None = None,
    sampling: SamplingSettings | None = None,
    build: BuildSettings | None = None,
    organ_mask: str | Path | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Build a cohort from everything under `raw`.

    A scan that cannot be used never stops the others: it stands in the audit with the reason. Interrupted at any
    moment, the same call goes on with the patients that are left; what was made with other settings or files is made
    again. Interrupted after the cohort was whole, the same call tidies up and opens it.

    Args:
        raw: folder with DICOM or volume files in one of the layouts of `folders`, or a manifest (see `manifest`).
        out: the cohort; must not exist yet.
        tables: expression, annotations, clinical table, and how they are read.
        read, sampling, build: settings.
        organ_mask: folder with masks of the organ, instead of those that are found in the images.
        progress: is told what happens.

    Raises:
        OutputError: something is at `out` or `out`.previews, or the disk does not take the cohort.
        ScanError: `raw` is no folder.
        InputError: `raw` holds no scan that can be used, no patient is left of those it holds, or some failed by an
            error of the system, which may pass (what was computed is kept).
        ExpressionError, AnnotationError: a table cannot be used, or no patient has both a scan and expression.
        SettingError: the Dask scheduler does not answer, or its workers lack this version.
    """
    raw, out = (Path(os.path.abspath(path)) for path in (raw, out))  # workers may have another working directory
    tables, progress = tables or Tables(), progress or Silent()
    read, sampling, build = read or ReadSettings(), sampling or SamplingSettings(), build or BuildSettings()
    if sampling.whole_pixels and not patient_parts.imaging_of(read, sampling).of_lungs:
        raise SettingError("whole_pixels: whole slices are of lungs in HU alone", remedy="leave --whole_pixels out")
    previews, work = beside(out, "previews"), beside(out, "parts")
    refuse_foreign(work)
    if not work.is_dir():  # where it is, the cohort may be this call's own, interrupted in its last step
        check_place(out)
        check_place(previews)
    progress.say(f"looking through {raw}")
    findings = find_scans(raw, read)
    if not findings.sources:
        raise InputError("holds no scan that can be used", path=raw, remedy=_why_nothing(findings, raw))
    if sampling.organ != "lung" and not raw.is_file():
        findings = without_lobes(findings)
    if organ_mask is not None:
        findings = with_organ_masks(findings, Path(os.path.abspath(organ_mask)), read, sampling.organ)
    progress.say(f"layout: {findings.layout}")
    root = raw.parent if raw.is_file() else raw
    paths = {source.patient: patient_parts.part_path(work, source, read, sampling) for source in findings.sources}
    settings = {"sampling": asdict(sampling), "reading": asdict(read), "expression": asdict(tables.settings)}
    settings["imaging"] = asdict(patient_parts.imaging_of(read, sampling))
    provenance: dict[str, Any] = {"verb": "cohort build", "raw": raw.name, "layout": findings.layout}
    provenance["tables"] = _table_files(tables, raw)
    provenance["call"] = json_digest(
        [settings, provenance, tables.clinical_id, sorted(path.name for path in paths.values())]
    )
    if (whole := _written_by(out, provenance["call"])) is not None:
        with parts_folder(work):
            _tidy(work, previews, progress)
        return whole
    check_place(out)
    check_place(previews)
    scanned = {source.patient for source in findings.sources}
    loaded = Loaded.read(tables, scanned, findings.columns, beside(out, "id_map.csv"))
    with parts_folder(work):
        check_place(out, room=max(ROOM, 2 * room_of(len(paths), sampling)))  # the parts, and the cohort
        jobs = [(source, paths[source.patient]) for source in findings.sources]
        outcomes = process(jobs, _part_there, partial(_make, read=read, sampling=sampling), build, progress)
        refuse_unfinished(outcomes.values(), root, work)
        progress.say("writing the cohort")
        skipped = skipped_table(findings, root, loaded.annotations, tables.annotations)
        _write_skipped(skipped, work / "previews" / "skipped.csv")
        audit = audit_table(findings, outcomes, loaded.found_in(), loaded.remarks())
        audit["reason"] = without_root(audit["reason"], root)
        annotations = loaded.with_spacing(outcomes.values())
        usable = [path for patient, path in paths.items() if outcomes[patient].status != "out"]
        loaded.refuse_nobody({patient for patient in paths if outcomes[patient].status != "out"})
        try:
            with CohortWriter(out, settings=settings, provenance=provenance | _counts(findings, skipped)) as writer:
                for path in usable:
                    writer.add(patient_parts.read_part(path))
                cohort = writer.finish(
                    expression=loaded.expression,
                    audit=audit,
                    annotations=None if annotations is None else annotations.features,
                    annotation_codes=None if annotations is None else annotations.codes,
                    clinical=loaded.clinical,
                )
        except OSError as error:
            remedy = f"make room there, and the same command goes on ({work.name} is kept)"
            raise OutputError(f"cannot be written ({error.strerror or error})", path=out, remedy=remedy) from error
        _tidy(work, previews, progress)
    return cohort


def _written_by(out: Path, call: str) -> Cohort | None:
    """The cohort at `out`, where this very call wrote it and was interrupted before it had tidied up."""
    try:
        cohort = Cohort.open(out)
    except CohortError:
        return None
    return cohort if cohort.provenance.get("call") == call else None


def _tidy(work: Path, previews: Path, progress: Progress) -> None:
    """The last step: OUT.parts/previews becomes OUT.previews, and OUT.parts goes."""
    if (work / "previews").is_dir() and not os.path.lexists(previews):
        (work / "previews").rename(previews)
    if left := remove_parts(work):
        progress.say(f"{work} stays: what was in it beside the parts ({', '.join(left)})")


def beside(out: Path, what: str) -> Path:
    """OUT.previews, OUT.parts."""
    return out.with_name(f"{out.name}.{what}")


def find_scans(raw: Path, read: ReadSettings) -> Findings:
    """DICOM and volume files (see `folders`) under `raw`, or what a manifest names where it is a file.

    A patient who has both keeps the DICOM, which says more, unless only the NIfTI is outlined: then the DICOM's lungs
    would pass for healthy ones. Of a public cohort that was fetched, only its images are looked through (see
    `raw_settings`).
    """
    if raw.is_file():
        return read_manifest(raw, read)
    scans = scans_in(raw)
    dicom, nifti = find_dicom(scans, read), find_volumes(scans, read)
    outlined = {source.patient for source in nifti.sources if source.outline_files}
    kept = [source for source in dicom.sources if source.outline_files or source.patient not in outlined]
    twice = {source.patient for source in kept}
    kept += [source for source in nifti.sources if source.patient not in twice]
    return Findings(
        sources=sorted(kept, key=lambda source: source.patient),
        refused=sorted([*dicom.refused, *nifti.refused]),
        skipped=[
            *(entry for entry in dicom.skipped if not is_volume_or_data(entry[0])),
            *nifti.skipped,
            *(
                (source.image_files[0], "the first file of a scan whose patient has another")
                for source in (*dicom.sources, *nifti.sources)
                if source not in kept
            ),
        ],
        modalities=dicom.modalities + nifti.modalities,
        layout="; ".join(filter(None, [f"DICOM ({len(dicom.sources)})" if dicom.sources else "", nifti.layout])),
    )


def process(
    jobs: Sequence[tuple[Source, Path]],
    there: Callable[[Source, Path], Outcome | None],
    make: Callable[[tuple[Source, Path]], Outcome],
    build: BuildSettings,
    progress: Progress,
) -> dict[str, Outcome]:
    """The outcome of every source, by patient; what `there` knows of an earlier call is not made again."""
    outcomes: dict[str, Outcome] = {}
    waiting: list[tuple[Source, Path]] = []
    for source, path in jobs:
        known = there(source, path)
        if known is None:
            waiting.append((source, path))
        else:
            outcomes[source.patient] = known
    progress.start(len(jobs), len(outcomes))
    for outcome in side_by_side(make, waiting, build):
        outcomes[outcome.patient] = outcome
        progress.advance(outcome)
    return outcomes


def _part_there(source: Source, path: Path) -> Outcome | None:
    """The outcome of a part that is there with its preview."""
    there = patient_parts.read_outcome(path)
    complete = there and (there.status == "out" or patient_parts.preview_path(path.parent, source.patient).is_file())
    return there if complete else None


def _make(job: tuple[Source, Path], *, read: ReadSettings, sampling: SamplingSettings) -> Outcome:
    """One part. Whatever an odd file provokes in a library is this patient's outcome, and nobody else's."""
    source, path = job
    try:
        return patient_parts.make_part(source, read, sampling, path)
    except Exception as error:
        return unexpected(source, error)
    finally:
        gc.collect()  # matplotlib's figures are reference cycles, and hold on to the scan that they show


def _table_files(tables: Tables, raw: Path) -> dict[str, dict[str, str]]:
    """The tables by name and content; names only, since paths say more about a machine than about data."""
    given = {"expression": tables.expression, "annotations": tables.annotations, "clinical": tables.clinical}
    given |= {"id_map": tables.id_map, "manifest": raw if raw.is_file() else None}
    return {name: {"name": path.name, "sha256": _sha256(path)} for name, path in given.items() if path is not None}


def _counts(findings: Findings, skipped: pd.DataFrame) -> dict[str, Any]:
    """How many files of which kind were found, and how many were passed over, for which reasons."""
    commonest = Counter(skipped["reason"]).most_common(REASONS_SHOWN)
    return {"files": dict(findings.modalities), "skipped": dict(commonest), "skipped_files": len(skipped)}


def _write_skipped(skipped: pd.DataFrame, path: Path) -> None:
    if skipped.empty:
        path.unlink(missing_ok=True)  # of an earlier attempt
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial_file:
        write_csv(skipped, partial_file)


def _sha256(path: Path) -> str:
    """Of a file, or of a folder's XML files in the order of their names."""
    hashed = hashlib.sha256()
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*.xml")) if file.is_file()]
    for file in files:
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _why_nothing(findings: Findings, raw: Path) -> str:
    """What was found instead of scans, and what would be understood, for the error's remedy."""
    reasons = [reason for _, reason in findings.refused][:2]
    if any(not kind.startswith("NIfTI") for kind in findings.modalities):
        found = ", ".join(f"{count} {modality}" for modality, count in sorted(findings.modalities.items()))
        return "; ".join([f"found {found}", *(reasons or [reason for _, reason in findings.skipped][:2])])
    names = [path.relative_to(raw) for path in files_under(raw)[0]]
    return "; ".join([*reasons, names_expected(names)])
