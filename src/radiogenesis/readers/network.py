"""A small network that tries to tell drawn from real: a lower bound of how well drawings can be told.

It learns from training patients alone, from drawings of their genes and their own lesions, pasted and as scanned, and
is asked about the images of the study, which are of patients it has not seen. A reader who learns from more images, or
knows more of lungs, may do better: an AUC near 0.5 says little, one above it says that something can be told.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.images import images_from_hu, turned
from radiogenesis.readers.material import Images, originals, twins
from radiogenesis.training.run import Run

WIDTHS = (16, 32, 64)
TRAINED_ON = 160
"""Images of each kind, drawn and real."""
BATCH = 32
RESIDUAL = 10.0
Tell = Callable[[int, int], None]


class Judge(nn.Module):
    """Images (B, 1, P, P) in [-1, 1] -> log odds (B,) of being drawn.

    It sees the image, and what a 3 x 3 mean leaves of it, made larger: generators give themselves away by their noise.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        incoming = 2
        for width in WIDTHS:
            layers += [nn.Conv2d(incoming, width, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
            incoming = width
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(2 * incoming, 1)

    def forward(self, x: Tensor) -> Tensor:
        rest = RESIDUAL * (x - F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))
        h = self.features(torch.cat([x, rest], dim=1)).flatten(2)
        return self.last(torch.cat([h.mean(2), h.amax(2)], dim=1))[:, 0]


def training_images(run: Run, cohort: Cohort, kinds: tuple[str, ...], rng: np.random.Generator) -> tuple[Images, ...]:
    """Drawings of the training patients, and of each kind of real images as many: what the network learns from."""
    patients = run.split.train
    under = np.flatnonzero(np.isin(cohort.background_patient, list(patients)))
    if not len(under):
        under = np.arange(len(cohort.background_patient))
    drawn, pasted = twins(run, cohort, patients, under, TRAINED_ON, rng)
    real = {"pasted": pasted, "original": originals(cohort, patients, drawn, TRAINED_ON)}
    return drawn, *(real[kind] for kind in kinds)


def train_judge(drawn: Images, real: tuple[Images, ...], steps: int, seed: int, tell: Tell) -> Judge:
    """Fit a Judge, every kind and both answers as often; images are turned and mirrored at random.

    Args:
        drawn: drawn images.
        real: one or several kinds of real ones.
        steps: batches of 32.
        seed: of weights and batches.
        tell: called with how many steps are done, and of how many.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-2)
    pools = [images_from_hu(part.image) for part in (drawn, *real)]
    shares = [BATCH // 2, *(BATCH // 2 // len(real) for _ in real)]
    for step in range(steps):
        picked = [
            pool[torch.randint(len(pool), (n,), generator=generator)] for pool, n in zip(pools, shares, strict=True)
        ]
        x = torch.cat(picked)
        x = turned(x, int(torch.randint(8, (), generator=generator)))
        y = torch.cat([torch.full((len(part),), float(k == 0)) for k, part in enumerate(picked)])
        loss = F.binary_cross_entropy_with_logits(judge(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tell(step + 1, steps)
    return judge.eval()


def judged(judge: Judge, images: NDArray[np.int16]) -> NDArray[np.float64]:
    """Log odds (N,) of being drawn of images (N, P, P) in HU."""
    with torch.inference_mode():
        found = [judge(images_from_hu(images[k : k + BATCH])) for k in range(0, len(images), BATCH)]
    return torch.cat(found).double().numpy() if found else np.zeros(0)
