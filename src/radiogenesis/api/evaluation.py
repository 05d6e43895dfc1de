"""Evaluations: any set of runs measured on the patients they held out, and what was found, as data frames."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

from radiogenesis.api.keywords import settings_of
from radiogenesis.api.runs import as_runs, place_of
from radiogenesis.backends.opened import on_backends
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import read_csv, read_parquet
from radiogenesis.errors import InputError, RunError, SettingError
from radiogenesis.evaluation.genes.metagenes import metagene_table
from radiogenesis.evaluation.other_cohort import Placed, placed
from radiogenesis.evaluation.results import EvaluatedRun
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.given_files import read_json
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.methods.tumor_unet import FindSettings
from radiogenesis.output import check_place, whole_folder
from radiogenesis.pages.evaluation.detection import detects, evaluate_detection, measure_detection
from radiogenesis.pages.evaluation.evaluate import evaluate as evaluate_subjects
from radiogenesis.pages.evaluation.stages import add, add_detection
from radiogenesis.pages.mapping.figure_6 import code_feature_map, code_section, conclusion
from radiogenesis.progress import Progress, silent
from radiogenesis.stats.association import FEWEST
from radiogenesis.training.run import Run

OLD, NOW = "memorisation", "memorization"
"""Tables were called the first before 2026-11-27; either name opens them."""


@dataclass(frozen=True)
class Results:
    """What an evaluation or a map wrote into its folder.

    Attributes:
        path: the folder.
    """

    path: Path
    _file: ClassVar[str] = ""
    """The JSON file that holds what was found."""

    @classmethod
    def _open(cls, path: str | Path) -> Self:
        """What is in a folder. Raises RunError where nothing is."""
        opened = cls(Path(path))
        opened._record()
        return opened

    @property
    def conclusions(self) -> list[str]:
        """What may be concluded, in sentences.

        Examples:
            >>> any(sentence.startswith("gan: ") for sentence in rg.open_evaluation("evaluation").conclusions)
            True
            >>> len(rg.open_map("map").conclusions) > 0
            True
        """
        return list(self._held("conclusions", str))

    @property
    def tables(self) -> list[str]:
        """Names of the tables in the folder.

        Examples:
            >>> "comparison" in rg.open_evaluation("evaluation").tables
            True
        """
        return sorted({file.stem for file in (self.path / "tables").iterdir() if file.suffix in (".csv", ".parquet")})

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables.

        Raises:
            RunError: there is no such table.

        Examples:
            >>> list(rg.open_evaluation("evaluation").table("comparison"))[:2]
            ['method', 'runs']
        """
        for spelled in (name, name.replace(OLD, NOW), name.replace(NOW, OLD)):
            parquet, csv = (self.path / "tables" / f"{spelled}.{kind}" for kind in ("parquet", "csv"))
            if parquet.is_file():
                return read_parquet(parquet)
            if csv.is_file():
                return read_csv(csv, low_memory=False)
        raise RunError(f"has no table {name!r}", path=self.path, remedy=f"choose from: {', '.join(self.tables)}")

    def _record(self) -> dict[str, Any]:
        """What was found."""
        try:
            record: dict[str, Any] = read_json(self.path / self._file)
            if not isinstance(record, dict):
                raise ValueError("it holds no record")
        except (InputError, OSError, ValueError) as error:
            raise RunError(f"{self._file} cannot be read ({error})", path=self.path, remedy="make it again") from error
        return record

    def _held(self, name: str, kind: type) -> list[Any]:
        """A list of the record. Raises RunError where it is no list of such values."""
        held = self._record().get(name)
        if not isinstance(held, list) or not all(isinstance(value, kind) for value in held):
            raise RunError(f"{self._file} has no {name}", path=self.path, remedy="make it again")
        return held


class Evaluation(Results):
    """What `evaluate` found."""

    _file = "evaluation.json"

    @property
    def headline(self) -> pd.DataFrame:
        """The numbers that matter, each with its interval and what it must be read beside: a row for each.

        Examples:
            >>> {"run", "name", "value", "low", "high", "regression"} <= set(rg.open_evaluation("evaluation").headline)
            True
        """
        return pd.DataFrame(self._held("headline", dict))


