"""What the page holds, whom it names, and when it is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.explorer.conftest import Explored

import radiogenesis as rg
from radiogenesis.backends.opened import MOST_DIFFERENT
from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import InputError, RadiogenesisError
from radiogenesis.evaluation.copies import copies
from radiogenesis.explorer import graph
from radiogenesis.explorer.content import MEAN, ExploreSettings, content_of
from radiogenesis.explorer.moves import FEWEST, GENE, METAGENE, NO_MAP, MapTables, _evidence, _evidence_of_genes
from radiogenesis.mapping.synthesis.perturbation import linear_code
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.images import images_from_hu, to_hu
from radiogenesis.testing import train_toy
from radiogenesis.window import WINDOW_HU


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody draws, nothing is exported."""
    monkeypatch.setattr("radiogenesis.explorer.content.generator_onnx", lambda method: b"")


@pytest.fixture
def real(explored: Explored) -> Cohort:
    """The cohort as if hospitals had given it."""
    attributes = explored.cohort._attributes
    provenance = {**attributes["provenance"], "verb": "cohort build"}
    return replace(explored.cohort, _attributes={**attributes, "provenance": provenance})


def test_the_graph_draws_what_the_method_draws_however_many_at_a_time(explored: Explored) -> None:
    import onnxruntime

    method = graph.drawer_of(explored.run)
    session = onnxruntime.InferenceSession(graph.generator_onnx(method))
    genes = explored.run.genes(explored.cohort.expression, explored.run.split.test)
    background = explored.cohort.background_image[: len(genes)].astype(np.float32)
    noise = method.seeded_noise(0, len(genes), 0, torch.device("cpu"))
    given = {"background": images_from_hu(background).numpy(), "code": method.encode(genes)}
    given |= {"vector": noise.vector.numpy()} | {f"map{level}": part.numpy() for level, part in enumerate(noise.maps)}
    image, mask, weight = session.run(None, {name: np.float32(value) for name, value in given.items()})
    drawn = method.synthesize(background, genes, seed=0)
    low, high = WINDOW_HU
    hu = to_hu(torch.from_numpy(image)).numpy()
    for mine, theirs, span in ((hu, drawn.image, high - low), (mask, drawn.mask, 1), (weight, drawn.weight, 1)):
        assert np.abs(mine[:, 0] - theirs).max() < MOST_DIFFERENT * span


def test_moves_add_up_to_the_code_of_moved_genes(explored: Explored) -> None:
    run, cohort = explored.run, explored.cohort
    training = run.scaler.transform(cohort.expression, list(run.split.train)).astype(np.float64)
    method = run.method
    assert isinstance(method, FusionGAN)
    weights = linear_code(method, training)
    assert weights is not None
    genes = run.genes(cohort.expression, run.split.test)
    change = np.random.default_rng(0).normal(size=genes.shape).astype(np.float32)
    np.testing.assert_allclose(
        method.encode(genes + change), method.encode(genes) + change @ weights, rtol=1e-4, atol=1e-4
    )


