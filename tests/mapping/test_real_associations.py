"""What is known of the real cohort: lineage genes go with histology, one annotation goes with the date of the CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings, TableSettings, read_expression
from radiogenesis.cohort.tables.annotations import read_aim, read_clinical
from radiogenesis.mapping.conventional.confounding import shared_batches, test_batches, usable_batches
from radiogenesis.mapping.conventional.features import CLINICAL, SEMANTIC, from_table
from radiogenesis.stats.association import associate

VESSEL = "Nodule Associated Findings = attachment to vessel"


@pytest.mark.real_data
def test_lineage_is_found_and_the_dated_annotation_is_flagged(real_data: Path) -> None:
    expression = read_expression(
        real_data / "expression" / "gse103584_zscore_1000genes_130patients.csv",
        settings=TableSettings(orientation="genes-in-rows"),
    )
    patients = sorted(map(str, expression.obs_names))
    scaler = ExpressionScaler.fit(expression, patients, ExpressionSettings(missing="median"))
    genes = scaler.transform(expression, patients)
    clinical = read_clinical(next((real_data / "clinical").glob("NSCLCR01*.csv")), id_column="Case ID").reindex(
        patients
    )
    aim = read_aim(real_data / "annotations").features.reindex(patients)
    features = from_table(clinical[["Histology"]], CLINICAL, 8).joined(
        from_table(aim[["Nodule Associated Findings"]], SEMANTIC, 8)
    )
    found = associate(genes, features.values.to_numpy(), scaler.genes, list(features.values))
    links = found.table().set_index(["gene", "feature"])
    for gene in ("HOPX", "MUC1", "NAPSA", "SFTPB"):  # type II cells and the adenocarcinomas that come of them
        assert links.loc[(gene, "Histology = Adenocarcinoma"), "effect"] > 0.5
        assert links.loc[(gene, "Histology = Adenocarcinoma"), "q"] < 1e-3

    batches = usable_batches(clinical[["CT Date", "Patient affiliation", "Gender"]])
    rows = links.reset_index()
    strongest = rows[rows["feature"] == VESSEL].head(20)
    assert (strongest["q"] < 1e-4).all()  # stronger than any biology here: ribosomal and housekeeping genes
    flagged = shared_batches(
        strongest, "gene", test_batches(genes, scaler.genes, batches),
        test_batches(features.values.to_numpy(np.float64), list(features.values), batches), 0.05,
    )  # fmt: skip
    assert all("CT Date" in shared for shared in flagged)
