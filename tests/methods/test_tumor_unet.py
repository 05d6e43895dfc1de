"""The tumor U-Net: equation 4 by hand, its batches, and how pieces become tumors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from radiogenesis.methods.protocols import SliceBatch
from radiogenesis.methods.tumor_unet import (
    PAPER,
    FindSettings,
    TumorUNet,
    TumorUNetSettings,
    bent,
    separate,
    soft_dice,
)

SMALL = TumorUNetSettings(widths=(2, 2, 2, 2, 2), batch=2, steps=2)
PLAIN = replace(SMALL, turn_degrees=0.0, resize=0.0, shift=0.0, gamma=0.0, scanner_noise_hu=0.0, dropout=0.0)


def pair(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(2, 1, 1, 2)


def test_equation_4_by_hand() -> None:
    p, t = pair([0.8, 0.1, 0.5, 0.5]), pair([1.0, 0.0, 0.0, 0.0])
    # first image: 2 * 0.8 / (0.9 + 1); second: 0 / (1 + 0)
    assert soft_dice(p, t, over="image").item() == pytest.approx((1.6 / 1.9 + 0) / 2, abs=1e-5)
    assert soft_dice(p, t, over="batch").item() == pytest.approx(1.6 / (1.9 + 1.0), abs=1e-5)
    assert soft_dice(t, t, over="batch").item() == pytest.approx(1.0, abs=1e-5)
    assert soft_dice(torch.zeros_like(t), torch.zeros_like(t), over="image").item() == 0.0  # epsilon: no division by 0


def test_the_loss_is_one_minus_dice_and_the_weighted_cross_entropy() -> None:
    batch = SliceBatch(torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32))
    batch.tumor[:, :, :8] = 1
    for weight in (0.0, 0.5):
        method = TumorUNet(replace(PLAIN, cross_entropy=weight), pixels=32).eval()
        with torch.no_grad():
            method.unet.to_logit.weight.zero_()
            method.unet.to_logit.bias.fill_(math.log(3))  # p = 3/4 everywhere, a quarter of the pixels is tumor
        dice = 2 * 0.75 * 0.25 / (0.75 + 0.25)
        entropy = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25))
        record = method.loss(method.prepare(batch))
        assert record.total.item() == pytest.approx(1 - dice + weight * entropy, abs=1e-5)
        assert record.terms["dice"].item() == pytest.approx(dice, abs=1e-5)
        assert set(record.terms) == ({"dice", "cross_entropy"} if weight else {"dice"})


def test_without_distortion_the_batch_is_left_alone_and_with_it_image_and_mask_move_together() -> None:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((y - 30) ** 2 + (x - 40) ** 2 < 100).float().expand(4, 1, 64, 64).clone()
    batch = SliceBatch(disc * 2 - 1, disc)
    same = TumorUNet(PLAIN, pixels=64).prepare(batch)
    torch.testing.assert_close(same.image, batch.image)
    torch.manual_seed(0)
    moved = TumorUNet(replace(PLAIN, turn_degrees=20.0, resize=0.3, shift=0.1), pixels=64).prepare(batch)
    assert not torch.equal(moved.tumor, batch.tumor)
    assert ((moved.image > 0).float() == moved.tumor).float().mean() > 0.99
    areas = moved.tumor.sum((1, 2, 3)) / disc[0].sum()
    assert areas.min() > 0.7**2 * 0.9
    assert areas.max() < 1.3**2 * 1.1
    assert areas.std() > 0.05
    torch.manual_seed(0)
    again = TumorUNet(replace(PLAIN, turn_degrees=20.0, resize=0.3, shift=0.1), pixels=64).prepare(batch)
    assert torch.equal(moved.image, again.image)


def test_it_learns_to_find_a_bright_disc() -> None:
    torch.manual_seed(0)
    method = TumorUNet(replace(PLAIN, widths=(6, 6, 6, 6, 6)), pixels=32)
    generator, (y, x) = torch.Generator().manual_seed(1), torch.meshgrid(*[torch.arange(32)] * 2, indexing="ij")

    def drawn(count: int) -> SliceBatch:
        at = torch.randint(8, 24, (2, count, 1, 1, 1), generator=generator)
        disc = ((y - at[0]) ** 2 + (x - at[1]) ** 2 < 20).float()
        return SliceBatch(disc - 0.7 + 0.1 * torch.randn(disc.shape, generator=generator), disc)

    optimizer = torch.optim.Adam(method.parameters(), 1e-2)
    for _ in range(60):
        loss = method.loss(drawn(8)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    test = drawn(8)
    found = method.probability(((test.image[:, 0] + 1) * 750 - 1000).numpy())
    truth = test.tumor[:, 0].numpy() > 0
    assert 2 * ((found > 0.5) & truth).sum() / ((found > 0.5).sum() + truth.sum()) > 0.8


def test_training_starts_from_few_pixels_of_tumor() -> None:
    torch.manual_seed(0)
    found = TumorUNet(PLAIN, pixels=64).probability(np.random.default_rng(0).normal(-500, 300, (4, 64, 64)))
    assert 0.0005 < found.mean() < 0.05  # a tumor of 36 mm covers 0.7 % of a whole slice of 384 mm


def test_slices_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        TumorUNet(SMALL, pixels=48)
    with pytest.raises(ValueError, match="trained on 64 x 64"):
        TumorUNet(SMALL, pixels=64).probability(np.zeros((1, 32, 32), np.int16))


@pytest.mark.parametrize("wrong", [{"widths": (1, 2, 3)}, {"empty_share": 1.0}, {"learning_rate": 0.0}, {"batch": 0}])
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TumorUNetSettings(**wrong)  # type: ignore[arg-type]


def test_the_paper_preset_is_the_paper() -> None:
    paper = TumorUNetSettings(**PAPER)
    assert (paper.epochs, paper.learning_rate, paper.dice_over, paper.empty_share) == (500, 1e-3, "image", 0.0)
    assert (paper.cross_entropy, paper.turn_degrees, paper.schedule) == (0.0, 0.0, "constant")
    assert (paper.he_start, paper.first_logit) == (False, 0.0)


def test_the_start_can_be_torchs_own() -> None:
    spread = {}
    for he in (True, False):
        torch.manual_seed(0)
        method = TumorUNet(replace(PLAIN, widths=(16, 16, 16, 16, 16), he_start=he, first_logit=-2.0), pixels=32)
        assert method.unet.to_logit.bias is not None
        assert method.unet.to_logit.bias.item() == -2.0
        spread[he] = method.unet.encoder[2][0].weight.detach().std().item()  # type: ignore[index]
    assert spread[True] == pytest.approx(math.sqrt(2 / (16 * 9)), rel=0.05)  # He et al. 2015
    assert spread[False] == pytest.approx(spread[True] / math.sqrt(6), rel=0.05)  # of torch's: 1 / (3 fan-in)


def test_pieces_become_tumors_the_most_likely_first() -> None:
    probability = np.zeros((4, 20, 20), np.float32)
    probability[0:2, 2:6, 2:6] = 0.6  # 32 voxels, sum 19.2
    probability[2, 6, 6] = 0.55  # touches it at a corner: the same piece
    probability[1:3, 12:17, 12:16] = 0.9  # 40 voxels, sum 36
    probability[3, 0, 19] = 0.99  # 1 voxel
    spacing = (5.0, 2.0, 2.0)  # 0.02 ml each
    everywhere = np.ones(probability.shape, bool)
    labels = separate(probability, everywhere, spacing, FindSettings(smallest_ml=0.1))
    assert (labels[1:3, 12:17, 12:16] == 1).all()
    assert (labels == 2).sum() == 33
    assert labels[2, 6, 6] == 2
    assert labels.max() == 2
    assert separate(probability, everywhere, spacing, FindSettings(smallest_ml=0.1, most=1)).max() == 1
    assert separate(probability, everywhere, spacing, FindSettings(smallest_ml=0.0)).max() == 3
    assert (separate(probability, everywhere, spacing, FindSettings(threshold=0.7, smallest_ml=0.1)) > 0).sum() == 40
    nothing = np.zeros((2, 4, 4), np.float32)
    assert separate(nothing, nothing > -1, spacing, FindSettings()).max() == 0


def test_pieces_away_from_the_lungs_are_dropped_before_they_are_counted() -> None:
    probability = np.zeros((4, 30, 30), np.float32)
    lungs = np.zeros(probability.shape, bool)
    lungs[:, :10, :] = True
    probability[0:2, 11:15, 2:6] = 0.6  # its first row is 2 rows from the lungs' last: 4 mm
    probability[1:3, 20:27, 12:20] = 0.9  # 22 mm away, and the most likely
    spacing = (5.0, 2.0, 2.0)

    def found(**changes: float) -> int:
        return int(separate(probability, lungs, spacing, FindSettings(smallest_ml=0.1, **changes)).max())  # type: ignore[arg-type]

    labels = separate(probability, lungs, spacing, FindSettings(smallest_ml=0.1, most=1))
    assert (labels == 1).sum() == 32
    assert (labels[0:2, 11:15, 2:6] == 1).all()
    assert [found(lung_mm=mm) for mm in (3.9, 4.0, 21.9, 22.0)] == [0, 1, 1, 2]
    lungs[:, 10] = True
    assert found(lung_mm=0.0) == 1  # it touches
    assert separate(probability, np.zeros_like(lungs), spacing, FindSettings(lung_mm=99.0)).max() == 0


def test_grey_levels_are_bent_by_a_power_between_the_windows_ends() -> None:
    torch.manual_seed(0)
    image = torch.tensor([-1.0, -0.5, 0.0, 1.0]).repeat(200, 1).reshape(200, 1, 2, 2)
    found = (bent(image, 0.25) + 1) / 2
    assert (found[:, 0, 0, 0] == 0).all()
    assert (found[:, 0, 1, 1] == 1).all()
    powers = found[:, 0, 1, 0].log() / math.log(0.5)
    torch.testing.assert_close(found[:, 0, 0, 1].log() / math.log(0.25), powers)  # one power for the whole slice
    assert 0.75 <= powers.min() < 0.78
    assert 1.22 < powers.max() <= 1.2501
