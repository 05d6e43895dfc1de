"""The map by synthesis beside the conventional one: on a cohort that a known drawer painted, and as a verb."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from drawer import HU, PIXELS, Drawer
from PIL import Image
from scipy.stats import spearmanr

from radiogenesis.cli.main import main
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.errors import RunError
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.mapping import code_space
from radiogenesis.mapping.conventional.three_step import (
    CONFOUNDED,
    INCOHERENT,
    ConventionalMap,
    conventional_map,
    inputs_of,
)
from radiogenesis.mapping.settings import MapSettings, SynthesisSettings
from radiogenesis.mapping.synthesis.axes_genes import axes_table
from radiogenesis.mapping.synthesis.known_answers import BOTH, FOUND, NOT_FOUND, known_answers
from radiogenesis.mapping.synthesis.runs import Trained, _require_alike
from radiogenesis.mapping.synthesis.synthesis import (
    BY_SYNTHESIS,
    NEITHER,
    ONLY_DRAWN,
    SynthesisMap,
    _blocks,
    map_by_synthesis,
)
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.images import images_from_hu, to_hu
from radiogenesis.pages.mapping.axes import axes_section
from radiogenesis.pages.mapping.output import write_map
from radiogenesis.pages.mapping.synthesis import conclusions, counts, synthesis_addition
from radiogenesis.pages.mapping.synthesis_pictures import LEVELS, most_usual, set_traversals, traversals
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.testing import toy_patient, write_cohort

pytestmark = pytest.mark.slow

PATIENTS, GENES, MODULES = 40, 60, 6
SIZE, ATTENUATION = "size (mm)", "attenuation (HU)"
FEW = MapSettings(clusters=MODULES, permutations=100, shuffles=2)
MOVES = SynthesisSettings(backgrounds=1, random_sets=400, bootstrap=200)


def weights() -> np.ndarray:
    """Of scaled genes: module 0 makes the diameter, module 1 the attenuation."""
    made = np.zeros((GENES, 2))
    made[:10, 0] = made[10:20, 1] = 0.1
    return made


@pytest.fixture(autouse=True)
def _few_shuffles_of_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the silhouettes of codes, which a map of a run shows too and no test here looks at."""
    monkeypatch.setattr(code_space, "EvaluationSettings", partial(EvaluationSettings, gene_shuffles=5))


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six modules of ten genes; lesions as `Drawer` draws them from the patients' genes."""
    rng = np.random.default_rng(0)
    names = [f"P{i:02d}" for i in range(PATIENTS)]
    activity = rng.standard_normal((PATIENTS, MODULES))
    genes = 0.8 * activity[:, np.arange(GENES) // 10] + 0.6 * rng.standard_normal((PATIENTS, GENES))
    genes = (genes - genes.mean(axis=0)) / genes.std(axis=0)
    gene_names = [f"G{g}" for g in range(GENES)]
    drawer = Drawer(weights())
    noise = np.random.default_rng(1).permutation(np.linspace(5, 15, PATIENTS))  # of the image, which no gene makes
    lungs = (-850 + noise[:, None, None] * rng.standard_normal((PATIENTS, PIXELS, PIXELS))).astype(np.float32)
    drawn = drawer.synthesize(lungs, genes, seed=9)
    patients = [
        toy_patient(name, *(part[i : i + 1] for part in (np.rint(drawn.image), drawn.mask >= 0.5, np.rint(lungs))))
        for i, name in enumerate(names)
    ]
    code = genes @ drawer.weights
    factors = pd.DataFrame({"size": code[:, 0], "attenuation": code[:, 1]}, index=pd.Index(names, name="patient"))
    effects = pd.DataFrame({"gene": gene_names[:20], "factor": ["size"] * 10 + ["attenuation"] * 10, "weight": 0.1})
    modules = pd.DataFrame({"gene": gene_names, "module": np.arange(GENES) // 10})
    return write_cohort(
        tmp_path_factory.mktemp("painted") / "painted.zarr", patients, pd.DataFrame(genes, names, gene_names),
        sampling=SamplingSettings(pixels=PIXELS), truth=Truth(factors, effects, modules, {}),
    )  # fmt: skip


def trained(cohort: Cohort, name: str = "drawer", shuffled: bool = False) -> Trained:
    names = tuple(map(str, cohort.patients.index))
    split = Split(train=names[:28], validation=names[28:30], test=names[30:])
    scaler = ExpressionScaler.fit(cohort.expression, split.train)
    made = weights()
    if shuffled:  # what a model knows whose genes say nothing: a little of every gene
        made = 0.02 * np.random.default_rng(5).standard_normal((GENES, 2))
    drawer = Drawer(made)

    def draw(background: torch.Tensor, genes: torch.Tensor, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        return drawer.draw(to_hu(background), genes, first, 0)

    return Trained(name, drawer, split, scaler, None, draw)


@pytest.fixture(scope="module")
def made(painted: Cohort) -> ConventionalMap:
    return conventional_map(inputs_of(painted, FEW), FEW)


@pytest.fixture(scope="module")
def moved(painted: Cohort, made: ConventionalMap) -> SynthesisMap:
    return map_by_synthesis(
        trained(painted), painted, made, MOVES, nulls=[trained(painted, "null", shuffled=True)],
        gene_sets={"first module": [f"G{g}" for g in range(10)], "nothing": ["X"]},
    )  # fmt: skip


def of(made: ConventionalMap, gene: str) -> str:
    return made.metagenes.ids[made.metagenes.label[made.metagenes.names.index(gene)]]


def test_both_maps_find_the_painted_links_and_agree(made: ConventionalMap, moved: SynthesisMap) -> None:
    table = moved.links.set_index(["metagene", "feature"])
    assert len(table) == MODULES * 6
    for gene, feature in (("G0", SIZE), ("G10", ATTENUATION)):
        link = table.loc[(of(made, gene), feature)]
        assert link["verdict"] == FOUND
        assert link["maps"] == BOTH
        assert link["low"] <= link["effect"] <= link["high"]
        assert link["rho_held_out"] > 0.8
        assert link["p_shuffled"] == pytest.approx(1 / 37)  # none of the 36 effects of the other run comes near
    effect = table.loc[(of(made, "G10"), ATTENUATION), "effect"]
    values = made.values[:, made.metagenes.ids.index(of(made, "G10"))][:28]
    assert effect == pytest.approx(HU * values.std(), rel=0.1)
    agreement = moved.agreement.set_index("feature")
    assert agreement.loc[SIZE, "axes"] > 0.99
    assert agreement.loc[ATTENUATION, "gradient"] > 0.99
    n = counts(moved)
    assert n["axes"] == n["null_axes"] == 2
    assert min(n["null_effect_size"], n["effect_size"]) > 0
    assert n["both"] == n["same_direction"] >= 2


def test_the_painted_answers_are_recovered_by_both(made: ConventionalMap, moved: SynthesisMap, painted: Cohort) -> None:
    assert painted.truth is not None
    table = known_answers(made, moved, painted.truth)
    assert table["by_synthesis"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert table["conventional"].iloc[0] == pytest.approx(1.0)
    assert table["links"].tolist() == [2, 20, 20]


def test_gene_sets_are_moved_as_metagenes_are(made: ConventionalMap, moved: SynthesisMap) -> None:
    assert set(moved.gene_sets["set"]) == {"first module"}  # nobody measured X
    mine = moved.gene_sets.set_index("feature").loc[SIZE, "effect"]
    other = moved.links.set_index(["metagene", "feature"]).loc[(of(made, "G0"), SIZE), "effect"]
    assert mine == pytest.approx(other, rel=0.05)


def test_what_the_patients_owe_to_a_scanner_is_not_found_by_synthesis_either(painted: Cohort) -> None:
    material = inputs_of(painted, FEW)
    code = material.genes[:, :10].mean(axis=1)  # one scanner has the patients with large lesions
    kernel = np.where(code > np.median(code), "sharp", "smooth")
    trapped = conventional_map(replace(material, batches=material.batches.assign(kernel=kernel)), FEW)
    sets = {"first module": [f"G{g}" for g in range(10)], "second": [f"G{g}" for g in range(10, 20)]}
    moved = map_by_synthesis(trained(painted), painted, trapped, MOVES, gene_sets=sets)
    table = moved.links.set_index(["metagene", "feature"])
    link, other = table.loc[(of(trapped, "G0"), SIZE)], table.loc[(of(trapped, "G10"), ATTENUATION)]
    assert link["verdict"] == link["conventional_verdict"] == CONFOUNDED
    assert (link["batch"], link["maps"]) == ("kernel", NEITHER)
    assert (other["verdict"], other["maps"]) == (FOUND, BOTH)
    by_set = moved.gene_sets.set_index(["set", "feature"])
    assert by_set.loc[("first module", SIZE), "verdict"] == CONFOUNDED
    assert by_set.loc[("second", ATTENUATION), "verdict"] == FOUND
    n = counts(moved)
    assert n["confounded"] >= 1
    assert any("both go with a batch variable" in sentence for sentence in conclusions(trapped, moved))
    noise = map_by_synthesis(trained(painted), painted, replace(trapped, coherent=np.zeros(MODULES, bool)), MOVES)
    assert set(noise.links["verdict"]) <= {CONFOUNDED, INCOHERENT, "not found"}
    assert (noise.links["maps"] != BY_SYNTHESIS).all()


def test_a_null_run_must_be_the_same_but_for_the_shuffle() -> None:
    settings = {"steps": 5, "width": 8}
    config: dict[str, Any] = {"method": "fusion-gan", "settings": settings, "genes": 60}
    config["training"] = {"seed": 0, "least_area": 0.5}
    split = Split(("A", "B"), (), ("C",))

    def run(**changed: Any) -> Any:
        return SimpleNamespace(path=Path("gan"), config=config | changed, split=split)

    _require_alike(run(), run(training={"seed": 3, "least_area": 0.5}, alignment_run="elsewhere"))
    _require_alike(run(), run(settings=settings | {"of_a_later_version": 1}))
    for other, line in (
        (run(settings=settings | {"width": 4}), "was trained with width 4, gan with 8"),
        (run(training={"seed": 0, "least_area": 0.0}), "was trained with least_area 0.0, gan with 0.5"),
        (run(method="mc-gan"), "was trained with method mc-gan, gan with fusion-gan"),
        (SimpleNamespace(**vars(run()) | {"split": Split(("A", "C"), (), ("B",))}), "on other patients than gan"),
    ):
        with pytest.raises(RunError, match=line):
            _require_alike(run(), other)


def test_a_model_that_draws_everybody_alike_claims_nothing(painted: Cohort, made: ConventionalMap) -> None:
    deaf = trained(painted)
    deaf = Trained("deaf", Drawer(np.zeros((GENES, 2))), deaf.split, deaf.scaler)
    nothing = map_by_synthesis(deaf, painted, made, MOVES)
    assert (nothing.links["verdict"] != FOUND).all()
    assert nothing.links["effect"].abs().max() == 0
    said = conclusions(made, nothing)
    assert "no link may be claimed" in said[0]


def test_a_property_that_is_drawn_along_with_another_is_no_link(painted: Cohort, made: ConventionalMap) -> None:
    """The model reads one number from the genes of size, and draws larger lesions denser: no patient has shown it."""
    both = weights()
    both[:10, 1] = 0.2
    base = trained(painted)
    table = map_by_synthesis(Trained("both", Drawer(both), base.split, base.scaler), painted, made, MOVES).links
    of_size = table[table["metagene"] == table.loc[table["feature"] == SIZE].iloc[0]["metagene"]].set_index("feature")
    assert of_size.loc[SIZE, "verdict"] == FOUND
    assert of_size.loc[ATTENUATION, "verdict"] == ONLY_DRAWN
    assert of_size.loc[ATTENUATION, "q"] < 0.05
    assert of_size.loc[ATTENUATION, "maps"] == NEITHER
    values = base.scaler.transform(painted.expression, list(base.split.train))[:, :10].mean(axis=1)
    own = own_features(painted, base.split.train)[:, FEATURES.index("attenuation")]
    rho = spearmanr(values, own).statistic
    assert abs(of_size.loc[ATTENUATION, "rho_trained"]) == pytest.approx(abs(rho), abs=1e-6)
    moved = map_by_synthesis(base, painted, made, MOVES)
    assert counts(moved)["only_drawn"] == 0
    said = conclusions(made, replace(moved, links=table))
    assert any("do not show" in sentence for sentence in said)


def test_a_property_with_an_axis_of_its_own_is_not_found_because_it_is_drawn_along(
    painted: Cohort, made: ConventionalMap
) -> None:
    """The same with a code that has an axis for each property: the metagene of size does not move that of attenuation,
    whatever the drawings show."""
    base = trained(painted)
    people = list(base.split.train)
    genes = base.scaler.transform(painted.expression, people)
    own = painted.lesions(people, least_area=base.least_area)
    alignment = CanonicalAlignment(CanonicalAlignmentSettings(directions=0, permutations=20), genes=GENES)
    outlined = torch.from_numpy(own.mask).unsqueeze(1)
    alignment.fit(images_from_hu(own.image), outlined, own.place_among(people), genes, 0, pixel_mm=painted.pixel_mm)
    alignment.p_any[:] = 0.01  # with 20 permutations it cannot be as low over six axes
    along = alignment.gene_weights[:, :2].double().numpy() @ np.array([[1.0, 0.8], [0.0, 1.0]])
    one = replace(base, name="along", method=Drawer(along), alignment=alignment, draw=None)
    moved = map_by_synthesis(one, painted, made, MOVES)
    links = moved.links.set_index(["metagene", "feature"])
    size, attenuation = links.loc[(of(made, "G0"), SIZE)], links.loc[(of(made, "G0"), ATTENUATION)]
    assert size["verdict"] == FOUND
    assert abs(attenuation["effect_sd"]) > 0.3
    assert attenuation["low"] * attenuation["high"] > 0  # drawn, beyond doubt
    assert abs(attenuation["z"]) < 2 < abs(size["z"])
    assert attenuation["verdict"] == NOT_FOUND
    assert links.loc[(of(made, "G10"), ATTENUATION), "verdict"] == FOUND


def test_patients_are_exchanged_within_the_batch_that_the_map_stays_within(made: ConventionalMap) -> None:
    patients = list(made.material.patients)
    assert _blocks(made, patients) is None
    scanner = ["A", "B"] * (len(patients) // 2)
    material = replace(made.material, batches=pd.DataFrame({"scanner": scanner}, index=patients))
    inside = replace(made, material=material, settings=replace(made.settings, within="scanner"))
    assert list(_blocks(inside, [*patients[3:0:-1], "nobody"])) == ["B", "A", "B", "unknown"]


def test_an_alignment_at_chance_claims_nothing(painted: Cohort, made: ConventionalMap) -> None:
    """One direction no better than shuffled genes': size and attenuation lie along it, and every metagene of either
    would be linked with both."""
    settings = CanonicalAlignmentSettings(properties=False, directions=2)
    alignment = CanonicalAlignment(settings, genes=GENES)
    alignment.p_any[:] = 0.06
    one = replace(trained(painted), alignment=alignment)
    assert one.unread
    alignment.p_any[:] = 0.04
    assert not one.unread
    for name, value in (("cross_validated", 0.75), ("chance", 0.3), ("p", 0.01), ("in_sample_deviation", 1.2)):
        alignment.get_buffer(name)[0] = value
    assert one.predicted == (("appearance 1", pytest.approx(0.75), pytest.approx(0.3), pytest.approx(0.01)),)
    assert replace(one, method=SimpleNamespace(settings=SimpleNamespace(calibrated=True))).predicted == ()
    assert not trained(painted).unread
    known = map_by_synthesis(trained(painted), painted, made, MOVES)
    assert (known.links["verdict"] == FOUND).any()
    with patch.object(Trained, "unread", True):
        unread = map_by_synthesis(trained(painted), painted, made, MOVES)
    assert unread.unread
    assert not (unread.links["verdict"] == FOUND).any()
    assert unread.links["z"].tolist() == known.links["z"].tolist()
    assert "no link is claimed" in conclusions(made, unread)[0]


def test_it_says_that_drawn_effects_are_larger_than_genes_predict(made: ConventionalMap, moved: SynthesisMap) -> None:
    assert not any("larger than" in sentence for sentence in conclusions(made, moved))
    axes = (("size", 0.6, 0.2, 0.001), ("margin", 0.1, 0.2, 0.3))
    said = conclusions(made, replace(moved, predicted=axes))
    assert any("size with r 0.60 (chance up to 0.20)" in sentence for sentence in said)
    assert any("no sign that genes predict margin" in sentence for sentence in said)


def test_genes_behind_each_axis_by_pattern_beside_their_weight(tmp_path: Path) -> None:
    """Two copies of one gene share its weight; the pattern of each is that of the gene."""
    assert axes_table(None, ["G0"]).empty
    alignment = CanonicalAlignment(CanonicalAlignmentSettings(directions=1), genes=3)
    alignment.in_sample_deviation[[0, 6]] = 1.0
    alignment.p[:] = torch.tensor([0.01, 1, 1, 1, 1, 1, 0.2])
    alignment.gene_weights[:, 0] = torch.tensor([0.1, -0.3, 0.2])
    alignment.gene_patterns[:, 0] = torch.tensor([0.5, 0.1, -0.6])
    table = axes_table(alignment, ["A", "B", "C"])
    assert table["axis"].tolist() == ["size"] * 3 + ["appearance 1"] * 3
    assert table["gene"].tolist()[:3] == ["C", "A", "B"]
    assert table["pattern"].tolist()[:3] == pytest.approx([-0.6, 0.5, 0.1])
    assert table["weight"].tolist()[:3] == pytest.approx([0.2, 0.1, -0.3])
    (tmp_path / "tables").mkdir()
    section = axes_section(table, tmp_path)
    assert "predict appearance 1 in patients left out" in section.notes[0]
    assert len(pd.read_parquet(tmp_path / "tables" / "synthesis_axes.parquet")) == 6


def test_a_null_that_could_not_be_made_is_said(made: ConventionalMap, moved: SynthesisMap) -> None:
    assert not any("could not be exchanged" in sentence for sentence in conclusions(made, moved))
    missing = conclusions(made, replace(moved, unexchanged=True))
    assert any("could not be exchanged" in sentence for sentence in missing)


def test_traversals_show_one_lesion_from_low_to_high(made: ConventionalMap, moved: SynthesisMap) -> None:
    shown = {traversal.feature: traversal for traversal in traversals(moved)}
    by_size, by_attenuation = shown[0], shown[1]
    assert by_size.images.shape == (len(LEVELS), PIXELS, PIXELS)
    assert by_size.name == of(made, "G0")
    assert (np.diff(by_size.values) > 0).all()
    middle = by_attenuation.images[:, 28:36, 28:36].mean(axis=(1, 2))
    step = np.diff(LEVELS) * moved.links.set_index(["metagene", "feature"])["effect"][(of(made, "G10"), ATTENUATION)]
    assert np.diff(middle) == pytest.approx(step, rel=0.1)
    # Far from the lesion nothing changes, and the panel in the middle is the drawing as it is.
    assert (by_size.images[:, :8] == by_size.images[:1, :8]).all()
    assert any((by_size.images[2] == image).all() for image in moved.stage.draw().image)


def test_a_gene_set_has_a_traversal_too(moved: SynthesisMap) -> None:
    (traversal,) = set_traversals(moved)
    assert (traversal.name, traversal.feature, traversal.found) == ("first module", 0, True)
    assert traversal.images.shape == (len(LEVELS), PIXELS, PIXELS)
    assert (np.diff(traversal.values) > 0).all()
    assert traversal.patient == traversals(moved)[0].patient
    assert set_traversals(replace(moved, lists=None)) == []


@pytest.mark.pictures
def test_everything_is_written_whole_beside_the_conventional_map(
    made: ConventionalMap, moved: SynthesisMap, painted: Cohort, tmp_path: Path
) -> None:
    out = tmp_path / "map"
    said = write_map(
        made, out, truth=painted.truth,
        additions=[lambda folder: synthesis_addition(made, moved, folder, painted.truth, {"Digest": painted.digest})],
    )  # fmt: skip
    for name in ("synthesis_links", "synthesis_genes", "synthesis_gene_sets"):
        assert len(pd.read_parquet(out / "tables" / f"{name}.parquet")) > 0
        assert (out / "tables" / f"{name}.csv").is_file()
    record = json.loads((out / "synthesis.json").read_text())
    assert record["Digest"] == painted.digest
    assert {"Seed", "radiogenesis", "Run"} <= set(record)
    with Image.open(out / "pictures" / "traversals.png") as picture:
        assert picture.width > picture.height / 2
    assert [path.name for path in (out / "pictures" / "gene_sets").iterdir()] == ["first module.png"]
    summary = json.loads((out / "map.json").read_text())
    assert summary["synthesis"]["found"] == counts(moved)["found"]
    assert any(sentence.startswith("By synthesis: when metagenes are moved in 10 patients") for sentence in said)
    assert any("average precision of 1.00, no worse than the conventional map's 1.00" in sentence for sentence in said)
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    for text in ("The map by synthesis, beside the conventional one", "From low to high", "How far the maps agree"):
        assert text in page


def test_the_verb_stands_both_maps_side_by_side(
    painted: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort, out = str(painted.path), tmp_path / "out"
    for name, words in (("", ()), ("-null", ("--shuffle_genes", "true"))):
        alignment, run = str(tmp_path / f"alignment{name}"), str(tmp_path / f"gan{name}")
        assert main(["train", "canonical-alignment", cohort, alignment, "--permutations", "20", *words]) == 0
        small = ["--steps", "2", "--width", "2", "--batch", "4", "--discriminator_width", "4", "--alignment", alignment]
        assert main(["train", "fusion-gan", cohort, run, *small, *words]) == 0
    few = ["--clusters", "6", "--permutations", "100", "--shuffles", "1", "--backgrounds", "1"]
    few += ["--random_sets", "100", "--bootstrap", "100", "--prediction_folds", "0"]
    run, shuffled = str(tmp_path / "gan"), str(tmp_path / "gan-null")
    assert main(["map", cohort, str(out), "--run", run, "--null_run", shuffled, *few]) == 0
    assert "By synthesis: " in capsys.readouterr().out
    links = pd.read_parquet(out / "tables" / "synthesis_links.parquet")
    assert len(links) == 36
    assert links[["p_random", "p_exchanged", "p_shuffled", "q"]].notna().any().all()
    assert anndata.read_h5ad(out / "map.h5ad").shape[1] == 6
    for words, line in (
        (["--null_run", shuffled], "--null_run is read beside --run"),
        (["--run", shuffled], "was trained with shuffled genes"),
        (["--run", run, "--null_run", run], "was trained with the own genes of patients"),
        (["--run", str(tmp_path / "alignment")], "does not draw"),
        (["--run", str(tmp_path / "none")], "there is no run here"),
        (["--run", run, "--backgrounds", "0"], "backgrounds 0 must be at least 1"),
    ):
        assert main(["map", cohort, str(tmp_path / "new"), *few, *words]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert "Traceback" not in error
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("method", "words", "said", "tested"),
    [
        ("inpainting-gan", ["--width", "2"], "the method inpainting-gan does not encode genes", False),
        ("metagene-gan", ["--metagenes", "5", "--width", "2", "--region_pixels", "32"], "By synthesis: ", True),
    ],
)
def test_the_verb_takes_every_method_that_draws(
    method: str,
    words: list[str],
    said: str,
    tested: bool,
    painted: Cohort,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cohort, run, out = str(painted.path), str(tmp_path / "run"), tmp_path / "out"
    small = ["--steps", "2", "--batch", "4", "--discriminator_width", "4", *words]
    assert main(["train", method, cohort, run, *small]) == 0
    few = ["--clusters", "6", "--permutations", "100", "--shuffles", "1", "--backgrounds", "1"]
    few += ["--random_sets", "100", "--bootstrap", "100", "--prediction_folds", "0"]
    assert main(["map", cohort, str(out), "--run", run, *few]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert main(["report", str(out)]) == 0
    links = pd.read_parquet(out / "tables" / "synthesis_links.parquet")
    assert links["gradient_sd"].notna().any() == tested


def test_without_backgrounds_nothing_is_drawn(cohort: Cohort) -> None:
    names = tuple(map(str, cohort.patients.index))
    split = Split(train=names[:30], validation=(), test=names[30:])
    one = Trained("drawer", Drawer(np.zeros((40, 2))), split, ExpressionScaler.fit(cohort.expression, split.train))
    made = conventional_map(inputs_of(cohort, FEW), FEW)
    with pytest.raises(RunError, match="nothing can be drawn"):
        map_by_synthesis(one, cohort, made, MOVES)


def test_the_verb_takes_a_run_that_reads_genes_and_draws_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], painted: Cohort
) -> None:
    run, out = str(tmp_path / "reader"), tmp_path / "map"
    few = ["--steps", "1", "--ltr_pixels", "32", "--widths", "[4,4,4]", "--components", "2", "--test", "0.3"]
    assert main(["train", "gene-autoencoder", str(painted.path), run, *few]) == 0
    quick = ["--clusters", "6", "--permutations", "100", "--shuffles", "1", "--prediction_folds", "0"]
    assert main(["map", str(painted.path), str(out), "--run", run, *quick]) == 0
    assert "Metagenes and encoder features" in capsys.readouterr().out
    assert (out / "tables" / "code_features.csv").is_file()
    assert list((out / "pictures").glob("figure6*.png"))
    assert main(["map", str(painted.path), str(tmp_path / "new"), "--run", run, "--null_run", run, *quick]) == 2
    assert "read beside a run that draws" in capsys.readouterr().err


def test_traversals_show_the_lesion_that_answers_as_lesions_do_on_average() -> None:
    usual = np.array([1.0, -0.2])
    effects = np.array([[1.0, 0.2], [0.9, -0.21], [0.1, -0.2], [np.nan, -0.2]])  # the first answers the wrong way
    assert most_usual(effects, usual) == 1
    assert most_usual(effects[[0, 3]], usual) == 1  # an unknown answer is better than a wrong one
    assert most_usual(np.full((2, 2), np.nan), usual) is None
