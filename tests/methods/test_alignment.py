"""The alignment on a toy that anyone can solve: the first gene is the lesion's brightness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from radiogenesis.methods.alignment import Alignment, AlignmentSettings
from radiogenesis.methods.images import images_from_hu, soften
from radiogenesis.methods.losses import loss_contrastive
from radiogenesis.methods.protocols import Batch, GeneEncoder, LesionEncoder

PIXELS, GENES, PATIENTS = 16, 5, 24
TINY = AlignmentSettings(
    steps=1, batch=8, widths=(4, 4, 4, 4), hidden=16, embedding=6, gene_dropout=0.0, lesion_dropout=0.0,
    scanner_noise_hu=10.0,
)  # fmt: skip


def toy(patients: int = PATIENTS, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """One lesion per patient: images HU, masks, genes. The first gene, -1 to 1, sets the lesion's HU, -300 to 300."""
    rng = np.random.default_rng(seed)
    genes = rng.normal(size=(patients, GENES)).astype(np.float32)
    genes[:, 0] = rng.permutation(np.linspace(-1, 1, patients))
    y, x = np.mgrid[:PIXELS, :PIXELS] - (PIXELS - 1) / 2
    masks = np.hypot(y, x) < rng.uniform(4, 6, size=(patients, 1, 1))
    images = np.where(masks, 300 * genes[:, :1, None], -850) + rng.normal(scale=10, size=masks.shape)
    return images, masks, genes * np.array([3, 0.1, 0.1, 0.1, 0.1], np.float32)


def batch_of(images: NDArray[Any], masks: NDArray[Any], genes: NDArray[Any]) -> Batch:
    x, m = images_from_hu(images), soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    g = torch.from_numpy(genes.astype(np.float32))
    return Batch(x=x, m=m, g=g, wrong_m=m.roll(1, 0), wrong_g=g.roll(1, 0), background=x,
                 patient=torch.arange(len(g)), all_genes=g)  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> tuple[Alignment, list[float]]:
    """100 steps, each on new patients of the toy, and the loss at each."""
    torch.manual_seed(0)
    alignment = Alignment(TINY, genes=GENES)
    (player,) = alignment.players()
    optimizer = torch.optim.AdamW(player.parameters, lr=5e-3, weight_decay=player.weight_decay)
    losses = []
    for step in range(100):
        optimizer.zero_grad()
        total = player.loss(batch_of(*toy(seed=step))).total
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return alignment, losses


