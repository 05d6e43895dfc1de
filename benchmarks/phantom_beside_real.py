"""Phantom slices beside real ones, in one picture: does the phantom look like lung CT at first glance?

    python benchmarks/phantom_beside_real.py OUT.png [--data ../shared/data] [--patients 16] [--seed 0]

Real tumors are those of LUNG1-001 and LUNG1-002 (NSCLC-Radiomics), real backgrounds come from AMC-001 and from them;
both go through the same sampling as the phantom's. The window is [-1000, 500] HU, the one that networks see.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.dicom.folder import find_dicom, read_dicom
from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.sampling.slices import SamplingSettings, background_slices, nodule_slices
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.phantom.patient import sample_patient
from radiogenesis.phantom.phantom import plan_cohort
from radiogenesis.phantom.settings import PhantomSettings

COLUMNS = 12
WINDOW = (-1000, 500)


def main() -> None:
    """Read, draw, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    options.add_argument("--patients", type=int, default=24)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--pixels", type=int, default=64)
    given = options.parse_args()
    real = real_slices(given.data, SamplingSettings(pixels=given.pixels, seed=given.seed))
    phantom = phantom_slices(PhantomSettings(patients=given.patients, genes=600, seed=given.seed, pixels=given.pixels))
    rng = np.random.default_rng(given.seed)
    rows = [
        ("real tumors", real[0]),
        ("real lungs", real[1]),
        ("phantom tumors", phantom[0]),
        ("phantom lungs", phantom[1]),
    ]
    draw(given.out, [(name, images[rng.permutation(len(images))]) for name, images in rows])


def real_slices(data: Path, sampling: SamplingSettings) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Tumor slices and backgrounds of the real scans, (n, P, P) each."""
    reading = ReadSettings()
    nodules, backgrounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(data / "unpack.py"), folder], check=True, capture_output=True)
        for source in find_dicom(Path(folder) / "ct", reading).sources:
            scan = read_dicom(source, reading)
            rng = np.random.default_rng(sampling.seed)
            backgrounds.append(background_slices(scan, lung_mask(scan), sampling, rng).image)
            if scan.tumor is not None:
                nodules.append(nodule_slices(scan, sampling).image)
    return np.concatenate(nodules), np.concatenate(backgrounds)


def phantom_slices(settings: PhantomSettings) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """For each phantom patient the slice with most tumor and half-way out, and two backgrounds."""
    nodules, backgrounds = [], []
    for plan in plan_cohort(settings).patients:
        _, found, lung = sample_patient(plan, settings)
        order = np.argsort(found.mask.sum(axis=(1, 2)))
        nodules += [found.image[order[-1]], found.image[order[len(order) // 2]]]
        backgrounds += [lung.image[5], lung.image[14]]
    return np.stack(nodules), np.stack(backgrounds)


def draw(out: Path, rows: list[tuple[str, NDArray[np.int16]]]) -> None:
    """Two lines of pictures for every row."""
    figure, axes = plt.subplots(2 * len(rows), COLUMNS, figsize=(1.5 * COLUMNS, 3.1 * len(rows)))
    for axis in axes.flat:
        axis.axis("off")
    for row, (name, images) in enumerate(rows):
        panels = axes[2 * row : 2 * row + 2]
        panels[0, 0].set_title(name, loc="left", fontsize=11)
        for axis, image in zip(panels.flat, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1])
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main()
