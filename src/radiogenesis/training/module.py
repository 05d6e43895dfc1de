"""Any `Trainable` as a Lightning module: players move in turn, a moving average follows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from radiogenesis.methods.protocols import Batch, LossRecord, Player, SliceBatch, Trainable
from radiogenesis.training.data import Epochs, TrainingData, seed_of
from radiogenesis.training.renamed import tensor_now
from radiogenesis.training.settings import TrainSettings
from radiogenesis.training.slices import SliceData
from radiogenesis.training.stored import ReadAhead


class MethodModule(L.LightningModule):
    """Trains `method` on `data`; one Lightning batch is one step.

    Args:
        method: a torch module that is a Trainable.
        data: the training data; moved to the device when training starts.
        settings: the shared training settings.
        batch: slices per step.
        steps: training steps in all.
        average: decay of the moving average of `method.averaged()`; 0 for none.
    """

    def __init__(
        self,
        method: Trainable,
        data: TrainingData | SliceData,
        settings: TrainSettings,
        *,
        batch: int,
        steps: int,
        average: float,
    ) -> None:
        super().__init__()
        assert isinstance(method, nn.Module)
        self.automatic_optimization = False
        self.method = method
        self.data: TrainingData | SliceData = data
        self.settings, self.batch_size, self.steps = settings, batch, steps
        self.register_buffer("done", torch.zeros((), dtype=torch.long))
        self.done: Tensor
        part = method.averaged()
        self.average = (
            AveragedModel(part, multi_avg_fn=warmed_up_average(average), use_buffers=True)
            if part is not None and average
            else None
        )
        self.metrics: dict[str, Tensor] = {}
        self.loading_seconds = self.step_seconds = 0.0
        self.ahead: ReadAhead[Batch | SliceBatch] | None = None

    def on_fit_start(self) -> None:
        self.data = self.data.to(self.device)
        if self.data.in_store:
            self.ahead = ReadAhead(self.batch_at, self.steps, self.device.type)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Tensors of a checkpoint that an earlier version wrote get the names of today."""
        checkpoint["state_dict"] = {tensor_now(name): tensor for name, tensor in checkpoint["state_dict"].items()}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.AdamW(p.parameters, lr=p.learning_rate, betas=p.betas, weight_decay=p.weight_decay, fused=True)
            for p in self.players
        ]

    @property
    def trained(self) -> nn.Module:
        """The method as the torch module that it is."""
        assert isinstance(self.method, nn.Module)
        return self.method

    @property
    def part(self) -> nn.Module:
        """The part of the method that is averaged."""
        part = self.method.averaged()
        assert part is not None
        return part

    @property
    def players(self) -> Sequence[Player]:
        """Who moves in a step, in order."""
        return self.method.players()

    def training_step(self, _: Tensor, index: int) -> None:
        started = time.perf_counter()
        step = int(self.done)
        torch.manual_seed(self.seed_at(step))  # dropout and the noise of the step: a resumed run draws what this draws
        batch = self.batch_at(step) if self.ahead is None else self.ahead(step)
        self.loading_seconds += time.perf_counter() - started
        shared = self.method.prepare(batch)
        players = self.players
        optimizers = self.optimizers()
        for player, optimizer in zip(
            players, optimizers if isinstance(optimizers, list) else [optimizers], strict=True
        ):
            with only(player, players):
                record = player.loss(shared)
                optimizer.zero_grad()
                self.manual_backward(record.total)
            for group in optimizer.param_groups:
                group["lr"] = player.learning_rate * share_of_rate(player, step, self.steps)
            optimizer.step()
            self.note(player.name, record)
        if self.average is not None:
            self.average.update_parameters(self.part)
        self.done += 1
        self.step_seconds += time.perf_counter() - started

    def seed_at(self, step: int) -> int:
        """Of everything random in a step of this process."""
        return seed_of(self.settings.seed, step, self.global_rank)

    def batch_at(self, step: int) -> Batch | SliceBatch:
        """The batch of a step: a function of the step alone."""
        s = self.settings
        return self.data.batch(
            self.batch_size,
            torch.Generator().manual_seed(self.seed_at(step)),
            by_patient=s.sampling == "patients",
            augment=s.augment,
            quarter_turns=s.quarter_turns,
            soft_masks=s.soft_masks,
            epochs=Epochs(s.seed, step * s.processes + self.global_rank) if s.sampling == "epochs" else None,
            views=self.method.views,
        )

    def note(self, player: str, record: LossRecord) -> None:
        """Add a step's terms to the sums that the next line of metrics is made of."""
        for name, value in {"loss": record.total.detach(), **record.terms}.items():
            key = f"{player}/{name}"
            self.metrics[key] = self.metrics.get(key, torch.zeros((), device=value.device)) + value.float()

    def finished_method(self) -> nn.Module:
        """The method with the moving average in place of what was averaged."""
        if self.average is not None:
            self.part.load_state_dict(self.average.module.state_dict())
        return self.trained


@contextmanager
def only(player: Player, players: Sequence[Player]) -> Iterator[None]:
    """Hold every other player's parameters still, so that no gradient is computed for them."""
    mine = {id(p) for p in player.parameters}
    others = [p for other in players for p in other.parameters if id(p) not in mine and p.requires_grad]
    for p in others:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in others:
            p.requires_grad_(True)


def share_of_rate(player: Player, step: int, steps: int) -> float:
    """Share of the learning rate at a step: 1, or a cosine from 1 to 0 over the run."""
    return 1.0 if player.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / steps))


def warmed_up_average(decay: float):  # type: ignore[no-untyped-def]
    """Exponential moving average whose decay grows from 0 to `decay`, so that a short run is not its first weights."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = int(count)
        share = 1 - min(decay, (1 + n) / (10 + n))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, share)
        else:  # BatchNorm's counters
            torch._foreach_copy_(averaged, current)

    return update
