"""Negative control: the same map of lesions whose voxels were shuffled inside the outline (EVIDENCE.md rule 2).

Shuffling keeps the outline and the histogram of every slice and destroys how the voxels lie to each other. Shape and
first-order features do not change. A texture feature does; where its association survives all the same, the feature was
telling brightness, contrast or size through its texture formula (Zwanenburg et al. 2019 and Welch et al. 2019 found
published signatures to be that), and nothing about texture may be concluded from it.

Two partial correlations go with it: each association given the same feature of the shuffled lesion (what the texture
says beyond the histogram), and given the lesion's size (volume only).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.store import Cohort
from radiogenesis.phenotypes.radiomics import FEATURES, radiomic_features
from radiogenesis.stats.association import FEWEST, FREE, Associations, Held, also, associate
from radiogenesis.stats.resampling import Floats, patient_means

TEXTURE = ("glcm", "glrlm", "glszm")
DISTINCT = tuple(name for name, feature in FEATURES.items() if feature.same_as is None)
"""Features that are not another one under a second name."""
SIZE = "shape_pixel_area"


@dataclass(frozen=True, eq=False)
class ShuffledVoxels:
    """The conventional map beside that of shuffled lesions.

    Attributes:
        links: tidy, all pairs: metagene, feature, family, effect, p, q (of the lesions as they are), effect_shuffled,
            p_shuffled, q_shuffled, p_given_shuffled, p_given_size, n, found (q below alpha), survives (found, and with
            shuffled voxels too, in the same direction).
        families: family, tests, found, survive, share, beyond_histogram (found, and p_given_shuffled below alpha).
        patients: how many.
        alpha: false discovery rate.
    """

    links: pd.DataFrame
    families: pd.DataFrame
    patients: int
    alpha: float


def shuffle_voxels(image: NDArray[Any], mask: NDArray[np.bool_], seed: int) -> NDArray[Any]:
    """(B, P, P) slices with the pixels inside each lesion in random order, those outside untouched."""
    mixed = np.array(image)
    for number, (slice_, inside) in enumerate(zip(mixed, np.asarray(mask, bool), strict=True)):
        slice_[inside] = np.random.default_rng([seed, 0x5F, number]).permutation(slice_[inside])
    return mixed


def lesion_radiomics(image: NDArray[Any], mask: NDArray[Any], pixel_mm: float) -> Floats:
    """Slices (B, P, P) in HU with masks -> (B, F) the radiomic features of DISTINCT."""
    x, m = (torch.from_numpy(np.array(values, np.float32))[:, None] for values in (image, mask))
    features = radiomic_features(x, m, pixel_mm)
    return np.stack([features[name].double().numpy() for name in DISTINCT], axis=1)


def patient_radiomics(cohort: Cohort, patients: Sequence[str], *, shuffled: bool = False, seed: int = 0) -> Floats:
    """(n, F) means over each patient's slices with at least half the area of the largest; see `own_features`."""
    own = cohort.lesions(patients, least_area=LARGER)
    image = shuffle_voxels(own.image, own.mask, seed) if shuffled else own.image
    values = lesion_radiomics(image, own.mask, cohort.pixel_mm)
    return np.stack([patient_means(column, own.patient, patients) for column in values.T], axis=1)


def shuffled_voxel_map(
    metagenes: NDArray[Any],
    names: Sequence[str],
    cohort: Cohort,
    patients: Sequence[str],
    *,
    held: Held = FREE,
    alpha: float = 0.05,
    seed: int = 0,
) -> ShuffledVoxels:
    """Map metagenes against the radiomic features of lesions as they are, and with their voxels shuffled.

    Args:
        metagenes: (n, K) of `patients`.
        names: of the metagenes.
        held: what every test holds fixed.
    """
    whole = patient_radiomics(cohort, patients)
    mixed = patient_radiomics(cohort, patients, shuffled=True, seed=seed)
    return compare(metagenes, names, whole, mixed, held=held, alpha=alpha)


