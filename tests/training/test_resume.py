"""Stopped trainings: what they say, that they go on to the same result, and that nothing else goes on instead."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zipfile import ZipFile, ZipInfo

import numpy as np
import pytest
import yaml
from older_runs import forget_digests
from safetensors.torch import load_file
from stopping import assert_same, stop_at

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import InputError, OutputError, RunError
from radiogenesis.methods.protocols import LossRecord
from radiogenesis.testing import train_toy
from radiogenesis.training import fit
from radiogenesis.training.callbacks import MetricsLog
from radiogenesis.training.checkpoints import newest
from radiogenesis.training.module import MethodModule
from radiogenesis.training.run import Run, read_config
from radiogenesis.work_folder import alone_in

KILLED = MemoryError("killed")


@pytest.fixture(scope="module")
def stopped(discs: Cohort, alignment: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN on `alignment`, killed between the checkpoints of steps 2 and 4."""
    path = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(4, KILLED, patch)
        with pytest.raises(MemoryError):
            train_toy("fusion-gan", discs, path, alignment=alignment)
    return path


@pytest.mark.parametrize(
    ("uninterrupted", "on"), [("alignment", None), ("gan", "alignment"), ("critics_gan", "critic")]
)
def test_resumed_run_is_the_uninterrupted_run(
    uninterrupted: str, on: str | None, discs: Cohort, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    method = "fusion-gan" if on else "alignment"
    extra = {"alignment": request.getfixturevalue(on)} if on else {}
    whole = request.getfixturevalue(uninterrupted)
    for call, step in ((4, 2), (1, 0)):  # killed between two checkpoints, and before the first
        cut = tmp_path / f"cut-{call}"
        with pytest.MonkeyPatch.context() as patch:
            stop_at(call, KILLED, patch)
            with pytest.raises(MemoryError, match="killed"):
                train_toy(method, discs, cut, **extra)
        with pytest.raises(RunError, match="not finished"):
            Run.open(cut)
        resumed = train_toy(method, discs, cut, resume=True, **extra)
        assert_same(resumed, whole)
        assert [one["step"] for one in resumed.provenance["resumed"]] == [step]
        assert resumed.provenance["resumed"][0]["precision"] == "float32"
        assert set(resumed.provenance["resumed"][0]["versions"]) == set(whole.provenance["versions"])


def test_a_closed_form_that_was_killed_is_fitted_again(discs: Cohort, critic: Run, tmp_path: Path) -> None:
    shutil.copytree(critic.path, tmp_path / "run")
    (tmp_path / "run" / "weights.safetensors").unlink()
    again = train_toy("canonical-alignment", discs, tmp_path / "run", resume=True)
    a, b = (load_file(run.path / "weights.safetensors") for run in (critic, again))
    assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)


