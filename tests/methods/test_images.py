import numpy as np
import pytest
import torch
from scipy import ndimage

from radiogenesis.methods import images


def test_window_is_linear_and_clips() -> None:
    hu = torch.tensor([-2000.0, -1000.0, -250.0, 500.0, 3000.0])
    assert images.to_unit(hu).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert images.to_hu(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [-1000.0, -250.0, 500.0]


def test_background_region_is_the_eroded_inverse() -> None:
    mask = np.zeros((20, 20), bool)
    mask[8:12, 7:13] = True
    expected = ndimage.binary_erosion(~mask, np.ones((7, 7)), border_value=1)
    got = images.background_region(torch.from_numpy(mask[None, None].astype(np.float32)), 7)
    np.testing.assert_array_equal(got[0, 0].numpy() > 0.5, expected)


def test_soften_keeps_a_straight_edge_in_place_and_the_area() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5:11, 4:12] = 1
    soft = images.soften(mask)
    assert soft.sum().item() == pytest.approx(mask.sum().item(), rel=1e-6)
    inner = (soft >= 0.5) == (mask >= 0.5)
    assert inner[..., 6:10, :].all()  # only corners may differ
    assert soft.unique().numel() > 2


def test_difference_mask_is_a_half_at_the_contrast_and_only_inside_its_region() -> None:
    background = torch.full((1, 1, 16, 16), -0.8)
    image = background.clone()
    image[..., 8:] += 100 * 2 / 1500  # 100 HU denser in the right half, wide enough for its inner 3 x 3 means
    region = images.disc(16, 7.0)
    mask = images.difference_mask(image, background, region, contrast_hu=100.0)
    assert mask[0, 0, 8, 10].item() == pytest.approx(0.5, abs=1e-5)
    assert mask[0, 0, 8, 4].item() == pytest.approx(1 / (1 + np.exp(4)), abs=1e-5)  # no difference at all
    assert not mask[region == 0].any()
    darker = images.difference_mask(2 * background - image, background, region, contrast_hu=100.0)
    torch.testing.assert_close(darker, mask)  # cavities and emphysema count as much


def test_composition_keeps_the_background_exactly_away_from_the_mask() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 14:18, 14:18] = 1
    through = images.composition_mask(mask, dilation=7, smoothing=5)
    drawn, background = torch.ones(1, 1, 32, 32), torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    image = images.compose(drawn, background, through)
    assert torch.equal(image[..., :8, :], background[..., :8, :])
    assert torch.equal(image[..., 14:18, 14:18], torch.ones(1, 1, 4, 4))


def test_turned_views_of_an_array_are_read_like_any_other() -> None:
    hu = np.arange(-8, 8, dtype=np.float32).reshape(1, 4, 4) * 10
    turned = np.rot90(hu, 1, (1, 2))  # negative strides, which torch does not take
    torch.testing.assert_close(images.images_from_hu(turned), images.images_from_hu(turned.copy()))


def test_outside_lung_is_the_opening_of_dense_tissue_that_vessels_do_not_survive() -> None:
    rng = np.random.default_rng(0)
    hu = np.where(ndimage.gaussian_filter(rng.normal(size=(3, 48, 48)), (0, 6, 6)) > 0.02, 40.0, -850.0)
    hu[:, :, :12] = -850
    hu[:, 20:24, 2:9] = 60  # a vessel, 4 pixels thick
    expected = [
        ndimage.binary_opening(np.pad(image > -500, 12, mode="edge"), np.ones((9, 9)))[12:-12, 12:-12] for image in hu
    ]  # a sixth of 48 pixels, odd
    got = images.outside_lung(images.images_from_hu(hu))[:, 0].numpy()
    np.testing.assert_array_equal(got, expected)
    assert not got[:, 20:24, 2:9].any()
    assert 0.1 < got.mean() < 0.9


def test_nothing_is_composed_where_it_is_barred() -> None:
    mask, barred = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 14:18, 14:18] = 1
    barred[..., 17:] = 1
    free = images.composition_mask(mask, dilation=7, smoothing=5)
    through = images.GrownMask(mask, barred).composition(7, 5)
    assert free[..., 17:].any()
    assert not through[..., 17:].any()
    assert torch.equal(through[..., :17], free[..., :17])


