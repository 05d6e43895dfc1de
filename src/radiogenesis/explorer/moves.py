"""What can be moved on the page, by how much the gene code changes, and what a map found for it.

A move is one standard deviation up: of a named property that the genes predict, a metagene, a gene set, or a gene
together with those that go with it over patients. The code of the runs that a page can hold is linear in the genes, so
that a move is the same K numbers for everybody, and moves add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.csv_files import read_parquet, require_columns
from radiogenesis.errors import RunError
from radiogenesis.imaging import Imaging
from radiogenesis.mapping.conventional.three_step import CONFOUNDED, FOUND, INCOHERENT
from radiogenesis.mapping.synthesis.perturbation import GeneSets
from radiogenesis.mapping.synthesis.perturbation_null import with_companions
from radiogenesis.mapping.synthesis.synthesis import ONLY_DRAWN
from radiogenesis.methods.canonical_alignment import LEVEL, CanonicalAlignment
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import Floats

PROPERTY, METAGENE, GENE_SET, GENE = "property", "metagene", "gene set", "gene"
AT_CHANCE = "does not stand out from chance"
NOT_IN_MAP = "the map has nothing on it: give it the same gene sets"
NO_MAP = "no map was given: nothing tells this effect from chance"
FEWEST = 8
"""Held-out patients, below whom the correlation in their own lesions says nothing."""
CHANCE = 1.96  # of Spearman's rho, in deviations, for 95 % of cohorts without a link

_OF_LINKS = ("effect", "effect_sd", "low", "high", "q")
_COLUMNS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "metagene_genes": (("metagene", "gene"), ("sign",)),
    "metagenes": (("metagene", "genes"), ()),
    "synthesis_links": (("metagene", "feature", "verdict"), _OF_LINKS),
    "synthesis_gene_sets": (("set", "feature", "verdict"), _OF_LINKS),
    "synthesis_genes": (("gene", "feature"), ("effect_sd", "p")),
}
"""Table of a map -> its columns that are read: texts, and numbers."""

_WHY = {
    FOUND: "stands out from chance",
    CONFOUNDED: "goes with a batch variable: it may be the scanner's or the site's doing",
    INCOHERENT: "the metagene is clustered noise",
    ONLY_DRAWN: "drawn, but the training patients' own lesions do not show it",
}


@dataclass(frozen=True)
class Evidence:
    """What was measured of one move and one property of the lesion.

    Attributes:
        feature: the property, with its unit.
        text: the effect with its interval or null, in words.
        verdict: in words.
        supported: whether it stands out from its null and nothing else speaks against it.
        size: of the effect in standard deviations; nan where it is not known.
    """

    feature: str
    text: str
    verdict: str
    supported: bool
    size: float = float("nan")


@dataclass(frozen=True)
class Move:
    """A slider.

    Attributes:
        kind: property, metagene, gene set or gene.
        name: of it.
        detail: what is in it.
        code: (K,) change of the gene code for one standard deviation.
        evidence: strongest first; empty where nothing was measured.
        why: where it is not supported, the reason.
    """

    kind: str
    name: str
    detail: str
    code: NDArray[np.float32]
    evidence: tuple[Evidence, ...] = ()
    why: str = ""

    @property
    def supported(self) -> bool:
        """Whether any of its effects is."""
        return any(one.supported for one in self.evidence)


@dataclass(frozen=True, eq=False)
class MapTables:
    """What `radiogenesis map --run` wrote that sliders read; each is empty where there is none.

    Attributes:
        members: metagene, gene, sign.
        metagenes: metagene, genes: its most typical genes in words.
        links, sets, genes: see `mapping.synthesis.SynthesisMap`.
    """

    members: pd.DataFrame = field(default_factory=pd.DataFrame)
    metagenes: pd.DataFrame = field(default_factory=pd.DataFrame)
    links: pd.DataFrame = field(default_factory=pd.DataFrame)
    sets: pd.DataFrame = field(default_factory=pd.DataFrame)
    genes: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def read(cls, folder: Path) -> MapTables:
        """Raises RunError where the folder holds no map by synthesis, InputError where a table of it is damaged."""
        tables = folder / "tables"
        needed = [tables / f"{name}.parquet" for name in ("metagene_genes", "metagenes", "synthesis_links")]
        if missing := [file.name for file in needed if not file.is_file()]:
            raise RunError(
                f"there is no map of a run here ({missing[0]} is missing)", path=folder,
                remedy="give the folder that `radiogenesis map COHORT OUT --run RUN` wrote",
            )  # fmt: skip
        optional = [tables / f"synthesis_{name}.parquet" for name in ("gene_sets", "genes")]
        more = [_read(file) if file.is_file() else pd.DataFrame() for file in optional]
        return cls(*map(_read, needed), *more)

    @property
    def unjudged(self) -> MapTables:
        """The metagenes alone, for a run that the map says nothing of."""
        return MapTables(self.members, self.metagenes)


def _read(file: Path) -> pd.DataFrame:
    """A table of the map; one without rows may lack its columns."""
    table = read_parquet(file)
    if len(table):
        require_columns(table, file, *_COLUMNS[file.stem])
    return table


def property_moves(alignment: CanonicalAlignment, imaging: Imaging) -> list[Move]:
    """The axes of the alignment's code: what genes predict of a lesion, cross-validated, beside chance."""
    moves = []
    for k in np.flatnonzero(alignment.used):
        name = imaging.name(alignment.settings.axes[k])
        r, chance, p = (float(values[k]) for values in (alignment.cross_validated, alignment.chance, alignment.p))
        text = f"genes predict it with r {r:.2f}, cross-validated (chance up to {chance:.2f}; p {p:.2g})"
        stands = p <= LEVEL and not alignment.unread
        verdict = "predicted from genes better than by chance" if stands else "no sign that genes predict it"
        code = np.zeros(alignment.code_length, np.float32)
        code[k] = 1.0
        evidence = Evidence(name, text, verdict, stands)
        moves.append(Move(PROPERTY, name, "moved itself, by whatever genes", code, (evidence,), "" if stands else text))
    return moves


