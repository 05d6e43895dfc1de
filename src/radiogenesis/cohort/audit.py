"""Who and what was found, and what became of it: the audit of patients, and the files that were passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from radiogenesis.cohort.patient_parts import Outcome
from radiogenesis.cohort.sources import Findings
from radiogenesis.cohort.tables.annotations import Annotations
from radiogenesis.errors import InputError

_NAMED = 3  # reasons in an error, patients in one of them


def audit_table(
    findings: Findings,
    outcomes: Mapping[str, Outcome],
    found_in: Mapping[str, set[str]],
    remarks: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Every patient in the scans or the tables: patient, status, reason.

    Args:
        findings: what the folder of scans held.
        outcomes: what became of each source.
        found_in: table ("expression", "annotations", "clinical table") -> its patients.
        remarks: patient -> what else is to be said, such as an annotation that could not be used.
    """
    remarks = remarks or {}
    refused: dict[str, str] = {}
    for patient, reason in findings.refused:
        refused[patient] = _joined(refused.get(patient), reason)
    rows = []
    for patient in sorted({*outcomes, *refused, *remarks}.union(*found_in.values())):
        if patient in outcomes:
            outcome = outcomes[patient]
            absent = None if patient in found_in["expression"] else "no expression"
            status, why = outcome.status, _joined(outcome.reason, absent)
        elif patient in refused:
            status, why = "out", refused[patient]
        else:
            known = ", ".join(name for name, patients in found_in.items() if patient in patients)
            status, why = "out", f"no scan (only {known})" if known else "no scan"
        rows.append((patient, status, _joined(why, remarks.get(patient))))
    return pd.DataFrame(rows, columns=["patient", "status", "reason"])


def without_root(reasons: pd.Series[str], root: Path) -> pd.Series[str]:
    """The same reasons with the files under `root` named from there: where it lies says nothing about the data."""
    if not root.name:
        return reasons
    return reasons.str.replace(f"{root}{os.sep}", "", regex=False).str.replace(str(root), root.name, regex=False)


def skipped_table(findings: Findings, raw: Path, annotations: Annotations | None, folder: Path | None) -> pd.DataFrame:
    """Every file that was passed over: folder (name of the one given), file (from there), reason.

    Args:
        findings: what the folder of scans held.
        raw: that folder.
        annotations: what the folder of annotations held, or None.
        folder: that folder, or None.
    """
    rows = [(raw.name, _from(raw, file), reason) for file, reason in findings.skipped]
    if annotations is not None and folder is not None:
        rows += [(folder.name, _from(folder, file), reason) for file, reason in annotations.skipped]
    return pd.DataFrame(rows, columns=["folder", "file", "reason"])


def refuse_unfinished(outcomes: Iterable[Outcome], raw: Path, work: Path) -> None:
    """Raises InputError where patients failed for a reason that may pass, or where no patient is left.

    A cohort without those that a full disk or a lost connection cost would look like one that is whole.
    """
    everybody = list(outcomes)
    failed = [outcome for outcome in everybody if outcome.passing]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(everybody)} patients failed by an error of the system: {_commonest(failed, raw)}",
            path=raw,
            remedy=f"mend that, and the same command goes on ({work.name} is kept)",
        )
    if all(outcome.status == "out" for outcome in everybody):
        raise InputError(
            f"none of its {len(everybody)} patients can be used: {_commonest(everybody, raw)}",
            path=raw,
            remedy=f"mend that, and give the command again ({work.name} is kept)",
        )


def _commonest(outcomes: list[Outcome], raw: Path) -> str:
    """The reasons that most have, without the files that differ between patients."""
    whose: dict[str, list[str]] = {}
    for outcome in outcomes:
        file, colon, problem = outcome.reason.partition(": ")
        reason = problem if colon and file.startswith(str(raw)) else outcome.reason
        whose.setdefault(" ".join(reason.replace(f"{raw}{os.sep}", "").split()), []).append(outcome.patient)
    counts = Counter({reason: len(patients) for reason, patients in whose.items()}).most_common(_NAMED)
    return "; ".join(f"{reason} ({count}: {', '.join(whose[reason][:_NAMED])})" for reason, count in counts)


def _from(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix() if file != folder else file.name


def _joined(*parts: str | None) -> str:
    return "; ".join(filter(None, parts))
