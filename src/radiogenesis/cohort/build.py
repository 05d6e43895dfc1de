"""From a folder of scans and a table of expression to a cohort: patients side by side, resumable, everybody audited.

    OUT.parts/      what was computed so far, one file per patient; the same command goes on from there, and it is
                    removed when the cohort is whole
    OUT             the cohort
    OUT.previews/   one picture per patient: look at them before believing anything

Peak memory is that of one scan per worker: the parts are appended to the cohort one by one.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import anndata
import pandas as pd

from radiogenesis import __version__
from radiogenesis.cohort import parts
from radiogenesis.cohort.annotations import Annotations, read_aim, read_clinical
from radiogenesis.cohort.dicom import find_dicom
from radiogenesis.cohort.expression import TableSettings, read_expression
from radiogenesis.cohort.nifti import SUFFIXES, find_nifti
from radiogenesis.cohort.parts import Outcome
from radiogenesis.cohort.sampling import SamplingSettings
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.store import Cohort, CohortWriter
from radiogenesis.errors import InputError, SettingError
from radiogenesis.output import refuse_existing

SCAN_GIB = 3.0  # memory that one worker needs for a large chest CT, its masks and their distances
CONNECT_SECONDS = 20  # how long a Dask scheduler may take to answer


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How the work is spread."""

    workers: int = 0
    """Processes on this machine; 0 takes one per core as far as memory allows (3 GiB each), 1 works in this process."""
    scheduler: str = ""
    """Address of a running Dask scheduler (tcp://host:8786) instead; its workers must see RAW and OUT."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers {self.workers}: not below 0")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables beside the scans; all may be absent, but without expression nothing can be trained."""

    expression: Path | None = None
    annotations: Path | None = None
    clinical: Path | None = None
    clinical_id: str = ""
    """Column of the clinical table that holds the patients' ids; "" lets known patients decide."""
    settings: TableSettings = field(default_factory=TableSettings)


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
    progress: Progress | None = None,
) -> Cohort:
    """Build a cohort from everything under `raw`.

    A scan that cannot be used never stops the others: it stands in the audit with the reason. Interrupted at any
    moment, the same call goes on with the patients that are left; what was made with other settings or files is made
    again.

    Args:
        raw: folder with DICOM or NIfTI, deep or flat.
        out: the cohort; must not exist yet.
        tables: expression, annotations, clinical table, and how they are read.
        read, sampling, build: settings.
        progress: is told what happens.

    Raises:
        CohortError: something is at `out` or `out`.previews.
        ScanError: `raw` is no folder, or holds no usable scan.
        ExpressionError, AnnotationError: a table cannot be used.
    """
    raw, out = Path(raw), Path(out)
    tables, progress = tables or Tables(), progress or Silent()
    read, sampling, build = read or ReadSettings(), sampling or SamplingSettings(), build or BuildSettings()
    previews, work = beside(out, "previews"), beside(out, "parts")
    refuse_existing(out)
    refuse_existing(previews)
    progress.say(f"looking through {raw}")
    findings = find_scans(raw, read)
    if not findings.sources:
        raise InputError("holds no scan that can be used", path=raw, remedy=_why_nothing(findings))
    loaded = _Loaded.read(tables, {source.patient for source in findings.sources})
    work.mkdir(parents=True, exist_ok=True)
    outcomes = _process(findings.sources, work, read, sampling, build, progress)
    progress.say("writing the cohort")
    settings = {"sampling": asdict(sampling), "reading": asdict(read), "expression": asdict(tables.settings)}
    with CohortWriter(out, settings=settings, provenance=_provenance(raw, tables, findings, loaded)) as writer:
        for source in findings.sources:
            if outcomes[source.patient].status != "out":
                writer.add(parts.read_part(parts.part_path(work, source, read, sampling)))
        annotations = _with_spacing(tables, outcomes.values())
        cohort = writer.finish(
            expression=loaded.expression,
            audit=audit_table(findings, outcomes, loaded.found_in()),
            annotations=None if annotations is None else annotations.features,
            annotation_codes=None if annotations is None else annotations.codes,
            clinical=loaded.clinical,
        )
    if (work / "previews").is_dir():
        (work / "previews").rename(previews)
    shutil.rmtree(work)
    return cohort


def beside(out: Path, what: str) -> Path:
    """OUT.previews, OUT.parts."""
    return out.with_name(f"{out.name}.{what}")


