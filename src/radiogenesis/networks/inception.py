"""Inception v3 up to its pooled features (Szegedy et al. 2016), for the Frechet distance that bears its name.

Built here since torchvision is no dependency; names and shapes are torchvision's, so that its `inception_v3` weights,
saved as safetensors, fit. Nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.errors import SettingError

SIDE = 299
"""Pixels per side that the network was trained on."""
LENGTH = 2048
"""Pooled features."""
REMEDY = "give torchvision's inception_v3 state dict, saved with safetensors.torch.save_file"

Size = int | tuple[int, int]
Layer = tuple[int, Size, int]
"""Channels, kernel and stride of a convolution."""
ROW, COLUMN = (1, 7), (7, 1)


class Convolution(nn.Module):
    """Convolution, batch normalization, ReLU; the size is kept, but at stride 2 or where `padded` is False."""

    def __init__(self, incoming: int, layer: Layer, *, padded: bool = True) -> None:
        super().__init__()
        outgoing, kernel, stride = layer
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(incoming, outgoing, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outgoing, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, their outputs one after the other, the pooled one last.

    Args:
        incoming: channels.
        branches: name -> convolutions, called `name_1`, `name_2` and so on, or `name` where there is but one.
        pool: of the last branch: "average" with a convolution behind it, or "max" at stride 2 without.
        pooled: channels of that convolution, `branch_pool`.
        split: a branch of these ends in a (1, 3) and a (3, 1) convolution of 384 channels side by side, `a` and `b`.
    """

    def __init__(
        self,
        incoming: int,
        branches: dict[str, list[Layer]],
        pool: Literal["average", "max"],
        pooled: int = 0,
        split: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.pool = pool
        self.paths: list[tuple[list[str], list[str]]] = []
        for name, layers in branches.items():
            channels, path = incoming, []
            for number, layer in enumerate(layers, 1):
                path.append(name if len(layers) == 1 and name not in split else f"{name}_{number}")
                self.add_module(path[-1], Convolution(channels, layer))
                channels = layer[0]
            ends = [f"{name}_{len(layers) + 1}{letter}" for letter in "ab"] if name in split else []
            for end, kernel in zip(ends, ((1, 3), (3, 1)), strict=False):
                self.add_module(end, Convolution(channels, (384, kernel, 1)))
            self.paths.append((path, ends))
        if pooled:
            self.branch_pool = Convolution(incoming, (pooled, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for path, ends in self.paths:
            h = x
            for name in path:
                h = self.get_submodule(name)(h)
            outputs += [self.get_submodule(name)(h) for name in ends] or [h]
        if self.pool == "max":
            outputs.append(F.max_pool2d(x, 3, 2))
        else:
            outputs.append(self.branch_pool(F.avg_pool2d(x, 3, 1, 1)))
        return torch.cat(outputs, dim=1)


def block_a(incoming: int, pooled: int) -> Mixed:
    """35 x 35."""
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(64, 1, 1)],
        "branch5x5": [(48, 1, 1), (64, 5, 1)],
        "branch3x3dbl": [(64, 1, 1), (96, 3, 1), (96, 3, 1)],
    }
    return Mixed(incoming, branches, "average", pooled)


def block_b(incoming: int) -> Mixed:
    """35 x 35 to 17 x 17."""
    branches: dict[str, list[Layer]] = {
        "branch3x3": [(384, 3, 2)],
        "branch3x3dbl": [(64, 1, 1), (96, 3, 1), (96, 3, 2)],
    }
    return Mixed(incoming, branches, "max")


def block_c(incoming: int, c: int) -> Mixed:
    """17 x 17, with seven-pixel kernels taken apart."""
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(192, 1, 1)],
        "branch7x7": [(c, 1, 1), (c, ROW, 1), (192, COLUMN, 1)],
        "branch7x7dbl": [(c, 1, 1), (c, COLUMN, 1), (c, ROW, 1), (c, COLUMN, 1), (192, ROW, 1)],
    }
    return Mixed(incoming, branches, "average", 192)


def block_d(incoming: int) -> Mixed:
    """17 x 17 to 8 x 8."""
    branches: dict[str, list[Layer]] = {
        "branch3x3": [(192, 1, 1), (320, 3, 2)],
        "branch7x7x3": [(192, 1, 1), (192, ROW, 1), (192, COLUMN, 1), (192, 3, 2)],
    }
    return Mixed(incoming, branches, "max")


def block_e(incoming: int) -> Mixed:
    """8 x 8."""
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(320, 1, 1)],
        "branch3x3": [(384, 1, 1)],
        "branch3x3dbl": [(448, 1, 1), (384, 3, 1)],
    }
    return Mixed(incoming, branches, "average", 192, split=("branch3x3", "branch3x3dbl"))


class InceptionFeatures(nn.Module):
    """Gray images (B, 1, H, W) in [-1, 1] -> (B, 2048).

    The gray image stands in all three colors, enlarged to 299 x 299. [-1, 1] is what torchvision's weights were
    trained on (its `transform_input`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, (32, 3, 2))
        self.Conv2d_2a_3x3 = Convolution(32, (32, 3, 1), padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, (64, 3, 1))
        self.Conv2d_3b_1x1 = Convolution(64, (80, 1, 1))
        self.Conv2d_4a_3x3 = Convolution(80, (192, 3, 1), padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block_a(192, 32), block_a(256, 64), block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b, self.Mixed_6c = block_c(768, 128), block_c(768, 160)
        self.Mixed_6d, self.Mixed_6e = block_c(768, 160), block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b, self.Mixed_7c = block_e(1280), block_e(2048)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        x = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False).expand(-1, 3, -1, -1)
        for name, module in self.named_children():
            x = module(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        return x.mean((2, 3))


def load_inception(weights: str | Path) -> InceptionFeatures:
    """Inception v3 with the weights of a file; its classifier and its auxiliary head are not looked at.

    Raises:
        SettingError: the file is not there, is not safetensors, or does not hold Inception v3's tensors.
    """
    path = Path(weights)
    if not path.is_file():
        raise SettingError("there is no such file of Inception weights", path=path, remedy=REMEDY)
    made = InceptionFeatures()
    wanted: dict[str, Any] = made.state_dict()
    try:
        found = load_file(path)
        # BatchNorm's counters have no part in evaluation, and older files lack them.
        counters = {name: own for name, own in wanted.items() if name.endswith("num_batches_tracked")}
        made.load_state_dict({name: found.get(name, counters[name]) if name in counters else found[name].float()
                              for name in wanted})  # fmt: skip
    except (SafetensorError, RuntimeError, KeyError) as error:
        first = " ".join(str(error).split())[:120]
        raise SettingError(f"does not hold Inception v3's weights ({first})", path=path, remedy=REMEDY) from error
    return made.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
