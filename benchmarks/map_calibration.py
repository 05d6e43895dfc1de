"""False positive rates of the conventional map where nothing is planted, over many null cohorts.

    python benchmarks/map_calibration.py [--cohorts 200] [--patients 100] [--genes 600] [--features 20]

Expression has co-expression modules as in the phantom; features go with each other (three common factors), some skewed,
some of two values, some with missing values, and with no gene. Printed: the share of p values below 0.05 (to be between
0.03 and 0.07), for each kind of test; how often a cohort has a family-wise p below 0.05; and the share of cohorts with
any q below 0.05. Then the same of few patients with many covariates, and where a batch moves both sides, tested freely
and within batches.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from radiogenesis.stats.association import associate
from radiogenesis.stats.metagenes import Metagenes
from simulated import null_cohort


def main() -> None:
    """Draw the cohorts, test them, print the rates with their standard errors."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given_names = (("cohorts", 200), ("patients", 100), ("genes", 600), ("features", 20), ("permutations", 200))
    for name, default in given_names:
        options.add_argument(f"--{name}", type=int, default=default)
    given = options.parse_args()
    rates: dict[str, list[float]] = defaultdict(list)
    for cohort in range(given.cohorts):
        genes, features = null_cohort(given.patients, given.genes, given.features, seed=cohort)
        names, feature_names = [f"g{i}" for i in range(given.genes)], [f"f{i}" for i in range(given.features)]
        found = associate(
            genes, features, names, feature_names, permutations=given.permutations, each=True, seed=cohort
        )
        test = np.array(found.test)
        some = np.isnan(features).any(axis=0)
        rates["p, all tests"].append(np.mean(found.p < 0.05))
        rates["p, Spearman"].append(np.mean(found.p[:, (test == "Spearman") & ~some] < 0.05))
        rates["p, Spearman with missing values"].append(np.mean(found.p[:, (test == "Spearman") & some] < 0.05))
        rates["p, Mann-Whitney"].append(np.mean(found.p[:, test == "Mann-Whitney"] < 0.05))
        rates["p by permutation"].append(np.mean(found.p_permuted < 0.05))
        covariates = np.random.default_rng([cohort, 1]).standard_normal((given.patients, 2))
        linear = associate(genes, features, names, feature_names, model="linear", covariates=covariates)
        rates["p, linear model, two covariates"].append(np.mean(linear.p < 0.05))
        few, of_few = null_cohort(30, 100, given.features, seed=cohort)
        five = np.random.default_rng([cohort, 3]).standard_normal((30, 5))
        held = associate(
            few, of_few, names[:100], feature_names, model="linear", covariates=five, permutations=given.permutations,
            each=True, seed=cohort,
        )  # fmt: skip
        rates["p, 30 patients, five covariates"].append(np.nanmean(held.p < 0.05))
        rates["p by permutation, 30 patients, five covariates"].append(np.nanmean(held.p_permuted < 0.05))
        rates["cohorts with a family-wise p, five covariates"].append(np.nanmin(held.p_max) < 0.05)
        rates["cohorts with a family-wise p"].append(np.min(found.p_max) < 0.05)
        rates["cohorts with a q"].append(np.min(found.q) < 0.05)
        metagenes = Metagenes.fit(genes, names, clusters=20, seed=cohort)
        grouped = associate(
            metagenes.transform(genes), features, metagenes.ids, feature_names, permutations=200, seed=cohort
        )
        rates["p, metagenes fitted on the same patients"].append(np.mean(grouped.p < 0.05))
        rates["cohorts with a family-wise p, metagenes"].append(np.min(grouped.p_max) < 0.05)

        batch = np.random.default_rng([cohort, 2]).integers(0, 3, given.patients)
        shifted, moved = genes[:, :100] + batch[:, None], features[:, ::4] + batch[:, None] * features[:, ::4].std(0)
        free = associate(shifted, moved, names[:100], feature_names[::4])
        inside = associate(
            shifted, moved, names[:100], feature_names[::4], blocks=batch, permutations=200, each=True, seed=cohort
        )
        rates["a batch moves both sides: p"].append(np.mean(free.p < 0.05))
        rates["a batch moves both sides: p within batches"].append(np.mean(inside.p < 0.05))
        rates["a batch moves both sides: p by permutation within"].append(np.mean(inside.p_permuted < 0.05))
    print(f"{given.cohorts} null cohorts: {given.patients} patients, {given.genes} genes x {given.features} features")
    for name, values in rates.items():
        print(f"{name:<56} below 0.05: {np.mean(values):.4f} +- {np.std(values, ddof=1) / len(values) ** 0.5:.4f}")


if __name__ == "__main__":
    main()
