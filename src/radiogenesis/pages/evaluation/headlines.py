"""The numbers on a page's top, of measures of drawings and of what else is measured; each knows how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from radiogenesis.evaluation.all_measures import MEASURES
from radiogenesis.evaluation.genes.prediction import METHOD, RIDGE
from radiogenesis.evaluation.measures.base import Headline, Measure
from radiogenesis.evaluation.results import RunResults
from radiogenesis.reporting.model import Fact


class GenesRecognized(Headline):
    """The rank of the right patient's genes among those of all held-out patients."""

    name = "retrieval"

    def headline(self, run: RunResults) -> dict[str, Any] | None:
        if run.retrieval is None:
            return None
        by_patient = run.retrieval[run.retrieval["level"] == "patient"]
        row = by_patient[by_patient["measure"] == "mean rank"].iloc[0]
        return {
            "run": run.subject.name, "name": self.name, "value": row["value"], "low": row["low"],
            "high": row["high"], "chance": row["chance"], "null": row["null_mean"], "p": row["p"],
            "patients": row["patients"], "text": "mean rank of the right patient's genes, held-out patients",
        }  # fmt: skip

    def beside(self, number: Mapping[str, Any]) -> str:
        return f"of {number['patients']:.0f}; chance {number['chance']:.1f}"

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        beside = (
            f"of {number['patients']:.0f}. {interval} {number['low']:.1f} to {number['high']:.1f}; "
            f"chance {number['chance']:.1f}."
        )
        return Fact(label=label, value=f"{number['value']:.1f}", beside=beside)


class GenesPredicted(Headline):
    """The correlation of predicted with true genes."""

    name = "gene prediction"

    def headline(self, run: RunResults) -> dict[str, Any] | None:
        if run.prediction is None:
            return None
        row, baseline = map(run.prediction.row, (METHOD, RIDGE))
        return {
            "run": run.subject.name, "name": self.name, "value": row["r"], "low": row["r_low"],
            "high": row["r_high"], "regression": baseline["r"],
            "null_low": row["null_low"], "null_high": row["null_high"],
            "null": (row["null_low"] + row["null_high"]) / 2, "p": row["p"],
            "text": "mean correlation of predicted with true genes, held-out patients",
        }  # fmt: skip

    def beside(self, number: Mapping[str, Any]) -> str:
        return f"ridge {number['regression']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        beside = (
            f"{interval} {number['low']:.3f} to {number['high']:.3f}. Ridge regression on radiomic features "
            f"{number['regression']:.3f}, null {number['null_low']:.3f} to {number['null_high']:.3f}."
        )
        value, beside = (text.replace("-", "−") for text in (f"{number['value']:.3f}", beside))
        return Fact(label=label, value=value, beside=beside)


class TumorsFound(Headline):
    """The Dice of tumors found in whole slices; `evaluate_detection` gives the number."""

    name = "detection"

    def beside(self, number: Mapping[str, Any]) -> str:
        return f"baseline {number['baseline']:.2f}, null {number['null']:.2f}".replace("nan", "–")

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        beside = f"{interval} {number['low']:.2f} to {number['high']:.2f}; {self.beside(number)}".replace("nan", "–")
        return Fact(label=label, value=f"{number['value']:.2f}", beside=beside)


TUMORS_FOUND = TumorsFound()
HEADLINES: tuple[Headline, ...] = (*MEASURES, GenesRecognized(), GenesPredicted(), TUMORS_FOUND)


def headline(run: RunResults) -> list[dict[str, Any]]:
    """The numbers of one run that matter, each with what it must be read beside."""
    numbers = [one.headline(run) for one in HEADLINES if not isinstance(one, Measure) or one.of([run])]
    return [
        {key: v.item() if isinstance(v, np.generic) else v for key, v in number.items()} for number in numbers if number
    ]


def headline_of(number: Mapping[str, Any]) -> Headline:
    """Who knows how this number is written."""
    return next((one for one in HEADLINES if one.name == number["name"]), Headline())


def shown_by_method(one: Headline) -> bool:
    """Whether the page's top has it method by method where methods have several runs."""
    return isinstance(one, Measure) and one.by_method()
