"""The whole map of a cohort whose answer is known: the link is found, the scanner's is flagged, files are whole."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import AnnotationError, OutputError, SettingError
from radiogenesis.mapping.conventional.features import LESION, RADIOMIC, FeatureTable
from radiogenesis.mapping.conventional.three_step import (
    CONFOUNDED,
    FOUND,
    SCANNER,
    ConventionalMap,
    MapInputs,
    conventional_map,
    inputs_of,
)
from radiogenesis.mapping.prediction import left_out_retrieval
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignmentSettings
from radiogenesis.pages.mapping import links
from radiogenesis.pages.mapping.conclusions import conclusions, counts
from radiogenesis.pages.mapping.conventional import known_answers
from radiogenesis.pages.mapping.output import write_map

SETTINGS = MapSettings(clusters=6, permutations=200, shuffles=4)
SIZE, NOISE = "size (mm)", "noise (HU)"
COHORT = (
    "imaging",
    "path",
    "lesions",
    "patients",
    "expression",
    "annotations",
    "slice_patient",
    "slice_image",
    "slice_mask",
    "pixel_mm",
)


@pytest.fixture(scope="module")
def made(cohort: Cohort) -> ConventionalMap:
    sets = {"size genes": tuple(f"G{i:02d}" for i in range(10)), "others": tuple(f"G{i:02d}" for i in range(22, 36))}
    return conventional_map(inputs_of(cohort, SETTINGS), SETTINGS, sets)


def row(made: ConventionalMap, gene: str, feature: str) -> pd.Series:
    """The link of the metagene that holds the gene."""
    metagene = made.metagenes.ids[made.metagenes.label[made.metagenes.names.index(gene)]]
    return made.links.set_index(["metagene", "feature"]).loc[(metagene, feature)]


def test_the_material_is_what_the_cohort_holds(cohort: Cohort) -> None:
    material = inputs_of(cohort, SETTINGS)
    assert material.size == SIZE
    assert set(material.features.family.values()) == {"lesion", "image noise", "clinical"}
    assert [name for name in material.features.values if name.startswith(("Grade", "Gender"))] in (
        ["Grade = G1"], ["Grade = G2"]
    )  # fmt: skip
    assert list(material.batches) == ["kernel", "Gender", NOISE, "grain", "enrollment order (from the patient id)"]
    planted = cohort.truth.factors["size"]  # type: ignore[union-attr]
    assert material.features.values[SIZE].corr(planted, method="spearman") > 0.95


def test_the_planted_link_is_found(made: ConventionalMap) -> None:
    link = row(made, "G00", SIZE)
    assert link["verdict"] == FOUND
    assert link["effect"] > 0.85
    assert link["p_max"] == pytest.approx(1 / 201)
    assert made.shuffled.mean() < 1


def test_a_link_with_the_noise_of_the_image_is_the_scanners_and_not_found(made: ConventionalMap) -> None:
    link = row(made, "G10", NOISE)
    assert link["q"] < 1e-4
    assert link["verdict"] == SCANNER
    assert "kernel" in link["batch"]
    assert NOISE not in link["batch"]  # it is no batch of itself
    genes = made.gene_links[(made.gene_links["feature"] == NOISE) & (made.gene_links["q"] < 0.05)]
    assert set(genes["verdict"]) == {SCANNER}
    assert set(genes["gene"]) >= {f"G{i:02d}" for i in range(10, 20)}
    n = counts(made)
    assert n["scanner"] > 0
    assert not (made.links[made.links["verdict"] == FOUND]["family"] == "image noise").any()


def with_haze(cohort: Cohort) -> MapInputs:
    """A lesion's feature that the scanner makes."""
    material = inputs_of(cohort, SETTINGS)
    values = material.features.values
    haze = 2 * values[NOISE] / values[NOISE].std() + np.random.default_rng(0).standard_normal(len(values))
    return replace(
        material, features=FeatureTable(values.assign(haze=haze), {**material.features.family, "haze": LESION})
    )


