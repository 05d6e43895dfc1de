"""The public Python API: what the command line does, on Python objects, with the same settings.

    import radiogenesis as rg

    cohort = rg.open_cohort("cohort.zarr")
    alignment = rg.train("canonical-alignment", cohort, "runs/alignment")
    run = rg.train("fusion-gan", cohort, "runs/gan", alignment=alignment, steps=800)
    found = rg.evaluate([alignment, run], "evaluation")
    rg.report(found)

Every name of `radiogenesis` is one of this package's.
"""

from __future__ import annotations

from pathlib import Path

from radiogenesis.api.cohorts import build_cohort, fetch_cohort, make_phantom, open_cohort, plan_fetch, plant_cohort
from radiogenesis.api.evaluation import Evaluation, Results, evaluate, open_evaluation
from radiogenesis.api.explorer import ExplorerPage, explore
from radiogenesis.api.maps import RadiogenomicMap, map, open_map
from radiogenesis.api.readers import ReaderStudy, analyze_readers, make_reader_study, plan_readers
from radiogenesis.api.runs import available_methods, open_run, synthesize, train
from radiogenesis.cohort.fetch.fetch import Fetched
from radiogenesis.cohort.lesion_slices import LesionSlices
from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.errors import (
    AnnotationError,
    CohortError,
    ExpressionError,
    FetchError,
    InputError,
    OutputError,
    RadiogenesisError,
    RunError,
    ScanError,
    SettingError,
)
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.reporting.page import write_report as _write_report
from radiogenesis.training.run import Run

__all__ = [
    "AnnotationError",
    "Cohort",
    "CohortError",
    "Evaluation",
    "ExplorerPage",
    "ExpressionError",
    "FetchError",
    "Fetched",
    "InputError",
    "LesionSlices",
    "OutputError",
    "RadiogenesisError",
    "RadiogenomicMap",
    "ReaderStudy",
    "Results",
    "Run",
    "RunError",
    "ScanError",
    "SettingError",
    "Synthesis",
    "Truth",
    "analyze_readers",
    "available_methods",
    "build_cohort",
    "evaluate",
    "explore",
    "fetch_cohort",
    "make_phantom",
    "make_reader_study",
    "map",
    "open_cohort",
    "open_evaluation",
    "open_map",
    "open_run",
    "plan_fetch",
    "plan_readers",
    "plant_cohort",
    "report",
    "synthesize",
    "train",
]


def report(results: Results | str | Path) -> Path:
    """One HTML file of what `evaluate` or `map` wrote, that opens offline: `radiogenesis report`.

    Args:
        results: what they returned, or their folder.

    Returns:
        path of the page.

    Raises:
        RunError: there is no evaluation and no map in the folder.

    Examples:
        >>> rg.report("evaluation").name
        'report.html'
    """
    return _write_report(results.path if isinstance(results, Results) else results)
