"""What may be concluded from a conventional map, in plain words, made from its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radiogenesis.mapping.three_step import CONFOUNDED, FOUND, INCOHERENT, LEANING, SCANNER, ConventionalMap


def counts(made: ConventionalMap) -> dict[str, float]:
    """The numbers that the sentences are made from."""
    links, alpha = made.links, made.settings.alpha
    found, confounded = links[links["verdict"] == FOUND], links[links["verdict"] == CONFOUNDED]
    other = found[found["feature"] != made.material.size]
    of_sets = made.sets["verdict"] if len(made.sets) else pd.Series(dtype=str)
    return {
        "tests": made.by_metagene.tests,
        "found": len(found),
        "confounded": len(confounded),
        "incoherent": int((links["verdict"] == INCOHERENT).sum()),
        "familywise": int((found["p_max"] < alpha).sum()),
        "beyond_size_of": int(other["p_given_size"].notna().sum()),
        "beyond_size": int((other["p_given_size"] < alpha).sum()),
        "inside_batches": int((confounded["p_within"] < alpha).sum()),
        "shuffled_mean": float(made.shuffled.mean()),
        "shuffled_max": int(made.shuffled.max()),
        "found_within_of": int(found["p_within"].notna().sum()),
        "found_within": int((found["p_within"] < alpha).sum()),
        "scanner": int((links["verdict"] == SCANNER).sum()),
        "patients": len(made.material.patients),
        "features": len(made.by_metagene.features),
        "metagenes": len(made.metagenes),
        "genes": len(made.material.names),
        "batches": made.material.batches.shape[1],
        "gene_tests": made.by_gene.tests,
        "genes_found": int((made.gene_links["verdict"] == FOUND).sum()),
        "genes_confounded": int((made.gene_links["verdict"] == CONFOUNDED).sum()),
        "set_tests": len(made.sets),
        "sets_found": int((of_sets == FOUND).sum()),
        "sets_confounded": int((of_sets == CONFOUNDED).sum()),
    }


def conclusions(made: ConventionalMap) -> list[str]:
    """Sentences; the first says what may be claimed."""
    n, level = counts(made), made.settings.alpha
    threshold = f"a false discovery rate of {100 * level:g} %"
    of = f"Among {n['tests']:,} tests ({n['metagenes']} metagenes, {n['features']} features, {n['patients']} patients)"
    shuffled = (
        f"with genes of other patients the same map reports {n['shuffled_mean']:.1f} on average, "
        f"{n['shuffled_max']} at most"
    )
    said = []
    if n["found"]:
        said.append(
            f"{of}, {n['found']} associations may be reported at {threshold}; {n['familywise']} of them also hold "
            f"family-wise; {shuffled}. They are associations: which genes go with which property, not what causes it."
        )
        said.append(f"The strongest: {strongest(made.links)}.")
        if n["beyond_size_of"]:
            said.append(
                f"Of the {n['beyond_size_of']} found with features other than size, {n['beyond_size']} remain "
                f"(p < {level:g}) when the size of the lesion is held fixed; the others may be size in disguise."
            )
    else:
        said.append(
            f"{of}, no association may be reported at {threshold}; {shuffled}. This is a result: these data do not "
            "show a link, which does not show that there is none."
        )
    said += _about_batches(made, n)
    if n["incoherent"]:
        said.append(
            f"{n['incoherent']} more pass the threshold with metagenes whose genes go together no more than clustered "
            "noise does: they follow a profile in these patients and would not in others, and are not reported."
        )
    if n["scanner"]:
        said.append(
            f"{n['scanner']} more pass the threshold with the noise of the image outside the lesion: no tumour does "
            "that, a scanner does, and they are not reported."
        )
    if n["set_tests"]:
        said.append(
            f"Of {n['set_tests']:,} pairs of feature and gene set, {n['sets_found']} hold at {threshold}, against "
            f"other genes and with patients permuted; {n['sets_confounded']} more share a batch variable with the "
            "feature and are not reported."
        )
    return said


def _about_batches(made: ConventionalMap, n: dict[str, float]) -> list[str]:
    """What was flagged, or that nothing was, or that nothing could be."""
    names = _join(list(map(str, made.material.batches.columns))) if n["batches"] else ""
    if not names:
        return ["No batch variable is known here and varies: nothing can speak against a batch effect."]
    inside = []
    if n["found_within_of"]:
        inside.append(
            f"The features of {n['found_within_of']} of those reported lean to some batch variable (p < {LEANING:g}, "
            f"each test taken alone): inside these batches {n['found_within']} of them still show "
            f"(p < {made.settings.alpha:g})."
        )
    if not n["confounded"]:
        return [f"No association at this threshold is shared with a batch variable ({names}).", *inside]
    joined = made.links.loc[made.links["verdict"] == CONFOUNDED, "batch"]
    shared = _join(sorted({batch for some in joined for batch in some.split("; ")}))
    return [
        f"{n['confounded']} further associations pass the same threshold, but both of their sides go with {shared}: "
        f"they are flagged as confounded and not reported. Inside the batches {n['inside_batches']} of them still show "
        f"(p < {made.settings.alpha:g}).",
        *inside,
    ]


def strongest(links: pd.DataFrame, most: int = 3) -> str:
    """The first links found, in words."""
    rows = links[links["verdict"] == FOUND].head(most)
    return "; ".join(
        f"{row['metagene']} with {row['feature']} ({'ρ' if row['test'] == 'Spearman' else 'effect'} "
        f"{row['effect']:.2f}, n {row['n']}, q {_q(row['q'])})".replace("-", "−", 1 if row["effect"] < 0 else 0)
        for _, row in rows.iterrows()
    )


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
