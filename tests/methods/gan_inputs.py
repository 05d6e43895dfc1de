"""What the tests of the GANs share: a tiny alignment, and a batch of noise."""

from __future__ import annotations

import torch
from torch import Tensor

from radiogenesis.methods.alignment import Alignment, AlignmentSettings
from radiogenesis.methods.protocols import Batch

GENES, PIXELS, PATIENTS = 10, 32, 3


def make_alignment(seed: int = 0) -> Alignment:
    torch.manual_seed(seed)
    alignment = Alignment(AlignmentSettings(widths=(3, 3, 3, 3), hidden=6, embedding=4), genes=GENES)
    with torch.no_grad():  # statistics as after some training, not the identity
        for _ in range(3):
            alignment.lesions(torch.rand(8, 1, PIXELS, PIXELS) * 2 - 1, torch.rand(8, 1, PIXELS, PIXELS).round())
    return alignment.eval()


def make_batch(seed: int = 1) -> Batch:
    """Two slices of two patients; the second half shows the patients of the first again."""
    generator = torch.Generator().manual_seed(seed)

    def images() -> Tensor:
        return torch.rand(4, 1, PIXELS, PIXELS, generator=generator) * 2 - 1

    genes = torch.randn(PATIENTS, GENES, generator=generator)
    patient = torch.tensor([0, 1, 0, 1])
    return Batch(
        x=images(), m=(images() > 0).float(), g=genes[patient], wrong_m=(images() > 0).float(),
        wrong_g=genes[torch.tensor([2, 0, 1, 2])], background=images(), patient=patient, all_genes=genes,
    )  # fmt: skip
