"""Training on whole slices: batches, the split of scans, and a run that is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from stopping import assert_same, stop_at

from radiogenesis.cohort.split import split_patients, split_scans
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, RunError
from radiogenesis.methods.tumor_unet import TumorUNet
from radiogenesis.testing import train_toy
from radiogenesis.training.data import Epochs
from radiogenesis.training.slices import SliceData


def test_a_batch_has_the_share_of_empty_slices_and_is_a_function_of_its_generator(chests: Cohort) -> None:
    data = SliceData.from_cohort(chests, ["C-00", "C-03", "C-05"], empty_share=0.25)
    assert data.image.shape == (12, 1, 32, 32)
    assert data.epoch == 8  # 6 slices with tumor are three quarters of 8
    for by_patient in (True, False):
        batches = [
            data.batch(8, torch.Generator().manual_seed(seed), by_patient=by_patient, augment=True)
            for seed in (1, 1, 2)
        ]
        assert batches[0].tumor.flatten(1).any(1).tolist() == [True] * 6 + [False] * 2
        assert torch.equal(batches[0].image, batches[1].image)
        assert not torch.equal(batches[0].image, batches[2].image)
        # what is tumor is bright, mirrored or not
        assert batches[0].image[batches[0].tumor > 0].min() > batches[0].image[batches[0].tumor == 0].max()


def test_every_patient_comes_before_any_comes_again(chests: Cohort) -> None:
    data = SliceData.from_cohort(chests, list(chests.patients.index), empty_share=0.0)
    batch = data.batch(8, torch.Generator().manual_seed(0), by_patient=True, augment=False)
    centers = {tuple(np.argwhere(mask[0].numpy()).mean(axis=0)) for mask in batch.tumor}
    whole = chests.whole
    assert whole is not None
    of_all = {tuple(np.argwhere(mask).mean(axis=0)) for mask in whole.slices.tumor[1::4]}
    assert centers == of_all
    with pytest.raises(ValueError, match="2 views"):
        data.batch(8, torch.Generator(), by_patient=True, augment=False, views=2)


def test_a_pass_shows_every_slice_once(chests: Cohort) -> None:
    data = SliceData.from_cohort(chests, list(chests.patients.index), empty_share=0.5)
    made = [
        data.batch(8, torch.Generator(), by_patient=False, augment=False, epochs=Epochs(3, number))
        for number in range(4)
    ]
    image, shown = torch.cat([batch.image for batch in made]), torch.cat([b.tumor.flatten(1).any(1) for b in made])
    assert int(shown.sum()) == len(shown) / 2 == 16  # all that there are: 16 with tumor and 16 without
    assert len(torch.unique(image.flatten(1), dim=0)) == 32


def test_what_cannot_be_trained_on_is_said(chests: Cohort, discs: Cohort) -> None:
    with pytest.raises(CohortError, match="no whole slices; build it with --whole_pixels"):
        split_scans(discs)
    with pytest.raises(CohortError, match="no whole slices"):
        SliceData.from_cohort(discs, ["P-00"], empty_share=0.0)
    with pytest.raises(CohortError, match="no whole slice with tumor"):
        SliceData.from_cohort(chests, ["nobody"], empty_share=0.0)


def test_scans_are_split_as_patients_are(chests: Cohort, discs: Cohort) -> None:
    split = split_scans(chests, seed=3)
    assert len(split.test) == 2
    assert set(split.train) | set(split.validation) | set(split.test) == set(chests.patients.index)
    with pytest.raises(CohortError, match="only 8 patients have whole slices with tumor"):
        split_scans(chests, fractions=(0.01, 0.0, 0.99))
    assert len(split_patients(discs, seed=3).test) == 3


def test_a_resumed_run_is_the_uninterrupted_run(
    chests: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_toy("tumor-unet", chests, tmp_path / "whole", steps=5)
    assert isinstance(whole.method, TumorUNet)
    assert (whole.config["pixels"], whole.config["pixel_mm"], whole.config["genes"]) == (32, 6.0, 0)
    assert whole.config["whole_lung_mm2"] == chests.settings["sampling"]["whole_lung_mm2"]
    assert {"unet/dice", "unet/cross_entropy"} <= set(whole.metrics.columns)

    stop_at(4, MemoryError("killed"), monkeypatch)  # between the checkpoints of steps 2 and 4
    with pytest.raises(MemoryError, match="killed"):
        train_toy("tumor-unet", chests, tmp_path / "cut", steps=5)
    monkeypatch.undo()
    config = yaml.safe_load((tmp_path / "cut" / "config.yaml").read_text())
    del config["whole_lung_mm2"]  # a run that was begun before it was recorded
    (tmp_path / "cut" / "config.yaml").write_text(yaml.safe_dump(config))
    resumed = train_toy("tumor-unet", chests, tmp_path / "cut", steps=5, resume=True)
    assert_same(resumed, whole)
    with pytest.raises(RunError, match="does not draw"):
        resumed.synthesizer()
