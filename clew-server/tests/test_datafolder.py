from __future__ import annotations

import os
from pathlib import Path

import pytest

from clew_server.datafolder import DataFolder, FolderInUse, FolderUnusable


def test_a_folder_has_one_owner_who_is_named_to_the_second(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data")
    first.open()
    with pytest.raises(FolderInUse, match=str(os.getpid())):
        DataFolder(tmp_path / "data").open()
    first.close()
    second = DataFolder(tmp_path / "data")
    second.open()
    second.close()


def test_a_folder_of_a_newer_version_is_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("2\n")
    with pytest.raises(FolderUnusable, match="newer"):
        DataFolder(tmp_path).open()
    assert [entry.name for entry in tmp_path.iterdir()] == ["VERSION"]


@pytest.mark.parametrize("left", [(), ("lock",), ("lock", "VERSION.tmp"), ("lock", "VERSION")])
def test_a_start_that_was_killed_at_any_step_is_taken_up_by_the_next(tmp_path: Path, left: tuple[str, ...]) -> None:
    for name in left:
        (tmp_path / name).write_text("")
    if "VERSION" in left:  # what a version that could leave it empty made of it
        for name in ("wal", "chdb", "schema", "dead-letter"):
            (tmp_path / name).mkdir()
    folder = DataFolder(tmp_path)
    folder.open()
    assert (tmp_path / "VERSION").read_text() == "1\n"
    assert not (tmp_path / "VERSION.tmp").exists()
    folder.close()


def test_an_empty_version_beside_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("")
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FolderUnusable, match=r"thesis\.tex"):
        DataFolder(tmp_path).open()
    assert (tmp_path / "VERSION").read_text() == ""


@pytest.mark.parametrize("name", ["VERSION", "lock", "wal", "chdb"])
def test_an_entry_of_another_kind_under_a_name_of_ours_is_told_with_its_path(tmp_path: Path, name: str) -> None:
    if name in ("VERSION", "lock"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(FolderUnusable, match=f"{name}: .*--data-dir"):
        DataFolder(tmp_path).open()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FolderUnusable, match=r"thesis\.tex"):
        DataFolder(tmp_path).open()


def test_the_size_counts_files_in_all_folders(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.open()
    before = folder.size_bytes()
    (folder.wal / "a").write_bytes(b"x" * 1000)
    assert folder.size_bytes() == before + 1000
    folder.close()
