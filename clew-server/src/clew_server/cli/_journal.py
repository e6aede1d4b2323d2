"""Which requests a server was sent by `clew import`, so that a file that was stopped in the middle goes on without doubling.

A file of lines for each server below `$XDG_STATE_HOME/clew/import` (else `~/.local/state`, else the temporary folder): `>` and
the hash of a request before it is sent, `=` and the hash when the server has it. The server itself remembers the hashes of the
last 15 minutes; this is for longer breaks.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from pathlib import Path
from typing import Final

_HASH_BYTES: Final = 16
_LARGEST_BYTES: Final = 64 << 20
"""A journal that is larger begins anew: it holds a million requests, of half a MiB each."""


def hash_of(request: bytes) -> str:
    """The name of a request in a journal."""
    return hashlib.blake2b(request, digest_size=_HASH_BYTES).hexdigest()


def folder() -> Path:
    """Where journals are: made where it is not there. Falls back to the temporary folder."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for path in (Path(base) / "clew" / "import", Path(tempfile.gettempdir()) / f"clew-import-{os.getuid()}"):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(path, os.W_OK | os.X_OK):
            return path
    raise OSError("no folder for the journal of imports can be written; set XDG_STATE_HOME to one")


class Journal:
    """The requests that a server was sent. Safe for threads. Raises OSError where the file cannot be written."""

    def __init__(self, server: str) -> None:
        self._path = folder() / hashlib.sha256(server.encode()).hexdigest()[:16]
        if self._path.exists() and self._path.stat().st_size > _LARGEST_BYTES:
            self._path.unlink()
        self._begun, self._done = self._read()
        self._file = self._path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def was_begun(self, request_hash: str) -> bool:
        """Whether sending the request was begun: the server has all of it, or nothing."""
        return request_hash in self._begun

    def was_sent(self, request_hash: str) -> bool:
        """Whether the server said that it has the request."""
        return request_hash in self._done

    def sending(self, request_hash: str) -> None:
        """Note that the request is about to be sent."""
        self._note(b">", request_hash)

    def sent(self, request_hash: str) -> None:
        """Note that the server has the request."""
        self._note(b"=", request_hash)

    def close(self) -> None:
        self._file.close()

    def _note(self, mark: bytes, request_hash: str) -> None:
        with self._lock:
            self._file.write(mark + request_hash.encode() + b"\n")

    def _read(self) -> tuple[set[str], set[str]]:
        try:
            lines = self._path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        whole = [line for line in lines if len(line) == 1 + 2 * _HASH_BYTES]
        return {line[1:] for line in whole if line[0] == ">"}, {line[1:] for line in whole if line[0] == "="}
