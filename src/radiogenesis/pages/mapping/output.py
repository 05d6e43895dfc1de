"""Writes a map, whole or not at all.

OUT/tables/links.*            metagene x feature: genes, effect, p, q, family-wise p, verdict (CSV and Parquet)
OUT/tables/gene_links.*       gene x feature: all of them as Parquet, those with q below alpha as CSV
OUT/tables/metagene_genes.*   which gene is in which metagene
OUT/tables/batches.*          every metagene and feature against every batch variable
OUT/tables/gene_sets.*, over_representation.*   with gene sets only
OUT/tables/synthesis_*.*      with --run: metagenes, single genes and gene sets moved in the run; see synthesis.py
OUT/map.h5ad                  AnnData: patients x metagenes; obsm["features"], obs: batch variables
OUT/map.json, page.json       numbers and sentences; what `radiogenesis report OUT` renders
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from anndata import AnnData

from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.csv_files import write_csv, write_parquet
from radiogenesis.mapping.conventional.three_step import ConventionalMap
from radiogenesis.output import json_text, whole_folder
from radiogenesis.pages.mapping.checklist_facts import map_facts
from radiogenesis.pages.mapping.conclusions import conclusions, counts, plain
from radiogenesis.pages.mapping.conventional import facts, metagene_table, sections
from radiogenesis.pages.mapping.names import names_of
from radiogenesis.reporting.checklists import save_checklists
from radiogenesis.reporting.model import Fact, Page, Section


@dataclass(frozen=True, kw_only=True)
class Addition:
    """What another part of a map puts on its page, after it has written its tables and pictures.

    `about` goes on with the page's subtitle; `numbers`, by the part's name, go into map.json; `provenance` goes to the
    foot of the page.
    """

    sections: tuple[Section, ...]
    facts: tuple[Fact, ...] = ()
    conclusions: tuple[str, ...] = ()
    about: str = ""
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    provenance: tuple[tuple[str, str], ...] = ()


def write_map(
    conventional: ConventionalMap,
    out: Path,
    *,
    truth: Truth | None = None,
    cohort: Cohort | None = None,
    provenance: Mapping[str, str] | None = None,
    additions: Sequence[Callable[[Path], Addition]] = (),
) -> list[str]:
    """Write tables, AnnData, pictures and the page into OUT; returns the sentences of what may be concluded.

    Args:
        cohort: whose CT the page shows beside the strongest links.
        additions: each is called with the folder (tables/ and pictures/ are in it), writes, and says what to show.

    Raises:
        OutputError: something is already at OUT.
    """
    with whole_folder(out) as partial:
        for folder in ("tables", "pictures"):
            (partial / folder).mkdir()
        write_tables(conventional, partial / "tables")
        annotated(conventional).write_h5ad(partial / "map.h5ad")
        added = [write(partial) for write in additions]
        said, settings = conclusions(conventional), dataclasses.asdict(conventional.settings)
        said += [sentence for one in added for sentence in one.conclusions]
        chosen = ", ".join(f"{name} {value}" for name, value in settings.items() if value != "")
        facts_about = {**(provenance or {}), "Settings": chosen}
        page = Page(
            title="Which genes go with which property?",
            subtitle=(
                f"A conventional radiogenomic map with its controls{''.join(one.about for one in added)}: "
                f"{conventional.material.source}."
            ),
            facts=(*facts(conventional), *(fact for one in added for fact in one.facts)),
            conclusions=tuple(said),
            sections=(
                *sections(conventional, partial, truth, cohort),
                *(section for one in added for section in one.sections),
                save_checklists(map_facts(conventional, partial / "tables", cohort), partial / "tables"),
            ),
            provenance=(*facts_about.items(), *(fact for one in added for fact in one.provenance)),
        )
        page.save(partial)
        summary = {"numbers": plain(counts(conventional)), "conclusions": said, "settings": settings}
        summary |= {name: plain(dict(numbers)) for one in added for name, numbers in one.numbers.items()}
        (partial / "map.json").write_text(json_text(summary), encoding="utf-8")
    return said


def write_tables(conventional: ConventionalMap, folder: Path) -> None:
    """The tidy tables, each as Parquet and CSV."""
    batches = [
        table.assign(side=side)
        for side, table in (
            ("feature", conventional.feature_batches), ("metagene", conventional.metagene_batches),
            ("gene", conventional.gene_batches), ("set", conventional.set_batches),
        )
        if len(table)
    ]  # fmt: skip
    links, names = conventional.links.copy(), names_of(conventional.metagenes)
    links.insert(1, "genes", links["metagene"].map(lambda name: names[name].partition(": ")[2]))
    tables: dict[str, pd.DataFrame] = {
        "links": links,
        "metagenes": metagene_table(conventional),
        "metagene_genes": conventional.metagenes.table(),
        "batches": pd.concat(batches, ignore_index=True) if batches else conventional.feature_batches.assign(side=""),
    }
    tables |= {"gene_sets": conventional.sets} if len(conventional.sets) else {}
    tables |= {"over_representation": conventional.members} if len(conventional.members) else {}
    for name, table in tables.items():
        write_parquet(table, folder / f"{name}.parquet")
        write_csv(table, folder / f"{name}.csv")
    write_parquet(conventional.gene_links, folder / "gene_links.parquet")
    below = conventional.gene_links[conventional.gene_links["q"] < conventional.settings.alpha]
    write_csv(below, folder / "gene_links.csv")


def annotated(conventional: ConventionalMap) -> AnnData:
    """Patients x metagenes, with the features in obsm and the batch variables in obs."""
    # A slash in a name would become a folder inside the file.
    features = conventional.material.features.values.rename(columns=lambda name: str(name).replace("/", "∕"))
    batches = conventional.material.batches.rename(columns=lambda name: str(name).replace("/", "∕"))
    for name in batches:
        if batches[name].dtype.kind != "f":
            batches[name] = pd.Categorical(batches[name])
    index = pd.Index(list(conventional.material.patients), name="patient")
    return AnnData(
        conventional.values,
        obs=batches.set_axis(index),
        var=metagene_table(conventional).set_index("metagene"),
        obsm={"features": features.set_axis(index)},  # type: ignore[dict-item]  # anndata takes tables there
    )
