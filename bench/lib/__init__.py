"""What the benchmarks of the server share: a made-up shop, a real server, CPU and memory from outside, DuckDB as yardstick."""

from __future__ import annotations

import sys
from pathlib import Path

# The server in a process of its own is the one of the end-to-end tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))
