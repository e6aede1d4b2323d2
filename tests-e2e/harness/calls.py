"""The shim of `calls.c`, compiled: one system call of a server ends it, or fails once."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("rename", "unlink", "fsync", "fdatasync", "mkdir", "ftruncate", "write")


@dataclass(frozen=True)
class Call:
    """The call that happens: its name and number; `error` 0 ends the process before it.

    Counted from the start of the process, or with `armed` from when the test says so.
    """

    name: str
    number: int
    error: int
    armed: bool
    within: str = ""
    """Only calls about paths with this text in them are counted."""
    every: bool = False
    """Not only this call, but each one whose number is a multiple of it, as long as the shim is armed."""


class CallShim:
    """Preloads the shim into a server: give `environment` to it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.fail("A C compiler is missing: install the Debian packages gcc and libc6-dev.", pytrace=False)
        folder.mkdir()
        self._folder = folder
        self._library = folder / "calls.so"
        source = Path(__file__).with_name("calls.c")
        subprocess.run(
            ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl"],
            check=True,
        )

    def environment(self, call: Call, data_dir: Path) -> dict[str, str]:
        for file in (self._done, self._armed):
            file.unlink(missing_ok=True)
        made = {
            "LD_PRELOAD": str(self._library),
            "E2E_CALLS_FOLDER": str(data_dir.resolve()),
            "E2E_CALLS_NAME": call.name,
            "E2E_CALLS_NUMBER": str(call.number),
            "E2E_CALLS_ERRNO": str(call.error),
            "E2E_CALLS_DONE": str(self._done),
        }
        if call.within:
            made["E2E_CALLS_WITHIN"] = call.within
        if call.every:
            made["E2E_CALLS_EVERY"] = "1"
        if call.armed:
            made["E2E_CALLS_ARMED"] = str(self._armed)
        return made

    @property
    def _done(self) -> Path:
        return self._folder / "done"

    @property
    def _armed(self) -> Path:
        return self._folder / "armed"

    def arm(self) -> None:
        """Count from now on."""
        self._armed.touch()

    def disarm(self) -> None:
        """Let all calls be as they are, and forget those that happened."""
        for file in (self._armed, self._done):
            file.unlink(missing_ok=True)

    def happened(self) -> str | None:
        """The call and its path, once it has happened; a line each where it happens more than once."""
        return self._done.read_text().strip() if self._done.exists() else None
