"""Gene sets: which are at the head or the foot of a feature's ranked genes, and which fill a metagene.

gseapy does the published statistics (Subramanian et al. 2005; hypergeometric). Its null permutes genes, as if genes
were independent; co-expressed sets then look significant too often (Goeman and Buhlmann 2007). So each set and feature
has a second p value, `p_patients`, from permuting patients, which keeps the correlation between genes: that of the
set's own mean z. The two ask different questions, and a set holds only where both are answered: the first, whether the
set stands out of all genes (competitive), the second, whether anything of it goes with the feature at all
(self-contained). A difference from all genes under permuted patients would answer neither: where many genes go with a
feature, a set that does not is significantly different from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.tables.gene_names import canonical
from radiogenesis.errors import InputError
from radiogenesis.given_files import refuse_special
from radiogenesis.stats.association import (
    FREE,
    Associations,
    Held,
    associate,
    design_of,
    prepared,
)
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.multiple_testing import false_discovery_rate

GeneSets = Mapping[str, Sequence[str]]

FEWEST_RANKED = 15
"""Measured genes that a set must have to be tested along the ranked genes of a feature."""
FEWEST_FILLING = 5
"""Measured genes that a set must have to be looked for in metagenes."""


def read_gmt(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Gene sets of a GMT file: name, description, genes, tab-separated, one set per line; UTF-8, UTF-16 or Latin-1.

    Raises:
        InputError: no such file, not text, or a line that is no set.
    """
    path = Path(path)
    lines = _lines(path)
    sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        genes = tuple(dict.fromkeys(_WEIGHT.sub("", gene) for gene in rest[1:] if gene))
        if not genes or name in sets:
            problem = "appears twice" if name in sets else "has no genes"
            raise InputError(
                f"line {number}: the set {name[:40]!r} {problem}", path=path, remedy="give a GMT file: tab-separated"
            )
        sets[name] = genes
    if not sets:
        raise InputError("holds no gene set", path=path)
    return sets


_WEIGHT = re.compile(r",[\d.]+$")  # Enrichr writes "TP53,1.0"


def _lines(path: Path) -> list[str]:
    """The lines of a text in the encodings that spreadsheets and editors write."""
    refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        if (not wide and b"\x00" in content[:4096]) or content.startswith(b"\x1f\x8b"):
            raise ValueError("binary")
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "" if wide else content.decode("latin-1")
    except ValueError:
        text = ""
    if content and not text:
        raise InputError("is not text", path=path, remedy="give a GMT file, unpacked, such as MSigDB offers")
    return text.splitlines()


def in_names_of(sets: GeneSets, names: Sequence[str], path: str | Path) -> tuple[dict[str, tuple[str, ...]], str]:
    """The sets with their genes written as in the table, and one sentence on how many of them can be tested.

    A gene is the one of the same name, or else the only one of the same canonical identifier.

    Args:
        sets: name -> genes.
        names: of the table's genes.
        path: the file of the sets.

    Raises:
        InputError: no set has the 5 genes of the table that over-representation takes.
    """
    measured, alike = set(names), Counter(map(canonical, names))
    only = {canonical(name): name for name in names if alike[canonical(name)] == 1}
    in_names: dict[str, tuple[str, ...]] = {}
    for name, genes in sets.items():
        in_table = (gene if gene in measured else only.get(canonical(gene), gene) for gene in genes)
        in_names[name] = tuple(dict.fromkeys(in_table))
    ranked, filling = (len(measured_sets(in_names, names, fewest)) for fewest in (FEWEST_RANKED, FEWEST_FILLING))
    asked = {gene for theirs in in_names.values() for gene in theirs}
    share = len(asked & measured) / max(1, len(asked))
    like = f"its genes look like {_example(names)}, the sets' like {_example(sorted(set().union(*sets.values())))}"
    if not filling:
        raise InputError(
            f"none of the {len(sets)} gene sets has {FEWEST_FILLING} genes of the cohort's table ({like})", path=path,
            remedy="give gene sets with the table's identifiers (MSigDB has symbols, Entrez and Ensembl ids)",
        )  # fmt: skip
    text = (
        f"Gene sets: {ranked:,} of {len(sets):,} have at least {FEWEST_RANKED} genes of the table and are tested along "
        f"the features, {filling:,} have at least {FEWEST_FILLING} and are looked for in metagenes; the table has "
        f"{share:.0%} of the sets' genes"
    )
    return in_names, f"{text}."


