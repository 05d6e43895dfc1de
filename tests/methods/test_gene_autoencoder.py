"""The gene autoencoder: every term of the loss by hand, the genes' scale, shapes, 60,607 genes, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from radiogenesis.errors import SettingError
from radiogenesis.methods.gene_autoencoder import (
    PRESETS,
    GeneAutoencoder,
    GeneAutoencoderSettings,
    Regions,
    loss_12,
    loss_feat,
    loss_h,
)
from radiogenesis.methods.protocols import Batch, GenePredictor
from radiogenesis.networks.gene_autoencoder import Components

TINY: dict[str, Any] = {"ltr_pixels": 16, "widths": (3, 4, 5), "code": 6, "hidden": 7, "batch": 4}
GENES, PIXELS = 10, 24


def made(genes: int = GENES, **changes: Any) -> GeneAutoencoder:
    torch.manual_seed(0)
    return GeneAutoencoder(GeneAutoencoderSettings(**TINY | changes), genes=genes)


def batch(genes: Tensor, *, level: Tensor | None = None, pixels: int = PIXELS) -> Batch:
    """Discs in air; `level` (B,) in [-1, 1] is how bright they are."""
    count = len(genes)
    y, x = torch.meshgrid(torch.arange(pixels), torch.arange(pixels), indexing="ij")
    m = (((y - 12) ** 2 + (x - 12) ** 2) < 36).float().expand(count, 1, -1, -1)
    level = torch.zeros(count) if level is None else level
    image = torch.where(m > 0.5, level[:, None, None, None], torch.tensor(-0.9))
    nobody = torch.zeros(count, dtype=torch.long)
    return Batch(image, m, genes, m, genes, image, nobody, genes)


# The loss


class Doubled(nn.Module):
    """A feature space in which everything is twice as large, with two channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([2 * x, torch.zeros_like(x)], dim=1)


def test_equation_6_by_hand() -> None:
    drawn, real = torch.tensor([[[[1.0, 0.0]]], [[[0.5, 0.5]]]]), torch.tensor([[[[0.0, 0.0]]], [[[0.5, 1.0]]]])
    # First image: ||(2, 0, 0, 0)||^2 = 4 over C H W = 2 x 1 x 2; second: ||(0, -1, 0, 0)||^2 = 1 over 4.
    assert loss_feat(drawn, real, Doubled()).item() == pytest.approx((4 / 4 + 1 / 4) / 2)


def test_equations_7_and_8_by_hand() -> None:
    # |0.5| and |-0.2|: l_1 = 0.35, l_2 = (0.25 + 0.04) / 2 = 0.145
    assert loss_12(torch.tensor([[0.5, 0.3]]), torch.tensor([[0.0, 0.5]])).item() == pytest.approx(0.2475)


def test_equation_9_by_hand() -> None:
    assert loss_h(torch.tensor(4.0), torch.tensor(2.0), torch.tensor(1.0)).item() == pytest.approx(1 + 0.5 + 0.5)


def test_the_whole_loss_is_made_of_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made(true_genes=0.25, perceptual="random")
    monkeypatch.setattr(method, "_phi", [Doubled()])
    regions = method.prepare(batch(torch.rand(4, GENES)))
    record = method.eval().loss(regions)
    with torch.no_grad():
        predicted = torch.sigmoid(method.encoder(regions.ttr, regions.ltr))
        drawn, from_truth = method.draw(predicted), method.draw(regions.genes)
    feat = (2 * drawn - 2 * regions.true_ltr).square().mean() / 2  # half of the channels are zero
    own, genes, truth = (
        0.5 * (a - b).abs().mean() + 0.5 * (a - b).square().mean()
        for a, b in ((drawn, regions.true_ltr), (predicted, regions.genes), (from_truth, regions.true_ltr))
    )
    expected = 0.25 * feat + 0.25 * own + 0.5 * genes + 0.25 * truth
    assert record.total.item() == pytest.approx(expected.item(), rel=1e-5)
    found = {name: value.item() for name, value in record.terms.items()}
    assert found == pytest.approx(
        {"l_feat": feat.item(), "l_12_ltr": own.item(), "l_12_genes": genes.item(), "l_12_true_genes": truth.item()}
    )


def test_without_features_the_term_is_nothing() -> None:
    method = made(true_genes=0.0)
    record = method.loss(method.prepare(batch(torch.rand(4, GENES))))
    assert record.terms["l_feat"] == 0
    assert record.total.item() == pytest.approx(
        0.25 * record.terms["l_12_ltr"].item() + 0.5 * record.terms["l_12_genes"].item()
    )


