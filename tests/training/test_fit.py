"""Training end to end on a tiny cohort: the run folder, the split, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from older_runs import forget_digests
from safetensors.torch import load_file, save_file

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import OutputError, RunError, SettingError
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.fusion_gan import FusionGAN, FusionGANSettings
from radiogenesis.methods.images import images_from_hu
from radiogenesis.testing import train_toy
from radiogenesis.training import fit
from radiogenesis.training.fit import count_steps
from radiogenesis.training.renamed import RENAMED
from radiogenesis.training.run import Run
from radiogenesis.training.settings import TrainSettings


def test_run_folder_is_complete(gan: Run, discs: Cohort) -> None:
    names = {p.name for p in gan.path.iterdir()}
    assert {
        "config.yaml",
        "weights.safetensors",
        "split.json",
        "metrics.csv",
        "provenance.json",
        "checkpoints",
    } <= names
    assert gan.provenance["cohort_digest"] == discs.digest
    assert gan.config["settings"]["width"] == 4
    assert not [name for name in names if name.endswith(".partial")]
    plain = gan.path / "plain"
    plain.touch()  # what the umask makes of a new file: colleagues read a run where they may read other files
    assert {p.stat().st_mode for p in gan.path.iterdir() if p.is_file()} == {plain.stat().st_mode}
    plain.unlink()
    assert list(gan.metrics["step"]) == [2, 4, 6]
    assert list(gan.metrics["images_seen"]) == [8, 16, 24]
    assert {"generator/match", "discriminator/L_DISG", "loading_share"} <= set(gan.metrics.columns)
    assert len(gan.samples) == 3
    assert any((gan.path / "tensorboard").iterdir())


def test_opened_run_draws_the_same_twice_and_obeys_the_seed(gan: Run, discs: Cohort) -> None:
    genes = gan.scaler.transform(discs.expression, list(gan.split.test))
    backgrounds = discs.background_image[: len(genes)]
    first = gan.synthesizer().synthesize(backgrounds, genes, seed=3)
    again = Run.open(gan.path).synthesizer().synthesize(backgrounds, genes, seed=3)
    other = gan.synthesizer().synthesize(backgrounds, genes, seed=4)
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.mask.shape == (len(genes), 32, 32)


def test_a_run_from_before_a_setting_was_there_draws_as_it_was_trained(gan: Run, tmp_path: Path) -> None:
    copy = forget_digests(shutil.copytree(gan.path, tmp_path / "older"))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    assert config["settings"].pop("fill")
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    for path, fill in ((gan.path, True), (copy, False)):
        method = Run.open(path).method
        assert isinstance(method, FusionGAN)
        assert method.settings.fill == fill


def test_the_alignment_and_its_gan_hold_out_the_same_patients(alignment: Run, gan: Run, discs: Cohort) -> None:
    assert gan.split == alignment.split
    held_out = set(gan.split.test)
    assert held_out
    assert not held_out & set(gan.split.train)
    assert set(gan.split.train) | set(gan.split.validation) | held_out == set(discs.patients.index)


def test_the_seed_decides_whether_or_not_the_alignment_was_opened_before(
    discs: Cohort, alignment: Run, gan: Run, tmp_path: Path
) -> None:
    again = train_toy("fusion-gan", discs, tmp_path / "again", alignment=Run.open(alignment.path))
    expected, got = (load_file(run.path / "weights.safetensors") for run in (gan, again))
    for name in expected:
        np.testing.assert_array_equal(got[name].numpy(), expected[name].numpy(), err_msg=name)


def test_existing_run_is_not_overwritten(discs: Cohort, alignment: Run) -> None:
    before = (alignment.path / "weights.safetensors").read_bytes()
    with pytest.raises(RunError, match="already there"):
        train_toy("alignment", discs, alignment.path)
    assert (alignment.path / "weights.safetensors").read_bytes() == before


def test_matching_needs_an_alignment(discs: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="need a trained alignment"):
        train_toy("fusion-gan", discs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_gan_is_not_an_alignment(discs: Cohort, gan: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a run of fusion-gan"):
        train_toy("fusion-gan", discs, tmp_path / "run", alignment=gan)


def test_paper_preset_needs_no_alignment_and_counts_epochs(discs: Cohort, tmp_path: Path) -> None:
    from radiogenesis.methods.fusion_gan import PAPER

    few = {"epochs": 1, "batch": 8, "width": 2, "code": 4, "hidden": 4}
    run = train_toy("fusion-gan", discs, tmp_path / "paper", **(PAPER | few))
    slices = int(np.isin(discs.slice_patient, run.split.train).sum())
    assert run.config["steps"] == -(-slices // 8)


def test_hard_masks_are_refused_where_masks_are_softened_later(discs: Cohort, alignment: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="soft_masks is false, but alignment reads softened masks"):
        train_toy("alignment", discs, tmp_path / "run", soft_masks=False)
    with pytest.raises(SettingError, match="but the alignment that judges the drawings reads softened masks"):
        train_toy("fusion-gan", discs, tmp_path / "run", alignment=alignment, soft_masks=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"sampling": "epochs"}, 13),  # 3 passes over 33 slices are 99: twelve batches of 8 and 3 slices more
        ({"sampling": "epochs", "devices": 2}, 7),  # two processes go through the slices together
        ({"sampling": "slices"}, 15),  # as runs before counted: whole batches for each pass
        ({"sampling": "patients"}, 15),
    ],
)
def test_passes_over_the_slices_become_steps(settings: dict[str, Any], steps: int) -> None:
    assert count_steps(FusionGANSettings(epochs=3, batch=8), 33, TrainSettings(**settings)) == steps
    assert count_steps(FusionGANSettings(steps=5, batch=8), 33, TrainSettings(**settings)) == 5


def test_another_cohort_is_refused(alignment: Run, other_discs: Cohort) -> None:
    with pytest.raises(RunError, match="another cohort"):
        alignment.open_cohort(other_discs.path)


def test_damaged_runs_say_what_is_wrong(alignment: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(alignment.path, copy)
    forget_digests(copy)
    (copy / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(RunError, match="weights do not fit"):
        _ = Run.open(copy).method
    (copy / "provenance.json").write_text(json.dumps([]))
    with pytest.raises(RunError, match=r"provenance\.json"):
        Run.open(copy)
    with pytest.raises(RunError, match="no run here"):
        Run.open(tmp_path)


def test_a_method_in_closed_form_is_a_run_like_any_other(discs: Cohort, critic: Run, critics_gan: Run) -> None:
    """The discs' size follows the first gene; what was fitted is what comes back from the run."""
    assert critic.metrics.empty
    assert critic.config["steps"] == 0
    method = critic.method
    assert isinstance(method, CanonicalAlignment)
    genes = critic.scaler.transform(discs.expression, list(critic.split.train))
    rows = np.isin(discs.slice_patient, critic.split.train)
    owner = np.array([critic.split.train.index(name) for name in discs.slice_patient[rows]])
    again = CanonicalAlignment(method.settings, genes=genes.shape[1])
    m = torch.from_numpy(discs.slice_mask[rows]).unsqueeze(1)
    image = images_from_hu(discs.slice_image[rows])
    again.fit(image, m, owner, genes, seed=0, pixel_mm=discs.pixel_mm)
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(method.state_dict()[name], tensor, msg=name)
    assert critics_gan.config["alignment_method"] == "canonical-alignment"
    assert critics_gan.method.state_dict()["alignment.gene_weights"].equal(method.gene_weights)