@pytest.fixture(scope="module")
def hazy(cohort: Cohort) -> ConventionalMap:
    genes = [f"G{i:02d}" for i in range(40)]
    sets = {"size genes": [*genes[:10], *genes[20:25]], "scanner genes": [*genes[10:20], *genes[25:30]]}
    return conventional_map(with_haze(cohort), SETTINGS, sets | {"others": genes[24:]})


def test_the_scanners_link_is_flagged_and_gone_inside_the_batches(hazy: ConventionalMap) -> None:
    link = row(hazy, "G10", "haze")
    assert link["q"] < 1e-4
    assert link["verdict"] == CONFOUNDED
    assert "kernel" in link["batch"]
    assert link["p_within"] > 0.05
    assert any("both correlate with" in said and "kernel" in said for said in conclusions(hazy))


def test_noise_is_a_batch_variable_where_nobody_recorded_a_kernel(cohort: Cohort) -> None:
    material = with_haze(cohort)
    trapped = conventional_map(replace(material, batches=material.batches.drop(columns="kernel")), SETTINGS)
    link = row(trapped, "G10", "haze")
    assert link["verdict"] == CONFOUNDED
    assert NOISE in link["batch"]


def test_a_found_link_is_asked_inside_the_batches_that_its_feature_leans_to(made: ConventionalMap) -> None:
    found = made.links[made.links["verdict"] == FOUND]
    leaning = made.feature_batches[made.feature_batches["p"] < 0.05].groupby("name")["batch"].agg(set)
    for _, link in found.iterrows():
        expected = leaning.get(link["feature"], set())
        assert set(filter(None, link["batch_within"].split("; "))) == expected
        assert np.isfinite(link["p_within"]) == bool(expected)
    assert counts(made)["found_within_of"] == found["p_within"].notna().sum()


def test_covariates_are_held_fixed_and_must_be_columns(cohort: Cohort) -> None:
    assert cohort.clinical is not None
    size = cohort.truth.factors["size"]  # type: ignore[union-attr]
    clinical = cohort.clinical.assign(Age=(60 + 5 * size).round(3).astype(str), Stage="I")
    clinical.loc["P-03", "Age"] = "Not Collected"
    known: Any = SimpleNamespace(**{name: getattr(cohort, name) for name in COHORT}, clinical=clinical)
    settings = replace(SETTINGS, covariates="Age, Gender")
    material = inputs_of(known, settings)
    assert len(material.patients) == 39
    assert list(material.covariates) == ["Age", "Gender = Male"]
    held = conventional_map(material, settings)
    assert set(held.by_metagene.test) == {"linear"}
    assert links._test(held) == "a linear model adjusted for Age, Gender = Male"  # what the page says of it
    assert abs(row(held, "G00", SIZE)["effect"]) < 0.5
    with pytest.raises(SettingError, match="covariates 'Weight': no column of the clinical table"):
        inputs_of(known, replace(SETTINGS, covariates="Weight"))
    with pytest.raises(SettingError, match="covariates 'Stage': does not vary"):
        inputs_of(known, replace(SETTINGS, covariates="Stage"))
    bare: Any = SimpleNamespace(**vars(known) | {"clinical": None})
    with pytest.raises(SettingError, match="no clinical table"):
        inputs_of(bare, settings)


