"""What is fitted to the training patients' genes before the first step, through `train` and back from the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError, SettingError
from radiogenesis.mapping.synthesis.perturbation_null import lesions_of
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.fusion_gan import FusionGAN, FusionGANSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.methods.metagene_gan import MetageneGAN
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.metagenes import Method as Clustering
from radiogenesis.testing import SMALL, train_toy
from radiogenesis.training.data import TrainingData
from radiogenesis.training.preparation import genes_of_trained, metagenes_of, prepare_fusion, prepare_metagenes
from radiogenesis.training.run import Run


@pytest.fixture(scope="module")
def autoencoder(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("gene-autoencoder", discs, tmp_path_factory.mktemp("runs") / "autoencoder", steps=2)


@pytest.fixture(scope="module")
def gan(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy(
        "metagene-gan", discs, tmp_path_factory.mktemp("runs") / "gan", steps=2, average=0.5, checkpoint_every=1
    )


def test_the_genes_scale_is_of_the_training_patients_and_comes_back(autoencoder: Run, discs: Cohort) -> None:
    method = autoencoder.method
    assert isinstance(method, GeneAutoencoder)
    training = autoencoder.scaler.transform(discs.expression, list(autoencoder.split.train))
    np.testing.assert_allclose(method.gene_low, training.min(0), rtol=1e-6)
    np.testing.assert_allclose(method.gene_span, np.ptp(training, axis=0), rtol=1e-6)
    unit = method.unit_genes(training)
    np.testing.assert_allclose([unit.min(), unit.max()], [0, 1], atol=1e-6)
    assert autoencoder.config["settings"]["perceptual"] == "none"  # recorded


def test_metagenes_are_those_of_the_training_patients_and_come_back(gan: Run, discs: Cohort) -> None:
    method = gan.method
    assert isinstance(method, MetageneGAN)
    training = gan.scaler.transform(discs.expression, list(gan.split.train))
    expected = Metagenes.fit(training, gan.scaler.genes, clusters=3)
    found = metagenes_of(method, gan.scaler.genes)
    assert found.table().equals(expected.table().assign(strength=found.strength))
    np.testing.assert_allclose(found.strength, expected.strength, atol=1e-6)
    values = expected.transform(training)
    standard = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(method.encode(training), standard, atol=1e-4)


@pytest.mark.parametrize("clustering", ["kmeans", "hierarchical"])
def test_metagenes_say_how_they_were_clustered(gan: Run, discs: Cohort, clustering: Clustering) -> None:
    training = gan.scaler.transform(discs.expression, list(gan.split.train))
    method = MetageneGAN(replace(gan.method.settings, clustering=clustering), genes=training.shape[1], pixels=32)
    data = SimpleNamespace(genes=torch.from_numpy(training))
    prepare_metagenes(method, data, gan.scaler.genes, 0)  # type: ignore[arg-type]
    found = metagenes_of(method, gan.scaler.genes)
    assert found.method == clustering
    expected = Metagenes.fit(training, gan.scaler.genes, clusters=3, method=clustering)
    np.testing.assert_array_equal(found.stability(training).rand, expected.stability(training).rand)


def test_an_opened_metagene_gan_draws_its_average(gan: Run, discs: Cohort) -> None:
    genes = gan.scaler.transform(discs.expression, list(gan.split.test))
    drawn = gan.synthesizer().synthesize(discs.background_image[: len(genes)], genes, seed=0)
    assert drawn.image.shape == (len(genes), 32, 32)
    assert len(gan.samples) == 2


def test_other_methods_have_no_metagenes(autoencoder: Run) -> None:
    with pytest.raises(RunError, match="has no metagenes; give a run of metagene-gan"):
        metagenes_of(autoencoder.method, autoencoder.scaler.genes)


def test_more_metagenes_than_genes_are_one_line(discs: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="metagenes must be at most the number of genes, 20, not 100"):
        train_toy("metagene-gan", discs, tmp_path / "run", metagenes=100)
    assert not (tmp_path / "run").exists()


def test_missing_vgg16_leaves_no_run_behind(discs: Cohort, tmp_path: Path) -> None:
    weights = str(tmp_path / "vgg16.pth")
    with pytest.raises(SettingError, match=r"vgg16.pth: perceptual is vgg16, but there is no such file"):
        train_toy("gene-autoencoder", discs, tmp_path / "run", perceptual="vgg16", vgg16_weights=weights)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_code_of_training_patients_varies_as_that_of_patients_who_were_not_seen(
    discs: Cohort, critic: Run, calibrated: bool
) -> None:
    run = Run.open(critic.path)
    alignment = run.method
    assert isinstance(alignment, CanonicalAlignment)
    genes = run.scaler.transform(discs.expression, list(run.split.train))
    data = TrainingData.from_cohort(discs, run.split.train, genes)
    tiny = FusionGANSettings(**SMALL["fusion-gan"], calibrated=calibrated)
    method = FusionGAN(tiny, genes=genes.shape[1], pixels=discs.pixels, alignment=alignment)
    given = prepare_fusion(method, data, run.scaler.genes, 0)
    assert given.image is data.image
    code, own = alignment.code(given.genes), alignment.code(data.genes)
    used = alignment.used
    np.testing.assert_allclose(code.std(0, correction=0)[used], 1, atol=1e-3)
    if calibrated:
        lesions = lesions_of(alignment, discs, run.split.train, least_area=0.0)
        expected = alignment.code(alignment.out_of_sample_genes(data.genes, lesions))
        np.testing.assert_allclose(code, expected, atol=1e-3)
    else:
        assert torch.corrcoef(torch.stack([code[:, 0], own[:, 0]]))[0, 1] > 0.9999
    batch = given.batch(8, torch.Generator().manual_seed(0), by_patient=True, augment=False)
    np.testing.assert_allclose(alignment.code(batch.g), code[batch.patient], atol=1e-4)
    np.testing.assert_allclose(alignment.code(batch.all_genes), code, atol=1e-4)
    if not calibrated:
        np.testing.assert_allclose(genes_of_trained(method, genes), given.genes, atol=1e-6)
    np.testing.assert_array_equal(genes_of_trained(object(), genes), genes)
