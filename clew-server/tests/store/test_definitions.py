"""Definitions and deletions that a full disk cut short: the folder opens again, with all that was in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.store import migrate as migrating
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import StoreFailed, StoreUnusable
from clew_server.store.definitions import Definitions

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path
from conftest import StoreUnderTest

ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
OTHER = "1f0e0d0c-0b0a-4908-8706-050403020100"


def table(name: str, setting: int = 1, of: str = ID) -> bytes:
    return f"ATTACH TABLE _ UUID '{of}'\n(\n    `{name}` UInt8\n)\nENGINE = Null\nSETTINGS x = {setting}\n".encode()


def view(of: str = ID) -> bytes:
    return f"ATTACH MATERIALIZED VIEW _ UUID '{of}' TO default.red\n(\n)\nAS SELECT 1\n".encode()


class Folder:
    """The engine's folder as files."""

    def __init__(self, path: Path) -> None:
        self.engine, self.kept = path / "chdb", path / "schema" / "definitions"
        self.names = self.engine / "metadata" / "default"
        self.names.mkdir(parents=True)
        self.definitions = Definitions(self.engine, self.kept)

    def put(self, **files: bytes | None) -> None:
        for name, text in files.items():
            path = self.names / f"{name}.sql"
            path.unlink(missing_ok=True) if text is None else path.write_bytes(text)

    def there(self) -> dict[str, bytes]:
        return {path.stem: path.read_bytes() for path in self.names.iterdir()}

    def change(self, *, failing: bool, **files: bytes | None) -> None:
        """A step of the schema that writes these definitions, None for one that is dropped."""
        counts = iter([0, 1 if failing else 0])
        with self.definitions.changing(lambda: next(counts)):
            self.put(**files)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("now", [b"", table("a", 2)[:40], table("a", 2)])
def test_a_table_whose_change_may_not_be_whole_is_defined_as_before(folder: Folder, now: bytes) -> None:
    folder.put(a=table("a"), b=table("b", of=OTHER))
    with pytest.raises(StoreFailed):
        folder.change(failing=True, a=now)
    folder.definitions.put_right()
    assert folder.there() == {"a": table("a"), "b": table("b", of=OTHER)}
    assert not folder.kept.exists()


@pytest.mark.parametrize("now", [b"", table("new", 2)[:60], table("new")])
def test_a_table_that_was_not_there_before_is_made_again(folder: Folder, now: bytes) -> None:
    data = folder.engine / "store" / ID[:3] / ID
    data.mkdir(parents=True)
    folder.put(b=table("b", of=OTHER))
    with pytest.raises(StoreFailed):
        folder.change(failing=True, new=now)
    folder.definitions.put_right()
    assert folder.there() == {"b": table("b", of=OTHER)}
    assert data.exists() == (ID.encode() not in now)


@pytest.mark.parametrize("now", [b"", view(OTHER)])
def test_a_view_that_was_made_again_is_made_once_more_and_one_that_was_not_touched_stays(
    folder: Folder, now: bytes
) -> None:
    folder.put(v=view(), untouched=view())
    with pytest.raises(StoreFailed):
        folder.change(failing=True, v=now)
    folder.definitions.put_right()
    assert folder.there() == {"untouched": view()}


def test_a_table_that_was_dropped_to_be_made_anew_does_not_come_back_beside_the_one_that_is_still_being_removed(
    folder: Folder,
) -> None:
    folder.put(a=table("a"))
    dropped = folder.engine / "metadata_dropped"
    dropped.mkdir()
    (dropped / f"default.a.{ID}.sql").write_bytes(table("a"))
    with pytest.raises(StoreFailed):
        folder.change(failing=True, a=b"")
    folder.definitions.put_right()
    assert folder.there() == {}


def test_what_a_step_dropped_does_not_come_back(folder: Folder) -> None:
    folder.put(a=table("a"), b=table("b", of=OTHER))
    with pytest.raises(StoreFailed):
        folder.change(failing=True, b=None)
    folder.definitions.put_right()
    assert folder.there() == {"a": table("a")}


