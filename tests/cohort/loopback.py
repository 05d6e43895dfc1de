"""The public archives on loopback: buckets that speak S3, GEO, GDC and TCIA, with a tiny cohort and every fault."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

PAGE = 2  # objects in one answer of a bucket, so that every list has several


class Archive:
    """What the archives have, what they do wrong, and what they were asked.

    Attributes:
        files: path -> content; a bucket's objects are under its name.
        md5: path -> the checksum that is told, where it is not that of the content.
        faults: path -> what goes wrong with the next requests for it: "drop" (the connection breaks in the middle),
            "short" (fewer bytes, properly ended), "wrong" (a byte is another), or a status such as "503".
        always: the same, with every request.
        asked: (path, Range header) of every GET of a file.
        gdc: endpoint -> all hits.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.md5: dict[str, str] = {}
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.always: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.gdc: dict[str, list[dict[str, object]]] = {"files": [], "cases": []}
        self.queries: list[dict[str, object]] = []
        self.url = ""

    def etag(self, path: str) -> str:
        return self.md5.get(path) or hashlib.md5(self.files[path]).hexdigest()

    def services(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "s3": f"{self.url}/{{bucket}}",
            "geo": f"{self.url}/geo",
            "geo_query": f"{self.url}/acc.cgi",
            "gdc": f"{self.url}/gdc",
            "tcia": f"{self.url}/tcia",
        }

    @contextmanager
    def running(self) -> Iterator[Archive]:
        handler = type("Handler", (_Handler,), {"archive": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    archive: Archive
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(urlsplit(self.path).path.lstrip("/"), body=False)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if query.get("list-type") == "2":
            self._list(url.path.strip("/"), query)
        else:
            self._file(url.path.lstrip("/") + (f"?{query['acc']}" if "acc" in query else ""))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.archive.queries.append(body)
        hits = self.archive.gdc[self.path.rsplit("/")[-1]]
        page = hits[body["from"] : body["from"] + PAGE]
        self._answer(200, json.dumps({"data": {"hits": page, "pagination": {"total": len(hits)}}}).encode())

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        paths = sorted(path for path in self.archive.files if path.startswith(f"{bucket}/{query['prefix']}"))
        at = int(query.get("continuation-token", 0))
        rows = "".join(
            f"<Contents><Key>{escape(path.removeprefix(bucket + '/'))}</Key>"
            f'<Size>{len(self.archive.files[path])}</Size><ETag>"{self.archive.etag(path)}"</ETag></Contents>'
            for path in paths[at : at + PAGE]
        )
        more = at + PAGE < len(paths)
        token = f"<NextContinuationToken>{at + PAGE}</NextContinuationToken>" if more else ""
        self._answer(
            200,
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode(),
        )

    def _file(self, path: str, *, body: bool = True) -> None:
        content = self.archive.files.get(path)
        if body:
            self.archive.asked.append((path, self.headers.get("Range", "")))
        queue = self.archive.faults[path]
        fault = self.archive.always.get(path) or (queue.pop(0) if queue and body else "")
        if content is None or fault.isdecimal():
            self._answer(int(fault or 404), b"")
            return
        start, status = 0, 200
        if (asked := self.headers.get("Range")) and self.headers.get("If-Range", "") in (
            "",
            f'"{self.archive.etag(path)}"',
        ):
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
        if fault == "short":
            content = content[: len(content) // 2]
        if start >= len(content) > 0:
            self._answer(416, b"")
            return
        if fault == "wrong":
            content = bytes([content[0] ^ 1]) + content[1:-1] + bytes([content[-1] ^ 1])
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return
        if fault == "drop":
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def series_row(
    patient: str, modality: str, *, analysis: str | None = None, study: str = "", bucket: str = "open"
) -> dict[str, object]:
    """A row of the index, still without its objects."""
    uid = f"1.2.{len(patient)}.{sum(map(ord, patient + modality + (analysis or '')))}"
    return {
        "collection_id": "",
        "analysis_result_id": analysis,
        "PatientID": patient,
        "StudyInstanceUID": study or f"1.9.{sum(map(ord, patient))}",
        "SeriesInstanceUID": uid,
        "Modality": modality,
        "SeriesDescription": "",
        "license_short_name": "CC BY-NC 3.0" if bucket == "cr" else "CC BY 3.0",
        "source_DOI": "10.1/made" if analysis else "10.1/original",
        "aws_bucket": bucket,
        "crdc_series_uuid": f"uuid-{patient}-{modality}-{analysis or 'original'}",
    }


def add_series(archive: Archive, row: dict[str, object], objects: list[bytes]) -> dict[str, object]:
    """Put a series' objects into its bucket; its row with their number and size."""
    for number, content in enumerate(objects):
        archive.files[f"{row['aws_bucket']}/{row['crdc_series_uuid']}/{number:03d}.dcm"] = content
    return {**row, "instanceCount": len(objects), "series_size_MB": sum(map(len, objects)) / 1e6}


def write_index(folder: Path, collection: str, rows: list[dict[str, object]]) -> Path:
    """An index of Imaging Data Commons with one collection."""
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).assign(collection_id=collection).to_parquet(folder / "idc_index.parquet")
    terms = {
        "license_long_name": "Creative Commons Attribution 3.0 Unported License",
        "license_short_name": "CC BY 3.0",
        "license_url": "https://creativecommons.org/licenses/by/3.0/",
    }
    sources = [
        {
            "source_doi": doi,
            "source_title": title,
            "citation": f"Doe, J. &amp; Roe, R. <i>{title}</i>.",
            "license": terms,
        }
        for doi, title in (("10.1/original", "The scans"), ("10.1/made", "Made by a network"))
    ]
    table = pa.table({"collection_id": [collection], "sources": [sources]})
    pq.write_table(table, folder / "collections_index.parquet")
    return folder


def star_counts(genes: dict[str, float], *, noncoding: str = "LINC1") -> bytes:
    """A file of STAR counts as GDC gives it."""
    rows = ["# gene-model: GENCODE v36", "gene_id\tgene_name\tgene_type\tunstranded\ttpm_unstranded"]
    rows += [f"{name}\t\t\t{count}\t" for name, count in (("N_unmapped", 5), ("N_ambiguous", 7))]
    rows += [f"ENSG{at}\t{gene}\tprotein_coding\t10\t{value}" for at, (gene, value) in enumerate(genes.items())]
    return "\n".join([*rows, f"ENSG99\t{noncoding}\tlncRNA\t1\t0.5", ""]).encode()


def series_matrix(patients: list[str], values: dict[str, list[float]], platform: str) -> bytes:
    """A series matrix of a microarray, whose CEL files bear the patients' ids."""
    accessions = [f"GSM{number}" for number in range(len(patients))]
    lines = [
        ["!Series_geo_accession", "GSE58661"],
        ["!Series_platform_id", platform],
        ["!Sample_title", *(f"lung_{number}" for number in range(len(patients)))],
        ["!Sample_geo_accession", *accessions],
        ["!Sample_characteristics_ch1", *("gender: F" for _ in patients)],
        [
            "!Sample_supplementary_file",
            *(f"ftp://x/{gsm}_{who}.CEL.gz" for gsm, who in zip(accessions, patients, strict=True)),
        ],
    ]
    table = [["ID_REF", *accessions], *([probe, *map(str, row)] for probe, row in values.items())]
    text = ["\t".join([name, *(f'"{cell}"' for cell in cells)]) for name, *cells in lines]
    text += ["!series_matrix_table_begin", *("\t".join(row) for row in table), "!series_matrix_table_end"]
    return gzip.compress("\n".join(text).encode(), mtime=0)


def noise(size: int, seed: int = 0) -> bytes:
    """Content of a file that is nothing."""
    return np.random.default_rng(seed).bytes(size)