def test_radiomic_features_join_the_map(cohort: Cohort, tmp_path: Path) -> None:
    measured = inputs_of(cohort, replace(SETTINGS, radiomics="ibsi")).features
    mine = [name for name, family in measured.family.items() if family == RADIOMIC]
    assert {"shape_pixel_area", "glcm_joint_entropy [TU9B]"} <= set(mine)  # with its code in IBSI's manual
    area, size = measured.values["shape_pixel_area"], measured.values[SIZE]
    assert area.corr(size, method="spearman") > 0.99
    path = tmp_path / "radiomics.csv"
    images = [f"scans/{patient}/ct.nrrd" for patient in cohort.patients.index[:30]]
    table = pd.DataFrame({"Image": images, "diagnostics_Versions_Numpy": "2", "original_glcm_Id": range(30)})
    table.to_csv(path, index=False)
    read = inputs_of(cohort, replace(SETTINGS, radiomics=str(path))).features
    assert read.family["original_glcm_Id"] == RADIOMIC
    assert read.values["original_glcm_Id"].notna().sum() == 30
    with pytest.raises(AnnotationError, match="no such file"):
        inputs_of(cohort, replace(SETTINGS, radiomics=str(tmp_path / "none.csv")))


def test_gene_sets_have_a_verdict_and_batches(hazy: ConventionalMap) -> None:
    rows = hazy.sets.set_index(["set", "feature"])
    assert rows.loc[("size genes", SIZE), "verdict"] == FOUND
    assert rows.loc[("scanner genes", "haze"), "verdict"] == CONFOUNDED
    assert "kernel" in rows.loc[("scanner genes", "haze"), "batch"]
    assert rows.loc[("scanner genes", NOISE), "verdict"] == SCANNER
    n = counts(hazy)
    assert n["sets_found"] == (hazy.sets["verdict"] == FOUND).sum()
    assert n["sets_confounded"] == (hazy.sets["verdict"] == CONFOUNDED).sum() >= 1


def test_permuting_within_the_kernel_takes_the_scanners_link_away_and_leaves_the_other(cohort: Cohort) -> None:
    settings = MapSettings(clusters=6, permutations=200, shuffles=2, within="kernel")
    inside = conventional_map(inputs_of(cohort, settings), settings)
    assert row(inside, "G00", SIZE)["q"] < 1e-6
    assert row(inside, "G10", NOISE)["q"] > 0.05
    with pytest.raises(SettingError, match="choose from: kernel, Gender"):
        conventional_map(inputs_of(cohort, settings), MapSettings(clusters=6, within="scanner"))


def test_a_batch_that_is_held_fixed_flags_nothing(cohort: Cohort) -> None:
    material = inputs_of(cohort, SETTINGS)
    own = material.genes[:, 10:20].mean(axis=1) + 0.02 * np.random.default_rng(0).standard_normal(40)
    table = FeatureTable(material.features.values.assign(own=own), {**material.features.family, "own": LESION})
    material = replace(material, features=table, batches=material.batches[["kernel"]])
    free, inside = (conventional_map(material, replace(SETTINGS, within=within)) for within in ("", "kernel"))
    assert row(free, "G10", "own")["verdict"] == CONFOUNDED
    assert row(inside, "G10", "own")["verdict"] == FOUND
    assert row(inside, "G10", "own")["batch"] == ""


def test_the_planted_answers_are_counted(made: ConventionalMap, cohort: Cohort) -> None:
    assert cohort.truth is not None
    table = known_answers(made, cohort.truth).set_index("question")
    assert table["links"].tolist()[1:] == [10, 8]
    assert table["average_precision"].iloc[:2].tolist() == pytest.approx([1.0, 1.0])
    assert table["average_precision"].iloc[2] < 1.0  # decoys rank among the genes with effects
    assert table["chance"].iloc[1] == pytest.approx(10 / 40)


def test_gene_sets_are_tested_along_each_feature_and_in_metagenes(made: ConventionalMap) -> None:
    # Fifteen genes are the least for a ranked set; over-representation takes five.
    assert len(made.sets) == 0
    first = made.members.iloc[0]
    assert first["set"] == "size genes"
    assert first["overlap"] == 10


def test_the_sentences_say_what_the_numbers_say(made: ConventionalMap) -> None:
    n, said = counts(made), conclusions(made)
    assert n["found"] == (made.links["verdict"] == FOUND).sum() > 0
    assert f"{n['found']} associations may be reported" in said[0]
    assert SIZE in said[1]
    assert any("No association at this threshold is shared with a batch" in sentence for sentence in said)
    assert any("noise of the image" in sentence for sentence in said)


