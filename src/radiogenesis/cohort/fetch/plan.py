"""What would be fetched, said before anything is: patients, series, bytes, licenses, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from radiogenesis.cohort.fetch.catalog import FetchSettings, GdcCounts, GeoMatrix, PublicCohort
from radiogenesis.cohort.fetch.index import DataSet, Index, Series
from radiogenesis.cohort.tables.gene_names import counted, some
from radiogenesis.errors import SettingError

_OUTLINES = ("SEG", "RTSTRUCT")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What of a cohort will be fetched.

    Attributes:
        cohort, settings: what was asked for.
        version: of the index.
        series: of images and outlines.
        available: every series of the collection.
        data_sets: DOI -> license and citation of each data set that `series` come from.
    """

    cohort: PublicCohort
    settings: FetchSettings
    version: str
    series: tuple[Series, ...]
    available: tuple[Series, ...]
    data_sets: dict[str, DataSet]

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose images are fetched."""
        return tuple(sorted({entry.patient for entry in self.series}))

    @property
    def size(self) -> int:
        """Bytes of images and outlines."""
        return sum(entry.size for entry in self.series)

    def describe(self) -> str:
        """The plan as a person reads it before accepting the license."""
        lines = [
            f"{self.cohort.name}: {counted(len(self.patients), 'patient')}, {len(self.series):,} series,"
            f" {sum(entry.files for entry in self.series):,} files, {gigabytes(self.size)} (index: {self.version})",
            *(f"  {line}" for line in _by_modality(self.series)),
            *(f"  not fetched: {line}" for line in self._left_out()),
            f"  expression: {self._expression()}",
            *(f"  {name}: {file}, TCIA" for name, file in self._tables() if file),
            *([f"  note: {self.cohort.remark}"] if self.cohort.remark else []),
            *(f"  license: {terms}" for terms in self.licenses()),
        ]
        return "\n".join(lines)

    def licenses(self) -> list[str]:
        """Each license with what it covers."""
        covered = Counter(
            (terms.license, terms.license_url) for terms in map(self.data_sets.get, _dois(self.series)) if terms
        )
        unknown = sorted({entry.license for entry in self.series if entry.doi not in self.data_sets})
        said = [f"{name}, {url}" for name, url in covered] + unknown
        if any("NC" in entry.license for entry in self.series):
            said.append("no commercial use of the images")
        if isinstance(self.cohort.expression, GdcCounts):
            said.append("GDC: open-access data, no attempt to identify participants (GDC Data Use Agreement)")
        elif self.cohort.expression:
            said.append("GEO: public, no restrictions by NCBI; cite the submitters")
        return said

    def _tables(self) -> list[tuple[str, str]]:
        return [("clinical table", self.cohort.clinical), ("annotations", self.cohort.annotations)]

    def _expression(self) -> str:
        source = self.cohort.expression
        if source is None:
            return "none was published"
        if isinstance(source, GdcCounts):
            genes = "all genes" if self.settings.all_genes else "protein-coding genes"
            whose = "of these patients" if self.series else "of every patient"
            return f"GDC {source.project}, TPM of {genes} in the tumors {whose}, with their clinical table"
        if isinstance(source, GeoMatrix):
            kept = "probes" if self.settings.probes else f"genes by the table of {source.platform}"
            return f"GEO {source.series}, {kept}, with the clinical table in it"
        return f"GEO {source.series}, {source.genes:,} genes"

    def _left_out(self) -> list[str]:
        taken = {entry.uid for entry in self.series}
        rest = [entry for entry in self.available if entry.uid not in taken]
        if self.settings.patients:
            rest = [entry for entry in rest if entry.patient in self.settings.patients]
        wanted = modalities_of(self.cohort, self.settings)
        original = [entry for entry in rest if not entry.analysis]
        said = [
            f"{line} of studies in which nobody outlined a tumor (--studies all)"
            for line in _by_modality([entry for entry in original if entry.modality in wanted])
        ]
        said += [
            f"{line} (--modalities)"
            for line in _by_modality([entry for entry in original if entry.modality not in wanted])
        ]
        imaged = {entry.study for entry in self.available if entry.modality in wanted}  # not those of microscope slides
        for analysis in sorted({entry.analysis for entry in rest if entry.analysis}):
            outlines = [
                entry
                for entry in rest
                if entry.analysis == analysis and entry.modality in _OUTLINES and entry.study in imaged
            ]
            said += [f"{line} made later (--analysis_results {analysis})" for line in _by_modality(outlines)]
        return said


def make_plan(cohort: PublicCohort, settings: FetchSettings, index: Index) -> Plan:
    """What of `cohort` will be fetched.

    Raises:
        InputError: the index cannot be read, or lacks the collection.
        SettingError: patients, modalities or analyses that the collection has not.
    """
    available = index.series(cohort.collection)
    _refuse_unknown("patients", settings.patients, {entry.patient for entry in available}, cohort)
    _refuse_unknown("modalities", settings.modalities, {entry.modality for entry in available}, cohort)
    imaged = {entry.study for entry in available if entry.modality in modalities_of(cohort, settings)}
    analyses = {entry.analysis for entry in available if entry.study in imaged and entry.modality in _OUTLINES} - {""}
    _refuse_unknown("analysis_results", settings.analysis_results, analyses, cohort)
    series = [entry for entry in available if entry.study in imaged and _asked_for(entry, cohort, settings)]
    if settings.studies == "outlined" and cohort.outlined_by:
        outlined = {entry.study for entry in series if entry.modality == cohort.outlined_by or entry.analysis}
        series = [entry for entry in series if entry.study in outlined]
    idle = sorted({*settings.patients} - {entry.patient for entry in series})
    if idle and any(entry.modality in modalities_of(cohort, settings) for entry in available):
        raise SettingError(
            f"patients: there is nothing of {some(idle, 3)} to fetch",
            remedy="fetch --studies all where nobody outlined the tumor, or other --modalities",
        )
    return Plan(
        cohort=cohort,
        settings=settings,
        version=index.version,
        series=tuple(series),
        available=tuple(available),
        data_sets={doi: terms for doi, terms in index.data_sets(cohort.collection).items() if doi in _dois(series)},
    )


def modalities_of(cohort: PublicCohort, settings: FetchSettings) -> tuple[str, ...]:
    """The modalities that are fetched of the original data."""
    return settings.modalities or cohort.modalities


def gigabytes(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _asked_for(entry: Series, cohort: PublicCohort, settings: FetchSettings) -> bool:
    if settings.patients and entry.patient not in settings.patients:
        return False
    if entry.analysis:
        return entry.analysis in settings.analysis_results and entry.modality in _OUTLINES
    return entry.modality in modalities_of(cohort, settings)


def _refuse_unknown(name: str, asked: Sequence[str], known: set[str], cohort: PublicCohort) -> None:
    strange = [value for value in asked if value not in known]
    if strange:
        raise SettingError(
            f"{name}: {cohort.name} has no {some(strange, 3)}", remedy=f"it has {some(sorted(known), 6) or 'none'}"
        )


def _by_modality(series: Sequence[Series]) -> list[str]:
    said = []
    for modality in sorted({entry.modality for entry in series}):
        own = [entry for entry in series if entry.modality == modality]
        whose = counted(len({entry.patient for entry in own}), "patient")
        said.append(f"{modality}: {len(own):,} series of {whose}, {gigabytes(sum(entry.size for entry in own))}")
    return said


def _dois(series: Sequence[Series]) -> list[str]:
    return sorted({entry.doi for entry in series})
