"""Do the links of one cohort hold in others?

What is asked, and how surely it could be seen, is settled before any other cohort's genes are put beside its features:
the links found, their effects without what their selection added (`stats.power.without_selection`), and the power of
each cohort's patients. Then each link is tested once in each cohort, in the direction in which it was found, and only
the links asked count as tests (Benjamini and Hochberg, cohort by cohort).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.conventional import confounding
from radiogenesis.mapping.conventional.features import NOISE
from radiogenesis.mapping.conventional.three_step import FOUND, NOT_FOUND, ConventionalMap, held_batches
from radiogenesis.mapping.replication.prepared import Prepared
from radiogenesis.mapping.replication.sample import Sample, first_sample, other_sample
from radiogenesis.mapping.replication.settings import ReplicationSettings
from radiogenesis.mapping.replication.tested import correlation, interval_of, one_sided_p, pair_of
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.stats.meta_analysis import random_effects
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.power import critical, expected_level, power, spread, without_selection

REPLICATED, CONFOUNDED_THERE, OPPOSITE, NOT_MEASURED = (
    "replicated", "replicated, but confounded there", "opposite direction", "not measured there",
)  # fmt: skip
SAME = "same direction, not significant"
LINK = ["metagene", "feature"]


@dataclass(frozen=True, eq=False)
class Replication:
    """Links in other cohorts.

    Attributes:
        samples: the cohort of the links first, then the others.
        links: those asked: metagene, feature, family, rho, low, high (in the first cohort), expected (without what
            selection added), n, and those of the map.
        found: whether they were found, or are only the strongest candidates of a map that found none.
        plan: link x cohort, before any test: metagene, feature, cohort, n, expected, level, power.
        tests: link x cohort: the plan's columns, rho, low, high, p (one-sided), q, batch (shared there), why, verdict.
        pooled: per link: cohorts, rho, low, high, p, i2 of the other cohorts; all_cohorts, all_rho, all_low, all_high,
            all_i2, all_q_p of all of them, the first included.
        differences: see `differences.differences`.
        settings: how they were looked for.
        said: sentences on harmonisation.
    """

    samples: tuple[Sample, ...]
    links: pd.DataFrame
    found: bool
    plan: pd.DataFrame
    tests: pd.DataFrame
    pooled: pd.DataFrame
    differences: pd.DataFrame
    settings: ReplicationSettings
    said: tuple[str, ...] = ()


def asked_links(made: ConventionalMap, candidates: int) -> tuple[pd.DataFrame, bool]:
    """The links found; failing these the strongest pairs. With `selected`, the p that each had to reach to be here."""
    links, alpha = made.links, made.settings.alpha
    found = links[links["verdict"] == FOUND]
    if len(found):
        return found.assign(selected=float(links.loc[links["q"] < alpha, "p"].max())), True
    trusted = links["metagene"].isin(np.array(made.metagenes.ids)[made.coherent])
    usable = links[(links["verdict"] == NOT_FOUND) & links["p"].notna() & (links["family"] != NOISE) & trusted]
    chosen, next_one = usable.head(candidates), usable.iloc[candidates : candidates + 1]["p"]
    return chosen.assign(selected=float(next_one.iloc[0]) if len(next_one) else 1.0), False


def links_of(made: ConventionalMap, first: Sample, settings: ReplicationSettings) -> tuple[pd.DataFrame, bool]:
    """The links asked, with the correlation in the cohort where they were found and what is expected elsewhere."""
    chosen, found = asked_links(made, settings.candidates)
    rows = []
    for link in chosen.to_dict("records"):
        pair, _ = pair_of(first, made.metagenes.ids.index(link["metagene"]), link["feature"])
        assert pair is not None  # it was tested
        rho = correlation(pair)
        error = float(spread(pair.freedom, ranks=pair.ranks))
        limit = np.arctanh(min(float(critical(link["selected"], pair.freedom)), 1 - 1e-9)) / error
        low, high = interval_of(rho, pair.freedom, ranks=pair.ranks)
        z = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9)) / error
        rows.append({"rho": rho, "low": low, "high": high, "freedom": pair.freedom, "z_first": z, "limit": limit,
                     "error": error, "ranks": pair.ranks})  # fmt: skip
    numbers = pd.DataFrame(
        rows, columns=["rho", "low", "high", "freedom", "z_first", "limit", "error", "ranks"], index=chosen.index
    )
    links = chosen.drop(columns="selected").join(numbers)
    shrunk = without_selection(links["z_first"], links["limit"]) if len(links) else np.zeros(0)
    links["expected"] = np.tanh(shrunk * links["error"])
    return links.drop(columns=["z_first", "limit"]).reset_index(drop=True), found


def planned(
    links: pd.DataFrame, samples: Sequence[Sample], metagenes: Sequence[str], alpha: float, permutations: int
) -> pd.DataFrame:
    """Power of every link in every other cohort, from its patients and the effect expected, before any test. 0 where
    so few permutations cannot give a p as small as it takes."""
    tables = []
    for sample in samples:
        pairs = [pair_of(sample, metagenes.index(str(m)), str(f))[0] for m, f in links[LINK].to_numpy()]
        n = [0 if pair is None else len(pair.x) for pair in pairs]
        freedom = np.array([0 if pair is None else pair.freedom for pair in pairs], float)
        table = links[[*LINK, "expected"]].assign(cohort=sample.name, n=n, level=np.nan, power=np.nan)
        can = freedom > 0
        if can.any():
            ranks, rho = sample.held["model"] == "rank", links["expected"].abs().to_numpy()[can]
            level = expected_level(rho, freedom[can], alpha, ranks=ranks)
            table.loc[can, "level"] = level
            reached = np.asarray(level) >= 1 / (1 + permutations)
            table.loc[can, "power"] = np.where(reached, power(rho, freedom[can], level, sided=1, ranks=ranks), 0.0)
        tables.append(table)
    columns = [*LINK, "cohort", "n", "expected", "level", "power"]
    return pd.concat(tables, ignore_index=True)[columns]


def tested(
    links: pd.DataFrame, plan: pd.DataFrame, samples: Sequence[Sample], metagenes: Sequence[str],
    settings: MapSettings, permutations: int,
) -> pd.DataFrame:  # fmt: skip
    """Every link in every other cohort, once."""
    tables = []
    for sample in samples:
        rows = [_one(link, sample, metagenes, permutations, settings.seed) for link in links.to_dict("records")]
        found = pd.DataFrame(rows, columns=["rho", "low", "high", "freedom", "p", "why"])
        table = plan[plan["cohort"] == sample.name].reset_index(drop=True).join(found)
        table["q"] = false_discovery_rate(table["p"].to_numpy(np.float64))
        table["batch"] = _shared_there(links, sample, metagenes, settings)
        table["verdict"] = [
            _verdict(row, np.sign(rho), settings.alpha)
            for row, rho in zip(table.to_dict("records"), links["rho"], strict=True)
        ]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _one(
    link: dict[Hashable, Any], sample: Sample, metagenes: Sequence[str], permutations: int, seed: int
) -> dict[str, object]:
    pair, why = pair_of(sample, metagenes.index(str(link["metagene"])), str(link["feature"]))
    if pair is None:
        return {"rho": np.nan, "low": np.nan, "high": np.nan, "freedom": 0, "p": np.nan, "why": why}
    rho = correlation(pair)
    low, high = interval_of(rho, pair.freedom, ranks=pair.ranks)
    p = one_sided_p(pair, float(np.sign(link["rho"])), permutations, seed)
    return {"rho": rho, "low": low, "high": high, "freedom": pair.freedom, "p": p, "why": ""}


def _shared_there(links: pd.DataFrame, sample: Sample, metagenes: Sequence[str], settings: MapSettings) -> list[str]:
    """The batch variables of the other cohort that both sides of each link go with there."""
    names, features = list(dict.fromkeys(links["metagene"])), list(dict.fromkeys(links["feature"]))
    here = [feature for feature in features if feature in sample.material.features.values]
    if not here:
        return [""] * len(links)
    batches = sample.material.batches
    of_metagenes = confounding.test_batches(sample.values[:, [metagenes.index(m) for m in names]], names, batches)
    of_features = confounding.test_batches(sample.material.features.values[here].to_numpy(np.float64), here, batches)
    of_features = of_features[~of_features["batch"].isin(held_batches(batches, settings))]
    shared = confounding.shared_batches(links, "metagene", of_metagenes, of_features, settings.alpha)
    return ["; ".join(batch) for batch in shared]


def _verdict(row: dict[Hashable, Any], sign: float, alpha: float) -> str:
    rho, q = float(row["rho"]), float(row["q"])
    if rho != rho:
        return NOT_MEASURED
    if rho * sign <= 0:
        return OPPOSITE
    if q < alpha:
        return CONFOUNDED_THERE if row["batch"] else REPLICATED
    return f"{SAME} (power {row['power']:.2f})"


def pooled(links: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """Random effects of each link over the other cohorts, which did not choose it; and over all, which did."""
    rows = []
    for link in links.to_dict("records"):
        mine = tests[(tests["metagene"] == link["metagene"]) & (tests["feature"] == link["feature"])]
        mine = mine[mine["rho"].notna()]
        rho, freedom = mine["rho"].to_numpy(float), mine["freedom"].to_numpy(float)
        ranks = bool(link["ranks"])
        row: dict[str, object] = {name: link[name] for name in LINK} | {"cohorts": len(mine)}
        if len(mine):
            others, every = (
                random_effects(np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)), spread(f, ranks=ranks) ** 2)
                for r, f in ((rho, freedom), (np.r_[link["rho"], rho], np.r_[link["freedom"], freedom]))
            )
            row |= {"rho": np.tanh(others.value), "low": np.tanh(others.low), "high": np.tanh(others.high),
                    "p": others.p, "i2": others.i2, "all_cohorts": every.cohorts, "all_rho": np.tanh(every.value),
                    "all_low": np.tanh(every.low), "all_high": np.tanh(every.high), "all_i2": every.i2,
                    "all_q_p": every.q_p}  # fmt: skip
        rows.append(row)
    columns = [*LINK, "cohorts", "rho", "low", "high", "p", "i2", "all_cohorts", "all_rho", "all_low", "all_high",
               "all_i2", "all_q_p"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def replicate(made: ConventionalMap, cohort: Cohort, prepared: Prepared, settings: ReplicationSettings) -> Replication:
    """Plan, test and pool.

    Args:
        made: the map of `prepared.first`.
        cohort: that was mapped.
    """
    first = first_sample(made, cohort)
    links, found = links_of(made, first, settings)
    features = list(map(str, links["feature"]))
    others = [other_sample(one.cohort, one.name, one.material, made, features) for one in prepared.others]
    ids = made.metagenes.ids
    plan = planned(links, others, ids, made.settings.alpha, settings.replication_permutations)
    tests = tested(links, plan, others, ids, made.settings, settings.replication_permutations)
    pool = pooled(links, tests)
    differ, said = prepared.differences, prepared.said
    return Replication((first, *others), links, found, plan, tests, pool, differ, settings, said)
