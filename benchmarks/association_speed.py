"""How close the association table is to the matrix products that its permutations must at least be.

    python benchmarks/association_speed.py [--genes 5172] [--features 100] [--permutations 1000] [--patients 130]

Both are timed in one run, one after the other, several times; the best of each is printed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_info

from radiogenesis.stats.association import associate


def best(work: Callable[[], object], rounds: int) -> float:
    """The shortest of several times, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Time the table with its permutations, and the bare products."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("genes", 5172), ("features", 100), ("permutations", 1000), ("patients", 130), ("rounds", 3)):
        options.add_argument(f"--{name}", type=int, default=default)
    given = options.parse_args()
    rng = np.random.default_rng(0)
    genes = rng.standard_normal((given.patients, given.genes))
    features = rng.standard_normal((given.patients, given.features))
    names, feature_names = [str(i) for i in range(given.genes)], [str(i) for i in range(given.features)]
    left, right = genes.astype(np.float32), np.ascontiguousarray(features.T.astype(np.float32))
    product = np.empty((given.features, given.genes), np.float32)

    def products() -> None:
        for _ in range(given.permutations):
            np.matmul(right, left, out=product)

    def table(permutations: int, each: bool = False) -> None:
        associate(genes, features, names, feature_names, permutations=permutations, each=each)

    print(f"{os.cpu_count()} cores; BLAS threads {[pool['num_threads'] for pool in threadpool_info()]}")
    print(
        f"{given.patients} patients, {given.genes} genes x {given.features} features, {given.permutations} permutations"
    )
    floor = best(products, given.rounds)
    full = best(lambda: table(given.permutations), given.rounds)
    each = best(lambda: table(given.permutations, each=True), given.rounds)
    plain = best(lambda: table(0), given.rounds)
    operations = 2 * given.patients * given.genes * given.features * given.permutations
    print(f"the matrix products alone (float32)          {floor:7.2f} s  {operations / floor / 1e9:6.1f} GFLOP/s")
    print(f"effects, p, q, family-wise p of all tests    {full:7.2f} s  {full / floor:6.2f} times the products")
    print(f"the same, and a permutation p for each test  {each:7.2f} s  {each / floor:6.2f} times")
    print(f"effects, p and q without permutations        {plain:7.2f} s")


if __name__ == "__main__":
    main()
