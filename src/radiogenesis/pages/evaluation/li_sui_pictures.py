"""The pictures of Li, Sui et al.: figures 5, 7 and 8, and the correlation of every gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.methods.images import images_from_hu, to_hu
from radiogenesis.methods.metagene_gan import MetageneGAN
from radiogenesis.methods.regions import loose_regions
from radiogenesis.pages.evaluation.pictures import largest_slice
from radiogenesis.reporting import figures
from radiogenesis.reporting.gene_figures import correlation_histogram
from radiogenesis.reporting.model import Picture

REGIONS = 64  # synthetic regions of one patient (Li, Sui et al., section IV)


def figure_5(
    patients: Mapping[str, tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]], folder: Path, name: str
) -> Picture:
    """The slice with most tumor of each patient: what is there, what was found, and the part around it enlarged.

    Where no slice shows the tumor, it is the slice on which most was found.

    Args:
        patients: patient -> whole slices (Z, S, S) in HU, the tumor outlined (Z, S, S), what was found (Z, S, S).
    """
    whole, parts = [], []
    for image, tumor, seen in patients.values():
        shown = tumor if tumor.any() else seen
        k = int(shown.sum((1, 2)).argmax())
        row, column = (int(v) for v in np.argwhere(shown[k]).mean(0)) if shown[k].any() else (image.shape[1] // 2,) * 2
        side = image.shape[1]
        reach = side // 6
        top, left = (min(max(v - reach, 0), side - 2 * reach) for v in (row, column))
        cut = np.s_[top : top + 2 * reach, left : left + 2 * reach]
        whole.append((image[k], tumor[k], seen[k]))
        parts.append(tuple(one[cut] for one in whole[-1]))
    rows: list[tuple[str, list[NDArray[Any]]]] = []
    contours: dict[int, list[NDArray[Any]]] = {}
    for label, pieces in (("found", whole), ("found,\nenlarged", parts)):
        contours[len(rows)] = [piece[2] for piece in pieces]
        rows.append((label, [figures.gray(piece[0]) for piece in pieces]))
    contours[len(rows)] = [piece[1] for piece in parts]
    rows.append(("outlined", [figures.gray(piece[0]) for piece in parts]))
    file = f"figure5-{name}.png"
    figures.slice_grid(rows, folder / file, columns=list(patients), contours=contours)
    return Picture(
        file=file,
        alt="Whole slices with what the U-Net found, enlarged, and the true outline",
        caption=(
            f"{name}: as figure 5 of Li, Sui et al., on patients whom the U-Net never saw: the slice with most tumor, "
            "the pixels that count as found outlined; the part around the tumor enlarged; the same with the true "
            "outline."
        ),
    )


def figure_7(
    method: GeneAutoencoder, cohort: Cohort, patients: Sequence[str], genes: NDArray[Any], folder: Path, name: str
) -> Picture:
    """Regions drawn from image and from genes, and the true ones: one column per patient.

    Args:
        genes: (n, G) scaled genes of `patients`.
    """
    rows = [largest_slice(cohort, patient) for patient in patients]
    image, mask = cohort.slice_image[rows].astype(np.float32), cohort.slice_mask[rows]
    shown = {
        "a: from\nthe image": method.regions_from_images(image, mask),
        "b: from\nthe genes": method.regions_from_genes(genes),
        "truth": method.loose_regions(image, mask),
    }
    file = f"figure7-{name}.png"
    grid = [(label, [figures.gray(one) for one in regions]) for label, regions in shown.items()]
    figures.slice_grid(grid, folder / file, columns=list(patients))
    return Picture(
        file=file,
        alt="Tumor regions drawn from images and from genes, beside the true ones",
        caption=(
            "As figure 7 of Li, Sui et al., but for patients who took no part in training: the loose tumor region "
            "that the decoder draws from the genes predicted from the image (a), the one it draws from the patient's "
            "true genes (b), and the true one. A whole region has to pass through the gene vector, so that what no "
            "gene says is lost: vessels and what else surrounds a tumor."
        ),
    )


def figure_8(
    method: MetageneGAN, cohort: Cohort, patients: Sequence[str], genes: NDArray[Any], folder: Path, name: str
) -> list[Picture]:
    """The true region and three synthetic ones per patient; and all 64 of one patient."""
    rows = [largest_slice(cohort, patient) for patient in patients]
    x = images_from_hu(cohort.slice_image[rows])
    m = torch.from_numpy(cohort.slice_mask[rows]).float()[:, None]
    true = to_hu(loose_regions(x, m, cohort.pixels)[0])[:, 0].numpy()
    drawn = np.stack([method.regions(np.repeat(g[None], REGIONS, axis=0), seed=0)[0] for g in genes])
    grid = [(label, [figures.gray(one[k]) for one in drawn]) for k, label in enumerate("abc")]
    grid.append(("truth", [figures.gray(one) for one in true]))
    file, all_file = f"figure8-{name}.png", f"figure8-all-{name}.png"
    figures.slice_grid(grid, folder / file, columns=list(patients))
    middle = len(patients) // 2
    side = int(REGIONS**0.5)
    figures.slice_grid(
        [("", [figures.gray(one) for one in drawn[middle][r * side : (r + 1) * side]]) for r in range(side)],
        folder / all_file,
        cell=0.8,
    )
    return [
        Picture(
            file=file,
            alt="Synthetic tumor regions beside the true one",
            caption=(
                "As figure 8 of Li, Sui et al., but for patients who took no part in training: three regions (a to c) "
                "drawn from the patient's metagenes and noise, and the true region. Lesion and surroundings are both "
                "drawn; there is no background to keep."
            ),
        ),
        Picture(
            file=all_file,
            width=640,
            alt=f"{REGIONS} synthetic regions of one patient",
            caption=f"All {REGIONS} regions drawn from the metagenes of {patients[middle]}: what noise alone changes.",
        ),
    ]


def correlations(genes: pd.DataFrame, baselines: Sequence[str], folder: Path, name: str) -> Picture:
    """How many genes reach which correlation, for the method and the baselines.

    Args:
        genes: `GenePrediction.genes`.
        baselines: those with a correlation.
    """

    by_baseline = {baseline: genes[f"r, {baseline}"].to_numpy(float) for baseline in baselines}
    own = genes["r"].to_numpy(float)
    light, dark = figures.save_both(lambda t: correlation_histogram(own, by_baseline, t), folder, f"gene-r-{name}")
    return Picture(
        file=light,
        dark=dark,
        width=820,
        alt="Histogram of the correlation of every gene",
        caption=(
            "Correlation of predicted with true expression, gene by gene, on held-out patients. A predictor that knows "
            "nothing lies around 0; the training patients' mean, the same for everybody, has no correlation at all."
        ),
    )
