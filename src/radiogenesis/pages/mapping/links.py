"""The links of a map on its page: the strongest with their patients and their CT first, then all that pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.mapping.conventional.features import LESION, RADIOMIC, SEMANTIC
from radiogenesis.mapping.conventional.three_step import CONFOUNDED, FOUND, NOT_FOUND, SCANNER, ConventionalMap
from radiogenesis.pages.evaluation.pictures import largest_slice
from radiogenesis.pages.mapping.conclusions import counts, largest_by_chance
from radiogenesis.pages.mapping.names import in_text, names_of, signed, with_names
from radiogenesis.pages.mapping.pictures import MOST_FEATURES, heat_map, link_scatter, network, volcano
from radiogenesis.reporting.figures import gray, save_both, slice_grid
from radiogenesis.reporting.model import Column, Picture, Section, Table

STRONGEST = 3
"""Links that are shown patient by patient."""
IMAGE = (LESION, SEMANTIC, RADIOMIC)
"""Features that an image shows; the story begins with these."""
AT_EITHER_END = 6
"""Patients at either end of a metagene whose CT is shown."""
MOST_LINKS = 300
"""Links that the page's table holds; the file has all."""

EFFECT = Column(label="Effect", value="effect", format=".2f", help="Spearman's rho; rank-biserial where two-valued")
P = Column(label="p", value="p", format="p")
Q = Column(label="q", value="q", format="p", help="false discovery rate over the whole table")
N = Column(label="n", value="n", format="d", help="patients")


def strongest_section(conventional: ConventionalMap, folder: Path, cohort: Cohort | None) -> Section:
    """The first links found, a dot for each patient; CT of patients low and high in the metagene, if there are any."""
    title = "The strongest links"
    links = _strongest(conventional)
    if not len(links):
        return Section(title=title, text="No link is reported, so there is none to show.")
    names = names_of(conventional.metagenes)
    light, dark = save_both(
        lambda theme: link_scatter(_panels(conventional, links), theme), folder / "pictures", "strongest"
    )
    adjusted = " Values as measured; the effects are adjusted for covariates." * (
        conventional.material.covariates is not None
    )
    blocks = [
        Picture(
            file=light, dark=dark, width=320 * len(links),
            alt="; ".join(f"{names[row['metagene']]} against {row['feature']}" for _, row in links.iterrows()),
            caption=f"One dot per patient: the value of the metagene against the feature. p: how often the largest of "
            f"all tests reaches this one with patients permuted. {largest_by_chance(conventional)}{adjusted}",
        )
    ]  # fmt: skip
    if cohort is not None:
        into = folder / "pictures"
        for number, (metagene, mine) in enumerate(links.groupby("metagene", sort=False)):
            blocks.append(
                _either_end(conventional, str(metagene), list(mine["feature"]), cohort, into / f"ends-{number + 1}.png")
            )
    return Section(
        title=title,
        text=f"{'Of what an image shows: ' if links['family'].isin(IMAGE).all() else ''}"
        f"{' '.join(_told(row, names) for _, row in links.iterrows())} An association says which genes go with "
        "which property in these patients, not what causes it.",
        blocks=tuple(blocks),
    )


def _strongest(conventional: ConventionalMap) -> pd.DataFrame:
    """The first links found with what an image shows; with anything else where there is none of these."""
    found = conventional.links[conventional.links["verdict"] == FOUND]
    of_image = found[found["family"].isin(IMAGE)]
    return (of_image if len(of_image) else found).head(STRONGEST)


def _told(link: pd.Series, names: dict[str, str]) -> str:
    way = "rises" if link["effect"] > 0 else "falls"
    feature = str(link["feature"])
    return f"{feature[0].upper()}{feature[1:]} {way} with {in_text(names[link['metagene']])}."


def _panels(conventional: ConventionalMap, links: pd.DataFrame) -> list[dict[str, object]]:
    """What `link_scatter` draws for each link."""
    column, names = {name: k for k, name in enumerate(conventional.metagenes.ids)}, names_of(conventional.metagenes)
    return [
        {
            "x": conventional.values[:, column[link["metagene"]]], "x_label": names[link["metagene"]],
            "y": conventional.material.features.values[link["feature"]].to_numpy(float), "y_label": link["feature"],
            "note": f"effect {signed(link['effect'])}, n {link['n']}, p {link['p_max']:.3f}",
        }
        for _, link in links.iterrows()
    ]  # fmt: skip


