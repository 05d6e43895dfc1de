"""Ways to damage a file, each drawn by a random generator: cells, fields of a header, nodes of a tree; and bytes.

`mutate(path, rng)` damages one file and says how, and whether a reader can know: `must` is true where a checksum, a
length or a limit of what is possible tells, so that other values without a word are a fault of the reader. A voxel or
a digit that became another plausible one is nothing that a reader could see.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import yaml
from pydicom.dataset import Dataset

from mutators import CHECKED, FILES, WHOLE, Mutation, Rng, damaged_bytes, pick, shown

LONG = "A" * 1_000_000
TEXTS: tuple[Any, ...] = (
    "", "nan", "inf", "-1", "0", "1e308", "-1e308", "1e-320", "1e999", "99999999999999999999", "0x10", "1_000", "1,5",
    "null", "True", "=1+1", "..", "../../secret.txt", "/", "\x00", '"', '""', "'", "a\nb", "a\r\nb", "\t", ";", ",",
    "\u202e\u0000", "\ud800", "\u7530\u4e2d" * 20, "<script>alert(1)</script>", "%s%n", "{}", "[]", "~", LONG,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**63), 10**30, 0.5, float("nan"), float("inf"), 1e308, 1e-320, "", "x", "..",
    "../../secret.txt", "/etc/passwd", "nan", "\x00", LONG, [], {}, [[]], [None], ["x"], {"x": 1}, [1, 2, 3],
)  # fmt: skip
NUMBERS = (
    "nan",
    "inf",
    "-1",
    "0",
    "1e308",
    "-1e308",
    "1e-300",
    "0.0001",
    "100000",
    "65535",
    "-65535",
    "x",
    "",
    "1\\2\\3",
)
_GEOMETRY = {
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelSpacing", "ImageOrientationPatient",
    "ImagePositionPatient", "RescaleSlope", "RescaleIntercept", "SamplesPerPixel", "NumberOfFrames",
    "MaximumFractionalValue", "ContourData", "PixelData", "SliceThickness", "TransferSyntaxUID",
}  # fmt: skip
_PLACING = {"SliceThickness", "HighBit"}  # nothing is computed from them


def mutate(path: Path, rng: Rng) -> Mutation:
    """Damage one file: half of the time its structure, where it has one that is known here, else its bytes."""
    own = _structured(path)
    if rng.random() < 0.03:
        return pick(rng, FILES)(path, rng)
    if own and rng.random() < 0.6:
        done = pick(rng, own)(path, rng)
        if done is not None:
            return done
    content = path.read_bytes()
    if path.name.endswith(".gz") and rng.random() < 0.5:  # what is compressed, and not the compression
        inner = gzip.decompress(content)
        name, changed, what = damaged_bytes(inner, rng)
        path.write_bytes(gzip.compress(changed, 1))
        whole = path.name.removesuffix(".gz")
        return Mutation(f"inner {name}", what, must=name == "truncate" and whole.endswith(WHOLE))
    name, changed, what = damaged_bytes(content, rng)
    path.write_bytes(changed)
    checked = path.name.endswith(CHECKED)
    return Mutation(name, what, must=checked or (name == "truncate" and path.name.endswith(WHOLE)))


# ---- tables and other text ----


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.name.endswith(".gz") else raw


def _store(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)


def _cells(path: Path, rng: Rng) -> Mutation | None:
    """One cell of a table becomes an extreme one, or a line or column is doubled, taken away or exchanged."""
    text = _content(path).decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    delimiter = max("\t,;", key=lines[0].count) if "\t" not in text else "\t"
    rows = [number for number, line in enumerate(lines) if delimiter in line]
    if not rows:
        return None
    at = int(pick(rng, rows))
    cells = lines[at].split(delimiter)
    column = int(rng.integers(len(cells)))
    how = pick(rng, ("cell", "cell", "cell", "cell", "doubled line", "lost line", "lost cell", "doubled cell", "quote"))
    what, must = f"line {at + 1}, cell {column + 1}", False
    if how == "cell":
        value = pick(rng, TEXTS)
        must = _is_number(cells[column]) and at > rows[0] and _is_nothing(value)
        what += f": {shown(cells[column])} becomes {shown(value)}"
        cells[column] = value
        lines[at] = delimiter.join(cells)
    elif how == "doubled line":
        lines.insert(at, lines[at])
    elif how == "lost line":
        del lines[at]
    elif how in ("lost cell", "doubled cell"):
        cells[column : column + 1] = [] if how == "lost cell" else [cells[column]] * 2
        lines[at], must = delimiter.join(cells), True
    else:
        place = int(rng.integers(len(lines[at]) + 1))
        lines[at] = lines[at][:place] + '"' + lines[at][place:]
    _store(path, "\n".join(lines).encode("utf-8", "surrogatepass" if "\ud800" in "".join(cells) else "surrogateescape"))
    return Mutation(how, what, must)


def _is_number(cell: str) -> bool:
    try:
        return np.isfinite(float(cell.strip('"')))
    except ValueError:
        return False


def _is_nothing(value: str) -> bool:
    """Whether a cell is neither a number that can be stored, nor a missing one, nor one written in another way."""
    if value.strip().lower() in ("", "nan", "null", "1,5", "1_000"):
        return False
    try:
        return not abs(float(value)) < 3e38
    except ValueError:
        return "\n" not in value and not set(value) & set("\t;,\"'")


def _encoded(path: Path, rng: Rng) -> Mutation | None:
    """The same text in another encoding, with other line ends, or with bytes that are no text."""
    content = _content(path)
    how = pick(rng, ("utf-16", "utf-32", "cr", "bom", "no text", "nul", "long line"))
    if how in ("utf-16", "utf-32"):
        content = content.decode("utf-8", "replace").encode(how)
    elif how == "cr":
        content = content.replace(b"\n", b"\r")
    elif how == "bom":
        content = b"\xef\xbb\xbf" + content
    elif how == "long line":
        content = content.replace(b"\n", b" ") * 50
    else:
        place = int(rng.integers(len(content) + 1))
        content = content[:place] + (b"\x00" if how == "nul" else b"\xff\xfe\xc3\x28") + content[place:]
    _store(path, content)
    return Mutation("encoding", how)


# ---- JSON and YAML ----


def _tree(path: Path, rng: Rng) -> Mutation | None:
    """One node of a JSON or YAML file becomes something else, or goes."""
    text = path.read_text(encoding="utf-8")
    is_json = not path.name.endswith((".yaml", ".yml"))
    tree = json.loads(text) if is_json else yaml.safe_load(text)
    nodes = list(_nodes(tree))
    if not nodes:
        return None
    holder, key = nodes[int(rng.integers(len(nodes)))]
    how, value, old = (
        pick(rng, ("value", "value", "value", "lost", "deep", "doubled")),
        pick(rng, VALUES),
        holder[key],
    )
    if how == "lost":
        del holder[key]
    elif how == "doubled":
        value = [holder[key], holder[key]]
        holder[key] = value
    elif how == "value":
        holder[key] = value
    written = json.dumps(tree) if is_json else yaml.safe_dump(tree, sort_keys=False)
    if how == "deep":
        holder[key] = "@deep@"
        written = json.dumps(tree).replace('"@deep@"', "[" * 20_000 + "]" * 20_000)  # JSON is YAML
    path.write_text(written, encoding="utf-8", errors="surrogatepass")
    return Mutation(f"node {how}", f"{key!r}: {shown(old)}" + (f" becomes {shown(value)}" if how == "value" else ""))


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _nodes(tree[key])


def _yaml(path: Path, rng: Rng) -> Mutation | None:
    """What YAML can do beside data."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{k}: &{k} [{', '.join(['*' + p] * 9)}]" for p, k in zip("abcdefghi", "bcdefghij", strict=True)]
    how = pick(rng, ("aliases", "python", "deep", "list", "binary", "tab", "alias to itself"))
    text = path.read_text(encoding="utf-8")
    path.write_text(
        {
            "aliases": text + "\n" + "\n".join(lines) + "\n",
            "python": text + "\nx: !!python/object/apply:os.system ['touch owned']\n",
            "deep": text + "\nx: " + "[" * 5000 + "]" * 5000 + "\n",
            "list": "- 1\n- 2\n",
            "binary": text + "\nx: !!binary //79\n",
            "tab": text + "\n\tx: 1\n",
            "alias to itself": text + "\nx: &x [*x]\n",
        }[how],
        encoding="utf-8",
    )
    return Mutation("yaml", how)


