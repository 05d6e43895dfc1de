"""Radiomic features of 2-D lesions: ours against PyRadiomics, the same features of the same lesions in one run.

    python benchmarks/radiomics_speed.py [--lesions 1000] [--theirs 100] [--side 64] [--repeats 3]

Both on one thread, with the features that both have and nothing else. PyRadiomics is timed twice: as its users call it
(RadiomicsFeatureExtractor) and, quicker, class by class without checks and cropping. The time to wrap the arrays as its
images is left out.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

import numpy as np
import radiomics.featureextractor
import radiomics.firstorder
import radiomics.glcm
import radiomics.glrlm
import radiomics.glszm
import radiomics.shape2D
import SimpleITK
import torch

from pyradiomics_names import PYRADIOMICS
from radiogenesis.phenotypes.morphology import blur
from radiogenesis.phenotypes.radiomics import FAMILIES, RadiomicsSettings, radiomic_features

CLASSES = {
    "shape2D": radiomics.shape2D.RadiomicsShape2D,
    "firstorder": radiomics.firstorder.RadiomicsFirstOrder,
    "glcm": radiomics.glcm.RadiomicsGLCM,
    "glrlm": radiomics.glrlm.RadiomicsGLRLM,
    "glszm": radiomics.glszm.RadiomicsGLSZM,
}
PIXEL_MM = 0.7


def lesions(count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ragged lesions with smooth texture and noise in HU, and their masks: (count, 1, side, side)."""
    generator = torch.Generator().manual_seed(0)
    smooth, ragged = (blur(torch.randn(count, side, side, generator=generator), 1.5) * 5 for _ in range(2))
    image = 40 + 60 * smooth + 15 * torch.randn(count, side, side, generator=generator)
    axis = torch.arange(side) - side / 2
    size = side * (0.12 + 0.28 * torch.rand(count, 1, 1, generator=generator))
    return image.round()[:, None], (torch.hypot(axis[:, None], axis) + 2 * ragged < size)[:, None]


def as_images(image: torch.Tensor, mask: torch.Tensor) -> list[tuple[SimpleITK.Image, SimpleITK.Image]]:
    pairs = []
    for hu, outline in zip(image[:, 0].double().numpy(), mask[:, 0].numpy().astype(np.uint8), strict=True):
        picture, label = SimpleITK.GetImageFromArray(hu), SimpleITK.GetImageFromArray(outline)
        picture.SetSpacing((PIXEL_MM, PIXEL_MM))
        label.CopyInformation(picture)
        pairs.append((picture, label))
    return pairs


def their_features(pairs: list[tuple[SimpleITK.Image, SimpleITK.Image]]) -> dict[str, np.ndarray]:
    rows = []
    for picture, label in pairs:
        row: dict[str, float] = {}
        for family, kind in CLASSES.items():
            extractor = kind(picture, label, label=1, binWidth=25)
            for name in PYRADIOMICS.values():
                if name.startswith(f"{family}_"):
                    extractor.enableFeatureByName(name.removeprefix(f"{family}_"))
            row |= {f"{family}_{name}": float(value) for name, value in extractor.execute().items()}
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def extractor() -> radiomics.featureextractor.RadiomicsFeatureExtractor:
    """PyRadiomics as its users call it, with the same features."""
    made = radiomics.featureextractor.RadiomicsFeatureExtractor(
        binWidth=25, label=1, force2D=True, additionalInfo=False
    )
    made.disableAllFeatures()
    chosen = [name.split("_") for name in PYRADIOMICS.values()]
    made.enableFeaturesByName(**{kind: [name for family, name in chosen if family == kind] for kind in CLASSES})
    return made


def seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Shortest wall and shortest processor time of several runs."""
    wall, processor = [], []
    for _ in range(repeats):
        clock, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - clock)
        processor.append(time.process_time() - used)
    return min(wall), min(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=1000, help="lesions measured by us")
    parser.add_argument("--theirs", type=int, default=100, help="the first of them, measured by PyRadiomics too")
    parser.add_argument("--side", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the shortest counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("radiomics").setLevel(logging.ERROR)

    image, mask = lesions(options.lesions, options.side)
    pairs = as_images(image[: options.theirs], mask[: options.theirs])
    settings = RadiomicsSettings(families=tuple(family for family in FAMILIES if family != "margin"))
    print(f"{options.lesions} lesions of {mask.flatten(1).sum(1).float().mean():.0f} pixels on average")

    ours = radiomic_features(image, mask, PIXEL_MM, settings)
    theirs = their_features(pairs)
    worst = max((difference(ours[name], theirs[other], name), name) for name, other in PYRADIOMICS.items())
    print(f"{len(PYRADIOMICS)} features compared, largest relative difference {worst[0]:.1e} ({worst[1]})")

    whole = extractor()
    ways: dict[str, Callable[[], object]] = {
        "its extractor": lambda: [whole.execute(*pair) for pair in pairs],
        "its classes": lambda: their_features(pairs),
    }
    we = seconds(lambda: radiomic_features(image, mask, PIXEL_MM, settings), options.repeats)
    for way, work in ways.items():
        for kind, our_time, their_time in zip(("wall", "processor"), we, seconds(work, options.repeats), strict=True):
            one, other = our_time / options.lesions * 1e3, their_time / options.theirs * 1e3
            print(f"{kind} time per lesion: ours {one:.2f} ms, {way} {other:.2f} ms: {other / one:.1f} times faster")


def difference(ours: torch.Tensor, theirs: np.ndarray, name: str) -> float:
    """Largest difference as a share of PyRadiomics' value."""
    found = ours[: len(theirs)].double().numpy() + (3 if name == "firstorder_kurtosis" else 0)
    return float(np.max(np.abs(found - theirs) / np.maximum(np.abs(theirs), 1e-12)))


if __name__ == "__main__":
    main()
