"""`radiogenesis evaluate`: every run, the same work, one folder.

OUT/
  evaluation.json      headline, conclusions, cohort, runs, settings, versions
  page.json            what `radiogenesis report` renders
  made.json            when
  tables/*.csv         comparison, fidelity, realism, control, diversity, memorization, usefulness, retrieval, gene
                       codes, and the numbers of every patient behind them
  pictures/*.png
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.backends.opened import drawn_by
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation import comparison
from radiogenesis.evaluation.all_measures import MEASURES
from radiogenesis.evaluation.control_check import check_of_control
from radiogenesis.evaluation.descriptions.lesions import RealLesions, real_lesions
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.evaluation.drawing import draw, measured
from radiogenesis.evaluation.gene_codes import CodeSpace, code_space
from radiogenesis.evaluation.genes.prediction import predicts_genes
from radiogenesis.evaluation.measures.base import Memory, Work
from radiogenesis.evaluation.measures.control import Control
from radiogenesis.evaluation.measures.pasted import Pasted, pasted
from radiogenesis.evaluation.measures.retrieval import retrieval_scores, retrieval_table
from radiogenesis.evaluation.other_cohort import Placed, placed
from radiogenesis.evaluation.results import EvaluatedRun, RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import GeneEncoder, LesionEncoder, Synthesizer
from radiogenesis.output import check_place, json_text, whole_folder
from radiogenesis.pages.evaluation import conclusions, pictures
from radiogenesis.pages.evaluation.detection import detects, evaluate_detection
from radiogenesis.pages.evaluation.headlines import headline
from radiogenesis.pages.evaluation.layout import build_page
from radiogenesis.pages.evaluation.li_sui import (
    appraise_framework,
    framework_conclusions,
)
from radiogenesis.progress import Progress, silent
from radiogenesis.stats.resampling import Floats
from radiogenesis.training.run import Run
from radiogenesis.version import __version__

LIBRARIES = ("numpy", "scipy", "scikit-learn", "scikit-image", "torch", "pandas", "matplotlib")
SPELLED_OUT = 4  # runs that draw, up to which all conclusions are drawn in words; beyond, the tables say it
FEWEST_PATIENTS = 3  # held out; fewer cannot be ranked


def evaluate_runs(
    runs: Sequence[Run],
    out: str | Path,
    settings: EvaluationSettings,
    *,
    cohort: str | Path | None = None,
    own: str | Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Evaluate runs of one cohort and write OUT. Returns what evaluation.json holds.

    Args:
        runs: finished runs, of the same cohort.
        out: folder to write; must not exist.
        cohort: where the cohort lies, if not where it was when the runs were trained; or another cohort, all of whose
            patients are held out, see `evaluation.other_cohort`.
        own: where the runs' own cohort lies, if it has moved and `cohort` is another.

    Raises:
        RunError: OUT exists, runs of different cohorts, two runs of one name, or too few held-out patients.
        CohortError: there is no readable cohort, or none that fits.
    """
    check_place(Path(out))
    if any(map(detects, runs)):
        return evaluate_detection(runs, Path(out), settings, cohort=cohort)
    where = placed(runs, settings, cohort, own)
    return evaluate(where.subjects, where.cohort, out, settings, where=where, progress=progress)


