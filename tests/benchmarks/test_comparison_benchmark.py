"""The comparison without its trainings: what would be run, what is refused, and that every setting exists."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import comparison
from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.methods import fusion_gan, inpainting_gan, mc_gan
from radiogenesis.training.registry import METHODS
from radiogenesis.training.settings import TrainSettings


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Every verb that would have been run; `train` leaves its weights behind."""
    words: list[tuple[str, ...]] = []

    def run(*given: str | Path) -> None:
        words.append(tuple(map(str, given)))
        if given[0] == "train":
            Path(given[3]).mkdir(parents=True, exist_ok=True)
            (Path(given[3]) / "weights.safetensors").touch()

    monkeypatch.setattr(comparison, "run", run)
    return words


def benchmark(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["comparison.py", *map(str, words)])
    comparison.main()


@pytest.mark.parametrize("name", comparison.ABLATIONS)
def test_every_ablation_is_a_setting_that_changes_something(name: str) -> None:
    words = comparison.ABLATIONS[name]
    verb = parser("train fusion-gan", "")
    verb.add_argument("--preset", type=str, default="default")
    add_settings(verb, fusion_gan.FusionGANSettings)
    add_settings(verb, TrainSettings)
    verb.set_defaults(dict(fusion_gan.PRESETS["paper" if "paper" in words else "default"]))
    given = verb.parse(list(words))
    settings, training = settings_from(given, fusion_gan.FusionGANSettings), settings_from(given, TrainSettings)
    full = (fusion_gan.FusionGANSettings(), TrainSettings())
    assert ((settings, training) == full) == (name == "full")
    assert settings.epochs == 0  # else `--steps` would not count
    assert (settings.batch, settings.width) == (32, 16)


def test_wide_is_the_published_width() -> None:
    _, width, _, discriminator = comparison.WIDE
    for published in (mc_gan.PAPER, inpainting_gan.PAPER):
        assert (published["width"], published["discriminator_width"]) == (int(width), int(discriminator))


def test_a_run_that_was_stopped_goes_on_and_one_that_never_began_begins(tmp_path: Path, ran: list[tuple]) -> None:
    for name, file in (("done", "weights.safetensors"), ("stopped", "checkpoints/last.ckpt"), ("empty", "config.yaml")):
        path = tmp_path / "runs" / f"{name}-0" / file
        path.parent.mkdir(parents=True)
        path.touch()
    for name in ("done", "stopped", "empty"):
        comparison.train("mc-gan", tmp_path, name, 9, 0)
    assert [Path(words[3]).name for words in ran] == ["stopped-0", "empty-0"]
    assert ["--resume" in words for words in ran] == [True, False]
    assert not (tmp_path / "runs" / "empty-0" / "config.yaml").exists()


