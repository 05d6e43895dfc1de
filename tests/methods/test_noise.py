"""Noise: of the seed and of a drawing's own number only, whatever the chunk."""

from __future__ import annotations

import torch

from radiogenesis.methods.noise import Noise, seeded_normals

CPU = torch.device("cpu")


def test_a_drawings_noise_does_not_depend_on_its_chunk() -> None:
    whole = Noise.seeded(5, [2, 4], first=0, count=6, seed=3, device=CPU)
    part = Noise.seeded(5, [2, 4], first=4, count=2, seed=3, device=CPU)
    assert torch.equal(part.vector, whole.vector[4:])
    assert all(torch.equal(one, other[4:]) for one, other in zip(part.maps, whole.maps, strict=True))
    assert [one.shape for one in whole.maps] == [(6, 1, 2, 2), (6, 1, 4, 4)]


def test_vector_and_maps_are_the_seeds_numbers_in_order() -> None:
    noise = Noise.seeded(5, [2], first=1, count=2, seed=3, device=CPU)
    flat = torch.cat([noise.vector, noise.maps[0].flatten(1)], dim=1)
    assert torch.equal(flat, seeded_normals(9, first=1, count=2, seed=3))


def test_without_maps_there_is_the_vector_alone() -> None:
    assert Noise.seeded(5, [], first=0, count=2, seed=3, device=CPU).maps == []
    drawn = Noise.drawn(2, 5, [4], CPU)
    assert drawn.vector.shape == (2, 5)
    assert [one.shape for one in drawn.maps] == [(2, 1, 4, 4)]
