"""What happens beside the training steps: a progress line, a line of metrics and a grid of drawings per checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from radiogenesis.csv_files import read_csv, require_columns, write_csv
from radiogenesis.methods.protocols import Synthesis, Synthesizer
from radiogenesis.output import whole_file
from radiogenesis.progress import Bar, Progress
from radiogenesis.training.module import MethodModule


class ProgressLine(L.Callback):
    """A bar with images per second and the time that is left."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self.progress = Bar(*columns, console=console)
        self.title = title

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        method = cast(MethodModule, module)
        if trainer.is_global_zero:
            self.started, self.first = time.perf_counter(), int(method.done)
            self.progress.start()
            self.task = self.progress.add_task(self.title, total=method.steps, completed=self.first, rate="")

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        method = cast(MethodModule, module)
        if trainer.is_global_zero:
            done = int(method.done)
            rate = (done - self.first) * method.batch_size * trainer.world_size / (time.perf_counter() - self.started)
            self.progress.update(self.task, completed=done, rate=f"{rate:.0f} images/s")

    def on_fit_end(self, *_: Any) -> None:
        self.progress.stop()

    def on_exception(self, *_: Any) -> None:
        self.progress.stop()


class Told(L.Callback):
    """Tells a function of every step."""

    def __init__(self, title: str, progress: Progress) -> None:
        self.title, self.progress = title, progress

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        method = cast(MethodModule, module)
        if trainer.is_global_zero:
            self.progress(self.title, int(method.done), method.steps)


class Interruption(L.Callback):
    """Ctrl-C stops the training after the step that it falls into; a second one stops it at once.

    Python raises KeyboardInterrupt wherever it happens to be. In a destructor, or in what C++ calls, the exception is
    printed or dropped, and the training would go on as if nobody had asked.
    """

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        """The handler of the signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_train_batch_end(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt


class MetricsLog(L.Callback):
    """metrics.csv and TensorBoard: the mean of every loss term since the last line, and the speed.

    On resuming, lines after the checkpoint are dropped, so that the file reads as if nothing had happened.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "metrics.csv"

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            earlier = pd.DataFrame({"step": []})
            if self.path.is_file():
                earlier = read_csv(self.path, float_precision="round_trip")  # to the last digit
                require_columns(earlier, self.path, (), ("step",))
            done = int(cast(MethodModule, module).done)
            self.lines = cast("list[dict[str, Any]]", earlier[earlier["step"] <= done].to_dict("records"))
        self.mark = (time.perf_counter(), int(cast(MethodModule, module).done))

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        method = cast(MethodModule, module)
        now, done = time.perf_counter(), int(method.done)
        steps = done - self.mark[1]
        if steps and trainer.is_global_zero:
            images = steps * method.batch_size * trainer.world_size
            line: dict[str, Any] = {
                "step": done,
                "images_seen": done * method.batch_size * trainer.world_size,
                "images_per_second": images / (now - self.mark[0]),
                "loading_share": method.loading_seconds / method.step_seconds,
                **{name: float(total) / steps for name, total in method.metrics.items()},
            }
            self.lines.append(line)
            with whole_file(self.path) as partial:
                write_csv(pd.DataFrame(self.lines), partial)
            if isinstance(trainer.logger, TensorBoardLogger):
                trainer.logger.log_metrics({k: v for k, v in line.items() if k != "step"}, step=done)
        method.metrics.clear()
        method.loading_seconds = method.step_seconds = 0.0
        self.mark = (now, done)


class SampleGrid(L.Callback):
    """Draws the same genes on the same backgrounds with the same noise at every checkpoint.

    Args:
        run: the run folder; grids go to samples/.
        backgrounds: (B, P, P) HU.
        expression: (B, G) scaled.
        draw_grid: writes a Synthesis as a PNG.
    """

    def __init__(self, run: Path, backgrounds: Any, expression: Any, draw_grid: Any) -> None:
        self.folder = run / "samples"
        self.backgrounds, self.expression, self.draw_grid = backgrounds, expression, draw_grid

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        method = cast(MethodModule, module)
        if not trainer.is_global_zero or not isinstance(method.method, Synthesizer):
            return
        kept = {name: tensor.clone() for name, tensor in method.part.state_dict().items()}
        if method.average is not None:
            method.part.load_state_dict(method.average.module.state_dict())
        with torch.random.fork_rng():  # drawing leaves the training's random numbers as they were
            drawn: Synthesis = method.method.synthesize(self.backgrounds, self.expression, seed=0)
        method.part.load_state_dict(kept)
        method.trained.train()
        self.folder.mkdir(exist_ok=True)
        self.draw_grid(drawn, self.folder / f"step-{int(method.done):07d}.png")
