"""The papers' equations, computed by hand on tiny tensors."""

import math

import pytest
import torch

from radiogenesis.methods import losses


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_l_di() -> None:
    # ((0.5 - 1)^2 + (1 - 1)^2) / 2 + (0.2^2 + 0^2) / 2 = 0.125 + 0.02
    assert losses.loss_d_i(t(0.5, 1.0), t(0.2, 0.0)).item() == pytest.approx(0.145)


def test_l_dis() -> None:
    # (0 - 1)^2 + 0.5^2 + 1^2
    assert losses.loss_d_is(t(0.0), t(0.5), t(1.0)).item() == pytest.approx(2.25)


def test_l_disg() -> None:
    # (0.9 - 1)^2 + 0.1^2 + 0.2^2 + 0.3^2
    assert losses.loss_d_isg(t(0.9), t(0.1), t(0.2), t(0.3)).item() == pytest.approx(0.01 + 0.01 + 0.04 + 0.09)


def test_generator_terms() -> None:
    assert losses.to_one(t(0.0, 2.0, 1.0)).item() == pytest.approx(2 / 3)
    assert losses.to_zero(t(1.0, 2.0)).item() == pytest.approx(2.5)


def test_background_term_counts_the_region_only() -> None:
    image = torch.tensor([[[[1.0, 0.0], [0.5, -1.0]]]])
    background = torch.zeros(1, 1, 2, 2)
    region = torch.tensor([[[[1.0, 1.0], [0.0, 0.5]]]])
    # (1 + 0 + 0 + 0.5) / 4 pixels
    assert losses.loss_background(image, background, region).item() == pytest.approx(0.375)


def test_weight_map_counts_inside_and_outside_alike() -> None:
    weight = torch.tensor([[[[0.5, 0.2], [0.0, 0.0]]]])
    lesion = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    # inside |0.5 - 1| = 0.5 over one pixel; outside 0.2 over three pixels
    assert losses.loss_weight_map(weight, lesion).item() == pytest.approx((0.5 + 0.2 / 3) / 2)


def test_match_is_the_cross_entropy_over_all_patients() -> None:
    log_likelihood = torch.tensor([[2.0, 0.0, -2.0]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 1 + math.exp(-2)))
    assert losses.loss_match(log_likelihood, torch.tensor([0])).item() == pytest.approx(expected)


def test_energy_by_hand() -> None:
    drawn = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]])
    real = torch.tensor([[[3.0, 3.0]], [[0.0, 2.0]]])
    # root mean squares: |1,1 - 3,3| = 2, |1,1 - 0,2| = 1, |0,0 - 3,3| = 3, |0,0 - 0,2| = sqrt 2; |1,1 - 0,0| = 1
    assert losses.loss_energy(drawn, real).item() == pytest.approx((2 + 1 + 3 + math.sqrt(2)) / 4 - 0.5, rel=1e-4)


def test_energy_is_least_for_the_right_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(2, 4000, 1, generator=generator)

    def score(mean: float, spread: float) -> float:
        return losses.loss_energy(torch.randn(2, 4000, 1, generator=generator) * spread + mean, real).item()

    right = score(0.0, 1.0)
    assert right < score(0.5, 1.0)
    assert right < score(0.0, 0.3)  # collapsed
    assert right < score(0.0, 2.0)


def test_covariance_by_hand() -> None:
    code = torch.tensor([[2.0, 0.0], [4.0, 0.0]])  # one axis varies, by 1 about its mean
    expected = torch.tensor([[-1.0, 0.5], [1.0, 0.5]])
    drawn = torch.tensor([[-0.5, 0.0], [0.5, 1.0]])  # half of what is expected, and along the other axis, too
    assert losses.loss_covariance(drawn, expected, code).item() == pytest.approx((0.5**2 + 0.5**2) / 2)


def test_covariance_leaves_free_what_the_code_does_not_say() -> None:
    generator = torch.Generator().manual_seed(0)
    code = torch.randn(4000, 3, generator=generator)
    code -= code.mean(0)
    unexplained = torch.randn(4000, 3, generator=generator)
    unexplained -= code @ torch.linalg.lstsq(code, unexplained).solution  # goes with no axis of the code
    assert losses.loss_covariance(0.8 * code + unexplained + 7.0, 0.8 * code, code).item() == pytest.approx(0, abs=1e-5)


def test_contrastive_without_repeated_patients() -> None:
    a, b = math.cos(0.3), math.sin(0.3)
    lesions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    genes = torch.tensor([[a, b], [b, a]])
    # Both directions and both rows see own = a and other = b.
    expected = -math.log(math.exp(a) / (math.exp(a) + math.exp(b)))
    assert losses.loss_contrastive(lesions, genes, torch.tensor([0, 1]), 1.0).item() == pytest.approx(expected)


def test_contrastive_leaves_other_slices_of_the_same_patient_out() -> None:
    generator = torch.Generator().manual_seed(0)
    lesions = torch.nn.functional.normalize(torch.randn(3, 4, generator=generator), dim=1)
    genes = torch.nn.functional.normalize(torch.randn(3, 4, generator=generator), dim=1)
    patient = torch.tensor([0, 0, 1])
    logits = (lesions @ genes.T).tolist()

    def cross_entropy(own: float, others: list[float]) -> float:
        return -math.log(math.exp(own) / (math.exp(own) + sum(map(math.exp, others))))

    rows = [cross_entropy(logits[0][0], [logits[0][2]]), cross_entropy(logits[1][1], [logits[1][2]]),
            cross_entropy(logits[2][2], [logits[2][0], logits[2][1]])]  # fmt: skip
    columns = [cross_entropy(logits[0][0], [logits[2][0]]), cross_entropy(logits[1][1], [logits[2][1]]),
               cross_entropy(logits[2][2], [logits[0][2], logits[1][2]])]  # fmt: skip
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert losses.loss_contrastive(lesions, genes, patient, 1.0).item() == pytest.approx(expected, rel=1e-5)


def test_the_limited_gradient_is_that_of_each_drawing_by_itself() -> None:
    """Losses 3 x_1 + 4 y_1 and 0.1 x_2, averaged: norms 5 and 0.1 for each drawing; only the first is above 2."""
    x = torch.tensor([[1.0, 1.0], [1.0, 1.0]], requires_grad=True)
    weight = torch.tensor([[3.0, 4.0], [0.1, 0.0]])
    through = losses.limited(x, 2.0)
    torch.testing.assert_close(through, x)
    (through * weight).sum(1).mean().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[3.0 * 2 / 5, 4.0 * 2 / 5], [0.1, 0.0]]) / 2)
    assert losses.limited(x, 0.0) is x
