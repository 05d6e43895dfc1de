"""Reader studies: a page for readers, and what their answers are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.api.evaluation import Results
from radiogenesis.api.keywords import settings_of
from radiogenesis.api.runs import as_run, place_of
from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.conventional.enrichment import in_names_of, read_gmt
from radiogenesis.output import check_place
from radiogenesis.progress import Progress, silent
from radiogenesis.readers.analysis import AnalysisSettings
from radiogenesis.readers.page import key_path, write_study
from radiogenesis.readers.plan import PlanSettings, plan
from radiogenesis.readers.report import analyze
from radiogenesis.readers.settings import StudySettings
from radiogenesis.readers.study import make_study
from radiogenesis.readers.wording import said_of_study
from radiogenesis.training.run import Run


class ReaderStudy(Results):
    """What readers' answers are worth: tables, and sentences of what may be concluded."""

    _file = "readers.json"


def make_reader_study(
    run: Run | str | Path,
    path: str | Path,
    *,
    cohort: Cohort | str | Path | None = None,
    null_run: Run | str | Path | None = None,
    gmt: str | Path | None = None,
    evaluation: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Path:
    """A blinded reader study in one page: `radiogenesis readers make`.

    Args:
        run: a finished run of a method that draws.
        path: the page to write, OUT.html; its key is written beside it, as OUT.key.json.
        cohort: the run's cohort, where it has moved.
        null_run: the same run with `shuffle_genes=True`: the control of the third part.
        gmt: gene sets that `pathways` names.
        evaluation: the folder of an evaluation of the run, whose examination for copies is read; by default it is made.
        progress: called with (what, done, total).
        settings: fields of StudySettings.

    Returns:
        path of the key.

    Raises:
        SettingError: an unknown setting, or real patients without `real_patients=True`.
        RunError: a run that does not draw, or whose drawings may be copies of training lesions.

    Examples:
        >>> key = rg.make_reader_study("runs/gan", "study.html", rated=0, pairs=0, controls=0, property_pairs=1,
        ...                            properties=["size"], anyway=True)
        >>> key.name
        'study.key.json'
    """
    (how,) = settings_of([StudySettings], settings)
    where = place_of(cohort)
    null = None if null_run is None else as_run(null_run)
    made_study(
        as_run(run), Path(path), how, cohort=where, null_run=null, gmt=gmt, evaluation=evaluation,
        progress=progress or silent,
    )  # fmt: skip
    return key_path(Path(path))


def analyze_readers(
    answers: Sequence[str | Path], path: str | Path, *, key: str | Path, **settings: Any
) -> ReaderStudy:
    """What readers' answers are worth: `radiogenesis readers analyze`.

    Args:
        answers: the files that readers saved.
        path: the folder to write; must not exist yet.
        key: what `make_reader_study` wrote beside the page.
        settings: fields of AnalysisSettings.

    Raises:
        InputError: a file that is not of this study, or damaged. SettingError: an unknown setting.

    Examples:
        >>> rg.analyze_readers(["R1.csv"], "judged", key="nowhere.key.json")
        Traceback (most recent call last):
        radiogenesis.errors.InputError: nowhere.key.json: there is no key here; ...
    """
    (how,) = settings_of([AnalysisSettings], settings)
    analyze([Path(file) for file in answers], Path(key), Path(path), how)
    return ReaderStudy(Path(path))


def plan_readers(**settings: Any) -> pd.DataFrame:
    """How many readers and cases a study needs: `radiogenesis readers plan`.

    Args:
        settings: fields of PlanSettings.

    Returns:
        readers, cases, error, interval, detectable, power_to_tell, power_to_meet_the_bar.

    Examples:
        >>> rg.plan_readers(readers=[6], cases=[100])["power_to_meet_the_bar"].round(1).item()
        0.7
    """
    (how,) = settings_of([PlanSettings], settings)
    return plan(how)[1]


def made_study(
    run: Run,
    page: Path,
    settings: StudySettings,
    *,
    cohort: str | Path | None = None,
    null_run: Run | None = None,
    gmt: str | Path | None = None,
    evaluation: str | Path | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Make a study and write its page and key. Returns what is to be said of it, as sentences."""
    for place in (page, key_path(page)):
        check_place(place)
    sets = None
    if gmt:
        names = [str(name) for name in run.scaler.genes]
        sets, _ = in_names_of(read_gmt(gmt), names, gmt)
    study = make_study(
        run, settings, cohort=cohort, null_run=null_run, gene_sets=sets, progress=progress,
        evaluation=Path(evaluation) if evaluation else None,
    )  # fmt: skip
    key = write_study(study, page)
    return [*said_of_study(study.key()), f"{page}: written; send it to the readers. {key}: keep it."]
