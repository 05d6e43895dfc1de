"""Vessel and airway trees that fill a lung, and how they are drawn into voxels.

A tree grows from the hilum towards points spread over the lung, each joined to the nearest part of the tree; radii
follow Murray's law, r^3 = sum of the children's r^3 (Murray 1926).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TERMINAL_MM = (0.18, 0.50)  # radius of the last branches
PIECE_MM = 3.0  # a branch is cut into pieces of this length, onto which others may join
MURRAY = 3.0


@dataclass(frozen=True)
class Tree:
    """Nodes in mm; node i hangs on node parent[i], the root on itself.

    Attributes:
        position: (n, 3) z, y, x in mm.
        parent: (n,).
        radius: (n,) of the piece between a node and its parent, mm.
    """

    position: NDArray[np.float64]
    parent: NDArray[np.intp]
    radius: NDArray[np.float64]


def grow_tree(root: NDArray[np.float64], targets: NDArray[np.float64], rng: np.random.Generator) -> Tree:
    """A tree from the root to every target (n, 3), in mm."""
    order = np.argsort(-np.linalg.norm(targets - root, axis=1) + rng.normal(0, 45, len(targets)))
    pieces = 2 + int(sum(np.ceil(np.linalg.norm(t - root) / PIECE_MM) for t in targets))
    position, parent, path = np.empty((pieces, 3)), np.zeros(pieces, np.intp), np.zeros(pieces)
    position[0], n = root, 1
    terminals = []
    for target in targets[order]:
        away = _distance(position[:n], target)
        # A detour along the tree costs something too, so branches leave forwards rather than sideways.
        start = int(np.argmin(away + 0.35 * path[:n]))
        steps = max(1, round(away[start] / PIECE_MM))
        share = np.arange(1, steps + 1)[:, None] / steps
        bow = rng.normal(0, 0.10 * away[start], 3) * np.sin(np.pi * share)
        bow += rng.normal(0, 0.05 * away[start], 3) * np.sin(2 * np.pi * share)
        new = position[start] + share * (target - position[start]) + bow
        position[n : n + steps] = new
        parent[n : n + steps] = np.r_[start, np.arange(n, n + steps - 1)]
        path[n : n + steps] = path[start] + away[start] * share[:, 0]
        n += steps
        terminals.append(n - 1)
    flow = np.zeros(n)
    flow[terminals] = rng.uniform(*TERMINAL_MM, len(terminals)) ** MURRAY
    for i in range(n - 1, 0, -1):  # children come after their parents
        flow[parent[i]] += flow[i]
    return Tree(position[:n], parent[:n], flow ** (1 / MURRAY))


def _distance(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) from each of the points (n, 3) to the target, mm."""
    offset = points - target
    return np.sqrt(np.einsum("ij,ij->i", offset, offset))


def sample_tubes(
    tree: Tree, step_mm: float, radius_mm: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points along the pieces whose radius lies in the range: positions (n, 3), radii and the length each stands for.

    The radius runs evenly from one piece's to the next's, so that vessels taper.
    """
    child = np.flatnonzero((tree.radius >= radius_mm[0]) & (tree.radius < radius_mm[1]))
    child = child[child > 0]
    start, end = tree.position[tree.parent[child]], tree.position[child]
    length = np.linalg.norm(end - start, axis=1)
    count = np.maximum(1, np.ceil(length / step_mm)).astype(int)
    piece = np.repeat(np.arange(len(child)), count)
    share = (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[piece]
    position = start[piece] + share[:, None] * (end - start)[piece]
    return position, tree.radius[child][piece], (length / count)[piece]


def splat_thin(
    volume: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    points: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Add to each voxel the share of it that thin tubes fill: pi r^2 dl over the voxel's volume, spread trilinearly."""
    position, radius, length = points
    index = position / np.array(spacing_mm)
    low = np.floor(index).astype(np.intp)
    part = index - low
    share = np.pi * radius**2 * length / np.prod(spacing_mm)
    shape = np.array(volume.shape)
    flat = volume.reshape(-1)
    for corner in np.ndindex(2, 2, 2):
        at = low + corner
        weight = share * np.prod(np.where(corner, part, 1 - part), axis=1)
        ok = ((at >= 0) & (at < shape)).all(axis=1)
        where = np.ravel_multi_index(tuple(at[ok].T), volume.shape)
        np.add.at(flat, where, weight[ok].astype(np.float32))


def stamp_balls(
    volume: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    position: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> None:
    """Raise each voxel to the share of it that lies in one of the balls."""
    spacing = np.array(spacing_mm)
    soft = float(spacing[1])
    for point, r in zip(position, radius, strict=True):
        low = np.maximum(np.ceil((point - r - soft) / spacing), 0).astype(int)
        high = np.minimum(np.floor((point + r + soft) / spacing) + 1, volume.shape).astype(int)
        if (low >= high).any():
            continue
        z, y, x = ((np.arange(a, b) * s - p) ** 2 for a, b, s, p in zip(low, high, spacing, point, strict=True))
        distance = np.sqrt(z[:, None, None] + y[:, None] + x)
        box = volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        np.maximum(box, np.clip((r - distance) / soft + 0.5, 0, 1), out=box)
