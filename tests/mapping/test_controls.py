"""Shuffled voxels: the histogram stays, texture goes; associations that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from radiogenesis.mapping.conventional import controls
from radiogenesis.pages.mapping.prediction import shuffled_addition
from radiogenesis.stats.association import Held

PATIENTS, SIDE = 30, 32
DISC = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2)) < 11


def lesions(coarse: np.ndarray, spread: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Discs whose noise is as coarse (pixels) and spreads as far (HU) as each patient's."""
    rng = np.random.default_rng(seed)
    images = []
    for width, hu in zip(coarse, spread, strict=True):
        noise = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), width)
        noise = (noise - noise[DISC].mean()) / noise[DISC].std()
        images.append(np.where(DISC, 100 + hu * noise, -800))
    return np.rint(images).astype(np.int16), np.broadcast_to(DISC, (len(coarse), SIDE, SIDE)).copy()


@pytest.fixture(scope="module")
def made() -> controls.ShuffledVoxels:
    rng = np.random.default_rng(1)
    texture, spread = rng.standard_normal((2, PATIENTS))
    image, mask = lesions(np.exp(0.4 * texture), 80 * np.exp(0.3 * spread))
    metagenes = np.column_stack([texture, spread, rng.standard_normal(PATIENTS)])
    mixed = controls.shuffle_voxels(image, mask, 0)
    whole, other = (controls.lesion_radiomics(one, mask, 1.0) for one in (image, mixed))
    return controls.compare(metagenes, ["texture", "spread", "nothing"], whole, other, alpha=0.05)


def test_the_shuffle_keeps_the_histogram_and_the_surroundings_and_moves_the_voxels() -> None:
    image, mask = lesions(np.full(2, 1.5), np.full(2, 80.0))
    mixed = controls.shuffle_voxels(image, mask, 3)
    for before, after, inside in zip(image, mixed, mask, strict=True):
        np.testing.assert_array_equal(before[~inside], after[~inside])
        np.testing.assert_array_equal(np.sort(before[inside]), np.sort(after[inside]))
        assert (before[inside] != after[inside]).mean() > 0.8
    np.testing.assert_array_equal(mixed, controls.shuffle_voxels(image, mask, 3))
    assert not np.array_equal(mixed, controls.shuffle_voxels(image, mask, 4))


def test_first_order_and_shape_do_not_change_and_texture_does() -> None:
    image, mask = lesions(np.full(3, 2.0), np.full(3, 80.0))
    whole, mixed = (
        dict(zip(controls.DISTINCT, controls.lesion_radiomics(one, mask, 1.0).T, strict=True))
        for one in (image, controls.shuffle_voxels(image, mask, 0))
    )
    for name in ("firstorder_mean", "firstorder_entropy", "firstorder_energy", "shape_pixel_area"):
        np.testing.assert_allclose(mixed[name], whole[name], rtol=1e-6)
    assert (mixed["glcm_contrast"] > 3 * whole["glcm_contrast"]).all()  # neighbors of smooth noise are alike


def test_the_association_with_coarseness_goes_and_that_with_the_spread_stays(made: controls.ShuffledVoxels) -> None:
    links = made.links.set_index(["metagene", "feature"])
    coarse = links.loc[("texture", "glcm_correlation")]
    assert coarse["found"]
    assert not coarse["survives"]
    assert coarse["p_given_shuffled"] < 1e-4
    disguised = links.loc[("spread", "glcm_joint_variance")]  # a variance of gray levels, by its formula
    assert disguised["found"]
    assert disguised["survives"]
    assert disguised["p_given_shuffled"] > 100 * coarse["p_given_shuffled"]
    assert links.loc["nothing", "found"].mean() < 0.1
    families = made.families.set_index("family")
    assert families.loc["firstorder", "survive"] == families.loc["firstorder", "found"] > 0
    found, survive = controls.texture_share(made)
    assert 0 < survive < found
    assert f"{survive} of {found} associations with texture remain" in controls.conclusion(made)


def test_partial_p_is_that_of_the_textbook_formula() -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal(50)
    x, y = z + rng.standard_normal(50), z + rng.standard_normal(50)
    given = np.column_stack([z, y])
    found = controls.partial_p(x[:, None], np.column_stack([y, y]), given)
    xy, xz, yz = (stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    r = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    expected = 2 * stats.t.sf(abs(r) * np.sqrt(47 / (1 - r**2)), 47)
    assert found[0, 0] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(found[0, 1])  # given itself nothing is left


@pytest.mark.pictures
def test_nothing_found_is_said(made: controls.ShuffledVoxels, tmp_path: Path) -> None:
    for folder in ("tables", "pictures"):
        (tmp_path / folder).mkdir()
    added = shuffled_addition(made, tmp_path)
    for block in added.sections[0].blocks:
        folder = "pictures" if block.kind == "picture" else "tables"
        assert (tmp_path / folder / block.file).is_file()
    rng = np.random.default_rng(3)
    image, mask = lesions(np.full(20, 1.0), np.full(20, 80.0))
    values = controls.lesion_radiomics(image, mask, 1.0)
    nothing = controls.compare(rng.standard_normal((20, 1)), ["m"], values, values, alpha=1e-9)
    assert "shuffling voxels, the control of texture, does not apply" in controls.conclusion(nothing)


def test_what_the_map_holds_fixed_is_held_fixed_here_too() -> None:
    rng = np.random.default_rng(4)
    batch = np.repeat([0, 1], 20)
    image, mask = lesions(np.full(40, 1.0), 60.0 + 60 * batch + 5 * rng.standard_normal(40))
    values = controls.lesion_radiomics(image, mask, 1.0)
    gene = (3 * batch + rng.standard_normal(40))[:, None]
    free = controls.compare(gene, ["m"], values, values, alpha=0.05)
    held: Held = {"blocks": batch, "covariates": None, "model": "rank"}
    inside = controls.compare(gene, ["m"], values, values, alpha=0.05, held=held)
    assert free.links["found"].any()
    assert not inside.links["found"].any()
    assert (inside.links["p_given_size"] < 0.05).mean() < 0.2
