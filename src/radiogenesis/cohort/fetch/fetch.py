"""A public cohort -> a folder that `cohort build` reads without further settings.

    RAW/images/PATIENT/MODALITY-SERIES/*.dcm    images and outlines
    RAW/source/                                 tables as they were published
    RAW/expression.csv.gz, clinical.csv         made of them, where they need it
    RAW/annotations/*.xml                       AIM
    RAW/LICENSE.txt, CITATION.txt               of everything that was fetched
    RAW/fetch.json                              what was asked for, from where and when, and whether it is complete
    RAW/cohort.yaml                             the settings of `cohort build`; only there when nothing is missing
    RAW/failures.csv                            what is missing, and why

A file has its name when its size and checksum were compared; until then it is in RAW/.partial/. So whatever interrupts
a call, the same call goes on where it was.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from radiogenesis.cohort.fetch import gdc, geo
from radiogenesis.cohort.fetch.catalog import FetchSettings, GdcCounts, GeoMatrix, GeoTable, Services, public_cohort
from radiogenesis.cohort.fetch.http import Client, Remote
from radiogenesis.cohort.fetch.index import Index
from radiogenesis.cohort.fetch.plan import Plan, gigabytes, make_plan
from radiogenesis.cohort.fetch.transfer import Failure, Transfer
from radiogenesis.cohort.raw_settings import FETCHED, RAW_SETTINGS
from radiogenesis.cohort.tables.gene_names import counted, some
from radiogenesis.errors import FetchError, OutputError, SettingError
from radiogenesis.output import OF_THE_PLACE, cannot_write, json_text, write_text
from radiogenesis.progress import Progress, silent
from radiogenesis.version import __version__

MARGIN = 2 * 10**8
"""Bytes that must be free beyond what is to be fetched: for the tables, whose sizes not every source tells."""
_SHOWN = 5  # failures in the error's line; failures.csv has all


@dataclass(frozen=True)
class Fetched:
    """What a call of `fetch_cohort` has left on disk.

    Attributes:
        folder: of the cohort.
        plan: what was asked for.
        files, size: number of files of images and outlines, and their bytes.
        remarks: what is to be said, in sentences.
    """

    folder: Path
    plan: Plan
    files: int
    size: int
    remarks: tuple[str, ...]


def plan_fetch(name: str, settings: FetchSettings | None = None, services: Services | None = None) -> Plan:
    """What would be fetched of the public cohort `name`; asks nothing of the network.

    Raises:
        SettingError: no such cohort, or patients, modalities or analyses that it has not.
        InputError: there is no index, or it cannot be read.
    """
    cohort = public_cohort(name)
    return make_plan(cohort, settings or FetchSettings(), Index.open((services or Services()).index))


def fetch_cohort(
    plan: Plan,
    raw: str | Path,
    services: Services | None = None,
    *,
    accept_license: bool,
    progress: Progress = silent,
    pause_s: float = 0.5,
) -> Fetched:
    """Fetch what is planned; the same call goes on after any interruption.

    Args:
        plan: of `plan_fetch`.
        raw: the folder; new, empty, or of an earlier call for the same cohort.
        services: where the data lies.
        accept_license: that the licenses in the plan are accepted.
        progress: is told of the bytes that are there.
        pause_s: before a second try, doubled before each further one.

    Raises:
        SettingError: the licenses are not accepted.
        OutputError: something else is in the folder, or the disk has no room for what is planned.
        FetchError: something is missing after all tries; it stands in failures.csv.
    """
    raw, services, settings = Path(os.path.abspath(raw)), services or Services(), plan.settings
    if not accept_license:
        raise SettingError(
            f"the licenses of {plan.cohort.name} are not accepted", remedy="read them above, and say --accept_license"
        )
    _refuse_foreign(raw, plan)
    client = Client(
        tries=settings.tries, timeout_s=settings.timeout_s, connections=settings.connections, pause_s=pause_s
    )
    try:
        return _Fetch(plan, raw, services, client, progress).run()
    except OSError as error:
        if error.errno not in OF_THE_PLACE:
            raise
        why = cannot_write(error, raw)
        remedy = f"{why.remedy}; what is there is kept, and the same command goes on"
        raise OutputError(why.problem, path=raw, remedy=remedy) from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("interrupted; what is there is kept, and the same command goes on") from stop


class _Fetch:
    """One call: the tables, then the images, then what is made of the tables."""

    def __init__(self, plan: Plan, raw: Path, services: Services, client: Client, progress: Progress) -> None:
        self.plan, self.raw, self.services, self.client, self.progress = plan, raw, services, client, progress
        self.remarks: list[str] = []
        self.build: dict[str, Any] = {"scans": "images"}
        self.counts: list[gdc.Counts] = []

    def run(self) -> Fetched:
        plan, raw = self.plan, self.raw
        (raw / "images").mkdir(parents=True, exist_ok=True)
        (raw / RAW_SETTINGS).unlink(missing_ok=True)  # until nothing is missing
        self._record(complete=False)
        _write_rights(plan, raw)
        remotes = self._tables()
        known = sum(remote.size or 0 for remote in remotes) + plan.size
        _refuse_full(raw, known)
        transfer = Transfer(self.client, raw, known, self.progress, recheck=plan.settings.recheck)
        jobs: list[Callable[[], list[Failure]]] = [partial(transfer.files, [remote]) for remote in remotes]
        for series in plan.series:
            jobs.append(partial(transfer.series, series, self.services.s3.format(bucket=series.bucket)))
        failures = transfer.run(jobs, plan.settings.connections)
        if not failures:
            failures = self._make()
        _write_failures(raw / "failures.csv", failures)
        if failures:
            raise _incomplete(failures, raw)
        if transfer.differed:
            self.remarks.append(
                f"{counted(len(transfer.differed), 'file')} had changed since an earlier call and were fetched again:"
                f" {some(transfer.differed, 3)}"
            )
        if transfer.by_size_alone:
            self.remarks.append(
                f"{counted(len(transfer.by_size_alone), 'file')} came without a checksum that can be compared, and"
                f" were checked by size and content: {some(transfer.by_size_alone, 3)}"
            )
        shutil.rmtree(raw / ".partial", ignore_errors=True)
        write_text(raw / RAW_SETTINGS, _SETTINGS_HEAD.format(name=plan.cohort.name) + yaml.safe_dump(self.build))
        self._record(complete=True)
        files = sum(series.files for series in plan.series)
        return Fetched(raw, plan, files, plan.size, tuple(self.remarks))

    def _tables(self) -> list[Remote]:
        """The tables to fetch; GDC is asked which files there are, others how large theirs are."""
        cohort, services = self.plan.cohort, self.services
        urls = [f"{services.tcia}/{name}" for name in (cohort.clinical, cohort.annotations) if name]
        source = cohort.expression
        if isinstance(source, GeoTable):
            urls.append(geo.supplement_url(services.geo, source.series, source.file))
        elif isinstance(source, GeoMatrix):
            urls.append(geo.matrix_url(services.geo, source.series))
        remotes = [Remote(url, f"source/{url.rsplit('/')[-1]}", self.client.size(url)) for url in urls]
        if isinstance(source, GeoMatrix) and not self.plan.settings.probes:
            url = geo.platform_url(services.geo_query, source.platform)
            remotes.append(Remote(url, f"source/{source.platform}.txt"))
        if isinstance(source, GdcCounts):
            patients = self.plan.patients or self.plan.settings.patients
            self.counts = gdc.find_counts(self.client, services.gdc, source.project, patients)
            remotes += [counts.file for counts in self.counts]
        return remotes

    def _make(self) -> list[Failure]:
        """What `cohort build` reads, made of what was published; what of it is no such thing."""
        failures = []
        for make in (self._make_expression, self._make_clinical, self._make_annotations):
            try:
                make()
            except FetchError as error:
                path = Path(error.path) if error.path else self.raw / "source"
                if path.is_file() and path.is_relative_to(self.raw / "source"):
                    path.unlink()  # it is fetched again by the next call
                failures.append(Failure(os.path.relpath(path, self.raw), "", error.problem))
        return failures

    def _make_expression(self) -> None:
        source, settings = self.plan.cohort.expression, self.plan.settings
        if isinstance(source, GeoTable):
            self.build["expression"] = f"source/{source.file}"
            genes = geo.count_genes(self.raw / "source" / source.file)
            published = "as published" if genes == source.genes else f"where {source.genes:,} were published"
            self.remarks.append(f"expression: {genes:,} genes, {published}")
        elif isinstance(source, GeoMatrix):
            self._make_matrix(source, probes=settings.probes)
        elif isinstance(source, GdcCounts):
            out = self.raw / "expression.csv.gz"
            gdc.join_counts(self.raw, self.counts, out, all_genes=settings.all_genes)
            self.build["expression"] = out.name
            self._tell_counts()
        self.build |= self.plan.cohort.build

    def _make_matrix(self, source: GeoMatrix, *, probes: bool) -> None:
        matrix = self.raw / "source" / geo.matrix_url("", source.series).rsplit("/")[-1]
        values, clinical = geo.read_matrix(matrix, source.patient, source.platform)
        if not probes:
            values, said = geo.to_genes(values, self.raw / "source" / f"{source.platform}.txt")
            self.remarks.append(f"expression: {said}")
        geo.write_table(values, self.raw / "expression.csv.gz")
        clinical.to_csv(self.raw / "clinical.csv")
        self.build |= {"expression": "expression.csv.gz", "clinical": "clinical.csv", "clinical_id": "patient"}

    def _tell_counts(self) -> None:
        """Which piece of whose tumor was taken, and who has none."""
        with (self.raw / "samples.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["patient", "aliquot", "file", "other_files"])
            rows.writerows([counts.patient, counts.aliquot, counts.file.url, counts.others] for counts in self.counts)
        several = sum(counts.others > 0 for counts in self.counts)
        self.remarks.append(
            f"expression: {counted(len(self.counts), 'patient')} with RNA of the tumor"
            + (f"; of {several} with several files the first primary one was taken (samples.csv)" if several else "")
        )
        without = sorted({*self.plan.patients} - {counts.patient for counts in self.counts})
        if without:
            self.remarks.append(f"no RNA of the tumor at GDC: {some(without)}")

    def _make_clinical(self) -> None:
        cohort = self.plan.cohort
        if cohort.clinical:
            self.build["clinical"] = f"source/{cohort.clinical}"
        elif isinstance(cohort.expression, GdcCounts):
            patients = self.plan.patients or self.plan.settings.patients
            table = gdc.find_clinical(self.client, self.services.gdc, cohort.expression.project, patients)
            table.to_csv(self.raw / "clinical.csv", index=False)
            self.build |= {"clinical": "clinical.csv", "clinical_id": "patient"}

    def _make_annotations(self) -> None:
        if not self.plan.cohort.annotations:
            return
        archive, out = self.raw / "source" / self.plan.cohort.annotations, self.raw / "annotations"
        out.mkdir(exist_ok=True)
        try:
            with zipfile.ZipFile(archive) as zipped:
                names = [name for name in zipped.namelist() if name.lower().endswith(".xml") and "__MACOSX" not in name]
                for name in names:
                    (out / Path(name).name).write_bytes(zipped.read(name))  # checks the CRC of each
        except (zipfile.BadZipFile, EOFError) as error:
            raise FetchError(f"is no whole zip archive ({error})", path=archive) from error
        if not names:
            raise FetchError("has no AIM files", path=archive)
        self.build["annotations"] = out.name
        self.remarks.append(f"annotations: {counted(len(names), 'AIM file')}")

    def _record(self, *, complete: bool) -> None:
        """fetch.json: what was asked for, of whom, and whether it is all there."""
        plan = self.plan
        record = {
            "cohort": plan.cohort.name,
            "complete": complete,
            "settings": asdict(plan.settings),
            "services": asdict(self.services),
            "index": plan.version,
            "radiogenesis": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "patients": len(plan.patients),
            "series": len(plan.series),
            "files": sum(series.files for series in plan.series),
            "bytes": plan.size,
            "remarks": self.remarks,
        }
        write_text(self.raw / FETCHED, json_text(record))


_SETTINGS_HEAD = "# How `radiogenesis cohort build` reads this folder of {name}; options of the command line win.\n"


def _refuse_foreign(raw: Path, plan: Plan) -> None:
    """Raises OutputError where something else than an earlier call for this cohort is in the folder."""
    if not raw.exists() or (raw.is_dir() and not any(raw.iterdir())):
        return
    try:
        there = json.loads((raw / FETCHED).read_text(encoding="utf-8"))["cohort"]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(
            "has something in it that no `cohort fetch` put there", path=raw, remedy="choose a new folder"
        ) from None
    if there != plan.cohort.name:
        raise OutputError(f"is the folder of {there}", path=raw, remedy="choose another one for each cohort")


def _refuse_full(raw: Path, size: int) -> None:
    """Raises OutputError where the disk has no room for what is not there yet."""
    there = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    needed, free = max(size - there, 0) + MARGIN, shutil.disk_usage(raw).free
    if needed > free:
        raise OutputError(
            f"needs {gigabytes(needed)}, and its disk has {gigabytes(free)} free",
            path=raw,
            remedy="make room, choose another disk, or fetch less (--patients, --modalities)",
        )


def room_for(plan: Plan, raw: str | Path) -> str:
    """What the plan's images need, and what the disk of the folder has."""
    folder = Path(raw).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return (
        f"space: {gigabytes(plan.size)} needed, {gigabytes(shutil.disk_usage(folder).free)} free on the disk of {raw}"
    )