def test_a_map_of_nothing_claims_nothing(cohort: Cohort) -> None:
    material = inputs_of(cohort, SETTINGS)
    rng = np.random.default_rng(1)
    shuffled = type(material)(
        rng.permutation(material.genes), material.names, material.features, material.batches[[]], SIZE, "nobody"
    )
    said = conclusions(conventional_map(shuffled, SETTINGS))
    assert "no association may be reported" in said[0]
    assert said[1].startswith("No batch variable is known")


def test_without_tests_or_with_few_nothing_is_concluded(made: ConventionalMap) -> None:
    def without(cells: Any) -> ConventionalMap:
        p = np.where(cells, np.nan, made.by_metagene.p)
        links = made.links.assign(verdict="not found")
        return replace(made, by_metagene=replace(made.by_metagene, p=p), links=links)

    everything = np.ones(made.by_metagene.p.shape, bool)
    assert conclusions(without(everything))[0].endswith("nothing can be concluded, for a link or against one.")
    most = everything.copy()
    most[:, 0] = False
    said = conclusions(without(most))
    assert "6 of" in said[0]
    assert said[0].endswith("too few to conclude anything.")
    assert said[-1].startswith("Not tested, since too few patients have a value")
    assert made.by_metagene.features[1] in said[-1]
    # 40 patients can show much, so that their silence is worth a sentence; p from scipy's own t distribution.
    said = conclusions(without(~everything))
    t = stats.t.isf(0.05 / made.by_metagene.tests / 2, 38)
    assert f"only from |r| {np.sqrt(t**2 / (38 + t**2)):.2f} on: these data show no link as strong as that" in said[0]


def test_few_patients_show_no_link_and_none_is_denied(cohort: Cohort) -> None:
    material, some = inputs_of(cohort, SETTINGS), np.arange(8)
    few = replace(
        material, genes=np.random.default_rng(3).standard_normal((8, 40)).astype(np.float32),
        features=replace(material.features, values=material.features.values.iloc[some]),
        batches=material.batches.iloc[some][[]],
    )  # fmt: skip
    said = conclusions(conventional_map(few, SETTINGS))[0]
    assert "too few to show a link or to speak against one" in said


def test_covariates_that_leave_nothing_to_test_are_refused(cohort: Cohort) -> None:
    material = inputs_of(cohort, SETTINGS)
    many = pd.DataFrame(np.random.default_rng(0).standard_normal((40, 35)), index=material.features.values.index)
    settings = replace(SETTINGS, covariates="A,B")
    with pytest.raises(SettingError, match="40 patients adjusted for A,B leave 3 degrees of freedom; a test needs 6"):
        conventional_map(replace(material, covariates=many), settings)


def test_gene_sets_of_other_identifiers_are_refused_before_the_work(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "entrez.gmt").write_text("A\td\t" + "\t".join(map(str, range(7000, 7030))) + "\n")
    assert main(["map", str(cohort.path), str(tmp_path / "out"), "--gmt", str(tmp_path / "entrez.gmt")]) == 2
    assert "none of the 1 gene sets has 5 genes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.pictures
