"""How many readers and cases a study needs.

The model is that of Obuchowski and Rockette (1995), with the degrees of freedom of Hillis (2007): with J readers of
skill AUC + N(0, reader_sd^2), C drawn and C real cases, and errors of variance v(C), of which two readers share r,

    error^2 = (reader_sd^2 + v (1 - r)) / J + v r,    v(C) as Hanley and McNeil (1982) have it.

At an AUC of 0.5, v is the variance of the Mann-Whitney statistic without ties, (2 C + 1) / (12 C^2). As in the
analysis there are never more degrees of freedom than patients less one. `readers make` takes drawn and real lesions
from the same held-out patients, so that C drawn and C real cases are C patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from radiogenesis.stats.mrmc import detectable

BAR = (0.40, 0.60)
"""Where the interval of the readers' mean AUC must lie for "cannot be told apart"."""
FEWEST_READERS = 6
"""For "cannot be told apart"."""
MOST_CASES = 2000


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What is assumed of readers and cases. One case is one patient: further images of a patient count for less."""

    readers: tuple[int, ...] = (6, 8, 10, 12, 16, 20)
    """Numbers of readers to plan for."""
    cases: tuple[int, ...] = (20, 40, 60, 80, 100, 150, 200)
    """Numbers of drawn cases, and of as many real ones, to tabulate."""
    auc: float = 0.65
    """An AUC that the study is to tell from 0.5."""
    power: float = 0.8
    """How often the study is to reach its aim."""
    confidence: float = 0.95
    """Coverage of the interval."""
    reader_sd: float = 0.03
    """Standard deviation of readers' true AUC; 0.05 to 0.07 in studies of detection (0.05 in Van Dyke et al. 1993),
    less where nobody can tell much."""
    shared: float = 0.45
    """Share of the errors of one reader that another makes on the same cases (Van Dyke et al. 1993: 0.48 and 0.35)."""

    def __post_init__(self) -> None:
        if not self.readers or min(self.readers) < 2:
            raise ValueError(f"readers {self.readers}: at least 2")
        if not self.cases or not 2 <= min(self.cases) <= max(self.cases) <= MOST_CASES:
            raise ValueError(f"cases {self.cases}: from 2 to {MOST_CASES}")
        if not 0.5 < self.auc < 1:
            raise ValueError(f"auc is {self.auc}, must lie between 0.5 and 1")
        for name in ("power", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must lie between 0 and 1")
        if not 0 <= self.reader_sd < 0.5:
            raise ValueError(f"reader_sd is {self.reader_sd}, must be at least 0 and below 0.5")
        if not 0 <= self.shared <= 1:
            raise ValueError(f"shared is {self.shared}, must lie between 0 and 1")


def error_variance(auc: float, cases: int) -> float:
    """Variance of one reader's empirical AUC with as many drawn as real cases (Hanley and McNeil 1982)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return (auc * (1 - auc) + (cases - 1) * (one + two - 2 * auc**2)) / cases**2


def expected_error(auc: float, readers: int, cases: int, reader_sd: float, shared: float) -> tuple[float, float]:
    """Standard error of the readers' mean AUC, and its degrees of freedom, at most `cases` less one."""
    variance = error_variance(auc, cases)
    between = reader_sd**2 + variance * (1 - shared)
    total = between + readers * variance * shared
    df = total**2 / (between**2 / (readers - 1)) if between else math.inf
    return math.sqrt(total / readers), min(df, cases - 1.0)


def power_to_tell(settings: PlanSettings, readers: int, cases: int) -> float:
    """How often the interval excludes 0.5, where the readers' mean AUC is `settings.auc`."""
    error, df = expected_error(settings.auc, readers, cases, settings.reader_sd, settings.shared)
    reach = float(stats.t.ppf((1 + settings.confidence) / 2, df))
    return float(stats.nct.sf(reach, df, (settings.auc - 0.5) / error))


def power_to_meet_the_bar(settings: PlanSettings, readers: int, cases: int) -> float:
    """How often the interval lies inside the bar, where nobody can tell anything: the mean AUC is 0.5."""
    error, df = expected_error(0.5, readers, cases, settings.reader_sd, settings.shared)
    room = (BAR[1] - BAR[0]) / 2 / error - float(stats.t.ppf((1 + settings.confidence) / 2, df))
    return max(0.0, float(2 * stats.norm.cdf(room) - 1))


def fewest_cases(settings: PlanSettings, readers: int) -> tuple[int | None, int | None]:
    """The fewest drawn cases, and as many real ones, to tell `settings.auc`, and to meet the bar; None above 2000."""
    found = []
    for power in (power_to_tell, power_to_meet_the_bar):
        # One by one: with few readers power may fall again as cases come, since the degrees of freedom do.
        enough = (n for n in range(2, MOST_CASES + 1) if power(settings, readers, n) >= settings.power)
        found.append(next(enough, None))
    return found[0], found[1]


def plan(settings: PlanSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every number of readers needs, and what every number of readers and cases gives.

    Returns:
        readers, cases_to_tell, cases_to_meet_the_bar; and readers, cases, error, interval (half its width), detectable
        (least AUC that is told from 0.5), power_to_tell, power_to_meet_the_bar. Cases are drawn ones, with as many
        real.
    """
    needed = [(readers, *fewest_cases(settings, readers)) for readers in settings.readers]
    rows = []
    for readers in settings.readers:
        for cases in settings.cases:
            error, df = expected_error(0.5, readers, cases, settings.reader_sd, settings.shared)
            rows.append(
                {
                    "readers": readers, "cases": cases, "error": error,
                    "interval": float(stats.t.ppf((1 + settings.confidence) / 2, df)) * error,
                    "detectable": 0.5 + detectable(error, df, settings.power, 1 - settings.confidence),
                    "power_to_tell": power_to_tell(settings, readers, cases),
                    "power_to_meet_the_bar": power_to_meet_the_bar(settings, readers, cases),
                }
            )  # fmt: skip
    columns = ["readers", "cases_to_tell", "cases_to_meet_the_bar"]
    return pd.DataFrame(needed, columns=columns).astype("Int64"), pd.DataFrame(rows)