def test_a_gene_code_that_is_not_linear_is_refused(explored: Explored, tmp_path: Path) -> None:
    mapped = train_toy("fusion-gan", explored.cohort, tmp_path / "run", gene_code="mapping", matching=0.0, energy=0.0)
    with pytest.raises(rg.RunError, match=r"not linear in the genes.*--gene_code aligned"):
        rg.explore(mapped, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_of_a_phantom_everything_is_shown_and_said(explored: Explored, unexported: None) -> None:
    run, cohort = explored.run, explored.cohort
    content = content_of(run, cohort, ExploreSettings(), tables=explored.map)
    assert content.patient_names[0] == MEAN
    assert [name.split(" ")[0] for name in content.patient_names[1:]] == sorted(run.split.test)
    kinds = [move.kind for move in content.moves]
    assert kinds.count(GENE) == len(run.scaler.genes)
    assert kinds.count(METAGENE) == 4
    genes = run.genes(cohort.expression, sorted(run.split.test))
    np.testing.assert_allclose(content.patients[1:], run.gene_encoder().encode(genes), rtol=1e-5)
    assert content.provenance["Cohort digest"] == cohort.digest[:12]
    held_out = np.isin(cohort.background_patient, run.split.test)
    assert all(any((b == image).all() for image in cohort.background_image[held_out]) for b in content.backgrounds)


def test_without_a_map_no_gene_stands_out(explored: Explored, unexported: None) -> None:
    content = content_of(explored.run, explored.cohort, ExploreSettings())
    genes = [move for move in content.moves if move.kind == GENE]
    assert {move.why for move in genes} == {NO_MAP}
    assert not any(move.supported for move in genes)
    assert "No map was given" in content.remarks[0]


def test_real_patients_are_numbered_and_their_pictures_must_be_named(
    explored: Explored, real: Cohort, unexported: None
) -> None:
    anyway = ExploreSettings(anyway=True)
    with pytest.raises(rg.SettingError, match=r"scans of real patients.*--backgrounds_from"):
        content_of(explored.run, real, anyway)
    content = content_of(explored.run, real, replace(anyway, backgrounds=(3, 5)))
    np.testing.assert_array_equal(content.backgrounds, real.background_image[[3, 5]])
    assert content.patient_names[1:] == ("held-out patient 1", "held-out patient 2", "held-out patient 3")
    assert sorted(content.who.values()) == sorted(explored.run.split.test)
    assert not any(name in json.dumps(content.provenance) for name in explored.run.split.test)
    assert "copied" in content.remarks[0] or "copies" in content.remarks[0]
    lent = content_of(explored.run, real, anyway, backgrounds_from=explored.cohort)
    assert len(lent.backgrounds) == 6


@pytest.mark.parametrize(("p", "refused"), [(0.01, True), (0.4, False), (np.nan, True)])
def test_copies_of_training_lesions_are_not_given_away(
    explored: Explored, real: Cohort, unexported: None, tmp_path: Path, p: float, refused: bool
) -> None:
    (tmp_path / "tables").mkdir()
    drawn = {"of": "drawn", "near": 0.25, "low": 0.1, "high": 0.4, "p": p, "seen_25": 0.8, "seen_100": 0.9}
    rows = [drawn, {"of": "copies", "near": 1.0, "p": 0.001}, {"of": "real", "near": 0.01, "false_alarms": 0.05}]
    table = pd.DataFrame(rows).assign(run="some name")
    table.to_csv(tmp_path / "tables" / "memorization.csv", index=False)
    digest = file_digest(explored.run.path / "weights.safetensors")
    runs = [{"name": "some name", "provenance": {"files": {"weights.safetensors": digest}}}]
    (tmp_path / "evaluation.json").write_text(json.dumps({"runs": runs}))
    settings = ExploreSettings(backgrounds=(3,))
    if refused:
        said = "could not be tested for" if np.isnan(p) else "may be copies of training lesions: 25 % of the drawings"
        with pytest.raises(rg.RunError, match=said + ".*--anyway true"):
            content_of(explored.run, real, settings, audit=tmp_path)
        settings = replace(settings, anyway=True)
    content = content_of(explored.run, real, settings, audit=tmp_path)
    assert ("--anyway" if refused else "no sign that training lesions were copied") in content.remarks[0]
    table.assign(run="another name").to_csv(tmp_path / "tables" / "memorization.csv", index=False)
    with pytest.raises(rg.RunError, match="of another version; evaluate the run again"):
        content_of(explored.run, real, settings, audit=tmp_path)
    runs[0]["provenance"]["files"]["weights.safetensors"] = "0" * 64  # type: ignore[index]  # another run of that name
    (tmp_path / "evaluation.json").write_text(json.dumps({"runs": runs}))
    with pytest.raises(rg.RunError, match="is an evaluation of other runs"):
        content_of(explored.run, real, settings, audit=tmp_path)


def test_without_an_evaluation_copies_are_looked_for(explored: Explored, real: Cohort, unexported: None) -> None:
    audit = copies(explored.run, real, 0)
    settings = ExploreSettings(backgrounds=(3,))
    if audit.found or not audit.tested:
        with pytest.raises(rg.RunError, match="--anyway true"):
            content_of(explored.run, real, settings)
        settings = replace(settings, anyway=True)
    assert audit.sentence in content_of(explored.run, real, settings).remarks[0]


def test_a_map_of_another_run_is_refused(explored: Explored, unexported: None, tmp_path: Path) -> None:
    other = tmp_path / "map"
    shutil.copytree(explored.map, other)
    page = (other / "page.json").read_text()
    digest = next(line for line in page.split('"') if line.startswith("sha256 "))
    (other / "page.json").write_text(page.replace(digest, "sha256 0123456789ab"))
    with pytest.raises(rg.RunError, match="is a map of another run"):
        content_of(explored.run, explored.cohort, ExploreSettings(), tables=other)
    with pytest.raises(rg.RunError, match=r"no map of a run here \(metagene_genes.parquet is missing\)"):
        content_of(explored.run, explored.cohort, ExploreSettings(), tables=tmp_path)


@pytest.mark.parametrize("table", ["metagene_genes", "metagenes", "synthesis_links", "synthesis_genes"])
def test_a_damaged_map_is_named(explored: Explored, tmp_path: Path, table: str) -> None:
    shutil.copytree(explored.map, tmp_path / "map")
    path = tmp_path / "map" / "tables" / f"{table}.parquet"
    frame = pd.read_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"{table}\.parquet: is no table"):
        MapTables.read(tmp_path / "map")
    frame.drop(columns="metagene" if "metagene" in frame else "gene").to_parquet(path)
    with pytest.raises(InputError, match=rf"{table}\.parquet: has no column"):
        MapTables.read(tmp_path / "map")
    if numbers := [name for name in ("sign", "effect", "p") if name in frame]:
        frame.assign(**{numbers[0]: "x"}).to_parquet(path)
        with pytest.raises(InputError, match=rf"{table}\.parquet: column '{numbers[0]}' holds texts"):
            MapTables.read(tmp_path / "map")


