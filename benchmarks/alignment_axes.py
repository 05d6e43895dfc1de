"""Which axes should the canonical alignment have? Named properties first, or directions alone; and which gene ridge?

    python benchmarks/alignment_axes.py OUT [--patients 130 65] [--strengths 0.4 0.6 0.9] [--seeds 2] [--nulls 12]

On phantoms whose links are planted, without any generator: a drawing is taken to answer to each axis as the training
patients' measured lesions do (an ideal renderer). So this is what the gene side can know; what is drawn is measured by
`synthesis_power.py`. For every way: average precision of planted links of metagenes, genes of the driving module and
genes with an effect of their own (see mapping/synthesis/planted_links.py), links reported (q < 0.05 against 300
exchanges of patients, everything found again) and how many of these are planted; and links reported when genes are
given to other patients, NULLS times over each cohort of the first seed. Cohorts are kept in OUT.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import split_patients
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.mapping.synthesis import perturbation_null, planted_links
from radiogenesis.mapping.synthesis.perturbation import GeneSets
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.canonical_fit import GeneSide, LesionSide, refitted_targets, search_for
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.association import associate
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.multiple_testing import false_discovery_rate
from spine import run

CLUSTERS, EXCHANGES = 50, 300
Values = NDArray[np.float64]
WAYS = {
    "properties, ridge 3.2 (default)": (True, 3.2),
    "properties, ridge 0.3": (True, 0.3),
    "properties, ridge 10": (True, 10.0),
    "eight directions alone, ridge 3.2": (False, 3.2),
}


@dataclass(frozen=True)
class Given:
    """A cohort's training patients: genes (n, G), metagenes, measured features (n, 6) in deviations, what is linked."""

    cohort: Cohort
    patients: list[str]
    genes: Values
    names: tuple[str, ...]
    features: Values
    metagenes: Metagenes
    sets: GeneSets

    @classmethod
    def of(cls, cohort: Cohort) -> Given:
        patients = list(split_patients(cohort).train)
        scaler = ExpressionScaler.fit(cohort.expression, patients)
        genes = scaler.transform(cohort.expression, patients)
        metagenes = Metagenes.fit(genes, scaler.genes, clusters=CLUSTERS, method="kmeans", seed=0)
        features = np.nan_to_num((f := own_features(cohort, patients)) - np.nanmean(f, axis=0)) / np.nanstd(f, axis=0)
        sets = GeneSets.of_metagenes(metagenes, scaler.genes, genes)
        return cls(cohort, patients, genes.astype(np.float64), scaler.genes, features, metagenes, sets)

    def linked(self) -> list[NDArray[np.bool_]]:
        truth = self.cohort.truth
        assert truth is not None
        rows = [self.metagenes.ids.index(name) for name in self.sets.names]
        of_metagenes = planted_links.planted_metagenes(truth, self.metagenes, FEATURES)[rows]
        return [
            of_metagenes,
            *(planted_links.planted_links(truth, self.names, FEATURES, q) for q in ("module", "effect")),
        ]


def answered(given: Given, lesions: LesionSide, side: GeneSide, further: int, genes: Values) -> pd.DataFrame:
    """AP, reported, planted among them, of one way."""
    search = search_for(lesions, side, 0) if further else None

    def effects(order: NDArray[np.intp]) -> tuple[Values, Values]:
        targets = refitted_targets(lesions.given_to(order), side, search, further)
        slopes = np.linalg.lstsq(targets, given.features[order], rcond=None)[0]
        project = side.weights(targets)
        return given.sets.through(project) @ slopes, project @ slopes

    own, single = effects(np.arange(len(genes)))
    null, squares = [], np.zeros(single.shape)
    for number in range(EXCHANGES):
        moved, alone = effects(np.random.default_rng([0xE8C, number]).permutation(len(genes)))
        null.append(moved)
        squares += alone**2
    p = perturbation_null.exceeding(own, np.array(null))
    hit = false_discovery_rate(p) < 0.05
    z = [perturbation_null.in_deviations(own, np.array(null)), single / np.sqrt(squares / EXCHANGES)]
    return scored(given, [z[0], z[1], z[1]], hit)


def scored(given: Given, z: list[Values], hit: NDArray[np.bool_]) -> pd.DataFrame:
    linked = given.linked()
    row = {name: planted_links.average_precision(score, one) for name, score, one in
           zip(("metagenes", "module genes", "own-effect genes"), z, linked, strict=True)}  # fmt: skip
    return pd.DataFrame([row | {"reported": int(hit.sum()), "planted": int((hit & linked[0]).sum()),
                                "of": int(linked[0].sum())}])  # fmt: skip


def conventional(given: Given) -> pd.DataFrame:
    rows = [given.metagenes.ids.index(name) for name in given.sets.names]
    values = given.metagenes.transform(given.genes.astype(np.float32))[:, rows]
    groups = associate(values, given.features, given.sets.names, FEATURES)
    single = associate(given.genes, given.features, given.names, FEATURES)
    return scored(given, [groups.z, single.z, single.z], groups.q < 0.05)


def main() -> None:
    """Parse, make the cohorts, answer."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--patients", type=int, nargs="+", default=[130, 65])
    options.add_argument("--strengths", type=float, nargs="+", default=[0.4, 0.6, 0.9])
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--nulls", type=int, default=12)
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    tables, by_chance = [], []
    for patients in asked.patients:
        for strength in asked.strengths:
            for seed in range(asked.seeds):
                path = asked.out / f"{patients}-{strength:g}-{seed}.zarr"
                if not path.exists():
                    size = ("--patients", str(patients), "--strength", str(strength), "--seed", str(seed))
                    run("cohort", "phantom", path, *size)
                given = Given.of(Cohort.open(path))
                about = {"patients": patients, "strength": strength, "seed": seed}
                tables.append(conventional(given).assign(way="conventional", **about))
                for way, (named, ridge) in WAYS.items():
                    settings = CanonicalAlignmentSettings(properties=named, gene_ridge=ridge)
                    alignment = CanonicalAlignment(settings, genes=given.genes.shape[1])
                    lesions = perturbation_null.lesions_of(alignment, given.cohort, given.patients, least_area=0.5)
                    side, further = alignment.gene_side(given.genes), 0 if named else 8
                    tables.append(answered(given, lesions, side, further, given.genes).assign(way=way, **about))
                    for null in range(asked.nulls if seed == 0 and (named, ridge) == (True, 3.2) else 0):
                        order = np.random.default_rng([7, null]).permutation(len(given.genes))
                        other = Given(**{**vars(given), "features": given.features[order]})
                        made = answered(other, lesions.given_to(order), side, further, given.genes)
                        by_chance.append(made.assign(null=null, **about))
    made = pd.concat(tables, ignore_index=True)
    columns = ["metagenes", "module genes", "own-effect genes", "reported", "planted", "of"]
    print(made.groupby(["patients", "strength", "way"], sort=False)[columns].mean().round(3).to_string())
    if by_chance:
        found = pd.concat(by_chance)
        print(
            f"\nwith genes of other patients ({WAYS and next(iter(WAYS))}), links reported in {asked.nulls} exchanges:"
        )
        print(found.groupby(["patients", "strength"])["reported"].agg(["sum", "max", "size"]).to_string())
    made.to_csv(asked.out / "axes.csv", index=False)


if __name__ == "__main__":
    main()