def _either_end(
    conventional: ConventionalMap, metagene: str, features: Sequence[str], cohort: Cohort, path: Path
) -> Picture:
    """CT of the patients with the lowest and with the highest values of a metagene."""
    name = names_of(conventional.metagenes)[metagene]
    order = np.argsort(conventional.values[:, conventional.metagenes.ids.index(metagene)], kind="stable")
    shown = min(AT_EITHER_END, len(order) // 2)
    rows = [
        (f"{metagene}\n{label}", [gray(cohort.slice_image[largest_slice(cohort, conventional.material.patients[i])])
                                          for i in ends])
        for label, ends in (("lowest", order[:shown]), ("highest", order[-shown:]))
    ]  # fmt: skip
    slice_grid(rows, path)
    return Picture(
        file=path.name,
        width=760,
        alt=f"{cohort.imaging.scans} of patients low and high in {name}",
        caption=f"{in_text(name)} and {', '.join(features)}: the largest slice of the {shown} patients with the lowest "
        f"values of the metagene, and of the {shown} with the highest, chosen by their genes alone. "
        f"{cohort.field_of_view_mm:g} mm wide, {cohort.imaging.window_text}.",
    )


def map_section(conventional: ConventionalMap, folder: Path) -> Section:
    """Heat map, volcano, network, and the table of all links that pass."""
    n = counts(conventional)
    families = pd.Series(conventional.material.features.family).value_counts()
    within = f", within {conventional.settings.within}" if conventional.settings.within else ""
    hits = conventional.links[conventional.links["verdict"] != NOT_FOUND]
    hits = hits.iloc[np.argsort((hits["verdict"] != FOUND).to_numpy(), kind="stable")]
    return Section(
        title="All links",
        text=(
            f"{n['genes']:,} genes in {n['metagenes']} metagenes; {n['features']} features ("
            + ", ".join(f"{count} {family}" for family, count in families.items())
            + f"); {n['patients']} patients. Every metagene is tested against every feature: {_test(conventional)}."
        ),
        blocks=(*_table(conventional, hits, folder), *_pictures(conventional, hits, folder)),
        notes=(
            f"{n['tests']:,} tests. q: Benjamini–Hochberg over all of them. Family-wise p: the largest |z| of the "
            f"whole table in {conventional.settings.permutations:,} permutations of patients{within}, which keep the "
            "correlation inside genes and inside features. A missing value counts as the mean there, so that a feature "
            "known of a chosen part of the patients has a larger family-wise p than it deserves. p given size is of "
            "the patients whose size is known. Gene by gene, the same tests are in "
            f"tables/gene_links.parquet: {n['genes_found']:,} of {n['gene_tests']:,} found, "
            f"{n['genes_confounded']:,} confounded.",
        ),
    )


def _test(conventional: ConventionalMap) -> str:
    """How associations were tested, in words."""
    if conventional.material.covariates is None:
        return "Spearman, or Mann-Whitney where a feature has two values"
    return f"a linear model adjusted for {', '.join(map(str, conventional.material.covariates))}"


def _table(conventional: ConventionalMap, hits: pd.DataFrame, folder: Path) -> tuple[Table, ...]:
    """The links that pass; none where none does."""
    shown = hits.head(MOST_LINKS)
    if not len(shown):
        return ()
    write_csv(with_names(shown, names_of(conventional.metagenes), "metagene"), folder / "tables" / "links_shown.csv")
    cut = f" Of them the {len(shown)} strongest are here." if len(shown) < len(hits) else ""
    all_found = bool((shown["verdict"] == FOUND).all())
    return (
        Table(
            file="links_shown.csv",
            full="links.csv",
            caption=(
                f"The {len(hits):,} links that pass the threshold, those that are reported first.{cut} "
                f"{len(conventional.links) - len(hits):,} pairs do not pass and are left out here; the file has all. p "
                "given size: both sides adjusted for the rank of the lesion's size."
            ),
            columns=(
                Column(label="Metagene", value="metagene", help="its id and its three most typical genes"),
                Column(label="Feature", value="feature"), EFFECT, Q, P, N,
                Column(label="Verdict", value="verdict", more=all_found),
                Column(label="Shared batch", value="batch", more=True),
                Column(label="From", value="family", more=True),
                Column(label="p, all tests", value="p_max", format="p", more=True,
                       help="family-wise: largest statistic of the whole table when patients are permuted"),
                Column(label="p given size", value="p_given_size", format="p", more=True),
            ),
            strong=("", "") if all_found else ("verdict", FOUND),
        ),
    )  # fmt: skip


def _pictures(conventional: ConventionalMap, hits: pd.DataFrame, folder: Path) -> list[Picture]:
    associations, names, into = conventional.by_metagene, names_of(conventional.metagenes), folder / "pictures"
    many = len(associations.features) > MOST_FEATURES
    light, dark = save_both(
        lambda theme: heat_map(
            associations.z, [names[one] for one in associations.genes], associations.features,
            _cells(conventional, FOUND), _cells(conventional, CONFOUNDED, SCANNER), theme,
        ),
        into, "heat_map",
    )  # fmt: skip
    blocks = [
        Picture(
            file=light, dark=dark, alt="Heat map of features against metagenes",
            caption=(
                "Metagenes against features" + (f", the {MOST_FEATURES} with the largest |z|" if many else "")
                + ", both in the order of their clustering. Dots: found; crosses: confounded, or the scanner's."
            ),
        )
    ]  # fmt: skip
    light, dark = save_both(
        lambda theme: volcano(with_names(conventional.links, names, "metagene"), theme), into, "volcano"
    )
    blocks.append(
        Picture(
            file=light, dark=dark, width=820, alt="Volcano plot of all tests",
            caption="Effect and p of every test. Without a link the gray cloud is all there is.",
        )
    )  # fmt: skip
    if len(hits):
        light, dark = save_both(lambda theme: network(with_names(hits, names, "metagene"), theme), into, "network")
        blocks.append(
            Picture(
                file=light, dark=dark, width=980, alt="Network of links between metagenes and features",
                caption="Links that pass the threshold, at most 60, the strongest first. The width of a line is the "
                "size of the effect; dashed lines are not reported: confounded, incoherent or the scanner's.",
            )
        )  # fmt: skip
    return blocks


def _cells(conventional: ConventionalMap, *verdicts: str) -> NDArray[np.bool_]:
    """(K, F) where the verdict is one of these."""
    column = {name: f for f, name in enumerate(conventional.by_metagene.features)}
    row = {name: k for k, name in enumerate(conventional.by_metagene.genes)}
    cells = np.zeros(conventional.by_metagene.p.shape, bool)
    mine = conventional.links[conventional.links["verdict"].isin(verdicts)]
    cells[mine["metagene"].map(row).to_numpy(int), mine["feature"].map(column).to_numpy(int)] = True
    return cells
