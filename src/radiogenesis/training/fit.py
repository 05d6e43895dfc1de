"""Fits any method to any cohort and writes the run."""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.split import Split, split_patients, split_scans
from radiogenesis.cohort.store import Cohort, WholeRows
from radiogenesis.errors import OutputError, RunError, SettingError
from radiogenesis.output import OF_THE_PLACE, cannot_write, check_room
from radiogenesis.progress import Progress
from radiogenesis.training.allocator import keep_freed_memory
from radiogenesis.training.callbacks import Interruption, MetricsLog, ProgressLine, SampleGrid, Told
from radiogenesis.training.checkpoints import LAST, WholeCheckpoints, newest
from radiogenesis.training.data import TrainingData, seed_of
from radiogenesis.training.folder import Beginning, machine_of, origin_of, refuse_run
from radiogenesis.training.module import MethodModule
from radiogenesis.training.preparation import genes_as_trained
from radiogenesis.training.registry import AnyAlignment, entry, refuse_for_lungs
from radiogenesis.training.run import Run, make_method, save_weights
from radiogenesis.training.samples import save_drawing_grid
from radiogenesis.training.settings import SPLIT_SETTINGS, TrainSettings
from radiogenesis.training.slices import SliceData
from radiogenesis.work_folder import alone_in


