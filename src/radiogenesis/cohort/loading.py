"""The tables beside the scans, read before the long work, and whose they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from anndata import AnnData

from radiogenesis.cohort.expression import TableSettings, read_expression
from radiogenesis.cohort.patient_parts import Outcome
from radiogenesis.cohort.tables.annotations import Annotations, read_aim, read_clinical
from radiogenesis.cohort.tables.gene_names import counted, some
from radiogenesis.cohort.tables.identity import Known, read_id_map, style_told
from radiogenesis.cohort.tables.near_ids import NearIds, near_ids, write_proposal
from radiogenesis.cohort.tables.reading import read_table
from radiogenesis.errors import ExpressionError, InputError

_ID_MAP = "give --id_map FILE, a table of two columns: an id as it stands here, and the same patient's id in the scans"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables beside the scans; all may be absent, but without expression nothing can be trained."""

    expression: Path | None = None
    annotations: Path | None = None
    clinical: Path | None = None
    clinical_id: str = ""
    """Column of the clinical table that holds the patients' ids; "" lets known patients decide."""
    id_map: Path | None = None
    """Table of two columns: an id as the tables write it, and the same patient's id as the scans have it."""
    settings: TableSettings = field(default_factory=TableSettings)


@dataclass(frozen=True)
class Loaded:
    """The tables as they were read; ids are those of the scans wherever they could be told."""

    tables: Tables
    known: Known
    expression: AnnData
    annotations: Annotations | None
    clinical: pd.DataFrame | None
    near: list[NearIds]
    """Of each table, the ids that nearly match those of scans."""

    @classmethod
    def read(
        cls,
        tables: Tables,
        scanned: set[str],
        columns: pd.DataFrame | None = None,
        proposal: Path | None = None,
    ) -> Loaded:
        """Read them; whoever has a scan, annotations or a clinical row is known when the next table is read.

        Args:
            tables: where they are.
            scanned: patients with a scan.
            columns: what a manifest says of the patients: it becomes part of the clinical table.
            proposal: where ids that nearly match are written, as a file for `--id_map` that a person is to check.

        Raises:
            ExpressionError, AnnotationError, InputError: a table cannot be used, the map of ids names nobody, or no
                patient has both a scan and expression.
        """
        id_map = {} if tables.id_map is None else read_id_map(tables.id_map)
        if id_map and not scanned.intersection(id_map.values()):
            raise InputError(
                f"none of the ids in its second column (such as {next(reversed(id_map.values()))!r}) has a scan"
                f" (such as {min(scanned)!r})",
                path=tables.id_map,
                remedy="give the id in the tables first, then the id of the scans",
            )
        patients, said = set(scanned), list[str]()
        annotations = clinical = None
        if tables.annotations is not None:
            annotations, alike = _with_known_ids(read_aim(tables.annotations), Known.of(scanned, id_map))
            patients |= set(annotations.features.index)
            said += style_told("annotations", alike)
        if tables.clinical is not None:
            clinical = read_clinical(tables.clinical, patients=patients, id_column=tables.clinical_id, id_map=id_map)
            patients |= set(clinical.index)
            said += clinical.attrs.pop("remarks")
        if columns is not None:
            clinical = _joined(clinical, columns, tables.clinical)
            said.append(f"the manifest's columns {', '.join(map(str, columns))} stand in the clinical table")
        if tables.expression is None:
            expression = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)))
        else:
            try:
                expression = read_expression(
                    tables.expression, patients=patients, settings=tables.settings, id_map=id_map
                )
            except ExpressionError as error:
                raise _with_near_ids(error, tables.expression, Known.of(scanned, id_map), proposal) from error
        near = [near_ids(name, whose, scanned) for name, whose in _ids(expression, annotations, clinical).items()]
        loaded = cls(tables, Known.of(scanned, id_map), expression, annotations, clinical, near)
        proposed = proposal is not None and write_proposal(proposal, near)
        loaded.refuse_nobody(scanned)
        said += [*expression.uns.get("remarks", []), *_apart(scanned, set(expression.obs_names))]
        said += [_unscanned(name, whose) for name, whose in loaded.found_in().items() if whose and not whose & scanned]
        said += [sentence for one in near for sentence in one.told()]
        if proposed:
            said.append(f"{_proposed(proposal)}; the same command with --id_map and that file then pairs them")
        if said:
            expression.uns["remarks"] = said
        return loaded

    def refuse_nobody(self, imaged: Collection[str]) -> None:
        """Raises ExpressionError where expression was given, and none of these patients with images has any."""
        if self.tables.expression is None or set(imaged) & set(self.expression.obs_names):
            return
        raise ExpressionError(
            f"none of its {counted(self.expression.n_obs, 'patient')} (such as {self.expression.obs_names[0]!r}) is"
            f" among the {len(imaged)} with images (such as {min(imaged)!r})",
            path=self.tables.expression,
            remedy="; ".join([*(sentence for one in self.near for sentence in one.told()), _ID_MAP]),
        )

    def found_in(self) -> dict[str, set[str]]:
        """Table -> its patients."""
        return _ids(self.expression, self.annotations, self.clinical)

    def remarks(self) -> Mapping[str, str]:
        """Patient -> what is to be said about annotations that could not be used."""
        return {} if self.annotations is None else self.annotations.remarks

    def with_spacing(self, outcomes: Iterable[Outcome]) -> Annotations | None:
        """The annotations again, now that the pixel spacing of the scans is known."""
        if self.tables.annotations is None:
            return None
        spacing = {outcome.series_uid: outcome.spacing_xy_mm for outcome in outcomes if outcome.series_uid}
        return _with_known_ids(read_aim(self.tables.annotations, pixel_mm=spacing), self.known)[0]