def test_a_finished_run_is_left_alone_even_without_its_checkpoints(
    discs: Cohort, alignment: Run, critic: Run, tmp_path: Path
) -> None:
    shutil.copytree(alignment.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    for finished in (Run.open(tmp_path / "run"), critic):
        before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
        again = train_toy(finished.method_name, discs, finished.path, resume=True)
        assert again.metrics.equals(finished.metrics)
        assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_ctrl_c_says_how_to_go_on(discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGINT)
    stop_at(4, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt) as stop:
        train_toy("alignment", discs, tmp_path / "run")
    line = f"{tmp_path / 'run'}: stopped at step 3 of 6; go on with --resume and the same settings"
    assert str(stop.value) == line
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_is_not_lost_where_python_would_drop_it(
    discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """What a destructor raises is printed and dropped; a metric's line is written in the middle of one here."""

    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    note = MethodModule.note

    def noted(self: MethodModule, player: str, record: LossRecord) -> None:
        if int(self.done) == 2:
            Destroyed()
        note(self, player, record)

    monkeypatch.setattr(MethodModule, "note", noted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step 3 of 6; go on with --resume"):
        train_toy("alignment", discs, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_refuses_another_split(
    discs: Cohort, alignment: Run, resplit: Run, stopped: Path, tmp_path: Path
) -> None:
    """The GAN would be trained on patients whom its run holds out."""
    assert set(resplit.split.train) & set(alignment.split.test)
    shutil.copytree(stopped, tmp_path / "gan")
    with pytest.raises(RunError, match=r"split\.json: .*P-\d\d is held out"):
        train_toy("fusion-gan", discs, tmp_path / "gan", alignment=resplit, resume=True)


def test_resume_refuses_an_alignment_with_other_weights(
    discs: Cohort, reseeded: Run, stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / "gan")
    with pytest.raises(RunError, match="another alignment"):
        train_toy("fusion-gan", discs, tmp_path / "gan", alignment=reseeded, resume=True)


def test_resume_refuses_another_scaler(discs: Cohort, stopped: Path, alignment: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shutil.copytree(stopped, tmp_path / "gan")
    arrays = load_file(tmp_path / "gan" / "scaler.safetensors")
    save_file(arrays | {"mean": arrays["mean"] + 1}, tmp_path / "gan" / "scaler.safetensors")
    with pytest.raises(RunError, match=r"scaler\.safetensors: "):
        train_toy("fusion-gan", discs, tmp_path / "gan", alignment=alignment, resume=True)


def test_resume_refuses_other_settings_and_names_them(discs: Cohort, alignment: Run) -> None:
    with pytest.raises(RunError, match="other settings: hidden 8, not 9; resume with the same"):
        train_toy("alignment", discs, alignment.path, hidden=9, resume=True)
    with pytest.raises(RunError, match="other settings: seed 0, not 1;"):
        train_toy("alignment", discs, alignment.path, seed=1, resume=True)


def test_resume_refuses_another_cohort(other_discs: Cohort, alignment: Run) -> None:
    """The other cohort has the same size, genes and patients: only its content tells it apart."""
    with pytest.raises(RunError, match="another cohort"):
        train_toy("alignment", other_discs, alignment.path, resume=True)


def test_there_must_be_something_to_resume(discs: Cohort, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run to resume; train without --resume"):
        train_toy("alignment", discs, tmp_path, resume=True)
    assert not list(tmp_path.iterdir())


def test_resume_refuses_another_precision_than_auto_meant(
    discs: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `auto` means depends on the machine; the precision that it meant can be asked for by name."""
    monkeypatch.setattr(fit, "bfloat16", lambda settings: False)
    stop_at(4, KILLED, monkeypatch)
    with pytest.raises(MemoryError):
        train_toy("alignment", discs, tmp_path / "run", precision="auto")
    monkeypatch.undo()
    monkeypatch.setattr(fit, "bfloat16", lambda settings: settings.precision != "float32")
    with pytest.raises(RunError, match=r"in float32.*--precision float32"):
        train_toy("alignment", discs, tmp_path / "run", precision="auto", resume=True)
    assert train_toy("alignment", discs, tmp_path / "run", resume=True).provenance["precision"] == "float32"


def test_a_setting_that_is_newer_than_the_run_has_its_default(discs: Cohort, alignment: Run, tmp_path: Path) -> None:
    path = forget_digests(shutil.copytree(alignment.path, tmp_path / "run"))
    config = yaml.safe_load((path / "config.yaml").read_text())
    del config["settings"]["weight_decay"], config["training"]["augment"]
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    assert train_toy("alignment", discs, path, resume=True).method_name == "alignment"


def test_a_damaged_checkpoint_is_named(discs: Cohort, alignment: Run, stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "gan")
    (tmp_path / "gan" / "checkpoints" / "last.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match=r"last\.ckpt: .*delete the folder with it"):
        train_toy("fusion-gan", discs, tmp_path / "gan", alignment=alignment, resume=True)


def archive_bytes(path: Path, entry: ZipInfo) -> bytes:
    """What an entry of an archive holds."""
    with ZipFile(path) as archive:
        return archive.read(entry)


def test_where_the_last_checkpoint_is_damaged_the_one_before_serves(
    discs: Cohort, alignment: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(6, KILLED, patch)
        with pytest.raises(MemoryError):
            train_toy("alignment", discs, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    with ZipFile(last) as archive:
        tensor = max(archive.infolist(), key=lambda one: one.file_size)  # between tensors lies what nobody reads
    content[content.index(archive_bytes(last, tensor)) + tensor.file_size // 2] ^= 1  # one bit
    last.write_bytes(content)
    resumed = train_toy("alignment", discs, tmp_path / "run", resume=True)
    assert_same(resumed, alignment)
    assert [one["step"] for one in resumed.provenance["resumed"]] == [2]
    assert f"{last}: cannot be read" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    discs: Cohort, alignment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was copied over the last good one where TMPDIR is another file system."""
    written = []

    def fills_the_disk(partial: Path) -> None:
        written.append(partial)
        if len(written) == 2:
            partial.write_bytes(partial.read_bytes()[:1000])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("radiogenesis.training.checkpoints.sync", fills_the_disk)
        with pytest.raises(OutputError, match=r"run: cannot be written \(No space left.*go on with --resume"):
            train_toy("alignment", discs, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    assert {partial.parent for partial in written} == {checkpoints}
    assert newest(checkpoints) == (checkpoints / "last.ckpt", 2)
    assert_same(train_toy("alignment", discs, tmp_path / "run", resume=True), alignment)


def test_two_commands_do_not_train_one_run(discs: Cohort, stopped: Path, alignment: Run, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "gan")
    with alone_in(tmp_path / "gan" / "checkpoints"), pytest.raises(OutputError, match="another command works in it"):
        train_toy("fusion-gan", discs, tmp_path / "gan", alignment=alignment, resume=True)


def test_the_alignments_split_settings_are_the_runs(discs: Cohort, tmp_path: Path) -> None:
    split = {"split_seed": 5, "test": 0.4, "validation": 0.0}
    alignment = train_toy("canonical-alignment", discs, tmp_path / "alignment", **split)
    gan = train_toy("fusion-gan", discs, tmp_path / "gan", alignment=alignment, steps=2)
    assert gan.split == alignment.split
    recorded = yaml.safe_load((gan.path / "config.yaml").read_text())["training"]
    assert (recorded["split_seed"], recorded["test"], recorded["validation"]) == (5, 0.4, 0.0)
    assert json.loads((gan.path / "provenance.json").read_text())["seed"] == 0


def test_what_was_renamed_since_goes_on(alignment: Run, tmp_path: Path) -> None:
    shutil.copytree(alignment.path, tmp_path / "older")
    config = yaml.safe_load((tmp_path / "older" / "config.yaml").read_text())
    config["settings"]["centred_decoder"] = True
    (tmp_path / "older" / "config.yaml").write_text(yaml.safe_dump(config))
    assert read_config(tmp_path / "older")["settings"]["centered_decoder"]
    checkpoint = {"state_dict": {"method.alignment.seen": 1, "method.standardise.weight": 2, "method.part.weight": 3}}
    MethodModule.on_load_checkpoint(cast(Any, None), checkpoint)
    now = ["method.alignment.in_sample_deviation", "method.standardize.weight", "method.part.weight"]
    assert list(checkpoint["state_dict"]) == now


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "has no column 'step'"),
        ("step\nx\n", "'step' holds texts"),
        ("step\n1,2,3\n4\n5,6,7,8\n", "is no table"),
    ],
)
def test_damaged_metrics_are_refused_when_a_training_goes_on(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    trainer, module = SimpleNamespace(is_global_zero=True), SimpleNamespace(done=1)
    with pytest.raises(InputError, match=rf"metrics\.csv: .*{said}"):
        MetricsLog(tmp_path).on_fit_start(cast(Any, trainer), cast(Any, module))