def compare(
    metagenes: NDArray[Any], names: Sequence[str], whole: Floats, mixed: Floats, *, alpha: float, held: Held = FREE
) -> ShuffledVoxels:
    """The same from features (n, F) of DISTINCT that were measured before."""
    of_whole, of_mixed = (associate(metagenes, values, names, DISTINCT, **held) for values in (whole, mixed))
    size = np.broadcast_to(whole[:, [DISTINCT.index(SIZE)]], whole.shape)
    links = of_whole.table("metagene").drop(columns=["z", "p_max", "test"])
    links.insert(2, "family", [FEATURES[name].family for name in links["feature"]])
    key = pd.MultiIndex.from_frame(links[["metagene", "feature"]])
    for name, values in {
        "effect_shuffled": of_mixed.effect, "p_shuffled": of_mixed.p, "q_shuffled": of_mixed.q,
        "p_given_shuffled": partial_p(metagenes, whole, mixed, held),
        "p_given_size": partial_p(metagenes, whole, size, held),
    }.items():  # fmt: skip
        links[name] = _long(values, of_whole).reindex(key).to_numpy(np.float64)
    links["found"] = links["q"] < alpha
    same = np.sign(links["effect"]) == np.sign(links["effect_shuffled"])
    links["survives"] = links["found"] & (links["q_shuffled"] < alpha) & same
    grouped = links.assign(beyond=links["found"] & (links["p_given_shuffled"] < alpha)).groupby("family", sort=False)
    families = grouped.agg(
        tests=("p", "count"), found=("found", "sum"), survive=("survives", "sum"), beyond_histogram=("beyond", "sum")
    )
    families = families.reindex(sorted(families.index, key=_order)).reset_index()
    families.insert(4, "share", families["survive"] / families["found"].where(families["found"] > 0))
    return ShuffledVoxels(links, families, len(whole), alpha)


def partial_p(x: NDArray[Any], y: Floats, given: Floats, held: Held = FREE) -> Floats:
    """(K, F) p of Spearman's partial correlation of x (n, K) and y (n, F), each feature f given `given[:, f]`, and
    what is adjusted for beside it.

    nan where fewer than 8 patients have both, or where `given` says all there is of the feature.
    """
    p = np.full((x.shape[1], y.shape[1]), np.nan)
    for f in range(y.shape[1]):
        has = np.isfinite(y[:, f]) & np.isfinite(given[:, f])
        if has.sum() < FEWEST:
            continue
        a, b, c = (stats.rankdata(values[has], axis=0) for values in (x, y[:, f], given[:, f]))
        if min(np.ptp(b), np.ptp(c)) == 0 or abs(np.corrcoef(b, c)[0, 1]) > 1 - 1e-9:
            continue
        fixed = also(held, c, has)
        fixed["model"] = "linear"  # of ranks
        partial = associate(a, b[:, None], [str(k) for k in range(a.shape[1])], ["f"], **fixed)
        p[:, f] = partial.p[:, 0]
    return p


def _long(values: Floats, like: Associations) -> pd.Series:
    """(K, F) -> a number for each (metagene, feature)."""
    pairs = pd.MultiIndex.from_product([like.genes, like.features])
    return pd.Series(np.asarray(values).ravel(), pairs)


def _order(family: str) -> int:
    return ("shape", "firstorder", "margin", *TEXTURE).index(family)


def texture_share(shuffled: ShuffledVoxels) -> tuple[int, int]:
    """How many associations with texture were found, and how many of them survive the shuffle."""
    mine = shuffled.families[shuffled.families["family"].isin(TEXTURE)]
    return int(mine["found"].sum()), int(mine["survive"].sum())


def conclusion(shuffled: ShuffledVoxels) -> str:
    """What may be said of it."""
    links, survive = texture_share(shuffled)
    if not shuffled.families.loc[shuffled.families["family"].isin(TEXTURE), "tests"].sum():
        return "Of the lesions' texture no test could be made: nothing can be concluded about it."
    beyond = int(shuffled.families.loc[shuffled.families["family"].isin(TEXTURE), "beyond_histogram"].sum())
    if not links:
        return (
            f"Of the lesions' texture (co-occurrence, runs, zones) no association with a metagene is found on "
            f"{shuffled.patients} patients (q < {shuffled.alpha:g}); shuffling voxels, the control of texture, does "
            "not apply."
        )
    return (
        f"With the voxels of every lesion shuffled, {survive} of {links} associations with texture remain "
        f"({survive / links:.0%}): these are brightness, contrast or size, not texture. {beyond} of the "
        f"{links} are not explained by the same feature of the shuffled lesion (p < {shuffled.alpha:g})."
    )