def filled_hu(background: float, share: float, hollow: float = 0.0) -> float:
    under = images.to_unit(torch.full((1, 1, 8, 8), background))
    out = images.filled(under, torch.full_like(under, share), torch.full_like(under, hollow))
    return images.to_hu(out)[0, 0, 4, 4].item()


@pytest.mark.parametrize(
    ("background", "share", "hollow", "expected"),
    [
        (-850.0, 0.0, 0.0, -850.0),
        (-850.0, 1.0, 0.0, 150.0),
        (-850.0, 0.25, 0.0, -600.0),  # ground glass: a quarter of the way to 150 HU
        (-100.0, 1.0, 0.0, 25.0),  # half of its air is left to be filled
        (40.0, 1.0, 0.0, 40.0),  # the chest wall holds none
        (400.0, 1.0, 0.0, 400.0),
        (-850.0, -1.0, 0.0, -850.0),  # nothing gets darker around a lesion
        (-850.0, -1.0, 1.0, -1000.0),
        (0.0, -0.5, 1.0, -500.0),  # a vessel in a cavity, half of it emptied
    ],
)
def test_air_is_filled_with_tissue(background: float, share: float, hollow: float, expected: float) -> None:
    assert filled_hu(background, share, hollow) == pytest.approx(expected, abs=0.1)


def test_the_grain_of_the_background_goes_on_in_what_is_filled_and_its_vessels_do_not() -> None:
    rng = np.random.default_rng(0)
    hu = -850 + 20 * rng.standard_normal((1, 48, 48))
    hu[:, 20:23] = -50.0  # a vessel
    under = images.images_from_hu(hu)
    solid = images.to_hu(images.filled(under, torch.ones_like(under), torch.zeros_like(under)))[0, 0].numpy()
    away = np.r_[4:16, 28:44]
    rest = hu[0] - ndimage.gaussian_filter(hu[0], 1.0, truncate=3.0)
    assert np.corrcoef(solid[away].ravel(), rest[away].ravel())[0, 1] > 0.95
    assert solid[away].mean() == pytest.approx(150, abs=3)
    assert solid[away].std() == pytest.approx(rest[away].std(), rel=0.2)  # 20 HU of noise, limited at 50
    assert abs(solid[21].mean() - solid[away].mean()) < 200  # 800 before


def test_nothing_finer_than_a_scanner_resolves_is_filled() -> None:
    under = images.images_from_hu(np.full((1, 64, 64), -850.0))
    lattice = (torch.arange(64)[:, None] + torch.arange(64)[None]).remainder(2).float()[None, None]
    edge = (torch.arange(64) < 32).float().expand(1, 1, 64, 64)
    fine, step = (images.to_hu(images.filled(under, one, torch.zeros_like(under)))[0, 0] for one in (lattice, edge))
    assert fine[8:-8, 8:-8].std() < 60  # 500 HU if it were drawn as it is
    assert (step[32] > 50).sum() == 31  # 2 mm from the one level to the other
    assert (step[32] < -750).sum() == 31


def test_filling_learns_wherever_there_is_air() -> None:
    under = images.images_from_hu(np.array([[[-850.0, 40.0]] * 2]))
    share = torch.zeros(1, 1, 2, 2).add_(0.1).requires_grad_()
    images.filled(under, share, torch.zeros_like(under)).sum().backward()
    assert share.grad is not None
    assert (share.grad[..., 0] > 0).all()
    assert not share.grad[..., 1].any()


def test_images_of_a_pair_are_moved_alike_and_each_by_itself() -> None:
    torch.manual_seed(0)
    image = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(40, 1, 1, 1).requires_grad_()
    moved, mask = images.shifted((image, image.detach() + 100), 2)
    assert moved.shape == image.shape
    torch.testing.assert_close(mask, moved + 100)
    middle = moved[:, 0, 3, 3].long()  # which pixel came to the middle
    down, right = middle // 8 - 3, middle % 8 - 3
    assert set(down.tolist()) == set(right.tolist()) == {-2, -1, 0, 1, 2}
    assert len({*zip(down.tolist(), right.tolist(), strict=True)}) > 12
    k = int((down == 2).nonzero()[0])
    torch.testing.assert_close(moved[k, 0, 5], moved[k, 0, 7])  # what comes in repeats the edge
    moved.sum().backward()
    assert image.grad is not None
    assert image.grad.sum() == moved.numel()
    torch.testing.assert_close(images.shifted([image], 0)[0], image)
