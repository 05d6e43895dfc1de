"""What readers' answers are worth, for other readers and other patients.

Each comparison is a table of readers by cases: ratings of drawn and real images, or whether the right one of two was
picked. Cases that not all readers of a comparison answered are left out of it, and readers who answered few of them;
both are said. The mean over readers, its interval and what it could have shown come from `stats.mrmc`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.errors import InputError
from radiogenesis.readers.plan import BAR, FEWEST_READERS, PlanSettings, fewest_cases
from radiogenesis.stats import mrmc
from radiogenesis.stats.mrmc import Mask, ReaderMean

CALLED_DRAWN = 4
"""The least rating that says "drawn"."""
LEAST_ANSWERED = 0.8
"""Share of a comparison's questions that a reader must have answered to be taken into it."""
PAIRED = {"drawn": "which is drawn", "run": "follows the genes", "control": "follows shuffled genes"}
DIFFERENCE = "follows the genes, less the control"

BOTH_REAL = "pasted against original"
"""The comparison that says what the composition alone gives away."""


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """How answers are analyzed."""

    confidence: float = 0.95
    """Coverage of the intervals."""
    power: float = 0.8
    """Of the least AUC that is told, and of the number of cases that another study would need."""

    def __post_init__(self) -> None:
        for name in ("confidence", "power"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must lie between 0 and 1")


@dataclass(frozen=True, eq=False)
class Answered:
    """One comparison as a table: readers by the cases that all of them answered.

    Attributes:
        name: of the comparison.
        readers: (J,) codes.
        values: (J, C) ratings from 1 to 6, or 1 for the right one of a pair and 0 for the other.
        positive: (C,) of ratings which cases are to be called drawn; of pairs all False.
        owners: (n, C) which cases are of which patient.
        chosen: (J, C) what was said, as it counts for agreement: 1 for "drawn" or for A.
        properties: (C,) of moved pairs what was asked.
        left_out: readers and cases that are not in it, in words; "" for none.
    """

    name: str
    readers: tuple[str, ...]
    values: NDArray[np.int64]
    positive: Mask
    owners: Mask
    chosen: NDArray[np.int64]
    properties: NDArray[np.str_]
    left_out: str

    def of(self, cases: Mask) -> Answered:
        """The same on some of the cases."""
        return Answered(
            self.name, self.readers, self.values[:, cases], self.positive[cases], self.owners[:, cases],
            self.chosen[:, cases], self.properties[cases], self.left_out,
        )  # fmt: skip

    @property
    def kappa(self) -> float:
        """Fleiss' kappa of what the readers said; nan for one reader."""
        said = self.chosen.sum(0)
        both = np.stack([said, len(self.readers) - said], axis=1)
        return mrmc.fleiss_kappa(both) if len(self.readers) > 1 else math.nan


@dataclass(frozen=True, eq=False)
class Found:
    """Everything that was found.

    Attributes:
        ratings: comparison -> answers, its mean AUC.
        pairs: comparison -> answers, its mean share of right answers.
        difference: of the share that follows the genes and the share in the control; None without a control.
        properties: property -> run's share, control's share and difference, the last two None without a control.
        readers: one row per reader and comparison.
    """

    ratings: dict[str, tuple[Answered, ReaderMean]]
    pairs: dict[str, tuple[Answered, ReaderMean]]
    difference: ReaderMean | None
    properties: dict[str, tuple[ReaderMean, ReaderMean | None, ReaderMean | None]]
    readers: pd.DataFrame


def analyzed(answers: pd.DataFrame, settings: AnalysisSettings) -> Found:
    """Analyze the table of `answers.read_answers`.

    Raises:
        InputError: nothing in it can be compared.
    """
    confidence = settings.confidence
    ratings = {one.name: (one, mrmc.auc_of_readers(one.values, one.positive, one.owners, confidence))
               for one in _ratings(answers)}  # fmt: skip
    tables = _pairs(answers)
    pairs = {name: (one, mrmc.share_of_readers(one.values, one.owners, confidence)) for name, one in tables.items()}
    both = _both(answers) if {PAIRED["run"], PAIRED["control"]} <= set(tables) else None
    if not ratings and not pairs:
        raise InputError("nothing can be compared: the files hold too few answers", remedy="let the readers finish")
    properties = {}
    run = tables.get(PAIRED["run"])
    if run is not None:
        properties = {name: _property(run, both, name, confidence) for name in dict.fromkeys(run.properties.tolist())}
    # Pasted and original are both real: no answer to them is right, and only their AUC says something.
    judged = [one for one, _ in (*ratings.values(), *pairs.values()) if one.name != BOTH_REAL]
    rows = [row for one in judged for row in _each_reader(one, answers, confidence)]
    return Found(
        ratings, pairs, None if both is None else _difference(*both, confidence), properties, pd.DataFrame(rows)
    )


def _difference(both: Answered, second: Mask, confidence: float) -> ReaderMean:
    return mrmc.difference_of_shares(both.values, second, both.owners, confidence)


def _property(
    run: Answered, both: tuple[Answered, Mask] | None, name: str, confidence: float
) -> tuple[ReaderMean, ReaderMean | None, ReaderMean | None]:
    own = run.of(run.properties == name)
    found = mrmc.share_of_readers(own.values, own.owners, confidence)
    if both is None:
        return found, None, None
    mine = both[0].properties == name
    table, second = both[0].of(mine), both[1][mine]
    if not second.any() or second.all():
        return found, None, None
    control = table.of(second)
    return (
        found, mrmc.share_of_readers(control.values, control.owners, confidence),
        _difference(table, second, confidence),
    )  # fmt: skip


def _ratings(answers: pd.DataFrame) -> list[Answered]:
    """Drawn against each kind of real, the controls against real, and the two kinds of real against each other."""
    rated = answers[answers["task"] == "rate"]
    said = pd.to_numeric(rated["answer"])
    rated = rated.assign(value=said, chosen=said >= CALLED_DRAWN)
    kinds = [kind for kind in ("pasted", "original") if (rated["kind"] == kind).any()]
    wanted = [(f"drawn against {kind}", "drawn", kind) for kind in kinds]
    wanted += [(f"controls against {kind}", "control", kind) for kind in kinds[:1]]
    wanted += [(BOTH_REAL, "pasted", "original")] if len(kinds) == 2 else []
    found = []
    for name, positive, negative in wanted:
        part = rated[rated["kind"].isin([positive, negative])]
        one = _table(name, part.assign(positive=part["kind"] == positive), answers["reader"])
        if one is not None and _enough(one):
            found.append(one)
    return found


def _enough(one: Answered) -> bool:
    return all(np.count_nonzero(one.owners[:, kind].any(1)) >= 2 for kind in (one.positive, ~one.positive))


def _pairs(answers: pd.DataFrame) -> dict[str, Answered]:
    moved = answers["task"] == "high"
    control = answers["control"].eq(True) if "control" in answers else moved & False
    which = {"drawn": answers["task"] == "drawn", "run": moved & ~control, "control": moved & control}
    found = {}
    for name, part in which.items():
        one = _table(PAIRED[name], _picked(answers[part]).assign(positive=False), answers["reader"])
        if one is not None and np.count_nonzero(one.owners.any(1)) >= 2:
            found[one.name] = one
    return found


def _both(answers: pd.DataFrame) -> tuple[Answered, Mask] | None:
    """The run's pairs and those of the control in one table, and which are of the control."""
    moved = _picked(answers[answers["task"] == "high"])
    one = _table(DIFFERENCE, moved.assign(positive=moved["control"].eq(True)), answers["reader"])
    return None if one is None else (one, one.positive)


def _picked(part: pd.DataFrame) -> pd.DataFrame:
    """Pairs with what counts of them: whether the right one was picked, and whether A was."""
    right = part["right"] if "right" in part else part["answer"]
    return part.assign(value=part["answer"] == right, chosen=part["answer"] == "A")


def _table(name: str, part: pd.DataFrame, everybody: pd.Series[Any]) -> Answered | None:
    """Readers by cases; None where nobody answered.

    Args:
        part: the answers with their `value`, `chosen` and `positive`.
        everybody: readers of the study.
    """
    count = part["item"].nunique()
    own = part.groupby("reader")["item"].nunique().reindex(sorted(everybody.unique()), fill_value=0)
    readers = tuple(str(r) for r in own.index[own >= max(1.0, LEAST_ANSWERED * count)])
    part = part[part["reader"].isin(readers)]
    answered = part.groupby("item")["reader"].nunique()
    cases = sorted(answered.index[answered == len(readers)])
    if not readers or not cases:
        return None
    part = part[part["item"].isin(cases)]
    first = part.drop_duplicates("item").set_index("item").loc[cases]
    patients = sorted({patient for mine in first["patients"] for patient in mine})
    owners = np.array([[patient in mine for mine in first["patients"]] for patient in patients])
    few = [str(reader) for reader in own.index if reader not in readers]
    said = [f"readers {', '.join(few)}: too few answers"] if few else []
    said += [f"{count - len(cases)} of {count} cases: not answered by all"] if len(cases) < count else []
    values, chosen = (
        part.pivot(index="reader", columns="item", values=column).loc[list(readers), cases].to_numpy().astype(np.int64)
        for column in ("value", "chosen")
    )
    asked = first["property"].fillna("") if "property" in first else pd.Series("", first.index)
    positive = first["positive"].to_numpy(bool)
    return Answered(name, readers, values, positive, owners, chosen, asked.to_numpy(str), "; ".join(said))


def _each_reader(one: Answered, answers: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """One row per reader: accuracy with its exact interval, AUC, time."""
    rated = bool(one.positive.any())
    right = (one.chosen.astype(bool) == one.positive) if rated else one.values.astype(bool)
    areas = mrmc.auc(one.values, one.positive) if rated else np.full(len(one.readers), np.nan)
    rows = []
    for j, reader in enumerate(one.readers):
        count, total = int(right[j].sum()), right.shape[1]
        low, high = mrmc.exact_interval(count, total, confidence)
        rows.append(
            {
                "comparison": one.name, "reader": reader, "answers": total, "right": count, "accuracy": count / total,
                "low": low, "high": high, "auc": float(areas[j]),
            }
        )  # fmt: skip
    return rows


def one_shot_error(one: Answered) -> float:
    """Standard error of the mean AUC by the one-shot of Gallas (2006), the cases taken as independent; nan where the
    readers are too few, or the estimate is not above 0."""
    if len(one.readers) < 2:
        return math.nan
    variance = mrmc.one_shot_variance(mrmc.successes(one.values, one.positive))
    return math.sqrt(variance) if variance > 0 else math.nan


def meets_the_bar(mean: ReaderMean) -> bool:
    """Whether the interval lies inside the bar, with enough readers."""
    return mean.readers >= FEWEST_READERS and BAR[0] <= mean.low and mean.high <= BAR[1]


def cases_needed(mean: ReaderMean, settings: AnalysisSettings) -> int | None:
    """Drawn cases, and as many real ones, with which readers like these would meet the bar if nothing can be told."""
    if mean.readers < 2 or not mean.own > 0:
        return None
    spread = math.sqrt(max(mean.between - mean.own + mean.shared, 0.0))
    readers = max(mean.readers, FEWEST_READERS)
    assumed = PlanSettings(
        readers=(readers,), power=settings.power, confidence=settings.confidence, reader_sd=min(spread, 0.49),
        shared=float(np.clip(mean.shared / mean.own, 0.0, 1.0)),
    )  # fmt: skip
    return fewest_cases(assumed, readers)[1]


def times(answers: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of the seconds per answer, for each reader and task."""
    seconds = answers.groupby(["task", "reader"])["seconds"]
    found = seconds.quantile(np.array([0.25, 0.5, 0.75])).unstack()
    found.columns = pd.Index(["quarter", "median", "three_quarters"])
    return found.assign(answers=seconds.size()).reset_index()