@pytest.mark.parametrize("head", ["grid", "dense", "components"])
def test_gradients_reach_encoder_and_decoder(head: Any) -> None:
    method = made(head=head, true_genes=0.0)
    method.begin(np.random.default_rng(0).normal(size=(20, GENES)))
    method.loss(method.prepare(batch(torch.rand(4, GENES)))).total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


# Genes


def test_genes_are_scaled_by_the_training_patients_only() -> None:
    method = made(genes=3)
    method.begin(np.array([[0.0, -1.0, 5.0], [2.0, 1.0, 5.0], [1.0, 1.0, 5.0]]))
    found = method.unit_genes(np.array([[1.0, 3.0, 5.0], [-4.0, 0.0, 5.0]]))
    np.testing.assert_allclose(found, [[0.5, 1.0, 0.0], [0.0, 0.5, 0.0]])  # beyond the training range: its end
    np.testing.assert_allclose(method.gene_mean, [0.5, 2 / 3, 0.0], atol=1e-6)


def test_genes_can_be_scaled_together_as_the_papers_vector_is() -> None:
    method = made(genes=3, gene_scale="together")
    method.begin(np.array([[0.0, -1.0, 5.0], [2.0, 1.0, 5.0], [1.0, 1.0, 5.0]]))
    np.testing.assert_allclose(method.unit_genes(np.array([[2.0, 9.0, -4.0]])), [[0.5, 1.0, 0.0]])


@pytest.mark.parametrize("centered", [True, False])
def test_the_decoder_is_given_genes_with_or_without_their_mean(centered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    method = made(centered_decoder=centered)
    method.gene_mean.fill_(0.25)
    monkeypatch.setattr(method, "decoder", nn.Identity())
    assert (method.draw(torch.full((2, GENES), 0.75)) == (0.5 if centered else 0.75)).all()


@pytest.mark.parametrize("head", ["grid", "components"])
def test_figure_7a_is_drawn_from_the_genes_that_are_predicted(head: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method = made(head=head, turns=4, shrink=0.5)
    rng = np.random.default_rng(0)
    method.begin(rng.normal(size=(20, GENES)))
    nn.init.normal_(method.encoder.head[-2 if head == "components" else 0].weight)  # type: ignore[index, arg-type]
    image, mask = rng.normal(-500, 300, (2, PIXELS, PIXELS)), np.zeros((2, PIXELS, PIXELS), bool)
    mask[:, 8:14, 9:12] = True
    given: list[Tensor] = []
    monkeypatch.setattr(method, "draw", lambda genes: given.append(genes) or torch.zeros(2, 1, 16, 16))  # type: ignore[func-returns-value]
    assert method.regions_from_images(image, mask).shape == (2, 16, 16)
    expected = method.predict_genes(image, mask)
    assert np.abs(expected - method.gene_mean.numpy()).max() > 1e-3  # not the mean alone
    np.testing.assert_array_equal(given[0][:, :GENES], expected)
    assert (given[0][:, GENES:] == 0).all()


def test_the_loose_region_shows_as_much_as_is_asked_for() -> None:
    image, mask = np.zeros((1, PIXELS, PIXELS)), np.zeros((1, PIXELS, PIXELS), bool)
    mask[0, 8:16, 8:16] = True
    image[mask] = 400.0
    whole, half = (made(ltr_share=share).loose_regions(image, mask)[0] > 200 for share in (1.0, 0.5))
    assert whole.sum() == pytest.approx((8 * 16 / PIXELS) ** 2, abs=12)
    assert half.sum() == pytest.approx((8 * 16 / (PIXELS / 2)) ** 2, abs=24)


@pytest.mark.parametrize(("head", "last"), [("grid", 0), ("dense", -1), ("components", -2)])
def test_starting_from_the_mean_predicts_the_mean(head: Any, last: int) -> None:
    method = made(head=head)
    genes = np.random.default_rng(0).normal(size=(20, GENES))
    method.begin(genes)
    nn.init.zeros_(method.encoder.head[last].weight)  # type: ignore[index, arg-type]
    found = method.predict_genes(np.zeros((2, PIXELS, PIXELS)), np.ones((2, PIXELS, PIXELS), bool))
    expected = ((genes - genes.min(0)) / np.ptp(genes, axis=0)).mean(0)
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=1e-5)


def test_the_components_are_the_principal_ones_of_the_training_patients() -> None:
    genes = np.random.default_rng(0).uniform(0.2, 0.8, size=(9, GENES))
    made_of = Components(4, GENES)
    made_of.fit(torch.from_numpy(genes).float())
    pca = PCA(4).fit(genes)
    expected = pca.components_ * np.sqrt(pca.explained_variance_ * 8 / 9)[:, None]  # scores of variance 1
    found = (made_of.axes * torch.from_numpy(genes.mean(0) * (1 - genes.mean(0)))).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), (expected**2).sum(1), rtol=1e-4)
    torch.testing.assert_close(made_of(torch.eye(4)), made_of.axes)
    made_of.fit(torch.from_numpy(genes[:3]).float())  # three patients lie in a plane
    assert (made_of.axes[:2].abs().sum(1) > 0).all()
    assert (made_of.axes[2:] == 0).all()