def _example(genes: Sequence[str]) -> str:
    return str(genes[len(genes) // 2])[:30]


def measured_sets(sets: GeneSets, names: Sequence[str], fewest: int) -> dict[str, list[str]]:
    """The sets cut down to the genes measured, those with at least `fewest` of them."""
    measured = set(names)
    cut = {name: [gene for gene in genes if gene in measured] for name, genes in sets.items()}
    return {name: genes for name, genes in cut.items() if len(genes) >= fewest}


def ranked_enrichment(
    genes: NDArray[Any],
    features: NDArray[Any],
    associations: Associations,
    sets: GeneSets,
    *,
    fewest: int = FEWEST_RANKED,
    permutations: int = 1000,
    patient_permutations: int = 10_000,
    alpha: float = 0.05,
    held: Held = FREE,
    seed: int = 0,
) -> pd.DataFrame:
    """Genes ranked by their z with each feature, sets tested by gseapy.prerank, and by permuting patients.

    Args:
        genes, features: (n, G), (n, F), what `associations` was made from.
        associations: the associations of all genes.
        sets: name -> genes.
        fewest: measured genes that a set must have.
        permutations: of genes, by gseapy.
        patient_permutations: of patients; more, since all pairs of set and feature share one false discovery rate.
        alpha: false discovery rate at which a set holds.
        held: what `associations` holds fixed.

    Returns:
        tidy: feature, set, size, es, nes, p, q (gseapy, over the sets of a feature), p_patients, q_patients (over the
        whole table), holds (q and q_patients below alpha), leading genes; the smallest p_patients first.
    """
    import gseapy

    cut = measured_sets(sets, associations.genes, fewest)
    columns = ["feature", "set", "size", "es", "nes", "p", "q", "p_patients", "q_patients", "holds", "leading"]
    parts = []
    ours = _patient_p(genes, features, associations, cut, patient_permutations, held, seed) if cut else {}
    for f, feature in enumerate(associations.features):
        z = pd.Series(associations.z[:, f], index=list(associations.genes)).dropna()  # of a constant gene there is none
        mine = measured_sets(cut, list(z.index), fewest)
        if not mine:
            continue
        result = gseapy.prerank(
            rnk=_untied(z).sort_values(ascending=False, kind="stable"), gene_sets=mine,
            min_size=fewest, max_size=len(z), permutation_num=permutations, seed=seed, threads=1,
            outdir=None, no_plot=True,
        ).res2d  # fmt: skip
        table = pd.DataFrame(
            {
                "feature": feature,
                "set": result["Term"].astype(str),
                "size": result["Term"].map(lambda name, mine=mine: len(mine[name])).astype(int),
                **{new: result[old].astype(float) for new, old in _GSEAPY.items()},
                "leading": result["Lead_genes"].astype(str).str.replace(";", " "),
            }
        )
        table["p_patients"] = [ours[name][f] for name in table["set"]]
        parts.append(table)
    joined = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    joined["q_patients"] = false_discovery_rate(joined["p_patients"].to_numpy(np.float64))
    joined["holds"] = (joined["q"] < alpha) & (joined["q_patients"] < alpha)
    return joined[columns].sort_values(["p_patients", "p"], kind="stable").reset_index(drop=True)


_GSEAPY = {"es": "ES", "nes": "NES", "p": "NOM p-val", "q": "FDR q-val"}


def over_representation(metagenes: Metagenes, sets: GeneSets, *, fewest: int = FEWEST_FILLING) -> pd.DataFrame:
    """Sets that fill a metagene more than chance (hypergeometric test); the background is the genes measured.

    Returns:
        tidy: metagene, set, overlap, metagene_size, set_size, odds_ratio, p, q over the whole table, genes.
    """
    import gseapy

    cut = measured_sets(sets, metagenes.names, fewest)
    columns = ["metagene", "set", "overlap", "metagene_size", "set_size", "odds_ratio", "p", "q", "genes"]
    parts = []
    for k, name in enumerate(metagenes.ids):
        members = list(metagenes.members(k))
        hit = [s for s, genes in cut.items() if set(genes) & set(members)]
        if not hit:
            continue  # gseapy has no answer to nothing in common
        result = gseapy.enrich(members, cut, background=list(metagenes.names), outdir=None, no_plot=True).results
        parts.append(
            pd.DataFrame(
                {
                    "metagene": name,
                    "set": result["Term"].astype(str),
                    "overlap": result["Overlap"].str.split("/").str[0].astype(int),
                    "metagene_size": len(members),
                    "set_size": result["Term"].map(lambda s: len(cut[s])).astype(int),
                    "odds_ratio": result["Odds Ratio"].astype(float),
                    "p": result["P-value"].astype(float),
                    "genes": result["Genes"].str.replace(";", " "),
                }
            )
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    # Pairs with nothing in common are tests too, of p = 1.
    p = np.concatenate([table["p"].to_numpy(np.float64), np.ones(len(cut) * len(metagenes) - len(table))])
    table["q"] = false_discovery_rate(p)[: len(table)]
    return table[columns].sort_values("p", kind="stable").reset_index(drop=True)


def set_means(genes: NDArray[Any], names: Sequence[str], sets: GeneSets) -> NDArray[np.float64]:
    """(n, S) mean of the measured genes of each set; nan for a set of which none is measured."""
    place = {gene: i for i, gene in enumerate(names)}
    means = np.full((len(genes), len(sets)), np.nan)
    for s, mine in enumerate(sets.values()):
        at = [place[gene] for gene in mine if gene in place]
        if at:
            means[:, s] = np.asarray(genes, np.float64)[:, at].mean(axis=1)
    return means


def _patient_p(
    genes: NDArray[Any],
    features: NDArray[Any],
    associations: Associations,
    cut: Mapping[str, Sequence[str]],
    permutations: int,
    held: Held,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """set -> (F,) two-sided p of the set's mean z when patients are permuted.

    A gene's z is the product of two columns of length 1, so that the mean z of a set is, but for a factor, the
    correlation of one profile over patients with the feature.
    """
    x, y = np.asarray(genes, np.float64), np.asarray(features, np.float64)
    profiles = prepared(x, design_of(len(x), held["covariates"], held["blocks"]), held["model"])
    if held["model"] == "rank":
        y = np.asarray(stats.rankdata(y, axis=0, nan_policy="omit"), np.float64)
    of_sets = associate(
        set_means(profiles, associations.genes, cut), y, list(cut), associations.features, model="linear",
        blocks=held["blocks"], covariates=held["covariates"], permutations=permutations, each=True, seed=seed,
    )  # fmt: skip
    return dict(zip(cut, of_sets.p_permuted, strict=True))


def _untied(z: pd.Series) -> pd.Series:
    """Ties broken by the order of the genes, by less than any difference: gseapy would order them arbitrarily."""
    return z + np.arange(len(z))[::-1] * 1e-12
