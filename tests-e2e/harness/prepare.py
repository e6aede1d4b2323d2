"""Builds what the stories need and takes long, before any story's time runs: `python tests-e2e/harness/prepare.py`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import backends  # noqa: E402  # its folder is on the path only now

if __name__ == "__main__":
    for name, source in (("mongo", HERE / "mongo"), ("kratos", HERE.parent / "kratos")):
        try:
            print(f"building {name} with Go, minutes the first time", flush=True)
            backends.build_go(name, source)
        except backends.Absent as reason:
            print(f"  not here, so its stories will be skipped: {reason}", flush=True)
    try:
        print("fetching a Kafka broker with Maven", flush=True)
        backends.fetch_kafka()
    except backends.Absent as reason:
        print(f"  not here, so its stories will be skipped: {reason}", flush=True)
