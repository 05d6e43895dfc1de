"""The conventional map of real data: NSCLC Radiogenomics, expression against all that is known of the images.

    python benchmarks/real_map.py OUT [--within VARIABLE] [--clusters K] [--screen COLUMNS]

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
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from radiogenesis.cohort.expression import (
    ExpressionScaler,
    ExpressionSettings,
    TableSettings,
    read_expression,
)
from radiogenesis.cohort.tables.annotations import read_aim, read_clinical
from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.mapping.conventional import confounding
from radiogenesis.mapping.conventional.enrichment import read_gmt
from radiogenesis.mapping.conventional.features import CLINICAL, RADIOMIC, SEMANTIC, from_table
from radiogenesis.mapping.conventional.three_step import ConventionalMap, MapInputs, conventional_map, strata
from radiogenesis.mapping.prediction.prediction import gene_values, prediction_table, questions_of
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.pages.mapping.output import write_map
from radiogenesis.pages.mapping.prediction import prediction_addition
from radiogenesis.stats.association import associate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE = "shape MeshVolume"
BEFORE_SURGERY = (
    "Age at Histological Diagnosis", "Weight (lbs)", "Ethnicity = Asian", "Ethnicity = Caucasian",
    "Smoking status = Current", "Smoking status = Former", "Smoking status = Nonsmoker", "Pack Years",
)  # fmt: skip
"""What "clinical only" knows; sex, site and dates are among the batch variables."""
_OUTCOMES = ("Recurrence", "Recurrence Location", "Survival Status", "Time to Death (days)", "Adjuvant Treatment",
             "Chemotherapy", "Radiation", "Quit Smoking Year")  # fmt: skip


def radiomics() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The 107 original features of 60 patients, and how their images were made."""
    path = DATA / "radiomics" / "nsclc_radiogenomics_pyradiomics_60patients.csv"
    table = pd.read_csv(path)
    index = pd.Index(table["Image"].str.extract(r"(R01-\d+)")[0], name="patient")
    table = table.set_axis(index)  # the diagnostics, which the reader leaves out
    original = read_radiomics(path, patients=list(index), image_types=("original",))
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


def material(settings: MapSettings, folder: Path) -> tuple[MapInputs, AnnData]:
    """Genes, features and batches of the 130 patients, and their raw expression."""
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
    return MapInputs(genes, scaler.genes, features, confounding.usable_batches(batches), SIZE, source), expression


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
        print(f"\ngene sets: {made.sets['verdict'].value_counts().to_dict()}; the smallest patient-level p:")
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
    kind = table["Histology = Adenocarcinoma"].to_numpy(np.float64)
    alike = [f for f in table if np.ptp(kind[table[f].notna().to_numpy()]) == 0]  # known in one histology only
    left = found.table("metagene").set_index(["metagene", "feature"])
    rows = links.set_index(["metagene", "feature"]).assign(p_given_histology=left["p"], effect_left=left["effect"])
    rows = rows[~rows.index.get_level_values("feature").isin(alike)]
    print(f"\nof {len(links)} links found with image features {len(links) - len(rows)} are among patients of one "
          f"histology; of the other {len(rows)} {int((rows['p_given_histology'] < 0.05).sum())} remain (p < 0.05) when "
          "adjusted for the histology; the strongest:")  # fmt: skip
    columns = ["effect", "q", "effect_left", "p_given_histology", "p_given_size", "n"]
    print(rows.sort_values("p_given_histology")[columns].head(20).round(4).to_string())


def predictions(
    material: MapInputs,
    expression: AnnData,
    metagenes: pd.DataFrame | None,
    settings: PredictionSettings,
    within: str = "",
    pattern: str = "",
) -> pd.DataFrame:
    """What one side says of the other on patients left out; radiomic features are given, not asked for."""
    radiomic = [name for name, family in material.features.family.items() if family == RADIOMIC]
    genes = gene_values(expression, material.patients, "median")
    questions = questions_of(material, genes, metagenes, clinical=BEFORE_SURGERY, skip=radiomic)
    questions = [question for question in questions if re.search(pattern, question.target)]
    table = prediction_table(questions, settings, blocks=strata(material.batches, within))
    columns = ["target", "source", "score", "n", "cases", "value", "low", "high", "p", "q", "rho", "size only",
               "clinical only", "batch only", "gain", "gain_low", "gain_high"]  # fmt: skip
    print(f"\npredictions on patients left out: {int((table['q'] < 0.05).sum())} of {len(table)} at q < 0.05:")
    print(table[columns].head(60).round(3).to_string(index=False))
    asked = table["target"].str.contains("mutation|Histology|Attenuation = solid")
    print("\nmutations, histology, solid nodules:")
    print(table.loc[asked, columns].sort_values(["target", "source"]).round(3).to_string(index=False))
    return table


def missing_values(expression: AnnData, made: ConventionalMap) -> None:
    """Is a missing value a matter of chance? Per patient against the batch variables, and against the metagenes."""
    share = pd.Series(np.isnan(np.asarray(expression.X)).mean(axis=1), expression.obs_names)
    share = share.reindex(list(made.material.patients))
    print(f"\nmissing values: {share.mean():.1%} of all, of a patient {share.min():.1%} to {share.max():.1%}")
    found = confounding.test_batches(share.to_numpy()[:, None], ["missing"], made.material.batches)
    print(found[["batch", "test", "effect", "p", "n"]].round(4).to_string(index=False))
    of_metagenes = associate(made.values, share.to_numpy()[:, None], made.metagenes.ids, ["missing values"])
    print(of_metagenes.table("metagene")[["metagene", "effect", "p"]].round(4).to_string(index=False))


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
    options.add_argument("--refits", type=int, default=500, help="permutations behind the p of each prediction")
    options.add_argument("--repeats", type=int, default=3, help="divisions into folds")
    options.add_argument("--screen", type=int, default=0, help="columns kept in each fold, 0 for all")
    options.add_argument("--ask", default="", help="only predict the targets that match, print, and write nothing")
    options.add_argument("--unpacked", type=Path, help="where the data's archives are unpacked already")
    given = options.parse_args()
    asked = PredictionSettings(
        prediction_permutations=given.refits, prediction_repeats=given.repeats, prediction_screen=given.screen
    )
    settings = MapSettings(
        missing="median", within=given.within, clusters=given.clusters, permutations=given.permutations
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared, expression = material(settings, given.unpacked or Path(folder))
    if given.ask:
        predictions(prepared, expression, None, asked, given.within, given.ask)
        return
    made = conventional_map(prepared, settings, read_gmt(DATA / "genesets" / "h.all.v7.0.symbols.gmt"))
    biology(made)
    missing_values(expression, made)
    metagenes = pd.DataFrame(made.values, columns=list(made.metagenes.ids))
    table = predictions(prepared, expression, metagenes, asked, given.within)
    print()
    for sentence in write_map(
        made, given.out, provenance={"Data": "NSCLC Radiogenomics (TCIA), GSE103584 (GEO)"},
        additions=[partial(prediction_addition, table, asked, settings.alpha)],
    ):  # fmt: skip
        print(sentence)


if __name__ == "__main__":
    main()
