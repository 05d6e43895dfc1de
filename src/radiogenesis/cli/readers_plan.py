"""`radiogenesis readers plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from radiogenesis.cli.arguments import add_settings, parser, settings_from

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

_DESCRIPTION = """How many readers and cases a reader study needs: to tell an AUC from 0.5, and to meet the bar of
"cannot be told apart" (the interval of the readers' mean AUC lies between 0.40 and 0.60, at least 6 readers). Readers
and cases are both random (Obuchowski and Rockette 1995, Hillis 2007)."""


def main(arguments: list[str]) -> None:
    """Parse, plan, print two tables."""
    from radiogenesis.readers.plan import PlanSettings

    verb = parser("readers plan", _DESCRIPTION)
    verb.add_argument("--csv", type=str | None, default=None, metavar="FILE", help="Write the second table there too.")
    add_settings(verb, PlanSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, PlanSettings)

    import pandas as pd
    from rich.console import Console

    from radiogenesis.csv_files import write_csv
    from radiogenesis.output import check_place, whole_file
    from radiogenesis.readers.plan import MOST_CASES, plan

    if parsed.csv:
        check_place(Path(parsed.csv))
    needed, grid = plan(settings)
    told = needed.map(lambda value: f"> {MOST_CASES}" if pd.isna(value) else str(value))
    told.columns = pd.Index(
        ["readers", f"to tell an AUC of {settings.auc:g} from 0.5", "to meet the bar, if it is 0.5"]
    )
    chance = grid.assign(**{name: 100 * grid[name] for name in ("power_to_tell", "power_to_meet_the_bar")})
    console = Console()
    console.print(shown(f"Drawn cases, and as many real ones, for a power of {settings.power:.0%}", told))
    console.print(shown("What readers and cases give", chance.round(_DIGITS).map(lambda value: f"{value:g}")))
    print(
        "error: standard error of the readers' mean AUC at 0.5; interval: half its width; detectable: the least AUC "
        "that is told from 0.5; powers in %: to tell the AUC above, and to meet the bar where nobody can tell. One "
        "case is one patient."
    )
    if parsed.csv:
        with whole_file(Path(parsed.csv)) as partial:
            write_csv(grid, partial)


_DIGITS = {"error": 3, "interval": 3, "detectable": 3, "power_to_tell": 0, "power_to_meet_the_bar": 0}


def shown(title: str, frame: pd.DataFrame) -> Table:
    """A data frame as a table of the terminal."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in frame.columns:
        table.add_column(str(name).replace("_", " "), justify="right")
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    return table
