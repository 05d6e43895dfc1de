"""Known answers, both maps side by side: the conventional one, and that of a trained run, on the same phantom.

    python benchmarks/map_synthesis.py COHORT RUN [--null_run RUN ...] [--backgrounds 2] [--clusters 0]

COHORT is a phantom (`radiogenesis cohort phantom`), RUN a run on it that draws (`radiogenesis train fusion-gan`).
Average precision is the area under precision and recall of all pairs of metagene (or gene) and planted property: the
conventional map ranked by |z|; `by_synthesis` by the z of the first-order effect, which its null gives; `by_effect` by
the drawn effect of a move in standard deviations of the feature, which needs no null. `conventional, training` is the
conventional map of the run's training patients alone, metagenes included, measured on their own slices: what the model
was given. See mapping/synthesis/planted_links.py for what counts as a link.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.mapping.conventional.three_step import ConventionalMap, conventional_map, inputs_of
from radiogenesis.mapping.settings import MapSettings, SynthesisSettings
from radiogenesis.mapping.synthesis import planted_links
from radiogenesis.mapping.synthesis.known_answers import known_answers, scores
from radiogenesis.mapping.synthesis.measured import NAMES
from radiogenesis.mapping.synthesis.runs import Trained, open_runs
from radiogenesis.mapping.synthesis.synthesis import map_by_synthesis
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.association import associate
from radiogenesis.stats.metagenes import Metagenes


def main() -> None:
    """Parse, make both maps, print them beside each other."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("run", type=Path)
    options.add_argument("--null_run", type=Path, nargs="+", default=[])
    options.add_argument("--backgrounds", type=int, default=SynthesisSettings.backgrounds)
    options.add_argument("--random_sets", type=int, default=SynthesisSettings.random_sets)
    options.add_argument("--clusters", type=int, default=0)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    cohort = Cohort.open(given.cohort)
    if cohort.truth is None:
        raise SystemExit(f"{given.cohort}: nothing was planted in this cohort")
    settings = MapSettings(clusters=given.clusters, seed=given.seed)
    trained, nulls, _ = open_runs(given.run, given.null_run, cohort, given.seed)
    seconds = {"conventional": -time.perf_counter()}
    made = conventional_map(inputs_of(cohort, settings), settings)
    seconds["conventional"] += time.perf_counter()
    seconds["by synthesis"] = -time.perf_counter()
    moves = SynthesisSettings(backgrounds=given.backgrounds, random_sets=given.random_sets)
    moved = map_by_synthesis(trained, cohort, made, moves, nulls=nulls)
    seconds["by synthesis"] += time.perf_counter()

    axes = 0 if moved.axes is None else len(moved.axes)
    print(f"{given.cohort.name}: {made.material.source}; {axes} axes of the gene code")
    print(f"{trained.name}: {moved.training} training patients, {len(moved.patients)} held out")
    print(f"seconds: {', '.join(f'{name} {value:.0f}' for name, value in seconds.items())}")
    table = known_answers(made, moved, cohort.truth)
    table.insert(5, "conventional, training", from_training(made, trained, cohort)[: len(table)])
    ranked = scores(made, moved, cohort.truth)
    with pd.option_context("display.width", 160, "display.max_columns", 20):
        print("average precision")
        print(table.round(3).to_string(index=False))
        print("feature by feature")
        print(by_feature(ranked).round(3).to_string(index=False))
        print("agreement")
        print(moved.agreement.round(3).to_string(index=False))
        print("links by verdict")
        print(pd.crosstab(moved.links["verdict"], moved.links["conventional_verdict"]).to_string())
        print("planted among those found")
        print(planted_among_found(made, moved.links, ranked["metagenes"][1]).to_string(index=False))


def answers(path: Path, run: Path, clusters: int, random_sets: int) -> pd.DataFrame:
    """Average precision of both maps of one cohort, question by question, and how many metagene links each
    reports."""
    cohort, settings = Cohort.open(path), MapSettings(clusters=clusters)
    assert cohort.truth is not None
    trained, _, _ = open_runs(run, [], cohort, settings.seed)
    made = conventional_map(inputs_of(cohort, settings), settings)
    moved = map_by_synthesis(trained, cohort, made, SynthesisSettings(backgrounds=1, random_sets=random_sets))
    table = known_answers(made, moved, cohort.truth)
    found = planted_among_found(made, moved.links, scores(made, moved, cohort.truth)["metagenes"][1])
    for name, row in zip(("conventional", "by synthesis"), found.to_dict("records"), strict=True):
        table[f"{name}, reported"], table[f"{name}, true"] = row["reported"], row["planted among them"]
    return table


def from_training(made: ConventionalMap, trained: Trained, cohort: Cohort) -> list[float]:
    """Average precision of the conventional map of the run's training patients, question by question.

    Metagenes are those of the training patients too, as many as the map has.
    """
    assert cohort.truth is not None
    patients = list(trained.split.train)
    genes = trained.scaler.transform(cohort.expression, patients)
    features = own_features(cohort, patients)
    column = {name: g for g, name in enumerate(trained.scaler.genes)}
    known = [column[name] for name in made.metagenes.names]
    genes, how = genes[:, known], made.settings
    metagenes = Metagenes.fit(
        genes, made.metagenes.names, clusters=len(made.metagenes), method=how.method, seed=how.seed
    )
    groups = associate(metagenes.transform(genes), features, metagenes.ids, FEATURES)
    single = associate(genes, features, metagenes.names, FEATURES)
    planted = [planted_links.planted_metagenes(cohort.truth, metagenes, FEATURES)]
    planted += [
        planted_links.planted_links(cohort.truth, made.metagenes.names, FEATURES, q) for q in ("module", "effect")
    ]
    return [planted_links.average_precision(z, p) for z, p in zip((groups.z, single.z, single.z), planted, strict=True)]


Rankings = dict[str, tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]]


def by_feature(ranked: Rankings) -> pd.DataFrame:
    """Average precision of each feature alone."""
    rows = []
    for question, (rankings, linked) in ranked.items():
        for f in range(linked.shape[1]):
            ap = {name: planted_links.average_precision(score[:, f], linked[:, f]) for name, score in rankings.items()}
            rows.append({"question": question, "feature": NAMES[f], "links": int(linked[:, f].sum()), **ap})
    return pd.DataFrame(rows)


def planted_among_found(made: ConventionalMap, table: pd.DataFrame, linked: NDArray[np.bool_]) -> pd.DataFrame:
    """How many of the links that each map reports are planted, and how many planted links it reports."""
    names = [name for name in made.metagenes.ids if name in set(table["metagene"])]
    rows = []
    for column in ("conventional_verdict", "verdict"):
        wide = table.assign(hit=table[column] == "found").pivot(index="metagene", columns="feature", values="hit")
        hit = wide.loc[names, list(NAMES)].to_numpy(bool)
        rows.append((column, int(hit.sum()), int((hit & linked).sum()), int(linked.sum()), int(np.sum(linked & ~hit))))
    return pd.DataFrame(rows, columns=["map", "reported", "planted among them", "planted", "missed"])


if __name__ == "__main__":
    main()