# ---- XML ----


def _xml(path: Path, rng: Rng) -> Mutation | None:
    """An attribute becomes an extreme one, an element goes or is doubled, or entities multiply."""
    text = path.read_text(encoding="utf-8")
    how = pick(rng, ("attribute", "attribute", "lost", "doubled", "entities", "deep", "many"))
    what = ""
    if how == "attribute":
        found = list(re.finditer(r'="([^"]*)"', text))
        one, value = pick(rng, found), pick(rng, TEXTS)
        what = f"{shown(text[one.start() - 20 : one.end()])} becomes {shown(value)}"
        text = text[: one.start(1)] + value + text[one.end(1) :]
    elif how in ("lost", "doubled"):
        one = pick(rng, list(re.finditer(r"<[^<>]*>", text)))
        what, text = one[0], text[: one.start()] + (one[0] * 2 if how == "doubled" else "") + text[one.end() :]
    elif how == "entities":
        named = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
        text = f'<!DOCTYPE x [<!ENTITY e0 "ha">{named}]>' + re.sub(r'value="[^"]*"', 'value="&e9;"', text, count=1)
    elif how == "deep":
        text = text.replace("<person>", "<person>" + "<a>" * 20_000, 1)
    else:
        text = text.replace("<person>", "<person>" + '<id value="' * 20_000, 1)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return Mutation(f"xml {how}", what)


