"""Ids that nearly match: who in a table may be whom among the scans. Listed for a person to decide, never paired.

Ids of one cohort are all alike, R01-011 and R01-012 most of all, and differ in their number. So the candidates of an id
are those with the same letters and digits, or the same number at the end, or the same digits in another grouping, by
the likeness of the shorter one to a part of the longer one that rapidfuzz computes (partial ratio). A wrong digit
cannot be told from another patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz, process

from radiogenesis.cohort.tables.identity import form
from radiogenesis.csv_files import guarded
from radiogenesis.output import whole_file

SHOWN = 5  # ids named in a sentence
CANDIDATES = 3
LIKE = 75.0  # least likeness in percent: one wrong letter of four


@dataclass(frozen=True)
class NearIds:
    """Ids of one table that belong to no scan, with the nearest ids of scans that the table lacks.

    Attributes:
        table: its name, for people.
        candidates: id in the table -> ids of scans, the nearest first.
    """

    table: str
    candidates: Mapping[str, tuple[str, ...]]

    def told(self) -> list[str]:
        """One sentence; none where there are no candidates."""
        if not self.candidates:
            return []
        pairs = [f"{name!r} (scans: {', '.join(map(repr, own))})" for name, own in self.candidates.items()]
        rest = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        return [f"{self.table}: ids that nearly match and are not paired: {', '.join(pairs[:SHOWN])}{rest}"]

    def proposal(self) -> dict[str, str]:
        """Id in the table -> id of a scan, where it is the only candidate, by letters or number, and nobody else's."""
        sure = {
            name: own[0]
            for name, own in self.candidates.items()
            if len(own) == 1 and (_number(name) == _number(own[0]) or _bare(name) == _bare(own[0]))
        }
        meant = list(sure.values())
        return {name: patient for name, patient in sure.items() if meant.count(patient) == 1}


def near_ids(table: str, names: Iterable[str], scanned: Iterable[str]) -> NearIds:
    """Candidates for the ids of a table that have no scan, among the scans that are not in it.

    Args:
        table: its name, for people.
        names: ids in the table, as they are after those that differ in style only were told.
        scanned: ids of the scans.
    """
    names, scanned = set(names), set(scanned)
    free = [_by(key, scanned - names) for key in (_bare, _number, _digits)]
    candidates = {name: _candidates(name, free) for name in sorted(names - scanned)}
    return NearIds(table, {name: own for name, own in candidates.items() if own})


def write_proposal(path: Path, near: Iterable[NearIds]) -> bool:
    """Write the pairs that are likely as a file for `--id_map`, for a person to check; whether there was anything.

    What is at `path` already may have been corrected, and stays.
    """
    pairs = {name: patient for table in near for name, patient in table.proposal().items()}
    if not pairs or path.exists():
        return bool(pairs)
    lines = [
        "# A proposal, made by likeness: check every line, delete those that are wrong, then give it with --id_map.",
        "id in the tables,id of the scans",
        *(f"{_quoted(name)},{_quoted(patient)}" for name, patient in sorted(pairs.items())),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return True


def _quoted(text: str) -> str:
    """A cell of a CSV file, in quotes."""
    return '"' + str(guarded(text)).replace('"', '""') + '"'


Pools = Mapping[str, Sequence[str]]
"""What ids of scans have in common -> those ids."""


def _by(key: Callable[[str], str], scanned: Iterable[str]) -> Pools:
    pools: dict[str, list[str]] = {}
    for patient in sorted(scanned):
        pools.setdefault(key(patient), []).append(patient)
    return pools


def _candidates(name: str, free: Sequence[Pools]) -> tuple[str, ...]:
    """The nearest ids among those with the same letters and digits; where there is none, with the same number at the
    end; where there is none, with the same digits."""
    keys = _bare(name), _number(name), _digits(name)
    pool = next(filter(None, (pools.get(key, ()) for key, pools in zip(keys, free, strict=True))), ())
    plain = {patient: _plain(patient) for patient in pool}
    near = process.extract(_plain(name), plain, scorer=fuzz.partial_ratio, limit=CANDIDATES, score_cutoff=LIKE)
    return tuple(patient for _, _, patient in near)


def _plain(name: str) -> str:
    return "".join(form(name))


def _bare(name: str) -> str:
    """Letters and digits as they stand: R01026 and R01-026 have the same, which `form` counts as other numbers."""
    return "".join(filter(str.isalnum, name.casefold()))


def _digits(name: str) -> str:
    """The numbers of an id, one behind the other: R011 and R01-1 have the same."""
    return "".join(run for run in form(name) if run.isdigit())


def _number(name: str) -> str:
    """The last number in an id without leading zeros; "" where there is none."""
    return next((run for run in reversed(form(name)) if run.isdigit()), "")