def metagene_moves(
    tables: MapTables, names: Sequence[str], training: NDArray[Any], weights: Floats, held_out: int
) -> list[Move]:
    """The map's metagenes, cut down to the run's genes (names of G columns).

    Args:
        held_out: patients whose own lesions the map compared.
    """
    if not len(tables.members):
        return []
    column = {name: g for g, name in enumerate(names)}
    known = tables.members[tables.members["gene"].isin(column)]
    groups = {str(key): mine for key, mine in known.groupby("metagene", sort=False)}
    sets = GeneSets.of(
        list(groups), [mine["gene"].map(column).to_numpy() for mine in groups.values()],
        [mine["sign"].to_numpy() for mine in groups.values()], training,
    )  # fmt: skip
    typical: Mapping[Any, str] = tables.metagenes.set_index("metagene")["genes"].astype(str).to_dict()
    details = [f"{len(m)} genes: {typical.get(name, '')}" for name, m in zip(sets.names, sets.members, strict=True)]
    return _moves(METAGENE, sets, details, sets.through(weights), tables.links, "metagene", held_out, True)


def set_moves(
    lists: Mapping[str, Sequence[str]], tables: MapTables, names: Sequence[str], training: NDArray[Any],
    weights: Floats,
) -> list[Move]:  # fmt: skip
    """The user's gene sets, all of whose members go up."""
    sets = GeneSets.of_lists(lists, names, training)
    details = [f"{len(members)} genes" for members in sets.members]
    return _moves(GENE_SET, sets, details, sets.through(weights), tables.sets, "set", 0, len(tables.links) > 0)


