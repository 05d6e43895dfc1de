"""Real lesions on the backgrounds of the drawings: which ones, and how they are laid over."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from painted_lesions import lungs, slices
from scipy.ndimage import binary_erosion

from radiogenesis.cohort.split import Split
from radiogenesis.evaluation.descriptions.interiors import agreement, interiors
from radiogenesis.evaluation.measures.pasted import _fitting, paste, pasted
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.imaging import LUNG_CT


def test_inside_lies_the_turned_lesion_and_far_away_the_background() -> None:
    rng = np.random.default_rng(0)
    image, mask = slices(rng, 2, 1)
    backgrounds = lungs(rng, 2)
    made, soft = paste(image, mask, np.array([0, 5]), backgrounds)
    turned, hard = (np.stack([part[0], np.rot90(part[1])[:, ::-1]]) for part in (image, mask))
    assert ((soft >= 0.5) == hard).mean() > 0.99
    inside = binary_erosion(hard, np.ones((1, 3, 3)))
    assert made[inside] == pytest.approx(turned[inside], abs=0.01)
    assert made[:, :2] == pytest.approx(backgrounds[:, :2], abs=0.01)


def test_lesions_of_a_training_patient_stand_for_each_held_out_one() -> None:
    rng = np.random.default_rng(1)
    image, mask = slices(rng, 10, 3)
    names = [f"p{number}" for number in range(10)]
    split = Split(tuple(names[:6]), (), tuple(names[6:]))
    cohort = SimpleNamespace(
        slice_image=image, slice_mask=mask, slice_patient=np.repeat(names, 3), background_image=lungs(rng, 4),
        background_patient=np.array(split.test), pixel_mm=1.0, imaging=LUNG_CT,
        patients=pd.DataFrame({"n_slices": 3}, index=names),
    )  # fmt: skip
    made = pasted(cohort, split, EvaluationSettings(backgrounds_per_patient=3))  # type: ignore[arg-type]
    real = interiors(cohort.slice_image, cohort.slice_mask)
    everybody = np.unique(cohort.slice_patient)
    for lesions, patients in (
        (made.training, split.train),
        (made.copies, split.train),
        (made.held_out, split.test),
    ):
        assert lesions.interior is not None
        alike = agreement(lesions.interior, real).reshape(len(split.test), 3, -1)
        each = np.stack([alike[:, :, cohort.slice_patient == patient].max(2).mean(1) for patient in everybody], axis=1)
        found = everybody[each.argmax(1)].tolist()
        assert set(found) <= set(patients)
        assert len(set(found)) == len(found)
        assert lesions.patient.reshape(-1, 3)[:, 0].tolist() == list(split.test)
    assert found == list(split.test)


def test_no_lesion_is_laid_onto_the_chest_wall() -> None:
    """A bar fits standing beside one wall, lying beside the other, and nowhere in the third."""
    mask = np.zeros((2, 48, 48), bool)
    mask[0, 10:38, 20:28] = True
    mask[1, 10:38, 20:27] = True
    wall = np.zeros((3, 48, 48), bool)
    wall[0, :, :16] = True
    wall[1, :16] = True
    wall[2] = True
    rng = np.random.default_rng(0)
    for _ in range(5):
        chosen, turns, fits = _fitting(mask, wall, rng)
        assert fits.tolist() == [True, True, False]
        for k in (0, 1):
            turned = np.rot90(mask[chosen[k]], turns[k] % 4)
            assert not (turned[:, :: 1 if turns[k] < 4 else -1] & wall[k]).any()
