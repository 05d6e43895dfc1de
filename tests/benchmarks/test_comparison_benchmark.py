"""The comparison without its trainings: what would be run, what is refused, and that every setting exists."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.methods import fusion_gan, inpainting_gan, mc_gan
from radiogenesis.training.settings import TrainSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import comparison


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
    assert ran[0][-2:] == ("--seed", "1")
    assert sum(words[0] == "train" for words in ran) == 6
    ran.clear()
    benchmark(monkeypatch, "phantom", tmp_path, "--seeds", "1", "--rate", "mc-gan=6e-4")
    assert [words[1] for words in ran if words[0] == "train"] == ["canonical-alignment", "fusion-gan", "nearest-lesion"]
    (evaluated,) = (words for words in ran if words[0] == "evaluate")
    names = [Path(word).name for word in evaluated[1:6]]
    assert names == ["fusion-gan-0", "nearest-lesion-0", "mc-gan-6e-4-0", "inpainting-gan-0", "comparison"]
    assert evaluated[-2:] == ("--segmentation_steps", "300")
    ran.clear()
    benchmark(monkeypatch, "phantom", tmp_path, "--seeds", "1", "--wide")
    assert [Path(words[3]).name for words in ran if words[0] == "train"] == ["mc-gan-wide-0", "inpainting-gan-wide-0"]


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