# ---- images ----


def _nifti(path: Path, rng: Rng) -> Mutation | None:
    """One number of a NIfTI header becomes an extreme one."""
    content = bytearray(_content(path))
    fields = {"sizeof_hdr": (0, "i"), "datatype": (70, "h"), "bitpix": (72, "h"), "vox_offset": (108, "f")}
    fields |= {"scl_slope": (112, "f"), "scl_inter": (116, "f"), "qform_code": (252, "h"), "sform_code": (254, "h")}
    fields |= {f"dim{k}": (40 + 2 * k, "h") for k in range(8)} | {f"pixdim{k}": (76 + 4 * k, "f") for k in range(8)}
    fields |= {f"srow{k}": (280 + 4 * k, "f") for k in range(12)} | {
        f"quatern{k}": (256 + 4 * k, "f") for k in range(6)
    }
    name = pick(rng, sorted(fields))
    at, kind = fields[name]
    values = (0, -1, 1, 2, 3, 1000, 32767, -32768)
    if kind == "f":
        values = (0.0, -1.0, 1e-30, 1e-3, 1000.0, 1e30, float("nan"), float("inf"), -1e30)
    value = pick(rng, values)
    content[at : at + struct.calcsize(kind)] = struct.pack(f"<{kind}", value)
    _store(path, bytes(content))
    unread = name.startswith(("quatern", "qform", "pixdim0", "dim4", "dim5", "dim6", "dim7"))
    return Mutation("nifti field", f"{name} becomes {value}", must=not unread and not name.startswith("scl_inter"))


def _itk(path: Path, rng: Rng) -> Mutation | None:
    """One value of the header of NRRD or MetaImage becomes an extreme one."""
    head, mark, rest = path.read_bytes().partition(b"\n\n" if path.name.endswith(".nrrd") else b"ElementDataFile")
    lines = head.decode("latin-1").split("\n")
    at = int(rng.integers(len(lines)))
    words = lines[at].split(" ")
    if len(words) < 2:
        return None
    place, value = int(rng.integers(1, len(words))), pick(rng, (*NUMBERS, "", LONG, "(nan,0,0)", "(0,0,0)", "gzip"))
    what = f"{shown(lines[at])}: word {place + 1} becomes {shown(value)}"
    words[place] = value
    lines[at] = " ".join(words)
    path.write_bytes("\n".join(lines).encode("latin-1") + mark + rest)
    return Mutation("itk field", what, must=value not in ("", "gzip"))