def test_loss_falls(trained: tuple[Alignment, list[float]]) -> None:
    losses = trained[1]
    assert np.mean(losses[:5]) > 0.8 * np.log(PATIENTS)  # as good as guessing
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_lesions_of_unseen_patients_find_their_genes(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, genes = toy(20, seed=1000)
    similarity = trained[0].encode_lesions(images, masks) @ trained[0].encode(genes).T
    ranks = 1 + (similarity > np.diag(similarity)[:, None]).sum(1)
    assert ranks.mean() < 4  # of 20; chance is 10.5
    shuffled = similarity[:, np.roll(np.arange(20), 7)]
    assert (1 + (shuffled > np.diag(shuffled)[:, None]).sum(1)).mean() > 7


def test_both_embeddings_have_unit_length(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, genes = toy(9, seed=2)
    for embedded in (trained[0].encode(genes), trained[0].encode_lesions(images, masks)):
        assert embedded.shape == (9, TINY.embedding)
        assert embedded.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)


def test_a_mask_may_be_bool_or_numbers(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, _ = toy(4)
    as_bool = trained[0].encode_lesions(images, masks)
    for kind in (np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(trained[0].encode_lesions(images, masks.astype(kind)), as_bool)


def test_real_masks_are_softened_as_in_training(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, genes = toy(4)
    alignment, batch = trained[0].eval(), batch_of(images, masks, genes)
    with torch.no_grad():
        expected = alignment.lesions(batch.x, batch.m).numpy()
    np.testing.assert_allclose(alignment.encode_lesions(images, masks), expected, atol=1e-6)


def test_encoding_needs_no_neighbors_and_leaves_training_mode(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, genes = toy(6)
    together = trained[0].train().encode_lesions(images, masks), trained[0].train().encode(genes)
    for i in range(6):
        alone = trained[0].encode_lesions(images[i : i + 1], masks[i : i + 1]), trained[0].encode(genes[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], atol=1e-5)


def test_many_lesions_are_encoded_in_parts(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, _ = toy(24)
    many = trained[0].encode_lesions(np.tile(images, (11, 1, 1)), np.tile(masks, (11, 1, 1)))  # 264, more than 256
    np.testing.assert_allclose(many, np.tile(many[:24], (11, 1)), atol=1e-5)


def test_nobody_is_encoded_as_nothing(trained: tuple[Alignment, list[float]]) -> None:
    nothing = np.zeros((0, PIXELS, PIXELS))
    assert trained[0].encode_lesions(nothing, nothing).shape == (0, TINY.embedding)


def test_the_loss_is_the_contrastive_one(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, genes = toy(6)
    alignment = trained[0].eval()
    alignment.settings = replace(TINY, scanner_noise_hu=0.0)
    batch = replace(batch_of(images, masks, genes), patient=torch.tensor([0, 0, 1, 2, 3, 4]))
    lesions, codes = alignment.lesions(batch.x, batch.m), alignment.genes(batch.g)
    record = alignment.loss(batch)
    alignment.settings = TINY
    expected = loss_contrastive(lesions, codes, batch.patient, alignment.temperature)
    torch.testing.assert_close(record.total, expected)
    assert 0 <= record.terms["found_own_genes"] <= 1
    assert not record.terms["contrastive"].requires_grad


def test_scanner_noise_is_for_training_only(trained: tuple[Alignment, list[float]]) -> None:
    images, masks, _ = toy(4)
    first, again = (trained[0].encode_lesions(images, masks) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_temperature_starts_where_it_is_set_and_has_a_floor() -> None:
    alignment = Alignment(replace(TINY, temperature=0.2), genes=GENES)
    assert alignment.temperature.item() == pytest.approx(0.2)
    alignment.log_scale.data.fill_(20.0)
    assert alignment.temperature.item() == pytest.approx(0.01)


def test_one_player_moves_everything() -> None:
    alignment = Alignment(AlignmentSettings(widths=(4, 4, 4, 4)), genes=GENES)
    (player,) = alignment.players()
    assert {id(p) for p in player.parameters} == {id(p) for p in alignment.parameters()}
    assert (player.learning_rate, player.weight_decay, player.schedule) == (1e-3, 1e-4, "cosine")
    assert alignment.averaged() is None
    assert alignment.views == 1
    assert isinstance(alignment, GeneEncoder)
    assert isinstance(alignment, LesionEncoder)


def test_defaults_are_those_of_section_1b() -> None:
    s = AlignmentSettings()
    assert (s.batch, s.learning_rate, s.weight_decay) == (64, 1e-3, 1e-4)
    assert s.widths == (16, 32, 64, 64)
    assert (s.gene_dropout, s.hidden, s.embedding) == (0.5, 512, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"gene_dropout": 1.0}, r"gene_dropout must be in \[0, 1\), not 1.0"),
        ({"lesion_dropout": -0.1}, r"lesion_dropout must be in \[0, 1\), not -0.1"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"scanner_noise_hu": -1.0}, "scanner_noise_hu must be at least 0, not -1.0"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlignmentSettings(**changes)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "hidden", "embedding"])
def test_no_setting_may_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        AlignmentSettings(**{name: -1})  # type: ignore[arg-type]


def test_no_width_may_be_zero() -> None:
    with pytest.raises(ValueError, match="widths"):
        AlignmentSettings(widths=(4, 0, 4, 4))
