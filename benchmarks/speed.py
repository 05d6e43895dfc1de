"""Speed of every method beside MC-GAN, in the same run, at equal width, on random data shaped like a cohort.

    python benchmarks/speed.py [--pixels 64 128] [--width 32] [--batch 16] [--steps 12] [--methods mc-gan fusion-gan]
    python benchmarks/speed.py --compiled [--methods fusion-gan]                  each method also with torch.compile
    python benchmarks/speed.py --backends [--pixels 64] [--width 16]              drawing by each backend beside torch
    python benchmarks/speed.py --profile [--pixels 64] [--methods fusion-gan]     the operations that take longest

Each line is a process of its own, so that its peak memory is its own. A training step is the trainer's own, with
loading, all players, optimizers and moving average; its time is the median over the steps after two to warm up, so
that another job's moment does not count. Images per second of the processor's time (all threads together) are what to
compare where other jobs share the machine; they mean nothing with a GPU. FLOPs (2 per multiplication and addition) are
counted by torch for the forward and backward passes of all players; optimizers and everything elementwise are not in
them. Compiled are the generator and the discriminator; the time that compiling takes is not in the rate. The fusion
GAN, and MC-GAN with the preset additions, have the canonical alignment, as in `comparison.py`; "fusion-gan, no critic"
is without the alignment's terms: --matching 0 --energy 0 --gene_code mapping.

Backends draw the same untrained fusion GAN in turn, round after round, from arrays to arrays as `synthesize` does, one
image and 16 images at a time; a ratio is the median over the rounds, so that another job's moment does not count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, get_args

import lightning as L
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import drawn_by, open_backend
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.drawing import CHUNK
from radiogenesis.methods.mc_gan import ADDITIONS
from radiogenesis.training.data import TrainingData
from radiogenesis.training.fit import bfloat16, run_trainer
from radiogenesis.training.module import MethodModule, only
from radiogenesis.training.registry import METHODS
from radiogenesis.training.settings import TrainSettings

NO_CRITIC = {"matching": 0.0, "energy": 0.0, "gene_code": "mapping"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mc-gan": ("mc-gan", {}),
    "mc-gan, additions": ("mc-gan", ADDITIONS),
    "inpainting-gan": ("inpainting-gan", {}),
    "fusion-gan": ("fusion-gan", {}),
    "fusion-gan, no critic": ("fusion-gan", NO_CRITIC),
}
WARM = 2
COLUMNS = {
    "train": "training images/s", "train_cpu": "per CPU second", "gflop": "GFLOP/image and step",
    "loading": "share of loading", "memory": "peak memory, MiB", "draw": "drawn images/s", "draw_cpu": "per CPU second",
    "parameters": "parameters, M",
}  # fmt: skip


def main() -> None:
    """Parse; measure each case in its own process; print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--methods", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--pixels", nargs="+", type=int, default=[64, 128])
    options.add_argument("--width", type=int, default=32, help="of every generator; discriminators have twice as much")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--steps", type=int, default=12, help="steps that are timed")
    options.add_argument("--drawn", type=int, default=256, help="images drawn to time synthesis")
    options.add_argument("--genes", type=int, default=5172)
    options.add_argument("--patients", type=int, default=100)
    options.add_argument("--threads", type=int, default=0, help="of the CPU; 0 leaves torch's choice")
    options.add_argument("--compiled", action="store_true", help="measure each method also with torch.compile")
    options.add_argument("--profile", action="store_true", help="print the operations that take longest instead")
    options.add_argument(
        "--backends", nargs="*", choices=get_args(Backend), help="measure drawing by these beside torch instead"
    )
    options.add_argument("--one", choices=("eager", "compiled"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given)))
        return
    if given.profile:
        for pixels in given.pixels:
            for case in given.methods:
                print(f"\n{case}, {pixels} pixels\n{profiled(given, case, pixels)}", flush=True)
        return
    if given.backends is not None:
        print(f"width {given.width}, {given.genes} genes, CPU, {given.threads or torch.get_num_threads()} thread(s)")
        for pixels in given.pixels:
            print_backends(given, pixels)
        return
    print(f"width {given.width}, batch {given.batch}, {given.genes} genes, {where(given)}")
    for pixels in given.pixels:
        found = {case: in_own_process(given, case, pixels, "eager") for case in given.methods}
        if given.compiled:
            found |= {f"{case}, compiled": in_own_process(given, case, pixels, "compiled") for case in given.methods}
        print_table(pixels, found)


def where(given: argparse.Namespace) -> str:
    """Device, precision and threads."""
    settings = shared(given)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    precision = "bfloat16" if bfloat16(settings) else "float32"
    return f"{device}, {precision}, {given.threads or torch.get_num_threads()} thread(s)"