def _with_known_ids(annotations: Annotations, known: Known) -> tuple[Annotations, dict[str, str]]:
    """The annotations under the ids of the scans, and whose were written in another style."""
    ids, alike = known.renamed(list(annotations.features.index))
    index = pd.Index(ids, dtype=object, name="patient")
    if index.has_duplicates:
        raise InputError(f"--id_map names {index[index.duplicated()][0]!r} for several annotated patients")
    remarks = dict(zip(known.renamed(list(annotations.remarks))[0], annotations.remarks.values(), strict=True))
    return replace(annotations, features=annotations.features.set_axis(index), remarks=remarks), alike


def _with_near_ids(error: ExpressionError, path: Path, known: Known, proposal: Path | None) -> ExpressionError:
    """The error, with the ids that nearly match where the table names nobody who is known."""
    try:
        table = read_table(path, ExpressionError)
    except (ExpressionError, UnicodeDecodeError, OSError):
        return error
    names = [*table.columns, *(cell for name in table.columns[:1] for cell in table[name])]
    if known.count(names) or known.alike(names):
        return error
    near = near_ids("expression", filter(None, map(str.strip, names)), known.patients)
    told = near.told()
    if proposal is not None and write_proposal(proposal, [near]):
        told.append(_proposed(proposal))
    return ExpressionError(error.problem, path=error.path, remedy="; ".join(filter(None, [*told, error.remedy])))


def _proposed(proposal: Path | None) -> str:
    return f"{proposal} proposes pairs: check every line, and delete those that are wrong"


def _ids(expression: AnnData, annotations: Annotations | None, clinical: pd.DataFrame | None) -> dict[str, set[str]]:
    return {
        "expression": set(expression.obs_names),
        "annotations": set() if annotations is None else set(annotations.features.index),
        "clinical table": set() if clinical is None else set(clinical.index),
    }


def _joined(clinical: pd.DataFrame | None, columns: pd.DataFrame, path: Path | None) -> pd.DataFrame:
    """The clinical table with the manifest's columns; everybody who is in one of them."""
    if clinical is None:
        return columns
    if both := [name for name in columns if name in clinical]:
        raise InputError(
            f"its column {both[0]!r} is in the manifest too", path=path, remedy="rename or remove it in one of them"
        )
    return clinical.join(columns, how="outer").rename_axis("patient")


def _apart(scanned: set[str], expressed: set[str]) -> list[str]:
    """What is said where some have a scan only and others expression only: they may be the same people."""
    no_expression, no_scan = sorted(scanned - expressed), sorted(expressed - scanned)
    if not no_expression or not no_scan:
        return []
    return [
        f"{counted(len(no_expression), 'patient')} with a scan and no expression ({some(no_expression, 3)}),"
        f" {counted(len(no_scan), 'patient')} with expression and no scan ({some(no_scan, 3)}): where these are the"
        " same people under other ids, pair the ids with --id_map"
    ]


def _unscanned(table: str, patients: set[str]) -> str:
    return (
        f"{table}: none of its {counted(len(patients), 'patient')} (such as {min(patients)}) has a scan: where they are"
        " the same people under other ids, pair the ids with --id_map"
    )
