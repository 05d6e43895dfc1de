"""Drawing in chunks: everything once and in order, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from radiogenesis.methods.drawing import CHUNK, in_chunks, require_pairs


@pytest.mark.parametrize("count", [1, CHUNK, 2 * CHUNK + 3])
def test_everything_is_drawn_once_and_in_order(count: int) -> None:
    values, sizes = torch.arange(count, dtype=torch.float64), []

    def draw(rows: slice) -> tuple[Tensor, Tensor]:
        sizes.append(rows.stop - rows.start)
        planes = values[rows].reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        return planes, -planes

    first, second = in_chunks(nn.Identity(), count, draw)
    assert first.shape == second.shape == (count, 4, 4)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[:, 1, 2], np.arange(count))
    np.testing.assert_array_equal(second, -first)
    assert max(sizes) <= CHUNK
    assert sum(sizes) == count


def test_drawing_is_in_evaluation_mode_with_channels_last_and_without_a_graph() -> None:
    convolution = nn.Conv2d(2, 3, 3).train()

    def draw(rows: slice) -> tuple[Tensor]:
        assert not convolution.training
        made = convolution(torch.ones(1, 2, 4, 4))
        assert not made.requires_grad
        assert made.is_contiguous(memory_format=torch.channels_last)
        return (made[:, :1],)

    assert [made.shape for made in in_chunks(convolution, 1, draw)] == [(1, 2, 2)]
    assert convolution.weight.requires_grad


def test_a_method_that_has_drawn_can_be_trained_on() -> None:
    convolution = nn.Conv2d(1, 1, 3)
    in_chunks(convolution, 1, lambda rows: (convolution(torch.ones(1, 1, 4, 4)),))
    convolution.train()(torch.ones(1, 1, 4, 4)).sum().backward()
    assert convolution.weight.grad is not None


@pytest.mark.parametrize(("images", "vectors"), [(2, 3), (0, 0)])
def test_what_does_not_pair_is_refused(images: int, vectors: int) -> None:
    with pytest.raises(ValueError, match=f"{images} backgrounds for {vectors} gene vectors"):
        require_pairs(range(images), range(vectors))