def in_own_process(given: argparse.Namespace, case: str, pixels: int, how: str) -> dict[str, float]:
    """What `measure` finds, in a fresh interpreter."""
    numbers = [f"--{name}={getattr(given, name)}" for name in ("width", "batch", "steps", "drawn", "genes", "patients")]
    words = [sys.executable, __file__, "--one", how, f"--threads={given.threads}", *numbers]
    done = subprocess.run([*words, f"--pixels={pixels}", "--methods", case], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"failed: {case}, {pixels} pixels")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def print_table(pixels: int, found: dict[str, dict[str, float]]) -> None:
    """Markdown: one line per case, and behind each number its ratio to MC-GAN's where that was measured."""
    base = found.get("mc-gan")
    print(f"\n| {pixels} pixels | " + " | ".join(COLUMNS.values()) + " |\n|" + " --- |" * (1 + len(COLUMNS)))
    for case, numbers in found.items():
        cells = []
        for name in COLUMNS:
            ratio = f" ({numbers[name] / base[name]:.2f})" if base and base[name] and name != "loading" else ""
            cells.append(f"{numbers[name]:.3g}{ratio}")
        print(f"| {case} | " + " | ".join(cells) + " |", flush=True)


def shared(given: argparse.Namespace) -> TrainSettings:
    """The trainer's settings."""
    return TrainSettings(threads=given.threads, checkpoint_every=WARM + given.steps)


def make(given: argparse.Namespace, case: str, pixels: int) -> tuple[MethodModule, Any]:
    """An untrained method with random data, and its settings."""
    torch.manual_seed(0)
    method, changes = CASES[case]
    entry = METHODS[method]
    widths = {"batch": given.batch, "width": given.width, "discriminator_width": 2 * given.width}
    settings = entry.settings(**changes | widths)
    made = entry.make(settings, given.genes, pixels, critic(given.genes))
    module = MethodModule(
        made.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        random_data(given, pixels),
        shared(given),
        batch=settings.batch,
        steps=WARM + given.steps,
        average=settings.average,
    )
    return module, settings


def critic(genes: int) -> CanonicalAlignment:
    """The alignment that `benchmarks/comparison.py` gives the fusion GAN, with random directions: it costs the same."""
    made = CanonicalAlignment(CanonicalAlignmentSettings(), genes=genes)
    for buffer in made.buffers():
        buffer.normal_(0, 1 / buffer.numel() ** 0.5)
    made.deviation.fill_(1.0)
    made.follows.fill_(0.5)
    return made


def random_data(given: argparse.Namespace, pixels: int, slices: int = 20) -> TrainingData:
    """Random slices with discs for masks, as many per patient as in Xu et al. (2020), in the types of a cohort."""
    n = given.patients * slices
    line = torch.arange(pixels) - (pixels - 1) / 2
    disc = torch.hypot(line[:, None], line[None, :]) < pixels / 6
    image = torch.randint(-1000, 500, (n, 1, pixels, pixels), dtype=torch.int16)
    patient = torch.arange(n) // slices
    return TrainingData(
        image=image,
        mask=disc.expand(n, 1, pixels, pixels).clone(),
        patient=patient,
        genes=torch.randn(given.patients, given.genes),
        background=image.flip(0).clone(),
        slices_of=tuple(torch.arange(slices) + slices * i for i in range(given.patients)),
        patients=tuple(f"P{i}" for i in range(given.patients)),
        pixel_mm=60 / pixels,
    )


class Clock(L.Callback):
    """The time of each training step, the processor's share of it and loading's, once warm."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.loading: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self.started, self.cpu_started = time.perf_counter(), time.process_time()
        self.loaded = module.loading_seconds

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if int(module.done) > WARM:
            self.seconds.append(time.perf_counter() - self.started)
            self.cpu_seconds.append(time.process_time() - self.cpu_started)
            self.loading.append(module.loading_seconds - self.loaded)


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Every number of one case."""
    case, pixels = given.methods[0], given.pixels[0]
    if given.threads:
        torch.set_num_threads(given.threads)
    module, settings = make(given, case, pixels)
    if given.one == "compiled":
        for name in ("part", "discriminator"):
            getattr(module.method, name).compile()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run_trainer(module, Path(folder), shared(given), [clock], None)
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_resident()
    method: Any = module.finished_method()
    if torch.cuda.is_available():
        method.cuda()  # Lightning has brought it back to the processor
    draw, draw_cpu = drawing_rates(method, given, pixels)
    return {
        "train": settings.batch / median(clock.seconds),
        "train_cpu": settings.batch / median(clock.cpu_seconds),
        "gflop": gflop_per_image(make(given, case, pixels)[0]),  # torch counts nothing of what is compiled
        "loading": sum(clock.loading) / sum(clock.seconds),
        "memory": memory / 2**20,
        "draw": draw,
        "draw_cpu": draw_cpu,
        "parameters": sum(p.numel() for player in method.players() for p in player.parameters) / 1e6,
    }


