"""What no list of features holds: three maps of the same phantoms, one factor of which none of the lists measures.

    python benchmarks/unlisted.py OUT [--strength 0.6] [--seeds 1] [--steps 800]

Every tumor has a denser part, and a module of genes drives how far off the middle it lies (`cohort phantom --unlisted
true`). Printed: what each description knows of the factor (ridge regression, cross-validated over patients, and the
best single feature); and of three maps the average precision with which they rank the factor's metagenes among all
that drive nothing else, by their largest |z|: six properties; properties and the radiomic features of the Image
Biomarker Standardisation Initiative; and end to end, by the further axes of a trained run, in its drawings. Beside it
what each finds of the listed links, which is what more features cost. OUT/map has the pages, the traversals with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from comparison import alignment, train
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.mapping.conventional.features import radiomic_table
from radiogenesis.mapping.conventional.three_step import ConventionalMap, conventional_map, inputs_of
from radiogenesis.mapping.settings import MapSettings, SynthesisSettings
from radiogenesis.mapping.synthesis import planted_links
from radiogenesis.mapping.synthesis.measured import NAMES
from radiogenesis.mapping.synthesis.perturbation_null import lesions_of
from radiogenesis.mapping.synthesis.runs import open_runs
from radiogenesis.mapping.synthesis.synthesis import map_by_synthesis
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.phantom.factors import FACTORS, UNLISTED
from spine import run

CLUSTERS = 50


def known(values: NDArray[np.float64], factor: NDArray[np.float64]) -> tuple[float, float]:
    """Spearman's rho of the factor with what a description predicts of it, and with its best single feature."""
    steps = (SimpleImputer(), QuantileTransformer(n_quantiles=50, output_distribution="normal"))
    model = make_pipeline(*steps, RidgeCV(np.logspace(-1, 4, 11)))
    left_out = cross_val_predict(model, values, factor, cv=KFold(10, shuffle=True, random_state=0))
    single = [abs(spearmanr(column, factor, nan_policy="omit").statistic) for column in values.T]
    return float(spearmanr(left_out, factor).statistic), float(np.nanmax(single))


def descriptions(cohort: Cohort) -> pd.DataFrame:
    """What the properties, the radiomic features and the appearance statistics know of the factor."""
    assert cohort.truth is not None
    patients = [str(name) for name in cohort.patients.index]
    factor = cohort.truth.factors.reindex(patients)[UNLISTED].to_numpy()
    six = own_features(cohort, patients)
    ibsi = radiomic_table(cohort, patients, "ibsi", 8).values.reindex(patients).to_numpy(np.float64)
    appearance = CanonicalAlignment(CanonicalAlignmentSettings(), genes=1)
    statistics = lesions_of(appearance, cohort, patients, least_area=0.5).means
    rows = {"six properties": six, f"and {ibsi.shape[1]} radiomic features": np.c_[six, ibsi],
            f"{statistics.shape[1]} appearance statistics": statistics}  # fmt: skip
    found = {name: known(values, factor) for name, values in rows.items()}
    return pd.DataFrame(found, index=["rho, left out", "best single feature"]).T


def ranked(z: NDArray[np.float64], ids: list[str], made: ConventionalMap, cohort: Cohort) -> dict[str, float]:
    """AP of the factor's metagenes among those that drive nothing else, by the largest |z| over the columns."""
    assert cohort.truth is not None
    rows = [made.metagenes.ids.index(name) for name in ids]
    of_factor = planted_links.planted_metagenes(cohort.truth, made.metagenes, [UNLISTED])[rows, 0]
    others = planted_links.planted_metagenes(cohort.truth, made.metagenes, FACTORS)[rows].any(axis=1)
    asked = ~others
    strength = np.nan_to_num(np.abs(z)).max(axis=1) if z.shape[1] else np.zeros(len(ids))
    ap = planted_links.average_precision(strength[asked, None], of_factor[asked, None])
    return {"AP": ap, "metagenes of the factor": int(of_factor.sum()), "of": int(asked.sum())}


