"""VGG16 up to block5_conv3: the features in which the perceptual loss of Li, Sui et al. (equation 6) compares images.

Thirteen convolutions (Simonyan & Zisserman 2015). The weights are torchvision's file `vgg16-397923af.pth`, given by its
path or found in the torch hub cache; nothing is downloaded, and only its tensors are read.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from radiogenesis.errors import SettingError

Perceptual = Literal["vgg16", "random", "none"]

FILE = "vgg16-397923af.pth"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions of each block; 2 x 2 max pooling between the blocks."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the weights were trained with: RGB in [0, 1], normalized so."""
REMEDY = f"give torchvision's {FILE} with --vgg16_weights, or say --perceptual random or none"


class VGG16Features(nn.Module):
    """phi_j, j = block5_conv3 after its ReLU: (B, 1, H, W) in [0, 1] -> (B, 512, H / 16, W / 16).

    The gray image stands in all three colors. Its parameters are held still.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, block in enumerate(BLOCKS):
            layers += [nn.MaxPool2d(2)] if number else []
            for outgoing in block:
                layers += [nn.Conv2d(channels, outgoing, 3, padding=1), nn.ReLU(inplace=True)]
                channels = outgoing
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[None, :, None, None])
        self.mean: Tensor
        self.std: Tensor
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.features((image.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return features


def load_vgg16(weights: str = "") -> VGG16Features:
    """VGG16 with torchvision's ImageNet weights.

    Args:
        weights: path of the file; "" looks for it in the torch hub cache.

    Raises:
        SettingError: the file is not there, not readable as tensors, or not VGG16's.
    """
    path = Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        raise SettingError("perceptual is vgg16, but there is no such file of weights", path=path, remedy=REMEDY)
    made = VGG16Features()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        wanted = {f"features.{name}": own for name, own in made.features.state_dict().items()}
        made.features.load_state_dict({name.removeprefix("features."): found[name] for name in wanted})
    except (pickle.UnpicklingError, EOFError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        first = " ".join(str(error).split())[:120]
        raise SettingError(f"does not hold torchvision's VGG16 weights ({first})", path=path, remedy=REMEDY) from error
    return made.eval()


def random_vgg16(seed: int = 0) -> VGG16Features:
    """VGG16 with random weights (He et al. 2015), the same for the same seed: an untrained feature space."""
    made, generator = VGG16Features(), torch.Generator().manual_seed(seed)
    for layer in made.features:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return made.eval()


def perceptual_features(kind: Perceptual, weights: str = "") -> VGG16Features | None:
    """The feature space that a setting asks for, None for none; never another one in its place."""
    if kind == "none":
        return None
    return load_vgg16(weights) if kind == "vgg16" else random_vgg16()
