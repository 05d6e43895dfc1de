"""The code space of a run whose codes we know: groups that are there are found, and looks are judged on who was held
out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import silhouette_score

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.genes.code_space import HELD_OUT, RAW, TRAINING
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.mapping import code_space as cs
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.pages.mapping.prediction import code_space_addition
from radiogenesis.training.run import Run

QUICK = EvaluationSettings(clusters=2, gene_shuffles=19, permutations=50, bootstrap=50)


class Alignment(torch.nn.Module):
    """Genes and lesions on two axes: the module that goes with size, and the lesion's area."""

    def encode(self, expression: np.ndarray) -> np.ndarray:
        return np.asarray(expression, np.float32)[:, [0, 1]]

    def encode_lesions(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        area = masks.mean((1, 2))
        codes = np.stack([area, 1 - area], axis=1)
        return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


class Method(torch.nn.Module):
    """A generator whose code says large or small."""

    def __init__(self) -> None:
        super().__init__()
        self.alignment = Alignment()

    def encode(self, expression: np.ndarray) -> np.ndarray:
        x = np.asarray(expression, np.float32)
        return np.stack([np.sign(x[:, :10].mean(1)) * 3 + 0.3 * x[:, 30], 0.3 * x[:, 31]], axis=1)


class Aligned(torch.nn.Module):
    """A generator that draws from the one direction of a canonical alignment."""

    def __init__(self, genes: int) -> None:
        super().__init__()
        self.alignment = CanonicalAlignment(CanonicalAlignmentSettings(directions=1, properties=False), genes=genes)
        self.alignment.gene_weights[:, 0] = torch.linspace(-1, 1, genes)

    def encode(self, expression: np.ndarray) -> np.ndarray:
        return self.alignment.code(torch.from_numpy(np.asarray(expression, np.float32))).numpy()


class FakeRun:
    """What the code space asks of a run."""

    method_name = "fusion-gan"
    path = Path("run")
    provenance: dict[str, Any] = {"cohort_digest": "abc"}  # noqa: RUF012

    def __init__(self, cohort: Cohort, method: torch.nn.Module) -> None:
        names = sorted(map(str, cohort.patients.index))
        self.method = method
        self.split = Split(tuple(names[:24]), tuple(names[24:26]), tuple(names[26:]))
        self.scaler = ExpressionScaler.fit(cohort.expression, self.split.train)

    genes = Run.genes

    def gene_encoder(self) -> Any:
        return self.method


@pytest.fixture(scope="module")
def made(cohort: Cohort) -> cs.CodeSpace:
    run: Any = FakeRun(cohort, Method())
    return cs.code_space(run, cohort, MapSettings(), QUICK)


def test_every_patient_has_every_code(made: cs.CodeSpace, cohort: Cohort) -> None:
    assert made.space == cs.PHI
    assert made.data.n_obs == len(cohort.patients)
    assert {cs.PHI, cs.ALIGNED_GENES, cs.ALIGNED_LESIONS, "X_tsne", "features"} == set(made.data.obsm)
    lesions = made.data.obsm[cs.ALIGNED_LESIONS]
    np.testing.assert_allclose(np.linalg.norm(lesions, axis=1), 1, rtol=1e-6)
    k = list(made.data.obs_names).index("P-03")
    area = cohort.slice_mask[cohort.slice_patient == "P-03"].mean()
    assert lesions[k, 0] / lesions[k].sum() == pytest.approx(area, rel=1e-4)
    assert made.data.obs["part"].value_counts().to_dict() == {TRAINING: 24, HELD_OUT: 14, cs.VALIDATION: 2}


def test_the_groups_are_found_and_are_those_of_the_code(made: cs.CodeSpace) -> None:
    codes, labels = made.data.obsm[cs.PHI], made.data.obs["cluster"].to_numpy(int)
    large = codes[:, 0] > 0
    assert len(set(labels[large])) == len(set(labels[~large])) == 1
    table = made.clusters.set_index(["space", "part"])
    row = table.loc[("the generator's code", HELD_OUT)]
    held = (made.data.obs["part"] == HELD_OUT).to_numpy()
    assert row["silhouette"] == pytest.approx(silhouette_score(codes[held], labels[held]), abs=1e-6)
    assert row["silhouette"] > table.loc[(RAW, HELD_OUT), "silhouette"]


def test_clusters_differ_in_size_and_in_nothing_else(made: cs.CodeSpace) -> None:
    held = made.features[made.features["part"] == HELD_OUT].set_index("feature")
    assert held["p"].idxmin() == "size (mm)"
    assert held.loc["size (mm)", "q"] < 0.05
    assert held.loc["noise (HU)", "p"] > 0.01
    size = held.loc["size (mm)"]
    nearest = {part: made.typical[0, part] for part in (TRAINING, HELD_OUT)}
    mine = made.data.obs.loc[list(nearest[HELD_OUT])]
    assert set(mine["part"]) == {HELD_OUT}
    assert set(mine["cluster"]) == {1}
    values = made.data.obsm["features"].loc[nearest[HELD_OUT], "size (mm)"]
    assert values.mean() == pytest.approx(size["cluster 1"])
    assert "differ in size (mm)" in cs.conclusion(made, 0.05)


@pytest.mark.pictures
def test_the_file_opens_and_the_section_has_its_files(made: cs.CodeSpace, cohort: Cohort, tmp_path: Path) -> None:
    for folder in ("tables", "pictures"):
        (tmp_path / folder).mkdir()
    added = code_space_addition(made, cohort, 0.05, tmp_path)
    for block in added.sections[0].blocks:
        folder = "pictures" if block.kind == "picture" else "tables"
        assert (tmp_path / folder / block.file).is_file()
    read = anndata.read_h5ad(tmp_path / "codes.h5ad")
    np.testing.assert_allclose(read.obsm[cs.PHI], made.data.obsm[cs.PHI])
    assert isinstance(read.obsm["features"], pd.DataFrame)


def test_patients_who_were_trained_on_have_codes_on_the_scale_they_were_trained_on(cohort: Cohort) -> None:
    method = Aligned(cohort.expression.n_vars)
    run: Any = FakeRun(cohort, method)
    train, test = (run.scaler.transform(cohort.expression, list(part)) for part in (run.split.train, run.split.test))
    method.alignment.in_sample_deviation[0] = float(method.encode(train).std())  # as `fit` leaves it
    data = cs.code_space(run, cohort, MapSettings(), QUICK).data
    codes = pd.DataFrame(data.obsm[cs.PHI], index=data.obs_names)
    assert codes.loc[list(run.split.train), 0].std(ddof=0) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(codes.loc[list(run.split.test)], method.encode(test), atol=1e-4)


def test_an_alignment_alone_is_a_space_and_a_method_without_codes_is_refused(cohort: Cohort) -> None:
    run: Any = FakeRun(cohort, Alignment())
    assert list(cs.gene_encoders(run)) == [cs.ALIGNED_GENES]
    run = FakeRun(cohort, torch.nn.Identity())
    with pytest.raises(RunError, match="does not encode genes"):
        cs.gene_encoders(run)
    run = FakeRun(cohort, Method())
    with pytest.raises(RunError, match="too few for 13 clusters"):
        cs.code_space(run, cohort, MapSettings(), EvaluationSettings(clusters=13))