def _dicom(path: Path, rng: Rng) -> Mutation | None:
    """One element of a DICOM file, however deep, becomes an extreme one, goes, or is emptied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path)
        elements = list(_elements(data))
        wanted = [(holder, one) for holder, one in elements if one.keyword in _GEOMETRY]
        holder, element = pick(rng, wanted if wanted and rng.random() < 0.6 else elements)
        how = pick(rng, ("value", "value", "value", "lost", "empty", "nested"))
        old, value = element.value, None
        if how == "lost":
            del holder[element.tag]
        elif how == "nested":
            _nest(data, 3000)
        else:
            value = None if how == "empty" else _dicom_value(element, rng)
            element._value = value
        try:
            data.save_as(path)
        except Exception:  # no such value can be written: the bytes are damaged instead
            return None
    one_number = how == "value" and element.keyword in _GEOMETRY - _PLACING
    if element.keyword == "ContourData":  # one point may lie anywhere in the patient
        one_number = one_number and value[0] not in ("0", "-1", "0.0001", "1e-300")
    name = element.keyword or str(element.tag)
    return Mutation(f"tag {how}", f"{name}: {shown(old)} becomes {shown(value)}", must=one_number)


def _dicom_value(element: Any, rng: Rng) -> Any:
    if element.VR in ("DS", "IS"):
        text = pick(rng, NUMBERS).replace("\\", "")
        several = isinstance(element.value, pydicom.multival.MultiValue | list)
        return [text, *map(str, list(element.value)[1:])] if several else text
    if element.VR in ("US", "SS", "UL", "SL"):
        return int(pick(rng, (0, 1, 2, 3, 7, 16, 255, 60000)))
    if element.VR in ("FL", "FD"):
        return float(pick(rng, (float("nan"), float("inf"), 0.0, -1.0, 1e30)))
    if element.VR in ("OB", "OW"):
        return bytes(element.value or b"")[: int(rng.integers(64))]
    if element.VR == "SQ":
        return pydicom.Sequence(list(element.value) * 2) if rng.random() < 0.5 else pydicom.Sequence()
    return pick(rng, ("", "..", ".", "a/b", "x" * 64, "1.2.3", "\u7530\u4e2d" * 20, "\\", "ISO_IR 999", "YES", "MR"))


def _nest(data: Dataset, depth: int) -> None:
    """Sequences in sequences, put together as bytes: pydicom itself cannot write so many."""
    raw = b""
    for _ in range(depth):
        inner = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(raw)) + raw
        raw = b"\x40\x00\x75\x02SQ\x00\x00" + struct.pack("<I", len(inner)) + inner
    data.add_new(0x00091001, "UN", raw)


def _elements(data: Dataset) -> Iterator[tuple[Dataset, Any]]:
    for element in data:
        yield data, element
        if element.VR == "SQ":
            for item in list(element.value)[:4]:
                yield from _elements(item)


# ---- archives of arrays ----


def _safetensors(path: Path, rng: Rng) -> Mutation | None:
    """The header of tensors: shapes, types, places; or all numbers become zero or NaN."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    head, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    how = pick(rng, ("zeroed", "nan", "header", "length", "lost"))
    name = pick(rng, [key for key in head if key != "__metadata__"])
    if how == "zeroed":
        body = bytes(len(body))
    elif how == "nan":
        body = struct.pack("<f", float("nan")) * (len(body) // 4)
    elif how == "lost":
        del head[name]
    elif how == "header":
        key = pick(rng, sorted(head[name]))
        head[name][key] = pick(rng, (0, -1, 2**62, "x", [], [2**40], "F64", [0, 2**50]))
    encoded = json.dumps(head).encode()
    stated = 2**60 if how == "length" else len(encoded)
    path.write_bytes(struct.pack("<Q", stated) + encoded + body)
    return Mutation(f"tensors {how}", name, must=True)


def _npz(path: Path, rng: Rng) -> Mutation | None:
    """A member of an archive is damaged, and the archive written anew; only the member itself can tell."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, sorted(members))
    how, members[name], what = damaged_bytes(members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return Mutation(f"member {how}", f"{name}: {what}")


def _hdf5(path: Path, rng: Rng) -> Mutation | None:
    """A dataset, a group or an attribute of an HDF5 file becomes another or goes."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = pick(rng, names)
        how = pick(rng, ("lost", "values", "shape", "type", "attribute"))
        item = file[name]
        what = name
        if how == "attribute" and len(item.attrs):
            key = pick(rng, sorted(item.attrs))
            value = pick(rng, (0, -1, "x", "", [2**40, 2**40], "csr_matrix", "9.9"))
            del item.attrs[key]
            item.attrs[key], what = value, f"{name}: {key} becomes {value}"
        elif how == "lost" or isinstance(item, h5py.Group) or not item.shape:
            how = "lost"
            del file[name]
        else:
            values, attributes = item[()], dict(item.attrs)
            if how == "shape":
                values = values[:-1] if rng.random() < 0.5 else values[None]
            elif how == "type" or values.dtype.kind not in "fiu":
                values = np.full(values.shape, pick(rng, ("x", "", "\u00fc" * 1000)), dtype=object)
            else:
                values = values.copy()
                spoilt = pick(rng, (np.nan, np.inf, 1e38, -1) if values.dtype.kind == "f" else (-1, 2**31 - 1, 0))
                values.flat[int(rng.integers(values.size))] = spoilt
                what = f"{name}: {spoilt}"
            del file[name]
            try:
                file[name] = values
            except TypeError:
                file.create_dataset(name, data=values, dtype=h5py.string_dtype())
            file[name].attrs.update(attributes)
    return Mutation(f"hdf5 {how}", what)


Mutator = Callable[[Path, Rng], Mutation | None]


def _structured(path: Path) -> tuple[Mutator, ...]:
    """The mutators that know a file's structure."""
    name = path.name.lower()
    by_ending: dict[tuple[str, ...], tuple[Mutator, ...]] = {
        (".nii", ".nii.gz"): (_nifti,),
        (".nrrd", ".mha"): (_itk,),
        (".dcm",): (_dicom,),
        (".csv", ".tsv", ".tsv.gz", ".txt.gz", ".gct", ".gmt"): (_cells, _cells, _encoded),
        (".json",): (_tree, _tree, _encoded),
        (".yaml",): (_tree, _tree, _yaml, _encoded),
        (".xml",): (_xml, _xml, _encoded),
        (".safetensors",): (_safetensors,),
        (".npz", ".xlsx"): (_npz,),
        (".h5ad",): (_hdf5,),
    }
    return next((own for ending, own in by_ending.items() if name.endswith(ending)), ())
