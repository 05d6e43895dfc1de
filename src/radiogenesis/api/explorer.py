"""The explorer: a page on which genes are moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiogenesis.api.keywords import settings_of
from radiogenesis.api.runs import as_cohort, as_run, place_of
from radiogenesis.cohort.store import Cohort
from radiogenesis.explorer.content import ExploreSettings, content_of
from radiogenesis.explorer.moves import PROPERTY
from radiogenesis.explorer.page import write_page
from radiogenesis.mapping.conventional.enrichment import in_names_of, read_gmt
from radiogenesis.output import check_place
from radiogenesis.training.run import Run


@dataclass(frozen=True)
class ExplorerPage:
    """What was written.

    Attributes:
        path: the HTML file.
        moves: how many sliders it has.
        supported: how many genes, metagenes and sets have an effect above chance.
        patients: name on the page -> patient.
        remarks: what the page says at its top.
    """

    path: Path
    moves: int
    supported: int
    patients: dict[str, str]
    remarks: tuple[str, ...]


def explore(
    run: Run | str | Path, path: str | Path, *, map: str | Path | None = None, evaluation: str | Path | None = None,
    null_run: Run | str | Path | None = None, gmt: str | Path | None = None, cohort: Cohort | str | Path | None = None,
    backgrounds_from: Cohort | str | Path | None = None, **settings: Any,
) -> ExplorerPage:  # fmt: skip
    """Write one HTML page on which a gene is moved and the drawn lesion follows: `radiogenesis explore`.

    Args:
        run: a finished run of fusion-gan.
        path: the HTML file to write; must not exist yet.
        map: the folder of a map with that run: metagenes, and what tells effects from chance.
        evaluation: the folder of an evaluation of that run, which looked for copies of training lesions.
        null_run: a run with shuffled genes, to see the same move in it.
        gmt: gene sets to move.
        cohort: the run's cohort, where it has moved.
        backgrounds_from: another cohort to take backgrounds from.
        settings: fields of ExploreSettings.

    Raises:
        RunError: a run of another method, a map or an evaluation of another run, or copies of training lesions.
        SettingError: backgrounds of real patients that nobody named; unknown patients or backgrounds.
        OutputError: something is already at `path`.

    Examples:
        >>> page = rg.explore("runs/gan", "explorer.html", noises=1)
        >>> page.moves > page.supported
        True
        >>> page.remarks
        ("No map was given (--map): no slider's effect is told from chance.",)
    """
    (chosen,) = settings_of([ExploreSettings], settings)
    out, opened = Path(path), as_run(run)
    check_place(out)
    place = opened.open_cohort(place_of(cohort))
    sets = in_names_of(read_gmt(gmt), list(place.expression.var_names), gmt)[0] if gmt else None
    content = content_of(
        opened, place, chosen, tables=_path(map), audit=_path(evaluation), gene_sets=sets,
        null_run=None if null_run is None else as_run(null_run),
        backgrounds_from=None if backgrounds_from is None else as_cohort(backgrounds_from),
    )  # fmt: skip
    write_page(content, out)
    supported = sum(move.supported for move in content.moves if move.kind != PROPERTY)
    return ExplorerPage(out, len(content.moves), supported, content.who, content.remarks)


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