def gene_moves(tables: MapTables, names: Sequence[str], training: NDArray[Any], weights: Floats) -> list[Move]:
    """Every gene of the run, each moved with the genes that go with it, as the map's table of genes has it."""
    codes = with_companions(training, weights).astype(np.float32)
    found = _evidence_of_genes(tables.genes)
    unknown = NOT_IN_MAP if len(tables.links) else NO_MAP
    why = unknown if not len(tables.genes) else "no effect of it stands out from chance (q below 0.05)"
    moves = []
    for name, change in zip(names, codes, strict=True):
        evidence = found.get(str(name), ())
        supported = any(one.supported for one in evidence)
        moves.append(Move(GENE, str(name), "", change, evidence, "" if supported else why))
    return moves


def _moves(
    kind: str, sets: GeneSets, details: Sequence[str], codes: NDArray[Any], links: pd.DataFrame, key: str,
    held_out: int, mapped: bool,
) -> list[Move]:  # fmt: skip
    groups = {str(name): mine for name, mine in links.groupby(key, sort=False)} if len(links) else {}
    moves = []
    for name, detail, change in zip(sets.names, details, codes, strict=True):
        evidence = _evidence(groups[name], held_out) if name in groups else ()
        move = Move(kind, name, detail, change.astype(np.float32), evidence)
        why = "" if move.supported else _first_reason(evidence, mapped)
        moves.append(replace(move, why=why))
    return moves


def _first_reason(evidence: Sequence[Evidence], mapped: bool) -> str:
    """Why nothing of a move is supported; `mapped` where a map was given."""
    if not evidence:
        return NOT_IN_MAP if mapped else NO_MAP
    against = [one for one in evidence if one.verdict in set(_WHY.values())]
    return f"{against[0].feature}: {against[0].verdict}" if against else "no effect of it stands out from chance"


def _evidence(links: pd.DataFrame, held_out: int) -> tuple[Evidence, ...]:
    """Rows of the table of links of one metagene or set, strongest first; those that could be measured."""
    ordered = links[links["effect"].notna()].sort_values("q", kind="stable")
    return tuple(
        Evidence(
            str(row["feature"]), _in_words(row, held_out), _WHY.get(str(row["verdict"]), AT_CHANCE),
            row["verdict"] == FOUND, float(row["effect_sd"]),
        )
        for row in ordered.to_dict("records")
    )  # fmt: skip


def _in_words(row: Mapping[Any, Any], held_out: int) -> str:
    """Effect with its interval, q, what the held-out patients' own lesions say beside chance, and a shared batch."""
    said = f"{row['effect']:+.3g} [{row['low']:.3g}, {row['high']:.3g}] per standard deviation; q {row['q']:.2g}"
    own, batch = row.get("rho_held_out"), row.get("batch")
    if own is not None and pd.notna(own) and held_out >= FEWEST:
        chance = CHANCE / np.sqrt(held_out - 1)
        said += f"; own lesions of {held_out} held-out patients: rho {own:.2f} (chance: within ±{chance:.2f})"
    return said + (f"; batch: {batch}" if isinstance(batch, str) and batch else "")


def _evidence_of_genes(genes: pd.DataFrame) -> dict[str, tuple[Evidence, ...]]:
    """Gene -> its strongest effect against exchanged patients; q over all genes and properties."""
    if not len(genes) or not genes["p"].notna().any():
        return {}
    table = genes[genes["p"].notna()].copy()
    table["q"] = false_discovery_rate(table["p"].to_numpy())
    strongest = table.sort_values("p", kind="stable").drop_duplicates("gene")
    return {
        str(row["gene"]): (
            Evidence(
                str(row["feature"]),
                f"{row['effect_sd']:+.2f} standard deviations, with the genes that go with it; p {row['p']:.2g}, "
                f"q {row['q']:.2g}",
                _WHY[FOUND] if row["q"] < LEVEL else AT_CHANCE,
                bool(row["q"] < LEVEL),
                float(row["effect_sd"]),
            ),
        )
        for row in strongest.to_dict("records")
    }
