"""A trained generator as ONNX: background, gene code and noise in; lesion, mask and weight map out.

ONNX Runtime draws from it in a browser, without Python. Genes are not in it: a page moves the gene code, a few numbers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from radiogenesis.errors import RunError, SettingError
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.noise import Noise
from radiogenesis.training.run import Run

OPSET = 18
OUTPUTS = ("image", "mask", "weight")
MOST_DIFFERENT = 1e-4
"""Of the range of a drawing: how far ONNX may be from torch."""
_TRIED = 2  # drawings at a time while it is exported; the graph takes any number


class Drawer(nn.Module):
    """The generator of a run with its composition.

    Background (B, 1, P, P) in [-1, 1], code (B, K), noise vector (B, N) and one noise map (B, 1, side, side) per block
    -> image in [-1, 1], mask and weight map in [0, 1], (B, 1, P, P) each.
    """

    def __init__(self, method: FusionGAN) -> None:
        super().__init__()
        self.part = method.part

    def forward(self, background: Tensor, code: Tensor, vector: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        drawn = self.part(background, code, Noise(vector, list(maps)))
        return drawn.image, drawn.mask, drawn.weight


def drawer_of(run: Run) -> FusionGAN:
    """The method of a run whose generator a page can hold.

    Raises:
        RunError: a run of another method.
    """
    method = run.method
    if not isinstance(method, FusionGAN):
        raise RunError(
            f"the explorer draws with the fusion GAN, and this is a run of {run.method_name}", path=run.path,
            remedy="give a run of `radiogenesis train fusion-gan`",
        )  # fmt: skip
    return method.eval()


def input_names(maps: int) -> tuple[str, ...]:
    """Names of the graph's inputs, in order."""
    return ("background", "code", "vector", *(f"map{level}" for level in range(maps)))


def generator_onnx(method: FusionGAN) -> bytes:
    """The generator as an ONNX model, compared with torch on two drawings before it is handed out.

    Raises:
        SettingError: the packages that export are not installed, or what was exported draws otherwise than torch.
    """
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        raise SettingError(f"the package {missing[0]} is not installed", remedy='pip install "radiogenesis[explore]"')
    drawer, given = Drawer(method).eval(), _example(method)
    names = (*input_names(len(given) - 3), *OUTPUTS)
    with torch.no_grad(), _quiet(), TemporaryDirectory(prefix="radiogenesis-") as folder:
        written = Path(folder) / "generator.onnx"
        # torch's other exporter takes 20 seconds for the same graph (this one 1); either is compared below.
        torch.onnx.export(
            drawer, given, written, dynamo=False, opset_version=OPSET, input_names=names[: len(given)],
            output_names=OUTPUTS, dynamic_axes={name: {0: "drawings"} for name in names},
        )  # fmt: skip
        model = written.read_bytes()
    _compare(drawer, given, model)
    return model


def _example(method: FusionGAN) -> tuple[Tensor, ...]:
    """Two drawings' inputs: air with a little noise, two codes, the noise of seed 0."""
    generator = torch.Generator().manual_seed(0)
    pixels = method.pixels
    noise = method.seeded_noise(0, _TRIED, 0, torch.device("cpu"))
    background = (torch.rand(_TRIED, 1, pixels, pixels, generator=generator) - 1).clamp(-1, 1)
    code = torch.randn(_TRIED, method.part.generator.start.in_features - noise.vector.shape[1], generator=generator)
    return (background, code, noise.vector, *noise.maps)


def _compare(drawer: Drawer, given: tuple[Tensor, ...], model: bytes) -> None:
    """Raises SettingError where ONNX Runtime draws otherwise than torch, for one drawing at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    for row in range(_TRIED):
        one = [part[row : row + 1] for part in given]
        with torch.no_grad():
            wanted = drawer(*one)
        drawn = session.run(None, {name: part.numpy() for name, part in zip(names, one, strict=True)})
        worst = max(float((a - torch.from_numpy(b)).abs().max()) for a, b in zip(wanted, drawn, strict=True))
        if not worst < 2 * MOST_DIFFERENT:
            raise SettingError(
                f"the exported generator draws otherwise than torch (by {worst:.2g})",
                remedy="report this with the versions of torch, onnx and onnxruntime",
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own remarks, which are about torch's inside."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
