"""A run that is evaluated, and what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.evaluation.drawing import Drawn
from radiogenesis.evaluation.genes.metagenes import MetageneTable
from radiogenesis.evaluation.genes.prediction import GenePrediction
from radiogenesis.evaluation.measures.base import Score
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.reporting.model import Picture
from radiogenesis.training.preparation import genes_as_trained
from radiogenesis.training.run import Run


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that is evaluated: a trained method, what it was trained on, and who was held out.

    Attributes:
        name: the run folder's name; names of subjects differ.
        method: a Synthesizer gets fidelity and control; a GeneEncoder that is a LesionEncoder too gets retrieval.
        provenance: what the run wrote down about itself.
    """

    name: str
    method_name: str
    method: object
    split: Split
    scaler: ExpressionScaler
    metrics: pd.DataFrame
    provenance: dict[str, Any]
    config: dict[str, Any]

    @property
    def seed(self) -> int:
        """That the run was trained with."""
        return int((self.config.get("training") or {}).get("seed", self.provenance.get("seed", 0)))

    @property
    def images_seen(self) -> int:
        """In training: steps times batch; 0 for a method that is fitted in closed form."""
        if "images_seen" in self.metrics:
            return int(self.metrics["images_seen"].max())
        return int(self.config.get("steps") or 0) * int((self.config.get("settings") or {}).get("batch", 0))

    def genes(self, expression: AnnData, patients: Sequence[str]) -> NDArray[np.float32]:
        """Scaled genes (n, G) as the method draws or encodes these patients; see `genes_as_trained`."""
        return genes_as_trained(self.method, self.scaler, self.split, expression, patients)

    @classmethod
    def of(cls, run: Run) -> EvaluatedRun:
        """Of a finished run."""
        return cls(
            name=run.path.resolve().name,
            method_name=run.method_name,
            method=run.method,
            split=run.split,
            scaler=run.scaler,
            metrics=run.metrics,
            provenance=run.provenance,
            config=run.config,
        )


@dataclass
class RunResults:
    """What was measured of one run.

    Attributes:
        tables: of the measures of drawings, by the name of their file.
        scores: the numbers that the comparison has of it.
        ignores_genes: whether it draws the same whatever the genes.
        imaging: what its cohort shows, for the words of the page.
    """

    subject: EvaluatedRun
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    retrieval: pd.DataFrame | None = None
    retrieval_patients: pd.DataFrame | None = None
    backgrounds_of: str = ""
    ignores_genes: bool = False
    drawn: Drawn | None = None
    prediction: GenePrediction | None = None
    metagenes: MetageneTable | None = None
    pictures: dict[str, Picture] = field(default_factory=dict)
    imaging: Imaging = LUNG_CT
