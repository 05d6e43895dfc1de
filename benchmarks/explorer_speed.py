"""How fast the explorer draws: in the page by WebAssembly, and served by torch, at 64 and 128 pixels.

    python benchmarks/explorer_speed.py OUT [--pixels 64 128] [--drawings 40]

Of each size a toy cohort, an alignment and two training steps of the fusion GAN with its default networks:
how long a drawing takes does not depend on what was learned. Both pages are opened in the machine's Chromium, without a
window; a slider is moved `--drawings` times, each time as soon as the last drawing is on the canvas. Printed: the size
of the page, drawings per second of one lesion and of low, middle and high side by side, and by how much of the range a
drawing of the page differs from what torch draws. Needs radiogenesis[explore], radiogenesis[serve] and playwright.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from radiogenesis.testing import toy_cohort
from radiogenesis.training.run import Run
from radiogenesis.window import WINDOW_HU
from spine import run

MOVES = """async ([count, view]) => {
  document.querySelector(`input[value=${view}]`).click();
  const input = document.querySelector("#sliders input");
  const settled = async () => { while (!explorer.idle()) await new Promise((done) => setTimeout(done, 0)); };
  const move = async (value) => { input.value = value; input.dispatchEvent(new Event("input")); await settled(); };
  for (const value of [1, 2]) await move(value);
  const began = performance.now();
  for (let k = 0; k < count; k++) await move(((k % 20) + 1) / 10);
  return (performance.now() - began) / count;
}"""
DRAWN = "async () => Array.from((await explorer.draw([{patient: 1, background: 0, noise: 0, amounts: {}}]))[0].hu)"
BACKGROUND = "() => document.getElementById('background').options[0].textContent"


def main() -> None:
    """Parse, make, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--pixels", type=int, nargs="+", default=[64, 128])
    options.add_argument("--drawings", type=int, default=40)
    given = options.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for pixels in given.pixels:
            folder = made(given.out, pixels)
            page = folder / "page.html"
            rows.append(
                (
                    pixels,
                    "the page, WebAssembly",
                    page.stat().st_size,
                    *measured(browser, page.as_uri(), folder, given.drawings),
                )
            )
            with served(folder) as address:
                rows.append((pixels, "--serve, torch", 0, *measured(browser, address, folder, given.drawings)))
        browser.close()
    print("\n| pixels | drawn by | page, MB | one lesion, per second | three, per second | differs from torch |")
    print("| --- | --- | --- | --- | --- | --- |")
    for pixels, engine, size, one, three, apart in rows:
        megabytes = f"{size / 2**20:.1f}" if size else "-"
        print(f"| {pixels} | {engine} | {megabytes} | {one:.1f} | {three:.1f} | {apart:.1e} |")


def made(out: Path, pixels: int) -> Path:
    """OUT/PIXELS with a cohort, a run and a page, unless they are there already."""
    folder = out / str(pixels)
    folder.mkdir(parents=True, exist_ok=True)
    cohort, alignment, gan, page = (folder / name for name in ("cohort.zarr", "alignment", "gan", "page.html"))
    preset = ("--preset", "pixels-128") if pixels == 128 else ()
    if not cohort.exists():
        toy_cohort(cohort, patients=24, genes=200, pixels=pixels)
    if not alignment.exists():
        run("train", "canonical-alignment", cohort, alignment)
    if not gan.exists():
        run("train", "fusion-gan", cohort, gan, "--alignment", alignment, "--steps", "2", *preset)
    if not page.exists():
        run("explore", gan, page)
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `explore --serve`, while it runs."""
    command = [sys.executable, "-m", "radiogenesis.cli.main", "explore", str(folder / "gan"), "--serve"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield next(line.strip() for line in serving.stdout or () if line.startswith("http://"))
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait()


def measured(browser: Any, address: str, folder: Path, drawings: int) -> tuple[float, float, float]:
    """Drawings per second of one lesion, of three side by side, and how far one is from what torch draws."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector('html[data-state="ready"]', timeout=120_000)
    shown = np.array(page.evaluate(DRAWN))
    opened = Run.open(folder / "gan")
    cohort = opened.open_cohort()
    name = page.evaluate("() => document.getElementById('patient').options[1].textContent").split(" ")[0]
    background = cohort.background_image[[int(page.evaluate(BACKGROUND).split(" ")[1])]].astype(np.float32)
    drawn = opened.synthesizer().synthesize(background, opened.genes(cohort.expression, [name]), seed=0)
    apart = float(np.abs(shown - drawn.image.ravel()).max()) / (WINDOW_HU[1] - WINDOW_HU[0])
    one, three = (1000 / page.evaluate(MOVES, [drawings, view]) for view in ("now", "low"))
    page.close()
    return one, three, apart


if __name__ == "__main__":
    main()