def test_a_run_from_before_its_tensors_were_renamed_opens(critic: Run, tmp_path: Path) -> None:
    before = {new: old for old, new in RENAMED.items() if old in ("readability", "seen")}
    shutil.copytree(critic.path, tmp_path / "older")
    weights = load_file(tmp_path / "older" / "weights.safetensors")
    assert set(before) <= set(weights)
    save_file({before.get(name, name): t for name, t in weights.items()}, tmp_path / "older" / "weights.safetensors")
    provenance = tmp_path / "older" / "provenance.json"
    record = json.loads(provenance.read_text())
    provenance.write_text(json.dumps({name: value for name, value in record.items() if name != "files"}))
    method = Run.open(tmp_path / "older").method
    for name, tensor in critic.method.state_dict().items():
        assert method.state_dict()[name].equal(tensor)


def test_a_null_is_a_null_from_the_alignment_on(discs: Cohort, critic: Run, tmp_path: Path) -> None:
    null = train_toy("canonical-alignment", discs, tmp_path / "null", shuffle_genes=True)
    assert not null.method.state_dict()["gene_weights"].equal(critic.method.state_dict()["gene_weights"])
    both = train_toy("fusion-gan", discs, tmp_path / "both", alignment=null, shuffle_genes=True)
    assert both.method_name == "fusion-gan"
    for alignment, shuffled in ((critic, True), (null, False)):
        with pytest.raises(SettingError, match="the same shuffled genes"):
            train_toy("fusion-gan", discs, tmp_path / "mixed", alignment=alignment, shuffle_genes=shuffled)
        assert not (tmp_path / "mixed").exists()


def test_seeds_share_a_split_unless_they_are_given_another(alignment: Run, reseeded: Run, resplit: Run) -> None:
    assert reseeded.split == alignment.split
    a, b = (load_file(run.path / "weights.safetensors")["genes.layers.1.weight"] for run in (alignment, reseeded))
    assert not np.array_equal(a.numpy(), b.numpy())
    assert resplit.split != alignment.split


def test_shuffled_genes_change_the_training(discs: Cohort, alignment: Run, tmp_path: Path) -> None:
    null = train_toy("alignment", discs, tmp_path / "null", shuffle_genes=True)
    a, b = (load_file(run.path / "weights.safetensors")["genes.layers.1.weight"] for run in (alignment, null))
    assert not np.array_equal(a.numpy(), b.numpy())


def test_a_run_that_cannot_be_written_is_refused_before_the_work(
    discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as early:
        early.setattr(fit, "make_method", None)  # never called
        with pytest.raises(OutputError, match="/proc/run: cannot be written"):
            train_toy("alignment", discs, Path("/proc/run"))
    monkeypatch.setattr(fit, "room_of", lambda method, steps: 2**60)  # two checkpoints of a very large method
    with pytest.raises(OutputError, match=r"run: cannot be written \(.*\); make room on that disk"):
        train_toy("alignment", discs, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a::b", "file:y"])
def test_a_run_whose_name_looks_like_a_url_is_a_folder(
    discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train_toy("alignment", discs, Path(name), steps=2, checkpoint_every=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {"last.ckpt", "before.ckpt"} <= {path.name for path in (tmp_path / name / "checkpoints").iterdir()}
    assert list(run.metrics["step"]) == [1, 2]
