"""Training and drawing alone and beside other work: what waiting threads do to a machine that is shared.

    python benchmarks/busy_machine.py [--busy 2] [--rounds 2] [--steps 6]

A training step of the fusion GAN and drawing with it (`speed.py`) by one thread, by one per core whose waiting threads
spin (OpenMP's own way: OMP_WAIT_POLICY=ACTIVE), and by one per core whose waiting threads sleep (PASSIVE, which the
command `radiogenesis` sets); alone, and beside `--busy` processes that only count. Rounds alternate; the table has the
best of each, since other people's work on the machine only slows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPEED = Path(__file__).with_name("speed.py")
WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread per core, waiting ones spin": {"OMP_WAIT_POLICY": "ACTIVE"},
    "a thread per core, waiting ones sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
}
MEASURED = {"train": "training images/s", "draw": "drawn images/s"}


def main() -> None:
    """Parse, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--busy", type=int, default=os.cpu_count() or 2, help="processes that only count")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--steps", type=int, default=6, help="training steps that are timed")
    given = options.parse_args()
    best: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(given.rounds):
        for busy in (0, given.busy):
            with counting(busy):
                for way in WAYS:
                    found, so_far = measure(way, given.steps), best.get((way, busy), {})
                    best[way, busy] = {name: max(found[name], so_far.get(name, 0.0)) for name in MEASURED}
    print(f"{os.cpu_count()} cores; in brackets the share of what one thread does alone")
    for name, title in MEASURED.items():
        print(f"\n| {title} | alone | beside {given.busy} busy processes |\n| --- | --- | --- |")
        base = best["one thread", 0][name]
        for way in WAYS:
            cells = [f"{best[way, busy][name]:.3g} ({best[way, busy][name] / base:.2f})" for busy in (0, given.busy)]
            print(f"| {way} | {' | '.join(cells)} |")


def measure(way: str, steps: int) -> dict[str, float]:
    """What `speed.py` finds in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_"))}
    words = ["--one", "--pixels=64", "--width=16", "--batch=32", "--drawn=64", f"--steps={steps}"]
    done = subprocess.run(
        [sys.executable, SPEED, *words, "--methods", "fusion-gan"],
        env=clean | WAYS[way], stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def counting(processes: int) -> Iterator[None]:
    """So many processes that take all the time they get."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


if __name__ == "__main__":
    main()