def listed(found: NDArray[np.bool_], ids: list[str], made: ConventionalMap, cohort: Cohort) -> dict[str, int]:
    """Links of the listed properties: reported, and planted among these."""
    assert cohort.truth is not None
    rows = [made.metagenes.ids.index(name) for name in ids]
    linked = planted_links.planted_metagenes(cohort.truth, made.metagenes, FACTORS)[rows]
    return {"listed, reported": int(found.sum()), "listed, planted": int((found & linked).sum()),
            "listed, of": int(linked.sum())}  # fmt: skip


def of_lists(cohort: Cohort, radiomics: str) -> tuple[ConventionalMap, dict[str, float]]:
    settings = MapSettings(clusters=CLUSTERS, radiomics=radiomics)
    made = conventional_map(inputs_of(cohort, settings), settings)
    ids, columns = list(made.metagenes.ids), [made.by_metagene.features.index(name) for name in NAMES]
    wide = made.links.assign(hit=made.links["verdict"] == "found").pivot(
        index="metagene", columns="feature", values="hit"
    )
    found = wide.loc[ids, list(NAMES)].to_numpy(bool)
    z = made.by_metagene.z if radiomics else made.by_metagene.z[:, columns]
    unlisted = made.links[(made.links["verdict"] == "found")]["metagene"]
    truth = planted_links.planted_metagenes(cohort.truth, made.metagenes, [UNLISTED])[:, 0] if cohort.truth else []
    names = {name for name, mine in zip(ids, truth, strict=True) if mine}
    return made, ranked(z, ids, made, cohort) | {"reported": int(unlisted.isin(names).sum())} | listed(
        found, ids, made, cohort
    )


def end_to_end(cohort: Cohort, path: Path, made: ConventionalMap) -> dict[str, float]:
    trained, _, _ = open_runs(path, [], cohort, 0)
    moved = map_by_synthesis(trained, cohort, made, SynthesisSettings(backgrounds=1, random_sets=300))
    ids, further = list(moved.sets.names), list(moved.stage.measured.further)
    z = moved.links.pivot(index="metagene", columns="feature", values="z").loc[ids]
    hit = moved.links.assign(hit=moved.links["verdict"] == "found").pivot(
        index="metagene", columns="feature", values="hit"
    ).loc[ids]  # fmt: skip
    return (
        ranked(z[further].to_numpy(float), ids, made, cohort)
        | {"reported": int(hit[further].to_numpy(bool).sum()), "further axes": len(further)}
        | listed(hit[list(NAMES)].to_numpy(bool), ids, made, cohort)
    )


def main() -> None:
    """Parse, make the phantoms, train, map."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--strength", type=float, default=0.6)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--steps", type=int, default=800)
    given = options.parse_args()
    for seed in range(given.seeds):
        out = given.out / str(seed)
        out.mkdir(parents=True, exist_ok=True)
        path = out / "cohort.zarr"
        if not path.exists():
            size = ("--patients", "130", "--strength", str(given.strength), "--seed", str(seed))
            run("cohort", "phantom", path, *size, "--unlisted", "true")
        cohort = Cohort.open(path)
        print(f"\nseed {seed}: what is known of the factor\n{descriptions(cohort).round(2).to_string()}")
        trained = train("fusion-gan", out, "fusion-gan", given.steps, 0, "--alignment", str(alignment(out)))
        made, six = of_lists(cohort, "")
        rows = {"six properties": six, "properties and IBSI": of_lists(cohort, "ibsi")[1],
                "end to end": end_to_end(cohort, trained, made)}  # fmt: skip
        print(pd.DataFrame(rows).T.round(2).to_string())
        if not (out / "map").exists():
            run("map", path, out / "map", "--clusters", str(CLUSTERS), "--run", trained)


if __name__ == "__main__":
    main()
