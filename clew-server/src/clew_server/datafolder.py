"""The data folder: locked by one process, with a version. The server writes nothing outside it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from clew_server.durable import write_durably

FOLDER_VERSION = 1
_OURS = frozenset(("VERSION", "VERSION.tmp", "lock", "wal", "chdb", "schema", "dead-letter", "agents"))


class FolderInUse(Exception):
    """Another process owns the folder."""


class FolderUnusable(Exception):
    """The folder cannot be used, or a newer clew wrote it; it is left untouched."""


class DataFolder:
    """Owns `path` until `close`: creates it, checks VERSION, holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = -1

    @property
    def wal(self) -> Path:
        return self.path / "wal"

    @property
    def chdb(self) -> Path:
        return self.path / "chdb"

    @property
    def schema(self) -> Path:
        return self.path / "schema"

    @property
    def dead_letter(self) -> Path:
        return self.path / "dead-letter"

    @property
    def agents(self) -> Path:
        return self.path / "agents"

    def open(self) -> None:
        """Raises FolderInUse or FolderUnusable; on either the folder is as it was.

        A process that is killed at any step leaves a folder that the next start takes: what is written before VERSION
        has names of ours, VERSION gets its name when it is whole and durable, and the folders come last.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            is_new = self._check_version()
            self._lock()
            if is_new:
                self._write_version()
            for folder in (self.wal, self.chdb, self.schema, self.dead_letter, self.agents):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            self.close()
            raise FolderUnusable(
                f"{error.filename or self.path}: {error.strerror or error}; clew must be able to read and write the folder,"
                " or choose another with --data-dir"
            ) from error
        except FolderUnusable:
            self.close()
            raise

    def _check_version(self) -> bool:
        """Whether the folder has no version yet."""
        version = self.path / "VERSION"
        try:
            text = version.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            text = ""
        if not text:
            # Not begun, or killed before VERSION was written; versions before 0.1.0 could be killed with it empty.
            foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in _OURS)
            if foreign:
                raise FolderUnusable(
                    f"{self.path} is not empty and not a folder of clew (it holds {foreign[0]!r}); choose another with --data-dir"
                )
            return True
        if not text.isdigit():
            raise FolderUnusable(f"{version} holds {text[:20]!r}, not a version; choose another folder with --data-dir")
        if int(text) > FOLDER_VERSION:
            raise FolderUnusable(
                f"{self.path} was written by a newer clew (folder version {text}, this one knows {FOLDER_VERSION}); upgrade clew-server"
            )
        return False

    def _write_version(self) -> None:
        """Durably, and whole: an empty or half VERSION never has the name."""
        write_durably(self.path / "VERSION", f"{FOLDER_VERSION}\n".encode("ascii"))

    def _lock(self) -> None:
        self._lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.close()
            raise FolderInUse(
                f"{self.path} is in use by process {owner}; stop it or choose another folder with --data-dir"
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def size_bytes(self, *, without: Path | None = None) -> int:
        """Bytes of all files in the folder, but for those below `without`; files that vanish meanwhile count as nothing.

        Walks the folder: not for a hot path.
        """
        total = 0
        for root, folders, names in os.walk(self.path):
            if without is not None:
                folders[:] = [name for name in folders if os.path.join(root, name) != str(without)]
            for name in names:
                try:
                    total += os.stat(os.path.join(root, name), follow_symlinks=False).st_size
                except OSError:
                    pass
        return total
