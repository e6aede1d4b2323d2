"""What `clew mcp` does where its answers cannot be written: a task of the library writes them, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("mcp")

HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def test_a_full_disk_is_said_in_one_sentence() -> None:
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}) + "\n"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "clew.cli", "mcp"],
            input=asked.encode(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert ended.stderr.decode() == "clew mcp: the output cannot be written: No space left on device\n"
    assert ended.returncode == 2
