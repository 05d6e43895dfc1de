"""What large cohorts cost: time and peak memory of opening, aligning, mapping and reporting, and how each grows.

    python benchmarks/large.py FOLDER [--patients 130 500 2000] [--genes 5000 20000 60000] [--limit 600]
    python benchmarks/large.py FOLDER --patients 2000 --genes 5000 --steps align --profile       where the time goes

Cohorts are discs whose size and level follow two modules of genes, eight slices of 64 x 64 of each patient: nothing is
rendered, since what is asked is how the number of patients and of genes is borne. FOLDER keeps the cohorts, so that a
second call measures without making them. Every step is a process of its own, so that its peak memory is its own (the
interpreter and the libraries, about 500 MiB and 5 seconds, are in it), and is ended after `--limit` seconds of the
processor, which are what is printed: they say the same on a machine that others use. All settings are the defaults.
The map is the conventional one, its predictions of patients left out included; the page is the map's.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import zscore

import radiogenesis as rg
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.store import PatientData
from radiogenesis.phantom.expression import draw_activity, gene_model
from radiogenesis.testing import toy_patient, write_cohort

SLICES, PIXELS = 8, 64
STEPS = ("open", "align", "map", "report")


def cohort_of(folder: Path, patients: int, genes: int) -> Path:
    """The cohort's path; it is made where it is not there yet."""
    path = folder / f"{patients}-{genes}.zarr"
    if path.exists():
        return path
    rng = np.random.default_rng([patients, genes])
    model = gene_model(genes, 40, rng)
    values = zscore(draw_activity(model, patients, rng)).astype(np.float32)
    names = [f"P-{number:05d}" for number in range(patients)]
    y, x = np.mgrid[:PIXELS, :PIXELS] - PIXELS / 2
    follows = zscore(values @ model.weights.to_numpy(np.float32)[:, :2])

    def made() -> Iterator[PatientData]:
        for name, (size, level) in zip(names, follows, strict=True):
            radius = 10 + 3 * np.tanh(size + rng.normal()) + rng.normal(scale=0.5, size=SLICES)
            mask = np.hypot(y, x)[None] < radius[:, None, None]
            noise = rng.normal(scale=30, size=(2, *mask.shape))
            tissue = 100 * np.tanh(level + rng.normal()) - 50
            yield toy_patient(name, np.where(mask, tissue, -850) + noise[0], mask, noise[1] - 850)

    frame = pd.DataFrame(values, names, list(model.genes))
    write_cohort(path, made(), frame, sampling=SamplingSettings(pixels=PIXELS))
    return path


def work_of(step: str, cohort: Path, scratch: Path) -> Callable[[], object]:
    """What is timed. Reporting reads the map that was made before."""
    if step == "open":
        return lambda: (rg.open_cohort(cohort).expression, rg.open_cohort(cohort).lesions())
    if step == "align":
        return lambda: rg.train("canonical-alignment", rg.open_cohort(cohort), scratch / "alignment", accelerator="cpu")
    if step == "map":
        return lambda: rg.map(cohort, scratch / "map")
    return lambda: rg.report(scratch / "map")


def one(step: str, cohort: Path, scratch: Path, limit: int, profiled: bool) -> dict[str, float]:
    """Seconds and peak MiB of one step."""
    work, profile = work_of(step, cohort, scratch), cProfile.Profile()
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    started = time.process_time()
    if profiled:
        profile.runcall(work)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
    else:
        work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": time.process_time() - started, "MiB": peak / 2**20}


def in_own_process(given: argparse.Namespace, step: str, cohort: Path, scratch: Path) -> str:
    """A cell of the table: seconds and peak memory, or why there are none."""
    words = [sys.executable, __file__, str(given.folder), "--one", step, str(cohort), str(scratch)]
    words += [f"--limit={given.limit}", *["--profile"] * given.profile]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"over {given.limit} s"
    if done.returncode:
        return f"failed ({done.returncode})"
    found = json.loads(done.stdout.splitlines()[-1])
    return f"{found['seconds']:.1f} s, {found['MiB']:,.0f} MiB"


def main() -> None:
    """Every cohort, every step, a line each."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--patients", type=int, nargs="+", default=[130, 500, 2000])
    options.add_argument("--genes", type=int, nargs="+", default=[5000, 20000, 60000])
    options.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options.add_argument("--limit", type=int, default=600, help="seconds of the processor that a step may take")
    options.add_argument("--profile", action="store_true", help="print the functions that take longest")
    options.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], Path(given.one[1]), Path(given.one[2]), given.limit, given.profile)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    print("| patients | genes | " + " | ".join(given.steps) + " | page |\n|" + " --- |" * (3 + len(given.steps)))
    for patients in given.patients:
        for genes in given.genes:
            cohort, scratch = cohort_of(given.folder, patients, genes), given.folder / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            cells = [in_own_process(given, step, cohort, scratch) for step in given.steps]
            pages = [f"{page.stat().st_size / 2**20:.1f} MiB" for page in scratch.glob("map/*.html")]
            print(f"| {patients} | {genes} | " + " | ".join([*cells, *(pages or ["none"])]) + " |", flush=True)


if __name__ == "__main__":
    main()
