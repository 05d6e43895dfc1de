"""`radiogenesis evaluate RUN... OUT`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiogenesis.cli.arguments import add_settings, parser, settings_from

if TYPE_CHECKING:
    from rich.table import Table


_DESCRIPTION = """Measure runs on the patients they held out: fidelity, realism, control, diversity, memorization,
retrieval, and with --segmentation_steps usefulness; of gene-autoencoder how well genes are predicted, and what its
encoder's features have to do with metagenes; of tumor-unet what is found in whole slices. With --cohort on the patients
of another cohort.

Every number stands beside what it must be read by, with intervals over patients: control beside one ridge regression
from the same genes, realism beside real lesions pasted onto the same backgrounds, copies beside how surely they would
have been seen. Runs of one cohort go into one
table with a row per method: runs that differ in nothing but their seed share a row, and the other methods are compared
with that of the first run. `radiogenesis report OUT` makes a page of it."""

_COHORT = """The runs' cohort, where it has moved; or another cohort: all its patients are held out, except those whose
names or scans were trained on, and genes are matched by symbol (see --other_scaler)."""
_OWN = "With another cohort: the runs' own one, where it has moved."


def main(arguments: list[str]) -> None:
    """Parse, evaluate, print the numbers that matter."""
    from radiogenesis.evaluation.settings import EvaluationSettings
    from radiogenesis.methods.tumor_unet import FindSettings
    from radiogenesis.pages.evaluation.detection import NOT_FOR_KEPT_SLICES

    verb = parser("evaluate", _DESCRIPTION)
    verb.add_argument(
        "paths", type=str, nargs="+", metavar="RUN... OUT", help="Finished runs, then the folder to write."
    )
    verb.add_argument("--cohort", type=str | None, default=None, help=_COHORT)
    verb.add_argument("--own_cohort", type=str | None, default=None, help=_OWN)
    add_settings(verb, EvaluationSettings)
    add_settings(verb, FindSettings, skip=NOT_FOR_KEPT_SLICES)
    parsed = verb.parse(arguments)
    *run_paths, out = map(Path, parsed.paths)
    if not run_paths:
        verb.error("give at least one RUN and the folder OUT to write")
    settings, find = settings_from(parsed, EvaluationSettings), settings_from(parsed, FindSettings)

    from rich.console import Console

    from radiogenesis.api.evaluation import evaluated
    from radiogenesis.backends.opened import on_backends
    from radiogenesis.output import check_place
    from radiogenesis.progress import TaskBars
    from radiogenesis.training.run import Run

    check_place(out)
    runs, said = on_backends([Run.open(path) for path in run_paths], settings.backend)
    if said:
        print(said, file=sys.stderr)
    with TaskBars("patients drawn") as bars:
        summary = evaluated(runs, out, settings, find, cohort=parsed.cohort, own=parsed.own_cohort, progress=bars)
    console = Console()
    console.print(headline_table(summary))
    for sentence in summary["conclusions"]:
        console.print(sentence)
    console.print(f"{out}: written; `radiogenesis report {out}` makes a page of it")


def headline_table(summary: dict[str, Any]) -> Table:
    """The numbers that matter, each beside its baseline, its chance or its null."""
    from rich.table import Table

    from radiogenesis.reporting.wording import coverage

    interval = f"{coverage(summary['settings']['confidence'])} interval"
    table = Table(title="On patients who were not trained on", title_justify="left", box=None, pad_edge=False)
    for name in ("run", "what", "found", interval, "beside"):
        table.add_column(name, justify="left")
    for number in summary["headline"]:
        spread = f"{number['low']:.2f} to {number['high']:.2f}" if math.isfinite(number["value"]) else "–"
        table.add_row(number["run"], number["text"], measured(number["value"]), spread, beside(number))
    return table


def measured(value: float) -> str:
    """A headline number."""
    return f"{value:.2f}" if math.isfinite(value) else "not measured"


def beside(number: dict[str, Any]) -> str:
    """What a headline number must be read beside."""
    from radiogenesis.pages.evaluation.headlines import headline_of

    return headline_of(number).beside(number)