def test_predictions_are_averaged_over_quarter_turns() -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.normal(-500, 300, (2, PIXELS, PIXELS)), np.zeros((2, PIXELS, PIXELS), bool)
    mask[:, 8:14, 9:12] = True
    turned = np.rot90(image, 1, (1, 2)), np.rot90(mask, 1, (1, 2))
    apart = []
    for turns in (1, 4):
        method = made(turns=turns)
        method.begin(rng.normal(size=(20, GENES)))
        nn.init.normal_(method.encoder.head[-2].weight)  # type: ignore[index, arg-type]
        apart.append(np.abs(method.predict_genes(image, mask) - method.predict_genes(*turned)).max())
    assert apart[0] > 1e-3
    assert apart[1] < 1e-5


def test_predictions_shrink_towards_the_mean_of_the_training_patients() -> None:
    genes = np.random.default_rng(0).normal(size=(20, GENES))
    image, mask = np.full((2, PIXELS, PIXELS), -500.0), np.zeros((2, PIXELS, PIXELS), bool)
    mask[:, 8:14, 9:12] = True
    found = []
    for shrink in (0.0, 0.25, 1.0):
        method = made(shrink=shrink)
        method.begin(genes)
        nn.init.normal_(method.encoder.head[-2].bias)  # type: ignore[index, arg-type]
        found.append(method.predict_genes(image, mask))
    mean = ((genes - genes.min(0)) / np.ptp(genes, axis=0)).mean(0)
    np.testing.assert_allclose(found[0], np.stack([mean] * 2), atol=1e-6)
    assert np.abs(found[2] - mean).max() > 0.05
    np.testing.assert_allclose(found[1] - mean, 0.25 * (found[2] - mean), atol=1e-6)


def test_padding_is_zeros_in_the_target_and_is_not_handed_out() -> None:
    method = made(head="grid")  # a map of 2 x 2, so 3 channels for 10 genes, and 2 places too many
    assert method.padding == 2
    regions = method.prepare(batch(torch.full((4, GENES), 0.7)))
    assert regions.genes.shape == (4, 12)
    assert (regions.genes[:, 10:] == 0).all()
    assert (regions.genes[:, :10] == 0.7).all()
    assert method.predict_genes(np.zeros((2, PIXELS, PIXELS)), np.ones((2, PIXELS, PIXELS), bool)).shape == (2, GENES)
    assert made(head="dense").padding == 0


def test_60607_genes_fit() -> None:
    paper = GeneAutoencoderSettings(**PRESETS["paper"] | {"perceptual": "none"})
    method = GeneAutoencoder(paper, genes=60607)
    assert method.encoder.length == 16 * 16 * 237  # 237 channels of a map of 16 x 16: 60,672, 65 too many
    assert sum(p.numel() for p in method.parameters()) < 2_000_000
    record = method.loss(method.prepare(batch(torch.rand(2, 60607))))
    record.total.backward()
    assert record.total.isfinite()
    dense = GeneAutoencoder(GeneAutoencoderSettings(head="dense"), genes=60607)
    assert sum(p.numel() for p in dense.parameters()) < 25_000_000  # 100 MB


# Shapes and use


