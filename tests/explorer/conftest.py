"""A toy run with a map, and the page made of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

import radiogenesis as rg
from radiogenesis.cohort.store import Cohort
from radiogenesis.testing import train_toy
from radiogenesis.training.run import Run


@dataclass(frozen=True)
class Explored:
    """A run, its map, and the page."""

    cohort: Cohort
    run: Run
    map: Path
    page: rg.ExplorerPage


@pytest.fixture(scope="session")
def explored(
    discs: Cohort,
    tmp_path_factory: pytest.TempPathFactory,
    blank_pictures: Callable[[], AbstractContextManager[None]],
) -> Explored:
    folder = tmp_path_factory.mktemp("explored")
    alignment = train_toy("canonical-alignment", discs, folder / "alignment")
    run = train_toy("fusion-gan", discs, folder / "run", alignment=alignment)
    null_alignment = train_toy("canonical-alignment", discs, folder / "null-alignment", shuffle_genes=True)
    null = train_toy("fusion-gan", discs, folder / "null", alignment=null_alignment, shuffle_genes=True)
    with blank_pictures():
        rg.map(discs, folder / "map", run=run, clusters=4, random_sets=100, permutations=100, shuffles=1,
               prediction_folds=0, backgrounds=1, gradient=False, bootstrap=100)  # fmt: skip
    (folder / "sets.gmt").write_text("FIRST\tabout\tG0\tG1\tG2\tG3\tG4\nSECOND\tabout\tG5\tG6\tG7\tG8\tG9\n")
    page = rg.explore(run, folder / "page.html", map=folder / "map", null_run=null, gmt=folder / "sets.gmt", noises=2)
    return Explored(discs, run, folder / "map", page)