@pytest.mark.parametrize(
    ("near", "runs", "said"),
    [
        (1e308, None, r"memorization\.csv: its shares and p must lie between 0 and 1"),
        ("x", None, r"memorization\.csv: column 'near' holds texts"),
        (0.1, [1], r"evaluation\.json: cannot be read \(its runs are no records"),
        (0.1, [{"provenance": {"files": "x"}}], r"evaluation\.json: cannot be read \(its runs are no records"),
    ],
)
def test_a_damaged_evaluation_is_named(
    explored: Explored, tmp_path: Path, near: object, runs: list[object] | None, said: str
) -> None:
    (tmp_path / "tables").mkdir()
    numbers = dict.fromkeys(("low", "high", "p", "seen_100", "false_alarms"), 0.4)
    rows = [{"run": "some name", "of": of, "near": near, **numbers} for of in ("drawn", "copies", "real")]
    pd.DataFrame(rows).to_csv(tmp_path / "tables" / "memorization.csv", index=False)
    digest = file_digest(explored.run.path / "weights.safetensors")
    record = {"runs": runs or [{"name": "some name", "provenance": {"files": {"weights.safetensors": digest}}}]}
    (tmp_path / "evaluation.json").write_text(json.dumps(record))
    with pytest.raises(RadiogenesisError, match=said):
        content_of(explored.run, explored.cohort, ExploreSettings(), audit=tmp_path)


def test_what_nobody_can_draw_is_refused_in_one_line(
    explored: Explored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = explored.run
    with pytest.raises(rg.RunError, match="the explorer draws with the fusion GAN"):
        rg.explore(run.path.parent / "alignment", tmp_path / "page.html")
    with pytest.raises(rg.SettingError, match="patient nobody is not held out"):
        rg.explore(run, tmp_path / "page.html", patients=["nobody"])
    with pytest.raises(rg.SettingError, match="backgrounds must be between 0 and 47"):
        rg.explore(run, tmp_path / "page.html", backgrounds=[48])
    monkeypatch.setattr("radiogenesis.backends.graph.find_spec", lambda name: None)
    with pytest.raises(rg.SettingError, match=r"onnx is not installed.*radiogenesis\[explore\]"):
        rg.explore(run, tmp_path / "page.html")


def test_evidence_in_words() -> None:
    row = {"metagene": "MG001", "feature": "size (mm)", "effect": 2.5, "low": 1.0, "high": 4.0, "effect_sd": 0.8}
    rows = [
        row | {"q": 0.01, "verdict": "found", "rho_held_out": 0.6, "batch": ""},
        row | {"feature": "margin (mm)", "q": 0.001, "verdict": "confounded", "rho_held_out": 0.1, "batch": "scanner"},
        row | {"feature": "attenuation (HU)", "effect": np.nan, "q": np.nan, "verdict": "not found"},
    ]
    margin, size = _evidence(pd.DataFrame(rows), 20)
    assert size.supported
    assert size.text == (
        "+2.5 [1, 4] per standard deviation; q 0.01; own lesions of 20 held-out patients: rho 0.60 (chance: within "
        "±0.45)"
    )
    assert not margin.supported
    assert margin.text.endswith("; batch: scanner")
    assert "batch variable" in margin.verdict
    assert "rho" not in _evidence(pd.DataFrame(rows), FEWEST - 1)[1].text


def test_genes_are_corrected_for_all_genes_and_properties() -> None:
    table = pd.DataFrame(
        {"gene": ["A", "A", "B", "C"], "feature": ["x", "y", "x", "x"], "effect_sd": [0.5, 0.1, 0.2, 0.1],
         "p": [0.01, 0.9, 0.04, np.nan]}
    )  # fmt: skip
    found = _evidence_of_genes(table)
    assert set(found) == {"A", "B"}
    assert found["A"][0].supported  # q = 0.01 * 3
    assert not found["B"][0].supported  # q = 0.04 * 3 / 2
    assert "q 0.03" in found["A"][0].text
