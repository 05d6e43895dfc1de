"""The noun `Split`: lists of PATIENT ids. Slices are never split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radiogenesis.errors import CohortError, InputError, RunError, SettingError
from radiogenesis.given_files import read_json
from radiogenesis.output import write_text

if TYPE_CHECKING:
    from radiogenesis.cohort.store import Cohort


@dataclass(frozen=True)
class Split:
    """Who is trained on, who chooses among settings, and who is held out until the end. Each sorted, all disjoint."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        everybody = [*self.train, *self.validation, *self.test]
        twice = sorted(patient for patient, count in Counter(everybody).items() if count > 1)
        if twice:
            raise ValueError(f"patients in more than one part of the split: {', '.join(twice)}")

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read what `save` wrote. Raises RunError where it is missing or damaged."""
        path = Path(path)
        try:
            parts = read_json(path)
            return cls(**{name: tuple(map(str, parts[name])) for name in ("train", "validation", "test")})
        except FileNotFoundError as error:
            raise RunError("there is no split here", path=path, remedy="give a finished run") from error
        except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"is not a split ({error})", path=path, remedy="train the run again") from error


def split_patients(
    cohort: Cohort,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.70, 0.05, 0.25),
    fold: tuple[int, int] | None = None,
    by: str = "",
) -> Split:
    """Divide the patients who have slices and expression.

    Args:
        cohort: patients with either missing take no part.
        seed: of the permutation; the order of patients in the cohort does not matter.
        fractions: of training, validation and test; the test part is rounded first, then validation, and any part
            that is asked for gets at least one patient.
        fold: (k, n): the test part is the k-th of n nearly equal parts, from 0, whatever its fraction.
        by: a column of the cohort's patients: those who share a value are in the same part of the n, which have nearly
            equal numbers of values. "" for single patients. Without `fold` it has no effect.

    Raises:
        SettingError: fractions that are negative or do not add up to 1, or no such column.
        CohortError: too few patients, or values, for the parts that are asked for; a patient without a value.
    """
    usable = cohort.patients[(cohort.patients["n_slices"] > 0) & cohort.patients["has_expression"]]
    return _divide(cohort, map(str, usable.index), "both slices and expression", seed, fractions, fold, by)


def split_scans(
    cohort: Cohort,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.70, 0.05, 0.25),
    fold: tuple[int, int] | None = None,
    by: str = "",
) -> Split:
    """Divide the patients whose whole slices show tumor, with or without expression; see `split_patients`.

    Where these are the patients who have slices and expression, it is the same split for the same seed.

    Raises:
        CohortError: no whole slices, or too few patients.
    """
    if cohort.whole is None:
        raise CohortError(
            "keeps no whole slices", path=cohort.path, remedy="build it with --whole_pixels 128 to find tumors in it"
        )
    shown = cohort.whole.patient[cohort.whole.slices.tumor.any(axis=(1, 2))]
    return _divide(cohort, map(str, set(shown)), "whole slices with tumor", seed, fractions, fold, by)


def _divide(
    cohort: Cohort, usable: Iterable[str], what: str, seed: int, fractions: tuple[float, float, float],
    fold: tuple[int, int] | None, by: str,
) -> Split:  # fmt: skip
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise SettingError(f"split fractions {fractions} must be at least 0, add up to 1, and train on somebody")
    patients = np.array(sorted(usable), dtype=object)
    test, validation = (max(round(share * len(patients)), 1) if share > 0 else 0 for share in fractions[:0:-1])
    if len(patients) < max(test + validation + 1, fold[1] if fold else 0):
        raise CohortError(
            f"only {len(patients)} patients have {what}: too few to split {fractions}",
            path=cohort.path,
            remedy="see `radiogenesis cohort describe` for who is missing what",
        )
    drawn = patients[np.random.default_rng([seed, 0x5B117]).permutation(len(patients))]
    if fold is not None and by:
        held_out = _sharing(cohort, drawn, fold, by)
        test, drawn = int(held_out.sum()), np.concatenate([drawn[held_out], drawn[~held_out]])
        if len(drawn) <= test + validation:
            raise CohortError(
                f"fold {fold[0]} of {fold[1]} by {by} leaves {len(drawn) - test} patients to train on",
                path=cohort.path,
                remedy="give more folds, or another column",
            )
    elif fold is not None:
        part = np.array_split(np.arange(len(drawn)), fold[1])[fold[0]]
        test = len(part)
        drawn = np.roll(drawn, -int(part[0]))
    parts = drawn[test + validation :], drawn[test : test + validation], drawn[:test]
    return Split(*(tuple(sorted(part)) for part in parts))


def _sharing(cohort: Cohort, drawn: NDArray[np.object_], fold: tuple[int, int], column: str) -> NDArray[np.bool_]:
    """(N,) which patients have one of the values of `column` that the fold holds out; values in the order drawn."""
    if column not in cohort.patients:
        raise SettingError(
            f"the cohort's table of patients has no column {column!r}",
            path=cohort.path,
            remedy=f"choose from: {', '.join(cohort.patients.columns)}",
        )
    theirs = cohort.patients.loc[list(drawn), column]
    unknown = [str(name) for name in theirs.index[theirs.isna() | (theirs.astype(str) == "")]]
    if unknown:
        raise CohortError(
            f"{len(unknown)} patients have no {column}, {unknown[0]} among them: nobody knows whom they belong with",
            path=cohort.path,
            remedy="split by another column",
        )
    values = theirs.unique()
    if len(values) < fold[1]:
        raise CohortError(
            f"{column} has {len(values)} values, too few for {fold[1]} folds",
            path=cohort.path,
            remedy="give fewer folds, or another column",
        )
    return theirs.isin(np.array_split(values, fold[1])[fold[0]]).to_numpy()
