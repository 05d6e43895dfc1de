"""Every measure of drawings, in the order in which a page shows them."""

from __future__ import annotations

from radiogenesis.evaluation.genes.driving import DrivingGenes
from radiogenesis.evaluation.measures.base import Measure, Number
from radiogenesis.evaluation.measures.control import Control
from radiogenesis.evaluation.measures.diversity import Diversity
from radiogenesis.evaluation.measures.empty import Empty
from radiogenesis.evaluation.measures.fidelity import Fidelity
from radiogenesis.evaluation.measures.memorization import Memorization
from radiogenesis.evaluation.measures.realism import Realism
from radiogenesis.evaluation.measures.usefulness import Usefulness

MEASURES: tuple[Measure, ...] = (
    Control(), DrivingGenes(), Realism(), Empty(), Diversity(), Memorization(), Usefulness(), Fidelity(),
)  # fmt: skip
NUMBERS: dict[str, Number] = {name: number for measure in MEASURES for name, number in measure.numbers.items()}
"""The columns of the comparison by their names in its files."""
