"""Brings a folder's tables to this version's schema: numbered files, forward only, recorded in table `schema_steps`.

A step whose files were cut short by a crash is run again: each of its statements bears that. A new folder gets all steps
at once: without the tables and views that a later step drops, and each table is altered once. To analyse the others takes most
of the time of a first start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from clew_server.store.contract import StoreUnusable
from clew_server.store.macros import expand, statements

TABLES: Final = (
    "chunks",
    "origins",
    "resources_raw",
    "scopes_raw",
    "spans",
    "resources",
    "traces",
    "red",
)
"""Every table that holds data, partitioned by its arrival day."""

_STEPS_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS schema_steps (number UInt32, name String)"
    " ENGINE=MergeTree ORDER BY number SETTINGS fsync_after_insert=1, fsync_part_directory=1"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered file of `schema/`, its macros expanded."""

    number: int
    name: str
    statements: tuple[str, ...]


@cache
def steps() -> tuple[Step, ...]:
    """All steps this version knows, in order."""
    found = []
    for file in resources.files("clew_server.store").joinpath("schema").iterdir():
        named = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if named is not None:
            texts = tuple(statements(expand(file.read_text(encoding="utf-8"))))
            found.append(Step(int(named.group(1)), named.group(2), texts))
    return tuple(sorted(found, key=lambda step: step.number))


def migrate(
    run: Callable[..., bytes],
    *,
    changing: Callable[[], AbstractContextManager[None]] = nullcontext,
    recording: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Apply the steps the folder lacks. `run(sql, parameters, output)` runs a statement.

    What changes tables is run inside `changing()`, what records that a step is done afterwards, inside `recording()`; both raise
    when the disk did not take all of it. Raises StoreUnusable, before anything was changed, when a newer version wrote the folder.
    """
    exists = run(
        "SELECT count() FROM system.tables WHERE database=currentDatabase() AND name='schema_steps'", None, "TSV"
    )
    done = set()
    if int(exists):
        done = {int(line) for line in run("SELECT number FROM schema_steps", None, "TSV").split()}
    newest = max(step.number for step in steps())
    if done and max(done) > newest:
        raise StoreUnusable(
            f"A newer version of clew wrote this store (schema step {max(done)}; this version knows {newest})."
        )
    if not done:
        with changing():
            run(_STEPS_TABLE)
            for text in at_once([text for step in steps() for text in step.statements]):
                run(text)
        listed = ",".join(f"({step.number},'{step.name}')" for step in steps())
        with recording():
            run(f"INSERT INTO schema_steps SELECT number, name FROM VALUES('number UInt32, name String', {listed})")
        return
    for step in steps():
        if step.number in done:
            continue
        with changing():
            for text in step.statements:
                run(text)
        with recording():
            run(f"INSERT INTO schema_steps SELECT {step.number}, '{step.name}'")


_MAKES: Final = re.compile(r"(?:CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE) (\w+)")
_DROPS: Final = re.compile(r"DROP (?:TABLE|VIEW) IF EXISTS (\w+)")


def without_what_is_dropped(texts: Sequence[str]) -> list[str]:
    """The statements without those that make or alter a table or view which a later one drops.

    Those that drop stay, for a folder in which an earlier version began and did not finish its first step.
    """
    kept, dropped = [], set()
    for text in reversed(texts):
        if drops := _DROPS.match(text):
            dropped.add(drops.group(1))
        elif (makes := _MAKES.match(text)) and makes.group(1) in dropped:
            continue
        kept.append(text)
    return kept[::-1]


_ALTERS: Final = re.compile(r"ALTER TABLE (\w+) (?!ADD PROJECTION)")
"""A projection may be added only after the table has the setting that allows it, not together with it."""


def altered_once(texts: Sequence[str]) -> list[str]:
    """The statements with all that alter a table as one, in the place of the first of them.

    No statement between them may make or drop what a later one of them needs, nor need what an earlier one takes away.
    """
    changes: dict[str, list[str]] = {}
    for text in texts:
        if alters := _ALTERS.match(text):
            changes.setdefault(alters.group(1), []).append(text[alters.end() :])
    joined = []
    for text in texts:
        alters = _ALTERS.match(text)
        if alters is None:
            joined.append(text)
        elif (all_of_it := changes.pop(alters.group(1), None)) is not None:
            joined.append(alters.group(0) + ", ".join(f"({change})" for change in all_of_it))
    return joined


def at_once(texts: Sequence[str]) -> list[str]:
    """What makes of an empty folder the tables that these statements make of it one after the other."""
    return altered_once(without_what_is_dropped(texts))


def write_format_schemas(folder: Path) -> tuple[Path, Path]:
    """Put the two Protobuf schemas of the statements `chunks` and `search` into the folder; return their paths.

    As files, because chDB writes a schema given inside a statement into the working directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in ("pc.proto", "ps.proto"):
        text = resources.files("clew_server.store").joinpath("schema", name).read_bytes()
        path = (folder / name).resolve()
        if not path.exists() or path.read_bytes() != text:
            path.write_bytes(text)
        written.append(path)
    return written[0], written[1]
