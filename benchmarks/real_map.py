"""The conventional map of real data: NSCLC Radiogenomics, expression against all that is known of the images.

    python benchmarks/real_map.py OUT [--within VARIABLE] [--clusters K]

Expression: 1,000 genes of 130 patients (z-scores of log10(FPKM + 1)); missing values become the gene's median.
Features: radiologists' annotations (AIM), the 107 original PyRadiomics features of 60 patients, the clinical table.
Batch variables: site (affiliation), sex, date of the CT, days between CT and surgery, order, date of annotation,
voxel spacing, the images' range of values.
Gene sets: Hallmark. Needs ../shared/data. Writes OUT as `radiogenesis map` does; `radiogenesis report OUT` renders it.

What PyRadiomics was computed from is in its diagnostics columns, and is printed: images that span 0 to 255 are not in
HU, so their first-order and texture features can be compared with each other and with nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from radiogenesis.cohort.annotations import read_aim, read_clinical
from radiogenesis.cohort.expression import (
    ExpressionScaler,
    ExpressionSettings,
    TableSettings,
    read_expression,
)
from radiogenesis.mapping import confounding
from radiogenesis.mapping.association import associate
from radiogenesis.mapping.enrichment import read_gmt
from radiogenesis.mapping.features import CLINICAL, RADIOMIC, SEMANTIC, from_table
from radiogenesis.mapping.output import write_map
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.mapping.three_step import ConventionalMap, Material, conventional_map

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE = "shape MeshVolume"
_OUTCOMES = ("Recurrence", "Recurrence Location", "Survival Status", "Time to Death (days)", "Adjuvant Treatment",
             "Chemotherapy", "Radiation", "Quit Smoking Year")  # fmt: skip


def radiomics() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The 107 original features of 60 patients, and how their images were made."""
    table = pd.read_csv(DATA / "radiomics" / "nsclc_radiogenomics_pyradiomics_60patients.csv")
    index = pd.Index(table["Image"].str.extract(r"(R01-\d+)")[0], name="patient")
    table = table.set_axis(index)
    original = table[[name for name in table if name.startswith("original_")]]
    original.columns = pd.Index([name.removeprefix("original_").replace("_", " ") for name in original])
    spacing = table["diagnostics_Image-original_Spacing"].str.strip("()").str.split(",", expand=True).astype(float)
    diagnostics = [f"diagnostics_Image-original_{name}" for name in ("Minimum", "Maximum")]
    spans = table[diagnostics].agg(["min", "max"])
    print(f"PyRadiomics' images: minima {spans.iloc[0, 0]:g} to {spans.iloc[1, 0]:g}, maxima {spans.iloc[0, 1]:g} to "
          f"{spans.iloc[1, 1]:g}: " + ("NOT in HU" if spans.iloc[1, 1] <= 255 else "HU"))  # fmt: skip
    low, high = (table[f"diagnostics_Image-original_{name}"] for name in ("Minimum", "Maximum"))
    made = pd.DataFrame(
        {
            "pixel spacing, mm": spacing[0],
            "slice spacing, mm": spacing[2],
            "image encoding": np.where((low >= 0) & (high <= 255), "0 to 255", "HU or other"),
            "image maximum": high,
        }
    )
    return original, made


def material(settings: MapSettings, folder: Path) -> Material:
    """Genes, features and batches of the 130 patients."""
    subprocess.run([sys.executable, str(DATA / "unpack.py"), str(folder)], check=True, stdout=subprocess.DEVNULL)
    aim = read_aim(folder / "annotations").features
    clinical = read_clinical(next((DATA / "clinical").glob("NSCLCR01*.csv")), id_column="Case ID")
    clinical.columns = pd.Index([" ".join(name.split()) for name in clinical])
    table = DATA / "expression" / "gse103584_zscore_1000genes_130patients.csv"
    expression = read_expression(table, settings=TableSettings(orientation="genes-in-rows"))
    patients = sorted(map(str, expression.obs_names))
    scaler = ExpressionScaler.fit(expression, patients, ExpressionSettings(missing=settings.missing))
    original, made = radiomics()
    rows = clinical.reindex(patients)
    about = [
        name for name in aim if name.startswith("mark_") or name in ("series_uid", "image_uid", "annotated", "file")
    ]
    skip = [*confounding.batch_columns(clinical), *_OUTCOMES, "Days between CT and surgery"]
    features = (
        from_table(rows, CLINICAL, settings.smallest_group, skip)
        .joined(from_table(aim.reindex(patients), SEMANTIC, settings.smallest_group, about))
        .joined(from_table(original.reindex(patients), RADIOMIC, settings.smallest_group))
    )
    batches = rows[[*confounding.batch_columns(clinical), "Days between CT and surgery"]].join(made)
    batches["date of annotation"] = aim["annotated"].reindex(patients).str[:10]
    genes = scaler.transform(expression, patients)
    source = f"{len(patients)} patients of NSCLC Radiogenomics"
    return Material(genes, scaler.genes, features, confounding.usable_batches(batches), SIZE, source)


