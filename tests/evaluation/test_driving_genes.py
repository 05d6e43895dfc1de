"""The gene that makes a drawing is named, beside chance; where nothing drives, nothing is claimed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from radiogenesis.evaluation.genes.driving import driving_genes, driving_sections
from radiogenesis.evaluation.measures.control import Measured
from radiogenesis.evaluation.settings import EvaluationSettings

NAMES = [f"G{i}" for i in range(50)]
SETTINGS = EvaluationSettings(permutations=199)


def measured(drawn: Any, own: Any) -> Measured:
    n = len(drawn)
    return Measured(tuple(map(str, range(n))), ("size", "margin"), drawn, own, own, None, n, 0.0)


def test_the_driving_gene_is_named_with_its_null_and_with_the_patients_own_lesions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genes, own = rng.standard_normal((20, 50)), rng.standard_normal((20, 2))
    drawn = np.stack([np.exp(genes[:, 7]), np.ones(20)], axis=1)  # a monotone function of one gene; and no variation
    table = driving_genes(genes, NAMES, measured(drawn, own), SETTINGS)
    assert set(table["feature"]) == {"size"}
    first = table.iloc[0]
    assert (first["gene"], first["n"]) == ("G7", 20)
    assert first["rho"] == pytest.approx(1.0)
    assert first["p"] == pytest.approx(1 / 200)
    assert first["own"] == pytest.approx(stats.spearmanr(genes[:, 7], own[:, 0])[0])
    assert 0.5 < first["chance"] < 0.9
    found: Any = SimpleNamespace(tables={"driving_genes": table}, subject=SimpleNamespace(name="gan"))
    (section,) = driving_sections([found], tmp_path)
    assert "size with G7" in section.text
    assert (tmp_path / "driving_genes.csv").is_file()


def test_where_nothing_drives_p_is_uniform_and_nothing_is_claimed(tmp_path: Path) -> None:
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal((12, 2))
        table = driving_genes(rng.standard_normal((12, 50)), NAMES, measured(drawn, drawn), SETTINGS)
        p += table.drop_duplicates("feature")["p"].tolist()
    assert stats.kstest(p, "uniform").pvalue > 0.01
    none: Any = SimpleNamespace(tables={"driving_genes": table.assign(p=0.6)}, subject=SimpleNamespace(name="gan"))
    assert "No drawn property follows a single gene" in driving_sections([none], tmp_path)[0].text


def test_too_few_patients_have_no_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = driving_genes(
        rng.standard_normal((7, 50)), NAMES, measured(rng.standard_normal((7, 2)), np.ones((7, 2))), SETTINGS
    )
    assert not len(table)
    none: Any = SimpleNamespace(tables={"driving_genes": table})
    assert driving_sections([none], tmp_path) == []
