"""The shim of `shim.c`, compiled, and its switches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


class Shim:
    """Preloads the shim into a server: give `environment` to it, then turn switches."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.fail("A C compiler is missing: install the Debian packages gcc and libc6-dev.", pytrace=False)
        self._folder = folder
        folder.mkdir()
        self._library = folder / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run(
            ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl"],
            check=True,
        )

    def environment(self, *, clock_offset_s: int = 0) -> dict[str, str]:
        made = {"LD_PRELOAD": str(self._library), "E2E_SHIM": str(self._folder)}
        if clock_offset_s:
            made["E2E_CLOCK_OFFSET_S"] = str(clock_offset_s)
        return made

    def set_clock(self, offset_s: int) -> None:
        """Let the wall clock of servers that are started from now on, and of those that were after a first call, be off."""
        path = self._folder / "clock-offset-s"
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.write(offset_s.to_bytes(8, "little", signed=True))

    def turn_on(self, switch: str) -> None:
        (self._folder / switch).touch()

    def turn_off(self, switch: str) -> None:
        (self._folder / switch).unlink()

    def is_on(self, switch: str) -> bool:
        return (self._folder / switch).exists()