def _incomplete(failures: Sequence[Failure], raw: Path) -> FetchError:
    shown = "; ".join(f"{failure.path}: {failure.reason}" for failure in failures[:_SHOWN])
    more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    return FetchError(
        f"{counted(len(failures), 'item')} could not be fetched: {shown}{more}",
        path=raw,
        remedy=f"{raw / 'failures.csv'} lists all, and the same command tries them again",
    )


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "url", "reason"])
        rows.writerows([failure.path, failure.url, failure.reason] for failure in failures)


def _write_rights(plan: Plan, raw: Path) -> None:
    """LICENSE.txt and CITATION.txt: what everything in the folder may be used for, and who is to be named."""
    licenses, citations = [], []
    for doi, data_set in sorted(plan.data_sets.items()):
        licenses.append(f"{data_set.title} (https://doi.org/{doi})\n  {data_set.license}\n  {data_set.license_url}\n")
        citations.append(data_set.citation)
    licenses.append("\n".join(plan.licenses()) + "\n")
    citations += plan.cohort.citations
    if plan.series:
        citations.append(_IDC)
    write_text(raw / "LICENSE.txt", "\n".join(licenses))
    write_text(raw / "CITATION.txt", "\n\n".join(citations) + "\n")


_IDC = (
    "Fedorov, A., Longabaugh, W. J. R., Pot, D., et al. (2023). National Cancer Institute Imaging Data Commons: toward"
    " transparency, reproducibility, and scalability in imaging artificial intelligence. RadioGraphics 43, e230180."
    " https://doi.org/10.1148/rg.230180"
)