def train(
    method: str,
    cohort: Cohort,
    path: str | Path,
    *,
    method_settings: Any,
    settings: TrainSettings,
    expression_settings: ExpressionSettings,
    alignment: Run | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Fit a method to a cohort; the run is written to `path`.

    Args:
        method: a name from the registry.
        cohort: patients are split, the scaler is fitted on the training patients, slices are taken from it.
        path: the run folder; must not exist unless `resume`.
        method_settings: the method's own settings object.
        settings: what all methods share.
        expression_settings: how expression is scaled.
        alignment: a finished run of the alignment, for methods that build on one. Its split is taken over, so that
            nobody is held out here whom the alignment was trained on, and so are the settings it was made with.
        resume: go on from the last checkpoint, or from the start where there is none yet; the result is that of an
            uninterrupted run. A finished run is returned as it is.
        progress: is told of every step; by default a bar shows them.

    Raises:
        RunError: the folder exists (or, with `resume`, was begun with another cohort, split, alignment, precision or
            other settings); the alignment is of another cohort.
        SettingError: settings that do not fit together.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; it says how to go on.
    """
    path = Path(path)
    refuse_for_lungs(method_settings, cohort.imaging)
    first = not (_get_rank() or 0)  # Lightning starts the command again for every further process
    if first and not resume:
        refuse_run(path)
    if alignment is not None:
        settings = replace(settings, **split_settings(alignment))
    if settings.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise SettingError("accelerator is gpu, but there is none here", remedy="use --accelerator auto or cpu")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if alignment is not None:
        _ = alignment.method  # opened before the seed is set: opening draws first weights, but only the first time
    config: dict[str, Any] = {
        "method": method,
        "settings": asdict(method_settings),
        "training": asdict(settings),
        "expression": asdict(expression_settings),
        "alignment": None if alignment is None else alignment.config["settings"],
        "alignment_method": None if alignment is None else alignment.method_name,
        "alignment_run": None if alignment is None else str(alignment.path),
        "cohort": str(cohort.path.resolve()),
        "pixels": cohort.pixels,
        "pixel_mm": cohort.pixel_mm,
        "genes": 0,
    }
    L.seed_everything(seed_of(settings.seed, 0xA11) % 2**32, workers=False, verbose=False)
    scaler: ExpressionScaler | None = None
    data: TrainingData | SliceData
    title = f"train {method}"
    callbacks: list[L.Callback] = [Told(title, progress) if progress else ProgressLine(title), MetricsLog(path)]
    if entry(method).data == "whole slices":
        split = split_scans(cohort, **split_of(settings))
        data = SliceData.from_cohort(cohort, split.train, empty_share=method_settings.empty_share)
        config |= {
            "pixels": cohort.whole_pixels,
            "pixel_mm": cast(WholeRows, cohort.whole).pixel_mm,
            "whole_lung_mm2": cohort.settings["sampling"].get("whole_lung_mm2"),
        }
        untrained = make_method(config, alignment=None)
    else:
        split = choose_split(cohort, settings, alignment)
        scaler = ExpressionScaler.fit(cohort.expression, list(split.train), expression_settings)
        config["genes"] = len(scaler.genes)
        untrained = make_method(config, alignment=check_alignment(alignment, cohort, scaler, settings))
        check_masks(method, untrained, settings)
        data = TrainingData.from_cohort(
            cohort,
            split.train,
            scaler.transform(cohort.expression, list(split.train)),
            shuffle_seed=seed_of(settings.seed, 0x5F) if settings.shuffle_genes else None,
            least_area=settings.least_area,
            memory_gib=settings.memory_gib,
        )
        data = entry(method).prepare(untrained, data, scaler.genes, settings.seed)
        callbacks.append(SampleGrid(path, *sample_inputs(cohort, split, scaler, untrained, data), save_drawing_grid))
    steps = count_steps(method_settings, data.epoch, settings)
    config["steps"] = steps
    precision = "bfloat16" if bfloat16(settings) else "float32"
    beginning = Beginning(
        config, split, scaler, origin_of(cohort.digest, settings, alignment), machine_of(settings, precision)
    )
    if resume:
        beginning.check(path)
        if (path / "weights.safetensors").is_file():
            return Run.open(path)
    if first:
        check_room(path, room_of(untrained, steps))
    if first and not resume:
        beginning.write(path)
    checkpoints = path / "checkpoints"
    with alone_in(checkpoints) if first and steps else nullcontext():
        checkpoint, step = newest(checkpoints) if resume else (None, 0)
        if first and resume:
            beginning.note_resumption(path, step)
        try:
            return _fit(untrained, data, path, method_settings, settings, callbacks, steps, checkpoint)
        except OSError as error:
            if error.errno not in OF_THE_PLACE:
                raise
            remedy = "mend that, and go on with --resume and the same settings"
            raise OutputError(cannot_write(error, path).problem, path=path, remedy=remedy) from error


def room_of(method: nn.Module, steps: int) -> int:
    """Bytes of the weights, and of two checkpoints with the weights, their average and two moments of each."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in method.state_dict().values())
    return weights * (1 + 2 * 4 if steps else 1)


def _fit(
    untrained: nn.Module,
    data: TrainingData | SliceData,
    path: Path,
    method_settings: Any,
    settings: TrainSettings,
    callbacks: list[L.Callback],
    steps: int,
    checkpoint: Path | None,
) -> Run:
    """The steps, from a checkpoint on or from the first; then the weights."""
    if not steps:  # all of the method is in closed form
        save_weights(path, untrained)
        return Run.open(path)
    module = MethodModule(
        untrained.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        data,
        settings,
        batch=method_settings.batch,
        steps=steps,
        average=getattr(method_settings, "average", 0.0),
    )
    run_trainer(module, path, settings, callbacks, checkpoint)
    assert int(module.done) == steps
    if _get_rank() or 0:
        raise SystemExit(0)  # the first process finishes the run
    save_weights(path, module.finished_method())
    return Run.open(path)


def run_trainer(
    module: MethodModule, path: Path, settings: TrainSettings, callbacks: list[L.Callback], checkpoint: Path | None
) -> None:
    """Let Lightning train: an epoch is the stretch between two checkpoints. Raises KeyboardInterrupt when stopped."""
    with as_a_path(path) as place:
        _run_trainer(module, path, place, settings, callbacks, checkpoint)


def _run_trainer(
    module: MethodModule, path: Path, place: Path, settings: TrainSettings, callbacks: list[L.Callback],
    checkpoint: Path | None,
) -> None:  # fmt: skip
    """The same; `place` is the run's folder as Lightning is told of it."""
    every = min(settings.checkpoint_every, module.steps)
    keep_freed_memory()
    interruption = Interruption()
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)  # not which devices are not there
    with warnings.catch_warnings():
        # One number per batch is "loaded": the data is in memory, so Lightning's advice on workers does not apply,
        # nor its remark that the checkpoint folder is not empty when a run is resumed.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # A critic that stays as it was trained is in evaluation mode on purpose.
        warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
        # Lightning 2.6 using a name that torch 2.13 has deprecated.
        warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*", FutureWarning)
        # The folder may be reached in another way than before, which Lightning says, and which does not matter.
        warnings.filterwarnings("ignore", "The dirpath has changed")
        saving = ModelCheckpoint(
            filename=Path(LAST).stem, save_top_k=1, enable_version_counter=False, every_n_epochs=1,
            save_on_train_epoch_end=True,
        )  # fmt: skip
        saving.dirpath = str(place / "checkpoints")  # given to it, it would be resolved to its place behind links
        trainer = L.Trainer(
            default_root_dir=place,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            strategy="auto" if settings.devices * settings.nodes == 1 else "ddp_find_unused_parameters_true",
            precision="bf16-mixed" if bfloat16(settings) else "32-true",
            max_epochs=-(-module.steps // every),
            callbacks=[
                *callbacks,
                interruption,
                saving,
            ],
            plugins=[WholeCheckpoints()],
            logger=TensorBoardLogger(place, name="tensorboard", version=""),
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )  # fmt: skip
        handler, of_term = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        here = handler is not None and threading.current_thread() is threading.main_thread()
        if here and handler is signal.default_int_handler:  # a background job that ignores Ctrl-C goes on doing so
            signal.signal(signal.SIGINT, interruption.ask)
        if here:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Lightning's own stops all processes after the same step
        begun = None if checkpoint is None else place / "checkpoints" / checkpoint.name
        try:
            trainer.fit(module, Stretches(module, every), ckpt_path=begun, weights_only=True if begun else None)
        except SystemExit as stop:
            # What Lightning makes of Ctrl-C, which it then ignores for good, and of SIGTERM, which would exit with 0.
            if not isinstance(stop, SIGTERMException) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            if trainer.global_rank:
                raise SystemExit(130) from None  # the first process tells
            done = f"stopped at step {int(module.done)} of {module.steps}"
            raise KeyboardInterrupt(f"{path}: {done}; go on with --resume and the same settings") from None
        finally:
            if module.ahead is not None:
                module.ahead.close()
            if here:
                signal.signal(signal.SIGINT, handler)
                signal.signal(signal.SIGTERM, of_term)


@contextmanager
def as_a_path(folder: Path) -> Iterator[Path]:
    """The folder in full, under a name that Lightning takes for a path: in `a::b` it sees the URL of an archive, and in
    `file:y` another folder."""
    whole = folder.absolute()
    if not any(mark in str(whole) for mark in ("::", "://")):
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="radiogenesis-") as place:
        link = Path(place) / "run"
        link.symlink_to(whole, target_is_directory=True)
        yield link


