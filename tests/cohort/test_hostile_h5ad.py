"""h5ad that is damaged or lies about its places: one line, and never the end of the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.tables import h5ad
from radiogenesis.errors import ExpressionError

PATIENTS, GENES = ["P1", "P2", "P3"], ["A", "B", "C", "D"]


def written(path: Path, *, kind: Callable[..., object] = sparse.csr_matrix) -> Path:
    values = kind(np.arange(12, dtype=np.float32).reshape(3, 4))
    data = AnnData(values)
    data.obs_names, data.var_names = PATIENTS, GENES
    data.layers["more"] = values
    data.write_h5ad(path)
    return path


def changed(group: h5py.Group, name: str, values: object) -> None:
    del group[name]
    group[name] = values


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
def test_a_sound_one_is_read(tmp_path: Path, kind: Callable[..., object]) -> None:
    expression = read_expression(written(tmp_path / "t.h5ad", kind=kind), patients=PATIENTS)
    np.testing.assert_array_equal(expression.X, np.arange(12).reshape(3, 4))


@pytest.mark.parametrize("where", ["X", "layers/more"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("indptr", lambda old: np.r_[old[:-1], 10**9]),
        ("indptr", lambda old: np.r_[old[0], -5, old[2:]]),
        ("indptr", lambda old: np.r_[old[0], 2**31 - 1, old[2:]]),
        ("indptr", lambda old: old[:-1]),
        ("indptr", lambda old: old.astype(float)),
        ("indices", lambda old: old + 10**6),
        ("indices", lambda old: old - 3),
        ("indices", lambda old: old[:-1]),
        ("data", lambda old: old[:-1]),
    ],
)
def test_a_sparse_matrix_whose_places_lie(
    tmp_path: Path, where: str, kind: Callable[..., object], name: str, how: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = written(tmp_path / "t.h5ad", kind=kind)
    with h5py.File(path, "r+") as file:
        changed(file[where], name, how(np.asarray(file[where][name])))
    with pytest.raises(ExpressionError, match=rf"its sparse matrix {where}: ") as error:
        read_expression(path, patients=PATIENTS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [[3, 10**12], [-3, 4], [3], [3.5, 4.0]])
def test_a_sparse_matrix_of_another_shape(tmp_path: Path, shape: list[float]) -> None:
    path = written(tmp_path / "t.h5ad")
    with h5py.File(path, "r+") as file:
        file["X"].attrs["shape"] = shape
    with pytest.raises(ExpressionError, match=r"t\.h5ad: "):
        read_expression(path, patients=PATIENTS)


def test_more_values_than_memory_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "t.h5ad")
    with h5py.File(path, "r+") as file:
        file.create_dataset("layers/huge", (10**6, 10**6), "f4", compression="gzip", chunks=(1000, 1000))
    with pytest.raises(ExpressionError, match=r"promises 4,000,000,.* most of them in layers/huge"):
        read_expression(path, patients=PATIENTS)
    assert h5ad.MOST_BYTES == 2**32


@pytest.mark.parametrize("seed", range(6))
def test_bytes_that_were_changed(tmp_path: Path, seed: int, plain: bytes) -> None:
    """Refused in one line, or read; never another error. Seed 3 ends the program in the HDF5 library."""
    rng, content = np.random.default_rng(seed), bytearray(plain)
    for place in rng.integers(len(content), size=200):
        content[place] = int(rng.integers(256))
    path = tmp_path / "t.h5ad"
    path.write_bytes(bytes(content))
    try:
        read_expression(path, patients=PATIENTS)
    except ExpressionError as error:
        line = str(error)
    else:
        line = ""
    assert "\n" not in line


@pytest.fixture(scope="module", params=["sparse", "dense"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kind = sparse.csr_matrix if request.param == "sparse" else np.asarray
    return written(tmp_path_factory.mktemp("h5ad") / "t.h5ad", kind=kind).read_bytes()
