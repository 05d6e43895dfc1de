"""`radiogenesis cohort plant CT_FOLDER TABLE COHORT`: the positive control on a user's own lungs and genes."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from


def main(arguments: list[str]) -> None:
    """Parse, plant with a progress bar, say what came of it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from radiogenesis.cohort.expression import TableSettings
    from radiogenesis.cohort.sampling.slices import SamplingSettings
    from radiogenesis.cohort.sources import ReadSettings
    from radiogenesis.phantom.plant import PlantSettings, plant_cohort
    from radiogenesis.progress import Bar

    options = parser(
        "cohort plant",
        "Plant a lesion into a real lung for every patient of a real expression table, its appearance driven by genes "
        "of that table: a method that does not find this map back will not find a true one either.",
    )
    options.add_argument("ct_folder", type=Path, help="Folder with chest CT, DICOM or NIfTI; used again and again.")
    options.add_argument("table", type=Path, help="Expression: CSV, TSV, GEO text or series matrix, h5ad.")
    options.add_argument("cohort", type=Path, help="The cohort to write; must not exist yet.")
    options.add_argument(
        "--not_genes", nargs="*", default=[], help="Columns of the expression table that are no genes."
    )
    for kind in (PlantSettings, TableSettings, SamplingSettings, ReadSettings):
        add_settings(options, kind, skip={"not_genes"} if kind is TableSettings else None)
    given = options.parse(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns) as bar:
        task = bar.add_task(f"looking through {given.ct_folder}", total=None)
        cohort = plant_cohort(
            given.ct_folder,
            given.table,
            given.cohort,
            settings=settings_from(given, PlantSettings),
            sampling=settings_from(given, SamplingSettings),
            tables=settings_from(given, TableSettings, not_genes=tuple(given.not_genes)),
            read=settings_from(given, ReadSettings),
            tell=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    print(cohort.describe())