def find_scans(raw: Path, read: ReadSettings) -> Findings:
    """DICOM and NIfTI under `raw`; a patient who has both keeps the DICOM, which says more."""
    dicom, nifti = find_dicom(raw, read), find_nifti(raw)
    twice = {source.patient for source in dicom.sources}
    return Findings(
        sources=sorted(
            [*dicom.sources, *(source for source in nifti.sources if source.patient not in twice)],
            key=lambda source: source.patient,
        ),
        refused=sorted([*dicom.refused, *nifti.refused]),
        skipped=[
            *(entry for entry in dicom.skipped if not entry[0].name.endswith(SUFFIXES)),
            *nifti.skipped,
            *(
                (source.image_files[0], "the patient has DICOM too")
                for source in nifti.sources
                if source.patient in twice
            ),
        ],
        modalities=dicom.modalities + nifti.modalities,
    )


def audit_table(findings: Findings, outcomes: dict[str, Outcome], found_in: dict[str, set[str]]) -> pd.DataFrame:
    """Everybody found anywhere: patient, status, reason.

    Args:
        findings: what the folder of scans held.
        outcomes: what became of each source.
        found_in: table ("expression", "annotations", "clinical table") -> its patients.
    """
    refused: dict[str, str] = {}
    for patient, reason in findings.refused:
        refused[patient] = "; ".join(filter(None, [refused.get(patient), reason]))
    everybody = {*outcomes, *refused}.union(*found_in.values())
    rows = []
    for patient in sorted(everybody):
        if patient in outcomes:
            outcome = outcomes[patient]
            absent = ["no expression"] if patient not in found_in["expression"] else []
            rows.append((patient, outcome.status, "; ".join(filter(None, [outcome.reason, *absent]))))
        elif patient in refused:
            rows.append((patient, "out", refused[patient]))
        else:
            known = ", ".join(name for name, patients in found_in.items() if patient in patients)
            rows.append((patient, "out", f"no scan (only {known})"))
    return pd.DataFrame(rows, columns=["patient", "status", "reason"])


def _process(
    sources: list[Source],
    work: Path,
    read: ReadSettings,
    sampling: SamplingSettings,
    build: BuildSettings,
    progress: Progress,
) -> dict[str, Outcome]:
    """The outcome of every source; parts that are there already are not made again."""
    outcomes: dict[str, Outcome] = {}
    waiting: list[tuple[Source, Path]] = []
    for source in sources:
        path = parts.part_path(work, source, read, sampling)
        there = parts.read_outcome(path)
        if there is None or (there.status != "out" and not parts.preview_path(work, source.patient).is_file()):
            waiting.append((source, path))
        else:
            outcomes[source.patient] = there
    progress.start(len(sources), len(outcomes))
    make = partial(_make, read=read, sampling=sampling)
    for outcome in _run(make, waiting, build):
        outcomes[outcome.patient] = outcome
        progress.advance(outcome)
    return outcomes


def _make(job: tuple[Source, Path], *, read: ReadSettings, sampling: SamplingSettings) -> Outcome:
    """One part. Whatever an odd file provokes in a library is this patient's outcome, and nobody else's."""
    source, path = job
    try:
        return parts.make_part(source, read, sampling, path)
    except Exception as error:
        return _unexpected(source, error)
    finally:
        gc.collect()  # matplotlib's figures are reference cycles, and hold on to the scan that they show


def _unexpected(source: Source, error: BaseException) -> Outcome:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    if type(error).__name__ == "KilledWorker":  # by name, since importing Dask takes long
        what = "end of two workers (out of memory, or a crash in a library); try fewer --workers"
    return Outcome(source.patient, "out", f"unexpected {what}")


def _run(
    make: Callable[[tuple[Source, Path]], Outcome], jobs: list[tuple[Source, Path]], build: BuildSettings
) -> Iterator[Outcome]:
    """The outcomes, as they come; a worker that dies with a patient costs that patient only."""
    workers = min(build.workers or default_workers(), len(jobs))
    if not build.scheduler and workers <= 1:
        yield from map(make, jobs)
        return
    from distributed import as_completed

    with _client(build.scheduler, workers) as client:
        left, whose = iter(jobs), {}
        running = as_completed()

        def fill() -> None:
            """One patient per thread and no more, so that a dying worker takes nobody with it."""
            for job in islice(left, max(sum(client.nthreads().values()), 1) - running.count()):
                future = client.submit(make, job, pure=False)
                whose[future.key] = job[0]
                running.add(future)

        fill()
        for future in running:
            error = future.exception()
            yield future.result() if error is None else _unexpected(whose[future.key], error)
            fill()


