"""The loss terms of the papers, one small function each, with the papers' symbols.

Least squares (Mao et al. 2017): what the discriminator should call real is pushed to 1, all else to 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _Limited(torch.autograd.Function):
    """The identity, whose gradient is limited drawing by drawing; see `limited`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        each = gradient.flatten(1).norm(dim=1).view(-1, *[1] * (gradient.ndim - 1))
        return gradient * (ctx.limit / len(gradient) / each.clamp_min(1e-12)).clamp(max=1.0), None


def limited(x: Tensor, limit: float) -> Tensor:
    """x itself; what comes back through it as the gradient of a mean over the batch is limited for each drawing.

    Args:
        x: (B, ...).
        limit: greatest norm of the gradient of one drawing's own loss; 0 for no limit.
    """
    return _Limited.apply(x, limit) if limit else x


def to_one(d: Tensor) -> Tensor:
    """E (D - 1)^2."""
    return (d - 1).square().mean()


def to_zero(d: Tensor) -> Tensor:
    """E D^2."""
    return d.square().mean()


def loss_d(real: Tensor, *negatives: Tensor) -> Tensor:
    """E (D(real) - 1)^2 + sum over the negatives of E D(negative)^2."""
    return to_one(real) + torch.stack([to_zero(negative) for negative in negatives]).sum()


def loss_d_i(real: Tensor, drawn: Tensor, *, times: int = 1) -> Tensor:
    """L_DI = E (D_I(x) - 1)^2 + E D_I(G_x)^2   (Xu et al. 2020, section 2.3); the real term counts `times` times."""
    return times * to_one(real) + to_zero(drawn)


def loss_d_is(real: Tensor, wrong_m: Tensor, drawn: Tensor, *, times: int = 1) -> Tensor:
    """L_DIS = E (D_IS(x, m) - 1)^2 + E D_IS(x, m')^2 + E D_IS(G_x, G_m)^2   (Xu et al. 2020, section 2.3).

    The real term counts `times` times.
    """
    return times * to_one(real) + to_zero(wrong_m) + to_zero(drawn)


def loss_d_isg(real: Tensor, wrong_m: Tensor, wrong_g: Tensor, drawn: Tensor) -> Tensor:
    """L_DISG = E (D_ISG(x, m, g) - 1)^2 + E D_ISG(x, m', g)^2 + E D_ISG(x, m, g')^2 + E D_ISG(G_x, G_m, g)^2.

    Xu et al. 2020, section 2.3. m' and g' belong to another patient.
    """
    return to_one(real) + to_zero(wrong_m) + to_zero(wrong_g) + to_zero(drawn)


def loss_background(image: Tensor, background: Tensor, region: Tensor) -> Tensor:
    """E || G_x * B - x_b * B ||_1, the mean absolute difference over all pixels (Xu et al. 2020, section 2.3)."""
    return ((image - background) * region).abs().mean()


def loss_weight_map(weight: Tensor, lesion: Tensor) -> Tensor:
    """L_w = (E_inside |w - M| + E_outside |w - M|) / 2: lesion and surroundings count alike, however small the lesion.

    Args:
        weight: w (B, 1, P, P), the weight map averaged over channels.
        lesion: M (B, 1, P, P) in [0, 1], the softened mask; it also weighs inside (M) against outside (1 - M).
    """
    off = (weight - lesion).abs()
    inside = (off * lesion).sum() / lesion.sum().clamp_min(1e-6)
    outside = (off * (1 - lesion)).sum() / (1 - lesion).sum().clamp_min(1e-6)
    return (inside + outside) / 2


def loss_match(log_likelihood: Tensor, patient: Tensor) -> Tensor:
    """Cross-entropy of finding each lesion's own patient among all patients by their genes.

    L_match = -E log( exp l(x, g_own) / sum_j exp l(x, g_j) )

    Args:
        log_likelihood: l (B, N), how likely each lesion is of each patient's genes, up to a constant.
        patient: (B,) long, which of the N is the lesion's own.
    """
    return F.cross_entropy(log_likelihood, patient)


def loss_energy(drawn: Tensor, real: Tensor) -> Tensor:
    """The energy score of what is drawn for a patient against the patient's own lesions (Gneiting & Raftery 2007).

    L_energy = E |s(G) - s(x)| - 1/2 E |s(G) - s(G')|, each |.| divided by the square root of the length of s

    A proper scoring rule: least where the drawings given the genes are distributed as the lesions given the genes.
    The second part rewards drawings of one patient for differing from each other as the patient's lesions do.

    Args:
        drawn: (2, N, S) statistics of two drawings for each of N patients.
        real: (2, N, S) statistics of two slices of the same patients.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).square().mean(1) + 1e-8).sqrt().mean()

    to_real = (distance(drawn[0], real[0]) + distance(drawn[0], real[1])
               + distance(drawn[1], real[0]) + distance(drawn[1], real[1])) / 4  # fmt: skip
    return to_real - distance(drawn[0], drawn[1]) / 2


def loss_covariance(drawn: Tensor, expected: Tensor, code: Tensor) -> Tensor:
    """How far drawings vary with the gene code otherwise than is expected of them.

    L_covariance = mean over the axes j of | cov(c_j, z(G)) - cov(c_j, E z) |^2

    A drawing that is recognized by some axes of its code gains nothing in `loss_match` by following the others, or by
    staying still along those that its code says nothing of; here every axis counts alike. How drawings of one code
    differ is free.

    Args:
        drawn: z (B, K), where drawings lie on the axes.
        expected: E z (B, K), where the code says that they lie.
        code: c (B, K).

    Example:
        >>> import torch
        >>> c = torch.tensor([[-1.0], [1.0]])
        >>> loss_covariance(0.5 * c, c, c).item()
        0.25
    """
    apart = (code - code.mean(0)).T @ (drawn - expected) / len(code)
    return apart.square().sum(1).mean()


def loss_contrastive(lesions: Tensor, genes: Tensor, patient: Tensor, temperature: Tensor | float) -> Tensor:
    """Symmetric cross-entropy over the batch, pairs of the same patient masked (METHODS.md section 1b).

    Lesion i should find genes i among the batch's genes and genes i its lesion among the batch's lesions; other
    slices of the same patient are neither right nor wrong and are left out of the sums.

    Args:
        lesions, genes: (B, D) unit vectors; row i of both belongs to `patient[i]`.
    """
    logits = lesions @ genes.T / temperature  # (B, B)
    same = patient[:, None] == patient[None, :]
    same = same & ~torch.eye(len(patient), dtype=torch.bool, device=same.device)
    logits = logits.masked_fill(same, float("-inf"))
    own = torch.arange(len(patient), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
