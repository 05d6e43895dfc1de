"""What a trained alignment asks of drawings: the terms of a generator's loss that need one (beyond the papers)."""

from __future__ import annotations

import torch
from torch import Tensor

from radiogenesis.methods import losses
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.protocols import Batch, Critic


def critic_terms(
    critic: Critic, image: Tensor, mask: Tensor, batch: Batch, *,
    matching: float, energy: float, covariance: float, pull: float,
) -> dict[str, Tensor]:  # fmt: skip
    """What the critic asks, by name.

    `match`: each drawing's genes are found among all patients' genes; `energy`: it is as the patient's own lesions;
    `covariance`: drawings follow every axis of a canonical alignment's code by itself, as closely as lesions do.

    Args:
        critic: the alignment, held still.
        image, mask: (B, 1, P, P) the drawings for the patients of `batch`; with `energy` its second half shows the
            patients of the first again.
        matching, energy, covariance: weights; a term of weight 0 is left out.
        pull: greatest norm of the gradient that they together send into one drawn image, and into one drawn mask; 0 for
            no limit.

    Returns:
        the weighted terms by name, scalars.
    """
    terms: dict[str, Tensor] = {}
    if not (matching or energy or covariance):
        return terms
    ours = critic.standardized(losses.limited(image, pull), losses.limited(mask, pull))
    if matching:
        terms["match"] = losses.loss_match(critic.log_likelihood(ours, batch.all_genes), batch.patient) * matching
    if energy:
        with torch.no_grad():
            real = critic.standardized(batch.x, batch.m)
        # By kind, each counting alike: else the many of texture drown the few of shape.
        kinds = zip(critic.kinds(ours), critic.kinds(real), strict=True)
        scores = [losses.loss_energy(o.reshape(2, len(o) // 2, -1), r.reshape(2, len(r) // 2, -1)) for o, r in kinds]
        terms["energy"] = torch.stack(scores).mean() * energy
    if covariance and isinstance(critic, CanonicalAlignment):
        code = critic.code(batch.g)
        apart = losses.loss_covariance(critic.coordinates(ours), critic.follows * code, code)
        terms["covariance"] = apart * covariance
    return terms
