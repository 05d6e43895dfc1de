"""A trained generator as ONNX: background, gene code and noise in; lesion, mask and weight map out.

Genes are not in it: whoever draws from it gives the gene code, a few numbers. The explorer's page holds it, and the
backends run it.
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

from radiogenesis.errors import SettingError
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.noise import Noise

OPSET = 18
OUTPUTS = ("image", "mask", "weight")
BATCH_AXIS = "drawings"
"""The name of the one dimension of the graph that is open."""
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


def input_names(maps: int) -> tuple[str, ...]:
    """Names of the graph's inputs, in order."""
    return ("background", "code", "vector", *(f"map{level}" for level in range(maps)))


def require_packages(names: tuple[str, ...], extra: str) -> None:
    """Raises SettingError, with the line that installs it, where a package is not there."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise SettingError(f"the package {missing[0]} is not installed", remedy=f'pip install "radiogenesis[{extra}]"')


def exported(method: FusionGAN) -> bytes:
    """The generator as an ONNX model, not yet compared with torch (see `opened.compared`). Needs the package onnx."""
    drawer, given = Drawer(method).eval(), example(method, _TRIED)
    names = (*input_names(len(given) - 3), *OUTPUTS)
    with torch.no_grad(), _quiet(), TemporaryDirectory(prefix="radiogenesis-") as folder:
        written = Path(folder) / "generator.onnx"
        # torch's other exporter takes 20 seconds for the same graph (this one 1); either is compared with torch.
        torch.onnx.export(
            drawer, given, written, dynamo=False, opset_version=OPSET, input_names=names[: len(given)],
            output_names=OUTPUTS, dynamic_axes={name: {0: BATCH_AXIS} for name in names},
        )  # fmt: skip
        return written.read_bytes()


def example(method: FusionGAN, count: int) -> tuple[Tensor, ...]:
    """The inputs of `count` drawings: air with a little noise, a wall of tissue on the left of every other one, random
    codes, and the noise of seed 0."""
    generator = torch.Generator().manual_seed(0)
    pixels = method.pixels
    noise = method.seeded_noise(0, count, 0, torch.device("cpu"))
    background = (torch.rand(count, 1, pixels, pixels, generator=generator) - 1).clamp(-1, 1)
    background[::2, :, :, : pixels // 4] += 0.5
    code = torch.randn(count, method.part.generator.start.in_features - noise.vector.shape[1], generator=generator)
    return (background, code, noise.vector, *noise.maps)


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
