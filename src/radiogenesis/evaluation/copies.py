"""Whether a run's drawings are copies of training lesions: asked before a page with them is made.

An evaluation of the run has asked it already; without one it is computed here, on fewer drawings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import read_csv, require_columns
from radiogenesis.errors import InputError, RunError
from radiogenesis.evaluation.descriptions.lesions import Lesions, measure_lesions, real_lesions
from radiogenesis.evaluation.measures.control import shared_backgrounds
from radiogenesis.evaluation.measures.memorization import (
    copies_told,
    memorization,
    memorization_conclusion,
    memorization_table,
)
from radiogenesis.evaluation.measures.pasted import pasted
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.given_files import read_json
from radiogenesis.methods.nearest_lesion import NearestLesion
from radiogenesis.phenotypes.lesion import lesion_features
from radiogenesis.training.run import Run

BACKGROUNDS = 8
"""Drawings of each held-out patient that are compared."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Copies:
    """What the audit says.

    Attributes:
        found: whether drawings may be copies.
        sentence: what was found, with what would have been seen.
        tested: whether it could be asked; lesions may be too small.
    """

    found: bool
    sentence: str
    tested: bool = True

    def require_none(self, run: Run, *, anyway: bool) -> str:
        """What a page with drawings of real patients must say of it. Raises RunError for copies, and where none could
        be looked for, unless the page is made `anyway`."""
        if self.tested and not self.found:
            return self.sentence
        if not anyway:
            raise RunError(
                f"{self.sentence} A page with its drawings may show training patients", path=run.path,
                remedy="give a run that does not copy (more patients, fewer steps), or --anyway true, which the page "
                "then says",
            )  # fmt: skip
        why = "copies were found" if self.found else "copies could not be looked for"
        return f"Made although {why} (--anyway). {self.sentence}"


def copies(run: Run, cohort: Cohort, seed: int, evaluation: Path | None = None) -> Copies:
    """Compare drawings for the held-out patients with the lesions that the run was trained on.

    Args:
        run: that draws.
        cohort: the run's.
        seed: of the drawings.
        evaluation: what `radiogenesis evaluate` wrote of the run: read instead of computing.

    Raises:
        RunError: an evaluation of other runs, or one that cannot be read.
    """
    if isinstance(run.method, NearestLesion):
        return Copies(True, "This method pastes training lesions by design.")
    return told_by(_read(run, evaluation) if evaluation else _computed(run, cohort, seed))


def told_by(table: pd.DataFrame) -> Copies:
    """What the rows of the table `memorization` say of one run."""
    sentence = memorization_conclusion("Copies", table, CONFIDENCE)
    return Copies(copies_told(table), sentence, bool(table["p"].notna().iloc[0]))


def _computed(run: Run, cohort: Cohort, seed: int) -> pd.DataFrame:
    settings = EvaluationSettings(backgrounds_per_patient=BACKGROUNDS, bootstrap=500, permutations=999, seed=seed)
    index, _ = shared_backgrounds(cohort, run.split, BACKGROUNDS, seed)
    under = cohort.background_image[index].astype(np.float32)
    plain = partial(measure_lesions, pixel_mm=cohort.pixel_mm, feature_set=lesion_features)
    parts = []
    for patient, genes in zip(run.split.test, run.genes(cohort.expression, run.split.test), strict=True):
        made = run.synthesizer().synthesize(under, np.repeat(genes[None], len(under), axis=0), seed=seed)
        seen = plain(made.image, made.mask, [patient] * len(under))
        parts.append(replace(seen, place=np.arange(len(under), dtype=np.int64)))
    everybody = (*run.split.train, *run.split.test)
    real = real_lesions(cohort, everybody, (), lesion_features).slices
    beside = pasted(cohort, run.split, settings, lesion_features)
    found = memorization(Lesions.together(parts), real.of(run.split.train), real.of(run.split.test), beside, settings)
    return memorization_table(found, settings)


def _read(run: Run, evaluation: Path) -> pd.DataFrame:
    """The run's rows of an evaluation's table. Raises RunError where it was not of the run's weights: a name alone is
    anybody's."""
    digest = file_digest(run.path / "weights.safetensors")
    record = evaluation / "evaluation.json"
    try:
        evaluated = [
            each["name"] for each in _json(record).get("runs", [])
            if (each.get("provenance", {}).get("files") or {}).get("weights.safetensors") == digest
        ]  # fmt: skip
    except (TypeError, AttributeError, KeyError) as error:
        raise RunError("cannot be read (its runs are no records)", path=record, remedy="make it again") from error
    if not evaluated:
        raise RunError(f"is an evaluation of other runs than {run.path}", path=evaluation, remedy="evaluate this run")
    file = next((f for f in (evaluation / "tables").glob("memori?ation.csv")), None)
    if file is None:
        raise RunError(
            "holds no examination for copies", path=evaluation,
            remedy="give the folder that `radiogenesis evaluate` wrote, or none",
        )  # fmt: skip
    table = read_csv(file)
    numbers = ["near", "low", "high", "p", "seen_100", "false_alarms"]
    require_columns(table, file, ("run", "of"), numbers)
    mine = table[table["run"] == evaluated[0]]
    if len(mine) != 3:
        raise RunError("its examination for copies is of another version", path=file, remedy="evaluate the run again")
    if ((mine[numbers] < 0) | (mine[numbers] > 1)).any(axis=None):  # where p could not be computed it is missing
        raise RunError("its shares and p must lie between 0 and 1", path=file, remedy="evaluate the run again")
    return mine


def _json(path: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = read_json(path)
    except (InputError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RunError(f"cannot be read ({reason})", path=path, remedy="make it again") from error
    return held
