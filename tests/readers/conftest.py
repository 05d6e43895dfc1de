"""One study, made once: of a painter whose discs are real but for the noise inside, and a deaf one as the control."""

from __future__ import annotations

from pathlib import Path

import pytest
from painters import SMALL, Painter, painted_run

from radiogenesis.cohort.store import Cohort
from radiogenesis.readers.page import key_path, write_study
from radiogenesis.readers.study import Study, make_study
from radiogenesis.testing import toy_cohort
from radiogenesis.training.run import Run


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return toy_cohort(tmp_path_factory.mktemp("readers") / "discs.zarr", patients=24, slices=3)


@pytest.fixture(scope="session")
def run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return painted_run(cohort, tmp_path_factory.mktemp("readers") / "run", Painter(texture=0.0))


@pytest.fixture(scope="session")
def null_run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return painted_run(cohort, tmp_path_factory.mktemp("readers") / "null", Painter(deaf=True), shuffle_genes=True)


@pytest.fixture(scope="session")
def study(run: Run, null_run: Run) -> Study:
    return make_study(run, SMALL, null_run=null_run)


@pytest.fixture(scope="session")
def page(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readers") / "study.html"
    write_study(study, path)
    return path


@pytest.fixture(scope="session")
def key(page: Path) -> Path:
    return key_path(page)
