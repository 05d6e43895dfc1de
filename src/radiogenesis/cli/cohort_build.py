"""`radiogenesis cohort build RAW COHORT`: scans and tables -> cohort."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from radiogenesis.cli.arguments import add_settings, parser, settings_from


def main(arguments: list[str]) -> None:
    """Parse, build, say what came of it."""
    from radiogenesis.cohort.build import BuildSettings, Tables, beside, build_cohort
    from radiogenesis.cohort.expression import TableSettings
    from radiogenesis.cohort.sampling import SamplingSettings
    from radiogenesis.cohort.sources import ReadSettings

    options = parser(
        "cohort build",
        "Read every scan under RAW and the tables beside it, and write the cohort COHORT with COHORT.previews/. "
        "Stopped at any moment, the same command goes on where it was.",
    )
    options.add_argument("raw", type=str, help="Folder with DICOM (any depth, anything mixed) or NIfTI pairs.")
    options.add_argument("cohort", type=str, help="The cohort to write; must not exist yet.")
    options.add_argument("--expression", type=str | None, help="Expression: CSV, TSV, GEO text or series matrix, h5ad.")
    options.add_argument("--annotations", type=str | None, help="Folder of AIM v4 XML files.")
    options.add_argument("--clinical", type=str | None, help="Clinical table, or a GEO series matrix.")
    options.add_argument(
        "--clinical_id", default="", help="Its column of patient ids; found by known ids where absent."
    )
    options.add_argument(
        "--not_genes", nargs="*", default=[], help="Columns of the expression table that are no genes."
    )
    for kind in (TableSettings, ReadSettings, SamplingSettings, BuildSettings):
        add_settings(options, kind, skip={"not_genes"} if kind is TableSettings else None)
    given = options.parse(arguments)
    tables = Tables(
        **{name: Path(given[name]) for name in ("expression", "annotations", "clinical") if given[name]},
        clinical_id=given.clinical_id,
        settings=settings_from(given, TableSettings, not_genes=tuple(given.not_genes)),
    )
    with _Bars() as bars:
        cohort = build_cohort(
            given.raw,
            given.cohort,
            tables,
            read=settings_from(given, ReadSettings),
            sampling=settings_from(given, SamplingSettings),
            build=settings_from(given, BuildSettings),
            progress=bars,
        )
    print(cohort.describe())
    previews = beside(Path(given.cohort), "previews")
    print(f"\nLook at {previews}/ before you train: one picture per patient.")
    if skipped := cohort.provenance["skipped_files"]:
        print(f"{previews / 'skipped.csv'} names the files that were passed over: {skipped}.")


class _Bars:
    """Draws what a build tells: a bar with a rate and an estimate, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bars.add_task("patients", total=None, visible=False, rate="")
        self._done = 0

    def __enter__(self) -> _Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars.live.is_started:
            self._bars.stop()
        if kind is KeyboardInterrupt:
            self.say("What is done is kept: the same command goes on from here.")

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)

    def start(self, total: int, done: int) -> None:
        if done:
            self.say(f"{done} of {total} patients are there from an earlier run")
        self._bars.start()
        self._bars.reset(self._task, total=total - done, visible=total > done, rate="")

    def advance(self, outcome: object) -> None:
        self._done += 1
        elapsed = self._bars.tasks[0].elapsed or 0
        rate = f"{60 * self._done / elapsed:.1f} patients/min" if elapsed else ""
        self._bars.update(self._task, advance=1, rate=rate)
