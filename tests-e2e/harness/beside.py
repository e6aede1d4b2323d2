"""What the tests of another system's own server beside clew share: names of questions, and importing the files that it gives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.server import Server, clew_command

_TIMES = frozenset(("start", "end", "endTs"))


def named(given: str | Mapping[str, Any]) -> str:
    """The name of a question as a parameter of a test, the same in each process: times are left out."""
    if isinstance(given, str):
        return given
    return ",".join(f"{key}={value}" for key, value in given.items() if key not in _TIMES)


def imported(file: Path, server: Server) -> dict[str, Any]:
    """What `clew import --json` says when it has sent a file to a server."""
    command = [*clew_command(), "import", str(file), "--json", "--server", server.http]
    done = subprocess.run(command, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary
