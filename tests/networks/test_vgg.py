"""VGG16: its published size, its weights from torchvision's file, and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from radiogenesis.errors import SettingError
from radiogenesis.networks.vgg import FILE, VGG16Features, load_vgg16, perceptual_features, random_vgg16

# Where torchvision's vgg16().features has its convolutions (its configuration "D").
TORCHVISION_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's: convolutions of random numbers, and the classifier that is not wanted."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    state = {f"features.{name}": tensor for name, tensor in random_vgg16(seed=3).features.state_dict().items()}
    torch.save(OrderedDict(state | {"classifier.6.bias": torch.zeros(1000)}), path)
    return path


def test_parameters_as_published_and_layers_where_torchvision_has_them() -> None:
    vgg = VGG16Features()
    assert sum(p.numel() for p in vgg.parameters()) == 14_714_688  # VGG16 without its classifier
    convolutions = [i for i, layer in enumerate(vgg.features) if isinstance(layer, torch.nn.Conv2d)]
    assert tuple(convolutions) == TORCHVISION_CONVOLUTIONS
    assert not any(p.requires_grad for p in vgg.parameters())


def test_block5_conv3_has_512_channels_at_a_sixteenth_after_its_relu() -> None:
    features = random_vgg16()(torch.rand(1, 1, 64, 48))
    assert features.shape == (1, 512, 4, 3)
    assert features.min() == 0


def test_weights_are_read_and_the_gray_image_is_normalized_as_rgb(weights_file: Path) -> None:
    vgg = load_vgg16(str(weights_file))
    state = torch.load(weights_file, weights_only=True)
    gray = torch.full((1, 1, 16, 16), 0.5)
    rgb = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    x = rgb[None, :, None, None].expand(1, 3, 16, 16)
    for i in TORCHVISION_CONVOLUTIONS:
        x = F.max_pool2d(x, 2) if i in (5, 10, 17, 24) else x
        x = F.relu(F.conv2d(x, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1))
    torch.testing.assert_close(vgg(gray), x)


def test_the_hub_cache_is_where_torchvision_puts_it(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SettingError, match="there is no such file of weights"):
        perceptual_features("vgg16")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / FILE).write_bytes(weights_file.read_bytes())
    assert perceptual_features("vgg16") is not None


def test_random_features_are_the_same_each_time_and_none_is_none() -> None:
    a, b = perceptual_features("random"), random_vgg16()
    assert a is not None
    torch.testing.assert_close(a.features[28].weight, b.features[28].weight)  # type: ignore[union-attr]
    assert perceptual_features("none") is None


class NotATensor:
    """What a file may hide: only tensors are read."""


@pytest.mark.parametrize("content", [{"features.0.weight": torch.zeros(1)}, [1, 2], NotATensor()])
def test_a_file_that_is_not_vgg16_is_one_clear_line(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(SettingError, match=r"other.pth: does not hold .*; give torchvision's") as caught:
        load_vgg16(str(tmp_path / "other.pth"))
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_one_clear_line(weights_file: Path, tmp_path: Path) -> None:
    (tmp_path / "half.pth").write_bytes(weights_file.read_bytes()[:1000])
    with pytest.raises(SettingError, match="does not hold torchvision's VGG16 weights"):
        load_vgg16(str(tmp_path / "half.pth"))