def test_the_rate_that_was_found_is_that_of_the_search(
    tmp_path: Path, ran: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark(monkeypatch, "phantom", tmp_path, "--seeds", "1", "--search")
    assert ran[0][:2] == ("cohort", "phantom")
    assert ran[0][-4:] == ("--seed", "1", "--at_the_edge", "0.35")
    assert sum(words[0] == "train" for words in ran) == 6
    ran.clear()
    benchmark(monkeypatch, "phantom", tmp_path, "--seeds", "1", "--rate", "mc-gan=6e-4")
    new = ["alignment", "fusion-gan-0", "fusion-gan-paper-0", "nearest-lesion-0", "mc-gan-additions-0"]
    assert [Path(words[3]).name for words in ran if words[0] == "train"] == new
    (evaluated,) = (words for words in ran if words[0] == "evaluate")
    names = [Path(word).name for word in evaluated[1:8]]
    assert names == [*new[1:4], "mc-gan-6e-4-0", "inpainting-gan-0", "mc-gan-additions-0", "comparison"]
    assert evaluated[-2:] == ("--segmentation_steps", "300")
    ran.clear()
    benchmark(monkeypatch, "phantom", tmp_path, "--seeds", "1", "--wide")
    wide = ["fusion-gan-paper-wide-0", "mc-gan-0", "mc-gan-wide-0", "inpainting-gan-wide-0"]
    assert sorted(Path(words[3]).name for words in ran if words[0] == "train") == sorted(wide[:1] + wide[2:])


@pytest.mark.parametrize("row", comparison.compared({}, wide=True), ids=lambda row: row.name)
def test_every_row_is_its_method_at_as_many_images(row: comparison.Row) -> None:
    entry = METHODS[row.method]
    verb = parser(f"train {row.method}", "")
    verb.add_argument("--preset", type=str, default="default")
    add_settings(verb, entry.settings)
    add_settings(verb, TrainSettings)
    words = list(row.words)
    verb.set_defaults(dict(entry.presets[words[words.index("--preset") + 1] if "--preset" in words else "default"]))
    given = verb.parse(words)
    settings = settings_from(given, entry.settings)
    assert getattr(settings, "needs_alignment", False) == (row.alignment == "own")
    assert getattr(settings, "epochs", 0) == 0
    assert getattr(settings, "batch", 32) == 32
    assert row.closed == (not hasattr(settings, "steps"))
    assert getattr(settings, "width", 16) == (
        16 if "wide" not in row.name else 32 if row.method == "fusion-gan" else 64
    )


def test_a_scan_is_left_out_in_each_fold_and_rows_can_be_trained_one_by_one(
    tmp_path: Path, ran: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "unpacked", lambda out: out / "raw")
    monkeypatch.setattr(comparison, "pooled", lambda folder, folds: pd.DataFrame({"row": [len(folds)]}))
    benchmark(monkeypatch, "planted", tmp_path, "--seeds", "1", "--only", "nearest-lesion", "mc-gan-additions")
    assert ran[0][:2] == ("cohort", "plant")
    trainings = [words for words in ran if words[0] == "train"]
    assert [words[1] for words in trainings] == ["nearest-lesion", "canonical-alignment", "mc-gan"] * 3
    for k, words in enumerate(trainings):
        at = words.index("--folds")
        assert words[at : at + 8] == (
            "--folds", "3", "--validation", "0", "--split_by", "series_uid", "--fold", str(k // 3)
        )  # fmt: skip
        assert words[3].endswith(f"-fold{k // 3}of3" if words[1] == "canonical-alignment" else f"-fold{k // 3}of3-0")
        if words[1] == "mc-gan":
            assert words[words.index("--alignment") + 1] == str(tmp_path / f"alignment-fold{k // 3}of3")
    evaluations = [words for words in ran if words[0] == "evaluate"]
    assert [Path(words[3]).name for words in evaluations] == ["fold-0", "fold-1", "fold-2"]
    assert [Path(word).name for word in evaluations[1][1:3]] == [
        "nearest-lesion-fold1of3-0",
        "mc-gan-additions-fold1of3-0",
    ]
    assert (tmp_path / "comparison" / "pooled.csv").is_file()

    ran.clear()
    shutil.rmtree(tmp_path / "comparison")
    benchmark(monkeypatch, "planted", tmp_path, "--seeds", "1", "--folds", "3", "--only", "mc-gan")
    assert [words[1] for words in ran if words[0] == "train"] == ["mc-gan"] * 3
    (first, *_) = (words for words in ran if words[0] == "evaluate")
    names = [Path(word).name.removesuffix("-fold0of3-0") for word in first[1:4]]
    assert names == ["nearest-lesion", "mc-gan", "mc-gan-additions"]
    with pytest.raises(SystemExit, match="--only mcgan: choose from fusion-gan, fusion-gan-paper, nearest-lesion"):
        benchmark(monkeypatch, "planted", tmp_path / "other", "--only", "mcgan")


def test_folds_are_pooled_to_their_mean(tmp_path: Path) -> None:
    folds = comparison.parts("pairs", 2)
    for part, values in zip(folds, ((0.5, 0.1), (0.7, 0.4)), strict=True):
        (tmp_path / part.name / "tables").mkdir(parents=True)
        methods = [{"method": "fusion-gan", "runs": [f"fusion-gan{part.suffix}-0"]},
                   {"method": "mc-gan (width 4)", "runs": [f"mc-gan-wide{part.suffix}-0"]}]  # fmt: skip
        (tmp_path / part.name / "evaluation.json").write_text(json.dumps({"methods": methods}))
        table = {"method": ["fusion-gan", "mc-gan (width 4)", "Null"], "runs": [1, 1, None],
                 "control": [*values, 0.0], "control_low": [0, 0, None]}  # fmt: skip
        pd.DataFrame(table).to_csv(tmp_path / part.name / "tables" / "comparison.csv", index=False)
    found = comparison.pooled(tmp_path, folds).set_index(["row", "measure"])
    assert list(found.columns) == ["mean", "fold-0", "fold-1"]
    assert found.loc[("fusion-gan", "control")].tolist() == pytest.approx([0.6, 0.5, 0.7])
    assert found.loc[("mc-gan-wide", "control"), "mean"] == pytest.approx(0.25)
    assert found.loc[("Null", "control"), "mean"] == 0


def test_the_real_pairs_are_the_cohort_of_their_own_benchmark(
    tmp_path: Path, ran: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    import real_pairs

    made: list[Path] = []
    monkeypatch.setattr(real_pairs, "made_cohort", made.append)
    monkeypatch.setattr(comparison, "pooled", lambda folder, folds: pd.DataFrame({"row": [len(folds)]}))
    benchmark(monkeypatch, "pairs", tmp_path, "--seeds", "1", "--only", "nearest-lesion")
    assert made == [tmp_path]
    trainings = [words for words in ran if words[0] == "train"]
    assert [words[words.index("--fold") + 1] for words in trainings] == list("01234")
    assert not any("--split_by" in words for words in trainings)


def test_what_is_refused_before_anything_is_trained(
    tmp_path: Path, ran: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "mc-gan-0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"steps": 9}))
    with pytest.raises(SystemExit, match="was trained for 9 steps, not 800; give --steps 9"):
        benchmark(monkeypatch, "phantom", tmp_path)
    (tmp_path / "wide").mkdir()
    with pytest.raises(SystemExit, match="wide: already exists"):
        benchmark(monkeypatch, "phantom", tmp_path, "--steps", "9", "--wide")
    for word in ("mc-gan", "mc-gan=fast", "mc-gan=-1", "fusion-gan=1e-4"):
        with pytest.raises(SystemExit, match="must be METHOD=RATE"):
            benchmark(monkeypatch, "phantom", tmp_path / "other", "--rate", word)
    with pytest.raises(SystemExit, match="no meaning with --search"):
        benchmark(monkeypatch, "phantom", tmp_path / "other", "--rate", "mc-gan=1e-4", "--search")
    (tmp_path / "cohort.zarr").mkdir()
    before = SimpleNamespace(open=lambda path: SimpleNamespace(settings={"sampling": {"seed": 0}}))
    monkeypatch.setattr(comparison, "Cohort", before)
    with pytest.raises(SystemExit, match="was made with --cohort_seed 0, not 1"):
        benchmark(monkeypatch, "phantom", tmp_path, "--steps", "9")
    assert not ran
    assert not (tmp_path / "other").exists()
