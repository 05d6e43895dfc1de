"""Trainings of a second, and how to stop one."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.cohort.expression import ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.alignment import AlignmentSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignmentSettings
from radiogenesis.methods.fusion_gan import FusionGANSettings
from radiogenesis.training import fit
from radiogenesis.training.run import Run
from radiogenesis.training.settings import TrainSettings

ALIGNMENT = AlignmentSettings(steps=6, batch=4, widths=(4, 4, 4, 4), hidden=8, embedding=8)
GAN = FusionGANSettings(steps=6, batch=4, width=4, discriminator_width=4, code=8, hidden=8)
SHARED = TrainSettings(checkpoint_every=2, accelerator="cpu", precision="float32")


def train(cohort: Cohort, path: Path, method: str = "alignment", **changes: object) -> Run:
    given: dict[str, object] = {
        "method_settings": ALIGNMENT if method == "alignment" else GAN,
        "settings": SHARED,
        "expression_settings": ExpressionSettings(),
    }
    return fit.train(method, cohort, path, **(given | changes))  # type: ignore[arg-type]


def canonical(cohort: Cohort, path: Path, **changes: object) -> Run:
    settings = CanonicalAlignmentSettings(directions=3, permutations=20)
    return train(cohort, path, "canonical-alignment", method_settings=settings, **changes)


def stop_at(call: int, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let a training end with `error` when its training step is called for the `call`-th time."""
    step, calls = fit.MethodModule.training_step, 0

    def stopped(self: fit.MethodModule, batch: object, index: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        step(self, batch, index)  # type: ignore[arg-type]

    patch.setattr(fit.MethodModule, "training_step", stopped)