@contextmanager
def _client(scheduler: str, workers: int) -> Iterator[Any]:
    """A Dask client of the given scheduler, or of so many single-threaded processes here."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise SettingError(f"no Dask scheduler answers at {scheduler}", remedy="check --scheduler") from error
        with client:
            _same_version(client, scheduler)
            yield client
        return
    # A patient of whom a worker dies is tried once more. No memory limit, since Dask would kill a worker where the
    # system still has memory for it.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _same_version(client: Any, scheduler: str) -> None:
    """Raises SettingError where the scheduler's workers could not do the work: Dask itself would wait for ever."""
    found = client.run(importlib.metadata.version, "radiogenesis", on_error="return")
    if not found:
        raise SettingError(f"the Dask scheduler at {scheduler} has no workers", remedy="start some with `dask worker`")
    for worker, version in found.items():
        if version != __version__:
            what = "lacks radiogenesis" if isinstance(version, Exception) else f"has radiogenesis {version}"
            raise SettingError(f"the Dask worker {worker} {what}", remedy=f"install radiogenesis {__version__} there")


def default_workers() -> int:
    """One per core that this process may use, as far as memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else SCAN_GIB
    return max(1, min(cores, int(memory / SCAN_GIB)))


@dataclass(frozen=True)
class _Loaded:
    """The tables, read before the long work so that their errors come at once."""

    expression: anndata.AnnData
    annotations: Annotations | None
    clinical: pd.DataFrame | None

    @classmethod
    def read(cls, tables: Tables, scanned: set[str]) -> _Loaded:
        annotations = None if tables.annotations is None else read_aim(tables.annotations)
        known = scanned | (set() if annotations is None else set(annotations.features.index))
        clinical = None
        if tables.clinical is not None:
            clinical = read_clinical(tables.clinical, patients=known, id_column=tables.clinical_id)
            known |= set(clinical.index)
        if tables.expression is None:
            return cls(anndata.AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str))), annotations, clinical)
        return cls(read_expression(tables.expression, patients=known, settings=tables.settings), annotations, clinical)

    def found_in(self) -> dict[str, set[str]]:
        """Table -> its patients."""
        return {
            "expression": set(self.expression.obs_names),
            "annotations": set() if self.annotations is None else set(self.annotations.features.index),
            "clinical table": set() if self.clinical is None else set(self.clinical.index),
        }


def _with_spacing(tables: Tables, outcomes: Iterable[Outcome]) -> Annotations | None:
    """The annotations again, now that the pixel spacing of the scans is known."""
    if tables.annotations is None:
        return None
    spacing = {outcome.series_uid: outcome.spacing_xy_mm for outcome in outcomes if outcome.series_uid}
    return read_aim(tables.annotations, pixel_mm=spacing)


def _provenance(raw: Path, tables: Tables, findings: Findings, loaded: _Loaded) -> dict[str, Any]:
    """What the cohort was made from; names only, since paths say more about a machine than about data."""
    given = {"expression": tables.expression, "annotations": tables.annotations, "clinical": tables.clinical}
    files = {name: {"name": path.name, "sha256": _sha256(path)} for name, path in given.items() if path is not None}
    skipped = [*findings.skipped, *(loaded.annotations.skipped if loaded.annotations else [])]
    return {
        "verb": "cohort build",
        "raw": raw.resolve().name,
        "tables": files,
        "files": dict(findings.modalities),
        "skipped": dict(Counter(reason for _, reason in skipped).most_common(20)),
    }


def _sha256(path: Path) -> str:
    """Of a file, or of a folder's XML files in the order of their names."""
    hashed = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*.xml")):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _why_nothing(findings: Findings) -> str:
    """What was found instead of scans, for the error's remedy."""
    found = ", ".join(f"{count} {modality}" for modality, count in sorted(findings.modalities.items()))
    reasons = [reason for _, reason in [*findings.refused, *findings.skipped]][:2]
    return f"found {found or 'no DICOM and no NIfTI'}" + (f"; for example: {'; '.join(reasons)}" if reasons else "")