class Stretches:
    """Counts out the steps up to the next checkpoint; the last stretch may be shorter, so it has no length."""

    def __init__(self, module: MethodModule, every: int) -> None:
        self.module, self.every = module, every

    def __iter__(self) -> Iterator[int]:
        return iter(range(min(self.every, self.module.steps - int(self.module.done))))


def bfloat16(settings: TrainSettings) -> bool:
    """Whether to compute in bfloat16: as the setting says, or where the processor does so natively."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if settings.accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def choose_split(cohort: Cohort, settings: TrainSettings, alignment: Run | None) -> Split:
    """The alignment's split where there is one, else a new one from the seed."""
    if alignment is not None:
        return alignment.split
    return split_patients(cohort, **split_of(settings))


def split_settings(alignment: Run) -> dict[str, Any]:
    """The settings that an alignment's split was made with."""
    recorded = asdict(TrainSettings()) | alignment.config["training"]
    return {name: recorded[name] for name in SPLIT_SETTINGS}


def refuse_other_split(alignment: Run, asked: Mapping[str, Any], *, dash: str = "") -> None:
    """Raises SettingError where settings of a training ask for another split than that of the alignment it builds on.

    Args:
        asked: settings by name; those of the split that are not among them are taken over.
        dash: what stands before a setting's name where the user writes it.
    """
    for name, value in split_settings(alignment).items():
        if name in asked and asked[name] != value:
            raise SettingError(
                f"{dash}{name} {asked[name]}: the split of the alignment is taken over, made with {value}",
                path=alignment.path,
                remedy=f"leave {dash}{name} out, or train the alignment with it",
            )