def evaluate(
    subjects: Sequence[EvaluatedRun],
    cohort: Cohort,
    out: str | Path,
    settings: EvaluationSettings,
    *,
    where: Placed | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The same for subjects and an open cohort; see `evaluate_runs`.

    Args:
        where: of another cohort than the subjects' own, what `placed` gave; `cohort` is then `where.cohort`.
    """
    out, where = Path(out), where or Placed(tuple(subjects), cohort, cohort)
    _check(subjects)
    with whole_folder(out) as partial:
        for folder in ("tables", "pictures"):
            (partial / folder).mkdir()
        common = Common(cohort, settings, _real(subjects, cohort, settings), partial / "pictures", progress)
        runs = [_evaluate_one(subject, common) for subject in subjects]
        rows = comparison.rows([_compared(run) for run in runs if run.scores])
        codes = code_space(runs, cohort, common.real, settings)
        summary = _summary(runs, rows, codes, where, settings)
        build_page(runs, rows, codes, where, summary, settings, partial).save(partial)
        (partial / "evaluation.json").write_text(json_text(summary), encoding="utf-8")
    return summary


@dataclass(frozen=True, eq=False)
class Common:
    """What all runs of an evaluation share; what several need is made once.

    Attributes:
        real: the real lesions of everybody who was trained on or held out.
        folder: of the pictures.
        memory: what is made once.
    """

    cohort: Cohort
    settings: EvaluationSettings
    real: RealLesions
    folder: Path
    progress: Progress
    memory: Memory = field(default_factory=Memory)

    def own(self, patients: tuple[str, ...]) -> Floats:
        """(n, F) properties of the patients' own lesions; runs of one split share their patients."""
        return self.memory.once((own_features, patients), lambda: own_features(self.cohort, patients))

    def pasted(self, split: Split) -> Pasted:
        """Real lesions pasted onto the backgrounds of the drawings of this split's runs."""
        return self.memory.once((pasted, split), lambda: pasted(self.cohort, split, self.settings))


def _check(subjects: Sequence[EvaluatedRun]) -> None:
    names = [subject.name for subject in subjects]
    if not names or len(set(names)) != len(names):
        raise RunError(f"runs must have different names, and there must be one: {names}", remedy="rename a run folder")
    for subject in subjects:
        if len(subject.split.test) < FEWEST_PATIENTS:
            raise RunError(
                f"only {len(subject.split.test)} held-out patients: at least {FEWEST_PATIENTS} are needed to rank them",
                path=subject.name,
                remedy="train with a larger test fraction",
            )
        if not (isinstance(subject.method, Synthesizer) or _aligns(subject.method) or predicts_genes(subject.method)):
            raise RunError(
                f"the method {subject.method_name} neither draws nor aligns nor predicts genes", path=subject.name
            )


def _aligns(method: object) -> bool:
    return isinstance(method, GeneEncoder) and isinstance(method, LesionEncoder)


def _compared(run: RunResults) -> comparison.Compared:
    s = run.subject
    return comparison.Compared(s.name, s.method_name, s.config, s.seed, run.scores, s.split.test, s.images_seen)


def _real(subjects: Sequence[EvaluatedRun], cohort: Cohort, settings: EvaluationSettings) -> RealLesions:
    """The real lesions of everybody who was trained on or held out; measured once for all runs."""
    test = {patient for subject in subjects for patient in subject.split.test}
    train = {patient for subject in subjects for patient in subject.split.train}
    return real_lesions(cohort, test | train, test, inception_weights=settings.inception_weights)


def _evaluate_one(subject: EvaluatedRun, common: Common) -> RunResults:
    """All that the method offers to be measured by."""
    run, cohort = RunResults(subject, imaging=common.cohort.imaging), common.cohort
    genes = subject.genes(cohort.expression, subject.split.test)
    if len(subject.metrics):
        run.pictures["curves"] = pictures.curves(subject.metrics, common.folder, subject.name)
    if isinstance(subject.method, Synthesizer):
        _synthesis(run, subject.method, genes, common)
    if isinstance(subject.method, GeneEncoder) and isinstance(subject.method, LesionEncoder):
        _retrieval(run, subject.method.encode(genes), subject.method, common)
    appraise_framework(run, cohort, genes, common.folder, common.settings)
    return run


def _synthesis(run: RunResults, synthesizer: Synthesizer, genes: NDArray[np.float32], common: Common) -> None:
    """Everything that is asked of drawings."""
    subject, cohort, settings, folder = run.subject, common.cohort, common.settings, common.folder
    name, split = subject.name, subject.split
    show = pictures.spread_patients(cohort, split.test)
    drawn = draw(
        synthesizer, cohort, split, genes, settings, show, lambda done, total: common.progress(name, done, total)
    )
    patients = measured(drawn, cohort, split, subject.scaler, genes, common.own)
    run.drawn, run.backgrounds_of, run.ignores_genes = drawn, drawn.backgrounds_of, patients.ignores_genes
    check = partial(
        check_of_control, synthesizer, cohort, drawn.background_index, genes, patients, settings, lot=subject.seed
    )
    work = Work(
        subject, synthesizer, genes, drawn, patients, common.real, common.pasted(split), cohort, settings, check,
        common.memory,
    )  # fmt: skip
    for measure in MEASURES:
        result = measure.measure(work)
        run.tables |= result.tables
        run.scores |= result.scores
    control = run.tables[Control.table]
    run.pictures |= {
        "figure 2": pictures.figure_2(drawn, folder, name),
        "figure 3": pictures.figure_3(drawn, cohort, folder, name),
        "scatter": pictures.scatter(patients, control, folder, name),
    }
    for reference in patients.references():
        bars = pictures.control_bars(control, folder, name, reference, settings.confidence)
        run.pictures[f"control {reference}"] = bars


def _retrieval(run: RunResults, codes: NDArray[np.float32], lesions: LesionEncoder, common: Common) -> None:
    """Which patient's genes belong to this lesion?"""
    test = run.subject.split.test
    theirs = common.cohort.lesions(test)
    embedded = lesions.encode_lesions(theirs.image.astype(np.float32), theirs.mask)
    owner = theirs.place_among(test)
    run.retrieval = retrieval_table(codes, embedded, owner, common.settings)
    scores = retrieval_scores(codes, embedded, owner)
    own = {level: np.diag(measures["mean rank"]) for level, measures in scores.items()}
    run.retrieval_patients = pd.DataFrame(
        {"patient": test, "rank": own["patient"], "mean_rank_of_slices": own["slice"], "slices": np.bincount(owner)}
    )
    run.pictures["ranks"] = pictures.rank_histogram(own["patient"], len(test), common.folder, run.subject.name)


def _summary(
    runs: Sequence[RunResults],
    rows: Sequence[comparison.Row],
    codes: CodeSpace | None,
    where: Placed,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """What evaluation.json holds."""
    cohort, own = where.described, where.own
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "headline": [number for run in runs for number in headline(run)],
        "conclusions": _conclusions(runs, rows, codes, where, settings),
        "cohort": {
            "path": str(cohort.path),
            "digest": cohort.digest,
            "known_truth": cohort.truth is not None,
            "provenance": cohort.provenance,
            "settings": cohort.settings,
        },
        "trained_on_cohort": {"path": str(own.path), "digest": own.digest} if own else None,
        "runs": [
            {
                "name": run.subject.name,
                "method": run.subject.method_name,
                "held_out": len(run.subject.split.test),
                "trained_on": len(run.subject.split.train),
                "backgrounds_of": run.backgrounds_of,
                "drawn_by": drawn_by(run.subject.method).record() if run.drawn is not None else None,
                "provenance": run.subject.provenance,
                "config": run.subject.config,
            }
            for run in runs
        ],
        "methods": [{"method": row.label, "runs": row.runs, "seeds": row.seeds} for row in rows],
        "settings": asdict(settings),
        "versions": {"radiogenesis": __version__, "python": platform.python_version(), **versions},
    }


def _conclusions(
    runs: Sequence[RunResults],
    rows: Sequence[comparison.Row],
    codes: CodeSpace | None,
    where: Placed,
    settings: EvaluationSettings,
) -> list[str]:
    """Another cohort, if it is one; the comparison; then each run, of many only what the question is: control."""
    sentences, confidence = [*where.said], settings.confidence
    if len(rows) > 1:
        sentences += conclusions.comparison_conclusions(comparison.differences(rows, settings), confidence)
    if len(rows) > 2:
        sentences += conclusions.leader_conclusions(comparison.leaders(rows, settings), confidence)
    few = sum(bool(run.scores) for run in runs) <= SPELLED_OUT
    for run in runs:
        name = run.subject.name
        for measure in MEASURES:
            if measure.of([run]) and (few or measure.must_be_said(run)):
                sentences += filter(None, [measure.sentence(run, confidence)])
        if run.retrieval is not None:
            sentences.append(conclusions.retrieval_conclusion(name, run.retrieval, confidence))
        sentences += framework_conclusions(run)
    if codes is not None:
        sentences.append(conclusions.code_conclusion(codes.clusters, codes.mantel))
    sentences += [measure.remark for measure in MEASURES if measure.remark and measure.of(runs)]
    split = runs[0].subject.split
    organ = where.cohort.imaging.organ
    shared = conclusions.shared_scans(where.cohort.patients["series_uid"], split.test, split.train, organ)
    known, another = where.described.truth is not None, where.own is not None
    return [*sentences, *([shared] if shared else []), conclusions.scope(known, another=another)]
