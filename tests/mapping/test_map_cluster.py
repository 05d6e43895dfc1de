"""A map over a Dask cluster: the same numbers in this process, with two workers, and with two processes."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import radiogenesis as rg
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.stats import association, cluster

FEW = {
    "clusters": 4, "permutations": 100, "shuffles": 1, "prediction_folds": 2, "prediction_repeats": 1,
    "prediction_permutations": 19, "prediction_bootstrap": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def alone(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rg.map(cohort, tmp_path_factory.mktemp("alone") / "map", **FEW).path


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["two workers", "two processes"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[str]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=request.param, dashboard_address="127.0.0.1:0"
    ) as two:
        yield two.scheduler_address


def test_the_same_numbers_over_a_cluster(
    scheduler: str, cohort: Cohort, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(association, "_MANY", 0)  # so that permutations are divided too
    with pytest.warns(UserWarning, match="not protected by TLS"):
        there = rg.map(cohort, tmp_path / "map", scheduler=scheduler, **FEW).path
    tables = sorted(path.name for path in (alone / "tables").glob("*.csv"))
    assert {"links.csv", "predictions.csv", "left_out_retrieval.csv"} <= set(tables)
    for name in tables:
        one, other = (pd.read_csv(folder / "tables" / name) for folder in (alone, there))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-9)


def test_work_goes_to_the_client_that_is_connected() -> None:
    assert cluster.workers() == 1
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as two,
        Client(two),
    ):
        assert cluster.workers() == 2
        assert cluster.on_workers(np.add, 1, [1, 2, 3]) == [2, 3, 4]
        with pytest.raises(ZeroDivisionError):  # what goes wrong there is said here
            cluster.on_workers(divmod, 1, [1, 0])
    assert doctest.testmod(cluster) == (0, 1)  # in this process again


def test_a_scheduler_that_does_not_answer(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogenesis.cohort.workers.CONNECT_SECONDS", 1)
    with pytest.warns(UserWarning, match="TLS"), pytest.raises(SettingError, match="no Dask scheduler answers"):
        rg.map(cohort, tmp_path / "map", scheduler="tcp://127.0.0.1:1")
    assert not (tmp_path / "map").exists()
