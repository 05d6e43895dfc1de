"""Every file is found, behind links too, and what is passed over is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dicom_files import circle, example_ct, rtstruct, save
from dicom_reading import find

from radiogenesis.cohort import walk
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.tables.annotations import read_aim
from radiogenesis.cohort.walk import APPLE_DOUBLE, files_under
from radiogenesis.errors import AnnotationError

FORK = APPLE_DOUBLE + b"\x00\x02\x00\x00Mac OS X        " + bytes(150)


def touched(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_links_are_followed_once_and_their_own_place_comes_first(tmp_path: Path) -> None:
    raw, store = tmp_path / "raw", tmp_path / "store"
    own, far = touched(raw / "z" / "own.dcm"), touched(store / "far.dcm")
    (raw / "a").symlink_to(raw / "z")
    (raw / "far").symlink_to(store)
    (raw / "z" / "circle").symlink_to(raw)
    (raw / "again").symlink_to(store)
    files, passed_over = files_under(raw)
    assert files == [raw / "again" / "far.dcm", own]
    assert far not in files
    assert [path.relative_to(raw).as_posix() for path, _ in passed_over] == ["a", "far", "z/circle"]
    assert {reason for _, reason in passed_over} == {"a link to a folder that is read already"}


def test_what_systems_leave_and_what_is_no_file(tmp_path: Path) -> None:
    for name in ("__MACOSX/P1/._rt.dcm", "@eaDir/rt.dcm", "P1/@eaDir/rt.dcm", "$RECYCLE.BIN/1.dcm"):
        touched(tmp_path / name)
    fork = touched(tmp_path / "P1" / "._RTSTRUCT.dcm", FORK)
    kept = touched(tmp_path / "P1" / "._a name that somebody chose.dcm", b"\x08\x00")
    hidden = touched(tmp_path / ".hidden" / "1.dcm")
    os.mkfifo(tmp_path / "pipe")
    files, passed_over = files_under(tmp_path)
    assert files == sorted([kept, hidden])
    told = {path.relative_to(tmp_path).as_posix(): reason for path, reason in passed_over}
    assert set(told) == {
        "__MACOSX",
        "@eaDir",
        "P1/@eaDir",
        "$RECYCLE.BIN",
        fork.relative_to(tmp_path).as_posix(),
        "pipe",
    }
    assert told["pipe"] == "neither a file nor a folder"
    assert "macOS" in told["__MACOSX"]


def test_a_resource_fork_takes_nobodys_backgrounds_and_is_no_patient(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path / "P1")
    save(rtstruct(ct, {"GTV-1": [circle(ct, z, (10, 9), 4) for z in (2, 3)]}), tmp_path / "P1" / "RTSTRUCT.dcm")
    fork = touched(tmp_path / "__MACOSX" / "P1" / "._RTSTRUCT.dcm", FORK)
    image = touched(tmp_path / "N1" / "._image.nii.gz", FORK)
    findings = find(tmp_path)
    assert findings.sources[0].unread_outlines == ()
    assert [path for path, _ in findings.skipped] == [image, fork.parents[1]]
    nifti = find_volumes(tmp_path, ReadSettings())
    assert (nifti.sources, [path for path, _ in nifti.skipped]) == ([], [image])


@pytest.mark.parametrize("name", ["c", "RTSTRUCT"])
def test_a_folder_that_cannot_be_opened_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And one that is named after outlines may hold this patient's."""
    example_ct().write(tmp_path / "P1" / "ct")
    locked = tmp_path / "P1" / name
    locked.mkdir()
    listed = os.listdir

    def refusing(folder: Path) -> list[str]:
        if Path(folder) == locked:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(walk.os, "listdir", refusing)
    findings = find(tmp_path)
    ((path, reason),) = findings.skipped
    assert (path, reason.endswith("a folder that cannot be opened (Permission denied)")) == (locked, True)
    assert findings.sources[0].unread_outlines == ((locked,) if name == "RTSTRUCT" else ())


def test_annotations_behind_a_link_are_found(tmp_path: Path) -> None:
    """They would be nobody's without a word."""
    touched(tmp_path / "store" / "1.xml", b"<note/>")
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "linked").symlink_to(tmp_path / "store")
    with pytest.raises(AnnotationError, match=r"no AIM v4 annotation that can be used \(1.xml: is not an AIM v4"):
        read_aim(raw)
