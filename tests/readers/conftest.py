"""One study, made once: of a painter whose discs are real but for the noise inside, and a deaf one as the control."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from older_runs import forget_digests
from painters import SMALL, Painter, drawing_with, painted_run

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
def null_run(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same as if it had been trained with shuffled genes, which a painter does not care for."""
    path = tmp_path_factory.mktemp("readers") / "null"
    shutil.copytree(run.path, path)
    config = (path / "config.yaml").read_text()
    assert "shuffle_genes: false" in config
    (path / "config.yaml").write_text(config.replace("shuffle_genes: false", "shuffle_genes: true"))
    forget_digests(path)
    return drawing_with(Run.open(path), Painter(deaf=True))


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
