"""Where the time of a fusion GAN's training step goes, and what keeping freed memory saves of it, in one run.

    python benchmarks/training_step.py [--width 16] [--batch 32] [--pixels 64] [--rounds 6]

Milliseconds of the processor, one thread, medians over rounds; pages are those that the system handed to the process
anew in one step. The parts are timed by themselves, after the whole steps; they overlap: drawing is in the generator's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from speed import make, one_step, only

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from radiogenesis.training.allocator import keep_freed_memory


def milliseconds(work: Callable[[], object], rounds: int) -> tuple[float, int]:
    """Of the processor, and pages handed out; once to warm up."""
    work()
    times, before = [], pages()
    for _ in range(rounds):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return 1e3 * median(times), (pages() - before) // rounds


def pages() -> int:
    """Handed to this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def parts(method: Any, batch: Any) -> dict[str, Callable[[], object]]:
    """What a step is made of."""
    step, players = method.prepare(batch), method.players()
    shown = [one.detach().float() for one in (step.drawn.image, step.drawn.mask)]

    def moves(player: Any, drawn: Callable[[], Any]) -> Callable[[], object]:
        def work() -> None:
            with only(player, players):
                player.loss(drawn()).total.backward()

        return work

    def statistics() -> None:
        method.alignment.standardized(*(one.clone().requires_grad_() for one in shown)).sum().backward()

    def of_real() -> None:
        with torch.no_grad():
            method.alignment.standardized(batch.x, batch.m)

    return {
        "drawing": lambda: method.prepare(batch),
        "the discriminator's losses and gradients": moves(players[0], lambda: step),
        "drawing, and the generator's losses and gradients": moves(players[1], lambda: method.prepare(batch)),
        "statistics of what is drawn, and their gradient": statistics,
        "statistics of real lesions": of_real,
    }


def main() -> None:
    """Whole steps before and after, then the parts."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 16), ("batch", 32), ("pixels", 64), ("rounds", 6), ("genes", 5172)):
        options.add_argument(f"--{name}", type=int, default=default)
    given = options.parse_args()
    given.patients, given.threads, given.steps = 60, 1, 4
    torch.set_num_threads(1)
    module, settings = make(given, "fusion-gan", given.pixels)
    module.trained.train()
    method: Any = module.method
    with torch.autocast("cpu", torch.bfloat16):
        print("| | ms | pages |\n| --- | --- | --- |")
        before = milliseconds(lambda: one_step(module, settings.batch), given.rounds)
        kept = keep_freed_memory()
        after = milliseconds(lambda: one_step(module, settings.batch), given.rounds)
        name = "freed memory is kept" if kept else "(this C library cannot keep freed memory)"
        for title, (took, handed) in {"losses and gradients of a step": before, f"the same, {name}": after}.items():
            print(f"| {title} | {took:.0f} | {handed:,} |")
        batch = module.data.batch(
            settings.batch, torch.Generator().manual_seed(0), by_patient=True, augment=True, views=method.views
        )
        for title, work in parts(method, batch).items():
            print(f"| {title} | {milliseconds(work, given.rounds)[0]:.0f} | |", flush=True)


if __name__ == "__main__":
    main()
