"""`radiogenesis evaluate RUN... OUT`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiogenesis.cli.arguments import add_settings, parser, settings_from

if TYPE_CHECKING:
    from rich.table import Table

_DESCRIPTION = """Measure runs on the patients they held out: fidelity, realism, control, diversity, memorisation,
retrieval, and with --segmentation_steps usefulness.

Every number stands beside its ceiling and its null, with intervals over patients. Runs of one cohort go into one
table with a row per method: runs that differ in nothing but their seed share a row, and the other methods are compared
with that of the first run. `radiogenesis report OUT` makes a page of it."""


def main(arguments: list[str]) -> None:
    """Parse, evaluate, print the numbers that matter."""
    from radiogenesis.evaluation.settings import EvaluationSettings

    verb = parser("evaluate", _DESCRIPTION)
    verb.add_argument(
        "paths", type=str, nargs="+", metavar="RUN... OUT", help="Finished runs, then the folder to write."
    )
    verb.add_argument("--cohort", type=str | None, default=None, help="The runs' cohort, where it has moved.")
    add_settings(verb, EvaluationSettings)
    parsed = verb.parse(arguments)
    *run_paths, out = map(Path, parsed.paths)
    if not run_paths:
        verb.error("give at least one RUN and the folder OUT to write")
    settings = settings_from(parsed, EvaluationSettings)

    from rich.console import Console

    from radiogenesis.evaluation.evaluate import evaluate_runs
    from radiogenesis.output import refuse_existing
    from radiogenesis.training.run import Run

    refuse_existing(out)
    runs = [Run.open(path) for path in run_paths]
    with _ProgressLine() as progress:
        summary = evaluate_runs(runs, out, settings, cohort=parsed.cohort, progress=progress.update)
    console = Console()
    console.print(headline_table(summary))
    for sentence in summary["conclusions"]:
        console.print(sentence)
    console.print(f"{out}: written; `radiogenesis report {out}` makes a page of it")


class _ProgressLine:
    """A bar per run on stderr, with the patients drawn and the time that is left."""

    def __enter__(self) -> _ProgressLine:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("patients drawn, left"),
        )
        self.progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self.tasks: dict[str, Any] = {}
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def update(self, name: str, done: int, total: int) -> None:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total)
        self.progress.update(self.tasks[name], completed=done)


def headline_table(summary: dict[str, Any]) -> Table:
    """The numbers that matter, each beside its ceiling, its chance or its null."""
    from rich.table import Table

    table = Table(title="On held-out patients", title_justify="left", box=None, pad_edge=False)
    for name in ("run", "what", "found", "95 % interval", "beside"):
        table.add_column(name, justify="left")
    for number in summary["headline"]:
        if math.isfinite(number["value"]):
            found, spread = f"{number['value']:.2f}", f"{number['low']:.2f} to {number['high']:.2f}"
        else:
            found, spread = "not measured", "–"
        table.add_row(number["run"], number["text"], found, spread, beside(number))
    return table


def beside(number: dict[str, Any]) -> str:
    """What a headline number must be read beside."""
    if number["name"] == "control":
        text = f"ceiling {number['ceiling']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"
        return f"{text}, share {number['share']:.0%}" if number["share"] == number["share"] else text
    if number["name"] == "detection":
        return f"rival {number['rival']:.2f}, null {number['null']:.2f}"
    if number["name"] == "gene prediction":
        return f"ridge {number['ceiling']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"
    if number["name"] == "retrieval":
        return f"of {number['patients']:.0f}; chance {number['chance']:.1f}"
    return f"another background {number['null']:.2f}"
