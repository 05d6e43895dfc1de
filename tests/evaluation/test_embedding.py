"""The fixed network: the same for everybody, blind to turns, and not blind to texture."""

from __future__ import annotations

import numpy as np
import torch

from radiogenesis.evaluation.descriptions.embedding import LesionEmbedding, embed
from radiogenesis.evaluation.descriptions.lesions import Axes, Lesions, Space, held_back, patient_weights

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(-700, 200, (3, 32, 32))
MASK = np.zeros((3, 32, 32))
MASK[0, 8:20, 6:22], MASK[1, 12:18, 12:30] = 1, 1


def test_a_turned_or_mirrored_lesion_is_the_same_lesion() -> None:
    found = embed(IMAGE[:2], MASK[:2], 1.0)
    for turn in (lambda x: np.rot90(x, 1, (1, 2)), lambda x: x[:, ::-1], lambda x: np.rot90(x[:, :, ::-1], 3, (1, 2))):
        assert np.allclose(embed(turn(IMAGE[:2]).copy(), turn(MASK[:2]).copy(), 1.0), found, rtol=1e-3, atol=1e-4)


def test_it_depends_on_no_seed_but_its_own() -> None:
    torch.manual_seed(1)
    first = LesionEmbedding(3).kernel1
    torch.manual_seed(2)
    assert torch.equal(LesionEmbedding(3).kernel1, first)
    assert not LesionEmbedding(3).state_dict().keys() - {f"{k}{i}" for k in ("kernel", "bias") for i in range(3)}
    assert not list(LesionEmbedding(3).parameters())  # nothing that could be trained


def test_the_first_stage_by_hand() -> None:
    """A constant image far from the mask's edge: relu of the summed kernel and the bias, averaged over the orbit."""
    network = LesionEmbedding(1)
    x, m = torch.full((1, 1, 32, 32), 0.3), torch.ones(1, 1, 32, 32)
    sums = network.kernel0.sum((2, 3))
    expected = torch.relu(0.3 * sums[:, 0] + sums[:, 1] + network.bias0).unflatten(0, (-1, 8)).mean(1)
    found = network(x, m)[0, : len(expected)]  # means over the lesion come first
    assert torch.allclose(found, expected, atol=1e-3)


def test_what_lies_beyond_the_rim_does_not_count_and_no_lesion_is_nan() -> None:
    far = IMAGE.copy()
    far[0, :, 31] += 500
    found, other = embed(IMAGE, MASK, 3.0), embed(far, MASK, 3.0)
    assert np.allclose(found[0], other[0])
    assert np.isnan(found[2]).all()
    assert embed(IMAGE[:0], MASK[:0], 1.0).shape == (0, found.shape[1])


def test_axes_are_whitened_over_patients_not_slices() -> None:
    values = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + 3
    patient = np.array(["a"] * 200 + [f"p{k}" for k in range(100)])
    weight = patient_weights(patient)
    assert weight.sum() == 1
    assert weight[:200].sum() == weight[200] or np.isclose(weight[:200].sum(), weight[200])
    z = Axes.fit(values, patient, 5, whiten=True)(values)
    assert np.allclose(weight @ z, 0, atol=1e-9)
    assert np.allclose((z * weight[:, None]).T @ z, np.eye(5), atol=1e-8)
    assert Axes.fit(np.ones((4, 3)) * RNG.normal(size=(4, 1)), patient[:4], 3).axes.shape == (3, 1)  # rank one


def test_the_space_holds_outliers_back() -> None:
    assert held_back(np.array([0.0, 2.0, 1e9]), 2.0).tolist() == [0.0, 2 / np.sqrt(2), 2.0]
    values = RNG.normal(size=(50, 6))
    values[0] = 1e6
    lesions = Lesions(values, values, np.array([f"p{k}" for k in range(50)]))
    assert np.abs(Space.fit(lesions)(lesions)).max() <= 2.0