def evaluate(
    runs: Run | str | Path | Sequence[Run | str | Path],
    path: str | Path,
    *,
    cohort: Cohort | str | Path | None = None,
    own_cohort: Cohort | str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    """Measure runs on the patients they held out: `radiogenesis evaluate`.

    Args:
        runs: one or several finished runs of one cohort, or their paths.
        path: the folder to write; must not exist yet.
        cohort: the runs' cohort, where it has moved; or another cohort, all of whose patients are held out.
        own_cohort: the runs' own cohort, where it has moved and `cohort` is another.
        progress: called with (run, patients done, patients in all).
        settings: fields of EvaluationSettings, and of FindSettings for runs of tumor-unet.

    Raises:
        RunError: runs of different cohorts, or two of one name. SettingError: an unknown setting; a backend that is not
            installed, serves none of the runs, or draws otherwise than torch.

    Examples:
        >>> found = rg.evaluate(["runs/alignment", "runs/gan"], "found", backgrounds_per_patient=2, bootstrap=20,
        ...                     permutations=19, gene_shuffles=2)
        >>> sorted(found.headline["run"].unique())
        ['alignment', 'gan']
    """
    given = as_runs(runs)
    if not given:
        raise SettingError("no run was given", remedy="give at least one")
    how, find = settings_of([EvaluationSettings, FindSettings], settings)
    check_place(Path(path))
    given, said = on_backends(given, how.backend)
    if said:
        warnings.warn(said, stacklevel=2)
    evaluated(given, Path(path), how, find, cohort=_place(cohort), own=_place(own_cohort), progress=progress or silent)
    return Evaluation(Path(path))


def _place(cohort: Cohort | str | Path | None) -> str | None:
    return None if cohort is None else str(place_of(cohort))


def open_evaluation(path: str | Path) -> Evaluation:
    """Open what `evaluate` wrote. Raises RunError where there is no evaluation.

    Examples:
        >>> rg.open_evaluation("evaluation").path.name
        'evaluation'
    """
    return Evaluation._open(path)


def evaluated(
    runs: Sequence[Run],
    out: Path,
    settings: EvaluationSettings,
    find: FindSettings,
    *,
    cohort: str | None = None,
    own: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Evaluate all runs, on the backends that are to draw, into one folder, whole or not at all. Returns what
    evaluation.json holds.

    Runs of tumor-unet beside others are stage 1 on the page of the others; the first gene autoencoder has figure 6.

    Args:
        cohort: the runs' cohort, where it has moved, or another.
        own: the runs' own cohort, where it has moved and `cohort` is another.

    Raises:
        SettingError: other than the default of how tumors are found, and no run finds any.
        RunError: runs of different cohorts, or two of one name; and what the evaluations raise.
    """
    finding, others = ([run for run in runs if detects(run) is wanted] for wanted in (True, False))
    if not finding and find != type(find)():
        raise SettingError("settings for finding tumors were given, but no run of tumor-unet")
    if not others:
        return evaluate_detection(finding, out, settings, find=find, cohort=cohort)
    if finding:
        _check_together(runs)
    where = placed(others, settings, cohort, own)
    encoding = [one for one in where.subjects if isinstance(one.method, GeneAutoencoder)]
    with whole_folder(out) as partial:
        folder = partial / "evaluation"
        summary = evaluate_subjects(where.subjects, where.cohort, folder, settings, where=where, progress=progress)
        if finding:
            detection = measure_detection(finding, folder, settings, find=find, cohort=cohort)
            summary = add_detection(folder, summary, detection)
        if encoding:
            summary = add_figure_6(folder, summary, encoding[0], where, settings)
        for part in folder.iterdir():
            part.rename(partial / part.name)
        folder.rmdir()
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
    run: EvaluatedRun,
    where: Placed,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Put metagenes against the encoder's features on the page. Returns what evaluation.json holds.

    The metagenes are made as those of the metagene GAN among the runs, if there is one, else 100 by k-means.
    """
    name, held_out = run.name, len(run.split.test)
    if held_out < FEWEST:
        said = f"{name}: no figure 6: {held_out} held-out patients, and it needs {FEWEST}."
        return add(folder, summary, {"conclusions": [said]})
    assert isinstance(run.method, GeneAutoencoder)
    opened, runs = where.cohort, where.subjects
    clustered: dict[str, Any] = next((one.config["settings"] for one in runs if one.method_name == "metagene-gan"), {})
    how = MapSettings(
        seed=settings.seed,
        permutations=max(100, settings.permutations),
        clusters=clustered.get("metagenes", 0),
        method=clustered.get("clustering", "kmeans"),
    )
    code_map = code_feature_map(run.method, opened, run.split, run.scaler, how)
    section = code_section(code_map, folder)
    genes = run.scaler.transform(opened.expression, list(run.split.train))
    shown = metagene_table(code_map.metagenes, genes, folder / "tables", "code_metagenes", seed=settings.seed)
    section = replace(section, blocks=(*section.blocks, shown.table), notes=(*section.notes, shown.note))
    return add(folder, summary, {"conclusions": [f"{name}: {conclusion(code_map)}"]}, last=[section])
