"""The store of a stopped server, read past the server: counts straight from the chDB folder, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COUNT = """
import json, sys
import chdb
connection = chdb.connect(sys.argv[1])
rows = json.loads(connection.query(
    "SELECT database, name FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')", "JSONCompact"
).bytes())["data"]
where = {name: f"{database}.{name}" for database, name in rows}
def ask(sql):
    return json.loads(connection.query(sql, "JSONCompact").bytes())["data"]
def number(sql):
    return int(ask(sql)[0][0] or 0)
answer = {
    "chunks": number(f"SELECT sum(length(raw)) FROM {where['chunks']}"),
    "distinct": number(f"SELECT uniqExact(x) FROM (SELECT arrayJoin(raw) AS x FROM {where['chunks']})"),
    "spans": number(f"SELECT count() FROM {where['spans']}"),
    "span_ids": number(f"SELECT uniqExact(trace_id, span_id) FROM {where['spans']}"),
    "traces": number(f"SELECT sum(spans) FROM {where['traces']}"),
    "trace_ids": number(f"SELECT uniqExact(trace_id) FROM {where['traces']}"),
}
answer["red"] = number(f"SELECT sum(n) FROM {where['red']}")
answer["days"] = sorted({day for name in ("chunks", "spans", "traces", "red") for (day,) in ask(f"SELECT DISTINCT toString(toDate(received, 'UTC')) FROM {where[name]}")})
connection.close()
print(json.dumps(answer))
"""


def count_stored(data_dir: Path) -> dict[str, Any]:
    """Spans by table: in `chunks` (and `distinct` bytes there), `spans` (and `span_ids`), `traces` (and `trace_ids`), each
    rollup; `days` are the arrival days. The server must have stopped."""
    counted = subprocess.run(
        [sys.executable, "-c", COUNT, str(data_dir / "chdb")], capture_output=True, text=True, timeout=120, check=False
    )
    assert counted.returncode == 0, counted.stderr[-3000:]
    return dict(json.loads(counted.stdout.splitlines()[-1]))


def assert_stored_once(data_dir: Path, spans: int, traces: int) -> dict[str, Any]:
    """Each of `spans` different spans is in every form exactly once."""
    counted = count_stored(data_dir)
    everywhere = {name: counted[name] for name in ("chunks", "distinct", "spans", "span_ids", "traces", "red")}
    assert everywhere == dict.fromkeys(everywhere, spans), counted
    assert counted["trace_ids"] == traces, counted
    return counted
