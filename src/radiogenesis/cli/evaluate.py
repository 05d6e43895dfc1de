"""`radiogenesis evaluate RUN... OUT`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.errors import RunError, SettingError

if TYPE_CHECKING:
    from rich.table import Table

    from radiogenesis.evaluation.settings import EvaluationSettings
    from radiogenesis.methods.tumor_unet import FindSettings
    from radiogenesis.training.run import Run

_DESCRIPTION = """Measure runs on the patients they held out: fidelity, realism, control, diversity, memorisation,
retrieval, and with --segmentation_steps usefulness; of gene-autoencoder how well genes are predicted, and what its
encoder's features have to do with metagenes; of tumor-unet what is found in whole slices, on another cohort too.

Every number stands beside what it must be read by, with intervals over patients: control beside one ridge regression
from the same genes, realism beside real lesions pasted onto the same backgrounds, copies beside how surely they would
have been seen. Runs of one cohort go into one
table with a row per method: runs that differ in nothing but their seed share a row, and the other methods are compared
with that of the first run. `radiogenesis report OUT` makes a page of it."""

_COHORT = """The runs' cohort, where it has moved. For runs of tumor-unet alone also another cohort: all its patients
with an outline are measured, except those whose names were trained on."""


def main(arguments: list[str]) -> None:
    """Parse, evaluate, print the numbers that matter."""
    from radiogenesis.evaluation.detection_page import NOT_FOR_KEPT_SLICES
    from radiogenesis.evaluation.settings import EvaluationSettings
    from radiogenesis.methods.tumor_unet import FindSettings

    verb = parser("evaluate", _DESCRIPTION)
    verb.add_argument(
        "paths", type=str, nargs="+", metavar="RUN... OUT", help="Finished runs, then the folder to write."
    )
    verb.add_argument("--cohort", type=str | None, default=None, help=_COHORT)
    add_settings(verb, EvaluationSettings)
    add_settings(verb, FindSettings, skip=NOT_FOR_KEPT_SLICES)
    parsed = verb.parse(arguments)
    *run_paths, out = map(Path, parsed.paths)
    if not run_paths:
        verb.error("give at least one RUN and the folder OUT to write")
    settings, find = settings_from(parsed, EvaluationSettings), settings_from(parsed, FindSettings)

    from rich.console import Console

    from radiogenesis.output import check_place
    from radiogenesis.training.run import Run

    check_place(out)
    runs = [Run.open(path) for path in run_paths]
    with _ProgressLine() as progress:
        summary = evaluated(runs, out, settings, find, cohort=parsed.cohort, progress=progress.update)
    console = Console()
    console.print(headline_table(summary))
    for sentence in summary["conclusions"]:
        console.print(sentence)
    console.print(f"{out}: written; `radiogenesis report {out}` makes a page of it")


def evaluated(
    runs: Sequence[Run],
    out: Path,
    settings: EvaluationSettings,
    find: FindSettings,
    *,
    cohort: str | None = None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, Any]:
    """Evaluate all runs into one folder, whole or not at all. Returns what evaluation.json holds.

    Runs of tumor-unet beside others are stage 1 on the page of the others; the first gene autoencoder has figure 6.

    Raises:
        SettingError: other than the default of how tumours are found, and no run finds any.
        RunError: runs of different cohorts, or two of one name; and what the evaluations raise.
    """
    from radiogenesis.evaluation.detection_page import detects, evaluate_detection, measure_detection
    from radiogenesis.evaluation.evaluate import evaluate_runs
    from radiogenesis.evaluation.framework_page import add_detection
    from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
    from radiogenesis.output import whole_folder

    finding, others = ([run for run in runs if detects(run) is wanted] for wanted in (True, False))
    if not finding and find != type(find)():
        raise SettingError("settings of how tumours are found were given, and no run of tumor-unet")
    if not others:
        return evaluate_detection(finding, out, settings, find=find, cohort=cohort)
    if finding:
        _check_together(runs)
    encoding = [run for run in others if isinstance(run.method, GeneAutoencoder)]
    with whole_folder(out) as partial:
        made = partial / "evaluation"
        summary = evaluate_runs(others, made, settings, cohort=cohort, progress=progress)
        if finding:
            found = measure_detection(finding, made, settings, find=find, cohort=cohort)
            summary = add_detection(made, summary, found)
        if encoding:
            summary = add_figure_6(made, summary, encoding[0], others, settings, cohort=cohort)
        for part in made.iterdir():
            part.rename(partial / part.name)
        made.rmdir()
    return summary


def _check_together(runs: Sequence[Run]) -> None:
    """Before hours of work: are these runs of one cohort, with names of their own?"""
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) != len(names):
        raise RunError(f"runs must have different names: {', '.join(names)}", remedy="rename a run folder")
    cohorts = {run.provenance["cohort_digest"] for run in runs}
    if len(cohorts) != 1:
        raise RunError(
            f"{len(runs)} runs of {len(cohorts)} different cohorts cannot stand on one page",
            path=runs[0].path,
            remedy="evaluate the runs of each cohort by themselves",
        )


def add_figure_6(
    folder: Path,
    summary: Mapping[str, Any],
    run: Run,
    runs: Sequence[Run],
    settings: EvaluationSettings,
    *,
    cohort: str | None = None,
) -> dict[str, Any]:
    """Put metagenes against the encoder's features on the page. Returns what evaluation.json holds.

    The metagenes are made as those of the metagene GAN among the runs, if there is one, else 100 by k-means.
    """
    from radiogenesis.evaluation.framework_metagenes import metagene_table
    from radiogenesis.evaluation.framework_page import add
    from radiogenesis.mapping.association import FEWEST
    from radiogenesis.mapping.code_features import code_feature_map, code_section, conclusion
    from radiogenesis.mapping.settings import MapSettings
    from radiogenesis.methods.gene_autoencoder import GeneAutoencoder

    name, held_out = run.path.resolve().name, len(run.split.test)
    if held_out < FEWEST:
        said = f"{name}: no figure 6: {held_out} held-out patients, and it needs {FEWEST}."
        return add(folder, summary, {"conclusions": [said]})
    assert isinstance(run.method, GeneAutoencoder)
    opened = run.open_cohort(cohort)
    clustered: dict[str, Any] = next((one.config["settings"] for one in runs if one.method_name == "metagene-gan"), {})
    how = MapSettings(
        seed=settings.seed,
        permutations=max(100, settings.permutations),
        clusters=clustered.get("metagenes", 0),
        method=clustered.get("clustering", "kmeans"),
    )
    made = code_feature_map(run.method, opened, run.split, run.scaler, how)
    section = code_section(made, folder)
    genes = run.scaler.transform(opened.expression, list(run.split.train))
    shown = metagene_table(made.metagenes, genes, folder / "tables", "code_metagenes", seed=settings.seed)
    section = replace(section, blocks=(*section.blocks, shown.table), notes=(*section.notes, shown.note))
    return add(folder, summary, {"conclusions": [f"{name}: {conclusion(made)}"]}, last=[section])


class _ProgressLine:
    """A bar per run on stderr, with the patients drawn and the time that is left."""

    def __enter__(self) -> _ProgressLine:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        from radiogenesis.progress import Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("patients drawn, left"),
        )
        self.progress = Bar(*columns, TimeRemainingColumn())
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
    """The numbers that matter, each beside its rival, its chance or its null."""
    from rich.table import Table

    from radiogenesis.evaluation.wording import coverage

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
    if number["name"] == "control":
        text = f"regression {number['regression']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"
        return f"{text}, {number['share']:.0%} of the regression" if number["share"] == number["share"] else text
    if number["name"] == "detection":
        return f"rival {number['rival']:.2f}, null {number['null']:.2f}".replace("nan", "–")
    if number["name"] == "gene prediction":
        return f"ridge {number['regression']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"
    if number["name"] == "retrieval":
        return f"of {number['patients']:.0f}; chance {number['chance']:.1f}"
    return (
        f"another background {number['null']:.2f}; high through a narrow seam"
        if math.isfinite(number["null"])
        else "one background only"
    )
