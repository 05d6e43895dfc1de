"""Training on slices that stay in the store, beside training on slices in memory: time of a step, and memory.

    python benchmarks/stored_training.py FOLDER [--slices 100000] [--pixels 128] [--memory_gib 1] [--steps 8]

A cohort of so many random slices is written to FOLDER, and one of 2,000 slices, which is trained on in memory: there a
step takes the same time however many slices there are. Each is trained in a process of its own, by the trainer's own
steps (`benchmarks/speed.py`: the fusion GAN with the canonical alignment as its critic), in turn and twice; seconds are
medians over steps, once by the clock and once of the processor, whose threads all count: the one that reads ahead too.
Resident memory is the peak while training, less what the process held with the model and before the images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.testing import toy_patient, write_cohort
from radiogenesis.training.data import TrainingData, bytes_of
from radiogenesis.training.fit import run_trainer
from radiogenesis.training.module import MethodModule
from radiogenesis.training.registry import METHODS
from radiogenesis.training.settings import TrainSettings
from speed import WARM, Clock, critic

GENES, OF_EACH, FEW = 2000, 50, 2000


def cohort_of(folder: Path, slices: int, pixels: int) -> Path:
    """So many slices of random tissue in discs, 50 of each patient, and as many backgrounds as patients."""
    path = folder / f"{slices}-{pixels}.zarr"
    if path.exists():
        return path
    rng = np.random.default_rng(slices)
    y, x = np.mgrid[:pixels, :pixels] - pixels / 2
    grain = rng.integers(-40, 40, (64, 2 * pixels, 2 * pixels), dtype=np.int16)
    names = [f"P{number:05d}" for number in range(slices // OF_EACH)]

    def made() -> Iterator[PatientData]:
        for name in names:
            row, column = rng.integers(0, pixels, 2)
            noise = grain[rng.permutation(64)[:OF_EACH], row : row + pixels, column : column + pixels]
            mask = np.hypot(y, x)[None] < rng.uniform(pixels / 8, pixels / 4, OF_EACH)[:, None, None]
            yield toy_patient(name, np.where(mask, np.int16(0), np.int16(-850)) + noise, mask, noise[:1] - 850)

    genes = pd.DataFrame(rng.normal(size=(len(names), GENES)), names).add_prefix("G")
    write_cohort(path, made(), genes, sampling=SamplingSettings(pixels=pixels))
    return path


def trained(path: Path, memory_gib: float, steps: int) -> dict[str, float]:
    """Median seconds of a step, and MiB beyond the model."""
    cohort = Cohort.open(path)
    patients = list(cohort.patients.index)
    settings = TrainSettings(checkpoint_every=WARM + steps, accelerator="cpu", threads=1)
    torch.set_num_threads(1)
    entry = METHODS["fusion-gan"]
    method = entry.settings()
    made = entry.make(method, GENES, cohort.pixels, critic(GENES)).to(memory_format=torch.channels_last)
    process, before, peak = psutil.Process(), psutil.Process().memory_info().rss, [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    genes = np.asarray(cohort.expression.X, np.float32)
    data = TrainingData.from_cohort(cohort, patients, genes, memory_gib=memory_gib, least_area=0.5)
    module = MethodModule(made, data, settings, batch=method.batch, steps=WARM + steps, average=method.average)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run_trainer(module, Path(folder), settings, [clock], None)
    done.set()
    watching.join()
    return {
        "seconds": median(clock.seconds), "cpu": median(clock.cpu_seconds), "memory": (peak[0] - before) / 2**20,
        "stored": float(data.in_store), "images": bytes_of(cohort) / 2**20,
    }  # fmt: skip


def main() -> None:
    """Write the cohorts, train on each in turn, print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--slices", type=int, default=100_000)
    options.add_argument("--pixels", type=int, default=128)
    options.add_argument("--memory_gib", type=float, default=1.0)
    options.add_argument("--steps", type=int, default=8)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(trained(Path(given.one[0]), float(given.one[1]), given.steps)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    cells: dict[str, list[dict[str, float]]] = {"in memory": [], "in the store": []}
    cases = zip(cells, ((FEW, 64.0), (given.slices, given.memory_gib)), strict=True)
    paths = {name: (cohort_of(given.folder, slices, given.pixels), gib) for name, (slices, gib) in cases}
    for _ in range(given.rounds):
        for name, (path, gib) in paths.items():
            words = [
                sys.executable,
                __file__,
                str(given.folder),
                "--one",
                str(path),
                str(gib),
                f"--steps={given.steps}",
            ]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            cells[name].append(json.loads(done.stdout.splitlines()[-1]))
    columns = ("images, MiB", "seconds per step", "of the processor", "resident beyond the model, MiB")
    print(f"| {given.slices} slices of {given.pixels} | " + " | ".join(columns) + " |\n|" + " --- |" * 5)
    best = {name: {key: min(one[key] for one in found) for key in found[0]} for name, found in cells.items()}
    for name, found in best.items():
        numbers = (found["images"], found["seconds"], found["cpu"], max(one["memory"] for one in cells[name]))
        print(f"| {name} | " + " | ".join(f"{number:,.2f}" for number in numbers) + " |")
    one, other = best.values()
    print(f"a step from the store takes {other['seconds'] / one['seconds']:.2f} times as long by the clock, "
          f"{other['cpu'] / one['cpu']:.2f} times the processor's time")  # fmt: skip


if __name__ == "__main__":
    main()