def peak_resident() -> int:
    """Bytes; the interpreter and the libraries, about 500 MiB, are in it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def one_step(module: MethodModule, size: int) -> None:
    """Draw, and the losses and gradients of every player, as in the trainer's step."""
    method = module.method
    generator = torch.Generator().manual_seed(0)
    batch = module.data.batch(size, generator, by_patient=True, augment=True, views=method.views)
    step, players = method.prepare(batch), method.players()
    for player in players:
        with only(player, players):
            player.loss(step).total.backward()
            for p in player.parameters:
                p.grad = None


def gflop_per_image(module: MethodModule, size: int = 2) -> float:
    """Of a training step, in 10^9 operations."""
    module.trained.train()
    with FlopCounterMode(display=False) as counter:
        one_step(module, size)
    return float(counter.get_total_flops()) / size / 1e9


def drawing_rates(drawing: Any, given: argparse.Namespace, pixels: int) -> tuple[float, float]:
    """Images per second of `synthesize`, from arrays to arrays, and per second of the processor."""
    backgrounds = torch.randint(-1000, 500, (given.drawn, pixels, pixels)).numpy()
    expression = torch.randn(given.drawn, given.genes).numpy()
    drawing.synthesize(backgrounds[:16], expression[:16], seed=0)
    started, cpu_started = time.perf_counter(), time.process_time()
    drawing.synthesize(backgrounds, expression, seed=0)
    return given.drawn / (time.perf_counter() - started), given.drawn / (time.process_time() - cpu_started)


def print_backends(given: argparse.Namespace, pixels: int) -> None:
    """Markdown: for one image and for 16 at a time a line per backend, with its ratios to torch in the same rounds."""
    if given.threads:
        torch.set_num_threads(given.threads)
    method: Any = make(given, "fusion-gan", pixels)[0].method.cpu().eval()
    others = [name for name in given.backends or get_args(Backend) if name != "torch"]
    drawing = {"torch": method} | {name: method.drawing_with(open_backend(method, name)) for name in others}
    heading = ("drawn images/s", "to torch", "per CPU second, to torch", "largest difference, HU")
    print(f"\n| {pixels} pixels | at a time | {' | '.join(heading)} |\n|{' --- |' * (2 + len(heading))}")
    for batch in (1, CHUNK):
        found = rounds(drawing, given, pixels, batch)
        for name in drawing:
            wall, cpu = (median(np.divide(found["torch"][k], found[name][k])) for k in (0, 1))
            rate = batch / median(found[name][0])
            print(f"| {drawn_by(drawing[name]).library} | {batch} | {rate:.3g} | {wall:.2f} | {cpu:.2f} | ", end="")
            print(f"{found[name][2]:.1g} |", flush=True)


def rounds(
    drawing: dict[str, Any], given: argparse.Namespace, pixels: int, batch: int
) -> dict[str, tuple[list[float], list[float], float]]:
    """Backend -> seconds of each round, the processor's seconds, and the largest difference from torch in HU."""
    rng = np.random.default_rng(0)
    wanted: dict[str, tuple[list[float], list[float], float]] = {name: ([], [], 0.0) for name in drawing}
    for number in range(1 + max(1, given.drawn // batch)):
        backgrounds = rng.integers(-1000, 500, (batch, pixels, pixels))
        expression = rng.normal(size=(batch, given.genes))
        images = {}
        for name, method in drawing.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            images[name] = method.synthesize(backgrounds, expression, seed=number).image
            spent = time.perf_counter() - started, time.process_time() - cpu_started
            wall, cpu, worst = wanted[name]
            worst = max(worst, float(np.abs(images[name] - images["torch"]).max()))
            warm = [[seconds] if number else [] for seconds in spent]  # the first round compiles
            wanted[name] = (wall + warm[0], cpu + warm[1], worst)
    return wanted


def profiled(given: argparse.Namespace, case: str, pixels: int) -> str:
    """The operations of a training step that take longest, by their own time."""
    if given.threads:
        torch.set_num_threads(given.threads)
    module, settings = make(given, case, pixels)
    module.trained.train()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        module.cuda()
        module.data = module.data.to(module.device)
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16(shared(given))):
        one_step(module, settings.batch)
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
        with profile(activities=activities, record_shapes=True) as found:
            for _ in range(2):
                one_step(module, settings.batch)
    return str(found.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=18, max_name_column_width=40))


if __name__ == "__main__":
    main()
