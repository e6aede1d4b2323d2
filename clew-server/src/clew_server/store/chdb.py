"""The embedded store: chDB in one folder, behind the contracts of `store.contract`."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path

from clew_server.errors import Unavailable
from clew_server.store import queries
from clew_server.store.asking import GUARD_RAILS, Tables
from clew_server.store.chdb_completion import ChdbCompletion
from clew_server.store.chdb_dependencies import ChdbDependencies
from clew_server.store.chdb_maintenance import ChdbMaintenance
from clew_server.store.chdb_merges import Merges
from clew_server.store.chdb_rates import ChdbRates
from clew_server.store.chdb_red import ChdbRed
from clew_server.store.chdb_repair import drop_statements
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.chdb_similar import ChdbSimilar
from clew_server.store.chdb_summary import ChdbSummary
from clew_server.store.chdb_usual import ChdbUsual
from clew_server.store.chdb_values import ChdbValues
from clew_server.store.chdb_versions import ChdbVersions
from clew_server.store.chdb_writer import NOT_IN_A_PATH, ChdbWriter
from clew_server.store.connections import Connections, first_line
from clew_server.store.contract import StoreFailed, StoreUnusable
from clew_server.store.definitions import Definitions
from clew_server.store.deletions import Deletions
from clew_server.store.disk_writes import failed_writes, taken_whole
from clew_server.store.migrate import migrate, write_format_schemas
from clew_server.store.priorities import Priorities

logger = logging.getLogger(__name__)


class ChdbStore:
    """One open chDB folder. One process a folder, one folder a process at a time; nothing may fork while it is open.

    `open` and everything it gives block: call them from worker threads, never from the event loop or the main
    thread of a server. The parts:

    `writer`: TraceWriter · `reader`: TraceReader, TraceStore and TraceSearch · `usual`: TraceUsual ·
    `dependencies`: TraceDependencies · `values`: TraceValues · `completion`: TraceCompletion ·
    `summaries`: TraceSummaries · `red`: TraceRed · `versions`: TraceVersions ·
    `similar`: TraceSimilar · `maintenance`: StoreMaintenance
    """

    writer: ChdbWriter
    reader: ChdbTraces
    usual: ChdbUsual
    dependencies: ChdbDependencies
    rates: ChdbRates
    values: ChdbValues
    completion: ChdbCompletion
    summaries: ChdbSummary
    red: ChdbRed
    similar: ChdbSimilar
    versions: ChdbVersions
    maintenance: ChdbMaintenance

    def __init__(self, folder: Path, *, schema_folder: Path, writers: int = 2, readers: int = 6) -> None:
        self._folder = folder
        self._schema_folder = schema_folder
        self._writers = writers
        self._readers = readers
        self._connections: Connections | None = None

    def open(self) -> None:
        """Open the folder, made if it is not there, and bring its tables up to date.

        Raises StoreCannotRun (this machine), StoreUnusable (this folder).
        """
        for path in (self._folder.resolve(), self._schema_folder.resolve()):
            if unreadable := sorted(NOT_IN_A_PATH.intersection(str(path))):
                raise StoreUnusable(
                    f"The store cannot lie in {path}: its engine reads {' '.join(unreadable)} in a path as a pattern."
                    " Choose a folder without."
                )
        definitions = Definitions(self._folder, self._schema_folder / "definitions")
        try:
            definitions.put_right()
        except OSError as error:
            raise StoreUnusable(f"The store in {self._folder} cannot be put right: {first_line(error)}") from error
        connections = Connections.open(self._folder, writers=self._writers, readers=self._readers)
        count_failed = partial(failed_writes, connections.write)
        try:
            schemas = write_format_schemas(self._schema_folder)
            migrate(
                connections.write.run,
                changing=partial(definitions.changing, count_failed),
                recording=partial(taken_whole, connections.write, "schema_steps"),
            )
            for sql in drop_statements(connections.write):  # what a repair left that was cut short
                connections.write.run(sql)
        except (StoreFailed, OSError) as error:
            connections.close()
            with contextlib.suppress(OSError):  # else at the next start
                definitions.put_right()
            raise StoreUnusable(
                f"The store in {self._folder} cannot be brought up to date: {first_line(error)}"
            ) from error
        except StoreUnusable:
            connections.close()
            raise
        priorities = Priorities()
        priorities.let_merges_give_way()
        self._connections = connections
        tables = Tables(connections.read)
        using = (connections.write, connections.read, connections.probe)
        deletions = Deletions(self._schema_folder / "deletions")
        merges = Merges(connections.control, using, mended=tables.forget_damage, deletions=deletions)
        try:
            merges.drop_replaced()
        except (StoreFailed, Unavailable) as error:
            logger.warning("parts that the engine set aside could not be looked at: %s", first_line(error))
        self.writer = ChdbWriter(connections.write, schemas, tables, merges, priorities)
        self.reader = ChdbTraces(connections.read, tables=tables)
        self.usual = ChdbUsual(connections.read, tables)
        self.rates = ChdbRates(connections.read, tables)
        self.dependencies = ChdbDependencies(connections.read, tables)
        self.values = ChdbValues(self.reader)
        self.completion = ChdbCompletion(self.reader)
        self.summaries = ChdbSummary(self.reader)
        self.red = ChdbRed(self.reader)
        self.similar = ChdbSimilar(self.reader)
        self.versions = ChdbVersions(self.reader)
        self.maintenance = ChdbMaintenance(connections.read, connections.write, self._folder, tables, merges, deletions)

    def probe(self) -> None:
        """Return when the engine has read one row of a table, on a connection of its own. Raises StoreFailed, Unavailable."""
        connections = self._connections
        if connections is None:
            raise StoreFailed("the store is closed")
        connections.probe.run(queries.statement("probe") + GUARD_RAILS)

    def close(self) -> None:
        """End what runs, close the folder. Calls afterwards raise Unavailable or StoreFailed. Repeatable."""
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()
