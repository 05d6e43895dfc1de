"""Gene sets: GMT files, over-representation against scipy, ranked sets that are planted, and a null that holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from radiogenesis.errors import InputError
from radiogenesis.mapping.conventional.enrichment import (
    in_names_of,
    measured_sets,
    over_representation,
    ranked_enrichment,
    read_gmt,
)
from radiogenesis.stats.association import FREE, Held, associate, permutation
from radiogenesis.stats.metagenes import Metagenes

NAMES = tuple(f"G{i:03d}" for i in range(120))


def test_a_gmt_file_is_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("A\thttp\tG1\tG2\tG1\n\nB\t\tG3\t\n")
    assert read_gmt(path) == {"A": ("G1", "G2"), "B": ("G3",)}
    assert measured_sets(read_gmt(path), ["G2", "G1"], 2) == {"A": ["G1", "G2"]}
    for text, why in (("A\tx\n", "has no genes"), ("A\tx\tG\nA\tx\tG\n", "appears twice"), ("\n", "no gene set")):
        path.write_text(text)
        with pytest.raises(InputError, match=why):
            read_gmt(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text"):
        read_gmt(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_gmt(tmp_path / "absent.gmt")


ENSEMBL = [f"ENSG{i:011d}.{i % 9 + 1}" for i in range(40)]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_gmt_file_is_read_in_every_coding_and_with_every_line_end(tmp_path: Path, coding: str, end: str) -> None:
    path = tmp_path / "sets.gmt"
    path.write_bytes(end.join(["A\tfür\tG1\tG2,1.0\t\t", "", "B\t\tG3"]).encode(coding))
    assert read_gmt(path) == {"A": ("G1", "G2"), "B": ("G3",)}


@pytest.mark.parametrize(
    ("table", "genes"),
    [
        (ENSEMBL, [name.split(".")[0] for name in ENSEMBL]),
        ([name.split(".")[0] for name in ENSEMBL], ENSEMBL),
        (ENSEMBL, [name.split(".")[0] + ".77" for name in ENSEMBL]),
        (list(NAMES[:40]), [name.lower() for name in NAMES[:40]]),
        ([f"{name}|{1000 + i}" for i, name in enumerate(NAMES[:40])], list(NAMES[:40])),
        (list(NAMES[:40]), [f'"{name}"' for name in NAMES[:40]]),
    ],
)
def test_genes_that_are_only_written_differently_are_found(table: list[str], genes: list[str]) -> None:
    sets, said = in_names_of({"A": genes[:20], "B": genes[20:26]}, table, "sets.gmt")
    assert sets == {"A": tuple(table[:20]), "B": tuple(table[20:26])}
    assert "1 of 2 have at least 15 genes" in said
    assert "2 have at least 5" in said


def test_an_identifier_that_could_be_two_genes_is_neither_unless_it_is_one_of_them() -> None:
    table = ["ENSG00000000001.1", "ENSG00000000001.2", *NAMES[:10]]
    sets, _ = in_names_of({"A": ["ENSG00000000001", "ENSG00000000001.2", *NAMES[:8]]}, table, "sets.gmt")
    assert measured_sets(sets, table, 1)["A"] == ["ENSG00000000001.2", *NAMES[:8]]


@pytest.mark.parametrize("genes", [[str(1000 + i) for i in range(20)], list(NAMES[:20])])
def test_gene_sets_of_other_identifiers_are_refused_with_an_example_of_both(genes: list[str]) -> None:
    with pytest.raises(InputError, match=r"none of the 1 gene sets has 5 genes .* look like ENSG.*\.3, the sets' like"):
        in_names_of({"A": genes}, ENSEMBL, "sets.gmt")


def test_a_small_overlap_is_said() -> None:
    _, said = in_names_of({"A": [*NAMES[:6], *map(str, range(100))]}, NAMES, "sets.gmt")
    assert said.endswith("the table has 6% of the sets' genes.")


def test_a_constant_gene_takes_no_gene_set_away() -> None:
    rng = np.random.default_rng(0)
    genes, feature = rng.standard_normal((30, 60)), rng.standard_normal((30, 1))
    genes[:, 59] = 1.0
    found = associate(genes, feature, NAMES[:60], ["f"])
    sets = {"A": NAMES[:20], "with the constant": NAMES[45:60]}
    table = ranked_enrichment(genes, feature, found, sets, permutations=20, patient_permutations=19)
    assert table["set"].tolist() == ["A"]  # the other has 14 genes that vary


def test_over_representation_is_the_hypergeometric_test_among_the_genes_measured() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((40, 4)), 30, axis=1) + 0.5 * rng.standard_normal((40, 120))
    metagenes = Metagenes.fit(x, NAMES, clusters=4)
    mine = metagenes.members(0)
    sets = {"half": [*mine[:10], *metagenes.members(1)[:5], "unmeasured"], "other": metagenes.members(2)[:8]}
    found = over_representation(metagenes, sets).set_index(["metagene", "set"])
    row = found.loc[("MG001", "half")]
    assert row["overlap"] == 10
    assert row["set_size"] == 15
    assert row["p"] == pytest.approx(stats.hypergeom.sf(9, 120, 15, len(mine)), rel=1e-6)
    p = np.r_[found["p"], np.ones(8 - len(found))]  # two sets and four metagenes: eight tests
    assert found["q"].to_numpy() == pytest.approx(stats.false_discovery_control(p)[: len(found)])


@pytest.fixture(scope="module")
def planted():  # type: ignore[no-untyped-def]
    """Genes 0 to 19 rise with feature "a"; genes 20 to 39 are co-expressed and go with nothing."""
    rng = np.random.default_rng(2)
    genes = rng.standard_normal((60, 120))
    features = rng.standard_normal((60, 2))
    genes[:, :20] += 0.8 * features[:, :1]
    genes[:, 20:40] += 2 * rng.standard_normal((60, 1))
    sets = {"planted": NAMES[:20], "together": NAMES[20:40], "none": NAMES[60:80]}
    found = associate(genes, features, NAMES, ["a", "b"])
    return ranked_enrichment(genes, features, found, sets, permutations=200, patient_permutations=999)


def test_the_planted_set_is_found(planted) -> None:  # type: ignore[no-untyped-def]
    row = planted.set_index(["feature", "set"]).loc[("a", "planted")]
    assert row["nes"] > 1.5
    assert row["p_patients"] == pytest.approx(0.001)
    assert row["q_patients"] < 0.05
    assert row["holds"]
    assert len(planted) == 6
    assert planted["size"].eq(20).all()


def test_a_set_without_a_link_does_not_hold_beside_one_that_has(planted) -> None:  # type: ignore[no-untyped-def]
    for seed in range(3):  # many genes go with the feature: less than they do is not a link
        rng = np.random.default_rng(seed)
        genes, feature = rng.standard_normal((80, 120)), rng.standard_normal((80, 1))
        genes[:, :70] += feature
        found = associate(genes, feature, NAMES, ["f"])
        sets = {"planted": NAMES[:20], "none": NAMES[80:100]}
        table = ranked_enrichment(genes, feature, found, sets, permutations=100, patient_permutations=999)
        table = table.set_index("set")
        assert table.loc["planted", "p_patients"] == pytest.approx(0.001)
        assert table.loc["none", "p_patients"] > 0.02
        assert not table.loc["none", "holds"]
    assert planted.set_index("set").loc["none", "p_patients"].min() > 0.02


def test_the_p_of_a_set_is_that_of_its_mean_z() -> None:
    rng = np.random.default_rng(7)
    genes, features = rng.standard_normal((40, 30)), rng.standard_normal((40, 2))
    features[rng.permutation(40)[:6], 1] = np.nan
    features[:, 0] += 0.4 * genes[:, 0]
    found = associate(genes, features, NAMES[:30], ["a", "b"])
    sets = {"s": NAMES[:15]}
    table = ranked_enrichment(genes, features, found, sets, permutations=20, patient_permutations=199)
    own = np.abs(found.z[:15].mean(axis=0))
    null = []
    for b in range(199):
        turned = features[permutation(40, None, 0, b)]
        null.append(np.abs(associate(genes, turned, NAMES[:30], ["a", "b"]).z[:15].mean(axis=0)))
    expected = (1 + (np.array(null) >= own).sum(axis=0)) / 200
    by_feature = table.set_index("feature")["p_patients"]
    assert by_feature["a"] == pytest.approx(expected[0])
    assert by_feature["b"] == pytest.approx(expected[1], abs=0.05)  # a missing value counts as the mean


def test_within_batches_a_set_that_only_the_batch_links_is_gone() -> None:
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 3, 100)
    genes = rng.standard_normal((100, 120))
    genes[:, :30] += batch[:, None]
    feature = (rng.standard_normal(100) + 1.5 * batch)[:, None]
    sets = {"batch": NAMES[:30], "other": NAMES[60:90]}
    p = {}
    for name, held in (("free", FREE), ("within", Held(blocks=batch, covariates=None, model="rank"))):
        found = associate(genes, feature, NAMES, ["f"], **held)
        table = ranked_enrichment(genes, feature, found, sets, permutations=20, patient_permutations=199, held=held)
        p[name] = table.set_index("set").loc["batch", "p_patients"]
    assert p["free"] == pytest.approx(1 / 200)
    assert p["within"] > 0.05


def test_co_expressed_genes_fool_the_permutation_of_genes_but_not_that_of_patients() -> None:
    genes_permuted, patients_permuted = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        genes = rng.standard_normal((30, 60))
        genes[:, :20] += 2 * rng.standard_normal((30, 1))
        feature = rng.standard_normal((30, 1))
        found = associate(genes, feature, NAMES[:60], ["f"])
        table = ranked_enrichment(
            genes, feature, found, {"together": NAMES[:20]}, permutations=60, patient_permutations=99, seed=seed
        )
        genes_permuted.append(table["p"].iloc[0] < 0.05)
        patients_permuted.append(table["p_patients"].iloc[0] < 0.05)
    assert sum(genes_permuted) >= 3
    assert sum(patients_permuted) <= 2