def test_everything_is_written_whole_and_the_page_opens(made: ConventionalMap, cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "map"
    said = write_map(made, out, truth=cohort.truth)
    assert not (tmp_path / "map.partial").exists()
    for name in ("links", "metagenes", "metagene_genes", "batches", "gene_links"):
        assert len(pd.read_parquet(out / "tables" / f"{name}.parquet")) > 0
        assert (out / "tables" / f"{name}.csv").is_file()
    found = pd.read_parquet(out / "tables" / "links.parquet")
    assert len(found) == len(made.metagenes) * len(made.by_metagene.features)
    written = anndata.read_h5ad(out / "map.h5ad")
    assert written.shape == (40, 6)
    assert written.obsm["features"][SIZE].to_numpy() == pytest.approx(made.material.features.values[SIZE].to_numpy())
    assert json.loads((out / "map.json").read_text())["conclusions"] == said
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    for text in ("Which genes go with which property?", "Known answers", "kernel", "heat map"):
        assert text.lower() in page.lower()
    with pytest.raises(OutputError, match="already exists"):
        write_map(made, out)


@pytest.mark.slow
def test_the_verb_maps_and_refuses_what_a_user_can_mend(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = partial(CanonicalAlignmentSettings, permutations=20)
    monkeypatch.setattr(left_out_retrieval, "CanonicalAlignmentSettings", short)
    few = ["--clusters", "6", "--permutations", "100", "--shuffles", "1"]
    few += ["--prediction_permutations", "19", "--prediction_repeats", "1", "--prediction_bootstrap", "50"]
    few += ["--prediction_folds", "2"]
    assert main(["map", str(cohort.path), str(tmp_path / "out"), *few]) == 0
    for name in ("predictions", "left_out_retrieval", "shuffled_voxels"):
        assert (tmp_path / "out" / "tables" / f"{name}.csv").is_file()
    assert "may be reported" in capsys.readouterr().out
    for arguments, line in (
        ([str(cohort.path), str(tmp_path / "out")], "already exists"),
        ([str(tmp_path / "nothing"), str(tmp_path / "new")], "nothing"),
        ([str(cohort.path), str(tmp_path / "new"), "--gmt", str(tmp_path / "no.gmt")], "cannot be read"),
        ([str(cohort.path), str(tmp_path / "new"), "--permutations", "5"], "permutations 5: at least 100"),
        ([str(cohort.path), str(tmp_path / "new"), "--clusters", "99"], "clusters 99: from 1 to the number of genes"),
    ):
        assert main(["map", *arguments]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert "Traceback" not in error
        assert not (tmp_path / "new").exists()


@pytest.mark.pictures
def test_the_page_shows_the_strongest_links_with_their_patients_and_names_genes(
    made: ConventionalMap, cohort: Cohort, tmp_path: Path
) -> None:
    write_map(made, tmp_path / "map", cohort=cohort)
    page = json.loads((tmp_path / "map" / "page.json").read_text())
    strongest, links = page["sections"][:2]
    assert strongest["title"] == "The strongest links"
    # No correlation without its null.
    assert "largest |r| of all tests stays below" in strongest["blocks"][0]["caption"]
    assert strongest["blocks"][1]["file"] == "ends-1.png"
    table = next(block for block in links["blocks"] if block["kind"] == "table")
    shown = [column["label"] for column in table["columns"] if not column["more"]]
    assert shown[:6] == ["Metagene", "Feature", "Effect", "q", "p", "n"]
    assert table["full"] == "links.csv"
    rows = pd.read_csv(tmp_path / "map" / "tables" / "links_shown.csv")
    assert "not found" not in set(rows["verdict"])
    assert f"{len(made.links) - len(rows)} pairs do not pass and are left out here" in table["caption"]
    assert rows["verdict"].iloc[0] == FOUND
    first = made.links[made.links["verdict"] == FOUND].iloc[0]
    members = made.metagenes.members(made.metagenes.ids.index(first["metagene"]))
    assert rows["metagene"].iloc[0] == f"{first['metagene']}: {', '.join(members[:3])}"
    assert pd.read_csv(tmp_path / "map" / "tables" / "links.csv")["genes"].iloc[0] == ", ".join(members[:3])


def test_without_a_link_the_page_has_no_table_of_links(made: ConventionalMap, tmp_path: Path) -> None:
    none = replace(made, links=made.links.assign(verdict="not found"))
    write_map(none, tmp_path / "map")
    page = json.loads((tmp_path / "map" / "page.json").read_text())
    assert page["sections"][0]["text"].startswith("No link is reported")
    assert all(block["kind"] == "picture" for block in page["sections"][1]["blocks"])
