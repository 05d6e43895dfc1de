"""`evaluate` on what Li, Sui et al. add: a method that predicts genes, and one that draws without a background."""

from __future__ import annotations

from pathlib import Path

import known_cohort
import numpy as np
import pandas as pd
import pytest

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.evaluate import evaluate
from radiogenesis.evaluation.framework import keeps_background, predicts_genes
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder, GeneAutoencoderSettings
from radiogenesis.methods.metagene_gan import MetageneGAN, MetageneGANSettings
from radiogenesis.reporting.model import Page

QUICK = EvaluationSettings(backgrounds_per_patient=2, noise_draws=2, bootstrap=20, permutations=20)
AUTOENCODER = GeneAutoencoderSettings(ltr_pixels=16, widths=(2, 2, 2), code=3, hidden=4)
GAN = MetageneGANSettings(region_pixels=16, metagenes=3, noise=4, width=2, discriminator_width=2)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return known_cohort.write(tmp_path_factory.mktemp("cohort") / "known.zarr", patients=16)


@pytest.fixture(scope="module")
def out(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    autoencoder = GeneAutoencoder(AUTOENCODER, genes=known_cohort.GENES)
    gan = MetageneGAN(GAN, genes=known_cohort.GENES, pixels=known_cohort.PIXELS)
    subjects = [
        known_cohort.subject(cohort, "reads", autoencoder, "gene-autoencoder"),
        known_cohort.subject(cohort, "draws", gan, "metagene-gan"),
    ]
    autoencoder.begin(subjects[0].scaler.transform(cohort.expression, subjects[0].split.train))
    folder = tmp_path_factory.mktemp("evaluation") / "out"
    evaluate(subjects, cohort, folder, QUICK)
    return folder


def test_who_is_asked_what() -> None:
    autoencoder = GeneAutoencoder(AUTOENCODER, genes=5)
    gan = MetageneGAN(GAN, genes=5, pixels=32)
    assert (predicts_genes(autoencoder), predicts_genes(gan)) == (True, False)
    assert (keeps_background(gan), keeps_background(known_cohort.Deaf())) == (False, True)


def test_a_method_without_a_background_gets_no_fidelity_but_all_else(out: Path) -> None:
    titles = {section.title: section for section in Page.load(out).sections}
    assert "Does the background survive?" not in titles
    assert not (out / "tables" / "fidelity.csv").exists()
    assert set(pd.read_csv(out / "tables" / "control.csv")["run"]) == {"draws"}
    assert "not a measure of it" in titles["Regions from metagenes"].text
    shown = {block.file for section in titles.values() for block in section.blocks}
    assert "figure2-draws.png" not in shown  # of backgrounds and weight maps, which it does not have
    assert "figure3-draws.png" in shown


def test_gene_prediction_and_the_figures_are_on_the_page(out: Path) -> None:
    page = Page.load(out)
    files = {block.file for section in page.sections for block in section.blocks}
    assert {"figure7-reads.png", "figure8-draws.png", "figure8-all-draws.png", "genes-reads.csv"} <= files
    for file in files:
        assert (out / ("pictures" if file.endswith("png") else "tables") / file).is_file()
    assert any("genes" in fact.label for fact in page.facts)
    assert any("reads:" in sentence and "genes" in sentence for sentence in page.conclusions)


def test_tables_hold_every_gene_and_patient(out: Path, cohort: Cohort) -> None:
    genes = pd.read_csv(out / "tables" / "genes.csv")
    assert sorted(genes["gene"]) == sorted(cohort.expression.var_names)
    each = pd.read_csv(out / "tables" / "gene_prediction_patients.csv")
    assert (each.groupby("predictor")["patient"].nunique() == each["patient"].nunique()).all()
    assert np.isfinite(each["mae"]).all()