def split_of(settings: TrainSettings) -> dict[str, Any]:
    """How the settings divide the patients, as `split_patients` takes it."""
    how: dict[str, Any] = {"seed": settings.split_seed, "fractions": fractions(settings), "fold": fold_of(settings)}
    return how | {"by": settings.split_by}


def fractions(settings: TrainSettings) -> tuple[float, float, float]:
    """Shares of training, validation and test patients."""
    test = 1 / settings.folds if settings.folds else settings.test
    return (1 - settings.validation - test, settings.validation, test)


def fold_of(settings: TrainSettings) -> tuple[int, int] | None:
    """Which part is held out, and of how many; None where a share of the patients is."""
    return (settings.fold, settings.folds) if settings.folds else None


def check_alignment(
    alignment: Run | None, cohort: Cohort, scaler: ExpressionScaler, settings: TrainSettings
) -> AnyAlignment | None:
    """The trained alignment of the same cohort and genes, or None where none was given."""
    if alignment is None:
        return None
    if not isinstance(alignment.method, AnyAlignment):
        raise RunError(f"is a run of {alignment.method_name}, not of an alignment", path=alignment.path)
    if alignment.provenance["cohort_digest"] != cohort.digest:
        raise RunError(
            "was trained on another cohort",
            path=alignment.path,
            remedy=f"train {alignment.method_name} on {cohort.path} first",
        )
    if tuple(alignment.scaler.genes) != tuple(scaler.genes):
        raise SettingError("the alignment was trained with other expression settings", remedy="give both the same")
    before = alignment.config["training"]
    if (before["shuffle_genes"], before["seed"]) != (settings.shuffle_genes, settings.seed) and (
        before["shuffle_genes"] or settings.shuffle_genes
    ):
        raise SettingError(
            "a null of shuffled genes needs an alignment of the same shuffled genes: else it learns of the true ones",
            path=alignment.path,
            remedy="train both with --shuffle_genes true and the same seed",
        )
    return alignment.method


def check_masks(method: str, trained: object, settings: TrainSettings) -> None:
    """Raises SettingError where hard masks would train what reads softened ones when it is used."""
    if settings.soft_masks or not (entry(method).softens or getattr(trained, "alignment", None) is not None):
        return
    reader = method if entry(method).softens else "the alignment that judges the drawings"
    raise SettingError(
        f"soft_masks is false, but {reader} reads softened masks", remedy="leave soft_masks true, or use no alignment"
    )


def count_steps(method_settings: Any, slices: int, settings: TrainSettings) -> int:
    """`epochs` passes over the slices where the method counts in epochs, else `steps`; 0 for a method that has neither,
    because it is fitted in closed form. A pass is exact where it goes through the slices; else as many slices are
    drawn, up to a whole batch."""
    epochs = getattr(method_settings, "epochs", 0)
    if not epochs:
        return int(getattr(method_settings, "steps", 0))
    if settings.sampling == "epochs":
        return -(-epochs * slices // (method_settings.batch * settings.processes))
    return int(epochs * -(-slices // method_settings.batch))


def sample_inputs(
    cohort: Cohort, split: Split, scaler: ExpressionScaler, method: object, data: TrainingData, count: int = 6
) -> tuple[Any, Any]:
    """Backgrounds and genes for the sample grids: of validation patients where there are any, else of training."""
    patients = list(split.validation or split.train)
    chosen = [patients[i % len(patients)] for i in range(count)]
    rows = torch.arange(0, len(data.background), max(1, len(data.background) // count))[:count]
    backgrounds = data.background[rows][:, 0].numpy()
    return backgrounds, genes_as_trained(method, scaler, split, cohort.expression, chosen[: len(backgrounds)])
