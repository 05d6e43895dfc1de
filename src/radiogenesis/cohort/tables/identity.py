"""Who a patient is: ids as scans and tables write them, compared by what is not a matter of style."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.tables.gene_names import counted, some
from radiogenesis.cohort.tables.reading import read_table
from radiogenesis.csv_files import bare
from radiogenesis.errors import InputError

_RUNS = re.compile(r"\d+|[^\W\d_]+")
_SPREADSHEET_NUMBER = re.compile(r"(\d+)\.0+")  # 1001.0, as a spreadsheet or a data frame writes 1001

Form = tuple[str, ...]


def form(patient: str) -> Form:
    """The letters and numbers of an id, without case, separators and leading zeros: R01-001, r01_001 and "R01 1" have
    the same form, R01-1 and R011 have not."""
    plain = unicodedata.normalize("NFKC", patient).casefold().strip()
    plain = _SPREADSHEET_NUMBER.sub(r"\1", plain) if _SPREADSHEET_NUMBER.fullmatch(plain) else plain
    return tuple(run.lstrip("0") or "0" if run.isdigit() else run for run in _RUNS.findall(plain))


def alike(patients: Iterable[object], others: Iterable[object]) -> NDArray[np.bool_]:
    """(n,) which patients have the id of one of the others, however it is written (see `form`)."""
    exact = {str(name) for name in others}
    forms = {form(name) for name in exact} - {()}
    return np.array([str(name) in exact or form(str(name)) in forms for name in patients], bool)


@dataclass(frozen=True)
class Known:
    """The patients that are known before a table is read, and how tables may write their ids.

    Attributes:
        patients: their ids.
        id_map: id in a table -> id of a known patient, as the user says.
        expected: whether a table is meant to hold known patients.
    """

    patients: frozenset[str]
    id_map: Mapping[str, str] = field(default_factory=dict)
    expected: bool = False

    @classmethod
    def of(cls, patients: Collection[str] | None, id_map: Mapping[str, str] | None = None) -> Known:
        """The patients; `id_map`, even an empty one, says that tables are meant to hold them."""
        return cls(frozenset(map(str, () if patients is None else patients)), id_map or {}, id_map is not None)

    def count(self, names: Iterable[str]) -> int:
        """How many of the names are ids of known patients, written like them or as the user says."""
        return sum(self.id_map.get(name, name) in self.patients for name in names)

    def alike(self, names: Sequence[str]) -> dict[str, str]:
        """name -> known id that differs from it in style only. Where two names or two patients have the same form,
        none of them is meant."""
        given = _by_form(name for name in names if name not in self.id_map)
        there = _by_form(self.patients)
        pairs = ((given[one], there.get(one, [])) for one in given if one)
        return {found[0]: own[0] for found, own in pairs if len(found) == len(own) == 1 and found != own}

    def renamed(self, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The names as ids of known patients, where they are, and those that differed in style: name -> id."""
        alike = self.alike(names)
        return [self.id_map.get(name, alike.get(name, name)) for name in names], alike

    def strangers(self, names: Sequence[str]) -> list[str]:
        """Names in the place of patients that are nobody's: blank, or without a digit where ids have one.

        Ids are those of known patients who stand there, or all of the names where nobody is known.
        """
        ids = [name for name in names if name in self.patients] or [name for name in names if name]
        numbered = 2 * sum(map(_has_digit, ids)) > len(ids)
        strange = (name for name in names if not name or (numbered and not _has_digit(name)))
        return [name for name in strange if name not in self.patients]


def style_told(what: str, alike: Mapping[str, str]) -> list[str]:
    """What is said about ids that were taken for known ones."""
    if not alike:
        return []
    pairs = some([f"{name} for {patient}" for name, patient in alike.items()], 3)
    how = "differ from known ones in case, separators or zeros only, and are taken for them"
    return [f"{what}: {counted(len(alike), 'id')} that {how}: {pairs}"]


def read_id_map(path: str | Path) -> dict[str, str]:
    """A table of two columns: an id as tables write it, and the same patient's id as the scans have it.

    Raises:
        InputError: unreadable, of other columns, an empty cell, or an id that stands for two patients.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such file", path=path)
    table = read_table(path, InputError)
    if table.shape[1] != 2:
        raise InputError(
            f"has {table.shape[1]} columns, and --id_map wants two", path=path,
            remedy="give the id in the tables, then the id of the scans",
        )  # fmt: skip
    pairs: dict[str, str] = {}
    for written, patient in [tuple(table.columns), *table.itertuples(index=False)]:  # a header does no harm as a pair
        written, patient = bare(str(written).strip()), bare(str(patient).strip())
        if not written or not patient:
            raise InputError(f"an id is missing beside {written or patient!r}", path=path, remedy="fill it in")
        if pairs.setdefault(written, patient) != patient:
            raise InputError(
                f"{written!r} stands for both {pairs[written]!r} and {patient!r}", path=path, remedy="keep one"
            )
    return pairs


def _by_form(names: Iterable[str]) -> dict[Form, list[str]]:
    by_form: dict[Form, list[str]] = {}
    for name in sorted(set(names)):
        by_form.setdefault(form(name), []).append(name)
    return by_form


def _has_digit(name: str) -> bool:
    return any(map(str.isdigit, name))