def test_a_step_that_the_disk_took_is_kept(folder: Folder) -> None:
    folder.put(a=table("a"))
    folder.change(failing=False, a=table("a", 2))
    folder.definitions.put_right()
    assert folder.there() == {"a": table("a", 2)}
    assert list(folder.kept.parent.iterdir()) == []


def test_a_process_that_ended_while_it_copied_has_changed_nothing(folder: Folder) -> None:
    folder.put(a=table("a"))
    begun = folder.kept.with_name("definitions.tmp")
    begun.mkdir(parents=True)
    (begun / "a.sql").write_bytes(table("a")[:10])
    folder.definitions.put_right()
    assert folder.there() == {"a": table("a")}
    folder.change(failing=False, a=table("a", 2))
    assert folder.there() == {"a": table("a", 2)}


DELETION = b"format version: 1\ncreate time: 2026-01-01 00:00:00\ncommands: (DELETE WHERE x < 1)\n"


@pytest.mark.parametrize("text", [b"", DELETION[:17], DELETION[:50], DELETION[:-1], DELETION])
def test_a_deletion_that_is_not_whole_is_forgotten(folder: Folder, text: bytes) -> None:
    path = folder.engine / "store" / ID[:3] / ID / "mutation_2.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    folder.definitions.put_right()
    assert path.exists() == (text == DELETION)


def opened(path: Path, *, steps: int | None, monkeypatch: pytest.MonkeyPatch) -> StoreUnderTest:
    """The store of this version, or of one that knew so many steps."""
    known = tuple(migrating.steps())
    with monkeypatch.context() as patched:
        patched.setattr(migrating, "steps", lambda: known[:steps])
        store = StoreUnderTest(path)
        store.store.open()
    return store


def simple() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="a", start_time_unix_nano=time.time_ns())
    return request


def counted(store: StoreUnderTest) -> tuple[list[list[str]], list[list[str]]]:
    steps = store.ask("SELECT count() FROM schema_steps")
    return store.ask("SELECT (SELECT sum(length(raw)) FROM chunks), (SELECT count() FROM spans)"), steps


def take(step: migrating.Step, run: Callable[[str], object], definitions: Definitions) -> None:
    """A step of which the disk did not take all."""
    with definitions.changing(iter(range(2)).__next__):
        for text in step.statements:
            run(text)


def test_a_folder_whose_files_about_tables_were_cut_short_opens_with_all_its_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, steps=11, monkeypatch=monkeypatch)
    store.put([simple(), simple()])
    run = store.store._connections.write.run  # type: ignore[union-attr]
    definitions = Definitions(tmp_path / "chdb", tmp_path / "schema" / "definitions")
    with pytest.raises(StoreFailed):
        take(migrating.steps()[11], run, definitions)
    run("CREATE TABLE repair_spans AS spans")
    run("ALTER TABLE chunks DELETE WHERE received<toDateTime(0,'UTC') SETTINGS mutations_sync=1")
    before = counted(store)
    store.store.close()
    names = next((tmp_path / "chdb" / "metadata").iterdir())
    for path in (
        names / "spans.sql",
        names / "repair_spans.sql",
        *(tmp_path / "chdb").glob("store/*/*/mutation_*.txt"),
    ):
        path.write_bytes(b"")

    again = opened(tmp_path, steps=None, monkeypatch=monkeypatch)
    try:
        assert counted(again) == (before[0], [[str(len(migrating.steps()))]])
        again.put([simple()])
        assert again.ask("SELECT count() FROM spans") == [["3"]]
        assert again.ask("SELECT count() FROM system.tables WHERE startsWith(name,'repair_')") == [["0"]]
    finally:
        again.store.close()


def test_a_folder_in_which_the_copies_have_no_room_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "definitions.tmp").write_bytes(b"in the way")
    with pytest.raises(StoreUnusable, match="brought up to date"):
        ChdbStore(tmp_path / "chdb", schema_folder=tmp_path / "schema").open()
    assert not list((tmp_path / "chdb").glob("metadata/*/*.sql"))