def biology(made: ConventionalMap) -> None:
    """What a biologist asks first, printed."""
    pd.set_option("display.width", 200, "display.max_columns", 20, "display.max_rows", 80, "display.max_colwidth", 60)
    material = made.material
    print("\nbatch variables:", ", ".join(material.batches.columns))
    hits = made.links[made.links["verdict"] != "not found"]
    hits = hits.assign(genes=hits["metagene"].map(lambda name: " ".join(members(made, name)[:6])))
    columns = [
        "metagene",
        "genes",
        "feature",
        "effect",
        "q",
        "p_max",
        "n",
        "p_given_size",
        "batch",
        "p_within",
        "verdict",
    ]
    print(hits[columns].head(50).round(4).to_string(index=False))
    print("\nby family and verdict:\n", pd.crosstab(made.links["family"], made.links["verdict"]).to_string())
    for name, table in (("features", made.feature_batches), ("metagenes", made.metagene_batches)):
        counted = table.assign(hit=table["q"] < made.settings.alpha).groupby("batch")["hit"].agg(["sum", "size"])
        print(f"\n{name} that go with each batch variable (q < {made.settings.alpha:g}):\n{counted.to_string()}")
    if len(made.sets):
        print("\ngene sets, patients permuted:")
        print(made.sets.drop(columns=["leading", "es"]).head(25).round(4).to_string(index=False))
        print("\ngene sets that fill metagenes:")
        print(made.members.drop(columns="genes").head(15).round(5).to_string(index=False))
    given_histology(made)
    controls(made)


def given_histology(made: ConventionalMap) -> None:
    """Which of the links found with the image are more than the difference between adenocarcinoma and the others."""
    table = made.material.features.values
    links = made.links[(made.links["verdict"] == "found") & made.links["family"].isin([SEMANTIC, RADIOMIC])]
    found = associate(
        made.values, table.to_numpy(np.float64), made.metagenes.ids, list(table),
        covariates=table[["Histology = Adenocarcinoma"]].to_numpy(np.float64),
    )  # fmt: skip
    left = found.table("metagene").set_index(["metagene", "feature"])
    rows = links.set_index(["metagene", "feature"]).assign(p_given_histology=left["p"], effect_left=left["effect"])
    print(f"\nof {len(rows)} links found with image features, {int((rows['p_given_histology'] < 0.05).sum())} remain "
          f"(p < 0.05) when the histology is held fixed; the strongest:")  # fmt: skip
    columns = ["effect", "q", "effect_left", "p_given_histology", "p_given_size", "n"]
    print(rows.sort_values("p_given_histology")[columns].head(20).round(4).to_string())


def members(made: ConventionalMap, name: str) -> tuple[str, ...]:
    """The genes of a metagene by its name."""
    return made.metagenes.members(made.metagenes.ids.index(name))


def controls(made: ConventionalMap) -> None:
    """Genes whose answer is known: sex, and what pathologists stain for."""
    material = made.material
    column = {name: i for i, name in enumerate(material.names)}
    known = [
        "XIST",
        "RPS4Y1",
        "KDM5D",
        "DDX3Y",
        "NKX2-1",
        "NAPSA",
        "SFTPB",
        "SFTPC",
        "TP63",
        "KRT5",
        "KRT6A",
        "DSG3",
        "SOX2",
    ]
    have = [name for name in known if name in column]
    print("\ngenes whose answer is known and which are in the table:", ", ".join(have) or "none")
    if not have:
        return
    values = material.features.values.copy()
    for name in material.batches:
        if "ender" in name:
            values["Gender = Male"] = (material.batches[name] == "Male").astype(float)
    wanted = [name for name in values if name.startswith(("Histology", "Gender", "Smoking"))]
    found = associate(material.genes[:, [column[name] for name in have]], values[wanted].to_numpy(float), have, wanted)
    print(found.table("gene")[["gene", "feature", "effect", "p", "n"]].head(12).round(6).to_string(index=False))


def main() -> None:
    """Make the map, print it, write it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--within", default="")
    options.add_argument("--clusters", type=int, default=0)
    options.add_argument("--permutations", type=int, default=1000)
    given = options.parse_args()
    settings = MapSettings(
        missing="median", within=given.within, clusters=given.clusters, permutations=given.permutations
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = material(settings, Path(folder))
    made = conventional_map(prepared, settings, read_gmt(DATA / "genesets" / "h.all.v7.0.symbols.gmt"))
    biology(made)
    print()
    for sentence in write_map(made, given.out, provenance={"Data": "NSCLC Radiogenomics (TCIA), GSE103584 (GEO)"}):
        print(sentence)


if __name__ == "__main__":
    main()
