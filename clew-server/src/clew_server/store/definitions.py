"""Keeps the definitions of the engine's tables while they are changed, and puts them back where the disk did not take the new ones.

The engine goes on when a write() fails. A table that is made or altered then has an empty definition under its name, a deletion of rows
an empty file that should say what is deleted, and at its next start the engine refuses the whole folder because of either. So the
definitions are copied before a step of the schema changes them. After the step the engine's count of failed writes tells whether
they are whole; where they are not, or the process ended before that was known, they are put back before the folder is opened again,
and the step is taken again.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from clew_server.durable import sync_folder, write_synced
from clew_server.store.chdb_repair import PREFIX
from clew_server.store.contract import StoreFailed

logger = logging.getLogger(__name__)

_ID: Final = re.compile(rb"ATTACH (?P<what>TABLE|MATERIALIZED VIEW) _ UUID '(?P<id>[0-9a-f-]{36})'")
_DELETION: Final = re.compile(
    rb"format version: \d+\ncreate time: [^\n]+\n(?:[^\n]+\n)*commands: [^\n]+\n(?:[^\n]+\n)*"
)


class Definitions:
    """The definitions in one folder of the engine. Nothing else may change them meanwhile."""

    def __init__(self, engine: Path, kept: Path) -> None:
        """`engine` is the engine's folder. `kept` is where the copies lie, and is there only while definitions are being changed."""
        self._engine = engine
        self._kept = kept

    @contextlib.contextmanager
    def changing(self, failed_writes: Callable[[], int]) -> Iterator[None]:
        """Inside, definitions may be changed by statements that bear being run twice. Raises OSError before anything is changed,
        StoreFailed when the disk did not take all of it: then the engine's folder must be closed and `put_right` called.
        """
        self._keep()
        before = failed_writes()
        failure: StoreFailed | None = None
        try:
            yield
        except StoreFailed as error:
            failure = error
        if failed_writes() != before:
            raise StoreFailed("the disk did not take all that was written about the tables") from failure
        if failure is not None:
            raise failure
        self._forget()

    def put_right(self) -> None:
        """Make the folder one that the engine opens, whatever a full disk or the end of a process left. The engine must not have it open.

        Raises OSError.
        """
        for deletion in self._engine.glob("store/*/*/mutation_*.txt"):
            if not _DELETION.fullmatch(deletion.read_bytes()):
                logger.warning(
                    "%s is not whole: the disk did not take it; what it deleted may be deleted again", deletion
                )
                deletion.unlink()
        for copy in self._definitions(f"{PREFIX}*"):
            self._remove(copy)
        if self._kept.is_dir():
            for definition in self._definitions("*"):
                self._put_back(definition)
            self._forget()

    def _keep(self) -> None:
        begun = self._kept.with_name(self._kept.name + ".tmp")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        for definition in self._definitions("*"):
            write_synced(begun / definition.name, definition.read_bytes())
        sync_folder(begun)
        begun.rename(self._kept)
        sync_folder(self._kept.parent)

    def _forget(self) -> None:
        # Under another name first, so that it is there whole or not at all.
        begun = self._kept.with_name(self._kept.name + ".tmp")
        self._kept.rename(begun)
        sync_folder(begun.parent)
        shutil.rmtree(begun, ignore_errors=True)

    def _put_back(self, definition: Path) -> None:
        now = definition.read_bytes()
        copy = self._kept / definition.name
        kept = copy.read_bytes() if copy.exists() else None
        if now == kept:
            return
        what = _ID.match(kept) if kept is not None else None
        made = _ID.match(now)
        # A view that was replaced is made again by the step, and so is a table that was not there before: no rows are in them.
        if (
            kept is None
            or what is None
            or what["what"] != b"TABLE"
            or (made is not None and made["id"] != what["id"])
            or self._is_dropped(what["id"].decode())
        ):
            self._remove(definition)
            return
        logger.warning("the definition %s is put back: a step of the schema was not finished", definition.name)
        begun = definition.with_name(definition.name + ".tmp")
        write_synced(begun, kept)
        begun.rename(definition)
        sync_folder(definition.parent)

    def _is_dropped(self, table_id: str) -> bool:
        """Whether the engine has yet to remove a table with this id, beside which it would take no other."""
        return any(self._engine.glob(f"metadata_dropped/*{table_id}*"))

    def _remove(self, definition: Path) -> None:
        """Remove a table that holds nothing which is not elsewhere."""
        logger.warning("the unfinished table or view %s is removed", definition.stem)
        made = _ID.match(definition.read_bytes())
        definition.unlink()
        if made is not None:
            name = made["id"].decode()
            shutil.rmtree(self._engine / "store" / name[:3] / name, ignore_errors=True)

    def _definitions(self, named: str) -> list[Path]:
        return sorted(self._engine.glob(f"metadata/*/{named}.sql"))