@pytest.mark.parametrize("head", ["grid", "dense", "components"])
def test_everything_that_is_drawn_and_read(head: Any) -> None:
    method = made(head=head)
    assert isinstance(method, GenePredictor)
    rng = np.random.default_rng(0)
    image, mask = rng.normal(-500, 100, (3, PIXELS, PIXELS)), np.zeros((3, PIXELS, PIXELS), bool)
    mask[:, 8:14, 9:12] = True
    genes = rng.normal(size=(3, GENES))
    assert method.regions_from_images(image, mask).shape == (3, 16, 16)
    assert method.loose_regions(image, mask).shape == (3, 16, 16)
    drawn = method.regions_from_genes(genes)
    assert drawn.shape == (3, 16, 16)
    assert drawn.min() >= -1000
    assert drawn.max() <= 500
    features = method.image_features(image, mask)
    assert features.shape == (3, len(method.feature_names)) == (3, 14)
    assert len(set(method.feature_names)) == 14


def test_the_defaults_have_the_papers_192_features() -> None:
    assert len(GeneAutoencoder(GeneAutoencoderSettings(), genes=5).feature_names) == 192


def test_features_are_the_means_of_the_first_two_blocks() -> None:
    method = made().eval()
    regions = method.prepare(batch(torch.rand(2, GENES)))
    found = method.encoder.features(regions.ttr, regions.ltr)
    first = method.encoder.loose[0](regions.ltr)
    second = method.encoder.tight[1](torch.nn.functional.max_pool2d(method.encoder.tight[0](regions.ttr), 2))
    torch.testing.assert_close(found[:, :3], first.mean((2, 3)))
    torch.testing.assert_close(found[:, -4:], second.mean((2, 3)))


def test_it_learns_a_gene_that_shows_and_leaves_one_that_does_not() -> None:
    method = made(genes=2, head="dense", dropout=0.0, true_genes=0.0)
    method.begin(np.array([[0.0, 0.0], [1.0, 1.0]]))
    level = torch.linspace(-0.8, 0.8, 16)
    genes = torch.stack([(level + 0.8) / 1.6, torch.tensor([0.0, 1.0] * 8)], dim=1)
    shown = batch(genes, level=level)
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        method.loss(method.prepare(shown)).total.backward()
        optimizer.step()
    new = batch(genes[:, :1].expand(-1, 2), level=torch.linspace(-0.75, 0.75, 16))
    regions = method.eval().prepare(new)
    with torch.no_grad():
        predicted = torch.sigmoid(method.encoder(regions.ttr, regions.ltr))
    assert np.corrcoef(predicted[:, 0], np.linspace(0, 1, 16))[0, 1] > 0.9
    assert (predicted[:, 1] - 0.5).abs().mean() < 0.35


# Settings


def test_missing_vgg16_is_refused_before_training(tmp_path: Any) -> None:
    method = made(perceptual="vgg16", vgg16_weights=str(tmp_path / "no.pth"))
    with pytest.raises(SettingError, match=r"no.pth: perceptual is vgg16.*say --perceptual random or none"):
        method.begin(np.random.default_rng(0).normal(size=(3, GENES)))


def test_the_perceptual_features_are_not_saved_with_the_method() -> None:
    method = made(perceptual="random")
    names = set(method.state_dict())
    assert method.phi() is not None
    assert set(method.state_dict()) == names
    assert not any("phi" in name for name in names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"ltr_pixels": 20}, "ltr_pixels must be a multiple of 8, at least 16, not 20"),
        ({"turns": 5}, "turns must be from 1 to 4, not 5"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"widths": (1, 2)}, "widths must be three numbers of at least 1"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneAutoencoderSettings(**changes)


def test_the_paper_preset_is_the_papers() -> None:
    paper = GeneAutoencoderSettings(**PRESETS["paper"])
    assert (paper.epochs, paper.ltr_pixels, paper.learning_rate, paper.perceptual) == (4000, 128, 1e-3, "vgg16")
    assert paper.true_genes == paper.dropout == paper.weight_decay == 0
    assert (paper.head, paper.turns, paper.shrink) == ("grid", 1, 1.0)
    assert (paper.gene_scale, paper.centered_decoder) == ("together", False)
    assert GeneAutoencoderSettings(**PRESETS["default"]) == GeneAutoencoderSettings()


def test_regions_hold_the_noise_for_the_encoder_only() -> None:
    method = made(scanner_noise_hu=200.0)
    clean = made(scanner_noise_hu=0.0).prepare(batch(torch.rand(4, GENES)))
    regions: Regions = method.prepare(batch(torch.rand(4, GENES)))
    torch.testing.assert_close(regions.true_ltr, clean.ltr)
    assert not torch.allclose(regions.ltr, clean.ltr)
