"""What a measure of drawings is: one object that measures, gives the comparison its numbers, and says what it found.

A new measure is one file here and one line in `evaluation/all_measures.py`: the comparison has its columns then, the
page its section, and "What may be concluded" its sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.reporting.model import Column, Fact, Section
from radiogenesis.stats.resampling import Floats

if TYPE_CHECKING:  # these are made of measures themselves
    from radiogenesis.evaluation.descriptions.lesions import RealLesions
    from radiogenesis.evaluation.drawing import Drawn
    from radiogenesis.evaluation.measures.control import Measured
    from radiogenesis.evaluation.measures.pasted import Pasted
    from radiogenesis.evaluation.results import EvaluatedRun, RunResults

RUN = Column(label="Run", value="run")
PATIENTS = Column(label="Patients", value="patients", format="d")
IMAGES = Column(label="Images", value="images", format="d")
FIDELITY, REALISM, REST = (
    "Fidelity", "Fidelity near the lesion, and realism", "Control, diversity, memorization, usefulness",
)  # fmt: skip
"""The tables that the comparison is shown in."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class Number:
    """A column of the comparison: what it is, which way is better, and how it is written.

    Attributes:
        label: the column's heading.
        better: "higher", "lower", a value, or "" where no direction is better.
        format: as of `reporting.model.Column`.
        help: what it is read beside.
        table: the table of the comparison that it stands in.
        words: what a method is ahead or behind in; "" where that is not said.
        difference: how a difference of two is written.
        beside: what stands on the page's top beside it, with {reference} and {null}; "" where it is not one of the
            numbers there.
        of_drawings: whether its images are drawn ones.
        of_reference: whether the page's top shows, as a bar, what share of its reference it is.
    """

    label: str
    better: str
    format: str
    help: str
    table: str
    words: str = ""
    difference: str = ".3f"
    beside: str = ""
    of_drawings: bool = True
    of_reference: bool = False


@dataclass(frozen=True)
class Score:
    """One number of one run.

    Attributes:
        value: the number.
        draws: (D,) its resamples over patients, empty where there are none.
        reference, null: what it is read beside, see the number's help; nan where it has none.
        images, patients: that it was measured on.
    """

    value: float
    draws: Floats = field(default_factory=lambda: np.empty(0))
    reference: float = float("nan")
    null: float = float("nan")
    images: int = 0
    patients: int = 0


@dataclass(frozen=True)
class Result:
    """Tables by the name of their file, and scores by number."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


class Memory:
    """What several runs of an evaluation need, made once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives, made by the first who asks for it."""
        if key not in self._made:
            self._made[key] = make()
        kept: Made = self._made[key]
        return kept


@dataclass(frozen=True, eq=False)
class Work:
    """What a run drew, and all that it may be measured beside.

    Attributes:
        genes: (n, G) scaled genes of the held-out patients.
        drawn: what was drawn from them.
        patients: properties of the lesions drawn for each patient, beside the references.
        real: real lesions of everybody.
        pasted: real lesions pasted onto the backgrounds of the drawings.
        check: the check of control for a run that ignores genes, see `control_check`.
        memory: what is made once for all runs.
    """

    subject: EvaluatedRun
    synthesizer: Synthesizer
    genes: NDArray[Any]
    drawn: Drawn
    patients: Measured
    real: RealLesions
    pasted: Pasted
    cohort: Cohort
    settings: EvaluationSettings
    check: Callable[[], pd.DataFrame | None]
    memory: Memory


class Headline:
    """A number that stands on the page's top and is printed by `radiogenesis evaluate`, and how it is written there.

    What is here serves a number with a sentence `beside`. Where more is to be said, a subclass has the number's name.

    Attributes:
        name: of the number in evaluation.json.
    """

    name: ClassVar[str] = ""

    def headline(self, run: RunResults) -> dict[str, Any] | None:
        """The number of one run: run, name, value, low, high, text, and what it must be read beside."""
        return None

    def beside(self, number: Mapping[str, Any]) -> str:
        """What the number must be read beside, in a line on a terminal."""
        return str(number.get("beside", ""))

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        """The number on the page's top; `interval` is what its interval is called."""
        beside = f"{interval} {number['low']:.3g} to {number['high']:.3g}. {number.get('beside', '')}"
        return Fact(label=label, value=f"{number['value']:.3g}", beside=beside)


class Measure(Headline):
    """A measure of what a run drew.

    Attributes:
        table: of the page's section; `Result.tables` has it under this name, where the run could be measured.
        numbers: the columns that it gives the comparison.
        remark: a sentence that is said once where any run was measured by it.
    """

    table: ClassVar[str] = ""
    numbers: ClassVar[Mapping[str, Number]] = {}
    remark: ClassVar[str] = ""

    def measure(self, work: Work) -> Result:
        """Measure one run; empty where the measure does not apply to it."""
        raise NotImplementedError

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        """What the page shows of it, with its files written; `runs` are the runs that were measured."""
        return []

    def sentence(self, run: RunResults, confidence: float) -> str:
        """What may be concluded of one run that was measured; "" for nothing."""
        return ""

    def must_be_said(self, run: RunResults) -> bool:
        """Whether the sentence is said however many runs there are."""
        return False

    def by_method(self) -> bool:
        """Whether the page's top shows its numbers method by method where methods have several runs."""
        return any(number.beside for number in self.numbers.values())

    def of(self, runs: Sequence[RunResults]) -> list[RunResults]:
        """The runs that it measured."""
        return [run for run in runs if self.table in run.tables]


def together(runs: Sequence[RunResults], name: str) -> pd.DataFrame:
    """What runs have of a table, one below the other, with the run's name."""
    return pd.concat([run.tables[name].assign(run=run.subject.name) for run in runs if name in run.tables])


def joined(runs: Sequence[RunResults], name: str, tables: Path) -> str:
    """Write what runs have of a table; the file's name."""
    write_csv(together(runs, name), tables / f"{name}.csv")
    return f"{name}.csv"
