"""The explorer: a page on which genes are moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radiogenesis.api.keywords import settings_of
from radiogenesis.api.runs import as_cohort, as_run, place_of
from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import drawn_by, on_backend
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.explorer.content import Content, ExploreSettings, content_of
from radiogenesis.explorer.graph import drawer_of
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
        evaluation: the folder of an evaluation of that run, whose examination for copies is read; by default copies are
            looked for.
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
    out = Path(path)
    check_place(out)
    shown = _Shown.of(run, cohort, null_run)
    content = shown.content(chosen, map, evaluation, gmt, backgrounds_from)
    write_page(content, out)
    supported = sum(move.supported for move in content.moves if move.kind != PROPERTY)
    return ExplorerPage(out, len(content.moves), supported, content.who, content.remarks)


def serve_explorer(
    run: str | Path, *, say: Callable[[str], None], port: int, upload_mb: int, map: str | Path | None = None,
    evaluation: str | Path | None = None, null_run: str | Path | None = None, gmt: str | Path | None = None,
    cohort: str | Path | None = None, backgrounds_from: str | Path | None = None, backend: Backend = "torch",
    **settings: Any,
) -> None:  # fmt: skip
    """Serve the page on loopback until Ctrl+C: `radiogenesis explore RUN --serve`, which is a command only.

    Args:
        say: is told the remarks of the page, who is who on it, and the address.
        port, upload_mb: see `explorer.server.serve`.
        backend: what draws what the page asks for.
        the rest: as of `explore`.

    Raises:
        SettingError: the packages of the extra `serve`, or of the backend, are not there; and what `explore` raises.
    """
    if missing := [name for name in ("fastapi", "uvicorn", "python_multipart") if find_spec(name) is None]:
        raise SettingError(
            f"the package {missing[0]} is not installed, which --serve needs",
            remedy="pip install 'radiogenesis[serve]'",
        )
    from radiogenesis.explorer.server import serve

    (chosen,) = settings_of([ExploreSettings], settings)
    shown = _Shown.of(run, cohort, null_run)
    content = shown.content(chosen, map, evaluation, gmt, backgrounds_from, exported=False)
    for line in (*content.remarks, *(f"  {name} is {patient}" for name, patient in content.who.items())):
        say(line)
    runs = {"own": shown.run} | ({"shuffled": shown.null_run} if shown.null_run else {})
    methods = {name: drawer_of(on_backend(one, backend)) for name, one in runs.items()}
    say(f"Drawn by {drawn_by(methods['own']).words}.")
    serve(content, methods, shown.cohort, port=port, upload_mb=upload_mb, say=say)


@dataclass(frozen=True, eq=False)
class _Shown:
    """The run, its cohort, and the run with shuffled genes."""

    run: Run
    cohort: Cohort
    null_run: Run | None

    @classmethod
    def of(cls, run: Run | str | Path, cohort: Cohort | str | Path | None, null_run: Run | str | Path | None) -> _Shown:
        opened = as_run(run)
        return cls(opened, opened.open_cohort(place_of(cohort)), None if null_run is None else as_run(null_run))

    def content(
        self, chosen: ExploreSettings, map: str | Path | None, evaluation: str | Path | None, gmt: str | Path | None,
        backgrounds_from: Cohort | str | Path | None, *, exported: bool = True,
    ) -> Content:  # fmt: skip
        sets = in_names_of(read_gmt(gmt), list(self.cohort.expression.var_names), gmt)[0] if gmt else None
        return content_of(
            self.run, self.cohort, chosen, tables=_path(map), audit=_path(evaluation), gene_sets=sets,
            null_run=self.null_run, exported=exported,
            backgrounds_from=None if backgrounds_from is None else as_cohort(backgrounds_from),
        )  # fmt: skip


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
