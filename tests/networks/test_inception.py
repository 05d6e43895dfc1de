"""Inception v3 against what is published of torchvision's, and a file of weights as a user would give it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from radiogenesis.errors import SettingError
from radiogenesis.networks.inception import LENGTH, InceptionFeatures, load_inception


@pytest.fixture(scope="module")
def network() -> InceptionFeatures:
    torch.manual_seed(0)
    return InceptionFeatures().eval()


@pytest.fixture(scope="module")
def weights(network: InceptionFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with random weights under torchvision's names, its classifier among them."""
    path = tmp_path_factory.mktemp("inception") / "inception_v3.safetensors"
    state = {name: value for name, value in network.state_dict().items() if "num_batches_tracked" not in name}
    save_file(state | {"fc.weight": torch.zeros(3, LENGTH), "AuxLogits.fc.bias": torch.zeros(3)}, path)
    return path


def test_it_has_as_many_weights_as_torchvisions(network: InceptionFeatures) -> None:
    """27,161,264 (torchvision's documentation), less classifier and auxiliary head."""
    classifier = 2048 * 1000 + 1000
    auxiliary = (768 * 128 + 2 * 128) + (128 * 768 * 25 + 2 * 768) + (768 * 1000 + 1000)
    assert sum(p.numel() for p in network.parameters()) == 27_161_264 - classifier - auxiliary


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)),
        ("Conv2d_4a_3x3.bn.running_var", (192,)),
        ("Mixed_5b.branch5x5_2.conv.weight", (64, 48, 5, 5)),
        ("Mixed_5d.branch3x3dbl_3.conv.weight", (96, 96, 3, 3)),
        ("Mixed_6a.branch3x3.conv.weight", (384, 288, 3, 3)),
        ("Mixed_6b.branch7x7_2.conv.weight", (128, 128, 1, 7)),
        ("Mixed_6e.branch7x7dbl_4.conv.weight", (192, 192, 7, 1)),
        ("Mixed_7a.branch7x7x3_3.conv.weight", (192, 192, 7, 1)),
        ("Mixed_7b.branch3x3_2a.conv.weight", (384, 384, 1, 3)),
        ("Mixed_7c.branch3x3dbl_3b.conv.weight", (384, 384, 3, 1)),
        ("Mixed_7c.branch_pool.conv.weight", (192, 2048, 1, 1)),
    ],
)
def test_names_and_shapes_are_torchvisions(network: InceptionFeatures, name: str, shape: tuple[int, ...]) -> None:
    assert network.state_dict()[name].shape == shape


def test_a_file_of_weights_is_read(network: InceptionFeatures, weights: Path) -> None:
    loaded, image = load_inception(weights), torch.rand(1, 1, 32, 32) * 2 - 1
    assert not loaded.training
    features = loaded(image)
    assert features.shape == (1, LENGTH)
    torch.testing.assert_close(features, network(image), rtol=1e-3, atol=1e-5)


def test_files_that_do_not_hold_inceptions_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file of Inception weights"):
        load_inception(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    other = {"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3)}
    save_file(other, tmp_path / "other.safetensors")
    for name in ("text", "other"):
        with pytest.raises(SettingError, match="does not hold Inception v3's weights"):
            load_inception(tmp_path / f"{name}.safetensors")
