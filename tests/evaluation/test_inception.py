"""The Frechet distance of Inception features against closed forms and scipy, and where it stands in the evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import linalg

from radiogenesis.errors import SettingError
from radiogenesis.evaluation.descriptions import inception
from radiogenesis.evaluation.descriptions.lesions import Lesions
from radiogenesis.evaluation.measures import realism
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.networks.inception import LENGTH, InceptionFeatures


def test_fid_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(1, 2, size=(30, 5)) @ rng.normal(size=(5, 5))
    c1, c2 = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert inception.fid(x, y) == pytest.approx(expected, rel=1e-9)
    assert inception.fid(x, x) == pytest.approx(0, abs=1e-9)
    assert inception.fid(x, x + 2) == pytest.approx(5 * 4)


def test_fid_with_fewer_images_than_features_is_the_formula_too() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 20)), rng.normal(size=(7, 20))
    c1, c2 = np.cov(x.T), np.cov(y.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(c1 @ c2).real, 0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * roots
    assert inception.fid(x, y) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="at least 2 are needed"):
        inception.fid(x[:1], y)


def test_the_bias_is_about_the_distance_of_a_distribution_to_itself() -> None:
    found = []
    for trial in range(10):
        x, y = np.random.default_rng(trial).normal(size=(2, 400, 10))
        found.append((inception.bias(x, y, 0), inception.fid(x, y)))
    of_bias, of_distance = np.mean(found, axis=0)
    assert of_bias == pytest.approx(of_distance, rel=0.25)


def lesions(rng: np.random.Generator, mean: float, count: int, name: str) -> Lesions:
    owner = np.array([f"{name}{i // 4}" for i in range(count)])
    embedding, features = rng.normal(mean, 1, (count, 6)), rng.normal(mean, 1, (count, 6))
    return Lesions(embedding, features, owner, inception=rng.normal(mean, 1, (count, 8)))


def test_realism_has_it_where_the_features_are_there_and_on_sets_of_one_size() -> None:
    rng = np.random.default_rng(3)
    drawn, training, held_out = lesions(rng, 0.5, 60, "h"), lesions(rng, 0, 100, "t"), lesions(rng, 0, 80, "h")
    shuffled, settings = lesions(rng, 3, 80, "h"), EvaluationSettings(bootstrap=20)
    with_it = realism.realism(drawn, training, training, held_out, shuffled, settings)
    found = [part[realism.INCEPTION] for part in (with_it.own_backgrounds, with_it.drawn, with_it.null)]
    assert [one.images for one in found] == [60, 60, 60]
    assert found[0].value < found[1].value < found[2].value
    assert found[0].bias == pytest.approx(found[0].value, rel=0.8)  # that of real lesions is bias and little else
    without = replace(drawn, inception=None)
    assert realism.INCEPTION not in realism.realism(without, training, training, held_out, shuffled, settings).drawn


def test_slices_are_seen_through_the_users_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = InceptionFeatures().eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    slices = np.random.default_rng(0).integers(-1000, 500, (2, 32, 32)).astype(np.int16)
    seen = inception.seen_by_inception(slices, str(tmp_path / "weights.safetensors"))
    assert seen is not None
    assert seen.shape == (2, LENGTH)
    unit = torch.from_numpy((slices.astype(np.float32) + 1000) / 750 - 1)[:, None]
    np.testing.assert_allclose(seen, network(unit).numpy(), rtol=1e-2, atol=1e-4)
    assert inception.seen_by_inception(slices, "") is None
    with pytest.raises(SettingError, match="no such file"):
        inception.seen_by_inception(slices, str(tmp_path / "absent"))


def test_the_features_follow_the_lesions() -> None:
    one = lesions(np.random.default_rng(4), 0, 12, "p")
    assert one.inception is not None
    np.testing.assert_array_equal(Lesions.together([one[:4], one[4:]]).inception, one.inception)
    np.testing.assert_array_equal(one.of(["p1"]).inception, one.inception[4:8])
