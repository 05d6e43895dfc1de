"""MC-GAN and in-painting through the same trainer, run folder and verbs as the fusion GAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from stopping import assert_same, assert_same_weights, stop_at

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, RunError, SettingError
from radiogenesis.inference.drawing import DrawSettings, draw, write
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.inpainting_gan import InpaintingGAN
from radiogenesis.methods.mc_gan import ADDITIONS, MCGAN, MCGANSettings
from radiogenesis.testing import SMALL, train_toy
from radiogenesis.training import fit
from radiogenesis.training.registry import entry
from radiogenesis.training.run import Run
from radiogenesis.training.settings import TrainSettings

FROZEN = {
    "discriminator/L_DI": 2.4100828, "discriminator/L_DIS": 4.1358695, "discriminator/L_DISG": 0.9803770,
    "generator/D_I": 2.2304893, "generator/D_IS": 2.3681726, "generator/D_ISG": 2.1570568,
    "generator/background": 0.0164695, "generator/KL": 0.2504729,
}  # fmt: skip
"""MC-GAN's mean losses over steps 5 and 6, trained before the additions were settings."""
METHODS = ("mc-gan", "inpainting-gan")
BASELINES = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def runs(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {method: train_toy(method, discs, folder / method) for method in METHODS}


@BASELINES
def test_run_folder_is_complete(method: str, runs: dict[str, Run]) -> None:
    run = runs[method]
    assert list(run.metrics["images_seen"]) == [8, 16, 24]
    assert run.metrics.notna().all(axis=None)
    terms = {
        "mc-gan": ["generator/KL", "discriminator/L_DISG"],
        "inpainting-gan": ["generator/L1", "discriminator/L_D"],
    }
    assert set(terms[method]) <= set(run.metrics.columns)
    assert len(run.samples) == 3
    assert run.config["settings"]["width"] == 2


@BASELINES
def test_resumed_run_is_the_uninterrupted_run(
    method: str, runs: dict[str, Run], discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(4, MemoryError("killed"), monkeypatch)  # between the checkpoints of steps 2 and 4
    with pytest.raises(MemoryError, match="killed"):
        train_toy(method, discs, tmp_path / "cut")
    monkeypatch.undo()
    assert_same(train_toy(method, discs, tmp_path / "cut", resume=True), runs[method])


@BASELINES
@pytest.mark.pictures
def test_an_opened_run_draws_and_writes(method: str, runs: dict[str, Run], discs: Cohort, tmp_path: Path) -> None:
    run, settings = Run.open(runs[method].path), DrawSettings(per_patient=2)
    patients = list(run.split.test)
    drawn = draw(run, discs, discs.expression, patients, settings)
    again = draw(Run.open(run.path), discs, discs.expression, patients, settings)
    np.testing.assert_array_equal(drawn.image, again.image)
    np.testing.assert_array_equal(drawn.mask, again.mask)
    assert drawn.image.shape == (2 * len(patients), 32, 32)
    write(drawn, tmp_path / "drawn", run, discs, settings)
    assert (tmp_path / "drawn" / "grid.png").stat().st_size > 1000


def test_only_mc_gan_obeys_the_seed_and_encodes_genes(runs: dict[str, Run], discs: Cohort) -> None:
    for method, run in runs.items():
        genes = run.scaler.transform(discs.expression, list(run.split.test))
        backgrounds = discs.background_image[: len(genes)]
        first, other = (run.synthesizer().synthesize(backgrounds, genes, seed=seed).image for seed in (3, 4))
        assert np.array_equal(first, other) == (method == "inpainting-gan")
    assert runs["mc-gan"].gene_encoder().encode(genes).shape == (len(genes), 8)
    with pytest.raises(RunError, match="does not encode genes"):
        runs["inpainting-gan"].gene_encoder()


def test_the_evaluation_can_read_the_erased_radius(runs: dict[str, Run]) -> None:
    method = runs["inpainting-gan"].method
    assert isinstance(method, InpaintingGAN)
    assert method.erased_radius == pytest.approx(0.3 * 32)


@BASELINES
def test_the_moving_average_is_what_is_kept_where_one_is_published(
    method: str, runs: dict[str, Run], discs: Cohort, tmp_path: Path
) -> None:
    published = runs[method].config["settings"]["average"]
    other = train_toy(method, discs, tmp_path / "other", average=0.0 if published else 0.5)
    ours, theirs = (load_file(run.path / "weights.safetensors") for run in (runs[method], other))
    part = "part." if method == "mc-gan" else "generator."
    same = {name for name in ours if np.array_equal(ours[name].numpy(), theirs[name].numpy())}
    assert {name for name in ours if not name.startswith(part)} <= same  # the training itself was the same
    changed = {name for name in ours if name.startswith(part) and "num_batches" not in name} - same
    assert changed
    assert published == {"mc-gan": 0.999, "inpainting-gan": 0.0}[method]


@BASELINES
def test_sizes_that_do_not_fit_are_an_error_of_the_user(method: str) -> None:
    with pytest.raises(ValueError, match="pixels must be"):
        entry(method).make(entry(method).settings(**SMALL[method]), 10, 40, None)


ADDED = ADDITIONS | {"steps": 4, "noise": MCGANSettings().noise}


@pytest.fixture(scope="module")
def alignment(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("canonical-alignment", discs, tmp_path_factory.mktemp("runs") / "alignment", validation=0.1)


@pytest.fixture(scope="module")
def added(discs: Cohort, alignment: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """MC-GAN with the additions, twice from one seed."""
    folder = tmp_path_factory.mktemp("added")
    return [train_toy("mc-gan", discs, folder / name, alignment=alignment, **ADDED) for name in "ab"]


def test_with_the_additions_training_is_decided_by_the_seed(added: list[Run], alignment: Run) -> None:
    assert_same_weights(*added)
    assert {"generator/match", "generator/energy"} <= set(added[0].metrics.columns)
    assert "generator/KL" not in added[0].metrics
    assert added[0].metrics.notna().all(axis=None)
    assert added[0].split == alignment.split
    one, critic = (load_file(run.path / "weights.safetensors") for run in (added[0], alignment))
    for name, tensor in critic.items():
        np.testing.assert_array_equal(one[f"alignment.{name}"].numpy(), tensor.numpy(), err_msg=name)


def test_an_opened_run_with_the_additions_draws_what_it_drew(added: list[Run], discs: Cohort) -> None:
    settings, patients = DrawSettings(per_patient=2), list(added[0].split.test)
    first, other = (draw(Run.open(run.path), discs, discs.expression, patients, settings) for run in added)
    np.testing.assert_array_equal(first.image, other.image)
    np.testing.assert_array_equal(first.mask, other.mask)
    method = Run.open(added[0].path).method
    assert isinstance(method, MCGAN)
    assert isinstance(method.alignment, CanonicalAlignment)
    genes = added[0].scaler.transform(discs.expression, patients)
    assert added[0].gene_encoder().encode(genes).shape == (len(patients), method.alignment.code_length)


def test_the_additions_without_an_alignment_are_an_error_of_the_user(discs: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="need a trained alignment; give one with --alignment RUN"):
        train_toy("mc-gan", discs, tmp_path / "run", **ADDED)
    assert not (tmp_path / "run").exists()


def test_the_default_of_mc_gan_trains_as_it_always_did(runs: dict[str, Run]) -> None:
    last = runs["mc-gan"].metrics.iloc[-1]
    assert last[list(FROZEN)].to_dict() == pytest.approx(FROZEN, rel=1e-3)


def test_the_split_by_a_column_is_passed_on_and_needs_folds(discs: Cohort, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="12 patients have no series_uid, P-"):
        train_toy("mc-gan", discs, tmp_path / "run", folds=2, split_by="series_uid")
    with pytest.raises(ValueError, match="split_by series_uid needs folds"):
        TrainSettings(split_by="series_uid")


def test_an_alignments_split_by_a_column_is_taken_over(alignment: Run) -> None:
    assert fit.split_settings(alignment)["split_by"] == ""
    recorded = {**alignment.config, "training": {**alignment.config["training"], "split_by": "model"}}
    assert fit.split_settings(replace(alignment, config=recorded))["split_by"] == "model"
