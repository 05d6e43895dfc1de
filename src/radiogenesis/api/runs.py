"""Runs: train a method, open what was trained, draw with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from radiogenesis.api.keywords import require_known, settings_of
from radiogenesis.backends.opened import on_backend
from radiogenesis.cohort.expression import ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.inference import drawing
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.output import check_place
from radiogenesis.progress import Progress, silent
from radiogenesis.training import fit
from radiogenesis.training.data import untrained_backgrounds
from radiogenesis.training.registry import METHODS, entry, own_defaults, unlike_its_cohort
from radiogenesis.training.run import Run
from radiogenesis.training.settings import TrainSettings


def available_methods() -> dict[str, str]:
    """What can be trained: name -> what it does.

    Examples:
        >>> rg.available_methods()["fusion-gan"]
        "draws a patient's nodule from the patient's genes into a background (Xu et al. 2020)"
    """
    return {name: one.what for name, one in METHODS.items()}


def train(
    method: str,
    cohort: Cohort | str | Path,
    path: str | Path,
    *,
    preset: str = "default",
    alignment: Run | str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Run:
    """Fit a method to a cohort and write a run folder: `radiogenesis train`.

    Args:
        method: a name of `available_methods()`.
        cohort: the cohort or its path.
        path: the run folder to write; must not exist yet, unless `resume`.
        preset: of the method; "paper" is what its paper describes.
        alignment: a finished run of an alignment to build on; its split is taken over.
        resume: go on from the last checkpoint, to the same result.
        progress: called with (what, done, total).
        settings: fields of the method's own settings, of TrainSettings and of ExpressionSettings.

    Raises:
        SettingError: a method, preset or setting that is unknown, or settings that do not fit together.
        RunError: the folder exists, or the alignment is of another cohort.

    Examples:
        >>> alignment = rg.train("canonical-alignment", "phantom.zarr", "alignment", permutations=20)
        >>> run = rg.train("fusion-gan", "phantom.zarr", "gan", alignment=alignment, steps=1, batch=4, width=2)
        >>> run.split.test == alignment.split.test
        True
        >>> list(run.metrics)[:2]
        ['step', 'images_seen']
    """
    registered = entry(method)
    if preset not in registered.presets:
        raise SettingError(f"{method} has no preset {preset!r}", remedy=f"choose from: {', '.join(registered.presets)}")
    kinds = [registered.settings, TrainSettings, ExpressionSettings]
    require_known(kinds, settings)
    built_on = None if alignment is None else as_run(alignment)
    taken_over = fit.split_settings(built_on) if built_on else {}
    if built_on:
        fit.refuse_other_split(built_on, settings)
    opened = as_cohort(cohort)
    own, training, scaling = settings_of(
        kinds,
        {**own_defaults(method, preset, opened.imaging, opened.pixel_mm), **taken_over, **settings},
    )
    if unlike := unlike_its_cohort(method, preset, opened.settings["sampling"]):
        warnings.warn(unlike, stacklevel=2)
    return fit.train(
        method,
        opened,
        path,
        method_settings=own,
        settings=training,
        expression_settings=scaling,
        alignment=built_on,
        resume=resume,
        progress=progress or silent,
    )


def open_run(path: str | Path) -> Run:
    """Open a finished run: `run.config`, `run.split`, `run.metrics`, `run.method` (a torch module).

    Raises:
        RunError: nothing there, not finished, or damaged.

    Examples:
        >>> rg.open_run("runs/gan").method_name
        'fusion-gan'
    """
    return Run.open(path)


def synthesize(
    run: Run | str | Path,
    patients: Sequence[str] | None = None,
    *,
    cohort: Cohort | str | Path | None = None,
    expression: AnnData | pd.DataFrame | None = None,
    backgrounds: Sequence[int] | None = None,
    path: str | Path | None = None,
    **settings: Any,
) -> Synthesis:
    """Draw lesions from genes: `radiogenesis synthesize`.

    Args:
        run: a run of a method that draws, or its path.
        patients: whose genes; by default the held-out patients, or everybody in `expression`.
        cohort: the run's own cohort, where it has moved.
        expression: genes of other patients, in the unit of the cohort's: patients in rows, genes in columns.
        backgrounds: rows of the cohort's backgrounds; by default those of patients who were not trained on.
        path: a new folder to write the drawings to as well.
        settings: fields of DrawSettings; `backend` chooses what draws.

    Returns:
        image and background in HU, mask and weight from 0 to 1, each (n, P, P); whose genes each was drawn from.

    Raises:
        RunError: the run does not draw. SettingError: patients, backgrounds or settings that do not exist; a backend
            that is not installed, does not serve this method, or draws otherwise than torch.

    Examples:
        >>> drawn = rg.synthesize("runs/gan", per_patient=2, seed=1)
        >>> drawn.image.shape == drawn.mask.shape == (len(drawn.patient), 32, 32)
        True
        >>> by_onnx = rg.synthesize("runs/gan", per_patient=2, seed=1, backend="onnx")
        >>> bool(abs(by_onnx.image - drawn.image).max() < 0.15)
        True
    """
    if path is not None:
        check_place(Path(path))
    (how,) = settings_of([drawing.DrawSettings], settings)
    run = on_backend(as_run(run), how.backend)
    opened = run.open_cohort(place_of(cohort))
    given = AnnData(expression.astype(float)) if isinstance(expression, pd.DataFrame) else expression
    table = opened.expression if given is None else given
    asked = list(patients) if patients is not None else list(run.split.test if expression is None else table.obs_names)
    drawn = drawing.draw(run, opened, table, asked, how, backgrounds=backgrounds)
    if path is not None:
        whose = "chosen by their rows" if backgrounds is not None else untrained_backgrounds(opened, run.split)[1]
        sources = {"expression": "given" if expression is not None else None, "backgrounds_of": whose}
        drawing.write(drawn, Path(path), run, opened, how, sources)
    return drawn


def as_cohort(cohort: Cohort | str | Path) -> Cohort:
    """A cohort, opened where a path is given."""
    return cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)


def place_of(cohort: Cohort | str | Path | None) -> str | Path | None:
    """Where a cohort lies; None for none."""
    return cohort.path if isinstance(cohort, Cohort) else cohort


def as_run(run: Run | str | Path) -> Run:
    """A run, opened where a path is given."""
    return run if isinstance(run, Run) else Run.open(run)


def as_runs(runs: Run | str | Path | Sequence[Run | str | Path]) -> list[Run]:
    """One run or several, opened where paths are given."""
    return [as_run(one) for one in ([runs] if isinstance(runs, Run | str | Path) else runs)]
