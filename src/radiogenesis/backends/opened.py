"""Runs whose drawings another backend than torch makes, compared with torch when it is opened.

The gene code is torch's in every case, and so are gradients (`map` takes effects from them): only the generator, which
takes nearly all of the time, is another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from radiogenesis.backends.engines import LIBRARIES, Engine
from radiogenesis.backends.graph import BATCH_AXIS, OUTPUTS, Drawer, example, exported, input_names, require_packages
from radiogenesis.backends.names import Backend
from radiogenesis.errors import SettingError
from radiogenesis.methods.drawing import CHUNK
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.training.run import Run

MOST_DIFFERENT = 1e-4
"""Of the range of a drawing (0.15 HU of CT; the mask and the weight map go from 0 to 1): how far another backend may be
from torch."""
TRIED = CHUNK + 1
"""Drawings that are compared: a chunk, and one by itself."""
TORCH = str(torch.__version__)
_SPANS = {"image": 2.0, "mask": 1.0, "weight": 1.0}


@dataclass(frozen=True)
class DrawnBy:
    """What made drawings.

    Attributes:
        backend: torch, onnx or openvino.
        library, version: that ran the generator.
        torch: the version that it was compared with, and that made the gene codes.
        difference: the largest of `TRIED` drawings, as a share of the range; 0 for torch itself.
    """

    backend: Backend
    library: str
    version: str
    torch: str
    difference: float = 0.0

    @property
    def words(self) -> str:
        """For a page."""
        if self.backend == "torch":
            return f"torch {self.version}"
        return (
            f"{self.library} {self.version} (at most {self.difference:.1g} of the range away from torch {self.torch}, "
            f"in {TRIED} drawings)"
        )

    def record(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class OpenBackend:
    """Draws in torch's place; see `graph.Drawer` for what it takes and gives."""

    engine: Engine
    drawn_by: DrawnBy

    def __call__(self, background: Tensor, code: Tensor, vector: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        return _drawn(self.engine, background, code, vector, *maps)


def _drawn(engine: Engine, *given: Tensor) -> tuple[Tensor, ...]:
    names = input_names(len(given) - 3)
    arrays = {name: part.detach().cpu().contiguous().numpy() for name, part in zip(names, given, strict=True)}
    return tuple(torch.from_numpy(part).to(given[0].device) for part in engine(arrays))


def open_backend(method: FusionGAN, backend: Backend) -> OpenBackend:
    """Export the generator and compare what another backend draws with what torch draws.

    Raises:
        SettingError: a package is not installed, or the two differ by more than MOST_DIFFERENT.
    """
    library = LIBRARIES[backend]
    require_packages(("onnx", library.package), "fast")
    return compared(method, exported(method), backend)


def compared(method: FusionGAN, model: bytes, backend: Backend) -> OpenBackend:
    """A graph of `method` on a backend, once it draws as torch does. Raises SettingError where it does not."""
    library = LIBRARIES[backend]
    engine = Engine(library, model, BATCH_AXIS, CHUNK, torch.get_num_threads())
    found, package = difference(method, engine), f"{library.package} {version(library.package)}"
    if not found <= MOST_DIFFERENT:
        raise SettingError(
            f"{package} draws otherwise than torch {TORCH}: {found:.2g} of the range apart, and "
            f"{MOST_DIFFERENT:g} is allowed",
            remedy="draw with --backend torch, and report this with the version of onnx",
        )
    return OpenBackend(engine, DrawnBy(backend, library.package, version(library.package), TORCH, found))


def difference(method: FusionGAN, engine: Engine) -> float:
    """The largest between torch's and an engine's drawings, as a share of the range of each output."""
    given = example(method, TRIED)
    with torch.inference_mode():
        wanted = Drawer(method).eval()(*given)
    both = zip(OUTPUTS, wanted, _drawn(engine, *given), strict=True)
    return max(float((a - b).abs().max()) / _SPANS[name] for name, a, b in both)


def drawn_by(method: object) -> DrawnBy:
    """What makes a method's drawings; read from the method itself, so that a record cannot say otherwise."""
    engine = getattr(method, "engine", None)
    return engine.drawn_by if isinstance(engine, OpenBackend) else DrawnBy("torch", "torch", TORCH, TORCH)


def on_backend(run: Run, backend: Backend) -> Run:
    """A run of the fusion GAN whose drawings a backend makes; the run itself for torch.

    Raises:
        SettingError: a run of another method; and what `open_backend` raises.
    """
    if backend == "torch":
        return run
    if not isinstance(run.method, FusionGAN):
        raise SettingError(
            f"the backend {backend} serves the fusion GAN, and this is a run of {run.method_name}", path=run.path,
            remedy="leave --backend out: torch draws it",
        )  # fmt: skip
    return run.with_method(run.method.drawing_with(open_backend(run.method, backend)))


def on_backends(runs: Sequence[Run], backend: Backend) -> tuple[list[Run], str]:
    """Several runs, those of the fusion GAN on a backend; and a sentence that names the methods that torch draws all
    the same, empty where there is none.

    Raises:
        SettingError: none of them is of the fusion GAN; and what `open_backend` raises.
    """
    if backend == "torch":
        return list(runs), ""
    if not any(isinstance(run.method, FusionGAN) for run in runs):
        raise SettingError(
            f"the backend {backend} serves the fusion GAN, and no run is of that method",
            remedy="leave --backend out: torch draws the others",
        )
    others = {run.method_name for run in runs if isinstance(run.method, Synthesizer)} - {"fusion-gan"}
    said = f"The backend {backend} serves the fusion GAN: torch draws {', '.join(sorted(others))}." if others else ""
    return [on_backend(run, backend) if isinstance(run.method, FusionGAN) else run for run in runs], said
