"""What may be concluded from a conventional map, in plain words, made from its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radiogenesis.mapping.conventional.plan import sentence
from radiogenesis.mapping.conventional.three_step import (
    CONFOUNDED,
    FOUND,
    INCOHERENT,
    LEANING,
    SCANNER,
    ConventionalMap,
    held_fixed,
)
from radiogenesis.pages.mapping.names import in_text, names_of, signed
from radiogenesis.stats.association import freedom_of, least_effect

WEAKEST = 0.7
"""An effect (half of the variance) that a map must be able to show before its silence means anything."""


def counts(conventional: ConventionalMap) -> dict[str, float]:
    """The numbers that the sentences are made from."""
    links, alpha = conventional.links, conventional.settings.alpha
    found, confounded = links[links["verdict"] == FOUND], links[links["verdict"] == CONFOUNDED]
    other = found[found["feature"] != conventional.material.size]
    of_sets = conventional.sets["verdict"] if len(conventional.sets) else pd.Series(dtype=str)
    return {
        "tests": conventional.by_metagene.tests,
        "pairs": conventional.by_metagene.p.size,
        "found": len(found),
        "confounded": len(confounded),
        "incoherent": int((links["verdict"] == INCOHERENT).sum()),
        "familywise": int((found["p_max"] < alpha).sum()),
        "beyond_size_of": int(other["p_given_size"].notna().sum()),
        "beyond_size": int((other["p_given_size"] < alpha).sum()),
        "inside_batches": int((confounded["p_within"] < alpha).sum()),
        "shuffled_mean": float(conventional.shuffled.mean()),
        "shuffled_max": int(conventional.shuffled.max()),
        "found_within_of": int(found["p_within"].notna().sum()),
        "found_within": int((found["p_within"] < alpha).sum()),
        "scanner": int((links["verdict"] == SCANNER).sum()),
        "patients": len(conventional.material.patients),
        "features": len(conventional.by_metagene.features),
        "metagenes": len(conventional.metagenes),
        "genes": len(conventional.material.names),
        "batches": conventional.material.batches.shape[1],
        "gene_tests": conventional.by_gene.tests,
        "genes_found": int((conventional.gene_links["verdict"] == FOUND).sum()),
        "genes_confounded": int((conventional.gene_links["verdict"] == CONFOUNDED).sum()),
        "set_tests": len(conventional.sets),
        "sets_found": int((of_sets == FOUND).sum()),
        "sets_confounded": int((of_sets == CONFOUNDED).sum()),
    }


def conclusions(conventional: ConventionalMap) -> list[str]:
    """Sentences; the first says what may be claimed."""
    n, level = counts(conventional), conventional.settings.alpha
    threshold = f"a false discovery rate of {100 * level:g} %"
    of = f"Among {n['tests']:,} tests ({n['metagenes']} metagenes, {n['features']} features, {n['patients']} patients)"
    shuffled = (
        f"with patients shuffled the same map reports {n['shuffled_mean']:.1f} on average, {n['shuffled_max']} at most"
    )
    said = []
    if n["found"]:
        said.append(
            f"{of}, {_many(n['found'], 'association')} may be reported at {threshold}; {n['familywise']} of them also "
            f"after correction for all tests (permutation); {shuffled}. They are associations: which genes go with "
            "which property, not what causes it."
        )
        said.append(f"The strongest: {strongest(conventional)}. {largest_by_chance(conventional)}".strip())
        if n["beyond_size_of"]:
            said.append(
                f"Of the {n['beyond_size_of']} found with features other than size, {n['beyond_size']} remain "
                f"(p < {level:g}) when adjusted for the size of the lesion; the others may be explained by size."
            )
    else:
        said.append(_nothing_found(conventional, n, of, threshold, shuffled))
    said += _about_batches(conventional, n)
    if n["incoherent"]:
        said.append(
            f"{n['incoherent']} more pass the threshold with metagenes whose genes are not correlated enough to trust "
            "(no more than clusters of independent genes): they are not reported."
        )
    if n["scanner"]:
        said.append(
            f"{n['scanner']} more pass the threshold with the noise of the image outside the lesion, which the scanner "
            "makes and no tumor: they are not reported."
        )
    if n["set_tests"]:
        said.append(
            f"Of {n['set_tests']:,} pairs of feature and gene set, {n['sets_found']} hold at {threshold} by the "
            f"competitive and by the patient-level test; {n['sets_confounded']} more share a batch variable with the "
            "feature and are not reported."
        )
    return [*said, sentence(conventional.plan), *_not_tested(conventional), *conventional.material.said]


def _nothing_found(conventional: ConventionalMap, n: dict[str, float], of: str, threshold: str, shuffled: str) -> str:
    """Why nothing is reported; that there is no sign of a link is said only where one could have been seen."""
    if not n["tests"]:
        return f"None of the {n['pairs']:,} tests could be made: nothing can be concluded, for a link or against one."
    withheld = int(n["confounded"] + n["incoherent"] + n["scanner"])
    text = f"{of}, no association may be reported at {threshold}; {shuffled}."
    if withheld:
        return f"{text} {withheld} pass the threshold and are not reported, for the reasons given below."
    if 2 * n["tests"] < n["pairs"]:
        return f"{text} Only {n['tests']:,} of {n['pairs']:,} tests could be made: too few to conclude anything."
    freedom = freedom_of(len(conventional.material.patients), held_fixed(conventional.material, conventional.settings))
    least = least_effect(int(n["tests"]), freedom, conventional.settings.alpha)
    could = f"With {n['patients']} patients and so many tests a single link is reported only from |r| {least:.2f} on"
    if least > WEAKEST:
        return f"{text} {could}: these patients are too few to show a link or to speak against one."
    return f"{text} {could}: these data show no link as strong as that, and weaker ones may be there."


def _not_tested(conventional: ConventionalMap) -> list[str]:
    """Features without any test, by name."""
    associations = conventional.by_metagene
    names = [name for name, p in zip(associations.features, associations.p.T, strict=True) if not np.isfinite(p).any()]
    if not names:
        return []
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return [
        f"Not tested, since too few patients have a value, it does not vary, or covariates explain it all: {shown}."
    ]


def _about_batches(conventional: ConventionalMap, n: dict[str, float]) -> list[str]:
    """What was flagged, or that nothing was, or that nothing could be."""
    names = _join(list(map(str, conventional.material.batches.columns))) if n["batches"] else ""
    if not names:
        return ["No batch variable is known here and varies: nothing can speak against a batch effect."]
    inside = []
    if n["found_within_of"]:
        inside.append(
            f"The features of {n['found_within_of']} of those reported lean to some batch variable (p < {LEANING:g}, "
            f"each test taken alone): within these batches {n['found_within']} of them remain "
            f"(p < {conventional.settings.alpha:g})."
        )
    if not n["confounded"]:
        return [f"No association at this threshold is shared with a batch variable ({names}).", *inside]
    joined = conventional.links.loc[conventional.links["verdict"] == CONFOUNDED, "batch"]
    shared = _join(sorted({batch for some in joined for batch in some.split("; ")}))
    return [
        f"{_many(n['confounded'], 'further association')} pass the same threshold, but metagene and feature both "
        f"correlate with {shared}: flagged as confounded and not reported. Within batches "
        f"{n['inside_batches']} of them remain (p < {conventional.settings.alpha:g}).",
        *inside,
    ]


def strongest(conventional: ConventionalMap, most: int = 3) -> str:
    """The first links found, in words."""
    names = names_of(conventional.metagenes)
    rows = conventional.links[conventional.links["verdict"] == FOUND].head(most)
    return "; ".join(
        f"{in_text(names[row['metagene']])} with {row['feature']} ({'ρ' if row['test'] == 'Spearman' else 'effect'} "
        f"{signed(row['effect'])}, n {row['n']}, q {_q(row['q'])}, all tests permuted p {_q(row['p_max'])})"
        for _, row in rows.iterrows()
    )


def largest_by_chance(conventional: ConventionalMap) -> str:
    """What the largest correlation of the whole table is with patients permuted: the null of the strongest links."""
    largest = conventional.by_metagene.null_max
    if not len(largest):
        return ""
    freedom = freedom_of(len(conventional.material.patients), held_fixed(conventional.material, conventional.settings))
    level = float(np.quantile(largest, 0.95) / np.sqrt(freedom + 1))
    found = conventional.links[conventional.links["verdict"] == FOUND]
    scale = "; effects with two-valued features are on another scale" if (found["test"] == "Mann-Whitney").any() else ""
    null = f"With patients permuted the largest |r| of all tests stays below {level:.2f} in 95 % of permutations"
    return f"{null}{scale}."


def _many(count: float, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _q(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def plain(numbers: dict[str, float]) -> dict[str, float | int | None]:
    """Numbers as JSON writes them; None for nan, which JSON does not know."""
    return {
        name: None if np.isnan(v) else int(v) if float(v).is_integer() else float(np.round(v, 6))
        for name, v in numbers.items()
    }
